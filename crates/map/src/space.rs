//! Vectors of unit length: what a likeness is measured in.

use upnext_math::Matrix;
use upnext_math::dot::dot;

/// Named vectors, one a row, each of unit length, or zero where nothing is known of the row.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// What the vectors are made of: `labels`, `text`, the name of a model.
    pub name: String,
    vectors: Matrix,
}

impl Space {
    /// From vectors of any length; one that has a number that is not finite counts as unknown.
    pub fn new(name: impl Into<String>, mut vectors: Matrix) -> Self {
        for row in 0..vectors.n_rows() {
            unit(vectors.row_mut(row));
        }
        Self { name: name.into(), vectors }
    }

    /// Several spaces of the same rows side by side: the inner product is the mean of their cosines, where all
    /// know both rows.
    ///
    /// # Panics
    /// If the spaces have different numbers of rows.
    pub fn joined(name: impl Into<String>, spaces: &[&Self]) -> Self {
        let n_rows = spaces.first().map_or(0, |space| space.vectors.n_rows());
        let width = spaces.iter().map(|space| space.vectors.n_columns()).sum();
        let mut values = Vec::with_capacity(n_rows * width);
        for row in 0..n_rows {
            spaces.iter().for_each(|space| values.extend_from_slice(space.vectors.row(row)));
        }
        Self::new(name, Matrix::from_rows(n_rows, width, values))
    }

    /// The vectors, `(rows, dimensions)`.
    pub fn vectors(&self) -> &Matrix {
        &self.vectors
    }

    /// Whether anything is known of a row.
    pub fn knows(&self, row: usize) -> bool {
        self.vectors.row(row).iter().any(|x| *x != 0.0)
    }

    /// The same space of some of its rows.
    pub(crate) fn of_rows(&self, rows: &[u32]) -> Self {
        let width = self.vectors.n_columns();
        let values = rows.iter().flat_map(|&row| self.vectors.row(row as usize).iter().copied()).collect();
        Self { name: self.name.clone(), vectors: Matrix::from_rows(rows.len(), width, values) }
    }
}

/// Brings a vector to unit length; what cannot be brought there becomes zero.
pub(crate) fn unit(vector: &mut [f32]) {
    // By the largest first, so that squares of large numbers stay finite.
    let most = vector.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    if most == 0.0 || vector.iter().any(|x| !x.is_finite()) {
        return vector.fill(0.0);
    }
    vector.iter_mut().for_each(|x| *x /= most);
    let norm = dot(vector, vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_unit_length_or_are_unknown() {
        let rows = vec![3.0, 4.0, 0.0, 0.0, f32::NAN, 1.0, f32::INFINITY, 1.0, 3e30, 4e30];
        let space = Space::new("text", Matrix::from_rows(5, 2, rows));
        let near =
            |row: usize| space.vectors().row(row).iter().zip([0.6, 0.8]).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(0) && near(4));
        assert_eq!([0, 1, 2, 3].map(|row| space.knows(row)), [true, false, false, false]);
    }

    #[test]
    fn two_spaces_side_by_side_have_the_mean_of_their_cosines() {
        let labels = Space::new("labels", Matrix::from_rows(2, 2, vec![1.0, 0.0, 1.0, 0.0]));
        let text = Space::new("text", Matrix::from_rows(2, 2, vec![1.0, 0.0, 0.0, 1.0]));
        let both = Space::joined("both", &[&labels, &text]);
        assert!((dot(both.vectors().row(0), both.vectors().row(1)) - 0.5).abs() < 1e-6);
    }
}
