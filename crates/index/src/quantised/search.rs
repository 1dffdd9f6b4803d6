//! One query against one state.

use std::cell::Cell;

use upnext_math::codes::{self, Blocks, ByteQuery, Entry, Found, Query, ROWS};
use upnext_math::memory::prefetch;

use super::Effort;
use super::base::{NONE, Near};
use super::fresh::{CHUNK_ROWS, Chunk};
use super::state::State;
use crate::{Allow, Bitmap, Hit, IndexError, Metric};

/// So many allowed rows are scored exactly without a look at codes.
const EXACT_MAX: usize = 2_000;

/// Where a filter allows nothing near the query, what few lists were enough without one are too few.
const FILTERED_LISTS_MIN: usize = 24;

/// Vectors that are asked for before it is their turn.
const AHEAD: usize = 6;

/// What a search needs room for; kept by each thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    query: Vec<f32>,
    rotated: Vec<f32>,
    codes: Query,
    bytes: ByteQuery,
    near: Near,
    entries: Vec<Entry>,
    found: Found,
    selected: Vec<u64>,
}

impl Scratch {
    /// With this thread's; one who searches within a filter gets a new one.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static KEPT: Cell<Scratch> = Cell::default();
        }
        let mut scratch = KEPT.take();
        let out = work(&mut scratch);
        KEPT.set(scratch);
        out
    }
}

