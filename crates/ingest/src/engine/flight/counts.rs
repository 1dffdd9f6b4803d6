//! The counts of a finished run, fetched from the engine in rows of a catalogue.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use upnext_data::{CoOccurrence, Counts, Names, Transition};

use super::{Engine, FlightError, plan};

/// Reads popularity, transitions and co-occurrences of the run in `folder` (see [`Finished`](super::Finished)). Videos
/// that `videos` does not name are left out.
///
/// # Errors
/// When the engine does not answer, or with something else than counts.
pub fn read_counts(engine: &mut Engine, folder: &str, videos: &Names) -> Result<Counts, FlightError> {
    let mut counts = Counts { popularity: vec![0; videos.len()], ..Counts::default() };
    read(engine, folder, "popularity", "video_id, users", |[video], [users]| {
        if let Some(row) = videos.row(video) {
            counts.popularity[row as usize] = users;
        }
    })?;
    read(engine, folder, "transitions", "earlier, later, gap_1, gap_2, gap_3", |[earlier, later], gaps| {
        if let (Some(earlier), Some(later)) = (videos.row(earlier), videos.row(later)) {
            counts.transitions.push(Transition { earlier, later, gaps });
        }
    })?;
    read(engine, folder, "co_occurrences", "video, other, users", |[video, other], [users]| {
        if let (Some(video), Some(other)) = (videos.row(video), videos.row(other)) {
            let (video, other) = (video.min(other), video.max(other));
            counts.co_occurrences.push(CoOccurrence { video, other, users });
        }
    })?;
    counts.transitions.sort_unstable_by_key(|t| (t.earlier, t.later));
    counts.co_occurrences.sort_unstable_by_key(|c| (c.video, c.other));
    Ok(counts)
}

/// Reads a table of `IDS` texts, then `COUNTS` whole numbers.
fn read<const IDS: usize, const COUNTS: usize>(
    engine: &mut Engine,
    folder: &str,
    table: &str,
    columns: &str,
    mut take: impl FnMut([&str; IDS], [u32; COUNTS]),
) -> Result<(), FlightError> {
    let url = engine.url().to_owned();
    engine
        .query(table, plan::select(&format!("{folder}/{table}"), columns), |batch| {
            rows(&batch, &mut take).ok_or_else(|| FlightError::Answer {
                url: url.clone(),
                step: table.into(),
                found: format!("{:?}", batch.schema()),
                expected: "texts, then whole numbers",
            })
        })
        .map(|_| ())
}

fn rows<const IDS: usize, const COUNTS: usize>(
    batch: &RecordBatch,
    take: &mut impl FnMut([&str; IDS], [u32; COUNTS]),
) -> Option<()> {
    if batch.num_columns() != IDS + COUNTS {
        return None;
    }
    let mut ids = Vec::with_capacity(IDS);
    for at in 0..IDS {
        ids.push(plan::texts(batch.column(at))?);
    }
    let mut counts = Vec::with_capacity(COUNTS);
    for at in IDS..IDS + COUNTS {
        counts.push(batch.column(at).as_primitive_opt::<Int64Type>()?);
    }
    for row in 0..batch.num_rows() {
        let ids: [&str; IDS] = std::array::from_fn(|at| ids[at][row].as_str());
        take(ids, std::array::from_fn(|at| u32::try_from(counts[at].value(row)).unwrap_or(u32::MAX)));
    }
    Some(())
}
