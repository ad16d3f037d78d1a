//! Decodes DNS messages (RFC 1035).
//!
//! A message may come from anyone and may be cut: everything up to the first part that is missing or malformed counts.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ctrace_schema::text::escape;

/// A message to or from a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct DnsMessage {
    pub(in crate::resolve) id: u16,
    /// The question; `None` in an answer that does not repeat it.
    pub(in crate::resolve) question: Option<DnsQuestion>,
    /// None: the message is a query.
    pub(in crate::resolve) answer: Option<DnsAnswer>,
}

/// A name and the type of the records that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct DnsQuestion {
    /// The name: lower case, escaped, without the final dot. The root is `.`.
    pub(in crate::resolve) name: Arc<str>,
    pub(in crate::resolve) ty: u16,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct DnsAnswer {
    /// The response code, with the upper bits of EDNS (RFC 6891).
    pub(in crate::resolve) code: u16,
    /// True if the answer was too long for a datagram: the flag TC.
    pub(in crate::resolve) is_truncated: bool,
    /// The first [`MAX_RECORDS`] records of the answer, as text.
    pub(in crate::resolve) records: Vec<String>,
    /// The addresses of the name in the question, found through its aliases.
    pub(in crate::resolve) addresses: Vec<IpAddr>,
}

/// The number of records of an answer that are stored as text.
const MAX_RECORDS: usize = 32;
/// The number of characters of a record's text that are stored.
const MAX_TEXT: usize = 255;
/// The length of the header, and of a message over TCP before which there are two more bytes: RFC 1035, 4.1.1 and 4.2.2.
const HEADER_BYTES: usize = 12;
/// Octets of a name, with the length of each label: RFC 1035, 2.3.4.
const MAX_NAME_OCTETS: usize = 255;

/// Types of records (IANA, DNS parameters) that are decoded.
mod ty {
    pub(super) const A: u16 = 1;
    pub(super) const NS: u16 = 2;
    pub(super) const CNAME: u16 = 5;
    pub(super) const SOA: u16 = 6;
    pub(super) const PTR: u16 = 12;
    pub(super) const MX: u16 = 15;
    pub(super) const TXT: u16 = 16;
    pub(super) const AAAA: u16 = 28;
    pub(super) const SRV: u16 = 33;
    pub(super) const DNAME: u16 = 39;
    pub(super) const OPT: u16 = 41;
    pub(super) const SVCB: u16 = 64;
    pub(super) const HTTPS: u16 = 65;
    pub(super) const SPF: u16 = 99;
}

