//! `upnext eval --sweep lambda`: what variety costs. One first stage, several ways to re-rank it, each from the plain
//! order to the most varied; settings are chosen on validation, and the test is looked at once, beside it.

mod asked;
mod curve;
mod space;
mod words;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::Serialize;
use upnext_data::{Dataset, Split};
use upnext_eval::metric::{
    Diversity, Kind as MetricKind, Named, Novelty, coverage, gini, recommended_counts,
};
use upnext_eval::{Bootstrap, Case, Interval, Metric, Ranked, Table, measure};
use upnext_models::Recommender;
use upnext_pipeline::rerank::{caps, dpp, mmr};

pub(crate) use asked::Asked;
pub(crate) use space::{Health, Space};

use crate::lists::{Ranking, pools};
use space::groups;

/// A way to re-rank.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Marginal relevance, in a space.
    Mmr(usize),
    /// A determinantal point process, in a space.
    Dpp(usize),
    /// At most so many of a group.
    Caps(usize),
}

/// What ways go by.
pub(crate) struct Yard<'a> {
    spaces: Vec<Space>,
    /// A name, and the groups of each video.
    groups: Vec<(&'static str, Vec<Vec<u32>>)>,
    /// Train users of each video, for novelty.
    popularity: Vec<u32>,
    n_users: usize,
    k: usize,
    ranking: &'a Ranking<'a>,
    bootstrap: Bootstrap,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sweep {
    /// The model of the first stage.
    pub(crate) model: String,
    /// Candidates that take part in a re-rank.
    pub(crate) pool: usize,
    /// Length of the lists.
    pub(crate) k: usize,
    /// Questions of validation, by which settings are chosen, and of the test.
    pub(crate) questions: [usize; 2],
    /// The spaces, and how healthy each is.
    pub(crate) spaces: Vec<Health>,
    /// A curve for each way to re-rank.
    pub(crate) curves: Vec<Curve>,
    /// The ways at equal variety, for each space.
    pub(crate) half_way: Vec<HalfWay>,
    /// The way that keeps most relevance half-way, on validation.
    pub(crate) choice: Option<String>,
    /// What could not be swept, and why.
    pub(crate) missing: Vec<String>,
    /// The protocol's fingerprint, and what it was made of in words.
    pub(crate) protocol: String,
}

/// One way, from the plain order to the most varied.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    /// `mmr fused`, `caps category`.
    pub(crate) name: String,
    /// `lambda`, `theta` or `cap`.
    pub(crate) setting: &'static str,
    /// The metric of variety in its own space.
    pub(crate) variety: String,
    /// Its points.
    pub(crate) points: Vec<Point>,
    /// Which of them is the knee on validation.
    pub(crate) knee: Option<usize>,
}

/// One setting of a way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// The weight of relevance, or the cap.
    pub(crate) at: f64,
    /// On validation.
    pub(crate) validation: Measures,
    /// On the test, which chose nothing.
    pub(crate) test: Measures,
}

/// What the lists of one setting are like.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measures {
    /// Means over users, with intervals.
    pub(crate) metrics: BTreeMap<String, Interval>,
    /// Numbers about all lists together: no user has one, so they have no interval.
    pub(crate) overall: BTreeMap<String, f64>,
}

/// All ways at the variety half-way between the plain order and the most varied of a space's own first way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HalfWay {
    /// The metric of variety.
    pub(crate) variety: String,
    /// Of the plain order, half-way, and at the end, on validation.
    pub(crate) from_to: [f64; 3],
    /// Each way that reaches it on validation; the others are missing here.
    pub(crate) ways: Vec<AtHalfWay>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AtHalfWay {
    /// The curve's name.
    pub(crate) name: String,
    /// Its setting, chosen on validation.
    pub(crate) at: f64,
    /// NDCG and variety on validation.
    pub(crate) validation: [Interval; 2],
    /// The same on the test.
    pub(crate) test: [Interval; 2],
    /// The share of the plain order's NDCG that is kept, on validation and on the test.
    pub(crate) kept: [f64; 2],
    /// NDCG on the test minus that of the first way, paired over the same resampled users.
    pub(crate) against_first: Interval,
}

