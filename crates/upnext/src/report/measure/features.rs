//! What is known of each video as numbers: how they move together, and with the target.

use serde::Serialize;
use upnext_data::{Action, Dataset};
use upnext_features::{Cut, daily_mean, engagement};
use upnext_math::Matrix;
use upnext_math::linalg::symmetric_eigen;
use upnext_math::seed::Random;

use super::sketch::{Describe, sample};
use super::tally::Tally;
use super::{Section, VideoName, absent};

/// Counts of a platform's day that the KuaiRec analyses look at.
const DAILY_MEASURES: [&str; 10] = [
    "show_cnt",
    "play_cnt",
    "play_duration",
    "play_progress",
    "complete_play_cnt",
    "valid_play_cnt",
    "long_time_play_cnt",
    "like_cnt",
    "comment_cnt",
    "share_cnt",
];

/// Features of the projection, where a platform's statistics are there.
const PROJECTED: [&str; 5] =
    ["engagement_rate", "completion_rate", "like_rate", "avg_watch_ratio", "video_duration"];

/// Points of one scatter plot; more would hide one another.
const POINTS_MAX: usize = 1500;

/// Columns taken from attributes; a wider table would not be read.
const ATTRIBUTES_MAX: usize = 12;

/// One summarised column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Described {
    /// Its name.
    pub(crate) name: String,
    /// Its summary; `None` where every value is missing.
    pub(crate) describe: Option<Describe>,
}

/// Something left out, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LeftOut {
    /// Its name.
    pub(crate) name: String,
    /// In words.
    pub(crate) reason: String,
}

/// How one feature goes with the target, over videos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct WithTarget {
    /// The feature.
    pub(crate) feature: String,
    /// Pearson's correlation, of the values.
    pub(crate) pearson: f64,
    /// Spearman's correlation, of their ranks.
    pub(crate) spearman: f64,
    /// Videos of which both are known.
    pub(crate) videos: usize,
}

/// One video in a plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Point {
    /// Across.
    pub(crate) x: f64,
    /// Up.
    pub(crate) y: f64,
    /// The mean target.
    pub(crate) target: f64,
    /// Which.
    pub(crate) video: VideoName,
}

/// A tenth of the videos in the order of a feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Tenth {
    /// Its least value.
    pub(crate) from: f64,
    /// Its largest value.
    pub(crate) to: f64,
    /// Mean of the videos' mean targets.
    pub(crate) target: f64,
    /// Videos in it.
    pub(crate) videos: usize,
}

/// A feature against the target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Scatter {
    /// Which feature.
    pub(crate) feature: String,
    /// Some of the videos.
    pub(crate) points: Vec<Point>,
    /// All of them, in ten groups.
    pub(crate) tenths: Vec<Tenth>,
}

/// How features move together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Correlations {
    /// Videos with an event.
    pub(crate) videos: usize,
    /// Rows and columns of `matrix`; the target is last, where there is one.
    pub(crate) names: Vec<String>,
    /// Pearson's correlation of each two, over the videos of which both are known.
    pub(crate) matrix: Vec<Vec<f64>>,
    /// Features that say nothing here.
    pub(crate) left_out: Vec<LeftOut>,
}

/// How features go with the target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Relations {
    /// Strongest first.
    pub(crate) with_target: Vec<WithTarget>,
    /// The strongest five.
    pub(crate) scatters: Vec<Scatter>,
}

/// Videos in the plane of their two main directions (Pearson 1901), features standardised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Projection {
    /// The features.
    pub(crate) features: Vec<String>,
    /// Values that were missing and became the median.
    pub(crate) imputed: Vec<usize>,
    /// Share of the variance along each direction, largest first.
    pub(crate) explained: Vec<f64>,
    /// Weight of each feature in the first two directions.
    pub(crate) loadings: Vec<[f64; 2]>,
    /// Some of the videos.
    pub(crate) points: Vec<Point>,
    /// Videos that were projected.
    pub(crate) videos: usize,
}

/// Everything about features.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Features {
    /// Platform statistics, one row for each video and day.
    pub(crate) daily: Section<Vec<Described>>,
    /// What events and the catalogue give, one row for each video with an event.
    pub(crate) of_videos: Vec<Described>,
    /// The correlation matrix.
    pub(crate) correlations: Section<Correlations>,
    /// Features and target.
    pub(crate) relations: Section<Relations>,
    /// The projection.
    pub(crate) projection: Section<Projection>,
}

/// Columns by name, one value for each of `videos`, NaN where nothing is known.
struct Table {
    videos: Vec<u32>,
    columns: Vec<(String, Vec<f64>)>,
    target: Option<Vec<f64>>,
}

