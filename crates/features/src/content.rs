//! What videos are about, as sparse unit vectors: labels (genres, tags, attributes, casts) and text.

use std::collections::HashMap;

use rayon::prelude::*;
use upnext_data::{Catalogue, Names};
use upnext_math::{Sparse, keep_strongest};

use crate::words;

/// One sparse vector for each video.
///
/// Labels are weighted by `ln(n / (df + 1))`; words by `(1 + ln tf) * ln(n / (df + 1))`. Each of the two blocks
/// has unit length; where a catalogue has both, they are joined with equal shares, so that the inner product
/// of two videos is the mean of their cosines in labels and in text.
#[derive(Clone, Debug)]
pub struct Content {
    vectors: Sparse,
    transposed: Sparse,
}

/// Words in fewer videos than this say nothing about likeness.
const WORD_VIDEOS_MIN: usize = 2;
/// Words in more than this share of all videos are grammar.
const WORD_SHARE_MAX: f64 = 0.2;
/// At most this many distinct words are kept for one video, the heaviest first.
const WORDS_OF_A_VIDEO_MAX: usize = 256;

impl Content {
    /// From all that a catalogue tells; `None` when it tells nothing of any video.
    pub fn new(catalogue: &Catalogue) -> Option<Self> {
        let labels = labels(catalogue);
        let (text, n_words) = text(catalogue);
        let n_labels = catalogue.labels.len();
        let has = |rows: &[Vec<(u32, f32)>]| rows.iter().any(|row| !row.is_empty());
        let (label_share, text_share) = match (has(&labels), has(&text)) {
            (false, false) => return None,
            (true, false) => (1.0, 0.0),
            (false, true) => (0.0, 1.0),
            (true, true) => (0.5f32.sqrt(), 0.5f32.sqrt()),
        };
        let joined = labels.into_iter().zip(text).map(|(labels, text)| {
            let labels = labels.into_iter().map(|(label, x)| (label, x * label_share));
            let text = text.into_iter().map(|(word, x)| (n_labels as u32 + word, x * text_share));
            labels.chain(text).collect()
        });
        Some(Self::of_vectors(Sparse::from_rows(n_labels + n_words, joined)))
    }

    /// From titles and texts alone; `None` when no video has any.
    pub fn of_text(catalogue: &Catalogue) -> Option<Self> {
        let (text, n_words) = text(catalogue);
        let is_there = text.iter().any(|row| !row.is_empty());
        is_there.then(|| Self::of_vectors(Sparse::from_rows(n_words, text)))
    }

    fn of_vectors(vectors: Sparse) -> Self {
        Self { transposed: vectors.transpose(), vectors }
    }

    /// From vectors made elsewhere, one row a video, of unit length or zero.
    pub fn from_vectors(vectors: Sparse) -> Self {
        Self::of_vectors(vectors)
    }

    /// The vectors: `(videos, labels and words)`.
    pub fn vectors(&self) -> &Sparse {
        &self.vectors
    }

    /// How alike two videos are, from 0 to 1.
    pub fn between(&self, a: u32, b: u32) -> f32 {
        let (a_columns, a_values) = self.vectors.row(a as usize);
        let (b_columns, b_values) = self.vectors.row(b as usize);
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < a_columns.len() && j < b_columns.len() {
            match a_columns[i].cmp(&b_columns[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    sum += a_values[i] * b_values[j];
                    i += 1;
                    j += 1;
                }
            }
        }
        sum
    }

    /// Adds `weight` times the likeness to `video` onto the score of every video.
    pub fn add_likeness(&self, video: u32, weight: f32, scores: &mut [f32]) {
        let (columns, values) = self.vectors.row(video as usize);
        for (&column, &value) in columns.iter().zip(values) {
            self.transposed.add_row_to(column as usize, weight * value, scores);
        }
    }

    /// The likeness of all pairs, `(videos, videos)`: entries below `least` dropped, and of each video the
    /// `neighbours` most alike kept. Rows are cut as they are made, so memory is bounded by the result.
    pub fn likeness(&self, least: f32, neighbours: usize) -> Sparse {
        let n = self.vectors.n_rows();
        let rows: Vec<Vec<(u32, f32)>> = (0..n as u32)
            .into_par_iter()
            .map_init(
                || vec![0.0; n],
                |scores, video| {
                    scores.fill(0.0);
                    self.add_likeness(video, 1.0, scores);
                    let alike = (0..).zip(scores.iter().copied());
                    let mut kept: Vec<(u32, f32)> = alike.filter(|&(_, score)| score >= least).collect();
                    keep_strongest(&mut kept, neighbours);
                    kept
                },
            )
            .collect();
        Sparse::from_rows(n, rows)
    }
}

