//! Writes recordings from recordings.

mod convert;
mod copy;
mod cut;
mod merge;
mod metadata;
mod recover;
mod redact;
mod redaction;
mod rollups;
mod sorted;
mod target;

pub(crate) use convert::convert;
pub(crate) use cut::{CutPlan, cut};
pub(crate) use merge::merge;
pub(crate) use metadata::SourceFile;
pub(crate) use recover::recover;
pub(crate) use redact::redact;
pub(crate) use target::check_absent;
