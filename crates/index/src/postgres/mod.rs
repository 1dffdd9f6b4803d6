//! Vectors in PostgreSQL with the extension pgvector: where several services share them, or SQL shall read them too.
//!
//! Every search looks at every row of its set, on the server: exact, as [`crate::Flat`], and linear in the rows. There is no approximate index
//! on the table: with one, a search within a narrow filter may answer with fewer rows than there are, against what [`Index`] promises. This
//! relies on the server to compute in the order and precision of pgvector, single floats, so a score may differ from `Flat`'s in its last bits.

mod server;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio_postgres::Row;
use upnext_math::Matrix;

use crate::metric::check_dim;
use crate::{Allow, Hit, Index, IndexError, Metric, ROWS_MAX};
use server::{Parameters, Server};

/// Lists of rows up to this long travel with a query; a larger set is looked through here.
const LISTED_MAX: usize = 20_000;
/// Rows that travel at once when a set is written.
const BATCH: usize = 500;
/// How many more rows are asked for when too few of those that came were allowed.
const GROWTH: usize = 8;

/// Of several processes that come at once, one makes them.
const TABLES: &str = "
SELECT pg_advisory_xact_lock(hashtext('upnext vectors'));
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS upnext;
CREATE TABLE IF NOT EXISTS upnext.vector_sets (
    number serial PRIMARY KEY, name text NOT NULL UNIQUE, dim integer NOT NULL, metric text NOT NULL
);
CREATE TABLE IF NOT EXISTS upnext.vectors (
    set integer NOT NULL REFERENCES upnext.vector_sets ON DELETE CASCADE, row integer NOT NULL, vector vector NOT NULL,
    PRIMARY KEY (set, row)
);
";

const IS_THERE: &str = "SELECT to_regclass('upnext.vector_sets') IS NOT NULL";
/// The number stays: whoever has the set open goes on by it.
const MAKE: &str = "
INSERT INTO upnext.vector_sets (name, dim, metric) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET dim = excluded.dim, metric = excluded.metric RETURNING number";
const EMPTY: &str = "DELETE FROM upnext.vectors WHERE set = $1";
const FIND: &str = "SELECT number, dim, metric FROM upnext.vector_sets WHERE name = $1";
/// How many rows a set has that was published and not changed since; unlike to count them this looks at one.
const LAST: &str = "SELECT coalesce(max(row) + 1, 0)::bigint FROM upnext.vectors WHERE set = $1";
const COUNT: &str = "SELECT count(*) FROM upnext.vectors WHERE set = $1";
const CONTAINS: &str = "SELECT 1 FROM upnext.vectors WHERE set = $1 AND row = $2";
const INSERT: &str =
    "INSERT INTO upnext.vectors VALUES ($1, $2, $3::real[]::vector) ON CONFLICT DO NOTHING RETURNING row";
const UPDATE: &str =
    "UPDATE upnext.vectors SET vector = $3::real[]::vector WHERE set = $1 AND row = $2 RETURNING row";
const REMOVE: &str = "DELETE FROM upnext.vectors WHERE set = $1 AND row = $2 RETURNING row";
const FILL: &str = "
INSERT INTO upnext.vectors SELECT $1, row, ($3::real[])[(at - 1) * $4::bigint + 1 : at * $4::bigint]::vector
FROM unnest($2::integer[]) WITH ORDINALITY AS given (row, at)";

/// The nearest by inner product, all or among a list. Nearer is less.
const NEAREST: [&str; 4] = [
    "SELECT row, vector <#> $2::real[]::vector FROM upnext.vectors WHERE set = $1 ORDER BY 2, 1 LIMIT $3",
    "SELECT row, vector <#> $2::real[]::vector FROM upnext.vectors WHERE set = $1 AND row = ANY($4::integer[])
     ORDER BY 2, 1 LIMIT $3",
    "SELECT row, vector_l2_squared_distance(vector, $2::real[]::vector) FROM upnext.vectors WHERE set = $1
     ORDER BY 2, 1 LIMIT $3",
    "SELECT row, vector_l2_squared_distance(vector, $2::real[]::vector) FROM upnext.vectors
     WHERE set = $1 AND row = ANY($4::integer[]) ORDER BY 2, 1 LIMIT $3",
];

/// How a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgConfig {
    /// How long connecting may take.
    pub connect_milliseconds_max: u64,
    /// How long a call may take, waiting for a connection included.
    pub answer_milliseconds_max: u64,
    /// How long a server that could not be reached is left alone; calls fail at once meanwhile.
    pub retry_milliseconds: u64,
    /// Connections at once; further calls wait.
    pub connections: usize,
}

impl Default for PgConfig {
    fn default() -> Self {
        Self {
            connect_milliseconds_max: 3_000,
            answer_milliseconds_max: 5_000,
            retry_milliseconds: 1_000,
            connections: 8,
        }
    }
}

/// A named set of vectors in a database of PostgreSQL. It may be used from any thread, of an async runtime too.
pub struct Postgres {
    server: Server,
    set: i32,
    dim: usize,
    metric: Metric,
    /// How many rows there were when that was last asked.
    known: AtomicUsize,
}

