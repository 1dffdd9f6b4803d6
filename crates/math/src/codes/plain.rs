//! The loops as one would write them: what the wide ones are held against, and what other machines run.

use super::{Blocks, ByteQuery, Entry, Found, Line, Query, ROWS, mask_of};

/// The sum of products of the four bytes of two words, the left without signs.
fn products(bytes: u32, factors: i32) -> i32 {
    let (bytes, factors) = (bytes.to_le_bytes(), factors.to_le_bytes());
    bytes.iter().zip(factors).map(|(&byte, factor)| i32::from(byte) * i32::from(factor as i8)).sum()
}

pub(super) fn scan(
    query: &Query,
    blocks: Blocks,
    entries: &[Entry],
    threshold: f32,
    found: &mut Found,
) -> usize {
    let planes = blocks.bits.planes();
    for (at, entry) in entries.iter().enumerate() {
        if found.is_full() {
            return at;
        }
        let block = &blocks.lines[entry.block as usize * blocks.per_block..][..blocks.per_block];
        let (codes, rest) = block.split_at(blocks.per_block - 2);
        let mut sums = [[0i32; ROWS]; 4];
        for (line, words) in codes.iter().zip(query.words.chunks_exact(planes)) {
            for (plane, &word) in words.iter().enumerate() {
                for (sum, code) in sums[plane].iter_mut().zip(line.0) {
                    *sum += products(code & mask_of(planes, plane), word);
                }
            }
        }
        for lane in 0..ROWS {
            let mut product = sums[0][lane] as f32 * query.worth[0];
            for (sum, worth) in sums[1..planes].iter().zip(&query.worth[1..]) {
                product += sum[lane] as f32 * worth;
            }
            let (scale, bias) = (f32::from_bits(rest[0].0[lane]), f32::from_bits(rest[1].0[lane]));
            let score = (product - query.less) * scale + (bias + entry.bias);
            if entry.mask >> lane & 1 == 1 && score > threshold {
                found.scores[found.n] = score;
                found.slots[found.n] = entry.block * ROWS as u32 + lane as u32;
                found.n += 1;
            }
        }
    }
    entries.len()
}

pub(super) fn dots(lines: &[Line], scales: &[f32], query: &ByteQuery, out: &mut [f32]) {
    let groups = query.words.len();
    for (block, out) in out.chunks_exact_mut(ROWS).enumerate() {
        let mut sums = [-query.less; ROWS];
        for (line, &word) in lines[block * groups..][..groups].iter().zip(&query.words) {
            for (sum, bytes) in sums.iter_mut().zip(line.0) {
                *sum += products(bytes, word);
            }
        }
        for lane in 0..ROWS {
            out[lane] = sums[lane] as f32 * query.step * scales[block * ROWS + lane];
        }
    }
}

pub(super) fn members(numbers: &Line, set: &[u32]) -> u32 {
    let is_in =
        |number: u32| set.get(number as usize / 32).is_some_and(|word| word >> (number % 32) & 1 == 1);
    numbers.0.iter().enumerate().map(|(lane, &number)| u32::from(is_in(number)) << lane).sum()
}
