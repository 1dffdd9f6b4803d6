//! From files to a run folder without ever holding all events.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, Int64Array, StringArray, UInt8Array, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::ArrowColumnChunk;
use rayon::prelude::*;
use upnext_data::{Digest, Events, Order, Part, Relevance, SplitRule};

use super::aggregate::{Pair, Steps, VideoSums, known, pairs, pairs_columns, pairs_schema};
use super::partitions::{Partitions, remove_stale, spill_beside};
use super::quarantine::Sink;
use super::record::Record;
use super::write::TableWriter;
use crate::beside::Beside;
use crate::gather::{Gather, Settled};
use crate::run::{self, About, FileEntry, RunError};
use crate::{CleaningReport, IngestError, Notice, Options, Progress, Read, Vectors, read_into};

/// Where an import goes, and what it may use.
pub struct Target<'a> {
    /// The run folder; without it, `runs/` and the set's name.
    pub run: Option<&'a Path>,
    /// Whether an older run there gives way.
    pub replace: bool,
    /// The command line, for the manifest.
    pub command: String,
    /// The seed of what is fitted later.
    pub seed: u64,
    /// What counts as relevant, from what the files were taken for and the rule that reads naturally.
    pub relevance: &'a dyn Fn(&str, &Relevance) -> Relevance,
    /// Most memory in all, in bytes.
    pub memory_bytes: usize,
    /// Whether dropped rows are kept in a file of the run.
    pub quarantine: bool,
    /// Whether pairs are made and cut, and how.
    pub split: Option<SplitRule>,
}

/// What an import made.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The run folder.
    pub run: PathBuf,
    /// The set's name.
    pub name: String,
    /// What the files were taken for, and why.
    pub recognised: String,
    /// The dataset's digest.
    pub digest: String,
    /// What counts as relevant.
    pub relevance: Relevance,
    /// What was read, kept and dropped.
    pub cleaning: CleaningReport,
    /// Terms of the data.
    pub notice: Option<Notice>,
    /// Vectors of videos that stood in the files.
    pub vectors: Vec<Vectors>,
    /// Files of vectors that lie beside them.
    pub vector_files: Vec<PathBuf>,
    /// Pairs of user and video in train, validation and test, where a split was asked for.
    pub pairs: Option<[u64; 3]>,
    /// First millisecond of validation and of test, with it.
    pub cuts: Option<(i64, i64)>,
}

/// Why there is no run folder.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The files.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The folder.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The split.
    #[error(
        "--split {rule}: an import cuts by global-time alone, and only sets with times; \
         `upnext eval RUN --split {rule}` makes the other splits"
    )]
    Split {
        /// The rule that was asked for.
        rule: SplitRule,
    },
}

/// A share of `--memory` for rows that wait; sorting, encoding and reading take the rest.
const SHARE_FOR_ROWS: f64 = 0.35;
/// Events of a row group.
const STRIPE_EVENTS: usize = 1 << 19;

/// Reads files into a run folder. Memory stays near `memory_bytes`: what exceeds it waits in a file beside the folder,
/// which is written aside and renamed.
///
/// # Errors
/// Whatever makes the files useless, or the folder impossible; nothing is left behind then.
pub fn import(
    files: &[PathBuf],
    options: &Options,
    target: &Target,
    progress: &dyn Fn(Progress),
) -> Result<Summary, ImportError> {
    if let Some(run) = target.run {
        run::may_be_made(run, target.replace)?;
    }
    if let Some(rule) = target.split.filter(|&rule| rule != SplitRule::GlobalTime) {
        return Err(ImportError::Split { rule });
    }
    let scratch = target.run.map_or_else(|| PathBuf::from("runs/import"), Path::to_path_buf);
    remove_stale(&scratch);
    let spill = spill_beside(&scratch);
    let quarantine = spill.with_extension("quarantine");
    let parent = quarantine.parent().filter(|parent| !parent.exists());
    let done = import_with(files, options, target, progress, &spill, &quarantine);
    // Of the run by now, or of no use.
    let _ = fs::remove_file(&quarantine);
    if let Some(parent) = parent.filter(|_| done.is_err()) {
        // Made for this import alone; one that is not empty stays.
        let _ = fs::remove_dir(parent);
    }
    done
}

