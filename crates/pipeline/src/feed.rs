//! Everything that is needed to answer, put together: the run's models, a store, and the pipeline over both.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use upnext_data::{Dataset, Order, Relevance};
use upnext_index::Index;
use upnext_models::{Recommender, Shape};
use upnext_store::Store;

use crate::config::OWN_SOURCES;
use crate::explore::Explore;
use crate::live::LiveView;
use crate::pipeline::{Filter, Outcome, Reranker, Scorer, Source, guard};
use crate::reason::{Reasons, SourceKind};
use crate::remembered::Hits;
use crate::request_id::RequestIds;
use crate::rerank::{Caps, Distinct, Dpp, Mmr, Pinned, Similarity, Tradeoff, Vectors};
use crate::rules::Rules;
use crate::search::Titles;
use crate::viewer::Viewers;
use crate::{
    ActionRates, ActionWeights, Asked, Audience, ConfigError, Exposures, FeedConfig, Habits, Models,
    Pipeline, Popularity, Request, Rerank, RerankSpace, Response, RowSets, Rule, RuleError, Slot, Stock,
    WeightsError, filter, scorer, source,
};

/// The name of the index over the vectors that lists are varied by.
pub const FUSED_INDEX: &str = "varied-by";

/// The models of a feed.
#[derive(Clone)]
pub struct FeedModels {
    /// What ranks: the run's main model. It is a source too.
    pub main: Arc<dyn Recommender>,
    /// Further sources: Markov, ItemKNN, content neighbours, EASE. One that bears the main model's name, or that
    /// of a source of the feed itself (`popular`, `popular-now`, `latest`), is left out.
    pub sources: Vec<Arc<dyn Recommender>>,
    /// How alike two videos are for a viewer who refused one of them, and for rows of related videos.
    pub similarity: Arc<dyn Similarity>,
    /// Whose vectors of videos the re-rank goes by; without one it goes by `similarity`.
    pub fused: Option<Arc<dyn Recommender>>,
    /// Whose answer to a single video are its neighbours.
    pub neighbours: Arc<dyn Recommender>,
    /// Indexes over the vectors of models whose scores are inner products, by the model's name, and [`FUSED_INDEX`] over those of
    /// `fused`: asked for instead of going through
    /// the catalogue where that is larger than [`FeedConfig::exact_videos_max`].
    pub indexes: BTreeMap<String, Arc<dyn Index>>,
}

/// A feed that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A setting is out of bounds.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A rule that cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Weights that cannot be used.
    #[error("feed setting `actions.weights`: {0}")]
    Weights(#[from] WeightsError),
    /// A cascade names a model that the run does not have.
    #[error("cascade {cascade:?} names the model {name:?}, but the feed has {known}")]
    Cascade {
        /// The cascade.
        cascade: String,
        /// What it names.
        name: String,
        /// What there is.
        known: String,
    },
    /// A model of another run.
    #[error("model {model} knows {n_videos} videos, but the run has {expected}: fit it on this run")]
    Model {
        /// The model.
        model: String,
        /// What it knows.
        n_videos: usize,
        /// What the run has.
        expected: usize,
    },
}

/// Answers requests. Every method may be called from many threads at once; no lock is held while models score.
pub struct Feed {
    pub(crate) config: FeedConfig,
    pub(crate) pipeline: Pipeline,
    pub(crate) popularity: Arc<Popularity>,
    pub(crate) neighbours: Asked,
    pub(crate) similarity: Arc<dyn Similarity>,
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) relevance: Relevance,
    pub(crate) viewers: Arc<Viewers>,
    pub(crate) live: Arc<LiveView>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) titles: Titles,
    pub(crate) model_names: Vec<String>,
    pub(crate) digest: OnceLock<String>,
    pub(crate) audience: Option<Arc<Audience>>,
    pub(crate) exposures: Arc<Exposures>,
}

