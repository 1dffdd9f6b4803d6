//! One row for each pair of user and video, one for each video, and the cuts of a split by time.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use upnext_data::{Action, Judgement, Relevance};

use super::record::Record;
use super::write::Column;

/// Pairs of user and video, column by column: all events of one user with one video are a row.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    users: Vec<i32>,
    videos: Vec<i32>,
    first_times: Vec<i64>,
    last_times: Vec<i64>,
    events: Vec<i32>,
    watch_seconds: Vec<f64>,
    ratio_max: Vec<f32>,
    ratio_sums: Vec<f64>,
    ratios: Vec<u32>,
    ratio_means: Vec<f32>,
    /// 1 where any event is positive, -1 where any is negative, else 0.
    judgements: Vec<i32>,
    parts: Vec<i32>,
}

impl Pairs {
    pub(crate) fn clear(&mut self) {
        let Self { users, videos, first_times, last_times, events, watch_seconds, .. } = self;
        [users, videos, events].into_iter().for_each(Vec::clear);
        [first_times, last_times].into_iter().for_each(Vec::clear);
        let Self { ratio_max, ratio_sums, ratios, ratio_means, judgements, parts, .. } = self;
        [judgements, parts].into_iter().for_each(Vec::clear);
        [ratio_max, ratio_means].into_iter().for_each(Vec::clear);
        [watch_seconds, ratio_sums].into_iter().for_each(Vec::clear);
        ratios.clear();
    }

    /// Joins records, sorted by user and time, into pairs: by user, then by first time. `slots` holds a place for each
    /// video, of any content.
    pub(crate) fn add(&mut self, records: &[Record], rule: &Relevance, slots: &mut [u32]) {
        for record in records {
            let event = record.event();
            let judgement = match rule.judge(&event) {
                Judgement::Positive => 1,
                Judgement::Neutral => 0,
                Judgement::Negative => -1,
            };
            let watched = match event.action {
                Action::Watch => f64::from(event.value.unwrap_or(0.0)),
                _ => 0.0,
            };
            let (ratio, n_ratios) = event.ratio.map_or((0.0, 0), |ratio| (f64::from(ratio), 1));
            let slot = &mut slots[record.video as usize];
            if record.is_first_of_pair() {
                *slot = self.users.len() as u32;
                self.users.push(record.user as i32);
                self.videos.push(record.video as i32);
                self.first_times.push(event.time);
                self.last_times.push(event.time);
                self.events.push(1);
                self.watch_seconds.push(watched);
                self.ratio_max.push(record.ratio);
                self.ratio_sums.push(ratio);
                self.ratios.push(n_ratios);
                self.judgements.push(judgement);
                continue;
            }
            let at = *slot as usize;
            self.last_times[at] = event.time;
            self.events[at] += 1;
            self.watch_seconds[at] += watched;
            // The larger one, or the one that is no NaN.
            self.ratio_max[at] = self.ratio_max[at].max(record.ratio);
            self.ratio_sums[at] += ratio;
            self.ratios[at] += n_ratios;
            self.judgements[at] = match (self.judgements[at], judgement) {
                (-1, _) | (_, -1) => -1,
                (one, other) => one.max(other),
            };
        }
    }

    /// Ends the rows: means, and parts by the two cuts; how many pairs there are of each part.
    pub(crate) fn finish(&mut self, cuts: (i64, i64)) -> [u64; 3] {
        let mut counts = [0; 3];
        let means = self.ratio_sums.iter().zip(&self.ratios);
        self.ratio_means.extend(means.map(|(sum, &n)| (sum / f64::from(n)) as f32));
        self.parts.extend(self.first_times.iter().map(|&time| {
            let part = part_of(time, cuts);
            counts[part as usize] += 1;
            part
        }));
        counts
    }

    /// The columns of `interactions.parquet`.
    pub(crate) fn columns(&self) -> [Column<'_>; 10] {
        [
            Column::Ints(&self.users),
            Column::Ints(&self.videos),
            Column::Longs(&self.first_times),
            Column::Longs(&self.last_times),
            Column::Ints(&self.events),
            Column::Doubles(&self.watch_seconds),
            Column::Floats(&self.ratio_max),
            Column::Floats(&self.ratio_means),
            Column::Ints(&self.judgements),
            Column::Ints(&self.parts),
        ]
    }
}

/// The schema of `interactions.parquet`; ratios may be missing where those of events may.
pub(crate) fn pairs_schema(ratio_is_missing: bool) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user", DataType::UInt32, false),
        Field::new("video", DataType::UInt32, false),
        Field::new("first_time", DataType::Int64, false),
        Field::new("last_time", DataType::Int64, false),
        Field::new("events", DataType::UInt32, false),
        Field::new("watch_seconds", DataType::Float64, false),
        Field::new("ratio_max", DataType::Float32, ratio_is_missing),
        Field::new("ratio_mean", DataType::Float32, ratio_is_missing),
        Field::new("judgement", DataType::Int8, false),
        Field::new("part", DataType::UInt8, false),
    ]))
}

