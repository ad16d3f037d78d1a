//! A lexer for incomplete SQL: strings and comments may be unclosed, and nothing is an error.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or an unquoted name.
    Word,
    Number,
    /// A text in single quotes.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    /// Byte offset in the statement.
    pub(crate) start: usize,
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// Returns whether the token is neither space nor comment.
    pub(crate) fn is_significant(&self) -> bool {
        !matches!(self.kind, TokenKind::Space | TokenKind::Comment { .. })
    }

    /// Returns whether the token is `word`, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// Splits `sql` into tokens, without losing a character.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
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

/// Returns the kind and the length in bytes of the first token of `rest`, which begins with `first`.
fn token(rest: &str, first: char) -> (TokenKind, usize) {
    let run_of = |is_part: fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    match first {
        '\'' => quoted(rest, '\'', |closed| TokenKind::Text { closed }),
        '"' => quoted(rest, '"', |closed| TokenKind::Name { closed }),
        '-' if rest.starts_with("--") => {
            let end = rest.find('\n');
            let closed = end.is_some();
            (TokenKind::Comment { closed }, end.unwrap_or(rest.len()))
        }
        '/' if rest.starts_with("/*") => {
            let end = rest[2..].find("*/");
            let closed = end.is_some();
            (
                TokenKind::Comment { closed },
                end.map_or(rest.len(), |at| at + 4),
            )
        }
        ';' => (TokenKind::End, 1),
        c if c.is_whitespace() => (TokenKind::Space, run_of(char::is_whitespace)),
        c if c.is_ascii_digit() => (TokenKind::Number, run_of(is_number_char)),
        c if is_word_char(c) => (TokenKind::Word, run_of(is_word_char)),
        c => (TokenKind::Other, c.len_utf8()),
    }
}

/// Finds the end of a quoted token. A quote inside the token is doubled.
fn quoted(rest: &str, quote: char, kind: fn(bool) -> TokenKind) -> (TokenKind, usize) {
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

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_number_char(c: char) -> bool {
    is_word_char(c) || c == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(TokenKind, &str)> {
        let tokens = tokens(sql);
        assert_eq!(tokens.iter().map(|t| t.text).collect::<String>(), sql);
        let tokens = tokens.into_iter().filter(|t| t.kind != TokenKind::Space);
        tokens.map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn quotes_and_comments_are_single_tokens() {
        assert_eq!(
            kinds("a 'it''s; -- ' \"b;\" -- c; '\n/* ; */ 1.5;"),
            [
                (TokenKind::Word, "a"),
                (TokenKind::Text { closed: true }, "'it''s; -- '"),
                (TokenKind::Name { closed: true }, "\"b;\""),
                (TokenKind::Comment { closed: true }, "-- c; '"),
                (TokenKind::Comment { closed: true }, "/* ; */"),
                (TokenKind::Number, "1.5"),
                (TokenKind::End, ";"),
            ]
        );
    }

    #[test]
    fn unclosed_tokens_reach_to_the_end() {
        let last = |sql| kinds(sql).pop();
        assert_eq!(
            last("a = 'x''"),
            Some((TokenKind::Text { closed: false }, "'x''"))
        );
        assert_eq!(
            last("/* x *"),
            Some((TokenKind::Comment { closed: false }, "/* x *"))
        );
        assert_eq!(
            last("-- é"),
            Some((TokenKind::Comment { closed: false }, "-- é"))
        );
        assert_eq!(last("≥"), Some((TokenKind::Other, "≥")));
    }
}
