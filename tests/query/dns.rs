//! Questions to name servers: what failed comes first, what is routine last.

use serde_json::json;
use tempfile::TempDir;

use crate::ask;
use crate::support::story::{Story, footer};

/// Adds a question, and an answer with an address if the code is `NOERROR`.
fn question(s: &mut Story, who: &str, name: &str, server: &str, action: &str, code: Option<&str>) {
    let ms = s.rows.len() as i64;
    let answers = code.map(|code| match code {
        "NOERROR" => "[\"10.0.0.1\"]",
        _ => "[]",
    });
    s.row(
        ms,
        json!({ "kind": "dns", "action": action, "class": "network", "container": who, "container_id": who,
            "pid": 7, "tid": 7, "comm": "app", "duration": 1_000_000, "family": "inet", "protocol": "udp",
            "peer_addr": server, "peer_port": 53, "dns_name": name, "dns_type": "A", "dns_code": code,
            "dns_answers": answers }),
    );
}

fn recording() -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut s = Story::default();
    footer(&mut s);
    let nx = Some("NXDOMAIN");
    let found = Some("NOERROR");
    // A name is found in the second domain of the search list, another one without a domain.
    question(
        &mut s,
        "web",
        "db.default.svc.cluster.local",
        "a",
        "failed",
        nx,
    );
    question(
        &mut s,
        "web",
        "db.svc.cluster.local",
        "a",
        "answered",
        found,
    );
    question(
        &mut s,
        "web",
        "pay.example.com.svc.cluster.local",
        "a",
        "failed",
        nx,
    );
    question(&mut s, "web", "pay.example.com", "a", "answered", found);
    // A name of which each is missing, and one that only another domain has.
    question(&mut s, "web", "typo.svc.cluster.local", "a", "failed", nx);
    question(&mut s, "web", "typo", "a", "failed", nx);
    question(&mut s, "web", "pay.example.org", "a", "failed", nx);
    // Another environment of the same parent has a service of the same name.
    let (staging, production) = ("db.staging.example.net", "db.prod.example.net");
    question(&mut s, "web", staging, "a", "failed", nx);
    question(&mut s, "web", production, "a", "answered", found);
    // Another container has found nothing.
    question(
        &mut s,
        "job",
        "db.default.svc.cluster.local",
        "a",
        "failed",
        nx,
    );
    // Two servers: one is not needed, and one fails.
    question(&mut s, "web", "two.test", "a", "answered", found);
    question(&mut s, "web", "two.test", "b", "abandoned", None);
    question(&mut s, "web", "slow.test", "b", "unanswered", None);
    s.last("duration", 5_000_000_000_i64);
    question(&mut s, "web", "slow.test", "b", "unanswered", None);
    s.write(dir.path(), "run.parquet");
    dir
}

/// Returns the first columns of each row of an answer.
fn answer(dir: &TempDir, args: &[&str], columns: usize) -> Vec<String> {
    let answer = ask(dir.path(), &[args, &["--format", "csv"]].concat());
    let lines = answer.lines().skip(3);
    let first = |line: &str| line.split(',').take(columns).collect::<Vec<_>>().join(",");
    lines.map(first).collect()
}

#[test]
fn failures_come_first_and_search_domains_last() {
    let dir = recording();
    assert_eq!(
        answer(&dir, &["dns"], 8),
        [
            "web,slow.test,A,no answer,b:53,2,2500500.0,5000000.0",
            "job,db.default.svc.cluster.local,A,NXDOMAIN,a:53,1,1000.0,1000.0",
            "web,db.staging.example.net,A,NXDOMAIN,a:53,1,1000.0,1000.0",
            "web,pay.example.org,A,NXDOMAIN,a:53,1,1000.0,1000.0",
            "web,typo,A,NXDOMAIN,a:53,1,1000.0,1000.0",
            "web,db.prod.example.net,A,NOERROR,a:53,1,1000.0,1000.0",
            "web,db.svc.cluster.local,A,NOERROR,a:53,1,1000.0,1000.0",
            "web,pay.example.com,A,NOERROR,a:53,1,1000.0,1000.0",
            "web,two.test,A,NOERROR,a:53,1,1000.0,1000.0",
            "web,db.default.svc.cluster.local,A,NXDOMAIN,a:53,1,1000.0,1000.0",
            "web,pay.example.com.svc.cluster.local,A,NXDOMAIN,a:53,1,1000.0,1000.0",
            "web,two.test,A,no answer,b:53,1,1000.0,1000.0",
            "web,typo.svc.cluster.local,A,NXDOMAIN,a:53,1,1000.0,1000.0",
        ]
    );
    assert_eq!(answer(&dir, &["dns", "--container", "job"], 2).len(), 1);
}

#[test]
fn a_name_that_could_not_be_resolved_is_a_failure() {
    let dir = recording();
    assert_eq!(
        answer(&dir, &["errors"], 5),
        [
            "web,dns,no answer,slow.test at b:53,2",
            "job,dns,NXDOMAIN,db.default.svc.cluster.local at a:53,1",
            "web,dns,NXDOMAIN,db.staging.example.net at a:53,1",
            "web,dns,NXDOMAIN,pay.example.org at a:53,1",
            "web,dns,NXDOMAIN,typo at a:53,1",
            "web,,NXDOMAIN,routine: search domain,3",
            "web,,no answer,routine: answered by another server,1",
        ]
    );
    assert_eq!(answer(&dir, &["errors", "--all"], 1).len(), 9);
    assert_eq!(
        answer(&dir, &["summary"], 3)[..4],
        [
            "top failures,web dns no answer slow.test,2",
            "top failures,job dns NXDOMAIN db.default.svc.cluster.local,1",
            "top failures,web dns NXDOMAIN db.staging.example.net,1",
            "top failures,web dns NXDOMAIN pay.example.org,1",
        ]
    );
}
