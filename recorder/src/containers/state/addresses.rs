//! The addresses in the network namespace of a container, which has them whatever runtime configured the network.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::containers::processes::network_of;
use crate::containers::state::description::MAX_ADDRESSES;

/// The largest list of routes or addresses, bytes: that of some hundred addresses. A user's own network namespace can have
/// millions, of which the kernel prepares only what is read.
const MAX_LIST_BYTES: u64 = 1 << 16;

/// Returns the addresses in the network namespace of a process, separated by spaces; `None`: there are none, or they are the
/// machine's. Loopback and link-local addresses are left out.
pub(super) fn of_process(root: &Path, pid: u32) -> Option<String> {
    let pid = pid.to_string();
    if network_of(root, &pid)? == network_of(root, "1")? {
        return None;
    }
    let process = root.join("proc").join(pid);
    let read = |name: &str| read_list(&process.join("net").join(name)).unwrap_or_default();
    let [v4, v6] = ["fib_trie", "if_inet6"].map(read);
    let (v4, v6) = (local_v4(&v4), global_v6(&v6));
    let v4 = v4.iter().map(Ipv4Addr::to_string);
    let all = v4.chain(v6.iter().map(Ipv6Addr::to_string));
    let all: Vec<String> = all.take(MAX_ADDRESSES).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// Reads a list. A longer one is empty: part of it would be taken for the whole.
fn read_list(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_LIST_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_LIST_BYTES {
        text.clear();
    }
    Ok(text)
}

/// Returns the local addresses of `/proc/PID/net/fib_trie`: an address is on the line before `/32 host LOCAL` (fib_trie.c
/// of the kernel).
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = vec![];
    let mut last = None;
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("/32 host LOCAL")
            && let Some(address) = last.filter(|a| !a.is_loopback())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Returns the global addresses of `/proc/PID/net/if_inet6`, whose fourth field is the scope: 0 is global
/// (`IPV6_ADDR_SCOPE_GLOBAL` of the kernel).
fn global_v6(list: &str) -> Vec<Ipv6Addr> {
    let address = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let scope = fields.nth(2)?;
        (scope == "00").then(|| Ipv6Addr::from_bits(address))
    };
    list.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_an_end_is_not_read_to_its_end() {
        // /dev/zero has valid UTF-8 without an end.
        let text = read_list(Path::new("/dev/zero")).expect("can be read");
        assert_eq!(text, "");
    }

    #[test]
    fn addresses_of_a_namespace_are_listed() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                    +-- 127.0.0.0/8 2 0 2\n           |-- 127.0.0.1\n              /32 host LOCAL\n     \
                    |-- 172.17.0.2\n        /32 host LOCAL\n     |-- 172.17.255.255\n        /32 link BROADCAST\n\
                    Local:\n     |-- 172.17.0.2\n        /32 host LOCAL\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::new(172, 17, 0, 2)]);
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe80000000000000004211fffe110002 05 40 20 80     eth0\n\
                    fd000000000000000000000000000007 05 40 00 80     eth0\n";
        assert_eq!(
            global_v6(list),
            ["fd00::7".parse::<Ipv6Addr>().expect("is one")]
        );
    }
}
