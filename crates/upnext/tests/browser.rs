//! The page in a real browser: the demo is started as a person would start it, and used as a person would use it.
//! Without a browser this skips, loudly; with `UPNEXT_REQUIRE_BROWSER=1` it fails instead.
//! `UPNEXT_PICTURES=FOLDER` keeps a picture of each step.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod devtools;
mod service;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use devtools::Browser;
use serde_json::Value;

/// The demo, ended when this is dropped.
struct Demo {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        Self::of(&["demo", "--port", "0", "--json"], tempfile::tempdir().unwrap())
    }

    /// What such a command serves, in a folder.
    fn of(command: &[&str], folder: tempfile::TempDir) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_upnext"))
            .args(command)
            .current_dir(folder.path())
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let rest = &line[line.find("http://")?..];
                let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
                Some(rest[..end].trim_end_matches('/').to_owned() + "/")
            })
            .expect("the demo prints its address on standard output");
        // What else it prints is read away, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _folder: folder }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_page_does_in_a_real_browser_what_it_says() {
    let Some(mut browser) = devtools::browser("the page") else { return };
    let browser = &mut browser;
    let demo = Demo::start();
    browser.size(1440, 1000, false);
    // Cards that still glide cannot be clicked where they seem to be.
    browser.prefer(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]);

    three_picks_make_a_feed(browser, &demo);
    a_like_leaves_the_feed_and_changes_it(browser);
    undo_takes_the_like_back(browser);
    what_happens_elsewhere_is_seen_without_a_reload(browser, &demo);
    the_keyboard_is_enough(browser);
    the_results_come_with_their_protocol(browser);
    the_trace_shows_every_stage_and_every_score(browser);
    a_known_viewer_has_a_history(browser);
    the_map_appears_and_a_title_says_what_is_near(browser);
    play_moves_the_viewer_step_by_step(browser);
    a_click_in_the_feed_moves_the_viewer_s_point(browser);
    the_journey_says_what_each_event_changed(browser);
    it_fits_a_phone(browser, &demo);
    it_can_be_read_in_light_and_dark(browser);
    markup_in_a_name_stays_text(browser, &demo);

    assert_eq!(browser.complaints(), [""; 0], "the console is not silent");
    let requests = browser.requests();
    assert!(requests.len() > 20, "only {} requests were seen: the network is not watched", requests.len());
    let foreign: Vec<_> = requests
        .iter()
        .filter(|url| !url.starts_with(&demo.address))
        .filter(|url| *url != "about:blank")
        .collect();
    assert!(foreign.is_empty(), "requests off the host: {foreign:?}");

    a_server_that_does_not_answer_is_said_in_words(browser, &demo);
}

