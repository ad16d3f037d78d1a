//! The output of strace: one file per thread, strings in hexadecimal and constants as numbers, so that parsing is exact.

use std::fs;
use std::path::Path;

/// The command line of strace, without the prefix of the files PREFIX.TID, one for each thread.
///
/// `-ff` writes a file per thread, `-yy` describes each fd, `-X raw` prints constants as numbers, `-v` abbreviates nothing,
/// `-xx` prints strings in hexadecimal, and `-s` allows strings longer than any path.
pub(crate) const COMMAND: &[&str] = &[
    "/usr/bin/strace",
    "-ff",
    "-yy",
    "-X",
    "raw",
    "-v",
    "-xx",
    "-s",
    "8192",
    "-o",
];

/// The calls of a thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) tid: i64,
    pub(crate) calls: Vec<Call>,
    pub(crate) end: Option<End>,
}

/// The end of a thread, as reported by wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i64),
    Killed(i64),
    /// Another thread of the process called exec and got the id of this thread.
    Superseded,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) ret: Return,
    /// The shortened line, for the report.
    pub(crate) line: String,
    /// The thread whose id this thread's exec gets, if the exec does not return in this thread.
    heir: Option<i64>,
}

const RESUMED: &str = "<... execve resumed>";

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// No result, because the thread ended in the call.
    Never,
    /// A number, and the description if it is an fd.
    Value(i64, Option<String>),
    /// The name of an errno.
    Error(String),
}

/// Reads the threads that strace wrote to `prefix`.TID.
pub(crate) fn read(dir: &Path, prefix: &str) -> Vec<Thread> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(tid) = name.strip_prefix(prefix).and_then(|n| n.strip_prefix('.')) else {
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        threads.push(thread(tid.parse().unwrap(), &text));
    }
    assert!(
        !threads.is_empty(),
        "strace wrote nothing to {}",
        dir.display()
    );
    threads.sort_by_key(|t| t.tid);
    join_execs(&mut threads);
    threads
}

/// Joins the two parts of each exec by a thread that is not the first of its process: the call begins in the file of the
/// thread and ends in the file of the first thread, whose id the thread gets.
fn join_execs(threads: &mut [Thread]) {
    let mut begun = Vec::new();
    for thread in threads.iter_mut() {
        if thread.calls.last().is_some_and(|c| c.heir.is_some()) {
            begun.extend(thread.calls.pop());
            thread.end = Some(End::Superseded);
        }
    }
    for mut call in begun {
        let heir = threads.iter_mut().find(|t| Some(t.tid) == call.heir);
        let calls = &mut heir.unwrap().calls;
        let resumed = calls.iter_mut().find(|c| c.name == RESUMED).unwrap();
        call.ret = resumed.ret.clone();
        *resumed = call;
    }
}

/// Parses the file of a thread.
pub(crate) fn thread(tid: i64, text: &str) -> Thread {
    let mut thread = Thread {
        tid,
        calls: Vec::new(),
        end: None,
    };
    for line in text.lines() {
        if let Some(end) = line.strip_prefix("+++ ") {
            thread.end = Some(parse_end(end));
        } else if !line.starts_with("--- ") && !line.starts_with("strace: ") {
            thread.calls.push(parse(line));
        }
    }
    thread
}

fn parse_end(text: &str) -> End {
    let word = |n| text.split(' ').nth(n).unwrap();
    match word(0) {
        "exited" => End::Exited(word(2).parse().unwrap()),
        "killed" => End::Killed(signal_number(word(2))), // "killed by SIGKILL", perhaps "(core dumped)"
        "superseded" => End::Superseded,
        _ => panic!("strace ends with: {text}"),
    }
}

/// Returns the number of a signal, which strace prints by name in spite of `-X raw`.
fn signal_number(name: &str) -> i64 {
    let number = (1..=64).find(|n| ctrace_schema::strace::signal(*n) == name);
    number.unwrap_or_else(|| panic!("no signal {name}"))
}

fn parse(line: &str) -> Call {
    if let Some((begun, heir)) = line.split_once(" <pid changed to ") {
        let mut call = parse(&format!("{begun}) = ?"));
        call.heir = heir.strip_suffix(" ...>").and_then(number);
        return call;
    }
    let whole = line.replacen(RESUMED, &format!("{RESUMED}("), 1);
    let (name, rest) = whole
        .split_once('(')
        .unwrap_or_else(|| panic!("strace wrote no call: {line}"));
    let (args, rest) = split(rest);
    let ret = rest.trim_start().strip_prefix("= ");
    let ret = ret.unwrap_or_else(|| panic!("strace wrote no result: {line}"));
    Call {
        name: name.to_owned(),
        args,
        ret: parse_return(ret),
        line: readable(line),
        heir: None,
    }
}

