//! Transformers answer as the reference library does, on small models with random weights that it has made (`make.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use upnext_encode::transformer::{TransformerSettings, of_pictures, of_texts};
use upnext_encode::{Encoder, Picture, contract};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

struct Expected(Vec<u8>);

impl Expected {
    fn of(name: &str) -> Self {
        Self(std::fs::read(folder(name).join("expected.safetensors")).unwrap())
    }

    /// Rows of numbers.
    fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let width = tensor.shape()[1];
        let numbers: Vec<f32> =
            tensor.data().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        numbers.chunks_exact(width).map(<[f32]>::to_vec).collect()
    }

    /// The pictures that it was shown.
    fn pictures(&self) -> Vec<Picture> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let picture = |name: &str| {
            let tensor = tensors.tensor(name).unwrap();
            let (height, width) = (tensor.shape()[0] as u32, tensor.shape()[1] as u32);
            Picture::new(width, height, tensor.data().to_vec())
        };
        ["picture0", "picture1", "picture2", "picture3"].map(picture).into()
    }
}

fn texts() -> Vec<String> {
    serde_json::from_slice(&std::fs::read(folder("bert/texts.json")).unwrap()).unwrap()
}

/// How far rows are apart: the largest difference of a number, and the least cosine.
fn apart<Input: ?Sized>(
    encoder: &dyn Encoder<Input>,
    inputs: &[&Input],
    expected: &[Vec<f32>],
) -> (f32, f32) {
    let inputs: Vec<Option<&Input>> = inputs.iter().copied().map(Some).collect();
    let encoded = encoder.encode(&inputs).unwrap();
    assert!(encoded.present.iter().all(|&present| present));
    let (mut most, mut least) = (0.0f32, 1.0f32);
    for (at, expected) in expected.iter().enumerate() {
        let found = encoded.rows.row(at);
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(a, b)| most = most.max((a - b).abs()));
        least = least.min(found.iter().zip(expected).map(|(a, b)| a * b).sum());
    }
    (most, least)
}

fn assert_same(what: &str, (most, least): (f32, f32)) {
    assert!(most < 1e-5 && least > 0.99999, "{what}: {most:e} apart, cosine {least}");
}

#[test]
fn texts_by_bert_xlm_r_clip_and_siglip() {
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let settings = TransformerSettings { prefix: Some(String::new()), ..TransformerSettings::default() };
    for name in ["bert", "xlm-roberta", "clip", "siglip"] {
        let encoder = of_texts(&folder(name), &settings).unwrap();
        contract::check(&*encoder, &texts);
        assert_same(name, apart(&*encoder, &texts, &Expected::of(name).rows("rows")));
    }
    let settings = TransformerSettings { prefix: Some("passage: ".into()), ..TransformerSettings::default() };
    let encoder = of_texts(&folder("xlm-roberta"), &settings).unwrap();
    assert_same("a prefix", apart(&*encoder, &texts, &Expected::of("xlm-roberta").rows("passages")));
}

