//! What a user's friends watched before a time: counts, weights by recency, shares, and a list of candidates.
//!
//! The graph itself has no times: one that was written down after the cut knows friendships made after it.

use std::collections::BTreeMap;

use upnext_data::{Action, Events, Users};

/// What friends did with one video strictly before `t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shared {
    /// The video's row.
    pub video: u32,
    /// How many friends watched it, each counted once.
    pub friends: u32,
    /// `friends` over the number of the user's friends.
    pub share: f32,
    /// Each friend's newest event with it, as `0.5 ^ (age in days / half_life_days)`, summed.
    pub weight: f32,
}

/// Everything that the friends of `user` watched strictly before `t` (milliseconds since 1970), by video. Being
/// shown a video, or refusing it, is not watching it.
///
/// The events stand sorted by user, as in [`upnext_data::Dataset::events`].
pub fn friends_videos(users: &Users, events: &Events, user: u32, t: i64, half_life_days: f32) -> Vec<Shared> {
    let friends = users.friends_of(user);
    let mut of_video: BTreeMap<u32, (u32, f32)> = BTreeMap::new();
    for &friend in friends.iter().filter(|&&friend| friend != user) {
        for (video, newest) in watched_before(events, friend, t) {
            let age_days = (t - newest) as f64 / MS_A_DAY;
            let weight = 0.5f64.powf(age_days / f64::from(half_life_days.max(f32::MIN_POSITIVE)));
            let (count, sum) = of_video.entry(video).or_default();
            *count += 1;
            *sum += weight as f32;
        }
    }
    let n_friends = friends_number(users, user).max(1) as f32;
    let shared =
        |(video, (friends, weight))| Shared { video, friends, share: friends as f32 / n_friends, weight };
    of_video.into_iter().map(shared).collect()
}

/// How many others a user knows.
pub fn friends_number(users: &Users, user: u32) -> usize {
    users.friends_of(user).iter().filter(|&&friend| friend != user).count()
}

/// The share of a user's friends who watched `video` strictly before `t`; 0 without friends.
pub fn share_of_friends(users: &Users, events: &Events, user: u32, video: u32, t: i64) -> f32 {
    let friends = users.friends_of(user).iter().filter(|&&friend| friend != user);
    let watched = friends.filter(|&&friend| watched_before(events, friend, t).contains_key(&video)).count();
    watched as f32 / friends_number(users, user).max(1) as f32
}

/// At most `n_max` videos that friends watched before `t` and the user did not, by weight, the best first; equal
/// ones in the order of their rows.
pub fn candidates(
    users: &Users,
    events: &Events,
    user: u32,
    t: i64,
    half_life_days: f32,
    n_max: usize,
) -> Vec<Shared> {
    let own = watched_before(events, user, t);
    let mut found = friends_videos(users, events, user, t, half_life_days);
    found.retain(|shared| !own.contains_key(&shared.video));
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.video.cmp(&b.video)));
    found.truncate(n_max);
    found
}

const MS_A_DAY: f64 = 86_400_000.0;

/// The newest time of each video that a user watched strictly before `t`.
fn watched_before(events: &Events, user: u32, t: i64) -> BTreeMap<u32, i64> {
    let start = events.users().partition_point(|&known| known < user);
    let mut newest = BTreeMap::new();
    for at in start..events.len() {
        let event = events.get(at);
        if event.user != user {
            break;
        }
        if event.time < t && !matches!(event.action, Action::Impression | Action::Hate) {
            let time = newest.entry(event.video).or_insert(event.time);
            *time = event.time.max(*time);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Event;

    const DAY: i64 = 86_400_000;

    fn event(user: u32, video: u32, action: Action, time: i64) -> Event {
        Event { user, video, action, time, value: None, ratio: None }
    }

    /// User 0 knows 1, 2 and 3. One day is the half-life; we stand at day 10.
    fn case() -> (Users, Events) {
        let mut users = Users::new();
        (0..4).for_each(|name| {
            users.intern(&name.to_string());
        });
        (1..4).for_each(|friend| users.befriend(0, friend));
        let log = [
            event(0, 5, Action::Watch, DAY),
            event(1, 5, Action::Watch, 9 * DAY),
            event(1, 7, Action::Watch, 8 * DAY),
            event(1, 7, Action::Like, 9 * DAY),
            event(2, 7, Action::Watch, 8 * DAY),
            event(2, 8, Action::Watch, 9 * DAY),
            event(2, 9, Action::Impression, 9 * DAY),
            event(3, 8, Action::Watch, 10 * DAY),
            event(3, 9, Action::Hate, 9 * DAY),
        ];
        (users, log.into_iter().collect())
    }

    #[test]
    fn friends_videos_by_hand() {
        let (users, events) = case();
        let found = friends_videos(&users, &events, 0, 10 * DAY, 1.0);
        // Video 7: friend 1 a day ago 0.5, friend 2 two days ago 0.25. Friend 3 watched 8 at day 10: not before.
        let third = 1.0 / 3.0;
        let expected = [
            Shared { video: 5, friends: 1, share: third, weight: 0.5 },
            Shared { video: 7, friends: 2, share: 2.0 / 3.0, weight: 0.75 },
            Shared { video: 8, friends: 1, share: third, weight: 0.5 },
        ];
        assert_eq!(found, expected);
        assert_eq!(friends_number(&users, 0), 3);
        assert_eq!(share_of_friends(&users, &events, 0, 8, 10 * DAY), third);
        assert_eq!(share_of_friends(&users, &events, 0, 8, 10 * DAY + 1), 2.0 / 3.0);
    }

    #[test]
    fn candidates_leave_out_what_was_watched_and_nobody_without_friends_has_any() {
        let (mut users, events) = case();
        let rows = |found: Vec<Shared>| found.iter().map(|shared| shared.video).collect::<Vec<_>>();
        assert_eq!(rows(candidates(&users, &events, 0, 10 * DAY, 1.0, 9)), [7, 8]);
        assert_eq!(rows(candidates(&users, &events, 0, 10 * DAY, 1.0, 1)), [7]);
        assert!(candidates(&users, &events, 1, 10 * DAY, 1.0, 9).is_empty());
        assert_eq!(share_of_friends(&users, &events, 1, 5, 10 * DAY), 0.0);
        // Who is entered as a friend of oneself is none.
        users.befriend(1, 1);
        assert!(candidates(&users, &events, 1, 10 * DAY, 1.0, 9).is_empty());
        assert_eq!(friends_number(&users, 1), 0);
    }
}
