//! Rows as codes of 2 or 4 bits, in blocks of 16, and the loops that compare a query with them: by AVX-512, by AVX2, or plainly, with
//! the same whole numbers in each, so that a score is the same on every machine.
//!
//! A block is `n_groups` lines of codes, a line of scales and a line of biases. A line has 32 bits for each of the 16 rows: for
//! codes those of 8 (4 bits) or 16 (2 bits) numbers of a row. The score of a row is
//! `scale * (sum of (code - middle) * query) + bias of the row + bias of its entry`.
//!
//! Codes are not unpacked: with `b` a whole byte, of codes `hi` and `lo`, `hi x + lo y = b (x / 16) + lo (y - x / 16)`, so a line costs as many
//! products of bytes as a byte has codes, and one mask less.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod plain;

/// Rows of a block, and lanes of a line.
pub const ROWS: usize = 16;

/// 16 lanes of 32 bits, where wide registers like to find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u32; ROWS]);

/// How many bits a number's code has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bits {
    /// Four levels.
    Two,
    /// Sixteen levels.
    Four,
}

impl Bits {
    /// As a number.
    pub fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Codes in a byte.
    pub const fn planes(self) -> usize {
        match self {
            Self::Two => 4,
            Self::Four => 2,
        }
    }

    /// Lines of codes in a block of rows of `dim` numbers.
    pub fn groups(self, dim: usize) -> usize {
        dim.div_ceil(4 * self.planes())
    }

    /// Lines of a block: codes, scales, biases.
    pub fn lines(self, dim: usize) -> usize {
        self.groups(dim) + 2
    }

    /// Half of the largest code: what stands for zero.
    pub fn middle(self) -> f32 {
        match self {
            Self::Two => 1.5,
            Self::Four => 7.5,
        }
    }

    /// The step between two levels, in deviations, that keeps most of a normal number (Max 1960).
    fn step(self) -> f32 {
        match self {
            Self::Two => 0.9957,
            Self::Four => 0.3352,
        }
    }

    /// Where the code of a number stands within its lane.
    fn shift(self, at: usize) -> u32 {
        let within = at % (4 * self.planes());
        (8 * (within % 4) + self.count() * (within / 4)) as u32
    }
}

/// Chooses the codes of a row: of three steps the one after which it points the same way most nearly. Returns the scale by which
/// `scale * (code - middle)` estimates inner products without bias (Gao and Long 2024, eq. 12).
pub fn encode(bits: Bits, row: &[f32], codes: &mut [u8]) -> f32 {
    let square: f32 = row.iter().map(|x| x * x).sum();
    let deviation = (square / row.len().max(1) as f32).sqrt();
    if deviation <= f32::MIN_POSITIVE || !deviation.is_finite() {
        codes.fill(0);
        return 0.0;
    }
    let (middle, most) = (bits.middle(), 2.0 * bits.middle());
    let code = |x: f32, per_step: f32| (x * per_step + (middle + 0.5)).clamp(0.0, most) as i32;
    let (mut best, mut best_step, mut best_scale) = (f32::NEG_INFINITY, 0.0, 0.0);
    for stretch in [0.86, 1.0, 1.16] {
        let per_step = 1.0 / (bits.step() * deviation * stretch);
        let (mut product, mut length) = (0.0, 0.0);
        for part in row.chunks(ROWS) {
            let (mut products, mut lengths) = ([0.0f32; ROWS], [0.0f32; ROWS]);
            for (lane, &x) in part.iter().enumerate() {
                let level = code(x, per_step) as f32 - middle;
                products[lane] = x * level;
                lengths[lane] = level * level;
            }
            product += products.iter().sum::<f32>();
            length += lengths.iter().sum::<f32>();
        }
        let cosine = product / length.sqrt();
        if cosine > best {
            (best, best_step, best_scale) = (cosine, per_step, square / product);
        }
    }
    for (to, &x) in codes.iter_mut().zip(row) {
        *to = code(x, best_step) as u8;
    }
    best_scale
}