/// The ids of the feed, in order.
fn feed(browser: &mut Browser) -> Vec<String> {
    strings(
        &browser.value("[...document.querySelectorAll('#shelves .card')].map(card => card.dataset.video)"),
    )
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// How many events the page says the viewer has.
const EVENTS: &str = "document.querySelectorAll('#history .events li').length";

fn three_picks_make_a_feed(browser: &mut Browser, demo: &Demo) {
    browser.open(&demo.address);
    browser.until(
        "document.querySelectorAll('.pick').length >= 8 && document.querySelectorAll('.card').length >= 5",
    );
    browser.picture("1-welcome");
    let cold = feed(browser);
    let picks = strings(
        &browser.value("[...document.querySelectorAll('.pick')].slice(0, 3).map(pick => pick.dataset.video)"),
    );
    for (place, pick) in picks.iter().enumerate() {
        browser.click(&format!(".pick[data-video=\"{pick}\"]"));
        if place < 2 {
            browser.until(&format!(
                "document.querySelectorAll('.pick[aria-pressed=true]').length === {}",
                place + 1
            ));
        }
    }
    browser.until(&format!("document.getElementById('onboarding').hidden && {EVENTS} === 3"));
    browser.until("/now starts from/.test(document.getElementById('live').textContent)");
    let warm = feed(browser);
    assert_ne!(cold, warm, "three picks changed nothing");
    assert!(warm.len() >= 10, "only {} titles", warm.len());
    assert!(picks.iter().all(|pick| !warm.contains(pick)), "a picked title is still recommended");
    let said = browser
        .value("[...document.querySelectorAll('.why')].every(why => why.textContent.trim().length > 3)");
    assert_eq!(said, true, "a card does not say why it is here");
    browser.picture("2-feed");
}

fn a_like_leaves_the_feed_and_changes_it(browser: &mut Browser) {
    let before = feed(browser);
    let liked = before[0].clone();
    browser.click("#shelves .card .like");
    browser.until(&format!("{EVENTS} === 4"));
    browser.until("!document.getElementById('toast').hidden && /Liked/.test(document.getElementById('live').textContent)");
    let after = feed(browser);
    assert!(!after.contains(&liked), "the liked title is still there");
    let came = after.iter().filter(|id| !before.contains(id)).count();
    let stayed: Vec<_> = before.iter().filter(|id| after.contains(id)).collect();
    let order: Vec<_> = after.iter().filter(|id| before.contains(id)).collect();
    assert!(came > 0, "nothing came in");
    assert!(came > 1 || stayed != order, "the like took one title out and changed nothing else");
    browser.picture("3-liked");
}

fn undo_takes_the_like_back(browser: &mut Browser) {
    browser.press("u");
    browser.until(&format!("{EVENTS} === 3 && /Undone/.test(document.getElementById('live').textContent)"));
}

fn what_happens_elsewhere_is_seen_without_a_reload(browser: &mut Browser, demo: &Demo) {
    browser.value("window.stays = true");
    let before = feed(browser);
    let viewer = browser.value("localStorage.getItem('upnext.viewer')");
    let events = format!(r#"[{{"user":{viewer},"video":"{}","action":"like"}}]"#, before[0]);
    let address = demo.address.trim_start_matches("http://").trim_end_matches('/');
    let mut elsewhere = TcpStream::connect(address).unwrap();
    let (status, body) = service::ask(&mut elsewhere, "POST", "/api/v2/events", &events).unwrap();
    assert_eq!(status, 200, "{body}");
    browser.until(&format!(
        "{EVENTS} === 4 && /from elsewhere/.test(document.getElementById('live').textContent)"
    ));
    assert!(!feed(browser).contains(&before[0]), "what was liked elsewhere is still recommended");
    assert_eq!(browser.value("window.stays"), true, "the page was loaded again");
    let path = format!("/api/feedback/like/{}/{}", viewer.as_str().unwrap(), before[0]);
    assert_eq!(service::ask(&mut elsewhere, "DELETE", &path, "").unwrap().0, 200);
    browser.until(&format!(
        "{EVENTS} === 3 && /taken back elsewhere/.test(document.getElementById('live').textContent)"
    ));
}

fn the_keyboard_is_enough(browser: &mut Browser) {
    browser.value("document.activeElement.blur(), scrollTo(0, 0), document.querySelector('.skip').focus()");
    browser.press("Enter");
    browser.until("document.activeElement.classList.contains('cover')");
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.dataset.action"), "like");
    assert_eq!(browser.value("document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle"), "solid");
    let place =
        "[...document.querySelectorAll('#shelves .card')].indexOf(document.activeElement.closest('.card'))";
    browser.press("ArrowRight");
    assert_eq!(browser.value(place), 1);
    assert_eq!(browser.value("document.activeElement.dataset.action"), "like");
    browser.press("ArrowDown");
    let below = browser.value(place).as_u64().unwrap();
    assert!(below > 2, "down went to place {below}");
    browser.press("ArrowUp");
    assert_eq!(browser.value(place), 1);

    let declined = feed(browser)[1].clone();
    browser.press("x");
    browser.until(&format!("{EVENTS} === 4"));
    browser.until("/Not interested/.test(document.getElementById('live').textContent)");
    assert!(!feed(browser).contains(&declined));
    assert_eq!(browser.value(place), 1, "the focus was lost when the feed changed");

    browser.value("document.activeElement.closest('.card').querySelector('.cover').focus()");
    browser.press("Enter");
    browser.until("document.getElementById('detail').open");
    assert!(
        browser
            .value("document.getElementById('detail').innerText")
            .as_str()
            .unwrap()
            .contains("Why it is here")
    );
    browser.press("Escape");
    browser.until("!document.getElementById('detail').open");
    assert_eq!(browser.value(place), 1, "the focus did not come back from the dialog");
}

fn the_results_come_with_their_protocol(browser: &mut Browser) {
    browser.click("nav a[data-view=results]");
    browser.until("document.querySelectorAll('#report .forest tbody tr').length >= 3");
    assert_eq!(browser.value("document.querySelectorAll('#report .floor').length > 0 && document.querySelector('#report tbody tr').classList.contains('floor')"), true, "the floors do not stand first");
    assert_eq!(browser.value("document.querySelectorAll('#sure tr.best').length"), 1);
    assert_eq!(browser.value("/±/.test(document.getElementById('sure').textContent)"), true, "no interval");
    let protocol = browser.value("document.querySelector('#sure .small').textContent.toLowerCase()");
    for word in ["seed", "ties"] {
        assert!(protocol.as_str().unwrap().contains(word), "the protocol does not say {word}: {protocol}");
    }
    browser.picture("4-results");
}

fn the_trace_shows_every_stage_and_every_score(browser: &mut Browser) {
    browser.click("nav a[data-view=pipeline]");
    browser.until("document.querySelectorAll('#trace .stages > li').length >= 4");
    assert_eq!(
        browser.value("document.querySelectorAll('#trace .slate tbody tr:not(.group)').length"),
        browser.value("document.querySelectorAll('#shelves .card').length")
    );
    assert_eq!(browser.value("[...document.querySelectorAll('#trace .slate tbody td:last-child')].every(cell => /\\d/.test(cell.textContent))"), true);
    browser.value("(() => { const input = document.querySelector('#trace input'); input.value = 'a'; input.dispatchEvent(new Event('input')); })()");
    browser.until("document.querySelectorAll('#trace .found button').length > 0");
    browser.click("#trace .found button");
    browser.until("document.querySelector('#trace .answer details') !== null");
    browser.picture("5-pipeline");
}

fn a_known_viewer_has_a_history(browser: &mut Browser) {
    browser.click("nav a[data-view=feed]");
    browser.until("document.getElementById('viewer').options.length > 5");
    browser.value("(() => { const select = document.getElementById('viewer'); select.value = select.options[1].value; select.dispatchEvent(new Event('change')); })()");
    browser.until(&format!("document.querySelector('#history h2').textContent.startsWith('Their') && {EVENTS} > 4 && document.querySelectorAll('.card').length >= 10"));
    assert_eq!(browser.value("document.getElementById('onboarding').hidden"), true);
    browser.picture("6-known");
}

/// The large map's cloud of points.
const CLOUD: &str = "document.querySelector('.atlas .cloud').cloud";

fn the_map_appears_and_a_title_says_what_is_near(browser: &mut Browser) {
    browser.click("nav a[data-view=map]");
    browser.until("document.querySelector('.atlas .cloud')?.cloud.frames > 0");
    assert_eq!(browser.value(&format!("{CLOUD}.by")), "WebGL");
    let n = browser.value(&format!("{CLOUD}.n")).as_u64().unwrap();
    assert!(n > 9_000, "only {n} points");
    let drawn = browser.value(&format!("{DRAWN}({CLOUD})"));
    assert!(drawn.as_u64().unwrap() > 5_000, "only {drawn} pixels of points");
    assert_eq!(browser.value("[...document.querySelectorAll('.legend button')].some(button => /Western/.test(button.textContent))"), true);
    assert_eq!(
        browser.value("/Trust: how many/.test(document.querySelector('#atlas').textContent)"),
        true,
        "no numbers"
    );

    // A point that nothing covers: the one that is picked where it stands.
    let at = browser.value(&format!(
        "(() => {{ const c = {CLOUD}, r = c.box.getBoundingClientRect(); for (let i = 0; i < c.n; i += 1) {{ const [x, y] = c.at(i); if (c.pick(x, y) === i) return [r.left + x, r.top + y]; }} }})()"
    ));
    browser.point_at(at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
    browser.until("document.querySelectorAll('.about-title .near li').length >= 10");
    let said = browser.value("document.querySelector('.about-title').innerText");
    for modality in ["labels", "text", "audience"] {
        assert!(said.as_str().unwrap().contains(&format!("Nearest in {modality}")), "{said}");
    }
    browser.picture("9-map-hover");

    let before = browser.value(&format!("[{CLOUD}.yaw, {CLOUD}.frames]"));
    browser.value("document.querySelector('.atlas .cloud').focus()");
    browser.press("ArrowRight");
    browser.until(&format!("{CLOUD}.yaw !== {} && {CLOUD}.frames > {}", before[0], before[1]));
    browser.click(".stage .choices button:nth-child(2)");
    browser.until("/three directions/.test(document.querySelector('.stage').textContent)");
    browser.picture("9-map-pca");
    browser.click(".stage .choices button:nth-child(1)");
}

/// How many pixels of a cloud are of points.
const DRAWN: &str = r"((cloud) => {
  cloud.frame();
  const paper = new OffscreenCanvas(cloud.canvas.width, cloud.canvas.height).getContext('2d');
  paper.drawImage(cloud.canvas, 0, 0);
  const { data } = paper.getImageData(0, 0, cloud.canvas.width, cloud.canvas.height);
  let n = 0;
  for (let i = 3; i < data.length; i += 4) n += data[i] > 0;
  return n;
})";

fn play_moves_the_viewer_step_by_step(browser: &mut Browser) {
    const STEP: &str = "Number(document.getElementById('atlas').dataset.step)";
    let last = browser.value(STEP).as_i64().unwrap();
    assert!(last > 2, "a known viewer has a way of {last} steps");
    // From the end it starts anew.
    browser.click(".player .play");
    browser.until(&format!(
        "{STEP} >= 1 && {STEP} < {last} && document.querySelector('.play').textContent === 'Pause'"
    ));
    browser.click(".player .play");
    assert_eq!(browser.value("document.querySelector('.play').textContent"), "Play");
    let here = browser.value(STEP);
    browser.click(".player button[aria-label='One step on']");
    browser.until(&format!("{STEP} === {here} + 1"));
    assert_eq!(browser.value("/^\\d+ of \\d+/.test(document.querySelector('.said').textContent)"), true);
}

fn a_click_in_the_feed_moves_the_viewer_s_point(browser: &mut Browser) {
    browser.click("nav a[data-view=feed]");
    browser.until("/taste, after [0-9,]+ event/.test(document.getElementById('taste').textContent)");
    let place = "fetch(`/api/v2/map/viewer/${encodeURIComponent(document.getElementById('viewer').value)}`).then(a => a.json()).then(path => JSON.stringify(path.steps.at(-1).places))";
    let (before, said) =
        (browser.value(place), browser.value("document.querySelector('#taste h2').textContent"));
    browser.click("#shelves .card .like");
    browser.until(&format!("document.querySelector('#taste h2').textContent !== {said}"));
    assert_ne!(browser.value(place), before, "the point stands where it stood");
    assert_eq!(browser.value("/Liked/.test(document.querySelector('.said').textContent)"), true);
    browser.picture("9-feed-with-map");
}

fn the_journey_says_what_each_event_changed(browser: &mut Browser) {
    browser.click("nav a[data-view=journey]");
    browser.until("document.querySelectorAll('#steps .journey > li').length >= 5");
    let first = browser.value("document.querySelector('#steps .journey > li').innerText");
    let first = first.as_str().unwrap();
    assert!(first.contains("Liked") && first.contains("turned by") && first.contains("came in"), "{first}");
    assert_eq!(
        browser.value(
            "document.querySelectorAll('#steps .journey > li:first-child .slate-of li:not(.went)').length"
        ),
        10
    );
    assert_eq!(browser.value("document.querySelectorAll('#steps .went').length > 0"), true);
    browser.picture("9-journey");
}

fn it_fits_a_phone(browser: &mut Browser, demo: &Demo) {
    // A phone shrinks a page that is too wide, so the measure is the phone's width, not the page's idea of it.
    const FITS: &str = "document.scrollingElement.scrollWidth <= 390 && innerWidth === 390";
    browser.size(390, 844, true);
    browser.open(&format!("{}?phone=1", demo.address));
    browser.until("document.querySelectorAll('.card').length >= 5");
    for view in ["feed", "map", "journey", "results", "pipeline"] {
        browser.value(&format!("location.hash = '#{view}'"));
        browser.until(&format!("!document.getElementById('{view}').hidden"));
        assert_eq!(browser.value(FITS), true, "{view} is wider than a phone");
        browser.picture(&format!("7-phone-{view}"));
    }
    browser.value("location.hash = '#feed'");
    browser.until("!document.getElementById('feed').hidden");
    let low = browser.value("Math.min(...[...document.querySelectorAll('.card button[data-action]')].map(button => button.getBoundingClientRect().height))");
    assert!(low.as_f64().unwrap() >= 36.0, "buttons {low} pixels high are hard to touch");
    browser.click("#new-viewer");
    browser.until("document.querySelectorAll('.pick').length >= 8");
    assert_eq!(browser.value(FITS), true, "the picker is wider than a phone");
    browser.picture("7-phone-welcome");
    browser.size(1440, 1000, false);
}

/// The lowest contrast of any visible text against its background, by the WCAG formula, with the text. Covers are
/// left out: their backgrounds are drawn.
const LOWEST_CONTRAST: &str = r"(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let worst = { ratio: 99, text: '', seen: 0 };
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest('.cover, .unseen, option, select')) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    worst = ratio < worst.ratio ? { ratio, text: walker.currentNode.textContent, seen: worst.seen + 1 } : { ...worst, seen: worst.seen + 1 };
  }
  return worst;
})()";

