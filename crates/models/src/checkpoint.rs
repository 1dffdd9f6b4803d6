//! Fitted models in a file: safetensors, with the shape of each model as JSON in the metadata.
//!
//! The file holds arrays by name and a description that says which arrays make which model, so that another
//! program can read it. Loading checks every shape: a broken file is an error, never a panic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use upnext_features::Content;
use upnext_math::{Matrix, Sparse};
use upnext_nn::layer::Wiring;

use crate::zoo::linear::{Head, Linear, Weights};
use crate::zoo::{
    Bias, Blend, Bpr, Constant, ContentCosine, ContentScores, FeatureTower, Fusion, Ials, MedianBias,
    OnMaxima, Part, Profile, Random, Ranker, Sasrec, SasrecShape, TwoTower, Updater, UserKnn, Watch,
};
use crate::{Recommender, Settings};

/// The version of the description; a file of another version is refused.
pub const VERSION: u32 = 1;
const METADATA: &str = "upnext";

/// A file of models that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not safetensors, or not ours.
    #[error("this is not a model file: {0}; fit it again with `upnext train`")]
    NotAModel(String),
    /// Written by another version.
    #[error("the model file is format {found}; this build reads {VERSION}: fit it again with `upnext train`")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// An array is missing or has a wrong shape.
    #[error("the model file is broken at `{array}`: {what}; fit it again with `upnext train`")]
    Broken {
        /// The array's name.
        array: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a model is made of: its form, and arrays by name.
#[derive(Default)]
pub struct Saved {
    arrays: BTreeMap<String, Array>,
}

struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    version: u32,
    models: Vec<Form>,
}

/// The form of a model, with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum Form {
    /// One score for each video.
    Constant {
        /// The model's name.
        name: String,
    },
    /// Scores drawn from a seed.
    Random {
        /// Size of the catalogue.
        n_videos: usize,
        /// The seed.
        seed: u64,
    },
    /// Deviations.
    Bias {
        /// The set's mean.
        mean: f32,
    },
    /// History times a matrix.
    Linear {
        /// The model's name.
        name: String,
        /// Weight of each step into the past.
        decay: f32,
        /// How many videos of the past count.
        last: u64,
        /// How the matrix is kept: `sparse`, `dense`, `factors`, `chain`, `dual`.
        weights: String,
        /// Size of the catalogue.
        n_videos: usize,
    },
    /// Neighbours of viewers.
    UserKnn {
        /// Size of the catalogue.
        n_videos: usize,
    },
    /// Matrix factorisation.
    Ials {
        /// The mean confidence in training, where observations are weighted by confidence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confidence_mean: Option<f32>,
        /// Where they are not those of the closed forms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<crate::zoo::WmfSettings>,
    },
    /// A transformer over the history.
    Sasrec {
        /// Its name; of older files, that of whether there is a filter.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        network: String,
        /// Numbers of a vector.
        dimension: usize,
        /// Attention and feed-forward, so many times.
        n_blocks: usize,
        /// Heads of an attention.
        n_heads: usize,
        /// Videos of a history that are read.
        length: usize,
        /// Share of a frequency filter; 0 has none.
        #[serde(default)]
        filter: f32,
        /// Frequencies that pass it.
        #[serde(default)]
        filter_low: usize,
        /// Where norms stand in a block.
        #[serde(default)]
        wiring: Wiring,
    },
    /// A transformer over a history, and layers over a video.
    TwoTower {
        /// How it was made.
        settings: Box<crate::zoo::TwoTowerSettings>,
    },
    /// Learnt vectors of buckets, categories, times and kinds of past.
    FeatureTower {
        /// How it was made.
        settings: Box<crate::zoo::FeatureTowerSettings>,
        /// How many buckets users have, and videos.
        n_buckets: (usize, usize),
    },
    /// Factors that learn an order.
    Bpr {
        /// Videos of a history that make a viewer.
        last: usize,
        /// Size of the catalogue.
        n_videos: usize,
        /// Numbers of a vector.
        dimension: usize,
    },
    /// Content as one vector a video.
    Fusion {
        /// Weight of each step into the past.
        decay: f32,
    },
    /// A profile that each event moves.
    Profile {
        /// How it was made.
        settings: Box<crate::zoo::ProfileSettings>,
    },
    /// A regressor of watch time.
    Watch {
        /// The model's name.
        name: String,
        /// How it was made.
        settings: Box<crate::zoo::watch::Settings>,
    },
    /// Median offsets.
    MedianBias {
        /// The set's median.
        median: f32,
    },
    /// Cosine of scores.
    ContentScores {},
    /// Cosine of content.
    Content {
        /// Width of the vectors.
        n_columns: usize,
    },
    /// A weighted sum.
    Blend {
        /// The model's name.
        name: String,
        /// Weight, deviation and form of each part.
        parts: Vec<(f32, f32, Form)>,
    },
    /// Two models on the scale of their maxima.
    OnMaxima {
        /// Weight of the second.
        share: f32,
        /// The two.
        parts: Box<(Form, Form)>,
    },
    /// Candidates of a model in an order that was learnt.
    Ranker {
        /// How it was made.
        settings: Box<crate::zoo::RankerSettings>,
        /// Width of the vectors of content, where there are any.
        n_content: Option<usize>,
        /// The model whose candidates they are.
        stage: Box<Form>,
    },
}

