//! What counts as relevant: a named rule that a configuration chooses.

use std::fmt;
use std::str::FromStr;

use crate::{Action, Event};

/// What a rule says of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The user wanted it.
    Positive,
    /// The event says little.
    Neutral,
    /// The user did not want it.
    Negative,
}

/// A rule in words: terms joined by ` or `, so `liked or watch_ratio>=0.5`.
///
/// | term | an event is positive when |
/// | --- | --- |
/// | `any` | it is not a `hate` or an `impression` |
/// | `liked` | it is a like, comment, follow, collect or forward |
/// | `effective_view` | the platform marked the view as one that counts |
/// | `rating`, `rating>=4` | it is a rating (of at least 4) |
/// | `watch` | it is a watch of which neither seconds nor ratio are known |
/// | `watch_ratio>=0.8`, `watch_ratio>1` | the ratio is known and large enough |
/// | `watch_seconds>=7` | the ratio is not known and the seconds are enough |
///
/// `default` is `liked or effective_view or rating or watch or watch_ratio>=0.5 or watch_seconds>=7`.
/// A `hate` is negative under every rule.
#[derive(Clone, Debug)]
pub struct Relevance {
    terms: Vec<Term>,
    /// What the terms ask of each action, by its number.
    asked: [Asked; Action::ALL.len()],
}

impl PartialEq for Relevance {
    fn eq(&self, other: &Self) -> bool {
        self.terms == other.terms
    }
}

/// What all terms together ask of an action. A least number of NaN is never reached.
#[derive(Clone, Copy, Debug)]
struct Asked {
    nothing: bool,
    /// That neither seconds nor ratio are known.
    no_measure: bool,
    ratio_least: f32,
    /// Of stars, or of seconds, which count only where the ratio is not known.
    value_least: f32,
    value_counts_beside_ratio: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Term {
    Any,
    Liked,
    EffectiveView,
    Watch,
    Rating(Bound),
    WatchRatio(Bound),
    WatchSeconds(Bound),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    strict: bool,
    least: f32,
}

impl Bound {
    const NONE: Self = Self { strict: false, least: f32::NEG_INFINITY };

    /// The least number that is admitted.
    fn first(self) -> f32 {
        if self.strict { self.least.next_up() } else { self.least }
    }
}

/// A rule that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "relevance rule `{rule}`: `{term}` is not a term; expected `default`, or terms joined by ` or ` out of any, liked, effective_view, rating, rating>=N, watch, watch_ratio>=N, watch_ratio>N, watch_seconds>=N"
)]
pub struct RelevanceError {
    rule: String,
    term: String,
}

const DEFAULT: &str = "liked or effective_view or rating or watch or watch_ratio>=0.5 or watch_seconds>=7";

impl Default for Relevance {
    fn default() -> Self {
        DEFAULT.parse().expect("the default rule is well formed: a test parses it")
    }
}

impl FromStr for Relevance {
    type Err = RelevanceError;

    fn from_str(rule: &str) -> Result<Self, RelevanceError> {
        let text = if rule.trim() == "default" { DEFAULT } else { rule };
        let terms = text
            .split(" or ")
            .map(|term| {
                let term = term.trim();
                parse_term(term).ok_or_else(|| RelevanceError { rule: rule.into(), term: term.into() })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let asked = Action::ALL.map(|action| Asked::of(&terms, action));
        Ok(Self { terms, asked })
    }
}

fn parse_term(term: &str) -> Option<Term> {
    let at = term.find('>');
    let (name, bound) = match at {
        None => (term, Bound::NONE),
        Some(at) => {
            let rest = &term[at + 1..];
            let (strict, number) = rest.strip_prefix('=').map_or((true, rest), |n| (false, n));
            let least: f32 = number.trim().parse().ok().filter(|x: &f32| x.is_finite())?;
            (term[..at].trim(), Bound { strict, least })
        }
    };
    Some(match (name, at.is_some()) {
        ("any", false) => Term::Any,
        ("liked", false) => Term::Liked,
        ("effective_view", false) => Term::EffectiveView,
        ("watch", false) => Term::Watch,
        ("rating", _) => Term::Rating(bound),
        ("watch_ratio", true) => Term::WatchRatio(bound),
        ("watch_seconds", true) => Term::WatchSeconds(bound),
        _ => return None,
    })
}

impl fmt::Display for Relevance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            if at > 0 {
                f.write_str(" or ")?;
            }
            let (name, bound) = match term {
                Term::Any => ("any", Bound::NONE),
                Term::Liked => ("liked", Bound::NONE),
                Term::EffectiveView => ("effective_view", Bound::NONE),
                Term::Watch => ("watch", Bound::NONE),
                Term::Rating(b) => ("rating", *b),
                Term::WatchRatio(b) => ("watch_ratio", *b),
                Term::WatchSeconds(b) => ("watch_seconds", *b),
            };
            f.write_str(name)?;
            if bound.least.is_finite() {
                write!(f, "{}{}", if bound.strict { ">" } else { ">=" }, bound.least)?;
            }
        }
        Ok(())
    }
}

