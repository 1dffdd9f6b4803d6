//! What an editor decides: pin a video to a place, boost or bury some, for a time and an audience, or only try it.
//!
//! A rule never shows what a filter removes. Rules are read from the top: where two contradict each other the first
//! holds, and the other is named among the failures of the answer.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::expression::{ExpressionError, ExpressionLimits};
use crate::request::RuleMode;
use crate::{Expression, Failure, FeedConfig, Query, Request};

/// A rule, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in traces and scores; each once.
    pub name: String,
    /// What it does.
    pub action: RuleAction,
    /// For a pin: the place of the first of `videos`, from 1; the others follow it.
    #[serde(default = "first_place")]
    pub place: usize,
    /// For the other actions: the share of the spread of the list's scores that is added or taken.
    #[serde(default = "half")]
    pub amount: f64,
    /// Outside ids of the videos it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub videos: Vec<String>,
    /// The videos it is about, as an expression; one of the two is given, and a pin names `videos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The moment from which it holds: `2026-12-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The moment from which it holds no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// For whom it holds.
    #[serde(default)]
    pub audience: RuleAudience,
    /// Only tell what it would change.
    #[serde(default)]
    pub dry_run: bool,
}

fn first_place() -> usize {
    1
}

fn half() -> f64 {
    0.5
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Gives videos a place.
    Pin,
    /// Adds to scores.
    Boost,
    /// Takes from scores.
    Bury,
}

/// For whom a rule holds: all that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleAudience {
    /// Viewers of whom nothing is known yet, or the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// A label of the user, `plan:free` for example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The request's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The request's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The request's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// How much is known of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Nothing that models could go by.
    Cold,
    /// Something.
    Known,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// Something in it.
    #[error("rule {rule:?}: `{key}` is {found}; expected {expected}")]
    Value {
        /// The rule.
        rule: String,
        /// Its key.
        key: &'static str,
        /// What was given.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// Its expression.
    #[error("rule {rule:?}: {source}")]
    Filter {
        /// The rule.
        rule: String,
        /// What is wrong.
        source: ExpressionError,
    },
    /// Too many.
    #[error("{n} rules are given; expected at most {max} (`rules_max`)")]
    Many {
        /// How many.
        n: usize,
        /// The bound.
        max: usize,
    },
}

/// Rules that were checked.
pub struct Rules {
    of: Vec<Checked>,
}

struct Checked {
    rule: Rule,
    /// The name that its part of a score bears.
    part: Arc<str>,
    filter: Option<Expression>,
    from: i64,
    until: i64,
}

