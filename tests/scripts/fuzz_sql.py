"""Compares the answers to random statements: from rollups, without rollups, from SQLite, from a directory of segments of which
one was not closed, and by DuckDB. A statement with different answers is reduced to a small one, printed, and fails the run.

Usage: fuzz_sql.py CTRACE_QUERY CTRACE_REC DIRECTORY [--seed N] [--seconds N] [--statements N]

The recordings are made in DIRECTORY: the replay of fixtures/demo.raw, and events with values at the edges of their types.
Statements follow from the seed alone. Then the ready questions are compared, with each of their options.
"""

import argparse
import concurrent.futures
import decimal
import io
import math
import pathlib
import random
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "notebooks"))

import duckdb
import pyarrow
import pyarrow.parquet as parquet

from ctrace import connect
from random_sql import Statements, smaller

EDGES = 400
# Texts with a meaning for SQL, patterns, terminals or Unicode. Those with control characters are escaped, as in recordings.
TEXTS = ["", "a", "A", "/tmp/a", "/tmp/A%", "/tmp/a_b", "/tmp/a\\x0ab", "/tmp/a\\\\b", "é", "日本", "\\xe2\\x80\\xaex", "it's", "NULL", "/"]
NUMBERS = [0, 1, -1, 2, 10, 100, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 9_000_000_000_000_000_000]
SMALL = [0, 1, -1, 2, 3, 7, 2**31 - 1, -(2**31)]
OPTIONS = ["", "--since 13:52:53 --until 13:52:54.9", "--limit 3", "--container demo-web", "--until 9999-12-31"]
READY = ["containers", "syscalls", "strace", "files", "peers", "links", "dns", "processes", "errors", "denied", "gaps"]


def edges(schema):
    """Returns events with values at the edges. Nullable columns have nulls, and times are equal in pairs."""
    chance = random.Random(5)
    start = 1_792_000_000_000_000_000

    def value(field, row):
        name, kind = field.name, field.type
        fixed = {"time": start + row // 2 * 1_000_000, "seq": row, "host": "edge", "kind": chance.choice(["syscall"] * 9 + ["process"])}
        if name in fixed:
            return fixed[name]
        if chance.random() < 0.3:
            return None
        if name == "error":
            return chance.choice(["ENOENT", "EBADF", "EAGAIN", "EACCES"])
        if name == "syscall":
            return chance.choice(["read", "write", "openat", "connect", "execve"])
        if name == "lost":
            return None
        if pyarrow.types.is_boolean(kind):
            return chance.random() < 0.5
        if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
            return chance.choice(TEXTS)
        if kind == pyarrow.uint32():
            return chance.choice([0, 1, 1000, 2**32 - 1])
        if kind == pyarrow.int64() and name in ("ret", "bytes", "duration", "arg0"):
            return chance.choice(NUMBERS)
        return chance.choice(SMALL)

    columns = [pyarrow.array([value(field, row) for row in range(EDGES)], field.type) for field in schema]
    return pyarrow.table(columns, schema=schema)


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, check=True)


