//! A step on several threads: each takes a part of the batch into gradients of its own, and these are added in order.

use std::ops::Range;

use rayon::prelude::*;

use crate::{Gradients, Parameters};

/// Gradients of each shard, kept from step to step.
#[derive(Clone, Debug)]
pub struct Shards(Vec<Gradients>);

impl Shards {
    /// For so many shards, at least one. The number of shards decides the order of sums: the same number gives the same
    /// result on any number of threads.
    pub fn new(parameters: &Parameters, n_shards: usize) -> Self {
        Self(vec![Gradients::zeros(parameters); n_shards.max(1)])
    }

    /// Does the work on every part of `n_examples`, which adds to the gradients it is given and returns a loss; the sum
    /// of losses, and that of gradients.
    pub fn step(
        &mut self,
        n_examples: usize,
        work: impl Fn(usize, Range<usize>, &mut Gradients) -> f64 + Sync,
    ) -> (f64, &mut Gradients) {
        let n_shards = self.0.len();
        let start = |shard: usize| shard * n_examples / n_shards;
        let losses: Vec<f64> = (self.0.par_iter_mut().enumerate())
            .map(|(shard, gradients)| {
                gradients.clear();
                work(shard, start(shard)..start(shard + 1), gradients)
            })
            .collect();
        let (first, others) = self.0.split_first_mut().expect("there is at least one shard");
        others.iter().for_each(|other| first.add(other));
        (losses.iter().sum(), first)
    }
}

#[cfg(test)]
mod tests {
    use upnext_math::Matrix;
    use upnext_math::linalg::Precision;
    use upnext_math::seed::Random;

    use super::*;
    use crate::check::input;
    use crate::layer::{Attention, Dropout, Linear, Mask};
    use crate::loss::{Table, softmax};
    use crate::optimiser::{Adam, Settings};
    use crate::{Id, Kind};

    const LENGTH: usize = 3;

    struct Model {
        attention: Attention,
        linear: Linear,
        table: Id,
    }

    /// Trains a small model on sequences; the loss of each step, and all numbers at the end.
    fn trained(n_shards: usize, n_threads: usize) -> (Vec<f64>, Vec<f32>) {
        let mut parameters = Parameters::new();
        let random = &mut Random::new(7);
        let dropout = Dropout { probability: 0.1 };
        let model = Model {
            attention: Attention::new(&mut parameters, "a", 8, 2, (Mask::Causal, dropout), random),
            linear: Linear::new(&mut parameters, "l", (8, 8), true, random),
            table: parameters.add_normal("t", Kind::Dense, (20, 8), 0.3, random),
        };
        let (x, n_there) = (input(12 * LENGTH, 8, 1), [3, 1, 2, 3, 3, 3, 1, 2, 3, 3, 2, 3]);
        let targets: Vec<u32> = (0..12 * LENGTH as u32).map(|at| at * 5 % 20).collect();
        let mut adam = Adam::new(&parameters, Settings::default());
        let mut shards = Shards::new(&parameters, n_shards);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let mut losses = Vec::new();
        for step in 0..20 {
            let p = &parameters;
            let work = |shard: usize, part: Range<usize>, gradients: &mut Gradients| {
                let rows = part.start * LENGTH..part.end * LENGTH;
                let values = x.values()[rows.start * 8..rows.end * 8].to_vec();
                let x = Matrix::from_rows(rows.len(), 8, values);
                let there = (LENGTH, &n_there[part]);
                let chance = &mut Random::new(1_000 * step + shard as u64);
                let chance = if n_shards == 12 { Some(chance) } else { None };
                let (mixed, tape) = model.attention.forward(p, &x, there, None, chance);
                let hidden = model.linear.forward(p, &mixed);
                let weights = vec![1.0 / 36.0; rows.len()];
                let found = softmax(
                    &hidden,
                    &Table::new(p.get(model.table), Precision::F32),
                    (&targets[rows], &weights),
                    gradients.dense(model.table),
                );
                let of_mixed = model.linear.backward(p, &mixed, &found.of_rows, gradients);
                model.attention.backward(p, &x, there, &tape, &of_mixed, gradients, None);
                found.loss
            };
            let (loss, gradients) = pool.install(|| shards.step(12, work));
            losses.push(loss);
            gradients.clip(1.0);
            let gradients = gradients.clone();
            adam.step(&mut parameters, &gradients, 0.01);
        }
        let values = parameters.ids().flat_map(|id| parameters.get(id).values().to_vec()).collect();
        (losses, values)
    }

    #[test]
    fn threads_change_nothing_and_shards_only_the_last_digits() {
        assert_eq!(trained(12, 1), trained(12, 2), "with dropout, by the same shards");
        let (one, two) = (trained(1, 1), trained(2, 2));
        assert!(one.0[19] < 0.8 * one.0[0], "the loss falls: {:?}", one.0);
        // Adam makes steps of like size of small gradients and of large ones, so the last digits of a sum may move a number
        // by a part of a step of 0.01; losses agree.
        let furthest = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        assert!(furthest(&one.0, &two.0) < 1e-4, "{:?} {:?}", one.0, two.0);
        assert!(furthest(&wide(&one.1), &wide(&two.1)) < 5e-3);
    }
}
