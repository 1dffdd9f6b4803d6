//! The frame of a request: hydrate → sources → filters → scorers → re-rank → served.
//!
//! Counting, timing and containing failures are done here, once; a component only does its own thing. A
//! component that returns an error, panics, or answers nonsense costs its own contribution and is named.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::explore::Explore;
use crate::source::Sources;
use crate::trace::StagePart;
use crate::{
    Allow, Candidate, Failure, Move, Query, Reason, ReasonKind, Request, Response, Retrieved, Slot, Stage,
    Trace,
};

/// Why a component could not do its part, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    message: String,
}

impl StageError {
    /// An error with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// Before the stages: who asks, and what can be shown.
pub trait Hydrate: Send + Sync {
    /// Everything known. What could not be learnt goes into [`Query::failures`].
    ///
    /// # Errors
    /// Only if nothing at all could be put together.
    fn hydrate(&self, request: &Request) -> Result<Query, StageError>;

    /// The same request, asked by a stranger: what is used when `hydrate` fails. It must not fail.
    fn stranger(&self, request: &Request) -> Query;
}

/// The first stage: where candidates come from.
pub trait Source: Send + Sync {
    /// Its name in traces, `markov` for example.
    fn name(&self) -> &str;

    /// At most `n` permitted rows with the source's own scores, best first. A source that has no signal for
    /// this viewer returns none.
    ///
    /// # Errors
    /// In its own words; it costs this source's candidates.
    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError>;

    /// The rank, from 0, that a permitted row has in this source, whether or not it is among the first `n`;
    /// `None` where the source has nothing to say of it.
    ///
    /// # Errors
    /// In its own words.
    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError>;
}

/// The second stage: what must not be shown.
pub trait Filter: Send + Sync {
    /// Its name in traces, `seen` for example.
    fn name(&self) -> &str;

    /// Refuses, before anything is retrieved, the rows it can name beforehand.
    ///
    /// # Errors
    /// In its own words; then nothing is withheld by this filter.
    fn withhold(&self, _query: &Query, _allow: &mut Allow) -> Result<(), StageError> {
        Ok(())
    }

    /// Whether a candidate may stay.
    ///
    /// # Errors
    /// In its own words; then this filter removes nothing.
    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError>;
}

/// The third stage: adds parts to scores. It gets a slice, so it cannot lose a candidate.
pub trait Scorer: Send + Sync {
    /// Its name in traces, `blend` for example.
    fn name(&self) -> &str;

    /// Adds to the candidates' parts.
    ///
    /// # Errors
    /// In its own words; then everything it added is taken back.
    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError>;
}

/// The fourth stage: the order in which candidates are shown.
pub trait Reranker: Send + Sync {
    /// Its name in traces, `mmr` for example.
    fn name(&self) -> &str;

    /// Positions in `ranked`, which comes best first, in the order to show; what is left out follows in the
    /// plain order. At least `places` are wanted.
    ///
    /// # Errors
    /// In its own words; then the plain order stands.
    fn rerank(&self, query: &Query, ranked: &[Candidate], places: usize) -> Result<Vec<usize>, StageError>;
}

/// One place of the slate, before it is put into words.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// Its place by score alone, from 0.
    pub from: usize,
    /// Its place now, from 0.
    pub to: usize,
}

