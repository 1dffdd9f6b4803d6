//! `upnext pictures`, and what `serve` and `map` make of it, as a script meets them.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod terminal;

use serde_json::{Value, json};
use terminal::{Desk, Service, bmp, walks};
use upnext_encode::{Ffmpeg, Limits, Picture};

/// A run of twenty videos, with pictures of the first six, one that is broken and one of nothing.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("log.csv", walks(30, 20, 8));
    desk.run("import log.csv --out run").done();
    for video in 0..6 {
        desk.write(&format!("covers/v{video}.bmp"), bmp(300, [video * 40, 90, 200]));
    }
    desk.write("covers/v6.jpg", "no picture at all");
    desk.write("covers/nobody.bmp", bmp(3, [1, 2, 3]));
    desk
}

fn counts(found: &Value) -> [u64; 3] {
    ["made", "replaced", "kept"].map(|what| found[what].as_u64().unwrap())
}

/// The picture that a service has of a video.
fn picture(service: &Service, video: &str) -> Option<Picture> {
    let (status, bytes) = service.ask_bytes("GET", &format!("/api/v2/videos/{video}/picture"), "");
    match status {
        200 => Some(Picture::decode(&bytes, &Limits::default()).unwrap()),
        404 => {
            let error: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(error["error"]["hint"].is_string(), "{error}");
            None
        }
        other => panic!("{video}: {other}"),
    }
}

#[test]
fn pictures_come_into_a_run_and_a_broken_one_is_named_and_the_rest_done() {
    let desk = desk();
    let found = desk.run("pictures run --from covers --workers 3 --json").json();
    assert_eq!(counts(&found), [6, 0, 0], "{found}");
    assert_eq!((&found["videos"], &found["files_of_no_video"]), (&json!(20), &json!(1)));
    let failures = desk.read("run/pictures.failures.jsonl");
    assert!(failures.starts_with("{\"video\":\"v6\",\"reason\":\"not a picture"), "{failures}");
    let once = std::fs::read(desk.path("run/pictures.bin")).unwrap();
    desk.run("pictures run --from covers --workers 1").done();
    assert_eq!(
        std::fs::read(desk.path("run/pictures.bin")).unwrap(),
        once,
        "the same on any number of threads"
    );

    // Other files add to what is there, and a table says whose they are.
    desk.write("more/one.bmp", bmp(8, [250, 10, 10])).write("more/two.bmp", bmp(8, [10, 10, 250]));
    desk.write("index.csv", "video_id,file\nv1,one.bmp\nv9,two.bmp\nv2,none.bmp\n");
    let text = desk.run("pictures run --from more --index index.csv").done().out;
    for line in ["7 of 20 videos have a picture", "v2: its file `none.bmp` is not there", "run/pictures.bin"]
    {
        assert!(text.contains(line), "{text}");
    }
    desk.run("train run").done();
    let service = Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json"]);
    let first = picture(&service, "v0").unwrap();
    assert_eq!((first.width(), first.height()), (240, 240));
    let replaced = picture(&service, "v1").unwrap();
    assert!(replaced.width() == 8 && replaced.rgb()[0] > 200, "small ones are not made larger");
    assert!(picture(&service, "v9").is_some() && picture(&service, "v2").is_some());
    assert!(picture(&service, "v6").is_none() && picture(&service, "nobody").is_none());
    let (_, found) = service.ask("GET", "/api/v2/videos?n=20", "");
    let found: Value = serde_json::from_str(&found).unwrap();
    let videos = found["videos"].as_array().unwrap();
    assert_eq!(videos.iter().filter(|video| video["picture"] == true).count(), 7, "{found}");
    assert_eq!(service.ask("PATCH", "/api/item/v0", "{\"IsHidden\":true}").0, 200);
    assert!(picture(&service, "v0").is_none(), "what is hidden has no picture");
}

#[test]
fn pictures_stand_in_the_map_s_file_as_far_as_it_may_grow() {
    let desk = desk();
    assert!(desk.run("map run --json").json()["pictures"]["of"] == 0);
    assert!(!desk.run("map run").done().out.contains("pictures:"));
    desk.run("pictures run --from covers").done();
    assert_eq!(desk.run("map run --json").json()["pictures"], json!({ "shown": 6, "of": 6 }));
    assert_eq!(desk.read("run/map.html").matches("\"data:image/jpeg;base64,").count(), 6);
    let text = desk.run("map run --pictures-mib 0").done().out;
    assert!(text.contains("pictures: 0 of 6 (--pictures-mib 0)"), "{text}");
    assert!(!desk.read("run/map.html").contains("\"data:image/jpeg;base64,"));
}

#[test]
fn damaged_pictures_are_left_out_and_made_again() {
    let desk = desk();
    desk.run("pictures run --from covers").done();
    let mut bytes = std::fs::read(desk.path("run/pictures.bin")).unwrap();
    bytes[100] ^= 1;
    desk.write("run/pictures.bin", bytes);
    let drawn = desk.run("map run --json").done();
    assert!(drawn.err.contains("pictures.bin") && drawn.err.contains("upnext pictures"), "{}", drawn.err);
    assert!(drawn.out.contains("\"of\":0"), "{}", drawn.out);
    let again = desk.run("pictures run --from covers --json").json();
    assert_eq!(counts(&again), [6, 0, 0]);
    assert!(again["lost"].as_str().unwrap().contains("its digest is another"), "{again}");
    assert!(desk.run("map run --json").done().err.is_empty());
}

#[test]
fn what_gives_no_picture_at_all_leaves_the_run_as_it_was() {
    let desk = desk();
    desk.run("pictures run --from covers").done();
    let before = (desk.files(), std::fs::read(desk.path("run/manifest.json")).unwrap());
    desk.write("none/v1.jpg", "no picture").write("none/zz.jpg", "no picture");
    desk.run("pictures run --from none").failed(&[
        "not one picture",
        "1 failed",
        "`v1`",
        "`zz.jpg`",
        "--index",
    ]);
    desk.run("pictures run --from covers --set file_bytes_max=9")
        .failed(&["not one picture", "file_bytes_max"]);
    desk.run("pictures nowhere --from covers").failed(&["nowhere", "is not a run folder"]);
    desk.run("pictures run --from nowhere").failed(&["nowhere", "cannot be read"]);
    for name in ["none/v1.jpg", "none/zz.jpg", "none"] {
        let path = desk.path(name);
        if path.is_dir() { std::fs::remove_dir(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    assert_eq!((desk.files(), std::fs::read(desk.path("run/manifest.json")).unwrap()), before);
}

#[test]
fn a_clip_is_shown_by_its_middle() {
    if let Err(error) = Ffmpeg::find() {
        assert!(std::env::var_os("UPNEXT_REQUIRE_FFMPEG").is_none(), "{error}");
        eprintln!("skipped: {error}");
        return;
    }
    let desk = desk();
    std::fs::create_dir(desk.path("clips")).unwrap();
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=duration=2:size=640x480:rate=5"])
        .arg(desk.path("clips/v3.mkv"))
        .status();
    assert!(made.unwrap().success());
    desk.write("clips/v4.mp4", "no clip at all");
    let found = desk.run("pictures run --from clips --of video --height 48 --json").json();
    assert_eq!(counts(&found), [1, 0, 0], "{found}");
    assert_eq!(found["failures"][0]["video"], "v4");
}
