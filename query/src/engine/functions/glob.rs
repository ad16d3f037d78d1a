//! The function `glob`: patterns of paths, over characters.

use datafusion::common::exec_datafusion_err;
use regex::Regex;

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::each_tested;

/// Maximum number of patterns without braces that a pattern with braces may stand for.
const MAX_ALTERNATIVES: usize = 1024;
/// Characters with a meaning, which a backslash before the character removes. Before other characters, a backslash is
/// an ordinary character, so that a text copied from a recording, such as `a\x0ab` or `a\\b`, is a pattern that matches
/// the text.
const SPECIAL: &[char] = &['*', '?', '[', ']', '{', '}', ',', '!', '^', '-'];

/// Creates the function `glob(text, pattern)`.
pub(crate) fn glob() -> ScalarFn {
    let takes = &[ArgType::Text, ArgType::Text];
    ScalarFn::new("glob", takes, ResultType::Boolean, |args, rows| {
        let read = |text: &str| {
            Pattern::new(text)
                .map_err(|reason| exec_datafusion_err!("`{text}` is not a pattern: {reason}"))
        };
        each_tested(args, (1, 0), rows, read, |pattern: &Pattern, text| {
            Some(pattern.matches(text))
        })
    })
}

/// A compiled pattern.
#[derive(Debug)]
struct Pattern {
    /// True if the pattern begins with an odd number of `!`: it matches the texts that `regex` does not match.
    negated: bool,
    regex: Regex,
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, String> {
        let body = text.trim_start_matches('!');
        let negated = (text.len() - body.len()) % 2 == 1;
        let alternatives = expanded(&pieces(body)?)?;
        let alternatives = alternatives.iter().map(|pieces| expression(pieces));
        let alternatives = alternatives.collect::<Vec<_>>().join("|");
        let regex = Regex::new(&format!("(?s)^(?:{alternatives})$"));
        let regex = regex.map_err(|_| "it is too long".to_string())?;
        Ok(Pattern { negated, regex })
    }

    fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text) != self.negated
    }
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**`
    DoubleStar,
    /// `[...]`: ranges of characters, both ends included.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `{...}`
    Braces(Vec<Vec<Piece>>),
}

/// Splits a pattern into pieces.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
    };
    reader.pieces(0)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Reads pieces up to the end; inside braces, up to the next `,` or `}`.
    fn pieces(&mut self, depth: usize) -> Result<Vec<Piece>, String> {
        let mut pieces = vec![];
        while let Some(c) = self.peek() {
            if depth > 0 && matches!(c, ',' | '}') {
                break;
            }
            self.at += 1;
            let piece = match c {
                // A pair of backslashes stands for itself, and does not affect the next character.
                '\\' if self.take('\\') => {
                    pieces.push(Piece::Char('\\'));
                    Piece::Char('\\')
                }
                '\\' => Piece::Char(self.escaped()),
                '?' => Piece::Any,
                '*' if self.take('*') => Piece::DoubleStar,
                '*' => Piece::Star,
                '[' => self.class()?,
                '{' => self.braces(depth + 1)?,
                c => Piece::Char(c),
            };
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// Reads the character after a backslash if the character is one of [`SPECIAL`]. Otherwise returns the backslash.
    fn escaped(&mut self) -> char {
        match self.peek() {
            Some(c) if SPECIAL.contains(&c) => {
                self.at += 1;
                c
            }
            _ => '\\',
        }
    }

    fn braces(&mut self, depth: usize) -> Result<Piece, String> {
        const MAX_DEPTH: usize = 10;
        if depth > MAX_DEPTH {
            return Err(format!("braces are nested more than {MAX_DEPTH} times"));
        }
        let mut alternatives = vec![];
        loop {
            alternatives.push(self.pieces(depth)?);
            if self.take('}') {
                return Ok(Piece::Braces(alternatives));
            }
            if !self.take(',') {
                return Err(unclosed('{'));
            }
        }
    }

    fn class(&mut self) -> Result<Piece, String> {
        let negated = self.take('!') || self.take('^');
        let mut ranges = vec![];
        loop {
            // `]` as the first character of a class is an ordinary character.
            if !ranges.is_empty() && self.take(']') {
                return Ok(Piece::Class { negated, ranges });
            }
            let low = self.member()?;
            let has_end =
                self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']');
            let high = match has_end {
                true => {
                    self.at += 1;
                    self.member()?
                }
                false => low,
            };
            ranges.push((low, high));
        }
    }

    fn member(&mut self) -> Result<char, String> {
        let c = self.peek().ok_or_else(|| unclosed('['))?;
        self.at += 1;
        match c {
            '\\' if self.take('\\') => Ok('\\'),
            '\\' => Ok(self.escaped()),
            c => Ok(c),
        }
    }
}

fn unclosed(open: char) -> String {
    format!("`{open}` is not closed; write `\\{open}` for the character")
}

/// Expands the braces of a pattern: returns all patterns without braces that the pattern stands for.
fn expanded(pieces: &[Piece]) -> Result<Vec<Vec<Piece>>, String> {
    let mut patterns = vec![vec![]];
    for piece in pieces {
        let endings = match piece {
            Piece::Braces(alternatives) => {
                let mut endings = vec![];
                for alternative in alternatives {
                    endings.extend(expanded(alternative)?);
                }
                endings
            }
            other => vec![vec![other.clone()]],
        };
        if patterns.len() * endings.len() > MAX_ALTERNATIVES {
            return Err(format!(
                "its braces have more than {MAX_ALTERNATIVES} combinations"
            ));
        }
        let with_ending = |pattern: &Vec<Piece>| {
            let pattern = pattern.clone();
            let joined = endings
                .iter()
                .map(move |ending| [&pattern[..], ending].concat());
            joined.collect::<Vec<_>>()
        };
        patterns = patterns.iter().flat_map(with_ending).collect();
    }
    Ok(patterns)
}

/// Returns the regular expression for a pattern without braces.
fn expression(pieces: &[Piece]) -> String {
    let slash = Piece::Char('/');
    let mut out = String::new();
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        let starts_segment = at == 0 || pieces[at - 1] == slash;
        let next = pieces.get(at + 1);
        at += 1;
        match piece {
            Piece::DoubleStar if starts_segment && next == Some(&slash) => {
                out.push_str("(?:.*/)?");
                at += 1;
            }
            Piece::DoubleStar if starts_segment && next.is_none() => out.push_str(".*"),
            Piece::Star | Piece::DoubleStar => out.push_str("[^/]*"),
            Piece::Any => out.push_str("[^/]"),
            Piece::Char(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Piece::Class { negated, ranges } => out.push_str(&class(*negated, ranges)),
            // `expanded` has replaced braces.
            Piece::Braces(_) => {}
        }
    }
    out
}

/// Returns the regular expression for a class, which never matches `/`.
fn class(negated: bool, ranges: &[(char, char)]) -> String {
    let ranges = ranges.iter().filter(|(low, high)| low <= high);
    let ranges = ranges
        .map(|(low, high)| format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(*low), u32::from(*high)));
    let ranges: String = ranges.collect();
    match (negated, ranges.is_empty()) {
        (true, _) => format!("[^/{ranges}]"),
        (false, false) => format!("[{ranges}&&[^/]]"),
        (false, true) => "[a&&b]".into(),
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn characters_are_matched_whole() {
        assert!(matches("?", "é"));
        assert!(!matches("??", "é"));
        assert!(matches("[é-ü]x", "öx"));
        assert!(!matches("[^é]", "é"));
        assert!(matches("[!a]", "日"));
    }

    #[test]
    fn copied_texts_are_found() {
        for text in [r"/tmp/a\x0ab", r"/tmp/a\\b", r"a\\\x1b", r"end\\"] {
            assert!(matches(text, text), "{text}");
        }
        assert!(matches(r"/tmp/a\x0a*", r"/tmp/a\x0ab"));
        assert!(matches(r"\[a\]\*", "[a]*"));
        assert!(matches(r"a\\\*", r"a\\*"));
        assert!(matches(r"[\]\\]", r"\"));
    }

    #[test]
    fn unclosed_brackets_are_found() {
        for (pattern, want) in [
            ("[", Some('[')),
            ("a[!]", Some('[')),
            ("a[]]b", None),
            ("[a-z]{b,{c,d}}", None),
            ("{a,b", Some('{')),
            (r"\[\{", None),
            ("[é", Some('[')),
        ] {
            let error = Pattern::new(pattern).err();
            assert_eq!(error, want.map(unclosed), "{pattern}");
        }
        assert!(Pattern::new(&"{a,b}".repeat(11)).is_err());
    }

    /// Compares with the crate that matches names in the recorder's filters. The crate matches bytes, so only ASCII is
    /// compared.
    #[test]
    fn patterns_mean_what_they_mean_to_the_recorder() {
        let alphabet: Vec<char> = "ab/*?[]{},!-".chars().collect();
        let mut seed = 1_u64;
        let mut next = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % n
        };
        let mut compared = 0;
        for _ in 0..20_000 {
            let pattern: String = (0..next(8))
                .map(|_| alphabet[next(alphabet.len())])
                .collect();
            if fast_glob::validate(&pattern).is_err() {
                continue;
            }
            let text: String = (0..next(6)).map(|_| ['a', 'b', '/'][next(3)]).collect();
            let want = fast_glob::glob_match(&pattern, &text);
            assert_eq!(matches(&pattern, &text), want, "{pattern} {text}");
            compared += 1;
        }
        assert!(compared > 5_000, "{compared}");
    }
}
