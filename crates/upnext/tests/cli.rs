//! The command line as others script it: results on standard output, all else on standard error, exit 0 done,
//! 1 failed, 2 wrong use, and nothing half-written.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use terminal::{Desk, Service, desk, parts, videos_of, wait, walks};

const VERBS: [&str; 28] = [
    "demo",
    "generate",
    "import",
    "validate",
    "report",
    "map",
    "index",
    "vectors",
    "encode",
    "pictures",
    "features",
    "train",
    "tune",
    "export",
    "eval",
    "recommend",
    "explain",
    "serve",
    "retrain",
    "rollback",
    "doctor",
    "verify",
    "dump",
    "restore",
    "forget",
    "compact",
    "consume",
    "keys",
];

/// A report without what differs from run to run.
fn without_seconds(mut report: Value) -> Value {
    for model in report["models"].as_array_mut().unwrap() {
        let model = model.as_object_mut().unwrap();
        assert!(model.remove("fit_seconds").unwrap().as_f64().unwrap() >= 0.0);
        assert!(model.remove("score_seconds").unwrap().as_f64().unwrap() >= 0.0);
    }
    report
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

// ---- help ----------------------------------------------------------------------------------------------------

#[test]
fn every_verb_explains_itself_with_an_example() {
    let desk = Desk::new();
    let help = desk.run("--help").done();
    assert!(help.out.contains("upnext demo"), "{}", help.out);
    for verb in VERBS {
        assert!(help.out.contains(verb), "{verb} is missing in {}", help.out);
        for flag in ["--help", "-h"] {
            let help = desk.upnext(&[verb, flag]).done();
            assert!(help.out.contains("Example") && help.out.contains(&format!("upnext {verb}")));
            assert!(help.out.contains("--json") && help.err.is_empty(), "{}", help.out);
        }
    }
    assert_eq!(desk.run("--version").done().out, format!("upnext {}\n", env!("CARGO_PKG_VERSION")));
}

// ---- wrong use -----------------------------------------------------------------------------------------------

#[test]
fn wrong_use_ends_with_2_and_names_what_was_expected() {
    let desk = desk();
    desk.trained();
    let before = desk.files();
    let wrong: [(&str, &[&str]); 79] = [
        ("", &["Usage"]),
        ("dance", &["dance"]),
        ("demo --once --loud", &["--loud"]),
        ("demo --data books", &["books", "movies", "kuairec"]),
        ("demo --port 70000", &["70000"]),
        ("import", &["FILE"]),
        ("import log.csv --loud", &["--loud"]),
        ("import log.csv --format xls", &["--format", "`xls`", "parquet"]),
        ("import log.csv --map user", &["--map", "user=uid"]),
        ("import log.csv --map usr=user", &["--map", "`usr`", "video"]),
        ("import log.csv --map user=a,user=b", &["--map", "second `user`"]),
        ("import log.csv --relevance loved", &["--relevance", "`loved`", "liked"]),
        ("pictures", &["RUN", "--from"]),
        ("pictures run", &["--from"]),
        ("pictures run --from x --of sound", &["sound", "image, video"]),
        ("pictures run --from x --height 9999", &["9999", "16..=720"]),
        ("pictures run --from x --set frames=3", &["--set", "frames"]),
        ("pictures run --from x --set picture_side_max=0", &["picture_side_max", "1 to"]),
        ("features", &["RUN"]),
        ("features run --at soon", &["--at", "`soon`", "2026-03-01"]),
        ("features run --of things", &["things", "videos"]),
        ("features run --of users --out x.csv", &["--out", "x.csv", ".parquet"]),
        ("features run --of users,videos --out x.parquet", &["--out", "one kind"]),
        ("features run --pca 1.5", &["--pca", "1.5", "share"]),
        ("features run --of users --families mood", &["--families", "`mood`", "user, confidence"]),
        ("train", &["RUN"]),
        ("train run --loud", &["--loud"]),
        ("train run --models popular,markof", &["--models", "`markof`", "markov"]),
        ("train run --allow-leak most", &["--allow-leak", "`most`", "shared_pairs"]),
        ("train run --split tomorrow", &["--split", "`tomorrow`", "leave-last-out"]),
        ("index", &["RUN"]),
        ("index run --recall 2", &["--recall", "0.5 to 0.999"]),
        ("recommend run --user u1 --as-of soon", &["--as-of", "`soon`"]),
        ("train run --questions 0", &["--questions", "0"]),
        ("retrain", &["RUN"]),
        ("retrain run --ranker loud", &["--ranker", "`loud`"]),
        ("retrain run --floor loud", &["--floor", "`loud`"]),
        ("retrain run --keep 0", &["--keep"]),
        ("retrain run --memory-max many", &["--memory-max", "`many`", "2GiB"]),
        ("rollback", &["RUN"]),
        ("dump run", &["--out"]),
        ("restore run", &["--from"]),
        ("forget run", &["--user"]),
        ("verify", &["RUN"]),
        ("doctor", &["RUN"]),
        ("serve run --retrain daily", &["--retrain", "`daily`", "every=6h"]),
        ("serve run --retrain every=never", &["--retrain", "every=never", "every=6h"]),
        ("serve run --retrain keep=2", &["--retrain", "every=6h among"]),
        ("map", &["FILE"]),
        ("map log.csv --out map.xls", &["--out", ".html"]),
        ("map log.csv --viewer nobody", &["--viewer", "`nobody`"]),
        ("map log.csv --pictures-mib 9999", &["9999", "0..=512"]),
        ("map log.csv --space mood", &["--space", "`mood`", "audience"]),
        ("eval", &["FILE"]),
        ("eval log.csv --loud", &["--loud"]),
        ("eval log.csv --models markof", &["--models", "`markof`", "markov"]),
        ("eval log.csv --models ,", &["--models"]),
        ("eval log.csv --split tomorrow", &["--split", "`tomorrow`", "leave-last-out"]),
        ("eval log.csv --format xls", &["--format", "`xls`", "parquet"]),
        ("eval log.csv --map x", &["--map", "user=uid"]),
        ("eval log.csv --k 0", &["--k 0", "1 to"]),
        ("eval log.csv --k 10,99999999", &["--k 99999999", "1 to"]),
        ("eval log.csv --k ten", &["ten"]),
        ("eval log.csv --seed -1", &["-1"]),
        ("eval log.csv --bootstrap 0", &["--bootstrap", "1 to"]),
        ("eval log.csv --allow-leak most", &["--allow-leak", "`most`", "shared_pairs"]),
        ("eval log.csv --ties best", &["best", "pessimistic"]),
        ("eval log.csv --sweep theta", &["--sweep", "`theta`", "lambda=0..1/0.1"]),
        ("eval log.csv --sweep lambda=0..2/0.1", &["--sweep", "between 0 and 1"]),
        ("eval log.csv --sweep lambda --pool 5", &["--pool 5", "10 to 1000"]),
        ("eval log.csv --plot page.html", &["--sweep"]),
        ("eval log.csv --sweep lambda --split cold-users", &["--sweep", "cold-users", "leave-last-out"]),
        ("recommend run", &["--user"]),
        ("recommend run --user u1 --n 0", &["--n 0", "1 to"]),
        ("recommend run --user u1 --lambda 1.5", &["--lambda", "0 to 1"]),
        ("recommend run --all", &["--out"]),
        ("recommend run --all --out top.xls", &["--out", ".parquet"]),
        ("explain run --user u1", &["--video"]),
        ("serve run --listen nowhere", &["nowhere", "127.0.0.1"]),
    ];
    for (line, parts) in wrong {
        desk.run(line).wrong(parts);
    }
    for line in [
        "recommend run --user u1 --n 99999999",
        "recommend run --user u1 --loud",
        "recommend run --user u1 --all --out top.csv",
        "recommend run --user u1 --out top.csv",
        "recommend run --user u1 --lambda nan",
        "explain run --user u1 --video v1 --n 0",
        "explain run --user u1 --video v1 --loud",
        "serve run --loud",
        "serve",
    ] {
        desk.run(line).wrong(&[]);
    }
    assert_eq!(desk.files(), before);
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
    assert_eq!(models.len(), 35, "{models:?}");
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

// ---- small and strange sets ----------------------------------------------------------------------------------

#[test]
fn a_list_longer_than_the_catalogue_is_the_catalogue() {
    let desk = desk();
    let report = desk.run("eval log.csv --models all --k 1,10000 --json").json();
    for model in report["models"].as_array().unwrap() {
        assert_eq!(model["metrics"]["hr@10000"]["mean"], 1.0, "{}", model["name"]);
    }
    desk.trained();
    let slate = desk.run("recommend run --user u1 --n 1000 --json").json();
    let mut shown = videos_of(&slate);
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), 12, "20 videos less the 8 that u1 has seen, each once");
}

