//! A block of a transformer: attention, then a wide layer, each behind a norm and added to what came in.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::block::{BlockShape, WIDER};
use super::{
    Activation, Attention, AttentionTape, Dropout, Dropped, FrequencyFilter, LayerNorm, Linear, NormTape,
};
use crate::parameters::add;
use crate::{Gradients, Parameters};

/// A pre-norm block with GELU (Xiong et al. 2020). With a frequency filter, attention and filter share what is added
/// (Shin et al. 2024).
#[derive(Clone, Debug)]
pub(super) struct PreNorm {
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
pub(super) struct PreNormTape {
    norm: NormTape,
    attention: AttentionTape,
    dropped: Option<Dropped>,
    wide_norm: NormTape,
    before: Matrix,
    wide_dropped: Option<Dropped>,
}

impl PreNorm {
    /// With names under `name`.
    pub(super) fn new(
        parameters: &mut Parameters,
        name: &str,
        shape: BlockShape,
        random: &mut Random,
    ) -> Self {
        let BlockShape { dimension: d, n_heads, mask, dropout, filter, window, .. } = shape;
        let named = |part: &str| format!("{name}.{part}");
        Self {
            before_attention: LayerNorm::new(parameters, &named("before_attention"), d),
            attention: Attention::new(parameters, &named("attention"), d, n_heads, (mask, dropout), random),
            filter: filter.map(|(n_low, share)| {
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
    pub(super) fn forward(
        &self,
        parameters: &Parameters,
        x: &mut Matrix,
        there: (usize, &[usize]),
        mut random: Option<&mut Random>,
    ) -> PreNormTape {
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
        PreNormTape { norm, attention, dropped, wide_norm, before, wide_dropped }
    }

    /// Changes the gradient of what came out to that of what came in.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        there: (usize, &[usize]),
        tape: &PreNormTape,
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
