//! What people bring, in the smallest files that make each point.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use folder::{Folder, has};
use parquet::arrow::ArrowWriter;
use upnext_data::{Action, Event, Order, Part};
use upnext_ingest::{Format, Imported, Limits, Map, Options, Reason, Rules, Stage, read};

fn table(folder: &Folder, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.path(name);
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn refusal(folder: &Folder, names: &[&str], options: &Options) -> String {
    folder.import(names, options).expect_err("an error").to_string()
}

fn auto() -> Options {
    Options::default()
}

fn format(format: Format) -> Options {
    Options { format, ..auto() }
}

fn map(map: &str) -> Options {
    Options { map: map.parse::<Map>().unwrap(), ..auto() }
}

/// Events with their outside ids.
fn events(imported: &Imported) -> Vec<(String, String, Event)> {
    let set = &imported.dataset;
    let named = |e: Event| (set.users.name(e.user).into(), set.videos.name(e.video).into(), e);
    set.events().iter().map(named).collect()
}

fn sequence(imported: &Imported, user: &str) -> Vec<String> {
    events(imported).into_iter().filter(|(u, ..)| u == user).map(|(_, v, _)| v).collect()
}

// --- formats -------------------------------------------------------------------------------------------------

#[test]
fn s3rec_rows_follow_the_numbers_of_videos_and_users_the_file() {
    let files = Folder::new(&[("beauty.txt", "9 3 1 3\n2 5 1\n7 1 3 5 6\n")]);
    let set = files.import(&["beauty.txt"], &auto()).unwrap();
    has(&set.recognised, &["s3rec"]);
    let ids: Vec<&str> = set.dataset.videos.names().iter().collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(set.dataset.users.names().iter().collect::<Vec<_>>(), ["9", "2", "7"]);
    assert_eq!(set.dataset.order, Order::Sequence);
    assert_eq!(sequence(&set, "9"), ["3", "1", "3"]);
    assert_eq!((set.dataset.name.as_str(), set.cleaning.read, set.cleaning.kept), ("beauty", 9, 9));
}

#[test]
fn s3rec_with_words_keeps_them_and_takes_attributes() {
    let files = Folder::new(&[
        ("a.txt", "ann v/1 é\nbob é v/1 x\n"),
        ("attributes.json", r#"{"v/1": [3, "slow"], "é": [], "x": [3], "unknown": [9]}"#),
    ]);
    let options = Options { features: vec![files.path("attributes.json")], ..format(Format::S3rec) };
    let set = files.import(&["a.txt"], &options).unwrap();
    let row = set.dataset.videos.row("v/1").unwrap();
    assert_eq!(set.dataset.videos.labels_of(row, "attribute").collect::<Vec<_>>(), ["3", "slow"]);
    assert!(set.dataset.videos.row("unknown").is_none());
    has(&set.cleaning.to_string(), &["1 ids are not in the log"]);
}

#[test]
fn pairs_in_order_of_time_are_sequences() {
    let files = Folder::new(&[("pairs.txt", "1 5\n1 2\n1 5\n2 2\n2 3\n")]);
    let set = files.import(&["pairs.txt"], &auto()).unwrap();
    has(&set.recognised, &["sasrec"]);
    assert_eq!(
        (sequence(&set, "1"), set.dataset.order),
        (vec!["5".into(), "2".into(), "5".into()], Order::Sequence)
    );
}

#[test]
fn csv_is_guessed_from_usual_names_and_sorted_by_time_with_ties_in_file_order() {
    let files = Folder::new(&[(
        "log.csv",
        "\u{feff}userId,movieId,other,timestamp\r\n1,b,x,20\r\n1,a,\"y,\"\"z\"\"\",10\r\n2,c,,5\r\n1,c,,10\r\n",
    )]);
    let set = files.import(&["log.csv"], &auto()).unwrap();
    has(&set.recognised, &["csv", "user=userId,video=movieId,time=timestamp"]);
    assert_eq!(set.dataset.order, Order::Timed);
    assert_eq!(sequence(&set, "1"), ["a", "c", "b"]);
    assert_eq!(events(&set)[0].2.time, 10_000);
}

#[test]
fn a_map_names_columns_and_a_dash_says_that_there_is_none() {
    let files =
        Folder::new(&[("log.tsv", "who\twhat\twhen\tlike\n1\ta\t2020-07-05\t0\n2\tb\t2020-07-06\t1\n")]);
    let set = files.import(&["log.tsv"], &map("user=who,video=what,time=when,like=-")).unwrap();
    assert_eq!(events(&set)[0].2.time, 1_593_907_200_000);
    assert!(events(&set).iter().all(|(.., e)| e.action == Action::Watch));
}

#[test]
fn watch_seconds_and_durations_make_ratios_and_marks_make_events() {
    let files = Folder::new(&[(
        "log.csv",
        "user_id,video_id,timestamp,watch_seconds,duration_seconds,is_like,is_hate\n1,a,1,5,10,1,0\n2,b,2,3,,0,1\n",
    )]);
    let set = files.import(&["log.csv"], &auto()).unwrap();
    let found = events(&set);
    let of = |user: &str| {
        found
            .iter()
            .filter(|(u, ..)| u == user)
            .map(|(.., e)| (e.action, e.value, e.ratio))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("1"), [(Action::Watch, Some(5.0), Some(0.5)), (Action::Like, Some(1.0), None)]);
    assert_eq!(of("2"), [(Action::Watch, Some(3.0), None), (Action::Hate, Some(1.0), None)]);
    assert_eq!(set.dataset.videos.video(0).duration_seconds, Some(10.0));
    assert_eq!((set.cleaning.read, set.cleaning.kept, set.cleaning.events), (2, 2, 4));
}

#[test]
fn rows_of_marks_alone_are_impressions_with_what_followed() {
    let files = Folder::new(&[("log.csv", "uid,vid,ts,like\n1,a,1,0\n1,b,2,1\n2,a,3,0\n")]);
    let set = files.import(&["log.csv"], &auto()).unwrap();
    let actions: Vec<Action> = events(&set).iter().map(|(.., e)| e.action).collect();
    assert_eq!(actions, [Action::Impression, Action::Impression, Action::Like, Action::Impression]);
}

#[test]
fn every_action_is_known_by_its_name_and_by_what_people_call_it() {
    let mut log = "user_id,item_id,event_type,timestamp\n".to_string();
    for (at, action) in Action::ALL.iter().enumerate() {
        log += &format!("{at},v{},{},{}\n", at % 2, action.name(), at + 1);
    }
    log += "x,v0,View,1\nx,v1,Thumbs-Up,2\nx,v2,Not Interested,3\nx,v3,share,4\n";
    let set = Folder::new(&[("log.csv", &log)]).whole(&auto()).unwrap();
    let found = events(&set);
    for (at, action) in Action::ALL.iter().enumerate() {
        assert!(found.iter().any(|(u, _, e)| *u == at.to_string() && e.action == *action), "{action:?}");
    }
    let x: Vec<Action> = found.iter().filter(|(u, ..)| u == "x").map(|(.., e)| e.action).collect();
    assert_eq!(x, [Action::Watch, Action::Like, Action::Hate, Action::Forward]);
}

#[test]
fn gzip_and_zstd_are_unpacked() {
    use std::io::Write;
    let log = "user_id,item_id,timestamp\n1,a,1\n2,b,2\n";
    let files = Folder::new(&[]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(log.as_bytes()).unwrap();
    files.add("log.csv.gz", &gz.finish().unwrap());
    files.add("log2.csv.zst", &zstd::encode_all(log.as_bytes(), 1).unwrap());
    for name in ["log.csv.gz", "log2.csv.zst"] {
        assert_eq!(files.import(&[name], &auto()).unwrap().dataset.events().len(), 2);
    }
}

#[test]
fn parquet_columns_of_many_types_are_read() {
    let files = Folder::new(&[]);
    table(
        &files,
        "log.parquet",
        vec![
            ("user_id", Arc::new(StringArray::from(vec!["ann", "bob", "ann"]))),
            ("item_id", Arc::new(Int64Array::from(vec![Some(7), Some(8), None]))),
            ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![5_000_000, 6_000_999, 7]))),
            ("rating", Arc::new(Float64Array::from(vec![4.5, 3.0, 1.0]))),
        ],
    );
    let set = files.import(&["log.parquet"], &auto()).unwrap();
    let (user, video, event) = &events(&set)[0];
    assert_eq!((user.as_str(), video.as_str(), event.time, event.value), ("ann", "7", 5_000, Some(4.5)));
    assert_eq!(events(&set)[1].2.time, 6_000);
    assert_eq!(set.cleaning.rows_dropped(Reason::Missing), 1);
}

