//! One query against one state.

use std::cell::Cell;

use upnext_math::codes::{self, Blocks, ByteQuery, Entry, Found, Query, ROWS};
use upnext_math::dot::dot;
use upnext_math::memory::prefetch;

use super::Effort;
use super::base::NONE;
use super::fresh::{CHUNK_ROWS, Chunk};
use super::state::State;
use crate::{Allow, Bitmap, Hit, IndexError};

/// So many allowed rows are scored exactly without a look at codes.
const EXACT_MAX: usize = 2_000;

/// Lists that are looked at before the bound is asked again.
const LISTS_AT_ONCE: usize = 8;

/// Of so many lists one tells what bounds are common, and the lists above the so-manieth of these are looked at first: about 40.
const SAMPLE: usize = 16;
const SAMPLE_FIRST: usize = 3;

/// From this share of all rows on, a filter is asked only for rows that would be found: fewer questions, and masks stay as they are.
const ASK_FROM: f32 = 0.3;

/// The least margin under a filter: where it allows nothing near the query, what was tuned without one may be too little.
const FILTERED_MARGIN: f32 = 3.5;

/// Vectors that are asked for before it is their turn.
const AHEAD: usize = 6;

/// What a search needs room for; kept by each thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    query: Vec<f32>,
    rotated: Vec<f32>,
    codes: Query,
    bytes: ByteQuery,
    dots: Vec<f32>,
    bounds: Vec<f32>,
    sample: Vec<u32>,
    banded: Found,
    lists: Vec<u64>,
    entries: Vec<Entry>,
    found: Found,
    selected: Vec<u64>,
    /// Blocks looked at and rows scored exactly by the last search.
    pub(super) blocks: usize,
    pub(super) rescored: usize,
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
enum Filter<'a> {
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
fn key(score: f32, number: u32) -> u64 {
    u64::from(!ordered(score)) << 32 | u64::from(number)
}

fn number_of(key: u64) -> u32 {
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
        let checked = self.base.config.metric.prepare(what, self.base.dim, query, &mut prepared);
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
        (scratch.blocks, scratch.rescored) = (0, 0);
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
            Allow::All => self.scan(query, k, Filter::None, effort, scratch),
            Allow::Bitmap(set) => self.within(query, k, set, effort, scratch),
            Allow::Predicate(ask) => self.scan(query, k, Filter::Ask(&|row| ask(row)), effort, scratch),
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
        if set.len() as f32 >= ASK_FROM * self.len as f32 {
            return self.scan(query, k, Filter::Ask(&|row| set.contains(row)), effort, scratch);
        }
        self.scan(query, k, Filter::Mask(set.words()), effort, scratch)
    }

    /// Where a tenth is allowed, the `k` nearest of these lie among the `10 k` nearest of all, so lists are bounded as for so many. But
    /// what is allowed may have to do with what is asked: the margin has a floor, and more rows are scored exactly.
    fn filtered_effort(&self, k: usize, share: f32) -> Effort {
        let tuned = &self.base.tuned;
        let among = (k as f32 / share.clamp(1e-6, 1.0)) as usize;
        let rescored = tuned.effort(k).rescored * 5 / 4;
        Effort { margin: tuned.effort(among).margin.max(FILTERED_MARGIN), rescored }
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
        scratch.rescored = hits.len();
        best(&mut hits, k)
    }

    /// Looks at the lists whose rows may be among the best, by codes, and scores the best of these exactly.
    fn scan(
        &self,
        query: &[f32],
        k: usize,
        filter: Filter,
        effort: Effort,
        scratch: &mut Scratch,
    ) -> Vec<Hit> {
        let base = &*self.base;
        scratch.rotated.clear();
        scratch.rotated.extend_from_slice(query);
        base.rotation.apply(&mut scratch.rotated);
        scratch.codes.set(base.bits, &scratch.rotated);
        scratch.bytes.set(&scratch.rotated);
        base.lists.bytes.dots(&scratch.bytes, &mut scratch.dots);
        let square = dot(query, query);
        if effort.margin == f32::INFINITY {
            scratch.bounds.clear();
            scratch.bounds.resize(base.n_lists(), f32::INFINITY);
        } else {
            let given = base.lists.bounds(base.config.metric, square, effort.margin);
            codes::bounds(&scratch.dots, given, &mut scratch.bounds);
        }
        let bounds = std::mem::take(&mut scratch.bounds);
        let mut sample = std::mem::take(&mut scratch.sample);
        sample.clear();
        sample.extend(bounds.iter().step_by(SAMPLE).map(|&bound| !ordered(bound)));

        let room = (2 * effort.rescored).max(effort.rescored + 128);
        scratch.found.clear(room.min(self.len.max(64) + 2 * ROWS));
        let mut scan = Scan {
            state: self,
            filter,
            rescored: effort.rescored,
            threshold: f32::NEG_INFINITY,
            chunks: Vec::new(),
            scratch,
        };
        let (mut at_most, mut rank) = (f32::INFINITY, SAMPLE_FIRST);
        let mut lists = std::mem::take(&mut scan.scratch.lists);
        'lists: loop {
            // The best lists that were not looked at yet, about as many as all before: sorting all would take long.
            let above = match rank < sample.len() {
                true => score_of(!*sample.select_nth_unstable(rank).1).max(scan.threshold),
                false => scan.threshold,
            };
            codes::between(&bounds, above, at_most, &mut scan.scratch.banded);
            let banded = &scan.scratch.banded;
            lists.clear();
            let each = banded.scores.iter().zip(&banded.slots).take(banded.n);
            lists.extend(each.map(|(&bound, &list)| key(bound, list)));
            lists.sort_unstable();
            for lists in lists.chunks(LISTS_AT_ONCE) {
                // Lists stand in the order of their bounds: behind one that cannot be better none can.
                let n = lists.iter().take_while(|&&list| score_of_key(list) > scan.threshold).count();
                scan.lists(&lists[..n]);
                if n < lists.len() {
                    break 'lists;
                }
            }
            if above <= scan.threshold {
                break;
            }
            (at_most, rank) = (above, 2 * rank);
        }
        scan.scratch.lists = lists;
        scan.scratch.bounds = bounds;
        scan.scratch.sample = sample;
        scan.rescore(query, k)
    }
}