impl Relevance {
    /// The rule for events that come after a log which measured no watch: where it wants watches without a measure, those that
    /// have one count from half on. Other rules stay as they are.
    pub fn measuring_watches(mut self) -> Self {
        let is_of_measures =
            |term: &Term| matches!(term, Term::Any | Term::WatchRatio(_) | Term::WatchSeconds(_));
        if self.terms.contains(&Term::Watch) && !self.terms.iter().any(is_of_measures) {
            self.terms.push(Term::WatchRatio(Bound { strict: false, least: Self::WATCHED_RATIO }));
            self.asked = Action::ALL.map(|action| Asked::of(&self.terms, action));
        }
        self
    }

    /// The share of a video from which on a watch counts where nothing else is said: that of the default rule.
    pub const WATCHED_RATIO: f32 = 0.5;

    /// What the rule says of one event.
    #[inline]
    pub fn judge(&self, event: &Event) -> Judgement {
        if event.action == Action::Hate {
            return Judgement::Negative;
        }
        let asked = &self.asked[event.action as usize];
        let ratio = event.ratio.unwrap_or(f32::NAN);
        let has_none = event.ratio.is_none() && event.value.is_none();
        let value_counts = event.ratio.is_none() | asked.value_counts_beside_ratio;
        let by_value = value_counts & (event.value.unwrap_or(f32::NAN) >= asked.value_least);
        match asked.nothing | (asked.no_measure & has_none) | (ratio >= asked.ratio_least) | by_value {
            true => Judgement::Positive,
            false => Judgement::Neutral,
        }
    }
}

