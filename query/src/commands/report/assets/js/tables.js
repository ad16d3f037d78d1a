// The tables: sorted by a column, and filtered by the state of the page. Their rows are counted again for the chosen time.

const FIRST_ROWS = 25;

// Returns the value by which a cell is sorted.
function sortValue(cell) {
  return Array.isArray(cell) ? cell[1] : cell;
}

function cellText(cell) {
  if (cell === null) return "";
  if (Array.isArray(cell)) return cell[0];
  return typeof cell === "number" ? thousands.format(cell) : cell;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function isFailure(cell) {
  return cell !== null && cell !== 0 && cell !== "exit code 0" && cell !== "NOERROR";
}

// Returns whether a row is about the chosen container. A row about no container may be about any.
function isOfContainer(table, row) {
  const containers = table.containers[row];
  return state.container === null || containers.length === 0 || containers.includes(state.container);
}

// Returns the cells of a row in the chosen time, or null if the row is not shown.
function shownCells(table, row) {
  if (!isOfContainer(table, row)) return null;
  let cells = table.rows[row];
  if (isZoomed()) {
    const span = table.spans?.[row];
    if (span && (span[0] > state.last || span[1] < state.first)) return null;
    const counted = table.counts?.[row].map((runs) => sum(runs, state.first, state.last));
    if (counted && !span && counted.every((n) => n === 0)) return null;
    if (counted) cells = cells.map((cell, at) => counted[table.columns[at].count] ?? cell);
  }
  const failures = table.columns.map((column, at) => column.failure && isFailure(cells[at]));
  const tells = table.columns.some((column) => column.failure);
  if (state.failures && tells && !failures.includes(true)) return null;
  const words = state.text.toLowerCase();
  if (words && !cells.some((cell) => cellText(cell).toLowerCase().includes(words))) return null;
  return cells;
}

// Returns the columns that tell of the chosen time: sums and times of all of it are left out of a part.
function shownColumns(table) {
  const isWhole = (column) => isZoomed() && table.counts && column.class === "n" && column.count === null;
  return table.columns.map((column, at) => at).filter((at) => !isWhole(table.columns[at]));
}

function drawRow(table, cells, columns) {
  const line = element("tr");
  for (const at of columns) {
    const { heading, class: name } = table.columns[at];
    const cell = element("td", name, cellText(cells[at]));
    if (cells[at] !== null) cell.dataset.h = heading;
    line.append(cell);
  }
  return line;
}

function drawHeading(table, columns) {
  const line = element("tr");
  for (const at of columns) {
    const { heading, class: name } = table.columns[at];
    const cell = element("th", name);
    cell.scope = "col";
    const sorted = table.sorted?.at === at ? table.sorted.down : null;
    if (sorted !== null) cell.ariaSort = sorted ? "descending" : "ascending";
    const button = element("button", "", heading);
    button.type = "button";
    button.addEventListener("click", () => {
      sortBy(table, at);
      table.view.querySelectorAll("th")[columns.indexOf(at)].querySelector("button").focus();
    });
    cell.append(button);
    line.append(cell);
  }
  return line;
}

// Sorts by a column: numbers the greatest first, texts in their order; then the other way, and then as at first.
function sortBy(table, at) {
  const isNumber = table.rows.some((cells) => typeof sortValue(cells[at]) === "number");
  const { sorted } = table;
  if (sorted?.at !== at) table.sorted = { at, down: isNumber };
  else if (sorted.down === isNumber) table.sorted = { at, down: !isNumber };
  else table.sorted = null;
  drawTable(table);
}

function sortedRows(table, rows) {
  if (!table.sorted) return rows;
  const { at, down } = table.sorted;
  return rows.sort((a, b) => {
    const [x, y] = [sortValue(a[at]), sortValue(b[at])];
    // Empty cells are last either way.
    return x === null || y === null ? compare(x, y) : (down ? -1 : 1) * compare(x, y);
  });
}

function drawTable(table) {
  const rows = sortedRows(table, table.rows.map((_, row) => shownCells(table, row)).filter((cells) => cells !== null));
  const columns = shownColumns(table);
  const shown = table.open ? rows : rows.slice(0, FIRST_ROWS);
  table.view.tHead.replaceChildren(drawHeading(table, columns));
  table.view.tBodies[0].replaceChildren(...shown.map((cells) => drawRow(table, cells, columns)));
  table.more.hidden = rows.length <= FIRST_ROWS;
  table.more.textContent = table.open ? "Show fewer rows" : `Show all ${thousands.format(rows.length)} rows`;
  table.more.ariaExpanded = Boolean(table.open);
  table.says.textContent = tableSays(table, rows.length, shown.length);
  table.link.textContent = rows.length === table.rows.length ? table.total : `${thousands.format(rows.length)}/${table.total}`;
  if (table.command) table.command.textContent = `ctrace-query ${table.question}${scopeFlags()}${data.scope.rest}`;
}

function tableSays(table, rows, shown) {
  const filtered = rows < table.rows.length ? ` of ${thousands.format(table.rows.length)} rows match the filters` : " rows";
  const first = shown < rows ? `, ${shown} are shown` : "";
  let text = thousands.format(rows) + filtered + first + ".";
  if (isZoomed() && table.counts) text += " Numbers are of the chosen time.";
  else if (isZoomed() && table.spans) text += " Rows that overlap the chosen time; their numbers are of the whole time.";
  else if (isZoomed()) text += " These rows do not depend on the time.";
  return text;
}

function startTables() {
  for (const table of data.tables) {
    const section = document.getElementById(table.question);
    table.view = section.querySelector("table");
    if (!table.view) continue;
    table.command = section.querySelector("code[data-question]");
    table.link = document.querySelector(`nav a[href="#${table.question}"] small`);
    table.total = table.link.textContent;
    table.says = element("p", "note count");
    table.more = element("button", "more");
    table.more.type = "button";
    table.more.addEventListener("click", () => {
      table.open = !table.open;
      drawTable(table);
    });
    table.view.before(table.says);
    table.view.after(table.more);
    drawTable(table);
    listen(() => drawTable(table));
  }
}
