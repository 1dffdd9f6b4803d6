//! Who asks: the run's events, then the store's feedback, then the picks, as one past.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Instant;

use upnext_data::{Action, Actions, Dataset, Event, History, Judgement, Order, Past, Relevance};
use upnext_models::Recommender;
use upnext_store::{Feedback, Presence, Store, StoreError};

use crate::config::Meaning;
use crate::live::{LiveView, texts_by_kind};
use crate::pipeline::{Hydrate, StageError, guard};
use crate::query::{How, Towers};
use crate::remembered::{Hits, Remembered};
use crate::rules::Rules;
use crate::served::Served;
use crate::stock::Live;
use crate::{Failure, FeedConfig, FeedbackConfig, Models, Query, Request, Stock};

/// One video of a past, all events together.
#[derive(Clone, Debug, PartialEq)]
pub struct PastVideo {
    /// The row, newcomers included.
    pub row: u32,
    /// Milliseconds since 1970; 0 where the run has no times.
    pub time: i64,
    /// Watch ratio or stars, where known.
    pub value: Option<f32>,
    /// Whether it was wanted; the latest explicit word decides.
    pub judgement: Judgement,
    /// The last action.
    pub action: Action,
    /// All actions that occurred.
    pub actions: Actions,
    /// How it came to be wanted, if it is.
    pub how: How,
    /// Only shown, never watched or judged.
    pub only_shown: bool,
    /// Where it is known from.
    pub origin: Origin,
    /// The time of the last event, as `time`.
    pub last: i64,
    /// Whether its author is not to be shown again.
    pub blocks_author: bool,
}

impl PastVideo {
    /// Whether it was last seen so long ago that it may be shown again. A refusal holds for ever, and so does what
    /// has no time.
    fn may_repeat(&self, days: f64, now: i64, is_run_timed: bool) -> bool {
        const DAY_MILLISECONDS: f64 = 86_400_000.0;
        let has_time = self.origin != Origin::Run || is_run_timed;
        let age_days = now.saturating_sub(self.last) as f64 / DAY_MILLISECONDS;
        days > 0.0 && has_time && self.judgement != Judgement::Negative && age_days > days
    }

    /// What models see of it.
    pub(crate) fn as_past(&self) -> Past {
        Past {
            video: self.row,
            time: self.time,
            value: self.value,
            judgement: self.judgement,
            actions: self.actions,
        }
    }
}

/// Where an event is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The run's dataset.
    Run,
    /// The store's feedback.
    Store,
    /// The request's picks.
    Pick,
}

/// Joins events into one entry for each video.
///
/// A run's events alone give what [`upnext_data::Interactions`] gives: one row at the time of the first positive
/// event, else of the first. What comes later by the store goes further: the latest like or refusal decides, and
/// an explicit word moves the video to its own time, so that the very next answer is about it.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    videos: Vec<PastVideo>,
    at: HashMap<u32, usize>,
    n_picks: i64,
}

impl Timeline {
    /// Adds one event of a row, judged.
    pub(crate) fn add(&mut self, row: u32, event: &Event, judgement: Judgement, origin: Origin) {
        self.add_said(row, event, Actions::of([event.action]), judgement, origin);
    }

