//! A random rotation that costs `d log d`: signs and Hadamard transforms by turns.

use crate::seed::Random;

/// How often signs are drawn and numbers are mixed. Once leaves rows with few large numbers visible.
const ROUNDS: usize = 2;

/// An orthogonal map of `dim` numbers. Where `dim` is no power of two, its first and its last numbers are mixed by turns, each as
/// many as the largest power of two below it, so that nothing is padded.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    dim: usize,
    /// Numbers that are mixed at once.
    width: usize,
    /// Of each mixing, plus or minus the root of `1 / width` for the numbers that it mixes.
    signs: Vec<Vec<f32>>,
}

impl Rotation {
    /// The rotation of a seed.
    ///
    /// # Panics
    /// If `dim` is 0.
    pub fn new(dim: usize, seed: u64) -> Self {
        assert!(dim > 0, "a rotation of no numbers");
        let width = 1usize << dim.ilog2();
        let mut random = Random::new(seed);
        let mixings = if width == dim { ROUNDS } else { 2 * ROUNDS };
        let length = 1.0 / (width as f32).sqrt();
        let sign = |_| if random.next_u64() >> 63 == 0 { length } else { -length };
        let signs: Vec<f32> = (0..mixings * width).map(sign).collect();
        Self { dim, width, signs: signs.chunks_exact(width).map(<[f32]>::to_vec).collect() }
    }

    /// Rotates numbers where they stand.
    ///
    /// # Panics
    /// If there are not `dim`.
    pub fn apply(&self, x: &mut [f32]) {
        assert_eq!(x.len(), self.dim, "numbers of a rotation");
        let rotation = self;
        widest!(rotate(rotation: &Rotation, x: &mut [f32]));
    }
}

#[inline(always)]
fn rotate(rotation: &Rotation, x: &mut [f32]) {
    let last = rotation.dim - rotation.width;
    for (at, signs) in rotation.signs.iter().enumerate() {
        let from = if at % 2 == 1 { last } else { 0 };
        let x = &mut x[from..from + rotation.width];
        for (x, sign) in x.iter_mut().zip(signs) {
            *x *= sign;
        }
        hadamard(x);
    }
}

/// Sums and differences, of a power of two of numbers.
#[inline(always)]
fn hadamard(x: &mut [f32]) {
    let n = x.len();
    let (blocks, _) = x.as_chunks_mut::<16>();
    for block in blocks {
        within::<8>(block);
        within::<4>(block);
        within::<2>(block);
        within::<1>(block);
    }
    let mut half = if n < 16 { 1 } else { 16 };
    while half < n {
        for pair in x.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[inline(always)]
fn within<const HALF: usize>(x: &mut [f32; 16]) {
    let mut out = [0.0; 16];
    for at in 0..16 {
        let (mine, other) = (x[at], x[at ^ HALF]);
        out[at] = if at & HALF == 0 { mine + other } else { other - mine };
    }
    *x = out;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::dot;

    #[test]
    fn lengths_and_products_stay() {
        let mut random = Random::new(5);
        for dim in [1, 2, 3, 12, 16, 100, 128, 384] {
            let rotation = Rotation::new(dim, 9);
            let mut draw = || (0..dim).map(|_| random.normal()).collect::<Vec<f32>>();
            let (mut a, mut b) = (draw(), draw());
            let before = (dot(&a, &a), dot(&a, &b));
            rotation.apply(&mut a);
            rotation.apply(&mut b);
            let after = (dot(&a, &a), dot(&a, &b));
            let near = 1e-5 * dim as f32;
            assert!((before.0 - after.0).abs() < near && (before.1 - after.1).abs() < near, "{dim}");
        }
    }

    #[test]
    fn one_large_number_is_spread_over_all() {
        for dim in [128, 200] {
            let mut x = vec![0.0; dim];
            x[0] = 1.0;
            Rotation::new(dim, 1).apply(&mut x);
            let most = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            assert!(most < 0.6, "{dim}: {most}");
            assert_ne!(Rotation::new(dim, 1), Rotation::new(dim, 2));
        }
    }
}
