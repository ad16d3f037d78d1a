//! A Parquet file without a footer, and its journal.

#![no_main]

use ctrace_format::unclosed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    let Some(path) = ctrace_fuzz::write_unclosed("run.parquet", bytes) else {
        return;
    };
    ctrace_fuzz::guard(|| drop(unclosed::read(&path)));
});
