//! Vectors that ride beside a log: one row of numbers for each id, under a name.

/// Named vectors, such as a column `image_vector:float_seq` of RecBole's atomic files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    /// What they are called: the name of the column or file.
    pub name: String,
    /// Numbers of each vector.
    pub dim: usize,
    /// Outside ids of the videos, in the order of the rows.
    pub ids: Vec<String>,
    /// All rows, one after another: `ids.len() × dim` numbers.
    pub values: Vec<f32>,
}
