//! Layers of trained transformers, run forward only: nothing is kept for a way back, and sequences of any lengths lie one
//! after another without padding.

use upnext_math::Matrix;
use upnext_math::dot::{dot, max, sum};
use upnext_math::exp::exp_of_differences;
use upnext_math::linalg::{Accumulate, View, ViewMut, multiply};

use crate::layer::{Activation, Mask};

pub use upnext_math::linalg::Precision;

/// `y = x W' + b`.
#[derive(Clone, Debug)]
pub struct Dense {
    weight: Matrix,
    bias: Vec<f32>,
}

impl Dense {
    /// From weights `(outputs, inputs)` and a bias, which may be missing.
    ///
    /// # Panics
    /// If the bias has not one number for each output.
    pub fn new(weight: Matrix, bias: Option<Vec<f32>>) -> Self {
        let bias = bias.unwrap_or_else(|| vec![0.0; weight.n_rows()]);
        assert_eq!(bias.len(), weight.n_rows(), "a bias for each output");
        Self { weight, bias }
    }

    /// Several with the same inputs as one, outputs one after another.
    ///
    /// # Panics
    /// If their inputs differ.
    pub fn joined(parts: &[&Self]) -> Self {
        let n_inputs = parts.first().map_or(0, |part| part.n_inputs());
        assert!(parts.iter().all(|part| part.n_inputs() == n_inputs), "the same inputs");
        let weights: Vec<f32> = parts.iter().flat_map(|part| part.weight.values()).copied().collect();
        let bias: Vec<f32> = parts.iter().flat_map(|part| &part.bias).copied().collect();
        Self { weight: Matrix::from_rows(bias.len(), n_inputs, weights), bias }
    }

    /// The same with each output multiplied by a number of its own, as layers are that weigh what they add (Touvron et al. 2021).
    ///
    /// # Panics
    /// If there is not one number for each output.
    pub fn scaled(mut self, by: &[f32]) -> Self {
        assert_eq!(by.len(), self.n_outputs(), "a number for each output");
        for (row, scale) in by.iter().enumerate() {
            self.weight.row_mut(row).iter_mut().for_each(|x| *x *= scale);
            self.bias[row] *= scale;
        }
        self
    }

    /// Numbers that go in.
    pub fn n_inputs(&self) -> usize {
        self.weight.n_columns()
    }

    /// Numbers that come out.
    pub fn n_outputs(&self) -> usize {
        self.weight.n_rows()
    }

    /// Of each row of `x`, into `out`, which takes the size that it needs.
    ///
    /// # Panics
    /// If `x` is not made of whole rows.
    pub fn forward(&self, x: &[f32], out: &mut Vec<f32>, precision: Precision) {
        out.clear();
        for _ in 0..x.len() / self.n_inputs() {
            out.extend_from_slice(&self.bias);
        }
        self.add(x, out, precision);
    }

    /// The same, added to what stands in `out`; the bias too.
    fn forward_onto(&self, x: &[f32], out: &mut [f32], precision: Precision) {
        out.chunks_exact_mut(self.n_outputs()).for_each(|row| crate::parameters::add(row, &self.bias));
        self.add(x, out, precision);
    }

    fn add(&self, x: &[f32], out: &mut [f32], precision: Precision) {
        let (n_in, n_out) = (self.n_inputs(), self.n_outputs());
        let rows = x.len() / n_in;
        assert_eq!((rows * n_in, rows * n_out), (x.len(), out.len()), "whole rows");
        let weight = View::from(&self.weight).t();
        let out = ViewMut::new(out, rows, n_out, n_out);
        multiply(out, Accumulate::Add, View::new(x, rows, n_in, n_in), weight, 1.0, precision);
    }
}

/// Mean 0 and variance 1 of each row, then a scale and a shift (Ba et al. 2016).
#[derive(Clone, Debug)]
pub struct Norm {
    /// One number a column.
    pub scale: Vec<f32>,
    /// One number a column.
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Norm {
    /// Normalises rows where they stand.
    pub fn apply(&self, x: &mut [f32]) {
        let n = self.scale.len();
        for row in x.chunks_exact_mut(n) {
            let mean = sum(row) / n as f32;
            row.iter_mut().for_each(|x| *x -= mean);
            let inverse = 1.0 / (dot(row, row) / n as f32 + self.epsilon).sqrt();
            let columns = self.scale.iter().zip(&self.shift);
            row.iter_mut().zip(columns).for_each(|(x, (scale, shift))| *x = *x * inverse * scale + shift);
        }
    }
}

/// Where norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// Before attention and before the wide layer (Xiong et al. 2020).
    Before,
    /// After each was added (Vaswani et al. 2017).
    After,
}

/// Attention and a wide layer, each added to what came in.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Queries, keys and values, one after another.
    pub queries_keys_values: Dense,
    /// Of what heads have mixed.
    pub output: Dense,
    /// The norm of attention.
    pub attention_norm: Norm,
    /// The wide layer.
    pub wide: Dense,
    /// And back.
    pub narrow: Dense,
    /// The norm of the wide layer.
    pub wide_norm: Norm,
}

