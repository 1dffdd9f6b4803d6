//! Any exported model, through ONNX Runtime: a library that is found when it runs (`ORT_DYLIB_PATH`, else as the system finds
//! `libonnxruntime.so`). What the model reads is told by the shape of its input.

use std::path::Path;
use std::sync::Mutex;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Tensor, ValueType};

use super::OnnxSettings;
use crate::encoder::unit;
use crate::media::SOUND_RATE;
use crate::{Clip, EncodeError, Encoded, Encoder, Picture, Sound};

/// What a model reads, by its input's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// `(batch, 3, height, width)`.
    Pictures { height: usize, width: usize },
    /// `(batch, samples)` at 16 kHz.
    Samples(usize),
    /// `(batch, frames, 3, height, width)`, or with the colours first.
    Frames { n: usize, height: usize, width: usize, colours_first: bool },
}

/// A model that is loaded.
pub struct Onnx {
    /// A session runs one batch at a time.
    session: Mutex<Session>,
    input: String,
    output: String,
    reads: Reads,
    /// Inputs of a batch, where the model knows no other number.
    batch: Option<usize>,
    dim: usize,
    settings: OnnxSettings,
    digest: String,
    name: String,
}

impl Onnx {
    /// Loads a model and lets it run once, on an empty input, to know how long its vectors are.
    ///
    /// # Errors
    /// When the library or the model cannot be loaded, its input is of no shape known here, or its output is none of vectors.
    pub fn open(path: &Path, settings: OnnxSettings) -> Result<Self, EncodeError> {
        let wrong = |reason: String| EncodeError::of(path.display(), reason);
        settings.check()?;
        let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let environment = environment()?;
        let session = Session::builder(&environment)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::All)?))
            // Threads encode side by side as far as decoding goes; a session runs one batch at a time.
            .and_then(|builder| Ok(builder.with_intra_threads(1)?))
            .and_then(|mut builder| builder.commit_from_memory(&bytes))
            .map_err(|error| wrong(format!("not a model that ONNX Runtime loads: {error}")))?;
        let input = session.inputs().first().ok_or_else(|| wrong("it reads nothing".into()))?;
        let shape: Vec<i64> = match input.dtype() {
            ValueType::Tensor { shape, .. } => shape.to_vec(),
            other => return Err(wrong(format!("it reads {other:?}; expected a tensor"))),
        };
        let reads = reads(&shape, &settings).map_err(wrong)?;
        let batch = shape.first().filter(|&&n| n > 0).map(|&n| n as usize);
        let input = input.name().to_string();
        let outputs: Vec<String> = session.outputs().iter().map(|output| output.name().to_string()).collect();
        let output = match &settings.output {
            none if none.is_empty() => {
                outputs.first().cloned().ok_or_else(|| wrong("it gives nothing".into()))?
            }
            asked if outputs.contains(asked) => asked.clone(),
            asked => return Err(wrong(format!("no output `{asked}`; it has {}", outputs.join(", ")))),
        };
        let digest = {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"onnx 1").update(&bytes).update(format!("{settings:?} {reads:?}").as_bytes());
            hasher.finalize().to_hex().to_string()
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut model = Self {
            session: Mutex::new(session),
            input,
            output,
            reads,
            batch,
            dim: 0,
            settings,
            digest,
            name,
        };
        model.dim = model.run(&[vec![0.5; reads.size()]])?[0].len();
        Ok(model)
    }

    /// Whether it reads clips as a whole, and not their frames one by one.
    pub fn reads_clips(&self) -> bool {
        matches!(self.reads, Reads::Frames { .. })
    }

    /// Raw rows of prepared inputs; where the model knows one size of batches, the last is filled with copies.
    fn run(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let Some(batch) = self.batch else { return self.run_batch(inputs) };
        let mut rows = Vec::with_capacity(inputs.len());
        for part in inputs.chunks(batch) {
            let mut filled = part.to_vec();
            filled.resize(batch, part[0].clone());
            rows.extend(self.run_batch(&filled)?.into_iter().take(part.len()));
        }
        Ok(rows)
    }

    fn run_batch(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let wrong = |reason: String| EncodeError::of(&self.name, reason);
        let n = inputs.len();
        let mut shape = vec![n as i64];
        shape.extend(self.reads.shape());
        let tensor =
            Tensor::from_array((shape, inputs.concat())).map_err(|error| wrong(error.to_string()))?;
        let mut session = self.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let outputs = session
            .run(ort::inputs![self.input.as_str() => tensor])
            .map_err(|error| wrong(format!("it failed: {error}")))?;
        let (shape, values) = outputs[self.output.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(|error| wrong(format!("`{}` holds no 32-bit floats: {error}", self.output)))?;
        let shape: Vec<usize> = shape.iter().map(|&x| x as usize).collect();
        if shape.first() != Some(&n) || values.is_empty() || !(2..=5).contains(&shape.len()) {
            return Err(wrong(format!(
                "`{}` has shape {shape:?}; expected a vector for each of {n}",
                self.output
            )));
        }
        let of_one = values.len() / n;
        // `(batch, channels, …)` are averaged over what comes behind the channels; of `(batch, tokens, d)` the mean of tokens.
        let pooled = |values: &[f32]| -> Vec<f32> {
            match shape.len() {
                2 => values.to_vec(),
                3 => {
                    let d = shape[2];
                    let mut sum = vec![0.0; d];
                    values
                        .chunks_exact(d)
                        .for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
                    sum
                }
                _ => values.chunks_exact(of_one / shape[1]).map(|plane| plane.iter().sum()).collect(),
            }
        };
        Ok(values.chunks_exact(of_one).map(pooled).collect())
    }

    /// Unit rows of prepared inputs, of those that are there.
    fn rows(&self, inputs: Vec<Option<Vec<f32>>>) -> Result<Encoded, EncodeError> {
        let mut rows: Vec<Option<Vec<f32>>> = vec![None; inputs.len()];
        let (places, there): (Vec<usize>, Vec<Vec<f32>>) =
            inputs.into_iter().enumerate().filter_map(|(at, input)| Some((at, input?))).unzip();
        if there.is_empty() {
            return Ok(Encoded::of_rows(self.dim, &rows));
        }
        for (at, row) in places.into_iter().zip(self.run(&there)?) {
            rows[at] = unit(row);
        }
        Ok(Encoded::of_rows(self.dim, &rows))
    }

    fn planes(&self, picture: &Picture, height: usize, width: usize) -> Vec<f32> {
        let (from_width, from_height) = (f64::from(picture.width()), f64::from(picture.height()));
        // As large as covers the model's view, then its middle.
        let scale = (width as f64 / from_width).max(height as f64 / from_height);
        let at_least = |x: f64, least: usize| (x.round() as u32).max(least as u32);
        // What lies far outside that is cut before anything grows: of a line of pixels next to nothing is seen.
        let seen = |side: usize| (FAR_OUTSIDE * side as f64 / scale).ceil().max(1.0) as u32;
        let picture = picture.centre(seen(width), seen(height));
        let (from_width, from_height) = (f64::from(picture.width()), f64::from(picture.height()));
        let resized =
            picture.resized(at_least(from_width * scale, width), at_least(from_height * scale, height));
        let view = resized.centre(width as u32, height as u32);
        let mut planes = vec![0.0; 3 * width * height];
        for (at, pixel) in view.rgb().as_chunks::<3>().0.iter().enumerate() {
            for (channel, x) in pixel.iter().enumerate() {
                let x =
                    (f32::from(*x) / 255.0 - self.settings.mean[channel]) / self.settings.deviation[channel];
                planes[channel * width * height + at] = x;
            }
        }
        planes
    }

    fn wants(&self, given: &str) -> EncodeError {
        let wanted = match self.reads {
            Reads::Pictures { .. } => "pictures (--of image, or video by its frames)",
            Reads::Samples(_) => "sound (--of sound)",
            Reads::Frames { .. } => "clips (--of video)",
        };
        EncodeError::of(&self.name, format!("reads {wanted}, and was given {given}"))
    }
}

