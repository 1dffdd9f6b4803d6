//! What only neighbours can tell: a partition is sorted by user and time, then duplicates, near-duplicates, bots
//! and references to nothing are taken out.

use std::collections::{HashMap, HashSet};

use super::partitions::{Chunk, PIECE, Partitions, Taken};
use super::record::Record;
use super::rules::{Duplicates, Rules};
use crate::IngestError;
use crate::clean::Reason;

/// What is asked of every partition.
pub(crate) struct Neighbours<'a> {
    pub(crate) rules: &'a Rules,
    /// In a sequence the same video may come again: duplicates are not looked for.
    pub(crate) drops_duplicates: bool,
    pub(crate) is_timed: bool,
    /// Later times are in the future.
    pub(crate) latest: Option<i64>,
    /// Whether each user is in the table of users, where such a table is to be minded.
    pub(crate) known_users: Option<&'a [bool]>,
    /// The same of videos.
    pub(crate) known_videos: Option<&'a [bool]>,
}

/// What cleaning partition after partition needs again and again.
pub(crate) struct Cleaner {
    /// A partition: as it comes, then sorted by user, time and position, ties in file order, and cleaned.
    pub(crate) chunk: Chunk,
    /// For each video the last user who was seen with it.
    last_user: Vec<u32>,
    /// What sorting reads from.
    unsorted: Chunk,
    keys: Vec<u64>,
}

impl Cleaner {
    pub(crate) fn new(n_videos: usize) -> Self {
        let (chunk, unsorted) = (Chunk::default(), Chunk::default());
        Self { chunk, last_user: vec![u32::MAX; n_videos], unsorted, keys: Vec::new() }
    }

    /// Takes the records of a partition, sorted.
    pub(crate) fn take(&mut self, partitions: &Partitions, taken: &Taken) -> Result<(), IngestError> {
        let Self { chunk, keys, .. } = self;
        if let Some(pieces) = taken.pieces()
            && let Some(of_place) = fill_keys(&pieces, keys)
        {
            keys.sort_unstable();
            chunk.clear();
            let at = |key: &u64| (key & mask(of_place)) as usize;
            chunk.records.extend(keys.iter().map(|key| pieces[at(key) / PIECE][at(key) % PIECE]));
            return Ok(());
        }
        partitions.load(taken, chunk)?;
        self.sort();
        Ok(())
    }

    /// Cleans the sorted partition at hand; what was dropped of it.
    pub(crate) fn clean(&mut self, asked: &Neighbours) -> Vec<(Reason, Record)> {
        let (chunk, mut dropped) = (&mut self.chunk, Vec::new());
        if asked.drops_duplicates && asked.rules.duplicate != Duplicates::Kept {
            drop_duplicates(chunk, asked.rules, &mut dropped);
        }
        drop_single(chunk, asked, &mut dropped);
        if let Some(seconds) = asked.rules.near_duplicate_seconds.filter(|_| asked.is_timed) {
            drop_near_duplicates(chunk, (seconds * 1_000.0) as i64, &mut dropped);
        }
        if asked.rules.bots.is_some() && asked.is_timed {
            drop_bots(chunk, asked.rules, &mut dropped);
        }
        for record in &mut chunk.records {
            let last = &mut self.last_user[record.video as usize];
            record.set_first_of_pair(*last != record.user);
            *last = record.user;
        }
        dropped
    }

    fn sort(&mut self) {
        let Self { chunk, unsorted, .. } = self;
        if chunk.positions.is_empty() {
            // Stable, and quick on what is sorted already, as logs often are.
            chunk.records.sort_by_key(|record| (record.user, record.time()));
            return;
        }
        std::mem::swap(chunk, unsorted);
        chunk.clear();
        let mut order: Vec<usize> = (0..unsorted.records.len()).collect();
        let key = |at: usize| (unsorted.records[at].user, unsorted.records[at].time(), unsorted.position(at));
        order.sort_by_key(|&at| key(at));
        chunk.records.extend(order.iter().map(|&at| unsorted.records[at]));
        chunk.positions.extend(order.iter().map(|&at| unsorted.position(at)));
    }
}

/// How many bits numbers up to `most` take.
fn bits(most: u64) -> u32 {
    u64::BITS - most.leading_zeros()
}

fn mask(bits: u32) -> u64 {
    (1u64 << bits) - 1
}

/// User, time and place of each record in one number, where 64 bits hold them all: quick to sort, ties in order. How
/// many bits the place takes; pieces have [`PIECE`] places each, however many are taken.
fn fill_keys(pieces: &[&[Record]], keys: &mut Vec<u64>) -> Option<u32> {
    keys.clear();
    let records = || pieces.iter().copied().flatten();
    let (mut user, mut user_most, mut time, mut time_most) = (u32::MAX, 0, i64::MAX, i64::MIN);
    for record in records() {
        (user, user_most) = (user.min(record.user), user_most.max(record.user));
        (time, time_most) = (time.min(record.time()), time_most.max(record.time()));
    }
    let of_place = bits((PIECE * pieces.len()) as u64);
    let of_time = bits(time_most.abs_diff(time));
    if user > user_most || bits(u64::from(user_most - user)) + of_time + of_place >= u64::BITS {
        return None;
    }
    for (at, piece) in pieces.iter().enumerate() {
        let key = |(place, r): (usize, &Record)| {
            (u64::from(r.user - user) << of_time | r.time().abs_diff(time)) << of_place | place as u64
        };
        keys.extend((at * PIECE..).zip(*piece).map(key));
    }
    Some(of_place)
}