impl Feed {
    /// Puts a feed together. Counts popularity once; models and store are used as they are.
    ///
    /// # Errors
    /// If a setting is out of bounds, or a model is of another run.
    pub fn new(
        config: FeedConfig,
        dataset: Arc<Dataset>,
        relevance: Relevance,
        models: FeedModels,
        store: Arc<dyn Store>,
    ) -> Result<Self, FeedError> {
        config.check()?;
        let expected = dataset.videos.len();
        for model in models.sources.iter().chain([&models.main, &models.neighbours]).chain(&models.fused) {
            if model.n_videos() != expected {
                let (model, n_videos) = (model.name().to_string(), model.n_videos());
                return Err(FeedError::Model { model, n_videos, expected });
            }
        }
        let mut taken: HashSet<String> = OWN_SOURCES.into_iter().map(String::from).collect();
        let mut used: Vec<Arc<dyn Recommender>> = Vec::new();
        for model in std::iter::once(&models.main).chain(&models.sources) {
            if taken.insert(model.name().to_string()) || used.is_empty() {
                used.push(Arc::clone(model));
            }
        }
        let model_names: Vec<String> = used.iter().map(|model| model.name().to_string()).collect();
        for cascade in &config.cascades {
            for name in [&cascade.narrow, &cascade.select] {
                if !model_names.contains(name) {
                    let (cascade, known) = (cascade.name.clone(), model_names.join(", "));
                    return Err(FeedError::Cascade { cascade, name: name.clone(), known });
                }
            }
        }
        let cascades = || config.cascades.iter().map(|cascade| cascade.name.as_str());
        if let Some(name) = cascades().find(|name| model_names.iter().any(|model| model == name)) {
            let (key, expected) = ("cascades", "names that no model has");
            return Err(ConfigError { key, found: name.into(), expected }.into());
        }
        let is_source = |name: &str| {
            OWN_SOURCES.contains(&name)
                || model_names.iter().any(|model| model == name)
                || cascades().any(|other| other == name)
        };
        if let Some(name) = config.source_deadlines_milliseconds.keys().find(|name| !is_source(name)) {
            let (key, expected) =
                ("source_deadlines_milliseconds", "names of sources, as they stand in a trace");
            return Err(ConfigError { key, found: name.clone(), expected }.into());
        }
        let index_of = |model: &dyn Recommender| models.indexes.get(model.name()).cloned();
        let used = Arc::new(Models::new(used, config.exact_videos_max, &index_of));
        let neighbours =
            Models::new(vec![Arc::clone(&models.neighbours)], config.exact_videos_max, &index_of);
        let pairs = dataset.interactions(&relevance);
        let popularity = Arc::new(Popularity::new(&dataset, &pairs, config.popular_half_life_days));
        let habits = Arc::new(Habits::new(&dataset, &pairs));
        let audience = (pairs.len() <= config.audience_pairs_max).then(|| Arc::new(Audience::new(&pairs)));
        drop(pairs);
        let measured = dataset.events().iter().any(|event| event.ratio.is_some());
        let live_rule = if measured { relevance.clone() } else { relevance.clone().measuring_watches() };
        let live = Arc::new(LiveView::new(
            config.clone(),
            Arc::clone(&dataset),
            live_rule.clone(),
            Arc::clone(&store),
        ));
        let viewers = Arc::new(Viewers::new(
            config.clone(),
            Arc::clone(&dataset),
            // On the run's events, of which none is measured, it says what the run's rule says.
            live_rule,
            Arc::clone(&used),
            Arc::clone(&store),
            Arc::clone(&live),
            Rules::new(config.rules.clone(), &config)?,
        ));
        let sets = Arc::new(RowSets::new(&dataset).remembering(config.filters.remembered_max));
        let weights = ActionWeights::new(&config.actions.weights)?;
        let rates = ActionRates::new(Arc::clone(&dataset), relevance.clone(), config.actions.prior_viewers);
        let actions = scorer::Actions::new(Arc::new(rates), weights, config.actions.strength);
        // What comes next means something only where events have an order.
        let next = audience.clone().filter(|_| dataset.order != Order::Unordered);
        let reasons = |kinds| Reasons::new(kinds, Arc::clone(&popularity), next);
        let fused = models.fused.as_ref().filter(|_| config.rerank_space == RerankSpace::Fused);
        let fused: Option<Arc<dyn Similarity>> = (fused.and_then(|model| model.tower()))
            .map(|tower| Arc::new(Vectors::new(tower.items().clone())) as Arc<dyn Similarity>);
        let alike = [&models.similarity, fused.as_ref().unwrap_or(&models.similarity)];
        let near = near_last(&config, &used, &models);
        let exposures = Arc::new(Exposures::default());
        let known =
            Known { popularity: &popularity, habits, sets, actions, near, exposures: Arc::clone(&exposures) };
        let pipeline = pipeline(&config, &model_names, Arc::clone(&viewers), known, alike, reasons);
        Ok(Self {
            titles: Titles::new(&dataset),
            neighbours: neighbours.get(0).expect("made of one").clone(),
            similarity: models.similarity,
            digest: OnceLock::new(),
            audience,
            exposures,
            config,
            pipeline,
            popularity,
            dataset,
            relevance,
            viewers,
            live,
            store,
            model_names,
        })
    }

