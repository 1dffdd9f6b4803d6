//! Rows of a table.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use crate::parameters::add;
use crate::{Gradients, Id, Kind, Parameters};

/// A row of numbers for each id; gradients come by rows.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// The table, `(ids, dimension)`.
    pub table: Id,
}

impl Embedding {
    /// Rows are normal with a deviation.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (n_ids, dimension): (usize, usize),
        deviation: f32,
        random: &mut Random,
    ) -> Self {
        let name = format!("{name}.weight");
        Self { table: parameters.add_normal(name, Kind::Rows, (n_ids, dimension), deviation, random) }
    }

    /// The rows of ids, in their order; zeros where there is none.
    pub fn forward(&self, parameters: &Parameters, ids: &[Option<u32>]) -> Matrix {
        let table = parameters.get(self.table);
        let mut rows = Matrix::zeros(ids.len(), table.n_columns());
        for (at, id) in ids.iter().enumerate() {
            if let Some(id) = *id {
                rows.row_mut(at).copy_from_slice(table.row(id as usize));
            }
        }
        rows
    }

    /// Adds the gradients of the rows of ids.
    pub fn backward(&self, ids: &[Option<u32>], gradient: &Matrix, gradients: &mut Gradients) {
        for (at, id) in ids.iter().enumerate() {
            if let Some(id) = *id {
                add(gradients.row(self.table, id), gradient.row(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_parameters, input};

    #[test]
    fn an_id_gives_its_row_and_none_gives_zeros_without_a_gradient() {
        let mut parameters = Parameters::new();
        let layer = Embedding::new(&mut parameters, "e", (4, 3), 1.0, &mut Random::new(1));
        let ids = [Some(2), None, Some(0), Some(2)];
        let rows = layer.forward(&parameters, &ids);
        assert_eq!(rows.row(0), parameters.get(layer.table).row(2));
        assert_eq!(rows.row(1), [0.0; 3]);
        let weights = input(4, 3, 5);
        let mut gradients = Gradients::zeros(&parameters);
        layer.backward(&ids, &weights, &mut gradients);
        let crate::Gradient::Rows(touched) = gradients.get(layer.table) else { panic!("rows") };
        assert_eq!(touched.len(), 2);
        assert_parameters(&mut parameters, &gradients, |parameters| {
            let rows = layer.forward(parameters, &ids);
            rows.values().iter().zip(weights.values()).map(|(y, w)| f64::from(y * w)).sum()
        });
    }
}
