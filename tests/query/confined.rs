//! The confinement of `ctrace-query`, which begins before a recording is opened.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::recording;
use crate::shell::Terminal;

/// Returns the contents of `/proc/PID/status` of each process that runs `ctrace-query` in `dir`.
fn statuses(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let status = |process: fs::DirEntry| {
        let process = process.path();
        let program = fs::read_link(process.join("exe")).ok()?;
        let is_program = program == Path::new(env!("CARGO_BIN_EXE_ctrace-query"));
        let is_here = fs::read_link(process.join("cwd")).ok()? == dir;
        (is_program && is_here).then(|| fs::read_to_string(process.join("status")).ok())?
    };
    processes.filter_map(status).collect()
}

/// Returns the value of a line of a status.
fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let rest = status.lines().find_map(|line| line.strip_prefix(name));
    rest.unwrap().trim()
}

#[test]
fn a_process_is_confined_before_it_opens_a_recording() {
    let dir = recording();
    let calls = dir.path().join("calls");
    let traced = "trace=openat,open,landlock_restrict_self,seccomp";
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&calls)
        .args(["-e", traced, env!("CARGO_BIN_EXE_ctrace-query")])
        .args(["-r", "run.parquet", "select count(*) as n from events"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(calls).unwrap();
    let lines: Vec<&str> = calls.lines().collect();
    let position = |call: &str| {
        let succeeded = |line: &&str| line.contains(call) && line.ends_with("= 0");
        lines
            .iter()
            .rposition(succeeded)
            .unwrap_or_else(|| panic!("{call}: {calls}"))
    };
    let confined = position("landlock_restrict_self(").max(position("seccomp("));
    // The rules refer to files by descriptors that cannot be read.
    let is_opened = |line: &&str| line.contains("run.parquet") && !line.contains("O_PATH");
    let opened = lines.iter().position(is_opened).unwrap();
    assert!(confined < opened, "{calls}");
}

#[test]
fn a_shell_is_confined_and_pages() {
    let dir = recording();
    let mut shell = Terminal::of_size(dir.path(), "-r run.parquet", 80, 10);
    shell.enter("select value + 700 as n from generate_series(1, 50) order by 1;");
    shell.expect("paged: 750");
    // The shell, and the process that starts its pagers.
    let statuses = statuses(&dir.path().canonicalize().unwrap());
    let mut filters: Vec<&str> = statuses.iter().map(|s| value(s, "Seccomp:")).collect();
    filters.sort_unstable();
    assert_eq!(filters, ["0", "2"]);
    // The answer after a pager has the terminal again.
    shell.enter("select 6 * 7 as answer;").expect("42");
    shell.enter("\\q");
    assert_eq!(shell.exit().0, 0);
}
