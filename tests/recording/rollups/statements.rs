//! Random statements that rollups may or may not be able to answer.

use crate::support::random::Random;

/// Picks an element of a list.
fn pick<'a>(random: &mut Random, list: &[&'a str]) -> &'a str {
    list[random.below(list.len())]
}

const GROUPS: &[&str] = &[
    "container",
    "syscall",
    "kind",
    "class",
    "error",
    "comm",
    "exe",
    "path",
    "peer_addr",
    "peer_port",
    "denied",
    "compat",
    "coalesce(container, '?') || ' ' || coalesce(syscall, '-')",
    "-ret",
    "ret > 0",
    "ret is null",
    "ret < 0",
    "case when syscall in ('read', 'write') then 'moves' when error is null then 'fine' end",
    "substr(comm, 1, 3)",
    "date_trunc('second', time)",
    "date_bin(interval '10 seconds', time)",
    "date_trunc('hour', time)",
    "recording",
    "uid",
    "exit_code",
    "dns_name",
    "family",
    "arg0",
    "duration / 1000000",
    "split_part(path, '/', 2)",
    "split_part(path, '/', 2) || '/' || split_part(path, '/', 3)",
    "split_part(path, '/', 4)",
    "path < '/etc/s'",
    "path = '/usr/lib/'",
    "upper(host)",
];
const SUMS: &[&str] = &[
    "count(*)",
    "count(error)",
    "count(container_id)",
    "count(duration)",
    "count(bytes)",
    "count(time)",
    "sum(bytes)",
    "sum(duration)",
    "min(time)",
    "max(time)",
    "min(duration)",
    "max(bytes)",
    "avg(duration)",
    "max(comm)",
    "min(path)",
    "count(distinct syscall)",
    "count(distinct comm)",
    "count(distinct path)",
    "count(case when ret < 0 then 1 end)",
    "sum(case when denied then 1 else 0 end)",
    "count(*) filter (where error is not null)",
    "sum(lost)",
    "p99(duration)",
    "p50(duration) filter (where container is not null)",
    "p90(bytes)",
    "sum(bytes) filter (where syscall = 'read')",
    "sum(case when ret > 0 then bytes end)",
    "sum(distinct bytes)",
    "min(case when kind = 'process' then time end)",
    "max(case when syscall = 'openat' then duration else 0 end)",
    "sum(case when error is null then bytes else 0 end)",
    "bool_or(denied)",
    "max(ret)",
    "sum(exit_code)",
    "count(ret)",
    "count(case when error is null then duration end)",
    "sum(ret)",
    "max(exit_signal)",
];
const FILTERS: &[&str] = &[
    "true",
    "kind = 'syscall'",
    "container = 'demo-web'",
    "container is null",
    "error is not null",
    "ret < 0",
    "ret > 0",
    "ret = 0",
    "ret >= 1",
    "ret <> 0",
    "ret > 5",
    "ret in (-2, -11, 0)",
    "ret < 0 and ret > -4096",
    "not denied",
    "path = '/etc/shadow'",
    "path like '/etc/%'",
    "path is not null",
    "path is null",
    "path_under(path, '/usr')",
    "path_under(path, '/usr/lib')",
    "path_under(path, '/usr/lib/x86_64-linux-gnu')",
    "path like '/usr/lib/%'",
    "path like '/usr/lib/x%'",
    "path > '/lib/'",
    "path <> '/etc/passwd' and path is not null",
    "syscall in ('accept4', 'recvfrom')",
    "path not like '%lib%'",
    "peer_addr is not null",
    "cidr_contains('10.0.0.0/8', peer_addr)",
    "syscall = 'execve'",
    "syscall in ('connect', 'sendto')",
    "syscall = 'connect' or syscall = 'read'",
    "kind = 'process'",
    "kind <> 'syscall'",
    "kind in ('gap', 'container')",
    "comm like '%c%'",
    "coalesce(path, '') = ''",
    "time >= '2026-11-30T13:52:54Z'",
    "time < '2026-11-30T13:52:54.5Z'",
    "time >= '2026-11-21T00:00:00Z'",
    "time > '2026-11-30T13:52:53.550000Z' and time < '2026-11-30T22:00:00Z'",
    "time < '2026-11-21T01:00:00Z'",
    "length(comm) > 3",
    "duration > 10000",
    "recording like '%demo%'",
    "(path is not null or peer_addr is not null)",
    "container = 'demo-web' and error = 'ENOENT'",
    "family is null and path like '/%' and comm not like 'runc:[%'",
];
const TABLES: &[&str] = &[
    "events",
    "events",
    "events",
    "(select * from events where kind = 'syscall') as calls",
];

/// Returns statements of three columns, with and without groups, over the events or a subquery.
pub(crate) fn statements(count: usize) -> Vec<String> {
    let mut random = Random(7);
    (0..count)
        .map(|_| {
            let (table, group) = (pick(&mut random, TABLES), pick(&mut random, GROUPS));
            let (one, two) = (pick(&mut random, SUMS), pick(&mut random, SUMS));
            let (filter, also) = (pick(&mut random, FILTERS), pick(&mut random, FILTERS));
            let filter = match pick(&mut random, &["one", "one", "both"]) {
                "both" => format!("{filter} and {also}"),
                _ => filter.to_string(),
            };
            let text = |e: &str, name| format!("cast({e} as varchar) as {name}");
            match pick(&mut random, &["group", "group", "distinct", "all"]) {
                "group" => format!(
                    "select {}, {}, {} from {table} where {filter} group by {group}",
                    text(group, "a"),
                    text(one, "b"),
                    text(two, "c")
                ),
                "distinct" => format!(
                    "select distinct {}, '' as b, '' as c from {table} where {filter}",
                    text(group, "a")
                ),
                _ => format!(
                    "select '' as a, {}, {} from {table} where {filter}",
                    text(one, "b"),
                    text(two, "c")
                ),
            }
        })
        .collect()
}
