//! Clips, sound and subtitles through a real `ffmpeg`, which makes them as well. Without one these tests say that they skip;
//! with `UPNEXT_REQUIRE_FFMPEG` set they fail instead.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use upnext_encode::job::{self, Outcome};
use upnext_encode::things::{OfFiles, subtitles};
use upnext_encode::{
    Clip, Ffmpeg, Files, Limits, LogMel, Picture, PictureStatistics, Pooled, Sound, contract,
};

fn ffmpeg() -> Option<Ffmpeg> {
    match Ffmpeg::find() {
        Ok(found) => Some(found),
        Err(error) if std::env::var_os("UPNEXT_REQUIRE_FFMPEG").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn make(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments.split(' ')).arg(&path).current_dir(folder);
    let done = command.output().expect("ffmpeg runs: it was found");
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    path
}

const PICTURE: &str = "-f lavfi -i testsrc=duration=3:size=160x120:rate=10";
const SOUND: &str = "-f lavfi -i sine=frequency=440:duration=3";

#[test]
fn a_clip_has_frames_over_its_whole_length_and_sound() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), "whole.mkv", &format!("{PICTURE} {SOUND} -shortest"));
    let clip = ffmpeg.clip(&path, &Limits::default()).unwrap();
    assert!((5..=7).contains(&clip.frames.len()), "two a second: {}", clip.frames.len());
    assert_eq!((clip.frames[0].width(), clip.frames[0].height()), (160, 120));
    let sound = clip.sound.as_ref().unwrap();
    assert!((2.5..3.5).contains(&(sound.samples.len() as f64 / f64::from(sound.rate))));
    let few = Limits { frames_max: 3, frame_side_max: 80, sound_seconds_max: 1.0, ..Limits::default() };
    let clip = ffmpeg.clip(&path, &few).unwrap();
    assert_eq!((clip.frames.len(), clip.frames[0].width()), (3, 80));
    assert!(
        (0.9..1.1).contains(&clip.seconds_between),
        "spread over three seconds: {}",
        clip.seconds_between
    );
    assert!(clip.sound.unwrap().samples.len() <= 16_000 + 2_048);
}

#[test]
fn the_picture_of_a_clip_is_its_middle_in_the_shape_in_which_it_is_shown() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let one = |colour: &str| format!("-f lavfi -i color={colour}:size=160x120:rate=10:duration=1");
    let three = [one("red"), one("lime"), one("blue")].join(" ");
    // Pixels that are twice as wide as high.
    let joined = format!("{three} -filter_complex [0:v][1:v][2:v]concat=n=3,setsar=2");
    let path = make(folder.path(), "three.mkv", &joined);
    let picture = ffmpeg.middle_frame(&path, &Limits::default()).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 120));
    let [r, g, b] = picture.rgb()[..3] else { panic!("three colours") };
    assert!(g > 200 && r < 60 && b < 60, "the second of three colours: {r} {g} {b}");
    let small = Limits { frame_side_max: 64, ..Limits::default() };
    assert_eq!(ffmpeg.middle_frame(&path, &small).unwrap().width(), 64);
    // Its length is that of the whole, whose middle is gone.
    let long = "-f lavfi -i testsrc=duration=20:size=160x120:rate=10";
    let whole = std::fs::read(make(folder.path(), "whole.mkv", long)).unwrap();
    let torn = folder.path().join("torn.mkv");
    std::fs::write(&torn, &whole[..whole.len() / 4]).unwrap();
    assert_eq!(ffmpeg.middle_frame(&torn, &Limits::default()).unwrap().width(), 160);
    let sound = make(folder.path(), "sound.mp4", SOUND);
    assert_eq!(ffmpeg.middle_frame(&sound, &Limits::default()).unwrap_err(), "no picture in it");
}

