//! The frames of a raw capture, through the decoder, the resolver and the Parquet writer.

#![no_main]

use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|frames: &[u8]| {
    ctrace_fuzz::plant(frames);
    let path = ctrace_fuzz::write("capture.raw", &ctrace_fuzz::capture_file(frames));
    fuzzing::replay(&path, Path::new("/dev/null"), "parquet");
});
