//! Vectors made elsewhere: each way in which they lie, what is missing, and that a failure changes nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use proptest::prelude::*;
use upnext_data::{Action, Catalogue, Dataset, Event, Events, Order, Users};
use upnext_ingest::vectors::{VectorError, VectorFormat, VectorOptions, add, beside, import, names, read};
use upnext_ingest::{CleaningReport, Vectors, run};

/// A run with these videos, in this order.
fn run_of(folder: &Path, videos: &[&str]) -> PathBuf {
    let (mut users, mut catalogue, mut events) = (Users::new(), Catalogue::new(), Events::new());
    users.intern("ann");
    for video in videos {
        let video = catalogue.intern(video);
        let event = Event { user: 0, video, action: Action::Watch, time: 0, value: None, ratio: None };
        events.push(event);
    }
    let set = Dataset::new("test", users, catalogue, events, Order::Unordered, None);
    let path = folder.join("run");
    run::write(&path, &set, &CleaningReport::default(), &run::About::default(), true).unwrap();
    path
}

/// A .npy as NumPy writes it.
fn npy(shape: &str, kind: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), data].concat()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn from(from: &Path) -> VectorOptions {
    VectorOptions { name: "seen".into(), from: from.display().to_string(), ..VectorOptions::default() }
}

fn import_from(run: &Path, options: &VectorOptions) -> Result<upnext_ingest::vectors::Coverage, VectorError> {
    import(run, options, &|_| {})
}

/// Every file of a folder with what it holds.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(content(&path)),
            false => drop(all.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    all
}

#[test]
fn a_folder_of_one_file_each_is_read_and_what_does_not_fit_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_of(folder.path(), &["a", "b", "c", "d", "e", "f"]);
    let made = folder.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("a.npy"), npy("(2,)", "<f4", &bytes(&[1.0, 2.0]))).unwrap();
    // One row of a matrix is a vector too; without a header it is raw.
    fs::write(made.join("b.npy"), npy("(1, 2)", "<f4", &bytes(&[3.0, 4.0]))).unwrap();
    fs::write(made.join("c.bin"), bytes(&[5.0, 6.0])).unwrap();
    fs::write(made.join("d.npy"), npy("(3,)", "<f4", &bytes(&[0.0; 3]))).unwrap();
    fs::write(made.join("e.npy"), npy("(2,)", "<f4", &bytes(&[0.0, f32::NAN]))).unwrap();
    fs::write(made.join("z.npy"), npy("(2,)", "<f4", &bytes(&[0.0; 2]))).unwrap();
    let options = VectorOptions { dim: Some(2), ..from(&made) };
    let coverage = import_from(&run, &options).unwrap();
    let n =
        [&coverage.found, &coverage.missing, &coverage.wrong_size, &coverage.non_finite, &coverage.unknown];
    assert_eq!(n.map(|count| count.n), [3, 1, 1, 1, 1]);
    assert_eq!(coverage.missing.examples, ["f"]);
    assert_eq!(coverage.wrong_size.examples, ["d: 3 numbers, expected 2"]);
    assert_eq!(coverage.non_finite.examples, ["e: number 1 is NaN"]);
    assert_eq!(coverage.found.share, 0.5);
    let stored = read(&run, "seen").unwrap().unwrap();
    assert_eq!(stored.values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(stored.present, [true, true, true, false, false, false]);
    assert_eq!((stored.dim, &stored.coverage), (2, &coverage));
    assert_eq!(names(&run).unwrap(), ["seen"]);
    assert!(run::open(&run).unwrap().manifest.files.contains_key("embeddings/seen.npy"));
    assert_eq!(read(&run, "other").unwrap(), None);
}

#[test]
fn a_matrix_goes_by_its_ids_or_by_the_order_of_videos() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_of(folder.path(), &["a", "b", "c"]);
    let matrix = folder.path().join("image_feat.npy");
    // TikTok's features have 16 bits: 1, 2, 0.5.
    let halves: Vec<u8> = [0x3c00_u16, 0x4000, 0x3800].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(&matrix, npy("(3, 1)", "<f2", &halves)).unwrap();
    import_from(&run, &from(&matrix)).unwrap();
    assert_eq!(read(&run, "seen").unwrap().unwrap().values, [1.0, 2.0, 0.5]);
    let ids = folder.path().join("ids.txt");
    fs::write(&ids, "c\nx\na\n").unwrap();
    let options = VectorOptions { ids: Some(ids.clone()), ..from(&matrix) };
    let coverage = import_from(&run, &options).unwrap();
    assert_eq!((coverage.found.n, coverage.missing.n, coverage.unknown.n), (2, 1, 1));
    assert_eq!(read(&run, "seen").unwrap().unwrap().values, [0.5, 0.0, 1.0]);
    fs::write(&ids, "c\na\n").unwrap();
    let error = import_from(&run, &options).unwrap_err().to_string();
    assert!(error.contains("3 rows") && error.contains("2 ids"), "{error}");
}