def recordings(query, recorder, directory):
    """Makes the recordings. Returns the arguments of `ctrace-query` by name, and the file for DuckDB."""
    replay = directory / "replay.parquet"
    record = [recorder, "--from-raw", ROOT / "fixtures/demo.raw", "--quiet", "--out"]
    run(*record, replay)
    demo = parquet.ParquetFile(replay)
    footer = {k: v for k, v in demo.metadata.metadata.items() if k.startswith(b"ctrace.") and k != b"ctrace.rollups"}
    schema = demo.schema_arrow.remove_metadata()

    def write(path, table, host):
        pairs = {**footer, b"ctrace.host": host}
        pairs.pop(b"ctrace.start", None), pairs.pop(b"ctrace.end", None)
        parquet.write_table(table.replace_schema_metadata(pairs), path, row_group_size=150, store_schema=False)
        return path

    made = edges(schema)
    base = write(directory / "base.parquet", made, b"edge")
    whole = write(directory / "both.parquet", pyarrow.concat_tables([demo.read().cast(schema), made]), b"both")
    # Converting a recording to SQLite and back computes its rollups.
    sqlite, rollups = directory / "both.sqlite", directory / "rollups.parquet"
    run(query, "convert", whole, sqlite)
    run(query, "convert", sqlite, rollups)
    segments = directory / "segments"
    segments.mkdir()
    for number in range(4):
        part = write(directory / "part.parquet", made.slice(number * EDGES // 4, EDGES // 4), b"edge")
        database_file = directory / f"part{number}.sqlite"
        run(query, "convert", part, database_file)
        run(query, "convert", database_file, segments / f"part{number}.parquet")
    # Without the end of the footer, as if the recorder had been killed.
    (segments / "cut.parquet").write_bytes(replay.read_bytes()[:-8])
    base.unlink()
    ours = {
        "rollups": ["-r", rollups],
        "events": ["-r", rollups, "--no-rollups"],
        "sqlite": ["-r", sqlite],
        "segments": ["-r", segments],
    }
    return ours, whole


def plain(value):
    """Returns a value that is equal if the values of both engines are equal."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(f"{value:.6g}")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            return str(value)
        # Engines round differently, so that only one of two means may be an integer.
        return int(value) if value.is_integer() and abs(value) < 10**9 else float(f"{value:.10g}")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def rows(table):
    columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
    return sorted(zip(*columns), key=lambda row: [(value is not None, type(value).__name__, str(value)) for value in row])


class Comparison:
    def __init__(self, query, recorder, directory):
        self.query = query
        self.recordings, whole = recordings(query, recorder, directory)
        self.duckdb = connect(whole)
        self.pool = concurrent.futures.ThreadPoolExecutor(4)

    def ours(self, recording, *args):
        """Returns the rows of an answer, or the text of an error."""
        command = [self.query, *self.recordings[recording], "--format", "arrow", *args]
        answer = subprocess.run([str(word) for word in command], capture_output=True, timeout=120)
        if answer.returncode != 0:
            return "error: " + answer.stderr.decode()
        return rows(pyarrow.ipc.open_stream(io.BytesIO(answer.stdout)).read_all())

    def theirs(self, sql):
        try:
            return rows(self.duckdb.sql(sql).to_arrow_table())
        except duckdb.Error as error:
            return "error: " + str(error)

    def difference(self, statement):
        """Returns the answers by name, if they differ. Errors of DuckDB are ignored; if one of our answers is an error, all
        must be."""
        ours = {name: self.pool.submit(self.ours, name, statement.ours()) for name in self.recordings}
        theirs = self.theirs(statement.theirs())
        answers = {name: answer.result() for name, answer in ours.items()}
        if isinstance(theirs, list):
            answers["duckdb"] = theirs
        errors = [isinstance(answer, str) for answer in answers.values()]
        if all(errors):
            return None if "internal" not in str(answers).lower() and "panic" not in str(answers).lower() else answers
        first = answers["events"]
        return answers if any(answer != first for answer in answers.values()) else None

    def ready(self):
        """Compares the ready questions through their SQL: some of the questions depend on the number of files."""
        count = 0
        for question in READY:
            for options in map(str.split, OPTIONS):
                shown = [self.query, *self.recordings["events"], question, *options, "--show-sql"]
                sql = run(*shown).stdout.decode()
                answers = {name: self.pool.submit(self.ours, name, sql) for name in self.recordings}
                answers = {name: answer.result() for name, answer in answers.items()}
                if any(answer != answers["events"] for answer in answers.values()):
                    fail(f"{question} {' '.join(options)}", answers)
                count += 1
        return count


def fail(text, answers):
    """Prints the answers, without the rows that all answers have in common, and ends the run."""
    print(f"different answers to\n\n{text}\n")
    tables = [[str(row) for row in answer] for answer in answers.values() if not isinstance(answer, str)]
    common = set.intersection(*map(set, tables)) if len(tables) == len(answers) else set()
    for name, answer in answers.items():
        rest = answer if isinstance(answer, str) else [row for row in answer if str(row) not in common]
        shown = rest if isinstance(rest, str) else f"{len(answer)} rows: {rest[:6]}"
        print(f"{name:9} {shown[:2000]}")
    sys.exit(1)


def minimized(comparison, statement):
    """Returns a smaller statement with different answers."""
    best, answers = statement, comparison.difference(statement)
    progress = True
    while progress:
        progress = False
        for candidate in smaller(best):
            found = comparison.difference(candidate)
            if found and all(isinstance(a, str) for a in found.values()) == all(isinstance(a, str) for a in answers.values()):
                best, answers, progress = candidate, found, True
                break
    return best, answers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("query", type=pathlib.Path)
    parser.add_argument("recorder", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--statements", type=float, default=math.inf)
    args = parser.parse_args()
    directory = args.directory / "fuzz"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    comparison = Comparison(args.query.absolute(), args.recorder.absolute(), directory)
    started, count, errors = time.monotonic(), 0, 0
    while count < args.statements and time.monotonic() - started < args.seconds:
        statement = Statements(random.Random(f"{args.seed} {count}")).statement()
        if comparison.difference(statement):
            small, answers = minimized(comparison, statement)
            print(f"seed {args.seed}, statement {count}:\n{statement.ours()}\n")
            fail(f"{small.ours()}\n\nfor DuckDB: {small.theirs()}" if small.ours() != small.theirs() else small.ours(), answers)
        count += 1
        if count % 100 == 0:
            print(f"{count} statements", file=sys.stderr, flush=True)
    print(f"{count} statements and {comparison.ready()} ready questions have the same answers")


if __name__ == "__main__":
    main()
