//! Which rows bear a label, were made by a creator, or come from a year: counted once for a run, so that no filter walks
//! through the catalogue in a request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use upnext_data::Dataset;

use crate::stock::Live;
use crate::{Allow, Stock};

/// Rows by label, by creator and by fact. Four bytes for each label of a video.
pub struct RowSets {
    labels: Groups,
    creators: Groups,
    /// Rows of labels by their kind, `genre` for example.
    kinds: HashMap<String, Vec<u32>>,
    years: Vec<(f32, u32)>,
    durations: Vec<(f32, u32)>,
    remembered: Mutex<VecDeque<Remembered>>,
    remembered_max: usize,
}

/// Rows that were asked for lately. They hold as long as the store says the same of its videos.
struct Remembered {
    key: String,
    live: Weak<Live>,
    rows: Arc<Allow>,
}

/// Rows group by group.
struct Groups {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Groups {
    /// From pairs of a group below `n` and a row, which come by row; `pairs` is walked through twice.
    fn new<I: Iterator<Item = (u32, u32)>>(n: usize, pairs: impl Fn() -> I) -> Self {
        let mut starts = vec![0u32; n + 1];
        pairs().for_each(|(group, _)| starts[group as usize + 1] += 1);
        for group in 0..n {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts[n] as usize];
        for (group, row) in pairs() {
            rows[next[group as usize] as usize] = row;
            next[group as usize] += 1;
        }
        Self { starts, rows }
    }

    fn of(&self, group: u32) -> &[u32] {
        match self.starts.get(group as usize..group as usize + 2) {
            Some(&[from, to]) => &self.rows[from as usize..to as usize],
            _ => &[],
        }
    }
}

impl RowSets {
    /// Of a run's catalogue. What was asked for lately is remembered with [`RowSets::remembering`] only.
    pub fn new(dataset: &Dataset) -> Self {
        let videos = &dataset.videos;
        let rows = || (0u32..).zip(videos.videos());
        let labels = Groups::new(videos.labels.len(), || {
            rows().flat_map(|(row, video)| video.labels.iter().map(move |&label| (label, row)))
        });
        let creators = Groups::new(videos.creators.len(), || {
            rows().filter_map(|(row, video)| Some((video.creator?, row)))
        });
        let mut kinds: HashMap<String, Vec<u32>> = HashMap::new();
        for (label, name) in (0u32..).zip(videos.labels.iter()) {
            if let Some((kind, _)) = name.split_once(':') {
                match kinds.get_mut(kind) {
                    Some(labels) => labels.push(label),
                    None => drop(kinds.insert(kind.to_string(), vec![label])),
                }
            }
        }
        let years = rows().filter_map(|(row, video)| Some((video.year? as f32, row)));
        let durations = rows().filter_map(|(row, video)| Some((video.duration_seconds?, row)));
        Self {
            labels,
            creators,
            kinds,
            years: years.collect(),
            durations: durations.collect(),
            remembered: Mutex::default(),
            remembered_max: 0,
        }
    }

    /// The same, with so many answers of expressions remembered: a bit for each video each.
    pub fn remembering(self, remembered_max: usize) -> Self {
        Self { remembered_max, ..self }
    }

    /// The rows that bear a label, in order.
    pub fn of_label(&self, label: u32) -> &[u32] {
        self.labels.of(label)
    }

    /// The rows of a creator, in order.
    pub fn of_creator(&self, creator: u32) -> &[u32] {
        self.creators.of(creator)
    }

    /// The labels of a kind.
    pub fn labels_of_kind(&self, kind: &str) -> &[u32] {
        self.kinds.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The rows whose `year` or `duration` in seconds is wanted.
    pub(crate) fn facts(&self, kind: &str, wanted: impl Fn(f64) -> bool) -> impl Iterator<Item = u32> {
        let facts: &[(f32, u32)] = match kind {
            "year" => &self.years,
            "duration" => &self.durations,
            _ => &[],
        };
        facts.iter().filter(move |(fact, _)| wanted(f64::from(*fact))).map(|&(_, row)| row)
    }

    /// What `find` answers, remembered under `key` until the store's videos change.
    pub(crate) fn answer(&self, key: &str, stock: &Stock, find: impl FnOnce() -> Allow) -> Arc<Allow> {
        let now = Arc::downgrade(&stock.live);
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            remembered().iter().find(|of| of.key == key && of.live.ptr_eq(&now)).map(|of| of.rows.clone());
        if let Some(rows) = known {
            return rows;
        }
        // Outside of the lock: two who ask at once both find, and find the same.
        let rows = Arc::new(find());
        if self.remembered_max > 0 {
            let mut remembered = remembered();
            remembered.retain(|of| of.key != key);
            remembered.truncate(self.remembered_max - 1);
            remembered.push_front(Remembered { key: key.into(), live: now, rows: Arc::clone(&rows) });
        }
        rows
    }
}

/// A row's labels of some kinds: the run's, or a newcomer's.
pub(crate) fn labels_of<'a>(stock: &'a Stock, row: u32, kinds: &'a [String]) -> Vec<&'a str> {
    match stock.newcomer(row) {
        Some(video) => {
            let known = kinds.iter().filter_map(|kind| video.labels.get(kind));
            known.flatten().map(String::as_str).collect()
        }
        None => kinds.iter().flat_map(|kind| stock.dataset.videos.labels_of(row, kind)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::dataset;

    #[test]
    fn rows_stand_under_their_labels_creators_and_years() {
        let dataset = dataset();
        let sets = RowSets::new(&dataset);
        let label = |name| dataset.videos.labels.row(name).unwrap();
        assert_eq!(sets.of_label(label("genre:Crime")), [5, 6, 7, 8, 9]);
        assert_eq!(sets.of_label(label("tag:4")), [4, 9, 14]);
        assert_eq!(sets.of_creator(dataset.videos.creators.row("maker0").unwrap()), [0, 5, 10]);
        assert_eq!((sets.of_label(9_999), sets.labels_of_kind("tag").len()), (&[][..], 5));
        assert_eq!(sets.facts("year", |year| year >= 2003.0).collect::<Vec<_>>(), [13, 14]);
        assert_eq!(sets.facts("weight", |_| true).count(), 0);
    }

    #[test]
    fn an_answer_is_remembered_until_the_store_says_otherwise_and_only_the_newest_are() {
        let sets = RowSets::new(&dataset()).remembering(2);
        let stock = Stock::of_run(dataset());
        let asked = |key: &str, stock: &Stock| {
            let mut asked = false;
            sets.answer(key, stock, || {
                asked = true;
                Allow::none(15)
            });
            asked
        };
        assert!(asked("a", &stock) && !asked("a", &stock));
        assert!(asked("a", &Stock::of_run(dataset())), "other videos");
        assert!(asked("b", &stock) && asked("c", &stock) && !asked("b", &stock) && asked("a", &stock));
    }
}
