//! A block of a transformer: attention over a sequence, then a wide layer over each place, in one of four wirings.

use serde::{Deserialize, Serialize};
use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::gated::{Gated, GatedBlockTape};
use super::pointwise::{Pointwise, PointwiseTape};
use super::post_norm::{PostNorm, PostNormTape};
use super::pre_norm::{PreNorm, PreNormTape};
use super::{Dropout, Elapsed, Mask};
use crate::{Gradients, Parameters};

/// Numbers of the wide layer for each of the dimension.
pub(super) const WIDER: usize = 4;

/// Where norms stand in a block, and how what it makes is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// A norm before each layer, GELU in the wide one (Xiong et al. 2020).
    #[default]
    PreNorm,
    /// A norm after each sum, as in the first transformer (Vaswani et al. 2017) and in BSARec.
    PostNorm,
    /// A norm before each layer, gates on what is added, SwiGLU (LiGR, Borisyuk et al. 2025; eSASRec).
    Gated,
    /// One gated attention without a softmax and without a wide layer, told of time (HSTU, Zhai et al. 2024).
    Pointwise,
}

/// How a block is made.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// Numbers of a row.
    pub dimension: usize,
    /// Heads of the attention.
    pub n_heads: usize,
    /// Rows of a sequence at most; what is not told of places does not ask.
    pub window: usize,
    /// Which positions a position sees.
    pub mask: Mask,
    /// Of weights and of what is added.
    pub dropout: Dropout,
    /// Frequencies that pass, and share of the filter; without it attention is alone. Gated and pointwise blocks have none.
    pub filter: Option<(usize, f32)>,
    /// Where norms stand.
    pub wiring: Wiring,
}

/// What a block is told of a batch: rows of sequences, one sequence after another.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// Rows of each, with padding.
    pub length: usize,
    /// How many rows of each are there, from its first; the others are padding.
    pub n_there: &'a [usize],
    /// How long ago events were, where that is known. Pointwise blocks alone read it.
    pub elapsed: Option<&'a Elapsed>,
}

impl<'a> From<(usize, &'a [usize])> for Sequences<'a> {
    fn from((length, n_there): (usize, &'a [usize])) -> Self {
        Self { length, n_there, elapsed: None }
    }
}

/// One block.
#[derive(Clone, Debug)]
pub struct Block(Wired);

#[derive(Clone, Debug)]
enum Wired {
    PreNorm(PreNorm),
    PostNorm(PostNorm),
    Gated(Gated),
    Pointwise(Pointwise),
}

/// What backward needs of a block.
#[derive(Clone, Debug)]
pub struct BlockTape(Taped);

#[derive(Clone, Debug)]
enum Taped {
    PreNorm(Box<PreNormTape>),
    PostNorm(Box<PostNormTape>),
    Gated(Box<GatedBlockTape>),
    Pointwise(Box<PointwiseTape>),
}

impl Block {
    /// With names under `name`.
    pub fn new(parameters: &mut Parameters, name: &str, shape: BlockShape, random: &mut Random) -> Self {
        Self(match shape.wiring {
            Wiring::PreNorm => Wired::PreNorm(PreNorm::new(parameters, name, shape, random)),
            Wiring::PostNorm => Wired::PostNorm(PostNorm::new(parameters, name, shape, random)),
            Wiring::Gated => Wired::Gated(Gated::new(parameters, name, shape, random)),
            Wiring::Pointwise => Wired::Pointwise(Pointwise::new(parameters, name, shape, random)),
        })
    }

    /// Changes the rows of sequences.
    pub fn forward<'a>(
        &self,
        parameters: &Parameters,
        x: &mut Matrix,
        of: impl Into<Sequences<'a>>,
        random: Option<&mut Random>,
    ) -> BlockTape {
        let of = of.into();
        let there = (of.length, of.n_there);
        BlockTape(match &self.0 {
            Wired::PreNorm(block) => Taped::PreNorm(Box::new(block.forward(parameters, x, there, random))),
            Wired::PostNorm(block) => Taped::PostNorm(Box::new(block.forward(parameters, x, there, random))),
            Wired::Gated(block) => Taped::Gated(Box::new(block.forward(parameters, x, there, random))),
            Wired::Pointwise(block) => Taped::Pointwise(Box::new(block.forward(parameters, x, of, random))),
        })
    }

    /// Changes the gradient of the output into that of the input.
    ///
    /// # Panics
    /// With the tape of a block of another wiring.
    pub fn backward<'a>(
        &self,
        parameters: &Parameters,
        of: impl Into<Sequences<'a>>,
        tape: &BlockTape,
        of_x: &mut Matrix,
        gradients: &mut Gradients,
    ) {
        let of = of.into();
        let there = (of.length, of.n_there);
        match (&self.0, &tape.0) {
            (Wired::PreNorm(block), Taped::PreNorm(tape)) => {
                block.backward(parameters, there, tape, of_x, gradients);
            }
            (Wired::PostNorm(block), Taped::PostNorm(tape)) => {
                block.backward(parameters, there, tape, of_x, gradients);
            }
            (Wired::Gated(block), Taped::Gated(tape)) => {
                block.backward(parameters, there, tape, of_x, gradients);
            }
            (Wired::Pointwise(block), Taped::Pointwise(tape)) => {
                block.backward(parameters, of, tape, of_x, gradients);
            }
            _ => panic!("the tape is of another block"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    fn block(
        parameters: &mut Parameters,
        wiring: Wiring,
        dropout: Dropout,
        filter: Option<(usize, f32)>,
    ) -> Block {
        let (dimension, n_heads, window, mask) = (4, 2, 5, Mask::Causal);
        let shape = BlockShape { dimension, n_heads, window, mask, dropout, filter, wiring };
        Block::new(parameters, "b", shape, &mut Random::new(1))
    }

    #[test]
    fn gradients_are_those_of_small_differences_with_a_filter_and_without() {
        let filter = Some((2, 0.7));
        let kinds = [
            (Wiring::PreNorm, None),
            (Wiring::PreNorm, filter),
            (Wiring::PostNorm, None),
            (Wiring::PostNorm, filter),
            (Wiring::Gated, None),
            (Wiring::Pointwise, None),
        ];
        for (wiring, filter) in kinds {
            let mut parameters = Parameters::new();
            let dropout = Dropout { probability: 0.0 };
            let block = block(&mut parameters, wiring, dropout, filter);
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

    #[test]
    fn what_is_left_out_is_the_same_on_the_way_back() {
        for wiring in [Wiring::PreNorm, Wiring::PostNorm, Wiring::Gated, Wiring::Pointwise] {
            let mut parameters = Parameters::new();
            let dropout = Dropout { probability: 0.4 };
            let filter = matches!(wiring, Wiring::PreNorm | Wiring::PostNorm).then_some((2, 0.7));
            let block = block(&mut parameters, wiring, dropout, filter);
            let there = (3, &[3, 3][..]);
            assert_gradients(
                &mut parameters,
                &mut input(6, 4, 2),
                |p, x| {
                    let mut x = x.clone();
                    block.forward(p, &mut x, there, Some(&mut Random::new(7)));
                    x
                },
                |p, x, gradient, gradients| {
                    let tape = block.forward(p, &mut x.clone(), there, Some(&mut Random::new(7)));
                    let mut of_x = gradient.clone();
                    block.backward(p, there, &tape, &mut of_x, gradients);
                    of_x
                },
            );
        }
    }
}
