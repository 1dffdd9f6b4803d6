//! Which rows may be found.

use crate::ROWS_MAX;

/// A filter of a search.
#[derive(Clone, Copy, Default)]
pub enum Allow<'a> {
    /// Every row.
    #[default]
    All,
    /// Rows of a set.
    Bitmap(&'a Bitmap),
    /// These rows, in any order; rows that are not there are passed over.
    Rows(&'a [u32]),
    /// Rows that are answered yes. It is asked within the scan, for rows that would be found: seldom where most are allowed,
    /// about once a row where nearly none is.
    Predicate(&'a (dyn Fn(u32) -> bool + Sync)),
}

impl std::fmt::Debug for Allow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Bitmap(set) => write!(f, "Bitmap({} rows)", set.len()),
            Self::Rows(rows) => write!(f, "Rows({} rows)", rows.len()),
            Self::Predicate(_) => f.write_str("Predicate"),
        }
    }
}

/// A set of rows, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u32>,
    n: usize,
}

impl Bitmap {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// From bits, the lowest row in the lowest bit of the first word.
    pub fn from_words(words: impl Iterator<Item = u64>) -> Self {
        let words: Vec<u32> = (words.flat_map(|word| [word as u32, (word >> 32) as u32]))
            .take(ROWS_MAX as usize / 32)
            .collect();
        Self { n: words.iter().map(|word| word.count_ones() as usize).sum(), words }
    }

    /// Adds a row. Rows that no index can have are passed over.
    pub fn insert(&mut self, row: u32) {
        if row >= ROWS_MAX {
            return;
        }
        let (word, bit) = (row as usize / 32, 1 << (row % 32));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.n += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Takes a row away.
    pub fn remove(&mut self, row: u32) {
        let bit = 1 << (row % 32);
        if let Some(word) = self.words.get_mut(row as usize / 32) {
            self.n -= usize::from(*word & bit != 0);
            *word &= !bit;
        }
    }

    /// Whether a row is in it.
    pub fn contains(&self, row: u32) -> bool {
        self.words.get(row as usize / 32).is_some_and(|word| word >> (row % 32) & 1 == 1)
    }

    /// How many rows are in it.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The rows, ascending.
    pub fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0u32..).flat_map(|(&word, at)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    32 * at + bit
                })
            })
        })
    }

    /// The bits, the lowest row in the lowest bit of the first word.
    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }
}

impl FromIterator<u32> for Bitmap {
    fn from_iter<T: IntoIterator<Item = u32>>(rows: T) -> Self {
        let mut set = Self::new();
        rows.into_iter().for_each(|row| set.insert(row));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_counts_a_row_once_and_lists_rows_ascending() {
        let mut set: Bitmap = [70, 3, 3, 31, 32, u32::MAX].into_iter().collect();
        assert_eq!((set.len(), set.rows().collect::<Vec<_>>()), (4, vec![3, 31, 32, 70]));
        set.remove(31);
        set.remove(31);
        set.remove(9_999);
        assert_eq!((set.len(), set.contains(31), set.contains(70)), (3, false, true));
        let set = Bitmap::from_words([1 | 1 << 40, 1 << 63].into_iter());
        assert_eq!((set.len(), set.rows().collect::<Vec<_>>()), (3, vec![0, 40, 127]));
    }
}
