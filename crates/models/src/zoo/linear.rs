//! Models of the form *score = history times weights*: most counting models, ridge models and factor models.

use std::sync::Arc;

use rayon::prelude::*;
use upnext_data::History;
use upnext_math::dot::{PANEL, add_scaled, dot, panel_product};
use upnext_math::linalg::product_transposed_into;
use upnext_math::{Matrix, Sparse, Sum, keep_strongest};

use crate::checkpoint::{Form, Writer};
use crate::{Context, Recommender, Shape, Tower};

/// `score = h W`, where `h` holds `decay^age` for each of the newest `last` wanted videos (the newest has age
/// 0) and is not normalised.
#[derive(Clone, Debug)]
pub struct Linear {
    pub(crate) name: String,
    pub(crate) decay: f32,
    pub(crate) last: usize,
    pub(crate) weights: Weights,
}

/// The forms in which `W`, of shape `(videos, videos)`, is kept.
#[derive(Clone, Debug)]
pub(crate) enum Weights {
    /// Few entries.
    Sparse(Sparse),
    /// All entries, between the videos of `head`: rows sorted; others score 0.
    Dense { matrix: Matrix, head: Head },
    /// `left right'`, both `(videos, dimensions)`.
    Factors { left: Matrix, right: Matrix },
    /// `first second`: one step after the other; the second is kept by its columns, for batches.
    Chain { first: Sparse, second_by_column: Sparse },
    /// EASE for fewer users than videos: `W = diag(1/p) (X' Y - I) + I` without its diagonal, see
    /// [`super::ease`]; `x` is `(users, videos)`, `y` is `(videos, users)`, `p` scales columns.
    Dual { x: Sparse, y: Matrix, p: Vec<f32> },
}

/// The most active part of a catalogue, where a dense model ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    n_videos: usize,
    /// `None` when it is the whole catalogue.
    rows: Option<Vec<u32>>,
}

impl Head {
    /// Videos with at least `positives_min` positives, at most the `max` most popular of them.
    pub(crate) fn new(popularity: &[u32], positives_min: u32, max: usize) -> Self {
        let n_videos = popularity.len();
        let mut rows: Vec<u32> =
            (0..n_videos as u32).filter(|&row| popularity[row as usize] >= positives_min).collect();
        if rows.len() == n_videos && n_videos <= max {
            return Self::whole(n_videos);
        }
        rows.sort_by_key(|&row| (std::cmp::Reverse(popularity[row as usize]), row));
        rows.truncate(max);
        rows.sort_unstable();
        Self { n_videos, rows: Some(rows) }
    }

    /// The whole catalogue.
    pub(crate) fn whole(n_videos: usize) -> Self {
        Self { n_videos, rows: None }
    }

    /// Sorted rows of a catalogue, or `None`.
    pub(crate) fn of_rows(n_videos: usize, rows: Vec<u32>) -> Option<Self> {
        let sorted = rows.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = rows.last().is_none_or(|&last| (last as usize) < n_videos);
        (sorted && inside).then_some(Self { n_videos, rows: Some(rows) })
    }

    /// The rows, where they are not the whole catalogue.
    pub(crate) fn rows(&self) -> Option<&[u32]> {
        self.rows.as_deref()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.as_ref().map_or(self.n_videos, Vec::len)
    }

    /// Where a video stands in the head.
    pub(crate) fn position(&self, video: u32) -> Option<usize> {
        match &self.rows {
            None => ((video as usize) < self.n_videos).then_some(video as usize),
            Some(rows) => rows.binary_search(&video).ok(),
        }
    }

    /// The videos, in the order of positions.
    fn videos(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len()).map(|at| self.rows.as_ref().map_or(at as u32, |rows| rows[at]))
    }

    fn spread(&self, scores: &mut [f32], add: impl FnOnce(&mut [f32])) {
        match &self.rows {
            None => add(scores),
            Some(rows) => {
                let mut of_head = vec![0.0; rows.len()];
                add(&mut of_head);
                for (&row, score) in rows.iter().zip(of_head) {
                    scores[row as usize] += score;
                }
            }
        }
    }
}

