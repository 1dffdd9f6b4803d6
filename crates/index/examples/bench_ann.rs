//! What `bench/ann` asks: builds an index of vectors, then answers commands, a line each, with a line of JSON each.
//!
//! `bench_ann VECTORS QUERIES DIM METRIC` reads files of 32-bit numbers; commands are in `answer`.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;
use upnext_index::{Allow, Bitmap, Config, Effort, Hit, Index, Metric, Quantised};
use upnext_math::Matrix;

fn numbers<T>(path: &str, of: impl Fn([u8; 4]) -> T) -> Vec<T> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    bytes.as_chunks::<4>().0.iter().map(|&bytes| of(bytes)).collect()
}

fn matrix(path: &str, dim: usize) -> Matrix {
    let values = numbers(path, f32::from_le_bytes);
    Matrix::from_rows(values.len() / dim, dim, values)
}

/// What the system has counted: of this thread from `schedstat`, of all threads from `stat`.
fn cpu_seconds(path: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if path.ends_with("schedstat") {
        return text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0) / 1e9;
    }
    // Fields 14 and 15, counted behind the name, in hundredths of a second.
    let behind = text.rsplit(')').next().unwrap_or_default();
    behind.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}

struct Bench {
    index: Quantised,
    queries: Matrix,
    filters: HashMap<String, Bitmap>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let dim: usize = arguments[3].parse().expect("a length of vectors");
    let metric = match arguments[4].as_str() {
        "l2" => Metric::L2,
        "cosine" => Metric::Cosine,
        _ => Metric::InnerProduct,
    };
    let vectors = matrix(&arguments[1], dim);
    let (begun, cpu) = (Instant::now(), cpu_seconds("/proc/self/stat"));
    let index = Quantised::build(&vectors, &Config::new(metric)).expect("vectors of the bench can be taken");
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds("/proc/self/stat") - cpu);
    let resident = (index.resident_bytes() - 4 * vectors.values().len()) as f64 / vectors.n_rows() as f64;
    drop(vectors);
    println!(
        "{}",
        json!({"build_seconds": seconds, "build_cpu_seconds": cpu, "lists": index.n_lists(), "bits": index.bits().count(), "bytes_a_row": resident})
    );
    let mut bench = Bench { index, queries: matrix(&arguments[2], dim), filters: HashMap::new() };
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        println!("{}", bench.answer(&line.split_whitespace().collect::<Vec<_>>()));
        std::io::stdout().flush().expect("somebody listens");
    }
}

impl Bench {
    fn answer(&mut self, words: &[&str]) -> serde_json::Value {
        match *words {
            ["tune", recall] => {
                let begun = Instant::now();
                self.index.tune(recall.parse().expect("a recall")).expect("a recall within bounds");
                json!({"seconds": begun.elapsed().as_secs_f64()})
            }
            ["effort", k] => {
                let k: usize = k.parse().expect("k");
                let effort = self.index.effort(k);
                json!({"lists": effort.lists, "times": effort.rescored as f64 / k as f64})
            }
            ["filter", name, path] => {
                let set: Bitmap = numbers(path, u32::from_le_bytes).into_iter().collect();
                self.filters.insert(name.into(), set);
                json!({})
            }
            ["search", k, threads, filter, lists, times, out] => {
                let k: usize = k.parse().expect("k");
                let effort = lists.parse().ok().map(|lists| {
                    let times: f32 = times.parse().expect("times of k");
                    Effort { lists, rescored: (times * k as f32).ceil() as usize }
                });
                let cpu = cpu_seconds("/proc/thread-self/schedstat");
                let (seconds, hits) = self.search(k, threads.parse().expect("threads"), filter, effort);
                let cpu = cpu_seconds("/proc/thread-self/schedstat") - cpu;
                if out != "-" {
                    let rows = hits.iter().flat_map(|hits| {
                        (0..k).flat_map(|at| hits.get(at).map_or(u32::MAX, |hit| hit.row).to_le_bytes())
                    });
                    std::fs::write(out, rows.collect::<Vec<u8>>()).expect("room for hits");
                }
                let a_query = 1e6 / self.queries.n_rows() as f64;
                json!({"us": seconds * a_query, "cpu_us": cpu * a_query})
            }
            ["batch", k] => {
                let k: usize = k.parse().expect("k");
                let begun = Instant::now();
                let hits =
                    self.index.search_many(&self.queries, k, Allow::All).expect("queries of the bench");
                json!({"us": 1e6 * begun.elapsed().as_secs_f64() / hits.len() as f64})
            }
            ["churn", share, k, vectors] => self.churn(share.parse().expect("a share"), k, vectors),
            _ => json!({"error": words}),
        }
    }

