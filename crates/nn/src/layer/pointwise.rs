//! A block of one gated attention without a softmax, told of time: HSTU (Zhai et al. 2024).

use upnext_math::Matrix;
use upnext_math::linalg::{Accumulate, View, ViewMut, multiply};
use upnext_math::seed::Random;

use super::block::{BlockShape, Sequences};
use super::elapsed::TimeBias;
use super::{Activation, Dropout, Dropped, LayerNorm, Linear, Mask, NormTape, RelativeBias};
use crate::parameters::add;
use crate::{Gradients, Parameters};

/// Which part of what is made of a row each is; gates are the first.
const VALUES: usize = 1;
const QUERIES: usize = 2;
const KEYS: usize = 3;
const N_PARTS: usize = 4;

/// `U, V, Q, K = silu(linear(norm x))`, `A = silu(Q K' + places + times) / n`, `x + linear(norm(A V) U)` (Zhai et al.
/// 2024, eqs. 1 to 3). There, `n` is the longest length; here the number of places that a row sees, so that what
/// little a short sequence mixes is not lost beside the epsilon of the norm.
#[derive(Clone, Debug)]
pub(super) struct Pointwise {
    before: LayerNorm,
    project: Linear,
    places: RelativeBias,
    times: TimeBias,
    after: LayerNorm,
    output: Linear,
    n_heads: usize,
    /// Numbers of a head.
    size: usize,
    mask: Mask,
    dropout: Dropout,
}

/// What backward needs of it.
#[derive(Clone, Debug)]
pub(super) struct PointwiseTape {
    before: NormTape,
    /// Gates, values, queries and keys before their activation, side by side.
    projected: Matrix,
    /// Of each sequence and head, `(sequences * heads, length * length)`.
    logits: Matrix,
    after: NormTape,
    dropped: Option<Dropped>,
}

impl Pointwise {
    /// With names under `name`.
    ///
    /// # Panics
    /// If the dimension is not a multiple of the number of heads.
    pub(super) fn new(
        parameters: &mut Parameters,
        name: &str,
        shape: BlockShape,
        random: &mut Random,
    ) -> Self {
        let BlockShape { dimension: d, n_heads, window, mask, dropout, .. } = shape;
        assert!(d.is_multiple_of(n_heads), "{d} numbers for {n_heads} heads");
        let named = |part: &str| format!("{name}.{part}");
        Self {
            before: LayerNorm::new(parameters, &named("before"), d),
            project: Linear::new(parameters, &named("project"), (d, N_PARTS * d), true, random),
            places: RelativeBias::new(parameters, &named("places"), window, n_heads),
            times: TimeBias::new(parameters, &named("times"), n_heads),
            after: LayerNorm::new(parameters, &named("after"), d),
            output: Linear::new(parameters, &named("output"), (d, d), true, random),
            n_heads,
            size: d / n_heads,
            mask,
            dropout,
        }
    }

    /// Changes the rows of sequences.
    pub(super) fn forward(
        &self,
        parameters: &Parameters,
        x: &mut Matrix,
        of: Sequences,
        random: Option<&mut Random>,
    ) -> PointwiseTape {
        let (d, precision) = (x.n_columns(), parameters.precision());
        let (normed, before) = self.before.forward(parameters, x);
        let projected = self.project.forward(parameters, &normed);
        let parts = Activation::Silu.forward(&projected);
        let logits = self.logits(parameters, &parts, of);
        let weights = self.weights(&logits, of);
        let mut mixed = Matrix::zeros(x.n_rows(), d);
        for at in 0..weights.n_rows() {
            let weights = View::new(weights.row(at), of.length, of.length, of.length);
            let out = self.head_mut(&mut mixed, 0, of, at);
            multiply(out, Accumulate::Replace, weights, self.head(&parts, VALUES, of, at), 1.0, precision);
        }
        let (mut gated, after) = self.after.forward(parameters, &mixed);
        gate(&parts, &mut gated);
        let mut made = self.output.forward(parameters, &gated);
        let dropped = self.dropout.forward(&mut made, random);
        add(x.values_mut(), made.values());
        PointwiseTape { before, projected, logits, after, dropped }
    }

