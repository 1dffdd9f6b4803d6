use upnext_data::{Actions, Interactions, Judgement, Order, Past};

use super::lesson::Window;
use super::*;
use crate::train::{Task, assert_gradients_of_step};
use upnext_nn::Shards;

fn event(video: u32) -> Event {
    let judgement = if video == 4 { Judgement::Negative } else { Judgement::Positive };
    Event::of(video, judgement, Some(0.5))
}

fn settings(updater: Updater) -> Settings {
    Settings {
        updater,
        hidden: 4,
        n_heads: 2,
        n_blocks: 1,
        favourites: 2,
        temperature: 0.5,
        negatives: 5,
        ..Settings::default()
    }
}

/// Seven videos of three numbers, and what users did with them.
fn world(order: &[&[u32]]) -> Interactions {
    let row = |(at, &video): (usize, &u32)| Interaction {
        video,
        time: at as i64,
        value: Some(0.5),
        judgement: Judgement::Positive,
        actions: Actions::default(),
    };
    let users = order.iter().map(|videos| videos.iter().enumerate().map(row).collect());
    Interactions::from_users(7, users.collect())
}

fn vectors(n: usize, d: usize) -> Matrix {
    Matrix::from_rows(n, d, (0..n * d).map(|at| (at as f32 * 1.3).sin()).collect())
}

/// Numbers that start at zero would hide what lies behind them.
fn shake(parameters: &mut Parameters) {
    let mut random = Random::new(8);
    for id in parameters.ids() {
        let values = parameters.get_mut(id).values_mut();
        values.iter_mut().for_each(|x| *x += 0.3 * random.normal());
    }
}

#[test]
fn the_gradient_of_an_updater_is_that_of_small_differences_through_all_steps() {
    let interactions = world(&[]);
    let training = Training::of(&interactions, Order::Sequence, 1);
    let videos = normalise(&vectors(7, 3));
    let histories = || {
        let histories: [&[u32]; 3] = [&[0, 1, 2, 3, 4, 5, 6], &[5, 4, 3, 2, 0], &[1, 2]];
        histories.map(|videos| videos.iter().map(|&video| event(video)).collect()).into()
    };
    for updater in [Updater::Residual, Updater::Transformer] {
        let settings = settings(updater);
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, &settings, 3, &mut Random::new(2));
        shake(&mut parameters);
        let (network, popularity) = (&network, &[0.0, 0.5, 1.0, 0.2, 0.1, 0.0, 2.0]);
        let space = Space::Fixed(&videos);
        let lesson = &Lesson {
            settings: &settings,
            training: &training,
            network,
            space,
            popularity,
            histories: histories(),
        };
        // One window begins after favourites and one more wanted video, which the slow point alone has seen.
        let windows = vec![
            Window { user: 0, from: 3, to: 7 },
            Window { user: 1, from: 3, to: 5 },
            Window { user: 0, from: 2, to: 4 },
        ];
        assert!(lesson.step(&parameters, &windows, 0, 9, &mut Shards::new(&parameters, 2)).0 > 0.0);
        assert_gradients_of_step(&lesson, &windows, &mut parameters, (2, 1, 2e-3));
    }
}

