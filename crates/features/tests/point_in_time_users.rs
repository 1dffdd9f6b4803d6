//! No feature of users, friends, places or words at *t* knows anything of *t* or later, and nothing is fitted on
//! rows after the cut.
//!
//! A new feature joins by one line in `FEATURES`, a new transform by one in `FITTED`.

#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use upnext_data::{Action, Catalogue, Circumstance, Column, Dataset, Event, Events, Order, Users};
use upnext_features::category::Vocabulary;
use upnext_features::hierarchy::Hierarchy;
use upnext_features::impute::{Imputer, Imputing};
use upnext_features::pca::{Keep, Pca};
use upnext_features::place::Places;
use upnext_features::scale::{Scaler, Scaling};
use upnext_features::tags::{self, TagConfig, TagVectors};
use upnext_features::text::{Pieces, TextVectors};
use upnext_features::user::UserEncoder;
use upnext_features::{Table, TrainRows, social};
use upnext_math::Matrix;

const USERS: u32 = 4;
const VIDEOS: u32 = 5;
/// The moment that is asked about.
const T: i64 = 1_000_000_000;
const WORDS: [&str; 5] = ["cat", "dog", "美食", "", "a longer comment"];
const PLACES: [(f32, f32); 5] = [(0.0, 0.0), (52.5, 13.4), (-17.0, 179.9), (89.0, 5.0), (500.0, 0.0)];

/// A feature of a whole set at a time, as numbers; NaN where it is missing.
type Feature = fn(&Dataset, i64) -> Vec<f32>;

/// Every feature of this half that reads events or circumstances.
const FEATURES: &[(&str, Feature)] = &[
    ("user vector and activity", |set, t| {
        let encoder = UserEncoder::fit(&set.users, &TrainRows::all(set.users.len()), 1);
        values(encoder.table(&set.users, set.events(), t))
    }),
    ("friends' videos", |set, t| {
        let of = |user| social::friends_videos(&set.users, set.events(), user, t, 3.0);
        shared((0..USERS).flat_map(of))
    }),
    ("candidates from friends", |set, t| {
        let of = |user| social::candidates(&set.users, set.events(), user, t, 3.0, 3);
        shared((0..USERS).flat_map(of))
    }),
    ("share of friends", |set, t| {
        let pairs = (0..USERS).flat_map(|user| (0..VIDEOS).map(move |video| (user, video)));
        pairs
            .map(|(user, video)| social::share_of_friends(&set.users, set.events(), user, video, t))
            .collect()
    }),
    ("last place", |set, t| {
        let places = Places::fit(&PLACES, &TrainRows::all(5), 3, 20, 1);
        let last = places.last_of_users(&set.circumstances, USERS as usize, t);
        let numbers = last.into_iter().map(|near| near.map_or([f32::NAN; 2], |n| [n.cluster as f32, n.km]));
        numbers.flatten().collect()
    }),
    ("comments under videos", |set, t| {
        values(words().comments_of_videos(&set.circumstances, VIDEOS as usize, t))
    }),
    ("searches of users", |set, t| {
        values(words().words_of_users(&set.circumstances, Action::Search, USERS as usize, t))
    }),
];

fn words() -> TextVectors {
    TextVectors::fit(&WORDS, &TrainRows::all(5), Pieces::Words, 16, 1)
}

fn values(table: Table) -> Vec<f32> {
    let cells = table.matrix.values().iter().zip(&table.missing);
    cells.map(|(&value, &missing)| if missing { f32::NAN } else { value }).collect()
}

fn shared(videos: impl Iterator<Item = social::Shared>) -> Vec<f32> {
    videos.flat_map(|s| [s.video as f32, s.friends as f32, s.share, s.weight]).collect()
}

/// One thing that happened: an event, and the circumstance around it.
#[derive(Clone, Debug)]
struct Happening {
    event: Event,
    word: usize,
    place: usize,
}

fn happening(times: std::ops::Range<i64>) -> impl Strategy<Value = Happening> {
    let what = (0..USERS, 0..VIDEOS, 0..Action::ALL.len(), times);
    (what, 0..WORDS.len(), 0..PLACES.len()).prop_map(|((user, video, action, time), word, place)| {
        let action = Action::ALL[action];
        Happening { event: Event { user, video, action, time, value: None, ratio: None }, word, place }
    })
}

