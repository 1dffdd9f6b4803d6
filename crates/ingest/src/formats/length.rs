//! Lengths of time as people write them: `127 min`, `2h 7min`, `1:23:45`, `PT2H7M`.

/// The seconds that a text with units or colons says; `None` for anything else, a bare number included.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    if text.contains(':') {
        return by_colons(&text);
    }
    // ISO 8601 puts a `PT` before hours, minutes and seconds.
    let mut rest = text.strip_prefix("pt").unwrap_or(&text);
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let amount: f64 = rest[..unit].parse().ok()?;
        rest = rest[unit..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        seconds += amount
            * match rest[..end].trim() {
                "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
                "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
                "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
                _ => return None,
            };
        rest = rest[end..].trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '.' | ','));
    }
    Some(seconds)
}

/// `1:23:45` is an hour, 23 minutes and 45 seconds; `23:45` has no hour.
fn by_colons(text: &str) -> Option<f64> {
    let parts: Vec<f64> = text.split(':').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    let are_right = (2..=3).contains(&parts.len())
        && parts.iter().all(|part| *part >= 0.0)
        && parts[1..].iter().all(|part| *part < 60.0);
    are_right.then(|| parts.iter().fold(0.0, |sum, part| sum * 60.0 + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_seconds_in_every_writing() {
        let same = [
            "127 min",
            "2h 7min",
            "2 hours, 7 minutes",
            "2:07:00",
            "PT2H7M",
            "127m",
            "7620 s",
            "2 Hr. 7 Min.",
        ];
        assert_eq!(same.map(seconds), [Some(7_620.0); 8]);
        assert_eq!(["23:45", "1.5h", "0:09.5"].map(seconds), [Some(1_425.0), Some(5_400.0), Some(9.5)]);
        for other in [
            "127",
            "",
            "pt",
            "h",
            "min 3",
            "2 weeks",
            "1e3",
            "1:75:00",
            "-1:30",
            "1:2:3:4",
            "2020-01-01 10:00",
        ] {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
