//! What every index promises. An index joins by one line of [`contract!`]; [`Flat`] is the judge.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;
use upnext_math::Matrix;
use upnext_math::seed::Random;

use crate::{Allow, Bitmap, Bits, Config, Effort, Flat, Hit, Index, IndexError, Metric, Quantised, ROWS_MAX};

/// One module of tests for an index; `$make` gets a length of vectors and a metric. One that needs a program is asked first whether that
/// is there.
macro_rules! contract {
    ($name:ident, $make:expr) => {
        contract!($name, $make, true);
    };
    ($name:ident, $make:expr, $is_there:expr) => {
        mod $name {
            use super::*;

            macro_rules! promise {
                ($test:ident) => {
                    #[test]
                    fn $test() {
                        if $is_there {
                            super::$test(&|dim, metric| Box::new($make(dim, metric)));
                        }
                    }
                };
            }

            promise!(the_nearest_come_first_and_equal_ones_by_row);
            promise!(each_metric_means_what_it_says);
            promise!(a_change_is_seen_by_the_next_search);
            promise!(what_cannot_be_taken_is_named_and_changes_nothing);
            promise!(a_filter_of_any_form_gives_the_same_full_answer);
            promise!(many_queries_are_answered_as_one_by_one);
            promise!(a_row_that_was_removed_never_returns_while_others_write);
        }
    };
}

contract!(flat, |dim, metric| Flat::new(dim, metric).unwrap());
contract!(quantised, |dim, metric| Quantised::new(dim, &Config::new(metric)).unwrap());
contract!(quantised_2_bits, |dim, metric| {
    let config = Config { bits: Some(Bits::Two), ..Config::new(metric) };
    Quantised::new(dim, &config).unwrap()
});
// Many lists without rows, around centres of another kind of rows.
contract!(quantised_lists_of_rows_that_went, |dim, metric| {
    let mut random = Random::new(4);
    let values = (0..300 * dim).map(|_| 5.0 + random.normal()).collect();
    let config = Config { lists: Some(70), ..Config::new(metric) };
    let index = Quantised::build(&Matrix::from_rows(300, dim, values), &config).unwrap();
    (0..300).for_each(|row| assert!(index.remove(row)));
    index
});

#[cfg(feature = "postgres")]
use crate::postgres::tests as remote;
#[cfg(feature = "postgres")]
contract!(postgres, remote::empty, remote::is_there());

type Make<'a> = &'a dyn Fn(usize, Metric) -> Box<dyn Index>;

fn rows_of(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.row).collect()
}

fn the_nearest_come_first_and_equal_ones_by_row(make: Make) {
    let index = make(2, Metric::L2);
    assert!(index.is_empty());
    assert_eq!(index.search(&[0.0, 0.0], 5, Allow::All).unwrap(), []);
    for (row, vector) in [(9, [1.0, 0.0]), (4, [0.0, 1.0]), (5, [3.0, 0.0]), (70, [0.0, 0.0])] {
        index.insert(row, &vector).unwrap();
    }
    let hits = index.search(&[0.0, 0.0], 3, Allow::All).unwrap();
    let expected = [(70, 0.0), (4, -1.0), (9, -1.0)].map(|(row, score): (u32, f32)| (row, score));
    assert_eq!(hits.iter().map(|hit| (hit.row, hit.score + 0.0)).collect::<Vec<_>>(), expected);
    assert_eq!(rows_of(&index.search(&[3.0, 0.0], 99, Allow::All).unwrap()), [5, 9, 70, 4]);
    assert_eq!(index.search(&[0.0, 0.0], 0, Allow::All).unwrap(), []);
}

fn each_metric_means_what_it_says(make: Make) {
    let score = |metric: Metric, query: [f32; 2], vector: [f32; 2]| {
        let index = make(2, metric);
        index.insert(0, &vector).unwrap();
        index.search(&query, 1, Allow::All).unwrap()[0].score
    };
    assert_eq!(score(Metric::InnerProduct, [2.0, 1.0], [3.0, -4.0]), 2.0);
    assert_eq!(score(Metric::L2, [2.0, 1.0], [3.0, -4.0]), -26.0);
    assert!((score(Metric::Cosine, [0.0, 5.0], [3.0, -4.0]) + 0.8).abs() < 1e-6);
    assert!((score(Metric::Cosine, [0.0, 5e-15], [0.0, 5e14]) - 1.0).abs() < 1e-6);
    assert_eq!(score(Metric::Cosine, [0.0, 0.0], [3.0, -4.0]), 0.0);
    assert_eq!(score(Metric::Cosine, [3.0, -4.0], [0.0, 0.0]), 0.0);
}