/// Writes arrays under a prefix, one prefix a model.
pub struct Writer<'a> {
    saved: &'a mut Saved,
    prefix: String,
}

impl Writer<'_> {
    /// A writer for a part of this model.
    pub(crate) fn part(&mut self, name: impl std::fmt::Display) -> Writer<'_> {
        Writer { prefix: format!("{}{name}.", self.prefix), saved: self.saved }
    }

    fn put(&mut self, name: &str, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) {
        self.saved.arrays.insert(format!("{}{name}", self.prefix), Array { dtype, shape, bytes });
    }

    pub(crate) fn vector(&mut self, name: &str, values: &[f32]) {
        self.put(name, Dtype::F32, vec![values.len()], values.iter().flat_map(|x| x.to_le_bytes()).collect());
    }

    fn rows(&mut self, name: &str, values: &[u32]) {
        self.put(name, Dtype::U32, vec![values.len()], values.iter().flat_map(|x| x.to_le_bytes()).collect());
    }

    pub(crate) fn matrix(&mut self, name: &str, matrix: &Matrix) {
        let bytes = matrix.values().iter().flat_map(|x| x.to_le_bytes()).collect();
        self.put(name, Dtype::F32, vec![matrix.n_rows(), matrix.n_columns()], bytes);
    }

    pub(crate) fn sparse(&mut self, name: &str, sparse: &Sparse) {
        let starts: Vec<u8> = sparse.starts().iter().flat_map(|&x| (x as u64).to_le_bytes()).collect();
        self.put(&format!("{name}.starts"), Dtype::U64, vec![sparse.starts().len()], starts);
        self.rows(&format!("{name}.columns"), sparse.columns());
        self.vector(&format!("{name}.values"), sparse.values());
    }

    pub(crate) fn weights(&mut self, weights: &Weights) -> &'static str {
        match weights {
            Weights::Sparse(weights) => {
                self.sparse("weights", weights);
                "sparse"
            }
            Weights::Dense { matrix, head } => {
                self.matrix("weights", matrix);
                if let Some(rows) = head.rows() {
                    self.rows("head", rows);
                }
                "dense"
            }
            Weights::Factors { left, right } => {
                self.matrix("left", left);
                self.matrix("right", right);
                "factors"
            }
            Weights::Chain { first, second_by_column } => {
                self.sparse("first", first);
                self.sparse("second_by_column", second_by_column);
                "chain"
            }
            Weights::Dual { x, y, p } => {
                self.sparse("x", x);
                self.matrix("y", y);
                self.vector("p", p);
                "dual"
            }
        }
    }
}

/// The bytes of a file with some models.
///
/// # Errors
/// When the library refuses to write, which a size beyond memory may cause.
pub fn save(models: &[&dyn Recommender]) -> Result<Vec<u8>, CheckpointError> {
    let mut saved = Saved::default();
    let forms = models
        .iter()
        .enumerate()
        .map(|(at, model)| model.save(&mut Writer { saved: &mut saved, prefix: format!("{at}.") }))
        .collect();
    let description = serde_json::to_string(&Description { version: VERSION, models: forms })
        .map_err(|error| CheckpointError::NotAModel(error.to_string()))?;
    let views: Result<Vec<(&str, TensorView)>, _> = saved
        .arrays
        .iter()
        .map(|(name, array)| {
            Ok((name.as_str(), TensorView::new(array.dtype, array.shape.clone(), &array.bytes)?))
        })
        .collect();
    views
        .and_then(|views| {
            safetensors::serialize(views, Some(HashMap::from([(METADATA.to_string(), description)])))
        })
        .map_err(|error| CheckpointError::NotAModel(error.to_string()))
}

