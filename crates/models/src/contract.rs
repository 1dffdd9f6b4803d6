//! The promises of [`Recommender`], as a suite that every model passes by one line.

use upnext_data::{History, Judgement, Past};
use upnext_math::Matrix;
use upnext_math::dot::{dot, mean_and_deviation};

use crate::{Context, Recommender, Shape};

/// Checks one model.
///
/// # Panics
/// With the broken promise in words.
pub fn check(model: &dyn Recommender) {
    let n = model.n_videos();
    assert!(n > 0, "{}: no videos", model.name());
    let last = n as u32 - 1;
    let histories = [
        History::default(),
        History::of_positives(&[0]),
        History::of_positives(&[0, last, last / 2]),
        History::new([0, last].map(|video| Past {
            video,
            time: 1,
            value: Some(0.5),
            judgement: Judgement::Negative,
            actions: upnext_data::Actions::default(),
        })),
    ];
    let context = Context { now: Some(1_000), user: Some(1), seed: 7 };
    let scores_of = |history: &History| {
        let mut scores = vec![f32::NAN; n];
        model.score_all(history, &context, &mut scores);
        scores
    };
    let mut batch = Matrix::zeros(histories.len(), n);
    let asked: Vec<_> = histories.iter().map(|history| (history, context)).collect();
    model.score_batch(&asked, &mut batch);
    for (at, history) in histories.iter().enumerate() {
        let scores = scores_of(history);
        assert!(scores.iter().all(|s| s.is_finite()), "{}: a score is not finite", model.name());
        assert_eq!(scores, scores_of(history), "{}: the same question, other scores", model.name());
        for (one, of_batch) in scores.iter().zip(batch.row(at)) {
            let near = (one - of_batch).abs() <= 1e-4 * (1.0 + one.abs());
            assert!(near, "{}: a batch answers otherwise: {one} {of_batch}", model.name());
        }
        let rows = [last, 0];
        let mut some = [f32::NAN; 2];
        model.score(history, &context, &rows, &mut some);
        assert_eq!(some, rows.map(|row| scores[row as usize]), "{}: some rows differ", model.name());
        check_shape(model, history, &context, &scores);
        for (video, share) in model.because(history, &context, last / 2) {
            assert!(share.is_finite() && (video as usize) < n, "{}: a wrong reason", model.name());
        }
    }
    // Nobody knows this user.
    let stranger = Context { user: Some(u32::MAX), ..context };
    let mut scores = vec![f32::NAN; n];
    model.score_all(&histories[0], &stranger, &mut scores);
    assert!(scores.iter().all(|s| s.is_finite()), "{}: a user from outside", model.name());
    // A video from outside the catalogue changes nothing but ages.
    let with_unknown = History::of_positives(&[n as u32 + 5, 0]);
    assert!(scores_of(&with_unknown).iter().all(|s| s.is_finite()), "{}: an unknown video", model.name());
    assert_eq!(
        scores_of(&History::of_positives(&[u32::MAX])).iter().filter(|s| !s.is_finite()).count(),
        0,
        "{}: only unknown videos",
        model.name()
    );
}

/// What the shape promises gives the scores that the model gives.
fn check_shape(model: &dyn Recommender, history: &History, context: &Context, scores: &[f32]) {
    let mut made = vec![0.0; scores.len()];
    match model.shape() {
        Shape::Dense => return,
        Shape::Constant(all) => made.copy_from_slice(all),
        Shape::Sparse => {
            let reached = model.reached(history, context);
            assert!(
                reached.windows(2).all(|pair| pair[0].0 < pair[1].0),
                "{}: rows not sorted",
                model.name()
            );
            reached.iter().for_each(|&(row, score)| made[row as usize] = score);
        }
        Shape::Inner(tower) => {
            let user = tower.user(history);
            made.iter_mut().enumerate().for_each(|(row, score)| *score = dot(&user, tower.items().row(row)));
        }
        Shape::Blend(parts) => {
            for part in parts {
                let mut raw = vec![0.0; scores.len()];
                part.model.score_all(history, context, &mut raw);
                let (mean, deviation) = mean_and_deviation(&raw);
                for (score, raw) in made.iter_mut().zip(raw) {
                    *score += part.weight * (raw - mean) / (deviation + 1e-9);
                }
            }
        }
    }
    for (made, score) in made.iter().zip(scores) {
        let near = (made - score).abs() <= 1e-4 * (1.0 + score.abs());
        assert!(near, "{}: its shape gives {made} where it answers {score}", model.name());
    }
}
