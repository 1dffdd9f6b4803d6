//! The feed as shelves: a row of videos under a name that people know.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::feed::Feed;
use crate::lists::Near;
use crate::pipeline::Outcome;
use crate::query::How;
use crate::reason::{in_words, popular_or_new, share_in_words};
use crate::{Allow, Failure, Reason, ReasonKind, Request, Slot, Trace};

/// The kinds of shelf, as people know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShelfKind {
    /// *Top picks for you*.
    TopPicks,
    /// *Because you watched X*: neighbours of the newest wanted videos, a shelf for each.
    BecauseYouWatched,
    /// *More like X*: neighbours of any video.
    MoreLike,
    /// *Most popular*.
    MostPopular,
    /// *Trending now*.
    TrendingNow,
    /// *New*.
    New,
}

/// A row of videos under a name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shelf {
    /// Its kind.
    pub kind: ShelfKind,
    /// `Top picks for you` for example.
    pub name: String,
    /// What it is made of, in a sentence.
    pub subtitle: String,
    /// The videos, in order.
    pub items: Vec<Slot>,
}

/// A feed: shelves that share no video.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shelves {
    /// Unique; that of the first shelf's request.
    pub request_id: String,
    /// In order; none is empty.
    pub shelves: Vec<Shelf>,
    /// How the first shelf came about.
    pub trace: Trace,
    /// What failed on the way.
    pub failures: Vec<Failure>,
}

/// Half the cosine from which on two videos are called close in content.
const LIKENESS_LEAST: f32 = 0.05;
/// A shelf is rather named after a video that at least so many wanted: it has neighbours to show.
const WANTED_LEAST: u32 = 10;

impl Feed {
    /// The feed of a viewer: top picks, neighbours of what was wanted last, most popular, trending, new. Each
    /// shelf has at most `request.n` videos.
    pub fn shelves(&self, request: &Request) -> Shelves {
        let outcome = self.pipeline.outcome(request);
        let mut failures = outcome.failures.clone();
        let mut shown: HashSet<u32> = HashSet::new();
        let mut shelves = vec![self.top_picks(&outcome)];
        shown.extend(shelves[0].items.iter().filter_map(|slot| outcome.query.stock.row(&slot.video)));
        shelves.extend(self.because_shelves(&outcome, &mut shown, &mut failures));
        if !outcome.query.is_cold() {
            shelves.push(self.source_shelf(&outcome, ShelfKind::MostPopular, 0, &mut shown));
        }
        shelves.push(self.source_shelf(&outcome, ShelfKind::TrendingNow, 0, &mut shown));
        shelves.push(self.source_shelf(&outcome, ShelfKind::New, 0, &mut shown));
        self.finished(request, &outcome, shelves, failures)
    }

    /// One kind of shelf, which the request pages through. *More like X* is about `video`, which a request without one
    /// cannot ask for: `None`, and also where nobody has heard of it.
    pub fn shelf(&self, request: &Request, kind: ShelfKind, video: Option<&str>) -> Option<Shelves> {
        let outcome = self.pipeline.outcome(request);
        let (mut shown, mut failures) = (HashSet::new(), outcome.failures.clone());
        let shelves = match kind {
            ShelfKind::MoreLike => {
                let about = outcome.query.stock.row(video?)?;
                let shelf = self.near_shelf(&outcome, about, None, &mut shown);
                shelf.map_err(|failure| failures.push(failure)).into_iter().collect()
            }
            ShelfKind::BecauseYouWatched => self.because_shelves(&outcome, &mut shown, &mut failures),
            ShelfKind::TopPicks => vec![self.top_picks(&outcome)],
            _ => vec![self.source_shelf(&outcome, kind, outcome.query.request.offset, &mut shown)],
        };
        Some(self.finished(request, &outcome, shelves, failures))
    }

    fn top_picks(&self, outcome: &Outcome) -> Shelf {
        let (name, subtitle) = match outcome.query.is_cold() {
            true => ("Most popular", "A start for somebody new: pick a few titles and it becomes yours"),
            false => ("Top picks for you", "From what you wanted and what others wanted with it"),
        };
        let items = self.pipeline.slate(outcome);
        Shelf { kind: ShelfKind::TopPicks, name: name.into(), subtitle: subtitle.into(), items }
    }

    /// Without empty shelves; what is on the others was served.
    fn finished(
        &self,
        request: &Request,
        outcome: &Outcome,
        mut shelves: Vec<Shelf>,
        mut failures: Vec<Failure>,
    ) -> Shelves {
        let (trace, of_rules) = self.with_dry_runs(request, outcome);
        failures.extend(of_rules.into_iter().skip(outcome.failures.len()));
        shelves.retain(|shelf| !shelf.items.is_empty());
        shelves.iter().for_each(|shelf| self.remember(request, &shelf.items));
        Shelves { request_id: outcome.request_id.clone(), shelves, trace, failures }
    }

