//! System calls on the output that fail, one kind after the other.
//!
//! A run without faults shows which calls the recorder makes on its output, so a new call is tested without further work.
//! Then strace(1) lets the first, a middle and each later of them fail. Whatever fails, a recorder that ends with success
//! has recorded or counted every event, and one that ends with an error says so and has kept what had been written.

use crate::support::capture::EVENTS;
use crate::support::command::output;
use crate::support::paused::{Ended, Paused, files_below};
use crate::support::programs::ctrace_query;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Longer than an event waits before it is written, also while other tests take the CPU.
const WRITTEN: Duration = Duration::from_millis(1800);
/// Rounds of the capture that are sent, and the pause after each.
const ROUNDS: usize = 7;
const PAUSE: Duration = Duration::from_millis(400);
/// Recorders that run at the same time: they wait most of the time.
const PARALLEL: usize = 12;
/// The errors of each position of a fault. Together they are all errors that a file system, a quota, a removed export of NFS,
/// a changed mode or a signal causes.
const FIRST: [&str; 3] = ["EIO", "EACCES", "EINTR"];
const MIDDLE: [&str; 2] = ["ENOSPC", "ESTALE"];
const LATER: [&str; 2] = ["EIO", "EDQUOT"];

/// A kind of output.
struct Output {
    /// The name of the output in its directory.
    name: &'static str,
    flags: &'static [&'static str],
    /// True if events are in memory until the end, so that an error may cost them, but not quietly.
    in_memory: bool,
    /// True if the directory has the segment of a killed recorder.
    left_over: bool,
}

const PLAIN: Output = Output {
    name: "run.parquet",
    flags: &["--sync", "1ms"],
    in_memory: false,
    left_over: false,
};

#[test]
fn calls_on_a_parquet_file() {
    every_call_fails(&PLAIN);
}

#[test]
fn calls_on_a_file_that_replaces_another() {
    every_call_fails(&Output {
        flags: &["--force"],
        left_over: true,
        ..PLAIN
    });
}

#[test]
fn calls_on_a_database() {
    every_call_fails(&Output {
        name: "run.sqlite",
        ..PLAIN
    });
}

#[test]
fn calls_on_segments() {
    every_call_fails(&Output {
        name: "out/",
        flags: &["--rotate", "1s", "--keep", "1GB", "--sync", "1ms"],
        ..PLAIN
    });
}

#[test]
fn calls_on_the_segment_of_a_killed_recorder() {
    every_call_fails(&Output {
        name: "out/",
        flags: &[],
        left_over: true,
        ..PLAIN
    });
}

#[test]
fn calls_on_the_dump_of_a_ring() {
    for name in ["run.parquet", "run.sqlite", "out/"] {
        every_call_fails(&Output {
            name,
            flags: &[
                "--ring",
                "1h",
                "--after",
                "1h",
                "--trigger",
                "path = '/etc/shadow'",
            ],
            in_memory: true,
            left_over: false,
        });
    }
}

/// A fault: an injection of strace(1), `CALL:error=ERROR:when=POSITION`.
type Fault = String;

