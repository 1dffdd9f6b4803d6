//! All numbers of a model by name, and the gradients of a step.

use std::collections::HashMap;

use rayon::prelude::*;
use upnext_math::Matrix;
use upnext_math::linalg::Precision;
use upnext_math::seed::Random;

/// Which parameter of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

/// How the gradient of a parameter comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To every number in each step.
    Dense,
    /// To few rows of a table in each step.
    Rows,
}

/// The numbers of a model. Layers hold [`Id`]s.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    names: Vec<String>,
    kinds: Vec<Kind>,
    values: Vec<Matrix>,
    precision: Precision,
}

impl Parameters {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter. Names are paths such as `block.0.attention.query.weight`; each stands once.
    ///
    /// # Panics
    /// If the name stands there already: two layers would share it unseen.
    pub fn add(&mut self, name: impl Into<String>, kind: Kind, values: Matrix) -> Id {
        let name = name.into();
        assert!(!self.names.contains(&name), "a second parameter `{name}`");
        self.names.push(name);
        self.kinds.push(kind);
        self.values.push(values);
        Id(self.names.len() - 1)
    }

    /// Adds a parameter drawn from a normal distribution with mean 0.
    pub fn add_normal(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        (n_rows, n_columns): (usize, usize),
        deviation: f32,
        random: &mut Random,
    ) -> Id {
        let values = (0..n_rows * n_columns).map(|_| deviation * random.normal()).collect();
        self.add(name, kind, Matrix::from_rows(n_rows, n_columns, values))
    }

    /// The numbers of one.
    pub fn get(&self, id: Id) -> &Matrix {
        &self.values[id.0]
    }

    /// The numbers of one, to be changed.
    pub fn get_mut(&mut self, id: Id) -> &mut Matrix {
        &mut self.values[id.0]
    }

    /// How exactly layers multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Has layers multiply as exactly as this. Parameters and their gradients stay f32.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// The name of one.
    pub fn name(&self, id: Id) -> &str {
        &self.names[id.0]
    }

    /// How gradients of one come.
    pub fn kind(&self, id: Id) -> Kind {
        self.kinds[id.0]
    }

    /// The parameter of a name.
    pub fn find(&self, name: &str) -> Option<Id> {
        self.names.iter().position(|known| known == name).map(Id)
    }

    /// All of them, in the order in which they were added.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = Id> + use<> {
        (0..self.values.len()).map(Id)
    }

    /// All but the last that was added, which has this name.
    ///
    /// # Panics
    /// When it is not the last: others would be known by wrong numbers.
    #[must_use]
    pub fn without_last(mut self, name: &str) -> Self {
        assert_eq!(self.names.pop().as_deref(), Some(name), "the last parameter");
        self.kinds.pop();
        self.values.pop();
        self
    }

    /// How many numbers there are in all.
    pub fn size(&self) -> usize {
        self.values.iter().map(|values| values.values().len()).sum()
    }

    /// The first parameter that holds a number that is not finite.
    pub fn first_not_finite(&self) -> Option<&str> {
        let at = self.values.iter().position(|of| of.values().iter().any(|x| !x.is_finite()))?;
        Some(&self.names[at])
    }
}

/// The gradient of one parameter.
#[derive(Clone, Debug)]
pub enum Gradient {
    /// Of every number.
    Dense(Matrix),
    /// Of the rows that were touched.
    Rows(RowGradients),
}

/// Gradients of the rows of a table that were touched, in the order in which they were.
#[derive(Clone, Debug, Default)]
pub struct RowGradients {
    dim: usize,
    rows: Vec<u32>,
    values: Vec<f32>,
    places: HashMap<u32, usize>,
}

impl RowGradients {
    /// The gradient of a row, zero at first.
    pub fn row_mut(&mut self, row: u32) -> &mut [f32] {
        let dim = self.dim;
        let at = *self.places.entry(row).or_insert_with(|| {
            self.rows.push(row);
            self.values.resize(self.values.len() + dim, 0.0);
            self.rows.len() - 1
        });
        &mut self.values[at * dim..(at + 1) * dim]
    }

    /// The rows and their gradients.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.rows.iter().copied().zip(self.values.chunks_exact(self.dim.max(1)))
    }

    /// How many rows were touched.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
        self.places.clear();
    }
}

/// Numbers that one thread works on at a time, where all of a large parameter are gone through.
pub(crate) const PART: usize = 1 << 15;

/// Changes a slice by another of the same length, in parts on several threads where it is long.
pub fn in_parts(to: &mut [f32], by: &[f32], change: impl Fn(&mut [f32], &[f32]) + Sync) {
    if to.len() <= PART {
        return change(to, by);
    }
    to.par_chunks_mut(PART).zip(by.par_chunks(PART)).for_each(|(to, by)| change(to, by));
}

/// The gradients of all parameters of a model, to which layers add.
#[derive(Clone, Debug)]
pub struct Gradients(Vec<Gradient>);

impl Gradients {
    /// All zero.
    pub fn zeros(parameters: &Parameters) -> Self {
        let gradient = |id: Id| {
            let values = parameters.get(id);
            match parameters.kind(id) {
                Kind::Dense => Gradient::Dense(Matrix::zeros(values.n_rows(), values.n_columns())),
                Kind::Rows => {
                    Gradient::Rows(RowGradients { dim: values.n_columns(), ..RowGradients::default() })
                }
            }
        };
        Self(parameters.ids().map(gradient).collect())
    }

