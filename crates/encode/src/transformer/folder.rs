//! The files of a trained model, by the names that libraries give them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use upnext_math::Matrix;
use upnext_nn::frozen::{Dense, Norm};
use upnext_nn::layer::Activation;

use crate::EncodeError;

/// A folder, its configuration read, and its weights in memory.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) config: Value,
    /// The bytes of each file of weights.
    weights: Vec<Vec<u8>>,
    /// Which file holds a tensor.
    file_of: BTreeMap<String, usize>,
    /// What stands before the names of all tensors, `bert.` for example.
    prefix: String,
    hasher: blake3::Hasher,
}

/// Largest file of a model.
const FILE_BYTES_MAX: u64 = 32 << 30;

impl Folder {
    /// Reads configuration and weights.
    pub(super) fn open(path: &Path) -> Result<Self, EncodeError> {
        let mut folder = Self {
            path: path.to_path_buf(),
            config: Value::Null,
            weights: Vec::new(),
            file_of: BTreeMap::new(),
            prefix: String::new(),
            hasher: blake3::Hasher::new(),
        };
        folder.hasher.update(b"transformer 1");
        folder.config = folder.json("config.json")?.ok_or_else(|| {
            folder.wrong(
                "config.json",
                "not there; expected the folder of a trained model: config.json, model.safetensors",
            )
        })?;
        let sharded = folder.json("model.safetensors.index.json")?;
        let files: Vec<String> = match sharded.as_ref().and_then(|index| index["weight_map"].as_object()) {
            Some(map) => {
                let files: std::collections::BTreeSet<&str> =
                    map.values().filter_map(Value::as_str).collect();
                files.into_iter().map(String::from).collect()
            }
            None => vec!["model.safetensors".into()],
        };
        for file in files {
            let bytes = folder.bytes(&file)?.ok_or_else(|| {
                let hint = if path.join("pytorch_model.bin").exists() {
                    "not there, only pytorch_model.bin: save the model again with safe_serialization=True"
                } else {
                    "not there: the folder has no weights"
                };
                folder.wrong(&file, hint)
            })?;
            let names: Vec<String> = SafeTensors::deserialize(&bytes)
                .map_err(|error| {
                    folder.wrong(&file, &format!("not a safetensors file that can be read: {error}"))
                })?
                .names()
                .into_iter()
                .map(str::to_string)
                .collect();
            let at = folder.weights.len();
            folder.file_of.extend(names.into_iter().map(|name| (name, at)));
            folder.weights.push(bytes);
        }
        Ok(folder)
    }

