//! Many things through one encoder: on several threads, from the cache where it can, and whatever is wrong with one of them
//! is counted, named and left behind.

use std::borrow::Borrow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// What is encoded; nothing where its content is known already.
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

    /// Bytes that an opened one holds.
    fn size(&self, input: &Owned) -> usize;
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
/// Bytes of opened inputs that wait for the encoder, of all workers together; each may hold one input more. A batch ends early
/// there: a poster of 100 million pixels is 300 MB.
const WAITING_BYTES_MAX: usize = 512 << 20;

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
    let job = Job {
        encoder,
        things,
        cache,
        from_cache: AtomicUsize::new(0),
        waiting_bytes: AtomicUsize::new(0),
        failures: AtomicUsize::new(0),
        gave_up: Mutex::default(),
        cache_trouble: Mutex::default(),
    };
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes = Mutex::new(vec![Outcome::Nothing; n]);
    let work = || {
        loop {
            let first = next.fetch_add(batch, Ordering::Relaxed);
            if first >= n {
                return;
            }
            let places = first..n.min(first + batch);
            let n_places = places.len();
            let made = job.of_places(places);
            let mut outcomes = held(&outcomes);
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
    let (from_cache, cache_trouble) = (job.from_cache.into_inner(), held(&job.cache_trouble).take());
    Done {
        outcomes: outcomes.into_inner().unwrap_or_else(PoisonError::into_inner),
        from_cache,
        cache_trouble,
    }
}

/// What a lock holds: a thread that panicked left it whole.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What workers share.
struct Job<'a, Owned, Input: ?Sized> {
    encoder: &'a dyn Encoder<Input>,
    things: &'a dyn Things<Owned>,
    cache: Option<&'a Cache>,
    from_cache: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// Batches that failed in a row.
    failures: AtomicUsize,
    /// Why the encoder is asked no more.
    gave_up: Mutex<Option<String>>,
    cache_trouble: Mutex<Option<String>>,
}

/// Opened inputs, by their places.
type Waiting<Owned> = Vec<(usize, Content, Owned)>;

