//! Redaction: rules find texts in a recording that its readers should not see, and keyed hashes stand for these texts.
//!
//! ```text
//! default.toml, a file of the user ──► rules     which parts of a text are replaced
//!                                        │ spans
//! a file of the user, random bytes ──► key       the hash that stands for a part
//!                                        ▼
//!                  form: words, JSON, lists ──► Redactor     one text of one column, or a pair of metadata
//! ```
//!
//! Both programs apply the same rules: the recorder before anything is written, the query program to recordings.

mod cache;
mod columns;
mod file;
mod form;
mod key;
mod metadata;
mod read;
mod redactor;
mod rules;

pub use cache::RedactionCache;
pub use columns::{ID_COLUMNS, is_id};
pub use key::{Key, KeyError};
pub use read::{DEFAULT_NAME, ReadError};
pub use redactor::{Redacted, Redactor};
pub use rules::{DEFAULT_RULES, RuleError, Rules, Switches};
