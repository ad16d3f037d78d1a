// The filters, the keys, and the start of the page.

function startFilters() {
  const form = document.getElementById("filters");
  const text = document.getElementById("filter-text");
  const container = document.getElementById("filter-container");
  const failures = document.getElementById("filter-failures");
  data.containers.forEach((name, at) => container.append(new Option(name, at)));
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  text.addEventListener("input", () => change({ text: text.value.trim() }));
  container.addEventListener("change", () => change({ container: container.value === "" ? null : Number(container.value) }));
  failures.addEventListener("change", () => change({ failures: failures.checked }));
  form.addEventListener("reset", () => change(whole));
  listen(() => {
    if (!state.text) text.value = "";
    container.value = state.container ?? "";
    failures.checked = state.failures;
    document.getElementById("filter-state").textContent = filterState();
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text) change({ text: "" });
  });
}

function filterState() {
  const parts = [];
  if (isZoomed()) {
    const [from, to] = shownTimes();
    parts.push(`${clockTime(from)} to ${clockTime(to)} UTC`);
  }
  if (state.container !== null) parts.push(`container ${data.containers[state.container]}`);
  if (state.text) parts.push(`rows with “${state.text}”`);
  if (state.failures) parts.push("failures only");
  return parts.length ? "Shown: " + parts.join(", ") : "";
}

// Counts the calls of what is shown for the numbers at the top.
function startNumbers() {
  const number = (name) => [...document.querySelectorAll(".numbers dt")].find((term) => term.textContent === name).nextElementSibling;
  const total = (of) => {
    const chosen = data.timeline.series.filter((series) => state.container === null || series.container === state.container);
    return chosen.reduce((n, series) => n + sum(series[of], state.first, state.last), 0);
  };
  const all = ["Calls", "Failed", "Events lost"].map((name) => [number(name), number(name).textContent]);
  listen(() => {
    if (!isZoomed() && state.container === null) {
      for (const [place, text] of all) place.textContent = text;
      return;
    }
    const [calls, failed] = [total("calls"), total("failed")];
    const share = failed ? ` (${((failed / calls) * 100).toFixed(1)}%)` : "";
    all[0][0].textContent = thousands.format(calls);
    all[1][0].textContent = thousands.format(failed) + share;
    all[2][0].textContent = thousands.format(sum(data.timeline.lost, state.first, state.last));
  });
}

// Shows the stories of the chosen container.
function startStories() {
  const stories = [...document.querySelectorAll("details.story")];
  listen(() => {
    for (const story of stories) {
      const { container } = story.dataset;
      const isChosen = state.container !== null && container === String(state.container);
      story.hidden = state.container !== null && !isChosen;
      if (isChosen) story.open = true;
    }
  });
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const story of stories) if (!story.open) opened.push(story);
    for (const story of opened) story.open = true;
  });
  addEventListener("afterprint", () => {
    for (const story of opened.splice(0)) story.open = false;
  });
}

// Folds the list of sections where it would fill the screen.
function startContents() {
  const narrow = matchMedia("(max-width: 60rem)");
  const contents = document.getElementById("contents");
  const follow = () => (contents.open = !narrow.matches);
  narrow.addEventListener("change", follow);
  follow();
}

startContents();
startFilters();
startNumbers();
startTimeline();
startGraph();
startTables();
startStories();
document.documentElement.dataset.ready = Math.round(performance.now());
