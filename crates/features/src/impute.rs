//! A value in place of what is missing, fitted on train rows, with a column that says so.

use serde::{Deserialize, Serialize};

use crate::{Table, TrainRows};

/// What stands in for a missing value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imputing {
    /// The median of the train rows; of an even number of values, the mean of the middle two.
    Median,
    /// The mean of the train rows.
    Mean,
    /// A fixed number.
    Constant(f32),
}

/// Fitted stand-ins, one a column. A column of which something was missing in the train rows gets a flag column
/// (as scikit-learn's `MissingIndicator`), 1 where the value was missing; the others would be constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imputer {
    fills: Vec<f32>,
    flagged: Vec<bool>,
}

impl Imputer {
    /// Fits on the train rows of a table. A column of which nothing is known is filled with 0.
    ///
    /// # Panics
    /// If a train row is not in the table.
    pub fn fit(table: &Table, train: &TrainRows, imputing: Imputing) -> Self {
        let n_columns = table.names.len();
        let (fills, flagged) = (0..n_columns)
            .map(|column| {
                let known: Vec<f32> = train.iter().filter_map(|row| known(table, row, column)).collect();
                let flagged = known.len() < train.len();
                (imputing.stand_in(known), flagged)
            })
            .unzip();
        Self { fills, flagged }
    }

    /// The table with stand-ins, then the flag columns, named `NAME_missing`. Which values were missing stays
    /// marked in the table's own flags.
    ///
    /// # Panics
    /// If the table has another number of columns than it was fitted on.
    pub fn apply(&self, table: &Table) -> Table {
        assert_eq!(table.names.len(), self.fills.len(), "as many columns as were fitted");
        let flags: Vec<usize> = (0..self.fills.len()).filter(|&column| self.flagged[column]).collect();
        let mut names = table.names.clone();
        names.extend(flags.iter().map(|&column| format!("{}_missing", table.names[column])));
        let n_rows = table.matrix.n_rows();
        let (mut values, mut missing) = (Vec::new(), Vec::new());
        for row in 0..n_rows {
            let of_row: Vec<Option<f32>> = (0..self.fills.len()).map(|c| known(table, row, c)).collect();
            values.extend(of_row.iter().zip(&self.fills).map(|(value, &fill)| value.unwrap_or(fill)));
            missing.extend(of_row.iter().map(Option::is_none));
            for &column in &flags {
                values.push(f32::from(u8::from(of_row[column].is_none())));
                missing.push(false);
            }
        }
        Table { matrix: upnext_math::Matrix::from_rows(n_rows, names.len(), values), names, missing }
    }

    /// What stands in for each column.
    pub fn fills(&self) -> &[f32] {
        &self.fills
    }
}

fn known(table: &Table, row: usize, column: usize) -> Option<f32> {
    let value = table.matrix.row(row)[column];
    (!table.missing_of(row)[column] && value.is_finite()).then_some(value)
}

impl Imputing {
    fn stand_in(self, mut known: Vec<f32>) -> f32 {
        match self {
            Self::Constant(value) => value,
            _ if known.is_empty() => 0.0,
            Self::Mean => (known.iter().map(|&x| f64::from(x)).sum::<f64>() / known.len() as f64) as f32,
            Self::Median => {
                known.sort_by(f32::total_cmp);
                let middle = known.len() / 2;
                if known.len() % 2 == 1 {
                    known[middle]
                } else {
                    ((f64::from(known[middle - 1]) + f64::from(known[middle])) / 2.0) as f32
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(last: f32) -> Table {
        let names = vec!["duration_seconds".to_string(), "fans".to_string()];
        let rows = [[8.0, 1.0], [f32::NAN, 2.0], [10.0, 3.0], [60.0, 6.0], [last, f32::NAN]];
        Table::from_values(names, rows.len(), rows.concat(), -1.0)
    }

    #[test]
    fn the_median_stands_in_and_a_flag_says_so() {
        // Durations 8, 10, 60: the middle is 10. Fans 1, 2, 3, 6: the middle two are 2 and 3.
        let imputer = Imputer::fit(&table(9e9), &TrainRows::of([0, 1, 2, 3]), Imputing::Median);
        assert_eq!(imputer.fills(), [10.0, 2.5]);
        let full = imputer.apply(&table(f32::NAN));
        assert_eq!(full.names, ["duration_seconds", "fans", "duration_seconds_missing"]);
        assert_eq!(full.matrix.row(1), [10.0, 2.0, 1.0]);
        assert_eq!(full.matrix.row(4), [10.0, 2.5, 1.0]);
        assert_eq!(full.matrix.row(0), [8.0, 1.0, 0.0]);
        assert_eq!(full.missing_of(4), [true, true, false]);
    }

    #[test]
    fn a_row_outside_train_changes_nothing() {
        let train = TrainRows::of([0, 1, 2, 3]);
        for imputing in [Imputing::Median, Imputing::Mean, Imputing::Constant(5.0)] {
            let fitted = Imputer::fit(&table(1.0), &train, imputing);
            assert_eq!(fitted, Imputer::fit(&table(f32::INFINITY), &train, imputing));
            let kept: Imputer = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
            assert_eq!(kept, fitted);
        }
        assert_eq!(Imputer::fit(&table(1.0), &train, Imputing::Mean).fills(), [26.0, 3.0]);
        let nothing = Imputer::fit(&table(1.0), &TrainRows::of([1]), Imputing::Median);
        assert_eq!(nothing.fills(), [0.0, 2.0]);
    }
}
