//! Settings of the feed. Every limit is here; each has a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use upnext_data::Action;

use crate::Rule;

/// How a feed is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedConfig {
    /// Places that one request may reach, offset included.
    pub places_max: usize,
    /// Candidates that each source returns at most (more where a request reaches further).
    pub candidates_per_source: usize,
    /// Catalogues of up to so many videos are scored whole for each request; in larger ones models answer by the few videos that
    /// a past reaches, by an index, and their blend is made for what they name.
    pub exact_videos_max: usize,
    /// How long a request waits for a source.
    pub source_deadline_milliseconds: u64,
    /// The same for single sources, by name.
    pub source_deadlines_milliseconds: BTreeMap<String, u64>,
    /// Threads that sources run on; 0 takes as many as the machine has.
    pub source_threads: usize,
    /// Sources in which one model narrows and another selects.
    pub cascades: Vec<CascadeConfig>,
    /// The newest wanted videos whose neighbours by vectors are candidates, where there is an index.
    pub near_last: usize,
    /// How much a neighbour counts of one whose video was wanted one later.
    pub near_decay: f32,
    /// Viewers whose past and vectors are remembered until an event of theirs.
    pub viewers_max: usize,
    /// The share of places that show a video drawn at random, with its propensity; 0 shows none.
    pub explore_share: f64,
    /// A viewer's newest events that models see.
    pub history_events_max: usize,
    /// A viewer's first wanted videos, which models see whatever came since: favourites that a profile starts from.
    pub history_favourites: usize,
    /// A viewer's events in the store that the seen filter reads.
    pub seen_events_max: usize,
    /// Days after which what was seen may be shown again; 0: never.
    pub repeat_after_days: f64,
    /// Picks that count in a request, the newest.
    pub picks_max: usize,
    /// Excluded ids that count in a request.
    pub exclude_max: usize,
    /// Categories that count in a request.
    pub categories_max: usize,
    /// How the list is re-ranked for variety.
    pub rerank: Rerank,
    /// What videos are alike by in that: `fused`, vectors learnt from relations of videos, where the run has such, or
    /// `content`.
    pub rerank_space: RerankSpace,
    /// Weight of relevance in the re-rank; diversity is `1 - lambda`.
    pub lambda: f32,
    /// The same for a viewer without a history, who is shown more variety.
    pub lambda_cold: f32,
    /// The re-rank moves videos within this many of the best; those after them keep their order.
    pub rerank_pool: usize,
    /// For `caps`: most videos of one category in a list, of kinds `category_kinds`; where nothing else is left, all
    /// caps rise.
    pub cap_category: usize,
    /// For `caps`: most videos of one author.
    pub cap_author: usize,
    /// For `caps`: kinds of label that name an author where no creator is known.
    pub author_kinds: Vec<String>,
    /// From this likeness on two videos are near duplicates, of which only the first stands within a window; 0: none are.
    pub near_duplicate: f32,
    /// Places of that window.
    pub near_duplicate_window: usize,
    /// The k-th video of an author (from 0) keeps `(1 - author_floor) * author_decay^k + author_floor` of its score; 1
    /// changes nothing.
    pub author_decay: f64,
    /// What it keeps at least.
    pub author_floor: f64,
    /// What the sources' own scores, each scaled to mean 0 and deviation 1 over the catalogue, add to the
    /// main model's, by the name of the source. Empty: the main model alone decides.
    pub source_weights: BTreeMap<String, f64>,
    /// How much a refused video takes from its neighbours: this share of the spread of the list's scores,
    /// times the similarity.
    pub refused_weight: f64,
    /// Refused videos that damp their neighbours, the newest.
    pub refused_max: usize,
    /// Videos that no model knows yet take at most one place in this many.
    pub newcomer_every: usize,
    /// Before it was shown so many times such a video goes before those that were.
    pub first_exposures: u32,
    /// Such videos among the candidates.
    pub newcomers_max: usize,
    /// After how many days half of a newcomer's freshness is gone.
    pub fresh_half_life_days: f64,
    /// After how many days an event counts half for popularity.
    pub popular_half_life_days: f64,
    /// For a viewer without a history: share of freshness, the rest is popularity.
    pub cold_fresh_weight: f64,
    /// For the same: after how many days half of the freshness of a video of the catalogue is gone.
    pub cold_fresh_half_life_days: f64,
    /// For the same: what each circumstance adds that the request tells, its hour, device and language.
    pub cold_context_weight: f64,
    /// Kinds of label that a category may name: `Comedy` finds `genre:Comedy`.
    pub category_kinds: Vec<String>,
    /// Removed videos that a trace names for each filter.
    pub trace_examples_max: usize,
    /// Moves that a trace lists.
    pub trace_moves_max: usize,
    /// Pairs of the run up to which it is remembered who wanted what after what (twelve bytes a pair); beyond,
    /// users have no neighbours and reasons name no numbers.
    pub audience_pairs_max: usize,
    /// Shelves named after a video of the viewer's past.
    pub because_shelves: usize,
    /// Steps of a viewer's path through the taste map, the newest.
    pub path_events_max: usize,
    /// Events of a viewer's journey, the newest; each asks the feed once.
    pub journey_events_max: usize,
    /// Rules that hold at once.
    pub rules_max: usize,
    /// Videos that one of them names.
    pub rule_videos_max: usize,
    /// What editors decide.
    pub rules: Vec<Rule>,
    /// What filters go by.
    pub filters: FilterConfig,
    /// How long what was served is not served again.
    pub served: ServedConfig,
    /// What actions are worth.
    pub actions: ActionsConfig,
    /// What the store's feedback means.
    pub feedback: FeedbackConfig,
    /// What is read of the store besides the viewer's own feedback.
    pub live: LiveConfig,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            places_max: 1_000,
            candidates_per_source: 200,
            exact_videos_max: 50_000,
            source_deadline_milliseconds: 500,
            source_deadlines_milliseconds: BTreeMap::new(),
            source_threads: 0,
            cascades: Vec::new(),
            near_last: 5,
            near_decay: 0.9,
            viewers_max: 10_000,
            explore_share: 0.0,
            history_events_max: 200,
            history_favourites: 3,
            seen_events_max: 10_000,
            repeat_after_days: 0.0,
            picks_max: 100,
            exclude_max: 1_000,
            categories_max: 20,
            rerank: Rerank::Mmr,
            rerank_space: RerankSpace::Fused,
            lambda: 0.9,
            lambda_cold: 0.7,
            rerank_pool: 100,
            cap_category: 4,
            cap_author: 2,
            author_kinds: vec!["director".into()],
            near_duplicate: 0.0,
            near_duplicate_window: 20,
            author_decay: 1.0,
            author_floor: 0.25,
            source_weights: BTreeMap::new(),
            refused_weight: 0.3,
            refused_max: 10,
            newcomer_every: 10,
            first_exposures: 20,
            newcomers_max: 50,
            fresh_half_life_days: 7.0,
            popular_half_life_days: 365.0,
            cold_fresh_weight: 0.1,
            cold_fresh_half_life_days: 3_650.0,
            cold_context_weight: 0.3,
            category_kinds: vec!["genre".into(), "category".into()],
            trace_examples_max: 10,
            trace_moves_max: 100,
            audience_pairs_max: 20_000_000,
            because_shelves: 2,
            path_events_max: 100,
            journey_events_max: 20,
            rules_max: 100,
            rule_videos_max: 1_000,
            rules: Vec::new(),
            filters: FilterConfig::default(),
            served: ServedConfig::default(),
            actions: ActionsConfig::default(),
            feedback: FeedbackConfig::default(),
            live: LiveConfig::default(),
        }
    }
}

