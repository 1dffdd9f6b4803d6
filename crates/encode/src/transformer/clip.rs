//! CLIP (Radford et al. 2021): texts and pictures in one space.

use serde_json::{Value, json};
use upnext_math::Matrix;
use upnext_nn::frozen::{Dense, Layer, Norm, NormPlace, Precision, Stack, StackShape};
use upnext_nn::layer::Mask;

use super::folder::{Folder, Widths};
use super::pixels::{Patches, Preparation};
use super::tokens::Tokens;
use super::{Before, PICTURES, TEXTS, Tower, Trained, TransformerSettings, embed};
use crate::{EncodeError, Picture};

/// The tower of texts.
pub(super) struct ClipTexts {
    tokens: Tokens,
    words: Matrix,
    positions: Matrix,
    stack: Stack,
    norm: Norm,
    projection: Dense,
    /// The token whose row stands for the text.
    end: End,
    prefix: String,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// The first with this number.
    Token(u32),
    /// The first with the largest number, as models were made whose configuration names a token that they do not use.
    Largest,
}

/// Layers as CLIP and SigLIP name them.
pub(super) fn layers(
    folder: &Folder,
    tower: &str,
    widths: &Widths,
    inner: usize,
) -> Result<Vec<Layer>, EncodeError> {
    let d = widths.dimension;
    (0..widths.n_layers)
        .map(|at| {
            let named = |part: &str| format!("{tower}.encoder.layers.{at}.{part}");
            let dense = |part: &str, inputs, outputs| folder.dense(&named(part), inputs, outputs);
            let [query, key, value] =
                ["q", "k", "v"].map(|part| dense(&format!("self_attn.{part}_proj"), d, d));
            Ok(Layer {
                queries_keys_values: Dense::joined(&[&query?, &key?, &value?]),
                output: dense("self_attn.out_proj", d, d)?,
                attention_norm: folder.norm(&named("layer_norm1"), d, widths.epsilon)?,
                wide: dense("mlp.fc1", d, inner)?,
                narrow: dense("mlp.fc2", inner, d)?,
                wide_norm: folder.norm(&named("layer_norm2"), d, widths.epsilon)?,
            })
        })
        .collect()
}

/// A stack of such layers, norms before.
pub(super) fn stack(
    folder: &Folder,
    (tower, config): (&str, &Value),
    widths: &Widths,
    mask: Mask,
    precision: Precision,
) -> Result<Stack, EncodeError> {
    let inner = folder.count(config, "intermediate_size", 1 << 18)?;
    let shape = StackShape {
        n_heads: widths.n_heads,
        activation: widths.activation,
        norms: NormPlace::Before,
        mask,
        precision,
    };
    Ok(Stack::new(layers(folder, tower, widths, inner)?, shape))
}

/// Numbers of the space that both towers share.
fn projected(folder: &Folder) -> Result<usize, EncodeError> {
    match folder.config["projection_dim"] {
        Value::Null => Ok(512),
        _ => folder.count(&folder.config, "projection_dim", 1 << 16),
    }
}

impl ClipTexts {
    pub(super) fn open(
        mut folder: Folder,
        settings: &TransformerSettings,
    ) -> Result<Trained<Self>, EncodeError> {
        let usual = json!({
            "vocab_size": 49_408, "hidden_size": 512, "intermediate_size": 2_048, "num_hidden_layers": 12,
            "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
            "eos_token_id": 49_407,
        });
        let config = folder.with_usual("text_config", &usual);
        let projected = projected(&folder)?;
        let widths = folder.widths(&config)?;
        let d = widths.dimension;
        let n_words = folder.count(&config, "vocab_size", 1 << 26)?;
        let n_positions = folder.count(&config, "max_position_embeddings", 1 << 20)?;
        let tokens_max = settings.tokens_max.unwrap_or(n_positions);
        if !(3..=n_positions).contains(&tokens_max) {
            return Err(EncodeError::of(
                "tokens_max",
                format!("{tokens_max}; this model reads 3 to {n_positions} tokens"),
            ));
        }
        let tokens = Tokens::open(&mut folder, n_words, tokens_max)?;
        let end = match config["eos_token_id"].as_u64() {
            Some(end) if end != 2 => End::Token(end as u32),
            _ => End::Largest,
        };
        let prefix = settings.prefix.clone().unwrap_or_default();
        let stack = stack(&folder, ("text_model", &config), &widths, Mask::Causal, settings.precision)?;
        let digest = folder.digest(&format!("texts {prefix:?} {tokens_max} {:?}", settings.precision));
        let name = format!(
            "clip texts of {} layers, {projected} numbers, at most {tokens_max} tokens",
            widths.n_layers
        );
        let tower = Self {
            tokens,
            words: folder.matrix("text_model.embeddings.token_embedding.weight", n_words, d)?,
            positions: folder.matrix("text_model.embeddings.position_embedding.weight", n_positions, d)?,
            stack,
            norm: folder.norm("text_model.final_layer_norm", d, widths.epsilon)?,
            projection: folder.dense("text_projection", d, projected)?,
            end,
            prefix,
        };
        Ok(Trained { tower, name, digest, batch: TEXTS })
    }
}

