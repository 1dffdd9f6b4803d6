//! The shape of the network, how it is made and how it learns.

use serde::{Deserialize, Serialize};
use upnext_math::linalg::Precision;
use upnext_nn::layer::Wiring;

use crate::FitError;
use crate::train::{self, Augmentation, Loop};

/// The shape of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) dimension: usize,
    pub(crate) n_blocks: usize,
    pub(crate) n_heads: usize,
    /// Videos of a history that are read, the newest.
    pub(crate) length: usize,
    /// Share of the frequency filter in each block, and the frequencies that pass; 0 has no filter.
    pub(crate) filter: (f32, usize),
    /// Where norms stand in a block.
    pub(crate) wiring: Wiring,
}

impl Shape {
    /// Whether blocks are told how long ago videos were watched.
    pub(super) fn reads_times(self) -> bool {
        self.wiring == Wiring::Pointwise
    }
}

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a vector.
    pub dimension: usize,
    /// Attention and feed-forward, so many times.
    pub n_blocks: usize,
    /// Heads of an attention.
    pub n_heads: usize,
    /// Videos of a history that are read, the newest.
    pub length: usize,
    /// Share of numbers left out in training.
    pub dropout: f32,
    /// Share of BSARec's frequency filter in each block; 0 has none. It looks ahead, so it wants `prefixes`.
    pub filter: f32,
    /// The lowest frequencies, which pass the filter.
    pub filter_low: usize,
    /// Where norms stand: `pre-norm`, `post-norm` (after each sum, and of what goes into the first block), `gated` (with
    /// SwiGLU, as in eSASRec; without a filter), or `pointwise` (one gated attention without a softmax, told how long ago each
    /// video was watched, as in HSTU; without a filter).
    pub wiring: Wiring,
    /// Whether each place of a history is an example of its own, asked at its last place alone. Else all places of a
    /// history are asked at once, which costs less.
    pub prefixes: bool,
    /// Whether a video's vector is the sum of its own and of those of its labels and words, by their weights: so what a rare
    /// video has in common with others is learnt from these. Wants `negatives = 0`.
    pub content: bool,
    /// Videos drawn for each step, against which a softmax is sampled; 0 takes the whole catalogue.
    pub negatives: usize,
    /// What is changed at random: `window` (not where prefixes are examples), `crop` and `mask`.
    pub augment: Augmentation,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimension: 64,
            n_blocks: 2,
            n_heads: 1,
            length: 50,
            dropout: 0.3,
            filter: 0.0,
            filter_low: 5,
            wiring: Wiring::PreNorm,
            prefixes: false,
            content: false,
            negatives: 0,
            augment: Augmentation::default(),
            learn: Loop { beta2: 0.98, ..Loop::default() },
        }
    }
}

impl Settings {
    /// Those of BSARec as it is published, every prefix of a history an example: norms after each sum, half of all numbers left
    /// out, L2. Adam remembers squares for long: with 0.98 instead of 0.999 a video that is rarely wanted forgets the large
    /// gradients of when it was, and the small ones between them push it about at full rate.
    pub(crate) fn filtered() -> Self {
        let learn = Loop {
            batch: 256,
            beta2: 0.999,
            l2: 1e-4,
            average: 0.999,
            patience: 8,
            slower_after: 2,
            ..Self::default().learn
        };
        let wiring = Wiring::PostNorm;
        Self { filter: 0.7, filter_low: 3, wiring, dropout: 0.5, prefixes: true, learn, ..Self::default() }
    }

    /// For short histories: every prefix is an example, and much is left out; with BSARec's filter or without.
    pub(crate) fn for_short(is_filtered: bool) -> Self {
        let learn = Loop { precision: Precision::Bf16, ..Self::filtered().learn };
        let filter = if is_filtered { Self::filtered().filter } else { 0.0 };
        Self { filter, learn, ..Self::filtered() }
    }

    /// For long histories: all places of a history are asked at once. Few of them make a step, since each has many places: with
    /// 128 instead of 32 as much is learnt from twice the epochs. Of histories longer than what is read, mostly any part is: so
    /// what is older is learnt from too.
    pub(crate) fn for_long() -> Self {
        let learn = Loop {
            batch: 32,
            beta2: 0.999,
            average: 0.999,
            precision: Precision::Bf16,
            ..Self::default().learn
        };
        let augment = Augmentation { window: 0.9, ..Augmentation::default() };
        Self { length: 200, dropout: 0.2, augment, learn, ..Self::default() }
    }

    /// For long histories, another network beside that: wider and gated, it learns in a third of the epochs.
    pub(crate) fn for_long_gated() -> Self {
        Self { dimension: 128, wiring: Wiring::Gated, ..Self::for_long() }
    }

    /// Those of eSASRec: gated blocks, and a softmax against a few videos that are drawn.
    pub(crate) fn gated() -> Self {
        let learn = Loop { patience: 10, ..Self::default().learn };
        Self { wiring: Wiring::Gated, dropout: 0.2, negatives: 256, learn, ..Self::default() }
    }

    /// Those of HSTU: pointwise blocks, told of time, and the whole catalogue at every place.
    pub(crate) fn pointwise() -> Self {
        let learn = Loop { batch: 64, beta2: 0.999, average: 0.999, patience: 10, ..Self::default().learn };
        Self { wiring: Wiring::Pointwise, dropout: 0.2, learn, ..Self::default() }
    }

    /// Checks what cannot be meant.
    pub(crate) fn check(&self, model: &'static str) -> Result<(), FitError> {
        let checks = [
            ((1..=4_096).contains(&self.dimension), "dimension", "1 to 4096"),
            (self.n_blocks <= 64, "n_blocks", "at most 64"),
            (
                self.n_heads > 0 && self.dimension.is_multiple_of(self.n_heads),
                "n_heads",
                "a divisor of dimension",
            ),
            ((1..=4_096).contains(&self.length), "length", "1 to 4096"),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((0.0..=1.0).contains(&self.filter), "filter", "0 to 1"),
            (
                self.filter == 0.0 || self.prefixes,
                "prefixes",
                "true where there is a filter, which looks ahead",
            ),
            (self.negatives <= 100_000, "negatives", "at most 100000"),
            (!self.content || self.negatives == 0, "content", "false where negatives are drawn"),
            (
                self.filter == 0.0 || !matches!(self.wiring, Wiring::Gated | Wiring::Pointwise),
                "filter",
                "0 in gated and pointwise blocks, which have none",
            ),
        ];
        train::check(model, &checks, &self.learn)
    }

    pub(super) fn shape(&self) -> Shape {
        let Self { dimension, n_blocks, n_heads, length, wiring, .. } = *self;
        Shape { dimension, n_blocks, n_heads, length, filter: (self.filter, self.filter_low), wiring }
    }
}