/// The models of a file, in the order in which they were saved.
///
/// # Errors
/// When the bytes are not such a file, are of another version, or hold arrays of wrong shapes.
pub fn load(bytes: &[u8]) -> Result<Vec<Arc<dyn Recommender>>, CheckpointError> {
    let (description, arrays) = open(bytes)?;
    description
        .models
        .iter()
        .enumerate()
        .map(|(at, form)| Reader { arrays: &arrays, prefix: format!("{at}.") }.model(form, 0))
        .collect()
}

/// What a file says of its models, and its arrays.
fn open(bytes: &[u8]) -> Result<(Description, SafeTensors<'_>), CheckpointError> {
    let not_ours = |what: String| CheckpointError::NotAModel(what);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| not_ours(error.to_string()))?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(METADATA))
        .ok_or_else(|| not_ours("it has no description of models".into()))?;
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version: found } =
        serde_json::from_str(text).map_err(|error| not_ours(error.to_string()))?;
    if found != VERSION {
        return Err(CheckpointError::Version { found });
    }
    let description: Description = serde_json::from_str(text).map_err(|error| not_ours(error.to_string()))?;
    let arrays = SafeTensors::deserialize(bytes).map_err(|error| not_ours(error.to_string()))?;
    Ok((description, arrays))
}

/// The name of the blend that ranks by a file, where one does.
///
/// # Errors
/// When the file is not one of models.
pub fn blend_name(bytes: &[u8]) -> Result<Option<String>, CheckpointError> {
    let (description, _) = open(bytes)?;
    Ok(match description.models.first() {
        Some(Form::Blend { name, .. }) => Some(name.clone()),
        _ => None,
    })
}

/// The first two-tower of a file, on its own or as a part of a blend; `None` where there is none.
///
/// # Errors
/// As [`load`].
pub fn two_tower(bytes: &[u8]) -> Result<Option<TwoTower>, CheckpointError> {
    fn find(form: &Form, prefix: String) -> Option<(&crate::zoo::TwoTowerSettings, String)> {
        match form {
            Form::TwoTower { settings } => Some((settings, prefix)),
            Form::Blend { parts, .. } => {
                parts.iter().enumerate().find_map(|(at, (_, _, form))| find(form, format!("{prefix}{at}.")))
            }
            _ => None,
        }
    }
    let (description, arrays) = open(bytes)?;
    let forms = description.models.iter().enumerate();
    let Some((settings, prefix)) = forms.into_iter().find_map(|(at, form)| find(form, format!("{at}.")))
    else {
        return Ok(None);
    };
    let reader = Reader { arrays: &arrays, prefix };
    let model = TwoTower::load(settings.clone(), |name| reader.matrix(name, None).ok());
    model.map(Some).map_err(|name| reader.broken(&name, "it is missing or has another shape"))
}

/// Which of the networks of one shape it is.
fn sasrec_name(network: &str, filter: f32) -> &'static str {
    match network {
        "esasrec" => "esasrec",
        "hstu" => "hstu",
        "bsarec" => "bsarec",
        "" if filter > 0.0 => "bsarec",
        _ => "sasrec",
    }
}

/// The network that ranks in a file: its name, and its parameters by name, with what it reads of videos as `inputs`. Its
/// section of `settings` takes the shape that it was made in. `None` where what ranks is no network that can go on.
///
/// # Errors
/// As [`load`].
pub fn network(bytes: &[u8], settings: &mut Settings) -> Result<Option<NamedNetwork>, CheckpointError> {
    let (description, arrays) = open(bytes)?;
    let (name, prefix) = match description.models.first() {
        Some(&Form::Sasrec {
            ref network,
            dimension,
            n_blocks,
            n_heads,
            length,
            filter,
            filter_low,
            wiring,
        }) => {
            let name = sasrec_name(network, filter);
            let of = match name {
                "bsarec" => &mut settings.bsarec,
                "esasrec" => &mut settings.esasrec,
                "hstu" => &mut settings.hstu,
                _ => &mut settings.sasrec,
            };
            (of.dimension, of.n_blocks, of.n_heads, of.length) = (dimension, n_blocks, n_heads, length);
            (of.filter, of.filter_low, of.wiring) = (filter, filter_low, wiring);
            (name, "0.")
        }
        Some(Form::TwoTower { settings: made }) => {
            let learn = settings.two_tower.learn.clone();
            settings.two_tower = crate::zoo::TwoTowerSettings { learn, ..(**made).clone() };
            ("two-tower", "0.network.")
        }
        _ => return Ok(None),
    };
    let reader = Reader { arrays: &arrays, prefix: prefix.into() };
    let names = arrays.names().into_iter().filter_map(|name| name.strip_prefix(prefix));
    let parameters: Result<HashMap<String, Matrix>, CheckpointError> =
        names.map(|name| Ok((name.to_string(), reader.matrix(name, None)?))).collect();
    let mut parameters = parameters?;
    if name == "two-tower" {
        let whole = Reader { arrays: &arrays, prefix: "0.".into() };
        parameters.insert("inputs".into(), whole.matrix("inputs", None)?);
    }
    Ok(Some((name.into(), parameters)))
}

