//! All models, by the names of tables and configurations.

pub(crate) mod auto;
mod blend;
pub(crate) mod bpr;
mod content;
mod directed_cosine;
mod ease;
pub(crate) mod feature_tower;
pub(crate) mod fusion;
pub(crate) mod ials;
mod knn;
pub(crate) mod lightgcn;
pub(crate) mod linear;
mod markov;
mod nearest;
mod popular;
pub(crate) mod profile;
pub(crate) mod ranker;
pub(crate) mod sasrec;
mod scores;
mod slit;
mod svd;
pub(crate) mod two_tower;
mod walk;
pub(crate) mod watch;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use blend::OnMaxima;
pub use blend::{Blend, Part};
pub use bpr::{Bpr, Settings as BprSettings};
pub use content::ContentCosine;
pub use feature_tower::{FeatureTower, Settings as FeatureTowerSettings, TowerLoss};
pub use fusion::{Fusion, Loss as FusionLoss, Negatives, Settings as FusionSettings, Spread};
pub use ials::{Ials, Settings as WmfSettings, factorise};
pub use knn::UserKnn;
pub use lightgcn::Settings as LightGcnSettings;
pub use linear::Linear;
pub use popular::{Bias, Constant, Random};
pub use profile::{Memory, Profile, Settings as ProfileSettings, Updater};
pub use ranker::{Ablated, Ablation, Group, ListLoss, Ranker, Settings as RankerSettings};
pub(crate) use sasrec::Shape as SasrecShape;
pub use sasrec::{Sasrec, Settings as SasrecSettings};
pub use scores::ContentScores;
use serde::{Deserialize, Serialize};
pub use two_tower::{Settings as TwoTowerSettings, TwoTower};
use upnext_math::{Matrix, Sparse};
use upnext_nn::Parameters;
pub use watch::{MedianBias, Objective, Settings as WatchSettings, TASKS, Watch};

use crate::choose::validation_score;
use crate::{FitError, Recommender, Training};

/// Takes every parameter of a network from arrays by name, `network.` before it.
///
/// # Errors
/// Names the first that is missing or has another shape.
pub(crate) fn load_into(
    parameters: &mut Parameters,
    mut take: impl FnMut(&str) -> Result<Matrix, String>,
) -> Result<(), String> {
    for id in parameters.ids() {
        let name = format!("network.{}", parameters.name(id));
        let found = take(&name)?;
        let known = parameters.get_mut(id);
        if (found.n_rows(), found.n_columns()) != (known.n_rows(), known.n_columns()) {
            return Err(name);
        }
        *known = found;
    }
    Ok(())
}

/// The models one can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Scores drawn from the seed.
    Random,
    /// Positives in training.
    Popular,
    /// Positives in training, halved every 30 days.
    PopularRecent,
    /// Mean watch ratio or rating of the video.
    VideoMean,
    /// Median watch ratio or rating of the video.
    VideoMedian,
    /// Mean plus viewer's and video's deviation.
    Bias,
    /// Median plus viewer's and video's median deviation.
    BiasMedian,
    /// Neighbours of videos by cosine.
    ItemKnn,
    /// Neighbours of viewers by cosine.
    UserKnn,
    /// Transitions at gaps 1 to 3.
    Markov,
    /// The last transition alone.
    #[serde(rename = "markov-1")]
    Markov1,
    /// The linear auto-encoder.
    Ease,
    /// The same, asked with a history whose older videos count less.
    EaseDecayed,
    /// Markov plus EASE on the scale of their maxima, the share of EASE chosen on validation.
    MarkovEase,
    /// Co-occurrence with direction.
    DirectedCosine,
    /// The same, re-weighted by likeness in content.
    DirectedCosineContent,
    /// A walk over viewers and videos, several steps long.
    Walk,
    /// Ridge regression from the past to the next videos.
    Slit,
    /// The strongest directions of transitions.
    Svd,
    /// Matrix factorisation with fold-in.
    Ials,
    /// The same, each observation weighted by how sure its watch ratio makes us.
    IalsConfidence,
    /// Matrix factorisation with weights on observed and unobserved pairs.
    Wmf,
    /// Factors that learn an order of pairs.
    Bpr,
    /// Vectors that spread over who watched what and over what is alike.
    #[serde(rename = "lightgcn")]
    LightGcn,
    /// A transformer that reads the history in order.
    Sasrec,
    /// The same with a frequency filter, asked at every prefix of a history.
    Bsarec,
    /// The same in gated blocks, told from videos that are drawn.
    Esasrec,
    /// The same in pointwise blocks, told how long ago each video was watched.
    Hstu,
    /// A transformer over what a user watched, layers over what a video is.
    TwoTower,
    /// Two towers over learnt vectors of buckets, categories, times and kinds of past.
    FeatureTower,
    /// Content as one learnt vector, near for the same genre, director or actor.
    Fusion,
    /// A profile in the space of `fusion` that each event moves.
    Profile,
    /// The towers of a KuaiRec design, predicting the watch ratio.
    WatchTowers,
    /// Vectors of ids beside facts, predicting the watch ratio.
    WatchIds,
    /// Quantiles of watch time among videos of like length.
    WatchD2q,
    /// A logit whose odds are the watch time.
    WatchLogistic,
    /// Complete, like, share, hate and watch ratio at once.
    WatchTasks,
    /// Cosine of labels and text.
    Content,
    /// Cosine of the scores that daily statistics make.
    ContentScores,
    /// The likeness matrix of 0.25 and more; of vectors that were brought where there are no labels.
    ContentNeighbours,
    /// Directed cosine, then a step to what is alike.
    #[serde(rename = "smoothed-transitions")]
    Smoothed,
    /// What fits the set, tried, weighed on validation, and blended.
    Auto,
    /// All models asked for beside it, weights chosen on validation.
    Blend,
    /// The closed forms, weights chosen on validation from known good ones.
    ClosedBlend,
    /// The candidates of another model in an order learnt from whole lists.
    Ranker,
}

