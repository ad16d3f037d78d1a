//! Rows about live containers and processes, kept for the files that begin later.
//!
//! A segment and a dump begin in the middle of a recording. To identify what existed before, the file begins with the
//! row of each live container, and the last fork and exec of each live process. For segments, these rows are picked
//! from all rows that are written; for dumps, from the frames that the ring removes. They are dropped when a later row
//! reports that the container has stopped or the process has exited.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use ctrace_schema::columns::{COLUMNS, Type};
use ctrace_schema::syscalls::Class;
use ctrace_schema::syscalls::rules::AT_EXECVE_CHECK;
use rustc_hash::FxHashMap;

use crate::ring::evicted::Evicted;
use crate::ring::frame::{ContainerRef, Frame, read_frames};
use crate::rows::Events;
use crate::rows::runs::{Series, for_each_common_run};
use crate::rows::single::{SingleRows, Value};

/// CLONE_THREAD of clone(2): the call created a thread, not a process.
const CLONE_THREAD: i64 = 0x10000;

/// The rows about live containers and processes.
pub(crate) struct AliveRows {
    /// Rows by sequence number.
    rows: BTreeMap<i64, AliveRow>,
    /// Sequence numbers of the rows of each container and process.
    by_entity: FxHashMap<Entity, Vec<i64>>,
    bytes: usize,
    /// Memory limit. Above, the oldest rows are dropped.
    max_bytes: usize,
}

/// A container or process, while it lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Entity {
    Container(ContainerRef),
    Process(i64),
}

struct AliveRow {
    entity: Entity,
    owner: ContainerRef,
    /// Values of the row. For each: the column, and either the number, or the length of the text and the text; numbers
    /// are little-endian.
    values: Box<[u8]>,
}

/// The effect of a row on the rows of its container or process.
enum Transition {
    /// The entity started: earlier rows with the same identity are dropped.
    Started,
    /// The process executed another program, or the description of the container changed: the row replaces the previous
    /// exec or change, not the first row.
    Changed,
    Ended,
}

/// Approximate memory of a row in addition to its values.
const ROW_OVERHEAD_BYTES: usize = 192;

