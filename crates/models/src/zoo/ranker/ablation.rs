//! What each group of features adds: the second stage learnt again without it, and on it alone.

use super::Group;
use super::lesson::Lesson;
use super::slates::Ground;
use crate::train::Unwatched;
use crate::{FitError, Training};

/// The second stage learnt several times over, each judged on the same validation questions. It looks at no test.
#[derive(Clone, Debug)]
pub struct Ablation {
    /// HR@10 of each question in the order of stage one, then NDCG@10.
    pub stage_one: [Vec<f64>; 2],
    /// The name of stage one.
    pub stage_name: String,
    /// The same with all groups.
    pub whole: [Vec<f64>; 2],
    /// Each group that tells candidates or viewers apart on this set.
    pub groups: Vec<Ablated>,
    /// Groups that hold the same number everywhere on this set.
    pub empty: Vec<Group>,
}

/// What one group adds.
#[derive(Clone, Debug)]
pub struct Ablated {
    /// The group.
    pub group: Group,
    /// HR@10 and NDCG@10 of each question, learnt from all other groups.
    pub without: [Vec<f64>; 2],
    /// The same, learnt from this group alone: candidates in no order to start from, unless it is that of the parts.
    pub alone: [Vec<f64>; 2],
}

impl Ablation {
    /// Learns once with all groups, then twice for each. Epochs are chosen on validation each time, by the same seed.
    pub(in crate::zoo) fn new(
        training: &Training,
        ground: &Ground,
        stage_name: &str,
    ) -> Result<Self, FitError> {
        let is_told = |group: Group| {
            ground.groups.iter().zip(&ground.scale).any(|(&of, scale)| of == group && scale.1 > 0.0)
        };
        let (told, empty): (Vec<Group>, Vec<Group>) =
            Group::ALL.into_iter().partition(|&group| is_told(group));
        // Its steps are nobody's training: they are neither watched nor kept.
        let unwatched = Training { watch: &Unwatched, ..training.clone() };
        let judged = |groups: &[Group]| -> Result<[Vec<f64>; 2], FitError> {
            let (lesson, start) = Lesson::new(&training.settings.ranker, ground, groups, training.seed);
            let learnt = lesson.learn(start, &unwatched, None)?;
            Ok(columns(ground, &lesson.scores(&learnt.parameters, &ground.validation)))
        };
        let mut groups = Vec::with_capacity(told.len());
        for &group in &told {
            let others: Vec<Group> = told.iter().copied().filter(|&other| other != group).collect();
            groups.push(Ablated { group, without: judged(&others)?, alone: judged(&[group])? });
        }
        Ok(Self {
            stage_one: columns(ground, &ground.validation.totals),
            stage_name: stage_name.into(),
            whole: judged(&told)?,
            groups,
            empty,
        })
    }
}

/// HR@10 and NDCG@10 of every question that was asked; those for which stage one found nothing have 0 in each.
fn columns(ground: &Ground, scores: &[f32]) -> [Vec<f64>; 2] {
    let judged = ground.validation.judge(scores);
    [0, 1].map(|of| {
        let mut column: Vec<f64> = judged.iter().map(|one| one[of]).collect();
        column.resize(ground.validation.n_questions, 0.0);
        column
    })
}
