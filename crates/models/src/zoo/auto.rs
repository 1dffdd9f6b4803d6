//! `auto`, where nobody names a model: what a set is like says what is tried, a budget of time says how much of it, and
//! validation says what stays and at which weight.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use upnext_data::Order;

use super::{Blend, Choices, Kind, Part, Zoo, sasrec};
use crate::choose::Choice;
use crate::train::Until;
use crate::{FitError, Pool, Recommender, Training};

/// How long it may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Minutes for what is tried and weighed, from its beginning. Counting models are always fitted, whatever they take; so the
    /// same seed may give another model on another machine.
    pub minutes: f64,
    /// Networks at most.
    pub networks_max: usize,
    /// Videos at most for which EASE inverts a matrix.
    pub ease_videos_max: usize,
    /// Videos at most for which networks are tried: each step of theirs compares with all of them.
    pub networks_videos_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { minutes: 15.0, networks_max: 3, ease_videos_max: 20_000, networks_videos_max: 100_000 }
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
/// The share of the budget after which nothing new is trained: weighing takes the rest.
const TRAINING_SHARE: f64 = 0.85;
/// Below so many seconds a training is not begun.
const SECONDS_MIN: f64 = 5.0;
/// A history of at most so many wanted videos, in the middle of all, is short: each of its prefixes is an example.
const SHORT: usize = 30;
/// Steps in which weights move, one after another.
const STEPS: [f32; 5] = [1.6, 0.8, 0.4, 0.2, 0.1];

/// What decides what is tried.
#[derive(Debug, PartialEq)]
struct Traits {
    order: Order,
    n_users: usize,
    n_videos: usize,
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
        add(Kind::Ease, self.n_videos <= settings.ease_videos_max, &why);
        let is_ordered = self.order != Order::Unordered;
        add(Kind::DirectedCosineContent, self.has_content && is_ordered, "no content in order");
        add(Kind::Walk, !is_ordered, "an order tells more");
        // Last: it orders the candidates of the closed blend, which is fitted by then.
        add(Kind::Ranker, true, "");
        (parts, left_out)
    }

    /// Networks in the order of their promise.
    fn networks(&self, settings: &Settings) -> Result<Vec<Recipe>, &'static str> {
        if self.n_videos > settings.networks_videos_max {
            return Err("more videos than networks_videos_max");
        }
        let content = self.has_content;
        let recipe = |form, length: usize, content| Recipe { form, length, content };
        Ok(match self.order {
            Order::Unordered => vec![recipe(Form::Graph, 0, false)],
            _ if self.median_length <= SHORT => {
                let length = self.long_length.next_multiple_of(10).clamp(20, 50);
                vec![recipe(Form::Filtered, length, content), recipe(Form::Prefixes, length, false)]
            }
            _ => {
                let length = self.long_length.next_multiple_of(50).clamp(50, 200);
                vec![recipe(Form::Long, length, content), recipe(Form::Long, 50, false)]
            }
        })
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
            *asked = sasrec::Settings { length: self.length, content: self.content, ..of_set };
        }
        settings
    }

    fn name(self) -> String {
        match self.form {
            Form::Graph => self.kind().to_string(),
            _ => format!(
                "{} reading {}{}",
                self.kind(),
                self.length,
                if self.content { " with content" } else { "" }
            ),
        }
    }

    fn to_numbers(self) -> [f32; 3] {
        let form = FORMS.iter().position(|form| *form == self.form).unwrap_or(0);
        [form as f32, self.length as f32, f32::from(u8::from(self.content))]
    }

    fn of_numbers([form, length, content]: [f32; 3]) -> Self {
        Self { form: FORMS[form as usize % FORMS.len()], length: length as usize, content: content > 0.0 }
    }
}

/// One model of the blend to be.
struct Tried {
    kind: Kind,
    /// Of a network, with the epochs that it has seen.
    network: Option<(Recipe, f32)>,
    start: f32,
    model: Arc<dyn Recommender>,
}

impl Tried {
    fn name(&self) -> String {
        self.network.map_or_else(|| self.kind.to_string(), |(recipe, _)| recipe.name())
    }
}

/// Why a model is not there, where that need not end everything.
fn reason(error: FitError) -> Result<String, FitError> {
    match error {
        FitError::Needs { needs, .. } => Ok(format!("needs {needs}")),
        FitError::Diverged { .. } | FitError::Numbers { .. } | FitError::NoTime { .. } => {
            Ok(error.to_string())
        }
        error => Err(error),
    }
}

