//! Help beside that of clap: `help questions`, `help cookbook`, and the man page.

use std::io::{self, Write};

use clap::CommandFactory;
use ctrace_common::man;

use crate::cli::flags::QueryFlags;

/// A heading of `help questions`.
struct ExampleGroup {
    name: &'static str,
    examples: &'static [Example],
}

/// A question, and a command line that answers it.
struct Example {
    /// The question; `None`: the help text of the ready question in `command`.
    question: Option<&'static str>,
    command: &'static str,
}

/// Creates an example of the ready question that `command` names.
const fn ready(command: &'static str) -> Example {
    Example {
        question: None,
        command,
    }
}

/// Creates an example that has its own question.
const fn example(question: &'static str, command: &'static str) -> Example {
    Example {
        question: Some(question),
        command,
    }
}

const GROUPS: &[ExampleGroup] = &[
    ExampleGroup {
        name: "Watch it again, and pass it on",
        examples: &[
            ready("ctrace-query -r run.parquet replay --container web --since 03:12 --idle 2s"),
            example(
                "What failed, ten times as fast?",
                "ctrace-query replay --speed 10x --where \"error is not null\"",
            ),
            example(
                "What happened up to the first refused connection?",
                "ctrace-query replay --lines --speed max --until-condition \"error = 'ECONNREFUSED'\"",
            ),
            ready("ctrace-query -r run.parquet top"),
            example(
                "What did each process do in these minutes?",
                "ctrace-query top --by process --since 03:10 --until 03:20 --format json",
            ),
            ready(
                "ctrace-query cut -o incident.parquet --container web --since 03:10 --until 03:20",
            ),
            ready("ctrace-query redact -o for-the-vendor.parquet --on peers,users"),
            ready("ctrace-query merge -o all.parquet node1.parquet node2.parquet"),
        ],
    },
    ExampleGroup {
        name: "What changed?",
        examples: &[
            ready("ctrace-query diff good.parquet bad.parquet"),
            example(
                "What is different since 03:10?",
                "ctrace-query -r run.parquet diff --bad 03:10,",
            ),
        ],
    },
    ExampleGroup {
        name: "What happened?",
        examples: &[
            ready("ctrace-query -r run.parquet summary"),
            ready("ctrace-query why web"),
            ready("ctrace-query containers --since 10m"),
            ready("ctrace-query processes --container 4f5b8c9d"),
            ready("ctrace-query report --since 10m --output incident.html"),
            ready("ctrace-query strace --container web --since 03:12:01 --limit 50"),
        ],
    },
    ExampleGroup {
        name: "Files",
        examples: &[
            ready("ctrace-query files --container web --since 03:10 --until 03:20"),
            example(
                "Who touched this file?",
                "ctrace-query \"select distinct container, comm, operation, error from files where '/etc/shadow' in (path, host_path)\"",
            ),
            example(
                "What was changed below this directory?",
                "ctrace-query \"select time, container, comm, operation, path, path2, bytes from files where operation in ('write', 'create', 'delete', 'rename', 'truncate') and error is null and (path_under(path, '/srv') or path_under(path2, '/srv')) order by time, seq\"",
            ),
        ],
    },
    ExampleGroup {
        name: "Network",
        examples: &[
            ready("ctrace-query peers --container 'pay*'"),
            ready("ctrace-query links"),
            ready("ctrace-query dns --container web"),
            example(
                "Who talks to the internet?",
                "ctrace-query \"select distinct container, peer_addr, dns_name from connections where not is_private(peer_addr)\"",
            ),
        ],
    },
    ExampleGroup {
        name: "Failures",
        examples: &[
            ready("ctrace-query errors --container web --since 10m"),
            example(
                "Which processes crashed, or were killed?",
                "ctrace-query \"select exited, container, coalesce(argv, exe, comm) as process, signal_name(exit_signal) as signal from processes where exit_signal is not null order by exited\"",
            ),
            example(
                "What did a container do last, before it ended?",
                "ctrace-query \"select time, strace() from syscalls where container = 'client' order by time desc, seq desc limit 20\"",
            ),
        ],
    },
    ExampleGroup {
        name: "Security",
        examples: &[
            ready("ctrace-query -r run.parquet rules"),
            example(
                "Tell me of alerts while it records",
                "ctrace-query -r run.parquet rules --follow --rules mine.toml",
            ),
            ready("ctrace-query denied"),
            ready("ctrace-query drift"),
            ready("ctrace-query powers"),
            ready("ctrace-query capabilities --container web --as docker"),
            ready("ctrace-query seccomp --container web --output web.json"),
            example(
                "What was executed?",
                "ctrace-query \"select time, container, uid, argv from events where syscall in ('execve', 'execveat') and ret = 0 order by time, seq\"",
            ),
        ],
    },
    ExampleGroup {
        name: "Performance",
        examples: &[
            ready("ctrace-query syscalls --container web --limit 20"),
            ready("ctrace-query stuck --since 1m"),
            example(
                "Which calls took longest?",
                "ctrace-query \"select human_duration(duration) as took, container, strace() from syscalls where duration is not null order by duration desc limit 10\"",
            ),
        ],
    },
    ExampleGroup {
        name: "Is the recording complete?",
        examples: &[
            ready("ctrace-query gaps"),
            example(
                "What is recorded, and what was left out?",
                "ctrace-query \"select key, value from meta\"",
            ),
            ready("ctrace-query describe events"),
        ],
    },
];