#[test]
fn pictures_by_clip_siglip_and_dinov2() {
    // Which of the pictures needs no resizing: there nothing but the model counts.
    for (name, as_it_is) in [("clip", 2), ("siglip", 2), ("dinov2", 3)] {
        let expected = Expected::of(name);
        let (pictures, rows) = (expected.pictures(), expected.rows("image_rows"));
        let encoder = of_pictures(&folder(name), &TransformerSettings::default()).unwrap();
        let all: Vec<&Picture> = pictures.iter().collect();
        contract::check(&*encoder, &all);
        assert_same(name, apart(&*encoder, &[all[as_it_is]], &[rows[as_it_is].clone()]));
        // Others are resized, and pixels are rounded a step up or down now and then.
        let (_, least) = apart(&*encoder, &all, &rows);
        assert!(least > 0.999, "{name}: cosine {least}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let to = temporary.path().join(name);
        std::fs::create_dir_all(&to).unwrap();
        for entry in
            std::fs::read_dir(folder("bert")).unwrap().map(Result::unwrap).filter(|e| e.path().is_file())
        {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    };
    let settings = TransformerSettings::default();
    let why = |folder: &Path| of_texts(folder, &settings).err().expect("it does not open").to_string();
    let open = copy("whole");
    assert!(of_texts(&open, &settings).is_ok());
    for (file, expected) in [
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "save the tokenizer beside the model"),
        ("config.json", "expected the folder of a trained model"),
    ] {
        let folder = copy(file);
        std::fs::remove_file(folder.join(file)).unwrap();
        assert!(why(&folder).contains(expected), "{file}: {}", why(&folder));
    }
    let folder = copy("torn");
    let whole = std::fs::read(folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("model.safetensors"), &whole[..whole.len() - 9]).unwrap();
    assert!(why(&folder).contains("not a safetensors file"), "{}", why(&folder));
    let folder = copy("other-tokenizer");
    std::fs::copy(self::folder("clip/tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    assert!(why(&folder).contains("it is of another model"), "{}", why(&folder));
    // A tokenizer that knows fewer tokens fits every table, and means others by them.
    let folder = copy("smaller-tokenizer");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let larger = config.replace("\"vocab_size\": 110", "\"vocab_size\": 300");
    std::fs::write(folder.join("config.json"), larger).unwrap();
    assert!(
        why(&folder).contains("it knows 110 tokens, the model 300: it is of another"),
        "{}",
        why(&folder)
    );
    let folder = copy("mean-and-max");
    std::fs::create_dir(folder.join("1_Pooling")).unwrap();
    for pooling in [
        "{\"pooling_mode_mean_tokens\": true, \"pooling_mode_max_tokens\": true}",
        "{\"pooling_mode\": [\"mean_tokens\", \"max_tokens\"]}",
    ] {
        std::fs::write(folder.join("1_Pooling/config.json"), pooling).unwrap();
        assert!(why(&folder).contains("it pools by `m") && why(&folder).contains("max`"), "{}", why(&folder));
    }
    let folder = copy("other-shape");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    std::fs::write(
        folder.join("config.json"),
        config.replace("\"intermediate_size\": 64", "\"intermediate_size\": 65"),
    )
    .unwrap();
    assert!(
        why(&folder).contains("has shape [64, 32]; the configuration asks for [65, 32]"),
        "{}",
        why(&folder)
    );
    std::fs::write(folder.join("config.json"), config.replace("\"bert\"", "\"gpt2\"")).unwrap();
    assert!(why(&folder).contains("`gpt2` does not encode texts"), "{}", why(&folder));
    assert!(of_pictures(&open, &settings).err().unwrap().to_string().contains("does not encode pictures"));
    for (name, found, expected) in [
        ("clip", "\"shortest_edge\": 32", "\"shortest_edge\": 24"),
        ("siglip", "\"height\": 32", "\"height\": 31"),
        ("dinov2", "\"height\": 32", "\"height\": 3"),
    ] {
        let other = temporary.path().join(name);
        std::fs::create_dir(&other).unwrap();
        for file in ["config.json", "model.safetensors", "preprocessor_config.json"] {
            std::fs::copy(self::folder(name).join(file), other.join(file)).unwrap();
        }
        let about = std::fs::read_to_string(other.join("preprocessor_config.json")).unwrap();
        let changed = about.replace(found, expected);
        assert_ne!(about, changed, "{name}");
        std::fs::write(other.join("preprocessor_config.json"), changed).unwrap();
        let why = of_pictures(&other, &settings).err().expect("it does not open").to_string();
        assert!(why.contains("this is the processor of another model"), "{name}: {why}");
    }
    let settings = TransformerSettings { tokens_max: Some(4_000), ..settings };
    assert!(of_texts(&open, &settings).err().unwrap().to_string().contains("reads 3 to 48 tokens"));
}
