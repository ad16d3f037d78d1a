//! The identity of events, processes, containers and addresses in recordings of several hosts and boots.

use std::path::Path;

use ctrace_schema::meta;
use serde_json::json;
use tempfile::TempDir;

use crate::sources::{hour, rows, warned};
use crate::support::incident::incident;
use crate::support::story::{START, Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};

/// The boots of the machines in the tests.
const BOOTS: [&str; 2] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
];

/// Sets the boot of a story.
fn of_boot(mut story: Story, boot: &str) -> Story {
    story.meta(meta::KEY_BOOT_ID, boot);
    story
}

/// Saves an answer as a recording.
fn save(dir: &Path, from: &str, to: &str, sql: &str) {
    let args = ["-r", from, "--format", "parquet", "-o", to, sql];
    let saved = transcript(ctrace_query_in(dir).args(args));
    assert!(saved.starts_with("exit code 0"), "{saved}");
}

#[test]
fn the_boot_of_each_row_is_known_from_the_metadata() {
    let dir = TempDir::new().unwrap();
    of_boot(hour("a", 0), BOOTS[0]).write(dir.path(), "0.parquet");
    of_boot(hour("a", 1), BOOTS[1]).write(dir.path(), "1.parquet");
    hour("a", 2).write(dir.path(), "2.parquet");
    let convert = |from: &str, to: &str| {
        let done = transcript(ctrace_query_in(dir.path()).args(["convert", from, to]));
        assert!(done.starts_with("exit code 0"), "{done}");
        std::fs::remove_file(dir.path().join(from)).unwrap();
    };
    let sql = "select boot_id, count(*), min(time) from events group by 1 order by 1";
    let before = rows(dir.path(), &["-r", ".", sql]);
    assert_eq!(before.len(), 3);
    assert_eq!(
        before[0],
        format!("{},60,2026-11-21 03:12:00.000000000", BOOTS[0])
    );
    assert_eq!(rows(dir.path(), &["-r", ".", "--no-rollups", sql]), before);
    convert("1.parquet", "1.sqlite");
    convert("2.parquet", "2.sqlite");
    assert_eq!(rows(dir.path(), &["-r", ".", sql]), before);
    let one = format!("select count(*) from events where boot_id = '{}'", BOOTS[1]);
    assert_eq!(rows(dir.path(), &["-r", ".", &one]), ["60"]);
    // A file of several boots has the column.
    save(dir.path(), ".", "all.out", "select * from events");
    for name in ["0.parquet", "1.sqlite", "2.sqlite"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(rows(dir.path(), &["-r", "all.out", sql]), before);
    convert("all.out", "all.sqlite");
    assert_eq!(rows(dir.path(), &["-r", "all.sqlite", sql]), before);
    convert("all.sqlite", "all.parquet");
    assert_eq!(rows(dir.path(), &["-r", "all.parquet", sql]), before);
    assert_eq!(
        rows(dir.path(), &["-r", "all.parquet", "--no-rollups", &one]),
        ["60"]
    );
}

#[test]
fn an_event_in_several_files_counts_once() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    of_boot(hour("a", 0), BOOTS[0]).write(dir.path(), "0.parquet");
    // The same numbers at other times: a recorder that was started again.
    of_boot(hour("a", 1), BOOTS[0]).write(dir.path(), "1.parquet");
    of_boot(hour("a", 0), BOOTS[1]).write(dir.path(), "2.parquet");
    of_boot(hour("b", 0), BOOTS[0]).write(dir.path(), "3.parquet");
    let count = "select count(*), count(distinct recording), sum(pid) from events";
    let expected = ["240,4,7080"];
    let counted = |args: &[&str]| warned(dir.path(), &[&["-r", "."][..], args, &[count]].concat());
    assert_eq!(counted(&[]), (vec![], expected.map(String::from).to_vec()));
    // A copy, a copy in another format, and parts that overlap.
    std::fs::copy(path("0.parquet"), path("copy.parquet")).unwrap();
    let convert = ["convert", "1.parquet", "other.sqlite"];
    transcript(ctrace_query_in(dir.path()).args(convert));
    for (name, filter) in [("part1", "pid < 30"), ("part2", "pid between 20 and 40")] {
        let sql = format!("select * from events where {filter}");
        save(dir.path(), "2.parquet", &format!("{name}.parquet"), &sql);
    }
    for args in [&[][..], &["--no-rollups"]] {
        let (warnings, answer) = counted(args);
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(answer, expected);
    }
    let by_pid = "select pid, count(*) from events where time < '2026-11-21T04:12:00Z' group by 1 having count(*) <> 3";
    assert_eq!(rows(dir.path(), &["-r", ".", by_pid]), Vec::<String>::new());
    let parts = [
        "-r",
        "part1.parquet",
        "-r",
        "part2.parquet",
        "select count(*), min(pid), max(pid) from events",
    ];
    assert_eq!(rows(dir.path(), &parts), ["41,0,40"]);
    // A copy stands for its source.
    std::fs::remove_file(path("0.parquet")).unwrap();
    std::fs::remove_file(path("1.parquet")).unwrap();
    assert_eq!(counted(&[]).1, ["240,4,7080"]);
}

