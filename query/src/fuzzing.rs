//! The readers of recordings and statements, for the fuzz targets in `fuzz/`. The program has no such door.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::WORKER_STACK_BYTES;
use crate::engine::{Engine, EngineLimits};
use crate::memory::on_deep_stack;
use crate::proof::{self, PublicKey};
use crate::source;

/// The memory of a query, bytes.
const MEMORY_BYTES: usize = 64 << 20;
/// The longest time of a query that stops when it is told to.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Answers statements and proves recordings as the program does.
pub struct Asker(Runtime);

impl Asker {
    /// Starts the threads.
    ///
    /// # Errors
    /// There are no threads left.
    pub fn new() -> std::io::Result<Asker> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        threads
            .worker_threads(1)
            .thread_stack_size(WORKER_STACK_BYTES);
        threads.enable_all().build().map(Asker)
    }

    /// Answers `sql` over `recording`, and returns the number of rows.
    ///
    /// # Errors
    /// The text of the error; or the answer took too long.
    pub fn ask(&self, recording: &Path, sql: &str) -> Result<usize, String> {
        self.run(async || {
            let engine = engine(recording);
            let answer = engine.answer(sql).await.map_err(|e| e.to_string())?;
            let batches: Vec<_> = answer
                .rows()
                .try_collect()
                .await
                .map_err(|e| answer.explain(&e).to_string())?;
            Ok(batches.iter().map(|batch| batch.num_rows()).sum())
        })
    }

    /// Proves the recordings in `directory` with the public key in the file `key`, and returns the number of findings.
    ///
    /// # Errors
    /// The text of the error; or the proof took too long.
    pub fn verify(&self, directory: &Path, key: &Path) -> Result<usize, String> {
        self.run(async || {
            let key = PublicKey::read(key).map_err(|e| e.to_string())?;
            let named = [directory.to_path_buf()];
            let engine = engine(directory);
            let findings = proof::verify(
                engine.session(),
                &named,
                Some(Arc::new(key)),
                &Arc::default(),
            )
            .await;
            findings.map(|all| all.len()).map_err(|e| e.to_string())
        })
    }

    /// Runs a task of the program in a thread with the stack of the program's.
    fn run(
        &self,
        task: impl AsyncFnOnce() -> Result<usize, String> + Send,
    ) -> Result<usize, String> {
        let run = || {
            let timed = async { tokio::time::timeout(TIMEOUT, task()).await };
            let result = self.0.block_on(timed);
            result.unwrap_or_else(|_| Err("the time is up".to_string()))
        };
        let done = on_deep_stack(run).map_err(|e| e.to_string())?;
        done.unwrap_or_else(|_| Err("a decoder has panicked".to_string()))
    }
}

fn engine(recording: &Path) -> Engine {
    let engine = Engine::new(vec![recording.to_path_buf()], EngineLimits::new(1), |_| {});
    engine.with_memory(MEMORY_BYTES)
}

/// Reads bytes as the decompressed stream of each rollup.
pub fn rollups(stream: &[u8]) {
    source::read_rollups(stream);
}
