//! Categories as rows of a table or as columns: vocabularies that grow, and hashes that need none.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use upnext_data::Column;
use upnext_math::seed::mix;

use crate::TrainRows;

/// The values of one category, each with a row that it keeps for ever: a learnt vector beside it stays right when
/// values arrive later. Row [`Vocabulary::OTHER`] stands for every value that has no row of its own.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Vocabulary {
    values: Vec<String>,
    rows: HashMap<String, u32>,
}

impl Vocabulary {
    /// The row of values that are unknown or too rare.
    pub const OTHER: u32 = 0;

    /// The values that occur at least `count_min` times in the train rows; `None` where nothing is known. The
    /// most frequent get the first rows; equal ones stand in the order of their names.
    ///
    /// # Panics
    /// If a train row is not among the values.
    pub fn fit(values: &[Option<&str>], train: &TrainRows, count_min: usize) -> Self {
        let mut vocabulary = Self::default();
        vocabulary.extend(values, train, count_min);
        vocabulary
    }

    /// Adds the values of further train rows that have no row yet and are frequent enough; old rows stay.
    ///
    /// # Panics
    /// If a train row is not among the values.
    pub fn extend(&mut self, values: &[Option<&str>], train: &TrainRows, count_min: usize) {
        self.extend_many(train.iter().filter_map(|row| values[row]), count_min);
    }

    /// The same for values that were gathered from train rows already, several a row for example.
    pub(crate) fn extend_many<'a>(&mut self, values: impl Iterator<Item = &'a str>, count_min: usize) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        values.for_each(|value| *counts.entry(value).or_default() += 1);
        let mut frequent: Vec<(&str, usize)> =
            counts.into_iter().filter(|&(_, count)| count >= count_min).collect();
        frequent.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        frequent.into_iter().for_each(|(value, _)| {
            self.grow(value, usize::MAX);
        });
    }

    /// The row of a value, which is added at the end while there are fewer than `rows_max` rows; else
    /// [`Vocabulary::OTHER`].
    pub fn grow(&mut self, value: &str, rows_max: usize) -> u32 {
        if let Some(&row) = self.rows.get(value) {
            return row;
        }
        if self.len() >= rows_max.min(u32::MAX as usize) {
            return Self::OTHER;
        }
        let row = self.len() as u32;
        self.values.push(value.into());
        self.rows.insert(value.into(), row);
        row
    }

    /// The row of a value, or [`Vocabulary::OTHER`].
    pub fn row(&self, value: &str) -> u32 {
        self.rows.get(value).copied().unwrap_or(Self::OTHER)
    }

    /// How many rows there are, the one for others included.
    pub fn len(&self) -> usize {
        self.values.len() + 1
    }

    /// Whether it knows no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The known values, in the order of their rows, from row 1.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }

    /// The names of the one-hot columns: `KIND=other`, then `KIND=VALUE`.
    pub fn columns<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = String> + 'a {
        std::iter::once("other").chain(self.values()).map(move |value| format!("{kind}={value}"))
    }

    /// One-hot: appends one column a row, 1 in that of the value. Where nothing is known all are 0, unlike a value
    /// that is known and rare.
    pub fn one_hot(&self, value: Option<&str>, out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.len(), 0.0);
        if let Some(value) = value {
            out[start + self.row(value) as usize] = 1.0;
        }
    }
}

impl From<Vec<String>> for Vocabulary {
    fn from(values: Vec<String>) -> Self {
        let mut vocabulary = Self::default();
        values.iter().for_each(|value| {
            vocabulary.grow(value, usize::MAX);
        });
        vocabulary
    }
}

impl From<Vocabulary> for Vec<String> {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.values
    }
}

/// The values of a column of categories or texts, one a row; `None` for a column of numbers.
pub fn values_of(column: &Column) -> Option<Vec<Option<&str>>> {
    match column {
        Column::Number(_) => None,
        Column::Category { codes, values } => {
            let value = |&code: &u32| (code != Column::MISSING).then(|| values.name(code));
            Some(codes.iter().map(value).collect())
        }
        Column::Text(texts) => {
            Some(texts.iter().map(|text| (!text.is_empty()).then_some(text.as_str())).collect())
        }
    }
}

/// Categories by hash, for values too many to list: no vocabulary to keep, and some share a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// How many rows; more make fewer values share one.
    pub rows: u32,
    /// Part of the model: another seed gives other rows.
    pub seed: u64,
}

/// What sharing rows costs. Of `n` values in `m` rows `m (1 - (1 - 1/m)^n)` rows are used on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Collisions {
    /// Distinct values.
    pub values: usize,
    /// Rows that hold at least one.
    pub rows_used: usize,
    /// Values that share their row with another.
    pub values_sharing: usize,
}

