//! Inner loops over slices.

/// The inner product, with eight running sums so that the compiler can use wide registers.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// `y += weight * x`.
pub fn add_scaled(y: &mut [f32], weight: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += weight * x;
    }
}

/// Mean and population deviation, summed in `f64`, in one pass.
pub fn mean_and_deviation(x: &[f32]) -> (f32, f32) {
    const LANES: usize = 8;
    if x.is_empty() {
        return (0.0, 0.0);
    }
    let (mut sums, mut squares) = ([0.0f64; LANES], [0.0f64; LANES]);
    let (blocks, rest) = x.as_chunks::<LANES>();
    // Around the first value, so that a large mean does not swallow the deviation.
    let origin = f64::from(x[0]);
    for block in blocks {
        for lane in 0..LANES {
            let value = f64::from(block[lane]) - origin;
            sums[lane] += value;
            squares[lane] += value * value;
        }
    }
    let (mut sum, mut square): (f64, f64) = (sums.iter().sum(), squares.iter().sum());
    for &value in rest {
        let value = f64::from(value) - origin;
        sum += value;
        square += value * value;
    }
    let n = x.len() as f64;
    let mean = sum / n;
    ((origin + mean) as f32, (square / n - mean * mean).max(0.0).sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_agree_with_the_plain_loop() {
        for n in [0usize, 1, 7, 8, 9, 100] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
            let plain: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-5);
            let mut y = b.clone();
            add_scaled(&mut y, 2.0, &a);
            assert!(y.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| (y - (b + 2.0 * a)).abs() < 1e-6));
        }
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, 1.0));
    }
}
