//! Statistics that a platform keeps of each video and day: shows, plays, likes.

/// One row for each (video, day), sorted by video, then day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Daily {
    videos: Vec<u32>,
    days: Vec<i32>,
    measures: Vec<(String, Vec<f32>)>,
}

impl Daily {
    /// Sorts rows by video, then day. `measures` are columns by the platform's own names (`play_cnt`), with one
    /// value a row, NaN where nothing is known. Days are counted from 1970-01-01 (UTC).
    ///
    /// # Panics
    /// If columns differ in length.
    pub fn new(videos: Vec<u32>, days: Vec<i32>, measures: Vec<(String, Vec<f32>)>) -> Self {
        assert_eq!(videos.len(), days.len(), "a day for each row");
        let mut order: Vec<usize> = (0..videos.len()).collect();
        order.sort_by_key(|&at| (videos[at], days[at]));
        let measures = measures
            .into_iter()
            .map(|(name, values)| {
                assert_eq!(values.len(), order.len(), "a value of `{name}` for each row");
                (name, order.iter().map(|&at| values[at]).collect())
            })
            .collect();
        Self {
            videos: order.iter().map(|&at| videos[at]).collect(),
            days: order.iter().map(|&at| days[at]).collect(),
            measures,
        }
    }

    /// The rows of a video, as a range of the columns.
    pub fn of(&self, video: u32) -> std::ops::Range<usize> {
        self.videos.partition_point(|&v| v < video)..self.videos.partition_point(|&v| v <= video)
    }

    /// The video of each row.
    pub fn videos(&self) -> &[u32] {
        &self.videos
    }

    /// The day of each row, counted from 1970-01-01 (UTC).
    pub fn days(&self) -> &[i32] {
        &self.days
    }

    /// A measure of each row by its name.
    pub fn measure(&self, name: &str) -> Option<&[f32]> {
        self.measures.iter().find(|(known, _)| known == name).map(|(_, values)| &values[..])
    }

    /// All measures.
    pub fn measures(&self) -> &[(String, Vec<f32>)] {
        &self.measures
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.videos.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.videos.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_video_in_order_of_days() {
        let plays = vec![("play_cnt".to_string(), vec![5.0, 7.0, 1.0])];
        let daily = Daily::new(vec![2, 0, 2], vec![11, 10, 10], plays);
        assert_eq!(daily.of(2), 1..3);
        assert_eq!(daily.of(1), 1..1);
        assert_eq!(daily.days()[daily.of(2)], [10, 11]);
        assert_eq!(daily.measure("play_cnt").unwrap(), [7.0, 1.0, 5.0]);
    }
}
