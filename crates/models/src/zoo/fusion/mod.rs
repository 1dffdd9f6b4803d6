//! Content as one small vector: layers over the modalities of a video, so trained that videos of the same genre, the same
//! director or the same actors lie near each other (the movie design's multi-triplet loss), or those that the same viewers
//! wanted close together.

mod lesson;
mod space;

use std::collections::BTreeMap;
use std::sync::Arc;

use lesson::Lesson;
pub use lesson::{Loss, Negatives};
use serde::{Deserialize, Serialize};
use space::Relation;
pub use space::Spread;
use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::product_transposed_into;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{Activation, Dropout, Mlp, MlpShape, MlpTape, normalise};
use upnext_nn::{Gradients, Parameters};

use super::two_tower::Inputs;
use crate::checkpoint::{Form, Writer};
use crate::train::{self, Learnt, Loop};
use crate::{Context, FitError, Recommender, Shape, Tower, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Widths of the layers; the last is that of the vectors.
    pub layers: Vec<usize>,
    /// Share of numbers left out in training.
    pub dropout: f32,
    /// How often a modality of a video is hidden in training, so that one without a poster still lands well. One stays.
    pub modality_dropout: f32,
    /// Directions of labels and words, a modality beside those that were brought; 0 leaves it out.
    pub content: usize,
    /// What is made small: `relations` or `co-watch`.
    pub loss: Loss,
    /// Of `relations`, which stranger of the batch stands in a triplet: `random`, `semi-hard` or `hard`.
    pub negatives: Negatives,
    /// By how much a stranger must be further away than a relative.
    pub margin: f32,
    /// What each kind of relation weighs; 0 leaves one out, and kinds that are not named are not looked at.
    pub relations: BTreeMap<String, f32>,
    /// Share of videos that `relations` are not learnt from: their nearest tell the best epoch.
    pub held_out: f32,
    /// Of `co-watch`, how many wanted videos further a viewer's second video may stand; without an order, anywhere.
    pub window: usize,
    /// Of `co-watch`, what cosines are divided by.
    pub temperature: f32,
    /// Weight of each step into the past when a history is averaged.
    pub decay: f32,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        let weights = [
            ("genre", 1.0),
            ("director", 1.0),
            ("actor", 1.0),
            ("cast", 1.0),
            ("tag", 0.5),
            ("category", 1.0),
        ];
        Self {
            layers: vec![256, 128],
            dropout: 0.1,
            modality_dropout: 0.2,
            content: 512,
            loss: Loss::CoWatch,
            negatives: Negatives::SemiHard,
            margin: 0.2,
            relations: weights.map(|(kind, weight)| (kind.to_string(), weight)).into(),
            held_out: 0.1,
            window: 3,
            temperature: 0.1,
            decay: 0.9,
            learn: Loop { batch: 256, epochs_max: 30, epochs_default: 15, ..Loop::default() },
        }
    }
}

impl Settings {
    /// For vectors that lists are varied by; what is said of relations and of the loop stays as it is set. They are learnt from relations: what the same people watch is no less varied for
    /// it. Strangers at random and a wide margin spread the space evenly, which keeps more relevance at equal variety than the
    /// settings that find the best neighbours; `docs/diversity.md` has the numbers.
    pub fn for_variety(&self) -> Self {
        Self {
            loss: Loss::Relations,
            negatives: Negatives::Random,
            margin: 0.5,
            content: 128,
            relations: self.relations.clone(),
            learn: self.learn.clone(),
            ..Self::default()
        }
    }

    /// Numbers of a vector.
    pub(crate) fn dimension(&self) -> usize {
        *self.layers.last().expect("there is a layer: checked")
    }

    pub(crate) fn check(&self) -> Result<(), FitError> {
        let checks = [
            (
                (1..=16).contains(&self.layers.len()) && self.layers.iter().all(|n| (1..=8_192).contains(n)),
                "layers",
                "1 to 16 widths of 1 to 8192",
            ),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((0.0..1.0).contains(&self.modality_dropout), "modality_dropout", "0 to below 1"),
            (self.content <= 4_096, "content", "at most 4096"),
            (self.margin > 0.0 && self.margin.is_finite(), "margin", "a positive number"),
            (
                self.relations.values().all(|x| x.is_finite() && *x >= 0.0),
                "relations",
                "weights of 0 or more",
            ),
            ((0.0..1.0).contains(&self.held_out), "held_out", "0 to below 1"),
            ((1..=1 << 20).contains(&self.window), "window", "1 to 1048576"),
            (self.temperature > 0.0 && self.temperature.is_finite(), "temperature", "a positive number"),
            (self.decay > 0.0 && self.decay <= 1.0, "decay", "above 0, at most 1"),
        ];
        train::check("fusion", &checks, &self.learn)
    }
}

