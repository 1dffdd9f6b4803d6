//! The page of `upnext report` in a real browser: opened from a file, with no server and no network.
//! Without a browser this skips, loudly; with `UPNEXT_REQUIRE_BROWSER=1` it fails instead.
//! `UPNEXT_PICTURES=FOLDER` keeps pictures.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "the test of the feed uses the rest")]
mod devtools;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use devtools::Browser;
use serde_json::Value;

fn upnext(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_upnext")).args(arguments).output().expect("the binary runs")
}

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

/// Writes the report of some data and gives the page and the printed numbers.
fn report(data: &Path, folder: &Path, more: &[&str]) -> (PathBuf, Value) {
    let page = folder.join("report.html");
    let mut arguments = vec!["report", data.to_str().unwrap(), "--out", page.to_str().unwrap(), "--json"];
    arguments.extend(more);
    let output = upnext(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let numbers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let beside: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(numbers, beside, "the file and the printed numbers differ");
    (page, numbers)
}

/// Times, watch ratios and titles that try to be markup, scripts, formulas or places to fill in.
fn hostile(folder: &Path) -> PathBuf {
    let titles = [
        "<script>document.title='owned'</script>",
        "<img src=x onerror=\"document.title='owned'\">",
        "<a href=\"javascript:document.title='owned'\">click</a>",
        "%{x} @bar $\\\\alpha$ </script><script>document.title='owned'</script>",
        "影片：一只猫 & 一只狗",
    ];
    let mut lines = String::new();
    for user in 0..40 {
        for video in 0..30 {
            // Videos differ in how often they are watched.
            if (user * 7 + video * video) % (2 + video % 5) == 0 {
                continue;
            }
            let ratio = f64::from(user * 31 + video * 17).sin().abs() * 2.5;
            let time = 1_600_000_000_000i64 + i64::from(user * 3_600_000 + video * 7_200_000);
            lines += &serde_json::json!({
                "user_id": format!("u{user}<b>"), "video_id": format!("v{video}"), "watch_ratio": ratio, "timestamp": time,
                "title": titles[video as usize % titles.len()],
            })
            .to_string();
            lines.push('\n');
        }
    }
    let file = folder.join("hostile.jsonl");
    std::fs::write(&file, lines).unwrap();
    file
}

const SECTIONS: [&str; 17] = [
    "rows",
    "cleaning",
    "missing",
    "users",
    "user-means",
    "videos",
    "ends",
    "target",
    "engagement",
    "correlations",
    "relations",
    "projection",
    "time",
    "split",
    "leaks",
    "diagnosis",
    "varied",
];

/// Opens a page and waits until every plot is drawn; says how many.
fn open(browser: &mut Browser, page: &Path) -> u64 {
    browser.open(&format!("file://{}", page.display()));
    browser.until("Boolean(document.documentElement.dataset.drawn)");
    let plots = browser.value("document.querySelectorAll('.plot').length").as_u64().unwrap();
    let drawn = browser.value(
        "[...document.querySelectorAll('.plot')].filter(plot => plot.querySelectorAll('svg .point, svg path.js-line, svg .hm image, svg .heatmaplayer image').length > 0).length",
    );
    assert_eq!(drawn, plots, "some plots are empty");
    plots
}

#[test]
fn the_report_opens_in_a_real_browser_and_says_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = devtools::browser("the report") else { return };
    let browser = &mut browser;
    browser.size(1300, 900, false);
    browser.prefer(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]);

    let run = folder.path().join("movies");
    let imported = upnext(&["import", bundled("movies").to_str().unwrap(), "--out", run.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let (page, numbers) = report(&run, folder.path(), &[]);
    assert_eq!(numbers["dimensions"]["events"], 100_836);
    assert!(std::fs::metadata(&page).unwrap().len() < 6_000_000);
    let plots = open(browser, &page);
    assert!(plots >= 12, "only {plots} plots");
    for section in SECTIONS {
        let words = browser.value(&format!("document.querySelector('section#{section}').innerText.length"));
        assert!(words.as_u64().unwrap() > 60, "section {section} says {words} letters");
        assert_eq!(
            browser.value(&format!("document.querySelectorAll('nav a[href=\"#{section}\"]').length")),
            1
        );
    }
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for said in
        ["100,836 events", "610 users", "Forrest Gump", "No event has a watch ratio", "no daily statistics"]
    {
        assert!(text.contains(said), "{said}");
    }
    // Keys: the first stop skips to the report, and a table of numbers opens by Enter.
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.className"), "skip");
    browser.value("document.querySelector('figure summary').focus()");
    browser.press("Enter");
    browser.until("document.querySelector('figure details').open");
    pictures(browser, "movies");

    let mut grounds: Vec<serde_json::Value> = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
        browser.until("document.querySelector('#plot-users .point path') !== null");
        // Plots are drawn anew a moment after the page.
        if let Some(light) = grounds.first() {
            browser.until(&format!(
                "getComputedStyle(document.querySelector('#plot-users .xtitle')).fill !== {}",
                light[1]
            ));
        }
        grounds.push(browser.value(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('#plot-users .xtitle')).fill]",
        ));
        let worst = browser.value(LOWEST_CONTRAST);
        assert!(worst["seen"].as_u64().unwrap() > 100, "hardly any text was found");
        assert!(worst["ratio"].as_f64().unwrap() >= 4.5, "{scheme}: contrast of {worst}");
    }
    assert_ne!(grounds[0][0], grounds[1][0], "dark looks like light");
    assert_ne!(grounds[0][1], grounds[1][1], "plots stay light in the dark");
    browser.prefer(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]);

    let (page, numbers) = report(&bundled("kuairec"), folder.path(), &[]);
    assert!(numbers["time"]["absent"].as_str().unwrap().contains("no times"));
    assert_eq!(numbers["target"]["target"], "watch_ratio");
    open(browser, &page);
    let text = browser.value("document.body.innerText");
    for said in ["no times", "no daily statistics", "above 1", "Pearson"] {
        assert!(text.as_str().unwrap().contains(said), "{said}");
    }
    pictures(browser, "kuairec");

    let (page, _) = report(&hostile(folder.path()), folder.path(), &[]);
    open(browser, &page);
    assert_ne!(browser.value("document.title"), "owned");
    assert_eq!(browser.value("document.images.length"), 0);
    let text = browser.value("document.body.innerText");
    for said in ["<script>document.title='owned'</script>", "影片：一只猫 & 一只狗", "u0<b>"] {
        assert!(text.as_str().unwrap().contains(said), "{said}");
    }
    // A click on a dot's name leads nowhere: plots show names as text.
    assert_eq!(browser.value("document.querySelectorAll('.plot a[href]:not(.modebar-btn)').length"), 0);

    for width in [360, 800] {
        browser.size(width, 780, width < 500);
        browser.until("document.readyState === 'complete'");
        std::thread::sleep(std::time::Duration::from_millis(400));
        let wide = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert!(wide[0].as_f64().unwrap() <= wide[1].as_f64().unwrap(), "{width}: scrolls sideways, {wide}");
        pictures(browser, &format!("hostile-{width}"));
    }

    assert_eq!(browser.complaints(), [""; 0], "the console is not silent");
    let requests = browser.requests();
    assert!(requests.len() >= 3, "the network is not watched: {requests:?}");
    let foreign: Vec<_> = requests
        .iter()
        .filter(|url| !url.starts_with("file://") && !url.starts_with("data:") && *url != "about:blank")
        .collect();
    assert!(foreign.is_empty(), "requests off the file: {foreign:?}");
    assert!(
        requests.iter().filter(|url| url.starts_with("file://")).all(|url| url.ends_with("report.html")),
        "{requests:?}"
    );
}

