//! Events as the resolver creates them: small rows, and lists of the values that repeat.
//!
//! A row takes 48 bytes and its arguments, and no allocation: strings, threads, files and sockets are stored once per
//! batch, and rows refer to them by index. [`crate::rows::columns`] presents a batch as columns.
//!
//! A batch that fills slowly is cut into parts, so that its rows reach the journal early. The encoder joins the parts
//! again ([`Batch::cut_part`], [`Batch::join`]).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::containers::facts::ContainerFacts;

/// Index of a string in [`Batch::strings`]; [`NONE`] is null.
pub(crate) type StringIndex = u32;
/// The null index: no string, no task, no object.
pub(crate) const NONE: u32 = u32::MAX;

/// A thread at the time of an event. The fields are named after the columns.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Index of the thread's container in the resolver's list. The name is looked up when the batch is encoded.
    pub(crate) container: u32,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) ppid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: StringIndex,
    pub(crate) exe: StringIndex,
    /// None: not known.
    pub(crate) arrival: Option<Arrival>,
}

/// The way in which a thread came into its container. The fields are named after the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Inode number of the thread's mount namespace; 0: none.
    pub(crate) mount_ns: u32,
    pub(crate) setup: bool,
    pub(crate) entered: bool,
}

/// A file or socket that an fd or a path refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) path: StringIndex,
    pub(crate) host_path: StringIndex,
    /// Device, `major:minor`; null for a socket.
    pub(crate) dev: StringIndex,
    pub(crate) inode: Option<u64>,
    /// Index in [`Batch::endpoints`]; null for a file.
    pub(crate) endpoints: u32,
}

/// The local and the remote end of a socket. The fields are named after the columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    pub(crate) family: StringIndex,
    pub(crate) protocol: StringIndex,
    pub(crate) local_addr: StringIndex,
    pub(crate) local_port: Option<u16>,
    pub(crate) peer_addr: StringIndex,
    pub(crate) peer_port: Option<u16>,
    pub(crate) peer_path: StringIndex,
    pub(crate) dns_name: StringIndex,
}

/// Columns that only some calls have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CallDetail {
    /// Path of the call, for a row whose object has none.
    pub(crate) path: StringIndex,
    pub(crate) path_arg: StringIndex,
    pub(crate) path2: StringIndex,
    /// Device and inode number of the file at `path2`, if it is that of a second fd.
    pub(crate) dev2: StringIndex,
    pub(crate) inode2: Option<u64>,
    pub(crate) argv: StringIndex,
    pub(crate) exe_origin: StringIndex,
    pub(crate) child_pid: Option<i32>,
    /// The fd of the row's object, if the fd is not the usual argument.
    pub(crate) fd: Option<i32>,
    /// Flags of a call that receives them in a struct.
    pub(crate) flags: Option<i64>,
    pub(crate) mode: Option<i32>,
    /// Number of transferred bytes of a call whose result is something else.
    pub(crate) bytes: Option<i64>,
    /// Error that getsockopt(SO_ERROR) returned.
    pub(crate) socket_error: StringIndex,
}

impl CallDetail {
    pub(crate) const NONE: CallDetail = CallDetail {
        path: NONE,
        path_arg: NONE,
        path2: NONE,
        dev2: NONE,
        inode2: None,
        argv: NONE,
        exe_origin: NONE,
        child_pid: None,
        fd: None,
        flags: None,
        mode: None,
        bytes: None,
        socket_error: NONE,
    };
}

/// Columns of a row that is not about a call. The fields are named after the columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventDetail {
    /// Index of the container, for a row without a task.
    pub(crate) container: u32,
    pub(crate) action: &'static str,
    pub(crate) class: &'static str,
    pub(crate) exit_code: Option<i32>,
    pub(crate) exit_signal: Option<i32>,
    /// Value of the column `reason`; empty: null.
    pub(crate) reason: &'static str,
    /// Start of a container or process that ran before the recording, ns since 1970 UTC.
    pub(crate) started: Option<i64>,
    /// Arguments of a process that ran before the recording; `None`: null.
    pub(crate) argv: Option<StringIndex>,
    pub(crate) lost: Option<i64>,
    pub(crate) cpu: Option<i32>,
    pub(crate) counted: Option<Box<CallCounts>>,
    pub(crate) connection: Option<Box<ConnectionDetail>>,
    pub(crate) signal: Option<Box<SignalDetail>>,
    pub(crate) moved: Option<Box<MoveDetail>>,
    pub(crate) dns: Option<Box<DnsDetail>>,
}

/// Counts of the calls of one thread name and syscall, for a row of kind `counts`.
#[derive(Clone, Debug)]
pub(crate) struct CallCounts {
    pub(crate) comm: StringIndex,
    pub(crate) calls: i64,
    pub(crate) errors: i64,
    pub(crate) bytes: i64,
    pub(crate) latency: StringIndex,
}

