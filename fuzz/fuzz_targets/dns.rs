//! The bytes of a call to a name server, of which any process can be the other end.

#![no_main]

use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    // Each message over TCP has two bytes of length and a header of twelve.
    assert!(fuzzing::dns(bytes) <= 1 + bytes.len() / 14);
});