/// After the stages: why each video is here.
pub trait Served: Send + Sync {
    /// One reason for each place. What failed is added to `failures`.
    fn served(&self, query: &Query, slate: &[Place<'_>], failures: &mut Vec<Failure>) -> Vec<Reason>;
}

/// The four stages, one `hydrate` before and one `served` after.
pub struct Pipeline {
    /// Before.
    pub hydrate: Box<dyn Hydrate>,
    /// Where candidates come from.
    pub sources: Sources,
    /// What must not be shown.
    pub filters: Vec<Box<dyn Filter>>,
    /// How good each is.
    pub scorers: Vec<Box<dyn Scorer>>,
    /// In which order.
    pub reranker: Box<dyn Reranker>,
    /// Which places show videos drawn at random.
    pub(crate) explore: Option<Explore>,
    /// After.
    pub served: Box<dyn Served>,
    /// Candidates that each source returns at most, unless a request reaches further.
    pub candidates_per_source: usize,
    /// Removed videos that a trace names for each filter.
    pub trace_examples_max: usize,
    /// Moves that a trace lists.
    pub trace_moves_max: usize,
    /// What makes request ids.
    pub ids: crate::request_id::RequestIds,
}

/// A finished request with all that explains it.
pub struct Outcome {
    /// Unique.
    pub request_id: String,
    /// Who asked.
    pub query: Arc<Query>,
    /// The rows that were permitted.
    pub allow: Arc<Allow>,
    /// All scored candidates in the order to show; the slate is a window of it.
    pub ranked: Vec<Candidate>,
    /// The place of each by score alone, from 0.
    pub from: Vec<usize>,
    /// Rows that a filter removed, with the filter's place in the pipeline.
    pub removed: Vec<(u32, usize)>,
    /// Why each place of the slate is what it is.
    pub reasons: Vec<Reason>,
    /// What happened.
    pub trace: Trace,
    /// What failed.
    pub failures: Vec<Failure>,
}

/// Runs something that others wrote; a panic becomes an error.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, StageError>) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(StageError::new(format!("panicked: {}", text.as_deref().unwrap_or("without a message"))))
    })
}

pub(crate) fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn failure(stage: &str, part: &str, error: &StageError) -> Failure {
    Failure { stage: stage.into(), part: part.into(), message: error.to_string() }
}

impl Pipeline {
    /// Answers a request.
    pub fn run(&self, request: &Request) -> Response {
        let outcome = self.outcome(request);
        let slate = self.slate(&outcome);
        Response { request_id: outcome.request_id, slate, trace: outcome.trace, failures: outcome.failures }
    }