fn import_with(
    files: &[PathBuf],
    options: &Options,
    target: &Target,
    progress: &dyn Fn(Progress),
    spill: &Path,
    quarantine: &Path,
) -> Result<Summary, ImportError> {
    let rows_bytes = (target.memory_bytes as f64 * SHARE_FOR_ROWS) as usize;
    let mut gather = Gather::new(options, progress);
    gather.partitions = Partitions::new(rows_bytes, Some(spill.to_owned()));
    if target.quarantine {
        if let Some(parent) = quarantine.parent() {
            fs::create_dir_all(parent).map_err(|source| run::io_error(parent, "written", source))?;
        }
        gather.report.sink = Sink::to(quarantine.to_owned());
    }
    let Read { name, recognised, notice, vector_files } = read_into(&mut gather, files)?;
    let mut beside = Some(std::mem::take(&mut gather.beside));
    let settled = gather.settle(name)?;
    if let Some(rule) = target.split.filter(|_| settled.order != Order::Timed) {
        return Err(ImportError::Split { rule });
    }
    let relevance = (target.relevance)(&recognised, &settled.natural_relevance());
    let about = About {
        relevance: relevance.to_string(),
        notice: notice.clone(),
        recognised: recognised.clone(),
        command: target.command.clone(),
        seed: target.seed,
    };
    let run = target.run.map_or_else(|| PathBuf::from("runs").join(&settled.name), Path::to_path_buf);
    let quarantined = settled.report.sink.close().transpose()?;
    let mut writing = Some((settled, quarantined));
    let mut written = None;
    run::make(&run, target.replace, &mut |aside| {
        let (settled, quarantined) = writing.take().expect("a folder is filled once");
        let moved = quarantined.map(|entry| (quarantine, entry));
        let beside = beside.take().expect("a folder is filled once");
        written = Some(write(aside, settled, beside, moved, &about, &relevance, target.split)?);
        Ok(())
    })?;
    let Written { name, digest, cleaning, vectors, pairs, cuts } = written.expect("a folder was filled");
    Ok(Summary {
        run,
        name,
        recognised,
        digest,
        relevance,
        cleaning,
        notice,
        vectors,
        vector_files,
        pairs,
        cuts,
    })
}

/// What a look at files told, without writing.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The set's name.
    pub name: String,
    /// What the files were taken for, and why.
    pub recognised: String,
    /// The rule of relevance that reads naturally.
    pub natural: Relevance,
    /// What was read, and would be kept and dropped.
    pub cleaning: CleaningReport,
    /// Terms of the data.
    pub notice: Option<Notice>,
}

/// Does all of an import but writing. What exceeds `memory_bytes` waits in a file of the folder `scratch`, which is
/// removed.
///
/// # Errors
/// Whatever would make an import fail.
pub fn validate(
    files: &[PathBuf],
    options: &Options,
    memory_bytes: usize,
    scratch: &Path,
    progress: &dyn Fn(Progress),
) -> Result<Checked, IngestError> {
    let mut gather = Gather::new(options, progress);
    let rows_bytes = (memory_bytes as f64 * SHARE_FOR_ROWS) as usize;
    gather.partitions = Partitions::new(rows_bytes, Some(spill_beside(&scratch.join("upnext-validate"))));
    let Read { name, recognised, notice, .. } = read_into(&mut gather, files)?;
    let settled = gather.settle(name)?;
    let natural = settled.natural_relevance();
    let Settled { name, report: cleaning, .. } = settled;
    Ok(Checked { name, recognised, natural, cleaning, notice })
}

struct Written {
    name: String,
    digest: String,
    cleaning: CleaningReport,
    vectors: Vec<Vectors>,
    pairs: Option<[u64; 3]>,
    cuts: Option<(i64, i64)>,
}

fn events_schema(has_parts: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("user", DataType::UInt32, false),
        Field::new("video", DataType::UInt32, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Float32, true),
        Field::new("ratio", DataType::Float32, true),
    ];
    if has_parts {
        fields.push(Field::new("part", DataType::UInt8, false));
    }
    Arc::new(Schema::new(fields))
}

