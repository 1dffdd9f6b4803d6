//! Places as clusters of coordinates: k-means on the unit sphere, where the date line and the poles are no borders.

use serde::{Deserialize, Serialize};
use upnext_data::Circumstance;
use upnext_math::seed::Random;

use crate::TrainRows;

/// Mean radius of the Earth (IUGG).
const EARTH_KM: f64 = 6371.0088;

/// Fitted clusters of places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Places {
    /// Unit vectors.
    centres: Vec<[f64; 3]>,
}

/// A place as its cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// The number of the cluster.
    pub cluster: u32,
    /// Great-circle distance to its centre.
    pub km: f32,
}

impl Places {
    /// At most `n_clusters` clusters of the train places, latitude and longitude in degrees; coordinates that are
    /// none are left out. Seeded by k-means++ (Arthur & Vassilvitskii 2007) on squared chords, then at most
    /// `rounds_max` rounds of Lloyd's; a centre is the mean direction of its places. Fewer clusters where there
    /// are fewer distinct places. One thread, `O(places * clusters * rounds)`.
    ///
    /// # Panics
    /// If a train row is not among the places.
    pub fn fit(
        places: &[(f32, f32)],
        train: &TrainRows,
        n_clusters: usize,
        rounds_max: usize,
        seed: u64,
    ) -> Self {
        let points: Vec<[f64; 3]> = train.iter().filter_map(|row| unit(places[row])).collect();
        let mut places = Self { centres: plus_plus(&points, n_clusters, &mut Random::new(seed)) };
        let mut before: Vec<u32> = Vec::new();
        for _ in 0..rounds_max {
            let nearest: Vec<(u32, f64)> = points.iter().filter_map(|p| places.nearest(p)).collect();
            let clusters: Vec<u32> = nearest.iter().map(|&(cluster, _)| cluster).collect();
            if clusters == before {
                break;
            }
            places.move_centres(&points, &nearest);
            before = clusters;
        }
        places
    }

    /// The nearest cluster of a place, the first of equally near ones; `None` for coordinates that are none, or
    /// where nothing was fitted.
    pub fn assign(&self, latitude: f32, longitude: f32) -> Option<Near> {
        let (cluster, squared) = self.nearest(&unit((latitude, longitude))?)?;
        let km = 2.0 * EARTH_KM * (squared.sqrt() / 2.0).min(1.0).asin();
        Some(Near { cluster, km: km as f32 })
    }

    /// The centres as latitude and longitude in degrees.
    pub fn centres(&self) -> Vec<(f32, f32)> {
        let degrees = |&[x, y, z]: &[f64; 3]| {
            (z.clamp(-1.0, 1.0).asin().to_degrees() as f32, y.atan2(x).to_degrees() as f32)
        };
        self.centres.iter().map(degrees).collect()
    }

    /// How many clusters there are.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// Where each user was last seen strictly before `t` (milliseconds since 1970), one entry a user.
    pub fn last_of_users(&self, circumstances: &[Circumstance], n_users: usize, t: i64) -> Vec<Option<Near>> {
        let mut last: Vec<Option<(i64, Near)>> = vec![None; n_users];
        for circumstance in circumstances.iter().filter(|circumstance| circumstance.time < t) {
            let near = circumstance.place.and_then(|(latitude, longitude)| self.assign(latitude, longitude));
            if let (Some(near), Some(last)) = (near, last.get_mut(circumstance.user as usize))
                && last.is_none_or(|(time, _)| time <= circumstance.time)
            {
                *last = Some((circumstance.time, near));
            }
        }
        last.into_iter().map(|last| Some(last?.1)).collect()
    }

    fn nearest(&self, point: &[f64; 3]) -> Option<(u32, f64)> {
        let distances = (0..).zip(self.centres.iter().map(|centre| squared_chord(centre, point)));
        distances.min_by(|a: &(u32, f64), b| a.1.total_cmp(&b.1))
    }

    fn move_centres(&mut self, points: &[[f64; 3]], nearest: &[(u32, f64)]) {
        let mut sums = vec![[0.0; 3]; self.centres.len()];
        let mut counts = vec![0usize; self.centres.len()];
        for (point, &(cluster, _)) in points.iter().zip(nearest) {
            (0..3).for_each(|axis| sums[cluster as usize][axis] += point[axis]);
            counts[cluster as usize] += 1;
        }
        let mut taken = Vec::new();
        for ((centre, sum), count) in self.centres.iter_mut().zip(sums).zip(counts) {
            if count == 0 {
                // An empty cluster starts anew at the place that is farthest from its own centre.
                let far = (0..points.len()).filter(|at| !taken.contains(at));
                if let Some(far) = far.max_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1).then(b.cmp(&a)))
                {
                    *centre = points[far];
                    taken.push(far);
                }
            } else if let Some(direction) = normalised(sum) {
                *centre = direction;
            }
            // Places that face each other have no mean direction; the centre then stays where it was.
        }
    }
}

