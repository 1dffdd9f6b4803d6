//! Numbers of different units on one scale, fitted on train rows: standard, logarithm, minimum to maximum.

use serde::{Deserialize, Serialize};
use upnext_math::Matrix;

use crate::TrainRows;

/// How one column is scaled. Formulas are those of scikit-learn's `StandardScaler` and `MinMaxScaler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// As it is.
    Keep,
    /// `(x - mean) / deviation`, with the population's deviation.
    Standard,
    /// `sign(x) ln(1 + |x|)`: counts of plays, fans and likes; the sign keeps what is below zero defined.
    Log,
    /// The logarithm, then standard.
    LogStandard,
    /// `(x - minimum) / (maximum - minimum)`; what lies beyond the train rows' range leaves `[0, 1]`.
    MinMax,
}

/// One column's fitted numbers: `y = (f(x) - shift) / unit`, where `f` is the logarithm or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    log: bool,
    shift: f64,
    unit: f64,
    /// The mean of the train rows after scaling, for values that are no numbers.
    fill: f64,
}

/// Fitted scales, one a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    columns: Vec<Column>,
}

impl Scaler {
    /// Fits one scaling a column on the train rows of `(rows, columns)`. Values that are not finite are left
    /// out. A column that is constant, or of which nothing is known, gets the unit 1.
    ///
    /// # Panics
    /// If there are not as many scalings as columns, or a train row is not in the matrix.
    pub fn fit(matrix: &Matrix, train: &TrainRows, scalings: &[Scaling]) -> Self {
        assert_eq!(scalings.len(), matrix.n_columns(), "one scaling a column");
        let fit = |(at, &scaling): (usize, &Scaling)| {
            let known = train.iter().map(|row| f64::from(matrix.row(row)[at])).filter(|x| x.is_finite());
            Column::fit(known.collect(), scaling)
        };
        Self { columns: scalings.iter().enumerate().map(fit).collect() }
    }

    /// The same scaling for every column.
    ///
    /// # Panics
    /// If a train row is not in the matrix.
    pub fn fit_alike(matrix: &Matrix, train: &TrainRows, scaling: Scaling) -> Self {
        Self::fit(matrix, train, &vec![scaling; matrix.n_columns()])
    }

    /// Scales every row in place.
    ///
    /// # Panics
    /// If the matrix has another number of columns than it was fitted on.
    pub fn apply(&self, matrix: &mut Matrix) {
        (0..matrix.n_rows()).for_each(|row| self.apply_row(matrix.row_mut(row)));
    }

    /// Scales one row in place: what serving does. A value that is not finite becomes the train rows' mean.
    ///
    /// # Panics
    /// If the row has another number of columns than it was fitted on.
    pub fn apply_row(&self, row: &mut [f32]) {
        assert_eq!(row.len(), self.columns.len(), "as many columns as were fitted");
        row.iter_mut().zip(&self.columns).for_each(|(x, column)| *x = column.apply(*x));
    }

    /// Takes one row back to its units, in place.
    ///
    /// # Panics
    /// If the row has another number of columns than it was fitted on.
    pub fn invert_row(&self, row: &mut [f32]) {
        assert_eq!(row.len(), self.columns.len(), "as many columns as were fitted");
        row.iter_mut().zip(&self.columns).for_each(|(y, column)| *y = column.invert(*y));
    }
}