fn it_can_be_read_in_light_and_dark(browser: &mut Browser) {
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
        for view in ["feed", "map", "journey", "results", "pipeline"] {
            browser.value(&format!("location.hash = '#{view}'"));
            browser.until(&format!("!document.getElementById('{view}').hidden"));
            let worst = browser.value(LOWEST_CONTRAST);
            assert!(worst["seen"].as_u64().unwrap() > 20, "{view} in {scheme}: hardly any text was found");
            assert!(
                worst["ratio"].as_f64().unwrap() >= 4.5,
                "{view} in {scheme}: contrast {} of {}",
                worst["ratio"],
                worst["text"]
            );
            browser.picture(&format!("8-{scheme}-{view}"));
        }
        grounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1], "dark looks like light");
}

fn markup_in_a_name_stays_text(browser: &mut Browser, demo: &Demo) {
    let name = "<img src=x onerror=document.title=1>";
    browser.open(&format!(
        "{}?viewer=%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D1%3E#pipeline",
        demo.address
    ));
    browser.until("document.querySelectorAll('#trace .stages > li').length >= 4");
    browser.until(&format!(
        "document.getElementById('viewer').value === {0} && document.body.innerText.includes({0})",
        Value::from(name)
    ));
    assert_eq!(browser.value("document.images.length"), 0);
}

