//! The network of a regressor: a side for the user, one for the video, and a head over both.

use upnext_math::Matrix;
use upnext_math::linalg::{Accumulate, Precision, View, multiply};
use upnext_math::seed::Random;
use upnext_nn::layer::{
    Activation, Dropout, Dropped, Embedding, Linear, Mlp, MlpShape, MlpTape, normalise, normalise_backward,
};
use upnext_nn::{Gradients, Parameters};

use super::{Offsets, Settings};

/// Facts of one side, `(users or videos, columns)`; there may be no columns.
#[derive(Clone, Debug)]
pub(crate) struct Side(pub(crate) Matrix);

impl Side {
    pub(super) fn len(&self) -> usize {
        self.0.n_rows()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Network {
    sides: [SideNetwork; 2],
    /// The head's first layer, whose two halves read the two sides; then the others.
    first: Linear,
    dropout: Dropout,
    rest: Mlp,
    width: usize,
}

#[derive(Clone, Debug)]
struct SideNetwork {
    ids: Option<Embedding>,
    tower: Option<Mlp>,
    normalise: bool,
    statistics: bool,
    /// Numbers that it gives the head.
    width: usize,
}

/// What one side of a batch reads.
pub(super) struct Input<'a> {
    pub(super) rows: &'a [Option<u32>],
    /// Mean and number of the other ratios.
    pub(super) statistics: &'a [[f32; 2]],
}

pub(super) struct Tape {
    sides: [SideTape; 2],
    joined: Matrix,
    before: Matrix,
    dropped: Option<Dropped>,
    rest: MlpTape,
}

struct SideTape {
    tower: Option<(Matrix, MlpTape)>,
}

/// `mean of ratios - overall mean` and `ln(1 + number)`, both of a size that a network likes.
pub(super) fn statistics(sum: f32, n: f32, mean: f32) -> [f32; 2] {
    // Five ratios of the overall mean keep one lucky view from being a habit.
    [(sum + 5.0 * mean) / (n + 5.0) - mean, (1.0 + n).ln() / 5.0]
}

/// Those of a video.
pub(super) fn statistics_of_video(offsets: &Offsets, video: u32) -> [f32; 2] {
    let at = video as usize;
    statistics(offsets.sums[at], offsets.counts[at], offsets.mean)
}

impl SideNetwork {
    fn new(
        parameters: &mut Parameters,
        name: &str,
        settings: &Settings,
        side: &Side,
        random: &mut Random,
    ) -> Self {
        let n_facts = side.0.n_columns() + if settings.statistics { 2 } else { 0 };
        let ids = (settings.ids > 0).then(|| {
            Embedding::new(parameters, &format!("{name}.ids"), (side.len(), settings.ids), 0.05, random)
        });
        let tower = (n_facts > 0 && !settings.tower.is_empty()).then(|| {
            let widths = [&[n_facts], &settings.tower[..]].concat();
            let shape = MlpShape {
                widths: &widths,
                activation: Activation::Relu,
                last: Some(Activation::Relu),
                dropout: (Dropout { probability: settings.dropout }, 1),
            };
            Mlp::new(parameters, &format!("{name}.tower"), shape, random)
        });
        let of_facts = if tower.is_some() { settings.tower[settings.tower.len() - 1] } else { n_facts };
        Self {
            ids,
            tower,
            normalise: settings.normalise,
            statistics: settings.statistics,
            width: settings.ids + of_facts,
        }
    }

    fn facts(&self, side: &Side, input: &Input) -> Matrix {
        let n = side.0.n_columns() + if self.statistics { 2 } else { 0 };
        let mut facts = Matrix::zeros(input.rows.len(), n);
        for (at, row) in input.rows.iter().enumerate() {
            let of_row = facts.row_mut(at);
            if let Some(row) = *row {
                of_row[..side.0.n_columns()].copy_from_slice(side.0.row(row as usize));
            }
            if self.statistics {
                of_row[n - 2..].copy_from_slice(&input.statistics[at]);
            }
        }
        facts
    }

