//! Events, column by column, as the resolver makes them; and the Arrow batch that they become.
//!
//! Strings and addresses are kept once and referred to by index, and so is who did it: a row costs some 120 bytes and
//! no allocation. The Arrow columns are dictionary arrays over the same strings.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Int32Type, Int64Type, Schema, UInt32Type,
};
use arrow::datatypes::{TimestampNanosecondType, UInt32Type as Key};
use arrow::error::ArrowError;
use ctrace_schema::columns::{COLUMNS, Type};
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

/// What an fd or a path refers to.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Device, `major:minor`.
    pub dev: Text,
    /// Inode number.
    pub inode: u64,
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

/// One event. The fields are the columns, with indices into the batch's lists where a value repeats.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named after the columns")]
pub struct Row {
    pub time: i64,
    pub duration: Option<u64>,
    pub container: u32,
    pub task: u32,
    pub kind: &'static str,
    pub action: &'static str,
    pub class: &'static str,
    pub syscall: Text,
    pub compat: Option<bool>,
    pub denied: Option<bool>,
    pub ret: Option<i64>,
    pub args: [Option<i64>; 6],
    pub path: Text,
    pub path_arg: Text,
    pub path2: Text,
    pub fd: Option<i32>,
    pub object: u32,
    pub flags: Option<i64>,
    pub mode: Option<i32>,
    pub bytes: Option<i64>,
    pub ends: u32,
    pub argv: Text,
    pub child_pid: Option<i32>,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    pub description: u32,
    pub lost: Option<i64>,
}

impl Row {
    /// A row with nothing in it but when and what.
    pub fn new(time: i64, kind: &'static str) -> Row {
        Row {
            time,
            duration: None,
            container: NONE,
            task: NONE,
            kind,
            action: "",
            class: "",
            syscall: NONE,
            compat: None,
            denied: None,
            ret: None,
            args: [None; 6],
            path: NONE,
            path_arg: NONE,
            path2: NONE,
            fd: None,
            object: NONE,
            flags: None,
            mode: None,
            bytes: None,
            ends: NONE,
            argv: NONE,
            child_pid: None,
            exit_code: None,
            exit_signal: None,
            description: NONE,
            lost: None,
        }
    }
}

/// Strings, each once.
#[derive(Debug, Default)]
pub struct Strings {
    list: Vec<Arc<str>>,
    index: FxHashMap<Arc<str>, Text>,
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

    fn push(&mut self, text: Arc<str>) -> Text {
        let i = self.list.len() as Text;
        self.list.push(text.clone());
        self.index.insert(text, i);
        i
    }

    fn opt(&mut self, text: &Option<String>) -> Text {
        text.as_ref().map_or(NONE, |text| self.intern(text))
    }
}

/// Events on their way to the encoder.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they finished.
    pub rows: Vec<Row>,
    /// Sequence number of the first row.
    pub first_seq: u64,
    /// Threads that rows refer to.
    pub tasks: Vec<Task>,
    /// Files that rows refer to.
    pub objects: Vec<Object>,
    /// Sockets that rows refer to.
    pub ends: Vec<Ends>,
    /// Container descriptions that rows refer to.
    pub descriptions: Vec<Description>,
    /// Strings that all of these refer to.
    pub strings: Strings,
    /// Ends the stream of batches: what the sink writes at the end. Such a batch has no rows.
    pub summary: Option<Box<Summary>>,
}

/// What the encoder needs to know of a container when it writes a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerName {
    /// The value of the column `container`.
    pub name: Option<String>,
    /// The value of `container_id`.
    pub id: Option<String>,
    /// Whether its rows are kept.
    pub keep: bool,
}

/// The Arrow schema of encoded batches: that of `events`, with dictionaries for text.
pub fn encoded_schema() -> Schema {
    let field = |c: &ctrace_schema::columns::Column| {
        let ty = match c.ty {
            Type::Text => {
                DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
            }
            other => other.arrow(),
        };
        Field::new(c.name, ty, c.nullable)
    };
    Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())
}

