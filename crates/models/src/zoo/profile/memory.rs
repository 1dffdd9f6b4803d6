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

/// A viewer watches 20 videos of one kind, then 50 of another: the share that is left of the cosine to the first kind, the mean
/// over pairs of kinds. The first kind is the direction from the middle of the catalogue to the middle of those 20, so that
/// a cosine says how much they stand out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Of the profile.
    pub profile: f32,
    /// Of the mean of everything.
    pub mean: f32,
    /// Of the mean in which each step into the past weighs 0.9 of the next.
    pub exponential_mean: f32,
}

impl Memory {
    /// A kind is a video and those nearest to it; the other begins at the video that is furthest away.
    pub fn of(model: &Profile, seed: u64) -> Self {
        let (videos, mut random) = (&model.videos, Random::new(seed));
        let n = videos.n_rows();
        let all: Vec<u32> = (0..n as u32).collect();
        let middle = centre(videos, &all, 1.0);
        // Cosines before and after, of each of the three.
        let mut sums = [[0.0; 2]; 3];
        for _ in 0..TRIALS {
            let core = kind(videos, videos.row(random.below(n)), CORE, &[]);
            let mut towards = centre(videos, &core, 1.0);
            add_scaled(&mut towards, -(core.len() as f32) / n as f32, &middle);
            let away: Vec<f32> = towards.iter().map(|x| -x).collect();
            let Some(&furthest) = kind(videos, &away, 1, &core).first() else { break };
            let others = kind(videos, videos.row(furthest as usize), OTHER, &core);
            let after = [&core[..], &others[..]].concat();
            for (at, seen) in [&core, &after].into_iter().enumerate() {
                let mut user = model.user(&History::of_positives(seen));
                user.truncate(videos.n_columns());
                let points = [user, centre(videos, seen, 1.0), centre(videos, seen, DECAY)];
                for (sums, point) in sums.iter_mut().zip(points) {
                    sums[at] += cosine(&point, &towards);
                }
            }
        }
        let [profile, mean, exponential_mean] =
            sums.map(|[before, after]| after / before.max(f32::MIN_POSITIVE));
        Self { profile, mean, exponential_mean }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { profile, mean, exponential_mean } = self;
        write!(
            f,
            "of a taste of {CORE} videos {profile:.2} is left after {OTHER} of another kind (of the plain mean {mean:.2}, of \
             the mean of decay {DECAY} {exponential_mean:.2})"
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

/// The weighted sum of videos in their order.
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
