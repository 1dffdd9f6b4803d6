//! Opening the file: every way it can go wrong has its own error.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{StoreConfig, StoreError};

/// The number in `user_version` of a file that this build reads and writes.
pub const SCHEMA_VERSION: i64 = 2;

/// The oldest that is changed into it when a file is opened for writing.
const OLDEST_VERSION: i64 = 1;

/// How long the writer waits for locks of others, which only last for moments.
pub(super) const WRITER_WAIT: Duration = Duration::from_secs(1);

const TABLES: &str = "
CREATE TABLE users (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, labels TEXT, comment TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE videos (
    id TEXT PRIMARY KEY, hidden INTEGER NOT NULL, categories TEXT NOT NULL, time INTEGER, labels TEXT,
    comment TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE feedback (
    user INTEGER NOT NULL, video TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL,
    value REAL NOT NULL, time INTEGER NOT NULL, labels TEXT, comment TEXT NOT NULL,
    PRIMARY KEY (user, video, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten (
    number INTEGER PRIMARY KEY, time INTEGER NOT NULL, profiles INTEGER NOT NULL, feedback TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;
";

/// What other rows tell as well: it can be made again from them.
const DERIVED_TABLES: &str = "
CREATE TABLE feedback_by_video (
    video TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (video, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO state VALUES ('by_video_until', 0);
";

/// After the tables are filled, so that each is made by one sort.
const INDEXES: &str = "
CREATE INDEX videos_withheld ON videos (id) WHERE hidden OR deleted;
CREATE INDEX videos_by_time ON videos (time DESC, id) WHERE NOT hidden AND NOT deleted;
CREATE UNIQUE INDEX feedback_by_number ON feedback (number);
CREATE INDEX feedback_by_time ON feedback (time, number);
CREATE TRIGGER feedback_gone AFTER DELETE ON feedback BEGIN
    DELETE FROM feedback_by_video WHERE video = OLD.video AND number = OLD.number;
END;
";

/// Tables that came later to the same schema, made whenever they are missing: digests of the ids of events that came already (an id may
/// name the user), and how far streams were read.
const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS event_ids (digest TEXT PRIMARY KEY, time INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_ids_by_time ON event_ids (time);
CREATE TABLE IF NOT EXISTS positions (stream TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Fills the derived tables.
const DERIVE: &str = "
INSERT INTO feedback_by_video (video, number) SELECT video, number FROM feedback ORDER BY video, number;
UPDATE state SET value = coalesce((SELECT max(number) FROM feedback), 0);
";

/// Whatever of it is there.
const DROP_DERIVED: &str = "
DROP TRIGGER IF EXISTS feedback_gone;
DROP INDEX IF EXISTS videos_withheld;
DROP INDEX IF EXISTS videos_by_time;
DROP INDEX IF EXISTS feedback_by_number;
DROP INDEX IF EXISTS feedback_by_time;
DROP INDEX IF EXISTS event_ids_by_time;
DROP TABLE IF EXISTS feedback_by_video;
DROP TABLE IF EXISTS state;
";

/// The same where a page of it is damaged, so that it cannot be taken apart; its pages go when the file is written anew.
const LOSE_DERIVED: &str = "
PRAGMA writable_schema = ON;
DELETE FROM sqlite_schema WHERE name IN ('feedback_gone', 'videos_withheld', 'videos_by_time', 'feedback_by_number',
    'feedback_by_time', 'event_ids_by_time', 'feedback_by_video', 'state');
PRAGMA writable_schema = RESET;
VACUUM;
";

const FROM_1_BEFORE: &str = "
DROP INDEX videos_withheld;
DROP INDEX videos_by_time;
DROP INDEX feedback_by_user;
DROP INDEX feedback_by_video;
DROP INDEX feedback_by_time;
ALTER TABLE users RENAME TO users_1;
ALTER TABLE videos RENAME TO videos_1;
ALTER TABLE feedback RENAME TO feedback_1;
";

/// In the order of the new trees, so that each is written from one end to the other, and without an index of
/// the old ones, so that they are read so too.
const FROM_1_AFTER: &str = "
INSERT INTO users (id, labels, comment, deleted) SELECT id, labels, comment, deleted FROM users_1 ORDER BY id;
INSERT OR IGNORE INTO users (id, comment) SELECT DISTINCT user, '' FROM feedback_1;
INSERT INTO videos SELECT * FROM videos_1 ORDER BY id;
INSERT INTO feedback (user, video, kind, number, value, time, labels, comment)
    SELECT u.number, f.video, f.kind, f.number, f.value, f.time, f.labels, f.comment
    FROM feedback_1 AS f NOT INDEXED CROSS JOIN users AS u ON u.id = f.user ORDER BY u.number, f.video, f.kind;
DROP TABLE feedback_1;
DROP TABLE videos_1;
DROP TABLE users_1;
";

/// Makes what is derived anew from the rows: in one transaction, so that it is as it was or as it should be.
pub(super) fn derive(connection: &Connection) -> rusqlite::Result<()> {
    let anew = || {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {DROP_DERIVED} {DERIVED_TABLES} {DERIVE} {INDEXES} {LATER_TABLES} REINDEX users; COMMIT;"
        ))
    };
    let is_damaged = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt);
    let done = match anew() {
        Err(error) if is_damaged(&error) => {
            let _ = connection.execute_batch("ROLLBACK");
            connection.execute_batch(LOSE_DERIVED)?;
            anew()
        }
        done => done,
    };
    if done.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    done?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Tables, indexes and triggers of a file, each with the statement that makes it.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<BTreeMap<String, (String, String)>> {
    let sql = "SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let words = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, words(row.get(2)?))));
    connection.prepare(sql)?.query_map([], row)?.collect()
}

/// The same of a file as it should be.
pub(super) fn expected_objects() -> rusqlite::Result<BTreeMap<String, (String, String)>> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(&format!("{TABLES} {DERIVED_TABLES} {INDEXES} {LATER_TABLES}"))?;
    objects(&connection)
}

/// Opens the file for writing, alone, and brings it to the schema if it is new.
pub(super) fn writer(path: &Path, config: &StoreConfig) -> Result<(File, Connection), StoreError> {
    if path.is_dir() {
        return Err(StoreError::Folder { path: path.into() });
    }
    let refused = |source: std::io::Error| refused(path, source);
    std::fs::create_dir_all(folder_of(path)).map_err(refused)?;
    // A lock beside the file, because SQLite's own locks let a second process in between two commits.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside).map_err(refused)?;
    take(&lock).map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::Locked { path: path.into() },
        TryLockError::Error(source) => refused(source),
    })?;
    if path.metadata().is_ok_and(|file| file.permissions().readonly()) {
        return Err(StoreError::ReadOnly { path: path.into() });
    }
    let doing = "open it";
    let wrap = |error| database_error(path, doing, error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    connection.busy_timeout(WRITER_WAIT).map_err(wrap)?;
    // Read before anything is written, so that a foreign file stays as it was.
    let found = schema(path, &connection)?;
    if found.is_none() {
        // Pages that deletions free can go back to the disk; possible only before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(wrap)?;
    }
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(wrap)?;
    if mode != "wal" {
        return Err(refused(std::io::Error::other(format!("no write-ahead log is possible there ({mode})"))));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(wrap)?;
    connection.pragma_update(None, "journal_size_limit", config.log_bytes_max as i64).map_err(wrap)?;
    // What is deleted is overwritten, so that what was erased cannot be read from free pages.
    connection.pragma_update(None, "secure_delete", "ON").map_err(wrap)?;
    let kibibytes = i64::try_from(config.writer_cache_kibibytes).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kibibytes).map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(32);
    let change = match found {
        Some(SCHEMA_VERSION) => None,
        Some(_) => {
            Some(format!("{FROM_1_BEFORE} {TABLES} {DERIVED_TABLES} {FROM_1_AFTER} {DERIVE} {INDEXES}"))
        }
        None => Some(format!("{TABLES} {DERIVED_TABLES} {INDEXES}")),
    };
    if let Some(change) = change {
        let done = connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {change} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        ));
        done.map_err(|error| match found {
            Some(found) => StoreError::Migration { path: path.into(), found, source: error },
            None => wrap(error),
        })?;
        let vacuums: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).map_err(wrap)?;
        if vacuums == 0 {
            // A file of schema 1 is written anew, so that pages can go back to the disk. It can do without.
            let _ = connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM");
        }
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(wrap)?;
    }
    connection.execute_batch(LATER_TABLES).map_err(wrap)?;
    Ok((lock, connection))
}

/// Takes a lock. A process that starts another holds its files once more until that one begins, so one that seems taken is asked
/// for again, for a moment.
fn take(lock: &File) -> Result<(), TryLockError> {
    const TRIES: usize = 50;
    for _ in 1..TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            taken => return taken,
        }
    }
    lock.try_lock()
}

