use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;

use upnext_math::Matrix;
use upnext_nn::loss::Regression;
use upnext_nn::{Id, Kind};

use super::*;
use upnext_data::{Interactions, Order};

/// Fits a line through points, one batch a point; judged by how near the slope is to 3.
struct Line {
    slope: Id,
    judged: bool,
}

fn line() -> (Parameters, Line) {
    let mut parameters = Parameters::new();
    let slope = parameters.add("slope", Kind::Dense, Matrix::zeros(1, 1));
    (parameters, Line { slope, judged: true })
}

impl Task for Line {
    type Epoch = Vec<f32>;

    fn name(&self) -> &'static str {
        "line"
    }

    fn epoch(&self, seed: u64) -> (Vec<f32>, usize) {
        let mut points = vec![1.0, 2.0, 3.0, 4.0];
        shuffle(&mut points, &mut Random::new(seed));
        (points, 4)
    }

    fn step<'a>(
        &self,
        parameters: &Parameters,
        epoch: &Vec<f32>,
        step: usize,
        seed: u64,
        shards: &'a mut Shards,
    ) -> (f64, &'a mut Gradients) {
        let (x, slope) = (epoch[step], parameters.get(self.slope).values()[0]);
        let noise = 0.1 * Random::new(seed).normal();
        shards.step(1, |_, part, gradients| {
            if part.is_empty() {
                return 0.0;
            }
            let (loss, of) = Regression::Square.of(slope * x, 3.0 * x + noise);
            gradients.dense(self.slope).values_mut()[0] += of * x;
            f64::from(loss)
        })
    }

    fn is_judged(&self) -> bool {
        self.judged
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        self.judged.then(|| f64::from(-(parameters.get(self.slope).values()[0] - 3.0).abs()))
    }
}

/// Keeps in memory, stops after so many steps, and writes down what it was told.
#[derive(Default)]
struct Memory {
    files: Mutex<HashMap<Which, Vec<u8>>>,
    stop_after: Mutex<Option<usize>>,
    told: Mutex<Vec<Epoch>>,
}

impl Watch for Memory {
    fn kept(&self, _: &str, which: Which) -> Option<Vec<u8>> {
        self.files.lock().unwrap().get(&which).cloned()
    }

    fn keep(&self, _: &str, which: Which, file: &dyn Fn() -> Vec<u8>) {
        self.files.lock().unwrap().insert(which, file());
    }

    fn step(&self, _: &Step) -> Wish {
        let mut left = self.stop_after.lock().unwrap();
        match left.as_mut() {
            Some(0 | 1) => Wish::Stop,
            Some(left) => {
                *left -= 1;
                Wish::GoOn
            }
            None => Wish::GoOn,
        }
    }

    fn epoch(&self, epoch: &Epoch) {
        self.told.lock().unwrap().push(epoch.clone());
    }
}

/// One question, so that there is a validation part; the line does not look at it.
fn question() -> upnext_data::Query {
    let history = upnext_data::History::default();
    upnext_data::Query { user: 0, history, masked: vec![], relevant: vec![0], at: None }
}

fn settings() -> Loop {
    Loop { rate: 0.3, epochs_max: 30, patience: 3, slower_after: 2, ..Loop::default() }
}

fn learn_line(watch: &Memory, n_epochs: Option<u32>, fingerprint: u64) -> Result<Learnt, FitError> {
    let interactions = Interactions::from_users(1, Vec::new());
    let validation = [question()];
    let training =
        Training { validation: &validation, watch, ..Training::of(&interactions, Order::Sequence, 1) };
    let (parameters, line) = line();
    learn(&line, parameters, &settings(), &training, (n_epochs, fingerprint))
}

/// A clock that a step moves on by a second.
struct Ticking(Memory, Mutex<f64>);

impl Watch for Ticking {
    fn keep(&self, model: &str, which: Which, file: &dyn Fn() -> Vec<u8>) {
        self.0.keep(model, which, file);
    }

    fn step(&self, _: &Step) -> Wish {
        *self.1.lock().unwrap() += 1.0;
        Wish::GoOn
    }

    fn epoch(&self, epoch: &Epoch) {
        self.0.epoch(epoch);
    }

    fn seconds(&self) -> f64 {
        *self.1.lock().unwrap()
    }
}

