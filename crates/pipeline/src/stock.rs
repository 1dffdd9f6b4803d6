//! Every video that can be shown at one moment: the run's catalogue, and what the store says on top of it.
//!
//! Rows below the catalogue's length are the run's, and models know them; the rows after are newcomers, which
//! came in through the store and which no model knows yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use upnext_data::{Dataset, Names, Video};

/// What the store says of one video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveVideo {
    /// Outside id.
    pub id: String,
    /// The title, where the store keeps one.
    pub title: String,
    /// Must not be shown.
    pub hidden: bool,
    /// Categories.
    pub categories: Vec<String>,
    /// Labels by kind, texts only.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Outside id of the creator, where the labels name one.
    pub creator: Option<String>,
    /// Milliseconds since 1970 at which it came in.
    pub time: Option<i64>,
}

/// What the store says of all videos, read at one moment.
#[derive(Debug, Default)]
pub struct Live {
    first_row: u32,
    names: Names,
    newcomers: Vec<LiveVideo>,
    hidden: HashSet<u32>,
    categories: HashMap<u32, Vec<String>>,
    latest: Vec<(i64, u32)>,
}

impl Live {
    /// From the stored videos, and the outside ids that are hidden or deleted.
    pub fn new(dataset: &Dataset, videos: Vec<LiveVideo>, hidden: &[String]) -> Self {
        let mut live = Self { first_row: dataset.videos.len() as u32, ..Self::default() };
        let mut videos = videos;
        // Rows do not depend on the order in which the store lists its videos.
        videos.sort_by(|a, b| a.id.cmp(&b.id));
        videos.dedup_by(|a, b| a.id == b.id);
        for video in videos {
            let known = dataset.videos.row(&video.id);
            let row = known.unwrap_or(live.first_row + live.newcomers.len() as u32);
            if video.hidden {
                live.hidden.insert(row);
            } else if let Some(time) = video.time {
                live.latest.push((time, row));
            }
            if !video.categories.is_empty() {
                live.categories.insert(row, video.categories.clone());
            }
            if known.is_none() {
                live.names.intern(&video.id);
                live.newcomers.push(video);
            }
        }
        for id in hidden {
            let row = dataset.videos.row(id).or_else(|| live.names.row(id).map(|at| at + live.first_row));
            live.hidden.extend(row);
        }
        live.latest.sort_by_key(|&(time, row)| (std::cmp::Reverse(time), row));
        live
    }

    /// Stored videos with a time, newest first, hidden ones left out.
    pub fn latest(&self) -> &[(i64, u32)] {
        &self.latest
    }

    /// Rows that must not be shown.
    pub fn hidden(&self) -> impl Iterator<Item = u32> + '_ {
        self.hidden.iter().copied()
    }

    /// Rows that the store gives categories.
    pub fn categorised(&self) -> impl Iterator<Item = u32> + '_ {
        self.categories.keys().copied()
    }

    /// Videos that no model knows.
    pub fn newcomers(&self) -> &[LiveVideo] {
        &self.newcomers
    }
}

/// The run's catalogue and the store's view of it, as one range of rows.
#[derive(Clone, Debug)]
pub struct Stock {
    /// What the run knows.
    pub dataset: Arc<Dataset>,
    /// What the store says.
    pub live: Arc<Live>,
    /// Rows by how much they are wanted right now, most first: the store's recent positive feedback.
    pub wanted: Arc<[(u32, f32)]>,
}

impl Stock {
    /// The run alone, without a store.
    pub fn of_run(dataset: Arc<Dataset>) -> Self {
        let live = Arc::new(Live::new(&dataset, Vec::new(), &[]));
        Self { dataset, live, wanted: Arc::new([]) }
    }