    /// The same of an event that says other actions than its own, or none.
    fn add_said(&mut self, row: u32, event: &Event, actions: Actions, judgement: Judgement, origin: Origin) {
        let stars = if event.action == Action::Rating { event.value } else { None };
        let value = event.ratio.or(stars);
        let how = match (event.action, stars) {
            (Action::Rating, Some(stars)) => How::Rated(stars),
            (Action::Like | Action::Collect | Action::Forward, _) => How::Liked,
            _ => How::Watched,
        };
        // No clock reaches what stands for picks.
        let event = &Event {
            time: if origin == Origin::Pick { event.time } else { event.time.min(FIRST_PICK) },
            ..*event
        };
        let explicit = matches!(
            event.action,
            Action::Like | Action::Collect | Action::Forward | Action::Rating | Action::Hate
        );
        let only_shown = event.action == Action::Impression;
        let Some(&at) = self.at.get(&row) else {
            self.at.insert(row, self.videos.len());
            let (time, action) = (event.time, event.action);
            self.videos.push(PastVideo {
                row,
                time,
                value,
                judgement,
                action,
                actions,
                how,
                only_shown,
                origin,
                last: time,
                blocks_author: false,
            });
            return;
        };
        let known = &mut self.videos[at];
        known.value = match (known.value, value) {
            (Some(old), Some(new)) if event.ratio.is_some() => Some(old.max(new)),
            (old, new) => new.or(old),
        };
        known.only_shown &= only_shown;
        known.last = known.last.max(event.time);
        known.action = event.action;
        known.actions = known.actions.and(actions);
        known.origin = origin;
        let turned = match (known.judgement, judgement) {
            (_, Judgement::Negative) => true,
            (Judgement::Neutral, Judgement::Positive) => true,
            (Judgement::Negative, Judgement::Positive) => explicit,
            _ => false,
        };
        let said_again = judgement == Judgement::Positive && explicit && origin != Origin::Run;
        if turned {
            known.judgement = judgement;
            known.how = how;
        } else if judgement == Judgement::Positive && stronger(how, known.how) {
            known.how = how;
        }
        // A refusal leaves the time of the first event, as the run's own joining does, unless it is live.
        if (turned && (judgement == Judgement::Positive || origin != Origin::Run)) || said_again {
            known.time = event.time;
        }
    }

    /// Marks the author of a row that was added.
    fn block_author(&mut self, row: u32) {
        if let Some(&at) = self.at.get(&row) {
            self.videos[at].blocks_author = true;
        }
    }

    /// Adds a pick: the newest word, and a positive one.
    pub(crate) fn pick(&mut self, row: u32) {
        self.n_picks += 1;
        let time = FIRST_PICK + self.n_picks;
        let event = Event { user: 0, video: row, action: Action::Like, time, value: None, ratio: None };
        self.add(row, &event, Judgement::Positive, Origin::Pick);
        let at = self.at[&row];
        self.videos[at].how = How::Picked;
    }

    /// The past, oldest first; equal times stand in the order of first mention. Picks are of `now`.
    pub(crate) fn finish(mut self, now: i64) -> Vec<PastVideo> {
        self.videos.sort_by_key(|video| video.time);
        for video in self.videos.iter_mut().filter(|video| video.time > FIRST_PICK) {
            video.time = now;
        }
        self.videos
    }
}

/// Picks stand after every event, in their own order: no clock reaches this number of milliseconds.
const FIRST_PICK: i64 = i64::MAX / 2;

fn failure(part: &str, error: &StageError) -> Failure {
    Failure { stage: "hydrate".into(), part: part.into(), message: error.to_string() }
}

fn stronger(new: How, old: How) -> bool {
    let strength = |how| match how {
        How::Watched => 0,
        How::Rated(_) => 1,
        How::Liked => 2,
        How::Picked => 3,
    };
    strength(new) > strength(old)
}

/// The event that a piece of feedback stands for, in a log: of no user and video yet. What was only seen is an impression.
pub fn event_of(feedback: &Feedback, config: &FeedbackConfig) -> Event {
    let (event, _) = meant(feedback, config);
    Event { action: config.meaning(&feedback.kind).action().unwrap_or(Action::Impression), ..event }
}

/// The event that a piece of feedback stands for, and what the rule says of it.
pub(crate) fn judge(feedback: &Feedback, config: &FeedbackConfig, rule: &Relevance) -> (Event, Judgement) {
    let (event, meaning) = meant(feedback, config);
    let judgement = match meaning {
        Meaning::Seen => Judgement::Neutral,
        // Said in so many words, whatever the rule takes from a log that knows no likes.
        Meaning::Like => Judgement::Positive,
        _ => rule.judge(&event),
    };
    (event, judgement)
}

fn meant(feedback: &Feedback, config: &FeedbackConfig) -> (Event, Meaning) {
    let meaning = config.meaning(&feedback.kind);
    let number = feedback.value.is_finite().then_some(feedback.value);
    let (value, ratio) = match meaning {
        Meaning::Watch => {
            (None, number.filter(|v| *v > 0.0 && *v <= config.watch_ratio_max).map(|v| v as f32))
        }
        Meaning::Rating => (number.map(|v| v as f32), None),
        _ => (None, None),
    };
    let action = meaning.action().unwrap_or(Action::Watch);
    let event = Event { user: 0, video: 0, action, time: feedback.time, value, ratio };
    (event, meaning)
}

