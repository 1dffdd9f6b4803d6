//! Both towers: shapes, forward and backward.

use upnext_features::interaction::WIDTH;
use upnext_math::Matrix;
use upnext_math::dot::add_scaled;
use upnext_math::seed::Random;
use upnext_nn::layer::{
    Activation, AttentionPooling, Block, BlockShape, BlockTape, Dropout, Dropped, Embedding, LayerNorm,
    Linear, Mask, Mlp, MlpShape, MlpTape, NormTape, PoolingTape, Wiring, normalise, normalise_backward,
};
use upnext_nn::{Gradients, Id, Kind, Parameters};

use super::Settings;
use super::inputs::{Inputs, Step};

#[derive(Clone, Debug)]
pub(crate) struct Network {
    length: usize,
    normalise: bool,
    id_dropout: f32,
    dropout: Dropout,
    /// From a step to the dimension.
    step: Linear,
    /// A learnt step that stands before every history, so that an empty one has an answer.
    start: Id,
    places: Embedding,
    /// What a video adds to a step, and to what the item tower makes of it.
    step_ids: Option<Embedding>,
    item_ids: Option<Embedding>,
    blocks: Vec<Block>,
    last: LayerNorm,
    pooling: AttentionPooling,
    output: Linear,
    item: Mlp,
}

pub(super) struct UserTape {
    length: usize,
    n_there: Vec<usize>,
    steps: Matrix,
    ids: Vec<Option<u32>>,
    places: Vec<Option<u32>>,
    dropped: Option<Dropped>,
    blocks: Vec<BlockTape>,
    last: NormTape,
    normed: Matrix,
    pooling: PoolingTape,
    pooled: Matrix,
    raw: Matrix,
}

pub(super) struct ItemTape {
    ids: Vec<Option<u32>>,
    mlp: MlpTape,
    raw: Matrix,
}

fn add(to: &mut [f32], more: &[f32]) {
    add_scaled(to, 1.0, more);
}

impl Network {
    pub(super) fn new(
        parameters: &mut Parameters,
        settings: &Settings,
        inputs: &Inputs,
        random: &mut Random,
    ) -> Self {
        let (d, outputs) = (settings.dimension, settings.n_outputs());
        // Beside its numbers a flag for each embedding that is missing.
        let width = inputs.numbers();
        let dropout = Dropout { probability: settings.dropout };
        let of_block = BlockShape {
            dimension: d,
            n_heads: settings.n_heads,
            window: settings.length + 1,
            mask: Mask::Full,
            dropout,
            filter: None,
            wiring: Wiring::PreNorm,
        };
        let widths = [&[width], &settings.item_layers[..]].concat();
        let item = MlpShape {
            widths: &widths,
            activation: Activation::Gelu,
            last: None,
            dropout: (dropout, widths.len().saturating_sub(2)),
        };
        let mut ids = |name: &str, d: usize, parameters: &mut Parameters| {
            settings.ids.then(|| Embedding::new(parameters, name, (inputs.n_videos(), d), 0.05, random))
        };
        let (step_ids, item_ids) = (ids("step_ids", d, parameters), ids("item_ids", outputs, parameters));
        Self {
            length: settings.length,
            normalise: settings.normalise,
            id_dropout: settings.id_dropout,
            dropout,
            step: Linear::new(parameters, "step", (width + WIDTH, d), true, random),
            start: parameters.add_normal("start", Kind::Dense, (1, d), 0.05, random),
            places: Embedding::new(parameters, "places", (settings.length + 1, d), 0.05, random),
            step_ids,
            item_ids,
            blocks: (0..settings.n_blocks)
                .map(|at| Block::new(parameters, &format!("block.{at}"), of_block, random))
                .collect(),
            last: LayerNorm::new(parameters, "last", d),
            pooling: AttentionPooling::new(parameters, "pooling", d, random),
            output: Linear::new(parameters, "output", (d, outputs), true, random),
            item: Mlp::new(parameters, "item", item, random),
        }
    }

