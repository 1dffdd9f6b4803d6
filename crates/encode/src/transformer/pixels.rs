//! Pictures as a vision model was trained to see them, and their patches.

use serde_json::Value;
use upnext_math::Matrix;
use upnext_nn::frozen::{Dense, Precision};

use super::folder::Folder;
use crate::{EncodeError, Picture};

/// What is done to a picture before a model sees it.
#[derive(Clone, Debug)]
pub(super) struct Preparation {
    /// The shorter side is brought to this many pixels; or both sides to these.
    resize: Resize,
    /// What is cut out of the middle.
    crop: Option<(u32, u32)>,
    mean: [f32; 3],
    deviation: [f32; 3],
}

#[derive(Clone, Copy, Debug)]
enum Resize {
    Shorter(u32),
    Both(u32, u32),
}

/// Red, green and blue, one plane after another.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

const FILE: &str = "preprocessor_config.json";

impl Preparation {
    /// Of `preprocessor_config.json`. `image_size` is the side that the model was made for.
    pub(super) fn open(folder: &mut Folder, image_size: usize) -> Result<Self, EncodeError> {
        let about = folder.json(FILE)?.ok_or_else(|| {
            folder.wrong(FILE, "not there: without it nobody knows how the model wants its pictures; save the processor beside it")
        })?;
        if about["resample"].as_u64().is_some_and(|filter| filter != 3) {
            return Err(folder.wrong(
                FILE,
                &format!("`resample` is {}; expected 3, cubic, the only one known here", about["resample"]),
            ));
        }
        let side =
            |of: &Value| of.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=8_192).contains(n));
        let size = &about["size"];
        let square = image_size as u32;
        let resize = match (
            side(&size["shortest_edge"]).or_else(|| side(size)),
            side(&size["width"]),
            side(&size["height"]),
        ) {
            (Some(shorter), ..) => Resize::Shorter(shorter),
            (_, Some(width), Some(height)) => Resize::Both(width, height),
            _ => {
                return Err(folder
                    .wrong(FILE, &format!("`size` is {size}; expected shortest_edge, or width and height")));
            }
        };
        let crops = about["do_center_crop"].as_bool().unwrap_or(matches!(resize, Resize::Shorter(_)));
        let of_crop = &about["crop_size"];
        let crop = crops.then(|| {
            let width = side(&of_crop["width"]).or_else(|| side(of_crop)).unwrap_or(square);
            (width, side(&of_crop["height"]).unwrap_or(width))
        });
        let three = |key: &str, usual: [f32; 3]| match &about[key] {
            Value::Null => Ok(usual),
            Value::Array(found) if found.len() == 3 && found.iter().all(Value::is_number) => {
                Ok([0, 1, 2].map(|at| found[at].as_f64().unwrap_or_default() as f32))
            }
            other => Err(folder.wrong(FILE, &format!("`{key}` is {other}; expected three numbers"))),
        };
        let mean = three("image_mean", [0.5; 3])?;
        let deviation = three("image_std", [0.5; 3])?;
        if deviation.iter().any(|x| *x <= 0.0) {
            return Err(folder.wrong(FILE, "`image_std` has a number that is not positive"));
        }
        Ok(Self { resize, crop, mean, deviation })
    }

    /// Width and height of every picture that comes out; nothing where that depends on the picture.
    fn comes_out(&self) -> Option<(usize, usize)> {
        let (width, height) = match (self.resize, self.crop) {
            (Resize::Both(across, down), None) => (across, down),
            (Resize::Both(across, down), Some((width, height))) => (width.min(across), height.min(down)),
            (Resize::Shorter(side), Some((width, height))) => (width.min(side), height.min(side)),
            (Resize::Shorter(_), None) => return None,
        };
        Some((width as usize, height as usize))
    }

    /// The same, if pictures come out as squares of that side, for a model of one size.
    pub(super) fn into_square(self, folder: &Folder, side: usize) -> Result<Self, EncodeError> {
        let found = match self.comes_out() {
            Some(found) if found == (side, side) => return Ok(self),
            Some((width, height)) => format!("of {width} by {height} pixels"),
            None => "of any shape".into(),
        };
        let reason = format!(
            "it makes pictures {found}, and the model takes {side} by {side}: this is the processor of another model"
        );
        Err(folder.wrong(FILE, &reason))
    }

    /// The same, if pictures come out no smaller than a patch.
    pub(super) fn into_patches(self, folder: &Folder, patch: usize) -> Result<Self, EncodeError> {
        match self.comes_out() {
            Some((width, height)) if width < patch || height < patch => {
                let reason = format!(
                    "it makes pictures of {width} by {height} pixels, and one patch of the model takes {patch}: this is the processor of another model"
                );
                Err(folder.wrong(FILE, &reason))
            }
            _ => Ok(self),
        }
    }

    /// The prepared picture.
    pub(super) fn apply(&self, picture: &Picture) -> Planes {
        let (width, height) = (picture.width(), picture.height());
        let (to_width, to_height) = match self.resize {
            Resize::Both(width, height) => (width, height),
            Resize::Shorter(side) => {
                let longer = |long: u32, short: u32| {
                    (u64::from(side) * u64::from(long) / u64::from(short)).min(1 << 16) as u32
                };
                if width < height { (side, longer(height, width)) } else { (longer(width, height), side) }
            }
        };
        let mut picture = picture.resized(to_width, to_height);
        if let Some((width, height)) = self.crop {
            picture = picture.centre(width, height);
        }
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut values = vec![0.0; 3 * width * height];
        for (at, pixel) in picture.rgb().as_chunks::<3>().0.iter().enumerate() {
            for (channel, x) in pixel.iter().enumerate() {
                values[channel * width * height + at] =
                    (f32::from(*x) / 255.0 - self.mean[channel]) / self.deviation[channel];
            }
        }
        Planes { width, height, values }
    }
}