impl Tower<str> for ClipTexts {
    fn dim(&self) -> usize {
        self.projection.n_outputs()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn before(&self, text: &str) -> Option<Before> {
        let tokens = self.tokens.of_text(&format!("{}{text}", self.prefix))?;
        let rows = embed(&tokens, &self.words, &self.positions);
        let read_at = match self.end {
            End::Token(end) => tokens.iter().position(|&token| token == end).unwrap_or(0),
            End::Largest => {
                let most = tokens.iter().max()?;
                tokens.iter().position(|token| token == most)?
            }
        };
        Some(Before { rows, read_at })
    }

    fn after(&self, rows: &[f32], read_at: usize) -> Vec<f32> {
        let d = self.words.n_columns();
        let mut row = rows[read_at * d..(read_at + 1) * d].to_vec();
        self.norm.apply(&mut row);
        let mut out = Vec::new();
        self.projection.forward(&row, &mut out, Precision::F32);
        out
    }
}

/// The tower of pictures.
pub(super) struct ClipPictures {
    preparation: Preparation,
    patches: Patches,
    class: Vec<f32>,
    positions: Matrix,
    norm_before: Norm,
    stack: Stack,
    norm_after: Norm,
    projection: Dense,
    precision: Precision,
}

impl ClipPictures {
    pub(super) fn open(
        mut folder: Folder,
        settings: &TransformerSettings,
    ) -> Result<Trained<Self>, EncodeError> {
        let usual = json!({
            "hidden_size": 768, "intermediate_size": 3_072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
        });
        let config = folder.with_usual("vision_config", &usual);
        let projected = projected(&folder)?;
        let widths = folder.widths(&config)?;
        let d = widths.dimension;
        let size = folder.count(&config, "image_size", 8_192)?;
        let side = folder.count(&config, "patch_size", size)?;
        let preparation = Preparation::open(&mut folder, size)?.into_square(&folder, size)?;
        let n_positions = (size / side) * (size / side) + 1;
        let stack = stack(&folder, ("vision_model", &config), &widths, Mask::Full, settings.precision)?;
        let digest = folder.digest(&format!("pictures {:?}", settings.precision));
        let name = format!("clip pictures of {} layers, {projected} numbers, {size} pixels", widths.n_layers);
        let tower = Self {
            preparation,
            patches: Patches::open(&folder, "vision_model.embeddings.patch_embedding", side, d)?,
            class: folder.numbers("vision_model.embeddings.class_embedding", &[d])?,
            positions: folder.matrix("vision_model.embeddings.position_embedding.weight", n_positions, d)?,
            norm_before: folder.norm("vision_model.pre_layrnorm", d, widths.epsilon)?,
            stack,
            norm_after: folder.norm("vision_model.post_layernorm", d, widths.epsilon)?,
            projection: folder.dense("visual_projection", d, projected)?,
            precision: settings.precision,
        };
        Ok(Trained { tower, name, digest, batch: PICTURES })
    }
}

impl Tower<Picture> for ClipPictures {
    fn dim(&self) -> usize {
        self.projection.n_outputs()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn before(&self, picture: &Picture) -> Option<Before> {
        let mut x = self.class.clone();
        self.patches.rows(&self.preparation.apply(picture), &mut x, self.precision);
        // A picture that came out at another size has other positions.
        if x.len() != self.positions.values().len() {
            return None;
        }
        x.iter_mut().zip(self.positions.values()).for_each(|(x, position)| *x += position);
        self.norm_before.apply(&mut x);
        Some(Before { rows: x, read_at: 0 })
    }

    fn after(&self, rows: &[f32], _read_at: usize) -> Vec<f32> {
        let mut row = rows[..self.class.len()].to_vec();
        self.norm_after.apply(&mut row);
        let mut out = Vec::new();
        self.projection.forward(&row, &mut out, Precision::F32);
        out
    }
}