impl Way {
    fn name(self, yard: &Yard) -> String {
        match self {
            Self::Mmr(space) => format!("mmr {}", yard.spaces[space].name),
            Self::Dpp(space) => format!("dpp {}", yard.spaces[space].name),
            Self::Caps(of) => format!("caps {}", yard.groups[of].0),
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Mmr(_) => "lambda",
            Self::Dpp(_) => "theta",
            Self::Caps(_) => "cap",
        }
    }

    /// Its settings, the plain order first.
    fn settings(self, asked: &Asked, k: usize) -> Vec<f64> {
        match self {
            Self::Mmr(_) | Self::Dpp(_) => asked.lambdas.clone(),
            Self::Caps(_) => (1..=k).rev().map(|cap| cap as f64).collect(),
        }
    }

    /// The space in which its variety is seen.
    fn home(self, yard: &Yard) -> usize {
        match self {
            Self::Mmr(space) | Self::Dpp(space) => space,
            Self::Caps(_) => yard.spaces.len() - 1,
        }
    }
}

impl<'a> Yard<'a> {
    /// Of a set's own labels and text, and of the vectors of a model that fuses them where one could be fitted.
    /// Also says what is missing.
    pub(crate) fn new(
        set: &Dataset,
        split: &Split,
        vectors: Result<Space, String>,
        ranking: &'a Ranking<'a>,
        (k, bootstrap): (usize, Bootstrap),
    ) -> (Self, Vec<String>) {
        let mut missing = Vec::new();
        /// Of the pairs that are looked at.
        const SEED: u64 = 1;
        /// Mean likeness above which nothing is told apart.
        const COLLAPSED: f64 = 0.999;
        let all: Vec<u32> = (0..set.videos.len() as u32).collect();
        let mut spaces = Vec::new();
        match vectors {
            Ok(space) => match space.health(&all, SEED).mean_likeness {
                likeness if likeness > COLLAPSED => {
                    missing.push(format!(
                        "fused vectors: all videos are alike in them (mean likeness {likeness:.4})"
                    ));
                }
                _ => spaces.push(space),
            },
            Err(why) => missing.push(format!("fused vectors: {why}")),
        }
        match upnext_features::Content::of_text(&set.videos) {
            Some(text) => spaces.push(Space::of_content("text", text.into())),
            None => missing.push("text vectors: no video has words that tell it from others".into()),
        }
        match Space::of_labels(set) {
            Some(labels) => {
                // Without labels, content is the text again.
                let content = upnext_features::Content::new(&set.videos);
                spaces.extend(content.map(|content| Space::of_content("content", content.into())));
                spaces.push(labels);
            }
            None => missing.push("labels: no video has any, so neither content nor distances by them".into()),
        }
        let categories = groups(set, |row| {
            let of_kind = |kind| set.videos.labels_of(row, kind);
            of_kind("genre").chain(of_kind("category")).collect()
        });
        let authors = groups(set, |row| match set.videos.video(row).creator {
            Some(creator) => vec![set.videos.creators.name(creator)],
            None => set.videos.labels_of(row, "director").collect(),
        });
        let mut all_groups = Vec::new();
        for (name, groups) in [("category", categories), ("author", authors)] {
            if groups.iter().any(|groups| !groups.is_empty()) {
                all_groups.push((name, groups));
            } else {
                missing.push(format!("caps {name}: no video has one"));
            }
        }
        let popularity = split.train.popularity();
        let n_users = split.train.users().filter(|rows| !rows.is_empty()).count();
        (Self { spaces, groups: all_groups, popularity, n_users, k, ranking, bootstrap }, missing)
    }

    /// Every way that can be gone. The genre space is a distance alone: its likeness has a handful of values.
    fn ways(&self) -> Vec<Way> {
        let cosines = || (0..self.spaces.len()).filter(|&at| self.spaces[at].distance() == "cosine");
        let caps = (0..self.groups.len()).map(Way::Caps);
        cosines().map(Way::Mmr).chain(cosines().map(Way::Dpp)).chain(caps).collect()
    }

