//! One small case through five libraries, and through ours: equal where the definition is the same; where it
//! is not, the test says why, and that the value differs.

// Nothing here is a user's data: a wrong file should panic.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use upnext_eval::{Case, Metric, Ranked};

const USERS: [&str; 4] = ["u1", "u2", "u3", "u4"];

/// A library, its name for a metric, and ours.
const SAME: &[(&str, &str, &str)] = &[
    ("ranx", "ndcg@5", "ndcg@5"),
    // 2^1 - 1 = 1: for binary relevance the exponential gain is the linear one.
    ("ranx", "ndcg_burges@5", "ndcg@5"),
    ("ranx", "map@5", "map@5"),
    ("ranx", "mrr@5", "mrr@5"),
    ("ranx", "precision@5", "precision@5"),
    ("ranx", "recall@5", "recall@5"),
    ("ranx", "hit_rate@5", "hr@5"),
    ("ranx", "f1@5", "f1@5"),
    ("ranx", "r-precision", "r_precision"),
    ("ir_measures(trec_eval)", "nDCG@5", "ndcg@5"),
    ("ir_measures(trec_eval)", "AP@5", "map@5"),
    ("ir_measures(trec_eval)", "RR@5", "mrr@5"),
    ("ir_measures(trec_eval)", "P@5", "precision@5"),
    ("ir_measures(trec_eval)", "R@5", "recall@5"),
    ("rectools", "ndcg@5 achievable", "ndcg@5"),
    ("rectools", "map@5", "map@5"),
    ("rectools", "mrr@5", "mrr@5"),
    ("rectools", "precision@5", "precision@5"),
    ("rectools", "recall@5", "recall@5"),
    ("rectools", "hit@5", "hr@5"),
    ("replay", "ndcg@5", "ndcg@5"),
    ("replay", "recall@5", "recall@5"),
    ("replay", "mrr@5", "mrr@5"),
    // RePlay and LensKit divide average precision by min(k, |R|), which has its own name here.
    ("replay", "map@5", "map_min_k@5"),
    ("lenskit", "ap", "map_min_k@5"),
    ("lenskit", "recip_rank", "mrr@5"),
    ("lenskit", "hit", "hr@5"),
    // Their precision divides by the length of the list, which is k here.
    ("lenskit", "precision", "precision@5"),
    // Their recall divides by min(k, |R|), which is the overlap with the true top k.
    ("lenskit", "recall", "overlap@5"),
    // Binary relevance: the graded variant is the plain one.
    ("ranx", "ndcg@5", "ndcg_graded@5"),
    ("ir_measures(trec_eval)", "nDCG@5", "ndcg_graded@5"),
    ("rectools", "ndcg@5 achievable", "ndcg_graded@5"),
    ("replay", "ndcg@5", "ndcg_graded@5"),
];

/// A library, its name for a metric, ours, the users for whom they differ, and why.
const DIFFERENT: &[(&str, &str, &str, &[&str], &str)] = &[
    (
        "rectools",
        "ndcg@5 default",
        "ndcg@5",
        &["u1", "u2"],
        "its ideal holds k relevant videos even where fewer exist; u3 has more than k, u4 no hit",
    ),
    (
        "rectools",
        "map@5 by_k",
        "map@5",
        &["u1", "u2", "u3"],
        "`divide_by_k` divides by k, ours by the number of relevant videos: 1, 3 and 12",
    ),
    (
        "rectools",
        "map@5 by_k",
        "map_min_k@5",
        &["u1", "u2"],
        "by k, not by min(k, |R|), which is k for u3 alone",
    ),
    (
        "lenskit",
        "ndcg",
        "ndcg@5",
        &["u1", "u2", "u3"],
        "its discount is max(log2(rank), 1): rank 2 counts as much as rank 1",
    ),
    ("lenskit", "recall", "recall@5", &["u3"], "it divides by min(k, |R|): 3 of 5 instead of 3 of 12"),
    ("lenskit", "ap", "map@5", &["u3"], "it divides by min(k, |R|)"),
    ("replay", "map@5", "map@5", &["u3"], "it divides by min(k, |R|)"),
];

fn golden() -> Value {
    serde_json::from_str(include_str!("metric_golden_cases.json")).unwrap()
}

/// The cases of the file, users in the order of their names; `i12` is video 12.
fn cases(golden: &Value) -> Vec<Case> {
    let videos = |part: &str, user: &str| -> Vec<u32> {
        let names = golden["inputs"][part][user].as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap()[1..].parse().unwrap()).collect()
    };
    let case = |(at, user): (usize, &&str)| {
        Case::from_list(at as u32, videos("lists_best_first", user), videos("relevant", user), 22)
    };
    USERS.iter().enumerate().map(case).collect()
}

fn theirs(golden: &Value, library: &str, metric: &str) -> Vec<f64> {
    USERS.iter().map(|user| golden[library][metric][user].as_f64().unwrap()).collect()
}

fn ours(cases: &[Case], metric: &str) -> Vec<f64> {
    metric.parse::<Ranked>().unwrap().measure(cases)
}

/// The users for whom two libraries differ.
fn differing(a: &[f64], b: &[f64]) -> Vec<&'static str> {
    (0..USERS.len()).filter(|&at| (a[at] - b[at]).abs() > 1e-12).map(|at| USERS[at]).collect()
}

#[test]
fn every_library_agrees_wherever_the_definition_is_the_same() {
    let golden = golden();
    let cases = cases(&golden);
    for (library, metric, name) in SAME {
        let (theirs, ours) = (theirs(&golden, library, metric), ours(&cases, name));
        assert_eq!(differing(&theirs, &ours), [""; 0], "{library} {metric} {theirs:?}, our {name} {ours:?}");
    }
}

#[test]
fn where_a_definition_differs_the_value_does_and_here_is_why() {
    let golden = golden();
    let cases = cases(&golden);
    for (library, metric, name, users, why) in DIFFERENT {
        let (theirs, ours) = (theirs(&golden, library, metric), ours(&cases, name));
        assert_eq!(differing(&theirs, &ours), *users, "{library} {metric}: {why}; {theirs:?}, ours {ours:?}");
    }
}

#[test]
fn the_ideal_of_the_retrieved_list_agrees_with_no_library() {
    let golden = golden();
    let own = ours(&cases(&golden), "ndcg_selfideal@5");
    // u3 finds 3 of 12 and is told 0.97 where the libraries say 0.70; u1 and u2 find all there is.
    assert!(own[2] > 0.96, "{own:?}");
    for (library, metric) in [("ranx", "ndcg@5"), ("rectools", "ndcg@5 achievable"), ("replay", "ndcg@5")] {
        assert_eq!(differing(&own, &theirs(&golden, library, metric)), ["u3"], "{library}");
    }
    assert_eq!(differing(&own, &theirs(&golden, "lenskit", "ndcg")), ["u1", "u2", "u3"]);
}

#[test]
fn every_answer_in_the_file_is_compared() {
    let golden = golden();
    let compared = |library: &str, metric: &str| {
        let same = SAME.iter().map(|&(library, metric, _)| (library, metric));
        let different = DIFFERENT.iter().map(|&(library, metric, ..)| (library, metric));
        same.chain(different).any(|pair| pair == (library, metric))
    };
    for (library, answers) in golden.as_object().unwrap().iter().filter(|(name, _)| *name != "inputs") {
        for metric in answers.as_object().unwrap().keys() {
            assert!(compared(library, metric), "{library} answers {metric}, which no test compares");
        }
    }
}
