//! Factorises `user video video …` lines by conjugate gradients, for `bench/ials`: prints seconds, and writes both sides.

use std::io::Write;
use std::time::Instant;

use upnext_math::{Matrix, Sparse};
use upnext_models::zoo::{WmfSettings, factorise};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, dimensions, rounds, confidence, regularisation, out] = &arguments[..] else {
        return Err("expected SOURCE DIMENSIONS ROUNDS CONFIDENCE REGULARISATION OUT".into());
    };
    let mut rows: Vec<Vec<(u32, f32)>> = Vec::new();
    let mut n_videos = 0;
    for line in std::fs::read_to_string(source)?.lines() {
        let videos: Result<Vec<u32>, _> = line.split_whitespace().skip(1).map(str::parse::<u32>).collect();
        let mut videos = videos?;
        videos.sort_unstable();
        videos.dedup();
        n_videos = videos.last().map_or(n_videos, |&last| n_videos.max(last as usize + 1));
        rows.push(videos.into_iter().map(|video| (video, 1.0)).collect());
    }
    let x = Sparse::from_rows(n_videos, rows);
    let settings = WmfSettings {
        dimensions: dimensions.parse()?,
        observed: confidence.parse()?,
        unobserved: 1.0,
        regularisation: regularisation.parse()?,
        exponent: 0.0,
        rounds: rounds.parse()?,
        ..WmfSettings::default()
    };
    let started = Instant::now();
    let (users, videos) = factorise(&x, &settings, false, 1);
    println!("{}", started.elapsed().as_secs_f64());
    let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
    for side in [&users, &videos] as [&Matrix; 2] {
        side.values().iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
    }
    file.flush()?;
    Ok(())
}
