//! What kind of set this is, and which kind of model pays on it.

use plotly::Scatter;
use plotly::common::Mode;
use serde_json::{Value, json};

use super::html::{escape, lacks, of, percent, table};
use super::plot::{Figure, value};
use super::{Answer, Context};
use crate::diagnosis::{Diagnosis, Histories, K};
use crate::report::measure::Section;

/// Colours of models in the plot, the first by name.
const COLOURS: [&str; 2] = ["@bar", "@cold"];

pub(super) fn verdicts(context: &Context) -> Answer {
    let mut answer = Answer::new("diagnosis", "Which model pays", "Which kind of model pays on this set?");
    let diagnosis = match &context.report.diagnosis {
        Section::Absent { absent } => {
            answer.put(lacks(absent));
            return answer;
        }
        Section::There(diagnosis) => diagnosis,
    };
    let rows = diagnosis.verdicts.iter().map(|verdict| {
        [
            escape(verdict.answer),
            if verdict.holds { "yes" } else { "no" }.to_string(),
            format!("{}.", escape(&verdict.because)),
        ]
    });
    answer.put(table(
        "Told from train and validation alone, by stated thresholds",
        &["answer", "holds", "by which numbers"],
        rows,
    ));
    let names: Vec<String> =
        diagnosis.suggested.iter().map(|kind| format!("<code>{}</code>", kind.name())).collect();
    answer.say(format!("Worth a try: {}.", names.join(", ")));
    if !diagnosis.histories.is_empty() {
        answer.draw(histories(context, diagnosis));
    }
    let rows = diagnosis.models.iter().map(|model| {
        [model.model.name().to_string(), format!("{:.4}", model.hr), format!("{:.4}", model.ndcg)]
    });
    let [hr, ndcg] = ["HR", "NDCG"].map(|name| format!("{name}@{K}"));
    answer.put(table("Cheap models on validation", &["model", &hr, &ndcg], rows));
    answer.put(shares(diagnosis));
    for remark in &diagnosis.remarks {
        answer.say(format!("Of the questions: {}.", escape(remark)));
    }
    answer
}

/// What is no part of an answer.
fn shares(diagnosis: &Diagnosis) -> String {
    let shape = &diagnosis.shape;
    let share = |share: f64| percent(100.0 * share);
    let known = |of: Option<f64>| of.map_or_else(|| "not known".into(), share);
    let rows = [
        ["wanted videos that nobody of train wanted".into(), share(shape.cold_targets)],
        ["questions without a wanted video in the past".into(), share(shape.strangers)],
        ["events that repeat an action on the same video".into(), known(shape.repeated_events)],
        ["neighbours in a history that have one time".into(), known(shape.tied_neighbours)],
        ["questions at the very time of the newest event".into(), known(shape.tied_questions)],
    ];
    table("Shares", &["of", "share"], rows)
}

fn histories(context: &Context, diagnosis: &Diagnosis) -> Figure {
    let names: Vec<String> =
        diagnosis.histories.iter().flat_map(|of| of.shown.iter()).fold(Vec::new(), |mut names, shown| {
            let name = shown.videos.map_or("all".into(), |n| n.to_string());
            if !names.contains(&name) {
                names.push(name);
            }
            names
        });
    let trace = |(of, colour): (&Histories, &str)| -> Value {
        let scatter = Scatter::new(
            (0..of.shown.len()).collect::<Vec<usize>>(),
            of.shown.iter().map(|shown| shown.hr).collect::<Vec<f64>>(),
        )
        .mode(Mode::LinesMarkers)
        .name(of.model.name())
        .hover_template("%{fullData.name}: %{y:.4f}<extra></extra>");
        let mut trace = value(scatter.as_ref());
        trace["line"] = json!({ "color": colour, "width": 1.5 });
        trace["marker"] = json!({ "color": colour, "size": 6 });
        trace
    };
    let said = diagnosis.histories.iter().map(|of| {
        let (first, all) = (of.shown.first().map_or(0.0, |s| s.hr), of.shown.last().map_or(0.0, |s| s.hr));
        let shuffled = of
            .shuffled
            .as_ref()
            .map_or(String::new(), |shuffled| format!(", and {:.4} with all in another order", shuffled.hr));
        format!(
            "<code>{}</code> finds {first:.4} from the last video alone, {all:.4} from all{shuffled}",
            of.model.name()
        )
    });
    let said: Vec<String> = said.collect();
    let rows = diagnosis.histories.iter().flat_map(|of| {
        let shown = of.shown.iter().map(|shown| {
            let videos = shown.videos.map_or("all".into(), |n| format!("the last {n}"));
            (videos, shown.hr, shown.ndcg)
        });
        let shuffled = of.shuffled.iter().map(|of| ("all, shuffled".into(), of.hr, of.ndcg));
        shown.chain(shuffled).map(move |(videos, hr, ndcg)| {
            [of.model.name().to_string(), videos, format!("{hr:.4}"), format!("{ndcg:.4}")]
        })
    });
    let [hr, ndcg] = ["HR", "NDCG"].map(|name| format!("{name}@{K}"));
    Figure {
        id: "plot-histories",
        says: format!("{}.", said.join("; ")),
        protocol: context.protocol(&format!(
            "split <code>{}</code>, {} of validation, seen videos not ranked, ties pessimistic",
            escape(&diagnosis.split),
            of(diagnosis.questions as u64, "question")
        )),
        table: table(
            &format!("{hr} and {ndcg} by how much of the past is shown"),
            &["model", "wanted videos shown", &hr, &ndcg],
            rows,
        ),
        height: 300,
        traces: diagnosis.histories.iter().zip(COLOURS).map(trace).collect(),
        layout: json!({
            "xaxis": {
                "title": { "text": "newest wanted videos shown" }, "type": "linear",
                "tickvals": (0..names.len()).collect::<Vec<usize>>(), "ticktext": names,
            },
            "yaxis": { "title": { "text": hr }, "rangemode": "tozero" },
            "showlegend": true,
            "legend": { "orientation": "h", "y": -0.3 },
        }),
    }
}
