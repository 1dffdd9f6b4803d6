//! What the request asks for by category.

use std::sync::Arc;

use crate::pipeline::{Filter, StageError};
use crate::rows::RowSets;
use crate::{Allow, Query};

/// Keeps the videos that are in every category of the request: by a label of the run, `genre:Comedy` for
/// `Comedy`, or by the store's categories. `Comedy|Crime` is either of the two.
pub struct Categories {
    /// The kinds of label that a category may name.
    pub kinds: Vec<String>,
    /// The run's rows.
    pub sets: Arc<RowSets>,
}

/// One category, or one of several: the labels of the run that stand for it, and its names in the store.
struct Wanted<'a> {
    labels: Vec<u32>,
    names: Vec<&'a str>,
}

impl Categories {
    fn wanted<'a>(&self, query: &Query, category: &'a str) -> Wanted<'a> {
        let labels = &query.stock.dataset.videos.labels;
        let names: Vec<&str> = category.split('|').collect();
        let of_kind = |name: &&str| {
            let by_kind = self.kinds.iter().filter_map(|kind| labels.row(&format!("{kind}:{name}")));
            by_kind.chain(labels.row(name)).collect::<Vec<u32>>()
        };
        Wanted { labels: names.iter().flat_map(of_kind).collect(), names }
    }

    fn fits(query: &Query, row: u32, wanted: &Wanted<'_>) -> bool {
        let stored = query.stock.stored_categories(row);
        let labels: &[u32] = match query.stock.is_of_run(row) {
            true => &query.stock.dataset.videos.video(row).labels,
            false => &[],
        };
        stored.iter().any(|category| wanted.names.contains(&category.as_str()))
            || wanted.labels.iter().any(|label| labels.binary_search(label).is_ok())
    }
}

impl Filter for Categories {
    fn name(&self) -> &str {
        "categories"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        for category in &query.request.categories {
            let find = || {
                let wanted = self.wanted(query, category);
                let mut fitting = Allow::none(query.stock.n_rows());
                let of_run = wanted.labels.iter().flat_map(|&label| self.sets.of_label(label)).copied();
                let stored = query.stock.live.categorised().filter(|&row| Self::fits(query, row, &wanted));
                of_run.chain(stored).for_each(|row| fitting.permit(row));
                fitting
            };
            allow.keep_only(&self.sets.answer(&format!("category {category}"), &query.stock, find));
        }
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        let mut categories = query.request.categories.iter();
        Ok(categories.all(|category| Self::fits(query, row, &self.wanted(query, category))))
    }
}