    /// A file's bytes, or nothing where it is not there.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, EncodeError> {
        let path = self.path.join(name);
        // A name out of an index must not lead out of the folder.
        if name.contains("..") || Path::new(name).is_absolute() {
            return Err(self.wrong(name, "leads out of the folder"));
        }
        match std::fs::metadata(&path) {
            Ok(about) if about.len() > FILE_BYTES_MAX => {
                Err(self.wrong(name, &format!("{} bytes; expected at most {FILE_BYTES_MAX}", about.len())))
            }
            Ok(_) => {
                let bytes =
                    std::fs::read(&path).map_err(|e| self.wrong(name, &format!("cannot be read: {e}")))?;
                self.hasher.update(name.as_bytes()).update(&bytes);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.wrong(name, &format!("cannot be read: {error}"))),
        }
    }

    /// A file of JSON, or nothing where it is not there.
    pub(super) fn json(&mut self, name: &str) -> Result<Option<Value>, EncodeError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let value =
            serde_json::from_slice(&bytes).map_err(|e| self.wrong(name, &format!("not JSON: {e}")))?;
        Ok(Some(value))
    }

    /// An error about a file of the folder.
    pub(super) fn wrong(&self, file: &str, reason: &str) -> EncodeError {
        EncodeError::of(self.path.join(file).display(), reason)
    }

    /// An error about a kind of model.
    pub(super) fn unknown(&self, found: &str, of: &str, known: &str) -> EncodeError {
        self.wrong(
            "config.json",
            &format!("model_type `{found}` does not encode {of} here; expected one of {known}"),
        )
    }

    /// The kind of model.
    pub(super) fn model_type(&self) -> Result<&str, EncodeError> {
        self.config["model_type"]
            .as_str()
            .ok_or_else(|| self.wrong("config.json", "no `model_type`; expected for example bert"))
    }

    /// Whether the folder's name, or what the configuration says it was made from, has `part` as one of its parts, as
    /// `multilingual-e5-small` has `e5`.
    pub(super) fn is_named(&self, part: &str) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let made_from = self.config["_name_or_path"].as_str().unwrap_or_default().to_lowercase();
        [name, made_from]
            .iter()
            .any(|name| name.split(|c: char| !c.is_alphanumeric()).any(|found| found == part))
    }

    /// A digest of all that was read, and of `settings`.
    pub(super) fn digest(&self, settings: &str) -> String {
        self.hasher.clone().update(settings.as_bytes()).finalize().to_hex().to_string()
    }

    /// Lets names stand behind a prefix where the tensor `name` does.
    pub(super) fn find_prefix(&mut self, name: &str, prefixes: &[&str]) {
        let found = prefixes.iter().find(|prefix| self.file_of.contains_key(&format!("{prefix}{name}")));
        self.prefix = found.map_or_else(String::new, |prefix| (*prefix).into());
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, EncodeError> {
        let full = format!("{}{name}", self.prefix);
        let file = self.file_of.get(&full).ok_or_else(|| {
            self.wrong(
                "model.safetensors",
                &format!("no tensor `{full}`: these are weights of another model"),
            )
        })?;
        SafeTensors::deserialize(&self.weights[*file])
            .and_then(|tensors| tensors.tensor(&full))
            .map_err(|error| self.wrong("model.safetensors", &format!("`{full}`: {error}")))
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.file_of.contains_key(&format!("{}{name}", self.prefix))
    }

    /// The numbers of a tensor of so many.
    pub(super) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EncodeError> {
        let tensor = self.tensor(name)?;
        if tensor.shape() != shape {
            let reason =
                format!("`{name}` has shape {:?}; the configuration asks for {shape:?}", tensor.shape());
            return Err(self.wrong("model.safetensors", &reason));
        }
        let bytes = tensor.data();
        let numbers: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|x| of_half(u16::from_le_bytes(*x))).collect(),
            Dtype::BF16 => {
                let of = |x: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*x)) << 16);
                bytes.as_chunks::<2>().0.iter().map(of).collect()
            }
            other => {
                let reason = format!("`{name}` holds {other:?}; expected F32, F16 or BF16");
                return Err(self.wrong("model.safetensors", &reason));
            }
        };
        if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
            let reason = format!("number {at} of `{name}` is {}: the file is damaged", numbers[at]);
            return Err(self.wrong("model.safetensors", &reason));
        }
        Ok(numbers)
    }

    /// A tensor of two dimensions.
    pub(super) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, EncodeError> {
        Ok(Matrix::from_rows(rows, columns, self.numbers(name, &[rows, columns])?))
    }

    /// `NAME.weight` of `(outputs, inputs)`, and `NAME.bias` where there is one.
    pub(super) fn dense(&self, name: &str, inputs: usize, outputs: usize) -> Result<Dense, EncodeError> {
        let weight = self.matrix(&format!("{name}.weight"), outputs, inputs)?;
        let bias = format!("{name}.bias");
        let bias = if self.has(&bias) { Some(self.numbers(&bias, &[outputs])?) } else { None };
        Ok(Dense::new(weight, bias))
    }

    /// `NAME.weight` and `NAME.bias` of so many columns.
    pub(super) fn norm(&self, name: &str, n: usize, epsilon: f32) -> Result<Norm, EncodeError> {
        let scale = self.numbers(&format!("{name}.weight"), &[n])?;
        let shift = self.numbers(&format!("{name}.bias"), &[n])?;
        Ok(Norm { scale, shift, epsilon })
    }

    /// A table of the configuration, with what the reference library takes where a key is left out: it writes only what differs.
    pub(super) fn with_usual(&self, key: &str, usual: &Value) -> Value {
        let mut of = self.config[key].clone();
        if of.is_null() {
            of = Value::Object(serde_json::Map::new());
        }
        if let (Some(of), Some(usual)) = (of.as_object_mut(), usual.as_object()) {
            for (key, value) in usual {
                if of.get(key).is_none_or(Value::is_null) {
                    of.insert(key.clone(), value.clone());
                }
            }
        }
        of
    }

    /// A whole number of a table of the configuration, between 1 and `most`.
    pub(super) fn count(&self, of: &Value, key: &str, most: usize) -> Result<usize, EncodeError> {
        let found = of[key].as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=most).contains(n));
        found.ok_or_else(|| {
            self.wrong("config.json", &format!("`{key}` is {}; expected a number from 1 to {most}", of[key]))
        })
    }

    /// The widths of a stack of layers.
    pub(super) fn widths(&self, of: &Value) -> Result<Widths, EncodeError> {
        let dimension = self.count(of, "hidden_size", 1 << 16)?;
        let n_heads = self.count(of, "num_attention_heads", 1 << 10)?;
        if !dimension.is_multiple_of(n_heads) {
            let reason = format!("`hidden_size` {dimension} does not divide into {n_heads} heads");
            return Err(self.wrong("config.json", &reason));
        }
        let activation = match of["hidden_act"].as_str().unwrap_or("gelu") {
            "gelu" => Activation::GeluExact,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::Gelu,
            "quick_gelu" => Activation::GeluQuick,
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            other => {
                let known = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu";
                return Err(
                    self.wrong("config.json", &format!("`hidden_act` is {other}; expected one of {known}"))
                );
            }
        };
        Ok(Widths {
            dimension,
            n_heads,
            n_layers: self.count(of, "num_hidden_layers", 1 << 10)?,
            epsilon: of["layer_norm_eps"].as_f64().unwrap_or(1e-5) as f32,
            activation,
        })
    }
}

/// The shape of a stack, as configurations name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) dimension: usize,
    pub(super) n_heads: usize,
    pub(super) n_layers: usize,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
}

/// A number of 16 bits (IEEE 754 binary16).
fn of_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_by_hand() {
        let known =
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8), (0x0000, 0.0)];
        for (bits, expected) in known {
            assert_eq!(of_half(bits), expected);
        }
        assert!(of_half(0x7c00).is_infinite() && of_half(0x7e00).is_nan());
    }
}
