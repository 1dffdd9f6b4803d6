//! The numbers of the report, from events that pass by; memory grows with users, videos and days, not with events.

pub(crate) mod features;
pub(crate) mod missing;
pub(crate) mod rank;
pub(crate) mod sketch;
pub(crate) mod split;
mod tally;
pub(crate) mod target;
pub(crate) mod time;
pub(crate) mod training;

use serde::Serialize;
use upnext_data::{Action, Dataset, Event, Log, Order, Relevance, SplitRule};
use upnext_ingest::{CleaningReport, Notice};

pub(crate) use tally::Tally;

use crate::diagnosis::Diagnosis;

/// The version of the JSON; a key that is renamed or taken away raises it.
const SCHEMA: u32 = 1;

/// A part of the report, or why it is not there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Section<T> {
    /// What was measured.
    There(T),
    /// What the set lacks.
    Absent {
        /// In words.
        absent: String,
    },
}

/// A section that is not there.
pub(crate) fn absent<T>(reason: impl Into<String>) -> Section<T> {
    Section::Absent { absent: reason.into() }
}

impl<T> Section<T> {
    /// What there is, or why there is nothing.
    pub(crate) fn or(value: Option<T>, reason: &str) -> Self {
        value.map_or_else(|| absent(reason), Self::There)
    }
}

/// A video by its outside id and its title.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct VideoName {
    /// The outside id.
    pub(crate) id: String,
    /// The title; empty where none is known.
    pub(crate) title: String,
}

impl VideoName {
    fn of(set: &Dataset, video: u32) -> Self {
        let title = set.videos.video(video).title.chars().take(TITLE_MAX).collect();
        Self { id: set.videos.name(video).to_string(), title }
    }
}

/// Characters of a title that are kept: a caption may be a page long.
const TITLE_MAX: usize = 120;

/// What the set is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// Its name.
    pub(crate) name: String,
    /// Its digest.
    pub(crate) digest: String,
    /// What the files were taken for.
    pub(crate) recognised: String,
    /// What is known about order.
    pub(crate) order: Order,
    /// What counts as relevant.
    pub(crate) relevance: String,
    /// Terms of the data.
    pub(crate) notice: Option<Notice>,
    /// The version of UpNext that measured.
    pub(crate) version: &'static str,
    /// The seed of samples and of a random split.
    pub(crate) seed: u64,
}

/// Events of one action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ActionCount {
    /// Which.
    pub(crate) action: Action,
    /// How many.
    pub(crate) events: u64,
}

/// How large the set is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Dimensions {
    /// Events.
    pub(crate) events: u64,
    /// Different pairs of user and video among them.
    pub(crate) pairs: u64,
    /// Users with an event.
    pub(crate) users: usize,
    /// Users in the table.
    pub(crate) users_known: usize,
    /// Videos with an event.
    pub(crate) videos: usize,
    /// Videos in the catalogue.
    pub(crate) videos_known: usize,
    /// Pairs over users × videos with an event, in percent.
    pub(crate) density_percent: f64,
    /// Events of each action that occurs, most first.
    pub(crate) actions: Vec<ActionCount>,
    /// Rows of daily statistics.
    pub(crate) daily_rows: usize,
    /// Searches, comments and other circumstances beside events.
    pub(crate) circumstances: usize,
    /// Pairs of users who know each other.
    pub(crate) friendships: usize,
}

/// An event as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PreviewEvent {
    /// The user's outside id.
    pub(crate) user: String,
    /// The video.
    pub(crate) video: VideoName,
    /// What was done.
    pub(crate) action: Action,
    /// When, in UTC; `None` where the set has no times.
    pub(crate) time: Option<String>,
    /// Seconds, stars or 1.
    pub(crate) value: Option<f32>,
    /// Watch time over duration.
    pub(crate) ratio: Option<f32>,
}

/// All numbers of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DataReport {
    /// The version of these keys.
    pub(crate) schema: u32,
    /// What was measured.
    pub(crate) set: About,
    /// How large it is.
    pub(crate) dimensions: Dimensions,
    /// The first events, sorted by user and time.
    pub(crate) preview: Vec<PreviewEvent>,
    /// What was dropped on the way in.
    pub(crate) cleaning: CleaningReport,
    /// Every field, and how often it is missing.
    pub(crate) missing: Vec<missing::Missing>,
    /// Users.
    pub(crate) users: rank::Users,
    /// Videos.
    pub(crate) videos: rank::Videos,
    /// The target over all events.
    pub(crate) target: Section<target::Distribution>,
    /// Features of videos.
    pub(crate) features: features::Features,
    /// When it happened.
    pub(crate) time: Section<time::Coverage>,
    /// What a model would be fitted on and asked.
    pub(crate) split: Section<split::SplitFacts>,
    /// Which kind of model pays, told from train and validation.
    pub(crate) diagnosis: Section<Diagnosis>,
    /// How networks learnt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) training: Vec<training::Curve>,
}

