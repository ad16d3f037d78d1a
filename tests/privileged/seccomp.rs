//! `ctrace-query seccomp`: the profile of a recording allows the recorded work and little else.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::programs::ctrace_query;
use crate::support::recorder::Recorder;
use crate::support::root::require_root;

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
