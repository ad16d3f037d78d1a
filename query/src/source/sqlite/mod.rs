//! Recordings in SQLite. What stands in such a file may come from a stranger: nothing of its schema is run, no view, no
//! trigger, no function, and each value is checked.

mod filter;
mod read;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctrace_format::sqlite::{OWN, SIDES};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

pub use table::SqliteTable;

/// The first bytes of every SQLite database.
pub const MAGIC: &[u8] = b"SQLite format 3\0";

/// Bytes that one value may have: far more than the longest argument list.
const LONGEST: i32 = 16 << 20;

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It has not the tables of a recording.
    #[error("{0}")]
    NotRecording(String),
    /// What stands in it makes no sense.
    #[error("{0}")]
    Damaged(String),
}

/// A recording in SQLite, as it was when it was opened: what a recorder writes after that is not seen.
#[derive(Debug)]
pub struct Database {
    /// As the user named it.
    pub path: PathBuf,
    /// The pairs of its table `meta`.
    pub meta: BTreeMap<String, String>,
    /// First and last time of its events, ns since 1970 UTC.
    pub span: Option<(i64, i64)>,
    /// The columns that each of [`SIDES`] has: a column may be younger than the file.
    sides: Vec<Vec<String>>,
    /// The last row of `event`.
    last: i64,
}

impl Database {
    /// Opens one.
    ///
    /// # Errors
    /// That it cannot be read, or is no recording.
    pub fn open(path: &Path) -> Result<Database, ReadError> {
        let db = connect(path)?;
        let own = columns(&db, "event")?;
        let references = SIDES.iter().map(|side| side.reference());
        for name in OWN.iter().map(ToString::to_string).chain(references) {
            if !own.contains(&name) {
                let reason = format!("its table `event` has no column `{name}`");
                return Err(ReadError::NotRecording(reason));
            }
        }
        columns(&db, "span")?;
        columns(&db, "meta")?;
        let sides = SIDES.iter().map(|side| columns(&db, side.table));
        let sides = sides.collect::<Result<_, _>>()?;
        let meta = db
            .prepare("select key, value from meta")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let last: Option<i64> = db.query_one("select max(id) from event", [], |row| row.get(0))?;
        let span = "select min(start), max(\"end\") from span";
        let (start, end): (Option<i64>, Option<i64>) =
            db.query_one(span, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Database {
            path: path.to_path_buf(),
            meta,
            span: start.zip(end),
            sides,
            last: last.unwrap_or(0),
        })
    }
}

/// Opens a file for reading, and for nothing else.
fn connect(path: &Path) -> Result<Connection, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(hardened);
    let Err(error) = opened else {
        return Ok(opened?);
    };
    // One that was not closed, in a place where SQLite cannot make its lock file. What is not in the file but beside it
    // must not be passed over.
    let uri = path.canonicalize().ok();
    let uri = uri.and_then(|path| url::Url::from_file_path(path).ok());
    match uri {
        Some(uri) if !beside(path, "-wal").exists() => {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let db = Connection::open_with_flags(format!("{uri}?immutable=1"), flags)?;
            Ok(hardened(db)?)
        }
        _ => Err(error.into()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Defends against what a file may hold (<https://sqlite.org/security.html>), and takes a first look at it.
fn hardened(db: Connection) -> rusqlite::Result<Connection> {
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        db.set_db_config(what, on)?;
    }
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
    db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.query_one("select count(*) from sqlite_schema", [], |_| Ok(()))?;
    Ok(db)
}

/// The columns of an ordinary table: none that is computed, for that would run what the file says.
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
