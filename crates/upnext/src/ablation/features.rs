//! What each group of features adds to the second stage. Judged on validation: the test is not looked at.

use anyhow::Result;
use serde::Serialize;
use upnext_eval::{Bootstrap, Interval};
use upnext_models::zoo::Ablation as Judged;

use super::{difference, mean};

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Features {
    /// The model that was taken apart.
    pub(crate) model: &'static str,
    /// The model whose candidates it orders.
    pub(crate) stage_one: String,
    /// Questions of validation.
    pub(crate) questions: usize,
    /// The order of stage one, and that of all groups.
    pub(crate) orders: [Row; 2],
    /// Each group left out, and alone.
    pub(crate) groups: Vec<OfGroup>,
    /// Groups of which nothing is known on this set.
    pub(crate) empty: Vec<&'static str>,
}

/// One order of the candidates.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// HR@10.
    #[serde(rename = "hr@10")]
    pub(crate) hr: f64,
    /// NDCG@10.
    #[serde(rename = "ndcg@10")]
    pub(crate) ndcg: f64,
    /// NDCG@10 minus that of stage one.
    pub(crate) against_stage_one: Interval,
    /// NDCG@10 minus that of all groups.
    pub(crate) against_all: Interval,
}

/// A group of features.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OfGroup {
    /// Its name.
    pub(crate) group: &'static str,
    /// Learnt from all others.
    pub(crate) without: Row,
    /// Learnt from it alone.
    pub(crate) alone: Row,
}

impl Features {
    /// Resamples the questions of all orders together.
    ///
    /// # Errors
    /// When the bootstrap has settings that make no interval.
    pub(crate) fn new(judged: &Judged, (bootstrap, seed): (Bootstrap, u64)) -> Result<Self> {
        let mut orders = vec![&judged.stage_one, &judged.whole];
        orders.extend(judged.groups.iter().flat_map(|of| [&of.without, &of.alone]));
        let columns: Vec<&[f64]> = orders.iter().map(|[_, ndcg]| &ndcg[..]).collect();
        let resampled = bootstrap.resample(&columns, seed)?;
        let row = |at: usize| Row {
            hr: mean(&orders[at][0]),
            ndcg: mean(&orders[at][1]),
            against_stage_one: resampled.difference(at, 0),
            against_all: resampled.difference(at, 1),
        };
        let group = |(at, of): (usize, &upnext_models::zoo::Ablated)| OfGroup {
            group: of.group.name(),
            without: row(2 + 2 * at),
            alone: row(3 + 2 * at),
        };
        Ok(Self {
            model: "ranker",
            stage_one: judged.stage_name.clone(),
            questions: judged.whole[0].len(),
            orders: [row(0), row(1)],
            groups: judged.groups.iter().enumerate().map(group).collect(),
            empty: judged.empty.iter().map(|group| group.name()).collect(),
        })
    }

    /// The table.
    pub(crate) fn in_words(&self) -> String {
        let line = |name: &str, row: &Row, against: &Interval| {
            format!("{name:<26} {:>8.4} {:>8.4}   {}\n", row.hr, row.ndcg, difference(against))
        };
        let [stage, all] = &self.orders;
        let mut text = format!(
            "\n=== what each group of features adds to the order of {}'s candidates ===\n\
             {} questions of validation; each order learnt anew; differences of NDCG@10 with the paired 95 % interval\n\n\
             {:<26} {:>8} {:>8}   against the order of {}\n",
            self.stage_one, self.questions, "order", "HR@10", "NDCG@10", self.stage_one
        );
        text += &line(&format!("that of {}", self.stage_one), stage, &stage.against_stage_one);
        text += &line("all groups", all, &all.against_stage_one);
        for of in &self.groups {
            text += &line(&format!("{} alone", of.group), &of.alone, &of.alone.against_stage_one);
        }
        text += &format!("\n{:<26} {:>8} {:>8}   against all groups\n", "order", "HR@10", "NDCG@10");
        for of in &self.groups {
            text += &line(&format!("without {}", of.group), &of.without, &of.without.against_all);
        }
        if !self.empty.is_empty() {
            text += &format!("\nof {} nothing is known on this set\n", self.empty.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_models::zoo::{Ablated, Group};

    #[test]
    fn a_group_that_changes_nothing_differs_by_nothing() {
        let same = [vec![1.0, 0.0, 1.0], vec![0.5, 0.0, 1.0]];
        let worse = [vec![0.0; 3], vec![0.0; 3]];
        let judged = Judged {
            stage_one: worse.clone(),
            stage_name: "closed-blend".into(),
            whole: same.clone(),
            groups: vec![Ablated { group: Group::Content, without: same.clone(), alone: worse }],
            empty: vec![Group::Video],
        };
        let bootstrap = Bootstrap { samples: 100, level: 0.95 };
        let ablation = Features::new(&judged, (bootstrap, 1)).unwrap();
        assert_eq!(ablation.groups[0].without.against_all, Interval::default());
        assert!((ablation.orders[1].against_stage_one.mean - 0.5).abs() < 1e-9);
        let words = ablation.in_words();
        assert!(words.contains("without content") && words.contains("+0.0000 [+0.0000, +0.0000]"), "{words}");
        assert!(words.contains("of video nothing is known"), "{words}");
    }
}
