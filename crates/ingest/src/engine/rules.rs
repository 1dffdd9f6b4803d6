//! The rules of cleaning: which there are, in which order they are asked, and how a command line sets them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::IngestError;

/// Which values a row must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Those an event is made of: user, video, the time if there is such a column, one measure.
    Needed,
    /// Every column of the file, also those that are not read.
    Any,
}

/// Which rows are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// None.
    Kept,
    /// Equal in all that is read.
    Fields,
    /// Equal in every column of the file, as they are written there: `1` and `1.0` differ.
    Row,
}

/// More events of a user than this within one window are those of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The most that a person does.
    pub events_max: u32,
    /// Length of the window.
    pub window_ms: i64,
}

/// What is dropped. A row that is no event at all (no user, no video, text for a number) is always dropped.
///
/// Rules are asked in the order of [`Rules::in_order`], and a row counts for the first that it breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The name of the set they started from.
    pub name: &'static str,
    /// Which values a row must have.
    pub missing: Missing,
    /// Which rows are the same; the first of them stays.
    pub duplicate: Duplicates,
    /// Times are judged after duplicates, as the KuaiRec design does, and not before.
    pub times_after_duplicates: bool,
    /// Times before 1970.
    pub negative_time: bool,
    /// The time 0.
    pub zero_time: bool,
    /// Times beyond now.
    pub future_time: bool,
    /// Lengths, watch times and ratios that cannot be.
    pub impossible_duration: bool,
    /// Watch ratios beyond this.
    pub ratio_max: Option<f32>,
    /// The same user, video and action again within so many seconds of the one that was kept.
    pub near_duplicate_seconds: Option<f64>,
    /// All events of a user who ever exceeds this rate.
    pub bots: Option<Rate>,
    /// Events of users or videos that the table of users, or of videos, does not have, where there is such a table.
    pub unknown_reference: bool,
    /// Users with fewer events; asked once.
    pub user_events_min: u32,
    /// Videos with fewer events; asked once, after users.
    pub video_events_min: u32,
    /// Users and videos with fewer events than this, again and again until none is left.
    pub k_core: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            name: "default",
            missing: Missing::Needed,
            duplicate: Duplicates::Fields,
            times_after_duplicates: false,
            negative_time: true,
            zero_time: false,
            future_time: true,
            impossible_duration: true,
            ratio_max: None,
            near_duplicate_seconds: None,
            bots: None,
            unknown_reference: false,
            user_events_min: 0,
            video_events_min: 0,
            k_core: 0,
        }
    }
}

const NAMES: &str = "missing, duplicate, negative-time, zero-time, future-time, impossible-duration, ratio-max, \
                     near-duplicate, bots, unknown-reference, min-user-events, min-video-events, k-core";

impl Rules {
    /// Drops only what is no event.
    pub fn none() -> Self {
        Self {
            name: "none",
            duplicate: Duplicates::Kept,
            negative_time: false,
            future_time: false,
            impossible_duration: false,
            ..Self::default()
        }
    }

    /// The KuaiRec design's three, in its order: rows with any value missing, rows that are equal in every column,
    /// times of zero or before.
    pub fn kuairec() -> Self {
        Self {
            name: "kuairec",
            missing: Missing::Any,
            duplicate: Duplicates::Row,
            times_after_duplicates: true,
            negative_time: true,
            zero_time: true,
            ..Self::none()
        }
    }

