//! The function that replaces the parts of a path or a name that differ from run to run.

use arrow::array::StringViewArray;

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{array, each_text};

/// Stands for the part of a name that differs from run to run, as in a pattern of `glob`.
const ANY: &str = "*";
/// Digits of a number that is an id, a time or a date. Shorter numbers are versions and the like.
const LEAST_DIGITS: usize = 4;
/// Digits of a hexadecimal id.
const LEAST_HEX: usize = 8;
/// Characters that mkstemp(3) and mkdtemp(3) put in place of `XXXXXX`.
const TEMPLATE_LENGTH: usize = 6;
/// Characters of an id in base 32 or base 64, outside of the directories for temporary files.
const LEAST_RANDOM: usize = 16;
/// Digits of a digest without its first two.
const LEAST_DIGEST: usize = 30;
/// Digits of a number in a word, such as a time; shorter ones are names, such as ed25519.
const LEAST_DIGITS_IN_WORD: usize = 6;
/// Lengths of the groups of a UUID.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// Directories for files with temporary names.
const TEMPORARY: [&str; 3] = ["/tmp/", "/var/tmp/", "/dev/shm/"];
/// Directories in which each number is that of a process, a thread, a descriptor, a socket or a terminal.
const NUMBERED: [&str; 5] = ["/proc/", "/dev/fd/", "/dev/pts/", "/run/", "/var/run/"];

/// Defines `generalize(text)`.
pub(crate) fn generalize() -> ScalarFn {
    let takes = &[ArgType::Text];
    ScalarFn::new("generalize", takes, ResultType::Text, |args, rows| {
        each_text::<_, StringViewArray>(&array(args, 0, rows)?, |text| Some(generalized(text)))
    })
}

/// Where a name is, which decides how much of the name may differ from run to run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Temporary,
    Numbered,
    Other,
}

/// Returns a path or a name with `*` in place of each part that differs from run to run: process ids, numbers with many
/// digits, times, hexadecimal ids, UUIDs and the random parts of temporary names.
fn generalized(text: &str) -> String {
    let begins = |directories: &[&str]| directories.iter().any(|d| text.starts_with(d));
    let place = match () {
        () if begins(&TEMPORARY) => Place::Temporary,
        () if begins(&NUMBERED) => Place::Numbered,
        () => Place::Other,
    };
    let originals: Vec<&str> = text.split('/').collect();
    let mut names: Vec<String> = originals.iter().map(|name| of_name(name, place)).collect();
    for i in (1..names.len()).rev() {
        let before = originals[i - 1];
        // The objects of git and of caches: the first two digits of a digest are a directory.
        let is_digest = originals[i].len() >= LEAST_DIGEST && is_hex(originals[i]);
        // Directories by date: 2026/11/30.
        let is_day = originals[i].len() <= 2 && is_number(originals[i]);
        if is_digest && before.len() == 2 && is_hex(before) {
            names[i - 1] = ANY.into();
        } else if is_day && names[..i].iter().rev().take(2).any(|name| name == ANY) {
            names[i] = ANY.into();
        }
    }
    names.join("/")
}

/// A part of a name: letters and digits, or what separates these.
struct Token<'a> {
    text: &'a str,
    is_word: bool,
    /// True if the token as a whole differs from run to run.
    varies: bool,
}

fn of_name(name: &str, place: Place) -> String {
    if place == Place::Temporary && is_tempfile(name) {
        return format!("tmp{ANY}");
    }
    if place == Place::Temporary && is_mktemp(name) {
        return format!("tmp.{ANY}");
    }
    let may_vary = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
    if !name.bytes().any(may_vary) {
        return name.to_string();
    }
    let mut tokens = tokens(name);
    mark_uuids(&mut tokens);
    let last = tokens.iter().rposition(|token| token.is_word);
    for (i, token) in tokens
        .iter_mut()
        .enumerate()
        .filter(|(_, token)| token.is_word)
    {
        let ends = Some(i) == last && (i > 0 || token.text.starts_with("sed"));
        token.varies |= varies(token.text, place, ends);
    }
    mark_neighbours(&mut tokens);
    joined(&tokens, place)
}