#[test]
fn files_that_contradict_each_other_are_named() {
    let dir = TempDir::new().unwrap();
    let mut story = of_boot(hour("a", 0), BOOTS[0]);
    story.write(dir.path(), "0.parquet");
    story.last("syscall", "getpid").last("pid", 1000);
    story.write(dir.path(), "1.parquet");
    let sql = "select count(*), max(pid) from events";
    let (warnings, answer) = warned(dir.path(), &["-r", ".", sql]);
    assert_eq!(answer, ["60,59"]);
    assert_eq!(
        warnings,
        [
            "warning: 0.parquet and 1.parquet contradict each other in one event of the same host, boot and seq: the values of \
          the first are used"
        ]
    );
    let (_, answer) = warned(dir.path(), &["-r", "1.parquet", "-r", "0.parquet", sql]);
    assert_eq!(answer, ["60,1000"]);
    // The same number at two times.
    story.last("time", START + 1);
    story.write(dir.path(), "1.parquet");
    let (warnings, answer) = warned(dir.path(), &["-r", ".", sql]);
    assert_eq!((warnings.len(), answer), (1, vec!["61,1000".into()]));
}

#[test]
fn views_do_not_mix_hosts_and_boots() {
    let dir = TempDir::new().unwrap();
    let story = of_boot(incident(), BOOTS[0]);
    story.write(dir.path(), "run.parquet");
    let one = |sql: &str| rows(dir.path(), &["-r", "run.parquet", sql]);
    let both = |sql: &str| {
        rows(
            dir.path(),
            &["-r", "run.parquet", "-r", "other.parquet", sql],
        )
    };
    let counts = ["links", "processes", "containers", "connections"]
        .map(|view| format!("select count(*) * 2 from {view}"));
    let links = "select source_host, target_host, count(*) from links group by 1, 2 order by 1";
    let double: Vec<_> = counts.iter().map(|sql| one(sql)).collect();
    let all: Vec<_> = counts.iter().map(|sql| sql.replace(" * 2", "")).collect();
    // The same recording of another host: no container of one has connected to one of the other.
    of_host(&story, "node2").write(dir.path(), "other.parquet");
    assert_eq!(all.iter().map(|sql| both(sql)).collect::<Vec<_>>(), double);
    let within = one(links).remove(0).replace("node1,node1,", "");
    assert_eq!(
        both(links),
        [
            format!("node1,node1,{within}"),
            format!("node2,node2,{within}")
        ]
    );
    // The same pids after a boot; containers keep their ids.
    of_boot(incident(), BOOTS[1]).write(dir.path(), "other.parquet");
    assert_eq!(both(&all[1]), double[1]);
    assert_eq!(both(&all[2]), one(&all[2]));
    assert_eq!(both(&all[3]), double[3]);
    assert_eq!(both(&all[0]), one(&all[0]));
}

/// Returns the same story of another host.
fn of_host(story: &Story, host: &str) -> Story {
    let mut other = story.clone();
    other.meta(meta::KEY_HOST, host);
    for row in &mut other.rows {
        row["host"] = host.into();
    }
    other
}