/// Lets each call on the output fail, and checks what is left.
fn every_call_fails(output: &Output) {
    let calls = calls_on(output);
    assert!(calls.len() >= 5, "calls on {}: {calls:?}", output.name);
    let faults: Vec<Fault> = calls
        .iter()
        .flat_map(|(call, at)| faults(call, at))
        .collect();
    let next = AtomicUsize::new(0);
    let (hits, failed) = (Mutex::new(HashMap::new()), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hit =
                        catch_unwind(AssertUnwindSafe(|| Run::new(output, Some(fault)).check()));
                    let call = fault.split(':').next().unwrap().to_string();
                    let mut hits = hits.lock().unwrap();
                    match hit {
                        Ok(hit) => *hits.entry(call).or_insert(0) += usize::from(hit),
                        Err(_) => failed.lock().unwrap().push(fault),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    // A fault whose position is that of another call in this run, because threads take turns, has hit something else.
    let hits = hits.into_inner().unwrap();
    println!(
        "{}: {} faults; on the output: {hits:?}",
        output.name,
        faults.len()
    );
    // The allocator makes maps as well, at any time, so those of SQLite have no position that comes again.
    let missed = hits
        .iter()
        .filter(|(call, hits)| **hits == 0 && *call != "mmap");
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "no fault has hit {missed:?}");
}

/// Returns the calls on the output in a run without faults: name, and position among the calls of this name of the thread.
fn calls_on(output: &Output) -> BTreeMap<String, Vec<usize>> {
    let run = Run::new(output, None);
    assert_eq!(run.ended.code, Some(0), "{}", run.ended.stderr);
    let mut positions: HashMap<(&str, &str), usize> = HashMap::new();
    let mut calls: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let place = run.dir.path().join("place");
    for line in run.log.lines() {
        let Some((thread, name, arguments)) = call(line) else {
            continue;
        };
        // Neither the end of a call that another thread has interrupted, nor the start of the recorder itself.
        if name.starts_with('<') || name == "execve" {
            continue;
        }
        let position = positions.entry((thread, name)).or_default();
        *position += 1;
        if arguments.contains(place.to_str().unwrap()) {
            calls.entry(name.to_string()).or_default().push(*position);
        }
    }
    calls
}

/// Returns the thread, the name and the rest of a line of strace's log, which begins with the thread and the time.
fn call(line: &str) -> Option<(&str, &str, &str)> {
    let (thread, line) = line.split_once(' ')?;
    let (_time, line) = line.trim_start().split_once(' ')?;
    let (name, rest) = line.split_once('(')?;
    Some((thread, name, rest))
}

/// Returns the faults of a call that is made on the output at the positions `at`.
fn faults(call: &str, at: &[usize]) -> Vec<Fault> {
    let (first, middle) = (at[0], at[at.len() / 2]);
    let errors = |errors: &[&str], when: String| -> Vec<Fault> {
        let fault = |error| format!("{call}:error={error}:when={when}");
        errors.iter().map(fault).collect()
    };
    let mut faults = errors(&FIRST, first.to_string());
    if middle != first {
        faults.extend(errors(&MIDDLE, middle.to_string()));
    }
    faults.extend(errors(&LATER, format!("{middle}+")));
    faults
}

/// A recording that has ended.
struct Run<'a> {
    output: &'a Output,
    fault: &'a str,
    dir: tempfile::TempDir,
    ended: Ended,
    /// The time at which each round of the capture was sent.
    sent: Vec<SystemTime>,
    /// The calls of the recorder, as written by strace.
    log: String,
    left: Option<u64>,
}

