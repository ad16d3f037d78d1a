//! The command line.

mod flags;
mod help;
mod task;

#[cfg(test)]
pub(crate) use flags::subcommands;
pub(crate) use flags::{LineError, long_options, parse, parse_line, write_completions};
pub(crate) use help::{cookbook, print_help, questions, subcommand_help, write_man};
pub(crate) use task::{
    AnswerOptions, CliCommand, CliTask, Conversion, Invocation, Query, Recovery, Scope,
};
