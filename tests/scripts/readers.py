"""Reads a directory of segments with other programs, each as its documentation shows for Hive-style directories. All must
find the same rows, in the same columns, and the keys of the directories.

Usage: readers.py DIRECTORY

Prints the number of rows, the value of the key `node`, and the names of the readers.
"""

import sys

import chdb
import duckdb
import pandas
import polars
import pyarrow.dataset

KEYS = ["node", "date"]


def with_pandas(directory):
    frame = pandas.read_parquet(directory)
    return len(frame), frame.seq.sum(), set(frame.node), set(frame.columns)


def with_pyarrow(directory):
    dataset = pyarrow.dataset.dataset(directory, partitioning="hive")
    table = dataset.to_table(columns=["seq", "node"])
    seqs = sum(table.column("seq").to_pylist())
    return table.num_rows, seqs, set(table.column("node").to_pylist()), set(dataset.schema.names)


def polars_frame(frame):
    found = frame.select(polars.len(), polars.col("seq").sum()).collect().row(0)
    nodes = frame.select("node").unique().collect()["node"].to_list()
    return *found, set(nodes), set(frame.collect_schema().names())


def with_polars(directory):
    # polars refuses a directory with other file names, unless it gets a pattern or the prefix of hidden files.
    marked = polars_frame(polars.scan_parquet(directory, hive_partitioning=True, hidden_file_prefix="."))
    pattern = polars_frame(polars.scan_parquet(f"{directory}/**/*.parquet", hive_partitioning=True))
    assert marked == pattern, (marked, pattern)
    return pattern


def with_duckdb(directory):
    found = []
    for source in [directory, f"{directory}/**/*.parquet"]:
        files = duckdb.sql(f"from read_parquet('{source}', hive_partitioning = true)")
        count, seqs = files.aggregate("count(*), sum(seq)").fetchall()[0]
        nodes = {node for (node,) in files.aggregate("node").fetchall()}
        found.append((count, seqs, nodes, set(files.columns)))
    assert found[0] == found[1], found
    return found[0]


def with_clickhouse(directory):
    files = f"file('{directory}/**/*.parquet', Parquet)"
    setting = "settings use_hive_partitioning = 1"
    ask = lambda sql: str(chdb.query(f"{sql} {setting}", "TSV")).splitlines()
    count, seqs = ask(f"select count(), sum(seq) from {files}")[0].split("\t")
    nodes = ask(f"select distinct node from {files}")
    names = [line.split("\t")[0] for line in ask(f"describe {files}")]
    return int(count), int(seqs), set(nodes), set(names)


def main():
    directory = sys.argv[1].rstrip("/")
    readers = [with_pandas, with_pyarrow, with_polars, with_duckdb, with_clickhouse]
    answers = {reader.__name__.removeprefix("with_"): reader(directory) for reader in readers}
    rows, seqs, nodes, names = answers["duckdb"]
    assert rows > 0 and names.issuperset(KEYS) and "host" in names, names
    for reader, answer in answers.items():
        assert answer == (rows, seqs, nodes, names), (reader, answer, answers["duckdb"])
    print(f"{rows} rows of {', '.join(nodes)}: {', '.join(answers)}")


main()
