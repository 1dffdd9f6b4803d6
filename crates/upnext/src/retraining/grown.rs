//! A run's set together with what the store learnt since: its events, users and videos.

use anyhow::Result;
use serde::Serialize;
use upnext_data::{Action, Circumstance, Dataset, Events, Part, Relevance};
use upnext_ingest::run::RunFolder;
use upnext_pipeline::{FeedConfig, event_of, live_video, texts_by_kind};
use upnext_store::{FeedbackQuery, Presence, Store};

/// What the store added to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Added {
    /// Rows of feedback that became events.
    pub(crate) events: usize,
    /// Users whom the run did not know.
    pub(crate) users: usize,
    /// Videos that the run did not know.
    pub(crate) videos: usize,
    /// Events of the run whose users or videos were deleted since.
    pub(crate) dropped: usize,
}

/// Rows of one read.
const PAGE: usize = 10_000;

/// The set of a run with what a store has up to `now`. The run's rows keep their numbers; a deleted user's or video's events are
/// left out.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn grown(
    folder: &RunFolder,
    store: &dyn Store,
    config: &FeedConfig,
    now: i64,
) -> Result<(Dataset, Added)> {
    let old = &folder.dataset;
    let gone_users = (0..old.users.len() as u32)
        .map(|row| Ok(store.user_presence(old.users.name(row))? == Presence::Deleted))
        .collect::<Result<Vec<bool>>>()?;
    let rows_gone: Vec<u32> = (0..).zip(&gone_users).filter(|(_, gone)| **gone).map(|(row, _)| row).collect();
    let (mut users, mut videos) = (old.users.without(&rows_gone), old.videos.clone());
    let mut added = Added::default();
    for page in pages(|cursor| Ok(store.videos(cursor, PAGE).map(|page| (page.rows, page.cursor))?)) {
        for stored in page? {
            let video = live_video(stored);
            let row = videos.intern(&video.id);
            let creator = video.creator.as_deref().map(|creator| videos.creators.intern(creator));
            for (kind, values) in &video.labels {
                values.iter().for_each(|value| videos.label(row, &format!("{kind}:{value}")));
            }
            if let Some(kind) = config.category_kinds.first() {
                video.categories.iter().for_each(|name| videos.label(row, &format!("{kind}:{name}")));
            }
            let known = videos.video_mut(row);
            if known.title.is_empty() {
                known.title = video.title;
            }
            known.creator = known.creator.or(creator);
            known.published = known.published.or(video.time);
        }
    }
    for page in pages(|cursor| Ok(store.users(cursor, PAGE).map(|page| (page.rows, page.cursor))?)) {
        for stored in page? {
            let row = users.intern(&stored.id);
            for (kind, values) in texts_by_kind(&stored.labels) {
                values.iter().for_each(|value| users.label(row, &format!("{kind}:{value}")));
            }
        }
    }

    let gone_videos = (0..old.videos.len() as u32)
        .map(|row| Ok(store.video_presence(old.videos.name(row))? == Presence::Deleted))
        .collect::<Result<Vec<bool>>>()?;
    let (mut events, mut parts) = (Events::new(), old.parts().map(|_| Vec::new()));
    for (at, event) in old.events().iter().enumerate() {
        if gone_users[event.user as usize] || gone_videos[event.video as usize] {
            added.dropped += 1;
            continue;
        }
        events.push(event);
        if let (Some(parts), Some(of)) = (&mut parts, old.parts()) {
            parts.push(of[at]);
        }
    }
    // The rule of a log that measured no watch asks for none: what the store measured is told in its words.
    let is_measured = old.events().iter().any(|event| event.ratio.is_some());
    let listed = |cursor: &str| {
        let page = store.feedback(&FeedbackQuery { cursor, n: PAGE, ..FeedbackQuery::default() })?;
        Ok((page.rows, page.cursor))
    };
    for page in pages(listed) {
        for feedback in page?.iter().filter(|feedback| feedback.time <= now) {
            let mut event = event_of(feedback, &config.feedback);
            if !is_measured && let Some(ratio) = event.ratio.take() {
                event.action =
                    if ratio < Relevance::WATCHED_RATIO { Action::Impression } else { event.action };
            }
            events.push(upnext_data::Event {
                user: users.intern(&feedback.user),
                video: videos.intern(&feedback.video),
                ..event
            });
            added.events += 1;
            if let Some(parts) = &mut parts {
                parts.push(Part::Train);
            }
        }
    }
    (added.users, added.videos) = (users.len() - old.users.len(), videos.len() - old.videos.len());
    users.attributes.extend_missing(users.len());
    videos.attributes.extend_missing(videos.len());
    let mut set = Dataset::new(old.name.clone(), users, videos, events, old.order, parts);
    set.daily = old.daily.clone();
    let stays = |one: &&Circumstance| {
        !gone_users[one.user as usize] && one.video.is_none_or(|video| !gone_videos[video as usize])
    };
    set.circumstances = old.circumstances.iter().filter(stays).cloned().collect();
    Ok((set, added))
}

