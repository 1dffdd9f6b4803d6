//! `upnext encode`, as a script meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod terminal;

use std::time::{Duration, Instant};

use serde_json::Value;
use terminal::{Desk, bmp};

/// Twenty viewers of twelve videos with titles; a run of them.
fn desk() -> Desk {
    desk_of(20, 12)
}

fn desk_of(users: usize, videos: usize) -> Desk {
    let desk = Desk::new();
    let titles = [
        "a captain and a submarine",
        "the submarine war",
        "a wedding and a bride",
        "the bride runs",
        "美食探店",
        "美食达人",
    ];
    let mut log = String::from("user,video,time,rating,title\n");
    for user in 0..users {
        for at in 0..6 {
            let video = (user * 5 + at * 7) % videos;
            let title = titles.get(video).copied().unwrap_or_default();
            log += &format!("u{user},v{video},{},5,{title}\n", 1_700_000_000 + user * 100 + at);
        }
    }
    desk.write("log.csv", log);
    desk.run("import log.csv --out run").done();
    desk
}

fn encoded(value: &Value) -> &Value {
    &value["encoded"][0]
}

#[test]
fn titles_become_vectors_of_a_run() {
    let desk = desk();
    let found = desk.run("encode run --dim 4 --no-cache --json").json();
    let coverage = &encoded(&found)["coverage"];
    assert_eq!(
        (coverage["found"]["n"].as_u64(), coverage["missing"]["n"].as_u64()),
        (Some(6), Some(6)),
        "{coverage}"
    );
    assert_eq!((coverage["name"].as_str(), coverage["dim"].as_u64()), (Some("text"), Some(4)));
    let text = desk.run("encode run --dim 4 --no-cache --name titles").done().out;
    assert!(text.contains("words and letters, 4 directions") && text.contains("nothing to encode"), "{text}");
    assert!(desk.path("run/embeddings/titles.npy").exists());
    let matrix = std::fs::read(desk.path("run/embeddings/text.npy")).unwrap();
    assert_eq!(matrix, std::fs::read(desk.path("run/embeddings/titles.npy")).unwrap(), "the same again");
}

#[test]
fn pictures_are_matched_by_name_or_by_a_table_and_what_is_wrong_is_listed() {
    let desk = desk();
    for video in 0..8 {
        desk.write(&format!("covers/v{video}.bmp"), bmp(9, [video * 30, 90, 200 - video * 20]));
    }
    desk.write("covers/v8.png", "no picture at all");
    desk.write("covers/v9.jpg", "");
    desk.write("covers/zz.bmp", bmp(3, [1, 2, 3]));
    desk.write("covers/v0.jpg", bmp(3, [1, 2, 3]));
    let once = desk.run("encode run --of image --from covers --cache kept --json").json();
    let ledger = encoded(&once);
    let count = |what: &str| ledger["coverage"][what]["n"].as_u64().unwrap();
    let counts = ["found", "missing", "unreadable", "unknown", "repeated"].map(count);
    assert_eq!(counts, [8, 2, 2, 1, 1], "{ledger}");
    assert_eq!(ledger["coverage"]["from_cache"], 0);
    let failures = desk.read("run/embeddings/image.failures.jsonl");
    assert!(failures.contains("{\"video\":\"v9\",\"reason\":\"an empty file\"}"), "{failures}");
    assert!(failures.contains("known format"), "{failures}");
    let twice = desk.run("encode run --of image --from covers --cache kept --json").json();
    assert_eq!(encoded(&twice)["coverage"]["from_cache"], 8);
    // By a table, under other names.
    desk.write("other/one.bmp", bmp(4, [9, 9, 9]));
    desk.write("index.csv", "video_id,file\nv3,one.bmp\nv4,none.bmp\n");
    let asked = "encode run --of image --from other --index index.csv --name other --cache kept --json";
    let found = desk.run(asked).json();
    assert_eq!(encoded(&found)["coverage"]["found"]["examples"][0], "v3");
    assert_eq!(encoded(&found)["failures"][0]["reason"], "its file `none.bmp` is not there");
    let apart = "encode --of image --from other --index index.csv --no-cache --out apart --json";
    let found = desk.run(apart).json();
    assert_eq!(encoded(&found)["coverage"]["skipped"]["examples"][0], "v4: its file `none.bmp` is not there");
    desk.write("other/more/one.bmp", bmp(4, [1, 1, 1]));
    desk.write("index.csv", "video_id,file\nv3,elsewhere/one.bmp\n");
    desk.run(asked).failed(&["other", "no vector", "several files are called `one.bmp`"]);
    desk.write("index.csv", "video_id,file\nv3,more/one.bmp\n");
    desk.run(asked).done();
    // Without a run.
    desk.run("encode --of image --from covers --out vectors --cache kept").done();
    assert!(desk.read("vectors/image.ids").starts_with("v0\nv1\n"));
    assert!(desk.path("vectors/image.npy").exists() && desk.path("vectors/image.json").exists());
}