#[test]
fn the_gradient_of_fusion_profile_and_ranker_together_is_that_of_small_differences() {
    let interactions = world(&[&[0, 1, 2, 3, 5], &[6, 5, 3, 2, 0, 1]]);
    let facts = crate::Facts {
        vectors: vec![crate::Modality {
            name: "image".into(),
            matrix: vectors(7, 4),
            present: vec![true; 7],
        }],
        ..crate::Facts::default()
    };
    let training =
        Training { facts: Some(Arc::new(facts)), ..Training::of(&interactions, Order::Sequence, 1) };
    let inputs = Inputs::new(&training, 0, true);
    let of_fusion = fusion::Settings { layers: vec![3], ..fusion::Settings::default() };
    for updater in [Updater::Residual, Updater::Transformer] {
        let settings = settings(updater);
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, &settings, 3, &mut Random::new(2));
        let layers = Layers::new(&mut parameters, &of_fusion, &inputs, &mut Random::new(4));
        let ids = Embedding { table: parameters.add("ids", Kind::Rows, Matrix::zeros(7, 3)) };
        shake(&mut parameters);
        let lesson = &Lesson {
            settings: &settings,
            training: &training,
            network: &network,
            space: Space::Learnt { inputs: &inputs, layers: &layers, ids: Some(ids) },
            popularity: &[0.5; 7],
            histories: (interactions.users())
                .map(|rows| rows.iter().map(|row| event(row.video)).collect())
                .collect(),
        };
        let windows = vec![Window { user: 0, from: 2, to: 5 }, Window { user: 1, from: 3, to: 6 }];
        assert_gradients_of_step(&lesson, &windows, &mut parameters, (2, 1, 4e-3));
    }
}

/// A profile over `videos` that has learnt nothing yet.
fn fresh(settings: Settings, videos: &Matrix) -> Profile {
    let mut parameters = Parameters::new();
    let network = Network::new(&mut parameters, &settings, videos.n_columns(), &mut Random::new(0));
    let popularity = vec![0.0; videos.n_rows()];
    Profile::whole(settings, (videos, &popularity), (network, parameters))
}

#[test]
fn a_profile_starts_as_the_mean_of_favourites_and_keeps_them_beyond_its_length() {
    let unit = Matrix::from_rows(3, 2, vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8]);
    let settings = Settings { favourites: 2, length: 4, anchor_min: 0.0, ..settings(Updater::Residual) };
    let model = fresh(settings.clone(), &unit);
    let of = |videos: &[u32]| model.user(&History::of_positives(videos));
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let half = 0.5f32.sqrt();
    assert!(close(&of(&[0, 1]), &[half, half, 1.0]), "{:?}", of(&[0, 1]));
    assert_eq!(of(&[])[..2], [0.0, 0.0]);
    // Ten events later the two are still what it starts as, though four events are read.
    let past: Vec<Event> = [0, 0, 1, 1, 1, 1, 1, 1, 1].map(event).into();
    let walk = Walk::newest(&past, &settings);
    assert_eq!((walk.favourites, walk.before, walk.events.len()), (vec![0, 0], vec![1, 1, 1], 4));
}

/// Twenty videos of two kinds, labelled so; sixty viewers stay with one kind for four videos, then change, and change back.
fn changing() -> (Interactions, crate::Facts) {
    let row = |user: u32, at: u32| {
        let kind = (user + at / 4) % 2;
        Interaction {
            video: kind * 10 + (user / 2 + at * 3) % 10,
            time: i64::from(at),
            value: None,
            judgement: Judgement::Positive,
            actions: Actions::default(),
        }
    };
    let users = (0..60).map(|user| (0..16).map(|at| row(user, at)).collect());
    let mut random = Random::new(3);
    let mut number =
        |video: usize, at: usize| 0.3 * random.normal() + if at == video / 10 { 1.0 } else { 0.0 };
    let values = (0..20 * 6).map(|at| number(at / 6, at % 6)).collect();
    let matrix = Matrix::from_rows(20, 6, values);
    let vectors = vec![crate::Modality { name: "image".into(), matrix, present: vec![true; 20] }];
    (Interactions::from_users(20, users.collect()), crate::Facts { vectors, ..crate::Facts::default() })
}

