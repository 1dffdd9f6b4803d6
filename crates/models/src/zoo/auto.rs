//! `auto`, where nobody names a model: what a set is like says what is tried, a budget of time says how much of it, and
//! validation says what stays and at which weight.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use upnext_data::Order;

use super::ranker::{HeldOut, Ranker};
use super::{Blend, Choices, Fitted, Kind, Part, Zoo, sasrec};
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
        Ok(())
    }
}

const NETWORKS_MAX: usize = 16;
/// The share of the budget after which no network is trained: weighing and the second stage take the rest.
const TRAINING_SHARE: f64 = 0.85;
/// The share of what is left of that for a network: its twin, from which the second stage learns, takes about as long.
const NETWORK_SHARE: f64 = 0.55;
/// A twin that saw less than this share of its network's epochs is none.
const TWIN_SHARE: f32 = 0.6;
/// What a second stage has at least, whatever is left.
const SECOND_STAGE_SECONDS: f64 = 60.0;
/// Below this share of the whole budget, or so many seconds, a training is not begun: it would see too few epochs.
const LEAST_SHARE: f64 = 0.1;
const SECONDS_MIN: f64 = 5.0;
/// A history of at most so many wanted videos, in the middle of all, is short: each of its prefixes is an example.
const SHORT: usize = 30;
/// Wanted videos times videos, beyond which a softmax over all of these takes most of an epoch: it is sampled then, against so
/// many. (On Beauty, where nothing is gained by it, 2,000 drawn videos cost 0.005 of 0.198 on validation.)
const LOGITS_MAX: usize = 8_000_000_000;
const NEGATIVES: usize = 3_000;
/// What a blend around the second stage must gain over it alone, in HR@10 + NDCG@10: it costs each part once more.
const GAIN_MIN: f64 = 5e-4;
/// Steps in which weights move, one after another.
const STEPS: [f32; 5] = [1.6, 0.8, 0.4, 0.2, 0.1];

/// What decides what is tried.
#[derive(Debug, PartialEq)]
struct Traits {
    order: Order,
    n_users: usize,
    n_videos: usize,
    /// Wanted videos of all viewers.
    n_wanted: usize,
    /// Wanted videos of the viewer in the middle, and of the one whom nine in ten do not exceed.
    median_length: usize,
    long_length: usize,
    has_content: bool,
}

impl Traits {
    fn of(training: &Training) -> Self {
        let wanted = |rows: &[upnext_data::Interaction]| rows.iter().filter(|row| row.is_positive()).count();
        let mut lengths: Vec<usize> = training.interactions.users().map(wanted).filter(|&n| n > 0).collect();
        lengths.sort_unstable();
        let at = |share: f64| lengths.get((share * lengths.len() as f64) as usize).copied().unwrap_or(0);
        Self {
            order: training.order,
            n_users: lengths.len(),
            n_videos: training.interactions.n_videos(),
            n_wanted: lengths.iter().sum(),
            median_length: at(0.5),
            long_length: at(0.9),
            has_content: training.content.is_some(),
        }
    }

    fn in_words(&self) -> String {
        let order = match self.order {
            Order::Unordered => "without an order",
            Order::Sequence => "in order",
            Order::Timed => "in order, with times",
        };
        let content = if self.has_content { ", labels or text" } else { "" };
        format!(
            "{} viewers, {} videos, histories of {} (median) to {} (nine in ten) {order}{content}",
            self.n_users, self.n_videos, self.median_length, self.long_length
        )
    }

    /// Counting models, and the weights from which they are moved: those of the closed blend where they are known, else 0.
    fn counting(&self, closed: &[(Kind, f32)], settings: &Settings) -> (Vec<(Kind, f32)>, Vec<String>) {
        let (mut parts, mut left_out) = (closed.to_vec(), Vec::new());
        let mut add = |kind: Kind, is_tried: bool, why: &str| {
            if !is_tried {
                parts.retain(|&(known, _)| known != kind);
                left_out.push(format!("{kind} ({why})"));
            } else if !parts.iter().any(|&(known, _)| known == kind) {
                parts.push((kind, 0.0));
            }
        };
        add(Kind::Popular, true, "");
        add(Kind::PopularRecent, self.order == Order::Timed, "no times");
        add(Kind::ItemKnn, true, "");
        let why = format!("{} videos, at most {}", self.n_videos, settings.ease_videos_max);
        let is_ordered = self.order != Order::Unordered;
        // Where there is an order, asked with newer videos counting more.
        let ease = if is_ordered { Kind::EaseDecayed } else { Kind::Ease };
        add(ease, self.n_videos <= settings.ease_videos_max, &why);
        add(Kind::DirectedCosineContent, self.has_content && is_ordered, "no content in order");
        add(Kind::Walk, !is_ordered, "an order tells more");
        (parts, left_out)
    }

