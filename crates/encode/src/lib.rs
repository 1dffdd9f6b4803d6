//! Media to vectors: what a video shows, says and sounds like, as rows of numbers, before anybody has watched it.
//!
//! Encoders are frozen: they know pixels, words, samples and weights, and no user. What is learnt from people (fusion,
//! profiles) lies in the models.

pub mod cache;
pub mod contract;
mod encoder;
mod image;
pub mod job;
mod media;
mod onnx;
mod server;
mod sound;
mod text;
pub mod things;
pub mod transformer;
mod video;

pub use encoder::{EncodeError, Encoded, Encoder};
pub use image::PictureStatistics;
pub use media::{Clip, Ffmpeg, Files, Limits, Listed, Picture, Sound, cleaned};
#[cfg(feature = "onnx")]
pub use onnx::Onnx;
pub use onnx::OnnxSettings;
pub use server::{Server, ServerSettings};
pub use sound::LogMel;
pub use text::{Words, WordsSettings};
pub use video::Pooled;