fn a_change_is_seen_by_the_next_search(make: Make) {
    let index = make(2, Metric::L2);
    for row in 0..40 {
        index.insert(row, &[row as f32, 0.0]).unwrap();
    }
    assert_eq!(rows_of(&index.search(&[7.2, 0.0], 2, Allow::All).unwrap()), [7, 8]);
    assert!(index.remove(7) && !index.remove(7) && !index.remove(999));
    assert_eq!((index.len(), index.contains(7), index.contains(8)), (39, false, true));
    assert_eq!(rows_of(&index.search(&[7.2, 0.0], 2, Allow::All).unwrap()), [8, 6]);
    index.update(39, &[7.0, 0.0]).unwrap();
    assert_eq!(rows_of(&index.search(&[7.2, 0.0], 2, Allow::All).unwrap()), [39, 8]);
    assert_eq!(rows_of(&index.search(&[39.0, 0.0], 1, Allow::All).unwrap()), [38]);
    index.insert(7, &[38.9, 0.0]).unwrap();
    assert_eq!(rows_of(&index.search(&[39.0, 0.0], 1, Allow::All).unwrap()), [7]);
    assert_eq!(index.len(), 40);
}

fn what_cannot_be_taken_is_named_and_changes_nothing(make: Make) {
    let index = make(2, Metric::Cosine);
    index.insert(1, &[1.0, 0.0]).unwrap();
    let said = |result: Result<(), IndexError>| result.unwrap_err().to_string();
    assert_eq!(said(index.insert(1, &[0.0, 1.0])), "row 1 is there already: use update to change its vector");
    assert_eq!(said(index.update(2, &[0.0, 1.0])), "row 2 is not there: use insert to add it");
    assert!(said(index.insert(ROWS_MAX, &[0.0, 1.0])).starts_with("row 67108864 is too large"));
    assert!(said(index.insert(2, &[0.0])).starts_with("the vector of row 2 has 1 numbers"));
    assert!(said(index.update(1, &[0.0, f32::NAN])).starts_with("number 1 of the vector of row 1 is NaN"));
    assert!(
        said(index.insert(2, &[f32::INFINITY, 0.0])).starts_with("number 0 of the vector of row 2 is inf")
    );
    assert!(said(index.insert(2, &[2e15, 0.0])).contains("leave this vector out"));
    let error = index.search(&[1.0; 3], 1, Allow::All).unwrap_err().to_string();
    assert!(error.starts_with("the query has 3 numbers, but vectors of this index have 2"), "{error}");
    assert!(index.search(&[f32::NAN, 0.0], 1, Allow::All).is_err());
    assert_eq!((index.len(), rows_of(&index.search(&[1.0, 0.0], 9, Allow::All).unwrap())), (1, vec![1]));
}

fn filled(make: Make, n: u32, dim: usize, seed: u64) -> Box<dyn Index> {
    let index = make(dim, Metric::L2);
    let mut random = Random::new(seed);
    for row in 0..n {
        let vector: Vec<f32> = (0..dim).map(|_| random.normal()).collect();
        index.insert(row, &vector).unwrap();
    }
    index
}

fn a_filter_of_any_form_gives_the_same_full_answer(make: Make) {
    let index = filled(make, 600, 4, 1);
    let query = [0.3, -0.1, 0.7, 0.0];
    for every in [1, 2, 40] {
        let rows: Vec<u32> = (0..600).rev().filter(|row| row % every == 0).chain([5_000, 0]).collect();
        let set: Bitmap = rows.iter().copied().collect();
        let is_allowed = |row: u32| set.contains(row);
        for k in [1, 10, 15] {
            let by_set = index.search(&query, k, Allow::Bitmap(&set)).unwrap();
            assert_eq!(by_set.len(), k, "as many as are asked for: every {every}th is allowed");
            assert!(by_set.iter().all(|hit| hit.row % every == 0));
            assert_eq!(index.search(&query, k, Allow::Rows(&rows)).unwrap(), by_set);
            let by_predicate = index.search(&query, k, Allow::Predicate(&is_allowed)).unwrap();
            assert_eq!((by_predicate.len(), by_predicate[0]), (k, by_set[0]));
        }
    }
    assert_eq!(index.search(&query, 3, Allow::Rows(&[])).unwrap(), []);
    assert_eq!(index.search(&query, 3, Allow::Predicate(&|_| false)).unwrap(), []);
    assert_eq!(rows_of(&index.search(&query, 3, Allow::Rows(&[9, 9, 8_000])).unwrap()), [9]);
    // Who asks the index within a filter is answered too.
    let recursive = |row: u32| row > 3 && index.search(&query, 1, Allow::All).is_ok();
    assert_eq!(index.search(&query, 2, Allow::Predicate(&recursive)).unwrap().len(), 2);
}