/// Hydrates requests: reads the viewer's past and the stock.
pub struct Viewers {
    config: FeedConfig,
    dataset: Arc<Dataset>,
    relevance: Relevance,
    models: Arc<Models>,
    store: Arc<dyn Store>,
    live: Arc<LiveView>,
    /// Where each user's events begin.
    starts: Vec<usize>,
    served: Arc<Served>,
    rules: RwLock<Arc<Rules>>,
    remembered: Remembered<Viewing>,
}

/// What a request needs to know of a viewer: made when an event of theirs arrived, not for each request.
struct Viewing {
    /// The store's version of the user, read before anything else of them.
    version: u64,
    /// The stock whose rows this speaks of.
    live: Weak<Live>,
    /// It holds from this moment on …
    since: i64,
    /// … until before this one, when what was written for later comes to count.
    until: i64,
    user: Option<u32>,
    /// By row, so that what is seen comes sorted.
    past: Vec<PastVideo>,
    blocked_authors: Vec<String>,
    followed_authors: Vec<String>,
    refused: Vec<u32>,
    wanted: HashMap<u32, How>,
    history: History,
    towers: Arc<Towers>,
}

/// What was read of a past.
struct Read {
    past: Vec<PastVideo>,
    since: i64,
    until: i64,
}

impl Viewers {
    /// Over a run and a store.
    pub fn new(
        config: FeedConfig,
        dataset: Arc<Dataset>,
        relevance: Relevance,
        models: Arc<Models>,
        store: Arc<dyn Store>,
        live: Arc<LiveView>,
        rules: Rules,
    ) -> Self {
        let users = dataset.events().users();
        let starts =
            (0..=dataset.users.len() as u32).map(|user| users.partition_point(|&u| u < user)).collect();
        let served = Arc::new(Served::new(config.served.clone()));
        let rules = RwLock::new(Arc::new(rules));
        let remembered = Remembered::new(config.viewers_max);
        Self { config, dataset, relevance, models, store, live, starts, served, rules, remembered }
    }

    /// How often all that a request needed of a viewer was remembered.
    pub(crate) fn remembered(&self) -> Hits {
        self.remembered.hits()
    }

    /// What was just served.
    pub(crate) fn served(&self) -> &Served {
        &self.served
    }

    /// The rules that hold.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets these rules hold from now on.
    pub(crate) fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// What puts a user into groups, as `kind:value`: the run's labels, then the store's.
    fn labels_of(&self, user: &str, failures: &mut Vec<Failure>) -> Vec<String> {
        let users = &self.dataset.users;
        let of_run = users.row(user).map_or(&[][..], |row| users.labels_of(row));
        let mut labels: Vec<String> =
            of_run.iter().map(|&label| users.labels.name(label).to_string()).collect();
        match guard(|| self.store.user(user).map_err(|error| StageError::new(error.to_string()))) {
            Ok(Some(stored)) => {
                for (kind, values) in texts_by_kind(&stored.labels) {
                    labels.extend(values.iter().map(|value| format!("{kind}:{value}")));
                }
            }
            Ok(None) => {}
            Err(error) => failures.push(failure("viewer", &error)),
        }
        labels
    }

    /// The models that requests are answered by.
    pub(crate) fn models(&self) -> &[Arc<dyn Recommender>] {
        self.models.models()
    }

    /// The same, and how they are asked.
    pub(crate) fn asked(&self) -> &Models {
        &self.models
    }

    /// How many events the run has of a user.
    pub fn n_events_in_run(&self, user: u32) -> usize {
        self.starts[user as usize + 1] - self.starts[user as usize]
    }

    /// The whole past of a viewer, oldest first, within the limits. What could not be read is named.
    pub fn past(
        &self,
        user: Option<&str>,
        picks: &[String],
        now: i64,
        stock: &Stock,
        failures: &mut Vec<Failure>,
    ) -> Vec<PastVideo> {
        let row = self.row(user, failures);
        self.past_of((user, row), picks, now, stock, failures).past
    }

