//! Events, as the resolver makes them: small rows, and lists of what repeats.
//!
//! A row costs 48 bytes and its arguments, and no allocation: strings, threads, files and sockets are kept once and
//! referred to by index. [`crate::columns`] makes Arrow columns of them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::sink::Summary;

/// Rows to a batch, which becomes a Parquet row group: smaller groups compress worse, larger ones make a question
/// that needs one group read more.
pub const ROWS: usize = 262_144;

/// Index of a string in [`Batch::strings`]; `NONE`: null.
pub type Text = u32;
/// No string, no task, no file: null.
pub const NONE: u32 = u32::MAX;

/// A thread, as it was when it did something.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Task {
    /// Index of its container in the resolver's list; it gets its name when the batch is encoded.
    pub container: u32,
    pub pid: u32,
    pub tid: u32,
    pub ppid: u32,
    pub ns_pid: u32,
    pub uid: u32,
    pub comm: Text,
    pub exe: Text,
}

/// What an fd or a path refers to: a file, or a socket.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Object {
    pub path: Text,
    /// Device, `major:minor`. A socket has none.
    pub dev: Text,
    pub inode: Option<u64>,
    /// Index in [`Batch::ends`], of a socket.
    pub ends: u32,
}

/// The two ends of a socket.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Ends {
    pub family: Text,
    pub protocol: Text,
    pub local_addr: Text,
    pub local_port: Option<u16>,
    pub peer_addr: Text,
    pub peer_port: Option<u16>,
    pub peer_path: Text,
    pub dns_name: Text,
}

/// What only some calls have.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Names {
    /// Counts where the row's object has no path.
    pub path: Text,
    pub path_arg: Text,
    pub path2: Text,
    pub argv: Text,
    pub child_pid: Option<i32>,
    /// Of a call that takes its flags in a struct.
    pub flags: Option<i64>,
    pub mode: Option<i32>,
    /// Of a call that moved several messages.
    pub bytes: Option<i64>,
}

impl Names {
    /// Nothing.
    pub const NONE: Names = Names {
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
#[allow(missing_docs, reason = "named after the columns")]
pub struct Note {
    /// Of a row that has no task: index of its container.
    pub container: u32,
    pub action: &'static str,
    pub class: &'static str,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub description: Option<Box<Description>>,
    pub lost: Option<i64>,
    pub counted: Option<Box<Counted>>,
}

/// What a row of kind `counts` says of the calls of one thread name and syscall.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Counted {
    pub comm: Text,
    pub calls: i64,
    pub errors: i64,
    pub bytes: i64,
    pub latency: Text,
}

/// What a row of kind `container` says beside its id.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Description {
    pub image: Option<String>,
    pub runtime: Option<String>,
    pub pod: Option<String>,
    pub namespace: Option<String>,
    pub labels: Option<String>,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
    /// The value of the column `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Syscall => "syscall",
            Kind::Process => "process",
            Kind::Container => "container",
            Kind::Gap => "gap",
            Kind::Counts => "counts",
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Wall clock, ns since 1970 UTC.
    pub time: i64,
    /// How long it took, ns; whether that is known, the flags say.
    pub duration: u64,
    /// Result of a call, likewise.
    pub ret: i64,
    /// Index in [`Batch::tasks`].
    pub task: u32,
    /// Index in [`Batch::objects`].
    pub object: u32,
    /// Index in [`Batch::names`] of a call, else in [`Batch::notes`].
    pub detail: u32,
    /// Where its arguments begin in [`Batch::args`].
    pub args: u32,
    /// How many it has.
    pub nargs: u8,
    /// What it is about.
    pub kind: Kind,
    /// `SYS_*` of `bpf/wire.h`.
    pub flags: u8,
    /// Number of the call.
    pub call: u16,
}

impl Row {
    /// A row with nothing in it but when and what.
    pub fn new(time: i64, kind: Kind) -> Row {
        Row {
            time,
            duration: 0,
            ret: 0,
            task: NONE,
            object: NONE,
            detail: NONE,
            args: 0,
            nargs: 0,
            kind,
            flags: 0,
            call: 0,
        }
    }
}

