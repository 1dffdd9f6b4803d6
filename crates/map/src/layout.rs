//! A projection that keeps neighbours: each point is drawn to its neighbours and pushed away from others.
//!
//! The weight of an edge is UMAP's (McInnes, Healy & Melville 2018): `exp(-(d_ij - ρ_i) / σ_i)`, where `ρ_i` is the
//! distance to the nearest neighbour and `σ_i` makes the weights of a point add up to `log2(k)`; the two directions
//! are joined as `a + b - a b`. The forces are LargeVis' (Tang et al. 2016), those of the likelihood of an edge
//! `1 / (1 + d²)`: attraction along every edge, repulsion from a few points drawn at random. All points move at
//! once from where all stood before, so the result does not depend on the number of threads.

use rayon::prelude::*;
use upnext_math::Matrix;
use upnext_math::seed::Random;

/// Dimensions of the picture.
pub(crate) const DIMENSIONS: usize = 3;
/// Rounds in which all points move: between the 500 that UMAP takes for few points and its 200 for many.
const ROUNDS: usize = 400;
/// Points that push in a round, for each point.
const PUSHING: usize = 8;
/// How much stronger than the attraction of all its edges the mean push on a point is: UMAP's five for each edge.
const PUSH: f32 = 5.0;
/// The length of the first step, which falls to zero along a line.
const STEP: f32 = 0.4;
/// What stays of a point's last move.
const MOMENTUM: f32 = 0.7;
/// The largest part of a force along one axis, as UMAP clips it.
const FORCE_MAX: f32 = 4.0;

type Point = [f32; DIMENSIONS];

/// Where the points of a space stand, from where they begin: `(rows, 3)` both. `neighbours` are each row's, nearest
/// first.
pub(crate) fn layout(vectors: &Matrix, neighbours: &[Vec<u32>], start: &Matrix, seed: u64) -> Matrix {
    let edges = edges(vectors, neighbours);
    let n = edges.len();
    let mut points: Vec<Point> =
        (0..n).map(|row| start.row(row).try_into().expect("a start has three columns")).collect();
    let mut moves = vec![[0.0; DIMENSIONS]; n];
    for round in 0..ROUNDS {
        let step = STEP * (1.0 - round as f32 / ROUNDS as f32);
        let before = &points;
        moves.par_iter_mut().enumerate().for_each(|(at, moved)| {
            // Seeded by round and point, so that threads share nothing.
            let mut random = Random::new(seed ^ ((round * n + at) as u64));
            let force = force(at, before, &edges[at], &mut random);
            for axis in 0..DIMENSIONS {
                moved[axis] = MOMENTUM * moved[axis] + step * force[axis].clamp(-FORCE_MAX, FORCE_MAX);
            }
        });
        for (point, moved) in points.iter_mut().zip(&moves) {
            for axis in 0..DIMENSIONS {
                point[axis] += moved[axis];
            }
        }
    }
    Matrix::from_rows(n, DIMENSIONS, points.concat())
}

fn force(at: usize, points: &[Point], edges: &[(u32, f32)], random: &mut Random) -> Point {
    /// Keeps the push of two points in one place finite.
    const SOFT: f32 = 1e-3;
    let here = &points[at];
    let mut force = [0.0; DIMENSIONS];
    // Weights of a point's edges add up to one, so that a point of many edges does not leap.
    for &(other, weight) in edges {
        let (apart, squared) = apart(here, &points[other as usize]);
        let pull = 2.0 * weight / (1.0 + squared);
        (0..DIMENSIONS).for_each(|axis| force[axis] += pull * apart[axis]);
    }
    // A point that draws itself is nowhere apart, and not pushed.
    for _ in 0..PUSHING {
        let (apart, squared) = apart(here, &points[random.below(points.len())]);
        let push = 2.0 * PUSH / PUSHING as f32 / ((SOFT + squared) * (1.0 + squared));
        (0..DIMENSIONS).for_each(|axis| force[axis] -= push * apart[axis]);
    }
    force
}

/// From one point to another, and the square of its length.
fn apart(from: &Point, to: &Point) -> (Point, f32) {
    let apart: Point = std::array::from_fn(|axis| to[axis] - from[axis]);
    (apart, apart.iter().map(|x| x * x).sum())
}

