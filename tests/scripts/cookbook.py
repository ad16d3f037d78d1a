"""Runs every question of a page of docs/cookbook/ over a recording, with ctrace-query and with DuckDB.

Usage: cookbook.py CTRACE_QUERY RECORDING PAGE [--write]

The answers on the page must be those of ctrace-query (--write replaces them), and DuckDB must return the same rows.
"""

import datetime
import decimal
import difflib
import io
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "notebooks"))

import duckdb
import pyarrow

from ctrace import connect

FENCE = re.compile(r"```(\w+)\n(.*?)```\n", re.S)


def ctrace(program, recording, sql, form):
    command = [program, "-r", recording, "--format", form, sql]
    answer = subprocess.run(command, capture_output=True)
    if answer.returncode != 0:
        sys.exit(f"{sql}\n{answer.stderr.decode()}")
    return answer.stdout


def plain(value):
    """Returns a value that does not depend on the types of an engine. DuckDB truncates times to microseconds."""
    if isinstance(value, datetime.datetime):
        return int(value.replace(tzinfo=datetime.timezone.utc).timestamp() * 1e6)
    if isinstance(value, (float, decimal.Decimal)):
        return round(float(value), 3)
    return value


def rows(table):
    columns = []
    for column in table.columns:
        if pyarrow.types.is_timestamp(column.type):
            micros = pyarrow.timestamp("us", column.type.tz)
            column = column.cast(micros, safe=False)
        columns.append([plain(value) for value in column.to_pylist()])
    return [list(table.column_names), *map(list, zip(*columns))]


def main():
    program, recording, page = sys.argv[1:4]
    page = pathlib.Path(page)
    text = page.read_text()
    db = connect(recording)
    head, *sections = re.split(r"(?m)^(?=## )", text)
    written, questions = [head], 0
    for section in sections:
        title = section.splitlines()[0]
        queries = [sql for language, sql in FENCE.findall(section) if language == "sql"]
        sql, other = queries[0], queries[-1]
        questions += 1
        ours = rows(pyarrow.ipc.open_stream(io.BytesIO(ctrace(program, recording, sql, "arrow"))).read_all())
        theirs = rows(db.sql(other).to_arrow_table())
        if ours != theirs:
            sys.exit(f"{title}: DuckDB returns\n{theirs}\nand ctrace-query\n{ours}")
        if len(queries) == 2 and runs(db, sql, theirs):
            sys.exit(f"{title}: DuckDB accepts the first spelling too")
        answer = ctrace(program, recording, sql, "table").decode()
        section = FENCE.sub(lambda m: "" if m[1] == "text" else m[0], section).replace("\n\n\n", "\n\n")
        place = section.index("```\n", section.index("```sql") + 6) + 4
        section = f"{section[:place]}\n```text\n{answer}```\n{section[place:]}"
        written.append(section)
    written = "".join(written)
    if questions < 5:
        sys.exit(f"{page}: only {questions} questions, fewer than five")
    if "--write" in sys.argv:
        page.write_text(written)
    elif written != text:
        sys.exit("".join(difflib.unified_diff(text.splitlines(True), written.splitlines(True), "page", "answers")))


def runs(db, sql, expected):
    try:
        return rows(db.sql(sql).to_arrow_table()) == expected
    except duckdb.Error:
        return False


if __name__ == "__main__":
    main()
