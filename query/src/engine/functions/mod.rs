//! The SQL functions that this program adds to DataFusion's. Every function is listed in [`FUNCTIONS`].

mod calls;
mod exact;
mod expand;
mod generalize;
mod glob;
mod human;
mod names;
mod net;
mod paths;
mod percentile;
mod scalar;
mod time;
mod values;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, Expr};
use datafusion::prelude::SessionContext;

pub(crate) use exact::exact_sum;
pub(crate) use expand::{expand, expanded_functions};
use percentile::Percentile;
use scalar::ScalarFn;

#[derive(Debug)]
pub(crate) struct Function {
    /// The name, the arguments and the result, with types.
    pub(crate) signature: &'static str,
    /// The description in the help.
    pub(crate) about: &'static str,
    /// A statement that uses the function.
    pub(crate) example: &'static str,
    implementation: Implementation,
}

#[derive(Debug)]
enum Implementation {
    Scalar(fn() -> ScalarFn),
    /// A percentile, as the percentage of values that are not greater.
    Percentile(u8),
    /// A call that [`expand()`] replaces by an operator.
    Operator,
}

impl Function {
    /// Returns the function's name in SQL.
    pub(crate) fn name(&self) -> &'static str {
        self.signature
            .split_once('(')
            .map_or(self.signature, |(name, _)| name)
    }
}

/// Every function, in the order of the help.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function {
        signature: "strace([table]) -> text",
        about: "the call as strace prints it; `events`, `syscalls`, or their alias in a join",
        example: "select time, strace() from syscalls where container = 'web' order by time, seq limit 5",
        implementation: Implementation::Scalar(calls::strace),
    },
    Function {
        signature: "errno_name(n integer) -> text",
        about: "the name of an errno, positive or negative (as a failed call returns it)",
        example: "select errno_name(13), errno_name(-2)",
        implementation: Implementation::Scalar(names::errno_name),
    },
    Function {
        signature: "errno_text(errno integer or text) -> text",
        about: "what an errno means, by number or by name",
        example: "select error, errno_text(error), count(*) from syscalls where error is not null group by error order by error",
        implementation: Implementation::Scalar(names::errno_text),
    },
    Function {
        signature: "signal_name(n integer) -> text",
        about: "the name of a signal, such as the one that ended a process",
        example: "select container, argv, signal_name(exit_signal) from processes where exit_signal is not null order by exited",
        implementation: Implementation::Scalar(names::signal_name),
    },
    Function {
        signature: "cidr_contains(network text, address text) -> boolean",
        about: "whether an address is in a network, IPv4 or IPv6; null if it is not an address",
        example: "select container, peer_addr from connections where cidr_contains('172.16.0.0/12', peer_addr) order by 1, 2",
        implementation: Implementation::Scalar(net::cidr_contains),
    },
    Function {
        signature: "is_private(address text) -> boolean",
        about: "whether an address is not routed on the internet: private, loopback, link-local, shared",
        example: "select container, peer_addr, is_private(peer_addr) from connections where peer_addr is not null order by 1, 2",
        implementation: Implementation::Scalar(net::is_private),
    },
    Function {
        signature: "path_under(path text, directory text) -> boolean",
        about: "whether a path is a directory or below it, and does not leave it by `..`",
        example: "select container, path, operation from files where path_under(path, '/etc') order by time, seq",
        implementation: Implementation::Scalar(paths::path_under),
    },
    Function {
        signature: "glob(text text, pattern text) -> boolean",
        about: "whether a text matches a pattern: ?, [a-z], {a,b}, * up to the next /, ** over directories; \\* is the character",
        example: "select distinct path from files where glob(path, '/srv/**/*.{html,json}') order by path",
        implementation: Implementation::Scalar(glob::glob),
    },
    Function {
        signature: "generalize(text text) -> text",
        about: "a path or a name with * in place of what differs from run to run: pids, ids, times, parts of temporary names",
        example: "select generalize(path) as files, count(*) as calls from files group by 1 order by 2 desc, 1 limit 5",
        implementation: Implementation::Scalar(generalize::generalize),
    },
    Function {
        signature: "human_bytes(n number) -> text",
        about: "a number of bytes in readable units",
        example: "select container, human_bytes(sum(bytes_sent)) as sent from connections group by container order by container",
        implementation: Implementation::Scalar(human::human_bytes),
    },
    Function {
        signature: "human_duration(ns number or interval) -> text",
        about: "a duration in nanoseconds, or a difference of times, in readable units",
        example: "select syscall, human_duration(max(duration)) as longest from syscalls where duration is not null group by syscall order by max(duration) desc, syscall limit 3",
        implementation: Implementation::Scalar(human::human_duration),
    },
    Function {
        signature: "mod(x number, y number) -> number",
        about: "the remainder of a division, as `x % y`",
        example: "select mod(pid, 10) as digit, count(distinct pid) as pids from events where pid is not null group by 1 order by 1",
        implementation: Implementation::Operator,
    },
    Function {
        signature: "ago(span text) -> timestamp",
        about: "a time before the end of the recording, as in `--since`: 10m, 90s, 1h 30m",
        example: "select container, count(*) from events where time >= ago('55s') group by container order by container",
        implementation: Implementation::Scalar(time::ago),
    },
    Function {
        signature: "p50(x number) -> double",
        about: "the median, with an error of at most 1/64 (from a histogram)",
        example: "select syscall, p50(duration) from syscalls group by syscall order by syscall limit 3",
        implementation: Implementation::Percentile(50),
    },
    Function {
        signature: "p90(x number) -> double",
        about: "the 90th percentile, with the same error",
        example: "select container, p90(duration) from syscalls where class = 'file' group by container order by container",
        implementation: Implementation::Percentile(90),
    },
    Function {
        signature: "p95(x number) -> double",
        about: "the 95th percentile, with the same error",
        example: "select p95(bytes) filter (where error is null) as bytes from files",
        implementation: Implementation::Percentile(95),
    },
    Function {
        signature: "p99(x number) -> double",
        about: "the 99th percentile, with the same error",
        example: "select container, human_duration(p99(duration)) as p99 from syscalls group by container order by container",
        implementation: Implementation::Percentile(99),
    },
];

