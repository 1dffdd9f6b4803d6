//! Pictures as other programs write them (`tests/reference/pictures/make.py`) are read as they look.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};

use upnext_encode::job::{self, Outcome};
use upnext_encode::things::OfFiles;
use upnext_encode::transformer::{TransformerSettings, of_pictures};
use upnext_encode::{Files, Limits, Picture, PictureStatistics};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

fn picture(name: &str) -> Picture {
    let bytes = std::fs::read(reference("pictures").join(name)).unwrap();
    Picture::decode(&bytes, &Limits::default()).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// Asserts that a pixel has about that colour: JPEG rounds.
#[track_caller]
fn assert_colour(name: &str, picture: &Picture, (x, y): (u32, u32), expected: [u8; 3]) {
    let at = 3 * (y * picture.width() + x) as usize;
    let found = &picture.rgb()[at..at + 3];
    let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12);
    assert!(near, "{name} at {x},{y}: {found:?}, expected {expected:?}");
}

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255; 3];

#[test]
fn turned_cmyk_progressive_and_palette_pictures_look_as_they_should() {
    let mut names: Vec<String> = (1..=8).map(|orientation| format!("turned-{orientation}.jpg")).collect();
    names.extend(["turned-6.png", "turned-6.webp", "turned-6.tif"].map(String::from));
    names.extend(["cmyk.jpg", "cmyk.tif", "progressive.jpg", "palette.png"].map(String::from));
    for name in names {
        let picture = picture(&name);
        assert_eq!((picture.width(), picture.height()), (48, 32), "{name}");
        for (place, colour) in [((12, 8), RED), ((36, 8), GREEN), ((12, 24), BLUE), ((36, 24), WHITE)] {
            assert_colour(&name, &picture, place, colour);
        }
    }
}

#[test]
fn of_animated_pictures_the_first_frame_is_read() {
    for ending in ["gif", "webp", "png"] {
        let name = format!("animated.{ending}");
        let picture = picture(&name);
        assert_eq!((picture.width(), picture.height()), (12, 8), "{name}");
        assert_colour(&name, &picture, (0, 0), RED);
        assert_colour(&name, &picture, (11, 7), RED);
    }
}

#[test]
fn a_picture_of_one_row_or_column_is_encoded_by_every_encoder_of_pictures() {
    let (high, wide) = (picture("line-1x4000.png"), picture("line-4000x1.png"));
    assert_eq!((high.width(), high.height(), wide.width(), wide.height()), (1, 4_000, 4_000, 1));
    for (picture, first, last) in [(&high, (0, 0), (0, 3_999)), (&wide, (0, 0), (3_999, 0))] {
        assert_colour("a line", picture, first, RED);
        assert_colour("a line", picture, last, BLUE);
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["line-1x4000.png", "line-4000x1.png"] {
        std::fs::copy(reference("pictures").join(name), folder.path().join(name)).unwrap();
    }
    let files = Files::open(folder.path()).unwrap();
    let limits = Limits::default();
    let things = OfFiles { files: &files, places: vec![Some(0), Some(1)], limits: &limits, ffmpeg: None };
    let settings = TransformerSettings::default();
    let trained = ["clip", "siglip", "dinov2"].map(|name| of_pictures(&reference(name), &settings).unwrap());
    let done = |outcomes: &[Outcome]| outcomes.iter().all(|outcome| matches!(outcome, Outcome::Vector(_)));
    for encoder in &trained {
        let outcomes = job::run::<Picture, Picture>(&**encoder, &things, None, 1, &|_| {}).outcomes;
        assert!(done(&outcomes), "{}: {outcomes:?}", encoder.name());
    }
    assert!(done(&job::run::<Picture, Picture>(&PictureStatistics, &things, None, 1, &|_| {}).outcomes));
}
