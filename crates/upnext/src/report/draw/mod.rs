//! The page: one file that needs nothing beside it. Each section is a question, answered in words, a plot and a table.

mod diagnosis;
mod features;
mod html;
mod overview;
mod plot;
mod quality;
mod split;
pub(crate) mod sweep;
mod target;
mod time;
mod training;
mod users;
mod videos;

use html::{escape, number, percent, whole};
use plot::Figure;

use crate::report::measure::{DataReport, Section, target::Kind};

/// One question and its answer.
struct Answer {
    id: &'static str,
    /// A few words for the table of contents.
    short: &'static str,
    question: String,
    markup: String,
    figures: Vec<Figure>,
}

impl Answer {
    fn new(id: &'static str, short: &'static str, question: impl Into<String>) -> Self {
        Self { id, short, question: question.into(), markup: String::new(), figures: Vec::new() }
    }

    /// Adds a paragraph of markup.
    fn say(&mut self, markup: impl std::fmt::Display) {
        self.markup += &format!("<p>{markup}</p>");
    }

    /// Adds finished markup.
    fn put(&mut self, markup: impl AsRef<str>) {
        self.markup += markup.as_ref();
    }

    /// Adds a plot.
    fn draw(&mut self, figure: Figure) {
        self.markup += &figure.markup();
        self.figures.push(figure);
    }
}

/// What stands under every plot.
struct Context<'a> {
    report: &'a DataReport,
}

impl Context<'_> {
    /// The data, what of it was used, and the digest.
    fn protocol(&self, used: &str) -> String {
        let set = &self.report.set;
        format!("{} · {} · digest <code>{}</code>", escape(&set.name), used, escape(&set.digest))
    }

    /// The target in words, `watch ratio` for example.
    fn target(&self) -> &'static str {
        match &self.report.target {
            Section::There(distribution) => distribution.target.name(),
            Section::Absent { .. } => "target",
        }
    }

    /// The unit behind a mean target.
    fn is(&self, kind: Kind) -> bool {
        matches!(&self.report.target, Section::There(distribution) if distribution.target == kind)
    }
}

/// The whole page.
pub(crate) fn page(report: &DataReport) -> String {
    let context = Context { report };
    let answers: Vec<Answer> = [
        overview::preview(&context),
        quality::cleaning(&context),
        quality::missing(&context),
        users::activity(&context),
        users::target(&context),
        videos::popularity(&context),
        videos::ends(&context),
        target::distribution(&context),
        features::engagement(&context),
        features::correlations(&context),
        features::relations(&context),
        features::projection(&context),
        time::coverage(&context),
        split::sizes(&context),
        split::leaks(&context),
        diagnosis::verdicts(&context),
        users::varied(&context),
    ]
    .into_iter()
    .chain(training::curves(&context))
    .collect();
    let title = format!("{}: what is in the data", report.set.name);
    sheet(&title, &overview::header(&context), &answers, &overview::footer(&context))
}

/// A page of answers between a header and a footer of finished markup.
fn sheet(title: &str, header: &str, answers: &[Answer], footer: &str) -> String {
    let contents: String = answers
        .iter()
        .map(|answer| format!("<li><a href=\"#{}\">{}</a></li>", answer.id, escape(answer.short)))
        .collect();
    let sections: String = answers
        .iter()
        .map(|answer| {
            format!(
                "<section id=\"{0}\" aria-labelledby=\"{0}-q\"><h2 id=\"{0}-q\">{1}</h2>{2}</section>",
                answer.id,
                escape(&answer.question),
                answer.markup
            )
        })
        .collect();
    let figures: Vec<_> = answers.iter().flat_map(|answer| &answer.figures).map(Figure::data).collect();
    // Inside a script element `<` could end it; JSON has another way to write that letter.
    let figures = serde_json::Value::from(figures).to_string().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>{title}</title><style>{css}</style></head>\n\
         <body><a class=\"skip\" href=\"#main\">Skip to the report</a><div class=\"frame\">\
         <nav aria-label=\"Contents\"><span class=\"mark\">Up<i>Next</i></span>\
         <ol>{contents}</ol></nav>\n<main id=\"main\">{header}{sections}{footer}</main></div>\n\
         <script type=\"application/json\" id=\"figures\">{figures}</script>\n{plotly}\n<script>{js}</script></body></html>\n",
        title = escape(title),
        css = include_str!("page.css"),
        js = include_str!("page.js"),
        plotly = plotly_script(),
    )
}

