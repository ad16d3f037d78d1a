//! TCP connections: rows that say when a connection was established, and how it ended.

use crate::records::decode::{ConnectionEnds, ConnectionEvent, ConnectionRecord, Head};
use crate::resolve::Resolver;
use crate::resolve::sockets::definition_of_ends;
use crate::resolve::threads::Owner;
use crate::rows::batch::{ConnectionDetail, EventDetail, EventKind, Row};
use crate::wire::types::connection_flag;

/// States of net/tcp_states.h that a connection leaves without a handshake of its end: this end gives it up.
const TCP_ESTABLISHED: u8 = 1;
const TCP_SYN_SENT: u8 = 2;
const TCP_SYN_RECV: u8 = 3;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_CLOSE_WAIT: u8 = 8;

fn has(head: Head, flag: connection_flag) -> bool {
    u32::from(head.flags) & flag.0 != 0
}

/// Returns whether a connection that has ended in `state` had been established. A connection whose beginning was not seen
/// has no flags.
fn was_established(head: Head, state: u8) -> bool {
    has(head, connection_flag::CONNECTION_WAS_ESTABLISHED)
        || !has(head, connection_flag::CONNECTION_OUT)
            && ![TCP_SYN_SENT, TCP_SYN_RECV].contains(&state)
}

/// Returns the boot time at which a connection began or was established, ns; that of the record if neither was seen.
fn since(head: Head, record: &ConnectionRecord) -> u64 {
    match record.since {
        0 => head.time,
        since => since,
    }
}

/// Returns the column `action` of a connection that could not be established.
fn failure(error: i32) -> &'static str {
    match error {
        0 => "abandoned",
        libc::ECONNREFUSED => "refused",
        libc::ETIMEDOUT => "timed out",
        _ => "failed",
    }
}

/// Returns the column `action` of an established connection that ended in `state`.
fn end(error: i32, state: u8) -> &'static str {
    match error {
        libc::ECONNRESET | libc::EPIPE => "reset",
        libc::ETIMEDOUT => "timed out",
        _ if ![TCP_ESTABLISHED, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_CLOSE_WAIT].contains(&state) => {
            "closed"
        }
        0 => "aborted",
        _ => "failed",
    }
}

impl Resolver {
    /// Handles an event of a connection.
    pub(super) fn connection(&mut self, head: Head, record: &ConnectionRecord) {
        match &record.event {
            ConnectionEvent::Owned => self.own_connection(head.tid, record.key),
            ConnectionEvent::Established(ends) => {
                if self.connections.get(record.key).is_none() {
                    self.own_connection(head.tid, record.key);
                }
                let row = self.established(head, since(head, record));
                self.push_connection(row, "established", head, record, ends);
            }
            ConnectionEvent::Ended(ends) => {
                let error = ends.error.into();
                if was_established(head, ends.state) {
                    let row = Row::new(self.clock.wall(head.time), EventKind::Connection);
                    self.push_connection(row, end(error, ends.state), head, record, ends);
                } else {
                    let row = self.span(head.time, since(head, record));
                    self.push_connection(row, failure(error), head, record, ends);
                    // The thread may be in the call that has failed.
                    if let Some(thread) = self.threads.get_mut(head.tid.into()) {
                        let failed = definition_of_ends(ends.inode, &ends.ends).failed();
                        thread.failed = Some(Box::new(failed));
                    }
                }
                self.connections.remove(record.key);
            }
        }
    }

    /// Stores the thread `tid` as the owner of a connection.
    fn own_connection(&mut self, tid: u32, key: u64) {
        let Some(thread) = self.threads.get(tid.into()) else {
            return;
        };
        let identity = thread.identity.clone();
        self.connections.put(key, Owner { tid, identity }, 0);
        if self.connections.is_full() {
            self.connections.age();
        }
    }

    /// Returns the row of a connection that was established: the span of the handshake, or the instant at which the
    /// kernel accepted the connection.
    fn established(&self, head: Head, since: u64) -> Row {
        match has(head, connection_flag::CONNECTION_OUT) {
            true => self.span(head.time, since),
            false => Row::new(self.clock.wall(since), EventKind::Connection),
        }
    }

    /// Returns the row of a span of boot time.
    fn span(&self, until: u64, since: u64) -> Row {
        let mut row = Row::new(self.clock.wall(since), EventKind::Connection);
        row.duration = until.saturating_sub(since);
        row
    }

    /// Adds the row of an event of a connection.
    fn push_connection(
        &mut self,
        mut row: Row,
        action: &'static str,
        head: Head,
        record: &ConnectionRecord,
        ends: &ConnectionEnds,
    ) {
        let container = self.registry.index(record.cgroup);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        if let Some(Owner { tid, identity }) = self.connections.get_mut(record.key) {
            row.task = identity.index(*tid, self.generation, batch, registry);
        }
        let mut socket = definition_of_ends(ends.inode, &ends.ends);
        socket.resolve_peer(|peer| self.dns_names.name(container, peer, row.time));
        row.object = socket.push_to(batch) as u32;
        let ended = matches!(record.event, ConnectionEvent::Ended(_));
        let had_bytes = ended && was_established(head, ends.state);
        let at_end = |value: u64| had_bytes.then_some(value as i64);
        let error = (ends.error != 0).then(|| ctrace_schema::errno::name(ends.error.into()));
        let detail = ConnectionDetail {
            direction: if has(head, connection_flag::CONNECTION_OUT) {
                "out"
            } else if has(head, connection_flag::CONNECTION_IN) {
                "in"
            } else {
                ""
            },
            error: batch.strings.intern_opt(error.flatten()),
            lifetime: at_end(head.time.saturating_sub(record.since)).filter(|_| record.since > 0),
            bytes_sent: at_end(ends.bytes_sent),
            bytes_received: at_end(ends.bytes_received),
            rtt: at_end(u64::from(ends.rtt) * 125).filter(|rtt| *rtt > 0),
            retransmits: ended.then_some(ends.retransmits.into()),
        };
        let detail = EventDetail {
            container,
            action,
            class: "network",
            connection: Some(Box::new(detail)),
            ..EventDetail::default()
        };
        batch.push_event(row, detail);
    }
}