/// A scan under way.
struct Scan<'a, 'b> {
    state: &'a State,
    filter: Filter<'a>,
    rescored: usize,
    /// What a row must score to be among the best so far.
    threshold: f32,
    chunks: Vec<&'a Chunk>,
    scratch: &'b mut Scratch,
}

impl<'a> Scan<'a, '_> {
    /// Looks at the rows of lists.
    fn lists(&mut self, lists: &[u64]) {
        let state = self.state;
        let base = &*state.base;
        let mut entries = std::mem::take(&mut self.scratch.entries);
        entries.clear();
        for &list in lists {
            let list = number_of(list) as usize;
            let bias = self.scratch.dots[list];
            for block in base.packed.starts[list]..base.packed.starts[list + 1] {
                let mut mask = u32::from(state.mask(block as usize));
                if let Filter::Mask(set) = self.filter {
                    mask &= codes::members(&base.packed.rows[block as usize], set);
                }
                if mask != 0 {
                    entries.push(Entry { block, mask, bias });
                }
            }
        }
        self.blocks(Blocks::new(base.bits, base.dim, &base.packed.lines), &entries, 0);
        if !state.fresh.is_empty() {
            for &list in lists {
                let list = number_of(list) as usize;
                for chunk in state.fresh.chunks(list).iter().filter(|chunk| !chunk.masks.is_empty()) {
                    entries.clear();
                    for (block, &mask) in chunk.masks.iter().enumerate() {
                        let mut mask = u32::from(mask);
                        if let Filter::Mask(set) = self.filter {
                            mask &= codes::members(&chunk.rows[block], set);
                        }
                        let bias = self.scratch.dots[list];
                        entries.push(Entry { block: block as u32, mask, bias });
                    }
                    self.chunks.push(chunk);
                    let offset = base.n_blocks() * ROWS + (self.chunks.len() - 1) * CHUNK_ROWS;
                    self.blocks(Blocks::new(base.bits, base.dim, &chunk.lines), &entries, offset as u32);
                }
            }
        }
        self.scratch.entries = entries;
    }

    /// Looks at blocks, whose slots count from `offset` on.
    fn blocks(&mut self, blocks: Blocks, entries: &[Entry], offset: u32) {
        self.scratch.blocks += entries.len();
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

    /// The best by their exact scores.
    fn rescore(mut self, query: &[f32], k: usize) -> Vec<Hit> {
        self.prune();
        let metric = self.state.base.config.metric;
        let n = self.scratch.found.n;
        self.scratch.rescored = n;
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
