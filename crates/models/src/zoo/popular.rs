//! Models that answer everyone alike: the floors of every table.

use upnext_data::{History, Interaction, Interactions, Order};
use upnext_math::seed::mix;

use crate::checkpoint::{Form, Writer};
use crate::{Context, FitError, Recommender, Shape, Training};

/// One score for each video, whoever asks.
#[derive(Clone, Debug)]
pub struct Constant {
    pub(crate) name: String,
    pub(crate) scores: Vec<f32>,
}

/// Half of a positive's weight in `popular-recent` is gone after this many days.
const HALF_LIFE_DAYS: f64 = 30.0;
/// As many values at the set's mean are added to every video's own.
const SHRINK: f32 = 5.0;

impl Constant {
    /// How many training users have the video among their positives.
    pub(super) fn popular(training: &Training) -> Self {
        let counts = training.interactions.popularity();
        Self { name: "popular".into(), scores: counts.into_iter().map(|n| n as f32).collect() }
    }

    /// Positives weighted `2^(-age / 30 days)`, the age counted from the newest training pair.
    pub(super) fn popular_recent(training: &Training) -> Result<Self, FitError> {
        let name = "popular-recent";
        if training.order != Order::Timed {
            return Err(FitError::Needs { model: name.into(), needs: "times" });
        }
        let rows = training.interactions.rows();
        let newest = rows.iter().map(|row| row.time).max().unwrap_or(0);
        let mut scores = vec![0.0f64; training.interactions.n_videos()];
        for row in rows.iter().filter(|row| row.is_positive()) {
            let days = (newest - row.time) as f64 / 86_400_000.0;
            scores[row.video as usize] += (-days / HALF_LIFE_DAYS).exp2();
        }
        Ok(Self { name: name.into(), scores: scores.into_iter().map(|x| x as f32).collect() })
    }

    /// Mean watch ratio (or rating) of each video, shrunk to the set's mean by five values.
    pub(super) fn video_mean(training: &Training) -> Result<Self, FitError> {
        let name = "video-mean";
        let values = values_by_video(training.interactions, name)?;
        let mean = mean(values.iter().flatten().copied());
        let scores = values
            .iter()
            .map(|values| (values.iter().sum::<f32>() + SHRINK * mean) / (values.len() as f32 + SHRINK))
            .collect();
        Ok(Self { name: name.into(), scores })
    }

    /// Median watch ratio (or rating) of each video, with five values at the set's median added.
    pub(super) fn video_median(training: &Training) -> Result<Self, FitError> {
        let name = "video-median";
        let mut values = values_by_video(training.interactions, name)?;
        let mut all: Vec<f32> = values.iter().flatten().copied().collect();
        let middle = median(&mut all);
        for values in &mut values {
            values.extend([middle; SHRINK as usize]);
        }
        Ok(Self { name: name.into(), scores: values.iter_mut().map(|values| median(values)).collect() })
    }
}

fn values_by_video(interactions: &Interactions, model: &str) -> Result<Vec<Vec<f32>>, FitError> {
    let mut values = vec![Vec::new(); interactions.n_videos()];
    for Interaction { video, value, .. } in interactions.rows() {
        values[*video as usize].extend(*value);
    }
    if values.iter().all(Vec::is_empty) {
        return Err(FitError::Needs { model: model.into(), needs: "watch ratios or ratings" });
    }
    Ok(values)
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, n) = values.fold((0.0f64, 0usize), |(sum, n), value| (sum + f64::from(value), n + 1));
    (sum / n.max(1) as f64) as f32
}

pub(super) fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f32::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

impl Recommender for Constant {
    fn name(&self) -> &str {
        &self.name
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.vector("scores", &self.scores);
        Form::Constant { name: self.name.clone() }
    }

    fn n_videos(&self) -> usize {
        self.scores.len()
    }

    fn score_all(&self, _history: &History, _context: &Context, scores: &mut [f32]) {
        scores.copy_from_slice(&self.scores);
    }

    fn shape(&self) -> Shape<'_> {
        Shape::Constant(&self.scores)
    }
}

/// Scores drawn from the seed, the history and the row: what any model must beat.
#[derive(Clone, Debug)]
pub struct Random {
    pub(crate) n_videos: usize,
    pub(crate) seed: u64,
}

impl Recommender for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn save(&self, _out: &mut Writer<'_>) -> Form {
        Form::Random { n_videos: self.n_videos, seed: self.seed }
    }

    fn n_videos(&self) -> usize {
        self.n_videos
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let start =
            history.positives().iter().fold(mix(self.seed ^ context.seed), |x, &v| mix(x ^ u64::from(v)));
        for (video, score) in scores.iter_mut().enumerate() {
            *score = (mix(start ^ video as u64) >> 40) as f32 / (1u64 << 24) as f32;
        }
    }
}

/// `mean + viewer's deviation + video's deviation` of watch ratio or rating (Koren 2010, eq. 1, with shrinkage
/// 10 for viewers and 25 for videos). It orders videos alike for all; its values are predictions.
#[derive(Clone, Debug)]
pub struct Bias {
    pub(crate) mean: f32,
    pub(crate) videos: Vec<f32>,
}

impl Bias {
    const OF_VIDEO: f32 = 25.0;
    const OF_USER: f32 = 10.0;

    pub(super) fn fit(training: &Training) -> Result<Self, FitError> {
        let values = values_by_video(training.interactions, "bias")?;
        let mean = mean(values.iter().flatten().copied());
        let videos = values
            .iter()
            .map(|values| {
                values.iter().map(|v| v - mean).sum::<f32>() / (values.len() as f32 + Self::OF_VIDEO)
            })
            .collect();
        Ok(Self { mean, videos })
    }
}

impl Recommender for Bias {
    fn name(&self) -> &str {
        "bias"
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.vector("videos", &self.videos);
        Form::Bias { mean: self.mean }
    }

    fn n_videos(&self) -> usize {
        self.videos.len()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let (mut sum, mut n) = (0.0, 0.0);
        for past in history.past() {
            if let (Some(value), Some(video)) = (past.value, self.videos.get(past.video as usize)) {
                sum += value - self.mean - video;
                n += 1.0;
            }
        }
        let user = sum / (n + Self::OF_USER);
        for (score, video) in scores.iter_mut().zip(&self.videos) {
            *score = self.mean + user + video;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_middle_of_two() {
        assert_eq!(median(&mut [3.0, 1.0]), 2.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
    }
}
