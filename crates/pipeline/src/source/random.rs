//! Videos drawn at random, for exploration: each permitted one as likely as any other.

use std::hash::{DefaultHasher, Hash, Hasher};

use upnext_math::seed::{Random, mix};

use crate::pipeline::{Source, StageError};
use crate::{Allow, Query};

/// Candidates drawn without replacement, in the order of drawing, by the request's seed, viewer and time: the same request draws the
/// same.
pub struct Drawn {
    share: f64,
}

impl Drawn {
    /// As many as places may go to them, at a share of all places, and a few more.
    pub fn new(share: f64) -> Self {
        Self { share }
    }

    fn rows(&self, query: &Query, allow: &Allow) -> Vec<u32> {
        const SPARE: usize = 4;
        let wanted = (self.share * query.request.n as f64).ceil() as usize;
        // As many more as may turn out to stand above already.
        let (mut random, count) = (random_of(query), allow.count());
        let n = (wanted + query.places() + SPARE).min(count);
        let mut places: Vec<usize> = Vec::new();
        while places.len() < n {
            let place = random.below(count);
            match places.contains(&place) {
                true if 2 * n > count => places = (0..count).collect(),
                true => {}
                false => places.push(place),
            }
        }
        places.into_iter().filter_map(|place| allow.nth(place)).collect()
    }
}

/// The generator of a request.
pub(crate) fn random_of(query: &Query) -> Random {
    let mut hasher = DefaultHasher::new();
    query.request.user.hash(&mut hasher);
    Random::new(mix(query.request.seed ^ mix(query.request.now as u64 ^ mix(hasher.finish()))))
}

impl Source for Drawn {
    fn name(&self) -> &str {
        "random"
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        Ok(self.rows(query, allow).into_iter().take(n).map(|row| (row, 0.0)).collect())
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        Ok(self.rows(query, allow).iter().position(|&other| other == row))
    }
}
