//! A viewer as a point among videos that each event moves: it starts as the mean of favourites, and a residual network says
//! how far, and where to, what just happened moves it (the movie design's dynamic profile).

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use upnext_data::{History, Interaction, Judgement, Past};
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{Activation, Dropout, Mlp, MlpShape, normalise, normalise_backward};
use upnext_nn::loss::{Candidates, sampled_softmax};
use upnext_nn::{Gradients, Parameters, Shards};

use super::Fusion;
use super::two_tower::Inputs;
use crate::checkpoint::{Form, Writer};
use crate::choose::validation_score;
use crate::train::{self, Learnt, Loop, Task, batch, shuffle};
use crate::{Context, FitError, Recommender, Tower, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Width of the layer between an event and what it changes.
    pub hidden: usize,
    /// Videos whose mean the profile starts as: the first that were wanted.
    pub favourites: usize,
    /// Events that move it, the newest.
    pub length: usize,
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
            hidden: 256,
            favourites: 3,
            length: 50,
            dropout: 0.1,
            negatives: 512,
            temperature: 0.07,
            learn: Loop { batch: 64, epochs_max: 60, ..Loop::default() },
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let checks = [
            ((1..=8_192).contains(&self.hidden), "hidden", "1 to 8192"),
            (self.favourites > 0, "favourites", "at least 1"),
            ((1..=4_096).contains(&self.length), "length", "1 to 4096"),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((1..=1 << 20).contains(&self.negatives), "negatives", "1 to 1048576"),
            (self.temperature > 0.0 && self.temperature.is_finite(), "temperature", "a positive number"),
        ];
        train::check("profile", &checks, &self.learn)
    }
}

/// Numbers of an event beside its video: whether it was wanted, and how much of it was watched.
const EVENT: usize = 2;

/// A fitted updater over fixed vectors of videos.
#[derive(Clone, Debug)]
pub struct Profile {
    settings: Settings,
    /// `(videos, dimension)`, of unit length.
    videos: Arc<Matrix>,
    mlp: Mlp,
    parameters: Parameters,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    video: u32,
    numbers: [f32; EVENT],
}

impl Event {
    fn of(video: u32, judgement: Judgement, value: Option<f32>) -> Self {
        let wanted = match judgement {
            Judgement::Positive => 1.0,
            Judgement::Neutral => 0.0,
            Judgement::Negative => -1.0,
        };
        Self { video, numbers: [wanted, value.filter(|x| x.is_finite()).unwrap_or(0.0).clamp(-5.0, 5.0)] }
    }

    fn is_wanted(&self) -> bool {
        self.numbers[0] > 0.0
    }
}

fn new_mlp(parameters: &mut Parameters, settings: &Settings, d: usize, random: &mut Random) -> Mlp {
    let widths = [2 * d + EVENT, settings.hidden, d];
    let dropout = (Dropout { probability: settings.dropout }, 1);
    let shape = MlpShape { widths: &widths, activation: Activation::Gelu, last: None, dropout };
    Mlp::new(parameters, "change", shape, random)
}

/// The mean of the first wanted videos, and how many events those took.
fn start(videos: &Matrix, events: &[Event], favourites: usize) -> (Vec<f32>, usize) {
    let (mut mean, mut n, mut taken) = (vec![0.0; videos.n_columns()], 0, 0);
    for event in events {
        if n == favourites {
            break;
        }
        taken += 1;
        if event.is_wanted() {
            add_scaled(&mut mean, 1.0, videos.row(event.video as usize));
            n += 1;
        }
    }
    mean.iter_mut().for_each(|x| *x /= n.max(1) as f32);
    (mean, taken)
}

/// What the network reads of a profile and an event.
fn write_input(profile: &[f32], event: &Event, videos: &Matrix, row: &mut [f32]) {
    let d = profile.len();
    row[..d].copy_from_slice(profile);
    row[d..2 * d].copy_from_slice(videos.row(event.video as usize));
    row[2 * d..].copy_from_slice(&event.numbers);
}

struct Lesson<'a> {
    settings: &'a Settings,
    videos: &'a Arc<Matrix>,
    mlp: &'a Mlp,
    training: &'a Training<'a>,
    /// Events of each user with at least one wanted video after the first.
    histories: Vec<Vec<Event>>,
}

