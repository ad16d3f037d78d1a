//! What containers asked name servers, and what they were told: names of the addresses that they talk to afterwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ctrace_schema::text::escape;
use rustc_hash::FxHashMap;
use simple_dns::rdata::RData;
use simple_dns::{Name, Packet, PacketFlag};

/// Names in one generation, of which two are kept: a container may ask for as many as it likes.
const LIMIT: usize = 32_768;
/// How long an answer names an address, ns: longer than most are valid, for programs keep what they were told.
const VALID: i64 = 24 * 3600 * 1_000_000_000;

/// A message to or from a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// The name that is asked for, in lower case, escaped, without the dot at its end.
    pub name: Arc<str>,
    /// Addresses that are its, of an answer.
    pub addresses: Vec<IpAddr>,
}

impl DnsMessage {
    /// Reads a message. Over TCP its length may stand before it. None: it is none, or of no single question.
    pub fn parse(bytes: &[u8]) -> Option<DnsMessage> {
        let framed = || match bytes {
            [high, low, rest @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                rest.get(..len)
            }
            _ => None,
        };
        DnsMessage::of(bytes).or_else(|| DnsMessage::of(framed()?))
    }

    fn of(bytes: &[u8]) -> Option<DnsMessage> {
        let packet = Packet::parse(bytes).ok()?;
        let [question] = packet.questions.as_slice() else {
            return None;
        };
        let mut addresses = vec![];
        if packet.has_flags(PacketFlag::RESPONSE) {
            // The name asked for, and those that it is said to stand for, each after the one before it.
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

/// Names by container and address. The newest answer counts.
#[derive(Debug, Default)]
pub struct Resolved {
    young: FxHashMap<(u32, IpAddr), (Arc<str>, i64)>,
    old: FxHashMap<(u32, IpAddr), (Arc<str>, i64)>,
}

impl Resolved {
    /// A container, by its index, was told at `time` (wall clock, ns) whose addresses these are.
    pub fn learn(&mut self, container: u32, message: &DnsMessage, time: i64) {
        for address in &message.addresses {
            self.young
                .insert((container, *address), (message.name.clone(), time));
        }
        if self.young.len() > LIMIT {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Containers with these indices are gone: others get them.
    pub fn forget(&mut self, containers: &[u32]) {
        for names in [&mut self.young, &mut self.old] {
            names.retain(|(container, _), _| !containers.contains(container));
        }
    }

    /// The name under which a container came to know an address, given as text.
    pub fn name(&self, container: u32, address: &str, time: i64) -> Option<&Arc<str>> {
        if self.young.is_empty() && self.old.is_empty() {
            return None;
        }
        let key = (container, address.parse::<IpAddr>().ok()?);
        let (name, told) = self.young.get(&key).or_else(|| self.old.get(&key))?;
        (time.saturating_sub(*told) < VALID).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The answer to `www.example.com`, which is an alias of `w.example.net`, which has two addresses; and one of another.
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
        let asked = DnsMessage::parse(&m).unwrap();
        assert_eq!(
            (&*asked.name, asked.addresses.len()),
            ("www.example.com", 0)
        );
    }

    #[test]
    fn strange_bytes_are_no_message() {
        let good = answer();
        for len in 0..good.len() {
            let _ = DnsMessage::parse(&good[..len]);
        }
        // Every byte replaced by some others: whatever comes out, nothing panics, and names stay names.
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
    fn names_are_by_container_and_the_newest_counts() {
        let mut resolved = Resolved::default();
        let told = |name: &str| DnsMessage {
            name: name.into(),
            addresses: vec![[10, 0, 0, 1].into()],
        };
        resolved.learn(1, &told("first"), 5);
        resolved.learn(1, &told("second"), 6);
        assert_eq!(
            resolved.name(1, "10.0.0.1", 7).map(|n| &**n),
            Some("second")
        );
        assert_eq!(resolved.name(2, "10.0.0.1", 7), None);
        assert_eq!(resolved.name(1, "10.0.0.1", 7 + VALID), None);
        for i in 0..3 * LIMIT as u32 {
            let mut message = told("many");
            message.addresses = vec![Ipv4Addr::from(i + (11 << 24)).into()];
            resolved.learn(1, &message, 8);
        }
        assert!(resolved.young.len() + resolved.old.len() <= 2 * LIMIT + 2);
        assert_eq!(resolved.name(1, "10.0.0.1", 9), None);
    }
}
