//! What people do with each video: the share who like it, the seconds they watch. Counted on the run, once.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use upnext_data::{Action, Dataset, Relevance};

/// What each action is worth: a weight for each that counts, a watch in seconds. Finite, and refusals at most 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionWeights(Vec<(Action, f64)>);

/// Weights that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// No such action.
    #[error(
        "there is no action {name:?}; expected one of watch, like, comment, follow, collect, forward, effective_view, hate, impression, search, rating"
    )]
    Action {
        /// What was given.
        name: String,
    },
    /// Not a number that a score may have.
    #[error("the weight of {name} is {found}; expected a finite number")]
    Number {
        /// The action.
        name: String,
        /// What was given.
        found: String,
    },
    /// A refusal that would be rewarded.
    #[error("the weight of hate is {found}; expected at most 0, since it is a refusal")]
    Sign {
        /// What was given.
        found: f64,
    },
    /// Not `action:weight`.
    #[error("{found:?} is no weight; expected action:weight, as in like:1,watch:0.2,hate:-5")]
    Form {
        /// What was given.
        found: String,
    },
}

impl ActionWeights {
    /// From names of actions.
    ///
    /// # Errors
    /// Names the first that cannot be used.
    pub fn new(weights: &BTreeMap<String, f64>) -> Result<Self, WeightsError> {
        let checked = weights.iter().map(|(name, &weight)| {
            let action =
                Action::from_name(name).ok_or_else(|| WeightsError::Action { name: name.clone() })?;
            if !weight.is_finite() {
                return Err(WeightsError::Number { name: name.clone(), found: weight.to_string() });
            }
            if action == Action::Hate && weight > 0.0 {
                return Err(WeightsError::Sign { found: weight });
            }
            Ok((action, weight))
        });
        Ok(Self(checked.collect::<Result<_, _>>()?))
    }

    /// From text: `like:1,watch:0.2,hate:-5`.
    ///
    /// # Errors
    /// Names the first that cannot be used.
    pub fn parse(text: &str) -> Result<Self, WeightsError> {
        let mut weights = BTreeMap::new();
        for pair in text.split(',') {
            let (name, weight) =
                pair.split_once(':').ok_or_else(|| WeightsError::Form { found: pair.into() })?;
            let number = || WeightsError::Number { name: name.trim().into(), found: weight.trim().into() };
            weights.insert(name.trim().to_string(), weight.trim().parse().map_err(|_| number())?);
        }
        Self::new(&weights)
    }

    /// Whether nothing counts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Rates of actions by video. Nothing is counted before somebody asks; then it costs one pass over the events.
pub struct ActionRates {
    dataset: Arc<Dataset>,
    relevance: Relevance,
    prior: f64,
    counted: OnceLock<Counted>,
}

struct Counted {
    /// Of each video, the users who did anything with it, and who did each action.
    users: Vec<u32>,
    acted: Vec<[u32; Action::ALL.len()]>,
    /// Seconds watched, and of how many watches they are known.
    seconds: Vec<(f64, u32)>,
    rate: [f64; Action::ALL.len()],
    seconds_mean: f64,
}

impl ActionRates {
    /// Over a run. A video's rates are drawn to those of all as if so many viewers more had behaved like all.
    pub fn new(dataset: Arc<Dataset>, relevance: Relevance, prior: f64) -> Self {
        Self { dataset, relevance, prior, counted: OnceLock::new() }
    }

