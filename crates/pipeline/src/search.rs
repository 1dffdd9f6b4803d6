//! Titles by the words somebody types.

use std::collections::HashMap;

use crate::{Popularity, Stock};

/// Titles in lower case, letters and digits only, with the year as a last word; newcomers are read at each
/// search.
pub(crate) struct Titles {
    words: Vec<String>,
}

/// How well a title answers: the whole beginning, beginnings of words, anywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Beginning,
    Words,
    Within,
}

impl Titles {
    /// Of a run's catalogue.
    pub(crate) fn new(dataset: &upnext_data::Dataset) -> Self {
        let plain = |video: &upnext_data::Video| {
            let year = video.year.map(|year| year.to_string()).unwrap_or_default();
            normal(&format!("{} {year}", video.title))
        };
        Self { words: dataset.videos.videos().iter().map(plain).collect() }
    }

    /// At most `n` rows whose titles hold every word of the query, best fit first, then by popularity; hidden
    /// videos are left out. An empty query finds well-known videos, varied by genre.
    pub(crate) fn search(
        &self,
        query: &str,
        n: usize,
        stock: &Stock,
        popularity: &Popularity,
        kinds: &[String],
    ) -> Vec<u32> {
        let query = normal(query);
        if query.is_empty() {
            return well_known(n, stock, popularity, kinds);
        }
        let words: Vec<&str> = query.split(' ').collect();
        let of_run = self
            .words
            .iter()
            .enumerate()
            .filter_map(|(row, title)| Some((fit(title, &query, &words)?, row as u32)));
        let first = self.words.len() as u32;
        let newcomers = (first..)
            .zip(stock.live.newcomers())
            .filter_map(|(row, video)| Some((fit(&normal(&video.title), &query, &words)?, row)));
        let mut found: Vec<(Fit, u32)> =
            of_run.chain(newcomers).filter(|&(_, row)| !stock.is_hidden(row)).collect();
        found.sort_by_key(|&(fit, row)| (fit, std::cmp::Reverse(popularity.count(row)), row));
        found.truncate(n);
        found.into_iter().map(|(_, row)| row).collect()
    }
}

fn fit(title: &str, query: &str, words: &[&str]) -> Option<Fit> {
    if title.starts_with(query) {
        return Some(Fit::Beginning);
    }
    if words.iter().all(|word| title.split(' ').any(|of_title| of_title.starts_with(word))) {
        return Some(Fit::Words);
    }
    words.iter().all(|word| title.contains(word)).then_some(Fit::Within)
}

/// Lower case, letters and digits, single spaces.
fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            normal.push(c);
        } else if c != '\'' && c != '’' && !normal.is_empty() && !normal.ends_with(' ') {
            normal.push(' ');
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// Well-known videos: each place goes to the largest `level * 0.8^(mean count of its genres above)`.
fn well_known(n: usize, stock: &Stock, popularity: &Popularity, kinds: &[String]) -> Vec<u32> {
    let mut order: Vec<u32> =
        (0..popularity.counts.len() as u32).filter(|&row| !stock.is_hidden(row)).collect();
    order.sort_by_key(|&row| (std::cmp::Reverse(popularity.count(row)), row));
    order.truncate((10 * n).clamp(100, 2_000).max(n));
    let mut left: Vec<(u32, Vec<&str>)> =
        order.into_iter().map(|row| (row, stock.genres(row, kinds))).collect();
    let mut above: HashMap<&str, u32> = HashMap::new();
    let mut found = Vec::with_capacity(n.min(left.len()));
    while found.len() < n && !left.is_empty() {
        let value = |(row, genres): &(u32, Vec<&str>)| {
            let shown: u32 = genres.iter().map(|genre| above.get(genre).copied().unwrap_or(0)).sum();
            popularity.level(*row) * 0.8f64.powf(f64::from(shown) / genres.len().max(1) as f64)
        };
        // The first of the best: the list is in the order of popularity.
        let mut best = (0, f64::NEG_INFINITY);
        for (at, video) in left.iter().enumerate() {
            let value = value(video);
            if value > best.1 {
                best = (at, value);
            }
        }
        let (row, genres) = left.remove(best.0);
        genres.into_iter().for_each(|genre| *above.entry(genre).or_default() += 1);
        found.push(row);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whatever_their_case_and_signs() {
        assert_eq!(normal("  Schindler's List (1993) "), "schindlers list 1993");
        assert_eq!(normal("影片 No. 1"), "影片 no 1");
        let fits = |title: &str, query: &str| {
            let query = normal(query);
            fit(&normal(title), &query, &query.split(' ').collect::<Vec<_>>())
        };
        assert!(fits("The Matrix", "the mat") == Some(Fit::Beginning));
        assert!(fits("The Matrix", "matr the") == Some(Fit::Words));
        assert!(fits("The Matrix", "atri") == Some(Fit::Within));
        assert!(fits("The Matrix", "heat").is_none());
    }
}
