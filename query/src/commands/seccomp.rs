//! `seccomp`: a profile that allows the calls that containers made, and no others.

use std::collections::BTreeSet;

use anyhow::bail;
use ctrace_schema::{meta, syscalls};
use serde_json::json;

use crate::commands::answer::{To, spare_recordings};
use crate::commands::{print, texts};
use crate::cli::Seccomp;
use crate::engine::Engine;
use crate::output::say;
use crate::questions::{container_is, runtime_comms};

/// What runc and crun call between loading a profile and starting the program: the end of runc's `init`
/// (standard_init_linux.go), and what Go's scheduler does meanwhile.
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

/// What 32-bit programs on x86 may ask for by socketcall(2) and ipc(2), which recordings tell as the call that is meant.
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

/// Writes the profile, and says what it may lack.
///
/// # Errors
/// That the recordings cannot be read, or hold no call of such a container.
pub async fn seccomp(wanted: &Seccomp, engine: &Engine, screen: To<'_>) -> anyhow::Result<()> {
    for name in &wanted.containers {
        crate::commands::check_container(engine, name).await?;
    }
    let of = match wanted.containers.is_empty() {
        true => "container is not null and container <> 'host'".to_string(),
        false => container_is(&wanted.containers),
    };
    if wanted.show_sql {
        return print(&calls(&of, false), screen);
    }
    let own = texts(engine, &calls(&of, false)).await?;
    let compat = texts(engine, &calls(&of, true)).await?;
    if own.is_empty() && compat.is_empty() {
        bail!(
            "the recording has no call of a container: record with `ctrace-rec --out run.parquet` while it runs"
        );
    }
    warn(engine, &of).await?;
    let machines = engine.recordings().await?.machines();
    let profile = profile(&own, &compat, machines.into_values())?;
    let to = wanted.common.output.as_deref().map_or(screen, To::File);
    if let To::File(path) = to {
        spare_recordings(engine, path)?;
    }
    print(&serde_json::to_string_pretty(&profile)?, to)
}

/// The names of the calls of the programs in containers: neither what their runtime did before, nor what seccomp has
/// refused already.
fn calls(of: &str, compat: bool) -> String {
    let runtime = runtime_comms();
    format!(
        "select syscall\nfrom events\nwhere kind in ('syscall', 'counts') and ({of})\n    and not coalesce(denied, false) \
         and coalesce(compat, false) = {compat}\n    and {runtime}\ngroup by syscall\norder by syscall"
    )
}

/// A profile as the OCI's runtime specification has it (config-linux.md, Seccomp), which Docker, podman and containerd
/// take.
fn profile<'a>(
    own: &[String],
    compat: &[String],
    machines: impl Iterator<Item = &'a str>,
) -> anyhow::Result<serde_json::Value> {
    let mut names: BTreeSet<&str> = RUNTIME.iter().copied().collect();
    // A recording may hold anything: names that no kernel knows, and operations of io_uring, are none for a profile.
    let known = |name: &&str| syscalls::names().binary_search(name).is_ok();
    names.extend(own.iter().chain(compat).map(String::as_str).filter(known));
    for (multiplexer, calls) in MULTIPLEXED {
        if compat.iter().any(|name| calls.contains(&name.as_str())) {
            names.insert(multiplexer);
        }
    }
    let mut architectures = BTreeSet::new();
    for machine in machines {
        let (native, compatible) = match machine {
            "x86_64" => ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
            "aarch64" => ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
            other => bail!("there are no profiles for {other}"),
        };
        architectures.insert(native);
        if !compat.is_empty() {
            architectures.insert(compatible);
        }
    }
    if architectures.is_empty() {
        bail!("the recording does not say of which architecture its machine was");
    }
    let mut rules = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    if !names.contains("clone3") {
        // The C library falls back on clone for this errno alone.
        let enosys = ctrace_schema::errno::number("ENOSYS");
        rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": enosys }));
    }
    Ok(
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules }),
    )
}

/// Says why calls may be missing.
async fn warn(engine: &Engine, of: &str) -> anyhow::Result<()> {
    let lost = format!(
        "select sum(lost) from gaps where (container is null or {of}) having sum(lost) > 0"
    );
    if let Some(lost) = texts(engine, &lost).await?.first() {
        say(
            "warning",
            &format!("{lost} events were lost: calls may be missing in this profile"),
        );
    }
    let before = format!(
        "select distinct container from containers where ({of}) and started is null order by 1"
    );
    let before = texts(engine, &before).await?;
    if !before.is_empty() {
        let names = before.join(", ");
        say(
            "warning",
            &format!(
                "what was called before the recording began is not in this profile: {names} ran already"
            ),
        );
    }
    let narrowing = [
        "event",
        "exclude-event",
        "set",
        "exclude-set",
        "comm",
        "exclude-comm",
    ];
    for file in &engine.recordings().await?.files {
        let filters = file.meta.get(meta::KEY_FILTERS);
        let filters = filters.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        let left_out = narrowing
            .iter()
            .find(|flag| filters.as_ref().is_some_and(|f| f.get(flag).is_some()));
        if let Some(flag) = left_out {
            let path = file.path.display();
            say(
                "warning",
                &format!("{path} was recorded with --{flag}: calls are missing in this profile"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(own: &[&str], compat: &[&str]) -> serde_json::Value {
        let strings = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        profile(&strings(own), &strings(compat), ["x86_64"].into_iter()).unwrap()
    }

    fn names(profile: &serde_json::Value) -> Vec<&str> {
        let names = profile["syscalls"][0]["names"].as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn what_was_called_is_allowed_and_names_of_strangers_are_not() {
        let profile = of(
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
    fn callers_of_32_bits_may_ask_in_another_way() {
        let profile = of(&["clone3"], &["connect", "semop"]);
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
    fn what_the_runtime_needs_are_calls() {
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
