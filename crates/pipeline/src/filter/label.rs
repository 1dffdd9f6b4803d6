//! What the request asks for by a label that a video may bear or not: its language, its region.

use std::sync::Arc;

use crate::pipeline::{Filter, StageError};
use crate::rows::{RowSets, labels_of};
use crate::{Allow, Query, Request, Stock};

/// Keeps the videos that bear the label asked for. One that bears no label of these kinds stays, unless `strict`.
pub struct Label {
    /// Its name in traces, `language` for example.
    pub name: &'static str,
    /// What of a request it goes by.
    pub asked: fn(&Request) -> Option<&str>,
    /// The kinds of label that tell it.
    pub kinds: Vec<String>,
    /// Whether what bears none of them is removed.
    pub strict: bool,
    /// The run's rows.
    pub sets: Arc<RowSets>,
}

impl Label {
    fn fits(&self, stock: &Stock, row: u32, asked: &str) -> bool {
        let values = labels_of(stock, row, &self.kinds);
        values.iter().any(|value| agree(value, asked)) || (values.is_empty() && !self.strict)
    }

    fn permitted(&self, stock: &Stock, asked: &str) -> Allow {
        let n = stock.n_rows();
        let labels = &stock.dataset.videos.labels;
        let (mut fitting, mut labelled) = (Allow::none(n), Allow::none(n));
        for kind in &self.kinds {
            for &label in self.sets.labels_of_kind(kind) {
                let fits = agree(&labels.name(label)[kind.len() + 1..], asked);
                for &row in self.sets.of_label(label) {
                    labelled.permit(row);
                    if fits {
                        fitting.permit(row);
                    }
                }
            }
        }
        if !self.strict {
            let mut silent = Allow::all(n);
            silent.take_out(&labelled);
            fitting.join(&silent);
        }
        for row in stock.dataset.videos.len() as u32..n as u32 {
            match self.fits(stock, row, asked) {
                true => fitting.permit(row),
                false => fitting.refuse(row),
            }
        }
        fitting
    }
}

/// Whether two tags name one thing: `en` and `EN` do, and `en` and `en-GB`; `en-GB` and `en-US` do not.
pub(crate) fn agree(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    match long.split_at_checked(short.len()) {
        Some((begin, rest)) => {
            begin.eq_ignore_ascii_case(short) && (rest.is_empty() || rest.starts_with(['-', '_']))
        }
        None => false,
    }
}

impl Filter for Label {
    fn name(&self) -> &str {
        self.name
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        if let Some(asked) = (self.asked)(&query.request) {
            let key = format!("{} {asked}", self.name);
            allow.keep_only(&self.sets.answer(&key, &query.stock, || self.permitted(&query.stock, asked)));
        }
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok((self.asked)(&query.request).is_none_or(|asked| self.fits(&query.stock, row, asked)))
    }
}

#[cfg(test)]
mod tests {
    use super::agree;

    #[test]
    fn a_language_without_a_country_is_spoken_in_all() {
        assert!(agree("en", "EN") && agree("en-GB", "en") && agree("en", "en_US") && agree("影", "影"));
        assert!(!agree("en-GB", "en-US") && !agree("en", "eng") && !agree("e", "影"));
    }
}
