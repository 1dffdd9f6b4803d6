//! Likeness by vectors that were learnt.

use upnext_math::Matrix;
use upnext_math::dot::dot;

use super::Similarity;

/// The cosine of two videos' vectors; 0 where nothing is known of one of them.
#[derive(Clone, Debug)]
pub struct Vectors {
    unit: Matrix,
}

impl Vectors {
    /// Of a row for each video, `(videos, dimension)`, of any length; zeros say that nothing is known.
    pub fn new(mut rows: Matrix) -> Self {
        for at in 0..rows.n_rows() {
            let row = rows.row_mut(at);
            let length = dot(row, row).sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|x| *x /= length);
            }
        }
        Self { unit: rows }
    }
}

impl Similarity for Vectors {
    /// From −1 to 1.
    fn between(&self, a: u32, b: u32) -> f32 {
        dot(self.unit.row(a as usize), self.unit.row(b as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_says_nothing_and_zeros_are_unlike_all() {
        let vectors = Vectors::new(Matrix::from_rows(3, 2, vec![2.0, 0.0, 3.0, 4.0, 0.0, 0.0]));
        assert!((vectors.between(0, 1) - 0.6).abs() < 1e-6 && (vectors.between(1, 1) - 1.0).abs() < 1e-6);
        assert_eq!((vectors.between(0, 2), vectors.between(2, 2)), (0.0, 0.0));
    }
}