#[test]
fn a_matrix_beside_a_log_goes_by_ids_that_are_numbers_or_by_a_file_of_ids() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = folder.path().join("image_feat.npy");
    fs::write(&matrix, npy("(4, 1)", "<f4", &bytes(&[0.5, 1.5, 2.5, 3.5]))).unwrap();
    let of = |videos: &[&str]| {
        let mut names = upnext_data::Names::new();
        videos.iter().for_each(|video| {
            names.intern(video);
        });
        beside(&names, &matrix)
    };
    let stored = of(&["3", "0"]).unwrap().unwrap();
    assert_eq!((stored.values, stored.coverage.name.as_str()), (vec![3.5, 0.5], "image_feat"));
    // Words, and a number beyond the rows: nothing says which row is which.
    assert_eq!((of(&["a", "b"]).unwrap(), of(&["1", "4"]).unwrap()), (None, None));
    fs::write(matrix.with_extension("ids"), "b\nx\na\ny\n").unwrap();
    assert_eq!(of(&["a", "b", "c"]).unwrap().unwrap().values, [2.5, 0.5, 0.0]);
    fs::remove_file(matrix.with_extension("ids")).unwrap();
    fs::write(&matrix, npy("(4, 1)", "<f4", &[0; 8])).unwrap();
    let error = of(&["0"]).unwrap_err().to_string();
    assert!(error.contains("image_feat.npy") && error.contains("does not fit"), "{error}");
    assert!(error.contains("move it out of the folder"), "{error}");
}

fn parquet_file(path: &Path, ids: &[&str], vectors: ArrayRef) {
    let mut names = StringBuilder::new();
    ids.iter().for_each(|id| names.append_value(id));
    let ids: ArrayRef = Arc::new(names.finish());
    let batch = RecordBatch::try_from_iter([("video_id", ids), ("embedding", vectors)]).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn lists() -> ArrayRef {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for vector in [Some([3.0, 4.0]), None, Some([1.0, 2.0])] {
        lists.append_option(vector.map(|vector| vector.map(Some)));
    }
    Arc::new(lists.finish())
}

#[test]
fn parquet_lists_of_any_or_of_a_fixed_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_of(folder.path(), &["a", "b", "c"]);
    let path = folder.path().join("vectors.parquet");
    parquet_file(&path, &["c", "b", "a"], lists());
    let coverage = import_from(&run, &from(&path)).unwrap();
    assert_eq!((coverage.found.n, coverage.unreadable.n), (2, 1));
    assert_eq!(read(&run, "seen").unwrap().unwrap().values, [1.0, 2.0, 0.0, 0.0, 3.0, 4.0]);
    let mut fixed = FixedSizeListBuilder::new(Float32Builder::new(), 2);
    for number in [5.0, 6.0] {
        fixed.values().append_slice(&[number, number]);
        fixed.append(true);
    }
    parquet_file(&path, &["b", "c"], Arc::new(fixed.finish()));
    import_from(&run, &from(&path)).unwrap();
    assert_eq!(read(&run, "seen").unwrap().unwrap().values, [0.0, 0.0, 5.0, 5.0, 6.0, 6.0]);
}

#[test]
fn recbole_float_seq_and_json_lists_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_of(folder.path(), &["a", "b"]);
    let path = folder.path().join("set.item");
    fs::write(&path, "item_id:token\timage:float_seq\nb\t0.5 1\na\t2 x\n").unwrap();
    let coverage = import_from(&run, &from(&path)).unwrap();
    assert_eq!(coverage.unreadable.examples, ["a: line 3: `x` is not a number"]);
    assert_eq!(read(&run, "seen").unwrap().unwrap().values, [0.0, 0.0, 0.5, 1.0]);
    let path = folder.path().join("vectors.jsonl");
    fs::write(&path, "{\"video_id\": \"a\", \"v\": [1, 2.5]}\n{\"video_id\": \"b\", \"v\": [0, -1]}\n")
        .unwrap();
    import_from(&run, &VectorOptions { vector_column: Some("v".into()), ..from(&path) }).unwrap();
    assert_eq!(read(&run, "seen").unwrap().unwrap().values, [1.0, 2.5, 0.0, -1.0]);
    // Vectors of an import, as its tables held them.
    let vectors = Vectors { name: "table".into(), dim: 1, ids: vec!["b".into()], values: vec![9.0] };
    assert_eq!(add(&run, &vectors).unwrap().missing.examples, ["a"]);
    assert_eq!(read(&run, "table").unwrap().unwrap().values, [0.0, 9.0]);
    assert_eq!(names(&run).unwrap(), ["seen", "table"]);
}

