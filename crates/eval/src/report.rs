//! The report: every model beside its floors, every number with its interval and its protocol.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use upnext_data::Overlap;

use crate::metric::PredictionRow;
use crate::{EvalError, Interval, Protocol, Ranked, Table};

/// What was measured of one model, before intervals.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The model's name.
    pub name: String,
    /// Whether it is a floor: something cheap that a model must beat.
    pub floor: bool,
    /// A column for each metric, a row for each case.
    pub table: Table,
    /// Numbers about all lists together, `coverage@10` for example.
    pub overall: BTreeMap<String, f64>,
    /// Seconds it took to fit.
    pub fit_seconds: f64,
    /// Seconds it took to answer all questions.
    pub score_seconds: f64,
    /// What a reader must know of it: its settings, its weights.
    pub notes: Vec<String>,
}

/// A model compared with the best floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// The floor that is best by the headline metric.
    pub model: String,
    /// The model minus the floor, by metric, with the paired interval over the same resampled users.
    pub differences: BTreeMap<String, Interval>,
}

/// One model's line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// The model's name.
    pub name: String,
    /// Whether it is a floor.
    #[serde(default)]
    pub floor: bool,
    /// Means over the users, with intervals.
    pub metrics: BTreeMap<String, Interval>,
    /// Numbers about all lists together: no user has one, so they have no interval.
    #[serde(default)]
    pub overall: BTreeMap<String, f64>,
    /// Seconds it took to fit.
    pub fit_seconds: f64,
    /// Seconds it took to answer all questions.
    pub score_seconds: f64,
    /// Against the best floor; absent for floors and where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus: Option<Versus>,
    /// What a reader must know of it.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A model that was asked for and not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The model's name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// All of it: what `report.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The conditions, equal for all models; written with its fingerprint.
    #[serde(serialize_with = "with_fingerprint")]
    pub protocol: Protocol,
    /// The metric that orders floors and is shown first.
    #[serde(default)]
    pub headline: String,
    /// Floors first, then the others, each in the order they were given.
    pub models: Vec<ModelResult>,
    /// What was not measured, and why.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Errors of predicted watch ratios or ratings, constants first; empty where the test part has no values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<PredictionRow>,
    /// Users and pairs of each part of the split, and what parts share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
}

fn with_fingerprint<S: Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Printed<'a> {
        #[serde(flatten)]
        protocol: &'a Protocol,
        fingerprint: String,
    }
    Printed { protocol, fingerprint: protocol.fingerprint() }.serialize(serializer)
}

impl Report {
    /// Adds intervals to what was measured and compares each model with the best floor.
    ///
    /// All models answer the same users in the same order, so that differences are paired. The protocol's
    /// `users` is set to their number, and the metrics' notes join its own.
    ///
    /// # Errors
    /// When models were asked for different users, the headline is missing, or a number is not finite.
    pub fn new(
        mut protocol: Protocol,
        headline: &str,
        mut measured: Vec<Measured>,
        left_out: Vec<LeftOut>,
    ) -> Result<Self, EvalError> {
        measured.sort_by_key(|model| !model.floor);
        check(&measured, headline)?;
        protocol.users = measured.first().map_or(protocol.users, |model| model.table.users().len());
        for note in measured.iter().flat_map(|model| model.table.notes()) {
            if !protocol.notes.contains(note) {
                protocol.notes.push(note.clone());
            }
        }
        let columns: Vec<&[f64]> =
            measured.iter().flat_map(|model| model.table.columns().map(|(_, column)| column)).collect();
        let resampled = protocol.bootstrap.resample(&columns, protocol.seed)?;
        // Where each model's columns begin.
        let starts: Vec<usize> = measured
            .iter()
            .scan(0, |next, model| {
                let start = *next;
                *next += model.table.names().len();
                Some(start)
            })
            .collect();
        let headline_of = |at: &usize| measured[*at].table.mean(headline).unwrap_or(0.0);
        let best_floor = (0..measured.len())
            .filter(|&at| measured[at].floor)
            // The first of equals, so that the order given decides.
            .rev()
            .max_by(|a, b| headline_of(a).total_cmp(&headline_of(b)));
        let place = |at: usize, name: &str| {
            measured[at]
                .table
                .names()
                .iter()
                .position(|known| known == name)
                .map(|column| starts[at] + column)
        };
        let versus = |at: usize| {
            let floor = best_floor.filter(|_| !measured[at].floor)?;
            let difference = |name: &String| {
                Some((name.clone(), resampled.difference(place(at, name)?, place(floor, name)?)))
            };
            let differences = measured[at].table.names().iter().filter_map(difference).collect();
            Some(Versus { model: measured[floor].name.clone(), differences })
        };
        let result = |(at, model): (usize, &Measured)| {
            let interval =
                |(column, name): (usize, &String)| (name.clone(), resampled.interval(starts[at] + column));
            ModelResult {
                name: model.name.clone(),
                floor: model.floor,
                metrics: model.table.names().iter().enumerate().map(interval).collect(),
                overall: model.overall.clone(),
                fit_seconds: model.fit_seconds,
                score_seconds: model.score_seconds,
                versus: versus(at),
                notes: model.notes.clone(),
            }
        };
        let models = measured.iter().enumerate().map(result).collect();
        Ok(Self {
            protocol,
            headline: headline.into(),
            models,
            left_out,
            predictions: Vec::new(),
            overlap: None,
        })
    }

