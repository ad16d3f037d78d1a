"""The twelve questions, in the SQL that ctrace-query, DuckDB and DataFusion share, with replacements for other dialects.

`events` is the recording, `containers` the table of containers and addresses. polars runs its own expressions, because its
SQL lacks half of the features."""

# The middle of the hour.
FROM, TO = "2026-05-05 17:23:20", "2026-05-05 17:23:22"

QUESTIONS = {
    "q1": (
        "top 5 syscalls of each container",
        """select container, syscall, n from (
            select *, row_number() over (partition by container order by n desc, syscall) as rank
            from (select container, syscall, count(*) as n from events group by 1, 2) as counted) as ranked
        where rank <= 5 and syscall is not null order by 1, 3 desc, 2""",
    ),
    "q2": (
        "who touched /etc/shadow",
        """select container, comm, count(*) as n, min(time) as first_seen, max(time) as last_seen
        from events where path = '/etc/shadow' group by 1, 2 order by 1, 2""",
    ),
    "q3": (
        "peers of one container with bytes",
        """select peer_addr, peer_port, count(*) as n, sum(bytes) as b
        from events where container = 'api-1' and peer_addr is not null group by 1, 2 order by n desc, 1, 2 limit 20""",
    ),
    "q4": (
        "failures by errno and container",
        """select container, -ret as errno, count(*) as n
        from events where ret < 0 and ret > -4096 group by container, ret order by 1, n desc, 2""",
    ),
    "q5": (
        "p99 latency of each syscall",
        """select syscall, count(*) as n, p99(duration) as p
        from events where syscall is not null group by 1 order by 1""",
    ),
    "q6": (
        "activity of one container in 10 s buckets",
        """select date_bin(interval '10 seconds', time) as bucket, count(*) as n
        from events where container = 'api-1' group by 1 order by 1""",
    ),
    "q7": (
        "executables run, per container",
        """select container, path, count(*) as n from events where syscall = 'execve' group by 1, 2 order by 1, 2""",
    ),
    "q8": (
        "first and last seen per container and path prefix",
        """select container, split_part(path, '/', 2) || '/' || split_part(path, '/', 3) as prefix,
            min(time) as first_seen, max(time) as last_seen, count(*) as n
        from events where path is not null group by 1, 2 order by 1, 2""",
    ),
    "q9": (
        "container-to-container links from both ends",
        """select s.container as source, t.container as target, o.n as sent, i.n as received
        from (select container, peer_addr, count(*) as n from events
            where syscall in ('connect', 'sendto') group by 1, 2) as o
        join containers as s on s.container = o.container
        join containers as t on t.ip = o.peer_addr
        join (select container, peer_addr, count(*) as n from events
            where syscall in ('accept4', 'recvfrom') group by 1, 2) as i
            on i.container = t.container and i.peer_addr = s.ip
        order by 1, 2""",
    ),
    "q10": (
        "every row of a 2 s window in the middle, in order",
        f"select * from events where time >= '{FROM}Z' and time < '{TO}Z' order by time, seq",
    ),
    "q11": (
        "paths that contain a word",
        """select container, path, count(*) as n from events
        where path like '%secret%' group by 1, 2 order by n desc, 1, 2 limit 100""",
    ),
    "q12": (
        "syscalls that one container makes and another never does",
        """select syscall from (select distinct syscall from events where container = 'api-1'
            except select distinct syscall from events where container = 'web-0') as only_one order by 1""",
    ),
}

# Differences of an engine's SQL: pairs of text and replacement, by question.
SPELLING = {
    "datafusion": {"q5": [("p99(duration)", "approx_percentile_cont(duration, 0.99)")]},
    "duckdb": {
        "q5": [("p99(duration)", "approx_quantile(duration, 0.99)")],
        "q6": [("date_bin(interval '10 seconds', time)", "time_bucket(interval 10 second, time::timestamptz)")],
    },
    "chdb": {
        "q1": [("select *, row_number()", "select container, syscall, n, row_number()")],
        "q5": [("p99(duration)", "quantileTDigest(0.99)(duration)")],
        "q6": [("date_bin(interval '10 seconds', time)", "toStartOfInterval(time, interval 10 second)")],
        "q8": [
            ("split_part(path, '/', 2)", "splitByChar('/', assumeNotNull(path))[2]"),
            ("split_part(path, '/', 3)", "splitByChar('/', assumeNotNull(path))[3]"),
        ],
        "q10": [(f"'{FROM}Z'", f"toDateTime64('{FROM}', 9, 'UTC')"), (f"'{TO}Z'", f"toDateTime64('{TO}', 9, 'UTC')")],
    },
}


def sql(engine, name):
    text = QUESTIONS[name][1]
    for old, new in SPELLING.get(engine, {}).get(name, []):
        assert old in text, (engine, name)
        text = text.replace(old, new)
    return text