/// Vectors of videos by content, of unit length; a viewer is the mean of what was watched.
#[derive(Clone, Debug)]
pub struct Fusion {
    pub(crate) videos: Arc<Matrix>,
    pub(crate) decay: f32,
}

/// From what is known of a video to its vector.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    mlp: Mlp,
    modality_dropout: f32,
}

impl Layers {
    pub(crate) fn new(
        parameters: &mut Parameters,
        settings: &Settings,
        inputs: &Inputs,
        random: &mut Random,
    ) -> Self {
        let widths = [&[inputs.numbers()], &settings.layers[..]].concat();
        let shape = MlpShape {
            widths: &widths,
            activation: Activation::Relu,
            last: None,
            dropout: (Dropout { probability: settings.dropout }, widths.len().saturating_sub(2)),
        };
        let mlp = Mlp::new(parameters, "fusion", shape, random);
        Self { mlp, modality_dropout: settings.modality_dropout }
    }

    /// One row for each video, not yet of unit length. With a source of chance some numbers and modalities are hidden.
    pub(crate) fn forward(
        &self,
        parameters: &Parameters,
        inputs: &Inputs,
        videos: &[u32],
        mut random: Option<&mut Random>,
    ) -> (Matrix, MlpTape) {
        let hiding = random.as_deref_mut().map(|random| (self.modality_dropout, random));
        let x = inputs.of_videos(videos, hiding);
        self.mlp.forward(parameters, x, random)
    }

    /// Adds the gradients of the layers.
    pub(crate) fn backward(
        &self,
        parameters: &Parameters,
        tape: &MlpTape,
        of_rows: Matrix,
        gradients: &mut Gradients,
    ) {
        self.mlp.backward(parameters, tape, of_rows, gradients, false);
    }

    /// The vectors of all videos, before unit length.
    pub(crate) fn raw(&self, parameters: &Parameters, inputs: &Inputs) -> Matrix {
        let all: Vec<u32> = (0..inputs.n_videos() as u32).collect();
        self.mlp.infer(parameters, &inputs.of_videos(&all, None))
    }

    /// The vectors of all videos, of unit length.
    pub(crate) fn all(&self, parameters: &Parameters, inputs: &Inputs) -> Matrix {
        normalise(&self.raw(parameters, inputs))
    }
}

/// A space that was learnt, and what it was learnt with: a model that goes on from there takes these.
pub(crate) struct Learned {
    pub(crate) inputs: Inputs,
    pub(crate) parameters: Parameters,
    /// `(videos, dimension)`, of unit length.
    pub(crate) videos: Arc<Matrix>,
    pub(crate) epochs: u32,
    score: Option<f64>,
    /// Of each relation, the share among the nearest.
    near: String,
}

