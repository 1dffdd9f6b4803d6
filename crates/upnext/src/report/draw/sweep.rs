//! What variety costs, as a page: for each space all ways in one plot, on validation and on the test.

use plotly::Scatter;
use plotly::common::Mode;
use serde_json::{Value, json};

use super::html::{escape, number, percent, table, whole};
use super::plot::{Figure, value};
use super::{Answer, sheet};
use crate::sweep::{Curve, HalfWay, Health, Point, Sweep};

/// Names of plots must be unique and known: validation and test of each space.
const IDS: [[&str; 2]; 4] = [
    ["plot-validation-0", "plot-test-0"],
    ["plot-validation-1", "plot-test-1"],
    ["plot-validation-2", "plot-test-2"],
    ["plot-validation-3", "plot-test-3"],
];

/// The whole page.
pub(crate) fn page(sweep: &Sweep) -> String {
    let header = format!(
        "<header><h1>What does variety cost?</h1><p>The best {} of <code>{}</code> for each question, re-ranked to {} in {} \
         ways, each from the plain order to the most varied. Settings, knees and the choice are of validation ({} \
         questions); the test ({}) stands beside and chose nothing. Protocol: {}.</p></header>",
        sweep.pool,
        escape(&sweep.model),
        sweep.k,
        sweep.curves.len(),
        whole(sweep.questions[0] as u64),
        whole(sweep.questions[1] as u64),
        escape(&sweep.protocol),
    );
    let mut answers = vec![spaces(sweep)];
    answers.extend(sweep.spaces.iter().zip(IDS).map(|(space, ids)| curves(sweep, space, ids)));
    answers.push(half_way(sweep));
    sheet(&format!("{}: what variety costs", sweep.model), &header, &answers, "<footer></footer>")
}

fn spaces(sweep: &Sweep) -> Answer {
    let mut answer = Answer::new("spaces", "Spaces", "Can the spaces tell videos apart?");
    answer.say(
        "A list is varied in a space. Where two videos drawn at random are alike already, the space has collapsed and no \
         list in it is varied.",
    );
    let row = |of: &Health| {
        [escape(of.space), escape(of.distance), number(of.mean_likeness), whole(of.unknown as u64)]
    };
    let columns = ["space", "distance", "mean likeness of two videos", "videos unknown in it"];
    answer.put(table("Spaces", &columns, sweep.spaces.iter().map(row)));
    for what in &sweep.missing {
        answer.say(format!("Left out: {}.", escape(what)));
    }
    answer
}

/// A colour for each space or group, and dashes for the second way in it.
fn look(name: &str) -> (&'static str, &'static str) {
    let (way, what) = name.split_once(' ').unwrap_or((name, ""));
    let colour = match what {
        "fused" => "@bar",
        "text" => "@cold",
        "content" => "@good",
        "category" => "@ink",
        _ => "@edge",
    };
    (colour, if way == "dpp" { "dot" } else { "solid" })
}

