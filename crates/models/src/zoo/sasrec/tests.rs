use std::ops::Range;

use upnext_data::{Actions, Interaction, Interactions};
use upnext_math::Sparse;
use upnext_nn::Gradients;
use upnext_nn::layer::Wiring;
use upnext_nn::loss::Table;

use super::lesson::{Others, Part, batches};
use super::*;
use crate::checkpoint;
use crate::train::{Augmentation, Loop};

const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;

const SHAPE: Shape =
    Shape { dimension: 8, n_blocks: 2, n_heads: 2, length: 6, filter: (0.0, 0), wiring: Wiring::PreNorm };

fn small(n_videos: usize, settings: &Settings) -> (Parameters, Network) {
    let mut parameters = Parameters::new();
    let shape = Shape { filter: (settings.filter, 2), wiring: settings.wiring, ..SHAPE };
    let kind = if settings.negatives == 0 { Kind::Dense } else { Kind::Rows };
    let network =
        Network::new(&mut parameters, shape, (n_videos, kind, settings.dropout), &mut Random::new(3));
    (parameters, network)
}

fn untimed(videos: &[u32]) -> Watched<'_> {
    Watched { videos, times: &[] }
}

/// Positives, each with its time.
fn timed(events: impl IntoIterator<Item = (u32, i64)>) -> History {
    History::new(events.into_iter().map(|(video, time)| Past {
        video,
        time,
        value: None,
        judgement: Judgement::Positive,
        actions: Actions::default(),
    }))
}

#[test]
fn the_gradient_of_the_whole_network_is_that_of_small_differences() {
    let interactions = upnext_data::Interactions::from_users(7, Vec::new());
    let training = Training::of(&interactions, upnext_data::Order::Sequence, 1);
    let plain = Settings::default();
    let filtered = Settings { prefixes: true, filter: 0.7, ..Settings::default() };
    let sampled = Settings { negatives: 4, ..Settings::default() };
    let steady = Settings { dropout: 0.0, ..Settings::default() };
    let after = Settings { wiring: Wiring::PostNorm, ..filtered.clone() };
    let gated = Settings { wiring: Wiring::Gated, ..sampled.clone() };
    let pointwise = Settings::pointwise();
    let asked_at_the_end = Settings { prefixes: true, ..Settings::pointwise() };
    for settings in [plain, steady, filtered, sampled, after, gated, pointwise, asked_at_the_end] {
        let (mut parameters, network) = small(7, &settings);
        // Vectors that a small step hardly turns.
        for name in ["videos", "places", "start"] {
            let id = parameters.find(name).or(parameters.find(&format!("{name}.weight"))).unwrap();
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= 25.0);
        }
        let mut histories = [&[0, 1, 2, 3][..], &[5], &[6, 6, 1]].map(untimed);
        if settings.wiring == Wiring::Pointwise {
            let times: [&[i64]; 3] =
                [&[DAY, DAY + MINUTE, 2 * DAY, 99 * DAY], &[7], &[DAY, DAY, DAY + MINUTE]];
            histories.iter_mut().zip(times).for_each(|(history, times)| history.times = times);
        }
        let lesson = Lesson {
            name: "sasrec",
            network: &network,
            settings: &settings,
            training: &training,
            terms: None,
            histories: vec![],
        };
        let negatives = [0, 3, 4, 1];
        // The same seed leaves out the same numbers each time.
        let loss = |parameters: &Parameters, gradients: &mut Gradients| {
            let table = Table::new(parameters.get(network.videos.table), parameters.precision());
            let others = if settings.negatives == 0 { Others::All(&table) } else { Others::Some(&negatives) };
            let part = Part { histories: &histories, n_targets: 8, others };
            lesson.learn(parameters, &part, &mut Random::new(5), gradients)
        };
        let mut gradients = Gradients::zeros(&parameters);
        let whole = loss(&parameters, &mut gradients);
        if settings.dropout == 0.0 {
            let table = Table::new(parameters.get(network.videos.table), parameters.precision());
            let part = Part { histories: &histories, n_targets: 8, others: Others::All(&table) };
            let mut apart = Gradients::zeros(&parameters);
            let sum = lesson.learn_by_few(1, &parameters, part, &mut Random::new(5), &mut apart);
            assert!((sum - whole).abs() < 1e-5, "one history at a time: {sum}, all at once: {whole}");
            assert!((apart.norm() - gradients.norm()).abs() < 1e-4 * gradients.norm());
        }
        for id in parameters.ids() {
            let n_columns = parameters.get(id).n_columns();
            for at in (0..parameters.get(id).values().len()).step_by(13) {
                let analytic = gradients.row(id, (at / n_columns) as u32)[at % n_columns];
                let before = parameters.get(id).values()[at];
                let mut at_step = |step: f32| {
                    parameters.get_mut(id).values_mut()[at] = before + step;
                    loss(&parameters, &mut Gradients::zeros(&parameters))
                };
                let numeric = (at_step(4e-3) - at_step(-4e-3)) / 8e-3;
                parameters.get_mut(id).values_mut()[at] = before;
                let error = (f64::from(analytic) - numeric).abs();
                let name = parameters.name(id);
                assert!(error < 2e-3 * (1.0 + numeric.abs()), "{name} {at}: {analytic} is not {numeric}");
            }
        }
    }
}

