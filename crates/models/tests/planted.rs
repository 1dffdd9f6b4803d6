//! GENERATED data with effects that are known: watch-time models and tasks must find them. No set at hand has lengths and
//! labels together, so this says that the arithmetic is right, and nothing about real viewers.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use upnext_data::{Action, Actions, Interaction, Interactions, Judgement, Order};
use upnext_math::seed::Random;
use upnext_models::zoo::{Kind, WatchSettings, Zoo};
use upnext_models::{Context, Facts, Settings, Training};

const USERS: u32 = 600;
const VIDEOS: u32 = 80;

/// How much a user likes a video, from 0 to 1: two tastes, and better and worse videos.
fn interest(user: u32, video: u32) -> f32 {
    let taste = if user % 2 == video % 2 { 0.5 } else { 0.0 };
    taste + 0.5 * (video / 2 % 10) as f32 / 10.0
}

/// From 5 to 320 seconds; it tells nothing of how good a video is.
fn seconds(video: u32) -> f32 {
    5.0 * 2f32.powi((video * 7 % 13) as i32 / 2)
}

/// Long videos are watched for longer and to a smaller part, whatever they are like.
fn watched_seconds(user: u32, video: u32, random: &mut Random) -> f32 {
    (0.3 + interest(user, video)) * seconds(video).sqrt() * 4.0 * (0.15 * random.normal()).exp()
}

/// Three of five pairs, to learn from.
fn world() -> Interactions {
    let mut random = Random::new(1);
    let users = (0..USERS).map(|user| {
        let mut rows = Vec::new();
        for video in (0..VIDEOS).filter(|video| (user * 31 + video * 17) % 5 < 3) {
            let ratio = watched_seconds(user, video, &mut random) / seconds(video);
            let mut actions = Actions::of([Action::Watch]);
            if random.uniform() < interest(user, video).powi(2) {
                actions = actions.with(Action::Like);
            }
            if random.uniform() < 0.5 * (1.0 - interest(user, video)).powi(2) {
                actions = actions.with(Action::Hate);
            }
            rows.push(Interaction {
                video,
                time: 0,
                value: Some(ratio),
                judgement: Judgement::Neutral,
                actions,
            });
        }
        rows
    });
    Interactions::from_users(VIDEOS as usize, users.collect())
}

/// Scores of every video for some users, by a model with these settings.
fn scores(kind: Kind, weights: Option<[f32; 5]>) -> Vec<Vec<f32>> {
    let interactions = world();
    let facts =
        Facts { seconds: (0..VIDEOS).map(|video| Some(seconds(video))).collect(), ..Facts::default() };
    let mut settings = Settings::default();
    let of: &mut WatchSettings = match kind {
        Kind::WatchD2q => &mut settings.watch_d2q,
        Kind::WatchLogistic => &mut settings.watch_logistic,
        _ => &mut settings.watch_tasks,
    };
    // Nothing validates here: yes and no are noisier than times, and are learnt by heart sooner.
    of.learn.epochs_default = if kind == Kind::WatchTasks { 12 } else { 30 };
    (of.groups, of.dropout) = (7, if kind == Kind::WatchTasks { 0.1 } else { 0.0 });
    (of.learn.batch, of.learn.rate) = (64, 2e-3);
    of.weights = weights.unwrap_or(of.weights);
    let training = Training {
        facts: Some(Arc::new(facts)),
        settings: Arc::new(settings),
        ..Training::of(&interactions, Order::Unordered, 1)
    };
    let model = Zoo::new(training).fit(kind, &[]).unwrap().model;
    (0..40)
        .map(|user| {
            let mut scores = vec![0.0; VIDEOS as usize];
            let context = Context { user: Some(user), ..Context::default() };
            model.score_all(&interactions.history(user), &context, &mut scores);
            scores
        })
        .collect()
}

/// Spearman's correlation of scores with what is true of each pair, the mean over users.
fn correlation(scores: &[Vec<f32>], truth: impl Fn(u32, u32) -> f32) -> f64 {
    let ranks = |values: &[f32]| {
        let rank = |x: &f32| {
            let (below, same) = values.iter().fold((0.0, 0.0), |(below, same), other| {
                (below + f64::from(u8::from(other < x)), same + f64::from(u8::from(other == x)))
            });
            below + 0.5 * same
        };
        values.iter().map(rank).collect::<Vec<f64>>()
    };
    let one = |(user, scores): (usize, &Vec<f32>)| {
        let truth: Vec<f32> = (0..VIDEOS).map(|video| truth(user as u32, video)).collect();
        let (a, b) = (ranks(scores), ranks(&truth));
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (mean_a, mean_b) = (mean(&a), mean(&b));
        let product = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| {
            x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>()
        };
        product(&a, mean_a, &b, mean_b)
            / (product(&a, mean_a, &a, mean_a) * product(&b, mean_b, &b, mean_b)).sqrt()
    };
    scores.iter().enumerate().map(one).sum::<f64>() / scores.len() as f64
}

#[test]
fn generated_quantiles_and_odds_find_the_watch_time_whatever_the_length() {
    let expected = |user: u32, video: u32| (0.3 + interest(user, video)) * 4.0 / seconds(video).sqrt();
    for kind in [Kind::WatchD2q, Kind::WatchLogistic] {
        let scores = scores(kind, None);
        let found = correlation(&scores, expected);
        assert!(found > 0.8, "{kind}: {found}");
        // In seconds too, within a third of the truth in the middle of all pairs.
        let mut errors: Vec<f32> = (0..40)
            .flat_map(|user| (0..VIDEOS).map(move |video| (user, video)))
            .map(|(user, video)| (scores[user as usize][video as usize] / expected(user, video) - 1.0).abs())
            .collect();
        errors.sort_by(f32::total_cmp);
        assert!(errors[errors.len() / 2] < 0.33, "{kind}: {}", errors[errors.len() / 2]);
    }
}

#[test]
fn generated_tasks_are_told_apart_and_their_weights_are_the_objective() {
    let likes = scores(Kind::WatchTasks, Some([0.0, 1.0, 0.0, 0.0, 0.0]));
    let hates = scores(Kind::WatchTasks, Some([0.0, 0.0, 0.0, 1.0, 0.0]));
    let ratios = scores(Kind::WatchTasks, Some([0.0, 0.0, 0.0, 0.0, 1.0]));
    let of = |scores: &[Vec<f32>]| correlation(scores, interest);
    assert!(of(&likes) > 0.8, "likes: {}", of(&likes));
    assert!(of(&hates) < -0.7, "hates: {}", of(&hates));
    let ratio = |user, video| (0.3 + interest(user, video)) / seconds(video).sqrt();
    assert!(correlation(&ratios, ratio) > 0.85, "ratios: {}", correlation(&ratios, ratio));
    // A ratio alone prefers what is short; the wish to be liked does not.
    assert!(of(&likes) > of(&ratios) + 0.2);
}
