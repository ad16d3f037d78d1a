//! Reads what `diff` compares: one query for each aspect of a side.

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use ctrace_schema::histogram::Histogram;

use crate::commands::answer::collect;
use crate::commands::containers::recording_contents;
use crate::diff::{
    Aspect, CallFacts, ContainerFacts, PeerFacts, SideFacts, SubjectFacts, slice_ns,
};
use crate::engine::{Engine, EventSelection, QueryError, histograms};
use crate::messages;
use crate::questions::{self, ParsedScope, ReadyQuestion, RecordingContents, SIDE_QUERIES};
use crate::source::TimeSpan;

/// The greatest number of files of a side. If a side has more, their directories are compared.
const MAX_FILES: usize = 500_000;
/// The subject of a file, and that of a file of which only the directory is compared.
const FILE: &str = "generalize(path)";
const DIRECTORY: &str = "regexp_replace(generalize(path), '[^/]+$', '*')";

/// The labels of Docker Compose.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// Reads a side.
pub(super) struct SideReader<'a> {
    name: &'static str,
    engine: &'a Engine,
    scope: ParsedScope,
    events: EventSelection,
    span: TimeSpan,
    contents: RecordingContents,
}

impl<'a> SideReader<'a> {
    /// # Errors
    /// A recording cannot be read.
    pub(super) async fn new(
        name: &'static str,
        engine: &'a Engine,
        scope: ParsedScope,
        events: EventSelection,
    ) -> anyhow::Result<SideReader<'a>> {
        engine.session().register_udaf(histograms());
        Ok(SideReader {
            name,
            engine,
            scope: scope.with_rows(events.rows.clone()),
            events,
            span: engine.span().await?,
            contents: recording_contents(engine).await,
        })
    }

    /// Reads all aspects of the side, and warns of lost events. `records` tells of the name of a call whether the recordings have all
    /// such calls.
    ///
    /// # Errors
    /// A recording cannot be read.
    pub(super) async fn read(
        &self,
        records: Box<dyn Fn(&str) -> bool>,
    ) -> anyhow::Result<SideFacts> {
        let span = self.events.span;
        let mut side = SideFacts {
            span,
            containers: self.containers().await?,
            addresses: self.addresses().await?,
            subjects: vec![],
            peers: self.peers().await?,
            calls: self.calls().await?,
            records,
        };
        for (aspect, query) in [
            (Aspect::Executable, &SIDE_QUERIES.executables),
            (Aspect::Name, &SIDE_QUERIES.names),
            (Aspect::Error, &SIDE_QUERIES.errors),
            (Aspect::Exit, &SIDE_QUERIES.exits),
        ] {
            for batch in self.rows(&self.sql(query)).await? {
                add_subjects(aspect, &batch, &mut side.subjects)?;
            }
        }
        side.subjects.extend(self.files().await?);
        Ok(side)
    }

    fn sql(&self, query: &ReadyQuestion) -> String {
        questions::sql(query, &self.scope, self.span, &self.contents)
    }

    async fn rows(&self, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
        Ok(collect(self.engine, sql).await?.1)
    }

    /// Returns the containers that lived in the span.
    async fn containers(&self) -> anyhow::Result<Vec<ContainerFacts>> {
        let (from, to) = self.events.span;
        let mut containers = vec![];
        for batch in self.rows(&self.sql(&SIDE_QUERIES.containers)).await? {
            let [
                name,
                general,
                id,
                image,
                digest,
                pod,
                namespace,
                labels,
                addresses,
            ] = [
                "container",
                "general_name",
                "container_id",
                "image",
                "image_digest",
                "pod",
                "namespace",
                "labels",
                "addresses",
            ]
            .map(|column| texts(&batch, column));
            let (name, general, id, image, digest) = (name?, general?, id?, image?, digest?);
            let (pod, namespace, labels, addresses) = (pod?, namespace?, labels?, addresses?);
            let [restarts, started, stopped, first_seen, last_seen] =
                ["restarts", "started", "stopped", "first_seen", "last_seen"]
                    .map(|column| numbers(&batch, column));
            let (restarts, started, stopped) = (restarts?, started?, stopped?);
            let (first_seen, last_seen) = (first_seen?, last_seen?);
            for row in 0..batch.num_rows() {
                let first = number(&started, row)
                    .or(number(&first_seen, row))
                    .unwrap_or(i64::MIN);
                let last = number(&stopped, row)
                    .or(number(&last_seen, row))
                    .unwrap_or(i64::MAX);
                let is_alive = number(&stopped, row).is_none();
                if first > to || last < from && !is_alive {
                    continue;
                }
                let own_name = text(&name, row).unwrap_or_default();
                containers.push(ContainerFacts {
                    id: text(&id, row).unwrap_or_else(|| own_name.clone()),
                    has_id: id.is_valid(row),
                    name: own_name,
                    general_name: text(&general, row).unwrap_or_default(),
                    image: text(&image, row),
                    image_digest: text(&digest, row),
                    pod: text(&pod, row),
                    namespace: text(&namespace, row),
                    service: text(&labels, row).and_then(|labels| service(&labels)),
                    addresses: text(&addresses, row)
                        .unwrap_or_default()
                        .split(' ')
                        .map(String::from)
                        .filter(|a| !a.is_empty())
                        .collect(),
                    restarts: number(&restarts, row).unwrap_or(0),
                    started: number(&started, row),
                    stopped: number(&stopped, row),
                    first_seen: number(&first_seen, row).unwrap_or(0),
                });
            }
        }
        Ok(containers)
    }

    async fn addresses(&self) -> anyhow::Result<Vec<(String, String)>> {
        let sql = "select generalize(container) as name, addresses from events \
                   where kind = 'container' and addresses is not null group by 1, 2 order by 1, 2";
        let mut of_names = vec![];
        for batch in self.rows(sql).await? {
            let (names, addresses) = (texts(&batch, "name")?, texts(&batch, "addresses")?);
            for row in 0..batch.num_rows() {
                let name = text(&names, row).unwrap_or_default();
                let addresses = text(&addresses, row).unwrap_or_default();
                let each = addresses.split_whitespace();
                of_names.extend(each.map(|address| (address.to_string(), name.clone())));
            }
        }
        Ok(of_names)
    }

    async fn files(&self) -> anyhow::Result<Vec<SubjectFacts>> {
        let sql = self.sql(&SIDE_QUERIES.files);
        let limited = format!("{}limit {}", sql.replace("{subject}", FILE), MAX_FILES + 1);
        let mut files = vec![];
        for batch in self.rows(&limited).await? {
            add_subjects(Aspect::File, &batch, &mut files)?;
        }
        if files.len() <= MAX_FILES {
            return Ok(files);
        }
        messages::warning(&format!(
            "the {} side used more than {MAX_FILES} files: of files, only the directories are compared. Compare less, as with --container, to compare files",
            self.name
        ));
        files.clear();
        for batch in self.rows(&sql.replace("{subject}", DIRECTORY)).await? {
            add_subjects(Aspect::File, &batch, &mut files)?;
        }
        Ok(files)
    }

    async fn peers(&self) -> anyhow::Result<Vec<PeerFacts>> {
        let mut peers = vec![];
        for batch in self.rows(&self.sql(&SIDE_QUERIES.peers)).await? {
            let [id, protocol, address, path, name, dns_name, direction] = [
                "id",
                "protocol",
                "peer_addr",
                "peer_path",
                "name",
                "dns_name",
                "direction",
            ]
            .map(|column| texts(&batch, column));
            let (id, protocol, address, path) = (id?, protocol?, address?, path?);
            let (name, dns_name, direction) = (name?, dns_name?, direction?);
            let [local_port, peer_port, count, first_seen] =
                ["local_port", "peer_port", "n", "first_seen"]
                    .map(|column| numbers(&batch, column));
            let (local_port, peer_port, count, first_seen) =
                (local_port?, peer_port?, count?, first_seen?);
            peers.extend((0..batch.num_rows()).map(|row| PeerFacts {
                container: text(&id, row).unwrap_or_default(),
                protocol: text(&protocol, row),
                address: text(&address, row),
                path: text(&path, row),
                name: text(&name, row),
                dns_name: text(&dns_name, row),
                local_port: number(&local_port, row),
                peer_port: number(&peer_port, row),
                direction: text(&direction, row),
                count: unsigned(&count, row),
                first_seen: number(&first_seen, row).unwrap_or(0),
            }));
        }
        Ok(peers)
    }

    async fn calls(&self) -> anyhow::Result<Vec<CallFacts>> {
        let (from, _) = self.events.span;
        let slice = format!(
            "(cast(time as bigint) - {from}) / {}",
            slice_ns(self.events.span)
        );
        let sql = self.sql(&SIDE_QUERIES.calls);
        let sql = sql
            .replace("{slice}", &slice)
            .replace("{in_span}", &self.events.in_span());
        let (frame, batches) = collect(self.engine, &sql).await?;
        if let Some(losses) = self.engine.losses(&frame).await.map_err(QueryError::from)? {
            messages::warning(&format!("the {} side: {losses}", self.name));
        }
        let mut calls = vec![];
        for batch in batches {
            let [id, name, error] = ["id", "name", "error"].map(|column| texts(&batch, column));
            let (id, name, error) = (id?, name?, error?);
            let [slice, count, first_seen] =
                ["slice", "n", "first_seen"].map(|column| numbers(&batch, column));
            let (slice, count, first_seen) = (slice?, count?, first_seen?);
            let denied: BooleanArray = column(&batch, "denied", &DataType::Boolean)?
                .as_boolean()
                .clone();
            let durations: BinaryArray = column(&batch, "durations", &DataType::Binary)?
                .as_binary()
                .clone();
            for row in 0..batch.num_rows() {
                let mut histogram = Histogram::default();
                if durations.is_valid(row) {
                    histogram.merge_bytes(durations.value(row));
                }
                calls.push(CallFacts {
                    container: text(&id, row).unwrap_or_default(),
                    name: text(&name, row).unwrap_or_default(),
                    error: text(&error, row),
                    is_denied: denied.is_valid(row) && denied.value(row),
                    slice: usize::try_from(unsigned(&slice, row)).unwrap_or(0),
                    count: unsigned(&count, row),
                    first_seen: number(&first_seen, row).unwrap_or(0),
                    durations: histogram,
                });
            }
        }
        Ok(calls)
    }
}