    fn search(&self, k: usize, threads: usize, filter: &str, effort: Option<Effort>) -> (f64, Vec<Vec<Hit>>) {
        let allow = self.filters.get(filter).map_or(Allow::All, Allow::Bitmap);
        let n = self.queries.n_rows();
        let one = |at: usize| match effort {
            Some(effort) => self.index.search_with(self.queries.row(at), k, allow, effort),
            None => self.index.search(self.queries.row(at), k, allow),
        };
        let part = |from: usize| {
            (from..n)
                .step_by(threads)
                .map(|at| (at, one(at).expect("queries of the bench")))
                .collect::<Vec<_>>()
        };
        let begun = Instant::now();
        let mut all: Vec<(usize, Vec<Hit>)> = match threads {
            1 => part(0),
            _ => std::thread::scope(|scope| {
                let spawned: Vec<_> = (0..threads).map(|from| scope.spawn(move || part(from))).collect();
                spawned.into_iter().flat_map(|thread| thread.join().expect("a search")).collect()
            }),
        };
        let seconds = begun.elapsed().as_secs_f64();
        all.sort_by_key(|(at, _)| *at);
        (seconds, all.into_iter().map(|(_, hits)| hits).collect())
    }

    /// Removes a share of all rows and brings them back, one after another, while another thread searches.
    fn churn(&self, share: f64, k: &str, vectors: &str) -> serde_json::Value {
        let k: usize = k.parse().expect("k");
        let vectors = matrix(vectors, self.index.dim());
        let n = (vectors.n_rows() as f64 * share) as usize;
        let every = vectors.n_rows() / n.max(1);
        let done = AtomicBool::new(false);
        let before = self.search(k, 1, "-", None).0;
        let (seconds, (searches, searching)) = std::thread::scope(|scope| {
            let searcher = scope.spawn(|| {
                let (mut rounds, begun) = (0, Instant::now());
                while !done.load(Ordering::Relaxed) {
                    self.search(k, 1, "-", None);
                    rounds += 1;
                }
                (rounds * self.queries.n_rows(), begun.elapsed().as_secs_f64())
            });
            let begun = Instant::now();
            for at in 0..n {
                let row = (at * every) as u32;
                assert!(self.index.remove(row), "row {row} is there");
                self.index.insert(row, vectors.row(row as usize)).expect("the same vector again");
            }
            let seconds = begun.elapsed().as_secs_f64();
            done.store(true, Ordering::Relaxed);
            (seconds, searcher.join().expect("searches"))
        });
        let after = self.search(k, 1, "-", None).0;
        let begun = Instant::now();
        self.index.fold();
        let folding = begun.elapsed().as_secs_f64();
        let folded = self.search(k, 1, "-", None).0;
        let per_query = |seconds: f64| 1e6 * seconds / self.queries.n_rows() as f64;
        json!({
            "changes": 2 * n, "us_a_change": 1e6 * seconds / (2 * n) as f64,
            "us_before": per_query(before), "us_while": 1e6 * searching / searches as f64,
            "us_after": per_query(after), "fold_seconds": folding, "us_folded": per_query(folded),
        })
    }
}
