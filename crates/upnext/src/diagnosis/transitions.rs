//! Which video follows which: how many different ones, how surely, and whether what comes next was seen to follow before.

use serde::Serialize;
use upnext_data::Query;
use upnext_math::seed::{Random, mix};

use super::shape::{Quartiles, share};

/// Steps along transitions that are followed.
const HOPS_MAX: usize = 3;
/// A walk over all transitions of a large set takes milliseconds: so many questions are walked for.
const WALKED_MAX: usize = 500;

/// What was found within some steps of the last video.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Hop {
    /// Steps, each from a video to one that directly followed it in train.
    pub(crate) hops: usize,
    /// Share of wanted videos that are reached.
    pub(crate) found: f64,
    /// Share of the videos of train that are: what chance would find.
    pub(crate) reached: f64,
}

/// Transitions at gap 1 between wanted videos of train, and those that validation asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Transitions {
    /// How many there are in train.
    pub(crate) n: usize,
    /// Videos of train that something follows.
    pub(crate) videos: usize,
    /// Different next videos of each of them: the branching.
    pub(crate) next_videos: Quartiles,
    /// Entropy of the next video where the last is known, in bits, weighted by transitions. Few transitions of a video make it
    /// small: read it beside the next number.
    pub(crate) entropy_bits: f64,
    /// The same after each history was shuffled: what sparse counts make of no order at all.
    pub(crate) entropy_shuffled_bits: f64,
    /// Entropy of the next video where nothing is known.
    pub(crate) entropy_unknown_bits: f64,
    /// Pairs of a last and a wanted video that validation asks for, of users with at least two videos.
    pub(crate) asked: usize,
    /// Share of them that train has seen, at gap 1.
    pub(crate) seen: f64,
    /// The same from an earlier video of the same history instead of the last, the mean over all of them.
    pub(crate) seen_from_earlier: f64,
    /// Within a few steps of the last video.
    pub(crate) hops: Vec<Hop>,
}

/// Counts; nothing where no user has two videos.
pub(super) fn transitions(
    sequences: &[Vec<u32>],
    n_videos: usize,
    validation: &[Query],
    seed: u64,
) -> Option<Transitions> {
    let graph = Graph::new(sequences, n_videos);
    if graph.next.is_empty() {
        return None;
    }
    let mut shuffled = sequences.to_vec();
    for (user, videos) in (0..).zip(&mut shuffled) {
        shuffle(videos, mix(seed ^ mix(user)));
    }
    let (mut asked, mut seen, mut earlier) = (0usize, 0usize, 0.0);
    for query in validation {
        let [past @ .., last] = query.history.positives() else { continue };
        if past.is_empty() {
            continue;
        }
        for &wanted in &query.relevant {
            asked += 1;
            seen += usize::from(graph.has(*last, wanted));
            earlier += share(past.iter().filter(|&&from| graph.has(from, wanted)).count(), past.len());
        }
    }
    Some(Transitions {
        n: graph.counts.iter().map(|&n| n as usize).sum(),
        videos: graph.rows().filter(|row| !row.0.is_empty()).count(),
        next_videos: Quartiles::of(graph.rows().map(|row| row.0.len()).filter(|&n| n > 0).collect()),
        entropy_bits: graph.entropy_bits(),
        entropy_shuffled_bits: Graph::new(&shuffled, n_videos).entropy_bits(),
        entropy_unknown_bits: graph.entropy_unknown_bits(),
        asked,
        seen: share(seen, asked),
        seen_from_earlier: earlier / asked.max(1) as f64,
        hops: graph.hops(sequences, validation),
    })
}

/// Fisher and Yates' shuffle.
pub(super) fn shuffle<T>(values: &mut [T], seed: u64) {
    let mut random = Random::new(seed);
    for at in (1..values.len()).rev() {
        values.swap(at, random.below(at + 1));
    }
}

/// Next videos of each video, sorted, and how often each followed.
struct Graph {
    starts: Vec<usize>,
    next: Vec<u32>,
    counts: Vec<u32>,
}

impl Graph {
    fn new(sequences: &[Vec<u32>], n_videos: usize) -> Self {
        let mut pairs: Vec<(u32, u32)> =
            sequences.iter().flat_map(|videos| videos.windows(2)).map(|two| (two[0], two[1])).collect();
        pairs.sort_unstable();
        let (mut starts, mut next, mut counts) = (vec![0; n_videos + 1], Vec::new(), Vec::new());
        for same in pairs.chunk_by(|a, b| a == b) {
            starts[same[0].0 as usize + 1] += 1;
            next.push(same[0].1);
            counts.push(same.len() as u32);
        }
        for at in 0..n_videos {
            starts[at + 1] += starts[at];
        }
        Self { starts, next, counts }
    }

