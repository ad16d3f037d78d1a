//! `help`, on a topic or on the program.

use anyhow::bail;

use crate::cli;
use crate::engine::functions_help;
use crate::output::AnswerDestination;

/// Prints the help on a topic, or without one on the program.
///
/// # Errors
/// There is no such topic.
pub(crate) fn print_help(topic: Option<&str>, screen: AnswerDestination<'_>) -> anyhow::Result<()> {
    match topic {
        None => Ok(cli::print_help()?),
        Some("questions") => screen.print(&cli::questions()),
        Some("functions") => screen.print(&functions_help()),
        Some("cookbook") => screen.print(cli::cookbook()),
        Some(other) => match cli::subcommand_help(other) {
            Some(help) => screen.print(&help),
            None => bail!(
                "there is no help on `{other}`: try `ctrace-query help questions`, `help functions` or `help cookbook`"
            ),
        },
    }
}
