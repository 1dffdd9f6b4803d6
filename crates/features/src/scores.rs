//! The scores of a video that content designs are made of, from a platform's daily statistics.
//!
//! The design that names them gives no formulas. These are ours: every score is over the means of the days before
//! the cut, `plays` stands for mean `play_cnt` + 1, and a score of which one measure is not known is missing.

use upnext_data::Daily;

use crate::statistics::Means;
use crate::trending::{WINDOW_DAYS, line};
use crate::{Cut, Table, engagement};

/// What an act of a viewer is worth in `engagement_score`, in likes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// A comment takes longer than a like.
    pub comment: f32,
    /// A share puts one's name on it.
    pub share: f32,
    /// A report, which counts against it.
    pub report: f32,
    /// "Show me less of this", which counts against it.
    pub reduce_similar: f32,
}

impl Default for Worth {
    fn default() -> Self {
        Self { comment: 2.0, share: 3.0, report: 10.0, reduce_similar: 5.0 }
    }
}

/// The names of the scores, in the order of the columns.
pub const NAMES: [&str; 13] = [
    "completion_rate",
    "engagement_depth",
    "validation_ratio",
    "like_ratio",
    "comment_ratio",
    "share_ratio",
    "report_ratio",
    "reduce_similar_ratio",
    "quality_score",
    "engagement_score",
    "follow_impact",
    "retention_impact",
    "trending_score",
];

/// `(videos, 13)`: the scores of each video at a cut. What is missing holds 0 and is flagged.
///
/// | score | formula over mean daily counts, `plays` = `play_cnt` + 1 | unit |
/// | --- | --- | --- |
/// | `completion_rate` | `complete_play_cnt` / plays | share of plays |
/// | `engagement_depth` | (`like` + `comment` + `share` + `follow` + `collect`) / plays | acts a play |
/// | `validation_ratio` | `valid_play_cnt` / plays | share of plays |
/// | `like_ratio` | `like_cnt` / plays | likes a play |
/// | `comment_ratio` | `comment_cnt` / plays | comments a play |
/// | `share_ratio` | `share_cnt` / plays | shares a play |
/// | `report_ratio` | `report_cnt` / plays | reports a play |
/// | `reduce_similar_ratio` | `reduce_similar_cnt` / plays | refusals a play |
/// | `quality_score` | (`complete` + `valid` + `long_time` − `short_time` plays) / (3 plays) | −1/3 to 1 |
/// | `engagement_score` | (`like` + 2 `comment` + 3 `share` − 10 `report` − 5 `reduce_similar`) / plays | likes a play |
/// | `follow_impact` | (`follow_cnt` − `cancel_follow_cnt`) / plays | followers won a play |
/// | `retention_impact` | (`long_time_play_cnt` − `short_time_play_cnt`) / plays | −1 to 1 |
/// | `trending_score` | slope of `play_cnt` over the last 7 days / (its mean + 1) | share a day |
pub fn scores(daily: &Daily, n_videos: usize, worth: &Worth, cut: Cut) -> Table {
    let rows = (0..n_videos as u32).flat_map(|video| of_video(daily, video, worth, cut));
    Table::from_values(NAMES.map(String::from).to_vec(), n_videos, rows.collect(), 0.0)
}

/// Every count is a mean or NaN, and what is made with NaN is NaN: nothing unknown becomes 0.
fn of_video(daily: &Daily, video: u32, worth: &Worth, cut: Cut) -> [f32; NAMES.len()] {
    let means = Means::new(daily, video, cut);
    let count = |name: &str| means.of(name);
    let plays = count("play_cnt") + 1.0;
    let (likes, comments, shares) = (count("like_cnt"), count("comment_cnt"), count("share_cnt"));
    let (reports, refusals) = (count("report_cnt"), count("reduce_similar_cnt"));
    let (complete, valid) = (count("complete_play_cnt"), count("valid_play_cnt"));
    let (long, short) = (count("long_time_play_cnt"), count("short_time_play_cnt"));
    let follows = count("follow_cnt");
    let trend = line(daily, "play_cnt", video, WINDOW_DAYS, cut);
    [
        engagement::completion_rate(complete, plays - 1.0),
        (likes + comments + shares + follows + count("collect_cnt")) / plays,
        valid / plays,
        engagement::like_rate(likes, plays - 1.0),
        comments / plays,
        shares / plays,
        reports / plays,
        refusals / plays,
        (complete + valid + long - short) / (3.0 * plays),
        (likes + worth.comment * comments + worth.share * shares
            - worth.report * reports
            - worth.reduce_similar * refusals)
            / plays,
        (follows - count("cancel_follow_cnt")) / plays,
        (long - short) / plays,
        trend.map_or(f32::NAN, |(slope, mean)| slope / (mean + 1.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::DAY_MS;

    fn two_days(columns: &[(&str, f32, f32)]) -> Daily {
        let measures = columns.iter().map(|&(name, a, b)| (name.to_string(), vec![a, b])).collect();
        Daily::new(vec![0, 0], vec![1, 2], measures)
    }

    #[test]
    fn every_score_by_hand() {
        let daily = two_days(&[
            ("play_cnt", 94.0, 104.0),
            ("complete_play_cnt", 40.0, 40.0),
            ("valid_play_cnt", 70.0, 70.0),
            ("long_time_play_cnt", 30.0, 30.0),
            ("short_time_play_cnt", 20.0, 20.0),
            ("like_cnt", 9.0, 11.0),
            ("comment_cnt", 4.0, 4.0),
            ("share_cnt", 2.0, 2.0),
            ("follow_cnt", 3.0, 3.0),
            ("cancel_follow_cnt", 1.0, 1.0),
            ("collect_cnt", 1.0, 1.0),
            ("report_cnt", 0.5, 0.5),
            ("reduce_similar_cnt", 1.0, 1.0),
        ]);
        let table = scores(&daily, 1, &Worth::default(), Cut::at(3 * DAY_MS));
        assert_eq!(table.missing, [false; 13]);
        // 99 plays a day, so 100 below the line; 10 likes; the line rises by 10 a day over a mean of 99.
        let by_hand = [0.4, 0.2, 0.7, 0.1, 0.04, 0.02, 0.005, 0.01, 0.4, 0.14, 0.02, 0.1, 0.1];
        for ((name, found), expected) in NAMES.iter().zip(table.matrix.row(0)).zip(by_hand) {
            assert!((found - expected).abs() < 1e-6, "{name}: {found}, by hand {expected}");
        }
    }

    #[test]
    fn a_measure_that_the_set_lacks_makes_its_scores_missing() {
        let daily = two_days(&[("play_cnt", 9.0, 9.0), ("like_cnt", 1.0, 1.0)]);
        let table = scores(&daily, 2, &Worth::default(), Cut::at(3 * DAY_MS));
        let known: Vec<&str> = NAMES.into_iter().filter(|name| table.get(0, name).is_some()).collect();
        assert_eq!(known, ["like_ratio", "trending_score"]);
        assert_eq!(table.missing_of(1), [true; 13]);
    }
}