/// Splits a name into words of letters and digits, and the characters between them.
fn tokens(name: &str) -> Vec<Token<'_>> {
    let mut tokens = vec![];
    let is_word = |c: char| c.is_alphanumeric();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let kind = is_word(first);
        let end = rest.find(|c| is_word(c) != kind).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        tokens.push(Token {
            text,
            is_word: kind,
            varies: false,
        });
        rest = after;
    }
    tokens
}

/// Marks the words of UUIDs, whose groups are separated by `-` or `_`.
fn mark_uuids(tokens: &mut [Token]) {
    const WORDS: usize = UUID_GROUPS.len() * 2 - 1;
    for start in 0..tokens.len().saturating_sub(WORDS - 1) {
        let uuid = &mut tokens[start..start + WORDS];
        let is_group = |(i, token): (usize, &Token)| match i % 2 {
            // A prefix may touch the first group, as in pod0d3c...
            0 => {
                let length = UUID_GROUPS[i / 2];
                let digits = token.text.len().checked_sub(length);
                let digits = digits.and_then(|from| token.text.get(from..));
                digits.is_some_and(is_hex) && (i == 0 || token.text.len() == length)
            }
            _ => matches!(token.text, "-" | "_"),
        };
        if uuid.iter().enumerate().all(is_group) {
            uuid.iter_mut()
                .for_each(|token| token.varies |= token.is_word);
        }
    }
}

/// Marks the numbers beside a word that varies, as in the date 2026-11-30 and the time 10:22:33.123.
fn mark_neighbours(tokens: &mut [Token]) {
    let count = tokens.len();
    let first = usize::from(tokens.first().is_some_and(|token| !token.is_word));
    let mut mark = |i: usize, neighbour: usize| {
        let separator = tokens[i.max(neighbour) - 1].text;
        let is_near = matches!(separator, "-" | "_" | ":" | "." | "+");
        let time = |text: &str| is_number(text.trim_end_matches('Z').trim_start_matches('T'));
        let is_time = |text: &str| text.split('T').all(time);
        if is_near && tokens[neighbour].varies && is_time(tokens[i].text) {
            tokens[i].varies = true;
        }
    };
    for i in (first + 2..count).step_by(2) {
        mark(i, i - 2);
    }
    for i in (first..count.saturating_sub(2)).step_by(2).rev() {
        mark(i, i + 2);
    }
}

fn joined(tokens: &[Token], place: Place) -> String {
    let mut name = String::new();
    for (i, token) in tokens.iter().enumerate() {
        let between = !token.is_word
            && i > 0
            && tokens[i - 1].varies
            && tokens.get(i + 1).is_some_and(|next| next.varies);
        match () {
            // Several such words are one.
            () if between => {}
            () if token.varies && name.ends_with(ANY) => {}
            () if token.varies => name += ANY,
            () if token.is_word => name += &without_numbers(token.text, place),
            () => name += token.text,
        }
    }
    name
}

/// Returns whether a word as a whole differs from run to run. `ends`: it is the last word of a name, after another one.
fn varies(word: &str, place: Place, ends: bool) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let lower = word.bytes().any(|b| b.is_ascii_lowercase());
    let upper = word.bytes().any(|b| b.is_ascii_uppercase());
    let kinds = usize::from(digits > 0) + usize::from(lower) + usize::from(upper);
    if digits == word.len() {
        return digits >= LEAST_DIGITS || place != Place::Other;
    }
    if word.len() >= LEAST_HEX && digits > 0 && is_hex(word) {
        return true;
    }
    if place == Place::Temporary && word.len() >= TEMPLATE_LENGTH && kinds >= 2 {
        return true;
    }
    if word.len() >= LEAST_RANDOM {
        return digits > 1 && kinds >= 2 && changes(word) * 4 >= word.len();
    }
    let random = word.strip_prefix("sed").unwrap_or(word);
    let is_capitalised = !random.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    ends && random.len() == TEMPLATE_LENGTH
        && upper
        && kinds >= 2
        && changes(random) >= 2
        && !(is_capitalised && digits == 0)
}

