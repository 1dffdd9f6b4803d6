//! What a page shows beside a feed: cards of videos, histories, viewers to choose from, numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use upnext_data::{Judgement, Order};
use upnext_store::Presence;

use crate::Stock;
use crate::feed::{Feed, now};
use crate::pipeline::{StageError, guard};
use crate::viewer::{Origin, PastVideo};

/// What is known of a video, for a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Card {
    /// Outside id.
    pub id: String,
    /// The title, or the id where there is none.
    pub title: String,
    /// Year of release.
    pub year: Option<i32>,
    /// Labels by kind: `genre` to `Comedy`, `Drama`.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Categories that the store gives it.
    pub categories: Vec<String>,
    /// Outside id of the creator.
    pub creator: Option<String>,
    /// Viewers of the run who wanted it.
    pub wanted: u32,
    /// Whether the store hides it.
    pub hidden: bool,
    /// Whether models know it.
    pub in_run: bool,
}

/// One video of a viewer's past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryItem {
    /// Outside id.
    pub video: String,
    /// The title.
    pub title: String,
    /// The last action.
    pub action: upnext_data::Action,
    /// Milliseconds since 1970; 0 where the run has no times.
    pub time: i64,
    /// Watch ratio or stars, where known.
    pub value: Option<f32>,
    /// `positive`, `neutral` or `negative`.
    pub judgement: &'static str,
    /// `run`, `store` or `pick`.
    pub origin: Origin,
}

/// Somebody a feed can be shown for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Viewer {
    /// Outside id.
    pub user: String,
    /// Events of the run, and for those of the store the feedback lately seen.
    pub events: usize,
    /// The most frequent genres of what was wanted.
    pub genres: Vec<String>,
    /// Whether the store saw them lately.
    pub recent: bool,
}

/// A feed in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The run's dataset.
    pub name: String,
    /// Users of the run.
    pub users: usize,
    /// Videos of the run.
    pub videos: usize,
    /// Events of the run.
    pub events: usize,
    /// Videos of the store that the run does not know.
    pub newcomers: usize,
    /// What is known about order.
    pub order: Order,
    /// What counts as wanted.
    pub relevance: String,
    /// Digest of the run's dataset.
    pub digest: String,
    /// The main model, then the other sources.
    pub models: Vec<String>,
}

impl HistoryItem {
    /// One video of a past, with its outside id and title.
    pub(crate) fn of(past: &PastVideo, stock: &Stock) -> Self {
        Self {
            video: stock.id(past.row).to_string(),
            title: stock.title(past.row).to_string(),
            action: past.action,
            time: past.time,
            value: past.value,
            judgement: match past.judgement {
                Judgement::Positive => "positive",
                Judgement::Neutral => "neutral",
                Judgement::Negative => "negative",
            },
            origin: past.origin,
        }
    }
}

impl Feed {
    /// What is known of a video.
    pub fn card(&self, video: &str) -> Option<Card> {
        let stock = self.live.last();
        let stock = if stock.row(video).is_some() { stock } else { self.stock(now()) };
        let row = stock.row(video)?;
        let mut card = Card {
            id: video.to_string(),
            title: stock.title(row).to_string(),
            year: None,
            labels: BTreeMap::new(),
            categories: stock.stored_categories(row).to_vec(),
            creator: None,
            wanted: self.popularity.count(row),
            hidden: stock.is_hidden(row),
            in_run: stock.is_of_run(row),
        };
        if let Some(newcomer) = stock.newcomer(row) {
            card.labels = newcomer.labels.clone();
            if !card.labels.contains_key("genre") && !card.categories.is_empty() {
                card.labels.insert("genre".into(), card.categories.clone());
            }
            card.year = newcomer.labels.get("year").and_then(|year| year.first()?.parse().ok());
            card.creator.clone_from(&newcomer.creator);
        } else {
            let videos = &self.dataset.videos;
            let known = videos.video(row);
            for &label in &known.labels {
                let (kind, value) = videos.labels.name(label).split_once(':').unwrap_or_default();
                card.labels.entry(kind.to_string()).or_default().push(value.to_string());
            }
            card.year = known.year;
            card.creator = known.creator.map(|creator| videos.creators.name(creator).to_string());
        }
        Some(card)
    }

