//! What is known of each user or video beyond ids and labels: named columns of numbers, categories and texts.

use serde::{Deserialize, Serialize};

use crate::Names;

/// One column, with a value for each row or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Column {
    /// Numbers; NaN where nothing is known.
    Number(Vec<f32>),
    /// One of several values each.
    Category {
        /// Rows of `values`; [`Column::MISSING`] where nothing is known.
        codes: Vec<u32>,
        /// The values in order of arrival.
        values: Names,
    },
    /// Free text; empty where nothing is known.
    Text(Vec<String>),
}

impl Column {
    /// The code of a category that is not known.
    pub const MISSING: u32 = u32::MAX;

    /// How many rows it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Category { codes, .. } => codes.len(),
            Self::Text(texts) => texts.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Columns by name, in order of arrival; all have one value a row of the table they belong to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Attributes {
    columns: Vec<(String, Column)>,
}

impl Attributes {
    /// The column of a name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column)
    }

    /// The numbers of a column of numbers.
    pub fn numbers(&self, name: &str) -> Option<&[f32]> {
        match self.get(name)? {
            Column::Number(values) => Some(values),
            _ => None,
        }
    }

    /// Adds a column, or replaces the one of that name.
    ///
    /// # Panics
    /// If it has another number of rows than the columns that are there.
    pub fn set(&mut self, name: &str, column: Column) {
        if let Some((_, first)) = self.columns.first() {
            assert_eq!(first.len(), column.len(), "attribute `{name}` has one value a row");
        }
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = column,
            None => self.columns.push((name.into(), column)),
        }
    }

    /// Makes every column `len` rows long: nothing is known of the new ones.
    pub fn extend_missing(&mut self, len: usize) {
        for (_, column) in &mut self.columns {
            match column {
                Column::Number(values) => values.resize(len, f32::NAN),
                Column::Category { codes, .. } => codes.resize(len, Column::MISSING),
                Column::Text(texts) => texts.resize(len, String::new()),
            }
        }
    }

    /// Forgets what is known of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn clear_row(&mut self, row: usize) {
        for (_, column) in &mut self.columns {
            match column {
                Column::Number(values) => values[row] = f32::NAN,
                Column::Category { codes, .. } => codes[row] = Column::MISSING,
                Column::Text(texts) => texts[row].clear(),
            }
        }
    }

    /// All columns.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column))
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}