/// Names of other types that programs ask for.
const OTHER_TYPES: &[(u16, &str)] = &[
    (13, "HINFO"),
    (18, "AFSDB"),
    (29, "LOC"),
    (35, "NAPTR"),
    (37, "CERT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (61, "OPENPGPKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

/// Returns the value of the column `dns_type`: the name of a type, or `TYPE` and its number (RFC 3597).
pub(in crate::resolve) fn type_name(ty: u16) -> String {
    let name = match ty {
        ty::A => "A",
        ty::NS => "NS",
        ty::CNAME => "CNAME",
        ty::SOA => "SOA",
        ty::PTR => "PTR",
        ty::MX => "MX",
        ty::TXT => "TXT",
        ty::AAAA => "AAAA",
        ty::SRV => "SRV",
        ty::DNAME => "DNAME",
        ty::SVCB => "SVCB",
        ty::HTTPS => "HTTPS",
        ty::SPF => "SPF",
        _ => match OTHER_TYPES.iter().find(|(number, _)| *number == ty) {
            Some((_, name)) => name,
            None => return format!("TYPE{ty}"),
        },
    };
    name.to_string()
}

/// The response codes without and with an answer to the question: RFC 1035, 4.1.1.
pub(in crate::resolve) const NOERROR: u16 = 0;
pub(in crate::resolve) const NXDOMAIN: u16 = 3;

/// Returns the value of the column `dns_code`: the name of a response code (IANA, DNS parameters), or `RCODE` and its
/// number.
pub(in crate::resolve) fn code_name(code: u16) -> String {
    let name = match code {
        NOERROR => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        NXDOMAIN => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        23 => "BADCOOKIE",
        _ => return format!("RCODE{code}"),
    };
    name.to_string()
}

impl DnsMessage {
    /// Returns the name in the question.
    pub(in crate::resolve) fn name(&self) -> Option<&Arc<str>> {
        self.question.as_ref().map(|question| &question.name)
    }

    /// Decodes the messages in the bytes of a call: one message, or, over TCP, any number, each after its length.
    /// Bytes that are not a DNS message with a question give none; of several questions, which RFC 9619 forbids, the first
    /// counts.
    pub(in crate::resolve) fn parse(mut bytes: &[u8]) -> Vec<DnsMessage> {
        if let Some(message) = DnsMessage::parse_one(bytes) {
            return vec![message];
        }
        let mut messages = vec![];
        while let [high, low, rest @ ..] = bytes {
            let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
            let (message, after) = rest.split_at(len);
            let Some(message) = DnsMessage::parse_one(message) else {
                break;
            };
            messages.push(message);
            bytes = after;
        }
        messages
    }

    fn parse_one(bytes: &[u8]) -> Option<DnsMessage> {
        let mut reader = Reader { bytes, at: 0 };
        let id = reader.u16()?;
        let flags = reader.u16()?;
        let questions = reader.u16()?;
        let answers = reader.u16()?;
        let others = u32::from(reader.u16()?) + u32::from(reader.u16()?);
        let is_answer = flags & 0x8000 != 0;
        let answer = DnsAnswer {
            code: flags & 0xf,
            is_truncated: flags & 0x200 != 0,
            records: vec![],
            addresses: vec![],
        };
        // The bit between the flags and the code is reserved.
        if flags & 0x40 != 0 {
            return None;
        }
        if questions == 0 && is_answer && bytes.len() == HEADER_BYTES {
            return Some(DnsMessage {
                id,
                question: None,
                answer: Some(answer),
            });
        }
        if questions == 0 {
            return None;
        }
        let (name, ty) = reader.question()?;
        for _ in 1..questions {
            reader.question()?;
        }
        let answer = is_answer.then(|| reader.records(answer, &name, answers, others));
        let name = name.into();
        Some(DnsMessage {
            id,
            question: Some(DnsQuestion { name, ty }),
            answer,
        })
    }
}

/// A resource record: RFC 1035, 4.1.3.
struct Record {
    owner: String,
    ty: u16,
    /// The time to live; for OPT, the upper bits of the response code and flags.
    ttl: u32,
    /// The range of the data in the message.
    data: std::ops::Range<usize>,
}

/// A position in the bytes of a message.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads a question: RFC 1035, 4.1.2.
    fn question(&mut self) -> Option<(String, u16)> {
        let (name, ty) = (self.name()?, self.u16()?);
        // IN, CH, HS, NONE and ANY.
        let is_class = [1, 3, 4, 254, 255].contains(&self.u16()?);
        is_class.then_some((name, ty))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// Reads a name, in lower case, with a dot between labels. A dot or a backslash in a label follows a backslash, and a
    /// byte that is not printable ASCII is written as a backslash and three decimal digits (RFC 4343, 2.1).
    fn name(&mut self) -> Option<String> {
        let (mut name, mut octets) = (String::new(), 0);
        let mut from = *self;
        let mut after = None;
        // A pointer leads to bytes before itself (RFC 1035, 4.1.4), so that the loop ends.
        let mut limit = self.at;
        loop {
            let len = from.u8()?;
            if len & 0xc0 == 0xc0 {
                let target = usize::from(len & 0x3f) << 8 | usize::from(from.u8()?);
                after.get_or_insert(from.at);
                if target >= limit {
                    return None;
                }
                (from.at, limit) = (target, target);
                continue;
            }
            octets += usize::from(len) + 1;
            if len & 0xc0 != 0 || octets > MAX_NAME_OCTETS {
                return None;
            }
            if len == 0 {
                break;
            }
            if !name.is_empty() {
                name.push('.');
            }
            for byte in from.take(len.into())?.to_ascii_lowercase() {
                match byte {
                    b'.' | b'\\' => name.extend(['\\', char::from(byte)]),
                    0x21..=0x7e => name.push(char::from(byte)),
                    _ => {
                        // Writing to a String cannot fail.
                        let _ = write!(name, "\\{byte:03}");
                    }
                }
            }
        }
        self.at = after.unwrap_or(from.at);
        if name.is_empty() {
            name.push('.');
        }
        Some(name)
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let ty = self.u16()?;
        let _class = self.u16()?;
        let ttl = self.u32()?;
        let len = self.u16()?;
        let start = self.at;
        self.take(len.into())?;
        Some(Record {
            owner,
            ty,
            ttl,
            data: start..self.at,
        })
    }

    /// Reads the records of the answer to the question for `name`, up to the first that is cut or malformed. `others`:
    /// number of records in the other sections, one of which may have the upper bits of the code.
    fn records(
        &mut self,
        mut answer: DnsAnswer,
        name: &str,
        answers: u16,
        others: u32,
    ) -> DnsAnswer {
        // The name in the question, and its aliases in the order of the answer.
        let mut names = vec![name.to_string()];
        for _ in 0..answers {
            let Some(record) = self.record() else {
                return answer;
            };
            if answer.records.len() < MAX_RECORDS
                && let Some(text) = self.text(&record)
            {
                answer.records.push(text.chars().take(MAX_TEXT).collect());
            }
            if names.contains(&record.owner) {
                if record.ty == ty::CNAME {
                    names.extend(self.data(&record).name());
                }
                answer.addresses.extend(self.address(&record));
            }
        }
        for _ in 0..others {
            let Some(record) = self.record() else {
                return answer;
            };
            if record.ty == ty::OPT {
                answer.code |= (record.ttl >> 24 << 4) as u16;
            }
        }
        answer
    }

    /// Returns a reader of the data of a record, which may point to names before it.
    fn data(&self, record: &Record) -> Reader<'a> {
        Reader {
            bytes: &self.bytes[..record.data.end],
            at: record.data.start,
        }
    }

    fn address(&self, record: &Record) -> Option<IpAddr> {
        let data = &self.bytes[record.data.clone()];
        match record.ty {
            ty::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
            ty::AAAA => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_canonical()),
            _ => None,
        }
    }

    /// Returns the data of a record as text, in the order of a zone file; only the name of a type that is not decoded.
    fn text(&self, record: &Record) -> Option<String> {
        let mut data = self.data(record);
        Some(match record.ty {
            ty::A | ty::AAAA => self.address(record)?.to_string(),
            ty::NS | ty::CNAME | ty::PTR | ty::DNAME => data.name()?,
            ty::MX | ty::SVCB | ty::HTTPS => format!("{} {}", data.u16()?, data.name()?),
            ty::SRV => {
                let (priority, weight, port) = (data.u16()?, data.u16()?, data.u16()?);
                format!("{priority} {weight} {port} {}", data.name()?)
            }
            ty::SOA => format!("{} {} {}", data.name()?, data.name()?, data.u32()?),
            ty::TXT | ty::SPF => {
                let mut text = vec![];
                while let Some(len) = data.u8() {
                    text.extend_from_slice(data.take(len.into())?);
                }
                escape(&text).into_owned()
            }
            ty => type_name(ty),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Creates an answer for `www.example.com`, an alias of `w.example.net` with two addresses, and an address of an
    /// unrelated name.
    pub(in crate::resolve::dns) fn answer() -> Vec<u8> {
        let mut m = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 4, 0, 0, 0, 0];
        m.extend(b"\x03wWw\x07example\x03com\0\0\x01\0\x01");
        m.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x0f\x01w\x07example\x03net\0");
        m.extend(b"\x01w\x07example\x03net\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01");
        m.extend(b"\x01w\x07example\x03net\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02");
        m.extend(b"\x04evil\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x03");
        m
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend(message);
        framed
    }

    fn one(bytes: &[u8]) -> Option<DnsMessage> {
        let mut messages = DnsMessage::parse(bytes);
        assert!(messages.len() < 2);
        messages.pop()
    }

    /// Returns an answer with one record of type `ty` and the given data.
    fn record(ty: u8, data: &[u8]) -> Vec<u8> {
        let mut m = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        m.extend(b"\x01n\x04test\0\0");
        m.extend([ty, 0, 1, 0xc0, 0x0c, 0, ty, 0, 1, 0, 0, 0, 60, 0]);
        m.push(data.len() as u8);
        m.extend(data);
        m
    }

    #[test]
    fn the_first_of_several_questions_counts() {
        let mut m = vec![0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        m.extend(b"\x01a\0\0\x01\0\x01\x01b\0\0\x1c\0\x01");
        let question = one(&m).unwrap().question.unwrap();
        assert_eq!((&*question.name, question.ty), ("a", 1));
        assert_eq!(one(&m[..m.len() - 1]), None);
    }

    #[test]
    fn an_answer_names_its_addresses_through_aliases() {
        let expected = DnsMessage {
            id: 0x1234,
            question: Some(DnsQuestion {
                name: "www.example.com".into(),
                ty: 1,
            }),
            answer: Some(DnsAnswer {
                code: NOERROR,
                is_truncated: false,
                records: ["w.example.net", "10.0.0.1", "10.0.0.2", "10.0.0.3"]
                    .map(String::from)
                    .to_vec(),
                addresses: vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()],
            }),
        };
        assert_eq!(one(&answer()), Some(expected.clone()));
        assert_eq!(one(&framed(&answer())), Some(expected.clone()));
        let two = [framed(&answer()), framed(&answer())].concat();
        assert_eq!(DnsMessage::parse(&two), [expected.clone(), expected]);
    }

    #[test]
    fn a_question_has_no_answer_and_a_cut_answer_what_fits() {
        let mut m = answer();
        m[2] = 1;
        let query = one(&m).unwrap();
        assert_eq!(&*query.question.unwrap().name, "www.example.com");
        assert_eq!(query.answer, None);
        let cut = one(&answer()[..answer().len() - 30]).unwrap();
        assert_eq!(cut.answer.unwrap().records, ["w.example.net", "10.0.0.1"]);
    }

    #[test]
    fn records_are_text_in_the_order_of_a_zone_file() {
        let text = |ty, data: &[u8]| one(&record(ty, data)).unwrap().answer.unwrap().records;
        let name = b"\x02db\xc0\x0c";
        assert_eq!(text(12, name), ["db.n.test"]);
        assert_eq!(text(15, &[&[0, 10][..], name].concat()), ["10 db.n.test"]);
        let srv = [&[0, 1, 0, 2, 0x1f, 0x90][..], name].concat();
        assert_eq!(text(33, &srv), ["1 2 8080 db.n.test"]);
        assert_eq!(text(16, b"\x03a\"b\x02c\n"), ["a\"bc\\x0a"]);
        assert_eq!(text(65, b"\0\x01\0"), ["1 ."]);
        assert_eq!(text(52, &[1, 2, 3]), ["TLSA"]);
        // An address of the wrong length, and a name that points to itself.
        assert!(text(1, &[1, 2, 3]).is_empty());
        assert!(text(5, b"\xc0\x23").is_empty());
    }

    #[test]
    fn names_are_escaped_and_codes_have_the_bits_of_edns() {
        let mut m = vec![0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 1];
        m.extend(b"\x05a.\\ \xff\x01B\0\xfe\xff\0\x01");
        m.extend(b"\0\0\x29\x04\xd0\x01\0\0\0\0\0");
        let message = one(&m).unwrap();
        let question = message.question.unwrap();
        assert_eq!(&*question.name, r"a\.\\\032\255.b");
        assert_eq!(type_name(question.ty), "TYPE65279");
        assert_eq!(code_name(message.answer.unwrap().code), "BADVERS");
    }

    #[test]
    fn an_answer_without_its_question_has_a_code() {
        let message = one(&[0, 9, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!((message.id, message.question), (9, None));
        assert_eq!(code_name(message.answer.unwrap().code), "REFUSED");
    }

    #[test]
    fn malformed_messages_are_refused_without_panic() {
        let check = |bytes: &[u8]| {
            for message in DnsMessage::parse(bytes) {
                let name = message.question.map_or("".into(), |q| q.name);
                let records = message.answer.map_or(vec![], |a| a.records);
                let mut texts = records.iter().map(|r| &**r).chain([&*name]);
                assert!(!texts.any(|text| text.contains(char::is_control)));
                assert!(records.len() <= MAX_RECORDS);
            }
        };
        let kinds = [1, 5, 6, 12, 15, 16, 28, 33, 41, 64].map(|ty| record(ty, &[3; 20]));
        for good in kinds.into_iter().chain([answer(), framed(&answer())]) {
            for len in 0..good.len() {
                check(&good[..len]);
            }
            // Replaces each byte, and each pair of neighbours, by several others.
            for at in 0..good.len() {
                for byte in [0, 1, 0x3f, 0x40, 0xc0, 0xc1, 0xff, at as u8] {
                    let mut bad = good.clone();
                    bad[at] = byte;
                    check(&bad);
                    for next in [0, 0x0c, 0xff, at as u8] {
                        if at + 1 < bad.len() {
                            bad[at + 1] = next;
                            check(&bad);
                        }
                    }
                }
            }
        }
        assert!(DnsMessage::parse(&[]).is_empty());
        assert!(DnsMessage::parse(&[0xff; 512]).is_empty());
    }
}