    /// The gradient of one parameter.
    pub fn get(&self, id: Id) -> &Gradient {
        &self.0[id.0]
    }

    /// The dense gradient of one.
    ///
    /// # Panics
    /// If its gradient comes by rows: a layer has been given a table where it takes a matrix.
    pub fn dense(&mut self, id: Id) -> &mut Matrix {
        match &mut self.0[id.0] {
            Gradient::Dense(gradient) => gradient,
            Gradient::Rows(_) => panic!("parameter {} takes gradients by rows", id.0),
        }
    }

    /// The gradient of a row of one, of either kind.
    pub fn row(&mut self, id: Id, row: u32) -> &mut [f32] {
        match &mut self.0[id.0] {
            Gradient::Dense(gradient) => gradient.row_mut(row as usize),
            Gradient::Rows(gradient) => gradient.row_mut(row),
        }
    }

    /// Makes all zero again, keeping the memory.
    pub fn clear(&mut self) {
        for gradient in &mut self.0 {
            match gradient {
                Gradient::Dense(gradient) => gradient.values_mut().fill(0.0),
                Gradient::Rows(gradient) => gradient.clear(),
            }
        }
    }

    /// Adds the gradients of another shard.
    pub fn add(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            match (mine, other) {
                (Gradient::Dense(mine), Gradient::Dense(other)) => {
                    in_parts(mine.values_mut(), other.values(), add);
                }
                (Gradient::Rows(mine), Gradient::Rows(other)) => {
                    other.iter().for_each(|(row, gradient)| add(mine.row_mut(row), gradient));
                }
                _ => unreachable!("gradients of one model are of the same kinds"),
            }
        }
    }

    /// Multiplies all by a number.
    pub fn scale(&mut self, by: f32) {
        self.each_mut(|values| values.iter_mut().for_each(|x| *x *= by));
    }

    /// The Euclidean norm of all of them as one vector.
    pub fn norm(&self) -> f32 {
        let of_part = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        // In parts of one length, added in their order: the same on any number of threads.
        let square = |values: &[f32]| match values.len() {
            0..=PART => of_part(values),
            _ => values.par_chunks(PART).map(of_part).collect::<Vec<_>>().iter().sum::<f64>(),
        };
        let squares = self.0.iter().map(|gradient| match gradient {
            Gradient::Dense(gradient) => square(gradient.values()),
            Gradient::Rows(gradient) => square(&gradient.values),
        });
        squares.sum::<f64>().sqrt() as f32
    }

    /// Scales all so that their norm is at most `most`; the norm before (Pascanu et al. 2013).
    pub fn clip(&mut self, most: f32) -> f32 {
        let norm = self.norm();
        if norm > most {
            self.scale(most / norm);
        }
        norm
    }

    /// The first parameter whose gradient holds a number that is not finite.
    pub fn first_not_finite<'a>(&self, parameters: &'a Parameters) -> Option<&'a str> {
        let is_wrong = |id: &Id| {
            let values = match &self.0[id.0] {
                Gradient::Dense(gradient) => gradient.values(),
                Gradient::Rows(gradient) => &gradient.values,
            };
            values.iter().any(|x| !x.is_finite())
        };
        parameters.ids().find(is_wrong).map(|id| parameters.name(id))
    }

    fn each_mut(&mut self, mut change: impl FnMut(&mut [f32])) {
        for gradient in &mut self.0 {
            match gradient {
                Gradient::Dense(gradient) => change(gradient.values_mut()),
                Gradient::Rows(gradient) => change(&mut gradient.values),
            }
        }
    }
}

/// Adds one slice to another of the same length.
pub(crate) fn add(to: &mut [f32], more: &[f32]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}

/// Each number of one matrix times that of another of the same shape.
pub(crate) fn times(a: &Matrix, b: &Matrix) -> Matrix {
    let values = a.values().iter().zip(b.values()).map(|(a, b)| a * b).collect();
    Matrix::from_rows(a.n_rows(), a.n_columns(), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_shards_add_up_by_row_and_are_clipped_as_one_vector() {
        let mut parameters = Parameters::new();
        let table = parameters.add("table", Kind::Rows, Matrix::zeros(5, 2));
        let weight = parameters.add("weight", Kind::Dense, Matrix::zeros(1, 2));
        let (mut one, mut other) = (Gradients::zeros(&parameters), Gradients::zeros(&parameters));
        add(one.row(table, 4), &[1.0, 0.0]);
        add(other.row(table, 4), &[1.0, 0.0]);
        add(other.row(table, 1), &[0.0, 2.0]);
        add(other.dense(weight).values_mut(), &[1.0, 0.0]);
        one.add(&other);
        let Gradient::Rows(rows) = one.get(table) else { panic!("a table has rows") };
        assert_eq!(rows.iter().collect::<Vec<_>>(), [(4, &[2.0, 0.0][..]), (1, &[0.0, 2.0])]);
        assert_eq!(one.norm(), 3.0);
        assert_eq!((one.clip(1.5), one.norm()), (3.0, 1.5));
        one.clear();
        assert_eq!(one.norm(), 0.0);
    }

    #[test]
    #[should_panic(expected = "a second parameter `w`")]
    fn a_name_stands_once() {
        let mut parameters = Parameters::new();
        parameters.add("w", Kind::Dense, Matrix::zeros(1, 1));
        parameters.add("w", Kind::Dense, Matrix::zeros(1, 1));
    }
}