impl<Owned: Borrow<Input>, Input: ?Sized> Job<'_, Owned, Input> {
    /// What became of some of them.
    fn of_places(&self, places: std::ops::Range<usize>) -> Vec<(usize, Outcome)> {
        let mut made = Vec::with_capacity(places.len());
        let (mut waiting, mut bytes): (Waiting<Owned>, _) = (Vec::new(), 0);
        for at in places {
            match self.open(at) {
                Err(outcome) => made.push((at, outcome)),
                Ok((content, input)) => {
                    let size = self.things.size(&input);
                    bytes += size;
                    waiting.push((at, content, input));
                    if self.waiting_bytes.fetch_add(size, Ordering::Relaxed) + size > WAITING_BYTES_MAX {
                        made.extend(self.encode(std::mem::take(&mut waiting), std::mem::take(&mut bytes)));
                    }
                }
            }
        }
        made.extend(self.encode(waiting, bytes));
        made
    }

    /// One that is to be encoded; or what became of it without.
    fn open(&self, at: usize) -> Result<(Content, Owned), Outcome> {
        let not_tried = self.not_tried();
        // Without an encoder nothing is worth decoding, and what is kept needs none.
        let is_known =
            |content: &Content| not_tried.is_some() || self.cache.is_some_and(|cache| cache.has(content));
        if let (Some(outcome), None) = (&not_tried, self.cache) {
            return Err(outcome.clone());
        }
        // A decoder that panics is no reason to lose the rest.
        let opened = catch_unwind(AssertUnwindSafe(|| self.things.open(at, &is_known)));
        match opened.unwrap_or_else(|_| Err("its decoder panicked".into())) {
            Err(why) => Err(Outcome::Failed(why)),
            Ok(None) => Err(Outcome::Nothing),
            Ok(Some(Opened { content, input: Some(input) })) => Ok((content, input)),
            Ok(Some(Opened { content, input: None })) => {
                if let Some(values) = self.cache.and_then(|cache| cache.get(&content)) {
                    self.from_cache.fetch_add(1, Ordering::Relaxed);
                    return Err(Outcome::Vector(values));
                }
                let lost = "its vector cannot be read from the cache any more: run it again";
                Err(not_tried.unwrap_or_else(|| Outcome::Failed(lost.into())))
            }
        }
    }

    /// Encodes what waits, and keeps it for another run.
    fn encode(&self, waiting: Waiting<Owned>, bytes: usize) -> Vec<(usize, Outcome)> {
        if waiting.is_empty() {
            return Vec::new();
        }
        let inputs: Vec<&Input> = waiting.iter().map(|(.., input)| input.borrow()).collect();
        let encoded = match self.not_tried() {
            Some(outcome) => vec![outcome; inputs.len()],
            None => self.tried(&inputs),
        };
        if let Some(cache) = self.cache {
            let vectors: Vec<(Content, &[f32])> = waiting
                .iter()
                .zip(&encoded)
                .filter_map(|((_, content, _), outcome)| match outcome {
                    Outcome::Vector(values) => Some((*content, values.as_slice())),
                    _ => None,
                })
                .collect();
            if let Err(why) = cache.add(&vectors) {
                held(&self.cache_trouble).get_or_insert(why);
            }
        }
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        waiting.into_iter().map(|(at, ..)| at).zip(encoded).collect()
    }

    fn tried(&self, inputs: &[&Input]) -> Vec<Outcome> {
        match halved(self.encoder, inputs) {
            Ok(encoded) => {
                // Where nothing of a batch comes out, one by one neither, the encoder is to blame.
                let reasons = encoded.iter().map(|outcome| match outcome {
                    Outcome::Failed(why) => Some(why.as_str()),
                    _ => None,
                });
                match reasons.collect::<Option<Vec<&str>>>() {
                    Some(reasons) if reasons.len() > 1 => self.failed(reasons[0]),
                    _ => self.failures.store(0, Ordering::Relaxed),
                }
                encoded
            }
            Err(error) => {
                let why = error.to_string();
                self.failed(&why);
                vec![Outcome::Failed(why); inputs.len()]
            }
        }
    }

    /// What becomes of whatever is left, once the encoder was given up.
    fn not_tried(&self) -> Option<Outcome> {
        held(&self.gave_up).as_ref().map(|why| Outcome::Failed(format!("not tried: {why}")))
    }

    fn failed(&self, why: &str) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
            held(&self.gave_up).get_or_insert_with(|| why.to_string());
        }
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
                    false => Outcome::Nothing,
                    true => match row.iter().position(|x| !x.is_finite()) {
                        None => Outcome::Vector(row.to_vec()),
                        Some(place) => {
                            Outcome::Failed(format!("number {place} of its vector is {}", row[place]))
                        }
                    },
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
    #[derive(Default)]
    struct Lengths {
        encoded: AtomicUsize,
        most_at_once: AtomicUsize,
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
            self.most_at_once.fetch_max(texts.len(), Ordering::SeqCst);
            let row = |text: &Option<&str>| {
                let length = text.filter(|text| *text != "?")?.len() as f32;
                Some(vec![if *text == Some("NaN") { f32::NAN } else { length }])
            };
            Ok(Encoded::of_rows(1, &inputs.iter().map(row).collect::<Vec<_>>()))
        }
    }

    /// Texts, each as large as `size` says, and how many were opened.
    struct Texts {
        texts: Vec<&'static str>,
        size: usize,
        decoded: AtomicUsize,
    }

    fn texts(texts: Vec<&'static str>) -> Texts {
        Texts { texts, size: 1, decoded: AtomicUsize::new(0) }
    }

    impl Things<String> for Texts {
        fn len(&self) -> usize {
            self.texts.len()
        }
        fn size(&self, _input: &String) -> usize {
            self.size
        }
        fn open(
            &self,
            at: usize,
            is_known: &dyn Fn(&Content) -> bool,
        ) -> Result<Option<Opened<String>>, String> {
            let text = self.texts[at];
            match text {
                "" => return Ok(None),
                "torn" => return Err("torn".into()),
                "decoder" => panic!("as asked for"),
                _ => {}
            }
            let content = *blake3::hash(text.as_bytes()).as_bytes();
            let decoded = || {
                self.decoded.fetch_add(1, Ordering::SeqCst);
                text.into()
            };
            Ok(Some(Opened { content, input: (!is_known(&content)).then(decoded) }))
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_is_encoded() {
        let texts = texts(vec!["a", "bad", "bb", "", "torn", "panic", "decoder", "ccc", "?", "dddd"]);
        for workers in [1, 3] {
            let encoder = Lengths::default();
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
        let texts = texts(vec!["a", "bb", "ccc", "bb", "bad"]);
        let encode = || {
            let encoder = Lengths::default();
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
    fn an_encoder_that_is_gone_is_given_up_and_nothing_more_is_decoded_for_it() {
        let encoder = Lengths::default();
        let mut all = vec!["gone"; 40];
        all.push("torn");
        let things = texts(all);
        let done = run::<String, str>(&encoder, &things, None, 1, &|_| {});
        let tried = |outcome: &&Outcome| **outcome == Outcome::Failed("server: gone".into());
        assert_eq!(done.outcomes.iter().filter(tried).count(), 12);
        assert_eq!(done.outcomes[40], Outcome::Failed("not tried: server: gone".into()));
        assert_eq!(things.decoded.into_inner(), 12);
        // What is known needs no encoder.
        let folder = tempfile::tempdir().unwrap();
        let open = || Cache::open(folder.path(), "x", 1, 1 << 20).unwrap();
        run::<String, str>(&encoder, &texts(vec!["known"]), Some(&open()), 1, &|_| {});
        let things = texts([vec!["gone"; 12], vec!["known", "gone"]].concat());
        let done = run::<String, str>(&encoder, &things, Some(&open()), 1, &|_| {});
        assert_eq!(done.outcomes[12], Outcome::Vector(vec![5.0]));
        assert_eq!(done.outcomes[13], Outcome::Failed("not tried: server: gone".into()));
        assert_eq!(things.decoded.into_inner(), 12);
    }

    #[test]
    fn large_inputs_go_to_the_encoder_before_a_batch_is_full() {
        for (size, expected) in [(1, 4), (WAITING_BYTES_MAX / 2, 3), (WAITING_BYTES_MAX + 1, 1)] {
            let encoder = Lengths::default();
            let things = Texts { size, ..texts(vec!["a"; 8]) };
            let done = run::<String, str>(&encoder, &things, None, 1, &|_| {});
            assert_eq!(done.outcomes, vec![Outcome::Vector(vec![1.0]); 8]);
            assert_eq!(encoder.most_at_once.into_inner(), expected, "{size} bytes each");
        }
    }

    #[test]
    fn a_vector_that_is_not_finite_is_a_failure() {
        let done = run::<String, str>(&Lengths::default(), &texts(vec!["NaN", "a"]), None, 1, &|_| {});
        let why = "number 0 of its vector is NaN".into();
        assert_eq!(done.outcomes, [Outcome::Failed(why), Outcome::Vector(vec![1.0])]);
    }

    #[test]
    fn a_cache_that_is_full_is_told_once_and_all_is_encoded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), "x", 1, 60).unwrap();
        let done = run::<String, str>(&Lengths::default(), &texts(vec!["a"; 20]), Some(&cache), 1, &|_| {});
        assert_eq!(done.outcomes, vec![Outcome::Vector(vec![1.0]); 20]);
        assert!(done.cache_trouble.unwrap().contains("full"));
    }
}
