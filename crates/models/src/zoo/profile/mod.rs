//! A viewer as a point among videos that each event moves: it starts as the mean of favourites, and a network says how far, and
//! where to, what just happened moves it (the movie design's dynamic profile).

mod lesson;
mod memory;
mod network;

use std::sync::Arc;

use lesson::{Lesson, Space, beside};
pub use memory::Memory;
pub use network::Updater;
use network::{Event, Network, Walk};
use serde::{Deserialize, Serialize};
use upnext_data::{History, Interaction};
use upnext_math::Matrix;
use upnext_math::dot::dot;
use upnext_math::linalg::product_transposed_into;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{Embedding, normalise};
use upnext_nn::{Kind, Parameters};

use super::fusion::{self, Layers, Spread};
use super::two_tower::Inputs;
use crate::checkpoint::{Form, Writer};
use crate::train::{self, Learnt, Loop};
use crate::{Context, FitError, Recommender, Shape, Tower, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What moves the profile beside a step towards each wanted video: `residual` or `transformer`.
    pub updater: Updater,
    /// Width of the layer between an event and what it changes, and of the transformer.
    pub hidden: usize,
    /// Of the transformer: attention and feed-forward, so many times.
    pub n_blocks: usize,
    /// Of the transformer: heads of an attention.
    pub n_heads: usize,
    /// Videos whose mean the profile starts as: the first that were wanted.
    pub favourites: usize,
    /// Events that move it, the newest. Favourites are kept beyond them.
    pub length: usize,
    /// The least share of the mean of all that was ever wanted: what no number of events takes away.
    pub anchor_min: f32,
    /// Whether the layers of `fusion` learn on with it, by one loss; else its space stays as it is.
    pub end_to_end: bool,
    /// With `end_to_end`, whether each video has a vector of its own beside what it is.
    pub ids: bool,
    /// Share of videos whose own vectors are hidden in training, so that content carries one that nobody has seen.
    pub id_dropout: f32,
    /// Share of numbers left out in training.
    pub dropout: f32,
    /// Videos drawn for each step, against which a softmax is sampled.
    pub negatives: usize,
    /// What cosines are divided by.
    pub temperature: f32,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            updater: Updater::Residual,
            hidden: 256,
            n_blocks: 2,
            n_heads: 2,
            favourites: 3,
            length: 50,
            anchor_min: 0.3,
            end_to_end: true,
            ids: true,
            id_dropout: 0.1,
            dropout: 0.1,
            negatives: 1_024,
            temperature: 0.07,
            learn: Loop { batch: 64, epochs_max: 60, ..Loop::default() },
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let checks = [
            ((1..=8_192).contains(&self.hidden), "hidden", "1 to 8192"),
            (self.n_blocks <= 64, "n_blocks", "at most 64"),
            (self.n_heads > 0 && self.hidden.is_multiple_of(self.n_heads), "n_heads", "a divisor of hidden"),
            (self.favourites > 0, "favourites", "at least 1"),
            ((1..=4_096).contains(&self.length), "length", "1 to 4096"),
            ((0.0..1.0).contains(&self.anchor_min), "anchor_min", "0 to below 1"),
            ((0.0..1.0).contains(&self.id_dropout), "id_dropout", "0 to below 1"),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((1..=1 << 20).contains(&self.negatives), "negatives", "1 to 1048576"),
            (self.temperature > 0.0 && self.temperature.is_finite(), "temperature", "a positive number"),
        ];
        train::check("profile", &checks, &self.learn)
    }
}

/// A fitted updater, and the videos it moves among.
#[derive(Clone, Debug)]
pub struct Profile {
    settings: Settings,
    network: Network,
    parameters: Parameters,
    /// `(videos, dimension + 1)`: of unit length, then the popularity times the temperature.
    items: Matrix,
    /// `(videos, dimension)`, of unit length.
    videos: Matrix,
    /// The logarithm of how often each was wanted.
    popularity: Vec<f32>,
}

/// What was chosen on the way: epochs of the profile, and of the space it lives in.
pub(super) type Epochs = (u32, u32);

