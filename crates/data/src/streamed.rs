//! What a split holds, of a log that is never held: its events pass by, block of users after block of users.

use crate::leakage::{Finding, Linter, later_than};
use crate::overlap::OverlapTally;
use crate::split::{Moments, cuts_of_month, newest_of};
use crate::{Dataset, Event, Events, Interactions, Part, Relevance, Split, SplitError, SplitRule};

/// Events of a block, about; a user is never cut in two.
const BLOCK_EVENTS: usize = 1 << 18;

/// A log whose events can pass by as often as is asked.
pub trait Log {
    /// Why they do not.
    type Error;

    /// What is known of it beside its events.
    fn set(&self) -> &Dataset;

    /// Whether it came split.
    fn has_parts(&self) -> bool;

    /// Lets all events pass, sorted by user, then time, each with its part where it came split.
    ///
    /// # Errors
    /// When they cannot be read.
    fn pass(&self, see: &mut dyn FnMut(&Event, Option<Part>)) -> Result<(), Self::Error>;
}

impl Log for Dataset {
    type Error = std::convert::Infallible;

    fn set(&self) -> &Dataset {
        self
    }

    fn has_parts(&self) -> bool {
        self.parts().is_some()
    }

    fn pass(&self, see: &mut dyn FnMut(&Event, Option<Part>)) -> Result<(), Self::Error> {
        for (at, event) in self.events().iter().enumerate() {
            see(&event, self.parts().map(|parts| parts[at]));
        }
        Ok(())
    }
}

/// What is to be known of a split, without the split.
#[derive(Clone, Debug)]
pub struct SplitSummary {
    /// What its parts hold and share.
    pub parts: OverlapTally,
    /// First milliseconds of validation and of test, for a split by time.
    pub cuts: Option<(i64, i64)>,
    /// What [`lint`](crate::lint) says of it.
    pub findings: Vec<Finding>,
}

impl SplitSummary {
    /// Of the split that [`Split::new`] would make of the same events.
    ///
    /// # Errors
    /// When the events cannot be read; inside, when the log cannot be cut so.
    pub fn new<L: Log>(
        log: &L,
        relevance: &Relevance,
        rule: SplitRule,
        seed: u64,
    ) -> Result<Result<Self, SplitError>, L::Error> {
        let set = log.set();
        if let Err(error) = rule.fits(set, log.has_parts()) {
            return Ok(Err(error));
        }
        let cuts = match rule {
            SplitRule::Monthly => {
                let mut newest = None;
                blocks(log, rule, relevance, &mut |rows| newest = newest.max(newest_of(&rows[0])))?;
                Some(cuts_of_month(newest.unwrap_or(0), 0))
            }
            rule if rule.is_by_time() => Some(cuts_of(log, relevance)?),
            _ => None,
        };
        let mut moments = Moments { cuts, first_seen: Vec::new() };
        if rule == SplitRule::FirstSeen {
            blocks(log, rule, relevance, &mut |rows| moments.see(&rows[0]))?;
        }
        let (mut parts, mut linter) = (OverlapTally::new(set.videos.len()), Linter::default());
        let (mut positives, mut asked) = (0, 0);
        blocks(log, rule, relevance, &mut |rows| {
            let split = Split::of_rows(rows, rule, seed, &moments);
            positives += rows.iter().flat_map(Interactions::rows).filter(|row| row.is_positive()).count();
            asked += split.test.len();
            parts.add(&split);
            linter.add(&split);
        })?;
        if asked == 0 {
            return Ok(Err(rule.empty(set, relevance, positives)));
        }
        let mut later = 0;
        if let Some(asked_at) = linter.asked_at() {
            // Only now is it known when the earliest question is asked.
            blocks(log, rule, relevance, &mut |rows| {
                later += later_than(&Split::of_rows(rows, rule, seed, &moments), asked_at);
            })?;
        }
        Ok(Ok(Self { parts, cuts, findings: linter.findings(rule, later) }))
    }
}

/// Shows the rows of whole users, block after block, as [`Split::of_rows`] takes them.
fn blocks<L: Log>(
    log: &L,
    rule: SplitRule,
    relevance: &Relevance,
    see: &mut dyn FnMut(&[Interactions]),
) -> Result<(), L::Error> {
    let (n_users, n_videos) = (log.set().users.len(), log.set().videos.len());
    let mut block = vec![Events::new(); if rule == SplitRule::Given { 3 } else { 1 }];
    let mut last_user = None;
    let mut show = |block: &mut Vec<Events>| {
        let rows = block.iter_mut().map(|events| {
            let events = std::mem::take(events);
            Interactions::new(n_users, n_videos, events.iter(), relevance)
        });
        see(&rows.collect::<Vec<_>>());
    };
    log.pass(&mut |event, part| {
        let is_new = last_user.replace(event.user) != Some(event.user);
        if is_new && block.iter().map(Events::len).sum::<usize>() >= BLOCK_EVENTS {
            show(&mut block);
        }
        let at = part.filter(|_| block.len() > 1).map_or(0, |part| part as usize);
        block[at].push(*event);
    })?;
    show(&mut block);
    Ok(())
}

