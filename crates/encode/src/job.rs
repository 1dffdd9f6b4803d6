//! Many things through one encoder: on several threads, from the cache where it can, and whatever is wrong with one of them
//! is counted, named and left behind.

use std::borrow::Borrow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::cache::{Cache, Content};
use crate::{EncodeError, Encoder};

/// What became of one of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its vector.
    Vector(Vec<f32>),
    /// There is nothing to encode, or nothing that the encoder can use.
    Nothing,
    /// What is wrong with it.
    Failed(String),
}

/// One of them, opened.
pub struct Opened<Owned> {
    /// BLAKE3 of its bytes.
    pub content: Content,
    /// What is encoded; nothing where it is empty, or where its content is known already.
    pub input: Option<Owned>,
}

/// All of them, by their places.
pub trait Things<Owned>: Sync {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one, and makes an input of it if its content is not known; `None` where there is nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    fn open(&self, at: usize, is_known: &dyn Fn(&Content) -> bool) -> Result<Option<Opened<Owned>>, String>;
}

/// What a job came to.
#[derive(Debug, Default)]
pub struct Done {
    /// One for each thing.
    pub outcomes: Vec<Outcome>,
    /// How many were not encoded again.
    pub from_cache: usize,
    /// Why vectors could not be kept, if so.
    pub cache_trouble: Option<String>,
}

/// Batches that may fail in a row before the encoder is given up.
const FAILURES_MAX: usize = 3;