#[test]
fn positions_and_lists_of_videos_are_sequences() {
    let files = Folder::new(&[]);
    table(
        &files,
        "positions.parquet",
        vec![
            ("user_id", Arc::new(Int32Array::from(vec![1, 1, 2, 1])) as ArrayRef),
            ("movie_id", Arc::new(Int32Array::from(vec![30, 10, 10, 20]))),
            ("pos", Arc::new(Int32Array::from(vec![2, 0, 0, 1]))),
        ],
    );
    let set = files.import(&["positions.parquet"], &auto()).unwrap();
    has(&set.recognised, &["sequences"]);
    assert_eq!(
        (sequence(&set, "1"), set.dataset.order),
        (vec!["10".into(), "20".into(), "30".into()], Order::Sequence)
    );
    let mut lists = ListBuilder::new(Int64Builder::new());
    for list in [&[3, 1, 3][..], &[2]] {
        list.iter().for_each(|&v| lists.values().append_value(v));
        lists.append(true);
    }
    table(
        &files,
        "lists.parquet",
        vec![
            ("user", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
            ("items", Arc::new(lists.finish())),
        ],
    );
    let set = files.import(&["lists.parquet"], &auto()).unwrap();
    assert_eq!(
        (sequence(&set, "a"), set.dataset.order),
        (vec!["3".into(), "1".into(), "3".into()], Order::Sequence)
    );
    assert_eq!(set.cleaning.read, 4);
}

const KUAIREC: &str = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n\
    14,148,4381,6067,2020-07-05 05:27:48.378,20200705,1593898068.378,0.722103\n\
    14,183,11635,6100,2020-07-05 05:28:00.057,20200705,1593898080.057,1.907377\n\
    15,148,100,6067,2020-07-05 05:29:00.000,20200705,1593898140,0.016482\n";

#[test]
fn kuairec_counts_in_milliseconds_and_its_captions_and_users_come_along() {
    let files = Folder::new(&[
        ("big_matrix.csv", KUAIREC),
        (
            "kuairec_caption_category.csv",
            "video_id,manual_cover_text,caption,topic_tag,first_level_category_id,first_level_category_name,second_level_category_id,second_level_category_name,third_level_category_id,third_level_category_name\n\
             148,UNKNOWN,a dog,\"[dogs,fun]\",8,颜值,673,颜值随拍,-124,UNKNOWN\n999,UNKNOWN,a cat,[],8,颜值,673,x,-124,UNKNOWN\n",
        ),
        ("item_categories.csv", "video_id,feat\n148,\"[27, 9]\"\n183,[8]\n"),
        (
            "user_features.csv",
            "user_id,user_active_degree,register_days\n14,high_active,107\n15,full_active,327\n16,x,1\n",
        ),
        ("social_network.csv", "user_id,friend_list\n14,\"[15, 16]\"\n"),
    ]);
    let set = files.whole(&auto()).unwrap();
    has(
        &set.recognised,
        &["kuairec", "watch_ms=play_duration", "duration_ms=video_duration", "time=timestamp"],
    );
    let (.., first) = &events(&set)[0];
    assert_eq!((first.time, first.value), (1_593_898_068_378, Some(4.381)));
    assert_eq!(first.ratio, Some(0.722_103));
    assert_eq!(set.dataset.videos.len(), 2);
    let row = set.dataset.videos.row("148").unwrap();
    let video = set.dataset.videos.video(row);
    assert_eq!((video.title.as_str(), video.duration_seconds), ("a dog", Some(6.067)));
    let labels: Vec<&str> = video.labels.iter().map(|&l| set.dataset.videos.labels.name(l)).collect();
    for label in ["topic:dogs", "topic:fun", "category1:颜值", "category2:颜值随拍", "tag:27", "tag:9"]
    {
        assert!(labels.contains(&label), "{label} in {labels:?}");
    }
    assert_eq!(labels.len(), 6);
    let user = set.dataset.users.row("14").unwrap();
    let groups: Vec<&str> =
        set.dataset.users.labels_of(user).iter().map(|&l| set.dataset.users.labels.name(l)).collect();
    assert!(groups.contains(&"user_active_degree:high_active"), "{groups:?}");
    assert!(set.dataset.parts().is_none());
}

#[test]
fn kuairecs_big_matrix_trains_and_the_small_one_tests() {
    let small = KUAIREC.replace("14,", "20,");
    let files = Folder::new(&[("big_matrix.csv", KUAIREC), ("small_matrix.csv", &small)]);
    let set = files.whole(&format(Format::Kuairec)).unwrap();
    let parts = set.dataset.parts().unwrap();
    for ((user, ..), part) in events(&set).iter().zip(parts) {
        if user != "15" {
            assert_eq!(*part, if user == "14" { Part::Train } else { Part::Test });
        }
    }
    assert_eq!(set.dataset.order, Order::Timed);
}

#[test]
fn movielens_comes_in_all_its_shapes() {
    let csv = Folder::new(&[
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,6,4.0,964982703\n2,7,3.5,964982224\n"),
        (
            "movies.csv",
            "movieId,title,genres\n6,\"Matrix, The (1999)\",Action|Sci-Fi\n7,Heat (1995),(no genres listed)\n8,Unseen (2000),Drama\n",
        ),
        ("tags.csv", "userId,movieId,tag,timestamp\n1,6,Mind Bending,1445714994\n"),
        ("links.csv", "movieId,imdbId,tmdbId\n6,1,2\n"),
    ]);
    let dat = Folder::new(&[
        ("ratings.dat", "1::6::4::978300760\n2::7::5::978302109\n"),
        ("users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n"),
    ]);
    dat.add("movies.dat", b"6::Matrix, The (1999)::Action|Sci-Fi\n7::Mis\xe9rables, Les (1995)::Drama\n");
    let hundred = Folder::new(&[
        ("u.data", "1\t6\t4\t881250949\n2\t7\t3\t891717742\n"),
        ("u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n"),
    ]);
    hundred.add("u.item", b"6|Matrix, The (1999)|01-Jan-1999||http://x|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0|0\n7|Mis\xe9rables, Les (1995)|01-Jan-1995||http://x|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0\n");
    for (files, name) in [(&csv, "csv"), (&dat, "dat"), (&hundred, "100k")] {
        for options in [auto(), format(Format::Movielens)] {
            let set = files.whole(&options).unwrap();
            has(&set.recognised, &["movielens"]);
            let row = set.dataset.videos.row("6").unwrap();
            let video = set.dataset.videos.video(row);
            assert_eq!((video.title.as_str(), video.year), ("The Matrix", Some(1999)), "{name}");
            let genres: Vec<&str> = set.dataset.videos.labels_of(row, "genre").collect();
            assert_eq!(genres, ["Action", "Sci-Fi"], "{name}");
            assert_eq!(events(&set)[0].2.value, Some(4.0));
            has(&set.notice.unwrap().text, &["non-commercial"]);
        }
    }
    let set = csv.whole(&auto()).unwrap();
    assert_eq!(set.dataset.videos.len(), 3);
    let row = set.dataset.videos.row("6").unwrap();
    assert_eq!(set.dataset.videos.labels_of(row, "tag").collect::<Vec<_>>(), ["mind bending"]);
    assert_eq!(set.dataset.videos.labels_of(1, "genre").count(), 0);
    let set = dat.whole(&auto()).unwrap();
    assert_eq!(set.dataset.videos.video(1).title, "Les Misérables");
    assert!(set.dataset.users.labels.row("gender:F").is_some());
}

#[test]
fn a_folder_that_comes_split_keeps_its_parts_and_numbers() {
    let files = Folder::new(&[
        ("trn.csv", "user,item\n0,3\n0,1\n1,1\n"),
        ("val.csv", "user,item\n0,2\n"),
        ("tst.csv", "user,item\n1,0\n"),
    ]);
    let set = files.whole(&auto()).unwrap();
    has(&set.recognised, &["parts"]);
    assert_eq!(set.dataset.order, Order::Unordered);
    assert_eq!(set.dataset.videos.names().iter().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let parts: Vec<_> = events(&set)
        .iter()
        .zip(set.dataset.parts().unwrap())
        .map(|((u, v, _), p)| format!("{u}-{v} {p:?}"))
        .collect();
    assert_eq!(parts, ["0-3 Train", "0-1 Train", "0-2 Validation", "1-1 Train", "1-0 Test"]);
    // The same as lines of a user and videos.
    let files = Folder::new(&[("train.txt", "0 3 1\n1 1\n"), ("test.txt", "1 0 2 3\n0 2\n")]);
    let set = files.whole(&format(Format::Parts)).unwrap();
    assert_eq!((set.dataset.order, set.dataset.parts().unwrap().len()), (Order::Unordered, 7));
}

#[test]
fn a_column_may_say_the_part() {
    let files = Folder::new(&[(
        "baby.inter",
        "userID\titemID\ttimestamp\tx_label\n1\t5\t10\t0\n1\t6\t20\t2\n2\t5\t30\t1\n",
    )]);
    let set = files.import(&["baby.inter"], &auto()).unwrap();
    assert_eq!(set.dataset.parts().unwrap(), [Part::Train, Part::Test, Part::Validation]);
}

#[test]
fn recbole_atomic_files_come_in() {
    let files = Folder::new(&[
        (
            "ml.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti1\t4\t10\nu2\ti2\t2\t20\n",
        ),
        (
            "ml.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\ni1\tHeat\t1995\tAction Crime\n",
        ),
        ("ml.user", "user_id:token\tage:token\nu1\t24\nu2\t53\n"),
    ]);
    for options in [auto(), format(Format::Recbole)] {
        let set = files.whole(&options).unwrap();
        has(&set.recognised, &["recbole", "user=user_id,video=item_id"]);
        assert_eq!(
            (set.dataset.videos.video(0).title.as_str(), set.dataset.videos.video(0).year),
            ("Heat", Some(1995))
        );
        assert_eq!(set.dataset.videos.labels_of(0, "genre").collect::<Vec<_>>(), ["Action", "Crime"]);
        assert!(set.dataset.users.labels.row("age:24").is_some());
    }
}

#[test]
fn json_lines_come_in_as_log_and_as_features() {
    let files = Folder::new(&[
        (
            "log.jsonl",
            "{\"user\":\"a\",\"item\":1,\"ts\":10}\n\n{\"user\":\"b\",\"item\":2,\"ts\":\"2020-01-01\"}\n",
        ),
        (
            "videos.jsonl",
            "{\"id\":1,\"title\":\"Heat\",\"genres\":[\"Crime\"],\"year\":1995}\n{\"id\":2,\"title\":\"Up\"}\n{\"id\":3,\"title\":\"No\"}\n",
        ),
        ("videos.csv", "video_id,description,tags,author\n1,long text,a|b,maker\n2,other,,\n"),
    ]);
    let features = vec![files.path("videos.jsonl"), files.path("videos.csv")];
    let set = files.import(&["log.jsonl"], &Options { features, ..auto() }).unwrap();
    assert_eq!(set.dataset.videos.len(), 2);
    let video = set.dataset.videos.video(0);
    assert_eq!((video.title.as_str(), video.text.as_str(), video.year), ("Heat", "long text", Some(1995)));
    assert_eq!(set.dataset.videos.labels_of(0, "tag").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(set.dataset.videos.creators.name(video.creator.unwrap()), "maker");
}

#[test]
fn a_named_format_takes_its_own_files_of_a_folder() {
    let files = Folder::new(&[
        ("log.csv", "user_id,item_id\n1,a\n2,b\n3,c\n"),
        ("log.jsonl", "{\"user\":\"a\",\"item\":1}\n{\"user\":\"b\",\"item\":2}\n"),
        ("notes.txt", "word\n"),
        ("README", "not a table\n"),
    ]);
    for (named, n) in [(Format::Csv, 3), (Format::Jsonl, 2)] {
        let set = files.whole(&format(named)).unwrap();
        assert_eq!(set.dataset.events().len(), n);
        has(&set.cleaning.to_string(), &["notes.txt: not read"]);
    }
}

// --- cleaning ------------------------------------------------------------------------------------------------

#[test]
fn the_report_says_what_was_dropped_why_and_where() {
    let log = "user_id,video_id,timestamp,watch_seconds,duration_seconds\n\
        1,a,100,5,10\n\
        2,b,200,5,10\n\
        ,a,100,5,10\n\
        1,,100,5,10\n\
        1,a,100,5,10\n\
        1,a,-5,5,10\n\
        1,a,4102444800,5,10\n\
        1,c,100,5,0\n\
        1,c,100,5,-3\n\
        1,c,100,-1,10\n\
        1,c,100,5,999999\n\
        1,c,100,NaN,10\n\
        1,c,inf,5,10\n\
        1,c,100,five,10\n\
        1,c,100,5\n\
        1,d,100,5,10,extra\n";
    let files = Folder::new(&[("log.csv", log)]);
    let options = Options { now: Some(1_767_225_600_000), ..auto() };
    let set = files.import(&["log.csv"], &options).unwrap();
    let report = &set.cleaning;
    let dropped = |reason| report.rows_dropped(reason);
    assert_eq!((report.read, report.kept), (16, 3));
    assert_eq!(dropped(Reason::Missing), 2);
    assert_eq!(dropped(Reason::Duplicate), 1);
    assert_eq!(dropped(Reason::NegativeTime), 1);
    assert_eq!(dropped(Reason::FutureTime), 1);
    assert_eq!(dropped(Reason::ImpossibleDuration), 4);
    assert_eq!(dropped(Reason::NonFinite), 2);
    assert_eq!(dropped(Reason::Malformed), 2);
    assert_eq!(report.read, report.kept + report.dropped.iter().map(|d| d.rows).sum::<u64>());
    let text = report.to_string();
    has(
        &text,
        &[
            "log.csv, line 4: `user_id` is empty",
            "line 6: user `1` and video `a`",
            "12.50 %",
            "`timestamp` is `-5`",
        ],
    );
    has(
        &text,
        &["line 15: `watch_seconds` is `five`; expected a number", "line 9: `duration_seconds` is `0`"],
    );
    // Videos of dropped rows are not in the catalogue, but the row whose duration is missing is kept.
    assert_eq!(set.dataset.videos.names().iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn equal_rows_are_duplicates_but_a_second_watch_is_not() {
    let files = Folder::new(&[("log.csv", "user,item,ts\n1,a,1\n1,a,1\n1,a,2\n2,b,1\n")]);
    let set = files.import(&["log.csv"], &auto()).unwrap();
    assert_eq!((set.dataset.events().len(), set.cleaning.rows_dropped(Reason::Duplicate)), (3, 1));
}

#[test]
fn line_numbers_count_the_lines_of_quoted_fields() {
    let files = Folder::new(&[(
        "log.csv",
        "user,item,note,ts\n1,a,\"two\nlines\",1\n2,b,x,oops\n2,b,x,2\n3,b,x,2\n",
    )]);
    let set = files.import(&["log.csv"], &auto()).unwrap();
    has(&set.cleaning.to_string(), &["line 4: `ts` is `oops`"]);
}

// --- errors --------------------------------------------------------------------------------------------------

#[test]
fn a_missing_or_empty_file_is_named() {
    let files = Folder::new(&[("empty.csv", ""), ("blank.csv", "\n\n"), ("header.csv", "user,item\n")]);
    has(
        &refusal(&files, &["nowhere.csv"], &auto()),
        &["nowhere.csv", "cannot be read", "check that it exists"],
    );
    for name in ["empty.csv", "blank.csv", "header.csv"] {
        has(&refusal(&files, &[name], &auto()), &[name, "is empty", "expected"]);
    }
    for named in [Format::Csv, Format::Parquet, Format::S3rec, Format::Sasrec, Format::Jsonl, Format::Kuairec]
    {
        has(&refusal(&files, &["empty.csv"], &format(named)), &["empty.csv", "is empty"]);
    }
    has(&read(&[], &auto(), &|_| ()).unwrap_err().to_string(), &["no file"]);
    let folder = tempfile::tempdir().unwrap();
    has(&read(&[folder.path().into()], &auto(), &|_| ()).unwrap_err().to_string(), &["is empty"]);
}

#[test]
fn a_wrong_or_duplicated_column_is_named_with_those_that_are_there() {
    let files = Folder::new(&[
        ("a.csv", "viewer_name,clip,when\n1,a,1\n2,b,2\n"),
        ("twice.csv", "user_id,item_id,user_id\n1,a,1\n2,b,2\n"),
        ("numbers.csv", "1,10,100\n2,20,200\n"),
    ]);
    has(
        &refusal(&files, &["a.csv"], &auto()),
        &["a.csv", "`user`", "`viewer_name`, `clip`, `when`", "--map user=COLUMN"],
    );
    has(
        &refusal(&files, &["a.csv"], &map("user=uid,video=clip")),
        &["no column `uid` for `user`", "`viewer_name`"],
    );
    has(&refusal(&files, &["twice.csv"], &auto()), &["twice.csv", "`user_id` occurs 2 times"]);
    let options = Options { format: Format::Csv, ..auto() };
    has(&refusal(&files, &["numbers.csv"], &options), &["the first line must name the columns"]);
    has(
        &refusal(&files, &["numbers.csv"], &auto()),
        &["numbers.csv", "not recognised", "the first line holds numbers only"],
    );
}

#[test]
fn a_column_of_text_where_numbers_belong_is_named_with_its_line() {
    let files = Folder::new(&[("log.csv", "user,item,timestamp\n1,a,1\n1,b,soon\n2,b,later\n")]);
    let error = refusal(&files, &["log.csv"], &auto());
    has(&error, &["log.csv, line 3, column `timestamp`", "`soon`", "2 of 3 rows", "--map time=COLUMN"]);
    let files = Folder::new(&[("log.csv", "user,item,event_type\n1,a,teleport\n1,b,teleport\n")]);
    has(
        &refusal(&files, &["log.csv"], &auto()),
        &["line 2, column `event_type`", "`teleport`", "effective_view"],
    );
}

#[test]
fn damaged_files_are_named() {
    use std::io::Write;
    let files = Folder::new(&[]);
    let log: String = (0..5_000).map(|n| format!("{},{},{n}\n", n % 70, n % 90)).collect();
    let log = format!("user_id,item_id,timestamp\n{log}");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(log.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    files.add("log.csv.gz", &gz[..gz.len() / 2]);
    has(&refusal(&files, &["log.csv.gz"], &auto()), &["log.csv.gz", "gzip", "end early", "again"]);
    let zst = zstd::encode_all(log.as_bytes(), 1).unwrap();
    files.add("log.csv.zst", &zst[..zst.len() / 2]);
    has(&refusal(&files, &["log.csv.zst"], &auto()), &["log.csv.zst", "zstd", "end early"]);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5_000));
    let whole = table(&files, "log.parquet", vec![("user_id", ids.clone()), ("item_id", ids)]);
    let bytes = fs::read(&whole).unwrap();
    for cut in [5, bytes.len() / 2, bytes.len() - 3] {
        files.add("cut.parquet", &bytes[..cut]);
        for options in [auto(), format(Format::Parquet)] {
            has(
                &refusal(&files, &["cut.parquet"], &options),
                &["cut.parquet", "is not a whole Parquet file"],
            );
        }
    }
    files.add("not.parquet", log.as_bytes());
    has(&refusal(&files, &["not.parquet"], &auto()), &["not.parquet", "PAR1"]);
}

#[test]
fn one_user_or_one_video_is_too_little() {
    let files = Folder::new(&[("u.csv", "user,item\n1,a\n1,b\n"), ("v.csv", "user,item\n1,a\n2,a\n")]);
    has(&refusal(&files, &["u.csv"], &auto()), &["u.csv", "only one user (`1`)", "at least two"]);
    has(&refusal(&files, &["v.csv"], &auto()), &["v.csv", "only one video (`a`)"]);
}

#[test]
fn a_set_without_positives_says_how_it_was_read_and_what_to_change() {
    let files = Folder::new(&[("log.csv", "user,item,watch_ratio\n1,a,0.1\n1,b,0.3\n2,b,0.2\n")]);
    let error = refusal(&files, &["log.csv"], &auto());
    has(
        &error,
        &["log.csv", "3 read as `watch`", "watch ratio 0.1 to 0.3", "--relevance \"watch_ratio>=0.2\""],
    );
    let relevance = "watch_ratio>=0.2".parse().unwrap();
    assert!(files.import(&["log.csv"], &Options { relevance, ..auto() }).is_ok());
    let files = Folder::new(&[("log.csv", "user,item,action\n1,a,hate\n2,b,impression\n")]);
    has(
        &refusal(&files, &["log.csv"], &auto()),
        &["1 read as `hate` (negative under every rule)", "1 read as `impression`"],
    );
}

#[test]
fn when_nothing_can_be_kept_the_reasons_are_said() {
    let files = Folder::new(&[("log.csv", "user,item,ts\n1,a,-1\n2,b,-2\n")]);
    has(&refusal(&files, &["log.csv"], &auto()), &["log.csv", "none of 2 rows", "2 negative time", "line 2"]);
}

#[test]
fn what_is_not_recognised_says_what_was_tried() {
    let files =
        Folder::new(&[("prose.txt", "It was the best of times,\nit was the worst.\n"), ("x.txt", "word\n")]);
    has(
        &refusal(&files, &["x.txt"], &auto()),
        &["x.txt", "not recognised", "parquet", "csv", "s3rec", "--format"],
    );
    let error = refusal(&files, &["prose.txt"], &auto());
    has(&error, &["prose.txt", "--map"]);
    let options = format(Format::Kuairec);
    let files = Folder::new(&[("log.csv", "user,item\n1,a\n2,b\n")]);
    has(&refusal(&files, &["log.csv"], &options), &["log.csv", "is not kuairec", "play_duration"]);
    has(&refusal(&files, &["log.csv"], &format(Format::Parts)), &["is not parts", "trn, val and tst"]);
    let files = Folder::new(&[("a.txt", "1 2 3\n2 3\n"), ("b.txt", "1 2 3\n2 3\n")]);
    has(&files.whole(&auto()).unwrap_err().to_string(), &["2 files of sequences", "name one file"]);
}

#[test]
fn features_that_fit_nothing_are_an_error() {
    let files = Folder::new(&[
        ("a.txt", "1 2 3\n2 3 4 5\n"),
        ("other.json", "{\"900\": [1]}"),
        ("broken.json", "{\"2\": [1"),
        ("odd.json", "{\"2\": [{}]}"),
        ("other.csv", "video_id,title\n900,x\n"),
        ("no.csv", "a,b\n1,2\nx,y\n"),
    ]);
    let with = |name: &str| Options { features: vec![files.path(name)], ..auto() };
    has(&refusal(&files, &["a.txt"], &with("other.json")), &["other.json", "none of its 1 ids"]);
    has(&refusal(&files, &["a.txt"], &with("broken.json")), &["broken.json", "line 1"]);
    has(&refusal(&files, &["a.txt"], &with("odd.json")), &["odd.json", "`2`", "numbers or strings"]);
    has(&refusal(&files, &["a.txt"], &with("other.csv")), &["other.csv", "none of its ids"]);
    has(&refusal(&files, &["a.txt"], &with("no.csv")), &["no.csv", "columns are a, b"]);
    has(&refusal(&files, &["a.txt"], &with("nowhere.json")), &["nowhere.json", "cannot be read"]);
}

#[test]
fn limits_are_kept_and_named() {
    let long = format!("user,item\n1,{}\n2,b\n3,c\n", "x".repeat(600));
    let wide = format!("{}\n", vec!["c"; 200].join(","));
    let files = Folder::new(&[
        ("long.csv", &long),
        ("wide.csv", &wide),
        ("open.csv", "user,item\n1,\"a\n2,b\n3,c\n"),
    ]);
    let set = files.import(&["long.csv"], &auto()).unwrap();
    has(&set.cleaning.to_string(), &["line 2: the video has 600 bytes; at most 512"]);
    let limits = Limits { columns_max: 100, line_bytes_max: 300, ..Limits::default() };
    let small = Options { limits, ..auto() };
    has(&refusal(&files, &["wide.csv"], &small), &["wide.csv", "more than 100 columns", "columns_max"]);
    has(&refusal(&files, &["long.csv"], &small), &["long.csv, line 2", "300 bytes"]);
    let events_max = Options { limits: Limits { events_max: 1, ..Limits::default() }, ..auto() };
    has(&refusal(&files, &["long.csv"], &events_max), &["more than 1 events", "events_max"]);
}

#[test]
fn progress_counts_the_bytes_of_all_files_then_the_events_cleaned() {
    let files = Folder::new(&[("a.csv", "user,item\n1,a\n2,b\n"), ("b.csv", "user,item\n1,b\n")]);
    let seen = std::cell::RefCell::new(Vec::new());
    let paths = [files.path("a.csv"), files.path("b.csv")];
    read(&paths, &auto(), &|p| seen.borrow_mut().push((p.stage == Stage::Clean, p.done, p.total, p.rows)))
        .unwrap();
    let seen = seen.borrow();
    assert!(seen.contains(&(false, 18, 32, 2)) && seen.contains(&(false, 32, 32, 3)), "{seen:?}");
    assert_eq!(seen.last(), Some(&(true, 3, 3, 3)));
    assert!(seen.is_sorted_by_key(|&(is_cleaning, done, _, _)| (is_cleaning, done)), "{seen:?}");
}

#[test]
fn rules_that_look_at_whole_rows_see_columns_that_nothing_is_read_from() {
    let files =
        Folder::new(&[("log.csv", "user,item,mood\n1,a,good\n1,a,good\n1,a,bad\n2,b,\n2,a,bad\n1,b,bad\n")]);
    let strings = |values: &[Option<&str>]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let path = table(
        &files,
        "log.parquet",
        vec![
            ("user", strings(&[Some("1"), Some("1"), Some("1"), Some("2"), Some("2"), Some("1")])),
            ("item", strings(&[Some("a"), Some("a"), Some("a"), Some("b"), Some("a"), Some("b")])),
            ("mood", strings(&[Some("good"), Some("good"), Some("bad"), None, Some("bad"), Some("bad")])),
        ],
    );
    let kuairec = Options { rules: Rules::kuairec(), ..auto() };
    for path in [files.path("log.csv"), path] {
        let report = read(&[path], &kuairec, &|_| {}).unwrap().cleaning;
        let dropped = [Reason::Missing, Reason::Duplicate].map(|reason| report.rows_dropped(reason));
        assert_eq!((report.kept, dropped), (4, [1, 1]), "{report}");
    }
}