impl Batch {
    /// Encodes the rows whose containers are kept, as an Arrow batch of [`encoded_schema`]. With `cluster`, rows of a
    /// thread and a syscall stand together, which makes the file smaller by a third and questions faster; `time` and
    /// `seq` give the order back.
    ///
    /// # Errors
    /// None that a user can cause: the columns do not fit the schema.
    pub fn encode(
        mut self,
        containers: &[ContainerName],
        host: &str,
        schema: &Arc<Schema>,
        cluster: bool,
    ) -> Result<RecordBatch, ArrowError> {
        let order = self.order(containers, cluster);
        let host = self.strings.intern(host);
        let names: Vec<(Text, Text)> = containers
            .iter()
            .map(|c| (self.strings.opt(&c.name), self.strings.opt(&c.id)))
            .collect();
        let described: Vec<[Text; 5]> = self
            .descriptions
            .iter()
            .map(|d| {
                [&d.image, &d.runtime, &d.pod, &d.namespace, &d.labels]
                    .map(|text| self.strings.opt(text))
            })
            .collect();
        let words: FxHashMap<&'static str, Text> = self.words();
        let errors = self.errors();
        let first_seq = self.first_seq;
        let columns = Columns {
            batch: &self,
            order: &order,
            values: self.dictionary(),
        };
        let word = |text: &'static str| words.get(text).copied().unwrap_or(NONE);
        let container = |row: &Row| {
            names
                .get(row.container as usize)
                .copied()
                .unwrap_or((NONE, NONE))
        };
        let describe = |row: &Row, i: usize| {
            described
                .get(row.description as usize)
                .map_or(NONE, |d| d[i])
        };
        let seq: Vec<i64> = order
            .iter()
            .map(|&i| (first_seq + u64::from(i)) as i64)
            .collect();

        let column = |name: &str| -> ArrayRef {
            match name {
                "time" => Arc::new(
                    columns
                        .numbers::<TimestampNanosecondType>(|r| Some(r.time))
                        .with_timezone("UTC"),
                ),
                "duration" => columns.long(|r| r.duration.map(|d| d as i64)),
                "seq" => Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(
                    seq.iter().copied(),
                )),
                "container" => columns.text(|r| container(r).0),
                "container_id" => columns.text(|r| container(r).1),
                "host" => columns.text(|_| host),
                "pid" => columns.task(|t| t.pid),
                "tid" => columns.task(|t| t.tid),
                "ppid" => columns.task(|t| t.ppid),
                "ns_pid" => columns.task(|t| t.ns_pid),
                "uid" => Arc::new(columns.numbers::<UInt32Type>(|r| {
                    Some(columns.batch.tasks.get(r.task as usize)?.uid)
                })),
                "comm" => columns.task_text(|t| t.comm),
                "exe" => columns.task_text(|t| t.exe),
                "kind" => columns.text(|r| word(r.kind)),
                "action" => columns.text(|r| word(r.action)),
                "class" => columns.text(|r| word(r.class)),
                "syscall" => columns.text(|r| r.syscall),
                "compat" => columns.bool(|r| r.compat),
                "ret" => columns.long(|r| r.ret),
                "error" => columns.text(|r| {
                    r.ret
                        .and_then(|ret| errors.get(&ret).copied())
                        .unwrap_or(NONE)
                }),
                "denied" => columns.bool(|r| r.denied),
                "arg0" => columns.long(|r| r.args[0]),
                "arg1" => columns.long(|r| r.args[1]),
                "arg2" => columns.long(|r| r.args[2]),
                "arg3" => columns.long(|r| r.args[3]),
                "arg4" => columns.long(|r| r.args[4]),
                "arg5" => columns.long(|r| r.args[5]),
                "path" => columns.text(|r| r.path),
                "path_arg" => columns.text(|r| r.path_arg),
                "path2" => columns.text(|r| r.path2),
                "fd" => columns.int(|r| r.fd),
                "dev" => columns.text(|r| {
                    columns
                        .batch
                        .objects
                        .get(r.object as usize)
                        .map_or(NONE, |o| o.dev)
                }),
                "inode" => columns
                    .long(|r| Some(columns.batch.objects.get(r.object as usize)?.inode as i64)),
                "flags" => columns.long(|r| r.flags),
                "mode" => columns.int(|r| r.mode),
                "bytes" => columns.long(|r| r.bytes),
                "family" => columns.end_text(|e| e.family),
                "protocol" => columns.end_text(|e| e.protocol),
                "local_addr" => columns.end_text(|e| e.local_addr),
                "local_port" => columns.end_port(|e| e.local_port),
                "peer_addr" => columns.end_text(|e| e.peer_addr),
                "peer_port" => columns.end_port(|e| e.peer_port),
                "peer_path" => columns.end_text(|e| e.peer_path),
                "argv" => columns.text(|r| r.argv),
                "child_pid" => columns.int(|r| r.child_pid),
                "exit_code" => columns.int(|r| r.exit_code),
                "exit_signal" => columns.int(|r| r.exit_signal),
                "image" => columns.text(|r| describe(r, 0)),
                "runtime" => columns.text(|r| describe(r, 1)),
                "pod" => columns.text(|r| describe(r, 2)),
                "namespace" => columns.text(|r| describe(r, 3)),
                "labels" => columns.text(|r| describe(r, 4)),
                "lost" => columns.long(|r| r.lost),
                // dns_name: answers are not decoded yet. A column that is forgotten here is null, and a test fails.
                _ => columns.text(|_| NONE),
            }
        };
        RecordBatch::try_new(
            schema.clone(),
            COLUMNS.iter().map(|c| column(c.name)).collect(),
        )
    }

    /// Indices of the rows that are kept, in the order of the file.
    fn order(&self, containers: &[ContainerName], cluster: bool) -> Vec<u32> {
        let keep = |row: &Row| {
            containers
                .get(row.container as usize)
                .is_none_or(|c| c.keep)
        };
        let kept = (0..self.rows.len() as u32).filter(|&i| keep(&self.rows[i as usize]));
        if !cluster {
            return kept.collect();
        }
        // By container, thread and syscall. Two stable counting sorts, the minor key first, keep the order of time.
        let mut ranks: Vec<u32> = (0..self.tasks.len() as u32).collect();
        ranks.sort_by_key(|&i| {
            let t = &self.tasks[i as usize];
            (t.container, t.tid)
        });
        let mut rank_of = vec![0; ranks.len()];
        ranks
            .iter()
            .enumerate()
            .for_each(|(rank, &i)| rank_of[i as usize] = rank as u32 + 1);
        let by_syscall = counting_sort(kept.collect(), |i| {
            self.rows[i as usize].syscall.wrapping_add(1)
        });
        counting_sort(by_syscall, |i| {
            rank_of
                .get(self.rows[i as usize].task as usize)
                .copied()
                .unwrap_or(0)
        })
    }

    /// Interns the few fixed words that rows carry as such.
    fn words(&mut self) -> FxHashMap<&'static str, Text> {
        let mut words = FxHashMap::default();
        words.insert("", NONE);
        for row in &self.rows {
            for word in [row.kind, row.action, row.class] {
                let strings = &mut self.strings;
                words.entry(word).or_insert_with(|| strings.intern(word));
            }
        }
        words
    }

    /// The errno name of each result that is one.
    fn errors(&mut self) -> FxHashMap<i64, Text> {
        let mut errors = FxHashMap::default();
        for row in &self.rows {
            // Results that are addresses reach down to -4096 only where they are errors: include/linux/err.h.
            let Some(ret @ -4095..=-1) = row.ret else {
                continue;
            };
            let strings = &mut self.strings;
            errors.entry(ret).or_insert_with(|| {
                ctrace_schema::errno::name(-ret as i32).map_or(NONE, |name| strings.intern(name))
            });
        }
        errors
    }

    fn dictionary(&self) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(self.strings.list.iter()))
    }
}

