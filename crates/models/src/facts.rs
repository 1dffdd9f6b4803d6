//! What is known of users and videos beside their events.

use upnext_features::prepare::Preparation;
use upnext_features::scale::Scaling;
use upnext_features::{Table, TrainRows};
use upnext_math::Matrix;

/// Facts, or what was counted before the first question; nothing that a question asks for.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// One row a user.
    pub users: Option<Table>,
    /// One row a video.
    pub videos: Option<Table>,
    /// Embeddings of videos, one modality after another: text, image, sound.
    pub vectors: Vec<Modality>,
    /// Values of each video, numbered from 0 within the kind: of labels `kind:value`.
    pub labels: Vec<(String, Vec<Vec<u32>>)>,
    /// Lengths of videos in seconds, where known; empty where none is.
    pub seconds: Vec<Option<f32>>,
}

/// Embeddings of one kind, one row a video.
#[derive(Clone, Debug)]
pub struct Modality {
    /// What they are called in the run: `text`, `image`.
    pub name: String,
    /// `(videos, dimensions)`; zeros where there is none.
    pub matrix: Matrix,
    /// Whether each video has one.
    pub present: Vec<bool>,
}

/// A table as a network reads it: one scale, the column's mean (0) where nothing is known, fewer columns where a share of
/// the variance is enough. Fitted on the rows that occur in training.
pub(crate) fn prepared(
    table: Option<&Table>,
    n_rows: usize,
    seen: impl IntoIterator<Item = u32>,
    variance: f32,
) -> Matrix {
    let Some(table) = table.filter(|table| table.matrix.n_rows() == n_rows && !table.names.is_empty()) else {
        return Matrix::zeros(n_rows, 0);
    };
    let variance = (variance > 0.0).then_some(variance);
    let preparation = Preparation { imputing: None, scaling: Scaling::Standard, variance };
    let (table, _) = preparation.apply(table.clone(), &TrainRows::of(seen));
    table.matrix
}

/// Each column of a table as numbered buckets, one number space for all: `(rows, columns)` of numbers below the count. A
/// column with few values has one bucket each, another so many of about equal size among the rows that occur in training;
/// what is not known has a bucket of its own.
pub(crate) fn bucketed(
    table: Option<&Table>,
    n_rows: usize,
    seen: impl IntoIterator<Item = u32>,
    n_buckets: usize,
) -> (Vec<Vec<u32>>, usize) {
    let Some(table) = table.filter(|table| table.matrix.n_rows() == n_rows) else {
        return (vec![Vec::new(); n_rows], 0);
    };
    let seen = TrainRows::of(seen);
    let n_columns = table.names.len();
    let mut rows = vec![Vec::with_capacity(n_columns); n_rows];
    let mut first = 0;
    for column in 0..n_columns {
        let known =
            |row: usize| (!table.missing[row * n_columns + column]).then(|| table.matrix.row(row)[column]);
        let mut values: Vec<f32> = seen.iter().filter_map(known).collect();
        values.sort_unstable_by(f32::total_cmp);
        let mut borders = values.clone();
        borders.dedup();
        if borders.len() > n_buckets {
            borders = (0..n_buckets).map(|at| values[at * values.len() / n_buckets]).collect();
            borders.dedup();
        }
        for (row, buckets) in rows.iter_mut().enumerate() {
            // 0 is unknown, 1 is below all that training has seen.
            let bucket = known(row).map_or(0, |x| 1 + borders.partition_point(|&border| border <= x) as u32);
            buckets.push(first + bucket);
        }
        first += borders.len() as u32 + 2;
    }
    (rows, first as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_a_bucket_each_many_share_and_the_unknown_stands_apart() {
        let names = vec!["few".to_string(), "many".to_string()];
        let values = (0..40).flat_map(|row| [if row == 7 { f32::NAN } else { (row % 2) as f32 }, row as f32]);
        let table = Table::from_values(names, 40, values.collect(), 0.0);
        let (rows, n) = bucketed(Some(&table), 40, 0..40, 4);
        // Unknown, below, 0, 1; then unknown, below and four buckets.
        assert_eq!(n, 4 + 6);
        assert_eq!((rows[0][0], rows[1][0], rows[7][0]), (2, 3, 0));
        let many: Vec<u32> = [0, 9, 10, 20, 39].iter().map(|&row: &usize| rows[row][1]).collect();
        assert_eq!(many, [6, 6, 7, 8, 9]);
        assert_eq!(bucketed(None, 3, 0..3, 4), (vec![Vec::new(); 3], 0));
    }
}
