//! What a recording that begins in the middle has to be told of what was there before: the rows that say which containers
//! there are, and by which fork and exec the processes came that are alive.
//!
//! It is fed what the ring lets go of.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use ctrace_schema::columns::{COLUMNS, Type};
use ctrace_schema::syscalls::Class;
use rustc_hash::FxHashMap;

use crate::ring::evicted::Evicted;
use crate::ring::frame::{ContainerRef, Frame, read_frames};
use crate::rows::Events;
use crate::rows::runs::{Series, stretches};
use crate::rows::single::{SingleRows, Value};

/// CLONE_THREAD of clone(2): what was made is no process.
const CLONE_THREAD: i64 = 0x10000;

/// The rows.
pub(crate) struct Alive {
    /// By number.
    rows: BTreeMap<i64, AliveRow>,
    /// Numbers of the rows of what is alive.
    of: FxHashMap<AliveThing, Vec<i64>>,
    bytes: usize,
    /// Bytes that it may take: of more, the oldest go.
    most: usize,
}

/// What is alive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum AliveThing {
    Container(ContainerRef),
    Process(i64),
}

struct AliveRow {
    thing: AliveThing,
    owner: ContainerRef,
    /// Its values: for each the column, and the number or the length and the text, little-endian.
    values: Box<[u8]>,
}

/// What a row means for what is alive.
enum Means {
    /// Nothing of before counts.
    Begins,
    /// It is something else now: the row takes the place of the last of this kind.
    Becomes,
    Ends,
}

/// Bytes of memory that a row takes beside its values, about.
const BESIDE: usize = 192;

impl Alive {
    /// Nothing is alive.
    pub(crate) fn new(most: usize) -> Alive {
        Alive {
            rows: BTreeMap::new(),
            of: FxHashMap::default(),
            bytes: 0,
            most,
        }
    }

    /// Takes in what has been let go of, frame by frame in the order of time.
    ///
    /// # Errors
    /// None, unless memory has been damaged.
    pub(crate) fn learn(&mut self, gone: &[Arc<Frame>]) -> Result<()> {
        for frame in gone {
            let kept = read_frames([frame])?;
            let mut rows = picked(&kept, &telling(&kept));
            let seq = |row: &Vec<(usize, Value)>| number(row, "seq");
            rows.sort_by_key(seq);
            for row in rows {
                self.take(&frame.owner, &row);
            }
        }
        while self.bytes > self.most
            && let Some(seq) = self.rows.keys().next().copied()
        {
            self.remove(seq);
        }
        Ok(())
    }

    fn take(&mut self, owner: &ContainerRef, row: &[(usize, Value)]) {
        let Some((thing, means)) = meaning(owner, row) else {
            return;
        };
        let known = self.of.entry(thing.clone()).or_default();
        let gone = match means {
            Means::Begins | Means::Ends => std::mem::take(known),
            // The first is the fork, if there was one.
            Means::Becomes => known.split_off(known.len().min(1)),
        };
        gone.into_iter().for_each(|seq| self.remove(seq));
        if let Means::Ends = means {
            self.of.remove(&thing);
            if let AliveThing::Container(_) = thing {
                let of = |row: &AliveRow| row.owner == *owner;
                let gone: Vec<i64> = (self.rows.iter().filter(|(_, row)| of(row)))
                    .map(|(seq, _)| *seq)
                    .collect();
                gone.into_iter().for_each(|seq| self.remove(seq));
            }
            return;
        }
        let Some(seq) = number(row, "seq") else {
            return;
        };
        let values = encode(row);
        self.bytes += values.len() + BESIDE;
        self.of.entry(thing.clone()).or_default().push(seq);
        let owner = owner.clone();
        self.rows.insert(
            seq,
            AliveRow {
                thing,
                owner,
                values,
            },
        );
    }

    fn remove(&mut self, seq: i64) {
        let Some(row) = self.rows.remove(&seq) else {
            return;
        };
        self.bytes -= row.values.len() + BESIDE;
        if let Some(known) = self.of.get_mut(&row.thing) {
            known.retain(|known| *known != seq);
            if known.is_empty() {
                self.of.remove(&row.thing);
            }
        }
    }

