//! `ctrace-rec`.
fn main() {}
