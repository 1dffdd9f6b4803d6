//! How events move a profile: what moves at once, what is slow to move, and their mix. Forward and backward.
//!
//! Of a viewer two points are kept. The fast one starts as the mean of favourites and takes a step towards each wanted video,
//! to which a network adds: `m' = m + β (v - m) + f`. The slow one is the mean `a` of all that was ever wanted. The profile is
//! `γ a/|a| + (1 - γ) m/|m|`; `γ` is learnt and stays above a floor, so that no number of events takes the slow part away.

use serde::{Deserialize, Serialize};
use upnext_data::Judgement;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::exp::sigmoid;
use upnext_math::seed::Random;
use upnext_nn::layer::{
    Activation, Block, BlockShape, BlockTape, Dropout, Dropped, Embedding, LayerNorm, Linear, Mask, Mlp,
    MlpShape, MlpTape, NormTape, Wiring, normalise, normalise_backward,
};
use upnext_nn::{Gradients, Id, Kind, Parameters};

use super::Settings;

/// What adds to the step towards a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Updater {
    /// Two layers over the profile and the event; what they give is part of the next profile.
    Residual,
    /// A causal transformer over the events (Kang & McAuley 2018).
    Transformer,
}

/// Numbers of an event beside its video: whether it was wanted, and how much of it was watched.
const EVENT: usize = 2;

#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// A row of the catalogue, or of the vectors at hand.
    pub(super) video: u32,
    numbers: [f32; EVENT],
}

impl Event {
    pub(super) fn of(video: u32, judgement: Judgement, value: Option<f32>) -> Self {
        let wanted = match judgement {
            Judgement::Positive => 1.0,
            Judgement::Neutral => 0.0,
            Judgement::Negative => -1.0,
        };
        Self { video, numbers: [wanted, value.filter(|x| x.is_finite()).unwrap_or(0.0).clamp(-5.0, 5.0)] }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.numbers[0] > 0.0
    }
}

/// A past as the network reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    /// The first videos that were wanted, whatever came since.
    pub(super) favourites: Vec<u32>,
    /// What was wanted after them, and before the events.
    pub(super) before: Vec<u32>,
    /// The events that move the profile, oldest first.
    pub(super) events: Vec<Event>,
}

/// How many events it takes until so many were wanted.
pub(super) fn n_first(events: &[Event], favourites: usize) -> usize {
    let wanted = (0..).zip(events).filter(|(_, event)| event.is_wanted());
    wanted.take(favourites).last().map_or(events.len(), |(at, _)| at + 1)
}

impl Walk {
    /// Of a whole past, moved by the events from one place to another. The favourites stand before them.
    pub(super) fn new(past: &[Event], favourites: usize, (from, to): (usize, usize)) -> Self {
        let first = n_first(past, favourites).min(from);
        let wanted = |events: &[Event]| -> Vec<u32> {
            events.iter().filter(|event| event.is_wanted()).map(|event| event.video).collect()
        };
        Self {
            favourites: wanted(&past[..first]),
            before: wanted(&past[first..from]),
            events: past[from..to].to_vec(),
        }
    }

    /// Every video of it, to be numbered otherwise.
    pub(super) fn each_video(&mut self, mut change: impl FnMut(&mut u32)) {
        self.favourites.iter_mut().chain(&mut self.before).for_each(&mut change);
        self.events.iter_mut().for_each(|event| change(&mut event.video));
    }

