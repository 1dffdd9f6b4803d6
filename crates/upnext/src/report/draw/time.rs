//! When events happened.

use serde_json::json;

use super::html::{lacks, of, percent, table, whole};
use super::plot::{Figure, bars, heat};
use super::{Answer, Context};
use crate::report::measure::Section;
use crate::report::measure::time::Coverage;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) fn coverage(context: &Context) -> Answer {
    let mut answer = Answer::new("time", "Coverage in time", "When did it happen?");
    match &context.report.time {
        Section::Absent { absent } => answer.put(lacks(absent)),
        Section::There(coverage) => {
            answer.draw(periods(context, coverage));
            if coverage.days_only {
                answer.put(lacks("every time is midnight: the log knows days, not hours"));
            } else {
                answer.draw(week(context, coverage));
            }
        }
    }
    answer
}

fn periods(context: &Context, coverage: &Coverage) -> Figure {
    let unit = coverage.unit.name();
    let names: Vec<String> = coverage.periods.iter().map(|period| period.from.clone()).collect();
    let counts: Vec<f64> = coverage.periods.iter().map(|period| period.events as f64).collect();
    let texts = coverage
        .periods
        .iter()
        .map(|period| format!("{}: {}", period.from, of(period.events, "event")))
        .collect();
    let (traces, layout) = bars(&names, &counts, texts, &format!("{unit}, UTC"), &format!("events a {unit}"));
    let rows = coverage.periods.iter().map(|period| [period.from.clone(), whole(period.events)]);
    let empty = coverage.periods.iter().filter(|period| period.events == 0).count() as u64;
    Figure {
        id: "plot-periods",
        says: format!(
            "From {} to {} (UTC): {} of {} have an event, and {} {} none. The busiest day is {} with {}.",
            coverage.first,
            coverage.last,
            whole(coverage.days_with_events as u64),
            of(coverage.days as u64, "day"),
            of(empty, unit),
            if empty == 1 { "has" } else { "have" },
            coverage.busiest_day,
            of(coverage.busiest_events, "event"),
        ),
        protocol: context
            .protocol(&format!("all {}, by {unit}", of(context.report.dimensions.events, "event"))),
        table: table(&format!("Events by {unit}"), &[unit, "events"], rows),
        height: 280,
        traces,
        layout,
    }
}

fn week(context: &Context, coverage: &Coverage) -> Figure {
    let total: u64 = coverage.week.iter().flatten().sum();
    let hours: Vec<String> = (0..24).map(|hour| format!("{hour}:00")).collect();
    let days = WEEKDAYS.map(str::to_string);
    let cells = coverage.week.iter().map(|row| row.iter().map(|&n| Some(n as f64)).collect()).collect();
    let texts = coverage
        .week
        .iter()
        .zip(WEEKDAYS)
        .map(|(row, day)| {
            row.iter().zip(&hours).map(|(&n, hour)| format!("{day} {hour}: {}", of(n, "event"))).collect()
        })
        .collect();
    let (traces, mut layout) = heat(&hours, &days, cells, texts, false);
    layout["xaxis"]["tickvals"] = json!([0, 3, 6, 9, 12, 15, 18, 21]);
    layout["xaxis"]["ticktext"] = json!(["0:00", "3:00", "6:00", "9:00", "12:00", "15:00", "18:00", "21:00"]);
    layout["xaxis"]["title"] = json!({ "text": "hour, UTC" });
    let by_hour: Vec<u64> = (0..24).map(|hour| coverage.week.iter().map(|row| row[hour]).sum()).collect();
    let by_day: Vec<u64> = coverage.week.iter().map(|row| row.iter().sum()).collect();
    let most =
        |counts: &[u64]| (0..counts.len()).max_by_key(|&at| (counts[at], std::cmp::Reverse(at))).unwrap_or(0);
    let (hour, day) = (most(&by_hour), most(&by_day));
    let share = |n: u64| percent(100.0 * n as f64 / total.max(1) as f64);
    let mut head = vec!["day"];
    head.extend(hours.iter().map(String::as_str));
    let rows = coverage.week.iter().zip(WEEKDAYS).map(|(row, day)| {
        let mut cells = vec![day.to_string()];
        cells.extend(row.iter().map(|&n| whole(n)));
        cells
    });
    Figure {
        id: "plot-week",
        says: format!(
            "The busiest hour begins at {}:00 UTC with {} of events, the busiest day is {} with {}.",
            hour,
            share(by_hour[hour]),
            WEEKDAYS[day],
            share(by_day[day]),
        ),
        protocol: context.protocol(&format!("all {}, by weekday and hour", of(total, "event"))),
        table: table("Events by weekday and hour, UTC", &head, rows),
        height: 290,
        traces,
        layout,
    }
}
