//! The commands of the shell, which begin with a backslash.

use std::path::PathBuf;
use std::time::Duration;

use ctrace_common::nearest::nearest;

use crate::output::AnswerFormat;
use crate::shell::input::words;

/// The description of a command in `\?`.
#[derive(Debug)]
pub(crate) struct CommandHelp {
    /// The name, with the backslash.
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) about: &'static str,
}

const fn command(name: &'static str, arguments: &'static str, about: &'static str) -> CommandHelp {
    CommandHelp {
        name,
        arguments,
        about,
    }
}

pub(crate) const COMMANDS: &[CommandHelp] = &[
    command("\\d", "[TABLE]", "list the tables, or the columns of one"),
    command(
        "\\r",
        "[RECORDING...]",
        "open other recordings, or these as they are now",
    ),
    command("\\o", "[FILE]", "write the next answer to a file"),
    command(
        "\\format",
        "[FORMAT]",
        "format of answers: table, vertical, csv, json, ...",
    ),
    command("\\timing", "[on|off]", "print the time of each answer"),
    command(
        "\\watch",
        "[SECONDS]",
        "repeat the last query every 2 seconds, until Ctrl-C",
    ),
    command(
        "\\pager",
        "[on|off]",
        "show answers that are longer than the screen in $PAGER, or less",
    ),
    command(
        "\\h",
        "[TOPIC]",
        "help on `questions`, `functions`, or one question",
    ),
    command("\\?", "", "this list"),
    command("\\q", "", "quit, like Ctrl-D"),
];

/// A parsed command.
#[derive(Debug, PartialEq)]
pub(crate) enum ShellCommand {
    Describe(Option<String>),
    /// The recordings to open; if empty, those that are open.
    Open(Vec<PathBuf>),
    /// The file for answers; `None`: the terminal.
    Output(Option<PathBuf>),
    /// The new format; `None`: prints the format.
    Format(Option<AnswerFormat>),
    /// The new state; `None`: switches to the other state, as for `Pager`.
    Timing(Option<bool>),
    Pager(Option<bool>),
    Watch(Duration),
    Help(Option<String>),
    Quit,
    /// The words of a ready question, or of another subcommand.
    Other(Vec<String>),
}

/// The interval of `\watch` without an argument.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);

impl ShellCommand {
    /// Parses the text after the backslash. `ready`: the names of the subcommands.
    ///
    /// # Errors
    /// There is no such command, or its arguments are wrong.
    pub(crate) fn parse(line: &str, ready: &[&str]) -> Result<Self, String> {
        let words = words(line)?;
        let (name, rest) = words
            .split_first()
            .map_or(("?", &[][..]), |(name, rest)| (name, rest));
        let found = COMMANDS.iter().find(|command| &command.name[1..] == name);
        let Some(found) = found else {
            return match ready.contains(&name) {
                true => Ok(ShellCommand::Other(words)),
                false => Err(unknown_command(name, ready)),
            };
        };
        let usage = || {
            format!("usage: `{} {}`", found.name, found.arguments)
                .trim_end()
                .to_string()
        };
        if rest.len() > 1 && name != "r" {
            return Err(usage());
        }
        let first = rest.first();
        Ok(match name {
            "d" => ShellCommand::Describe(first.cloned()),
            "r" => ShellCommand::Open(rest.iter().map(PathBuf::from).collect()),
            "o" => ShellCommand::Output(first.map(PathBuf::from)),
            "format" => ShellCommand::Format(first.map(|name| parse_format(name)).transpose()?),
            "timing" => ShellCommand::Timing(
                first
                    .map(|word| parse_switch(word))
                    .transpose()
                    .map_err(|()| usage())?,
            ),
            "pager" => ShellCommand::Pager(
                first
                    .map(|word| parse_switch(word))
                    .transpose()
                    .map_err(|()| usage())?,
            ),
            "watch" => ShellCommand::Watch(
                first
                    .map_or(Some(DEFAULT_INTERVAL), |word| parse_seconds(word))
                    .ok_or_else(usage)?,
            ),
            "q" => ShellCommand::Quit,
            _ => ShellCommand::Help(first.cloned()),
        })
    }
}

fn unknown_command(name: &str, ready: &[&str]) -> String {
    let names = COMMANDS
        .iter()
        .map(|command| &command.name[1..])
        .chain(ready.iter().copied());
    match nearest(name, names) {
        Some(near) => format!("there is no command `\\{name}`: did you mean `\\{near}`?"),
        None => format!("there is no command `\\{name}`: `\\?` lists them"),
    }
}

fn parse_format(name: &str) -> Result<AnswerFormat, String> {
    AnswerFormat::from_name(name)
        .ok_or_else(|| format!("there is no format `{name}`: {}", format_list()))
}

/// Lists the names of the formats.
pub(crate) fn format_list() -> String {
    let names: Vec<_> = AnswerFormat::ALL.iter().map(|f| f.name()).collect();
    format!("there are {}", names.join(", "))
}

fn parse_switch(word: &str) -> Result<bool, ()> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(()),
    }
}

fn parse_seconds(word: &str) -> Option<Duration> {
    let seconds: f64 = word.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|interval| !interval.is_zero())
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn commands_are_parsed() {
        let parse = |line| ShellCommand::parse(line, &["files"]);
        assert_eq!(
            parse("d events").unwrap(),
            ShellCommand::Describe(Some("events".into()))
        );
        assert_eq!(
            parse("r a.parquet 'b c'").unwrap(),
            ShellCommand::Open(vec!["a.parquet".into(), "b c".into()])
        );
        assert_eq!(
            parse("watch").unwrap(),
            ShellCommand::Watch(DEFAULT_INTERVAL)
        );
        assert_eq!(
            parse("watch 0.5").unwrap(),
            ShellCommand::Watch(Duration::from_millis(500))
        );
        assert_eq!(parse("timing").unwrap(), ShellCommand::Timing(None));
        assert_eq!(
            parse("format CSV").unwrap(),
            ShellCommand::Format(Some(AnswerFormat::Csv))
        );
        assert_eq!(parse("").unwrap(), ShellCommand::Help(None));
        assert_eq!(
            parse("files -n 1").unwrap(),
            ShellCommand::Other(["files", "-n", "1"].map(String::from).to_vec())
        );
    }

    #[test]
    fn errors_name_the_correct_usage() {
        let error = |line| ShellCommand::parse(line, &["files"]).unwrap_err();
        assert_eq!(
            error("tming"),
            "there is no command `\\tming`: did you mean `\\timing`?"
        );
        assert_eq!(
            error("xyzzy"),
            "there is no command `\\xyzzy`: `\\?` lists them"
        );
        assert_eq!(error("timing maybe"), "usage: `\\timing [on|off]`");
        for watch in [
            "watch 0",
            "watch -1",
            "watch soon",
            "watch 1 2",
            "watch inf",
        ] {
            assert_eq!(error(watch), "usage: `\\watch [SECONDS]`");
        }
        assert!(error("format xml").contains("there are table, vertical"));
    }
}
