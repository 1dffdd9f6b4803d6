//! Two towers: a transformer over what a user watched, and layers over what a video is; near means wanted.

mod inputs;
mod lesson;
mod network;

pub(crate) use inputs::Inputs;
use lesson::Lesson;
pub(crate) use network::Network;
use serde::{Deserialize, Serialize};
use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::dot::dot;
use upnext_math::linalg::product_transposed_into;
use upnext_math::seed::Random;
use upnext_nn::Parameters;

use crate::checkpoint::{Form, Writer};
use crate::train::{self, Augmentation, Learnt, Loop};
use crate::{Context, FitError, Recommender, Shape, Tower, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a step of the history inside the user tower.
    pub dimension: usize,
    /// Attention and feed-forward, so many times.
    pub n_blocks: usize,
    /// Heads of an attention.
    pub n_heads: usize,
    /// Steps of a history that are read, the newest.
    pub length: usize,
    /// Widths of the item tower; the last is what both towers give.
    pub item_layers: Vec<usize>,
    /// Share of numbers left out in training, in both towers.
    pub dropout: f32,
    /// Numbers of a video's embedding, where none was brought: the strongest directions of labels and words. 0 has none.
    pub content: usize,
    /// Whether each video has a vector of its own beside what it is.
    pub ids: bool,
    /// Share of examples whose ids are hidden in training, so that content carries a video that nobody has seen.
    pub id_dropout: f32,
    /// Whether both towers give unit length.
    pub normalise: bool,
    /// What inner products are divided by.
    pub temperature: f32,
    /// Whether the other videos of a batch count by how rare they are (Yi et al. 2019).
    pub log_q: bool,
    /// Videos drawn from the whole catalogue for each step, beside those of the batch (Yang et al. 2020).
    pub negatives: usize,
    /// Places of each history that are asked in an epoch, drawn anew; 0 asks all.
    pub places: usize,
    /// What is changed at random: `crop`, `mask`, `time_jitter_minutes`, `noise`.
    pub augment: Augmentation,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimension: 64,
            n_blocks: 2,
            n_heads: 2,
            length: 50,
            item_layers: vec![128, 64],
            dropout: 0.2,
            content: 64,
            ids: true,
            id_dropout: 0.1,
            normalise: true,
            temperature: 0.07,
            log_q: true,
            negatives: 1_024,
            places: 4,
            augment: Augmentation::default(),
            learn: Loop { batch: 256, epochs_max: 60, ..Loop::default() },
        }
    }
}

impl Settings {
    /// Checks what cannot be meant.
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let width = |n: &usize| (1..=8_192).contains(n);
        let checks = [
            (width(&self.dimension), "dimension", "1 to 8192"),
            (self.n_blocks <= 64, "n_blocks", "at most 64"),
            (
                self.n_heads > 0 && self.dimension.is_multiple_of(self.n_heads),
                "n_heads",
                "a divisor of dimension",
            ),
            ((1..=4_096).contains(&self.length), "length", "1 to 4096"),
            (
                (1..=16).contains(&self.item_layers.len()) && self.item_layers.iter().all(width),
                "item_layers",
                "1 to 16 widths of 1 to 8192",
            ),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            (self.content <= 4_096, "content", "at most 4096"),
            ((0.0..1.0).contains(&self.id_dropout), "id_dropout", "0 to below 1"),
            (self.temperature > 0.0 && self.temperature.is_finite(), "temperature", "a positive number"),
            (self.negatives <= 1 << 20, "negatives", "at most 1048576"),
        ];
        train::check("two-tower", &checks, &self.learn)
    }

    /// Numbers of what both towers give.
    pub(crate) fn n_outputs(&self) -> usize {
        *self.item_layers.last().expect("there is a layer: checked")
    }
}

/// A fitted pair of towers. The videos' vectors are made once.
#[derive(Clone, Debug)]
pub struct TwoTower {
    settings: Settings,
    inputs: Inputs,
    network: Network,
    parameters: Parameters,
    /// `(videos, outputs)`.
    items: Matrix,
}