/// Every page of a list that is read by cursors.
fn pages<T>(mut read: impl FnMut(&str) -> Result<(Vec<T>, String)>) -> impl Iterator<Item = Result<Vec<T>>> {
    let mut next = Some(String::new());
    std::iter::from_fn(move || {
        let cursor = next.take()?;
        match read(&cursor) {
            Ok((rows, cursor)) => {
                next = (!cursor.is_empty()).then_some(cursor);
                Some(Ok(rows))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use upnext_data::{Catalogue, Event, Order, Users};
    use upnext_ingest::CleaningReport;
    use upnext_store::{Feedback, Memory, StoreConfig, StoredVideo, Write};

    fn folder() -> RunFolder {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        for (user, video, time) in
            [("ann", "v1", 10), ("ann", "v2", 20), ("bob", "v1", 30), ("cas", "v2", 40)]
        {
            events.push(Event {
                user: users.intern(user),
                video: videos.intern(video),
                action: Action::Watch,
                time,
                value: None,
                ratio: Some(0.9),
            });
        }
        let dataset = Dataset::new("set", users, videos, events, Order::Timed, None);
        let manifest = serde_json::from_value(json!({
            "format": 1, "version": "", "name": "set", "digest": "", "order": "timed", "relevance": "any",
            "recognised": "", "notice": null, "command": "", "seed": 1, "files": {},
        }))
        .unwrap();
        RunFolder { manifest, dataset, cleaning: CleaningReport::default() }
    }

    #[test]
    fn the_run_s_rows_stay_what_is_new_follows_and_who_was_deleted_is_gone() {
        let store = Memory::new(StoreConfig::default());
        let said = |kind: &str, user: &str, video: &str, time| Feedback {
            kind: kind.into(),
            user: user.into(),
            video: video.into(),
            value: 0.5,
            time,
            labels: json!(null),
            comment: String::new(),
        };
        store
            .put_videos(&[StoredVideo {
                id: "v9".into(),
                categories: vec!["Comedy".into()],
                labels: json!({"creator": "dan", "mood": ["warm"]}),
                comment: "Nine".into(),
                ..StoredVideo::default()
            }])
            .unwrap();
        let events = [
            said("watch", "ann", "v9", 50),
            said("like", "eve", "v1", 60),
            said("shown", "eve", "v2", 61),
            said("like", "eve", "v2", 9_999),
        ];
        store.append(&events, Write::Overwrite).unwrap();
        store.delete_user("bob").unwrap();
        let folder = folder();
        let config = FeedConfig::default();
        let (set, added) = grown(&folder, &store, &config, 100).unwrap();
        assert_eq!(added, Added { events: 3, users: 1, videos: 1, dropped: 1 });
        let names: Vec<&str> = set.users.names().iter().collect();
        assert_eq!(names, ["ann", "forgotten:1", "cas", "eve"]);
        let nine = set.videos.row("v9").unwrap();
        assert_eq!((set.videos.video(nine).title.as_str(), nine), ("Nine", 2));
        assert_eq!(set.videos.labels_of(nine, "mood").collect::<Vec<_>>(), ["warm"]);
        assert_eq!(set.videos.labels_of(nine, &config.category_kinds[0]).collect::<Vec<_>>(), ["Comedy"]);
        let of = |user: &str| -> Vec<(Action, i64)> {
            let row = set.users.row(user).unwrap();
            set.events().iter().filter(|event| event.user == row).map(|e| (e.action, e.time)).collect()
        };
        assert_eq!(of("ann"), [(Action::Watch, 10), (Action::Watch, 20), (Action::Watch, 50)]);
        assert_eq!(of("eve"), [(Action::Like, 60), (Action::Impression, 61)], "what is due later waits");
    }
}
