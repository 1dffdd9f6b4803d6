//! Outside ids of one range as rows of its own.

use std::convert::Infallible;
use std::ops::Range;

use hashbrown::HashTable;

use super::digits::short_whole;
use crate::row_hash::{ODD, word_of};
use crate::source::text;

/// Ids that are whole numbers below this are looked up by number.
const NUMBERED_MAX: u32 = 1 << 18;

/// Outside ids of one range. Those that are small whole numbers are kept as such.
#[derive(Default)]
pub(super) struct Ids {
    /// For each row its number, or [`NUMBERED_MAX`] and its place among the texts.
    rows: Vec<u32>,
    text: String,
    ends: Vec<u32>,
    /// Rows of texts.
    table: HashTable<u32>,
    numbered: ByNumber,
    last: u32,
}

/// Rows of small whole numbers.
#[derive(Default)]
pub(super) struct ByNumber(
    /// For each number its row and one, or 0.
    Vec<u32>,
);

impl ByNumber {
    /// The row of a number; what is new gets one.
    pub(super) fn row<E>(&mut self, number: usize, new: impl FnOnce() -> Result<u32, E>) -> Result<u32, E> {
        if number >= self.0.len() {
            self.0.resize((number + 1).next_power_of_two().max(1_024), 0);
        }
        if self.0[number] == 0 {
            self.0[number] = new()? + 1;
        }
        Ok(self.0[number] - 1)
    }
}

/// An outside id as it is kept.
pub(super) enum Outside<'a> {
    Number(usize),
    Text(&'a str),
}

/// An outside id, and the number that it is, where no other id is the same.
#[derive(Clone, Copy)]
pub(super) struct Id<'a> {
    pub(super) text: &'a [u8],
    pub(super) number: Option<usize>,
}

impl<'a> Id<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { text, number: small_number(text, 0..text.len()) }
    }
}

impl Ids {
    #[inline(always)]
    pub(super) fn row(&mut self, Id { text: id, number }: Id) -> u32 {
        if let Some(number) = number {
            let rows = &mut self.rows;
            let Ok::<_, Infallible>(row) = self.numbered.row(number, || {
                rows.push(number as u32);
                Ok(rows.len() as u32 - 1)
            });
            return row;
        }
        let (text, ends, rows) = (&self.text, &self.ends, &self.rows);
        let bytes_of = |row: u32| slice(text, ends, rows[row as usize] - NUMBERED_MAX).as_bytes();
        // Logs often come by user.
        if !ends.is_empty() && bytes_of(self.last) == id {
            return self.last;
        }
        let hash = hash(id);
        let found = self.table.find(hash, |&row| bytes_of(row) == id).copied();
        self.last = found.unwrap_or_else(|| {
            let row = self.add(id);
            let (text, ends, rows) = (&self.text, &self.ends, &self.rows);
            let bytes_of = |row: u32| slice(text, ends, rows[row as usize] - NUMBERED_MAX).as_bytes();
            self.table.insert_unique(hash, row, |&row| self::hash(bytes_of(row)));
            row
        });
        self.last
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.text.clear();
        self.ends.clear();
        self.table.clear();
        self.numbered.0.fill(0);
        self.last = 0;
    }

    fn add(&mut self, id: &[u8]) -> u32 {
        self.rows.push(NUMBERED_MAX + self.ends.len() as u32);
        self.text.push_str(&text(id));
        self.ends.push(self.text.len() as u32);
        self.rows.len() as u32 - 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Outside<'_>> {
        self.rows.iter().map(|&row| match row.checked_sub(NUMBERED_MAX) {
            None => Outside::Number(row as usize),
            Some(at) => Outside::Text(slice(&self.text, &self.ends, at)),
        })
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], row: u32) -> &'a str {
    let row = row as usize;
    let start = if row == 0 { 0 } else { ends[row - 1] };
    &text[start as usize..ends[row] as usize]
}

/// The number that an id is written as, where no other id is the same number.
#[inline(always)]
pub(super) fn small_number(bytes: &[u8], span: Range<usize>) -> Option<usize> {
    let (start, n) = (span.start, span.len());
    if n == 0 || n > 6 || (bytes[start] == b'0' && n > 1) {
        return None;
    }
    short_whole(bytes, span).filter(|&number| number < u64::from(NUMBERED_MAX)).map(|number| number as usize)
}

/// Quick, and good enough for the few thousand ids of one range. An id made to collide costs time alone, and is
/// checked against the seeded table of the set afterwards.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(ODD);
        hash ^= hash >> 32;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    mix(word_of(rest));
    hash.wrapping_mul(ODD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_written_differently_are_different() {
        let mut ids = Ids::default();
        let rows =
            ["7", "07", "a", "7", "0", "262144", "00", "07", "a"].map(|id| ids.row(Id::of(id.as_bytes())));
        assert_eq!(rows, [0, 1, 2, 0, 3, 4, 5, 1, 2]);
        let outside = ids.iter().map(|id| match id {
            Outside::Number(number) => format!("number {number}"),
            Outside::Text(text) => text.to_string(),
        });
        assert!(outside.eq(["number 7", "07", "a", "number 0", "262144", "00"]));
    }
}