/// The edges of each point with their weights, which add up to one.
fn edges(vectors: &Matrix, neighbours: &[Vec<u32>]) -> Vec<Vec<(u32, f32)>> {
    let directed: Vec<Vec<(u32, f32)>> =
        neighbours.par_iter().enumerate().map(|(at, near)| weights(vectors, at, near)).collect();
    let mut edges = directed.clone();
    for (at, near) in directed.iter().enumerate() {
        for (place, &(other, weight)) in near.iter().enumerate() {
            let back = directed[other as usize].iter().find(|(back, _)| *back as usize == at);
            let b = back.map_or(0.0, |(_, weight)| *weight);
            let joined = weight + b - weight * b;
            edges[at][place].1 = joined;
            if back.is_none() {
                edges[other as usize].push((at as u32, joined));
            }
        }
    }
    for edges in &mut edges {
        let sum: f32 = edges.iter().map(|(_, weight)| weight).sum();
        edges.iter_mut().for_each(|(_, weight)| *weight /= sum.max(f32::MIN_POSITIVE));
    }
    edges
}

fn weights(vectors: &Matrix, at: usize, near: &[u32]) -> Vec<(u32, f32)> {
    /// Halvings of the interval in which σ lies.
    const HALVINGS: usize = 40;
    let distance = |&other: &u32| {
        let (a, b) = (vectors.row(at), vectors.row(other as usize));
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    };
    let distances: Vec<f32> = near.iter().map(distance).collect();
    let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
    let weight = |distance: f32, sigma: f32| (-(distance - nearest) / sigma).exp();
    let target = (near.len() as f32).log2().max(1.0);
    let (mut low, mut high) = (1e-4f32, 1e2f32);
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        let sum: f32 = distances.iter().map(|&distance| weight(distance, middle)).sum();
        if sum < target { low = middle } else { high = middle }
    }
    near.iter().zip(&distances).map(|(&other, &distance)| (other, weight(distance, high))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nearest::nearest;

    /// Three clusters of twenty unit vectors around three axes of eight dimensions.
    fn clusters() -> Matrix {
        let mut random = Random::new(3);
        let mut values = Vec::new();
        for row in 0..60 {
            let mut vector = [0.0f32; 8];
            vector.iter_mut().for_each(|x| *x = 0.1 * random.normal());
            vector[row % 3] += 1.0;
            values.extend(vector);
        }
        Matrix::from_rows(60, 8, values)
    }

    fn drawn(seed: u64) -> Matrix {
        let vectors = clusters();
        let rows: Vec<u32> = (0..60).collect();
        let mut random = Random::new(7);
        let start = Matrix::from_rows(60, 3, (0..180).map(|_| random.normal()).collect());
        layout(&vectors, &nearest(&vectors, &rows, 8), &start, seed)
    }

    #[test]
    fn clusters_stand_apart_even_from_a_start_that_mixes_them() {
        let points = drawn(1);
        let rows: Vec<u32> = (0..60).collect();
        for (row, near) in nearest(&points, &rows, 5).into_iter().enumerate() {
            assert!(near.iter().all(|other| *other as usize % 3 == row % 3), "{row} stands beside {near:?}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_picture_on_any_number_of_threads() {
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        assert_eq!(drawn(1), alone.install(|| drawn(1)));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn weights_of_a_point_add_up_to_one_and_fall_with_distance() {
        let line = Matrix::from_rows(4, 1, vec![0.0, 1.0, 2.0, 4.0]);
        let edges = edges(&line, &nearest(&line, &[0, 1, 2, 3], 3));
        let of_first: Vec<f32> = edges[0].iter().map(|(_, weight)| *weight).collect();
        assert!((of_first.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(of_first[0] > of_first[1] && of_first[1] > of_first[2], "{of_first:?}");
    }

    #[test]
    fn points_in_one_place_and_a_point_alone_are_drawn_too() {
        let same = Matrix::zeros(4, 2);
        let points = layout(&same, &nearest(&same, &[0, 1, 2, 3], 2), &Matrix::zeros(4, 3), 1);
        assert!(points.values().iter().all(|x| x.is_finite()));
        assert_eq!(layout(&Matrix::zeros(1, 2), &[vec![]], &Matrix::zeros(1, 3), 1), Matrix::zeros(1, 3));
        assert_eq!(layout(&Matrix::zeros(0, 2), &[], &Matrix::zeros(0, 3), 1).n_rows(), 0);
    }
}
