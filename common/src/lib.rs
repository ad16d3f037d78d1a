//! Parts that both command-line programs share.

pub mod man;
pub mod nearest;
