//! The command line as others script it: results on standard output, all else on standard error, exit 0 done,
//! 1 failed, 2 wrong use, and nothing half-written.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use terminal::{Desk, Service, desk, names, videos_of, wait, walks};

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
    assert_eq!(names(&report["models"]).last(), Some(&"auto"));
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
