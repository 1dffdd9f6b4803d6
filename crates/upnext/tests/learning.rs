//! Networks as one trains them at a terminal: settings that are wrong, checkpoints, Ctrl-C, a search, and the curves.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use terminal::{Desk, wait};

/// Sixty viewers who walk through forty videos, each at a stride of their own.
fn desk() -> Desk {
    let mut log = String::from("user,video,ratio,timestamp\n");
    for user in 0..60 {
        for at in 0..12 {
            let video = (user * 7 + at * (1 + user % 3)) % 40;
            let ratio = f64::from((user * 31 + video * 17) % 20) / 10.0;
            writeln!(log, "u{user},v{video},{ratio},{}", 1_600_000_000 + user * 50 + at * 1000).unwrap();
        }
    }
    let desk = Desk::new();
    desk.write("log.csv", log);
    desk
}

const EVAL: &str = "eval log.csv --relevance any --split leave-last-out --models popular,sasrec --bootstrap 20 --json \
                    --set sasrec.dimension=8 --set sasrec.learn.batch=8";

/// The metrics of a model, without times.
fn metrics(report: &Value, model: &str) -> Value {
    let models = report["models"].as_array().unwrap();
    models.iter().find(|one| one["name"] == model).unwrap()["metrics"].clone()
}

fn epochs(desk: &Desk, file: &str) -> Vec<Value> {
    desk.read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_setting_that_does_not_exist_is_named_with_the_nearest_and_one_that_cannot_be_with_what_was_expected() {
    let desk = desk();
    desk.run(&format!("{EVAL} --set sasrec.dropuot=0.1")).wrong(&[
        "--set",
        "sasrec.dropuot",
        "sasrec.dropout",
    ]);
    desk.run(&format!("{EVAL} --set sasrec.learn.rat=0.1")).wrong(&["sasrec.learn.rat", "sasrec.learn.rate"]);
    desk.run(&format!("{EVAL} --set sasrec.dropout")).wrong(&["KEY=VALUE"]);
    desk.run(&format!("{EVAL} --set sasrec.dropout=much")).wrong(&["--set", "sasrec.dropout"]);
    desk.run(&format!("{EVAL} --set sasrec.dropout=1.5")).failed(&["sasrec.dropout", "0 to below 1"]);
    desk.run(&format!("{EVAL} --set sasrec.n_heads=3")).failed(&["sasrec.n_heads", "divisor"]);
    desk.write("wrong.toml", "[sasrec]\ndimenson = 8\n");
    desk.run("eval log.csv --models sasrec --settings wrong.toml").failed(&[
        "wrong.toml",
        "line 2",
        "sasrec.dimenson",
        "sasrec.dimension",
    ]);
    desk.run("eval log.csv --models sasrec --settings none.toml").failed(&["none.toml"]);
    desk.write("right.toml", "[sasrec]\ndimension = 8\n\n[sasrec.learn]\nepochs_max = 2\n");
    let line = "eval log.csv --relevance any --models sasrec --settings right.toml --bootstrap 20 --json";
    let report = desk.run(&format!("{line} --checkpoints kept")).json();
    assert!(report["models"][0]["notes"][0].as_str().unwrap().contains("epochs"), "{report}");
    assert_eq!(epochs(&desk, "kept/sasrec.jsonl").len(), 2, "what the file does not say stays as it was");
}

#[test]
fn ctrl_c_keeps_the_training_and_the_same_command_ends_in_the_same_model() {
    let desk = desk();
    let line = format!("{EVAL} --set sasrec.learn.epochs_max=60 --set sasrec.learn.patience=60");
    let whole = desk.run(&line).json();

    let args: Vec<String> =
        format!("{line} --checkpoints kept").split_whitespace().map(str::to_owned).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut child = desk.command(&args).spawn().unwrap();
    let started = Instant::now();
    // After the first epochs, somewhere within one.
    while std::fs::read_to_string(desk.path("kept/sasrec.jsonl")).map_or(0, |text| text.lines().count()) < 3 {
        assert!(started.elapsed() < Duration::from_secs(60), "no epoch ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let code = wait(&mut child);
    if code == 1 {
        let mut said = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
        assert!(said.contains("the same command goes on from there"), "{said}");
        assert!(epochs(&desk, "kept/sasrec.jsonl").len() < 60);
    } else {
        // The training had ended before the signal came: 0, or the signal's own code while nothing learnt.
        assert!(code == 0 || code == 130, "{code}");
    }
    let ended = desk.run(&format!("{line} --checkpoints kept")).done();
    assert!(code != 1 || ended.err.contains("goes on after epoch"), "{}", ended.err);
    let went_on: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(metrics(&went_on, "sasrec"), metrics(&whole, "sasrec"));
    let seen: Vec<u64> =
        epochs(&desk, "kept/sasrec.jsonl").iter().map(|epoch| epoch["epoch"].as_u64().unwrap()).collect();
    assert_eq!(seen, (1..=60).collect::<Vec<u64>>(), "each epoch is told once");

    // A checkpoint that was cut off is named, and --fresh starts over.
    let last = std::fs::read(desk.path("kept/sasrec.last.safetensors")).unwrap();
    desk.write("kept/sasrec.last.safetensors", &last[..last.len() / 2]);
    desk.run(&format!("{line} --checkpoints kept")).failed(&["sasrec", "not a whole checkpoint", "--fresh"]);
    let fresh = desk.run(&format!("{line} --checkpoints kept --fresh")).json();
    assert_eq!(metrics(&fresh, "sasrec"), metrics(&whole, "sasrec"));
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_nothing_but_itself() {
    let desk = desk();
    // A file stands where the folder should be, as a full disk would stand in the way.
    desk.write("kept", "in the way");
    let ended = desk.run(&format!("{EVAL} --set sasrec.learn.epochs_max=2 --checkpoints kept")).done();
    assert_eq!(
        ended.err.matches("training goes on, but this checkpoint is not kept").count(),
        1,
        "{}",
        ended.err
    );
    assert_eq!(desk.read("kept"), "in the way");
}

#[test]
fn a_search_prints_its_protocol_and_its_best_is_a_file_of_settings() {
    let desk = desk();
    let line = "tune log.csv --relevance any --model sasrec --minutes 1 --trials 4 --first-epochs 1 \
                --search dropout=0.0..0.5 --search dimension=8,16 --search learn.rate=0.001..0.01:log";
    let found = desk.run(&format!("{line} --out best.toml --json")).json();
    let trials = found["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 4);
    assert!(
        trials.iter().any(|trial| trial["set"].as_array().unwrap().is_empty()),
        "as they stand is tried too"
    );
    let score = |trial: &Value| trial["score"].as_f64().unwrap();
    assert!(trials.iter().all(|trial| score(trial) <= score(&found["best"])));
    assert!(trials[0]["epochs"].as_u64() > trials[3]["epochs"].as_u64(), "the best got more epochs");
    let best = desk.read("best.toml");
    assert!(best.contains("[sasrec]"), "{best}");
    desk.run(
        "eval log.csv --relevance any --models sasrec --settings best.toml --set sasrec.learn.epochs_max=1",
    )
    .done();
    let words = desk.run(line).done().out;
    assert!(words.contains("the test was not looked at") && words.contains("as they stand"), "{words}");
    desk.run("tune log.csv --model popular").wrong(&["--model", "`popular`", "no settings"]);
    desk.run("tune log.csv --model sasrec --search dropout=0.5..0.1").wrong(&["--search", "LOW..HIGH"]);
    desk.run("tune log.csv --relevance any --model sasrec --search dropuot=0.1,0.2")
        .wrong(&["dropuot", "dropout"]);
    desk.run("tune log.csv --relevance any --model watch-d2q").failed(&["watch-d2q needs lengths of videos"]);
}

#[test]
fn the_report_of_a_run_draws_how_its_networks_learnt() {
    let desk = desk();
    desk.run("import log.csv --out run --relevance any").done();
    desk.run("train run --models popular,sasrec --ranker closed-blend --set sasrec.dimension=8 --set sasrec.learn.epochs_max=3")
        .done();
    let told = epochs(&desk, "run/training/sasrec.jsonl");
    assert_eq!(told.len(), 3);
    for key in ["loss", "validation", "metric", "rate", "gradient_norm", "steps"] {
        assert!(!told[0][key].is_null(), "{key} is missing in {}", told[0]);
    }
    let report = desk.run("report run --json").json();
    assert_eq!(report["training"][0]["name"], "sasrec");
    assert_eq!(report["training"][0]["epochs"].as_array().unwrap().len(), 3);
    let page = desk.read("run/data-report.html");
    assert!(page.contains("How did the networks learn?") && page.contains("plot-validation-0"));
}
