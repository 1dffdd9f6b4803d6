//! Trains a network on made-up histories, for `bench/step-full`, `bench/step-sampled` and `bench/step-tower`. `prepare KIND
//! FOLDER` writes what the peer reads; `KIND EPOCHS f32|bf16` trains, and prints milliseconds and losses of all steps as JSON.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use upnext_data::{Actions, Interaction, Interactions, Judgement, Order};
use upnext_features::Table;
use upnext_math::Matrix;
use upnext_math::linalg::Precision;
use upnext_math::seed::Random;
use upnext_models::train::{Loop, Step, Watch, Wish};
use upnext_models::zoo::{Kind, SasrecSettings, TwoTowerSettings, Zoo};
use upnext_models::{Facts, Modality, Settings, Training};

const HISTORIES: usize = 2_048;
const LENGTH: usize = 50;
const BATCH: usize = 128;
const EMBEDDING: usize = 1_792;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare", kind, folder] => prepare(kind, Path::new(folder)),
        [kind, epochs, "f32"] => train(kind, epochs.parse()?, Precision::F32),
        [kind, epochs, "bf16"] => train(kind, epochs.parse()?, Precision::Bf16),
        _ => {
            Err("expected `prepare KIND FOLDER` or `KIND EPOCHS f32|bf16`; KIND is full, sampled or tower"
                .into())
        }
    }
}

fn n_videos(kind: &str) -> usize {
    if kind == "sampled" { 100_000 } else { 3_500 }
}

/// Walks through the catalogue with a taste of their own, now and then with a leap.
fn histories(kind: &str) -> Vec<Vec<u32>> {
    let (n, mut random) = (n_videos(kind), Random::new(7));
    let walk = |_| {
        let (mut at, stride) = (random.below(n), 1 + random.below(5));
        let mut step = || {
            at = if random.below(10) == 0 { random.below(n) } else { (at + stride + random.below(3)) % n };
            at as u32
        };
        (0..=LENGTH).map(|_| step()).collect()
    };
    (0..HISTORIES).map(walk).collect()
}

/// Embeddings near those of the neighbours in the catalogue, and two numbers beside them.
fn features(kind: &str) -> (Matrix, Table) {
    let (n, mut random) = (n_videos(kind), Random::new(9));
    let mut embeddings = Matrix::zeros(n, EMBEDDING);
    for video in 0..n {
        for at in 0..EMBEDDING {
            let wave = (video as f32 * (1 + at % 64) as f32 * 0.01 + at as f32).sin();
            embeddings.row_mut(video)[at] = 0.05 * (wave + 0.3 * random.normal());
        }
    }
    let names = vec!["length".to_string(), "fans".to_string()];
    let numbers = (0..2 * n).map(|_| random.normal()).collect();
    (embeddings, Table::from_values(names, n, numbers, 0.0))
}

fn prepare(kind: &str, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let write = |name: &str, bytes: Vec<u8>| std::fs::File::create(folder.join(name))?.write_all(&bytes);
    write("histories.u32", histories(kind).iter().flatten().flat_map(|x| x.to_le_bytes()).collect())?;
    if kind == "tower" {
        let (embeddings, numbers) = features(kind);
        let rows = (0..n_videos(kind)).flat_map(|video| {
            embeddings.row(video).iter().chain(numbers.matrix.row(video)).copied().collect::<Vec<f32>>()
        });
        write("features.f32", rows.flat_map(f32::to_le_bytes).collect())?;
    }
    Ok(())
}

/// When each step ended, and the loss so far.
struct Clock(Mutex<Vec<(Instant, usize, f64)>>);

impl Watch for Clock {
    fn step(&self, step: &Step) -> Wish {
        if let Ok(mut seen) = self.0.lock() {
            seen.push((Instant::now(), step.step, step.loss));
        }
        Wish::GoOn
    }
}

fn train(kind: &str, epochs: u32, precision: Precision) -> Result<(), Box<dyn std::error::Error>> {
    let row = |at: usize, video: u32| Interaction {
        video,
        time: 0,
        value: None,
        // Of a tower the last place alone is asked.
        judgement: if kind != "tower" || at == LENGTH { Judgement::Positive } else { Judgement::Neutral },
        actions: Actions::default(),
    };
    let users = histories(kind)
        .into_iter()
        .map(|history| history.into_iter().enumerate().map(|(at, video)| row(at, video)).collect());
    let interactions = Interactions::from_users(n_videos(kind), users.collect());
    let learn =
        Loop { precision, batch: BATCH, epochs_default: epochs, clip: 0.0, beta2: 0.999, ..Loop::default() };
    let settings = Settings {
        sasrec: SasrecSettings {
            dropout: 0.1,
            negatives: if kind == "sampled" { 512 } else { 0 },
            learn: learn.clone(),
            ..SasrecSettings::default()
        },
        two_tower: TwoTowerSettings {
            dimension: 512,
            n_heads: 8,
            item_layers: vec![512, 256],
            dropout: 0.1,
            ids: false,
            id_dropout: 0.0,
            temperature: 0.1,
            log_q: false,
            negatives: 0,
            places: 0,
            learn: Loop { rate: 1e-4, ..learn },
            ..TwoTowerSettings::default()
        },
        ..Settings::default()
    };
    let facts = (kind == "tower").then(|| {
        let (matrix, table) = features(kind);
        let present = vec![true; matrix.n_rows()];
        Arc::new(Facts {
            videos: Some(table),
            vectors: vec![Modality { name: "drawn".into(), matrix, present }],
            ..Facts::default()
        })
    });
    let clock = Clock(Mutex::new(Vec::new()));
    let training = Training {
        facts,
        settings: Arc::new(settings),
        watch: &clock,
        ..Training::of(&interactions, Order::Sequence, 1)
    };
    let kind = if kind == "tower" { Kind::TwoTower } else { Kind::Sasrec };
    Zoo::new(training).fit(kind, &[])?;
    let seen = clock.0.into_inner()?;
    // The first step of an epoch has its preparation in it, and is not counted.
    let pairs = || seen.windows(2).filter(|pair| pair[1].1 > 1);
    let milliseconds: Vec<f64> = pairs().map(|pair| (pair[1].0 - pair[0].0).as_secs_f64() * 1e3).collect();
    let losses: Vec<f64> =
        pairs().map(|pair| pair[1].2 * pair[1].1 as f64 - pair[0].2 * pair[0].1 as f64).collect();
    println!("{}", serde_json::json!({ "milliseconds": milliseconds, "losses": losses }));
    Ok(())
}
