//! The commands of the program: answers queries, and runs everything that is not a query.

mod answer;
mod containers;
mod filters;
mod follow;
mod given_sql;
mod help;
mod last_minute;
mod query;
mod report;
mod run;
mod seccomp;
mod time_limit;

pub(crate) use given_sql::given_sql;
pub(crate) use help::print_help;
pub(crate) use query::{answer_query, new_engine, other_engine};
pub(crate) use run::run_command;
pub(crate) use time_limit::{end_process_after, within};
