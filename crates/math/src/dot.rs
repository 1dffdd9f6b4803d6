//! Inner loops over slices: each has a plain form and, on x86-64 with AVX2 and FMA, a wide one that is compiled
//! from the same lines. The machine is asked once; a test holds the two forms against each other.

/// Rows of a panel, see [`panel_product`].
pub const PANEL: usize = 32;

macro_rules! with_wide_twin {
    ($(#[$doc:meta])* $name:ident, $plain:ident, $wide:ident, ($($arg:ident: $type:ty),*) $(-> $out:ty)?, $fma:ident => $body:block) => {
        $(#[$doc])*
        #[inline]
        pub fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                // SAFETY: the machine has both features: it was asked in the line above.
                #[allow(unsafe_code, reason = "calling code for a feature that was detected")]
                return unsafe { $wide($($arg),*) };
            }
            $plain($($arg),*)
        }

        fn $plain($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn $fma(a: f32, b: f32, c: f32) -> f32 {
                a * b + c
            }
            $body
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn $wide($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn $fma(a: f32, b: f32, c: f32) -> f32 {
                a.mul_add(b, c)
            }
            $body
        }
    };
}

with_wide_twin! {
    /// The inner product, with 32 running sums so that the compiler can use wide registers.
    dot, dot_plain, dot_wide, (a: &[f32], b: &[f32]) -> f32, fma => {
        const LANES: usize = 32;
        let mut sums = [0.0f32; LANES];
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (b_blocks, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            for lane in 0..LANES {
                sums[lane] = fma(a[lane], b[lane], sums[lane]);
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f32>() + rest
    }
}

with_wide_twin! {
    /// The squared distance, with 32 running sums.
    squared_distance, squared_distance_plain, squared_distance_wide, (a: &[f32], b: &[f32]) -> f32, fma => {
        const LANES: usize = 32;
        let mut sums = [0.0f32; LANES];
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (b_blocks, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            for lane in 0..LANES {
                let apart = a[lane] - b[lane];
                sums[lane] = fma(apart, apart, sums[lane]);
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
        sums.iter().sum::<f32>() + rest
    }
}

with_wide_twin! {
    /// The position of the largest `a[i] - b[i]`, the first of equal ones; 0 of nothing. Numbers that are not finite do not count.
    largest_difference, largest_difference_plain, largest_difference_wide, (a: &[f32], b: &[f32]) -> usize, _fma => {
        const LANES: usize = 16;
        let mut most = [f32::NEG_INFINITY; LANES];
        let mut places = [0u32; LANES];
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (b_blocks, b_rest) = b.as_chunks::<LANES>();
        for (block, (a, b)) in a_blocks.iter().zip(b_blocks).enumerate() {
            for lane in 0..LANES {
                let apart = a[lane] - b[lane];
                places[lane] = if apart > most[lane] { block as u32 } else { places[lane] };
                most[lane] = if apart > most[lane] { apart } else { most[lane] };
            }
        }
        let (mut best, mut place) = (f32::NEG_INFINITY, 0);
        for lane in 0..LANES {
            let at = places[lane] as usize * LANES + lane;
            if most[lane] > best || (most[lane] == best && at < place) {
                (best, place) = (most[lane], at);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            if a - b > best {
                (best, place) = (a - b, a_blocks.len() * LANES + at);
            }
        }
        place
    }
}

with_wide_twin! {
    /// The sum, with 32 running sums.
    sum, sum_plain, sum_wide, (x: &[f32]) -> f32, _fma => {
        let mut sums = [0.0f32; 32];
        let (blocks, rest) = x.as_chunks::<32>();
        for block in blocks {
            for lane in 0..32 {
                sums[lane] += block[lane];
            }
        }
        sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
    }
}

with_wide_twin! {
    /// The largest, minus infinity of nothing.
    max, max_plain, max_wide, (x: &[f32]) -> f32, _fma => {
        let mut most = [f32::NEG_INFINITY; 32];
        let (blocks, rest) = x.as_chunks::<32>();
        for block in blocks {
            for lane in 0..32 {
                most[lane] = if block[lane] > most[lane] { block[lane] } else { most[lane] };
            }
        }
        most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

with_wide_twin! {
    /// `y += weight * x`.
    add_scaled, add_scaled_plain, add_scaled_wide, (y: &mut [f32], weight: f32, x: &[f32]), fma => {
        for (y, x) in y.iter_mut().zip(x) {
            *y = fma(weight, *x, *y);
        }
    }
}

with_wide_twin! {
    /// One column of 32 rows times a sparse column: the sum of `weights[i] * panel[rows[i]]`.
    panel_product, panel_product_plain, panel_product_wide,
    (rows: &[u32], weights: &[f32], panel: &[[f32; PANEL]]) -> [f32; PANEL], fma => {
        let mut sums = [0.0f32; PANEL];
        for (&row, &weight) in rows.iter().zip(weights) {
            let values = &panel[row as usize];
            for lane in 0..PANEL {
                sums[lane] = fma(weight, values[lane], sums[lane]);
            }
        }
        sums
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
    fn the_wide_forms_agree_with_the_plain_ones() {
        for n in [0usize, 1, 7, 31, 32, 33, 100] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
            assert!((dot(&a, &b) - dot_plain(&a, &b)).abs() < 1e-5);
            assert!((squared_distance(&a, &b) - squared_distance_plain(&a, &b)).abs() < 1e-4);
            let (mut wide, mut plain) = (b.clone(), b.clone());
            add_scaled(&mut wide, 2.0, &a);
            add_scaled_plain(&mut plain, 2.0, &a);
            assert!(wide.iter().zip(&plain).all(|(x, y)| (x - y).abs() < 1e-6));
        }
        let panel: Vec<[f32; PANEL]> = (0..5).map(|i| [i as f32; PANEL]).collect();
        let (rows, weights) = ([4, 1], [0.5, 2.0]);
        assert_eq!(panel_product(&rows, &weights, &panel), [4.0; PANEL]);
        assert_eq!(panel_product_plain(&rows, &weights, &panel), [4.0; PANEL]);
    }

    #[test]
    fn the_distance_of_three_and_four_is_five_and_the_first_of_equal_differences_is_named() {
        assert_eq!(squared_distance(&[3.0, 0.0], &[0.0, 4.0]), 25.0);
        for n in [1usize, 15, 16, 40, 65] {
            for at in 0..n {
                let mut a = vec![0.0; n];
                (a[at], a[n - 1]) = (1.0, 1.0);
                assert_eq!(largest_difference(&a, &vec![0.5; n]), at);
                assert_eq!(largest_difference_plain(&a, &vec![0.5; n]), at);
            }
        }
        assert_eq!(largest_difference(&[], &[]), 0);
    }

    #[test]
    fn the_mean_of_one_and_three_is_two_and_so_is_not_their_deviation() {
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_deviation(&[]), (0.0, 0.0));
    }
}
