//! `auto`, where nobody names a model: what a set is like says what is tried, a budget of time says how much of it, and
//! validation says what stays and at which weight.

mod chosen;
mod recipe;
mod traits;

use std::sync::Arc;

use chosen::{Chosen, ChosenPart};
use recipe::Recipe;
use serde::{Deserialize, Serialize};
use traits::Traits;

use super::ranker::{HeldOut, Ranker};
use super::{Blend, Choices, Fitted, Kind, Part, Zoo};
use crate::choose::Choice;
use crate::train::Until;
use crate::{FitError, Pool, Recommender, Training};

/// How long it may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Minutes for the networks that are tried and their twins, with a seventh for weighing them and for the second stage. Counting
    /// models are always fitted, whatever they take, and a second stage has a minute at least; so the same seed may give
    /// another model on another machine.
    pub minutes: f64,
    /// Networks at most.
    pub networks_max: usize,
    /// Models at most that are blended, those that are missed least left out: each adds its time to every answer. The second
    /// stage reads what each of them thinks, so fewer cost accuracy even where a plain blend does not miss them.
    pub parts_max: usize,
    /// Videos at most for which EASE inverts a matrix.
    pub ease_videos_max: usize,
    /// Videos at most for which networks are tried: each step of theirs compares with all of them.
    pub networks_videos_max: usize,
    /// Videos at most over which a second stage is learnt: it asks every part for all of them, whoever asks.
    pub second_stage_videos_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            minutes: 15.0,
            networks_max: 3,
            parts_max: PARTS_MAX,
            ease_videos_max: 15_000,
            networks_videos_max: 100_000,
            second_stage_videos_max: 100_000,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let wrong = |key: &str, expected| FitError::Setting { model: "auto", key: key.into(), expected };
        if !(self.minutes >= 0.0 && self.minutes.is_finite()) {
            return Err(wrong("minutes", "0 or more"));
        }
        if self.networks_max > NETWORKS_MAX {
            return Err(wrong("networks_max", "0 to 16"));
        }
        if !(1..=PARTS_MAX).contains(&self.parts_max) {
            return Err(wrong("parts_max", "1 to 32"));
        }
        Ok(())
    }
}

const NETWORKS_MAX: usize = 16;
const PARTS_MAX: usize = 32;
/// The share of the budget after which no network is trained: weighing and the second stage take the rest.
const TRAINING_SHARE: f64 = 0.85;
/// The share of what is left of that for a network: its twin, from which the second stage learns, takes less.
const NETWORK_SHARE: f64 = 0.6;
/// A twin that saw less than this share of its network's epochs is none.
const TWIN_SHARE: f32 = 0.6;
/// What a second stage has at least, whatever is left.
const SECOND_STAGE_SECONDS: f64 = 60.0;
/// Below this share of the whole budget, or so many seconds, a training is not begun: it would see too few epochs. Where one network
/// needs all of the time there is, that is all that it gets.
const LEAST_SHARE: f64 = 0.25;
const SECONDS_MIN: f64 = 5.0;
/// What a blend around the second stage must gain over it alone, in HR@10 + NDCG@10: it costs each part once more.
const GAIN_MIN: f64 = 5e-4;
/// Steps in which weights move, one after another.
const STEPS: [f32; 5] = [1.6, 0.8, 0.4, 0.2, 0.1];

/// One model of the blend to be.
struct Tried {
    kind: Kind,
    /// Of a network, with the epochs that it has seen.
    network: Option<(Recipe, f32)>,
    /// Of a network, what it is on the pairs that the second stage does not learn to find.
    twin: Option<Arc<dyn Recommender>>,
    start: f32,
    model: Arc<dyn Recommender>,
}

impl Tried {
    fn name(&self) -> String {
        self.network.map_or_else(|| self.kind.to_string(), |(recipe, _)| recipe.name())
    }

    /// Whether the second stage can learn from it.
    fn is_in_stage(&self) -> bool {
        self.network.is_none() || self.twin.is_some()
    }
}

