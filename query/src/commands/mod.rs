//! The commands of the program: answers queries, and runs everything that is not a query.

mod answer;
mod capabilities;
mod containers;
mod diff;
mod filters;
mod follow;
mod given_sql;
mod help;
mod last_minute;
mod query;
mod replay;
mod report;
mod rewrite;
mod rules;
mod run;
mod sarif;
mod seccomp;
mod selection;
mod time_limit;
mod top;
mod verify;

pub(crate) use diff::SomethingNew;
pub(crate) use given_sql::{given_sql, is_terminal, with_given_sql};
pub(crate) use help::print_help;
pub(crate) use query::{answer_query, new_engine, other_engine};
pub(crate) use rules::Alerts;
pub(crate) use run::run_command;
pub(crate) use time_limit::{end_process_after, within};
pub(crate) use verify::NotProved;