impl Table {
    fn column(&self, name: &str) -> Option<&(String, Vec<f64>)> {
        self.columns.iter().find(|(known, _)| known == name)
    }
}

/// Measures the features of all videos that have an event.
pub(crate) fn features(set: &Dataset, tally: &Tally, seed: u64) -> Features {
    let table = table(set, tally);
    let mut random = Random::new(seed);
    Features {
        daily: daily(set),
        of_videos: table
            .columns
            .iter()
            .map(|(name, values)| Described {
                name: name.clone(),
                describe: Describe::of(values.iter().copied()),
            })
            .collect(),
        correlations: correlations(&table),
        relations: relations(set, &table, &mut random),
        projection: projection(set, &table, &mut random),
    }
}

fn daily(set: &Dataset) -> Section<Vec<Described>> {
    if set.daily.is_empty() {
        return absent("the set has no daily statistics of its videos (shows, plays, likes)");
    }
    let known = DAILY_MEASURES.into_iter().filter_map(|name| Some((name, set.daily.measure(name)?)));
    let described: Vec<Described> = known
        .map(|(name, values)| Described {
            name: name.into(),
            describe: Describe::of(values.iter().map(|&value| f64::from(value))),
        })
        .collect();
    if described.is_empty() {
        return absent(format!("the daily statistics have none of {}", DAILY_MEASURES.join(", ")));
    }
    Section::There(described)
}

fn table(set: &Dataset, tally: &Tally) -> Table {
    let videos: Vec<u32> =
        (0..set.videos.len() as u32).filter(|&video| tally.of_video[video as usize] > 0).collect();
    let column =
        |value: &dyn Fn(u32) -> f64| -> Vec<f64> { videos.iter().map(|&video| value(video)).collect() };
    let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
    let mut push = |name: &str, values: Vec<f64>| columns.push((name.to_string(), values));
    daily_columns(set, &videos, &mut push);
    push("video_duration", column(&|video| known(set.videos.video(video).duration_seconds.map(f64::from))));
    push("events", column(&|video| f64::from(tally.of_video[video as usize])));
    if tally.pairs < tally.events {
        // Without repeats users and events would be one column twice.
        push("users", column(&|video| f64::from(tally.users_of_video[video as usize])));
    }
    for (action, of_video) in Action::ALL.into_iter().zip(&tally.actions_of_video) {
        if !of_video.is_empty() && tally.actions[action as usize] < tally.events {
            let share =
                |video: u32| f64::from(of_video[video as usize]) / f64::from(tally.of_video[video as usize]);
            push(&format!("{}_share", action.name()), column(&share));
        }
    }
    push("year", column(&|video| known(set.videos.video(video).year.map(f64::from))));
    let last = tally.time.last();
    let age = |video: u32| {
        let published = set.videos.video(video).published;
        known(published.zip(last).map(|(published, last)| (last - published) as f64 / 86_400_000.0))
    };
    push("age_days", column(&age));
    push("labels", column(&|video| set.videos.video(video).labels.len() as f64));
    let numbers = set
        .videos
        .attributes
        .iter()
        .filter_map(|(name, _)| Some((name, set.videos.attributes.numbers(name)?)));
    for (name, values) in numbers.take(ATTRIBUTES_MAX) {
        push(name, column(&|video| f64::from(values[video as usize])));
    }
    let target = tally.targets.chosen().map(|target| {
        let mean = |video: u32| {
            let moments = &target.videos[video as usize];
            if moments.count == 0 { f64::NAN } else { moments.mean }
        };
        column(&mean)
    });
    // What the set knows nothing of at all is told as a missing field, not as a feature.
    columns.retain(|(_, values)| values.iter().any(|value| !value.is_nan()));
    Table { videos, columns, target }
}

/// Means over each video's days, and the rates of the design made of them. No cut: a report describes, and predicts
/// nothing.
fn daily_columns(set: &Dataset, videos: &[u32], push: &mut impl FnMut(&str, Vec<f64>)) {
    let mean = |name: &str| -> Option<Vec<f64>> {
        set.daily.measure(name)?;
        let of = |&video: &u32| daily_mean(&set.daily, name, video, Cut::at(i64::MAX));
        Some(videos.iter().map(of).collect())
    };
    let mut rate = |name: &str, of: fn(f64, f64) -> f64, part: &str, whole: &str| {
        if let (Some(part), Some(whole)) = (mean(part), mean(whole)) {
            push(name, part.into_iter().zip(whole).map(|(part, whole)| of(part, whole)).collect());
        }
    };
    rate("engagement_rate", engagement::engagement_rate, "play_cnt", "show_cnt");
    rate("completion_rate", engagement::completion_rate, "complete_play_cnt", "play_cnt");
    rate("like_rate", engagement::like_rate, "like_cnt", "play_cnt");
    if let Some(played) = mean("play_duration") {
        // The platform counts milliseconds of all plays together.
        let ratio = |(&video, played): (&u32, f64)| {
            let duration = set.videos.video(video).duration_seconds;
            duration.map_or(f64::NAN, |seconds| played / (f64::from(seconds) * 1000.0 + 1.0))
        };
        push("avg_watch_ratio", videos.iter().zip(played).map(ratio).collect());
    }
    for name in DAILY_MEASURES {
        mean(name).into_iter().for_each(|values| push(name, values));
    }
}

