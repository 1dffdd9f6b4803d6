//! Generated cold starts: made-up users with three interactions each, and made-up videos with none.
//!
//! They show what a feed does for somebody, or with something, it has hardly seen. Nobody is behind them: every
//! name starts with `generated-cold-`, so that no list, report or table can take them for real ones.

use crate::split::mix;
use crate::{Dataset, Event, Interactions, Judgement, Order, Part, Query, Relevance};

/// What the names of generated users and videos start with.
pub const GENERATED_COLD: &str = "generated-cold-";
/// Interactions of a generated cold user.
pub const COLD_INTERACTIONS: usize = 3;

/// Cold users and videos beside a set.
#[derive(Clone, Debug)]
pub struct WithCold {
    /// The set with rows for them, which come last, and with its own events only: whatever is fitted on or
    /// measured over these has seen nothing that is made up.
    pub set: Dataset,
    /// Rows of the generated users.
    pub users: Vec<u32>,
    /// Rows of the generated videos.
    pub videos: Vec<u32>,
    /// What the generated users did, by user, then time.
    pub interactions: Vec<Event>,
}

/// Makes up users who each wanted three of the hundred most popular videos, drawn by popularity, and videos that
/// nobody has seen. A generated video takes labels, creator and length of a real one drawn at random, so that
/// models of content have something to go by; its title says that it is generated.
///
/// The interactions copy the newest real events of those videos that the rule calls wanted: same kind, value and
/// ratio, a second apart before the set's last event.
pub fn with_cold(
    set: &Dataset,
    relevance: &Relevance,
    n_users: usize,
    n_videos: usize,
    seed: u64,
) -> WithCold {
    let (mut users, mut videos) = (set.users.clone(), set.videos.clone());
    let real_videos = videos.len();
    let taken_user = |name: &str| set.users.row(name).is_some();
    let user_rows = (0..n_users)
        .map(|n| users.intern(&free_name(format!("{GENERATED_COLD}user-{n}"), taken_user)))
        .collect::<Vec<_>>();
    let taken_video = |name: &str| set.videos.row(name).is_some();
    let mut video_rows = Vec::new();
    for n in 0..n_videos {
        let row = videos.intern(&free_name(format!("{GENERATED_COLD}video-{n}"), taken_video));
        if real_videos > 0 {
            let like = (mix(mix(seed ^ 1) ^ n as u64) % real_videos as u64) as u32;
            let facts = set.videos.video(like).clone();
            let title = format!("generated cold video {n}");
            *videos.video_mut(row) = crate::Video { title, text: String::new(), ..facts };
        }
        video_rows.push(row);
    }
    users.attributes.extend_missing(users.len());
    videos.attributes.extend_missing(videos.len());
    let wanted = popular(set, relevance);
    let last = set.events().times().iter().copied().max().unwrap_or(0);
    let mut interactions = Vec::new();
    for (n, &user) in user_rows.iter().enumerate() {
        for (at, event) in draw(&wanted, mix(mix(seed) ^ n as u64)).into_iter().enumerate() {
            let time = match set.order {
                Order::Timed => last - ((COLD_INTERACTIONS - at) as i64) * 1_000,
                Order::Sequence | Order::Unordered => 0,
            };
            interactions.push(Event { user, time, ..event });
        }
    }
    let parts = set.parts().map(<[Part]>::to_vec);
    let mut with = Dataset::new(set.name.clone(), users, videos, set.events().clone(), set.order, parts);
    with.daily = set.daily.clone();
    with.circumstances = set.circumstances.clone();
    WithCold { set: with, users: user_rows, videos: video_rows, interactions }
}

impl WithCold {
    /// The set with the generated interactions among its events, in the part to train on.
    pub fn joined(&self) -> Dataset {
        let events = self.set.events().iter().chain(self.interactions.iter().copied()).collect();
        let parts = self.set.parts().map(|parts| {
            let more = std::iter::repeat_n(Part::Train, self.interactions.len());
            parts.iter().copied().chain(more).collect()
        });
        let (users, videos) = (self.set.users.clone(), self.set.videos.clone());
        let mut joined = Dataset::new(self.set.name.clone(), users, videos, events, self.set.order, parts);
        joined.daily = self.set.daily.clone();
        joined.circumstances = self.set.circumstances.clone();
        joined
    }

