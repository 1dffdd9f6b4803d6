//! SigLIP (Zhai et al. 2023): texts and pictures in one space; a text is padded to its full length, and a picture's patches
//! are pooled by attention.

use serde_json::json;
use upnext_math::Matrix;
use upnext_nn::frozen::{Dense, Norm, Precision, Probe, Stack};
use upnext_nn::layer::{Activation, Mask};

use super::clip::stack;
use super::folder::Folder;
use super::pixels::{Patches, Preparation};
use super::tokens::Tokens;
use super::{Before, PICTURES, TEXTS, Tower, Trained, TransformerSettings, embed};
use crate::{EncodeError, Picture};

/// The tower of texts.
pub(super) struct SiglipTexts {
    tokens: Tokens,
    padding: u32,
    words: Matrix,
    positions: Matrix,
    stack: Stack,
    norm: Norm,
    head: Dense,
    prefix: String,
}

impl SiglipTexts {
    pub(super) fn open(
        mut folder: Folder,
        settings: &TransformerSettings,
    ) -> Result<Trained<Self>, EncodeError> {
        let usual = json!({
            "vocab_size": 32_000, "hidden_size": 768, "intermediate_size": 3_072, "num_hidden_layers": 12,
            "num_attention_heads": 12, "max_position_embeddings": 64, "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6, "pad_token_id": 1,
        });
        let config = folder.with_usual("text_config", &usual);
        let widths = folder.widths(&config)?;
        let d = widths.dimension;
        let n_words = folder.count(&config, "vocab_size", 1 << 26)?;
        // Every text fills all positions: the last is the one that is read.
        let n_positions = folder.count(&config, "max_position_embeddings", 1 << 20)?;
        let outputs = match config["projection_size"].as_u64() {
            Some(n) if (1..=1 << 16).contains(&n) => n as usize,
            _ => d,
        };
        let tokens = Tokens::open(&mut folder, n_words, n_positions)?;
        // The configuration's, not the token called `<pad>`: published models pad with another.
        let padding = config["pad_token_id"].as_u64().map_or(1, |n| n as u32);
        let prefix = settings.prefix.clone().unwrap_or_default();
        let stack = stack(&folder, ("text_model", &config), &widths, Mask::Full, settings.precision)?;
        let digest = folder.digest(&format!("texts {prefix:?} {:?}", settings.precision));
        let name =
            format!("siglip texts of {} layers, {outputs} numbers, {n_positions} tokens", widths.n_layers);
        let tower = Self {
            tokens,
            padding: padding.min(n_words as u32 - 1),
            words: folder.matrix("text_model.embeddings.token_embedding.weight", n_words, d)?,
            positions: folder.matrix("text_model.embeddings.position_embedding.weight", n_positions, d)?,
            stack,
            norm: folder.norm("text_model.final_layer_norm", d, widths.epsilon)?,
            head: folder.dense("text_model.head", d, outputs)?,
            prefix,
        };
        Ok(Trained { tower, name, digest, batch: TEXTS })
    }
}

