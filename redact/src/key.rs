//! The key, and the hashes of texts under it.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

/// The least and the greatest length of a key, in bytes.
const BYTES: std::ops::RangeInclusive<usize> = 16..=4096;
/// Digits of a hash: 48 bits, so that two of a million texts have the same hash with a probability of 1 in 500.
const DIGITS: usize = 12;
/// The first of the numbers that stand for user and group ids. Linux gives none of them to a user: systemd's table of uids ends
/// here.
const FIRST_NUMBER: u32 = 1 << 31;

/// The secret with which texts are hashed. The same key gives a text the same hash in every recording; without the key, nobody can
/// tell whether a hash is that of a text.
#[derive(Clone)]
pub struct Key {
    bytes: Vec<u8>,
    /// True if nobody can have the key again.
    pub(crate) is_random: bool,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.fingerprint())
    }
}

/// The reason why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read, or the system has no random bytes.
    #[error("cannot read the key: {0}")]
    Unreadable(#[from] io::Error),
    /// The file has too few or too many bytes.
    #[error(
        "the key has {0} bytes, of {least} to {most}: make one with `openssl rand -hex 32`",
        least = BYTES.start(), most = BYTES.end()
    )]
    Length(usize),
    /// The system has no random bytes.
    #[error("the system has no random bytes for a key: {0}")]
    Random(#[from] getrandom::Error),
}

impl Key {
    /// Creates a key of random bytes, which is lost with the process.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn random() -> Result<Key, KeyError> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Key {
            bytes,
            is_random: true,
        })
    }

    /// Reads the key in a file: all bytes but for the line break at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is too short or too long for a key.
    pub fn read(path: &Path) -> Result<Key, KeyError> {
        let mut bytes = vec![];
        let most = *BYTES.end() as u64 + 2;
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        let end = bytes.trim_ascii_end().len();
        bytes.truncate(end);
        Key::new(bytes)
    }

    /// Creates the key that consists of these bytes.
    ///
    /// # Errors
    /// There are too few or too many bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Key, KeyError> {
        match BYTES.contains(&bytes.len()) {
            true => Ok(Key {
                bytes,
                is_random: false,
            }),
            false => Err(KeyError::Length(bytes.len())),
        }
    }

    /// Returns the digits that tell whether two recordings were redacted with the same key.
    pub(crate) fn fingerprint(&self) -> String {
        hex(&self.mac("fingerprint", "")[..8])
    }

    /// Returns the digits that stand for a text.
    pub(crate) fn hash(&self, text: &str) -> String {
        hex(&self.mac("text", text)[..DIGITS / 2])
    }

    /// Returns the number that stands for an id, which is given as text.
    pub(crate) fn number(&self, id: &str) -> u32 {
        let mac = self.mac("number", id);
        let number = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
        // u32::MAX means "no id".
        FIRST_NUMBER + number % (u32::MAX - FIRST_NUMBER)
    }

    /// Returns the HMAC of a text. `purpose` keeps the hashes of different kinds apart.
    fn mac(&self, purpose: &str, text: &str) -> [u8; 32] {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.bytes) else {
            return [0; 32];
        };
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Returns bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns whether a number stands for an id.
pub(crate) fn is_placeholder(number: u32) -> bool {
    number >= FIRST_NUMBER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_hmac_sha256_of_the_text() {
        let key = Key::new(b"0123456789abcdef".to_vec()).expect("is long enough");
        // printf 'text\0hunter2' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(key.hash("hunter2"), "7c883954d9c9");
        assert_ne!(key.hash("hunter2"), key.hash("hunter3"));
        let other = Key::new(b"0123456789abcdeg".to_vec()).expect("is long enough");
        assert_ne!(key.hash("hunter2"), other.hash("hunter2"));
        assert_ne!(key.fingerprint(), other.fingerprint());
        assert!(is_placeholder(key.number("1000")) && key.number("1000") != u32::MAX);
    }

    #[test]
    fn random_keys_differ() {
        let key = || Key::random().expect("has random bytes").fingerprint();
        assert_ne!(key(), key());
    }

    #[test]
    fn short_keys_are_refused() {
        assert!(Key::new(b"hunter2".to_vec()).is_err());
    }
}
