//! The graph of who talked to whom: containers, the addresses outside of them, and the bytes between them.

use std::collections::{BTreeMap, BTreeSet};

use ctrace_schema::text::printable;
use serde_json::{Value, json};

use crate::commands::report::counts::span;
use crate::commands::report::rows::AnswerRows;
use crate::questions::TimeBuckets;

/// Addresses outside of the containers, and ways of one edge, that the graph shows.
const MAX_OUTSIDE: usize = 30;
const MAX_WAYS: usize = 6;

/// An end of edges: a container, or an address outside of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Container(String),
    Outside(String),
}

/// An edge: the traffic from one node to another.
#[derive(Debug, Default)]
struct Edge {
    /// Protocols with addresses, sockets or files.
    ways: BTreeSet<String>,
    connections: i64,
    failed: i64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Edge {
    fn add(&mut self, rows: &AnswerRows, row: usize, way: String) {
        let number = |column| rows.number::<i64>(column, row);
        self.ways.insert(way);
        self.connections += number("connections").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        let (first, last) = (number("first_seen"), number("last_seen"));
        self.first = self.first.into_iter().chain(first).min();
        self.last = self.last.into_iter().chain(last).max();
    }
}

/// The containers of addresses, as the links between containers tell them.
#[derive(Default)]
struct Linked {
    /// Addresses with ports, sockets and files.
    places: BTreeSet<String>,
    /// The containers that have an address.
    owners: BTreeMap<String, Node>,
}

impl Linked {
    fn add(&mut self, protocol: &str, place: &str, target: &Node) {
        self.places.insert(place.to_string());
        if let Some((address, _)) = place.rsplit_once(':').filter(|_| protocol != "file") {
            let owner = self.owners.entry(address.to_string());
            owner.or_insert_with(|| target.clone());
        }
    }

    /// Returns the container that has an address, or the address under another `name`.
    fn node(&self, address: &str, name: &str) -> Node {
        let outside = || Node::Outside(name.to_string());
        self.owners.get(address).cloned().unwrap_or_else(outside)
    }
}

/// A graph of who talked to whom, from the answers of the ready questions `links` and `peers`.
#[derive(Default)]
pub(crate) struct Graph {
    edges: BTreeMap<(Node, Node), Edge>,
    /// Addresses that the graph leaves out.
    left_out: usize,
}

impl Graph {
    pub(crate) fn new(links: &AnswerRows, peers: &AnswerRows) -> Graph {
        let mut graph = Graph::default();
        let mut linked = Linked::default();
        for row in 0..links.count {
            let source = links.container("source_host", "source", row);
            let target = links.container("target_host", "target", row);
            let (Some(source), Some(target)) = (source, target) else {
                continue;
            };
            let address = links.text("address", row).unwrap_or_default();
            let protocol = links.text("protocol", row).unwrap_or_default();
            let ends = (Node::Container(source), Node::Container(target));
            linked.add(protocol, address, &ends.1);
            let edge = graph.edges.entry(ends).or_default();
            edge.add(links, row, format!("{protocol} {address}"));
        }
        // The busiest peers come first.
        let mut outside = BTreeSet::new();
        for row in 0..peers.count {
            let Some((ends, way)) = outside_ends(peers, row, &linked) else {
                continue;
            };
            if let (Node::Outside(address), _) | (_, Node::Outside(address)) = &ends {
                if !outside.contains(address) && outside.len() >= MAX_OUTSIDE {
                    graph.left_out += 1;
                    continue;
                }
                outside.insert(address.clone());
            }
            graph.edges.entry(ends).or_default().add(peers, row, way);
        }
        graph
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Returns the graph for the page's script. `names` are the containers of the page.
    pub(crate) fn json(&self, buckets: TimeBuckets, names: &[String]) -> Value {
        let ends = self
            .edges
            .keys()
            .flat_map(|(source, target)| [source, target]);
        let nodes: BTreeSet<_> = ends.collect();
        let nodes: Vec<_> = nodes.into_iter().collect();
        let place = |node: &Node| nodes.iter().position(|other| *other == node);
        let edges = self.edges.iter().map(|((source, target), edge)| {
            let ways = edge.ways.iter().map(|way| printable(way));
            json!({
                "source": place(source),
                "target": place(target),
                "ways": ways.take(MAX_WAYS).collect::<Vec<_>>(),
                "more": edge.ways.len().saturating_sub(MAX_WAYS),
                "connections": edge.connections,
                "failed": edge.failed,
                "span": span(buckets, edge.first, edge.last),
            })
        });
        let edges: Vec<_> = edges.collect();
        let nodes = nodes.iter().map(|node| match node {
            Node::Container(name) => json!({
                "name": printable(name),
                "container": names.iter().position(|other| other == name),
            }),
            Node::Outside(address) => json!({ "name": printable(address), "outside": true }),
        });
        json!({ "nodes": nodes.collect::<Vec<_>>(), "edges": edges, "more": self.left_out })
    }
}

/// Returns the ends of a row of `peers` that is no link between containers, and how they are connected.
fn outside_ends(peers: &AnswerRows, row: usize, linked: &Linked) -> Option<((Node, Node), String)> {
    let text = |column| peers.text(column, row);
    let container = Node::Container(peers.container("host", "container", row)?);
    let address = text("address")?;
    let is_own = |address: &str| address.starts_with("127.") || address == "::1";
    let place = match text("port") {
        Some(port) => format!("{address}:{port}"),
        None => address.to_string(),
    };
    if linked.places.contains(&place) || is_own(address) {
        return None;
    }
    let way = format!("{} {place}", text("protocol").unwrap_or_default());
    match text("direction") {
        Some("in") => {
            let client = text("client").filter(|client| !is_own(client))?;
            Some(((linked.node(client, client), container), way))
        }
        _ => {
            let connections = peers.number::<i64>("connections", row);
            // Programs try sockets of services that most containers do not have.
            if address.starts_with('/') && connections == Some(0) {
                return None;
            }
            let name = text("dns_name").unwrap_or(address);
            Some(((container, linked.node(address, name)), way))
        }
    }
}
