//! Generated data as KuaiRec's files: text is built in blocks on all cores and written in order, so memory does
//! not grow with the number of rows and the bytes do not depend on the number of threads.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use upnext_data::{DAYS, Matrix, Row, START_MS, Synthetic, UNKNOWN_FROM};
use upnext_math::seed::mix;

use crate::progress;

const DAY_MS: i64 = 86_400_000;
/// China has no summer time: KuaiRec's dates are eight hours ahead of UTC.
const CHINA_MS: i64 = 8 * 3_600_000;
/// Rows of one block, about: 2 MB of text.
const BLOCK_ROWS: u64 = 20_000;
/// Blocks of text in memory at once.
const BLOCKS: usize = 16;

/// Writes all files into a folder that is there.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(folder: &Path, made: &Synthetic) -> Result<()> {
    matrix(&folder.join("big_matrix.csv"), made, Matrix::Big)?;
    if made.n_users(Matrix::Small) > 0 {
        matrix(&folder.join("small_matrix.csv"), made, Matrix::Small)?;
    }
    let users = made.shape().users;
    let videos = made.shape().videos;
    table(&folder.join("item_daily_features.csv"), &DAILY.join(","), videos, |at, text| {
        daily(made, at, text)
    })?;
    table(&folder.join("item_categories.csv"), "video_id,feat", videos, |at, text| {
        let facts = made.video(at);
        let _ = match at % 4 {
            0 => writeln!(text, "{at},\"[{}, {}]\"", facts.group, 24 + facts.group % 7),
            _ => writeln!(text, "{at},[{}]", facts.group),
        };
    })?;
    table(&folder.join("user_features.csv"), &user_columns(), users, |at, text| user(made, at, text))?;
    table(&folder.join("social_network.csv"), "user_id,friend_list", users, |at, text| {
        let friends = made.friends_of(at);
        if !friends.is_empty() {
            let list: Vec<String> = friends.iter().map(u32::to_string).collect();
            let _ = writeln!(text, "{at},\"[{}]\"", list.join(", "));
        }
    })?;
    let columns = "video_id,manual_cover_text,caption,topic_tag,first_level_category_id,first_level_category_name,\
                   second_level_category_id,second_level_category_name,third_level_category_id,third_level_category_name";
    table(&folder.join("kuairec_caption_category.csv"), columns, videos, |at, text| caption(made, at, text))
}

/// Runs of users whose rows fill a block each.
fn blocks(made: &Synthetic, matrix: Matrix) -> Vec<(usize, usize, u64)> {
    let (mut blocks, mut first, mut rows) = (Vec::new(), 0, 0);
    let n = made.n_users(matrix);
    for user in 0..n {
        rows += made.n_rows_of(matrix, user);
        if rows >= BLOCK_ROWS || user + 1 == n {
            blocks.push((first, user + 1, rows));
            (first, rows) = (user + 1, 0);
        }
    }
    blocks
}

fn matrix(path: &Path, made: &Synthetic, which: Matrix) -> Result<()> {
    let failed = || format!("{} cannot be written: is there room on the disk?", path.display());
    let mut file = File::create(path).with_context(failed)?;
    let header = b"user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n";
    file.write_all(header).with_context(failed)?;
    let blocks = blocks(made, which);
    let total: u64 = blocks.iter().map(|&(_, _, rows)| rows).sum();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bar = progress::bar(total as usize, &format!("generating {name}"));
    for some in blocks.chunks(BLOCKS) {
        let texts: Vec<Vec<u8>> = some
            .par_iter()
            .map(|&(first, end, n)| {
                let (mut text, mut rows) = (Vec::with_capacity(n as usize * 96), Vec::new());
                for user in first..end {
                    rows.clear();
                    made.rows_of(which, user, &mut rows);
                    rows.iter().for_each(|row| push_row(&mut text, row));
                }
                text
            })
            .collect();
        for (text, &(_, _, rows)) in texts.iter().zip(some) {
            file.write_all(text).with_context(failed)?;
            bar.inc(rows);
        }
    }
    bar.finish_and_clear();
    file.sync_all().with_context(failed)
}

