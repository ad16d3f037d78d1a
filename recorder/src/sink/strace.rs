//! Lines on stdout in the format of strace(1), one per event.

use std::fmt::Write as _;
use std::io::{BufWriter, Stdout, Write};

use anyhow::Result;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use ctrace_schema::strace::{Call, End, Socket};
use ctrace_schema::{columns, human};

use crate::rows::Events;
use crate::sink::stdout::detect_closed_pipe;
use crate::sink::summary::Summary;
use crate::sink::{BatchPolicy, Sink};

pub(crate) struct StraceLines {
    out: BufWriter<Stdout>,
    bytes: u64,
    arch: String,
}

impl StraceLines {
    /// Creates the sink. `arch` is the architecture of the recorded machine, as `uname -m` prints it.
    pub(crate) fn new(arch: &str) -> StraceLines {
        StraceLines {
            out: BufWriter::new(std::io::stdout()),
            bytes: 0,
            arch: arch.to_string(),
        }
    }
}

impl Sink for StraceLines {
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::LINES
    }

    fn write(&mut self, columns: &dyn Events) -> Result<()> {
        let batch = &columns.record_batch()?;
        let rows = BatchColumns { batch };
        let mut lines = String::new();
        for row in 0..batch.num_rows() {
            rows.write_line(row, &self.arch, &mut lines);
        }
        self.bytes += lines.len() as u64;
        detect_closed_pipe(
            self.out
                .write_all(lines.as_bytes())
                .and_then(|()| self.out.flush()),
        )
    }

    fn finish(mut self: Box<Self>, _: &Summary) -> Result<u64> {
        detect_closed_pipe(self.out.flush())?;
        Ok(self.bytes)
    }
}

/// Access to the columns of an encoded batch by name.
struct BatchColumns<'a> {
    batch: &'a RecordBatch,
}

impl<'a> BatchColumns<'a> {
    fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        let column = self
            .batch
            .column(columns::index(name)?)
            .as_dictionary_opt::<UInt32Type>()?;
        let key = column.key(row)?;
        Some(column.values().as_string_opt::<i32>()?.value(key))
    }

    fn long(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.batch.column(columns::index(name)?);
        if let Some(column) = column.as_primitive_opt::<TimestampNanosecondType>() {
            return column.is_valid(row).then(|| column.value(row));
        }
        let column = column.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn int(&self, name: &str, row: usize) -> Option<i32> {
        let column = self
            .batch
            .column(columns::index(name)?)
            .as_primitive_opt::<Int32Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn bool(&self, name: &str, row: usize) -> Option<bool> {
        let column = self.batch.column(columns::index(name)?).as_boolean_opt()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn write_line(&self, row: usize, arch: &str, out: &mut String) {
        let time = self
            .long("time", row)
            .map(chrono::DateTime::from_timestamp_nanos);
        let clock = time
            .map(|t| t.format("%H:%M:%S%.6f").to_string())
            .unwrap_or_default();
        let text = |name| self.text(name, row).unwrap_or_default();
        let tid = self
            .int("tid", row)
            .map(|tid| tid.to_string())
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{clock} {:<15} {:<15} {tid:>7} ",
            text("container"),
            text("comm")
        );
        let _ = match text("kind") {
            "syscall" => self.write_call(row, arch, out),
            "process" if text("action") == "found" => {
                write!(out, "--- process found {} ---", text("argv"))
            }
            "process" => match (self.int("exit_code", row), self.int("exit_signal", row)) {
                (_, Some(signal)) => write!(out, "+++ killed by signal {signal} +++"),
                (code, None) => write!(out, "+++ exited with {} +++", code.unwrap_or(0)),
            },
            "gap" => write!(
                out,
                "--- {} {} events lost ---",
                self.long("lost", row).unwrap_or(0),
                text("class")
            ),
            "dns" => self.write_question(row, out),
            kind => write!(out, "--- {kind} {} {} ---", text("action"), text("image")),
        };
        out.push('\n');
    }

    fn write_call(&self, row: usize, arch: &str, out: &mut String) -> std::fmt::Result {
        let name = self.text("syscall", row).unwrap_or_default();
        let compat = self.bool("compat", row).unwrap_or(false);
        let mut call = Call::of_machine(name, arch, compat);
        for (i, name) in ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"]
            .iter()
            .enumerate()
        {
            call.args[i] = self.long(name, row);
        }
        call.ret = self.long("ret", row);
        call.path = self.text("path", row);
        call.path_arg = self.text("path_arg", row);
        call.path2 = self.text("path2", row);
        call.socket = self.socket(row);
        call.argv = self.text("argv", row);
        call.denied = self.bool("denied", row).unwrap_or(false);
        write!(out, "{call}")?;
        match self.long("duration", row) {
            Some(ns) => write!(out, " <{}>", human::duration(ns)),
            None => Ok(()),
        }
    }

    /// Writes a question to a name server: `--- dns db.test A 10.0.0.1:53: NXDOMAIN [] --- <2.1ms>`.
    fn write_question(&self, row: usize, out: &mut String) -> std::fmt::Result {
        let text = |name| self.text(name, row);
        let server = self.socket(row).peer;
        write!(
            out,
            "--- dns {} {} {}:{}: ",
            text("dns_name").unwrap_or("?"),
            text("dns_type").unwrap_or("?"),
            server.addr.unwrap_or("?"),
            server.port.unwrap_or(0)
        )?;
        match (text("dns_code"), text("dns_answers")) {
            (Some(code), answers) => write!(out, "{code} {}", answers.unwrap_or_default())?,
            (None, _) => out.push_str(text("action").unwrap_or_default()),
        }
        if let Some(error) = text("error") {
            write!(out, " {error}")?;
        }
        let took = self.long("duration", row).unwrap_or(0);
        write!(out, " --- <{}>", human::duration(took))
    }

    fn socket(&self, row: usize) -> Socket<'a> {
        let end = |addr, port| End {
            addr: self.text(addr, row),
            port: self.int(port, row).map(i64::from),
        };
        Socket {
            family: self.text("family", row),
            protocol: self.text("protocol", row),
            local: end("local_addr", "local_port"),
            peer: end("peer_addr", "peer_port"),
            peer_path: self.text("peer_path", row),
        }
    }
}