/// Puts a row into a lane of a block.
///
/// # Panics
/// If the block has not [`Bits::lines`] lines, or the lane is not below [`ROWS`].
pub fn write(bits: Bits, block: &mut [Line], lane: usize, codes: &[u8], scale: f32, bias: f32) {
    let groups = bits.groups(codes.len());
    assert_eq!(block.len(), groups + 2, "lines of a block of {} numbers", codes.len());
    for line in &mut block[..groups] {
        line.0[lane] = 0;
    }
    for (at, &code) in codes.iter().enumerate() {
        block[at / (4 * bits.planes())].0[lane] |= u32::from(code) << bits.shift(at);
    }
    block[groups].0[lane] = scale.to_bits();
    block[groups + 1].0[lane] = bias.to_bits();
}

/// Copies a row from a lane of a block to a lane of another.
///
/// # Panics
/// If the blocks have not as many lines, or a lane is not below [`ROWS`].
pub fn copy(from: &[Line], from_lane: usize, to: &mut [Line], to_lane: usize) {
    assert_eq!(from.len(), to.len(), "blocks of one form");
    for (to, from) in to.iter_mut().zip(from) {
        to.0[to_lane] = from.0[from_lane];
    }
}

/// A query, as bytes that are multiplied with bytes of codes.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// For each line the 4 factors of each plane.
    words: Vec<i32>,
    /// What a product with each plane is worth.
    worth: [f32; 4],
    /// What all rows get less, for their codes stand above zero.
    less: f32,
    bits: Option<Bits>,
}

/// The whole byte's factors stay below this: two products of it and 255 are added in 16 bits by AVX2.
const TOP_MAX: f32 = 64.0;
const LOW_MAX: f32 = 127.0;

impl Query {
    /// Makes it ready for rows of its length.
    pub fn set(&mut self, bits: Bits, query: &[f32]) {
        let planes = bits.planes();
        let base = (1u32 << bits.count()) as f32;
        let groups = bits.groups(query.len());
        self.bits = Some(bits);
        self.words.clear();
        self.words.resize(groups * planes, 0);
        let most = query.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        // The top plane's factor is x / base^(planes - 1). Each plane below gets what those above it do not give, which is
        // at most (1 + 1 / base) times the largest, and half a step of theirs.
        let mut steps = [0.0f32; 4];
        for (plane, step) in steps[..planes].iter_mut().enumerate() {
            let weight = base.powi(plane as i32);
            *step = if plane + 1 == planes {
                most / weight / TOP_MAX
            } else {
                most / weight * (1.0 + 1.1 / base) / LOW_MAX
            };
        }
        self.worth = steps;
        let mut sum = 0.0;
        match bits {
            Bits::Two => set_two_widest(query, steps, &mut self.words, &mut sum),
            Bits::Four => set_four_widest(query, steps, &mut self.words, &mut sum),
        }
        self.less = bits.middle() * sum;
    }
}

fn set_two_widest(query: &[f32], steps: [f32; 4], words: &mut [i32], sum: &mut f32) {
    widest!(set_two(query: &[f32], steps: [f32; 4], words: &mut [i32], sum: &mut f32));
}

fn set_four_widest(query: &[f32], steps: [f32; 4], words: &mut [i32], sum: &mut f32) {
    widest!(set_four(query: &[f32], steps: [f32; 4], words: &mut [i32], sum: &mut f32));
}

#[inline(always)]
fn set_two(query: &[f32], steps: [f32; 4], words: &mut [i32], sum: &mut f32) {
    set::<4>(query, steps, 4.0, words, sum);
}

#[inline(always)]
fn set_four(query: &[f32], steps: [f32; 4], words: &mut [i32], sum: &mut f32) {
    set::<2>(query, steps, 16.0, words, sum);
}

