//! Any exported model. Its settings are known to every build, the model to those with the feature `onnx`.

#[cfg(feature = "onnx")]
mod model;

use serde::{Deserialize, Serialize};

use crate::EncodeError;

#[cfg(feature = "onnx")]
pub use model::Onnx;

/// What an exported model does not tell of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxSettings {
    /// The side of pictures, where the model leaves it open.
    pub side: usize,
    /// What is taken from red, green and blue, which are 0 to 1.
    pub mean: [f32; 3],
    /// And what they are divided by.
    pub deviation: [f32; 3],
    /// Seconds of sound, where the model leaves them open; what is shorter is followed by silence.
    pub seconds: f64,
    /// Frames of a clip, where the model leaves them open.
    pub frames: usize,
    /// The output that is taken; the first where none is named.
    pub output: String,
}

impl Default for OnnxSettings {
    fn default() -> Self {
        Self {
            side: 224,
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
            seconds: 10.0,
            frames: 8,
            output: String::new(),
        }
    }
}

impl OnnxSettings {
    /// Says which setting cannot be meant.
    ///
    /// # Errors
    /// Names the key and what was expected.
    pub fn check(&self) -> Result<(), EncodeError> {
        let checks = [
            ((1..=4_096).contains(&self.side), "side", "1 to 4096"),
            (self.mean.iter().all(|x| x.is_finite()), "mean", "three numbers"),
            (self.deviation.iter().all(|x| x.is_finite() && *x > 0.0), "deviation", "three positive numbers"),
            (self.seconds > 0.0 && self.seconds <= 3_600.0, "seconds", "above 0, at most 3600"),
            ((1..=256).contains(&self.frames), "frames", "1 to 256"),
        ];
        match checks.into_iter().find(|(fits, ..)| !fits) {
            Some((_, key, expected)) => {
                Err(EncodeError::of(format!("onnx.{key}"), format!("expected {expected}")))
            }
            None => Ok(()),
        }
    }
}