impl Zoo<'_> {
    /// Tries, weighs, and says what it did; or makes again what was chosen before.
    pub(super) fn auto(&mut self) -> Result<(Arc<dyn Recommender>, String), FitError> {
        if let Some(chosen) = self.choices.get(&Kind::Auto).cloned() {
            return self.auto_again(&chosen);
        }
        let traits = Traits::of(&self.training);
        let settings = self.training.settings.auto.clone();
        let watch = self.training.watch;
        let until = watch.seconds() + TRAINING_SHARE * 60.0 * settings.minutes;
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
                Ok(fitted) => tried.push(Tried { kind, network: None, start, model: fitted.model }),
                Err(error) => left_out.push(format!("{kind} ({})", reason(error)?)),
            }
        }
        let networks = traits.networks(&settings).unwrap_or_else(|why| {
            left_out.push(format!("networks ({why})"));
            Vec::new()
        });
        let n_networks = networks.len().min(settings.networks_max);
        for (at, recipe) in networks.into_iter().take(n_networks).enumerate() {
            let now = watch.seconds();
            if until - now < SECONDS_MIN {
                left_out.push(format!("{} (no time left of {} minutes)", recipe.name(), settings.minutes));
                continue;
            }
            // What one leaves of its share is there for the next.
            let share = now + (until - now) / (n_networks - at) as f64;
            match self.network(recipe, share, None) {
                Ok((model, epochs)) => tried.push(Tried {
                    kind: recipe.kind(),
                    network: Some((recipe, epochs)),
                    start: 1.0,
                    model,
                }),
                Err(error) => left_out.push(format!("{} ({})", recipe.name(), reason(error)?)),
            }
        }
        let models: Vec<&dyn Recommender> = tried.iter().map(|one| one.model.as_ref()).collect();
        let pool = Pool::new(&models, self.training.validation, self.training.candidates);
        let start: Vec<f32> = tried.iter().map(|one| one.start).collect();
        let choice = STEPS.iter().fold(None, |from: Option<Choice>, &step| {
            Some(pool.ascend(from.as_ref().map_or(&start, |choice| &choice.weights), step))
        });
        let choice = choice.expect("there are steps");
        let note = told(&traits, &tried, &pool, &choice, &left_out);
        let chosen = tried.iter().zip(&choice.weights).filter(|(_, weight)| **weight > 0.0);
        let written = chosen
            .flat_map(|(one, &weight)| {
                let at = Kind::ALL.iter().position(|kind| *kind == one.kind).expect("all kinds are listed");
                let (recipe, epochs) = one.network.unwrap_or((NONE, 0.0));
                let [form, length, content] = recipe.to_numbers();
                [at as f32, weight, epochs, form, length, content]
            })
            .collect();
        self.choices.insert(Kind::Auto, written);
        let parts = tried.into_iter().zip(choice.weights.iter().zip(pool.deviations()));
        let parts = parts.map(|(one, (&weight, &deviation))| Part { weight, deviation, model: one.model });
        Ok((Arc::new(Blend::new("auto", parts.collect())), note))
    }

    /// The blend that was chosen before, fitted on what there is now.
    fn auto_again(&mut self, chosen: &[f32]) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let (mut models, mut weights) = (Vec::new(), Vec::new());
        for part in chosen.as_chunks::<6>().0 {
            let [at, weight, epochs, form, length, content] = *part;
            let kind = Kind::ALL[at as usize % Kind::ALL.len()];
            let model = if epochs > 0.0 {
                self.network(Recipe::of_numbers([form, length, content]), f64::INFINITY, Some(epochs))?.0
            } else {
                self.fit(kind, &[])?.model
            };
            models.push(model);
            weights.push(weight);
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
        until: f64,
        epochs: Option<f32>,
    ) -> Result<(Arc<dyn Recommender>, f32), FitError> {
        let kind = recipe.kind();
        let name = format!("auto.{}", recipe.name().replace(' ', "-"));
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

/// Stands where a part is no network.
const NONE: Recipe = Recipe { form: Form::Graph, length: 0, content: false };

/// What was tried and why, what each comes to alone, what is lost without it, and what was left out.
fn told(traits: &Traits, tried: &[Tried], pool: &Pool, choice: &Choice, left_out: &[String]) -> String {
    let whole = choice.hit_rate + choice.ndcg;
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
            line += ", adds nothing";
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
    if !left_out.is_empty() {
        note += &format!("; not tried: {}", left_out.join(", "));
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
        let few = Settings { networks_videos_max: 100, ..settings };
        assert!(traits(Order::Sequence, 6).networks(&few).is_err(), "500 videos are too many");
    }

    #[test]
    fn a_recipe_comes_back_from_its_numbers_whatever_the_set_has_become() {
        for form in FORMS {
            let recipe = Recipe { form, length: 50, content: true };
            assert_eq!(Recipe::of_numbers(recipe.to_numbers()), recipe);
        }
    }

    #[test]
    fn what_the_reader_has_set_stays() {
        let mut given = crate::Settings::default();
        given.sasrec.dimension = 8;
        let recipe = Recipe { form: Form::Long, length: 200, content: false };
        assert_eq!(recipe.settings(&given).sasrec, given.sasrec);
    }

    #[test]
    fn what_cannot_be_counted_is_named_with_its_reason() {
        let settings = Settings { ease_videos_max: 100, ..Settings::default() };
        let (parts, left_out) = traits(Order::Sequence, 6).counting(&[(Kind::Slit, 0.5)], &settings);
        let known = [(Kind::Slit, 0.5), (Kind::Popular, 0.0), (Kind::ItemKnn, 0.0), (Kind::Ranker, 0.0)];
        assert_eq!(parts, known);
        let reasons = [
            "popular-recent (no times)",
            "ease (500 videos, at most 100)",
            "directed-cosine-content (no content in order)",
            "walk (an order tells more)",
        ];
        assert_eq!(left_out, reasons);
        let (parts, _) = traits(Order::Unordered, 6).counting(&[(Kind::Ease, 0.5)], &settings);
        assert!(!parts.iter().any(|&(kind, _)| kind == Kind::Ease), "the closed forms' own is left out too");
    }
}
