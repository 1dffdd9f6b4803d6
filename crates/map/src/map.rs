//! The map: which rows are drawn, where each stands in two projections, who is near it in each space, and the numbers
//! that say how far to believe it.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use upnext_features::TrainRows;
use upnext_features::pca::{Keep, Pca};
use upnext_math::linalg::{Accumulate, Precision, View, multiply};
use upnext_math::{Matrix, top_k};

use crate::layout::{DIMENSIONS, layout};
use crate::nearest::nearest;
use crate::quality::{Chance, NO_GROUP, purity, sample, silhouette, trustworthiness};
use crate::space::{Space, unit};

/// Neighbours that the projection keeps together, UMAP's usual number.
const EDGES: usize = 15;
/// Neighbours of trustworthiness and purity.
pub(crate) const NEAR: usize = 10;
/// Neighbours in each space that are kept to be shown.
const SHOWN: usize = 5;
/// Rows that are measured, drawn at random where there are more: the standard error of a share is 1 % at most.
const MEASURED: usize = 2_000;
/// Nearest points of a vector that are named, and whose places its place is the mean of.
const NAMED: usize = 50;
/// The version of [`Map::to_bytes`].
const VERSION: u32 = 1;

/// The map's bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapConfig {
    /// Videos that are drawn; where there are more, the most wanted. Time grows with its square. 0 draws no map.
    pub videos_max: usize,
}

impl Default for MapConfig {
    fn default() -> Self {
        Self { videos_max: 50_000 }
    }
}

/// A map that cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapError {
    /// No row is known in the space to be drawn.
    #[error(
        "nothing is known of any video by {space}: a map needs labels, text, vectors or videos that were wanted"
    )]
    Nothing {
        /// The space.
        space: String,
    },
    /// The bytes are not a map of this build.
    #[error("the map's file is not one that this build writes: draw it again with `upnext map`")]
    Bytes,
}

/// Which group each row belongs to, genres for example.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    /// The groups' names, fewer than 255.
    pub names: Vec<String>,
    /// The number of each row's group, `None` where it has none.
    pub of: Vec<Option<u8>>,
}

/// What a map is drawn from; all parts have a row for each row of the run.
pub struct Drawing {
    /// What it is drawn of: the digests of the data and the models, so that a kept map is known to be of them.
    pub of: String,
    /// The space that is drawn, then the others in which neighbours are told.
    pub spaces: Vec<Space>,
    /// The groups that colour the points.
    pub groups: Groups,
    /// How much each row is wanted: who is drawn where not all can be.
    pub wanted: Vec<u32>,
    /// Seed of projection, samples and shuffles.
    pub seed: u64,
}

/// A group, and how many of the drawn rows are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Points of it.
    pub n: usize,
}

/// One way to draw the points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// `neighbours` or `pca`.
    pub name: String,
    /// Three numbers a point, around zero: 98 of 100 points within distance 1 of it, none beyond 1.5.
    pub places: Vec<f32>,
    /// Share of the variance that is kept; of the principal components only.
    pub variance: Option<f32>,
    /// Trustworthiness of the ten nearest, 1 at best.
    pub trustworthiness: Option<f64>,
    /// Share of the ten nearest that are of a point's group.
    pub purity: Option<Chance>,
    /// Mean silhouette of the groups.
    pub silhouette: Option<Chance>,
}

/// One way to be alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Modality {
    /// The space's name.
    pub name: String,
    /// Points of which it knows anything.
    pub n_known: usize,
    /// Dimensions.
    pub width: usize,
    /// Share of the ten nearest in the space that are of a point's group.
    pub purity: Option<Chance>,
    /// Mean silhouette of the groups in the space.
    pub silhouette: Option<Chance>,
    near: Vec<u32>,
}

/// Where a vector stands among the points.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Its place in each projection.
    pub places: Vec<[f32; DIMENSIONS]>,
    /// The fifty points nearest to it, with cosines above zero, nearest first.
    pub near: Vec<(u32, f32)>,
}