fn labels(catalogue: &Catalogue) -> Vec<Vec<(u32, f32)>> {
    let mut videos_with = vec![0usize; catalogue.labels.len()];
    for &label in catalogue.videos().iter().flat_map(|video| &video.labels) {
        videos_with[label as usize] += 1;
    }
    let n = catalogue.len() as f64;
    // A label that every video has tells nothing: its weight is zero, and it is left out.
    let idf: Vec<f32> = videos_with.iter().map(|&df| (n / (df as f64 + 1.0)).ln().max(0.0) as f32).collect();
    catalogue
        .videos()
        .iter()
        .map(|video| {
            let telling = video.labels.iter().filter(|&&label| idf[label as usize] > 0.0);
            unit(telling.map(|&label| (label, idf[label as usize])).collect())
        })
        .collect()
}

fn text(catalogue: &Catalogue) -> (Vec<Vec<(u32, f32)>>, usize) {
    let mut names = Names::new();
    let mut videos_with: Vec<usize> = Vec::new();
    let counted: Vec<HashMap<u32, u32>> = catalogue
        .videos()
        .iter()
        .map(|video| {
            let mut counts = HashMap::new();
            for text in [&video.title, &video.text] {
                words(text, |word| *counts.entry(names.intern(word)).or_insert(0) += 1);
            }
            videos_with.resize(names.len(), 0);
            counts.keys().for_each(|&word| videos_with[word as usize] += 1);
            counts
        })
        .collect();
    let n = catalogue.len() as f64;
    let weight = |word: u32, count: u32| -> Option<f32> {
        let df = videos_with[word as usize];
        let telling = df >= WORD_VIDEOS_MIN && df as f64 <= (WORD_SHARE_MAX * n).max(WORD_VIDEOS_MIN as f64);
        let idf = (n / (df as f64 + 1.0)).ln();
        (telling && idf > 0.0).then(|| ((1.0 + f64::from(count).ln()) * idf) as f32)
    };
    let rows = counted
        .into_iter()
        .map(|counts| {
            let mut row: Vec<(u32, f32)> =
                counts.into_iter().filter_map(|(word, count)| Some((word, weight(word, count)?))).collect();
            row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            row.truncate(WORDS_OF_A_VIDEO_MAX);
            unit(row)
        })
        .collect();
    (rows, names.len())
}

fn unit(mut row: Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    // Sorted first, so that the sum does not depend on the order of a hash table.
    row.sort_by_key(|&(column, _)| column);
    let norm = row.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
    row.iter_mut().for_each(|(_, x)| *x /= norm + 1e-6);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(videos: &[(&str, &str, &[&str])]) -> Catalogue {
        let mut catalogue = Catalogue::new();
        for (id, text, labels) in videos {
            let row = catalogue.intern(id);
            catalogue.video_mut(row).text = (*text).to_string();
            labels.iter().for_each(|label| catalogue.label(row, label));
        }
        catalogue
    }

    #[test]
    fn shared_rare_labels_make_videos_alike() {
        let set = catalogue(&[
            ("a", "", &["tag:heist", "genre:Crime"]),
            ("b", "", &["tag:heist", "genre:Crime"]),
            ("c", "", &["genre:Crime"]),
            ("d", "", &["genre:Comedy"]),
            ("e", "", &[]),
        ]);
        let content = Content::new(&set).unwrap();
        assert!((content.between(0, 1) - 1.0).abs() < 1e-4);
        assert!(content.between(0, 2) < content.between(0, 1));
        assert_eq!(content.between(0, 3), 0.0);
        assert_eq!(content.between(0, 4), 0.0);
        let likeness = content.likeness(0.25, 10);
        assert!((likeness.get(0, 1) - content.between(0, 1)).abs() < 1e-6);
        let mut scores = vec![0.0; 5];
        content.add_likeness(0, 2.0, &mut scores);
        assert!((scores[2] - 2.0 * content.between(0, 2)).abs() < 1e-6);
    }

    #[test]
    fn text_and_labels_have_equal_shares() {
        let set = catalogue(&[
            ("a", "submarine captain", &["genre:War"]),
            ("b", "submarine captain", &["genre:Comedy"]),
            ("c", "wedding", &["genre:War"]),
            ("d", "wedding", &["genre:Comedy"]),
            ("e", "desert", &["genre:Western"]),
        ]);
        let content = Content::new(&set).unwrap();
        assert!((content.between(0, 1) - 0.5).abs() < 1e-3);
        assert!((content.between(0, 2) - 0.5).abs() < 1e-3);
    }

    #[test]
    fn a_label_that_every_video_has_makes_nothing_alike() {
        let set = catalogue(&[
            ("a", "", &["genre:Film", "tag:x"]),
            ("b", "", &["genre:Film"]),
            ("c", "", &["genre:Film"]),
        ]);
        let content = Content::new(&set).unwrap();
        assert_eq!((content.between(1, 2), content.between(0, 1)), (0.0, 0.0));
    }

    #[test]
    fn a_catalogue_that_tells_nothing_has_no_content() {
        assert!(Content::new(&catalogue(&[("a", "", &[]), ("b", "", &[])])).is_none());
    }
}
