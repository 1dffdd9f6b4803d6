//! What near means.

use upnext_math::dot::{dot, squared_distance};

use crate::{DIM_MAX, IndexError};

/// Numbers beyond this are refused: squares and sums of them stay finite.
const VALUE_MAX: f32 = 1e15;

/// How two vectors are compared; of a score more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The inner product.
    InnerProduct,
    /// The cosine; that of a vector of zeros is 0.
    Cosine,
    /// Minus the squared Euclidean distance.
    L2,
}

impl Metric {
    /// The exact score of two vectors that went through [`prepare`](Self::prepare).
    pub(crate) fn score(self, query: &[f32], vector: &[f32]) -> f32 {
        match self {
            Self::InnerProduct | Self::Cosine => dot(query, vector),
            Self::L2 => -squared_distance(query, vector),
        }
    }

    /// Checks a vector and brings it into the form in which vectors are compared: cosines want unit length.
    pub(crate) fn prepare(
        self,
        what: &dyn Fn() -> String,
        dim: usize,
        vector: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), IndexError> {
        if vector.len() != dim {
            return Err(IndexError::Dim { what: what(), found: vector.len(), expected: dim });
        }
        if !vector.iter().all(|x| x.abs() <= VALUE_MAX) {
            let at = vector.iter().position(|x| x.is_nan() || x.abs() > VALUE_MAX).unwrap_or(0);
            return Err(IndexError::NotFinite { what: what(), at, value: vector[at] });
        }
        out.clear();
        out.extend_from_slice(vector);
        if self == Self::Cosine {
            unit(out);
        }
        Ok(())
    }
}

/// Scales to length one. The largest number goes first, so that the squares of tiny ones do not vanish.
fn unit(vector: &mut [f32]) {
    let most = vector.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    if most > 0.0 {
        vector.iter_mut().for_each(|x| *x /= most);
        let length = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

pub(crate) fn check_dim(dim: usize) -> Result<(), IndexError> {
    if (1..=DIM_MAX).contains(&dim) {
        return Ok(());
    }
    let expected = format!("1 to {DIM_MAX} numbers");
    Err(IndexError::Setting { setting: "the length of a vector", found: dim.to_string(), expected })
}
