//! What can go wrong on the way in. Every message names the thing, what was expected, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why nothing could be imported.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// No file was given.
    #[error("no file to import; name a file or a folder")]
    NoFiles,
    /// A pattern that no file fits.
    #[error("{pattern}: no file fits this pattern; check the folder, and quote the pattern for your shell")]
    NoMatch {
        /// What was written.
        pattern: PathBuf,
    },
    /// A file cannot be opened or read.
    #[error("{path}: cannot be read; check that it exists and that you may read it")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file without content.
    #[error("{path}: is empty; expected {expected}")]
    Empty {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// A compressed file that ends before its end.
    #[error("{path}: the {kind} data end early or are damaged; copy or download the file again")]
    Compressed {
        /// Which.
        path: PathBuf,
        /// gzip or zstd.
        kind: &'static str,
        /// What the decoder said.
        source: io::Error,
    },
    /// A Parquet file that cannot be decoded.
    #[error(
        "{path}: is not a whole Parquet file ({reason}); copy it again, or write it again from its source"
    )]
    Parquet {
        /// Which.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A line that cannot be taken in.
    #[error("{path}, line {line}: {found}; expected {expected}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A column that is not there.
    #[error(
        "{path}: has no column `{column}` for `{field}`; its columns are {columns}; map it with --map {field}=COLUMN"
    )]
    NoColumn {
        /// Which file.
        path: PathBuf,
        /// What the column would hold.
        field: String,
        /// What was looked for.
        column: String,
        /// What is there.
        columns: String,
    },
    /// A column that occurs twice.
    #[error(
        "{path}: the column `{column}` occurs {times} times; rename or remove one, so that `{field}` is clear"
    )]
    TwiceColumn {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// How often.
        times: usize,
        /// What it would hold.
        field: String,
    },
    /// A column of a type that cannot be used.
    #[error("{path}: the column `{column}` has the type {found}; expected {expected}")]
    ColumnType {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// Its type.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// More than half of a column cannot be read.
    #[error(
        "{path}, line {line}, column `{column}`: `{value}` is not {expected}, and so are {bad} of {rows} rows; map another column with --map {field}=COLUMN"
    )]
    MostlyMalformed {
        /// Which file.
        path: PathBuf,
        /// The first such line.
        line: u64,
        /// Which column.
        column: Box<str>,
        /// What it should hold.
        field: &'static str,
        /// The first such value.
        value: Box<str>,
        /// What was expected.
        expected: &'static str,
        /// Rows that cannot be read.
        bad: u64,
        /// Rows of the file.
        rows: u64,
    },
    /// A key of `--map` that does not exist.
    #[error("--map: `{key}` is not a field; expected some of {known}, as in user=uid,video=vid,time=ts")]
    UnknownField {
        /// What was written.
        key: String,
        /// What exists.
        known: String,
    },
    /// A part of `--map` that is not `field=column`.
    #[error("--map: `{text}` is not `field=column`; write --map user=uid,video=vid,time=ts")]
    MapSyntax {
        /// What was written.
        text: String,
    },
    /// A name that is not a format.
    #[error("format `{name}` is not known; expected one of {known}")]
    UnknownFormat {
        /// What was written.
        name: String,
        /// What exists.
        known: String,
    },
    /// Nothing fits.
    #[error("{path}: not recognised; tried {tried}; say what it is with --format and --map")]
    NotRecognised {
        /// Which file or folder.
        path: PathBuf,
        /// Each format with why it did not fit.
        tried: String,
    },
    /// The format was named, but the file is not that.
    #[error("{path}: is not {format}: {reason}")]
    NotThatFormat {
        /// Which file or folder.
        path: PathBuf,
        /// The format that was asked for.
        format: &'static str,
        /// Why not.
        reason: String,
    },
    /// No row survived.
    #[error("{path}: none of {read} rows could be kept ({dropped}); for example {example}")]
    NothingKept {
        /// The first file.
        path: PathBuf,
        /// Rows read.
        read: u64,
        /// Rows by reason.
        dropped: String,
        /// One of them.
        example: String,
    },
    /// A set in which nothing can be learnt.
    #[error("{path}: has only one {what} (`{id}`); a recommender needs at least two: {hint}")]
    OnlyOne {
        /// The first file.
        path: PathBuf,
        /// User or video.
        what: &'static str,
        /// Which.
        id: String,
        /// What to look at.
        hint: String,
    },
    /// No event is positive under the rule.
    #[error(
        "no event of {path} is positive under the rule `{relevance}`: {read}; change the rule, for example --relevance \"{instead}\""
    )]
    NoPositives {
        /// The first file.
        path: PathBuf,
        /// The rule.
        relevance: String,
        /// How each kind of event was read.
        read: String,
        /// A rule under which there would be some.
        instead: String,
    },
    /// A file of features that cannot be used.
    #[error("{path}: cannot be used as features: {reason}")]
    Features {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A rule of cleaning that cannot be meant.
    #[error("rule `{text}`: expected {expected}")]
    RuleSyntax {
        /// What was written.
        text: String,
        /// What could be.
        expected: String,
    },
    /// A row that cannot be kept, where none may be dropped.
    #[error("{path}, line {line}: {found}; correct the row, or drop such rows by leaving --strict out")]
    Strict {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong there.
        found: String,
    },
    /// Rows that do not fit into memory cannot be put on disk.
    #[error(
        "{path}: rows beyond --memory cannot be kept there; check that the disk has room, or give more memory"
    )]
    Spill {
        /// The file beside the output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read of some files cannot be kept for a later import.
    #[error("what was read cannot be kept for a later import: {0}")]
    Unkept(Box<crate::run::RunError>),
    /// A database that cannot be reached, or that refuses.
    #[error("{url}: {what}{reason}")]
    Sql {
        /// Which, without its password.
        url: String,
        /// What could not be done, and what to do.
        what: String,
        /// What the server said, after a colon.
        reason: String,
    },
    /// Beyond a limit.
    #[error("{path}: more than {most} {what}; raise the limit `{limit}` if this is meant")]
    Limit {
        /// Which file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        most: usize,
        /// The name of the limit.
        limit: &'static str,
    },
}

impl IngestError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