#[test]
fn when_the_time_is_over_the_best_epoch_so_far_is_the_result_and_without_one_there_is_none() {
    let interactions = Interactions::from_users(1, Vec::new());
    let validation = [question()];
    let learn_for = |seconds: f64| {
        let clock = Ticking(Memory::default(), Mutex::new(0.0));
        let watch = Until { watch: &clock, seconds, name: "line".into() };
        let training = Training {
            validation: &validation,
            watch: &watch,
            ..Training::of(&interactions, Order::Sequence, 1)
        };
        let (parameters, line) = line();
        let learnt = learn(&line, parameters, &settings(), &training, (None, 1));
        (learnt, clock.0.told.into_inner().unwrap())
    };
    let (at_once, told) = learn_for(0.5);
    assert!(told.is_empty() && matches!(at_once, Err(FitError::NoTime { .. })), "{told:?}");
    let (_, whole) = learn_for(f64::INFINITY);
    let (some, told) = learn_for(whole[2].steps as f64 + 0.5);
    assert_eq!(told, whole[..3], "the fourth epoch was cut off");
    let best = told.iter().rfind(|epoch| epoch.best).unwrap();
    let some = some.unwrap();
    assert_eq!((some.epochs, some.score), (best.epoch, best.validation));
}

fn slope(learnt: &Learnt) -> u32 {
    learnt.parameters.get(learnt.parameters.find("slope").unwrap()).values()[0].to_bits()
}

#[test]
fn the_best_epoch_is_returned_and_training_ends_after_the_patience() {
    let watch = Memory::default();
    let learnt = learn_line(&watch, None, 1).unwrap();
    let told = watch.told.lock().unwrap();
    let best = told.iter().rfind(|epoch| epoch.best).unwrap();
    assert_eq!((best.epoch, best.validation), (learnt.epochs, learnt.score));
    assert!(
        told.len() < 30 && told.len() == (learnt.epochs + 3) as usize,
        "three epochs without a better one"
    );
    assert!(told.last().unwrap().rate < told[0].rate && told.last().unwrap().loss < told[0].loss);
    assert!((f32::from_bits(slope(&learnt)) - 3.0).abs() < 0.1);
    // What was kept as the best is what was returned: nothing is left to do.
    assert_eq!(slope(&learn_line(&watch, None, 1).unwrap()), slope(&learnt));
}

