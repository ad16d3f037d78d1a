//! The encoder thread: turns batches into columns, and passes them to the sink, which encodes, compresses and writes.
//!
//! Parts of a batch go to [`Sink::journal`] as they arrive, and are joined. The complete batch goes to [`Sink::write`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use crate::calls::Calls;
use crate::pipeline::cutter::BatchPart;
use crate::rows::Events;
use crate::rows::batch::{Batch, Boot, ContainerName};
use crate::rows::buffers::ColumnBuffers;
use crate::rows::columns::Columns;
use crate::sink::Sink;
use crate::sink::summary::Summary;

/// The amount of data that was sent to the encoder and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// Parts that the encoder has not processed.
    pub(crate) parts: AtomicUsize,
    /// Memory of these parts, and of the parts that are joined and wait for the end of their batch.
    pub(crate) bytes: AtomicUsize,
}

/// A message to the encoder's thread.
pub(crate) enum ToEncoder {
    /// A part of a batch, and the names of all containers by index.
    Part(Box<BatchPart>, Vec<ContainerName>),
    /// The end of the recording: the sink writes its metadata.
    End(Box<Summary>),
}

/// The encoder thread, and the channel to it.
pub(crate) struct EncoderThread {
    pub(crate) messages: SyncSender<ToEncoder>,
    pub(crate) thread: JoinHandle<Result<u64>>,
}

/// Runs the encoder thread until the recording ends or the sink fails. Returns the size of the output in bytes.
pub(crate) fn encode(
    messages: &Receiver<ToEncoder>,
    boot: &Boot,
    calls: &Arc<Calls>,
    mut sink: Box<dyn Sink>,
    in_flight: &InFlight,
) -> Result<u64> {
    let clusters = sink.batch_policy().regroups;
    let columns = |batch: Batch, names: &[ContainerName], buffers: ColumnBuffers| {
        Columns::new(batch, calls, names, boot, clusters, buffers)
    };
    let (mut joined, mut joined_bytes) = (Batch::default(), 0);
    let mut buffers = ColumnBuffers::default();
    for message in messages {
        let (part, names) = match message {
            ToEncoder::Part(part, names) => (part, names),
            ToEncoder::End(summary) => return sink.finish(&summary),
        };
        let BatchPart {
            batch,
            last,
            command,
        } = *part;
        joined_bytes += batch.bytes();
        if last {
            joined.join(batch);
            let batch = std::mem::take(&mut joined);
            let columns = columns(batch, &names, std::mem::take(&mut buffers));
            if columns.rows() > 0 {
                sink.write(&columns)?;
            }
            buffers = columns.into_parts().1;
            in_flight
                .bytes
                .fetch_sub(std::mem::take(&mut joined_bytes), Ordering::Relaxed);
            if let Some(command) = command {
                sink.command(command)?;
            }
        } else {
            let lent = joined.lend(batch);
            let columns = columns(lent, &names, std::mem::take(&mut buffers));
            if columns.rows() > 0 {
                sink.journal(&columns)?;
            }
            let (lent, returned) = columns.into_parts();
            buffers = returned;
            joined.take_back(lent);
        }
        in_flight.parts.fetch_sub(1, Ordering::Release);
    }
    Err(anyhow!("the recording was not ended"))
}
