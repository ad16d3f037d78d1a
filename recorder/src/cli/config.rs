//! The configuration file of `--config`: TOML with the long flags as keys.
//!
//! The keys and their types come from clap's definition of the command line. A flag on the command line overrides the
//! same key of the file.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use ctrace_common::nearest::suggest;
use ctrace_schema::text::escape;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::Cli;

/// Parses the command line `argv`, with the flags of the file that `--config` names. An error in the command line ends
/// the program, as is usual with clap.
///
/// # Errors
/// The file cannot be read, contains a key or a value that no flag has, or conflicts with the command line.
pub(crate) fn parse(mut argv: Vec<OsString>) -> Result<Cli> {
    let command = Cli::command();
    let given = command.clone().get_matches_from(&argv);
    let Some(path) = given.get_one::<PathBuf>("config") else {
        return Ok(Cli::from_arg_matches(&given)?);
    };
    let path = path.display();
    let text = fs::read_to_string(path.to_string())
        .with_context(|| format!("cannot read the configuration {path}"))?;
    let file = ConfigFile { text: &text };
    let flags = file.flags(&command).map_err(|(at, what)| {
        let (line, column) = file.position(at);
        anyhow!("{path}:{line}:{column}: {what}")
    })?;
    let more = flags
        .into_iter()
        .filter(|(id, _)| given.value_source(id) != Some(ValueSource::CommandLine))
        .flat_map(|(_, flags)| flags);
    argv.splice(1..1, more.map(OsString::from));
    let together = command.try_get_matches_from(argv);
    match together.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(cli),
        Err(e) => {
            let message = e.to_string();
            let first = message.lines().next().unwrap_or_default();
            bail!(
                "{path} conflicts with the command line: {}",
                first.trim_start_matches("error: ")
            )
        }
    }
}

/// An error at an offset in the file, in bytes.
type ConfigError = (usize, String);

struct ConfigFile<'a> {
    text: &'a str,
}

impl ConfigFile<'_> {
    /// Converts each key to the id of its flag, and the equivalent flags of a command line.
    fn flags(&self, command: &Command) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
        let table = DeTable::parse(self.text)
            .map_err(|e| (e.span().map_or(0, |span| span.start), e.message().into()))?;
        let mut flags = vec![];
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let arg = keys(command).find(|arg| arg.get_long() == Some(name));
            let arg = arg.ok_or_else(|| {
                let all = keys(command).filter_map(Arg::get_long);
                let what = format!(
                    "there is no key `{}`{}",
                    escape(name.as_bytes()),
                    suggest(name, all)
                );
                (key.span().start, what)
            })?;
            flags.push((arg.get_id().to_string(), values(arg, name, value)?));
        }
        Ok(flags)
    }

    /// Returns line and column of the byte at the offset `at`, counted from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// Lists the flags that are keys: all long flags except those that concern the command line itself.
fn keys(command: &Command) -> impl Iterator<Item = &Arg> {
    let about_itself = ["config", "help", "version"];
    let arguments = command.get_arguments();
    arguments.filter(move |arg| {
        arg.get_long()
            .is_some_and(|long| !about_itself.contains(&long))
    })
}

/// Converts `name = value` to flags.
fn values(arg: &Arg, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
    let takes = match arg.get_action() {
        ArgAction::SetTrue => "true or false",
        ArgAction::Append => "a string or a list of strings",
        _ => "a string or a number",
    };
    let wrong = |value: &Spanned<DeValue<'_>>| {
        let what = format!(
            "`{name}` takes {takes}, not a value of type {}",
            value.get_ref().type_str()
        );
        (value.span().start, what)
    };
    match (arg.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(yes)) => {
            Ok(yes.then(|| format!("--{name}")).into_iter().collect())
        }
        (ArgAction::SetTrue, _) => Err(wrong(value)),
        (ArgAction::Append, DeValue::Array(list)) => list
            .iter()
            .map(|item| flag(arg, name, item, &wrong))
            .collect(),
        _ => Ok(vec![flag(arg, name, value, &wrong)?]),
    }
}

/// Returns `--name=value` if the flag accepts the value.
fn flag(
    arg: &Arg,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    wrong: &dyn Fn(&Spanned<DeValue<'_>>) -> ConfigError,
) -> Result<String, ConfigError> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if !matches!(arg.get_action(), ArgAction::Append) => {
            number.to_string()
        }
        DeValue::Float(number) if !matches!(arg.get_action(), ArgAction::Append) => {
            number.as_str().to_string()
        }
        _ => return Err(wrong(value)),
    };
    // The value is parsed by a copy of the flag that has no conflicts. Conflicts with other flags are found when the
    // complete command line is parsed.
    let alone = Arg::new("value")
        .long("value")
        .action(arg.get_action().clone())
        .value_parser(arg.get_value_parser().clone());
    let parsed = Command::new("ctrace-rec")
        .no_binary_name(true)
        .arg(alone)
        .try_get_matches_from([format!("--value={text}")]);
    match parsed {
        Ok(_) => Ok(format!("--{name}={text}")),
        Err(e) => {
            let possible: Vec<_> = arg
                .get_possible_values()
                .iter()
                .map(|value| value.get_name().to_string())
                .collect();
            let why = match std::error::Error::source(&e) {
                Some(why) => why.to_string(),
                None => format!("it takes {}", possible.join(", ")),
            };
            let text = escape(text.as_bytes()).into_owned();
            let what = format!("`{name}` cannot be `{text}`: {why}");
            Err((value.span().start, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Result<Vec<String>, String> {
        let file = ConfigFile { text };
        match file.flags(&Cli::command()) {
            Ok(flags) => Ok(flags.into_iter().flat_map(|(_, flags)| flags).collect()),
            Err((at, what)) => {
                let (line, column) = file.position(at);
                Err(format!("{line}:{column}: {what}"))
            }
        }
    }

    #[test]
    fn keys_are_flags() {
        let text = "duration = '30s'\nhost = true\nforce = false\nset = ['fs', 'net']\nevent = 'openat,read'";
        let mut given = flags(text).expect("is right");
        given.sort_unstable();
        let wanted = [
            "--duration=30s",
            "--event=openat,read",
            "--host",
            "--set=fs",
            "--set=net",
        ];
        assert_eq!(given, wanted);
    }

    #[test]
    fn errors_have_line_and_column() {
        for (text, wanted) in [
            (
                "quiet = true\n  hots = true",
                "2:3: there is no key `hots`: did you mean `host`?",
            ),
            (
                "host = 'yes'",
                "1:8: `host` takes true or false, not a value of type string",
            ),
            (
                "set = ['fs', 7]",
                "1:14: `set` takes a string or a list of strings, not a value of type integer",
            ),
            (
                "out = true",
                "1:7: `out` takes a string or a number, not a value of type boolean",
            ),
            (
                "mode = 'ful'",
                "1:8: `mode` cannot be `ful`: it takes full, counts",
            ),
            (
                "[set]\nx = 1",
                "1:1: `set` takes a string or a list of strings, not a value of type table",
            ),
            ("config = 'other.toml'", "1:1: there is no key `config`"),
        ] {
            let error = flags(text).expect_err(text);
            assert_eq!(error, wanted, "{text}");
        }
        let error = flags("duration = 'soon'").expect_err("is no time");
        assert!(
            error.starts_with("1:12: `duration` cannot be `soon`: "),
            "{error}"
        );
        let error = flags("host = true\nhost = true").expect_err("is there twice");
        assert!(error.starts_with("2:1: "), "{error}");
    }
}
