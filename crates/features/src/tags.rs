//! Several tags a video: multi-hot columns, and learnt tag vectors averaged for each video.
//!
//! Tag vectors are learnt as words are by CBOW (Mikolov et al. 2013): the mean of a video's other tags predicts
//! the tag, against tags drawn at random. Tags that stand in the same company come to lie close.

use serde::{Deserialize, Serialize};
use upnext_data::Catalogue;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::seed::Random;

use crate::category::Vocabulary;
use crate::{Table, TrainRows};

/// The labels of one kind of every video, `tag` or `genre` for example: what the functions below take.
pub fn of_catalogue<'a>(catalogue: &'a Catalogue, kind: &'a str) -> Vec<Vec<&'a str>> {
    (0..catalogue.len() as u32).map(|row| catalogue.labels_of(row, kind).collect()).collect()
}

/// A vocabulary of the tags that occur in at least `count_min` of the train videos.
///
/// # Panics
/// If a train row is not among the videos.
pub fn vocabulary(videos: &[Vec<&str>], train: &TrainRows, count_min: usize) -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    vocabulary.extend_many(train.iter().flat_map(|row| distinct(&videos[row])), count_min);
    vocabulary
}

/// Multi-hot: one column a row of the vocabulary, 1 where a video has the tag; tags without a row set `other`.
/// A video without tags is flagged as missing in every column.
pub fn multi_hot(videos: &[Vec<&str>], vocabulary: &Vocabulary) -> Table {
    let names: Vec<String> = vocabulary.columns("tag").collect();
    let mut matrix = Matrix::zeros(videos.len(), names.len());
    for (row, tags) in videos.iter().enumerate() {
        tags.iter().for_each(|tag| matrix.row_mut(row)[vocabulary.row(tag) as usize] = 1.0);
    }
    let missing = videos.iter().flat_map(|tags| vec![tags.is_empty(); names.len()]).collect();
    Table { names, matrix, missing }
}

/// How tag vectors are learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagConfig {
    /// Length of a vector.
    pub dimension: usize,
    /// Passes over the train videos.
    pub epochs: usize,
    /// Tags drawn against each true one.
    pub negatives: usize,
    /// Step length at the start; it falls linearly to a hundredth of itself.
    pub rate: f32,
    /// Of a video with more tags, the first this many are used.
    pub tags_of_a_video_max: usize,
}

impl Default for TagConfig {
    fn default() -> Self {
        Self { dimension: 16, epochs: 20, negatives: 5, rate: 0.05, tags_of_a_video_max: 32 }
    }
}

/// Learnt tag vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagVectors {
    vocabulary: Vocabulary,
    dimension: usize,
    /// One vector after another, by row of the vocabulary; that of `other` is zero.
    vectors: Vec<f32>,
}

/// The distribution of negatives is the counts to this power (Mikolov et al. 2013).
const NEGATIVE_POWER: f64 = 0.75;

impl TagVectors {
    /// Learns from the train videos, each a list of tags; on one thread, so that a seed gives the same vectors
    /// on every machine. Tags outside the vocabulary are passed over.
    ///
    /// # Panics
    /// If a train row is not among the videos.
    pub fn fit(
        videos: &[Vec<&str>],
        train: &TrainRows,
        vocabulary: Vocabulary,
        config: &TagConfig,
        seed: u64,
    ) -> Self {
        let bags: Vec<Vec<u32>> = train
            .iter()
            .map(|row| known(&videos[row], &vocabulary, config.tags_of_a_video_max))
            .filter(|tags| tags.len() > 1)
            .collect();
        let mut random = Random::new(seed);
        let mut learner = Learner::new(vocabulary.len(), config.dimension, &bags, &mut random);
        let n_steps = (config.epochs * bags.len()).max(1) as f32;
        let mut n_done = 0;
        for _ in 0..config.epochs {
            let mut order: Vec<usize> = (0..bags.len()).collect();
            (1..order.len()).rev().for_each(|at| order.swap(at, random.below(at + 1)));
            for at in order {
                let rate = config.rate * (1.0 - 0.99 * n_done as f32 / n_steps);
                learner.step(&bags[at], config.negatives, rate, &mut random);
                n_done += 1;
            }
        }
        let mut vectors = learner.inputs.into_values();
        vectors[..config.dimension].fill(0.0);
        Self { vocabulary, dimension: config.dimension, vectors }
    }

    /// The vector of a tag, or `None` if it has none.
    pub fn of_tag(&self, tag: &str) -> Option<&[f32]> {
        let row = self.vocabulary.row(tag) as usize;
        (row != Vocabulary::OTHER as usize)
            .then(|| &self.vectors[row * self.dimension..(row + 1) * self.dimension])
    }

