//! `ctrace-query`.
fn main() {}
