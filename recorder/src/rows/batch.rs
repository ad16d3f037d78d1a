//! Events, as the resolver makes them: small rows, and lists of what repeats.
//!
//! A row costs 48 bytes and its arguments, and no allocation: strings, threads, files and sockets are kept once and
//! referred to by index. [`crate::rows::columns`] makes Arrow columns of them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::containers::facts::ContainerFacts;

/// Index of a string in [`Batch::strings`]; `NONE`: null.
pub(crate) type StringIndex = u32;
/// No string, no task, no file: null.
pub(crate) const NONE: u32 = u32::MAX;

/// A thread, as it was when it did something.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Index of its container in the resolver's list; it gets its name when the batch is encoded.
    pub(crate) container: u32,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) ppid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: StringIndex,
    pub(crate) exe: StringIndex,
}

/// What an fd or a path refers to: a file, or a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) path: StringIndex,
    /// Device, `major:minor`. A socket has none.
    pub(crate) dev: StringIndex,
    pub(crate) inode: Option<u64>,
    /// Index in [`Batch::endpoints`], of a socket.
    pub(crate) endpoints: u32,
}

/// The two endpoints of a socket.
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

/// What only some calls have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CallDetail {
    /// Counts where the row's object has no path.
    pub(crate) path: StringIndex,
    pub(crate) path_arg: StringIndex,
    pub(crate) path2: StringIndex,
    pub(crate) argv: StringIndex,
    pub(crate) child_pid: Option<i32>,
    /// Of a call that takes its flags in a struct.
    pub(crate) flags: Option<i64>,
    pub(crate) mode: Option<i32>,
    /// Of a call that moved several messages.
    pub(crate) bytes: Option<i64>,
}

impl CallDetail {
    /// Nothing.
    pub(crate) const NONE: CallDetail = CallDetail {
        path: NONE,
        path_arg: NONE,
        path2: NONE,
        argv: NONE,
        child_pid: None,
        flags: None,
        mode: None,
        bytes: None,
    };
}

/// What a row says that is not about a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventDetail {
    /// Of a row that has no task: index of its container.
    pub(crate) container: u32,
    pub(crate) action: &'static str,
    pub(crate) class: &'static str,
    pub(crate) exit_code: Option<i32>,
    pub(crate) exit_signal: Option<i32>,
    pub(crate) description: Option<Box<ContainerFacts>>,
    pub(crate) lost: Option<i64>,
    pub(crate) cpu: Option<i32>,
    pub(crate) counted: Option<Box<CallCounts>>,
}

/// What a row of kind `counts` says of the calls of one thread name and syscall.
#[derive(Clone, Debug)]
pub(crate) struct CallCounts {
    pub(crate) comm: StringIndex,
    pub(crate) calls: i64,
    pub(crate) errors: i64,
    pub(crate) bytes: i64,
    pub(crate) latency: StringIndex,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// A call.
    Syscall,
    /// The exit of a process.
    Process,
    /// A container came or went.
    Container,
    /// Events were lost.
    Gap,
    /// Calls that were counted.
    Counts,
}

impl EventKind {
    /// The value of the column `kind`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EventKind::Syscall => "syscall",
            EventKind::Process => "process",
            EventKind::Container => "container",
            EventKind::Gap => "gap",
            EventKind::Counts => "counts",
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Wall clock, ns since 1970 UTC.
    pub(crate) time: i64,
    /// How long it took, ns; whether that is known, the flags say.
    pub(crate) duration: u64,
    /// Result of a call, likewise.
    pub(crate) ret: i64,
    /// Index in [`Batch::tasks`].
    pub(crate) task: u32,
    /// Index in [`Batch::objects`].
    pub(crate) object: u32,
    /// Index in [`Batch::call_details`] of a call, else in [`Batch::event_details`].
    pub(crate) detail: u32,
    /// Where its arguments begin in [`Batch::args`].
    pub(crate) args: u32,
    /// How many it has.
    pub(crate) arg_count: u8,
    /// What it is about.
    pub(crate) kind: EventKind,
    /// `SYS_*` of `bpf/wire.h`.
    pub(crate) flags: u8,
    /// Number of the call.
    pub(crate) call: u16,
}

impl Row {
    /// A row with nothing in it but when and what.
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

/// Strings, each once.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// By index.
    pub(crate) list: Vec<Arc<str>>,
    index: FxHashMap<Arc<str>, StringIndex>,
    bytes: usize,
}

impl Strings {
    /// The index of `text`, which is added if it is new.
    pub(crate) fn intern(&mut self, text: &str) -> StringIndex {
        if let Some(&i) = self.index.get(text) {
            return i;
        }
        self.push(text.into())
    }

    /// Like [`Strings::intern`], without a copy.
    pub(crate) fn intern_shared(&mut self, text: &Arc<str>) -> StringIndex {
        if let Some(&i) = self.index.get(text) {
            return i;
        }
        self.push(text.clone())
    }

    /// Those from `from` on, without their index.
    fn tail(&self, from: usize) -> Strings {
        let list = self.list[from..].to_vec();
        Strings {
            bytes: list.iter().map(|text| text.len()).sum(),
            list,
            ..Strings::default()
        }
    }

    /// Bytes of memory that they take: the text, what is allocated with it, and its places in the list and the table.
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

