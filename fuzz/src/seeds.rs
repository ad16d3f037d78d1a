//! Writes the seeds of all fuzz targets: real captures, recordings and files of runtimes from `fixtures/`, and statements.
//! Usage: SEEDS=DIR seeds

#![no_main]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use ctrace_format::manifest;
use ctrace_format::rollups::places;
use ctrace_format::unclosed;
use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The bytes of a capture of which a tiny recording is made: its machine, containers and a thousand calls.
const TINY_BYTES: usize = 200_000;

/// The signature in the documentation of the crate minisign-verify.
const SIGNATURE: &[u8] = b"untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==
";

// The crates call libFuzzer's functions, so that libFuzzer has the main function here as well.
fuzz_target!(init: run(), |_bytes: &[u8]| {});

/// Writes the seeds, and ends the program before libFuzzer starts.
fn run() {
    let written = write_seeds();
    if let Err(error) = &written {
        eprintln!("seeds: {error}");
    }
    std::process::exit(written.is_err().into());
}

fn write_seeds() -> Result<()> {
    let directory = std::env::var_os("SEEDS").ok_or("SEEDS is not set")?;
    let seeds = Seeds(PathBuf::from(directory));
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let capture = fs::read(root.join("fixtures/demo.raw"))?;
    let line = capture
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("no capture")?;
    let frames = zstd::decode_all(&capture[line + 1..])?;
    let tiny = &frames[..TINY_BYTES.min(frames.len())];
    seeds.add("capture", "tiny", tiny)?;
    seeds.add("capture", "begun", &tiny[..4000])?;
    let recording = seeds.recordings(tiny)?;
    seeds.parts_of(&recording)?;
    seeds.runtimes(&root.join("fixtures/containers"))?;
    seeds.add(
        "dns",
        "query",
        b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03web\x04shop\0\0\x01\0\x01",
    )?;
    let answer = b"\0\x07\x81\x80\0\x01\0\x02\0\0\0\0\x03web\x04shop\0\0\x01\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x10\
        \xc0\x26\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";
    seeds.add("dns", "answer", answer)?;
    seeds.add(
        "dns",
        "tcp",
        &[&[0, answer.len() as u8], &answer[..]].concat(),
    )?;
    let request = b"\x09GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    seeds.add("http", "metrics", request)?;
    seeds.add("strace", "call", &[1; 120])?;
    let status = b"\x0a\x1b\x12\x05\x0a\x01a\x10\x03\x4a\x04x@sh\x62\x0c\x0a\x04tier\x12\x03web\x12\x04\x0a\x02in";
    seeds.add("cri", "message", status)?;
    let frames = [
        &b"\0\0\0\x04\0\0\0\0\0\0\0\x22\0\x01\0\0\0\x01\0\0\0\0\x1d"[..],
        &status[..29],
        b"\0\0\0\x01\x05\0\0\0\x01",
    ];
    seeds.add("cri", "frames", &frames.concat())?;
    seeds.statements(root)
}

/// The directory with a directory of seeds for each target.
struct Seeds(PathBuf);

impl Seeds {
    /// Adds a seed of a target.
    fn add(&self, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let directory = self.0.join(target);
        if !directory.exists() {
            fs::create_dir_all(&directory)?;
            // Mutations of a large seed seldom change its first bytes.
            fs::write(directory.join("short"), "\n")?;
        }
        Ok(fs::write(directory.join(name), bytes)?)
    }

    /// Replays a capture to a Parquet file, whose path is returned, and to a database.
    fn recordings(&self, frames: &[u8]) -> Result<PathBuf> {
        let capture = self.0.join("tiny.raw");
        fs::write(&capture, ctrace_fuzz::capture_file(frames))?;
        let replay = |name: &str, format: &str| -> Result<PathBuf> {
            let out = self.0.join(name);
            match fuzzing::replay(&capture, &out, format) {
                None => Ok(out),
                Some(error) => Err(error.into()),
            }
        };
        let database = replay("recording.sqlite", "sqlite")?;
        self.add("sqlite", "tiny", &fs::read(database)?)?;
        let directory = replay("segments/", "parquet")?;
        self.segment(&directory)?;
        replay("recording.parquet", "parquet")
    }

