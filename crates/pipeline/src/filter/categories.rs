//! What the request asks for by category.

use crate::pipeline::{Filter, StageError};
use crate::{Allow, Query};

/// Keeps the videos that are in every category of the request: by a label of the run, `genre:Comedy` for
/// `Comedy`, or by the store's categories.
pub struct Categories {
    kinds: Vec<String>,
}

/// One category: the rows of the labels that stand for it, and its name in the store.
struct Wanted<'a> {
    labels: Vec<u32>,
    name: &'a str,
}

impl Categories {
    /// With the kinds of label that a category may name.
    pub fn new(kinds: Vec<String>) -> Self {
        Self { kinds }
    }

    fn wanted<'a>(&self, query: &'a Query) -> Vec<Wanted<'a>> {
        let labels = &query.stock.dataset.videos.labels;
        let of_kind = |name: &str| {
            let written_out = labels.row(name);
            let by_kind = self.kinds.iter().filter_map(|kind| labels.row(&format!("{kind}:{name}")));
            by_kind.chain(written_out).collect()
        };
        query.request.categories.iter().map(|name| Wanted { labels: of_kind(name), name }).collect()
    }

    fn fits(query: &Query, row: u32, wanted: &[Wanted<'_>]) -> bool {
        let stored = query.stock.stored_categories(row);
        let labels: &[u32] = match query.stock.is_of_run(row) {
            true => &query.stock.dataset.videos.video(row).labels,
            false => &[],
        };
        wanted.iter().all(|wanted| {
            stored.iter().any(|category| category == wanted.name)
                || wanted.labels.iter().any(|label| labels.binary_search(label).is_ok())
        })
    }
}

impl Filter for Categories {
    fn name(&self) -> &str {
        "categories"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        if query.request.categories.is_empty() {
            return Ok(());
        }
        let wanted = self.wanted(query);
        let unfit: Vec<u32> = allow.rows().filter(|&row| !Self::fits(query, row, &wanted)).collect();
        unfit.into_iter().for_each(|row| allow.refuse(row));
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(query.request.categories.is_empty() || Self::fits(query, row, &self.wanted(query)))
    }
}
