"""What the notebooks share: the recording to read, its events and views in DuckDB, and the answers of ctrace-query."""

import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import duckdb
import polars as pl
import pyarrow as pa

ROOT = pathlib.Path(__file__).resolve().parents[1]
# A view comes after those that it reads.
VIEWS = ["syscalls", "files", "connections", "processes", "containers", "links", "counts", "gaps"]


def recording(example, variable="CTRACE_RECORDING"):
    """Returns the recording that an environment variable names, or else a replay of the capture fixtures/EXAMPLE.raw."""
    if named := os.environ.get(variable):
        return os.path.abspath(named)
    if not shutil.which("ctrace-rec"):
        raise FileNotFoundError(f"set {variable} to a recording, or put ctrace-rec into PATH, which replays an example")
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory)
    path = f"{directory}/{example}.parquet"
    subprocess.run(["ctrace-rec", "--quiet", "--from-raw", ROOT / f"fixtures/{example}.raw", "--out", path], check=True)
    return path


def files(recording):
    """Returns the Parquet files of a recording, as a pattern: the recording itself, or the segments of a directory."""
    return f"{recording}/**/*.parquet" if os.path.isdir(recording) else str(recording)


def connect(recording, where="true"):
    """Opens a recording in DuckDB: its events that meet a condition, as `events`, and the views of docs/schema.md.

    A directory of segments is one table, with each event once.
    """
    if str(recording).endswith(".sqlite"):
        raise ValueError(f"convert the recording first: ctrace-query convert {recording} run.parquet")
    path = files(recording).replace("'", "''")
    events = f"read_parquet('{path}', union_by_name = true)"
    if os.path.isdir(recording):
        events = f"(select distinct on (host, boot_id, seq) * from {events})"
    db = duckdb.connect()
    db.execute("set timezone = 'UTC'")
    db.execute(f"create view events as from {events} where {where}")
    for view in VIEWS:
        db.execute(f"create view {view} as {(ROOT / f'schema/src/views/{view}.sql').read_text()}")
    return db


def ask(recording, *question):
    """Returns the answer of ctrace-query, to SQL or to a ready question with its options, as a polars table."""
    command = ["ctrace-query", "-r", recording, "--format", "arrow", *question]
    answer = subprocess.run(command, capture_output=True)
    said = answer.stderr.decode()
    if answer.returncode != 0:
        raise ValueError(said)
    # Such as that events were lost.
    for line in said.splitlines():
        if line.startswith("warning:"):
            print(line, file=sys.stderr)
    return pl.from_arrow(pa.ipc.open_stream(answer.stdout).read_all())