#[test]
fn several_kinds_stand_in_one_configuration_and_what_each_adds_is_measured() {
    let desk = desk_of(300, 60);
    for video in 0..60 {
        desk.write(&format!("covers/v{video}.bmp"), bmp(9, [video * 4, 90, 200 - video * 3]));
    }
    desk.run("encode run --ablate").failed(&["has no vectors", "upnext encode"]);
    let kinds = "[[encode]]\nof = \"text\"\ndim = 4\n\n[[encode]]\nof = \"image\"\nname = \"cover\"\nfrom = \"covers\"\n\n[encode.limits]\npicture_pixels_max = 1000\n";
    desk.write("kinds.toml", kinds);
    let found = desk.run("encode run --config kinds.toml --cache kept --json").json();
    assert_eq!(found["encoded"].as_array().unwrap().len(), 2);
    let measured = desk.run("encode run --ablate --json").json();
    let tables = measured["tables"].as_array().unwrap();
    assert_eq!(
        (tables[0]["questions"].as_str(), tables[1]["questions"].as_str()),
        (Some("cold"), Some("warm"))
    );
    for table in tables {
        for part in ["alone", "without"] {
            let names: Vec<_> =
                table[part].as_array().unwrap().iter().map(|of| of["modality"].as_str().unwrap()).collect();
            assert_eq!(names, ["cover", "text"], "{table}");
            assert!(table[part][0]["interval"][0].as_f64() <= table[part][0]["adds"].as_f64());
        }
    }
    let text = desk.run("encode run --ablate").done().out;
    assert!(
        text.contains("cold videos: NDCG@10") && text.contains("cover") && text.contains("alone"),
        "{text}"
    );
    desk.write("kinds.toml", "[[encode]]\nof = \"smell\"\n");
    desk.run("encode run --config kinds.toml").wrong(&["kinds.toml", "smell"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let desk = desk();
    desk.write("covers/v0.bmp", bmp(2, [1, 2, 3]));
    for (args, parts) in [
        ("encode run --of image", &["--from", "needs the folder"][..]),
        ("encode run --from covers", &["--from", "catalogue"]),
        (
            "encode run --of image --from covers --encoder words",
            &["--encoder", "`words` does not encode image"],
        ),
        ("encode run --encoder nowhere", &["`nowhere`", "folder of a transformer"]),
        ("encode run --of image --from covers --set frames=3", &["--set", "frames"]),
        ("encode run --of image --from covers --set frames_max=0", &["frames_max", "1 to 4096"]),
        (
            "encode run --of image --from covers --set onnx.mean=[0.5,0.5,0.5]",
            &["onnx", "settings of exported models; `statistics` is none"],
        ),
        (
            "encode run --of image --from covers --encoder x.onnx --set onnx.side=0",
            &["onnx.side", "1 to 4096"],
        ),
        ("encode run --of image --from covers --encoder x.onnx --set onnx.means=1", &["no key `onnx.means`"]),
        ("encode run --precision f8", &["--precision", "f32 or bf16"]),
        ("encode run --of taste", &["taste"]),
        ("encode", &["RUN"]),
    ] {
        desk.run(args).wrong(parts);
    }
    desk.run("encode nowhere").failed(&["nowhere"]);
    desk.run("encode run --of image --from nowhere").failed(&["nowhere", "cannot be read"]);
    desk.run("encode run --of image --from log.csv").failed(&["log.csv", "expected a folder or a .tar"]);
    desk.run("encode run --encoder http://127.0.0.1:1/v1 --retries 0").failed(&["127.0.0.1:1", "no answer"]);
    desk.write("empty/model/config.json", "{\"model_type\": \"bert\"}");
    desk.run("encode run --encoder empty/model").failed(&["model.safetensors", "no weights"]);
    let exported = "encode run --of image --from covers --encoder x.onnx";
    desk.run(exported).failed(&["x.onnx"]);
    desk.run(&format!("{exported} --set onnx.mean=[0,0,0] --set onnx.output=pooled")).failed(&["x.onnx"]);
    desk.write(
        "exported.toml",
        "[[encode]]\nof = \"image\"\nfrom = \"covers\"\nencoder = \"x.onnx\"\n[encode.onnx]\nside = 0\n",
    );
    desk.run("encode run --config exported.toml").wrong(&["onnx.side"]);
    assert!(!desk.path("run/embeddings").exists(), "nothing was written");
}

#[test]
fn a_bad_name_or_a_place_that_cannot_be_written_is_told_before_any_work() {
    let desk = desk();
    desk.write("covers/v0.bmp", bmp(2, [1, 2, 3]));
    let args = "encode run --of image --from covers --cache kept";
    desk.run(&format!("{args} --name a/b")).failed(&["--name", "`a/b` cannot be the name of a file"]);
    desk.run("encode --of image --from covers --cache kept --out log.csv").failed(&[
        "log.csv",
        "cannot be written",
        "expected a folder",
    ]);
    desk.write("kinds.toml", "[[encode]]\ndim = 2\n[[encode]]\ndim = 3\n");
    desk.run("encode run --config kinds.toml --cache kept").wrong(&["two kinds are called `text`"]);
    desk.write("run/embeddings", "in the way");
    desk.run(args).failed(&["embeddings", "cannot be written"]);
    assert!(!desk.path("kept").exists(), "nothing was encoded");
}

#[test]
fn without_ffmpeg_that_is_said_and_what_does_without_is_made() {
    let desk = desk();
    desk.write("clips/v0.mp4", "no matter what");
    desk.write("kinds.toml", "[[encode]]\nof = \"video\"\nfrom = \"clips\"\n\n[[encode]]\ndim = 2\n");
    let run = |args: &[&str]| desk.command(args).env("PATH", "/nowhere").output().unwrap();
    let alone = run(&["encode", "run", "--of", "sound", "--from", "clips", "--no-cache"]);
    let said = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.code() == Some(1) && said.contains("install the package `ffmpeg`"), "{said}");
    let both = run(&["encode", "run", "--config", "kinds.toml", "--no-cache", "--json"]);
    let said = String::from_utf8_lossy(&both.stderr);
    assert!(both.status.code() == Some(1) && said.contains("not made: video: ffmpeg: not found"), "{said}");
    let found: Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!(encoded(&found)["coverage"]["name"], "text");
    assert!(found["failed"][0].as_str().unwrap().contains("install the package `ffmpeg`"), "{found}");
    assert!(desk.path("run/embeddings/text.npy").exists());
}

#[test]
fn texts_of_a_megabyte_of_emoji_and_of_many_scripts_have_vectors() {
    let desk = Desk::new();
    let long = "the captain and the submarine ".repeat(1 << 15);
    let texts = [
        &long,
        "🏀🏀🚢",
        "🏀 the submarine 🚢",
        "капитан the captain 美食 الغواصة",
        "美食 капитан الغواصة",
        "",
    ];
    let mut log = String::from("user,video,time,rating,title\n");
    for user in 0..8 {
        for (video, text) in texts.iter().enumerate() {
            log += &format!("u{user},v{video},{},5,{text}\n", 1_700_000_000 + user * 100 + video);
        }
    }
    desk.write("log.csv", log);
    desk.run("import log.csv --out run").done();
    let bert = concat!(env!("CARGO_MANIFEST_DIR"), "/../encode/tests/reference/bert");
    for encoder in ["words", bert] {
        let found = desk.run(&format!("encode run --no-cache --json --encoder {encoder}")).json();
        let coverage = &encoded(&found)["coverage"];
        assert_eq!((&coverage["found"]["n"], &coverage["missing"]["n"]), (&5.into(), &1.into()), "{found}");
    }
}

#[test]
fn of_several_files_of_a_video_the_picture_is_taken_and_what_is_not_looked_at_is_named() {
    let desk = desk();
    for (name, content) in
        [("v0.bmp", bmp(3, [9, 90, 200])), ("v1.json", bmp(3, [9, 9, 9])), ("a\nb.bmp", bmp(3, [1; 3]))]
    {
        desk.write(&format!("covers/{name}"), content);
    }
    desk.write("covers/v0.JSON", "{}").write("covers/v0.aaa", "no picture");
    std::os::unix::fs::symlink("v0.bmp", desk.path("covers/v2.bmp")).unwrap();
    let found = desk.run("encode run --of image --from covers --no-cache --json").json();
    let coverage = &encoded(&found)["coverage"];
    let count = |what: &str| coverage[what]["n"].as_u64().unwrap();
    assert_eq!(
        ["found", "unreadable", "repeated", "unknown", "skipped"].map(count),
        [2, 0, 2, 1, 1],
        "a lone file is read whatever it is called: {coverage}"
    );
    assert!(coverage["skipped"]["examples"][0].as_str().unwrap().starts_with("v2.bmp: a link"), "{coverage}");
    // A list of ids has a line for each of them.
    let text = desk.run("encode --of image --from covers --no-cache --out vectors").done().out;
    assert!(text.contains("not looked at") && text.contains("has a line break"), "{text}");
    assert_eq!(desk.read("vectors/image.ids"), "v0\nv1\n");
}

#[test]
fn a_cache_that_is_full_is_told_in_the_ledger() {
    let desk = desk();
    desk.write("covers/v0.bmp", bmp(3, [9, 90, 200]));
    let text = desk.run("encode run --of image --from covers --cache kept --cache-mib 0").done().out;
    assert!(text.contains("full at 0 MiB (--cache-mib)"), "{text}");
    assert!(desk.read("run/embeddings/image.json").contains("full at 0 MiB"));
}

#[test]
fn what_was_encoded_before_a_kill_is_not_encoded_again() {
    let desk = desk();
    for video in 0..12 {
        desk.write(&format!("covers/v{video}.bmp"), bmp(9, [video * 20, 90, 1]));
    }
    for more in 0..4_000u32 {
        desk.write(&format!("covers/more{more}.bmp"), bmp(64, [more as u8, (more >> 8) as u8, 7]));
    }
    let args = ["encode", "--of", "image", "--from", "covers", "--out", "out", "--cache", "kept", "--json"];
    let mut child = desk.command(&args).spawn().unwrap();
    let begun = Instant::now();
    let kept = || -> u64 {
        let entries = std::fs::read_dir(desk.path("kept")).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.metadata().map_or(0, |about| about.len())).sum()
    };
    while kept() < 100_000 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!desk.path("out").exists(), "it was killed before its end");
    let found = desk.upnext(&args).json();
    let coverage = &encoded(&found)["coverage"];
    assert_eq!(coverage["found"]["n"], 4_012);
    assert!(coverage["from_cache"].as_u64().unwrap() > 50, "{coverage}");
}
