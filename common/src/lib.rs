//! Parts of the command line that both programs share.

pub mod man;
pub mod nearest;
pub mod sizes;