#[test]
fn tiny_sets_are_measured_or_refused_never_panicked_over() {
    let desk = Desk::new();
    for (users, videos, events) in [(2, 2, 2), (3, 4, 4), (3, 6, 6), (4, 3, 3), (12, 2, 2)] {
        desk.write("log.csv", walks(users, videos, events));
        for split in ["leave-last-out", "global-time", "per-user-90-10", "random"] {
            let ended = desk.run(&format!("eval log.csv --split {split} --models all --k 1,3,10000 --json"));
            match ended.code {
                0 => drop(ended.json()),
                _ => drop(ended.failed(&["log", "no user to test", "use more data"])),
            }
        }
    }
}

#[test]
fn a_set_too_small_to_measure_is_served_all_the_same() {
    let desk = Desk::new();
    desk.write("log.csv", walks(3, 5, 2));
    desk.run("import log.csv --out run").done();
    desk.run("train run").failed(&["no user to test"]);
    let ended = desk.run("recommend run --user u0 --n 2 --json");
    assert!(ended.err.contains("no results table"), "{}", ended.err);
    assert_eq!(videos_of(&ended.json()).len(), 2);
}

#[test]
fn a_map_is_drawn_of_what_there_is_and_kept_in_the_run() {
    let desk = desk();
    // A log alone knows who watched what, and no genres.
    let numbers = desk.run("map log.csv --out map.html --json").json();
    assert_eq!(names(&numbers["spaces"]), ["audience"]);
    assert_eq!((&numbers["drawn"], &numbers["spaces"][0]["purity"]), (&20.into(), &Value::Null));
    assert!(desk.read("map.html").contains("default-src 'none'"));
    desk.write("two.csv", "user,video\na,x\nb,y\n");
    assert_eq!(desk.run("map two.csv --json --out two.html").json()["drawn"], 2);

    desk.run("import log.csv --out run").done();
    let printed = desk.run("map run --viewer u1").done().out;
    assert!(printed.contains("20 of 20 videos drawn in audience") && printed.contains("trust"), "{printed}");
    assert!(desk.path("run/map.html").is_file() && desk.path("run/map.bin").is_file());
    let off = desk.write("off.toml", "[map]\nvideos_max = 0\n").run("map log.csv --config off.toml");
    off.failed(&["switched off", "videos_max"]);
}

