//! What `bench/encode` times: a folder's transformer over lines of text, or over a folder of pictures. Prints seconds of
//! encoding alone, and writes the rows, 32-bit floats, for others to compare.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use upnext_encode::transformer::{TransformerSettings, of_pictures, of_texts};
use upnext_encode::{Encoder, Files, Limits, Picture};

fn rows<Input: ?Sized + Sync>(encoder: &dyn Encoder<Input>, inputs: &[&Input]) -> Vec<f32> {
    let blocks: Vec<Vec<f32>> = inputs
        .par_chunks(encoder.batch())
        .map(|block| {
            let block: Vec<Option<&Input>> = block.iter().copied().map(Some).collect();
            encoder.encode(&block).expect("a local model answers").rows.into_values()
        })
        .collect();
    blocks.concat()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, model, from, out] = &arguments[..] else {
        panic!("bench_encode texts|pictures MODEL LINES|FOLDER OUT");
    };
    let settings = TransformerSettings::default();
    let (model, from) = (Path::new(model), Path::new(from));
    let (seconds, values) = if what == "texts" {
        let encoder = of_texts(model, &settings).expect("a model of texts");
        let lines = std::fs::read_to_string(from).expect("lines of JSON strings");
        let texts: Vec<String> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a string")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let begun = Instant::now();
        let values = rows(&*encoder, &texts);
        (begun.elapsed().as_secs_f64(), values)
    } else {
        let encoder = of_pictures(model, &settings).expect("a model of pictures");
        let files = Files::open(from).expect("a folder of pictures");
        let limits = Limits::default();
        let decode = |at: usize| {
            let bytes = files.read(at).expect("a file");
            Picture::decode(&bytes, &limits).expect("a picture")
        };
        let pictures: Vec<Picture> = (0..files.listed().len()).map(decode).collect();
        let pictures: Vec<&Picture> = pictures.iter().collect();
        let begun = Instant::now();
        let values = rows(&*encoder, &pictures);
        (begun.elapsed().as_secs_f64(), values)
    };
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(out, bytes).expect("rows are written");
    println!("{{\"seconds\": {seconds}}}");
}
