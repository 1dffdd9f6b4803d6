//! From gradients to smaller losses.

use rayon::prelude::*;
use upnext_math::Matrix;

use crate::parameters::PART;
use crate::{Gradient, Gradients, Parameters};

/// Adam and its kin (Kingma & Ba 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How much of the past the mean of gradients keeps.
    pub beta1: f32,
    /// How much of the past the mean of their squares keeps.
    pub beta2: f32,
    /// What keeps a step finite.
    pub epsilon: f32,
    /// Share of each number that a step of the rate 1 takes away, apart from the gradient: AdamW (Loshchilov & Hutter
    /// 2019). 0 is plain Adam.
    pub weight_decay: f32,
    /// The share of each number that is added to its gradient (L2, before Adam's scaling): what is hardly ever asked for has
    /// small gradients, so this pulls it to 0 as fast as anything moves; of tables with lazy steps, rows that are touched.
    pub l2: f32,
    /// Whether of tables only the rows that were touched move, moments included: LazyAdam. Else each row moves on by its
    /// moments in every step, as Adam does.
    pub is_lazy: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, l2: 0.0, is_lazy: true }
    }
}

/// Moments of all parameters, and how many steps there were.
#[derive(Clone, Debug)]
pub struct Adam {
    /// How it steps.
    pub settings: Settings,
    /// Means of gradients, one matrix a parameter.
    pub means: Vec<Matrix>,
    /// Means of their squares.
    pub squares: Vec<Matrix>,
    /// Steps so far.
    pub n_steps: u64,
}

impl Adam {
    /// Without a past.
    pub fn new(parameters: &Parameters, settings: Settings) -> Self {
        let zeros = |id| {
            let values = parameters.get(id);
            Matrix::zeros(values.n_rows(), values.n_columns())
        };
        let means: Vec<Matrix> = parameters.ids().map(zeros).collect();
        Self { settings, squares: means.clone(), means, n_steps: 0 }
    }

    /// Moves all parameters against their gradients.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: &Gradients, rate: f32) {
        self.n_steps += 1;
        let Settings { beta1, beta2, is_lazy, .. } = self.settings;
        let bias = |beta: f32| (1.0 - f64::from(beta).powf(self.n_steps as f64)) as f32;
        let step = Step { settings: self.settings, rate, bias1: bias(beta1), bias2: bias(beta2) };
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for (id, (means, squares)) in parameters.ids().zip(moments) {
            let values = parameters.get_mut(id);
            match gradients.get(id) {
                Gradient::Dense(gradient) => {
                    let (values, gradient) = (values.values_mut(), gradient.values());
                    let (means, squares) = (means.values_mut(), squares.values_mut());
                    if values.len() <= PART {
                        step.take(values, gradient, (means, squares));
                        continue;
                    }
                    let moments = means.par_chunks_mut(PART).zip(squares.par_chunks_mut(PART));
                    let parts = values.par_chunks_mut(PART).zip(gradient.par_chunks(PART)).zip(moments);
                    parts.for_each(|((values, gradient), moments)| step.take(values, gradient, moments));
                }
                Gradient::Rows(rows) => {
                    if !is_lazy {
                        let touched: std::collections::HashSet<u32> =
                            rows.iter().map(|(row, _)| row).collect();
                        let zeros = vec![0.0; values.n_columns()];
                        for row in (0..values.n_rows()).filter(|&row| !touched.contains(&(row as u32))) {
                            let moments = (means.row_mut(row), squares.row_mut(row));
                            step.take(values.row_mut(row), &zeros, moments);
                        }
                    }
                    for (row, gradient) in rows.iter() {
                        let row = row as usize;
                        let moments = (means.row_mut(row), squares.row_mut(row));
                        step.take(values.row_mut(row), gradient, moments);
                    }
                }
            }
        }
    }
}

struct Step {
    settings: Settings,
    rate: f32,
    bias1: f32,
    bias2: f32,
}

