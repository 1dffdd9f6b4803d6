//! EASE (Steck 2019): the linear auto-encoder with a zero diagonal, in closed form.

use upnext_math::linalg::spd_inverse;
use upnext_math::{Matrix, Sparse};

use super::linear::{Head, Linear, Weights};
use crate::choose::validation_score;
use crate::{FitError, Training};

/// Beyond this many videos, EASE works on the most active ones: the inverse takes `n^2` memory, `n^3` time.
pub(super) const VIDEOS_MAX: usize = 20_000;
/// The dual form keeps a number for each pair of user and video: at most so many, which is 800 MB.
const DUAL_ENTRIES_MAX: usize = 200_000_000;
/// Tried on validation, the middle first.
const LAMBDAS: [f32; 4] = [50.0, 200.0, 500.0, 1000.0];
/// Where there is no validation to choose by.
const LAMBDA_DEFAULT: f32 = 200.0;

/// What an older video of a history counts against the next newer, tried on validation.
const DECAYS: [f32; 5] = [1.0, 0.9, 0.8, 0.6, 0.4];
const DECAY_DEFAULT: f32 = 0.8;

/// Users and their positives, `(users, videos)`, all ones.
pub(super) fn binary(training: &Training) -> Sparse {
    let rows = training.interactions.sequences().into_iter().map(|videos| {
        let mut videos = videos;
        videos.sort_unstable();
        videos.dedup();
        videos.into_iter().map(|video| (video, 1.0)).collect()
    });
    Sparse::from_rows(training.interactions.n_videos(), rows)
}

/// EASE with lambda chosen on validation out of 50, 200, 500 and 1000: from 200 downhill, as the measure has
/// one peak. Returns the model and its lambda.
pub(super) fn ease(training: &Training) -> Result<(Linear, f32), FitError> {
    let x = binary(training);
    if training.validation.is_empty() {
        return Ok((with_lambda(&x, training, LAMBDA_DEFAULT)?, LAMBDA_DEFAULT));
    }
    let try_at = |at: usize| -> Result<(f64, Linear, f32), FitError> {
        let model = with_lambda(&x, training, LAMBDAS[at])?;
        Ok((validation_score(&model, training.validation, training.candidates), model, LAMBDAS[at]))
    };
    let mut best = try_at(1)?;
    for direction in [&[0usize][..], &[2, 3]] {
        let before = best.2;
        for &at in direction {
            let tried = try_at(at)?;
            if tried.0 <= best.0 {
                break;
            }
            best = tried;
        }
        if best.2 != before {
            break;
        }
    }
    Ok((best.1, best.2))
}

/// EASE asked with a history in which a video counts `decay` for each newer one, the decay chosen on validation; lambda and
/// decay may be given. Returns the model and its lambda.
pub(super) fn decayed(
    training: &Training,
    (lambda, decay): (Option<f32>, Option<f32>),
) -> Result<(Linear, f32), FitError> {
    training.needs_order("ease-decayed")?;
    let (model, lambda) = match lambda {
        Some(lambda) => (with_lambda(&binary(training), training, lambda)?, lambda),
        None => ease(training)?,
    };
    let mut model = Linear { name: "ease-decayed".into(), decay: decay.unwrap_or(DECAY_DEFAULT), ..model };
    if decay.is_none() && !training.validation.is_empty() {
        let mut best = f64::NEG_INFINITY;
        let mut chosen = model.decay;
        for decay in DECAYS {
            model.decay = decay;
            let score = validation_score(&model, training.validation, training.candidates);
            if score > best {
                (best, chosen) = (score, decay);
            }
        }
        model.decay = chosen;
    }
    Ok((model, lambda))
}

