//! One model's scores for a viewer: a number for each video, or, in a large catalogue, what such numbers are made of.

use std::sync::Arc;

use upnext_data::History;
use upnext_index::{Allow as Among, Bitmap, Index};
use upnext_math::dot::dot;
use upnext_math::linalg::transposed_product;
use upnext_math::memory::prefetch;
use upnext_math::{Matrix, top_k};
use upnext_models::{Context, Recommender, Shape};

use crate::Allow;
use crate::pipeline::StageError;

/// Where more than one row in so many is refused, the index is told which: it looks at more lists then, and passes over blocks.
const REFUSED_SHARE: usize = 10;

/// How many rows ahead of a product its vector is asked for.
const ROWS_AHEAD: usize = 8;

/// The index over the vectors of a model, where there is one.
pub type IndexOf<'a> = dyn Fn(&dyn Recommender) -> Option<Arc<dyn Index>> + 'a;

/// The viewer's vector of a tower, by its number: as it is known, else made by the function.
pub type TowerOf<'a> = dyn Fn(usize, &dyn Fn() -> Vec<f32>) -> Arc<[f32]> + 'a;

/// A model of a feed, and how it is asked.
#[derive(Clone)]
pub struct Asked {
    /// The model.
    pub model: Arc<dyn Recommender>,
    way: Way,
}

/// How a model is asked.
#[derive(Clone)]
enum Way {
    /// For all scores at once.
    All,
    /// The same scores for everybody.
    Constant(Scores),
    /// For the few rows that a past reaches.
    Few,
    /// For the viewer's vector, of which the moments tell mean and deviation.
    Inner { tower: usize, moments: Arc<Moments>, index: Option<Arc<dyn Index>> },
    /// For its parts.
    Blend(Vec<(f64, Asked)>),
}

/// The mean of all videos' vectors and that of their outer products: with them the mean and the deviation of all inner products
/// with a vector are known without forming one.
#[derive(Debug)]
struct Moments {
    mean: Vec<f32>,
    second: Matrix,
}

impl Moments {
    fn of(items: &Matrix) -> Self {
        const ROWS: usize = 16_384;
        let (n, d) = (items.n_rows().max(1) as f32, items.n_columns());
        let (mut mean, mut second) = (vec![0.0f64; d], vec![0.0f64; d * d]);
        for start in (0..items.n_rows()).step_by(ROWS) {
            let end = items.n_rows().min(start + ROWS);
            let some = Matrix::from_rows(end - start, d, items.values()[start * d..end * d].to_vec());
            for row in 0..some.n_rows() {
                mean.iter_mut().zip(some.row(row)).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            let product = transposed_product(&some, &some);
            second.iter_mut().zip(product.values()).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let mean_of = |sums: Vec<f64>| sums.into_iter().map(|x| x as f32 / n).collect::<Vec<f32>>();
        Self { mean: mean_of(mean), second: Matrix::from_rows(d, d, mean_of(second)) }
    }

    /// Mean and population deviation of the inner products of all videos with a vector.
    fn mean_and_deviation(&self, user: &[f32]) -> (f64, f64) {
        let mean = f64::from(dot(&self.mean, user));
        let square: f64 =
            (0..user.len()).map(|at| f64::from(user[at]) * f64::from(dot(self.second.row(at), user))).sum();
        (mean, (square - mean * mean).max(0.0).sqrt())
    }
}

/// The models of a feed, with a number for each of their towers.
pub struct Models {
    asked: Vec<Asked>,
    models: Vec<Arc<dyn Recommender>>,
    n_towers: usize,
}

impl Models {
    /// Models of catalogues of up to `all_max` videos are asked for all scores; those of larger ones in the way their
    /// [`Shape`] allows. `index_of` gives an index over the vectors of a model, where there is one.
    pub fn new(models: Vec<Arc<dyn Recommender>>, all_max: usize, index_of: &IndexOf<'_>) -> Self {
        let mut n_towers = 0;
        let asked = models.iter().map(|model| Asked::new(model, all_max, index_of, &mut n_towers)).collect();
        Self { asked, models, n_towers }
    }

    /// The models, in the feed's order.
    pub fn models(&self) -> &[Arc<dyn Recommender>] {
        &self.models
    }

    /// A model and how it is asked.
    pub fn get(&self, model: usize) -> Option<&Asked> {
        self.asked.get(model)
    }

    /// How many models have a vector of the viewer.
    pub fn n_towers(&self) -> usize {
        self.n_towers
    }

    /// The names of models that score every video for each request, though the catalogue is large.
    pub fn slow(&self) -> Vec<&str> {
        fn within<'a>(asked: &'a Asked, out: &mut Vec<&'a str>) {
            match &asked.way {
                Way::All => out.push(asked.model.name()),
                Way::Blend(parts) => parts.iter().for_each(|(_, part)| within(part, out)),
                Way::Inner { index: None, .. } => out.push(asked.model.name()),
                Way::Constant(_) | Way::Few | Way::Inner { .. } => {}
            }
        }
        let mut names = Vec::new();
        self.asked.iter().for_each(|asked| within(asked, &mut names));
        names
    }
}

impl Asked {
    fn new(
        model: &Arc<dyn Recommender>,
        all_max: usize,
        index_of: &IndexOf<'_>,
        n_towers: &mut usize,
    ) -> Self {
        let way = match model.shape() {
            _ if model.n_videos() <= all_max => Way::All,
            Shape::Dense => Way::All,
            // What is not finite is named when it is asked for.
            Shape::Constant(scores) => Scores::ranked(scores.to_vec()).map_or(Way::All, Way::Constant),
            Shape::Sparse => Way::Few,
            Shape::Inner(tower) => {
                let (moments, index) = (Arc::new(Moments::of(tower.items())), index_of(model.as_ref()));
                *n_towers += 1;
                Way::Inner { tower: *n_towers - 1, moments, index }
            }
            Shape::Blend(parts) => Way::Blend(
                (parts.iter())
                    .map(|part| {
                        let asked = Self::new(&part.model, all_max, index_of, n_towers);
                        (f64::from(part.weight), asked)
                    })
                    .collect(),
            ),
        };
        Self { model: Arc::clone(model), way }
    }

