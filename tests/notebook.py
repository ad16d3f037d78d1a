"""Executes a notebook from scratch. Usage: notebook.py NOTEBOOK RECORDING PROGRAMS [PLOTS]

Fails where a cell does, or where a cell that shows a plot shows none. PROGRAMS is the directory of ctrace-query; the plots
are written into PLOTS.
"""

import base64
import os
import pathlib
import sys

import nbclient
import nbformat


def main():
    notebook, recording, programs, *plots = sys.argv[1:]
    os.environ["CTRACE_RECORDING"] = recording
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    book = nbformat.read(notebook, as_version=4)
    if any(cell.get("outputs") for cell in book.cells):
        sys.exit(f"{notebook} holds the answers of some recording: clear its outputs")
    # The kernel of this Python, wherever Jupyter looks for others.
    client = nbclient.NotebookClient(book, timeout=300, kernel_name="python3")
    client.execute()
    shown = 0
    for cell in book.cells:
        outputs = [output for output in cell.get("outputs", []) if output.output_type in ("display_data", "execute_result")]
        images = [output.data["image/png"] for output in outputs if "image/png" in output.data]
        if cell.source.rstrip().endswith("plt.show()") and not images:
            sys.exit(f"no plot from\n{cell.source}")
        for image in images:
            shown += 1
            if plots:
                pathlib.Path(plots[0], f"{shown}.png").write_bytes(base64.b64decode(image))
    print(f"{shown} plots")


main()