    /// The same stock with what is wanted right now, by outside id.
    pub fn wanting<'a>(mut self, wanted: impl IntoIterator<Item = (&'a str, f32)>) -> Self {
        let rows = wanted.into_iter().filter(|(_, weight)| weight.is_finite() && *weight > 0.0);
        let mut rows: Vec<(u32, f32)> =
            rows.filter_map(|(id, weight)| Some((self.row(id)?, weight))).collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        self.wanted = rows.into();
        self
    }

    /// How many rows: the catalogue's, then the newcomers'.
    pub fn n_rows(&self) -> usize {
        self.dataset.videos.len() + self.live.newcomers.len()
    }

    /// Whether models know the row.
    pub fn is_of_run(&self, row: u32) -> bool {
        (row as usize) < self.dataset.videos.len()
    }

    /// The row of an outside id.
    pub fn row(&self, id: &str) -> Option<u32> {
        let newcomer = || self.live.names.row(id).map(|at| at + self.live.first_row);
        self.dataset.videos.row(id).or_else(newcomer)
    }

    /// The newcomer of a row; `None` for the catalogue's rows.
    pub fn newcomer(&self, row: u32) -> Option<&LiveVideo> {
        self.live.newcomers.get((row as usize).checked_sub(self.dataset.videos.len())?)
    }

    /// The outside id of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn id(&self, row: u32) -> &str {
        match self.newcomer(row) {
            Some(video) => &video.id,
            None => self.dataset.videos.name(row),
        }
    }

    /// The title, or the outside id where there is none.
    pub fn title(&self, row: u32) -> &str {
        let title = match self.newcomer(row) {
            Some(video) => &video.title,
            None => &self.dataset.videos.video(row).title,
        };
        if title.trim().is_empty() { self.id(row) } else { title }
    }

    /// The title, cut to what fits into a sentence: captions of short videos run long.
    pub fn short_title(&self, row: u32) -> String {
        const CHARACTERS_MAX: usize = 60;
        let title = self.title(row).trim();
        match title.char_indices().nth(CHARACTERS_MAX) {
            Some((end, _)) => format!("{}…", title[..end].trim_end()),
            None => title.to_string(),
        }
    }

    /// Whether the store hides the row.
    pub fn is_hidden(&self, row: u32) -> bool {
        self.live.hidden.contains(&row)
    }

    /// Categories that the store gives the row.
    pub fn stored_categories(&self, row: u32) -> &[String] {
        self.live.categories.get(&row).map_or(&[], Vec::as_slice)
    }

    /// Genres for words and tastes: the run's labels of the given kinds, the store's categories for newcomers.
    pub fn genres<'a>(&'a self, row: u32, kinds: &'a [String]) -> Vec<&'a str> {
        match self.newcomer(row) {
            Some(video) => video.categories.iter().map(String::as_str).collect(),
            None => kinds.iter().flat_map(|kind| self.dataset.videos.labels_of(row, kind)).collect(),
        }
    }

    /// Who made a row: its creator, else the run's labels of the given kinds.
    pub fn authors<'a>(&'a self, row: u32, kinds: &'a [String]) -> Vec<&'a str> {
        if let Some(video) = self.newcomer(row) {
            return video.creator.as_deref().into_iter().collect();
        }
        let videos = &self.dataset.videos;
        match videos.video(row).creator {
            Some(creator) => vec![videos.creators.name(creator)],
            None => kinds.iter().flat_map(|kind| videos.labels_of(row, kind)).collect(),
        }
    }

    /// Milliseconds since 1970 at which a video came out: its release, or when a newcomer came in.
    pub fn published(&self, row: u32) -> Option<i64> {
        if let Some(video) = self.newcomer(row) {
            return video.time;
        }
        released(self.dataset.videos.video(row))
    }
}

/// When a video of the catalogue came out: published, else the start of its year.
pub(crate) fn released(video: &Video) -> Option<i64> {
    const YEAR_MILLISECONDS: f64 = 365.2425 * 86_400_000.0;
    video.published.or(video.year.map(|year| (f64::from(year - 1970) * YEAR_MILLISECONDS) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Catalogue, Events, Order, Users};

    #[test]
    fn newcomers_stand_after_the_catalogue_whatever_the_store_s_order() {
        let mut videos = Catalogue::new();
        videos.intern("old");
        let dataset =
            Arc::new(Dataset::new("tiny", Users::new(), videos, Events::new(), Order::Unordered, None));
        let video = |id: &str, time| LiveVideo { id: id.into(), time: Some(time), ..LiveVideo::default() };
        let stock = |videos| Stock {
            live: Arc::new(Live::new(&dataset, videos, &[])),
            ..Stock::of_run(Arc::clone(&dataset))
        };
        let one = stock(vec![video("b", 5), video("a", 7), video("old", 6)]);
        let other = stock(vec![video("a", 7), video("old", 6), video("b", 5)]);
        for stock in [one, other] {
            assert_eq!((stock.row("a"), stock.row("b"), stock.row("c")), (Some(1), Some(2), None));
            assert_eq!((stock.id(0), stock.id(2), stock.n_rows()), ("old", "b", 3));
            assert_eq!(stock.short_title(0), "old", "without a title, its id");
            assert_eq!(stock.live.latest(), [(7, 1), (6, 0), (5, 2)]);
            assert_eq!(stock.wanting([("b", 2.0), ("c", 9.0)]).wanted[..], [(2, 2.0)]);
        }
    }
}
