//! Decodes DNS messages, and remembers the names under which containers learnt addresses: connections to an address
//! show its name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ctrace_schema::text::escape;
use rustc_hash::FxHashMap;
use simple_dns::rdata::RData;
use simple_dns::{Name, Packet, PacketFlag};

/// Names in a generation. Two generations are retained, because the number of a container's queries is unlimited.
const GENERATION_NAMES: usize = 32_768;
/// Time in ns for which an answer applies: longer than the TTL of most answers, because programs cache addresses.
const VALID_NS: i64 = 24 * 3600 * 1_000_000_000;

/// A message to or from a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsMessage {
    /// The name in the question: lower case, escaped, without the final dot.
    pub(super) name: Arc<str>,
    /// The addresses of the name, in an answer.
    pub(super) addresses: Vec<IpAddr>,
}

impl DnsMessage {
    /// Decodes a message, with or without the length that precedes a message over TCP. None: the bytes are not a DNS
    /// message with exactly one question.
    pub(super) fn parse(bytes: &[u8]) -> Option<DnsMessage> {
        let framed = || match bytes {
            [high, low, rest @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                rest.get(..len)
            }
            _ => None,
        };
        DnsMessage::parse_unframed(bytes).or_else(|| DnsMessage::parse_unframed(framed()?))
    }

    fn parse_unframed(bytes: &[u8]) -> Option<DnsMessage> {
        let packet = Packet::parse(bytes).ok()?;
        let [question] = packet.questions.as_slice() else {
            return None;
        };
        let mut addresses = vec![];
        if packet.has_flags(PacketFlag::RESPONSE) {
            // The name in the question, and its aliases in the order of the answer.
            let mut names: Vec<&Name<'_>> = vec![&question.qname];
            for record in &packet.answers {
                if !names.contains(&&record.name) {
                    continue;
                }
                match &record.rdata {
                    RData::CNAME(alias) => names.push(&alias.0),
                    RData::A(a) => addresses.push(Ipv4Addr::from(a.address).into()),
                    RData::AAAA(a) => addresses.push(Ipv6Addr::from(a.address).to_canonical()),
                    _ => {}
                }
            }
        }
        let name = question.qname.to_string().to_ascii_lowercase();
        Some(DnsMessage {
            name: escape(name.trim_end_matches('.').as_bytes()).into(),
            addresses,
        })
    }
}

/// Names by container (its index) and address, with the wall clock time of the newest answer.
#[derive(Debug, Default)]
pub(super) struct ResolvedNames {
    young: FxHashMap<(u32, IpAddr), (Arc<str>, i64)>,
    old: FxHashMap<(u32, IpAddr), (Arc<str>, i64)>,
}

impl ResolvedNames {
    /// Adds the addresses of an answer that a container received at `wall_ns`.
    pub(super) fn learn(&mut self, container: u32, message: &DnsMessage, wall_ns: i64) {
        for address in &message.addresses {
            self.young
                .insert((container, *address), (message.name.clone(), wall_ns));
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

    use super::*;

    /// Creates an answer for `www.example.com`, an alias of `w.example.net` with two addresses, and an address of an
    /// unrelated name.
    fn answer() -> Vec<u8> {
        let mut m = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 4, 0, 0, 0, 0];
        m.extend(b"\x03wWw\x07example\x03com\0\0\x01\0\x01");
        m.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x0f\x01w\x07example\x03net\0");
        m.extend(b"\x01w\x07example\x03net\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01");
        m.extend(b"\x01w\x07example\x03net\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02");
        m.extend(b"\x04evil\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x03");
        m
    }

    #[test]
    fn an_answer_names_its_addresses_through_aliases() {
        let expected = DnsMessage {
            name: "www.example.com".into(),
            addresses: vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()],
        };
        assert_eq!(DnsMessage::parse(&answer()), Some(expected.clone()));
        let mut framed = (answer().len() as u16).to_be_bytes().to_vec();
        framed.extend(answer());
        assert_eq!(DnsMessage::parse(&framed), Some(expected));
    }

    #[test]
    fn a_question_has_no_addresses() {
        let mut m = answer();
        m[2] = 1;
        let query = DnsMessage::parse(&m).unwrap();
        assert_eq!(
            (&*query.name, query.addresses.len()),
            ("www.example.com", 0)
        );
    }

    #[test]
    fn malformed_messages_are_refused_without_panic() {
        let good = answer();
        for len in 0..good.len() {
            let _ = DnsMessage::parse(&good[..len]);
        }
        // Replaces each byte by several others: nothing panics, and names contain no control characters.
        for at in 0..good.len() {
            for byte in [0, 1, 0x3f, 0x40, 0xc0, 0xc1, 0xff, at as u8] {
                let mut bad = good.clone();
                bad[at] = byte;
                if let Some(message) = DnsMessage::parse(&bad) {
                    assert!(!message.name.contains(char::is_control), "{message:?}");
                }
            }
        }
        assert_eq!(DnsMessage::parse(&[]), None);
        assert_eq!(DnsMessage::parse(&[0xff; 512]), None);
    }

    #[test]
    fn names_belong_to_a_container_and_the_newest_answer_applies() {
        let mut resolved = ResolvedNames::default();
        let answer = |name: &str| DnsMessage {
            name: name.into(),
            addresses: vec![[10, 0, 0, 1].into()],
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
            message.addresses = vec![Ipv4Addr::from(i + (11 << 24)).into()];
            resolved.learn(1, &message, 8);
        }
        assert!(resolved.young.len() + resolved.old.len() <= 2 * GENERATION_NAMES + 2);
        assert_eq!(resolved.name(1, "10.0.0.1", 9), None);
    }
}
