//! A Parquet file of a recording, its metadata and sums.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    let Some([metadata, data]) = ctrace_fuzz::parts(bytes) else {
        return;
    };
    let file = ctrace_fuzz::parquet_file(metadata, data);
    let path = ctrace_fuzz::write("run.parquet", &file);
    for statement in ctrace_fuzz::STATEMENTS {
        ctrace_fuzz::ask(&path, statement);
    }
});
