//! From bytes to pixels, samples and words, within bounds.

mod ffmpeg;
mod files;
mod picture;
mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use ffmpeg::Ffmpeg;
pub(crate) use ffmpeg::SOUND_RATE;
pub use files::{Files, Listed};
pub use picture::Picture;
pub use text::cleaned;

/// Bounds on what is read of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest file in bytes.
    pub file_bytes_max: u64,
    /// Largest file of a picture in bytes: it is held in memory as a whole.
    pub picture_bytes_max: u64,
    /// Most pixels of a picture.
    pub picture_pixels_max: u64,
    /// Longest side of a picture in pixels: what is made smaller is held at its full width for a moment.
    pub picture_side_max: u32,
    /// Most bytes of a text; what is beyond is cut off.
    pub text_bytes_max: usize,
    /// Frames a second that are looked at, at most.
    pub frames_per_second: f64,
    /// Frames of a clip that are looked at, spread over its length.
    pub frames_max: usize,
    /// Longest side of a frame in pixels; a larger one is made smaller.
    pub frame_side_max: u32,
    /// Seconds of sound that are listened to.
    pub sound_seconds_max: f64,
    /// Seconds that one run of `ffmpeg` may take before it is killed.
    pub ffmpeg_seconds_max: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 8 << 30,
            picture_bytes_max: 256 << 20,
            picture_pixels_max: 100_000_000,
            picture_side_max: 32_768,
            text_bytes_max: 1 << 16,
            frames_per_second: 2.0,
            frames_max: 32,
            frame_side_max: 512,
            sound_seconds_max: 120.0,
            ffmpeg_seconds_max: 60.0,
        }
    }
}

impl Limits {
    fn ffmpeg_time(&self) -> Duration {
        Duration::try_from_secs_f64(self.ffmpeg_seconds_max).unwrap_or(Duration::from_secs(60))
    }

    /// Says which bound cannot be meant.
    ///
    /// # Errors
    /// Names the key and what was expected.
    pub fn check(&self) -> Result<(), crate::EncodeError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let checks = [
            ((1..=1 << 40).contains(&self.file_bytes_max), "file_bytes_max", "1 to 1099511627776"),
            ((1..=1 << 32).contains(&self.picture_bytes_max), "picture_bytes_max", "1 to 4294967296"),
            ((1..=1 << 32).contains(&self.picture_pixels_max), "picture_pixels_max", "1 to 4294967296"),
            ((1..=1 << 20).contains(&self.picture_side_max), "picture_side_max", "1 to 1048576"),
            ((1..=1 << 24).contains(&self.text_bytes_max), "text_bytes_max", "1 to 16777216"),
            (positive(self.frames_per_second), "frames_per_second", "a positive number"),
            ((1..=4_096).contains(&self.frames_max), "frames_max", "1 to 4096"),
            ((16..=4_096).contains(&self.frame_side_max), "frame_side_max", "16 to 4096"),
            (
                positive(self.sound_seconds_max) && self.sound_seconds_max <= 3_600.0,
                "sound_seconds_max",
                "above 0, at most 3600",
            ),
            (
                positive(self.ffmpeg_seconds_max) && self.ffmpeg_seconds_max <= 86_400.0,
                "ffmpeg_seconds_max",
                "above 0, at most 86400",
            ),
        ];
        match checks.into_iter().find(|(fits, ..)| !fits) {
            Some((_, key, expected)) => Err(crate::EncodeError::of(key, format!("expected {expected}"))),
            None => Ok(()),
        }
    }
}

/// One channel of sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// The samples, mostly within ±1.
    pub samples: Vec<f32>,
}

/// A video, looked at and listened to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clip {
    /// Frames spread over its length, in order; empty where it has no picture.
    pub frames: Vec<Picture>,
    /// Seconds from one frame to the next.
    pub seconds_between: f64,
    /// Its sound, where it has any.
    pub sound: Option<Sound>,
}
