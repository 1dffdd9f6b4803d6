//! Titles, comments and user names as vectors of a fixed length, without a vocabulary: hashed words, or hashed
//! runs of letters, which names need.
//!
//! The hashing trick with signs (Weinberger et al. 2009): pieces that share a place cancel on average. These are
//! counts of pieces; they know no meaning beyond them.

use serde::{Deserialize, Serialize};
use upnext_data::{Action, Circumstance};

use crate::category::hash;
use crate::{Table, TrainRows, words};

/// What a text is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pieces {
    /// Words; runs of Chinese, Japanese or Korean signs as overlapping pairs. For titles and comments.
    Words,
    /// Runs of this many letters, in lower case, with a mark at both ends of the text. For names.
    Letters {
        /// The shortest run.
        shortest: usize,
        /// The longest run.
        longest: usize,
    },
}

/// Fitted text vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextVectors {
    pieces: Pieces,
    seed: u64,
    /// One a place of the vector: `ln((n + 1) / (df + 1)) + 1`, with `n` train texts, of which `df` meet it.
    weights: Vec<f32>,
}

/// Of a longer text this many bytes are read.
const TEXT_BYTES_MAX: usize = 1 << 16;

impl TextVectors {
    /// Fits the weights on the train texts; empty ones do not count.
    ///
    /// # Panics
    /// If a train row is not among the texts.
    pub fn fit(texts: &[&str], train: &TrainRows, pieces: Pieces, dimension: usize, seed: u64) -> Self {
        let unweighted = Self { pieces, seed, weights: vec![1.0; dimension] };
        let (mut n_texts, mut met_by) = (0, vec![0u32; dimension]);
        for row in train.iter().filter(|&row| !texts[row].is_empty()) {
            n_texts += 1;
            let counts = unweighted.counts(texts[row]);
            met_by.iter_mut().zip(counts).for_each(|(met, (_, n))| *met += u32::from(n > 0));
        }
        let weight = |met: u32| (f64::from(n_texts + 1) / f64::from(met + 1)).ln() + 1.0;
        Self { weights: met_by.into_iter().map(|met| weight(met) as f32).collect(), ..unweighted }
    }

    /// The vector of a text, of unit length; `None` where no piece is left of it.
    pub fn of_text(&self, text: &str) -> Option<Vec<f32>> {
        let counts = self.counts(text);
        let mut vector: Vec<f32> =
            counts.iter().zip(&self.weights).map(|(&(signed, _), weight)| signed * weight).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        (length > 0.0).then_some(vector)
    }

    /// Many texts, `(texts, dimension)`; zero and flagged where there is nothing to read.
    pub fn table(&self, texts: &[&str]) -> Table {
        self.table_of(texts.iter().map(|text| self.of_text(text)))
    }

    /// The mean of the vectors of the comments under each video strictly before `t` (milliseconds since 1970),
    /// `(videos, dimension)`; zero and flagged where there is none.
    pub fn comments_of_videos(&self, circumstances: &[Circumstance], n_videos: usize, t: i64) -> Table {
        let comments = circumstances.iter().filter(|said| said.action == Action::Comment);
        self.means(comments.filter_map(|said| Some((said.video?, said))), n_videos, t)
    }

    /// The mean of the vectors of what each user searched for, or of what each wrote under videos, strictly
    /// before `t`, `(users, dimension)`; zero and flagged where there is nothing.
    pub fn words_of_users(
        &self,
        circumstances: &[Circumstance],
        action: Action,
        n_users: usize,
        t: i64,
    ) -> Table {
        let said = circumstances.iter().filter(|said| said.action == action);
        self.means(said.map(|said| (said.user, said)), n_users, t)
    }

    /// How long a vector is.
    pub fn dimension(&self) -> usize {
        self.weights.len()
    }

    fn means<'a>(&self, said: impl Iterator<Item = (u32, &'a Circumstance)>, n_rows: usize, t: i64) -> Table {
        let mut sums: Vec<Option<(Vec<f32>, f32)>> = vec![None; n_rows];
        for (row, said) in said.filter(|(_, said)| said.time < t) {
            let Some((sum, vector)) = sums.get_mut(row as usize).zip(self.of_text(&said.text)) else {
                continue;
            };
            let (sum, n) = sum.get_or_insert_with(|| (vec![0.0; self.dimension()], 0.0));
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
            *n += 1.0;
        }
        self.table_of(sums.into_iter().map(|sum| sum.map(|(sum, n)| sum.iter().map(|x| x / n).collect())))
    }

    fn table_of(&self, vectors: impl ExactSizeIterator<Item = Option<Vec<f32>>>) -> Table {
        let names = (0..self.dimension()).map(|at| format!("text_{at}")).collect();
        let n_rows = vectors.len();
        let unknown = || vec![f32::NAN; self.dimension()];
        let values = vectors.flat_map(|vector| vector.unwrap_or_else(unknown)).collect();
        Table::from_values(names, n_rows, values, 0.0)
    }

    /// For each place the signed count of pieces, and how many there were.
    fn counts(&self, text: &str) -> Vec<(f32, u32)> {
        let mut counts = vec![(0.0, 0); self.dimension()];
        if counts.is_empty() {
            return counts;
        }
        self.pieces.each(cut(text), |piece| {
            let bits = hash(piece, self.seed);
            // The low bit is the sign; the place comes from the others.
            let place = ((u128::from(bits >> 1) * counts.len() as u128) >> 63) as usize;
            counts[place].0 += if bits & 1 == 1 { 1.0 } else { -1.0 };
            counts[place].1 += 1;
        });
        counts
    }
}