/// What the page may do: run its own script and style, and ask nobody for anything.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; \
                      base-uri 'none'; form-action 'none'";

/// The first script of those that the crate brings is plotly; the second typesets formulas, of which we have none.
fn plotly_script() -> String {
    let scripts = plotly::Plot::offline_js_sources();
    let end = scripts.find("</script>").map_or(scripts.len(), |at| at + "</script>".len());
    scripts[..end].to_string()
}

/// Rows of a summary, for a table of several.
fn described(describe: &crate::report::measure::sketch::Describe) -> Vec<String> {
    let d = describe;
    [
        whole(d.count),
        number(d.mean),
        html::known(d.std),
        number(d.min),
        number(d.p01),
        number(d.p25),
        number(d.p50),
        number(d.p75),
        number(d.p99),
        number(d.max),
    ]
    .into()
}

/// Headings of [`described`] after the first.
const DESCRIBED: [&str; 11] =
    ["", "count", "mean", "std", "min", "1 %", "25 %", "50 %", "75 %", "99 %", "max"];

/// A table of one summary.
fn summary(of: &str, describe: &crate::report::measure::sketch::Describe) -> String {
    let mut row = vec![escape(of)];
    row.extend(described(describe));
    html::table(&format!("Summary: {of}"), &DESCRIBED, [row])
}

/// A histogram as a table.
fn bins_table(histogram: &crate::report::measure::sketch::Histogram, what: &str) -> String {
    let total: u64 = histogram.counts.iter().sum::<u64>() + histogram.below + histogram.above;
    let share = |n: u64| percent(100.0 * n as f64 / total.max(1) as f64);
    let mut rows: Vec<[String; 3]> = histogram
        .counts
        .iter()
        .zip(histogram.edges.windows(2))
        .filter(|&(&n, _)| n > 0)
        .map(|(&n, edge)| [format!("{} to {}", number(edge[0]), number(edge[1])), whole(n), share(n)])
        .collect();
    let ends = [
        ("below", histogram.below, histogram.edges.first()),
        ("at or above", histogram.above, histogram.edges.last()),
    ];
    for (word, n, edge) in ends {
        if let (1.., Some(&edge)) = (n, edge) {
            rows.push([format!("{word} {}", number(edge)), whole(n), share(n)]);
        }
    }
    html::table(&format!("{what}, by bin"), &["from … to", "count", "share"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::measure::tests::{measured, tiny};

    #[test]
    fn a_hostile_title_is_text_everywhere() {
        let page = page(&measured(&tiny()));
        assert!(!page.contains("<script>alert"), "markup of a title is on the page");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        let data = page.split("id=\"figures\">").nth(1).unwrap().split("</script>").next().unwrap();
        assert!(!data.contains('<'), "a title could end the script element");
        assert!(serde_json::from_str::<serde_json::Value>(data).unwrap().as_array().unwrap().len() > 5);
    }

    #[test]
    fn the_page_carries_plotly_once_and_no_typesetting() {
        let page = page(&measured(&tiny()));
        assert_eq!(page.matches("plotly.js v").count(), 1);
        assert!(page.len() < 6_000_000, "{} bytes", page.len());
        let own = page.replace(&plotly_script(), "");
        assert_eq!((own.matches("<script").count(), own.matches("</script>").count()), (2, 2));
    }

    #[test]
    fn every_heading_is_a_question_and_every_plot_has_words_and_a_table() {
        let page = page(&measured(&tiny()));
        let headings: Vec<&str> =
            page.split("<h2 ").skip(1).map(|rest| rest.split("</h2>").next().unwrap()).collect();
        assert_eq!(headings.len(), 17);
        assert!(headings.iter().all(|heading| heading.ends_with('?')), "{headings:?}");
        for figure in page.split("<figure>").skip(1) {
            let figure = figure.split("</figure>").next().unwrap();
            assert!(figure.contains("class=\"says\"") && figure.contains("<table>"), "{figure}");
            assert!(figure.contains("digest <code>"), "{figure}");
        }
    }
}
