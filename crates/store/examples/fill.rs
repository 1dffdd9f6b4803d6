//! `fill FILE USERS EVENTS VIDEOS`: a store of so many users with so many events each, for `bench/state`. Batches as large as a call may be, by
//! several threads, each through its own users; in the order of the trees, which is the fastest. One JSON object.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use upnext_store::{Feedback, Sqlite, Store, StoreConfig, StoreError, Write};

const THREADS: u64 = 4;
const DAY_MILLISECONDS: i64 = 86_400_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, users, events, videos] = words.as_slice() else {
        return Err("expected FILE USERS EVENTS VIDEOS".into());
    };
    let (users, events, videos): (u64, u64, u64) = (users.parse()?, events.parse()?, videos.parse()?);
    // Nobody asks meanwhile by video, so rows are sorted by video in a few large rounds.
    let config = StoreConfig { unsorted_rows_max: 10_000_000, ..StoreConfig::default() };
    let batch = config.batch_max as u64 / events.clamp(1, config.batch_max as u64);
    let store = Sqlite::open(file, config)?;
    let (begin, next) = (Instant::now(), AtomicU64::new(0));
    let write = || -> Result<(), StoreError> {
        loop {
            let from = next.fetch_add(batch, Ordering::Relaxed);
            if from >= users {
                return Ok(());
            }
            let of_user = |user: u64| (0..events).map(move |at| event(user, at, videos));
            let rows: Vec<Feedback> = (from..(from + batch).min(users)).flat_map(of_user).collect();
            while let Err(error) = store.append(&rows, Write::Overwrite) {
                match error {
                    StoreError::Busy { retry_milliseconds, .. } => {
                        std::thread::sleep(std::time::Duration::from_millis(retry_milliseconds));
                    }
                    error => return Err(error),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(write)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it returns its errors"))
    })?;
    let feedback = store.counts()?.feedback;
    drop(store);
    let seconds = begin.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(file)?.len();
    println!("{}", serde_json::json!({"feedback": feedback, "bytes": bytes, "seconds": seconds}));
    Ok(())
}

/// The `at`th event of a user: a video that few others saw in the same order, over a year.
fn event(user: u64, at: u64, videos: u64) -> Feedback {
    let spread = (user * 1_009 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Feedback {
        kind: "watch".into(),
        user: format!("u{user}"),
        video: format!("v{}", spread % videos),
        value: 0.9,
        time: 1_700_000_000_000 + (spread % 365) as i64 * DAY_MILLISECONDS + at as i64,
        labels: serde_json::Value::Null,
        comment: String::new(),
    }
}