/// One stripe, encoded.
struct Stripe {
    events: Vec<ArrowColumnChunk>,
    digest: Vec<u8>,
    parts: Vec<u8>,
    pairs: Vec<Pair>,
    pairs_encoded: Option<Vec<ArrowColumnChunk>>,
}

fn write(
    folder: &Path,
    mut settled: Settled,
    mut beside: Beside,
    quarantined: Option<(&Path, FileEntry)>,
    about: &About,
    relevance: &Relevance,
    split: Option<SplitRule>,
) -> Result<Written, RunError> {
    let dataset = folder.join("dataset");
    fs::create_dir_all(&dataset).map_err(|source| run::io_error(&dataset, "written", source))?;
    let mut files = BTreeMap::new();
    if let Some((path, entry)) = quarantined {
        fs::rename(path, folder.join(run::QUARANTINE))
            .map_err(|source| run::io_error(path, "moved into the run", source))?;
        files.insert(run::QUARANTINE.to_string(), entry);
    }
    let spilled = |error: IngestError| RunError::Table { path: dataset.clone(), reason: error.to_string() };
    let cuts = match split {
        Some(_) => Some(cuts_by_time(&settled.partitions).map_err(spilled)?),
        None => None,
    };
    let partitions = std::mem::replace(&mut settled.partitions, Partitions::new(0, None));
    let (has_parts, n_videos) = (settled.has_parts, settled.videos.len());
    // The set without its events: users, videos and what lies beside.
    let (mut shell, cleaning) = settled.with_events(Events::new(), None);
    let vectors = std::mem::take(&mut beside.vectors);
    beside.attach(&mut shell);
    let mut digest = Digest::new(&shell);
    let mut writer = TableWriter::create(&folder.join(run::EVENTS), events_schema(has_parts))?;
    let mut pair_writer = match cuts {
        Some(_) => Some(TableWriter::create(&folder.join(run::INTERACTIONS), pairs_schema())?),
        None => None,
    };
    let mut sums = VideoSums::new(if cuts.is_some() { n_videos } else { 0 });
    let mut parts = Vec::new();
    let mut pairs_in_parts = [0u64; 3];
    let idle: Mutex<Vec<Vec<u32>>> = Mutex::new(Vec::new());
    let stripes = stripes(&partitions);
    for wave in stripes.chunks(rayon::current_num_threads()) {
        let (encoder, pair_encoder) = (writer.encoder(), pair_writer.as_ref().map(TableWriter::encoder));
        let encoded: Vec<Stripe> = wave
            .par_iter()
            .map(|stripe| {
                let mut records: Vec<Record> = Vec::new();
                for at in stripe.clone() {
                    records.append(&mut partitions.read(at).map_err(spilled)?.records);
                }
                let mut digest = Vec::with_capacity(25 * records.len());
                records.iter().for_each(|record| Digest::event_into(&record.event(), &mut digest));
                let events = encoder.encode(&event_columns(&records, has_parts))?;
                let parts = match has_parts {
                    true => records.iter().map(|r| r.part().unwrap_or(Part::Train) as u8).collect(),
                    false => Vec::new(),
                };
                let (mut of_stripe, mut pairs_encoded) = (Vec::new(), None);
                if let (Some(encoder), Some(cuts)) = (&pair_encoder, cuts) {
                    let idle_one = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let mut slots = idle_one.unwrap_or_else(|| vec![0; n_videos]);
                    of_stripe = pairs(&records, relevance, &mut slots);
                    idle.lock().unwrap_or_else(PoisonError::into_inner).push(slots);
                    drop(records);
                    pairs_encoded = Some(encoder.encode(&pairs_columns(&of_stripe, cuts))?);
                }
                Ok(Stripe { events, digest, parts, pairs: of_stripe, pairs_encoded })
            })
            .collect::<Result<_, RunError>>()?;
        for stripe in encoded {
            digest.update(&stripe.digest);
            parts.extend(stripe.parts);
            writer.append(stripe.events)?;
            if let (Some(writer), Some(encoded), Some(cuts)) = (&mut pair_writer, stripe.pairs_encoded, cuts)
            {
                writer.append(encoded)?;
                sums.add(&stripe.pairs);
                for pair in &stripe.pairs {
                    pairs_in_parts[usize::from(super::aggregate::part_of(pair.first_time, cuts))] += 1;
                }
            }
        }
    }
    drop(partitions);
    digest.update(&parts);
    let digest = digest.finish(&shell);
    files.insert(run::EVENTS.to_string(), writer.finish()?);
    if let Some(writer) = pair_writer {
        files.insert(run::INTERACTIONS.to_string(), writer.finish()?);
        let path = folder.join(run::VIDEO_STATISTICS);
        let bytes = run::columns_bytes(&path, &sums.columns())?;
        run::write_through(&path, &bytes).map_err(|source| run::io_error(&path, "written", source))?;
        files.insert(run::VIDEO_STATISTICS.to_string(), run::entry(&bytes));
    }
    run::write_beside_events(folder, &shell, digest.clone(), files, &cleaning, about)?;
    let pairs = cuts.map(|_| pairs_in_parts);
    Ok(Written { name: shell.name, digest, cleaning, vectors, pairs, cuts })
}

