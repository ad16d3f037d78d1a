"""Executes a notebook from scratch, with the programs in the directory PROGRAMS.

Usage: notebook.py PROGRAMS NOTEBOOK [VARIABLE=RECORDING...] [--store]

Without a VARIABLE, the notebook replays its example, and its outputs must be those that are stored in it, in kind and text;
--store stores them. CTRACE_RECORDING and CTRACE_BASELINE name other recordings. Fails if a cell fails, if a cell that should
show a plot shows none, or if a number of the notebook is not the answer of ctrace-query.
"""

import json
import os
import pathlib
import subprocess
import sys

import nbclient
import nbformat

# The notebooks are shown on code hosts with their plots, and must stay small.
MOST_BYTES = 200_000

# For each notebook: the recordings that it reads, as Python, and rows that it computes with DuckDB or polars, as Python, with SQL
# to which ctrace-query must give the same rows.
SAME = {
    "first-look": ("[recording]", {
        "containers.select('container', 'calls', 'errors').rows()":
            "select container, calls, errors from containers order by calls desc, container",
        "busy.group_by('container').agg(pl.col('calls').sum()).sort('container').rows()":
            "select container, count(*) from events where kind = 'syscall' and container is not null group by 1 order by 1",
        "failed.rows()":
            """select container, syscall, error, count(*) from events
            where kind = 'syscall' and error is not null and setup is not true group by 1, 2, 3 order by 4 desc, 1, 2, 3""",
        "[[len(processes)]]": "select least(count(*), 40) from processes where setup is not true",
    }),
    "network-and-files": ("[recording]", {
        "links.select('source', 'target', 'connections', 'failed').rows()":
            "select source, target, sum(connections), sum(failed) from links group by 1, 2 order by 1, 2",
        "connections.group_by('action').len().sort('action').rows()":
            """select action, count(*) from events
            where kind = 'connection' and direction = 'out' and action <> 'established' group by 1 order by 1""",
        "lookups.group_by('dns_name', 'answer').len().sort('dns_name', 'answer').rows()":
            "select dns_name, coalesce(dns_code, action), count(*) from events where kind = 'dns' group by 1, 2 order by 1, 2",
        "changes.group_by('file').agg(pl.col('bytes').sum()).sort('file').rows()":
            """select container || ': ' || path, coalesce(sum(bytes), 0) from files
            where error is null and setup is not true and path not like '/dev/%' and path not like '/proc/%'
                and (operation in ('write', 'create', 'delete', 'rename', 'truncate') or operation = 'open' and flags & 576 > 0)
            group by 1 order by 1""",
    }),
    "two-runs": ("recordings", {
        "requests.group_by('server').len().sort('server').rows()":
            """select container || ':' || local_port, count(*) from events
            where kind = 'connection' and direction = 'in' and lifetime is not null group by 1 order by 1""",
        "changed.filter(syscall='write').group_by('syscall').agg((pl.col('calls') + pl.col('calls_after')).sum()).rows()":
            """select syscall, count(*) from events
            where kind = 'syscall' and duration is not null and setup is not true and container is not null and syscall = 'write'
            group by 1""",
        "failures.group_by('failure').agg((pl.col('calls') + pl.col('calls_after')).sum()).sort('failure').rows()":
            """select coalesce(error, dns_code), count(*) from events
            where kind in ('syscall', 'dns') and setup is not true and coalesce(error, dns_code) not in
                ('NOERROR', 'EAGAIN', 'EINPROGRESS', 'EINTR', 'ENOTTY', 'ECHILD', 'ESPIPE') group by 1 order by 1""",
    }),
}


def outputs(cell):
    """Returns the outputs of a cell without the parts that depend on the machine."""
    shown = cell.get("outputs", [])
    return [(output.output_type, sorted(output.get("data", {})), output.get("data", {}).get("text/plain")) for output in shown]


def answer(recordings, sql):
    """Returns the rows of an answer of ctrace-query."""
    named = [word for recording in recordings for word in ("-r", recording)]
    found = subprocess.run(["ctrace-query", *named, "--format", "json", sql], stdout=subprocess.PIPE, check=True)
    return [list(row.values()) for row in json.loads(found.stdout)]


def main():
    store = "--store" in sys.argv
    programs, notebook, *named = [word for word in sys.argv[1:] if word != "--store"]
    for variable in ["CTRACE_RECORDING", "CTRACE_BASELINE"]:
        os.environ.pop(variable, None)
    os.environ.update(word.split("=", 1) for word in named)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    notebook = pathlib.Path(notebook)
    book = nbformat.read(notebook, as_version=4)
    stored = [outputs(cell) for cell in book.cells]
    recordings, same = SAME[notebook.stem]
    check = f"import json\nprint(json.dumps([{recordings}, {', '.join(same)}], default=int))"
    book.cells.append(nbformat.v4.new_code_cell(check))
    # The kernel of this Python, even if Jupyter finds others. Its recordings are removed when it ends.
    resources = {"metadata": {"path": notebook.parent}}
    client = nbclient.NotebookClient(book, timeout=300, kernel_name="python3", record_timing=False, resources=resources)
    with client.setup_kernel():
        for index, cell in enumerate(book.cells):
            client.execute_cell(cell, index)
        checked = book.cells.pop()
        recordings, *computed = json.loads(checked.outputs[0].text)
        for (code, sql), rows in zip(same.items(), computed):
            if (asked := answer(recordings, sql)) != rows or not (rows or named):
                sys.exit(f"{code}\n{rows}\n{sql}\n{asked}")
    plots = 0
    for cell, was in zip(book.cells, stored):
        images = [data for _, data, _ in outputs(cell) if "image/png" in data]
        plots += len(images)
        if cell.source.rstrip().endswith("plt.show()") and not images:
            sys.exit(f"no plot from\n{cell.source}")
        if not store and not named and outputs(cell) != was:
            sys.exit(f"the outputs differ from those stored in {notebook}: store them with --store\n{cell.source}\n{was}\n{outputs(cell)}")
    if store:
        book.metadata = {"kernelspec": book.metadata.kernelspec, "language_info": {"name": "python"}}
        nbformat.write(book, notebook)
    size = notebook.stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{notebook} has {size} bytes: make its plots smaller")
    print(f"{plots} plots")


main()