    fn past_of(
        &self,
        (user, row): (Option<&str>, Option<u32>),
        picks: &[String],
        now: i64,
        stock: &Stock,
        failures: &mut Vec<Failure>,
    ) -> Read {
        let (mut since, mut until) = (i64::MIN, i64::MAX);
        let mut timeline = Timeline::default();
        if let Some(row) = row {
            for at in self.starts[row as usize]..self.starts[row as usize + 1] {
                let event = self.dataset.events().get(at);
                timeline.add(event.video, &event, self.relevance.judge(&event), Origin::Run);
            }
        }
        if let Some(user) = user {
            let limit = self.config.seen_events_max.max(self.config.history_events_max);
            let failed = |error: StoreError| StageError::new(error.to_string());
            let read = || {
                let feedback = self.store.history(user, Some(now), limit).map_err(failed)?;
                Ok((feedback, self.store.next_time(user, now).map_err(failed)?))
            };
            match guard(read) {
                Ok((feedback, next)) => {
                    // What is written for later, a recommendation shown back with a delay, counts from then on.
                    until = next.unwrap_or(i64::MAX);
                    for piece in &feedback {
                        since = since.max(piece.time);
                        let Some(row) = stock.row(&piece.video) else { continue };
                        let (event, judgement) = judge(piece, &self.config.feedback, &self.relevance);
                        let meaning = self.config.feedback.meaning(&piece.kind);
                        let said = Actions::of(meaning.action());
                        timeline.add_said(row, &event, said, judgement, Origin::Store);
                        if meaning == Meaning::BlockAuthor {
                            timeline.block_author(row);
                        }
                    }
                }
                Err(error) => failures.push(failure("history", &error)),
            }
        }
        let skip = picks.len().saturating_sub(self.config.picks_max);
        for row in picks.iter().skip(skip).filter_map(|id| stock.row(id)) {
            timeline.pick(row);
        }
        Read { past: timeline.finish(now), since, until }
    }

    /// What is known of a viewer, as it was last made if nothing changed since. Picks, and events that shall be forgotten, make it anew.
    fn viewing(&self, request: &Request, stock: &Stock, failures: &mut Vec<Failure>) -> Arc<Viewing> {
        let name = request.user.as_deref().filter(|_| request.picks.is_empty() && request.forget == 0);
        // Read before the rest: what comes in between is seen by the next request at the latest.
        let version = name.and_then(|user| guard(|| Ok(self.store.user_version(user))).ok());
        if let (Some(name), Some(version)) = (name, version) {
            let is_good = |known: &Viewing| {
                known.version == version
                    && std::ptr::eq(known.live.as_ptr(), Arc::as_ptr(&stock.live))
                    && (known.since..known.until).contains(&request.now)
            };
            if let Some(known) = self.remembered.get(name, is_good) {
                return known;
            }
        }
        let n_failures = failures.len();
        let viewing = Arc::new(self.view(request, stock, version.unwrap_or_default(), failures));
        if let (Some(name), Some(_), true) = (name, version, failures.len() == n_failures) {
            self.remembered.put(name, &viewing);
        }
        viewing
    }

    fn view(&self, request: &Request, stock: &Stock, version: u64, failures: &mut Vec<Failure>) -> Viewing {
        let name = request.user.as_deref();
        let user = self.row(name, failures);
        let Read { mut past, since, until } =
            self.past_of((name, user), &request.picks, request.now, stock, failures);
        past.truncate(past.len().saturating_sub(request.forget));
        let refused = past.iter().rev().filter(|video| video.judgement == Judgement::Negative);
        let wanted = past.iter().filter(|video| video.judgement == Judgement::Positive);
        // Models know the rows of the run only.
        let known: Vec<&PastVideo> = past.iter().filter(|video| stock.is_of_run(video.row)).collect();
        let (older, newest) = known.split_at(known.len().saturating_sub(self.config.history_events_max));
        let favourites = older.iter().filter(|video| video.judgement == Judgement::Positive);
        let kept = favourites.take(self.config.history_favourites).chain(newest);
        let blocking = past.iter().filter(|video| video.blocks_author);
        let blocked = blocking.flat_map(|video| stock.authors(video.row, &self.config.author_kinds));
        let blocked_authors = blocked.map(String::from).collect();
        let following = past.iter().filter(|video| video.actions.has(Action::Follow));
        let followed = following.flat_map(|video| stock.authors(video.row, &self.config.author_kinds));
        let followed_authors = followed.map(String::from).collect();
        let refused = refused.map(|video| video.row).collect();
        let wanted = wanted.map(|video| (video.row, video.how)).collect();
        let history = History::new(kept.map(|video| video.as_past()));
        past.sort_by_key(|video| video.row);
        Viewing {
            version,
            // What is remembered holds no old stock.
            live: Arc::downgrade(&stock.live),
            since,
            until,
            user,
            past,
            blocked_authors,
            followed_authors,
            refused,
            wanted,
            history,
            towers: Arc::new(Towers::new(self.models.n_towers())),
        }
    }

