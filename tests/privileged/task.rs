//! Recordings of one task of a program of `tests/programs/`.

use crate::support::containers::{Container, Ended, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::Value;

/// A recording of one task of a program.
pub(crate) struct Task {
    pub(crate) recording: Recording,
    pub(crate) container: Ended,
    program: String,
}

impl Task {
    /// Records `PROGRAM TASK` to its end, in a container of Docker with additional options.
    pub(crate) fn record(program: &str, task: &str, options: &[&str]) -> Task {
        let container = Task::container(program, options);
        let recorder = Recorder::start(&["--container", container.name()]);
        let container = container.run(&[program, task]);
        Task::of(program, recorder.stop(), container)
    }

    /// Returns a container for a program, without seccomp.
    pub(crate) fn container(program: &str, options: &[&str]) -> Container {
        require_root();
        let container =
            Container::new(Runtime::Docker, program).option("--security-opt=seccomp=unconfined");
        let all = options.iter();
        all.fold(container, |container, option| container.option(*option))
    }

    /// Returns the task whose container has ended without an error.
    pub(crate) fn of(program: &str, recording: Recording, container: Ended) -> Task {
        assert_eq!(container.code, 0, "{}", container.stdout);
        Task {
            recording,
            container,
            program: program.to_owned(),
        }
    }

    /// Returns columns of the program's rows, in order.
    pub(crate) fn rows(&self, select: &str, condition: &str) -> Vec<Value> {
        self.select(
            select,
            "events",
            &format!(
                "comm = '{}' and ({condition}) order by time, seq",
                self.program
            ),
        )
    }

    /// Returns columns of a table or view, of the container's rows.
    pub(crate) fn select(&self, select: &str, table: &str, condition: &str) -> Vec<Value> {
        self.recording.query(&format!(
            "select {select} from {table} where container = '{}' and {condition}",
            self.container.name
        ))
    }
}
