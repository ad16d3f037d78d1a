#!/usr/bin/env python3
"""Makes the pictures of docs/replay.md and docs/top.md: terminals in which the fixture of the shop is played.

screens.py BINARIES

BINARIES holds ctrace-rec and ctrace-query. Needs tmux, and the Python package rich, which draws a terminal's text as SVG."""

import io
import os
import re
import subprocess
import sys
import tempfile
import time

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COLUMNS = 132
# The picture, its lines and its title, what ctrace-query is asked, and the keys that are pressed, each with seconds to wait after it.
SCREENS = [
    (
        "replay.svg",
        36,
        "ctrace-query -r run.parquet replay --container payment,web",
        ["replay", "--container", "payment,web"],
        [(None, 4), ("Space", 1), ("Home", 2), ("n", 5)],
    ),
    (
        "top.svg",
        12,
        "ctrace-query -r run.parquet top --replay",
        ["top", "--replay"],
        [(None, 9), ("Space", 1)],
    ),
]


def tmux(*args):
    command = ["tmux", "-f", "/dev/null", "-L", "screens", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def screen(directory, lines, command, keys):
    """Returns the text of a terminal, with its escape sequences, after the keys were pressed."""
    size = ["-x", str(COLUMNS), "-y", str(lines)]
    tmux("new-session", "-d", "-s", "screen", "-c", directory, *size, "env", "-u", "NO_COLOR", "COLORTERM=truecolor", *command)
    for key, seconds in keys:
        if key:
            tmux("send-keys", "-t", "screen", key)
        time.sleep(seconds)
    text = tmux("capture-pane", "-e", "-p", "-t", "screen")
    tmux("kill-server")
    return text


def main():
    binaries = os.path.abspath(sys.argv[1])
    # Pictures load no fonts.
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    with tempfile.TemporaryDirectory() as directory:
        recording = os.path.join(directory, "run.parquet")
        capture = os.path.join(ROOT, "fixtures", "shop-2.raw")
        subprocess.run([f"{binaries}/ctrace-rec", "--from-raw", capture, "--out", recording], check=True)
        for name, lines, title, question, keys in SCREENS:
            text = screen(directory, lines, [f"{binaries}/ctrace-query", "-r", "run.parquet", *question], keys)
            console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
            console.print(Text.from_ansi(text.rstrip("\n")), no_wrap=True)
            console.save_svg(os.path.join(ROOT, "docs", name), title=title, code_format=template)


if __name__ == "__main__":
    main()