    /// Ids, then what the tower makes of facts.
    fn forward(
        &self,
        parameters: &Parameters,
        side: &Side,
        input: &Input,
        random: Option<&mut Random>,
    ) -> (Matrix, SideTape) {
        let facts = self.facts(side, input);
        let (of_facts, tower) = match &self.tower {
            Some(tower) => {
                let (raw, tape) = tower.forward(parameters, facts, random);
                let given = if self.normalise { normalise(&raw) } else { raw.clone() };
                (given, Some((raw, tape)))
            }
            None => (facts, None),
        };
        let ids = self.ids.map(|ids| ids.forward(parameters, input.rows));
        let mut joined = Matrix::zeros(input.rows.len(), self.width);
        for at in 0..input.rows.len() {
            let row = joined.row_mut(at);
            let n_ids = ids.as_ref().map_or(0, |ids| {
                row[..ids.n_columns()].copy_from_slice(ids.row(at));
                ids.n_columns()
            });
            row[n_ids..].copy_from_slice(of_facts.row(at));
        }
        (joined, SideTape { tower })
    }

    fn backward(
        &self,
        parameters: &Parameters,
        input: &Input,
        tape: &SideTape,
        of_joined: &Matrix,
        gradients: &mut Gradients,
    ) {
        let n_ids = self.width - if self.tower.is_some() { tape_width(tape) } else { self.width };
        let part = |from: usize, to: usize| {
            let rows = (0..of_joined.n_rows()).flat_map(|at| of_joined.row(at)[from..to].iter().copied());
            Matrix::from_rows(of_joined.n_rows(), to - from, rows.collect())
        };
        if let Some(ids) = self.ids {
            let n_ids = parameters.get(ids.table).n_columns();
            ids.backward(input.rows, &part(0, n_ids), gradients);
        }
        if let (Some(tower), Some((raw, tape))) = (&self.tower, &tape.tower) {
            let mut of_tower = part(n_ids, self.width);
            if self.normalise {
                of_tower = normalise_backward(raw, &of_tower);
            }
            tower.backward(parameters, tape, of_tower, gradients, false);
        }
    }
}

fn tape_width(tape: &SideTape) -> usize {
    tape.tower.as_ref().map_or(0, |(raw, _)| raw.n_columns())
}

impl Network {
    pub(super) fn new(
        parameters: &mut Parameters,
        settings: &Settings,
        sides: &[Side; 2],
        random: &mut Random,
    ) -> Self {
        let user = SideNetwork::new(parameters, "user", settings, &sides[0], random);
        let video = SideNetwork::new(parameters, "video", settings, &sides[1], random);
        let n_outputs = settings.objective.n_outputs();
        let widths = [&settings.head[..], &[n_outputs]].concat();
        let first =
            Linear::new(parameters, "head.first", (user.width + video.width, widths[0]), true, random);
        let shape = MlpShape {
            widths: &widths,
            activation: Activation::Relu,
            last: None,
            dropout: (Dropout { probability: 0.0 }, 0),
        };
        let rest = Mlp::new(parameters, "head.rest", shape, random);
        Self {
            sides: [user, video],
            first,
            dropout: Dropout { probability: settings.dropout },
            rest,
            width: widths[0],
        }
    }

    /// `(pairs, outputs)`.
    pub(super) fn forward(
        &self,
        parameters: &Parameters,
        sides: &[Side; 2],
        inputs: [&Input; 2],
        mut random: Option<&mut Random>,
    ) -> (Matrix, Tape) {
        let (user, of_user) = self.sides[0].forward(parameters, &sides[0], inputs[0], random.as_deref_mut());
        let (video, of_video) =
            self.sides[1].forward(parameters, &sides[1], inputs[1], random.as_deref_mut());
        let mut joined = Matrix::zeros(user.n_rows(), user.n_columns() + video.n_columns());
        for at in 0..user.n_rows() {
            let row = joined.row_mut(at);
            row[..user.n_columns()].copy_from_slice(user.row(at));
            row[user.n_columns()..].copy_from_slice(video.row(at));
        }
        let before = self.first.forward(parameters, &joined);
        let mut hidden = if self.is_deep() { Activation::Relu.forward(&before) } else { before.clone() };
        let dropped =
            if self.is_deep() { self.dropout.forward(&mut hidden, random.as_deref_mut()) } else { None };
        let (output, rest) = self.rest.forward(parameters, hidden, random);
        (output, Tape { sides: [of_user, of_video], joined, before, dropped, rest })
    }

