//! Trained transformers from a local folder in the usual layout: `config.json`, `model.safetensors`, and a tokenizer or a
//! preprocessor. Layers are those of `nn`, run forward only.

mod bert;
mod clip;
mod dinov2;
mod folder;
mod pixels;
mod siglip;
mod tokens;

use std::path::Path;

use serde::{Deserialize, Serialize};
use upnext_math::Matrix;
use upnext_nn::frozen::{Precision, Stack};

use crate::encoder::unit;
use crate::{EncodeError, Encoded, Encoder, Picture};
use bert::Bert;
use clip::{ClipPictures, ClipTexts};
use dinov2::Dinov2;
use folder::Folder;
use siglip::{SiglipPictures, SiglipTexts};

/// What may differ from what the folder says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerSettings {
    /// Stands before each text; without it `passage: ` for E5, nothing for others.
    pub prefix: Option<String>,
    /// Tokens of a text that are read, at most; without it, as many as the folder says.
    pub tokens_max: Option<usize>,
    /// How exactly layers multiply.
    pub precision: Precision,
}

/// A model that reads texts.
///
/// # Errors
/// When a file is missing or damaged, tensors do not fit, or the kind of model is not known.
pub fn of_texts(folder: &Path, settings: &TransformerSettings) -> Result<Box<dyn Encoder<str>>, EncodeError> {
    let folder = Folder::open(folder)?;
    Ok(match folder.model_type()? {
        "bert" | "xlm-roberta" | "roberta" => Box::new(Bert::open(folder, settings)?),
        "clip" => Box::new(ClipTexts::open(folder, settings)?),
        "siglip" => Box::new(SiglipTexts::open(folder, settings)?),
        other => return Err(folder.unknown(other, "texts", "bert, xlm-roberta, roberta, clip, siglip")),
    })
}

/// A model that looks at pictures.
///
/// # Errors
/// As [`of_texts`].
pub fn of_pictures(
    folder: &Path,
    settings: &TransformerSettings,
) -> Result<Box<dyn Encoder<Picture>>, EncodeError> {
    let folder = Folder::open(folder)?;
    Ok(match folder.model_type()? {
        "clip" => Box::new(ClipPictures::open(folder, settings)?),
        "siglip" => Box::new(SiglipPictures::open(folder, settings)?),
        "dinov2" => Box::new(Dinov2::open(folder, settings)?),
        other => return Err(folder.unknown(other, "pictures", "clip, siglip, dinov2")),
    })
}

/// A part of a trained model that makes one row of one input: what lies before its layers, the layers, and what lies behind.
trait Tower<Input: ?Sized>: Send + Sync {
    /// Numbers of a row.
    fn dim(&self) -> usize;

    /// The layers.
    fn stack(&self) -> &Stack;

    /// The rows that go into the layers; `None` where the input tells the model nothing.
    fn before(&self, input: &Input) -> Option<Before>;

    /// The row of an input, of any length, from what came out of the layers.
    fn after(&self, rows: &[f32], read_at: usize) -> Vec<f32>;
}

/// An input before the layers.
struct Before {
    /// One for each token or patch, one after another.
    rows: Vec<f32>,
    /// Which of them is read afterwards, where it is one.
    read_at: usize,
}

/// A tower, and what it is called: an encoder.
struct Trained<T> {
    tower: T,
    name: String,
    digest: String,
    batch: usize,
}

/// Rows that go through the layers at a time: enough to be worth the packing of weights, few enough to stay in the cache.
const ROWS_AT_ONCE: usize = 1_024;

impl<T> Trained<T> {
    /// Unit rows of some inputs, given by their places.
    fn through<Input: ?Sized>(&self, begun: &[(usize, Before)], rows: &mut [Option<Vec<f32>>])
    where
        T: Tower<Input>,
    {
        let stack = self.tower.stack();
        let lengths: Vec<usize> = begun.iter().map(|(_, before)| before.rows.len() / stack.width()).collect();
        let mut x: Vec<f32> = begun.iter().flat_map(|(_, before)| &before.rows).copied().collect();
        stack.forward(&mut x, &lengths);
        let mut first = 0;
        for (place, before) in begun {
            let of_input = &x[first..first + before.rows.len()];
            first += before.rows.len();
            rows[*place] = unit(self.tower.after(of_input, before.read_at));
        }
    }
}

impl<Input: ?Sized, T: Tower<Input>> Encoder<Input> for Trained<T> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn dim(&self) -> usize {
        self.tower.dim()
    }

    fn is_unit(&self) -> bool {
        true
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn encode(&self, inputs: &[Option<&Input>]) -> Result<Encoded, EncodeError> {
        let mut rows: Vec<Option<Vec<f32>>> = vec![None; inputs.len()];
        let (mut begun, mut n) = (Vec::new(), 0);
        for (place, input) in inputs.iter().enumerate() {
            let Some(before) = input.and_then(|input| self.tower.before(input)) else { continue };
            n += before.rows.len() / self.tower.stack().width();
            begun.push((place, before));
            if n >= ROWS_AT_ONCE {
                self.through(&begun, &mut rows);
                begun.clear();
                n = 0;
            }
        }
        self.through(&begun, &mut rows);
        Ok(Encoded::of_rows(self.dim(), &rows))
    }
}

/// Texts and pictures of a batch: pictures are large before they are encoded.
const TEXTS: usize = 64;
const PICTURES: usize = 8;

/// The rows of a text's tokens, each with that of its position added.
fn embed(tokens: &[u32], words: &Matrix, positions: &Matrix) -> Vec<f32> {
    let mut rows = Vec::with_capacity(tokens.len() * words.n_columns());
    for (at, &token) in tokens.iter().enumerate() {
        let row = words.row(token as usize).iter().zip(positions.row(at));
        rows.extend(row.map(|(x, position)| x + position));
    }
    rows
}