impl Kind {
    /// All, floors first.
    pub const ALL: [Self; 45] = [
        Self::Random,
        Self::Popular,
        Self::PopularRecent,
        Self::VideoMean,
        Self::VideoMedian,
        Self::Bias,
        Self::BiasMedian,
        Self::ItemKnn,
        Self::UserKnn,
        Self::Markov,
        Self::Markov1,
        Self::Ease,
        Self::EaseDecayed,
        Self::MarkovEase,
        Self::DirectedCosine,
        Self::DirectedCosineContent,
        Self::Walk,
        Self::Slit,
        Self::Svd,
        Self::Ials,
        Self::IalsConfidence,
        Self::Wmf,
        Self::Bpr,
        Self::LightGcn,
        Self::Sasrec,
        Self::Bsarec,
        Self::Esasrec,
        Self::Hstu,
        Self::TwoTower,
        Self::FeatureTower,
        Self::Fusion,
        Self::Profile,
        Self::WatchTowers,
        Self::WatchIds,
        Self::WatchD2q,
        Self::WatchLogistic,
        Self::WatchTasks,
        Self::Content,
        Self::ContentScores,
        Self::ContentNeighbours,
        Self::Smoothed,
        Self::Auto,
        Self::Blend,
        Self::ClosedBlend,
        Self::Ranker,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Popular => "popular",
            Self::PopularRecent => "popular-recent",
            Self::VideoMean => "video-mean",
            Self::VideoMedian => "video-median",
            Self::Bias => "bias",
            Self::BiasMedian => "bias-median",
            Self::ItemKnn => "item-knn",
            Self::UserKnn => "user-knn",
            Self::Markov => "markov",
            Self::Markov1 => "markov-1",
            Self::Ease => "ease",
            Self::EaseDecayed => "ease-decayed",
            Self::MarkovEase => "markov-ease",
            Self::DirectedCosine => "directed-cosine",
            Self::DirectedCosineContent => "directed-cosine-content",
            Self::Walk => "walk",
            Self::Slit => "slit",
            Self::Svd => "svd",
            Self::Ials => "ials",
            Self::IalsConfidence => "ials-confidence",
            Self::Wmf => "wmf",
            Self::Bpr => "bpr",
            Self::LightGcn => "lightgcn",
            Self::Sasrec => "sasrec",
            Self::Bsarec => "bsarec",
            Self::Esasrec => "esasrec",
            Self::Hstu => "hstu",
            Self::TwoTower => "two-tower",
            Self::FeatureTower => "feature-tower",
            Self::Fusion => "fusion",
            Self::Profile => "profile",
            Self::WatchTowers => "watch-towers",
            Self::WatchIds => "watch-ids",
            Self::WatchD2q => "watch-d2q",
            Self::WatchLogistic => "watch-logistic",
            Self::WatchTasks => "watch-tasks",
            Self::Content => "content",
            Self::ContentScores => "content-scores",
            Self::ContentNeighbours => "content-neighbours",
            Self::Smoothed => "smoothed-transitions",
            Self::Auto => "auto",
            Self::Blend => "blend",
            Self::ClosedBlend => "closed-blend",
            Self::Ranker => "ranker",
        }
    }

    /// Whether it stands first in every table: counting models that whatever is learnt must beat.
    pub fn is_floor(self) -> bool {
        matches!(
            self,
            Self::Random
                | Self::Popular
                | Self::PopularRecent
                | Self::VideoMean
                | Self::VideoMedian
                | Self::Bias
                | Self::BiasMedian
                | Self::ItemKnn
                | Self::UserKnn
                | Self::Markov
                | Self::Ease
        )
    }
}