    /// A viewer's newest `n` videos, newest first: the run's events, then the store's.
    pub fn history(&self, user: &str, n: usize) -> Vec<HistoryItem> {
        let stock = self.stock(now());
        let past = self.viewers.past(Some(user), &[], now(), &stock, &mut Vec::new());
        past.iter().rev().take(n).map(|past| HistoryItem::of(past, &stock)).collect()
    }

    /// Whether the run or the store has heard of a user.
    pub fn knows(&self, user: &str) -> bool {
        match self.store.user_presence(user) {
            Ok(Presence::Present) => true,
            Ok(Presence::Deleted) => false,
            Ok(Presence::Unknown) | Err(_) => self.dataset.users.row(user).is_some(),
        }
    }

    /// People to look at the feed as: half of the places for those the store saw lately, newest first; the rest
    /// are spread evenly over the run's users with at least five events.
    pub fn viewers(&self, n: usize) -> Vec<Viewer> {
        let n = n.min(self.config.places_max);
        let mut viewers: Vec<Viewer> = Vec::new();
        let mut named: HashSet<String> = HashSet::new();
        let recent = guard(|| {
            self.store
                .recent(i64::MIN, None, self.config.live.events_max)
                .map_err(|e| StageError::new(e.to_string()))
        });
        let mut order = Vec::new();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for feedback in recent.unwrap_or_default() {
            let count = counts.entry(feedback.user.clone()).or_default();
            if *count == 0 {
                order.push(feedback.user);
            }
            *count += 1;
        }
        for user in order.into_iter().take(n.div_ceil(2)) {
            let in_run = self.dataset.users.row(&user).map_or(0, |row| self.viewers.n_events_in_run(row));
            let events = in_run + counts.get(&user).copied().unwrap_or(0);
            named.insert(user.clone());
            viewers.push(Viewer { genres: self.top_genres(&user), user, events, recent: true });
        }
        let users: Vec<u32> = (0..self.dataset.users.len() as u32)
            .filter(|&row| self.viewers.n_events_in_run(row) >= 5)
            .filter(|&row| !named.contains(self.dataset.users.name(row)))
            .collect();
        let places = n.saturating_sub(viewers.len()).min(users.len());
        for place in 0..places {
            let row = users[place * users.len() / places];
            let (user, events) =
                (self.dataset.users.name(row).to_string(), self.viewers.n_events_in_run(row));
            viewers.push(Viewer { genres: self.top_genres(&user), user, events, recent: false });
        }
        viewers
    }

    /// The feed in numbers.
    pub fn about(&self) -> About {
        About {
            name: self.dataset.name.clone(),
            users: self.dataset.users.len(),
            videos: self.dataset.videos.len(),
            events: self.dataset.events().len(),
            newcomers: self.stock(now()).live.newcomers().len(),
            order: self.dataset.order,
            relevance: self.relevance.to_string(),
            digest: self.digest.get_or_init(|| self.dataset.digest()).clone(),
            models: self.model_names.clone(),
        }
    }

    pub(crate) fn past(&self, user: &str) -> Vec<PastVideo> {
        self.viewers.past(Some(user), &[], now(), &self.stock(now()), &mut Vec::new())
    }

    fn top_genres(&self, user: &str) -> Vec<String> {
        let stock = self.live.last();
        let past = self.viewers.past(Some(user), &[], now(), &stock, &mut Vec::new());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for video in past.iter().filter(|video| video.judgement == Judgement::Positive) {
            for genre in stock.genres(video.row, &self.config.category_kinds) {
                *counts.entry(genre).or_default() += 1;
            }
        }
        let mut genres: Vec<(&str, usize)> = counts.into_iter().collect();
        genres.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        genres.into_iter().take(3).map(|(genre, _)| genre.to_string()).collect()
    }
}
