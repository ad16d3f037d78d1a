//! DNS: the messages ([`message`]), the queries that wait for their answers ([`waiting`]) and become rows ([`queries`]), and
//! the names under which containers learnt addresses: connections to an address show its name.

pub(super) mod message;
mod queries;
pub(super) mod waiting;

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::resolve::dns::message::DnsMessage;

/// Names in a generation. Two generations are retained, because the number of a container's queries is unlimited.
const GENERATION_NAMES: usize = 32_768;
/// Time in ns for which an answer applies: longer than the TTL of most answers, because programs cache addresses.
const VALID_NS: i64 = 24 * 3600 * 1_000_000_000;

/// Names by container (its index) and address, with the wall clock time of the newest answer.
#[derive(Debug, Default)]
pub(super) struct ResolvedNames {
    young: FxHashMap<(u32, IpAddr), (Arc<str>, i64)>,
    old: FxHashMap<(u32, IpAddr), (Arc<str>, i64)>,
}

impl ResolvedNames {
    /// Adds the addresses of an answer to a question of a container, which received the answer at `wall_ns`.
    pub(super) fn learn(&mut self, container: u32, message: &DnsMessage, wall_ns: i64) {
        let (Some(question), Some(answer)) = (&message.question, &message.answer) else {
            return;
        };
        for address in &answer.addresses {
            self.young
                .insert((container, *address), (question.name.clone(), wall_ns));
        }
        if self.young.len() > GENERATION_NAMES {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Drops the names of removed containers, whose indices are reused.
    pub(super) fn forget(&mut self, containers: &[u32]) {
        for names in [&mut self.young, &mut self.old] {
            names.retain(|(container, _), _| !containers.contains(container));
        }
    }

    /// Returns the name under which a container learnt an address, if the answer still applies at `wall_ns`.
    pub(super) fn name(&self, container: u32, address: &str, wall_ns: i64) -> Option<&Arc<str>> {
        if self.young.is_empty() && self.old.is_empty() {
            return None;
        }
        let key = (container, address.parse::<IpAddr>().ok()?);
        let (name, learnt_ns) = self.young.get(&key).or_else(|| self.old.get(&key))?;
        (wall_ns.saturating_sub(*learnt_ns) < VALID_NS).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn names_belong_to_a_container_and_the_newest_answer_applies() {
        let mut resolved = ResolvedNames::default();
        let answer = |name: &str| {
            let mut message = DnsMessage::parse(&message::tests::answer()).remove(0);
            message.question.as_mut().unwrap().name = name.into();
            message
        };
        resolved.learn(1, &answer("first"), 5);
        resolved.learn(1, &answer("second"), 6);
        assert_eq!(
            resolved.name(1, "10.0.0.1", 7).map(|n| &**n),
            Some("second")
        );
        assert_eq!(resolved.name(2, "10.0.0.1", 7), None);
        assert_eq!(resolved.name(1, "10.0.0.1", 7 + VALID_NS), None);
        for i in 0..3 * GENERATION_NAMES as u32 {
            let mut message = answer("many");
            message.answer.as_mut().unwrap().addresses =
                vec![Ipv4Addr::from(i + (11 << 24)).into()];
            resolved.learn(1, &message, 8);
        }
        assert!(resolved.young.len() + resolved.old.len() <= 2 * GENERATION_NAMES + 2);
        assert_eq!(resolved.name(1, "10.0.0.1", 9), None);
    }
}
