//! Who is old enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pipeline::{Filter, StageError};
use crate::rows::{RowSets, labels_of};
use crate::{Allow, Query, Stock};

/// Keeps the videos whose age rating is at most [`crate::Request::age_max`]; of several ratings the highest decides. One
/// without a rating that can be read stays, unless `strict`.
pub struct Age {
    /// The kinds of label that tell it.
    pub kinds: Vec<String>,
    /// Ages of ratings that are words: `R` to 17.
    pub ratings: BTreeMap<String, u32>,
    /// Whether what has no rating is removed.
    pub strict: bool,
    /// The run's rows.
    pub sets: Arc<RowSets>,
}

impl Age {
    /// The age that a rating stands for: the configured one, else the first number in it, as in `FSK 16` or `12+`.
    fn of(&self, rating: &str) -> Option<u32> {
        let known = self.ratings.iter().find(|(word, _)| word.eq_ignore_ascii_case(rating.trim()));
        known.map(|(_, &age)| age).or_else(|| {
            let begin = rating.find(|c: char| c.is_ascii_digit())?;
            let digits = &rating[begin..];
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        })
    }

    fn fits(&self, stock: &Stock, row: u32, age_max: u32) -> bool {
        let ages = labels_of(stock, row, &self.kinds);
        match ages.iter().filter_map(|rating| self.of(rating)).max() {
            Some(age) => age <= age_max,
            None => !self.strict,
        }
    }

    fn permitted(&self, stock: &Stock, age_max: u32) -> Allow {
        let n = stock.n_rows();
        let labels = &stock.dataset.videos.labels;
        let (mut fitting, mut refused) =
            (if self.strict { Allow::none(n) } else { Allow::all(n) }, Allow::none(n));
        for kind in &self.kinds {
            for &label in self.sets.labels_of_kind(kind) {
                let Some(age) = self.of(&labels.name(label)[kind.len() + 1..]) else { continue };
                let into = if age <= age_max { &mut fitting } else { &mut refused };
                self.sets.of_label(label).iter().for_each(|&row| into.permit(row));
            }
        }
        fitting.take_out(&refused);
        for row in stock.dataset.videos.len() as u32..n as u32 {
            match self.fits(stock, row, age_max) {
                true => fitting.permit(row),
                false => fitting.refuse(row),
            }
        }
        fitting
    }
}

impl Filter for Age {
    fn name(&self) -> &str {
        "age"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        if let Some(age_max) = query.request.age_max {
            let find = || self.permitted(&query.stock, age_max);
            allow.keep_only(&self.sets.answer(&format!("age {age_max}"), &query.stock, find));
        }
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(query.request.age_max.is_none_or(|age_max| self.fits(&query.stock, row, age_max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_read_from_words_and_numbers() {
        let ratings = BTreeMap::from([("R".to_string(), 17), ("PG".to_string(), 8)]);
        let sets = Arc::new(RowSets::new(&crate::testing::dataset()));
        let age = Age { kinds: Vec::new(), ratings, strict: false, sets };
        assert_eq!(
            ["r", "PG-13", "FSK 16", "12+", "unrated"].map(|r| age.of(r)),
            [Some(17), Some(13), Some(16), Some(12), None]
        );
        assert_eq!(age.of("99999999999999"), None);
    }
}
