use std::sync::Arc;

use upnext_data::{Actions, Interaction, Interactions, Judgement, Order};
use upnext_math::Matrix;

use super::*;
use crate::train::{Task, assert_gradients_of_step};
use crate::{Facts, Modality};

/// Eight videos: two modalities of which some lack one, and a genre of two values.
fn facts() -> Facts {
    let modality = |name: &str, d: usize, lacks: usize| {
        let values =
            (0..8 * d).map(|at| if at / d == lacks { 0.0 } else { (at as f32 * 0.9 + d as f32).sin() });
        let present = (0..8).map(|video| video != lacks).collect();
        Modality { name: name.into(), matrix: Matrix::from_rows(8, d, values.collect()), present }
    };
    let genres = (0..8).map(|video| vec![video % 2]).collect();
    Facts {
        vectors: vec![modality("text", 3, 5), modality("image", 2, 1)],
        labels: vec![("genre".into(), genres)],
        ..Facts::default()
    }
}

/// Four viewers, each with five videos in a row.
fn interactions() -> Interactions {
    let row = |user: u32, at: u32| Interaction {
        video: (user * 2 + at) % 8,
        time: i64::from(at),
        value: None,
        judgement: Judgement::Positive,
        actions: Actions::default(),
    };
    Interactions::from_users(8, (0..4).map(|user| (0..5).map(|at| row(user, at)).collect()).collect())
}

fn training(interactions: &Interactions) -> Training<'_> {
    Training { facts: Some(Arc::new(facts())), ..Training::of(interactions, Order::Sequence, 1) }
}

fn lesson<'a>(
    settings: &'a Settings,
    training: &'a Training<'a>,
    inputs: &'a Inputs,
    layers: &'a Layers,
) -> Lesson<'a> {
    Lesson {
        name: "fusion",
        settings,
        training,
        inputs,
        layers,
        relations: Relation::all(training, &settings.relations),
        anchors: (0..8).collect(),
        held_out: Vec::new(),
        wanted: training
            .interactions
            .users()
            .map(|rows| rows.iter().map(|row| row.video).collect())
            .collect(),
    }
}

#[test]
fn the_gradient_of_either_loss_is_that_of_small_differences() {
    let interactions = interactions();
    let training = training(&interactions);
    let inputs = Inputs::new(&training, 0, true);
    for loss in [Loss::Relations, Loss::CoWatch] {
        // A wide margin and strangers at random, so that a small step changes no choice.
        let settings = Settings {
            layers: vec![5, 4],
            loss,
            negatives: Negatives::Random,
            margin: 9.0,
            temperature: 0.5,
            ..Settings::default()
        };
        let mut parameters = Parameters::new();
        let layers = Layers::new(&mut parameters, &settings, &inputs, &mut Random::new(3));
        let lesson = &lesson(&settings, &training, &inputs, &layers);
        let (epoch, n_steps) = lesson.epoch(4);
        assert_eq!(n_steps, 1);
        assert_gradients_of_step(&lesson, &epoch, &mut parameters, (1, 1, 4e-3));
    }
}

#[test]
fn strangers_are_any_the_nearest_or_the_nearest_beyond_the_relative() {
    let interactions = interactions();
    let training = training(&interactions);
    let inputs = Inputs::new(&training, 0, true);
    // Video 0 is asked, 2 is its relative, 1, 3 and 5 are strangers: nearer than it, a little further, far away.
    let angle = |x: f32| [x.cos(), x.sin()];
    let unit = Matrix::from_rows(5, 2, [0.0, 0.5, 0.2, 0.7, 2.0].map(angle).concat());
    let rows = [0, 2, 1, 3, 5];
    let chosen = |negatives, positive| {
        let settings = Settings { negatives, layers: vec![2], ..Settings::default() };
        let layers = Layers::new(&mut Parameters::new(), &settings, &inputs, &mut Random::new(3));
        let lesson = lesson(&settings, &training, &inputs, &layers);
        lesson.stranger(&unit, &rows, (0, 0, positive), &mut Random::new(1)).map(|at| rows[at])
    };
    assert_eq!(chosen(Negatives::Hard, 1), Some(1));
    assert_eq!(chosen(Negatives::SemiHard, 1), Some(3));
    assert!(matches!(chosen(Negatives::Random, 1), Some(1 | 3 | 5)));
    // Beyond a relative that is furthest of all there is none: the furthest stranger stands in.
    assert_eq!(chosen(Negatives::SemiHard, 4), Some(5));
}