/// Pearson's correlation over the rows where both are known, and how many those are.
fn pearson(a: &[f64], b: &[f64]) -> (f64, usize) {
    let both: Vec<(f64, f64)> =
        a.iter().zip(b).map(|(&a, &b)| (a, b)).filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
    let n = both.len() as f64;
    let (sum_a, sum_b) = both.iter().fold((0.0, 0.0), |(sa, sb), (a, b)| (sa + a, sb + b));
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in &both {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let scale = (aa * bb).sqrt();
    (if scale > 0.0 { (ab / scale).clamp(-1.0, 1.0) } else { f64::NAN }, both.len())
}

/// Ranks of the known values; ties share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&at| values[at].is_finite()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![f64::NAN; values.len()];
    let mut rank = 0.0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = rank + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|&at| ranks[at] = mean);
        rank += tied.len() as f64;
    }
    ranks
}

/// Spearman's correlation over the rows where both are known.
pub(crate) fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let known = |other: &[f64], values: &[f64]| -> Vec<f64> {
        values.iter().zip(other).map(|(&v, &o)| if o.is_finite() { v } else { f64::NAN }).collect()
    };
    pearson(&ranks(&known(b, a)), &ranks(&known(a, b))).0
}

fn varies(values: &[f64]) -> bool {
    let mut known = values.iter().filter(|value| value.is_finite());
    let first = known.next();
    known.any(|value| Some(value) != first)
}

fn correlations(table: &Table) -> Section<Correlations> {
    let (kept, constant): (Vec<_>, Vec<_>) = table.columns.iter().partition(|(_, values)| varies(values));
    let mut all: Vec<(&str, &[f64])> =
        kept.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
    all.extend(table.target.iter().map(|target| ("mean target", &target[..])));
    if all.len() < 2 {
        return absent("fewer than two features differ from video to video");
    }
    let matrix = all.iter().map(|(_, a)| all.iter().map(|(_, b)| pearson(a, b).0).collect()).collect();
    let left_out = constant
        .iter()
        .map(|(name, _)| LeftOut { name: name.clone(), reason: "the same for every video".into() })
        .collect();
    Section::There(Correlations {
        videos: table.videos.len(),
        names: all.iter().map(|(name, _)| name.to_string()).collect(),
        matrix,
        left_out,
    })
}

fn relations(set: &Dataset, table: &Table, random: &mut Random) -> Section<Relations> {
    let Some(target) = &table.target else {
        return absent("no event has a watch ratio, a rating or seconds watched to go with");
    };
    let mut with_target: Vec<WithTarget> = table
        .columns
        .iter()
        .filter_map(|(name, values)| {
            let (pearson, videos) = pearson(values, target);
            let spearman = spearman(values, target);
            pearson.is_finite().then(|| WithTarget { feature: name.clone(), pearson, spearman, videos })
        })
        .collect();
    with_target.sort_by(|a, b| b.pearson.abs().total_cmp(&a.pearson.abs()));
    if with_target.is_empty() {
        return absent("no feature differs from video to video together with a known target");
    }
    let scatters = with_target
        .iter()
        .take(5)
        .filter_map(|with| Some(scatter(set, table, target, table.column(&with.feature)?, random)))
        .collect();
    Section::There(Relations { with_target, scatters })
}

fn scatter(
    set: &Dataset,
    table: &Table,
    target: &[f64],
    (name, values): &(String, Vec<f64>),
    random: &mut Random,
) -> Scatter {
    let mut both: Vec<usize> =
        (0..values.len()).filter(|&at| values[at].is_finite() && target[at].is_finite()).collect();
    let points = sample(both.iter().copied(), POINTS_MAX, random)
        .into_iter()
        .map(|at| Point {
            x: values[at],
            y: target[at],
            target: target[at],
            video: VideoName::of(set, table.videos[at]),
        })
        .collect();
    both.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let n = both.len();
    let tenths = (0..10)
        .map(|tenth| &both[n * tenth / 10..n * (tenth + 1) / 10])
        .filter(|rows| !rows.is_empty())
        .map(|rows| Tenth {
            from: values[rows[0]],
            to: values[rows[rows.len() - 1]],
            target: rows.iter().map(|&at| target[at]).sum::<f64>() / rows.len() as f64,
            videos: rows.len(),
        })
        .collect();
    Scatter { feature: name.clone(), points, tenths }
}

