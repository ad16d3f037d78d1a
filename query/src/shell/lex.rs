//! The tokens of SQL that is still being written: strings and comments may be open, and nothing is an error.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or an unquoted name.
    Word,
    Number,
    /// A text in single quotes; `closed` or still being written.
    Text {
        closed: bool,
    },
    /// A name in double quotes.
    Name {
        closed: bool,
    },
    Comment {
        closed: bool,
    },
    Space,
    /// `;`
    End,
    /// Any other character.
    Other,
}

/// A part of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    /// Its first byte in the statement.
    pub start: usize,
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether something is said by it: neither space nor comment.
    pub fn says(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment { .. })
    }

    /// Whether it is this word, in any case.
    pub fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// All of `sql`, token by token.
pub fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = sql[start..].chars().next() {
        let (kind, length) = token(&sql[start..], first);
        let text = &sql[start..start + length];
        tokens.push(Token { kind, start, text });
        start += length;
    }
    tokens
}

/// What `rest`, which begins with `first`, begins with, and how many bytes that is.
fn token(rest: &str, first: char) -> (Kind, usize) {
    let while_it = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
    match first {
        '\'' => quoted(rest, '\'', |closed| Kind::Text { closed }),
        '"' => quoted(rest, '"', |closed| Kind::Name { closed }),
        '-' if rest.starts_with("--") => {
            let end = rest.find('\n');
            let closed = end.is_some();
            (Kind::Comment { closed }, end.unwrap_or(rest.len()))
        }
        '/' if rest.starts_with("/*") => {
            let end = rest[2..].find("*/");
            let closed = end.is_some();
            (
                Kind::Comment { closed },
                end.map_or(rest.len(), |at| at + 4),
            )
        }
        ';' => (Kind::End, 1),
        c if c.is_whitespace() => (Kind::Space, while_it(char::is_whitespace)),
        c if c.is_ascii_digit() => (Kind::Number, while_it(is_of_number)),
        c if is_of_word(c) => (Kind::Word, while_it(is_of_word)),
        c => (Kind::Other, c.len_utf8()),
    }
}

/// A quote within a text is written twice.
fn quoted(rest: &str, quote: char, kind: fn(bool) -> Kind) -> (Kind, usize) {
    let mut at = 1;
    while let Some(found) = rest[at..].find(quote) {
        at += found + 1;
        if !rest[at..].starts_with(quote) {
            return (kind(true), at);
        }
        at += 1;
    }
    (kind(false), rest.len())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_of_number(c: char) -> bool {
    is_of_word(c) || c == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        let tokens = tokens(sql);
        assert_eq!(tokens.iter().map(|t| t.text).collect::<String>(), sql);
        let tokens = tokens.into_iter().filter(|t| t.kind != Kind::Space);
        tokens.map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn quotes_and_comments_hide_what_they_hold() {
        assert_eq!(
            kinds("a 'it''s; -- ' \"b;\" -- c; '\n/* ; */ 1.5;"),
            [
                (Kind::Word, "a"),
                (Kind::Text { closed: true }, "'it''s; -- '"),
                (Kind::Name { closed: true }, "\"b;\""),
                (Kind::Comment { closed: true }, "-- c; '"),
                (Kind::Comment { closed: true }, "/* ; */"),
                (Kind::Number, "1.5"),
                (Kind::End, ";"),
            ]
        );
    }

    #[test]
    fn what_is_open_reaches_to_the_end() {
        let open = |sql| kinds(sql).pop();
        assert_eq!(
            open("a = 'x''"),
            Some((Kind::Text { closed: false }, "'x''"))
        );
        assert_eq!(
            open("/* x *"),
            Some((Kind::Comment { closed: false }, "/* x *"))
        );
        assert_eq!(
            open("-- é"),
            Some((Kind::Comment { closed: false }, "-- é"))
        );
        assert_eq!(open("≥"), Some((Kind::Other, "≥")));
    }
}