#[test]
fn tied_times_keep_the_order_of_the_file() {
    let desk = Desk::new();
    let mut tied = String::from("user,video,time\n");
    let mut two_moments = tied.clone();
    for user in 0..12 {
        for at in 0..6 {
            let video = (user + at) % 9;
            writeln!(tied, "u{user},v{video},1700000000").unwrap();
            writeln!(two_moments, "u{user},v{video},{}", 1_700_000_000 + i32::from(user > 8)).unwrap();
        }
    }
    desk.write("tied.csv", tied).write("two_moments.csv", two_moments);
    for file in ["tied.csv", "two_moments.csv"] {
        for split in ["global-time", "per-user-90-10", "random"] {
            desk.run(&format!("eval {file} --split {split} --models all --json")).json();
        }
    }
    // Within one moment the file's order is all there is, and it is a walk.
    let report = desk.run("eval tied.csv --split leave-last-out --models popular,markov --k 1 --json").json();
    assert_eq!(report["models"][1]["metrics"]["hr@1"]["mean"], 1.0);
}

#[test]
fn ids_may_be_any_text() {
    let desk = Desk::new();
    let odd = [
        "ü/ñ", "a b", "a,b", "<script>", "日本", "\"q\"", "..", "%00", "-1", "--json", "💥", "a\tb",
        "';drop", "NULL", "0",
    ];
    let quoted = |id: &str| format!("\"{}\"", id.replace('"', "\"\""));
    let mut log = String::from("user,video,time\n");
    for user in 0..odd.len() {
        for at in 0..6 {
            let video = quoted(odd[(user + at) % odd.len()]);
            writeln!(log, "{},{video},{}", quoted(odd[user]), 1_700_000_000 + user * 10 + at).unwrap();
        }
    }
    desk.write("log.csv", log).trained();
    for user in odd {
        let slate =
            desk.upnext(&["recommend", "run", &format!("--user={user}"), "--n", "5", "--json"]).json();
        let shown = videos_of(&slate);
        assert_eq!(shown.len(), 5, "{user:?}");
        let video = format!("--video={}", shown[0]);
        let told = desk.upnext(&["explain", "run", &format!("--user={user}"), &video, "--json"]).json();
        assert_eq!((told["user"].as_str(), told["place"].as_u64()), (Some(user), Some(1)));
    }
    let negative = desk.run("recommend run --user -1 --n 3 --json").json();
    assert_eq!(videos_of(&negative).len(), 3);
    desk.run("recommend run --all --n 4 --out top.csv").done();
    let back = desk.run("import top.csv --map user=user,video=video,time=- --out back --json").json();
    assert_eq!((&back["users"], &back["events"]), (&json!(odd.len()), &json!(4 * odd.len())));
}

// ---- import --------------------------------------------------------------------------------------------------

#[test]
fn import_says_what_it_dropped_and_why() {
    let desk = Desk::new();
    let log = "uid,vid,ts,rating\na,x,1700000000,4\na,y,1700000001,NaN\na,z,1700000002,inf\nb,x,-5,3\nb,y,99999999999,3\n\
               b,z,1700000003,5\nb,z,1700000003,5\n,x,1700000004,5\nc,x,1700000005,good\nc,y,1700000006,2\n";
    desk.write("log.csv", log);
    let said = desk.run("import log.csv --map user=uid,video=vid,time=ts --out run --json").json();
    let cleaning = &said["cleaning"];
    assert_eq!((&cleaning["read"], &cleaning["kept"]), (&json!(10), &json!(3)));
    let dropped = |reason: &str| {
        let all = cleaning["dropped"].as_array().unwrap();
        all.iter().find(|one| one["reason"] == reason).unwrap()
    };
    let expected = [
        ("missing", 1),
        ("duplicate", 1),
        ("negative_time", 1),
        ("future_time", 1),
        ("non_finite", 2),
        ("malformed", 1),
        ("impossible_duration", 0),
    ];
    for (reason, rows) in expected {
        assert_eq!(dropped(reason)["rows"], rows, "{reason}");
        assert_eq!(dropped(reason)["percent"], 10.0 * f64::from(rows), "{reason}");
    }
    assert_eq!(dropped("malformed")["examples"][0]["line"], 10);
    let stored: Value = serde_json::from_str(&desk.read("run/cleaning.json")).unwrap();
    assert_eq!(&stored, cleaning);
    let text = desk.run("import log.csv --map user=uid,video=vid,time=ts --out run --force").done();
    assert!(text.out.contains("dropped: duplicate") && text.out.contains("10.00 %"), "{}", text.out);
    // Found by their usual names too, without a map.
    desk.run("import log.csv --out guessed").done();
}