/// Strings, each once.
#[derive(Debug, Default)]
pub struct Strings {
    /// By index.
    pub list: Vec<Arc<str>>,
    index: FxHashMap<Arc<str>, Text>,
    bytes: usize,
}

impl Strings {
    /// The index of `text`, which is added if it is new.
    pub fn intern(&mut self, text: &str) -> Text {
        if let Some(&i) = self.index.get(text) {
            return i;
        }
        self.push(text.into())
    }

    /// Like [`Strings::intern`], without a copy.
    pub fn intern_shared(&mut self, text: &Arc<str>) -> Text {
        if let Some(&i) = self.index.get(text) {
            return i;
        }
        self.push(text.clone())
    }

    /// Bytes of memory that they take: the text, what is allocated with it, and its places in the list and the table.
    pub fn bytes(&self) -> usize {
        self.bytes + self.list.len() * 80
    }

    fn push(&mut self, text: Arc<str>) -> Text {
        self.bytes += text.len();
        let i = self.list.len() as Text;
        self.list.push(text.clone());
        self.index.insert(text, i);
        i
    }

    /// The index of `text`, if it is there and not empty.
    pub fn get(&self, text: &str) -> Option<Text> {
        self.index.get(text).copied().filter(|_| !text.is_empty())
    }

    /// Like [`Strings::intern`], of text that may not be there.
    pub fn intern_opt(&mut self, text: Option<&str>) -> Text {
        text.map_or(NONE, |text| self.intern(text))
    }
}

/// Events on their way to the encoder.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they finished.
    pub rows: Vec<Row>,
    /// Sequence number of the first row.
    pub first_seq: u64,
    /// Arguments of calls, as they were in the registers.
    pub args: Vec<u64>,
    /// Threads that rows refer to.
    pub tasks: Vec<Task>,
    /// Files and sockets that rows refer to.
    pub objects: Vec<Object>,
    /// Addresses that sockets refer to.
    pub ends: Vec<Ends>,
    /// What only some calls have.
    pub names: Vec<Names>,
    /// What rows say that are not about calls.
    pub notes: Vec<Note>,
    /// Strings that all of these refer to.
    pub strings: Strings,
    /// Ends the stream of batches: what the sink writes at the end. Such a batch has no rows.
    pub summary: Option<Box<Summary>>,
}

impl Batch {
    /// Bytes of memory that it takes, about.
    pub fn bytes(&self) -> usize {
        fn list<T>(list: &[T]) -> usize {
            size_of_val(list)
        }
        let lists = list(&self.rows) + list(&self.args) + list(&self.tasks) + list(&self.objects);
        let rare = list(&self.ends) + list(&self.names) + list(&self.notes);
        lists + rare + self.strings.bytes()
    }

    /// The class and number of events that a gap row says were lost.
    pub fn lost(&self, row: &Row) -> Option<(&'static str, u64)> {
        if row.kind != Kind::Gap {
            return None;
        }
        let note = self.notes.get(row.detail as usize)?;
        Some((note.class, note.lost? as u64))
    }

    /// Gives `row` its arguments.
    pub fn set_args(&mut self, row: &mut Row, args: impl Iterator<Item = u64>) {
        row.args = self.args.len() as u32;
        self.args.extend(args);
        row.nargs = (self.args.len() as u32 - row.args) as u8;
    }

    /// Adds a row that is not about a call.
    pub fn push_note(&mut self, mut row: Row, note: Note) {
        row.detail = self.notes.len() as u32;
        self.notes.push(note);
        self.rows.push(row);
    }

    /// The note of a row that is not about a call.
    pub fn note(&self, row: &Row) -> Option<&Note> {
        match row.kind {
            Kind::Syscall => None,
            _ => self.notes.get(row.detail as usize),
        }
    }

    /// Index of the container that a row is of. That of the host, 0, for a call of a thread that was never defined.
    pub fn container(&self, row: &Row) -> u32 {
        match (self.tasks.get(row.task as usize), self.note(row)) {
            (Some(task), _) => task.container,
            (None, Some(note)) => note.container,
            (None, None) => 0,
        }
    }
}