/// What is known of a set beside its rows.
pub(crate) struct Origin {
    /// The set's digest, its events included.
    pub(crate) digest: String,
    /// What the files were taken for.
    pub(crate) recognised: String,
    /// What was dropped on the way in.
    pub(crate) cleaning: CleaningReport,
    /// Searches, comments and other circumstances beside events.
    pub(crate) n_circumstances: usize,
    /// Terms of the data.
    pub(crate) notice: Option<Notice>,
    /// What counts as relevant.
    pub(crate) relevance: Relevance,
    /// The split that fits the set.
    pub(crate) split: SplitRule,
    /// The seed of samples and of a random split.
    pub(crate) seed: u64,
    /// What kind of set it is: it is made of events that are held, so it comes from outside.
    pub(crate) diagnosis: Section<Diagnosis>,
    /// How networks learnt.
    pub(crate) training: Vec<training::Curve>,
}

/// All numbers of a log, which passes by once for the tally that was made of it, and for its split again.
///
/// # Errors
/// When the events cannot be read.
pub(crate) fn report<L: Log>(log: &L, tally: &Tally, origin: Origin) -> Result<DataReport, L::Error> {
    let set = log.set();
    Ok(DataReport {
        schema: SCHEMA,
        dimensions: dimensions(set, tally, origin.n_circumstances),
        preview: tally.first.iter().map(|event| preview(set, event)).collect(),
        missing: missing::missing(set, tally),
        users: rank::users(set, tally),
        videos: rank::videos(set, tally),
        target: Section::or(
            tally.targets.chosen().and_then(target::TargetTally::distribution),
            "no event has a watch ratio, a rating or seconds watched",
        ),
        features: features::features(set, tally, origin.seed),
        time: match (set.order, tally.time.coverage()) {
            (Order::Timed, Some(coverage)) => Section::There(coverage),
            (Order::Sequence, _) => absent("the set has an order of events and no times"),
            _ => absent("the set has no times and no order of events"),
        },
        split: split::split(log, &origin.relevance, origin.split, origin.seed)?,
        diagnosis: origin.diagnosis,
        cleaning: origin.cleaning,
        training: origin.training,
        set: About {
            name: set.name.clone(),
            digest: origin.digest,
            recognised: origin.recognised,
            order: set.order,
            relevance: origin.relevance.to_string(),
            notice: origin.notice,
            version: env!("CARGO_PKG_VERSION"),
            seed: origin.seed,
        },
    })
}

fn dimensions(set: &Dataset, tally: &Tally, n_circumstances: usize) -> Dimensions {
    let occurring = |counts: &[u32]| counts.iter().filter(|&&n| n > 0).count();
    let (users, videos) = (occurring(&tally.of_user), occurring(&tally.of_video));
    let cells = users as f64 * videos as f64;
    let mut actions: Vec<ActionCount> = Action::ALL
        .into_iter()
        .zip(tally.actions)
        .filter(|&(_, events)| events > 0)
        .map(|(action, events)| ActionCount { action, events })
        .collect();
    actions.sort_by_key(|count| std::cmp::Reverse(count.events));
    Dimensions {
        events: tally.events,
        pairs: tally.pairs,
        users,
        users_known: set.users.len(),
        videos,
        videos_known: set.videos.len(),
        density_percent: if cells > 0.0 { 100.0 * tally.pairs as f64 / cells } else { 0.0 },
        actions,
        daily_rows: set.daily.len(),
        circumstances: n_circumstances,
        friendships: (0..set.users.len() as u32).map(|user| set.users.friends_of(user).len()).sum(),
    }
}

