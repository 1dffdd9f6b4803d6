//! A sweep as a table for a terminal.

use upnext_eval::Interval;

use super::{Curve, Measures, Sweep};

impl Sweep {
    /// All of it, each curve with validation and test side by side.
    pub(crate) fn in_words(&self) -> String {
        let mut text = format!(
            "\n=== what variety costs: {}, its best {} re-ranked to {} ===\n\
             settings, knees and the choice are of validation ({} questions); the test ({}) stands beside and chose nothing\n\
             protocol: {}\n\n{:<8} {:<12} {:>26} {:>18}\n",
            self.model,
            self.pool,
            self.k,
            self.questions[0],
            self.questions[1],
            self.protocol,
            "space",
            "distance",
            "mean likeness of two videos",
            "videos unknown in it"
        );
        for of in &self.spaces {
            text += &format!(
                "{:<8} {:<12} {:>26.3} {:>18}\n",
                of.space, of.distance, of.mean_likeness, of.unknown
            );
        }
        self.missing.iter().for_each(|what| text += &format!("left out: {what}\n"));
        for curve in &self.curves {
            text += &self.curve(curve);
        }
        for half in &self.half_way {
            let [plain, target, end] = half.from_to;
            text += &format!(
                "\nhalf-way in {}: {target:.4}, between {plain:.4} and {end:.4} on validation\n\
                 {:<14} {:>7}  {:>10} {:>6}  {:>25} {:>6} {:>8}  {:>27}\n",
                half.variety,
                "",
                "setting",
                "validation",
                "kept",
                format!("test ndcg@{}", self.k),
                "kept",
                "variety",
                half.ways.first().map_or_else(String::new, |first| format!("minus {}", first.name)),
            );
            for way in &half.ways {
                let [ndcg, _] = way.validation;
                let [test, variety] = way.test;
                let against = way.against_first;
                text += &format!(
                    "{:<14} {:>7.3}  {:>10.4} {:>5.1}%  {:>25} {:>5.1}% {:>8.4}  {:>27}\n",
                    way.name,
                    way.at,
                    ndcg.mean,
                    100.0 * way.kept[0],
                    interval(&test),
                    100.0 * way.kept[1],
                    variety.mean,
                    format!("{:+.4} [{:+.4}, {:+.4}]", against.mean, against.low, against.high),
                );
            }
            let reach = |curve: &&Curve| !half.ways.iter().any(|way| way.name == curve.name);
            let not: Vec<&str> = self.curves.iter().filter(reach).map(|curve| curve.name.as_str()).collect();
            if !not.is_empty() {
                text += &format!("not reached by {}\n", not.join(", "));
            }
        }
        match &self.choice {
            Some(choice) => {
                text += &format!(
                    "\nchosen on validation: {choice}, which reaches half-way in most spaces and keeps most NDCG there\n"
                );
            }
            None => text += "\nnothing can be chosen: variety does not grow\n",
        }
        text
    }

    fn curve(&self, curve: &Curve) -> String {
        let k = self.k;
        let (ndcg, recall) = (format!("ndcg@{k}"), format!("recall@{k}"));
        let spaces: Vec<&str> = self.spaces.iter().map(|of| of.space).collect();
        let ild = |measures: &Measures, space: &str| {
            let known = measures.metrics.iter().find(|(name, _)| name.starts_with(&format!("ild_{space}_")));
            known.map_or(0.0, |(_, interval)| interval.mean)
        };
        let ild_heads: String =
            spaces.iter().map(|space| format!(" {:>8}", format!("ild {space:.4}"))).collect();
        let mut text = format!(
            "\n{}\n{:>6}  {:>10}{ild_heads}  {:>25} {:>9}{ild_heads} {:>8} {:>6} {:>7}\n",
            curve.name,
            curve.setting,
            "validation",
            format!("test {ndcg}"),
            recall,
            "coverage",
            "gini",
            "novelty",
        );
        for (at, point) in curve.points.iter().enumerate() {
            let [validation, test] = [&point.validation, &point.test];
            let ilds = |measures: &Measures| -> String {
                spaces.iter().map(|space| format!(" {:>8.4}", ild(measures, space))).collect()
            };
            let setting =
                if curve.setting == "cap" { format!("{}", point.at) } else { format!("{:.2}", point.at) };
            text += &format!(
                "{setting:>6}  {:>10.4}{}  {:>25} {:>9.4}{} {:>8.4} {:>6.3} {:>7.3}{}\n",
                validation.metrics[&ndcg].mean,
                ilds(validation),
                interval(&test.metrics[&ndcg]),
                test.metrics[&recall].mean,
                ilds(test),
                test.overall[&format!("coverage@{k}")],
                test.overall[&format!("gini@{k}")],
                test.metrics[&format!("novelty@{k}")].mean,
                if curve.knee == Some(at) { "  <- knee" } else { "" },
            );
        }
        text
    }
}

fn interval(interval: &Interval) -> String {
    format!("{:.4} [{:.4}, {:.4}]", interval.mean, interval.low, interval.high)
}
