//! How networks learnt.

use plotly::Scatter;
use plotly::common::{Line, Mode};
use serde_json::{Value, json};

use super::html::{escape, number, table, whole};
use super::plot::{Figure, value};
use super::{Answer, Context};
use crate::report::measure::training::Curve;

/// Names of plots must be unique and known: so many trainings are drawn, the first by name.
const DRAWN_MAX: usize = 8;
const IDS: [[&str; 2]; DRAWN_MAX] = [
    ["plot-loss-0", "plot-validation-0"],
    ["plot-loss-1", "plot-validation-1"],
    ["plot-loss-2", "plot-validation-2"],
    ["plot-loss-3", "plot-validation-3"],
    ["plot-loss-4", "plot-validation-4"],
    ["plot-loss-5", "plot-validation-5"],
    ["plot-loss-6", "plot-validation-6"],
    ["plot-loss-7", "plot-validation-7"],
];

/// Nothing where no network has learnt.
pub(super) fn curves(context: &Context) -> Option<Answer> {
    let curves = &context.report.training;
    if curves.is_empty() {
        return None;
    }
    let mut answer = Answer::new("training", "Training curves", "How did the networks learn?");
    let row = |curve: &Curve| {
        let last = curve.epochs.last();
        let best = curve.best();
        [
            escape(&curve.name),
            whole(curve.epochs.len() as u64),
            last.map_or("none".into(), |epoch| number(epoch.loss)),
            best.map_or("not judged".into(), |epoch| {
                format!("{} ({})", number(epoch.validation.unwrap_or(0.0)), escape(&epoch.metric))
            }),
            best.map_or(String::new(), |epoch| whole(u64::from(epoch.epoch))),
        ]
    };
    let columns = ["network", "epochs", "last loss", "best on validation", "in epoch"];
    answer.put(table("Networks that learnt", &columns, curves.iter().map(row)));
    for (curve, [loss, validation]) in curves.iter().zip(IDS) {
        answer.draw(plot(context, curve, loss, "loss", |epoch| Some(epoch.loss)));
        if curve.best().is_some() {
            answer.draw(plot(context, curve, validation, "on validation", |epoch| epoch.validation));
        }
    }
    if curves.len() > DRAWN_MAX {
        answer.say(format!("The first {DRAWN_MAX} of {} are drawn; all are in the table.", curves.len()));
    }
    Some(answer)
}

fn plot(
    context: &Context,
    curve: &Curve,
    id: &'static str,
    what: &str,
    of: impl Fn(&crate::report::measure::training::EpochMetrics) -> Option<f64>,
) -> Figure {
    let points: Vec<(u32, f64)> =
        curve.epochs.iter().filter_map(|epoch| Some((epoch.epoch, of(epoch)?))).collect();
    let (first, last) = (points.first().map_or(0.0, |p| p.1), points.last().map_or(0.0, |p| p.1));
    let trace = Scatter::new(
        points.iter().map(|point| point.0).collect::<Vec<u32>>(),
        points.iter().map(|point| point.1).collect::<Vec<f64>>(),
    )
    .mode(Mode::LinesMarkers)
    .line(Line::new().color("@bar"))
    .hover_template("epoch %{x}: %{y:.5~g}<extra></extra>");
    let traces: Vec<Value> = vec![value(trace.as_ref())];
    let layout = json!({
        "xaxis": { "title": { "text": "epoch" }, "type": "linear" },
        "yaxis": { "title": { "text": what } },
    });
    let says = match curve.best().filter(|_| what != "loss") {
        Some(best) => format!(
            "{}: {} goes from {} to {}; the best is {} in epoch {}, and that model was kept.",
            escape(&curve.name),
            escape(&best.metric),
            number(first),
            number(last),
            number(best.validation.unwrap_or(0.0)),
            best.epoch
        ),
        None => {
            format!("{}: the {what} goes from {} to {}.", escape(&curve.name), number(first), number(last))
        }
    };
    let rows = points.iter().map(|&(epoch, x)| [whole(u64::from(epoch)), number(x)]);
    Figure {
        id,
        says,
        protocol: context.protocol(&format!("{} epochs of training", points.len())),
        table: table(&format!("{}, {what} by epoch", curve.name), &["epoch", what], rows),
        height: 260,
        traces,
        layout,
    }
}