    /// The mean of the vectors of a video's tags, each once; `None` where no tag has one.
    pub fn of_video(&self, tags: &[&str]) -> Option<Vec<f32>> {
        let vectors: Vec<&[f32]> = distinct(tags).filter_map(|tag| self.of_tag(tag)).collect();
        let mut mean = vec![0.0; self.dimension];
        vectors.iter().for_each(|vector| add_scaled(&mut mean, 1.0 / vectors.len() as f32, vector));
        (!vectors.is_empty()).then_some(mean)
    }

    /// The vectors of many videos, `(videos, dimension)`; zero and flagged where there is none.
    pub fn table(&self, videos: &[Vec<&str>]) -> Table {
        let names = (0..self.dimension).map(|at| format!("tag_vector_{at}")).collect();
        let unknown = || vec![f32::NAN; self.dimension];
        let values = videos.iter().flat_map(|tags| self.of_video(tags).unwrap_or_else(unknown)).collect();
        Table::from_values(names, videos.len(), values, 0.0)
    }
}

/// The two vectors of each tag: `inputs` speak for a tag in company, `outputs` for one that is predicted.
struct Learner {
    inputs: Matrix,
    outputs: Matrix,
    /// Running sums of the weights by which negatives are drawn, one a row.
    reached: Vec<f64>,
}

impl Learner {
    fn new(n_rows: usize, dimension: usize, bags: &[Vec<u32>], random: &mut Random) -> Self {
        let mut counts = vec![0u32; n_rows];
        bags.iter().flatten().for_each(|&tag| counts[tag as usize] += 1);
        let mut sum = 0.0;
        let reached = counts
            .iter()
            .map(|&count| {
                sum += f64::from(count).powf(NEGATIVE_POWER);
                sum
            })
            .collect();
        // As word2vec starts: inputs small around zero, outputs zero.
        let spread = 1.0 / dimension.max(1) as f32;
        let inputs = (0..n_rows * dimension).map(|_| (random.uniform() - 0.5) * spread).collect();
        let inputs = Matrix::from_rows(n_rows, dimension, inputs);
        Self { inputs, outputs: Matrix::zeros(n_rows, dimension), reached }
    }

    /// One step for each tag of a video: ascends `ln s(u·h) + sum ln s(-n·h)`, where `h` is the mean of the other
    /// tags' inputs, `u` the tag's output, `n` the outputs of negatives and `s` the logistic function.
    fn step(&mut self, bag: &[u32], negatives: usize, rate: f32, random: &mut Random) {
        let dimension = self.inputs.n_columns();
        let share = 1.0 / (bag.len() - 1) as f32;
        let (mut company, mut gradient) = (vec![0.0; dimension], vec![0.0; dimension]);
        for &tag in bag {
            company.fill(0.0);
            gradient.fill(0.0);
            let others = || bag.iter().filter(|&&other| other != tag).map(|&other| other as usize);
            others().for_each(|other| add_scaled(&mut company, share, self.inputs.row(other)));
            self.predict(tag, 1.0, rate, &company, &mut gradient);
            for _ in 0..negatives {
                let negative = self.draw(random);
                // A tag that the video has is no negative.
                if !bag.contains(&negative) {
                    self.predict(negative, 0.0, rate, &company, &mut gradient);
                }
            }
            others().for_each(|other| add_scaled(self.inputs.row_mut(other), share, &gradient));
        }
    }

    fn predict(&mut self, tag: u32, truth: f32, rate: f32, company: &[f32], gradient: &mut [f32]) {
        let output = self.outputs.row_mut(tag as usize);
        let error = rate * (truth - 1.0 / (1.0 + (-dot(output, company)).exp()));
        add_scaled(gradient, error, output);
        add_scaled(output, error, company);
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let total = self.reached.last().copied().unwrap_or(0.0);
        let at = f64::from(random.uniform()) * total;
        self.reached.partition_point(|&reached| reached <= at).min(self.reached.len() - 1) as u32
    }
}

fn known(tags: &[&str], vocabulary: &Vocabulary, most: usize) -> Vec<u32> {
    let rows = distinct(tags).map(|tag| vocabulary.row(tag));
    rows.filter(|&row| row != Vocabulary::OTHER).take(most).collect()
}

