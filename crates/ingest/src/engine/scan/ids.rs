//! Outside ids of one range as rows of its own.

use std::ops::Range;

use hashbrown::HashTable;

use super::digits::{short_whole, word_of};
use crate::source::text;

/// Ids that are whole numbers below this are looked up by number.
pub(super) const NUMBERED_MAX: u64 = 1 << 18;

/// Outside ids of one range.
#[derive(Default)]
pub(super) struct Ids {
    text: String,
    ends: Vec<u32>,
    /// Rows of ids that are no small whole numbers.
    table: HashTable<u32>,
    /// For each small whole number its row and one, or 0.
    numbered: Vec<u32>,
    last: u32,
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
    pub(super) fn row(&mut self, Id { text: id, number }: Id) -> u32 {
        if let Some(number) = number {
            if number >= self.numbered.len() {
                self.numbered.resize((number + 1).next_power_of_two().max(1_024), 0);
            }
            if self.numbered[number] == 0 {
                self.numbered[number] = self.add(id) + 1;
            }
            return self.numbered[number] - 1;
        }
        // Logs often come by user.
        if !self.ends.is_empty() && slice(&self.text, &self.ends, self.last).as_bytes() == id {
            return self.last;
        }
        let hash = hash(id);
        let (text, ends) = (&self.text, &self.ends);
        let found = self.table.find(hash, |&row| slice(text, ends, row).as_bytes() == id).copied();
        self.last = found.unwrap_or_else(|| {
            let row = self.add(id);
            let (text, ends) = (&self.text, &self.ends);
            self.table.insert_unique(hash, row, |&row| self::hash(slice(text, ends, row).as_bytes()));
            row
        });
        self.last
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.table.clear();
        self.numbered.fill(0);
        self.last = 0;
    }

    pub(super) fn add(&mut self, id: &[u8]) -> u32 {
        self.text.push_str(&text(id));
        self.ends.push(self.text.len() as u32);
        self.ends.len() as u32 - 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|row| slice(&self.text, &self.ends, row))
    }
}

pub(super) fn slice<'a>(text: &'a str, ends: &[u32], row: u32) -> &'a str {
    let row = row as usize;
    let start = if row == 0 { 0 } else { ends[row - 1] };
    &text[start as usize..ends[row] as usize]
}

/// The number that an id is written as, where no other id is the same number.
pub(super) fn small_number(bytes: &[u8], span: Range<usize>) -> Option<usize> {
    let (start, n) = (span.start, span.len());
    if n == 0 || n > 6 || (bytes[start] == b'0' && n > 1) {
        return None;
    }
    short_whole(bytes, span).filter(|&number| number < NUMBERED_MAX).map(|number| number as usize)
}

/// Quick, and good enough for the few thousand ids of one range. An id made to collide costs time alone, and is
/// checked against the seeded table of the set afterwards.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
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
        assert!(ids.iter().eq(["7", "07", "a", "0", "262144", "00"]));
    }
}