#[test]
fn vectors_of_terms_have_the_gradients_of_small_differences() {
    let interactions = upnext_data::Interactions::from_users(7, Vec::new());
    let training = Training::of(&interactions, upnext_data::Order::Sequence, 1);
    let settings = Settings { content: true, dropout: 0.0, ..Settings::default() };
    let (mut parameters, network) = small(7, &settings);
    let rows = (0..7).map(|video| vec![(video % 3, 0.8), (3 + video % 2, 0.6)]);
    let terms = Terms::new(&mut parameters, Sparse::from_rows(5, rows), 0.5, &mut Random::new(4));
    for name in ["videos", "places.weight", "start"] {
        if let Some(id) = parameters.find(name) {
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= 25.0);
        }
    }
    let histories = [&[0, 1, 2, 3][..], &[5], &[6, 6, 1]].map(untimed);
    let (name, terms) = ("sasrec", Some(terms));
    let lesson = Lesson {
        name,
        network: &network,
        settings: &settings,
        training: &training,
        terms,
        histories: vec![],
    };
    let epoch = vec![histories.to_vec()];
    train::assert_gradients_of_step(&&lesson, &epoch, &mut parameters, (2, 13, 4e-3));
}

#[test]
fn a_batch_is_its_single_histories_and_old_videos_beyond_the_length_are_not_read() {
    let filtered = Settings { filter: 0.5, ..Settings::default() };
    for settings in [Settings::default(), filtered, Settings::pointwise()] {
        let (mut parameters, network) = small(20, &settings);
        // Biases are zero at first, and would hide what they are told.
        for at in 0..2 {
            if let Some(id) = parameters.find(&format!("block.{at}.times.weight")) {
                let random = &mut Random::new(at);
                parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x = random.normal());
            }
        }
        let model = Sasrec { name: "sasrec", network, parameters };
        let videos = |range: Range<u32>| timed(range.map(|video| (video, DAY + i64::from(video) * MINUTE)));
        let (long, cut, short, none) = (videos(0..12), videos(6..12), videos(4..5), History::default());
        let asked = |history| (history, Context { now: Some(9 * DAY), ..Context::default() });
        let together = model.questions(&[&long, &short, &none, &cut].map(asked));
        for (at, history) in [&long, &short, &none, &cut].into_iter().enumerate() {
            let alone = model.questions(&[asked(history)]);
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(alone.values().iter().zip(together.row(at)).all(close), "history {at}");
        }
        assert_eq!(together.row(0), together.row(3));
    }
}

#[test]
fn of_a_longer_history_the_newest_part_is_learnt_from_or_any_where_that_is_asked_for() {
    let interactions = upnext_data::Interactions::from_users(20, Vec::new());
    let training = Training::of(&interactions, upnext_data::Order::Sequence, 1);
    let any_part = Augmentation { window: 1.0, ..Augmentation::default() };
    let examples_of = |settings: &Settings, n_epochs: u64| -> Vec<Vec<u32>> {
        let (_, network) = small(20, settings);
        let kept = |videos: Range<u32>| Kept { videos: videos.collect(), times: vec![], n_known: 0 };
        let histories = vec![kept(0..20), kept(0..3)];
        let (name, training) = ("sasrec", &training);
        let lesson = Lesson { name, network: &network, settings, training, terms: None, histories };
        let epochs = (0..n_epochs).flat_map(|seed| lesson.examples(&mut Random::new(seed)));
        epochs.map(|example| example.videos.to_vec()).collect()
    };
    let part = |videos: Range<u32>| videos.collect::<Vec<u32>>();
    // Six places and a start ask for seven videos.
    assert_eq!(examples_of(&Settings::default(), 1), [part(13..20), part(0..3)]);
    let settings = Settings { augment: any_part, ..Settings::default() };
    let any = examples_of(&settings, 200);
    assert!((0..14).all(|first| any.contains(&part(first..first + 7))), "{any:?}");
    assert!(any.iter().all(|example| example.len() == 7 || *example == part(0..3)));
}

#[test]
fn every_history_is_in_one_batch_and_the_seed_decides_the_order() {
    let histories: Vec<Vec<u32>> = (0..300).map(|user| (0..1 + user % 60).collect()).collect();
    let slices = || histories.iter().map(|history| untimed(history)).collect::<Vec<_>>();
    let of = |seed| batches(slices(), 32, &mut Random::new(seed));
    assert_eq!(of(1).iter().map(Vec::len).sum::<usize>(), 300);
    assert!(of(1) == of(1) && of(1) != of(2));
    let spread = |batch: &Vec<Watched>| batch[batch.len() - 1].len() - batch[0].len();
    assert!(of(1).iter().all(|batch| spread(batch) <= 10), "batches are of like length");
}