#[test]
fn a_process_that_a_crash_has_ended_is_none_of_the_next_boot() {
    let dir = TempDir::new().unwrap();
    let crashed = |boot: &str, ms: i64| {
        let mut story = Story::default();
        footer(&mut story);
        for pid in 100..110 {
            let who = json!({ "container": "web", "pid": pid, "tid": pid, "comm": "sh" });
            story.call(
                ms + i64::from(pid),
                &who,
                "getpid",
                i64::from(pid),
                json!({}),
            );
        }
        of_boot(story, boot)
    };
    crashed(BOOTS[0], 0).write(dir.path(), "0.parquet");
    crashed(BOOTS[1], 1_000_000).write(dir.path(), "1.parquet");
    let sql = "select count(*), count(distinct boot_id) from processes";
    assert_eq!(rows(dir.path(), &["-r", ".", sql]), ["20,2"]);
    assert_eq!(rows(dir.path(), &["-r", ".", "processes"]).len(), 20);
}

#[test]
fn an_address_is_that_of_the_container_that_had_it_at_the_time() {
    let dir = TempDir::new().unwrap();
    let mut story = of_boot(Story::default(), BOOTS[0]);
    footer(&mut story);
    let call = |story: &mut Story, ms: i64, name: &str, port: i32, error: Option<&str>| {
        let server = name != "client";
        let (local, peer) = (json!(["10.0.0.9", 80]), json!(["10.0.0.2", port]));
        let (local, peer) = if server { (local, peer) } else { (peer, local) };
        let who = json!({ "container": name, "container_id": name, "pid": 1, "tid": 1 });
        let socket = json!({ "class": "network", "family": "inet", "protocol": "tcp", "local_addr": local[0],
            "local_port": local[1], "peer_addr": peer[0], "peer_port": peer[1], "error": error });
        let syscall = if server { "accept" } else { "connect" };
        story.call(
            ms,
            &who,
            syscall,
            if error.is_some() { -111 } else { 3 },
            socket,
        );
    };
    // No container has the address yet; then the first, and then the second.
    call(&mut story, 0, "client", 1000, Some("ECONNREFUSED"));
    call(&mut story, 10, "first", 2000, None);
    call(&mut story, 20, "client", 3000, Some("ECONNREFUSED"));
    call(&mut story, 30, "first", 4000, None);
    call(&mut story, 40, "client", 5000, Some("ECONNREFUSED"));
    call(&mut story, 50, "second", 6000, None);
    call(&mut story, 60, "client", 7000, Some("ECONNREFUSED"));
    story.write(dir.path(), "run.parquet");
    let sql = "select target, sum(failed) from links where failed > 0 group by 1 order by 1";
    assert_eq!(
        rows(dir.path(), &["-r", "run.parquet", sql]),
        ["first,2", "second,1"]
    );
}

#[test]
fn ready_questions_tell_the_containers_of_two_hosts_apart() {
    let dir = TempDir::new().unwrap();
    incident().write(dir.path(), "one.parquet");
    of_host(&incident(), "node2").write(dir.path(), "two.parquet");
    for question in [
        "containers",
        "syscalls",
        "files",
        "peers",
        "links",
        "processes",
        "errors",
        "denied",
    ] {
        let one = rows(dir.path(), &["-r", "one.parquet", question]);
        let both = rows(dir.path(), &["-r", ".", question]);
        assert!(!one.is_empty(), "{question}");
        assert_eq!(both.len(), 2 * one.len(), "{question}: {both:#?}");
        let of = |host: &str| both.iter().filter(|row| row.ends_with(host)).count();
        assert_eq!(
            (of(",node1"), of(",node2")),
            (one.len(), one.len()),
            "{question}"
        );
    }
    let summary = rows(dir.path(), &["-r", ".", "summary"]).join("\n");
    let one = rows(dir.path(), &["-r", "one.parquet", "summary"]).join("\n");
    let calls = |summary: &str, name: &str| {
        let line = format!("calls of container,{name},");
        let found = summary.lines().find_map(|row| row.strip_prefix(&line));
        found.map(str::to_owned)
    };
    let name = one
        .lines()
        .find_map(|row| row.strip_prefix("calls of container,"));
    let (name, number) = name.unwrap().split_once(',').unwrap();
    for host in ["node1", "node2"] {
        assert_eq!(
            calls(&summary, &format!("{host}/{name}")).as_deref(),
            Some(number)
        );
    }
}
