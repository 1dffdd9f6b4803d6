//! The state of a run and its store by command: retrained, rolled back, read again, dumped, restored, forgotten, examined.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::fmt::Write as _;

use serde_json::{Value, json};
use terminal::{Desk, Service, desk, videos_of, walks};

// ---- retraining ----------------------------------------------------------------------------------------------

/// Asks until the answer is as it should be.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "it never came");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_service_follows_what_was_retrained_and_goes_back_when_told() {
    let desk = desk();
    desk.trained();
    desk.run("retrain run").failed(&["store.sqlite", "no store", "upnext serve"]);
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    // A new video that many who saw v3 watch next: only a model that was fitted anew can tell.
    let item = json!({"ItemId": "fresh", "IsHidden": false, "Categories": ["sport"], "Timestamp": "2023-11-15T00:00:00Z",
        "Labels": {"mood": "warm"}, "Comment": "Fresh"});
    assert_eq!(service.ask("POST", "/api/item", &item.to_string()).0, 200);
    let mut events = Vec::new();
    for user in 0..30 {
        for (video, seconds) in [("v3", 0), ("fresh", 60)] {
            let time = 1_700_100_000_000i64 + 1_000 * (600 * user + seconds);
            events.push(json!({"user": format!("new{user}"), "video": video, "action": "watch", "value": 1.0, "time": time}));
        }
    }
    assert_eq!(service.ask("POST", "/api/v2/events", &json!(events).to_string()).0, 200);

    let done = desk.run("retrain run --floor none --json").json();
    assert_eq!((&done["version"], &done["removed"]), (&json!(1), &json!([])));
    assert_eq!(done["added"], json!({"events": 60, "users": 30, "videos": 1, "dropped": 0}));
    assert_eq!(done["ranker"][0], "closed-blend");
    let of_model = |service: &Service| {
        let (status, body) = service.ask("GET", "/api/v2/recommend/new-face?n=5&pick=v3", "");
        assert_eq!(status, 200, "{body}");
        let slate: Value = serde_json::from_str(&body).unwrap();
        let is_by_model = |item: &&Value| {
            item["id"] == "fresh" && item["sources"].as_array().unwrap().iter().any(|name| name == "markov")
        };
        slate["items"].as_array().unwrap().iter().any(|item| is_by_model(&item))
    };
    until(|| of_model(&service).then_some(()));
    // Other commands know it too, and the same request is answered without a break meanwhile.
    let slate = desk.run("recommend run --user new-face --pick v3 --n 5 --json").json();
    assert!(videos_of(&slate).contains(&"fresh"), "{slate}");

    let back = desk.run("rollback run --json").json();
    assert_eq!(back, json!({"from": 1, "to": 0, "versions": [0, 1]}));
    until(|| (!of_model(&service)).then_some(()));
    desk.run("rollback run").failed(&["nothing before it"]);
    desk.run("rollback run --to 7").failed(&["000007"]);

    // What does not reach its floor, or is damaged, is not served.
    let text = desk.run("retrain run --floor closed-blend --keep 1").done().out;
    assert!(
        text.contains("version 2 is served") && !text.contains("removed"),
        "the one before stays: {text}"
    );
    until(|| of_model(&service).then_some(()));
    let model = desk.path("run/versions/000002/model.safetensors");
    std::fs::write(&model, "cut").unwrap();
    desk.run("rollback run --to 0").done();
    until(|| (!of_model(&service)).then_some(()));
    desk.run("rollback run --to 2").failed(&["model.safetensors", "changed or damaged"]);
    std::fs::write(desk.path("run/versions/current"), "2\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert!(!of_model(&service), "a damaged version is not served, and the one before goes on");
    assert_eq!(service.stop(), 0);
}

#[test]
fn a_service_retrains_at_intervals_within_its_memory() {
    let desk = desk();
    desk.trained();
    let words = "every=1s floor=none keep=2 models=popular,markov ranker=markov memory-max=16GiB";
    let service =
        Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json", "--retrain", words]);
    let versions = || -> Vec<String> {
        let entries = std::fs::read_dir(desk.path("run/versions")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    until(|| versions().contains(&"000003".to_string()).then_some(()));
    until(|| (!versions().contains(&"000001".to_string())).then_some(()));
    assert_eq!(service.ask("GET", "/api/v2/recommend/u1?n=3", "").0, 200);
    assert_eq!(service.stop(), 0);
    let before = desk.read("run/versions/current");
    let ended =
        desk.run("retrain run --floor none --models popular,markov --ranker markov --memory-max 64MiB");
    assert_ne!(ended.code, 0, "more than it may have: {}", ended.out);
    assert_eq!(desk.read("run/versions/current"), before, "what was served goes on");
    // What was being fitted ended with the service, so nobody holds the versions, and what it left half made goes.
    desk.run("retrain run --floor none --models popular,markov --ranker markov").done();
    assert!(!versions().iter().any(|name| name.starts_with('.') && name != ".lock"), "{:?}", versions());
}

#[cfg(unix)]
#[test]
fn a_configuration_is_read_again_when_told_and_one_that_is_wrong_changes_nothing() {
    let desk = desk();
    desk.trained();
    desk.write("c.toml", "[feed]\nplaces_max = 50\n");
    let words = ["serve", "run", "--listen", "127.0.0.1:0", "--json", "--config", "c.toml"];
    let service = Service::start(&desk, &words);
    let shown = |service: &Service| {
        let (status, body) = service.ask("GET", "/api/v2/recommend/u1?n=5", "");
        assert_eq!(status, 200, "{body}");
        let slate: Value = serde_json::from_str(&body).unwrap();
        [0, 4].map(|place| slate["items"][place]["id"].as_str().unwrap().to_string())
    };
    let [first, pinned] = shown(&service);
    let rule =
        format!("[[feed.rules]]\nname = \"up\"\naction = \"pin\"\nplace = 1\nvideos = [\"{pinned}\"]\n");
    desk.write("c.toml", format!("[feed]\nplaces_max = 50\n{rule}"));
    assert_eq!(shown(&service)[0], first, "nobody told it");
    service.hang_up();
    until(|| (shown(&service)[0] == pinned).then_some(()));
    desk.write("c.toml", "[feed]\nplaces = 50\n");
    service.hang_up();
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(shown(&service)[0], pinned, "a wrong one is refused, and the one before goes on");
    assert_eq!(service.stop(), 0);
}

// ---- state ---------------------------------------------------------------------------------------------------

/// Every check of `verify` or `doctor` that is not `ok`, and the exit code.
fn not_ok(desk: &Desk, line: &str) -> (i32, Vec<(String, String)>) {
    let ended = desk.run(line);
    let said: Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err));
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_string();
    let bad = said["checks"].as_array().unwrap().iter().filter(|check| check["state"] == "fail");
    (ended.code, bad.map(|check| (text(check, "name"), text(check, "text"))).collect())
}

