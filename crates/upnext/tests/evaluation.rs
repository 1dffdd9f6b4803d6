//! What a set is asked offline, by command: models measured and swept, leaks named, features counted, splits and generated data.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use terminal::{Desk, desk, names, parts, videos_of, walks};

/// A report without what differs from run to run.
fn without_seconds(mut report: Value) -> Value {
    for model in report["models"].as_array_mut().unwrap() {
        let model = model.as_object_mut().unwrap();
        assert!(model.remove("fit_seconds").unwrap().as_f64().unwrap() >= 0.0);
        assert!(model.remove("score_seconds").unwrap().as_f64().unwrap() >= 0.0);
    }
    report
}

// ---- eval ----------------------------------------------------------------------------------------------------

#[test]
fn eval_prints_one_object_of_the_documented_shape() {
    let desk = desk();
    let line = "eval log.csv --split leave-last-out --models popular,markov,ease,closed-blend --k 10,20 --seed 1 --json";
    let ended = desk.run(line).done();
    assert!(ended.err.contains("log.csv"), "what was read is said aside: {}", ended.err);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let protocol = &report["protocol"];
    let fingerprint = protocol["fingerprint"].as_str().unwrap();
    assert!(fingerprint.len() == 16 && fingerprint.chars().all(|c| c.is_ascii_hexdigit()));
    for (key, value) in [
        ("split", json!("leave-last-out")),
        ("seed", json!(1)),
        ("k", json!([10, 20])),
        ("users", json!(30)),
        ("ties", json!("pessimistic")),
        ("fitted_on", json!("train")),
        ("set", json!("log")),
    ] {
        assert_eq!(protocol[key], value, "{key}");
    }
    for key in ["digest", "relevance", "candidates", "masked", "history", "bootstrap"] {
        assert!(!protocol[key].is_null(), "{key}");
    }
    assert_eq!(names(&report["models"]), ["popular", "markov", "ease", "closed-blend"]);
    assert_eq!(report["left_out"], json!([]));
    for model in report["models"].as_array().unwrap() {
        assert!(model["fit_seconds"].is_f64() && model["score_seconds"].is_f64(), "{model}");
        let metrics = model["metrics"].as_object().unwrap();
        for name in ["hr@10", "hr@20", "ndcg@10", "ndcg@20", "recall@10", "precision@20", "mrr@10", "map@10"]
        {
            assert!(metrics.contains_key(name), "{name} is missing");
        }
        for (name, interval) in metrics {
            let keys: BTreeSet<&str> =
                interval.as_object().unwrap().keys().map(std::string::String::as_str).collect();
            assert_eq!(keys, BTreeSet::from(["high", "low", "mean"]), "{name}");
            let number = |key: &str| interval[key].as_f64().unwrap();
            let slack = 1e-9;
            assert!(number("low") <= number("mean") + slack && number("mean") <= number("high") + slack);
        }
    }
    // Walks are what Markov is made for: a number that is a number, not a zero that passes.
    let ndcg = |at: usize| report["models"][at]["metrics"]["ndcg@10"]["mean"].as_f64().unwrap();
    assert!(ndcg(1) > 1.5 * ndcg(0) && ndcg(1) > 0.6, "{} {}", ndcg(0), ndcg(1));
}

