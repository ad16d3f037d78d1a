//! Statements: parsed, checked, planned, and executed over a tiny recording.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|statement: &str| {
    ctrace_fuzz::plant(statement.as_bytes());
    ctrace_fuzz::ask(&ctrace_fuzz::recording(), statement);
});
