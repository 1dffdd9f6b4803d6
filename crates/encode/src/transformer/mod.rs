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
use upnext_nn::frozen::Precision;

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

/// A part of a trained model that reads one input at a time.
trait Tower<Input: ?Sized>: Send + Sync {
    /// Numbers of a row.
    fn dim(&self) -> usize;

    /// The row of an input, of any length; `None` where the input tells the model nothing.
    fn row(&self, input: &Input) -> Option<Vec<f32>>;
}

/// A tower, and what it is called: an encoder.
struct Trained<T> {
    tower: T,
    name: String,
    digest: String,
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

    /// A few: nothing is gained by more, and pictures are large.
    fn batch(&self) -> usize {
        8
    }

    fn encode(&self, inputs: &[Option<&Input>]) -> Result<Encoded, EncodeError> {
        let row = |input: &Option<&Input>| unit(self.tower.row((*input)?)?);
        let rows: Vec<_> = inputs.iter().map(row).collect();
        Ok(Encoded::of_rows(self.dim(), &rows))
    }
}

/// The rows of a text's tokens, each with that of its position added, behind what is there.
fn embed(tokens: &[u32], words: &Matrix, positions: &Matrix, rows: &mut Vec<f32>) {
    for (at, &token) in tokens.iter().enumerate() {
        let row = words.row(token as usize).iter().zip(positions.row(at));
        rows.extend(row.map(|(x, position)| x + position));
    }
}
