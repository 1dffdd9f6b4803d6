//! Who wanted each video, and what they wanted next: what neighbours of users and true words are made of.

use upnext_data::Interactions;

/// The positives of a run by user, in their order, and by video. About twelve bytes a positive.
#[derive(Debug)]
pub struct Audience {
    /// Where each user's sequence begins, and the end of the last.
    user_starts: Vec<u32>,
    /// Wanted videos, user after user, each oldest first.
    sequences: Vec<u32>,
    /// Where each video's places begin, and the end of the last.
    video_starts: Vec<u32>,
    /// Places in `sequences`, video after video.
    places: Vec<u32>,
    /// The user of each place.
    users: Vec<u32>,
}

/// Viewers of a video who are asked what they wanted next: a sentence needs no more.
const SAMPLED: usize = 4_096;

/// "Soon after" is within this many wanted videos.
const SOON: usize = 3;

impl Audience {
    /// Of a run's pairs; fewer than 2^32 of them.
    pub fn new(pairs: &Interactions) -> Self {
        let mut user_starts = vec![0];
        let mut sequences = Vec::new();
        for rows in pairs.users() {
            sequences.extend(rows.iter().filter(|row| row.is_positive()).map(|row| row.video));
            user_starts.push(sequences.len() as u32);
        }
        let mut video_starts = vec![0u32; pairs.n_videos() + 1];
        for &video in &sequences {
            video_starts[video as usize + 1] += 1;
        }
        for video in 0..pairs.n_videos() {
            video_starts[video + 1] += video_starts[video];
        }
        let mut next = video_starts.clone();
        let mut places = vec![0; sequences.len()];
        let mut users = vec![0; sequences.len()];
        for user in 0..user_starts.len() - 1 {
            for place in user_starts[user]..user_starts[user + 1] {
                let at = &mut next[sequences[place as usize] as usize];
                places[*at as usize] = place;
                users[*at as usize] = user as u32;
                *at += 1;
            }
        }
        Self { user_starts, sequences, video_starts, places, users }
    }

    fn range(&self, video: u32) -> std::ops::Range<usize> {
        match self.video_starts.get(video as usize..video as usize + 2) {
            Some(&[from, to]) => from as usize..to as usize,
            _ => 0..0,
        }
    }

    /// The users who wanted a video, in order.
    pub fn of(&self, video: u32) -> &[u32] {
        &self.users[self.range(video)]
    }

    /// How many videos a user wanted.
    pub fn n_wanted(&self, user: u32) -> u32 {
        self.user_starts[user as usize + 1] - self.user_starts[user as usize]
    }

    /// Of those who wanted `video`, how many wanted `other` too, at any time; and how many they are.
    pub fn shared(&self, video: u32, other: u32) -> (usize, usize) {
        // Both are in the order of users.
        let others = self.of(other);
        let all = self.of(video);
        (all.iter().filter(|user| others.binary_search(user).is_ok()).count(), all.len())
    }

    /// Of those who wanted `video`, how many wanted `next` within the three after it; and how many they are. Of more than 4,096
    /// an even sample is asked.
    pub fn soon_after(&self, video: u32, next: u32) -> (usize, usize) {
        let range = self.range(video);
        let range = range.clone().step_by(range.len().div_ceil(SAMPLED).max(1));
        let all = range.len();
        let followed = range.filter(|&at| {
            let place = self.places[at] as usize;
            let end = self.user_starts[self.users[at] as usize + 1] as usize;
            self.sequences[place + 1..end.min(place + 1 + SOON)].contains(&next)
        });
        (followed.count(), all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Interaction, Judgement};

    #[test]
    fn it_counts_who_went_on_to_what() {
        let sequence = |videos: &[u32]| {
            let row = |&video: &u32| Interaction {
                video,
                time: 0,
                value: None,
                judgement: Judgement::Positive,
                actions: upnext_data::Actions::default(),
            };
            videos.iter().map(row).collect::<Vec<_>>()
        };
        let users = vec![sequence(&[0, 1, 2]), sequence(&[0, 3, 4, 2, 1]), vec![], sequence(&[1, 0])];
        let audience = Audience::new(&Interactions::from_users(6, users));
        assert_eq!(audience.of(0), [0, 1, 3]);
        assert_eq!((audience.n_wanted(1), audience.n_wanted(2)), (5, 0));
        assert_eq!(audience.soon_after(0, 2), (2, 3));
        // The fourth after it is not soon any more, and what comes before never counts.
        assert_eq!(audience.soon_after(0, 1), (1, 3));
        assert_eq!(audience.soon_after(5, 1), (0, 0));
        assert_eq!((audience.shared(0, 1), audience.shared(1, 4)), ((3, 3), (1, 3)));
    }
}
