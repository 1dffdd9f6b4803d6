//! From vectors to lists.

use std::sync::Arc;

use rayon::prelude::*;
use upnext_math::codes::{self, Bits, Line, ROWS};
use upnext_math::memory::in_large_pages;
use upnext_math::{Rotation, seed};

use super::base::{Base, Centres, Coded, Lists, NONE, Packed, Vectors, code};
use super::state::State;
use super::tune::{self, Tuned};
use super::{Config, LISTS_MAX, kmeans};
use crate::{IndexError, Metric, ROWS_MAX};

/// Rows of the sample for each list: more move centres little.
const SAMPLE: usize = 32;

/// Codes of 4 bits beyond this many bytes leave the cache, and half as many are read sooner than twice as good ones.
const FOUR_BITS_BYTES_MAX: usize = 32 << 20;

/// Vectors by their place among rows.
pub(super) type VectorOf<'a> = dyn Fn(usize) -> &'a [f32] + Sync + 'a;

impl Base {
    /// Builds lists of rows, whose vectors are checked and prepared.
    pub(super) fn build(
        rows: &[u32],
        vector_of: &VectorOf,
        dim: usize,
        config: &Config,
    ) -> Result<Self, IndexError> {
        check_rows(rows)?;
        // Cosines want unit length, so those vectors are copied; others are only looked at.
        let is_copied = config.metric == Metric::Cosine;
        let mut prepared: Vec<f32> = in_large_pages(if is_copied { rows.len() * dim } else { 0 });
        let prepare = |at: usize, vector: &mut Vec<f32>| {
            let what = || format!("the vector of row {}", rows[at]);
            config.metric.prepare(&what, dim, vector_of(at), vector)
        };
        if is_copied {
            prepared.resize(rows.len() * dim, 0.0);
            prepared.par_chunks_mut(dim).enumerate().try_for_each_init(Vec::new, |vector, (at, out)| {
                prepare(at, vector)?;
                out.copy_from_slice(vector);
                Ok::<(), IndexError>(())
            })?;
        } else {
            (0..rows.len()).into_par_iter().try_for_each_init(Vec::new, |vector, at| prepare(at, vector))?;
        }
        let base = match is_copied {
            true => Self::build_prepared(rows, &|at| &prepared[at * dim..][..dim], dim, config, None),
            false => Self::build_prepared(rows, vector_of, dim, config, None),
        };
        drop(prepared);
        Ok(base.tuned())
    }