/// The name of a network, and its parameters by name.
pub type NamedNetwork = (String, HashMap<String, Matrix>);

/// Rows that a matrix without columns may have: users of whom nothing is known.
const EMPTY_ROWS_MAX: usize = 1 << 27;

struct Reader<'a> {
    arrays: &'a SafeTensors<'a>,
    prefix: String,
}

impl Reader<'_> {
    fn broken(&self, name: &str, what: &'static str) -> CheckpointError {
        CheckpointError::Broken { array: format!("{}{name}", self.prefix), what }
    }

    fn part(&self, name: impl std::fmt::Display) -> Self {
        Self { arrays: self.arrays, prefix: format!("{}{name}.", self.prefix) }
    }

    fn array(&self, name: &str, dtype: Dtype) -> Result<TensorView<'_>, CheckpointError> {
        let array = self
            .arrays
            .tensor(&format!("{}{name}", self.prefix))
            .map_err(|_| self.broken(name, "it is missing"))?;
        if array.dtype() == dtype { Ok(array) } else { Err(self.broken(name, "it has another type")) }
    }

    fn vector(&self, name: &str, len: Option<usize>) -> Result<Vec<f32>, CheckpointError> {
        let array = self.array(name, Dtype::F32)?;
        let values: Vec<f32> =
            array.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if len.is_some_and(|len| len != values.len()) {
            return Err(self.broken(name, "it has another length"));
        }
        if values.iter().any(|x| !x.is_finite()) {
            return Err(self.broken(name, "a value is not finite"));
        }
        Ok(values)
    }

    fn rows(&self, name: &str) -> Result<Vec<u32>, CheckpointError> {
        let array = self.array(name, Dtype::U32)?;
        Ok(array.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }

    fn matrix(&self, name: &str, n_rows: Option<usize>) -> Result<Matrix, CheckpointError> {
        let shape = self.array(name, Dtype::F32)?.shape().to_vec();
        let [rows, columns] = shape[..] else { return Err(self.broken(name, "it is not a matrix")) };
        // Rows without numbers cost a file nothing, and memory here.
        if columns == 0 && rows > EMPTY_ROWS_MAX {
            return Err(self.broken(name, "it has more rows than numbers"));
        }
        if n_rows.is_some_and(|n| n != rows) {
            return Err(self.broken(name, "it has another number of rows"));
        }
        Ok(Matrix::from_rows(rows, columns, self.vector(name, Some(rows * columns))?))
    }

    fn sparse(&self, name: &str, n_columns: usize) -> Result<Sparse, CheckpointError> {
        let starts_name = format!("{name}.starts");
        let starts = self.array(&starts_name, Dtype::U64)?;
        let starts =
            starts.data().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b) as usize).collect();
        let columns = self.rows(&format!("{name}.columns"))?;
        let values = self.vector(&format!("{name}.values"), Some(columns.len()))?;
        Sparse::from_parts(n_columns, starts, columns, values)
            .ok_or_else(|| self.broken(name, "its entries do not make a sparse matrix"))
    }

    fn square(&self, name: &str, n: usize) -> Result<Sparse, CheckpointError> {
        let sparse = self.sparse(name, n)?;
        if sparse.n_rows() == n { Ok(sparse) } else { Err(self.broken(name, "it is not square")) }
    }

    /// That a network of about so many numbers can be in this file, before any is made.
    fn holds(&self, n_numbers: usize) -> Result<(), CheckpointError> {
        let there: usize = self.arrays.tensors().iter().map(|(_, array)| array.data().len() / 4).sum();
        if n_numbers <= there {
            Ok(())
        } else {
            Err(self.broken("settings", "the file is too small for such a network"))
        }
    }

    fn weights(&self, form: &str, n: usize) -> Result<Weights, CheckpointError> {
        Ok(match form {
            "sparse" => Weights::Sparse(self.square("weights", n)?),
            "dense" => {
                let head = match self.rows("head") {
                    Ok(rows) => Head::of_rows(n, rows)
                        .ok_or_else(|| self.broken("head", "its rows are not sorted"))?,
                    Err(_) => Head::whole(n),
                };
                let matrix = self.matrix("weights", Some(head.len()))?;
                if matrix.n_columns() != head.len() {
                    return Err(self.broken("weights", "it is not square"));
                }
                Weights::Dense { matrix, head }
            }
            "factors" => {
                let (left, right) = (self.matrix("left", Some(n))?, self.matrix("right", Some(n))?);
                if left.n_columns() != right.n_columns() {
                    return Err(self.broken("right", "its width is not that of `left`"));
                }
                Weights::Factors { left, right }
            }
            "chain" => Weights::Chain {
                first: self.square("first", n)?,
                second_by_column: self.square("second_by_column", n)?,
            },
            "dual" => {
                let (x, y) = (self.sparse("x", n)?, self.matrix("y", Some(n))?);
                if y.n_columns() != x.n_rows() {
                    return Err(self.broken("y", "its width is not the number of users"));
                }
                Weights::Dual { x, y, p: self.vector("p", Some(n))? }
            }
            _ => return Err(self.broken("weights", "its form is not known")),
        })
    }

    fn model(&self, form: &Form, depth: usize) -> Result<Arc<dyn Recommender>, CheckpointError> {
        const DEPTH_MAX: usize = 4;
        if depth > DEPTH_MAX {
            return Err(self.broken("parts", "blends are nested too deeply"));
        }
        Ok(match form {
            Form::Constant { name } => {
                Arc::new(Constant { name: name.clone(), scores: self.vector("scores", None)? })
            }
            Form::Random { n_videos, seed } => Arc::new(Random { n_videos: *n_videos, seed: *seed }),
            Form::Bias { mean } => Arc::new(Bias { mean: *mean, videos: self.vector("videos", None)? }),
            Form::Linear { name, decay, last, weights, n_videos } => Arc::new(Linear {
                name: name.clone(),
                decay: *decay,
                last: usize::try_from(*last).unwrap_or(usize::MAX),
                weights: self.weights(weights, *n_videos)?,
            }),
            Form::UserKnn { n_videos } => Arc::new(UserKnn::new(self.sparse("users", *n_videos)?)),
            Form::Ials { confidence_mean, settings } => {
                if confidence_mean.is_some_and(|mean| !mean.is_finite() || mean <= 0.0) {
                    return Err(self.broken("confidence_mean", "it is not a positive number"));
                }
                if settings.as_ref().is_some_and(|settings| settings.check().is_err()) {
                    return Err(self.broken("settings", "they cannot be meant"));
                }
                Arc::new(Ials::new(self.matrix("videos", None)?, *confidence_mean, settings.clone()))
            }
            &Form::Sasrec {
                ref network,
                dimension,
                n_blocks,
                n_heads,
                length,
                filter,
                filter_low,
                wiring,
            } => {
                let is_sane = (1..=4_096).contains(&dimension)
                    && n_blocks <= 64
                    && n_heads > 0
                    && dimension.is_multiple_of(n_heads)
                    && (1..=4_096).contains(&length)
                    && (0.0..=1.0).contains(&filter)
                    && (filter == 0.0 || !matches!(wiring, Wiring::Gated | Wiring::Pointwise));
                if !is_sane {
                    return Err(self.broken("shape", "no such network can be"));
                }
                let n_videos = self.matrix("videos", None)?.n_rows();
                let filter = (filter, filter_low);
                let shape = SasrecShape { dimension, n_blocks, n_heads, length, filter, wiring };
                let name = sasrec_name(network, filter.0);
                let model =
                    Sasrec::from_parameters(name, shape, n_videos, |name| self.matrix(name, None).ok());
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
            Form::TwoTower { settings } => {
                let d = settings.dimension;
                let layers: usize =
                    settings.item_layers.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).sum();
                let blocks = settings.n_blocks.saturating_mul(12).saturating_mul(d).saturating_mul(d);
                self.holds(blocks.saturating_add(layers).saturating_add(settings.length.saturating_mul(d)))?;
                let model = TwoTower::load((**settings).clone(), |name| self.matrix(name, None).ok());
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
            Form::FeatureTower { settings, n_buckets } => {
                let layers: usize =
                    settings.layers.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).sum();
                let n = n_buckets.0.saturating_add(n_buckets.1).saturating_mul(settings.dimension);
                self.holds(n.saturating_add(layers))?;
                let get = |name: &str| self.matrix(name, None).ok();
                let model = FeatureTower::load((**settings).clone(), *n_buckets, get);
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
            &Form::Bpr { last, n_videos, dimension } => {
                if n_videos == 0 || dimension == 0 {
                    return Err(self.broken("shape", "no such factors can be"));
                }
                self.holds(n_videos.saturating_mul(dimension).saturating_mul(2))?;
                let get = |name: &str| self.matrix(name, None).ok();
                let model = Bpr::load(last, (n_videos, dimension), get);
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
            &Form::Fusion { decay } => {
                if !(decay > 0.0 && decay <= 1.0) {
                    return Err(self.broken("decay", "it is not above 0 and at most 1"));
                }
                Arc::new(Fusion { videos: Arc::new(self.matrix("videos", None)?), decay })
            }
            Form::Profile { settings } => {
                let (hidden, wide) = (settings.hidden, settings.hidden.saturating_mul(12));
                let blocks = match settings.updater {
                    Updater::Residual => 0,
                    Updater::Transformer => settings.n_blocks.saturating_mul(wide).saturating_mul(hidden),
                };
                self.holds(blocks.saturating_add(hidden))?;
                let get = |name: &str| self.matrix(name, None).ok();
                let model = Profile::load((**settings).clone(), get);
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
            Form::Watch { name, settings } => {
                let widths = [&settings.tower, &settings.head].into_iter();
                let layers = widths.flat_map(|of| of.windows(2)).map(|pair| pair[0].saturating_mul(pair[1]));
                self.holds(layers.sum())?;
                let model = Watch::load(name, (**settings).clone(), |name| self.matrix(name, None).ok());
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
            Form::MedianBias { median } => Arc::new(MedianBias::of(*median, self.vector("videos", None)?)),
            Form::ContentScores {} => Arc::new(ContentScores::new(self.matrix("videos", None)?)),
            Form::Content { n_columns } => {
                let content = Content::from_vectors(self.sparse("vectors", *n_columns)?);
                Arc::new(ContentCosine::new(Arc::new(content)))
            }
            Form::Blend { name, parts } => {
                let parts = parts
                    .iter()
                    .enumerate()
                    .map(|(at, (weight, deviation, form))| {
                        let model = self.part(at).model(form, depth + 1)?;
                        Ok(Part { weight: *weight, deviation: *deviation, model })
                    })
                    .collect::<Result<Vec<_>, CheckpointError>>()?;
                if parts.windows(2).any(|pair| pair[0].model.n_videos() != pair[1].model.n_videos()) {
                    return Err(self.broken("parts", "they know different catalogues"));
                }
                Arc::new(Blend::new(name.clone(), parts))
            }
            Form::OnMaxima { share, parts } => {
                let first = self.part(0).model(&parts.0, depth + 1)?;
                let second = self.part(1).model(&parts.1, depth + 1)?;
                if first.n_videos() != second.n_videos() {
                    return Err(self.broken("parts", "they know different catalogues"));
                }
                Arc::new(OnMaxima::new(first, second, *share))
            }
            Form::Ranker { settings, n_content, stage } => {
                let stage = self.part("stage").model(stage, depth + 1)?;
                let n = stage.n_videos();
                let content = n_content.map(|width| self.sparse("content", width)).transpose()?;
                if content.as_ref().is_some_and(|content| content.n_rows() != n) {
                    return Err(self.broken("content", "it has another number of videos"));
                }
                let hidden = settings.hidden.windows(2).map(|pair| pair[0].saturating_mul(pair[1]));
                self.holds(hidden.fold(0, usize::saturating_add))?;
                let signals = (self.square("next", n)?, self.square("near", n)?, content);
                let vector = |name: &str, n: usize| self.vector(name, Some(n)).ok();
                let get = |name: &str| self.matrix(name, None).ok();
                let model = Ranker::load((**settings).clone(), stage, signals, vector, get);
                Arc::new(model.map_err(|name| self.broken(&name, "it is missing or has another shape"))?)
            }
        })
    }
}
