//! Content as one small vector: layers over what is known of a video, so trained that videos of the same genre, the same
//! director or the same actors lie near each other (the movie design's multi-triplet loss).

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{Activation, Dropout, Mlp, MlpShape, normalise, normalise_backward};
use upnext_nn::loss::{Triplet, multi_triplet};
use upnext_nn::{Gradients, Parameters, Shards};

use super::two_tower::Inputs;
use crate::checkpoint::{Form, Writer};
use crate::train::{self, Learnt, Loop, Task, batch, shuffle};
use crate::{Context, FitError, Recommender, Tower, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Widths of the layers; the last is that of the vectors.
    pub layers: Vec<usize>,
    /// Share of numbers left out in training.
    pub dropout: f32,
    /// Numbers of a video's embedding, where none was brought.
    pub content: usize,
    /// By how much a stranger must be further away than a relative.
    pub margin: f32,
    /// What each kind of relation weighs; 0 leaves one out, and kinds that are not named are not looked at.
    pub relations: std::collections::BTreeMap<String, f32>,
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
            content: 128,
            margin: 0.5,
            relations: weights.map(|(kind, weight)| (kind.to_string(), weight)).into(),
            decay: 0.9,
            learn: Loop { batch: 256, epochs_max: 30, epochs_default: 15, ..Loop::default() },
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let checks = [
            (
                (1..=16).contains(&self.layers.len()) && self.layers.iter().all(|n| (1..=8_192).contains(n)),
                "layers",
                "1 to 16 widths of 1 to 8192",
            ),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((1..=4_096).contains(&self.content), "content", "1 to 4096"),
            (self.margin > 0.0 && self.margin.is_finite(), "margin", "a positive number"),
            (
                self.relations.values().all(|x| x.is_finite() && *x >= 0.0),
                "relations",
                "weights of 0 or more",
            ),
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

/// A kind of relation between videos: who has which of its values.
struct Relation {
    weight: f32,
    /// Videos of each value.
    videos_of: Vec<Vec<u32>>,
    /// Values of each video, numbered within the kind.
    values_of: Vec<Vec<u32>>,
}

struct Lesson<'a> {
    settings: &'a Settings,
    inputs: &'a Inputs,
    mlp: &'a Mlp,
    relations: Vec<Relation>,
    /// Videos that have a relative.
    anchors: Vec<u32>,
}

/// Relations by kind: of labels `kind:value`, those that at least two videos have.
fn relations(training: &Training, settings: &Settings) -> Vec<Relation> {
    let facts = training.facts.as_deref();
    let labels = facts.map_or(&[][..], |facts| &facts.labels);
    let n_videos = training.interactions.n_videos();
    let of_kind = |(kind, values): &(String, Vec<Vec<u32>>)| {
        let weight = settings.relations.get(kind).copied().filter(|weight| *weight > 0.0)?;
        let n_values = values.iter().flatten().max().map_or(0, |&most| most as usize + 1);
        let mut videos_of = vec![Vec::new(); n_values];
        for (video, values) in (0..n_videos as u32).zip(values) {
            values.iter().for_each(|&value| videos_of[value as usize].push(video));
        }
        let shared = |value: &u32| videos_of[*value as usize].len() > 1;
        let values_of: Vec<Vec<u32>> =
            values.iter().map(|values| values.iter().copied().filter(shared).collect()).collect();
        Some(Relation { weight, videos_of, values_of })
    };
    labels.iter().filter_map(of_kind).collect()
}

impl Lesson<'_> {
    fn learn(
        &self,
        parameters: &Parameters,
        anchors: &[u32],
        n: usize,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        // Of each kind one relative and one stranger, and all their vectors once.
        let (mut rows, mut triplets) = (Vec::new(), Vec::new());
        let n_videos = self.inputs.n_videos();
        for &anchor in anchors {
            let at = rows.len();
            rows.push(anchor);
            for (kind, relation) in self.relations.iter().enumerate() {
                let values = &relation.values_of[anchor as usize];
                if values.is_empty() {
                    continue;
                }
                let videos = &relation.videos_of[values[random.below(values.len())] as usize];
                let relative = videos[random.below(videos.len())];
                let stranger = random.below(n_videos) as u32;
                let is_related =
                    relation.values_of[stranger as usize].iter().any(|value| values.contains(value));
                if relative == anchor || is_related {
                    continue;
                }
                triplets.push(Triplet {
                    relation: kind,
                    anchor: at,
                    positive: rows.len(),
                    negative: rows.len() + 1,
                });
                rows.extend([relative, stranger]);
            }
        }
        let mut x = Matrix::zeros(rows.len(), self.inputs.width() + 1);
        rows.iter().enumerate().for_each(|(at, &video)| self.inputs.of_video(video, x.row_mut(at)));
        let (raw, tape) = self.mlp.forward(parameters, x, Some(random));
        let unit = normalise(&raw);
        let weights: Vec<(f32, f32)> = self
            .relations
            .iter()
            .map(|relation| (self.settings.margin, relation.weight / n as f32))
            .collect();
        let mut of_unit = Matrix::zeros(unit.n_rows(), unit.n_columns());
        let loss = multi_triplet(&unit, &triplets, &weights, &mut of_unit);
        self.mlp.backward(parameters, &tape, normalise_backward(&raw, &of_unit), gradients, false);
        loss
    }
}

