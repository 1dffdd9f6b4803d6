//! What requests took, as spans of a distributed trace (W3C Trace Context, OpenTelemetry): the request, and the parts of its answer.
//!
//! A request is recorded while it is answered and handed on when it was; who takes it, and how fast, makes no difference to the answer:
//! where the queue is full it is lost, and counted. Spans bear patterns of routes, never paths, so no person is named.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use upnext_pipeline::{Failure, Trace};

use crate::ServeError;

/// How spans are exported, and the limits of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where a collector listens for OTLP over gRPC, as `http://host:4317` or `https://…`; empty: nothing is recorded.
    pub otlp_url: String,
    /// The name under which the service is known there.
    pub service_name: String,
    /// Of requests that no trace came with, one in this many is recorded. One that comes with a trace is recorded where its sender records it.
    pub one_in: u32,
    /// Requests that wait to be exported; those beyond are lost.
    pub queue_requests_max: usize,
    /// Requests of one export.
    pub batch_requests_max: usize,
    /// How long an export waits for more requests.
    pub gather_milliseconds_max: u64,
    /// How long the collector may take to answer.
    pub answer_milliseconds_max: u64,
    /// How long the collector may take to answer when the service stops.
    pub stop_milliseconds_max: u64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_url: String::new(),
            service_name: "upnext".into(),
            one_in: 1,
            queue_requests_max: 2_048,
            batch_requests_max: 256,
            gather_milliseconds_max: 1_000,
            answer_milliseconds_max: 5_000,
            stop_milliseconds_max: 1_000,
        }
    }
}

impl TelemetryConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first key that is out of bounds.
    pub fn check(&self) -> Result<(), ServeError> {
        let wrong = |key, found: String, expected| Err(ServeError::Config { key, found, expected });
        for (key, value) in [
            ("one_in", self.one_in as usize),
            ("queue_requests_max", self.queue_requests_max),
            ("batch_requests_max", self.batch_requests_max),
        ] {
            if !(1..=1 << 20).contains(&value) {
                return wrong(key, value.to_string(), "a number from 1 to 1048576");
            }
        }
        let url = &self.otlp_url;
        if !(url.is_empty() || url.starts_with("http://") || url.starts_with("https://")) {
            return wrong("otlp_url", url.clone(), "a URL such as http://collector:4317, or nothing");
        }
        if url.contains('@') {
            // Not shown: it is in the log.
            return wrong(
                "otlp_url",
                "a URL with `@`".into(),
                "no user and password; send a token as a header",
            );
        }
        Ok(())
    }
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Of which trace.
    pub trace_id: [u8; 16],
    /// Its own id.
    pub span_id: [u8; 8],
    /// The span that asked, in another process.
    pub parent: Option<[u8; 8]>,
    /// What came with the trace and goes on with it.
    pub trace_state: String,
    /// GET, POST, …
    pub method: String,
    /// The pattern of its route.
    pub route: String,
    /// The tenant; empty where there is one alone.
    pub tenant: String,
    /// The answer's status.
    pub status: u16,
    /// When it came.
    pub begun: SystemTime,
    /// How long its answer took.
    pub took: Duration,
    /// What that time was spent on, in the order in which it was noted.
    pub parts: Vec<Part>,
}

/// A part of a request's time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Its own id.
    pub span_id: [u8; 8],
    /// `wait`, `commit`, or a stage: `hydrate`, `sources`, `filters`, `scorers`, `rerank`, `served`.
    pub name: String,
    /// How long after the request came it began.
    pub after: Duration,
    /// How long it took.
    pub took: Duration,
    /// Candidates that entered and left a stage.
    pub candidates: Option<(usize, usize)>,
    /// Components that failed and were left out, with what they said.
    pub failures: Vec<(String, String)>,
}

/// Where requests are recorded.
#[derive(Debug)]
pub(crate) struct Spans {
    queue: Sender<Recorded>,
    one_in: u64,
    unasked: AtomicU64,
    lost: AtomicU64,
}

