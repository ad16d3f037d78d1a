"""Compares the answers of ctrace-query with those of DuckDB, which does not use the rollups: the rows must be equal.

Usage: compare_duckdb.py CTRACE_QUERY CTRACE_REC RECORDING DIRECTORY
       compare_duckdb.py CTRACE_QUERY RECORDING

Asks the twelve questions of benches/query/questions.py about a synthetic recording, which is made in DIRECTORY, the
ready questions about RECORDING, and one question about a directory of segments. With two arguments, compares all rows
and columns of RECORDING.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path += [str(ROOT / "benches/query"), str(ROOT / "notebooks")]

import duckdb
import generate
import pyarrow
import questions

from cookbook import rows
from ctrace import connect

# Functions of the ready questions that DuckDB spells differently or lacks.
SPELLING = [
    (r"to_char\((\w+)\(time\), '[^']*'\)", r"strftime(\1(time), '%Y-%m-%d %H:%M:%S.%g')"),
    (r"round\(p99\(duration\) / 1e3, 1\) as p99_us,", ""),
    (r",\s*min\(strace\(\)\) as example", ""),
    (r"first_value\((\w+) order by", r"first(\1 order by"),
    (r"cast\((\w+|\w\.\w+) as bigint\)", r"epoch_ns(\1)"),
    (r"to_timestamp_nanos\(([^()]*\([^()]*\)[^()]*(?:\([^()]*\))?)\)", r"make_timestamp_ns(\1)"),
]
READY = ["summary", "containers", "syscalls", "files", "peers", "links", "dns", "errors", "denied"]


def ctrace(program, *args):
    answer = subprocess.run([program, *args], capture_output=True)
    if answer.returncode != 0:
        sys.exit(f"{args}\n{answer.stderr.decode()}")
    return answer.stdout


def table(program, recording, *args):
    stream = ctrace(program, "-r", recording, "--format", "arrow", *args)
    return pyarrow.ipc.open_stream(stream).read_all()


def compare(name, ours, theirs):
    """Compares the columns of `theirs`. The rows are sorted, because a question may leave the order of equal rows open."""
    ours, theirs = rows(ours.select(theirs.column_names))[1:], rows(theirs)[1:]
    key = lambda row: [(value is not None, str(value)) for value in row]
    ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    if ours != theirs:
        wrong = [pair for pair in zip(ours, theirs) if pair[0] != pair[1]]
        sys.exit(f"{name}: {len(ours)} and {len(theirs)} rows, the first difference: {wrong[:1]}")


def twelve(query, recorder, directory):
    """Compares the twelve questions over a small version of the recording of the benchmark."""
    recording, containers = directory / "synthetic.parquet", directory / "containers.parquet"
    make = [sys.executable, generate.__file__, "2", "--rows", "40000", "--containers", containers]
    with subprocess.Popen(make, stdout=subprocess.PIPE) as raw:
        record = [recorder, "--from-raw", "/dev/stdin", "--out", recording, "--quiet"]
        subprocess.run(record, stdin=raw.stdout, check=True)
    db = duckdb.connect()
    db.execute("set timezone = 'UTC'")
    db.execute(f"create view events as from '{recording}'; create view containers as from '{containers}'")
    for name in questions.QUESTIONS:
        ours = table(query, recording, questions.sql("ctrace", name).replace("containers as", f"'{containers}' as"))
        theirs = db.sql(questions.sql("duckdb", name)).to_arrow_table()
        if name == "q5":
            # Each engine approximates percentiles in its own way.
            theirs = theirs.drop_columns(["p"])
        assert theirs.num_rows > 0, name
        compare(name, ours, theirs)


def ready(query, recording):
    db = connect(recording)
    stored = table(query, recording, "select recording, key, value from meta")
    db.execute("create table meta as from stored")
    db.execute("create macro signal_name(n) as case n when 9 then 'SIGKILL' end")
    db.execute("create macro human_bytes(n) as cast(n as varchar)")
    db.execute("create macro human_duration(n) as cast(n as varchar)")
    db.execute("create macro strace(row) as 'a call'")
    db.execute("create macro substr_index(s, d, n) as array_to_string(string_split(s, d)[1:n], d)")
    for name in READY:
        sql = ctrace(query, "-r", recording, name, "--show-sql").decode()
        for pattern, replacement in SPELLING:
            sql = re.sub(pattern, replacement, sql)
        compare(name, table(query, recording, name), db.sql(sql).to_arrow_table())


def segments(query, recorder, directory):
    """Compares a directory of segments. DuckDB takes host and day from the names of the directories."""
    out = directory / "segments"
    record = [recorder, "--from-raw", ROOT / "fixtures/demo.raw", "--out", f"{out}/", "--quiet"]
    subprocess.run(record, check=True)
    events = f"read_parquet('{out}/**/*.parquet', hive_partitioning = true)"
    theirs = duckdb.sql(f"select host, container, count(*) as n from {events} where date > date '2026-01-01' group by all")
    compare("segments", table(query, out, "select host, container, count(*) as n from events group by 1, 2"), theirs.to_arrow_table())


def whole(query, recording):
    """Compares every event and every column."""
    theirs = duckdb.sql(f"from '{recording}' order by seq, class").to_arrow_table()
    ours = table(query, recording, "select * from events order by seq, class").select(theirs.column_names)
    if not ours.cast(theirs.schema).equals(theirs):
        compare("events", ours, theirs)
        sys.exit("events: their times differ by less than a microsecond")
    print(theirs.num_rows, "events")


def main():
    if len(sys.argv) == 3:
        return whole(*sys.argv[1:])
    query, recorder, recording, directory = map(pathlib.Path, sys.argv[1:])
    twelve(query, recorder, directory)
    ready(query, recording)
    segments(query, recorder, directory)
    print(len(questions.QUESTIONS) + len(READY), "questions")


if __name__ == "__main__":
    main()
