//! Questions to name servers are rows, and peers have the names that their container resolved.

use std::time::Duration;

use crate::support::containers::{Container, Ended, Runtime};
use crate::support::name_server::NameServer;
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use serde_json::{Value, json};

#[test]
fn a_peer_has_the_name_that_its_container_asked_for() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Docker, "dns").run(&["dns"]);
    assert_eq!(ended.code, 0);
    // Another container has not resolved the name.
    let other = Container::new(Runtime::Docker, "dns").run(&["dns", "101"]);
    assert_eq!(other.code, 0);
    let recording = recorder.stop();
    let used = |container: &str, call: &str| {
        recording.query(&format!(
            "select peer_addr, dns_name from events where container = '{container}' and syscall = '{call}' \
             and peer_port = 7 and bytes is distinct from 1 order by time, seq"
        ))
    };
    let mut expected: Vec<_> = (101..=110)
        .map(|n| json!({"peer_addr": format!("127.0.0.{n}"), "dns_name": format!("n{n}.test")}))
        .collect();
    // The newest name of an address is used.
    expected.push(json!({"peer_addr": "127.0.0.101", "dns_name": "m101.test"}));
    assert_eq!(used(&ended.name, "connect"), expected);
    assert_eq!(used(&ended.name, "sendto"), expected);
    let unnamed = [json!({"peer_addr": "127.0.0.101"})];
    assert_eq!(used(&other.name, "connect"), unnamed);
    let peers = recording.query(&format!(
        "select peer_addr, max(dns_name) as name from connections where container = '{}' and peer_addr = '127.0.0.105' group by 1",
        ended.name
    ));
    assert_eq!(
        peers,
        [json!({"peer_addr": "127.0.0.105", "name": "n105.test"})]
    );
}

