//! Plots as plotly's traces and layouts. Colours are names of the page's own (`@bar`), which its script resolves,
//! so that a plot turns dark with the page.

use plotly::common::{ColorScale, ColorScaleElement, Marker, Mode};
use plotly::{Bar, HeatMap, Scatter, Trace};
use serde_json::{Value, json};

use super::html::{escape, number, of};
use crate::report::measure::features::Point;
use crate::report::measure::sketch::Histogram;

/// A plot, what it says, and the same in numbers.
pub(crate) struct Figure {
    /// A name that is unique on the page.
    pub(crate) id: &'static str,
    /// What is seen, in one or two sentences with numbers; markup.
    pub(crate) says: String,
    /// From which data it is drawn; markup.
    pub(crate) protocol: String,
    /// The numbers as a table; markup.
    pub(crate) table: String,
    /// Height in pixels.
    pub(crate) height: u32,
    /// Plotly's traces.
    pub(crate) traces: Vec<Value>,
    /// Plotly's layout.
    pub(crate) layout: Value,
}

impl Figure {
    /// Its place on the page.
    pub(crate) fn markup(&self) -> String {
        format!(
            "<figure><figcaption><p class=\"says\">{says}</p></figcaption>\
             <div class=\"plot\" id=\"{id}\" style=\"height:{height}px\" role=\"img\" aria-label=\"{label}\"></div>\
             <p class=\"protocol\">{protocol}</p>\
             <details><summary>The numbers of this plot</summary>{table}</details></figure>",
            says = self.says,
            id = self.id,
            height = self.height,
            label = escape(&plain(&self.says)),
            protocol = self.protocol,
            table = self.table,
        )
    }

    /// What the page's script draws.
    pub(crate) fn data(&self) -> Value {
        json!({ "id": self.id, "traces": self.traces, "layout": self.layout })
    }
}

/// Markup of ours without its tags and with its entities undone.
fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in markup.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// Text inside a plot: plotly reads a little markup there, so that of names is undone.
pub(crate) fn label(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    // A percent sign before a brace would be read as a place to fill in.
    escape(&format!("{short}{dots}")).replace("%{", "% {")
}

pub(super) fn value(trace: &dyn Trace) -> Value {
    serde_json::from_str(&trace.to_json()).expect("plotly writes JSON")
}

/// Bars over bins, all of one width on the page; ticks stand at edges. Returns trace, layout of the axis, and where a
/// value lies on it.
pub(crate) fn bins(histogram: &Histogram, axis: &str, what: &str) -> (Vec<Value>, Value) {
    let Histogram { edges, counts, .. } = histogram;
    let centres: Vec<f64> = (0..counts.len()).map(|at| at as f64 + 0.5).collect();
    let texts: Vec<String> = counts
        .iter()
        .zip(edges.windows(2))
        .map(|(&n, edge)| format!("{} to {}: {}", number(edge[0]), number(edge[1]), of(n, what)))
        .collect();
    let bars = Bar::new(centres, counts.clone())
        .width(0.92)
        .hover_text_array(texts)
        .hover_template("%{hovertext}<extra></extra>")
        .marker(Marker::new().color("@bar"));
    // About eight ticks; on a scale by ratio those at powers of ten if these are enough.
    let every = edges.len().div_ceil(8).max(1);
    let ticks: Vec<usize> = match is_log(edges) {
        true => (0..edges.len()).filter(|&at| is_power_of_ten(edges[at])).collect(),
        false => (0..edges.len()).step_by(every).collect(),
    };
    let layout = json!({
        "xaxis": {
            "title": { "text": axis },
            "type": "linear",
            "range": [0, counts.len()],
            "tickvals": ticks,
            "ticktext": ticks.iter().map(|&at| number(rounded(edges[at]))).collect::<Vec<_>>(),
            "showgrid": false,
        },
        "yaxis": { "title": { "text": format!("{what}s") }, "rangemode": "tozero" },
        "bargap": 0,
    });
    (vec![value(bars.as_ref())], layout)
}

/// Edges are sums and powers in floating point; a tick should not show that.
fn rounded(edge: f64) -> f64 {
    (edge * 1e9).round() / 1e9
}

fn is_log(edges: &[f64]) -> bool {
    edges.len() > 2 && edges[0] > 0.0 && (edges[1] / edges[0] - edges[2] / edges[1]).abs() < 1e-6
}

fn is_power_of_ten(edge: f64) -> bool {
    let power = edge.log10();
    (power - power.round()).abs() < 1e-6
}

/// Where a value lies on the axis of [`bins`].
pub(crate) fn place(histogram: &Histogram, value: f64) -> Option<f64> {
    let at = histogram.edges.windows(2).position(|edge| edge[0] <= value && value <= edge[1])?;
    let (low, high) = (histogram.edges[at], histogram.edges[at + 1]);
    Some(at as f64 + (value - low) / (high - low))
}

/// A vertical line with a word at its top.
pub(crate) fn line(at: f64, word: &str, colour: &str) -> (Value, Value) {
    let shape = json!({
        "type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper",
        "line": { "color": colour, "width": 1.5, "dash": "dot" },
    });
    let note = json!({
        "x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "center", "text": word,
        "showarrow": false, "font": { "color": colour, "size": 11 },
    });
    (shape, note)
}

