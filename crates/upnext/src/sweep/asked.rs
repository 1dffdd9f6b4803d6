//! What `--sweep` asks for.

use std::str::FromStr;

/// The weights of relevance at which lists are re-ranked, and how many candidates take part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// From 1, the plain order, down.
    pub(crate) lambdas: Vec<f64>,
    /// The best so many of the first stage.
    pub(crate) pool: usize,
}

/// The pools of the designs: the top hundreds.
pub(crate) const POOL: std::ops::RangeInclusive<usize> = 10..=1_000;
/// Each step re-ranks every question's pool eight ways.
const STEPS_MAX: f64 = 100.0;

impl Asked {
    /// The weights that a text names, over a pool.
    ///
    /// # Errors
    /// In words, when either cannot be meant.
    pub(crate) fn new(sweep: &str, pool: usize) -> Result<Self, String> {
        if !POOL.contains(&pool) {
            return Err(format!("--pool {pool}: expected {} to {}", POOL.start(), POOL.end()));
        }
        let Steps(lambdas) = sweep.parse()?;
        Ok(Self { lambdas, pool })
    }
}

struct Steps(Vec<f64>);

impl FromStr for Steps {
    type Err = String;

    /// `lambda`, which is `lambda=0..1/0.1`, or another range and step.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "--sweep `{text}`: {why}; expected lambda or lambda=FROM..TO/STEP, for example lambda=0..1/0.1"
            )
        };
        let (name, range) = text.split_once('=').unwrap_or((text, "0..1/0.1"));
        if name.trim() != "lambda" {
            return Err(wrong("only lambda, the weight of relevance, can be swept"));
        }
        let numbers = range.split_once('/').and_then(|(range, step)| {
            let (from, to) = range.split_once("..")?;
            let number = |text: &str| text.trim().parse::<f64>().ok();
            Some((number(from)?, number(to)?, number(step)?))
        });
        let Some((from, to, step)) = numbers else { return Err(wrong("that is no range")) };
        if !(0.0..=1.0).contains(&from) || !(0.0..=1.0).contains(&to) || from >= to {
            return Err(wrong("a weight lies between 0 and 1, and the first is the smaller"));
        }
        let n = ((to - from) / step).round();
        if !(step > 0.0 && (1.0..=STEPS_MAX).contains(&n)) {
            return Err(wrong("1 to 100 steps are taken"));
        }
        // Counted, not summed: 0.1 is no binary number, and the ends must be exact.
        let at = |step: usize| if step == 0 { to } else { to - (to - from) * step as f64 / n };
        let mut lambdas: Vec<f64> = (0..=n as usize).map(at).collect();
        // The plain order is what every other point is held against.
        if to < 1.0 {
            lambdas.insert(0, 1.0);
        }
        Ok(Self(lambdas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_walked_from_the_plain_order_down_and_its_ends_are_exact() {
        let lambdas = |text: &str| Asked::new(text, 200).map(|asked| asked.lambdas);
        let usual = lambdas("lambda").unwrap();
        assert_eq!((usual.len(), usual[0], usual[10]), (11, 1.0, 0.0));
        assert!((usual[3] - 0.7).abs() < 1e-12);
        assert_eq!(lambdas("lambda=0.5..0.9/0.2").unwrap().len(), 4, "1 is always there");
        for wrong in
            ["theta", "lambda=", "lambda=0..2/0.1", "lambda=1..0/0.1", "lambda=0..1/0", "lambda=0..1/1e-9"]
        {
            let error = lambdas(wrong).unwrap_err();
            assert!(error.contains(wrong) && error.contains("lambda=0..1/0.1"), "{error}");
        }
        assert!(Asked::new("lambda", 5).unwrap_err().contains("--pool 5: expected 10 to 1000"));
    }
}
