//! The rules: detections over the events of a recording, in TOML files, and the set of rules that comes along.
//!
//! A rule is a condition in SQL over the columns of `events`. `ctrace-query rules` evaluates rules over recordings, and
//! `ctrace-rec --trigger-rules` over the events that it records; `docs/rules.md` describes the files.

mod file;
mod rule;
mod set;

pub use file::FileError;
pub use rule::{Exception, Level, NotATrigger, Rule, Threshold, TriggerUse};
pub use set::{Choice, ChoiceError, DEFAULT_SET, RuleSet};
