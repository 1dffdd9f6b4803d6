//! The exponential function over slices, many numbers at a time.

/// Replaces each number `x` by `e^(x - most)`; their sum, by 32 running sums.
pub fn exp_of_differences(values: &mut [f32], most: f32) -> f32 {
    const LANES: usize = 32;
    #[inline(always)]
    fn each(values: &mut [f32], most: f32, sums: &mut [f32; LANES]) {
        let (blocks, rest) = values.as_chunks_mut::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                block[lane] = exp(block[lane] - most);
                sums[lane] += block[lane];
            }
        }
        for (x, sum) in rest.iter_mut().zip(sums) {
            *x = exp(*x - most);
            *sum += *x;
        }
    }
    let mut sums = [0.0; LANES];
    let into = &mut sums;
    let mut run = || widest!(each(values: &mut [f32], most: f32, into: &mut [f32; LANES]));
    run();
    sums.iter().sum()
}

/// Replaces each number by a function of it, many at a time. The function is compiled for each kind of machine, so it must
/// be inlined: closures and `#[inline(always)]` functions are.
pub fn map_in_place(values: &mut [f32], change: impl Fn(f32) -> f32) {
    #[inline(always)]
    fn each(values: &mut [f32], change: impl Fn(f32) -> f32) {
        values.iter_mut().for_each(|x| *x = change(*x));
    }
    widest!(each(values: &mut [f32], change: impl Fn(f32) -> f32));
}

/// The same with a second number for each, of a slice of the same length.
pub fn zip_in_place(values: &mut [f32], others: &[f32], change: impl Fn(f32, f32) -> f32) {
    #[inline(always)]
    fn each(values: &mut [f32], others: &[f32], change: impl Fn(f32, f32) -> f32) {
        values.iter_mut().zip(others).for_each(|(x, other)| *x = change(*x, *other));
    }
    widest!(each(values: &mut [f32], others: &[f32], change: impl Fn(f32, f32) -> f32));
}

/// `e^x` within 2 units of the last place between -87 and 88; beyond, 0 or the largest.
///
/// The reduction to `2^n e^r` and the polynomial are those of Cephes (Moshier 1989).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // 2^23 + 2^22: adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_2e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    p * power
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential_function() {
        let xs: Vec<f32> = (-8_700..8_800).map(|x| x as f32 / 100.0 + 0.003).collect();
        let mut values = xs.clone();
        map_in_place(&mut values, exp);
        for (x, value) in xs.iter().zip(values) {
            let expected = f64::from(*x).exp();
            assert!((f64::from(value) / expected - 1.0).abs() < 2.5e-7, "{x}: {value} {expected}");
        }
        for n in [0, 31, 33, 100] {
            let mut differences = xs[..n].to_vec();
            let sum = exp_of_differences(&mut differences, 2.0);
            let expected: Vec<f32> = xs[..n].iter().map(|x| exp(x - 2.0)).collect();
            assert!((sum - expected.iter().sum::<f32>()).abs() < 1e-6 * (1.0 + sum));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 3e-7 * b;
            assert!(differences.iter().zip(&expected).all(near), "the same on every kind of machine");
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY) < 1e-37, exp(1e9).is_finite()), (1.0, true, true));
    }
}
