//! The flags lowered to plain values.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;

use ctrace_format::names::FileFormat;
use ctrace_redact::Switches;

use crate::cli::flags::{
    CapabilitiesFlags, CommandFlags, CommonFlags, DiffFlags, ErrorsFlags, PROGRAM, QueryFlags,
    ReadingFlags, ReadyFlags, RecordingFormat, RedactFlags, ReplayFlags, ReplayFormat,
    RewriteFlags, RulesFlags, ScopeFlags, TopFlags, WhyFlags, Window, WindowFlags,
};
use crate::cli::task::{
    AnswerOptions, CliCommand, CliTask, Conversion, Diff, DiffSide, Invocation, Query, Recovery,
    Redaction, Replay, RulesOutput, RulesTask, Scope, Selection, Target, TopTask,
};
use crate::output::LineFormat;

/// Parses the arguments of the process. On errors, and after help, clap exits the process.
pub(crate) fn parse() -> Invocation {
    lowered(QueryFlags::parse_from(
        std::env::args_os().map(without_comment),
    ))
}

/// Returns an argument that begins with a comment of SQL, `-- ...`, with a space before it, so that it is no option.
fn without_comment(argument: OsString) -> OsString {
    let comment = argument.to_str().and_then(|text| text.strip_prefix("--"));
    match comment.is_some_and(|text| text.starts_with(char::is_whitespace)) {
        true => [OsStr::new(" "), &argument].into_iter().collect(),
        false => argument,
    }
}

/// The reason why a line of the shell is not an invocation.
#[derive(Debug)]
pub(crate) enum LineError {
    /// The line asks for help, which is this text.
    Help(String),
    /// The line is wrong; the text says how.
    Wrong(String),
}

/// Parses a line of the shell, without SQL.
pub(crate) fn parse_line(words: &[String]) -> Result<Invocation, LineError> {
    let program = [PROGRAM.to_string()];
    match QueryFlags::try_parse_from(program.iter().chain(words)) {
        Ok(flags) => Ok(lowered(flags)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Err(LineError::Help(error.to_string().trim_end().to_string()))
        }
        Err(error) => {
            let text = error.to_string();
            let text = text.trim_start_matches("error: ").trim_end();
            Err(LineError::Wrong(text.to_string()))
        }
    }
}

fn lowered(flags: QueryFlags) -> Invocation {
    let QueryFlags {
        common,
        file,
        sql,
        command,
    } = flags;
    let Some(command) = command else {
        return Invocation {
            task: CliTask::Sql { sql, file },
            options: common.into(),
        };
    };
    let (task, after) = command.lowered();
    Invocation {
        task,
        options: common.merge(after).into(),
    }
}

impl CommandFlags {
    /// Returns the task, and the common options that follow the name of the subcommand.
    fn lowered(self) -> (CliTask, CommonFlags) {
        let command = |command| (CliTask::Command(command), CommonFlags::default());
        match self {
            CommandFlags::Summary(flags) => flags.lowered("summary"),
            CommandFlags::Why(flags) => flags.lowered(),
            CommandFlags::Containers(flags) => flags.lowered("containers"),
            CommandFlags::Syscalls(flags) => flags.lowered("syscalls"),
            CommandFlags::Strace(flags) => flags.lowered("strace"),
            CommandFlags::Stuck(flags) => flags.lowered("stuck"),
            CommandFlags::Files(flags) => flags.lowered("files"),
            CommandFlags::Peers(flags) => flags.lowered("peers"),
            CommandFlags::Links(flags) => flags.lowered("links"),
            CommandFlags::Dns(flags) => flags.lowered("dns"),
            CommandFlags::Processes(flags) => flags.lowered("processes"),
            CommandFlags::Errors(flags) => flags.lowered(),
            CommandFlags::Denied(flags) => flags.lowered("denied"),
            CommandFlags::Drift(flags) => flags.lowered("drift"),
            CommandFlags::Powers(flags) => flags.lowered("powers"),
            CommandFlags::Capabilities(flags) => flags.lowered(),
            CommandFlags::Gaps(flags) => flags.lowered("gaps"),
            CommandFlags::Seccomp(flags) => {
                let task = CliTask::Command(CliCommand::Seccomp {
                    containers: flags.containers,
                    show_sql: flags.show_sql,
                });
                (task, flags.common)
            }
            CommandFlags::Report(flags) => {
                let task = CliTask::Command(CliCommand::Report {
                    scope: flags.scope.into(),
                    verify: !flags.no_verify,
                });
                (task, flags.common)
            }
            CommandFlags::Verify(mut flags) => {
                flags.common.reading.recordings.extend(flags.files);
                let task = CliTask::Command(CliCommand::Verify {
                    public_key: flags.public_key,
                });
                (task, flags.common)
            }
            CommandFlags::Describe(flags) => {
                let task = CliTask::Query(Query::Describe {
                    table: flags.table,
                    show_sql: flags.show_sql,
                });
                (task, flags.common)
            }
            CommandFlags::Rules(flags) => flags.lowered(),
            CommandFlags::Diff(flags) => flags.lowered(),
            CommandFlags::Replay(flags) => flags.lowered(),
            CommandFlags::Top(flags) => flags.lowered(),
            CommandFlags::Cut(flags) => {
                let selection = Selection {
                    scope: flags.window.into(),
                    sets: flags.events.sets,
                    condition: flags.events.condition,
                };
                let verify = !flags.rewrite.no_verify;
                let redaction = flags.redact.map(|rules| Redaction {
                    rules: Some(rules),
                    key: flags.key,
                    switches: Switches::default(),
                });
                let (target, common) = flags.rewrite.lowered(flags.recordings);
                let cut = CliCommand::Cut {
                    selection,
                    target,
                    redaction,
                    verify,
                };
                (CliTask::Command(cut), common)
            }
            CommandFlags::Redact(flags) => flags.lowered(),
            CommandFlags::Merge(flags) => {
                let verify = !flags.rewrite.no_verify;
                let (target, common) = flags.rewrite.lowered(flags.recordings);
                (
                    CliTask::Command(CliCommand::Merge { target, verify }),
                    common,
                )
            }
            CommandFlags::Convert(flags) => command(CliCommand::Convert(Conversion {
                from: flags.from,
                to: flags.to,
                overwrite: flags.force,
            })),
            CommandFlags::Recover(flags) => command(CliCommand::Recover(Recovery {
                recording: flags.recording,
                output: flags.output,
                overwrite: flags.force,
            })),
            CommandFlags::Help { topic } => command(CliCommand::Help { topic }),
            CommandFlags::Man => command(CliCommand::Man),
            CommandFlags::Completions { shell } => command(CliCommand::Completions(shell)),
        }
    }
}

