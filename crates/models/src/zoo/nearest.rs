//! Which videos lie nearest by what they are: graphs of neighbours that stay as they are while models learn.

use rayon::prelude::*;
use upnext_math::linalg::product_transposed_into;
use upnext_math::{Matrix, Sparse, top_k};
use upnext_nn::layer::normalise;

use super::content;
use crate::{FitError, Modality, Training};

/// Largest catalogue in which each video is compared with each: 100 thousand at 128 numbers take a minute of one core.
const VIDEOS_MAX: usize = 200_000;
/// Neighbours whose likeness is a model by itself.
const LIKE: usize = 50;
/// Videos that are compared with all at once by one thread.
const BLOCK: usize = 64;

/// Neighbours of the videos by one kind of vectors.
pub(crate) struct Neighbours {
    /// What the vectors are called; of labels and words `content`.
    pub(crate) name: String,
    /// `(videos, videos)`: 1 where the column is among the nearest of the row.
    pub(crate) graph: Sparse,
}

/// The `k` nearest of each video, by each kind of vectors that was brought, and by labels and words. None where nothing is
/// known of the videos.
///
/// # Errors
/// When the catalogue is too large to compare each with each.
pub(crate) fn by_modality(training: &Training, model: &str, k: usize) -> Result<Vec<Neighbours>, FitError> {
    let n_videos = training.interactions.n_videos();
    let brought = training.facts.as_deref().map_or(&[][..], |facts| &facts.vectors);
    let brought: Vec<_> = brought.iter().filter(|of| of.matrix.n_rows() == n_videos).collect();
    if k == 0 || (brought.is_empty() && training.content.is_none()) {
        return Ok(Vec::new());
    }
    if !brought.is_empty() {
        check(n_videos, model)?;
    }
    let graph = |of: &Modality| {
        nearest(&of.matrix, &of.present, k).filter(|_, _, cosine| cosine > 0.0).map(|_, _, _| 1.0)
    };
    let mut all: Vec<Neighbours> =
        brought.iter().map(|of| Neighbours { name: of.name.clone(), graph: graph(of) }).collect();
    if let Some(content) = &training.content {
        let graph = content::likeness(content).filter(|row, column, _| row as u32 != column);
        all.push(Neighbours { name: "content".into(), graph: graph.strongest(k).map(|_, _, _| 1.0) });
    }
    Ok(all)
}

/// The likeness of the 50 nearest of each video: the mean of the cosines by each kind of vectors that was brought. `None` where
/// there are none.
///
/// # Errors
/// When the catalogue is too large to compare each with each.
pub(crate) fn likeness(training: &Training, model: &str) -> Result<Option<Sparse>, FitError> {
    let n_videos = training.interactions.n_videos();
    let brought = training.facts.as_deref().map_or(&[][..], |facts| &facts.vectors);
    let brought: Vec<_> = brought.iter().filter(|of| of.matrix.n_rows() == n_videos).collect();
    if brought.is_empty() {
        return Ok(None);
    }
    check(n_videos, model)?;
    let share = 1.0 / brought.len() as f32;
    let scaled = |of: &&Modality| {
        let cosines = nearest(&of.matrix, &of.present, LIKE).filter(|_, _, cosine| cosine > 0.0);
        cosines.map(|_, _, cosine| share * cosine)
    };
    Ok(brought.iter().map(scaled).reduce(|sum, more| sum.plus(1.0, &more)))
}

fn check(n_videos: usize, model: &str) -> Result<(), FitError> {
    if n_videos <= VIDEOS_MAX {
        return Ok(());
    }
    let needs = "a catalogue of at most 200000 videos for neighbours by vectors";
    Err(FitError::Needs { model: model.into(), needs })
}

/// The `k` others of largest cosine among those that have a vector, with that cosine.
fn nearest(vectors: &Matrix, present: &[bool], k: usize) -> Sparse {
    let (n, unit) = (vectors.n_rows(), normalise(vectors));
    let blocks: Vec<Vec<Vec<(u32, f32)>>> = (0..n.div_ceil(BLOCK))
        .into_par_iter()
        .map_init(Vec::new, |cosines: &mut Vec<f32>, block| {
            let rows = block * BLOCK..n.min((block + 1) * BLOCK);
            let d = unit.n_columns();
            let asked = unit.values()[rows.start * d..rows.end * d].to_vec();
            cosines.resize(rows.len() * n, 0.0);
            product_transposed_into(&Matrix::from_rows(rows.len(), d, asked), &unit, cosines);
            let of_rows = cosines.chunks_exact_mut(n.max(1)).zip(rows).map(|(cosines, row)| {
                if !present[row] {
                    return Vec::new();
                }
                let others = cosines.iter_mut().zip(present).filter(|(_, there)| !**there);
                others.for_each(|(cosine, _)| *cosine = f32::NEG_INFINITY);
                cosines[row] = f32::NEG_INFINITY;
                let found = top_k(cosines, k).into_iter().map(|at| (at, cosines[at as usize]));
                found.filter(|(_, cosine)| cosine.is_finite()).collect()
            });
            of_rows.collect()
        })
        .collect();
    Sparse::from_rows(n, blocks.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_by_angle_are_found_and_what_has_no_vector_has_no_neighbour() {
        let vectors = Matrix::from_rows(5, 2, vec![1.0, 0.0, 9.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.1, 2.0]);
        let present = [true, true, true, false, true];
        let graph = nearest(&vectors, &present, 1);
        let of = |row: usize| graph.row(row).0.to_vec();
        assert_eq!([of(0), of(1), of(2), of(3), of(4)], [vec![1], vec![0], vec![4], vec![], vec![2]]);
        assert_eq!(nearest(&vectors, &present, 9).row(0).0, [1, 2, 4]);
    }
}
