//! The content design's way to evaluate: scores made before the first question, and lists held against the videos
//! that a viewer watched longest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use upnext_data::{Dataset, Interaction, Split};
use upnext_eval::metric::{Kind, Ranked};
use upnext_eval::{Case, measure};
use upnext_features::scores::{Worth, scores};
use upnext_features::{Cut, Table, days_read};

/// Scores of videos, and the days whose statistics are in them.
pub(crate) struct ContentScores {
    /// A row a video.
    pub(crate) table: Arc<Table>,
    /// Counted from 1970-01-01 (UTC), ascending.
    pub(crate) days: Vec<i32>,
}

/// The scores of each video from the daily statistics of days (UTC) that ended before the first question of the
/// split; `None` where questions have no time, or no day ended before them.
pub(crate) fn content_scores(set: &Dataset, split: &Split) -> Option<ContentScores> {
    if set.daily.is_empty() {
        return None;
    }
    let asked = split.validation.iter().chain(&split.test).map(|query| query.at);
    // A question without a time could be about any day: then no day is known to lie before it.
    let first = asked.collect::<Option<Vec<i64>>>()?.into_iter().min()?;
    let cut = Cut::at(first);
    let table = scores(&set.daily, set.videos.len(), &Worth::default(), cut);
    table.missing.contains(&false).then(|| ContentScores {
        table: Arc::new(table),
        days: days_read(&set.daily, set.videos.len(), cut).into_iter().collect(),
    })
}

/// Means of precision, recall, F1 and Jaccard at each k between the first k of a list and the true top k: the k
/// held-out videos with the largest watch ratio (or rating), wanted or not, the lower row first among equals. Users
/// with at most k held-out values are not asked, since all of them would be true; without a user there is no number.
pub(crate) fn against_true_top(
    cases: &[Case],
    held_out_values: &[(u32, Interaction)],
    ks: &[usize],
) -> BTreeMap<String, f64> {
    let mut values: HashMap<u32, Vec<(f32, u32)>> = HashMap::new();
    for (user, row) in held_out_values {
        if let Some(value) = row.value.filter(|value| value.is_finite()) {
            values.entry(*user).or_default().push((value, row.video));
        }
    }
    for of_user in values.values_mut() {
        of_user.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    let mut means = BTreeMap::new();
    for &k in ks {
        let asked: Vec<Case> = cases
            .iter()
            .filter_map(|case| {
                let known = values.get(&case.user).filter(|known| known.len() > k)?;
                let truth = known[..k].iter().map(|&(_, video)| video).collect();
                Some(Case::from_list(case.user, case.top(k).to_vec(), truth, case.n_candidates))
            })
            .collect();
        if asked.is_empty() {
            continue;
        }
        let kinds = [Kind::Precision, Kind::Recall, Kind::F1, Kind::Jaccard];
        let table = measure(&Ranked::grid(&kinds, &[k]), &asked);
        for kind in kinds {
            let mean = table.mean(&format!("{}@{k}", kind.name())).expect("it was measured just now");
            means.insert(format!("true_top_{}@{k}", kind.name()), mean);
        }
        means.insert(format!("true_top_users@{k}"), asked.len() as f64);
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Judgement;

    #[test]
    fn a_list_is_held_against_what_was_watched_longest() {
        let row = |video, value| Interaction {
            video,
            time: 0,
            value: Some(value),
            judgement: Judgement::Neutral,
            actions: upnext_data::Actions::default(),
        };
        // The true top 2 are videos 5 and 3; the list's first two are 3 and 9.
        let values: Vec<(u32, Interaction)> =
            [(3, 1.5), (4, 0.2), (5, 8.0)].map(|(video, value)| (1, row(video, value))).to_vec();
        let list = |user| Case::from_list(user, vec![3, 9, 5], vec![4], 10);
        let means = against_true_top(&[list(1), list(2)], &values, &[2, 3]);
        assert_eq!(means["true_top_precision@2"], 0.5);
        assert_eq!(means["true_top_recall@2"], 0.5);
        assert_eq!(means["true_top_f1@2"], 0.5);
        assert!((means["true_top_jaccard@2"] - 1.0 / 3.0).abs() < 1e-12);
        // User 2 has no value; of user 1 all three are known, so the top 3 would say nothing.
        assert_eq!(means["true_top_users@2"], 1.0);
        assert!(!means.contains_key("true_top_precision@3"));
    }
}