fn plus_plus(points: &[[f64; 3]], n_clusters: usize, random: &mut Random) -> Vec<[f64; 3]> {
    let mut centres = Vec::new();
    if points.is_empty() || n_clusters == 0 {
        return centres;
    }
    let mut chosen = random.below(points.len());
    let mut distances = vec![f64::INFINITY; points.len()];
    loop {
        centres.push(points[chosen]);
        for (distance, point) in distances.iter_mut().zip(points) {
            *distance = distance.min(squared_chord(point, &points[chosen]));
        }
        let total: f64 = distances.iter().sum();
        if centres.len() == n_clusters || total <= 0.0 {
            return centres;
        }
        let mut left = f64::from(random.uniform()) * total;
        // The last place at some distance, should rounding leave a rest.
        chosen = distances.iter().rposition(|&distance| distance > 0.0).expect("the total is above zero");
        for (at, &distance) in distances.iter().enumerate().filter(|(_, distance)| **distance > 0.0) {
            left -= distance;
            if left < 0.0 {
                chosen = at;
                break;
            }
        }
    }
}

/// `None` unless the latitude is within 90 degrees and the longitude within 180.
fn unit((latitude, longitude): (f32, f32)) -> Option<[f64; 3]> {
    // NaN is in no range.
    let valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    let (latitude, longitude) = (f64::from(latitude).to_radians(), f64::from(longitude).to_radians());
    valid.then(|| [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()])
}

fn squared_chord(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn normalised(vector: [f64; 3]) -> Option<[f64; 3]> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    (length > 1e-9).then(|| vector.map(|x| x / length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Action;

    #[test]
    fn the_date_line_and_the_pole_are_no_borders() {
        // Fiji on both sides of the date line, and camps around the pole at opposite longitudes.
        let places =
            [(-17.0, 179.0), (-17.0, -179.0), (89.0, 0.0), (89.0, 180.0), (89.0, -90.0), (89.0, 90.0)];
        for seed in 0..20 {
            let fitted = Places::fit(&places, &TrainRows::all(6), 2, 50, seed);
            let cluster = |at: usize| fitted.assign(places[at].0, places[at].1).unwrap().cluster;
            assert_eq!(cluster(0), cluster(1));
            assert!((3..6).all(|at| cluster(at) == cluster(2)) && cluster(0) != cluster(2));
            let (latitude, longitude) = fitted.centres()[cluster(0) as usize];
            assert!((latitude + 17.0).abs() < 0.01 && longitude.abs() > 179.99, "{latitude} {longitude}");
            assert!(fitted.centres()[cluster(2) as usize].0 > 89.99);
        }
    }

    #[test]
    fn the_distance_is_that_of_the_great_circle() {
        let at_zero = Places::fit(&[(0.0, 0.0)], &TrainRows::all(1), 3, 5, 1);
        assert_eq!(at_zero.len(), 1);
        // A quarter of the circle: 6371.0088 pi / 2 = 10007.56 km; half of it at the antipode.
        assert!((at_zero.assign(0.0, 90.0).unwrap().km - 10_007.56).abs() < 0.01);
        assert!((at_zero.assign(0.0, 180.0).unwrap().km - 20_015.11).abs() < 0.01);
        assert_eq!(at_zero.assign(0.0, 0.0), Some(Near { cluster: 0, km: 0.0 }));
    }

    #[test]
    fn bad_coordinates_are_left_out_and_later_places_change_nothing() {
        let places = |late| [(38.9, -77.1), (38.9, -23.2), (f32::NAN, 1.0), (37.23, -12293.0), late];
        let train = TrainRows::of([0, 1, 2, 3]);
        let fitted = Places::fit(&places((10.0, 10.0)), &train, 4, 50, 9);
        assert_eq!(fitted, Places::fit(&places((-80.0, 3.0)), &train, 4, 50, 9));
        assert_eq!(fitted.len(), 2);
        assert_eq!((fitted.assign(91.0, 0.0), fitted.assign(0.0, f32::INFINITY)), (None, None));
        let nothing = Places::fit(&[], &TrainRows::all(0), 4, 50, 9);
        assert!(nothing.is_empty() && nothing.assign(0.0, 0.0).is_none());
        let kept: Places = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
        assert_eq!(kept.centres(), fitted.centres());
    }

    #[test]
    fn an_empty_cluster_starts_anew_and_antipodes_leave_the_centre() {
        let points = [(0.0, 0.0), (0.0, 10.0), (0.0, 90.0)].map(|place| unit(place).unwrap());
        let centre = unit((0.0, 1.0)).unwrap();
        let mut places = Places { centres: vec![centre, unit((-90.0, 0.0)).unwrap()] };
        let nearest: Vec<(u32, f64)> = points.iter().map(|p| (0, squared_chord(p, &centre))).collect();
        places.move_centres(&points, &nearest);
        assert_eq!(places.centres[1], points[2]);
        let opposite = [(0.0, 0.0), (0.0, 180.0)].map(|place| unit(place).unwrap());
        let mut places = Places { centres: vec![centre] };
        places.move_centres(&opposite, &[(0, 1.0), (0, 1.0)]);
        assert_eq!(places.centres[0], centre);
    }

    #[test]
    fn the_last_place_before_t_counts() {
        let at = |time, place| Circumstance {
            user: 0,
            video: None,
            action: Action::Watch,
            time,
            text: String::new(),
            device: String::new(),
            place,
        };
        let log = [at(1, Some((0.0, 0.0))), at(2, Some((50.0, 8.0))), at(3, None), at(5, Some((0.0, 0.0)))];
        let fitted = Places::fit(&[(0.0, 0.0), (50.0, 8.0)], &TrainRows::all(2), 2, 9, 1);
        let expected = fitted.assign(50.0, 8.0);
        assert_eq!(fitted.last_of_users(&log, 2, 5), [expected, None]);
        assert_eq!(fitted.last_of_users(&log, 1, 6), [fitted.assign(0.0, 0.0)]);
    }
}
