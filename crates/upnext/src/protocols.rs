//! The same models under several protocols, side by side: by how much each inflates a figure, and what it leaks.
//!
//! Every protocol asks for one video, so that its figure is of the same kind: the last wanted one where a user's last is held
//! out, the first after the cut where time is cut, one drawn by the seed where parts are random. What a user wants besides
//! in the same part is not ranked.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail};
use serde::Serialize;
use upnext_data::{Dataset, Interactions, Query, Split, SplitError, SplitRule};
use upnext_eval::{LeftOut, Report};
use upnext_math::seed::mix;

use crate::WrongUse;
use crate::evaluation::{Conditions, Evaluation, OpenLeak, evaluate_split};
use crate::sampled::Negatives;

/// A split and what is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    split: SplitRule,
    /// `None` ranks all candidates.
    negatives: Option<Negatives>,
}

/// Splits, the strictest first.
const SPLITS: [SplitRule; 4] =
    [SplitRule::GlobalTime, SplitRule::Rolling, SplitRule::LeaveLastOut, SplitRule::Random];
/// What is ranked, the strictest first.
const RANKINGS: [Option<Negatives>; 3] = [None, Some(Negatives::Uniform), Some(Negatives::Popular)];
/// Windows of the rolling split where none are asked for.
const FOLDS: usize = 3;

fn name_of(negatives: Option<Negatives>) -> &'static str {
    negatives.map_or("full", Negatives::name)
}

impl Way {
    fn name(self) -> String {
        format!("{}/{}", self.split, name_of(self.negatives))
    }

    /// What the protocol gives away, with who showed it.
    fn leaks(self) -> Vec<&'static str> {
        let of_split = match self.split {
            SplitRule::GlobalTime => "nothing later than the question is known to anyone",
            SplitRule::Rolling => {
                "nothing later than the question is known to anyone; earlier windows train on less"
            }
            SplitRule::LeaveLastOut => {
                "models are fitted on what others did after the question, the popularity of days to come included \
                 (Ji et al. 2020; Meng et al. 2020; Hidasi & Czapp 2023; Gusak et al. 2025)"
            }
            _ => {
                "models are fitted on what others, and the user, did after the question (Meng et al. 2020; Ji et al. \
                 2020)"
            }
        };
        let of_ranking = match self.negatives {
            None => return vec![of_split],
            Some(Negatives::Uniform) => {
                "one video among 101, most of which nobody watches: another quantity than the full ranking, which can \
                 turn the order of models (Krichene & Rendle 2020; Cañamares & Castells 2020)"
            }
            Some(Negatives::Popular) => {
                "one video among 101 that are popular: another quantity than the full ranking, hard on models of \
                 popularity, which can turn the order of models (Krichene & Rendle 2020; Cañamares & Castells 2020)"
            }
        };
        vec![of_split, of_ranking]
    }
}

/// Protocols to compare, each once, the strictest first.
#[derive(Clone, Debug)]
pub(crate) struct Asked(Vec<Way>);

impl Asked {
    /// From names: `all`, a split, a ranking, or `SPLIT/RANKING`.
    ///
    /// # Errors
    /// Names what is not known.
    pub(crate) fn new(names: &[String]) -> Result<Self, WrongUse> {
        let all =
            || SPLITS.into_iter().flat_map(|split| RANKINGS.map(move |negatives| Way { split, negatives }));
        let mut wanted = Vec::new();
        for name in names.iter().map(|name| name.trim()) {
            let is_meant = |way: &Way| {
                name == "all"
                    || name == way.name()
                    || name == way.split.name()
                    || name == name_of(way.negatives)
            };
            let before = wanted.len();
            wanted.extend(all().filter(is_meant));
            if wanted.len() == before {
                let splits = SPLITS.map(SplitRule::name).join(", ");
                let rankings = RANKINGS.map(name_of).join(", ");
                let why = format!(
                    "`{name}` is not known; expected all, a split ({splits}), a ranking ({rankings}), or SPLIT/RANKING"
                );
                return Err(WrongUse::of("--protocols", why));
            }
        }
        Ok(Self(all().filter(|way| wanted.contains(way)).collect()))
    }
}