#[test]
fn import_names_the_columns_that_it_does_not_read() {
    let desk = Desk::new();
    let log = walks(4, 5, 4).replace("user,video,time", "user,video,time,mood").replace('\n', ",x\n");
    desk.write("log.csv", log.replacen("mood,x", "mood", 1));
    let said = desk.run("import log.csv --out run --json").json();
    assert!(said["recognised"].as_str().unwrap().contains("not read: mood"), "{said}");
}

#[test]
fn what_cannot_be_imported_is_named_and_leaves_nothing_behind() {
    let desk = Desk::new();
    let rows = |row: &dyn Fn(usize) -> String| -> String { (0..20).map(|at| row(at) + "\n").collect() };
    let time = |at: usize| 1_700_000_000 + at;
    let header = "user,video,time\n".to_string();
    let bad: [(&str, String, &[&str]); 12] = [
        ("empty.csv", String::new(), &["empty.csv", "is empty", "expected"]),
        ("header.csv", header.clone(), &["header.csv", "is empty", "below the header"]),
        ("columns.csv", "a,b\nx,y\n".into(), &["columns.csv", "`a`, `b`", "--map user=COLUMN"]),
        (
            "twice.csv",
            "user,video,user\nx,y,z\n".into(),
            &["twice.csv", "`user` occurs 2 times", "rename or remove"],
        ),
        (
            "text.csv",
            header.clone() + &rows(&|at| format!("u{at},v{at},noon")),
            &["text.csv, line 2", "`time`", "`noon`", "1970", "--map time=COLUMN"],
        ),
        (
            "nan.csv",
            "user,video,rating\n".to_string() + &rows(&|at| format!("u{at},v{at},NaN")),
            &["nan.csv", "20 non-finite", "line 2", "finite number"],
        ),
        (
            "future.csv",
            header.clone() + &rows(&|at| format!("u{at},v{at},99999999999")),
            &["future.csv", "20 future time", "line 2"],
        ),
        (
            "before.csv",
            header.clone() + &rows(&|at| format!("u{at},v{at},-7")),
            &["before.csv", "20 negative time", "line 2"],
        ),
        (
            "one_user.csv",
            header.clone() + &rows(&|at| format!("u,v{at},{}", time(at))),
            &["one_user.csv", "only one user (`u`)", "at least two"],
        ),
        (
            "one_video.csv",
            header.clone() + &rows(&|at| format!("u{at},v,{}", time(at))),
            &["one_video.csv", "only one video (`v`)", "at least two"],
        ),
        (
            "no_positive.csv",
            "user,video,ratio\n".to_string() + &rows(&|at| format!("u{at},v{at},0.1")),
            &["no_positive.csv", "20 read as `watch`", "watch ratio 0.1", "--relevance \"watch_ratio>=0.1\""],
        ),
        (
            "prose.txt",
            "Call me Ishmael.\nSome years ago\n".into(),
            &["prose.txt", "not recognised", "--format"],
        ),
    ];
    for (name, content, _) in &bad {
        desk.write(name, content);
    }
    // A stored block of 255 bytes, of which a few are there.
    let torn = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 255, 0, 0, 255][..], header.as_bytes()].concat();
    desk.write("torn.csv.gz", torn).write("torn.parquet", b"PAR1 and no more");
    let before = desk.files();
    for (name, _, parts) in &bad {
        desk.run(&format!("import {name} --out run --json")).failed(parts);
        desk.run(&format!("eval {name} --json")).failed(parts);
    }
    for verb in ["import", "eval"] {
        desk.run(&format!("{verb} torn.csv.gz")).failed(&["torn.csv.gz", "gzip", "end early", "again"]);
        desk.run(&format!("{verb} torn.parquet")).failed(&["torn.parquet", "Parquet", "again"]);
        desk.run(&format!("{verb} nowhere.csv")).failed(&["nowhere.csv", "cannot be read"]);
        desk.run(&format!("{verb} columns.csv --map user=a,video=film")).failed(&[
            "columns.csv",
            "no column `film` for `video`",
            "--map video=COLUMN",
        ]);
    }
    assert_eq!(desk.files(), before);
}

#[test]
fn a_run_folder_is_not_overwritten_unasked() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    desk.run("import log.csv --out run").failed(&["run", "is there already", "--force"]);
    desk.run("import log.csv --out run --force").done();
    desk.write("file", "mine");
    let before = desk.files();
    desk.run("import log.csv --out file").failed(&["file", "is there already"]);
    desk.run("import log.csv --out file --force").failed(&["file", "is there already"]);
    desk.run("import log.csv --out file/run").failed(&["file", "cannot be written"]);
    desk.run("train file").failed(&["file", "not a run folder", "upnext import"]);
    desk.run("serve file").failed(&["file", "not a run folder"]);
    desk.run("recommend file --user a").failed(&["file", "not a run folder"]);
    assert_eq!((desk.files(), desk.read("file").as_str()), (before, "mine"));
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_unicode_is_no_panic() {
    use std::os::unix::ffi::OsStrExt;
    let desk = Desk::new();
    let name = std::ffi::OsStr::from_bytes(b"log\xff.csv");
    std::fs::write(desk.path("").join(name), walks(5, 5, 4)).unwrap();
    desk.write("log.csv", walks(5, 5, 4)).run("import log.csv --out run").done();
    for (line, option) in
        [("eval", None), ("import --json", None), ("recommend run --all --json", Some("--out"))]
    {
        let mut command = desk.command(&line.split(' ').collect::<Vec<_>>());
        let output = command.args(option).arg(name).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked") && output.status.code() == Some(0), "{line}: {said}");
    }
}