impl Lesson<'_> {
    fn learn(
        &self,
        parameters: &Parameters,
        histories: &[u32],
        (n_targets, negatives): (usize, &[u32]),
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (videos, d) = (self.videos, self.videos.n_columns());
        // Profiles of all sequences move on together, one event at a time.
        let mut now = Vec::with_capacity(histories.len());
        let mut first = Vec::with_capacity(histories.len());
        let events: Vec<&[Event]> = histories
            .iter()
            .map(|&user| {
                let events = &self.histories[user as usize];
                &events[events.len().saturating_sub(self.settings.length + self.settings.favourites)..]
            })
            .collect();
        for events in &events {
            let (profile, taken) = start(videos, events, self.settings.favourites);
            now.push(profile);
            first.push(taken);
        }
        // Of each step: who is in it, the tape, and the row of the question it asked.
        let mut steps = Vec::new();
        let (mut asked, mut targets): (Vec<f32>, Vec<u32>) = (Vec::new(), Vec::new());
        let ask =
            |profile: &[f32], events: &[Event], at: usize, asked: &mut Vec<f32>, targets: &mut Vec<u32>| {
                let next = events.get(at).filter(|event| event.is_wanted())?;
                asked.extend(profile);
                targets.push(next.video);
                Some(targets.len() - 1)
            };
        for step in 0.. {
            let who: Vec<usize> =
                (0..events.len()).filter(|&at| first[at] + step + 1 < events[at].len()).collect();
            if who.is_empty() {
                break;
            }
            let mut x = Matrix::zeros(who.len(), 2 * d + EVENT);
            for (row, &at) in who.iter().enumerate() {
                write_input(&now[at], &events[at][first[at] + step], videos, x.row_mut(row));
            }
            let (change, tape) = self.mlp.forward(parameters, x, Some(random));
            let mut questions = Vec::with_capacity(who.len());
            for (row, &at) in who.iter().enumerate() {
                add_scaled(&mut now[at], 1.0, change.row(row));
                questions.push(ask(&now[at], events[at], first[at] + step + 1, &mut asked, &mut targets));
            }
            steps.push((who, tape, questions));
        }
        if targets.is_empty() {
            return 0.0;
        }
        let raw = Matrix::from_rows(targets.len(), d, asked);
        let rows_of = |ids: &[u32]| {
            let values = ids.iter().flat_map(|&id| videos.row(id as usize)).copied().collect();
            Matrix::from_rows(ids.len(), d, values)
        };
        let (answers, others) = (rows_of(&targets), rows_of(negatives));
        let weights = vec![1.0 / n_targets as f32; targets.len()];
        let log_q = vec![0.0; negatives.len()];
        let candidates = Candidates { vectors: &others, ids: negatives, log_q: &log_q };
        let asking = normalise(&raw);
        let scale = 1.0 / self.settings.temperature;
        let found = sampled_softmax(
            &asking,
            (&answers, &targets, &weights),
            candidates,
            scale,
            parameters.precision(),
        );
        let of_raw = normalise_backward(&raw, &found.of_rows);
        let mut of_now = vec![vec![0.0; d]; events.len()];
        for (who, tape, questions) in steps.iter().rev() {
            let mut of_change = Matrix::zeros(who.len(), d);
            for (row, (&at, question)) in who.iter().zip(questions).enumerate() {
                if let Some(question) = *question {
                    add_scaled(&mut of_now[at], 1.0, of_raw.row(question));
                }
                of_change.row_mut(row).copy_from_slice(&of_now[at]);
            }
            let of_x = self.mlp.backward(parameters, tape, of_change, gradients, true);
            let of_x = of_x.expect("the gradient of the input was asked for");
            for (row, &at) in who.iter().enumerate() {
                add_scaled(&mut of_now[at], 1.0, &of_x.row(row)[..d]);
            }
        }
        found.loss
    }
}

impl Task for &Lesson<'_> {
    type Epoch = Vec<u32>;

    fn name(&self) -> &'static str {
        "profile"
    }

    fn epoch(&self, seed: u64) -> (Vec<u32>, usize) {
        let mut users: Vec<u32> = (0..self.histories.len() as u32).collect();
        shuffle(&mut users, &mut Random::new(seed));
        let n = users.len().div_ceil(self.settings.learn.batch);
        (users, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        users: &Vec<u32>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(users, step, self.settings.learn.batch);
        let mut random = Random::new(seed);
        let n_videos = self.videos.n_rows();
        let negatives: Vec<u32> =
            (0..self.settings.negatives).map(|_| random.below(n_videos) as u32).collect();
        let n_targets = batch.iter().map(|&user| self.histories[user as usize].len()).sum::<usize>().max(1);
        shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            self.learn(parameters, &batch[part], (n_targets, &negatives), random, gradients)
        })
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let (videos, mlp) = (Arc::clone(self.videos), self.mlp.clone());
        let model = Profile { settings: self.settings.clone(), videos, mlp, parameters: parameters.clone() };
        let Training { validation, candidates, .. } = self.training;
        (!validation.is_empty()).then(|| validation_score(&model, validation, candidates))
    }
}