impl Column {
    fn fit(mut known: Vec<f64>, scaling: Scaling) -> Self {
        let log = matches!(scaling, Scaling::Log | Scaling::LogStandard);
        if log {
            known.iter_mut().for_each(|x| *x = signed_ln_1p(*x));
        }
        let n = known.len().max(1) as f64;
        let mean = known.iter().sum::<f64>() / n;
        let (shift, unit) = match scaling {
            Scaling::Keep | Scaling::Log => (0.0, 1.0),
            Scaling::Standard | Scaling::LogStandard => {
                (mean, (known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
            }
            Scaling::MinMax => {
                let least = known.iter().copied().reduce(f64::min).unwrap_or(0.0);
                (least, known.iter().copied().reduce(f64::max).unwrap_or(0.0) - least)
            }
        };
        // Rounding leaves a deviation near 1e-16 of the mean where all values are equal.
        let constant = unit <= mean.abs() * 1e-12;
        let unit = if constant { 1.0 } else { unit };
        Self { log, shift, unit, fill: (mean - shift) / unit }
    }

    fn apply(&self, x: f32) -> f32 {
        if !x.is_finite() {
            return self.fill as f32;
        }
        let x = f64::from(x);
        bounded((if self.log { signed_ln_1p(x) } else { x } - self.shift) / self.unit)
    }

    fn invert(&self, y: f32) -> f32 {
        let x = f64::from(y) * self.unit + self.shift;
        bounded(if self.log { x.signum() * x.abs().exp_m1() } else { x })
    }
}

/// Nothing leaves as infinite.
fn bounded(x: f64) -> f32 {
    x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// `sign(x) ln(1 + |x|)`: 0 stays 0, and equal steps are equal factors.
pub fn signed_ln_1p(x: f64) -> f64 {
    x.signum() * x.abs().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f32]) -> Matrix {
        Matrix::from_rows(values.len(), 1, values.to_vec())
    }

    fn scaled(train: &[f32], scaling: Scaling, x: f32) -> f32 {
        let scaler = Scaler::fit_alike(&column(train), &TrainRows::all(train.len()), scaling);
        let mut row = [x];
        scaler.apply_row(&mut row);
        row[0]
    }

    #[test]
    fn one_to_four_by_hand() {
        // Mean 2.5; squared distances 2.25 + 0.25 + 0.25 + 2.25 = 5, a quarter is 1.25, its root 1.118034.
        let train = [1.0, 2.0, 3.0, 4.0];
        assert!((scaled(&train, Scaling::Standard, 4.0) - 1.5 / 1.118_034).abs() < 1e-6);
        assert_eq!(scaled(&train, Scaling::MinMax, 2.5), 0.5);
        assert_eq!(scaled(&train, Scaling::MinMax, 7.0), 2.0);
        assert!((scaled(&train, Scaling::Log, 3.0) - 4f32.ln()).abs() < 1e-6);
        assert!((scaled(&train, Scaling::Log, -3.0) + 4f32.ln()).abs() < 1e-6);
        assert_eq!(scaled(&train, Scaling::Keep, 9.0), 9.0);
        // ln 1 and ln 3: mean ln 3 / 2 and deviation ln 3 / 2, so 2 lies one deviation above.
        assert!((scaled(&[0.0, 2.0], Scaling::LogStandard, 2.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_constant_column_becomes_zero_and_what_is_no_number_the_mean() {
        assert_eq!(scaled(&[0.1, 0.1, 0.1], Scaling::Standard, 0.1), 0.0);
        assert_eq!(scaled(&[7.0, 7.0], Scaling::MinMax, 7.0), 0.0);
        let odd = [1.0, f32::NAN, f32::INFINITY, 3.0];
        assert_eq!(scaled(&odd, Scaling::Standard, 3.0), 1.0);
        assert_eq!(scaled(&odd, Scaling::Standard, f32::NAN), 0.0);
        assert_eq!(scaled(&odd, Scaling::MinMax, f32::NEG_INFINITY), 0.5);
        assert_eq!(scaled(&[f32::NAN], Scaling::Standard, 5.0), 5.0);
        assert_eq!(scaled(&[], Scaling::LogStandard, 0.0), 0.0);
        assert_eq!(scaled(&[0.0, 1e-30], Scaling::MinMax, 1e30), f32::MAX);
    }

    #[test]
    fn rows_outside_train_change_nothing_and_the_way_back_returns() {
        let train = TrainRows::of([0, 1, 2]);
        let kinds = [Scaling::Keep, Scaling::Standard, Scaling::Log, Scaling::LogStandard, Scaling::MinMax];
        let rows = |last: f32| {
            let values: Vec<f32> =
                [1.0, -5.0, 30.0, last].into_iter().flat_map(|x| vec![x; kinds.len()]).collect();
            Matrix::from_rows(4, kinds.len(), values)
        };
        let scaler = Scaler::fit(&rows(2.0), &train, &kinds);
        assert_eq!(scaler, Scaler::fit(&rows(1e9), &train, &kinds));
        let mut row = rows(2.0).row(1).to_vec();
        scaler.apply_row(&mut row);
        scaler.invert_row(&mut row);
        assert!(row.iter().all(|x| (x + 5.0).abs() < 1e-5), "{row:?}");
        let kept: Scaler = serde_json::from_str(&serde_json::to_string(&scaler).unwrap()).unwrap();
        assert_eq!(kept, scaler);
    }
}
