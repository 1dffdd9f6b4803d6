//! One pass over events that come sorted by user: memory grows with users, videos and days, not with events.

use upnext_data::{Action, Event};

use super::target::Targets;
use super::time::TimeTally;

/// What is counted of a log.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Events seen.
    pub(crate) events: u64,
    /// Different pairs of user and video.
    pub(crate) pairs: u64,
    /// Events of each action, in the order of [`Action::ALL`].
    pub(crate) actions: [u64; Action::ALL.len()],
    /// Events without a value.
    pub(crate) without_value: u64,
    /// Events without a watch ratio.
    pub(crate) without_ratio: u64,
    /// Events of each user.
    pub(crate) of_user: Vec<u32>,
    /// Events of each video.
    pub(crate) of_video: Vec<u32>,
    /// Different users of each video.
    pub(crate) users_of_video: Vec<u32>,
    /// Events of each action and video, where the action occurs.
    pub(crate) actions_of_video: [Vec<u32>; Action::ALL.len()],
    /// What could be predicted.
    pub(crate) targets: Targets,
    /// When it happened; nothing where the set has no times.
    pub(crate) time: TimeTally,
    /// The first few.
    pub(crate) first: Vec<Event>,
    timed: bool,
    last_user_of: Vec<u32>,
}

/// Events shown as they are.
const PREVIEW: usize = 5;

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new(n_users: usize, n_videos: usize, timed: bool) -> Self {
        Self {
            events: 0,
            pairs: 0,
            actions: [0; Action::ALL.len()],
            without_value: 0,
            without_ratio: 0,
            of_user: vec![0; n_users],
            of_video: vec![0; n_videos],
            users_of_video: vec![0; n_videos],
            actions_of_video: Default::default(),
            targets: Targets::default(),
            time: TimeTally::default(),
            first: Vec::new(),
            timed,
            last_user_of: vec![u32::MAX; n_videos],
        }
    }

    /// Takes one event in. All events of a user come together.
    pub(crate) fn add(&mut self, event: &Event) {
        let (user, video) = (event.user as usize, event.video as usize);
        self.events += 1;
        self.without_value += u64::from(event.value.is_none());
        self.without_ratio += u64::from(event.ratio.is_none());
        self.of_user[user] += 1;
        self.of_video[video] += 1;
        if self.last_user_of[video] != event.user {
            self.last_user_of[video] = event.user;
            self.users_of_video[video] += 1;
            self.pairs += 1;
        }
        self.actions[event.action as usize] += 1;
        let of_action = &mut self.actions_of_video[event.action as usize];
        if of_action.is_empty() {
            of_action.resize(self.of_video.len(), 0);
        }
        of_action[video] += 1;
        self.targets.add(event, self.of_user.len(), self.of_video.len());
        if self.timed {
            self.time.add(event.time);
        }
        if self.first.len() < PREVIEW {
            self.first.push(*event);
        }
    }
}
