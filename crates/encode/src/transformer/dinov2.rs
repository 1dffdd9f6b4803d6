//! DINOv2 (Oquab et al. 2023): pictures, learnt without labels or texts.

use upnext_nn::frozen::{Dense, Layer, Norm, NormPlace, Precision, Stack, StackShape};
use upnext_nn::layer::Mask;

use super::folder::{Folder, Widths};
use super::pixels::{Patches, Preparation, stretched};
use super::{Before, PICTURES, Tower, Trained, TransformerSettings};
use crate::{EncodeError, Picture};

/// A model of pictures of any size.
pub(super) struct Dinov2 {
    preparation: Preparation,
    patches: Patches,
    /// The class token with its position.
    class: Vec<f32>,
    /// Positions of patches at the size of the training, `(side, side)` of them.
    positions: Vec<f32>,
    side: usize,
    stack: Stack,
    norm_after: Norm,
    precision: Precision,
}

impl Dinov2 {
    pub(super) fn open(
        mut folder: Folder,
        settings: &TransformerSettings,
    ) -> Result<Trained<Self>, EncodeError> {
        let config = folder.config.clone();
        if config["use_swiglu_ffn"].as_bool() == Some(true) {
            return Err(folder.wrong(
                "config.json",
                "`use_swiglu_ffn` is not known here; the small, base and large models do without",
            ));
        }
        folder.find_prefix("embeddings.cls_token", &["", "dinov2.", "model."]);
        let widths = folder.widths(&config)?;
        let d = widths.dimension;
        let size = folder.count(&config, "image_size", 8_192)?;
        let patch = folder.count(&config, "patch_size", size)?;
        let inner = d * folder.count(&config, "mlp_ratio", 64)?;
        // It was trained large, and is mostly asked at 224.
        let preparation = Preparation::open(&mut folder, 224)?.into_patches(&folder, patch)?;
        let side = size / patch;
        let positions = folder.numbers("embeddings.position_embeddings", &[1, side * side + 1, d])?;
        let class = folder.numbers("embeddings.cls_token", &[1, 1, d])?;
        let layers =
            (0..widths.n_layers).map(|at| layer(&folder, at, &widths, inner)).collect::<Result<_, _>>()?;
        let shape = StackShape {
            n_heads: widths.n_heads,
            activation: widths.activation,
            norms: NormPlace::Before,
            mask: Mask::Full,
            precision: settings.precision,
        };
        let digest = folder.digest(&format!("{:?}", settings.precision));
        let name = format!("dinov2 of {} layers, {d} numbers", widths.n_layers);
        let tower = Self {
            preparation,
            patches: Patches::open(&folder, "embeddings.patch_embeddings.projection", patch, d)?,
            class: class.iter().zip(&positions).map(|(x, position)| x + position).collect(),
            positions: positions[d..].to_vec(),
            side,
            stack: Stack::new(layers, shape),
            norm_after: folder.norm("layernorm", d, widths.epsilon)?,
            precision: settings.precision,
        };
        Ok(Trained { tower, name, digest, batch: PICTURES })
    }
}

impl Tower<Picture> for Dinov2 {
    fn dim(&self) -> usize {
        self.class.len()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn before(&self, picture: &Picture) -> Option<Before> {
        let planes = &self.preparation.apply(picture);
        let (d, grid) = (self.class.len(), self.patches.grid(planes));
        if grid.0 == 0 || grid.1 == 0 {
            return None;
        }
        let mut x = self.class.clone();
        self.patches.rows(planes, &mut x, self.precision);
        let positions = stretched(&self.positions, d, (self.side, self.side), grid);
        x[d..].iter_mut().zip(&positions).for_each(|(x, position)| *x += position);
        Some(Before { rows: x, read_at: 0 })
    }

    fn after(&self, rows: &[f32], _read_at: usize) -> Vec<f32> {
        let mut row = rows[..self.class.len()].to_vec();
        self.norm_after.apply(&mut row);
        row
    }
}

fn layer(folder: &Folder, at: usize, widths: &Widths, inner: usize) -> Result<Layer, EncodeError> {
    let d = widths.dimension;
    let named = |part: &str| format!("encoder.layer.{at}.{part}");
    let dense = |part: &str, inputs, outputs| folder.dense(&named(part), inputs, outputs);
    let [query, key, value] =
        ["query", "key", "value"].map(|part| dense(&format!("attention.attention.{part}"), d, d));
    let scale = |part: &str| folder.numbers(&named(&format!("{part}.lambda1")), &[d]);
    Ok(Layer {
        queries_keys_values: Dense::joined(&[&query?, &key?, &value?]),
        output: dense("attention.output.dense", d, d)?.scaled(&scale("layer_scale1")?),
        attention_norm: folder.norm(&named("norm1"), d, widths.epsilon)?,
        wide: dense("mlp.fc1", d, inner)?,
        narrow: dense("mlp.fc2", inner, d)?.scaled(&scale("layer_scale2")?),
        wide_norm: folder.norm(&named("norm2"), d, widths.epsilon)?,
    })
}