    /// `sum of weight * P(action | video)`, where a watch counts its expected seconds. Where no seconds are known in the
    /// whole run, a watch is worth nothing.
    pub fn worth(&self, row: u32, weights: &ActionWeights) -> f64 {
        let counted = self.counted.get_or_init(|| Counted::new(&self.dataset, &self.relevance));
        let of =
            |&(action, weight): &(Action, f64)| weight * counted.expected(row as usize, action, self.prior);
        weights.0.iter().map(of).sum()
    }
}

impl Counted {
    fn new(dataset: &Dataset, relevance: &Relevance) -> Self {
        let n = dataset.videos.len();
        let (mut users, mut acted, mut seconds) = (vec![0; n], vec![[0; 11]; n], vec![(0.0, 0); n]);
        for row in dataset.interactions(relevance).rows() {
            let video = row.video as usize;
            users[video] += 1;
            for action in Action::ALL.into_iter().filter(|&action| row.actions.has(action)) {
                acted[video][action as usize] += 1;
            }
        }
        for event in dataset.events().iter().filter(|event| event.action == Action::Watch) {
            let length = dataset.videos.video(event.video).duration_seconds;
            let by_ratio = || Some(event.ratio? * length?);
            if let Some(watched) = event.value.or_else(by_ratio).filter(|s| s.is_finite() && *s >= 0.0) {
                let (sum, count) = &mut seconds[event.video as usize];
                *sum += f64::from(watched);
                *count += 1;
            }
        }
        let all = users.iter().map(|&n| f64::from(n)).sum::<f64>().max(1.0);
        let rate = Action::ALL.map(|action| {
            acted.iter().map(|of: &[u32; 11]| f64::from(of[action as usize])).sum::<f64>() / all
        });
        let watches = seconds.iter().map(|&(_, count)| f64::from(count)).sum::<f64>().max(1.0);
        let seconds_mean = seconds.iter().map(|&(sum, _)| sum).sum::<f64>() / watches;
        Self { users, acted, seconds, rate, seconds_mean }
    }

    fn expected(&self, row: usize, action: Action, prior: f64) -> f64 {
        let drawn = |sum: f64, n: u32, mean: f64| {
            let all = f64::from(n) + prior;
            if all > 0.0 { (sum + prior * mean) / all } else { mean }
        };
        if action == Action::Watch {
            let (sum, count) = self.seconds[row];
            return drawn(sum, count, self.seconds_mean);
        }
        drawn(f64::from(self.acted[row][action as usize]), self.users[row], self.rate[action as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Catalogue, Event, Events, Order, Users};

    /// Two videos of 100 seconds: three people watched the first (10 s, 20 s, and half of it), one of them liked it; one
    /// person refused the second. Of the third nothing is known.
    fn rates(prior: f64) -> ActionRates {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        for id in ["a", "b", "c"] {
            let row = videos.intern(id);
            videos.video_mut(row).duration_seconds = Some(100.0);
        }
        let event = |user, video, action, value, ratio| Event { user, video, action, time: 1, value, ratio };
        for user in 0..4 {
            users.intern(&user.to_string());
        }
        events.push(event(0, 0, Action::Watch, Some(10.0), None));
        events.push(event(1, 0, Action::Watch, Some(20.0), None));
        events.push(event(2, 0, Action::Watch, None, Some(0.5)));
        events.push(event(2, 0, Action::Like, None, None));
        events.push(event(3, 1, Action::Hate, None, None));
        let dataset = Dataset::new("rates", users, videos, events, Order::Timed, None);
        ActionRates::new(Arc::new(dataset), Relevance::default(), prior)
    }

    #[test]
    fn a_worth_is_the_weighted_sum_of_rates_and_seconds() {
        let rates = rates(0.0);
        let worth = |row, text| rates.worth(row, &ActionWeights::parse(text).unwrap());
        assert!((worth(0, "like:3") - 1.0).abs() < 1e-12);
        assert!((worth(0, "watch:0.1") - 80.0 / 3.0 * 0.1).abs() < 1e-9);
        assert_eq!(worth(1, "hate:-5,like:9"), -5.0);
        // Of the third nothing is known: the rates of all, one like among four viewers.
        assert!((worth(2, "like:1") - 0.25).abs() < 1e-12);
    }

    #[test]
    fn few_viewers_are_drawn_to_the_rate_of_all() {
        // (1 + 4 * 1/4) / (3 + 4), where the run's rate is 1/4.
        let like = ActionWeights::parse("like:1").unwrap();
        assert!((rates(4.0).worth(0, &like) - 2.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn weights_that_cannot_be_used_are_named() {
        let error = |text| ActionWeights::parse(text).unwrap_err().to_string();
        assert!(error("like:NaN").contains("the weight of like is NaN; expected a finite number"));
        assert!(error("like:inf").contains("like is inf"));
        assert!(error("like:much").contains("like is much"));
        assert!(error("likes:1").contains("no action \"likes\""));
        assert!(error("hate:2").contains("expected at most 0"));
        assert!(error("like").contains("like:1,watch:0.2,hate:-5"));
    }
}
