//! Peers have the names that their container resolved.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use serde_json::json;

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