    /// The row of a user of the run; none of one who was deleted, who does not come back.
    fn row(&self, user: Option<&str>, failures: &mut Vec<Failure>) -> Option<u32> {
        let user = user?;
        let row = self.dataset.users.row(user)?;
        let presence =
            guard(|| self.store.user_presence(user).map_err(|error| StageError::new(error.to_string())));
        match presence {
            Ok(Presence::Deleted) => None,
            Ok(_) => Some(row),
            Err(error) => {
                failures.push(failure("viewer", &error));
                Some(row)
            }
        }
    }

    /// The configuration.
    pub fn config(&self) -> &FeedConfig {
        &self.config
    }

    fn bounded(&self, request: &Request) -> Request {
        let config = &self.config;
        let mut bounded = request.clone();
        bounded.offset = bounded.offset.min(config.places_max);
        bounded.n = bounded.n.min(config.places_max - bounded.offset);
        bounded.exclude.truncate(config.exclude_max);
        bounded.categories.truncate(config.categories_max);
        bounded.block_authors.truncate(config.filters.block_authors_max);
        // Who has no name is known by the session: what is told of `session:ID` counts in it.
        bounded.user = bounded.user.or_else(|| bounded.session.as_ref().map(|id| format!("session:{id}")));
        bounded
    }
}

impl Hydrate for Arc<Viewers> {
    fn hydrate(&self, request: &Request) -> Result<Query, StageError> {
        let mut failures = Vec::new();
        let stock = self.live.stock(request.now, &mut failures);
        let mut request = self.bounded(request);
        let recalled = self.served.recall(&request, Instant::now());
        // Places count over what the session was served, then over the rest.
        request.offset = request.offset.saturating_sub(recalled.of_session);
        let viewing = self.viewing(&request, &stock, &mut failures);
        let mut query = Query::new(request, stock, Arc::clone(&self.models));
        let (days, now, is_timed) =
            (self.config.repeat_after_days, query.request.now, self.dataset.order == Order::Timed);
        let seen = (viewing.past.iter())
            .filter(|video| !video.only_shown && !video.may_repeat(days, now, is_timed))
            .map(|video| video.row);
        query.seen = seen.collect();
        query.served = recalled.videos.iter().filter_map(|id| query.stock.row(id)).collect();
        query.served.sort_unstable();
        query.blocked_authors = query.request.block_authors.clone();
        query.blocked_authors.extend_from_slice(&viewing.blocked_authors);
        query.followed_authors.clone_from(&viewing.followed_authors);
        query.refused.clone_from(&viewing.refused);
        query.wanted.clone_from(&viewing.wanted);
        query.history.clone_from(&viewing.history);
        query.towers = Arc::clone(&viewing.towers);
        query.context.user = viewing.user;
        let user = query.request.user.clone();
        let labels =
            |failures: &mut Vec<Failure>| user.map_or(Vec::new(), |user| self.labels_of(&user, failures));
        query.rules = self.rules().active(&query, labels, &mut failures);
        query.rules.pass(recalled.of_session, &query.served);
        query.failures = failures;
        Ok(query)
    }

