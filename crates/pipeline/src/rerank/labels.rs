//! The plainest likeness: shared labels.

use std::sync::Arc;

use upnext_data::Dataset;

use super::Similarity;

/// Jaccard: the share of two videos' labels that both have. It needs no vectors.
pub struct SharedLabels {
    dataset: Arc<Dataset>,
}

impl SharedLabels {
    /// Of a run's catalogue.
    pub fn new(dataset: Arc<Dataset>) -> Self {
        Self { dataset }
    }
}

impl Similarity for SharedLabels {
    fn between(&self, a: u32, b: u32) -> f32 {
        let videos = self.dataset.videos.videos();
        let (Some(a), Some(b)) = (videos.get(a as usize), videos.get(b as usize)) else { return 0.0 };
        let shared = a.labels.iter().filter(|label| b.labels.binary_search(label).is_ok()).count();
        let all = a.labels.len() + b.labels.len() - shared;
        if all == 0 { 0.0 } else { shared as f32 / all as f32 }
    }
}