    fn row(&self, video: u32) -> (&[u32], &[u32]) {
        let range = self.starts[video as usize]..self.starts[video as usize + 1];
        (&self.next[range.clone()], &self.counts[range])
    }

    fn rows(&self) -> impl Iterator<Item = (&[u32], &[u32])> {
        (0..self.starts.len() as u32 - 1).map(|video| self.row(video))
    }

    fn has(&self, from: u32, to: u32) -> bool {
        self.row(from).0.binary_search(&to).is_ok()
    }

    fn entropy_bits(&self) -> f64 {
        let weighted = |counts: &[u32]| {
            let (total, bits) = entropy(counts.iter().copied());
            total * bits
        };
        self.rows().map(|(_, counts)| weighted(counts)).sum::<f64>()
            / self.counts.iter().map(|&n| f64::from(n)).sum::<f64>().max(1.0)
    }

    fn entropy_unknown_bits(&self) -> f64 {
        let mut of_next = vec![0; self.starts.len() - 1];
        self.next.iter().zip(&self.counts).for_each(|(&video, &n)| of_next[video as usize] += n);
        entropy(of_next.into_iter()).1
    }

    fn hops(&self, sequences: &[Vec<u32>], validation: &[Query]) -> Vec<Hop> {
        let n_videos = self.starts.len() - 1;
        let mut occurs = vec![false; n_videos];
        sequences.iter().flatten().for_each(|&video| occurs[video as usize] = true);
        let n_occurring = occurs.iter().filter(|&&occurs| occurs).count();
        let step = validation.len().div_ceil(WALKED_MAX).max(1);
        let (mut wanted, mut found, mut reached, mut walks) =
            (0usize, [0usize; HOPS_MAX], [0.0; HOPS_MAX], 0u32);
        // At which step of which walk a video was met.
        let mut met = vec![(u32::MAX, 0); n_videos];
        for (walk, query) in (0..).zip(validation.iter().step_by(step)) {
            let Some(&last) = query.history.positives().last() else { continue };
            walks += 1;
            wanted += query.relevant.len();
            let mut border = vec![last];
            let mut n_met = 0;
            for (hop, reached) in reached.iter_mut().enumerate() {
                let mut further = Vec::new();
                for &next in border.iter().flat_map(|&video| self.row(video).0) {
                    if met[next as usize].0 != walk {
                        met[next as usize] = (walk, hop);
                        further.push(next);
                    }
                }
                n_met += further.len();
                *reached += share(n_met, n_occurring);
                border = further;
            }
            for met in query.relevant.iter().map(|&row| met[row as usize]).filter(|met| met.0 == walk) {
                found[met.1..].iter_mut().for_each(|found| *found += 1);
            }
        }
        (0..HOPS_MAX)
            .map(|at| Hop {
                hops: at + 1,
                found: share(found[at], wanted),
                reached: reached[at] / f64::from(walks.max(1)),
            })
            .collect()
    }
}

/// The sum of some counts, and their entropy in bits.
fn entropy(counts: impl Iterator<Item = u32> + Clone) -> (f64, f64) {
    let total: f64 = counts.clone().map(f64::from).sum();
    let bits = counts.filter(|&n| n > 0).map(|n| {
        let p = f64::from(n) / total;
        -p * p.log2()
    });
    (total, bits.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::History;

    #[test]
    fn transitions_by_hand() {
        // 0 is followed by 1 twice and by 2 twice: one bit. 1 is followed by 3 alone: none.
        let sequences = [vec![0, 1, 3], vec![0, 1], vec![0, 2], vec![0, 2]];
        let ask = |history: &[u32], wanted: u32| Query {
            user: 0,
            history: History::of_positives(history),
            masked: history.to_vec(),
            relevant: vec![wanted],
            at: None,
        };
        // From 1 to 3 is known, from 0 it is not but in two steps; a history of one video has no earlier one.
        let validation = [ask(&[0, 1], 3), ask(&[1, 0], 3), ask(&[0], 1)];
        let found = transitions(&sequences, 5, &validation, 1).unwrap();
        assert_eq!((found.n, found.videos, found.asked), (5, 2, 2));
        assert_eq!((found.next_videos.min, found.next_videos.max), (1, 2));
        assert!((found.entropy_bits - 4.0 / 5.0).abs() < 1e-12);
        // 1, 2 and 3 follow 2, 2 and 1 times.
        let unknown = -2.0 * 0.4 * 0.4f64.log2() - 0.2 * 0.2f64.log2();
        assert!((found.entropy_unknown_bits - unknown).abs() < 1e-12);
        assert_eq!((found.seen, found.seen_from_earlier), (0.5, 0.5));
        assert_eq!((found.hops[0].found, found.hops[1].found), (2.0 / 3.0, 1.0));
        assert!(transitions(&[vec![1], vec![2]], 3, &validation, 1).is_none());
    }
}
