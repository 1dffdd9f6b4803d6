//! The loops by AVX2: a line is two registers, and four products of bytes are added in two steps.

use std::arch::x86_64::*;

use super::{Blocks, ByteQuery, Entry, Found, Line, Query, ROWS, mask_of};

/// Blocks that are asked for before it is their turn.
const AHEAD: usize = 4;

#[target_feature(enable = "avx2")]
fn load(line: &Line) -> [__m256i; 2] {
    let halves: *const __m256i = (&raw const line.0).cast();
    #[expect(unsafe_code, reason = "a load takes a pointer")]
    // SAFETY: a line is 64 bytes at an address that is a multiple of 64.
    unsafe {
        [_mm256_load_si256(halves), _mm256_load_si256(halves.add(1))]
    }
}

#[target_feature(enable = "avx2")]
fn prefetch(lines: &[Line]) {
    for line in lines {
        _mm_prefetch::<_MM_HINT_T0>((&raw const line.0).cast());
    }
}

/// Adds the products of four bytes to each sum. Pairs of products are added in 16 bits: callers keep factors small enough.
#[target_feature(enable = "avx2")]
fn add_products(sum: __m256i, bytes: __m256i, factors: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(bytes, factors);
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[target_feature(enable = "avx2")]
pub(super) fn scan<const PLANES: usize>(
    query: &Query,
    blocks: Blocks,
    entries: &[Entry],
    threshold: f32,
    found: &mut Found,
) -> usize {
    let per_block = blocks.per_block;
    let words = &query.words[..PLANES * (per_block - 2)];
    let of = |entry: &Entry| &blocks.lines[entry.block as usize * per_block..][..per_block];
    for entry in entries.iter().take(AHEAD) {
        prefetch(of(entry));
    }
    for (at, entry) in entries.iter().enumerate() {
        if found.is_full() {
            return at;
        }
        if let Some(next) = entries.get(at + AHEAD) {
            prefetch(of(next));
        }
        let (codes, rest) = of(entry).split_at(per_block - 2);
        let mut sums = [[_mm256_setzero_si256(); 2]; PLANES];
        for (line, words) in codes.iter().zip(words.chunks_exact(PLANES)) {
            let line = load(line);
            for plane in 0..PLANES {
                let mask = _mm256_set1_epi32(mask_of(PLANES, plane) as i32);
                let factors = _mm256_set1_epi32(words[plane]);
                for half in 0..2 {
                    sums[plane][half] =
                        add_products(sums[plane][half], _mm256_and_si256(line[half], mask), factors);
                }
            }
        }
        let (scales, biases) = (load(&rest[0]), load(&rest[1]));
        for half in 0..2 {
            let part = |plane: usize| {
                _mm256_mul_ps(_mm256_cvtepi32_ps(sums[plane][half]), _mm256_set1_ps(query.worth[plane]))
            };
            let mut product = part(0);
            for plane in 1..PLANES {
                product = _mm256_add_ps(product, part(plane));
            }
            let product = _mm256_sub_ps(product, _mm256_set1_ps(query.less));
            let bias = _mm256_add_ps(_mm256_castsi256_ps(biases[half]), _mm256_set1_ps(entry.bias));
            let score = _mm256_add_ps(_mm256_mul_ps(product, _mm256_castsi256_ps(scales[half])), bias);
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(score, _mm256_set1_ps(threshold));
            let mut better = _mm256_movemask_ps(above) as u32 & (entry.mask >> (8 * half)) & 0xff;
            if better != 0 {
                let mut scores = [0.0f32; 8];
                #[expect(unsafe_code, reason = "a store takes a pointer")]
                // SAFETY: the array has 8 numbers.
                unsafe {
                    _mm256_storeu_ps(scores.as_mut_ptr(), score);
                }
                while better != 0 {
                    let lane = better.trailing_zeros();
                    found.scores[found.n] = scores[lane as usize];
                    found.slots[found.n] = entry.block * ROWS as u32 + 8 * half as u32 + lane;
                    found.n += 1;
                    better &= better - 1;
                }
            }
        }
    }
    entries.len()
}

#[target_feature(enable = "avx2")]
pub(super) fn dots(lines: &[Line], scales: &[f32], query: &ByteQuery, out: &mut [f32]) {
    let groups = query.words.len();
    let (scales, _) = scales.as_chunks::<ROWS>();
    let (out, _) = out.as_chunks_mut::<ROWS>();
    for ((lines, scales), out) in lines.chunks_exact(groups).zip(scales).zip(out) {
        let mut sums = [_mm256_set1_epi32(-query.less); 2];
        for (line, &word) in lines.iter().zip(&query.words) {
            let line = load(line);
            for half in 0..2 {
                sums[half] = add_products(sums[half], line[half], _mm256_set1_epi32(word));
            }
        }
        for (half, &sum) in sums.iter().enumerate() {
            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(query.step));
            #[expect(unsafe_code, reason = "loads and stores take pointers")]
            // SAFETY: both are arrays of 16 numbers, of which this is a half.
            unsafe {
                let scale = _mm256_loadu_ps(scales.as_ptr().add(8 * half));
                _mm256_storeu_ps(out.as_mut_ptr().add(8 * half), _mm256_mul_ps(scaled, scale));
            }
        }
    }
}
