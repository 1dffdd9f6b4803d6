//! What was just served, by session and by user, so that the next page does not show it again. It lives as long as the
//! process does. It counts time by a clock that never goes back, whatever the requests' times say.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Request, ServedConfig};

/// The pages of sessions and of users.
pub(crate) struct Served {
    config: ServedConfig,
    pages: Mutex<HashMap<String, Pages>>,
}

struct Pages {
    used: Instant,
    videos: VecDeque<(Box<str>, Instant)>,
}

/// What must not be served again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// Outside ids.
    pub(crate) videos: Vec<Box<str>>,
    /// How many of them the session has seen.
    pub(crate) of_session: usize,
}

/// When this many of the remembered are gone, it is worth looking for the oldest again.
const FORGOTTEN_SHARE: usize = 16;

impl Served {
    pub(crate) fn new(config: ServedConfig) -> Self {
        Self { config, pages: Mutex::default() }
    }

    /// What a request must not be shown again.
    pub(crate) fn recall(&self, request: &Request, at: Instant) -> Recalled {
        let mut recalled = Recalled::default();
        if request.session.is_none() && self.config.user_minutes <= 0.0 {
            return recalled;
        }
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, minutes, is_session) in self.keys(request) {
            let Some(known) = pages.get_mut(&key) else { continue };
            known.expire(at, minutes);
            recalled.videos.extend(known.videos.iter().map(|(video, _)| video.clone()));
            if is_session {
                recalled.of_session = known.videos.len();
            }
        }
        recalled
    }

    /// That a request was answered with these.
    pub(crate) fn remember<'a>(
        &self,
        request: &Request,
        videos: impl Iterator<Item = &'a str> + Clone,
        at: Instant,
    ) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, minutes, _) in self.keys(request) {
            if !pages.contains_key(&key) {
                self.make_room(&mut pages);
            }
            let of = pages.entry(key).or_insert_with(|| Pages { used: at, videos: VecDeque::new() });
            of.used = at;
            of.expire(at, minutes);
            of.videos.extend(videos.clone().map(|video| (video.into(), at)));
            let beyond = of.videos.len().saturating_sub(self.config.places_max);
            of.videos.drain(..beyond);
        }
    }

    /// Under which names a request is remembered, and for how many minutes.
    fn keys(&self, request: &Request) -> impl Iterator<Item = (String, f64, bool)> {
        let session =
            request.session.as_ref().map(|id| (format!("session {id}"), self.config.session_minutes, true));
        let user = request.user.as_ref().filter(|_| self.config.user_minutes > 0.0);
        session.into_iter().chain(user.map(|id| (format!("user {id}"), self.config.user_minutes, false)))
    }

    /// Forgets those who were not here for longest.
    fn make_room(&self, pages: &mut HashMap<String, Pages>) {
        if pages.len() < self.config.sessions_max {
            return;
        }
        let mut used: Vec<Instant> = pages.values().map(|of| of.used).collect();
        let last = pages.len() - self.config.sessions_max + self.config.sessions_max / FORGOTTEN_SHARE;
        let (_, &mut oldest, _) = used.select_nth_unstable(last);
        pages.retain(|_, of| of.used > oldest);
    }
}

impl Pages {
    fn expire(&mut self, at: Instant, minutes: f64) {
        let life = Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX);
        self.videos.retain(|&(_, since)| at.saturating_duration_since(since) < life);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(session: &str) -> Request {
        Request { session: Some(session.into()), user: Some("ann".into()), ..Request::default() }
    }

    fn ids(recalled: &Recalled) -> Vec<&str> {
        recalled.videos.iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn a_session_forgets_what_is_too_old_or_too_much() {
        let served =
            Served::new(ServedConfig { session_minutes: 1.0, places_max: 3, ..ServedConfig::default() });
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        served.remember(&of("s"), ["a", "b"].into_iter(), start);
        served.remember(&of("s"), ["c", "d"].into_iter(), after(40));
        assert_eq!(ids(&served.recall(&of("s"), after(50))), ["b", "c", "d"]);
        assert_eq!(served.recall(&of("s"), after(50)).of_session, 3);
        assert_eq!(ids(&served.recall(&of("s"), after(60))), ["c", "d"]);
        // An earlier moment neither breaks it nor brings back what is gone.
        assert_eq!(ids(&served.recall(&of("s"), start)), ["c", "d"]);
        assert_eq!(served.recall(&of("other"), after(50)), Recalled::default());
    }

    #[test]
    fn the_sessions_are_bounded_and_the_last_used_stay() {
        let served = Served::new(ServedConfig { sessions_max: 32, ..ServedConfig::default() });
        let start = Instant::now();
        for at in 0..200 {
            served.remember(&of(&at.to_string()), ["a"].into_iter(), start + Duration::from_millis(at));
        }
        assert!(served.pages.lock().unwrap().len() <= 32);
        let known = |at: u32| !served.recall(&of(&at.to_string()), start).videos.is_empty();
        assert!(known(199) && known(180) && !known(100));
    }

    #[test]
    fn a_user_is_remembered_only_where_that_is_asked_for() {
        let request = Request { session: None, ..of("") };
        for (user_minutes, expected) in [(0.0, &[][..]), (5.0, &["a"])] {
            let served = Served::new(ServedConfig { user_minutes, ..ServedConfig::default() });
            served.remember(&request, ["a"].into_iter(), Instant::now());
            let recalled = served.recall(&request, Instant::now());
            assert_eq!((ids(&recalled), recalled.of_session), (expected.to_vec(), 0));
        }
    }
}
