//! Patterns such as `logs/2026-*.csv.gz`: shells differ, and some have none, so they are expanded here too.

use std::path::{Component, Path, PathBuf};

use crate::IngestError;

/// Whether a path is a pattern. A file that has such a name is itself.
pub(crate) fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[']) && !path.exists()
}

/// The files and folders that fit a pattern, sorted: `*` is any characters of one name, `?` is one, `[a-c]` one
/// of several. Hidden ones fit only a pattern that starts with a dot.
pub(crate) fn expand(pattern: &Path, files_max: usize) -> Result<Vec<PathBuf>, IngestError> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy().into_owned();
        if !matches!(component, Component::Normal(_)) || !part.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(component));
            found.retain(|path| path.exists());
            continue;
        }
        let wanted: Vec<char> = part.chars().collect();
        let mut next = Vec::new();
        for folder in &found {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // What is no folder holds no file that fits.
            let Ok(entries) = std::fs::read_dir(here) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let hidden = name.starts_with('.') && !part.starts_with('.');
                if !hidden && fits(&wanted, &name.chars().collect::<Vec<_>>()) {
                    next.push(folder.join(entry.file_name()));
                }
                if next.len() > files_max {
                    let (path, limit) = (pattern.to_owned(), "files_max");
                    return Err(IngestError::Limit { path, what: "files", most: files_max, limit });
                }
            }
        }
        found = next;
    }
    found.sort();
    if found.is_empty() {
        return Err(IngestError::NoMatch { pattern: pattern.to_owned() });
    }
    Ok(found)
}

/// Whether a name fits. Only the last `*` is ever tried again, so the time is at most the product of the lengths.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, at));
            p += 1;
        } else if let Some(after) = fits_one(pattern, p, name[at]) {
            (p, at) = (after, at + 1);
        } else if let Some((of_star, from)) = star {
            star = Some((of_star, from + 1));
            (p, at) = (of_star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Where the pattern goes on if one character fits.
fn fits_one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let end = at + 1 + pattern[at + 1..].iter().position(|&c| c == ']')?;
            let inside = &pattern[at + 1..end];
            let (not, inside) = match inside {
                ['!' | '^', rest @ ..] => (true, rest),
                all => (false, all),
            };
            let in_range = |window: &[char]| matches!(window, [from, '-', to] if (*from..=*to).contains(&c));
            let among = inside.contains(&c) || inside.windows(3).any(in_range);
            (among != not).then_some(end + 1)
        }
        literal => (literal == c).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_marks_and_ranges_fit_as_in_a_shell() {
        let fits = |pattern: &str, name: &str| {
            fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        assert!(fits("2026-*.csv.gz", "2026-01-02.csv.gz"));
        assert!(!fits("2026-*.csv.gz", "2026-01-02.csv"));
        assert!(fits("log?.csv", "log1.csv") && !fits("log?.csv", "log.csv"));
        assert!(fits("log[0-3].csv", "log2.csv") && !fits("log[0-3].csv", "log4.csv"));
        assert!(fits("[!a]*", "bc") && !fits("[!a]*", "ab"));
        assert!(fits("*a*b", "xaab") && !fits("*a*b", "xba"));
    }
}