/// Learns the layers until what judges them no longer gains, or for `n_epochs`.
/// What is kept of the training bears the `name`.
pub(crate) fn learn(
    training: &Training,
    n_epochs: Option<u32>,
    name: &'static str,
) -> Result<Learned, FitError> {
    let settings = &training.settings.fusion;
    settings.check()?;
    let needs = |needs| Err(FitError::Needs { model: "fusion".into(), needs });
    let inputs = Inputs::new(training, settings.content, true);
    if inputs.width() == 0 {
        return needs("vectors, labels, text or metadata of videos");
    }
    let relations = Relation::all(training, &settings.relations);
    let is_related =
        |&video: &u32| relations.iter().any(|relation| !relation.values_of[video as usize].is_empty());
    let related: Vec<u32> = (0..inputs.n_videos() as u32).filter(is_related).collect();
    // A training for a given number of epochs leaves nothing out.
    let share = if n_epochs.is_none() { settings.held_out } else { 0.0 };
    let draw = |video: u32| Random::new(mix(training.seed ^ mix(u64::from(video)))).uniform();
    let (held_out, anchors): (Vec<u32>, Vec<u32>) = related.iter().partition(|&&video| draw(video) < share);
    let wanted: Vec<Vec<u32>> = match settings.loss {
        Loss::Relations if anchors.is_empty() => {
            return needs("labels `genre:…`, `director:…`, `actor:…` or others of its `relations`");
        }
        Loss::Relations => Vec::new(),
        Loss::CoWatch => {
            let of_user = |rows: &[upnext_data::Interaction]| {
                rows.iter().filter(|row| row.is_positive()).map(|row| row.video).collect()
            };
            training.interactions.users().map(of_user).collect()
        }
    };
    let mut parameters = Parameters::new();
    let layers = Layers::new(&mut parameters, settings, &inputs, &mut Random::new(training.seed));
    let lesson = Lesson {
        name,
        settings,
        training,
        inputs: &inputs,
        layers: &layers,
        relations,
        anchors,
        held_out,
        wanted,
    };
    let fingerprint = train::fingerprint(settings, training);
    let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
    let Learnt { parameters, epochs, score } = learnt;
    let videos = Arc::new(layers.all(&parameters, &inputs));
    let asked = if lesson.held_out.is_empty() { &related } else { &lesson.held_out };
    let near = space::told(&videos, &normalise(inputs.arrays().0), &lesson.relations, asked);
    Ok(Learned { parameters, videos, epochs, score, near, inputs })
}

impl Fusion {
    /// Over vectors that exist, a row a video, zeros where there is none; each is brought to unit length.
    pub fn of_vectors(videos: &Matrix, decay: f32) -> Self {
        Self { videos: Arc::new(normalise(videos)), decay }
    }

    /// Trains until what judges it no longer gains, or for `n_epochs`; how many that were, what it came to, and what its space
    /// is like, in words.
    pub(super) fn fit(
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>, String), FitError> {
        let Learned { videos, epochs, score, near, .. } = learn(training, n_epochs, "fusion")?;
        let mut told = Spread::of(&videos).to_string();
        if !near.is_empty() {
            told += &format!("; of the {} nearest share {near}", space::NEAREST);
        }
        Ok((Self { videos, decay: training.settings.fusion.decay }, epochs, score, told))
    }

    /// The same for lists to be varied by: a video of which nothing is known has zeros, and is unlike all.
    pub(super) fn fit_for_variety(training: &Training) -> Result<Self, FitError> {
        let Learned { videos, inputs, .. } = learn(training, None, "variety")?;
        let mut videos = Arc::unwrap_or_clone(videos);
        let (_, known) = inputs.arrays();
        (0..known.n_rows())
            .filter(|&video| known.row(video).iter().all(|mask| *mask == 0.0))
            .for_each(|video| videos.row_mut(video).fill(0.0));
        Ok(Self { videos: Arc::new(videos), decay: training.settings.fusion.decay })
    }
}

impl Recommender for Fusion {
    fn name(&self) -> &str {
        "fusion"
    }

    fn n_videos(&self) -> usize {
        self.videos.n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let viewer = self.user(history);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(&viewer, self.videos.row(video));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        let viewers = questions.iter().flat_map(|(history, _)| self.user(history)).collect();
        let viewers = Matrix::from_rows(questions.len(), self.videos.n_columns(), viewers);
        product_transposed_into(&viewers, &self.videos, scores.values_mut());
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.matrix("videos", &self.videos);
        Form::Fusion { decay: self.decay }
    }

    fn tower(&self) -> Option<&dyn Tower> {
        Some(self)
    }

    fn shape(&self) -> Shape<'_> {
        Shape::Inner(self)
    }
}

impl Tower for Fusion {
    fn items(&self) -> &Matrix {
        &self.videos
    }

    /// The mean of what was watched, the newest weighing most; not of unit length.
    fn user(&self, history: &History) -> Vec<f32> {
        let mut viewer = vec![0.0; self.videos.n_columns()];
        let n = self.n_videos() as u32;
        for (age, video) in history.newest(usize::MAX).filter(|&(_, video)| video < n) {
            add_scaled(&mut viewer, self.decay.powi(age.min(1_000) as i32), self.videos.row(video as usize));
        }
        viewer
    }
}

#[cfg(test)]
mod tests;
