//! Outside ids, any strings, and the row numbers that stand for them inside.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A two-way table between outside ids and rows. Rows are given in order of arrival, from 0.
///
/// All text lies in one string, so a million ids cost their bytes and about 12 bytes each.
#[derive(Clone, Default)]
pub struct Names {
    text: String,
    ends: Vec<u32>,
    rows: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Names {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row of `name`, which is added if it is new.
    ///
    /// # Panics
    /// Beyond 4 GiB of text or 2^32 names; readers bound their input far below.
    pub fn intern(&mut self, name: &str) -> u32 {
        let hash = self.hasher.hash_one(name);
        let (text, ends) = (&self.text, &self.ends);
        if let Some(&row) = self.rows.find(hash, |&row| slice(text, ends, row) == name) {
            return row;
        }
        let row = u32::try_from(self.ends.len()).expect("fewer than 2^32 names");
        self.text.push_str(name);
        self.ends.push(u32::try_from(self.text.len()).expect("less than 4 GiB of names"));
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.rows.insert_unique(hash, row, |&row| hasher.hash_one(slice(text, ends, row)));
        row
    }

    /// The row of `name`, if it is known.
    pub fn row(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.rows.find(hash, |&row| slice(&self.text, &self.ends, row) == name).copied()
    }

    /// The name of a row.
    ///
    /// # Panics
    /// If the row is not in the table.
    pub fn name(&self, row: u32) -> &str {
        slice(&self.text, &self.ends, row)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All names, in the order of their rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len() as u32).map(|row| self.name(row))
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], row: u32) -> &'a str {
    let row = row as usize;
    let start = if row == 0 { 0 } else { ends[row - 1] };
    &text[start as usize..ends[row] as usize]
}

impl<'a> FromIterator<&'a str> for Names {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut table = Self::new();
        for name in names {
            table.intern(name);
        }
        table
    }
}

/// The text and where each name ends in it.
impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.text, &self.ends).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, ends) = <(String, Vec<u32>)>::deserialize(deserializer)?;
        let mut names = Self::new();
        let mut start = 0;
        for end in ends {
            let name = text.get(start..end as usize);
            let rows = names.len();
            names.intern(name.ok_or_else(|| D::Error::custom("a name ends outside the text"))?);
            if names.len() == rows {
                return Err(D::Error::custom("a name stands twice"));
            }
            start = end as usize;
        }
        Ok(names)
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_row_and_any_string_is_a_name() {
        let mut names = Names::new();
        let odd = ["", "a/b", "\u{0}", "影片", "a"];
        let rows: Vec<u32> = odd.iter().map(|n| names.intern(n)).collect();
        assert_eq!(rows, [0, 1, 2, 3, 4]);
        assert_eq!(names.intern("影片"), 3);
        assert_eq!(names.name(1), "a/b");
        assert_eq!(names.row("unknown"), None);
        assert_eq!(names.iter().collect::<Vec<_>>(), odd);
        let mut back: Names = serde_json::from_str(&serde_json::to_string(&names).unwrap()).unwrap();
        assert_eq!(back.intern("影片"), 3);
        assert_eq!(back.iter().collect::<Vec<_>>(), odd);
        for damaged in [r#"["ab",[1,9]]"#, r#"["ab",[2,1]]"#, r#"["aa",[1,2]]"#] {
            assert!(serde_json::from_str::<Names>(damaged).is_err(), "{damaged}");
        }
    }
}