    /// Answers a request, and remembers what was served.
    pub fn recommend(&self, request: &Request) -> Response {
        let outcome = self.pipeline.outcome(request);
        let slate = self.pipeline.slate(&outcome);
        // Before this answer is remembered: a dry run is of the same question.
        let (trace, failures) = self.with_dry_runs(request, &outcome);
        self.remember(request, &slate);
        Response { request_id: outcome.request_id, slate, trace, failures }
    }

    /// That a request was answered with these.
    pub(crate) fn remember(&self, request: &Request, slate: &[Slot]) {
        let videos = slate.iter().map(|slot| slot.video.as_str());
        let is_new = |id: &&str| self.dataset.videos.row(id).is_none();
        self.exposures.count(videos.clone().filter(is_new));
        self.viewers.served().remember(request, videos, Instant::now());
    }

    /// How often a viewer was remembered since this feed was made, and how often their past was read.
    pub fn remembered(&self) -> Hits {
        self.viewers.remembered()
    }

    /// The rules that hold, as they are written.
    pub fn rules(&self) -> Vec<Rule> {
        self.viewers.rules().written()
    }

    /// Lets these rules hold from now on, until the process ends.
    ///
    /// # Errors
    /// Names the first that cannot be used; then the old ones go on.
    pub fn set_rules(&self, rules: Vec<Rule>) -> Result<(), RuleError> {
        self.viewers.set_rules(Rules::new(rules, &self.config)?);
        Ok(())
    }

    /// Models that score every video for each request although the catalogue is larger than [`FeedConfig::exact_videos_max`].
    pub fn slow_models(&self) -> Vec<&str> {
        let is_large = self.dataset.videos.len() > self.config.exact_videos_max;
        if is_large { self.viewers.asked().slow() } else { Vec::new() }
    }

    /// The settings.
    pub fn config(&self) -> &FeedConfig {
        &self.config
    }

    /// The pipeline, for those who want to run it themselves.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Every video that can be shown now.
    pub fn stock(&self, now: i64) -> Stock {
        self.live.stock(now, &mut Vec::new())
    }

    /// What a source of the pipeline returns in a finished request.
    pub(crate) fn of_source(&self, outcome: &Outcome, name: &str, n: usize) -> Vec<(u32, f32)> {
        let mut sources = self.pipeline.sources.iter();
        let rows = sources
            .find(|source| source.name() == name)
            .map(|source| guard(|| source.retrieve(&outcome.query, &outcome.allow, n)));
        rows.and_then(Result::ok).unwrap_or_default()
    }
}