    /// The scores for a past.
    ///
    /// # Errors
    /// Where a score is not finite.
    pub fn scores(
        &self,
        history: &History,
        context: &Context,
        tower: &TowerOf<'_>,
    ) -> Result<Scores, StageError> {
        let n = self.model.n_videos();
        match &self.way {
            Way::All => {
                let mut values = vec![0.0; n];
                self.model.score_all(history, context, &mut values);
                Scores::new(values)
            }
            Way::Constant(scores) => Ok(scores.clone()),
            Way::Few => Scores::of_few(self.model.reached(history, context), n),
            Way::Inner { tower: number, moments, index } => {
                let make = || match self.model.shape() {
                    Shape::Inner(tower) => tower.user(history),
                    _ => Vec::new(),
                };
                let user = tower(*number, &make);
                if user.len() != moments.mean.len() || user.iter().any(|x| !x.is_finite()) {
                    return Err(StageError::new(format!(
                        "the viewer's vector of {} is not one",
                        self.model.name()
                    )));
                }
                let (mean, deviation) = moments.mean_and_deviation(&user);
                let kind = Kind::Inner { model: Arc::clone(&self.model), user, index: index.clone() };
                Ok(Scores { kind, least: f32::MIN, mean, deviation })
            }
            Way::Blend(parts) => {
                let part =
                    |(weight, part): &(f64, Self)| Ok((*weight, part.scores(history, context, tower)?));
                let parts = parts.iter().map(part).collect::<Result<Vec<(f64, Scores)>, StageError>>()?;
                // Of z-scores, were they independent of each other: a scale, not a measurement.
                let heard = parts.iter().filter(|(_, scores)| !scores.is_flat());
                let deviation = heard.map(|(weight, _)| weight * weight).sum::<f64>().sqrt();
                Ok(Scores { kind: Kind::Blend(parts.into()), least: f32::MIN, mean: 0.0, deviation })
            }
        }
    }
}

/// One model's scores for a viewer, and what is needed to read them. A clone shares them.
#[derive(Clone)]
pub struct Scores {
    kind: Kind,
    least: f32,
    mean: f64,
    deviation: f64,
}

#[derive(Clone)]
enum Kind {
    /// Of each row.
    All(Arc<[f32]>),
    /// The same, with the rows from the best on.
    Ranked { values: Arc<[f32]>, order: Arc<[u32]> },
    /// Of a few rows, ascending; the others have 0, and no signal.
    Few { entries: Arc<[(u32, f32)]>, n: usize },
    /// Inner products with the model's vectors of videos.
    Inner { model: Arc<dyn Recommender>, user: Arc<[f32]>, index: Option<Arc<dyn Index>> },
    /// The weighted sum of z-scores.
    Blend(Arc<[(f64, Scores)]>),
}

impl std::fmt::Debug for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scores")
            .field("mean", &self.mean)
            .field("deviation", &self.deviation)
            .finish_non_exhaustive()
    }
}

