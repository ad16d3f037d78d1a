//! Decides which of several equal events counts, and finds files that contradict each other.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use ctrace_schema::text::path_text;

use crate::source::file::OpenFile;
use crate::source::repeated::keys::Keys;
use crate::source::repeated::left_out::{LeftOut, Repeated};
use crate::source::repeated::part::{Part, Place};
use crate::source::row_set::RowSet;

/// Number of pairs of files that are named in warnings.
const MAX_WARNINGS: usize = 10;

/// The numbers of equal and contradicting events of two files.
#[derive(Debug, Default)]
struct Comparison {
    /// Events that are equal.
    equal: u64,
    /// Events with the same key and other values.
    different: u64,
    /// Events with the same number at another time.
    other_times: u64,
    /// True if both files are of one run of the recorder, so that a number has one time.
    is_same_run: bool,
}

impl Comparison {
    /// Returns the number of events in which the files contradict each other. If the files have no event in common,
    /// equal numbers at other times are from another run.
    fn contradictions(&self) -> u64 {
        let is_same_run = self.is_same_run || self.equal + self.different > 0;
        self.different + if is_same_run { self.other_times } else { 0 }
    }
}

/// An event that counts, because no earlier file has it.
#[derive(Clone, Copy)]
struct Counted {
    part: usize,
    content: u64,
}

/// The decision about each event, in the order in which the events are added.
pub(super) struct Decision<'a> {
    files: &'a [OpenFile],
    parts: &'a [Part],
    /// Rows that are certainly in another file.
    certain: &'a HashMap<usize, Vec<u64>>,
    /// The index of each host and boot.
    boots: HashMap<(String, String), u32>,
    /// Events by boot, number and time in µs.
    events: HashMap<(u32, i64, i64), Counted>,
    /// The first event of each number: its part and its time.
    numbers: HashMap<(u32, i64), (usize, i64)>,
    left_out: BTreeMap<usize, Vec<u64>>,
    comparisons: BTreeMap<(usize, usize), Comparison>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(
        files: &'a [OpenFile],
        parts: &'a [Part],
        certain: &'a HashMap<usize, Vec<u64>>,
    ) -> Decision<'a> {
        Decision {
            files,
            parts,
            certain,
            boots: HashMap::new(),
            events: HashMap::new(),
            numbers: HashMap::new(),
            left_out: BTreeMap::new(),
            comparisons: BTreeMap::new(),
        }
    }

    /// Adds the events of a part. Leaves out events that a part of another file has already.
    pub(super) fn add(&mut self, part: usize, keys: Keys) {
        let boots: Vec<u32> = keys.boots.into_iter().map(|boot| self.boot(boot)).collect();
        let certain = self.certain.get(&part).cloned().unwrap_or_default();
        let certain = RowSet::new(certain);
        let file = self.parts[part].file;
        let mut left_out = vec![];
        for key in keys.rows {
            if certain.contains(key.row) {
                left_out.push(key.row);
                continue;
            }
            let boot = boots[key.boot as usize];
            let content = key.content;
            match self.events.entry((boot, key.seq, key.micros)) {
                Entry::Occupied(counted) => {
                    let counted = *counted.get();
                    if self.parts[counted.part].file == file {
                        continue;
                    }
                    let is_equal =
                        counted.content == content || content == 0 || counted.content == 0;
                    // Dumps number their gaps from -1 down, each anew.
                    if key.seq < 0 && !is_equal {
                        continue;
                    }
                    left_out.push(key.row);
                    let comparison = self.comparison(counted.part, part);
                    match is_equal {
                        true => comparison.equal += 1,
                        false => comparison.different += 1,
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(Counted { part, content });
                    self.add_number((boot, key.seq), part, key.micros);
                }
            }
        }
        self.left_out.entry(part).or_default().extend(left_out);
    }

    /// Stores the first event of a number, and counts later events of other files with the number.
    fn add_number(&mut self, number: (u32, i64), part: usize, micros: i64) {
        if number.1 < 0 {
            return;
        }
        let (first, time) = *self.numbers.entry(number).or_insert((part, micros));
        if self.parts[first].file != self.parts[part].file && time != micros {
            self.comparison(first, part).other_times += 1;
        }
    }

    fn boot(&mut self, boot: (String, String)) -> u32 {
        let next = self.boots.len() as u32;
        *self.boots.entry(boot).or_insert(next)
    }

    fn comparison(&mut self, one: usize, other: usize) -> &mut Comparison {
        let (one, other) = (&self.parts[one], &self.parts[other]);
        let comparison = self.comparisons.entry((one.file, other.file)).or_default();
        comparison.is_same_run = one.is_same_run(other);
        comparison
    }

    /// Returns the rows that are left out, and the warnings: `warnings`, then those about files that contradict each
    /// other.
    pub(super) fn finish(self, mut warnings: Vec<String>) -> Repeated {
        let contradicting = self.comparisons.iter();
        let mut contradicting =
            contradicting.filter(|(_, comparison)| comparison.contradictions() > 0);
        let name = |file: &usize| path_text(&self.files[*file].path);
        for ((one, other), comparison) in contradicting.by_ref().take(MAX_WARNINGS) {
            let events = match comparison.contradictions() {
                1 => "one event".to_string(),
                more => format!("{more} events"),
            };
            warnings.push(format!(
                "{} and {} contradict each other in {events} of the same host, boot and seq: the values of the first are used",
                name(one),
                name(other),
            ));
        }
        match contradicting.count() {
            0 => {}
            more => warnings.push(format!(
                "{more} more pairs of recordings contradict each other"
            )),
        }
        let mut files: HashMap<usize, LeftOut> = HashMap::new();
        for (part, rows) in self.left_out {
            if rows.is_empty() {
                continue;
            }
            let Part { file, place, .. } = self.parts[part];
            let left_out = files.entry(file).or_default();
            match place {
                Place::Journal => left_out.journal = RowSet::new(rows),
                Place::Database => left_out.ids = RowSet::new(rows),
                Place::Group(group) => {
                    let groups = self.files[file].row_groups();
                    left_out.groups.resize(groups, RowSet::default());
                    left_out.groups[group] = RowSet::new(rows);
                }
            }
        }
        Repeated::new(files, warnings)
    }
}
