//! Runs commands that are not queries.

use crate::cli::{self, AnswerOptions, Command};
use crate::commands::help::print_help;
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
    command: &Command,
    options: &AnswerOptions,
    engine: &Engine,
    screen: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    let output = options.output.as_deref();
    let to = output.map_or(screen, AnswerDestination::File);
    match command {
        Command::Help { topic } => print_help(topic.as_deref(), screen),
        Command::Man => Ok(cli::write_man(&mut std::io::stdout())?),
        Command::Completions(shell) => {
            cli::write_completions(*shell, &mut std::io::stdout());
            Ok(())
        }
        Command::Convert(conversion) => rewrite::convert(conversion).await,
        Command::Recover(recovery) => rewrite::recover(recovery).await,
        Command::Seccomp {
            containers,
            show_sql: true,
        } => screen.print(&seccomp_sql(containers, engine).await?),
        Command::Seccomp { containers, .. } => seccomp(containers, engine, to).await,
        Command::Report(scope) => report(scope, engine, to).await,
    }
}
