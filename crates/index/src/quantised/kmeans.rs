//! Centres of lists: k-means (Lloyd 1982) on a sample, first of groups, then within each, and last of all lists together.

use rayon::prelude::*;
use upnext_math::codes::ByteQuery;
use upnext_math::dot::{dot, largest_difference};
use upnext_math::linalg::{Accumulate, Factor, Precision, View, ViewMut};
use upnext_math::seed::Random;

use super::base::{Centres, Lists, Near};

/// Rows that are compared with all centres at once: their products stay in the cache.
const AT_ONCE: usize = 128;

/// Lists of a group, on average; below so many lists one group has them all.
const LISTS_A_GROUP: usize = 16;
const GROUPED_FROM: usize = 256;

/// Rounds over centres of one level, and over all lists together.
const ROUNDS: usize = 6;
const ROUNDS_TOGETHER: usize = 2;

/// Lists of rows, `(n, dim)`.
pub(super) fn lists(rows: &[f32], dim: usize, n_lists: usize, seed: u64) -> Lists {
    let n = rows.len() / dim;
    let row = |at: usize| &rows[at * dim..][..dim];
    let n_groups = if n_lists < GROUPED_FROM { 1 } else { n_lists / LISTS_A_GROUP };
    let groups = centres(rows, dim, n_groups, seed);
    let members = by_list(&nearest(n, dim, &groups, &|at, out| out.copy_from_slice(row(at))), n_groups);
    // Each group has its share of lists.
    let (mut starts, mut so_far) = (vec![0], 0);
    for members in &members {
        so_far += members.len();
        starts.push((so_far * n_lists / n) as u32);
    }
    let of_group = |(at, members): (usize, &Vec<u32>)| {
        let rows: Vec<f32> = members.iter().flat_map(|&at| row(at as usize)).copied().collect();
        match (starts[at + 1] - starts[at]) as usize {
            0 => Vec::new(),
            n => centres(&rows, dim, n, seed ^ (at as u64 + 1)),
        }
    };
    let all: Vec<Vec<f32>> = members.par_iter().enumerate().map(of_group).collect();
    // A group of too few rows for a list is none: whoever looks at a group finds lists.
    let with_lists = (0..n_groups).filter(|&at| starts[at] < starts[at + 1]);
    let groups = with_lists.flat_map(|at| groups[at * dim..][..dim].iter().copied()).collect();
    starts.dedup();
    let mut lists =
        Lists { lists: Centres::new(all.concat(), dim), groups: Centres::new(groups, dim), starts };
    for _ in 0..ROUNDS_TOGETHER {
        let members = by_list(&lists_of(n, dim, &lists, &|at, out| out.copy_from_slice(row(at))), n_lists);
        let mut values = std::mem::take(&mut lists.lists.values);
        values.par_chunks_mut(dim).zip(&members).for_each(|(centre, list)| mean(centre, list, &row));
        lists.lists = Centres::new(values, dim);
    }
    lists
}

/// The list of each of rows that a function writes.
pub(super) fn lists_of(
    n: usize,
    dim: usize,
    lists: &Lists,
    write: &(dyn Fn(usize, &mut [f32]) + Sync),
) -> Vec<u32> {
    let room = || (vec![0.0; dim], ByteQuery::default(), Near::default());
    let list_of = |(row, query, near): &mut (Vec<f32>, ByteQuery, Near), at: usize| {
        write(at, row);
        lists.list_of(row, query, near) as u32
    };
    (0..n).into_par_iter().map_init(room, list_of).collect()
}

/// Moves a centre to the mean of its rows, if it has some.
fn mean<'a>(centre: &mut [f32], rows: &[u32], row: &(dyn Fn(usize) -> &'a [f32] + Sync)) {
    if !rows.is_empty() {
        centre.fill(0.0);
        let weight = 1.0 / rows.len() as f32;
        rows.iter().for_each(|&at| upnext_math::dot::add_scaled(centre, weight, row(at as usize)));
    }
}

/// The nearest of the centres, for rows that a function writes. Products are rounded where the machine is faster then: a row
/// between two centres may go to either.
fn nearest(n: usize, dim: usize, centres: &[f32], write: &(dyn Fn(usize, &mut [f32]) + Sync)) -> Vec<u32> {
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
fn centres(rows: &[f32], dim: usize, n_centres: usize, seed: u64) -> Vec<f32> {
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
    for _ in 0..ROUNDS {
        let lists = by_list(&nearest(n, dim, &centres, &|at, out| out.copy_from_slice(row(at))), n_centres);
        centres.par_chunks_mut(dim).zip(&lists).for_each(|(centre, list)| mean(centre, list, &row));
        // A centre without rows takes one of the largest list, so that no list is empty for ever.
        let mut largest: Vec<usize> = (0..n_centres).filter(|&list| !lists[list].is_empty()).collect();
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