    /// Answers a request and keeps everything that explains the answer.
    pub fn outcome(&self, request: &Request) -> Outcome {
        let begin = Instant::now();
        let mut failures = Vec::new();
        let mut trace = Trace::default();
        let mut query = guard(|| self.hydrate.hydrate(request)).unwrap_or_else(|error| {
            failures.push(failure("hydrate", "viewer", &error));
            self.hydrate.stranger(request)
        });
        failures.append(&mut query.failures);
        let mut filtering = vec![StagePart::default(); self.filters.len()];
        let query = Arc::new(query);
        let allow = Arc::new(self.withhold(&query, &mut filtering, &mut failures));
        trace.hydrate_microseconds = microseconds(begin);

        let mut candidates = self.retrieve(&query, &allow, &mut trace, &mut failures);
        let removed = self.filter(&query, &mut candidates, filtering, &mut trace, &mut failures);
        self.score(&query, &mut candidates, &mut trace, &mut failures);
        // Equal scores stand in the order of their rows, so that the same state gives the same slate.
        candidates.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.row().cmp(&b.row())));
        let (mut ranked, mut from) = self.rerank(&query, candidates, &mut trace, &mut failures);
        let explored = self.explore(&query, &allow, (&mut ranked, &mut from), &mut trace);

        let since = Instant::now();
        let places: Vec<Place<'_>> = window(&query, ranked.len())
            .map(|to| Place { candidate: &ranked[to], from: from[to], to })
            .collect();
        let mut more = Vec::new();
        let told = guard(|| Ok(self.served.served(&query, &places, &mut more)));
        failures.append(&mut more);
        let mut reasons = told.unwrap_or_else(|error| {
            failures.push(failure("served", "reasons", &error));
            Vec::new()
        });
        reasons.resize_with(places.len(), Reason::plain);
        for (reason, place) in reasons.iter_mut().zip(&places) {
            if explored.contains(&place.to) {
                *reason = Reason::explored();
            }
        }
        trace.served_microseconds = microseconds(since);
        trace.microseconds = microseconds(begin);
        let request_id = self.ids.next();
        Outcome { request_id, query, allow, ranked, from, removed, reasons, trace, failures }
    }

    /// The window of an outcome that was asked for, as slots.
    pub fn slate(&self, outcome: &Outcome) -> Vec<Slot> {
        window(&outcome.query, outcome.ranked.len())
            .zip(&outcome.reasons)
            .map(|(to, reason)| self.slot(&outcome.query, &outcome.ranked[to], reason.clone()))
            .collect()
    }

    /// One candidate as a slot.
    pub fn slot(&self, query: &Query, candidate: &Candidate, reason: Reason) -> Slot {
        let name = |at: usize| self.sources.get(at).name().to_string();
        let retrieved = candidate.retrieved();
        Slot {
            video: query.stock.id(candidate.row()).to_string(),
            score: candidate.score(),
            sources: retrieved.iter().map(|r| name(r.source)).collect(),
            parts: candidate.parts().iter().map(|(part, value)| (part.to_string(), *value)).collect(),
            ranks: retrieved.iter().map(|r| (name(r.source), r.rank as usize + 1)).collect(),
            reason,
            propensity: candidate.propensity(),
        }
    }

    /// How many candidates each source is asked for.
    pub fn candidates_per_source(&self, query: &Query) -> usize {
        self.candidates_per_source.max(query.places())
    }

    /// The rows that the filters permit, known beforehand.
    pub fn permitted(&self, query: &Query) -> Allow {
        self.withhold(query, &mut vec![StagePart::default(); self.filters.len()], &mut Vec::new())
    }

    fn withhold(&self, query: &Query, parts: &mut [StagePart], failures: &mut Vec<Failure>) -> Allow {
        let mut allow = Allow::all(query.stock.n_rows());
        for (filter, part) in self.filters.iter().zip(parts) {
            let since = Instant::now();
            part.name = filter.name().to_string();
            // On a copy, so that a filter that fails half way has withheld nothing.
            let mut narrower = allow.clone();
            match guard(|| filter.withhold(query, &mut narrower)) {
                Ok(()) => {
                    part.withheld = allow.count().saturating_sub(narrower.count());
                    part.count = part.withheld;
                    let lost = allow.lost_in(&narrower).take(self.trace_examples_max);
                    part.examples = lost.map(|row| query.stock.id(row).to_string()).collect();
                    allow = narrower;
                }
                Err(error) => failures.push(failure("filters", filter.name(), &error)),
            }
            part.microseconds = microseconds(since);
        }
        allow
    }

    fn retrieve(
        &self,
        query: &Arc<Query>,
        allow: &Arc<Allow>,
        trace: &mut Trace,
        failures: &mut Vec<Failure>,
    ) -> Vec<Candidate> {
        let begin = Instant::now();
        let wanted = self.candidates_per_source(query);
        let mut candidates: Vec<Candidate> = Vec::with_capacity(wanted * 2);
        let mut place: HashMap<u32, usize> = HashMap::with_capacity(wanted * 2);
        let answers = self.sources.ask(query, allow, wanted);
        let mut parts = Vec::with_capacity(answers.len());
        for (at, (source, answer)) in self.sources.iter().zip(answers).enumerate() {
            let microseconds = answer.microseconds;
            let answer = answer.rows.and_then(|rows| checked(rows, allow.n_rows()));
            let mut part = StagePart { name: source.name().to_string(), ..StagePart::default() };
            match answer {
                Ok(rows) => {
                    if rows.is_empty() {
                        part.note = Some("no signal for this viewer".into());
                    }
                    for (rank, &(row, score)) in rows.iter().take(wanted).enumerate() {
                        let retrieved = Retrieved { source: at, rank: rank as u32, score };
                        match place.entry(row) {
                            Entry::Vacant(free) => {
                                free.insert(candidates.len());
                                candidates.push(Candidate::new(row, retrieved));
                            }
                            // A row that one source returns twice counts once.
                            Entry::Occupied(known) => {
                                let candidate = &mut candidates[*known.get()];
                                if candidate.retrieved().last().is_some_and(|last| last.source == at) {
                                    continue;
                                }
                                candidate.also(retrieved);
                            }
                        }
                        part.count += 1;
                    }
                }
                Err(error) => {
                    part.note = Some("failed".into());
                    failures.push(failure("sources", source.name(), &error));
                }
            }
            part.microseconds = microseconds;
            parts.push(part);
        }
        trace.stages.push(Stage {
            name: "sources".into(),
            entered: 0,
            left: candidates.len(),
            microseconds: microseconds(begin),
            parts,
        });
        candidates
    }

    fn filter(
        &self,
        query: &Query,
        candidates: &mut Vec<Candidate>,
        mut parts: Vec<StagePart>,
        trace: &mut Trace,
        failures: &mut Vec<Failure>,
    ) -> Vec<(u32, usize)> {
        let begin = Instant::now();
        let entered = candidates.len();
        let mut removed = Vec::new();
        for (at, (filter, part)) in self.filters.iter().zip(&mut parts).enumerate() {
            let since = Instant::now();
            let judged: Result<Vec<bool>, StageError> =
                guard(|| candidates.iter().map(|candidate| filter.keeps(query, candidate.row())).collect());
            match judged {
                Ok(keeps) => {
                    let mut keeps = keeps.into_iter();
                    candidates.retain(|candidate| {
                        let kept = keeps.next().unwrap_or(true);
                        if !kept {
                            removed.push((candidate.row(), at));
                            part.count += 1;
                            if part.examples.len() < self.trace_examples_max {
                                part.examples.push(query.stock.id(candidate.row()).to_string());
                            }
                        }
                        kept
                    });
                }
                Err(error) => failures.push(failure("filters", filter.name(), &error)),
            }
            part.microseconds += microseconds(since);
        }
        trace.stages.push(Stage {
            name: "filters".into(),
            entered,
            left: candidates.len(),
            microseconds: microseconds(begin),
            parts,
        });
        removed
    }

    fn score(
        &self,
        query: &Query,
        candidates: &mut [Candidate],
        trace: &mut Trace,
        failures: &mut Vec<Failure>,
    ) {
        let begin = Instant::now();
        let mut parts = Vec::with_capacity(self.scorers.len());
        for scorer in &self.scorers {
            let since = Instant::now();
            let before: Vec<usize> = candidates.iter().map(|candidate| candidate.parts().len()).collect();
            let scored = guard(|| scorer.score(query, candidates)).and_then(|()| {
                match candidates.iter().find(|candidate| !candidate.score().is_finite()) {
                    Some(bad) => {
                        let id = query.stock.id(bad.row());
                        Err(StageError::new(format!("the score of video {id} became {}", bad.score())))
                    }
                    None => Ok(()),
                }
            });
            if let Err(error) = scored {
                failures.push(failure("scorers", scorer.name(), &error));
                for (candidate, &n) in candidates.iter_mut().zip(&before) {
                    candidate.take_back(n);
                }
            }
            let count = candidates.iter().zip(&before).filter(|(c, n)| c.parts().len() > **n).count();
            parts.push(StagePart {
                name: scorer.name().to_string(),
                count,
                microseconds: microseconds(since),
                ..StagePart::default()
            });
        }
        trace.stages.push(Stage {
            name: "scorers".into(),
            entered: candidates.len(),
            left: candidates.len(),
            microseconds: microseconds(begin),
            parts,
        });
    }

    fn explore(
        &self,
        query: &Query,
        allow: &Allow,
        ranked: (&mut [Candidate], &mut [usize]),
        trace: &mut Trace,
    ) -> Vec<usize> {
        let Some(explore) = &self.explore else { return Vec::new() };
        let (begin, n) = (Instant::now(), ranked.0.len());
        let places = explore.explore(query, allow.count(), window(query, n), ranked);
        let part = StagePart { name: "explore".into(), count: places.len(), ..StagePart::default() };
        let name = "explore".into();
        let microseconds = microseconds(begin);
        trace.stages.push(Stage { name, entered: n, left: n, microseconds, parts: vec![part] });
        places
    }

    fn rerank(
        &self,
        query: &Query,
        plain: Vec<Candidate>,
        trace: &mut Trace,
        failures: &mut Vec<Failure>,
    ) -> (Vec<Candidate>, Vec<usize>) {
        let begin = Instant::now();
        let places = query.places().min(plain.len());
        let order = guard(|| self.reranker.rerank(query, &plain, places))
            .and_then(|order| completed(order, plain.len()));
        let order = order.unwrap_or_else(|error| {
            failures.push(failure("rerank", self.reranker.name(), &error));
            (0..plain.len()).collect()
        });
        let n = plain.len();
        let shown = window(query, n);
        let moved = order.iter().enumerate().filter(|&(to, &from)| from != to && shown.contains(&to));
        let moves: Vec<Move> = moved
            .map(|(to, &from)| Move {
                video: query.stock.id(plain[from].row()).to_string(),
                from: from + 1,
                to: to + 1,
            })
            .collect();
        trace.stages.push(Stage {
            name: "rerank".into(),
            entered: n,
            left: shown.len(),
            microseconds: microseconds(begin),
            parts: vec![StagePart {
                name: self.reranker.name().to_string(),
                count: moves.len(),
                microseconds: microseconds(begin),
                ..StagePart::default()
            }],
        });
        trace.moves = moves;
        trace.moves.truncate(self.trace_moves_max);
        let mut plain: Vec<Option<Candidate>> = plain.into_iter().map(Some).collect();
        let ranked = order
            .iter()
            .map(|&from| plain[from].take().expect("each position occurs once: `completed` checks it"))
            .collect();
        (ranked, order)
    }
}

