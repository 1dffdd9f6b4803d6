//! The loop in which every network learns: seeded epochs, clipped gradients, a rate that falls at a plateau, early
//! stopping on validation, and checkpoints of the best and of the last from which a training goes on bit for bit.

mod augment;
mod start;
mod state;
mod watch;

pub use augment::Augmentation;
use serde::{Deserialize, Serialize};
pub use start::Start;
use state::State;
pub use state::TrainingFileError;
use upnext_math::linalg::Precision;
use upnext_math::memory::KeepFreed;
use upnext_math::seed::{Random, mix};
use upnext_nn::optimiser;
use upnext_nn::schedule::{Plateau, Verdict, warm_up};
use upnext_nn::{Gradients, Parameters, Shards};
pub(crate) use watch::Until;
pub use watch::{Epoch, Step, Unwatched, Watch, Which, Wish};

use crate::{FitError, Training};

/// How a network learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loop {
    /// Examples of a step.
    pub batch: usize,
    /// The rate of Adam.
    pub rate: f32,
    /// How much of the past the mean of gradients keeps.
    pub beta1: f32,
    /// How much of the past the mean of their squares keeps.
    pub beta2: f32,
    /// Share of each number that a step of the rate 1 takes away (AdamW); 0 is plain Adam.
    pub weight_decay: f32,
    /// The share of each number that is added to its gradient before Adam scales it (L2).
    pub l2: f32,
    /// How much of the past each step keeps of a mean over all steps, which is what is judged and served; 0 serves the
    /// last step.
    pub average: f32,
    /// Whether of tables only the rows that were touched move (LazyAdam).
    pub lazy: bool,
    /// Largest norm of a gradient; 0 clips nothing.
    pub clip: f32,
    /// Steps in which the rate rises from 0.
    pub warm_up_steps: u64,
    /// Epochs at most.
    pub epochs_max: u32,
    /// Epochs where no validation part tells when to stop.
    pub epochs_default: u32,
    /// Epochs without a better metric on validation after which training ends.
    pub patience: u32,
    /// Epochs without a better metric after which the rate falls.
    pub slower_after: u32,
    /// What the rate is multiplied by then.
    pub slower_by: f32,
    /// How exactly layers multiply while they learn: `f32`, or `bf16`, which is much faster where the machine has products
    /// of bfloat16 and the same as f32 elsewhere. Parameters, sums and what is trained in the end stay f32.
    pub precision: Precision,
}

impl Default for Loop {
    fn default() -> Self {
        Self {
            batch: 128,
            rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 0.0,
            l2: 0.0,
            average: 0.0,
            lazy: true,
            clip: 5.0,
            warm_up_steps: 0,
            epochs_max: 200,
            epochs_default: 20,
            patience: 10,
            slower_after: 4,
            slower_by: 0.5,
            precision: Precision::F32,
        }
    }
}

impl Loop {
    /// The first key that cannot be meant, and what was expected.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let share = |x: f32| (0.0..1.0).contains(&x);
        let checks = [
            (self.batch > 0, "batch", "at least 1"),
            (self.rate > 0.0 && self.rate.is_finite(), "rate", "a positive number"),
            (share(self.beta1), "beta1", "0 to below 1"),
            (share(self.beta2), "beta2", "0 to below 1"),
            (self.weight_decay >= 0.0 && self.weight_decay.is_finite(), "weight_decay", "0 or more"),
            (self.l2 >= 0.0 && self.l2.is_finite(), "l2", "0 or more"),
            (share(self.average), "average", "0 to below 1"),
            (self.clip >= 0.0 && self.clip.is_finite(), "clip", "0 or more"),
            (self.epochs_max > 0, "epochs_max", "at least 1"),
            (self.epochs_default > 0, "epochs_default", "at least 1"),
            (self.patience > 0, "patience", "at least 1"),
            (self.slower_after > 0, "slower_after", "at least 1"),
            (self.slower_by > 0.0 && self.slower_by <= 1.0, "slower_by", "above 0, at most 1"),
        ];
        checks.into_iter().find(|(fine, _, _)| !fine).map_or(Ok(()), |(_, key, why)| Err((key, why)))
    }
}

