//! The commands of the shell, which begin with a backslash.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::shell::input::words;
use crate::cli::Format;
use crate::engine::sql_error::nearest;

/// A command, as `\?` lists it.
#[derive(Debug)]
pub struct Named {
    /// With the backslash.
    pub name: &'static str,
    /// What may follow it.
    pub takes: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn named(name: &'static str, takes: &'static str, about: &'static str) -> Named {
    Named { name, takes, about }
}

/// Every command.
pub const COMMANDS: &[Named] = &[
    named("\\d", "[TABLE]", "list the tables, or the columns of one"),
    named(
        "\\r",
        "[RECORDING...]",
        "open other recordings, or these as they are now",
    ),
    named("\\o", "[FILE]", "write the next answer to a file"),
    named(
        "\\format",
        "[FORMAT]",
        "how answers are written: table, vertical, csv, json, ...",
    ),
    named("\\timing", "[on|off]", "say how long each answer took"),
    named(
        "\\watch",
        "[SECONDS]",
        "give the last answer again every 2 seconds, until Ctrl-C",
    ),
    named(
        "\\pager",
        "[on|off]",
        "show answers that are longer than the screen in $PAGER, or less",
    ),
    named(
        "\\h",
        "[TOPIC]",
        "help on `questions`, `functions`, or one question",
    ),
    named("\\?", "", "this list"),
    named("\\q", "", "leave, as Ctrl-D does"),
];

/// What a command asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Describe(Option<String>),
    /// None: those that are open.
    Open(Vec<PathBuf>),
    /// None: the terminal.
    Output(Option<PathBuf>),
    /// None: which is it?
    Format(Option<Format>),
    /// None: the other way.
    Timing(Option<bool>),
    Pager(Option<bool>),
    Watch(Duration),
    Help(Option<String>),
    Quit,
    /// No command of the shell: a ready question, with its options.
    Other(Vec<String>),
}

/// How long `\watch` waits between two answers.
const PERIOD: Duration = Duration::from_secs(2);

impl Command {
    /// Reads what stands behind the backslash. `ready`: the names of the ready questions.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn parse(line: &str, ready: &[&str]) -> Result<Self, String> {
        let words = words(line)?;
        let (name, rest) = words
            .split_first()
            .map_or(("?", &[][..]), |(name, rest)| (name, rest));
        let named = COMMANDS.iter().find(|command| &command.name[1..] == name);
        let Some(named) = named else {
            return match ready.contains(&name) {
                true => Ok(Command::Other(words)),
                false => Err(unknown(name, ready)),
            };
        };
        let usage = || {
            format!("it is `{} {}`", named.name, named.takes)
                .trim_end()
                .to_string()
        };
        if rest.len() > 1 && name != "r" {
            return Err(usage());
        }
        let first = rest.first();
        Ok(match name {
            "d" => Command::Describe(first.cloned()),
            "r" => Command::Open(rest.iter().map(PathBuf::from).collect()),
            "o" => Command::Output(first.map(PathBuf::from)),
            "format" => Command::Format(first.map(|name| format(name)).transpose()?),
            "timing" => Command::Timing(
                first
                    .map(|word| switch(word))
                    .transpose()
                    .map_err(|()| usage())?,
            ),
            "pager" => Command::Pager(
                first
                    .map(|word| switch(word))
                    .transpose()
                    .map_err(|()| usage())?,
            ),
            "watch" => Command::Watch(
                first
                    .map_or(Some(PERIOD), |word| seconds(word))
                    .ok_or_else(usage)?,
            ),
            "q" => Command::Quit,
            _ => Command::Help(first.cloned()),
        })
    }
}

fn unknown(name: &str, ready: &[&str]) -> String {
    let names = COMMANDS
        .iter()
        .map(|command| &command.name[1..])
        .chain(ready.iter().copied());
    match nearest(name, names) {
        Some(near) => format!("there is no command `\\{name}`: did you mean `\\{near}`?"),
        None => format!("there is no command `\\{name}`: `\\?` lists them"),
    }
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_str(name, true).map_err(|_| format!("there is no format `{name}`: {}", formats()))
}

/// The names of the formats.
pub fn formats() -> String {
    let formats = Format::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value);
    let names: Vec<_> = formats
        .map(|format| format.get_name().to_string())
        .collect();
    format!("there are {}", names.join(", "))
}

fn switch(word: &str) -> Result<bool, ()> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(()),
    }
}

fn seconds(word: &str) -> Option<Duration> {
    let seconds: f64 = word.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|period| !period.is_zero())
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn commands_are_read() {
        let parse = |line| Command::parse(line, &["files"]);
        assert_eq!(
            parse("d events").unwrap(),
            Command::Describe(Some("events".into()))
        );
        assert_eq!(
            parse("r a.parquet 'b c'").unwrap(),
            Command::Open(vec!["a.parquet".into(), "b c".into()])
        );
        assert_eq!(parse("watch").unwrap(), Command::Watch(PERIOD));
        assert_eq!(
            parse("watch 0.5").unwrap(),
            Command::Watch(Duration::from_millis(500))
        );
        assert_eq!(parse("timing").unwrap(), Command::Timing(None));
        assert_eq!(
            parse("format CSV").unwrap(),
            Command::Format(Some(Format::Csv))
        );
        assert_eq!(parse("").unwrap(), Command::Help(None));
        assert_eq!(
            parse("files -n 1").unwrap(),
            Command::Other(["files", "-n", "1"].map(String::from).to_vec())
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |line| Command::parse(line, &["files"]).unwrap_err();
        assert_eq!(
            wrong("tming"),
            "there is no command `\\tming`: did you mean `\\timing`?"
        );
        assert_eq!(
            wrong("xyzzy"),
            "there is no command `\\xyzzy`: `\\?` lists them"
        );
        assert_eq!(wrong("timing maybe"), "it is `\\timing [on|off]`");
        for watch in [
            "watch 0",
            "watch -1",
            "watch soon",
            "watch 1 2",
            "watch inf",
        ] {
            assert_eq!(wrong(watch), "it is `\\watch [SECONDS]`");
        }
        assert!(wrong("format xml").contains("there are table, vertical"));
    }
}
