//! Whatever bytes come: an error or a dataset, never a panic.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use upnext_ingest::{Format, Limits, Options, read, run};

/// Names that lead `auto` to every reader.
const NAMES: [&str; 16] = [
    "log.csv",
    "log.parquet",
    "log.txt",
    "log.jsonl",
    "big_matrix.csv",
    "ratings.dat",
    "u.data",
    "u.item",
    "ds.inter",
    "trn.csv",
    "log.csv.gz",
    "log.zst",
    "ds.net",
    "MicroLens-100k_title_en.csv",
    "MicroLens-100k_likes_and_views.txt",
    "item_daily_features.csv",
];

fn try_all(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { line_bytes_max: 1 << 14, features_bytes_max: 1 << 16, ..Limits::default() };
    for name in NAMES {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let options = Options { limits: limits.clone(), ..Options::default() };
        let _ = read(std::slice::from_ref(&path), &options, &|_| ());
        if name == "log.csv" {
            for format in Format::ALL {
                let options = Options { format, limits: limits.clone(), ..Options::default() };
                let _ = read(std::slice::from_ref(&path), &options, &|_| ());
            }
            let log = folder.path().join("good.txt");
            fs::write(&log, "1 2 3\n2 3 4 5\n").unwrap();
            let options =
                Options { features: vec![path.clone()], limits: limits.clone(), ..Options::default() };
            let _ = read(&[log], &options, &|_| ());
        }
    }
    let _ = read(&[folder.path().to_path_buf()], &Options { limits, ..Options::default() }, &|_| ());
}

/// Small valid files, one of each kind.
fn valid() -> &'static Vec<Vec<u8>> {
    static VALID: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    VALID.get_or_init(|| {
        let csv =
            b"user_id,item_id,timestamp,rating,genres\n1,a,10,4,\"x|y\"\n2,b,20,5,z\n3,c,2020-01-01,1,\n"
                .to_vec();
        let json =
            b"{\"user\":\"a\",\"item\":1,\"ts\":10}\n{\"user\":\"b\",\"item\":[1,2],\"ts\":null}\n".to_vec();
        let batch = RecordBatch::try_from_iter(vec![
            ("user_id", Arc::new(Int64Array::from_iter_values(0..40)) as ArrayRef),
            ("item_id", Arc::new(StringArray::from_iter_values((0..40).map(|n| format!("v{}", n % 9))))),
            ("watch_ratio", Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)))),
        ])
        .unwrap();
        let mut parquet = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&csv).unwrap();
        let zst = zstd::encode_all(&csv[..], 1).unwrap();
        let attributes = b"{\"2\": [1, \"x\"], \"3\": []}".to_vec();
        let dat = b"1::6::4::978300760\n2::7::5::978302109\n".to_vec();
        let lines = b"1 2 3 4\n2 3\n3 4 2 2 2\n".to_vec();
        let metarank = br#"{"event":"item","item":"v1","timestamp":"1599391467000","fields":[{"name":"title","value":"x"}]}
{"event":"ranking","id":"r1","user":"a","timestamp":1599391468000,"items":[{"id":"v1"},{"id":"v2"}]}
{"event":"interaction","ranking":"r1","timestamp":"2020-09-06T11:24:30Z","type":"click","item":"v2"}
{"event":"interaction","user":"b","timestamp":1599391470000,"type":"like","item":"v1","fields":[{"name":"q","value":[1.5,2]}]}
"#;
        let feedback = br#"{"FeedbackType":"read","UserId":"b","ItemId":"v","Value":0.8,"Timestamp":"2026-01-01T00:00:00Z"}
{"FeedbackKey":{"FeedbackType":"like","UserId":"c","ItemId":"w"},"Timestamp":"0001-01-01T00:00:00Z","Comment":"x"}
"#;
        let items = br#"{"ItemId":"v","IsHidden":false,"Categories":["s"],"Labels":{"a":{"b":[0.5,1]},"c":["d"]},"Comment":"t"}
"#;
        let personalize = b"USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION\nu,a,1600000000,Watch,0.9,a|b\nv,b,1600000100,Click,,\n";
        let daily = b"video_id,date,author_id,show_cnt,play_cnt\n1,20200705,7,10,5\n2,2020-07-06,8,1,NaN\n";
        let search = b"user_id,video_id,interaction_type,interaction_value,location,device,timestamp\n4,18,like,,38.89-77.1,phone,128648624\n9,-,search,words,22.3-54.2,tv,3864123\n5,6,watch,88mins,\"[1, 2]\",,12872496\n";
        let recbole = b"item_id:token\timage:float_seq\tclass:token_seq\n1\t0.5 -1 2\tA B\n2\t0.5 1\t\n";
        let friends = b"user_id,friend_list\n1,\"[2, 900]\"\n2,[1]\n";
        let kinds: [&[u8]; 8] = [metarank, feedback, items, personalize, daily, search, recbole, friends];
        let mut all = vec![csv, json, parquet, gz.finish().unwrap(), zst, attributes, dat, lines];
        all.extend(kinds.map(<[u8]>::to_vec));
        all
    })
}

#[test]
fn every_prefix_of_a_valid_file_is_an_error_or_a_dataset() {
    for file in valid() {
        let step = (file.len() / 60).max(1);
        for cut in (0..file.len()).step_by(step) {
            try_all(&file[..cut]);
        }
    }
}

/// Few cases, since each tries every reader; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        try_all(&bytes);
    }

    #[test]
    fn random_text_that_looks_like_a_table_never_panics(
        text in "(user|item|timestamp|,|;|\t|::|[0-9]{1,20}|-|\"|\n|NaN|inf|1e400|é|\\{|\\}|\\[|\\]|:| ){0,80}"
    ) {
        try_all(text.as_bytes());
    }

    #[test]
    fn valid_files_with_changed_bytes_never_panic(
        which in 0..16_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = valid()[which].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        try_all(&bytes);
    }

    #[test]
    fn a_run_folder_with_changed_bytes_is_refused(
        at in any::<prop::sample::Index>(),
        file in prop::sample::select(vec!["dataset/events.parquet", "dataset/users.parquet", "cleaning.json"]),
        byte in 1..=255_u8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.txt");
        fs::write(&log, "1 2 3\n2 3 4 5\n").unwrap();
        let imported = read(&[log], &Options::default(), &|_| ()).unwrap();
        let path: PathBuf = folder.path().join("run");
        run::write(&path, &imported.dataset, &imported.cleaning, &run::About::default(), false).unwrap();
        let file = path.join(file);
        let mut bytes = fs::read(&file).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        fs::write(&file, bytes).unwrap();
        prop_assert!(run::open(&path).is_err());
    }
}
