//! The bytes of files, to look for text that must not be in them.

use std::fs;
use std::path::Path;

/// Returns the bytes of a file, followed by those of all zstd frames in it.
pub(crate) fn uncompressed(path: &Path) -> Vec<u8> {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    let bytes = fs::read(path).unwrap();
    let mut all = bytes.clone();
    for at in 0..bytes.len().saturating_sub(MAGIC.len()) {
        if bytes[at..].starts_with(&MAGIC) {
            let frame = zstd::Decoder::new(&bytes[at..]).unwrap().single_frame();
            let _ = std::io::copy(&mut { frame }, &mut all);
        }
    }
    all
}

/// Returns whether `text` is somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
