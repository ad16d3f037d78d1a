//! The thread that encodes, compresses and writes batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use crate::calls::Calls;
use crate::pipeline::cutter::BatchPart;
use crate::rows::Events;
use crate::rows::batch::{Batch, ContainerName};
use crate::rows::buffers::ColumnBuffers;
use crate::rows::columns::Columns;
use crate::sink::Sink;
use crate::sink::summary::Summary;

/// What has been sent to the encoder.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// Parts with which it is not done.
    pub(crate) parts: AtomicUsize,
    /// Bytes of these, and of those that it has gathered.
    pub(crate) bytes: AtomicUsize,
}

/// A message to the encoder's thread.
pub(crate) enum ToEncoder {
    /// Part of a batch, and the names of all containers by index.
    Part(Box<BatchPart>, Vec<ContainerName>),
    /// The end of the recording: the sink writes its metadata.
    End(Box<Summary>),
}

/// The thread that encodes, compresses and writes.
pub(crate) struct EncoderThread {
    pub(crate) parts: SyncSender<ToEncoder>,
    pub(crate) thread: JoinHandle<Result<u64>>,
}

/// The encoder's thread: until the recording ends or the sink fails.
pub(crate) fn encode(
    waiting: &Receiver<ToEncoder>,
    host: &str,
    calls: &Arc<Calls>,
    mut sink: Box<dyn Sink>,
    in_flight: &InFlight,
) -> Result<u64> {
    let clusters = sink.batch_policy().regroups;
    let columns = |batch: Batch, names: &[ContainerName], room: ColumnBuffers| {
        Columns::new(batch, calls, names, host, clusters, room)
    };
    let (mut gathered, mut bytes) = (Batch::default(), 0);
    let mut room = ColumnBuffers::default();
    for message in waiting {
        let (part, names) = match message {
            ToEncoder::Part(part, names) => (part, names),
            ToEncoder::End(summary) => return sink.finish(&summary),
        };
        let BatchPart {
            batch,
            last,
            command,
        } = *part;
        bytes += batch.bytes();
        if last {
            gathered.join(batch);
            let batch = std::mem::take(&mut gathered);
            let columns = columns(batch, &names, std::mem::take(&mut room));
            if columns.rows() > 0 {
                sink.write(&columns)?;
            }
            room = columns.into_parts().1;
            in_flight
                .bytes
                .fetch_sub(std::mem::take(&mut bytes), Ordering::Relaxed);
            if let Some(command) = command {
                sink.command(command)?;
            }
        } else {
            let lent = gathered.lend(batch);
            let columns = columns(lent, &names, std::mem::take(&mut room));
            if columns.rows() > 0 {
                sink.journal(&columns)?;
            }
            let (lent, emptied) = columns.into_parts();
            room = emptied;
            gathered.take_back(lent);
        }
        in_flight.parts.fetch_sub(1, Ordering::Release);
    }
    Err(anyhow!("the recording was not ended"))
}