/// The strongest entries of each of `n` rows, which a function makes with the help of a sum of `n` columns.
pub(crate) fn strongest_of_rows(
    n: usize,
    neighbours: usize,
    make: impl Fn(u32, &mut Sum) -> Vec<(u32, f32)> + Sync,
) -> Weights {
    let rows: Vec<Vec<(u32, f32)>> = (0..n as u32)
        .into_par_iter()
        .map_init(
            || Sum::new(n),
            |sum, from| {
                let mut entries = make(from, sum);
                entries.retain(|&(_, score)| score != 0.0);
                keep_strongest(&mut entries, neighbours);
                entries
            },
        )
        .collect();
    Weights::Sparse(Sparse::from_rows(n, rows))
}

impl Linear {
    fn query<'a>(&'a self, history: &'a History) -> impl Iterator<Item = (u32, f32)> + 'a {
        let n = self.n_videos();
        history
            .newest(self.last)
            .filter(move |&(_, video)| (video as usize) < n)
            .map(|(age, video)| (video, self.decay.powi(age as i32)))
    }

    fn entry(&self, from: u32, to: u32) -> f32 {
        match &self.weights {
            Weights::Sparse(weights) => weights.get(from as usize, to),
            Weights::Dense { matrix, head } => match (head.position(from), head.position(to)) {
                (Some(from), Some(to)) => matrix.row(from)[to],
                _ => 0.0,
            },
            Weights::Factors { left, right } => dot(left.row(from as usize), right.row(to as usize)),
            Weights::Chain { first, second_by_column } => {
                let (columns, values) = first.row(from as usize);
                let second = |middle| second_by_column.get(to as usize, middle);
                columns.iter().zip(values).map(|(&middle, value)| value * second(middle)).sum()
            }
            Weights::Dual { x, y, p } => {
                if from == to {
                    return 0.0;
                }
                let (users, values) = (y.row(to as usize), x);
                let transposed: f32 =
                    (0..values.n_rows()).map(|user| values.get(user, from) * users[user]).sum();
                transposed * p[to as usize]
            }
        }
    }
}

impl Recommender for Linear {
    fn name(&self) -> &str {
        &self.name
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        Form::Linear {
            name: self.name.clone(),
            decay: self.decay,
            last: self.last as u64,
            n_videos: self.n_videos(),
            weights: out.weights(&self.weights).into(),
        }
    }

    fn compact(&self, neighbours: usize) -> Option<Arc<dyn Recommender>> {
        let weights = match &self.weights {
            // Small as they are: a row for each video, as wide as there are dimensions or users.
            Weights::Factors { .. } | Weights::Dual { .. } => return None,
            Weights::Sparse(weights) => Weights::Sparse(weights.strongest(neighbours)),
            Weights::Chain { first, second_by_column } => {
                let second = second_by_column.transpose();
                strongest_of_rows(self.n_videos(), neighbours, |from, sum| {
                    let (columns, values) = first.row(from as usize);
                    let steps = columns.iter().zip(values);
                    steps.for_each(|(&middle, &value)| sum.add_row(&second, middle as usize, value));
                    sum.take(|_, value| Some(value))
                })
            }
            Weights::Dense { matrix, head } => strongest_of_rows(head.n_videos, neighbours, |from, _| {
                let Some(at) = head.position(from) else { return Vec::new() };
                head.videos().zip(matrix.row(at).iter().copied()).collect()
            }),
        };
        Some(Arc::new(Self { name: self.name.clone(), decay: self.decay, last: self.last, weights }))
    }