fn a_server_that_does_not_answer_is_said_in_words(browser: &mut Browser, demo: &Demo) {
    browser.ask("Network.setBlockedURLs", serde_json::json!({ "urls": ["*/api/v2/*"] }));
    browser.open(&format!("{}?blocked=1", demo.address));
    browser.until("/does not answer/.test(document.getElementById('shelves').textContent) && /does not answer/.test(document.getElementById('sure').textContent)");
    browser.picture("9-blocked");
    browser.ask("Network.setBlockedURLs", serde_json::json!({ "urls": [] }));
    browser.click("#shelves button");
    browser.until("document.querySelectorAll('.card').length >= 5");
    browser.forget();
}

/// A small set with markup for a title.
fn films(folder: &std::path::Path) -> std::path::PathBuf {
    let mut ratings = String::from("userId,movieId,rating,timestamp\n");
    let mut movies = format!("movieId,title,genres\n0,{MARKUP} (1999),Western\n");
    for film in 1..40 {
        let genres = ["Western", "Comedy|Musical", "War|Drama"][film % 3];
        movies += &format!("{film},Film {film} ({}),{genres}\n", 1960 + film);
    }
    for user in 0..12 {
        for at in 0..8 {
            ratings += &format!("{user},{},4,{}\n", (user + 3 * at) % 40, 1_000_000 + 1_000 * at);
        }
    }
    let set = folder.join("films");
    std::fs::create_dir(&set).unwrap();
    std::fs::write(set.join("ratings.csv"), ratings).unwrap();
    std::fs::write(set.join("movies.csv"), movies).unwrap();
    set
}

