//! How long one viewer's scores of every video take by a model of a run, alone and in a batch: `bench_blend MODEL.safetensors [ROUNDS]`.
//! The histories are made up by a seed, of 1 to 50 videos; the last line is one JSON object.

use std::error::Error;
use std::time::Instant;

use upnext_data::History;
use upnext_math::seed::Random;
use upnext_models::{Context, checkpoint};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("bench_blend MODEL.safetensors [ROUNDS]")?;
    let rounds: usize = arguments.get(1).map_or(Ok(2_000), |n| n.parse())?;
    let models = checkpoint::load(&std::fs::read(file)?)?;
    let mut told = serde_json::Map::new();
    for model in &models {
        let mut random = Random::new(1);
        let n = model.n_videos();
        let mut times = Vec::with_capacity(rounds);
        let mut scores = vec![0.0; n];
        for _ in 0..rounds {
            let videos: Vec<u32> = (0..1 + random.below(50)).map(|_| random.below(n) as u32).collect();
            let history = History::of_positives(&videos);
            let begun = Instant::now();
            model.score_all(&history, &Context::default(), &mut scores);
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let of = serde_json::json!({ "videos": n, "p50_ms": at(0.5), "p99_ms": at(0.99) });
        told.insert(model.name().into(), of);
    }
    println!("{}", serde_json::json!({ "bench": "blend", "rounds": rounds, "models": told }));
    Ok(())
}
