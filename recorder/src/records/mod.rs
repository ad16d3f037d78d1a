//! Records of the kernel side and everything else that a recording learns, as plain data without side effects.
//!
//! `decode` turns bytes into records, `merge` puts the records of all CPUs into one order of time, and `capture` reads
//! and writes raw captures. A raw capture contains the rings' bytes, and notes for all other input of the pipeline.

pub(crate) mod capture;
pub(crate) mod count;
pub(crate) mod decode;
pub(crate) mod loss;
pub(crate) mod machine;
pub(crate) mod merge;
pub(crate) mod note;
