//! The house stays as it was drawn: data flows one way through the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Who may use whom; the binary ties the knots and may use every one.
const ARROWS: [(&str, &[&str]); 13] = [
    ("upnext-math", &[]),
    ("upnext-nn", &["upnext-math"]),
    ("upnext-data", &[]),
    ("upnext-ingest", &["upnext-data"]),
    ("upnext-features", &["upnext-data", "upnext-math"]),
    ("upnext-encode", &["upnext-math", "upnext-nn", "upnext-features"]),
    ("upnext-index", &["upnext-math"]),
    ("upnext-models", &["upnext-data", "upnext-math", "upnext-nn", "upnext-features"]),
    ("upnext-map", &["upnext-math", "upnext-features"]),
    ("upnext-eval", &["upnext-data", "upnext-math"]),
    ("upnext-store", &["upnext-data"]),
    (
        "upnext-pipeline",
        &[
            "upnext-data",
            "upnext-math",
            "upnext-features",
            "upnext-index",
            "upnext-map",
            "upnext-models",
            "upnext-store",
        ],
    ),
    ("upnext-serve", &["upnext-data", "upnext-map", "upnext-pipeline", "upnext-store"]),
];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// What each crate of the workspace uses of the workspace; dependencies of tests do not count.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let used = |package: &serde_json::Value| -> BTreeSet<String> {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        dependencies
            .iter()
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .filter_map(|d| d["name"].as_str())
            .filter(|name| names.contains(name))
            .map(str::to_string)
            .collect()
    };
    packages.iter().map(|p| (p["name"].as_str().expect("a name").to_string(), used(p))).collect()
}

/// Dependencies that no arrow allows, as sentences.
fn against_the_flow(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, used) in arrows.iter().filter(|(name, _)| *name != "upnext") {
        match allowed.get(name.as_str()) {
            None => wrong.push(format!("{name} is not in the drawing: add it to ARROWS and ARCHITECTURE.md")),
            Some(allowed) => wrong.extend(
                used.iter()
                    .filter(|other| !allowed.contains(&other.as_str()))
                    .map(|other| format!("{name} depends on {other}, against the flow")),
            ),
        }
    }
    wrong
}

#[test]
fn no_crate_depends_against_the_flow() {
    assert_eq!(against_the_flow(&arrows()), Vec::<String>::new());
}

#[test]
fn a_dependency_against_the_flow_is_named() {
    let mut arrows = arrows();
    arrows.entry("upnext-math".into()).or_default().insert("upnext-serve".into());
    assert_eq!(against_the_flow(&arrows), ["upnext-math depends on upnext-serve, against the flow"]);
}

#[test]
fn every_arrow_of_the_drawing_names_a_crate() {
    let arrows = arrows();
    for (name, _) in ARROWS {
        assert!(arrows.contains_key(name), "{name} is drawn and not there");
    }
}
