//! Inverted lists over codes: rows are gathered around centres, a query looks at the lists of the nearest centres, compares codes of
//! 2 or 4 bits, and scores the best of these again exactly.
//!
//! What was built (`base`) never changes; rows that come later lie in chunks beside each list (`fresh`), rows that go are struck out of
//! bitmaps. Each change makes a new `State` that shares nearly all with the last, and puts it in its place: a search takes
//! one and keeps it, so it waits for nobody and sees whole changes only.

pub(crate) mod base;
mod build;
mod fresh;
mod kmeans;
mod search;
mod state;
pub(crate) mod tune;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rayon::prelude::*;
use upnext_math::{Matrix, codes::Bits};

use crate::metric::check_dim;
use crate::{Allow, Hit, Index, IndexError, Metric, ROWS_MAX};
use base::Base;
use fresh::Place;
use search::Scratch;
use state::State;
pub use tune::Effort;

/// How an index is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What near means.
    pub metric: Metric,
    /// Draws the rotation, the sample and the first centres: the same seed and rows give the same index on any number of threads.
    pub seed: u64,
    /// The share of the true neighbours that searches shall find, measured at building on rows of the index; 0.5 to 0.999.
    pub recall: f32,
    /// How many lists; by the number of rows if not said.
    pub lists: Option<usize>,
    /// Bits of a code; 4 while codes fit the cache, then 2, if not said.
    pub bits: Option<Bits>,
    /// Rows that are asked for their neighbours to choose the effort; 0 leaves it at a rough guess.
    pub tuning_queries: usize,
}

impl Config {
    /// The usual settings: recall 0.95.
    pub fn new(metric: Metric) -> Self {
        Self { metric, seed: 1, recall: 0.95, lists: None, bits: None, tuning_queries: 400 }
    }

    fn check(&self) -> Result<(), IndexError> {
        let setting = |setting, found: String, expected: &str| {
            Err(IndexError::Setting { setting, found, expected: expected.into() })
        };
        if !(0.5..=0.999).contains(&self.recall) {
            return setting("recall", self.recall.to_string(), "0.5 to 0.999");
        }
        if self.lists.is_some_and(|n| !(1..=LISTS_MAX).contains(&n)) {
            return setting("lists", format!("{:?}", self.lists), &format!("1 to {LISTS_MAX}"));
        }
        if self.tuning_queries > 10_000 {
            return setting("tuning_queries", self.tuning_queries.to_string(), "at most 10000");
        }
        Ok(())
    }
}

/// Queries of one call that are not worth waking other threads for.
const FEW: usize = 16;

/// More lists than this take longer to choose from than rows take to look at.
const LISTS_MAX: usize = 1 << 16;

/// The default index.
#[derive(Debug)]
pub struct Quantised {
    state: ArcSwap<State>,
    writer: Mutex<Writer>,
    /// One fold at a time.
    folding: Mutex<()>,
}

/// What only those who change an index need.
#[derive(Debug, Default)]
struct Writer {
    /// Where each row is that came after building.
    fresh: HashMap<u32, Place>,
    /// Rows that changed while a fold is under way.
    changed: Option<Vec<u32>>,
}

