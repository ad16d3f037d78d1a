//! Requests to the server of metrics, whose clients nobody trusts. The first byte is the length of the part that comes first.

#![no_main]

use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    if let Some((first, request)) = bytes.split_first() {
        fuzzing::http_request(request, usize::from(*first));
    }
});
