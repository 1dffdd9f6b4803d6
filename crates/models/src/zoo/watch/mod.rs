//! How long somebody will watch: networks over ids and facts of one user and one video.

mod network;
mod objective;
mod rows;

use network::{Network, Side};
pub(crate) use objective::Calibration;
pub use objective::{Objective, TASKS};
use rows::Rows;
use serde::{Deserialize, Serialize};
use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::seed::Random;
use upnext_nn::Parameters;

use crate::checkpoint::{Form, Writer};
use crate::facts::prepared;
use crate::train::{self, Learnt, Loop};
use crate::{Context, FitError, Recommender, Training};

/// How one is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What it learns, and what its score means.
    pub objective: Objective,
    /// Numbers of a vector for each user, and for each video; 0 has none.
    pub ids: usize,
    /// Widths of the layers over facts, one such tower a side; none takes the facts as they are.
    pub tower: Vec<usize>,
    /// Whether what a tower gives has unit length.
    pub normalise: bool,
    /// Widths of the layers over both sides, before the one that predicts.
    pub head: Vec<usize>,
    /// Share of numbers left out in training, after the first layer of each tower and of the head.
    pub dropout: f32,
    /// Whether facts of users and videos are read.
    pub facts: bool,
    /// Share of the variance of facts that principal components keep; 0 keeps the columns.
    pub variance: f32,
    /// Whether the mean and the number of a user's and a video's other ratios are read.
    pub statistics: bool,
    /// Whether the network predicts what is left by median offsets of user and video.
    pub residual: bool,
    /// Weights of the tasks in the score of `tasks`: complete, like, share, hate, watch ratio.
    pub weights: [f32; TASKS],
    /// Groups of videos of like length, for `d2q`.
    pub groups: usize,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objective: Objective::Absolute,
            ids: 16,
            tower: vec![32],
            normalise: false,
            head: vec![32, 16],
            dropout: 0.2,
            facts: true,
            variance: 0.95,
            statistics: true,
            residual: true,
            weights: [1.0, 1.0, 1.0, -1.0, 1.0],
            groups: 30,
            learn: Loop {
                batch: 512,
                epochs_max: 30,
                epochs_default: 7,
                patience: 5,
                slower_after: 2,
                weight_decay: 0.0,
                ..Loop::default()
            },
        }
    }
}

impl Settings {
    /// The towers of a KuaiRec design, at our best settings: the shape of the design is in config/models.
    pub(crate) fn towers() -> Self {
        Self {
            ids: 0,
            tower: vec![128, 64, 64],
            normalise: true,
            head: vec![128, 64, 32],
            dropout: 0.3,
            ..Self::default()
        }
    }

    /// Quantiles of watch time within groups of like length.
    pub(crate) fn d2q() -> Self {
        Self { objective: Objective::D2q, residual: false, ..Self::default() }
    }

    /// Odds that are watch times.
    pub(crate) fn weighted_logistic() -> Self {
        Self { objective: Objective::WeightedLogistic, residual: false, ..Self::default() }
    }

    /// Several wishes at once.
    pub(crate) fn tasks() -> Self {
        Self { objective: Objective::Tasks, residual: false, ..Self::default() }
    }

    pub(crate) fn check(&self, model: &'static str) -> Result<(), FitError> {
        let widths = |widths: &[usize]| widths.len() <= 16 && widths.iter().all(|n| (1..=8_192).contains(n));
        let checks = [
            (self.ids <= 4_096, "ids", "0 to 4096"),
            (widths(&self.tower), "tower", "at most 16 widths of 1 to 8192"),
            (widths(&self.head), "head", "at most 16 widths of 1 to 8192"),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((0.0..=1.0).contains(&self.variance), "variance", "0 to 1"),
            ((1..=10_000).contains(&self.groups), "groups", "1 to 10000"),
            (self.weights.iter().all(|x| x.is_finite()), "weights", "finite numbers"),
            (
                !self.residual || self.objective.is_ratio(),
                "residual",
                "false unless the objective is a ratio's distance",
            ),
        ];
        train::check(model, &checks, &self.learn)
    }
}

/// A fitted regressor: what it predicts is its score.
#[derive(Clone, Debug)]
pub struct Watch {
    name: &'static str,
    settings: Settings,
    network: Network,
    parameters: Parameters,
    /// Facts of users and of videos as the towers read them.
    sides: [Side; 2],
    /// Median offsets, and means of ratios.
    offsets: Offsets,
    calibration: Calibration,
    /// Of every video: what its side gives the head's first layer.
    of_videos: Matrix,
}

