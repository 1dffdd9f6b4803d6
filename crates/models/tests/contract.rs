//! Every model, on a small set with two tastes, passes the contract, survives its file, and is made compact.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use upnext_data::{
    Action, Catalogue, Dataset, Event, Events, History, Order, Relevance, Split, SplitRule, Users,
};
use upnext_features::{Content, Table};
use upnext_models::zoo::{Kind, Zoo};
use upnext_models::{Context, Facts, FitError, Recommender, Training, checkpoint, contract};

/// Forty viewers; the even ones walk through videos 0..10 in order, the odd ones through 10..20.
fn two_tastes(order: Order) -> Dataset {
    let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
    for video in 0..20 {
        let row = videos.intern(&format!("v{video}"));
        videos.label(row, if video < 10 { "genre:War" } else { "genre:Comedy" });
        videos.label(row, &format!("tag:{}", video % 7));
    }
    for user in 0..40u32 {
        let row = users.intern(&format!("u{user}"));
        for step in 0..6 {
            let video = (user % 2) * 10 + (user / 2 + step) % 10;
            events.push(Event {
                user: row,
                video,
                action: Action::Rating,
                time: if order == Order::Timed { i64::from(1 + step) * 86_400_000 } else { 0 },
                value: Some(3.0 + (video % 3) as f32),
                ratio: None,
            });
        }
    }
    Dataset::new("two tastes", users, videos, events, order, None)
}

/// Two scores: how much of a comedy and how much of a war film a video is; of one video nothing is known.
fn scores() -> Table {
    let names = vec!["like_ratio".to_string(), "share_ratio".to_string()];
    let of_video = |video: u32| match video {
        0 => [f32::NAN; 2],
        1..10 => [0.1, 0.3 + 0.01 * video as f32],
        _ => [0.4, 0.2 - 0.01 * (video - 10) as f32],
    };
    Table::from_values(names, 20, (0..20).flat_map(of_video).collect(), 0.0)
}

/// Each video lasts half a minute, and has a genre.
fn facts() -> Facts {
    let genres = (0..20).map(|video| vec![u32::from(video >= 10)]).collect();
    Facts { seconds: vec![Some(30.0); 20], labels: vec![("genre".into(), genres)], ..Facts::default() }
}

fn fit_all(
    order: Order,
    rule: SplitRule,
    mut each: impl FnMut(Kind, Result<Arc<dyn Recommender>, FitError>),
) {
    let set = two_tastes(order);
    let split = Split::new(&set, &Relevance::default(), rule, 1).unwrap();
    let candidates: Vec<u32> = (0..20).collect();
    let mut zoo = Zoo::new(Training {
        content: Content::new(&set.videos).map(Arc::new),
        scores: Some(Arc::new(scores())),
        facts: Some(Arc::new(facts())),
        validation_values: &split.validation_values,
        validation: &split.validation,
        candidates: &candidates,
        ..Training::of(&split.train, order, 1)
    });
    for kind in Kind::ALL {
        each(kind, zoo.fit(kind, &[Kind::Popular, Kind::Ease]).map(|fitted| fitted.model));
    }
}

#[test]
fn every_model_keeps_the_contract() {
    fit_all(Order::Timed, SplitRule::LeaveLastOut, |kind, model| {
        let model = model.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(model.name(), kind.name());
        contract::check(model.as_ref());
    });
}

#[test]
fn a_saved_model_gives_the_same_scores() {
    let history = History::of_positives(&[1, 2, 3]);
    fit_all(Order::Timed, SplitRule::LeaveLastOut, |kind, model| {
        let model = model.unwrap();
        let file = checkpoint::save(&[model.as_ref()]).unwrap();
        let loaded = checkpoint::load(&file).unwrap().remove(0);
        let scores = |model: &dyn Recommender| {
            let mut scores = vec![0.0; model.n_videos()];
            model.score_all(&history, &Context::default(), &mut scores);
            scores
        };
        assert_eq!(scores(model.as_ref()), scores(loaded.as_ref()), "{kind}");
        for cut in [0, 7, file.len() / 2, file.len() - 1] {
            assert!(checkpoint::load(&file[..cut]).is_err(), "{kind}: a file cut at {cut} was read");
        }
    });
}

