//! The feed as shelves: a row of videos under a name that people know.

use std::collections::HashSet;

use serde::Serialize;

use crate::feed::Feed;
use crate::pipeline::Outcome;
use crate::query::How;
use crate::reason::{in_words, popular_or_new, share_in_words};
use crate::{Allow, Failure, Reason, Request, Slot, Trace};

/// A row of videos under a name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shelf {
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
        let slate = self.pipeline.slate(&outcome);
        shown.extend(slate.iter().filter_map(|slot| outcome.query.stock.row(&slot.video)));

        let cold = outcome.query.is_cold();
        let (name, subtitle) = match cold {
            true => ("Most popular", "A start for somebody new: pick a few titles and it becomes yours"),
            false => ("Top picks for you", "From what you wanted and what others wanted with it"),
        };
        let mut shelves = vec![Shelf { name: name.into(), subtitle: subtitle.into(), items: slate }];
        shelves.extend(self.because_shelves(&outcome, &mut shown, &mut failures));
        if !cold {
            let subtitle = "What viewers wanted most, lately first";
            shelves.push(self.source_shelf(&outcome, "popular", "Most popular", subtitle, &mut shown));
        }
        let subtitle = "Wanted by the most viewers in the last days";
        shelves.push(self.source_shelf(&outcome, "popular-now", "Trending now", subtitle, &mut shown));
        shelves.push(self.source_shelf(&outcome, "latest", "New", "What came in last", &mut shown));
        shelves.retain(|shelf| !shelf.items.is_empty());
        Shelves { request_id: outcome.request_id, shelves, trace: outcome.trace, failures }
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
            let mut allow = Allow::clone(&outcome.allow);
            shown.iter().for_each(|&row| allow.refuse(row));
            let near = match self.near(past, query.request.n, &allow) {
                Ok(near) => near,
                Err(error) => {
                    let (stage, part) = ("shelves".into(), self.neighbours.model.name().to_string());
                    failures.push(Failure { stage, part, message: error.to_string() });
                    break;
                }
            };
            shown.extend(near.iter().map(|near| near.row));
            let model = self.neighbours.model.name();
            let items = near.into_iter().map(|near| {
                let alike = near.by_likeness >= LIKENESS_LEAST && near.by_likeness >= near.by_model;
                let by = if alike { "content" } else { model };
                let mut reason = in_words(query, by, past, verb);
                let shared = self.audience.as_ref().map_or((0, 0), |of| of.shared(past, near.row));
                if let Some(share) = share_in_words(shared.0, shared.1).filter(|_| !alike) {
                    reason.text = match share.strip_prefix("1 in") {
                        Some(n) => format!("wanted by 1 in{n} who wanted {}", query.stock.short_title(past)),
                        None => format!("wanted by most who wanted {}", query.stock.short_title(past)),
                    };
                }
                let mut slot = self.plain_slot(outcome, near.row, model, f64::from(near.score()), reason);
                slot.parts = vec![
                    (model.to_string(), f64::from(near.by_model)),
                    ("likeness".to_string(), f64::from(near.by_likeness)),
                ];
                slot
            });
            let items = items.collect();
            shelves.push(Shelf {
                name: format!("Because you {verb} {}", query.stock.short_title(past)),
                subtitle: "Its neighbours by who watches and by what they are".into(),
                items,
            });
        }
        shelves
    }

    fn source_shelf(
        &self,
        outcome: &Outcome,
        source: &str,
        name: &str,
        subtitle: &str,
        shown: &mut HashSet<u32>,
    ) -> Shelf {
        let query = &outcome.query;
        let rows = self.of_source(outcome, source, query.request.n + shown.len());
        let mut items = Vec::new();
        for (row, score) in rows {
            if items.len() < query.request.n && shown.insert(row) {
                let now = source == "popular-now";
                let reason = popular_or_new(&self.popularity, query.stock.is_of_run(row), now, row);
                items.push(self.plain_slot(outcome, row, source, f64::from(score), reason));
            }
        }
        Shelf { name: name.into(), subtitle: subtitle.into(), items }
    }

    fn plain_slot(&self, outcome: &Outcome, row: u32, source: &str, score: f64, reason: Reason) -> Slot {
        Slot {
            video: outcome.query.stock.id(row).to_string(),
            score,
            sources: vec![source.to_string()],
            parts: vec![(source.to_string(), score)],
            ranks: Vec::new(),
            reason,
        }
    }
}