/// A layer over patches that do not overlap: a convolution as wide as its stride.
#[derive(Clone, Debug)]
pub(super) struct Patches {
    side: usize,
    layer: Dense,
}

impl Patches {
    /// `NAME.weight` of `(dimension, 3, side, side)`, and `NAME.bias` where there is one.
    pub(super) fn open(
        folder: &Folder,
        name: &str,
        side: usize,
        dimension: usize,
    ) -> Result<Self, EncodeError> {
        let weight = folder.numbers(&format!("{name}.weight"), &[dimension, 3, side, side])?;
        let bias = format!("{name}.bias");
        let bias = if folder.has(&bias) { Some(folder.numbers(&bias, &[dimension])?) } else { None };
        let layer = Dense::new(Matrix::from_rows(dimension, 3 * side * side, weight), bias);
        Ok(Self { side, layer })
    }

    /// Patches across and down.
    pub(super) fn grid(&self, planes: &Planes) -> (usize, usize) {
        (planes.width / self.side, planes.height / self.side)
    }

    /// Appends a row for each patch, from the top left.
    pub(super) fn rows(&self, planes: &Planes, out: &mut Vec<f32>, precision: Precision) {
        let (across, down) = self.grid(planes);
        let side = self.side;
        let mut flat = Vec::with_capacity(across * down * 3 * side * side);
        for patch in 0..across * down {
            let (left, top) = (patch % across * side, patch / across * side);
            for plane in planes.values.chunks_exact(planes.width * planes.height) {
                for y in top..top + side {
                    flat.extend_from_slice(&plane[y * planes.width + left..][..side]);
                }
            }
        }
        let mut rows = Vec::new();
        self.layer.forward(&flat, &mut rows, precision);
        out.append(&mut rows);
    }
}

/// Positions of a grid, `(down * across, d)`, stretched to another grid by cubic convolution (Keys 1981, a = -0.75), edges
/// repeated: as the vision models' own library does it.
pub(super) fn stretched(
    positions: &[f32],
    d: usize,
    (from_across, from_down): (usize, usize),
    (across, down): (usize, usize),
) -> Vec<f32> {
    if (from_across, from_down) == (across, down) {
        return positions.to_vec();
    }
    let columns: Vec<[(usize, f32); 4]> = (0..across).map(|at| taps(at, from_across, across)).collect();
    let mut out = vec![0.0; across * down * d];
    for y in 0..down {
        let rows = taps(y, from_down, down);
        for (x, columns) in columns.iter().enumerate() {
            let to = &mut out[(y * across + x) * d..][..d];
            for (row, of_row) in rows {
                for (column, of_column) in columns {
                    let from = &positions[(row * from_across + column) * d..][..d];
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += of_row * of_column * from);
                }
            }
        }
    }
    out
}

/// The four places from which a place of another grid is made, and their weights.
fn taps(at: usize, from: usize, to: usize) -> [(usize, f32); 4] {
    const A: f64 = -0.75;
    let place = (at as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let (whole, t) = (place.floor(), place - place.floor());
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    let clamped = |n: usize| (whole + n as f64 - 1.0).clamp(0.0, from as f64 - 1.0) as usize;
    [0, 1, 2, 3].map(|n| (clamped(n), weights[n] as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_stretch_sum_to_one_and_a_plane_stays_flat() {
        for (from, to) in [(7, 4), (4, 7), (37, 16)] {
            for at in 0..to {
                let sum: f32 = taps(at, from, to).iter().map(|(_, weight)| weight).sum();
                assert!((sum - 1.0).abs() < 1e-6);
            }
        }
        let flat = stretched(&vec![2.5; 7 * 7 * 3], 3, (7, 7), (4, 5));
        assert!(flat.len() == 4 * 5 * 3 && flat.iter().all(|x| (x - 2.5).abs() < 1e-5));
    }
}