/// One bar for each name.
pub(crate) fn bars(
    names: &[String],
    values: &[f64],
    texts: Vec<String>,
    axis: &str,
    up: &str,
) -> (Vec<Value>, Value) {
    let places: Vec<usize> = (0..names.len()).collect();
    let trace = Bar::new(places.clone(), values.to_vec())
        .hover_text_array(texts)
        .hover_template("%{hovertext}<extra></extra>")
        .marker(Marker::new().color("@bar"));
    let every = names.len().div_ceil(8).max(1);
    let ticks: Vec<usize> = places.into_iter().step_by(every).collect();
    let layout = json!({
        "xaxis": {
            "title": { "text": axis },
            "type": "linear",
            "tickvals": ticks,
            "ticktext": ticks.iter().map(|&at| label(&names[at])).collect::<Vec<_>>(),
            "showgrid": false,
        },
        "yaxis": { "title": { "text": up }, "rangemode": "tozero" },
        "bargap": 0.12,
    });
    (vec![value(trace.as_ref())], layout)
}

fn scale(stops: &[(f64, &str)]) -> ColorScale {
    ColorScale::Vector(stops.iter().map(|&(at, name)| ColorScaleElement(at, name.into())).collect())
}

/// Cells from low to high, or, around zero, from cold to warm.
pub(crate) fn heat(
    across: &[String],
    up: &[String],
    cells: Vec<Vec<Option<f64>>>,
    texts: Vec<Vec<String>>,
    around_zero: bool,
) -> (Vec<Value>, Value) {
    let columns: Vec<usize> = (0..across.len()).collect();
    let rows: Vec<usize> = (0..up.len()).collect();
    let trace = HeatMap::new(columns.clone(), rows.clone(), cells)
        .hover_template("%{text}<extra></extra>")
        .text_matrix(texts)
        .show_scale(true);
    let trace = match around_zero {
        true => {
            trace.zmin(-1.0).zmax(1.0).color_scale(scale(&[(0.0, "@cold"), (0.5, "@cell"), (1.0, "@warm")]))
        }
        false => trace.zmin(0.0).color_scale(scale(&[(0.0, "@cell"), (0.5, "@bar-soft"), (1.0, "@bar")])),
    };
    let ticks = |places: Vec<usize>, names: &[String]| {
        json!({
            "type": "linear", "tickvals": places, "showgrid": false, "zeroline": false,
            "ticktext": names.iter().map(|name| label(name)).collect::<Vec<_>>(),
        })
    };
    let (mut x, mut y) = (ticks(columns, across), ticks(rows, up));
    x["side"] = json!("bottom");
    y["autorange"] = json!("reversed");
    (vec![value(trace.as_ref())], json!({ "xaxis": x, "yaxis": y }))
}

/// Six significant digits: more than a screen can show, in a third of the bytes.
fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// One dot for each video; coloured by its target where a range of colours is given.
pub(crate) fn dots(
    points: &[Point],
    colours: Option<(f64, f64, &str)>,
    x: &str,
    y: &str,
    target: &str,
) -> (Vec<Value>, Value) {
    let texts: Vec<String> = points
        .iter()
        .map(|point| {
            let name = if point.video.title.is_empty() { &point.video.id } else { &point.video.title };
            format!("{}<br>{target} {}", label(name), number(point.target))
        })
        .collect();
    let marker = match colours {
        None => Marker::new().color("@bar"),
        Some((least, most, _)) => Marker::new()
            .color_array(points.iter().map(|point| short(point.target)).collect::<Vec<f64>>())
            .color_scale(scale(&[(0.0, "@cold"), (0.5, "@middle"), (1.0, "@warm")]))
            .cmin(least)
            .cmax(most)
            .show_scale(true),
    };
    let trace = Scatter::new(
        points.iter().map(|point| short(point.x)).collect::<Vec<f64>>(),
        points.iter().map(|point| short(point.y)).collect::<Vec<f64>>(),
    )
    .mode(Mode::Markers)
    .hover_text_array(texts)
    .hover_template("%{hovertext}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>")
    .marker(marker.size(5).opacity(0.55));
    let mut trace = value(trace.as_ref());
    if let Some((_, _, title)) = colours {
        trace["marker"]["colorbar"] = json!({ "title": { "text": title, "side": "right" } });
    }
    let axis = |title: &str| json!({ "title": { "text": label(title) }, "type": "linear" });
    (vec![trace], json!({ "xaxis": axis(x), "yaxis": axis(y) }))
}

/// Bars that are taller by hundreds than others are drawn by ratio.
pub(crate) fn up_by_ratio(layout: &mut Value, counts: &[u64]) {
    let (least, most) =
        counts.iter().filter(|&&n| n > 0).fold((u64::MAX, 0), |(a, b), &n| (a.min(n), b.max(n)));
    if most / least.max(1) >= 500 && least != u64::MAX {
        layout["yaxis"]["type"] = json!("log");
    }
}