#[test]
fn what_a_store_knows_goes_out_comes_back_and_is_forgotten() {
    const WHO: &str = "mallory-the-viewer";
    let desk = Desk::new();
    let mut log = walks(30, 20, 8);
    (0..8).for_each(|at| writeln!(log, "{WHO},v{at},{}", 1_700_000_500 + at).unwrap());
    desk.write("log.csv", log);
    desk.trained();
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let events = json!([{"user": WHO, "video": "v9", "action": "like"}, {"user": "ann", "video": "v9", "action": "like"}]);
    assert_eq!(service.ask("POST", "/api/v2/events", &events.to_string()).0, 200);

    let dumped = desk.run("dump run --out backup.jsonl --json").json();
    assert_eq!((&dumped["feedback"], &dumped["users"]), (&json!(2), &json!(2)), "while it is served");
    assert_eq!(not_ok(&desk, "verify run --json"), (0, vec![]));
    desk.upnext(&["forget", "run", "--user", WHO]).failed(&["store.sqlite", "in use"]);
    assert_eq!(service.stop(), 0);

    desk.run("restore run --from backup.jsonl").failed(&["backup.jsonl"]);
    assert_eq!(desk.run("restore other.sqlite --from backup.jsonl --json").json()["feedback"], 2);
    let text = desk.read("backup.jsonl");
    desk.write("cut.jsonl", &text[..text.len() - 30]);
    desk.run("restore third.sqlite --from cut.jsonl").failed(&["cut.jsonl", "line"]);
    // Nothing of it was taken, or the store would not be empty now.
    assert_eq!(desk.run("restore third.sqlite --from backup.jsonl --json").json()["feedback"], 2);

    let receipt = desk.upnext(&["forget", "run", "--user", WHO, "--json"]).json();
    assert_eq!((&receipt["feedback"], &receipt["events_of_runs"]), (&json!({"like": 1}), &json!(8)));
    assert_eq!(receipt["digest"].as_str().unwrap().len(), 64);
    for file in desk.files().iter().filter(|file| file.starts_with(desk.path("run")) && file.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        let is_there = bytes.windows(WHO.len()).any(|window| window == WHO.as_bytes());
        assert!(!is_there, "{} still knows", file.display());
    }
    let cold = desk.run("recommend run --user nobody --n 5 --json").json();
    let forgotten = desk.upnext(&["recommend", "run", "--user", WHO, "--n", "5", "--json"]).json();
    assert_eq!(videos_of(&cold), videos_of(&forgotten), "they are a stranger now");
    assert_eq!(not_ok(&desk, "verify run --json"), (0, vec![]));
    let again = desk.upnext(&["forget", "run", "--user", WHO, "--json"]).json();
    assert_eq!((&again["feedback"], &again["events_of_runs"]), (&json!({}), &json!(0)));
}

#[test]
fn a_doctor_names_what_serve_would_stumble_over() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    let ask = |more: &str| not_ok(&desk, &format!("doctor run --json {more}"));
    assert_eq!(ask("--listen 127.0.0.1:0"), (0, vec![]), "models are made at the start");
    desk.run("train run").done();
    assert_eq!(ask("--listen 127.0.0.1:0"), (0, vec![]));
    let (code, bad) = ask("--listen 0.0.0.0:0");
    assert!(code == 1 && bad.len() == 1 && bad[0].0 == "door" && bad[0].1.contains("key"), "{bad:?}");
    desk.write("bad.toml", "[feed]\nplaces = 3\n");
    let (code, bad) = ask("--config bad.toml");
    assert!(code == 1 && bad[0].0 == "configuration" && bad[0].1.contains("places"), "{bad:?}");
    desk.write("full.toml", "[store]\nfree_bytes_min = 9000000000000000000\n");
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let (code, bad) = ask(&format!("--listen {} --config full.toml", service.address));
    let names: Vec<&str> = bad.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((code, names), (1, vec!["store"]), "that the service has the address is no fault: {bad:?}");
    assert!(bad[0].1.contains("free_bytes_min"), "{bad:?}");
    assert_eq!(service.stop(), 0);
    std::fs::write(desk.path("run/model.safetensors"), "cut").unwrap();
    let (code, bad) = ask("--listen 127.0.0.1:0");
    assert!(
        code == 1 && bad.iter().any(|(name, text)| name == "run" && text.contains("model.safetensors")),
        "{bad:?}"
    );
    let (code, bad) = not_ok(&desk, "verify run --json");
    assert!(code == 1 && bad[0].0 == "version 0", "{bad:?}");
}