#[test]
fn a_dns_query_and_its_answer_have_the_name() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Docker, "dns").run(&["dns"]);
    assert_eq!(ended.code, 0);
    let recording = recorder.stop();
    let rows = recording.query(&format!(
        "select dns_name, string_agg(syscall, ' ' order by time, seq) as calls from events \
         where container = '{}' and comm in ('dns', 'nslookup') and peer_port = 53 and dns_name is not null group by 1 order by 1",
        ended.name
    ));
    let calls: Vec<_> = rows
        .iter()
        .map(|r| {
            (
                r["dns_name"].as_str().unwrap(),
                r["calls"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("m101.test", "sendto recvfrom"),
        ("n101.test", "sendto recvfrom"),
        ("n102.test", "write read"),
        ("n103.test", "sendto recvfrom"),
        ("n104.test", "sendmsg recvmsg"),
        ("n105.test", "sendmmsg recvmmsg"),
        ("n106.test", "writev read"),
        ("n107.test", "sendmsg recvmsg"),
    ];
    assert_eq!(calls[..8], expected);
    // glibc and busybox choose the calls themselves.
    let names: Vec<_> = calls[8..].iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["n108.test", "n109.test", "n110.test"]);
}

#[test]
fn several_messages_at_once_have_their_bytes() {
    require_root();
    for program in ["messages", "messages32"] {
        let recorder = Recorder::start(&["--set", "network"]);
        let ended = Container::new(Runtime::Docker, program).run(&[program]);
        assert_eq!(ended.code, 0);
        let rows = recorder.stop().query(&format!(
            "select syscall, ret, bytes, peer_addr from events where container = '{}' and syscall like '%mmsg%' order by seq",
            ended.name
        ));
        let names: Vec<_> = rows
            .iter()
            .map(|r| r["syscall"].as_str().unwrap().trim_end_matches("_time64"))
            .collect();
        assert_eq!(names, ["sendmmsg", "recvmmsg"], "{program}");
        for (row, peer) in rows.iter().zip(["127.0.0.6", "127.0.0.5"]) {
            assert_eq!(
                (&row["ret"], &row["bytes"], &row["peer_addr"]),
                (&json!(2), &json!(20), &json!(peer)),
                "{program}"
            );
        }
    }
}

/// Runs a script in a container with a name server at 127.0.0.1, which is also the one of /etc/resolv.conf.
fn run_with_server(container: Container, script: &str) -> Ended {
    let script = format!("read x; echo nameserver 127.0.0.1 > /etc/resolv.conf; {script}");
    let mut container = container.start(&["sh", "-c", &script]);
    let _server = NameServer::start(&container);
    container.write("go");
    container.finish()
}

/// Returns the rows of questions of a container: what was asked, and what has become of it.
fn questions(recording: &crate::support::recorder::Recording, container: &str) -> Vec<Value> {
    recording.query(&format!(
        "select dns_name as name, dns_type as type, action, dns_code as code, dns_answers as answers, error, protocol, \
         peer_addr || ':' || cast(peer_port as varchar) as server, duration / 1000000 as ms, comm, family, class \
         from events where container = '{container}' and kind = 'dns' order by time, seq"
    ))
}

/// Checks name, type, action, code and answers of questions over UDP to a server.
fn check(rows: &[Value], server: &str, expected: &[[&str; 5]]) {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("").to_owned();
    let columns = ["name", "type", "action", "code", "answers"];
    let found: Vec<_> = rows
        .iter()
        .map(|row| columns.map(|name| text(row, name)))
        .collect();
    assert_eq!(found, expected, "{rows:#?}");
    for row in rows {
        let fixed = [
            ("server", server),
            ("protocol", "udp"),
            ("family", "inet"),
            ("class", "network"),
        ];
        assert!(
            fixed.iter().all(|(name, value)| text(row, name) == *value),
            "{row}"
        );
    }
}

#[test]
fn each_way_in_which_a_question_goes_is_a_row() {
    require_root();
    for runtime in [Runtime::Docker, Runtime::Podman] {
        let container = Container::new(runtime, "ask");
        let name = container.name().to_owned();
        let recorder = Recorder::start(&["--container", &name]);
        run_with_server(
            container,
            "for n in db nx broken refused late; do nslookup -type=a $n.test; done; \
             nslookup -type=srv srv.test; nslookup -type=txt txt.test; nslookup -type=mx db.test; \
             nslookup -type=a silent.test; nslookup -type=a db.test 127.0.0.9",
        );
        let rows = questions(&recorder.stop(), &name);
        assert!(
            rows.iter().all(|row| row["comm"] == "nslookup"),
            "{rows:#?}"
        );
        let (rows, refused): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|row| row["server"] == "127.0.0.1:53");
        let broken = ["broken.test", "A", "failed", "SERVFAIL", "[]"];
        let silent = ["silent.test", "A", "unanswered", "", ""];
        // busybox asks a server that fails three times, and a silent one twice within five seconds.
        check(
            &rows,
            "127.0.0.1:53",
            &[
                ["db.test", "A", "answered", "NOERROR", "[\"10.9.8.7\"]"],
                ["nx.test", "A", "failed", "NXDOMAIN", "[]"],
                broken,
                broken,
                broken,
                ["refused.test", "A", "failed", "REFUSED", "[]"],
                ["late.test", "A", "answered", "NOERROR", "[\"10.9.8.7\"]"],
                [
                    "srv.test",
                    "SRV",
                    "answered",
                    "NOERROR",
                    "[\"1 2 8080 db.test\"]",
                ],
                ["txt.test", "TXT", "answered", "NOERROR", "[\"hello\"]"],
                ["db.test", "MX", "answered", "NOERROR", "[]"],
                silent,
                silent,
            ],
        );
        let ms = |row: &Value| row["ms"].as_i64().unwrap();
        let took = |name: &str| rows.iter().find(|row| row["name"] == name).map(ms).unwrap();
        assert!((500..2000).contains(&took("late.test")), "{rows:#?}");
        assert!((2000..4000).contains(&took("silent.test")), "{rows:#?}");
        // Nobody listens at the last address. How often busybox asks there depends on the call that returns the error.
        assert!(!refused.is_empty());
        for row in refused {
            assert_eq!(row["action"], "unanswered", "{row}");
            assert_eq!(row["error"], "ECONNREFUSED", "{row}");
            assert_eq!(row["server"], "127.0.0.9:53", "{row}");
        }
    }
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_comes_over_tcp() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = run_with_server(
        Container::new(Runtime::Docker, "long"),
        "ping -c 1 -W 1 long.test",
    );
    let rows = questions(&recorder.stop(), &ended.name);
    let of = |protocol: &str, ty: &str| {
        let mut found = rows
            .iter()
            .filter(|row| row["protocol"] == protocol && row["type"] == ty);
        found
            .next()
            .unwrap_or_else(|| panic!("{protocol} {ty}: {rows:#?}"))
    };
    for (protocol, ty) in [("udp", "A"), ("tcp", "A"), ("tcp", "AAAA")] {
        assert_eq!(of(protocol, ty)["code"], "NOERROR", "{rows:#?}");
    }
    assert_eq!(of("udp", "A")["answers"], Value::Null);
    assert_eq!(of("tcp", "AAAA")["answers"], "[]");
    // The first 32 of 100.
    let answers = of("tcp", "A")["answers"].as_str().unwrap();
    let answers: Vec<String> = serde_json::from_str(answers).unwrap();
    let expected: Vec<_> = (0..32).map(|n| format!("10.0.1.{n}")).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_question_without_an_answer_ends_by_a_rule() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = run_with_server(
        Container::new(Runtime::Docker, "rules"),
        "dns several; dns again 0; dns again 12",
    );
    assert_eq!(ended.code, 0);
    let open = Container::new(Runtime::Docker, "open");
    let open = open.start(&["sh", "-c", "dns again 60 & echo asked; read x"]);
    std::thread::sleep(Duration::from_secs(2));
    let recording = recorder.stop();
    let rows = questions(&recording, &ended.name);
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["server"].as_str().unwrap(),
                row["action"].as_str().unwrap(),
            )
        })
        .collect();
    let silent = "127.0.0.2:53";
    assert_eq!(
        found,
        [
            // Both at once: the second is closed after the answer of the first.
            ("127.0.0.1:53", "answered"),
            (silent, "abandoned"),
            // Sent again, and open when the process ended.
            (silent, "unanswered"),
            (silent, "unanswered"),
            // Sent again, and open for more than ten seconds.
            (silent, "unanswered"),
            (silent, "unanswered"),
        ],
        "{rows:#?}"
    );
    let ms = |row: usize| rows[row]["ms"].as_i64().unwrap();
    assert!((100..1000).contains(&ms(2)) && ms(3) < 1000, "{rows:#?}");
    assert_eq!(ms(5), 10_000, "{rows:#?}");
    // The recording has ended before the answer.
    let rows = questions(&recording, &open.name);
    let actions: Vec<_> = rows.iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["unanswered", "unanswered"], "{rows:#?}");
    assert!(
        (500..60_000).contains(&rows[1]["ms"].as_i64().unwrap()),
        "{rows:#?}"
    );
    open.kill();
}

