//! Likeness in how videos were received: the content design's recommender, over scores of daily statistics.

use upnext_data::{History, Judgement};
use upnext_features::{Confidence, Table};
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot, mean_and_deviation};

use crate::checkpoint::{Form, Writer};
use crate::{Context, FitError, Recommender, Training};

/// Cosine of a video's standardised scores with the viewer's profile: the mean of the scores of the videos that
/// were watched and not refused, each weighted by the confidence of its watch ratio (a rating counts as a ratio of
/// so many stars; an unknown one as a video seen once to the end).
///
/// Scores are standardised over the videos where they are known; a missing one is the mean, which is 0. A score
/// that is known nowhere, or the same everywhere, has no say. Without a history every video scores 0.
#[derive(Clone, Debug)]
pub struct ContentScores {
    /// `(videos, scores)`, standardised.
    videos: Matrix,
    norms: Vec<f32>,
}

impl ContentScores {
    pub(super) fn fit(training: &Training) -> Result<Self, FitError> {
        let scores = training.needs_scores("content-scores")?;
        assert_eq!(
            scores.matrix.n_rows(),
            training.interactions.n_videos(),
            "a row of scores for each video"
        );
        Ok(Self::new(standardised(scores)))
    }

    /// From standardised scores, `(videos, scores)`.
    pub(crate) fn new(videos: Matrix) -> Self {
        let norm = |row: usize| dot(videos.row(row), videos.row(row)).sqrt();
        Self { norms: (0..videos.n_rows()).map(norm).collect(), videos }
    }

    /// The videos that were not refused, each with its confidence.
    fn watched<'a>(&self, history: &'a History) -> impl Iterator<Item = (u32, f32)> + 'a {
        const SEEN_ONCE: f32 = 1.0;
        let (confidence, n) = (Confidence::default(), self.n_videos());
        history
            .past()
            .iter()
            .filter(move |past| past.judgement != Judgement::Negative && (past.video as usize) < n)
            .map(move |past| (past.video, confidence.of_ratio(past.value.unwrap_or(SEEN_ONCE))))
    }

    fn profile(&self, history: &History) -> Vec<f32> {
        let mut profile = vec![0.0; self.videos.n_columns()];
        for (video, weight) in self.watched(history) {
            add_scaled(&mut profile, weight, self.videos.row(video as usize));
        }
        profile
    }
}

/// Each column with mean 0 and deviation 1 over its known values; 0 where it is missing.
fn standardised(scores: &Table) -> Matrix {
    let (n, d) = (scores.matrix.n_rows(), scores.names.len());
    let mut out = Matrix::zeros(n, d);
    for column in 0..d {
        let known: Vec<usize> = (0..n).filter(|row| !scores.missing[row * d + column]).collect();
        let values: Vec<f32> = known.iter().map(|&row| scores.matrix.row(row)[column]).collect();
        let (mean, deviation) = mean_and_deviation(&values);
        if deviation > 1e-6 * mean.abs() && deviation > 0.0 {
            for (&row, value) in known.iter().zip(values) {
                out.row_mut(row)[column] = (value - mean) / deviation;
            }
        }
    }
    out
}

impl Recommender for ContentScores {
    fn name(&self) -> &str {
        "content-scores"
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.matrix("videos", &self.videos);
        Form::ContentScores {}
    }

    fn n_videos(&self) -> usize {
        self.videos.n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let profile = self.profile(history);
        let norm = dot(&profile, &profile).sqrt();
        for (video, score) in scores.iter_mut().enumerate() {
            let norms = norm * self.norms[video];
            *score = if norms > 0.0 { dot(&profile, self.videos.row(video)) / norms } else { 0.0 };
        }
    }

    fn because(&self, history: &History, _context: &Context, row: u32) -> Vec<(u32, f32)> {
        let norm = self.norms[row as usize];
        let share = |video: u32| dot(self.videos.row(video as usize), self.videos.row(row as usize));
        let shares = self.watched(history).map(|(video, weight)| (video, weight * share(video)));
        let mut reasons: Vec<(u32, f32)> = shares.filter(|&(_, share)| norm > 0.0 && share > 0.0).collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Past;

    fn table(values: Vec<f32>) -> Table {
        Table::from_values(vec!["like_ratio".into(), "share_ratio".into()], values.len() / 2, values, 0.0)
    }

    #[test]
    fn scores_are_standardised_over_what_is_known() {
        let videos = standardised(&table(vec![1.0, 7.0, 3.0, 7.0, f32::NAN, 7.0]));
        assert_eq!(videos.values(), [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_longer_watched_video_turns_the_profile() {
        let model = ContentScores::new(Matrix::from_rows(4, 2, vec![1.0, 0.0, 0.0, 1.0, 2.0, 0.2, 0.2, 2.0]));
        let past = |video, ratio, judgement| Past {
            video,
            time: 1,
            value: Some(ratio),
            judgement,
            actions: upnext_data::Actions::default(),
        };
        let history = History::new([
            past(0, 0.1, Judgement::Neutral),
            past(1, 2.0, Judgement::Positive),
            past(2, 3.0, Judgement::Negative),
        ]);
        let mut scores = [0.0; 4];
        model.score_all(&history, &Context::default(), &mut scores);
        assert!(scores[3] > scores[2] && scores[1] > scores[0], "{scores:?}");
        // By hand: the profile is (c(0.1), c(2)), the cosine with video 1 its second part over its length.
        let confidence = Confidence::default();
        let (a, b) = (confidence.of_ratio(0.1), confidence.of_ratio(2.0));
        assert!((scores[1] - b / (a * a + b * b).sqrt()).abs() < 1e-6);
    }
}
