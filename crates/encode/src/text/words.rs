//! Text by the words and letters that it shares with other texts of its catalogue: TF-IDF, then the strongest directions
//! (Deerwester et al. 1990). It knows no meaning beyond that, needs no weights, and reads any script.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use upnext_features::{is_sign, words};
use upnext_math::dot::add_scaled;
use upnext_math::{Matrix, Sparse, svd};

use crate::encoder::unit;
use crate::{EncodeError, Encoded, Encoder};

/// How it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WordsSettings {
    /// Numbers of a vector; fewer where the texts have fewer directions.
    pub dim: usize,
    /// Words and runs of letters that are told apart, at most: those in most texts, of each kind.
    pub pieces_max: usize,
    /// Pieces in fewer texts than this say nothing about likeness.
    pub texts_min: u32,
    /// Pieces in more than this share of all texts are grammar.
    pub share_max: f64,
    /// Of the start of the search for directions.
    pub seed: u64,
}

impl Default for WordsSettings {
    fn default() -> Self {
        Self { dim: 256, pieces_max: 100_000, texts_min: 2, share_max: 0.2, seed: 1 }
    }
}

/// Pieces that are held while they are counted, for each that may be kept.
const HELD_PER_KEPT: usize = 20;

/// Pieces of a text: whole words, or runs of letters within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    Words,
    Letters,
}

/// What is known of one kind of pieces.
#[derive(Clone, Debug, Default)]
struct Vocabulary {
    /// The row of `directions` and `ln(n / (df + 1))` of each piece.
    pieces: HashMap<String, (u32, f32)>,
}

/// Fitted on the texts of a catalogue.
#[derive(Clone, Debug)]
pub struct Words {
    words: Vocabulary,
    letters: Vocabulary,
    /// `(pieces, dimensions)`.
    directions: Matrix,
    digest: String,
}

impl Words {
    /// Finds pieces, their weights and the strongest directions of all texts.
    ///
    /// # Errors
    /// When no piece is shared by two texts, or a setting cannot be meant.
    pub fn fit(texts: &[&str], settings: &WordsSettings) -> Result<Self, EncodeError> {
        if !(1..=4_096).contains(&settings.dim) || settings.pieces_max == 0 {
            return Err(EncodeError::of("dim", "expected 1 to 4096 numbers and at least one piece"));
        }
        let words = Vocabulary::fit(texts, Pieces::Words, settings, 0);
        let letters = Vocabulary::fit(texts, Pieces::Letters, settings, words.pieces.len() as u32);
        let n_pieces = words.pieces.len() + letters.pieces.len();
        if n_pieces == 0 {
            let reason = format!("no word is shared by {} of {} texts", settings.texts_min, texts.len());
            return Err(EncodeError::of("text", reason));
        }
        let rows = texts.iter().map(|text| row(&words, &letters, text));
        let directions =
            svd::truncated(&Sparse::from_rows(n_pieces, rows), settings.dim, settings.seed).right;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"words 1");
        for vocabulary in [&words, &letters] {
            let mut pieces: Vec<_> = vocabulary.pieces.iter().collect();
            pieces.sort_unstable_by_key(|(_, (at, _))| *at);
            for (piece, (_, weight)) in pieces {
                hasher.update(piece.as_bytes()).update(&weight.to_le_bytes());
            }
        }
        directions.values().iter().for_each(|x| {
            hasher.update(&x.to_le_bytes());
        });
        Ok(Self { words, letters, directions, digest: hasher.finalize().to_hex().to_string() })
    }

    fn of_text(&self, text: &str) -> Option<Vec<f32>> {
        let mut vector = vec![0.0; self.directions.n_columns()];
        for (piece, weight) in row(&self.words, &self.letters, text) {
            add_scaled(&mut vector, weight, self.directions.row(piece as usize));
        }
        unit(vector)
    }
}

impl Encoder<str> for Words {
    fn name(&self) -> String {
        format!("words and letters, {} directions", self.dim())
    }

    fn dim(&self) -> usize {
        self.directions.n_columns()
    }