/// Adds the functions to a session.
pub(crate) fn register(ctx: &SessionContext) {
    for function in FUNCTIONS {
        match function.implementation {
            Implementation::Scalar(make) => ctx.register_udf(make().udf()),
            Implementation::Percentile(percent) => {
                ctx.register_udaf(Percentile::udf(function.name(), percent));
            }
            Implementation::Operator => {}
        }
    }
    ctx.register_udaf(exact_sum());
    ctx.register_udaf(exact::exact_average());
}

/// Returns the percentile function `name` for arguments that are histograms of numbers.
pub(crate) fn percentile_of_histograms(name: &str) -> Option<Arc<AggregateUDF>> {
    let function = FUNCTIONS.iter().find(|function| function.name() == name)?;
    match function.implementation {
        Implementation::Percentile(percent) => Some(Arc::new(Percentile::of_histograms(
            function.name(),
            percent,
        ))),
        Implementation::Scalar(_) | Implementation::Operator => None,
    }
}

/// Returns the aggregate function that makes a histogram of numbers.
pub(crate) fn histograms() -> AggregateUDF {
    Percentile::histograms()
}

/// Returns the histogram of a single number, for [`percentile_of_histograms`].
pub(crate) fn histogram(number: Expr) -> Expr {
    percentile::histogram().udf().call(vec![number])
}

/// Returns the text of `help functions`.
pub(crate) fn functions_help() -> String {
    let mut text = String::from("Functions, and an example of each:\n");
    for Function {
        signature,
        about,
        example,
        ..
    } in FUNCTIONS
    {
        text += &format!("\n{signature}\n    {about}\n    {example}\n");
    }
    text + "\nDataFusion's functions are available, too: https://datafusion.apache.org/user-guide/sql/scalar_functions.html"
}
