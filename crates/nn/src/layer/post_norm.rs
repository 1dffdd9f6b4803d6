//! A block with a norm after each sum, as in the first transformer (Vaswani et al. 2017) and in BSARec (Shin et al. 2024).

use upnext_math::Matrix;
use upnext_math::dot::add_scaled;
use upnext_math::seed::Random;

use super::block::{BlockShape, WIDER};
use super::{
    Activation, Attention, AttentionTape, Dropout, Dropped, FrequencyFilter, LayerNorm, Linear, NormTape,
};
use crate::parameters::add;
use crate::{Gradients, Parameters};

/// `x = (1 - s) norm(x + attention(x)) + s norm(x + filter(x))`, then `norm(x + wide(x))`; without a filter s is 0.
#[derive(Clone, Debug)]
pub(super) struct PostNorm {
    attention: Attention,
    after_attention: LayerNorm,
    /// The filter, its norm, and its share.
    filter: Option<(FrequencyFilter, LayerNorm, f32)>,
    wide: Linear,
    narrow: Linear,
    after_wide: LayerNorm,
    dropout: Dropout,
}

/// What backward needs of it.
#[derive(Clone, Debug)]
pub(super) struct PostNormTape {
    input: Matrix,
    attention: AttentionTape,
    dropped: Option<Dropped>,
    norm: NormTape,
    filtered: Option<(Option<Dropped>, NormTape)>,
    /// What the wide layer read, and what it made before GELU.
    mixed: Matrix,
    before: Matrix,
    wide_dropped: Option<Dropped>,
    wide_norm: NormTape,
}

impl PostNorm {
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
            attention: Attention::new(parameters, &named("attention"), d, n_heads, (mask, dropout), random),
            after_attention: LayerNorm::new(parameters, &named("after_attention"), d),
            filter: filter.map(|(n_low, share)| {
                let layer = FrequencyFilter::new(parameters, &named("filter"), (window, d), n_low, random);
                (layer, LayerNorm::new(parameters, &named("after_filter"), d), share)
            }),
            wide: Linear::new(parameters, &named("wide"), (d, WIDER * d), true, random),
            narrow: Linear::new(parameters, &named("narrow"), (WIDER * d, d), true, random),
            after_wide: LayerNorm::new(parameters, &named("after_wide"), d),
            dropout,
        }
    }

    /// Changes the rows of sequences.
    pub(super) fn forward(
        &self,
        parameters: &Parameters,
        x: &mut Matrix,
        there: (usize, &[usize]),
        mut random: Option<&mut Random>,
    ) -> PostNormTape {
        let input = x.clone();
        let (mut made, attention) =
            self.attention.forward(parameters, &input, there, None, random.as_deref_mut());
        let dropped = self.dropout.forward(&mut made, random.as_deref_mut());
        add(made.values_mut(), input.values());
        let (mut mixed, norm) = self.after_attention.forward(parameters, &made);
        let filtered = self.filter.as_ref().map(|(filter, after, share)| {
            let mut passed = filter.forward(parameters, &input, there);
            let dropped = self.dropout.forward(&mut passed, random.as_deref_mut());
            add(passed.values_mut(), input.values());
            let (passed, norm) = after.forward(parameters, &passed);
            mixed.values_mut().iter_mut().for_each(|x| *x *= 1.0 - share);
            add_scaled(mixed.values_mut(), *share, passed.values());
            (dropped, norm)
        });
        let before = self.wide.forward(parameters, &mixed);
        let mut made = self.narrow.forward(parameters, &Activation::Gelu.forward(&before));
        let wide_dropped = self.dropout.forward(&mut made, random);
        add(made.values_mut(), mixed.values());
        let (output, wide_norm) = self.after_wide.forward(parameters, &made);
        *x = output;
        PostNormTape { input, attention, dropped, norm, filtered, mixed, before, wide_dropped, wide_norm }
    }

    /// Changes the gradient of the output into that of the input.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        there: (usize, &[usize]),
        tape: &PostNormTape,
        of_x: &mut Matrix,
        gradients: &mut Gradients,
    ) {
        let of_sum = self.after_wide.backward(parameters, &tape.wide_norm, of_x, gradients);
        let mut of_made = of_sum.clone();
        Dropout::backward(tape.wide_dropped.as_ref(), &mut of_made);
        // Made again: the widest of all would take the most memory.
        let hidden = Activation::Gelu.forward(&tape.before);
        let of_hidden = self.narrow.backward(parameters, &hidden, &of_made, gradients);
        let of_before = Activation::Gelu.backward(&tape.before, of_hidden);
        let mut of_mixed = self.wide.backward(parameters, &tape.mixed, &of_before, gradients);
        add(of_mixed.values_mut(), of_sum.values());
        let mut of_input = Matrix::zeros(of_x.n_rows(), of_x.n_columns());
        if let (Some((filter, after, share)), Some((dropped, norm))) = (&self.filter, &tape.filtered) {
            let mut of_passed = of_mixed.clone();
            of_passed.values_mut().iter_mut().for_each(|x| *x *= share);
            of_mixed.values_mut().iter_mut().for_each(|x| *x *= 1.0 - share);
            let mut of_sum = after.backward(parameters, norm, &of_passed, gradients);
            add(of_input.values_mut(), of_sum.values());
            Dropout::backward(dropped.as_ref(), &mut of_sum);
            let more = filter.backward(parameters, &tape.input, there, &of_sum, gradients);
            add(of_input.values_mut(), more.values());
        }
        let mut of_sum = self.after_attention.backward(parameters, &tape.norm, &of_mixed, gradients);
        add(of_input.values_mut(), of_sum.values());
        Dropout::backward(tape.dropped.as_ref(), &mut of_sum);
        let more = self.attention.backward(
            parameters,
            &tape.input,
            there,
            &tape.attention,
            &of_sum,
            gradients,
            None,
        );
        add(of_input.values_mut(), more.values());
        *of_x = of_input;
    }
}