#[test]
fn a_training_that_was_stopped_anywhere_goes_on_bit_for_bit() {
    let whole = Memory::default();
    let expected = learn_line(&whole, None, 1).unwrap();
    let whole = whole.told.into_inner().unwrap();
    for every in [1, 3, 5, 11] {
        let parts = Memory::default();
        let mut stops = 0;
        let found = loop {
            *parts.stop_after.lock().unwrap() = Some(every + 1);
            match learn_line(&parts, None, 1) {
                Ok(learnt) => break learnt,
                Err(FitError::Stopped { .. }) => stops += 1,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(stops > 1, "stopped {stops} times");
        assert_eq!(
            (slope(&found), found.epochs, found.score.map(f64::to_bits)),
            (slope(&expected), expected.epochs, expected.score.map(f64::to_bits)),
            "every {every} steps"
        );
        assert_eq!(parts.told.into_inner().unwrap(), whole);
    }
}

#[test]
fn other_settings_start_over_and_a_broken_checkpoint_says_which_and_what() {
    let watch = Memory::default();
    *watch.stop_after.lock().unwrap() = Some(6);
    learn_line(&watch, None, 1).err().unwrap();
    *watch.stop_after.lock().unwrap() = None;
    let of_other = watch.told.lock().unwrap().len();
    learn_line(&watch, None, 2).unwrap();
    assert_eq!(watch.told.lock().unwrap()[of_other].epoch, 1, "from the start");

    let last = watch.files.lock().unwrap()[&Which::Last].clone();
    for cut in [0, 8, last.len() / 2, last.len() - 1] {
        watch.files.lock().unwrap().insert(Which::Last, last[..cut].to_vec());
        let error = learn_line(&watch, None, 2).err().unwrap().to_string();
        assert!(error.contains("`last` is not a whole checkpoint") && error.contains("--fresh"), "{error}");
    }
    // Of another network, under the same name.
    let mut parameters = Parameters::new();
    parameters.add("slope", Kind::Dense, Matrix::zeros(2, 2));
    let other = State::new(parameters, optimiser::Settings::default(), 0.0, Plateau::new(0.5, 1, 1));
    let fingerprint = mix(2 ^ mix(1));
    watch.files.lock().unwrap().insert(Which::Last, other.last(fingerprint));
    let error = learn_line(&watch, None, 2).err().unwrap().to_string();
    assert!(error.contains("array `parameters.slope`"), "{error}");
}

#[test]
fn a_number_of_epochs_is_kept_to_and_nothing_is_judged() {
    let watch = Memory::default();
    let learnt = learn_line(&watch, Some(7), 1).unwrap();
    assert_eq!((learnt.epochs, learnt.score), (7, None));
    assert!(watch.told.lock().unwrap().iter().all(|epoch| epoch.validation.is_none()));
}

#[test]
fn more_epochs_go_on_and_fewer_start_over() {
    let watch = Memory::default();
    learn_line(&watch, Some(4), 1).unwrap();
    let longer = learn_line(&watch, Some(7), 1).unwrap();
    let epochs: Vec<u32> = watch.told.lock().unwrap().iter().map(|epoch| epoch.epoch).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(slope(&longer), slope(&learn_line(&Memory::default(), Some(7), 1).unwrap()));
    assert_eq!(learn_line(&watch, Some(2), 1).unwrap().epochs, 2);
}

#[test]
fn a_loss_that_is_not_finite_names_the_step_and_the_parameter() {
    struct Broken(Line, RefCell<u32>);
    impl Task for Broken {
        type Epoch = Vec<f32>;
        fn name(&self) -> &'static str {
            "broken"
        }
        fn epoch(&self, seed: u64) -> (Vec<f32>, usize) {
            self.0.epoch(seed)
        }
        fn step<'a>(
            &self,
            parameters: &Parameters,
            epoch: &Vec<f32>,
            step: usize,
            seed: u64,
            shards: &'a mut Shards,
        ) -> (f64, &'a mut Gradients) {
            *self.1.borrow_mut() += 1;
            let is_bad = *self.1.borrow() == 7;
            let (loss, gradients) = self.0.step(parameters, epoch, step, seed, shards);
            if is_bad {
                gradients.dense(self.0.slope).values_mut()[0] = f32::NAN;
            }
            (loss, gradients)
        }
        fn is_judged(&self) -> bool {
            true
        }
        fn judge(&self, parameters: &Parameters) -> Option<f64> {
            self.0.judge(parameters)
        }
    }
    let interactions = Interactions::from_users(1, Vec::new());
    let training = Training::of(&interactions, Order::Sequence, 1);
    let (parameters, line) = line();
    let task = Broken(line, RefCell::new(0));
    let error = learn(&task, parameters, &settings(), &training, (None, 1)).err().unwrap().to_string();
    assert!(error.contains("epoch 1, step 2") && error.contains("slope"), "{error}");
}

/// Tells how exactly it is asked to multiply.
struct Asked {
    line: Line,
    in_steps: Mutex<Vec<Precision>>,
    in_judging: Mutex<Vec<Precision>>,
}

impl Task for Asked {
    type Epoch = Vec<f32>;

    fn name(&self) -> &'static str {
        "line"
    }

    fn epoch(&self, seed: u64) -> (Vec<f32>, usize) {
        self.line.epoch(seed)
    }

    fn step<'a>(
        &self,
        parameters: &Parameters,
        epoch: &Vec<f32>,
        step: usize,
        seed: u64,
        shards: &'a mut Shards,
    ) -> (f64, &'a mut Gradients) {
        self.in_steps.lock().unwrap().push(parameters.precision());
        self.line.step(parameters, epoch, step, seed, shards)
    }

    fn is_judged(&self) -> bool {
        true
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        self.in_judging.lock().unwrap().push(parameters.precision());
        self.line.judge(parameters)
    }
}

#[test]
fn steps_multiply_as_exactly_as_asked_and_what_is_judged_and_kept_exactly() {
    let (parameters, line) = line();
    let task = Asked { line, in_steps: Mutex::default(), in_judging: Mutex::default() };
    let interactions = Interactions::from_users(1, Vec::new());
    let training = Training::of(&interactions, Order::Sequence, 1);
    let settings = Loop { precision: Precision::Bf16, epochs_max: 2, ..Loop::default() };
    let learnt = learn(&task, parameters, &settings, &training, (None, 1)).unwrap();
    assert_eq!(task.in_steps.into_inner().unwrap(), [Precision::Bf16; 8]);
    assert_eq!(task.in_judging.into_inner().unwrap(), [Precision::F32; 2]);
    assert_eq!(learnt.parameters.precision(), Precision::F32);
}
