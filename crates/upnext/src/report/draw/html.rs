//! Markup from data: whatever comes from a set is text, never markup.

use crate::report::measure::VideoName;

/// Text for an element or an attribute in quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What a browser does not show, or would read backwards, is no part of a name.
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.push(' ');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// `1,234,567`.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number in four significant digits, whole where it is whole.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.2e}");
    }
    if size.fract() == 0.0 {
        return format!("{sign}{}", whole(size as u64));
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{size:.decimals$}");
    let (before, after) = text.split_once('.').unwrap_or((&text, ""));
    let before = before.parse().map_or_else(|_| before.to_string(), whole);
    let after = after.trim_end_matches('0');
    if after.is_empty() { format!("{sign}{before}") } else { format!("{sign}{before}.{after}") }
}

/// A number that may not be known.
pub(crate) fn known(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), number)
}

/// `12.34 %`.
pub(crate) fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

/// `1 video`, `2 videos`.
pub(crate) fn of(n: u64, what: &str) -> String {
    format!("{} {what}{}", whole(n), if n == 1 { "" } else { "s" })
}

/// Correlations and weights: two decimals and a sign that lines up.
pub(crate) fn signed(value: f64) -> String {
    if value.is_finite() { format!("{value:+.2}").replace('-', "−") } else { "–".into() }
}

/// A video's title with its id beside it, or its id alone.
pub(crate) fn video(name: &VideoName) -> String {
    let id = if name.id.is_empty() { "(empty id)".into() } else { escape(&name.id) };
    if name.title.is_empty() {
        format!("<span class=\"id\">{id}</span>")
    } else {
        format!("<bdi>{}</bdi> <span class=\"id\">{id}</span>", escape(&name.title))
    }
}

/// Rows of finished markup under headings; the first column is the row's heading.
pub(crate) fn table<R: AsRef<[String]>>(
    caption: &str,
    head: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut markup = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escape(caption)
    );
    for heading in head {
        markup += &format!("<th scope=\"col\">{}</th>", escape(heading));
    }
    markup += "</tr></thead><tbody>";
    for row in rows {
        markup += "<tr>";
        for (at, cell) in row.as_ref().iter().enumerate() {
            markup += &match at {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td>{cell}</td>"),
            };
        }
        markup += "</tr>";
    }
    markup + "</tbody></table></div>"
}

/// A bar whose length is a share of the largest, for a cell.
pub(crate) fn bar(share: f64) -> String {
    format!(
        "<span class=\"bar\"><i style=\"--share:{:.1}%\"></i></span>",
        if share.is_finite() { (100.0 * share).clamp(0.0, 100.0) } else { 0.0 }
    )
}

/// Why something is not here.
pub(crate) fn lacks(reason: &str) -> String {
    let mut reason = escape(reason);
    if let Some(first) = reason.get(..1) {
        reason.replace_range(..1, &first.to_uppercase());
    }
    format!("<p class=\"lacks\"><strong>Not shown.</strong> {reason}.</p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 12_530_806].map(whole), ["0", "999", "1,000", "12,530,806"]);
        let said = [0.0, 1.0, 135.66, 0.91834, -0.5, 1234.567, 0.000_01, f64::NAN].map(number);
        assert_eq!(said, ["0", "1", "135.7", "0.9183", "−0.5", "1,235", "1.00e-5", "–"]);
        assert_eq!(
            (signed(-0.137), signed(0.07), of(1, "video"), of(2, "video")),
            ("−0.14".into(), "+0.07".into(), "1 video".into(), "2 videos".into())
        );
    }

    #[test]
    fn markup_in_a_name_becomes_text() {
        let hostile =
            VideoName { id: "\"><img src=x>".into(), title: "<script>alert('1')</script>\u{202e}".into() };
        let shown = video(&hostile);
        assert!(!shown.contains("<script") && !shown.contains("<img"), "{shown}");
        assert!(shown.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{shown}");
    }
}