/// Milliseconds since 1970, for answers that are not requests.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The source of what is near the last videos: by the vectors that lists are varied by, else by those of the first model that
/// has an index.
fn near_last(config: &FeedConfig, used: &Models, models: &FeedModels) -> Option<source::NearLast> {
    fn leaves(model: &Arc<dyn Recommender>) -> Vec<Arc<dyn Recommender>> {
        match model.shape() {
            Shape::Blend(parts) => parts.iter().flat_map(|part| leaves(&part.model)).collect(),
            _ => model.stage().map_or_else(|| vec![Arc::clone(model)], leaves),
        }
    }
    let is_large = models.main.n_videos() > config.exact_videos_max;
    let fused = models.fused.iter().map(|model| (FUSED_INDEX, Arc::clone(model)));
    let others = used.models().iter().flat_map(leaves).collect::<Vec<_>>();
    let others = others.iter().map(|model| (model.name(), Arc::clone(model)));
    fused.chain(others).filter(|_| is_large).find_map(|(name, model)| {
        let index = Arc::clone(models.indexes.get(name)?);
        Some(source::NearLast::new(model, index, config.near_last, config.near_decay))
    })
}

/// What is known of a run besides its models.
struct Known<'a> {
    popularity: &'a Arc<Popularity>,
    habits: Arc<Habits>,
    sets: Arc<RowSets>,
    actions: scorer::Actions,
    near: Option<source::NearLast>,
    exposures: Arc<Exposures>,
}

fn pipeline(
    config: &FeedConfig,
    models: &[String],
    viewers: Arc<Viewers>,
    Known { popularity, habits, sets, actions, near, exposures }: Known<'_>,
    [similarity, varied_by]: [&Arc<dyn Similarity>; 2],
    reasons: impl FnOnce(Vec<SourceKind>) -> Reasons,
) -> Pipeline {
    let mut sources: Vec<(Arc<dyn Source>, Duration)> = Vec::new();
    let mut kinds = Vec::new();
    let mut add = |source: Arc<dyn Source>, kind| {
        let own = config.source_deadlines_milliseconds.get(source.name());
        let deadline = own.copied().unwrap_or(config.source_deadline_milliseconds);
        sources.push((source, Duration::from_millis(deadline)));
        kinds.push(kind);
    };
    for (model, name) in models.iter().enumerate() {
        add(Arc::new(source::ModelSource::new(name.clone(), model)), SourceKind::Model(model));
    }
    for cascade in &config.cascades {
        let model = |name: &str| models.iter().position(|known| known == name);
        // Checked when the feed was made.
        if let (Some(narrow), Some(select)) = (model(&cascade.narrow), model(&cascade.select)) {
            let source = source::Cascade::new(cascade.name.clone(), narrow, cascade.to, select);
            add(Arc::new(source), SourceKind::Model(select));
        }
    }
    if let Some(near) = near {
        add(Arc::new(near), SourceKind::Near);
    }
    add(Arc::new(source::Followed(Arc::clone(&sets))), SourceKind::Followed);
    add(Arc::new(source::Popular::new(Arc::clone(popularity))), SourceKind::Popular);
    add(Arc::new(source::LivePopular), SourceKind::PopularNow);
    add(Arc::new(source::Latest::new(config.newcomers_max)), SourceKind::Latest);
    add(Arc::new(source::Ruled), SourceKind::Rules);
    if config.explore_share > 0.0 {
        add(Arc::new(source::Drawn::new(config.explore_share)), SourceKind::Drawn);
    }
    let drawn = kinds.iter().position(|kind| *kind == SourceKind::Drawn);

    let first = (exposures, config.first_exposures);
    let mut scorers: Vec<Box<dyn Scorer>> = Vec::new();
    for (model, name) in models.iter().enumerate() {
        let weight = if model == 0 { Some(1.0) } else { config.source_weights.get(name).copied() };
        if let Some(weight) = weight {
            scorers.push(Box::new(scorer::Blend::new(model, name, weight)));
        }
    }
    let genres = config.category_kinds.clone();
    let (fresh_weight, half_life) = (config.cold_fresh_weight, config.cold_fresh_half_life_days);
    scorers.push(Box::new(scorer::Cold::new(Arc::clone(popularity), fresh_weight, half_life)));
    let languages = config.filters.language_kinds.clone();
    scorers.push(Box::new(scorer::Context::new(habits, config.cold_context_weight, languages)));
    scorers.push(Box::new(scorer::Retrieval::new()));
    scorers.push(Box::new(actions));
    let half_life = config.fresh_half_life_days;
    scorers.push(Box::new(scorer::Newcomer::new(config.newcomer_every, half_life, genres.clone(), first)));
    let (weight, n) = (config.refused_weight, config.refused_max);
    scorers.push(Box::new(scorer::Refused::new(Arc::clone(similarity), weight, n)));
    let (decay, floor) = (config.author_decay, config.author_floor);
    scorers.push(Box::new(scorer::AuthorDecay::new(decay, floor, config.author_kinds.clone())));
    scorers.push(Box::new(scorer::Rules { category_kinds: genres.clone() }));

    let tradeoff = Tradeoff {
        similarity: Arc::clone(varied_by),
        lambda: config.lambda,
        lambda_cold: config.lambda_cold,
        pool: config.rerank_pool,
    };
    let reranker: Box<dyn Reranker> = match config.rerank {
        Rerank::Mmr => Box::new(Mmr(tradeoff)),
        Rerank::Dpp => Box::new(Dpp(tradeoff)),
        Rerank::Caps => Box::new(Caps {
            of_category: config.cap_category,
            of_author: config.cap_author,
            category_kinds: config.category_kinds.clone(),
            author_kinds: config.author_kinds.clone(),
            pool: config.rerank_pool,
        }),
    };
    let distinct = Distinct {
        inner: reranker,
        similarity: Arc::clone(varied_by),
        least: config.near_duplicate,
        window: config.near_duplicate_window,
        pool: config.rerank_pool,
    };
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    Pipeline {
        hydrate: Box::new(viewers),
        sources: source::Sources::new(sources, config.source_threads),
        filters: filters(config, &sets),
        scorers,
        reranker: Box::new(Pinned(Box::new(distinct))),
        explore: drawn.map(|drawn| Explore { share: config.explore_share, drawn }),
        served: Box::new(reasons(kinds)),
        candidates_per_source: config.candidates_per_source,
        trace_examples_max: config.trace_examples_max,
        trace_moves_max: config.trace_moves_max,
        ids: RequestIds::starting_at(start),
    }
}

