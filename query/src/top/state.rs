//! The state of `top`, and what changes it. Reads nothing and draws nothing.

use std::cmp::Reverse;

use crate::cli::{Speed, TopLevel};
use crate::screen::Prompt;
use crate::top::counts::{Activity, ContainerKey, Counts, Step, Sums};

/// The style of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveliness {
    /// Something happened in the last seconds.
    Fresh {
        is_failure: bool,
    },
    Active,
    Quiet,
    Stopped,
}

/// The key of a row: the container and, below it, the process and the call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    pub(super) container: ContainerKey,
    pub(super) pid: Option<i64>,
    pub(super) call: Option<String>,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: RowKey,
    /// The name of the container.
    pub(super) container: String,
    /// The name of what the row is about: a container, a process or a call.
    pub(super) name: String,
    pub(super) recent: Sums,
    pub(super) kept: Sums,
    pub(super) total: Sums,
    /// The start of the last call, ns since 1970 UTC; 0: none.
    pub(super) last_ns: i64,
    /// The last happening, and its time.
    pub(super) happened: Option<(i64, String)>,
    pub(super) liveliness: Liveliness,
}

/// The order of the rows; the greatest one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Rate,
    Calls,
    ErrorRate,
    Errors,
    Slowest,
    ByteRate,
    Bytes,
    Name,
}

impl Order {
    /// All orders, in the order of the columns.
    pub(super) const ALL: [Order; 8] = [
        Order::Name,
        Order::Rate,
        Order::Calls,
        Order::ErrorRate,
        Order::Errors,
        Order::Slowest,
        Order::ByteRate,
        Order::Bytes,
    ];

    /// Returns the next order, or the one before.
    fn beside(self, is_next: bool) -> Order {
        let count = Order::ALL.len();
        let at = Order::ALL
            .iter()
            .position(|order| *order == self)
            .unwrap_or(0);
        let step = if is_next { 1 } else { count - 1 };
        Order::ALL[(at + step) % count]
    }

    /// Returns the number by which rows are sorted.
    fn weight(self, row: &Row) -> u64 {
        match self {
            Order::Name => 0,
            Order::Rate => row.kept.calls,
            Order::Calls => row.total.calls,
            Order::ErrorRate => row.kept.errors,
            Order::Errors => row.total.errors,
            Order::Slowest => row.kept.slowest_ns,
            Order::ByteRate => row.kept.bytes,
            Order::Bytes => row.total.bytes,
        }
    }
}

/// The meaning of the keys now.
#[derive(Debug)]
pub(super) enum Mode {
    Rows,
    Filter(Prompt),
    Help,
}

/// A request to the feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wish {
    /// Read everything again, because other events are selected.
    BeginAgain,
    /// Go back to the beginning of a replay.
    Rewind,
    Speed(Speed),
    Resume,
}

/// The state of `top`.
pub(crate) struct Top {
    pub(super) counts: Counts,
    pub(super) level: TopLevel,
    /// The container, and the process, whose parts are shown.
    pub(super) inside: Option<RowKey>,
    pub(super) order: Order,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) is_paused: bool,
    /// The speed of a replay; `None`: recordings are followed.
    pub(super) speed: Option<Speed>,
    pub(super) setup: bool,
    pub(super) terminal: bool,
    /// The key of the selected row; `None`: the first row.
    selected: Option<RowKey>,
    /// The number of rows that are above the screen.
    pub(super) scroll: usize,
    pub(super) is_ended: bool,
    pub(super) has_step: bool,
    pub(super) error: Option<String>,
    pub(super) is_over: bool,
    wishes: Vec<Wish>,
}

/// The time for which something that has happened is marked, s.
const FRESH_SECONDS: i64 = 5;

impl Top {
    pub(crate) fn new(level: TopLevel, speed: Option<Speed>, setup: bool, terminal: bool) -> Top {
        Top {
            counts: Counts::default(),
            level,
            inside: None,
            order: Order::Rate,
            is_reversed: false,
            filter: String::new(),
            mode: Mode::Rows,
            is_paused: false,
            speed,
            setup,
            terminal,
            selected: None,
            scroll: 0,
            is_ended: false,
            has_step: false,
            error: None,
            is_over: false,
            wishes: vec![],
        }
    }

