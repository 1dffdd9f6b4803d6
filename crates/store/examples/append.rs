//! `append FILE|URL SECONDS`: how many events a second a store takes by [`upnext_store::Store::append`], in batches of 100 from 16 threads, each durable when
//! it returns. One JSON object. `bench/serve` runs it beside the same through HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use upnext_store::{Feedback, Sqlite, Store, StoreConfig, StoreError, StoreUrl, Write};

/// A file, or, with the feature `postgres`, a database.
fn open(place: &str) -> Result<Box<dyn Store>, StoreError> {
    let config = StoreConfig::default();
    match StoreUrl::of(place) {
        #[cfg(feature = "postgres")]
        Some(url) => Ok(Box::new(upnext_store::Postgres::open(url.secret(), config)?)),
        _ => Ok(Box::new(Sqlite::open(place, config)?)),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, seconds] = words.as_slice() else { return Err("expected FILE SECONDS".into()) };
    let seconds: f64 = seconds.parse()?;
    let (store, written) = (open(file)?, AtomicUsize::new(0));
    // Of a store that was written before, other events.
    let held = store.counts()?.feedback;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..16u64 {
            let (store, written) = (&store, &written);
            scope.spawn(move || {
                let mut at = (thread << 40) + held;
                while begin.elapsed().as_secs_f64() < seconds {
                    let batch: Vec<Feedback> = (0..100u64)
                        .map(|_| {
                            at += 1;
                            let spread = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                            Feedback {
                                kind: "watch".into(),
                                user: format!("u{}", spread >> 32 & 0x3_ffff),
                                video: format!("v{}", spread & 0xf_ffff),
                                value: 0.9,
                                time: at as i64,
                                labels: serde_json::Value::Null,
                                comment: String::new(),
                            }
                        })
                        .collect();
                    if store.append(&batch, Write::Overwrite).is_ok() {
                        written.fetch_add(100, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let rate = written.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "events_per_second": rate }));
    Ok(())
}
