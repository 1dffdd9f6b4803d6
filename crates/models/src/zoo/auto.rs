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
    /// Minutes for what is tried and weighed, from its beginning; counting models, which take seconds, are always fitted.
    pub minutes: f64,
    /// Networks at most.
    pub networks_max: usize,
    /// Videos at most for which EASE inverts a matrix.
    pub ease_videos_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { minutes: 15.0, networks_max: 3, ease_videos_max: 20_000 }
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
        add(
            Kind::DirectedCosineContent,
            self.has_content && self.order != Order::Unordered,
            "no content in order",
        );
        (parts, left_out)
    }

    /// Networks in the order of their promise: the variant of each, and its settings, unless the reader set them.
    fn networks(&self, given: &crate::Settings) -> Vec<(Kind, usize, crate::Settings)> {
        if self.order == Order::Unordered {
            return vec![(Kind::Lightgcn, 0, given.clone())];
        }
        let usual = crate::Settings::default();
        let mut tried = Vec::new();
        let mut add = |kind: Kind, variant: usize, of_set: sasrec::Settings| {
            let mut settings = given.clone();
            let (asked, usual) = match kind {
                Kind::Bsarec => (&mut settings.bsarec, &usual.bsarec),
                _ => (&mut settings.sasrec, &usual.sasrec),
            };
            if asked == usual {
                *asked = of_set;
            } else if variant > 0 {
                return;
            }
            tried.push((kind, variant, settings));
        };
        let content = self.has_content;
        if self.median_length <= SHORT {
            let length = self.long_length.next_multiple_of(10).clamp(20, 50);
            add(Kind::Bsarec, 0, sasrec::Settings { length, content, ..sasrec::Settings::for_short(true) });
            add(Kind::Sasrec, 0, sasrec::Settings { length, ..sasrec::Settings::for_short(false) });
        } else {
            let length = self.long_length.next_multiple_of(50).clamp(50, 200);
            add(Kind::Sasrec, 0, sasrec::Settings { length, content, ..sasrec::Settings::for_long() });
            let recent = sasrec::Settings { length: 50, ..sasrec::Settings::for_long() };
            add(Kind::Sasrec, 1, recent);
        }
        tried
    }
}

/// One model of the blend to be.
struct Tried {
    kind: Kind,
    variant: usize,
    epochs: f32,
    start: f32,
    model: Arc<dyn Recommender>,
}

impl Tried {
    fn name(&self) -> String {
        named(self.kind, self.variant)
    }
}

fn named(kind: Kind, variant: usize) -> String {
    if variant == 0 { kind.name().into() } else { format!("{kind} {}", variant + 1) }
}

