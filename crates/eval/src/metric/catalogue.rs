//! What all lists together do to the catalogue.

use crate::Case;

/// How often each video of the catalogue stands among the first k of a list.
pub fn recommended_counts(cases: &[Case], k: usize, n_videos: usize) -> Vec<u32> {
    let mut counts = vec![0u32; n_videos];
    for &video in cases.iter().flat_map(|case| case.top(k)) {
        if let Some(count) = counts.get_mut(video as usize) {
            *count += 1;
        }
    }
    counts
}

/// `coverage@k`: the share of the catalogue that stands in at least one list, from [`recommended_counts`]. Say
/// which catalogue: all videos, or those of train. 0 of an empty one. (RecBole counts a padding id as well.)
pub fn coverage(counts: &[u32]) -> f64 {
    counts.iter().filter(|&&count| count > 0).count() as f64 / counts.len().max(1) as f64
}

/// `gini@k`: how unequally the lists treat the catalogue, from [`recommended_counts`] with all its zeros: 0 when
/// every video is shown as often, near 1 when one takes all. Σ (2i − n − 1) x_i / (n Σ x) over the counts in
/// rising order, i from 1 (RecBole's formula; Elliot prints 1 − this). 0 when nothing was recommended.
pub fn gini(counts: &[u32]) -> f64 {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    if total == 0.0 {
        return 0.0;
    }
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let weighted = |(at, &count): (usize, &u32)| (2.0 * (at + 1) as f64 - n - 1.0) * f64::from(count);
    sorted.iter().enumerate().map(weighted).sum::<f64>() / (n * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(lists: &[&[u32]]) -> Vec<Case> {
        lists.iter().map(|list| Case::from_list(0, list.to_vec(), vec![0], 4)).collect()
    }

    #[test]
    fn coverage_is_the_share_of_the_named_catalogue() {
        let cases = lists(&[&[0, 1, 3], &[0, 2, 3]]);
        let counts = recommended_counts(&cases, 2, 4);
        assert_eq!(counts, [2, 1, 1, 0]);
        assert_eq!(coverage(&counts), 0.75);
        assert_eq!(coverage(&recommended_counts(&cases, 1, 8)), 0.125);
        assert_eq!(coverage(&recommended_counts(&[], 1, 0)), 0.0);
    }

    #[test]
    fn gini_is_0_for_equals_and_counts_the_zeros() {
        assert_eq!(gini(&[3, 3, 3]), 0.0);
        // Rising 0, 0, 0, 4: (2*4 - 4 - 1) * 4 / (4 * 4).
        assert_eq!(gini(&[0, 4, 0, 0]), 0.75);
        // Rising 1, 3: ((2 - 3) * 1 + (4 - 3) * 3) / (2 * 4).
        assert_eq!(gini(&[3, 1]), 0.25);
        assert_eq!(gini(&[0, 0]), 0.0);
        assert_eq!(gini(&[]), 0.0);
    }

    #[test]
    fn a_video_outside_the_catalogue_is_not_counted() {
        assert_eq!(recommended_counts(&lists(&[&[9, 1]]), 2, 3), [0, 1, 0]);
    }
}
