//! Nearest vectors: rows that are most like a query, under a filter, while rows come and go.
//!
//! [`Flat`] looks at every row and is the judge. [`Quantised`] looks at few, by codes of 2 or 4 bits, and scores the best again
//! exactly. `Postgres` (feature `postgres`) asks a database with pgvector. A row is a number of the caller's; this crate does not know what it stands for.

mod allow;
mod error;
mod file;
mod flat;
mod metric;
#[cfg(feature = "postgres")]
mod postgres;
mod quantised;

#[cfg(test)]
mod contract;

pub use allow::{Allow, Bitmap};
pub use error::IndexError;
pub use flat::Flat;
pub use metric::Metric;
#[cfg(feature = "postgres")]
pub use postgres::{PgConfig, Postgres};
pub use quantised::{Config, Effort, Quantised};
pub use upnext_math::codes::Bits;

use upnext_math::Matrix;

/// Row numbers are below this: tables by row number stay within 256 MiB.
pub const ROWS_MAX: u32 = 1 << 26;

/// Numbers of a vector are at most so many.
pub const DIM_MAX: usize = 1 << 16;

/// A row, and how good it is: higher is better under every [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The caller's number of the row.
    pub row: u32,
    /// The inner product, the cosine, or minus the squared distance.
    pub score: f32,
}

impl Hit {
    /// The better first, and of equal ones the lower row.
    pub fn order(a: &Self, b: &Self) -> std::cmp::Ordering {
        b.score.total_cmp(&a.score).then(a.row.cmp(&b.row))
    }
}

/// Vectors of one length that can be searched and changed by many threads at once.
///
/// What a call of `insert`, `update` or `remove` did is seen by every search that begins after it returned; a search sees all of a change
/// or nothing. Searches never wait for changes.
pub trait Index: Send + Sync {
    /// Numbers of a vector.
    fn dim(&self) -> usize;

    /// What near means.
    fn metric(&self) -> Metric;

    /// How many rows there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row is there.
    fn contains(&self, row: u32) -> bool;

    /// The `k` allowed rows that are nearest, best first, equal ones by row. As many as `k` wherever so many are allowed.
    ///
    /// # Errors
    /// If the query has another length, or a number of it is not finite.
    fn search(&self, query: &[f32], k: usize, allow: Allow) -> Result<Vec<Hit>, IndexError>;

    /// The same for the rows of a matrix, each answered as [`search`](Self::search) would.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn search_many(&self, queries: &Matrix, k: usize, allow: Allow) -> Result<Vec<Vec<Hit>>, IndexError> {
        (0..queries.n_rows()).map(|at| self.search(queries.row(at), k, allow)).collect()
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If the row is there already or its number is not below [`ROWS_MAX`], or the vector cannot be taken.
    fn insert(&self, row: u32, vector: &[f32]) -> Result<(), IndexError>;

    /// Gives a row another vector.
    ///
    /// # Errors
    /// If the row is not there, or the vector cannot be taken.
    fn update(&self, row: u32, vector: &[f32]) -> Result<(), IndexError>;

    /// Takes a row away; says whether it was there.
    fn remove(&self, row: u32) -> bool;
}