    /// Whether something follows the first layer; a head without hidden layers is that one alone.
    fn is_deep(&self) -> bool {
        !self.rest.is_empty()
    }

    pub(super) fn backward(
        &self,
        parameters: &Parameters,
        inputs: [&Input; 2],
        tape: &Tape,
        of_output: Matrix,
        gradients: &mut Gradients,
    ) {
        let asked = self.rest.backward(parameters, &tape.rest, of_output, gradients, true);
        let mut of_hidden = asked.expect("the gradient of the input was asked for");
        if self.is_deep() {
            Dropout::backward(tape.dropped.as_ref(), &mut of_hidden);
            of_hidden = Activation::Relu.backward(&tape.before, of_hidden);
        }
        let of_joined = self.first.backward(parameters, &tape.joined, &of_hidden, gradients);
        let n_user = self.sides[0].width;
        for (side, range) in [(0, 0..n_user), (1, n_user..of_joined.n_columns())] {
            let rows =
                (0..of_joined.n_rows()).flat_map(|at| of_joined.row(at)[range.clone()].iter().copied());
            let part = Matrix::from_rows(of_joined.n_rows(), range.len(), rows.collect());
            self.sides[side].backward(parameters, inputs[side], &tape.sides[side], &part, gradients);
        }
    }

    /// What one side adds to the head's first layer, without its bias: `(rows, width)`.
    fn first_of(&self, parameters: &Parameters, side: usize, sides: &Side, input: &Input) -> Matrix {
        let (given, _) = self.sides[side].forward(parameters, sides, input, None);
        let weight = parameters.get(self.first.weight());
        let skipped = if side == 0 { 0 } else { self.sides[0].width };
        let half =
            View::new(&weight.values()[skipped..], weight.n_rows(), given.n_columns(), weight.n_columns());
        let mut out = Matrix::zeros(given.n_rows(), self.width);
        if given.n_columns() > 0 {
            multiply(&mut out, Accumulate::Replace, (&given).into(), half.t(), 1.0, Precision::F32);
        }
        out
    }

    pub(super) fn first_of_videos(
        &self,
        parameters: &Parameters,
        side: &Side,
        videos: &[u32],
        statistics: &[[f32; 2]],
    ) -> Matrix {
        let rows: Vec<Option<u32>> = videos.iter().copied().map(Some).collect();
        self.first_of(parameters, 1, side, &Input { rows: &rows, statistics })
    }

    /// With the bias.
    pub(super) fn first_of_user(
        &self,
        parameters: &Parameters,
        side: &Side,
        user: Option<u32>,
        statistics: [f32; 2],
    ) -> Vec<f32> {
        let input = Input { rows: &[user], statistics: &[statistics] };
        let mut first = self.first_of(parameters, 0, side, &input).into_values();
        if let Some(bias) = self.first.bias() {
            first.iter_mut().zip(parameters.get(bias).values()).for_each(|(x, bias)| *x += bias);
        }
        first
    }

    /// The outputs for one user and some videos, from what both sides gave the first layer.
    pub(super) fn head(
        &self,
        parameters: &Parameters,
        of_user: &[f32],
        of_videos: &Matrix,
        rows: &[u32],
    ) -> Matrix {
        let mut hidden = Matrix::zeros(rows.len(), self.width);
        let floor = if self.is_deep() { 0.0 } else { f32::NEG_INFINITY };
        for (at, &row) in rows.iter().enumerate() {
            let sides = of_user.iter().zip(of_videos.row(row as usize));
            hidden.row_mut(at).iter_mut().zip(sides).for_each(|(x, (u, v))| *x = (u + v).max(floor));
        }
        self.rest.infer(parameters, &hidden)
    }
}
