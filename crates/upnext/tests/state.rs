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
    assert_eq!(done["ranker"][0], "auto");
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
fn what_can_be_derived_is_made_anew_when_told() {
    let desk = desk();
    desk.run("import log.csv --out run").done();
    desk.run("train run --ranker two-tower").done();
    desk.run("index run").done();
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let events = json!([{"user": "ann", "video": "v9", "action": "like"}, {"user": "bob", "video": "v9", "action": "like"}]);
    assert_eq!(service.ask("POST", "/api/v2/events", &events.to_string()).0, 200);
    let said = not_ok(&desk, "verify run --rebuild --json").1;
    assert!(said.len() == 1 && said[0].0 == "rebuild" && said[0].1.contains("in use"), "{said:?}");
    assert_eq!(service.stop(), 0);
    desk.run("dump run --out before.jsonl").done();

    // Bytes amid the file: what its rows tell by time is lost.
    let store = desk.path("run/store.sqlite");
    let mut bytes = std::fs::read(&store).unwrap();
    let name = b"CREATE INDEX feedback_by_time ON feedback (time, number)";
    let places: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|&at| bytes[at..].starts_with(name)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + name.len()]
            .copy_from_slice(b"CREATE INDEX feedback_by_time ON feedback (value, video)");
    }
    std::fs::write(&store, bytes).unwrap();
    let index =
        desk.files().into_iter().find(|file| file.extension().is_some_and(|kind| kind == "bin")).unwrap();
    let whole = std::fs::read(&index).unwrap();
    std::fs::write(&index, &whole[..whole.len() - 8]).unwrap();

    let (code, bad) = not_ok(&desk, "verify run --json");
    let names: Vec<&str> = bad.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((code, names.as_slice()), (1, ["indexes 0", "store"].as_slice()), "{bad:?}");
    assert!(bad[0].1.contains(".bin") && bad[1].1.contains("feedback_by_time"), "{bad:?}");
    assert_eq!(not_ok(&desk, "verify run --rebuild --json"), (0, vec![]));
    assert_eq!(not_ok(&desk, "verify run --json"), (0, vec![]));
    desk.run("dump run --out after.jsonl").done();
    assert_eq!(desk.read("after.jsonl"), desk.read("before.jsonl"));
    assert!(std::fs::read(&index).unwrap() == whole, "the same vectors make the same index");
}

/// The value of a series at `/metrics`.
fn metric(service: &Service, name: &str) -> u64 {
    let (status, text) = service.ask("GET", "/metrics", "");
    assert_eq!(status, 200);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}

#[test]
fn feedback_that_is_too_old_goes_while_a_service_runs_and_its_file_shrinks() {
    const DAY_MILLISECONDS: i64 = 86_400_000;
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_millis() as i64
    };
    let desk = desk();
    desk.trained();
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let post = |service: &Service, user: &str, video: &str, time: i64| {
        let event = json!([{"user": user, "video": video, "action": "like", "time": time}]);
        assert_eq!(service.ask("POST", "/api/v2/events", &event.to_string()).0, 200);
    };
    for batch in 0..12 {
        let time = now() - 100 * DAY_MILLISECONDS;
        let event = |at: usize| json!({"user": format!("old{batch}-{at}"), "video": "v1", "action": "watch", "time": time});
        let events = (0..500).map(event).collect::<Vec<_>>();
        assert_eq!(service.ask("POST", "/api/v2/events", &json!(events).to_string()).0, 200);
    }
    post(&service, "new", "v1", now());
    assert_eq!(service.stop(), 0);
    let bytes = || {
        let of = |name: &str| desk.path(name).metadata().map_or(0, |file| file.len());
        of("run/store.sqlite") + of("run/store.sqlite-wal")
    };
    let full = bytes();

    desk.write("days.toml", "[store]\nfeedback_days_max = 30\nexpire_check_seconds = 1\n");
    let words = ["serve", "run", "--listen", "127.0.0.1:0", "--json", "--config", "days.toml"];
    let service = Service::start(&desk, &words);
    until(|| (metric(&service, "upnext_expired_rows_total") == 6_000).then_some(()));
    until(|| (bytes() < full / 2).then_some(()));
    until(|| (metric(&service, "upnext_compacted_bytes_total") > 0).then_some(()));

    // What is remembered of a viewer does not outlive it: this one grows too old in some seconds.
    let shows_v3 = || {
        let (status, body) = service.ask("GET", "/api/v2/recommend/ann?n=20", "");
        assert_eq!(status, 200, "{body}");
        let slate: Value = serde_json::from_str(&body).unwrap();
        slate["items"].as_array().unwrap().iter().any(|item| item["id"] == "v3")
    };
    assert!(shows_v3());
    post(&service, "ann", "v3", now() - 30 * DAY_MILLISECONDS + 20_000);
    assert!(!shows_v3() && !shows_v3(), "seen, and remembered");
    assert!(metric(&service, "upnext_viewers_hit_total") > 0);
    until(|| shows_v3().then_some(()));
    assert_eq!(metric(&service, "upnext_expired_rows_total"), 6_001);

    // The same by hand, where no service runs.
    post(&service, "new", "v2", now() - 10 * DAY_MILLISECONDS);
    desk.run("compact run --older-than 5").failed(&["store.sqlite", "in use"]);
    assert_eq!(service.stop(), 0);
    let done = desk.run("compact run --older-than 5 --json").json();
    assert_eq!((&done["rows"], &done["feedback"]), (&json!(1), &json!(1)));
    desk.run("compact run --older-than 0").wrong(&["--older-than", "0"]);
    desk.run("compact nowhere").failed(&["nowhere", "no store"]);
    assert_eq!(not_ok(&desk, "verify run --json"), (0, vec![]));
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
