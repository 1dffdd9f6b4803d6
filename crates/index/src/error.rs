//! What can go wrong, with what to do about it.

use std::path::PathBuf;

/// An error of an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A vector of another length.
    #[error(
        "{what} has {found} numbers, but vectors of this index have {expected}: use the model that made those"
    )]
    Dim {
        /// Which vector.
        what: String,
        /// Its numbers.
        found: usize,
        /// Those of the index.
        expected: usize,
    },
    /// A number that is not finite, or too large to be multiplied.
    #[error("number {at} of {what} is {value}; expected one between -1e15 and 1e15: leave this vector out")]
    NotFinite {
        /// Which vector.
        what: String,
        /// The place within it.
        at: usize,
        /// The number.
        value: f32,
    },
    /// A row twice.
    #[error("row {row} is there already: use update to change its vector")]
    Present {
        /// The row.
        row: u32,
    },
    /// A row that is not there.
    #[error("row {row} is not there: use insert to add it")]
    Absent {
        /// The row.
        row: u32,
    },
    /// A row number beyond the bound.
    #[error("row {row} is too large; expected a number below {most}: number rows from 0")]
    Row {
        /// The row.
        row: u32,
        /// The bound.
        most: u32,
    },
    /// Rows and vectors that do not belong together.
    #[error("{rows} row numbers were given for {vectors} vectors: give one for each")]
    Count {
        /// Row numbers.
        rows: usize,
        /// Vectors.
        vectors: usize,
    },
    /// A setting out of bounds.
    #[error("{setting} is {found}; expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A URL that names no server.
    #[error(
        "the URL of the vectors' database cannot be meant: {message}; expected postgres://user@host:5432/database"
    )]
    Url {
        /// Why.
        message: String,
    },
    /// A server that cannot be reached, refuses, or takes too long.
    #[error("{server} could not {doing}: {message}")]
    Server {
        /// Host, port and database.
        server: String,
        /// What was tried.
        doing: &'static str,
        /// What it or the system said.
        message: String,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be {what}: {source}; check that its folder exists and may be used")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not an index.
    #[error("{path} is no index: it does not begin as one; name the file that was saved as an index")]
    NotAnIndex {
        /// The file.
        path: PathBuf,
    },
    /// An index of another version.
    #[error(
        "{path} is an index of format {found}; this build reads {expected}: build the index again from its vectors"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// What is read.
        expected: u32,
    },
    /// Shorter or longer than it says.
    #[error(
        "{path} has {found} bytes; expected {expected}: it was cut or added to; copy it again, or build it again"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// What it says of itself.
        expected: u64,
    },
    /// Changed while it was open.
    #[error(
        "{path} was changed where it lies while it was in use: put another file in its place by renaming it, and open it again"
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Its checksum does not fit.
    #[error("{path} is damaged in its {part}: copy it again, or build it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        part: &'static str,
    },
}
