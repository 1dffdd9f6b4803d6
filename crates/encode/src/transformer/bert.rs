//! BERT (Devlin et al. 2019) and XLM-R (Conneau et al. 2020): a text's vector is the mean of its tokens', or the first's.

use serde_json::Value;
use upnext_math::Matrix;
use upnext_nn::frozen::{Dense, Layer, Norm, NormPlace, Stack, StackShape};
use upnext_nn::layer::Mask;

use super::folder::{Folder, Widths};
use super::tokens::Tokens;
use super::{Before, TEXTS, Tower, Trained, TransformerSettings, embed};
use crate::EncodeError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooling {
    Mean,
    First,
}

/// A model with its tokenizer.
pub(super) struct Bert {
    tokens: Tokens,
    words: Matrix,
    /// Positions from the first that a token can have, each with the type of a single text added.
    positions: Matrix,
    norm: Norm,
    stack: Stack,
    pooling: Pooling,
    prefix: String,
}

impl Bert {
    pub(super) fn open(
        mut folder: Folder,
        settings: &TransformerSettings,
    ) -> Result<Trained<Self>, EncodeError> {
        let config = folder.config.clone();
        if config["position_embedding_type"].as_str().is_some_and(|kind| kind != "absolute") {
            return Err(folder
                .wrong("config.json", "`position_embedding_type` is not absolute, the only one known here"));
        }
        let kind = folder.model_type()?.to_string();
        folder.find_prefix("embeddings.word_embeddings.weight", &["", "bert.", "roberta.", "model."]);
        let widths = folder.widths(&config)?;
        let d = widths.dimension;
        let n_words = folder.count(&config, "vocab_size", 1 << 26)?;
        let n_positions = folder.count(&config, "max_position_embeddings", 1 << 20)?;
        // XLM-R counts positions from behind that of padding.
        let first =
            if kind == "bert" { 0 } else { config["pad_token_id"].as_u64().unwrap_or(1) as usize + 1 };
        let tokens_most = n_positions.saturating_sub(first);
        let tokens_max = tokens_max(&mut folder, settings, tokens_most)?;
        let pooling = pooling(&mut folder)?;
        let tokens = Tokens::open(&mut folder, n_words, tokens_max)?;
        let n_types = folder.count(&config, "type_vocab_size", 1 << 16)?;
        let types = folder.matrix("embeddings.token_type_embeddings.weight", n_types, d)?;
        let all = folder.matrix("embeddings.position_embeddings.weight", n_positions, d)?;
        let mut positions = Matrix::zeros(tokens_max, d);
        for at in 0..tokens_max {
            let row = all.row(first + at).iter().zip(types.row(0)).map(|(x, of_type)| x + of_type);
            positions.row_mut(at).iter_mut().zip(row).for_each(|(to, x)| *to = x);
        }
        let inner = folder.count(&config, "intermediate_size", 1 << 18)?;
        let layers =
            (0..widths.n_layers).map(|at| layer(&folder, at, &widths, inner)).collect::<Result<_, _>>()?;
        let shape = StackShape {
            n_heads: widths.n_heads,
            activation: widths.activation,
            norms: NormPlace::After,
            mask: Mask::Full,
            precision: settings.precision,
        };
        let usual_prefix =
            if folder.is_named("e5") && !folder.is_named("instruct") { "passage: " } else { "" };
        let prefix = settings.prefix.clone().unwrap_or_else(|| usual_prefix.into());
        let digest = folder.digest(&format!("{prefix:?} {tokens_max} {pooling:?} {:?}", settings.precision));
        let said =
            if prefix.is_empty() { String::new() } else { format!(", behind `{}`", prefix.trim_end()) };
        let name =
            format!("{kind} of {} layers, {d} numbers, at most {tokens_max} tokens{said}", widths.n_layers);
        let tower = Self {
            tokens,
            words: folder.matrix("embeddings.word_embeddings.weight", n_words, d)?,
            positions,
            norm: folder.norm("embeddings.LayerNorm", d, widths.epsilon)?,
            stack: Stack::new(layers, shape),
            pooling,
            prefix,
        };
        Ok(Trained { tower, name, digest, batch: TEXTS })
    }
}