impl Task for &Lesson<'_> {
    type Epoch = Vec<u32>;

    fn name(&self) -> &'static str {
        "fusion"
    }

    fn epoch(&self, seed: u64) -> (Vec<u32>, usize) {
        let mut anchors = self.anchors.clone();
        shuffle(&mut anchors, &mut Random::new(seed));
        let n = anchors.len().div_ceil(self.settings.learn.batch);
        (anchors, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        anchors: &Vec<u32>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(anchors, step, self.settings.learn.batch);
        shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            if part.is_empty() {
                return 0.0;
            }
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            self.learn(parameters, &batch[part], batch.len(), random, gradients)
        })
    }

    // What lies near what does not say what is wanted next: no question decides, and the epochs are as set.
    fn is_judged(&self) -> bool {
        false
    }

    fn judge(&self, _parameters: &Parameters) -> Option<f64> {
        None
    }
}

impl Fusion {
    /// Trains for the epochs of the settings; how many that were.
    pub(super) fn fit(training: &Training, n_epochs: Option<u32>) -> Result<(Self, u32), FitError> {
        let settings = &training.settings.fusion;
        settings.check()?;
        let needs = |needs| Err(FitError::Needs { model: "fusion".into(), needs });
        let inputs = Inputs::new(training, settings.content);
        if inputs.width() == 0 {
            return needs("vectors, labels, text or metadata of videos");
        }
        let relations = relations(training, settings);
        let has_relative =
            |&video: &u32| relations.iter().any(|relation| !relation.values_of[video as usize].is_empty());
        let anchors: Vec<u32> = (0..inputs.n_videos() as u32).filter(has_relative).collect();
        if anchors.is_empty() {
            return needs("labels `genre:…`, `director:…`, `actor:…` or others of its `relations`");
        }
        let mut parameters = Parameters::new();
        let widths = [&[inputs.width() + 1], &settings.layers[..]].concat();
        let shape = MlpShape {
            widths: &widths,
            activation: Activation::Relu,
            last: None,
            dropout: (Dropout { probability: settings.dropout }, widths.len().saturating_sub(2)),
        };
        let mlp = Mlp::new(&mut parameters, "fusion", shape, &mut Random::new(training.seed));
        let lesson = Lesson { settings, inputs: &inputs, mlp: &mlp, relations, anchors };
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, .. } = learnt;
        let mut x = Matrix::zeros(inputs.n_videos(), inputs.width() + 1);
        (0..inputs.n_videos() as u32).for_each(|video| inputs.of_video(video, x.row_mut(video as usize)));
        let videos = Arc::new(normalise(&mlp.infer(&parameters, &x)));
        Ok((Self { videos, decay: settings.decay }, epochs))
    }

    /// The mean cosine of pairs of videos, from at most 100,000 of them: near 1 the space has collapsed.
    pub fn mean_cosine(&self, seed: u64) -> f64 {
        const PAIRS: usize = 100_000;
        let n = self.videos.n_rows();
        if n < 2 {
            return 1.0;
        }
        let mut random = Random::new(seed);
        let mut sum = 0.0;
        for _ in 0..PAIRS {
            let (a, b) = (random.below(n), random.below(n - 1));
            // Never a video with itself.
            let b = if b >= a { b + 1 } else { b };
            sum += f64::from(dot(self.videos.row(a), self.videos.row(b)));
        }
        sum / PAIRS as f64
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

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.matrix("videos", &self.videos);
        Form::Fusion { decay: self.decay }
    }

    fn tower(&self) -> Option<&dyn Tower> {
        Some(self)
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
