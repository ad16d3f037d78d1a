//! What a ctrace event is: its columns, the views over them, the versions of the format, and the tables of
//! syscalls and errnos. Knows neither libbpf nor DataFusion.

pub mod columns;
pub mod errno;
pub mod histogram;
pub mod human;
pub mod meta;
pub mod rollups;
pub mod strace;
pub mod syscalls;
pub mod text;
pub mod views;