fn push_number(text: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

/// A number with leading zeros.
fn push_padded(text: &mut Vec<u8>, n: u64, width: u32) {
    for place in (0..width).rev() {
        text.push(b'0' + (n / 10u64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: i64) -> (u64, u64, u64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u64, month as u64, (of_year - (153 * shifted + 2) / 5 + 1) as u64)
}

fn push_date(text: &mut Vec<u8>, day: i64, between: &[u8]) {
    let (year, month, of_month) = civil(day);
    push_padded(text, year, 4);
    text.extend_from_slice(between);
    push_padded(text, month, 2);
    text.extend_from_slice(between);
    push_padded(text, of_month, 2);
}

fn push_row(text: &mut Vec<u8>, row: &Row) {
    push_number(text, u64::from(row.user));
    text.push(b',');
    push_number(text, u64::from(row.video));
    text.push(b',');
    if let Some(ms) = row.play_ms {
        push_number(text, u64::from(ms));
    }
    text.push(b',');
    push_number(text, u64::from(row.duration_ms));
    text.push(b',');
    match row.time_ms {
        None => text.extend_from_slice(b",,"),
        Some(time) => push_times(text, time),
    }
    text.push(b',');
    if let Some(ratio) = row.ratio {
        write!(text, "{ratio:?}").expect("a vector takes all that is written");
    }
    text.push(b'\n');
}

/// `2020-07-05 05:41:43.438,20200705,1593898903.438`.
fn push_times(text: &mut Vec<u8>, time: i64) {
    let local = time + CHINA_MS;
    let (day, of_day) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS) as u64);
    push_date(text, day, b"-");
    text.push(b' ');
    push_padded(text, of_day / 3_600_000, 2);
    text.push(b':');
    push_padded(text, of_day / 60_000 % 60, 2);
    text.push(b':');
    push_padded(text, of_day / 1_000 % 60, 2);
    text.push(b'.');
    push_padded(text, of_day % 1_000, 3);
    text.push(b',');
    push_date(text, day, b"");
    text.push(b',');
    if time < 0 {
        text.push(b'-');
    }
    push_number(text, time.unsigned_abs() / 1_000);
    text.push(b'.');
    push_padded(text, time.unsigned_abs() % 1_000, 3);
}

/// A table with some lines for each row number, built in blocks.
fn table(path: &Path, header: &str, n: usize, lines: impl Fn(usize, &mut String) + Sync) -> Result<()> {
    let failed = || format!("{} cannot be written: is there room on the disk?", path.display());
    let mut file = File::create(path).with_context(failed)?;
    writeln!(file, "{header}").with_context(failed)?;
    let step = 256;
    let starts: Vec<usize> = (0..n).step_by(step).collect();
    for some in starts.chunks(BLOCKS) {
        let texts: Vec<String> = some
            .par_iter()
            .map(|&first| {
                let mut text = String::new();
                (first..n.min(first + step)).for_each(|at| lines(at, &mut text));
                text
            })
            .collect();
        for text in texts {
            file.write_all(text.as_bytes()).with_context(failed)?;
        }
    }
    file.sync_all().with_context(failed)
}

/// A number from two others and a place, for tables: no stream is kept.
fn draw(made: &Synthetic, row: usize, place: u64) -> f64 {
    let x = mix(mix(made.shape().seed ^ (place << 40)) ^ row as u64);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

const DAILY: [&str; 58] = [
    "video_id",
    "date",
    "author_id",
    "video_type",
    "upload_dt",
    "upload_type",
    "visible_status",
    "video_duration",
    "video_width",
    "video_height",
    "music_id",
    "video_tag_id",
    "video_tag_name",
    "show_cnt",
    "show_user_num",
    "play_cnt",
    "play_user_num",
    "play_duration",
    "complete_play_cnt",
    "complete_play_user_num",
    "valid_play_cnt",
    "valid_play_user_num",
    "long_time_play_cnt",
    "long_time_play_user_num",
    "short_time_play_cnt",
    "short_time_play_user_num",
    "play_progress",
    "comment_stay_duration",
    "like_cnt",
    "like_user_num",
    "click_like_cnt",
    "double_click_cnt",
    "cancel_like_cnt",
    "cancel_like_user_num",
    "comment_cnt",
    "comment_user_num",
    "direct_comment_cnt",
    "reply_comment_cnt",
    "delete_comment_cnt",
    "delete_comment_user_num",
    "comment_like_cnt",
    "comment_like_user_num",
    "follow_cnt",
    "follow_user_num",
    "cancel_follow_cnt",
    "cancel_follow_user_num",
    "share_cnt",
    "share_user_num",
    "download_cnt",
    "download_user_num",
    "report_cnt",
    "report_user_num",
    "reduce_similar_cnt",
    "reduce_similar_user_num",
    "collect_cnt",
    "collect_user_num",
    "cancel_collect_cnt",
    "cancel_collect_user_num",
];

/// A video's statistics on the platform, a line a day from its publication on.
fn daily(made: &Synthetic, video: usize, text: &mut String) {
    let facts = made.video(video);
    let at = |place| draw(made, video, place);
    let date = |day: i64, between: &str| {
        let (year, month, of_month) = civil((START_MS + CHINA_MS) / DAY_MS + day);
        format!("{year:04}{between}{month:02}{between}{of_month:02}")
    };
    let upload = date(i64::from(facts.published_day), "-");
    // As in KuaiRec: lengths are missing for 3 % of the videos, tags for a tenth, collections for a fifth.
    let duration = if at(1) < 0.031 { String::new() } else { format!("{}.0", facts.duration_ms) };
    let tag =
        if at(2) < 0.095 { ",".into() } else { format!("{},generated-{}", 100 + facts.group, facts.group) };
    let upload_type = ["ShortImport", "LongImport", "ShortCamera", "PictureSet"][(at(3) * 4.0) as usize];
    let video_type = if at(4) < 0.03 { "AD" } else { "NORMAL" };
    let status = if at(5) < 0.95 { "public" } else { "only friends" };
    let (width, height) = if at(6) < 0.8 { (720, 1280) } else { (1280, 720) };
    let music = (at(7) * made.shape().videos as f64) as u64;
    let (like, comment, share) = (0.01 + 0.06 * at(8), 0.001 + 0.01 * at(9), 0.0005 + 0.004 * at(10));
    let trend = 0.06 * (at(11) - 0.5);
    for day in i64::from(facts.published_day.max(0))..i64::from(DAYS) {
        let noise = |place: u64| 0.8 + 0.4 * draw(made, video, (place << 8) | day as u64);
        let age = (day - i64::from(facts.published_day)) as f64;
        let plays =
            (3e6 * facts.popularity * (trend * day as f64).exp() / (1.0 + 0.05 * age) * noise(20)).round();
        let people = |count: f64| (count * 0.87).round();
        let shown = (plays * (1.15 + 0.3 * at(12))).round();
        let complete = (plays * (0.45 * facts.appeal * noise(21)).min(0.95)).round();
        let valid = (plays * (0.6 * facts.appeal.sqrt() * noise(22)).min(0.98)).round();
        let long =
            (plays * (f64::from(facts.duration_ms) / 60_000.0).min(0.6) * facts.appeal.min(1.5) * noise(23))
                .round();
        let short = (plays * (0.25 / facts.appeal * noise(24)).min(0.9)).round();
        let seconds = (plays * f64::from(facts.duration_ms) * 0.8 * facts.appeal * noise(25)).round();
        let progress = (0.65 * facts.appeal * noise(26)).min(2.0);
        let rate = |share: f64, place: u64| (plays * share * noise(place)).round();
        let (likes, comments, follows) = (rate(like, 27), rate(comment, 28), rate(like * 0.08, 29));
        let _ = write!(
            text,
            "{video},{},{},{video_type},{upload},{upload_type},{status},{duration},{width},{height},{music},{tag}",
            date(day, ""),
            facts.author
        );
        let (clicked, cancelled) = ((likes * 0.4).round(), (likes * 0.05).round());
        let (answers, deleted) = ((comments * 0.3).round(), (comments * 0.03).round());
        let with_people = |count: f64| [count, people(count)];
        for count in [shown, plays].map(with_people).as_flattened() {
            let _ = write!(text, ",{count}");
        }
        let _ = write!(text, ",{seconds}");
        for count in [complete, valid, long, short].map(with_people).as_flattened() {
            let _ = write!(text, ",{count}");
        }
        let _ = write!(text, ",{progress:.6},{}", (comments * 9_000.0 * noise(30)).round());
        let numbers = [
            likes,
            people(likes),
            clicked,
            likes - clicked,
            cancelled,
            people(cancelled),
            comments,
            people(comments),
            comments - answers,
            answers,
            deleted,
            people(deleted),
            (comments * 0.6).round(),
            (comments * 0.4).round(),
            follows,
            people(follows),
            (follows * 0.1).round(),
            (follows * 0.1).round(),
        ];
        let shares = rate(share, 31);
        let (loads, reports, fewer) = (rate(share * 0.7, 32), rate(0.0001, 33), rate(0.0006, 34));
        let tail = [shares, loads, reports, fewer].map(with_people);
        for count in numbers.iter().chain(tail.as_flattened()) {
            let _ = write!(text, ",{count}");
        }
        if at(13) < 0.2 {
            text.push_str(",,,,\n");
        } else {
            let kept = rate(like * 0.15, 35);
            let given_up = (kept * 0.1).round();
            let _ = writeln!(text, ",{kept},{},{given_up},{}", people(kept), people(given_up));
        }
    }
}

fn user_columns() -> String {
    let mut columns = String::from(
        "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,\
         follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,register_days,\
         register_days_range",
    );
    (0..18).for_each(|n| columns += &format!(",onehot_feat{n}"));
    columns
}

fn user(made: &Synthetic, user: usize, text: &mut String) {
    let at = |place| draw(made, user, 100 + place);
    let rows = made.n_rows_of(Matrix::Big, user);
    let mean = made.shape().rows as f64 / made.shape().users as f64;
    let degree = match rows as f64 / mean {
        _ if at(0) < 0.02 => "UNKNOWN",
        x if x > 0.8 => "full_active",
        x if x > 0.4 => "high_active",
        _ => "middle_active",
    };
    let flag = |place, share: f64| u8::from(at(place) < share);
    let range = |n: u64, bounds: &[(u64, &'static str)], above: &'static str| {
        let name = bounds.iter().find(|&&(most, _)| n <= most).map_or(above, |&(_, name)| name);
        if name.contains(',') { format!("\"{name}\"") } else { name.to_string() }
    };
    let heavy = |place, scale: f64| (scale * (1.0 / (1.0 - at(place)).max(1e-6) - 1.0)).min(5_000.0) as u64;
    let (follows, fans, friends) = (heavy(4, 40.0), heavy(5, 5.0), made.friends_of(user).len() as u64);
    let days = 8 + (at(6).powi(2) * 2_000.0) as u64;
    let _ = write!(
        text,
        "{user},{degree},{},{},{},{follows},{},{fans},{},{friends},{},{days},{}",
        flag(1, 0.01),
        flag(2, 0.005),
        flag(3, 0.15),
        range(
            follows,
            &[
                (0, "0"),
                (10, "(0,10]"),
                (50, "(10,50]"),
                (100, "(50,100]"),
                (150, "(100,150]"),
                (250, "(150,250]"),
                (500, "(250,500]")
            ],
            "500+"
        ),
        range(fans, &[(0, "0"), (9, "[1,10)"), (99, "[10,100)"), (999, "[100,1k)")], "[1k,5k)"),
        range(friends, &[(0, "0"), (4, "[1,5)")], "[5,30)"),
        range(
            days,
            &[
                (14, "8-14"),
                (30, "15-30"),
                (60, "31-60"),
                (90, "61-90"),
                (180, "91-180"),
                (365, "181-365"),
                (730, "366-730")
            ],
            "730+"
        ),
    );
    let sizes = [2u64, 7, 50, 1_471, 15, 34, 3, 118, 454, 7, 5, 5, 2, 2, 2, 2, 2, 2];
    for (n, size) in sizes.into_iter().enumerate() {
        // As in KuaiRec, the last ones are empty for a few users.
        if n >= 12 && at(7) < 0.01 {
            text.push(',');
        } else {
            let _ = write!(text, ",{}", (at(20 + n as u64) * size as f64) as u64);
        }
    }
    text.push('\n');
}

/// Words that say what a group is about; a caption takes some and the video's number.
const TOPICS: [[&str; 4]; 24] = [
    ["street food", "noodles", "recipe", "kitchen"],
    ["puppy", "cat", "pets", "training"],
    ["football", "goal", "match", "dribble"],
    ["makeup", "skin care", "lipstick", "tutorial"],
    ["dance", "choreography", "steps", "music"],
    ["comedy", "sketch", "prank", "laugh"],
    ["travel", "mountains", "lake", "camping"],
    ["cars", "engine", "drift", "review"],
    ["phone", "gadget", "unboxing", "app"],
    ["guitar", "cover", "song", "live"],
    ["drawing", "ink", "portrait", "sketchbook"],
    ["fitness", "squats", "workout", "stretch"],
    ["garden", "roses", "soil", "harvest"],
    ["baby", "family", "toys", "bedtime"],
    ["history", "palace", "dynasty", "museum"],
    ["chess", "opening", "endgame", "puzzle"],
    ["fishing", "river", "catch", "boat"],
    ["carpentry", "wood", "joint", "chair"],
    ["anime", "cosplay", "episode", "manga"],
    ["fashion", "outfit", "shoes", "autumn"],
    ["drone", "city", "night", "skyline"],
    ["farm", "goats", "milk", "village"],
    ["magic", "cards", "trick", "coin"],
    ["science", "physics", "experiment", "magnet"],
];

fn caption(made: &Synthetic, video: usize, text: &mut String) {
    let group = made.video(video).group as usize;
    let words = TOPICS[group % TOPICS.len()];
    let at = |place: u64| words[(draw(made, video, 200 + place) * words.len() as f64) as usize];
    let cover = if draw(made, video, 210) < 0.6 { "UNKNOWN".into() } else { format!("{} {}", at(0), at(1)) };
    let (first, second, third) = (1 + group / 6, 100 + group, 1_000 + 4 * group + video % 4);
    let _ = writeln!(
        text,
        "{video},{cover},generated {video}: {} {} with {} #{},[{}],{first},generated-area-{first},{second},{},{third},{}",
        at(2),
        at(3),
        at(4),
        words[0].replace(' ', "-"),
        words[0].replace(' ', "-"),
        words[0],
        words[video % 4],
    );
    // What no table knows, no table may hold.
    debug_assert!((video as u64) < u64::from(UNKNOWN_FROM));
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Faults, Shape};

    fn shape() -> Shape {
        Shape {
            users: 20,
            videos: 60,
            rows: 3_000,
            small_rows: 30,
            faults: Faults::spread(0.1),
            small_faults: Faults::spread(0.1),
            seed: 3,
        }
    }

    #[test]
    fn a_row_is_written_as_kuairec_writes_it() {
        let mut text = Vec::new();
        let row = Row {
            user: 14,
            video: 148,
            play_ms: Some(4381),
            duration_ms: 6067,
            time_ms: Some(1_593_898_903_438),
            ratio: Some(0.5),
            fault: None,
        };
        push_row(&mut text, &row);
        push_row(&mut text, &Row { time_ms: None, play_ms: None, ratio: None, ..row });
        push_row(&mut text, &Row { time_ms: Some(-3_600_000), ..row });
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "14,148,4381,6067,2020-07-05 05:41:43.438,20200705,1593898903.438,0.5");
        assert_eq!(lines[1], "14,148,,6067,,,,");
        assert_eq!(lines[2], "14,148,4381,6067,1970-01-01 07:00:00.000,19700101,-3600.000,0.5");
    }

    #[test]
    fn every_file_has_as_many_fields_a_line_as_its_header_and_the_bytes_do_not_depend_on_threads() {
        let made = Synthetic::new(shape()).unwrap();
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(one.path(), &made).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| write(two.path(), &made)).unwrap();
        let mut n_files = 0;
        for entry in std::fs::read_dir(one.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, std::fs::read_to_string(two.path().join(path.file_name().unwrap())).unwrap());
            let fields = |line: &str| {
                let mut quoted = false;
                line.chars()
                    .filter(|&c| {
                        quoted ^= c == '"';
                        c == ',' && !quoted
                    })
                    .count()
            };
            let mut lines = text.lines();
            let expected = fields(lines.next().unwrap());
            lines.for_each(|line| assert_eq!(fields(line), expected, "{}: {line}", path.display()));
            n_files += 1;
        }
        assert_eq!(n_files, 7);
    }
}