    /// One row for each history, `(histories, outputs)`. With a source of chance some ids are hidden.
    pub(super) fn users(
        &self,
        parameters: &Parameters,
        inputs: &Inputs,
        histories: &[&[Step]],
        mut random: Option<&mut Random>,
    ) -> (Matrix, UserTape) {
        let length = 1 + histories.iter().map(|history| history.len()).max().unwrap_or(0);
        let width = inputs.numbers();
        let mut steps = Matrix::zeros(histories.len() * length, width + WIDTH);
        let mut ids: Vec<Option<u32>> = vec![None; steps.n_rows()];
        let mut places = ids.clone();
        let mut n_there = Vec::with_capacity(histories.len());
        for (at, history) in histories.iter().enumerate() {
            let hidden = self.hides(random.as_deref_mut());
            n_there.push(history.len() + 1);
            for place in 0..=history.len() {
                // Places count from the newest.
                places[at * length + place] = Some((self.length - history.len() + place) as u32);
            }
            for (step, row) in history.iter().zip(at * length + 1..) {
                let out = steps.row_mut(row);
                inputs.of_video(step.video, &mut out[..width]);
                out[width..].copy_from_slice(&step.viewing);
                ids[row] = (!hidden).then_some(step.video);
            }
        }
        let mut x = self.step.forward(parameters, &steps);
        if let Some(step_ids) = self.step_ids {
            add(x.values_mut(), step_ids.forward(parameters, &ids).values());
        }
        let start = parameters.get(self.start).values();
        for at in 0..histories.len() {
            x.row_mut(at * length).copy_from_slice(start);
        }
        add(x.values_mut(), self.places.forward(parameters, &places).values());
        let dropped = self.dropout.forward(&mut x, random.as_deref_mut());
        let there = (length, &n_there[..]);
        let forward = |block: &Block| block.forward(parameters, &mut x, there, random.as_deref_mut());
        let blocks = self.blocks.iter().map(forward).collect();
        let (normed, last) = self.last.forward(parameters, &x);
        let (pooled, pooling) = self.pooling.forward(parameters, &normed, there);
        let raw = self.output.forward(parameters, &pooled);
        let given = if self.normalise { normalise(&raw) } else { raw.clone() };
        let tape = UserTape {
            length,
            n_there,
            steps,
            ids,
            places,
            dropped,
            blocks,
            last,
            normed,
            pooling,
            pooled,
            raw,
        };
        (given, tape)
    }

    pub(super) fn users_backward(
        &self,
        parameters: &Parameters,
        tape: &UserTape,
        of_given: &Matrix,
        gradients: &mut Gradients,
    ) {
        let there = (tape.length, &tape.n_there[..]);
        let of_raw = if self.normalise { normalise_backward(&tape.raw, of_given) } else { of_given.clone() };
        let of_pooled = self.output.backward(parameters, &tape.pooled, &of_raw, gradients);
        let of_normed =
            self.pooling.backward(parameters, &tape.normed, there, &tape.pooling, &of_pooled, gradients);
        let mut of_x = self.last.backward(parameters, &tape.last, &of_normed, gradients);
        for (block, tape) in self.blocks.iter().zip(&tape.blocks).rev() {
            block.backward(parameters, there, tape, &mut of_x, gradients);
        }
        Dropout::backward(tape.dropped.as_ref(), &mut of_x);
        self.places.backward(&tape.places, &of_x, gradients);
        for (at, &n) in tape.n_there.iter().enumerate() {
            let first = at * tape.length;
            add(gradients.dense(self.start).values_mut(), of_x.row(first));
            of_x.row_mut(first).fill(0.0);
            (n..tape.length).for_each(|place| of_x.row_mut(first + place).fill(0.0));
        }
        if let Some(step_ids) = self.step_ids {
            step_ids.backward(&tape.ids, &of_x, gradients);
        }
        self.step.backward_weights(parameters, &tape.steps, &of_x, gradients);
    }

    /// One row for each video, `(videos, outputs)`.
    pub(super) fn items(
        &self,
        parameters: &Parameters,
        inputs: &Inputs,
        videos: &[u32],
        mut random: Option<&mut Random>,
    ) -> (Matrix, ItemTape) {
        let mut x = Matrix::zeros(videos.len(), inputs.numbers());
        for (at, &video) in videos.iter().enumerate() {
            inputs.of_video(video, x.row_mut(at));
        }
        let ids: Vec<Option<u32>> =
            videos.iter().map(|&video| (!self.hides(random.as_deref_mut())).then_some(video)).collect();
        let (mut raw, mlp) = self.item.forward(parameters, x, random);
        if let Some(item_ids) = self.item_ids {
            add(raw.values_mut(), item_ids.forward(parameters, &ids).values());
        }
        let given = if self.normalise { normalise(&raw) } else { raw.clone() };
        (given, ItemTape { ids, mlp, raw })
    }

    pub(super) fn items_backward(
        &self,
        parameters: &Parameters,
        tape: &ItemTape,
        of_given: &Matrix,
        gradients: &mut Gradients,
    ) {
        let of_raw = if self.normalise { normalise_backward(&tape.raw, of_given) } else { of_given.clone() };
        if let Some(item_ids) = self.item_ids {
            item_ids.backward(&tape.ids, &of_raw, gradients);
        }
        self.item.backward(parameters, &tape.mlp, of_raw, gradients, false);
    }

    fn hides(&self, random: Option<&mut Random>) -> bool {
        match random {
            Some(random) if self.id_dropout > 0.0 => random.uniform() < self.id_dropout,
            _ => false,
        }
    }
}
