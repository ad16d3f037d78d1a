//! A thread that finishes the segments of killed recorders while the recording runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::anyhow;
use ctrace_schema::human::count;

use crate::confine::{self, Needs};
use crate::progress::Notice;
use crate::sink::full::DiskFull;
use crate::sink::proof::Proof;
use crate::sink::segments::directory::{self, set_damaged};
use crate::sink::segments::finish::finish;

/// Unfinished segments, and the thread that finishes them.
pub(crate) struct UnfinishedSegments {
    /// The files, until the thread is started.
    files: Vec<PathBuf>,
    max_row_bytes: usize,
    proof: Proof,
    thread: Option<JoinHandle<()>>,
    sender: Sender<Notice>,
    notices: Receiver<Notice>,
}

impl UnfinishedSegments {
    /// Lists the unfinished segments in the directories of this host, before this recorder writes there. Finishing them
    /// keeps about `max_row_bytes` of rows in memory, and gives them their `proof`.
    pub(crate) fn new(
        directories: &[PathBuf],
        max_row_bytes: usize,
        proof: Proof,
    ) -> UnfinishedSegments {
        let (sender, notices) = channel();
        UnfinishedSegments {
            files: directory::unfinished(directories),
            max_row_bytes,
            proof,
            thread: None,
            sender,
            notices,
        }
    }

    /// Starts the thread on the first call, and returns the notices since the last call. Called repeatedly while the
    /// recording runs; never blocks.
    pub(crate) fn poll(&mut self) -> impl Iterator<Item = Notice> {
        if !self.files.is_empty() {
            let files = std::mem::take(&mut self.files);
            let (max_row_bytes, sender) = (self.max_row_bytes, self.sender.clone());
            let proof = self.proof.clone();
            // If the thread cannot be started, the segments stay for the next recorder.
            let run = move || finish_all(&files, max_row_bytes, &proof, &sender);
            self.thread = confine::spawn("finish", Needs::Output, run).ok();
        }
        self.notices.try_iter()
    }

    /// Waits until the thread has finished all segments, and returns the remaining notices.
    pub(crate) fn join(&mut self) -> impl Iterator<Item = Notice> {
        let _ = self.thread.take().map(JoinHandle::join);
        self.notices.try_iter()
    }
}

fn finish_all(files: &[PathBuf], max_row_bytes: usize, proof: &Proof, sender: &Sender<Notice>) {
    for open in files {
        // The Thrift decoder of the parquet crate panics on metadata with wrong lengths.
        let finished = catch_unwind(AssertUnwindSafe(|| finish(open, max_row_bytes, proof)));
        let notice = match finished.unwrap_or_else(|_| Err(anyhow!("its blocks are damaged"))) {
            Ok(None) => continue,
            Ok(Some(finished)) => Notice {
                text: format!(
                    "finished {}, left behind by a killed recorder: {} events",
                    finished.path.display(),
                    count(finished.events)
                ),
                is_warning: false,
            },
            Err(e) => Notice {
                text: failure(open, e),
                is_warning: true,
            },
        };
        // The receiver is dropped when the recording has ended.
        let _ = sender.send(notice);
    }
}

/// Returns the message about a segment that cannot be finished. A segment that fails gets another name, so that it fails
/// once and not at each start of a recorder.
fn failure(open: &Path, e: anyhow::Error) -> String {
    let name = open.display();
    match DiskFull::detect(e) {
        full if full.is::<DiskFull>() => {
            format!("cannot finish {name}: {full:#}; the next recorder tries again")
        }
        e => match set_damaged(open) {
            Ok(damaged) => format!(
                "cannot finish {name}: {e:#}; the file is {} now, and `ctrace-query -r` reads what is complete in it",
                damaged.display()
            ),
            Err(_) => format!("cannot finish {name}: {e:#}; the file stays"),
        },
    }
}
