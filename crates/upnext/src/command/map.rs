//! `upnext map`: the taste map as one page that needs no network, and the numbers that say how far to believe it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use upnext_data::{Dataset, Relevance};
use upnext_ingest::run;
use upnext_map::{Chance, Map};
use upnext_models::zoo::Choices;
use upnext_pipeline::{Feed, FeedModels};
use upnext_store::{Memory, Store};

use crate::command::train::MODEL_FILE;
use crate::config::Config;
use crate::drawing::{self, Known, MAP_FILE};
use crate::learning::Learning;
use crate::loading::DataArgs;
use crate::pictures::{Embedded, OfRun};
use crate::serving::{self, Depth};
use crate::stores::Place;
use crate::{WrongUse, output, progress};

/// Arguments of `map`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext map runs/mine --viewer 414\n  upnext map data/movies --out map.html --json\n\nA run folder keeps map.html, and map.bin, from which `upnext serve` shows the same map."
)]
pub(crate) struct MapArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The page to write, ending in .html
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Whose path and journey the page shows
    #[arg(long, value_name = "ID")]
    viewer: Option<String>,
    /// What is drawn: "labels and text", labels, text, audience, vectors or a model by name; without it, the first there is
    #[arg(long, value_name = "NAME")]
    space: Option<String>,
    /// MiB of pictures that the page may hold, those of the most wanted videos first; 0 leaves them out
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=512))]
    pictures_mib: u32,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of the projection, of samples and of shuffled genres
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The numbers as one JSON object
    #[arg(long)]
    json: bool,
}

/// The page, in a run folder or in the working folder.
const PAGE: &str = "map.html";

impl MapArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the data cannot be read, nothing can be drawn, or the page cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        if let Some(out) = &self.out
            && out.extension().is_none_or(|end| !end.eq_ignore_ascii_case("html"))
        {
            return Err(WrongUse::of("--out", "expected a file that ends in .html").into());
        }
        let config = Config::read(self.config.as_deref())?;
        let run_folder = match &self.data.files[..] {
            [folder] if run::is_run(folder) => Some(folder.clone()),
            _ => None,
        };
        let loaded = self.data.load()?;
        let set = Arc::new(loaded.dataset);
        let (models, store) = self.models(run_folder.as_deref(), &set, &loaded.relevance, &config)?;
        let name = set.name.clone();
        let (relevance, kept) = (loaded.relevance.clone(), models.clone());
        let feed = Feed::new(config.feed.clone(), Arc::clone(&set), relevance, kept, store)?;
        if let Some(viewer) = &self.viewer
            && !feed.knows(viewer)
        {
            return Err(WrongUse::of("--viewer", format!("there is no viewer `{viewer}` in {name}")).into());
        }
        let (of, vectors) = match &run_folder {
            Some(folder) => {
                (drawing::origin(&run::manifest(folder)?, &config.map), drawing::vectors_of(folder)?)
            }
            None => (set.digest(), Vec::new()),
        };
        let started = Instant::now();
        let wheel = progress::wheel("drawing the taste map");
        let known = Known {
            set: &set,
            relevance: &loaded.relevance,
            vectors,
            models: &models,
            kinds: &config.feed.category_kinds,
        };
        let map = drawing::draw(&known, self.space.as_deref(), of, self.seed, &config.map)?;
        wheel.finish_and_clear();
        let seconds = started.elapsed().as_secs_f64();
        let notice = loaded.notice.as_ref().map(|notice| format!("{} ({})", notice.text, notice.licence));
        let pictures = self.pictures(run_folder.as_deref(), &set, &loaded.relevance, &feed, &map)?;
        let page = page(&feed, &map, &name, self.viewer.as_deref(), notice, &pictures)?;
        let path = match (&self.out, &run_folder) {
            (Some(out), _) => out.clone(),
            (None, Some(folder)) => folder.join(PAGE),
            (None, None) => PAGE.into(),
        };
        match (&self.out, &run_folder) {
            (None, Some(folder)) => run::add_file(folder, PAGE, page.as_bytes())?,
            _ => output::write_file(&path, page.as_bytes())?,
        }
        if let Some(folder) = &run_folder {
            run::add_file(folder, MAP_FILE, &map.to_bytes())?;
        }
        if self.json {
            let numbers = json!({
                "set": name, "videos": map.n_rows, "drawn": map.n_points(), "unknown": map.n_unknown,
                "measured": map.n_measured, "seconds": seconds, "seed": self.seed, "page": path,
                "pictures": { "shown": pictures.addresses.len(), "of": pictures.of },
                "spaces": map.modalities.iter().map(|space| json!({
                    "name": space.name, "known": space.n_known, "width": space.width, "purity": space.purity,
                    "silhouette": space.silhouette,
                })).collect::<Vec<_>>(),
                "projections": map.projections.iter().map(|projection| json!({
                    "name": projection.name, "variance": projection.variance,
                    "trustworthiness": projection.trustworthiness, "purity": projection.purity,
                    "silhouette": projection.silhouette,
                })).collect::<Vec<_>>(),
            });
            return output::print(&numbers.to_string());
        }
        let mut text = table(&map, &name)?;
        write!(
            text,
            "drawn in {seconds:.1} s, seed {}\npage: {} ({:.1} MB, opens without network)",
            self.seed,
            path.display(),
            page.len() as f64 / 1e6
        )?;
        if pictures.of > 0 {
            write!(
                text,
                "\npictures: {} of {} (--pictures-mib {})",
                pictures.addresses.len(),
                pictures.of,
                self.pictures_mib
            )?;
        }
        output::print(&text)
    }

    /// Pictures of the videos that are shown, the most wanted first.
    fn pictures(
        &self,
        run_folder: Option<&Path>,
        set: &Arc<Dataset>,
        relevance: &Relevance,
        feed: &Feed,
        map: &Map,
    ) -> Result<Embedded> {
        let Some(pictures) = run_folder.and_then(|folder| OfRun::open(folder, set)) else {
            return Ok(Embedded::default());
        };
        let wanted = set.interactions(relevance).popularity();
        let is_shown = |row: &u32| feed.card(set.videos.name(*row)).is_some_and(|card| !card.hidden);
        let mut rows: Vec<u32> = map.rows().iter().copied().filter(is_shown).collect();
        rows.sort_by_key(|&row| (std::cmp::Reverse(wanted[row as usize]), row));
        pictures
            .embedded(&rows, (self.pictures_mib as usize) << 20)
            .context("the run's pictures cannot be read")
    }

    /// The run's models and store; where it has no models yet, or the data is no run, counting models alone.
    fn models(
        &self,
        run_folder: Option<&Path>,
        set: &Dataset,
        relevance: &Relevance,
        config: &Config,
    ) -> Result<(FeedModels, Arc<dyn Store>)> {
        let kept = run_folder.map(|folder| run::read_file(folder, MODEL_FILE)).transpose()?.flatten();
        let models = match kept {
            Some(bytes) => serving::from_bytes(&bytes, set)?,
            None => {
                let choices = (Choices::new(), &Learning::default(), &[][..], None);
                serving::fit(set, relevance, self.seed, choices, Depth::Quick)?
            }
        };
        let store: Arc<dyn Store> = match run_folder {
            Some(folder) => Place::of(None, &config.store, folder).open_to_read(&config.store)?,
            None => Arc::new(Memory::new(config.store.clone())),
        };
        Ok((models, store))
    }
}

