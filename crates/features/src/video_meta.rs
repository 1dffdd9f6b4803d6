//! What a tower reads of a video: length, reach, text, picture.
//!
//! With a video embedding of 256 and a text embedding of 1536 numbers, the metadata has 2 + 1536 = 1538, the item
//! input 256 + 1538 = 1794, and one step of a history 256 + 12 + 1538 = 1806.

use upnext_data::Catalogue;
use upnext_math::Matrix;

use crate::Table;
use crate::interaction::Interaction;

/// Videos of this length and beyond count as 1.
pub const DURATION_SECONDS_MAX: f32 = 300.0;
/// Creators with so many followers and beyond count as 1.
pub const FANS_MAX: f32 = 1_000_000.0;
/// The attribute of videos that holds the creator's followers.
pub const FANS: &str = "fans";

/// Embeddings made elsewhere: one row a video.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// `(videos, dimensions)`.
    pub matrix: &'a Matrix,
    /// Whether each video has one; the row of one that has none is not read.
    pub present: &'a [bool],
}

impl Vectors<'_> {
    /// The vector of a row, or zeros and `true` for missing.
    fn of(&self, row: usize) -> (Vec<f32>, bool) {
        match self.present.get(row) {
            Some(true) => (self.matrix.row(row).to_vec(), false),
            _ => (vec![0.0; self.matrix.n_columns()], true),
        }
    }
}

/// `(videos, 2 + text dimensions)`: min(length / 300 s, 1), min(fans / 1,000,000, 1), then the text embedding.
///
/// What is missing is flagged; an unknown length or number of fans holds the median of the known ones (0 where
/// none is known), an unknown text zeros. Length, fans and text are taken as facts of the video that do not change.
///
/// # Panics
/// If `text` has fewer rows than there are videos.
pub fn metadata(videos: &Catalogue, text: Option<Vectors<'_>>) -> Table {
    let share = |value: f32, most: f32| (value.max(0.0) / most).min(1.0);
    let lengths: Vec<Option<f32>> = videos
        .videos()
        .iter()
        .map(|video| video.duration_seconds.filter(|x| x.is_finite()).map(|x| share(x, DURATION_SECONDS_MAX)))
        .collect();
    let fans: Vec<Option<f32>> = match videos.attributes.numbers(FANS) {
        Some(fans) => fans.iter().map(|&x| x.is_finite().then(|| share(x, FANS_MAX))).collect(),
        None => vec![None; videos.len()],
    };
    let (median_length, median_fans) = (median(&lengths), median(&fans));
    let n_text = text.map_or(0, |text| text.matrix.n_columns());
    let mut names = vec!["duration_of_300_s".to_string(), "fans_of_1e6".to_string()];
    names.extend((0..n_text).map(|at| format!("text_{at}")));
    let (mut values, mut missing) = (Vec::new(), Vec::new());
    for row in 0..videos.len() {
        values.extend([lengths[row].unwrap_or(median_length), fans[row].unwrap_or(median_fans)]);
        missing.extend([lengths[row].is_none(), fans[row].is_none()]);
        if let Some((vector, unknown)) = text.map(|text| text.of(row)) {
            missing.extend(std::iter::repeat_n(unknown, vector.len()));
            values.extend(vector);
        }
    }
    Table { matrix: Matrix::from_rows(videos.len(), names.len(), values), names, missing }
}

/// Reads nothing but the video's embedding and its metadata: `(embedding + metadata)` numbers, 1794 in the design.
/// The flag says that the video has no embedding; zeros stand for it.
pub fn item_input(video: u32, embeddings: Vectors<'_>, metadata: &Table) -> (Vec<f32>, bool) {
    let (mut input, missing) = embeddings.of(video as usize);
    input.extend_from_slice(metadata.matrix.row(video as usize));
    (input, missing)
}

/// One step of a history: `(embedding + 12 + metadata)` numbers, 1806 in the design. The flag is that of
/// [`item_input`].
pub fn history_item_input(
    video: u32,
    interaction: &Interaction,
    embeddings: Vectors<'_>,
    metadata: &Table,
) -> (Vec<f32>, bool) {
    let (mut input, missing) = embeddings.of(video as usize);
    input.extend_from_slice(&interaction.values);
    input.extend_from_slice(metadata.matrix.row(video as usize));
    (input, missing)
}

/// The median of what is known, the lower of two middles; 0 of nothing.
fn median(values: &[Option<f32>]) -> f32 {
    let mut known: Vec<f32> = values.iter().copied().flatten().collect();
    known.sort_by(f32::total_cmp);
    known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Action, Column};

    fn three_videos() -> Catalogue {
        let mut videos = Catalogue::new();
        for (name, seconds) in [("a", Some(30.0)), ("b", Some(900.0)), ("c", None)] {
            let row = videos.intern(name);
            videos.video_mut(row).duration_seconds = seconds;
        }
        videos.attributes.set(FANS, Column::Number(vec![250_000.0, f32::NAN, 5_000_000.0]));
        videos
    }

    #[test]
    fn metadata_by_hand() {
        let text = Matrix::from_rows(3, 2, vec![0.6, 0.8, 9.0, 9.0, 1.0, 0.0]);
        let vectors = Vectors { matrix: &text, present: &[true, false, true] };
        let table = metadata(&three_videos(), Some(vectors));
        assert_eq!(table.matrix.row(0), [0.1, 0.25, 0.6, 0.8]);
        assert_eq!(table.matrix.row(1), [1.0, 0.25, 0.0, 0.0]);
        assert_eq!(table.matrix.row(2), [0.1, 1.0, 1.0, 0.0]);
        assert_eq!(table.missing_of(1), [false, true, true, true]);
        assert_eq!(table.missing_of(2), [true, false, false, false]);
    }

    #[test]
    fn inputs_have_the_widths_of_the_design() {
        let (text, picture) = (Matrix::zeros(3, 1536), Matrix::zeros(3, 256));
        let present = [true, true, false];
        let table = metadata(&three_videos(), Some(Vectors { matrix: &text, present: &present }));
        assert_eq!(table.matrix.n_columns(), 1538);
        let pictures = Vectors { matrix: &picture, present: &present };
        assert_eq!(item_input(0, pictures, &table).0.len(), 1794);
        let mut actions = [false; 11];
        actions[Action::Like as usize] = true;
        let viewing = crate::interaction::Viewing {
            user: 0,
            video: 0,
            time: 1,
            watch_seconds: Some(3.0),
            ratio: None,
            actions,
        };
        let step = viewing.vector(Some(30.0), 0);
        let (input, missing) = history_item_input(0, &step, pictures, &table);
        assert_eq!((input.len(), missing), (1806, false));
        assert_eq!(input[256..268], step.values);
        assert_eq!(input[268], 0.1);
        assert!(item_input(2, pictures, &table).1);
    }
}
