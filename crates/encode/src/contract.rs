//! The promises of [`Encoder`], as a suite that every encoder passes by one line.

use crate::Encoder;

/// Checks one encoder with inputs that it can encode.
///
/// # Panics
/// With the broken promise in words.
pub fn check<Input: ?Sized>(encoder: &dyn Encoder<Input>, inputs: &[&Input]) {
    let name = encoder.name();
    assert!(inputs.len() > 1, "{name}: a batch needs two inputs");
    assert!(!name.is_empty() && encoder.dim() > 0 && encoder.batch() > 0, "{name}: says what it is");
    assert_eq!(encoder.digest(), encoder.digest(), "{name}: one digest");
    let of = |inputs: &[Option<&Input>]| match encoder.encode(inputs) {
        Ok(encoded) => {
            assert_eq!(encoded.rows.n_rows(), inputs.len(), "{name}: a row for each input");
            assert_eq!(encoded.rows.n_columns(), encoder.dim(), "{name}: the promised numbers");
            assert_eq!(encoded.present.len(), inputs.len(), "{name}: a mask for each input");
            encoded
        }
        Err(error) => panic!("{name}: {error}"),
    };
    let all: Vec<Option<&Input>> = inputs.iter().copied().map(Some).collect();
    let batched = of(&all);
    assert_eq!(batched, of(&all), "{name}: the same inputs, other rows");
    assert!(batched.present.iter().all(|&present| present), "{name}: inputs of the suite can be encoded");
    for (at, input) in inputs.iter().enumerate() {
        let row = batched.rows.row(at);
        assert!(row.iter().all(|x| x.is_finite()), "{name}: a number is not finite");
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(length > 0.0, "{name}: a row of zeros is no row");
        assert!(!encoder.is_unit() || (length - 1.0).abs() < 1e-4, "{name}: length {length}");
        let single = of(&[Some(input)]);
        let apart = row.iter().zip(single.rows.row(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 1e-5 * length.max(1.0), "{name}: alone {apart} away from its row in a batch");
    }
    let first = inputs[0];
    let with_missing = of(&[None, Some(first), None]);
    assert_eq!(with_missing.present, [false, true, false], "{name}: what is missing is masked");
    assert!(with_missing.rows.row(0).iter().all(|&x| x == 0.0), "{name}: a masked row is zeros");
    let apart = with_missing.rows.row(1).iter().zip(batched.rows.row(0)).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) <= 1e-5, "{name}: a missing neighbour changes a row");
    assert_eq!(of(&[]).present.len(), 0, "{name}: nothing gives nothing");
}
