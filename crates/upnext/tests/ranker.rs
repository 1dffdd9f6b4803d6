//! The second stage by command: measured, taken apart, and served.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use serde_json::{Value, json};
use terminal::{desk, names, videos_of};

#[test]
fn eval_tells_whether_the_order_is_better_and_what_each_group_adds() {
    let desk = desk();
    let line = "eval log.csv --split leave-last-out --models popular --ablate ranker --bootstrap 50 \
                --set ranker.stage_one=markov --set ranker.learn.epochs_max=4";
    let table = desk.run(&format!("{line} --json")).json();
    assert_eq!(
        names(&table["report"]["models"]),
        ["popular", "ranker"],
        "what is taken apart is measured too"
    );
    let note = table["report"]["models"][1]["notes"][0].as_str().unwrap();
    assert!(note.contains("that of markov on validation"), "{note}");
    let ablation = &table["ablation"];
    assert_eq!((&ablation["model"], &ablation["stage_one"]), (&json!("ranker"), &json!("markov")));
    let groups: Vec<&str> =
        ablation["groups"].as_array().unwrap().iter().map(|of| of["group"].as_str().unwrap()).collect();
    assert!(groups.contains(&"parts") && groups.contains(&"transitions"), "{groups:?}");
    for of in ablation["groups"].as_array().unwrap() {
        let against = &of["without"]["against_all"];
        let end = |name: &str| against[name].as_f64().unwrap();
        assert!(end("low") <= end("mean") && end("mean") <= end("high"), "{of}");
    }
    let again: Value = desk.run(&format!("{line} --json")).json();
    assert_eq!(again["ablation"], table["ablation"], "the same seed, the same table");
    let words = desk.run(line).done();
    assert!(words.out.contains("without parts") && words.out.contains("transitions alone"), "{}", words.out);
    desk.run("eval log.csv --ablate popular").wrong(&["--ablate"]);
    desk.run("eval log.csv --models ranker --set ranker.candidates=1").failed(&["candidates", "2 to 2000"]);
}

#[test]
fn a_run_is_served_by_it() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    let line = "train run --models popular --ranker ranker --set ranker.stage_one=markov --json";
    let report = desk.run(line).json();
    assert_eq!(names(&report["models"]), ["popular", "ranker"]);
    let slate = desk.run("recommend run --user u1 --n 5 --json").json();
    assert_eq!(videos_of(&slate).len(), 5);
}
