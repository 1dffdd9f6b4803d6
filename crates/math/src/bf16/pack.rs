//! Numbers in the order in which the kernel reads them. A tile of the left side has 16 rows of 32 terms; one of the right
//! side has 16 rows of 16 pairs, the numbers of a column in two terms that follow each other. Either is the other's
//! transpose, taken as numbers of 32 bits: so a matrix and its transpose are packed from the same storage.

use std::arch::x86_64::*;

use crate::linalg::View;

/// Rows of a tile.
pub(super) const TILE: usize = 16;
/// Rows and columns of the result that the kernel makes at once: two tiles by two.
pub(super) const PANEL: usize = 2 * TILE;
/// Terms of a sum that a tile holds.
pub(super) const TERMS: usize = 32;

/// 16 lines of 32 numbers of 16 bits.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [[u16; TERMS]; TILE]);

impl Tile {
    pub(super) const ZERO: Self = Self([[0; TERMS]; TILE]);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A matrix to be packed.
pub(super) struct Operand<'a> {
    /// Its storage, row after row.
    values: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    stride: usize,
    /// Whether terms of a sum follow each other in a row of the storage.
    along: bool,
    /// Whether tiles are transposed after they were read.
    transposed: bool,
    scale: f32,
}

impl<'a> Operand<'a> {
    pub(super) fn new(view: View<'a>, side: Side, scale: f32) -> Self {
        let along = (side == Side::Left) != view.is_transposed();
        let transposed = view.is_transposed();
        let (values, n_rows, n_columns, stride) = view.storage();
        Self { values, n_rows, n_columns, stride, along, transposed, scale }
    }

    /// Packs rows of a left side, or columns of a right one, from `at` on, and terms from `term` on; zeros beyond. Tiles
    /// stand in steps of [`TERMS`], the first half of the panel before the second.
    pub(super) fn pack(&self, at: usize, term: usize, panel: &mut [Tile]) {
        #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
        // SAFETY: a kernel was found for this machine, and each asks for these features.
        unsafe {
            self.pack_wide(at, term, panel);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_wide(&self, at: usize, term: usize, panel: &mut [Tile]) {
        for (step, halves) in panel.chunks_exact_mut(2).enumerate() {
            let term = term + step * TERMS;
            for (half, tile) in halves.iter_mut().enumerate() {
                let at = at + half * TILE;
                // Where the tile begins in the storage, and how much of it is there.
                let (row, column, height, width) =
                    if self.along { (at, term, TILE, TERMS) } else { (term, at, TERMS, TILE) };
                let height = self.n_rows.saturating_sub(row).min(height);
                let width = self.n_columns.saturating_sub(column).min(width);
                if height == 0 || width == 0 {
                    *tile = Tile::ZERO;
                    continue;
                }
                let values = &self.values[row * self.stride + column..];
                assert!(values.len() >= (height - 1) * self.stride + width, "the storage holds the tile");
                let part =
                    Part { values: values.as_ptr(), height, width, stride: self.stride, scale: self.scale };
                #[expect(unsafe_code, reason = "unchecked loads")]
                // SAFETY: rows and columns of the part were just checked.
                let mut lines = unsafe { if self.along { part.lines() } else { part.pairs() } };
                if self.transposed {
                    transpose(&mut lines);
                }
                for (to, line) in tile.0.iter_mut().zip(lines) {
                    #[expect(unsafe_code, reason = "a store of 64 bytes")]
                    // SAFETY: a line has 64 bytes, and begins at a multiple of them.
                    unsafe {
                        _mm512_store_si512(to.as_mut_ptr().cast(), line);
                    }
                }
            }
        }
    }
}

/// What a tile holds of the storage.
#[derive(Clone, Copy)]
struct Part {
    values: *const f32,
    height: usize,
    width: usize,
    stride: usize,
    scale: f32,
}

impl Part {
    /// Rows of 32 numbers; zeros beyond what is there.
    ///
    /// # Safety
    /// `height` rows of `width` numbers, `stride` apart, can be read.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "unchecked loads")]
    unsafe fn lines(self) -> [__m512i; TILE] {
        let mut lines = [_mm512_setzero_si512(); TILE];
        let masks = [mask(self.width), mask(self.width.saturating_sub(TILE))];
        for (row, line) in lines.iter_mut().enumerate().take(self.height) {
            let start = self.values.wrapping_add(row * self.stride);
            // SAFETY: the row is there, and masks leave out what is not.
            let (first, second) =
                unsafe { (self.load(start, masks[0]), self.load(start.wrapping_add(TILE), masks[1])) };
            *line = bits(_mm512_cvtne2ps_pbh(second, first));
        }
        lines
    }

    /// Pairs of 16 numbers of two rows; zeros beyond what is there.
    ///
    /// # Safety
    /// As [`Part::lines`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "unchecked loads")]
    unsafe fn pairs(self) -> [__m512i; TILE] {
        let order = _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
            18, 2, 17, 1, 16, 0,
        );
        let mut lines = [_mm512_setzero_si512(); TILE];
        let (mask, none) = (mask(self.width), mask(0));
        for (pair, line) in lines.iter_mut().enumerate().take(self.height.div_ceil(2)) {
            let start = self.values.wrapping_add(2 * pair * self.stride);
            let is_whole = 2 * pair + 1 < self.height;
            // SAFETY: the first row is there; of the second nothing is read if it is not.
            let (first, second) = unsafe {
                let below = start.wrapping_add(self.stride);
                (self.load(start, mask), self.load(below, if is_whole { mask } else { none }))
            };
            *line = _mm512_permutexvar_epi16(order, bits(_mm512_cvtne2ps_pbh(second, first)));
        }
        lines
    }

    /// Those of 16 numbers that a mask names, scaled.
    ///
    /// # Safety
    /// Those can be read.
    #[inline]
    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "unchecked loads")]
    unsafe fn load(self, from: *const f32, mask: u16) -> __m512 {
        // SAFETY: what the mask leaves out is not touched.
        let values = unsafe { _mm512_maskz_loadu_ps(mask, from) };
        _mm512_mul_ps(values, _mm512_set1_ps(self.scale))
    }
}

