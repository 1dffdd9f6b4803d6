//! How long one viewer waits for an order of the whole catalogue: of a file of models as `upnext train` writes it, the first
//! of them. `cargo run --release -p upnext-models --example bench_ranker -- RUN/model.safetensors [QUESTIONS]`.

use std::time::Instant;

use upnext_data::History;
use upnext_math::seed::Random;
use upnext_models::{Context, checkpoint};

/// Wanted videos of each generated history.
const HISTORY: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file =
        arguments.next().ok_or("expected RUN/model.safetensors and, if not 200, a number of questions")?;
    let n_questions: usize = arguments.next().map_or(Ok(200), |n| n.parse())?;
    let models = checkpoint::load(&std::fs::read(file)?)?;
    let model = models.first().ok_or("the file holds no model")?;
    let n = model.n_videos();
    let mut random = Random::new(1);
    let mut scores = vec![0.0; n];
    let mut milliseconds: Vec<f64> = (0..n_questions.max(1))
        .map(|_| {
            let videos: Vec<u32> = (0..HISTORY).map(|_| random.below(n) as u32).collect();
            let history = History::of_positives(&videos);
            let started = Instant::now();
            model.score_all(&history, &Context::default(), &mut scores);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    milliseconds.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share) as usize];
    println!(
        "{}, {n} videos, histories of {HISTORY}: median {:.2} ms, 95th percentile {:.2} ms",
        model.name(),
        at(0.5),
        at(0.95)
    );
    Ok(())
}
