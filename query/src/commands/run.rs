//! Runs commands that are not queries.

use crate::cli::{self, AnswerOptions, CliCommand};
use crate::commands::capabilities::capabilities;
use crate::commands::diff::diff;
use crate::commands::help::print_help;
use crate::commands::query::destination;
use crate::commands::replay::replay;
use crate::commands::report::report;
use crate::commands::rewrite::{cut, merge, redact};
use crate::commands::rules::rules;
use crate::commands::seccomp::{seccomp, seccomp_sql};
use crate::commands::top::top;
use crate::commands::verify::{prove_for_report, verify};
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
        CliCommand::Replay(wanted) => replay(engine, wanted).await,
        CliCommand::Top(wanted) => top(engine, wanted, options, to).await,
        CliCommand::Cut {
            selection,
            target,
            redaction,
            verify,
        } => cut(engine, selection, target, redaction.as_ref(), *verify).await,
        CliCommand::Redact {
            redaction,
            target,
            verify,
        } => redact(engine, options, redaction, target, *verify).await,
        CliCommand::RedactionRules => screen.print(ctrace_redact::DEFAULT_RULES),
        CliCommand::Merge { target, verify } => merge(engine, options, target, *verify).await,
        CliCommand::Convert(conversion) => rewrite::convert(conversion).await,
        CliCommand::Recover(recovery) => rewrite::recover(recovery).await,
        CliCommand::Capabilities { form, scope } => capabilities(*form, scope, engine, to).await,
        CliCommand::Rules(wanted) => rules(wanted, options, engine, to).await,
        CliCommand::Seccomp {
            containers,
            show_sql: true,
        } => screen.print(&seccomp_sql(containers, engine).await?),
        CliCommand::Seccomp { containers, .. } => seccomp(containers, engine, to).await,
        CliCommand::Report { scope, verify } => {
            let proof = prove_for_report(options, *verify, engine).await?;
            report(scope, proof, engine, to).await
        }
        CliCommand::Diff(wanted) => diff(wanted, options, engine, to).await,
        CliCommand::Verify { public_key } => {
            verify(public_key.as_deref(), options, engine, to).await
        }
    }
}