/// All videos in three dimensions. A point is a number below [`Map::n_points`]; its row is the run's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// What it was drawn of, see [`Drawing::of`].
    pub of: String,
    /// Rows of the run.
    pub n_rows: usize,
    /// Rows that the drawn space does not know.
    pub n_unknown: usize,
    /// Points that were measured.
    pub n_measured: usize,
    /// The groups, in the order of their numbers.
    pub groups: Vec<Group>,
    /// The projections; the first is shown first.
    pub projections: Vec<Projection>,
    /// The spaces; the first is drawn.
    pub modalities: Vec<Modality>,
    rows: Vec<u32>,
    group: Vec<u8>,
    vectors: Vec<f32>,
}

impl Map {
    /// Draws the first space.
    ///
    /// # Errors
    /// When it knows no row.
    ///
    /// # Panics
    /// If there is no space, or the parts differ in their rows.
    pub fn draw(drawing: Drawing, config: &MapConfig) -> Result<Self, MapError> {
        let Drawing { of, spaces, groups, wanted, seed } = drawing;
        let main = spaces.first().expect("a drawing has a space");
        let n_rows = main.vectors().n_rows();
        assert!(groups.of.len() == n_rows && wanted.len() == n_rows, "a group and a count for each row");
        let mut rows: Vec<u32> = (0..n_rows as u32).filter(|&row| main.knows(row as usize)).collect();
        if rows.is_empty() {
            return Err(MapError::Nothing { space: main.name.clone() });
        }
        let n_unknown = n_rows - rows.len();
        rows.sort_by_key(|&row| (std::cmp::Reverse(wanted[row as usize]), row));
        rows.truncate(config.videos_max);
        rows.sort_unstable();
        let group: Vec<u8> = rows.iter().map(|&row| groups.of[row as usize].unwrap_or(NO_GROUP)).collect();
        let spaces: Vec<Space> = spaces.iter().map(|space| space.of_rows(&rows)).collect();
        let measured = sample(rows.len(), MEASURED, seed);

        let vectors = spaces[0].vectors();
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let neighbours = nearest(vectors, &all, EDGES);
        let pca = Pca::fit(vectors, &TrainRows::all(rows.len()), Keep::Components(DIMENSIONS));
        let flat = three_columns(&pca.apply(vectors));
        let kept = layout(vectors, &neighbours, &spread(&flat), seed);
        let projection = |name: &str, picture: Matrix, variance| {
            let shown: Vec<Vec<u32>> = nearest(&picture, &measured, NEAR);
            Projection {
                name: name.into(),
                variance,
                trustworthiness: trustworthiness(vectors, &picture, NEAR, &measured),
                purity: purity(&measured, &shown, &group, seed),
                silhouette: silhouette(&picture, &measured, &group, seed),
                places: within_one(&picture),
            }
        };
        let variance = pca.ratios().iter().sum();
        let projections = vec![projection("neighbours", kept, None), projection("pca", flat, Some(variance))];
        let mut modalities = vec![modality(&spaces[0], neighbours, &group, &measured, seed)];
        for space in &spaces[1..] {
            modalities.push(modality(space, near_known(space), &group, &measured, seed));
        }
        let size = |number: usize| group.iter().filter(|&&group| usize::from(group) == number).count();
        let groups = groups.names.into_iter().enumerate();
        Ok(Self {
            of,
            n_rows,
            n_unknown,
            n_measured: measured.len(),
            groups: groups.map(|(number, name)| Group { name, n: size(number) }).collect(),
            projections,
            modalities,
            vectors: vectors.values().to_vec(),
            rows,
            group,
        })
    }

    /// How many points there are.
    pub fn n_points(&self) -> usize {
        self.rows.len()
    }

    /// The run's row of each point, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The point of a row; `None` where it is not drawn.
    pub fn point(&self, row: u32) -> Option<u32> {
        self.rows.binary_search(&row).ok().map(|at| at as u32)
    }

    /// The number of a point's group.
    pub fn group(&self, point: u32) -> Option<u8> {
        Some(self.group[point as usize]).filter(|&group| group != NO_GROUP)
    }

    /// A point's vector in the drawn space, of unit length.
    pub fn vector(&self, point: u32) -> &[f32] {
        let width = self.width();
        &self.vectors[point as usize * width..(point as usize + 1) * width]
    }

    /// Dimensions of the drawn space.
    pub fn width(&self) -> usize {
        self.modalities[0].width
    }