#[test]
fn after_fifty_events_of_another_kind_a_trained_profile_keeps_more_of_a_taste_than_the_exponential_mean() {
    let (interactions, facts) = changing();
    for updater in [Updater::Residual, Updater::Transformer] {
        let profile =
            Settings { hidden: 16, updater, negatives: 20, end_to_end: false, ..Settings::default() };
        let mut settings = crate::Settings { profile, ..crate::Settings::default() };
        settings.profile.learn.epochs_default = 10;
        (settings.fusion.layers, settings.fusion.learn.epochs_default) = (vec![8], 5);
        let training = Training {
            facts: Some(Arc::new(facts.clone())),
            settings: Arc::new(settings),
            ..Training::of(&interactions, Order::Sequence, 1)
        };
        let model = Profile::fit(&training, None).unwrap().0;
        let (core, other): (Vec<u32>, Vec<u32>) =
            ((0..20).map(|at| at % 10).collect(), (0..50).map(|at| 10 + at % 10).collect());
        let seen = [&core[..], &other[..]].concat();
        let mean_of = |seen: &[u32], decay: f32| {
            let mut sum = [0.0; 8];
            for (age, &video) in seen.iter().rev().enumerate() {
                let weight = decay.powi(age as i32);
                sum.iter_mut().zip(model.videos.row(video as usize)).for_each(|(sum, x)| *sum += weight * x);
            }
            sum
        };
        // The direction in which the first kind stands out.
        let (core_mean, all) = (mean_of(&core, 1.0), mean_of(&(0..20).collect::<Vec<u32>>(), 1.0));
        let towards: Vec<f32> = core_mean.iter().zip(all).map(|(core, all)| core - all).collect();
        let cosine = |a: &[f32]| dot(a, &towards) / dot(a, a).sqrt();
        let profile = |seen: &[u32]| cosine(&model.user(&History::of_positives(seen))[..8]);
        let kept = profile(&seen) - profile(&other);
        let of_mean = cosine(&mean_of(&seen, 0.9)) - cosine(&mean_of(&other, 0.9));
        assert!(kept > 2.0 * of_mean, "{updater:?}: {kept}, the exponential mean {of_mean}");
        // A plain mean forgets least, as it learns least of what is new.
        let of_plain = cosine(&mean_of(&seen, 1.0)) - cosine(&mean_of(&other, 1.0));
        assert!(of_plain > of_mean, "{of_plain}, the exponential mean {of_mean}");
        assert!(kept > 0.2 * of_plain, "{updater:?}: {kept}, the plain mean {of_plain}");
        // The same events in another order give another profile, and the plain mean does not.
        let back: Vec<u32> = seen.iter().rev().copied().collect();
        assert!((cosine(&mean_of(&seen, 1.0)) - cosine(&mean_of(&back, 1.0))).abs() < 1e-5);
        let (there, back) = (profile(&seen), profile(&back));
        assert!((there - back).abs() > 1e-3, "{updater:?}: {there} and {back}");
    }
}

#[test]
fn an_event_that_was_refused_moves_a_trained_profile_otherwise_than_one_that_was_wanted() {
    let (interactions, facts) = changing();
    let profile = Settings { hidden: 16, negatives: 20, end_to_end: true, ..Settings::default() };
    let mut settings = crate::Settings { profile, ..crate::Settings::default() };
    settings.profile.learn.epochs_default = 3;
    (settings.fusion.layers, settings.fusion.learn.epochs_default) = (vec![8], 3);
    let training = Training {
        facts: Some(Arc::new(facts)),
        settings: Arc::new(settings),
        ..Training::of(&interactions, Order::Sequence, 1)
    };
    let model = Profile::fit(&training, None).unwrap().0;
    let after = |judgement| {
        let past =
            |video, judgement| Past { video, time: 0, value: None, judgement, actions: Actions::default() };
        let before = [0, 1, 2, 3].map(|video| past(video, Judgement::Positive));
        model.user(&History::new(before.into_iter().chain([past(12, judgement)])))
    };
    let (wanted, refused) = (after(Judgement::Positive), after(Judgement::Negative));
    let likes = |user: &[f32]| dot(user, model.items.row(12));
    assert!(likes(&wanted) > likes(&refused));
}