    /// Changes one rule: `near-duplicate=30`, `bots=120/minute`, `duplicate=off`.
    ///
    /// # Errors
    /// When there is no such rule, or the value is none of its.
    pub fn set(&mut self, text: &str) -> Result<(), IngestError> {
        let wrong =
            |expected: &str| IngestError::RuleSyntax { text: text.into(), expected: expected.to_string() };
        let (rule, value) = text.split_once('=').ok_or_else(|| wrong("RULE=VALUE, as in bots=120/minute"))?;
        let (rule, value) = (rule.trim(), value.trim());
        let switch = || match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(wrong("`on` or `off`")),
        };
        let number = |example: &str| -> Result<Option<f64>, IngestError> {
            match value {
                "off" => Ok(None),
                value => match value.parse::<f64>() {
                    Ok(number) if number >= 0.0 && number.is_finite() => Ok(Some(number)),
                    _ => Err(wrong(&format!("a number of at least zero such as {example}, or `off`"))),
                },
            }
        };
        let count = || -> Result<u32, IngestError> {
            let count = if value == "off" { Some(0) } else { value.parse().ok() };
            count.ok_or_else(|| wrong("a whole number such as 5, or `off`"))
        };
        match rule {
            "missing" => {
                self.missing = match value {
                    "needed" => Missing::Needed,
                    "any" => Missing::Any,
                    _ => return Err(wrong("`needed` or `any`; what an event is made of must be there")),
                }
            }
            "duplicate" => {
                self.duplicate = match value {
                    "off" => Duplicates::Kept,
                    "on" | "fields" => Duplicates::Fields,
                    "row" => Duplicates::Row,
                    _ => return Err(wrong("`fields`, `row` or `off`")),
                }
            }
            "negative-time" => self.negative_time = switch()?,
            "zero-time" => self.zero_time = switch()?,
            "future-time" => self.future_time = switch()?,
            "impossible-duration" => self.impossible_duration = switch()?,
            "ratio-max" => self.ratio_max = number("10")?.map(|number| number as f32),
            "near-duplicate" => self.near_duplicate_seconds = number("30")?,
            "bots" => {
                let expected = "events in a window such as 120/minute or 2000/hour, or `off`";
                self.bots = match value.split_once('/') {
                    None if value == "off" => None,
                    Some((events, window)) => Some(Rate {
                        events_max: events.trim().parse().map_err(|_| wrong(expected))?,
                        window_ms: match window.trim() {
                            "second" => 1_000,
                            "minute" => 60_000,
                            "hour" => 3_600_000,
                            "day" => 86_400_000,
                            _ => return Err(wrong(expected)),
                        },
                    }),
                    None => return Err(wrong(expected)),
                }
            }
            "unknown-reference" => self.unknown_reference = switch()?,
            "min-user-events" => self.user_events_min = count()?,
            "min-video-events" => self.video_events_min = count()?,
            "k-core" => self.k_core = count()?,
            _ => return Err(wrong(&format!("one of the rules {NAMES}"))),
        }
        Ok(())
    }

    /// Every rule with its setting, in the order in which they are asked.
    pub fn in_order(&self) -> Vec<(String, String)> {
        let switch = |on: bool| if on { "on" } else { "off" }.to_string();
        let number = |value: Option<f64>| value.map_or("off".into(), |value| value.to_string());
        let count = |value: u32| if value == 0 { "off".into() } else { value.to_string() };
        let missing = match self.missing {
            Missing::Needed => "needed",
            Missing::Any => "any",
        };
        let duplicate = match self.duplicate {
            Duplicates::Kept => "off",
            Duplicates::Fields => "fields",
            Duplicates::Row => "row",
        };
        let window = |ms: i64| match ms {
            1_000 => "second",
            60_000 => "minute",
            3_600_000 => "hour",
            _ => "day",
        };
        let bots =
            self.bots.map_or("off".into(), |rate| format!("{}/{}", rate.events_max, window(rate.window_ms)));
        let mut times = vec![
            ("negative-time", switch(self.negative_time)),
            ("zero-time", switch(self.zero_time)),
            ("future-time", switch(self.future_time)),
        ];
        let mut all = vec![("missing", missing.to_string())];
        if !self.times_after_duplicates {
            all.append(&mut times);
        }
        all.push(("impossible-duration", switch(self.impossible_duration)));
        all.push(("duplicate", duplicate.into()));
        all.append(&mut times);
        all.extend([
            ("ratio-max", number(self.ratio_max.map(f64::from))),
            ("unknown-reference", switch(self.unknown_reference)),
            ("near-duplicate", number(self.near_duplicate_seconds)),
            ("bots", bots),
            ("min-user-events", count(self.user_events_min)),
            ("min-video-events", count(self.video_events_min)),
            ("k-core", count(self.k_core)),
        ]);
        all.into_iter().map(|(rule, setting)| (rule.to_string(), setting)).collect()
    }

    /// Whether a rule counts events of the whole set.
    pub(crate) fn counts(&self) -> bool {
        self.user_events_min.max(self.video_events_min).max(self.k_core) > 1
    }
}

impl FromStr for Rules {
    type Err = IngestError;

    fn from_str(name: &str) -> Result<Self, IngestError> {
        match name {
            "default" => Ok(Self::default()),
            "kuairec" => Ok(Self::kuairec()),
            "none" => Ok(Self::none()),
            _ => Err(IngestError::RuleSyntax {
                text: name.into(),
                expected: "default, kuairec or none".into(),
            }),
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = self.in_order().into_iter().filter(|(_, setting)| setting != "off");
        let on: Vec<String> = on.map(|(rule, setting)| format!("{rule}={setting}")).collect();
        write!(f, "{}: {}", self.name, on.join(", "))
    }
}

/// The rules an import used, as `cleaning.json` keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesUsed {
    /// The set they started from.
    pub name: String,
    /// Rule and setting, in the order in which they were asked.
    pub in_order: Vec<(String, String)>,
}

impl From<&Rules> for RulesUsed {
    fn from(rules: &Rules) -> Self {
        Self { name: rules.name.into(), in_order: rules.in_order() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_back_as_they_print_and_kuairec_judges_times_after_duplicates() {
        let mut rules = Rules::default();
        for text in ["near-duplicate=30", "bots=120/minute", "k-core=5", "ratio-max=10", "duplicate=row"] {
            rules.set(text).unwrap();
        }
        let said = rules.to_string();
        assert!(said.contains("near-duplicate=30, bots=120/minute") && said.contains("k-core=5"), "{said}");
        let mut back = Rules::none();
        for (rule, setting) in rules.in_order() {
            back.set(&format!("{rule}={setting}")).unwrap();
        }
        assert_eq!(back, Rules { name: "none", ..rules });
        let on: Vec<String> = Rules::kuairec().in_order().into_iter().map(|(rule, _)| rule).collect();
        let at = |name: &str| on.iter().position(|rule| rule == name).unwrap();
        assert!(at("missing") < at("duplicate") && at("duplicate") < at("zero-time"));
    }

    #[test]
    fn a_wrong_rule_is_told_what_there_is() {
        for (text, part) in [
            ("bot=1", "near-duplicate"),
            ("bots=1", "120/minute"),
            ("k-core=-1", "whole number"),
            ("missing=off", "`any`"),
            ("bots", "RULE=VALUE"),
            ("ratio-max=NaN", "at least zero"),
        ] {
            let error = Rules::default().set(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{error}");
        }
    }
}