/// That set drawn into one file; what `upnext map` printed, and the file.
fn map_file(folder: &std::path::Path) -> (Value, String) {
    let set = films(folder);
    let page = folder.join("map.html");
    let made = Command::new(env!("CARGO_BIN_EXE_upnext"))
        .args(["map", "--viewer", "0", "--json", "--out"])
        .args([&page, &set])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (serde_json::from_slice(&made.stdout).unwrap(), format!("file://{}", page.display()))
}

const MARKUP: &str = "</script><img src=x onerror=document.title=1>";

#[test]
fn the_map_as_one_file_needs_no_network_and_keeps_titles_text() {
    let Some(mut browser) = devtools::browser("the map as one file") else { return };
    let browser = &mut browser;
    let folder = tempfile::tempdir().unwrap();
    let (numbers, page) = map_file(folder.path());
    assert_eq!((&numbers["drawn"], &numbers["videos"]), (&40.into(), &40.into()));
    assert!(numbers["projections"][0]["purity"]["value"].as_f64().unwrap() > 0.9, "{numbers}");

    browser.ask("Network.setBlockedURLs", serde_json::json!({ "urls": ["http://*", "https://*"] }));
    browser.size(1440, 1000, false);
    browser.open(&page);
    browser.until("document.querySelector('.atlas .cloud')?.cloud.frames > 0");
    browser.until("document.querySelectorAll('#steps .journey > li').length === 8");
    browser.value("(() => { const input = document.querySelector('.search input'); input.value = '</script>'; input.dispatchEvent(new Event('input')); })()");
    browser.until("document.querySelectorAll('.search .found button').length === 1");
    browser.click(".search .found button");
    browser.until("document.querySelectorAll('.about-title .near li').length >= 5");
    assert_eq!(browser.value("document.querySelector('.about-title h2').textContent"), MARKUP);
    assert_eq!(browser.value("document.images.length + document.title"), "0films · taste map");
    browser.picture("9-file");
    assert_eq!(browser.complaints(), [""; 0], "the console is not silent");
    let requests = browser.requests();
    assert!(requests.iter().all(|url| url.starts_with("file://") || url == "about:blank"), "{requests:?}");
}

