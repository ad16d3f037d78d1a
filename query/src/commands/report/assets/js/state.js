// What is shown: a span of buckets, a container, a text, and whether failures alone. Each part of the page listens to changes.

const whole = { first: 0, last: data.buckets - 1, container: null, text: "", failures: false };
const state = { ...whole };
const listeners = [];

function listen(listener) {
  listeners.push(listener);
}

// Changes the state, and tells all parts of the page.
function change(changes) {
  Object.assign(state, changes);
  for (const listener of listeners) listener();
}

function isZoomed() {
  return state.first > 0 || state.last < data.buckets - 1;
}

// Chooses the buckets from the first to the last one, as far as they exist.
function zoom(first, last) {
  const end = data.buckets - 1;
  const length = Math.min(Math.max(last - first, 0), end);
  const start = Math.min(Math.max(first, 0), end - length);
  change({ first: start, last: start + length });
}

// Zooms by the name of a button or key.
function zoomBy(how) {
  const length = state.last - state.first + 1;
  const quarter = Math.max(Math.floor(length / 4), 1);
  if (how === "in" && length > 1) zoom(state.first + (length > 2 ? quarter : 0), state.last - quarter);
  if (how === "out") {
    const first = Math.max(state.first - Math.ceil(length / 2), 0);
    zoom(first, Math.min(state.last + Math.ceil(length / 2), data.buckets - 1));
  }
  if (how === "left") zoom(state.first - quarter, state.last - quarter);
  if (how === "right") zoom(state.first + quarter, state.last + quarter);
  if (how === "all") zoom(whole.first, whole.last);
}

// Returns the name of the chosen container.
function chosenContainer() {
  const shown = data.containers[state.container];
  // With several hosts, a name begins with that of the host.
  return data.severalHosts ? shown.slice(shown.indexOf("/") + 1) : shown;
}

// Returns the options of a command for what is shown: its containers and its time.
function scopeFlags() {
  const { containers, described, times } = data.scope;
  const chosen = state.container === null ? containers : " --container " + quoted(chosenContainer());
  const zoomed = " --since " + bucketStart(state.first) + " --until " + bucketEnd(state.last);
  return chosen + described + (isZoomed() ? zoomed : times);
}