    fn because_shelves(
        &self,
        outcome: &Outcome,
        shown: &mut HashSet<u32>,
        failures: &mut Vec<Failure>,
    ) -> Vec<Shelf> {
        let query = &outcome.query;
        // What was liked or picked says more than what was only watched.
        let strong =
            |row: &u32| matches!(query.wanted.get(row), Some(how) if how.verb() != How::Watched.verb());
        let newest = || query.history.positives().iter().rev().copied();
        let mut about: Vec<u32> = newest().filter(strong).collect();
        if about.is_empty() {
            about = newest().collect();
        }
        about.sort_by_key(|&row| self.popularity.count(row) < WANTED_LEAST);
        about.truncate(self.config.because_shelves);

        let mut shelves = Vec::new();
        for past in about {
            let verb = query.wanted.get(&past).map_or(How::Watched.verb(), |how| how.verb());
            match self.near_shelf(outcome, past, Some(verb), shown) {
                Ok(shelf) => shelves.push(shelf),
                Err(failure) => {
                    failures.push(failure);
                    break;
                }
            }
        }
        shelves
    }

    /// Neighbours of a video: of the viewer's past, with what they did to it, or of any.
    fn near_shelf(
        &self,
        outcome: &Outcome,
        about: u32,
        verb: Option<&'static str>,
        shown: &mut HashSet<u32>,
    ) -> Result<Shelf, Failure> {
        let query = &outcome.query;
        let (title, model) = (query.stock.short_title(about), self.neighbours.model.name());
        let mut allow = Allow::clone(&outcome.allow);
        shown.iter().for_each(|&row| allow.refuse(row));
        // One kind of shelf is paged through; those of a feed are not.
        let skip = if verb.is_none() { query.request.offset } else { 0 };
        let n = query.request.n + skip;
        let near = match query.stock.is_of_run(about) {
            true => self.near(about, n, &allow).map_err(|error| Failure {
                stage: "shelves".into(),
                part: model.to_string(),
                message: error.to_string(),
            })?,
            false => {
                let near = self.near_by_categories(&query.stock, about, n, |row| allow.admits(row));
                near.into_iter()
                    .map(|(row, likeness)| Near { row, by_model: 0.0, by_likeness: likeness })
                    .collect()
            }
        };
        shown.extend(near.iter().map(|near| near.row));
        let items = near.into_iter().skip(skip).map(|near| {
            let alike = near.by_likeness >= LIKENESS_LEAST && near.by_likeness >= near.by_model;
            let mut reason = match verb {
                Some(verb) => in_words(query, if alike { "content" } else { model }, about, verb),
                None => Reason {
                    kind: ReasonKind::CloseInContent,
                    text: format!("much like {title}"),
                    video: Some(query.stock.id(about).to_string()),
                },
            };
            let shared = self.audience.as_ref().map_or((0, 0), |of| of.shared(about, near.row));
            if let Some(share) = share_in_words(shared.0, shared.1).filter(|_| !alike) {
                reason.text = match share.strip_prefix("1 in") {
                    Some(n) => format!("wanted by 1 in{n} who wanted {title}"),
                    None => format!("wanted by most who wanted {title}"),
                };
            }
            let mut slot = self.plain_slot(outcome, near.row, model, f64::from(near.score()), reason);
            slot.parts = vec![
                (model.to_string(), f64::from(near.by_model)),
                ("likeness".to_string(), f64::from(near.by_likeness)),
            ];
            slot
        });
        let (kind, name) = match verb {
            Some(verb) => (ShelfKind::BecauseYouWatched, format!("Because you {verb} {title}")),
            None => (ShelfKind::MoreLike, format!("More like {title}")),
        };
        let items = items.collect();
        Ok(Shelf { kind, name, subtitle: "Its neighbours by who watches and by what they are".into(), items })
    }

    fn source_shelf(
        &self,
        outcome: &Outcome,
        kind: ShelfKind,
        skip: usize,
        shown: &mut HashSet<u32>,
    ) -> Shelf {
        let (source, name, subtitle) = match kind {
            ShelfKind::TrendingNow => {
                ("popular-now", "Trending now", "Wanted by the most viewers in the last days")
            }
            ShelfKind::New => ("latest", "New", "What came in last"),
            _ => ("popular", "Most popular", "What viewers wanted most, lately first"),
        };
        let query = &outcome.query;
        let rows = self.of_source(outcome, source, query.request.n + skip + shown.len());
        let mut items = Vec::new();
        for (row, score) in rows.into_iter().skip(skip) {
            if items.len() < query.request.n && shown.insert(row) {
                let now = source == "popular-now";
                let reason = popular_or_new(&self.popularity, query.stock.is_of_run(row), now, row);
                items.push(self.plain_slot(outcome, row, source, f64::from(score), reason));
            }
        }
        Shelf { kind, name: name.into(), subtitle: subtitle.into(), items }
    }

    fn plain_slot(&self, outcome: &Outcome, row: u32, source: &str, score: f64, reason: Reason) -> Slot {
        Slot {
            video: outcome.query.stock.id(row).to_string(),
            score,
            sources: vec![source.to_string()],
            parts: vec![(source.to_string(), score)],
            ranks: Vec::new(),
            reason,
            propensity: None,
        }
    }
}
