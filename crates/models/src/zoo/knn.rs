//! Neighbours by co-occurrence: of videos, and of viewers.

use upnext_data::History;
use upnext_math::Sparse;

use super::ease::binary;
use super::linear::{Linear, strongest_of_rows};
use crate::checkpoint::{Form, Writer};
use crate::{Context, Recommender, Training};

/// At most this many neighbours of a video are kept.
const NEIGHBOURS: usize = 200;
const SHRINK: f32 = 10.0;

/// ItemKNN: cosine of the videos' binary columns, `c_ij / sqrt((n_i + 10) (n_j + 10))`, 200 neighbours each
/// (Sarwar et al. 2001), over the whole history.
pub(super) fn item_knn(training: &Training) -> Linear {
    let x = binary(training);
    let popularity: Vec<f32> = training.interactions.popularity().into_iter().map(|n| n as f32).collect();
    let scale = |video: usize| (popularity[video] + SHRINK).sqrt();
    let transposed = x.transpose();
    let weights = strongest_of_rows(x.n_columns(), NEIGHBOURS, |from, sum| {
        transposed.row(from as usize).0.iter().for_each(|&user| sum.add_row(&x, user as usize, 1.0));
        let of_from = scale(from as usize);
        sum.take(|to, count| (to != from).then(|| count / (of_from * scale(to as usize))))
    });
    Linear { name: "item-knn".into(), decay: 1.0, last: usize::MAX, weights }
}

/// UserKNN: training viewers by cosine with the newest 30 wanted videos (decay 0.8, rare videos weigh more:
/// `(popularity + 3)^-0.4`); each of the 300 nearest adds `likeness^1.5` to the videos it wanted.
#[derive(Clone, Debug)]
pub struct UserKnn {
    /// `(users, videos)`, ones.
    pub(crate) users: Sparse,
    /// `(videos, users)`, weighted and of unit length over videos.
    pub(crate) videos: Sparse,
    pub(crate) idf: Vec<f32>,
}

impl UserKnn {
    const NEAREST: usize = 300;
    const LAST: usize = 30;
    const DECAY: f32 = 0.8;

    pub(super) fn fit(training: &Training) -> Self {
        Self::new(binary(training))
    }

    /// From training viewers, `(users, videos)`, ones.
    pub(crate) fn new(users: Sparse) -> Self {
        let mut popularity = vec![0.0f32; users.n_columns()];
        users.columns().iter().for_each(|&video| popularity[video as usize] += 1.0);
        let idf: Vec<f32> = popularity.iter().map(|n| (n + 3.0).powf(-0.4)).collect();
        let norms: Vec<f32> = (0..users.n_rows())
            .map(|user| users.row(user).0.iter().map(|&v| idf[v as usize].powi(2)).sum::<f32>().sqrt() + 0.1)
            .collect();
        let videos = users.clone().map(|user, video, _| idf[video as usize] / norms[user]).transpose();
        Self { users, videos, idf }
    }
}

impl Recommender for UserKnn {
    fn name(&self) -> &str {
        "user-knn"
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.sparse("users", &self.users);
        Form::UserKnn { n_videos: self.users.n_columns() }
    }

    fn n_videos(&self) -> usize {
        self.users.n_columns()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        scores.fill(0.0);
        let mut likeness = vec![0.0f32; self.users.n_rows()];
        for (age, video) in history.newest(Self::LAST) {
            if let Some(idf) = self.idf.get(video as usize) {
                self.videos.add_row_to(video as usize, Self::DECAY.powi(age as i32) * idf, &mut likeness);
            }
        }
        for user in upnext_math::top_k(&likeness, Self::NEAREST) {
            let weight = likeness[user as usize];
            if weight > 0.0 {
                self.users.add_row_to(user as usize, weight.powf(1.5), scores);
            }
        }
    }
}