/// Checks that a store lies there, without touching it.
pub(super) fn check_readable(path: &Path, config: &StoreConfig) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::Folder { path: path.into() });
    }
    path.metadata().map_err(|source| refused(path, source))?;
    match schema(path, &reader(path, config)?)? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(found) => Err(StoreError::Older { path: path.into(), found, expected: SCHEMA_VERSION }),
        None => Err(StoreError::Schema { path: path.into(), found: 0, expected: SCHEMA_VERSION }),
    }
}

/// The schema of the file; `None` if nothing is in it yet.
fn schema(path: &Path, connection: &Connection) -> Result<Option<i64>, StoreError> {
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| database_error(path, "read its schema", error))
    };
    let (found, tables) = (number("PRAGMA user_version")?, number("SELECT count(*) FROM sqlite_schema")?);
    match found {
        OLDEST_VERSION..=SCHEMA_VERSION => Ok(Some(found)),
        0 if tables == 0 => Ok(None),
        _ => Err(StoreError::Schema { path: path.into(), found, expected: SCHEMA_VERSION }),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn refused(path: &Path, source: std::io::Error) -> StoreError {
    match source.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path: path.into() },
        _ => StoreError::Open { path: path.into(), folder: folder_of(path), source },
    }
}

/// Opens the file once more, for reading.
pub(super) fn reader(path: &Path, config: &StoreConfig) -> Result<Connection, StoreError> {
    let wrap = |error| database_error(path, "open it for reading", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    connection.busy_timeout(Duration::from_millis(config.read_wait_milliseconds)).map_err(wrap)?;
    connection.pragma_update(None, "cache_size", cache(config)).map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the file once more, beside the connection that writes, to copy the log into it.
pub(super) fn beside(path: &Path, config: &StoreConfig) -> Result<Connection, StoreError> {
    let wrap = |error| database_error(path, "open it", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    connection.busy_timeout(Duration::from_millis(config.read_wait_milliseconds)).map_err(wrap)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(wrap)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(wrap)?;
    Ok(connection)
}

/// SQLite takes a negative number for kibibytes.
fn cache(config: &StoreConfig) -> i64 {
    -i64::try_from(config.cache_kibibytes).unwrap_or(i64::MAX)
}

/// The error a user can act on.
pub(super) fn database_error(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    let path = path.to_path_buf();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Corrupt { path, message: source.to_string() }
        }
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        _ => StoreError::Database { path, doing, source },
    }
}