    /// Networks in the order of their promise.
    fn networks(&self, settings: &Settings) -> Result<Vec<Recipe>, &'static str> {
        if self.n_videos > settings.networks_videos_max {
            return Err("more videos than networks_videos_max");
        }
        let is_sampled = self.n_wanted.saturating_mul(self.n_videos) > LOGITS_MAX;
        // What is compared with a few videos cannot have the vectors of labels and words.
        let content = self.has_content && !is_sampled;
        let recipe = |form, length: usize, content| Recipe { form, length, content, is_sampled };
        let mut recipes = match self.order {
            Order::Unordered => vec![Recipe { is_sampled: false, ..recipe(Form::Graph, 0, false) }],
            _ if self.median_length <= SHORT => {
                let length = self.long_length.next_multiple_of(10).clamp(20, 50);
                vec![recipe(Form::Filtered, length, content), recipe(Form::Prefixes, length, false)]
            }
            _ => {
                let length = self.long_length.next_multiple_of(50).clamp(50, 200);
                vec![recipe(Form::Long, length, content), recipe(Form::Long, 50, false)]
            }
        };
        recipes.dedup();
        Ok(recipes)
    }
}

/// The form of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Filtered,
    Prefixes,
    Long,
    Graph,
}

const FORMS: [Form; 4] = [Form::Filtered, Form::Prefixes, Form::Long, Form::Graph];

/// How a network is made: all that is needed to make it again on a set that has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recipe {
    form: Form,
    length: usize,
    content: bool,
    /// Compared with videos that are drawn, not with all; a graph always is with all.
    is_sampled: bool,
}

impl Recipe {
    fn kind(self) -> Kind {
        match self.form {
            Form::Filtered => Kind::Bsarec,
            Form::Prefixes | Form::Long => Kind::Sasrec,
            Form::Graph => Kind::LightGcn,
        }
    }

    /// Its settings: those of the reader where they are not the defaults.
    fn settings(self, given: &crate::Settings) -> crate::Settings {
        let (mut settings, usual) = (given.clone(), crate::Settings::default());
        let of_set = match self.form {
            Form::Filtered => sasrec::Settings::for_short(true),
            Form::Prefixes => sasrec::Settings::for_short(false),
            Form::Long => sasrec::Settings::for_long(),
            Form::Graph => return settings,
        };
        let (asked, usual) = match self.kind() {
            Kind::Bsarec => (&mut settings.bsarec, &usual.bsarec),
            _ => (&mut settings.sasrec, &usual.sasrec),
        };
        if asked == usual {
            let Self { length, content, is_sampled, .. } = self;
            let negatives = if is_sampled { NEGATIVES } else { 0 };
            *asked = sasrec::Settings { length, content, negatives, ..of_set };
        }
        settings
    }

    fn name(self) -> String {
        match self.form {
            Form::Graph => self.kind().to_string(),
            _ => format!(
                "{} reading {}{}{}",
                self.kind(),
                self.length,
                if self.content { " with content" } else { "" },
                if self.is_sampled { " sampled" } else { "" }
            ),
        }
    }

    fn to_numbers(self) -> [f32; 4] {
        let form = FORMS.iter().position(|form| *form == self.form).unwrap_or(0);
        let flag = |is: bool| f32::from(u8::from(is));
        [form as f32, self.length as f32, flag(self.content), flag(self.is_sampled)]
    }

    fn of_numbers([form, length, content, is_sampled]: [f32; 4]) -> Self {
        let form = FORMS[form as usize % FORMS.len()];
        Self { form, length: length as usize, content: content > 0.0, is_sampled: is_sampled > 0.0 }
    }
}

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
        let plain = ascend(&pool, &start, &vec![true; tried.len()]);
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
        let beside = ascend(&pool, &beside, &vec![true; tried.len()]);
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
            ascend(pool, &start, &is_in).weights
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

/// What was chosen: enough to make it again on a set that has grown.
#[derive(Debug, PartialEq)]
struct Chosen {
    parts: Vec<ChosenPart>,
    /// The weight of the second stage, and what it learnt.
    ranker: Option<(f32, Vec<f32>)>,
}

#[derive(Debug, PartialEq)]
struct ChosenPart {
    kind: Kind,
    /// Of a network, with its epochs.
    network: Option<(Recipe, f32)>,
    /// Its weight in the blend, and in what the second stage stands on.
    weight: f32,
    in_stage: f32,
}

impl Chosen {
    fn to_numbers(&self) -> Vec<f32> {
        let mut numbers = vec![self.parts.len() as f32];
        for part in &self.parts {
            let at = Kind::ALL.iter().position(|kind| *kind == part.kind).expect("all kinds are listed");
            let (recipe, epochs) = part.network.unwrap_or((NONE, 0.0));
            numbers.extend([at as f32, part.weight, part.in_stage, epochs]);
            numbers.extend(recipe.to_numbers());
        }
        if let Some((weight, learnt)) = &self.ranker {
            numbers.push(*weight);
            numbers.extend(learnt);
        }
        numbers
    }

