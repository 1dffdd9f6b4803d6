//! Times EASE on an S3-Rec file (`user video video …` a line), for `bench/ease`.
//!
//! usage: `bench_ease FILE LAMBDA OUT`; prints seconds, then writes a few rows of the
//! weights as text, so that the peer's can be compared.

use std::fmt::Write as _;
use std::time::Instant;

use upnext_data::{History, Interaction, Interactions, Judgement, Order};
use upnext_models::zoo::{Choices, Kind, Zoo};
use upnext_models::{Context, Training};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, source, lambda, out] = &args[..] else {
        return Err("usage: bench_ease FILE LAMBDA OUT".into());
    };
    let sequences = read(source)?;
    let n_videos = sequences.iter().flatten().max().map_or(0, |&video| video as usize + 1);
    let pair = |video| Interaction {
        video,
        time: 0,
        value: None,
        judgement: Judgement::Positive,
        actions: upnext_data::Actions::default(),
    };
    let by_user = sequences.into_iter().map(|videos| videos.into_iter().map(pair).collect()).collect();
    let interactions = Interactions::from_users(n_videos, by_user);
    let training = Training::of(&interactions, Order::Sequence, 1);
    let choices = Choices::from([(Kind::Ease, vec![lambda.parse()?])]);
    let started = Instant::now();
    let model = Zoo::with_choices(training, choices).fit(Kind::Ease, &[])?.model;
    println!("{}", started.elapsed().as_secs_f64());
    let mut text = String::new();
    for row in (0..n_videos).step_by(n_videos.div_ceil(20)) {
        let mut scores = vec![0.0; n_videos];
        model.score_all(&History::of_positives(&[row as u32]), &Context::default(), &mut scores);
        write!(text, "{row}")?;
        scores.iter().try_for_each(|score| write!(text, " {score}"))?;
        text.push('\n');
    }
    std::fs::write(out, text)?;
    Ok(())
}

fn read(path: &str) -> Result<Vec<Vec<u32>>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path)?;
    text.lines()
        .map(|line| line.split_whitespace().skip(1).map(|id| Ok(id.parse::<u32>()? - 1)).collect())
        .collect()
}
