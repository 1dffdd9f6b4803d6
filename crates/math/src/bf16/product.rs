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

/// Packs both sides into tiles, of the right one as much as a cache holds, of the left one a panel at a time.
pub(super) fn multiply(kernel: Kernel, out: &mut ViewMut, into: Accumulate, a: View, b: View, scale: f32) {
    let (n_rows, n_terms, n_columns) = (a.n_rows(), a.n_columns(), b.n_columns());
    let (a, b) = (Operand::new(a, Side::Left, scale), Operand::new(b, Side::Right, 1.0));
    PACKED.with_borrow_mut(|[left, right]| {
        let session = kernel.begin();
        for term in (0..n_terms).step_by(STEPS * TERMS) {
            let add = term > 0 || into == Accumulate::Add;
            let tiles = 2 * (n_terms - term).div_ceil(TERMS).min(STEPS);
            let n_panels = (RIGHT / tiles).min(n_columns.div_ceil(PANEL));
            let n_together = (LEFT / tiles).clamp(1, n_rows.div_ceil(PANEL));
            left.resize(left.len().max(tiles * n_together), Tile::ZERO);
            right.resize(right.len().max(tiles * n_panels), Tile::ZERO);
            for first in (0..n_columns).step_by(n_panels * PANEL) {
                let columns = || (first..n_columns.min(first + n_panels * PANEL)).step_by(PANEL);
                for (panel, column) in right.chunks_exact_mut(tiles).zip(columns()) {
                    b.pack(column, term, panel);
                }
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
