//! Features of videos: how they are spread, how they move together, and what goes with the target.

use serde_json::json;

use super::html::{bar, escape, lacks, number, of, percent, signed, table, whole};
use super::plot::{Figure, dots, heat, up_by_ratio};
use super::{Answer, Context, DESCRIBED, described};
use crate::report::measure::Section;
use crate::report::measure::features::{Correlations, Described, Projection, Scatter, WithTarget};

fn summaries(caption: &str, all: &[Described]) -> String {
    let rows = all.iter().map(|one| {
        let mut row = vec![escape(&one.name)];
        match &one.describe {
            Some(describe) => row.extend(described(describe)),
            None => row.extend(vec!["–".to_string(); DESCRIBED.len() - 1]),
        }
        row
    });
    table(caption, &DESCRIBED, rows)
}

pub(super) fn engagement(context: &Context) -> Answer {
    let features = &context.report.features;
    let mut answer = Answer::new("engagement", "Engagement", "How do people engage with a video?");
    match &features.daily {
        Section::Absent { absent } => {
            answer.put(lacks(&format!("{absent}; what events and catalogue say of each video stands below")));
        }
        Section::There(daily) => {
            let rows = context.report.dimensions.daily_rows as u64;
            answer.say(format!("The platform kept {} of daily statistics.", of(rows, "row")));
            answer.put(summaries("Daily statistics, one row for each video and day", daily));
        }
    }
    answer.put(summaries("One row for each video with an event", &features.of_videos));
    answer
}

pub(super) fn correlations(context: &Context) -> Answer {
    let mut answer =
        Answer::new("correlations", "Correlation matrix", "Which features of videos move together?");
    match &context.report.features.correlations {
        Section::Absent { absent } => answer.put(lacks(absent)),
        Section::There(correlations) => {
            answer.draw(matrix(context, correlations));
            for left in &correlations.left_out {
                answer.put(format!(
                    "<p class=\"note\">Left out: {}, {}.</p>",
                    escape(&left.name),
                    escape(&left.reason)
                ));
            }
        }
    }
    answer
}

fn matrix(context: &Context, correlations: &Correlations) -> Figure {
    let Correlations { videos, names, matrix, .. } = correlations;
    let mut strongest: Vec<(usize, usize)> =
        (0..names.len()).flat_map(|a| (a + 1..names.len()).map(move |b| (a, b))).collect();
    strongest.retain(|&(a, b)| matrix[a][b].is_finite());
    strongest.sort_by(|&(a, b), &(c, d)| matrix[c][d].abs().total_cmp(&matrix[a][b].abs()));
    let said: Vec<String> = strongest
        .iter()
        .take(3)
        .map(|&(a, b)| format!("{} with {} ({})", escape(&names[a]), escape(&names[b]), signed(matrix[a][b])))
        .collect();
    let cells = matrix.iter().map(|row| row.iter().map(|&r| r.is_finite().then_some(r)).collect()).collect();
    let texts = matrix
        .iter()
        .zip(names)
        .map(|(row, a)| {
            let cell = |(r, b): (&f64, &String)| {
                format!("{} and {}: {}", super::plot::label(a), super::plot::label(b), signed(*r))
            };
            row.iter().zip(names).map(cell).collect()
        })
        .collect();
    let (traces, mut layout) = heat(names, names, cells, texts, true);
    layout["xaxis"]["tickangle"] = json!(-45);
    // The numbers in the cells, where they can be read.
    if names.len() <= 12 {
        let notes: Vec<_> = matrix
            .iter()
            .enumerate()
            .flat_map(|(y, row)| row.iter().enumerate().map(move |(x, r)| (x, y, *r)))
            .map(|(x, y, r)| {
                let colour = if r.abs() > 0.6 { "@ground" } else { "@ink" };
                json!({ "x": x, "y": y, "text": if r.is_finite() { format!("{r:.2}") } else { "–".into() },
                        "showarrow": false, "font": { "size": 11, "color": colour } })
            })
            .collect();
        layout["annotations"] = json!(notes);
        layout["margin"] = json!({ "t": 10 });
    }
    let mut head: Vec<&str> = vec![""];
    head.extend(names.iter().map(String::as_str));
    let rows = matrix.iter().zip(names).map(|(row, name)| {
        let mut cells = vec![escape(name)];
        cells.extend(row.iter().map(|&r| signed(r)));
        cells
    });
    Figure {
        id: "plot-correlations",
        says: if said.is_empty() {
            "No two features vary together.".into()
        } else {
            format!("The strongest pairs are {}.", said.join(", "))
        },
        protocol: context.protocol(&format!(
            "{} with an event; Pearson, over videos of which both are known",
            of(*videos as u64, "video")
        )),
        table: table("Correlation matrix", &head, rows),
        height: (200 + 26 * names.len() as u32).clamp(300, 720),
        traces,
        layout,
    }
}

const SCATTER_IDS: [&str; 5] = ["plot-with-1", "plot-with-2", "plot-with-3", "plot-with-4", "plot-with-5"];

