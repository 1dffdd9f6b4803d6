use upnext_data::{Actions, Interaction, Interactions, Judgement, Order};

use super::*;
use crate::Facts;
use crate::train::{SHARDS, Task, assert_gradients_of_step};

/// Five users who walk through seven videos.
fn interactions() -> Interactions {
    let row = |user: u32, at: u32| Interaction {
        video: (user + at) % 7,
        time: i64::from(1 + at) * 3_600_000,
        value: Some(0.5 + 0.1 * at as f32),
        judgement: Judgement::Positive,
        actions: Actions::default(),
    };
    Interactions::from_users(7, (0..5).map(|user| (0..4).map(|at| row(user, at)).collect()).collect())
}

fn facts() -> Facts {
    let values = (0..21).map(|at| (at as f32 * 0.7).sin()).collect();
    let matrix = Matrix::from_rows(7, 3, values);
    let present = vec![true, true, false, true, true, true, true];
    Facts { vectors: vec![crate::Modality { name: "image".into(), matrix, present }], ..Facts::default() }
}

fn settings() -> Settings {
    Settings {
        dimension: 4,
        n_heads: 2,
        length: 3,
        item_layers: vec![5, 4],
        temperature: 0.5,
        negatives: 3,
        places: 0,
        ..Settings::default()
    }
}

#[test]
fn the_gradient_of_both_towers_is_that_of_small_differences() {
    let (interactions, settings) = (interactions(), settings());
    let facts = Some(std::sync::Arc::new(facts()));
    let training = Training { facts, ..Training::of(&interactions, Order::Timed, 1) };
    let inputs = Inputs::new(&training, 0, false);
    let mut parameters = Parameters::new();
    let network = Network::new(&mut parameters, &settings, &inputs, &mut Random::new(3));
    let lesson = &Lesson::new(&settings, &inputs, &network, &training);
    let (examples, n_steps) = lesson.epoch(5);
    assert_eq!((examples.len(), n_steps), (20, 1));
    assert_gradients_of_step(&lesson, &examples, &mut parameters, (SHARDS, 5, 4e-3));
}

#[test]
fn a_batch_is_its_single_histories_and_a_video_without_an_embedding_is_told_apart_from_zeros() {
    let interactions = interactions();
    let facts = Some(std::sync::Arc::new(facts()));
    let settings =
        std::sync::Arc::new(crate::Settings { two_tower: settings(), ..crate::Settings::default() });
    let training = Training { facts, settings, ..Training::of(&interactions, Order::Timed, 1) };
    let (model, epochs, score) = TwoTower::fit(&training, Some(2)).unwrap();
    assert_eq!((epochs, score), (2, None));
    let histories = [0, 1, 2].map(|user| interactions.history(user));
    let longer = History::new(histories[0].past().iter().chain(histories[1].past()).copied());
    let asked = [&histories[0], &longer, &History::default(), &histories[1]];
    let together = model.users(&asked);
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    for (at, history) in asked.into_iter().enumerate() {
        assert!(close(model.users(&[history]).values(), together.row(at)), "history {at}");
    }
    // Of the longer history the newest three steps are read.
    let newest = History::new(longer.past()[longer.past().len() - 3..].iter().copied());
    assert!(close(model.users(&[&newest]).values(), together.row(1)));
    let mut out = [0.0; 4];
    model.inputs.of_video(2, &mut out);
    assert_eq!(out[3], 1.0, "the mask of a video without an embedding");
}
