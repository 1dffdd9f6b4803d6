//! Text as words, for languages with and without spaces.

/// Calls `each` with every word of a text: runs of letters and digits in lower case; runs of Chinese,
/// Japanese or Korean signs as overlapping pairs, because they have no spaces.
pub fn words(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut previous_sign: Option<char> = None;
    for letter in text.chars().flat_map(char::to_lowercase).chain([' ']) {
        if is_sign(letter) {
            flush(&mut word, &mut each);
            if let Some(previous) = previous_sign {
                let pair: String = [previous, letter].iter().collect();
                each(&pair);
            }
            previous_sign = Some(letter);
            continue;
        }
        previous_sign = None;
        if letter.is_alphanumeric() {
            word.push(letter);
        } else if letter != '\'' {
            flush(&mut word, &mut each);
        }
    }
}

fn flush(word: &mut String, each: &mut impl FnMut(&str)) {
    if word.chars().count() > 1 {
        each(word);
    }
    word.clear();
}

/// Whether a letter is written without spaces around words.
pub fn is_sign(letter: char) -> bool {
    matches!(letter as u32, 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| found.push(word.to_string()));
        found
    }

    #[test]
    fn words_are_lower_case_and_signs_come_in_pairs() {
        assert_eq!(all("The Hero's journey, a 2nd time"), ["the", "heros", "journey", "2nd", "time"]);
        assert_eq!(all("五爱街 cut"), ["五爱", "爱街", "cut"]);
        assert_eq!(all(""), Vec::<String>::new());
    }
}
