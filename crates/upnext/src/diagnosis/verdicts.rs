//! From numbers to words: each question has a threshold, and each answer says by which numbers.

use serde::Serialize;
use upnext_models::zoo::Kind;

use super::{Diagnosis, Histories, K, OfModel, Quartiles};
use crate::report::measure::Section;

/// The last video leads to the wanted one so many times as often as an earlier one does.
const LAST_OVER_EARLIER_MIN: f64 = 1.5;
/// The last video alone is worth this share of the whole history, at least.
const LAST_ALONE_MIN: f64 = 0.7;
/// A history in another order loses less than this share.
const LOST_BY_ORDER_MAX: f64 = 0.05;
/// The whole history is worth so many times the newest five, at least.
const ALL_OVER_FIVE_MIN: f64 = 1.1;
/// The next video is more alike than a random one so often, at least.
const LIKELIER_MIN: f64 = 0.6;
/// The popular videos of a tenth are popular in the next less than so many times as often as in the same tenth.
const OVERLAP_MAX: f64 = 0.7;
/// A table of counts is worth this share of the best cheap model, at least.
const TRIVIAL_MIN: f64 = 0.8;

/// What is asked of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Whether the last video decides.
    LastDecides,
    /// Whether order adds nothing.
    OrderAddsNothing,
    /// Whether more than the newest five are needed.
    LongHistories,
    /// Whether what comes next is alike.
    ContentSmooth,
    /// Whether other videos are popular soon.
    PopularityDrifts,
    /// Whether counting in one table reaches most.
    Easy,
}