/// What counting alone says of a ratio: the overall median, and each video's median distance from it and from its users.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    pub(crate) median: f32,
    pub(crate) videos: Vec<f32>,
    /// Sum and number of each video's ratios.
    pub(crate) sums: Vec<f32>,
    pub(crate) counts: Vec<f32>,
    pub(crate) mean: f32,
}

impl Offsets {
    pub(crate) fn fit(training: &Training) -> Self {
        let n_videos = training.interactions.n_videos();
        let known = |row: &upnext_data::Interaction| row.value.filter(|value| value.is_finite());
        let mut all: Vec<f32> = training.interactions.rows().iter().filter_map(known).collect();
        let mean = (all.iter().map(|&x| f64::from(x)).sum::<f64>() / all.len().max(1) as f64) as f32;
        let median = super::popular::median(&mut all);
        let mut of_videos: Vec<Vec<f32>> = vec![Vec::new(); n_videos];
        let (mut sums, mut counts) = (vec![0.0; n_videos], vec![0.0; n_videos]);
        for rows in training.interactions.users() {
            let user = Self::of_user(median, rows.iter().filter_map(known));
            for row in rows {
                if let Some(value) = known(row) {
                    of_videos[row.video as usize].push(value - median - user);
                    sums[row.video as usize] += value;
                    counts[row.video as usize] += 1.0;
                }
            }
        }
        let videos = of_videos.iter_mut().map(|values| super::popular::median(values)).collect();
        Self { median, videos, sums, counts, mean }
    }

    /// The median distance of a user's ratios from the overall median.
    pub(crate) fn of_user(median: f32, values: impl Iterator<Item = f32>) -> f32 {
        super::popular::median(&mut values.map(|value| value - median).collect::<Vec<f32>>())
    }

    /// What they predict.
    pub(crate) fn predict(&self, user: f32, video: u32) -> f32 {
        self.median + user + self.videos.get(video as usize).copied().unwrap_or(0.0)
    }
}

impl Watch {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to
    /// on validation, where there is one.
    pub(super) fn fit(
        name: &'static str,
        settings: &Settings,
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        settings.check(name)?;
        let rows = Rows::new(training);
        if rows.is_empty() {
            return Err(FitError::Needs { model: name.into(), needs: "watch ratios or ratings" });
        }
        let calibration = Calibration::fit(name, settings, training)?;
        let interactions = training.interactions;
        let facts = training.facts.as_deref().filter(|_| settings.facts);
        let users = (0..interactions.n_users() as u32).filter(|&user| !interactions.of(user).is_empty());
        let videos = interactions.rows().iter().map(|row| row.video);
        let sides = [
            Side(prepared(
                facts.and_then(|facts| facts.users.as_ref()),
                interactions.n_users(),
                users,
                settings.variance,
            )),
            Side(prepared(
                facts.and_then(|facts| facts.videos.as_ref()),
                interactions.n_videos(),
                videos,
                settings.variance,
            )),
        ];
        let offsets = Offsets::fit(training);
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, settings, &sides, &mut Random::new(training.seed));
        let lesson = rows::Lesson {
            name,
            settings,
            network: &network,
            sides: &sides,
            offsets: &offsets,
            calibration: &calibration,
            rows: &rows,
            validation: &training.validation_values.iter().filter_map(rows::Row::of).collect::<Vec<_>>(),
            training,
        };
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        let model = Self::whole(name, settings.clone(), (network, parameters), sides, (offsets, calibration));
        Ok((model, epochs, score))
    }

    fn whole(
        name: &'static str,
        settings: Settings,
        (network, parameters): (Network, Parameters),
        sides: [Side; 2],
        (offsets, calibration): (Offsets, Calibration),
    ) -> Self {
        let all: Vec<u32> = (0..sides[1].len() as u32).collect();
        let statistics: Vec<[f32; 2]> =
            all.iter().map(|&video| network::statistics_of_video(&offsets, video)).collect();
        let of_videos = network.first_of_videos(&parameters, &sides[1], &all, &statistics);
        Self { name, settings, network, parameters, sides, offsets, calibration, of_videos }
    }

    /// What is known of who asks: the row, and what the history says.
    fn predict(&self, history: &History, context: &Context, rows: &[u32]) -> Vec<f32> {
        let values = || history.past().iter().filter_map(|past| past.value.filter(|value| value.is_finite()));
        let offset = Offsets::of_user(self.offsets.median, values());
        let statistics = network::statistics(values().sum(), values().count() as f32, self.offsets.mean);
        let user = context.user.filter(|&user| (user as usize) < self.sides[0].len());
        let of_user = self.network.first_of_user(&self.parameters, &self.sides[0], user, statistics);
        let mut predicted = Vec::with_capacity(rows.len());
        for block in rows.chunks(BLOCK) {
            let outputs = self.network.head(&self.parameters, &of_user, &self.of_videos, block);
            for (at, &row) in block.iter().enumerate() {
                let base = if self.settings.residual { self.offsets.predict(offset, row) } else { 0.0 };
                predicted.push(self.calibration.answer(&self.settings, row, base, outputs.row(at)));
            }
        }
        predicted
    }

    /// From a file: `get` gives the array of a name.
    pub(crate) fn load(
        name: &str,
        settings: Settings,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        let name = NAMES.into_iter().find(|known| *known == name).ok_or("name")?;
        settings.check(name).map_err(|_| "settings".to_string())?;
        let mut take = |name: &str| get(name).ok_or_else(|| name.to_string());
        let sides = [Side(take("users")?), Side(take("videos")?)];
        let offsets = take("offsets")?;
        let n_videos = sides[1].len();
        if offsets.n_rows() != 3 || offsets.n_columns() != n_videos {
            return Err("offsets".into());
        }
        let overall = take("overall")?;
        let &[median, mean] = overall.values() else { return Err("overall".into()) };
        let [videos, sums, counts] = [0, 1, 2].map(|row| offsets.row(row).to_vec());
        let offsets = Offsets { median, videos, sums, counts, mean };
        let calibration = Calibration::from_arrays(take("groups")?, take("quantiles")?, n_videos)?;
        if settings.objective == Objective::D2q && !calibration.has_quantiles() {
            return Err("quantiles".into());
        }
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, &settings, &sides, &mut Random::new(0));
        super::load_into(&mut parameters, &mut take)?;
        Ok(Self::whole(name, settings, (network, parameters), sides, (offsets, calibration)))
    }
}

