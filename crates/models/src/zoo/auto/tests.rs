use upnext_data::Order;

use super::recipe::{FORMS, Form};
use super::*;
use crate::zoo::ranker::tests as data;

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
    let gated = traits(Order::Timed, 96).networks(&settings).unwrap()[1].settings(&given).esasrec;
    assert!(gated.negatives == 0 && gated.length == 200 && gated.check("esasrec").is_ok());
    assert_eq!(first(Order::Unordered, 96).kind(), Kind::LightGcn);
    let wide =
        Traits { n_videos: 100_000, n_wanted: 1_000_000, has_content: true, ..traits(Order::Sequence, 6) };
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

fn scores(model: &dyn Recommender) -> Vec<f32> {
    let mut scores = vec![0.0; data::N as usize];
    let history = upnext_data::History::of_positives(&[3, 5, 7]);
    model.score_all(&history, &crate::Context::default(), &mut scores);
    scores
}

#[test]
fn of_too_many_parts_those_go_that_are_missed_least() {
    let (left, validation) = data::questions();
    let candidates: Vec<u32> = (0..data::N).collect();
    let training =
        Training { validation: &validation, candidates: &candidates, ..Training::of(&left, Order::Timed, 1) };
    let mut zoo = Zoo::new(training);
    let kinds = [Kind::Popular, Kind::Markov1, Kind::Popular, Kind::DirectedCosine];
    let models = kinds.map(|kind| zoo.fit(kind, &[]).unwrap().model);
    let models: Vec<&dyn Recommender> = models.iter().map(|model| model.as_ref()).collect();
    let pool = zoo.pool(&models);
    let all = pool.choice(vec![0.1, 1.0, 0.1, 1.0]);
    assert_eq!(of_few(&pool, all.clone(), 4), all, "no more than may be");
    let best =
        (0..4).map(|only| pool.choice((0..4).map(|at| f32::from(u8::from(at == only))).collect()).score());
    let best = best.fold(0.0, f64::max);
    for parts_max in (1..4).rev() {
        let kept = of_few(&pool, all.clone(), parts_max);
        let n_parts = kept.weights.iter().filter(|&&weight| weight > 0.0).count();
        assert!(n_parts >= 1 && n_parts <= parts_max, "{:?}", kept.weights);
        assert!(kept.score() >= best - 1e-9, "{kept:?} is worse than one part alone, {best}");
    }
}

#[test]
fn a_second_stage_that_was_chosen_scores_the_same_when_it_is_made_again() {
    let (left, validation) = data::questions();
    let candidates: Vec<u32> = (0..data::N).collect();
    let training = Training {
        validation: &validation,
        candidates: &candidates,
        settings: data::settings(Kind::Popular),
        ..Training::of(&left, Order::Timed, 1)
    };
    let mut zoo = Zoo::new(training.clone());
    // Popularity alone does not know what the order over it learns.
    let mut tried: Vec<Tried> = [Kind::Popular, Kind::VideoMean]
        .map(|kind| {
            let model = zoo.fit(kind, &[]).unwrap().model;
            Tried { kind, network: None, twin: None, start: 1.0, model }
        })
        .into();
    let models: Vec<&dyn Recommender> = tried.iter().map(|one| one.model.as_ref()).collect();
    let pool = zoo.pool(&models);
    let plain = pool.choice(vec![1.0, 0.0]);
    let held = HeldOut::new(&zoo.training, &zoo.training.settings.ranker);
    let second = zoo.second_stage(&tried, &pool, &plain, (&held, f64::INFINITY)).unwrap();
    assert!(second.how.contains("its order beats that of blend"), "{}", second.how);
    assert_eq!(second.of_stage, [1.0, 0.0], "what has no weight is not under it");
    tried.push(Tried { kind: Kind::Ranker, network: None, twin: None, start: 1.0, model: second.model });
    let models: Vec<&dyn Recommender> = tried.iter().map(|one| one.model.as_ref()).collect();
    let pool = zoo.pool(&models);
    let stage = Some((&second.of_stage[..], second.learnt));
    let first = zoo.chosen(&tried, &pool, &[0.0, 0.0, 1.0], stage);
    let chosen = Chosen::of_numbers(&zoo.choices[&Kind::Auto]).unwrap();
    assert_eq!(chosen.parts.len(), 1);
    let again = Zoo::with_choices(training, zoo.choices.clone()).fit(Kind::Auto, &[]).unwrap();
    assert!(again.note.contains("chosen before"), "{}", again.note);
    let (first, again) = (scores(first.as_ref()), scores(again.model.as_ref()));
    assert!(first.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-4), "{first:?} {again:?}");
}

#[test]
fn a_twin_knows_what_is_left_and_one_that_was_cut_off_is_none() {
    let (left, validation) = data::questions();
    let mut settings = (*data::settings(Kind::ClosedBlend)).clone();
    settings.sasrec.dimension = 4;
    settings.sasrec.learn.epochs_max = 4;
    settings.sasrec.learn.batch = 16;
    let training = Training {
        validation: &validation,
        settings: Arc::new(settings),
        ..Training::of(&left, Order::Timed, 1)
    };
    let zoo = Zoo::new(training);
    let held = HeldOut::new(&zoo.training, &zoo.training.settings.ranker);
    let recipe = Recipe { form: Form::Long, length: 50, content: false, is_sampled: false };
    let (one, lacking) = zoo.with_twin(recipe, &held, f64::INFINITY).unwrap();
    assert!(lacking.is_none() && one.is_in_stage());
    let twin = one.twin.unwrap();
    assert_ne!(scores(one.model.as_ref()), scores(twin.as_ref()), "they learnt from other logs");
    // One look before the training, one after each of four steps of four epochs; then the time is over.
    let watch = Clock { looks: 17.into() };
    let zoo = Zoo::new(Training { watch: &watch, ..zoo.training.clone() });
    let (one, lacking) = zoo.with_twin(recipe, &held, 1_000.0).unwrap();
    assert!(!one.is_in_stage());
    assert_eq!(lacking.as_deref(), Some("no time left"));
}

/// A clock that stands still for so many looks, and then is far ahead.
struct Clock {
    looks: std::sync::atomic::AtomicUsize,
}

impl crate::train::Watch for Clock {
    fn seconds(&self) -> f64 {
        let fewer = |looks: usize| looks.checked_sub(1);
        let order = std::sync::atomic::Ordering::Relaxed;
        self.looks.fetch_update(order, order, fewer).map_or(f64::MAX, |_| 0.0)
    }
}
