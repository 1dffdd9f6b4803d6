use super::*;
use crate::contract;
use crate::train::Task;
use crate::train::assert_gradients_of_step;
use crate::zoo::{Fitted, Zoo};
use upnext_data::{Actions, Interaction, Interactions, Judgement, Order, Query};

pub(in crate::zoo) const N: u32 = 30;

/// Sixty viewers. What follows a video is the next one for most, but viewers of an odd video skip one: stage one, which is
/// told to go by popularity alone, cannot know.
fn interactions() -> Interactions {
    let row = |(video, time): (u32, i64)| Interaction {
        video,
        time,
        value: Some(1.0 + (video % 3) as f32 / 2.0),
        judgement: Judgement::Positive,
        actions: Actions::default(),
    };
    let users = (0..60u32).map(|user| {
        let step = 1 + user % 2;
        let videos = (0..6).map(|at| ((user + at * step) % N, i64::from(at + 1) * 86_400_000));
        videos.map(row).collect()
    });
    Interactions::from_users(N as usize, users.collect())
}

pub(in crate::zoo) fn settings(stage_one: Kind) -> Arc<crate::Settings> {
    let learn = Loop { batch: 16, rate: 1e-2, epochs_max: 20, epochs_default: 20, ..Loop::default() };
    let ranker =
        Settings { stage_one, candidates: 20, hidden: vec![8], dropout: 0.0, learn, ..Settings::default() };
    Arc::new(crate::Settings { ranker, ..crate::Settings::default() })
}

/// The last video of each is asked for.
pub(in crate::zoo) fn questions() -> (Interactions, Vec<Query>) {
    let all = interactions();
    let mut questions = Vec::new();
    let left = (0..).zip(all.users()).map(|(user, rows)| {
        let (last, before) = rows.split_last().unwrap();
        let history = Interactions::history_of(before);
        questions.push(Query {
            user,
            masked: history.seen(),
            history,
            relevant: vec![last.video],
            at: Some(last.time),
        });
        before.to_vec()
    });
    let left = left.collect();
    (Interactions::from_users(N as usize, left), questions)
}

fn fit(stage_one: Kind, ablate: bool) -> (Fitted, Option<Ablation>) {
    let (left, validation) = questions();
    let candidates: Vec<u32> = (0..N).collect();
    let training = Training {
        validation: &validation,
        candidates: &candidates,
        settings: settings(stage_one),
        ..Training::of(&left, Order::Timed, 1)
    };
    let mut zoo = Zoo::new(training);
    let fitted = zoo.fit(Kind::Ranker, &[]).unwrap();
    let ablation = ablate.then(|| zoo.ablate_ranker(&[]).unwrap());
    (fitted, ablation)
}

#[test]
fn over_candidates_by_popularity_it_learns_to_go_by_transitions() {
    let (fitted, ablation) = fit(Kind::Popular, true);
    assert!(fitted.note.contains("its order beats that of popular on validation"), "{}", fitted.note);
    let ablation = ablation.unwrap();
    let mean = |columns: &[Vec<f64>; 2]| columns[1].iter().sum::<f64>() / columns[1].len() as f64;
    let of = |group: Group| ablation.groups.iter().find(|ablated| ablated.group == group).unwrap();
    assert!(mean(&ablation.whole) > 2.0 * mean(&ablation.stage_one));
    assert!(mean(&of(Group::Transitions).alone) > mean(&of(Group::Popularity).alone));
    assert!(mean(&of(Group::Transitions).without) < mean(&ablation.whole));
    assert_eq!(
        ablation.empty,
        [Group::Content, Group::Video],
        "nothing is told of these videos, and all were there at the start"
    );
}