impl Scores {
    /// Of every video. Checks that every score is finite.
    ///
    /// # Errors
    /// Names the first row whose score is not.
    pub fn new(values: Vec<f32>) -> Result<Self, StageError> {
        if let Some(row) = values.iter().position(|score| !score.is_finite()) {
            return Err(not_finite(row, values[row]));
        }
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Where all are alike, rounding is no deviation.
        let deviation = if least < most { variance.sqrt() } else { 0.0 };
        Ok(Self { kind: Kind::All(values.into()), least, mean, deviation })
    }

    /// Of every video, in an order that is made once.
    fn ranked(values: Vec<f32>) -> Result<Self, StageError> {
        let n = values.len();
        let mut scores = Self::new(values)?;
        if let Kind::All(values) = scores.kind {
            let order = top_k(&values, n).into();
            scores.kind = Kind::Ranked { values, order };
        }
        Ok(scores)
    }

    /// Of a few of `n` videos, by row; all others have 0.
    ///
    /// # Errors
    /// Names the first row whose score is not finite.
    pub fn of_few(entries: Vec<(u32, f32)>, n: usize) -> Result<Self, StageError> {
        if let Some(&(row, score)) = entries.iter().find(|(_, score)| !score.is_finite()) {
            return Err(not_finite(row as usize, score));
        }
        let count = n.max(1) as f64;
        let sum = |power: i32| entries.iter().map(|&(_, v)| f64::from(v).powi(power)).sum::<f64>();
        let mean = sum(1) / count;
        let deviation = (sum(2) / count - mean * mean).max(0.0).sqrt();
        Ok(Self { kind: Kind::Few { entries: entries.into(), n }, least: 0.0, mean, deviation })
    }

    /// The score of a row; of one the model does not know, the least.
    pub fn of(&self, row: u32) -> f32 {
        match &self.kind {
            Kind::All(values) | Kind::Ranked { values, .. } => {
                values.get(row as usize).copied().unwrap_or(self.least)
            }
            _ => self.of_rows(&[row])[0] as f32,
        }
    }

    /// The least score, that of a video the model has nothing to say of; where it has something to say of all, a bound.
    pub fn least(&self) -> f32 {
        self.least
    }

    /// Whether all scores are equal: the model has no signal for this viewer.
    pub fn is_flat(&self) -> bool {
        self.deviation <= 0.0
    }

    /// The score in deviations from the mean over the catalogue: comparable between viewers and models.
    pub fn scaled(&self, row: u32) -> f64 {
        self.scaled_of(&[row])[0]
    }

    /// The same for several rows, which ascend.
    pub fn scaled_of(&self, rows: &[u32]) -> Vec<f64> {
        if self.is_flat() {
            return vec![0.0; rows.len()];
        }
        let mut scores = self.of_rows(rows);
        scores.iter_mut().for_each(|score| *score = (*score - self.mean) / self.deviation);
        scores
    }