/// Keeps what `stays` says; the rest goes to `dropped`.
fn keep(
    chunk: &mut Chunk,
    dropped: &mut Vec<(Reason, Record)>,
    mut stays: impl FnMut(usize, &Record) -> Result<(), Reason>,
) {
    let mut kept = 0;
    for at in 0..chunk.records.len() {
        let record = chunk.records[at];
        match stays(at, &record) {
            Ok(()) => {
                chunk.records[kept] = record;
                if let Some(&position) = chunk.positions.get(at) {
                    chunk.positions[kept] = position;
                }
                kept += 1;
            }
            Err(reason) => dropped.push((reason, record)),
        }
    }
    chunk.records.truncate(kept);
    chunk.positions.truncate(kept);
}

/// Groups of so many equal times are compared one by one; larger ones by a table.
const COMPARED_MAX: usize = 8;

fn drop_duplicates(chunk: &mut Chunk, rules: &Rules, dropped: &mut Vec<(Reason, Record)>) {
    let whole_rows = rules.duplicate == Duplicates::Row;
    let records = &chunk.records;
    let key = |at: usize| {
        let record = &records[at];
        let position = chunk.positions.get(at).copied().unwrap_or(0);
        (record.key(position), if whole_rows { record.row_hash } else { 0 })
    };
    let mut again = Vec::new();
    let mut start = 0;
    let mut seen = HashSet::new();
    while start < records.len() {
        let of = (records[start].user, records[start].time());
        let mut end = start + 1;
        while end < records.len() && (records[end].user, records[end].time()) == of {
            end += 1;
        }
        if end - start > COMPARED_MAX {
            seen.clear();
            again.extend((start..end).filter(|&at| !seen.insert(key(at))));
        } else {
            again.extend((start + 1..end).filter(|&at| (start..at).any(|before| key(before) == key(at))));
        }
        start = end;
    }
    if again.is_empty() {
        return;
    }
    let mut next = again.into_iter().peekable();
    keep(chunk, dropped, |at, _| match next.next_if_eq(&at) {
        Some(_) => Err(Reason::Duplicate),
        None => Ok(()),
    });
}

/// What one record tells by itself.
fn drop_single(chunk: &mut Chunk, asked: &Neighbours, dropped: &mut Vec<(Reason, Record)>) {
    let rules = asked.rules;
    let times = rules.times_after_duplicates && asked.is_timed;
    let references = asked.known_users.is_some() || asked.known_videos.is_some();
    if !times && rules.ratio_max.is_none() && !references {
        return;
    }
    let unknown = |known: Option<&[bool]>, row: u32| {
        known.is_some_and(|known| !known.get(row as usize).copied().unwrap_or(false))
    };
    keep(chunk, dropped, |_, record| {
        let time = record.time();
        if times && rules.negative_time && time < 0 {
            Err(Reason::NegativeTime)
        } else if times && rules.zero_time && time == 0 {
            Err(Reason::ZeroTime)
        } else if times && rules.future_time && asked.latest.is_some_and(|latest| time > latest) {
            Err(Reason::FutureTime)
        } else if rules.ratio_max.is_some_and(|most| record.ratio > most) {
            Err(Reason::RatioBeyondCap)
        } else if unknown(asked.known_users, record.user) || unknown(asked.known_videos, record.video) {
            Err(Reason::UnknownReference)
        } else {
            Ok(())
        }
    });
}

fn drop_near_duplicates(chunk: &mut Chunk, within_ms: i64, dropped: &mut Vec<(Reason, Record)>) {
    let mut last_kept: HashMap<(u32, u8), i64> = HashMap::new();
    let mut user = u32::MAX;
    keep(chunk, dropped, |_, record| {
        if record.user != user {
            user = record.user;
            last_kept.clear();
        }
        let key = (record.video, record.action as u8);
        if last_kept.get(&key).is_some_and(|last| record.time().saturating_sub(*last) <= within_ms) {
            return Err(Reason::NearDuplicate);
        }
        last_kept.insert(key, record.time());
        Ok(())
    });
}