/// The page: the map, every title with its neighbours, and a viewer's path and journey.
fn page(
    feed: &Feed,
    map: &Map,
    name: &str,
    viewer: Option<&str>,
    notice: Option<String>,
    pictures: &Embedded,
) -> Result<String> {
    let view = serde_json::to_value(feed.map(map))?;
    let ids = view["ids"].as_array().expect("a map has ids");
    let videos: Vec<Value> = ids
        .iter()
        .zip(map.rows())
        .map(|(id, row)| {
            let id = id.as_str().expect("ids are texts");
            let Some(video) = feed.on_map(map, id) else { return json!({ "id": id, "title": id }) };
            let near = |(name, videos): &(String, Vec<upnext_pipeline::Named>)| {
                json!([name, videos.iter().filter_map(|video| video.point).collect::<Vec<_>>()])
            };
            let near: Vec<Value> = video.near.iter().map(near).collect();
            json!({
                "id": id, "title": video.title, "year": video.year, "labels": video.labels, "near": near,
                "picture": pictures.addresses.get(row),
            })
        })
        .collect();
    let path = viewer.map(|viewer| feed.path(map, viewer));
    let journey = viewer.map(|viewer| feed.journey(map, viewer));
    let data = json!({ "name": name, "notice": notice, "map": view, "videos": videos, "path": path, "journey": journey });
    Ok(upnext_serve::map_file(&data))
}

fn table(map: &Map, name: &str) -> Result<String> {
    let mut text = format!(
        "{name}: {} of {} videos drawn in {} ({} numbers each); {} tell nothing in it\n\n",
        map.n_points(),
        map.n_rows,
        map.modalities[0].name,
        map.width(),
        map.n_unknown,
    );
    writeln!(
        text,
        "{:24}{:>8}   {:28}{:28}trust",
        "", "videos", "10 nearest of one genre", "silhouette by genre"
    )?;
    for space in &map.modalities {
        let (purity, silhouette) = (in_words(space.purity), in_words(space.silhouette));
        writeln!(
            text,
            "{:24}{:>8}   {purity:28}{silhouette:28}",
            format!("space {}", space.name),
            space.n_known
        )?;
    }
    for projection in &map.projections {
        let (purity, silhouette) = (in_words(projection.purity), in_words(projection.silhouette));
        let trust = projection.trustworthiness.map_or("-".into(), |trust| format!("{trust:.3}"));
        let name = format!("picture {}", projection.name);
        writeln!(text, "{name:24}{:>8}   {purity:28}{silhouette:28}{trust}", map.n_points())?;
    }
    writeln!(
        text,
        "\nmeasured on {} videos; in brackets the same with genres shuffled, ten times, ± their deviation;\nthe genre of a video is the rarest of its labels; trust: trustworthiness of the 10 nearest",
        map.n_measured
    )?;
    Ok(text)
}

fn in_words(chance: Option<Chance>) -> String {
    chance.map_or("-".into(), |chance| {
        format!("{:.3} ({:.3} ± {:.3})", chance.value, chance.shuffled, chance.deviation)
    })
}
