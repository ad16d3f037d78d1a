"""Opens the report of a recording in Chromium, and works with it. Usage: report.py PROGRAM RECORDING DIRECTORY [TEXT...]

Zooms, filters, sorts and prints the page that PROGRAM report makes of RECORDING, and compares the numbers of a chosen time with
the answers to the commands that the page names. Each TEXT must be on the page as text. Screenshots go to DIRECTORY. Prints the
number of checks, or fails at the first one that does not hold.
"""

import base64
import csv
import io
import json
import os
import pathlib
import shlex
import subprocess
import sys

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

program, recording, directory, *texts = sys.argv[1:]
checks = 0


def check(holds, what):
    global checks
    if not holds:
        sys.exit(f"does not hold: {what}")
    checks += 1


def browser():
    options = webdriver.ChromeOptions()
    # Without a sandbox, because tests may run as root; the page is this project's own.
    for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000", "--hide-scrollbars"]:
        options.add_argument(flag)
    # Otherwise a page that still scrolls to the last focus moves what is clicked next.
    options.add_argument("--force-prefers-reduced-motion")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    return webdriver.Chrome(options=options, service=service)


def ask(arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


class Page:
    def __init__(self, driver, path):
        self.driver = driver
        self.url = pathlib.Path(path).absolute().as_uri()
        driver.get(self.url)

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def rows(self, table):
        """Returns the rows that a table shows, as dictionaries by heading."""
        code = """const table = document.querySelector(`#${arguments[0]} > table`);
            const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
            return [...table.tBodies[0].rows].map((row) => Object.fromEntries([...row.cells].map((cell, at) => [headings[at], cell.textContent])));"""
        return self.js(code, table)

    def all_rows(self, table):
        more = self.find(f"#{table} .more")
        if more.is_displayed() and more.get_attribute("aria-expanded") != "true":
            self.click(more)
        return self.rows(table)

    def click(self, element):
        self.js("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element)
        element.click()

    def picture(self, name):
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        self.write(name, shot["data"])

    def write(self, name, encoded):
        pathlib.Path(directory, name).write_bytes(base64.b64decode(encoded))

    def show(self, section):
        self.js("document.getElementById(arguments[0]).scrollIntoView({ behavior: 'instant' })", section)

    def says(self):
        return self.find("#filter-state").text

    def check_quiet(self):
        """Checks that the browser has complained about nothing, and fetched nothing but the page."""
        check(self.driver.get_log("browser") == [], "no message on the console")
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        check(set(sent) == {self.url}, f"no request but that of the page: {sent}")


def number(text):
    return int(text.replace(",", "") or 0)


def check_loaded(page):
    ready = page.js("return document.documentElement.dataset.ready")
    check(ready is not None, "the script has come to its end")
    shown = page.js("return document.body.innerText + document.getElementById('data').textContent")
    for text in texts:
        check(text in shown or json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e") in shown, f"{text} is text on the page")
    scripts = page.js("return [...document.scripts].map((script) => script.type)")
    check(scripts.count("application/json") == 1 and len(scripts) == 9, f"the scripts are those of the page: {scripts}")
    check(page.all("[onload], img, iframe, link, object") == [], "no element from a text of the recording")
    return ready


def check_zoom(page):
    """Drags over the middle of the timeline, and compares the tables with the commands that the page names."""
    before = {name: page.rows(name) for name in ["containers", "syscalls"]}
    page.show("timeline")
    area = page.find("#timeline-chart .u-over")
    width = area.size["width"]
    drag = ActionChains(page.driver).move_to_element_with_offset(area, -width // 4, 0)
    drag.click_and_hold().move_by_offset(width // 3, 5).release().perform()
    check(" UTC" in page.says(), f"the page says the chosen time: {page.says()}")
    check(page.rows("syscalls") != before["syscalls"], "a drag changes the tables")
    page.picture("zoomed.png")
    for table, key, count in [("syscalls", "Call", "Times"), ("files", "Path", "Calls"), ("containers", "Container", "Calls")]:
        if not page.all(f"#{table} > table"):
            continue
        command = shlex.split(page.find(f"#{table} code[data-question]").text)
        check(command[:2] == ["ctrace-query", table] and "--since" in command, f"the command has the chosen time: {command}")
        answer = ask(["-r", recording, "--format", "csv", *command[1:]])
        columns = {"Call": "syscall", "Path": "path", "Container": "container"}
        rows = [(row["container"], row[columns[key]], int(row["calls"])) for row in csv.DictReader(io.StringIO(answer))]
        shown = [(row["Container"], row[key], number(row[count])) for row in page.all_rows(table)]
        check(sorted(row for row in rows if row[2]) == sorted(row for row in shown if row[2]), f"{table} is as {command}: {rows} {shown}")
    statement = shlex.split(page.find("#timeline-sql").text)
    calls = sum(int(row["calls"]) for row in csv.DictReader(io.StringIO(ask(["-r", recording, "--format", "csv", *statement[1:]]))))
    check(f"{calls:,} calls" in page.find("#timeline-says").text, f"the timeline has {calls} calls: {page.find('#timeline-says').text}")
    cut = page.find("#timeline-cut").text
    check(cut.startswith("ctrace-query cut -o part.parquet --since "), f"the command that cuts the part: {cut}")
    return before


def check_keys(page, before):
    chart = page.find("#timeline-chart")
    chart.send_keys("0")
    check(page.says() == "" and page.all_rows("syscalls") == page.rows("syscalls"), "0 shows the whole time")
    check(page.rows("containers") == before["containers"], "the table is as at first")
    chart.send_keys("+")
    near = page.says()
    check(near, "+ zooms in")
    chart.send_keys(Keys.ARROW_LEFT)
    check(page.says() != near, "an arrow moves")
    chart.send_keys("-")
    chart.send_keys("-")
    check(page.says() == "", "- zooms out")
    for name, says in [("in", True), ("all", False)]:
        page.click(page.find(f"[data-zoom={name}]"))
        check(bool(page.says()) == says, f"the button {name}")


def check_filters(page):
    table = "syscalls"
    call = page.rows(table)[0]["Call"]
    page.find("body").send_keys("/")
    field = page.driver.switch_to.active_element
    check(field.get_attribute("id") == "filter-text", "/ goes to the filter")
    field.send_keys(call[:-1].upper())
    rows = page.rows(table)
    check(rows and all(any(call[:-1] in text.lower() for text in row.values()) for row in rows), f"rows with {call}")
    field.send_keys("nothing has this")
    check(page.rows(table) == [] and "0 of" in page.find(f"#{table} .count").text, "no row")
    field.send_keys(Keys.ESCAPE)
    check(page.rows(table) != [], "Escape clears the filter")
    names = Select(page.find("#filter-container"))
    name = page.rows("containers")[0]["Container"]
    names.select_by_visible_text(name)
    rows = page.all_rows(table)
    check(rows and {row["Container"] for row in rows} == {name}, f"calls of {name}")
    check(f"container {name}" in page.says(), page.says())
    open_stories = [story for story in page.all("details.story") if story.is_displayed()]
    check(all(story.get_attribute("open") for story in open_stories), "the story of the container is open")
    page.click(page.find("#filter-reset"))
    page.click(page.find("#filter-failures"))
    failed = page.all_rows("containers")
    tells = lambda row: any(number(row.get(column, "")) > 0 for column in ["Errors", "Refused", "Lost"])
    check(failed and all(tells(row) for row in failed), f"failures only: {failed}")
    page.click(page.find("#filter-reset"))
    check(page.says() == "", "all is shown again")


def check_sorting(page):
    def sort():
        heading = next(button for button in page.all("#syscalls th button") if button.text.startswith("Times"))
        page.click(heading)
        counts = [number(row["Times"]) for row in page.all_rows("syscalls")]
        return counts, page.js("return document.querySelector('#syscalls th[aria-sort]')?.ariaSort")

    first = [row["Times"] for row in page.all_rows("syscalls")]
    counts, order = sort()
    check(counts == sorted(counts, reverse=True) and order == "descending", "the most frequent calls first")
    counts, order = sort()
    check(counts == sorted(counts) and order == "ascending", "the rarest calls first")
    check(page.js("return document.activeElement.textContent") == "Times", "the focus stays on the heading")
    _, order = sort()
    check(order is None and [row["Times"] for row in page.rows("syscalls")] == first, "as at first")


def check_graph(page):
    nodes = page.all("#graph-chart .node")
    check(len(nodes) >= 2 and page.all("#graph-chart .edge"), "the graph has nodes and edges")
    node = next(node for node in nodes if "outside" not in node.get_attribute("class"))
    page.js("arguments[0].focus()", node)
    check("→" in page.find("#graph-says").text, "the focus tells the neighbours")
    node.send_keys(Keys.ENTER)
    check("container " in page.says() and node.get_attribute("aria-pressed") == "true", "Enter chooses the container")
    node.send_keys(Keys.ENTER)
    check(page.says() == "", "and all containers again")


def check_stories(page):
    stories = page.all("details.story")
    check(stories, "there are stories")
    last = stories[-1]
    was = last.get_attribute("open")
    page.click(last.find_element(By.CSS_SELECTOR, "summary"))
    check(last.get_attribute("open") != was, "a click opens or closes a story")


def check_screens(page):
    driver = page.driver
    media = lambda **features: driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]}
    )
    paper = page.js("return getComputedStyle(document.body).backgroundColor")
    for section in ["summary", "timeline"]:
        page.show(section)
        page.picture(f"light-{section}.png")
    media(prefers_color_scheme="dark")
    check(page.js("return getComputedStyle(document.body).backgroundColor") != paper, "a dark screen has a dark page")
    page.picture("dark.png")
    media()
    pdf = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    page.write("paper.pdf", pdf["data"])
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    driver.get(page.url)
    check(page.js("return document.documentElement.scrollWidth") <= 390, "a telephone shows the page without scrolling sideways")
    for section in ["summary", "timeline", "graph", "errors"]:
        page.show(section)
        page.picture(f"telephone-{section}.png")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.get(page.url)


def check_policy(page):
    """Checks that the browser runs no script that the page did not come with."""
    page.js("const script = document.createElement('script'); script.textContent = 'window.foreign = true'; document.body.append(script)")
    page.js("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.foreign = true\">')")
    check(page.js("return window.foreign") is None, "foreign scripts do not run")
    check(any("Content Security Policy" in entry["message"] for entry in page.driver.get_log("browser")), "the policy has refused them")


def check_without_scripts(driver, path):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.get(pathlib.Path(path).absolute().as_uri())
    check(driver.find_elements(By.CSS_SELECTOR, "#syscalls > table tbody tr"), "without scripts, tables have rows")
    check("Without JavaScript" in driver.find_element(By.TAG_NAME, "main").text, "and the page says what it lacks")


def main():
    path = os.path.join(directory, "report.html")
    ask(["-r", recording, "report", "--no-verify", "--output", path])
    driver = browser()
    try:
        page = Page(driver, path)
        check_loaded(page)
        before = check_zoom(page)
        check_keys(page, before)
        check_filters(page)
        check_sorting(page)
        check_graph(page)
        check_stories(page)
        check_screens(page)
        page.check_quiet()
        check_policy(page)
        check_without_scripts(driver, path)
    finally:
        driver.quit()
    print(f"{checks} checks")


main()