#[test]
fn what_was_learnt_comes_back_from_its_numbers_and_not_over_another_stage() {
    let (left, validation) = questions();
    let candidates: Vec<u32> = (0..N).collect();
    let training = Training {
        validation: &validation,
        candidates: &candidates,
        settings: settings(Kind::Popular),
        ..Training::of(&left, Order::Timed, 1)
    };
    let held = HeldOut::new(&training, &training.settings.ranker);
    let stage: Arc<dyn Recommender> = Arc::new(crate::zoo::Constant::popular(&training));
    let inner = crate::zoo::Constant::popular(&held.rest(&training));
    let ground = Ranker::ground(&training, &held, &inner, stage.as_ref());
    let (ranker, _) = Ranker::fit(&training, Arc::clone(&stage), &ground, None).unwrap();
    let again = Ranker::of_learnt(&training, Arc::clone(&stage), &ranker.learnt()).unwrap();
    let history = History::of_positives(&[3, 4]);
    let (mut a, mut b) = (vec![0.0; N as usize], vec![0.0; N as usize]);
    ranker.score_all(&history, &Context::default(), &mut a);
    again.score_all(&history, &Context::default(), &mut b);
    assert_eq!(a, b);
    let part = |model: &Arc<dyn Recommender>| crate::zoo::Part {
        weight: 1.0,
        deviation: 1.0,
        model: Arc::clone(model),
    };
    let two = crate::zoo::Blend::new("blend", vec![part(&stage), part(&stage)]);
    let other = Ranker::of_learnt(&training, Arc::new(two), &ranker.learnt());
    assert!(matches!(other, Err(FitError::Needs { .. })), "features of two parts are more numbers");
}

#[test]
fn the_same_seed_gives_the_same_scores() {
    let history = History::of_positives(&[3, 4]);
    let scores = || {
        let mut scores = vec![0.0; N as usize];
        fit(Kind::Markov, false).0.model.score_all(&history, &Context::default(), &mut scores);
        scores
    };
    assert_eq!(scores(), scores());
}

#[test]
fn candidates_stand_above_the_rest_which_keep_the_order_of_stage_one() {
    let (fitted, _) = fit(Kind::Popular, false);
    contract::check(fitted.model.as_ref());
    let history = History::of_positives(&[0, 1, 2]);
    let mut scores = vec![0.0; N as usize];
    fitted.model.score_all(&history, &Context::default(), &mut scores);
    let best = upnext_math::top_k(&scores, 20);
    assert!(best.iter().all(|&video| video > 2), "what was seen takes no place: {best:?}");
    let (left, _) = questions();
    let wanted = left.popularity();
    let rest: Vec<u32> = upnext_math::top_k(&scores, N as usize)[20..].to_vec();
    assert!(rest.windows(2).all(|pair| wanted[pair[0] as usize] >= wanted[pair[1] as usize]), "{rest:?}");
}

#[test]
fn what_is_held_out_is_in_no_count_that_stage_one_is_fitted_on() {
    let (left, _) = questions();
    let training = Training::of(&left, Order::Timed, 1);
    let held = HeldOut::new(&training, &Settings::default());
    assert_eq!(held.left.len(), left.len() - 60, "a tenth of five wanted videos is one");
    for (user, rows) in (0..).zip(held.left.users()) {
        let all = left.of(user);
        assert_eq!(rows, &all[..all.len() - 1]);
    }
}

#[test]
fn gradients_are_those_of_small_differences() {
    let (left, validation) = questions();
    for loss in [ListLoss::Softmax, ListLoss::Lambda] {
        let mut all = (*settings(Kind::Popular)).clone();
        all.ranker.loss = loss;
        // Exchanged places would move the weights of pairs under a difference.
        all.ranker.candidates = 4;
        let training = Training {
            validation: &validation,
            settings: Arc::new(all),
            ..Training::of(&left, Order::Timed, 1)
        };
        let held = HeldOut::new(&training, &training.settings.ranker);
        let popular = crate::zoo::Constant::popular(&training);
        let ground = Ranker::ground(&training, &held, &popular, &popular);
        let (lesson, mut parameters) = Lesson::new(&training.settings.ranker, &ground, &Group::ALL, 3);
        for id in parameters.ids() {
            parameters
                .get_mut(id)
                .values_mut()
                .iter_mut()
                .enumerate()
                .for_each(|(at, x)| *x += 0.1 + 0.01 * at as f32);
        }
        let lesson = &lesson;
        let (epoch, _) = lesson.epoch(2);
        assert_gradients_of_step(&lesson, &epoch, &mut parameters, (2, 7, 5e-3));
    }
}