/// What all layers of a stack have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackShape {
    /// Heads of each attention.
    pub n_heads: usize,
    /// Of the wide layers.
    pub activation: Activation,
    /// Where norms stand.
    pub norms: NormPlace,
    /// Which positions a position sees.
    pub mask: Mask,
    /// How exactly is multiplied.
    pub precision: Precision,
}

/// Layers one after another.
#[derive(Clone, Debug)]
pub struct Stack {
    layers: Vec<Layer>,
    shape: StackShape,
}

/// What a pass needs beside its rows, kept from one to the next.
#[derive(Debug, Default)]
struct Scratch {
    normed: Vec<f32>,
    joined: Vec<f32>,
    mixed: Vec<f32>,
    wide: Vec<f32>,
    logits: Vec<f32>,
}

impl Stack {
    /// From layers that fit together.
    ///
    /// # Panics
    /// If numbers do not divide into heads, or one layer does not fit the one before.
    pub fn new(layers: Vec<Layer>, shape: StackShape) -> Self {
        let d = layers.first().map_or(0, |layer| layer.output.n_outputs());
        assert!(
            shape.n_heads > 0 && d.is_multiple_of(shape.n_heads),
            "{d} numbers for {} heads",
            shape.n_heads
        );
        for layer in &layers {
            let qkv = &layer.queries_keys_values;
            assert_eq!(
                (qkv.n_inputs(), qkv.n_outputs(), layer.output.n_inputs()),
                (d, 3 * d, d),
                "attention"
            );
            let inner = layer.wide.n_outputs();
            let wide = (layer.wide.n_inputs(), layer.narrow.n_inputs(), layer.narrow.n_outputs());
            assert_eq!(wide, (d, inner, d), "wide layer");
            assert_eq!((layer.attention_norm.scale.len(), layer.wide_norm.scale.len()), (d, d), "norms");
        }
        Self { layers, shape }
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.layers.first().map_or(1, |layer| layer.output.n_outputs())
    }

    /// Changes the rows of sequences that lie one after another, `lengths` of them, on one thread.
    ///
    /// # Panics
    /// If lengths and rows disagree.
    pub fn forward(&self, x: &mut [f32], lengths: &[usize]) {
        let scratch = &mut Scratch::default();
        for layer in &self.layers {
            self.attend(layer, x, lengths, scratch);
            self.widen(layer, x, scratch);
        }
    }

    fn attend(&self, layer: &Layer, x: &mut [f32], lengths: &[usize], scratch: &mut Scratch) {
        let Scratch { normed, joined, mixed, logits, .. } = scratch;
        let before = self.shape.norms == NormPlace::Before;
        normed.clear();
        normed.extend_from_slice(x);
        if before {
            layer.attention_norm.apply(normed);
        }
        layer.queries_keys_values.forward(normed, joined, self.shape.precision);
        let d = layer.output.n_inputs();
        mixed.clear();
        mixed.resize(x.len(), 0.0);
        attention(joined, lengths, (d, self.shape.n_heads, self.shape.mask), mixed, logits);
        layer.output.forward_onto(mixed, x, self.shape.precision);
        if !before {
            layer.attention_norm.apply(x);
        }
    }

    fn widen(&self, layer: &Layer, x: &mut [f32], scratch: &mut Scratch) {
        let Scratch { normed, wide, .. } = scratch;
        let before = self.shape.norms == NormPlace::Before;
        normed.clear();
        normed.extend_from_slice(x);
        if before {
            layer.wide_norm.apply(normed);
        }
        layer.wide.forward(normed, wide, self.shape.precision);
        self.shape.activation.apply(wide);
        layer.narrow.forward_onto(wide, x, self.shape.precision);
        if !before {
            layer.wide_norm.apply(x);
        }
    }
}

/// Attention of each sequence to itself. `joined` has rows of queries, keys and values, `mixed` becomes rows of `d` numbers.
fn attention(
    joined: &[f32],
    lengths: &[usize],
    (d, n_heads, mask): (usize, usize, Mask),
    mixed: &mut [f32],
    logits: &mut Vec<f32>,
) {
    let size = d / n_heads;
    let scale = 1.0 / (size as f32).sqrt();
    let mut first = 0;
    for &length in lengths {
        logits.resize(length * length, 0.0);
        for head in 0..n_heads {
            let part = |which: usize| {
                View::new(&joined[first * 3 * d + which * d + head * size..], length, size, 3 * d)
            };
            let out = ViewMut::new(logits, length, length, length);
            multiply(out, Accumulate::Replace, part(0), part(1).t(), scale, Precision::F32);
            for (row, weights) in logits.chunks_exact_mut(length.max(1)).enumerate() {
                let n_seen = if mask == Mask::Causal { row + 1 } else { length };
                softmax(weights, n_seen);
            }
            let out = ViewMut::new(&mut mixed[first * d + head * size..], length, size, d);
            let weights = View::new(logits, length, length, length);
            multiply(out, Accumulate::Replace, weights, part(2), 1.0, Precision::F32);
        }
        first += length;
    }
    assert_eq!(first * d, mixed.len(), "rows of all sequences");
}