// ---- recommend and explain -----------------------------------------------------------------------------------

#[test]
fn from_a_log_to_a_personal_and_explained_slate() {
    let desk = desk();
    let imported = desk.run("import log.csv --out run --json").json();
    assert_eq!(
        (&imported["users"], &imported["videos"], &imported["events"]),
        (&json!(30), &json!(20), &json!(240))
    );
    let report = desk.run("train run --json").json();
    assert_eq!(names(&report["models"]).last(), Some(&"closed-blend"));
    assert_eq!(serde_json::from_str::<Value>(&desk.read("run/report.json")).unwrap(), report);

    let personal = desk.run("recommend run --user u1 --n 5 --json").json();
    let shown = videos_of(&personal);
    let other = desk.run("recommend run --user u8 --n 5 --json").json();
    let cold = desk.run("recommend run --user nobody --n 5 --json").json();
    assert_eq!((shown.len(), videos_of(&cold).len(), &cold["failures"]), (5, 5, &json!([])));
    assert!(shown != videos_of(&other) && shown != videos_of(&cold));
    let seen: Vec<String> = (0..8).map(|at| format!("v{}", (7 + at * 2) % 20)).collect();
    assert!(shown.iter().all(|video| !seen.contains(&(*video).to_string())), "{shown:?}");
    let picked = desk.run("recommend run --user nobody --pick v3,v4,v5 --n 5 --json").json();
    assert!(videos_of(&picked) != videos_of(&cold) && !videos_of(&picked).contains(&"v4"));
    assert_eq!(names(&personal["trace"]["stages"]), ["sources", "filters", "scorers", "rerank"]);
    let text = desk.run("recommend run --user u1 --n 5").done().out;
    assert!(shown.iter().all(|video| text.contains(video)), "{text}");

    let explain = |user: &str, video: &str| {
        desk.run(&format!("explain run --user {user} --video {video} --n 5 --json")).json()
    };
    let why = explain("u1", shown[0]);
    assert_eq!((&why["verdict"], &why["place"]), (&json!("shown"), &json!(1)));
    assert!(
        !why["reason"]["text"].as_str().unwrap().is_empty() && !why["parts"].as_array().unwrap().is_empty()
    );
    assert!(
        why["because"].as_array().unwrap().iter().all(|one| seen.iter().any(|video| one["video"] == *video))
    );
    let lost = explain("u1", &seen[0]);
    assert_eq!(lost["verdict"], "filtered");
    let lost_by: Vec<&Value> =
        lost["filters"].as_array().unwrap().iter().filter(|filter| filter["keeps"] == false).collect();
    assert_eq!(lost_by, [&json!({"name": "seen", "keeps": false})]);
    assert_eq!(explain("nobody", shown[0])["user"], "nobody");
    assert_eq!(explain("u1", "nothing")["verdict"], "unknown_video");
    let text = desk.run(&format!("explain run --user u1 --video {}", seen[0])).done().out;
    assert!(text.contains(&seen[0]) && text.contains("seen"), "{text}");
}

