//! Predicted watch ratios, seconds or ratings against the truth, beside the constants anyone could predict.
//!
//! The mean minimises the squared error and the median the absolute one, so a mean absolute error that is
//! only compared with the mean flatters: both are always here.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::mean;
use crate::{EvalError, Interval};

/// One value that a user gave, or that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The user's row.
    pub user: u32,
    /// The video's row.
    pub video: u32,
    /// The watch ratio, seconds or rating.
    pub value: f64,
}

/// How far predictions are from what happened; all 0 without an observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Mean absolute error: mean of |predicted − actual|.
    pub mae: f64,
    /// Root mean squared error: √ of the mean of (predicted − actual)².
    pub rmse: f64,
    /// Observations.
    pub n: usize,
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionRow {
    /// `model`, `mean`, `median`, `user_mean`, `video_mean` or `video_median`.
    pub name: String,
    /// How far off it is.
    pub errors: Errors,
    /// By how much the mean absolute error of a user is larger than that of median offsets of user and video: the mean
    /// over users, paired; below 0 is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against_bias: Option<Interval>,
}

/// The errors of predictions, one for each actual value.
///
/// # Errors
/// When there is not one finite prediction for each finite value.
pub fn errors(predicted: &[f64], actual: &[f64]) -> Result<Errors, EvalError> {
    if predicted.len() != actual.len() {
        return Err(EvalError::Predictions { predicted: predicted.len(), actual: actual.len() });
    }
    for (column, values) in [("predicted", predicted), ("actual", actual)] {
        if let Some((row, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(EvalError::NotFinite { column: column.into(), row, value: value.to_string() });
        }
    }
    let differences = || predicted.iter().zip(actual).map(|(p, a)| p - a);
    let n = actual.len().max(1) as f64;
    Ok(Errors {
        mae: differences().map(f64::abs).sum::<f64>() / n,
        rmse: (differences().map(|d| d * d).sum::<f64>() / n).sqrt(),
        n: actual.len(),
    })
}

/// The model's errors on `test`, and those of constants fitted on `train`: the mean, the median, each user's
/// mean, each video's mean and median. A user or video that train does not know falls back to the mean (the
/// median for medians). The model stands last, after its floors.
///
/// # Errors
/// When there is not one finite prediction for each observation, or a value is not finite.
pub fn against_baselines(
    train: &[Observation],
    test: &[Observation],
    predicted: &[f64],
) -> Result<Vec<PredictionRow>, EvalError> {
    let actual: Vec<f64> = test.iter().map(|o| o.value).collect();
    let mut values: Vec<f64> = train.iter().map(|o| o.value).collect();
    let overall_mean = mean(&values);
    let overall_median = median(&mut values);
    let by = |key: fn(&Observation) -> u32, statistic: fn(&mut [f64]) -> f64, otherwise: f64| {
        let mut groups: HashMap<u32, Vec<f64>> = HashMap::new();
        for observation in train {
            groups.entry(key(observation)).or_default().push(observation.value);
        }
        let fitted: HashMap<u32, f64> =
            groups.into_iter().map(|(key, mut values)| (key, statistic(&mut values))).collect();
        test.iter().map(|o| fitted.get(&key(o)).copied().unwrap_or(otherwise)).collect::<Vec<f64>>()
    };
    let user = |o: &Observation| o.user;
    let video = |o: &Observation| o.video;
    let rows = [
        ("mean", vec![overall_mean; test.len()]),
        ("median", vec![overall_median; test.len()]),
        ("user_mean", by(user, |values| mean(values), overall_mean)),
        ("video_mean", by(video, |values| mean(values), overall_mean)),
        ("video_median", by(video, median, overall_median)),
        ("model", predicted.to_vec()),
    ];
    let row = |(name, predicted): (&str, Vec<f64>)| {
        Ok(PredictionRow { name: name.into(), errors: errors(&predicted, &actual)?, against_bias: None })
    };
    rows.into_iter().map(row).collect()
}

/// The middle value, or the mean of the two middle ones; 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    low / 2.0 + high / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(user: u32, video: u32, value: f64) -> Observation {
        Observation { user, video, value }
    }

    #[test]
    fn errors_are_the_mean_distance_and_the_root_of_the_mean_square() {
        let found = errors(&[1.0, 2.0, 5.0], &[1.0, 4.0, 4.0]).unwrap();
        assert_eq!((found.mae, found.n), (1.0, 3));
        assert!((found.rmse - (5.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(errors(&[], &[]).unwrap(), Errors::default());
    }

    #[test]
    fn the_median_is_the_fair_constant_for_absolute_errors() {
        // Values 0, 0, 9 of three users and two videos: mean 3, median 0.
        let train = [observation(0, 0, 0.0), observation(1, 0, 0.0), observation(2, 1, 9.0)];
        let test = [observation(0, 1, 0.0), observation(7, 7, 1.0)];
        let rows = against_baselines(&train, &test, &[0.5, 0.5]).unwrap();
        let mae: Vec<(&str, f64)> = rows.iter().map(|row| (row.name.as_str(), row.errors.mae)).collect();
        // user_mean: 0 for the known user, 3 for the unknown; video_mean: 9 and 3; video_median: 9 and 0.
        let expected = [
            ("mean", 2.5),
            ("median", 0.5),
            ("user_mean", 1.0),
            ("video_mean", 5.5),
            ("video_median", 5.0),
            ("model", 0.5),
        ];
        assert_eq!(mae, expected);
    }

    #[test]
    fn a_prediction_too_few_or_not_a_number_is_refused() {
        let error = errors(&[1.0], &[]).unwrap_err().to_string();
        assert!(error.contains("1 predictions for 0 observations"), "{error}");
        assert!(errors(&[f64::NAN], &[1.0]).unwrap_err().to_string().contains("NaN"));
        assert!(errors(&[1.0], &[f64::INFINITY]).unwrap_err().to_string().contains("`actual` is inf"));
    }
}