fn filters(config: &FeedConfig, sets: &Arc<RowSets>) -> Vec<Box<dyn Filter>> {
    let (asked, category_kinds) = (&config.filters, config.category_kinds.clone());
    let is_strict = |name: &str| asked.strict.iter().any(|strict| strict == name);
    let sets = || Arc::clone(sets);
    vec![
        Box::new(filter::Seen),
        Box::new(filter::Served),
        Box::new(filter::Hidden),
        Box::new(filter::Excluded),
        Box::new(filter::OwnUploads(sets())),
        Box::new(filter::BlockedAuthors { author_kinds: config.author_kinds.clone(), sets: sets() }),
        Box::new(filter::Categories { kinds: category_kinds.clone(), sets: sets() }),
        Box::new(filter::Label {
            name: "language",
            asked: |request| request.language.as_deref(),
            kinds: asked.language_kinds.clone(),
            strict: is_strict("language"),
            sets: sets(),
        }),
        Box::new(filter::Label {
            name: "region",
            asked: |request| request.region.as_deref(),
            kinds: asked.region_kinds.clone(),
            strict: is_strict("region"),
            sets: sets(),
        }),
        Box::new(filter::Age {
            kinds: asked.age_kinds.clone(),
            ratings: asked.age_ratings.clone(),
            strict: is_strict("age"),
            sets: sets(),
        }),
        Box::new(filter::Asked { category_kinds, sets: sets() }),
    ]
}
