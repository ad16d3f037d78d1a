"""Executes a notebook from scratch. Usage: notebook.py NOTEBOOK RECORDING PROGRAMS [--store]

Fails where a cell does, where a cell that shows a plot shows none, or where the outputs that the notebook holds are of
another kind or text than those of its code; with --store, writes them into it. PROGRAMS is the directory of ctrace-query.
"""

import os
import pathlib
import sys

import nbclient
import nbformat

# A notebook that is read on a code host has its plots in it, and is small.
MOST_BYTES = 200_000


def outputs(cell):
    """What a cell shows, as far as it is the same wherever it is drawn."""
    shown = cell.get("outputs", [])
    return [(output.output_type, sorted(output.get("data", {})), output.get("data", {}).get("text/plain")) for output in shown]


def main():
    notebook, recording, programs, *store = sys.argv[1:]
    os.environ["CTRACE_RECORDING"] = recording
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    book = nbformat.read(notebook, as_version=4)
    stored = [outputs(cell) for cell in book.cells]
    # The kernel of this Python, wherever Jupyter looks for others.
    client = nbclient.NotebookClient(book, timeout=300, kernel_name="python3", record_timing=False)
    client.execute()
    plots = 0
    for cell, was in zip(book.cells, stored):
        images = [data for _, data, _ in outputs(cell) if "image/png" in data]
        plots += len(images)
        if cell.source.rstrip().endswith("plt.show()") and not images:
            sys.exit(f"no plot from\n{cell.source}")
        if not store and outputs(cell) != was:
            sys.exit(f"{notebook} holds other outputs than these: store them with --store\n{cell.source}\n{was}\n{outputs(cell)}")
    if store:
        book.metadata = {"kernelspec": book.metadata.kernelspec, "language_info": {"name": "python"}}
        nbformat.write(book, notebook)
    size = pathlib.Path(notebook).stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{notebook} has {size} bytes: make its plots smaller")
    print(f"{plots} plots")


main()
