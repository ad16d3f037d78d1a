//! The facts about a side, by container.

use std::collections::HashMap;

use crate::diff::facts::{CallFacts, ContainerFacts, PeerFacts, SideFacts, SubjectFacts};

/// The facts about a side, by container.
pub(super) struct Side<'a> {
    pub(super) facts: &'a SideFacts,
    subjects: HashMap<&'a str, Vec<&'a SubjectFacts>>,
    peers: HashMap<&'a str, Vec<&'a PeerFacts>>,
    calls: HashMap<&'a str, Vec<&'a CallFacts>>,
    /// The names under which the containers with these addresses are compared.
    addresses: HashMap<&'a str, &'a str>,
}

impl<'a> Side<'a> {
    /// Sorts the facts of a side, whose containers are compared under these names.
    pub(super) fn new(
        facts: &'a SideFacts,
        names: impl Iterator<Item = (&'a String, &'a Vec<&'a ContainerFacts>)>,
    ) -> Side<'a> {
        let addresses = names.flat_map(|(name, containers)| {
            let addresses = containers.iter().flat_map(|container| &container.addresses);
            addresses.map(move |address| (address.as_str(), name.as_str()))
        });
        let others = facts.addresses.iter();
        let others = others.map(|(address, name)| (address.as_str(), name.as_str()));
        // The names of the containers that are compared come last, and win.
        let addresses = others.chain(addresses);
        Side {
            facts,
            subjects: by_container(&facts.subjects, |facts| &facts.container),
            peers: by_container(&facts.peers, |facts| &facts.container),
            calls: by_container(&facts.calls, |facts| &facts.container),
            addresses: addresses.collect(),
        }
    }

    pub(super) fn subjects(
        &self,
        of: &[&ContainerFacts],
    ) -> impl Iterator<Item = &'a SubjectFacts> {
        of_containers(&self.subjects, of)
    }

    pub(super) fn peers(&self, of: &[&ContainerFacts]) -> impl Iterator<Item = &'a PeerFacts> {
        of_containers(&self.peers, of)
    }

    pub(super) fn calls(&self, of: &[&ContainerFacts]) -> impl Iterator<Item = &'a CallFacts> {
        of_containers(&self.calls, of)
    }

    /// Returns the name of the container that has an address.
    pub(super) fn at(&self, address: &str) -> Option<&'a str> {
        self.addresses.get(address).copied()
    }

    /// Returns whether the recordings of the side have all calls of a name.
    pub(super) fn records(&self, call: &str) -> bool {
        (self.facts.records)(call)
    }
}

fn by_container<'a, T>(
    facts: &'a [T],
    container: impl Fn(&'a T) -> &'a String,
) -> HashMap<&'a str, Vec<&'a T>> {
    let mut sorted: HashMap<&str, Vec<&T>> = HashMap::new();
    for fact in facts {
        sorted.entry(container(fact)).or_default().push(fact);
    }
    sorted
}

fn of_containers<'a, T>(
    sorted: &HashMap<&'a str, Vec<&'a T>>,
    containers: &[&ContainerFacts],
) -> impl Iterator<Item = &'a T> {
    let found = containers
        .iter()
        .filter_map(|container| sorted.get(container.id.as_str()));
    found.flatten().copied().collect::<Vec<_>>().into_iter()
}