impl Asked {
    fn of(terms: &[Term], action: Action) -> Self {
        use Action::{
            Collect, Comment, EffectiveView, Follow, Forward, Impression, Like, Rating, Search, Watch,
        };
        let mut asked = Self {
            nothing: false,
            no_measure: false,
            ratio_least: f32::NAN,
            value_least: f32::NAN,
            value_counts_beside_ratio: action == Rating,
        };
        for &term in terms {
            match (term, action) {
                (Term::Any, Impression) => {}
                (Term::Any, _) => asked.nothing = true,
                (Term::Liked, Like | Comment | Follow | Collect | Forward) => asked.nothing = true,
                (Term::EffectiveView, EffectiveView) => asked.nothing = true,
                (Term::Watch, Watch | Search) => asked.no_measure = true,
                (Term::Rating(Bound::NONE), Rating) => asked.nothing = true,
                // Of two numbers the smaller one, or the one that is no NaN.
                (Term::Rating(bound), Rating) | (Term::WatchSeconds(bound), Watch) => {
                    asked.value_least = asked.value_least.min(bound.first());
                }
                (Term::WatchRatio(bound), Watch) => asked.ratio_least = asked.ratio_least.min(bound.first()),
                _ => {}
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: Action, value: Option<f32>, ratio: Option<f32>) -> Event {
        Event { user: 0, video: 0, action, time: 0, value, ratio }
    }

    #[test]
    fn the_default_is_liked_or_watched_at_least_half() {
        let rule = Relevance::default();
        assert_eq!(rule.judge(&event(Action::Like, Some(1.0), None)), Judgement::Positive);
        assert_eq!(rule.judge(&event(Action::Watch, Some(3.0), Some(0.5))), Judgement::Positive);
        assert_eq!(rule.judge(&event(Action::Watch, Some(30.0), Some(0.49))), Judgement::Neutral);
        assert_eq!(rule.judge(&event(Action::Watch, None, None)), Judgement::Positive);
        assert_eq!(rule.judge(&event(Action::Hate, None, None)), Judgement::Negative);
        assert_eq!(rule.judge(&event(Action::Rating, Some(1.0), None)), Judgement::Positive);
        assert_eq!(rule.judge(&event(Action::Impression, None, None)), Judgement::Neutral);
    }

    #[test]
    fn a_rule_of_watches_without_measure_takes_measured_ones_from_half_on() {
        let measured = |rule: &str| {
            let rule = rule.parse::<Relevance>().unwrap().measuring_watches();
            [0.5, 0.49]
                .map(|ratio| rule.judge(&event(Action::Watch, None, Some(ratio))) == Judgement::Positive)
        };
        assert_eq!(measured("watch"), [true, false]);
        assert_eq!(measured("liked or watch"), [true, false]);
        assert_eq!(measured("any"), [true, true]);
        for rule in ["liked", "rating", "watch or watch_ratio>=0.8", "watch or watch_seconds>=7"] {
            assert_eq!(measured(rule), [false, false], "{rule}");
        }
        let rule = Relevance::default();
        assert_eq!(rule.clone().measuring_watches(), rule);
        assert_eq!(
            rule.judge(&event(Action::Watch, None, Some(Relevance::WATCHED_RATIO))),
            Judgement::Positive
        );
    }

    #[test]
    fn strict_and_weak_bounds_differ_at_the_bound() {
        let strict: Relevance = "watch_ratio>1".parse().unwrap();
        let weak: Relevance = "watch_ratio>=1".parse().unwrap();
        let at = event(Action::Watch, None, Some(1.0));
        assert_eq!(strict.judge(&at), Judgement::Neutral);
        assert_eq!(weak.judge(&at), Judgement::Positive);
    }

    #[test]
    fn rules_judge_as_the_table_says() {
        use Action::{
            Collect, Comment, EffectiveView, Follow, Forward, Hate, Impression, Like, Rating, Watch,
        };
        let says = |term: &str, e: &Event| match term {
            "any" => e.action != Impression,
            "liked" => [Like, Comment, Follow, Collect, Forward].contains(&e.action),
            "effective_view" => e.action == EffectiveView,
            "rating" => e.action == Rating,
            "rating>=4" => e.action == Rating && e.value.is_some_and(|stars| stars >= 4.0),
            "watch" => [Watch, Action::Search].contains(&e.action) && e.value.is_none() && e.ratio.is_none(),
            "watch_ratio>1" => e.action == Watch && e.ratio.is_some_and(|ratio| ratio > 1.0),
            "watch_ratio>=0.8" => e.action == Watch && e.ratio.is_some_and(|ratio| ratio >= 0.8),
            _ => e.action == Watch && e.ratio.is_none() && e.value.is_some_and(|seconds| seconds >= 7.0),
        };
        let terms = [
            "any",
            "liked",
            "effective_view",
            "rating",
            "rating>=4",
            "watch",
            "watch_ratio>1",
            "watch_ratio>=0.8",
            "watch_seconds>=7",
        ];
        let numbers = [None, Some(0.0), Some(0.8), Some(1.0), Some(1.0_f32.next_up()), Some(4.0), Some(7.0)];
        for (one, other) in terms.iter().flat_map(|one| terms.map(|other| (*one, other))) {
            let rule: Relevance = format!("{one} or {other}").parse().unwrap();
            for action in Action::ALL {
                for (value, ratio) in numbers.iter().flat_map(|value| numbers.map(|ratio| (*value, ratio))) {
                    let event = event(action, value, ratio);
                    let expected = match action {
                        Hate => Judgement::Negative,
                        _ if says(one, &event) || says(other, &event) => Judgement::Positive,
                        _ => Judgement::Neutral,
                    };
                    assert_eq!(rule.judge(&event), expected, "{rule}: {event:?}");
                }
            }
        }
    }

    #[test]
    fn a_rule_prints_as_it_is_written_and_a_wrong_term_is_named() {
        let text = "liked or rating>=4 or watch_ratio>1";
        assert_eq!(text.parse::<Relevance>().unwrap().to_string(), text);
        assert_eq!(Relevance::default().to_string(), DEFAULT);
        let error = "liked or loved".parse::<Relevance>().unwrap_err().to_string();
        assert!(error.contains("`loved`") && error.contains("rating>=N"), "{error}");
    }
}
