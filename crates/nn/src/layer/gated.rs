//! A block whose layers are added by gates: LiGR (Borisyuk et al. 2025) in the form of eSASRec.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::block::{BlockShape, WIDER};
use super::{
    Attention, AttentionTape, Dropout, Dropped, GatedResidual, GatedTape, LayerNorm, NormTape, SwiGlu,
    SwiGluTape,
};
use crate::parameters::add;
use crate::{Gradients, Parameters};

/// `x + σ(G x) attention(norm x)`, then the same with SwiGLU in the place of attention.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    before_attention: LayerNorm,
    attention: Attention,
    attention_gate: GatedResidual,
    before_wide: LayerNorm,
    wide: SwiGlu,
    wide_gate: GatedResidual,
    dropout: Dropout,
}

/// What backward needs of it.
#[derive(Clone, Debug)]
pub(super) struct GatedBlockTape {
    input: Matrix,
    norm: NormTape,
    attention: AttentionTape,
    made: Matrix,
    dropped: Option<Dropped>,
    gate: GatedTape,
    middle: Matrix,
    wide_norm: NormTape,
    wide: SwiGluTape,
    wide_made: Matrix,
    wide_dropped: Option<Dropped>,
    wide_gate: GatedTape,
}

impl Gated {
    /// With names under `name`.
    pub(super) fn new(
        parameters: &mut Parameters,
        name: &str,
        shape: BlockShape,
        random: &mut Random,
    ) -> Self {
        let BlockShape { dimension: d, n_heads, mask, dropout, .. } = shape;
        let named = |part: &str| format!("{name}.{part}");
        Self {
            before_attention: LayerNorm::new(parameters, &named("before_attention"), d),
            attention: Attention::new(parameters, &named("attention"), d, n_heads, (mask, dropout), random),
            attention_gate: GatedResidual::new(parameters, &named("attention"), d, random),
            before_wide: LayerNorm::new(parameters, &named("before_wide"), d),
            wide: SwiGlu::new(parameters, &named("wide"), (d, WIDER * d), random),
            wide_gate: GatedResidual::new(parameters, &named("wide_residual"), d, random),
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
    ) -> GatedBlockTape {
        let input = x.clone();
        let (normed, norm) = self.before_attention.forward(parameters, &input);
        let (mut made, attention) =
            self.attention.forward(parameters, &normed, there, None, random.as_deref_mut());
        let dropped = self.dropout.forward(&mut made, random.as_deref_mut());
        let (middle, gate) = self.attention_gate.forward(parameters, &input, &made);
        let (normed, wide_norm) = self.before_wide.forward(parameters, &middle);
        let (mut wide_made, wide) = self.wide.forward(parameters, &normed);
        let wide_dropped = self.dropout.forward(&mut wide_made, random);
        let (output, wide_gate) = self.wide_gate.forward(parameters, &middle, &wide_made);
        *x = output;
        GatedBlockTape {
            input,
            norm,
            attention,
            made,
            dropped,
            gate,
            middle,
            wide_norm,
            wide,
            wide_made,
            wide_dropped,
            wide_gate,
        }
    }

    /// Changes the gradient of the output into that of the input.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        there: (usize, &[usize]),
        tape: &GatedBlockTape,
        of_x: &mut Matrix,
        gradients: &mut Gradients,
    ) {
        let (mut of_middle, mut of_made) = self.wide_gate.backward(
            parameters,
            (&tape.middle, &tape.wide_made),
            &tape.wide_gate,
            of_x,
            gradients,
        );
        Dropout::backward(tape.wide_dropped.as_ref(), &mut of_made);
        let normed = self.before_wide.again(parameters, &tape.wide_norm);
        let of_normed = self.wide.backward(parameters, &normed, &tape.wide, &of_made, gradients);
        let more = self.before_wide.backward(parameters, &tape.wide_norm, &of_normed, gradients);
        add(of_middle.values_mut(), more.values());
        let (mut of_input, mut of_made) = self.attention_gate.backward(
            parameters,
            (&tape.input, &tape.made),
            &tape.gate,
            &of_middle,
            gradients,
        );
        Dropout::backward(tape.dropped.as_ref(), &mut of_made);
        let normed = self.before_attention.again(parameters, &tape.norm);
        let of_normed =
            self.attention.backward(parameters, &normed, there, &tape.attention, &of_made, gradients, None);
        let more = self.before_attention.backward(parameters, &tape.norm, &of_normed, gradients);
        add(of_input.values_mut(), more.values());
        *of_x = of_input;
    }
}
