//! A training that begins where another model ended, on a set that has grown since.

use std::collections::HashMap;

use upnext_math::Matrix;
use upnext_nn::Parameters;

use crate::FitError;

/// What an earlier model had learnt, and what of the set it had not seen.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The name of the model that goes on.
    pub model: String,
    /// Its parameters by name.
    pub parameters: HashMap<String, Matrix>,
    /// Of each video of the set its row then; `None` of one that is new.
    pub videos: Vec<Option<u32>>,
    /// Milliseconds since 1970: events before are known already, those from here on are learnt.
    pub since: i64,
}

impl Start {
    /// Takes over tables of videos row by row, so that new videos keep a row as new as any, and all else whole.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape: a network of another shape would start from nothing, unseen.
    pub(crate) fn apply(&self, parameters: &mut Parameters, tables: &[&str]) -> Result<(), FitError> {
        let wrong = |what: String| FitError::Start { model: self.model.clone(), what };
        for id in parameters.ids() {
            let name = parameters.name(id).to_string();
            let old = self.parameters.get(&name);
            let old = old.ok_or_else(|| wrong(format!("it has no parameter `{name}`")))?;
            let of_now = parameters.get_mut(id);
            if tables.contains(&name.as_str()) && old.n_columns() == of_now.n_columns() {
                for (now, then) in self.videos.iter().enumerate().take(of_now.n_rows()) {
                    if let Some(then) = then.filter(|&then| (then as usize) < old.n_rows()) {
                        of_now.row_mut(now).copy_from_slice(old.row(then as usize));
                    }
                }
            } else if (old.n_rows(), old.n_columns()) == (of_now.n_rows(), of_now.n_columns()) {
                of_now.values_mut().copy_from_slice(old.values());
            } else {
                return Err(wrong(format!("its parameter `{name}` has another shape")));
            }
        }
        Ok(())
    }

    /// That what is read of a video is what it was: `now` and the array `inputs` of the older model, `(videos, width)`.
    ///
    /// # Errors
    /// When it is not: the same weights would mean something else.
    pub(crate) fn check_inputs(&self, now: &Matrix) -> Result<(), FitError> {
        let is_same = |then: &Matrix| {
            then.n_columns() == now.n_columns()
                && self.videos.iter().enumerate().take(now.n_rows()).all(|(video, old)| match old {
                    Some(old) if (*old as usize) < then.n_rows() => {
                        let pairs = now.row(video).iter().zip(then.row(*old as usize));
                        pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-3 * (1.0 + a.abs()))
                    }
                    _ => true,
                })
        };
        if self.parameters.get("inputs").is_some_and(is_same) {
            return Ok(());
        }
        let what = "what it reads of videos is not what it was (content and scales are fitted on the catalogue): \
                    bring vectors with `upnext vectors`, or train anew";
        Err(FitError::Start { model: self.model.clone(), what: what.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_nn::Kind;

    #[test]
    fn known_videos_keep_their_rows_wherever_they_stand_now_and_new_ones_have_rows_of_their_own() {
        let mut parameters = Parameters::new();
        let table = parameters.add("videos", Kind::Rows, Matrix::from_rows(3, 1, vec![0.1, 0.2, 0.3]));
        let weight = parameters.add("weight", Kind::Dense, Matrix::zeros(1, 2));
        let start = Start {
            model: "m".into(),
            parameters: HashMap::from([
                ("videos".into(), Matrix::from_rows(2, 1, vec![7.0, 8.0])),
                ("weight".into(), Matrix::from_rows(1, 2, vec![5.0, 6.0])),
                ("other".into(), Matrix::from_rows(1, 2, vec![5.0, 6.0])),
            ]),
            videos: vec![Some(1), None, Some(0)],
            since: 0,
        };
        start.apply(&mut parameters, &["videos"]).unwrap();
        assert_eq!(parameters.get(table).values(), [8.0, 0.2, 7.0]);
        assert_eq!(parameters.get(weight).values(), [5.0, 6.0]);
        parameters.add("other", Kind::Dense, Matrix::zeros(1, 3));
        let error = start.apply(&mut parameters, &["videos"]).unwrap_err().to_string();
        assert!(error.contains("`other` has another shape"), "{error}");
        parameters.add("more", Kind::Dense, Matrix::zeros(1, 1));
    }

    #[test]
    fn inputs_that_are_not_what_they_were_are_refused() {
        let inputs = Matrix::from_rows(2, 1, vec![7.0, 8.0]);
        let start = Start {
            model: "m".into(),
            parameters: HashMap::from([("inputs".into(), inputs)]),
            videos: vec![Some(1), None, Some(0)],
            since: 0,
        };
        let of = |values: Vec<f32>| start.check_inputs(&Matrix::from_rows(3, 1, values));
        of(vec![8.0, 1.0, 7.0]).unwrap();
        assert!(of(vec![-8.0, 1.0, 7.0]).unwrap_err().to_string().contains("upnext vectors"));
    }
}