impl Profile {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to.
    /// Its space is that of `fusion` where there are relations, else that of content.
    pub(super) fn fit(
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        training.needs_order("profile")?;
        let settings = &training.settings.profile;
        settings.check()?;
        let videos = match Fusion::fit(training, None) {
            Ok((fusion, _)) => fusion.videos,
            Err(FitError::Needs { .. }) => {
                let inputs = Inputs::new(training, training.settings.fusion.content);
                if inputs.width() == 0 {
                    let needs = "vectors, labels, text or metadata of videos";
                    return Err(FitError::Needs { model: "profile".into(), needs });
                }
                Arc::new(normalise(inputs.arrays().0))
            }
            Err(error) => return Err(error),
        };
        let event = |row: &Interaction| Event::of(row.video, row.judgement, row.value);
        let histories: Vec<Vec<Event>> = (training.interactions.users())
            .map(|rows| rows.iter().map(event).collect::<Vec<Event>>())
            .filter(|events| events.len() > 1)
            .collect();
        let mut parameters = Parameters::new();
        let mlp = new_mlp(&mut parameters, settings, videos.n_columns(), &mut Random::new(training.seed));
        let lesson = Lesson { settings, videos: &videos, mlp: &mlp, training, histories };
        // The space it lives in is made by the settings of `fusion`.
        let of_space = train::fingerprint(&training.settings.fusion, training);
        let fingerprint = mix(train::fingerprint(settings, training) ^ mix(of_space));
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        Ok((Self { settings: settings.clone(), videos, mlp, parameters }, epochs, score))
    }

    /// Where a viewer stands after a past.
    fn after(&self, past: &[Past]) -> Vec<f32> {
        let n = self.videos.n_rows();
        let known = past.iter().filter(|past| (past.video as usize) < n);
        let events: Vec<Event> =
            known.map(|past| Event::of(past.video, past.judgement, past.value)).collect();
        let newest = &events[events.len().saturating_sub(self.settings.length + self.settings.favourites)..];
        let (mut profile, taken) = start(&self.videos, newest, self.settings.favourites);
        newest[taken..].iter().for_each(|event| self.step(&mut profile, event));
        profile
    }

    /// What one event changes.
    fn step(&self, profile: &mut [f32], event: &Event) {
        let mut x = Matrix::zeros(1, 2 * profile.len() + EVENT);
        write_input(profile, event, &self.videos, x.row_mut(0));
        add_scaled(profile, 1.0, self.mlp.infer(&self.parameters, &x).row(0));
    }

    /// From a file: `get` gives the array of a name.
    pub(crate) fn load(
        settings: Settings,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        settings.check().map_err(|_| "settings".to_string())?;
        let videos = get("videos").ok_or("videos")?;
        let mut parameters = Parameters::new();
        let mlp = new_mlp(&mut parameters, &settings, videos.n_columns(), &mut Random::new(0));
        super::load_into(&mut parameters, |name| get(name).ok_or_else(|| name.to_string()))?;
        Ok(Self { settings, videos: Arc::new(videos), mlp, parameters })
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
            *score = dot(&profile, self.videos.row(video));
        }
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(&format!("network.{}", self.parameters.name(id)), self.parameters.get(id));
        }
        out.matrix("videos", &self.videos);
        Form::Profile { settings: Box::new(self.settings.clone()) }
    }

    fn tower(&self) -> Option<&dyn Tower> {
        Some(self)
    }
}

impl Tower for Profile {
    fn items(&self) -> &Matrix {
        &self.videos
    }

    fn user(&self, history: &History) -> Vec<f32> {
        self.after(history.past())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::assert_gradients_of_step;
    use upnext_data::{Interactions, Order};

    #[test]
    fn the_gradient_through_all_steps_is_that_of_small_differences() {
        let interactions = Interactions::from_users(6, Vec::new());
        let training = Training::of(&interactions, Order::Sequence, 1);
        let settings = Settings { hidden: 5, favourites: 2, temperature: 0.5, ..Settings::default() };
        let values = (0..18).map(|at| (at as f32 * 1.3).sin()).collect();
        let videos = Arc::new(normalise(&Matrix::from_rows(6, 3, values)));
        let mut parameters = Parameters::new();
        let mlp = new_mlp(&mut parameters, &settings, 3, &mut Random::new(2));
        let event = |video: u32| {
            Event::of(video, if video == 4 { Judgement::Negative } else { Judgement::Positive }, Some(0.5))
        };
        let histories: Vec<Vec<Event>> = [&[0, 1, 2, 3, 4, 5][..], &[5, 4, 3, 2], &[1, 2]]
            .map(|videos| videos.iter().map(|&video| event(video)).collect())
            .into();
        let lesson =
            &Lesson { settings: &settings, videos: &videos, mlp: &mlp, training: &training, histories };
        let users = vec![0, 1, 2];
        assert!(lesson.step(&parameters, &users, 0, 9, &mut Shards::new(&parameters, 2)).0 > 0.0);
        assert_gradients_of_step(&lesson, &users, &mut parameters, (2, 1, 2e-3));
    }

    #[test]
    fn a_profile_starts_as_the_mean_of_favourites_and_an_event_moves_it() {
        let videos = Matrix::from_rows(3, 2, vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8]);
        let event = |video, judgement| Event::of(video, judgement, None);
        let events =
            [event(0, Judgement::Positive), event(2, Judgement::Negative), event(1, Judgement::Positive)];
        assert_eq!(start(&videos, &events, 2), (vec![0.5, 0.5], 3));
        assert_eq!(start(&videos, &events, 1), (vec![1.0, 0.0], 1));
        assert_eq!(start(&videos, &[], 3), (vec![0.0, 0.0], 0));
    }
}
