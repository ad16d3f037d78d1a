// The timeline: the calls of each container or class as stacked bars, failed calls before them, lost events behind them.

const chart = { plot: null, groups: [], by: "container" };
// Classes and containers with a colour of their own; the others share the last one.
const COLOURS = 8;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// Returns the groups of the chart, the busiest first: each has a name and the calls of all buckets.
function timelineGroups() {
  const groups = new Map();
  for (const series of data.timeline.series) {
    if (state.container !== null && series.container !== state.container) continue;
    const name =
      chart.by === "class" ? series.class : series.container === null ? "others" : data.containers[series.container];
    const group = groups.get(name) || { name, calls: new Array(data.buckets).fill(0), total: 0 };
    counts(state.failures ? series.failed : series.calls).forEach((n, bucket) => {
      group.calls[bucket] += n;
      group.total += n;
    });
    groups.set(name, group);
  }
  const all = [...groups.values()].sort((a, b) => (a.name === "others") - (b.name === "others") || b.total - a.total);
  if (all.length <= COLOURS) return all;
  const rest = all.splice(COLOURS - 1);
  const others = { name: "others", calls: rest[0].calls.map((_, bucket) => rest.reduce((n, g) => n + g.calls[bucket], 0)) };
  return [...all, others];
}

// Returns the failed calls of all buckets.
function failedCalls() {
  const failed = new Array(data.buckets).fill(0);
  for (const series of data.timeline.series) {
    if (state.container !== null && series.container !== state.container) continue;
    counts(series.failed).forEach((n, bucket) => (failed[bucket] += n));
  }
  return failed;
}

// Returns the columns of the plot: times, the stack from its top to its bottom, and failed calls.
function timelineColumns() {
  const times = Array.from({ length: data.buckets }, (_, bucket) => startMs + (bucket + 0.5) * widthMs);
  const stack = [];
  let below = new Array(data.buckets).fill(0);
  for (const group of chart.groups) {
    below = below.map((n, bucket) => n + group.calls[bucket]);
    stack.unshift(below);
  }
  return [times, ...stack, failedCalls()];
}

// Draws a band over each bucket with lost events.
function drawLosses(plot) {
  const lost = counts(data.timeline.lost);
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = colour("lost");
  ctx.globalAlpha = 0.35;
  lost.forEach((n, bucket) => {
    if (n === 0) return;
    const from = plot.valToPos(startMs + bucket * widthMs, "x", true);
    const to = plot.valToPos(startMs + (bucket + 1) * widthMs, "x", true);
    ctx.fillRect(from, top, Math.max(to - from, 2), height);
  });
  ctx.restore();
}

function timelineSeries() {
  const bars = uPlot.paths.bars({ size: [0.92, Infinity], align: 0 });
  const stack = chart.groups.map((group, place) => ({
    label: group.name,
    fill: () => colour(group.name === "others" ? "other" : "c" + place),
    width: 0,
    paths: bars,
    points: { show: false },
    // A bar of the stack begins where the ones below it end; the legend has the group alone.
    value: (plot, value, series, bucket) => thousands.format(bucket == null ? sumOf(group.calls) : group.calls[bucket]),
  }));
  const failed = { label: "failed", fill: () => colour("bad"), width: 0, paths: bars, points: { show: false } };
  failed.value = (plot, value) => thousands.format(value ?? sumOf(failedCalls()));
  // Without a pointer over the chart, the legend has the sums.
  const time = { label: "time", value: (plot, ms) => (ms == null ? "in all" : clockTime(ms - widthMs / 2)) };
  return [time, ...stack.reverse(), failed];
}

// Returns the labels of times that are `step` milliseconds apart.
function timeLabels(plot, times, axis, space, step) {
  const label = (ms) => {
    const iso = new Date(ms).toISOString();
    if (ms % 86400e3 === 0) return iso.slice(0, 10);
    return iso.slice(11, step < 1e3 ? 23 : step < 60e3 ? 19 : 16);
  };
  return times.map(label);
}

