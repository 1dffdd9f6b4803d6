//! What was dropped on the way in, and what is missing.

use super::html::{bar, escape, of, percent, table, whole};
use super::{Answer, Context};

pub(super) fn cleaning(context: &Context) -> Answer {
    let cleaning = &context.report.cleaning;
    let mut answer = Answer::new("cleaning", "Dropped rows", "What was dropped on the way in?");
    let dropped: u64 = cleaning.dropped.iter().map(|dropped| dropped.rows).sum();
    let largest =
        cleaning.dropped.iter().max_by_key(|dropped| dropped.rows).filter(|dropped| dropped.rows > 0);
    answer.say(match largest {
        None => format!("Nothing: all {} of the log were kept.", of(cleaning.read, "row")),
        Some(largest) => format!(
            "{} of {} were dropped ({}), most as <em>{}</em>; {} were kept.",
            whole(dropped),
            of(cleaning.read, "row"),
            percent(100.0 * dropped as f64 / cleaning.read.max(1) as f64),
            largest.reason.name(),
            whole(cleaning.kept),
        ),
    });
    let rows = cleaning.dropped.iter().map(|dropped| {
        let share = dropped.rows as f64 / cleaning.read.max(1) as f64;
        [dropped.reason.name().to_string(), whole(dropped.rows), percent(dropped.percent), bar(share)]
    });
    answer.put(table("Rows dropped, by rule", &["rule", "rows", "of all read", ""], rows));
    for dropped in cleaning.dropped.iter().filter(|dropped| !dropped.examples.is_empty()) {
        let examples: String = dropped
            .examples
            .iter()
            .map(|example| format!("<li>{}</li>", escape(&example.to_string())))
            .collect();
        answer.put(format!(
            "<details><summary>Examples: {}</summary><ul class=\"plain\">{examples}</ul></details>",
            dropped.reason.name()
        ));
    }
    let files = cleaning
        .files
        .iter()
        .map(|file| [escape(&file.file.display().to_string()), escape(&file.role), whole(file.rows)]);
    if !cleaning.files.is_empty() {
        answer.put(table("Files that were read", &["file", "read as", "rows"], files));
    }
    for note in &cleaning.notes {
        answer.put(format!("<p class=\"note\">{}</p>", escape(note)));
    }
    answer
}

pub(super) fn missing(context: &Context) -> Answer {
    let missing = &context.report.missing;
    let mut answer = Answer::new("missing", "Missing values", "What is missing?");
    let name =
        |row: &crate::report::measure::missing::Missing| format!("{} ({})", escape(&row.field), row.table);
    let list = |rows: Vec<String>| if rows.is_empty() { "none".to_string() } else { rows.join(", ") };
    let whole_fields =
        missing.iter().filter(|row| row.rows > 0 && row.missing == row.rows).map(name).collect();
    let mut partly: Vec<_> = missing.iter().filter(|row| row.missing > 0 && row.missing < row.rows).collect();
    partly.sort_by(|a, b| b.percent.total_cmp(&a.percent));
    let partly = partly.iter().take(5).map(|row| format!("{} {}", name(row), percent(row.percent))).collect();
    answer.say(format!(
        "Fields that the set does not have at all: {}. Fields with gaps: {}.",
        list(whole_fields),
        list(partly)
    ));
    let rows = missing.iter().map(|row| {
        [
            escape(&row.field),
            row.table.to_string(),
            whole(row.rows),
            whole(row.missing),
            percent(row.percent),
            bar(row.percent / 100.0),
        ]
    });
    answer.put(table("Missing values", &["field", "table", "rows", "missing", "share", ""], rows));
    answer
}
