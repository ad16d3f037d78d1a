"""Markdown."""

import shlex
import statistics


def spread(values, digits):
    """Median [least-most]."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} [{low:,.{digits}f}-{high:,.{digits}f}]"


def header(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def commands(named, directory):
    """What each row was measured with."""
    print()
    for title, command in named:
        words = [str(word).replace(f"{directory}/", "").replace(str(directory), "DIR") for word in command]
        print(f"- {title}: `{shlex.join(words)}`", flush=True)