/// The names under which regressors are asked for.
const NAMES: [&str; 5] = ["watch-towers", "watch-ids", "watch-d2q", "watch-logistic", "watch-tasks"];
/// Videos that a head looks at together.
const BLOCK: usize = 1_024;

impl Recommender for Watch {
    fn name(&self) -> &str {
        self.name
    }

    fn n_videos(&self) -> usize {
        self.sides[1].len()
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let all: Vec<u32> = (0..scores.len() as u32).collect();
        scores.copy_from_slice(&self.predict(history, context, &all));
    }

    fn score(&self, history: &History, context: &Context, rows: &[u32], scores: &mut [f32]) {
        scores.copy_from_slice(&self.predict(history, context, rows));
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(&format!("network.{}", self.parameters.name(id)), self.parameters.get(id));
        }
        out.matrix("users", &self.sides[0].0);
        out.matrix("videos", &self.sides[1].0);
        let Offsets { median, videos, sums, counts, mean } = &self.offsets;
        out.matrix("offsets", &Matrix::from_rows(3, videos.len(), [&videos[..], sums, counts].concat()));
        out.matrix("overall", &Matrix::from_rows(1, 2, vec![*median, *mean]));
        let (groups, quantiles) = self.calibration.arrays();
        out.matrix("groups", &groups);
        out.matrix("quantiles", &quantiles);
        Form::Watch { name: self.name.into(), settings: Box::new(self.settings.clone()) }
    }
}

/// Median offsets of user and video alone: what a regressor of ratios has to beat in absolute error. Its user is the median
/// of the history.
#[derive(Clone, Debug)]
pub struct MedianBias(pub(crate) Offsets);

impl MedianBias {
    /// From the median and offsets of videos.
    pub(crate) fn of(median: f32, videos: Vec<f32>) -> Self {
        Self(Offsets { median, videos, ..Offsets::default() })
    }

    pub(super) fn fit(training: &Training) -> Result<Self, FitError> {
        let offsets = Offsets::fit(training);
        if offsets.counts.iter().all(|&n| n == 0.0) {
            return Err(FitError::Needs { model: "bias-median".into(), needs: "watch ratios or ratings" });
        }
        Ok(Self(offsets))
    }
}

impl Recommender for MedianBias {
    fn name(&self) -> &str {
        "bias-median"
    }

    fn n_videos(&self) -> usize {
        self.0.videos.len()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let values = history.past().iter().filter_map(|past| past.value.filter(|value| value.is_finite()));
        let user = Offsets::of_user(self.0.median, values);
        for (video, score) in (0..).zip(scores) {
            *score = self.0.predict(user, video);
        }
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.vector("videos", &self.0.videos);
        Form::MedianBias { median: self.0.median }
    }
}