fn add_subjects(
    aspect: Aspect,
    batch: &RecordBatch,
    subjects: &mut Vec<SubjectFacts>,
) -> anyhow::Result<()> {
    let [id, subject, action, example, alias] =
        ["id", "subject", "action", "example", "alias"].map(|column| texts(batch, column));
    let (id, subject, action, example, alias) = (id?, subject?, action?, example?, alias?);
    let [rank, count, first_seen] =
        ["rank", "n", "first_seen"].map(|column| numbers(batch, column));
    let (rank, count, first_seen) = (rank?, count?, first_seen?);
    subjects.extend((0..batch.num_rows()).map(|row| SubjectFacts {
        aspect,
        container: text(&id, row).unwrap_or_default(),
        subject: text(&subject, row).unwrap_or_default(),
        action: text(&action, row),
        example: text(&example, row).unwrap_or_default(),
        alias: text(&alias, row),
        rank: number(&rank, row).unwrap_or(0),
        count: unsigned(&count, row),
        first_seen: number(&first_seen, row).unwrap_or(0),
    }));
    Ok(())
}

/// Returns the project and the service of Docker Compose in labels, which are a JSON object.
fn service(labels: &str) -> Option<String> {
    let labels: serde_json::Value = serde_json::from_str(labels).ok()?;
    let (project, service) = (
        labels.get(PROJECT)?.as_str()?,
        labels.get(SERVICE)?.as_str()?,
    );
    Some(format!("{project}/{service}"))
}

fn column(
    batch: &RecordBatch,
    name: &str,
    to: &DataType,
) -> Result<arrow::array::ArrayRef, QueryError> {
    let index = batch
        .schema()
        .index_of(name)
        .map_err(datafusion::error::DataFusionError::from)?;
    Ok(cast(batch.column(index), to).map_err(datafusion::error::DataFusionError::from)?)
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringViewArray, QueryError> {
    Ok(column(batch, name, &DataType::Utf8View)?
        .as_string_view()
        .clone())
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array, QueryError> {
    Ok(column(batch, name, &DataType::Int64)?
        .as_primitive::<Int64Type>()
        .clone())
}

fn text(column: &StringViewArray, row: usize) -> Option<String> {
    column.is_valid(row).then(|| column.value(row).to_string())
}

fn number(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

fn unsigned(column: &Int64Array, row: usize) -> u64 {
    number(column, row)
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0)
}
