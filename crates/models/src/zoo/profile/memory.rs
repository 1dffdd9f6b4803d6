//! How much of a taste is left after many events of another kind.

use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::seed::Random;
use upnext_math::top_k;

use super::Profile;
use crate::Tower;

/// Events of the first kind, and of the other.
const CORE: usize = 20;
const OTHER: usize = 50;
/// Pairs of kinds that are tried.
const TRIALS: usize = 100;
/// The exponential mean beside it.
const DECAY: f32 = 0.9;

/// The cosine to the centre of a viewer's first 20 videos after 50 of another kind, the mean over pairs of kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Of the profile.
    pub profile: f32,
    /// Of the mean of all 70.
    pub mean: f32,
    /// Of the mean in which each step into the past weighs 0.9 of the next.
    pub exponential_mean: f32,
    /// Of the profile before the others came.
    pub before: f32,
}

impl Memory {
    /// A kind is a video and those nearest to it; another begins at the video that is furthest away.
    pub fn of(model: &Profile, seed: u64) -> Self {
        let (videos, mut random) = (&model.videos, Random::new(seed));
        let n = videos.n_rows();
        let mut sum = [0.0; 4];
        for _ in 0..TRIALS {
            let first = random.below(n) as u32;
            let core = kind(videos, videos.row(first as usize), CORE, &[]);
            let away: Vec<f32> = centre(videos, &core, 1.0).iter().map(|x| -x).collect();
            let furthest = kind(videos, &away, 1, &core);
            let Some(&furthest) = furthest.first() else { break };
            let others = kind(videos, videos.row(furthest as usize), OTHER, &core);
            let all = [&core[..], &others[..]].concat();
            let towards = centre(videos, &core, 1.0);
            let after = |seen: &[u32]| {
                let mut user = model.user(&History::of_positives(seen));
                user.truncate(videos.n_columns());
                cosine(&user, &towards)
            };
            let means = [1.0, DECAY].map(|decay| cosine(&centre(videos, &all, decay), &towards));
            for (sum, x) in sum.iter_mut().zip([after(&all), means[0], means[1], after(&core)]) {
                *sum += x / TRIALS as f32;
            }
        }
        let [profile, mean, exponential_mean, before] = sum;
        Self { profile, mean, exponential_mean, before }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { profile, mean, exponential_mean, before } = self;
        write!(
            f,
            "cosine to a taste of {CORE} videos {before:.2}, after {OTHER} of another kind {profile:.2} (mean {mean:.2}, \
             exponential mean {exponential_mean:.2})"
        )
    }
}

/// The videos nearest to a point, without some.
fn kind(videos: &Matrix, point: &[f32], n: usize, without: &[u32]) -> Vec<u32> {
    let mut cosines: Vec<f32> = (0..videos.n_rows()).map(|video| dot(point, videos.row(video))).collect();
    without.iter().for_each(|&video| cosines[video as usize] = f32::NEG_INFINITY);
    let mut found = top_k(&cosines, n);
    found.retain(|video| !without.contains(video));
    found
}

/// The mean of videos in their order, up to a factor.
fn centre(videos: &Matrix, seen: &[u32], decay: f32) -> Vec<f32> {
    let mut sum = vec![0.0; videos.n_columns()];
    for (age, &video) in seen.iter().rev().enumerate() {
        add_scaled(&mut sum, decay.powi(age as i32), videos.row(video as usize));
    }
    sum
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}