#[test]
fn a_name_server_in_a_container_asks_nothing() {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(Runtime::Docker, "dns").run(&["dns"]);
    assert_eq!(ended.code, 0);
    let recording = recorder.stop();
    let rows = questions(&recording, &ended.name);
    assert!(rows.iter().all(|row| row["comm"] != "server"), "{rows:#?}");
    let names: Vec<_> = rows
        .iter()
        .filter(|row| row["type"] == "A")
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["answers"].as_str().unwrap(),
            )
        })
        .collect();
    let expected =
        (101..=110).map(|n| (format!("n{n}.test"), format!("[\"alias\",\"127.0.0.{n}\"]")));
    let expected: Vec<_> = expected
        .chain([(
            "m101.test".to_owned(),
            "[\"alias\",\"127.0.0.101\"]".to_owned(),
        )])
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, answers)| (&**name, &**answers))
        .collect();
    assert_eq!(names, expected, "{rows:#?}");
    // glibc asks for both types at once, over UDP and over TCP, and so does nslookup.
    let mut six: Vec<_> = rows
        .iter()
        .filter(|row| row["type"] == "AAAA")
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["protocol"].as_str().unwrap(),
            )
        })
        .collect();
    six.sort_unstable();
    assert_eq!(
        six,
        [
            ("n108.test", "udp"),
            ("n109.test", "tcp"),
            ("n110.test", "udp")
        ]
    );
}