    fn is_unit(&self) -> bool {
        true
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn encode(&self, inputs: &[Option<&str>]) -> Result<Encoded, EncodeError> {
        let rows: Vec<_> = inputs.iter().map(|text| self.of_text((*text)?)).collect();
        Ok(Encoded::of_rows(self.dim(), &rows))
    }
}

impl Vocabulary {
    fn fit(texts: &[&str], pieces: Pieces, settings: &WordsSettings, first: u32) -> Self {
        let held_max = settings.pieces_max.saturating_mul(HELD_PER_KEPT);
        let (texts_with, n_texts) = pieces.counted(texts, held_max);
        let n = f64::from(n_texts);
        let most = (settings.share_max * n).max(f64::from(settings.texts_min));
        let telling = |count: u32| count >= settings.texts_min && f64::from(count) <= most;
        let idf = |count: u32| (n / (f64::from(count) + 1.0)).ln();
        let mut kept: Vec<(String, u32)> =
            texts_with.into_iter().filter(|&(_, count)| telling(count) && idf(count) > 0.0).collect();
        kept.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        kept.truncate(settings.pieces_max);
        let numbered = (first..).zip(kept).map(|(at, (piece, count))| (piece, (at, idf(count) as f32)));
        Self { pieces: numbered.collect() }
    }

    /// `(1 + ln tf) idf` of each known piece, as one unit vector.
    fn weigh(&self, text: &str, pieces: Pieces, row: &mut Vec<(u32, f32)>, share: f32) {
        let mut counts: HashMap<u32, (u32, f32)> = HashMap::new();
        pieces.each(text, |piece| {
            if let Some(&(at, idf)) = self.pieces.get(piece) {
                counts.entry(at).or_insert((0, idf)).0 += 1;
            }
        });
        let first = row.len();
        row.extend(counts.into_iter().map(|(at, (n, idf))| (at, (1.0 + (n as f32).ln()) * idf)));
        let new = &mut row[first..];
        // Sorted, so that the sum does not depend on the order of a hash table.
        new.sort_unstable_by_key(|&(at, _)| at);
        let length = new.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
        new.iter_mut().for_each(|(_, x)| *x *= share / length.max(f32::MIN_POSITIVE));
    }
}

/// Words and letters with equal shares.
fn row(words: &Vocabulary, letters: &Vocabulary, text: &str) -> Vec<(u32, f32)> {
    let mut row = Vec::new();
    words.weigh(text, Pieces::Words, &mut row, 0.5f32.sqrt());
    letters.weigh(text, Pieces::Letters, &mut row, 0.5f32.sqrt());
    row
}

impl Pieces {
    /// In how many texts each piece stands, and how many texts have any. Whenever more than `held_max` pieces are held, the
    /// rarest go until half as many are left (lossy counting, Manku and Motwani 2002): a catalogue has no end of misspelt words.
    fn counted(self, texts: &[&str], held_max: usize) -> (HashMap<String, u32>, u32) {
        let mut texts_with: HashMap<String, (u32, u32)> = HashMap::new();
        let mut n_texts = 0;
        for (at, text) in (1u32..).zip(texts) {
            let mut any = false;
            self.each(text, |piece| {
                any = true;
                match texts_with.get_mut(piece) {
                    Some((count, last)) if *last != at => (*count, *last) = (*count + 1, at),
                    Some(_) => {}
                    None => {
                        texts_with.insert(piece.to_string(), (1, at));
                    }
                }
            });
            n_texts += u32::from(any);
            if texts_with.len() > held_max {
                for rare in 1.. {
                    texts_with.retain(|_, (count, _)| *count > rare);
                    if texts_with.len() <= held_max / 2 {
                        break;
                    }
                }
            }
        }
        (texts_with.into_iter().map(|(piece, (count, _))| (piece, count)).collect(), n_texts)
    }

