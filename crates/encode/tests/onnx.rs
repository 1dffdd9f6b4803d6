//! Exported models through ONNX Runtime (feature `onnx`). The library is that of `target/venv`, where the Python package
//! `onnxruntime` brings one, or that of `ORT_DYLIB_PATH`; with `UPNEXT_REQUIRE_SERVERS` set one must be there.

#![cfg(feature = "onnx")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};

use upnext_encode::{Clip, Encoder, Onnx, OnnxSettings, Picture, Sound, contract};

/// Lets the library be found; false where there is none.
fn library() -> bool {
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        return true;
    }
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/lib");
    let pythons = std::fs::read_dir(venv).into_iter().flatten().filter_map(Result::ok);
    let folders = pythons.map(|python| python.path().join("site-packages/onnxruntime/capi"));
    let files = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().filter_map(Result::ok);
    let is_library = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
    };
    match files.map(|file| file.path()).find(is_library) {
        Some(path) => {
            #[expect(
                unsafe_code,
                reason = "the environment of this process, before any other thread reads it"
            )]
            // SAFETY: all checks stand in one test, so no other thread runs yet.
            unsafe {
                std::env::set_var("ORT_DYLIB_PATH", path);
            }
            true
        }
        None => {
            assert!(
                std::env::var_os("UPNEXT_REQUIRE_SERVERS").is_none(),
                "no libonnxruntime.so in target/venv"
            );
            eprintln!(
                "skipped: no libonnxruntime.so; set ORT_DYLIB_PATH, or install onnxruntime into target/venv"
            );
            false
        }
    }
}

fn model(name: &str, settings: OnnxSettings) -> Onnx {
    Onnx::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/onnx").join(name), settings)
        .unwrap()
}

fn flat(rgb: [u8; 3]) -> Picture {
    Picture::new(20, 12, rgb.repeat(240))
}

/// The unit vector of what a mean colour comes to.
fn expected(rgb: [u8; 3], settings: &OnnxSettings) -> Vec<f32> {
    let of = |c: usize| (f32::from(rgb[c]) / 255.0 - settings.mean[c]) / settings.deviation[c];
    let row = [0, 1, 2].map(of);
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter().map(|x| x / length).collect()
}

#[test]
fn pictures_sounds_and_clips_by_exported_models() {
    if !library() {
        return;
    }
    let settings = OnnxSettings::default();
    let near =
        |found: &[f32], expected: &[f32]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    let of_pictures = model("pictures.onnx", settings.clone());
    let colours = [[200, 10, 10], [10, 200, 10], [0, 0, 0]];
    let pictures = colours.map(flat);
    contract::check::<Picture>(&of_pictures, &pictures.each_ref());
    let rows = Encoder::<Picture>::encode(&of_pictures, &pictures.each_ref().map(Some)).unwrap().rows;
    for (at, colour) in colours.into_iter().enumerate() {
        assert!(near(rows.row(at), &expected(colour, &settings)), "{colour:?}: {:?}", rows.row(at));
    }

    // The same model of other numbers: as CLIP has them.
    let other = OnnxSettings { mean: [0.5; 3], deviation: [0.25; 3], ..settings.clone() };
    let of_others = model("pictures.onnx", other.clone());
    let rows = Encoder::<Picture>::encode(&of_others, &[Some(&pictures[0])]).unwrap().rows;
    assert!(near(rows.row(0), &expected(colours[0], &other)), "{:?}", rows.row(0));
    assert_ne!(
        Encoder::<Picture>::digest(&of_others),
        Encoder::<Picture>::digest(&of_pictures),
        "what was kept for one is not taken for the other"
    );

    let of_pairs = model("pairs.onnx", settings.clone());
    contract::check::<Picture>(&of_pairs, &pictures.each_ref());

    let of_sounds = model("sounds.onnx", settings.clone());
    let sounds =
        [vec![3.0, 4.0], vec![0.0, 1.0, 0.0, 0.0, 9.0]].map(|samples| Sound { rate: 16_000, samples });
    contract::check::<Sound>(&of_sounds, &sounds.each_ref());
    let rows = Encoder::<Sound>::encode(&of_sounds, &sounds.each_ref().map(Some)).unwrap().rows;
    assert!(near(rows.row(0), &[0.6, 0.8, 0.0, 0.0]) && near(rows.row(1), &[0.0, 1.0, 0.0, 0.0]));

    let of_clips = model("clips.onnx", settings.clone());
    assert!(of_clips.reads_clips() && !of_pictures.reads_clips());
    let clip =
        |colours: &[[u8; 3]]| Clip { frames: colours.iter().copied().map(flat).collect(), ..Clip::default() };
    let clips = [clip(&colours[..1]), clip(&[colours[1]; 7])];
    contract::check::<Clip>(&of_clips, &clips.each_ref());
    let encoded = Encoder::<Clip>::encode(&of_clips, &[Some(&clips[1]), Some(&Clip::default())]).unwrap();
    assert!(near(encoded.rows.row(0), &expected(colours[1], &settings)));
    assert_eq!(encoded.present, [true, false], "a clip without a picture");

    let error = Encoder::<Sound>::encode(&of_pictures, &[Some(&sounds[0])]).unwrap_err().to_string();
    assert!(error.contains("reads pictures") && error.contains("was given sound"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.onnx");
    std::fs::write(&broken, b"no model").unwrap();
    let error = Onnx::open(&broken, settings.clone()).err().unwrap().to_string();
    assert!(error.contains("not a model that ONNX Runtime loads"), "{error}");
    let asked = OnnxSettings { output: "pooled".into(), ..settings };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/onnx/clips.onnx");
    assert!(Onnx::open(&path, asked).err().unwrap().to_string().contains("no output `pooled`; it has out"));
}