/// What somebody watched of twelve videos, none twice: after minutes an even one comes next, after days an odd one.
fn after_minutes_or_days(n: usize, random: &mut Random) -> Vec<(u32, i64)> {
    let mut watched = vec![(random.below(12) as u32, 20_000 * DAY)];
    while let (true, Some(&(_, time))) = (watched.len() < n, watched.last()) {
        let parity = random.below(2) as u32;
        let gap = [MINUTE, DAY][parity as usize] * (1 + random.below(9) as i64);
        let video = 2 * random.below(6) as u32 + parity;
        if watched.iter().all(|&(seen, _)| seen != video) {
            watched.push((video, time + gap));
        }
    }
    watched
}

/// Many of these, as a log.
fn log() -> Interactions {
    let random = &mut Random::new(1);
    let interaction = |(video, time)| Interaction {
        video,
        time,
        value: None,
        judgement: Judgement::Positive,
        actions: Actions::default(),
    };
    let user = |_| after_minutes_or_days(6, random).into_iter().map(interaction).collect();
    Interactions::from_users(12, (0..400).map(user).collect())
}

/// A small network of a wiring, after so many epochs on a log.
fn fitted(name: &'static str, wiring: Wiring, order: Order, n_epochs: u32) -> Sasrec {
    let learn = Loop { rate: 5e-3, batch: 32, average: 0.9, ..Settings::pointwise().learn };
    let settings =
        Settings { dimension: 16, n_blocks: 1, dropout: 0.0, wiring, learn, ..Settings::pointwise() };
    let log = log();
    Sasrec::fit(name, &settings, &Training::of(&log, order, 1), Some(n_epochs)).unwrap().0
}

fn scores_at(model: &dyn Recommender, history: &History, now: i64) -> Vec<f32> {
    let mut scores = vec![0.0; model.n_videos()];
    model.score_all(history, &Context { now: Some(now), ..Context::default() }, &mut scores);
    scores
}

#[test]
fn what_depends_on_how_long_ago_the_last_event_was_is_learnt_from_times_alone() {
    let share_right = |model: &Sasrec| {
        let random = &mut Random::new(2);
        let mut n_right = 0;
        for _ in 0..100 {
            let watched = after_minutes_or_days(5, random);
            let newest = watched[4].1;
            let history = timed(watched);
            for (parity, now) in [(0, newest + 5 * MINUTE), (1, newest + 5 * DAY)] {
                let scores = scores_at(model, &history, now);
                let unseen = (0..12).filter(|video| !history.positives().contains(video));
                let best = unseen.max_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]));
                n_right += u32::from(best.is_some_and(|video| video % 2 == parity));
            }
        }
        f64::from(n_right) / 200.0
    };
    let (hstu, sasrec) = (
        fitted("hstu", Wiring::Pointwise, Order::Timed, 20),
        fitted("sasrec", Wiring::PreNorm, Order::Timed, 20),
    );
    assert!(share_right(&hstu) > 0.95, "{}", share_right(&hstu));
    assert_eq!(share_right(&sasrec), 0.5, "what is not told of time answers the same at any");
    // Nobody says when: it is asked just after the newest event.
    let (history, mut scores) = (timed([(3, 20_000 * DAY), (4, 20_001 * DAY)]), vec![0.0; 12]);
    hstu.score_all(&history, &Context::default(), &mut scores);
    assert_eq!(scores, scores_at(&hstu, &history, 20_001 * DAY));
    let loaded = checkpoint::load(&checkpoint::save(&[&hstu]).unwrap()).unwrap().remove(0);
    assert_eq!(loaded.name(), "hstu");
    for now in [20_001 * DAY + MINUTE, 20_009 * DAY] {
        assert_eq!(scores_at(&hstu, &history, now), scores_at(loaded.as_ref(), &history, now));
    }
}

#[test]
fn gated_and_pointwise_blocks_have_no_filter() {
    for (settings, is_fine) in
        [(Settings::default(), true), (Settings::gated(), false), (Settings::pointwise(), false)]
    {
        assert!(settings.check("a").is_ok());
        let filtered = Settings { filter: 0.5, prefixes: true, ..settings };
        assert_eq!(filtered.check("a").is_ok(), is_fine);
    }
}

#[test]
fn learnt_from_an_order_without_times_it_answers_the_same_at_any_time() {
    let model = fitted("hstu", Wiring::Pointwise, Order::Sequence, 1);
    let history = timed([(3, 20_000 * DAY), (4, 20_001 * DAY)]);
    assert_eq!(scores_at(&model, &history, 20_001 * DAY), scores_at(&model, &history, 20_099 * DAY));
    assert_eq!(scores_at(&model, &history, 20_001 * DAY), {
        let mut scores = vec![0.0; 12];
        model.score_all(&History::of_positives(&[3, 4]), &Context::default(), &mut scores);
        scores
    });
}
