//! Attempts of a process that a recording or a statement has taken over, each in a process of its own that is confined as
//! `ctrace-query` is.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use super::begin;
use crate::cli::{AnswerOptions, CliTask, Invocation, Query};

/// Names the attempt, and the directory with the recording and the output.
const ATTEMPT: &str = "CTRACE_TEST_ATTEMPT";
const DIRECTORY: &str = "CTRACE_TEST_DIRECTORY";

fn try_to(attempt: &str, directory: &Path) -> io::Result<()> {
    let beside = directory.join("recordings/other.parquet");
    match attempt {
        "read the recording" => fs::read(directory.join("recordings/run.parquet")).map(|_| ()),
        "read a table" => fs::read(directory.join("recordings/table.parquet")).map(|_| ()),
        "list the directory" => fs::read_dir(directory.join("recordings")).map(|_| ()),
        "write the output" => {
            let partial = directory.join("output/partial");
            fs::write(&partial, "text")?;
            fs::rename(partial, directory.join("output/answer.csv"))
        }
        "write temporary files" => fs::write(std::env::temp_dir().join("spilled"), "text"),
        "start a thread" => {
            let thread = std::thread::Builder::new().spawn(|| ())?;
            thread.join().map_err(|_| io::ErrorKind::Other.into())
        }
        "read another recording" => fs::read(beside).map(|_| ()),
        "write another recording" => fs::write(beside, "text"),
        "read beside the output" => fs::read(directory.join("output/secret")).map(|_| ()),
        "read a file of the system" => fs::read("/etc/passwd").map(|_| ()),
        "reach the network" => UdpSocket::bind("127.0.0.1:0").map(|_| ()),
        "start a program" => Command::new("/bin/true").status().map(|_| ()),
        "run a program" => Err(Command::new("/bin/true").exec()),
        _ => Err(io::Error::other("there is no such attempt")),
    }
}

/// Runs the test below again, in a process that makes the attempt.
fn attempt(attempt: &str, directory: &Path) -> io::Result<ExitStatus> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "confine::tests::a_process_that_was_taken_over_can_do_little",
        "--exact",
        "--nocapture",
    ]);
    command.env(ATTEMPT, attempt).env(DIRECTORY, directory);
    command.env("TMPDIR", directory.join("temporary"));
    Ok(command.output()?.status)
}

#[test]
fn a_process_that_was_taken_over_can_do_little() -> io::Result<()> {
    if let (Ok(attempt), Some(directory)) = (std::env::var(ATTEMPT), std::env::var_os(DIRECTORY)) {
        let directory = Path::new(&directory);
        begin(&Invocation {
            task: CliTask::Query(Query::Sql(format!(
                "select path from '{}' where path = '/etc/passwd'",
                directory.join("recordings/table.parquet").display()
            ))),
            options: AnswerOptions {
                recordings: vec![directory.join("recordings/run.parquet")],
                output: Some(directory.join("output/answer.csv")),
                ..AnswerOptions::default()
            },
        });
        let tried = try_to(&attempt, directory);
        std::process::exit(i32::from(tried.is_err()));
    }
    let dir = tempfile::tempdir()?;
    for name in ["recordings", "output", "temporary"] {
        fs::create_dir(dir.path().join(name))?;
    }
    for name in [
        "recordings/run.parquet",
        "recordings/table.parquet",
        "recordings/other.parquet",
        "output/secret",
    ] {
        fs::write(dir.path().join(name), "text")?;
    }
    for needed in [
        "read the recording",
        "read a table",
        "list the directory",
        "write the output",
        "write temporary files",
        "start a thread",
    ] {
        assert_eq!(attempt(needed, dir.path())?.code(), Some(0), "{needed}");
    }
    for refused in [
        "read another recording",
        "write another recording",
        "read beside the output",
        "read a file of the system",
        "reach the network",
        "start a program",
        "run a program",
    ] {
        assert_eq!(attempt(refused, dir.path())?.code(), Some(1), "{refused}");
    }
    Ok(())
}
