//! A dataset: users, videos, and what happened between them.

use serde::{Deserialize, Serialize};

use crate::{Catalogue, Circumstance, Column, Daily, Event, Events, Interactions, Relevance, Users};

/// What a set knows about the order of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Every event has a time.
    Timed,
    /// Events of a user are in order, without times.
    Sequence,
    /// Nothing is known: models and splits that need an order are left out by name.
    Unordered,
}

/// The part of a set that comes already split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// To fit on.
    Train,
    /// To choose by.
    Validation,
    /// To look at once.
    Test,
}

/// A clean set of events, sorted by user, then time; ties keep their order in the file.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// A short name for tables, `movies` for example.
    pub name: String,
    /// Who acted.
    pub users: Users,
    /// On what.
    pub videos: Catalogue,
    /// What is known about order.
    pub order: Order,
    /// The platform's own statistics of each video and day.
    pub daily: Daily,
    /// Words, devices and places around events, sorted by user, then time.
    pub circumstances: Vec<Circumstance>,
    events: Events,
    parts: Option<Vec<Part>>,
}

impl Dataset {
    /// Sorts the events by user, then time, and keeps `parts` (one for each event, or none) beside them.
    ///
    /// # Panics
    /// If `parts` has another length than `events`, or an event names an unknown row.
    pub fn new(
        name: impl Into<String>,
        users: Users,
        videos: Catalogue,
        mut events: Events,
        order: Order,
        parts: Option<Vec<Part>>,
    ) -> Self {
        assert!(events.users().iter().all(|&u| (u as usize) < users.len()), "an event of an unknown user");
        assert!(events.videos().iter().all(|&v| (v as usize) < videos.len()), "an event of an unknown video");
        let sorted = events.sort();
        let parts = parts.map(|parts| {
            assert_eq!(parts.len(), sorted.len(), "one part for each event");
            sorted.iter().map(|&at| parts[at]).collect()
        });
        let (daily, circumstances) = Default::default();
        Self { name: name.into(), users, videos, order, daily, circumstances, events, parts }
    }

    /// The events, sorted by user, then time.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The part of each event, where the set comes already split.
    pub fn parts(&self) -> Option<&[Part]> {
        self.parts.as_deref()
    }

    /// One row for each (user, video) pair, judged by a rule.
    pub fn interactions(&self, rule: &Relevance) -> Interactions {
        Interactions::new(self.users.len(), self.videos.len(), self.events.iter(), rule)
    }

    /// The rows of all videos that occur in an event, sorted.
    pub fn videos_in_events(&self) -> Vec<u32> {
        let mut occurs = vec![false; self.videos.len()];
        for &video in self.events.videos() {
            occurs[video as usize] = true;
        }
        (0..self.videos.len() as u32).filter(|&v| occurs[v as usize]).collect()
    }

    /// A digest of users, videos and events, the same on every machine: 16 hex digits.
    pub fn digest(&self) -> String {
        let mut digest = Digest::new(self);
        let mut bytes = Vec::new();
        for event in self.events.iter() {
            Digest::event_into(&event, &mut bytes);
            if bytes.len() >= 1 << 16 {
                digest.update(&bytes);
                bytes.clear();
            }
        }
        digest.update(&bytes);
        let parts: Vec<u8> = self.parts.iter().flatten().map(|&part| part as u8).collect();
        digest.update(&parts);
        digest.finish(self)
    }

    /// What lies beside the events; nothing is hashed where there is nothing.
    fn digest_beside(&self, hasher: &mut blake3::Hasher) {
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        for (name, column) in self.users.attributes.iter().chain(self.videos.attributes.iter()) {
            text(name);
            match column {
                Column::Number(values) => values.iter().for_each(|value| text(&value.to_string())),
                Column::Category { codes, values } => codes.iter().for_each(|&code| {
                    text(if code == Column::MISSING { "" } else { values.name(code) });
                }),
                Column::Text(texts) => texts.iter().for_each(|value| text(value)),
            }
        }
        for (name, values) in self.daily.measures() {
            text(name);
            for ((video, day), value) in self.daily.videos().iter().zip(self.daily.days()).zip(values) {
                text(&format!("{video} {day} {value}"));
            }
        }
        for user in 0..self.users.len() as u32 {
            for friend in self.users.friends_of(user) {
                text(&format!("{user} {friend}"));
            }
        }
        self.circumstances.iter().for_each(|circumstance| text(&format!("{circumstance:?}")));
    }
}

/// The digest of a set whose events pass by: what [`Dataset::digest`] says of the set that holds them all.
#[derive(Clone, Debug)]
pub struct Digest(blake3::Hasher);

impl Digest {
    /// Begins with the users and videos of a set; its events are not looked at.
    pub fn new(set: &Dataset) -> Self {
        let mut hasher = blake3::Hasher::new();
        for name in set.users.names().iter().chain(set.videos.names().iter()) {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        for (row, video) in set.videos.videos().iter().enumerate() {
            for text in [&video.title, &video.text] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
            // By name: the rows of labels depend on the order in which a reader met them.
            let mut labels: Vec<&str> = video.labels.iter().map(|&l| set.videos.labels.name(l)).collect();
            labels.sort_unstable();
            for label in labels {
                hasher.update(&(row as u32).to_le_bytes());
                hasher.update(label.as_bytes());
            }
        }
        Self(hasher)
    }

    /// What an event adds.
    #[inline]
    pub fn event_into(event: &Event, bytes: &mut Vec<u8>) {
        let Event { user, video, action, time, value, ratio } = *event;
        bytes.extend_from_slice(&user.to_le_bytes());
        bytes.extend_from_slice(&video.to_le_bytes());
        bytes.push(action as u8);
        bytes.extend_from_slice(&time.to_le_bytes());
        // A missing number is hashed as one fixed NaN.
        bytes.extend_from_slice(&value.unwrap_or(f32::NAN).to_bits().to_le_bytes());
        bytes.extend_from_slice(&ratio.unwrap_or(f32::NAN).to_bits().to_le_bytes());
    }

    /// Takes all events in their order, in pieces of any length, and after the last the parts, a byte each.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Ends with what lies beside the events of the set.
    pub fn finish(mut self, set: &Dataset) -> String {
        set.digest_beside(&mut self.0);
        self.0.finalize().to_hex()[..16].to_string()
    }
}