impl Kind {
    /// Whether it is a network that learns in epochs.
    pub fn learns(self) -> bool {
        matches!(
            self,
            Self::Bpr
                | Self::LightGcn
                | Self::Sasrec
                | Self::Bsarec
                | Self::Esasrec
                | Self::Hstu
                | Self::TwoTower
                | Self::FeatureTower
                | Self::Fusion
                | Self::Profile
                | Self::WatchTowers
                | Self::WatchIds
                | Self::WatchD2q
                | Self::WatchLogistic
                | Self::WatchTasks
                | Self::Ranker
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = FitError;

    fn from_str(name: &str) -> Result<Self, FitError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| FitError::Unknown {
            name: name.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// A fitted model, and what was chosen on the way, in words.
pub struct Fitted {
    /// The model.
    pub model: Arc<dyn Recommender>,
    /// For example `lambda 200, chosen on validation`.
    pub note: String,
}

/// What was chosen on validation, by model: EASE's lambda, a blend's weights. With these a model can be fitted
/// again on more data, where nothing is left to choose by.
pub type Choices = BTreeMap<Kind, Vec<f32>>;

/// Models fitted on one training set, each once, so that blends share their parts.
pub struct Zoo<'a> {
    training: Training<'a>,
    fitted: Vec<(Kind, Arc<dyn Recommender>, String)>,
    choices: Choices,
    likeness: OnceCell<Sparse>,
    /// What the second stage learnt from, kept for an ablation.
    ground: Option<(ranker::Ground, String)>,
}

/// The closed forms and the weights known to be good, by what a set has.
const WITH_CONTENT: [(Kind, f32); 7] = [
    (Kind::Markov1, 0.35),
    (Kind::DirectedCosine, 1.1),
    (Kind::Slit, 0.85),
    (Kind::Svd, 0.7),
    (Kind::Ials, 1.4),
    (Kind::ContentNeighbours, 3.3),
    (Kind::Smoothed, 1.5),
];
const BY_IDS: [(Kind, f32); 5] = [
    (Kind::Markov1, 0.35),
    (Kind::DirectedCosine, 1.1),
    (Kind::Slit, 0.55),
    (Kind::Svd, 0.7),
    (Kind::Ials, 1.4),
];
/// Where nothing has an order, popularity, EASE and ItemKNN stand in for the transitions.
const UNORDERED: [(Kind, f32); 4] =
    [(Kind::Popular, 1.0), (Kind::Ease, 0.5), (Kind::ItemKnn, 0.3), (Kind::Ials, 0.3)];
const UNORDERED_WITH_CONTENT: [(Kind, f32); 5] =
    [(Kind::Popular, 1.0), (Kind::Ease, 0.5), (Kind::ItemKnn, 0.3), (Kind::Ials, 0.3), (Kind::Content, 0.1)];

impl<'a> Zoo<'a> {
    /// Nothing fitted yet; everything is chosen on validation.
    pub fn new(training: Training<'a>) -> Self {
        Self::with_choices(training, Choices::new())
    }

    /// Nothing fitted yet; what `choices` names is taken from there.
    pub fn with_choices(training: Training<'a>, choices: Choices) -> Self {
        Self { training, fitted: Vec::new(), choices, likeness: OnceCell::new(), ground: None }
    }

    /// What was chosen so far.
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// What models are fitted on.
    pub fn training(&self) -> &Training<'a> {
        &self.training
    }

    /// Fits a model, or gives the one that is fitted. `beside` are the models that a [`Kind::Blend`] blends.
    ///
    /// # Errors
    /// When the set lacks what the model needs.
    pub fn fit(&mut self, kind: Kind, beside: &[Kind]) -> Result<Fitted, FitError> {
        if let Some((_, model, note)) = self.fitted.iter().find(|(known, _, _)| *known == kind) {
            return Ok(Fitted { model: Arc::clone(model), note: note.clone() });
        }
        let (model, note) = self.fit_new(kind, beside)?;
        if kind != Kind::Blend {
            self.fitted.push((kind, Arc::clone(&model), note.clone()));
        }
        Ok(Fitted { model, note })
    }

    /// Vectors of videos that lists are varied by: [`FusionSettings::for_variety`] where videos have the labels for it, else
    /// as `fusion` is set. A share of the related videos, `held_out`, is not learnt from and tells the best epoch.
    ///
    /// # Errors
    /// When nothing is known of the videos, or the numbers do not allow it.
    pub fn fit_for_variety(&mut self) -> Result<Arc<dyn Recommender>, FitError> {
        let mut settings = (*self.training.settings).clone();
        settings.fusion = settings.fusion.for_variety();
        let training = Training { settings: Arc::new(settings), ..self.training.clone() };
        match Fusion::fit_for_variety(&training) {
            Ok(model) => Ok(Arc::new(model)),
            Err(FitError::Needs { .. }) => Ok(self.fit(Kind::Fusion, &[])?.model),
            Err(error) => Err(error),
        }
    }

    /// What each group of features adds to the second stage, on validation.
    ///
    /// # Errors
    /// As [`Zoo::fit`] of [`Kind::Ranker`]; and where nothing is held out to judge by.
    pub fn ablate_ranker(&mut self, beside: &[Kind]) -> Result<Ablation, FitError> {
        self.fit(Kind::Ranker, beside)?;
        match &self.ground {
            Some((ground, stage)) if !self.training.validation.is_empty() => {
                Ablation::new(&self.training, ground, stage)
            }
            _ => Err(FitError::Needs { model: "an ablation".into(), needs: "a validation part" }),
        }
    }

    /// Whether a model is already fitted.
    pub fn has(&self, kind: Kind) -> bool {
        self.fitted.iter().any(|(known, _, _)| *known == kind)
    }

    /// The parts of the closed blend on this set, with their starting weights.
    pub fn closed_forms(&self) -> Vec<(Kind, f32)> {
        let ordered = self.training.order != upnext_data::Order::Unordered;
        match (ordered, self.training.content.is_some()) {
            (true, true) => WITH_CONTENT.to_vec(),
            (true, false) => BY_IDS.to_vec(),
            (false, true) => UNORDERED_WITH_CONTENT.to_vec(),
            (false, false) => UNORDERED.to_vec(),
        }
    }

    fn fit_new(&mut self, kind: Kind, beside: &[Kind]) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let t = &self.training;
        let plain = |model: Linear| -> (Arc<dyn Recommender>, String) { (Arc::new(model), String::new()) };
        Ok(match kind {
            Kind::Random => {
                let model = Random { n_videos: t.interactions.n_videos(), seed: t.seed };
                (Arc::new(model), String::new())
            }
            Kind::Popular => (Arc::new(Constant::popular(t)), String::new()),
            Kind::PopularRecent => (Arc::new(Constant::popular_recent(t)?), String::new()),
            Kind::VideoMean => (Arc::new(Constant::video_mean(t)?), String::new()),
            Kind::VideoMedian => (Arc::new(Constant::video_median(t)?), String::new()),
            Kind::Bias => (Arc::new(Bias::fit(t)?), String::new()),
            Kind::BiasMedian => (Arc::new(MedianBias::fit(t)?), String::new()),
            Kind::ItemKnn => plain(knn::item_knn(t)),
            Kind::UserKnn => (Arc::new(UserKnn::fit(t)), String::new()),
            Kind::Markov => plain(markov::markov(t)?),
            Kind::Markov1 => plain(markov::markov1(t)?),
            Kind::Ease => {
                let (model, lambda) = match self.choices.get(&kind).map(Vec::as_slice) {
                    Some(&[lambda, ..]) => (ease::with_lambda(&ease::binary(t), t, lambda)?, lambda),
                    _ => ease::ease(t)?,
                };
                let how = self.how(kind);
                self.choices.insert(kind, vec![lambda]);
                (Arc::new(model), format!("lambda {lambda}, {how}"))
            }
            Kind::EaseDecayed => {
                let chosen = match self.choices.get(&kind).map(Vec::as_slice) {
                    Some(&[lambda, decay, ..]) => (Some(lambda), Some(decay)),
                    // What is best with all videos counting alike is known where `ease` was fitted.
                    _ => (self.choices.get(&Kind::Ease).and_then(|chosen| chosen.first()).copied(), None),
                };
                let (model, lambda) = ease::decayed(t, chosen)?;
                let (decay, how) = (model.decay, self.how(kind));
                self.choices.insert(kind, vec![lambda, decay]);
                (Arc::new(model), format!("lambda {lambda}, decay {decay}, {how}"))
            }
            Kind::DirectedCosine => plain(directed_cosine::directed_cosine(t)?),
            Kind::DirectedCosineContent => plain(directed_cosine::reweighted(t, self.likeness(kind)?)?),
            Kind::Walk => {
                let given = self.choices.get(&kind).and_then(|numbers| walk::Chosen::of(numbers));
                let (model, chosen) = walk::walk(t, given)?;
                let how = self.how(kind);
                self.choices.insert(kind, chosen.numbers());
                let walk::Chosen { steps, penalty, share } = chosen;
                let content =
                    if share > 0.0 { format!(", {share} of each by content") } else { String::new() };
                (Arc::new(model), format!("{steps} steps{content}, popularity^-{penalty}, {how}"))
            }
            Kind::Slit => plain(slit::slit(t)?),
            Kind::Svd => plain(svd::svd(t)?),
            Kind::Ials => (Arc::new(Ials::fit(t)), String::new()),
            Kind::IalsConfidence => (Arc::new(Ials::fit_confident(t)?), String::new()),
            Kind::Wmf => (Arc::new(Ials::fit_weighted(t)?), String::new()),
            Kind::Sasrec | Kind::Bsarec | Kind::Esasrec | Kind::Hstu => {
                let settings = match kind {
                    Kind::Bsarec => &t.settings.bsarec,
                    Kind::Esasrec => &t.settings.esasrec,
                    Kind::Hstu => &t.settings.hstu,
                    _ => &t.settings.sasrec,
                };
                let (model, epochs, score) = Sasrec::fit(kind.name(), settings, t, self.epochs(kind))?;
                (Arc::new(model), self.learnt(kind, epochs, score, "HR@10 + NDCG@10"))
            }
            Kind::TwoTower => {
                let (model, epochs, score) = TwoTower::fit(t, self.epochs(kind))?;
                (Arc::new(model), self.learnt(kind, epochs, score, "HR@10 + NDCG@10"))
            }
            Kind::Bpr => {
                let (model, epochs, score) = Bpr::fit(t, self.epochs(kind))?;
                (Arc::new(model), self.learnt(kind, epochs, score, "HR@10 + NDCG@10"))
            }
            Kind::LightGcn => {
                let (model, epochs, score) = lightgcn::fit(t, self.epochs(kind))?;
                (Arc::new(model), self.learnt(kind, epochs, score, "HR@10 + NDCG@10"))
            }
            Kind::Fusion => {
                let (model, epochs, score, told) = Fusion::fit(t, self.epochs(kind))?;
                let metric = match t.settings.fusion.loss {
                    FusionLoss::Relations => "relatives among the 10 nearest of held-out videos",
                    FusionLoss::CoWatch => "HR@10 + NDCG@10",
                };
                (Arc::new(model), format!("{}; {told}", self.learnt(kind, epochs, score, metric)))
            }
            Kind::Profile => {
                let chosen = match self.choices.get(&kind).map(Vec::as_slice) {
                    Some(&[epochs, of_space, ..]) => Some((epochs as u32, of_space as u32)),
                    _ => None,
                };
                let (model, (epochs, of_space), score, told) = Profile::fit(t, chosen)?;
                let note = self.learnt(kind, epochs, score, "HR@10 + NDCG@10");
                self.choices.insert(kind, vec![epochs as f32, of_space as f32]);
                (Arc::new(model), format!("{note}, in a space of {of_space} epochs; {told}"))
            }
            Kind::FeatureTower => {
                let (model, epochs, score) = FeatureTower::fit(t, self.epochs(kind))?;
                (Arc::new(model), self.learnt(kind, epochs, score, "HR@10 + NDCG@10"))
            }
            Kind::WatchTowers | Kind::WatchIds | Kind::WatchD2q | Kind::WatchLogistic | Kind::WatchTasks => {
                let settings = match kind {
                    Kind::WatchTowers => &t.settings.watch_towers,
                    Kind::WatchIds => &t.settings.watch_ids,
                    Kind::WatchD2q => &t.settings.watch_d2q,
                    Kind::WatchLogistic => &t.settings.watch_logistic,
                    _ => &t.settings.watch_tasks,
                };
                let (model, epochs, score) = Watch::fit(kind.name(), settings, t, self.epochs(kind))?;
                (Arc::new(model), self.learnt(kind, epochs, score, "minus the error"))
            }
            Kind::ContentScores => (Arc::new(ContentScores::fit(t)?), String::new()),
            Kind::Content => (Arc::new(ContentCosine::fit(t)?), String::new()),
            Kind::ContentNeighbours => {
                // Without labels and words, by the vectors that were brought.
                let by_vectors = match t.content {
                    None => nearest::likeness(t, kind.name())?,
                    Some(_) => None,
                };
                let likeness = by_vectors.as_ref().map_or_else(|| self.likeness(kind), Ok)?;
                plain(content::content_neighbours(likeness, t.order))
            }
            Kind::Smoothed => plain(content::smoothed(t, self.likeness(kind)?)?),
            Kind::MarkovEase => self.markov_ease()?,
            Kind::Auto => self.auto()?,
            Kind::Blend => {
                let start = self.start_of_blend(beside)?;
                self.blend(kind, &start)?
            }
            Kind::ClosedBlend => self.blend(kind, &self.closed_forms())?,
            Kind::Ranker => self.ranker(beside)?,
        })
    }

    /// For how many epochs to train, where that was chosen before.
    fn epochs(&self, kind: Kind) -> Option<u32> {
        Some(*self.choices.get(&kind)?.first()? as u32)
    }

    /// Writes down how many epochs a network has seen; in words, with what it came to on validation.
    fn learnt(&mut self, kind: Kind, epochs: u32, score: Option<f64>, metric: &str) -> String {
        let how = self.how(kind);
        let how = if score.is_none() && how == "chosen on validation" { "as set" } else { how };
        let score = score.map_or(String::new(), |score| format!(" ({metric} {score:.4} there)"));
        self.choices.insert(kind, vec![epochs as f32]);
        format!("{epochs} epochs, {how}{score}")
    }

    /// What a blend of all that was asked for starts from. With the closed blend among them its parts stand in its place, at
    /// the weights that were chosen for it, networks beside them and floors at 0: few questions decide badly among many
    /// weights from nowhere.
    fn start_of_blend(&mut self, beside: &[Kind]) -> Result<Vec<(Kind, f32)>, FitError> {
        let wanted =
            || beside.iter().copied().filter(|kind| !matches!(kind, Kind::Auto | Kind::Blend | Kind::Random));
        if !beside.contains(&Kind::ClosedBlend) {
            return Ok(wanted().map(|kind| (kind, 1.0)).collect());
        }
        self.fit(Kind::ClosedBlend, &[])?;
        let forms = self.closed_forms();
        let chosen = self.choices.get(&Kind::ClosedBlend).filter(|chosen| chosen.len() == forms.len());
        let mut start: Vec<(Kind, f32)> = match chosen {
            Some(chosen) => forms.iter().zip(chosen).map(|(&(kind, _), &weight)| (kind, weight)).collect(),
            None => forms,
        };
        for kind in wanted().filter(|&kind| kind != Kind::ClosedBlend) {
            if !start.iter().any(|&(known, _)| known == kind) {
                start.push((kind, if kind.learns() { 1.0 } else { 0.0 }));
            }
        }
        Ok(start)
    }

    /// Likeness in content, which several models share.
    fn likeness(&self, kind: Kind) -> Result<&Sparse, FitError> {
        let content = self.training.needs_content(kind.name())?;
        Ok(self.likeness.get_or_init(|| content::likeness(content)))
    }

    /// Where a choice comes from, in words.
    fn how(&self, kind: Kind) -> &'static str {
        match (self.choices.contains_key(&kind), self.training.validation.is_empty()) {
            (true, _) => "chosen before",
            (false, true) => "the default",
            (false, false) => "chosen on validation",
        }
    }

