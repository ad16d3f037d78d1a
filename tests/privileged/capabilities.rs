//! `ctrace-query capabilities`: a container works with the set of its recording, and not with less.

use crate::support::command::{output, run};
use crate::support::containers::{Container, Runtime};
use crate::support::programs::ctrace_query;
use crate::support::recorder::Recorder;
use crate::support::root::require_root;

/// Uses one capability after the other, and fails without any of them.
const WORK: &str = "set -e; echo nobody:x:65534:65534::/:/bin/sh >> /etc/passwd; echo nobody:x:65534: >> /etc/group; touch /tmp/f; chown 1:1 /tmp/f; chroot / true; mknod /tmp/n c 1 3; ping -c 1 127.0.0.1 > /tmp/p; \
                    su -s /bin/sh nobody -c 'exec sleep 60' & sleep 0.5; kill $!; wait $! || true; echo done";
const USED: [&str; 7] = [
    "CHOWN",
    "KILL",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];

#[test]
fn a_container_works_with_the_capabilities_of_its_recording_and_not_with_less() {
    require_root();
    let work = ["sh", "-c", WORK];
    for runtime in [Runtime::Docker, Runtime::Podman] {
        // podman grants fewer capabilities by default than Docker.
        let all = |container: Container| {
            let with =
                |container: Container, name: &&str| container.option(format!("--cap-add={name}"));
            USED.iter().fold(container, with)
        };
        let recorder = Recorder::start(&[]);
        let free = all(Container::new(runtime, "free")).run(&work);
        let refused = Container::new(runtime, "refused")
            .option("--cap-drop=ALL")
            .run(&["chroot", "/", "true"]);
        let recording = recorder.stop();
        assert_eq!((free.code, free.stdout.as_str()), (0, "done\n"));
        assert_ne!(refused.code, 0);
        let query = |args: &[&str]| {
            let mut command = ctrace_query();
            command
                .arg("-r")
                .arg(&recording.path)
                .arg("capabilities")
                .args(args);
            command
        };

        let set = output(&mut query(&["--container", &free.name, "--as", "docker"]));
        let warnings = String::from_utf8_lossy(&set.stderr).into_owned();
        assert!(
            set.status.success() && warnings.contains("FOWNER"),
            "{warnings}"
        );
        let set = String::from_utf8(set.stdout).unwrap();
        let options: Vec<&str> = set.split_whitespace().collect();
        let expected = USED.map(|name| format!("--cap-add={name}"));
        assert_eq!(options[0], "--cap-drop=ALL");
        assert_eq!(options[1..], expected, "{runtime:?}");
        let kubernetes = run(&mut query(&[
            "--container",
            &free.name,
            "--as",
            "kubernetes",
        ]));
        assert!(
            kubernetes.contains("add: [\"CHOWN\", \"KILL\""),
            "{kubernetes}"
        );

        let with = |options: &[&str]| {
            let add = |container: Container, option: &&str| container.option(*option);
            let container = options.iter().fold(Container::new(runtime, "least"), add);
            container.run(&work)
        };
        let least = with(&options);
        assert_eq!(
            (least.code, least.stdout.as_str()),
            (0, "done\n"),
            "{runtime:?}: {set}"
        );
        for left_out in 1..options.len() {
            let mut fewer = options.clone();
            let name = fewer.remove(left_out);
            let ended = with(&fewer);
            assert!(
                ended.code != 0 || ended.stdout != "done\n",
                "{runtime:?} works without {name}"
            );
        }

        let rows = run(&mut query(&[
            "--container",
            &refused.name,
            "--format",
            "json",
        ]));
        let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
        let row = &rows[0];
        let found =
            ["capability", "verdict", "syscall"].map(|column| row[column].as_str().unwrap());
        assert_eq!(found, ["CAP_SYS_CHROOT", "refused", "chroot"], "{rows}");
        assert_eq!(
            (&row["granted"], rows.as_array().unwrap().len()),
            (&false.into(), 1),
            "{rows}"
        );
    }
}
