//! From a table to what a model takes: stand-ins for what is missing, one scale, fewer columns; each fitted on
//! train rows alone.

use crate::impute::{Imputer, Imputing};
use crate::pca::{Keep, Pca};
use crate::scale::{Scaler, Scaling};
use crate::{Table, TrainRows};

/// What is done to a table, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preparation {
    /// What stands in for a missing value; without it, missing stays missing.
    pub imputing: Option<Imputing>,
    /// The scale of every column.
    pub scaling: Scaling,
    /// The share of the variance that principal components keep; without it, the columns stay.
    pub variance: Option<f32>,
}

/// What principal components made of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduced {
    /// Columns before.
    pub from: usize,
    /// Components, which stand in their place.
    pub to: usize,
    /// The share of the variance that they explain.
    pub variance: f32,
}

impl Preparation {
    /// Fits on the train rows and applies to all. Flags of what was missing are neither scaled nor reduced. Where
    /// nothing stands in, a missing value counts as its column's mean among components.
    ///
    /// # Panics
    /// If a train row is not in the table.
    pub fn apply(&self, mut table: Table, train: &TrainRows) -> (Table, Option<Reduced>) {
        let n_columns = table.names.len();
        let mut flags = Table::default();
        if let Some(imputing) = self.imputing {
            let full = Imputer::fit(&table, train, imputing).apply(&table);
            (table, flags) = halves(&full, n_columns);
        }
        let mut missing = table.missing.iter();
        let n_rows = table.matrix.n_rows();
        // A scaler leaves out what is not finite, and so must not see what stands for missing.
        let known = |value: f32, missing: bool| if missing { f32::NAN } else { value };
        for value in table.matrix.values_mut() {
            *value = known(*value, *missing.next().expect("a flag for each value"));
        }
        if self.scaling != Scaling::Keep {
            Scaler::fit_alike(&table.matrix, train, self.scaling).apply(&mut table.matrix);
        }
        let reduced = self.variance.map(|share| {
            let pca = Pca::fit(&table.matrix, train, Keep::Share(share));
            let matrix = pca.apply(&table.matrix);
            let to = pca.n_components();
            let names = (0..to).map(|at| format!("pca.{at}")).collect();
            table = Table { names, matrix, missing: vec![false; n_rows * to] };
            Reduced { from: n_columns, to, variance: pca.ratios().iter().sum() }
        });
        (beside(table, &flags), reduced)
    }
}

/// The first columns, and the others; with nothing missing any more.
fn halves(table: &Table, n_first: usize) -> (Table, Table) {
    let part = |range: std::ops::Range<usize>| {
        let n_rows = table.matrix.n_rows();
        let values = (0..n_rows).flat_map(|row| table.matrix.row(row)[range.clone()].to_vec()).collect();
        Table::from_values(table.names[range.clone()].to_vec(), n_rows, values, 0.0)
    };
    (part(0..n_first), part(n_first..table.names.len()))
}

fn beside(table: Table, flags: &Table) -> Table {
    let n_rows = table.matrix.n_rows();
    let values = (0..n_rows).flat_map(|row| {
        let of_row = table.matrix.row(row).iter().zip(table.missing_of(row));
        let mut values: Vec<f32> = of_row.map(|(&x, &missing)| if missing { f32::NAN } else { x }).collect();
        if !flags.names.is_empty() {
            values.extend(flags.matrix.row(row));
        }
        values
    });
    let values = values.collect();
    Table::from_values([table.names, flags.names.clone()].concat(), n_rows, values, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second column is twice the first, the third is known of one row only.
    fn table(last: f32) -> Table {
        let x = f32::NAN;
        let values = vec![1.0, 2.0, 5.0, 2.0, 4.0, x, 3.0, 6.0, x, last, 2.0 * last, x];
        Table::from_values(["a", "b", "c"].map(String::from).to_vec(), 4, values, 0.0)
    }

    #[test]
    fn columns_that_say_one_thing_become_one_component_and_flags_stay() {
        let all = Preparation {
            imputing: Some(Imputing::Median),
            scaling: Scaling::Standard,
            variance: Some(0.95),
        };
        let (prepared, reduced) = all.apply(table(4.0), &TrainRows::all(3));
        let reduced = reduced.unwrap();
        assert_eq!((reduced.from, reduced.to), (3, 1));
        assert!(reduced.variance > 0.999);
        assert_eq!(prepared.names, ["pca.0", "c_missing"]);
        assert_eq!(prepared.get(2, "c_missing"), Some(1.0));
        // What is fitted does not know the last row.
        let (other, _) = all.apply(table(1e6), &TrainRows::all(3));
        assert_eq!(prepared.matrix.row(1), other.matrix.row(1));
    }

    #[test]
    fn without_stand_ins_what_is_missing_stays_so_and_weighs_nothing() {
        let scaled = Preparation { imputing: None, scaling: Scaling::MinMax, variance: None };
        let (prepared, reduced) = scaled.apply(table(4.0), &TrainRows::all(3));
        assert_eq!(reduced, None);
        assert_eq!((prepared.get(0, "a"), prepared.get(3, "b")), (Some(0.0), Some(1.5)));
        assert_eq!((prepared.get(0, "c"), prepared.get(1, "c")), (Some(0.0), None));
        let as_it_is = Preparation { scaling: Scaling::Keep, ..scaled };
        assert_eq!(as_it_is.apply(table(4.0), &TrainRows::all(3)).0, table(4.0));
    }
}
