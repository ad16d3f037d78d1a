//! The expected lines are the output of strace 6.1 with `-yy` for the same calls, except for pointers and the memory they point to.

use super::call;
use crate::strace::{Call, End, Socket};

/// Formats a call on a socket.
fn on_socket<'a>(name: &'a str, args: &[i64], ret: i64, socket: Socket<'a>) -> String {
    Call {
        socket,
        ..call(name, args, ret)
    }
    .to_string()
}

/// Creates a connection between these ports of 127.0.0.1.
fn tcp(local: i64, peer: i64) -> Socket<'static> {
    let end = |port| End {
        addr: Some("127.0.0.1"),
        port: Some(port),
    };
    Socket {
        family: Some("inet"),
        protocol: Some("tcp"),
        local: end(local),
        peer: end(peer),
        peer_path: None,
    }
}

#[test]
fn calls_show_the_address_of_the_end_that_they_use() {
    let (client, server) = (tcp(36636, 44933), tcp(44933, 36636));
    assert_eq!(
        on_socket("connect", &[6, 0, 16], 0, client),
        r#"connect(6, {sa_family=AF_INET, sin_port=htons(44933), sin_addr=inet_addr("127.0.0.1")}, 16) = 0"#
    );
    assert_eq!(
        on_socket("getsockname", &[7], 0, server),
        r#"getsockname(7<TCP:[127.0.0.1:44933->127.0.0.1:36636]>, {sa_family=AF_INET, sin_port=htons(44933), sin_addr=inet_addr("127.0.0.1")}, ...) = 0"#
    );
    assert_eq!(
        on_socket("getpeername", &[7], 0, server),
        r#"getpeername(7<TCP:[127.0.0.1:44933->127.0.0.1:36636]>, {sa_family=AF_INET, sin_port=htons(36636), sin_addr=inet_addr("127.0.0.1")}, ...) = 0"#
    );
    let listener = Socket {
        local: End {
            addr: None,
            port: Some(8080),
        },
        peer: End::default(),
        ..server
    };
    assert_eq!(
        on_socket("bind", &[3, 0, 16], 0, listener),
        r#"bind(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("0.0.0.0")}, 16) = 0"#
    );
    assert_eq!(
        on_socket("listen", &[3, 5], 0, listener),
        "listen(3<TCP:[0.0.0.0:8080]>, 5) = 0"
    );
    let same = Socket {
        peer: client.local,
        ..client
    };
    assert_eq!(
        on_socket("getsockname", &[3], 0, same),
        r#"getsockname(3<TCP:[127.0.0.1:36636]>, {sa_family=AF_INET, sin_port=htons(36636), sin_addr=inet_addr("127.0.0.1")}, ...) = 0"#
    );
    assert_eq!(
        on_socket("dup2", &[3, 40], 40, listener),
        "dup2(3<TCP:[0.0.0.0:8080]>, 40) = 40<TCP:[0.0.0.0:8080]>"
    );
    // Recordings do not show whether the caller asked for the address.
    assert_eq!(
        on_socket("accept4", &[3, 0, 0, 0], 7, server),
        "accept4(3, ..., ..., 0) = 7<TCP:[127.0.0.1:44933->127.0.0.1:36636]>"
    );
}

#[test]
fn calls_on_a_connected_socket_show_both_ends() {
    let socket = tcp(36636, 44933);
    let fd = "6<TCP:[127.0.0.1:36636->127.0.0.1:44933]>";
    assert_eq!(
        on_socket("sendto", &[6, 0, 5, 0, 0, 0], 5, socket),
        format!("sendto({fd}, ..., 5, 0, ..., 0) = 5")
    );
    assert_eq!(
        on_socket("recvfrom", &[6, 0, 10, 0], 5, socket),
        format!("recvfrom({fd}, ..., 10, 0, ..., ...) = 5")
    );
    assert_eq!(
        on_socket("recvmsg", &[6, 0, 0], 5, socket),
        format!("recvmsg({fd}, ..., 0) = 5")
    );
    assert_eq!(
        on_socket("read", &[6, 0, 10], 5, socket),
        format!("read({fd}, ..., 10) = 5")
    );
    let datagram = Socket {
        protocol: Some("udp"),
        ..socket
    };
    assert_eq!(
        on_socket("sendto", &[6, 0, 5, 0, 0, 16], 5, datagram),
        r#"sendto(6<UDP:[127.0.0.1:36636]>, ..., 5, 0, {sa_family=AF_INET, sin_port=htons(44933), sin_addr=inet_addr("127.0.0.1")}, 16) = 5"#
    );
}

#[test]
fn addresses_of_every_family() {
    let v6 = |addr| Socket {
        family: Some("inet6"),
        peer: End {
            addr: Some(addr),
            port: Some(53),
        },
        ..tcp(1, 2)
    };
    assert_eq!(
        on_socket("connect", &[3, 0, 28], 0, v6("fe80::1")),
        r#"connect(3, {sa_family=AF_INET6, sin6_port=htons(53), inet_pton(AF_INET6, "fe80::1", &sin6_addr), ...}, 28) = 0"#
    );
    assert_eq!(
        on_socket("read", &[3, 0, 1], 1, v6("10.0.0.2")),
        "read(3<TCPv6:[[::ffff:127.0.0.1]:1->[::ffff:10.0.0.2]:53]>, ..., 1) = 1"
    );
    for (path, shown) in [
        ("/run/a.sock", r#""/run/a.sock""#),
        ("@shop", r#"@"shop""#),
        (r#"/a"\x1b"#, r#""/a\"\x1b""#),
    ] {
        let unix = Socket {
            peer_path: Some(path),
            ..Socket::default()
        };
        assert_eq!(
            on_socket("connect", &[3, 0, 110], 0, unix),
            format!("connect(3, {{sa_family=AF_UNIX, sun_path={shown}}}, 110) = 0")
        );
    }
    assert_eq!(
        on_socket("connect", &[3, 0, 16], -97, Socket::default()),
        "connect(3, ..., 16) = -1 EAFNOSUPPORT (Address family not supported by protocol)"
    );
}

#[test]
fn a_directory_fd_with_an_empty_path_shows_its_file() {
    let stat = Call {
        path: Some("/etc/hosts"),
        path_arg: Some(""),
        ..call("newfstatat", &[3, 0, 0, 0x1000], 0)
    };
    assert_eq!(
        stat.to_string(),
        r#"newfstatat(3</etc/hosts>, "", ..., AT_EMPTY_PATH) = 0"#
    );
}
