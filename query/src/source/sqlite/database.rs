//! An SQLite database that is a recording.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use ctrace_format::sqlite::{EVENT_COLUMNS, SIDES, Side};
use ctrace_format::{names, regular};
use ctrace_schema::meta;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::source::boot::FileBoot;
use crate::source::names::BOOT_ID;

/// The first bytes of every SQLite database.
pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";

/// Limit of the bytes of one value: far more than the longest argument list.
const MAX_VALUE_BYTES: i32 = 16 << 20;

/// The reason why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The database lacks the tables or columns of a recording.
    #[error("{0}")]
    NotRecording(String),
    /// The database contains invalid values.
    #[error("{0}")]
    Damaged(String),
}

/// A recording in SQLite at the time of opening. Rows that a recorder adds later are not read.
#[derive(Debug)]
pub(crate) struct Database {
    /// The path that the user wrote.
    pub(crate) path: PathBuf,
    /// The rows of the table `meta`.
    pub(crate) meta: BTreeMap<String, String>,
    /// The first and the last time of the events, ns since 1970 UTC.
    pub(crate) span: Option<(i64, i64)>,
    /// The columns of each of [`SIDES`]. Columns that were added to the schema after the file was written are absent.
    pub(crate) side_columns: Vec<Vec<String>>,
    pub(crate) boot: FileBoot,
    /// The largest id in the table `event`.
    pub(crate) last_id: i64,
}

impl Database {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not a recording.
    pub(crate) fn open(path: &Path) -> Result<Database, ReadError> {
        let db = connect(path)?;
        let own = columns(&db, "event")?;
        let references = SIDES.iter().map(|side| side.reference());
        for name in EVENT_COLUMNS
            .iter()
            .map(ToString::to_string)
            .chain(references)
        {
            if !own.contains(&name) {
                let reason = format!("its table `event` has no column `{name}`");
                return Err(ReadError::NotRecording(reason));
            }
        }
        columns(&db, "span")?;
        columns(&db, "meta")?;
        let side_columns = SIDES.iter().map(|side| columns(&db, side.table));
        let side_columns: Vec<Vec<String>> = side_columns.collect::<Result<_, _>>()?;
        let meta: BTreeMap<String, String> = db
            .prepare("select key, value from meta")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let (first_id, last_id): (Option<i64>, Option<i64>) =
            db.query_one("select min(id), max(id) from event", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        if first_id.is_some_and(|id| id < 1) {
            return Err(ReadError::Damaged(
                "its table `event` has an id less than 1".into(),
            ));
        }
        let span = "select min(start), max(\"end\") from span";
        let (start, end): (Option<i64>, Option<i64>) =
            db.query_one(span, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let boot = boot(&db, &side_columns, &meta)?;
        Ok(Database {
            path: path.to_path_buf(),
            meta,
            boot,
            span: start.zip(end),
            side_columns,
            last_id: last_id.unwrap_or(0),
        })
    }

    /// Returns whether the table has a column.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        let mut columns = self.side_columns.iter().flatten();
        EVENT_COLUMNS.contains(&name) || columns.any(|column| column == name)
    }

    /// Returns the number of rows, and the least and the greatest `time`, of each range of rows that was written at once;
    /// `None`: they cannot be read.
    pub(crate) fn time_ranges(&self) -> Option<Vec<(u64, (i64, i64))>> {
        let sql = "select last - first + 1, start, \"end\" from span where first <= ?";
        let db = connect(&self.path).ok()?;
        let mut ranges = db.prepare(sql).ok()?;
        let ranges = ranges.query_map([self.last_id], |row| {
            let rows: i64 = row.get(0)?;
            Ok((u64::try_from(rows).unwrap_or(0), (row.get(1)?, row.get(2)?)))
        });
        ranges.ok()?.collect::<Result<_, _>>().ok()
    }

    /// Returns the least and the greatest `seq`, and the least and the greatest `time`; `None`: there are no events, or
    /// they cannot be read.
    pub(crate) fn key_ranges(&self) -> Option<((i64, i64), (i64, i64))> {
        let sql =
            "select min(id + seq), max(id + seq), min(time), max(time) from event where id <= ?";
        let db = connect(&self.path).ok()?;
        let ranges = db.query_one(sql, [self.last_id], |row| {
            Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
        });
        ranges.ok()
    }
}

/// Checks that the pages of a database are in order, which finds some damage and not all. Returns the first fault.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn damage(path: &Path) -> Result<Option<String>, ReadError> {
    let db = connect(path)?;
    let first: String = db.query_one("pragma integrity_check(1)", [], |row| row.get(0))?;
    Ok((first != "ok").then_some(first))
}