/// A model's figures under one protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// The mean by metric, over windows the mean of their means.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Each metric over the same model's under the strict protocol; absent where that is 0.
    pub(crate) inflation: BTreeMap<String, f64>,
}

/// One protocol.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// `SPLIT/RANKING`.
    pub(crate) protocol: String,
    /// Fingerprints of its tables: one, or one a window.
    pub(crate) fingerprints: Vec<String>,
    /// Questions over all windows.
    pub(crate) questions: usize,
    /// What was ranked, in words.
    pub(crate) candidates: String,
    /// By model.
    pub(crate) models: BTreeMap<String, Figures>,
    /// The best model by the headline metric.
    pub(crate) best: String,
    /// Pairs of models that stand the other way round than under the strict protocol, by the headline metric.
    pub(crate) pairs_turned: usize,
    /// Pairs of models.
    pub(crate) pairs: usize,
    /// What it gives away.
    pub(crate) leaks: Vec<String>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SideBySide {
    /// The set.
    pub(crate) set: String,
    /// Its digest.
    pub(crate) digest: String,
    /// The protocol that the others are held against: the strictest that the set allows.
    pub(crate) strict: String,
    /// The metric by which models are ordered.
    pub(crate) headline: String,
    /// Models in the order of the table.
    pub(crate) models: Vec<String>,
    /// The strictest first.
    pub(crate) rows: Vec<Row>,
    /// Protocols that the set does not allow, and models that it does not.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Measures the models under each protocol that the set allows, and under the strictest in any case: the others are held
/// against it.
///
/// # Errors
/// When a set cannot be cut in any asked way, or a model cannot be fitted.
pub(crate) fn side_by_side(
    set: &Dataset,
    conditions: &Conditions,
    asked: &Asked,
    folds: Option<usize>,
) -> Result<SideBySide> {
    let all = set.interactions(&conditions.relevance);
    let (mut rows, mut left_out): (Vec<Row>, Vec<LeftOut>) = (Vec::new(), Vec::new());
    let mut models: Vec<String> = Vec::new();
    for split in SPLITS {
        let ways: Vec<Way> = asked.0.iter().copied().filter(|way| way.split == split).collect();
        // Until one is measured, the next that the set allows is the one the others are held against.
        if ways.is_empty() && !rows.is_empty() {
            continue;
        }
        let conditions = Conditions {
            split,
            negatives: ways.iter().filter_map(|way| way.negatives).collect(),
            ..conditions.clone()
        };
        let tables = match tables(set, &conditions, &all, folds)? {
            Ok(tables) => tables,
            Err(reason) => {
                if !ways.is_empty() {
                    left_out.push(LeftOut { name: split.name().into(), reason });
                }
                continue;
            }
        };
        let Some(first) = tables.first() else { continue };
        for name in first[0].models.iter().map(|model| &model.name) {
            if !models.contains(name) {
                models.push(name.clone());
            }
        }
        for missing in &first[0].left_out {
            if !left_out.iter().any(|known| known.name == missing.name) {
                left_out.push(missing.clone());
            }
        }
        for (at, negatives) in
            [None].into_iter().chain(conditions.negatives.iter().copied().map(Some)).enumerate()
        {
            let way = Way { split, negatives };
            if rows.is_empty() || ways.contains(&way) {
                let windows: Vec<&Report> = tables.iter().map(|reports| &reports[at]).collect();
                rows.push(row(way, &windows));
            }
        }
    }
    let Some(strict) = rows.first().cloned() else {
        let reasons: Vec<String> =
            left_out.iter().map(|left| format!("{}: {}", left.name, left.reason)).collect();
        bail!("no protocol fits this set: {}", reasons.join("; "));
    };
    let headline = format!("ndcg@{}", conditions.k.first().copied().unwrap_or(10));
    rows.iter_mut().for_each(|row| hold_against(row, &strict, &headline));
    Ok(SideBySide {
        set: set.name.clone(),
        digest: set.digest(),
        strict: strict.protocol,
        headline,
        models,
        rows,
        left_out,
    })
}

/// What these protocols ask differently from `eval --split`; it stands in each, so that their fingerprints differ.
const ONE_WANTED: &str = "one wanted video a question, the first of the user's or where parts are random one by lot; the others are masked";

/// The reports of each window of a split: over all candidates, then over each kind of sampled ones. The inner error is why the
/// split is left out.
fn tables(
    set: &Dataset,
    conditions: &Conditions,
    all: &Interactions,
    folds: Option<usize>,
) -> Result<Result<Vec<Vec<Report>>, String>> {
    let splits = match cut(set, conditions, folds) {
        Ok(splits) => splits,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut tables: Vec<Vec<Report>> = Vec::new();
    for (at, mut split) in splits.into_iter().enumerate() {
        tracing::info!("measuring under {}, cut {}", conditions.split, at + 1);
        ask_for_one(&mut split, all, conditions.seed);
        // A network starts anew on every cut.
        let learning = conditions.learning.under(&format!("{}-{}", conditions.split, at + 1));
        let mut conditions = Conditions { learning, ..conditions.clone() };
        conditions.remarks.push(ONE_WANTED.into());
        match evaluate_split(set, &split, &conditions) {
            Ok(Evaluation { report, sampled, .. }) => {
                tables.push([report].into_iter().chain(sampled).collect());
            }
            Err(error) if error.is::<OpenLeak>() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(tables))
}

/// The set cut by the rule of the conditions, once or window by window.
fn cut(set: &Dataset, conditions: &Conditions, folds: Option<usize>) -> Result<Vec<Split>, SplitError> {
    match conditions.split {
        SplitRule::Rolling => Split::rolling(set, &conditions.relevance, folds.unwrap_or(FOLDS)),
        rule => Ok(vec![Split::new(set, &conditions.relevance, rule, conditions.seed)?]),
    }
}

/// Keeps one wanted video of each question of the test: the first of a user's rows, or where parts are random one drawn by
/// the seed. The others are masked.
fn ask_for_one(split: &mut Split, all: &Interactions, seed: u64) {
    let by_lot = split.rule == SplitRule::Random;
    for query in split.test.iter_mut().filter(|query| query.relevant.len() > 1) {
        let place: HashMap<u32, u64> = match by_lot {
            true => query
                .relevant
                .iter()
                .map(|&row| (row, mix(seed ^ mix(u64::from(query.user) << 32 | u64::from(row)))))
                .collect(),
            false => (0..).zip(all.of(query.user)).map(|(at, row)| (row.video, at)).collect(),
        };
        let first =
            query.relevant.iter().copied().min_by_key(|row| place.get(row).copied().unwrap_or(u64::MAX));
        let Some(first) = first else { continue };
        let Query { masked, relevant, .. } = query;
        masked.extend(relevant.iter().copied().filter(|&row| row != first));
        masked.sort_unstable();
        masked.dedup();
        *relevant = vec![first];
    }
    // They are the values of more pairs than are asked for now.
    split.held_out_values.clear();
}

/// The means over windows.
fn row(way: Way, windows: &[&Report]) -> Row {
    let mut models: BTreeMap<String, Figures> = BTreeMap::new();
    for model in windows.iter().flat_map(|report| report.models.iter().map(|model| &model.name)) {
        let of_windows: Vec<_> = windows.iter().filter_map(|report| report.model(model)).collect();
        let Some(first) = of_windows.first() else { continue };
        let metrics =
            first.metrics.keys().filter(|name| name.starts_with("hr@") || name.starts_with("ndcg@"));
        let mean = |name: &String| {
            let means = of_windows.iter().filter_map(|of| of.metrics.get(name)).map(|interval| interval.mean);
            means.sum::<f64>() / of_windows.len() as f64
        };
        let metrics = metrics.map(|name| (name.clone(), mean(name))).collect();
        models.insert(model.clone(), Figures { metrics, inflation: BTreeMap::new() });
    }
    let mut leaks: Vec<String> = way.leaks().into_iter().map(str::to_string).collect();
    for leak in windows.iter().flat_map(|report| &report.protocol.leaks).filter(|leak| leak.leak == "time") {
        leaks.push(format!("counted: {}", leak.note));
    }
    Row {
        protocol: way.name(),
        fingerprints: windows.iter().map(|report| report.protocol.fingerprint()).collect(),
        questions: windows.iter().map(|report| report.protocol.users).sum(),
        candidates: windows.first().map_or_else(String::new, |report| {
            let candidates = &report.protocol.candidates;
            match way.negatives {
                None => format!("{} ({})", candidates.n, candidates.what),
                Some(_) => candidates.what.clone(),
            }
        }),
        models,
        best: String::new(),
        pairs_turned: 0,
        pairs: 0,
        leaks,
    }
}

/// Fills in what needs the strict protocol.
fn hold_against(row: &mut Row, strict: &Row, headline: &str) {
    for (name, figures) in &mut row.models {
        let Some(of_strict) = strict.models.get(name) else { continue };
        let inflation = figures.metrics.iter().filter_map(|(metric, &value)| {
            let strict = of_strict.metrics.get(metric).copied().filter(|&strict| strict > 0.0)?;
            Some((metric.clone(), value / strict))
        });
        figures.inflation = inflation.collect();
    }
    let of = |row: &Row, model: &String| {
        row.models.get(model).and_then(|figures| figures.metrics.get(headline).copied())
    };
    let names: Vec<&String> = strict.models.keys().filter(|name| row.models.contains_key(*name)).collect();
    let (mut pairs, mut turned) = (0, 0);
    for (at, one) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            let (Some(a), Some(b), Some(c), Some(d)) =
                (of(row, one), of(row, other), of(strict, one), of(strict, other))
            else {
                continue;
            };
            pairs += 1;
            turned += usize::from((a - b) * (c - d) < 0.0);
        }
    }
    let best =
        row.models.keys().max_by(|a, b| of(row, a).unwrap_or(0.0).total_cmp(&of(row, b).unwrap_or(0.0)));
    let best = best.cloned().unwrap_or_default();
    (row.best, row.pairs, row.pairs_turned) = (best, pairs, turned);
}

impl SideBySide {
    /// Tables for a terminal: one a metric, and what each protocol gives away.
    pub(crate) fn in_words(&self) -> String {
        let k = self.headline.trim_start_matches("ndcg@");
        let name_width = self.rows.iter().map(|row| row.protocol.len()).chain([8]).max().unwrap_or(8);
        let width = self.models.iter().map(|model| model.len()).chain([CELL]).max().unwrap_or(CELL);
        let mut text = format!(
            "{} ({}): each figure, and how often it is that of {}, the strict protocol\n",
            self.set,
            self.digest.get(..8).unwrap_or(&self.digest),
            self.strict
        );
        for metric in [format!("ndcg@{k}"), format!("hr@{k}")] {
            text += &format!("\n{metric:name_width$}");
            self.models.iter().for_each(|model| text += &format!("  {model:>width$}"));
            text += "  questions  best (pairs turned)\n";
            for row in &self.rows {
                text += &format!("{:name_width$}", row.protocol);
                for model in &self.models {
                    let cell = row.models.get(model).and_then(|figures| {
                        let value = figures.metrics.get(&metric)?;
                        let times =
                            figures.inflation.get(&metric).map_or("–".into(), |x| format!("×{x:.2}"));
                        Some(format!("{value:.4} {times:>6}"))
                    });
                    text += &format!("  {:>width$}", cell.unwrap_or_else(|| "-".into()));
                }
                text += &format!(
                    "  {:>9}  {} ({} of {})\n",
                    row.questions, row.best, row.pairs_turned, row.pairs
                );
            }
        }
        text += "\nEach question asks for one video; what the user wants besides in the same part is not ranked. `sampled` figures are \
                 inflated by construction: for comparison with papers only. Pairs turned, by the headline metric, may be chance.\n";
        for row in &self.rows {
            text += &format!("{}: ranks {}; {}\n", row.protocol, row.candidates, row.leaks.join("; "));
        }
        for left_out in &self.left_out {
            text += &format!("left out: {}: {}\n", left_out.name, left_out.reason);
        }
        text
    }
}

/// `0.1234 ×12.34`.
const CELL: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Actions, History, Interaction, Judgement};

    fn figures(ndcg: f64) -> Figures {
        Figures { metrics: [("ndcg@10".to_string(), ndcg)].into(), inflation: BTreeMap::new() }
    }

    fn row_of(models: &[(&str, f64)]) -> Row {
        Row {
            models: models.iter().map(|&(name, ndcg)| (name.to_string(), figures(ndcg))).collect(),
            ..row(Way { split: SplitRule::GlobalTime, negatives: None }, &[])
        }
    }

    #[test]
    fn names_of_protocols_are_splits_rankings_or_both() {
        let ways = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
            Asked::new(&names).map(|asked| asked.0.iter().map(|way| way.name()).collect::<Vec<_>>())
        };
        assert_eq!(ways(&["all"]).unwrap().len(), 12);
        assert_eq!(ways(&["leave-last-out"]).unwrap().len(), 3);
        // Whatever the order on the command line, the strictest stands first, and each once.
        let two = ways(&["random/sampled-popular", "global-time/full", "global-time/full"]).unwrap();
        assert_eq!(two, ["global-time/full", "random/sampled-popular"]);
        let said = ways(&["full", "given"]).unwrap_err().to_string();
        assert!(
            said.contains("`given`") && said.contains("leave-last-out") && said.contains("sampled-popular")
        );
    }

    #[test]
    fn the_first_wanted_video_is_asked_for_and_the_others_are_masked() {
        let row = |(video, time): (u32, i64)| Interaction {
            video,
            time,
            value: None,
            judgement: Judgement::Positive,
            actions: Actions::default(),
        };
        let all = Interactions::from_users(10, vec![[(5, 1), (9, 2), (3, 3), (1, 4)].map(row).to_vec()]);
        let asks = |rule| {
            let history = History::of_positives(&[5]);
            let query = Query { user: 0, masked: vec![5], history, relevant: vec![1, 3, 9], at: Some(2) };
            let mut split = Split {
                rule,
                train: all.clone(),
                validation: Vec::new(),
                test: vec![query],
                cuts: None,
                pairs_on_both_sides: 0,
                held_out_values: Vec::new(),
                validation_values: Vec::new(),
                warm: Vec::new(),
            };
            ask_for_one(&mut split, &all, 1);
            (split.test[0].relevant.clone(), split.test[0].masked.clone())
        };
        assert_eq!(asks(SplitRule::GlobalTime), (vec![9], vec![1, 3, 5]));
        let (relevant, masked) = asks(SplitRule::Random);
        assert_eq!((relevant.len(), masked.len()), (1, 3), "one by lot");
    }

    #[test]
    fn inflation_is_a_ratio_and_turned_pairs_are_counted() {
        let strict = row_of(&[("a", 0.1), ("b", 0.2), ("c", 0.0)]);
        let mut loose = row_of(&[("a", 0.5), ("b", 0.4), ("c", 0.3)]);
        hold_against(&mut loose, &strict, "ndcg@10");
        assert_eq!(loose.models["a"].inflation["ndcg@10"], 5.0);
        assert!(loose.models["c"].inflation.is_empty(), "nothing is a multiple of 0");
        assert_eq!((loose.best.as_str(), loose.pairs_turned, loose.pairs), ("a", 1, 3));
    }
}
