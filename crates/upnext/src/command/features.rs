//! `upnext features`: what was known of users, videos or viewings at a moment, as Parquet.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use clap::{Args, ValueEnum};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use upnext_data::{Dataset, Events, Order, Part, Relevance, Split, SplitRule};
use upnext_features::impute::Imputing;
use upnext_features::prepare::{Preparation, Reduced};
use upnext_features::scale::Scaling;
use upnext_features::snapshot::{self, Snapshot};
use upnext_features::{Cut, Table, TrainRows};
use upnext_ingest::run;

use crate::loading::moment;
use crate::{WrongUse, output, progress};

/// Arguments of `features`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext features runs/mine --at cut --of users,videos,events\n  upnext features runs/mine --at 2026-03-01 --of videos --families engagement,scores --out videos.parquet\n  upnext features runs/mine --of users --families attributes --pca 0.95 --json"
)]
pub(crate) struct FeaturesArgs {
    /// The run folder that `upnext import` made
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The moment before which everything is known and after which nothing is: a date or time (UTC), seconds or
    /// milliseconds since 1970, or `cut`, the first moment of the test of a split by time (or of the set's own)
    #[arg(long, value_name = "TIME", default_value = "cut")]
    at: String,
    /// What the rows are
    #[arg(long, value_enum, value_delimiter = ',', default_value = "users,videos")]
    of: Vec<Rows>,
    /// Only columns of these families, for example engagement,scores
    #[arg(long, value_name = "FAMILY", value_delimiter = ',')]
    families: Vec<String>,
    /// The scale of the columns [default: none; standard with --pca]
    #[arg(long, value_enum)]
    scale: Option<Scale>,
    /// What stands in for what is missing, with a column NAME_missing that says so [default: none, that is null;
    /// median with --pca]
    #[arg(long, value_enum)]
    impute: Option<Impute>,
    /// Principal components instead of columns: as few as keep this share of the variance
    #[arg(long, value_name = "SHARE")]
    pca: Option<f32>,
    /// Minutes that the audience's clock is ahead of UTC, for days of statistics and hours of viewings
    #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-840..=840))]
    zone: i32,
    /// The Parquet file, for one kind of rows [default: RUN/features/users.parquet and so on]
    #[arg(long, value_name = "FILE.parquet")]
    out: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// One row a user
    Users,
    /// One row a video
    Videos,
    /// One row a viewing: all events of a user with a video at one time
    Events,
}

impl Rows {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Videos => "videos",
            Self::Events => "events",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scale {
    None,
    Standard,
    Log,
    Minmax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Impute {
    None,
    Median,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Summary {
    run: String,
    /// Milliseconds since 1970.
    at_ms: Option<i64>,
    at: String,
    tables: Vec<Written>,
}

#[derive(Debug, Serialize)]
struct Written {
    of: &'static str,
    file: String,
    rows: usize,
    columns: usize,
    /// Columns of each family, before components stand in their place.
    families: BTreeMap<String, usize>,
    /// Share of values that nobody knew before the cut.
    missing: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pca: Option<Components>,
    /// What the set has and the table has not, with the reason.
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Components {
    from: usize,
    to: usize,
    variance: f32,
}

impl FeaturesArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run cannot be read, has no such moment, or the file cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        self.check()?;
        let asked = Moment::parse(&self.at)?;
        let folder = run::open(&self.run)?;
        let known = Known::new(folder.dataset, &folder.manifest.relevance.parse()?, asked)?;
        let cut = Cut::at(known.before).in_zone(self.zone);
        let mut tables = Vec::new();
        for &of in &self.of {
            let wheel = progress::wheel(&format!("features of {}", of.name()));
            tables.push(self.write(&known, of, cut)?);
            wheel.finish_and_clear();
        }
        let summary = Summary {
            run: self.run.display().to_string(),
            at_ms: known.is_timed.then_some(known.before),
            at: known.what,
            tables,
        };
        output::print(&if self.json { serde_json::to_string(&summary)? } else { in_words(&summary) })
    }

    /// What clap cannot check.
    fn check(&self) -> Result<(), WrongUse> {
        if let Some(share) = self.pca.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(WrongUse::of("--pca", format!("{share}; expected a share above 0, at most 1")));
        }
        let Some(out) = &self.out else { return Ok(()) };
        if self.of.len() != 1 {
            return Err(WrongUse::of(
                "--out",
                "one file holds one kind of rows; add --of users, for example",
            ));
        }
        if out.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("parquet")) {
            return Err(WrongUse::of("--out", format!("{}; expected FILE.parquet", out.display())));
        }
        Ok(())
    }

