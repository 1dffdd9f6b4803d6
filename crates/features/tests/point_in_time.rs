//! No feature at *t* knows anything of *t* or later: whatever is changed, added or removed there, it is the same.
//!
//! A new feature joins by one line in `FEATURES`.

#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use upnext_data::{Action, Catalogue, Circumstance, Daily, Dataset, Event, Events, Order, Users};
use upnext_features::counters::{self, Of, What, Window};
use upnext_features::interaction::viewings;
use upnext_features::scores::{Worth, scores};
use upnext_features::sequence::{Kind, Padding, Sequences, pad};
use upnext_features::snapshot::{self, Snapshot};
use upnext_features::trending::trending;
use upnext_features::{Confidence, Cut, Table, daily_means, engagement};
use upnext_math::Matrix;

/// A feature of a whole set at a moment, as numbers; NaN where it is missing.
type Feature = fn(&Dataset, Cut) -> Vec<f32>;

/// Every feature that reads events, daily statistics or circumstances. What reads only facts of a video that have
/// no time (the metadata vector, labels, text) is not here.
const FEATURES: &[(&str, Feature)] = &[
    ("interaction", interaction),
    ("confidence", confidence),
    ("engagement of a log", |set, cut| {
        values(engagement::from_events(set.events().iter(), set.videos.len(), cut))
    }),
    ("engagement of daily statistics", |set, cut| {
        values(engagement::from_daily(&set.daily, &set.videos, cut))
    }),
    ("daily means", |set, cut| values(daily_means(&set.daily, set.videos.len(), cut))),
    ("trending", |set, cut| values(trending(&set.daily, "play_cnt", set.videos.len(), 7, cut))),
    ("scores", |set, cut| values(scores(&set.daily, set.videos.len(), &Worth::default(), cut))),
    ("counters", counted),
    ("sequences", sequences),
    ("snapshot of videos", |set, cut| rows_and_values(snapshot::videos(set, cut))),
    ("snapshot of users", |set, cut| rows_and_values(snapshot::users(set, cut))),
    ("snapshot of viewings", |set, cut| values(snapshot::viewings(set, cut).1)),
];

fn rows_and_values(snapshot: Snapshot) -> Vec<f32> {
    let rows = snapshot.rows.iter().map(|&row| row as f32);
    rows.chain(values(snapshot.table)).collect()
}

fn values(table: Table) -> Vec<f32> {
    let cells = table.matrix.values().iter().zip(&table.missing);
    cells.map(|(&value, &missing)| if missing { f32::NAN } else { value }).collect()
}

fn known(set: &Dataset, cut: Cut) -> Vec<Event> {
    set.events().iter().filter(|event| cut.knows(event.time)).collect()
}

fn interaction(set: &Dataset, cut: Cut) -> Vec<f32> {
    let steps = viewings(known(set, cut)).into_iter();
    steps.flat_map(|viewing| viewing.vector(Some(9.0), cut.zone_minutes).values).collect()
}

fn confidence(set: &Dataset, cut: Cut) -> Vec<f32> {
    Confidence::default().weights(known(set, cut).iter().map(|event| event.ratio))
}

fn counted(set: &Dataset, cut: Cut) -> Vec<f32> {
    let mut questions = Vec::new();
    for row in 0..VIDEOS {
        for what in [What::Action(Action::Watch), What::Action(Action::Like), What::Completion] {
            for window in Window::ALL {
                questions.push((Of::Video(row), what, window, cut.at));
                questions.push((Of::User(row % USERS), what, window, cut.at));
            }
        }
    }
    counters::replay(set.events().iter(), &questions, 1_000).into_iter().map(|n| n as f32).collect()
}

fn sequences(set: &Dataset, cut: Cut) -> Vec<f32> {
    let vectors = Matrix::from_rows(VIDEOS as usize, 1, (0..VIDEOS).map(|v| v as f32).collect());
    (0..USERS)
        .flat_map(|user| {
            let sequences = Sequences::of_user(set, user, cut);
            let watched: Vec<Vec<f32>> =
                sequences.of(Kind::Watched).iter().map(|&(video, _)| vec![video as f32]).collect();
            let mut all = sequences.joined_means(&vectors, 50).0;
            all.extend(pad(&watched, 1, 4, Padding::Mean).steps.values());
            all.push(sequences.searches.len() as f32);
            all
        })
        .collect()
}

const USERS: u32 = 3;
const VIDEOS: u32 = 4;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Events and days lie in the first ten days of 1970.
const END: i64 = 10 * DAY;

/// One happening: (user, video, action, time, ratio).
type Happening = (u32, u32, usize, i64, f32);
/// One row of daily statistics: (video, day, plays).
type Row = (u32, i32, f32);

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec((0..USERS, 0..VIDEOS, 0..Action::ALL.len(), 1..END, 0.0f32..3.0), 0..40)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0..VIDEOS, 0..10i32, 0.0f32..100.0), 0..30)
}