fn many_queries_are_answered_as_one_by_one(make: Make) {
    let index = filled(make, 300, 3, 2);
    let mut random = Random::new(3);
    let queries = Matrix::from_rows(20, 3, (0..60).map(|_| random.normal()).collect());
    let set: Bitmap = (0..300).filter(|row| row % 3 == 1).collect();
    let answers = index.search_many(&queries, 5, Allow::Bitmap(&set)).unwrap();
    assert_eq!(answers.len(), 20);
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer, &index.search(queries.row(at), 5, Allow::Bitmap(&set)).unwrap());
    }
    assert!(index.search_many(&Matrix::zeros(1, 2), 5, Allow::All).is_err());
    assert_eq!(index.search_many(&Matrix::zeros(0, 3), 5, Allow::All).unwrap().len(), 0);
}

fn a_row_that_was_removed_never_returns_while_others_write(make: Make) {
    const STAY: u32 = 50;
    let index = make(2, Metric::L2);
    for row in 0..STAY {
        index.insert(row, &[row as f32, 1.0]).unwrap();
    }
    // Rows from STAY on come and go for ever; those from 10,000 on come once, in order, and go once, in order.
    let (gone, over) = (AtomicU32::new(10_000), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for row in 10_000..10_400 {
                index.insert(row, &[(row % 50) as f32, 1.5]).unwrap();
                index.update(row, &[(row % 50) as f32, 1.25]).unwrap();
                if row >= 10_020 {
                    assert!(index.remove(row - 20));
                    gone.store(row - 19, Ordering::SeqCst);
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                (STAY..STAY + 20).for_each(|row| index.insert(row, &[row as f32, -1.0]).unwrap());
                (STAY..STAY + 20).for_each(|row| assert!(index.remove(row)));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut at = 0;
                while !over.load(Ordering::SeqCst) {
                    at = (at + 7) % STAY;
                    let first = gone.load(Ordering::SeqCst);
                    let hits = index.search(&[at as f32, 1.0], 60, Allow::All).unwrap();
                    assert_eq!(hits[0], Hit { row: at, score: hits[0].score });
                    assert!(hits.len() >= STAY as usize && hits[0].score.abs() < 1e-6);
                    let rows: BTreeSet<u32> = hits.iter().map(|hit| hit.row).collect();
                    assert_eq!(rows.len(), hits.len(), "a row twice");
                    assert!(rows.range(10_000..first).next().is_none(), "a row that was removed");
                    for hit in hits.iter().filter(|hit| hit.row >= 10_000) {
                        // Of its first vector, or of its second: never half of either.
                        let apart = ((hit.row % 50) as f32 - at as f32).powi(2);
                        let scores = [-apart - 0.25, -apart - 0.0625];
                        assert!(scores.iter().any(|score| (score - hit.score).abs() < 1e-3), "{hit:?}");
                    }
                }
            });
        }
    });
    let left: Vec<u32> = rows_of(&index.search(&[0.0, 0.0], 1_000, Allow::All).unwrap());
    assert_eq!(left.iter().filter(|&&row| row >= 10_000).count(), 20);
    assert_eq!((index.len(), left.len()), (70, 70));
}

/// A random change.
#[derive(Clone, Debug)]
enum Change {
    Insert(u32, Vec<i8>),
    Update(u32, Vec<i8>),
    Remove(u32),
    Fold,
}

const DIM: usize = 5;

fn a_change() -> impl Strategy<Value = Change> {
    // Few rows and few numbers, so that rows meet and scores tie.
    let row = || 0..60u32;
    let vector = || prop::collection::vec(-3..4i8, DIM);
    prop_oneof![
        6 => (row(), vector()).prop_map(|(row, vector)| Change::Insert(row, vector)),
        2 => (row(), vector()).prop_map(|(row, vector)| Change::Update(row, vector)),
        3 => row().prop_map(Change::Remove),
        1 => Just(Change::Fold),
    ]
}

fn of(vector: &[i8]) -> Vec<f32> {
    vector.iter().map(|&x| f32::from(x)).collect()
}