    /// Of a whole past, moved by its newest events.
    pub(super) fn newest(past: &[Event], settings: &Settings) -> Self {
        let first = n_first(past, settings.favourites);
        let from = first.max(past.len().saturating_sub(settings.length));
        Self::new(past, settings.favourites, (from, past.len()))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Network {
    /// The logit of `β`.
    pace: Id,
    /// The logit of how far `γ` lies from its floor to 1.
    anchor: Id,
    anchor_min: f32,
    /// How much a video's popularity counts.
    popularity: Id,
    length: usize,
    mover: Mover,
}

#[derive(Clone, Debug)]
enum Mover {
    Residual(Mlp),
    Transformer(Box<Transformer>),
}

#[derive(Clone, Debug)]
struct Transformer {
    step: Linear,
    places: Embedding,
    dropout: Dropout,
    blocks: Vec<Block>,
    last: LayerNorm,
    output: Linear,
}

enum Moved {
    /// Of each step who took it.
    Residual(Vec<(Vec<usize>, MlpTape)>),
    Transformer(Box<TransformerTape>),
}

struct TransformerTape {
    inputs: Matrix,
    places: Vec<Option<u32>>,
    dropped: Option<Dropped>,
    blocks: Vec<BlockTape>,
    last: NormTape,
    normed: Matrix,
}

/// What backward needs: rows of `length` places a walk, the first before any event.
pub(super) struct Tape {
    length: usize,
    /// The fast point, and where a transformer adds to it, what it adds to.
    fast: Matrix,
    base: Matrix,
    slow: Matrix,
    /// Videos that the slow point is the mean of.
    n_slow: Vec<f32>,
    moved: Moved,
}

/// The share of the step that is taken at first, and the first `γ` above its floor.
const PACE: f32 = 0.2;
const ANCHOR: f32 = 0.3;

fn logit(share: f32) -> f32 {
    (share / (1.0 - share)).ln()
}

impl Network {
    /// What a network adds is nothing at first: a profile begins as the exponential mean beside the plain one.
    pub(super) fn new(
        parameters: &mut Parameters,
        settings: &Settings,
        d: usize,
        random: &mut Random,
    ) -> Self {
        let dropout = Dropout { probability: settings.dropout };
        let (hidden, n_heads) = (settings.hidden, settings.n_heads);
        let mut scalar =
            |name: &str, value: f32| parameters.add(name, Kind::Dense, Matrix::from_rows(1, 1, vec![value]));
        let (pace, anchor) = (scalar("pace", logit(PACE)), scalar("anchor", logit(ANCHOR)));
        let popularity = scalar("popularity", 1.0);
        let mover = match settings.updater {
            Updater::Residual => {
                let shape = MlpShape {
                    widths: &[2 * d + EVENT, hidden, d],
                    activation: Activation::Gelu,
                    last: None,
                    dropout: (dropout, 1),
                };
                let mlp = Mlp::new(parameters, "change", shape, random);
                for name in ["change.1.weight", "change.1.bias"] {
                    let id = parameters.find(name).expect("the second of two layers");
                    parameters.get_mut(id).values_mut().fill(0.0);
                }
                Mover::Residual(mlp)
            }
            Updater::Transformer => {
                let of_block = BlockShape {
                    dimension: hidden,
                    n_heads,
                    window: settings.length + 1,
                    mask: Mask::Causal,
                    dropout,
                    filter: None,
                    wiring: Wiring::PreNorm,
                };
                let step = Linear::new(parameters, "step", (d + EVENT, hidden), true, random);
                let shape = (settings.length + 1, hidden);
                let places = Embedding::new(parameters, "places", shape, 0.02, random);
                let blocks = (0..settings.n_blocks)
                    .map(|at| Block::new(parameters, &format!("block.{at}"), of_block, random));
                let blocks = blocks.collect();
                let last = LayerNorm::new(parameters, "last", hidden);
                let output = Linear::new(parameters, "output", (hidden, d), false, random);
                parameters.get_mut(output.weight()).values_mut().fill(0.0);
                Mover::Transformer(Box::new(Transformer { step, places, dropout, blocks, last, output }))
            }
        };
        let (anchor_min, length) = (settings.anchor_min, settings.length);
        Self { pace, anchor, anchor_min, popularity, length, mover }
    }

    /// How much popularity counts.
    pub(super) fn popularity(&self, parameters: &Parameters) -> f32 {
        parameters.get(self.popularity).values()[0]
    }

    pub(super) fn add_popularity(&self, of_popularity: f32, gradients: &mut Gradients) {
        gradients.dense(self.popularity).values_mut()[0] += of_popularity;
    }

    /// `γ`.
    pub(super) fn anchor(&self, parameters: &Parameters) -> f32 {
        self.anchor_min + (1.0 - self.anchor_min) * sigmoid(parameters.get(self.anchor).values()[0])
    }

    /// The profile at each place of each walk, `(walks * length, dimension)`: before any event, and after each. Videos of walks
    /// are rows of `vectors`.
    pub(super) fn forward(
        &self,
        parameters: &Parameters,
        (walks, vectors): (&[Walk], &Matrix),
        random: Option<&mut Random>,
    ) -> (Matrix, Tape) {
        let d = vectors.n_columns();
        let length = 1 + walks.iter().map(|walk| walk.events.len()).max().unwrap_or(0);
        let vector = |video: u32| vectors.row(video as usize);
        let pace = sigmoid(parameters.get(self.pace).values()[0]);
        let mut fast = Matrix::zeros(walks.len() * length, d);
        let mut slow = Matrix::zeros(walks.len() * length, d);
        let mut n_slow = vec![0.0f32; slow.n_rows()];
        for (walk, first) in walks.iter().zip((0..).step_by(length)) {
            let n = walk.favourites.len().max(1) as f32;
            for &video in &walk.favourites {
                add_scaled(fast.row_mut(first), 1.0 / n, vector(video));
            }
            let mut sum = vec![0.0; d];
            let mut n = 0.0;
            let mut add = |sum: &mut [f32], video: u32| {
                add_scaled(sum, 1.0, vector(video));
                n += 1.0;
                n
            };
            for &video in walk.favourites.iter().chain(&walk.before) {
                n_slow[first] = add(&mut sum, video);
            }
            for place in 0..=walk.events.len() {
                if let Some(before) = place.checked_sub(1) {
                    let event = &walk.events[before];
                    let row = first + place;
                    n_slow[row] = n_slow[row - 1];
                    if event.is_wanted() {
                        n_slow[row] = add(&mut sum, event.video);
                    }
                }
                add_scaled(slow.row_mut(first + place), 1.0 / n_slow[first + place].max(1.0), &sum);
            }
        }
        let (base, moved) = match &self.mover {
            Mover::Residual(mlp) => {
                let moved =
                    Self::walk_on(mlp, parameters, (walks, vectors), (pace, length), &mut fast, random);
                (Matrix::zeros(0, d), moved)
            }
            Mover::Transformer(transformer) => {
                for (walk, first) in walks.iter().zip((0..).step_by(length)) {
                    for (event, row) in walk.events.iter().zip(first..) {
                        let mut next = fast.row(row).to_vec();
                        step_towards(&mut next, event, vector(event.video), pace);
                        fast.row_mut(row + 1).copy_from_slice(&next);
                    }
                }
                let base = fast.clone();
                let (change, moved) =
                    transformer.forward(parameters, (walks, vectors), (self.length, &base), random);
                add_scaled(fast.values_mut(), 1.0, change.values());
                (base, Moved::Transformer(Box::new(moved)))
            }
        };
        let anchor = self.anchor(parameters);
        let mut profiles = normalise(&slow);
        profiles.values_mut().iter_mut().for_each(|x| *x *= anchor);
        add_scaled(profiles.values_mut(), 1.0 - anchor, normalise(&fast).values());
        (profiles, Tape { length, fast, base, slow, n_slow, moved })
    }

    /// All walks take one step after another, those that still have events.
    fn walk_on(
        mlp: &Mlp,
        parameters: &Parameters,
        (walks, vectors): (&[Walk], &Matrix),
        (pace, length): (f32, usize),
        fast: &mut Matrix,
        mut random: Option<&mut Random>,
    ) -> Moved {
        let d = vectors.n_columns();
        let mut steps = Vec::with_capacity(length);
        for place in 0..length - 1 {
            let who: Vec<usize> = (0..walks.len()).filter(|&at| walks[at].events.len() > place).collect();
            let mut x = Matrix::zeros(who.len(), 2 * d + EVENT);
            for (row, &at) in who.iter().enumerate() {
                let event = &walks[at].events[place];
                let x = x.row_mut(row);
                x[..d].copy_from_slice(fast.row(at * length + place));
                x[d..2 * d].copy_from_slice(vectors.row(event.video as usize));
                x[2 * d..].copy_from_slice(&event.numbers);
            }
            let (change, tape) = mlp.forward(parameters, x, random.as_deref_mut());
            for (row, &at) in who.iter().enumerate() {
                let event = &walks[at].events[place];
                let mut next = fast.row(at * length + place).to_vec();
                step_towards(&mut next, event, vectors.row(event.video as usize), pace);
                add_scaled(&mut next, 1.0, change.row(row));
                fast.row_mut(at * length + place + 1).copy_from_slice(&next);
            }
            steps.push((who, tape));
        }
        Moved::Residual(steps)
    }

    /// Adds the gradients of the parameters, and of the vectors, from that of the profiles.
    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        (walks, vectors): (&[Walk], &Matrix),
        tape: &Tape,
        of_profiles: &Matrix,
        (gradients, of_vectors): (&mut Gradients, &mut Matrix),
    ) {
        let (length, d) = (tape.length, vectors.n_columns());
        let anchor = self.anchor(parameters);
        let (unit_fast, unit_slow) = (normalise(&tape.fast), normalise(&tape.slow));
        let of_anchor =
            dot(of_profiles.values(), unit_slow.values()) - dot(of_profiles.values(), unit_fast.values());
        let share = (anchor - self.anchor_min) / (1.0 - self.anchor_min);
        gradients.dense(self.anchor).values_mut()[0] +=
            of_anchor * (1.0 - self.anchor_min) * share * (1.0 - share);
        let scaled = |by: f32| {
            let values = of_profiles.values().iter().map(|x| by * x).collect();
            Matrix::from_rows(of_profiles.n_rows(), d, values)
        };
        let of_slow = normalise_backward(&tape.slow, &scaled(anchor));
        for (walk, first) in walks.iter().zip((0..).step_by(length)) {
            // A video is part of the mean from its own place on.
            let mut since = vec![0.0; d];
            for place in (0..=walk.events.len()).rev() {
                let row = first + place;
                if tape.n_slow[row] > 0.0 {
                    add_scaled(&mut since, 1.0 / tape.n_slow[row], of_slow.row(row));
                }
                let event = place.checked_sub(1).map(|before| &walk.events[before]);
                if let Some(event) = event.filter(|event| event.is_wanted()) {
                    add_scaled(of_vectors.row_mut(event.video as usize), 1.0, &since);
                }
            }
            for &video in walk.favourites.iter().chain(&walk.before) {
                add_scaled(of_vectors.row_mut(video as usize), 1.0, &since);
            }
        }
        let mut of_fast = normalise_backward(&tape.fast, &scaled(1.0 - anchor));
        // Where nothing was ever wanted there is no direction, and none is learnt.
        for (row, &n) in tape.n_slow.iter().enumerate() {
            if n == 0.0 {
                of_fast.row_mut(row).fill(0.0);
            }
        }
        if let (Mover::Transformer(transformer), Moved::Transformer(moved)) = (&self.mover, &tape.moved) {
            let of_inputs = transformer.backward(parameters, (walks, length), moved, &of_fast, gradients);
            for (walk, first) in walks.iter().zip((0..).step_by(length)) {
                add_scaled(of_fast.row_mut(first), 1.0, &of_inputs.row(first)[..d]);
                for (event, row) in walk.events.iter().zip(first + 1..) {
                    add_scaled(of_vectors.row_mut(event.video as usize), 1.0, &of_inputs.row(row)[..d]);
                }
            }
        }
        let pace = sigmoid(parameters.get(self.pace).values()[0]);
        let base = if tape.base.n_rows() > 0 { &tape.base } else { &tape.fast };
        let mut of_pace = 0.0;
        for place in (0..length - 1).rev() {
            if let (Mover::Residual(mlp), Moved::Residual(steps)) = (&self.mover, &tape.moved) {
                let (who, tape) = &steps[place];
                let mut of_change = Matrix::zeros(who.len(), d);
                for (row, &at) in who.iter().enumerate() {
                    of_change.row_mut(row).copy_from_slice(of_fast.row(at * length + place + 1));
                }
                let of_x = mlp.backward(parameters, tape, of_change, gradients, true);
                let of_x = of_x.expect("the gradient of the input was asked for");
                for (row, &at) in who.iter().enumerate() {
                    let video = walks[at].events[place].video as usize;
                    add_scaled(of_fast.row_mut(at * length + place), 1.0, &of_x.row(row)[..d]);
                    add_scaled(of_vectors.row_mut(video), 1.0, &of_x.row(row)[d..2 * d]);
                }
            }
            for (walk, first) in walks.iter().zip((0..).step_by(length)) {
                let Some(event) = walk.events.get(place) else { continue };
                let of_next = of_fast.row(first + place + 1).to_vec();
                let taken = if event.is_wanted() { pace } else { 0.0 };
                add_scaled(of_fast.row_mut(first + place), 1.0 - taken, &of_next);
                if event.is_wanted() {
                    add_scaled(of_vectors.row_mut(event.video as usize), pace, &of_next);
                    of_pace += dot(&of_next, vectors.row(event.video as usize));
                    of_pace -= dot(&of_next, base.row(first + place));
                }
            }
        }
        gradients.dense(self.pace).values_mut()[0] += of_pace * pace * (1.0 - pace);
        for (walk, first) in walks.iter().zip((0..).step_by(length)) {
            let n = walk.favourites.len().max(1) as f32;
            for &video in &walk.favourites {
                add_scaled(of_vectors.row_mut(video as usize), 1.0 / n, of_fast.row(first));
            }
        }
    }
}

/// `m + β (v - m)` for a wanted video; any other leaves the step to the network.
fn step_towards(point: &mut [f32], event: &Event, vector: &[f32], pace: f32) {
    if event.is_wanted() {
        point.iter_mut().zip(vector).for_each(|(x, v)| *x += pace * (v - *x));
    }
}

impl Transformer {
    /// What is added at each place. A place reads the event before it; the first reads the mean of favourites.
    fn forward(
        &self,
        parameters: &Parameters,
        (walks, vectors): (&[Walk], &Matrix),
        (length_max, base): (usize, &Matrix),
        mut random: Option<&mut Random>,
    ) -> (Matrix, TransformerTape) {
        let d = vectors.n_columns();
        let length = base.n_rows() / walks.len().max(1);
        let mut inputs = Matrix::zeros(base.n_rows(), d + EVENT);
        let mut places = vec![None; base.n_rows()];
        let n_there: Vec<usize> = walks.iter().map(|walk| walk.events.len() + 1).collect();
        for (walk, first) in walks.iter().zip((0..).step_by(length)) {
            inputs.row_mut(first)[..d].copy_from_slice(base.row(first));
            for (event, row) in walk.events.iter().zip(first + 1..) {
                let x = inputs.row_mut(row);
                x[..d].copy_from_slice(vectors.row(event.video as usize));
                x[d..].copy_from_slice(&event.numbers);
            }
            // Places count from the newest.
            for place in 0..=walk.events.len() {
                places[first + place] = Some((length_max - walk.events.len() + place) as u32);
            }
        }
        let mut x = self.step.forward(parameters, &inputs);
        add_scaled(x.values_mut(), 1.0, self.places.forward(parameters, &places).values());
        let dropped = self.dropout.forward(&mut x, random.as_deref_mut());
        let there = (length, &n_there[..]);
        let forward = |block: &Block| block.forward(parameters, &mut x, there, random.as_deref_mut());
        let blocks = self.blocks.iter().map(forward).collect();
        let (normed, last) = self.last.forward(parameters, &x);
        let change = self.output.forward(parameters, &normed);
        (change, TransformerTape { inputs, places, dropped, blocks, last, normed })
    }

    /// The gradient of what was read.
    fn backward(
        &self,
        parameters: &Parameters,
        (walks, length): (&[Walk], usize),
        tape: &TransformerTape,
        of_change: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        let TransformerTape { inputs, places, dropped, blocks, last, normed } = tape;
        let n_there: Vec<usize> = walks.iter().map(|walk| walk.events.len() + 1).collect();
        let of_normed = self.output.backward(parameters, normed, of_change, gradients);
        let mut of_x = self.last.backward(parameters, last, &of_normed, gradients);
        for (block, tape) in self.blocks.iter().zip(blocks).rev() {
            block.backward(parameters, (length, &n_there[..]), tape, &mut of_x, gradients);
        }
        Dropout::backward(dropped.as_ref(), &mut of_x);
        self.places.backward(places, &of_x, gradients);
        self.step.backward(parameters, inputs, &of_x, gradients)
    }
}