    /// The points nearest to a point in a space, nearest first; none where the space does not know it.
    pub fn near(&self, modality: usize, point: u32) -> impl Iterator<Item = u32> + '_ {
        let at = point as usize * SHOWN;
        self.modalities[modality].near[at..at + SHOWN].iter().copied().filter(|&other| other != u32::MAX)
    }

    /// Where vectors of the drawn space stand that were not drawn: each at the mean place of the fifty points of
    /// largest cosine, weighted by how much it exceeds that of the fifty-first. `None` for a vector without length, or without a point of its own side.
    ///
    /// # Panics
    /// If the vectors have other dimensions than the space.
    pub fn place(&self, vectors: &[Vec<f32>]) -> Vec<Option<Placed>> {
        if vectors.is_empty() {
            return Vec::new();
        }
        let width = self.width();
        let mut asked = vectors.concat();
        asked.chunks_exact_mut(width).for_each(unit);
        let asked = Matrix::from_rows(vectors.len(), width, asked);
        let points = View::new(&self.vectors, self.n_points(), width, width);
        let mut cosines = Matrix::zeros(vectors.len(), self.n_points());
        multiply(&mut cosines, Accumulate::Replace, (&asked).into(), points.t(), 1.0, Precision::F32);
        (0..vectors.len()).into_par_iter().map(|row| self.placed(cosines.row(row))).collect()
    }

    fn placed(&self, cosines: &[f32]) -> Option<Placed> {
        let mut near: Vec<(u32, f32)> =
            top_k(cosines, NAMED + 1).into_iter().map(|point| (point, cosines[point as usize])).collect();
        // How much nearer than the first that does not count: a point that comes in or goes out moves nothing.
        let floor = if near.len() > NAMED { near[NAMED].1.max(0.0) } else { 0.0 };
        near.truncate(NAMED);
        near.retain(|&(_, cosine)| cosine > 0.0);
        let equal = near.first().is_none_or(|&(_, cosine)| cosine <= floor);
        let weight = |cosine: f32| if equal { 1.0 } else { (cosine - floor).max(0.0) };
        let sum: f32 = near.iter().map(|&(_, cosine)| weight(cosine)).sum();
        let place = |projection: &Projection| {
            std::array::from_fn(|axis| {
                let part = |&(point, cosine): &(u32, f32)| {
                    weight(cosine) * projection.places[point as usize * DIMENSIONS + axis]
                };
                near.iter().map(part).sum::<f32>() / sum
            })
        };
        let places = self.projections.iter().map(place).collect();
        (sum > 0.0).then_some(Placed { places, near })
    }

    /// The map as bytes, for a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(VERSION, self)).expect("numbers and names can be written")
    }

    /// The map of such a file.
    ///
    /// # Errors
    /// When this build did not write it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MapError> {
        let (version, rest): (u32, _) = postcard::take_from_bytes(bytes).map_err(|_| MapError::Bytes)?;
        if version != VERSION {
            return Err(MapError::Bytes);
        }
        let map: Self = postcard::from_bytes(rest).map_err(|_| MapError::Bytes)?;
        let n = map.n_points();
        let whole = !map.modalities.is_empty()
            && !map.projections.is_empty()
            && map.group.len() == n
            && map.vectors.len() == n * map.width()
            && map.modalities.iter().all(|modality| {
                modality.near.len() == n * SHOWN
                    && modality.near.iter().all(|&point| point == u32::MAX || (point as usize) < n)
            })
            && map.projections.iter().all(|projection| projection.places.len() == n * DIMENSIONS)
            && map.rows.iter().all(|&row| (row as usize) < map.n_rows)
            && map.group.iter().all(|&group| group == NO_GROUP || usize::from(group) < map.groups.len());
        if whole { Ok(map) } else { Err(MapError::Bytes) }
    }
}

fn modality(space: &Space, neighbours: Vec<Vec<u32>>, group: &[u8], measured: &[u32], seed: u64) -> Modality {
    let known: Vec<u32> = measured.iter().copied().filter(|&row| space.knows(row as usize)).collect();
    let near: Vec<Vec<u32>> =
        known.iter().map(|&row| neighbours[row as usize].iter().copied().take(NEAR).collect()).collect();
    let shown = |near: &Vec<u32>| {
        let padded = near.iter().copied().chain(std::iter::repeat(u32::MAX));
        padded.take(SHOWN).collect::<Vec<_>>()
    };
    Modality {
        name: space.name.clone(),
        n_known: (0..space.vectors().n_rows()).filter(|&row| space.knows(row)).count(),
        width: space.vectors().n_columns(),
        purity: purity(&known, &near, group, seed),
        silhouette: silhouette(space.vectors(), &known, group, seed),
        near: neighbours.iter().flat_map(shown).collect(),
    }
}