/// Columns of a row about a TCP connection. The fields are named after the columns.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionDetail {
    /// `in` or `out`; empty: null.
    pub(crate) direction: &'static str,
    pub(crate) error: StringIndex,
    pub(crate) lifetime: Option<i64>,
    pub(crate) bytes_sent: Option<i64>,
    pub(crate) bytes_received: Option<i64>,
    pub(crate) rtt: Option<i64>,
    pub(crate) retransmits: Option<i64>,
}

/// Columns of a row about a query to a name server.
#[derive(Clone, Debug)]
pub(crate) struct DnsDetail {
    pub(crate) ty: StringIndex,
    pub(crate) code: StringIndex,
    pub(crate) answers: StringIndex,
    /// Error of the call with which the wait for the answer ended.
    pub(crate) error: StringIndex,
}

/// Columns of a row about a process that has gone to another cgroup.
#[derive(Clone, Debug)]
pub(crate) struct MoveDetail {
    pub(crate) from: StringIndex,
    pub(crate) to: StringIndex,
}

/// Columns of a row about a signal.
#[derive(Clone, Debug)]
pub(crate) struct SignalDetail {
    pub(crate) number: i32,
    pub(crate) sender_pid: Option<i32>,
    pub(crate) sender_comm: StringIndex,
    /// Index of the sender's container.
    pub(crate) sender: Option<u32>,
    pub(crate) memory_limit: Option<i64>,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// A system call or an io_uring operation.
    Syscall,
    /// The exit of a process.
    Process,
    /// A container started or stopped.
    Container,
    /// Events were lost.
    Gap,
    /// Calls that were counted in the kernel instead of being recorded one by one.
    Counts,
    /// A TCP connection was established, or has ended.
    Connection,
    /// A signal was sent.
    Signal,
    /// A query to a name server was answered, or not.
    Dns,
}

impl EventKind {
    /// Returns the value of the column `kind`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EventKind::Syscall => "syscall",
            EventKind::Process => "process",
            EventKind::Container => "container",
            EventKind::Gap => "gap",
            EventKind::Counts => "counts",
            EventKind::Connection => "connection",
            EventKind::Signal => "signal",
            EventKind::Dns => "dns",
        }
    }
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Wall clock time, ns since 1970 UTC.
    pub(crate) time: i64,
    /// Duration, ns. `flags` says whether it is known.
    pub(crate) duration: u64,
    /// Result of a call. `flags` says whether it is known.
    pub(crate) ret: i64,
    /// Index in [`Batch::tasks`].
    pub(crate) task: u32,
    /// Index in [`Batch::objects`].
    pub(crate) object: u32,
    /// Index in [`Batch::call_details`] for a call, in [`Batch::event_details`] for all other kinds.
    pub(crate) detail: u32,
    /// Index of the first argument in [`Batch::args`].
    pub(crate) args: u32,
    pub(crate) arg_count: u8,
    pub(crate) kind: EventKind,
    /// Bits `SYS_*` of `bpf/wire.h`.
    pub(crate) flags: u8,
    /// Syscall number.
    pub(crate) call: u16,
}

impl Row {
    /// Creates a row with a time and a kind, all else null or 0.
    pub(crate) fn new(time: i64, kind: EventKind) -> Row {
        Row {
            time,
            duration: 0,
            ret: 0,
            task: NONE,
            object: NONE,
            detail: NONE,
            args: 0,
            arg_count: 0,
            kind,
            flags: 0,
            call: 0,
        }
    }
}

/// Interned strings: each is stored once.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    pub(crate) list: Vec<Arc<str>>,
    index: FxHashMap<Arc<str>, StringIndex>,
    bytes: usize,
}

impl Strings {
    /// Returns the index of `text`, and adds `text` if it is new.
    pub(crate) fn intern(&mut self, text: &str) -> StringIndex {
        if let Some(&i) = self.index.get(text) {
            return i;
        }
        self.push(text.into())
    }

    /// Does the same as [`Strings::intern`] without copying the text.
    pub(crate) fn intern_shared(&mut self, text: &Arc<str>) -> StringIndex {
        if let Some(&i) = self.index.get(text) {
            return i;
        }
        self.push(text.clone())
    }

    /// Returns the strings from `from` on, without the index that finds them by text.
    fn tail(&self, from: usize) -> Strings {
        let list = self.list[from..].to_vec();
        Strings {
            bytes: list.iter().map(|text| text.len()).sum(),
            list,
            ..Strings::default()
        }
    }

