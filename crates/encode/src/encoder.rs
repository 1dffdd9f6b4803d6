//! What every encoder does: a row of numbers for each thing it reads.

use upnext_math::Matrix;

/// A frozen encoder of one kind of input: `str`, [`Picture`](crate::Picture), [`Sound`](crate::Sound) or
/// [`Clip`](crate::Clip).
///
/// Promises, checked by [`contract`](crate::contract): a batch equals its single inputs; the same input gives the same row;
/// rows are finite, and of unit length where that is promised; what is missing, or tells this encoder nothing, is not
/// present, and others in its batch do not suffer from it.
pub trait Encoder<Input: ?Sized>: Send + Sync {
    /// What it is, in words for a ledger: `words and letters, 256 directions`.
    fn name(&self) -> String;

    /// Numbers of a row.
    fn dim(&self) -> usize;

    /// Whether rows have unit length.
    fn is_unit(&self) -> bool;

    /// BLAKE3, in hex, of all that decides what comes out: kind, settings, weights. Vectors are kept under it.
    fn digest(&self) -> String;

    /// Whether its rows are worth keeping for another run: not where it is fitted on the very inputs.
    fn is_kept(&self) -> bool {
        true
    }

    /// How many inputs are best given at once.
    fn batch(&self) -> usize {
        32
    }

    /// One row for each input, on the caller's thread; callers run many at once.
    ///
    /// # Errors
    /// When no input of the batch can be encoded: a server that does not answer, a model that fails.
    fn encode(&self, inputs: &[Option<&Input>]) -> Result<Encoded, EncodeError>;
}

/// What comes out of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// `(inputs, dimensions)`; zeros where nothing is present.
    pub rows: Matrix,
    /// Which inputs have a row.
    pub present: Vec<bool>,
}

impl Encoded {
    /// From a row for each input that has one.
    ///
    /// # Panics
    /// If a row has not `dim` numbers.
    pub fn of_rows(dim: usize, rows: &[Option<Vec<f32>>]) -> Self {
        let mut all = Matrix::zeros(rows.len(), dim);
        for (at, row) in rows.iter().enumerate() {
            if let Some(row) = row {
                all.row_mut(at).copy_from_slice(row);
            }
        }
        Self { rows: all, present: rows.iter().map(Option::is_some).collect() }
    }
}

/// Why an encoder cannot be made, or a batch cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct EncodeError {
    /// Which folder, file, setting or address.
    pub what: String,
    /// What is wrong, what was expected, what to do.
    pub reason: String,
    /// Whether one of the inputs is to blame, so that the others are worth another try.
    pub is_of_input: bool,
}

impl EncodeError {
    /// An error about a thing.
    pub fn of(what: impl std::fmt::Display, reason: impl Into<String>) -> Self {
        Self { what: what.to_string(), reason: reason.into(), is_of_input: false }
    }
}

/// A row divided by its length; `None` where that is zero. A row with a number that is not finite stays as it is: to have
/// nothing to say is no fault, and that is one, which the job names.
pub(crate) fn unit(mut row: Vec<f32>) -> Option<Vec<f32>> {
    let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if length == 0.0 {
        return None;
    }
    if !length.is_finite() {
        return Some(row);
    }
    row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_no_direction_and_a_number_that_is_not_finite_stays_to_be_named() {
        assert_eq!(unit(vec![3.0, 4.0]), Some(vec![0.6, 0.8]));
        assert_eq!((unit(vec![0.0; 3]), unit(Vec::new())), (None, None));
        assert!(unit(vec![1.0, f32::NAN]).unwrap()[1].is_nan());
        assert_eq!(unit(vec![f32::INFINITY, 1.0]), Some(vec![f32::INFINITY, 1.0]));
    }
}