#[test]
fn auto_says_what_it_tried_what_each_part_adds_and_what_there_was_no_time_for() {
    let desk = desk();
    let report =
        desk.run("eval log.csv --split leave-last-out --models popular,markov,auto --k 10 --json").json();
    let auto = &report["models"][2];
    let note = auto["notes"][0].as_str().unwrap();
    for part in ["30 viewers", "in order", "markov-1", "alone", "adds", "bsarec", "epochs)"] {
        assert!(note.contains(part), "`{part}` is missing in: {note}");
    }
    let of_set = auto["notes"][1].as_str().unwrap();
    assert!(of_set.contains("the last video"), "what kind of set it is stands beside it: {of_set}");
    let ndcg = |at: usize| report["models"][at]["metrics"]["ndcg@10"]["mean"].as_f64().unwrap();
    assert!(ndcg(2) > 1.5 * ndcg(0), "{} {}", ndcg(0), ndcg(2));
    let apart = desk.run("eval log.csv --split leave-last-out --models popular --ablate auto --json").json();
    let found = &apart["ablation"];
    assert_eq!((&found["model"], &found["questions"]), (&json!("auto"), &json!(30)));
    assert_eq!(found["whole"]["ndcg@10"]["mean"], apart["report"]["models"][1]["metrics"]["ndcg@10"]["mean"]);
    assert!(
        found["parts"].as_array().unwrap().iter().all(|part| part["score_milliseconds"].as_f64() > Some(0.0))
    );
    let hasty = desk.run("eval log.csv --split leave-last-out --models auto --minutes 0 --json").json();
    let note = hasty["models"][0]["notes"][0].as_str().unwrap();
    assert!(note.contains("bsarec reading 20 (no time left)"), "{note}");
    desk.run("eval log.csv --models auto --minutes=-1").wrong(&["--minutes"]);
    // Without a validation part it chooses on a tenth of train, and fits what it chose again on all of it.
    parts(&desk, "parts", true);
    std::fs::remove_file(desk.path("parts/val.csv")).unwrap();
    let again = desk.run("eval parts --split given --models auto --json").json();
    let note = again["models"][0]["notes"][0].as_str().unwrap();
    assert!(note.contains("chosen before"), "{note}");
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another_fingerprint() {
    let desk = desk();
    let report = |seed: u64| {
        let line = format!("eval log.csv --split random --models all --k 5 --seed {seed} --json");
        without_seconds(desk.run(&line).json())
    };
    let first = report(1);
    assert_eq!(first, report(1));
    let other = report(2);
    assert_ne!(first["protocol"]["fingerprint"], other["protocol"]["fingerprint"]);
    assert_ne!(first["models"], other["models"]);
}

#[test]
fn the_table_has_floors_first_and_the_protocol_beneath() {
    let desk = desk();
    let table = desk.run("eval log.csv --models closed-blend,popular,markov,ease").done();
    let place = |what: &str| table.out.find(what).unwrap_or_else(|| panic!("no {what} in {}", table.out));
    assert!(place("popular") < place("closed-blend") && place("closed-blend") < place("protocol:"));
    assert!(table.out.contains("fingerprint") && !table.err.contains("no floor"));
    let without = desk.run("eval log.csv --models closed-blend,markov --json").done();
    assert!(without.err.contains("popular, ease") && without.err.contains("floor"), "{}", without.err);
}

#[test]
fn eval_writes_its_report_too_and_leaves_nothing_half_written() {
    let desk = desk();
    let printed = desk.run("eval log.csv --models popular --out report.json --json").json();
    assert_eq!(serde_json::from_str::<Value>(&desk.read("report.json")).unwrap(), printed);
    let before = desk.files();
    desk.run("eval log.csv --models popular --out nowhere/report.json --json")
        .failed(&["nowhere/report.json", "folder"]);
    assert_eq!(desk.files(), before);
}

#[test]
fn every_split_is_printed_with_its_name() {
    let desk = desk();
    for split in ["leave-last-out", "global-time", "per-user-90-10", "random"] {
        let report =
            desk.run(&format!("eval log.csv --split {split} --models popular,markov,ease --json")).json();
        assert_eq!(report["protocol"]["split"], split);
        assert_eq!(report["models"].as_array().unwrap().len(), 3, "{split}");
    }
    desk.run("eval log.csv --split given").failed(&["given", "parts", "leave-last-out"]);
    desk.write("walks.txt", "1 2 3 4 5\n2 3 4 5 6\n3 4 5 6 7\n");
    desk.run("eval walks.txt --split global-time").failed(&["global-time", "times", "leave-last-out"]);
}

#[test]
fn every_model_is_measured_where_a_set_has_what_it_needs() {
    let desk = Desk::new();
    let (mut ratings, mut movies) =
        (String::from("userId,movieId,rating,timestamp\n"), String::from("movieId,title,genres\n"));
    for user in 0..25 {
        for at in 0..7 {
            let (movie, stars) = ((user * 5 + at) % 18 + 1, 1 + (user + at) % 5);
            writeln!(ratings, "{user},{movie},{stars}.0,{}", 1_500_000_000 + user * 1000 + at).unwrap();
        }
    }
    for movie in 1..=18 {
        let genre = ["Comedy", "Drama|Crime", "Action"][movie % 3];
        writeln!(movies, "{movie},\"Film {movie}, The (19{:02})\",{genre}", 80 + movie).unwrap();
    }
    desk.write("set/ratings.csv", ratings).write("set/movies.csv", movies);
    let report = desk.run("eval set --models all --json").json();
    // Films have neither lengths nor daily statistics.
    assert_eq!(names(&report["left_out"]), ["watch-d2q", "watch-logistic", "content-scores"]);
    let models = names(&report["models"]);
    assert_eq!(models.len(), 42, "{models:?}");
    let is_floor: Vec<bool> =
        report["models"].as_array().unwrap().iter().map(|model| model["floor"] == true).collect();
    assert!(is_floor.is_sorted_by(|a, b| a >= b), "floors stand first: {models:?}");
}

/// A folder of films in two genres, by four directors, of which each user rates some; every fourth user comes late, and two
/// of them at a time meet a film that is new.
fn films(desk: &Desk) {
    let mut ratings = String::from("userId,movieId,rating,timestamp\n");
    let mut movies = String::from("movieId,title,genres,director\n");
    for user in 0..40 {
        let late = user % 4 == 0;
        for at in 0..8 {
            let movie = if late && at == 7 { 19 + user / 8 } else { (user * 5 + at) % 18 + 1 };
            let time = 1_500_000_000 + user * 1_000 + at + if late { 10_000_000 } else { 0 };
            writeln!(ratings, "{user},{movie},4.0,{time}").unwrap();
        }
    }
    for movie in 1..=24 {
        let genre = if movie % 2 == 0 { "Drama" } else { "Comedy|Crime" };
        let word = ["Sun", "Moon", "Snow", "Rain", "Wind", "Cloud"][movie % 6];
        writeln!(movies, "{movie},{word} over {genre} ({}),{genre},Maker {}", 1990 + movie, movie % 4)
            .unwrap();
    }
    desk.write("films/ratings.csv", ratings);
    desk.write("films/movies.csv", movies);
}

#[test]
fn a_sweep_begins_at_the_plain_order_and_grows_more_varied() {
    let desk = Desk::new();
    films(&desk);
    let line = "eval films --models popular,item-knn --k 5 --bootstrap 50 --set fusion.learn.epochs_max=1";
    let both = desk.run(&format!("{line} --sweep lambda --plot page.html --json")).json();
    let of_table = &both["report"]["models"][1]["metrics"]["ndcg@5"];
    let sweep = &both["sweep"];
    assert_eq!((&sweep["model"], &sweep["pool"]), (&json!("item-knn"), &json!(200)));
    let curves = sweep["curves"].as_array().unwrap();
    assert_eq!(names(&sweep["curves"])[..2], ["mmr fused", "mmr text"]);
    for curve in curves {
        let points = curve["points"].as_array().unwrap();
        let ild =
            |at: usize| points[at]["test"]["metrics"][curve["variety"].as_str().unwrap()]["mean"].as_f64();
        // The first point of every curve is no re-rank at all: the table's own number.
        assert_eq!(&points[0]["test"]["metrics"]["ndcg@5"], of_table, "{}", curve["name"]);
        assert!(curve["name"] != "mmr content" || ild(points.len() - 1) > ild(0));
    }
    let page = desk.read("page.html");
    assert!(page.contains("What does variety cost?") && page.contains("plotly.js v"));
    let text = desk.run(&format!("{line} --sweep lambda=0..1/0.5")).done().out;
    assert!(
        text.contains("half-way in ild_content_cosine@5") && text.contains("chosen on validation: "),
        "{text}"
    );
}

#[test]
fn a_sweep_says_what_is_missing_and_goes_on_where_it_can() {
    let desk = desk();
    desk.run("eval log.csv --models popular --sweep lambda").failed(&["labels or text", "fused vectors"]);
    desk.write("walks.txt", "1 2 3 4 5\n2 3 4 5 6\n3 4 5 6 7\n4 5 6 7 1\n");
    desk.write(
        "attributes.json",
        r#"{"1":["a"],"2":["a","b"],"3":["b"],"4":["c"],"5":["c"],"6":["a"],"7":["b"]}"#,
    );
    let line =
        "eval walks.txt --format s3rec --features attributes.json --models popular --k 2 --sweep lambda";
    let text = desk.run(line).done().out;
    assert!(text.contains("left out: text vectors") && text.contains("left out: caps author"), "{text}");
}

#[test]
fn new_videos_are_asked_for_by_how_much_is_known_of_the_viewer() {
    let desk = Desk::new();
    films(&desk);
    let line = "eval films --split first-seen --models popular,content --k 5 --bootstrap 50";
    let both = desk.run(&format!("{line} --json")).json();
    assert_eq!(both["report"]["protocol"]["split"], "first-seen");
    let pools = both["new_videos"]["pools"].as_array().unwrap();
    assert!(pools[0]["n"].as_u64() < pools[1]["n"].as_u64());
    let shown = pools[0]["shown"].as_array().unwrap();
    assert_eq!(names(&shown[0]["models"]), ["popular-new", "random", "popular", "content"]);
    let questions: Vec<u64> = shown.iter().map(|of| of["questions"].as_u64().unwrap()).collect();
    assert_eq!(questions, [4, 4, 4, 4], "none, one, three, and all: nobody has ten events");
    let text = desk.run(line).done().out;
    assert!(text.contains("new videos alone: ") && text.contains("the newest 3 events, "), "{text}");
}

#[test]
fn features_beside_a_log_of_sequences_bring_content_in() {
    let desk = Desk::new();
    let (mut log, mut features) = (String::new(), serde_json::Map::new());
    for user in 1..=20 {
        let row: Vec<String> = (0..6).map(|at| ((user * 3 + at) % 15 + 1).to_string()).collect();
        writeln!(log, "{user} {}", row.join(" ")).unwrap();
    }
    for video in 1..=15 {
        features.insert(video.to_string(), json!([video % 4, 10 + video % 3]));
    }
    desk.write("walks.txt", log).write("attributes.json", Value::from(features).to_string());
    let line = "eval walks.txt --format s3rec --models popular,content,closed-blend --json";
    let without = desk.run(line).json();
    assert_eq!(without["left_out"], json!([{"name": "content", "reason": "needs labels or text of videos"}]));
    let with = desk.run(&format!("{line} --features attributes.json")).json();
    assert_eq!(names(&with["models"]), ["popular", "content", "closed-blend"]);
    assert_ne!(with["protocol"]["digest"], without["protocol"]["digest"]);
    desk.run(&format!("{line} --features nowhere.json")).failed(&["nowhere.json"]);
    desk.write("torn.json", "{\"1\": [1,");
    desk.run(&format!("{line} --features torn.json")).failed(&["torn.json"]);
}

#[test]
fn a_set_that_comes_split_is_asked_on_its_own_split() {
    let desk = Desk::new();
    parts(&desk, "parts", false);
    let line = "eval parts --split given --models popular,markov,slit,ease,blend,closed-blend --json";
    let report = desk.run(line).json();
    assert_eq!((&report["protocol"]["split"], &report["protocol"]["users"]), (&json!("given"), &json!(20)));
    // What needs an order is left out by name, and the blend goes on without it.
    assert_eq!(names(&report["left_out"]), ["markov", "slit"]);
    assert!(report["left_out"][0]["reason"].as_str().unwrap().contains("order"));
    assert_eq!(names(&report["models"]), ["popular", "ease", "blend", "closed-blend"]);
    let alone = desk.run("eval parts --split given --models markov --json");
    alone.failed(&["order"]);
}

#[test]
fn a_user_of_the_test_without_a_past_is_counted_and_said() {
    let desk = Desk::new();
    parts(&desk, "parts", false);
    let test = desk.read("parts/tst.csv") + "20,4\n21,5\n";
    desk.write("parts/tst.csv", test);
    let report = desk.run("eval parts --split given --models all --json").json();
    assert_eq!(report["protocol"]["users"], 22);
    let notes = report["protocol"]["notes"].to_string();
    assert!(notes.contains("2 users of the test have no history"), "{notes}");
}

#[test]
fn a_planted_leak_is_caught_by_name() {
    let desk = Desk::new();
    parts(&desk, "parts", true);
    let line = "eval parts --split given --models popular,markov --json";
    desk.run(line).json();
    // User 3 is trained on an event that is later than the question asked of them.
    let clean = desk.read("parts/trn.csv");
    desk.write("parts/trn.csv", clean.clone() + "3,5,1700090000\n");
    desk.run(line).failed(&["leak", "later than what is asked", "--allow-leak time"]);
    let report = desk.run(&format!("{line} --allow-leak time")).json();
    let open = |leak: &&Value| leak["handled"] == false && leak["leak"] == "time";
    assert!(report["protocol"]["leaks"].as_array().unwrap().iter().any(|leak| open(&leak)));
    // A run over it is measured on demand only, and can be served.
    desk.run("import parts --out run").done();
    desk.run("train run").failed(&["--allow-leak time"]);
    let ended = desk.run("recommend run --user 3 --n 2 --json");
    assert!(ended.err.contains("no results table"), "{}", ended.err);
    assert_eq!(videos_of(&ended.json()).len(), 2);
    desk.run("train run --allow-leak time --json").json();
    // A pair on both sides is masked, taken out of the truth, and told with its count.
    let (user, item) = (0, 7);
    desk.write("parts/trn.csv", clean + &format!("{user},{item},1700000002\n"));
    let report = desk.run(line).json();
    let shared = &report["protocol"]["leaks"][0];
    assert_eq!((&shared["leak"], &shared["count"]), (&json!("shared_pairs"), &json!(1)));
    assert_eq!((&shared["handled"], &report["protocol"]["users"]), (&json!(true), &json!(19)));
}

// ---- protocols and diagnosis ---------------------------------------------------------------------------------

const MOVIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/movies");

#[test]
fn protocols_stand_side_by_side_and_the_sampled_ones_are_inflated() {
    let desk = Desk::new();
    let line = format!(
        "eval {MOVIES} --protocols global-time,leave-last-out --models popular,markov --k 10 --bootstrap 20"
    );
    let told = desk.run(&format!("{line} --json --out told.json")).json();
    assert_eq!(serde_json::from_str::<Value>(&desk.read("told.json")).unwrap(), told);
    let told = &told["protocols"];
    assert_eq!((&told["strict"], &told["headline"]), (&json!("global-time/full"), &json!("ndcg@10")));
    let rows = told["rows"].as_array().unwrap();
    let protocols: Vec<&str> = rows.iter().map(|row| row["protocol"].as_str().unwrap()).collect();
    let rankings = ["full", "sampled-uniform", "sampled-popular"];
    let all: Vec<String> = ["global-time", "leave-last-out"]
        .iter()
        .flat_map(|split| rankings.map(|ranking| format!("{split}/{ranking}")))
        .collect();
    assert_eq!(protocols, all);
    let fingerprints: BTreeSet<String> = rows.iter().map(|row| row["fingerprints"].to_string()).collect();
    assert_eq!(fingerprints.len(), 6, "no two of them may be compared");
    let of = |model: &str, at: usize, what: &str| rows[at]["models"][model][what]["hr@10"].as_f64().unwrap();
    assert_eq!(of("popular", 0, "inflation"), 1.0);
    for full in [0, 3] {
        assert!(of("popular", full + 1, "metrics") > 1.5 * of("popular", full, "metrics"), "{rows:?}");
        assert!(of("markov", full + 1, "metrics") > of("markov", full, "metrics"), "{rows:?}");
    }
    let text = desk.run(&line).done().out;
    for said in ["×1.00", "for comparison with papers only", "Krichene & Rendle 2020", "Ji et al. 2020"] {
        assert!(text.contains(said), "`{said}` is missing in: {text}");
    }
}

#[test]
fn a_set_without_times_leaves_out_the_protocols_that_need_them_by_name() {
    let desk = Desk::new();
    desk.write("walks.txt", "1 2 3 4 5\n2 3 4 5 6\n3 4 5 6 7\n4 5 6 7 1\n");
    let line = "eval walks.txt --format s3rec --models popular,markov --k 2 --bootstrap 20 --protocols";
    let told = desk.run(&format!("{line} all --json")).json();
    let told = &told["protocols"];
    assert_eq!(told["strict"], "leave-last-out/full");
    assert_eq!(names(&told["left_out"]), ["global-time", "rolling"]);
    assert!(told["left_out"][0]["reason"].as_str().unwrap().contains("needs times"));
    // The protocol that others are held against is measured whether it was asked for or not.
    let told = desk.run(&format!("{line} random/sampled-uniform --json")).json();
    let rows = told["protocols"]["rows"].as_array().unwrap();
    let protocols: Vec<&Value> = rows.iter().map(|row| &row["protocol"]).collect();
    assert_eq!(protocols, ["leave-last-out/full", "random/sampled-uniform"]);
    desk.run(&format!("{line} all --split random")).wrong(&["--protocols", "--split"]);
    desk.run(&format!("{line} strictest")).wrong(&["--protocols: `strictest`", "global-time"]);
}

#[test]
fn a_diagnosis_says_what_pays_without_a_look_at_the_test() {
    let desk = desk();
    let told = desk.run("eval log.csv --diagnose --json --out told.json").json();
    assert_eq!(serde_json::from_str::<Value>(&desk.read("told.json")).unwrap(), told);
    let told = &told["diagnosis"];
    assert_eq!(
        (&told["set"], &told["split"], &told["questions"]),
        (&json!("log"), &json!("leave-last-out"), &json!(30))
    );
    let holds = |question: &str| {
        let verdicts = told["verdicts"].as_array().unwrap();
        verdicts.iter().find(|verdict| verdict["question"] == question).unwrap()["holds"].as_bool().unwrap()
    };
    // Walks: what comes next is one of two.
    assert!(holds("last_decides"), "{told}");
    assert!(told["likeness"]["absent"].as_str().unwrap().contains("labels"));
    // Whatever the last event of a user is, the diagnosis stays: it is the test.
    let log = desk.read("log.csv").replace("u5,v9,1700000507\n", "u5,v8,1700000507\n");
    assert_ne!(log, desk.read("log.csv"));
    desk.write("other.csv", log);
    let other = desk.run("eval other.csv --name log --diagnose --json").json();
    let parts = ["shape", "transitions", "drift", "models", "histories"];
    parts.iter().for_each(|part| assert_eq!(other["diagnosis"][part], told[part], "{part}"));
    let text = desk.run("eval log.csv --diagnose").done().out;
    assert!(
        text.contains("the last video decides: transitions first") && text.contains("worth a try: "),
        "{text}"
    );
    desk.run("eval log.csv --diagnose --protocols all").wrong(&["--diagnose", "--protocols"]);
}

#[test]
fn recall_is_told_of_light_and_of_active_viewers_and_not_their_gap_alone() {
    let desk = desk();
    let report = desk.run("eval log.csv --split random --models popular --k 5 --bootstrap 20 --json").json();
    let of = |name: &str| report["models"][0]["overall"][name].as_f64();
    // Everyone watched as many videos here, so all are light, and nobody is apart.
    assert!(of("recall_light_viewers@5").is_some() && of("recall_active_viewers@5").is_none());
    assert_eq!(of("recall_gap_light_active@5"), Some(0.0));
    let line = format!("eval {MOVIES} --models popular --k 10 --bootstrap 20 --json");
    let report = desk.run(&line).json();
    let of = |name: &str| report["models"][0]["overall"][name].as_f64().unwrap();
    let gap = (of("recall_light_viewers@10") - of("recall_active_viewers@10")).abs();
    assert!((gap - of("recall_gap_light_active@10")).abs() < 1e-12);
    let metrics = report["models"][0]["metrics"].as_object().unwrap();
    for name in ["novelty@10", "arp@10", "ild_jaccard_labels@10", "calibration_kl@10", "serendipity@10"] {
        assert!(metrics.contains_key(name), "{name} is missing");
    }
    assert!(of("coverage@10") > 0.0 && of("gini@10") > 0.0);
}

/// Videos of [`walks`], each with a title of its own.
fn titles(videos: usize) -> Vec<String> {
    let words = ["amber", "bridge", "candle", "desert", "engine", "forest", "garden", "harbour", "island"];
    (0..videos)
        .map(|at| format!("the {} and the {}", words[at % 9], words[(at * 5 + at / 9 + 1) % 9]))
        .collect()
}

/// That a headline is refused over an open leak, and printed beside its name where that is allowed.
fn leaks(desk: &Desk, line: &str, name: &str, said: &str) {
    desk.run(line).failed(&[&format!("leak `{name}`"), said, &format!("--allow-leak {name}")]);
    let table = desk.run(&format!("{line} --allow-leak {name}")).done().out;
    let beside = table.lines().find(|line| line.contains(&format!("--allow-leak {name}")));
    assert!(beside.is_some_and(|line| line.contains("LEAK") && line.contains(said)), "{table}");
}

#[test]
fn a_video_under_two_titles_or_two_vectors_is_a_leak() {
    let desk = desk();
    let mut titles = titles(20);
    let table = |titles: &[String]| {
        titles
            .iter()
            .enumerate()
            .fold(String::from("video_id,title\n"), |text, (at, title)| text + &format!("v{at},{title}\n"))
    };
    desk.write("titles.csv", table(&titles));
    let line = "eval log.csv --features titles.csv --models popular,markov";
    desk.run(line).done();
    titles[7] = titles[6].to_uppercase() + "!";
    desk.write("titles.csv", table(&titles));
    leaks(&desk, line, "duplicate_videos", "known under another id");
    // The same by vectors, which a run folder holds.
    let vectors = |twin: usize| {
        (0..20usize).fold(String::new(), |text, at| {
            let of = if at == 7 { twin } else { at };
            let numbers: Vec<f64> =
                (0..8).map(|n| ((of * 37 + n * 11 + of * n * 5) % 23) as f64 - 11.0).collect();
            text + &format!("{}\n", json!({"video_id": format!("v{at}"), "vector": numbers}))
        })
    };
    desk.run("import log.csv --out run").done();
    let bring = "vectors run --from vectors.jsonl --name made --vector-column vector --json";
    desk.write("vectors.jsonl", vectors(7));
    assert_eq!(desk.run(bring).json()["found"]["n"], 20);
    desk.run("eval run --models popular,markov").done();
    desk.write("vectors.jsonl", vectors(6));
    desk.run(bring).done();
    leaks(&desk, "eval run --models popular,markov", "duplicate_videos", "known under another id");
    desk.run("train run").failed(&["--allow-leak duplicate_videos"]);
}

#[test]
fn a_count_of_the_whole_log_is_a_leak_where_a_model_reads_it() {
    let desk = Desk::new();
    desk.write("set/log.csv", walks(30, 20, 8));
    let table = (0..20).fold(String::from("video_id,title,genre,play_cnt\n"), |text, at| {
        text + &format!("v{at},{},g{},{}\n", titles(20)[at], at % 3, 100 + at * at)
    });
    desk.write("set/videos.csv", table);
    let line = "eval set --split global-time --models popular,content";
    // It lies in the set and nothing reads it: told, and no reason to refuse.
    let table = desk.run(line).done().out;
    assert!(
        table.contains("`play_cnt` counts what happened in a period that is not known: no model reads it")
    );
    // As a label, content is compared by it.
    let mapped = format!("{line} --map labels=play_cnt");
    leaks(&desk, &mapped, "features_after_cut", "a model reads what may lie after the cut");
    // A model that knows no content may stand over it, and so may a split without a cut in time.
    desk.run("eval set --split global-time --models popular,markov --map labels=play_cnt").done();
    desk.run("eval set --models popular,content --map labels=play_cnt").done();
}

#[test]
fn a_column_that_is_the_answer_is_a_leak() {
    let desk = desk();
    let table = |name: &str| {
        (0..20).fold(format!("video_id,title,{name}\n"), |text, at| {
            text + &format!("v{at},{},{}\n", titles(20)[at], (at * 7 % 13) as f64 / 13.0)
        })
    };
    desk.write("facts.csv", table("brightness"));
    let line = "eval log.csv --features facts.csv --models popular,markov";
    desk.run(line).done();
    desk.write("facts.csv", table("is_positive"));
    leaks(&desk, line, "target_feature", "bears the name of the target");
}

#[test]
fn a_pool_that_knows_which_videos_occur_is_told_and_the_whole_catalogue_is_not() {
    let desk = Desk::new();
    desk.write("set/log.csv", walks(30, 20, 8) + "u0,late,1700009999\n");
    let table = titles(20)
        .iter()
        .enumerate()
        .fold(String::from("video_id,title\nnever,unseen\n"), |text, (at, title)| {
            text + &format!("v{at},{title}\n")
        });
    desk.write("set/videos.csv", table + "late,a late one\n");
    let line = "eval set --split global-time --models popular,markov --json";
    let pool = |report: Value| {
        let leaks = report["protocol"]["leaks"].as_array().unwrap().clone();
        leaks.into_iter().find(|leak| leak["leak"] == "candidate_pool")
    };
    let told = pool(desk.run(line).json()).unwrap();
    assert_eq!((&told["count"], &told["handled"]), (&json!(1), &json!(true)));
    assert_eq!(pool(desk.run(&format!("{line} --candidates catalogue")).json()), None);
}

// ---- features ------------------------------------------------------------------------------------------------

#[test]
fn features_at_a_moment_know_nothing_of_it_or_later() {
    let desk = Desk::new();
    let moment = 1_700_040_000;
    let mut before = String::from("user,video,time,watch_seconds,duration,is_like\n");
    let mut after = String::new();
    for user in 0..12 {
        for at in 0..9 {
            let (video, time) = ((user * 5 + at * 3) % 14, 1_700_000_000 + at * 7_000 + user * 13);
            let to = if time < moment { &mut before } else { &mut after };
            writeln!(to, "u{user},v{video},{time},{}.5,{},{}", 3 + at, 10 + video, (user + at) % 2).unwrap();
        }
    }
    let tables = |log: &str| -> Vec<Vec<u8>> {
        desk.write("log.csv", log);
        desk.run("import log.csv --out run --force").done();
        let line = "--of users,videos,events --impute median --scale standard --json";
        let said = desk.run(&format!("features run --at {moment} {line}")).json();
        assert_eq!(said["at_ms"], moment * 1_000_i64);
        said["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| std::fs::read(desk.path(table["file"].as_str().unwrap())).unwrap())
            .collect()
    };
    let known = tables(&before);
    assert_eq!(known.len(), 3);
    assert!(known == tables(&(before.clone() + &after)), "what followed changed a table");
    // Whatever is appended at the moment or later, by whomever, of whatever.
    let mut seed = 7u64;
    let mut next = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for _ in 0..4 {
        let mut more = before.clone();
        for at in 0..40 {
            let time = moment as u64 + if at == 0 { 0 } else { next(900_000) };
            let (user, video, seconds) = (next(20), next(25), next(90));
            writeln!(more, "u{user},v{video},{time},{seconds},{},{}", 10 + video, next(2)).unwrap();
        }
        assert!(known == tables(&more), "what was appended changed a table: {more}");
    }
}

#[test]
fn features_are_written_with_outside_ids_and_null_where_nothing_is_known() {
    use arrow_array::cast::AsArray;
    use arrow_array::{Array, types::Float32Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let desk = desk();
    desk.run("import log.csv --out run").done();
    let said = desk.run("features run --of videos --out made.parquet --json").json();
    let table = &said["tables"][0];
    assert!(said["at"].as_str().unwrap().contains("the test of a split by time"), "{said}");
    assert_eq!((&table["of"], &table["rows"]), (&json!("videos"), &json!(20)));
    assert_eq!(table["families"]["counters"], 9);
    let file = std::fs::File::open(desk.path("made.parquet")).unwrap();
    let batch =
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.num_columns(), table["columns"].as_u64().unwrap() as usize + 1);
    assert_eq!(batch.column_by_name("video").unwrap().as_string::<i32>().value(0), "v0");
    // Nobody said how long these videos are, and all were played.
    assert_eq!(batch.column_by_name("metadata.duration_of_300_s").unwrap().null_count(), 20);
    let plays = batch.column_by_name("counters.plays_7d").unwrap().as_primitive::<Float32Type>();
    assert!(plays.null_count() == 0 && plays.values().iter().sum::<f32>() > 200.0);
    // Fewer columns, named for what they are.
    let line = "features run --of videos --families engagement,counters --pca 0.95";
    let words = desk.run(line).done().out;
    assert!(words.contains("14 → ") && words.contains("run/features/videos.parquet"), "{words}");
    assert!(desk.run(&format!("{line} --json")).json()["tables"][0]["pca"]["to"].as_u64().unwrap() < 14);
    // The run is still one, and has a table that is its own.
    desk.run("train run --models popular").done();
    desk.run("features run --at 1999-01-01").failed(&["nothing of users", "1999-01-01", "--at"]);
    desk.write("walks.txt", "1 2 3 4 5\n2 3 4 5 6\n3 4 5 6 7\n");
    desk.run("import walks.txt --out walks").done();
    desk.run("features walks").failed(&["walks", "neither times nor parts", "--map time="]);
    desk.run("features nowhere").failed(&["nowhere", "upnext import"]);
}

#[test]
fn twenty_six_numbers_of_kuairecs_users_become_twenty_three() {
    let desk = Desk::new();
    // One event each, so that all 7,176 users are there.
    let log = (0..7_176).fold(String::from("user_id,video_id,time\n"), |log, user| {
        log + &format!("{user},{},{}\n", user % 50, 1_600_000_000 + user)
    });
    desk.write("log.csv", log);
    let facts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/kuairec/user_features.parquet");
    desk.upnext(&["import", "log.csv", "--features", facts, "--out", "run"]).done();
    let line = "features run --at 2030-01-01 --of users --families attributes --pca 0.95";
    let words = desk.run(line).done().out;
    assert!(words.contains("7176 rows, 26 → 23 columns (95.5 % of the variance)"), "{words}");
}

// ---- generated data, splits over time, cold starts -----------------------------------------------------------

const GENERATE: &str = "generate --users 60 --videos 90 --rows 6000 --faults duplicate=0.05,missing=0.02";

#[test]
fn generated_files_come_with_their_truth_and_are_the_same_for_the_same_seed() {
    let desk = Desk::new();
    let truth = desk.run(&format!("{GENERATE} --seed 3 --out made --json")).json();
    assert_eq!(truth["generated"], true);
    assert_eq!(truth["big_matrix"]["faults"]["duplicate"], 300);
    assert_eq!(truth["big_matrix"]["faults"]["missing"], 120);
    let matrix = desk.read("made/big_matrix.csv");
    assert_eq!(matrix.lines().count(), 6001);
    let mut seen = std::collections::HashSet::new();
    assert_eq!(matrix.lines().filter(|line| !seen.insert(*line)).count(), 300);
    assert!(desk.read("made/GENERATED.md").contains("made up"));
    desk.run(&format!("{GENERATE} --seed 3 --out again")).done();
    assert_eq!(matrix, desk.read("again/big_matrix.csv"));
    desk.run(&format!("{GENERATE} --out made")).failed(&["made", "--force"]);
    desk.run("generate --faults typo=0.1 --out other").wrong(&["--faults", "`typo`", "near_duplicate"]);
    desk.run("generate --users 1 --out other").wrong(&["1 users", "expected 2"]);
}

#[test]
fn windows_and_cold_splits_are_printed_apart_with_what_their_parts_share() {
    let desk = Desk::new();
    desk.run(&format!("{GENERATE} --seed 3 --out made")).done();
    let line = "eval made/big_matrix.csv --models popular,item-knn --k 5 --json";
    let rolled = desk.run(&format!("{line} --split rolling --folds 2")).json();
    let named = |report: &Value| names(&report["tables"]).join(", ");
    assert_eq!(named(&rolled), "window 1 of 2, window 2 of 2");
    let of = |at: usize| {
        rolled["tables"][at]["report"]["models"][0]["metrics"]["ndcg@5"]["mean"].as_f64().unwrap()
    };
    let mean = rolled["mean"]["popular"]["ndcg@5"].as_f64().unwrap();
    assert!((mean - (of(0) + of(1)) / 2.0).abs() < 1e-12);
    let monthly = desk.run(&format!("{line} --split monthly --folds 1")).json();
    assert!(monthly["protocol"]["notes"].to_string().contains("2020-09"), "{monthly}");
    assert_eq!(monthly["protocol"]["split"], "monthly");
    desk.run(&format!("{line} --split monthly")).failed(&["nothing to train on", "--folds"]);
    let cold = desk.run(&format!("{line} --split cold-videos")).json();
    assert_eq!(named(&cold), "cold, warm");
    for table in cold["tables"].as_array().unwrap() {
        assert_eq!(table["report"]["overlap"]["shared"][1]["pairs"], 0);
    }
    let made =
        desk.run(&format!("{line} --split global-time --generated-cold-users 9 --generated-cold-videos 4"));
    let made = made.json();
    assert_eq!(named(&made), "real users, generated cold users");
    let notes = made["tables"][1]["report"]["protocol"]["notes"].to_string();
    assert!(notes.contains("GENERATED"), "{notes}");
    assert_eq!(made["tables"][1]["report"]["protocol"]["users"], 9);
    assert!(made["tables"][0]["report"]["models"][0]["overall"]["generated_cold_videos_shown@5"].is_number());
    desk.run(&format!("{line} --split rolling --folds 99")).wrong(&["--folds", "1 to 7"]);
}
