//! One row for each pair of user and video, one for each video, and the cuts of a split by time.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int8Array, Int64Array, UInt8Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use upnext_data::{Action, Judgement, Relevance};

use super::record::Record;

/// All events of one user with one video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) user: u32,
    pub(crate) video: u32,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    pub(crate) events: u32,
    pub(crate) watch_seconds: f64,
    pub(crate) ratio_max: f32,
    ratio_sum: f64,
    ratios: u32,
    judgement: Judgement,
}

/// Joins records, sorted by user and time, into pairs: by user, then by first time. `slots` holds a place for each
/// video, of any content.
pub(crate) fn pairs(records: &[Record], rule: &Relevance, slots: &mut [u32]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for record in records {
        let event = record.event();
        let judgement = rule.judge(&event);
        let slot = &mut slots[record.video as usize];
        if record.is_first_of_pair() {
            *slot = pairs.len() as u32;
            pairs.push(Pair {
                user: record.user,
                video: record.video,
                first_time: event.time,
                last_time: event.time,
                events: 0,
                watch_seconds: 0.0,
                ratio_max: f32::NAN,
                ratio_sum: 0.0,
                ratios: 0,
                judgement,
            });
        }
        let pair = &mut pairs[*slot as usize];
        pair.events += 1;
        pair.last_time = event.time;
        if event.action == Action::Watch {
            pair.watch_seconds += f64::from(event.value.unwrap_or(0.0));
        }
        if let Some(ratio) = event.ratio {
            pair.ratio_max = pair.ratio_max.max(ratio);
            pair.ratio_sum += f64::from(ratio);
            pair.ratios += 1;
        }
        pair.judgement = match (pair.judgement, judgement) {
            (Judgement::Negative, _) | (_, Judgement::Negative) => Judgement::Negative,
            (Judgement::Positive, _) | (_, Judgement::Positive) => Judgement::Positive,
            _ => Judgement::Neutral,
        };
    }
    pairs
}

impl Pair {
    fn ratio_mean(&self) -> Option<f32> {
        (self.ratios > 0).then(|| (self.ratio_sum / f64::from(self.ratios)) as f32)
    }
}

/// The columns of `interactions.parquet`.
pub(crate) fn pairs_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user", DataType::UInt32, false),
        Field::new("video", DataType::UInt32, false),
        Field::new("first_time", DataType::Int64, false),
        Field::new("last_time", DataType::Int64, false),
        Field::new("events", DataType::UInt32, false),
        Field::new("watch_seconds", DataType::Float64, false),
        Field::new("ratio_max", DataType::Float32, true),
        Field::new("ratio_mean", DataType::Float32, true),
        Field::new("judgement", DataType::Int8, false),
        Field::new("part", DataType::UInt8, false),
    ]))
}

pub(crate) fn pairs_columns(pairs: &[Pair], cuts: (i64, i64)) -> Vec<ArrayRef> {
    let judged = |pair: &Pair| match pair.judgement {
        Judgement::Positive => 1,
        Judgement::Neutral => 0,
        Judgement::Negative => -1,
    };
    // Pairs are large: one pass over all of them, not one for each column.
    let n = pairs.len();
    let (mut users, mut videos, mut events) =
        (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut first, mut last) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut watched, mut most, mut mean) =
        (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut judgements, mut parts) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for pair in pairs {
        users.push(pair.user);
        videos.push(pair.video);
        first.push(pair.first_time);
        last.push(pair.last_time);
        events.push(pair.events);
        watched.push(pair.watch_seconds);
        most.push(pair.ratio_max);
        mean.push(pair.ratio_mean().unwrap_or(f32::NAN));
        judgements.push(judged(pair));
        parts.push(part_of(pair.first_time, cuts));
    }
    vec![
        Arc::new(UInt32Array::from(users)),
        Arc::new(UInt32Array::from(videos)),
        Arc::new(Int64Array::from(first)),
        Arc::new(Int64Array::from(last)),
        Arc::new(UInt32Array::from(events)),
        Arc::new(Float64Array::from(watched)),
        Arc::new(known(most)),
        Arc::new(known(mean)),
        Arc::new(Int8Array::from(judgements)),
        Arc::new(UInt8Array::from(parts)),
    ]
}