/// Settings of a model that can be meant: whether each is, its key, and what was expected; then those of its loop.
pub(crate) fn check(
    model: &'static str,
    checks: &[(bool, &'static str, &'static str)],
    learn: &Loop,
) -> Result<(), FitError> {
    let wrong = checks.iter().find(|(fine, _, _)| !fine).map(|&(_, key, why)| (key.to_string(), why));
    let of_loop = || learn.check().err().map(|(key, why)| (format!("learn.{key}"), why));
    match wrong.or_else(of_loop) {
        Some((key, expected)) => Err(FitError::Setting { model, key, expected }),
        None => Ok(()),
    }
}

/// Parts of a batch that have gradients of their own: fixed, so that results do not depend on the machine.
pub(crate) const SHARDS: usize = 4;

/// What the loop must know of a model.
pub(crate) trait Task {
    /// The batches of an epoch.
    type Epoch;

    /// The name of the model.
    fn name(&self) -> &'static str;

    /// Batches that a seed draws, and how many there are.
    fn epoch(&self, seed: u64) -> (Self::Epoch, usize);

    /// The loss of one batch and its gradients. Whatever is drawn at random comes from the seed.
    fn step<'a>(
        &self,
        parameters: &Parameters,
        epoch: &Self::Epoch,
        step: usize,
        seed: u64,
        shards: &'a mut Shards,
    ) -> (f64, &'a mut Gradients);

    /// Whether there is a validation part that tells it anything.
    fn is_judged(&self) -> bool;

    /// What it comes to on validation, larger being better; `None` without a validation part.
    fn judge(&self, parameters: &Parameters) -> Option<f64>;

    /// What [`Task::judge`] measures, in words.
    fn metric(&self) -> &'static str {
        "hr@10 + ndcg@10"
    }
}

/// What came of a training.
pub(crate) struct Learnt {
    /// Of the best epoch, or of the last where nothing judged.
    pub(crate) parameters: Parameters,
    /// How many epochs these have seen.
    pub(crate) epochs: u32,
    /// What they came to on validation.
    pub(crate) score: Option<f64>,
}