impl Hashed {
    /// The row of a value, the same on every machine and in every release.
    pub fn row(&self, value: &str) -> u32 {
        // The high bits, by multiplication, so that any number of rows is met evenly (Lemire 2019).
        ((u128::from(hash(value, self.seed)) * u128::from(self.rows.max(1))) >> 64) as u32
    }

    /// How many of the values share a row.
    pub fn collisions<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Collisions {
        let distinct: std::collections::HashSet<&str> = values.into_iter().collect();
        let mut held: HashMap<u32, usize> = HashMap::new();
        distinct.iter().for_each(|value| *held.entry(self.row(value)).or_default() += 1);
        let values_sharing = held.values().filter(|&&n| n > 1).sum();
        Collisions { values: distinct.len(), rows_used: held.len(), values_sharing }
    }
}

/// 64 well mixed bits of a text, the same on every machine and in every release.
pub(crate) fn hash(text: &str, seed: u64) -> u64 {
    let start = mix(seed ^ (text.len() as u64).rotate_left(32));
    text.as_bytes().chunks(8).fold(start, |state, bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        mix(state ^ u64::from_le_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGUAGES: [Option<&str>; 7] =
        [Some("zh"), Some("en"), Some("zh"), None, Some("de"), Some("en"), Some("fr")];

    #[test]
    fn rare_and_later_values_are_other_and_one_hot_by_hand() {
        // In the first six rows zh and en occur twice, de once; fr comes after the cut.
        let train = TrainRows::all(6);
        let vocabulary = Vocabulary::fit(&LANGUAGES, &train, 2);
        assert_eq!(vocabulary.values().collect::<Vec<_>>(), ["en", "zh"]);
        assert_eq!(vocabulary.columns("language").last().as_deref(), Some("language=zh"));
        assert_eq!(vocabulary.row("fr"), Vocabulary::OTHER);
        let mut row = Vec::new();
        for value in [Some("zh"), Some("de"), None] {
            vocabulary.one_hot(value, &mut row);
        }
        assert_eq!(row, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_vocabulary_grows_at_the_end_and_no_row_moves() {
        let mut vocabulary = Vocabulary::fit(&LANGUAGES, &TrainRows::all(6), 2);
        assert_eq!(vocabulary.grow("fr", 4), 3);
        assert_eq!(vocabulary.grow("it", 4), Vocabulary::OTHER);
        assert_eq!(vocabulary.grow("fr", 4), 3);
        // A year later zh is rarer than de; it keeps its row all the same.
        vocabulary.extend(&[Some("de"), Some("de"), Some("zh")], &TrainRows::all(3), 2);
        assert_eq!(vocabulary.values().collect::<Vec<_>>(), ["en", "zh", "fr", "de"]);
        let kept: Vocabulary = serde_json::from_str(&serde_json::to_string(&vocabulary).unwrap()).unwrap();
        assert_eq!(kept, vocabulary);
        assert_eq!(kept.row("de"), 4);
    }

    #[test]
    fn hashed_rows_are_fixed_and_their_collisions_counted() {
        let hashed = Hashed { rows: 1000, seed: 7 };
        // Fixed for ever, since a saved model relies on them; the same numbers came from a few lines of Python.
        let rows = ["", "a", "影片", "a longer value"].map(|value| hashed.row(value));
        assert_eq!(rows, [389, 882, 886, 328]);
        let values: Vec<String> = (0..1000).map(|at| format!("video-{at}")).collect();
        let found = hashed.collisions(values.iter().chain(&values).map(String::as_str));
        // 1000 (1 - 0.999^1000) = 632 rows are used on average, with a deviation near 10; a value is alone with
        // probability 0.999^999 = 0.368.
        assert_eq!(found.values, 1000);
        assert!((590..675).contains(&found.rows_used), "{found:?}");
        assert!((570..695).contains(&found.values_sharing), "{found:?}");
        let few = Hashed { rows: 1, seed: 7 }.collisions(["a", "b", "c"]);
        assert_eq!(few, Collisions { values: 3, rows_used: 1, values_sharing: 3 });
        assert_eq!(Hashed { rows: 0, seed: 7 }.row("a"), 0);
    }

    #[test]
    fn a_column_gives_its_values() {
        let codes = vec![1, Column::MISSING];
        let column = Column::Category { codes, values: ["m", "f"].into_iter().collect() };
        assert_eq!(values_of(&column).unwrap(), [Some("f"), None]);
        assert_eq!(values_of(&Column::Text(vec![String::new(), "x".into()])).unwrap(), [None, Some("x")]);
        assert!(values_of(&Column::Number(vec![1.0])).is_none());
    }
}
