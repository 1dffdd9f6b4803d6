//! A training in a file: all it takes to go on as if nothing had happened.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use upnext_math::Matrix;
use upnext_nn::optimiser::{Adam, Settings};
use upnext_nn::schedule::Plateau;
use upnext_nn::{Parameters, in_parts};

use super::Which;

const VERSION: u32 = 1;
const METADATA: &str = "upnext-training";

/// A kept training that cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum TrainingFileError {
    /// Not safetensors, cut off, or not of a training.
    #[error("the file `{which}` is not a whole checkpoint: {cause}")]
    Unreadable {
        /// `best` or `last`.
        which: &'static str,
        /// What the reader says.
        cause: String,
    },
    /// An array is missing or has another shape.
    #[error("in the file `{which}` the array `{array}` is missing or has another shape than this network's")]
    Shape {
        /// `best` or `last`.
        which: &'static str,
        /// Its name.
        array: String,
    },
}

/// Where a training stands.
pub(super) struct State {
    pub(super) parameters: Parameters,
    /// Their mean over the last steps, older ones counting ever less, where the training keeps one.
    pub(super) average: Option<Average>,
    pub(super) adam: Adam,
    pub(super) plateau: Plateau,
    /// Whole epochs so far.
    pub(super) epoch: u32,
    /// Steps of the current epoch.
    pub(super) step: usize,
    /// Losses of those steps, and norms of their gradients, added up.
    pub(super) loss: f64,
    pub(super) norm: f64,
    /// The best epoch, from 1, and its metric.
    pub(super) best: Option<(u32, f64)>,
    pub(super) best_parameters: Option<Parameters>,
    /// Whether early stopping has ended it.
    pub(super) ended: bool,
}

/// An exponential mean of parameters over steps (Polyak & Juditsky 1992).
pub(super) struct Average {
    /// How much of the past a step keeps.
    pub(super) keeps: f32,
    pub(super) parameters: Parameters,
}