    /// The lists of each plan, made of each question's pool.
    fn lists(&self, pools: &[(Case, Vec<f64>)], plans: &[(Way, f64)]) -> Vec<Vec<Case>> {
        let is_used = |space: usize| {
            plans.iter().any(|&(way, _)| matches!(way, Way::Mmr(of) | Way::Dpp(of) if of == space))
        };
        let used: Vec<bool> = (0..self.spaces.len()).map(is_used).collect();
        let of_questions: Vec<Vec<Case>> = pools
            .par_iter()
            .map(|(case, relevance)| {
                let rows = &case.list;
                let n = rows.len();
                // Every pair once where many plans ask for most of them; one plan asks for few.
                let keep = plans.len() * self.k > n / 2;
                let likeness: Vec<Vec<f32>> = self
                    .spaces
                    .iter()
                    .zip(&used)
                    .map(|(space, &used)| {
                        let keep = keep && used;
                        let mut all = vec![0.0; if keep { n * n } else { 0 }];
                        for (a, b) in (0..n).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|_| keep) {
                            let alike = space.between(rows[a], rows[b]);
                            (all[a * n + b], all[b * n + a]) = (alike, alike);
                        }
                        all
                    })
                    .collect();
                let alike = |space: usize, a: usize, b: usize| match keep {
                    true => likeness[space][a * n + b],
                    false => self.spaces[space].between(rows[a], rows[b]),
                };
                let order = |&(way, at): &(Way, f64)| match way {
                    Way::Mmr(space) => mmr(relevance, at, self.k, |a, b| alike(space, a, b)),
                    Way::Dpp(space) => dpp(relevance, at, self.k, |a, b| alike(space, a, b)),
                    Way::Caps(of) => {
                        let groups = &self.groups[of].1;
                        let of_pool: Vec<Vec<u32>> =
                            rows.iter().map(|&row| groups[row as usize].clone()).collect();
                        let n_groups = of_pool.iter().flatten().max().map_or(0, |&most| most as usize + 1);
                        caps(&of_pool, &vec![at as usize; n_groups], self.k)
                    }
                };
                let case_of = |plan| {
                    let list = order(plan).into_iter().map(|at| rows[at]).collect();
                    Case::from_list(case.user, list, case.relevant.clone(), case.n_candidates)
                };
                plans.iter().map(case_of).collect()
            })
            .collect();
        let mut of_plans: Vec<Vec<Case>> = plans.iter().map(|_| Vec::with_capacity(pools.len())).collect();
        for cases in of_questions {
            of_plans.iter_mut().zip(cases).for_each(|(of_plan, case)| of_plan.push(case));
        }
        of_plans
    }

    fn table(&self, cases: &[Case]) -> Result<Table> {
        let kinds = [MetricKind::Ndcg, MetricKind::Recall, MetricKind::Hr];
        let mut table = measure(&Ranked::grid(&kinds, &[self.k]), cases);
        for (at, space) in self.spaces.iter().enumerate() {
            table.push(&space.metric(self.k), self.diversity(at, cases))?;
        }
        table.add(&Novelty { k: self.k, counts: &self.popularity, n_users: self.n_users }, cases)?;
        Ok(table)
    }

    fn measures(&self, cases: &[Case]) -> Result<Measures> {
        let table = self.table(cases)?;
        let columns: Vec<&[f64]> = table.columns().map(|(_, column)| column).collect();
        let intervals = self.bootstrap.intervals(&columns, self.ranking.seed)?;
        let counts = recommended_counts(cases, self.k, self.popularity.len());
        // Every candidate, shown or not; a list never holds another video.
        let of_candidates: Vec<u32> =
            self.ranking.candidates.iter().map(|&row| counts[row as usize]).collect();
        Ok(Measures {
            metrics: table.names().iter().cloned().zip(intervals).collect(),
            overall: BTreeMap::from([
                (format!("coverage@{}", self.k), coverage(&of_candidates)),
                (format!("gini@{}", self.k), gini(&of_candidates)),
            ]),
        })
    }

    /// Sweeps over the lists of a model.
    ///
    /// # Errors
    /// When there is no validation part to choose by, or nothing to be varied by.
    pub(crate) fn sweep(
        &self,
        model: &dyn Recommender,
        split: &Split,
        asked: &Asked,
        (missing, protocol): (Vec<String>, String),
    ) -> Result<Sweep> {
        if split.validation.is_empty() {
            bail!(
                "--sweep chooses on validation, which split `{}` of this set does not have: use --split leave-last-out or random",
                split.rule
            );
        }
        let ways = self.ways();
        if ways.is_empty() || self.spaces.is_empty() {
            bail!(
                "--sweep finds nothing by which videos are alike ({}): bring labels or text",
                missing.join("; ")
            );
        }
        let validation = pools(model, &split.validation, self.ranking);
        let test = pools(model, &split.test, self.ranking);
        let plans: Vec<(Way, f64)> = ways
            .iter()
            .flat_map(|&way| way.settings(asked, self.k).into_iter().map(move |at| (way, at)))
            .collect();
        let on_validation = self.lists(&validation, &plans);
        let on_test = self.lists(&test, &plans);
        let mut points = plans.iter().zip(on_validation.iter().zip(&on_test)).map(
            |(&(_, at), (validation, test))| -> Result<Point> {
                Ok(Point { at, validation: self.measures(validation)?, test: self.measures(test)? })
            },
        );
        let mut curves = Vec::new();
        for &way in &ways {
            let n = way.settings(asked, self.k).len();
            let points: Vec<Point> = points.by_ref().take(n).collect::<Result<_>>()?;
            let variety = self.spaces[way.home(self)].metric(self.k);
            let knee = curve::knee(&on_axis(&points, &variety), &on_axis(&points, &self.relevance()));
            curves.push(Curve { name: way.name(self), setting: way.setting(), variety, points, knee });
        }
        let half_way = self.half_way(&ways, &curves, [&validation, &test])?;
        Ok(Sweep {
            model: model.name().into(),
            pool: asked.pool,
            k: self.k,
            questions: [split.validation.len(), split.test.len()],
            spaces: self
                .spaces
                .iter()
                .map(|of| of.health(self.ranking.candidates, self.ranking.seed))
                .collect(),
            choice: choice(&half_way),
            curves,
            half_way,
            missing,
            protocol,
        })
    }

    fn relevance(&self) -> String {
        format!("ndcg@{}", self.k)
    }

    /// The setting between two at which a way reaches a variety, on validation; a cap is whole, and the one that reaches
    /// it is taken.
    fn refined(
        &self,
        way: Way,
        [mut less, mut more]: [f64; 2],
        (space, target): (usize, f64),
        pools: &[(Case, Vec<f64>)],
    ) -> f64 {
        /// Curves are steep near 0: a step of a tenth is halved down to a thousandth.
        const HALVINGS: usize = 7;
        if matches!(way, Way::Caps(_)) {
            return more;
        }
        for _ in 0..HALVINGS {
            let middle = (less + more) / 2.0;
            let variety = self.variety(space, &self.lists(pools, &[(way, middle)])[0]);
            if variety < target { less = middle } else { more = middle }
        }
        more
    }

    /// The mean variety of lists in a space.
    fn variety(&self, space: usize, cases: &[Case]) -> f64 {
        let of = self.diversity(space, cases);
        of.iter().sum::<f64>() / of.len().max(1) as f64
    }

    fn diversity(&self, space: usize, cases: &[Case]) -> Vec<f64> {
        let space = &self.spaces[space];
        let distance = Named(String::new(), |a: u32, b: u32| 1.0 - f64::from(space.between(a, b)));
        Diversity { k: self.k, distance: &distance }.measure(cases)
    }

    /// In each space: the variety half-way, the setting with which each way reaches it on validation, and what each is
    /// worth there.
    fn half_way(
        &self,
        ways: &[Way],
        curves: &[Curve],
        pools: [&[(Case, Vec<f64>)]; 2],
    ) -> Result<Vec<HalfWay>> {
        let relevance = self.relevance();
        let mut all = Vec::new();
        for (at, space) in self.spaces.iter().enumerate() {
            let variety = space.metric(self.k);
            let Some(own) = ways.iter().position(|way| way.home(self) == at) else { continue };
            let of_own = on_axis(&curves[own].points, &variety);
            let (plain, end) = (of_own[0], of_own.last().copied().unwrap_or(of_own[0]));
            if end <= plain {
                continue;
            }
            let target = (plain + end) / 2.0;
            let mut reaching = Vec::new();
            for (way, curve) in curves.iter().enumerate() {
                let settings: Vec<f64> = curve.points.iter().map(|point| point.at).collect();
                let of_curve = on_axis(&curve.points, &variety);
                if let Some(between) = curve::reaches(&settings, &of_curve, target) {
                    reaching.push((way, self.refined(ways[way], between, (at, target), pools[0])));
                }
            }
            let plans: Vec<(Way, f64)> = reaching.iter().map(|&(way, at)| (ways[way], at)).collect();
            let mut tables = Vec::new();
            for pools in pools {
                let of_part: Vec<Table> =
                    self.lists(pools, &plans).iter().map(|cases| self.table(cases)).collect::<Result<_>>()?;
                tables.push(of_part);
            }
            let mut resampled = Vec::new();
            for of_part in &tables {
                let column = |table: &'_ Table, name: &str| {
                    table.column(name).map(<[f64]>::to_vec).unwrap_or_default()
                };
                let columns: Vec<Vec<f64>> = of_part
                    .iter()
                    .flat_map(|table| [column(table, &relevance), column(table, &variety)])
                    .collect();
                let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
                resampled.push(self.bootstrap.resample(&columns, self.ranking.seed)?);
            }
            let plain_of = |part: usize| {
                let point = &curves[own].points[0];
                [&point.validation, &point.test][part].metrics[&relevance].mean
            };
            let ways = reaching.iter().enumerate().map(|(place, &(way, at))| {
                let of = |part: usize| {
                    [resampled[part].interval(2 * place), resampled[part].interval(2 * place + 1)]
                };
                let kept = [0, 1].map(|part| of(part)[0].mean / plain_of(part).max(f64::MIN_POSITIVE));
                AtHalfWay {
                    name: curves[way].name.clone(),
                    at,
                    validation: of(0),
                    test: of(1),
                    kept,
                    against_first: resampled[1].difference(2 * place, 0),
                }
            });
            all.push(HalfWay { variety, from_to: [plain, target, end], ways: ways.collect() });
        }
        Ok(all)
    }
}