/// Factors of each group and plane; `sum` gets what they add up to for rows of ones.
#[inline(always)]
fn set<const PLANES: usize>(query: &[f32], steps: [f32; 4], base: f32, words: &mut [i32], sum: &mut f32) {
    let per_step = steps.map(|step| if step > 0.0 { 1.0 / step } else { 0.0 });
    let mut weights = [1.0; PLANES];
    for plane in 1..PLANES {
        weights[plane] = weights[plane - 1] * base;
    }
    let mut sums = [0.0f32; 4];
    for (part, words) in query.chunks(4 * PLANES).zip(words.chunks_exact_mut(PLANES)) {
        let mut x = [[0.0f32; 4]; PLANES];
        x.as_flattened_mut()[..part.len()].copy_from_slice(part);
        let mut above = [0.0f32; 4];
        for plane in (0..PLANES).rev() {
            let limit = if plane + 1 == PLANES { TOP_MAX } else { LOW_MAX };
            let mut bytes = [0u8; 4];
            for j in 0..4 {
                let wanted = x[plane][j] / weights[plane] - above[j];
                let factor = rounded(wanted * per_step[plane]).clamp(-limit, limit);
                above[j] += factor * steps[plane];
                bytes[j] = factor as i32 as u8;
                sums[j] += above[j] * weights[plane];
            }
            words[plane] = i32::from_le_bytes(bytes);
        }
    }
    *sum = sums.iter().sum();
}

/// To the nearest whole number, of numbers below 2^22: what is added leaves no bits for the rest.
#[inline(always)]
fn rounded(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// Blocks of rows, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    bits: Bits,
    lines: &'a [Line],
    per_block: usize,
}

impl<'a> Blocks<'a> {
    /// Of rows of `dim` numbers.
    ///
    /// # Panics
    /// If the last block is not whole.
    pub fn new(bits: Bits, dim: usize, lines: &'a [Line]) -> Self {
        let per_block = bits.lines(dim);
        assert!(lines.len().is_multiple_of(per_block), "blocks of {per_block} lines in {}", lines.len());
        Self { bits, lines, per_block }
    }

    /// How many.
    pub fn n_blocks(&self) -> usize {
        self.lines.len() / self.per_block
    }
}

/// A block to be looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Its number.
    pub block: u32,
    /// Which of its rows count, from the lowest bit.
    pub mask: u32,
    /// What is added to the score of each of its rows.
    pub bias: f32,
}

/// Rows that scored above a threshold.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// How good each is.
    pub scores: Vec<f32>,
    /// `16 * block + lane` of each.
    pub slots: Vec<u32>,
    /// How many there are; what stands behind is left over.
    pub n: usize,
}

impl Found {
    /// Room for so many, and nobody in it.
    pub fn clear(&mut self, room: usize) {
        self.n = 0;
        // Whole registers are written at the end.
        self.scores.resize(room + ROWS, 0.0);
        self.slots.resize(room + ROWS, 0);
    }

    /// Whether another block's rows may not fit.
    pub fn is_full(&self) -> bool {
        self.n + 2 * ROWS > self.scores.len().min(self.slots.len())
    }
}

/// Adds rows of the entries' blocks that score above the threshold, until there is no room for a whole block. Returns how many
/// entries were looked at.
///
/// # Panics
/// If an entry names a block that is not there, or the query was made for other rows.
pub fn scan(query: &Query, blocks: Blocks, entries: &[Entry], threshold: f32, found: &mut Found) -> usize {
    let groups = blocks.per_block - 2;
    assert!(query.bits == Some(blocks.bits), "a query for the bits of the codes");
    assert_eq!(query.words.len(), groups * blocks.bits.planes(), "a query as long as the rows");
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the machine has been asked.
        return unsafe {
            match blocks.bits {
                Bits::Two => avx512::scan::<4>(query, blocks, entries, threshold, found),
                Bits::Four => avx512::scan::<2>(query, blocks, entries, threshold, found),
            }
        };
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has been asked.
        return unsafe {
            match blocks.bits {
                Bits::Two => avx2::scan::<4>(query, blocks, entries, threshold, found),
                Bits::Four => avx2::scan::<2>(query, blocks, entries, threshold, found),
            }
        };
    }
    plain::scan(query, blocks, entries, threshold, found)
}

