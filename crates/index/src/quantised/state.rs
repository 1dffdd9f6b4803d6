//! What a search sees: what was built, without the rows that went, with those that came.

use std::collections::HashMap;
use std::sync::Arc;

use upnext_math::codes::{ByteQuery, Line, ROWS};

use super::base::{Base, Coded, NONE, Near};
use super::fresh::{CHUNK_ROWS, Fresh, Place};

/// Masks of a page: a change copies 4 KiB.
const PAGE: usize = 2_048;

/// One state of an index; a clone shares all but two short lists.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) base: Arc<Base>,
    /// Which rows of each block are there.
    pub(super) masks: Vec<Arc<Vec<u16>>>,
    pub(super) fresh: Fresh,
    pub(super) len: usize,
}

impl State {
    pub(super) fn of(base: Arc<Base>) -> Self {
        let mask = |rows: &Line| {
            let there = |(lane, &row): (usize, &u32)| u16::from(row != NONE) << lane;
            rows.0.iter().enumerate().map(there).sum()
        };
        let masks = base.packed.rows.chunks(PAGE).map(|rows| Arc::new(rows.iter().map(mask).collect()));
        Self { masks: masks.collect(), fresh: Fresh::new(base.n_lists()), len: base.len(), base }
    }

    /// The rows of a block of the base that are there.
    pub(super) fn mask(&self, block: usize) -> u16 {
        self.masks[block / PAGE][block % PAGE]
    }

    fn has(&self, slot: u32) -> bool {
        self.mask(slot as usize / ROWS) >> (slot as usize % ROWS) & 1 == 1
    }

    /// The slot of a row of the base that is there.
    pub(super) fn slot(&self, row: u32) -> Option<u32> {
        self.base.slot(row).filter(|&slot| self.has(slot))
    }

    pub(super) fn contains(&self, row: u32, fresh: &HashMap<u32, Place>) -> bool {
        fresh.contains_key(&row) || self.slot(row).is_some()
    }

    pub(super) fn vector<'a>(&'a self, row: u32, fresh: &HashMap<u32, Place>) -> Option<&'a [f32]> {
        match fresh.get(&row) {
            Some(&place) => Some(&self.fresh.get(place).vectors[place.slot as usize]),
            None => self.slot(row).map(|slot| self.base.vector(slot)),
        }
    }

    /// Adds a row that is not there.
    pub(super) fn insert(&mut self, row: u32, vector: Arc<[f32]>, fresh: &mut HashMap<u32, Place>) {
        let mut rotated = vector.to_vec();
        self.base.rotation.apply(&mut rotated);
        let (mut query, mut near) = (ByteQuery::default(), Near::default());
        let list = self.base.lists.list_of(&rotated, &mut query, &mut near);
        let mut coded = Coded { codes: Vec::new(), scale: 0.0, bias: 0.0 };
        self.base.code(list, &rotated, &mut coded);
        fresh.insert(row, self.fresh.insert(list, row, vector, &coded, self.base.bits));
        self.len += 1;
    }

    /// Takes a row away, if it is there.
    pub(super) fn remove(&mut self, row: u32, fresh: &mut HashMap<u32, Place>) {
        if let Some(place) = fresh.remove(&row) {
            self.fresh.remove(place);
        } else if let Some(slot) = self.slot(row) {
            let block = slot as usize / ROWS;
            Arc::make_mut(&mut self.masks[block / PAGE])[block % PAGE] &= !(1 << (slot as usize % ROWS));
        } else {
            return;
        }
        self.len -= 1;
    }

    /// Whether nothing came or went since building.
    pub(super) fn is_folded(&self) -> bool {
        self.fresh.is_empty() && self.len == self.base.len()
    }

    /// Every row that is there with its vector, ascending.
    pub(crate) fn rows(&self) -> Vec<(u32, &[f32])> {
        let of_base = (self.base.packed.slots.iter().zip(0u32..))
            .filter(|(slot, _)| **slot != NONE && self.has(**slot))
            .map(|(&slot, row)| (row, self.base.vector(slot)));
        let fresh = self.fresh.all();
        let fresh = fresh.flat_map(|c| c.slots().map(|slot| (c.row(slot), &*c.vectors[slot])));
        let mut rows: Vec<(u32, &[f32])> = of_base.chain(fresh).collect();
        rows.sort_unstable_by_key(|(row, _)| *row);
        rows
    }

    /// The same rows as one base.
    pub(super) fn folded(&self) -> Base {
        let rows = self.rows();
        let numbers: Vec<u32> = rows.iter().map(|(row, _)| *row).collect();
        let (base, config) = (&self.base, &self.base.config);
        // With half or twice as many rows, other lists would have been made.
        let is_alike = 2 * rows.len() > base.len() && rows.len() < 2 * base.len();
        let vector_of = |at: usize| rows[at].1;
        let lists = is_alike.then_some(&base.lists);
        let folded = Base::build_prepared(&numbers, &vector_of, base.dim, config, lists);
        if is_alike { Base { tuned: base.tuned.clone(), ..folded } } else { folded.tuned() }
    }

    pub(super) fn resident_bytes(&self) -> usize {
        let base = &self.base;
        let vectors = match &base.packed.vectors {
            super::base::Vectors::Owned(values) => 4 * values.len(),
            super::base::Vectors::Mapped(_) => 0,
        };
        let packed = &base.packed;
        let lines = packed.lines.len() + packed.rows.len();
        // Centres twice, as numbers and as bytes.
        let lists = (base.n_lists() + base.lists.groups.len()) * (5 * base.dim + 12);
        let per_chunk = CHUNK_ROWS * (4 * base.bits.lines(base.dim) + 4 + 16 + 4 * base.dim);
        let masks = 2 * base.n_blocks();
        let numbers = 4 * (packed.slots.len() + packed.places.len() + packed.starts.len());
        vectors + 64 * lines + lists + numbers + masks + self.fresh.all().count() * per_chunk
    }
}
