//! `--metrics ADDRESS`: serves the recorder's numbers over HTTP, in the text format of Prometheus.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use ctrace_schema::syscalls::Class;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text::{CONTENT_TYPE, encode};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

use crate::confine::{self, Needs};
use crate::limits::memory;
use crate::progress::Progress;
use crate::report::http::{Answer, serve};

/// The metrics of a recording, served by a thread until the program ends.
#[derive(Debug)]
pub(crate) struct Metrics(Arc<Numbers>);

/// Binds the address of a server of metrics. A port below 1024 needs a capability that the recorder drops.
///
/// # Errors
/// The address cannot be used.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|e| {
        anyhow!("cannot serve metrics at {address}: {e}; choose another address with --metrics")
    })
}

/// The progress at the last update.
#[derive(Debug, Default)]
struct Numbers(Mutex<Progress>);

impl Metrics {
    /// Starts a server.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn serve(listener: TcpListener) -> Result<Metrics> {
        let numbers = Arc::new(Numbers::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(numbers.clone()));
        // The thread is never joined: it ends with the program.
        confine::spawn("metrics", Needs::Nothing, move || {
            serve(&listener, |path| answer(path, &registry))
        })?;
        Ok(Metrics(numbers))
    }

    /// Sets the progress that the next requests receive.
    pub(crate) fn update(&self, progress: &Progress) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = progress.clone();
    }
}

fn answer(path: &str, registry: &Registry) -> Answer {
    let mut text = String::new();
    if path != "/metrics" {
        Answer::text("404 Not Found", "the metrics are at /metrics")
    } else if encode(&mut text, registry).is_ok() {
        Answer {
            status: "200 OK",
            content_type: CONTENT_TYPE,
            body: text,
        }
    } else {
        Answer::text(
            "500 Internal Server Error",
            "the metrics cannot be formatted",
        )
    }
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let progress = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut page = Page(encoder);
        page.recording(&progress)?;
        page.process()
    }
}

/// Encodes the body of an answer.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// Encodes the metrics of the recording.
    fn recording(&mut self, progress: &Progress) -> fmt::Result {
        self.counter("ctrace_events", "Events recorded", progress.events)?;
        // Export all classes from the beginning, so that the first loss is an increase of an existing counter.
        let lost = Class::ALL.map(|class| class.as_str());
        let lost = lost.map(|class| (class, progress.lost.get(class).unwrap_or(&0)));
        self.counters("ctrace_lost_events", "Events lost", "class", lost)?;
        let missed = progress.missed.iter().map(|(part, n)| (part.as_str(), n));
        self.counters(
            "ctrace_missed",
            "Parts of events that could not be recorded",
            "part",
            missed,
        )?;
        self.gauge(
            "ctrace_containers",
            "Running containers",
            progress.containers as i64,
        )?;
        self.counter(
            "ctrace_written_bytes",
            "Bytes of the output so far",
            progress.bytes.unwrap_or(0),
        )?;
        self.gauge(
            "ctrace_disk_full",
            "1 if the disk is full and events wait in memory",
            i64::from(progress.spilled_bytes.is_some()),
        )?;
        self.gauge(
            "ctrace_waiting_bytes",
            "Memory of the events that wait for space on the disk",
            progress.spilled_bytes.unwrap_or(0) as i64,
        )?;
        if let Some(ring) = progress.ring {
            self.gauge("ctrace_ring_bytes", "Memory of the ring", ring.bytes as i64)?;
            self.gauge(
                "ctrace_ring_seconds",
                "Time from the oldest event in the ring to the newest",
                ring.reach.as_secs_f64(),
            )?;
            self.counter("ctrace_dumps", "Dumps of the ring", ring.dumps)?;
        }
        self.gauge(
            "ctrace_lag_seconds",
            "Longest time that an event waited in the kernel's rings since the last report",
            progress.lag.as_secs_f64(),
        )
    }

    /// Encodes the process metrics, with the standard names of Prometheus client libraries.
    fn process(&mut self) -> fmt::Result {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        self.counter(
            "process_cpu_seconds",
            "CPU time of the recorder, user and kernel",
            cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        )?;
        if let Some(bytes) = memory::resident_bytes() {
            self.gauge(
                "process_resident_memory_bytes",
                "Memory of the recorder",
                bytes as i64,
            )?;
        }
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let encoder = self.0.encode_descriptor(
            "ctrace_build",
            "Version of the recorder",
            None,
            build.metric_type(),
        )?;
        build.encode(encoder)
    }

    fn counter<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        let counter = ConstCounter::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(encoder)
    }

    fn gauge<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let gauge = ConstGauge::new(value);
        let encoder = self
            .0
            .encode_descriptor(name, help, None, gauge.metric_type())?;
        gauge.encode(encoder)
    }

    /// Encodes a counter for each value of a label.
    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (impl AsRef<str>, &'a u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, n) in values {
            let labels = [(label, value.as_ref())];
            ConstCounter::new(*n).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
