//! Our side of `bench/eval`: reads lists, truths and scores, and answers one command a line.
//!
//! `bench_eval FILE [SCORES]`; commands on standard input: `lists` (from ready lists to six metrics), `scores`
//! (from scores to six metrics, selection of the top k included), `values PATH` (the value of every user and
//! metric, f64, a metric after another), `bootstrap` (intervals of six models over the same users), `quit`.
//! Each answers one line of JSON. `bench/eval` writes the files, runs the peer in between, and compares.

use std::io::{BufRead, Write};
use std::time::Instant;

use rayon::prelude::*;
use upnext_eval::metric::Kind;
use upnext_eval::{Bootstrap, Case, Ranked, Table, measure};
use upnext_math::top_k;

const KINDS: [Kind; 6] = [Kind::Hr, Kind::Recall, Kind::Precision, Kind::Mrr, Kind::Map, Kind::Ndcg];

struct Lists {
    k: usize,
    n_videos: usize,
    lists: Vec<u32>,
    starts: Vec<usize>,
    relevant: Vec<u32>,
}

/// The words of a file of little-endian 32-bit numbers.
fn words<T>(path: &str, from: fn([u8; 4]) -> T) -> std::io::Result<Vec<T>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks().0.iter().map(|&word| from(word)).collect())
}

impl Lists {
    /// Users, k, videos; the lists; how many are relevant to each user; which.
    fn read(path: &str) -> std::io::Result<Self> {
        let all = words(path, u32::from_le_bytes)?;
        let short = || std::io::Error::other(format!("{path} ends early; write it by bench/eval"));
        let [n, k, n_videos, ref rest @ ..] = all[..] else { return Err(short()) };
        let (n, k) = (n as usize, k as usize);
        let (lists, rest) = rest.split_at_checked(n * k).ok_or_else(short)?;
        let (counts, relevant) = rest.split_at_checked(n).ok_or_else(short)?;
        let mut starts = vec![0];
        for &count in counts {
            starts.push(starts[starts.len() - 1] + count as usize);
        }
        if starts[n] != relevant.len() {
            return Err(short());
        }
        Ok(Self {
            k,
            n_videos: n_videos as usize,
            lists: lists.to_vec(),
            starts,
            relevant: relevant.to_vec(),
        })
    }

    fn n(&self) -> usize {
        self.starts.len() - 1
    }

    fn relevant(&self, user: usize) -> Vec<u32> {
        self.relevant[self.starts[user]..self.starts[user + 1]].to_vec()
    }

    fn metrics(&self) -> Vec<Ranked> {
        Ranked::grid(&KINDS, &[self.k])
    }

    /// Everything from the ready lists on: finding the hits, then six metrics.
    fn measure(&self) -> Table {
        let case = |user: usize| {
            let list = self.lists[user * self.k..(user + 1) * self.k].to_vec();
            Case::from_list(user as u32, list, self.relevant(user), self.n_videos as u32)
        };
        let cases: Vec<Case> = (0..self.n()).into_par_iter().with_min_len(256).map(case).collect();
        measure(&self.metrics(), &cases)
    }

    /// From scores: selection of the top k and pessimistic ranks, then six metrics.
    fn measure_scores(&self, scores: &[f32]) -> Table {
        let case = |user: usize| {
            let scores = &scores[user * self.n_videos..(user + 1) * self.n_videos];
            let relevant = self.relevant(user);
            let rank = |&video: &u32| {
                let own = scores[video as usize];
                scores.iter().filter(|&&other| other >= own).count() as u32 - 1
            };
            let ranks = relevant.iter().map(rank).collect();
            let list = top_k(scores, self.k);
            Case { user: user as u32, list, relevant, gains: None, ranks, n_candidates: self.n_videos as u32 }
        };
        let cases: Vec<Case> = (0..self.n()).into_par_iter().with_min_len(64).map(case).collect();
        measure(&self.metrics(), &cases)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: bench_eval FILE [SCORES]")?;
    let scores_path = arguments.next();
    let lists = Lists::read(&path)?;
    let mut scores: Vec<f32> = Vec::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let start;
        let table;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("quit", _) => break,
            ("lists", _) => {
                start = Instant::now();
                table = lists.measure();
            }
            ("scores", _) => {
                if scores.is_empty() {
                    scores =
                        words(scores_path.as_deref().ok_or("no scores were given")?, f32::from_le_bytes)?;
                }
                start = Instant::now();
                table = lists.measure_scores(&scores);
            }
            ("values", to) => {
                start = Instant::now();
                table = lists.measure();
                let bytes: Vec<u8> = table
                    .columns()
                    .flat_map(|(_, column)| column.iter().flat_map(|v| v.to_le_bytes()))
                    .collect();
                std::fs::write(to, bytes)?;
            }
            ("bootstrap", _) => {
                table = lists.measure();
                let columns: Vec<&[f64]> = table.columns().map(|(_, column)| column).collect();
                let six_models: Vec<&[f64]> =
                    columns.iter().copied().cycle().take(6 * columns.len()).collect();
                start = Instant::now();
                std::hint::black_box(Bootstrap::default().intervals(&six_models, 1)?);
            }
            (other, _) => {
                return Err(format!("command `{other}`; expected lists, scores, values or quit").into());
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let means: serde_json::Map<String, serde_json::Value> =
            table.names().iter().map(|name| (name.clone(), table.mean(name).into())).collect();
        let threads = rayon::current_num_threads();
        writeln!(out, "{}", serde_json::json!({"seconds": seconds, "means": means, "threads": threads}))?;
        out.flush()?;
    }
    Ok(())
}
