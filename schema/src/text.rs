//! Conversion of bytes from the kernel into text that is safe to store and to print, and back.
//!
//! A path, a thread name or an argument can contain any bytes. Stored text is UTF-8: a byte that is not part of valid UTF-8 is
//! written as `\xHH`, a control character as `\xHH` for each of its UTF-8 bytes, and a backslash as `\\`. Any tool can read such
//! text, it cannot control a terminal, and no information is lost: [`unescape`] returns the original bytes.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Converts `bytes` into text with escapes. Returns `bytes` themselves if nothing needs an escape, which is the common case.
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    if bytes
        .iter()
        .all(|b| (0x20..0x7f).contains(b) && *b != b'\\')
    {
        // The check above allows only ASCII.
        return String::from_utf8_lossy(bytes);
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if is_control(c) => {
                    let mut buf = [0; 4];
                    c.encode_utf8(&mut buf)
                        .bytes()
                        .for_each(|b| hex(&mut out, b));
                }
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&b| hex(&mut out, b));
    }
    Cow::Owned(out)
}

/// Makes text of unknown origin safe to print: escapes control characters as [`escape`] does and leaves everything else, including
/// backslashes, unchanged.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_control(c) {
            let mut buf = [0; 4];
            c.encode_utf8(&mut buf)
                .bytes()
                .for_each(|b| hex(&mut out, b));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Returns the name of a file for a message: with control characters escaped, so that no name forges a line.
pub fn path_text(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns whether a character can control a terminal, or be invisible in a line or change its direction.
pub fn is_control(c: char) -> bool {
    c.is_control() || is_format(c)
}

/// Returns whether a character is invisible or changes the direction of text, although its Unicode category is not
/// "control": bidirectional controls, zero-width characters, line and paragraph separators (Unicode Standard Annex 9).
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

fn hex(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Returns the original bytes of a `text` from [`escape`]. Backslashes that `escape` cannot have written are left unchanged.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, used) = match rest {
            [b'\\', b'\\', ..] => (b'\\', 2),
            [b'\\', b'x', h, l, ..] => match (nibble(*h), nibble(*l)) {
                (Some(h), Some(l)) => (h << 4 | l, 4),
                _ => (b'\\', 1),
            },
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &tail[used - 1..];
    }
    out
}

fn nibble(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|d| d as u8)
}

/// Quotes the arguments of an exec for a POSIX shell. `argv` has the layout of the kernel: NUL-terminated strings, one after the
/// other. Bytes that need an escape are written as by [`escape`], inside single quotes.
pub fn shell_join(argv: &[u8]) -> String {
    let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
    let mut out = String::with_capacity(argv.len() + 8);
    for (i, arg) in argv.split(|b| *b == 0).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        quote(&mut out, &escape(arg));
    }
    out
}

/// Quotes arguments that are escaped already, as [`shell_join`] does.
pub fn shell_join_escaped<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for (i, word) in words.enumerate() {
        if i > 0 {
            out.push(' ');
        }
        quote(&mut out, word);
    }
    out
}

/// Appends an escaped argument, in quotes if a shell needs them.
fn quote(out: &mut String, text: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "'\\''"));
        out.push('\'');
    }
}

/// Splits a text from [`shell_join`] into the arguments, each escaped as by [`escape`].
pub fn shell_split(argv: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut rest = argv.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            // Outside of quotes, `shell_join` writes backslashes only before quotes.
            '\\' if !quoted => word.get_or_insert_default().extend(rest.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Shortens the id of a container to 12 digits, as `docker ps` does. Ids that are not 64 hexadecimal digits stay as they are: runc
/// and LXC use names as ids.
pub fn short_id(id: &str) -> &str {
    let is_hash = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash { &id[..12] } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(escape(b"/etc/hosts"), Cow::Borrowed("/etc/hosts")));
    }

    #[test]
    fn every_byte_is_restored() {
        let all: Vec<u8> = (0..=255).chain("é\u{202e}漢".bytes()).collect();
        let text = escape(&all);
        assert!(!text.chars().any(|c| c.is_control()));
        assert_eq!(unescape(&text), all);
        assert_eq!(escape("naïve/漢".as_bytes()), "naïve/漢");
    }

    #[test]
    fn printable_does_not_escape_twice() {
        assert_eq!(
            printable("a\u{1b}[31m\\n\u{202e}é"),
            r"a\x1b[31m\n\xe2\x80\xaeé"
        );
        assert!(matches!(printable(r"a\x1b"), Cow::Borrowed(_)));
    }

    #[test]
    fn escapes_are_spelled_as_documented() {
        assert_eq!(escape(b"a\x1b[31m\\n\xff"), r"a\x1b[31m\\n\xff");
    }

    #[test]
    fn argv_is_quoted() {
        assert_eq!(
            shell_join(b"sh\0-c\0echo 'hi' $X\0\0"),
            r"sh -c 'echo '\''hi'\'' $X' ''"
        );
    }

    #[test]
    fn argv_is_restored() {
        for argv in [&b"sh\0-c\0echo 'hi' $X\0\0"[..], b"'\0a b\0\\\0\x1b[m"] {
            let words = argv.strip_suffix(b"\0").unwrap_or(argv);
            let want: Vec<_> = words
                .split(|b| *b == 0)
                .map(|w| escape(w).into_owned())
                .collect();
            assert_eq!(shell_split(&shell_join(argv)), want);
            let words = want.iter().map(String::as_str);
            assert_eq!(shell_join_escaped(words), shell_join(argv));
        }
    }

    #[test]
    fn only_hashes_are_shortened() {
        let hash = "07898f0291f1eec7e4e9f9c8d46868e2cab3682d08635794737a5c21186a7b46";
        assert_eq!(short_id(hash), "07898f0291f1");
        assert_eq!(short_id(&hash.to_uppercase()), "07898F0291F1");
        let not_hexadecimal = hash.replace('f', "g");
        let multibyte = "é".repeat(32);
        for id in [
            "",
            "cont-runc",
            &hash[1..],
            &not_hexadecimal,
            &multibyte,
            "a-name-that-is-longer-than-twelve-characters",
        ] {
            assert_eq!(short_id(id), id);
        }
    }
}
