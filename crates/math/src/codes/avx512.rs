//! The loops by AVX-512 with its products of bytes (VNNI): a register is a line.

use std::arch::x86_64::*;

use super::{Blocks, ByteQuery, Entry, Found, Line, Query, ROWS, mask_of};

/// Blocks that are asked for before it is their turn.
const AHEAD: usize = 4;

#[target_feature(enable = "avx512f")]
fn load(line: &Line) -> __m512i {
    #[expect(unsafe_code, reason = "a load takes a pointer")]
    // SAFETY: a line is 64 bytes at an address that is a multiple of 64.
    unsafe {
        _mm512_load_si512((&raw const line.0).cast())
    }
}

#[target_feature(enable = "avx512f")]
fn prefetch(lines: &[Line]) {
    for line in lines {
        _mm_prefetch::<_MM_HINT_T0>((&raw const line.0).cast());
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
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
    let worth = query.worth.map(|worth| _mm512_set1_ps(worth));
    let less = _mm512_set1_ps(query.less);
    let threshold = _mm512_set1_ps(threshold);
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
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
        let mut sums = [_mm512_setzero_si512(); PLANES];
        for (line, words) in codes.iter().zip(words.chunks_exact(PLANES)) {
            let line = load(line);
            for plane in 0..PLANES {
                let part = if plane + 1 == PLANES {
                    line
                } else {
                    _mm512_and_si512(line, _mm512_set1_epi32(mask_of(PLANES, plane) as i32))
                };
                sums[plane] = _mm512_dpbusd_epi32(sums[plane], part, _mm512_set1_epi32(words[plane]));
            }
        }
        let mut product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[0]), worth[0]);
        for plane in 1..PLANES {
            product = _mm512_add_ps(product, _mm512_mul_ps(_mm512_cvtepi32_ps(sums[plane]), worth[plane]));
        }
        let scale = _mm512_castsi512_ps(load(&rest[0]));
        let bias = _mm512_add_ps(_mm512_castsi512_ps(load(&rest[1])), _mm512_set1_ps(entry.bias));
        let score = _mm512_add_ps(_mm512_mul_ps(_mm512_sub_ps(product, less), scale), bias);
        let better = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(entry.mask as u16, score, threshold);
        if better != 0 {
            let slots = _mm512_add_epi32(lanes, _mm512_set1_epi32((entry.block * ROWS as u32) as i32));
            push(found, better, score, slots);
        }
    }
    entries.len()
}

/// Adds the lanes of a mask.
#[target_feature(enable = "avx512f")]
fn push(found: &mut Found, lanes: u16, scores: __m512, slots: __m512i) {
    let to_scores: &mut [f32] = &mut found.scores[found.n..][..ROWS];
    let to_slots: &mut [u32] = &mut found.slots[found.n..][..ROWS];
    #[expect(unsafe_code, reason = "a store takes a pointer")]
    // SAFETY: there is room for 16 numbers in either slice.
    unsafe {
        _mm512_storeu_ps(to_scores.as_mut_ptr(), _mm512_maskz_compress_ps(lanes, scores));
        _mm512_storeu_si512(to_slots.as_mut_ptr().cast(), _mm512_maskz_compress_epi32(lanes, slots));
    }
    found.n += lanes.count_ones() as usize;
}

#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn dots(lines: &[Line], scales: &[f32], query: &ByteQuery, out: &mut [f32]) {
    let groups = query.words.len();
    let (scales, _) = scales.as_chunks::<ROWS>();
    let (out, _) = out.as_chunks_mut::<ROWS>();
    for ((lines, scales), out) in lines.chunks_exact(groups).zip(scales).zip(out) {
        let mut even = _mm512_set1_epi32(-query.less);
        let mut odd = _mm512_setzero_si512();
        let (pairs, last) = lines.as_chunks::<2>();
        let (word_pairs, last_word) = query.words.as_chunks::<2>();
        for (pair, words) in pairs.iter().zip(word_pairs) {
            even = _mm512_dpbusd_epi32(even, load(&pair[0]), _mm512_set1_epi32(words[0]));
            odd = _mm512_dpbusd_epi32(odd, load(&pair[1]), _mm512_set1_epi32(words[1]));
        }
        if let ([line], [word]) = (last, last_word) {
            even = _mm512_dpbusd_epi32(even, load(line), _mm512_set1_epi32(*word));
        }
        let sums = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
        #[expect(unsafe_code, reason = "loads and stores take pointers")]
        // SAFETY: both are arrays of 16 numbers.
        unsafe {
            let scaled = _mm512_mul_ps(sums, _mm512_set1_ps(query.step));
            _mm512_storeu_ps(out.as_mut_ptr(), _mm512_mul_ps(scaled, _mm512_loadu_ps(scales.as_ptr())));
        }
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn members(numbers: &Line, set: &[u32]) -> u32 {
    let numbers = load(numbers);
    let words = _mm512_srli_epi32::<5>(numbers);
    // Words beyond 2^31 bytes would be negative offsets; no set is that long.
    let n_words = set.len().min(i32::MAX as usize / 4) as i32;
    let there = _mm512_cmplt_epu32_mask(words, _mm512_set1_epi32(n_words));
    #[expect(unsafe_code, reason = "a gather takes a pointer")]
    // SAFETY: only lanes whose word lies within the set are read.
    let gathered = unsafe {
        _mm512_mask_i32gather_epi32::<4>(_mm512_setzero_si512(), there, words, set.as_ptr().cast())
    };
    let bit = _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_and_si512(numbers, _mm512_set1_epi32(31)));
    u32::from(_mm512_mask_test_epi32_mask(there, gathered, bit))
}
