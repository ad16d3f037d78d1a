//! What recorders that were killed have left in a directory: it is finished in a thread, while the recording goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::anyhow;
use ctrace_schema::human::count;

use crate::progress::Notice;
use crate::sink::segments::directory::unfinished;
use crate::sink::segments::finish::finish;

/// Segments that are not finished.
pub struct UnfinishedSegments {
    /// Until somebody is at them.
    files: Vec<PathBuf>,
    /// Bytes of rows in memory.
    most: usize,
    thread: Option<JoinHandle<()>>,
    say: Sender<Notice>,
    said: Receiver<Notice>,
}

impl UnfinishedSegments {
    /// Those that are in the directory of this host now, where no other recorder writes; with rows of some `most` bytes in
    /// memory at a time.
    pub fn new(of_host: &Path, most: usize) -> UnfinishedSegments {
        let (say, said) = channel();
        UnfinishedSegments {
            files: unfinished(of_host),
            most,
            thread: None,
            say,
            said,
        }
    }

    /// To be called now and then once the recording has begun, which waits for nothing. Returns what there is to say.
    pub fn step(&mut self) -> impl Iterator<Item = Notice> {
        if !self.files.is_empty() {
            let files = std::mem::take(&mut self.files);
            let (most, say) = (self.most, self.say.clone());
            let thread = std::thread::Builder::new().name("finish".to_string());
            // Without a thread they stay for the next recorder.
            self.thread = thread.spawn(move || finish_all(&files, most, &say)).ok();
        }
        self.said.try_iter()
    }

    /// Waits until what was begun is finished. Returns what there is to say.
    pub fn join(&mut self) -> impl Iterator<Item = Notice> {
        let _ = self.thread.take().map(JoinHandle::join);
        self.said.try_iter()
    }
}

fn finish_all(files: &[PathBuf], most: usize, say: &Sender<Notice>) {
    for open in files {
        // Metadata that lies about its own lengths makes the decoder panic.
        let finished = catch_unwind(AssertUnwindSafe(|| finish(open, most)));
        let said = match finished.unwrap_or_else(|_| Err(anyhow!("its blocks make no sense"))) {
            Ok(None) => continue,
            Ok(Some(finished)) => Notice {
                text: format!(
                    "finished {}, which a recorder that was killed has left: {} events",
                    finished.path.display(),
                    count(finished.events)
                ),
                is_warning: false,
            },
            Err(e) => Notice {
                text: format!(
                    "{} cannot be finished: {e:#}; what is whole in it stays, and ctrace-query reads it",
                    open.display()
                ),
                is_warning: true,
            },
        };
        // Nobody listens any more where the recording has ended.
        let _ = say.send(said);
    }
}
