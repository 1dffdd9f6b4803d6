//! From files to a run folder without ever holding all events.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::StringArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;
use upnext_data::{Action, Digest, Events, Order, Part, Relevance, SplitRule};

use super::aggregate::{Pairs, Steps, VideoSums, pairs_schema};
use super::in_order::{Idle, in_order};
use super::kept::Kept;
use super::partitions::{Partitions, remove_stale, spill_beside};
use super::quarantine::Sink;
use super::record::Record;
use super::write::{Column, Encoded, TableWriter};
use crate::beside::Beside;
use crate::formats::recognise::{self, Plan};
use crate::gather::{Gather, Settled};
use crate::run::{self, About, FileEntry, RunError};
use crate::{CleaningReport, IngestError, Notice, Options, Progress, Read, Stage, Vectors, read_into};

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
    /// Of several files, what was read is kept after a file whenever so much time has passed, and an import that was
    /// killed or failed goes on from there; `None` keeps nothing.
    pub keep_every: Option<Duration>,
    /// Whether to go on from what an earlier import kept, and not to start over.
    pub go_on: bool,
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
    /// Files of events that an earlier import had read before it ended, and all of them.
    pub went_on: Option<(usize, usize)>,
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
    /// Any of these, after files were read that need not be read again.
    #[error(
        "{source}\n{files} of {of_files} files of events were read before, and are kept in {folder}: the same \
         command (without --fresh) goes on after them"
    )]
    AfterSome {
        /// What happened.
        source: Box<ImportError>,
        /// Files that were read.
        files: usize,
        /// All of them.
        of_files: usize,
        /// What was read.
        folder: PathBuf,
    },
}

/// A share of `--memory` for rows that wait; sorting, encoding and reading take the rest.
const SHARE_FOR_ROWS: f64 = 0.35;
/// Most events of a row group; fewer where memory is small, as some are in memory at once, as columns and encoded.
const STRIPE_EVENTS: usize = 1 << 18;
/// Bytes that waiting rows may take for each event of a row group.
const ROWS_BYTES_PER_EVENT: usize = 768;

/// Reads files into a run folder. Memory stays near `memory_bytes`: what exceeds it waits in a file beside the folder,
/// which is written aside and renamed. An import of several files that was killed, or failed, goes on after the last
/// file whose records were kept; see [`Target::keep_every`].
///
/// # Errors
/// Whatever makes the files useless, or the folder impossible; nothing but what is kept is left behind then.
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
    let plan = recognise::plan(files, options)?;
    let scratch = target.run.map_or_else(|| PathBuf::from("runs/import"), Path::to_path_buf);
    remove_stale(&scratch);
    let parent = scratch.parent().filter(|parent| !parent.exists());
    let mut kept = Kept::begin(&scratch, &plan, options, target)?;
    let spill = spill_beside(&scratch);
    let done = import_with(plan, options, target, progress, &spill, kept.as_mut());
    // Of the run by now, or of no use.
    let _ = fs::remove_file(spill.with_extension("quarantine"));
    let done = match (done, kept) {
        (Err(error), Some(kept)) if kept.files > 0 => {
            let (files, of_files, folder) = (kept.files, kept.of_files(), kept.folder().to_owned());
            return Err(ImportError::AfterSome { source: Box::new(error), files, of_files, folder });
        }
        (done, kept) => {
            if let Some(kept) = kept {
                kept.discard();
            }
            done
        }
    };
    if let Some(parent) = parent.filter(|_| done.is_err()) {
        // Made for this import alone; one that is not empty stays.
        let _ = fs::remove_dir(parent);
    }
    done
}

