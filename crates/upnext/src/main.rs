//! `upnext`: from raw logs to a served, explained feed.
//!
//! Results go to standard output, progress and logs to standard error. Exit codes: 0 done, 1 failed, 2 wrong use.

mod ablation;
mod command;
mod config;
mod diagnosis;
mod drawing;
mod encoding;
mod evaluation;
mod facts;
mod generated;
mod indexes;
mod learning;
mod lists;
mod loading;
mod new_videos;
mod output;
mod pictures;
mod progress;
mod protocols;
mod report;
mod retention;
mod retraining;
mod sampled;
mod serving;
mod stores;
mod stream;
mod sweep;
#[cfg(feature = "scale")]
mod traces;
mod true_top;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

/// A multimodal video recommendation engine: logs and catalogue in, a personal and explained feed out.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = "Start with:  upnext demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How logs are written to standard error
    #[arg(long, global = true, env = "UPNEXT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Train on bundled real data, print the results table, serve the feed
    Demo(command::demo::DemoArgs),
    /// Read and clean logs into a run folder
    Import(command::import::ImportArgs),
    /// Look at a set: one page of what is in the data, and the numbers as JSON
    Report(command::report::ReportArgs),
    /// Draw all videos by taste in three dimensions: one page, and the numbers that say how far to believe it
    Map(command::map::MapArgs),
    /// Say what an import would read, keep and drop, without writing
    Validate(command::validate::ValidateArgs),
    /// Build the indexes that a large catalogue is searched by
    Index(command::index::IndexArgs),
    /// Bring vectors of videos that were made elsewhere into a run folder
    Vectors(command::vectors::VectorsArgs),
    /// Encode what videos say, show and sound like as vectors in a run folder, or measure what each kind adds
    Encode(command::encode::EncodeArgs),
    /// Put small pictures of videos into a run folder, for the page and the taste map
    Pictures(command::pictures::PicturesArgs),
    /// Write what was known of users, videos or viewings at a moment, as a table of features
    Features(command::features::FeaturesArgs),
    /// Fit the models that a run folder serves, and its results table
    Train(command::train::TrainArgs),
    /// Search the settings of a model on validation, within a time budget
    Tune(command::tune::TuneArgs),
    /// Measure models on a set under a printed protocol
    Eval(command::eval::EvalArgs),
    /// Write two towers as files that other programs read
    Export(command::export::ExportArgs),
    /// Make up data of any size, with faults whose number is known
    Generate(command::generate::GenerateArgs),
    /// Recommend videos to one user, or to all
    Recommend(command::recommend::RecommendArgs),
    /// Say why a video is recommended to a user, or which stage lost it
    Explain(command::explain::ExplainArgs),
    /// Serve a run folder over HTTP
    Serve(command::serve::ServeArgs),
    /// Fit a run anew with what its store learnt, check it, and let it be served
    Retrain(command::retrain::RetrainArgs),
    /// Serve an earlier version of a run again
    Rollback(command::rollback::RollbackArgs),
    /// Say what is wrong before `serve` is started, or a user is
    Doctor(command::doctor::DoctorArgs),
    /// Compare every file of a run with its digest, and look through the whole store
    Verify(command::doctor::VerifyArgs),
    /// Write everything the store knows into a file, as of one moment
    Dump(command::dump::DumpArgs),
    /// Make a store out of a dump
    Restore(command::dump::RestoreArgs),
    /// Erase a user from store, runs and models, with a receipt
    Forget(command::forget::ForgetArgs),
    /// Delete feedback that is too old from a store, and give its space back to the disk
    Compact(command::compact::CompactArgs),
    /// Read events from a stream of a broker into a store, each once
    Consume(command::consume::ConsumeArgs),
    /// Make, list and revoke keys of a service
    Keys(command::keys::KeysArgs),
}

/// The command line asks for something that cannot be meant: exit code 2.
#[derive(Debug)]
pub(crate) struct WrongUse(pub String);

impl std::fmt::Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

impl WrongUse {
    /// Says which argument cannot be meant, and why.
    pub(crate) fn of(argument: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{argument}: {why}"))
    }
}

/// An error and its causes, each told once: some messages repeat their cause themselves.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| match cause.to_string() {
        cause if said.is_empty() => cause,
        cause if said.contains(&cause) => said,
        cause => format!("{said}: {cause}"),
    })
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // error, warn, info, debug or trace; what is not one of these is info.
    let asked = std::env::var("UPNEXT_LOG").ok().and_then(|level| level.parse().ok());
    let logs = tracing_subscriber::fmt()
        .with_max_level(asked.unwrap_or(LevelFilter::INFO))
        .with_writer(std::io::stderr)
        .with_target(false)
        // A closed standard error is no reason to stop.
        .log_internal_errors(false);
    match cli.log_format {
        LogFormat::Text => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).compact().init()
        }
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    let done = match cli.command {
        Command::Demo(args) => args.run(),
        Command::Import(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Map(args) => args.run(),
        Command::Validate(args) => args.run(),
        Command::Index(args) => args.run(),
        Command::Vectors(args) => args.run(),
        Command::Encode(args) => args.run(),
        Command::Pictures(args) => args.run(),
        Command::Features(args) => args.run(),
        Command::Train(args) => args.run(),
        Command::Tune(args) => args.run(),
        Command::Eval(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Generate(args) => args.run(),
        Command::Recommend(args) => args.run(),
        Command::Explain(args) => args.run(),
        Command::Serve(args) => args.run(),
        Command::Retrain(args) => args.run(),
        Command::Rollback(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Dump(args) => args.run(),
        Command::Restore(args) => args.run(),
        Command::Forget(args) => args.run(),
        Command::Compact(args) => args.run(),
        Command::Consume(args) => args.run(),
        Command::Keys(args) => args.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `eprintln!`, which panics where nobody reads standard error any more.
            let _ = writeln!(std::io::stderr(), "error: {}", in_words(&error));
            if error.is::<WrongUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