/// Determines the boot of the events: the only value of `boot_id`, or that of the metadata if the column has no value.
fn boot(
    db: &Connection,
    side_columns: &[Vec<String>],
    pairs: &BTreeMap<String, String>,
) -> Result<FileBoot, ReadError> {
    let has_column = |(_, columns): &(&Side, &Vec<String>)| columns.iter().any(|c| c == BOOT_ID);
    let side = SIDES.iter().zip(side_columns).find(has_column);
    let ids: Vec<Option<String>> = match side {
        Some((side, _)) => db
            .prepare(&format!(
                "select distinct {BOOT_ID} from {} limit 2",
                side.table
            ))?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?,
        None => vec![],
    };
    Ok(match ids.as_slice() {
        [] | [None] => FileBoot::One(pairs.get(meta::KEY_BOOT_ID).cloned()),
        [id] => FileBoot::One(id.clone()),
        _ => FileBoot::Column,
    })
}

/// A connection that leaves no files behind: SQLite creates an index of the write-ahead log beside a database that was not
/// closed, and a reader does not remove it.
pub(crate) struct ReadConnection {
    /// Closed before the files are removed.
    db: Connection,
    _created: CreatedFiles,
}

impl Deref for ReadConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.db
    }
}

/// The index of a write-ahead log, if it did not exist before the database was opened. Dropped, the value removes it.
/// Other files beside the database are never created here, and belong to other programs.
struct CreatedFiles(Option<PathBuf>);

impl CreatedFiles {
    fn of(database: &Path, has_log: bool) -> CreatedFiles {
        let index = has_log.then(|| names::with_suffix(database, names::SQLITE_SHM));
        CreatedFiles(index.filter(|path| !path.exists()))
    }
}

impl Drop for CreatedFiles {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens a file read-only.
///
/// # Errors
/// The file is not a database, or cannot be read.
pub(crate) fn connect(path: &Path) -> Result<ReadConnection, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // A database with a write-ahead log that no program has open, and that is complete, has no such log beside it. Opened as
    // immutable, none is created.
    let has_log = names::with_suffix(path, names::SQLITE_WAL).exists();
    let created = CreatedFiles::of(path, has_log);
    let connection = |db| ReadConnection {
        db,
        _created: created,
    };
    let opened = match has_log || !is_in_wal_mode(path) {
        true => Connection::open_with_flags(path, flags).and_then(hardened),
        false => open_immutable(path, flags),
    };
    match opened {
        Ok(db) => Ok(connection(db)),
        // SQLite needs a lock file to open a database that was not closed, and cannot create one in a read-only directory.
        Err(_) if !has_log => Ok(connection(open_immutable(path, flags)?)),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file that does not change, without any other file.
fn open_immutable(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let uri = path.canonicalize().ok();
    let uri = uri.and_then(|path| url::Url::from_file_path(path).ok());
    let Some(uri) = uri else {
        return Connection::open_with_flags(path, flags).and_then(hardened);
    };
    let flags = flags | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("{uri}?immutable=1"), flags).and_then(hardened)
}

/// Returns whether the header says that changes are written to a write-ahead log
/// (<https://sqlite.org/fileformat.html#file_format_version_numbers>).
fn is_in_wal_mode(path: &Path) -> bool {
    const READ_VERSION: usize = 19;
    const WAL: u8 = 2;
    let mut header = [0; READ_VERSION + 1];
    let read = regular::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[READ_VERSION] == WAL
}

/// Sets the defences for untrusted files (<https://sqlite.org/security.html>), and reads the schema.
fn hardened(db: Connection) -> rusqlite::Result<Connection> {
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        db.set_db_config(what, on)?;
    }
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)?;
    db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // SQLite has a directory of its own for temporary files, which a process that is confined cannot write to.
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.query_one("select count(*) from sqlite_schema", [], |_| Ok(()))?;
    Ok(db)
}

/// Returns the columns of an ordinary table. Generated columns are not allowed, because reading them runs expressions
/// of the file.
fn columns(db: &Connection, table: &str) -> Result<Vec<String>, ReadError> {
    let kinds: Vec<String> = db
        .prepare("select type from pragma_table_list where schema = 'main' and name = ?")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if kinds != ["table"] {
        let reason = match kinds.first() {
            Some(kind) => format!("its `{table}` is a {kind}"),
            None => format!("it has no table `{table}`"),
        };
        return Err(ReadError::NotRecording(reason));
    }
    let columns: Vec<String> = db
        .prepare("select name from pragma_table_xinfo(?) where hidden = 0")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if table != "meta"
        && !["id", "first"]
            .iter()
            .any(|id| columns.iter().any(|c| c == id))
    {
        let reason = format!("its table `{table}` has no column `id`");
        return Err(ReadError::NotRecording(reason));
    }
    Ok(columns)
}
