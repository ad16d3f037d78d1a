//! Runs commands that are not queries.

use crate::cli::{self, AnswerOptions, CliCommand};
use crate::commands::help::print_help;
use crate::commands::query::destination;
use crate::commands::report::report;
use crate::commands::seccomp::{seccomp, seccomp_sql};
use crate::engine::Engine;
use crate::output::AnswerDestination;
use crate::rewrite;

/// Runs a command. `screen` is the destination of output for which no file is named.
///
/// # Errors
/// The command failed.
pub(crate) async fn run_command(
    command: &CliCommand,
    options: &AnswerOptions,
    engine: &Engine,
    screen: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let to = destination(engine, options, screen).await?;
    match command {
        CliCommand::Help { topic } => print_help(topic.as_deref(), screen),
        CliCommand::Man => Ok(cli::write_man(&mut std::io::stdout())?),
        CliCommand::Completions(shell) => {
            cli::write_completions(*shell, &mut std::io::stdout());
            Ok(())
        }
        CliCommand::Convert(conversion) => rewrite::convert(conversion).await,
        CliCommand::Recover(recovery) => rewrite::recover(recovery).await,
        CliCommand::Seccomp {
            containers,
            show_sql: true,
        } => screen.print(&seccomp_sql(containers, engine).await?),
        CliCommand::Seccomp { containers, .. } => seccomp(containers, engine, to).await,
        CliCommand::Report(scope) => report(scope, engine, to).await,
    }
}