/// How many times its view's side a picture may be, once it is as large as covers the view.
const FAR_OUTSIDE: f64 = 4.0;

/// The library, loaded once: a process has one environment, in which all models live.
fn environment() -> Result<Environment, EncodeError> {
    static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let path = std::env::var_os("ORT_DYLIB_PATH").unwrap_or_else(|| "libonnxruntime.so".into());
    let missing = |error: String| {
        let reason = format!(
            "ONNX Runtime cannot be loaded ({error}): set ORT_DYLIB_PATH to libonnxruntime.so of version 1.22 or newer"
        );
        EncodeError::of(path.display(), reason)
    };
    let builder = ort::init_from(&path).map_err(|error| missing(error.to_string()))?;
    let environment = builder.build().map_err(|error| missing(error.to_string()))?;
    *loaded = Some(environment.clone());
    Ok(environment)
}

fn reads(shape: &[i64], settings: &OnnxSettings) -> Result<Reads, String> {
    let or = |dim: i64, usual: usize| if dim > 0 { dim as usize } else { usual };
    let side = settings.side;
    match *shape {
        [_, 3, height, width] => Ok(Reads::Pictures { height: or(height, side), width: or(width, side) }),
        [_, samples] => Ok(Reads::Samples(or(samples, (settings.seconds * f64::from(SOUND_RATE)) as usize))),
        [_, n, 3, height, width] => Ok(Reads::Frames {
            n: or(n, settings.frames),
            height: or(height, side),
            width: or(width, side),
            colours_first: false,
        }),
        [_, 3, n, height, width] => Ok(Reads::Frames {
            n: or(n, settings.frames),
            height: or(height, side),
            width: or(width, side),
            colours_first: true,
        }),
        _ => Err(format!(
            "its input has shape {shape:?}; expected pictures (n, 3, h, w), samples (n, t), or frames (n, t, 3, h, w) or (n, 3, t, h, w)"
        )),
    }
}