/// Threads of sources are at most so many.
const SOURCE_THREADS_MAX: usize = 256;

/// The sources that every feed may have.
pub(crate) const OWN_SOURCES: [&str; 7] =
    ["near-last", "followed", "popular", "popular-now", "latest", "rules", "random"];

/// A source in which one model narrows and another selects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadeConfig {
    /// Its name in traces.
    pub name: String,
    /// The model whose best are looked at, by its name.
    pub narrow: String,
    /// How many of them.
    pub to: usize,
    /// The model that orders them.
    pub select: String,
}

/// The ways to re-rank for variety.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rerank {
    /// Maximal marginal relevance.
    #[default]
    Mmr,
    /// Greedy search for the likeliest set of a determinantal point process.
    Dpp,
    /// At most so many of one category and of one author.
    Caps,
}

/// What the re-rank takes for alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RerankSpace {
    /// Near in the vectors of the run's model `fusion`; a run without one goes by content.
    #[default]
    Fused,
    /// Shared labels and words; without any, shared audiences.
    Content,
}

/// What the kinds of feedback in the store mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackConfig {
    /// Meanings by kind, on top of the usual ones (`like`, `read`, `hate` and so on), which they replace.
    pub kinds: BTreeMap<String, Meaning>,
    /// A watch's value above 0 and up to this is a watch ratio; any other value says nothing.
    pub watch_ratio_max: f64,
}