/// Trains until validation no longer gains, or for exactly `n_epochs`; goes on where a training of the same settings on
/// the same pairs was left.
///
/// # Errors
/// When a number is no longer finite, the watcher stops it, or what was kept cannot be read.
pub(crate) fn learn(
    task: &impl Task,
    parameters: Parameters,
    settings: &Loop,
    training: &Training,
    (n_epochs, fingerprint): (Option<u32>, u64),
) -> Result<Learnt, FitError> {
    let name = task.name();
    let _kept = KeepFreed::new();
    let judged = n_epochs.is_none() && task.is_judged();
    let epochs_max = n_epochs.unwrap_or(if judged { settings.epochs_max } else { settings.epochs_default });
    let fingerprint = mix(fingerprint ^ mix(u64::from(judged)));
    let adam = optimiser::Settings {
        beta1: settings.beta1,
        beta2: settings.beta2,
        weight_decay: settings.weight_decay,
        l2: settings.l2,
        is_lazy: settings.lazy,
        ..optimiser::Settings::default()
    };
    let plateau = Plateau::new(settings.slower_by, settings.slower_after, settings.patience);
    let watch = training.watch;
    let mut state = State::new(parameters, adam, settings.average, plateau);
    match state.go_on(|which| watch.kept(name, which), (fingerprint, epochs_max)) {
        Ok(true) => watch.note(name, &format!("goes on after epoch {}, step {}", state.epoch, state.step)),
        Ok(false) => {}
        Err(cause) => return Err(FitError::Kept { model: name.into(), cause }),
    }
    if settings.precision == Precision::Bf16 && !upnext_math::bf16::is_there() {
        watch.note(name, "this machine has no products of bfloat16: it multiplies in f32");
    }
    let keep_last = |state: &State| watch.keep(name, Which::Last, &|| state.last(fingerprint));
    let mut shards = Shards::new(&state.parameters, SHARDS);
    let mut is_over = false;
    while state.epoch < epochs_max && !state.ended && !is_over {
        let seed = mix(training.seed ^ mix(u64::from(state.epoch)));
        let (epoch, n_steps) = task.epoch(seed);
        state.parameters.set_precision(settings.precision);
        while state.step < n_steps && !is_over {
            let seed = mix(seed ^ mix(state.step as u64));
            let (loss, gradients) = task.step(&state.parameters, &epoch, state.step, seed, &mut shards);
            let most = if settings.clip > 0.0 { settings.clip } else { f32::INFINITY };
            let norm = gradients.clip(most);
            if !loss.is_finite() || !norm.is_finite() {
                let at = state.parameters.first_not_finite();
                let at = at.or(gradients.first_not_finite(&state.parameters)).unwrap_or("the loss alone");
                let (epoch, step) = (state.epoch, state.step);
                return Err(FitError::Diverged { model: name.into(), epoch, step, at: at.into() });
            }
            let rate =
                settings.rate * state.plateau.share * warm_up(state.adam.n_steps, settings.warm_up_steps);
            state.adam.step(&mut state.parameters, gradients, rate);
            if let Some(average) = &mut state.average {
                average.take(&state.parameters, state.adam.n_steps);
            }
            state.step += 1;
            state.loss += loss;
            state.norm += f64::from(norm);
            let step = Step {
                model: name,
                epoch: state.epoch,
                epochs_max,
                step: state.step,
                n_steps,
                loss: state.loss / state.step as f64,
                best: state.best,
            };
            match watch.step(&step) {
                Wish::GoOn => {}
                Wish::Keep => keep_last(&state),
                Wish::End => {
                    keep_last(&state);
                    is_over = true;
                }
                Wish::Stop => {
                    keep_last(&state);
                    return Err(FitError::Stopped {
                        model: name.into(),
                        epoch: state.epoch,
                        step: state.step,
                    });
                }
            }
        }
        // What is judged, kept and served multiplies exactly.
        state.parameters.set_precision(Precision::F32);
        if is_over && state.step < n_steps {
            // An epoch that was cut off is not judged, and is not kept as a whole one.
            if state.epoch == 0 {
                return Err(FitError::NoTime { model: name.into() });
            }
            break;
        }
        let score = if judged { task.judge(state.result()) } else { None };
        let rate = f64::from(settings.rate * state.plateau.share);
        let verdict = score.map(|score| state.plateau.see(score));
        let n = n_steps.max(1) as f64;
        let told = Epoch {
            model: name.into(),
            epoch: state.epoch + 1,
            steps: state.adam.n_steps,
            loss: state.loss / n,
            validation: score,
            metric: task.metric(),
            rate,
            gradient_norm: state.norm / n,
            best: verdict == Some(Verdict::Best),
        };
        (state.epoch, state.step, state.loss, state.norm) = (state.epoch + 1, 0, 0.0, 0.0);
        match (verdict, score) {
            (Some(Verdict::Best), Some(score)) => {
                state.best = Some((state.epoch, score));
                state.best_parameters = Some(state.result().clone());
                watch.keep(name, Which::Best, &|| state.best_file(fingerprint));
            }
            (Some(Verdict::Stop), _) => state.ended = true,
            _ => {}
        }
        keep_last(&state);
        watch.epoch(&told);
    }
    Ok(match (state.best, state.best_parameters) {
        (Some((epochs, score)), Some(parameters)) => Learnt { parameters, epochs, score: Some(score) },
        _ => {
            let parameters = state.average.map_or(state.parameters, |average| average.parameters);
            Learnt { parameters, epochs: state.epoch, score: None }
        }
    })
}

