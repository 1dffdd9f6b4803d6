//! What Prometheus reads at `/metrics`: base units, few labels, one histogram for each latency.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use upnext_pipeline::{Failure, Trace};

use crate::AppState;

/// Upper bounds in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5];

/// Counters and histograms. Labels are routes, stages, components and known kinds of event, so there are few.
#[derive(Default)]
pub(crate) struct Telemetry {
    series: Mutex<Series>,
}

#[derive(Default)]
struct Series {
    requests: BTreeMap<(String, u16), Histogram>,
    stages: BTreeMap<String, Histogram>,
    candidates: BTreeMap<String, u64>,
    filtered: BTreeMap<String, u64>,
    events: BTreeMap<String, u64>,
    fallbacks: BTreeMap<String, u64>,
}

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
        for (bound, count) in BUCKETS.iter().zip(self.counts) {
            below += count;
            let _ = writeln!(into, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(into, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.n);
        let _ = writeln!(into, "{name}_sum{{{labels}}} {}", self.sum_seconds);
        let _ = writeln!(into, "{name}_count{{{labels}}} {}", self.n);
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

    /// Events were acknowledged. `kind` is one of few: what a kind of feedback means.
    pub(crate) fn events(&self, kind: String, n: u64) {
        self.with(|series| *series.events.entry(kind).or_default() += n);
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        head(
            &mut text,
            "upnext_request_duration_seconds",
            "histogram",
            "Time from a request's head to its answer.",
        );
        for ((route, status), histogram) in &series.requests {
            let labels = format!("route=\"{}\",status=\"{status}\"", escaped(route));
            histogram.write(&mut text, "upnext_request_duration_seconds", &labels);
        }
        head(&mut text, "upnext_stage_duration_seconds", "histogram", "Time of a stage of a feed.");
        for (stage, histogram) in &series.stages {
            histogram.write(
                &mut text,
                "upnext_stage_duration_seconds",
                &format!("stage=\"{}\"", escaped(stage)),
            );
        }
        let counters = [
            ("upnext_candidates", "source", "Candidates that a source returned.", &series.candidates),
            ("upnext_filtered_total", "filter", "Videos that a filter removed.", &series.filtered),
            ("upnext_events_total", "type", "Events acknowledged, by what they mean.", &series.events),
            (
                "upnext_fallback_total",
                "reason",
                "Components that failed and were left out.",
                &series.fallbacks,
            ),
        ];
        for (name, label, help, counts) in counters {
            head(&mut text, name, "counter", help);
            for (value, count) in counts {
                let _ = writeln!(text, "{name}{{{label}=\"{}\"}} {count}", escaped(value));
            }
        }
        if let Some(bytes) = resident_bytes() {
            head(&mut text, "process_resident_memory_bytes", "gauge", "Memory of the process.");
            let _ = writeln!(text, "process_resident_memory_bytes {bytes}");
        }
        text
    }
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
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), start.elapsed());
    tracing::debug!(route, status, microseconds = took.as_micros() as u64, "answered");
    state.telemetry().answered(&route, status, took);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_labels_are_escaped() {
        let telemetry = Telemetry::default();
        for milliseconds in [0, 3, 3, 800] {
            telemetry.answered("/a\"b", 200, Duration::from_millis(milliseconds));
        }
        let text = telemetry.text();
        for line in [
            "# TYPE upnext_request_duration_seconds histogram",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"0.001\"} 1",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"0.005\"} 3",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"0.5\"} 3",
            "upnext_request_duration_seconds_bucket{route=\"/a\\\"b\",status=\"200\",le=\"+Inf\"} 4",
            "upnext_request_duration_seconds_count{route=\"/a\\\"b\",status=\"200\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