function timelineOptions(width) {
  const axis = {
    stroke: () => colour("soft"),
    grid: { stroke: () => colour("line"), width: 1 },
    ticks: { stroke: () => colour("line"), width: 1 },
    font: "12px system-ui, sans-serif",
  };
  return {
    width,
    height: 250,
    padding: [null, 32, null, null],
    ms: 1,
    tzDate: (ms) => uPlot.tzDate(new Date(ms), "UTC"),
    scales: { x: { time: true, range: () => shownTimes() }, y: { range: (plot, min, max) => [0, Math.max(max, 1) * 1.05] } },
    axes: [{ ...axis, space: 90, size: 34, values: timeLabels }, { ...axis, size: 64, values: (plot, values) => values.map((n) => (n % 1 ? "" : thousands.format(n))) }],
    series: timelineSeries(),
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
    legend: { live: true },
    hooks: { drawClear: [drawLosses], setSelect: [zoomToSelection] },
  };
}

function shownTimes() {
  return [startMs + state.first * widthMs, startMs + (state.last + 1) * widthMs];
}

// Zooms to the buckets that the drag of a mouse has touched.
function zoomToSelection(plot) {
  const { left, width } = plot.select;
  if (width < 3) return;
  const bucket = (x) => Math.floor((plot.posToVal(x, "x") - startMs) / widthMs);
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  zoom(bucket(left), bucket(left + width));
}

function drawTimeline() {
  const place = document.getElementById("timeline-chart");
  chart.plot?.destroy();
  chart.groups = timelineGroups();
  const width = Math.max(place.clientWidth, 200);
  chart.plot = new uPlot(timelineOptions(width), timelineColumns(), place);
  sayTimeline();
}

function sayTimeline() {
  const calls = chart.groups.reduce((n, group) => n + sumOf(group.calls), 0);
  const lost = sumOf(counts(data.timeline.lost));
  const what = state.failures ? " failed calls" : " calls";
  document.getElementById("timeline-says").textContent =
    `${clockTime(shownTimes()[0])} to ${clockTime(shownTimes()[1])} UTC: ${thousands.format(calls)}${what}` +
    (lost > 0 ? `, ${thousands.format(lost)} events were lost where the background is coloured` : "") +
    `. Each bar is ${duration(widthMs)}.`;
  document.getElementById("timeline-sql").textContent = "ctrace-query " + quotedSql(timelineSql());
  document.getElementById("timeline-cut").textContent = "ctrace-query cut -o part.parquet" + scopeFlags();
  document.getElementById("timeline-part").hidden = !isZoomed();
}

// Returns SQL with the numbers of the timeline.
function timelineSql() {
  const group = chart.by === "class" ? "class" : "container";
  const [calls, kind] = data.onlyCounts ? ["sum(calls)", "counts"] : ["count(*)", "syscall"];
  const time = `time between '${bucketStart(state.first)}' and '${bucketEnd(state.last)}'`;
  const container = state.container === null ? "" : ` and container = '${chosenContainer().replaceAll("'", "''")}'`;
  const setup = data.scope.rest.includes("--setup") ? "" : " and setup is not true";
  return (
    `select date_bin(interval '${Number(widthNs) / 1e3} microseconds', time) as bucket, ${group}, ${calls} as calls ` +
    `from events where kind = '${kind}' and ${time}${container}${setup} group by 1, 2 order by 1, 2`
  );
}

function sumOf(calls) {
  return calls.slice(state.first, state.last + 1).reduce((n, calls) => n + calls, 0);
}

function startTimeline() {
  const place = document.getElementById("timeline-chart");
  if (!place) return;
  document.getElementById("timeline-tools").hidden = false;
  document.getElementById("timeline-same").hidden = false;
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => zoomBy(button.dataset.zoom));
  }
  for (const radio of document.querySelectorAll("[name=series]")) {
    radio.addEventListener("change", () => {
      chart.by = radio.value;
      drawTimeline();
    });
  }
  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all" };
  place.addEventListener("keydown", (event) => {
    const how = keys[event.key];
    if (!how || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    zoomBy(how);
  });
  listen(drawTimeline);
  // The colours and the width follow the screen and the paper.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimeline);
  matchMedia("print").addEventListener("change", drawTimeline);
  let width = 0;
  new ResizeObserver(() => {
    if (place.clientWidth !== width) {
      width = place.clientWidth;
      drawTimeline();
    }
  }).observe(place);
}
