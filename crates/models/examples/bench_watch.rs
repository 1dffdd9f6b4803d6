//! The id regressor on generated pairs of KuaiRec's size, for `bench/epoch-id` and `bench/topn`. `epoch ROWS` trains one epoch,
//! and prints seconds and rows; `topn` trains on few rows, and times the top 50 of 3,327 videos for 1,411 users.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use upnext_data::{Actions, Interaction, Interactions, Judgement, Order};
use upnext_features::Table;
use upnext_math::seed::Random;
use upnext_math::top_k;
use upnext_models::train::{Step, Watch, Wish};
use upnext_models::zoo::{Kind, Objective, WatchSettings, Zoo};
use upnext_models::{Context, Facts, Settings, Training};

const FACTS: (usize, usize) = (23, 51);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["epoch", rows] => epoch(rows.parse()?),
        ["topn"] => topn(),
        _ => Err("expected `epoch ROWS` or `topn`".into()),
    }
}

/// So many pairs of users and videos, each pair at most once.
fn pairs(n_users: usize, n_videos: usize, n_rows: usize) -> Interactions {
    let mut random = Random::new(7);
    let share = n_rows as f32 / (n_users * n_videos) as f32;
    let users = (0..n_users).map(|user| {
        let mut rows = Vec::new();
        for video in 0..n_videos as u32 {
            if random.uniform() < share {
                let ratio = 0.5 + 0.1 * ((user % 7) as f32 + (video % 5) as f32) + 0.3 * random.normal();
                rows.push(Interaction {
                    video,
                    time: 0,
                    value: Some(ratio.max(0.0)),
                    judgement: Judgement::Neutral,
                    actions: Actions::default(),
                });
            }
        }
        rows
    });
    Interactions::from_users(n_videos, users.collect())
}

fn facts(n_users: usize, n_videos: usize) -> Facts {
    let mut random = Random::new(9);
    let mut table = |n: usize, columns: usize| {
        let values = (0..n * columns).map(|_| random.normal()).collect();
        Some(Table::from_values((0..columns).map(|at| format!("c{at}")).collect(), n, values, 0.0))
    };
    Facts { users: table(n_users, FACTS.0), videos: table(n_videos, FACTS.1), ..Facts::default() }
}

/// The shape of the design.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.watch_ids = WatchSettings {
        objective: Objective::Square,
        ids: 32,
        tower: vec![32],
        head: vec![32, 16],
        residual: false,
        statistics: false,
        variance: 0.0,
        ..settings.watch_ids
    };
    settings.watch_ids.learn.epochs_default = 1;
    settings
}

struct Clock(Mutex<Vec<Instant>>);

impl Watch for Clock {
    fn step(&self, step: &Step) -> Wish {
        if let Ok(mut seen) = self.0.lock()
            && (step.step == 1 || step.step == step.n_steps)
        {
            seen.push(Instant::now());
        }
        Wish::GoOn
    }
}

fn epoch(n_rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let interactions = pairs(7_176, 10_728, n_rows);
    let clock = Clock(Mutex::new(Vec::new()));
    let training = Training {
        facts: Some(Arc::new(facts(7_176, 10_728))),
        settings: Arc::new(settings()),
        watch: &clock,
        ..Training::of(&interactions, Order::Unordered, 1)
    };
    Zoo::new(training).fit(Kind::WatchIds, &[])?;
    let seen = clock.0.into_inner()?;
    let [first, last] = seen[..] else { return Err("expected more than one step".into()) };
    println!(
        "{}",
        serde_json::json!({ "seconds": (last - first).as_secs_f64(), "rows": interactions.len() })
    );
    Ok(())
}

fn topn() -> Result<(), Box<dyn std::error::Error>> {
    let interactions = pairs(1_411, 3_327, 100_000);
    let training = Training {
        facts: Some(Arc::new(facts(1_411, 3_327))),
        settings: Arc::new(settings()),
        ..Training::of(&interactions, Order::Unordered, 1)
    };
    let model = Zoo::new(training).fit(Kind::WatchIds, &[])?.model;
    let started = Instant::now();
    use rayon::prelude::*;
    let lists: Vec<Vec<u32>> = (0..1_411u32)
        .into_par_iter()
        .map_init(
            || vec![0.0; 3_327],
            |scores, user| {
                let context = Context { user: Some(user), ..Context::default() };
                model.score_all(&interactions.history(user), &context, scores);
                top_k(scores, 50)
            },
        )
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "seconds": seconds, "lists": lists.len(), "length": lists[0].len() }));
    Ok(())
}