impl Zoo<'_> {
    /// Tries, weighs, and says what it did; or makes again what was chosen before.
    pub(super) fn auto(&mut self) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let traits = Traits::of(&self.training);
        if let Some(chosen) = self.choices.get(&Kind::Auto).cloned() {
            return self.auto_again(&traits, &chosen);
        }
        let settings = self.training.settings.auto.clone();
        let watch = self.training.watch;
        let begun = watch.seconds();
        let closed = self.closed_forms();
        let (counting, mut left_out) = traits.counting(&closed, &settings);
        if self.training.validation.is_empty() {
            let (model, note) = self.blend(Kind::ClosedBlend, &closed)?;
            return Ok((
                model,
                format!("no validation to choose by, so the closed forms as they are: {note}"),
            ));
        }
        let mut tried = Vec::new();
        for (kind, start) in counting {
            match self.fit(kind, &[]) {
                Ok(fitted) => {
                    tried.push(Tried { kind, variant: 0, epochs: 0.0, start, model: fitted.model });
                }
                Err(FitError::Needs { needs, .. }) => left_out.push(format!("{kind} (needs {needs})")),
                Err(error) => return Err(error),
            }
        }
        let until = begun + TRAINING_SHARE * 60.0 * settings.minutes;
        for (kind, variant, of_set) in
            traits.networks(&self.training.settings).into_iter().take(settings.networks_max)
        {
            let left = until - watch.seconds();
            if left < SECONDS_MIN {
                left_out.push(format!(
                    "{} (no time left of {} minutes)",
                    named(kind, variant),
                    settings.minutes
                ));
                continue;
            }
            let (model, epochs) = self.network(kind, variant, of_set, until, None)?;
            tried.push(Tried { kind, variant, epochs, start: 1.0, model });
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
                [at as f32, one.variant as f32, weight, one.epochs]
            })
            .collect();
        self.choices.insert(Kind::Auto, written);
        let parts = tried.into_iter().zip(choice.weights.iter().zip(pool.deviations()));
        let parts = parts.map(|(one, (&weight, &deviation))| Part { weight, deviation, model: one.model });
        Ok((Arc::new(Blend::new("auto", parts.collect())), note))
    }

    /// The blend that was chosen before, fitted on what there is now.
    fn auto_again(
        &mut self,
        traits: &Traits,
        chosen: &[f32],
    ) -> Result<(Arc<dyn Recommender>, String), FitError> {
        let (mut models, mut weights) = (Vec::new(), Vec::new());
        let networks = traits.networks(&self.training.settings);
        for part in chosen.as_chunks::<4>().0 {
            let [at, variant, weight, epochs] = *part;
            let (kind, variant) = (Kind::ALL[at as usize], variant as usize);
            let model = if epochs > 0.0 {
                let same = networks.iter().find(|(other, of, _)| (*other, *of) == (kind, variant));
                let settings = same
                    .map_or_else(|| (*self.training.settings).clone(), |(_, _, settings)| settings.clone());
                self.network(kind, variant, settings, f64::INFINITY, Some(epochs))?.0
            } else {
                self.fit(kind, &[])?.model
            };
            models.push(model);
            weights.push(weight);
        }
        let (blend, weights) = Blend::choose("auto", models, &weights, Some(&weights), &[], &self.training);
        let parts: Vec<String> =
            blend.parts().iter().map(|part| format!("{:.2} {}", part.weight, part.model.name())).collect();
        debug_assert_eq!(weights.len(), parts.len(), "only what has a weight was written down");
        Ok((Arc::new(blend), format!("{}, chosen before", parts.join(" + "))))
    }

    /// Trains one network until a moment, or for so many epochs; how many it has seen.
    fn network(
        &self,
        kind: Kind,
        variant: usize,
        settings: crate::Settings,
        until: f64,
        epochs: Option<f32>,
    ) -> Result<(Arc<dyn Recommender>, f32), FitError> {
        let watch = Until {
            watch: self.training.watch,
            seconds: until,
            name: format!("auto.{kind}.{}", variant + 1),
        };
        let training = Training { settings: Arc::new(settings), watch: &watch, ..self.training.clone() };
        let given = epochs.map(|epochs| (kind, vec![epochs])).into_iter();
        let mut zoo = Zoo::with_choices(training, Choices::from_iter(given));
        let model = zoo.fit(kind, &[])?.model;
        let seen = zoo.choices.get(&kind).and_then(|choice| choice.first()).copied().unwrap_or(0.0);
        Ok((model, seen))
    }
}

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
        if one.epochs > 0.0 {
            line += &format!(" ({} epochs)", one.epochs);
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
        let given = crate::Settings::default();
        let short = traits(Order::Sequence, 6).networks(&given);
        assert!(short[0].0 == Kind::Bsarec && short[0].2.bsarec.prefixes && short[0].2.bsarec.length == 30);
        let long = traits(Order::Timed, 96).networks(&given);
        assert!(long[0].0 == Kind::Sasrec && !long[0].2.sasrec.prefixes && long[0].2.sasrec.length == 200);
        assert_eq!(traits(Order::Unordered, 96).networks(&given)[0].0, Kind::Lightgcn);
    }

    #[test]
    fn what_the_reader_has_set_stays() {
        let mut given = crate::Settings::default();
        given.sasrec.dimension = 8;
        let tried = traits(Order::Sequence, 96).networks(&given);
        assert_eq!(tried.len(), 1, "one variant, as it was set");
        assert_eq!(tried[0].2.sasrec, given.sasrec);
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
        ];
        assert_eq!(left_out, reasons);
    }
}
