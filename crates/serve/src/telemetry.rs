//! What Prometheus reads at `/metrics`: base units, few labels, one histogram for each latency.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use upnext_pipeline::{Failure, Trace};
use upnext_store::Cleared;

use crate::AppState;
use crate::spans::{self, Answered};

/// Upper bounds in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5];

/// Counters and histograms. Labels are routes, stages, components and known kinds of event, so there are few.
#[derive(Default)]
pub(crate) struct Telemetry {
    series: Mutex<Series>,
}

#[derive(Clone, Default)]
struct Series {
    requests: BTreeMap<(String, u16), Histogram>,
    stages: BTreeMap<String, Histogram>,
    effects: Histogram,
    candidates: BTreeMap<String, u64>,
    filtered: BTreeMap<String, u64>,
    events: BTreeMap<String, u64>,
    fallbacks: BTreeMap<String, u64>,
    cleared: Cleared,
}

/// Name, label, help, and where the counts are.
type Counter = (&'static str, &'static str, &'static str, fn(&Series) -> &BTreeMap<String, u64>);
/// Name, type, help, and what the value is now.
type Gauge = (&'static str, &'static str, &'static str, fn(&AppState, &Series) -> u64);

#[derive(Clone, Default)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    n: u64,
    sum_seconds: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        self.n += 1;
        self.sum_seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.counts[bucket] += 1;
        }
    }

    fn write(&self, into: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        let (comma, all) = match labels {
            "" => ("", String::new()),
            labels => (",", format!("{{{labels}}}")),
        };
        for (bound, count) in BUCKETS.iter().zip(self.counts) {
            below += count;
            let _ = writeln!(into, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(into, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.n);
        let _ = writeln!(into, "{name}_sum{all} {}", self.sum_seconds);
        let _ = writeln!(into, "{name}_count{all} {}", self.n);
    }
}

impl Telemetry {
    fn with(&self, change: impl FnOnce(&mut Series)) {
        change(&mut self.series.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        self.with(|series| {
            series.requests.entry((route.to_owned(), status)).or_default().observe(took.as_secs_f64());
        });
    }

    /// A feed was made.
    pub(crate) fn traced(&self, trace: &Trace, failures: &[Failure]) {
        spans::note_stages(trace, failures);
        self.with(|series| {
            for stage in &trace.stages {
                let seconds = stage.microseconds as f64 / 1e6;
                series.stages.entry(stage.name.clone()).or_default().observe(seconds);
                let counts = match stage.name.as_str() {
                    "sources" => &mut series.candidates,
                    "filters" => &mut series.filtered,
                    _ => continue,
                };
                for part in &stage.parts {
                    *counts.entry(part.name.clone()).or_default() += part.count as u64;
                }
            }
            for failure in failures {
                // Rules are named by people, without a bound on how many names there are over time.
                let part = if failure.stage == "rules" { "rules" } else { &failure.part };
                *series.fallbacks.entry(format!("{} {part}", failure.stage)).or_default() += 1;
            }
        });
    }

    /// Events are in the store, and the next answer reflects them.
    pub(crate) fn took_effect(&self, took: Duration) {
        self.with(|series| series.effects.observe(took.as_secs_f64()));
    }

    /// Events were acknowledged. `kind` is one of few: what a kind of feedback means.
    pub(crate) fn events(&self, kind: String, n: u64) {
        self.with(|series| *series.events.entry(kind).or_default() += n);
    }

    /// Feedback was deleted because it is too old, or its space given back.
    pub(crate) fn cleared(&self, step: Cleared) {
        self.with(|series| {
            series.cleared.rows += step.rows;
            series.cleared.bytes += step.bytes;
        });
    }

    fn snapshot(&self) -> Series {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The text that Prometheus reads, of these tenants. Tenants with a name have it as a label.
pub(crate) fn text(tenants: &[AppState]) -> String {
    let label = |state: &AppState| match state.tenant() {
        "" => String::new(),
        name => format!("tenant=\"{}\",", escaped(name)),
    };
    let all: Vec<(String, Series)> =
        tenants.iter().map(|state| (label(state), state.telemetry().snapshot())).collect();
    let mut text = String::new();
    let requests = "upnext_request_duration_seconds";
    head(&mut text, requests, "histogram", "Time from a request's head to its answer.");
    for (tenant, series) in &all {
        for ((route, status), histogram) in &series.requests {
            let labels = format!("{tenant}route=\"{}\",status=\"{status}\"", escaped(route));
            histogram.write(&mut text, requests, &labels);
        }
    }
    let stages = "upnext_stage_duration_seconds";
    head(&mut text, stages, "histogram", "Time of a stage of the pipeline.");
    for (tenant, series) in &all {
        for (stage, histogram) in &series.stages {
            histogram.write(&mut text, stages, &format!("{tenant}stage=\"{}\"", escaped(stage)));
        }
    }
    let effects = "upnext_event_to_effect_seconds";
    head(&mut text, effects, "histogram", "Time from an event's arrival until the next answer reflects it.");
    for (tenant, series) in &all {
        series.effects.write(&mut text, effects, tenant.trim_end_matches(','));
    }
    let counters: [Counter; 4] = [
        ("upnext_candidates", "source", "Candidates that a source returned.", |s| &s.candidates),
        ("upnext_filtered_total", "filter", "Videos that a filter removed.", |s| &s.filtered),
        ("upnext_events_total", "type", "Events acknowledged, by what they mean.", |s| &s.events),
        ("upnext_fallback_total", "reason", "Components that failed and were left out.", |s| &s.fallbacks),
    ];
    for (name, label, help, counts) in counters {
        head(&mut text, name, "counter", help);
        for (tenant, series) in &all {
            for (value, count) in counts(series) {
                let _ = writeln!(text, "{name}{{{tenant}{label}=\"{}\"}} {count}", escaped(value));
            }
        }
    }
    let gauges: [Gauge; 7] = [
        ("upnext_ready", "gauge", "1 when the tenant's feed answers.", |s, _| s.feed().is_some().into()),
        ("upnext_reads_waiting", "gauge", "Requests that wait for a place.", |s, _| {
            s.reads().waiting() as u64
        }),
        ("upnext_shed_total", "counter", "Requests refused as they would have waited too long.", |s, _| {
            s.reads().shed()
        }),
        ("upnext_viewers_hit_total", "counter", "Requests of viewers of whom all was remembered.", |s, _| {
            s.feed().map_or(0, |feed| feed.remembered().hits)
        }),
        ("upnext_viewers_missed_total", "counter", "Requests of viewers whose past was read.", |s, _| {
            s.feed().map_or(0, |feed| feed.remembered().misses)
        }),
        ("upnext_expired_rows_total", "counter", "Rows of feedback deleted as too old.", |_, series| {
            series.cleared.rows
        }),
        (
            "upnext_compacted_bytes_total",
            "counter",
            "Bytes of the store given back to the disk.",
            |_, series| series.cleared.bytes,
        ),
    ];
    for (name, kind, help, value) in gauges {
        head(&mut text, name, kind, help);
        for (state, (tenant, series)) in tenants.iter().zip(&all) {
            let labels = tenant.trim_end_matches(',');
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(text, "{name}{labels} {}", value(state, series));
        }
    }
    if let Some(first) = tenants.first() {
        head(&mut text, "upnext_refused_total", "counter", "Requests that the door let in to no tenant.");
        for (code, count) in first.shared().refused() {
            let _ = writeln!(text, "upnext_refused_total{{reason=\"{code}\"}} {count}");
        }
    }
    if let Some(spans) = tenants.first().and_then(|first| first.shared().spans()) {
        head(&mut text, "upnext_spans_lost_total", "counter", "Requests whose spans nobody took in time.");
        let _ = writeln!(text, "upnext_spans_lost_total {}", spans.lost());
    }
    if let Some(bytes) = resident_bytes() {
        head(&mut text, "process_resident_memory_bytes", "gauge", "Memory of the process.");
        let _ = writeln!(text, "process_resident_memory_bytes {bytes}");
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Where the system tells it: Linux.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Measures every request, by the pattern of its route.
pub(crate) async fn measure(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let start = Instant::now();
    // Who looks after the service asks every few seconds, and learns nothing from spans of that.
    let is_watched = route.starts_with("/api/health/") || route == "/metrics";
    let spans = state.shared().spans().filter(|_| !is_watched);
    let open = spans.and_then(|spans| spans.open(request.headers()));
    let method = request.method().clone();
    let response = spans::within(open.clone(), next.run(request)).await;
    let (status, took) = (response.status().as_u16(), start.elapsed());
    tracing::debug!(route, status, microseconds = took.as_micros() as u64, "answered");
    state.telemetry().answered(&route, status, took);
    if let (Some(spans), Some(open)) = (spans, open) {
        spans.close(
            &open,
            Answered { method: method.as_str(), route: &route, tenant: state.tenant(), status },
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_labels_are_escaped() {
        let store = std::sync::Arc::new(upnext_store::Memory::default());
        let state = AppState::new(store, crate::ServeConfig::default(), crate::About::default()).unwrap();
        for milliseconds in [0, 3, 3, 800] {
            state.telemetry().answered("/a\"b", 200, Duration::from_millis(milliseconds));
        }
        let text = text(&[state]);
        for line in [
            "# TYPE upnext_request_duration_seconds histogram",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"0.001\"} 1",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"0.005\"} 3",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"0.5\"} 3",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"+Inf\"} 4",
            "upnext_request_duration_seconds_count{route=\"/a\\\"b\",status=\"200\"} 4",
            "upnext_ready 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
