//! The taste map as a viewer meets it: its points, one video and what is near it, the viewer's path through it, and
//! the journey: how profile and feed changed with each event.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use upnext_data::{History, Judgement};
use upnext_map::{Chance, Group, Map};

use crate::feed::{Feed, now};
use crate::look::HistoryItem;
use crate::viewer::PastVideo;
use crate::{Request, Stock};

/// What an event counts in a profile that no model makes: wanted, watched without a word, refused. Like Rocchio's
/// (1971), with the share of what is refused kept small.
const WANTED: f32 = 1.0;
const WATCHED: f32 = 0.5;
const REFUSED: f32 = -0.25;
/// What stays of an older event with each newer one.
const DECAY: f32 = 0.9;
/// Videos that are lit as recommended.
const LIT: usize = 12;
/// Videos of a slate in the journey.
const SLATE: usize = 10;
/// Groups of a profile that are named.
const GROUPS: usize = 3;

/// All points, as a page loads them.
#[derive(Debug, Serialize)]
pub struct MapView<'a> {
    status: &'static str,
    /// The drawn space.
    space: &'a str,
    /// Its dimensions.
    width: usize,
    /// Videos of the run.
    videos: usize,
    /// Videos that the space does not know, and which are not drawn.
    unknown: usize,
    /// Points that the numbers below were measured on.
    measured: usize,
    /// Outside ids, a point each.
    ids: Vec<&'a str>,
    /// Points that must not be shown.
    hidden: Vec<u32>,
    groups: &'a [Group],
    /// The number of each point's group, -1 of none.
    group: Vec<i16>,
    projections: Vec<ProjectionView<'a>>,
    modalities: Vec<ModalityView<'a>>,
}

#[derive(Debug, Serialize)]
struct ProjectionView<'a> {
    name: &'a str,
    /// Three whole numbers a point, in ten-thousandths; nearly all from -10000 to 10000.
    places: Vec<i32>,
    variance: Option<f32>,
    trustworthiness: Option<f64>,
    purity: Option<Chance>,
    silhouette: Option<Chance>,
}

#[derive(Debug, Serialize)]
struct ModalityView<'a> {
    name: &'a str,
    known: usize,
    width: usize,
    purity: Option<Chance>,
    silhouette: Option<Chance>,
}

/// One video of the map.
#[derive(Debug, PartialEq, Serialize)]
pub struct OnMap {
    /// Outside id.
    pub id: String,
    /// The title, or the id where there is none.
    pub title: String,
    /// Year of release.
    pub year: Option<i32>,
    /// Labels by kind.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Its point.
    pub point: u32,
    /// The nearest by each modality that knows it: its name, and videos, nearest first.
    pub near: Vec<(String, Vec<Named>)>,
}

/// A video by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Outside id.
    pub id: String,
    /// The title.
    pub title: String,
    /// Its point; `None` where it is not drawn.
    pub point: Option<u32>,
}

/// A viewer's way through the map.
#[derive(Debug, Serialize)]
pub struct Path {
    /// Who.
    pub user: String,
    /// Videos of the whole past.
    pub total: usize,
    /// The newest steps, oldest first.
    pub steps: Vec<PathStep>,
    /// What would be shown now.
    pub recommended: Vec<Named>,
}

/// A step of the way: an event, and where the viewer stood after it.
#[derive(Debug, Serialize)]
pub struct PathStep {
    /// What happened.
    #[serde(flatten)]
    pub event: HistoryItem,
    /// The video's point; `None` where it is not drawn.
    pub point: Option<u32>,
    /// The viewer's place in each projection; `None` while nothing is known of the viewer.
    pub places: Option<Vec<[f32; 3]>>,
}

/// How a viewer's profile and feed changed with each event.
#[derive(Debug, Serialize)]
pub struct Journey {
    /// Who.
    pub user: String,
    /// Videos of the whole past.
    pub total: usize,
    /// What was shown before the first of the steps.
    pub before: Vec<Named>,
    /// The newest events, oldest first.
    pub steps: Vec<JourneyStep>,
}

/// One event, and what it changed.
#[derive(Debug, Serialize)]
pub struct JourneyStep {
    /// What happened.
    #[serde(flatten)]
    pub event: HistoryItem,
    /// The cosine of the profiles before and after; `None` where one of them is empty.
    pub cosine: Option<f32>,
    /// The groups of the points nearest to the profile after, with their shares, largest first.
    pub groups: Vec<(String, f32)>,
    /// What is shown after.
    pub slate: Vec<Named>,
    /// Videos of it that were not shown before.
    pub came: Vec<String>,
    /// Videos that were, and are not any more.
    pub went: Vec<Named>,
}

