//! Exact nearest rows, by blocks of matrix products: every pair is compared, a block of pairs is held.

use rayon::prelude::*;
use upnext_math::linalg::product_transposed_into;
use upnext_math::{Matrix, dot, top_k};

/// Rows that are compared with all others at once: at 50,000 rows a block of scores takes 13 MB a thread.
pub(crate) const BLOCK: usize = 64;

/// The `k` rows nearest to each of some rows by Euclidean distance, the row itself left out, nearest first; equal
/// distances stand in the order of rows. Of unit vectors that is the order of cosines.
pub(crate) fn nearest(matrix: &Matrix, rows: &[u32], k: usize) -> Vec<Vec<u32>> {
    let compared = |block: &[u32]| -> Vec<Vec<u32>> {
        let mut scores = closeness(matrix, block);
        let of_row = |(&row, scores): (&u32, &mut [f32])| {
            scores[row as usize] = f32::NEG_INFINITY;
            top_k(scores, k)
        };
        block.iter().zip(scores.chunks_exact_mut(matrix.n_rows())).map(of_row).collect()
    };
    rows.par_chunks(BLOCK).flat_map_iter(compared).collect()
}

/// `x y' - |y|² / 2` of each `x` in a block of rows and each row `y`: larger is nearer.
pub(crate) fn closeness(matrix: &Matrix, block: &[u32]) -> Vec<f32> {
    let asked = block.iter().flat_map(|&row| matrix.row(row as usize).iter().copied()).collect();
    let asked = Matrix::from_rows(block.len(), matrix.n_columns(), asked);
    let mut scores = vec![0.0; block.len() * matrix.n_rows()];
    product_transposed_into(&asked, matrix, &mut scores);
    let halves: Vec<f32> =
        (0..matrix.n_rows()).map(|row| dot::dot(matrix.row(row), matrix.row(row)) / 2.0).collect();
    for scores in scores.chunks_exact_mut(matrix.n_rows().max(1)) {
        scores.iter_mut().zip(&halves).for_each(|(score, half)| *score -= half);
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_points_on_a_line_are_those_beside() {
        let line = Matrix::from_rows(5, 1, vec![0.0, 1.0, 3.0, 3.5, 100.0]);
        let rows: Vec<u32> = (0..5).collect();
        assert_eq!(nearest(&line, &rows, 2), [[1, 2], [0, 2], [3, 1], [2, 1], [3, 2]]);
        assert_eq!(nearest(&line, &[4], 1), [[3]]);
    }

    #[test]
    fn a_row_alone_has_no_neighbour_and_few_rows_have_few() {
        assert_eq!(nearest(&Matrix::zeros(1, 3), &[0], 5), [Vec::<u32>::new()]);
        assert_eq!(nearest(&Matrix::zeros(3, 2), &[1], 5), [[0, 2]]);
        assert!(nearest(&Matrix::zeros(0, 3), &[], 5).is_empty());
    }

    #[test]
    fn blocks_change_nothing() {
        let values = (0..300).map(|i: i32| ((i * 7919) % 101) as f32).collect();
        let points = Matrix::from_rows(100, 3, values);
        let all: Vec<u32> = (0..100).collect();
        let together = nearest(&points, &all, 4);
        for row in all {
            assert_eq!(together[row as usize], nearest(&points, &[row], 4)[0]);
        }
    }
}
