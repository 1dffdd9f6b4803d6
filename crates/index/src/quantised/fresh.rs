//! Rows that came after building: chunks of blocks beside each list. A chunk is copied when it changes, so that searches that hold
//! it go on undisturbed; it is small, so that this costs little.

use std::sync::Arc;

use upnext_math::codes::{self, Bits, Line, ROWS};

use super::base::{Coded, NONE};

/// Rows of a chunk.
pub(super) const CHUNK_ROWS: usize = 8 * ROWS;

/// Lists of a page.
pub(super) const PAGE: usize = 64;

/// Where a row is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) list: u32,
    pub(super) chunk: u32,
    pub(super) slot: u32,
}

/// Up to [`CHUNK_ROWS`] rows of one list. Lanes are filled in order; those of rows that went are not used again, but a chunk in
/// which none is left is emptied.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) lines: Vec<Line>,
    pub(super) rows: Vec<Line>,
    pub(super) masks: Vec<u16>,
    pub(super) vectors: Vec<Arc<[f32]>>,
}

impl Chunk {
    pub(super) fn row(&self, slot: usize) -> u32 {
        self.rows[slot / ROWS].0[slot % ROWS]
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.masks[slot / ROWS] >> (slot % ROWS) & 1 == 1
    }

    /// Slots of rows that are there.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.vectors.len()).filter(|&slot| self.has(slot))
    }

    fn push(&mut self, row: u32, vector: Arc<[f32]>, coded: &Coded, bits: Bits) -> u32 {
        let slot = self.vectors.len();
        let per_block = bits.lines(vector.len());
        if slot.is_multiple_of(ROWS) {
            self.lines.resize(self.lines.len() + per_block, Line::default());
            self.rows.push(Line([NONE; ROWS]));
            self.masks.push(0);
        }
        let block = slot / ROWS;
        let lines = &mut self.lines[block * per_block..];
        codes::write(bits, lines, slot % ROWS, &coded.codes, coded.scale, coded.bias);
        self.rows[block].0[slot % ROWS] = row;
        self.masks[block] |= 1 << (slot % ROWS);
        self.vectors.push(vector);
        slot as u32
    }
}

/// The chunks of some lists.
pub(super) type Page = Vec<Vec<Arc<Chunk>>>;

/// The chunks of all lists, by pages, so that a change copies one page.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pages: Vec<Arc<Page>>,
    /// Chunks that were made.
    n_chunks: usize,
}

impl Fresh {
    pub(super) fn new(n_lists: usize) -> Self {
        let empty: Arc<Page> = Arc::new(vec![Vec::new(); PAGE]);
        Self { pages: vec![empty; n_lists.div_ceil(PAGE)], n_chunks: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_chunks == 0
    }

    pub(super) fn chunks(&self, list: usize) -> &[Arc<Chunk>] {
        &self.pages[list / PAGE][list % PAGE]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        let some = !self.is_empty();
        self.pages.iter().filter(move |_| some).flat_map(|page| page.iter().flatten())
    }

    pub(super) fn get(&self, place: Place) -> &Chunk {
        &self.chunks(place.list as usize)[place.chunk as usize]
    }

    pub(super) fn insert(
        &mut self,
        list: usize,
        row: u32,
        vector: Arc<[f32]>,
        coded: &Coded,
        bits: Bits,
    ) -> Place {
        let chunks = &mut Arc::make_mut(&mut self.pages[list / PAGE])[list % PAGE];
        let has_room = |chunk: &Arc<Chunk>| chunk.vectors.len() < CHUNK_ROWS;
        let at = match chunks.last() {
            Some(last) if has_room(last) => chunks.len() - 1,
            // One that was emptied, else a new one.
            _ => chunks.iter().position(has_room).unwrap_or_else(|| {
                chunks.push(Arc::default());
                self.n_chunks += 1;
                chunks.len() - 1
            }),
        };
        let slot = Arc::make_mut(&mut chunks[at]).push(row, vector, coded, bits);
        Place { list: list as u32, chunk: at as u32, slot }
    }

    pub(super) fn remove(&mut self, place: Place) {
        let page = Arc::make_mut(&mut self.pages[place.list as usize / PAGE]);
        let chunk = Arc::make_mut(&mut page[place.list as usize % PAGE][place.chunk as usize]);
        chunk.masks[place.slot as usize / ROWS] &= !(1 << (place.slot as usize % ROWS));
        if chunk.masks.iter().all(|&mask| mask == 0) {
            *chunk = Chunk::default();
        }
    }
}
