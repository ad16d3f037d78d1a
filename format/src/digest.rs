//! The digest of a finished recording: SHA-256 of all of its bytes, in which the recording itself holds the digest, as 64
//! hexadecimal digits of its metadata. While the digest is computed, these digits count as zeros (`0`):
//!
//! ```python
//! content == hashlib.sha256(file.replace(digest, b"0" * 64)).hexdigest()
//! ```
//!
//! A writer puts a [`Digest::placeholder`] into the file, which no content of the recording can repeat, and replaces the
//! placeholder by the digest at the end.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use memchr::memmem;
use sha2::{Digest as _, Sha256};

/// Length of a digest as text.
const TEXT_BYTES: usize = 64;
/// The text that a digest is replaced by.
const ZEROS: [u8; TEXT_BYTES] = [b'0'; TEXT_BYTES];
/// Bytes that are read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// A SHA-256 as 64 hexadecimal digits in lower case, or the placeholder for one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; TEXT_BYTES]);

impl Digest {
    /// Returns a random text of the length of a digest, which is not a digest because of its first character.
    pub fn placeholder() -> Digest {
        // The keys of `RandomState` come from the random numbers of the system.
        let random = RandomState::new();
        let mut text = [0; TEXT_BYTES];
        for (part, number) in text.chunks_exact_mut(16).zip(0u64..) {
            part.copy_from_slice(format!("{:016x}", random.hash_one(number)).as_bytes());
        }
        text[0] = b'?';
        Digest(text)
    }

