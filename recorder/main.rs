//! `ctrace-rec`.
#[allow(dead_code, unused_imports)] // The recorder that calls it comes next.
mod containers;

fn main() {}