/// The places of the ranking that a request asks for.
pub(crate) fn window(query: &Query, n: usize) -> std::ops::Range<usize> {
    query.request.offset.min(n)..query.places().min(n)
}

/// A source's answer, if every row exists and every score is finite.
fn checked(rows: Vec<(u32, f32)>, n_rows: usize) -> Result<Vec<(u32, f32)>, StageError> {
    for &(row, score) in &rows {
        if row as usize >= n_rows {
            return Err(StageError::new(format!("returned row {row}, but there are only {n_rows} videos")));
        }
        if !score.is_finite() {
            return Err(StageError::new(format!("the score of row {row} is {score}")));
        }
    }
    Ok(rows)
}

/// An order of all `n` positions: the re-ranker's, then what it left out.
pub(crate) fn completed(mut order: Vec<usize>, n: usize) -> Result<Vec<usize>, StageError> {
    let mut placed = vec![false; n];
    for &at in &order {
        match placed.get_mut(at) {
            None => return Err(StageError::new(format!("placed candidate {at} of {n}"))),
            Some(true) => return Err(StageError::new(format!("placed candidate {at} twice"))),
            Some(free) => *free = true,
        }
    }
    order.extend((0..n).filter(|&at| !placed[at]));
    Ok(order)
}

impl Reason {
    /// What is true of a video that was drawn.
    pub(crate) fn explored() -> Self {
        Self {
            kind: ReasonKind::Explored,
            text: "picked at random, to learn what you like".into(),
            video: None,
        }
    }

    /// What can be said when no single cause is known.
    pub(crate) fn plain() -> Self {
        Self { kind: ReasonKind::Taste, text: "among the highest scores for you".into(), video: None }
    }
}

/// A part's name, made once and shared by all candidates.
pub(crate) fn part(name: &str) -> Arc<str> {
    Arc::from(name)
}
