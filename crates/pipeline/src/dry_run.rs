//! What rules did to an answer, and what those would do that are only tried.

use crate::feed::Feed;
use crate::pipeline::Outcome;
use crate::{Failure, Request, RuleChange, RuleMode, RuleTrace, Slot, Trace};

impl Feed {
    /// The trace and the failures of an outcome with what rules did. Dry runs are told by asking once more with all rules
    /// applied; nothing of that is shown or remembered.
    pub(crate) fn with_dry_runs(&self, request: &Request, outcome: &Outcome) -> (Trace, Vec<Failure>) {
        let (mut trace, mut failures) = (outcome.trace.clone(), outcome.failures.clone());
        trace.rules = told(outcome, &[]);
        if !outcome.query.rules.dry.is_empty() {
            let all = Request { rules: RuleMode::All, ..request.clone() };
            let tried = self.pipeline.outcome(&all);
            trace.rules = told(&tried, &outcome.query.rules.dry);
            trace.would_change = changes(&self.pipeline.slate(outcome), &self.pipeline.slate(&tried));
            let of_rules = tried.failures.into_iter().filter(|failure| failure.stage == "rules");
            let more: Vec<Failure> = of_rules.filter(|failure| !failures.contains(failure)).collect();
            failures.extend(more);
        }
        (trace, failures)
    }
}

/// The rules that were applied, with how many of the ranked videos they concern.
fn told(outcome: &Outcome, dry: &[String]) -> Vec<RuleTrace> {
    let rules = &outcome.query.rules;
    let mut told: Vec<RuleTrace> = Vec::new();
    let mut add = |rule: &str, videos: usize| match told.iter_mut().find(|known| known.rule == rule) {
        Some(known) => known.videos += videos,
        None => told.push(RuleTrace {
            rule: rule.to_string(),
            dry_run: dry.iter().any(|dry| dry == rule),
            videos,
        }),
    };
    for pin in &rules.pins {
        add(&pin.rule, outcome.ranked.iter().filter(|candidate| candidate.row() == pin.row).count());
    }
    for shift in &rules.shifts {
        let concerned = outcome.ranked.iter().flat_map(|candidate| candidate.parts());
        add(&shift.rule, concerned.filter(|(part, _)| *part == shift.part).count());
    }
    told
}

fn changes(now: &[Slot], then: &[Slot]) -> Vec<RuleChange> {
    let place =
        |slate: &[Slot], video: &str| slate.iter().position(|slot| slot.video == video).map(|at| at + 1);
    let gone = now.iter().filter(|slot| place(then, &slot.video).is_none());
    let changed = then.iter().chain(gone).map(|slot| RuleChange {
        from: place(now, &slot.video),
        to: place(then, &slot.video),
        video: slot.video.clone(),
    });
    changed.filter(|change| change.from != change.to).collect()
}
