//! Loads a service at a fixed rate and says how long answers took, from the moment each was due: an answer that had to wait for others
//! is as late as its user felt it. One JSON object a phase on standard output. `bench/serve` runs it.
//!
//! `load HOST:PORT PID USERS VIDEOS RATE SECONDS` mixes 80 % slates of 20 and 20 % events, users by Zipf's law, or all alike with `uniform=RATE`; `load HOST:PORT PID USERS VIDEOS events SECONDS`
//! sends batches of 100 events as fast as they are answered; `… effect SECONDS` and `… insert SECONDS` measure how soon an event changes
//! an answer and how soon a video that came in is shown; `… reads SECONDS` only reads what is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use upnext_math::seed::Random;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// One connection that is kept.
struct Client {
    address: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: &str) -> Self {
        Self { address: address.into(), stream: None, buffer: Vec::new() }
    }

    /// Asks, and gives the status and the body.
    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String), Failed> {
        let answer = self.ask_once(method, path, body).await;
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn ask_once(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String), Failed> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().ok_or("no connection")?;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{kind}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await?;
        self.buffer.clear();
        let (end, length) = loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the service closed the connection".into());
            }
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                break (end + 4, length.ok_or("an answer without a length")?.trim().parse::<usize>()?);
            }
        };
        while self.buffer.len() < end + length {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the service closed the connection".into());
            }
        }
        let status = std::str::from_utf8(&self.buffer[9..12])?.parse()?;
        Ok((status, String::from_utf8_lossy(&self.buffer[end..]).into_owned()))
    }
}

/// Who is there, how likely each asks, and what there is.
struct World {
    users: usize,
    videos: usize,
    /// Of Zipf's law with exponent 1, summed up; empty where all users are alike.
    zipf: Vec<f64>,
}

impl World {
    /// Users by Zipf's law; without `zipf` each is as likely as any other.
    fn new(users: usize, videos: usize, zipf: bool) -> Self {
        let ranks = if zipf { users } else { 0 };
        let mut zipf: Vec<f64> = (1..=ranks).map(|rank| 1.0 / rank as f64).collect();
        let mut sum = 0.0;
        zipf.iter_mut().for_each(|share| {
            sum += *share;
            *share = sum;
        });
        Self { users, videos, zipf }
    }

    fn user(&self, random: &mut Random) -> usize {
        if self.zipf.is_empty() {
            return random.below(self.users);
        }
        let point = f64::from(random.uniform()) * self.zipf.last().copied().unwrap_or(1.0);
        // Ranks are spread over the ids, so that the busiest are not the first of the log.
        let rank = self.zipf.partition_point(|&sum| sum < point).min(self.users - 1);
        (rank * 7_919 + 13) % self.users
    }

    fn video(&self, random: &mut Random) -> usize {
        random.below(self.videos)
    }

    fn event(&self, random: &mut Random, action: &str, video: usize) -> String {
        format!(
            r#"{{"user":"u{}","video":"v{video}","action":"{action}","value":0.9,"time":{}}}"#,
            self.user(random),
            now()
        )
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

/// Milliseconds of answers by kind.
#[derive(Default)]
struct Times {
    slates: Vec<f64>,
    events: Vec<f64>,
    errors: usize,
    with_failures: usize,
    first_error: Option<String>,
}

fn summary(mut times: Vec<f64>) -> serde_json::Value {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).copied()
    };
    serde_json::json!({
        "n": times.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": times.last(),
    })
}

fn resident_mib(pid: &str) -> Option<serde_json::Value> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1_024.0)
    };
    Some(
        serde_json::json!({ "resident": of("VmRSS:"), "anonymous": of("RssAnon:"), "mapped": of("RssFile:"), "most": of("VmHWM:") }),
    )
}

struct Job {
    due: Instant,
    is_event: bool,
    seed: u64,
}