    /// A model by name.
    pub fn model(&self, name: &str) -> Option<&ModelResult> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The table for a terminal: floors first, the best of each measure of accuracy marked, the protocol
    /// beneath.
    pub fn table(&self, style: &TableStyle) -> String {
        let mut out = String::new();
        let metrics = self.metric_names(style);
        // A model's name, then as many metrics as fit; what is left goes beneath, names repeated.
        let name_width = self.models.iter().map(|m| m.name.chars().count()).chain([5]).max().unwrap_or(5);
        let per_block = (style.width.saturating_sub(name_width) / (CELL + 2)).max(1);
        for block in metrics.chunks(per_block) {
            self.block(block, name_width, style, &mut out);
            out.push('\n');
        }
        self.costs(name_width, style, &mut out);
        self.prediction_errors(&mut out);
        self.beneath(&mut out);
        out
    }

    fn prediction_errors(&self, out: &mut String) {
        let Some(first) = self.predictions.first() else { return };
        *out += &format!("\npredicted watch ratio or rating, {} held-out pairs\n", first.errors.n);
        for row in &self.predictions {
            *out += &format!("{:24} MAE {:.4}  RMSE {:.4}", row.name, row.errors.mae, row.errors.rmse);
            if let Some(Interval { mean, low, high }) = row.against_bias {
                *out += &format!("  MAE of a user - bias-median's {mean:+.4} [{low:+.4}, {high:+.4}]");
            }
            out.push('\n');
        }
    }