/// The sections of the man page that the flags do not give.
const MAN: &[man::Section] = &[
    (
        "Exit status",
        &[
            ("0", "success, also if the reader of a pipe closed it"),
            (
                "1",
                "`rules`: a rule of the level `alert` fired; `diff`: something is new; `verify` and `report`: a recording is not proved",
            ),
            (
                "2",
                "an error; its message is on stderr, with the position in the SQL if there is one",
            ),
        ],
    ),
    (
        "Environment",
        &[
            ("CTRACE_RECORDING", "the recording to read without -r"),
            (
                "PAGER",
                "the pager for answers of the shell that are longer than the terminal; default: less",
            ),
            (
                "RUST_BACKTRACE",
                "1: show the place of a panic, for a bug report",
            ),
        ],
    ),
    (
        "Files",
        &[
            (
                "*.parquet, *.sqlite",
                "recordings; without -r and CTRACE_RECORDING, the newest in the working directory is read",
            ),
            (
                "*.parquet.journal",
                "the last events of a recording that was not closed; keep it beside the recording",
            ),
            (
                "$XDG_STATE_HOME/ctrace/query_history, ~/.local/state/ctrace/query_history",
                "the history of the shell",
            ),
        ],
    ),
    (
        "See also",
        &[(
            "",
            "ctrace-rec(1); `ctrace-query help questions`, `help functions` and `help cookbook`",
        )],
    ),
];

/// Returns the text of `help questions`.
pub(crate) fn questions() -> String {
    let flags = QueryFlags::command();
    let about = |command: &str| {
        let mut words = command.split(' ');
        let found = words.find_map(|word| flags.find_subcommand(word));
        found
            .and_then(|command| command.get_about())
            .map(ToString::to_string)
    };
    let mut text = String::new();
    for group in GROUPS {
        text += &format!("{}\n", group.name);
        for Example { question, command } in group.examples {
            let question = question.map(String::from).or_else(|| about(command));
            text += &format!("  {}\n      {command}\n", question.unwrap_or_default());
        }
        text.push('\n');
    }
    text + "Each of the ready questions takes --container, --pod, --namespace, --label, --since, --until, --limit and --setup; --show-sql prints the SQL behind it.\n\
            `ctrace-query help cookbook` has more examples, with SQL and answers."
}

/// Returns the text of `help cookbook`.
pub(crate) fn cookbook() -> &'static str {
    concat!(
        include_str!("../../../docs/cookbook/README.md"),
        "\n",
        include_str!("../../../docs/cookbook/processes.md"),
        "\n",
        include_str!("../../../docs/cookbook/files.md"),
        "\n",
        include_str!("../../../docs/cookbook/network.md"),
        "\n",
        include_str!("../../../docs/cookbook/calls.md"),
    )
    .trim_end()
}

/// Prints the help of the program.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn print_help() -> io::Result<()> {
    QueryFlags::command().print_help()
}

/// Returns the help of a subcommand, as `ctrace-query files --help` prints it.
pub(crate) fn subcommand_help(name: &str) -> Option<String> {
    let mut flags = QueryFlags::command();
    // Without this, the usage lacks the name of the program.
    flags.build();
    let command = flags.find_subcommand_mut(name)?;
    Some(command.render_help().to_string().trim_end().to_string())
}

/// Writes the man page.
///
/// # Errors
/// `out` cannot be written.
pub(crate) fn write_man(out: &mut dyn Write) -> io::Result<()> {
    man::write(QueryFlags::command(), "questions", MAN, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::QUESTIONS;

    #[test]
    fn every_ready_question_is_listed_with_its_help_text() {
        let text = questions();
        for question in QUESTIONS {
            let names = |example: &&Example| {
                example.question.is_none()
                    && example.command.split(' ').any(|word| word == question.name)
            };
            let found = GROUPS
                .iter()
                .flat_map(|group| group.examples)
                .filter(names)
                .count();
            assert_eq!(found, 1, "{}: {text}", question.name);
        }
    }
}