/// Encodes all of them. `progress` is told how many are done.
pub fn run<Owned: Borrow<Input>, Input: ?Sized>(
    encoder: &dyn Encoder<Input>,
    things: &dyn Things<Owned>,
    cache: Option<&Cache>,
    workers: usize,
    progress: &(dyn Fn(usize) + Sync),
) -> Done {
    let n = things.len();
    let batch = encoder.batch().max(1);
    let (next, done, from_cache, failures) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes = Mutex::new(vec![Outcome::Nothing; n]);
    let trouble: Mutex<Option<String>> = Mutex::new(None);
    let gave_up: Mutex<Option<String>> = Mutex::new(None);
    let is_over = AtomicBool::new(false);
    let failed = |why: &str| {
        if failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
            *gave_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(why.to_string());
            is_over.store(true, Ordering::Relaxed);
        }
    };
    let work = || {
        loop {
            let first = next.fetch_add(batch, Ordering::Relaxed);
            if first >= n {
                return;
            }
            let places = first..n.min(first + batch);
            let n_places = places.len();
            let mut made: Vec<(usize, Outcome)> = Vec::with_capacity(n_places);
            let mut waiting: Vec<(usize, Content, Owned)> = Vec::new();
            let is_known = |content: &Content| cache.is_some_and(|cache| cache.get(content).is_some());
            for at in places {
                // A decoder that panics is no reason to lose the rest.
                let opened = catch_unwind(AssertUnwindSafe(|| things.open(at, &is_known)));
                match opened.unwrap_or_else(|_| Err("its decoder panicked".into())) {
                    Err(why) => made.push((at, Outcome::Failed(why))),
                    Ok(None) => made.push((at, Outcome::Nothing)),
                    Ok(Some(Opened { content, input })) => {
                        match (cache.and_then(|cache| cache.get(&content)), input) {
                            (Some(values), _) => {
                                from_cache.fetch_add(1, Ordering::Relaxed);
                                made.push((at, Outcome::Vector(values.to_vec())));
                            }
                            (None, Some(input)) => waiting.push((at, content, input)),
                            (None, None) => made.push((at, Outcome::Nothing)),
                        }
                    }
                }
            }
            let inputs: Vec<&Input> = waiting.iter().map(|(.., input)| input.borrow()).collect();
            let encoded = if inputs.is_empty() {
                Vec::new()
            } else if is_over.load(Ordering::Relaxed) {
                let why = gave_up
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .clone()
                    .unwrap_or_default();
                vec![Outcome::Failed(format!("not tried: {why}")); inputs.len()]
            } else {
                match halved(encoder, &inputs) {
                    Ok(encoded) => {
                        // Where nothing of a batch comes out, one by one neither, the encoder is to blame.
                        let reasons = encoded.iter().map(|outcome| match outcome {
                            Outcome::Failed(why) => Some(why.clone()),
                            _ => None,
                        });
                        match reasons.collect::<Option<Vec<String>>>() {
                            Some(reasons) if reasons.len() > 1 => failed(&reasons[0]),
                            _ => failures.store(0, Ordering::Relaxed),
                        }
                        encoded
                    }
                    Err(error) => {
                        let why = error.to_string();
                        failed(&why);
                        vec![Outcome::Failed(why); inputs.len()]
                    }
                }
            };
            if let Some(cache) = cache {
                let vectors: Vec<(Content, &[f32])> = waiting
                    .iter()
                    .zip(&encoded)
                    .filter_map(|((_, content, _), outcome)| match outcome {
                        Outcome::Vector(values) => Some((*content, values.as_slice())),
                        _ => None,
                    })
                    .collect();
                if let Err(error) = cache.add(&vectors) {
                    *trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                        Some(error.to_string());
                }
            }
            made.extend(waiting.iter().map(|(at, ..)| *at).zip(encoded));
            let mut outcomes = outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            made.into_iter().for_each(|(at, outcome)| outcomes[at] = outcome);
            drop(outcomes);
            progress(done.fetch_add(n_places, Ordering::Relaxed) + n_places);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let whole =
        |lock: Mutex<Option<String>>| lock.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Done {
        outcomes: outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        from_cache: from_cache.into_inner(),
        cache_trouble: whole(trouble),
    }
}

/// Encodes a batch; where one of its inputs is to blame, halves of it, until that one stands alone.
fn halved<Input: ?Sized>(
    encoder: &dyn Encoder<Input>,
    inputs: &[&Input],
) -> Result<Vec<Outcome>, EncodeError> {
    let given: Vec<Option<&Input>> = inputs.iter().copied().map(Some).collect();
    let encoded = catch_unwind(AssertUnwindSafe(|| encoder.encode(&given)));
    let encoded = encoded.unwrap_or_else(|_| {
        Err(EncodeError { is_of_input: true, ..EncodeError::of(encoder.name(), "panicked") })
    });
    match encoded {
        Ok(encoded) => {
            let outcome = |at: usize| {
                let row = encoded.rows.row(at);
                match encoded.present[at] {
                    true if row.iter().all(|x| x.is_finite()) => Outcome::Vector(row.to_vec()),
                    true => Outcome::Failed("its vector has a number that is not finite".into()),
                    false => Outcome::Nothing,
                }
            };
            Ok((0..inputs.len()).map(outcome).collect())
        }
        Err(error) if error.is_of_input && inputs.len() > 1 => {
            let (left, right) = inputs.split_at(inputs.len() / 2);
            Ok([halved(encoder, left)?, halved(encoder, right)?].concat())
        }
        Err(error) if error.is_of_input => Ok(vec![Outcome::Failed(error.to_string())]),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoded;

    /// Texts by their lengths. Some words upset it.
    struct Lengths {
        encoded: AtomicUsize,
    }

    impl Encoder<str> for Lengths {
        fn name(&self) -> String {
            "lengths".into()
        }
        fn dim(&self) -> usize {
            1
        }
        fn is_unit(&self) -> bool {
            false
        }
        fn digest(&self) -> String {
            "lengths".into()
        }
        fn batch(&self) -> usize {
            4
        }
        fn encode(&self, inputs: &[Option<&str>]) -> Result<Encoded, EncodeError> {
            let texts: Vec<&str> = inputs.iter().flatten().copied().collect();
            assert!(!texts.contains(&"panic"), "as asked for");
            if texts.contains(&"gone") {
                return Err(EncodeError::of("server", "gone"));
            }
            if texts.contains(&"bad") {
                return Err(EncodeError { is_of_input: true, ..EncodeError::of("text", "bad") });
            }
            self.encoded.fetch_add(texts.len(), Ordering::SeqCst);
            let row = |text: &Option<&str>| Some(vec![text.filter(|text| *text != "?")?.len() as f32]);
            Ok(Encoded::of_rows(1, &inputs.iter().map(row).collect::<Vec<_>>()))
        }
    }

    struct Texts(Vec<&'static str>);

    impl Things<String> for Texts {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn open(
            &self,
            at: usize,
            is_known: &dyn Fn(&Content) -> bool,
        ) -> Result<Option<Opened<String>>, String> {
            let text = self.0[at];
            match text {
                "" => return Ok(None),
                "torn" => return Err("torn".into()),
                "decoder" => panic!("as asked for"),
                _ => {}
            }
            let content = *blake3::hash(text.as_bytes()).as_bytes();
            Ok(Some(Opened { content, input: (!is_known(&content)).then(|| text.into()) }))
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_is_encoded() {
        let texts = Texts(vec!["a", "bad", "bb", "", "torn", "panic", "decoder", "ccc", "?", "dddd"]);
        for workers in [1, 3] {
            let encoder = Lengths { encoded: AtomicUsize::new(0) };
            let told = AtomicUsize::new(0);
            let done = run::<String, str>(&encoder, &texts, None, workers, &|n| {
                told.fetch_max(n, Ordering::SeqCst);
            });
            let failed = |why: &str| Outcome::Failed(why.into());
            let vector = |n: f32| Outcome::Vector(vec![n]);
            let expected = [
                vector(1.0),
                failed("text: bad"),
                vector(2.0),
                Outcome::Nothing,
                failed("torn"),
                failed("lengths: panicked"),
                failed("its decoder panicked"),
                vector(3.0),
                Outcome::Nothing,
                vector(4.0),
            ];
            assert_eq!(done.outcomes, expected);
            assert_eq!(told.into_inner(), 10);
        }
    }

    #[test]
    fn a_second_run_encodes_nothing_again() {
        let folder = tempfile::tempdir().unwrap();
        let texts = Texts(vec!["a", "bb", "ccc", "bb", "bad"]);
        let encode = || {
            let encoder = Lengths { encoded: AtomicUsize::new(0) };
            let cache = Cache::open(folder.path(), &encoder.digest(), 1, 1 << 20).unwrap();
            let done = run::<String, str>(&encoder, &texts, Some(&cache), 2, &|_| {});
            assert!(done.cache_trouble.is_none());
            (done.outcomes, done.from_cache, encoder.encoded.into_inner())
        };
        let (first, second) = (encode(), encode());
        assert_eq!((first.1, second.1), (0, 4));
        assert_eq!((&first.0, second.2), (&second.0, 0));
    }

    #[test]
    fn an_encoder_that_is_gone_is_given_up_after_some_batches() {
        let texts = Texts(vec!["gone"; 40]);
        let encoder = Lengths { encoded: AtomicUsize::new(0) };
        let done = run::<String, str>(&encoder, &texts, None, 1, &|_| {});
        let tried = |outcome: &&Outcome| **outcome == Outcome::Failed("server: gone".into());
        assert_eq!(done.outcomes.iter().filter(tried).count(), 12);
        assert_eq!(done.outcomes[39], Outcome::Failed("not tried: server: gone".into()));
    }
}