/// The nearest of each row among those that the space knows; none of a row that it does not know.
fn near_known(space: &Space) -> Vec<Vec<u32>> {
    let n = space.vectors().n_rows();
    let known: Vec<u32> = (0..n as u32).filter(|&row| space.knows(row as usize)).collect();
    let of_known = space.of_rows(&known);
    let places: Vec<u32> = (0..known.len() as u32).collect();
    let mut near = vec![Vec::new(); n];
    for (&row, found) in known.iter().zip(nearest(of_known.vectors(), &places, NEAR)) {
        near[row as usize] = found.into_iter().map(|place| known[place as usize]).collect();
    }
    near
}

/// The first three columns, zeros where there are fewer.
fn three_columns(matrix: &Matrix) -> Matrix {
    let mut three = Matrix::zeros(matrix.n_rows(), DIMENSIONS);
    for row in 0..matrix.n_rows() {
        three.row_mut(row).iter_mut().zip(matrix.row(row)).for_each(|(to, from)| *to = *from);
    }
    three
}

/// A start for the projection: the deviation along the widest axis is one.
fn spread(points: &Matrix) -> Matrix {
    let n = points.n_rows().max(1) as f32;
    let square = |axis: usize| (0..points.n_rows()).map(|row| points.row(row)[axis].powi(2)).sum::<f32>();
    let widest = (0..DIMENSIONS).map(|axis| (square(axis) / n).sqrt()).fold(0.0, f32::max);
    let mut spread = points.clone();
    if widest > 0.0 {
        spread.values_mut().iter_mut().for_each(|x| *x /= widest);
    }
    spread
}