impl Postgres {
    /// Writes a set whole, row by row of the matrix, in the place of one with this name: others see the old one or the new one. `tell` hears how
    /// many rows were sent.
    ///
    /// # Errors
    /// When the server cannot be reached, has no pgvector, or refuses; or a vector cannot be taken.
    pub fn publish(
        url: &str,
        name: &str,
        vectors: &Matrix,
        metric: Metric,
        config: &PgConfig,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Self, IndexError> {
        let dim = vectors.n_columns();
        check_dim(dim)?;
        if vectors.n_rows() > ROWS_MAX as usize {
            return Err(IndexError::Row {
                row: u32::try_from(vectors.n_rows()).unwrap_or(u32::MAX),
                most: ROWS_MAX,
            });
        }
        let server = Server::of(url, config)?;
        server.run("make its tables", TABLES)?;
        let mut change = server.transaction()?;
        let made = change.query(MAKE, making(name, dim, metric))?;
        let set = number(&server, &made)?;
        change.query(EMPTY, vec![Box::new(set)])?;
        let (mut flat, mut rows, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..vectors.n_rows() {
            metric.prepare(&|| format!("the vector of row {at}"), dim, vectors.row(at), &mut prepared)?;
            flat.extend_from_slice(&prepared);
            rows.push(at as i32);
            if rows.len() == BATCH || at + 1 == vectors.n_rows() {
                let given: Parameters = vec![
                    Box::new(set),
                    Box::new(std::mem::take(&mut rows)),
                    Box::new(std::mem::take(&mut flat)),
                    Box::new(dim as i64),
                ];
                change.query(FILL, given)?;
                tell(at + 1);
            }
        }
        change.commit()?;
        Ok(Self { server, set, dim, metric, known: AtomicUsize::new(vectors.n_rows()) })
    }

    /// The set of a name; `None` if there is none.
    ///
    /// # Errors
    /// When the server cannot be reached, or what it has is another build's.
    pub fn open(url: &str, name: &str, config: &PgConfig) -> Result<Option<Self>, IndexError> {
        let server = Server::of(url, config)?;
        let is_there = server.query("look for a set", IS_THERE, Vec::new())?;
        if !is_there.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
            return Ok(None);
        }
        let found = server.query("look for a set", FIND, vec![Box::new(name.to_string())])?;
        let Some(row) = found.first() else { return Ok(None) };
        let metric: String = cell(&server, row, 2)?;
        let Some(metric) = METRICS.into_iter().find(|known| word(*known) == metric) else {
            let message = format!("the set {name} has the metric {metric:?}, which this build does not know");
            return Err(server.failed("look for a set", message));
        };
        let dim = usize::try_from(cell::<i32>(&server, row, 1)?).unwrap_or_default();
        let set = cell(&server, row, 0)?;
        let index = Self { server, set, dim, metric, known: AtomicUsize::new(0) };
        index.ask_len(LAST)?;
        Ok(Some(index))
    }

    /// How many rows there are, or why that cannot be known.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn try_len(&self) -> Result<usize, IndexError> {
        self.ask_len(COUNT)
    }

    fn ask_len(&self, sql: &'static str) -> Result<usize, IndexError> {
        let found = self.server.query("count", sql, vec![Box::new(self.set)])?;
        let n = match found.first() {
            Some(row) => cell::<i64>(&self.server, row, 0)?,
            None => 0,
        };
        let n = usize::try_from(n).unwrap_or_default();
        self.known.store(n, Ordering::Relaxed);
        Ok(n)
    }