#[test]
fn every_clip_that_is_strange_is_named_and_the_rest_is_encoded() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("media");
    std::fs::create_dir(&media).unwrap();
    make(&media, "a-whole.mp4", &format!("{PICTURE} {SOUND} -shortest -pix_fmt yuv420p"));
    make(&media, "b-silent.mkv", PICTURE);
    make(&media, "c-only-sound.mp4", SOUND);
    // No length is written into it.
    make(&media, "d-stream.ts", &format!("{PICTURE} -f mpegts"));
    let whole = std::fs::read(media.join("b-silent.mkv")).unwrap();
    std::fs::write(media.join("e-torn.mkv"), &whole[..whole.len() * 2 / 3]).unwrap();
    std::fs::copy(media.join("a-whole.mp4"), media.join("f-wrong-ending.jpg")).unwrap();
    std::fs::write(media.join("g-empty.mp4"), b"").unwrap();
    std::fs::write(media.join("h-text.mp4"), "this is no clip, but somebody said so ".repeat(99)).unwrap();
    let secret = folder.path().join("secret.mp4");
    std::fs::copy(media.join("a-whole.mp4"), &secret).unwrap();
    // A playlist that leads out of the folder.
    let playlist =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\nfile:{}\n#EXT-X-ENDLIST\n", secret.display());
    std::fs::write(media.join("i-playlist.m3u8"), &playlist).unwrap();
    std::fs::write(media.join("j-playlist.mp4"), &playlist).unwrap();
    std::fs::write(media.join("k-list.mp4"), format!("ffconcat version 1.0\nfile '{}'\n", secret.display()))
        .unwrap();
    // Of no length at all.
    make(&media, "l-none.mp4", "-f lavfi -i testsrc=size=64x64:rate=10 -t 0");
    make(&media, "m-none.mkv", "-f lavfi -i testsrc=size=64x64:rate=10 -t 0");
    make(&media, "n-none.wav", "-f lavfi -i sine -t 0");
    let files = Files::open(&media).unwrap();
    let limits = Limits::default();
    let things = OfFiles {
        files: &files,
        places: (0..files.listed().len()).map(Some).collect(),
        limits: &limits,
        ffmpeg: Some(&ffmpeg),
    };
    let done = job::run::<Clip, Clip>(&Pooled::default(), &things, None, 2, &|_| {});
    for (file, outcome) in files.listed().iter().zip(&done.outcomes) {
        let name = file.file_name();
        let reads = matches!(&name[..1], "a" | "b" | "c" | "d" | "e" | "f");
        match outcome {
            Outcome::Vector(_) => assert!(reads, "{name} has a vector"),
            Outcome::Failed(why) => assert!(!reads && !why.is_empty(), "{name}: {why}"),
            Outcome::Nothing => panic!("{name}: nothing"),
        }
    }
    let of_sound = job::run::<Sound, Sound>(&LogMel::default(), &things, None, 2, &|_| {});
    assert!(matches!(of_sound.outcomes[0], Outcome::Vector(_)));
    assert_eq!(of_sound.outcomes[1], Outcome::Nothing, "a clip without sound is no failure");
    // An archive gives the same.
    let archive = folder.path().join("media.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&archive).unwrap());
    tar.append_dir_all("", &media).unwrap();
    tar.finish().unwrap();
    let files = Files::open(&archive).unwrap();
    let things = OfFiles { files: &files, ..things };
    let of_archive = job::run::<Clip, Clip>(&Pooled::default(), &things, None, 1, &|_| {});
    let vectors = |done: &job::Done| -> Vec<Outcome> {
        done.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Vector(_))).cloned().collect()
    };
    assert_eq!(vectors(&of_archive), vectors(&done));
}