/// A second stage.
struct Second {
    model: Arc<dyn Recommender>,
    /// The weights of what it stands on.
    of_stage: Vec<f32>,
    /// What it learnt, as numbers, and how, in words.
    learnt: Vec<f32>,
    how: String,
}

/// Why a model is not there, where that need not end everything.
fn reason(error: FitError) -> Result<String, FitError> {
    match error {
        FitError::Needs { needs, .. } => Ok(format!("needs {needs}")),
        FitError::NoTime { .. } => Ok("no time left".into()),
        FitError::Diverged { .. } | FitError::Numbers { .. } => Ok(error.to_string()),
        error => Err(error),
    }
}

impl Zoo<'_> {
    /// Tries, weighs, and says what it did; or makes again what was chosen before.
    pub(super) fn auto(&mut self) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let before = self.choices.get(&Kind::Auto).and_then(|numbers| Chosen::of_numbers(numbers));
        if let Some(chosen) = before {
            return self.auto_again(&chosen);
        }
        let traits = Traits::of(&self.training);
        let settings = self.training.settings.auto.clone();
        let now = self.training.watch.seconds();
        let (until, end) = (now + TRAINING_SHARE * 60.0 * settings.minutes, now + 60.0 * settings.minutes);
        let closed = self.closed_forms();
        let (counting, mut left_out) = traits.counting(&closed, &settings);
        if self.training.validation.is_empty() {
            let (model, note) = self.blend(Kind::ClosedBlend, &closed)?;
            let parts = vec![Part { weight: 1.0, deviation: 1.0, model }];
            let model = Arc::new(Blend::new("auto", parts));
            return Ok((
                model,
                format!("no validation to choose by, so the closed forms as they are: {note}"),
            ));
        }
        let mut tried = Vec::new();
        for (kind, start) in counting {
            match self.fit(kind, &[]) {
                Ok(Fitted { model, .. }) => {
                    tried.push(Tried { kind, network: None, twin: None, start, model });
                }
                Err(error) => left_out.push(format!("{kind} ({})", reason(error)?)),
            }
        }
        let networks = traits.networks(&settings).unwrap_or_else(|why| {
            left_out.push(format!("networks ({why})"));
            Vec::new()
        });
        let held = HeldOut::new(&self.training, &self.training.settings.ranker);
        for recipe in networks.into_iter().take(settings.networks_max) {
            match self.with_twin(recipe, &held, until) {
                Ok((one, lacking)) => {
                    left_out.extend(
                        lacking.map(|why| format!("{} under the second stage ({why})", recipe.name())),
                    );
                    tried.push(one);
                }
                Err(error) => left_out.push(format!("{} ({})", recipe.name(), reason(error)?)),
            }
        }
        let models: Vec<&dyn Recommender> = tried.iter().map(|one| one.model.as_ref()).collect();
        let pool = self.pool(&models);
        let start: Vec<f32> = tried.iter().map(|one| one.start).collect();
        let all = ascend(&pool, &start, &vec![true; tried.len()]);
        let plain = of_few(&pool, all.clone(), settings.parts_max);
        let gone = tried.iter().zip(all.weights.iter().zip(&plain.weights));
        let gone = gone.filter(|(_, (all, plain))| **all > 0.0 && **plain == 0.0);
        left_out.extend(gone.map(|(one, _)| format!("{} (parts_max)", one.name())));
        let ranker = match self.second_stage(&tried, &pool, &plain, (&held, end)) {
            Ok(ranker) => Some(ranker),
            Err(error) => {
                left_out.push(format!("{} ({})", Kind::Ranker, reason(error)?));
                None
            }
        };
        let Some(ranker) = ranker else {
            let note = told(&traits, &tried, &pool, &plain, None, &left_out);
            return Ok((self.chosen(&tried, &pool, &plain.weights, None), note));
        };
        let Second { model, of_stage, learnt, how } = ranker;
        tried.push(Tried { kind: Kind::Ranker, network: None, twin: None, start: 1.0, model });
        drop(pool);
        let models: Vec<&dyn Recommender> = tried.iter().map(|one| one.model.as_ref()).collect();
        let pool = self.pool(&models);
        // The second stage alone, or a blend around it where that is worth what it costs.
        let only = |one: &Tried| if one.kind == Kind::Ranker { 1.0 } else { 0.0 };
        let alone = pool.choice(tried.iter().map(only).collect());
        let beside: Vec<f32> = plain.weights.iter().copied().chain([1.0]).collect();
        // Where there are as many parts as may be, no other comes beside them.
        let is_full = plain.weights.iter().filter(|&&weight| weight > 0.0).count() >= settings.parts_max;
        let may_move: Vec<bool> = beside.iter().map(|&weight| weight > 0.0 || !is_full).collect();
        let beside = ascend(&pool, &beside, &may_move);
        let choice = if beside.score() > alone.score() + GAIN_MIN { &beside } else { &alone };
        let is_ranked = choice.weights.last().is_some_and(|&weight| weight > 0.0);
        let under = is_ranked.then_some((&plain, &of_stage[..]));
        let note = format!("{}; ranker: {how}", told(&traits, &tried, &pool, choice, under, &left_out));
        Ok((self.chosen(&tried, &pool, &choice.weights, Some((&of_stage, learnt))), note))
    }

    fn pool(&self, models: &[&dyn Recommender]) -> Pool {
        Pool::new(models, self.training.validation, self.training.candidates)
    }

    /// The blend of what has a weight, written down so that it can be made again.
    fn chosen(
        &mut self,
        tried: &[Tried],
        pool: &Pool,
        weights: &[f32],
        stage: Option<(&[f32], Vec<f32>)>,
    ) -> Arc<dyn Recommender> {
        let of_ranker = tried.iter().zip(weights).find(|(one, _)| one.kind == Kind::Ranker);
        let of_ranker = of_ranker.map_or(0.0, |(_, &weight)| weight);
        let in_stage = |at: usize| match &stage {
            Some((of_stage, _)) if of_ranker > 0.0 => of_stage.get(at).copied().unwrap_or(0.0),
            _ => 0.0,
        };
        let part = |(at, one): (usize, &Tried)| ChosenPart {
            kind: one.kind,
            network: one.network,
            weight: weights[at],
            in_stage: in_stage(at),
        };
        let parts = tried.iter().enumerate().filter(|(_, one)| one.kind != Kind::Ranker).map(part);
        let chosen = Chosen {
            parts: parts.filter(|part| part.weight > 0.0 || part.in_stage > 0.0).collect(),
            ranker: stage.filter(|_| of_ranker > 0.0).map(|(_, learnt)| (of_ranker, learnt)),
        };
        self.choices.insert(Kind::Auto, chosen.to_numbers());
        let parts = tried.iter().zip(weights.iter().zip(pool.deviations()));
        let parts = parts.map(|(one, (&weight, &deviation))| Part {
            weight,
            deviation,
            model: Arc::clone(&one.model),
        });
        Arc::new(Blend::new("auto", parts.collect()))
    }

    /// A network, and if there is time for it its twin; else why that is lacking.
    fn with_twin(
        &self,
        recipe: Recipe,
        held: &HeldOut,
        until: f64,
    ) -> Result<(Tried, Option<String>), FitError> {
        let watch = self.training.watch;
        let now = watch.seconds();
        let least = LEAST_SHARE * 60.0 * self.training.settings.auto.minutes;
        if until - now < least.max(SECONDS_MIN) {
            return Err(FitError::NoTime { model: recipe.name() });
        }
        let (model, epochs) = self.network(recipe, (now + NETWORK_SHARE * (until - now), ""), None)?;
        let twin = Zoo::new(held.rest(&self.training)).network(recipe, (until, ".twin"), Some(epochs));
        let (twin, lacking) = match twin {
            Ok((twin, seen)) if seen >= TWIN_SHARE * epochs => (Some(twin), None),
            Ok((_, seen)) => (None, Some(format!("time for {seen} of {epochs} epochs"))),
            Err(error) => (None, Some(reason(error)?)),
        };
        let network = Some((recipe, epochs));
        Ok((Tried { kind: recipe.kind(), network, twin, start: 1.0, model }, lacking))
    }

    /// The order learnt over the candidates of all that can be asked on less than everything.
    fn second_stage(
        &self,
        tried: &[Tried],
        pool: &Pool,
        plain: &Choice,
        (held, until): (&HeldOut, f64),
    ) -> Result<Second, FitError> {
        let is_in: Vec<bool> = tried.iter().map(Tried::is_in_stage).collect();
        let weights = if is_in.iter().all(|&is_in| is_in) {
            plain.weights.clone()
        } else {
            let without = plain.weights.iter().zip(&is_in);
            let start: Vec<f32> = without.map(|(&weight, &is_in)| if is_in { weight } else { 0.0 }).collect();
            of_few(pool, ascend(pool, &start, &is_in), self.training.settings.auto.parts_max).weights
        };
        let stage: Vec<usize> = (0..tried.len()).filter(|&at| weights[at] > 0.0).collect();
        if tried[0].model.n_videos() > self.training.settings.auto.second_stage_videos_max {
            let needs = "at most second_stage_videos_max videos";
            return Err(FitError::Needs { model: "ranker".into(), needs });
        }
        if stage.is_empty() {
            return Err(FitError::Needs {
                model: "ranker".into(),
                needs: "a part whose candidates are worth something",
            });
        }
        let part = |at: usize, model: Arc<dyn Recommender>| Part {
            weight: weights[at],
            deviation: pool.deviations()[at],
            model,
        };
        let outer = stage.iter().map(|&at| part(at, Arc::clone(&tried[at].model)));
        let outer: Arc<dyn Recommender> = Arc::new(Blend::new("blend", outer.collect()));
        let mut zoo = self.twin(held);
        let mut inner = Vec::new();
        for &at in &stage {
            let model = match &tried[at].twin {
                Some(twin) => Arc::clone(twin),
                None => zoo.fit(tried[at].kind, &[])?.model,
            };
            inner.push(part(at, model));
        }
        let inner = Blend::new("blend", inner);
        let watch = self.training.watch;
        let until = until.max(watch.seconds() + SECOND_STAGE_SECONDS);
        let watch = Until { watch, seconds: until, name: "auto.ranker".into() };
        let training = Training { watch: &watch, ..self.training.clone() };
        let ground = Ranker::ground(&training, held, &inner, outer.as_ref());
        let (ranker, told) = Ranker::fit(&training, outer, &ground, None)?;
        if told.choice.get(1) == Some(&0.0) {
            return Err(FitError::Needs { model: "ranker".into(), needs: "an order that beats the blend's" });
        }
        let learnt = ranker.learnt();
        Ok(Second { model: Arc::new(ranker), of_stage: weights, learnt, how: told.note })
    }

    /// The blend that was chosen before, fitted on what there is now; the order of the second stage stays as it was learnt.
    fn auto_again(&mut self, chosen: &Chosen) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let (mut models, mut weights, mut in_stage) = (Vec::new(), Vec::new(), Vec::new());
        for part in &chosen.parts {
            let model = match part.network {
                Some((recipe, epochs)) => self.network(recipe, (f64::INFINITY, ""), Some(epochs))?.0,
                None => self.fit(part.kind, &[])?.model,
            };
            models.push(model);
            weights.push(part.weight);
            in_stage.push(part.in_stage);
        }
        if let Some((weight, learnt)) = &chosen.ranker {
            let (stage, _) =
                Blend::choose("blend", models.clone(), &in_stage, Some(&in_stage), &[], &self.training);
            models.push(Arc::new(Ranker::of_learnt(&self.training, Arc::new(stage), learnt)?));
            weights.push(*weight);
        }
        let (blend, _) = Blend::choose("auto", models, &weights, Some(&weights), &[], &self.training);
        let parts: Vec<String> =
            blend.parts().iter().map(|part| format!("{:.2} {}", part.weight, part.model.name())).collect();
        Ok((Arc::new(blend), format!("{}, chosen before", parts.join(" + "))))
    }

    /// Trains one network until a moment, or for so many epochs; how many it has seen.
    fn network(
        &self,
        recipe: Recipe,
        (until, suffix): (f64, &str),
        epochs: Option<f32>,
    ) -> Result<(Arc<dyn Recommender>, f32), FitError> {
        let kind = recipe.kind();
        let name = format!("auto.{}{suffix}", recipe.name().replace(' ', "-"));
        let watch = Until { watch: self.training.watch, seconds: until, name };
        let settings = Arc::new(recipe.settings(&self.training.settings));
        let training = Training { settings, watch: &watch, ..self.training.clone() };
        let given = epochs.map(|epochs| (kind, vec![epochs])).into_iter();
        let mut zoo = Zoo::with_choices(training, Choices::from_iter(given));
        let model = zoo.fit(kind, &[])?.model;
        let seen = zoo.choices.get(&kind).and_then(|choice| choice.first()).copied().unwrap_or(0.0);
        Ok((model, seen))
    }
}