    /// One question for each generated user: after all interactions but the last, which one comes?
    pub fn questions(&self, relevance: &Relevance) -> Vec<Query> {
        let (n_users, n_videos) = (self.set.users.len(), self.set.videos.len());
        let all = Interactions::new(n_users, n_videos, self.interactions.iter().copied(), relevance);
        self.users
            .iter()
            .filter_map(|&user| {
                let (last, before) = all.of(user).split_last()?;
                let history = Interactions::history_of(before);
                let at = (last.time != 0).then_some(last.time);
                Some(Query { user, masked: history.seen(), history, relevant: vec![last.video], at })
            })
            .collect()
    }
}

/// A name that is not taken.
fn free_name(name: String, taken: impl Fn(&str) -> bool) -> String {
    let mut free = name;
    while taken(&free) {
        free.push('+');
    }
    free
}

/// The hundred videos that most users wanted, with how many, and the newest event that says so.
fn popular(set: &Dataset, relevance: &Relevance) -> Vec<(u32, Event)> {
    let counts = set.interactions(relevance).popularity();
    let mut newest: Vec<Option<Event>> = vec![None; set.videos.len()];
    let trained = |at: usize| set.parts().is_none_or(|parts| parts[at] == Part::Train);
    for (at, event) in set.events().iter().enumerate() {
        let known = &mut newest[event.video as usize];
        let newer = known.is_none_or(|known| event.time >= known.time);
        if newer && trained(at) && relevance.judge(&event) == Judgement::Positive {
            *known = Some(event);
        }
    }
    let mut popular: Vec<(u32, Event)> =
        newest.into_iter().flatten().map(|event| (counts[event.video as usize], event)).collect();
    popular.sort_by_key(|&(count, event)| (std::cmp::Reverse(count), event.video));
    popular.truncate(100);
    popular
}

/// Three different videos, each with the chance its popularity gives it.
fn draw(popular: &[(u32, Event)], mut state: u64) -> Vec<Event> {
    let mut left = popular.to_vec();
    let mut drawn: Vec<Event> = Vec::new();
    while drawn.len() < COLD_INTERACTIONS && !left.is_empty() {
        let total: u64 = left.iter().map(|&(count, _)| u64::from(count)).sum();
        state = mix(state);
        let mut point = state % total.max(1);
        let at = left.iter().position(|&(count, _)| {
            let here = point < u64::from(count);
            point = point.saturating_sub(u64::from(count));
            here
        });
        drawn.push(left.remove(at.unwrap_or(0)).1);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Catalogue, Column, Users};

    fn set() -> Dataset {
        let (mut users, mut videos) = (Users::new(), Catalogue::new());
        (0..4).for_each(|user| _ = users.intern(&user.to_string()));
        (0..6).for_each(|video| _ = videos.intern(&video.to_string()));
        videos.attributes.set("width", Column::Number(vec![720.0; 6]));
        // Videos 0 to 3 are liked by four, three, two users and one; the others by nobody.
        let events = (0..4u32)
            .flat_map(|video| (video..4).map(move |user| (user, video)))
            .map(|(user, video)| Event {
                user,
                video,
                action: Action::Like,
                time: 10_000,
                value: Some(1.0),
                ratio: None,
            })
            .collect();
        Dataset::new("tiny", users, videos, events, Order::Timed, None)
    }

    #[test]
    fn cold_users_have_three_popular_videos_and_cold_videos_have_nobody() {
        let cold = with_cold(&set(), &Relevance::default(), 2, 1, 5);
        let with = cold.joined();
        assert_eq!((with.users.len(), with.videos.len(), with.events().len()), (6, 7, 16));
        assert_eq!(cold.set.events().len(), 10);
        for &user in &cold.users {
            assert!(with.users.name(user).starts_with(GENERATED_COLD));
            let mut seen: Vec<u32> =
                with.events().iter().filter(|event| event.user == user).map(|event| event.video).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), COLD_INTERACTIONS);
            assert!(seen.iter().all(|&video| video < 4));
        }
        assert!(with.events().videos().iter().all(|video| !cold.videos.contains(video)));
        assert_eq!(with.videos.name(cold.videos[0]), "generated-cold-video-0");
        assert!(with.videos.video(cold.videos[0]).title.starts_with("generated"));
        assert!(with.videos.attributes.numbers("width").unwrap()[6].is_nan());
        let questions = cold.questions(&Relevance::default());
        assert_eq!((questions.len(), questions[0].masked.len(), questions[0].relevant.len()), (2, 2, 1));
    }

    #[test]
    fn the_same_seed_adds_the_same() {
        let digest = |seed| with_cold(&set(), &Relevance::default(), 20, 2, seed).joined().digest();
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }
}