impl Run<'_> {
    /// Records with a fault.
    fn new<'a>(output: &'a Output, fault: Option<&'a Fault>) -> Run<'a> {
        let dir = tempfile::tempdir().unwrap();
        let (place, log) = (dir.path().join("place"), dir.path().join("strace.log"));
        fs::create_dir(&place).unwrap();
        let out = place.join(output.name);
        let left = output.left_over.then(|| leave_over(&out));
        let shell = match fault {
            None => "set -- strace -f -y -ttt -o LOG \"$@\"".to_string(),
            Some(fault) => {
                let call = fault.split(':').next().unwrap();
                format!("set -- strace -f -y -ttt -o LOG -e trace={call} -e inject={fault} \"$@\"")
            }
        };
        let shell = shell.replace("LOG", log.to_str().unwrap());
        let flags = [&["--out", out.to_str().unwrap()], output.flags].concat();
        let mut paused = Paused::start(&shell, &flags);
        let mut sent = vec![SystemTime::now()];
        // A replay writes what has waited when more arrives.
        for _ in 1..ROUNDS {
            std::thread::sleep(PAUSE);
            paused.feed();
            sent.push(SystemTime::now());
        }
        std::thread::sleep(PAUSE);
        let ended = paused.end();
        let log =
            fs::read_to_string(log).unwrap_or_else(|e| panic!("{shell}: {e}: {}", ended.stderr));
        Run {
            output,
            fault: fault.map_or("", String::as_str),
            dir,
            ended,
            sent,
            log,
            left,
        }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("place").join(self.output.name)
    }

    /// Checks what is left. Returns whether the fault has hit a call on the output.
    fn check(&self) -> bool {
        let Ended {
            code,
            stderr,
            events,
        } = &self.ended;
        let context = format!("{} {}: {stderr}", self.output.name, self.fault);
        let injected: Vec<&str> = self.injected().collect();
        let made: u64 = events.parse().unwrap();
        let out = self.out();
        self.rename_as_told();
        // A new segment is written beside a left-over, and a new file in its place.
        let beside = self
            .left
            .filter(|_| self.output.name == "out/")
            .unwrap_or(0);
        let is_silent = self.is_silent();
        match code {
            Some(0) if self.output.in_memory => {
                let is_complete = || {
                    let (recorded, lost) = self.recorded(&context);
                    recorded + lost == made
                };
                let is_reported = is_silent || stderr.contains("the ring cannot be dumped");
                assert!(is_reported || is_complete(), "{context}");
            }
            Some(0) => {
                let (recorded, lost) = self.recorded(&context);
                let kept = recorded + lost;
                assert_eq!(
                    kept,
                    made + beside,
                    "{recorded} recorded, {lost} lost: {context}"
                );
            }
            Some(2) => {
                assert!(stderr.contains("ctrace-rec: ") || is_silent, "{context}");
                let fault_at = injected.first().map(|line| time(line));
                let is_written =
                    |sent: &&SystemTime| fault_at.is_some_and(|at| at > **sent + WRITTEN);
                let written = self.sent.iter().filter(is_written).count() as u64 * EVENTS;
                let kept = written + beside;
                // A recording that was to be replaced, or the one that replaces it, can be read.
                if (kept > 0 || self.left.is_some()) && !self.output.in_memory {
                    let (recorded, lost) = self.recorded(&context);
                    assert!(
                        recorded + lost >= kept,
                        "{recorded} recorded, {lost} lost: {context}"
                    );
                }
            }
            // The dynamic loader makes such a call too.
            Some(127) if stderr.contains("error while loading shared libraries") => return false,
            _ => panic!("code {code:?}: {context}"),
        }
        let begun = |path: &PathBuf| path.to_str().unwrap().ends_with(".partial");
        let begun = files_below(out.parent().unwrap()).into_iter().find(begun);
        assert!(
            begun.is_none() || self.fault.starts_with("unlink"),
            "{begun:?}: {context}"
        );
        let place = self.dir.path().join("place");
        injected
            .iter()
            .any(|line| line.contains(place.to_str().unwrap()))
    }

    /// Returns the lines of strace's log with calls that failed on purpose.
    fn injected(&self) -> impl Iterator<Item = &str> {
        self.log.lines().filter(|line| line.ends_with("(INJECTED)"))
    }

    /// Returns whether a message of the recorder has failed: only stderr tells of an error.
    fn is_silent(&self) -> bool {
        self.injected().any(|line| line.contains("write(2"))
    }

    /// Gives files their names back that the recorder has set aside and could not rename, as its warnings tell the user.
    fn rename_as_told(&self) {
        for line in self.ended.stderr.lines() {
            let told = line
                .strip_prefix("warning: ")
                .and_then(|line| line.split_once(" keeps the name "));
            if let Some((name, rest)) = told {
                // What has never been there is named too.
                let _ = fs::rename(rest.split(':').next().unwrap(), name);
            }
        }
    }

    /// Returns the numbers of recorded and of lost events in the output, and in the files that the recorder has renamed, as it
    /// has said.
    fn recorded(&self, context: &str) -> (u64, u64) {
        let files = files_below(&self.dir.path().join("place"));
        let mut outputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        outputs.retain(|path| {
            let name = path.to_str().unwrap();
            name.ends_with(".damaged") && (self.is_silent() || self.ended.stderr.contains(name))
        });
        let out = self.out();
        // Without another recording, a question about the output would be refused.
        if outputs.is_empty() || files.iter().any(|path| is_recording(path, &out)) {
            outputs.push(&out);
        }
        let sum = |sql| outputs.iter().map(|path| number(path, sql, context)).sum();
        (
            sum("select count(*) from events where kind <> 'gap'"),
            sum("select coalesce(sum(lost), 0) from gaps"),
        )
    }
}

/// Returns whether `path` is read as the recording `out` or a part of it.
fn is_recording(path: &Path, out: &Path) -> bool {
    let is_segment = [".parquet", ".parquet.open"];
    let is_segment = is_segment
        .iter()
        .any(|end| path.to_str().unwrap().ends_with(end));
    path == out || out.is_dir() && is_segment
}

fn number(recording: &Path, sql: &str, context: &str) -> u64 {
    let mut command = ctrace_query();
    command
        .arg("-r")
        .arg(recording)
        .args(["--format", "csv", sql]);
    let answer = output(&mut command);
    let stderr = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{stderr}{context}");
    let text = String::from_utf8(answer.stdout).unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}

/// Returns the time of a line of strace's log.
fn time(line: &str) -> SystemTime {
    let seconds = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

/// Kills a recorder of `out`, and returns the number of events that it has left.
fn leave_over(out: &Path) -> u64 {
    let mut killed = Paused::recording(":", out, &["--quiet"]);
    // The rest of a frame that has begun.
    std::thread::sleep(PAUSE);
    killed.child.kill().unwrap();
    killed.end();
    number(out, "select count(*) from events", "")
}
