//! What was chosen, as numbers.

use super::recipe::{Form, Recipe};
use crate::zoo::Kind;

/// What was chosen: enough to make it again on a set that has grown.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) parts: Vec<ChosenPart>,
    /// The weight of the second stage, and what it learnt.
    pub(super) ranker: Option<(f32, Vec<f32>)>,
}

#[derive(Debug, PartialEq)]
pub(super) struct ChosenPart {
    pub(super) kind: Kind,
    /// Of a network, with its epochs.
    pub(super) network: Option<(Recipe, f32)>,
    /// Its weight in the blend, and in what the second stage stands on.
    pub(super) weight: f32,
    pub(super) in_stage: f32,
}

impl Chosen {
    pub(super) fn to_numbers(&self) -> Vec<f32> {
        let mut numbers = vec![self.parts.len() as f32];
        for part in &self.parts {
            let at = Kind::ALL.iter().position(|kind| *kind == part.kind).expect("all kinds are listed");
            let (recipe, epochs) = part.network.unwrap_or((NONE, 0.0));
            numbers.extend([at as f32, part.weight, part.in_stage, epochs]);
            numbers.extend(recipe.to_numbers());
        }
        if let Some((weight, learnt)) = &self.ranker {
            numbers.push(*weight);
            numbers.extend(learnt);
        }
        numbers
    }

    /// `None` where they are no such numbers.
    pub(super) fn of_numbers(numbers: &[f32]) -> Option<Self> {
        let (&n, rest) = numbers.split_first()?;
        let (parts, rest) = rest.split_at_checked(8 * n as usize)?;
        let part = |&[at, weight, in_stage, epochs, ref recipe @ ..]: &[f32; 8]| {
            let network = (epochs > 0.0).then(|| (Recipe::of_numbers(*recipe), epochs));
            Some(ChosenPart { kind: *Kind::ALL.get(at as usize)?, network, weight, in_stage })
        };
        let parts = parts.as_chunks::<8>().0.iter().map(part).collect::<Option<Vec<_>>>()?;
        let ranker = rest.split_first().map(|(&weight, learnt)| (weight, learnt.to_vec()));
        Some(Self { parts, ranker })
    }
}

/// Stands where a part is no network.
const NONE: Recipe = Recipe { form: Form::Graph, length: 0, content: false, is_sampled: false };