    /// `None` where they are no such numbers.
    fn of_numbers(numbers: &[f32]) -> Option<Self> {
        let (&n, rest) = numbers.split_first()?;
        let (parts, rest) = rest.split_at_checked(8 * n as usize)?;
        let part = |&[at, weight, in_stage, epochs, ref recipe @ ..]: &[f32; 8]| {
            let network = (epochs > 0.0).then(|| (Recipe::of_numbers(*recipe), epochs));
            Some(ChosenPart { kind: *Kind::ALL.get(at as usize)?, network, weight, in_stage })
        };
        let parts = parts.as_chunks::<8>().0.iter().map(part).collect::<Option<Vec<_>>>()?;
        let ranker = rest.split_first().map(|(&weight, learnt)| (weight, learnt.to_vec()));
        Some(Self { parts, ranker })
    }
}

/// Coordinate ascent in steps that become smaller; only what may move does.
fn ascend(pool: &Pool, start: &[f32], may_move: &[bool]) -> Choice {
    let choice = STEPS.iter().fold(None, |from: Option<Choice>, &step| {
        Some(pool.ascend_some(from.as_ref().map_or(start, |choice| &choice.weights), step, may_move))
    });
    choice.expect("there are steps")
}

/// Stands where a part is no network.
const NONE: Recipe = Recipe { form: Form::Graph, length: 0, content: false, is_sampled: false };

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
mod tests {
    use super::*;

    fn traits(order: Order, median_length: usize) -> Traits {
        Traits {
            order,
            n_users: 100,
            n_videos: 500,
            n_wanted: 100 * median_length,
            median_length,
            long_length: 4 * median_length,
            has_content: false,
        }
    }

    #[test]
    fn short_histories_give_every_prefix_long_ones_are_read_far_back_and_without_an_order_a_graph_is_tried() {
        let (settings, given) = (Settings::default(), crate::Settings::default());
        let first = |order, median| traits(order, median).networks(&settings).unwrap()[0];
        let short = first(Order::Sequence, 6).settings(&given).bsarec;
        assert!(short.prefixes && short.length == 30 && short.filter > 0.0);
        let long = first(Order::Timed, 96).settings(&given).sasrec;
        assert!(!long.prefixes && long.length == 200);
        assert_eq!(first(Order::Unordered, 96).kind(), Kind::LightGcn);
        let wide = Traits {
            n_videos: 100_000,
            n_wanted: 1_000_000,
            has_content: true,
            ..traits(Order::Sequence, 6)
        };
        let wide = wide.networks(&settings).unwrap()[0].settings(&given).bsarec;
        assert!(wide.negatives > 0 && !wide.content && wide.check("bsarec").is_ok());
        let few = Settings { networks_videos_max: 100, ..settings };
        assert!(traits(Order::Sequence, 6).networks(&few).is_err(), "500 videos are too many");
    }

    #[test]
    fn a_recipe_comes_back_from_its_numbers_whatever_the_set_has_become() {
        for form in FORMS {
            let recipe = Recipe { form, length: 50, content: true, is_sampled: form == Form::Long };
            assert_eq!(Recipe::of_numbers(recipe.to_numbers()), recipe);
        }
    }

    #[test]
    fn what_was_chosen_comes_back_from_its_numbers() {
        let recipe = Recipe { form: Form::Filtered, length: 30, content: false, is_sampled: false };
        let part = |kind, network| ChosenPart { kind, network, weight: 0.5, in_stage: 1.5 };
        let parts = || vec![part(Kind::Slit, None), part(Kind::Bsarec, Some((recipe, 27.0)))];
        for ranker in [None, Some((2.0, vec![0.1, 0.2]))] {
            let chosen = Chosen { parts: parts(), ranker };
            assert_eq!(Chosen::of_numbers(&chosen.to_numbers()), Some(chosen));
        }
        assert_eq!(Chosen::of_numbers(&[3.0, 1.0]), None, "three parts are more than one number");
        assert_eq!(Chosen::of_numbers(&[]), None);
    }

    #[test]
    fn what_the_reader_has_set_stays() {
        let mut given = crate::Settings::default();
        given.sasrec.dimension = 8;
        let recipe = Recipe { form: Form::Long, length: 200, content: false, is_sampled: false };
        assert_eq!(recipe.settings(&given).sasrec, given.sasrec);
    }

    #[test]
    fn what_cannot_be_counted_is_named_with_its_reason() {
        let settings = Settings { ease_videos_max: 100, ..Settings::default() };
        let (parts, left_out) = traits(Order::Sequence, 6).counting(&[(Kind::Slit, 0.5)], &settings);
        let known = [(Kind::Slit, 0.5), (Kind::Popular, 0.0), (Kind::ItemKnn, 0.0)];
        assert_eq!(parts, known);
        let reasons = [
            "popular-recent (no times)",
            "ease-decayed (500 videos, at most 100)",
            "directed-cosine-content (no content in order)",
            "walk (an order tells more)",
        ];
        assert_eq!(left_out, reasons);
        let (parts, _) = traits(Order::Unordered, 6).counting(&[(Kind::Ease, 0.5)], &settings);
        assert!(!parts.iter().any(|&(kind, _)| kind == Kind::Ease), "the closed forms' own is left out too");
    }
}