    fn n_videos(&self) -> usize {
        match &self.weights {
            Weights::Sparse(weights) => weights.n_columns(),
            Weights::Dense { head, .. } => head.n_videos,
            Weights::Factors { right, .. } => right.n_rows(),
            Weights::Chain { second_by_column, .. } => second_by_column.n_rows(),
            Weights::Dual { y, .. } => y.n_rows(),
        }
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        scores.fill(0.0);
        let query = self.query(history);
        match &self.weights {
            Weights::Sparse(weights) => {
                query.for_each(|(video, w)| weights.add_row_to(video as usize, w, scores))
            }
            Weights::Dense { matrix, head } => head.spread(scores, |scores| {
                query
                    .filter_map(|(video, w)| Some((head.position(video)?, w)))
                    .for_each(|(at, w)| add_scaled(scores, w, matrix.row(at)));
            }),
            Weights::Factors { right, .. } => {
                let user = self.user(history);
                for (score, row) in scores.iter_mut().zip(0..) {
                    *score = dot(&user, right.row(row));
                }
            }
            Weights::Chain { first, second_by_column } => {
                let mut middle = vec![0.0; first.n_columns()];
                query.for_each(|(video, w)| first.add_row_to(video as usize, w, &mut middle));
                for (video, score) in scores.iter_mut().enumerate() {
                    let (rows, values) = second_by_column.row(video);
                    *score = rows.iter().zip(values).map(|(&row, value)| middle[row as usize] * value).sum();
                }
            }
            Weights::Dual { x, y, p } => {
                let mut of_history = vec![0.0; y.n_rows()];
                query.for_each(|(video, w)| of_history[video as usize] += w);
                let users: Vec<f32> = (0..x.n_rows())
                    .map(|user| {
                        let (videos, values) = x.row(user);
                        videos.iter().zip(values).map(|(&v, value)| value * of_history[v as usize]).sum()
                    })
                    .collect();
                for (video, score) in scores.iter_mut().enumerate() {
                    // The diagonal of W is zero: what a video gives itself is taken out.
                    let own = of_history[video];
                    *score = p[video] * (dot(&users, y.row(video)) - own) + own;
                }
            }
        }
    }

    fn shape(&self) -> Shape<'_> {
        match &self.weights {
            Weights::Sparse(_) => Shape::Sparse,
            Weights::Factors { .. } => Shape::Inner(self),
            Weights::Dense { .. } | Weights::Chain { .. } | Weights::Dual { .. } => Shape::Dense,
        }
    }

    fn reached(&self, history: &History, _context: &Context) -> Vec<(u32, f32)> {
        match &self.weights {
            Weights::Sparse(weights) => weights.sum_of_rows(self.query(history)),
            _ => Vec::new(),
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        match &self.weights {
            Weights::Factors { left, right } => {
                let mut users = Matrix::zeros(questions.len(), left.n_columns());
                for (at, (history, _)) in questions.iter().enumerate() {
                    self.query(history)
                        .for_each(|(video, w)| add_scaled(users.row_mut(at), w, left.row(video as usize)));
                }
                product_transposed_into(&users, right, scores.values_mut());
            }
            Weights::Chain { first, second_by_column } => {
                // Panels of questions: each entry of the second step is read once for all of a panel.
                let mut middle = vec![0.0; first.n_columns()];
                for (start, questions) in (0..).step_by(PANEL).zip(questions.chunks(PANEL)) {
                    let mut panel = vec![[0.0; PANEL]; first.n_columns()];
                    for (lane, (history, _)) in questions.iter().enumerate() {
                        middle.fill(0.0);
                        self.query(history)
                            .for_each(|(video, w)| first.add_row_to(video as usize, w, &mut middle));
                        panel.iter_mut().zip(&middle).for_each(|(lanes, value)| lanes[lane] = *value);
                    }
                    for video in 0..second_by_column.n_rows() {
                        let (rows, values) = second_by_column.row(video);
                        let sums = panel_product(rows, values, &panel);
                        for (lane, sum) in sums.into_iter().enumerate().take(questions.len()) {
                            scores.row_mut(start + lane)[video] = sum;
                        }
                    }
                }
            }
            _ => {
                for (at, (history, context)) in questions.iter().enumerate() {
                    self.score_all(history, context, scores.row_mut(at));
                }
            }
        }
    }

    fn because(&self, history: &History, _context: &Context, row: u32) -> Vec<(u32, f32)> {
        let mut reasons: Vec<(u32, f32)> = self
            .query(history)
            .map(|(video, w)| (video, w * self.entry(video, row)))
            .filter(|&(_, share)| share > 0.0)
            .collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        reasons
    }
}

/// Only of factors, see [`Recommender::shape`].
impl Tower for Linear {
    fn items(&self) -> &Matrix {
        match &self.weights {
            Weights::Factors { right, .. } => right,
            _ => unreachable!("only factors call themselves a tower"),
        }
    }

    fn user(&self, history: &History) -> Vec<f32> {
        let Weights::Factors { left, .. } = &self.weights else { return Vec::new() };
        let mut user = vec![0.0; left.n_columns()];
        self.query(history).for_each(|(video, w)| add_scaled(&mut user, w, left.row(video as usize)));
        user
    }
}