    fn preparation(&self) -> Preparation {
        let with_pca = self.pca.is_some();
        Preparation {
            imputing: match self.impute {
                Some(Impute::Median) => Some(Imputing::Median),
                None if with_pca => Some(Imputing::Median),
                Some(Impute::None) | None => None,
            },
            scaling: match self.scale {
                Some(Scale::Standard) => Scaling::Standard,
                None if with_pca => Scaling::Standard,
                Some(Scale::Log) => Scaling::Log,
                Some(Scale::Minmax) => Scaling::MinMax,
                Some(Scale::None) | None => Scaling::Keep,
            },
            variance: self.pca,
        }
    }

    fn write(&self, known: &Known, of: Rows, cut: Cut) -> Result<Written> {
        let set = &known.set;
        let (ids, table, mut left_out) = rows(set, of, cut);
        left_out.retain(|what| self.families.is_empty() || self.families.iter().any(|f| f == family(what)));
        if table.matrix.n_rows() == 0 {
            bail!(
                "{}: nothing of {} is known before {}: name a later moment with --at",
                set.name,
                of.name(),
                known.what
            );
        }
        let table = self.of_families(table)?;
        let mut families: BTreeMap<String, usize> = BTreeMap::new();
        table.names.iter().for_each(|name| *families.entry(family(name).into()).or_default() += 1);
        let missing = table.missing.iter().filter(|&&missing| missing).count();
        let missing = missing as f64 / table.missing.len().max(1) as f64;
        // Every row lies before the cut.
        let train = TrainRows::all(table.matrix.n_rows());
        let (table, reduced) = self.preparation().apply(table, &train);
        let file = match &self.out {
            Some(file) => file.clone(),
            None => self.run.join(inside(of)),
        };
        let at = known.is_timed.then_some(known.before);
        let bytes =
            parquet_bytes(ids, &table, at).with_context(|| format!("{}: no such table", file.display()))?;
        match &self.out {
            Some(file) => output::write_file(file, &bytes)?,
            None => run::add_file(&self.run, &inside(of), &bytes)?,
        }
        Ok(Written {
            of: of.name(),
            file: file.display().to_string(),
            rows: table.matrix.n_rows(),
            columns: table.names.len(),
            families,
            missing,
            pca: reduced.map(|Reduced { from, to, variance }| Components { from, to, variance }),
            left_out,
        })
    }

    fn of_families(&self, table: Table) -> Result<Table, WrongUse> {
        if self.families.is_empty() {
            return Ok(table);
        }
        let wanted = |name: &str| self.families.iter().any(|wanted| wanted == family(name));
        if let Some(unknown) =
            self.families.iter().find(|wanted| !table.names.iter().any(|name| family(name) == *wanted))
        {
            let mut known: Vec<&str> = table.names.iter().map(|name| family(name)).collect();
            known.dedup();
            let known = known.join(", ");
            return Err(WrongUse::of("--families", format!("`{unknown}`; this table has {known}")));
        }
        let kept: Vec<usize> = (0..table.names.len()).filter(|&at| wanted(&table.names[at])).collect();
        let n_rows = table.matrix.n_rows();
        let values = (0..n_rows).flat_map(|row| {
            let (of_row, missing) = (table.matrix.row(row), table.missing_of(row));
            kept.iter().map(move |&at| if missing[at] { f32::NAN } else { of_row[at] })
        });
        let names = kept.iter().map(|&at| table.names[at].clone()).collect();
        Ok(Table::from_values(names, n_rows, values.collect(), 0.0))
    }
}

fn inside(of: Rows) -> String {
    format!("features/{}.parquet", of.name())
}

fn family(name: &str) -> &str {
    name.split_once('.').map_or(name, |(family, _)| family)
}

/// The columns of ids, the table, and what is left out of it.
type Ids = Vec<(&'static str, ArrayRef)>;

fn rows(set: &Dataset, of: Rows, cut: Cut) -> (Ids, Table, Vec<String>) {
    let named = |rows: &mut dyn Iterator<Item = u32>, name: &dyn Fn(u32) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.map(name)))
    };
    let user = |row: u32| set.users.name(row).to_string();
    let video = |row: u32| set.videos.name(row).to_string();
    match of {
        Rows::Users => {
            let Snapshot { rows, table, left_out } = snapshot::users(set, cut);
            (vec![("user", named(&mut rows.into_iter(), &user))], table, left_out)
        }
        Rows::Videos => {
            let Snapshot { rows, table, left_out } = snapshot::videos(set, cut);
            (vec![("video", named(&mut rows.into_iter(), &video))], table, left_out)
        }
        Rows::Events => {
            let (viewings, table) = snapshot::viewings(set, cut);
            let times = Int64Array::from_iter_values(viewings.iter().map(|viewing| viewing.time));
            let ids: Ids = vec![
                ("user", named(&mut viewings.iter().map(|viewing| viewing.user), &user)),
                ("video", named(&mut viewings.iter().map(|viewing| viewing.video), &video)),
                ("time", Arc::new(times)),
            ];
            (ids, table, Vec::new())
        }
    }
}