/// 0 before the first cut, 1 before the second, 2 from there on.
pub(crate) fn part_of(time: i64, (first, second): (i64, i64)) -> i32 {
    i32::from(time >= first) + i32::from(time >= second)
}

/// Sums over all pairs of each video.
#[derive(Clone, Debug, Default)]
pub(crate) struct VideoSums(Vec<Sums>);

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    events: u64,
    users: u32,
    watch_seconds: f64,
    ratio_sum: f64,
    ratios: u64,
}

impl VideoSums {
    pub(crate) fn new(n_videos: usize) -> Self {
        Self(vec![Sums::default(); n_videos])
    }

    pub(crate) fn add(&mut self, pairs: &Pairs) {
        for (at, &video) in pairs.videos.iter().enumerate() {
            let sums = &mut self.0[video as u32 as usize];
            sums.events += u64::from(pairs.events[at] as u32);
            sums.users += 1;
            sums.watch_seconds += pairs.watch_seconds[at];
            sums.ratio_sum += pairs.ratio_sums[at];
            sums.ratios += u64::from(pairs.ratios[at]);
        }
    }

    /// The columns of `video_statistics.parquet`, a row for each video of the catalogue.
    pub(crate) fn columns(&self) -> Vec<(&'static str, ArrayRef)> {
        let all = || self.0.iter();
        let means = all().map(|sums| (sums.ratios > 0).then(|| (sums.ratio_sum / sums.ratios as f64) as f32));
        vec![
            ("video", Arc::new(UInt32Array::from_iter_values(0..self.0.len() as u32))),
            ("events", Arc::new(UInt64Array::from_iter_values(all().map(|sums| sums.events)))),
            ("users", Arc::new(UInt32Array::from_iter_values(all().map(|sums| sums.users)))),
            ("ratio_mean", Arc::new(means.collect::<Float32Array>())),
            ("watch_seconds", Arc::new(Float64Array::from_iter_values(all().map(|sums| sums.watch_seconds)))),
        ]
    }
}

/// Counts of times in equal steps; two passes find a quantile exactly without holding the times.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    least: i64,
    /// A step is 2 to the power of this.
    shift: u32,
    counts: Vec<u64>,
}

const STEPS_BITS: u32 = 18;

impl Steps {
    pub(crate) fn new(least: i64, most: i64) -> Self {
        let span = most.abs_diff(least);
        let shift = (u64::BITS - span.leading_zeros()).saturating_sub(STEPS_BITS);
        Self { least, shift, counts: vec![0; 1 << STEPS_BITS] }
    }

    pub(crate) fn of(&self, time: i64) -> usize {
        (time.abs_diff(self.least) >> self.shift) as usize
    }

    pub(crate) fn add(&mut self, time: i64) {
        let at = self.of(time);
        self.counts[at] += 1;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The step that holds the time of a rank, and how many times lie before that step.
    pub(crate) fn holding(&self, rank: u64) -> Option<(usize, u64)> {
        let mut before = 0;
        for (at, &count) in self.counts.iter().enumerate() {
            if rank < before + count {
                return Some((at, before));
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use upnext_data::Event;

    use super::*;
    use crate::engine::record::Place;

    #[test]
    fn events_of_a_pair_are_one_row() {
        let mut records: Vec<Record> = [(3, 10, 0.2, 1.0), (4, 20, 0.9, 2.0), (3, 30, 0.6, 4.0)]
            .map(|(video, time, ratio, seconds)| {
                let action = Action::Watch;
                let (value, ratio) = (Some(seconds), Some(ratio));
                Record::new(&Event { user: 1, video, action, time, value, ratio }, None, Place::default())
            })
            .to_vec();
        records[0].set_first_of_pair(true);
        records[1].set_first_of_pair(true);
        let mut pairs = Pairs::default();
        pairs.add(&records, &Relevance::default(), &mut [0; 5]);
        assert_eq!(pairs.finish((20, 30)), [1, 1, 0]);
        assert_eq!((&pairs.videos[..], &pairs.events[..]), (&[3, 4][..], &[2, 1][..]));
        assert_eq!((pairs.first_times[0], pairs.last_times[0]), (10, 30));
        assert_eq!((pairs.watch_seconds[0], pairs.ratio_max[0], pairs.ratio_means[0]), (5.0, 0.6, 0.4));
        assert_eq!(pairs.judgements[0], 1, "watched more than half at the second time");
        assert_eq!([9, 10, 29, 30].map(|time| part_of(time, (10, 30))), [0, 1, 1, 2]);
    }
}
