//! The faults that targets look for, and those that are planted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

/// Runs readers whose panics the programs turn into errors: the decoders of Arrow and Parquet panic on damage. The panic of
/// code of this project is a fault all the same, and libFuzzer keeps the input.
pub fn guard(read: impl FnOnce()) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // libFuzzer's, which prints the panic and aborts.
        let fail = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_none_or(|at| is_own(at.file())) {
                fail(panic);
            }
        }));
    });
    let _ = catch_unwind(AssertUnwindSafe(read));
}

/// Returns whether a file of code, as the compiler names it, belongs to this project. The compiler has a relative name for a file
/// of the targets.
fn is_own(file: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let file = Path::new(file);
    file.is_relative() || root.is_some_and(|root| file.starts_with(root))
}

/// Fails on a word of four bytes, if a feature asks for it, so that a test can see that fuzzing finds faults. Chance alone would
/// take four billion inputs; libFuzzer knows the word because the comparison is traced.
pub fn plant(bytes: &[u8]) {
    if !cfg!(any(feature = "planted-crash", feature = "planted-memory")) {
        return;
    }
    let Some((word, _)) = bytes.split_first_chunk() else {
        return;
    };
    if is_planted(u32::from_le_bytes(*word)) {
        assert!(!cfg!(feature = "planted-crash"), "a planted crash");
        std::hint::black_box(vec![1u8; 10 << 30]);
    }
}

/// Compares the word of [`plant`], in a function of its own: LLVM would make one comparison of the word and the length, whose
/// constant is of no use to libFuzzer.
#[inline(never)]
fn is_planted(word: u32) -> bool {
    if word == u32::from_le_bytes(*b"rec!") {
        return std::hint::black_box(true);
    }
    false
}