    /// Accuracy with the headline first, then what else was measured; unless all are wanted, what a reader looks
    /// for first.
    fn metric_names(&self, style: &TableStyle) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.models.iter().flat_map(|model| model.metrics.keys().map(String::as_str)).collect();
        let key = |name: &&str| {
            let ranked = name.parse::<Ranked>().ok();
            (*name != self.headline, ranked.is_none(), ranked.and_then(Ranked::k), (*name).to_owned())
        };
        names.sort_by_key(key);
        names.dedup();
        if !style.all {
            let k = self.protocol.k.first().copied().unwrap_or(10);
            let short = ["ndcg", "hr", "recall", "mrr"].map(|name| format!("{name}@{k}"));
            names.retain(|name| *name == self.headline || short.iter().any(|short| short == name));
            // With one relevant video a user, recall is the hit rate.
            let column = |name: &str| -> Vec<Option<f64>> {
                self.models.iter().map(|model| Some(model.metrics.get(name)?.mean)).collect()
            };
            if column(&short[1]) == column(&short[2]) {
                names.retain(|name| *name != short[2]);
            }
        }
        names
    }

    fn block(&self, metrics: &[&str], name_width: usize, style: &TableStyle, out: &mut String) {
        *out += &format!("{:name_width$}", "model");
        for metric in metrics {
            *out += &format!("  {metric:>CELL$}");
        }
        out.push('\n');
        let mut above = None;
        for model in &self.models {
            if above == Some(true) && !model.floor {
                *out += &"-".repeat(name_width + metrics.len() * (CELL + 2));
                out.push('\n');
            }
            above = Some(model.floor);
            *out += &format!("{:name_width$}", model.name);
            for metric in metrics {
                let cell = match model.metrics.get(*metric) {
                    None => format!("{:>CELL$}", "-"),
                    Some(interval) => {
                        let best = self.is_best(metric, interval.mean);
                        let mark = if best { "*" } else { " " };
                        let text = format!(
                            "{mark}{} [{}, {}]",
                            digits(interval.mean),
                            digits(interval.low),
                            digits(interval.high)
                        );
                        let text = format!("{text:>CELL$}");
                        if best && style.bold { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text }
                    }
                };
                *out += &format!("  {cell}");
            }
            out.push('\n');
        }
    }

    /// Whether a mean is the largest of an accuracy metric; of other metrics none is best.
    fn is_best(&self, metric: &str, mean: f64) -> bool {
        let of_all = || self.models.iter().filter_map(|model| model.metrics.get(metric));
        metric.parse::<Ranked>().is_ok() && of_all().count() > 1 && of_all().all(|other| other.mean <= mean)
    }

    fn costs(&self, name_width: usize, style: &TableStyle, out: &mut String) {
        let overall: Vec<&str> = {
            let mut names: Vec<&str> =
                self.models.iter().flat_map(|model| model.overall.keys().map(String::as_str)).collect();
            names.sort_unstable();
            names.dedup();
            names.retain(|name| style.all || name.starts_with("coverage@") || name.starts_with("true_top_"));
            names
        };
        *out += &format!("{:name_width$}  {:>9}  {:>9}", "model", "fit s", "score s");
        for name in &overall {
            *out += &format!("  {name:>12}");
        }
        let headline = &self.headline;
        *out += &format!("  {headline} against the best floor\n");
        for model in &self.models {
            *out += &format!(
                "{:name_width$}  {:>9.2}  {:>9.2}",
                model.name, model.fit_seconds, model.score_seconds
            );
            for name in &overall {
                let cell = model.overall.get(*name).map_or("-".into(), |&value| digits(value));
                *out += &format!("  {cell:>12}");
            }
            let versus = model.versus.as_ref();
            if let Some((versus, difference)) =
                versus.and_then(|versus| Some((versus, versus.differences.get(headline)?)))
            {
                let verdict = match (difference.excludes_zero(), difference.mean > 0.0) {
                    (false, _) => "not told apart from",
                    (true, true) => "better than",
                    (true, false) => "worse than",
                };
                *out += &format!(
                    "  {:+.4} [{:+.4}, {:+.4}] {verdict} {}",
                    difference.mean, difference.low, difference.high, versus.model
                );
            } else if model.floor {
                *out += "  floor";
            }
            out.push('\n');
        }
    }

    fn beneath(&self, out: &mut String) {
        *out += &format!("\nprotocol: {}\n", self.protocol);
        for note in &self.protocol.notes {
            *out += &format!("note: {note}\n");
        }
        for model in &self.models {
            for note in &model.notes {
                *out += &format!("note on {}: {note}\n", model.name);
            }
        }
        for leak in &self.protocol.leaks {
            let how = if leak.handled {
                "handled by the protocol".into()
            } else {
                format!("LEAK, printed over it as --allow-leak {} says", leak.leak)
            };
            *out += &format!("linter: {} ({how})\n", leak.note);
        }
        for left_out in &self.left_out {
            *out += &format!("left out: {}: {}\n", left_out.name, left_out.reason);
        }
        if let Some(overlap) = &self.overlap {
            *out += &format!("\n{overlap}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(&TableStyle::default()))
    }
}

/// How the table is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStyle {
    /// Characters a line may have; metrics that do not fit go beneath.
    pub width: usize,
    /// Whether the best stands in bold, by an ANSI escape.
    pub bold: bool,
    /// Every metric, or what a reader looks for first.
    pub all: bool,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self { width: 120, bold: false, all: false }
    }
}

/// Characters of `*0.1234 [0.1234, 0.1234]`.
const CELL: usize = 24;

/// Four digits after the point, or four in all where there is more before it.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        x if x < 10.0 => 4,
        x if x < 100.0 => 2,
        x if x < 1_000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