impl Step {
    fn take(&self, values: &mut [f32], gradient: &[f32], (means, squares): (&mut [f32], &mut [f32])) {
        let Settings { beta1, beta2, epsilon, weight_decay, l2, .. } = self.settings;
        let (by, root) = (self.rate / self.bias1, 1.0 / self.bias2.sqrt());
        let stays = 1.0 - self.rate * weight_decay;
        for (((x, g), mean), square) in values.iter_mut().zip(gradient).zip(means).zip(squares) {
            let g = g + l2 * *x;
            *mean = beta1 * *mean + (1.0 - beta1) * g;
            *square = beta2 * *square + (1.0 - beta2) * g * g;
            *x = stays * *x - by * *mean / (square.sqrt() * root + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn table(kind: Kind) -> (Parameters, crate::Id) {
        let mut parameters = Parameters::new();
        let id = parameters.add("t", kind, Matrix::from_rows(2, 1, vec![1.0, 1.0]));
        (parameters, id)
    }

    #[test]
    fn the_first_step_is_the_rate_and_the_second_is_by_hand() {
        let (mut parameters, id) = table(Kind::Dense);
        let mut adam = Adam::new(&parameters, Settings::default());
        let mut gradients = Gradients::zeros(&parameters);
        gradients.dense(id).values_mut().copy_from_slice(&[3.0, -0.1]);
        adam.step(&mut parameters, &gradients, 0.1);
        let close = |x: f32, e: f32| (x - e).abs() < 1e-5;
        let found = parameters.get(id).values();
        assert!(close(found[0], 0.9) && close(found[1], 1.1), "{found:?}");
        gradients.dense(id).values_mut().copy_from_slice(&[0.0, -0.1]);
        adam.step(&mut parameters, &gradients, 0.1);
        // Mean 0.27 over 0.19, square 0.008991 over 0.001999.
        let step = 0.1 * (0.27 / 0.19) / (0.008_991_f32 / 0.001_999).sqrt();
        let found = parameters.get(id).values();
        assert!(close(found[0], 0.9 - step) && close(found[1], 1.2), "{found:?}");
    }

    #[test]
    fn l2_goes_through_the_scaling_and_moves_what_nothing_asks_for() {
        let (mut parameters, id) = table(Kind::Dense);
        let mut adam = Adam::new(&parameters, Settings { l2: 1e-4, ..Settings::default() });
        let gradients = Gradients::zeros(&parameters);
        adam.step(&mut parameters, &gradients, 0.1);
        // The gradient of both is 1e-4, and Adam's first step is the rate.
        let found = parameters.get(id).values();
        assert!(found.iter().all(|x| (x - 0.9).abs() < 1e-4), "{found:?}");
    }

    #[test]
    fn lazy_rows_stay_where_they_are_and_others_move_on() {
        for is_lazy in [true, false] {
            let (mut parameters, id) = table(Kind::Rows);
            let mut adam = Adam::new(&parameters, Settings { is_lazy, ..Settings::default() });
            let mut gradients = Gradients::zeros(&parameters);
            gradients.row(id, 0)[0] = 1.0;
            adam.step(&mut parameters, &gradients, 0.1);
            gradients.clear();
            gradients.row(id, 1)[0] = 1.0;
            adam.step(&mut parameters, &gradients, 0.1);
            assert_eq!((parameters.get(id).values()[0] - 0.9).abs() < 1e-5, is_lazy);
        }
    }

    #[test]
    fn a_dense_step_and_one_by_rows_agree_and_decay_is_apart_from_the_gradient() {
        let settings = Settings { weight_decay: 0.5, ..Settings::default() };
        let found = [Kind::Dense, Kind::Rows].map(|kind| {
            let (mut parameters, id) = table(kind);
            let mut adam = Adam::new(&parameters, settings);
            let mut gradients = Gradients::zeros(&parameters);
            for row in 0..2 {
                gradients.row(id, row)[0] = 2.0;
            }
            (0..3).for_each(|_| adam.step(&mut parameters, &gradients, 0.1));
            parameters.get(id).values().to_vec()
        });
        assert_eq!(found[0], found[1]);
        // 1 → 0.95 - 0.1 → …
        let expected = (0..3).fold(1.0_f32, |x, _| 0.95 * x - 0.1);
        assert!((found[0][0] - expected).abs() < 1e-5, "{found:?}");
    }
}