#[test]
fn a_compact_model_is_a_model_and_with_every_neighbour_it_is_exact() {
    let history = History::of_positives(&[1, 2, 3]);
    fit_all(Order::Timed, SplitRule::LeaveLastOut, |kind, model| {
        let model = model.unwrap();
        let Some(whole) = model.compact(20) else { return };
        contract::check(whole.as_ref());
        let (mut a, mut b) = (vec![0.0; 20], vec![0.0; 20]);
        model.score_all(&history, &Context::default(), &mut a);
        whole.score_all(&history, &Context::default(), &mut b);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{kind}: {a:?} {b:?}");
        contract::check(model.compact(3).unwrap().as_ref());
    });
}

#[test]
fn personal_models_prefer_the_taste_of_the_history() {
    let personal = [
        Kind::ItemKnn,
        Kind::UserKnn,
        Kind::Markov,
        Kind::Ease,
        Kind::EaseDecayed,
        Kind::MarkovEase,
        Kind::DirectedCosine,
        Kind::DirectedCosineContent,
        Kind::Slit,
        Kind::Ials,
        Kind::IalsConfidence,
        Kind::Wmf,
        Kind::Sasrec,
        Kind::Bsarec,
        Kind::Hstu,
        Kind::TwoTower,
        Kind::Bpr,
        Kind::LightGcn,
        Kind::Walk,
        Kind::Fusion,
        Kind::Profile,
        Kind::FeatureTower,
        Kind::Content,
        Kind::ContentScores,
        Kind::Smoothed,
        Kind::ClosedBlend,
        Kind::Ranker,
    ];
    fit_all(Order::Timed, SplitRule::LeaveLastOut, |kind, model| {
        if personal.contains(&kind) {
            let model = model.unwrap();
            let mut scores = [0.0; 20];
            model.score_all(&History::of_positives(&[11, 12, 13]), &Context::default(), &mut scores);
            let mean = |range: std::ops::Range<usize>| scores[range].iter().sum::<f32>() / 10.0;
            assert!(mean(10..20) > mean(0..10), "{kind}: {scores:?}");
        }
    });
}

#[test]
fn without_an_order_the_models_that_need_one_say_so() {
    fit_all(Order::Unordered, SplitRule::Random, |kind, model| match (kind, model) {
        (
            Kind::PopularRecent
            | Kind::Markov
            | Kind::Markov1
            | Kind::EaseDecayed
            | Kind::MarkovEase
            | Kind::DirectedCosine
            | Kind::DirectedCosineContent
            | Kind::Slit
            | Kind::Svd
            | Kind::Sasrec
            | Kind::Bsarec
            | Kind::Esasrec
            | Kind::Hstu
            | Kind::TwoTower
            | Kind::Profile
            | Kind::FeatureTower
            | Kind::Smoothed,
            Err(FitError::Needs { needs, .. }),
        ) => assert!(needs.contains("order") || needs.contains("times")),
        (kind, Ok(model)) => {
            assert_eq!(model.name(), kind.name());
            contract::check(model.as_ref());
        }
        (kind, Err(error)) => panic!("{kind}: {error}"),
    });
}

#[test]
fn what_a_set_lacks_is_told_by_name() {
    let interactions = two_tastes(Order::Timed).interactions(&Relevance::default());
    let rows = interactions
        .users()
        .map(|rows| rows.iter().map(|row| upnext_data::Interaction { value: None, ..*row }).collect());
    let without_values = upnext_data::Interactions::from_users(20, rows.collect());
    let mut zoo = Zoo::new(Training::of(&without_values, Order::Timed, 1));
    let mut error = |kind| zoo.fit(kind, &[]).err().unwrap().to_string();
    assert!(error(Kind::ContentScores).contains("content-scores needs daily statistics"));
    assert!(error(Kind::WatchIds).contains("watch-ids needs watch ratios"));
    assert!(error(Kind::IalsConfidence).contains("ials-confidence needs watch ratios"));
}

#[test]
fn confidence_moves_the_factors() {
    let history = History::of_positives(&[11, 12]);
    let mut of_kind = std::collections::HashMap::new();
    fit_all(Order::Timed, SplitRule::LeaveLastOut, |kind, model| {
        if matches!(kind, Kind::Ials | Kind::IalsConfidence) {
            let mut scores = vec![0.0; 20];
            model.unwrap().score_all(&history, &Context::default(), &mut scores);
            of_kind.insert(kind, scores);
        }
    });
    assert_ne!(of_kind[&Kind::Ials], of_kind[&Kind::IalsConfidence]);
}
