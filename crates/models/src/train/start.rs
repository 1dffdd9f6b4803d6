//! A training that begins where another model ended, on a set that has grown since.

use std::collections::HashMap;

use upnext_math::Matrix;
use upnext_nn::Parameters;

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
    /// Takes over what fits: tables of videos row by row, so that new videos keep a row as new as any, all else whole.
    /// Returns how many numbers were taken over.
    pub(crate) fn apply(&self, parameters: &mut Parameters, tables: &[&str]) -> usize {
        let mut taken = 0;
        for id in parameters.ids() {
            let name = parameters.name(id).to_string();
            let Some(old) = self.parameters.get(&name) else { continue };
            let of_now = parameters.get_mut(id);
            if tables.contains(&name.as_str()) && old.n_columns() == of_now.n_columns() {
                for (now, then) in self.videos.iter().enumerate().take(of_now.n_rows()) {
                    if let Some(then) = then.filter(|&then| (then as usize) < old.n_rows()) {
                        of_now.row_mut(now).copy_from_slice(old.row(then as usize));
                        taken += old.n_columns();
                    }
                }
            } else if (old.n_rows(), old.n_columns()) == (of_now.n_rows(), of_now.n_columns()) {
                of_now.values_mut().copy_from_slice(old.values());
                taken += old.values().len();
            }
        }
        taken
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
        let other = parameters.add("other", Kind::Dense, Matrix::zeros(1, 3));
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
        assert_eq!(start.apply(&mut parameters, &["videos"]), 4);
        assert_eq!(parameters.get(table).values(), [8.0, 0.2, 7.0]);
        assert_eq!(parameters.get(weight).values(), [5.0, 6.0]);
        assert_eq!(parameters.get(other).values(), [0.0; 3], "of another shape");
    }
}