impl Spans {
    /// What records requests, and where they come out.
    pub(crate) fn new(config: &TelemetryConfig) -> (Self, Receiver<Recorded>) {
        let (queue, recorded) = channel(config.queue_requests_max.max(1));
        let one_in = u64::from(config.one_in.max(1));
        (Self { queue, one_in, unasked: AtomicU64::new(0), lost: AtomicU64::new(0) }, recorded)
    }

    /// How many requests were lost because the queue was full.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Begins to record a request, if it is to be.
    pub(crate) fn open(&self, headers: &HeaderMap) -> Option<Arc<Open>> {
        let came = came_with(headers);
        let is_wanted = match &came {
            Some(came) => came.is_recorded,
            None => self.unasked.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in),
        };
        is_wanted.then(|| Arc::new(Open::new(came)))
    }

    /// Hands on what was recorded; never waits.
    pub(crate) fn close(&self, open: &Open, answered: Answered<'_>) {
        let recorded = Recorded {
            trace_id: open.trace_id,
            span_id: open.span_id,
            parent: open.parent,
            trace_state: open.trace_state.clone(),
            method: answered.method.to_owned(),
            route: answered.route.to_owned(),
            tenant: answered.tenant.to_owned(),
            status: answered.status,
            begun: open.begun,
            took: open.since.elapsed(),
            parts: std::mem::take(&mut open.parts.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        if self.queue.try_send(recorded).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How a request was answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a str,
    pub(crate) route: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) status: u16,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Open {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent: Option<[u8; 8]>,
    trace_state: String,
    begun: SystemTime,
    since: Instant,
    parts: Mutex<Vec<Part>>,
}

/// Parts of one request that are recorded; a feed has eight.
const PARTS_MAX: usize = 64;

impl Open {
    fn new(came: Option<Came>) -> Self {
        let came = came.unwrap_or_else(|| Came { trace_id: random(), ..Came::default() });
        Self {
            trace_id: came.trace_id,
            span_id: random(),
            parent: came.parent,
            trace_state: came.trace_state,
            begun: SystemTime::now(),
            since: Instant::now(),
            parts: Mutex::default(),
        }
    }

    fn add(&self, part: Part) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.len() < PARTS_MAX {
            parts.push(Part { span_id: random(), ..part });
        }
    }
}

/// An id that nobody else has. Zero is none, and as likely as two alike.
fn random<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    if getrandom::fill(&mut id).is_err() {
        // Without randomness an id from the clock is better than no answer.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        id.iter_mut().zip(now.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    }
    id
}

tokio::task_local! {
    /// The request that this task, or this thread, is answering.
    static OPEN: Arc<Open>;
}

/// Answers within a request that is recorded, or not.
pub(crate) async fn within<T>(open: Option<Arc<Open>>, answer: impl Future<Output = T>) -> T {
    match open {
        Some(open) => OPEN.scope(open, answer).await,
        None => answer.await,
    }
}

/// The request that is being answered, to be taken along to another thread.
pub(crate) fn current() -> Option<Arc<Open>> {
    OPEN.try_with(Arc::clone).ok()
}

/// Works on another thread for a request.
pub(crate) fn along<T>(open: Option<Arc<Open>>, work: impl FnOnce() -> T) -> T {
    match open {
        Some(open) => OPEN.sync_scope(open, work),
        None => work(),
    }
}

/// Notes that the request did this from `begun` until now.
pub(crate) fn note(name: &str, begun: Instant) {
    let _ = OPEN.try_with(|open| {
        let after = begun.saturating_duration_since(open.since);
        open.add(Part { name: name.into(), after, took: begun.elapsed(), ..Part::default() });
    });
}

/// Notes the stages of a feed that has just been made.
pub(crate) fn note_stages(trace: &Trace, failures: &[Failure]) {
    let _ = OPEN.try_with(|open| {
        let micros = Duration::from_micros;
        let mut after = open.since.elapsed().saturating_sub(micros(trace.microseconds));
        let hydrate = ("hydrate", trace.hydrate_microseconds, None);
        let stages =
            trace.stages.iter().map(|s| (s.name.as_str(), s.microseconds, Some((s.entered, s.left))));
        let served = ("served", trace.served_microseconds, None);
        for (name, took, candidates) in [hydrate].into_iter().chain(stages).chain([served]) {
            let of_stage = failures.iter().filter(|failure| failure.stage == name);
            open.add(Part {
                name: name.into(),
                after,
                took: micros(took),
                candidates,
                failures: of_stage.map(|f| (f.part.clone(), f.message.clone())).collect(),
                ..Part::default()
            });
            after += micros(took);
        }
    });
}

/// What a request came with.
#[derive(Debug, Default, PartialEq)]
struct Came {
    trace_id: [u8; 16],
    parent: Option<[u8; 8]>,
    is_recorded: bool,
    trace_state: String,
}

/// Characters of `tracestate` that have to be handed on (Trace Context, 3.3.1.5).
const TRACE_STATE_MAX: usize = 512;

/// The trace that a request belongs to. What is no `traceparent` is none, as that standard has it.
fn came_with(headers: &HeaderMap) -> Option<Came> {
    let mut parents = headers.get_all("traceparent").iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let mut words = parent.to_str().ok()?.split('-');
    let version: [u8; 1] = hex(words.next()?)?;
    let (trace_id, span_id) = (hex::<16>(words.next()?)?, hex::<8>(words.next()?)?);
    let [flags] = hex::<1>(words.next()?)?;
    // Later versions may say more; this one may not.
    let is_known = match version {
        [0] => words.next().is_none(),
        [0xff] => false,
        _ => true,
    };
    let is_some = trace_id != [0; 16] && span_id != [0; 8];
    let states: Vec<&str> =
        headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
    let trace_state = Some(states.join(",")).filter(|state| state.len() <= TRACE_STATE_MAX);
    (is_known && is_some).then(|| Came {
        trace_id,
        parent: Some(span_id),
        is_recorded: flags & 1 == 1,
        trace_state: trace_state.unwrap_or_default(),
    })
}

/// Bytes of lower-case hexadecimal digits, exactly as many as asked for.
fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(parents: &[&str]) -> HeaderMap {
        let value = |parent: &&str| ("traceparent".parse().unwrap(), HeaderValue::from_str(parent).unwrap());
        parents.iter().map(value).collect()
    }

    #[test]
    fn what_is_no_trace_parent_begins_a_trace_of_its_own() {
        let came = came_with(&headers(&[PARENT])).unwrap();
        assert_eq!((came.trace_id[0], came.parent.unwrap()[1], came.is_recorded), (0x4b, 0xf0, true));
        assert!(!came_with(&headers(&[&PARENT.replace("-01", "-00")])).unwrap().is_recorded);
        assert!(came_with(&headers(&[&(PARENT.replace("00-4", "01-4") + "-more")])).is_some());
        let wrong = [
            PARENT.to_uppercase(),
            PARENT.replace("00-4", "ff-4"),
            format!("{PARENT}-more"),
            PARENT[..50].into(),
            PARENT.replace("00f067aa0ba902b7", "0000000000000000"),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            String::new(),
        ];
        for parent in wrong {
            assert_eq!(came_with(&headers(&[&parent])), None, "{parent}");
        }
        assert_eq!(came_with(&headers(&[PARENT, PARENT])), None, "two parents");
    }

    #[test]
    fn a_full_queue_loses_requests_and_counts_them() {
        let config = TelemetryConfig { queue_requests_max: 1, one_in: 2, ..TelemetryConfig::default() };
        let (spans, mut recorded) = Spans::new(&config);
        let none = HeaderMap::new();
        let opened: Vec<_> = (0..4).filter_map(|_| spans.open(&none)).collect();
        assert_eq!(opened.len(), 2, "one in two");
        assert!(
            spans.open(&headers(&[&PARENT.replace("-01", "-00")])).is_none(),
            "its sender records nothing"
        );
        for open in &opened {
            spans.close(open, Answered { method: "GET", route: "/", tenant: "", status: 200 });
        }
        assert_eq!(spans.lost(), 1);
        assert_eq!(recorded.try_recv().unwrap().span_id, opened[0].span_id);
    }
}