/// A red poster of two by three, as a BMP file.
fn poster() -> Vec<u8> {
    let (width, height) = (80u32, 120u32);
    let mut bytes = b"BM".to_vec();
    for number in [54 + 3 * width * height, 0, 54, 40, width, height, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([40u8, 30, 190].repeat((width * height) as usize));
    bytes
}

#[test]
fn pictures_of_a_run_are_shown_in_the_feed_on_the_map_and_in_its_file() {
    let Some(mut browser) = devtools::browser("pictures of a run") else { return };
    let browser = &mut browser;
    let folder = tempfile::tempdir().unwrap();
    let set = films(folder.path());
    let posters = folder.path().join("posters");
    std::fs::create_dir(&posters).unwrap();
    // The last film has none.
    (0..39).for_each(|film| std::fs::write(posters.join(format!("{film}.bmp")), poster()).unwrap());
    let run = folder.path().join("run");
    let upnext = |args: &[&std::ffi::OsStr]| {
        let made = Command::new(env!("CARGO_BIN_EXE_upnext")).args(args).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    upnext(&["import".as_ref(), set.as_ref(), "--out".as_ref(), run.as_ref()]);
    upnext(&["pictures".as_ref(), run.as_ref(), "--from".as_ref(), posters.as_ref()]);
    upnext(&["map".as_ref(), run.as_ref()]);
    let page = format!("file://{}", run.join("map.html").display());
    let served = Demo::of(&["serve", "run", "--listen", "127.0.0.1:0", "--json"], folder);

    const LOADED: &str =
        "image => image.complete && image.naturalWidth === 80 && image.naturalHeight === 120";
    const TOLD: &str = "[...document.querySelectorAll('.about-title .cover img')]";
    let find = |browser: &mut Browser, title: &str| {
        browser.value(&format!("(() => {{ const input = document.querySelector('.search input'); input.value = '{title}'; input.dispatchEvent(new Event('input')); }})()"));
        browser.until("document.querySelectorAll('.search .found button').length === 1");
        browser.click(".search .found button");
        browser.until(&format!("document.querySelector('.about-title h2')?.textContent === '{title}'"));
    };
    browser.size(1440, 1000, false);
    browser.prefer(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]);
    browser.open(&served.address);
    browser.until("document.querySelectorAll('#shelves .card').length >= 5");
    browser.until(&format!("(images => images.length >= 5 && images.slice(0, 5).every({LOADED}))([...document.querySelectorAll('#shelves .card .cover img')])"));
    browser.picture("10-pictures-feed");
    browser.click("nav a[data-view=map]");
    browser.until("document.querySelector('.atlas .cloud')?.cloud.frames > 0");
    let at = browser.value(&format!(
        "(() => {{ const c = {CLOUD}, r = c.box.getBoundingClientRect(); for (let i = 0; i < 39; i += 1) {{ const [x, y] = c.at(i); if (c.pick(x, y) === i) return [r.left + x, r.top + y]; }} }})()"
    ));
    browser.point_at(at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
    browser.until(&format!("{TOLD}.length === 1 && {TOLD}.every({LOADED})"));
    browser.picture("10-pictures-map-hover");
    find(browser, "Film 39");
    assert_eq!(browser.value(&format!("{TOLD}.length")), 0, "it has none, and its cover is drawn");
    let asked = browser.requests();
    assert!(!asked.iter().any(|url| url.ends_with("/39/picture")), "what has none is not asked for");
    assert!(asked.iter().any(|url| url.ends_with("/picture")));

    browser.ask("Network.setBlockedURLs", serde_json::json!({ "urls": ["http://*", "https://*"] }));
    browser.open(&page);
    browser.until("document.querySelector('.atlas .cloud')?.cloud.frames > 0");
    find(browser, "Film 5");
    browser.until(&format!("{TOLD}.length === 1 && {TOLD}.every({LOADED})"));
    browser.picture("10-pictures-file");
    assert_eq!(browser.complaints(), [""; 0], "the console is not silent");
}

/// Drawn by WebGL and without it. How long a frame takes is printed, not judged: machines differ.
#[test]
fn fifty_thousand_points_are_turned() {
    let Some(mut browser) = devtools::browser("a map of 50,000 points") else { return };
    let browser = &mut browser;
    let folder = tempfile::tempdir().unwrap();
    browser.size(1440, 1000, false);
    browser.open(&map_file(folder.path()).1);
    browser.until("document.querySelector('.atlas .cloud')?.cloud.frames > 0");
    for by in ["WebGL", "canvas"] {
        let turned = browser.value(&format!(
            r"(() => {{
              const Cloud = {CLOUD}.constructor;
              const box = document.createElement('div');
              box.className = 'cloud';
              Object.assign(box.style, {{ position: 'fixed', inset: '0', width: '1000px', height: '660px' }});
              document.body.append(box);
              const kept = HTMLCanvasElement.prototype.getContext;
              if ('{by}' === 'canvas') HTMLCanvasElement.prototype.getContext = function (kind, more) {{ return kind === 'webgl' ? null : kept.call(this, kind, more); }};
              const cloud = new Cloud(box, () => {{}});
              HTMLCanvasElement.prototype.getContext = kept;
              // Repeatable, and within a ball.
              cloud.stand(Float32Array.from({{ length: 150000 }}, (_, i) => 0.58 * Math.sin(i * i * 12.9898)));
              cloud.paint(new Uint8Array(200000).map((_, i) => (i % 4 === 3 ? 255 : (i * 37) % 200)), 2.6);
              cloud.fit();
              const took = cloud.measure(20).sort((a, b) => a - b);
              const drawn = {DRAWN}(cloud);
              box.remove();
              return {{ by: cloud.by, drawn, frames: cloud.frames, median: took[10], most: took[19] }};
            }})()"
        ));
        assert_eq!(turned["by"], by);
        let (frames, drawn) = (turned["frames"].as_u64().unwrap(), turned["drawn"].as_u64().unwrap());
        assert!(frames >= 20 && drawn > 20_000, "{turned}");
        println!(
            r#"{{"points":50000,"by":"{by}","median_ms":{:.1},"most_ms":{:.1}}}"#,
            turned["median"].as_f64().unwrap(),
            turned["most"].as_f64().unwrap()
        );
    }
    assert_eq!(browser.complaints(), [""; 0], "the console is not silent");
}