#[test]
fn a_collapsed_space_is_seen_and_an_orthogonal_one_uses_every_direction() {
    let same = Matrix::from_rows(4, 3, [0.6, 0.8, 0.0].repeat(4));
    let spread = Spread::of(&same);
    assert!(
        (spread.mean_cosine - 1.0).abs() < 1e-6 && (spread.effective_rank - 1.0).abs() < 1e-2,
        "{spread}"
    );
    let mut apart = Matrix::zeros(4, 3);
    (0..3).for_each(|at| apart.row_mut(at)[at] = 1.0);
    // The fourth is a row of zeros, of which nothing is known.
    let spread = Spread::of(&apart);
    assert!(spread.mean_cosine.abs() < 1e-6 && (spread.effective_rank - 3.0).abs() < 1e-3, "{spread}");
}

#[test]
fn what_lies_near_is_counted_beside_chance() {
    let interactions = interactions();
    let relation = &Relation::all(&training(&interactions), &Settings::default().relations)[0];
    let near = [(0, vec![2, 4, 1, 3]), (1, vec![3, 5, 7, 0])];
    assert_eq!(relation.found(&near), Some((0.5 + 0.75) / 2.0));
    // Of the other seven three share the genre.
    assert_eq!(relation.at_random(&[0]), Some(3.0 / 7.0));
}

#[test]
fn hidden_modalities_look_like_missing_ones_and_one_always_stays() {
    let interactions = interactions();
    let training = training(&interactions);
    let inputs = Inputs::new(&training, 0, true);
    assert_eq!((inputs.width(), inputs.numbers()), (5, 7));
    let whole = inputs.of_videos(&[0, 1, 5], None);
    // Each modality has unit length; video 1 has no image, video 5 no text.
    assert!((dot(&whole.row(0)[..3], &whole.row(0)[..3]) - 1.0).abs() < 1e-5);
    assert_eq!((&whole.row(1)[3..5], &whole.row(1)[5..]), (&[0.0; 2][..], &[0.0, 1.0][..]));
    assert_eq!((&whole.row(2)[..3], &whole.row(2)[5..]), (&[0.0; 3][..], &[1.0, 0.0][..]));
    let hidden = inputs.of_videos(&[0; 100], Some((0.999, &mut Random::new(2))));
    for row in (0..100).map(|row| hidden.row(row)) {
        assert_eq!(row[5] + row[6], 1.0, "one is hidden and one stays");
        let gone = if row[5] == 1.0 { &row[..3] } else { &row[3..5] };
        assert!(gone.iter().all(|&x| x == 0.0));
    }
    // What lacks one keeps the other.
    assert_eq!(inputs.of_videos(&[1], Some((0.999, &mut Random::new(2)))).row(0), whole.row(1));
}

#[test]
fn held_out_videos_choose_the_epoch_and_are_told_beside_chance() {
    let genres = (0..60).map(|video| vec![video % 3]).collect();
    let values =
        (0..60 * 4).map(|at| (at as f32 * 1.7).sin() + 3.0 * f32::from(at % 4 == (at / 4) % 3)).collect();
    let modality =
        Modality { name: "text".into(), matrix: Matrix::from_rows(60, 4, values), present: vec![true; 60] };
    let facts = Facts { vectors: vec![modality], labels: vec![("genre".into(), genres)], ..Facts::default() };
    let interactions = Interactions::from_users(60, Vec::new());
    let fusion = Settings { layers: vec![8], loss: Loss::Relations, held_out: 0.3, ..Settings::default() };
    let settings = crate::Settings { fusion, ..crate::Settings::default() };
    let training = Training {
        facts: Some(Arc::new(facts)),
        settings: Arc::new(settings),
        ..Training::of(&interactions, Order::Sequence, 1)
    };
    let (_, epochs, score, told) = Fusion::fit(&training, None).unwrap();
    assert!(epochs > 0 && score.unwrap() > 0.5, "{score:?}");
    assert!(
        told.contains("effective rank") && told.contains("genre") && told.contains("chance 0.32"),
        "{told}"
    );
    // For a given number of epochs nothing is held out, and nothing judges.
    assert_eq!(Fusion::fit(&training, Some(2)).unwrap().2, None);
}