fn preview(set: &Dataset, event: &Event) -> PreviewEvent {
    PreviewEvent {
        user: set.users.name(event.user).to_string(),
        video: VideoName::of(set, event.video),
        action: event.action,
        time: (set.order == Order::Timed).then(|| time::moment(event.time)),
        value: event.value,
        ratio: event.ratio,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use upnext_data::{Catalogue, Events, Users};

    use super::*;

    /// Three users, three videos: `0` watches `a` for 0.5 and `b` for 1.5; `1` watches `a` for 1.0 twice; `2` only
    /// likes `a`. The title of `b` is hostile.
    pub(crate) fn tiny() -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        for name in ["u0", "u1", "u2"] {
            users.intern(name);
        }
        for name in ["a", "b", "c"] {
            videos.intern(name);
        }
        videos.video_mut(1).title = "<script>alert(1)</script>".into();
        videos.video_mut(0).duration_seconds = Some(10.0);
        let watch = |user, video, time, ratio| Event {
            user,
            video,
            action: Action::Watch,
            time,
            value: None,
            ratio: Some(ratio),
        };
        let like = Event { user: 2, video: 0, action: Action::Like, time: 9, value: Some(1.0), ratio: None };
        for event in
            [watch(0, 0, 1, 0.5), watch(0, 1, 2, 1.5), watch(1, 0, 3, 1.0), watch(1, 0, 4, 1.0), like]
        {
            events.push(event);
        }
        Dataset::new("tiny", users, videos, events, Order::Timed, None)
    }

    pub(crate) fn measured(set: &Dataset) -> DataReport {
        let mut tally = Tally::new(set.users.len(), set.videos.len(), set.order == Order::Timed);
        set.events().iter().for_each(|event| tally.add(&event));
        let origin = Origin {
            digest: set.digest(),
            recognised: "by hand".into(),
            n_circumstances: set.circumstances.len(),
            cleaning: CleaningReport::default(),
            notice: None,
            relevance: "any".parse().unwrap(),
            split: SplitRule::LeaveLastOut,
            seed: 1,
            diagnosis: absent("not asked for"),
            training: Vec::new(),
        };
        let Ok(report) = report(set, &tally, origin);
        report
    }

    #[test]
    fn five_events_by_hand() {
        let report = measured(&tiny());
        let Dimensions { events, pairs, users, videos, videos_known, density_percent, .. } =
            report.dimensions;
        assert_eq!((events, pairs, users, videos, videos_known), (5, 4, 3, 2, 3));
        assert!((density_percent - 100.0 * 4.0 / 6.0).abs() < 1e-9);
        let Section::There(target) = &report.target else { panic!("{:?}", report.target) };
        assert_eq!((target.describe.count, target.describe.mean, target.describe.p50), (4, 1.0, 1.0));
        // Above 0.5: three of four; above 1.0: one of four, because the ratio must exceed the threshold.
        let shares: Vec<f64> = target.thresholds.iter().map(|t| t.percent).collect();
        assert_eq!(shares, [75.0, 75.0, 25.0, 25.0, 0.0, 0.0]);
        assert_eq!(report.users.events.as_ref().unwrap().max, 2.0);
        // Means of users: 1.0 and 1.0; of videos: (0.5 + 1 + 1) / 3 and 1.5.
        let Section::There(of_users) = &report.users.target else { panic!() };
        assert_eq!((of_users.describe.count, of_users.describe.mean), (2, 1.0));
        let Section::There(of_videos) = &report.videos.target else { panic!() };
        assert!((of_videos.describe.min - 2.5 / 3.0).abs() < 1e-6);
        assert_eq!(report.videos.most[0].video.id, "a");
        assert_eq!((report.videos.most[0].events, report.videos.most[0].users), (4, 3));
        assert!(matches!(report.videos.best, Section::Absent { .. }), "no video has ten");
        let missing = |field: &str| {
            let row = report.missing.iter().find(|row| row.field == field).unwrap();
            (row.missing, row.rows)
        };
        assert_eq!(
            (missing("ratio"), missing("duration_seconds"), missing("title")),
            ((1, 5), (2, 3), (2, 3))
        );
        assert_eq!(report.videos.zero_events, 1);
    }

    #[test]
    fn a_set_without_times_and_values_says_what_it_lacks() {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        users.intern("u");
        videos.intern("v");
        let (action, time) = (Action::Watch, 0);
        events.push(Event { user: 0, video: 0, action, time, value: None, ratio: None });
        let set = Dataset::new("bare", users, videos, events, Order::Unordered, None);
        let report = measured(&set);
        let json = serde_json::to_value(&report).unwrap();
        for section in ["target", "time", "split"] {
            assert!(json[section]["absent"].as_str().unwrap().len() > 10, "{section}");
        }
        for section in ["daily", "correlations", "relations", "projection"] {
            assert!(json["features"][section]["absent"].is_string(), "{section}");
        }
    }

    #[test]
    fn an_empty_set_has_a_report() {
        let set = Dataset::new("none", Users::new(), Catalogue::new(), Events::new(), Order::Timed, None);
        let report = measured(&set);
        assert_eq!((report.dimensions.events, report.dimensions.density_percent), (0, 0.0));
        assert!(crate::report::draw::page(&report).contains("none"));
    }
}