fn apply(index: &dyn Index, change: &Change) -> String {
    match change {
        Change::Insert(row, vector) => {
            format!("{:?}", index.insert(*row, &of(vector)).map_err(|e| e.to_string()))
        }
        Change::Update(row, vector) => {
            format!("{:?}", index.update(*row, &of(vector)).map_err(|e| e.to_string()))
        }
        Change::Remove(row) => index.remove(*row).to_string(),
        Change::Fold => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_sequence_of_changes_searched_in_full_equals_flat(
        first in prop::collection::vec(prop::collection::vec(-3..4i8, DIM), 0..50),
        changes in prop::collection::vec(a_change(), 0..80),
        queries in prop::collection::vec((prop::collection::vec(-3..4i8, DIM), 1..70usize, 1..5u32), 1..4),
        (metric, bits, lists) in (0..3usize, any::<bool>(), 1..6usize),
    ) {
        let metric = [Metric::InnerProduct, Metric::Cosine, Metric::L2][metric];
        let bits = Some(if bits { Bits::Two } else { Bits::Four });
        let config = Config { bits, lists: Some(lists), tuning_queries: 3, ..Config::new(metric) };
        let flat = Flat::new(DIM, metric).unwrap();
        let vectors: Vec<f32> = first.iter().flat_map(|vector| of(vector)).collect();
        let quantised = Quantised::build(&Matrix::from_rows(first.len(), DIM, vectors), &config).unwrap();
        for (row, vector) in (0..).zip(&first) {
            flat.insert(row, &of(vector)).unwrap();
        }
        for change in &changes {
            prop_assert_eq!(apply(&flat, change), apply(&quantised, change), "{:?}", change);
            if let Change::Fold = change {
                quantised.fold();
            }
        }
        prop_assert_eq!(flat.len(), quantised.len());
        for (query, k, every) in &queries {
            let set: Bitmap = (0..60).filter(|row| row % every == 0).collect();
            let is_allowed = |row: u32| set.contains(row);
            for allow in [Allow::All, Allow::Bitmap(&set), Allow::Predicate(&is_allowed)] {
                let expected = flat.search(&of(query), *k, allow).unwrap();
                let full = quantised.search_with(&of(query), *k, allow, Effort::full()).unwrap();
                prop_assert_eq!(&full, &expected, "{:?}", allow);
                // With its own effort it may miss some, but not answer with fewer, nor with another score.
                let hits = quantised.search(&of(query), *k, allow).unwrap();
                prop_assert_eq!(hits.len(), expected.len());
            }
        }
    }
}

/// Rows around a few hundred centres, as embeddings are.
fn clustered(n: usize, dim: usize, seed: u64) -> Matrix {
    let mut random = Random::new(seed);
    let centres: Vec<f32> = (0..200 * dim).map(|_| random.normal()).collect();
    let mut values = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let centre = random.below(200);
        values.extend((0..dim).map(|at| centres[centre * dim + at] + 0.7 * random.normal()));
    }
    Matrix::from_rows(n, dim, values)
}

#[test]
fn the_stated_recall_is_reached_on_queries_of_the_same_kind_with_and_without_filters() {
    let (n, dim, k) = (6_000, 32, 10);
    let all = clustered(n + 100, dim, 7);
    let vectors = Matrix::from_rows(n, dim, all.values()[..n * dim].to_vec());
    for metric in [Metric::InnerProduct, Metric::Cosine, Metric::L2] {
        for bits in [Bits::Two, Bits::Four] {
            let index =
                Quantised::build(&vectors, &Config { bits: Some(bits), ..Config::new(metric) }).unwrap();
            let flat = Flat::new(dim, metric).unwrap();
            (0..n).for_each(|row| flat.insert(row as u32, vectors.row(row)).unwrap());
            let far: Bitmap = {
                // The half that is far from the first query: a filter that has to do with what is asked.
                let order = flat.search(all.row(n), n, Allow::All).unwrap();
                order[n / 2..].iter().map(|hit| hit.row).collect()
            };
            let even: Bitmap = (0..n as u32).filter(|row| row % 2 == 0).collect();
            for allow in [Allow::All, Allow::Bitmap(&even), Allow::Bitmap(&far)] {
                let mut n_found = 0;
                for at in n..n + 100 {
                    let truth = rows_of(&flat.search(all.row(at), k, allow).unwrap());
                    let hits = index.search(all.row(at), k, allow).unwrap();
                    assert_eq!(hits.len(), k);
                    n_found += hits.iter().filter(|hit| truth.contains(&hit.row)).count();
                }
                let full = index.search_with(all.row(n), k, allow, Effort::full()).unwrap();
                assert_eq!(
                    full,
                    flat.search(all.row(n), k, allow).unwrap(),
                    "{metric:?}, {bits:?}, {allow:?}"
                );
                let recall = n_found as f64 / (100 * k) as f64;
                assert!(recall > 0.92, "{metric:?}, {bits:?}, {allow:?}: {recall}");
            }
        }
    }
}