/// What a change does to a row.
enum Change<'a> {
    Insert(&'a [f32]),
    Update(&'a [f32]),
    Remove,
}

impl Quantised {
    /// An index of no rows, to be filled; after many inserts, [`fold`](Self::fold) makes it fast.
    ///
    /// # Errors
    /// If a setting is out of bounds.
    pub fn new(dim: usize, config: &Config) -> Result<Self, IndexError> {
        Self::build_rows(&[], &Matrix::zeros(0, dim), config)
    }

    /// An index of vectors whose row numbers are their places.
    ///
    /// # Errors
    /// If a setting is out of bounds, or a vector cannot be taken.
    pub fn build(vectors: &Matrix, config: &Config) -> Result<Self, IndexError> {
        let n = u32::try_from(vectors.n_rows()).unwrap_or(u32::MAX);
        Self::build_rows(&(0..n).collect::<Vec<u32>>(), vectors, config)
    }

    /// An index of vectors with row numbers of their own.
    ///
    /// # Errors
    /// As [`build`](Self::build), and if a row stands twice.
    pub fn build_rows(rows: &[u32], vectors: &Matrix, config: &Config) -> Result<Self, IndexError> {
        config.check()?;
        check_dim(vectors.n_columns())?;
        if rows.len() != vectors.n_rows() {
            return Err(IndexError::Count { rows: rows.len(), vectors: vectors.n_rows() });
        }
        Ok(Self::of(Base::build(rows, &|at| vectors.row(at), vectors.n_columns(), config)?))
    }

    pub(crate) fn of(base: Base) -> Self {
        Self {
            state: ArcSwap::from_pointee(State::of(Arc::new(base))),
            writer: Mutex::default(),
            folding: Mutex::default(),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A writer that panicked has not published its state: the last one is whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Searches with an effort of the caller's instead of the tuned one.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_with(
        &self,
        query: &[f32],
        k: usize,
        allow: Allow,
        effort: Effort,
    ) -> Result<Vec<Hit>, IndexError> {
        let state = self.state.load();
        Scratch::with(|scratch| state.search(query, &|| "the query".into(), k, allow, Some(effort), scratch))
    }

    /// What searches for `k` rows do by default: chosen when the index was built.
    pub fn effort(&self, k: usize) -> Effort {
        self.state.load().base.tuned.effort(k)
    }

    /// Chooses the effort again, for another recall.
    ///
    /// # Errors
    /// If the recall is out of bounds.
    pub fn tune(&self, recall: f32) -> Result<(), IndexError> {
        let _one = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.state.load().base.config.clone();
        config.recall = recall;
        config.check()?;
        self.state.load().base.packed.vectors.check()?;
        let tuned = tune::tune(&State::of(Arc::clone(&self.state.load().base)), &config);
        let _writer = self.writer();
        let state = self.state.load();
        let base = Base { config, tuned, ..Base::clone(&state.base) };
        self.state.store(Arc::new(State { base: Arc::new(base), ..State::clone(&state) }));
        Ok(())
    }

    /// The settings it was built with.
    pub fn config(&self) -> Config {
        self.state.load().base.config.clone()
    }

    /// Bits of a code.
    pub fn bits(&self) -> Bits {
        self.state.load().base.bits
    }

    /// How many lists there are.
    pub fn n_lists(&self) -> usize {
        self.state.load().base.n_lists()
    }

    /// Bytes that must stay in memory, exact vectors counted unless they are mapped from a file.
    pub fn resident_bytes(&self) -> usize {
        self.state.load().resident_bytes()
    }

    /// Whether so much came and went that [`fold`](Self::fold) would make searches faster.
    pub fn should_fold(&self) -> bool {
        let state = self.state.load();
        4 * self.writer().fresh.len() > state.len || 2 * state.len < state.base.len()
    }

    /// Brings rows that came since building into the lists and forgets those that went. Where the number of rows changed much, lists
    /// are made anew. Searches and changes go on meanwhile. An index whose file was changed where it lies stays as it is.
    pub fn fold(&self) {
        let _one = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.load().base.packed.vectors.check().is_err() {
            return;
        }
        let state = {
            let mut writer = self.writer();
            writer.changed = Some(Vec::new());
            self.state.load_full()
        };
        let folded = state.folded();
        let mut writer = self.writer();
        let changed = writer.changed.take().unwrap_or_default();
        let newest = self.state.load_full();
        let mut next = State::of(Arc::new(folded));
        let mut fresh = HashMap::new();
        let unique: std::collections::BTreeSet<u32> = changed.into_iter().collect();
        for row in unique {
            next.remove(row, &mut fresh);
            if let Some(vector) = newest.vector(row, &writer.fresh) {
                next.insert(row, Arc::from(vector), &mut fresh);
            }
        }
        writer.fresh = fresh;
        self.state.store(Arc::new(next));
    }

    /// A state in which all rows stand in the lists.
    ///
    /// # Errors
    /// If the file of the exact vectors was changed where it lies.
    pub(crate) fn folded_state(&self) -> Result<Arc<State>, IndexError> {
        let state = self.state.load_full();
        state.base.packed.vectors.check()?;
        if state.is_folded() {
            return Ok(state);
        }
        // Others may go on changing, so that the newest state need never be folded: this one is.
        Ok(Arc::new(State::of(Arc::new(state.folded()))))
    }

    fn change(&self, row: u32, change: Change) -> Result<bool, IndexError> {
        let (is_update, vector) = match change {
            Change::Insert(vector) => (false, Some(vector)),
            Change::Update(vector) => (true, Some(vector)),
            Change::Remove => (true, None),
        };
        let mut prepared = Vec::new();
        if let Some(vector) = vector {
            let what = || format!("the vector of row {row}");
            self.metric().prepare(&what, self.dim(), vector, &mut prepared)?;
            if row >= ROWS_MAX {
                return Err(IndexError::Row { row, most: ROWS_MAX });
            }
        }
        let mut writer = self.writer();
        let state = self.state.load_full();
        let is_there = state.contains(row, &writer.fresh);
        match (is_there, is_update, vector.is_some()) {
            (true, false, _) => return Err(IndexError::Present { row }),
            (false, true, true) => return Err(IndexError::Absent { row }),
            (false, _, false) => return Ok(false),
            _ => {}
        }
        let mut next = State::clone(&state);
        if is_there {
            next.remove(row, &mut writer.fresh);
        }
        if vector.is_some() {
            next.insert(row, Arc::from(prepared), &mut writer.fresh);
        }
        if let Some(changed) = &mut writer.changed {
            changed.push(row);
        }
        self.state.store(Arc::new(next));
        Ok(true)
    }
}

impl Index for Quantised {
    fn dim(&self) -> usize {
        self.state.load().base.dim
    }

    fn metric(&self) -> Metric {
        self.state.load().base.config.metric
    }

    fn len(&self) -> usize {
        self.state.load().len
    }

    fn contains(&self, row: u32) -> bool {
        let writer = self.writer();
        self.state.load().contains(row, &writer.fresh)
    }

    fn search(&self, query: &[f32], k: usize, allow: Allow) -> Result<Vec<Hit>, IndexError> {
        let state = self.state.load();
        Scratch::with(|scratch| state.search(query, &|| "the query".into(), k, allow, None, scratch))
    }

    /// All of them see the same rows. Few are answered on the caller's thread, as a request's are; many on all threads of rayon's pool.
    fn search_many(&self, queries: &Matrix, k: usize, allow: Allow) -> Result<Vec<Vec<Hit>>, IndexError> {
        let state = self.state.load_full();
        let answer = |at: usize| {
            Scratch::with(|scratch| {
                state.search(queries.row(at), &|| format!("query {at}"), k, allow, None, scratch)
            })
        };
        match queries.n_rows() {
            n if n <= FEW => (0..n).map(answer).collect(),
            n => (0..n).into_par_iter().map(answer).collect(),
        }
    }

    fn insert(&self, row: u32, vector: &[f32]) -> Result<(), IndexError> {
        self.change(row, Change::Insert(vector)).map(|_| ())
    }

    fn update(&self, row: u32, vector: &[f32]) -> Result<(), IndexError> {
        self.change(row, Change::Update(vector)).map(|_| ())
    }

    fn remove(&self, row: u32) -> bool {
        // A removal has no vector that could be refused.
        self.change(row, Change::Remove).unwrap_or(false)
    }
}