impl RulesFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        let output = match (self.list, self.show_sql, self.reading.follow) {
            (true, ..) => RulesOutput::List,
            (_, true, _) => RulesOutput::Sql,
            (.., true) => RulesOutput::NewFindings,
            _ => RulesOutput::Findings,
        };
        let rules = RulesTask {
            choice: ctrace_rules::Choice {
                files: self.files,
                without_default: self.no_default_rules,
                only: self.only,
                disabled: self.disabled,
            },
            scope: self.scope.into(),
            format: self.format,
            output,
        };
        (
            CliTask::Command(CliCommand::Rules(rules)),
            self.reading.into(),
        )
    }
}

impl DiffFlags {
    fn lowered(mut self) -> (CliTask, CommonFlags) {
        let in_one = self.bad_recording.is_none();
        let as_one = !self.good_containers.is_empty();
        let limit = self.scope.limit;
        let scope: Scope = self.scope.into();
        let scope = Scope {
            all: self.all,
            ..scope
        };
        let before = self.bad.as_ref().and_then(|bad| bad.from.clone());
        if let (None, Some(from), true, false) = (&self.good, before, in_one, as_one) {
            self.good = Some(Window {
                from: None,
                to: Some(from),
            });
        }
        let side = |recording, window: Option<Window>, containers: Vec<String>| {
            let (from, to) = window.map_or((None, None), |window| (window.from, window.to));
            let mut scope = Scope {
                since: from.or(scope.since.clone()),
                until: to.or(scope.until.clone()),
                ..scope.clone()
            };
            if as_one {
                scope.containers = containers;
            }
            DiffSide {
                recording,
                selection: Selection {
                    scope,
                    sets: self.events.sets.clone(),
                    condition: self.events.condition.clone(),
                },
            }
        };
        // The files that the process may read.
        let named = self.good_recording.iter().chain(&self.bad_recording);
        self.common.reading.recordings.extend(named.cloned());
        let diff = Diff {
            good: side(self.good_recording, self.good, self.good_containers),
            bad: side(self.bad_recording, self.bad, self.bad_containers),
            limit,
            as_one,
        };
        (
            CliTask::Command(CliCommand::Diff(Box::new(diff))),
            self.common,
        )
    }
}

impl ReplayFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        let replay = Replay {
            selection: Selection {
                scope: self.scope.into(),
                sets: self.events.sets,
                condition: self.events.condition,
            },
            speed: self.speed,
            idle: self.idle,
            format: match self.format {
                ReplayFormat::Table => LineFormat::Table,
                ReplayFormat::Json => LineFormat::Json,
            },
            lines: self.lines,
            until: self.until_condition,
        };
        let reading = ReadingFlags {
            recordings: self.recordings,
            strict: self.strict,
            memory: self.memory,
            ..ReadingFlags::default()
        };
        (CliTask::Command(CliCommand::Replay(replay)), reading.into())
    }
}

