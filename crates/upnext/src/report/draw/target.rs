//! How the target is distributed over all events, and what each threshold would call positive.

use serde_json::json;

use super::html::{bar, lacks, number, of, percent, table, whole};
use super::plot::{Figure, bars, bins, line, place};
use super::{Answer, Context, bins_table, summary};
use crate::report::measure::Section;
use crate::report::measure::target::{Distribution, Kind};

pub(super) fn distribution(context: &Context) -> Answer {
    let name = context.target();
    let mut answer = Answer::new(
        "target",
        "Target and thresholds",
        format!("How is the {name} distributed, and what would count as positive?"),
    );
    let target = match &context.report.target {
        Section::Absent { absent } => {
            answer.put(lacks(absent));
            return answer;
        }
        Section::There(target) => target,
    };
    if !context.is(Kind::WatchRatio) {
        answer.put(lacks(&format!("no event has a watch ratio; what is shown instead is the {name}")));
    }
    answer.draw(match &target.levels {
        Some(levels) if target.target == Kind::Rating => levelled(context, target, levels),
        _ => continuous(context, target),
    });
    answer.put(thresholds(target));
    if target.target != Kind::Rating && target.log.counts.len() > 2 {
        answer.draw(tail(context, target));
    }
    answer.put(summary(&format!("{name} of an event"), &target.describe));
    if target.describe.rank_error_max > 0 {
        let share = 100.0 * target.describe.rank_error_max as f64 / target.describe.count as f64;
        answer.put(format!(
            "<p class=\"note\">Quantiles of so many events are sketched: no rank is further off than {} ({share:.2} %).</p>",
            of(target.describe.rank_error_max, "event")
        ));
    }
    answer
}

fn word(target: &Distribution) -> &'static str {
    if target.strictly_above { "above" } else { "at least" }
}

fn says(target: &Distribution) -> String {
    let describe = &target.describe;
    let shares: Vec<String> = target
        .thresholds
        .iter()
        .map(|threshold| {
            format!("{} {}: {}", word(target), number(threshold.threshold), percent(threshold.percent))
        })
        .collect();
    format!(
        "The mean {} is {}, the median {}. Positive would be, {}.",
        target.target.name(),
        number(describe.mean),
        number(describe.p50),
        shares.join("; "),
    )
}

fn continuous(context: &Context, target: &Distribution) -> Figure {
    let name = target.target.name();
    let mut shown = target.linear.clone();
    if target.linear.above == 0 {
        shown.trim();
    }
    let (traces, mut layout) = bins(&shown, name, "event");
    let lines: Vec<_> = target
        .thresholds
        .iter()
        .filter_map(|t| {
            Some(line(
                place(&shown, t.threshold)?,
                &format!("{}<br>{:.0} %", number(t.threshold), t.percent),
                "@accent",
            ))
        })
        .collect();
    layout["shapes"] = json!(lines.iter().map(|(shape, _)| shape).collect::<Vec<_>>());
    layout["annotations"] = json!(lines.iter().map(|(_, note)| note).collect::<Vec<_>>());
    let beyond = shown.above;
    let edge = shown.edges.last().copied().unwrap_or(0.0);
    Figure {
        id: "plot-target",
        says: says(target),
        protocol: context.protocol(&format!(
            "{} with a {name}; {} ({}) at or above {} are not drawn",
            of(target.describe.count, "event"),
            whole(beyond),
            percent(100.0 * beyond as f64 / target.describe.count as f64),
            number(edge),
        )),
        table: bins_table(&target.linear, &format!("Events by {name}")),
        height: 340,
        traces,
        layout,
    }
}

fn levelled(
    context: &Context,
    target: &Distribution,
    levels: &[crate::report::measure::target::Level],
) -> Figure {
    let name = target.target.name();
    let names: Vec<String> = levels.iter().map(|level| number(f64::from(level.value))).collect();
    let counts: Vec<f64> = levels.iter().map(|level| level.events as f64).collect();
    let total = target.describe.count as f64;
    let texts = levels
        .iter()
        .zip(&names)
        .map(|(level, name)| {
            format!("{name}: {}, {}", of(level.events, "event"), percent(100.0 * level.events as f64 / total))
        })
        .collect();
    let (traces, mut layout) = bars(&names, &counts, texts, name, "events");
    if names.len() <= 20 {
        // Few enough to name each.
        layout["xaxis"]["tickvals"] = json!((0..names.len()).collect::<Vec<_>>());
        layout["xaxis"]["ticktext"] = json!(names);
    }
    let rows = levels.iter().zip(&names).map(|(level, name)| {
        [name.clone(), whole(level.events), percent(100.0 * level.events as f64 / total)]
    });
    Figure {
        id: "plot-target",
        says: says(target),
        protocol: context.protocol(&format!("{} with a {name}", of(target.describe.count, "event"))),
        table: table(&format!("Events by {name}"), &[name, "events", "share"], rows),
        height: 320,
        traces,
        layout,
    }
}

/// The whole range, both axes by ratio: what the plot above cuts off.
fn tail(context: &Context, target: &Distribution) -> Figure {
    let name = target.target.name();
    let (traces, mut layout) = bins(&target.log, &format!("{name}, by ratio"), "event");
    layout["yaxis"]["type"] = json!("log");
    Figure {
        id: "plot-tail",
        says: format!(
            "The whole range: 1 % of events have a {name} below {}, 1 % above {}, and the largest is {}. {} are exactly zero.",
            number(target.describe.p01),
            number(target.describe.p99),
            number(target.describe.max),
            whole(target.zeros),
        ),
        protocol: context.protocol(&format!(
            "{} with a {name} above zero; both axes by ratio",
            of(target.describe.count - target.zeros, "event")
        )),
        table: bins_table(&target.log, &format!("Events by {name}, bins of one ratio")),
        height: 280,
        traces,
        layout,
    }
}

fn thresholds(target: &Distribution) -> String {
    let name = target.target.name();
    let rows = target.thresholds.iter().map(|threshold| {
        [
            format!("{} {}", word(target), number(threshold.threshold)),
            whole(threshold.events),
            percent(threshold.percent),
            percent(100.0 - threshold.percent),
            bar(threshold.percent / 100.0),
        ]
    });
    table(
        "What each threshold would call positive",
        &[name, "positive events", "positive", "negative", ""],
        rows,
    )
}