    /// The scores of rows, which ascend: what is sparse is gone through once, side by side with them.
    fn of_rows(&self, rows: &[u32]) -> Vec<f64> {
        match &self.kind {
            Kind::All(_) | Kind::Ranked { .. } => rows.iter().map(|&row| f64::from(self.of(row))).collect(),
            Kind::Few { entries, .. } => {
                let mut rest = &entries[..];
                let score = |&row: &u32| {
                    rest = &rest[rest.partition_point(|&(other, _)| other < row)..];
                    rest.first().filter(|entry| entry.0 == row).map_or(0.0, |entry| f64::from(entry.1))
                };
                rows.iter().map(score).collect()
            }
            Kind::Inner { model, user, .. } => match model.shape() {
                Shape::Inner(tower) => {
                    let (items, n) = (tower.items(), tower.items().n_rows());
                    let vector = |&row: &u32| ((row as usize) < n).then(|| items.row(row as usize));
                    let score = |(at, row): (usize, &u32)| {
                        // Rows lie anywhere in memory: asked for ahead, they come while others are multiplied.
                        rows.get(at + ROWS_AHEAD).and_then(vector).into_iter().for_each(prefetch);
                        vector(row).map_or(self.least, |vector| dot(user, vector))
                    };
                    rows.iter().enumerate().map(score).map(f64::from).collect()
                }
                _ => vec![f64::from(self.least); rows.len()],
            },
            Kind::Blend(parts) => {
                let mut sums = vec![0.0; rows.len()];
                for (weight, part) in parts.iter() {
                    sums.iter_mut().zip(part.scaled_of(rows)).for_each(|(sum, score)| *sum += weight * score);
                }
                sums
            }
        }
    }

    /// How many rows have a score.
    fn n_rows(&self) -> usize {
        match &self.kind {
            Kind::All(values) | Kind::Ranked { values, .. } => values.len(),
            Kind::Few { n, .. } => *n,
            Kind::Inner { model, .. } => model.n_videos(),
            Kind::Blend(parts) => parts.iter().map(|(_, part)| part.n_rows()).max().unwrap_or(0),
        }
    }

    /// The place of a row among the rows that `admits` lets through, from 0; equal scores by row. Goes through the catalogue.
    pub fn rank(&self, row: u32, admits: impl Fn(u32) -> bool) -> usize {
        let score = self.of(row);
        let better = |other: u32| {
            let of = self.of(other);
            of > score || (of == score && other < row)
        };
        let rows: Box<dyn Iterator<Item = u32>> = match &self.kind {
            // All others stand below what has a signal.
            Kind::Few { entries, .. } if score > 0.0 => Box::new(entries.iter().map(|&(row, _)| row)),
            _ => Box::new(0..self.n_rows() as u32),
        };
        rows.filter(|&other| better(other) && admits(other)).count()
    }

    /// The best `n` permitted rows that the model has something to say of, best first, equal ones by row.
    ///
    /// # Errors
    /// In the words of the index.
    pub fn top(&self, n: usize, allow: &Allow) -> Result<Vec<(u32, f32)>, StageError> {
        if self.is_flat() {
            return Ok(Vec::new());
        }
        Ok(match &self.kind {
            Kind::All(values) => {
                let mut masked = values.to_vec();
                for (row, score) in masked.iter_mut().enumerate() {
                    if *score <= self.least || !allow.admits(row as u32) {
                        *score = f32::NEG_INFINITY;
                    }
                }
                top_k(&masked, n).into_iter().map(|row| (row, masked[row as usize])).collect()
            }
            Kind::Ranked { values, order } => {
                let scored = order.iter().map(|&row| (row, values[row as usize]));
                let told = scored.take_while(|&(_, score)| score > self.least);
                told.filter(|&(row, _)| allow.admits(row)).take(n).collect()
            }
            Kind::Few { entries, .. } => {
                let told = entries.iter().copied().filter(|&(row, score)| score > 0.0 && allow.admits(row));
                best(told.collect(), n)
            }
            Kind::Inner { index: Some(index), user, .. } => nearest(index.as_ref(), user, n, allow)?,
            Kind::Inner { index: None, .. } => {
                let end = self.n_rows() as u32;
                best(allow.rows().take_while(|&row| row < end).map(|row| (row, self.of(row))).collect(), n)
            }
            // The cascade: each part names its best, the blend chooses among them.
            Kind::Blend(parts) => {
                let mut rows: Vec<u32> = Vec::new();
                for (_, part) in parts.iter() {
                    rows.extend(part.top(n, allow)?.into_iter().map(|(row, _)| row));
                }
                rows.sort_unstable();
                rows.dedup();
                let scores = self.of_rows(&rows).into_iter().map(|score| score as f32);
                best(rows.iter().copied().zip(scores).collect(), n)
            }
        })
    }
}