impl Default for FeedbackConfig {
    fn default() -> Self {
        Self { kinds: BTreeMap::new(), watch_ratio_max: 20.0 }
    }
}

/// What one kind of feedback means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// A watch; the value is the share watched.
    Watch,
    /// A like.
    Like,
    /// A comment.
    Comment,
    /// The creator was followed.
    Follow,
    /// Kept for later.
    Collect,
    /// Sent to somebody.
    Forward,
    /// A view that counts.
    EffectiveView,
    /// Not interested.
    Hate,
    /// Was shown.
    Impression,
    /// Reached by a search.
    Search,
    /// Rated; the value is the number of stars.
    Rating,
    /// Not interested, nor in anything else of its author.
    BlockAuthor,
    /// Seen, without a judgement.
    Seen,
}

impl Meaning {
    /// The action, where the meaning is one.
    pub fn action(self) -> Option<Action> {
        Some(match self {
            Self::Watch => Action::Watch,
            Self::Like => Action::Like,
            Self::Comment => Action::Comment,
            Self::Follow => Action::Follow,
            Self::Collect => Action::Collect,
            Self::Forward => Action::Forward,
            Self::EffectiveView => Action::EffectiveView,
            Self::Hate | Self::BlockAuthor => Action::Hate,
            Self::Impression => Action::Impression,
            Self::Search => Action::Search,
            Self::Rating => Action::Rating,
            Self::Seen => return None,
        })
    }
}

impl FeedbackConfig {
    /// The meaning of a kind: the configured one, else the usual one, else [`Meaning::Seen`].
    pub fn meaning(&self, kind: &str) -> Meaning {
        if let Some(&meaning) = self.kinds.get(kind) {
            return meaning;
        }
        match kind.to_ascii_lowercase().as_str() {
            "like" | "liked" | "star" | "love" | "favorite" | "favourite" | "thumbs_up" => Meaning::Like,
            "read" | "view" | "watch" | "watched" | "click" | "play" | "seen" => Meaning::Watch,
            "dislike" | "hate" | "not_interested" | "thumbs_down" | "block" => Meaning::Hate,
            "block_author" | "block-author" | "block_creator" => Meaning::BlockAuthor,
            "comment" => Meaning::Comment,
            "follow" => Meaning::Follow,
            "collect" | "save" | "bookmark" => Meaning::Collect,
            "forward" | "share" => Meaning::Forward,
            "effective_view" => Meaning::EffectiveView,
            "impression" | "show" | "shown" => Meaning::Impression,
            "search" => Meaning::Search,
            "rating" | "rate" => Meaning::Rating,
            _ => Meaning::Seen,
        }
    }
}

/// Limits on what is read of the store for everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveConfig {
    /// Stored videos that are read.
    pub videos_max: usize,
    /// Feedback that is counted for what is popular right now, the newest.
    pub events_max: usize,
    /// How far back that reaches.
    pub window_days: f64,
    /// After how many days such feedback counts half.
    pub half_life_days: f64,
    /// Stored videos are read again after a change for at most this share of the time; where they are few, at once.
    pub reread_share: f64,
    /// The same of the feedback that is counted for what is popular right now, which changes with every event.
    pub recount_share: f64,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            videos_max: 100_000,
            events_max: 20_000,
            window_days: 7.0,
            half_life_days: 2.0,
            reread_share: 0.2,
            recount_share: 0.05,
        }
    }
}