#[test]
fn an_index_is_built_once_then_opened_and_changes_no_answer() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    desk.run("index run").failed(&["run", "no models", "upnext train"]);
    desk.run("train run --ranker two-tower").done();
    let built = |line: &str| {
        let said = desk.run(line).json();
        let all = said["indexes"].as_array().unwrap();
        assert!(!all.is_empty(), "{said}");
        for one in all {
            assert!(desk.path(one["file"].as_str().unwrap()).exists(), "{one}");
            assert_eq!(one["rows"], 20, "{one}");
        }
        all.iter().map(|one| one["was_there"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert!(built("index run --json").iter().all(|was_there| !was_there));
    assert!(built("index run --json").iter().all(|was_there| *was_there));
    assert!(built("index run --recall 0.99 --json").iter().all(|was_there| !was_there), "built for less");
    assert!(built("index run --json").iter().all(|was_there| *was_there), "more than enough");
    let text = desk.run("index run").done().out;
    assert!(
        text.contains("20 vectors of") && text.contains("recall 0.99") && text.contains("opened"),
        "{text}"
    );

    // Asked as a large catalogue is: with the index, and, where it is gone, by looking at every video.
    desk.write("large.toml", "[feed]\nexact_videos_max = 0\n");
    let asked = |more: &str| {
        let ended = desk.run(&format!("recommend run --user u1 --n 5 --json{more}"));
        let warned = ended.err.contains("upnext index");
        (warned, ended.json()["slate"].clone())
    };
    let (whole, with_index) = (asked(""), asked(" --config large.toml"));
    let ids = |slate: &Value| -> Vec<String> {
        slate.as_array().unwrap().iter().map(|slot| slot["video"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!((whole.0, with_index.0, ids(&with_index.1).len()), (false, false, 5));
    for file in std::fs::read_dir(desk.path("run/index")).unwrap() {
        let (file, bytes) = (file.unwrap().path(), b"cut");
        std::fs::write(&file, bytes).unwrap();
    }
    let without = asked(" --config large.toml");
    assert!(without.0, "what is damaged is said, and how it is built");
    assert_eq!(ids(&without.1), ids(&with_index.1));
    assert!(built("index run --json").iter().all(|was_there| !was_there), "what is damaged is built again");
}

#[test]
fn a_replay_gives_the_same_bytes_and_knows_nothing_of_later() {
    let desk = desk();
    desk.trained();
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let event = |video: &str, time: i64| {
        json!([{"user": "u1", "video": video, "action": "like", "time": time}]).to_string()
    };
    let at = |seconds: i64| 1_750_000_000_000 + 1_000 * seconds;
    let replay = |seconds: i64| {
        let ended = desk.run(&format!("recommend run --user u1 --n 6 --json --as-of {}", at(seconds)));
        ended.done().out
    };
    assert_eq!(service.ask("POST", "/api/v2/events", &event("v3", at(10))).0, 200);
    let early = [replay(5), replay(20)];
    assert_eq!(early, [replay(5), replay(20)], "the same moment, the same bytes");
    assert_ne!(early[0], early[1], "what was liked between counts from then on");
    let liked: Value = serde_json::from_str(&early[1]).unwrap();
    assert!(!videos_of(&liked).contains(&"v3"));
    for (second, video) in [(30, "v18"), (40, "v19")] {
        assert_eq!(service.ask("POST", "/api/v2/events", &event(video, at(second))).0, 200);
    }
    assert_eq!(early, [replay(5), replay(20)], "what came later changes nothing of it");
    assert_ne!(early[1], replay(50));
    assert_eq!(service.stop(), 0);
    assert_eq!(early, [replay(5), replay(20)], "nor does the end of the service");
}

#[test]
fn why_not_names_the_filter_and_the_rule() {
    let desk = desk();
    desk.trained();
    let explain = |user: &str, video: &str, more: &[&str]| {
        let mut words = vec!["explain", "run", "--user", user, "--video", video, "--n", "3", "--json"];
        words.extend(more);
        desk.upnext(&words).json()
    };
    let shown = desk.run("recommend run --user u1 --n 3 --json").json();
    let first = videos_of(&shown)[0];
    assert_eq!(explain("u1", first, &[])["verdict"], "shown");
    let refused = explain("u1", first, &["--filter", "genre:Comedy"]);
    assert_eq!(refused["verdict"], "filtered");
    assert!(refused["text"].as_str().unwrap().contains("expression"), "{refused}");

    desk.write(
        "rules.toml",
        format!(
            "[[feed.rules]]\nname = \"not now\"\naction = \"bury\"\namount = 1.0\nvideos = [\"{first}\"]\n\n\
             [[feed.rules]]\nname = \"up\"\naction = \"pin\"\nplace = 1\nvideos = [\"v1\", \"v2\", \"v4\"]\n"
        ),
    );
    let buried = explain("u1", first, &["--config", "rules.toml"]);
    assert_ne!((&buried["verdict"], &buried["place"]), (&json!("shown"), &json!(1)));
    let parts: Vec<&str> =
        buried["parts"].as_array().unwrap().iter().map(|part| part[0].as_str().unwrap()).collect();
    assert!(parts.contains(&"rule not now"), "{buried}");
    let pinned = desk.run("recommend run --user u1 --n 3 --json --config rules.toml").json();
    let reasons: Vec<&str> = pinned["slate"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot["reason"]["text"].as_str().unwrap())
        .collect();
    assert!(reasons.iter().any(|text| text.contains("up")), "{reasons:?}");
}

#[test]
fn lists_of_all_users_go_into_a_file_of_each_kind() {
    let desk = desk();
    desk.trained();
    let mut rows = Vec::new();
    for name in ["top.csv", "top.jsonl", "top.parquet"] {
        let said = desk.run(&format!("recommend run --all --n 4 --out {name} --json")).json();
        assert_eq!(said, json!({"out": name, "users": 30, "rows": 120}));
        let back = desk.run(&format!("import {name} --out back_{name} --json")).json();
        assert_eq!((&back["users"], &back["events"]), (&json!(30), &json!(120)), "{name}");
        rows.push(desk.path(name));
    }
    let csv = desk.read("top.csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("user,video,rank,score"));
    assert!(lines.next().unwrap().starts_with("u0,v") && csv.lines().count() == 121);
    let first: Value = serde_json::from_str(desk.read("top.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!((&first["user"], &first["rank"]), (&json!("u0"), &json!(1)));
    assert!(std::fs::read(desk.path("top.parquet")).unwrap().ends_with(b"PAR1"));
    // One user's slate and that user's rows are the same.
    let slate = desk.run("recommend run --user u0 --n 4 --json").json();
    let of_user: Vec<&str> =
        csv.lines().filter_map(|line| line.strip_prefix("u0,")?.split(',').next()).collect();
    assert_eq!(videos_of(&slate), of_user);
    // A parquet file that ends early, and places that cannot be written.
    let bytes = std::fs::read(desk.path("top.parquet")).unwrap();
    desk.write("short.parquet", &bytes[..bytes.len() / 2]).write("file", "");
    let before = desk.files();
    desk.run("import short.parquet --out short").failed(&["short.parquet", "Parquet", "again"]);
    desk.run("recommend run --all --out nowhere/top.csv").failed(&["nowhere/top.csv", "cannot be written"]);
    desk.run("recommend run --all --out file/top.csv").failed(&["file/top.csv", "cannot be written"]);
    assert_eq!(desk.files(), before);
}

#[test]
fn a_run_that_was_never_trained_is_trained_at_its_first_question() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    let ended = desk.run("recommend run --user u1 --n 3 --json");
    assert!(ended.err.contains("no models yet"), "{}", ended.err);
    let first = ended.json();
    let again = desk.run("recommend run --user u1 --n 3 --json");
    assert!(!again.err.contains("no models yet"), "{}", again.err);
    assert_eq!(videos_of(&first), videos_of(&again.json()));
}

#[test]
fn a_run_of_another_version_or_with_a_changed_file_is_refused() {
    let desk = desk();
    desk.trained();
    let manifest = desk.read("run/manifest.json");
    let questions = [
        "recommend run --user u1",
        "explain run --user u1 --video v1",
        "serve run --listen 127.0.0.1:0",
        "eval run",
        "train run",
    ];
    let refused = |parts: &[&str]| questions.map(|line| desk.run(line).failed(parts));
    desk.write("run/manifest.json", manifest.replacen("\"format\": 1", "\"format\": 7", 1));
    refused(&["run", "format 7", "import again"]);
    desk.write("run/manifest.json", "{\"format\": 1,");
    refused(&["manifest.json", "cannot be read"]);
    desk.write("run/manifest.json", &manifest);

    let events = std::fs::read(desk.path("run/dataset/events.parquet")).unwrap();
    let mut changed = events.clone();
    changed[events.len() / 2] ^= 1;
    desk.write("run/dataset/events.parquet", changed);
    refused(&["events.parquet", "changed or damaged", "upnext import"]);
    std::fs::remove_file(desk.path("run/dataset/events.parquet")).unwrap();
    refused(&["events.parquet", "missing", "upnext import"]);
    desk.write("run/dataset/events.parquet", events);

    let model = std::fs::read(desk.path("run/model.safetensors")).unwrap();
    desk.write("run/model.safetensors", &model[..model.len() - 9]);
    for line in &questions[..3] {
        desk.run(line).failed(&["model.safetensors", "changed or damaged", "upnext train"]);
    }
    // What the message says helps.
    desk.run("train run").done();
    desk.run("recommend run --user u1").done();
    std::fs::remove_dir_all(desk.path("run")).unwrap();
    refused(&["run"]);
}

// ---- serve and demo ------------------------------------------------------------------------------------------

#[cfg(unix)]
#[test]
fn serve_says_where_answers_and_stops_when_told() {
    let desk = desk();
    desk.trained();
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let (status, body) = service.ask("GET", "/api/health/ready", "");
    assert_eq!(status, 200, "{body}");
    let (status, body) = service.ask("GET", "/api/v2/recommend/u1?n=3", "");
    let slate: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, slate["items"].as_array().unwrap().len()), (200, 3), "{body}");
    // Another process may ask the same run meanwhile, and knows what happened since.
    let shown = slate["items"][0]["id"].as_str().unwrap();
    let like = json!([{"user": "u1", "video": shown, "action": "like"}]).to_string();
    assert_eq!(service.ask("POST", "/api/v2/events", &like).0, 200);
    let told = desk.run(&format!("explain run --user u1 --video {shown} --json")).json();
    assert_eq!(told["verdict"], "filtered");

    let taken = service.address.clone();
    let second = desk.upnext(&["serve", "run", "--listen", &taken]);
    second.failed(&[&taken, "in use", "port 0"]);
    let port = taken.rsplit(':').next().unwrap();
    desk.run(&format!("demo --port {port}")).failed(&["in use"]);
    assert_eq!(service.stop(), 0);
    let plain = desk.command(&["serve", "run", "--listen", &taken]).spawn();
    let mut plain = plain.unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(plain.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    assert!(line.contains(&format!("http://{taken}")), "the port is free again: {line}");
    plain.kill().unwrap();
    plain.wait().unwrap();
}

#[test]
fn an_address_that_others_reach_needs_a_key_before_anything_is_fitted() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    let before = desk.files();
    desk.run("serve run --listen 0.0.0.0:0").failed(&["0.0.0.0", "key", "127.0.0.1"]);
    let elsewhere = desk.run("serve run --listen 192.0.2.1:8088").failed(&["192.0.2.1:8088", "this machine"]);
    assert_eq!(elsewhere.err.matches("os error").count(), 1, "a cause is told once: {}", elsewhere.err);
    assert_eq!(desk.files(), before, "neither models nor a store were made");
    let service =
        Service::start(&desk, &["serve", "run", "--listen", "0.0.0.0:0", "--key", "secret", "--json"]);
    let event = r#"[{"user":"u1","video":"v1","action":"like"}]"#;
    assert_eq!(service.ask("POST", "/api/v2/events", event).0, 401);
}

#[cfg(unix)]
#[test]
fn tenants_are_served_beside_each_other_and_a_start_that_fitted_models_stops_in_order() {
    let desk = desk();
    for run in ["one", "two"] {
        desk.run(&format!("import log.csv --out {run}")).done();
    }
    let tenants = ["serve", "--tenant", "one=one", "--tenant", "two=two"];
    let service = Service::start(&desk, &[&tenants[..], &["--listen", "127.0.0.1:0", "--json"]].concat());
    let (status, body) = service.ask("GET", "/api/v2/recommend/u1", "");
    assert!(status == 400 && body.contains("missing_tenant"), "{body}");
    assert_eq!(service.ask("GET", "/api/health/ready", "").0, 200);
    assert_eq!(service.stop(), 0);
    desk.run("serve --tenant one").wrong(&["--tenant", "NAME=RUN"]);
    desk.run("serve one --tenant two=two").wrong(&["--tenant"]);
}

#[test]
fn a_key_is_shown_once_listed_without_its_secret_and_revoked() {
    let desk = desk();
    let made = desk
        .run("keys new --role write --role read --tenant films --name app --file keys.toml --json")
        .json();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let kept = desk.read("keys.toml");
    assert!(key.starts_with(&format!("upnext_{id}_")) && kept.trim_end() == made["line"].as_str().unwrap());
    assert!(!kept.contains(key.rsplit('_').next().unwrap()), "{kept}");
    let listed = desk.run("keys list --file keys.toml --json").json();
    assert_eq!(listed["keys"][0]["roles"], json!(["read", "write"]));
    desk.write("upnext.toml", "[serve]\nkeys_file = \"keys.toml\"\n");
    assert!(desk.run("keys list --config upnext.toml").done().out.contains("films"));
    desk.run(&format!("keys revoke {id} --file keys.toml")).done();
    desk.run(&format!("keys revoke {id} --file keys.toml")).failed(&[id, "no key"]);
    assert!(desk.run("keys new --role admin").done().out.contains("add this line"));
    desk.run("keys list").wrong(&["--file", "keys"]);
    desk.run("keys new --role root").wrong(&["root", "admin"]);
}

#[test]
fn a_configuration_is_checked_by_key() {
    let desk = desk();
    desk.trained();
    desk.write("wrong.toml", "[feed]\nplaces = 3\n").write("torn.toml", "[feed\n");
    for verb in
        ["recommend run --user u1", "explain run --user u1 --video v1", "serve run --listen 127.0.0.1:0"]
    {
        desk.run(&format!("{verb} --config wrong.toml")).failed(&["wrong.toml", "places"]);
        desk.run(&format!("{verb} --config torn.toml")).failed(&["torn.toml"]);
        desk.run(&format!("{verb} --config nowhere.toml")).failed(&["nowhere.toml"]);
    }
    desk.write("store", "this is no database, and long enough to look like one".repeat(100));
    desk.run("serve run --listen 127.0.0.1:0 --store store").failed(&["store"]);
}

#[test]
fn the_demo_prints_its_table_once_and_ends() {
    let desk = Desk::new();
    let ended = desk.run("demo --data kuairec --once --json");
    assert!(ended.err.contains("CC BY-SA"), "{}", ended.err);
    let report = ended.json();
    assert_eq!(
        (&report["protocol"]["set"], &report["protocol"]["split"]),
        (&json!("kuairec"), &json!("given"))
    );
    // The sample has no times: what needs an order is left out by name.
    assert_eq!(names(&report["left_out"]), ["markov"]);
    let ndcg = |name: &str| {
        let models = report["models"].as_array().unwrap();
        let model = models.iter().find(|model| model["name"] == name).unwrap();
        model["metrics"]["ndcg@10"]["mean"].as_f64().unwrap()
    };
    assert!(ndcg("popular") > 2.0 * ndcg("random") && ndcg("closed-blend") > 2.0 * ndcg("random"));
    assert_eq!(desk.files(), BTreeSet::new());
}

#[cfg(unix)]
#[test]
fn the_demo_is_up_before_it_has_learnt_and_stops_when_told() {
    let desk = Desk::new();
    let service = Service::start(&desk, &["demo", "--data", "kuairec", "--port", "0", "--json"]);
    let (status, page) = service.ask("GET", "/", "");
    assert!(status == 200 && page.contains("<html"), "{status}");
    let (status, about) = service.ask("GET", "/api/v2/about", "");
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!((status, &about["name"], &about["users"]), (200, &json!("kuairec"), &json!(1411)));
    assert_eq!(service.stop(), 0);
    assert_eq!(desk.files(), BTreeSet::new(), "it leaves nothing where it was started");
}

// ---- pipes ---------------------------------------------------------------------------------------------------

#[test]
fn a_reader_that_has_had_enough_is_no_panic() {
    let desk = desk();
    desk.trained();
    for line in [
        "--help",
        "import log.csv --out again --force --json",
        "eval log.csv --models popular --json",
        "eval log.csv --models popular",
        "train run",
        "recommend run --user u1 --json",
        "explain run --user u1 --video v1",
    ] {
        let mut child = desk.command(&line.split(' ').collect::<Vec<_>>()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert_eq!((wait(&mut child), said.contains("panicked")), (0, false), "{line}: {said}");
    }
    // Nor is one who does not listen to what is said aside.
    for (line, code) in
        [("eval log.csv --models popular --json", 0), ("eval nowhere.csv", 1), ("eval --loud", 2)]
    {
        let mut child = desk.command(&line.split(' ').collect::<Vec<_>>()).spawn().unwrap();
        drop(child.stderr.take());
        std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        assert_eq!(wait(&mut child), code, "{line}");
    }
}
