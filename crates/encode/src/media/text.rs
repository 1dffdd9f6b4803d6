//! Text within bounds.

/// A text without control signs and repeated blanks, cut at a letter after so many bytes; `None` where nothing is left.
pub fn cleaned(text: &str, bytes_max: usize) -> Option<String> {
    let mut clean = String::with_capacity(text.len().min(bytes_max));
    for letter in text.chars() {
        let blank = letter.is_whitespace() || letter.is_control();
        if blank && (clean.is_empty() || clean.ends_with(' ')) {
            continue;
        }
        let letter = if blank { ' ' } else { letter };
        if clean.len() + letter.len_utf8() > bytes_max {
            break;
        }
        clean.push(letter);
    }
    clean.truncate(clean.trim_end().len());
    (!clean.is_empty()).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_control_signs_are_one_blank_and_length_is_bounded() {
        assert_eq!(cleaned(" a\u{0}\n\t b ", 100).as_deref(), Some("a b"));
        assert_eq!(cleaned("影影影", 7).as_deref(), Some("影影"));
        assert_eq!((cleaned(" \n", 9), cleaned("", 9), cleaned("影", 2)), (None, None, None));
        assert_eq!(cleaned(&"x ".repeat(1 << 20), 64).map(|text| text.len()), Some(63));
    }
}