impl Rules {
    /// Checks rules.
    ///
    /// # Errors
    /// Names the first that cannot be used, and why.
    pub(crate) fn new(rules: Vec<Rule>, config: &FeedConfig) -> Result<Self, RuleError> {
        if rules.len() > config.rules_max {
            return Err(RuleError::Many { n: rules.len(), max: config.rules_max });
        }
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !names.insert(&rule.name)) {
            return Err(wrong(twice, "name", twice.name.clone(), "a name that no other rule bears"));
        }
        let checked = rules.into_iter().map(|rule| Checked::new(rule, config));
        Ok(Self { of: checked.collect::<Result<_, _>>()? })
    }

    /// As they were written.
    pub(crate) fn written(&self) -> Vec<Rule> {
        self.of.iter().map(|checked| checked.rule.clone()).collect()
    }

    /// What holds for a request. `labels` finds the labels of the user; it is asked only where a rule wants them.
    pub(crate) fn active(
        &self,
        query: &Query,
        labels: impl FnOnce(&mut Vec<Failure>) -> Vec<String>,
        failures: &mut Vec<Failure>,
    ) -> ActiveRules {
        let now = query.request.now;
        let in_time: Vec<&Checked> = self.of.iter().filter(|of| (of.from..of.until).contains(&now)).collect();
        let labels = match in_time.iter().any(|of| of.rule.audience.label.is_some()) {
            true => labels(failures),
            false => Vec::new(),
        };
        let mut active = ActiveRules::default();
        let mut said = Said::default();
        for checked in in_time.into_iter().filter(|of| of.rule.audience.fits(query, &labels)) {
            let rule = &checked.rule;
            let applied = match query.request.rules {
                RuleMode::Live => !rule.dry_run,
                RuleMode::Dry => false,
                RuleMode::All => true,
            };
            if !applied {
                active.dry.push(rule.name.clone());
                continue;
            }
            let mut rows = Vec::with_capacity(rule.videos.len());
            for (at, id) in rule.videos.iter().enumerate() {
                let place = (rule.action == RuleAction::Pin).then(|| rule.place + at);
                match query.stock.row(id) {
                    None => {
                        said.fail(rule, &format!("names video {id}, which nobody has heard of"), failures)
                    }
                    Some(row) if said.admits(rule, (id, row), place, failures) => match place {
                        Some(place) => active.pins.push(Pin { place, row, rule: rule.name.clone() }),
                        None => rows.push(row),
                    },
                    Some(_) => {}
                }
            }
            rows.sort_unstable();
            if rule.action != RuleAction::Pin {
                let amount = if rule.action == RuleAction::Boost { rule.amount } else { -rule.amount };
                let (part, filter) = (Arc::clone(&checked.part), checked.filter.clone());
                active.shifts.push(Shift { rule: rule.name.clone(), part, amount, rows, filter });
            }
        }
        active.pins.sort_by_key(|pin| pin.place);
        // A pin stands above a boost or a bury, wherever it is written.
        let pins: HashMap<u32, &Pin> = active.pins.iter().map(|pin| (pin.row, pin)).collect();
        for shift in active.shifts.iter_mut().filter(|shift| shift.amount < 0.0) {
            shift.rows.retain(|row| {
                let pin = pins.get(row);
                if let Some(pin) = pin {
                    let id = query.stock.id(*row);
                    let what = format!(
                        "buries {id}, which rule {} pins to place {}: the pin holds",
                        pin.rule, pin.place
                    );
                    failures.push(failure(&shift.rule, &what));
                }
                pin.is_none()
            });
        }
        active
    }
}

