//! A directory of Parquet files, one after the other: `host=NAME/date=YYYY-MM-DD/TIME-BOOT.parquet`. The one that is being
//! written ends in `.open`, so that a pattern of finished ones fits only these.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use chrono::Utc;
use ctrace_schema::syscalls::Class;
use ctrace_schema::unclosed::journal;

use super::{KEPT_AFTER, Parquet, Sink, Summary};
use crate::batch;
use crate::columns::Columns;
use crate::limits::Limits;
use crate::raw::Machine;

/// What the name of a segment that is being written ends with.
const OPEN: &str = ".open";

/// Begins the Parquet file with this name.
pub type Begin = Box<dyn FnMut(&Path) -> Result<Parquet> + Send>;

/// Segments of this machine in a directory.
pub struct Segments {
    /// That of this host.
    directory: PathBuf,
    machine: Machine,
    begin: Begin,
    rotate: Limits,
    keep: Limits,
    current: Option<Segment>,
    /// Bytes of those that are finished.
    bytes: u64,
    /// No other recorder writes segments of this host here.
    _lock: File,
}

/// The one that is being written.
struct Segment {
    sink: Box<Parquet>,
    /// Without [`OPEN`].
    path: PathBuf,
    summary: Summary,
}

/// The directory of `host` in `out`. What would make it another name is written as a URL has it.
pub fn directory(out: &Path, host: &str) -> PathBuf {
    let mut name = String::from("host=");
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(byte.into()),
            other => name += &format!("%{other:02X}"),
        }
    }
    out.join(name)
}

impl Segments {
    /// Of `machine` in its `directory`, to which `lock` belongs. Each is ended at the limits of `rotate`; of those that are
    /// not being written the oldest are removed beyond those of `keep`.
    pub fn new(
        directory: PathBuf,
        machine: &Machine,
        (rotate, keep): (Limits, Limits),
        lock: File,
        begin: Begin,
    ) -> Segments {
        Segments {
            directory,
            machine: machine.clone(),
            begin,
            rotate,
            keep,
            current: None,
            bytes: 0,
            _lock: lock,
        }
    }

    /// A name that no segment has, which sorts after those of before.
    fn name(&self) -> Result<PathBuf> {
        let now = Utc::now();
        let date = self.directory.join(now.format("date=%Y-%m-%d").to_string());
        fs::create_dir_all(&date).with_context(|| format!("cannot make {}", date.display()))?;
        let boot = self.machine.boot_id.chars().filter(char::is_ascii_hexdigit);
        let boot: String = boot.take(8).collect();
        let time = now.format("%Y%m%dT%H%M%S%.6fZ");
        // A clock that was set back may come to the same time again.
        let mut names = (0..).map(|n| match n {
            0 => date.join(format!("{time}-{boot}.parquet")),
            n => date.join(format!("{time}-{boot}-{n}.parquet")),
        });
        let free = |path: &PathBuf| !path.exists() && !open(path).exists();
        names.find(free).context("no name is left")
    }

    /// The segment that is being written.
    fn current(&mut self) -> Result<&mut Segment> {
        if self.current.is_none() {
            let path = self.name()?;
            let sink = Box::new((self.begin)(&open(&path))?);
            let summary = Summary::new(&self.machine);
            self.current = Some(Segment {
                sink,
                path,
                summary,
            });
        }
        self.current.as_mut().context("there is no segment")
    }

    /// Ends the segment that is being written.
    fn end(&mut self) -> Result<()> {
        let Some(Segment {
            sink,
            path,
            summary,
        }) = self.current.take()
        else {
            return Ok(());
        };
        self.bytes += (sink as Box<dyn Sink>).finish(&summary)?;
        fs::rename(open(&path), &path)
            .with_context(|| format!("cannot name {}", path.display()))?;
        self.remove_oldest();
        Ok(())
    }

    /// Removes what is beyond the limits, the oldest first. What cannot be removed stays.
    fn remove_oldest(&self) {
        let mut segments = self.segments();
        let mut bytes: u64 = segments.iter().map(|(_, bytes, _)| bytes).sum();
        segments.sort();
        let now = SystemTime::now();
        for (path, size, ended) in segments {
            let age = now.duration_since(ended).unwrap_or_default();
            let old = self.keep.age.is_some_and(|most| age > most);
            if !old && self.keep.bytes.is_none_or(|most| bytes <= most) {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                bytes -= size;
                let _ = fs::remove_file(journal::path(&path));
                // The last of its day.
                let _ = path.parent().map(fs::remove_dir);
            }
        }
    }

    /// The segments of this host that are not being written, those that other recorders left unfinished too: bytes, and when
    /// they were ended.
    fn segments(&self) -> Vec<(PathBuf, u64, SystemTime)> {
        let inside = |directory: &Path| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.map(|entry| entry.path())
        };
        let current = self.current.as_ref().map(|segment| open(&segment.path));
        let days = inside(&self.directory).filter(|path| path.is_dir());
        let files = days.flat_map(|day| inside(&day).collect::<Vec<_>>());
        files
            .filter(|path| {
                let name = path.to_string_lossy();
                let segment = name.ends_with(".parquet") || name.ends_with(".parquet.open");
                segment && Some(path) != current.as_ref()
            })
            .filter_map(|path| {
                let file = path.metadata().ok()?;
                Some((path, file.len(), file.modified().ok()?))
            })
            .collect()
    }
}

/// The name of a segment while it is being written.
fn open(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OPEN);
    name.into()
}

/// Takes rows into account.
fn count(summary: &mut Summary, columns: &Columns) {
    summary.events += columns.rows() as u64;
    for run in columns.series("time").runs() {
        summary.span(run.value().unwrap_or_default());
    }
    let lost = columns.series("lost");
    if lost.nulls() == lost.rows() {
        return;
    }
    let (classes, reasons) = (columns.series("class"), columns.series("action"));
    for ((class, why), lost) in classes.iter().zip(reasons.iter()).zip(lost.iter()) {
        let Some(lost) = lost else { continue };
        let text = |number: Option<i64>| {
            let text = columns.texts().get(usize::try_from(number?).ok()?)?;
            Some(&**text)
        };
        let class = text(class)
            .and_then(Class::from_name)
            .unwrap_or(Class::Other);
        summary.lose(class.as_str(), text(why).unwrap_or_default(), lost as u64);
    }
}

impl Sink for Segments {
    fn rows(&self) -> usize {
        batch::ROWS
    }

    fn patience(&self) -> Option<Duration> {
        Some(KEPT_AFTER)
    }

    fn gathers(&self) -> bool {
        true
    }

    fn turns_after(&self) -> Option<Duration> {
        self.rotate.age
    }

    fn keep(&mut self, columns: &Columns) -> Result<()> {
        self.current()?.sink.keep(columns)
    }

    fn write(&mut self, columns: &Columns) -> Result<()> {
        let most = self.rotate.bytes;
        let segment = self.current()?;
        segment.sink.write(columns)?;
        count(&mut segment.summary, columns);
        if most.is_some_and(|most| segment.sink.len() >= most) {
            self.end()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        self.end()
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> Result<u64> {
        if let Some(segment) = &mut self.current {
            segment.summary.clocks = summary.clocks.clone();
            segment.summary.missed = summary.missed.clone();
        }
        self.end()?;
        Ok(self.bytes)
    }
}