impl Tower<str> for Bert {
    fn dim(&self) -> usize {
        self.words.n_columns()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn before(&self, text: &str) -> Option<Before> {
        let tokens = self.tokens.of_text(&format!("{}{text}", self.prefix))?;
        let mut rows = embed(&tokens, &self.words, &self.positions);
        self.norm.apply(&mut rows);
        Some(Before { rows, read_at: 0 })
    }

    fn after(&self, rows: &[f32], read_at: usize) -> Vec<f32> {
        let d = self.words.n_columns();
        match self.pooling {
            Pooling::First => rows[read_at * d..(read_at + 1) * d].to_vec(),
            // Their sum points where their mean does.
            Pooling::Mean => {
                let mut sum = vec![0.0; d];
                rows.chunks_exact(d).for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
                sum
            }
        }
    }
}

/// As many tokens as are asked for, or as the folder says, but no more than there are positions.
fn tokens_max(
    folder: &mut Folder,
    settings: &TransformerSettings,
    most: usize,
) -> Result<usize, EncodeError> {
    const LEAST: usize = 3;
    if let Some(asked) = settings.tokens_max {
        if (LEAST..=most).contains(&asked) {
            return Ok(asked);
        }
        return Err(EncodeError::of(
            "tokens_max",
            format!("{asked}; this model reads {LEAST} to {most} tokens"),
        ));
    }
    let said =
        [("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")];
    for (file, key) in said {
        // Tokenizers without a bound write a number that no model has positions for.
        let found = folder.json(file)?.and_then(|about| about[key].as_f64());
        if let Some(found) = found.filter(|n| *n >= LEAST as f64 && *n <= most as f64) {
            return Ok(found as usize);
        }
    }
    if most < LEAST {
        return Err(folder.wrong("config.json", &format!("{most} positions; expected at least {LEAST}")));
    }
    Ok(most)
}

/// What sentence-transformers wrote beside the model; the mean where it wrote nothing.
fn pooling(folder: &mut Folder) -> Result<Pooling, EncodeError> {
    for module in folder.json("modules.json")?.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let kind = module["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        if !matches!(kind, "Transformer" | "Pooling" | "Normalize") {
            let reason = format!("module `{kind}` is not known; expected Transformer, Pooling, Normalize");
            return Err(folder.wrong("modules.json", &reason));
        }
    }
    let Some(about) = folder.json("1_Pooling/config.json")? else { return Ok(Pooling::Mean) };
    // Older files have a key for each way, newer ones name one or several.
    let mut ways: Vec<&str> = about
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, is)| is.as_bool() == Some(true))
        .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"))
        .collect();
    match &about["pooling_mode"] {
        Value::Array(several) => ways.extend(several.iter().filter_map(Value::as_str)),
        one => ways.extend(one.as_str()),
    }
    ways.iter_mut().for_each(|way| *way = way.trim_end_matches("_tokens").trim_end_matches("_token"));
    ways.dedup();
    match ways.as_slice() {
        ["mean"] => Ok(Pooling::Mean),
        ["cls"] => Ok(Pooling::First),
        _ => {
            let reason = format!(
                "it pools by `{}`; expected the mean of tokens alone, or the first alone",
                ways.join("`, `")
            );
            Err(folder.wrong("1_Pooling/config.json", &reason))
        }
    }
}

fn layer(folder: &Folder, at: usize, widths: &Widths, inner: usize) -> Result<Layer, EncodeError> {
    let d = widths.dimension;
    let named = |part: &str| format!("encoder.layer.{at}.{part}");
    let dense = |part: &str, inputs, outputs| folder.dense(&named(part), inputs, outputs);
    let [query, key, value] =
        ["query", "key", "value"].map(|part| dense(&format!("attention.self.{part}"), d, d));
    Ok(Layer {
        queries_keys_values: Dense::joined(&[&query?, &key?, &value?]),
        output: dense("attention.output.dense", d, d)?,
        attention_norm: folder.norm(&named("attention.output.LayerNorm"), d, widths.epsilon)?,
        wide: dense("intermediate.dense", d, inner)?,
        narrow: dense("output.dense", inner, d)?,
        wide_norm: folder.norm(&named("output.LayerNorm"), d, widths.epsilon)?,
    })
}