/// `B = I - P diag(1/P_jj)` with `P = (X'X + lambda I)^-1`, through whichever of the two Gram matrices is
/// smaller.
pub(super) fn with_lambda(x: &Sparse, training: &Training, lambda: f32) -> Result<Linear, FitError> {
    // A video without a positive has weights of zero: leaving it out is exact.
    let head = Head::new(&training.interactions.popularity(), 1, VIDEOS_MAX);
    let n_active_users = (0..x.n_rows()).filter(|&user| !x.row(user).0.is_empty()).count();
    let dual_fits = n_active_users.saturating_mul(x.n_columns()) <= DUAL_ENTRIES_MAX;
    let weights =
        if n_active_users < head.len() && dual_fits { dual(x, lambda) } else { primal(x, head, lambda) };
    let weights = weights.map_err(|cause| FitError::Numbers { model: "ease".into(), cause })?;
    Ok(Linear { name: "ease".into(), decay: 1.0, last: usize::MAX, weights })
}

type Fitted = Result<Weights, upnext_math::linalg::NotPositiveDefinite>;

fn primal(x: &Sparse, head: Head, lambda: f32) -> Fitted {
    let of_head = restrict(x, &head);
    let mut gram = of_head.gram();
    let n = gram.n_rows();
    for at in 0..n {
        gram.row_mut(at)[at] += lambda;
    }
    let mut matrix = spd_inverse(gram)?;
    let scale: Vec<f32> = (0..n).map(|at| -1.0 / matrix.row(at)[at]).collect();
    for row in 0..n {
        matrix.row_mut(row).iter_mut().zip(&scale).for_each(|(value, scale)| *value *= scale);
        matrix.row_mut(row)[row] = 0.0;
    }
    Ok(Weights::Dense { matrix, head })
}

/// The columns of a head, renumbered.
pub(super) fn restrict(x: &Sparse, head: &Head) -> Sparse {
    let rows = (0..x.n_rows()).map(|row| {
        let (columns, values) = x.row(row);
        columns
            .iter()
            .zip(values)
            .filter_map(|(&column, &value)| Some((head.position(column)? as u32, value)))
            .collect()
    });
    Sparse::from_rows(head.len(), rows)
}

/// By the identity `(X'X + l I)^-1 = (I - X' (XX' + l I)^-1 X) / l`: exact, and cheap for few users.
fn dual(x: &Sparse, lambda: f32) -> Fitted {
    let active: Vec<usize> = (0..x.n_rows()).filter(|&user| !x.row(user).0.is_empty()).collect();
    let rows = active.iter().map(|&user| {
        let (videos, values) = x.row(user);
        videos.iter().copied().zip(values.iter().copied()).collect()
    });
    let x = Sparse::from_rows(x.n_columns(), rows);
    let transposed = x.transpose();
    let mut gram = transposed.gram();
    for at in 0..gram.n_rows() {
        gram.row_mut(at)[at] += lambda;
    }
    // (videos, users): one row for each video, as it is read when scoring.
    let y: Matrix = transposed.times_dense(&spd_inverse(gram)?);
    let p = (0..x.n_columns())
        .map(|video| {
            let (users, values) = transposed.row(video);
            let own: f32 = users.iter().zip(values).map(|(&u, v)| v * y.row(video)[u as usize]).sum();
            1.0 / (1.0 - own)
        })
        .collect();
    Ok(Weights::Dual { x, y, p })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Recommender};
    use upnext_data::History;

    #[test]
    fn both_forms_give_the_same_scores() {
        let x = Sparse::from_rows(
            6,
            [vec![0, 1, 2], vec![1, 2, 3], vec![0, 4], vec![2, 3, 5], vec![0, 1, 5]]
                .map(|videos: Vec<u32>| videos.into_iter().map(|v| (v, 1.0)).collect()),
        );
        let model = |weights| Linear { name: "ease".into(), decay: 1.0, last: usize::MAX, weights };
        let primal = model(primal(&x, Head::whole(6), 2.0).unwrap());
        let dual = model(dual(&x, 2.0).unwrap());
        let history = History::of_positives(&[1, 5]);
        let (mut a, mut b) = (vec![0.0; 6], vec![0.0; 6]);
        primal.score_all(&history, &Context::default(), &mut a);
        dual.score_all(&history, &Context::default(), &mut b);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
        let because = dual.because(&history, &Context::default(), 2);
        let sum: f32 = because.iter().map(|(_, share)| share).sum();
        assert!((sum - a[2]).abs() < 1e-5 && because.len() == 2, "{because:?} {a:?}");
    }
}
