//! Sampled candidates: each wanted video among a hundred drawn ones, as many papers rank. It is here so that their figures can
//! be compared with something; the figure is another quantity than that of the full ranking, inconsistent with it even in
//! expectation (Krichene & Rendle 2020; Cañamares & Castells 2020), and much larger.

use upnext_data::Query;
use upnext_math::seed::mix;

/// Others that are drawn for each wanted video, as in `uni100` and `pop100` of RecBole.
pub(crate) const NEGATIVES: usize = 100;

/// How the others are drawn, without replacement, among the candidates that are neither seen nor wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Negatives {
    /// Each as likely as another.
    Uniform,
    /// In proportion to how many users of train wanted them; what nobody did is never drawn.
    Popular,
}

impl Negatives {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "sampled-uniform",
            Self::Popular => "sampled-popular",
        }
    }

    /// What is ranked, for the line of the protocol.
    pub(crate) fn what(self) -> String {
        let how = match self {
            Self::Uniform => "uniformly",
            Self::Popular => "by popularity",
        };
        format!(
            "each wanted video and {NEGATIVES} others drawn {how}: INFLATED, for comparison with papers only"
        )
    }
}

/// Draws the candidates of each question, by seed, user and video alone: every model ranks the same.
pub(crate) struct Sampler<'a> {
    /// How.
    pub(crate) negatives: Negatives,
    /// Rows that may be drawn, sorted.
    pub(crate) candidates: &'a [u32],
    /// How many users of train wanted each video.
    pub(crate) popularity: &'a [u32],
    /// The seed.
    pub(crate) seed: u64,
}

impl Sampler<'_> {
    /// The wanted videos of a question and [`NEGATIVES`] others for each, sorted; fewer where there are no more.
    ///
    /// The smallest of `-ln(u) / weight` are a sample without replacement in proportion to the weights (Efraimidis &
    /// Spirakis 2006).
    pub(crate) fn of(&self, query: &Query) -> Vec<u32> {
        let of_user = mix(self.seed ^ mix(u64::from(query.user) << 8 | self.negatives as u64));
        let is_wanted = |row: u32| query.relevant.binary_search(&row).is_ok();
        let mut drawn: Vec<(f64, u32)> = Vec::with_capacity(self.candidates.len());
        for &row in self.candidates {
            let weight = match self.negatives {
                Negatives::Uniform => 1.0,
                Negatives::Popular => f64::from(self.popularity[row as usize]),
            };
            if weight > 0.0 && !is_wanted(row) && query.masked.binary_search(&row).is_err() {
                // Uniform in (0, 1): neither end, whose logarithms are no keys.
                let u = ((mix(of_user ^ u64::from(row)) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
                drawn.push((-u.ln() / weight, row));
            }
        }
        let wanted = query.relevant.iter().filter(|row| self.candidates.binary_search(row).is_ok());
        let n = NEGATIVES * query.relevant.len();
        if n < drawn.len() {
            drawn.select_nth_unstable_by(n, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            drawn.truncate(n);
        }
        let mut rows: Vec<u32> = drawn.into_iter().map(|(_, row)| row).chain(wanted.copied()).collect();
        rows.sort_unstable();
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::History;

    fn asks(user: u32, masked: &[u32], relevant: &[u32]) -> Query {
        let (masked, relevant) = (masked.to_vec(), relevant.to_vec());
        Query { user, history: History::default(), masked, relevant, at: None }
    }

    #[test]
    fn a_wanted_video_stands_among_a_hundred_that_are_neither_seen_nor_wanted() {
        let (candidates, popularity) = ((0..1_000).collect::<Vec<u32>>(), vec![1; 1_000]);
        for negatives in [Negatives::Uniform, Negatives::Popular] {
            let sampler = Sampler { negatives, candidates: &candidates, popularity: &popularity, seed: 1 };
            let seen: Vec<u32> = (0..500).collect();
            let rows = sampler.of(&asks(3, &seen, &[700]));
            assert_eq!(rows.len(), 101);
            assert!(rows.contains(&700) && rows.iter().all(|&row| row >= 500) && rows.is_sorted());
            assert_eq!(rows, sampler.of(&asks(3, &seen, &[700])), "the same for every model");
            assert_ne!(rows, sampler.of(&asks(4, &seen, &[700])));
            // Two wanted videos bring two hundred; where there are no more, all that there are.
            assert_eq!(sampler.of(&asks(3, &seen, &[700, 800])).len(), 202);
            assert_eq!(sampler.of(&asks(3, &(0..950).collect::<Vec<u32>>(), &[999])).len(), 50);
            // What is no candidate is not made one.
            assert_eq!(sampler.of(&asks(3, &[], &[2_000])).len(), 100);
        }
    }

    #[test]
    fn popular_videos_are_drawn_in_proportion_and_unknown_ones_never() {
        let candidates: Vec<u32> = (0..1_000).collect();
        // A tenth is wanted by nine users each, two tenths by one, the others by nobody.
        let popularity: Vec<u32> =
            (0..1_000).map(|row| if row < 100 { 9 } else { u32::from(row < 300) }).collect();
        let sampler = Sampler {
            negatives: Negatives::Popular,
            candidates: &candidates,
            popularity: &popularity,
            seed: 5,
        };
        let (mut often, mut seldom) = (0, 0);
        for user in 0..50 {
            let rows = sampler.of(&asks(user, &[], &[999]));
            assert!(rows.iter().all(|&row| row < 300 || row == 999));
            often += rows.iter().filter(|&&row| row < 100).count();
            seldom += rows.iter().filter(|&&row| (100..300).contains(&row)).count();
        }
        assert_eq!(often + seldom, 50 * 100);
        // Without replacement the popular ones run out: more than 2 to 1, less than the 4.5 to 1 of single draws.
        assert!(often > 2 * seldom && 2 * often < 9 * seldom, "{often} {seldom}");
    }
}
