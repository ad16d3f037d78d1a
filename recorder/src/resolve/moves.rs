//! Processes that leave the cgroup of their container, or come into that of a container from outside.

use ctrace_schema::text::escape;

use crate::records::decode::{Head, MoveRecord};
use crate::resolve::Resolver;
use crate::resolve::definitions::BatchIndex;
use crate::resolve::threads::Identity;
use crate::rows::batch::{EventDetail, EventKind, MoveDetail, Row};
use crate::wire::types::move_flag;

/// The number of processes whose last cgroup is remembered.
const MAX_MOVED: usize = 4096;

impl Resolver {
    /// Handles a move.
    pub(super) fn moved(&mut self, head: Head, moved: &MoveRecord<'_>) {
        let to = escape(moved.path).into_owned();
        // A container may have a cgroup in each of two hierarchies.
        let is_same = self.registry.is_same(moved.from, moved.to);
        let has = |flag: move_flag| {
            u32::from(head.flags) & flag.0 != 0 && !(is_same && flag == move_flag::MOVE_LEFT)
        };
        // The cgroup of a process of the host is not known.
        let own = has(move_flag::MOVE_LEFT).then(|| self.registry.path(moved.from));
        let earlier = self.moved_to.get(&moved.pid).map(String::as_str);
        let from = earlier.or(own.flatten()).map(str::to_string);
        for (flag, action, container) in [
            (move_flag::MOVE_LEFT, "left", moved.from),
            (move_flag::MOVE_ENTERED, "entered", moved.to),
        ] {
            if has(flag) {
                self.push_move(head, moved, (action, container), (from.as_deref(), &to));
            }
        }
        if has(move_flag::MOVE_LEFT) {
            if self.moved_to.len() >= MAX_MOVED {
                self.moved_to.clear();
            }
            self.moved_to.insert(moved.pid, to);
        }
    }

    /// Adds a row of `container` about a move between two paths.
    fn push_move(
        &mut self,
        head: Head,
        moved: &MoveRecord<'_>,
        (action, container): (&'static str, u64),
        (from, to): (Option<&str>, &str),
    ) {
        let known = self.threads.get(head.tid.into());
        let known = known.map(|thread| &thread.identity);
        let known = known.filter(|known| known.pid == moved.pid);
        let mut identity = Identity {
            cgroup: container,
            pid: moved.pid,
            ppid: moved.ppid,
            ns_pid: moved.ns_pid,
            uid: moved.uid,
            comm: escape(moved.comm).into(),
            exe: known.and_then(|known| known.exe.clone()),
            arrival: known.and_then(|known| known.arrival),
            batch_index: BatchIndex::default(),
        };
        let mut row = Row::new(self.clock.wall(head.time), EventKind::Container);
        let (batch, registry) = (&mut self.batch, &mut self.registry);
        row.task = identity.index(head.tid, self.generation, batch, registry);
        let detail = MoveDetail {
            from: batch.strings.intern_opt(from),
            to: batch.strings.intern(to),
        };
        let detail = EventDetail {
            container: registry.index(container),
            action,
            moved: Some(Box::new(detail)),
            ..EventDetail::default()
        };
        batch.push_event(row, detail);
    }
}