impl Question {
    /// The answer where it holds, and what to do about it.
    pub(crate) fn in_words(self, holds: bool) -> &'static str {
        match (self, holds) {
            (Self::LastDecides, true) => "the last video decides: transitions first",
            (Self::LastDecides, false) => "the last video does not decide alone",
            (Self::OrderAddsNothing, true) => "order adds nothing: EASE or factors",
            (Self::OrderAddsNothing, false) => "order matters: models that read it",
            (Self::LongHistories, true) => "long histories help: models that read all of the past",
            (Self::LongHistories, false) => "long histories add little to the newest five videos",
            (Self::ContentSmooth, true) => "content is smooth: transitions weighted by content",
            (Self::ContentSmooth, false) => "what comes next is hardly more alike than anything else",
            (Self::PopularityDrifts, true) => "popularity drifts: recent popularity, and models fitted often",
            (Self::PopularityDrifts, false) => "popularity stays",
            (Self::Easy, true) => {
                "an easy set: a table of counts reaches most of the best cheap model, so it tells models badly apart"
            }
            (Self::Easy, false) => "not a set that counting alone masters",
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// What was asked.
    pub(crate) question: Question,
    /// Whether it holds, by the threshold that `because` names.
    pub(crate) holds: bool,
    /// The answer.
    pub(crate) answer: &'static str,
    /// The numbers and the threshold.
    pub(crate) because: String,
    /// Models that pay where it holds; empty where it does not.
    pub(crate) models: Vec<Kind>,
}

impl Verdict {
    fn new(question: Question, holds: bool, because: String, models: &[Kind]) -> Self {
        let models = if holds { models.to_vec() } else { Vec::new() };
        Self { question, holds, answer: question.in_words(holds), because, models }
    }
}

/// Answers to the questions that the set has numbers for.
pub(super) fn verdicts(of: &Diagnosis) -> Vec<Verdict> {
    let ordered = of.histories.iter().find(|histories| histories.shuffled.is_some());
    let unordered = of.histories.iter().find(|histories| histories.shuffled.is_none());
    [
        last_decides(of, ordered),
        order_adds_nothing(of, ordered),
        unordered.and_then(|histories| long_histories(of, histories)),
        content_smooth(of),
        popularity_drifts(of),
        easy(&of.models),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A number over another; 0 where that is 0.
fn over(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn last_decides(of: &Diagnosis, ordered: Option<&Histories>) -> Option<Verdict> {
    let (Section::There(transitions), Some(histories)) = (&of.transitions, ordered) else { return None };
    let (seen, earlier) = (transitions.seen, transitions.seen_from_earlier);
    let alone = over(histories.score(Some(1))?, histories.score(None)?);
    let holds = seen >= LAST_OVER_EARLIER_MIN * earlier && seen > 0.0 && alone >= LAST_ALONE_MIN;
    let because = format!(
        "{:.1} % of the wanted videos followed the last one in train, {:.1} % an earlier one of the history (at least \
         {LAST_OVER_EARLIER_MIN} times as often: {:.2}); {} with the last video alone keeps {:.0} % (at least {:.0} %)",
        100.0 * seen,
        100.0 * earlier,
        over(seen, earlier),
        histories.model,
        100.0 * alone,
        100.0 * LAST_ALONE_MIN
    );
    Some(Verdict::new(
        Question::LastDecides,
        holds,
        because,
        &[Kind::DirectedCosine, Kind::Markov, Kind::Markov1],
    ))
}

fn order_adds_nothing(of: &Diagnosis, ordered: Option<&Histories>) -> Option<Verdict> {
    let models = [Kind::Ease, Kind::Ials, Kind::ItemKnn];
    let Some(histories) = ordered else {
        let because = match &of.transitions {
            Section::Absent { absent } => absent.clone(),
            Section::There(_) => return None,
        };
        return Some(Verdict::new(Question::OrderAddsNothing, true, because, &models));
    };
    let shuffled = histories.shuffled.as_ref()?;
    let whole = histories.score(None)?;
    let lost = over(whole - shuffled.hr - shuffled.ndcg, whole);
    let lost_ndcg = shuffled.lost_ndcg;
    let mut because = format!(
        "{} loses {:.1} % with the history in another order (less than {:.0} %); NDCG@{K} loses {:+.4} [{:+.4}, {:+.4}]",
        histories.model,
        100.0 * lost,
        100.0 * LOST_BY_ORDER_MAX,
        lost_ndcg.mean,
        lost_ndcg.low,
        lost_ndcg.high
    );
    if !lost_ndcg.excludes_zero() {
        because += ", which these questions do not tell from nothing";
    }
    let holds = lost < LOST_BY_ORDER_MAX || !lost_ndcg.excludes_zero();
    Some(Verdict::new(Question::OrderAddsNothing, holds, because, &models))
}

fn long_histories(of: &Diagnosis, histories: &Histories) -> Option<Verdict> {
    let times = over(histories.score(None)?, histories.score(Some(5))?);
    let longer = histories.shown.iter().find(|shown| shown.videos == Some(5))?.longer;
    let because = format!(
        "{} with the whole history is worth {times:.2} times itself with the newest five (at least {ALL_OVER_FIVE_MIN}); \
         {:.0} % of the questions have more than five",
        histories.model,
        100.0 * longer
    );
    let models = match of.transitions {
        Section::There(_) => [Kind::Ease, Kind::Slit],
        Section::Absent { .. } => [Kind::Ease, Kind::Ials],
    };
    Some(Verdict::new(Question::LongHistories, times >= ALL_OVER_FIVE_MIN, because, &models))
}

fn content_smooth(of: &Diagnosis) -> Option<Verdict> {
    let Section::There(spaces) = &of.likeness else { return None };
    let space = spaces.iter().max_by(|a, b| a.likelier.total_cmp(&b.likelier))?;
    let because = format!(
        "by {}, the next video is more alike than a random one in {:.1} % of {} pairs (at least {:.0} %); mean cosine {:.3} \
         with the next, {:.3} with another of the viewer's, {:.3} with a random one",
        space.space,
        100.0 * space.likelier,
        space.pairs,
        100.0 * LIKELIER_MIN,
        space.next,
        space.of_viewer,
        space.random
    );
    let models = match of.transitions {
        Section::There(_) => &[Kind::DirectedCosineContent, Kind::Smoothed, Kind::Content][..],
        Section::Absent { .. } => &[Kind::Content, Kind::ContentNeighbours],
    };
    Some(Verdict::new(Question::ContentSmooth, space.likelier >= LIKELIER_MIN, because, models))
}

fn popularity_drifts(of: &Diagnosis) -> Option<Verdict> {
    let Section::There(drift) = &of.drift else { return None };
    let kept = over(drift.overlap, drift.overlap_at_once);
    let mut because = format!(
        "{:.0} % of the {} popular videos in half of a tenth of train are popular in half of the next, {:.0} % in the \
         other half of the same (less than {OVERLAP_MAX} times as many: {kept:.2}); {:.1} % of the wanted videos were first seen within {:.0} days",
        100.0 * drift.overlap,
        drift.popular,
        100.0 * drift.overlap_at_once,
        100.0 * drift.new_targets,
        drift.new_days
    );
    let score = |kind| of.models.iter().find(|model| model.model == kind).map(OfModel::score);
    if let (Some(popular), Some(recent)) = (score(Kind::Popular), score(Kind::PopularRecent)) {
        because += &format!("; popular-recent is worth {:.2} times popular", over(recent, popular));
    }
    Some(Verdict::new(Question::PopularityDrifts, kept < OVERLAP_MAX, because, &[Kind::PopularRecent]))
}

fn best<'a>(models: impl IntoIterator<Item = &'a OfModel>) -> Option<&'a OfModel> {
    models.into_iter().max_by(|a, b| a.score().total_cmp(&b.score()))
}

fn easy(models: &[OfModel]) -> Option<Verdict> {
    let all = best(models)?;
    let trivial = best(models.iter().filter(|model| model.trivial))?;
    let reached = over(trivial.score(), all.score());
    let because = format!(
        "{} has HR@{K} {:.4} and NDCG@{K} {:.4}, which is {:.0} % of {} (at least {:.0} %)",
        trivial.model,
        trivial.hr,
        trivial.ndcg,
        100.0 * reached,
        all.model,
        100.0 * TRIVIAL_MIN
    );
    Some(Verdict::new(Question::Easy, reached >= TRIVIAL_MIN, because, &[]))
}

/// The best that was measured, then what the answers name, each once, then the blend.
pub(super) fn suggested(of: &Diagnosis) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    let named = of.verdicts.iter().flat_map(|verdict| verdict.models.iter().copied());
    for kind in best(&of.models).map(|best| best.model).into_iter().chain(named).chain([Kind::ClosedBlend]) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

impl Diagnosis {
    /// The answers alone, with their reasons: what stands beside a model that was chosen by itself.
    pub(crate) fn in_short(&self) -> String {
        let answer = |verdict: &Verdict| format!("{} ({})", verdict.answer, verdict.because);
        let answers: Vec<String> = self.verdicts.iter().map(answer).collect();
        let remarks: String = self.remarks.iter().map(|remark| format!(" ({remark})")).collect();
        format!("the set, by {} questions{remarks}: {}", self.questions, answers.join("; "))
    }

    /// For a terminal: answers first, then the numbers.
    pub(crate) fn in_words(&self) -> String {
        let mut text = format!(
            "{}, {}: from train and validation alone ({} questions); the test was not looked at\n\n",
            self.set, self.split, self.questions
        );
        for verdict in &self.verdicts {
            let mark = if verdict.holds { "+" } else { "-" };
            text += &format!("{mark} {}\n    {}\n", verdict.answer, verdict.because);
        }
        let names: Vec<&str> = self.suggested.iter().map(|kind| kind.name()).collect();
        text += &format!("\nworth a try: {}\n\n", names.join(", "));
        self.numbers(&mut text);
        self.remarks.iter().for_each(|remark| text += &format!("note: {remark}\n"));
        text
    }

    fn numbers(&self, text: &mut String) {
        let shape = &self.shape;
        *text += &format!(
            "train          {} users, {} videos, {} wanted pairs, density {:.4} %\n",
            shape.users, shape.videos, shape.pairs, shape.density_percent
        );
        *text += &format!("histories      {} wanted videos\n", quartiles(&shape.history_lengths));
        let known = |share: Option<f64>| share.map_or("not known".into(), |x| format!("{:.1} %", 100.0 * x));
        *text += &format!(
            "shares         cold targets {:.1} %, strangers {:.1} %, repeated events {}, tied neighbours {}, tied questions {}\n",
            100.0 * shape.cold_targets,
            100.0 * shape.strangers,
            known(shape.repeated_events),
            known(shape.tied_neighbours),
            known(shape.tied_questions)
        );
        match &self.transitions {
            Section::Absent { absent } => *text += &format!("transitions    not shown: {absent}\n"),
            Section::There(of) => {
                *text += &format!(
                    "transitions    {} from {} videos, next videos {}; entropy {:.2} bits, {:.2} shuffled, {:.2} unknown\n",
                    of.n,
                    of.videos,
                    quartiles(&of.next_videos),
                    of.entropy_bits,
                    of.entropy_shuffled_bits,
                    of.entropy_unknown_bits
                );
                let hops: Vec<String> = of
                    .hops
                    .iter()
                    .map(|hop| {
                        format!("{}: {:.1} % (of {:.1} %)", hop.hops, 100.0 * hop.found, 100.0 * hop.reached)
                    })
                    .collect();
                *text += &format!("found in hops  {} of the videos of train\n", hops.join(", "));
            }
        }
        match &self.likeness {
            Section::Absent { absent } => *text += &format!("likeness       not shown: {absent}\n"),
            Section::There(spaces) => {
                for space in spaces {
                    let ratio = space.ratio.map_or("–".into(), |ratio| format!("{ratio:.2}"));
                    *text += &format!(
                        "likeness       {}: next {:.3}, of the viewer {:.3}, random {:.3}, ratio {ratio}, likelier {:.3}\n",
                        space.space, space.next, space.of_viewer, space.random, space.likelier
                    );
                }
            }
        }
        match &self.drift {
            Section::Absent { absent } => *text += &format!("drift          not shown: {absent}\n"),
            Section::There(of) => {
                *text += &format!(
                    "drift          overlap {:.3} ({:.3} at once), rank correlation {:.3} ({:.3}), new targets {:.1} %\n",
                    of.overlap,
                    of.overlap_at_once,
                    of.rank_correlation,
                    of.rank_correlation_at_once,
                    100.0 * of.new_targets
                );
            }
        }
        *text += &format!("\non validation, HR@{K} / NDCG@{K}\n");
        for model in &self.models {
            *text += &format!("{:24} {:.4} / {:.4}\n", model.model.name(), model.hr, model.ndcg);
        }
        for histories in &self.histories {
            *text += &format!("\n{} by wanted videos shown\n", histories.model);
            for shown in &histories.shown {
                let videos = shown.videos.map_or("all".into(), |n| format!("last {n}"));
                *text += &format!("{videos:24} {:.4} / {:.4}\n", shown.hr, shown.ndcg);
            }
            if let Some(shuffled) = &histories.shuffled {
                *text += &format!("{:24} {:.4} / {:.4}\n", "all, shuffled", shuffled.hr, shuffled.ndcg);
            }
        }
    }
}

fn quartiles(of: &Quartiles) -> String {
    format!("{} {} {} {} {} (least, quarters, most)", of.min, of.q1, of.median, of.q3, of.max)
}
