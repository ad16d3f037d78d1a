//! Peers as subjects: without the addresses and ports that differ from run to run.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::diff::facts::{Aspect, PeerFacts, SubjectFacts};
use crate::diff::side::Side;

/// Returns the peers of one pair of containers as subjects. A container's address stands for the container, and an address to
/// which a name led for the name. A client is another one each time: it is known by its container, or as one of the
/// machine, of a private network or of the internet.
pub(super) fn subjects(peers: &[&PeerFacts], side: &Side<'_>) -> Vec<SubjectFacts> {
    // Connections that were opened before the name was looked up have none.
    let named = peers.iter().filter_map(|peer| {
        let name = (peer.name.as_deref()?, peer.dns_name.as_deref()?);
        Some((peer.address.as_deref()?, name))
    });
    let names: HashMap<&str, (&str, &str)> = named.collect();
    peers
        .iter()
        .map(|peer| subject(peer, &names, side))
        .collect()
}

fn subject(peer: &PeerFacts, names: &HashMap<&str, (&str, &str)>, side: &Side<'_>) -> SubjectFacts {
    let facts = |subject: String, action: String, example: String| SubjectFacts {
        aspect: Aspect::Peer,
        container: peer.container.clone(),
        subject,
        action: Some(action),
        example,
        alias: None,
        rank: 1,
        count: peer.count,
        first_seen: peer.first_seen,
    };
    let protocol = peer.protocol.as_deref().unwrap_or("?");
    let Some(address) = peer.address.as_deref() else {
        let path = peer.path.clone().unwrap_or_default();
        return facts(path.clone(), format!("unix {protocol}"), path);
    };
    let port = |port: Option<i64>| port.map_or("*".into(), |port| port.to_string());
    let is_in = match peer.direction.as_deref() {
        Some(direction) => direction == "in",
        None => peer.peer_port.is_none() && peer.local_port.is_some(),
    };
    let full = host_and_port(address, &port(peer.peer_port));
    if is_in {
        let client = side.at(address).unwrap_or_else(|| network(address));
        let subject = format!("port {} from {client}", port(peer.local_port));
        return facts(subject, format!("{protocol} in"), full);
    }
    let name = names.get(address);
    let host = side
        .at(address)
        .or(name.map(|(general, _)| *general))
        .unwrap_or(address);
    let subject = host_and_port(host, &port(peer.peer_port));
    let example = match name {
        Some((_, name)) => format!("{name} at {full}"),
        None => full,
    };
    facts(subject, format!("{protocol} out"), example)
}

/// Returns the subject of a failed call, with the name of a container in place of its address.
pub(super) fn with_container(subject: &str, side: &Side<'_>) -> Option<String> {
    let (address, port) = subject.rsplit_once(':')?;
    Some(host_and_port(side.at(address)?, port))
}

fn host_and_port(host: &str, port: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Returns the kind of network that an address is in.
fn network(address: &str) -> &'static str {
    match address.parse() {
        Ok(IpAddr::V4(address)) if address.is_loopback() => "the same machine",
        Ok(IpAddr::V6(address)) if address.is_loopback() => "the same machine",
        Ok(IpAddr::V4(address)) if address.is_private() || address.is_link_local() => {
            "a private network"
        }
        Ok(IpAddr::V6(address)) if address.is_unique_local() || address.is_unicast_link_local() => {
            "a private network"
        }
        _ => "the internet",
    }
}