/// What the rules read so far say of each video and place.
#[derive(Default)]
struct Said<'a> {
    pinned: HashMap<u32, (&'a str, usize)>,
    places: HashMap<usize, (&'a str, String)>,
    shifted: HashMap<u32, (&'a str, RuleAction)>,
}

impl<'a> Said<'a> {
    fn fail(&self, rule: &Rule, what: &str, failures: &mut Vec<Failure>) {
        failures.push(failure(&rule.name, what));
    }

    /// Whether a rule may have its way with a video; if not, a failure says which one forbids it.
    fn admits(
        &mut self,
        rule: &'a Rule,
        (id, row): (&str, u32),
        place: Option<usize>,
        failures: &mut Vec<Failure>,
    ) -> bool {
        let contradiction = match place {
            Some(place) => match (self.pinned.get(&row), self.places.get(&place)) {
                (Some((other, at)), _) => {
                    Some(format!("pins {id} to place {place}, but rule {other} pins it to place {at}"))
                }
                (None, Some((other, taken))) => {
                    Some(format!("pins {id} to place {place}, where rule {other} pins {taken}"))
                }
                (None, None) => None,
            },
            None => self.shifted.get(&row).filter(|(_, action)| *action != rule.action).map(|(other, _)| {
                let (verb, against) = match rule.action {
                    RuleAction::Bury => ("buries", "boosts"),
                    _ => ("boosts", "buries"),
                };
                format!("{verb} {id}, which rule {other} {against}")
            }),
        };
        if let Some(what) = contradiction {
            self.fail(rule, &format!("{what}: the first rule holds"), failures);
            return false;
        }
        match place {
            Some(place) => {
                self.pinned.insert(row, (&rule.name, place));
                self.places.insert(place, (&rule.name, id.to_string()));
            }
            None => drop(self.shifted.entry(row).or_insert((&rule.name, rule.action))),
        }
        true
    }
}

fn failure(rule: &str, what: &str) -> Failure {
    Failure { stage: "rules".into(), part: rule.into(), message: format!("rule {rule} {what}") }
}

fn wrong(rule: &Rule, key: &'static str, found: String, expected: &'static str) -> RuleError {
    RuleError::Value { rule: rule.name.clone(), key, found, expected }
}

impl Checked {
    fn new(rule: Rule, config: &FeedConfig) -> Result<Self, RuleError> {
        if rule.name.trim().is_empty() {
            return Err(wrong(&rule, "name", "empty".into(), "a name"));
        }
        if rule.videos.len() > config.rule_videos_max {
            let found = format!("{} ids", rule.videos.len());
            return Err(wrong(&rule, "videos", found, "at most `rule_videos_max` ids"));
        }
        if rule.videos.is_empty() == rule.filter.is_none() {
            let found = if rule.filter.is_none() { "empty" } else { "given beside `filter`" };
            return Err(wrong(&rule, "videos", found.into(), "either ids or a `filter`"));
        }
        match rule.action {
            RuleAction::Pin if rule.filter.is_some() => {
                return Err(wrong(
                    &rule,
                    "filter",
                    "given".into(),
                    "`videos`, since a pin has a place for each",
                ));
            }
            RuleAction::Pin if !(1..=config.places_max).contains(&rule.place) => {
                return Err(wrong(&rule, "place", rule.place.to_string(), "a place from 1 to `places_max`"));
            }
            RuleAction::Boost | RuleAction::Bury if !(rule.amount.is_finite() && rule.amount > 0.0) => {
                return Err(wrong(&rule, "amount", rule.amount.to_string(), "a finite number above 0"));
            }
            _ => {}
        }
        let limits = config.filters.limits();
        let filter = rule.filter.as_ref().map(|text| Expression::parse(text, limits)).transpose();
        let filter = filter.map_err(|source| RuleError::Filter { rule: rule.name.clone(), source })?;
        let moment = |key, text: &Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => text
                .parse::<jiff::Timestamp>()
                .map(jiff::Timestamp::as_millisecond)
                .map_err(|_| wrong(&rule, key, format!("{text:?}"), "a moment such as 2026-12-01T00:00:00Z")),
        };
        let (from, until) = (moment("from", &rule.from, i64::MIN)?, moment("until", &rule.until, i64::MAX)?);
        if from >= until {
            return Err(wrong(&rule, "until", format!("{:?}", rule.until), "a moment after `from`"));
        }
        let part = Arc::from(format!("rule {}", rule.name));
        Ok(Self { part, filter, from, until, rule })
    }
}

impl RuleAudience {
    fn fits(&self, query: &Query, labels: &[String]) -> bool {
        let Request { language, region, device, .. } = &query.request;
        let said = |wanted: &Option<String>, said: &Option<String>| match wanted {
            None => true,
            Some(wanted) => said.as_ref().is_some_and(|said| said.eq_ignore_ascii_case(wanted)),
        };
        self.segment.is_none_or(|segment| (segment == Segment::Cold) == query.is_cold())
            && self.label.as_ref().is_none_or(|label| labels.contains(label))
            && said(&self.language, language)
            && said(&self.region, region)
            && said(&self.device, device)
    }
}

/// The rules that hold for one request, without contradictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveRules {
    /// By place.
    pub pins: Vec<Pin>,
    /// In the order in which they are written.
    pub shifts: Vec<Shift>,
    /// Names of rules that are only told.
    pub dry: Vec<String>,
}

/// A video with a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// From 1.
    pub place: usize,
    /// The video.
    pub row: u32,
    /// The rule's name.
    pub rule: String,
}

/// Videos that go up or down.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// The rule's name.
    pub rule: String,
    /// The name of what it adds to scores.
    pub part: Arc<str>,
    /// The share of the spread that is added.
    pub amount: f64,
    /// These, sorted.
    pub rows: Vec<u32>,
    /// Or those for which this holds.
    pub filter: Option<Expression>,
}

impl ActiveRules {
    /// Places count on after the `n` that a session was served, and a pin that was passed stands first.
    pub(crate) fn pass(&mut self, n: usize, served: &[u32]) {
        self.pins.retain(|pin| served.binary_search(&pin.row).is_err());
        let mut least = 1;
        for pin in &mut self.pins {
            pin.place = pin.place.saturating_sub(n).max(least);
            least = pin.place + 1;
        }
    }

    /// The pin of a row.
    pub fn pin(&self, row: u32) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.row == row)
    }
}

impl crate::FilterConfig {
    /// How long and deep an expression may be.
    pub fn limits(&self) -> ExpressionLimits {
        ExpressionLimits {
            bytes_max: self.expression_bytes_max,
            depth_max: self.expression_depth_max,
            tests_max: self.expression_tests_max,
        }
    }
}
