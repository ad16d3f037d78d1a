//! The segment of a killed recorder and its journal, which the next recorder finishes, as root.

#![no_main]

use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    let Some(path) = ctrace_fuzz::write_unclosed(".a.parquet.open", bytes) else {
        return;
    };
    ctrace_fuzz::guard(|| drop(fuzzing::finish_segment(&path)));
    let _ = std::fs::remove_file(ctrace_fuzz::file("a.parquet"));
});
