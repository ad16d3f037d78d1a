//! `ctrace-query seccomp`: the profile of a recording allows the recorded work and little else.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::programs::ctrace_query;
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use std::path::Path;

/// A way to run a container, which changes what the runtime does after it has loaded the profile.
struct Way {
    name: &'static str,
    options: &'static [&'static str],
    /// The same for runc: object, member and value of config.json.
    config: &'static [(&'static str, &'static str, &'static str)],
}

const WAYS: &[Way] = &[
    Way {
        name: "root",
        options: &[],
        config: &[("/process", "noNewPrivileges", "false")],
    },
    Way {
        name: "user",
        options: &["--user=1000:1000"],
        config: &[
            ("/process", "noNewPrivileges", "false"),
            ("/process/user", "uid", "1000"),
            ("/process/user", "gid", "1000"),
        ],
    },
    Way {
        name: "readonly",
        options: &["--read-only", "--tmpfs=/tmp"],
        config: &[("/root", "readonly", "true")],
    },
    Way {
        name: "no-new-privileges",
        options: &["--security-opt=no-new-privileges", "--user=1000"],
        config: &[
            ("/process", "noNewPrivileges", "true"),
            ("/process/user", "uid", "1000"),
        ],
    },
    Way {
        name: "directory",
        options: &["--workdir=/tmp", "--user=1000", "--group-add=7"],
        config: &[
            ("/process", "cwd", "\"/tmp\""),
            ("/process/user", "uid", "1000"),
            ("/process/user", "additionalGids", "[7]"),
        ],
    },
];

/// Returns a container that runs in a way of `WAYS`, under a profile or without one.
fn container(runtime: Runtime, way: &Way, profile: Option<&Path>) -> Container {
    let container = Container::new(runtime, way.name);
    if runtime != Runtime::Runc {
        let profile = profile.map_or("unconfined".to_owned(), |path| path.display().to_string());
        let container = container.option(format!("--security-opt=seccomp={profile}"));
        return way.options.iter().fold(container, |c, o| c.option(*o));
    }
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let container = match profile {
        Some(path) => {
            let profile = json(&std::fs::read_to_string(path).unwrap());
            container.config("/linux", "seccomp", profile)
        }
        None => container,
    };
    way.config
        .iter()
        .fold(container, |c, (pointer, name, value)| {
            c.config(pointer, name, json(value))
        })
}

#[test]
fn each_way_to_run_a_container_works_under_its_profile() {
    require_root();
    let work = ["sh", "-c", "echo hi > /dev/stdout; id -u; seq 2 | sort -r"];
    for runtime in Runtime::ALL {
        for way in WAYS {
            let recorder = Recorder::start(&[]);
            let free = container(runtime, way, None).run(&work);
            let recording = recorder.stop();
            assert_eq!(free.code, 0, "{runtime:?} {}", way.name);
            let profile = recording.beside("profile.json");
            run(ctrace_query()
                .arg("-r")
                .arg(&recording.path)
                .args(["seccomp", "--container", &free.name, "--output"])
                .arg(&profile));
            let again = container(runtime, way, Some(&profile)).run(&work);
            assert_eq!(
                (again.code, &again.stdout),
                (0, &free.stdout),
                "{runtime:?} {}",
                way.name
            );
        }
    }
}

#[test]
fn a_container_runs_under_the_profile_of_its_recording() {
    require_root();
    for runtime in [Runtime::Docker, Runtime::Podman] {
        let work = [
            "sh",
            "-c",
            "mkdir /tmp/d && seq 3 | sort -r && rmdir /tmp/d",
        ];
        let recorder = Recorder::start(&[]);
        let ended = Container::new(runtime, "free")
            .option("--security-opt=seccomp=unconfined")
            .run(&work);
        let recording = recorder.stop();
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "3\n2\n1\n"));
        let profile = recording.beside("profile.json");
        run(ctrace_query()
            .arg("-r")
            .arg(&recording.path)
            .args(["seccomp", "--container", &ended.name, "--output"])
            .arg(&profile));
        // The calls with which the runtime sets up a container are not in the profile.
        let text = std::fs::read_to_string(&profile).unwrap();
        for call in ["mount", "pivot_root", "unshare", "setns", "symlink"] {
            assert!(!text.contains(&format!("\"{call}\"")), "{call}: {text}");
        }
        let confined = |args: &[&str]| {
            let option = format!("--security-opt=seccomp={}", profile.display());
            Container::new(runtime, "confined").option(option).run(args)
        };
        let again = confined(&work);
        assert_eq!((again.code, again.stdout.as_str()), (0, "3\n2\n1\n"));
        let other = confined(&["sh", "-c", "mkdir /tmp/d && ln -s a /tmp/l || echo refused"]);
        assert_eq!((other.code, other.stdout.as_str()), (0, "refused\n"));
    }
}
