//! What models may know of users and videos beside their events: facts alone, nothing that was counted.

use std::collections::{BTreeMap, HashMap};

use upnext_data::Dataset;
use upnext_features::{Table, snapshot};
use upnext_ingest::vectors::Stored;
use upnext_math::Matrix;
use upnext_models::{Facts, Modality};

/// All of them, and the vectors that were brought, each kind a modality of its own.
pub(crate) fn facts(set: &Dataset, vectors: &[Stored]) -> Facts {
    let seconds: Vec<Option<f32>> = set.videos.videos().iter().map(|video| video.duration_seconds).collect();
    Facts {
        users: some(snapshot::user_facts(set)),
        videos: some(snapshot::video_facts(set)),
        vectors: vectors.iter().map(modality).collect(),
        labels: labels(set),
        seconds: if seconds.iter().any(Option::is_some) { seconds } else { Vec::new() },
    }
}

fn modality(stored: &Stored) -> Modality {
    let n_videos = stored.present.len();
    Modality {
        name: stored.coverage.name.clone(),
        matrix: Matrix::from_rows(n_videos, stored.dim, stored.values.clone()),
        present: stored.present.clone(),
    }
}

/// A table that has a column.
fn some(table: Table) -> Option<Table> {
    (!table.names.is_empty()).then_some(table)
}

/// Labels by kind, numbered within it, in the order in which they are met.
fn labels(set: &Dataset) -> Vec<(String, Vec<Vec<u32>>)> {
    /// The numbers of labels, and each video's.
    #[derive(Default)]
    struct OfKind {
        numbers: HashMap<u32, u32>,
        videos: Vec<Vec<u32>>,
    }
    let mut kinds: BTreeMap<&str, OfKind> = BTreeMap::new();
    for (video, of) in set.videos.videos().iter().enumerate() {
        for &label in &of.labels {
            let Some((kind, _)) = set.videos.labels.name(label).split_once(':') else { continue };
            let of_kind = kinds.entry(kind).or_default();
            of_kind.videos.resize(set.videos.len(), Vec::new());
            let next = of_kind.numbers.len() as u32;
            of_kind.videos[video].push(*of_kind.numbers.entry(label).or_insert(next));
        }
    }
    kinds.into_iter().map(|(kind, of_kind)| (kind.to_string(), of_kind.videos)).collect()
}