fn curves(sweep: &Sweep, space: &Health, ids: [&'static str; 2]) -> Answer {
    let (id, short, what) = match space.space {
        "fused" => ("curves-fused", "By fused vectors", "fused vectors"),
        "text" => ("curves-text", "By text", "text"),
        "content" => ("curves-content", "By labels and text", "labels and text"),
        _ => ("curves-labels", "By labels", "labels alone"),
    };
    let mut answer = Answer::new(id, short, format!("What does variety by {what} cost?"));
    let k = sweep.k;
    let ndcg = format!("ndcg@{k}");
    let known = |point: &Point| {
        let name = point.test.metrics.keys().find(|name| name.starts_with(&format!("ild_{}_", space.space)));
        name.cloned().unwrap_or_default()
    };
    let ild =
        sweep.curves.iter().flat_map(|curve| curve.points.first()).map(known).next().unwrap_or_default();
    for (part, id) in ["validation", "test"].into_iter().zip(ids) {
        let of = |point: &Point, metric: &str| {
            let measures = if part == "test" { &point.test } else { &point.validation };
            measures.metrics.get(metric).copied().unwrap_or_default()
        };
        let trace = |curve: &Curve| -> Value {
            let (colour, dash) = look(&curve.name);
            let texts: Vec<String> = curve
                .points
                .iter()
                .map(|point| {
                    let interval = of(point, &ndcg);
                    format!(
                        "{} {} {}<br>{ndcg} {} [{}, {}]",
                        curve.name,
                        curve.setting,
                        number(point.at),
                        number(interval.mean),
                        number(interval.low),
                        number(interval.high)
                    )
                })
                .collect();
            let scatter = Scatter::new(
                curve.points.iter().map(|point| of(point, &ild).mean).collect::<Vec<f64>>(),
                curve.points.iter().map(|point| of(point, &ndcg).mean).collect::<Vec<f64>>(),
            )
            .mode(Mode::LinesMarkers)
            .name(&curve.name)
            .hover_text_array(texts)
            .hover_template("%{hovertext}<extra></extra>");
            let mut trace = value(scatter.as_ref());
            trace["line"] = json!({ "color": colour, "dash": dash, "width": 1.5 });
            let is_knee = |at: usize| curve.knee == Some(at);
            let all = 0..curve.points.len();
            trace["marker"] = json!({
                "color": colour,
                "symbol": all.clone().map(|at| if is_knee(at) { "star" } else { "circle" }).collect::<Vec<_>>(),
                "size": all.map(|at| if is_knee(at) { 13 } else { 5 }).collect::<Vec<_>>(),
            });
            trace
        };
        let rows = sweep
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().enumerate().map(move |(at, point)| (curve, at, point)));
        let row = |(curve, at, point): (&Curve, usize, &Point)| {
            let interval = of(point, &ndcg);
            let measures = if part == "test" { &point.test } else { &point.validation };
            let overall = |name: &str| measures.overall.get(&format!("{name}@{k}")).copied();
            [
                format!("{}{}", escape(&curve.name), if curve.knee == Some(at) { ", knee" } else { "" }),
                format!("{} {}", curve.setting, number(point.at)),
                format!("{} [{}, {}]", number(interval.mean), number(interval.low), number(interval.high)),
                number(of(point, &ild).mean),
                super::html::known(overall("coverage")),
                super::html::known(overall("gini")),
                number(of(point, &format!("novelty@{k}")).mean),
            ]
        };
        let columns = ["way", "setting", &ndcg, &ild, "coverage", "gini", "novelty"];
        answer.draw(Figure {
            id,
            says: format!(
                "On {part}: to the right lists are more varied by {what}, downwards less of what was wanted is found. The \
                 upper right is best; a star is a knee on validation."
            ),
            protocol: escape(&format!("{part} · {} · best {} of {}", sweep.protocol, sweep.pool, sweep.model)),
            table: table(&format!("{ndcg} and {ild} on {part}"), &columns, rows.map(row)),
            height: 440,
            traces: sweep.curves.iter().map(trace).collect(),
            layout: json!({
                "xaxis": { "title": { "text": ild }, "type": "linear" },
                "yaxis": { "title": { "text": ndcg }, "type": "linear", "rangemode": "normal" },
                "showlegend": true,
                "legend": { "orientation": "h", "y": -0.18 },
            }),
        });
    }
    answer
}

fn half_way(sweep: &Sweep) -> Answer {
    let mut answer =
        Answer::new("half-way", "At equal variety", "Which way keeps most where lists are equally varied?");
    answer.say(
        "Half-way is the middle between the plain order and the most varied lists of a space's own first way, on \
         validation. Each way stands at the setting with which it reaches that there; what is not listed does not.",
    );
    for HalfWay { variety, from_to: [plain, target, end], ways } in &sweep.half_way {
        let first = ways.first().map_or("", |way| &way.name);
        let against = format!("test minus {first}");
        let columns =
            ["way", "setting", "kept on validation", "NDCG on test", "kept", "variety on test", &against];
        let rows = ways.iter().map(|way| {
            let [ndcg, ild] = &way.test;
            let difference = &way.against_first;
            [
                escape(&way.name),
                number(way.at),
                percent(100.0 * way.kept[0]),
                format!("{} [{}, {}]", number(ndcg.mean), number(ndcg.low), number(ndcg.high)),
                percent(100.0 * way.kept[1]),
                number(ild.mean),
                format!("{:+.4} [{:+.4}, {:+.4}]", difference.mean, difference.low, difference.high),
            ]
        });
        let caption = format!(
            "{variety} {} on validation, half-way between {} and {}",
            number(*target),
            number(*plain),
            number(*end)
        );
        answer.put(table(&caption, &columns, rows));
    }
    match &sweep.choice {
        Some(choice) => answer.say(format!(
            "Chosen on validation: <strong>{}</strong>, which reaches half-way in most spaces and keeps most NDCG there.",
            escape(choice)
        )),
        None => answer.say("Nothing can be chosen: variety does not grow."),
    }
    answer
}