    fn blend(
        &mut self,
        kind: Kind,
        start: &[(Kind, f32)],
    ) -> Result<(Arc<dyn Recommender>, String), FitError> {
        if start.is_empty() {
            return Err(FitError::Needs { model: kind.name().into(), needs: "other models beside it" });
        }
        let mut models = Vec::new();
        let mut weights = Vec::new();
        let mut lacking = None;
        for &(part, weight) in start {
            match self.fit(part, &[]) {
                Ok(fitted) => {
                    models.push(fitted.model);
                    weights.push(weight);
                }
                // What was listed and cannot be fitted here is left out of the blend as it is of the table.
                Err(error @ FitError::Needs { .. }) if kind == Kind::Blend => lacking = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(error)) = (models.is_empty(), lacking) {
            return Err(error);
        }
        let how = self.how(kind);
        let given = self.choices.get(&kind).filter(|given| given.len() == weights.len());
        // Good weights of the closed forms are known; what stands beside them may need to go far.
        let steps: &[f32] = if kind == Kind::Blend { &[1.6, 0.8, 0.4, 0.2, 0.1] } else { &[0.1] };
        let given = given.map(Vec::as_slice);
        let blend = Blend::choose(kind.name(), models, &weights, given, steps, &self.training);
        self.choices.insert(kind, blend.1);
        let blend = blend.0;
        let parts: Vec<String> =
            blend.parts().iter().map(|part| format!("{:.2} {}", part.weight, part.model.name())).collect();
        Ok((Arc::new(blend), format!("{}, weights {how}", parts.join(" + "))))
    }

    /// A zoo on what is left of train, which nobody watches: what was chosen here holds there.
    fn twin<'t>(&'t self, held: &'t ranker::HeldOut) -> Zoo<'t> {
        let training = Training { watch: &crate::train::Unwatched, ..held.rest(&self.training) };
        Zoo { likeness: self.likeness.clone(), ..Zoo::with_choices(training, self.choices.clone()) }
    }

    /// Fits stage one on all of train and again on what is left when the lists to learn from are held out.
    fn ranker(&mut self, beside: &[Kind]) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let settings = self.training.settings.ranker.clone();
        settings.check()?;
        let beside: Vec<Kind> = beside.iter().copied().filter(|&kind| kind != Kind::Ranker).collect();
        let stage = self.fit(settings.stage_one, &beside)?.model;
        let held = ranker::HeldOut::new(&self.training, &settings);
        let inner = self.twin(&held).fit(settings.stage_one, &beside)?.model;
        let ground = Ranker::ground(&self.training, &held, inner.as_ref(), stage.as_ref());
        let name = stage.name().to_string();
        let chosen = self.choices.get(&Kind::Ranker).map(Vec::as_slice);
        let (model, told) = Ranker::fit(&self.training, stage, &ground, chosen)?;
        self.choices.insert(Kind::Ranker, told.choice);
        self.ground = Some((ground, name));
        Ok((Arc::new(model), told.note))
    }

    fn markov_ease(&mut self) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let markov = self.fit(Kind::Markov, &[])?.model;
        let ease = self.fit(Kind::Ease, &[])?.model;
        let mixed = |share| OnMaxima::new(Arc::clone(&markov), Arc::clone(&ease), share);
        let how = self.how(Kind::MarkovEase);
        let (validation, candidates) = (self.training.validation, self.training.candidates);
        let model = match self.choices.get(&Kind::MarkovEase).map(Vec::as_slice) {
            Some(&[share, ..]) => mixed(share),
            _ if validation.is_empty() => mixed(0.5),
            _ => {
                [0.25f32, 0.5, 1.0]
                    .map(|share| (validation_score(&mixed(share), validation, candidates), mixed(share)))
                    .into_iter()
                    .reduce(|best, next| if next.0 > best.0 { next } else { best })
                    .expect("three shares were tried")
                    .1
            }
        };
        self.choices.insert(Kind::MarkovEase, vec![model.share()]);
        let note = format!("markov + {} ease on the scale of their maxima, {how}", model.share());
        Ok((Arc::new(model), note))
    }
}