fn set(happenings: &[Happening], rows: &[Row]) -> Dataset {
    let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
    for user in 0..USERS {
        users.intern(&user.to_string());
    }
    for video in 0..VIDEOS {
        let row = videos.intern(&video.to_string());
        videos.video_mut(row).duration_seconds = Some(10.0);
    }
    let mut circumstances = Vec::new();
    for &(user, video, action, time, ratio) in happenings {
        let action = Action::ALL[action];
        let ratio = (action == Action::Watch).then_some(ratio);
        events.push(Event { user, video, action, time, value: ratio.map(|ratio| 10.0 * ratio), ratio });
        circumstances.push(Circumstance {
            user,
            video: Some(video),
            action,
            time,
            text: format!("words {video}"),
            device: String::new(),
            place: Some((ratio.unwrap_or(0.5), video as f32)),
        });
    }
    circumstances.sort_by_key(|around| (around.user, around.time));
    let mut set = Dataset::new("any", users, videos, events, Order::Timed, None);
    set.circumstances = circumstances;
    let measures = [
        "play_cnt",
        "show_cnt",
        "complete_play_cnt",
        "valid_play_cnt",
        "long_time_play_cnt",
        "short_time_play_cnt",
        "like_cnt",
        "comment_cnt",
        "share_cnt",
        "follow_cnt",
        "cancel_follow_cnt",
        "collect_cnt",
        "report_cnt",
        "reduce_similar_cnt",
        "play_duration",
    ];
    let column = |at: usize| rows.iter().map(|row| row.2 / (1.0 + at as f32)).collect();
    let measures = measures.iter().enumerate().map(|(at, name)| (name.to_string(), column(at))).collect();
    let (videos, days) = rows.iter().map(|row| (row.0, row.1)).unzip();
    set.daily = Daily::new(videos, days, measures);
    set
}

/// The bits, so that NaN equals NaN.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_happens_at_t_or_later_never_changes_a_feature_at_t(
        past in happenings(),
        past_rows in rows(),
        (future, other) in (happenings(), happenings()),
        (future_rows, other_rows) in (rows(), rows()),
        at in 1..END,
        zone_minutes in -720..=840i32,
    ) {
        let cut = Cut::at(at).in_zone(zone_minutes);
        let with = |later: &[Happening], later_rows: &[Row]| {
            let after = later.iter().filter(|happening| happening.3 >= at);
            let happenings: Vec<Happening> =
                past.iter().filter(|happening| happening.3 < at).chain(after).copied().collect();
            let ended = |row: &&Row| i64::from(row.1 + 1) * DAY <= at + i64::from(zone_minutes) * 60_000;
            let rows: Vec<Row> = past_rows
                .iter()
                .filter(ended)
                .chain(later_rows.iter().filter(|row| !ended(row)))
                .copied()
                .collect();
            set(&happenings, &rows)
        };
        let (nothing, one, another) = (with(&[], &[]), with(&future, &future_rows), with(&other, &other_rows));
        for (name, feature) in FEATURES {
            let at_cut = bits(&feature(&nothing, cut));
            prop_assert_eq!(&at_cut, &bits(&feature(&one, cut)), "{} knows what was added", name);
            prop_assert_eq!(&at_cut, &bits(&feature(&another, cut)), "{} knows what was changed", name);
        }
    }

    #[test]
    fn counters_fed_event_by_event_give_what_a_replay_gives(
        log in happenings(),
        questions in prop::collection::vec((0..VIDEOS, 0..3usize, 0..END + DAY), 1..20),
    ) {
        let mut events: Vec<Event> = set(&log, &[]).events().iter().collect();
        events.sort_by_key(|event| event.time);
        let mut questions: Vec<_> = questions
            .into_iter()
            .map(|(row, window, at)| (Of::Video(row), What::Action(Action::Watch), Window::ALL[window], at))
            .collect();
        questions.sort_by_key(|question| question.3);
        let replayed = counters::replay(events.iter().copied(), &questions, 1_000);
        let mut serving = counters::Counters::new(1_000);
        let mut left = &events[..];
        for (&(of, what, window, at), &expected) in questions.iter().zip(&replayed) {
            // A service has also seen what happened within the very millisecond of the request.
            let n = left.partition_point(|event| event.time <= at);
            left[..n].iter().for_each(|&event| serving.add(event));
            left = &left[n..];
            prop_assert_eq!(serving.count(of, what, window, at).unwrap(), expected);
            // And both count what lies in the window, give or take the bucket in which it begins.
            let within = |from: i64| events.iter().filter(|event| {
                Of::Video(event.video) == of && event.action == Action::Watch && (from..at).contains(&event.time)
            }).count() as u32;
            let longest = within(at - window.millis() - window.millis() / 60);
            prop_assert!((within(at - window.millis())..=longest).contains(&expected));
        }
    }
}

/// The harness itself notices: a feature that looks at everything is caught.
#[test]
fn a_feature_that_looks_ahead_is_told_from_one_that_does_not() {
    let later = (0, 1, 0, 5 * DAY, 1.0);
    let (without, with) = (set(&[], &[]), set(&[later], &[]));
    let ahead: Feature = |set, _| vec![set.events().len() as f32];
    assert_ne!(bits(&ahead(&without, Cut::at(DAY))), bits(&ahead(&with, Cut::at(DAY))));
    // And after the event every feature of a log can see it.
    let seen =
        |feature: Feature| bits(&feature(&without, Cut::at(END))) != bits(&feature(&with, Cut::at(END)));
    for (name, feature) in FEATURES {
        let of_daily = ["engagement of daily statistics", "daily means", "trending", "scores"].contains(name);
        assert_eq!(seen(*feature), !of_daily, "{name}");
    }
}