fn projection(set: &Dataset, table: &Table, random: &mut Random) -> Section<Projection> {
    let Some(target) = &table.target else {
        return absent("no event has a watch ratio, a rating or seconds watched to colour videos by");
    };
    let from_daily = table.column("engagement_rate").is_some();
    let columns: Vec<&(String, Vec<f64>)> = table
        .columns
        .iter()
        .filter(|(name, values)| varies(values) && (!from_daily || PROJECTED.contains(&name.as_str())))
        .collect();
    let rows: Vec<usize> = (0..table.videos.len()).filter(|&at| target[at].is_finite()).collect();
    let mut imputed = Vec::new();
    let standardised: Vec<(String, Vec<f64>)> = columns
        .into_iter()
        .filter_map(|(name, values)| {
            let known = Describe::of(rows.iter().map(|&at| values[at]).filter(|value| value.is_finite()))?;
            let filled: Vec<f64> =
                rows.iter().map(|&at| if values[at].is_finite() { values[at] } else { known.p50 }).collect();
            let of_filled = Describe::of(filled.iter().copied())?;
            let std = of_filled.std.filter(|&std| std > 0.0)?;
            imputed.push(rows.len() - known.count as usize);
            let values = filled.iter().map(|value| (value - of_filled.mean) / std).collect();
            Some((name.clone(), values))
        })
        .collect();
    let d = standardised.len();
    if d < 2 || rows.len() < 3 {
        let n = rows.len();
        return absent(format!("{d} features differ among {n} videos; a projection needs two and three"));
    }
    let mut covariance = Matrix::zeros(d, d);
    for (a, (_, a_values)) in standardised.iter().enumerate() {
        for (b, (_, b_values)) in standardised.iter().enumerate() {
            let sum: f64 = a_values.iter().zip(b_values).map(|(x, y)| x * y).sum();
            covariance.row_mut(a)[b] = (sum / (rows.len() - 1) as f64) as f32;
        }
    }
    let (eigenvalues, vectors) = symmetric_eigen(&covariance);
    let total: f64 = eigenvalues.iter().map(|&value| f64::from(value.max(0.0))).sum();
    let explained = eigenvalues.iter().rev().map(|&value| f64::from(value.max(0.0)) / total).collect();
    // Ascending: the last two are the strongest. The sign is free; the largest weight is made positive.
    let direction = |at: usize| -> Vec<f64> {
        let weights: Vec<f64> = (0..d).map(|row| f64::from(vectors.row(row)[at])).collect();
        let largest = weights.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
        weights.iter().map(|weight| weight * largest.signum()).collect()
    };
    let (first, second) = (direction(d - 1), direction(d - 2));
    let along = |weights: &[f64], at: usize| -> f64 {
        weights.iter().zip(&standardised).map(|(weight, (_, values))| weight * values[at]).sum()
    };
    let points = sample(0..rows.len(), POINTS_MAX, random)
        .into_iter()
        .map(|at| Point {
            x: along(&first, at),
            y: along(&second, at),
            target: target[rows[at]],
            video: VideoName::of(set, table.videos[rows[at]]),
        })
        .collect();
    Section::There(Projection {
        features: standardised.iter().map(|(name, _)| name.clone()).collect(),
        imputed,
        explained,
        loadings: first.into_iter().zip(second).map(|(a, b)| [a, b]).collect(),
        points,
        videos: rows.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_of_a_line_a_curve_and_gaps() {
        let x = [1.0, 2.0, 3.0, 4.0, f64::NAN];
        assert!((pearson(&x, &[3.0, 5.0, 7.0, 9.0, 0.0]).0 - 1.0).abs() < 1e-12);
        assert!((pearson(&x, &[4.0, 3.0, 2.0, 1.0, 0.0]).0 + 1.0).abs() < 1e-12);
        // Means 2.5 and 2; sum of products -1.5*-1 + -0.5*-1 + 0.5*-1 + 1.5*3 = 6; squares 5 and 12.
        let curve = [1.0, 1.0, 1.0, 5.0, 2.0];
        assert!((pearson(&x, &curve).0 - 6.0 / 60.0f64.sqrt()).abs() < 1e-12);
        assert_eq!(pearson(&x, &curve).1, 4);
        assert!(pearson(&x, &[2.0; 5]).0.is_nan());
        assert!((spearman(&x, &[1.0, 10.0, 100.0, 1000.0, 0.0]) - 1.0).abs() < 1e-12);
        assert_eq!(ranks(&[5.0, 1.0, 5.0, f64::NAN])[..3], [1.5, 0.0, 1.5]);
    }
}