/// Returns how often letters of one case, of the other case and digits follow each other.
fn changes(word: &str) -> usize {
    let kind = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase());
    let pairs = word.as_bytes().windows(2);
    pairs.filter(|pair| kind(pair[0]) != kind(pair[1])).count()
}

/// Replaces the long numbers in a word, and in temporary names all numbers.
fn without_numbers(word: &str, place: Place) -> String {
    let least = match place {
        Place::Temporary => 1,
        Place::Numbered | Place::Other => LEAST_DIGITS_IN_WORD,
    };
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..].find(|c: char| !c.is_ascii_digit());
        let end = end.map_or(rest.len(), |length| start + length);
        text += &rest[..start];
        text += match end - start >= least {
            true => ANY,
            false => &rest[start..end],
        };
        rest = &rest[end..];
    }
    text + rest
}

/// Returns whether a name is one of Python's module tempfile: `tmp` and eight characters.
fn is_tempfile(name: &str) -> bool {
    let random = name.strip_prefix("tmp").unwrap_or_default();
    let is_random = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    random.len() == 8 && random.bytes().all(is_random)
}

/// Returns whether a name is one of mktemp(1): `tmp.` and six letters or digits, or more.
fn is_mktemp(name: &str) -> bool {
    let random = name.strip_prefix("tmp.").unwrap_or_default();
    random.len() >= TEMPLATE_LENGTH && random.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_hex(text: &str) -> bool {
    // Ids are written in lower or in upper case.
    let has = |is: fn(&u8) -> bool| text.bytes().any(|b| is(&b));
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_hexdigit())
        && !(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        for (text, want) in [
            ("/proc/4711/task/4712/stat", "/proc/*/task/*/stat"),
            ("/proc/7/fd/3", "/proc/*/fd/*"),
            ("/proc/self/status", "/proc/self/status"),
            ("/dev/pts/0", "/dev/pts/*"),
            ("/tmp/tmp.Ab3xYzQw1K", "/tmp/tmp.*"),
            ("/tmp/tmp.iblyym", "/tmp/tmp.*"),
            ("/tmp/tmpab_cdefg/data.json", "/tmp/tmp*/data.json"),
            ("/tmp/ccAbCdEf.o", "/tmp/*.o"),
            ("/tmp/app-7.lock", "/tmp/app-*.lock"),
            ("/etc/sedQx2ZpL", "/etc/*"),
            ("/srv/.config.json.aB3dE5", "/srv/.config.json.*"),
            ("/var/log/app-2026-11-30.log", "/var/log/app-*.log"),
            ("/data/2026-11-30T10:22:33.123Z.bin", "/data/*.bin"),
            ("/logs/2026/11/30/app.log", "/logs/*/*/*/app.log"),
            ("/run/user-1000.sock", "/run/user-*.sock"),
            (
                "/r/.git/objects/ab/cdef0123456789abcdef0123456789abcdef01",
                "/r/.git/objects/*/*",
            ),
            (
                "/var/lib/x/550e8400-e29b-41d4-a716-446655440000/v",
                "/var/lib/x/*/v",
            ),
            ("/cache/4f5b8c9d0e1f2a3b", "/cache/*"),
            ("job-20261130-web", "job-*-web"),
            ("pipe:[448774]", "pipe:[*]"),
            ("ip-10-0-3-17.internal", "ip-10-0-3-17.internal"),
        ] {
            assert_eq!(generalized(text), want, "{text}");
        }
    }

    #[test]
    fn names_that_do_not_differ_stay() {
        for text in [
            "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30",
            "/usr/lib/python3.12/json/decoder.py",
            "/usr/bin/sha256sum",
            "/usr/share/zoneinfo/Etc/GMT+10",
            "/opt/App/HelloWorld.class",
            "/lib/libc.musl-x86_64.so.1",
            "/dev/nvme0n1",
            "/etc/README",
            "/srv/facade/deadline",
            "/etc/ssh/ssh_host_ed25519_key",
            "/data/db/index",
            "/data/Makefile.Debian",
            "",
            "/",
            "/bin/[",
            "/srv/été/naïve",
        ] {
            assert_eq!(generalized(text), text);
        }
    }
}