/// What tells one training from another: its settings, its seed, and all that it may read.
pub(crate) fn fingerprint(settings: &impl Serialize, training: &Training) -> u64 {
    let mut settings = serde_json::to_value(settings).unwrap_or_default();
    // A training that is given more epochs is the same one, longer.
    if let Some(learn) = settings.get_mut("learn").and_then(serde_json::Value::as_object_mut) {
        learn.retain(|key, _| key != "epochs_max" && key != "epochs_default");
    }
    let mut all =
        settings.to_string().bytes().fold(mix(training.seed), |all, byte| mix(all ^ u64::from(byte)));
    let mut add = |x: u64| all = mix(all ^ x);
    add(training.interactions.n_videos() as u64);
    for rows in training.interactions.users() {
        add(rows.len() as u64);
        for row in rows {
            add(u64::from(row.video) << 8 | row.judgement as u64);
            add(row.time as u64);
            add(u64::from(row.value.map_or(u32::MAX, f32::to_bits)) << 16 | u64::from(row.actions.bits()));
        }
    }
    for query in training.validation {
        add(u64::from(query.user));
        query.relevant.iter().for_each(|&video| add(u64::from(video)));
        query.history.positives().iter().for_each(|&video| add(u64::from(video)));
    }
    for (user, row) in training.validation_values {
        add(u64::from(*user) << 32 | u64::from(row.video));
        add(u64::from(row.value.map_or(u32::MAX, f32::to_bits)));
    }
    training.candidates.iter().for_each(|&video| add(u64::from(video)));
    if let Some(content) = &training.content {
        content.vectors().columns().iter().for_each(|&column| add(u64::from(column)));
        content.vectors().values().iter().for_each(|value| add(u64::from(value.to_bits())));
    }
    if let Some(facts) = &training.facts {
        for table in [&facts.users, &facts.videos].into_iter().flatten() {
            table.matrix.values().iter().for_each(|value| add(u64::from(value.to_bits())));
            table.missing.iter().for_each(|&missing| add(u64::from(missing)));
        }
        for vectors in &facts.vectors {
            add(vectors.matrix.n_columns() as u64);
            vectors.matrix.values().iter().for_each(|value| add(u64::from(value.to_bits())));
            vectors.present.iter().for_each(|&present| add(u64::from(present)));
        }
        facts.labels.iter().flat_map(|(_, videos)| videos).flatten().for_each(|&label| add(u64::from(label)));
        facts.seconds.iter().for_each(|x| add(u64::from(x.map_or(u32::MAX, f32::to_bits))));
    }
    if let Some(start) = training.start {
        add(start.since as u64);
        start.videos.iter().for_each(|video| add(video.map_or(u64::MAX, u64::from)));
        // By name: a map has no order of its own.
        let mut names: Vec<&String> = start.parameters.keys().collect();
        names.sort_unstable();
        for name in names {
            start.parameters[name].values().iter().for_each(|value| add(u64::from(value.to_bits())));
        }
    }
    all
}

/// Puts values into an order that the source of chance decides.
pub(crate) fn shuffle<T>(values: &mut [T], random: &mut Random) {
    (1..values.len()).rev().for_each(|at| values.swap(at, random.below(at + 1)));
}

/// At most so many of the places that may be asked, drawn anew; 0 takes all.
pub(crate) fn some_places<T>(mut places: Vec<T>, most: usize, random: &mut Random) -> Vec<T> {
    if most > 0 && places.len() > most {
        shuffle(&mut places, random);
        places.truncate(most);
    }
    places
}

/// The examples of a step.
pub(crate) fn batch<T>(examples: &[T], step: usize, size: usize) -> &[T] {
    &examples[step * size..examples.len().min((step + 1) * size)]
}

/// Holds the gradients of a step against small differences, at every `each`-th number of each parameter.
#[cfg(test)]
pub(crate) fn assert_gradients_of_step<T: Task>(
    task: &T,
    epoch: &T::Epoch,
    parameters: &mut Parameters,
    (n_shards, each, tolerance): (usize, usize, f64),
) {
    let seed = 9;
    let loss = |parameters: &Parameters| {
        task.step(parameters, epoch, 0, seed, &mut Shards::new(parameters, n_shards)).0
    };
    let mut shards = Shards::new(parameters, n_shards);
    let mut gradients = task.step(parameters, epoch, 0, seed, &mut shards).1.clone();
    for id in parameters.ids() {
        let n_columns = parameters.get(id).n_columns();
        for at in (0..parameters.get(id).values().len()).step_by(each) {
            let analytic = gradients.row(id, (at / n_columns) as u32)[at % n_columns];
            let before = parameters.get(id).values()[at];
            let mut at_step = |step: f32| {
                parameters.get_mut(id).values_mut()[at] = before + step;
                loss(parameters)
            };
            let numeric = (at_step(5e-4) - at_step(-5e-4)) / 1e-3;
            parameters.get_mut(id).values_mut()[at] = before;
            let error = (f64::from(analytic) - numeric).abs();
            let name = parameters.name(id);
            assert!(error < tolerance * (1.0 + numeric.abs()), "{name} {at}: {analytic} is not {numeric}");
        }
    }
}

#[cfg(test)]
mod tests;