/// Coordinate ascent in steps that become smaller; only what may move does.
fn ascend(pool: &Pool, start: &[f32], may_move: &[bool]) -> Choice {
    let choice = STEPS.iter().fold(None, |from: Option<Choice>, &step| {
        Some(pool.ascend_some(from.as_ref().map_or(start, |choice| &choice.weights), step, may_move))
    });
    choice.expect("there are steps")
}

/// A blend of so many parts at most: one after another, that without which the least is lost goes, and the others move again.
fn of_few(pool: &Pool, all: Choice, parts_max: usize) -> Choice {
    let mut kept = all;
    loop {
        let parts: Vec<usize> = (0..kept.weights.len()).filter(|&at| kept.weights[at] > 0.0).collect();
        if parts.len() <= parts_max {
            return kept;
        }
        let without = parts.iter().map(|&at| {
            let mut weights = kept.weights.clone();
            weights[at] = 0.0;
            pool.choice(weights)
        });
        let fewer = without.max_by(|a, b| a.score().total_cmp(&b.score())).expect("there are parts");
        let may_move: Vec<bool> = fewer.weights.iter().map(|&weight| weight > 0.0).collect();
        kept = ascend(pool, &fewer.weights, &may_move);
    }
}

/// What was tried and why, what each comes to alone, what is lost without it, and what was left out.
fn told(
    traits: &Traits,
    tried: &[Tried],
    pool: &Pool,
    choice: &Choice,
    under: Option<(&Choice, &[f32])>,
    left_out: &[String],
) -> String {
    let whole = choice.score();
    let measure = |weights: &[f32]| {
        let (hit_rate, ndcg) = pool.measure(weights);
        hit_rate + ndcg
    };
    let mut lines = Vec::new();
    for (at, (one, &weight)) in tried.iter().zip(&choice.weights).enumerate() {
        let mut alone = vec![0.0; tried.len()];
        alone[at] = 1.0;
        let mut line = format!("{} {:.4} alone", one.name(), measure(&alone));
        if weight > 0.0 {
            let mut without = choice.weights.clone();
            without[at] = 0.0;
            line += &format!(", weight {weight:.2}, adds {:+.4}", whole - measure(&without));
        } else {
            line += if under.is_none() { ", adds nothing" } else { ", not beside the ranker" };
        }
        if let Some((_, of_stage)) = under {
            line += &match of_stage.get(at) {
                Some(&weight) if weight > 0.0 => format!(", under it at {weight:.2}"),
                Some(_) => ", not under it".to_string(),
                None => String::new(),
            };
        }
        if let Some((_, epochs)) = one.network {
            line += &format!(" ({epochs} epochs)");
        }
        lines.push(line);
    }
    let mut note = format!(
        "{}; on validation (HR@10 + NDCG@10) the blend has {:.4} + {:.4}; {}",
        traits.in_words(),
        choice.hit_rate,
        choice.ndcg,
        lines.join("; ")
    );
    if let Some((plain, _)) = under {
        note += &format!("; without the ranker {:.4} + {:.4}", plain.hit_rate, plain.ndcg);
    }
    if !left_out.is_empty() {
        note += &format!("; left out: {}", left_out.join(", "));
    }
    note
}

#[cfg(test)]
mod tests;