    /// Returns the memory use in bytes: the texts, and 128 bytes for each one's allocation and entries in the list and
    /// the hash table.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.list.len() * 128
    }

    fn push(&mut self, text: Arc<str>) -> StringIndex {
        self.bytes += text.len();
        let i = self.list.len() as StringIndex;
        self.list.push(text.clone());
        self.index.insert(text, i);
        i
    }

    /// Returns the index of `text`, if `text` is interned and not empty.
    pub(crate) fn get(&self, text: &str) -> Option<StringIndex> {
        self.index.get(text).copied().filter(|_| !text.is_empty())
    }

    /// Returns the index of `text` as [`Strings::intern`] does, and [`NONE`] for `None`.
    pub(crate) fn intern_opt(&mut self, text: Option<&str>) -> StringIndex {
        text.map_or(NONE, |text| self.intern(text))
    }
}

/// The machine and its boot, which are the same in all rows of a recording.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boot {
    pub(crate) host: String,
    /// Value of the column `boot_id`; `None`: not known.
    pub(crate) id: Option<String>,
}

impl Boot {
    /// Creates the boot `id` of the machine `host`. An empty `id` is unknown.
    pub(crate) fn new(host: &str, id: &str) -> Boot {
        Boot {
            host: host.to_string(),
            id: (!id.is_empty()).then(|| id.to_string()),
        }
    }
}

/// The name of a container, its facts, and whether the container is recorded, at the time when a batch is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerName {
    /// Value of the column `container`.
    pub(crate) name: Option<String>,
    /// Value of the column `container_id`.
    pub(crate) id: Option<String>,
    /// The facts about the container; `None`: no container.
    pub(crate) facts: Option<Arc<ContainerFacts>>,
    /// True if the container passes the filters: rows of others are dropped.
    pub(crate) recorded: bool,
}

/// Rows of events, and the lists that they refer to by index.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Lengths that have been cut off each list in parts.
    pub(crate) cut: CutLengths,
    /// Rows in the order in which their events ended.
    pub(crate) rows: Vec<Row>,
    /// Sequence number of the first row.
    pub(crate) first_seq: u64,
    /// Arguments of calls that are plain values, as they were in the registers.
    pub(crate) args: Vec<u64>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) objects: Vec<Object>,
    /// Addresses of the sockets in `objects`.
    pub(crate) endpoints: Vec<Endpoints>,
    pub(crate) call_details: Vec<CallDetail>,
    pub(crate) event_details: Vec<EventDetail>,
    /// Strings that rows and all other lists refer to.
    pub(crate) strings: Strings,
}

/// Lengths of the lists that a batch has cut off in parts. Rows, arguments and details leave the batch with their part;
/// the other lists stay whole until the batch ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CutLengths {
    pub(crate) rows: usize,
    pub(crate) args: usize,
    pub(crate) call_details: usize,
    pub(crate) event_details: usize,
    pub(crate) tasks: usize,
    pub(crate) objects: usize,
    pub(crate) endpoints: usize,
    pub(crate) strings: usize,
}

impl Batch {
    /// Returns the approximate memory use in bytes, without the parts that were cut off.
    pub(crate) fn bytes(&self) -> usize {
        fn list<T>(list: &[T]) -> usize {
            size_of_val(list)
        }
        let lists = list(&self.rows) + list(&self.args) + list(&self.tasks) + list(&self.objects);
        let rare = list(&self.endpoints) + list(&self.call_details) + list(&self.event_details);
        lists + rare + self.strings.bytes()
    }

    /// Returns the approximate memory use in bytes, including the parts that were cut off.
    pub(crate) fn whole_bytes(&self) -> usize {
        let CutLengths {
            rows,
            args,
            call_details,
            event_details,
            ..
        } = self.cut;
        let cut = rows * size_of::<Row>() + args * size_of::<u64>();
        self.bytes()
            + cut
            + call_details * size_of::<CallDetail>()
            + event_details * size_of::<EventDetail>()
    }

    /// Returns the number of rows, including the parts that were cut off.
    pub(crate) fn len(&self) -> usize {
        self.cut.rows + self.rows.len()
    }

    /// Cuts off everything that was added since the last cut, to be joined again with [`Batch::join`].
    pub(crate) fn cut_part(&mut self) -> Batch {
        let cut = self.cut;
        let part = Batch {
            cut,
            rows: std::mem::take(&mut self.rows),
            first_seq: self.first_seq + cut.rows as u64,
            args: std::mem::take(&mut self.args),
            tasks: self.tasks[cut.tasks..].to_vec(),
            objects: self.objects[cut.objects..].to_vec(),
            endpoints: self.endpoints[cut.endpoints..].to_vec(),
            call_details: std::mem::take(&mut self.call_details),
            event_details: std::mem::take(&mut self.event_details),
            strings: self.strings.tail(cut.strings),
        };
        self.cut = CutLengths {
            rows: cut.rows + part.rows.len(),
            args: cut.args + part.args.len(),
            call_details: cut.call_details + part.call_details.len(),
            event_details: cut.event_details + part.event_details.len(),
            tasks: self.tasks.len(),
            objects: self.objects.len(),
            endpoints: self.endpoints.len(),
            strings: self.strings.list.len(),
        };
        part
    }