fn check(measured: &[Measured], headline: &str) -> Result<(), EvalError> {
    let Some(first) = measured.first() else { return Ok(()) };
    for model in measured {
        if model.table.users() != first.table.users() {
            return Err(EvalError::Users { model: model.name.clone(), first: first.name.clone() });
        }
        if model.table.column(headline).is_none() {
            return Err(EvalError::Headline {
                headline: headline.into(),
                model: model.name.clone(),
                found: model.table.names().join(", "),
            });
        }
        let seconds = [("fit_seconds", &model.fit_seconds), ("score_seconds", &model.score_seconds)];
        let overall = model.overall.iter().map(|(name, value)| (name.as_str(), value));
        if let Some((name, value)) = seconds.into_iter().chain(overall).find(|(_, value)| !value.is_finite())
        {
            let column = format!("{name} of {}", model.name);
            return Err(EvalError::NotFinite { column, row: 0, value: value.to_string() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;
    use crate::protocol::tests::protocol;
    use crate::{Case, measure};

    /// A model that finds the one relevant video at the given ranks.
    fn model(name: &str, floor: bool, ranks: &[u32]) -> Measured {
        let case = |(user, &rank): (usize, &u32)| Case {
            user: user as u32,
            list: vec![],
            relevant: vec![7],
            gains: None,
            ranks: vec![rank],
            n_candidates: 100,
        };
        let cases: Vec<Case> = ranks.iter().enumerate().map(case).collect();
        let table = measure(&Ranked::grid(&[Kind::Hr, Kind::Ndcg], &[10]), &cases);
        Measured { name: name.into(), floor, table, ..Measured::default() }
    }

    fn ranks(hits: usize) -> Vec<u32> {
        (0..200).map(|user| if user < hits { 0 } else { 50 }).collect()
    }

    fn report() -> Report {
        let models = vec![
            model("net", false, &ranks(120)),
            model("popular", true, &ranks(20)),
            model("markov", true, &ranks(60)),
        ];
        let left_out = vec![LeftOut { name: "gru".into(), reason: "the set has no order".into() }];
        Report::new(protocol(), "ndcg@10", models, left_out).unwrap()
    }

    #[test]
    fn floors_stand_first_and_the_best_of_them_is_what_a_model_is_compared_with() {
        let report = report();
        let names: Vec<&str> = report.models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["popular", "markov", "net"]);
        let versus = report.models[2].versus.as_ref().unwrap();
        assert_eq!(versus.model, "markov");
        assert!((versus.differences["hr@10"].mean - 0.3).abs() < 1e-12);
        assert!(versus.differences["hr@10"].excludes_zero());
        assert!(report.models[1].versus.is_none());
        assert_eq!(report.protocol.users, 200);
    }

    #[test]
    fn the_json_has_the_shape_that_scripts_read_and_reads_back() {
        let report = report();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["protocol"]["fingerprint"], report.protocol.fingerprint());
        assert_eq!(json["protocol"]["split"], "leave-last-out");
        let model = &json["models"][0];
        assert_eq!(model["name"], "popular");
        assert_eq!(model["metrics"]["hr@10"]["mean"], 0.1);
        for key in ["low", "high"] {
            assert!(model["metrics"]["ndcg@10"][key].is_f64());
        }
        for key in ["fit_seconds", "score_seconds"] {
            assert!(model[key].is_f64());
        }
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }

    #[test]
    fn the_least_that_a_script_may_write_is_read() {
        let mut json = serde_json::to_value(report()).unwrap();
        for key in ["headline", "left_out"] {
            json.as_object_mut().unwrap().remove(key);
        }
        for model in json["models"].as_array_mut().unwrap() {
            for key in ["floor", "overall", "versus", "notes"] {
                model.as_object_mut().unwrap().remove(key);
            }
        }
        assert_eq!(serde_json::from_value::<Report>(json).unwrap().models.len(), 3);
    }

    #[test]
    fn the_table_marks_the_best_says_what_was_left_out_and_ends_with_the_protocol() {
        let report = report();
        let text = report.to_string();
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(line("net").contains("*0.6000 [0.5"), "{text}");
        assert!(!line("markov").contains('*'), "{text}");
        assert!(text.contains("+0.3000 [+0.2") && text.contains("better than markov"), "{text}");
        assert!(text.contains("left out: gru: the set has no order"), "{text}");
        assert!(text.contains(&report.protocol.fingerprint()), "{text}");
        assert!(text.find("popular") < text.find("net"), "{text}");
        // The first column after the name is the headline.
        assert!(text.lines().next().unwrap().split_whitespace().nth(1) == Some("ndcg@10"), "{text}");
        let bold = report.table(&TableStyle { bold: true, ..TableStyle::default() });
        assert!(bold.contains("\u{1b}[1m") && bold.contains("\u{1b}[0m"));
        // Narrow terminals get one metric a block.
        let narrow = report.table(&TableStyle { width: 40, ..TableStyle::default() });
        assert_eq!(narrow.lines().filter(|line| line.starts_with("model")).count(), 3, "{narrow}");
    }

    #[test]
    fn models_that_answered_other_users_are_not_compared() {
        let error =
            |models, headline| Report::new(protocol(), headline, models, vec![]).unwrap_err().to_string();
        let two = vec![model("a", true, &[1, 2]), model("b", false, &[1])];
        assert!(error(two, "ndcg@10").contains("`b` was not asked for the same users"));
        assert!(error(vec![model("a", true, &[1])], "mrr@5").contains("`mrr@5` is missing for `a`"));
        let slow = Measured { fit_seconds: f64::NAN, ..model("a", true, &[1]) };
        assert!(error(vec![slow], "ndcg@10").contains("fit_seconds of a"));
    }

    #[test]
    fn no_model_and_no_user_still_make_a_report() {
        let empty = Report::new(protocol(), "ndcg@10", vec![], vec![]).unwrap();
        assert!(empty.to_string().contains("protocol: tiny"));
        let nobody = Report::new(protocol(), "ndcg@10", vec![model("a", true, &[])], vec![]).unwrap();
        assert_eq!(nobody.models[0].metrics["hr@10"], Interval::default());
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!([0.07654, 12.345, 123.45, 12_345.6].map(digits), ["0.0765", "12.35", "123.5", "12346"]);
    }
}
