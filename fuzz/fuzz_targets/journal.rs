//! The journal of a recording that was not closed: bytes as they are, and as the content of a frame.

#![no_main]

use ctrace_format::unclosed::journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    for file in [bytes.to_vec(), ctrace_fuzz::journal_file(bytes)] {
        ctrace_fuzz::guard(|| {
            let one_by_one = journal::batches(&file[..]).filter(Result::is_ok).count();
            if let Ok(all) = journal::read(&file) {
                assert_eq!(all.len(), one_by_one);
            }
        });
    }
});
