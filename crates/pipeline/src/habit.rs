//! What people want at an hour of the day, and on a device: what is known of a stranger who has just come.

use std::collections::HashMap;

use upnext_data::{Dataset, Interactions, Order};

/// Counts of the run's positives by six hours of the day, and of its events by device, where it tells them: four bytes for
/// each video and part of the day, and for each of at most 16 devices.
pub struct Habits {
    hours: Vec<Counts>,
    devices: HashMap<String, Counts>,
}

/// How often each video was wanted.
#[derive(Clone)]
struct Counts {
    of: Vec<u32>,
    most: u32,
}

/// The parts of a day.
const PARTS: usize = 4;
/// Devices that are told apart, the first that the log names.
const DEVICES_MAX: usize = 16;
const HOUR_MILLISECONDS: i64 = 3_600_000;

impl Counts {
    fn none(n_videos: usize) -> Self {
        Self { of: vec![0; n_videos], most: 0 }
    }

    fn add(&mut self, video: u32) {
        let count = &mut self.of[video as usize];
        *count += 1;
        self.most = self.most.max(*count);
    }

    /// From 0 to 1 on a logarithmic scale: 1 is the most wanted video.
    fn level(&self, video: u32) -> f64 {
        let count = self.of.get(video as usize).copied().unwrap_or(0);
        if self.most == 0 { 0.0 } else { f64::from(count).ln_1p() / f64::from(self.most).ln_1p() }
    }
}

impl Habits {
    /// Of a run; by hours only where its events have times, in the clock of these (UTC).
    pub fn new(dataset: &Dataset, pairs: &Interactions) -> Self {
        let n = dataset.videos.len();
        let mut hours = vec![Counts::none(n); PARTS];
        if dataset.order == Order::Timed {
            for pair in pairs.rows().iter().filter(|pair| pair.is_positive()) {
                hours[part_of(pair.time.div_euclid(HOUR_MILLISECONDS).rem_euclid(24) as u8)].add(pair.video);
            }
        }
        let mut devices: HashMap<String, Counts> = HashMap::new();
        for around in dataset.circumstances.iter().filter(|around| !around.device.is_empty()) {
            let device = around.device.to_lowercase();
            if let Some(video) =
                around.video.filter(|_| devices.len() < DEVICES_MAX || devices.contains_key(&device))
            {
                devices.entry(device).or_insert_with(|| Counts::none(n)).add(video);
            }
        }
        Self { hours, devices }
    }

    /// How much a video is wanted at an hour, 0 to 1.
    pub fn at_hour(&self, hour: u8, video: u32) -> f64 {
        self.hours[part_of(hour)].level(video)
    }

    /// How much a video is looked at on a device, 0 to 1; 0 on one that the run does not know.
    pub fn on_device(&self, device: &str, video: u32) -> f64 {
        self.devices.get(&device.to_lowercase()).map_or(0.0, |counts| counts.level(video))
    }
}

fn part_of(hour: u8) -> usize {
    usize::from(hour % 24) / (24 / PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Action, Catalogue, Circumstance, Event, Events, Relevance, Users};

    #[test]
    fn the_evening_wants_something_else_than_the_morning() {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        let (news, film) = (videos.intern("news"), videos.intern("film"));
        for at in 0..6u32 {
            let user = users.intern(&at.to_string());
            let (video, hour) = if at < 4 { (news, 7) } else { (film, 21) };
            let time = (i64::from(at) * 24 + hour) * HOUR_MILLISECONDS;
            events.push(Event { user, video, action: Action::Like, time, value: None, ratio: None });
        }
        let mut dataset = Dataset::new("day", users, videos, events, Order::Timed, None);
        dataset.circumstances.push(Circumstance {
            user: 0,
            video: Some(film),
            action: Action::Watch,
            time: 0,
            text: String::new(),
            device: "TV".into(),
            place: None,
        });
        let pairs = dataset.interactions(&Relevance::default());
        let habits = Habits::new(&dataset, &pairs);
        assert_eq!([news, film].map(|video| habits.at_hour(8, video)), [1.0, 0.0]);
        assert_eq!([news, film].map(|video| habits.at_hour(23, video)), [0.0, 1.0]);
        assert_eq!([news, film].map(|video| habits.at_hour(3, video)), [0.0, 0.0]);
        assert_eq!([news, film].map(|video| habits.on_device("tv", video)), [0.0, 1.0]);
        assert_eq!(habits.on_device("fridge", film), 0.0);

        dataset.order = Order::Sequence;
        assert_eq!(Habits::new(&dataset, &pairs).at_hour(8, news), 0.0, "times that mean nothing");
    }
}