    /// Changes the gradient of the output into that of the input.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        of: Sequences,
        tape: &PointwiseTape,
        of_x: &mut Matrix,
        gradients: &mut Gradients,
    ) {
        let parts = Activation::Silu.forward(&tape.projected);
        let mut of_parts = Matrix::zeros(parts.n_rows(), parts.n_columns());
        let normed = self.after.again(parameters, &tape.after);
        let mut gated = normed.clone();
        gate(&parts, &mut gated);
        let mut of_made = of_x.clone();
        Dropout::backward(tape.dropped.as_ref(), &mut of_made);
        let mut of_normed = self.output.backward(parameters, &gated, &of_made, gradients);
        for row in 0..of_normed.n_rows() {
            let of_gates = of_parts.row_mut(row).iter_mut().zip(of_normed.row(row)).zip(normed.row(row));
            of_gates.for_each(|((out, gradient), x)| *out = gradient * x);
        }
        gate(&parts, &mut of_normed);
        let of_mixed = self.after.backward(parameters, &tape.after, &of_normed, gradients);
        self.backward_attention(
            parameters,
            (of, &tape.logits),
            &parts,
            &of_mixed,
            (&mut of_parts, gradients),
        );
        let of_projected = Activation::Silu.backward(&tape.projected, of_parts);
        let normed = self.before.again(parameters, &tape.before);
        let of_normed = self.project.backward(parameters, &normed, &of_projected, gradients);
        let more = self.before.backward(parameters, &tape.before, &of_normed, gradients);
        add(of_x.values_mut(), more.values());
    }

    /// Writes the gradients of values, queries and keys, and adds those of the biases.
    fn backward_attention(
        &self,
        parameters: &Parameters,
        (of, logits): (Sequences, &Matrix),
        parts: &Matrix,
        of_mixed: &Matrix,
        (of_parts, gradients): (&mut Matrix, &mut Gradients),
    ) {
        let (length, square, precision) = (of.length, of.length * of.length, parameters.precision());
        let replace = Accumulate::Replace;
        let weights = self.weights(logits, of);
        let mut of_weights = Matrix::zeros(logits.n_rows(), square);
        for at in 0..logits.n_rows() {
            let of_out = self.head(of_mixed, 0, of, at);
            let out = ViewMut::new(of_weights.row_mut(at), length, length, length);
            multiply(out, replace, of_out, self.head(parts, VALUES, of, at).t(), 1.0, precision);
            let weights = View::new(weights.row(at), length, length, length);
            multiply(self.head_mut(of_parts, VALUES, of, at), replace, weights.t(), of_out, 1.0, precision);
        }
        self.share(&mut of_weights, of);
        let of_logits = Activation::Silu.backward(logits, of_weights);
        let mut of_places = vec![0.0; self.n_heads * square];
        for at in 0..logits.n_rows() {
            let (sequence, head) = (at / self.n_heads, at % self.n_heads);
            add(&mut of_places[head * square..(head + 1) * square], of_logits.row(at));
            if let Some(elapsed) = of.elapsed {
                self.times.backward(elapsed, (sequence, head), of_logits.row(at), gradients);
            }
            let of_logits = View::new(of_logits.row(at), length, length, length);
            let (queries, keys) = (self.head(parts, QUERIES, of, at), self.head(parts, KEYS, of, at));
            multiply(self.head_mut(of_parts, QUERIES, of, at), replace, of_logits, keys, 1.0, precision);
            multiply(self.head_mut(of_parts, KEYS, of, at), replace, of_logits.t(), queries, 1.0, precision);
        }
        self.places.backward(length, &of_places, gradients);
    }

    /// `Q K'` with what places and times add, of each sequence and head.
    fn logits(&self, parameters: &Parameters, parts: &Matrix, of: Sequences) -> Matrix {
        let (length, square) = (of.length, of.length * of.length);
        let places = self.places.forward(parameters, length);
        let mut logits = Matrix::zeros(of.n_there.len() * self.n_heads, square);
        for at in 0..logits.n_rows() {
            let (sequence, head) = (at / self.n_heads, at % self.n_heads);
            logits.row_mut(at).copy_from_slice(&places[head * square..(head + 1) * square]);
            if let Some(elapsed) = of.elapsed {
                self.times.add_to(parameters, elapsed, (sequence, head), logits.row_mut(at));
            }
            let (queries, keys) = (self.head(parts, QUERIES, of, at), self.head(parts, KEYS, of, at));
            let out = ViewMut::new(logits.row_mut(at), length, length, length);
            multiply(out, Accumulate::Add, queries, keys.t(), 1.0, parameters.precision());
        }
        logits
    }

    /// What each place takes of each other.
    fn weights(&self, logits: &Matrix, of: Sequences) -> Matrix {
        let mut weights = Activation::Silu.forward(logits);
        self.share(&mut weights, of);
        weights
    }

    /// Divides what is of seen places by how many these are; 0 for the others.
    fn share(&self, weights: &mut Matrix, of: Sequences) {
        for at in 0..weights.n_rows() {
            let n_there = of.n_there[at / self.n_heads];
            for (row, weights) in weights.row_mut(at).chunks_exact_mut(of.length).enumerate() {
                let (seen, unseen) = weights.split_at_mut(self.mask.n_seen(row, n_there));
                let share = 1.0 / seen.len() as f32;
                seen.iter_mut().for_each(|weight| *weight *= share);
                unseen.fill(0.0);
            }
        }
    }

    /// Where rows with parts side by side have the first number of a part, of sequence and head `at`.
    fn first(&self, width: usize, part: usize, of: Sequences, at: usize) -> usize {
        let (sequence, head) = (at / self.n_heads, at % self.n_heads);
        sequence * of.length * width + (part * self.n_heads + head) * self.size
    }

    /// The numbers of a part, of sequence and head `at`: `(length, size)`.
    fn head<'a>(&self, rows: &'a Matrix, part: usize, of: Sequences, at: usize) -> View<'a> {
        let width = rows.n_columns();
        View::new(&rows.values()[self.first(width, part, of, at)..], of.length, self.size, width)
    }

    /// The same, to be written.
    fn head_mut<'a>(&self, rows: &'a mut Matrix, part: usize, of: Sequences, at: usize) -> ViewMut<'a> {
        let width = rows.n_columns();
        let first = self.first(width, part, of, at);
        ViewMut::new(&mut rows.values_mut()[first..], of.length, self.size, width)
    }
}