    /// All rows, the oldest first.
    pub(crate) fn lines(&self) -> SingleRows {
        let mut lines = SingleRows::new();
        for row in self.rows.values() {
            lines.push(&decode(&row.values));
        }
        lines
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out of what was evicted what is here.
    pub(crate) fn take_from(&self, evicted: &mut Evicted) {
        let (start, end) = evicted.span;
        for row in self.rows.values().filter(|row| row.owner == evicted.owner) {
            let values = decode(&row.values);
            let within = number(&values, "time").is_some_and(|time| time >= start && time <= end);
            let class = text(&values, "class").and_then(Class::from_name);
            let class = class.unwrap_or(Class::Other).as_str();
            let mut tallies = evicted.tallies.iter_mut();
            if within && let Some(tally) = tallies.find(|tally| tally.class == class) {
                tally.events = tally.events.saturating_sub(1);
            }
        }
    }
}

/// Places of the rows that may say what is alive.
fn telling(events: &dyn Events) -> Vec<usize> {
    let names = ["kind", "syscall", "child_pid"];
    let series = names.map(|name| events.column(name));
    let columns = [series[0].runs(), series[1].runs(), series[2].runs()];
    let text = |value: Option<i64>| events.strings().get(value? as usize).map(|text| &**text);
    let (mut rows, mut at) = (vec![], 0);
    stretches(&columns, |values, count| {
        let tells = match text(values[0]) {
            Some("syscall") => {
                values[2].is_some()
                    || text(values[1]).is_some_and(|call| call.starts_with("execve"))
            }
            Some("process" | "container") => true,
            _ => false,
        };
        if tells {
            rows.extend(at..at + count);
        }
        at += count;
    });
    rows
}

/// The values of the rows at these places, which ascend.
fn picked(events: &dyn Events, places: &[usize]) -> Vec<Vec<(usize, Value)>> {
    let mut rows = vec![vec![]; places.len()];
    if places.is_empty() {
        return rows;
    }
    for (i, column) in COLUMNS.iter().enumerate() {
        let series: Series = events.column(column.name);
        let (mut runs, mut end) = (series.runs().iter(), 0);
        let mut value = None;
        for (row, place) in rows.iter_mut().zip(places) {
            while end <= *place
                && let Some(run) = runs.next()
            {
                (value, end) = (run.value(), end + run.rows());
            }
            let Some(value) = value else { continue };
            let text = || events.strings().get(value as usize).cloned();
            let value = match column.ty {
                Type::Text => text().map(Value::Text),
                _ => Some(Value::Number(value)),
            };
            row.extend(value.map(|value| (i, value)));
        }
    }
    rows
}

/// What a row is about, if it says what is alive.
fn meaning(owner: &ContainerRef, row: &[(usize, Value)]) -> Option<(AliveThing, Means)> {
    let is = |name: &str, value: &str| text(row, name) == Some(value);
    if is("kind", "container") {
        let thing = AliveThing::Container(owner.clone());
        let ends = is("action", "stopped");
        return Some((thing, if ends { Means::Ends } else { Means::Begins }));
    }
    if is("kind", "process") {
        return Some((AliveThing::Process(number(row, "pid")?), Means::Ends));
    }
    let ret = number(row, "ret")?;
    if let Some(child) = number(row, "child_pid") {
        let thread = number(row, "flags").unwrap_or(0) & CLONE_THREAD != 0;
        return (ret > 0 && !thread).then_some((AliveThing::Process(child), Means::Begins));
    }
    (ret == 0).then_some((AliveThing::Process(number(row, "pid")?), Means::Becomes))
}

fn value<'a>(row: &'a [(usize, Value)], name: &str) -> Option<&'a Value> {
    let column = ctrace_schema::columns::index(name)?;
    let found = row.iter().find(|(i, _)| *i == column);
    found.map(|(_, value)| value)
}

fn number(row: &[(usize, Value)], name: &str) -> Option<i64> {
    match value(row, name)? {
        Value::Number(number) => Some(*number),
        Value::Text(_) => None,
    }
}

fn text<'a>(row: &'a [(usize, Value)], name: &str) -> Option<&'a str> {
    match value(row, name)? {
        Value::Text(text) => Some(text),
        Value::Number(_) => None,
    }
}

fn encode(row: &[(usize, Value)]) -> Box<[u8]> {
    let mut bytes = vec![];
    for (column, value) in row {
        bytes.push(*column as u8);
        match value {
            Value::Number(number) => bytes.extend(number.to_le_bytes()),
            Value::Text(text) => {
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
        }
    }
    bytes.into()
}

fn decode(mut bytes: &[u8]) -> Vec<(usize, Value)> {
    let mut row = vec![];
    while let Some((&column, rest)) = bytes.split_first()
        && let Some((number, rest)) = rest.split_first_chunk()
    {
        let number = i64::from_le_bytes(*number);
        bytes = rest;
        let is_text = COLUMNS.get(usize::from(column)).map(|c| c.ty) == Some(Type::Text);
        let value = if is_text {
            let (text, rest) = bytes.split_at(bytes.len().min(number as usize));
            bytes = rest;
            Value::Text(String::from_utf8_lossy(text).into())
        } else {
            Value::Number(number)
        };
        row.push((column.into(), value));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_same_when_it_is_read_again() {
        let row = vec![
            (0, Value::Number(-7)),
            (3, Value::Text("wéb".into())),
            (4, Value::Text("".into())),
            (6, Value::Number(i64::MAX)),
        ];
        assert_eq!(decode(&encode(&row)), row);
    }
}
