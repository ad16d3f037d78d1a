//! Small recordings for tests, written as the recorder writes them: the same columns and the same footer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::json::ReaderBuilder;
use ctrace_schema::{columns, meta};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value, json};

/// The time of the first event: 2026-11-21 03:12:00 UTC, in nanoseconds.
pub(crate) const START: i64 = 1_795_230_720_000_000_000;

/// The ready questions of `ctrace-query`.
pub(crate) const QUESTIONS: &[&str] = &[
    "summary",
    "why",
    "containers",
    "syscalls",
    "strace",
    "stuck",
    "files",
    "peers",
    "links",
    "dns",
    "processes",
    "errors",
    "denied",
    "drift",
    "powers",
    "capabilities",
    "gaps",
    "rules",
];

/// A recording that a test composes row by row.
#[derive(Clone, Default)]
pub(crate) struct Story {
    pub(crate) rows: Vec<Value>,
    meta: Vec<(String, String)>,
}

impl Story {
    /// Adds a row `ms` milliseconds after the start. Columns that `row` lacks are null, and `seq` counts up.
    pub(crate) fn row(&mut self, ms: i64, row: Value) -> &mut Self {
        let mut object =
            json!({ "time": START + ms * 1_000_000, "seq": self.rows.len(), "host": "node1" });
        merge(&mut object, row);
        self.rows.push(object);
        self
    }

    /// Adds a call of 25 µs.
    pub(crate) fn call(
        &mut self,
        ms: i64,
        who: &Value,
        syscall: &str,
        ret: i64,
        more: Value,
    ) -> &mut Self {
        let mut row =
            json!({ "kind": "syscall", "duration": 25_000, "syscall": syscall, "ret": ret });
        merge(&mut row, who.clone());
        merge(&mut row, more);
        self.row(ms, row)
    }

    /// Sets a pair of the footer.
    pub(crate) fn meta(&mut self, key: &str, value: &str) -> &mut Self {
        self.meta.retain(|(k, _)| k != key);
        self.meta.push((key.into(), value.into()));
        self
    }

    /// Sets a column of the last row.
    pub(crate) fn last(&mut self, column: &str, value: impl Into<Value>) -> &mut Self {
        self.rows.last_mut().unwrap()[column] = value.into();
        self
    }

    /// Writes the recording to `dir`/`name` and returns the path.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let schema = Arc::new(columns::arrow_schema());
        let mut decoder = ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
        decoder.serialize(&self.rows).unwrap();
        let pairs = self
            .meta
            .iter()
            .map(|(k, v)| KeyValue::new(k.clone(), v.clone()))
            .collect();
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(pairs))
            .set_max_row_group_row_count(Some(16))
            .build();
        let path = dir.join(name);
        let options = ArrowWriterOptions::new()
            .with_skip_arrow_metadata(true)
            .with_properties(properties);
        let mut writer =
            ArrowWriter::try_new_with_options(File::create(&path).unwrap(), schema, options)
                .unwrap();
        if let Some(batch) = decoder.flush().unwrap() {
            writer.write(&batch).unwrap();
        }
        writer.close().unwrap();
        path
    }
}

/// Adds the keys of `from` to `into`.
pub(crate) fn merge(into: &mut Value, from: Value) {
    let from: Map<String, Value> = from.as_object().unwrap().clone();
    into.as_object_mut().unwrap().extend(from);
}

/// Sets the footer of a recording that was closed and lost nothing.
pub(crate) fn footer(story: &mut Story) {
    story
        .meta(meta::KEY_SCHEMA, "1.0")
        .meta(meta::KEY_PRODUCER, "ctrace-rec 0.1.0")
        .meta(meta::KEY_HOST, "node1")
        .meta(meta::KEY_KERNEL, "6.12.0")
        .meta(meta::KEY_ARCH, "x86_64")
        .meta(meta::KEY_START, &START.to_string())
        .meta(meta::KEY_END, &(START + 60_000_000_000).to_string())
        .meta(meta::KEY_LOST, "{}");
}