impl Feed {
    /// The map's points. It must be of this run.
    pub fn map<'a>(&'a self, map: &'a Map) -> MapView<'a> {
        let stock = self.stock(now());
        let points = 0..map.n_points() as u32;
        let whole = |x: &f32| (x * 10_000.0).round() as i32;
        MapView {
            status: "ready",
            space: &map.modalities[0].name,
            width: map.width(),
            videos: map.n_rows,
            unknown: map.n_unknown,
            measured: map.n_measured,
            ids: map.rows().iter().map(|&row| self.dataset.videos.name(row)).collect(),
            hidden: points.clone().filter(|&point| stock.is_hidden(map.rows()[point as usize])).collect(),
            groups: &map.groups,
            group: points.map(|point| map.group(point).map_or(-1, i16::from)).collect(),
            projections: (map.projections.iter())
                .map(|projection| ProjectionView {
                    name: &projection.name,
                    places: projection.places.iter().map(whole).collect(),
                    variance: projection.variance,
                    trustworthiness: projection.trustworthiness,
                    purity: projection.purity,
                    silhouette: projection.silhouette,
                })
                .collect(),
            modalities: (map.modalities.iter())
                .map(|modality| ModalityView {
                    name: &modality.name,
                    known: modality.n_known,
                    width: modality.width,
                    purity: modality.purity,
                    silhouette: modality.silhouette,
                })
                .collect(),
        }
    }

    /// One video and what is near it; `None` where it is not on the map or must not be shown.
    pub fn on_map(&self, map: &Map, video: &str) -> Option<OnMap> {
        let stock = self.stock(now());
        let row = stock.row(video).filter(|&row| !stock.is_hidden(row))?;
        let point = map.point(row)?;
        let card = self.card(video)?;
        let near = |(at, modality): (usize, &upnext_map::Modality)| {
            let rows = map.near(at, point).map(|other| map.rows()[other as usize]);
            let shown = rows.filter(|&other| !stock.is_hidden(other));
            let videos: Vec<Named> = shown.map(|other| named(map, &stock, other)).collect();
            (!videos.is_empty()).then(|| (modality.name.clone(), videos))
        };
        let near = map.modalities.iter().enumerate().filter_map(near).collect();
        Some(OnMap { id: card.id, title: card.title, year: card.year, labels: card.labels, point, near })
    }

    /// A viewer's way through the map, and what would be shown now.
    pub fn path(&self, map: &Map, user: &str) -> Path {
        let stock = self.stock(now());
        let past = self.past(user);
        let first = past.len().saturating_sub(self.config.path_events_max);
        let profiles = self.profiles(map, &past, first);
        let places = map.place(&profiles[1..]);
        let step = |(past, placed): (&PastVideo, Option<upnext_map::Placed>)| PathStep {
            event: HistoryItem::of(past, &stock),
            point: map.point(past.row),
            places: placed.map(|placed| placed.places),
        };
        Path {
            user: user.to_string(),
            total: past.len(),
            steps: past[first..].iter().zip(places).map(step).collect(),
            recommended: self.slate(map, &stock, user, LIT, 0),
        }
    }

    /// How profile and feed changed with each of the newest events: every one is taken back, and the feed asked
    /// again. The models are today's.
    pub fn journey(&self, map: &Map, user: &str) -> Journey {
        let stock = self.stock(now());
        let past = self.past(user);
        let first = past.len().saturating_sub(self.config.journey_events_max);
        let profiles = self.profiles(map, &past, first);
        let placed = map.place(&profiles);
        let before = self.slate(map, &stock, user, SLATE, past.len() - first);
        let mut steps: Vec<JourneyStep> = Vec::new();
        for (at, past_video) in past.iter().enumerate().skip(first) {
            let shown = steps.last().map_or(&before, |step| &step.slate);
            let slate = self.slate(map, &stock, user, SLATE, past.len() - at - 1);
            let ids = |slate: &[Named]| slate.iter().map(|one| one.id.clone()).collect::<HashSet<String>>();
            let (old, new) = (ids(shown), ids(&slate));
            steps.push(JourneyStep {
                event: HistoryItem::of(past_video, &stock),
                cosine: cosine(&profiles[at - first], &profiles[at - first + 1]),
                groups: placed[at - first + 1].as_ref().map_or_else(Vec::new, |placed| groups(map, placed)),
                came: slate.iter().map(|one| one.id.clone()).filter(|id| !old.contains(id)).collect(),
                went: shown.iter().filter(|one| !new.contains(&one.id)).cloned().collect(),
                slate,
            });
        }
        Journey { user: user.to_string(), total: past.len(), before, steps }
    }

