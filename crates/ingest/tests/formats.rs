//! Formats that others made, in the smallest files that their descriptions allow, and in the variants people have.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use std::fs;
use std::io::Write;

use folder::{Folder, has};
use upnext_data::{Action, Column, Dataset, Order};
use upnext_ingest::{CleaningReport, Format, Imported, IngestError, Options, Reason, read, run};

fn whole(folder: &Folder) -> Imported {
    folder.whole(&Options::default()).unwrap()
}

fn refusal(folder: &Folder) -> String {
    folder.whole(&Options::default()).unwrap_err().to_string()
}

fn import(folder: &Folder, names: &[&str], format: Format) -> Result<Imported, IngestError> {
    folder.import(names, &Options { format, ..Options::default() })
}

/// Events as `user action video value ratio`, sorted.
fn told(set: &Dataset) -> Vec<String> {
    let mut all: Vec<String> = (set.events().iter())
        .map(|e| {
            let shown = |x: Option<f32>| x.map_or("-".into(), |x| x.to_string());
            let (user, video) = (set.users.name(e.user), set.videos.name(e.video));
            format!("{user} {} {video} {} {}", e.action.name(), shown(e.value), shown(e.ratio))
        })
        .collect();
    all.sort();
    all
}

/// The attribute of a user or video as text.
fn attribute(column: Option<&Column>, row: u32) -> String {
    match column.expect("the column is there") {
        Column::Number(values) => values[row as usize].to_string(),
        Column::Category { codes, .. } if codes[row as usize] == Column::MISSING => "missing".into(),
        Column::Category { codes, values } => values.name(codes[row as usize]).into(),
        Column::Text(texts) => texts[row as usize].clone(),
    }
}

fn of_video(set: &Dataset, video: &str, name: &str) -> String {
    attribute(set.videos.attributes.get(name), set.videos.row(video).unwrap())
}

fn of_user(set: &Dataset, user: &str, name: &str) -> String {
    attribute(set.users.attributes.get(name), set.users.row(user).unwrap())
}

fn labels<'a>(set: &'a Dataset, video: &str, kind: &'a str) -> Vec<&'a str> {
    let mut labels: Vec<&str> = set.videos.labels_of(set.videos.row(video).unwrap(), kind).collect();
    labels.sort_unstable();
    labels
}

/// That a set survives its run folder, all that lies beside the events included.
fn survives(imported: &Imported) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let set = &imported.dataset;
    run::write(&path, set, &CleaningReport::default(), &run::About::default(), false).unwrap();
    let back = run::open(&path).unwrap().dataset;
    assert_eq!(back.digest(), set.digest());
    assert_eq!(format!("{:?}", back.users.attributes), format!("{:?}", set.users.attributes));
    assert_eq!(format!("{:?}", back.videos.attributes), format!("{:?}", set.videos.attributes));
    assert_eq!(format!("{:?}", back.daily), format!("{:?}", set.daily));
    assert_eq!(back.circumstances, set.circumstances);
    for user in 0..set.users.len() as u32 {
        assert_eq!(back.users.friends_of(user), set.users.friends_of(user));
    }
}

#[test]
fn a_changed_table_beside_the_events_is_named() {
    let files = Folder::new(&[
        ("log.csv", "user_id,video_id,ts,device\n1,a,10,tv\n2,b,20,\n"),
        ("users.csv", "user_id,age\n1,20\n2,30\n"),
        ("social_network.csv", "user_id,friend_list\n1,[2]\n"),
    ]);
    let imported = whole(&files);
    let path = files.path("run");
    run::write(&path, &imported.dataset, &CleaningReport::default(), &run::About::default(), false).unwrap();
    let written = ["user_attributes", "friends", "circumstances"];
    for name in written {
        let file = path.join("dataset").join(format!("{name}.parquet"));
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        has(&run::open(&path).unwrap_err().to_string(), &[name, "was changed"]);
        fs::write(&file, bytes).unwrap();
    }
    // Nothing is written where there is nothing.
    assert_eq!(fs::read_dir(path.join("dataset")).unwrap().count(), 4 + written.len());
}

// --- Amazon Personalize ----------------------------------------------------------------------------------------

