//! Functions on IP addresses.

use std::net::IpAddr;

use arrow::array::BooleanArray;
use datafusion::common::exec_datafusion_err;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::engine::functions::scalar::{ArgType, ResultType, ScalarFn};
use crate::engine::functions::values::{array, each_tested, each_text};

/// Defines `cidr_contains(network, address)`.
pub(crate) fn cidr_contains() -> ScalarFn {
    let takes = &[ArgType::Text, ArgType::Text];
    ScalarFn::new("cidr_contains", takes, ResultType::Boolean, |args, rows| {
        let read = |text: &str| {
            network(text).ok_or_else(|| {
                exec_datafusion_err!("`{text}` is not a network: write one such as 10.0.0.0/8")
            })
        };
        let test = |network: &IpNet, text: &str| address(text).map(|a| contains(network, a));
        each_tested(args, (0, 1), rows, read, test)
    })
}

/// Defines `is_private(address)`.
pub(crate) fn is_private() -> ScalarFn {
    ScalarFn::new(
        "is_private",
        &[ArgType::Text],
        ResultType::Boolean,
        |args, rows| {
            let test = |text: &str| address(text).map(is_private_address);
            each_text::<bool, BooleanArray>(&array(args, 0, rows)?, test)
        },
    )
}

/// Parses a network, or an address as a network of one address.
fn network(text: &str) -> Option<IpNet> {
    match text.parse() {
        Ok(IpNet::V6(mapped)) => Some(canonical(mapped)),
        Ok(network) => Some(network),
        Err(_) => text.parse().ok().map(|a: IpAddr| a.to_canonical().into()),
    }
}

/// Converts a network of IPv4-mapped addresses to the IPv4 network, as `address` converts such addresses to IPv4.
fn canonical(network: Ipv6Net) -> IpNet {
    const MAPPED_PREFIX_BITS: u8 = 96;
    let address = network.network().to_ipv4_mapped();
    let length = network.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
    let mapped = address.zip(length);
    let v4 = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(IpNet::V6(network), IpNet::V4)
}

/// Returns whether a network contains an address. An IPv6 network that includes all IPv4-mapped addresses contains all
/// IPv4 addresses.
fn contains(network: &IpNet, address: IpAddr) -> bool {
    match (network, address) {
        (IpNet::V6(network), IpAddr::V4(v4)) => network.contains(&v4.to_ipv6_mapped()),
        _ => network.contains(&address),
    }
}

/// Parses an address. An IPv4-mapped IPv6 address becomes the IPv4 address.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|a: IpAddr| a.to_canonical())
}

/// Returns whether the internet does not route an address: private (RFC 1918, RFC 4193), loopback, link-local, shared
/// (RFC 6598), or unspecified.
fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared
        }
        IpAddr::V6(v6) => {
            v6.is_unique_local()
                || v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    // A test that cannot unwrap its own constants should fail there.
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn private_addresses_are_recognized() {
        for (text, want) in [
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.0.1", true),
            ("127.0.0.53", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("8.8.8.8", false),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2606:4700::1111", false),
        ] {
            assert_eq!(is_private_address(address(text).unwrap()), want, "{text}");
        }
        assert_eq!(address("web"), None);
    }

    #[test]
    fn networks_contain_addresses() {
        let contains =
            |net: &str, addr: &str| contains(&network(net).unwrap(), address(addr).unwrap());
        assert!(contains("10.0.0.0/8", "10.200.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(contains("10.0.0.1", "10.0.0.1"));
        assert!(contains("fd00::/8", "fd12::1"));
        assert!(!contains("fd00::/8", "10.0.0.1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4"));
        assert!(contains("::ffff:10.0.0.0/104", "10.0.0.1"));
        assert!(contains("::ffff:10.0.0.0/104", "::ffff:10.0.0.1"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.0.0.1"));
        assert!(contains("::ffff:0:0/96", "1.2.3.4"));
        assert!(contains("::/0", "1.2.3.4"));
        assert!(!contains("::ffff:0:0/96", "::1"));
        assert_eq!(network("10.0.0.0/33"), None);
        assert_eq!(network("ten"), None);
    }
}
