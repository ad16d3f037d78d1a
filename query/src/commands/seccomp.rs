//! `seccomp`: a profile that allows only the calls that containers have made.

use std::collections::BTreeSet;

use anyhow::bail;
use ctrace_schema::syscalls;
use serde_json::json;

use crate::commands::answer::with_mode;
use crate::commands::containers::{check_container, recording_contents};
use crate::commands::filters::filter_warnings;
use crate::engine::Engine;
use crate::messages;
use crate::output::AnswerDestination;
use crate::questions::{RecordingContents, container_condition, not_setup};

/// The calls of runc and crun between loading a profile and starting the program: the end of runc's `init`
/// (standard_init_linux.go), and the calls of Go's scheduler meanwhile.
const RUNTIME: &[&str] = &[
    "capget",
    "capset",
    "chdir",
    "clock_gettime",
    "clone",
    "close",
    "close_range",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "eventfd2",
    "execve",
    "exit",
    "exit_group",
    "faccessat2",
    "fchdir",
    "fchown",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "getuid",
    "lseek",
    "madvise",
    "mmap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "openat",
    "openat2",
    "pipe2",
    "prctl",
    "read",
    "readlinkat",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "setuid",
    "sigaltstack",
    "statx",
    "tgkill",
    "umask",
    "uname",
    "write",
];

/// The calls that 32-bit programs on x86 may make by socketcall(2) and ipc(2). Recordings contain the name of the call
/// itself.
const MULTIPLEXED: &[(&str, &[&str])] = &[
    (
        "socketcall",
        &[
            "accept",
            "accept4",
            "bind",
            "connect",
            "getpeername",
            "getsockname",
            "getsockopt",
            "listen",
            "recv",
            "recvfrom",
            "recvmmsg",
            "recvmsg",
            "send",
            "sendmmsg",
            "sendmsg",
            "sendto",
            "setsockopt",
            "shutdown",
            "socket",
            "socketpair",
        ],
    ),
    (
        "ipc",
        &[
            "msgctl",
            "msgget",
            "msgrcv",
            "msgsnd",
            "semctl",
            "semget",
            "semop",
            "semtimedop",
            "shmat",
            "shmctl",
            "shmdt",
            "shmget",
        ],
    ),
];

/// Writes the profile, and warns of calls that it may lack.
///
/// # Errors
/// A recording cannot be read, or has no call of such a container.
pub(crate) async fn seccomp(
    containers: &[String],
    engine: &Engine,
    to: AnswerDestination<'_>,
) -> anyhow::Result<()> {
    check_containers(containers, engine).await?;
    let condition = condition(containers);
    let contents = recording_contents(engine).await;
    let calls = async |compat| {
        let sql = calls_sql(&condition, &contents, compat);
        engine.first_column(&sql).await
    };
    let own = calls(false).await?;
    let compat = calls(true).await?;
    if own.is_empty() && compat.is_empty() {
        bail!(
            "the recording has no call of a container: record with `ctrace-rec --out run.parquet` while it runs"
        );
    }
    warn_of_missing_calls(engine, &condition, "profile").await?;
    for warning in filter_warnings("seccomp", engine.recordings().await?) {
        messages::warning(&warning);
    }
    let architectures = engine.recordings().await?.architectures();
    let profile = profile(&own, &compat, architectures.values().map(String::as_str))?;
    let to = with_mode(engine, to)?;
    to.print(&serde_json::to_string_pretty(&profile)?)
}

/// Returns the SQL that finds the calls of the profile.
///
/// # Errors
/// The errors of [`seccomp`].
pub(crate) async fn seccomp_sql(containers: &[String], engine: &Engine) -> anyhow::Result<String> {
    check_containers(containers, engine).await?;
    let contents = recording_contents(engine).await;
    Ok(calls_sql(&condition(containers), &contents, false))
}

async fn check_containers(containers: &[String], engine: &Engine) -> anyhow::Result<()> {
    for name in containers {
        check_container(engine, name).await?;
    }
    Ok(())
}

/// Returns the condition for the events of containers: of the named ones or, if none is named, of all.
pub(crate) fn condition(containers: &[String]) -> String {
    match containers.is_empty() {
        true => "container is not null and container <> 'host'".to_string(),
        false => container_condition(containers),
    }
}

/// Creates the SQL for the names of the calls of programs in containers, without set-up by the container runtime, and without
/// calls that seccomp has denied.
fn calls_sql(condition: &str, contents: &RecordingContents, compat: bool) -> String {
    let not_setup = not_setup(contents);
    format!(
        "select syscall\nfrom events\nwhere kind in ('syscall', 'counts') and ({condition})\n    and not \
         coalesce(denied, false) and coalesce(compat, false) = {compat}\n    and {not_setup}\ngroup by syscall\norder \
         by syscall"
    )
}

