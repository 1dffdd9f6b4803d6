//! What kind of set this is, told from train and validation alone: which kind of model pays on it, and whether it is an easy one.
//! By branching of transitions, likeness of neighbours and dependence on long histories, as Han et al. 2026 (arXiv 2605.07125)
//! propose, and by drift of popularity. The test part is not looked at, so an automatic choice of models may call on it.

mod drift;
mod histories;
mod likeness;
mod shape;
mod transitions;
mod verdicts;

use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use upnext_data::{Dataset, Events, Order, Split, hold_out};
use upnext_features::Content;
use upnext_models::Training;
use upnext_models::zoo::Kind;

use crate::evaluation::{CandidateRule, Conditions, draw};
use crate::facts::facts;
use crate::progress;
use crate::report::measure::{Section, absent};

pub(crate) use drift::Drift;
pub(crate) use histories::{Histories, K, OfModel};
pub(crate) use likeness::Likeness;
pub(crate) use shape::{Quartiles, Shape};
pub(crate) use transitions::Transitions;
pub(crate) use verdicts::Verdict;

/// Each model scores every video for each question, more than a dozen times: so many are drawn by the seed.
const QUESTIONS_MAX: usize = 2_000;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Diagnosis {
    /// The set's name; empty where none was given.
    pub(crate) set: String,
    /// The split whose train and validation were looked at; empty where none was named.
    pub(crate) split: String,
    /// Validation's questions that models were asked.
    pub(crate) questions: usize,
    /// What a reader must know of them.
    pub(crate) remarks: Vec<String>,
    /// Sizes and shares.
    pub(crate) shape: Shape,
    /// Which video follows which.
    pub(crate) transitions: Section<Transitions>,
    /// Likeness of neighbours, by space.
    pub(crate) likeness: Section<Vec<Likeness>>,
    /// Popularity over time.
    pub(crate) drift: Section<Drift>,
    /// Cheap models on validation.
    pub(crate) models: Vec<OfModel>,
    /// The same with parts of the past.
    pub(crate) histories: Vec<Histories>,
    /// Questions and answers, from stated thresholds.
    pub(crate) verdicts: Vec<Verdict>,
    /// Models that pay by these, what was measured best first; the blend of the closed forms last, which joins them.
    pub(crate) suggested: Vec<Kind>,
}

/// Diagnoses what a training may see; `events` are all of the log, of which only repeats are counted. Where there is no
/// validation, a random tenth of train stands in.
///
/// # Errors
/// When there is nobody to ask about, or a model cannot be fitted.
pub(crate) fn diagnose(training: &Training, events: Option<&Events>) -> Result<Diagnosis> {
    let mut remarks = Vec::new();
    let lent;
    let (train, mut validation) = match training.validation {
        [] => {
            lent = hold_out(training.interactions, training.seed);
            remarks.push("the set has no validation part: a random tenth of train was asked for".into());
            (&lent.0, lent.1.clone())
        }
        questions => (training.interactions, questions.to_vec()),
    };
    if validation.is_empty() {
        bail!("no user of train can be asked about: each has fewer than three wanted videos; use more data");
    }
    let shape = shape::shape(train, &validation, training.order, events);
    let drift = match training.order {
        Order::Timed => {
            Section::or(drift::drift(train, &validation, training.seed), "train is too small for tenths")
        }
        _ => absent("the set has no times"),
    };
    if validation.len() > QUESTIONS_MAX {
        remarks.push(format!("{QUESTIONS_MAX} of {} questions, drawn by the seed", validation.len()));
        draw(&mut validation, QUESTIONS_MAX, training.seed);
    }
    let all: Vec<u32> = (0..train.n_videos() as u32).collect();
    let candidates = if training.candidates.is_empty() { &all[..] } else { training.candidates };
    // Nothing is chosen on the validation that is looked at: models take their stated settings.
    let training = Training { interactions: train, validation: &[], candidates, ..training.clone() };
    let transitions = match training.order {
        Order::Unordered => absent("the set has no order of events"),
        Order::Timed | Order::Sequence => Section::or(
            transitions::transitions(&train.sequences(), train.n_videos(), &validation, training.seed),
            "no user of train wanted two videos",
        ),
    };
    let likeness = match likeness::likeness(&training) {
        spaces if spaces.is_empty() => absent("the set has no labels, texts or vectors of its videos"),
        spaces => Section::There(spaces),
    };
    let (models, histories) = histories::measured(&training, &validation)?;
    let mut diagnosis = Diagnosis {
        set: String::new(),
        split: String::new(),
        questions: validation.len(),
        remarks,
        shape,
        transitions,
        likeness,
        drift,
        models,
        histories,
        verdicts: Vec::new(),
        suggested: Vec::new(),
    };
    diagnosis.verdicts = verdicts::verdicts(&diagnosis);
    diagnosis.suggested = verdicts::suggested(&diagnosis);
    Ok(diagnosis)
}

/// The same for a set that is cut as the conditions say.
///
/// # Errors
/// As [`diagnose`], and when the set cannot be cut.
pub(crate) fn of_set(set: &Dataset, conditions: &Conditions) -> Result<Diagnosis> {
    let split = Split::new(set, &conditions.relevance, conditions.split, conditions.seed)?;
    let candidates = match conditions.candidates {
        CandidateRule::Occurring => set.videos_in_events(),
        CandidateRule::Catalogue => (0..set.videos.len() as u32).collect(),
    };
    let training = Training {
        content: Content::new(&set.videos).map(Arc::new),
        facts: Some(Arc::new(facts(set, &conditions.vectors))),
        validation: &split.validation,
        candidates: &candidates,
        ..Training::of(&split.train, set.order, conditions.seed)
    };
    let wheel = progress::wheel("diagnosing");
    let diagnosis = diagnose(&training, Some(set.events()))?;
    wheel.finish_and_clear();
    Ok(Diagnosis { set: set.name.clone(), split: conditions.split.name().into(), ..diagnosis })
}

#[cfg(test)]
mod tests;
