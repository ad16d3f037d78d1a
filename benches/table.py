"""Markdown tables and lists."""

import shlex
import statistics


def spread(values, digits):
    """Formats values as median [minimum-maximum]."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} [{low:,.{digits}f}-{high:,.{digits}f}]"


def header(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def commands(named, directory):
    """Prints the command that measured each row."""
    print()
    for title, command in named:
        words = [str(word).replace(f"{directory}/", "").replace(str(directory), "DIR") for word in command]
        print(f"- {title}: `{shlex.join(words)}`", flush=True)
