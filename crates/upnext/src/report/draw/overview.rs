//! What the set is, in a few numbers and a few rows.

use super::html::{escape, number, of, percent, table, video, whole};
use super::{Answer, Context};
use crate::report::measure::Section;
use upnext_data::Order;

pub(super) fn header(context: &Context) -> String {
    let (set, size) = (&context.report.set, &context.report.dimensions);
    let mut cells = vec![
        ("events".to_string(), whole(size.events), format!("{} pairs", whole(size.pairs))),
        ("users".into(), whole(size.users as u64), format!("of {} known", whole(size.users_known as u64))),
        ("videos".into(), whole(size.videos as u64), format!("of {} known", whole(size.videos_known as u64))),
        ("density".into(), format!("{} %", number(size.density_percent)), "pairs / users × videos".into()),
    ];
    if let Section::There(target) = &context.report.target {
        let name = target.target.name();
        cells.push((
            format!("mean {name}"),
            number(target.describe.mean),
            format!("median {}", number(target.describe.p50)),
        ));
        let (threshold, word) = match target.target {
            crate::report::measure::target::Kind::WatchRatio => (2, "above"),
            crate::report::measure::target::Kind::Rating => (3, "at least"),
            crate::report::measure::target::Kind::WatchSeconds => (2, "at least"),
        };
        if let Some(threshold) = target.thresholds.get(threshold) {
            cells.push((
                "positive".into(),
                percent(threshold.percent),
                format!("{name} {word} {}", number(threshold.threshold)),
            ));
        }
    }
    let cells: String = cells
        .iter()
        .map(|(name, value, small)| {
            format!("<div><dt>{name}</dt><dd>{value}<small>{small}</small></dd></div>")
        })
        .collect();
    let order = match set.order {
        Order::Timed => "every event has a time",
        Order::Sequence => "events are in order, without times",
        Order::Unordered => "events have no order and no times",
    };
    // Made-up data must not look like a log: what it is stands above its first number.
    let terms =
        set.notice.as_ref().map_or_else(String::new, |notice| format!(" Data: {}.", escape(&notice.text)));
    format!(
        "<header><h1>What is in <bdi>{}</bdi>?</h1><p>Read as {}; {order}. Relevant means <code>{}</code>. Digest <code>{}</code>.{terms}</p>\
         <dl class=\"headline\">{cells}</dl></header>",
        escape(&set.name),
        escape(&set.recognised),
        escape(&set.relevance),
        escape(&set.digest),
    )
}

pub(super) fn preview(context: &Context) -> Answer {
    let report = context.report;
    let size = &report.dimensions;
    let mut answer = Answer::new("rows", "Size and first rows", "What does the data look like?");
    let actions: Vec<String> = size
        .actions
        .iter()
        .map(|count| format!("{} {}", whole(count.events), count.action.name().replace('_', " ")))
        .collect();
    answer.say(format!(
        "{} of {} on {}: {}. Each user has {} on average; of all pairs of these users and videos, {} % occur.",
        of(size.events, "event"),
        of(size.users as u64, "user"),
        of(size.videos as u64, "video"),
        if actions.is_empty() { "none".into() } else { actions.join(", ") },
        of_mean(size.events as f64 / size.users.max(1) as f64, "event"),
        number(size.density_percent),
    ));
    let mut tables = vec![
        ["events".to_string(), whole(size.events), "user, video, action, time, value, ratio".into()],
        ["users".into(), whole(size.users_known as u64), "id, labels, attributes".into()],
        [
            "videos".into(),
            whole(size.videos_known as u64),
            "id, title, text, labels, creator, year, duration, attributes".into(),
        ],
    ];
    for (name, rows, holds) in [
        ("daily statistics", size.daily_rows, "video, day, measures"),
        ("circumstances", size.circumstances, "user, action, time, words, device, place"),
        ("friendships", size.friendships, "user, friend"),
    ] {
        tables.push([name.into(), if rows == 0 { "none".into() } else { whole(rows as u64) }, holds.into()]);
    }
    let tables = table("Tables of the set", &["table", "rows", "columns"], tables);
    answer.put(format!("<div class=\"last\">{tables}</div>"));
    let known = |value: Option<f32>| value.map_or_else(|| "–".into(), |value| number(f64::from(value)));
    let rows = report.preview.iter().map(|event| {
        [
            escape(&event.user),
            video(&event.video),
            event.action.name().replace('_', " "),
            event.time.as_deref().map_or_else(|| "–".into(), escape),
            known(event.value),
            known(event.ratio),
        ]
    });
    if report.preview.is_empty() {
        answer.say("There is no event to show.");
    } else {
        answer.put(format!(
            "<div class=\"second\">{}</div>",
            table(
                "The first events, by user and time",
                &["user", "video", "action", "time (UTC)", "value", "ratio"],
                rows
            )
        ));
    }
    answer
}

/// `165.3 events`.
pub(super) fn of_mean(n: f64, what: &str) -> String {
    format!("{} {what}s", number(n))
}

pub(super) fn footer(context: &Context) -> String {
    let set = &context.report.set;
    let notice = set.notice.as_ref().map_or_else(String::new, |notice| {
        format!("<p>{} ({})</p>", escape(&notice.text), escape(&notice.licence))
    });
    format!(
        "<footer>{notice}<p>Made by UpNext {} with <code>upnext report</code>; seed {}. Quantiles over all events are within \
         the rank error that the JSON states; counts, means and shares are exact. This file asks nobody for anything.</p>\
         <noscript><p>Plots need a script; every number is in the tables too.</p></noscript></footer>",
        set.version, set.seed
    )
}