/// Creates a profile in the format of the OCI runtime specification (config-linux.md, Seccomp), which Docker, podman
/// and containerd accept.
fn profile<'a>(
    own: &[String],
    compat: &[String],
    architectures: impl Iterator<Item = &'a str>,
) -> anyhow::Result<serde_json::Value> {
    let mut names: BTreeSet<&str> = RUNTIME.iter().copied().collect();
    // Operations of io_uring, and names in forged recordings that no kernel has, do not belong in a profile.
    let known = |name: &&str| syscalls::names().binary_search(name).is_ok();
    names.extend(own.iter().chain(compat).map(String::as_str).filter(known));
    for (multiplexer, calls) in MULTIPLEXED {
        if compat.iter().any(|name| calls.contains(&name.as_str())) {
            names.insert(multiplexer);
        }
    }
    let mut scmp_names = BTreeSet::new();
    for architecture in architectures {
        let (native, compatible) = match architecture {
            "x86_64" => ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
            "aarch64" => ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
            other => bail!("there are no profiles for {other}"),
        };
        scmp_names.insert(native);
        if !compat.is_empty() {
            scmp_names.insert(compatible);
        }
    }
    if scmp_names.is_empty() {
        bail!("the recording does not contain the architecture of its machine");
    }
    let mut rules = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    if !names.contains("clone3") {
        // The C library falls back to clone only for this errno.
        let enosys = ctrace_schema::errno::number("ENOSYS");
        rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": enosys }));
    }
    Ok(json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": scmp_names, "syscalls": rules }))
}

/// Warns of reasons why the `result`, a profile or a set, may lack calls of the containers that fulfil a condition.
///
/// # Errors
/// A recording cannot be read.
pub(crate) async fn warn_of_missing_calls(
    engine: &Engine,
    condition: &str,
    result: &str,
) -> anyhow::Result<()> {
    let lost = format!(
        "select sum(lost) from gaps where (container is null or {condition}) having sum(lost) > 0"
    );
    if let Some(lost) = engine.first_column(&lost).await?.first() {
        messages::warning(&format!(
            "{lost} events were lost: calls may be missing in this {result}"
        ));
    }
    let earlier = format!(
        "select distinct name from (select max(container) as name from events where ({condition}) \
         group by coalesce(container_id, container) \
         having count(case when kind = 'container' and action = 'started' then 1 end) = 0) order by name"
    );
    let earlier = engine.first_column(&earlier).await?;
    if !earlier.is_empty() {
        let names = earlier.join(", ");
        messages::warning(&format!(
            "calls from before the recording began are missing in this {result}: {names} ran already"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn profile_of(own: &[&str], compat: &[&str]) -> serde_json::Value {
        let strings = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        profile(&strings(own), &strings(compat), ["x86_64"].into_iter()).unwrap()
    }

    fn names(profile: &serde_json::Value) -> Vec<&str> {
        let names = profile["syscalls"][0]["names"].as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn recorded_calls_are_allowed_and_unknown_names_are_not() {
        let profile = profile_of(
            &["accept4", "io_uring:openat", "\u{1b}[2J", "syscall_999"],
            &[],
        );
        assert!(names(&profile).contains(&"accept4"));
        assert!(
            names(&profile)
                .iter()
                .all(|name| RUNTIME.contains(name) || *name == "accept4")
        );
        assert_eq!(profile["architectures"], json!(["SCMP_ARCH_X86_64"]));
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(
            profile["syscalls"][1],
            json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 })
        );
    }

    #[test]
    fn programs_of_32_bits_may_use_multiplexed_calls() {
        let profile = profile_of(&["clone3"], &["connect", "semop"]);
        let names = names(&profile);
        assert!(
            ["socketcall", "ipc", "connect", "semop", "clone3"]
                .iter()
                .all(|name| names.contains(name))
        );
        assert_eq!(
            profile["architectures"],
            json!(["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"])
        );
        assert_eq!(profile["syscalls"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_calls_of_the_runtime_exist() {
        for name in RUNTIME
            .iter()
            .chain(MULTIPLEXED.iter().flat_map(|(_, calls)| *calls))
        {
            assert!(syscalls::names().binary_search(name).is_ok(), "{name}");
        }
        assert!(profile(&[], &[], ["s390x"].into_iter()).is_err());
        assert!(profile(&[], &[], [].into_iter()).is_err());
    }
}