impl Profile {
    /// Trains until validation no longer gains, or for so many epochs; how many they were, what it came to, and what its space
    /// and its memory are like, in words. Without relations among videos its space is that of what is known of them.
    pub(super) fn fit(
        training: &Training,
        epochs: Option<Epochs>,
    ) -> Result<(Self, Epochs, Option<f64>, String), FitError> {
        training.needs_order("profile")?;
        let settings = &training.settings.profile;
        settings.check()?;
        let seed = training.seed;
        let of_fusion = &training.settings.fusion;
        let (inputs, start, fixed, epochs_of_space) =
            match fusion::learn(training, epochs.map(|(_, of_space)| of_space), "fusion") {
                Ok(learned) => (learned.inputs, Some(learned.parameters), learned.videos, learned.epochs),
                Err(FitError::Needs { .. }) => {
                    let inputs = Inputs::new(training, of_fusion.content, true);
                    if inputs.width() == 0 {
                        let needs = "vectors, labels, text or metadata of videos";
                        return Err(FitError::Needs { model: "profile".into(), needs });
                    }
                    let videos = Arc::new(normalise(inputs.arrays().0));
                    (inputs, None, videos, 0)
                }
                Err(error) => return Err(error),
            };
        let mut parameters = Parameters::new();
        let d = if settings.end_to_end { of_fusion.dimension() } else { fixed.n_columns() };
        // The network comes first: alone it has the same places among parameters.
        let network = Network::new(&mut parameters, settings, d, &mut Random::new(seed));
        let n_own = parameters.ids().len();
        let mut layers = None;
        if settings.end_to_end {
            layers = Some(Layers::new(&mut parameters, of_fusion, &inputs, &mut Random::new(mix(seed))));
            if let Some(start) = &start {
                for id in start.ids() {
                    let here = parameters.find(start.name(id)).expect("the layers are of the same settings");
                    *parameters.get_mut(here) = start.get(id).clone();
                }
            }
        }
        let space = match &layers {
            None => Space::Fixed(&fixed),
            Some(layers) => {
                // Of zeros at first: what nobody has seen is what its content says.
                let zeros = Matrix::zeros(inputs.n_videos(), d);
                let ids = settings.ids.then(|| Embedding { table: parameters.add("ids", Kind::Rows, zeros) });
                Space::Learnt { inputs: &inputs, layers, ids }
            }
        };
        let event = |row: &Interaction| Event::of(row.video, row.judgement, row.value);
        let histories: Vec<Vec<Event>> =
            training.interactions.users().map(|rows| rows.iter().map(event).collect()).collect();
        let popularity: Vec<f32> =
            training.interactions.popularity().iter().map(|&n| (n as f32).ln_1p()).collect();
        let lesson =
            Lesson { settings, training, network: &network, space, popularity: &popularity, histories };
        // The space it lives in is made by the settings of `fusion`.
        let of_space = mix(train::fingerprint(of_fusion, training) ^ u64::from(epochs_of_space));
        let fingerprint = mix(train::fingerprint(settings, training) ^ mix(of_space));
        let n_epochs = epochs.map(|(of_profile, _)| of_profile);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        let mut model = lesson.profile(&parameters);
        // What made the videos is done.
        model.parameters = Parameters::new();
        for id in parameters.ids().take(n_own) {
            model.parameters.add(parameters.name(id), parameters.kind(id), parameters.get(id).clone());
        }
        let told = format!("{}; {}", Spread::of(&model.videos), Memory::of(&model, seed));
        Ok((model, (epochs, epochs_of_space), score, told))
    }

    /// Of unit vectors of videos and their popularity.
    fn whole(
        settings: Settings,
        (videos, popularity): (&Matrix, &[f32]),
        (network, parameters): (Network, Parameters),
    ) -> Self {
        let items = beside(videos, |video| settings.temperature * popularity[video]);
        Self { settings, network, parameters, items, videos: videos.clone(), popularity: popularity.to_vec() }
    }

    /// Where viewers stand, `(histories, dimension + 1)`: of unit length, then how much popularity counts.
    fn users(&self, histories: &[&History]) -> Matrix {
        let n = self.videos.n_rows();
        let walk = |history: &&History| {
            let known = history.past().iter().filter(|past| (past.video as usize) < n);
            let past: Vec<Event> =
                known.map(|past| Event::of(past.video, past.judgement, past.value)).collect();
            Walk::newest(&past, &self.settings)
        };
        let walks: Vec<Walk> = histories.iter().map(walk).collect();
        let (profiles, _) = self.network.forward(&self.parameters, (&walks, &self.videos), None);
        let length = profiles.n_rows() / walks.len().max(1);
        let last =
            walks.iter().enumerate().flat_map(|(at, walk)| profiles.row(at * length + walk.events.len()));
        let last = Matrix::from_rows(walks.len(), self.videos.n_columns(), last.copied().collect());
        beside(&normalise(&last), |_| self.network.popularity(&self.parameters))
    }

    /// From a file: `get` gives the array of a name.
    pub(crate) fn load(
        settings: Settings,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        settings.check().map_err(|_| "settings".to_string())?;
        let (videos, popularity) = (get("videos").ok_or("videos")?, get("popularity").ok_or("popularity")?);
        if (popularity.n_rows(), popularity.n_columns()) != (videos.n_rows(), 1) {
            return Err("popularity".into());
        }
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, &settings, videos.n_columns(), &mut Random::new(0));
        super::load_into(&mut parameters, |name| get(name).ok_or_else(|| name.to_string()))?;
        Ok(Self::whole(settings, (&videos, popularity.values()), (network, parameters)))
    }
}

impl Recommender for Profile {
    fn name(&self) -> &str {
        "profile"
    }

    fn n_videos(&self) -> usize {
        self.videos.n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let profile = self.user(history);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(&profile, self.items.row(video));
        }
    }

    fn score(&self, history: &History, _context: &Context, rows: &[u32], scores: &mut [f32]) {
        let profile = self.user(history);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score = dot(&profile, self.items.row(row as usize));
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
        out.matrix("videos", &self.videos);
        out.matrix("popularity", &Matrix::from_rows(self.popularity.len(), 1, self.popularity.clone()));
        Form::Profile { settings: Box::new(self.settings.clone()) }
    }

    fn tower(&self) -> Option<&dyn Tower> {
        Some(self)
    }

    fn shape(&self) -> Shape<'_> {
        Shape::Inner(self)
    }
}

impl Tower for Profile {
    fn items(&self) -> &Matrix {
        &self.items
    }

    fn user(&self, history: &History) -> Vec<f32> {
        self.users(&[history]).into_values()
    }
}

#[cfg(test)]
mod tests;
