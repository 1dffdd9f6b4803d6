//! How often each video is watched, and which are watched best and least.

use super::html::{bar, known, lacks, number, of, percent, table, video, whole};
use super::plot::{Figure, bins, up_by_ratio};
use super::{Answer, Context, bins_table, summary};
use crate::report::measure::Section;
use crate::report::measure::rank::{EVENTS_MIN, Ranked};

pub(super) fn popularity(context: &Context) -> Answer {
    let videos = &context.report.videos;
    let mut answer = Answer::new("videos", "Most watched videos", "Which videos get the attention?");
    let (Some(describe), Some(histogram)) = (&videos.events, &videos.histogram) else {
        answer.put(lacks("the set has no events"));
        return answer;
    };
    let (traces, mut layout) = bins(histogram, "events of a video", "video");
    up_by_ratio(&mut layout, &histogram.counts);
    let shares: Vec<String> = videos
        .share_of_top
        .iter()
        .map(|top| {
            let n = of(top.videos as u64, "video");
            format!(
                "the most watched {} % ({n}) carry {} of all events",
                top.top_percent,
                percent(top.percent)
            )
        })
        .collect();
    answer.draw(Figure {
        id: "plot-videos",
        says: format!(
            "Half of the {} with an event have at most {}; the most watched has {}. Here {}.",
            of(describe.count, "video"),
            number(describe.p50),
            number(describe.max),
            shares.join(", and "),
        ),
        protocol: context.protocol(&format!(
            "{} with an event; {} of the catalogue have none",
            of(describe.count, "video"),
            whole(videos.zero_events as u64)
        )),
        table: bins_table(histogram, "Videos by number of events"),
        height: 300,
        traces,
        layout,
    });
    answer.put(summary("events of a video", describe));
    answer.put(ranking(context, "The ten most watched videos", &videos.most));
    answer
}

fn ranking(context: &Context, caption: &str, videos: &[Ranked]) -> String {
    let most = videos.iter().map(|one| one.events).max().unwrap_or(1).max(1);
    let mean = format!("mean {}", context.target());
    let rows = videos.iter().map(|one| {
        [
            video(&one.video),
            whole(one.events),
            bar(one.events as f64 / most as f64),
            whole(one.users),
            known(one.target),
        ]
    });
    table(caption, &["video", "events", "", "users", &mean], rows)
}

pub(super) fn ends(context: &Context) -> Answer {
    let name = context.target();
    let videos = &context.report.videos;
    let mut answer = Answer::new(
        "ends",
        "Best and worst videos",
        format!("Which videos have the best and the worst {name}?"),
    );
    match &videos.target {
        Section::Absent { absent } => {
            answer.put(lacks(absent));
            return answer;
        }
        Section::There(spread) => {
            let describe = &spread.describe;
            let (traces, mut layout) = bins(&spread.histogram, &format!("mean {name} of a video"), "video");
            up_by_ratio(&mut layout, &spread.histogram.counts);
            answer.draw(Figure {
                id: "plot-video-means",
                says: format!(
                    "Videos' means reach from {} to {}, with a median of {}; the ends rest on few events, so the rankings below \
                     ask for at least {EVENTS_MIN}.",
                    number(describe.min),
                    number(describe.max),
                    number(describe.p50),
                ),
                protocol: context.protocol(&format!("{} with a {name}", of(describe.count, "video"))),
                table: bins_table(&spread.histogram, &format!("Videos by mean {name}")),
                height: 280,
                traces,
                layout,
            });
            answer.put(summary(&format!("mean {name} of a video"), describe));
        }
    }
    for (word, side) in [("best", &videos.best), ("worst", &videos.worst)] {
        match side {
            Section::Absent { absent } => answer.put(lacks(absent)),
            Section::There(side) => answer.put(ranking(
                context,
                &format!("The {word} mean {name}, of videos with at least {EVENTS_MIN} events"),
                side,
            )),
        }
    }
    answer
}