/// Multiplies rows by their gates, which are the first part.
fn gate(parts: &Matrix, rows: &mut Matrix) {
    for row in 0..rows.n_rows() {
        rows.row_mut(row).iter_mut().zip(parts.row(row)).for_each(|(x, gate)| *x *= gate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};
    use crate::layer::{Elapsed, Wiring};

    /// A block whose biases are not zero, as they are at first.
    fn block(n_heads: usize, probability: f32) -> (Parameters, Pointwise) {
        let mut parameters = Parameters::new();
        let (mask, dropout) = (Mask::Causal, Dropout { probability });
        let (filter, wiring) = (None, Wiring::Pointwise);
        let shape = BlockShape { dimension: 4, n_heads, window: 5, mask, dropout, filter, wiring };
        let block = Pointwise::new(&mut parameters, "b", shape, &mut Random::new(1));
        for (name, seed) in [("b.places.weight", 4), ("b.times.weight", 5)] {
            let id = parameters.find(name).expect("a bias");
            let (n_rows, n_columns) = (parameters.get(id).n_rows(), parameters.get(id).n_columns());
            *parameters.get_mut(id) = input(n_rows, n_columns, seed);
        }
        (parameters, block)
    }

    /// Of two sequences of three places: a start, then events.
    fn elapsed() -> Elapsed {
        let day = |n: i64| Some(86_400_000 * n);
        let events = [None, day(1), day(2), None, day(1), None];
        Elapsed::new(3, &events, &[day(1), day(2), day(400), day(1), day(9), None])
    }

    #[test]
    fn gradients_are_those_of_small_differences_with_times_and_without() {
        let elapsed = elapsed();
        for (n_heads, probability) in [(1, 0.0), (2, 0.0), (1, 0.4), (2, 0.4)] {
            for elapsed in [None, Some(&elapsed)] {
                let (mut parameters, block) = block(n_heads, probability);
                let of = Sequences { length: 3, n_there: &[3, 2], elapsed };
                // Padding is read by nobody.
                let only = |mut rows: Matrix| {
                    rows.row_mut(5).fill(0.0);
                    rows
                };
                let forward =
                    |p: &Parameters, x: &mut Matrix| block.forward(p, x, of, Some(&mut Random::new(7)));
                assert_gradients(
                    &mut parameters,
                    &mut input(6, 4, 2),
                    |p, x| {
                        let mut x = x.clone();
                        forward(p, &mut x);
                        only(x)
                    },
                    |p, x, gradient, gradients| {
                        let tape = forward(p, &mut x.clone());
                        let mut of_x = only(gradient.clone());
                        block.backward(p, of, &tape, &mut of_x, gradients);
                        of_x
                    },
                );
            }
        }
    }

    #[test]
    fn padding_changes_nothing_the_future_is_not_seen_and_times_are() {
        let (parameters, block) = block(2, 0.0);
        let x = input(3, 4, 2);
        let made = |x: &Matrix, n_there: usize, elapsed: Option<&Elapsed>| {
            let mut x = x.clone();
            block.forward(&parameters, &mut x, Sequences { length: 3, n_there: &[n_there], elapsed }, None);
            x
        };
        let whole = made(&x, 3, None);
        assert_eq!(whole.values()[..8], made(&x, 2, None).values()[..8], "rows see only what is before them");
        let short = Matrix::from_rows(2, 4, x.values()[..8].to_vec());
        let mut alone = short.clone();
        block.forward(&parameters, &mut alone, (2, &[2][..]).into(), None);
        assert!(alone.values().iter().zip(whole.values()).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut other = x.clone();
        other.row_mut(2).fill(7.0);
        assert_eq!(made(&other, 3, None).values()[..8], whole.values()[..8]);
        // Only the last place asks at another time.
        let at = |last: i64| Elapsed::new(3, &[None, Some(1), Some(2)], &[Some(1), Some(2), Some(last)]);
        let (soon, late) = (made(&x, 3, Some(&at(1_000))), made(&x, 3, Some(&at(1_000_000))));
        assert_eq!(soon.values()[..8], late.values()[..8]);
        assert_ne!(soon.row(2), late.row(2));
    }
}