/// A metric along a curve, on validation.
fn on_axis(points: &[Point], metric: &str) -> Vec<f64> {
    points.iter().map(|point| point.validation.metrics[metric].mean).collect()
}

/// The way that reaches half of the variety in most spaces and, of those, keeps most NDCG on average over them: all of
/// it on validation.
fn choice(half_way: &[HalfWay]) -> Option<String> {
    let mut of_ways: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for way in half_way.iter().flat_map(|half| &half.ways) {
        let (n, sum) = of_ways.entry(&way.name).or_default();
        *n += 1;
        *sum += way.kept[0];
    }
    let best = of_ways
        .into_iter()
        .max_by(|(_, a), (_, b)| a.0.cmp(&b.0).then((a.1 / a.0 as f64).total_cmp(&(b.1 / b.0 as f64))));
    best.map(|(name, _)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_reaches_most_spaces_then_keeps_most() {
        let at = |name: &str, kept| AtHalfWay {
            name: name.into(),
            at: 0.5,
            validation: [Interval::default(); 2],
            test: [Interval::default(); 2],
            kept: [kept, 0.0],
            against_first: Interval::default(),
        };
        let half = |ways| HalfWay { variety: String::new(), from_to: [0.0; 3], ways };
        let spaces = [half(vec![at("a", 0.9), at("b", 0.8)]), half(vec![at("b", 0.8), at("c", 0.99)])];
        assert_eq!(choice(&spaces).as_deref(), Some("b"), "it alone reaches both");
        assert_eq!(choice(&spaces[1..]).as_deref(), Some("c"));
        assert_eq!(choice(&[]), None);
    }
}
