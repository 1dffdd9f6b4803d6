//! SASRec with a softmax over the whole catalogue: a transformer reads a history in order and says what comes next.

mod lesson;
mod network;
mod settings;

use lesson::{Kept, Lesson, Terms};
use network::{Batch, Network, Question, Watched};
pub use settings::Settings;
pub(crate) use settings::Shape;
use upnext_data::{History, Judgement, Order, Past};
use upnext_math::Matrix;
use upnext_math::dot::dot;
use upnext_math::linalg::product_transposed_into;
use upnext_math::seed::{Random, mix};
use upnext_nn::{Kind, Parameters};

use crate::checkpoint::{Form, Writer};
use crate::train::{self, Learnt};
use crate::{Context, FitError, Recommender, Training};

/// SASRec (Kang & McAuley 2018) in the form that Klenitskiy & Vasilev (2023) showed to be strong: cross-entropy over all
/// videos at every place. Pre-norm blocks, GELU, places counted from the newest video, and a learnt start, so that an empty
/// history has an answer too. Videos have one vector, read and predicted by. With a filter it is BSARec (Shin et al. 2024),
/// in pointwise blocks HSTU (Zhai et al. 2024).
#[derive(Clone, Debug)]
pub struct Sasrec {
    name: &'static str,
    network: Network,
    parameters: Parameters,
}

impl Sasrec {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to
    /// on validation, where there is one.
    pub(super) fn fit(
        name: &'static str,
        settings: &Settings,
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        training.needs_order(name)?;
        settings.check(name)?;
        let start = training.start_of(name);
        // Of a model that goes on, histories without anything new are known already.
        let since = start.map_or(i64::MIN, |start| start.since);
        let reads_times = settings.shape().reads_times() && training.order == Order::Timed;
        let histories: Vec<Kept> = (training.interactions.users())
            .map(|rows| {
                let wanted: Vec<_> = rows.iter().filter(|row| row.is_positive()).collect();
                let times = wanted.iter().filter(|_| reads_times).map(|row| row.time).collect();
                let n_known = wanted.partition_point(|row| row.time < since);
                Kept { videos: wanted.iter().map(|row| row.video).collect(), times, n_known }
            })
            .filter(|kept| kept.videos.len() > kept.n_known)
            .collect();
        let mut parameters = Parameters::new();
        let n_videos = training.interactions.n_videos();
        // Compared with the whole catalogue, every row has a gradient in every step.
        let kind = if settings.negatives == 0 { Kind::Dense } else { Kind::Rows };
        let shape = (n_videos, kind, settings.dropout);
        let network = Network::new(&mut parameters, settings.shape(), shape, &mut Random::new(training.seed));
        if let Some(start) = start {
            start.apply(&mut parameters, &["videos"])?;
        }
        let terms = match settings.content {
            // What goes on has its terms within its vectors: new ones begin at 0.
            true => Some(Terms::new(
                &mut parameters,
                training.needs_content(name)?.vectors().clone(),
                if start.is_some() { 0.0 } else { 0.02 },
                &mut Random::new(mix(training.seed ^ 1)),
            )),
            false => None,
        };
        let lesson = Lesson { name, network: &network, settings, training, terms, histories };
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        let parameters = match &lesson.terms {
            Some(_) => lesson.whole(&parameters).into_owned().without_last("terms"),
            None => parameters,
        };
        Ok((Self { name, network, parameters }, epochs, score))
    }

    /// From parameters of a file, by name; `None` names what is missing or has another shape.
    pub(crate) fn from_parameters(
        name: &'static str,
        shape: Shape,
        n_videos: usize,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, shape, (n_videos, Kind::Dense, 0.0), &mut Random::new(0));
        for id in parameters.ids() {
            let array = parameters.name(id).to_string();
            let is_same = |found: &Matrix| {
                let known = parameters.get(id);
                (found.n_rows(), found.n_columns()) == (known.n_rows(), known.n_columns())
            };
            let found = get(&array).filter(is_same).ok_or(array)?;
            *parameters.get_mut(id) = found;
        }
        Ok(Self { name, network, parameters })
    }

    /// The videos that are read of a history, oldest first, and their times, where these are read.
    fn read(&self, history: &History) -> (Vec<u32>, Vec<i64>) {
        let (shape, n_videos) = (self.network.shape, self.n_videos() as u32);
        let is_read = |past: &&Past| past.judgement == Judgement::Positive && past.video < n_videos;
        let mut read: Vec<&Past> = history.past().iter().rev().filter(is_read).take(shape.length).collect();
        read.reverse();
        let times = read.iter().filter(|_| shape.reads_times()).map(|past| past.time).collect();
        (read.iter().map(|past| past.video).collect(), times)
    }

    /// One row for each history: what its last place asks for, now or, where that is not known, just after its newest event.
    fn questions(&self, asked: &[(&History, Context)]) -> Matrix {
        let read: Vec<(Vec<u32>, Vec<i64>)> = asked.iter().map(|(history, _)| self.read(history)).collect();
        let mut questions: Vec<Question> = Vec::with_capacity(asked.len());
        for ((videos, times), (history, context)) in read.iter().zip(asked) {
            let newest = || history.past().last().map_or(0, |past| past.time);
            questions.push((Watched { videos, times }, context.now.unwrap_or_else(newest)));
        }
        let batch = Batch::new(&questions, self.network.shape);
        let (output, _) = self.network.forward(&self.parameters, &batch, None);
        let mut questions = Matrix::zeros(asked.len(), self.network.shape.dimension);
        for (at, n) in batch.n_there.iter().enumerate() {
            questions.row_mut(at).copy_from_slice(output.row(at * batch.length + n - 1));
        }
        questions
    }

    fn table(&self) -> &Matrix {
        self.parameters.get(self.network.videos.table)
    }
}

impl Recommender for Sasrec {
    fn name(&self) -> &str {
        self.name
    }

    fn n_videos(&self) -> usize {
        self.table().n_rows()
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let question = self.questions(&[(history, *context)]);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(question.row(0), self.table().row(video));
        }
    }

    fn score(&self, history: &History, context: &Context, rows: &[u32], scores: &mut [f32]) {
        let question = self.questions(&[(history, *context)]);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score = dot(question.row(0), self.table().row(row as usize));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        product_transposed_into(&self.questions(questions), self.table(), scores.values_mut());
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(self.parameters.name(id), self.parameters.get(id));
        }
        let Shape { dimension, n_blocks, n_heads, length, filter: (filter, filter_low), wiring } =
            self.network.shape;
        let network = self.name.into();
        Form::Sasrec { network, dimension, n_blocks, n_heads, length, filter, filter_low, wiring }
    }
}

#[cfg(test)]
mod tests;