    /// Adds the segment in a directory, its manifest and a signature of something else.
    fn segment(&self, directory: &Path) -> Result<()> {
        let host = fs::read_dir(directory)?
            .next()
            .ok_or("no segments")??
            .path();
        let mut segments = manifest::parse(&fs::read_to_string(host.join(manifest::NAME))?)?;
        let segment = segments.first_mut().ok_or("an empty manifest")?;
        let file = fs::read(host.join(&segment.segment))?;
        segment.segment = ctrace_fuzz::SEGMENT.to_string();
        let manifest = manifest::to_text(&segments)?;
        let parts = ctrace_fuzz::join(&[manifest.as_bytes(), SIGNATURE, &file]);
        self.add("proof", "tiny", &parts)
    }

    /// Adds the parts of a Parquet file: metadata, data, rows, sums.
    fn parts_of(&self, recording: &Path) -> Result<()> {
        let file = fs::read(recording)?;
        let (before, end) = file.split_at(file.len() - 8);
        let length = u32::from_le_bytes(end[..4].try_into()?) as usize;
        let (data, metadata) = before[4..].split_at(before.len() - 4 - length);
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(recording)?)?;
        let entries = reader
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .cloned();
        for place in places(entries.as_ref()) {
            let frame = &file[place.offset as usize..(place.offset + place.length) as usize];
            self.add("rollups", &place.name, &zstd::decode_all(frame)?)?;
        }
        let mut rows = reader.with_batch_size(20).build()?;
        let rows = rows.next().ok_or("no rows")??;
        let stream = || -> std::result::Result<Vec<u8>, ArrowError> {
            let mut writer = StreamWriter::try_new(vec![], &rows.schema())?;
            writer.write(&rows)?;
            writer.into_inner()
        };
        let stream = stream()?;
        self.add("journal", "rows", &stream)?;
        self.add("journal", "file", &ctrace_fuzz::journal_file(&stream))?;
        let parts = ctrace_fuzz::join(&[metadata, data]);
        self.add("parquet", "tiny", &parts)?;
        let unclosed = unclosed::parts_of(&mut File::open(recording)?)?.ok_or("no row group")?;
        let [metadata, data, row_group] = &unclosed;
        let parts = ctrace_fuzz::join(&[metadata, data, row_group, &stream]);
        for target in ["unclosed", "segment"] {
            self.add(target, "tiny", &parts)?;
        }
        // A seed that is refused early would leave most of the reader untried.
        let open = ctrace_fuzz::write_unclosed(".a.parquet.open", &parts).ok_or("too few bytes")?;
        match fuzzing::finish_segment(&open) {
            None => Ok(()),
            Some(error) => Err(format!("the seed of segment: {error}").into()),
        }
    }

    /// Adds each file of the runtimes below `directory`, which has the path of a container.
    fn runtimes(&self, directory: &Path) -> Result<()> {
        let (mut directories, mut count) = (vec![directory.to_path_buf()], 0);
        while let Some(next) = directories.pop() {
            for entry in fs::read_dir(next)? {
                let path = entry?.path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let name = path.strip_prefix(directory)?.display().to_string();
                let mut parts = name.rsplit('/').skip(1).filter(|part| *part != "userdata");
                let id = parts.next().unwrap_or("x").to_string();
                let line = format!("{id} {name}\n");
                self.add(
                    "runtimes",
                    &count.to_string(),
                    &[line.as_bytes(), &fs::read(&path)?].concat(),
                )?;
                count += 1;
            }
        }
        Ok(())
    }

    /// Adds the statements of the cookbook, and the words of the ready questions and the views as a dictionary. The ready questions
    /// are too long for seeds: to plan one of them takes seconds in a build with coverage.
    fn statements(&self, root: &Path) -> Result<()> {
        for path in files(&root.join("docs/cookbook"), "md")? {
            let page = fs::read_to_string(&path)?;
            let blocks = page.split("```sql\n").skip(1);
            for (count, block) in blocks.enumerate() {
                let sql = block.split("```").next().unwrap_or(block);
                let name = path.file_stem().unwrap_or_default().display();
                self.add("sql", &format!("{name}-{count}"), sql.as_bytes())?;
            }
        }
        let mut words = vec![];
        for directory in ["query/src/questions/sql", "schema/src/views"] {
            for path in files(&root.join(directory), "sql")? {
                let sql = fs::read_to_string(path)?;
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let long = sql.split(|c| !is_word(c)).filter(|word| word.len() > 2);
                words.extend(long.map(str::to_string));
            }
        }
        words.sort();
        words.dedup();
        let words: String = words.iter().map(|word| format!("\"{word}\"\n")).collect();
        Ok(fs::write(self.0.join("sql.dict"), words)?)
    }
}

/// Returns the files with an extension in a directory.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    Ok(paths)
}