/// What masks a byte for a plane: the codes of this plane and of those below it.
const fn mask_of(planes: usize, plane: usize) -> u32 {
    let bits = (plane + 1) * 8 / planes;
    ((1u32 << bits) - 1) * 0x0101_0101
}

/// Rows of whole bytes in `0..=127`, in blocks of 16: for the few that every query is compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bytes {
    lines: Vec<Line>,
    scales: Vec<f32>,
    dim: usize,
}

/// What stands for zero among the bytes, and the largest distance from it.
const BYTE_MIDDLE: i32 = 64;
const BYTE_MOST: f32 = 63.0;

/// A query against [`Bytes`].
#[derive(Clone, Debug, Default)]
pub struct ByteQuery {
    words: Vec<i32>,
    step: f32,
    less: i32,
}

impl ByteQuery {
    /// Makes it ready.
    pub fn set(&mut self, query: &[f32]) {
        let most = query.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        self.step = most / LOW_MAX;
        let per_step = if self.step > 0.0 { 1.0 / self.step } else { 0.0 };
        self.words.clear();
        self.words.resize(query.len().div_ceil(4), 0);
        let mut sum = 0;
        set_bytes_widest(query, per_step, &mut self.words, &mut sum);
        self.less = BYTE_MIDDLE * sum;
    }
}

fn set_bytes_widest(query: &[f32], per_step: f32, words: &mut [i32], sum: &mut i32) {
    widest!(set_bytes(query: &[f32], per_step: f32, words: &mut [i32], sum: &mut i32));
}

#[inline(always)]
fn set_bytes(query: &[f32], per_step: f32, words: &mut [i32], sum: &mut i32) {
    for (part, word) in query.chunks(4).zip(words) {
        let mut x = [0.0f32; 4];
        x[..part.len()].copy_from_slice(part);
        let factors = x.map(|x| rounded(x * per_step).clamp(-LOW_MAX, LOW_MAX) as i32);
        *sum += factors.iter().sum::<i32>();
        *word = i32::from_le_bytes(factors.map(|factor| factor as u8));
    }
}

impl Bytes {
    /// Rounds rows of `dim` numbers.
    ///
    /// # Panics
    /// If the last row is not whole, or rows have no numbers.
    pub fn new(rows: &[f32], dim: usize) -> Self {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "rows of {dim} in {} numbers", rows.len());
        let n = rows.len() / dim;
        let (groups, blocks) = (dim.div_ceil(4), n.div_ceil(ROWS));
        let mut lines = vec![Line::default(); groups * blocks];
        let mut scales = vec![0.0; blocks * ROWS];
        for (row, values) in rows.chunks_exact(dim).enumerate() {
            let most = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            scales[row] = most / BYTE_MOST;
            let per_step = if most > 0.0 { BYTE_MOST / most } else { 0.0 };
            for (group, part) in values.chunks(4).enumerate() {
                let mut bytes = [0u8; 4];
                for (byte, &x) in bytes.iter_mut().zip(part) {
                    *byte = (rounded(x * per_step) as i32 + BYTE_MIDDLE) as u8;
                }
                lines[row / ROWS * groups + group].0[row % ROWS] = u32::from_le_bytes(bytes);
            }
        }
        Self { lines, scales, dim }
    }

    /// The inner product of each row with the query, nearly. `out` gets as many as whole blocks have rows.
    ///
    /// # Panics
    /// If the query has another length.
    pub fn dots(&self, query: &ByteQuery, out: &mut Vec<f32>) {
        out.resize(self.scales.len(), 0.0);
        self.dots_of(0..self.scales.len() / ROWS, query, out);
    }

    /// The same of some blocks, each into its place of `out`.
    ///
    /// # Panics
    /// If the query has another length, or a block is not there or has no place.
    pub fn dots_of(&self, blocks: std::ops::Range<usize>, query: &ByteQuery, out: &mut [f32]) {
        let groups = self.dim.div_ceil(4);
        assert_eq!(query.words.len(), groups, "a query of {} numbers", self.dim);
        let (from, to) = (blocks.start, blocks.end);
        let lines = &self.lines[from * groups..to * groups];
        let scales = &self.scales[from * ROWS..to * ROWS];
        let out = &mut out[from * ROWS..to * ROWS];
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the machine has been asked.
            return unsafe { avx512::dots(lines, scales, query, out) };
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has been asked.
            return unsafe { avx2::dots(lines, scales, query, out) };
        }
        plain::dots(lines, scales, query, out);
    }
}

