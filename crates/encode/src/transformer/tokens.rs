//! Texts as numbers of tokens.

use tokenizers::{Tokenizer, TruncationParams};

use super::folder::Folder;
use crate::EncodeError;

/// A tokenizer that cuts texts to a length and pads nothing.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
}

/// Rows of a model that no token has: tables are filled up to a round number, and languages are left out. Of large ones it is a
/// thirty-second part.
const SPARE_MAX: usize = 128;

impl Tokens {
    /// Of `tokenizer.json`; every number it can give is below `vocabulary`, and hardly any row of that is without a token.
    pub(super) fn open(
        folder: &mut Folder,
        vocabulary: usize,
        tokens_max: usize,
    ) -> Result<Self, EncodeError> {
        let bytes = folder.bytes("tokenizer.json")?.ok_or_else(|| {
            folder.wrong("tokenizer.json", "not there: save the tokenizer beside the model, in its fast form")
        })?;
        let wrong = |reason: String| folder.wrong("tokenizer.json", &reason);
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let most = tokenizer.get_vocab(true).into_values().max().map_or(0, |most| most as usize + 1);
        if most > vocabulary {
            return Err(wrong(format!(
                "it gives numbers up to {most}, the model knows {vocabulary}: it is of another model"
            )));
        }
        let spare = vocabulary - most;
        if spare > SPARE_MAX.max(vocabulary / 32) {
            return Err(wrong(format!(
                "it knows {most} tokens, the model {vocabulary}: it is of another model"
            )));
        }
        let truncation = TruncationParams { max_length: tokens_max, ..TruncationParams::default() };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|e| wrong(format!("{tokens_max} tokens: {e}")))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer })
    }

    /// The numbers of a text's tokens, special ones included; `None` where there is none.
    pub(super) fn of_text(&self, text: &str) -> Option<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, true).ok()?;
        (!encoding.is_empty()).then(|| encoding.get_ids().to_vec())
    }
}
