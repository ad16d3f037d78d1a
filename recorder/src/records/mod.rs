//! Records as the kernel sends them, decoded into types.

pub mod capture;
pub mod count;
pub mod decode;
pub mod loss;
pub mod machine;
pub mod merge;
pub mod note;
