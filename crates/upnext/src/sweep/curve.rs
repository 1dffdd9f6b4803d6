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

/// The setting at which variety first reaches a target: between two steps of a continuous one, linear between them; of
/// one that is counted, the step that reaches it. `None` where none does.
pub(crate) fn reaches(settings: &[f64], variety: &[f64], target: f64, counted: bool) -> Option<f64> {
    let after = variety.iter().position(|&x| x >= target)?;
    if counted || after == 0 {
        return Some(settings[after]);
    }
    let share = (target - variety[after - 1]) / (variety[after] - variety[after - 1]);
    Some(settings[after - 1] + share * (settings[after] - settings[after - 1]))
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
    fn a_target_lies_between_two_weights_but_a_cap_is_whole() {
        let (settings, variety) = ([1.0, 0.5, 0.0], [0.2, 0.4, 0.8]);
        assert_eq!(reaches(&settings, &variety, 0.5, false), Some(0.375));
        assert_eq!(reaches(&settings, &variety, 0.2, false), Some(1.0));
        assert_eq!(reaches(&settings, &variety, 0.9, false), None);
        assert_eq!(reaches(&[10.0, 2.0, 1.0], &variety, 0.5, true), Some(1.0));
    }
}
