//! Who gets what: exposure and recall by groups of creators, accuracy by groups of viewers.

use serde::{Deserialize, Serialize};

use super::mean;
use crate::Case;

/// What the lists give to the videos of one group of creators.
///
/// Exposure is position-weighted: a place at rank r is worth 1 / log2(r + 1) (Singh & Joachims 2018). Shares
/// are of the videos that have a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatorGroup {
    /// The group's number.
    pub group: u32,
    /// Videos of the catalogue in it.
    pub videos: usize,
    /// Its share of the exposure in the first k places of all lists.
    pub exposure_share: f64,
    /// Its share of the catalogue.
    pub catalogue_share: f64,
    /// Its share of the relevant videos: what viewers wanted.
    pub relevant_share: f64,
    /// Exposure share over catalogue share: 1 is its part, below 1 less. 0 for a group without a video.
    pub exposure_ratio: f64,
    /// Of its relevant videos, how many stand among the first k, over all users. 0 when none is relevant.
    pub recall: f64,
}

/// How well one group of viewers is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewerGroup {
    /// The group's number.
    pub group: u32,
    /// Its users.
    pub users: usize,
    /// The mean of the metric over them.
    pub mean: f64,
}

/// Exposure and recall at k by groups of creators, in order of their numbers. `group_of` says the group of each
/// video of the catalogue; `None` and videos outside of it count nowhere.
pub fn by_creator_group(cases: &[Case], k: usize, group_of: &[Option<u32>]) -> Vec<CreatorGroup> {
    let mut names: Vec<u32> = group_of.iter().flatten().copied().collect();
    names.sort_unstable();
    names.dedup();
    let slot = |video: u32| {
        let group = group_of.get(video as usize).copied().flatten()?;
        names.binary_search(&group).ok()
    };
    let longest = cases.iter().map(|case| case.top(k).len()).max().unwrap_or(0);
    let discount: Vec<f64> = (0..longest).map(|rank| 1.0 / (rank as f64 + 2.0).log2()).collect();
    let zero = || vec![0.0; names.len()];
    let (mut videos, mut exposure, mut relevant, mut found) = (zero(), zero(), zero(), zero());
    for video in 0..group_of.len() as u32 {
        slot(video).into_iter().for_each(|at| videos[at] += 1.0);
    }
    for case in cases {
        for (&video, discount) in case.top(k).iter().zip(&discount) {
            slot(video).into_iter().for_each(|at| exposure[at] += discount);
        }
        for (&video, &rank) in case.relevant.iter().zip(&case.ranks) {
            let Some(at) = slot(video) else { continue };
            relevant[at] += 1.0;
            found[at] += f64::from(u8::from(rank != Case::MISSING && (rank as usize) < k));
        }
    }
    let share = |of: &[f64], at: usize| over(of[at], of.iter().sum());
    let group = |(at, &group): (usize, &u32)| CreatorGroup {
        group,
        videos: videos[at] as usize,
        exposure_share: share(&exposure, at),
        catalogue_share: share(&videos, at),
        relevant_share: share(&relevant, at),
        exposure_ratio: over(share(&exposure, at), share(&videos, at)),
        recall: over(found[at], relevant[at]),
    };
    names.iter().enumerate().map(group).collect()
}

fn over(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The mean of a metric's values by groups of viewers, in order of their numbers. `values` are parallel to the
/// cases; users for whom `group_of` says `None` count nowhere.
pub fn by_viewer_group(
    values: &[f64],
    cases: &[Case],
    group_of: impl Fn(u32) -> Option<u32>,
) -> Vec<ViewerGroup> {
    let mut groups: std::collections::BTreeMap<u32, Vec<f64>> = std::collections::BTreeMap::new();
    for (case, &value) in cases.iter().zip(values) {
        if let Some(group) = group_of(case.user) {
            groups.entry(group).or_default().push(value);
        }
    }
    let group =
        |(group, values): (u32, Vec<f64>)| ViewerGroup { group, users: values.len(), mean: mean(&values) };
    groups.into_iter().map(group).collect()
}

/// The largest difference between the means of two groups; 0 of fewer than two.
pub fn gap(groups: &[ViewerGroup]) -> f64 {
    let means = || groups.iter().map(|group| group.mean);
    let (low, high) = (means().fold(f64::INFINITY, f64::min), means().fold(f64::NEG_INFINITY, f64::max));
    if groups.is_empty() { 0.0 } else { high - low }
}

/// Two groups of viewers by how much they watched: 1 is active (more than the median user), 0 is light.
pub fn light_and_active(watched: &[u32]) -> Vec<u32> {
    let mut sorted = watched.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    watched.iter().map(|&count| u32::from(count > median)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_is_compared_with_the_share_of_the_catalogue() {
        // Videos 0 and 1 are of creator 5, videos 2 and 3 of creator 7, video 4 of nobody.
        let group_of = [Some(5), Some(5), Some(7), Some(7), None];
        let cases =
            [Case::from_list(0, vec![0, 2, 4], vec![2, 3], 5), Case::from_list(1, vec![1, 0, 3], vec![0], 5)];
        let groups = by_creator_group(&cases, 2, &group_of);
        let second = 1.0 / 3f64.log2();
        let total = 2.0 + 2.0 * second;
        assert_eq!([groups[0].group, groups[1].group], [5, 7]);
        assert!((groups[0].exposure_share - (2.0 + second) / total).abs() < 1e-12);
        assert!((groups[1].exposure_ratio - second / total / 0.5).abs() < 1e-12);
        assert_eq!([groups[0].relevant_share, groups[1].relevant_share], [1.0 / 3.0, 2.0 / 3.0]);
        assert_eq!([groups[0].recall, groups[1].recall], [1.0, 0.5]);
        assert_eq!([groups[0].videos, groups[1].videos], [2, 2]);
    }

    #[test]
    fn nothing_shown_is_no_exposure_and_no_division_by_zero() {
        let groups = by_creator_group(&[], 10, &[Some(1), None]);
        assert_eq!((groups[0].exposure_share, groups[0].exposure_ratio, groups[0].recall), (0.0, 0.0, 0.0));
        assert!(by_creator_group(&[], 10, &[]).is_empty());
    }

    #[test]
    fn the_gap_between_light_and_active_viewers_is_shown() {
        let cases: Vec<Case> = (0..4).map(|user| Case::from_list(user, vec![0], vec![0], 1)).collect();
        let groups_of_users = light_and_active(&[1, 9, 2, 8]);
        assert_eq!(groups_of_users, [0, 1, 0, 1]);
        let groups = by_viewer_group(&[0.0, 0.5, 0.5, 1.0], &cases, |user| {
            groups_of_users.get(user as usize).copied()
        });
        assert_eq!([groups[0].mean, groups[1].mean], [0.25, 0.75]);
        assert_eq!((gap(&groups), gap(&[])), (0.5, 0.0));
        assert!(by_viewer_group(&[1.0], &cases[..1], |_| None).is_empty());
    }
}