    /// Takes a row away; says whether it was there, or why that cannot be known.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn try_remove(&self, row: u32) -> Result<bool, IndexError> {
        self.changed("remove a row", REMOVE, row, None)
    }

    fn changed(
        &self,
        doing: &'static str,
        sql: &'static str,
        row: u32,
        vector: Option<Vec<f32>>,
    ) -> Result<bool, IndexError> {
        // Beyond 31 bits there is none.
        let Ok(row) = i32::try_from(row) else { return Ok(false) };
        let mut given: Parameters = vec![Box::new(self.set), Box::new(row)];
        if let Some(vector) = vector {
            given.push(Box::new(vector));
        }
        Ok(!self.server.query(doing, sql, given)?.is_empty())
    }

    fn prepared(&self, what: &dyn Fn() -> String, vector: &[f32]) -> Result<Vec<f32>, IndexError> {
        let mut prepared = Vec::new();
        self.metric.prepare(what, self.dim, vector, &mut prepared)?;
        Ok(prepared)
    }

    /// The `n` nearest, of all or of a list.
    fn nearest(
        &self,
        query: &[f32],
        n: usize,
        listed: Option<Vec<i32>>,
        until: Instant,
    ) -> Result<Vec<Hit>, IndexError> {
        let sql = NEAREST[2 * usize::from(self.metric == Metric::L2) + usize::from(listed.is_some())];
        let limit = i64::try_from(n).unwrap_or(i64::MAX);
        let mut given: Parameters = vec![Box::new(self.set), Box::new(query.to_vec()), Box::new(limit)];
        if let Some(listed) = listed {
            given.push(Box::new(listed));
        }
        let found = self.server.query_until(until, "search", sql, given)?;
        let hit = |row: &Row| {
            let at: i32 = cell(&self.server, row, 0)?;
            let far: f64 = cell(&self.server, row, 1)?;
            // A sum with zero has no sign of its own.
            Ok(Hit { row: at.unsigned_abs(), score: 0.0 - far as f32 })
        };
        found.iter().map(hit).collect()
    }

    /// The nearest of those that are admitted: more and more are asked for until so many of them are.
    fn admitted(
        &self,
        query: &[f32],
        k: usize,
        admits: &dyn Fn(u32) -> bool,
        until: Instant,
    ) -> Result<Vec<Hit>, IndexError> {
        let mut n = 2 * k + 64;
        loop {
            let mut hits = self.nearest(query, n, None, until)?;
            let is_all = hits.len() < n;
            hits.retain(|hit| admits(hit.row));
            if is_all || hits.len() >= k {
                hits.truncate(k);
                return Ok(hits);
            }
            n = n.saturating_mul(GROWTH);
        }
    }

    fn search_until(
        &self,
        query: &[f32],
        k: usize,
        allow: Allow,
        until: Instant,
    ) -> Result<Vec<Hit>, IndexError> {
        let query = self.prepared(&|| "the query".into(), query)?;
        let k = k.min(ROWS_MAX as usize);
        if k == 0 {
            return Ok(Vec::new());
        }
        let listed =
            |rows: &mut dyn Iterator<Item = u32>| rows.filter_map(|row| i32::try_from(row).ok()).collect();
        match allow {
            Allow::All => self.nearest(&query, k, None, until),
            Allow::Rows(rows) => self.nearest(&query, k, Some(listed(&mut rows.iter().copied())), until),
            Allow::Bitmap(set) if set.len() <= LISTED_MAX => {
                self.nearest(&query, k, Some(listed(&mut set.rows())), until)
            }
            Allow::Bitmap(set) => self.admitted(&query, k, &|row| set.contains(row), until),
            Allow::Predicate(is_allowed) => self.admitted(&query, k, &is_allowed, until),
        }
    }
}

const METRICS: [Metric; 3] = [Metric::InnerProduct, Metric::Cosine, Metric::L2];

/// What a metric is called in the table.
fn word(metric: Metric) -> &'static str {
    match metric {
        Metric::InnerProduct => "inner product",
        Metric::Cosine => "cosine",
        Metric::L2 => "l2",
    }
}

fn making(name: &str, dim: usize, metric: Metric) -> Parameters {
    let dim = i32::try_from(dim).unwrap_or(i32::MAX);
    vec![Box::new(name.to_string()), Box::new(dim), Box::new(word(metric).to_string())]
}

fn number(server: &Server, made: &[Row]) -> Result<i32, IndexError> {
    match made.first() {
        Some(row) => cell(server, row, 0),
        None => Err(server.failed("make a set", "the server gave no number".into())),
    }
}

fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(
    server: &Server,
    row: &'a Row,
    at: usize,
) -> Result<T, IndexError> {
    row.try_get(at).map_err(|error| server.failed("read an answer", error.to_string()))
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("server", &self.server.name())
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

/// While the server does not answer, `len` is what was last known, and `contains` and `remove` say no: [`Postgres::try_len`] and
/// [`Postgres::try_remove`] tell the difference.
impl Index for Postgres {
    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn len(&self) -> usize {
        self.try_len().unwrap_or_else(|_| self.known.load(Ordering::Relaxed))
    }

    fn contains(&self, row: u32) -> bool {
        self.changed("look for a row", CONTAINS, row, None).unwrap_or(false)
    }

    fn search(&self, query: &[f32], k: usize, allow: Allow) -> Result<Vec<Hit>, IndexError> {
        self.search_until(query, k, allow, self.server.deadline())
    }

    fn search_many(&self, queries: &Matrix, k: usize, allow: Allow) -> Result<Vec<Vec<Hit>>, IndexError> {
        let until = self.server.deadline();
        (0..queries.n_rows()).map(|at| self.search_until(queries.row(at), k, allow, until)).collect()
    }

    fn insert(&self, row: u32, vector: &[f32]) -> Result<(), IndexError> {
        let vector = self.prepared(&|| format!("the vector of row {row}"), vector)?;
        if row >= ROWS_MAX {
            return Err(IndexError::Row { row, most: ROWS_MAX });
        }
        match self.changed("insert a row", INSERT, row, Some(vector))? {
            true => Ok(()),
            false => Err(IndexError::Present { row }),
        }
    }

    fn update(&self, row: u32, vector: &[f32]) -> Result<(), IndexError> {
        let vector = self.prepared(&|| format!("the vector of row {row}"), vector)?;
        match self.changed("update a row", UPDATE, row, Some(vector))? {
            true => Ok(()),
            false => Err(IndexError::Absent { row }),
        }
    }

    fn remove(&self, row: u32) -> bool {
        self.try_remove(row).unwrap_or(false)
    }
}