/// Neighbouring partitions that make a row group.
fn stripes(partitions: &Partitions) -> Vec<std::ops::Range<usize>> {
    let mut stripes = Vec::new();
    let (mut start, mut events) = (0, 0);
    for at in 0..partitions.count() {
        events += partitions.records_of(at);
        if events >= STRIPE_EVENTS {
            stripes.push(start..at + 1);
            (start, events) = (at + 1, 0);
        }
    }
    if events > 0 || stripes.is_empty() {
        stripes.push(start..partitions.count());
    }
    stripes
}

fn event_columns(records: &[Record], has_parts: bool) -> Vec<ArrayRef> {
    // Most logs know one action only.
    let actions = match records.first().map(|record| record.action) {
        Some(action) if records.iter().all(|record| record.action == action) => {
            StringArray::new_repeated(action.name(), records.len())
        }
        _ => StringArray::from_iter_values(records.iter().map(|record| record.action.name())),
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(records.iter().map(|record| record.user))),
        Arc::new(UInt32Array::from_iter_values(records.iter().map(|record| record.video))),
        Arc::new(actions),
        Arc::new(Int64Array::from_iter_values(records.iter().map(Record::time))),
        Arc::new(known(records.iter().map(|record| record.value).collect())),
        Arc::new(known(records.iter().map(|record| record.ratio).collect())),
    ];
    if has_parts {
        let parts = records.iter().map(|record| record.part().unwrap_or(Part::Train) as u8);
        columns.push(Arc::new(UInt8Array::from_iter_values(parts)));
    }
    columns
}

/// The times at 80 % and 90 % of all pairs by their first event: exactly those of the sorted times.
fn cuts_by_time(partitions: &Partitions) -> Result<(i64, i64), IngestError> {
    let see = |see: &mut dyn FnMut(i64)| -> Result<(), IngestError> {
        for at in 0..partitions.count() {
            partitions.visit(at, &mut |records| {
                records.iter().filter(|r| r.is_first_of_pair()).for_each(|r| see(r.time()));
            })?;
        }
        Ok(())
    };
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    see(&mut |time| (least, most) = (least.min(time), most.max(time)))?;
    if least > most {
        return Ok((i64::MAX, i64::MAX));
    }
    let mut steps = Steps::new(least, most);
    see(&mut |time| steps.add(time))?;
    let n = steps.total();
    let wanted = [80, 90].map(|share| n * share / 100);
    let held = wanted.map(|rank| steps.holding(rank));
    let mut times: [Vec<i64>; 2] = Default::default();
    see(&mut |time| {
        let at = steps.of(time);
        for (held, times) in held.iter().zip(&mut times) {
            if held.is_some_and(|(step, _)| step == at) {
                times.push(time);
            }
        }
    })?;
    let mut cut = [i64::MAX; 2];
    for at in 0..2 {
        times[at].sort_unstable();
        if let Some((_, before)) = held[at] {
            cut[at] = times[at].get((wanted[at] - before) as usize).copied().unwrap_or(i64::MAX);
        }
    }
    Ok((cut[0], cut[1]))
}