    fn slate(&self, map: &Map, stock: &Stock, user: &str, n: usize, forget: usize) -> Vec<Named> {
        let request = Request { user: Some(user.into()), n, now: now(), forget, ..Request::default() };
        let slate = self.pipeline.run(&request).slate;
        slate.iter().filter_map(|slot| Some(named(map, stock, stock.row(&slot.video)?))).collect()
    }

    /// The viewer's vector in the drawn space after the first `first` videos of a past, and after each that
    /// follows: the tower's of the model whose space it is, else the mean of the videos' vectors, older ones less.
    fn profiles(&self, map: &Map, past: &[PastVideo], first: usize) -> Vec<Vec<f32>> {
        let name = &map.modalities[0].name;
        let mut models = self.viewers.models().iter().filter(|model| model.name() == name);
        let tower = models.find_map(|model| model.tower()).filter(|t| t.items().n_columns() == map.width());
        if let Some(tower) = tower {
            let known: Vec<&PastVideo> =
                past.iter().filter(|video| (video.row as usize) < self.dataset.videos.len()).collect();
            let until = |end: usize| {
                let unknown =
                    past[..end].iter().filter(|video| video.row as usize >= self.dataset.videos.len());
                let seen = &known[..end - unknown.count()];
                let newest = &seen[seen.len().saturating_sub(self.config.history_events_max)..];
                tower.user(&History::new(newest.iter().map(|video| video.as_past())))
            };
            return (first..=past.len()).map(until).collect();
        }
        let mut profile = vec![0.0; map.width()];
        let mut profiles = Vec::new();
        for end in 0..=past.len() {
            if let Some(video) = end.checked_sub(1).map(|at| &past[at])
                && let Some(point) = map.point(video.row).filter(|_| !video.only_shown)
            {
                let weight = match video.judgement {
                    Judgement::Positive => WANTED,
                    Judgement::Neutral => WATCHED,
                    Judgement::Negative => REFUSED,
                };
                for (sum, x) in profile.iter_mut().zip(map.vector(point)) {
                    *sum = DECAY * *sum + weight * x;
                }
            }
            if end >= first {
                profiles.push(profile.clone());
            }
        }
        profiles
    }
}

fn named(map: &Map, stock: &Stock, row: u32) -> Named {
    Named { id: stock.id(row).into(), title: stock.title(row).into(), point: map.point(row) }
}

fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    (norms > 0.0).then(|| (dot(a, b) / norms).clamp(-1.0, 1.0))
}

