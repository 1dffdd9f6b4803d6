//! A small language for "which videos": `genre:Comedy and not (tag:gore or year < 1990)`.
//!
//! A test is a kind, a sign and a value. `:` and `=` ask for a label, `<`, `<=`, `>`, `>=` compare numbers, `!=` is
//! `not … = …`. Labels are the run's, or a newcomer's; `creator` is who made it, `year` and `duration` (in seconds)
//! are facts of the catalogue. A kind that nothing bears matches nothing. `not` binds closest, then `and`, then `or`.

use crate::rows::RowSets;
use crate::{Allow, Stock};

/// How long and how deep an expression may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpressionLimits {
    /// Bytes of its text.
    pub bytes_max: usize,
    /// `not`s and parentheses within each other.
    pub depth_max: usize,
    /// Tests of labels and numbers; each may look at every video.
    pub tests_max: usize,
}

/// An expression that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    node: Node,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Is(String, String),
    Compare(String, Sign, f64),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Below,
    UpTo,
    Above,
    From,
}

impl Sign {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::UpTo => value <= bound,
            Self::Above => value > bound,
            Self::From => value >= bound,
        }
    }
}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Too much of it.
    #[error("the expression is {bytes} bytes long; expected at most {max}: ask for less at once")]
    Long {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Too many within each other.
    #[error("the expression is nested more than {max} deep at character {at}: write it flatter")]
    Deep {
        /// Where, from 1.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// Too many tests.
    #[error("the expression has {tests} tests; expected at most {max}: ask for less at once")]
    Many {
        /// How many.
        tests: usize,
        /// The bound.
        max: usize,
    },
    /// Not what stands in this place.
    #[error("at character {at} of the expression stands {found}; expected {expected}")]
    Unexpected {
        /// Where, from 1.
        at: usize,
        /// What would do.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// Names the character at which it goes wrong, and what was expected there.
    pub fn parse(text: &str, limits: ExpressionLimits) -> Result<Self, ExpressionError> {
        if text.len() > limits.bytes_max {
            return Err(ExpressionError::Long { bytes: text.len(), max: limits.bytes_max });
        }
        let mut reader = Reader { tokens: tokens(text)?, at: 0, depth_max: limits.depth_max };
        let node = reader.any(0)?;
        match reader.peek() {
            Token::End => match tests(&node) {
                tests if tests > limits.tests_max => {
                    Err(ExpressionError::Many { tests, max: limits.tests_max })
                }
                _ => Ok(Self { text: text.to_string(), node }),
            },
            _ => Err(reader.unexpected("`and`, `or` or the end")),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for a row.
    pub fn holds(&self, stock: &Stock, category_kinds: &[String], row: u32) -> bool {
        holds(&self.node, &Of { stock, category_kinds }, row)
    }

    /// Every row it holds for.
    pub(crate) fn rows(&self, stock: &Stock, sets: &RowSets, category_kinds: &[String]) -> Allow {
        rows(&self.node, &Of { stock, category_kinds }, sets)
    }
}

fn tests(node: &Node) -> usize {
    match node {
        Node::Is(..) | Node::Compare(..) => 1,
        Node::Not(inner) => tests(inner),
        Node::All(parts) | Node::Any(parts) => parts.iter().map(tests).sum(),
    }
}

/// What an expression is asked of.
struct Of<'a> {
    stock: &'a Stock,
    category_kinds: &'a [String],
}

impl Of<'_> {
    fn is(&self, kind: &str, value: &str, row: u32) -> bool {
        let stored = self.category_kinds.iter().any(|known| known == kind)
            && self.stock.stored_categories(row).iter().any(|category| category == value);
        if stored {
            return true;
        }
        if let Some(video) = self.stock.newcomer(row) {
            let labelled = video.labels.get(kind).is_some_and(|values| values.iter().any(|v| v == value));
            return labelled || (kind == "creator" && video.creator.as_deref() == Some(value));
        }
        let videos = &self.stock.dataset.videos;
        let video = videos.video(row);
        let labelled = videos.labels.row(&format!("{kind}:{value}"));
        labelled.is_some_and(|label| video.labels.binary_search(&label).is_ok())
            || (kind == "creator" && video.creator.is_some_and(|c| videos.creators.name(c) == value))
            || value.parse().is_ok_and(|number: f64| fact(self.stock, kind, row) == Some(number))
    }

    fn compares(&self, kind: &str, sign: Sign, bound: f64, row: u32) -> bool {
        let holds = |text: &str| text.trim().parse().is_ok_and(|value| sign.holds(value, bound));
        if let Some(video) = self.stock.newcomer(row) {
            return video.labels.get(kind).is_some_and(|values| values.iter().any(|value| holds(value)));
        }
        fact(self.stock, kind, row).is_some_and(|value| sign.holds(value, bound))
            || self.stock.dataset.videos.labels_of(row, kind).any(holds)
    }
}

/// A number that the catalogue keeps beside labels.
fn fact(stock: &Stock, kind: &str, row: u32) -> Option<f64> {
    let video = stock.dataset.videos.videos().get(row as usize)?;
    match kind {
        "year" => video.year.map(f64::from),
        "duration" => video.duration_seconds.map(f64::from),
        _ => None,
    }
}

fn holds(node: &Node, of: &Of<'_>, row: u32) -> bool {
    match node {
        Node::Is(kind, value) => of.is(kind, value, row),
        Node::Compare(kind, sign, bound) => of.compares(kind, *sign, *bound, row),
        Node::Not(inner) => !holds(inner, of, row),
        Node::All(all) => all.iter().all(|node| holds(node, of, row)),
        Node::Any(any) => any.iter().any(|node| holds(node, of, row)),
    }
}

fn rows(node: &Node, of: &Of<'_>, sets: &RowSets) -> Allow {
    let (stock, n) = (of.stock, of.stock.n_rows());
    let newcomers = stock.dataset.videos.len() as u32..n as u32;
    match node {
        Node::Is(kind, value) => {
            let mut found = Allow::none(n);
            let videos = &stock.dataset.videos;
            if let Some(label) = videos.labels.row(&format!("{kind}:{value}")) {
                sets.of_label(label).iter().for_each(|&row| found.permit(row));
            }
            if let Some(creator) = videos.creators.row(value).filter(|_| kind == "creator") {
                sets.of_creator(creator).iter().for_each(|&row| found.permit(row));
            }
            if let Ok(number) = value.parse::<f64>() {
                sets.facts(kind, |fact| fact == number).for_each(|row| found.permit(row));
            }
            let stored = stock.live.categorised().filter(|&row| of.is(kind, value, row));
            stored.chain(newcomers.filter(|&row| of.is(kind, value, row))).for_each(|row| found.permit(row));
            found
        }
        Node::Compare(kind, sign, bound) => {
            let mut found = Allow::none(n);
            let videos = &stock.dataset.videos;
            for &label in sets.labels_of_kind(kind) {
                let value = videos.labels.name(label)[kind.len() + 1..].trim().parse();
                if value.is_ok_and(|value| sign.holds(value, *bound)) {
                    sets.of_label(label).iter().for_each(|&row| found.permit(row));
                }
            }
            sets.facts(kind, |fact| sign.holds(fact, *bound)).for_each(|row| found.permit(row));
            newcomers.filter(|&row| of.compares(kind, *sign, *bound, row)).for_each(|row| found.permit(row));
            found
        }
        Node::Not(inner) => {
            let mut all = Allow::all(n);
            all.take_out(&rows(inner, of, sets));
            all
        }
        Node::All(all) => {
            let mut found = Allow::all(n);
            all.iter().for_each(|node| found.keep_only(&rows(node, of, sets)));
            found
        }
        Node::Any(any) => {
            let mut found = Allow::none(n);
            any.iter().for_each(|node| found.join(&rows(node, of, sets)));
            found
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// In quotation marks: never `and`, `or` or `not`.
    Quoted(String),
    Sign(&'static str),
    Open,
    Close,
    End,
}

/// The tokens, each with the character it begins at, from 1. The last is the end.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    const SIGNS: [&str; 7] = ["<=", ">=", "!=", "<", ">", "=", ":"];
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let begin = at;
        let two: String = characters[at..].iter().take(2).collect();
        let token = if character.is_whitespace() {
            at += 1;
            continue;
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| two.starts_with(sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else if character == '(' || character == ')' {
            at += 1;
            if character == '(' { Token::Open } else { Token::Close }
        } else if character == '"' {
            let length = characters[at + 1..].iter().position(|&c| c == '"');
            let length = length.ok_or_else(|| ExpressionError::Unexpected {
                at: characters.len() + 1,
                expected: "a closing `\"`",
                found: "the end".into(),
            })?;
            at += length + 2;
            Token::Quoted(characters[begin + 1..at - 1].iter().collect())
        } else {
            // A word has a character at least: a lone `!` would else go on for ever.
            let rest = &characters[at + 1..];
            let ends = |(place, c): (usize, &char)| {
                c.is_whitespace() || "()<>=:\"".contains(*c) || rest[place..].starts_with(&['!', '='])
            };
            at += 1 + rest.iter().enumerate().position(ends).unwrap_or(rest.len());
            Token::Word(characters[begin..at].iter().collect())
        };
        tokens.push((begin + 1, token));
    }
    tokens.push((characters.len() + 1, Token::End));
    Ok(tokens)
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth_max: usize,
}

impl Reader {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        // The end is never passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn unexpected(&self, expected: &'static str) -> ExpressionError {
        let found = match self.peek() {
            Token::Word(word) => format!("`{word}`"),
            Token::Quoted(text) => format!("`\"{text}\"`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Open => "`(`".into(),
            Token::Close => "`)`".into(),
            Token::End => "the end".into(),
        };
        ExpressionError::Unexpected { at: self.tokens[self.at].0, expected, found }
    }

    fn any(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut any = vec![self.all(depth)?];
        while self.is_word("or") {
            self.next();
            any.push(self.all(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Node::Any(any) })
    }

    fn all(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut all = vec![self.one(depth)?];
        while self.is_word("and") {
            self.next();
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::All(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        if depth > self.depth_max {
            return Err(ExpressionError::Deep { at: self.tokens[self.at].0, max: self.depth_max });
        }
        if self.is_word("not") {
            self.next();
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if *self.peek() == Token::Open {
            self.next();
            let inner = self.any(depth + 1)?;
            return match self.peek() {
                Token::Close => {
                    self.next();
                    Ok(inner)
                }
                _ => Err(self.unexpected("`and`, `or` or `)`")),
            };
        }
        self.test()
    }

    fn test(&mut self) -> Result<Node, ExpressionError> {
        let kind = match self.peek() {
            Token::Word(word) if !["and", "or"].iter().any(|w| word.eq_ignore_ascii_case(w)) => word.clone(),
            Token::Quoted(text) => text.clone(),
            _ => return Err(self.unexpected("a kind of label, `not` or `(`")),
        };
        self.next();
        let sign = match self.peek() {
            Token::Sign(sign) => *sign,
            _ => return Err(self.unexpected("`:`, `=`, `!=`, `<`, `<=`, `>` or `>=`")),
        };
        self.next();
        let (Token::Word(value) | Token::Quoted(value)) = self.peek().clone() else {
            return Err(self.unexpected("a value; one with spaces or signs in quotation marks"));
        };
        let order = match sign {
            "<" => Sign::Below,
            "<=" => Sign::UpTo,
            ">" => Sign::Above,
            ">=" => Sign::From,
            _ => {
                self.next();
                let is = Node::Is(kind, value);
                return Ok(if sign == "!=" { Node::Not(Box::new(is)) } else { is });
            }
        };
        match value.parse::<f64>() {
            Ok(bound) if bound.is_finite() => {
                self.next();
                Ok(Node::Compare(kind, order, bound))
            }
            _ => Err(self.unexpected("a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::stock::{Live, LiveVideo};
    use crate::testing::dataset;

    const LIMITS: ExpressionLimits = ExpressionLimits { bytes_max: 200, depth_max: 5, tests_max: 8 };

    fn parse(text: &str) -> Result<Expression, ExpressionError> {
        Expression::parse(text, LIMITS)
    }

    #[test]
    fn more_tests_than_may_be_are_counted() {
        let nine = ["tag:a"; 9].join(" or ");
        assert_eq!(parse(&nine).unwrap_err(), ExpressionError::Many { tests: 9, max: 8 });
        assert!(parse(&["tag:a"; 8].join(" or ")).is_ok());
    }

    /// The small world, `fresh` (a comedy of 2024 by ann) that no model knows, and `space3` a comedy by the store.
    fn stock() -> Stock {
        let dataset = dataset();
        let fresh = LiveVideo {
            id: "fresh".into(),
            categories: vec!["Comedy".into()],
            labels: [("year".to_string(), vec!["2024".to_string()])].into(),
            creator: Some("ann".into()),
            ..LiveVideo::default()
        };
        let space3 =
            LiveVideo { id: "space3".into(), categories: vec!["Comedy".into()], ..LiveVideo::default() };
        Stock {
            live: Arc::new(Live::new(&dataset, vec![fresh, space3], &[])),
            ..Stock::of_run(Arc::clone(&dataset))
        }
    }

    fn found(text: &str) -> Vec<String> {
        let stock = stock();
        let rows = parse(text).unwrap().rows(&stock, &RowSets::new(&stock.dataset), &["genre".into()]);
        rows.rows().map(|row| stock.id(row).to_string()).collect()
    }

    #[test]
    fn labels_years_creators_and_what_the_store_says_are_found() {
        assert_eq!(
            found("genre:Comedy"),
            ["comedy0", "comedy1", "comedy2", "comedy3", "comedy4", "space3", "fresh"]
        );
        assert_eq!(
            found("genre:Comedy and not (tag:1 or year < 1993)"),
            ["comedy3", "comedy4", "space3", "fresh"]
        );
        assert_eq!(found("year >= 2004"), ["space4", "fresh"]);
        assert_eq!(found("tag <= 1 AND genre:Crime or creator:ann"), ["crime0", "crime1", "fresh"]);
        assert_eq!(found("year = 1990 or creator=maker4 and genre:Space"), ["comedy0", "space4"]);
        assert_eq!(found("\"genre\" : \"Crime\" and tag != 0 and tag!=1"), ["crime2", "crime3", "crime4"]);
        assert_eq!(found("planet:Mars or planet < 3"), [""; 0], "a kind that nothing bears");
        assert_eq!(found("not planet:Mars").len(), 16);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            error("genre:Comedy and gore"),
            "at character 22 of the expression stands the end; expected `:`, `=`, `!=`, `<`, `<=`, `>` or `>=`"
        );
        assert!(error("").starts_with("at character 1 of the expression stands the end; expected a kind"));
        assert!(error("(genre:Comedy").ends_with("stands the end; expected `and`, `or` or `)`"));
        assert!(error("genre:Comedy tag:1").contains("character 14 of the expression stands `tag`"));
        assert!(
            error("year < old").contains("character 8 of the expression stands `old`; expected a number")
        );
        assert!(error("year < NaN").contains("expected a number"));
        assert!(error("genre:").contains("expected a value"));
        assert!(error("genre:\"Comedy").contains("closing"));
        assert!(error("影:\"片").contains("character 5 "), "characters, not bytes");
        assert!(error("!").contains("character 2"));
        assert!(error("and:1").contains("character 1 "));
        assert!(error(&"a:b or ".repeat(40)).contains("280 bytes long; expected at most 200"));
        assert!(error(&format!("{}a:b", "not ".repeat(6))).contains("more than 5 deep"));
        assert!(parse(&format!("{}a:b{}", "(".repeat(5), ")".repeat(5))).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_rows_are_those_it_holds_for(
            words in prop::collection::vec(prop::sample::select(vec![
                "genre:Comedy", "tag:1", "year<1996", "tag > 2", "creator:ann", "not", "and", "or", "(", ")", "!", "<", "\"", "é",
            ]), 0..8),
        ) {
            let text = words.join(" ");
            if let Ok(expression) = parse(&text) {
                let (stock, kinds) = (stock(), ["genre".to_string()]);
                let rows = expression.rows(&stock, &RowSets::new(&stock.dataset), &kinds);
                for row in 0..stock.n_rows() as u32 {
                    prop_assert_eq!(rows.admits(row), expression.holds(&stock, &kinds, row), "{} {}", text, row);
                }
            }
        }
    }
}