    fn stranger(&self, request: &Request) -> Query {
        Query::new(self.bounded(request), self.live.last(), Arc::clone(&self.models))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use upnext_data::Interactions;

    fn event(action: Action, time: i64, ratio: Option<f32>) -> Event {
        Event { user: 0, video: 0, action, time, value: None, ratio }
    }

    fn timeline(events: &[(u32, Event, Origin)]) -> Vec<PastVideo> {
        let rule = Relevance::default();
        let mut timeline = Timeline::default();
        for (row, event, origin) in events {
            timeline.add(*row, event, rule.judge(event), *origin);
        }
        timeline.finish(100)
    }

    #[test]
    fn a_like_is_wanted_whatever_the_rule_takes_from_a_log() {
        let rule: Relevance = "watch_ratio>=1".parse().unwrap();
        let like = crate::testing::feedback("like", "u", "v", 1);
        assert_eq!(judge(&like, &FeedbackConfig::default(), &rule).1, Judgement::Positive);
        let watch = Feedback { value: 0.5, ..crate::testing::feedback("watch", "u", "v", 1) };
        assert_ne!(judge(&watch, &FeedbackConfig::default(), &rule).1, Judgement::Positive);
    }

    #[test]
    fn the_latest_explicit_word_decides() {
        let (like, hate) = (event(Action::Like, 1, None), event(Action::Hate, 2, None));
        let watch = event(Action::Watch, 3, Some(0.9));
        let past = |events: &[Event]| {
            timeline(&events.iter().map(|e| (5, *e, Origin::Store)).collect::<Vec<_>>())[0].judgement
        };
        assert_eq!(past(&[like, hate]), Judgement::Negative);
        assert_eq!(past(&[hate, like]), Judgement::Positive);
        // Watching what was refused does not take the refusal back.
        assert_eq!(past(&[hate, watch]), Judgement::Negative);
    }

    #[test]
    fn a_live_like_of_something_watched_long_ago_is_the_newest_word() {
        let past = timeline(&[
            (1, event(Action::Watch, 10, Some(1.0)), Origin::Run),
            (2, event(Action::Watch, 20, Some(1.0)), Origin::Run),
            (1, event(Action::Like, 30, None), Origin::Store),
        ]);
        assert_eq!(past.iter().map(|video| video.row).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(past[1].how, How::Liked);
    }

    #[test]
    fn a_pick_is_the_newest_and_only_shown_is_not_seen() {
        let mut timeline = Timeline::default();
        let shown = event(Action::Impression, 5, None);
        timeline.add(3, &shown, Judgement::Neutral, Origin::Store);
        timeline.pick(4);
        timeline.add(9, &event(Action::Hate, 50, None), Judgement::Negative, Origin::Store);
        timeline.pick(9);
        let past = timeline.finish(100);
        assert_eq!(past.iter().map(|video| video.row).collect::<Vec<_>>(), [3, 4, 9]);
        assert!(past[0].only_shown && !past[1].only_shown);
        assert_eq!((past[2].judgement, past[2].how), (Judgement::Positive, How::Picked));
    }

    #[test]
    fn a_watch_s_value_is_its_ratio_within_bounds() {
        let config = FeedbackConfig::default();
        let judged = |kind: &str, value: f64| {
            let feedback =
                Feedback { kind: kind.into(), value, ..crate::testing::feedback("read", "u", "v", 1) };
            judge(&feedback, &config, &Relevance::default())
        };
        assert_eq!(judged("read", 0.8).0.ratio, Some(0.8));
        assert_eq!(judged("read", 0.1).1, Judgement::Neutral);
        assert_eq!(judged("read", 0.0), judged("read", 900.0));
        assert_eq!(judged("read", 0.0).1, Judgement::Positive);
        assert_eq!(judged("read", f64::NAN).0.ratio, None);
        assert_eq!(judged("rating", 2.0).0.value, Some(2.0));
        assert_eq!(judged("teleported", 1.0).1, Judgement::Neutral);
    }

    proptest! {
        #[test]
        fn a_run_s_events_give_what_the_models_were_fitted_on(
            drawn in prop::collection::vec((0u32..6, 0usize..4, 0.0..1.5f32), 0..40)
        ) {
            let actions = [Action::Watch, Action::Like, Action::Comment, Action::Impression];
            let events: Vec<Event> = drawn.iter().enumerate().map(|(at, &(video, action, ratio))| {
                let action = actions[action];
                let ratio = (action == Action::Watch).then_some(ratio);
                Event { user: 0, video, action, time: at as i64 / 3, value: None, ratio }
            }).collect();
            let rule = Relevance::default();
            let fitted = Interactions::new(1, 6, events.iter().copied(), &rule);
            let mut timeline = Timeline::default();
            for event in &events {
                timeline.add(event.video, event, rule.judge(event), Origin::Run);
            }
            let past = timeline.finish(100);
            let past: Vec<_> = past.iter().map(|p| (p.row, p.time, p.value, p.judgement, p.actions)).collect();
            let rows = fitted.of(0).iter();
            let rows: Vec<_> = rows.map(|r| (r.video, r.time, r.value, r.judgement, r.actions)).collect();
            prop_assert_eq!(past, rows);
        }
    }
}
