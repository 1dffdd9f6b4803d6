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
use upnext_nn::frozen::Precision;

use crate::{EncodeError, Encoder, Picture};
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