/// The groups of the points near a profile, each point by its cosine, with their shares of all that have one.
fn groups(map: &Map, placed: &upnext_map::Placed) -> Vec<(String, f32)> {
    let mut sums = vec![0.0f32; map.groups.len()];
    for &(point, cosine) in &placed.near {
        if let Some(group) = map.group(point) {
            sums[usize::from(group)] += cosine;
        }
    }
    let all: f32 = sums.iter().sum();
    let mut some: Vec<(usize, f32)> = sums.into_iter().enumerate().filter(|&(_, sum)| sum > 0.0).collect();
    some.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let share = |(group, sum): (usize, f32)| (map.groups[group].name.clone(), sum / all);
    some.into_iter().take(GROUPS).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, dataset, feedback};
    use upnext_map::{Drawing, Groups, MapConfig, Space};
    use upnext_math::Matrix;
    use upnext_store::{Feedback, Store, StoredVideo, Write};

    fn say(world: &World, said: &[Feedback]) {
        world.store.append(said, Write::Accumulate).unwrap();
    }

    /// The small world's fifteen videos: those of a genre stand on one axis, each a little beside it.
    fn map() -> Map {
        let set = dataset();
        let vectors = (0..15).flat_map(|row| {
            let mut vector = [0.0f32; 4];
            (vector[row / 5], vector[3]) = (1.0, 0.1 * (row % 5) as f32);
            vector
        });
        let groups = Groups {
            names: ["Comedy", "Crime", "Space"].map(String::from).to_vec(),
            of: (0..15).map(|row| Some(row / 5)).collect(),
        };
        let spaces = vec![Space::new("labels", Matrix::from_rows(15, 4, vectors.collect()))];
        let wanted = vec![1; set.videos.len()];
        let drawing = Drawing { of: "small".into(), spaces, groups, wanted, seed: 1 };
        Map::draw(drawing, &MapConfig::default()).unwrap()
    }

    #[test]
    fn a_like_moves_the_viewer_and_the_journey_says_so() {
        let (world, map) = (World::new(), map());
        assert!(world.feed.path(&map, "new").steps.is_empty());
        say(&world, &[feedback("like", "new", "crime0", 1), feedback("like", "new", "crime1", 2)]);
        let path = world.feed.path(&map, "new");
        assert_eq!((path.total, path.steps.len(), path.steps[0].point), (2, 2, Some(5)));
        let crime = path.steps[1].places.clone().unwrap();
        say(&world, &[feedback("like", "new", "space3", 3)]);
        let path = world.feed.path(&map, "new");
        assert_ne!(path.steps[2].places.clone().unwrap(), crime);
        assert!(path.recommended.iter().all(|one| one.id != "space3" && one.point.is_some()));

        let journey = world.feed.journey(&map, "new");
        assert_eq!(journey.steps.len(), 3);
        assert_eq!((journey.steps[0].cosine, &journey.steps[0].groups[0].0[..]), (None, "Crime"));
        assert!(journey.steps[1].cosine.unwrap() > 0.9 && journey.steps[2].cosine.unwrap() < 0.9);
        assert!(journey.steps[1].went.iter().any(|one| one.id == "crime1"), "what was liked left the slate");
        let last: Vec<&str> = journey.steps[2].slate.iter().map(|one| &one.id[..]).collect();
        let asked = Request { now: now(), ..crate::testing::request("new", 10) };
        assert_eq!(
            last,
            crate::testing::ids(&world.feed.recommend(&asked)),
            "the last step is the feed of now"
        );
    }

    #[test]
    fn a_journey_is_as_long_as_the_setting_allows() {
        let config =
            crate::FeedConfig { journey_events_max: 2, path_events_max: 3, ..crate::FeedConfig::default() };
        let world = World::with(config, Vec::new());
        // u5 has five videos in the run.
        let (journey, path) = (world.feed.journey(&map(), "u5"), world.feed.path(&map(), "u5"));
        assert_eq!((journey.total, journey.steps.len(), path.steps.len()), (5, 2, 3));
        assert!(journey.steps[0].cosine.is_some(), "what came before the steps counts");
    }

    #[test]
    fn a_refusal_turns_the_profile_away() {
        let (world, map) = (World::new(), map());
        say(&world, &[feedback("like", "new", "crime0", 1), feedback("like", "new", "space0", 2)]);
        let mixed = world.feed.journey(&map, "new").steps[1].groups.clone();
        assert_eq!(mixed[0].0, "Space");
        say(
            &world,
            &[
                feedback("hate", "new", "space1", 3),
                feedback("hate", "new", "space2", 4),
                feedback("hate", "new", "space3", 5),
            ],
        );
        let groups = world.feed.journey(&map, "new").steps[4].groups.clone();
        assert_eq!(groups[0].0, "Crime", "{groups:?}");
    }

    #[test]
    fn what_is_hidden_is_not_on_the_map() {
        let (world, map) = (World::new(), map());
        let on_map = world.feed.on_map(&map, "crime0").unwrap();
        assert_eq!(
            (on_map.point, &on_map.near[0].0[..], &on_map.near[0].1[0].id[..]),
            (5, "labels", "crime1")
        );
        let hidden = StoredVideo { hidden: true, ..crate::testing::video("crime1", None, &[]) };
        world.store.put_videos(&[hidden]).unwrap();
        let view = serde_json::to_value(world.feed.map(&map)).unwrap();
        assert_eq!((&view["hidden"], &view["ids"][6]), (&serde_json::json!([6]), &"crime1".into()));
        assert_eq!(world.feed.on_map(&map, "crime1"), None);
        assert_eq!(world.feed.on_map(&map, "nobody"), None);
        assert!(world.feed.on_map(&map, "crime0").unwrap().near[0].1.iter().all(|one| one.id != "crime1"));
    }
}
