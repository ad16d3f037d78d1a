// Who talked to whom: d3-force lays the nodes out, d3-selection draws them, and d3-drag moves them.

const GRAPH = { width: 900, height: 460, radius: 9 };
// The width of a screen below which the graph is higher than wide.
const NARROW = 600;

// Returns the neighbours of a node, as text.
function neighbours(node) {
  const of = data.graph.edges.filter((edge) => edge.source === node || edge.target === node);
  return of.map(edgeText).join("; ") || "nothing in this time";
}

function edgeText(edge) {
  const name = (node) => data.graph.nodes[node.index ?? node].name;
  const more = edge.more ? [`${edge.more} more`] : [];
  const connections = edge.connections ? [`${thousands.format(edge.connections)} connections`] : [];
  const failed = edge.failed ? [`${thousands.format(edge.failed)} failed`] : [];
  return `${name(edge.source)} → ${name(edge.target)}: ${[...connections, ...failed, ...edge.ways, ...more].join(", ")}`;
}

// Gives the nodes and edges their places: the same ones each time, without motion.
function layOut(nodes, edges, isNarrow) {
  const { width, height } = GRAPH;
  const links = d3.forceLink(edges).distance(nodes.length > 25 ? 70 : 130);
  const simulation = d3
    .forceSimulation(nodes)
    .force("link", links)
    .force("charge", d3.forceManyBody().strength(nodes.length > 25 ? -220 : -520))
    .force("x", d3.forceX(width / 2).strength(isNarrow ? 0.3 : 0.06))
    .force("y", d3.forceY(height / 2).strength(isNarrow ? 0.05 : 0.14))
    .force("collide", d3.forceCollide(34))
    .stop();
  simulation.tick(300);
}

// Returns the part of the plane that has all nodes with their names.
function viewBox(nodes, least) {
  const xs = nodes.map((node) => node.x);
  const ys = nodes.map((node) => node.y);
  const middle = (Math.min(...xs) + Math.max(...xs)) / 2;
  const width = Math.max(Math.max(...xs) - Math.min(...xs) + 200, least);
  const top = Math.min(...ys) - 34;
  return [middle - width / 2, top, width, Math.max(...ys) + 44 - top];
}

// Returns the line of an edge, from the rim of a node to that of another one. Edges in both directions are beside each other.
function edgePath({ source, target }) {
  if (source === target) {
    const { x, y } = source;
    return `M${x - 6},${y - 8}C${x - 40},${y - 46} ${x + 40},${y - 46} ${x + 6},${y - 10}`;
  }
  const [dx, dy] = [target.x - source.x, target.y - source.y];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const [sx, sy] = [-uy * 3, ux * 3];
  const rim = GRAPH.radius + 2;
  return `M${source.x + ux * rim + sx},${source.y + uy * rim + sy}L${target.x - ux * (rim + 5) + sx},${target.y - uy * (rim + 5) + sy}`;
}

function shortened(name) {
  return name.length > 28 ? name.slice(0, 13) + "…" + name.slice(-14) : name;
}

function arrowHeads(svg) {
  for (const kind of ["line", "bad"]) {
    const head = svg.append("marker").attr("id", "head-" + kind).attr("class", "head " + kind);
    head.attr("viewBox", "0 0 8 8").attr("refX", 3).attr("refY", 4).attr("orient", "auto");
    head.attr("markerWidth", 8).attr("markerHeight", 8).attr("markerUnits", "userSpaceOnUse");
    head.append("path").attr("d", "M0,0L8,4L0,8Z");
  }
}

function drawNodes(svg, nodes, move) {
  const groups = svg.selectAll("g.node").data(nodes).join("g").attr("class", (node) => (node.outside ? "node outside" : "node"));
  groups.attr("tabindex", 0).attr("role", "button");
  const { radius } = GRAPH;
  groups.filter((node) => !node.outside).append("circle").attr("r", radius);
  const squares = groups.filter((node) => node.outside).append("rect");
  squares.attr("x", 3 - radius).attr("y", 3 - radius).attr("width", 2 * radius - 6).attr("height", 2 * radius - 6);
  const names = groups.append("text").attr("y", radius + 15);
  names.text((node) => shortened(node.name));
  groups.append("title").text((node) => node.name);
  const drag = d3.drag().clickDistance(4).on("drag", (event, node) => {
    node.x = event.x;
    node.y = event.y;
    move();
  });
  groups.call(drag);
  return groups;
}

function startGraph() {
  const place = document.getElementById("graph-chart");
  if (!place) return;
  const nodes = data.graph.nodes.map((node) => ({ ...node }));
  const edges = data.graph.edges.map((edge) => ({ ...edge }));
  const width = Math.max(place.clientWidth, 300);
  layOut(nodes, edges, width < NARROW);
  const svg = d3.select(place).append("svg").attr("viewBox", viewBox(nodes, width).join(" ")).attr("role", "group");
  svg.attr("aria-label", "Graph of who talked to whom");
  arrowHeads(svg);
  const lines = svg.selectAll("path.edge").data(edges).join("path");
  lines.attr("class", (edge) => (edge.failed ? "edge bad" : "edge"));
  lines.attr("stroke-width", (edge) => Math.min(1.4 + Math.log10(1 + edge.connections), 6));
  lines.attr("marker-end", (edge) => (edge.failed ? "url(#head-bad)" : "url(#head-line)"));
  lines.append("title").text(edgeText);
  const groups = drawNodes(svg, nodes, move);
  function move() {
    groups.attr("transform", (node) => `translate(${node.x},${node.y})`);
    lines.attr("d", edgePath);
  }
  move();
  const says = document.getElementById("graph-says");
  const say = (event, node) => (says.textContent = `${node.name}: ${neighbours(node.index)}`);
  const choose = (event, node) => {
    if (node.container == null) return;
    change({ container: state.container === node.container ? null : node.container });
  };
  groups.on("focus", say).on("mouseenter", say).on("click", choose);
  groups.on("keydown", (event, node) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose(event, node);
  });
  listen(() => follow(groups, lines));
  follow(groups, lines);
}

// Fades what is outside of the chosen time or has nothing to do with the chosen container.
function follow(groups, lines) {
  const is = (edge) => {
    const [first, last] = edge.span;
    const chosen = state.container === null || [edge.source, edge.target].some((node) => node.container === state.container);
    return first <= state.last && last >= state.first && chosen && (!state.failures || edge.failed > 0);
  };
  const reached = new Set();
  lines.classed("faded", (edge) => !is(edge));
  lines.filter(is).each((edge) => reached.add(edge.source).add(edge.target));
  groups.classed("faded", (node) => !reached.has(node));
  groups.attr("aria-pressed", (node) => (node.container == null ? null : node.container === state.container));
  const shown = lines.filter(is).size();
  const more = data.graph.more ? ` ${thousands.format(data.graph.more)} more rows about other addresses are in the table Peers.` : "";
  document.getElementById("graph-says").textContent = `${shown} of ${lines.size()} arrows match the filters.${more}`;
}