#[test]
fn what_fails_leaves_the_run_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_of(folder.path(), &["a", "b"]);
    let made = folder.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("a.npy"), npy("(2,)", "<f4", &bytes(&[1.0, 2.0]))).unwrap();
    import_from(&run, &from(&made)).unwrap();
    let before = content(&run);
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    fs::write(nothing.join("z.npy"), b"").unwrap();
    let failing = [
        (from(&nothing), "2 missing"),
        (from(&folder.path().join("absent")), "absent"),
        (VectorOptions { dim: Some(7), ..from(&made) }, "a: 2 numbers, expected 7"),
        (VectorOptions { format: VectorFormat::Raw, ..from(&made) }, "--dim"),
        (VectorOptions { format: VectorFormat::Matrix, ..from(&made) }, "is a folder"),
        (VectorOptions { ids: Some("ids.txt".into()), ..from(&made) }, "--ids"),
        (VectorOptions { name: "../out".into(), ..from(&made) }, "--name"),
        (VectorOptions { dim: Some(usize::MAX / 8), ..from(&made) }, "at most"),
    ];
    for (options, expected) in failing {
        let error = import_from(&run, &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(content(&run), before, "{error}");
    }
    // Matrix and coverage belong together; a changed one is refused.
    let json = run.join("embeddings/seen.json");
    fs::write(&json, String::from_utf8(fs::read(&json).unwrap()).unwrap().replace("\"a\"", "\"b\"")).unwrap();
    assert!(read(&run, "seen").unwrap_err().to_string().contains("upnext vectors"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_bytes_are_a_panic(
        random in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..2_000, at in 0usize..2_000,
        to in any::<u8>()
    ) {
        let folder = tempfile::tempdir().unwrap();
        let run = run_of(folder.path(), &["a", "b", "c"]);
        let path = folder.path().join("vectors.parquet");
        parquet_file(&path, &["c", "b", "a"], lists());
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let at = at % changed.len();
        changed[at] = to;
        let matrix = npy("(3, 2)", "<f4", &bytes(&[1.0; 6]));
        let cut_of = |whole: &[u8]| whole[..cut.min(whole.len())].to_vec();
        let started = |start: &[u8]| [start, &random].concat();
        for bytes in [
            cut_of(&whole), changed, cut_of(&matrix), random.clone(), started(b"PAR1"), started(b"\x93NUMPY\x01\x00"),
        ] {
            fs::write(&path, &bytes).unwrap();
            for format in [VectorFormat::Auto, VectorFormat::Matrix, VectorFormat::Parquet, VectorFormat::Table] {
                let _ = import_from(&run, &VectorOptions { format, ..from(&path) });
            }
            let made = folder.path().join("made");
            fs::create_dir_all(&made).unwrap();
            fs::write(made.join("a.npy"), &bytes).unwrap();
            for (format, dim) in [(VectorFormat::Auto, None), (VectorFormat::Auto, Some(2)), (VectorFormat::Raw, Some(3))] {
                let _ = import_from(&run, &VectorOptions { format, dim, ..from(&made) });
            }
        }
        run::open(&run).unwrap();
    }
}

#[cfg(feature = "scale")]
mod servers;

#[cfg(feature = "scale")]
mod s3 {
    use std::sync::Mutex;

    use super::servers::S3;
    use super::*;

    fn options(server: &S3, prefix: &str) -> VectorOptions {
        let settings = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
        VectorOptions {
            name: "seen".into(),
            from: format!("s3://vectors/{prefix}"),
            endpoint: Some(server.endpoint()),
            settings: settings.map(|(key, value)| (key.into(), value.into())).into(),
            retries: 2,
            ..VectorOptions::default()
        }
    }

    /// A number for each place of each video.
    fn vector(video: usize, dim: usize) -> Vec<f32> {
        (0..dim).map(|place| video as f32 + place as f32 / 4_096.0).collect()
    }

    /// The shapes of InternVideo, each a .npy, and of ada-002, each without a header.
    #[test]
    fn a_real_object_store_is_read_with_its_gaps_and_its_failures() {
        let Some(server) = S3::start() else { return };
        let folder = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..60).map(|video| format!("v{video}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let run = run_of(folder.path(), &ids);
        server.put("", &[]);
        for (video, id) in ids.iter().enumerate().skip(1) {
            let internvideo = npy("(256,)", "<f4", &bytes(&vector(video, 256)));
            server.put(&format!("internvideo_embedding/{id}.npy"), &internvideo);
            server.put(&format!("embeddings/{id}.npy"), &bytes(&vector(video, 1_536)));
        }
        server.put("internvideo_embedding/v7.npy", &npy("(256,)", "<f4", &bytes(&[f32::INFINITY; 256])));
        server.put("internvideo_embedding/v8.npy", b"<html>");
        server.put("internvideo_embedding/stranger.npy", b"");
        let cache = folder.path().join("cache");
        let internvideo =
            VectorOptions { cache: Some(cache.clone()), ..options(&server, "internvideo_embedding/") };
        let coverage = import_from(&run, &internvideo).unwrap();
        assert_eq!((coverage.dim, coverage.found.n, coverage.from_cache), (256, 57, 0));
        assert_eq!(coverage.missing.examples, ["v0"]);
        assert_eq!(coverage.non_finite.examples, ["v7: number 0 is inf"]);
        assert_eq!((coverage.unreadable.n, &coverage.unknown.examples[..]), (1, &["stranger".into()][..]));
        let stored = read(&run, "seen").unwrap().unwrap();
        assert_eq!(stored.values[59 * 256..], vector(59, 256));
        // What has not changed is not fetched again; what has, is.
        server.put("internvideo_embedding/v7.npy", &npy("(256,)", "<f4", &bytes(&vector(7, 256))));
        let coverage = import_from(&run, &internvideo).unwrap();
        assert_eq!((coverage.found.n, coverage.from_cache), (58, 58));
        let ada =
            VectorOptions { name: "ada-002".into(), dim: Some(1_536), ..options(&server, "embeddings") };
        assert_eq!(import_from(&run, &ada).unwrap().found.n, 59);
        assert_eq!(read(&run, "ada-002").unwrap().unwrap().values[1_536..2 * 1_536], vector(1, 1_536));
        // A matrix and a table are one object.
        server.put("all.npy", &npy("(60, 1)", "<f4", &bytes(&[1.5; 60])));
        assert_eq!(import_from(&run, &options(&server, "all.npy")).unwrap().found.n, 60);
        let path = folder.path().join("vectors.parquet");
        parquet_file(&path, &["v0", "v1", "v2"], lists());
        server.put("all.parquet", &fs::read(&path).unwrap());
        assert_eq!(import_from(&run, &options(&server, "all.parquet")).unwrap().found.n, 2);
        an_object_that_vanishes_is_missing(&server, &run);
        whatever_fails_is_told_and_changes_nothing(server, &run);
    }

    fn an_object_that_vanishes_is_missing(server: &S3, run: &Path) {
        let one_by_one = VectorOptions { workers: 1, ..options(server, "internvideo_embedding") };
        let coverage = import(run, &one_by_one, &|step| {
            if step.done == 1 {
                server.delete("internvideo_embedding/v59.npy");
            }
        });
        assert_eq!(coverage.unwrap().missing.examples, ["v0", "v59"]);
    }

    fn whatever_fails_is_told_and_changes_nothing(server: S3, run: &Path) {
        let before = content(run);
        let said = |options: &VectorOptions, progress: &dyn Fn(upnext_ingest::vectors::VectorProgress)| {
            let error = import(run, options, progress).unwrap_err().to_string();
            assert!(content(run) == before, "{error}");
            error
        };
        let error = said(&options(&server, "nowhere"), &|_| {});
        assert!(error.contains("nothing lies under this prefix"), "{error}");
        // The store speaks no TLS, and nobody listens where it is looked for.
        let tls = format!("https://127.0.0.1:{}", server.port);
        let error = said(&VectorOptions { endpoint: Some(tls), ..options(&server, "embeddings") }, &|_| {});
        assert!(error.contains("s3://vectors/embeddings") && error.contains("check --endpoint"), "{error}");
        let absent = VectorOptions { from: "s3://absent/x".into(), ..options(&server, "") };
        let error = said(&absent, &|_| {});
        assert!(error.contains("s3://absent/x") && error.contains("NoSuchBucket"), "{error}");
        server.check_credentials();
        let error = said(&options(&server, "embeddings"), &|_| {});
        assert!(error.contains("check the credentials") && !error.contains("hidden"), "{error}");
        server.check_nothing();
        let one_by_one = VectorOptions { workers: 1, ..options(&server, "embeddings") };
        let server = Mutex::new(server);
        let error = said(&VectorOptions { dim: Some(1_536), ..one_by_one }, &|step| {
            if step.done == 5 {
                server.lock().unwrap().kill();
            }
        });
        assert!(error.contains("s3://vectors/embeddings") && error.contains("check --endpoint"), "{error}");
    }
}