    /// Appends the part that follows.
    pub(crate) fn join(&mut self, part: Batch) {
        if self.rows.is_empty() {
            *self = part;
            return;
        }
        self.rows.extend(part.rows);
        self.args.extend(part.args);
        self.tasks.extend(part.tasks);
        self.objects.extend(part.objects);
        self.endpoints.extend(part.endpoints);
        self.call_details.extend(part.call_details);
        self.event_details.extend(part.event_details);
        self.strings.list.extend(part.strings.list);
    }

    /// Appends the part that follows, and returns the rows of that part as a batch. The batch borrows the other lists
    /// of `self` until [`Batch::take_back`].
    pub(crate) fn lend(&mut self, part: Batch) -> Batch {
        let before = self.args.len() as u32;
        let rebase = |row: &Row| Row {
            args: row.args.saturating_sub(before),
            ..*row
        };
        let rows = part.rows.iter().map(rebase).collect();
        let (args, first_seq) = (part.args.clone(), part.first_seq);
        self.join(part);
        Batch {
            cut: CutLengths {
                strings: self.strings.list.len(),
                ..CutLengths::default()
            },
            rows,
            first_seq,
            args,
            tasks: std::mem::take(&mut self.tasks),
            objects: std::mem::take(&mut self.objects),
            endpoints: std::mem::take(&mut self.endpoints),
            call_details: std::mem::take(&mut self.call_details),
            event_details: std::mem::take(&mut self.event_details),
            strings: Strings {
                list: std::mem::take(&mut self.strings.list),
                ..Strings::default()
            },
        }
    }

    /// Takes back the lists that [`Batch::lend`] lent, without the strings that were added meanwhile.
    pub(crate) fn take_back(&mut self, mut lent: Batch) {
        lent.strings.list.truncate(lent.cut.strings);
        self.tasks = lent.tasks;
        self.objects = lent.objects;
        self.endpoints = lent.endpoints;
        self.call_details = lent.call_details;
        self.event_details = lent.event_details;
        self.strings.list = lent.strings.list;
    }

    /// Returns the class, cause and number of lost events, if `row` is a gap row.
    pub(crate) fn lost(&self, row: &Row) -> Option<(&'static str, &'static str, u64)> {
        if row.kind != EventKind::Gap {
            return None;
        }
        let detail = self.event_detail(row)?;
        Some((detail.class, detail.action, detail.lost? as u64))
    }

    /// Stores the arguments of `row`.
    pub(crate) fn set_args(&mut self, row: &mut Row, args: impl Iterator<Item = u64>) {
        let before = self.args.len();
        row.args = (self.cut.args + before) as u32;
        self.args.extend(args);
        row.arg_count = (self.args.len() - before) as u8;
    }

    /// Returns the arguments of a row that has not been cut off.
    pub(crate) fn args_of(&self, row: &Row) -> &[u64] {
        let from = (row.args as usize).saturating_sub(self.cut.args);
        let args = self.args.get(from..from + usize::from(row.arg_count));
        args.unwrap_or_default()
    }

    /// Appends a row that is not about a call.
    pub(crate) fn push_event(&mut self, mut row: Row, detail: EventDetail) {
        row.detail = (self.cut.event_details + self.event_details.len()) as u32;
        self.event_details.push(detail);
        self.rows.push(row);
    }

    /// Stores the columns of `row` that only some calls have.
    pub(crate) fn set_call_detail(&mut self, row: &mut Row, detail: CallDetail) {
        row.detail = (self.cut.call_details + self.call_details.len()) as u32;
        self.call_details.push(detail);
    }

    /// Returns the detail of a row that is not about a call.
    pub(crate) fn event_detail(&self, row: &Row) -> Option<&EventDetail> {
        match row.kind {
            EventKind::Syscall => None,
            _ => self
                .event_details
                .get((row.detail as usize).checked_sub(self.cut.event_details)?),
        }
    }

    /// Returns the index of the container of `row`. A call of a thread that was never defined gets 0, the host.
    pub(crate) fn container(&self, row: &Row) -> u32 {
        match (self.tasks.get(row.task as usize), self.event_detail(row)) {
            (Some(task), _) => task.container,
            (None, Some(detail)) => detail.container,
            (None, None) => 0,
        }
    }
}
