//! What changes, as it changes: server-sent events for live pages.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::AppState;
use crate::error::ApiError;
use crate::extract::Params;

/// After this a stream ends, and a browser comes back by itself: with a key that may have been revoked meanwhile.
const STREAM_MAX: Duration = Duration::from_secs(10 * 60);
/// How often a quiet stream says that it lives.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// Changes that a slow listener may be behind; one that is further behind is told that it missed some.
const BEHIND_MAX: usize = 256;

/// What changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Events of a user were counted.
    Events { user: String, n: usize },
    /// What a user had said was deleted.
    TakenBack { user: String, n: usize },
    /// Another feed, or other rules: every slate may be another.
    Feed,
}

/// Where changes are told.
pub(crate) struct Changes(Sender<Change>);

impl Default for Changes {
    fn default() -> Self {
        Self(channel(BEHIND_MAX).0)
    }
}

impl Changes {
    /// Whether nobody listens: then there is nothing to tell.
    pub(crate) fn are_for_nobody(&self) -> bool {
        self.0.receiver_count() == 0
    }

    pub(crate) fn tell(&self, change: Change) {
        // Nobody listens: that is no fault.
        let _ = self.0.send(change);
    }
}

struct Listening {
    state: AppState,
    user: Option<String>,
    changes: Receiver<Change>,
    stopping: watch::Receiver<bool>,
    end: Instant,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn live(State(state): State<AppState>, params: Params) -> Result<Response, ApiError> {
    params.only(&["user"])?;
    let user = params.one("user").map(str::to_owned);
    user.iter().try_for_each(|user| state.check_id("user", user))?;
    let Ok(place) = state.listeners().try_acquire_owned() else {
        return Err(ApiError::unavailable("busy", "too many pages listen already", 30));
    };
    let listening = Listening {
        user,
        changes: state.changes().0.subscribe(),
        stopping: state.shared().stopping(),
        end: Instant::now() + STREAM_MAX,
        greeted: false,
        state,
        _place: place,
    };
    let events = unfold(listening, |mut listening| async {
        let event = listening.next().await?;
        Some((Ok::<_, Infallible>(event), listening))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(QUIET_MAX)).into_response())
}

impl Listening {
    /// The next change that concerns the listener; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.event("hello", 0));
        }
        loop {
            let change = tokio::select! {
                change = self.changes.recv() => change,
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                () = tokio::time::sleep_until(self.end) => return None,
            };
            match change {
                Ok(Change::Events { user, n }) if self.user.as_ref().is_none_or(|own| *own == user) => {
                    return Some(self.event("events", n));
                }
                Ok(Change::TakenBack { user, n }) if self.user.as_ref().is_none_or(|own| *own == user) => {
                    return Some(self.event("taken_back", n));
                }
                Ok(Change::Events { .. } | Change::TakenBack { .. }) => {}
                Ok(Change::Feed) => return Some(self.event("feed", 0)),
                Err(RecvError::Lagged(_)) => return Some(self.event("missed", 0)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// A slate that was made at another version may be another. Nobody else's name is told.
    fn event(&self, kind: &str, n: usize) -> Event {
        let version = self.user.as_ref().map(|user| self.state.store().user_version(user));
        Event::default().event(kind).data(json!({"events": n, "version": version}).to_string())
    }
}