/// The softmax of the first `n`, zero for the others.
fn softmax(logits: &mut [f32], n: usize) {
    let (seen, unseen) = logits.split_at_mut(n);
    unseen.fill(0.0);
    let most = max(seen);
    let share = 1.0 / exp_of_differences(seen, most);
    seen.iter_mut().for_each(|x| *x *= share);
}

/// One learnt question that attends to all rows of a sequence: a pooling with heads.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The question, as queries see it.
    pub query: Vec<f32>,
    /// Keys and values, one after another.
    pub keys_values: Dense,
    /// Of what heads have mixed.
    pub output: Dense,
    /// Heads.
    pub n_heads: usize,
}

impl Probe {
    /// The answer of one sequence.
    ///
    /// # Panics
    /// If the sequence is empty or of another width.
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        let d = self.output.n_inputs();
        let mut joined = Vec::new();
        self.keys_values.forward(x, &mut joined, Precision::F32);
        let (length, size) = (x.len() / d, d / self.n_heads);
        let mut mixed = vec![0.0; d];
        let mut weights = vec![0.0; length];
        for head in 0..self.n_heads {
            let part = head * size..(head + 1) * size;
            let query = &self.query[part.clone()];
            for (row, weight) in joined.chunks_exact(2 * d).zip(&mut weights) {
                *weight = dot(query, &row[part.clone()]) / (size as f32).sqrt();
            }
            softmax(&mut weights, length);
            for (row, weight) in joined.chunks_exact(2 * d).zip(&weights) {
                let value = &row[d + part.start..d + part.end];
                mixed[part.clone()].iter_mut().zip(value).for_each(|(x, value)| *x += weight * value);
            }
        }
        let mut out = Vec::new();
        self.output.forward(&mixed, &mut out, Precision::F32);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::input;

    fn dense(outputs: usize, inputs: usize, seed: u64) -> Dense {
        Dense::new(input(outputs, inputs, seed), Some(input(1, outputs, seed + 1).into_values()))
    }

    fn norm(n: usize, seed: u64) -> Norm {
        Norm { scale: input(1, n, seed).into_values(), shift: vec![0.1; n], epsilon: 1e-6 }
    }

    fn stack(norms: NormPlace, mask: Mask) -> Stack {
        let layer = |seed| Layer {
            queries_keys_values: dense(18, 6, seed),
            output: dense(6, 6, seed + 2),
            attention_norm: norm(6, seed + 4),
            wide: dense(10, 6, seed + 5),
            narrow: dense(6, 10, seed + 7),
            wide_norm: norm(6, seed + 9),
        };
        let precision = Precision::F32;
        let shape = StackShape { n_heads: 2, activation: Activation::GeluExact, norms, mask, precision };
        Stack::new(vec![layer(1), layer(30)], shape)
    }

    #[test]
    fn a_sequence_does_not_see_its_neighbours() {
        for norms in [NormPlace::Before, NormPlace::After] {
            let stack = stack(norms, Mask::Full);
            let mut together = input(7, 6, 3).into_values();
            let (mut first, mut second) = (together[..24].to_vec(), together[24..].to_vec());
            stack.forward(&mut together, &[4, 3]);
            stack.forward(&mut first, &[4]);
            stack.forward(&mut second, &[3]);
            let alone = [first, second].concat();
            assert!(together.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn a_causal_position_does_not_see_what_comes_after() {
        let stack = stack(NormPlace::Before, Mask::Causal);
        let mut whole = input(4, 6, 3).into_values();
        let mut part = whole[..12].to_vec();
        stack.forward(&mut whole, &[4]);
        stack.forward(&mut part, &[2]);
        assert!(part.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_probe_of_equal_rows_answers_as_for_one() {
        let probe = Probe {
            query: input(1, 6, 4).into_values(),
            keys_values: dense(12, 6, 5),
            output: dense(6, 6, 7),
            n_heads: 3,
        };
        let row = input(1, 6, 9).into_values();
        let (one, three) = (probe.forward(&row), probe.forward(&row.repeat(3)));
        assert!(one.iter().zip(&three).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_dense_layer_by_hand() {
        let layer = Dense::new(Matrix::from_rows(2, 2, vec![1.0, 2.0, 0.0, -1.0]), Some(vec![0.5, 0.0]));
        let mut out = Vec::new();
        layer.forward(&[1.0, 1.0, 2.0, 0.0], &mut out, Precision::F32);
        assert_eq!(out, [3.5, -1.0, 2.5, 0.0]);
        let joined = Dense::joined(&[&layer, &layer]);
        joined.forward(&[1.0, 1.0], &mut out, Precision::F32);
        assert_eq!(out, [3.5, -1.0, 3.5, -1.0]);
        layer.scaled(&[2.0, 10.0]).forward(&[1.0, 1.0], &mut out, Precision::F32);
        assert_eq!(out, [7.0, -10.0]);
    }
}