    /// Words as [`words`] cuts them. Or runs of three and four letters within a word and its ends; of signs that are written
    /// without spaces runs of one to three; and each emoji or other symbol by itself.
    fn each(self, text: &str, mut each: impl FnMut(&str)) {
        if self == Self::Words {
            return words(text, each);
        }
        let mut run: Vec<char> = Vec::new();
        let mut of_signs = false;
        let mut end = |run: &mut Vec<char>, of_signs: bool| {
            if run.is_empty() {
                return;
            }
            let lengths = if of_signs { 1..=3 } else { 3..=4 };
            if !of_signs {
                run.insert(0, ' ');
                run.push(' ');
            }
            let mut piece = String::new();
            for letters in lengths.flat_map(|n| run.windows(n)) {
                piece.clear();
                piece.extend(letters);
                each(&piece);
            }
            run.clear();
        };
        for letter in text.chars().flat_map(char::to_lowercase) {
            let (letter_of_word, sign) = (letter.is_alphanumeric(), is_sign(letter));
            if !letter_of_word || sign != of_signs {
                end(&mut run, of_signs);
            }
            if letter_of_word {
                (of_signs, _) = (sign, run.push(letter));
            } else if is_symbol(letter) {
                of_signs = true;
                run.push(letter);
                end(&mut run, true);
            }
        }
        end(&mut run, of_signs);
    }
}

/// Emoji, arrows and the like, which captions are full of; no punctuation.
fn is_symbol(letter: char) -> bool {
    matches!(letter as u32, 0x2190..=0x2bff | 0x1f000..=0x1faff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use upnext_math::dot::dot;

    fn letters(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        Pieces::Letters.each(text, |piece| found.push(piece.to_string()));
        found
    }

    const TEXTS: [&str; 8] = [
        "a captain and a submarine in the war",
        "the submarine, its captain, and the sea",
        "wedding bells and a bride",
        "the bride runs from her wedding",
        "美食小达人 探店",
        "美食达人的一天",
        "篮球 🏀 解说",
        "看 篮球 🏀",
    ];

    #[test]
    fn letters_come_in_runs_and_signs_and_symbols_by_themselves() {
        assert_eq!(letters("An ox!"), [" an", "an ", " an ", " ox", "ox ", " ox "]);
        assert_eq!(letters("小A吃"), ["小", " a ", "吃"]);
        assert_eq!(letters("小吃"), ["小", "吃", "小吃"]);
        assert_eq!(letters("🏀🏀"), ["🏀", "🏀"]);
    }

    #[test]
    fn texts_about_the_same_lie_close_in_any_script() {
        let words = Words::fit(&TEXTS, &WordsSettings { dim: 6, share_max: 1.0, ..WordsSettings::default() })
            .unwrap();
        contract::check::<str>(&words, &TEXTS);
        let encoded = words.encode(&TEXTS.map(Some)).unwrap();
        let alike = |a: usize, b: usize| dot(encoded.rows.row(a), encoded.rows.row(b));
        for (a, b, other) in [(0, 1, 2), (2, 3, 0), (4, 5, 6), (6, 7, 4)] {
            assert!(
                alike(a, b) > alike(a, other) + 0.3,
                "{a} {b} {other}: {} {}",
                alike(a, b),
                alike(a, other)
            );
        }
        // The root of a word is enough.
        let asked = words.encode(&[Some("weddings"), Some("?!"), Some("ЖЖЖ"), Some("🏀"), None]).unwrap();
        assert_eq!(asked.present, [true, false, false, true, false]);
        assert!(dot(asked.rows.row(0), encoded.rows.row(2)) > 0.5);
        assert!(dot(asked.rows.row(3), encoded.rows.row(6)) > 0.5);
    }

    #[test]
    fn pieces_that_are_held_are_bounded_and_common_ones_stay_exact() {
        let texts: Vec<String> = (0..500).map(|at| format!("captain x{at} y{at}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (all, n) = Pieces::Words.counted(&texts, 10_000);
        assert_eq!((all.len(), all["captain"], n), (1_001, 500, 500));
        let (held, n) = Pieces::Words.counted(&texts, 40);
        assert!(held.len() <= 40, "{}", held.len());
        assert_eq!((held["captain"], n), (500, 500));
    }

    #[test]
    fn a_long_text_one_of_emoji_and_one_of_many_scripts_have_vectors() {
        let long = "the submarine and its captain ".repeat(1 << 15);
        let mixed = "the captain 美食 капитан الغواصة कप्तान 🏀";
        let texts = [&long, mixed, "🏀🏀", "🏀 美食", "капитан الغواصة कप्तान"];
        let words =
            Words::fit(&texts, &WordsSettings { share_max: 1.0, ..WordsSettings::default() }).unwrap();
        contract::check::<str>(&words, &texts);
    }

    #[test]
    fn texts_that_share_nothing_are_refused() {
        let error = Words::fit(&["one", "two"], &WordsSettings::default()).unwrap_err().to_string();
        assert!(error.contains("no word is shared by 2 of 2 texts"), "{error}");
        assert!(Words::fit(&[], &WordsSettings::default()).is_err());
    }

    #[test]
    fn the_digest_is_of_what_was_learnt() {
        let of = |texts: &[&str]| Words::fit(texts, &WordsSettings::default()).unwrap().digest();
        assert_eq!(of(&TEXTS), of(&TEXTS));
        assert_ne!(of(&TEXTS), of(&TEXTS[..6]));
    }
}
