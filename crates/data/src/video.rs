//! What is known of each video.

use serde::{Deserialize, Serialize};

use crate::{Attributes, Names};

/// One video of the catalogue. Whatever is not known is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// The title, or the caption of a short video.
    pub title: String,
    /// Longer text: plot, caption, cover text.
    pub text: String,
    /// Rows of [`Catalogue::labels`], sorted, each once.
    pub labels: Vec<u32>,
    /// Row of [`Catalogue::creators`].
    pub creator: Option<u32>,
    /// Year of release.
    pub year: Option<i32>,
    /// Length in seconds.
    pub duration_seconds: Option<f32>,
    /// Milliseconds since 1970.
    pub published: Option<i64>,
}

/// All videos: row `i` of `names` is `videos[i]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Catalogue {
    names: Names,
    videos: Vec<Video>,
    /// Genres, tags, categories, attributes, casts as `kind:value`, for example `genre:Comedy`.
    pub labels: Names,
    /// Outside ids of creators.
    pub creators: Names,
    /// What else is known of each video: `fans`, `language`, `width`. One value a row, or no column.
    pub attributes: Attributes,
}

impl Catalogue {
    /// An empty catalogue.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row of a video, which is added, with nothing known of it, if it is new.
    pub fn intern(&mut self, name: &str) -> u32 {
        let row = self.names.intern(name);
        if row as usize == self.videos.len() {
            self.videos.push(Video::default());
        }
        row
    }

    /// The row of a video, if it is known.
    pub fn row(&self, name: &str) -> Option<u32> {
        self.names.row(name)
    }

    /// The outside id of a row.
    ///
    /// # Panics
    /// If the row is not in the catalogue.
    pub fn name(&self, row: u32) -> &str {
        self.names.name(row)
    }

    /// What is known of a row.
    ///
    /// # Panics
    /// If the row is not in the catalogue.
    pub fn video(&self, row: u32) -> &Video {
        &self.videos[row as usize]
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// If the row is not in the catalogue.
    pub fn video_mut(&mut self, row: u32) -> &mut Video {
        &mut self.videos[row as usize]
    }

    /// Gives a video a label such as `genre:Comedy`; a second time changes nothing.
    pub fn label(&mut self, row: u32, label: &str) {
        let label = self.labels.intern(label);
        let labels = &mut self.videos[row as usize].labels;
        if let Err(at) = labels.binary_search(&label) {
            labels.insert(at, label);
        }
    }

    /// The values of a video's labels of one kind: `labels_of(row, "genre")` gives `Comedy`, `Drama`.
    pub fn labels_of<'a>(&'a self, row: u32, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.video(row)
            .labels
            .iter()
            .filter_map(move |&label| self.labels.name(label).strip_prefix(kind)?.strip_prefix(':'))
    }

    /// All videos, in the order of their rows.
    pub fn videos(&self) -> &[Video] {
        &self.videos
    }

    /// The outside ids.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How many videos there are.
    pub fn len(&self) -> usize {
        self.videos.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.videos.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_kept_once_and_read_by_kind() {
        let mut catalogue = Catalogue::new();
        let row = catalogue.intern("v1");
        for label in ["genre:Drama", "tag:slow", "genre:Comedy", "genre:Drama"] {
            catalogue.label(row, label);
        }
        assert_eq!(catalogue.labels_of(row, "genre").collect::<Vec<_>>(), ["Drama", "Comedy"]);
        assert_eq!(catalogue.video(row).labels.len(), 3);
    }
}