/// The first so many of 16, at most all.
fn mask(n: usize) -> u16 {
    ((1u32 << n.min(TILE)) - 1) as u16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn bits(x: __m512bh) -> __m512i {
    #[expect(unsafe_code, reason = "there is no intrinsic for it")]
    // SAFETY: both are 64 bytes, of which every pattern is a value.
    unsafe {
        std::mem::transmute(x)
    }
}

/// The transpose of 16 by 16 numbers of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(lines: &mut [__m512i; TILE]) {
    let mut t = *lines;
    for at in 0..8 {
        t[2 * at] = _mm512_unpacklo_epi32(lines[2 * at], lines[2 * at + 1]);
        t[2 * at + 1] = _mm512_unpackhi_epi32(lines[2 * at], lines[2 * at + 1]);
    }
    // Quarters hold columns 4q + at of four lines.
    let mut u = t;
    for at in 0..4 {
        u[4 * at] = _mm512_unpacklo_epi64(t[4 * at], t[4 * at + 2]);
        u[4 * at + 1] = _mm512_unpackhi_epi64(t[4 * at], t[4 * at + 2]);
        u[4 * at + 2] = _mm512_unpacklo_epi64(t[4 * at + 1], t[4 * at + 3]);
        u[4 * at + 3] = _mm512_unpackhi_epi64(t[4 * at + 1], t[4 * at + 3]);
    }
    for at in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(u[at], u[4 + at]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(u[at], u[4 + at]);
        let even_below = _mm512_shuffle_i32x4::<0x88>(u[8 + at], u[12 + at]);
        let odd_below = _mm512_shuffle_i32x4::<0xdd>(u[8 + at], u[12 + at]);
        lines[at] = _mm512_shuffle_i32x4::<0x88>(even, even_below);
        lines[8 + at] = _mm512_shuffle_i32x4::<0xdd>(even, even_below);
        lines[4 + at] = _mm512_shuffle_i32x4::<0x88>(odd, odd_below);
        lines[12 + at] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_below);
    }
}
