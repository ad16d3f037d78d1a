//! `--mode counts`: the totals equal those of a full recording of the same calls, and the programs' own counts.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;

/// Returns the rows of `sql`, each as text.
fn totals(recording: &Recording, sql: &str) -> Vec<String> {
    let rows = recording.query(sql);
    rows.iter().map(ToString::to_string).collect()
}

#[test]
fn counts_are_the_totals_of_a_full_recording() {
    require_root();
    let counts = Recorder::start(&["--mode", "counts"]);
    let full = Recorder::start(&[]);
    // The run takes longer than one interval of the counters. Some calls fail, and some transfer bytes.
    let ended = Container::new(Runtime::Runc, "counts").run(&[
        "sh",
        "-c",
        "calls getppid=70000 chdir=5; sleep 2; calls getppid=7; cat /etc/motd /nowhere; seq 5000 | wc -l; true",
    ]);
    assert_eq!(ended.code, 0);
    let (full, counts) = (full.stop(), counts.stop());
    let of = format!("container = '{}'", ended.name);
    let expected = totals(
        &full,
        &format!(
            "select comm, syscall, compat, class, count(*) as calls, count(error) as errors, sum(bytes) as bytes
             from syscalls where {of} group by comm, syscall, compat, class order by comm, syscall, compat"
        ),
    );
    let counted = totals(
        &counts,
        &format!(
            "select comm, syscall, compat, class, sum(calls) as calls, sum(errors) as errors,
                 case when sum(bytes) is not null then sum(bytes) end as bytes
             from counts where {of} group by comm, syscall, compat, class order by comm, syscall, compat"
        ),
    );
    assert_eq!(counted, expected);
    let getppid = format!(
        "select sum(calls) from counts where {of} and syscall = 'getppid' and comm = 'exe'"
    );
    assert_eq!(counts.count(&getppid), 70_007);
    let rows =
        format!("select count(*) from counts where {of} and syscall = 'getppid' and comm = 'exe'");
    assert!(counts.count(&rows) > 1, "a row for each second");
    let calls = format!("select count(*) from syscalls where {of}");
    assert_eq!(counts.count(&calls), 0);
}

#[test]
fn the_histogram_has_every_call_that_returned_in_its_bucket() {
    require_root();
    let recorder = Recorder::start(&[
        "--mode",
        "counts",
        "--event",
        "clock_nanosleep,nanosleep,getppid",
    ]);
    let ended = Container::new(Runtime::Runc, "histogram").run(&[
        "sh",
        "-c",
        "calls getppid=1000; sleep 0.3",
    ]);
    let counts = recorder.stop();
    // runc makes the same calls, but fewer and shorter ones.
    let row = |call: &str| {
        let rows = counts.query(&format!(
            "select calls, duration, latency from counts
             where container = '{}' and syscall like '{call}' order by duration desc limit 1",
            ended.name
        ));
        let latency: Vec<u64> = serde_json::from_str(rows[0]["latency"].as_str().unwrap()).unwrap();
        let number = |name: &str| rows[0][name].as_u64().unwrap();
        (number("calls"), number("duration"), latency)
    };
    let (calls, _, latency) = row("getppid");
    assert_eq!((calls, latency.iter().sum::<u64>()), (1000, 1000));
    // 0.3 s is 2^28.2 ns, and a sleep may take longer.
    let (calls, duration, latency) = row("%nanosleep");
    assert_eq!(calls, 1);
    assert!(duration >= 300_000_000, "{duration}");
    let bucket = latency.iter().position(|n| *n == 1).unwrap();
    assert_eq!(bucket, duration.ilog2() as usize);
    // Containers of other tests may be killed meanwhile, which is recorded.
    let kinds = counts.query(&format!(
        "select distinct kind from events
         where container = '{}' and kind not in ('counts', 'container', 'gap')",
        ended.name
    ));
    assert!(kinds.is_empty(), "{kinds:?}");
}
