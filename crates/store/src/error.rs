//! What can go wrong, with what to do about it.

use std::path::PathBuf;

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A folder lies where the file should be.
    #[error(
        "{path} is a folder where a database file is expected: name a file in it, {path}/store.db for example"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file, or the folder that should hold it, cannot be used.
    #[error(
        "{path} cannot be opened as a store: {source}; check that {folder} is a folder that can be written, or name another place"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// The folder that holds it.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file or its place is read-only.
    #[error("{path} is read-only: make the file and its folder writable, or name another place")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// It was opened for reading only.
    #[error("{path} was opened for reading only, beside a process that writes it: send changes to that one")]
    OpenToRead {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{path} is in use by another process: stop that one, or name another file")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Not a database, or damaged.
    #[error(
        "{path} is not a database of ours or is damaged ({message}): restore a copy, or move it away and start with an empty store"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// Written by another version.
    #[error(
        "{path} has schema {found}; this build reads {expected}: use the build that wrote it, or move the file away"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: i64,
        /// What this build reads.
        expected: i64,
    },
    /// Written by an earlier version, and opened for reading only.
    #[error(
        "{path} has schema {found}; this build reads {expected} and changes older ones when it writes: open it once for writing, with `upnext serve`"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: i64,
        /// What this build reads.
        expected: i64,
    },
    /// An earlier schema could not be changed into the present one.
    #[error(
        "{path} has schema {found} and could not be changed into the present one ({source}); it is as it was: check that its disk has twice its size free, or use the build that wrote it"
    )]
    Migration {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: i64,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Too much waits to be written, or no reader was free in time.
    #[error("the store is busy ({what}): try again in {retry_milliseconds} ms")]
    Busy {
        /// What is busy.
        what: &'static str,
        /// When to try again.
        retry_milliseconds: u64,
    },
    /// A text is longer than permitted.
    #[error(
        "{what} of row {row} is {bytes} bytes; expected at most {max}: shorten it, or raise the limit in the configuration"
    )]
    TooLong {
        /// Which field.
        what: &'static str,
        /// Which row of the batch, from 0.
        row: usize,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// An id or a kind without a character.
    #[error("{what} of row {row} is empty; expected at least one character")]
    Empty {
        /// Which field.
        what: &'static str,
        /// Which row of the batch, from 0.
        row: usize,
    },
    /// A number that is no number.
    #[error("value of row {row} is {value}; expected a finite number")]
    NotFinite {
        /// Which row of the batch, from 0.
        row: usize,
        /// What was given.
        value: f64,
    },
    /// More rows at once, or more parts in a row, than permitted.
    #[error("{n} {what} were given; expected at most {max}: send them in parts")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        n: usize,
        /// How many there may be.
        max: usize,
    },
    /// Not a cursor.
    #[error("cursor {cursor:?} is not one that a page gave: use the answer's cursor, or none to begin")]
    Cursor {
        /// What was given.
        cursor: String,
    },
    /// No place left.
    #[error("{path} is full: free space on its disk, or raise the limit in the configuration")]
    Full {
        /// The file, or `memory`.
        path: PathBuf,
    },
    /// Less is free on the disk than is asked for.
    #[error(
        "{folder} has {free} bytes free; {min} are asked for before anything is added: free space there, or lower `free_bytes_min` in the configuration"
    )]
    NoRoom {
        /// The folder of the file.
        folder: PathBuf,
        /// How many bytes are free.
        free: u64,
        /// How many must be.
        min: u64,
    },
    /// A dump cannot go into a store that holds something.
    #[error("{path} is not empty: restore into a new file, or ask for the dump to be merged into it")]
    NotEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A file holds the id of a forgotten user though no row of ours says it.
    #[error(
        "{path}: rows of the forgotten user are gone, but the file still holds the id outside of all rows: take it into a new file with `upnext dump` and `upnext restore`, and delete this one"
    )]
    NotErased {
        /// The file.
        path: PathBuf,
    },
    /// A limit in the configuration with which a store cannot work.
    #[error("[store] {key} = {found}; expected {least} to {most}: change it in the configuration")]
    Limit {
        /// Which limit.
        key: &'static str,
        /// What it is.
        found: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A dump is not what was written.
    #[error("line {line} of the dump: {what}; nothing of it was kept")]
    Dump {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A dump could not be written.
    #[error("the dump could not be written ({source}): what is there of it cannot be restored")]
    DumpWrite {
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("{path}: could not {doing}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The commit that held this change failed; nothing of it was written.
    #[error(
        "{path}: the change could not be committed ({message}); nothing of it was kept, so send it again"
    )]
    Commit {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// The store stands elsewhere in a stream than a step began.
    #[error(
        "the stream {stream} was read up to {found} where {expected} was expected: another process reads it into this store; let one do it"
    )]
    Moved {
        /// The stream's name.
        stream: String,
        /// Where the store stands.
        found: u64,
        /// Where the step began.
        expected: u64,
    },
    /// Not a URL of a database.
    #[error(
        "the store's URL cannot be used ({message}): write postgres://user@host:5432/database, signs such as @ / ? in a password as %40 %2F %3F"
    )]
    Url {
        /// What is wrong with it.
        message: String,
    },
    /// A database server is not there, or refuses the connection.
    #[error(
        "{server} cannot be reached ({message}); nothing was written: check that it runs, the host, port, user, password, database and sslmode, and try again"
    )]
    Unreachable {
        /// Host, port and database.
        server: String,
        /// What was heard.
        message: String,
    },
    /// A database server refused, or answered too late; nothing was written.
    #[error("{server}: could not {doing}: {message}")]
    Server {
        /// Host, port and database.
        server: String,
        /// What was tried.
        doing: &'static str,
        /// What the server said.
        message: String,
    },
    /// The server went away in the middle of a commit.
    #[error(
        "{server} went away while trying to {doing} ({message}); whether it was written is not known: read it back, or send it again with the ids of its events"
    )]
    Unsure {
        /// Host, port and database.
        server: String,
        /// What was tried.
        doing: &'static str,
        /// What was heard last.
        message: String,
    },
    /// The tables of a database are of another build.
    #[error(
        "{server} has tables of version {found} in its schema upnext; this build reads {expected}: use the build that made them, or another database"
    )]
    Tables {
        /// Host, port and database.
        server: String,
        /// What the database says.
        found: i64,
        /// What this build reads.
        expected: i64,
    },
    /// The writer is gone.
    #[error("{path} is closed")]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether the caller's input is to blame, and not the store.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::TooLong { .. }
                | Self::Empty { .. }
                | Self::NotFinite { .. }
                | Self::TooMany { .. }
                | Self::Cursor { .. }
        )
    }
}