#[test]
fn personalize_interactions_items_and_users_come_in_with_what_was_shown() {
    let files = Folder::new(&[
        (
            "interactions.csv",
            "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION\n\
             u1,a,1600000000,Watch,0.9,a|b|c\n\
             u2,b,1600000100,Click,,\n\
             u2,c,1600000200,Rating,4,\n",
        ),
        (
            "items.csv",
            "ITEM_ID,GENRES,CREATION_TIMESTAMP,PRICE,DURATION,PRODUCT_DESCRIPTION,CONTENT_OWNER\n\
             a,Drama|Crime,1500000000,2.5,90,\"A \"\"long\"\" story\",studio\nb,Comedy,,,30,,\n",
        ),
        ("users.csv", "USER_ID,AGE,GENDER,SUBSCRIPTION_MODEL\nu1,24,F,free\nu2,,M,paid\n"),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    has(&imported.recognised, &["personalize", "USER_ID, ITEM_ID and TIMESTAMP", "impressions=IMPRESSION"]);
    assert_eq!(
        told(set),
        [
            "u1 impression a - -",
            "u1 impression b - -",
            "u1 impression c - -",
            "u1 watch a - 0.9",
            "u2 rating c 4 -",
            "u2 watch b - -",
        ]
    );
    assert_eq!(labels(set, "a", "genre"), ["Crime", "Drama"]);
    let a = set.videos.video(set.videos.row("a").unwrap());
    assert_eq!((a.duration_seconds, a.published), (Some(90.0), Some(1_500_000_000_000)));
    assert_eq!((a.text.as_str(), of_video(set, "a", "price").as_str()), ("A \"long\" story", "2.5"));
    assert_eq!(
        (of_user(set, "u1", "age"), of_user(set, "u2", "subscription_model")),
        ("24".into(), "paid".into())
    );
    assert_eq!(set.order, Order::Timed);
    survives(&imported);
}

#[test]
fn personalize_comes_in_packed_quoted_with_other_order_and_line_ends() {
    let log = "\u{feff}\"EVENT_TYPE\",\"TIMESTAMP\",\"ITEM_ID\",\"USER_ID\"\r\n\"click\",1600000000,\"a\",\"u1\"\r\nWATCH,1600000001,b,u2\r\n";
    let files = Folder::new(&[]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(log.as_bytes()).unwrap();
    files.add("part-0000.csv.gz", &gz.finish().unwrap());
    files.add("part-0001.csv.zst", &zstd::encode_all(log.replace("u1", "u3").as_bytes(), 1).unwrap());
    let imported = whole(&files);
    has(&imported.recognised, &["personalize"]);
    assert_eq!(told(&imported.dataset), ["u1 watch a - -", "u2 watch b - -", "u3 watch a - -"]);
    assert_eq!(imported.cleaning.rows_dropped(Reason::Duplicate), 1);
}

// --- Metarank --------------------------------------------------------------------------------------------------

const METARANK: &str = r#"{"event":"item","id":"e1","item":"v1","timestamp":"1599391467000","fields":[{"name":"title","value":"Heat"},{"name":"genres","value":["crime","drama"]},{"name":"popularity","value":5.5}]}
{"event":"user","id":"e2","user":"ann","timestamp":1599391467000,"fields":[{"name":"age","value":30},{"name":"gender","value":"f"}]}
{"event":"ranking","id":"r1","user":"ann","session":"s1","timestamp":"1599391468000","items":[{"id":"v1"},{"id":"v2"}]}
{"event":"interaction","id":"e3","ranking":"r1","timestamp":"2020-09-06T11:24:30Z","type":"click","item":"v2"}
{"event":"interaction","id":"e4","user":"bob","session":"s2","timestamp":1599391470000,"type":"like","item":"v1","fields":[]}
"#;

#[test]
fn metarank_interactions_join_their_ranking_whose_items_are_impressions() {
    let files = Folder::new(&[("events.jsonl", METARANK)]);
    for format in [Format::Auto, Format::Metarank] {
        let imported = import(&files, &["events.jsonl"], format).unwrap();
        let set = &imported.dataset;
        has(&imported.recognised, &["metarank", "item, user, interaction or ranking"]);
        assert_eq!(
            told(set),
            ["ann impression v1 - -", "ann impression v2 - -", "ann watch v2 - -", "bob like v1 1 -"]
        );
        assert_eq!(set.videos.video(set.videos.row("v1").unwrap()).title, "Heat");
        assert_eq!(labels(set, "v1", "genre"), ["crime", "drama"]);
        assert_eq!(
            (of_video(set, "v1", "popularity"), of_user(set, "ann", "age")),
            ("5.5".into(), "30".into())
        );
        assert!(
            set.events().iter().all(|event| (1_599_391_468_000..1_599_391_471_000).contains(&event.time))
        );
        survives(&imported);
    }
}

#[test]
fn a_faulty_line_among_metaranks_events_is_named_once_and_the_rest_comes_in() {
    let log =
        METARANK.replace("{\"event\":\"user\"", "{\"event\":\"usr\"") + "{\"event\": \"interaction\", \n";
    let files = Folder::new(&[("events.jsonl", &log)]);
    let imported = whole(&files);
    assert_eq!(imported.cleaning.rows_dropped(Reason::Malformed), 2);
    let text = imported.cleaning.to_string();
    has(&text, &["events.jsonl, line 2: `event` is `usr`; expected item, user, interaction or ranking"]);
    assert_eq!(imported.dataset.events().len(), 4);
}

#[test]
fn metarank_sessions_and_near_rankings_say_whose_a_click_is() {
    let ranking = |id: &str, time: i64| {
        format!(
            r#"{{"event":"ranking","id":"{id}","user":"ann","session":"s1","timestamp":{time},"items":[{{"id":"v1"}}]}}"#
        )
    };
    let click = |of: &str, time: i64| {
        format!(r#"{{"event":"interaction","id":"e","timestamp":{time},"type":"click",{of},"item":"v2"}}"#)
    };
    let start = 1_599_391_468_000;
    let half_an_hour = 30 * 60 * 1_000;
    let lines = [
        ranking("r1", start),
        // Of ann, by its session; of her again, by its ranking, in the last millisecond.
        click(r#""session":"s1""#, start + 1),
        click(r#""ranking":"r1","session":"s9""#, start + half_an_hour),
        // Too late: all that is known is the session.
        click(r#""ranking":"r1","session":"s9""#, start + half_an_hour + 1),
    ];
    let files = Folder::new(&[("events.jsonl", &lines.join("\n"))]);
    let imported = whole(&files);
    assert_eq!(
        told(&imported.dataset),
        ["ann impression v1 - -", "ann watch v2 - -", "ann watch v2 - -", "s9 watch v2 - -"]
    );
}

#[test]
fn metaranks_labels_are_clicks_where_no_interaction_tells_them() {
    let ranking = |id: &str, user: &str| {
        format!(
            r#"{{"event":"ranking","id":"{id}","user":"{user}","timestamp":1599391468000,"items":[{{"id":"v1","label":0}},{{"id":"v2","label":1}}]}}"#
        )
    };
    let click = r#"{"event":"interaction","id":"e","ranking":"r2","timestamp":1599391469000,"type":"click","item":"v2"}"#;
    let lines = [ranking("r1", "ann"), ranking("r2", "bob"), click.into()];
    let files = Folder::new(&[("events.jsonl", &lines.join("\n"))]);
    let watched: Vec<String> =
        told(&whole(&files).dataset).into_iter().filter(|event| event.contains("watch")).collect();
    assert_eq!(watched, ["ann watch v2 - -", "bob watch v2 - -"]);
}

// --- Gorse -----------------------------------------------------------------------------------------------------

#[test]
fn gorse_users_items_and_feedback_come_in() {
    let files = Folder::new(&[
        (
            "feedback.jsonl",
            r#"{"FeedbackType":"read","UserId":"bob","ItemId":"v1","Value":0.8,"Timestamp":"2026-01-01T00:00:00Z","Comment":""}
{"FeedbackType":"like","UserId":"bob","ItemId":"v1","Value":0,"Timestamp":"2026-01-01 00:00:05 +0000 UTC","Comment":"great"}
{"FeedbackType":"star","UserId":"ann","ItemId":"v2","Timestamp":"2026-01-02"}
"#,
        ),
        (
            "items.jsonl",
            r#"{"ItemId":"v1","IsHidden":false,"Categories":["sport"],"Timestamp":"2025-01-01T00:00:00Z","Labels":{"genre":["a","b"],"lang":"en","embedding":[0.5,0.25,1.5]},"Comment":"A title"}
{"ItemId":"v2","IsHidden":true,"Categories":[],"Timestamp":"0001-01-01T00:00:00Z","Labels":["x"],"Comment":""}
"#,
        ),
        (
            "users.jsonl",
            "{\"UserId\":\"bob\",\"Labels\":{\"gender\":\"m\",\"age\":31},\"Comment\":\"Bob\"}\n",
        ),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    has(&imported.recognised, &["gorse", "FeedbackType"]);
    assert_eq!(told(set), ["ann like v2 1 -", "bob like v1 1 -", "bob watch v1 - 0.8"]);
    let v1 = set.videos.video(set.videos.row("v1").unwrap());
    assert_eq!((v1.title.as_str(), v1.published), ("A title", Some(1_735_689_600_000)));
    assert_eq!((labels(set, "v1", "genre"), labels(set, "v1", "category")), (vec!["a", "b"], vec!["sport"]));
    assert_eq!(labels(set, "v2", "tag"), ["x"]);
    assert_eq!(
        (of_video(set, "v1", "language"), of_video(set, "v2", "is_hidden")),
        ("en".into(), "1".into())
    );
    assert_eq!((of_user(set, "bob", "age"), of_user(set, "bob", "gender")), ("31".into(), "m".into()));
    assert_eq!((set.circumstances.len(), set.circumstances[0].text.as_str()), (1, "great"));
    let vectors = &imported.vectors[0];
    assert_eq!(
        (vectors.name.as_str(), vectors.dim, &vectors.ids[..]),
        ("embedding", 3, &["v1".to_string()][..])
    );
    survives(&imported);
    // Feedback alone is enough, also with values beyond one, which are no shares then.
    let files = Folder::new(&[(
        "dump.jsonl",
        "{\"FeedbackType\":\"read\",\"UserId\":\"1\",\"ItemId\":\"a\",\"Value\":12,\"Timestamp\":\"\"}\n{\"FeedbackType\":\"read\",\"UserId\":\"2\",\"ItemId\":\"b\",\"Value\":0.5,\"Timestamp\":\"0001-01-01T00:00:00Z\"}\n",
    )]);
    let imported = import(&files, &["dump.jsonl"], Format::Auto).unwrap();
    assert_eq!(told(&imported.dataset), ["1 watch a 12 -", "2 watch b 0.5 -"]);
    assert_eq!(imported.dataset.order, Order::Unordered);
}

// --- KuaiRec and KuaiRand --------------------------------------------------------------------------------------

#[test]
fn every_file_of_the_kuairec_folder_is_used() {
    let files = Folder::new(&[
        (
            "data/big_matrix.csv",
            "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n\
             1,10,5000,10000,2020-07-05 00:08:23.438,20200705.0,1593907703.438,0.5\n\
             2,11,20000,10000,2020-07-06 00:08:23.438,20200706.0,1593994103.438,2.0\n\
             2,10,100,10000,,,,0.01\n",
        ),
        ("data/item_categories.csv", "video_id,feat\n10,\"[27, 9]\"\n11,[8]\n"),
        (
            "data/item_daily_features.csv",
            "video_id,date,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,video_width,video_height,music_id,video_tag_id,video_tag_name,show_cnt,play_cnt,play_progress,like_cnt\n\
             10,20200706,7,NORMAL,2020-03-30,ShortImport,public,10000.0,720,1280,3350323409,841,shop,20,11,0.25,\n\
             10,20200705,7,NORMAL,2020-03-30,ShortImport,public,10000.0,720,1280,3350323409,841,shop,10,5,0.5,1\n\
             99,20200705,8,AD,2020-03-30,Kmovie,public,,720,1280,,,,1,1,1,1\n",
        ),
        ("data/social_network.csv", "user_id,friend_list\n1,\"[2, 900]\"\n900,[1]\n"),
        (
            "data/user_features.csv",
            "user_id,user_active_degree,is_lowactive_period,follow_user_num,register_days,onehot_feat0,onehot_feat4\n1,full_active,0,5,107,0,\n2,UNKNOWN,0,386,327,1,3.0\n",
        ),
        (
            "data/user_features_raw.csv",
            "user_id,gender,age_range,platform\n1,F,18-23,ANDROID_PHONE\n2,M,,IPHONE\n",
        ),
        (
            "data/kuairec_caption_category.csv",
            "video_id,manual_cover_text,caption,topic_tag,first_level_category_id,first_level_category_name\n\
             10,UNKNOWN,\"two\nlines, and \"\"quotes\"\"\",\"[a, b]\",8,food\n11,nan,NaN,[],-124,UNKNOWN\n",
        ),
        (
            "data/video_raw_categories_multi.csv",
            "video_id,category_level,root_category_name,category_name\n10,1,Life,Cats\n10,2,Life,Dogs\n",
        ),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    has(&imported.recognised, &["kuairec", "big_matrix.csv"]);
    assert_eq!(told(set), ["1 watch 10 5 0.5", "2 watch 11 20 2"]);
    has(&imported.cleaning.to_string(), &["big_matrix.csv, line 4: `timestamp` is empty"]);
    assert_eq!((set.users.len(), set.videos.len()), (2, 2));
    assert_eq!(labels(set, "10", "tag"), ["27", "9", "shop"]);
    assert_eq!((labels(set, "10", "topic"), labels(set, "10", "category1")), (vec!["a", "b"], vec!["food"]));
    assert_eq!(labels(set, "10", "category_name"), ["Cats", "Dogs"]);
    let ten = set.videos.row("10").unwrap();
    assert_eq!(set.videos.video(ten).title, "two\nlines, and \"quotes\"");
    assert_eq!(set.videos.creators.name(set.videos.video(ten).creator.unwrap()), "7");
    assert_eq!(set.videos.video(ten).published, Some(1_585_526_400_000));
    assert_eq!(set.videos.video(ten).duration_seconds, Some(10.0));
    for (name, value) in
        [("video_type", "NORMAL"), ("width", "720"), ("music_id", "3350323409"), ("video_tag_id", "841")]
    {
        assert_eq!(of_video(set, "10", name), value, "{name}");
    }
    // Days in order, and NaN where the file says nothing.
    assert_eq!(set.daily.len(), 2);
    assert_eq!(set.daily.days(), [18_448, 18_449]);
    assert_eq!(set.daily.measure("play_cnt").unwrap(), [5.0, 11.0]);
    assert!(set.daily.measure("like_cnt").unwrap()[1].is_nan());
    assert_eq!(set.users.friends_of(set.users.row("1").unwrap()), [set.users.row("2").unwrap()]);
    assert_eq!((of_user(set, "1", "register_days"), of_user(set, "2", "gender")), ("107".into(), "M".into()));
    assert_eq!(of_user(set, "2", "user_active_degree"), "missing");
    assert!(set.users.labels.row("user_active_degree:full_active").is_some());
    survives(&imported);
}

#[test]
fn kuairand_logs_come_in_with_their_marks_and_features() {
    let header = "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n";
    let files = Folder::new(&[
        (
            "log_standard_4_08_to_4_21_pure.csv",
            &format!("{header}0,3,20220408,0,1649347200000,1,1,0,0,0,0,1,5000,4000,0,0,0,0,1\n"),
        ),
        (
            "log_random_4_22_to_5_08_pure.csv",
            &format!("{header}1,4,20220422,0,1650556800000,0,0,0,0,0,1,0,0,8000,0,0,0,1,4\n"),
        ),
        (
            "user_features_pure.csv",
            "user_id,user_active_degree,register_days,onehot_feat0\n0,full_active,40,1\n1,high_active,90,0\n",
        ),
        (
            "video_features_basic_pure.csv",
            "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_height,music_id,music_type,tag\n3,50,NORMAL,2022-04-01,LongImport,1,4000,720,1280,9,2,\"12,65\"\n77,50,AD,2022-04-01,,,,,,,,\n",
        ),
        ("video_features_statistic_pure.csv", "video_id,counts,show_cnt,play_cnt\n3,10,7.5,3\n77,1,1,1\n"),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    has(&imported.recognised, &["kuairand", "is_click, play_time_ms and duration_ms"]);
    assert_eq!(
        told(set),
        ["0 effective_view 3 1 -", "0 like 3 1 -", "0 watch 3 5 1.25", "1 hate 4 1 -", "1 watch 4 0 0"]
    );
    assert_eq!((set.videos.len(), labels(set, "3", "tag")), (2, vec!["12", "65"]));
    assert_eq!((of_video(set, "3", "show_cnt"), of_video(set, "3", "width")), ("7.5".into(), "720".into()));
    assert_eq!(of_user(set, "1", "register_days"), "90");
    assert!(imported.notice.unwrap().licence.contains("CC BY-SA"));
}

// --- MicroLens, RecBole, TikTok --------------------------------------------------------------------------------

#[test]
fn microlens_pairs_come_in_as_events_and_as_sequences_with_titles_and_counts() {
    let beside = [
        ("MicroLens-100k_title_en.csv", "5,\"Cats, dogs\"\n8,Birds\n"),
        ("MicroLens-100k_likes_and_views.txt", "5\t10\t200\n8\t1\t9\n"),
    ];
    let tsv = ("MicroLens-100k_pairs.tsv", "1\t5 8 9\n2\t8 5\n3\t9 8\n4\t5 9\n");
    let imported = whole(&Folder::new(&[beside[0], beside[1], tsv]));
    let set = &imported.dataset;
    has(&imported.recognised, &["microlens", "MicroLens-100k_pairs.tsv"]);
    assert_eq!((set.order, set.events().len(), set.users.len()), (Order::Sequence, 9, 4));
    assert_eq!(set.videos.video(set.videos.row("5").unwrap()).title, "Cats, dogs");
    assert_eq!((of_video(set, "5", "likes"), of_video(set, "8", "views")), ("10".into(), "9".into()));
    let csv = ("MicroLens-100k_pairs.csv", "user,item,timestamp\n1,5,1583378629552\n2,8,1583378629553\n");
    let titles = ("MicroLens-50k_titles.csv", "item,title\n5,Cats\n8,Birds\n");
    let imported = whole(&Folder::new(&[csv, titles]));
    has(&imported.recognised, &["microlens"]);
    assert_eq!((imported.dataset.order, imported.dataset.events().len()), (Order::Timed, 2));
    assert_eq!(imported.dataset.videos.video(0).title, "Cats");
}

#[test]
fn json_lines_named_json_and_a_file_of_vectors_alone_are_read() {
    let files = Folder::new(&[
        ("log.json", "{\"user\":1,\"item\":\"a\",\"ts\":1}\n{\"user\":2,\"item\":\"b\",\"ts\":2}\n"),
        ("attributes.json", "{\"a\": [1, 2], \"b\": [3]}"),
    ]);
    let imported = whole(&files);
    assert_eq!(imported.dataset.events().len(), 2);
    has(&imported.cleaning.to_string(), &["attributes.json: not read"]);
    files.add("vectors.jsonl", b"{\"item\":\"a\",\"clip\":[0.5,1]}\n{\"item\":\"z\",\"clip\":[0.5,2]}\n");
    let features = vec![files.path("vectors.jsonl")];
    let options = Options { features, ..Options::default() };
    let imported = read(&[files.path("log.json")], &options, &|_| ()).unwrap();
    assert_eq!((imported.vectors[0].dim, &imported.vectors[0].values[..]), (2, &[0.5, 1.0][..]));
}

#[test]
fn recbole_vectors_friends_and_further_columns_come_along() {
    let files = Folder::new(&[
        (
            "ds.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti1\t4\t10\nu2\ti2\t2\t20\n",
        ),
        (
            "ds.item",
            "item_id:token\tclass:token_seq\tprice:float\timage:float_seq\ni1\tA B\t2.5\t0.5 -1 2\ni2\tA\t\t0.5 1\ni3\tB\t1\t1 2 3\n",
        ),
        ("ds.user", "user_id:token\tage:token\tzip_code:token\nu1\t24\t01234\nu2\t53\t94043\n"),
        ("ds.net", "source_id:token\ttarget_id:token\nu1\tu2\nu9\tu1\n"),
        ("ds.kg", "head_id:token\trelation_id:token\ttail_id:token\na\tr\tb\n"),
        ("ds.link", "item_id:token\tentity_id:token\ni1\ta\n"),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    has(&imported.recognised, &["recbole"]);
    let [vectors] = &imported.vectors[..] else { panic!("one column of vectors") };
    assert_eq!((vectors.name.as_str(), vectors.dim), ("image", 3));
    assert_eq!(
        (&vectors.ids[..], &vectors.values[..3]),
        (&["i1".into(), "i3".into()][..], &[0.5, -1.0, 2.0][..])
    );
    has(&imported.cleaning.to_string(), &["1 vectors of `image`", "ds.kg: not read", "ds.link: not read"]);
    assert_eq!((of_user(set, "u1", "age"), of_user(set, "u1", "zip_code")), ("24".into(), "01234".into()));
    assert_eq!(of_video(set, "i1", "price"), "2.5");
    assert_eq!(set.users.friends_of(0), [1]);
    assert_eq!(labels(set, "i1", "genre"), ["A", "B"]);
    survives(&imported);
}

#[test]
fn vectors_in_files_beside_a_split_set_are_found_and_left_to_others() {
    let files = Folder::new(&[
        ("trn.csv", "user,item\n0,3\n0,1\n1,1\n"),
        ("tst.csv", "user,item\n1,0\n"),
        ("image_feat.npy", "\u{1}"),
    ]);
    let imported = whole(&files);
    has(&imported.recognised, &["parts"]);
    assert_eq!(imported.vector_files, [files.path("image_feat.npy")]);
    has(&imported.cleaning.to_string(), &["image_feat.npy: not read", "upnext vectors"]);
}

#[test]
fn mmrec_sets_keep_the_rows_of_their_arrays() {
    let files = Folder::new(&[
        (
            "baby.inter",
            "userID\titemID\trating\ttimestamp\tx_label\n1\t2\t5.0\t1381017600\t0\n0\t0\t4.0\t1381017601\t2\n",
        ),
        ("text_feat.npy", "\u{1}"),
    ]);
    let imported = whole(&files);
    has(&imported.recognised, &["parts", "x_label"]);
    // Row n of the array belongs to item n, whether or not somebody saw it.
    assert_eq!(imported.dataset.videos.names().iter().collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(imported.dataset.users.names().iter().collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(imported.vector_files.len(), 1);
    assert!(import(&files, &["baby.inter"], "mmrec".parse().unwrap()).is_ok());
}

// --- files, attributes, circumstances --------------------------------------------------------------------------

#[test]
fn patterns_name_several_files_and_one_that_fits_nothing_is_an_error() {
    let files = Folder::new(&[
        ("logs/2026-01.csv", "user,item,ts\n1,a,10\n2,b,20\n"),
        ("logs/2026-02.csv", "user,item,ts\n1,c,30\n"),
        ("logs/2025-12.csv", "user,item,ts\n9,z,5\n"),
    ]);
    let imported = import(&files, &["logs/2026-*.csv"], Format::Auto).unwrap();
    assert_eq!((imported.dataset.users.len(), imported.dataset.events().len()), (2, 3));
    assert_eq!(imported.dataset.name, "2026");
    assert_eq!(import(&files, &["logs/*.csv"], Format::Auto).unwrap().dataset.name, "logs");
    let imported = import(&files, &["log?/202[56]-*.csv"], Format::Auto).unwrap();
    assert_eq!(imported.dataset.users.len(), 3);
    let error = import(&files, &["logs/2030-*.csv"], Format::Auto).unwrap_err().to_string();
    has(&error, &["2030-*.csv", "no file fits"]);
}

#[test]
fn columns_of_users_and_videos_become_attributes_of_the_type_that_fits() {
    let files = Folder::new(&[
        (
            "log.csv",
            "user_id,video_id,timestamp,author_fans_count,user_country\nann,v1,10,1200,DE\nbob,v2,20,,FR\nann,v2,30,5,IT\n",
        ),
        ("videos.csv", "video_id,title,language,tags\nv1,One,en,a|b\nv2,Two,,\n"),
        (
            "users.csv",
            "id,age,Register Days,location,username\nann,24,7,\"38.5, -77.25\",Ann\nbob,NaN,9,,Bob\n",
        ),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    assert_eq!((of_video(set, "v1", "fans"), of_video(set, "v2", "fans")), ("1200".into(), "5".into()));
    assert_eq!(
        (of_video(set, "v1", "language"), of_video(set, "v2", "language")),
        ("en".into(), "missing".into())
    );
    assert_eq!((of_user(set, "ann", "age"), of_user(set, "bob", "age")), ("24".into(), "NaN".into()));
    assert_eq!(
        (of_user(set, "ann", "latitude"), of_user(set, "ann", "longitude")),
        ("38.5".into(), "-77.25".into())
    );
    // The first value that a log tells of a user stays.
    assert_eq!(
        (of_user(set, "ann", "user_country"), of_user(set, "bob", "register_days")),
        ("DE".into(), "9".into())
    );
    survives(&imported);
}

#[test]
fn a_log_of_comments_or_searches_needs_no_column_of_actions() {
    let files = Folder::new(&[
        ("comments.csv", "user_id,item_id,ts,comment\n1,a,10,nice one\n2,b,11,0\n"),
        ("searches.csv", "user_id,query,timestamp\n1,cats,12\n2,,13\n"),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    assert_eq!(told(set), ["1 comment a 1 -", "2 watch b - -"]);
    let texts: Vec<_> =
        set.circumstances.iter().map(|around| (around.action, around.text.as_str())).collect();
    assert_eq!(texts, [(Action::Comment, "nice one"), (Action::Search, "cats")]);
}

#[test]
fn searches_comments_devices_and_places_are_kept_beside_the_events() {
    let files = Folder::new(&[(
        "log.csv",
        "User ID,Video ID,Interaction Type,Interaction Value,Location,Device,Time Stamp\n\
         4,18,like,,38.89-77.1,phone,128648624\n\
         15,6,watch,88mins,38.9-23.2,,12872496\n\
         9,-,search,basics of clustering,22.3-54.2,tv,3864123\n\
         8,12,comment,amazing job,37.23-12293,,125143653\n\
         8,,search,,,,125143654\n",
    )]);
    let imported = import(&files, &["log.csv"], Format::Auto).unwrap();
    let set = &imported.dataset;
    assert_eq!(told(set), ["15 watch 6 5280 -", "4 like 18 1 -", "8 comment 12 1 -"]);
    let around: Vec<_> = (set.circumstances.iter())
        .map(|c| {
            (
                set.users.name(c.user),
                c.video.map(|v| set.videos.name(v)),
                c.action,
                c.text.as_str(),
                c.device.as_str(),
                c.place,
            )
        })
        .collect();
    assert_eq!(
        around,
        [
            ("4", Some("18"), Action::Like, "", "phone", Some((38.89, -77.1))),
            ("15", Some("6"), Action::Watch, "", "", Some((38.9, -23.2))),
            ("9", None, Action::Search, "basics of clustering", "tv", Some((22.3, -54.2))),
            ("8", Some("12"), Action::Comment, "amazing job", "", None),
        ]
    );
    assert_eq!((imported.cleaning.read, imported.cleaning.kept), (5, 4));
    has(&imported.cleaning.to_string(), &["line 6: no video, and no words"]);
    survives(&imported);
}

#[test]
fn one_bad_row_among_many_is_named_and_the_rest_comes_in() {
    let good = |n: u32| format!("u{},v{},{},Watch,0.5\n", n % 50, n % 70, 1_600_000_000 + n);
    let mut log = String::from("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n");
    log.extend((0..5_000).map(good));
    log += "u1,v1,yesterday,Watch,0.5\n";
    log.extend((5_000..10_000).map(good));
    let files = Folder::new(&[("interactions.csv", &log)]);
    let imported = import(&files, &["interactions.csv"], Format::Auto).unwrap();
    assert_eq!((imported.cleaning.read, imported.cleaning.kept), (10_001, 10_000));
    has(&imported.cleaning.to_string(), &["interactions.csv, line 5002: `TIMESTAMP` is `yesterday`"]);
}

#[test]
fn what_is_lacking_is_said() {
    let near: [(&[(&str, &str)], &str); 6] = [
        (
            &[("items.csv", "ITEM_ID,GENRES\na,b\n"), ("users.csv", "USER_ID,AGE\nu,2\n")],
            "personalize without interactions",
        ),
        (
            &[("items.jsonl", "{\"ItemId\":\"a\",\"Labels\":[\"x\"],\"IsHidden\":false}\n")],
            "gorse without feedback",
        ),
        (
            &[
                ("ds.item", "item_id:token\tprice:float\na\t1\n"),
                ("ds.user", "user_id:token\tage:token\nu\t3\n"),
            ],
            "recbole without interactions",
        ),
        (
            &[("video_features_basic_1k.csv", "video_id,author_id\n1,2\n"), ("x.csv", "user_id,a\n1,b\n")],
            "kuairand without a log",
        ),
        (
            &[("item_categories.csv", "video_id,feat\n1,[2]\n"), ("user_features.csv", "user_id,a\n1,b\n")],
            "kuairec without a matrix",
        ),
        (
            &[("e.jsonl", "{\"event\":\"item\",\"item\":\"a\",\"timestamp\":1,\"fields\":[]}\n")],
            "metarank without interactions",
        ),
    ];
    let array = Folder::new(&[("log.json", "[{\"user\": 1, \"item\": 2}]")]);
    has(
        &import(&array, &["log.json"], Format::Auto).unwrap_err().to_string(),
        &["a JSON array", "one object a line"],
    );
    let bare = Folder::new(&[("r.csv", "A39,0205616461,5.0,1369699200\nB,1,2,3\n")]);
    has(
        &import(&bare, &["r.csv"], Format::Auto).unwrap_err().to_string(),
        &["the first line must name the columns"],
    );
    for (files, lacking) in near {
        has(&refusal(&Folder::new(files)), &[lacking]);
    }
}

#[test]
fn lengths_of_time_are_understood_as_people_write_them() {
    let files = Folder::new(&[
        ("log.csv", "user_id,video_id,ts,watch_time\n1,a,10,1h\n1,b,20,0:30\n2,a,30,90\n2,c,40,12 parsecs\n"),
        ("videos.csv", "video_id,title,duration\na,Long,127 min\nb,Longer,2h 7min\nc,Longest,1:23:45\n"),
    ]);
    let imported = whole(&files);
    let set = &imported.dataset;
    let lengths = ["a", "b", "c"].map(|id| set.videos.video(set.videos.row(id).unwrap()).duration_seconds);
    assert_eq!(lengths[..2], [Some(7_620.0); 2]);
    assert_eq!(told(set), ["1 watch a 3600 -", "1 watch b 30 -", "2 watch a 90 -"]);
    has(&imported.cleaning.to_string(), &["`watch_time` is `12 parsecs`; expected a number"]);
}

#[test]
fn friends_are_found_in_wide_tables_of_users_and_of_pairs() {
    let log = ("log.csv", "user_id,video_id,ts\n1,a,10\n2,b,20\n3,a,30\n");
    let users = (
        "users.csv",
        "user_id,age,gender,city,device,friends\n1,20,f,Rome,tv,2|3\n2,30,m,Oslo,tv,\n3,40,m,Rome,pc,[2]\n",
    );
    let pairs =
        ("net.csv", "user_id,friend_id,since,weight,kind\n1,2,2019,1,x\n1,3,2020,1,x\n3,2,2021,1,x\n");
    for beside in [users, pairs] {
        let imported = whole(&Folder::new(&[log, beside]));
        let set = &imported.dataset;
        let friends = |id: &str| -> Vec<&str> {
            let friends = set.users.friends_of(set.users.row(id).unwrap()).iter();
            friends.map(|&friend| set.users.name(friend)).collect()
        };
        assert_eq!((friends("1"), friends("3")), (vec!["2", "3"], vec!["2"]), "{}", beside.0);
        survives(&imported);
    }
    let imported = whole(&Folder::new(&[log, users]));
    assert_eq!(of_user(&imported.dataset, "3", "city"), "Rome");
    assert!(imported.dataset.users.attributes.get("friends").is_none(), "friends are no attribute");
}

#[test]
fn generated_data_says_so_and_does_not_carry_the_notice_of_what_it_is_like() {
    let matrix = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n\
                  0,1,500,1000,2020-07-05 00:08:23.438,20200705,1593878903.438,0.5\n\
                  1,2,500,1000,2020-07-05 00:08:24.438,20200705,1593878904.438,0.5\n";
    let files = Folder::new(&[("big_matrix.csv", matrix)]);
    let notice = |files: &Folder| whole(files).notice.unwrap();
    assert_eq!(notice(&files).licence, "CC BY-SA 4.0");
    assert!(!notice(&files).text.contains("CC BY-SA"), "the licence is said once");
    files.add("truth.json", br#"{"generated": true, "seed": 7}"#);
    assert!(notice(&files).text.starts_with("generated by `upnext generate`, seed 7"));
    assert!(!notice(&files).licence.contains("CC"));
    let alone = import(&files, &["big_matrix.csv"], Format::Auto).unwrap();
    has(&alone.recognised, &["kuairec: ", "generated, seed 7"]);
}