impl Reads {
    fn shape(self) -> Vec<i64> {
        let shape = match self {
            Self::Pictures { height, width } => vec![3, height, width],
            Self::Samples(n) => vec![n],
            Self::Frames { n, height, width, colours_first: false } => vec![n, 3, height, width],
            Self::Frames { n, height, width, colours_first: true } => vec![3, n, height, width],
        };
        shape.into_iter().map(|x| x as i64).collect()
    }

    fn size(self) -> usize {
        self.shape().iter().product::<i64>() as usize
    }
}

macro_rules! common {
    ($batch:literal) => {
        fn name(&self) -> String {
            format!("{}, {} numbers", self.name, self.dim)
        }

        fn dim(&self) -> usize {
            self.dim
        }

        fn is_unit(&self) -> bool {
            true
        }

        fn digest(&self) -> String {
            self.digest.clone()
        }

        fn batch(&self) -> usize {
            $batch
        }
    };
}

impl Encoder<Picture> for Onnx {
    common!(8);

    fn encode(&self, inputs: &[Option<&Picture>]) -> Result<Encoded, EncodeError> {
        let Reads::Pictures { height, width } = self.reads else { return Err(self.wants("pictures")) };
        self.rows(inputs.iter().map(|picture| Some(self.planes((*picture)?, height, width))).collect())
    }
}

impl Encoder<Sound> for Onnx {
    common!(4);

    fn encode(&self, inputs: &[Option<&Sound>]) -> Result<Encoded, EncodeError> {
        let Reads::Samples(n) = self.reads else { return Err(self.wants("sound")) };
        let samples = |sound: &Option<&Sound>| {
            let mut samples = (*sound)?.samples.clone();
            samples.resize(n, 0.0);
            Some(samples)
        };
        self.rows(inputs.iter().map(samples).collect())
    }
}

impl Encoder<Clip> for Onnx {
    common!(1);

    fn encode(&self, inputs: &[Option<&Clip>]) -> Result<Encoded, EncodeError> {
        let Reads::Frames { n, height, width, colours_first } = self.reads else {
            return Err(self.wants("clips"));
        };
        let frames = |clip: &Option<&Clip>| {
            let frames = &(*clip)?.frames;
            if frames.is_empty() {
                return None;
            }
            // Evenly spread; where there are fewer, some stand twice.
            let planes: Vec<Vec<f32>> =
                (0..n).map(|at| self.planes(&frames[at * frames.len() / n], height, width)).collect();
            if !colours_first {
                return Some(planes.concat());
            }
            let of_colour = |colour: usize| {
                planes.iter().flat_map(move |p| &p[colour * height * width..][..height * width])
            };
            Some((0..3).flat_map(of_colour).copied().collect())
        };
        self.rows(inputs.iter().map(frames).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_told_by_the_shape() {
        let settings = OnnxSettings { side: 112, ..OnnxSettings::default() };
        let of = |shape: &[i64]| reads(shape, &settings);
        assert_eq!(of(&[-1, 3, 224, 224]), Ok(Reads::Pictures { height: 224, width: 224 }));
        assert_eq!(of(&[-1, 3, -1, -1]), Ok(Reads::Pictures { height: 112, width: 112 }));
        assert_eq!(of(&[1, -1]), Ok(Reads::Samples(160_000)));
        let frames = |colours_first| Reads::Frames { n: 8, height: 112, width: 112, colours_first };
        assert_eq!((of(&[1, 8, 3, -1, -1]), of(&[1, 3, -1, -1, -1])), (Ok(frames(false)), Ok(frames(true))));
        assert!(of(&[-1, 1, 28, 28]).unwrap_err().contains("expected pictures"));
        assert_eq!(frames(true).shape(), [3, 8, 112, 112]);
    }

    #[test]
    fn a_missing_model_is_named() {
        let error = Onnx::open(Path::new("/nowhere/model.onnx"), OnnxSettings::default()).err().unwrap();
        assert!(error.to_string().contains("model.onnx: cannot be read"), "{error}");
    }
}