/// All events of a user who ever exceeds the rate: the slow hours of a machine are a machine's too. Rows are
/// counted, not the marks that come with them.
fn drop_bots(chunk: &mut Chunk, rules: &Rules, dropped: &mut Vec<(Reason, Record)>) {
    let Some(rate) = rules.bots else { return };
    let mut bots = HashSet::new();
    for events in chunk.records.chunk_by(|a, b| a.user == b.user) {
        let times: Vec<i64> = events.iter().filter(|r| r.is_first_of_row()).map(Record::time).collect();
        let most = rate.events_max as usize;
        // `most + 1` events within one window are one too many.
        if times.windows(most + 1).any(|w| w[most].saturating_sub(w[0]) < rate.window_ms) {
            bots.insert(events[0].user);
        }
    }
    if !bots.is_empty() {
        keep(chunk, dropped, |_, record| match bots.contains(&record.user) {
            true => Err(Reason::Bot),
            false => Ok(()),
        });
    }
}

#[cfg(test)]
mod tests {
    use upnext_data::{Action, Event};

    use super::*;
    use crate::engine::record::Place;

    fn record(line: u32, user: u32, video: u32, time: i64, ratio: f32) -> Record {
        let event = Event { user, video, action: Action::Watch, time, value: None, ratio: Some(ratio) };
        let place = Place { line, row_hash: line % 2, is_first_of_row: true, file: 0 };
        Record::new(&event, None, place)
    }

    fn cleaned(rules: &Rules, records: Vec<Record>) -> (Vec<u32>, Vec<(Reason, u32)>) {
        let asked = Neighbours {
            rules,
            drops_duplicates: true,
            is_timed: true,
            latest: None,
            known_users: None,
            known_videos: Some(&[true, true, true, false])
                .filter(|_| rules.unknown_reference)
                .map(|k| &k[..]),
        };
        let mut cleaner = Cleaner::new(4);
        cleaner.chunk.records = records;
        cleaner.sort();
        let dropped = cleaner.clean(&asked);
        let lines = cleaner.chunk.records.iter().map(|record| record.line).collect();
        (lines, dropped.into_iter().map(|(reason, record)| (reason, record.line)).collect())
    }

    #[test]
    fn the_first_of_equal_rows_stays_and_rows_that_differ_elsewhere_are_equal_only_by_fields() {
        let rows = || vec![record(1, 5, 0, 9, 0.5), record(2, 5, 0, 9, 0.5), record(3, 5, 0, 9, 0.5)];
        assert_eq!(
            cleaned(&Rules::default(), rows()),
            (vec![1], vec![(Reason::Duplicate, 2), (Reason::Duplicate, 3)])
        );
        assert_eq!(cleaned(&Rules::kuairec(), rows()), (vec![1, 2], vec![(Reason::Duplicate, 3)]));
        assert_eq!(cleaned(&Rules::none(), rows()).0, [1, 2, 3]);
        let many = (1..=40).map(|line| record(line, 5, line % 4, 9, 0.5)).collect();
        assert_eq!(cleaned(&Rules::default(), many).0, [1, 2, 3, 4]);
    }

    #[test]
    fn under_kuairec_a_duplicate_with_time_zero_counts_as_duplicate() {
        let rows = vec![record(2, 5, 0, 0, 0.5), record(4, 5, 0, 0, 0.5), record(6, 5, 1, 7, 0.5)];
        let (kept, dropped) = cleaned(&Rules::kuairec(), rows);
        assert_eq!((kept, dropped), (vec![6], vec![(Reason::Duplicate, 4), (Reason::ZeroTime, 2)]));
    }

    #[test]
    fn near_duplicates_are_measured_from_the_one_that_was_kept() {
        let mut rules = Rules::default();
        rules.set("near-duplicate=10").unwrap();
        let times = [0, 9_000, 18_000, 19_000];
        let rows = (1..).zip(times).map(|(line, time)| record(line, 5, 0, time + 1, 0.1)).collect();
        let (kept, dropped) = cleaned(&rules, rows);
        assert_eq!(kept, [1, 3]);
        assert_eq!(dropped, [(Reason::NearDuplicate, 2), (Reason::NearDuplicate, 4)]);
    }

    #[test]
    fn a_user_faster_than_the_rate_is_dropped_whole_and_one_at_the_rate_is_not() {
        let mut rules = Rules::default();
        rules.set("bots=2/second").unwrap();
        let mut rows: Vec<Record> = [0, 500, 999, 90_000].map(|t| record(1, 1, 0, t + 1, t as f32)).to_vec();
        rows.extend([0, 500, 1_000].map(|t| record(2, 2, 0, t + 1, t as f32)));
        let (kept, dropped) = cleaned(&rules, rows);
        assert_eq!((kept, dropped.len()), (vec![2, 2, 2], 4));
    }

    #[test]
    fn ratios_beyond_the_cap_and_unknown_references_go() {
        let mut rules = Rules::default();
        rules.set("ratio-max=5").unwrap();
        rules.set("unknown-reference=on").unwrap();
        let rows = vec![record(1, 1, 0, 1, 5.0), record(2, 1, 1, 2, 5.1), record(3, 1, 3, 3, 0.1)];
        let (kept, dropped) = cleaned(&rules, rows);
        assert_eq!(kept, [1]);
        assert_eq!(dropped, [(Reason::RatioBeyondCap, 2), (Reason::UnknownReference, 3)]);
    }
}