fn dataset(happenings: &[Happening]) -> Dataset {
    let mut users = Users::new();
    (0..USERS).for_each(|user| {
        users.intern(&user.to_string());
    });
    for (user, friend) in [(0, 1), (0, 2), (0, 3), (1, 0), (2, 3)] {
        users.befriend(user, friend);
    }
    users.attributes.set("age", Column::Number(vec![20.0, f32::NAN, 70.0, 5.0]));
    let mut videos = Catalogue::new();
    (0..VIDEOS).for_each(|video| {
        videos.intern(&video.to_string());
    });
    let events: Events = happenings.iter().map(|happening| happening.event).collect();
    let mut set = Dataset::new("generated", users, videos, events, Order::Timed, None);
    set.circumstances = happenings
        .iter()
        .map(|Happening { event, word, place }| Circumstance {
            user: event.user,
            video: (event.action != Action::Search).then_some(event.video),
            action: event.action,
            time: event.time,
            text: WORDS[*word].into(),
            device: String::new(),
            place: Some(PLACES[*place]),
        })
        .collect();
    set.circumstances.sort_by_key(|circumstance| (circumstance.user, circumstance.time));
    set
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

proptest! {
    #[test]
    fn whatever_happens_at_t_or_later_changes_no_feature_at_t(
        past in proptest::collection::vec(happening(T - 900_000_000..T), 0..30),
        future in proptest::collection::vec(happening(T..T + 900_000_000), 0..20),
        other in proptest::collection::vec(happening(T..T + 2), 0..20),
    ) {
        let alone = dataset(&past);
        for later in [&future, &other] {
            let set = dataset(&[&past[..], later].concat());
            for (name, feature) in FEATURES {
                prop_assert!(same(&feature(&alone, T), &feature(&set, T)), "{} knows the future", name);
            }
        }
    }
}

#[test]
fn what_happened_a_millisecond_before_t_is_known_to_every_feature() {
    let at = |user, video, action, time| Happening {
        event: Event { user, video, action, time, value: None, ratio: None },
        word: 0,
        place: 1,
    };
    let news = [Action::Watch, Action::Comment, Action::Search].map(|action| at(1, 2, action, T - 1));
    let (before, after) = (dataset(&[]), dataset(&news));
    for (name, feature) in FEATURES {
        assert!(!same(&feature(&before, T), &feature(&after, T)), "{name} knows nothing");
    }
}

/// A table of rows with a time: numbers, a category, and two tags.
#[derive(Clone, Debug)]
struct Row {
    time: i64,
    numbers: [f32; 3],
    word: usize,
    place: usize,
}

fn row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![8 => -1e3f32..1e3, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)];
    let times = prop_oneof![T - 3..T + 3];
    (times, [number.clone(), number.clone(), number], 0..WORDS.len(), 0..PLACES.len())
        .prop_map(|(time, numbers, word, place)| Row { time, numbers, word, place })
}

/// A transform fitted on train rows, written down.
type Fitted = fn(&[Row], &TrainRows) -> String;

const FITTED: &[(&str, Fitted)] = &[
    ("scaler", |rows, train| {
        let scalings = [Scaling::Standard, Scaling::LogStandard, Scaling::MinMax];
        format!("{:?}", Scaler::fit(&matrix(rows), train, &scalings))
    }),
    ("imputer", |rows, train| {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let table = Table::from_values(names, rows.len(), matrix(rows).into_values(), 0.0);
        format!("{:?}", Imputer::fit(&table, train, Imputing::Median))
    }),
    ("components", |rows, train| format!("{:?}", Pca::fit(&matrix(rows), train, Keep::Share(0.9)))),
    ("vocabulary", |rows, train| {
        let values: Vec<Option<&str>> = rows.iter().map(|row| Some(WORDS[row.word])).collect();
        Vocabulary::fit(&values, train, 2).values().collect::<Vec<_>>().join(",")
    }),
    ("tag vectors", |rows, train| {
        let videos = pairs(rows);
        let config = TagConfig { epochs: 2, dimension: 4, ..TagConfig::default() };
        let vocabulary = tags::vocabulary(&videos, train, 1);
        serde_json::to_string(&TagVectors::fit(&videos, train, vocabulary, &config, 1)).unwrap()
    }),
    ("hierarchy", |rows, train| format!("{:?}", Hierarchy::fit(&pairs(rows), train, 2).columns())),
    ("text vectors", |rows, train| {
        let texts: Vec<&str> = rows.iter().map(|row| WORDS[row.word]).collect();
        format!("{:?}", TextVectors::fit(&texts, train, Pieces::Words, 8, 1))
    }),
    ("places", |rows, train| {
        let places: Vec<(f32, f32)> = rows.iter().map(|row| PLACES[row.place]).collect();
        format!("{:?}", Places::fit(&places, train, 3, 10, 1))
    }),
    ("user vocabularies", |rows, train| {
        let mut users = Users::new();
        (0..rows.len()).for_each(|user| {
            users.intern(&user.to_string());
        });
        let languages = rows.iter().map(|row| WORDS[row.word].to_string()).collect();
        users.attributes.set("language", Column::Text(languages));
        serde_json::to_string(&UserEncoder::fit(&users, train, 1)).unwrap()
    }),
];

fn matrix(rows: &[Row]) -> Matrix {
    Matrix::from_rows(rows.len(), 3, rows.iter().flat_map(|row| row.numbers).collect())
}

fn pairs(rows: &[Row]) -> Vec<Vec<&'static str>> {
    rows.iter().map(|row| vec![WORDS[row.word], WORDS[row.place]]).collect()
}

proptest! {
    #[test]
    fn rows_at_or_after_the_cut_change_no_fitted_transform(
        rows in proptest::collection::vec(row(), 1..25),
        others in proptest::collection::vec(row(), 25),
    ) {
        let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
        let train = TrainRows::before(&times, T);
        let replaced: Vec<Row> = rows
            .iter()
            .zip(others)
            .map(|(row, other)| if row.time < T { row.clone() } else { other })
            .collect();
        for (name, fit) in FITTED {
            prop_assert_eq!(fit(&rows, &train), fit(&replaced, &train), "{} read a row after the cut", name);
        }
    }
}