/// Pictures of the whole page, a screen at a time, where they are asked for.
fn pictures(browser: &mut Browser, name: &str) {
    if std::env::var_os("UPNEXT_PICTURES").is_none() {
        return;
    }
    let height = browser.value("document.documentElement.scrollHeight").as_u64().unwrap();
    let screen = browser.value("innerHeight").as_u64().unwrap();
    for at in 0..height.div_ceil(screen).min(16) {
        browser.value(&format!("scrollTo({{ top: {}, behavior: 'instant' }})", at * screen));
        std::thread::sleep(std::time::Duration::from_millis(120));
        browser.picture(&format!("report-{name}-{at:02}"));
    }
    browser.value("scrollTo({ top: 0, behavior: 'instant' })");
}

/// The lowest contrast of any text against what lies behind it (WCAG 2.1, 1.4.3).
const LOWEST_CONTRAST: &str = "(() => {
  const rgba = colour => { const c = document.createElement('canvas').getContext('2d'); c.fillStyle = colour; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => { const l = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
  const known = new Map();
  let worst = { ratio: 99, text: '', seen: 0 };
  const walker = document.createTreeWalker(document.querySelector('.frame'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || e.closest('svg') || !e.checkVisibility()) continue;
    const key = e.tagName + '.' + e.className + ' in ' + e.parentElement.tagName + '.' + e.parentElement.className + ' ' + Boolean(e.closest('figure')) + Boolean(e.closest('.headline'));
    worst.seen += 1;
    if (known.has(key)) continue;
    known.set(key, true);
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst.ratio) worst = { ...worst, ratio, text: walker.currentNode.textContent };
  }
  return worst;
})()";

#[test]
fn a_run_folder_keeps_its_report_and_wrong_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    std::fs::write(&log, "user,video,time,rating\n1,10,1000,4\n1,11,2000,5\n1,12,3000,2\n2,10,1500,3\n")
        .unwrap();
    let run = folder.path().join("run");
    let imported = upnext(&["import", log.to_str().unwrap(), "--out", run.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    for _ in 0..2 {
        let output = upnext(&["report", run.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let manifest: Value = serde_json::from_slice(&std::fs::read(run.join("manifest.json")).unwrap()).unwrap();
    assert!(
        manifest["files"]["data-report.html"].is_object()
            && manifest["files"]["data-report.json"].is_object()
    );
    let numbers: Value =
        serde_json::from_slice(&std::fs::read(run.join("data-report.json")).unwrap()).unwrap();
    assert_eq!((&numbers["schema"], &numbers["dimensions"]["events"]), (&1.into(), &4.into()));
    assert_eq!(numbers["target"]["describe"]["mean"], 3.5);

    // What is no run passes through one, so it has the same numbers.
    let (_, mut of_file) = report(&log, folder.path(), &[]);
    assert_ne!(of_file["set"]["recognised"], numbers["set"]["recognised"]);
    of_file["set"]["recognised"] = numbers["set"]["recognised"].clone();
    assert_eq!(of_file, numbers);

    let wrong = upnext(&["report", run.to_str().unwrap(), "--out", "page.txt"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    let missing = upnext(&["report", folder.path().join("nothing").to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(1));
    let help = upnext(&["report", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("upnext report runs/mine"));
}
