//! The rows that a transform may be fitted on. Every `fit` of this crate takes them, so none can forget the cut.

/// Rows of a table that lie before the cut. Only these are read when something is fitted; the fitted thing is
/// then applied to any row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainRows(Vec<u32>);

impl TrainRows {
    /// The rows whose time is strictly before `cut`; both in milliseconds since 1970. One time a row.
    pub fn before(times: &[i64], cut: i64) -> Self {
        Self((0..).zip(times).filter(|&(_, &time)| time < cut).map(|(row, _)| row).collect())
    }

    /// The rows that a split calls train: users or videos that occur in its train events, for example.
    /// Sorted, each once, so that no order of arrival shows in what is fitted.
    pub fn of(rows: impl IntoIterator<Item = u32>) -> Self {
        let mut rows: Vec<u32> = rows.into_iter().collect();
        rows.sort_unstable();
        rows.dedup();
        Self(rows)
    }

    /// All of `n_rows` rows, where none can be later than the cut: the table itself was written before it.
    pub fn all(n_rows: usize) -> Self {
        Self((0..n_rows as u32).collect())
    }

    /// The rows, ascending, each once.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.0.iter().map(|&row| row as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_at_the_cut_is_not_before_it() {
        assert_eq!(TrainRows::before(&[5, 10, 11, 9], 10), TrainRows::of([3, 0, 3]));
        assert_eq!(TrainRows::all(3), TrainRows::of([2, 1, 0]));
        assert!(TrainRows::before(&[10], 10).is_empty());
    }
}