fn parse_return(text: &str) -> Return {
    let mut words = text.split(' ');
    let first = words.next().unwrap();
    let second = words.next().filter(|w| w.starts_with('E'));
    match (first, second) {
        ("?" | "-1", Some(error)) => Return::Error(error.to_owned()),
        ("?", None) => Return::Never,
        _ => {
            let value = number(first).unwrap_or_else(|| panic!("result `{text}` is no number"));
            Return::Value(value, annotation(text).map(str::to_owned))
        }
    }
}

/// Splits arguments at the commas outside of brackets and quotes. Returns the arguments, and the text after the closing
/// parenthesis.
fn split(text: &str) -> (Vec<String>, &str) {
    let (mut depth, mut quoted, mut previous) = (0, false, ' ');
    let mut args = vec![String::new()];
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            // A shift is no bracket: `1<<26`.
            '<' if previous == '<' || text[at + 1..].starts_with('<') => {}
            '(' | '[' | '{' | '<' => depth += 1,
            ')' if depth == 0 => {
                if args.len() == 1 && args[0].is_empty() {
                    args.clear();
                }
                return (args, &text[at + 1..]);
            }
            // An arrow is no bracket.
            '>' if previous == '-' || previous == '=' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                args.push(String::new());
                previous = c;
                continue;
            }
            ' ' if depth == 0 && previous == ',' => continue,
            _ => {}
        }
        previous = c;
        args.last_mut().unwrap().push(c);
    }
    panic!("strace's arguments have no end: {text}");
}

/// Returns the members of `{a=1, b=2}` or the elements of `[1, 2]`.
pub(crate) fn members(text: &str) -> Vec<String> {
    let inner = text
        .strip_prefix(['{', '['])
        .and_then(|t| t.strip_suffix(['}', ']']));
    inner.map_or_else(Vec::new, |t| split(&format!("{t})")).0)
}

/// Returns a member of a struct by its name.
pub(crate) fn member(text: &str, name: &str) -> Option<String> {
    let of = |m: String| m.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    members(text).into_iter().find_map(of)
}

/// Parses the number at the beginning of an argument: decimal, hexadecimal, octal, shifted, or several with `|` between them.
pub(crate) fn number(text: &str) -> Option<i64> {
    let text = text.split(' ').next()?;
    let is_annotation =
        |at: &usize| !text[..*at].ends_with('<') && !text[at + 1..].starts_with('<');
    let end = text
        .match_indices('<')
        .map(|(at, _)| at)
        .find(is_annotation);
    let text = &text[..end.unwrap_or(text.len())];
    if text == "NULL" {
        return Some(0);
    }
    let one = |part: &str| {
        let (sign, digits) = part.strip_prefix('-').map_or((1, part), |d| (-1, d));
        let value = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok()?,
            None if digits.len() > 1 && digits.starts_with('0') => {
                u64::from_str_radix(digits, 8).ok()?
            }
            None => digits.parse().ok()?,
        };
        Some(sign * value as i64)
    };
    let shifted = |part: &str| match part.split_once("<<") {
        Some((value, bits)) => Some(one(value)? << one(bits)?),
        None => one(part),
    };
    text.split('|')
        .try_fold(0, |all, part| Some(all | shifted(part)?))
}

/// Returns the description of an fd: `...` in `3<...>`.
pub(crate) fn annotation(text: &str) -> Option<&str> {
    let (fd, rest) = text.split_once('<')?;
    let end = rest.rfind('>')?;
    number(fd).map(|_| &rest[..end])
}

/// Returns the bytes of `"\x2f..."`, or None if `text` is no string or was cut.
pub(crate) fn string(text: &str) -> Option<Vec<u8>> {
    hex(text.strip_prefix('"')?.strip_suffix('"')?)
}

/// Returns the bytes of `\x2f\x65...`.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split("\\x");
    if parts.next() != Some("") {
        return None;
    }
    parts.map(|p| u8::from_str_radix(p, 16).ok()).collect()
}

/// Returns a line with its strings as text, cut to a readable length.
fn readable(line: &str) -> String {
    let mut parts = line.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|h| u8::from_str_radix(h, 16).ok());
        out.extend(byte.unwrap_or(b'?').escape_ascii().map(char::from));
        out.push_str(part.get(2..).unwrap_or_default());
    }
    if out.len() > 400 {
        out.truncate(out.floor_char_boundary(300));
        out.push_str("...");
        let tail = line.rsplit(") ").next().unwrap_or_default();
        out.extend(tail.chars().take(60));
    }
    out
}
