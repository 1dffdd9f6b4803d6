//! Why a video is shown, and why not: which stage lost it.

use serde::Serialize;

use crate::feed::Feed;
use crate::pipeline::{Place, guard, window};
use crate::{Failure, Reason, Request, Trace};

/// The fate of one video in one request. Ranks and places count from 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The request that was run for this.
    pub request_id: String,
    /// Who asked.
    pub user: Option<String>,
    /// Outside id.
    pub video: String,
    /// Its title, where it is known.
    pub title: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// The same in words.
    pub text: String,
    /// Its place in the order to show.
    pub place: Option<usize>,
    /// Its place by score alone.
    pub plain_place: Option<usize>,
    /// Its score, the sum of `parts`.
    pub score: Option<f64>,
    /// The score of the last place that was asked for.
    pub score_of_last_place: Option<f64>,
    /// The score, part by part.
    pub parts: Vec<(String, f64)>,
    /// What each source says of it.
    pub sources: Vec<SourceView>,
    /// What each filter says of it.
    pub filters: Vec<FilterView>,
    /// Why it stands there, if it was ranked.
    pub reason: Option<Reason>,
    /// Videos of the past that raise it, by model, most first.
    pub because: Vec<Because>,
    /// How the request went.
    pub trace: Trace,
    /// What failed on the way.
    pub failures: Vec<Failure>,
}

/// What became of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is on the slate.
    Shown,
    /// It stands before the slate, on an earlier page.
    OnEarlierPage,
    /// It was ranked, and others rank higher.
    BelowTheCut,
    /// By score it would be on the slate; the re-rank moved it behind others for variety.
    MovedByRerank,
    /// A filter removed it.
    Filtered,
    /// No source returned it.
    NotRetrieved,
    /// Nobody has heard of this id.
    UnknownVideo,
}

/// What a source says of a video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceView {
    /// The source.
    pub name: String,
    /// The rank among the permitted videos; `None` where the source has nothing to say of it.
    pub rank: Option<usize>,
    /// How many candidates it returns at most.
    pub limit: usize,
    /// Whether it returned this one.
    pub retrieved: bool,
}

/// What a filter says of a video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilterView {
    /// The filter.
    pub name: String,
    /// Whether it lets the video pass.
    pub keeps: bool,
}

/// A video of the past that raises another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Because {
    /// The model that says so.
    pub model: String,
    /// Outside id.
    pub video: String,
    /// Its title.
    pub title: String,
    /// How much it adds, on the model's scale.
    pub weight: f32,
}

/// Videos of the past that are named for each model.
const BECAUSE_MAX: usize = 5;

impl Feed {
    /// Runs the request and follows one video through it.
    pub fn explain(&self, request: &Request, video: &str) -> Explanation {
        let outcome = self.pipeline.outcome(request);
        let query = &*outcome.query;
        let slots = window(query, outcome.ranked.len());
        let mut told = Explanation {
            request_id: outcome.request_id.clone(),
            user: request.user.clone(),
            video: video.to_string(),
            title: None,
            verdict: Verdict::UnknownVideo,
            text: format!("nobody has heard of video {video}: neither the run nor the store knows it"),
            place: None,
            plain_place: None,
            score: None,
            score_of_last_place: slots.clone().last().map(|at| outcome.ranked[at].score()),
            parts: Vec::new(),
            sources: Vec::new(),
            filters: Vec::new(),
            reason: None,
            because: Vec::new(),
            trace: outcome.trace.clone(),
            failures: outcome.failures.clone(),
        };
        let Some(row) = query.stock.row(video) else { return told };
        let title = query.stock.title(row);
        told.title = Some(title.to_string());

        let at = outcome.ranked.iter().position(|candidate| candidate.row() == row);
        let limit = self.pipeline.candidates_per_source(query);
        let retrieved_by = |source: usize| {
            at.is_some_and(|at| outcome.ranked[at].retrieved().iter().any(|r| r.source == source))
        };
        for (source, of) in self.pipeline.sources.iter().enumerate() {
            told.sources.push(SourceView {
                name: of.name().to_string(),
                rank: guard(|| of.rank(query, &outcome.allow, row)).ok().flatten().map(|rank| rank + 1),
                limit,
                retrieved: retrieved_by(source),
            });
        }
        for filter in &self.pipeline.filters {
            let keeps = guard(|| filter.keeps(query, row)).unwrap_or(true);
            told.filters.push(FilterView { name: filter.name().to_string(), keeps });
        }
        if !query.is_cold() && query.stock.is_of_run(row) {
            for model in query.models() {
                let because = guard(|| Ok(model.because(&query.history, &query.context, row)));
                let named = because
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|(past, weight)| weight.is_finite() && query.stock.is_of_run(*past));
                told.because.extend(named.take(BECAUSE_MAX).map(|(past, weight)| Because {
                    model: model.name().to_string(),
                    video: query.stock.id(past).to_string(),
                    title: query.stock.title(past).to_string(),
                    weight,
                }));
            }
        }

        if let Some(at) = at {
            let (candidate, from) = (&outcome.ranked[at], outcome.from[at]);
            let mut more = Vec::new();
            let place = Place { candidate, from, to: at };
            let reasons = guard(|| Ok(self.pipeline.served.served(query, &[place], &mut more)));
            let reason = reasons.ok().and_then(|mut reasons| reasons.pop()).unwrap_or_else(Reason::plain);
            let slot = self.pipeline.slot(query, candidate, reason.clone());
            (told.place, told.plain_place) = (Some(at + 1), Some(from + 1));
            (told.score, told.parts) = (Some(slot.score), slot.parts);
            let (n, last) = (outcome.ranked.len(), slots.end);
            (told.verdict, told.text) = if slots.contains(&at) {
                (Verdict::Shown, format!("{title} is shown at place {}: {}", at + 1, reason.text))
            } else if at < slots.start {
                (Verdict::OnEarlierPage, format!("{title} stands at place {}, before this page", at + 1))
            } else if from < last {
                let by = if query.rules.pins.is_empty() {
                    "the re-rank"
                } else {
                    "a pinned video, or the re-rank"
                };
                let text = format!(
                    "{title} would be at place {} by its score; {by} for variety moved it to place {}",
                    from + 1,
                    at + 1
                );
                (Verdict::MovedByRerank, text)
            } else {
                let text = format!("{title} ranks at place {} of {n}; {last} were asked for", at + 1);
                (Verdict::BelowTheCut, text)
            };
            for shift in query.rules.shifts.iter() {
                if let Some((_, value)) = candidate.parts().iter().find(|(part, _)| *part == shift.part) {
                    told.text += &format!("; the rule {} adds {value:.3} to its score", shift.rule);
                }
            }
            told.reason = Some(reason);
            return told;
        }
        let refusing: Vec<&str> =
            told.filters.iter().filter(|filter| !filter.keeps).map(|filter| filter.name.as_str()).collect();
        (told.verdict, told.text) = if refusing.is_empty() {
            let best = told.sources.iter().filter_map(|source| Some((source.rank?, &source.name))).min();
            let text = match best {
                Some((rank, name)) => format!(
                    "no source returned {title}: its best rank is {rank} in {name}, and each returns {limit} at most"
                ),
                None => format!("no source has anything to say of {title}"),
            };
            (Verdict::NotRetrieved, text)
        } else {
            (Verdict::Filtered, format!("{title} was removed by the filter {}", refusing.join(", ")))
        };
        told
    }
}