impl TwoTower {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to
    /// on validation, where there is one.
    pub(super) fn fit(
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        training.needs_order("two-tower")?;
        let settings = &training.settings.two_tower;
        settings.check()?;
        let inputs = Inputs::new(training, settings.content, false);
        if inputs.width() == 0 && !settings.ids {
            let needs = "vectors, labels, text or metadata of videos, or `ids = true`";
            return Err(FitError::Needs { model: "two-tower".into(), needs });
        }
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, settings, &inputs, &mut Random::new(training.seed));
        if let Some(start) = training.start_of("two-tower") {
            start.check_inputs(inputs.arrays().0)?;
            start.apply(&mut parameters, &["step_ids.weight", "item_ids.weight"])?;
        }
        let lesson = Lesson::new(settings, &inputs, &network, training);
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        Ok((Self::whole(settings.clone(), inputs, (network, parameters)), epochs, score))
    }

    fn whole(settings: Settings, inputs: Inputs, (network, parameters): (Network, Parameters)) -> Self {
        let all: Vec<u32> = (0..inputs.n_videos() as u32).collect();
        let n = settings.n_outputs();
        let mut items = Matrix::zeros(all.len(), n);
        for block in all.chunks(BLOCK) {
            let (made, _) = network.items(&parameters, &inputs, block, None);
            let first = block[0] as usize * n;
            items.values_mut()[first..first + block.len() * n].copy_from_slice(made.values());
        }
        Self { settings, inputs, network, parameters, items }
    }

    /// How it was made.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The twelve numbers of a viewing, as a step of a history holds them.
    pub fn viewing(past: &upnext_data::Past) -> [f32; upnext_features::interaction::WIDTH] {
        inputs::Step::of(past).viewing
    }

    /// One row for each history.
    fn users(&self, histories: &[&History]) -> Matrix {
        let read: Vec<_> = histories
            .iter()
            .map(|history| self.inputs.read(history.past().iter().copied(), self.settings.length))
            .collect();
        let read: Vec<_> = read.iter().map(Vec::as_slice).collect();
        self.network.users(&self.parameters, &self.inputs, &read, None).0
    }

    /// From a file: `get` gives the array of a name.
    pub(crate) fn load(
        settings: Settings,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        settings.check().map_err(|_| "settings".to_string())?;
        let mut take = |name: &str| get(name).ok_or_else(|| name.to_string());
        let inputs = Inputs::from_matrix(take("inputs")?, take("known")?)?;
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, &settings, &inputs, &mut Random::new(0));
        super::load_into(&mut parameters, &mut take)?;
        Ok(Self::whole(settings, inputs, (network, parameters)))
    }
}

/// Videos whose vectors are made at once.
const BLOCK: usize = 512;

impl Recommender for TwoTower {
    fn name(&self) -> &str {
        "two-tower"
    }

    fn n_videos(&self) -> usize {
        self.items.n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let user = self.users(&[history]);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(user.row(0), self.items.row(video));
        }
    }

    fn score(&self, history: &History, _context: &Context, rows: &[u32], scores: &mut [f32]) {
        let user = self.users(&[history]);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score = dot(user.row(0), self.items.row(row as usize));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        let histories: Vec<&History> = questions.iter().map(|(history, _)| *history).collect();
        product_transposed_into(&self.users(&histories), &self.items, scores.values_mut());
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(&format!("network.{}", self.parameters.name(id)), self.parameters.get(id));
        }
        let (inputs, known) = self.inputs.arrays();
        out.matrix("inputs", inputs);
        out.matrix("known", known);
        Form::TwoTower { settings: Box::new(self.settings.clone()) }
    }

    fn tower(&self) -> Option<&dyn Tower> {
        Some(self)
    }

    fn shape(&self) -> Shape<'_> {
        Shape::Inner(self)
    }
}

impl Tower for TwoTower {
    fn items(&self) -> &Matrix {
        &self.items
    }

    fn user(&self, history: &History) -> Vec<f32> {
        self.users(&[history]).into_values()
    }
}

#[cfg(test)]
mod tests;
