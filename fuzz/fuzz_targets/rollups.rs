//! The sums in the file of a recording.

#![no_main]

use ctrace_query::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    ctrace_fuzz::guard(|| fuzzing::rollups(bytes));
});