/// What filters go by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// Kinds of label that tell a video's language.
    pub language_kinds: Vec<String>,
    /// Kinds of label that tell where a video may be shown.
    pub region_kinds: Vec<String>,
    /// Kinds of label that tell for which age it is.
    pub age_kinds: Vec<String>,
    /// Filters, of `language`, `region` and `age`, that remove a video without such a label.
    pub strict: Vec<String>,
    /// Authors that a request may block.
    pub block_authors_max: usize,
    /// Bytes of an expression.
    pub expression_bytes_max: usize,
    /// How deep an expression may be nested.
    pub expression_depth_max: usize,
    /// Tests of labels and numbers in an expression.
    pub expression_tests_max: usize,
    /// Answers of filters that are remembered, a bit for each video each.
    pub remembered_max: usize,
    /// Ages of ratings that are words.
    pub age_ratings: BTreeMap<String, u32>,
}

impl Default for FilterConfig {
    fn default() -> Self {
        let kinds = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
        let ratings = [("G", 0), ("PG", 8), ("PG-13", 13), ("R", 17), ("NC-17", 18)];
        Self {
            language_kinds: kinds(&["language"]),
            region_kinds: kinds(&["region", "country"]),
            age_kinds: kinds(&["age", "age_rating", "content_rating"]),
            strict: Vec::new(),
            block_authors_max: 1_000,
            expression_bytes_max: 2_000,
            expression_depth_max: 20,
            expression_tests_max: 20,
            remembered_max: 64,
            age_ratings: ratings.map(|(rating, age)| (rating.to_string(), age)).into(),
        }
    }
}

/// How long what was served is not served again. It is kept in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServedConfig {
    /// Minutes for which a session is not served the same again.
    pub session_minutes: f64,
    /// The same for a user, whatever the session; 0: asking twice answers the same.
    pub user_minutes: f64,
    /// Sessions and users that are remembered, the last ones.
    pub sessions_max: usize,
    /// Videos that are remembered of each, the last ones.
    pub places_max: usize,
}

impl Default for ServedConfig {
    fn default() -> Self {
        Self { session_minutes: 120.0, user_minutes: 0.0, sessions_max: 10_000, places_max: 500 }
    }
}

/// What actions are worth beside what the models say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionsConfig {
    /// Weights by action, where a request gives none; a watch counts its seconds. Empty: only requests that give some.
    pub weights: BTreeMap<String, f64>,
    /// What the sum adds to a score, in deviations.
    pub strength: f64,
    /// A video's rates are drawn to those of all as if so many viewers more had behaved like all.
    pub prior_viewers: f64,
}

