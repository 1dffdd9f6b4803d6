//! Centres of lists: k-means (Lloyd 1982) on a sample.

use rayon::prelude::*;
use upnext_math::dot::{dot, largest_difference};
use upnext_math::linalg::{Accumulate, Factor, Precision, View, ViewMut};
use upnext_math::seed::Random;

/// Rows that are compared with all centres at once: their products stay in the cache.
const AT_ONCE: usize = 128;

/// The nearest of the centres, for rows that a function writes. Products are rounded where the machine is faster then: a row
/// between two centres may go to either.
pub(super) fn nearest(
    n: usize,
    dim: usize,
    centres: &[f32],
    write: &(dyn Fn(usize, &mut [f32]) + Sync),
) -> Vec<u32> {
    let n_centres = centres.len() / dim;
    let halves: Vec<f32> = centres.chunks_exact(dim).map(|c| 0.5 * dot(c, c)).collect();
    let factor = Factor::new(View::new(centres, n_centres, dim, dim).t(), Precision::Bf16);
    let mut all = vec![0; n];
    all.par_chunks_mut(AT_ONCE).enumerate().for_each_init(
        || (vec![0.0; AT_ONCE * dim], vec![0.0; AT_ONCE * n_centres]),
        |(rows, products), (chunk, out)| {
            for (at, row) in rows.chunks_exact_mut(dim).take(out.len()).enumerate() {
                write(chunk * AT_ONCE + at, row);
            }
            let n_rows = out.len();
            let view = ViewMut::new(&mut products[..n_rows * n_centres], n_rows, n_centres, n_centres);
            factor.multiply(view, Accumulate::Replace, View::new(&rows[..n_rows * dim], n_rows, dim, dim));
            for (out, products) in out.iter_mut().zip(products.chunks_exact(n_centres)) {
                *out = largest_difference(products, &halves) as u32;
            }
        },
    );
    all
}

/// Centres of rows, `(n_centres, dim)`.
pub(super) fn centres(rows: &[f32], dim: usize, n_centres: usize, rounds: usize, seed: u64) -> Vec<f32> {
    let n = rows.len() / dim;
    let row = |at: usize| &rows[at * dim..][..dim];
    let mut random = Random::new(seed);
    // The first few of a shuffle.
    let mut order: Vec<u32> = (0..n as u32).collect();
    for at in 0..n_centres {
        let other = at + random.below(n - at);
        order.swap(at, other);
    }
    let mut centres: Vec<f32> = order[..n_centres].iter().flat_map(|&at| row(at as usize)).copied().collect();
    for _ in 0..rounds {
        let lists = by_list(&nearest(n, dim, &centres, &|at, out| out.copy_from_slice(row(at))), n_centres);
        centres.par_chunks_mut(dim).zip(&lists).for_each(|(centre, list)| {
            if list.is_empty() {
                return;
            }
            centre.fill(0.0);
            let weight = 1.0 / list.len() as f32;
            for &at in list {
                upnext_math::dot::add_scaled(centre, weight, row(at as usize));
            }
        });
        // A centre without rows takes one of the largest list, so that no list is empty for ever.
        let mut largest: Vec<usize> = (0..n_centres).collect();
        largest.sort_by_key(|&list| std::cmp::Reverse(lists[list].len()));
        let empty: Vec<usize> = (0..n_centres).filter(|&list| lists[list].is_empty()).collect();
        for (list, from) in empty.into_iter().zip(largest) {
            let drawn = lists[from][random.below(lists[from].len())];
            centres[list * dim..][..dim].copy_from_slice(row(drawn as usize));
        }
    }
    centres
}

/// The members of each list, ascending.
pub(super) fn by_list(list_of: &[u32], n_lists: usize) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); n_lists];
    for (at, &list) in list_of.iter().enumerate() {
        lists[list as usize].push(at as u32);
    }
    lists
}