    /// The index of `text`, if it is there and not empty.
    pub(crate) fn get(&self, text: &str) -> Option<StringIndex> {
        self.index.get(text).copied().filter(|_| !text.is_empty())
    }

    /// Like [`Strings::intern`], of text that may not be there.
    pub(crate) fn intern_opt(&mut self, text: Option<&str>) -> StringIndex {
        text.map_or(NONE, |text| self.intern(text))
    }
}

/// What the encoder needs to know of a container when it writes a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerName {
    /// The value of the column `container`.
    pub(crate) name: Option<String>,
    /// The value of `container_id`.
    pub(crate) id: Option<String>,
    /// Whether its rows are kept.
    pub(crate) recorded: bool,
}

/// Events on their way to the encoder.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// How much of each list has been handed on in parts.
    pub(crate) cut: CutLengths,
    /// In the order in which they finished.
    pub(crate) rows: Vec<Row>,
    /// Sequence number of the first row.
    pub(crate) first_seq: u64,
    /// Arguments of calls, those that are values, as they were in the registers.
    pub(crate) args: Vec<u64>,
    /// Threads that rows refer to.
    pub(crate) tasks: Vec<Task>,
    /// Files and sockets that rows refer to.
    pub(crate) objects: Vec<Object>,
    /// Addresses that sockets refer to.
    pub(crate) endpoints: Vec<Endpoints>,
    /// What only some calls have.
    pub(crate) call_details: Vec<CallDetail>,
    /// What rows say that are not about calls.
    pub(crate) event_details: Vec<EventDetail>,
    /// Strings that all of these refer to.
    pub(crate) strings: Strings,
}

/// Lengths of what a batch has handed on in parts. Rows, arguments, call_details and event_details are not in it any more; its other
/// lists are whole as long as it is filled.
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
    /// Bytes of memory that it takes, about; of what was handed on in parts nothing.
    pub(crate) fn bytes(&self) -> usize {
        fn list<T>(list: &[T]) -> usize {
            size_of_val(list)
        }
        let lists = list(&self.rows) + list(&self.args) + list(&self.tasks) + list(&self.objects);
        let rare = list(&self.endpoints) + list(&self.call_details) + list(&self.event_details);
        lists + rare + self.strings.bytes()
    }

    /// The same, with what was handed on in parts.
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

    /// How many rows it has, those that were handed on included.
    pub(crate) fn len(&self) -> usize {
        self.cut.rows + self.rows.len()
    }

    /// What has been added since the last time, for [`Batch::join`].
    pub(crate) fn part(&mut self) -> Batch {
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

    /// Adds the part that follows.
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

    /// Adds the part that follows, and lends its rows as a batch that has the other lists of this one until
    /// [`Batch::take_back`].
    pub(crate) fn lend(&mut self, part: Batch) -> Batch {
        let before = self.args.len() as u32;
        let alone = |row: &Row| Row {
            args: row.args.saturating_sub(before),
            ..*row
        };
        let rows = part.rows.iter().map(alone).collect();
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

    /// Takes the lists back that were lent, without the words that were added meanwhile.
    pub(crate) fn take_back(&mut self, mut lent: Batch) {
        lent.strings.list.truncate(lent.cut.strings);
        self.tasks = lent.tasks;
        self.objects = lent.objects;
        self.endpoints = lent.endpoints;
        self.call_details = lent.call_details;
        self.event_details = lent.event_details;
        self.strings.list = lent.strings.list;
    }

    /// The class of the events that a gap row says were lost, why, and how many.
    pub(crate) fn lost(&self, row: &Row) -> Option<(&'static str, &'static str, u64)> {
        if row.kind != EventKind::Gap {
            return None;
        }
        let note = self.event_detail(row)?;
        Some((note.class, note.action, note.lost? as u64))
    }

    /// Gives `row` its arguments.
    pub(crate) fn set_args(&mut self, row: &mut Row, args: impl Iterator<Item = u64>) {
        let before = self.args.len();
        row.args = (self.cut.args + before) as u32;
        self.args.extend(args);
        row.arg_count = (self.args.len() - before) as u8;
    }

    /// Adds a row that is not about a call.
    pub(crate) fn push_event(&mut self, mut row: Row, note: EventDetail) {
        row.detail = (self.cut.event_details + self.event_details.len()) as u32;
        self.event_details.push(note);
        self.rows.push(row);
    }

    /// Gives `row` what only some calls have.
    pub(crate) fn set_call_detail(&mut self, row: &mut Row, call_details: CallDetail) {
        row.detail = (self.cut.call_details + self.call_details.len()) as u32;
        self.call_details.push(call_details);
    }

    /// The note of a row that is not about a call.
    pub(crate) fn event_detail(&self, row: &Row) -> Option<&EventDetail> {
        match row.kind {
            EventKind::Syscall => None,
            _ => self
                .event_details
                .get((row.detail as usize).checked_sub(self.cut.event_details)?),
        }
    }

    /// Index of the container that a row is of. That of the host, 0, for a call of a thread that was never defined.
    pub(crate) fn container(&self, row: &Row) -> u32 {
        match (self.tasks.get(row.task as usize), self.event_detail(row)) {
            (Some(task), _) => task.container,
            (None, Some(note)) => note.container,
            (None, None) => 0,
        }
    }
}