/// Bits of a time that are told apart in each of three passes, from the highest on.
const DIGITS: [u32; 3] = [22, 21, 21];

/// The times before which 80 and 90 % of all pairs lie, exactly: by counting the leading bits of all times, then the
/// next bits of those that lead as the wanted ones do.
fn cuts_of<L: Log>(log: &L, relevance: &Relevance) -> Result<(i64, i64), L::Error> {
    // In the order of signed numbers.
    const SIGN: u64 = 1 << 63;
    let (mut leading, mut ranks) = ([0u64; 2], [0u64; 2]);
    let mut rest = 64;
    for digits in DIGITS {
        rest -= digits;
        let mut counts = [vec![0u64; 1 << digits], vec![0u64; 1 << digits]];
        blocks(log, SplitRule::GlobalTime, relevance, &mut |rows| {
            for row in rows.iter().flat_map(Interactions::rows) {
                let key = (row.time as u64 ^ SIGN) >> rest;
                for (leading, counts) in leading.iter().zip(&mut counts) {
                    if key >> digits == *leading {
                        counts[key as usize & ((1 << digits) - 1)] += 1;
                    }
                }
            }
        })?;
        if rest + digits == 64 {
            let total: u64 = counts[0].iter().sum();
            if total == 0 {
                return Ok((i64::MAX, i64::MAX));
            }
            ranks = [80, 90].map(|percent| total * percent / 100);
        }
        for ((leading, rank), counts) in leading.iter_mut().zip(&mut ranks).zip(&counts) {
            let mut digit = 0;
            while *rank >= counts[digit] {
                *rank -= counts[digit];
                digit += 1;
            }
            *leading = (*leading << digits) | digit as u64;
        }
    }
    let [first, second] = leading.map(|key| (key ^ SIGN) as i64);
    Ok((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Catalogue, Order, Users, lint, overlap};

    /// Three hundred users with up to 2,000 events each: more than one block.
    fn log(order: Order, with_parts: bool) -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        (0..90).for_each(|video| _ = videos.intern(&video.to_string()));
        let mut parts = Vec::new();
        for user in 0..300u32 {
            users.intern(&user.to_string());
            for at in 0..(user * 7 % 2_000) {
                let drawn = crate::split::mix(u64::from(user) << 32 | u64::from(at));
                let action = if drawn.is_multiple_of(3) { Action::Like } else { Action::Impression };
                let time =
                    if order == Order::Timed { (drawn >> 20) as i64 % 5_000_000_000 - 1_000 } else { 0 };
                // The last three come up late.
                let video = (drawn % 89) as u32;
                let is_new = video >= 86 && order == Order::Timed;
                let video = if is_new && time < 4_600_000_000 { video - 80 } else { video };
                events.push(Event { user, video, action, time, value: None, ratio: None });
                parts.push(
                    [Part::Train, Part::Train, Part::Validation, Part::Test][(drawn >> 9) as usize % 4],
                );
            }
        }
        Dataset::new("streamed", users, videos, events, order, with_parts.then_some(parts))
    }

    #[test]
    fn a_log_that_passes_by_is_cut_as_one_that_is_held() {
        let (timed, parted) = (log(Order::Timed, false), log(Order::Sequence, true));
        assert!(timed.events().len() > BLOCK_EVENTS);
        for rule in SplitRule::ALL {
            let set = if rule == SplitRule::Given { &parted } else { &timed };
            let held = Split::new(set, &Relevance::default(), rule, 3).unwrap();
            let Ok(passed) = SplitSummary::new(set, &Relevance::default(), rule, 3);
            let passed = passed.unwrap();
            assert_eq!(passed.parts.overlap(), overlap(&held), "{rule}");
            assert_eq!(passed.cuts, held.cuts, "{rule}");
            assert_eq!(passed.findings, lint(&held), "{rule}");
            assert_eq!(passed.parts.videos_in(&[2]), {
                let mut videos: Vec<u32> =
                    held.test.iter().flat_map(|query| query.relevant.clone()).collect();
                videos.sort_unstable();
                videos.dedup();
                videos.len()
            });
        }
    }

    #[test]
    fn what_cannot_be_cut_is_told_as_for_a_log_that_is_held() {
        let unordered = log(Order::Unordered, false);
        let nobody: Relevance = "rating>=5".parse().unwrap();
        for (rule, relevance) in [
            (SplitRule::GlobalTime, Relevance::default()),
            (SplitRule::Given, Relevance::default()),
            (SplitRule::Random, nobody),
        ] {
            let held = Split::new(&unordered, &relevance, rule, 0).unwrap_err().to_string();
            let Ok(passed) = SplitSummary::new(&unordered, &relevance, rule, 0);
            assert_eq!(passed.unwrap_err().to_string(), held);
        }
    }
}