fn import_with(
    plan: Plan,
    options: &Options,
    target: &Target,
    progress: &dyn Fn(Progress),
    spill: &Path,
    mut kept: Option<&mut Kept>,
) -> Result<Summary, ImportError> {
    let rows_bytes = (target.memory_bytes as f64 * SHARE_FOR_ROWS) as usize;
    let went_on = kept.as_ref().filter(|kept| kept.files > 0).map(|kept| (kept.files, kept.of_files()));
    let mut gather = Gather::new(options, progress);
    gather.partitions = match &kept {
        Some(kept) => Partitions::in_file_that_stays(rows_bytes, kept.rows()),
        None => Partitions::new(rows_bytes, Some(spill.to_owned())),
    };
    if target.quarantine {
        let path = kept.as_ref().map_or_else(|| spill.with_extension("quarantine"), |kept| kept.open_piece());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| run::io_error(parent, "written", source))?;
        }
        gather.report.sink = Sink::to(path);
    }
    gather.kept = kept.as_deref_mut();
    let Read { name, recognised, notice, vector_files } = read_into(&mut gather, plan)?;
    gather.kept = None;
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
    let quarantined = match (quarantined, kept) {
        (Some(entry), Some(kept)) => Some(kept.join_pieces(entry)?),
        (entry, _) => entry.map(|entry| (spill.with_extension("quarantine"), entry)),
    };
    let mut writing = Some((settled, quarantined));
    let mut written = None;
    run::make(&run, target.replace, &mut |aside| {
        let (settled, quarantined) = writing.take().expect("a folder is filled once");
        let beside = beside.take().expect("a folder is filled once");
        let judged_by = target.split.map(|_| &relevance);
        written = Some(write(aside, settled, beside, quarantined, &about, judged_by, progress)?);
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
        went_on,
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
    let Read { name, recognised, notice, .. } = read_into(&mut gather, recognise::plan(files, options)?)?;
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

/// A column may have missing values where one is missing.
fn events_schema(has_parts: bool, (value_is_missing, ratio_is_missing): (bool, bool)) -> SchemaRef {
    let mut fields = vec![
        Field::new("user", DataType::UInt32, false),
        Field::new("video", DataType::UInt32, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Float32, value_is_missing),
        Field::new("ratio", DataType::Float32, ratio_is_missing),
    ];
    if has_parts {
        fields.push(Field::new("part", DataType::UInt8, false));
    }
    Arc::new(Schema::new(fields))
}

/// A stripe, and the columns of its events and of its pairs.
type EncodedStripe = (Stripe, Vec<Encoded>, Option<Vec<Encoded>>);

/// Records of a stripe, column by column, and what comes of them.
#[derive(Default)]
struct Stripe {
    users: Vec<i32>,
    videos: Vec<i32>,
    actions: Vec<Action>,
    times: Vec<i64>,
    values: Vec<f32>,
    ratios: Vec<f32>,
    /// The parts of a set that comes cut, else none.
    parts: Vec<i32>,
    /// What the digest takes of the events.
    digest: Vec<u8>,
    pairs: Pairs,
    pairs_in_parts: [u64; 3],
    /// For each video the place of its pair with the user at hand.
    slots: Vec<u32>,
}

impl Stripe {
    fn clear(&mut self) {
        [&mut self.users, &mut self.videos, &mut self.parts].into_iter().for_each(Vec::clear);
        [&mut self.values, &mut self.ratios].into_iter().for_each(Vec::clear);
        self.actions.clear();
        self.times.clear();
        self.digest.clear();
        self.pairs.clear();
    }

    fn add(&mut self, records: &[Record], has_parts: bool) {
        for record in records {
            self.users.push(record.user as i32);
            self.videos.push(record.video as i32);
            self.actions.push(record.action);
            self.times.push(record.time());
            self.values.push(record.value);
            self.ratios.push(record.ratio);
            Digest::event_into(&record.event(), &mut self.digest);
        }
        if has_parts {
            self.parts.extend(records.iter().map(|record| record.part().unwrap_or(Part::Train) as i32));
        }
    }

    fn columns(&self, has_parts: bool) -> Vec<Column<'_>> {
        // Most logs know one action only.
        let actions = match self.actions.first() {
            Some(first) if self.actions.iter().all(|action| action == first) => {
                Column::Repeated(first.name(), self.actions.len())
            }
            _ => {
                let names = self.actions.iter().map(|action| action.name());
                Column::Array(Arc::new(StringArray::from_iter_values(names)))
            }
        };
        let mut columns = vec![
            Column::Ints(&self.users),
            Column::Ints(&self.videos),
            actions,
            Column::Longs(&self.times),
            Column::Floats(&self.values),
            Column::Floats(&self.ratios),
        ];
        if has_parts {
            columns.push(Column::Ints(&self.parts));
        }
        columns
    }
}

/// Writes a set into a folder; pairs too, where a rule judges them.
fn write(
    folder: &Path,
    mut settled: Settled,
    mut beside: Beside,
    quarantined: Option<(PathBuf, FileEntry)>,
    about: &About,
    judged_by: Option<&Relevance>,
    progress: &dyn Fn(Progress),
) -> Result<Written, RunError> {
    let dataset = folder.join("dataset");
    fs::create_dir_all(&dataset).map_err(|source| run::io_error(&dataset, "written", source))?;
    let mut files = BTreeMap::new();
    if let Some((path, entry)) = quarantined {
        fs::rename(&path, folder.join(run::QUARANTINE))
            .map_err(|source| run::io_error(&path, "moved into the run", source))?;
        files.insert(run::QUARANTINE.to_string(), entry);
    }
    let spilled = |error: IngestError| RunError::Table { path: dataset.clone(), reason: error.to_string() };
    let cuts = match judged_by {
        Some(_) => Some(cuts_by_time(&settled.partitions, settled.survey.begins).map_err(spilled)?),
        None => None,
    };
    let partitions = std::mem::replace(&mut settled.partitions, Partitions::new(0, None));
    let (has_parts, n_videos, missing) = (settled.has_parts, settled.videos.len(), settled.survey.missing);
    let n_events = settled.survey.events;
    // The set without its events: users, videos and what lies beside.
    let (mut shell, cleaning) = settled.with_events(Events::new(), None);
    let vectors = std::mem::take(&mut beside.vectors);
    beside.attach(&mut shell);
    let mut digest = Digest::new(&shell);
    let mut writer = TableWriter::create(&folder.join(run::EVENTS), events_schema(has_parts, missing))?;
    let mut pair_writer = match cuts {
        Some(_) => Some(TableWriter::create(&folder.join(run::INTERACTIONS), pairs_schema(missing.1))?),
        None => None,
    };
    let mut sums = VideoSums::new(if cuts.is_some() { n_videos } else { 0 });
    let mut parts = Vec::new();
    let mut pairs_in_parts = [0u64; 3];
    let (mut done, total, rows) = (0, n_events, cleaning.read);
    let idle: Idle<Stripe> = Idle::new();
    let stripes = stripes(&partitions);
    let (encoder, pair_encoder) = (writer.encoder(), pair_writer.as_ref().map(TableWriter::encoder));
    let encode = |at: usize| -> Result<EncodedStripe, RunError> {
        let mut stripe = idle.take().unwrap_or_default();
        stripe.clear();
        stripe.slots.resize(if cuts.is_some() { n_videos } else { 0 }, 0);
        for partition in stripes[at].clone() {
            let see = &mut |records: &[Record]| {
                stripe.add(records, has_parts);
                if let Some(rule) = judged_by {
                    stripe.pairs.add(records, rule, &mut stripe.slots);
                }
            };
            partitions.visit(partition, see).map_err(spilled)?;
        }
        let events = encoder.encode(&stripe.columns(has_parts))?;
        let mut pairs = None;
        if let (Some(encoder), Some(cuts)) = (&pair_encoder, cuts) {
            stripe.pairs_in_parts = stripe.pairs.finish(cuts);
            pairs = Some(encoder.encode(&stripe.pairs.columns())?);
        }
        Ok((stripe, events, pairs))
    };
    in_order(stripes.len(), encode, |encoded| {
        let (stripe, events, pairs) = encoded?;
        digest.update(&stripe.digest);
        parts.extend(stripe.parts.iter().map(|&part| part as u8));
        writer.append(events)?;
        if let (Some(writer), Some(pairs)) = (&mut pair_writer, pairs) {
            writer.append(pairs)?;
            sums.add(&stripe.pairs);
            pairs_in_parts.iter_mut().zip(stripe.pairs_in_parts).for_each(|(all, n)| *all += n);
        }
        done += stripe.users.len() as u64;
        progress(Progress { stage: Stage::Write, done, total, rows });
        idle.give(stripe);
        Ok::<_, RunError>(())
    })?;
    // So much memory is not given back at once.
    let dropped = std::thread::spawn(move || drop(partitions));
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
    dropped.join().expect("memory is given back without a panic");
    let pairs = cuts.map(|_| pairs_in_parts);
    Ok(Written { name: shell.name, digest, cleaning, vectors, pairs, cuts })
}

/// Neighbouring partitions that make a row group.
fn stripes(partitions: &Partitions) -> Vec<std::ops::Range<usize>> {
    let most = (partitions.bytes_max() / ROWS_BYTES_PER_EVENT).clamp(STRIPE_EVENTS / 8, STRIPE_EVENTS);
    let mut stripes = Vec::new();
    let (mut start, mut events) = (0, 0);
    for at in 0..partitions.count() {
        events += partitions.records_of(at);
        if events >= most {
            stripes.push(start..at + 1);
            (start, events) = (at + 1, 0);
        }
    }
    if events > 0 || stripes.is_empty() {
        stripes.push(start..partitions.count());
    }
    stripes
}

/// The times at 80 % and 90 % of all pairs by their first event: exactly those of the sorted times.
fn cuts_by_time(partitions: &Partitions, (least, most): (i64, i64)) -> Result<(i64, i64), IngestError> {
    if least > most {
        return Ok((i64::MAX, i64::MAX));
    }
    // Two passes: how many times lie in each step between the least and the largest, and those of two steps.
    let see = |at: usize, see: &mut dyn FnMut(i64)| {
        partitions.visit(at, &mut |records| {
            records.iter().filter(|r| r.is_first_of_pair()).for_each(|r| see(r.time()));
        })
    };
    let steps = (0..partitions.count())
        .into_par_iter()
        .try_fold(
            || Steps::new(least, most),
            |mut steps, at| see(at, &mut |time| steps.add(time)).map(|()| steps),
        )
        .try_reduce(
            || Steps::new(least, most),
            |mut one, other| {
                one.join(&other);
                Ok(one)
            },
        )?;
    let n = steps.total();
    let wanted = [80, 90].map(|share| n * share / 100);
    let held = wanted.map(|rank| steps.holding(rank));
    let times = (0..partitions.count())
        .into_par_iter()
        .map(|at| {
            let mut times: [Vec<i64>; 2] = Default::default();
            see(at, &mut |time| {
                let at = steps.of(time);
                for (held, times) in held.iter().zip(&mut times) {
                    if held.is_some_and(|(step, _)| step == at) {
                        times.push(time);
                    }
                }
            })?;
            Ok(times)
        })
        .collect::<Result<Vec<_>, IngestError>>()?;
    let cut = [0, 1].map(|cut| {
        let mut times: Vec<i64> = times.iter().flat_map(|times| times[cut].iter().copied()).collect();
        times.sort_unstable();
        let at = held[cut].map(|(_, before)| (wanted[cut] - before) as usize);
        at.and_then(|at| times.get(at).copied()).unwrap_or(i64::MAX)
    });
    Ok((cut[0], cut[1]))
}
