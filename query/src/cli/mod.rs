//! The command line.

mod flags;
mod help;
mod lower;
mod task;

#[cfg(test)]
pub(crate) use flags::subcommands;
pub(crate) use flags::{long_options, write_completions};
pub(crate) use help::{cookbook, print_help, questions, subcommand_help, write_man};
pub(crate) use lower::{LineError, parse, parse_line};
pub(crate) use task::{
    AnswerOptions, CapabilityForm, CliCommand, CliTask, Conversion, Diff, DiffSide, FindingsFormat,
    Invocation, Query, Recovery, Redaction, Replay, RulesOutput, RulesTask, Scope, Selection,
    Speed, Target, TopLevel, TopTask,
};