/// Sorts by a small key, stably, in linear time.
fn counting_sort(items: Vec<u32>, key: impl Fn(u32) -> u32) -> Vec<u32> {
    let keys = items
        .iter()
        .map(|&i| key(i))
        .max()
        .map_or(0, |max| max as usize + 1);
    let mut starts = vec![0usize; keys + 1];
    items.iter().for_each(|&i| starts[key(i) as usize + 1] += 1);
    (0..keys).for_each(|k| starts[k + 1] += starts[k]);
    let mut out = vec![0; items.len()];
    for i in items {
        let at = &mut starts[key(i) as usize];
        out[*at] = i;
        *at += 1;
    }
    out
}

/// Builds columns of a batch, in an order.
struct Columns<'a> {
    batch: &'a Batch,
    order: &'a [u32],
    values: ArrayRef,
}

impl Columns<'_> {
    fn numbers<T: ArrowPrimitiveType>(
        &self,
        get: impl Fn(&Row) -> Option<T::Native>,
    ) -> PrimitiveArray<T> {
        self.order
            .iter()
            .map(|&i| get(&self.batch.rows[i as usize]))
            .collect()
    }

    fn long(&self, get: impl Fn(&Row) -> Option<i64>) -> ArrayRef {
        Arc::new(self.numbers::<Int64Type>(get))
    }

    fn int(&self, get: impl Fn(&Row) -> Option<i32>) -> ArrayRef {
        Arc::new(self.numbers::<Int32Type>(get))
    }

    fn bool(&self, get: impl Fn(&Row) -> Option<bool>) -> ArrayRef {
        Arc::new(
            self.order
                .iter()
                .map(|&i| get(&self.batch.rows[i as usize]))
                .collect::<BooleanArray>(),
        )
    }

    fn text(&self, get: impl Fn(&Row) -> Text) -> ArrayRef {
        let some = |text| (text != NONE).then_some(text);
        let keys = self.numbers::<Key>(|row| some(get(row)));
        // Only what this column uses goes into its dictionary: the file's dictionaries are per column.
        match compact(&keys, &self.values) {
            Ok(array) => Arc::new(array),
            Err(_) => Arc::new(DictionaryArray::new(keys, self.values.clone())),
        }
    }

    fn task(&self, get: impl Fn(&Task) -> u32) -> ArrayRef {
        self.int(|row| Some(get(self.batch.tasks.get(row.task as usize)?) as i32))
    }

    fn task_text(&self, get: impl Fn(&Task) -> Text) -> ArrayRef {
        self.text(|row| self.batch.tasks.get(row.task as usize).map_or(NONE, &get))
    }

    fn end_text(&self, get: impl Fn(&Ends) -> Text) -> ArrayRef {
        self.text(|row| self.batch.ends.get(row.ends as usize).map_or(NONE, &get))
    }

    fn end_port(&self, get: impl Fn(&Ends) -> Option<u16>) -> ArrayRef {
        self.int(|row| get(self.batch.ends.get(row.ends as usize)?).map(i32::from))
    }
}

/// A dictionary array with only the values that occur.
fn compact(
    keys: &PrimitiveArray<Key>,
    values: &ArrayRef,
) -> Result<DictionaryArray<Key>, ArrowError> {
    let mut new_of = vec![NONE; values.len()];
    let mut used: Vec<u32> = vec![];
    let renumbered: PrimitiveArray<Key> = keys
        .iter()
        .map(|key| {
            let key = key? as usize;
            if new_of[key] == NONE {
                new_of[key] = used.len() as u32;
                used.push(key as u32);
            }
            Some(new_of[key])
        })
        .collect();
    let values = arrow::compute::take(values, &PrimitiveArray::<Key>::from(used), None)?;
    DictionaryArray::try_new(renumbered, values)
}