fn not_finite(row: usize, score: f32) -> StageError {
    StageError::new(format!("the score of row {row} is {score}"))
}

/// The best `n`, best first, equal ones by row.
pub(crate) fn best(mut rows: Vec<(u32, f32)>, n: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if rows.len() > n && n > 0 {
        rows.select_nth_unstable_by(n - 1, order);
    }
    rows.truncate(n);
    rows.sort_unstable_by(order);
    rows
}

/// The permitted rows of an index that are nearest to a vector.
pub(crate) fn nearest(
    index: &dyn Index,
    query: &[f32],
    n: usize,
    allow: &Allow,
) -> Result<Vec<(u32, f32)>, StageError> {
    let hits = among(allow, |among| index.search(query, n, among))?;
    Ok(hits.into_iter().map(|hit| (hit.row, hit.score)).collect())
}

/// Runs a search among the permitted rows.
pub(crate) fn among<T>(
    allow: &Allow,
    search: impl FnOnce(Among<'_>) -> Result<T, upnext_index::IndexError>,
) -> Result<T, StageError> {
    let n_refused = allow.n_rows() - allow.count();
    let answer = match REFUSED_SHARE * n_refused > allow.n_rows() {
        true => search(Among::Bitmap(&Bitmap::from_words(allow.words()))),
        false => search(Among::Predicate(&|row| allow.admits(row))),
    };
    answer.map_err(|error| StageError::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_index::{Config, Flat, Metric, Quantised};
    use upnext_math::seed::Random;
    use upnext_models::Tower;
    use upnext_models::checkpoint::{Form, Writer};
    use upnext_models::zoo::{Blend, Part};

    #[test]
    fn a_score_that_is_not_finite_is_named_by_its_row() {
        assert!(Scores::new(vec![0.0, f32::NAN]).unwrap_err().to_string().contains("row 1 is NaN"));
        assert!(
            Scores::of_few(vec![(7, f32::INFINITY)], 9).unwrap_err().to_string().contains("row 7 is inf")
        );
        assert!(Scores::new(vec![0.0, 1.0]).is_ok());
    }

    #[test]
    fn ranks_count_only_what_is_permitted_and_break_ties_by_row() {
        let scores = Scores::new(vec![0.5, 2.0, 0.5, 3.0]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| scores.rank(row, |_| true)), [2, 1, 3, 0]);
        assert_eq!(scores.rank(2, |row| row != 3), 2);
        assert!((scores.scaled(3) + scores.scaled(0) + scores.scaled(1) + scores.scaled(2)).abs() < 1e-9);
        assert_eq!(scores.of(99), 0.5);
    }

    /// A model of one shape over 500 videos.
    enum Shaped {
        Few(Vec<(u32, f32)>),
        Tower { items: Matrix, user: Vec<f32> },
    }

    const N: usize = 500;

    impl Recommender for Shaped {
        fn name(&self) -> &str {
            "shaped"
        }

        fn n_videos(&self) -> usize {
            N
        }

        fn score_all(&self, _: &History, _: &Context, scores: &mut [f32]) {
            match self {
                Self::Few(entries) => {
                    scores.fill(0.0);
                    entries.iter().for_each(|&(row, score)| scores[row as usize] = score);
                }
                Self::Tower { items, user } => {
                    scores.iter_mut().enumerate().for_each(|(row, score)| *score = dot(user, items.row(row)));
                }
            }
        }

        fn save(&self, _: &mut Writer<'_>) -> Form {
            unreachable!("a model of tests is never saved")
        }

        fn shape(&self) -> Shape<'_> {
            match self {
                Self::Few(_) => Shape::Sparse,
                Self::Tower { .. } => Shape::Inner(self),
            }
        }

        fn reached(&self, _: &History, _: &Context) -> Vec<(u32, f32)> {
            match self {
                Self::Few(entries) => entries.clone(),
                Self::Tower { .. } => Vec::new(),
            }
        }
    }

    impl Tower for Shaped {
        fn items(&self) -> &Matrix {
            match self {
                Self::Tower { items, .. } => items,
                Self::Few(_) => unreachable!("it has none"),
            }
        }

        fn user(&self, _: &History) -> Vec<f32> {
            match self {
                Self::Tower { user, .. } => user.clone(),
                Self::Few(_) => Vec::new(),
            }
        }
    }

    fn blend() -> Arc<dyn Recommender> {
        let mut random = Random::new(3);
        let few = (0..N as u32).step_by(7).map(|row| (row, random.normal())).collect();
        let items = Matrix::from_rows(N, 8, (0..8 * N).map(|_| random.normal() + 0.3).collect());
        let user = (0..8).map(|_| random.normal()).collect();
        let part = |weight, model: Shaped| Part { weight, deviation: 1.0, model: Arc::new(model) };
        let parts = vec![part(1.5, Shaped::Few(few)), part(0.7, Shaped::Tower { items, user })];
        Arc::new(Blend::new("blend", parts))
    }

    fn asked(all_max: usize, with_index: bool) -> Scores {
        let index_of = |model: &dyn Recommender| match model.shape() {
            Shape::Inner(tower) if with_index => {
                let flat = Flat::new(8, Metric::InnerProduct).unwrap();
                (0..N as u32).for_each(|row| flat.insert(row, tower.items().row(row as usize)).unwrap());
                Some(Arc::new(flat) as Arc<dyn Index>)
            }
            _ => None,
        };
        let models = Models::new(vec![blend()], all_max, &index_of);
        let make = |_: usize, make: &dyn Fn() -> Vec<f32>| make().into();
        models.get(0).unwrap().scores(&History::default(), &Context::default(), &make).unwrap()
    }

    #[test]
    fn what_is_asked_in_parts_is_what_is_asked_for_all() {
        let all = asked(N, false);
        for parts in [asked(0, false), asked(0, true)] {
            for row in 0..N as u32 {
                assert!(
                    (parts.of(row) - all.of(row)).abs() < 1e-3,
                    "row {row}: {} {}",
                    parts.of(row),
                    all.of(row)
                );
            }
            let mut allow = Allow::all(N);
            (0..N as u32).filter(|row| row % 5 == 1).for_each(|row| allow.refuse(row));
            let ids = |scores: &Scores, n| -> Vec<u32> {
                scores.top(n, &allow).unwrap().into_iter().map(|(row, _)| row).collect()
            };
            // Each part names its best 60; the best 20 of the sum are among them.
            assert_eq!(ids(&parts, 60)[..20], ids(&all, 60)[..20]);
            let best = ids(&all, 1)[0];
            assert_eq!(parts.rank(best, |row| allow.admits(row)), 0);
        }
    }

    #[test]
    fn what_is_ranked_once_has_the_top_of_what_is_scored_whole() {
        let mut random = Random::new(9);
        let values: Vec<f32> = (0..N).map(|_| random.below(40) as f32).collect();
        let (whole, ranked) = (Scores::new(values.clone()).unwrap(), Scores::ranked(values).unwrap());
        let mut allow = Allow::all(N);
        (0..N as u32).filter(|row| row % 3 == 0).for_each(|row| allow.refuse(row));
        for n in [0, 1, 20, N] {
            assert_eq!(ranked.top(n, &allow).unwrap(), whole.top(n, &allow).unwrap(), "{n}");
        }
        assert_eq!((ranked.of(7), ranked.scaled(7)), (whole.of(7), whole.scaled(7)));
    }

    #[test]
    fn an_index_answers_under_a_filter_of_few_rows_too() {
        let mut random = Random::new(5);
        let items = Matrix::from_rows(N, 8, (0..8 * N).map(|_| random.normal()).collect());
        let index = Quantised::build(&items, &Config::new(Metric::InnerProduct)).unwrap();
        let mut allow = Allow::none(N);
        [3, 77, 401].into_iter().for_each(|row| allow.permit(row));
        let found = nearest(&index, &[1.0; 8], 10, &allow).unwrap();
        let mut rows: Vec<u32> = found.iter().map(|&(row, _)| row).collect();
        rows.sort_unstable();
        assert_eq!(rows, [3, 77, 401]);
    }
}
