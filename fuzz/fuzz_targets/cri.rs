//! The answers of containerd: frames of HTTP/2, protobuf, and JSON.

#![no_main]

use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    fuzzing::cri_answer(bytes);
});
