//! What a curve of relevance against variety says: where it bends, and where it is half-way.

/// The point that lies farthest above the straight line between the ends of a falling curve, both axes scaled to 0..1:
/// before it variety is cheap, after it dear (kneedle, Satopää et al. 2011). `None` where variety does not grow or
/// costs nothing.
///
/// `variety` and `relevance` begin at the plain order.
pub(crate) fn knee(variety: &[f64], relevance: &[f64]) -> Option<usize> {
    let (gain, loss) = (variety.last()? - variety[0], relevance[0] - relevance.last()?);
    if gain <= 0.0 || loss <= 0.0 {
        return None;
    }
    let end = relevance[relevance.len() - 1];
    let above = |at: usize| (variety[at] - variety[0]) / gain + (relevance[at] - end) / loss - 1.0;
    // Of equal ones the first: the nearer to the plain order.
    let best = (0..variety.len()).fold(0, |best, at| if above(at) > above(best) { at } else { best });
    (above(best) > 0.0).then_some(best)
}

/// Between which settings variety first reaches a target, the less varied first; the same twice where a step does.
/// `None` where none does.
pub(crate) fn reaches(settings: &[f64], variety: &[f64], target: f64) -> Option<[f64; 2]> {
    let after = variety.iter().position(|&x| x >= target)?;
    let before = if variety[after] == target { after } else { after.saturating_sub(1) };
    Some([settings[before], settings[after]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_where_the_curve_bends() {
        // Cheap up to 0.6, dear from there: above the line by 0.6 + 0.9 - 1.
        assert_eq!(knee(&[0.0, 0.3, 0.6, 1.0], &[1.0, 0.95, 0.9, 0.0]), Some(2));
        assert_eq!(knee(&[0.0, 0.5, 1.0], &[1.0, 0.5, 0.0]), None, "a straight line has none");
        assert_eq!(knee(&[0.0, 0.5], &[1.0, 1.1]), None, "variety that costs nothing needs none");
        assert_eq!(knee(&[], &[]), None);
    }

    #[test]
    fn a_target_lies_between_two_steps_or_on_one() {
        let (settings, variety) = ([1.0, 0.5, 0.0], [0.2, 0.4, 0.8]);
        assert_eq!(reaches(&settings, &variety, 0.5), Some([0.5, 0.0]));
        assert_eq!(reaches(&settings, &variety, 0.4), Some([0.5, 0.5]));
        assert_eq!(reaches(&settings, &variety, 0.1), Some([1.0, 1.0]));
        assert_eq!(reaches(&settings, &variety, 0.9), None);
    }
}
