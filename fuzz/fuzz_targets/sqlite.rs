//! A database of a recording.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    let path = ctrace_fuzz::write("run.sqlite", bytes);
    for statement in ctrace_fuzz::STATEMENTS {
        ctrace_fuzz::ask(&path, statement);
    }
});