    /// Adds what happened.
    pub(crate) fn add(&mut self, step: &Step) {
        self.counts.add(step);
        self.is_ended = step.is_last;
        self.has_step = true;
        self.error = None;
    }

    /// Returns what the feed is asked to do since the last call.
    pub(super) fn wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Asks the feed to do something.
    pub(super) fn wish(&mut self, wish: Wish) {
        if matches!(wish, Wish::BeginAgain | Wish::Rewind) {
            self.counts = Counts::default();
            self.has_step = false;
            self.is_ended = false;
        }
        self.wishes.push(wish);
    }

    /// Returns the rows in their order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = self.all_rows();
        let wanted = self.filter.to_lowercase();
        rows.retain(|row| {
            let texts = [&row.container, &row.name];
            texts
                .iter()
                .any(|text| text.to_lowercase().contains(&wanted))
        });
        rows.sort_by(|a, b| {
            let weight = |row: &Row| Reverse((self.order.weight(row), row.last_ns.max(0)));
            let order = match self.order {
                Order::Name => std::cmp::Ordering::Equal,
                _ => weight(a).cmp(&weight(b)),
            };
            let order = order.then_with(|| {
                (&a.container, &a.name, &a.key).cmp(&(&b.container, &b.name, &b.key))
            });
            if self.is_reversed {
                order.reverse()
            } else {
                order
            }
        });
        rows
    }

    fn all_rows(&self) -> Vec<Row> {
        let mut rows = vec![];
        let inside = self.inside.as_ref();
        let chosen = |key: &ContainerKey| inside.is_none_or(|inside| inside.container == *key);
        for (key, container) in self.counts.containers.iter().filter(|(key, _)| chosen(key)) {
            let row_key = |pid: Option<i64>, call: Option<&String>| RowKey {
                container: key.clone(),
                pid,
                call: call.cloned(),
            };
            if self.level == TopLevel::Container {
                let mut row = self.row(
                    row_key(None, None),
                    &container.name,
                    container.name.clone(),
                    &container.activity,
                );
                if let Some(happening) = &container.happening {
                    row.happened = Some((happening.time_ns, happening.text.clone()));
                    if self.is_fresh(happening.time_ns) {
                        row.liveliness = Liveliness::Fresh {
                            is_failure: happening.is_failure,
                        };
                    }
                }
                if container.stopped_ns.is_some() && row.liveliness == Liveliness::Quiet {
                    row.liveliness = Liveliness::Stopped;
                }
                rows.push(row);
                continue;
            }
            for (pid, process) in &container.processes {
                if inside
                    .and_then(|inside| inside.pid)
                    .is_some_and(|inside| inside != *pid)
                {
                    continue;
                }
                let name = format!("{} {}", pid, process.comm);
                if self.level == TopLevel::Process {
                    rows.push(self.row(
                        row_key(Some(*pid), None),
                        &container.name,
                        name,
                        &process.activity,
                    ));
                    continue;
                }
                let calls = process.calls.iter();
                rows.extend(calls.map(|(call, activity)| {
                    let name = match inside.and_then(|inside| inside.pid) {
                        Some(_) => call.clone(),
                        None => format!("{name} {call}"),
                    };
                    self.row(
                        row_key(Some(*pid), Some(call)),
                        &container.name,
                        name,
                        activity,
                    )
                }));
            }
        }
        rows
    }

    fn row(&self, key: RowKey, container: &str, name: String, activity: &Activity) -> Row {
        let now = self.counts.now_ns;
        let recent = activity.recent(now);
        Row {
            key,
            container: container.to_string(),
            name,
            kept: activity.kept(now),
            total: activity.total,
            last_ns: activity.last_ns,
            happened: None,
            liveliness: match recent.calls {
                0 => Liveliness::Quiet,
                _ => Liveliness::Active,
            },
            recent,
        }
    }

    fn is_fresh(&self, time_ns: i64) -> bool {
        let age = self.counts.now_ns.saturating_sub(time_ns);
        age <= FRESH_SECONDS * crate::top::counts::SECOND_NS
    }

    /// Returns the number of the selected row.
    pub(super) fn selected(&self, rows: &[Row]) -> usize {
        let at = rows
            .iter()
            .position(|row| Some(&row.key) == self.selected.as_ref());
        at.unwrap_or(0)
    }

    /// Selects another row, this many rows on.
    pub(super) fn select(&mut self, by: i64) {
        let rows = self.rows();
        let at = i64::try_from(self.selected(&rows))
            .unwrap_or(0)
            .saturating_add(by);
        let last = i64::try_from(rows.len()).unwrap_or(0) - 1;
        let at = usize::try_from(at.clamp(0, last.max(0))).unwrap_or(0);
        self.selected = rows.get(at).map(|row| row.key.clone());
    }

    /// Shows the parts of the selected row.
    pub(super) fn enter(&mut self) {
        let rows = self.rows();
        let Some(row) = rows.get(self.selected(&rows)) else {
            return;
        };
        self.level = match self.level {
            TopLevel::Container => TopLevel::Process,
            TopLevel::Process => TopLevel::Call,
            TopLevel::Call => return,
        };
        self.inside = Some(row.key.clone());
        self.selected = None;
        self.filter.clear();
    }

    /// Shows the row of which the parts are shown.
    pub(super) fn leave(&mut self) {
        let inside = self.inside.take();
        self.level = match self.level {
            TopLevel::Container => return self.filter.clear(),
            TopLevel::Process => TopLevel::Container,
            TopLevel::Call => TopLevel::Process,
        };
        self.filter.clear();
        self.selected.clone_from(&inside);
        if self.level == TopLevel::Process {
            self.inside = inside.map(|inside| RowKey {
                pid: None,
                ..inside
            });
        }
    }

    /// Sorts by the next column, or the one before.
    pub(super) fn reorder(&mut self, is_next: bool) {
        self.order = self.order.beside(is_next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::counts::tests::{counted, step};

    fn top() -> Top {
        let mut top = Top::new(TopLevel::Container, None, false, false);
        top.add(&step(
            100,
            vec![
                counted("web", 1, "read", 100, 50),
                counted("web", 2, "write", 99, 10),
                counted("db", 7, "fsync", 60, 500),
            ],
        ));
        top
    }

    fn names(top: &Top) -> Vec<String> {
        top.rows().iter().map(|row| row.name.clone()).collect()
    }

    #[test]
    fn quiet_rows_stay_in_sight_and_then_sink() {
        let mut top = top();
        assert_eq!(names(&top), ["db", "web"]);
        assert_eq!(top.rows()[0].liveliness, Liveliness::Quiet);
        assert_eq!(top.rows()[1].liveliness, Liveliness::Active);
        top.add(&step(125, vec![counted("web", 1, "read", 125, 1)]));
        assert_eq!(names(&top), ["web", "db"]);
    }

    #[test]
    fn the_selection_follows_its_row() {
        let mut top = top();
        top.select(1);
        assert_eq!(top.rows()[top.selected(&top.rows())].name, "web");
        top.add(&step(101, vec![counted("web", 1, "read", 101, 5000)]));
        assert_eq!(names(&top), ["web", "db"]);
        assert_eq!(top.selected(&top.rows()), 0);
        top.select(-5);
        top.select(100);
        assert_eq!(top.selected(&top.rows()), 1);
    }

    #[test]
    fn rows_open_into_processes_and_calls() {
        let mut top = top();
        top.select(1);
        top.enter();
        assert_eq!(names(&top), ["1 p1", "2 p2"]);
        top.select(1);
        top.enter();
        assert_eq!(names(&top), ["write"]);
        top.enter();
        assert_eq!(names(&top), ["write"]);
        top.leave();
        assert_eq!(names(&top), ["1 p1", "2 p2"]);
        assert_eq!(top.selected(&top.rows()), 1);
        top.leave();
        assert_eq!(names(&top), ["db", "web"]);
    }

    #[test]
    fn rows_are_filtered_and_sorted() {
        let mut top = top();
        top.filter = "WE".into();
        assert_eq!(names(&top), ["web"]);
        top.leave();
        top.order = Order::Name;
        assert_eq!(names(&top), ["db", "web"]);
        top.is_reversed = true;
        assert_eq!(names(&top), ["web", "db"]);
        assert_eq!(Order::Bytes.beside(true), Order::Name);
        assert_eq!(Order::Name.beside(false), Order::Bytes);
    }
}