impl Default for ActionsConfig {
    fn default() -> Self {
        Self { weights: BTreeMap::new(), strength: 1.0, prior_viewers: 20.0 }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("feed setting `{key}` is {found}; expected {expected}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What was given.
    pub found: String,
    /// What would do.
    pub expected: &'static str,
}

impl FeedConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first key that is out of bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let unit = |key, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(ConfigError { key, found: value.to_string(), expected: "a number from 0 to 1" }),
        };
        let positive = |key, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(ConfigError { key, found: value.to_string(), expected: "a number above 0" }),
        };
        let some = |key, value: usize| match value {
            0 => Err(ConfigError { key, found: "0".into(), expected: "at least 1" }),
            _ => Ok(()),
        };
        unit("lambda", f64::from(self.lambda))?;
        unit("lambda_cold", f64::from(self.lambda_cold))?;
        unit("cold_fresh_weight", self.cold_fresh_weight)?;
        positive("fresh_half_life_days", self.fresh_half_life_days)?;
        positive("cold_fresh_half_life_days", self.cold_fresh_half_life_days)?;
        positive("popular_half_life_days", self.popular_half_life_days)?;
        positive("live.reread_share", self.live.reread_share)?;
        positive("live.recount_share", self.live.recount_share)?;
        positive("live.window_days", self.live.window_days)?;
        positive("live.half_life_days", self.live.half_life_days)?;
        positive("feedback.watch_ratio_max", self.feedback.watch_ratio_max)?;
        let counted = |key, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => Err(ConfigError { key, found: value.to_string(), expected: "a number of at least 0" }),
        };
        counted("repeat_after_days", self.repeat_after_days)?;
        counted("near_duplicate", f64::from(self.near_duplicate))?;
        counted("cold_context_weight", self.cold_context_weight)?;
        counted("served.user_minutes", self.served.user_minutes)?;
        if let Some((name, weight)) = self.actions.weights.iter().find(|(_, weight)| !weight.is_finite()) {
            let found = format!("{name} = {weight}");
            return Err(ConfigError { key: "actions.weights", found, expected: "finite numbers" });
        }
        counted("actions.strength", self.actions.strength)?;
        counted("actions.prior_viewers", self.actions.prior_viewers)?;
        positive("served.session_minutes", self.served.session_minutes)?;
        positive("author_decay", self.author_decay)?;
        unit("author_decay", self.author_decay)?;
        unit("author_floor", self.author_floor)?;
        some("served.sessions_max", self.served.sessions_max)?;
        some("served.places_max", self.served.places_max)?;
        some("near_duplicate_window", self.near_duplicate_window)?;
        let filters = ["language", "region", "age"];
        if let Some(found) = self.filters.strict.iter().find(|name| !filters.contains(&name.as_str())) {
            let expected = "names out of language, region and age";
            return Err(ConfigError { key: "filters.strict", found: found.clone(), expected });
        }
        some("places_max", self.places_max)?;
        some("candidates_per_source", self.candidates_per_source)?;
        some("history_events_max", self.history_events_max)?;
        some("newcomer_every", self.newcomer_every)?;
        some("source_deadline_milliseconds", self.source_deadline_milliseconds as usize)?;
        unit("near_decay", f64::from(self.near_decay))?;
        if self.source_threads > SOURCE_THREADS_MAX {
            let found = self.source_threads.to_string();
            return Err(ConfigError { key: "source_threads", found, expected: "at most 256" });
        }
        if let Some((name, _)) =
            self.source_deadlines_milliseconds.iter().find(|(_, deadline)| **deadline == 0)
        {
            let expected = "at least 1 for each source";
            return Err(ConfigError {
                key: "source_deadlines_milliseconds",
                found: format!("{name} = 0"),
                expected,
            });
        }
        for (at, cascade) in self.cascades.iter().enumerate() {
            let before = self.cascades[..at].iter().any(|other| other.name == cascade.name);
            if cascade.to == 0 || before || OWN_SOURCES.contains(&cascade.name.as_str()) {
                let found = format!("{} to {}", cascade.name, cascade.to);
                let expected = "names that no other source has, each with to of at least 1";
                return Err(ConfigError { key: "cascades", found, expected });
            }
        }
        unit("explore_share", self.explore_share)?;
        some("cap_category", self.cap_category)?;
        some("cap_author", self.cap_author)?;
        if !(self.refused_weight.is_finite() && self.refused_weight >= 0.0) {
            let found = self.refused_weight.to_string();
            return Err(ConfigError { key: "refused_weight", found, expected: "a number of at least 0" });
        }
        if let Some(weight) = self.source_weights.values().find(|weight| !weight.is_finite()) {
            let found = weight.to_string();
            return Err(ConfigError { key: "source_weights", found, expected: "finite numbers" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_and_a_missing_one_takes_its_default() {
        let config: FeedConfig =
            serde_json::from_str(r#"{"lambda":0.5,"feedback":{"kinds":{"finished":"watch"}}}"#).unwrap();
        assert_eq!((config.lambda, config.candidates_per_source), (0.5, 200));
        assert_eq!(config.feedback.meaning("finished"), Meaning::Watch);
        assert!(serde_json::from_str::<FeedConfig>(r#"{"lamda":0.5}"#).is_err());
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        assert_eq!(FeedConfig::default().check(), Ok(()));
        let error = FeedConfig { lambda: 1.5, ..FeedConfig::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "feed setting `lambda` is 1.5; expected a number from 0 to 1");
        assert_eq!(
            FeedConfig { places_max: 0, ..FeedConfig::default() }.check().unwrap_err().key,
            "places_max"
        );
    }

    #[test]
    fn an_unknown_kind_is_seen_without_a_judgement() {
        let config = FeedbackConfig::default();
        assert_eq!(config.meaning("Like"), Meaning::Like);
        assert_eq!(config.meaning("not_interested"), Meaning::Hate);
        assert_eq!(config.meaning("teleported"), Meaning::Seen);
        assert_eq!(config.meaning("teleported").action(), None);
    }
}
