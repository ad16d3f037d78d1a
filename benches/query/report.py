#!/usr/bin/env python3
"""Measures the report of a large recording. Run by `make bench-report`.

report.py BINARIES [--millions 10] [--rows N] [--rounds 3] [--keep DIR]

BINARIES holds ctrace-rec and ctrace-query. Prints a Markdown table: the time and the memory in which the page is made, its size, and
the time from the start of its loading until it can be worked with, and that of a zoom, in Chromium. The recording is that of run.py,
and is created first, unless the directory of --keep has it. Each time is the median of several runs."""

import os
import pathlib
import statistics

from selenium import webdriver

import measure


def browse(page):
    """Returns the milliseconds until the page is ready, and those of a zoom."""
    options = webdriver.ChromeOptions()
    for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path="/usr/bin/chromedriver"))
    try:
        driver.get(pathlib.Path(page).as_uri())
        ready = int(driver.execute_script("return document.documentElement.dataset.ready"))
        zoom = "const start = performance.now(); zoom(10, 60); document.body.offsetHeight; return performance.now() - start"
        return ready, driver.execute_script(zoom)
    finally:
        driver.quit()


def main():
    options = measure.parser(__doc__, millions=10).parse_args()
    with measure.recording(options) as (recording, temporary):
        page = f"{temporary}/report.html"
        command = [f"{options.binaries}/ctrace-query", "-r", recording, "report", "--force", "--output", page]
        made = [measure.timed(command) for _ in range(options.rounds)]
        shown = [browse(page) for _ in range(options.rounds)]
        size = os.path.getsize(page) / 1e6
    seconds = statistics.median(cost.seconds for cost in made)
    memory = statistics.median(cost.memory_mb for cost in made)
    ready, zoom = (statistics.median(values) for values in zip(*shown))
    print("| events | made in | memory | page | ready after | zoom |\n|---:|---:|---:|---:|---:|---:|")
    print(f"| {options.millions} million | {seconds:.1f} s | {memory:.0f} MB | {size:.2f} MB | {ready} ms | {zoom:.0f} ms |")


if __name__ == "__main__":
    main()