/// Ids, then one column of 32-bit floats for each feature, null where nothing is known. The moment stands in the
/// file's own metadata as `upnext.at_ms`.
fn parquet_bytes(ids: Ids, table: &Table, at: Option<i64>) -> Result<Vec<u8>> {
    let columns = table.names.iter().enumerate().map(|(at, name)| -> (&str, ArrayRef) {
        let value = |row: usize| (!table.missing_of(row)[at]).then(|| table.matrix.row(row)[at]);
        (name, Arc::new((0..table.matrix.n_rows()).map(value).collect::<Float32Array>()))
    });
    let ids = ids.into_iter().map(|(name, column)| (name, column, false));
    let batch = RecordBatch::try_from_iter_with_nullable(
        ids.chain(columns.map(|(name, column)| (name, column, true))),
    )?;
    let moment = at.map(|at| vec![KeyValue::new("upnext.at_ms".to_string(), at.to_string())]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(moment)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// What `--at` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The first moment of the test.
    Cut,
    /// Milliseconds since 1970.
    At(i64),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, WrongUse> {
        if text.trim() == "cut" {
            return Ok(Self::Cut);
        }
        moment(text).map(Self::At).ok_or_else(|| {
            let expected =
                "expected cut, a time such as 2026-03-01 or 2026-03-01T08:00:00Z, or seconds since 1970";
            WrongUse::of("--at", format!("`{text}`; {expected}"))
        })
    }
}

/// A set, and the moment before which it is known.
struct Known {
    set: Dataset,
    /// Milliseconds since 1970; beyond every event where the set has no times.
    before: i64,
    is_timed: bool,
    what: String,
}

impl Known {
    fn new(set: Dataset, relevance: &Relevance, asked: Moment) -> Result<Self> {
        let is_timed = set.order == Order::Timed;
        let at = |set, before, why: &str| {
            let moment =
                jiff::Timestamp::from_millisecond(before).map_or(before.to_string(), |t| t.to_string());
            Ok(Self { set, before, is_timed, what: format!("{moment}{why}") })
        };
        match (asked, set.parts(), is_timed) {
            (Moment::At(before), _, true) => at(set, before, ""),
            (Moment::Cut, Some(parts), true) => {
                let tested = set.events().times().iter().zip(parts).filter(|(_, part)| **part == Part::Test);
                let first = tested.map(|(&time, _)| time).min();
                let first = first.with_context(|| format!("{}: its test part is empty", set.name))?;
                at(set, first, " (the first moment of the set's own test)")
            }
            (Moment::Cut, None, true) => {
                let split = Split::new(&set, relevance, SplitRule::GlobalTime, 0)?;
                let (_, test) = split.cuts.context("a split by time has cuts")?;
                at(set, test, " (the first moment of the test of a split by time)")
            }
            // Without times, what is known is what the set calls train.
            (Moment::Cut, Some(parts), false) => {
                let trained = set.events().iter().zip(parts).filter(|(_, part)| **part == Part::Train);
                let events: Events = trained.map(|(event, _)| event).collect();
                let mut known = Dataset::new(
                    set.name.clone(),
                    set.users.clone(),
                    set.videos.clone(),
                    events,
                    set.order,
                    None,
                );
                known.circumstances = set.circumstances;
                let what = "train, as the set comes split (it has no times)".into();
                Ok(Self { set: known, before: i64::MAX, is_timed, what })
            }
            (Moment::At(_), Some(_), false) => {
                bail!("{}: has no times; --at cut takes what the set calls train", set.name)
            }
            (_, None, false) => bail!(
                "{}: has neither times nor parts, so no moment to be known before: import it with --map time=COLUMN",
                set.name
            ),
        }
    }
}

fn in_words(summary: &Summary) -> String {
    let mut text = format!("{} at {}\n", summary.run, summary.at);
    for table in &summary.tables {
        let columns = match &table.pca {
            Some(Components { from, to, variance }) => {
                format!("{from} → {to} columns ({:.1} % of the variance)", 100.0 * variance)
            }
            None => format!("{} columns", table.columns),
        };
        let families: Vec<String> = table.families.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let _ = writeln!(text, "\n{}: {} rows, {columns}", table.of, table.rows);
        let _ = writeln!(text, "  {}", families.join(", "));
        let _ = writeln!(text, "  {:.1} % of the values are not known", 100.0 * table.missing);
        for left_out in &table.left_out {
            let _ = writeln!(text, "  left out: {left_out}");
        }
        let _ = writeln!(text, "  {}", table.file);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let at = |text| Moment::parse(text).unwrap();
        let march = Moment::At(1_772_323_200_000);
        for text in
            ["2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01T08:00:00+08:00", "1772323200", "1772323200000"]
        {
            assert_eq!(at(text), march, "{text}");
        }
        assert_eq!(at("cut"), Moment::Cut);
        assert!(Moment::parse("soon").unwrap_err().to_string().contains("2026-03-01"));
    }
}
