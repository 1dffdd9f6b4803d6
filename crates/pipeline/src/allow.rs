//! Which rows a source may return: a bit for each row.

use std::sync::Arc;

/// The rows that are permitted, known before anything is retrieved, so that an answer is full. A clone shares the bits until one of
/// them changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    words: Arc<Vec<u64>>,
    n_rows: usize,
    n_permitted: usize,
}

impl Allow {
    /// Every one of `n_rows`.
    pub fn all(n_rows: usize) -> Self {
        let mut words = vec![u64::MAX; n_rows.div_ceil(64)];
        let beyond = words.len() * 64 - n_rows;
        if let Some(last) = words.last_mut() {
            *last >>= beyond;
        }
        Self { words: Arc::new(words), n_rows, n_permitted: n_rows }
    }

    /// None of `n_rows`.
    pub fn none(n_rows: usize) -> Self {
        Self { words: Arc::new(vec![0; n_rows.div_ceil(64)]), n_rows, n_permitted: 0 }
    }

    /// Whether a row is permitted; a row beyond the end is not.
    pub fn admits(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Takes a row out.
    pub fn refuse(&mut self, row: u32) {
        if self.admits(row) {
            Arc::make_mut(&mut self.words)[row as usize / 64] &= !(1 << (row % 64));
            self.n_permitted -= 1;
        }
    }

    /// Lets a row in, if there is such a row.
    pub fn permit(&mut self, row: u32) {
        if (row as usize) < self.n_rows && !self.admits(row) {
            Arc::make_mut(&mut self.words)[row as usize / 64] |= 1 << (row % 64);
            self.n_permitted += 1;
        }
    }

    /// Takes out what `other` does not permit.
    pub fn keep_only(&mut self, other: &Self) {
        self.change(other, |word, other| word & other);
    }

    /// Takes out what `other` permits.
    pub fn take_out(&mut self, other: &Self) {
        self.change(other, |word, other| word & !other);
    }

    /// Lets in what `other` permits; both are of as many rows.
    pub fn join(&mut self, other: &Self) {
        self.change(other, |word, other| word | other);
    }

    fn change(&mut self, other: &Self, change: impl Fn(u64, u64) -> u64) {
        let words = Arc::make_mut(&mut self.words);
        words.iter_mut().zip(other.words.iter()).for_each(|(word, &other)| *word = change(*word, other));
        self.n_permitted = words.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// The bits, the lowest row in the lowest bit of the first word.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.words.iter().copied()
    }

    /// How many rows there are, permitted or not.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// How many rows are permitted.
    pub fn count(&self) -> usize {
        self.n_permitted
    }

    /// The permitted row at a place among them, from 0.
    pub fn nth(&self, place: usize) -> Option<u32> {
        let mut left = place;
        for (at, &word) in self.words.iter().enumerate() {
            let ones = word.count_ones() as usize;
            if left < ones {
                return bits(std::iter::once(word)).nth(left).map(|bit| at as u32 * 64 + bit);
            }
            left -= ones;
        }
        None
    }

    /// The permitted rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        bits(self.words.iter().copied())
    }

    /// The rows permitted here and not in `later`, in order.
    pub fn lost_in<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let kept = later.words.iter().copied().chain(std::iter::repeat(0));
        bits(self.words.iter().zip(kept).map(|(word, kept)| word & !kept))
    }
}

/// The places of ones, in order.
fn bits(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    words.zip(0u32..).flat_map(|(word, at)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                at * 64 + bit
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_admits_every_row_and_none_beyond() {
        for n in [0, 1, 63, 64, 65, 130] {
            let allow = Allow::all(n);
            assert_eq!(allow.count(), n);
            assert_eq!(allow.rows().collect::<Vec<_>>(), (0..n as u32).collect::<Vec<_>>());
            assert!(!allow.admits(n as u32));
        }
    }

    #[test]
    fn a_refused_row_is_named_as_lost() {
        let before = Allow::all(70);
        let mut after = before.clone();
        after.refuse(3);
        after.refuse(69);
        after.refuse(9_999);
        assert_eq!(before.lost_in(&after).collect::<Vec<_>>(), [3, 69]);
        assert_eq!(
            (after.nth(2), after.nth(3), after.nth(67), after.nth(68)),
            (Some(2), Some(4), Some(68), None)
        );
        after.permit(3);
        after.permit(70);
        assert_eq!(after.count(), 69);
    }

    #[test]
    fn sets_are_joined_met_and_taken_from_each_other() {
        let of = |rows: &[u32]| {
            let mut allow = Allow::none(70);
            rows.iter().for_each(|&row| allow.permit(row));
            allow
        };
        let (mut met, mut joined, mut less) = (of(&[1, 2, 69]), of(&[1, 2, 69]), of(&[1, 2, 69]));
        met.keep_only(&of(&[2, 3]));
        joined.join(&of(&[2, 3]));
        less.take_out(&of(&[2, 3]));
        assert_eq!((met, joined, less), (of(&[2]), of(&[1, 2, 3, 69]), of(&[1, 69])));
    }
}