    /// Builds lists of rows whose vectors are ready, around given centres or new ones. The effort is not chosen yet.
    pub(super) fn build_prepared(
        rows: &[u32],
        vector_of: &VectorOf,
        dim: usize,
        config: &Config,
        lists: Option<&Arc<Lists>>,
    ) -> Self {
        let n = rows.len();
        let rotation = Rotation::new(dim, seed::mix(config.seed));
        let rotated = |at: usize, out: &mut [f32]| {
            out.copy_from_slice(vector_of(at));
            rotation.apply(out);
        };
        let bits = config.bits.unwrap_or(match n * dim / 2 {
            0..=FOUR_BITS_BYTES_MAX => Bits::Four,
            _ => Bits::Two,
        });
        let lists = match lists {
            Some(lists) => Arc::clone(lists),
            None => Arc::new(new_lists(n, dim, config, &rotated)),
        };
        let n_lists = lists.len();
        let members = kmeans::by_list(&kmeans::lists_of(n, dim, &lists, &rotated), n_lists);

        let per_block = bits.lines(dim);
        let mut starts = vec![0u32];
        let mut places = Vec::new();
        let mut place = 0;
        for list in &members {
            let blocks = list.len().div_ceil(ROWS);
            places.extend((0..blocks).map(|block| (place + block * ROWS) as u32));
            place += list.len();
            starts.push(places.len() as u32);
        }
        let n_blocks = places.len();
        let mut lines: Vec<Line> = in_large_pages(n_blocks * per_block);
        lines.resize(n_blocks * per_block, Line::default());
        let mut block_rows = vec![Line([NONE; ROWS]); n_blocks];
        let mut vectors: Vec<f32> = in_large_pages(n * dim);
        vectors.resize(n * dim, 0.0);

        let mut parts = Vec::with_capacity(n_lists);
        let (mut lines_left, mut rows_left, mut vectors_left) =
            (&mut lines[..], &mut block_rows[..], &mut vectors[..]);
        for list in &members {
            let blocks = list.len().div_ceil(ROWS);
            let (lines, rest) = lines_left.split_at_mut(blocks * per_block);
            lines_left = rest;
            let (rows, rest) = rows_left.split_at_mut(blocks);
            rows_left = rest;
            let (vectors, rest) = vectors_left.split_at_mut(list.len() * dim);
            vectors_left = rest;
            parts.push((list, lines, rows, vectors));
        }
        parts.into_par_iter().enumerate().for_each(|(number, (list, lines, to_rows, vectors))| {
            let centre = lists.centre(number, dim);
            let mut x = vec![0.0; dim];
            let mut coded = Coded { codes: Vec::new(), scale: 0.0, bias: 0.0 };
            for (within, &at) in list.iter().enumerate() {
                let at = at as usize;
                vectors[within * dim..][..dim].copy_from_slice(vector_of(at));
                rotated(at, &mut x);
                code(bits, config.metric, centre, &x, &mut coded);
                let block = &mut lines[within / ROWS * per_block..][..per_block];
                codes::write(bits, block, within % ROWS, &coded.codes, coded.scale, coded.bias);
                to_rows[within / ROWS].0[within % ROWS] = rows[at];
            }
        });
        let n_numbers = rows.iter().max().map_or(0, |&row| row as usize + 1);
        let mut slots = vec![NONE; n_numbers];
        for (block, rows) in block_rows.iter().enumerate() {
            for (lane, &row) in rows.0.iter().enumerate().filter(|(_, row)| **row != NONE) {
                slots[row as usize] = (block * ROWS + lane) as u32;
            }
        }
        Self {
            dim,
            config: config.clone(),
            bits,
            rotation: Arc::new(rotation),
            lists,
            packed: Arc::new(Packed {
                starts,
                lines,
                rows: block_rows,
                places,
                slots,
                vectors: Vectors::Owned(vectors),
            }),
            tuned: Tuned::guess(n_lists, bits),
        }
    }

    /// Chooses the effort.
    pub(super) fn tuned(self) -> Self {
        let config = self.config.clone();
        let state = State::of(Arc::new(self));
        let tuned = tune::tune(&state, &config);
        Self { tuned, ..Self::clone(&state.base) }
    }
}

/// Lists of a sample.
fn new_lists(n: usize, dim: usize, config: &Config, rotated: &(dyn Fn(usize, &mut [f32]) + Sync)) -> Lists {
    let n_lists =
        config.lists.unwrap_or(((n as f64).powf(0.8) / 8.0) as usize).clamp(1, LISTS_MAX).min(n.max(1));
    if n == 0 {
        let one = || Centres::new(vec![0.0; dim], dim);
        return Lists { lists: one(), groups: one(), starts: vec![0, 1] };
    }
    let n_sample = (SAMPLE * n_lists).min(n);
    let mut random = seed::Random::new(config.seed);
    // Evenly over all rows, each within its stretch: rows often come in an order that means something.
    let drawn: Vec<usize> = (0..n_sample)
        .map(|at| {
            let (from, to) = (at * n / n_sample, (at + 1) * n / n_sample);
            from + random.below((to - from).max(1))
        })
        .collect();
    let mut sample = vec![0.0; n_sample * dim];
    sample.par_chunks_mut(dim).zip(&drawn).for_each(|(out, &at)| rotated(at, out));
    kmeans::lists(&sample, dim, n_lists, random.next_u64())
}

fn check_rows(rows: &[u32]) -> Result<(), IndexError> {
    if let Some(&row) = rows.iter().find(|&&row| row >= ROWS_MAX) {
        return Err(IndexError::Row { row, most: ROWS_MAX });
    }
    let mut seen = crate::Bitmap::new();
    for &row in rows {
        if seen.contains(row) {
            return Err(IndexError::Present { row });
        }
        seen.insert(row);
    }
    Ok(())
}
