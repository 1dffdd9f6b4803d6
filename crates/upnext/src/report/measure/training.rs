//! How networks learnt: the metrics that `train` and `eval` leave beside checkpoints.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// An epoch, as far as a page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochMetrics {
    /// From 1.
    pub(crate) epoch: u32,
    /// The mean loss of a step.
    pub(crate) loss: f64,
    /// The metric on validation, where one was measured.
    pub(crate) validation: Option<f64>,
    /// What that is.
    pub(crate) metric: String,
    /// The rate at its end.
    pub(crate) rate: f64,
    /// The mean norm of gradients.
    pub(crate) gradient_norm: f64,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Curve {
    /// The model, with the folder under the run's where it lies in one.
    pub(crate) name: String,
    /// In their order.
    pub(crate) epochs: Vec<EpochMetrics>,
}

impl Curve {
    /// The epoch with the best metric.
    pub(crate) fn best(&self) -> Option<&EpochMetrics> {
        let judged = self.epochs.iter().filter(|epoch| epoch.validation.is_some());
        judged.max_by(|a, b| {
            let of = |epoch: &EpochMetrics| epoch.validation.unwrap_or(f64::NEG_INFINITY);
            // Of equals the first.
            of(a).total_cmp(&of(b)).then(b.epoch.cmp(&a.epoch))
        })
    }
}

/// All trainings whose metrics lie in a folder and those in it, by name; none where there is no such folder.
///
/// # Errors
/// When a file of metrics cannot be read.
pub(crate) fn curves(folder: &Path) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    add_curves(folder, "", &mut curves)?;
    curves.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(curves)
}

fn add_curves(folder: &Path, prefix: &str, curves: &mut Vec<Curve>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && prefix.is_empty() {
            add_curves(&path, &format!("{stem}: "), curves)?;
        } else if path.extension().is_some_and(|end| end == "jsonl") {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let parse = |(at, line): (usize, &str)| {
                serde_json::from_str(line).with_context(|| {
                    format!(
                        "{}, line {}: expected the metrics of an epoch; remove the file",
                        path.display(),
                        at + 1
                    )
                })
            };
            let epochs = text.lines().enumerate().map(parse).collect::<Result<_>>()?;
            curves.push(Curve { name: format!("{prefix}{stem}"), epochs });
        }
    }
    Ok(())
}
