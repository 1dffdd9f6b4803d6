//! What a log says around an event: a device, a place, words.

use upnext_data::{Action, Circumstance};

use crate::Field;
use crate::beside::circumstance;
use crate::columns::Columns;
use crate::table::{Cell, Row};

/// The circumstances of a row, if it tells any. `said` are words that stand elsewhere in the row.
pub(crate) fn read(
    row: &Row,
    columns: &Columns,
    action: Action,
    time: i64,
    said: Option<String>,
) -> Option<Circumstance> {
    let cell = |field| columns.get(field).map_or(Cell::Missing, |column| row.cell(column));
    let mut around = circumstance(action, time);
    around.text = said.or_else(|| words(row, columns)).unwrap_or_default();
    around.device = text_of(cell(Field::Device)).unwrap_or_default();
    let degrees = |field| text_of(cell(field))?.parse::<f32>().ok();
    around.place = match (degrees(Field::Latitude), degrees(Field::Longitude)) {
        (Some(latitude), Some(longitude)) => on_earth(latitude, longitude),
        _ => match cell(Field::Place) {
            Cell::List(values) => place(&values.join(",")),
            cell => text_of(cell).and_then(|text| place(&text)),
        },
    };
    let tells = !around.text.is_empty() || !around.device.is_empty() || around.place.is_some();
    tells.then_some(around)
}

/// What was written or searched for. A lone 0 or 1 is a mark, not words.
pub(crate) fn words(row: &Row, columns: &Columns) -> Option<String> {
    let text = text_of(row.cell(columns.get(Field::Words)?))?;
    (!matches!(text.as_str(), "0" | "1" | "true" | "false" | "0.0" | "1.0")).then_some(text)
}

pub(crate) fn text_of(cell: Cell) -> Option<String> {
    let text = match cell {
        Cell::List(values) => values.join(" "),
        cell => cell.into_id()?,
    };
    let nothing = ["", "-", "null", "none", "nan", "n/a", "\\n"];
    (!nothing.iter().any(|nothing| text.trim().eq_ignore_ascii_case(nothing))).then_some(text)
}

fn on_earth(latitude: f32, longitude: f32) -> Option<(f32, f32)> {
    (latitude.abs() <= 90.0 && longitude.abs() <= 180.0).then_some((latitude, longitude))
}

/// Latitude and longitude in one text: `38.89,-77.1`, `POINT(-77.1 38.89)` (longitude first, as WKT has it), or
/// `38.89-77.1`, where the sign parts them.
pub(crate) fn place(text: &str) -> Option<(f32, f32)> {
    let is_point = text.trim_start().to_ascii_uppercase().starts_with("POINT");
    let inside = |c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    let words: Vec<&str> = text.split(inside).filter(|word| !word.is_empty()).collect();
    let numbers: Vec<f32> = match words[..] {
        [one] => {
            let sign = one.char_indices().skip(1).find(|(_, c)| matches!(c, '-' | '+'))?.0;
            vec![one[..sign].parse().ok()?, one[sign..].parse().ok()?]
        }
        [first, second] => vec![first.parse().ok()?, second.parse().ok()?],
        _ => return None,
    };
    if is_point { on_earth(numbers[1], numbers[0]) } else { on_earth(numbers[0], numbers[1]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        for text in ["38.5,-77.25", "38.5 -77.25", "[38.5, -77.25]", "38.5-77.25", "POINT(-77.25 38.5)"] {
            assert_eq!(place(text), Some((38.5, -77.25)), "{text}");
        }
        assert_eq!(place("38.5;23.25"), Some((38.5, 23.25)));
        assert_eq!(place("37.23-12293"), None);
        assert_eq!(place("Paris"), None);
    }
}