impl Average {
    /// Takes a step in. Early ones keep less, so that where a training began is soon forgotten.
    pub(super) fn take(&mut self, parameters: &Parameters, n_steps: u64) {
        let n = n_steps as f32;
        let keeps = self.keeps.min((1.0 + n) / (10.0 + n));
        for id in parameters.ids() {
            let (mean, now) = (self.parameters.get_mut(id).values_mut(), parameters.get(id).values());
            in_parts(mean, now, |mean, now| {
                mean.iter_mut().zip(now).for_each(|(mean, now)| *mean += (1.0 - keeps) * (now - *mean));
            });
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    fingerprint: u64,
    epoch: u32,
    step: usize,
    n_steps: u64,
    // As bits: a number that goes through text must come back the same.
    loss: u64,
    norm: u64,
    plateau: Option<PlateauBits>,
    best: Option<(u32, u64)>,
    ended: bool,
}

#[derive(Serialize, Deserialize)]
struct PlateauBits {
    share: u32,
    best: u64,
    since_best: u32,
    since_change: u32,
}

impl State {
    pub(super) fn new(parameters: Parameters, adam: Settings, keeps: f32, plateau: Plateau) -> Self {
        let adam = Adam::new(&parameters, adam);
        let average = (keeps > 0.0).then(|| Average { keeps, parameters: parameters.clone() });
        Self {
            parameters,
            average,
            adam,
            plateau,
            epoch: 0,
            step: 0,
            loss: 0.0,
            norm: 0.0,
            best: None,
            best_parameters: None,
            ended: false,
        }
    }

    /// What is judged, kept as the best, and served.
    pub(super) fn result(&self) -> &Parameters {
        self.average.as_ref().map_or(&self.parameters, |average| &average.parameters)
    }

    fn description(&self, fingerprint: u64) -> Description {
        let (share, best, since_best, since_change) = self.plateau.state();
        Description {
            version: VERSION,
            fingerprint,
            epoch: self.epoch,
            step: self.step,
            n_steps: self.adam.n_steps,
            loss: self.loss.to_bits(),
            norm: self.norm.to_bits(),
            plateau: Some(PlateauBits {
                share: share.to_bits(),
                best: best.to_bits(),
                since_best,
                since_change,
            }),
            best: self.best.map(|(epoch, score)| (epoch, score.to_bits())),
            ended: self.ended,
        }
    }

    /// The file of the last step.
    pub(super) fn last(&self, fingerprint: u64) -> Vec<u8> {
        let mut arrays = named("parameters", &self.parameters);
        for (id, (mean, square)) in self.parameters.ids().zip(self.adam.means.iter().zip(&self.adam.squares))
        {
            let name = self.parameters.name(id);
            arrays.push((format!("means.{name}"), mean));
            arrays.push((format!("squares.{name}"), square));
        }
        if let Some(average) = &self.average {
            arrays.extend(named("average", &average.parameters));
        }
        to_bytes(arrays, &self.description(fingerprint))
    }

    /// The file of the best epoch.
    pub(super) fn best_file(&self, fingerprint: u64) -> Vec<u8> {
        let best = self.best_parameters.as_ref().unwrap_or(self.result());
        to_bytes(named("parameters", best), &self.description(fingerprint))
    }

    /// Takes what was kept of the same training, if there is any; whether there was. A training of other settings, on
    /// other pairs, or that has gone further already, is not the same.
    pub(super) fn go_on(
        &mut self,
        kept: impl Fn(Which) -> Option<Vec<u8>>,
        (fingerprint, epochs_max): (u64, u32),
    ) -> Result<bool, TrainingFileError> {
        let Some(last) = kept(Which::Last) else { return Ok(false) };
        let last = Kept::read(&last, "last")?;
        if last.description.fingerprint != fingerprint || last.description.epoch > epochs_max {
            return Ok(false);
        }
        let parameters = last.parameters("parameters", &self.parameters)?;
        let average = match &self.average {
            Some(Average { keeps, parameters: like }) => {
                Some(Average { keeps: *keeps, parameters: last.parameters("average", like)? })
            }
            None => None,
        };
        let mut adam = self.adam.clone();
        for (at, id) in parameters.ids().enumerate() {
            let (name, like) = (parameters.name(id), parameters.get(id));
            adam.means[at] = last.matrix(&format!("means.{name}"), like)?;
            adam.squares[at] = last.matrix(&format!("squares.{name}"), like)?;
        }
        let Description { epoch, step, n_steps, loss, norm, plateau, best, ended, .. } = last.description;
        if let Some((best_epoch, score)) = best {
            let Some(bytes) = kept(Which::Best) else { return Ok(false) };
            let file = Kept::read(&bytes, "best")?;
            // A crash between the two files leaves a best one that is newer than the last: it will be found again.
            let of_file = file.description.best.map_or(0, |(epoch, _)| epoch);
            if file.description.fingerprint != fingerprint || of_file < best_epoch {
                return Ok(false);
            }
            self.best_parameters = Some(file.parameters("parameters", &self.parameters)?);
            self.best = Some((best_epoch, f64::from_bits(score)));
        }
        adam.n_steps = n_steps;
        (self.parameters, self.average, self.adam) = (parameters, average, adam);
        (self.epoch, self.step, self.ended) = (epoch, step, ended);
        (self.loss, self.norm) = (f64::from_bits(loss), f64::from_bits(norm));
        if let Some(PlateauBits { share, best, since_best, since_change }) = plateau {
            let state = (f32::from_bits(share), f64::from_bits(best), since_best, since_change);
            self.plateau.set_state(state);
        }
        Ok(true)
    }
}

fn named<'a>(group: &str, parameters: &'a Parameters) -> Vec<(String, &'a Matrix)> {
    let name = |id| (format!("{group}.{}", parameters.name(id)), parameters.get(id));
    parameters.ids().map(name).collect()
}

fn to_bytes(arrays: Vec<(String, &Matrix)>, description: &Description) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = (arrays.iter())
        .map(|(_, matrix)| matrix.values().iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = arrays.iter().zip(&bytes).map(|((name, matrix), bytes)| {
        let shape = vec![matrix.n_rows(), matrix.n_columns()];
        let view = TensorView::new(Dtype::F32, shape, bytes).expect("the bytes are those of the shape");
        (name.as_str(), view)
    });
    let text = serde_json::to_string(description).expect("a description is plain data");
    safetensors::serialize(views, Some(HashMap::from([(METADATA.to_string(), text)])))
        .expect("the names are unique and the views whole")
}

struct Kept<'a> {
    which: &'static str,
    arrays: SafeTensors<'a>,
    description: Description,
}

impl<'a> Kept<'a> {
    fn read(bytes: &'a [u8], which: &'static str) -> Result<Self, TrainingFileError> {
        let wrong = |cause: String| TrainingFileError::Unreadable { which, cause };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA));
        let text = text.ok_or_else(|| wrong("it has no description of a training".into()))?;
        let description: Description =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if description.version != VERSION {
            return Err(wrong(format!("it is format {}; this build reads {VERSION}", description.version)));
        }
        let arrays = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { which, arrays, description })
    }

    fn matrix(&self, name: &str, like: &Matrix) -> Result<Matrix, TrainingFileError> {
        let wrong = || TrainingFileError::Shape { which: self.which, array: name.into() };
        let array = self.arrays.tensor(name).map_err(|_| wrong())?;
        if array.dtype() != Dtype::F32 || array.shape() != [like.n_rows(), like.n_columns()] {
            return Err(wrong());
        }
        let values = array.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Ok(Matrix::from_rows(like.n_rows(), like.n_columns(), values.collect()))
    }

    /// Parameters of the same names and shapes, under the name of their group.
    fn parameters(&self, group: &str, like: &Parameters) -> Result<Parameters, TrainingFileError> {
        let mut parameters = like.clone();
        for id in like.ids() {
            *parameters.get_mut(id) = self.matrix(&format!("{group}.{}", like.name(id)), like.get(id))?;
        }
        Ok(parameters)
    }
}