#[test]
fn copies_of_a_row_do_not_make_every_search_look_further() {
    let (n, dim) = (4_000, 16);
    let mut values = clustered(n, dim, 11).values().to_vec();
    let copied = values[..dim].to_vec();
    values[..400 * dim].chunks_exact_mut(dim).for_each(|row| row.copy_from_slice(&copied));
    let index = Quantised::build(&Matrix::from_rows(n, dim, values), &Config::new(Metric::L2)).unwrap();
    let effort = index.effort(10);
    assert!(2 * effort.lists < index.n_lists(), "{effort:?} of {} lists", index.n_lists());
    // Which of them are found is all the same, but there are as many as were asked for, with however little effort.
    let nothing = Effort { lists: 0, rescored: 0 };
    assert_eq!(index.search_with(&copied, 500, Allow::All, nothing).unwrap().len(), 500);
}

#[test]
fn a_fold_loses_nothing_that_changes_meanwhile() {
    let vectors = clustered(3_000, 16, 9);
    let index = Quantised::build(&vectors, &Config { tuning_queries: 0, ..Config::new(Metric::L2) }).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for row in 0..1_500u32 {
                assert!(index.remove(row));
                index.insert(10_000 + row, vectors.row(row as usize)).unwrap();
            }
            over.store(true, Ordering::SeqCst);
        });
        while !over.load(Ordering::SeqCst) {
            index.fold();
            assert!((2_999..=3_000).contains(&index.len()));
        }
    });
    index.fold();
    assert_eq!(index.len(), 3_000);
    let rows: BTreeSet<u32> =
        rows_of(&index.search(vectors.row(0), 3_000, Allow::All).unwrap()).into_iter().collect();
    assert_eq!(rows, (1_500..3_000).chain(10_000..11_500).collect());
    assert!(!index.should_fold());
}

#[test]
fn rows_of_which_nearly_all_are_alike_are_indexed_and_found() {
    // As factors of videos that nobody has seen: zeros, and a few that are something.
    let (n, dim) = (6_000u32, 8);
    let mut random = Random::new(4);
    let value =
        |row: u32, random: &mut Random| if row.is_multiple_of(100) { 10.0 * random.normal() } else { 0.0 };
    let values =
        (0..n).flat_map(|row| (0..dim).map(|_| value(row, &mut random)).collect::<Vec<f32>>()).collect();
    let vectors = Matrix::from_rows(n as usize, dim, values);
    let config = Config { lists: Some(512), ..Config::new(Metric::InnerProduct) };
    let index = Quantised::build(&vectors, &config).unwrap();
    for row in [0, 700, 5_900] {
        let hits = index.search_with(vectors.row(row), 3, Allow::All, Effort::full()).unwrap();
        let product = |at: usize| upnext_math::dot::dot(vectors.row(row), vectors.row(at));
        let best = (0..n as usize).map(product).fold(f32::MIN, f32::max);
        assert_eq!(hits[0].score, best, "row {row}");
        index.update(row as u32, vectors.row(0)).unwrap();
    }
}

#[test]
fn settings_out_of_bounds_and_rows_that_stand_twice_are_named() {
    let said = |config: Config| Quantised::new(2, &config).unwrap_err().to_string();
    let config = Config::new(Metric::L2);
    assert_eq!(said(Config { recall: 1.0, ..config.clone() }), "recall is 1; expected 0.5 to 0.999");
    assert!(said(Config { lists: Some(0), ..config.clone() }).starts_with("lists is Some(0)"));
    assert!(said(Config { tuning_queries: 20_000, ..config.clone() }).starts_with("tuning_queries is 20000"));
    assert!(Flat::new(0, Metric::L2).unwrap_err().to_string().starts_with("the length of a vector is 0"));
    let two = Matrix::zeros(2, 2);
    let said = |rows: &[u32]| Quantised::build_rows(rows, &two, &config).unwrap_err().to_string();
    assert!(said(&[1]).starts_with("1 row numbers were given for 2 vectors"));
    assert!(said(&[7, 7]).starts_with("row 7 is there already"));
    assert!(said(&[7, u32::MAX]).starts_with("row 4294967295 is too large"));
}
