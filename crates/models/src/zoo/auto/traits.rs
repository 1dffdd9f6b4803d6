//! What a set is like, and what is tried on such a one.

use upnext_data::Order;

use super::Settings;
use super::recipe::{Form, Recipe};
use crate::Training;
use crate::zoo::Kind;

/// A history of at most so many wanted videos, in the middle of all, is short: each of its prefixes is an example.
const SHORT: usize = 30;
/// Wanted videos times videos, beyond which a softmax over all of these takes most of an epoch: it is sampled then, against so
/// many. (On Beauty, where nothing is gained by it, 2,000 drawn videos cost 0.005 of 0.198 on validation.)
const LOGITS_MAX: usize = 8_000_000_000;

/// What decides what is tried.
#[derive(Debug, PartialEq)]
pub(super) struct Traits {
    pub(super) order: Order,
    pub(super) n_users: usize,
    pub(super) n_videos: usize,
    /// Wanted videos of all viewers.
    pub(super) n_wanted: usize,
    /// Wanted videos of the viewer in the middle, and of the one whom nine in ten do not exceed.
    pub(super) median_length: usize,
    pub(super) long_length: usize,
    pub(super) has_content: bool,
}

impl Traits {
    pub(super) fn of(training: &Training) -> Self {
        let wanted = |rows: &[upnext_data::Interaction]| rows.iter().filter(|row| row.is_positive()).count();
        let mut lengths: Vec<usize> = training.interactions.users().map(wanted).filter(|&n| n > 0).collect();
        lengths.sort_unstable();
        let at = |share: f64| lengths.get((share * lengths.len() as f64) as usize).copied().unwrap_or(0);
        Self {
            order: training.order,
            n_users: lengths.len(),
            n_videos: training.interactions.n_videos(),
            n_wanted: lengths.iter().sum(),
            median_length: at(0.5),
            long_length: at(0.9),
            has_content: training.content.is_some(),
        }
    }

    pub(super) fn in_words(&self) -> String {
        let order = match self.order {
            Order::Unordered => "without an order",
            Order::Sequence => "in order",
            Order::Timed => "in order, with times",
        };
        let content = if self.has_content { ", labels or text" } else { "" };
        format!(
            "{} viewers, {} videos, histories of {} (median) to {} (nine in ten) {order}{content}",
            self.n_users, self.n_videos, self.median_length, self.long_length
        )
    }

    /// Counting models, and the weights from which they are moved: those of the closed blend where they are known, else 0.
    pub(super) fn counting(
        &self,
        closed: &[(Kind, f32)],
        settings: &Settings,
    ) -> (Vec<(Kind, f32)>, Vec<String>) {
        let (mut parts, mut left_out) = (closed.to_vec(), Vec::new());
        let mut add = |kind: Kind, is_tried: bool, why: &str| {
            if !is_tried {
                parts.retain(|&(known, _)| known != kind);
                left_out.push(format!("{kind} ({why})"));
            } else if !parts.iter().any(|&(known, _)| known == kind) {
                parts.push((kind, 0.0));
            }
        };
        add(Kind::Popular, true, "");
        add(Kind::PopularRecent, self.order == Order::Timed, "no times");
        add(Kind::ItemKnn, true, "");
        let why = format!("{} videos, at most {}", self.n_videos, settings.ease_videos_max);
        let is_ordered = self.order != Order::Unordered;
        // Where there is an order, asked with newer videos counting more.
        let ease = if is_ordered { Kind::EaseDecayed } else { Kind::Ease };
        add(ease, self.n_videos <= settings.ease_videos_max, &why);
        add(Kind::DirectedCosineContent, self.has_content && is_ordered, "no content in order");
        add(Kind::Walk, !is_ordered, "an order tells more");
        (parts, left_out)
    }

    /// Networks in the order of their promise.
    pub(super) fn networks(&self, settings: &Settings) -> Result<Vec<Recipe>, &'static str> {
        if self.n_videos > settings.networks_videos_max {
            return Err("more videos than networks_videos_max");
        }
        let is_sampled = self.n_wanted.saturating_mul(self.n_videos) > LOGITS_MAX;
        // What is compared with a few videos cannot have the vectors of labels and words.
        let content = self.has_content && !is_sampled;
        let recipe = |form, length: usize, content| Recipe { form, length, content, is_sampled };
        Ok(match self.order {
            Order::Unordered => vec![Recipe { is_sampled: false, ..recipe(Form::Graph, 0, false) }],
            _ if self.median_length <= SHORT => {
                let length = self.long_length.next_multiple_of(10).clamp(20, 50);
                vec![recipe(Form::Filtered, length, content), recipe(Form::Prefixes, length, false)]
            }
            _ => {
                let length = self.long_length.next_multiple_of(50).clamp(50, 200);
                vec![recipe(Form::Long, length, content), recipe(Form::LongGated, length, false)]
            }
        })
    }
}