impl TopFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        let top = TopTask {
            scope: Scope {
                setup: self.setup,
                ..self.window.into()
            },
            level: self.by,
            speed: self.replay.then_some(self.speed),
            terminal: self.terminal,
            delay: self.delay,
            iterations: self.iterations,
        };
        let reading = ReadingFlags {
            recordings: self.recordings,
            strict: self.strict,
            memory: self.memory,
            // A recording grows, and others may be added.
            follow: !self.replay,
            ..ReadingFlags::default()
        };
        let common = CommonFlags {
            format: self.format,
            reading,
        };
        (CliTask::Command(CliCommand::Top(top)), common)
    }
}

impl RewriteFlags {
    /// Returns the recording to write, and the common options.
    fn lowered(self, recordings: Vec<PathBuf>) -> (Target, CommonFlags) {
        let target = Target {
            path: self.output,
            format: self.format.map(|format| match format {
                RecordingFormat::Parquet => FileFormat::Parquet,
                RecordingFormat::Sqlite => FileFormat::Sqlite,
            }),
            overwrite: self.force,
        };
        let reading = ReadingFlags {
            recordings,
            strict: self.strict,
            memory: self.memory,
            ..ReadingFlags::default()
        };
        (target, reading.into())
    }
}

impl RedactFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        let Some(rewrite) = self.rewrite.filter(|_| !self.show_rules) else {
            let task = CliTask::Command(CliCommand::RedactionRules);
            return (task, CommonFlags::default());
        };
        let verify = !rewrite.no_verify;
        let (target, common) = rewrite.lowered(self.recordings);
        let redact = CliCommand::Redact {
            redaction: Redaction {
                rules: self.rules,
                key: self.key,
                switches: Switches {
                    on: self.on,
                    off: self.off,
                },
            },
            target,
            verify,
        };
        (CliTask::Command(redact), common)
    }
}

impl ErrorsFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        self.ready.lowered_with("errors", self.all)
    }
}

impl WhyFlags {
    fn lowered(mut self) -> (CliTask, CommonFlags) {
        self.ready.scope.window.containers.extend(self.wanted);
        self.ready.lowered("why")
    }
}

impl CapabilitiesFlags {
    fn lowered(self) -> (CliTask, CommonFlags) {
        match self.form {
            Some(form) if !self.ready.show_sql => {
                let scope = self.ready.scope.into();
                let command = CliCommand::Capabilities { form, scope };
                (CliTask::Command(command), self.ready.common)
            }
            _ => self.ready.lowered("capabilities"),
        }
    }
}

impl ReadyFlags {
    fn lowered(self, question: &'static str) -> (CliTask, CommonFlags) {
        self.lowered_with(question, false)
    }

    fn lowered_with(self, question: &'static str, all: bool) -> (CliTask, CommonFlags) {
        let query = Query::Ready {
            question,
            scope: Scope {
                all,
                ..self.scope.into()
            },
            show_sql: self.show_sql,
        };
        (CliTask::Query(query), self.common)
    }
}

impl CommonFlags {
    /// Adds the options that follow a subcommand: they win over those before it, and recordings are added.
    fn merge(self, after: CommonFlags) -> CommonFlags {
        CommonFlags {
            format: after.format.or(self.format),
            reading: self.reading.merge(after.reading),
        }
    }
}

impl ReadingFlags {
    fn merge(mut self, after: ReadingFlags) -> ReadingFlags {
        self.recordings.extend(after.recordings);
        ReadingFlags {
            recordings: self.recordings,
            output: after.output.or(self.output),
            follow: after.follow || self.follow,
            no_rollups: after.no_rollups || self.no_rollups,
            strict: after.strict || self.strict,
            memory: after.memory.or(self.memory),
            timeout: after.timeout.or(self.timeout),
            force: after.force || self.force,
            times: after.times.or(self.times),
        }
    }
}

impl From<ReadingFlags> for CommonFlags {
    fn from(reading: ReadingFlags) -> Self {
        CommonFlags {
            reading,
            format: None,
        }
    }
}

impl From<CommonFlags> for AnswerOptions {
    fn from(CommonFlags { format, reading }: CommonFlags) -> Self {
        AnswerOptions {
            recordings: reading.recordings,
            format,
            output: reading.output,
            follow: reading.follow,
            no_rollups: reading.no_rollups,
            strict: reading.strict,
            memory_bytes: reading.memory,
            timeout: reading.timeout,
            force: reading.force,
            times: reading.times,
        }
    }
}

impl From<ScopeFlags> for Scope {
    fn from(flags: ScopeFlags) -> Self {
        Scope {
            limit: flags.limit,
            setup: flags.setup,
            ..flags.window.into()
        }
    }
}

impl From<WindowFlags> for Scope {
    fn from(flags: WindowFlags) -> Self {
        Scope {
            containers: flags.containers,
            pods: flags.pods,
            namespaces: flags.namespaces,
            labels: flags.labels,
            since: flags.since,
            until: flags.until,
            ..Scope::default()
        }
    }
}
