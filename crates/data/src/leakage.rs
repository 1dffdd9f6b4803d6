//! The linter that looks for what a model could know and should not.

use std::fmt;

use serde::Serialize;

use crate::{Query, Split, SplitRule};

/// The kinds of leak the linter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leak {
    /// A held-out (user, video) pair is also trained on, or stands in the question's history.
    SharedPairs,
    /// Something known is later than what is asked about.
    Time,
}

/// One thing the linter found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub leak: Leak,
    /// How many pairs or events.
    pub count: usize,
    /// One example, by row numbers: user, video.
    pub example: Option<(u32, u32)>,
    /// Whether the protocol makes it harmless, so that a headline may stand over it.
    pub handled: bool,
    /// In words.
    pub note: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.note, if self.handled { "handled by the protocol" } else { "leak" })
    }
}

/// Checks a split for shared pairs and for order in time.
///
/// A leave-last-out split trains on events that are later than other users' tests: that is part of its
/// definition, so it is reported with its count, as handled; a split by time must have none.
pub fn lint(split: &Split) -> Vec<Finding> {
    let mut findings = Vec::new();
    shared_pairs(split, &mut findings);
    time(split, &mut findings);
    findings
}

fn shared_pairs(split: &Split, findings: &mut Vec<Finding>) {
    if split.pairs_on_both_sides > 0 {
        findings.push(Finding {
            leak: Leak::SharedPairs,
            count: split.pairs_on_both_sides,
            example: None,
            handled: true,
            note: format!(
                "{} held-out pairs are also in train: masked, and taken out of truth and ideal",
                split.pairs_on_both_sides
            ),
        });
    }
    for (name, queries) in [("validation", &split.validation), ("test", &split.test)] {
        let shared: Vec<(u32, u32)> = queries.iter().flat_map(|query| shared_by(split, query)).collect();
        if let Some(&example) = shared.first() {
            findings.push(Finding {
                leak: Leak::SharedPairs,
                count: shared.len(),
                example: Some(example),
                handled: false,
                note: format!(
                    "{} {name} pairs are also in train or in the history of their question",
                    shared.len()
                ),
            });
        }
    }
}

fn shared_by(split: &Split, query: &Query) -> Vec<(u32, u32)> {
    let mut known: Vec<u32> = split.train.of(query.user).iter().map(|row| row.video).collect();
    known.extend(query.history.past().iter().map(|past| past.video));
    known.sort_unstable();
    query
        .relevant
        .iter()
        .filter(|video| known.binary_search(video).is_ok())
        .map(|&video| (query.user, video))
        .collect()
}

fn time(split: &Split, findings: &mut Vec<Finding>) {
    let mut late = Vec::new();
    for query in split.validation.iter().chain(&split.test) {
        let Some(at) = query.at else { continue };
        late.extend(query.history.past().iter().filter(|p| p.time > at).map(|p| (query.user, p.video)));
    }
    if let Some(&example) = late.first() {
        findings.push(Finding {
            leak: Leak::Time,
            count: late.len(),
            example: Some(example),
            handled: false,
            note: format!("{} events in histories are later than what is asked about", late.len()),
        });
    }
    let Some(earliest) = split.test.iter().filter_map(|query| query.at).min() else { return };
    let after = |row: &&crate::Interaction| row.time >= earliest && row.time != 0;
    let count = split.train.rows().iter().filter(after).count();
    if count > 0 {
        let handled =
            matches!(split.rule, SplitRule::LeaveLastOut | SplitRule::PerUser9010 | SplitRule::Given);
        findings.push(Finding {
            leak: Leak::Time,
            count,
            example: None,
            handled,
            note: format!(
                "{count} of {} training pairs are later than the earliest test question{}",
                split.train.len(),
                if handled { ", as the split's definition has it; global-time has none" } else { "" }
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{History, Interaction, Interactions, Judgement, Past};

    fn row(video: u32, time: i64) -> Interaction {
        Interaction { video, time, value: None, judgement: Judgement::Positive }
    }

    fn split(train: Vec<Interaction>, history: &[(u32, i64)], relevant: u32, at: i64) -> Split {
        let history = History::new(history.iter().map(|&(video, time)| Past {
            video,
            time,
            value: None,
            judgement: Judgement::Positive,
        }));
        Split {
            rule: SplitRule::GlobalTime,
            train: Interactions::from_users(10, vec![train]),
            validation: Vec::new(),
            test: vec![Query {
                user: 0,
                masked: history.seen(),
                history,
                relevant: vec![relevant],
                at: Some(at),
            }],
            cuts: None,
            pairs_on_both_sides: 0,
            held_out_values: Vec::new(),
        }
    }

    #[test]
    fn a_clean_split_raises_no_alarm() {
        assert_eq!(lint(&split(vec![row(1, 1), row(2, 2)], &[(1, 1), (2, 2)], 3, 5)), []);
    }

    #[test]
    fn a_planted_pair_is_caught_by_name() {
        let findings = lint(&split(vec![row(1, 1), row(3, 2)], &[(1, 1)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].example), (Leak::SharedPairs, Some((0, 3))));
        assert!(!findings[0].handled);
    }

    #[test]
    fn a_training_event_after_the_cut_is_caught() {
        let findings = lint(&split(vec![row(1, 1), row(2, 7)], &[(1, 1)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].count), (Leak::Time, 1));
    }

    #[test]
    fn a_history_that_reaches_into_the_future_is_caught() {
        let findings = lint(&split(vec![row(1, 1)], &[(1, 1), (2, 9)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].example), (Leak::Time, Some((0, 2))));
    }
}
