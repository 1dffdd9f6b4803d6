//! The loops around the kernel: blocks that caches hold.

use std::cell::RefCell;

use super::kernel::{Kernel, Session};
use super::pack::{Operand, PANEL, Side, TERMS, Tile};
use crate::linalg::{Accumulate, View, ViewMut};

/// Steps of [`TERMS`] in a block: a panel of 32 KiB, which the first cache keeps.
const STEPS: usize = 16;
/// Tiles of the left side in a block: so many are packed before the first is read, as a tile just written is not read at
/// once.
const LEFT: usize = 64;
/// Tiles of the right side in a block: 1 MiB, which the second cache keeps.
const RIGHT: usize = 1024;

thread_local! {
    static PACKED: RefCell<[Vec<Tile>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A right side that was packed as a whole: blocks of terms, in each its panels of columns.
#[derive(Debug)]
pub(crate) struct Packed(Vec<Tile>);

impl Packed {
    pub(super) fn new(b: View) -> Self {
        let (n_terms, n_columns) = (b.n_rows(), b.n_columns());
        let b = Operand::new(b, Side::Right, 1.0);
        let mut packed = vec![Tile::ZERO; 2 * n_terms.div_ceil(TERMS) * n_columns.div_ceil(PANEL)];
        let mut rest = &mut packed[..];
        for (term, tiles) in blocks(n_terms) {
            let (block, others) = rest.split_at_mut(tiles * n_columns.div_ceil(PANEL));
            for (panel, column) in block.chunks_exact_mut(tiles).zip((0..).step_by(PANEL)) {
                b.pack(column, term, panel);
            }
            rest = others;
        }
        Self(packed)
    }
}

/// Where blocks of terms begin, and tiles of a panel in each.
fn blocks(n_terms: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = move |term: usize| 2 * (n_terms - term).div_ceil(TERMS).min(STEPS);
    (0..n_terms).step_by(STEPS * TERMS).map(move |term| (term, tiles(term)))
}

/// Packs both sides into tiles, of the right one as much as a cache holds unless it is packed already, of the left one
/// some panels at a time.
pub(super) fn multiply(
    kernel: Kernel,
    out: &mut ViewMut,
    into: Accumulate,
    a: View,
    (b, packed): (View, Option<&Packed>),
    scale: f32,
) {
    let (n_rows, n_terms, n_columns) = (a.n_rows(), a.n_columns(), b.n_columns());
    let (a, b) = (Operand::new(a, Side::Left, scale), Operand::new(b, Side::Right, 1.0));
    assert!(n_rows > 0 && n_terms > 0 && n_columns > 0, "an empty product");
    let n_panels_all = n_columns.div_ceil(PANEL);
    let mut packed = packed.map(|packed| &packed.0[..]);
    PACKED.with_borrow_mut(|[left, right]| {
        let session = kernel.begin();
        for (term, tiles) in blocks(n_terms) {
            let add = term > 0 || into == Accumulate::Add;
            let block = packed.map(|tiles_left| {
                let (block, rest) = tiles_left.split_at(tiles * n_panels_all);
                packed = Some(rest);
                block
            });
            let n_panels = if block.is_some() { n_panels_all } else { (RIGHT / tiles).min(n_panels_all) };
            let n_together = (LEFT / tiles).clamp(1, n_rows.div_ceil(PANEL));
            left.resize(left.len().max(tiles * n_together), Tile::ZERO);
            for first in (0..n_columns).step_by(n_panels * PANEL) {
                let columns = || (first..n_columns.min(first + n_panels * PANEL)).step_by(PANEL);
                let right = match block {
                    Some(block) => block,
                    None => {
                        right.resize(right.len().max(tiles * n_panels), Tile::ZERO);
                        for (panel, column) in right.chunks_exact_mut(tiles).zip(columns()) {
                            b.pack(column, term, panel);
                        }
                        &right[..]
                    }
                };
                for top in (0..n_rows).step_by(n_together * PANEL) {
                    let rows = || (top..n_rows.min(top + n_together * PANEL)).step_by(PANEL);
                    for (panel, row) in left.chunks_exact_mut(tiles).zip(rows()) {
                        a.pack(row, term, panel);
                    }
                    for (left, row) in left.chunks_exact(tiles).zip(rows()) {
                        for (right, column) in right.chunks_exact(tiles).zip(columns()) {
                            panel(&session, left, right, out, (row, column), (n_rows, n_columns), add);
                        }
                    }
                }
            }
        }
    });
}

/// One panel of the result; at its edges by way of a panel beside it.
fn panel(
    session: &Session,
    left: &[Tile],
    right: &[Tile],
    out: &mut ViewMut,
    (row, column): (usize, usize),
    (n_rows, n_columns): (usize, usize),
    add: bool,
) {
    let (height, width) = (PANEL.min(n_rows - row), PANEL.min(n_columns - column));
    if (height, width) == (PANEL, PANEL) {
        let stride = out.stride();
        session.run(left, right, &mut out.row_mut(row)[column..], stride, add);
        return;
    }
    let mut edge = [0.0; PANEL * PANEL];
    session.run(left, right, &mut edge, PANEL, false);
    for (at, from) in edge.chunks_exact(PANEL).take(height).enumerate() {
        let to = &mut out.row_mut(row + at)[column..column + width];
        to.iter_mut().zip(from).for_each(|(to, x)| *to = if add { *to + x } else { *x });
    }
}