impl Tower<str> for SiglipTexts {
    fn dim(&self) -> usize {
        self.head.n_outputs()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn before(&self, text: &str) -> Option<Before> {
        let mut tokens = self.tokens.of_text(&format!("{}{text}", self.prefix))?;
        tokens.resize(self.positions.n_rows(), self.padding);
        let rows = embed(&tokens, &self.words, &self.positions);
        Some(Before { rows, read_at: tokens.len() - 1 })
    }

    fn after(&self, rows: &[f32], read_at: usize) -> Vec<f32> {
        let mut last = rows[read_at * self.words.n_columns()..].to_vec();
        self.norm.apply(&mut last);
        let mut out = Vec::new();
        self.head.forward(&last, &mut out, Precision::F32);
        out
    }
}

/// The tower of pictures.
pub(super) struct SiglipPictures {
    preparation: Preparation,
    patches: Patches,
    positions: Matrix,
    stack: Stack,
    norm_after: Norm,
    probe: Probe,
    probe_norm: Norm,
    wide: Dense,
    narrow: Dense,
    activation: Activation,
    precision: Precision,
}

impl SiglipPictures {
    pub(super) fn open(
        mut folder: Folder,
        settings: &TransformerSettings,
    ) -> Result<Trained<Self>, EncodeError> {
        let usual = json!({
            "hidden_size": 768, "intermediate_size": 3_072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 224, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
        });
        let config = folder.with_usual("vision_config", &usual);
        let widths = folder.widths(&config)?;
        let d = widths.dimension;
        let size = folder.count(&config, "image_size", 8_192)?;
        let side = folder.count(&config, "patch_size", size)?;
        let inner = folder.count(&config, "intermediate_size", 1 << 18)?;
        let preparation = Preparation::open(&mut folder, size)?.into_square(&folder, size)?;
        let stack = stack(&folder, ("vision_model", &config), &widths, Mask::Full, settings.precision)?;
        let head = |part: &str| format!("vision_model.head.{part}");
        let weights = folder.numbers(&head("attention.in_proj_weight"), &[3 * d, d])?;
        let bias = folder.numbers(&head("attention.in_proj_bias"), &[3 * d])?;
        let ask = Dense::new(Matrix::from_rows(d, d, weights[..d * d].to_vec()), Some(bias[..d].to_vec()));
        let mut query = Vec::new();
        ask.forward(&folder.numbers(&head("probe"), &[1, 1, d])?, &mut query, Precision::F32);
        let keys_values =
            Dense::new(Matrix::from_rows(2 * d, d, weights[d * d..].to_vec()), Some(bias[d..].to_vec()));
        let output = folder.dense(&head("attention.out_proj"), d, d)?;
        let digest = folder.digest(&format!("pictures {:?}", settings.precision));
        let name = format!("siglip pictures of {} layers, {d} numbers, {size} pixels", widths.n_layers);
        let tower = Self {
            preparation,
            patches: Patches::open(&folder, "vision_model.embeddings.patch_embedding", side, d)?,
            positions: folder.matrix(
                "vision_model.embeddings.position_embedding.weight",
                (size / side) * (size / side),
                d,
            )?,
            stack,
            norm_after: folder.norm("vision_model.post_layernorm", d, widths.epsilon)?,
            probe: Probe { query, keys_values, output, n_heads: widths.n_heads },
            probe_norm: folder.norm(&head("layernorm"), d, widths.epsilon)?,
            wide: folder.dense(&head("mlp.fc1"), d, inner)?,
            narrow: folder.dense(&head("mlp.fc2"), inner, d)?,
            activation: widths.activation,
            precision: settings.precision,
        };
        Ok(Trained { tower, name, digest, batch: PICTURES })
    }
}

impl Tower<Picture> for SiglipPictures {
    fn dim(&self) -> usize {
        self.positions.n_columns()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn before(&self, picture: &Picture) -> Option<Before> {
        let mut x = Vec::new();
        self.patches.rows(&self.preparation.apply(picture), &mut x, self.precision);
        if x.len() != self.positions.values().len() {
            return None;
        }
        x.iter_mut().zip(self.positions.values()).for_each(|(x, position)| *x += position);
        Some(Before { rows: x, read_at: 0 })
    }

    fn after(&self, rows: &[f32], _read_at: usize) -> Vec<f32> {
        let mut x = rows.to_vec();
        self.norm_after.apply(&mut x);
        let mut pooled = self.probe.forward(&x);
        let (mut normed, mut wide, mut more) = (pooled.clone(), Vec::new(), Vec::new());
        self.probe_norm.apply(&mut normed);
        self.wide.forward(&normed, &mut wide, Precision::F32);
        self.activation.apply(&mut wide);
        self.narrow.forward(&wide, &mut more, Precision::F32);
        pooled.iter_mut().zip(more).for_each(|(x, more)| *x += more);
        pooled
    }
}