/// Numbers of which NaN stands for none.
pub(crate) fn known(numbers: Vec<f32>) -> Float32Array {
    if numbers.iter().any(|x| x.is_nan()) {
        return numbers.iter().map(|&x| (!x.is_nan()).then_some(x)).collect();
    }
    Float32Array::from(numbers)
}

/// 0 before the first cut, 1 before the second, 2 from there on.
pub(crate) fn part_of(time: i64, (first, second): (i64, i64)) -> u8 {
    u8::from(time >= first) + u8::from(time >= second)
}

/// Sums over all pairs of each video.
#[derive(Clone, Debug, Default)]
pub(crate) struct VideoSums {
    events: Vec<u64>,
    users: Vec<u32>,
    watch_seconds: Vec<f64>,
    ratio_sum: Vec<f64>,
    ratios: Vec<u64>,
}

impl VideoSums {
    pub(crate) fn new(n_videos: usize) -> Self {
        Self {
            events: vec![0; n_videos],
            users: vec![0; n_videos],
            watch_seconds: vec![0.0; n_videos],
            ratio_sum: vec![0.0; n_videos],
            ratios: vec![0; n_videos],
        }
    }

    pub(crate) fn add(&mut self, pairs: &[Pair]) {
        for pair in pairs {
            let row = pair.video as usize;
            self.events[row] += u64::from(pair.events);
            self.users[row] += 1;
            self.watch_seconds[row] += pair.watch_seconds;
            self.ratio_sum[row] += pair.ratio_sum;
            self.ratios[row] += u64::from(pair.ratios);
        }
    }

    /// The columns of `video_statistics.parquet`, a row for each video of the catalogue.
    pub(crate) fn columns(&self) -> Vec<(&'static str, ArrayRef)> {
        let means = self.ratio_sum.iter().zip(&self.ratios);
        let means = means.map(|(sum, &n)| (n > 0).then(|| (sum / n as f64) as f32));
        vec![
            ("video", Arc::new(UInt32Array::from_iter_values(0..self.events.len() as u32))),
            ("events", Arc::new(UInt64Array::from(self.events.clone()))),
            ("users", Arc::new(UInt32Array::from(self.users.clone()))),
            ("ratio_mean", Arc::new(means.collect::<Float32Array>())),
            ("watch_seconds", Arc::new(Float64Array::from(self.watch_seconds.clone()))),
        ]
    }
}

/// Counts of times in equal steps; two passes find a quantile exactly without holding the times.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    least: i64,
    step: u64,
    counts: Vec<u64>,
}

const STEPS: u64 = 1 << 18;

impl Steps {
    pub(crate) fn new(least: i64, most: i64) -> Self {
        let span = most.abs_diff(least);
        Self { least, step: span / STEPS + 1, counts: vec![0; STEPS as usize] }
    }

    pub(crate) fn of(&self, time: i64) -> usize {
        (time.abs_diff(self.least) / self.step) as usize
    }

    pub(crate) fn add(&mut self, time: i64) {
        let at = self.of(time);
        self.counts[at] += 1;
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
        let pairs = pairs(&records, &Relevance::default(), &mut [0; 5]);
        assert_eq!(pairs.len(), 2);
        let first = pairs[0];
        assert_eq!((first.video, first.first_time, first.last_time, first.events), (3, 10, 30, 2));
        assert_eq!((first.watch_seconds, first.ratio_max, first.ratio_mean()), (5.0, 0.6, Some(0.4)));
        assert_eq!(first.judgement, Judgement::Positive, "watched more than half at the second time");
        assert_eq!([9, 10, 29, 30].map(|time| part_of(time, (10, 30))), [0, 1, 1, 2]);
    }
}