impl AliveRows {
    pub(crate) fn new(max_bytes: usize) -> AliveRows {
        AliveRows {
            rows: BTreeMap::new(),
            by_entity: FxHashMap::default(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Picks the rows about containers and processes from rows that are written to a file.
    pub(crate) fn add_written(&mut self, events: &dyn Events) {
        let mut rows = rows_of_ranges(events, &lifecycle_positions(events));
        rows.sort_by_key(|row| number(row, "seq"));
        for row in rows {
            let owner = ContainerRef {
                container: shared_text(&row, "container"),
                container_id: shared_text(&row, "container_id"),
            };
            self.add_row(&owner, &row);
        }
        self.drop_oldest();
    }

    /// Picks the rows about containers and processes from frames that the ring has removed. Frames of a container come
    /// in the order of time.
    ///
    /// # Errors
    /// The memory of a frame is damaged.
    pub(crate) fn add(&mut self, removed: &[Arc<Frame>]) -> Result<()> {
        for frame in removed {
            let events = read_frames([frame])?;
            let mut rows = rows_at(&events, &lifecycle_positions(&events));
            let seq = |row: &Vec<(usize, Value)>| number(row, "seq");
            rows.sort_by_key(seq);
            for row in rows {
                self.add_row(&frame.owner, &row);
            }
        }
        self.drop_oldest();
        Ok(())
    }

    fn drop_oldest(&mut self) {
        while self.bytes > self.max_bytes
            && let Some(seq) = self.rows.keys().next().copied()
        {
            self.remove(seq);
        }
    }

    fn add_row(&mut self, owner: &ContainerRef, row: &[(usize, Value)]) {
        let Some((entity, transition)) = transition(owner, row) else {
            return;
        };
        let known = self.by_entity.entry(entity.clone()).or_default();
        let replaced = match transition {
            Transition::Started | Transition::Ended => std::mem::take(known),
            // The first row is the fork, if the fork was recorded.
            Transition::Changed => known.split_off(known.len().min(1)),
        };
        replaced.into_iter().for_each(|seq| self.remove(seq));
        if let Transition::Ended = transition {
            self.by_entity.remove(&entity);
            if let Entity::Container(_) = entity {
                let rows = self.rows.iter().filter(|(_, row)| row.owner == *owner);
                let owned: Vec<i64> = rows.map(|(seq, _)| *seq).collect();
                owned.into_iter().for_each(|seq| self.remove(seq));
            }
            return;
        }
        let Some(seq) = number(row, "seq") else {
            return;
        };
        let values = encode(row);
        self.bytes += values.len() + ROW_OVERHEAD_BYTES;
        self.by_entity.entry(entity.clone()).or_default().push(seq);
        let owner = owner.clone();
        self.rows.insert(
            seq,
            AliveRow {
                entity,
                owner,
                values,
            },
        );
    }

    fn remove(&mut self, seq: i64) {
        let Some(row) = self.rows.remove(&seq) else {
            return;
        };
        self.bytes -= row.values.len() + ROW_OVERHEAD_BYTES;
        if let Some(known) = self.by_entity.get_mut(&row.entity) {
            known.retain(|known| *known != seq);
            if known.is_empty() {
                self.by_entity.remove(&row.entity);
            }
        }
    }

    /// Returns all rows, the oldest first.
    pub(crate) fn to_rows(&self) -> SingleRows {
        let mut rows = SingleRows::new();
        for row in self.rows.values() {
            rows.push(&decode(&row.values));
        }
        rows
    }

    /// Returns the memory of the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Subtracts the rows that are kept here from the counts of evicted events.
    pub(crate) fn subtract_from(&self, evicted: &mut Evicted) {
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

/// Returns the positions of the rows that may report a start, exec or end of a container or process.
fn lifecycle_positions(events: &dyn Events) -> Vec<usize> {
    let names = ["kind", "syscall", "child_pid"];
    let series = names.map(|name| events.column(name));
    let columns = [series[0].runs(), series[1].runs(), series[2].runs()];
    let text = |value: Option<i64>| events.strings().get(value? as usize).map(|text| &**text);
    let (mut positions, mut position) = (vec![], 0);
    for_each_common_run(&columns, |values, count| {
        let is_lifecycle = match text(values[0]) {
            Some("syscall") => {
                values[2].is_some()
                    || text(values[1]).is_some_and(|call| call.starts_with("execve"))
            }
            Some("process" | "container") => true,
            _ => false,
        };
        if is_lifecycle {
            positions.extend(position..position + count);
        }
        position += count;
    });
    positions
}

/// Returns the same as [`rows_at`], for few positions in a large batch: no column is computed for all rows of the
/// batch.
fn rows_of_ranges(events: &dyn Events, positions: &[usize]) -> Vec<Vec<(usize, Value)>> {
    let mut rows = vec![];
    for adjacent in positions.chunk_by(|a, b| a + 1 == *b) {
        let Some(part) = events.slice(adjacent[0]..adjacent[0] + adjacent.len()) else {
            return rows_at(events, positions);
        };
        let all: Vec<usize> = (0..adjacent.len()).collect();
        rows.extend(rows_at(&*part, &all));
    }
    rows
}

/// Returns the values of the rows at `positions`, which are ascending.
fn rows_at(events: &dyn Events, positions: &[usize]) -> Vec<Vec<(usize, Value)>> {
    let mut rows = vec![vec![]; positions.len()];
    if positions.is_empty() {
        return rows;
    }
    for (i, column) in COLUMNS.iter().enumerate() {
        let series: Series = events.column(column.name);
        let (mut runs, mut end) = (series.runs().iter(), 0);
        let mut value = None;
        for (row, position) in rows.iter_mut().zip(positions) {
            while end <= *position
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

/// Returns the container or process that a row reports a start, exec or end of.
fn transition(owner: &ContainerRef, row: &[(usize, Value)]) -> Option<(Entity, Transition)> {
    let is = |name: &str, value: &str| text(row, name) == Some(value);
    if is("kind", "container") {
        let transition = match text(row, "action") {
            Some("stopped") => Transition::Ended,
            Some("changed") => Transition::Changed,
            // A process has left the container, or come in.
            Some("left" | "entered") => return None,
            _ => Transition::Started,
        };
        return Some((Entity::Container(owner.clone()), transition));
    }
    if is("kind", "process") {
        let transition = match text(row, "action") {
            Some("found") => Transition::Started,
            _ => Transition::Ended,
        };
        return Some((Entity::Process(number(row, "pid")?), transition));
    }
    let ret = number(row, "ret")?;
    if let Some(child) = number(row, "child_pid") {
        let thread = number(row, "flags").unwrap_or(0) & CLONE_THREAD != 0;
        return (ret > 0 && !thread).then_some((Entity::Process(child), Transition::Started));
    }
    let only_checks = number(row, "flags").unwrap_or(0) & AT_EXECVE_CHECK != 0;
    let executed = ret == 0 && !only_checks;
    executed.then_some((Entity::Process(number(row, "pid")?), Transition::Changed))
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

fn shared_text(row: &[(usize, Value)], name: &str) -> Option<Arc<str>> {
    match value(row, name)? {
        Value::Text(text) => Some(text.clone()),
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
    fn a_decoded_row_equals_the_encoded_row() {
        let index = |name: &str| ctrace_schema::columns::index(name).expect("is a column");
        let row = vec![
            (index("time"), Value::Number(-7)),
            (index("container"), Value::Text("wéb".into())),
            (index("comm"), Value::Text("".into())),
            (index("ret"), Value::Number(i64::MAX)),
        ];
        assert_eq!(decode(&encode(&row)), row);
    }

    /// Returns the row of an event in the container `c`.
    fn event(seq: i64, kind: &str, values: &[(&str, Value)]) -> Vec<(usize, Value)> {
        let own = [
            ("seq", Value::Number(seq)),
            ("kind", Value::Text(kind.into())),
            ("container_id", Value::Text("c".into())),
        ];
        let values = own.iter().chain(values);
        let index = |name: &str| ctrace_schema::columns::index(name).expect("is a column");
        let mut row: Vec<_> = values
            .map(|(name, value)| (index(name), value.clone()))
            .collect();
        row.sort_by_key(|(column, _)| *column);
        row
    }

    fn exec(seq: i64, pid: i64) -> Vec<(usize, Value)> {
        let values = [
            ("syscall", Value::Text("execve".into())),
            ("pid", Value::Number(pid)),
            ("ret", Value::Number(0)),
        ];
        event(seq, "syscall", &values)
    }

    #[test]
    fn rows_are_kept_while_their_container_and_process_live() {
        let action = |action: &str| [("action", Value::Text(action.into()))];
        let exit = [("pid", Value::Number(7))];
        let fork = [
            ("syscall", Value::Text("fork".into())),
            ("pid", Value::Number(7)),
            ("child_pid", Value::Number(8)),
            ("ret", Value::Number(8)),
        ];
        let written = [
            event(0, "container", &action("started")),
            exec(1, 7),
            event(2, "syscall", &fork),
            exec(3, 8),
            exec(4, 8),
            event(5, "process", &exit),
            event(6, "container", &action("stopped")),
        ];
        let mut alive = AliveRows::new(1 << 20);
        let mut kept = vec![];
        for row in written {
            let mut rows = SingleRows::new();
            rows.push(&row);
            alive.add_written(&rows);
            kept.push(alive.rows.keys().copied().collect::<Vec<i64>>());
        }
        let expected: [&[i64]; 7] = [
            &[0],
            &[0, 1],
            &[0, 1, 2],
            &[0, 1, 2, 3],
            &[0, 1, 2, 4],
            &[0, 2, 4],
            &[],
        ];
        assert_eq!(kept, expected);
        assert_eq!(alive.bytes, 0);
    }
}