#[test]
fn clips_that_claim_to_be_endless_are_read_within_the_bounds() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), "whole.mkv", &format!("{PICTURE} {SOUND} -shortest"));
    let mut clip = std::fs::read(&path).unwrap();
    let at =
        clip.windows(3).position(|bytes| bytes == [0x44, 0x89, 0x88]).expect("the length of a Matroska file");
    let few = Limits { frames_max: 4, sound_seconds_max: 1.0, ffmpeg_seconds_max: 20.0, ..Limits::default() };
    for claimed in [1e15, f64::INFINITY, f64::NAN, 0.0, -1.0] {
        clip[at + 3..at + 11].copy_from_slice(&f64::to_be_bytes(claimed));
        std::fs::write(&path, &clip).unwrap();
        let read = ffmpeg.clip(&path, &few).unwrap_or_else(|why| panic!("{claimed} ms: {why}"));
        assert!((1..=4).contains(&read.frames.len()), "{claimed} ms: {} frames", read.frames.len());
        assert!(read.sound.unwrap().samples.len() <= 16_000 + 2_048, "{claimed} ms");
    }
    // A recording that was never closed: its header claims four gigabytes, and its sound goes on.
    let path = make(folder.path(), "long.wav", "-f lavfi -i sine -t 30 -ar 8000");
    let mut sound = std::fs::read(&path).unwrap();
    let at = sound.windows(4).position(|bytes| bytes == b"data").unwrap();
    sound[4..8].copy_from_slice(&[0xff; 4]);
    sound[at + 4..at + 8].copy_from_slice(&[0xff; 4]);
    std::fs::write(&path, &sound).unwrap();
    let read = ffmpeg.sound(&path, &few).unwrap().unwrap();
    assert!((8_000..=16_000 + 2_048).contains(&read.samples.len()), "{}", read.samples.len());
}

#[test]
fn real_clips_pass_the_contract() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let clips: Vec<Clip> = [
        make(folder.path(), "bars.mkv", PICTURE),
        make(folder.path(), "life.mkv", "-f lavfi -i life=size=64x64:rate=10:seed=1 -t 2"),
        make(folder.path(), "tone.wav", SOUND),
    ]
    .iter()
    .map(|path| ffmpeg.clip(path, &limits).unwrap())
    .collect();
    contract::check(&Pooled::default(), &clips.iter().collect::<Vec<_>>());
    let frames: Vec<&Picture> = clips[1].frames.iter().collect();
    contract::check(&PictureStatistics, &frames);
}

#[test]
fn one_that_takes_too_long_is_killed() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = make(
        folder.path(),
        "long.mkv",
        "-f lavfi -i testsrc=duration=60:size=640x480:rate=30 -preset ultrafast",
    );
    let hurried = Limits { ffmpeg_seconds_max: 0.02, ..Limits::default() };
    let why = ffmpeg.clip(&path, &hurried).unwrap_err();
    assert!(why.contains("was killed after 0.02 s (ffmpeg_seconds_max)"), "{why}");
}

#[test]
fn subtitles_are_text() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let folder = tempfile::tempdir().unwrap();
    let srt = "1\n00:00:00,000 --> 00:00:01,000\n<b>Ahoy</b>, captain\n\n2\n00:00:01,500 --> 00:00:02,000\n潜水艇!\n";
    std::fs::write(folder.path().join("said.srt"), srt).unwrap();
    let media = folder.path().join("media");
    std::fs::create_dir(&media).unwrap();
    make(&media, "with.mkv", &format!("{PICTURE} -i ../said.srt -map 0:v -map 1:s"));
    make(&media, "without.mkv", PICTURE);
    std::fs::write(media.join("broken.mkv"), b"no").unwrap();
    let files = Files::open(&media).unwrap();
    let limits = Limits::default();
    let places = (0..3).map(Some).collect();
    let read =
        subtitles(&OfFiles { files: &files, places, limits: &limits, ffmpeg: Some(&ffmpeg) }, 2, &|_| {});
    assert!(read[0].is_err(), "broken.mkv");
    assert_eq!(read[1].as_ref().unwrap().as_deref(), Some("Ahoy, captain 潜水艇!"));
    assert_eq!(read[2], Ok(None));
}