impl Pieces {
    fn each(self, text: &str, mut each: impl FnMut(&str)) {
        let Self::Letters { shortest, longest } = self else {
            return words(text, each);
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return;
        }
        let marked = format!("\u{2}{}\u{3}", trimmed.to_lowercase());
        let mut starts: Vec<usize> = marked.char_indices().map(|(at, _)| at).collect();
        starts.push(marked.len());
        for n in shortest.max(1)..=longest {
            starts.windows(n + 1).for_each(|run| each(&marked[run[0]..run[n]]));
        }
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_math::dot::dot;

    const NAMES: Pieces = Pieces::Letters { shortest: 2, longest: 3 };

    #[test]
    fn a_name_is_cut_into_marked_runs() {
        let mut runs = Vec::new();
        NAMES.each(" 小Ann ", |run| runs.push(run.to_string()));
        let pairs = ["\u{2}小", "小a", "an", "nn", "n\u{3}"];
        let threes = ["\u{2}小a", "小an", "ann", "nn\u{3}"];
        assert_eq!(runs, [&pairs[..], &threes].concat());
    }

    #[test]
    fn names_that_look_alike_lie_close_in_any_script() {
        let names = ["美食小达人", "美食达人", "篮球解说", "Anna_Lee", "anna-lee", "Bob"];
        let vectors = TextVectors::fit(&names, &TrainRows::all(6), NAMES, 512, 5);
        let alike = |a: usize, b: usize| {
            dot(&vectors.of_text(names[a]).unwrap(), &vectors.of_text(names[b]).unwrap())
        };
        assert!(alike(0, 1) > alike(0, 2) + 0.3 && alike(3, 4) > alike(3, 5) + 0.3);
        assert!((alike(0, 0) - 1.0).abs() < 1e-5);
        let words = TextVectors::fit(&names, &TrainRows::all(6), Pieces::Words, 512, 5);
        let said = |text: &str| words.of_text(text).unwrap();
        // They share the pair 美食, of weight ln(7/3) + 1 as two names have it, beside three pairs and two of
        // weight ln 7 + 1: 3.414 / (5.429 * 4.558) = 0.138.
        assert!((dot(&said("好吃的美食"), &said("美食真好")) - 0.138).abs() < 1e-3);
        assert_eq!((words.of_text("! ?"), vectors.of_text("  ")), (None, None));
    }

    #[test]
    fn weights_by_hand_and_from_train_texts_alone() {
        let texts = |late| ["cat", "cat dog", "", late];
        let train = TrainRows::of([0, 1, 2]);
        let fit = |late| TextVectors::fit(&texts(late), &train, Pieces::Words, 64, 1);
        assert_eq!(fit("dog dog"), fit("bird"));
        // Two texts; cat is in both: ln(3/3) + 1 = 1; dog in one: ln(3/2) + 1; the rest in none: ln 3 + 1.
        let fitted = fit("");
        let mut weights = fitted.weights.clone();
        weights.sort_by(f32::total_cmp);
        assert_eq!(weights[0], 1.0);
        assert!((weights[1] - (1.5f32.ln() + 1.0)).abs() < 1e-6);
        assert!(weights[2..].iter().all(|weight| (weight - (3f32.ln() + 1.0)).abs() < 1e-6));
        // "cat dog": two entries, 1 and 1.405465, over their length 1.724910.
        let mut entries: Vec<f32> = fitted.of_text("cat dog").unwrap().iter().map(|x| x.abs()).collect();
        entries.sort_by(|a, b| b.total_cmp(a));
        assert!(
            (entries[0] - 0.814_805).abs() < 1e-5 && (entries[1] - 0.579_740).abs() < 1e-5,
            "{entries:?}"
        );
        assert_eq!(entries[2], 0.0);
        let kept: TextVectors = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
        assert_eq!(kept, fitted);
    }

    #[test]
    fn comments_under_a_video_are_averaged_before_t() {
        let said = |video, action, time, text: &str| Circumstance {
            user: 0,
            video,
            action,
            time,
            text: text.into(),
            device: String::new(),
            place: None,
        };
        let log = [
            said(Some(0), Action::Comment, 1, "cat"),
            said(Some(0), Action::Comment, 2, "dog"),
            said(Some(0), Action::Comment, 3, "bird"),
            said(None, Action::Search, 1, "bird"),
        ];
        let vectors = TextVectors::fit(&["cat", "dog"], &TrainRows::all(2), Pieces::Words, 64, 1);
        let of = |text: &str| vectors.of_text(text).unwrap();
        let mean: Vec<f32> = of("cat").iter().zip(of("dog")).map(|(a, b)| (a + b) / 2.0).collect();
        let table = vectors.comments_of_videos(&log, 2, 3);
        assert_eq!(table.matrix.row(0), mean);
        assert!(table.missing_of(1).iter().all(|&missing| missing));
        let searched = vectors.words_of_users(&log, Action::Search, 1, 3);
        assert_eq!(searched.matrix.row(0), of("bird"));
    }

    #[test]
    fn a_very_long_text_is_cut_at_a_letter() {
        let long = "影".repeat(TEXT_BYTES_MAX);
        assert_eq!(cut(&long).len(), TEXT_BYTES_MAX / 3 * 3);
        let none = TextVectors::fit(&[&long], &TrainRows::all(1), Pieces::Words, 0, 1);
        assert_eq!(none.of_text("cat"), None);
    }
}