/// Which of 16 numbers have their bit set in a set of bits; beyond its end none has.
pub fn members(numbers: &Line, set: &[u32]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has been asked.
        return unsafe { avx512::members(numbers, set) };
    }
    plain::members(numbers, set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Random;

    fn normal(n: usize, random: &mut Random) -> Vec<f32> {
        (0..n).map(|_| random.normal()).collect()
    }

    fn blocks_of(bits: Bits, dim: usize, n: usize, random: &mut Random) -> (Vec<Vec<f32>>, Vec<Line>) {
        let rows: Vec<Vec<f32>> = (0..n).map(|_| normal(dim, random)).collect();
        let per_block = bits.lines(dim);
        let mut lines = vec![Line::default(); per_block * n.div_ceil(ROWS)];
        let mut codes = vec![0; dim];
        for (at, row) in rows.iter().enumerate() {
            let scale = encode(bits, row, &mut codes);
            let block = &mut lines[at / ROWS * per_block..][..per_block];
            write(bits, block, at % ROWS, &codes, scale, 0.5 * at as f32);
        }
        (rows, lines)
    }

    type Scan = fn(&Query, Blocks, &[Entry], f32, &mut Found) -> usize;

    /// The forms that this machine can run.
    fn forms() -> Vec<(&'static str, Scan)> {
        let mut forms: Vec<(&'static str, Scan)> = vec![("chosen", scan)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
            forms.push(("avx2", |query, blocks, entries, threshold, found| {
                // SAFETY: the machine has been asked.
                unsafe {
                    match blocks.bits {
                        Bits::Two => avx2::scan::<4>(query, blocks, entries, threshold, found),
                        Bits::Four => avx2::scan::<2>(query, blocks, entries, threshold, found),
                    }
                }
            }));
        }
        forms
    }

    #[test]
    fn every_form_of_the_scan_finds_what_the_plain_one_finds_bit_for_bit() {
        let mut random = Random::new(1);
        for bits in [Bits::Two, Bits::Four] {
            for dim in [1, 7, 16, 33, 128] {
                let (_, lines) = blocks_of(bits, dim, 100, &mut random);
                let blocks = Blocks::new(bits, dim, &lines);
                let entries: Vec<Entry> = (0..blocks.n_blocks())
                    .map(|block| Entry {
                        block: block as u32,
                        mask: (random.next_u64() & 0xffff) as u32,
                        bias: random.normal(),
                    })
                    .collect();
                let mut query = Query::default();
                query.set(bits, &normal(dim, &mut random));
                let (mut plain, mut other) = (Found::default(), Found::default());
                for (room, threshold) in [(200, f32::NEG_INFINITY), (200, 10.0), (40, 0.0)] {
                    plain.clear(room);
                    let seen = plain::scan(&query, blocks, &entries, threshold, &mut plain);
                    for (name, form) in forms() {
                        other.clear(room);
                        assert_eq!(form(&query, blocks, &entries, threshold, &mut other), seen, "{name}");
                        assert_eq!(plain.n, other.n, "{name}, {bits:?}, {dim} numbers");
                        assert_eq!(plain.slots[..plain.n], other.slots[..other.n], "{name}");
                        assert_eq!(plain.scores[..plain.n], other.scores[..other.n], "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_score_is_near_the_inner_product() {
        let mut random = Random::new(2);
        for (bits, far) in [(Bits::Two, 0.5), (Bits::Four, 0.13)] {
            let dim = 256;
            let (rows, lines) = blocks_of(bits, dim, 64, &mut random);
            let blocks = Blocks::new(bits, dim, &lines);
            let entries: Vec<Entry> = (0..4).map(|block| Entry { block, mask: 0xffff, bias: 1.0 }).collect();
            let raw = normal(dim, &mut random);
            let mut query = Query::default();
            query.set(bits, &raw);
            let mut found = Found::default();
            found.clear(200);
            assert_eq!(scan(&query, blocks, &entries, f32::NEG_INFINITY, &mut found), 4);
            assert_eq!(found.n, 64);
            let mut error = 0.0;
            for at in 0..found.n {
                let slot = found.slots[at] as usize;
                let exact = crate::dot::dot(&rows[slot], &raw) + 1.0 + 0.5 * slot as f32;
                error += (found.scores[at] - exact).powi(2) / 64.0;
            }
            // In units of the deviation of such a product, which is the root of 256.
            assert!(error.sqrt() / 16.0 < far, "{bits:?}: {}", error.sqrt() / 16.0);
        }
    }

    #[test]
    fn rows_of_bytes_give_nearly_their_products_alike_in_every_form() {
        let mut random = Random::new(3);
        for dim in [1, 5, 64, 130] {
            let rows = normal(dim * 37, &mut random);
            let raw = normal(dim, &mut random);
            let bytes = Bytes::new(&rows, dim);
            let mut query = ByteQuery::default();
            query.set(&raw);
            let mut out = Vec::new();
            bytes.dots(&query, &mut out);
            let mut plain = vec![0.0; out.len()];
            plain::dots(&bytes.lines, &bytes.scales, &query, &mut plain);
            assert_eq!(out, plain);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let mut wide = vec![0.0; out.len()];
                #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
                // SAFETY: the machine has been asked.
                unsafe {
                    avx2::dots(&bytes.lines, &bytes.scales, &query, &mut wide);
                }
                assert_eq!(out, wide);
            }
            for (row, values) in rows.chunks(dim).enumerate() {
                let exact = crate::dot::dot(values, &raw);
                assert!((out[row] - exact).abs() < 0.05 * (dim as f32).sqrt(), "{} {exact}", out[row]);
            }
        }
    }

    #[test]
    fn members_of_a_set_are_told_also_beyond_its_end() {
        let set = [0b1001, 0x8000_0000];
        let mut numbers = Line([0; ROWS]);
        numbers.0[..6].copy_from_slice(&[0, 1, 3, 63, 64, u32::MAX]);
        assert_eq!(members(&numbers, &set) & 0x3f, 0b00_1101);
        assert_eq!(members(&numbers, &set), plain::members(&numbers, &set));
        assert_eq!(members(&numbers, &[]), 0);
    }

    #[test]
    fn a_row_of_zeros_scores_its_bias() {
        let mut lines = vec![Line::default(); Bits::Two.lines(5)];
        let mut codes = [9; 5];
        let scale = encode(Bits::Two, &[0.0; 5], &mut codes);
        write(Bits::Two, &mut lines, 3, &codes, scale, -2.0);
        let mut query = Query::default();
        query.set(Bits::Two, &[1.0, 2.0, 3.0, 4.0, 5.0]);
        let mut found = Found::default();
        found.clear(32);
        let entries = [Entry { block: 0, mask: 1 << 3, bias: 0.5 }];
        scan(&query, Blocks::new(Bits::Two, 5, &lines), &entries, f32::NEG_INFINITY, &mut found);
        assert_eq!((found.n, found.scores[0], found.slots[0]), (1, -1.5, 3));
    }
}
