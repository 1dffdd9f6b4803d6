//! A block of a transformer: attention, then a wide layer, each behind a norm and added to what came in.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::{
    Activation, Attention, AttentionTape, Dropout, Dropped, FrequencyFilter, LayerNorm, Linear, Mask,
    NormTape,
};
use crate::parameters::add;
use crate::{Gradients, Parameters};

/// Numbers of the wide layer for each of the dimension.
const WIDER: usize = 4;

/// A pre-norm block with GELU (Xiong et al. 2020). With a frequency filter, attention and filter share what is added
/// (Shin et al. 2024).
#[derive(Clone, Debug)]
pub struct Block {
    before_attention: LayerNorm,
    attention: Attention,
    /// The filter, and its share of the sum.
    filter: Option<(FrequencyFilter, f32)>,
    before_wide: LayerNorm,
    wide: Linear,
    narrow: Linear,
    dropout: Dropout,
}

/// What backward needs of a block.
#[derive(Clone, Debug)]
pub struct BlockTape {
    norm: NormTape,
    attention: AttentionTape,
    dropped: Option<Dropped>,
    wide_norm: NormTape,
    before: Matrix,
    wide_dropped: Option<Dropped>,
}

/// How a block is made.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// Numbers of a row.
    pub dimension: usize,
    /// Heads of the attention.
    pub n_heads: usize,
    /// Which positions a position sees.
    pub mask: Mask,
    /// Of weights and of what is added.
    pub dropout: Dropout,
    /// Window, frequencies that pass, and share of the filter; without it attention is alone.
    pub filter: Option<(usize, usize, f32)>,
}

impl Block {
    /// With names under `name`.
    pub fn new(parameters: &mut Parameters, name: &str, shape: BlockShape, random: &mut Random) -> Self {
        let BlockShape { dimension: d, n_heads, mask, dropout, filter } = shape;
        let named = |part: &str| format!("{name}.{part}");
        Self {
            before_attention: LayerNorm::new(parameters, &named("before_attention"), d),
            attention: Attention::new(parameters, &named("attention"), d, n_heads, (mask, dropout), random),
            filter: filter.map(|(window, n_low, share)| {
                let layer = FrequencyFilter::new(parameters, &named("filter"), (window, d), n_low, random);
                (layer, share)
            }),
            before_wide: LayerNorm::new(parameters, &named("before_wide"), d),
            wide: Linear::new(parameters, &named("wide"), (d, WIDER * d), true, random),
            narrow: Linear::new(parameters, &named("narrow"), (WIDER * d, d), true, random),
            dropout,
        }
    }

    /// Changes `x`, sequences of `length` rows of which the first `n_there[i]` count.
    pub fn forward(
        &self,
        parameters: &Parameters,
        x: &mut Matrix,
        there: (usize, &[usize]),
        mut random: Option<&mut Random>,
    ) -> BlockTape {
        let (normed, norm) = self.before_attention.forward(parameters, x);
        let (mut made, attention) =
            self.attention.forward(parameters, &normed, there, None, random.as_deref_mut());
        if let Some((filter, share)) = &self.filter {
            made.values_mut().iter_mut().for_each(|x| *x *= 1.0 - share);
            let passed = filter.forward(parameters, &normed, there);
            made.values_mut().iter_mut().zip(passed.values()).for_each(|(x, low)| *x += share * low);
        }
        let dropped = self.dropout.forward(&mut made, random.as_deref_mut());
        add(x.values_mut(), made.values());
        let (wide_normed, wide_norm) = self.before_wide.forward(parameters, x);
        let before = self.wide.forward(parameters, &wide_normed);
        let mut made = self.narrow.forward(parameters, &Activation::Gelu.forward(&before));
        let wide_dropped = self.dropout.forward(&mut made, random);
        add(x.values_mut(), made.values());
        BlockTape { norm, attention, dropped, wide_norm, before, wide_dropped }
    }

    /// Changes the gradient of what came out to that of what came in.
    pub fn backward(
        &self,
        parameters: &Parameters,
        there: (usize, &[usize]),
        tape: &BlockTape,
        of_x: &mut Matrix,
        gradients: &mut Gradients,
    ) {
        let mut of_made = of_x.clone();
        Dropout::backward(tape.wide_dropped.as_ref(), &mut of_made);
        // Made again: the widest of all would take the most memory.
        let hidden = Activation::Gelu.forward(&tape.before);
        let of_hidden = self.narrow.backward(parameters, &hidden, &of_made, gradients);
        let of_before = Activation::Gelu.backward(&tape.before, of_hidden);
        let wide_normed = self.before_wide.again(parameters, &tape.wide_norm);
        let of_normed = self.wide.backward(parameters, &wide_normed, &of_before, gradients);
        let more = self.before_wide.backward(parameters, &tape.wide_norm, &of_normed, gradients);
        add(of_x.values_mut(), more.values());
        let mut of_made = of_x.clone();
        Dropout::backward(tape.dropped.as_ref(), &mut of_made);
        let normed = self.before_attention.again(parameters, &tape.norm);
        let of_filtered = self.filter.as_ref().map(|(filter, share)| {
            let mut of_low = of_made.clone();
            of_low.values_mut().iter_mut().for_each(|x| *x *= share);
            of_made.values_mut().iter_mut().for_each(|x| *x *= 1.0 - share);
            filter.backward(parameters, &normed, there, &of_low, gradients)
        });
        let mut of_normed =
            self.attention.backward(parameters, &normed, there, &tape.attention, &of_made, gradients, None);
        if let Some(of_filtered) = of_filtered {
            add(of_normed.values_mut(), of_filtered.values());
        }
        let more = self.before_attention.backward(parameters, &tape.norm, &of_normed, gradients);
        add(of_x.values_mut(), more.values());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    #[test]
    fn gradients_are_those_of_small_differences_with_a_filter_and_without() {
        for filter in [None, Some((5, 2, 0.7))] {
            let mut parameters = Parameters::new();
            let dropout = Dropout { probability: 0.0 };
            let shape = BlockShape { dimension: 4, n_heads: 2, mask: Mask::Causal, dropout, filter };
            let block = Block::new(&mut parameters, "b", shape, &mut Random::new(1));
            let there = (3, &[3, 2][..]);
            // Padding is read by nobody.
            let only = |mut rows: Matrix| {
                rows.row_mut(5).fill(0.0);
                rows
            };
            assert_gradients(
                &mut parameters,
                &mut input(6, 4, 2),
                |p, x| {
                    let mut x = x.clone();
                    block.forward(p, &mut x, there, None);
                    only(x)
                },
                |p, x, gradient, gradients| {
                    let tape = block.forward(p, &mut x.clone(), there, None);
                    let mut of_x = only(gradient.clone());
                    block.backward(p, there, &tape, &mut of_x, gradients);
                    of_x
                },
            );
        }
    }
}