/// Requests at a fixed rate, whatever the answers do.
async fn mixed(address: &str, world: &Arc<World>, rate: f64, seconds: f64) -> Times {
    const CONNECTIONS: usize = 128;
    let (give, jobs) = unbounded_channel::<Job>();
    let jobs: Arc<Mutex<UnboundedReceiver<Job>>> = Arc::new(Mutex::new(jobs));
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (jobs, world, mut client) = (Arc::clone(&jobs), Arc::clone(world), Client::new(address));
            tokio::spawn(async move {
                let mut times = Times::default();
                while let Some(job) = { jobs.lock().await.recv().await } {
                    let mut random = Random::new(job.seed);
                    let answer = if job.is_event {
                        let video = world.video(&mut random);
                        let body = format!("[{}]", world.event(&mut random, "watch", video));
                        client.ask("POST", "/api/v2/events", &body).await
                    } else {
                        let path = format!("/api/v2/recommend/u{}?n=20", world.user(&mut random));
                        client.ask("GET", &path, "").await
                    };
                    let took = job.due.elapsed().as_secs_f64() * 1e3;
                    match answer {
                        Ok((200, body)) => {
                            // A slate whose sources were late or failed went out all the same; it is counted.
                            times.with_failures +=
                                usize::from(!job.is_event && !body.contains(r#""failures":[]"#));
                            if job.is_event { &mut times.events } else { &mut times.slates }.push(took);
                        }
                        other => {
                            times.errors += 1;
                            times.first_error.get_or_insert(format!("{other:?}").chars().take(300).collect());
                        }
                    }
                }
                times
            })
        })
        .collect();
    let begin = Instant::now();
    let mut random = Random::new(rate.to_bits());
    for at in 0..(rate * seconds) as u64 {
        let due = begin + Duration::from_secs_f64(at as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let _ = give.send(Job { due, is_event: random.uniform() < 0.2, seed: random.next_u64() });
    }
    drop(give);
    let mut all = Times::default();
    for worker in workers {
        if let Ok(times) = worker.await {
            all.slates.extend(times.slates);
            all.events.extend(times.events);
            all.errors += times.errors;
            all.with_failures += times.with_failures;
            all.first_error = all.first_error.or(times.first_error);
        }
    }
    all
}

/// Batches of 100 events, on a few connections, each sent when the one before was answered.
async fn batches(address: &str, world: &Arc<World>, seconds: f64) -> serde_json::Value {
    let sent = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let workers: Vec<_> = (0..16u64)
        .map(|at| {
            let (world, sent, mut client) = (Arc::clone(world), Arc::clone(&sent), Client::new(address));
            tokio::spawn(async move {
                let (mut random, mut times, mut errors) = (Random::new(0x5eed + at), Vec::new(), 0);
                while begin.elapsed().as_secs_f64() < seconds {
                    let events: Vec<String> = (0..100)
                        .map(|_| {
                            let video = world.video(&mut random);
                            world.event(&mut random, "watch", video)
                        })
                        .collect();
                    let since = Instant::now();
                    match client.ask("POST", "/api/v2/events", &format!("[{}]", events.join(","))).await {
                        Ok((200, _)) => {
                            sent.fetch_add(100, Ordering::Relaxed);
                            times.push(since.elapsed().as_secs_f64() * 1e3);
                        }
                        _ => errors += 1,
                    }
                }
                (times, errors)
            })
        })
        .collect();
    let (mut times, mut errors) = (Vec::new(), 0usize);
    for worker in workers {
        if let Ok((of_worker, failed)) = worker.await {
            times.extend(of_worker);
            errors += failed;
        }
    }
    let rate = sent.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
    serde_json::json!({ "events_per_second": rate, "batches": summary(times), "errors": errors })
}

/// From sending a like of the first video of a slate to the end of the answer that follows, in which it must not be any more.
async fn effect(address: &str, world: &Arc<World>, seconds: f64) -> Result<serde_json::Value, Failed> {
    let (mut client, mut random, begin) = (Client::new(address), Random::new(77), Instant::now());
    let (mut times, mut taken, mut unchanged) = (Vec::new(), Vec::new(), 0);
    while begin.elapsed().as_secs_f64() < seconds {
        let user = world.user(&mut random);
        let path = format!("/api/v2/recommend/u{user}?n=20");
        let ids = |body: &str| -> Result<Vec<String>, Failed> {
            let answer: serde_json::Value = serde_json::from_str(body)?;
            let items = answer["items"].as_array().ok_or("no items")?;
            Ok(items.iter().filter_map(|item| Some(item["id"].as_str()?.to_string())).collect())
        };
        let before = ids(&client.ask("GET", &path, "").await?.1)?;
        let Some(first) = before.first() else { continue };
        let body = format!(r#"[{{"user":"u{user}","video":"{first}","action":"like","time":{}}}]"#, now());
        let since = Instant::now();
        client.ask("POST", "/api/v2/events", &body).await?;
        taken.push(since.elapsed().as_secs_f64() * 1e3);
        let after = client.ask("GET", &path, "").await?.1;
        times.push(since.elapsed().as_secs_f64() * 1e3);
        let after = ids(&after)?;
        unchanged += usize::from(after.contains(first) || after == before);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(
        serde_json::json!({ "event_to_answer": summary(times), "event_alone": summary(taken), "unchanged": unchanged }),
    )
}

/// From sending a new video to the first slate, of those asked for in turn, in which it stands.
async fn insert(address: &str, world: &Arc<World>, seconds: f64) -> Result<serde_json::Value, Failed> {
    let (mut client, mut random, begin) = (Client::new(address), Random::new(99), Instant::now());
    let (mut times, mut never, mut at) = (Vec::new(), 0, 0);
    while begin.elapsed().as_secs_f64() < seconds {
        let id = format!("new-{}-{at}", now());
        at += 1;
        let body = format!(
            r#"{{"ItemId":"{id}","IsHidden":false,"Categories":["first day {id}"],"Timestamp":"{}","Labels":{{}},"Comment":"A new video"}}"#,
            now()
        );
        let since = Instant::now();
        client.ask("POST", "/api/item", &body).await?;
        let category = format!("first%20day%20{id}");
        loop {
            let path = format!("/api/v2/recommend/u{}?n=20&category={category}", world.user(&mut random));
            if client.ask("GET", &path, "").await?.1.contains(&format!(r#""id":"{id}""#)) {
                times.push(since.elapsed().as_secs_f64() * 1e3);
                break;
            }
            if since.elapsed() > Duration::from_secs(5) {
                never += 1;
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(serde_json::json!({ "insert_to_shown": summary(times), "never": never }))
}

/// What is only read: a user of the store.
async fn reads(address: &str, world: &Arc<World>, seconds: f64) -> Result<serde_json::Value, Failed> {
    let (mut client, mut random, begin, mut times) =
        (Client::new(address), Random::new(5), Instant::now(), Vec::new());
    while begin.elapsed().as_secs_f64() < seconds {
        let path = format!("/api/user/u{}", world.user(&mut random));
        let since = Instant::now();
        client.ask("GET", &path, "").await?;
        times.push(since.elapsed().as_secs_f64() * 1e3);
    }
    Ok(serde_json::json!({ "reads": summary(times) }))
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, pid, users, videos, what, seconds] = words.as_slice() else {
        return Err(
            "expected HOST:PORT PID USERS VIDEOS RATE|uniform=RATE|events|effect|insert|reads SECONDS".into(),
        );
    };
    let (users, videos) = (users.parse::<usize>()?.max(1), videos.parse::<usize>()?.max(1));
    let uniform = what.strip_prefix("uniform=");
    let world = Arc::new(World::new(users, videos, uniform.is_none()));
    let seconds: f64 = seconds.parse()?;
    let mut told = match uniform.unwrap_or(what.as_str()) {
        "events" => batches(address, &world, seconds).await,
        "effect" => effect(address, &world, seconds).await?,
        "insert" => insert(address, &world, seconds).await?,
        "reads" => reads(address, &world, seconds).await?,
        rate => {
            let rate: f64 = rate.parse()?;
            let times = mixed(address, &world, rate, seconds).await;
            serde_json::json!({
                "rate": rate, "seconds": seconds, "slates": summary(times.slates), "events": summary(times.events),
                "errors": times.errors, "slates_with_failures": times.with_failures, "first_error": times.first_error,
            })
        }
    };
    if let (Some(told), Some(memory)) = (told.as_object_mut(), resident_mib(pid)) {
        told.insert("memory_mib".into(), memory);
    }
    println!("{told}");
    Ok(())
}
