//! The columns that identify events, processes, containers and addresses.
//!
//! | entity | is identified by |
//! |---|---|
//! | an event | host, boot, `seq` |
//! | a process | host, boot, pid, and the time at which the process started |
//! | a container | host and id; name, pod and namespace are shown, and are not unique |
//! | a socket or an address | host, boot, container, and the time at which the container had it |
//! | a file | host, boot, device and inode |
//!
//! A boot id says which boot of the machine an event is from. It is null in recordings without the id. Recorders of one
//! boot each count `seq` from 0; [`crate::meta::KEY_RUN`], or else the time of the event, distinguishes their events.

/// The kinds of entities that rows describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// One event, or one row of counts or losses.
    Event,
    /// A process, from its fork to its exit.
    Process,
    /// A container.
    Container,
    /// A socket of a container.
    Socket,
    /// A pair of containers.
    Pair,
}

/// The columns that identify a boot of a machine.
pub const BOOT: &[&str] = &["host", "boot_id"];

impl Entity {
    /// Returns the columns that identify an entity. Tables of such entities have these columns.
    pub fn key(self) -> &'static [&'static str] {
        match self {
            Entity::Event => &["host", "boot_id", "time"],
            Entity::Process => &["host", "boot_id", "pid", "started", "first_seen"],
            Entity::Container => &["host", "container_id"],
            Entity::Socket => &["host", "boot_id", "container_id", "first_seen"],
            Entity::Pair => &["source_host", "source_id", "target_host", "target_id"],
        }
    }
}
