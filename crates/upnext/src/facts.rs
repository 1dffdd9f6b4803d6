//! What models may know of users and videos beside their events: facts alone, nothing that was counted.

use std::collections::{BTreeMap, HashMap};

use upnext_data::Dataset;
use upnext_features::snapshot::{self, Snapshot};
use upnext_features::{Cut, Table};
use upnext_ingest::vectors::Stored;
use upnext_math::Matrix;
use upnext_models::{Facts, Vectors};

/// Families of `upnext features` that are facts, with what of them is counted from events.
const OF_USERS: [&str; 3] = ["user.", "attributes.", "social."];
const OF_VIDEOS: [&str; 3] = ["metadata.", "labels.", "attributes."];
const COUNTED: [&str; 4] =
    ["user.events", "user.active_days", "user.days_since_last", "user.days_since_registration"];

/// All of them, and the vectors that were brought, one after another.
pub(crate) fn facts(set: &Dataset, vectors: &[Stored]) -> Facts {
    // Facts hold all along, so the cut lies behind everything.
    let cut = Cut::at(i64::MAX);
    let seconds: Vec<Option<f32>> = set.videos.videos().iter().map(|video| video.duration_seconds).collect();
    Facts {
        users: of_family(snapshot::users(set, cut), set.users.len(), &OF_USERS),
        videos: of_family(snapshot::videos(set, cut), set.videos.len(), &OF_VIDEOS),
        vectors: joined(vectors, set.videos.len()),
        labels: labels(set),
        seconds: if seconds.iter().any(Option::is_some) { seconds } else { Vec::new() },
    }
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

/// The columns of some families, one row for each user or video of the set; `None` without any.
fn of_family(Snapshot { rows, table, .. }: Snapshot, n_rows: usize, families: &[&str]) -> Option<Table> {
    let wanted = |name: &String| {
        families.iter().any(|family| name.starts_with(family))
            && !COUNTED.iter().any(|counted| name.starts_with(counted))
    };
    let columns: Vec<usize> = (0..table.names.len()).filter(|&at| wanted(&table.names[at])).collect();
    if columns.is_empty() {
        return None;
    }
    let mut values = vec![f32::NAN; n_rows * columns.len()];
    for (at, &row) in rows.iter().enumerate() {
        let of_row = &mut values[row as usize * columns.len()..];
        for (to, &column) in of_row.iter_mut().zip(&columns) {
            *to = if table.missing_of(at)[column] { f32::NAN } else { table.matrix.row(at)[column] };
        }
    }
    let names = columns.iter().map(|&column| table.names[column].clone()).collect();
    Some(Table::from_values(names, n_rows, values, 0.0))
}

/// Several sets of vectors as one, side by side; a video has one where any of them has it.
fn joined(vectors: &[Stored], n_videos: usize) -> Option<Vectors> {
    let dim: usize = vectors.iter().map(|of| of.dim).sum();
    if dim == 0 {
        return None;
    }
    let mut matrix = Matrix::zeros(n_videos, dim);
    let mut present = vec![false; n_videos];
    for (video, present) in present.iter_mut().enumerate() {
        let mut first = 0;
        for of in vectors {
            let row = &of.values[video * of.dim..(video + 1) * of.dim];
            matrix.row_mut(video)[first..first + of.dim].copy_from_slice(row);
            first += of.dim;
            *present |= of.present[video];
        }
    }
    Some(Vectors { matrix, present })
}