/// The points around the middle of where nearly all are, in such units that nearly all lie within distance one.
fn within_one(points: &Matrix) -> Vec<f32> {
    /// Those that are few and far: they would make the rest small.
    const FAR_SHARE: f64 = 0.02;
    /// They are drawn no farther away than this, in front of the eye.
    const FARTHEST: f32 = 1.5;
    let n = points.n_rows();
    let rows = || points.values().chunks_exact(DIMENSIONS);
    let at_share = |mut values: Vec<f32>, share: f64| {
        values.sort_by(f32::total_cmp);
        values[((n - 1) as f64 * share).round() as usize]
    };
    let middle: [f32; DIMENSIONS] = std::array::from_fn(|axis| {
        let along = || rows().map(|row| row[axis]).collect::<Vec<f32>>();
        (at_share(along(), FAR_SHARE / 2.0) + at_share(along(), 1.0 - FAR_SHARE / 2.0)) / 2.0
    });
    let mut places: Vec<f32> =
        rows().flat_map(|row| [0, 1, 2].map(|axis| row[axis] - middle[axis])).collect();
    let length = |place: &[f32]| place.iter().map(|x| x * x).sum::<f32>().sqrt();
    let lengths: Vec<f32> = places.chunks_exact(DIMENSIONS).map(length).collect();
    // Where most points lie in one place, the farthest is the measure.
    let unit = [1.0 - FAR_SHARE, 1.0].map(|share| at_share(lengths.clone(), share));
    let unit = if unit[0] > 0.0 { unit[0] } else { unit[1] };
    for place in places.chunks_exact_mut(DIMENSIONS) {
        let far = length(place);
        let scale = if far > 0.0 { (1.0 / unit).min(FARTHEST / far) } else { 0.0 };
        place.iter_mut().for_each(|x| *x *= scale);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_math::seed::Random;

    /// Forty vectors around two axes, and a last row of which nothing is known. The second space knows every other.
    fn drawing() -> Drawing {
        let mut random = Random::new(5);
        let mut values: Vec<f32> = Vec::new();
        for row in 0..40 {
            let mut vector = [0.0f32; 6];
            vector.iter_mut().for_each(|x| *x = 0.1 * random.normal());
            vector[row % 2] += 1.0;
            values.extend(vector);
        }
        values.extend([0.0; 6]);
        let main = Space::new("labels", Matrix::from_rows(41, 6, values));
        let half = (0..41).flat_map(|row| {
            [f32::from(u8::from(row % 2 == 0)), row as f32 / 40.0 * f32::from(u8::from(row % 2 == 0))]
        });
        let half = Space::new("text", Matrix::from_rows(41, 2, half.collect()));
        let groups = Groups {
            names: vec!["even".into(), "odd".into()],
            of: (0..41).map(|row| (row < 39).then_some(row % 2)).collect(),
        };
        Drawing { of: "a set".into(), spaces: vec![main, half], groups, wanted: (0..41).collect(), seed: 1 }
    }

    #[test]
    fn a_map_tells_groups_apart_and_says_how_surely() {
        let map = Map::draw(drawing(), &MapConfig::default()).unwrap();
        assert_eq!((map.n_points(), map.n_unknown, map.point(40)), (40, 1, None));
        assert_eq!((map.groups[0].n, map.groups[1].n, map.group(39)), (20, 19, None));
        for projection in &map.projections {
            let purity = projection.purity.unwrap();
            assert!(purity.value > 0.95 && purity.shuffled < 0.65, "{}: {purity:?}", projection.name);
            assert!(projection.silhouette.unwrap().value > 0.5);
            assert!(projection.trustworthiness.unwrap() > 0.6);
            let lengths = projection.places.chunks(3).map(|p| p.iter().map(|x| x * x).sum::<f32>().sqrt());
            assert!((1.0..=1.5001).contains(&(lengths.fold(0.0, f32::max) + 1e-6)));
        }
        assert!(map.near(0, 3).all(|other| other % 2 == 1) && map.near(0, 3).count() == 5);
        assert_eq!((map.near(1, 3).count(), map.modalities[1].n_known), (0, 20));
        assert_eq!(map.near(1, 4).next(), Some(6));
    }

    #[test]
    fn a_vector_stands_among_those_it_is_like() {
        let map = Map::draw(drawing(), &MapConfig::default()).unwrap();
        let placed = map.place(&[vec![5.0, 0.0, 0.0, 0.0, 0.0, 0.0], vec![0.0; 6]]);
        let first = placed[0].as_ref().unwrap();
        assert!(first.near[..20].iter().all(|(point, cosine)| point % 2 == 0 && *cosine > 0.8), "{first:?}");
        let middle = |parity: usize| -> [f32; 3] {
            std::array::from_fn(|axis| {
                (0..20).map(|at| map.projections[0].places[(2 * at + parity) * 3 + axis] / 20.0).sum()
            })
        };
        let distance =
            |to: [f32; 3]| (0..3).map(|axis| (first.places[0][axis] - to[axis]).powi(2)).sum::<f32>();
        assert!(distance(middle(0)) < distance(middle(1)));
        assert_eq!(placed[1], None);
    }

    #[test]
    fn where_not_all_can_be_drawn_the_most_wanted_are() {
        let map = Map::draw(drawing(), &MapConfig { videos_max: 3 }).unwrap();
        assert_eq!(map.rows(), [37, 38, 39]);
        assert_eq!(map.projections[0].trustworthiness, None);
    }

    #[test]
    fn one_video_is_a_map_and_none_is_said() {
        let one = |values: Vec<f32>| Drawing {
            of: String::new(),
            spaces: vec![Space::new("text", Matrix::from_rows(1, 1, values))],
            groups: Groups { names: Vec::new(), of: vec![None] },
            wanted: vec![0],
            seed: 1,
        };
        let map = Map::draw(one(vec![2.0]), &MapConfig::default()).unwrap();
        assert_eq!(map.projections[0].places, [0.0; 3]);
        assert_eq!(map.place(&[vec![1.0]])[0].as_ref().unwrap().near, [(0, 1.0)]);
        let nothing = Map::draw(one(vec![0.0]), &MapConfig::default());
        assert!(nothing.unwrap_err().to_string().contains("nothing is known of any video by text"));
    }

    #[test]
    fn a_kept_map_is_the_map_and_torn_bytes_are_refused() {
        let map = Map::draw(drawing(), &MapConfig::default()).unwrap();
        let bytes = map.to_bytes();
        assert_eq!(Map::from_bytes(&bytes), Ok(map));
        for end in 0..bytes.len() {
            assert_eq!(Map::from_bytes(&bytes[..end]), Err(MapError::Bytes));
        }
    }
}