/// Each tag once, in the order of its first place.
fn distinct<'a>(tags: &[&'a str]) -> impl Iterator<Item = &'a str> {
    tags.iter().enumerate().filter(|&(at, tag)| !tags[..at].contains(tag)).map(|(_, &tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(vectors: &TagVectors, a: &str, b: &str) -> f32 {
        let (a, b) = (vectors.of_tag(a).unwrap(), vectors.of_tag(b).unwrap());
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    /// Two companies: food (noodles, soup, chef) and football (goal, match, fans); `daily` keeps both.
    fn videos() -> Vec<Vec<&'static str>> {
        let (food, ball) = (["noodles", "soup", "chef"], ["goal", "match", "fans"]);
        let mut videos = Vec::new();
        for group in [food, ball] {
            for left_out in 0..3 {
                let pair: Vec<&str> = (0..3).filter(|&at| at != left_out).map(|at| group[at]).collect();
                videos.extend(vec![pair.clone(); 20]);
                videos.push(pair.into_iter().chain(["daily"]).collect());
            }
        }
        videos
    }

    #[test]
    fn tags_that_occur_together_lie_closer() {
        let videos = videos();
        let train = TrainRows::all(videos.len());
        let fit = |seed| {
            let vocabulary = vocabulary(&videos, &train, 2);
            TagVectors::fit(
                &videos,
                &train,
                vocabulary,
                &TagConfig { epochs: 60, ..TagConfig::default() },
                seed,
            )
        };
        let vectors = fit(1);
        for (a, b) in [("noodles", "soup"), ("soup", "chef"), ("goal", "match"), ("match", "fans")] {
            for far in if a == "noodles" || a == "soup" { ["goal", "fans"] } else { ["noodles", "chef"] } {
                let (near, far) = (cosine(&vectors, a, b), cosine(&vectors, a, far));
                assert!(near > far + 0.5, "{a} {b} {near}, {far}");
            }
        }
        assert_eq!(vectors, fit(1));
        assert_ne!(vectors, fit(2));
        let kept: TagVectors = serde_json::from_str(&serde_json::to_string(&vectors).unwrap()).unwrap();
        assert_eq!(kept, vectors);
    }

    #[test]
    fn one_step_by_hand() {
        // Tags 1 and 2, one dimension, inputs 1 and 3, outputs 0 and 0.5, no negatives, rate 0.1.
        let mut learner = Learner {
            inputs: Matrix::from_rows(3, 1, vec![0.0, 1.0, 3.0]),
            outputs: Matrix::from_rows(3, 1, vec![0.0, 0.0, 0.5]),
            reached: vec![0.0, 1.0, 2.0],
        };
        learner.step(&[1, 2], 0, 0.1, &mut Random::new(1));
        // Tag 1: h = 3, u = 0, s = 0.5, error 0.05: u becomes 0.15; the gradient is 0.05 * 0 = 0.
        assert!((learner.outputs.row(1)[0] - 0.15).abs() < 1e-6);
        assert_eq!(learner.inputs.row(2)[0], 3.0);
        // Tag 2: h = 1, u = 0.5, s = 0.622459, error 0.0377541: u 0.5377541, input 1 becomes 1.0188770.
        assert!((learner.outputs.row(2)[0] - 0.537_754_1).abs() < 1e-6);
        assert!((learner.inputs.row(1)[0] - 1.018_877).abs() < 1e-6);
    }

    #[test]
    fn a_video_is_the_mean_of_its_tags_and_one_without_tags_is_masked() {
        let vectors = TagVectors {
            vocabulary: vec!["a".to_string(), "b".to_string()].into(),
            dimension: 2,
            vectors: vec![0.0, 0.0, 1.0, 2.0, 3.0, 6.0],
        };
        assert_eq!(vectors.of_video(&["a", "b", "a", "unknown"]), Some(vec![2.0, 4.0]));
        let table = vectors.table(&[vec!["b"], vec![], vec!["unknown"]]);
        assert_eq!(table.matrix.values(), [3.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(table.missing, [false, false, true, true, true, true]);
    }

    #[test]
    fn the_labels_of_one_kind_are_tags() {
        let mut catalogue = Catalogue::new();
        ["v", "w"].iter().for_each(|name| {
            catalogue.intern(name);
        });
        ["tag:slow", "genre:Drama", "tag:dark"].iter().for_each(|label| catalogue.label(0, label));
        assert_eq!(of_catalogue(&catalogue, "tag"), [vec!["slow", "dark"], vec![]]);
    }

    #[test]
    fn multi_hot_by_hand_and_later_tags_are_other() {
        let videos = vec![vec!["a", "b"], vec!["b", "b"], vec![], vec!["late", "a"]];
        let vocabulary = vocabulary(&videos, &TrainRows::all(3), 1);
        let table = multi_hot(&videos, &vocabulary);
        // Two videos have b, which counts once a video, and one before the cut has a: b stands first.
        assert_eq!(table.names, ["tag=other", "tag=b", "tag=a"]);
        assert_eq!(table.matrix.row(0), [0.0, 1.0, 1.0]);
        assert_eq!(table.matrix.row(1), [0.0, 1.0, 0.0]);
        assert_eq!(table.matrix.row(3), [1.0, 0.0, 1.0]);
        assert_eq!((table.missing_of(2), table.missing_of(3)), (&[true; 3][..], &[false; 3][..]));
    }
}
