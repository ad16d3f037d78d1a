// The data of the page, as the program has computed them.

const data = JSON.parse(document.getElementById("data").textContent);
const startNs = BigInt(data.startNs);
const widthNs = BigInt(data.widthNs);
const startMs = Number(startNs) / 1e6;
const widthMs = Number(widthNs) / 1e6;

// Returns the counts of all buckets. A number is the count of the next bucket; a negative one stands for as many empty buckets.
function counts(runs) {
  const all = new Array(data.buckets).fill(0);
  let at = 0;
  for (const n of runs) {
    if (n < 0) at -= n;
    else all[at++] = n;
  }
  return all;
}

// Returns the sum of the counts of the buckets from the first to the last one.
function sum(runs, first, last) {
  let at = 0;
  let total = 0;
  for (const n of runs) {
    if (at > last) break;
    if (n < 0) at -= n;
    else {
      if (at >= first) total += n;
      at++;
    }
  }
  return total;
}

const thousands = new Intl.NumberFormat("en-US");

// Returns the start of a bucket, as ctrace-query reads times: 2026-11-21T03:12:05.25Z.
function bucketStart(bucket) {
  return isoTime(startNs + widthNs * BigInt(bucket));
}

// Returns the last instant of a bucket.
function bucketEnd(bucket) {
  return isoTime(startNs + widthNs * BigInt(bucket + 1) - 1n);
}

function isoTime(ns) {
  const rest = ((ns % 1000000000n) + 1000000000n) % 1000000000n;
  const seconds = new Date(Number((ns - rest) / 1000000n)).toISOString().slice(0, 19);
  const fraction = String(rest).padStart(9, "0").replace(/0+$/, "");
  return seconds + (fraction ? "." + fraction : "") + "Z";
}

// Returns a time for people, with as many digits as the buckets need.
function clockTime(ms) {
  const iso = new Date(ms).toISOString();
  const time = iso.slice(11, widthMs < 1000 ? 23 : 19);
  const days = widthMs * data.buckets > 86400e3;
  return days ? iso.slice(0, 10) + " " + time : time;
}

function duration(ms) {
  const units = [[86400e3, "d"], [3600e3, "h"], [60e3, "min"], [1e3, "s"], [1, "ms"]];
  const [size, unit] = units.find(([size]) => ms >= size) || [1e-3, "µs"];
  return +(ms / size).toFixed(2) + " " + unit;
}

// Quotes a word for a shell, if needed.
function quoted(word) {
  return /^[\w\-.\/:,=@]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'";
}

// Quotes SQL for a shell: its texts are in single quotes.
function quotedSql(sql) {
  return '"' + sql.replace(/[\\"$`]/g, "\\$&") + '"';
}

// Creates an element with a class and text.
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