pub(super) fn relations(context: &Context) -> Answer {
    let name = context.target();
    let mut answer =
        Answer::new("relations", "What goes with the target", format!("What goes with a high {name}?"));
    let relations = match &context.report.features.relations {
        Section::Absent { absent } => {
            answer.put(lacks(absent));
            return answer;
        }
        Section::There(relations) => relations,
    };
    if let Some(first) = relations.with_target.first() {
        answer.say(format!(
            "Of what is known of videos, <em>{}</em> goes most with the mean {name}: correlation {}, of ranks {}. Correlation is over \
             all days of the set and says nothing about causes.",
            escape(&first.feature),
            signed(first.pearson),
            signed(first.spearman),
        ));
    }
    let rows = relations.with_target.iter().map(|with| {
        [
            escape(&with.feature),
            signed(with.pearson),
            bar(with.pearson.abs()),
            signed(with.spearman),
            whole(with.videos as u64),
        ]
    });
    answer.put(table(
        &format!("Correlation of each feature with the mean {name}, strongest first"),
        &["feature", "Pearson", "", "Spearman", "videos"],
        rows,
    ));
    for ((scatter, id), with) in relations.scatters.iter().zip(SCATTER_IDS).zip(&relations.with_target) {
        answer.draw(against(context, scatter, with, id));
    }
    answer
}

fn against(context: &Context, scatter: &Scatter, with: &WithTarget, id: &'static str) -> Figure {
    let name = context.target();
    let mean = format!("mean {name}");
    let (traces, mut layout) = dots(&scatter.points, None, &scatter.feature, &mean, name);
    if scatter.feature == "year" {
        layout["xaxis"]["tickformat"] = json!("d");
    }
    let whole_numbers: Vec<u64> = scatter.points.iter().map(|point| point.x.max(0.0) as u64).collect();
    if scatter.points.iter().all(|point| point.x >= 1.0) {
        // A few videos far out would press all others against the edge.
        let mut across = json!({ "yaxis": {} });
        up_by_ratio(&mut across, &whole_numbers);
        if across["yaxis"]["type"] == "log" {
            layout["xaxis"]["type"] = json!("log");
            layout["xaxis"]["dtick"] = json!(1);
        }
    }
    let ends = scatter.tenths.first().zip(scatter.tenths.last());
    let rows = scatter.tenths.iter().map(|tenth| {
        [
            format!("{} to {}", number(tenth.from), number(tenth.to)),
            whole(tenth.videos as u64),
            number(tenth.target),
        ]
    });
    Figure {
        id,
        says: ends.map_or_else(String::new, |(low, high)| {
            format!(
                "<em>{}</em> against the mean {name} (correlation {}): the tenth of videos with the least of it has {} on average, the \
                 tenth with the most {}.",
                escape(&scatter.feature),
                signed(with.pearson),
                number(low.target),
                number(high.target),
            )
        }),
        protocol: context.protocol(&drawn(scatter.points.len(), with.videos, context)),
        table: table(
            &format!("Mean {name} by tenths of {}", scatter.feature),
            &[&scatter.feature, "videos", &mean],
            rows,
        ),
        height: 300,
        traces,
        layout,
    }
}

fn drawn(points: usize, videos: usize, context: &Context) -> String {
    if points < videos {
        format!(
            "{} of {} drawn at random, seed {}",
            whole(points as u64),
            of(videos as u64, "video"),
            context.report.set.seed
        )
    } else {
        of(videos as u64, "video")
    }
}

pub(super) fn projection(context: &Context) -> Answer {
    let mut answer = Answer::new("projection", "Projection of videos", "Do videos fall into groups?");
    match &context.report.features.projection {
        Section::Absent { absent } => answer.put(lacks(absent)),
        Section::There(projection) => answer.draw(plane(context, projection)),
    }
    answer
}

fn plane(context: &Context, projection: &Projection) -> Figure {
    let name = context.target();
    let share = |at: usize| projection.explained.get(at).copied().unwrap_or(0.0) * 100.0;
    // The outermost hundredths of targets would wash out the colours of all others.
    let mut targets: Vec<f64> = projection.points.iter().map(|point| point.target).collect();
    targets.sort_unstable_by(f64::total_cmp);
    let quantile =
        |share: usize| targets.get(targets.len().saturating_sub(1) * share / 100).copied().unwrap_or(0.0);
    let (x, y) = (
        format!("first direction ({} of variance)", percent(share(0))),
        format!("second direction ({})", percent(share(1))),
    );
    let colours = Some((quantile(2), quantile(98), "mean"));
    let (traces, layout) = dots(&projection.points, colours, &x, &y, name);
    let heaviest = |at: usize| {
        let most = projection
            .loadings
            .iter()
            .zip(&projection.features)
            .max_by(|a, b| a.0[at].abs().total_cmp(&b.0[at].abs()));
        most.map_or_else(String::new, |(weights, feature)| {
            format!("{} ({})", escape(feature), signed(weights[at]))
        })
    };
    let rows = projection.features.iter().zip(&projection.loadings).zip(&projection.imputed).map(
        |((feature, weights), &imputed)| {
            [escape(feature), signed(weights[0]), signed(weights[1]), whole(imputed as u64)]
        },
    );
    let shares: Vec<String> = projection.explained.iter().map(|share| percent(100.0 * share)).collect();
    Figure {
        id: "plot-projection",
        says: format!(
            "Two directions hold {} of the variance of {} standardised features; most weight in the first has {}, in the second {}. \
             Colour is the mean {name}.",
            percent(share(0) + share(1)),
            projection.features.len(),
            heaviest(0),
            heaviest(1),
        ),
        protocol: context.protocol(&format!(
            "{}; principal components, missing values at the median",
            drawn(projection.points.len(), projection.videos, context)
        )),
        table: table(
            &format!("Weights of features; variance along each direction: {}", shares.join(", ")),
            &["feature", "first", "second", "values imputed"],
            rows,
        ),
        height: 420,
        traces,
        layout,
    }
}