    /// Parses 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Digest> {
        let text: [u8; TEXT_BYTES] = text.as_bytes().try_into().ok()?;
        let is_digit = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        text.iter().all(is_digit).then_some(Digest(text))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash of the bytes that have been written to a file so far.
#[derive(Clone, Debug, Default)]
pub struct RunningHash(Sha256);

impl RunningHash {
    /// Hashes the first `len` bytes of a file.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter.
    pub fn of_start(file: &mut File, len: u64) -> io::Result<RunningHash> {
        file.seek(SeekFrom::Start(0))?;
        let mut hash = RunningHash::default();
        match io::copy(&mut file.take(len), &mut hash)? == len {
            true => Ok(hash),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> Digest {
        let mut text = [0; TEXT_BYTES];
        for (digits, byte) in text.chunks_exact_mut(2).zip(self.0.finalize()) {
            digits.copy_from_slice(format!("{byte:02x}").as_bytes());
        }
        Digest(text)
    }

    /// Completes a file that ends with `end`, and replaces the `placeholder` in `end` by the digest of the file. Returns
    /// `None` if `end` does not contain the placeholder.
    pub fn seal(mut self, end: &mut [u8], placeholder: &Digest) -> Option<Digest> {
        let at = memmem::find(end, &placeholder.0)?;
        end[at..at + TEXT_BYTES].copy_from_slice(&ZEROS);
        self.update(end);
        let digest = self.finish();
        end[at..at + TEXT_BYTES].copy_from_slice(&digest.0);
        Some(digest)
    }
}

impl Write for RunningHash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The content of a file, with a text in it counted as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// The digest of the content.
    pub digest: Digest,
    /// The offset at which the text begins; `None` if it is not in the file exactly once.
    pub place: Option<u64>,
    /// Length of the file in bytes.
    pub len: u64,
}

/// Reads a whole file, of which each piece is passed to `each`, and hashes it with `text` counted as zeros.
///
/// # Errors
/// The file cannot be read, or `each` fails.
pub fn read(
    file: &mut impl Read,
    text: &Digest,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Content> {
    let finder = memmem::Finder::new(&text.0);
    let mut hash = RunningHash::default();
    let (mut place, mut places, mut len) = (None, 0u64, 0);
    // The text may begin at the end of a window and continue in the next.
    let mut window = Vec::with_capacity(WINDOW_BYTES + TEXT_BYTES);
    loop {
        let kept = window.len();
        let read = file.take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
        each(&window[kept..])?;
        let start: u64 = len - kept as u64;
        len += read as u64;
        while let Some(at) = finder.find(&window) {
            place = Some(start + at as u64);
            places += 1;
            window[at..at + TEXT_BYTES].copy_from_slice(&ZEROS);
        }
        if read == 0 {
            break;
        }
        let complete = window.len().saturating_sub(TEXT_BYTES - 1);
        hash.update(&window[..complete]);
        window.drain(..complete);
    }
    hash.update(&window);
    Ok(Content {
        digest: hash.finish(),
        place: place.filter(|_| places == 1),
        len,
    })
}

/// Replaces the `placeholder` in a complete file by the digest of the file, and syncs it.
///
/// # Errors
/// The file cannot be read or written, or does not contain the placeholder exactly once.
pub fn seal(mut file: &File, placeholder: &Digest) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let content = read(&mut file, placeholder, |_| Ok(()))?;
    let place = content.place.ok_or_else(|| {
        let message = "the place of its digest is not in the file";
        io::Error::new(ErrorKind::InvalidData, message)
    })?;
    file.seek(SeekFrom::Start(place))?;
    file.write_all(&content.digest.0)?;
    file.sync_data()?;
    Ok(content.digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_is_sha_256_with_its_own_text_as_zeros() {
        let placeholder = Digest::placeholder();
        assert_eq!(RunningHash::default().finish().as_str(), EMPTY);
        assert_eq!(Digest::parse(EMPTY).unwrap().as_str(), EMPTY);
        assert!(Digest::parse(placeholder.as_str()).is_none());
        assert_ne!(placeholder, Digest::placeholder());

        let around = |text: &[u8]| [b"before", text, b"after"].concat();
        let mut hash = RunningHash::default();
        hash.update(&around(&ZEROS));
        let expected = hash.finish();
        let mut end = around(&placeholder.0);
        let sealed = RunningHash::default().seal(&mut end, &placeholder);
        assert_eq!(sealed, Some(expected));
        assert_eq!(end, around(&expected.0));
        let content = read(&mut end.as_slice(), &expected, |_| Ok(())).unwrap();
        assert_eq!((content.digest, content.place), (expected, Some(6)));
    }

    #[test]
    fn the_text_is_found_wherever_it_begins() {
        let text = Digest::placeholder();
        let windows = [0, 1, 63, 64, WINDOW_BYTES - 64, WINDOW_BYTES - 1];
        for at in windows.into_iter().flat_map(|at| [at, at + WINDOW_BYTES]) {
            let mut bytes = vec![7; 3 * WINDOW_BYTES];
            bytes[at..at + TEXT_BYTES].copy_from_slice(&text.0);
            let mut seen = vec![];
            let content = read(&mut bytes.as_slice(), &text, |piece| {
                seen.extend_from_slice(piece);
                Ok(())
            });
            let content = content.unwrap();
            assert_eq!(content.place, Some(at as u64));
            assert_eq!(content.len, bytes.len() as u64);
            assert_eq!(seen, bytes);
            bytes[at..at + TEXT_BYTES].copy_from_slice(&ZEROS);
            let mut hash = RunningHash::default();
            hash.update(&bytes);
            assert_eq!(content.digest, hash.finish());
        }
    }

    #[test]
    fn a_text_that_is_repeated_has_no_place() {
        let text = Digest::placeholder();
        let bytes = [text.0, text.0].concat();
        let content = read(&mut bytes.as_slice(), &text, |_| Ok(())).unwrap();
        assert_eq!(content.place, None);
    }

    #[test]
    fn a_file_is_sealed_in_place() {
        let placeholder = Digest::placeholder();
        let mut file = tempfile::tempfile().unwrap();
        assert!(seal(&file, &placeholder).is_err());
        file.write_all(&[1; 1000]).unwrap();
        file.write_all(&placeholder.0).unwrap();
        let digest = seal(&file, &placeholder).unwrap();
        file.rewind().unwrap();
        let content = read(&mut file, &digest, |_| Ok(())).unwrap();
        assert_eq!(content.digest, digest);
        assert_eq!((content.place, content.len), (Some(1000), 1064));
        let hash = RunningHash::of_start(&mut file, 0).unwrap();
        assert_eq!(hash.finish().as_str(), EMPTY);
        assert!(RunningHash::of_start(&mut file, 2000).is_err());
    }
}