/// A filter within the scan.
#[derive(Clone, Copy)]
pub(super) enum Filter<'a> {
    None,
    /// Blocks are masked before they are looked at.
    Mask(&'a [u32]),
    /// Rows that would be found are asked for.
    Ask(&'a dyn Fn(u32) -> bool),
}

/// A number that grows with a score, so that whole numbers can be compared.
fn ordered(score: f32) -> u32 {
    let bits = score.to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

/// What [`ordered`] was made of.
fn score_of(ordered: u32) -> f32 {
    f32::from_bits(if ordered >> 31 == 1 { ordered ^ 0x8000_0000 } else { !ordered })
}

/// The better score first, then the lower number.
pub(super) fn key(score: f32, number: u32) -> u64 {
    u64::from(!ordered(score)) << 32 | u64::from(number)
}

pub(super) fn number_of(key: u64) -> u32 {
    key as u32
}

fn score_of_key(key: u64) -> f32 {
    score_of(!((key >> 32) as u32))
}

impl State {
    pub(super) fn search(
        &self,
        query: &[f32],
        what: &dyn Fn() -> String,
        k: usize,
        allow: Allow,
        effort: Option<Effort>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Hit>, IndexError> {
        let mut prepared = std::mem::take(&mut scratch.query);
        let base = &self.base;
        let untouched = base.packed.vectors.check();
        let checked =
            untouched.and_then(|()| base.config.metric.prepare(what, base.dim, query, &mut prepared));
        let hits = checked.map(|()| self.search_prepared(&prepared, k, allow, effort, scratch));
        scratch.query = prepared;
        hits
    }

    pub(super) fn search_prepared(
        &self,
        query: &[f32],
        k: usize,
        allow: Allow,
        effort: Option<Effort>,
        scratch: &mut Scratch,
    ) -> Vec<Hit> {
        let k = k.min(self.len);
        if k == 0 {
            return Vec::new();
        }
        let share = match allow {
            Allow::All | Allow::Predicate(_) => 1.0,
            Allow::Bitmap(set) => set.len() as f32 / self.len as f32,
            Allow::Rows(rows) => rows.len() as f32 / self.len as f32,
        };
        let mut effort = effort.unwrap_or_else(|| match allow {
            Allow::All => self.base.tuned.effort(k),
            _ => self.filtered_effort(k, share),
        });
        effort.rescored = effort.rescored.clamp(k, self.len);
        match allow {
            Allow::All => self.scan(query, k, Filter::None, effort, scratch).rescore(query, k),
            Allow::Bitmap(set) => self.within(query, k, set, effort, scratch),
            Allow::Predicate(ask) => {
                self.scan(query, k, Filter::Ask(&|row| ask(row)), effort, scratch).rescore(query, k)
            }
            Allow::Rows(rows) if rows.len() <= EXACT_MAX.max(2 * k) => {
                let mut rows = rows.to_vec();
                rows.sort_unstable();
                rows.dedup();
                let is_allowed = |row: u32| rows.binary_search(&row).is_ok();
                self.exact(query, k, rows.iter().copied(), &is_allowed, scratch)
            }
            Allow::Rows(rows) => {
                let set: Bitmap = rows.iter().copied().collect();
                self.within(query, k, &set, effort, scratch)
            }
        }
    }

    fn within(
        &self,
        query: &[f32],
        k: usize,
        set: &Bitmap,
        effort: Effort,
        scratch: &mut Scratch,
    ) -> Vec<Hit> {
        if set.len() <= EXACT_MAX.max(2 * k) {
            return self.exact(query, k, set.rows(), &|row| set.contains(row), scratch);
        }
        self.scan(query, k, Filter::Mask(set.words()), effort, scratch).rescore(query, k)
    }

    /// Where a tenth is allowed, the `k` nearest of these lie among the `10 k` nearest of all, so as many lists are looked at as for so
    /// many. But what is allowed may have to do with what is asked: there are more of both.
    fn filtered_effort(&self, k: usize, share: f32) -> Effort {
        let tuned = &self.base.tuned;
        let among = (k as f32 / share.clamp(1e-6, 1.0)) as usize;
        let lists = (tuned.effort(among).lists * 5 / 4).max(FILTERED_LISTS_MIN);
        Effort { lists, rescored: tuned.effort(k).rescored * 3 / 2 }
    }

    /// Scores all allowed rows.
    fn exact(
        &self,
        query: &[f32],
        k: usize,
        rows: impl Iterator<Item = u32>,
        is_allowed: &dyn Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> Vec<Hit> {
        let metric = self.base.config.metric;
        let slots = &mut scratch.selected;
        slots.clear();
        slots.extend(rows.filter_map(|row| self.slot(row)).map(u64::from));
        let mut hits = Vec::with_capacity(slots.len());
        for (at, &slot) in slots.iter().enumerate() {
            if let Some(&next) = slots.get(at + AHEAD) {
                prefetch(self.base.vector(next as u32));
            }
            let slot = slot as u32;
            let score = metric.score(query, self.base.vector(slot));
            hits.push(key(score, self.base.row(slot)));
        }
        for chunk in self.fresh.all() {
            for slot in chunk.slots().filter(|&slot| is_allowed(chunk.row(slot))) {
                hits.push(key(metric.score(query, &chunk.vectors[slot]), chunk.row(slot)));
            }
        }
        best(&mut hits, k)
    }

    /// Looks at the nearest lists, by codes.
    pub(super) fn scan<'a, 'b>(
        &'a self,
        query: &[f32],
        k: usize,
        filter: Filter<'a>,
        effort: Effort,
        scratch: &'b mut Scratch,
    ) -> Scan<'a, 'b> {
        let base = &*self.base;
        scratch.rotated.clear();
        scratch.rotated.extend_from_slice(query);
        base.rotation.apply(&mut scratch.rotated);
        scratch.codes.set(base.bits, &scratch.rotated);
        scratch.bytes.set(&scratch.rotated);
        let by_product = base.config.metric == Metric::InnerProduct;
        let room = (2 * effort.rescored).max(effort.rescored + 128).min(self.len.max(64) + 2 * ROWS);
        let threshold = f32::NEG_INFINITY;
        let mut scan =
            Scan { state: self, filter, rescored: effort.rescored, threshold, chunks: Vec::new(), scratch };
        // Under a mask lists without allowed rows do not count, so more are chosen, and again more where these are not enough.
        let is_masked = matches!(filter, Filter::Mask(_));
        let mut wanted = effort.lists.max(1);
        let mut chosen = if is_masked { wanted.saturating_mul(2) } else { wanted };
        loop {
            let Scratch { bytes, near, found, .. } = &mut *scan.scratch;
            base.lists.nearest(bytes, by_product, chosen, near);
            found.clear(room);
            (scan.threshold, scan.chunks) = (threshold, Vec::new());
            let is_looked_at = scan.lists(wanted) || chosen >= base.n_lists();
            let is_found = scan.scratch.found.n >= k || wanted >= base.n_lists();
            if is_looked_at && is_found {
                break;
            }
            chosen = chosen.saturating_mul(4);
            wanted = if is_found { wanted } else { wanted.saturating_mul(4) };
        }
        scan.prune();
        scan
    }
}

/// A scan under way.
pub(super) struct Scan<'a, 'b> {
    state: &'a State,
    filter: Filter<'a>,
    rescored: usize,
    /// What a row must score to be among the best so far.
    threshold: f32,
    chunks: Vec<&'a Chunk>,
    scratch: &'b mut Scratch,
}

impl<'a> Scan<'a, '_> {
    /// Looks at the rows of the lists that were chosen, until so many of these have some; whether so many have.
    fn lists(&mut self, most: usize) -> bool {
        let state = self.state;
        let base = &*state.base;
        let mut entries = std::mem::take(&mut self.scratch.entries);
        let mut near = std::mem::take(&mut self.scratch.near);
        let is_masked = matches!(self.filter, Filter::Mask(_));
        // The more of the nearest have nothing that is allowed, the less their order says.
        let (mut n_with_rows, mut n_without) = (0, 0);
        entries.clear();
        while n_with_rows + n_without < near.lists.len()
            && n_with_rows < most.saturating_add(n_without.min(most))
        {
            let list = number_of(near.lists[n_with_rows + n_without]) as usize;
            let (bias, before) = (near.dots[list], entries.len());
            for block in base.packed.starts[list]..base.packed.starts[list + 1] {
                let mut mask = u32::from(state.mask(block as usize));
                if let Filter::Mask(set) = self.filter {
                    mask &= codes::members(&base.packed.rows[block as usize], set);
                }
                if mask != 0 {
                    entries.push(Entry { block, mask, bias });
                }
            }
            let counts = !is_masked || entries.len() > before;
            *if counts { &mut n_with_rows } else { &mut n_without } += 1;
        }
        near.lists.truncate(n_with_rows + n_without);
        self.blocks(Blocks::new(base.bits, base.dim, &base.packed.lines), &entries, 0);
        if !state.fresh.is_empty() {
            for &list in &near.lists {
                let list = number_of(list) as usize;
                for chunk in state.fresh.chunks(list).iter().filter(|chunk| !chunk.masks.is_empty()) {
                    entries.clear();
                    for (block, &mask) in chunk.masks.iter().enumerate() {
                        let mut mask = u32::from(mask);
                        if let Filter::Mask(set) = self.filter {
                            mask &= codes::members(&chunk.rows[block], set);
                        }
                        let bias = near.dots[list];
                        entries.push(Entry { block: block as u32, mask, bias });
                    }
                    self.chunks.push(chunk);
                    let offset = base.n_blocks() * ROWS + (self.chunks.len() - 1) * CHUNK_ROWS;
                    self.blocks(Blocks::new(base.bits, base.dim, &chunk.lines), &entries, offset as u32);
                }
            }
        }
        self.scratch.entries = entries;
        self.scratch.near = near;
        n_with_rows >= most
    }

    /// Looks at blocks, whose slots count from `offset` on.
    fn blocks(&mut self, blocks: Blocks, entries: &[Entry], offset: u32) {
        let mut rest = entries;
        loop {
            let from = self.scratch.found.n;
            let found = &mut self.scratch.found;
            let seen = codes::scan(&self.scratch.codes, blocks, rest, self.threshold, found);
            rest = &rest[seen..];
            if offset > 0 {
                found.slots[from..found.n].iter_mut().for_each(|slot| *slot += offset);
            }
            if let Filter::Ask(ask) = self.filter {
                self.ask(ask, from);
            }
            if self.scratch.found.is_full() {
                self.prune();
            }
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Keeps of the rows from a place on those that are answered yes.
    fn ask(&mut self, ask: &dyn Fn(u32) -> bool, from: usize) {
        let mut n = from;
        for at in from..self.scratch.found.n {
            if ask(self.row(self.scratch.found.slots[at])) {
                let found = &mut self.scratch.found;
                (found.scores[n], found.slots[n]) = (found.scores[at], found.slots[at]);
                n += 1;
            }
        }
        self.scratch.found.n = n;
    }

    fn row(&self, slot: u32) -> u32 {
        match self.chunk_of(slot) {
            Some((chunk, slot)) => chunk.row(slot),
            None => self.state.base.row(slot),
        }
    }

    fn vector(&self, slot: u32) -> &'a [f32] {
        match self.chunk_of(slot) {
            Some((chunk, slot)) => &chunk.vectors[slot],
            None => self.state.base.vector(slot),
        }
    }

    fn chunk_of(&self, slot: u32) -> Option<(&'a Chunk, usize)> {
        let beyond = (slot as usize).checked_sub(self.state.base.n_blocks() * ROWS)?;
        Some((self.chunks[beyond / CHUNK_ROWS], beyond % CHUNK_ROWS))
    }

    /// Keeps the best so far and raises the threshold to the last of them.
    fn prune(&mut self) {
        let Scratch { found, selected, .. } = &mut *self.scratch;
        selected.clear();
        let each = found.scores.iter().zip(&found.slots).take(found.n);
        selected.extend(each.map(|(&score, &slot)| key(score, slot)));
        if selected.len() > self.rescored {
            let (_, last, _) = selected.select_nth_unstable(self.rescored - 1);
            self.threshold = score_of_key(*last);
            selected.truncate(self.rescored);
        }
        found.n = selected.len();
        for (at, &key) in selected.iter().enumerate() {
            (found.scores[at], found.slots[at]) = (score_of_key(key), number_of(key));
        }
    }

    /// The slots of the rows that were kept, those first that seem best, and how many blocks were looked at.
    pub(super) fn ranked(self) -> (Vec<u32>, usize) {
        let Scratch { found, entries, .. } = self.scratch;
        let each = found.scores.iter().zip(&found.slots).take(found.n);
        let mut keys: Vec<u64> = each.map(|(&score, &slot)| key(score, slot)).collect();
        keys.sort_unstable();
        (keys.into_iter().map(number_of).collect(), entries.len())
    }

    /// The best by their exact scores.
    fn rescore(self, query: &[f32], k: usize) -> Vec<Hit> {
        let metric = self.state.base.config.metric;
        let n = self.scratch.found.n;
        let mut keys = std::mem::take(&mut self.scratch.selected);
        keys.clear();
        for at in 0..n {
            if at + AHEAD < n {
                prefetch(self.vector(self.scratch.found.slots[at + AHEAD]));
            }
            let slot = self.scratch.found.slots[at];
            keys.push(key(metric.score(query, self.vector(slot)), self.row(slot)));
        }
        let hits = best(&mut keys, k);
        self.scratch.selected = keys;
        hits
    }
}

/// The best `k` of keys by score and row.
fn best(keys: &mut [u64], k: usize) -> Vec<Hit> {
    let n = k.min(keys.len());
    if n > 0 && n < keys.len() {
        keys.select_nth_unstable(n - 1);
    }
    keys[..n].sort_unstable();
    debug_assert!(keys[..n].iter().all(|&key| number_of(key) != NONE));
    keys[..n].iter().map(|&key| Hit { row: number_of(key), score: score_of_key(key) }).collect()
}
