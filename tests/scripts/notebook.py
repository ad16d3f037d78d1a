"""Executes a notebook from scratch. Usage: notebook.py NOTEBOOK RECORDING PROGRAMS [--store]

Fails if a cell fails, if a cell that should show a plot shows none, or if the stored outputs differ in kind or text from
those of the code. With --store, writes the outputs into the notebook. PROGRAMS is the directory of ctrace-query.
"""

import os
import pathlib
import sys

import nbclient
import nbformat

# The notebook is shown on code hosts with its plots, and must stay small.
MOST_BYTES = 200_000


def outputs(cell):
    """Returns the outputs of a cell without the parts that depend on the machine."""
    shown = cell.get("outputs", [])
    return [(output.output_type, sorted(output.get("data", {})), output.get("data", {}).get("text/plain")) for output in shown]


def main():
    notebook, recording, programs, *store = sys.argv[1:]
    os.environ["CTRACE_RECORDING"] = recording
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    book = nbformat.read(notebook, as_version=4)
    stored = [outputs(cell) for cell in book.cells]
    # The kernel of this Python, even if Jupyter finds others.
    client = nbclient.NotebookClient(book, timeout=300, kernel_name="python3", record_timing=False)
    client.execute()
    plots = 0
    for cell, was in zip(book.cells, stored):
        images = [data for _, data, _ in outputs(cell) if "image/png" in data]
        plots += len(images)
        if cell.source.rstrip().endswith("plt.show()") and not images:
            sys.exit(f"no plot from\n{cell.source}")
        if not store and outputs(cell) != was:
            sys.exit(f"the outputs differ from those stored in {notebook}: store them with --store\n{cell.source}\n{was}\n{outputs(cell)}")
    if store:
        book.metadata = {"kernelspec": book.metadata.kernelspec, "language_info": {"name": "python"}}
        nbformat.write(book, notebook)
    size = pathlib.Path(notebook).stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{notebook} has {size} bytes: make its plots smaller")
    print(f"{plots} plots")


main()
