//! Random numbers from a seed: the same on every machine and thread.

/// xoshiro256++ (Blackman & Vigna 2019), seeded by SplitMix64 (Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

/// SplitMix64's finaliser: a well mixed number from any number.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Random {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Self {
        let step = 0x9e37_79b9_7f4a_7c15u64;
        Self { state: [0, 1, 2, 3].map(|i: u64| mix(seed.wrapping_add(step.wrapping_mul(i)))) }
    }

    /// Any 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform among `0..n` (Lemire 2019, without the rejection: the bias is below `n / 2^64`).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a draw among none");
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Normal with mean 0 and deviation 1 (Box & Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }
}

/// Eight generators side by side, for numbers by the thousand.
#[derive(Clone, Debug)]
pub struct Lanes {
    state: [[u64; 8]; 4],
}

impl Lanes {
    /// Seeded by the next number of another generator.
    pub fn new(random: &mut Random) -> Self {
        let lanes = [(); 8].map(|()| Random::new(random.next_u64()).state);
        Self { state: [0, 1, 2, 3].map(|at| lanes.map(|state| state[at])) }
    }

    /// Replaces each number by 0 with a probability, in steps of 2^-16, and else divides it by the probability to stay.
    pub fn leave_out(&mut self, values: &mut [f32], probability: f32) {
        let keep = 1.0 / (1.0 - probability);
        // Of signed numbers, which more machines compare side by side.
        let bound = (probability * 65_536.0) as i32;
        let lanes = self;
        widest!(leave_out(lanes: &mut Lanes, values: &mut [f32], keep: f32, bound: i32));
    }
}

/// Numbers for which a draw of all lanes is enough: 16 bits each.
const AT_ONCE: usize = 32;

#[inline(always)]
fn leave_out(lanes: &mut Lanes, values: &mut [f32], keep: f32, bound: i32) {
    let (blocks, rest) = values.as_chunks_mut::<AT_ONCE>();
    for block in blocks {
        leave_out_of_block(&mut lanes.state, block, keep, bound);
    }
    if !rest.is_empty() {
        let mut block = [0.0; AT_ONCE];
        block[..rest.len()].copy_from_slice(rest);
        leave_out_of_block(&mut lanes.state, &mut block, keep, bound);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

#[inline(always)]
fn leave_out_of_block(state: &mut [[u64; 8]; 4], values: &mut [f32; AT_ONCE], keep: f32, bound: i32) {
    let drawn = next(state);
    for part in 0..4 {
        for lane in 0..8 {
            let bits = (drawn[lane] >> (16 * part)) as i32 & 0xffff;
            values[8 * part + lane] *= if bits < bound { 0.0 } else { keep };
        }
    }
}

/// A step of xoshiro256++ in each lane.
#[inline(always)]
fn next(s: &mut [[u64; 8]; 4]) -> [u64; 8] {
    let mut drawn = [0; 8];
    for lane in 0..8 {
        drawn[lane] = s[0][lane].wrapping_add(s[3][lane]).rotate_left(23).wrapping_add(s[0][lane]);
        let t = s[1][lane] << 17;
        s[2][lane] ^= s[0][lane];
        s[3][lane] ^= s[1][lane];
        s[1][lane] ^= s[2][lane];
        s[0][lane] ^= s[3][lane];
        s[2][lane] ^= t;
        s[3][lane] = s[3][lane].rotate_left(45);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_same_on_every_kind_of_machine() {
        for n in [0, 31, 32, 33, 200] {
            let mut lanes = Lanes::new(&mut Random::new(3));
            let mut plain = lanes.clone();
            let (mut values, mut expected) = (vec![1.0; n], vec![1.0; n]);
            lanes.leave_out(&mut values, 0.25);
            leave_out(&mut plain, &mut expected, 1.0 / 0.75, 16_384);
            assert_eq!(values, expected);
            assert_eq!(lanes.state, plain.state);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_with_the_right_moments() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..20_000).map(|_| random.normal()).collect::<Vec<_>>()
        };
        let numbers = draw(7);
        assert_eq!(numbers, draw(7));
        assert_ne!(numbers, draw(8));
        let n = numbers.len() as f32;
        let mean = numbers.iter().sum::<f32>() / n;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
