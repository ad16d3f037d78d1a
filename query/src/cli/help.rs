//! `help questions`: what people ask on call, and what answers it.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::man;

/// Questions that belong together.
struct Group {
    name: &'static str,
    asked: &'static [Asked],
}

/// What somebody wants to know, and a command line that answers it.
struct Asked {
    /// None: in the words of the ready question that answers it.
    question: Option<&'static str>,
    example: &'static str,
}

/// Answered by the ready question that `example` names.
const fn ready(example: &'static str) -> Asked {
    Asked {
        question: None,
        example,
    }
}

/// Answered by another way.
const fn asked(question: &'static str, example: &'static str) -> Asked {
    Asked {
        question: Some(question),
        example,
    }
}

const GROUPS: &[Group] = &[
    Group {
        name: "What happened?",
        asked: &[
            ready("ctrace-query -r run.parquet summary"),
            ready("ctrace-query containers --since 10m"),
            ready("ctrace-query processes --container 4f5b8c9d"),
            ready("ctrace-query report --since 10m --output incident.html"),
            ready("ctrace-query strace --container web --since 03:12:01 --limit 50"),
        ],
    },
    Group {
        name: "Files",
        asked: &[
            ready("ctrace-query files --container web --since 03:10 --until 03:20"),
            asked(
                "Who touched this file?",
                "ctrace-query \"select distinct container, comm, operation, error from files where path = '/etc/shadow'\"",
            ),
            asked(
                "What was changed below this directory?",
                "ctrace-query \"select time, container, comm, operation, path, path2, bytes from files where operation in ('write', 'create', 'delete', 'rename', 'truncate') and error is null and (path_under(path, '/srv') or path_under(path2, '/srv')) order by time, seq\"",
            ),
        ],
    },
    Group {
        name: "Network",
        asked: &[
            ready("ctrace-query peers --container 'pay*'"),
            ready("ctrace-query links"),
            asked(
                "Who talks to the internet?",
                "ctrace-query \"select distinct container, peer_addr, dns_name from connections where not is_private(peer_addr)\"",
            ),
        ],
    },
    Group {
        name: "Failures",
        asked: &[
            ready("ctrace-query errors --container web --since 10m"),
            asked(
                "Which processes crashed, or were killed?",
                "ctrace-query \"select exited, container, coalesce(argv, exe, comm) as process, signal_name(exit_signal) as signal from processes where exit_signal is not null order by exited\"",
            ),
            asked(
                "What did it do last, before it ended?",
                "ctrace-query \"select time, strace() from syscalls where container = 'client' order by time desc, seq desc limit 20\"",
            ),
        ],
    },
    Group {
        name: "Security",
        asked: &[
            ready("ctrace-query denied"),
            ready("ctrace-query seccomp --container web --output web.json"),
            asked(
                "What was executed?",
                "ctrace-query \"select time, container, uid, argv from events where syscall in ('execve', 'execveat') and ret = 0 order by time, seq\"",
            ),
        ],
    },
    Group {
        name: "Performance",
        asked: &[
            ready("ctrace-query syscalls --container web --limit 20"),
            asked(
                "Which calls took longest?",
                "ctrace-query \"select human_duration(duration) as took, container, strace() from syscalls where duration is not null order by duration desc limit 10\"",
            ),
        ],
    },
    Group {
        name: "Can I believe it?",
        asked: &[
            ready("ctrace-query gaps"),
            asked(
                "What is recorded, and what was left out?",
                "ctrace-query \"select key, value from meta\"",
            ),
            ready("ctrace-query describe events"),
        ],
    },
];

/// What the man page says beside the command line.
pub const MAN: &[man::Section] = &[
    (
        "Exit status",
        &[
            ("0", "answered, also when the reader of a pipe went away"),
            (
                "2",
                "an error, said on stderr, with its place in the SQL where there is one",
            ),
        ],
    ),
    (
        "Environment",
        &[
            (
                "CTRACE_RECORDING",
                "the recording that is read where no -r names one",
            ),
            (
                "PAGER",
                "shows answers of the shell that are longer than the terminal; less without it",
            ),
            (
                "RUST_BACKTRACE",
                "1: show where a reader broke off, for a report of a bug",
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
                "what was typed in the shell",
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

/// The text of `help questions`.
pub fn questions() -> String {
    let cli = Cli::command();
    let about = |example: &str| {
        let words = example.split(' ');
        let found = words.filter_map(|word| cli.find_subcommand(word)).next();
        found
            .and_then(|command| command.get_about())
            .map(ToString::to_string)
    };
    let mut text = String::new();
    for group in GROUPS {
        text += &format!("{}\n", group.name);
        for Asked { question, example } in group.asked {
            let question = question.map(String::from).or_else(|| about(example));
            text += &format!("  {}\n      {example}\n", question.unwrap_or_default());
        }
        text.push('\n');
    }
    text + "Each of the ready questions takes --container, --since, --until and --limit; --show-sql prints the SQL behind it.\n\
            `ctrace-query help cookbook` has more, with their SQL and answers."
}

/// The text of `help cookbook`.
pub fn cookbook() -> &'static str {
    include_str!("../docs/cookbook.md").trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::QUESTIONS;

    #[test]
    fn every_ready_question_is_listed_in_its_own_words() {
        let text = questions();
        for question in QUESTIONS {
            let named = |asked: &&Asked| {
                asked.question.is_none()
                    && asked.example.split(' ').any(|word| word == question.name)
            };
            let found = GROUPS
                .iter()
                .flat_map(|group| group.asked)
                .filter(named)
                .count();
            assert_eq!(found, 1, "{}: {text}", question.name);
        }
    }
}
