//! A sink that replaces texts (`--redact`) before another sink, with its journal, its ring and its rollups, sees them.

use std::sync::Arc;

use anyhow::Result;
use ctrace_redact::{RedactionCache, Redactor};

use crate::rows::Events;
use crate::rows::redacted::RedactedRows;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink, SinkCommand};

/// Redacts rows for another sink.
pub(crate) struct Redacting {
    sink: Box<dyn Sink>,
    cache: RedactionCache,
}

impl Redacting {
    /// Wraps `sink`.
    pub(crate) fn new(sink: Box<dyn Sink>, redactor: Arc<Redactor>) -> Redacting {
        Redacting {
            sink,
            cache: RedactionCache::new(redactor),
        }
    }
}

impl Sink for Redacting {
    fn batch_policy(&self) -> BatchPolicy {
        self.sink.batch_policy()
    }

    fn begin(&mut self, alive: &dyn Events) -> Result<()> {
        self.sink.begin(&RedactedRows::new(alive, &mut self.cache))
    }

    fn command(&mut self, command: SinkCommand) -> Result<()> {
        self.sink.command(command)
    }

    fn journal(&mut self, events: &dyn Events) -> Result<()> {
        self.sink
            .journal(&RedactedRows::new(events, &mut self.cache))
    }

    fn write(&mut self, events: &dyn Events) -> Result<()> {
        self.sink.write(&RedactedRows::new(events, &mut self.cache))
    }

    fn finish(self: Box<Self>, summary: &Summary) -> Result<u64> {
        self.sink.finish(summary)
    }
}
