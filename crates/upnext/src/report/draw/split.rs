//! What a model would be fitted on and asked, and what it could know that it should not.

use super::html::{escape, lacks, of, percent, table, video, whole};
use super::plot::{Figure, bars, up_by_ratio};
use super::{Answer, Context};
use crate::report::measure::Section;
use crate::report::measure::split::SplitFacts;

pub(super) fn sizes(context: &Context) -> Answer {
    let mut answer =
        Answer::new("split", "Split and overlaps", "What would a model be fitted on, and tested on?");
    let facts = match &context.report.split {
        Section::Absent { absent } => {
            answer.put(lacks(absent));
            return answer;
        }
        Section::There(facts) => facts,
    };
    answer.draw(parts(context, facts));
    let rows = facts.overlaps.iter().map(|overlap| {
        [
            format!("{} ∩ {}", overlap.a, overlap.b),
            whole(overlap.users as u64),
            whole(overlap.videos as u64),
            if overlap.pairs == 0 {
                "0".into()
            } else {
                format!("<strong class=\"bad\">{}</strong>", whole(overlap.pairs as u64))
            },
        ]
    });
    answer.put(table(
        "What two parts share; a pair in two parts would be a leak",
        &["parts", "users", "videos", "pairs"],
        rows,
    ));
    answer.say(format!(
        "{} and {} of the test have no pair in train.",
        of(facts.cold_users as u64, "user"),
        of(facts.cold_videos as u64, "video")
    ));
    if let Some((validation, test)) = &facts.cuts {
        answer.say(format!("Validation begins at {validation}, test at {test} (UTC)."));
    }
    answer
}

fn parts(context: &Context, facts: &SplitFacts) -> Figure {
    let names: Vec<String> = facts.parts.iter().map(|part| part.part.to_string()).collect();
    let counts: Vec<u64> = facts.parts.iter().map(|part| part.pairs as u64).collect();
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let texts = names.iter().zip(&counts).map(|(name, &n)| format!("{name}: {}", of(n, "pair"))).collect();
    let values: Vec<f64> = counts.iter().map(|&n| n as f64).collect();
    let (traces, mut layout) = bars(&names, &values, texts, "part", "pairs");
    up_by_ratio(&mut layout, &counts);
    let said: Vec<String> = facts
        .parts
        .iter()
        .map(|part| {
            format!(
                "{} has {} of {}",
                part.part,
                of(part.pairs as u64, "pair"),
                of(part.users as u64, "user")
            )
        })
        .collect();
    let rows = facts.parts.iter().map(|part| {
        [
            part.part.to_string(),
            whole(part.pairs as u64),
            percent(100.0 * part.pairs as f64 / total),
            whole(part.users as u64),
            whole(part.videos as u64),
        ]
    });
    Figure {
        id: "plot-split",
        says: format!("Under <code>{}</code>, {}.", escape(&facts.split), said.join(", ")),
        protocol: context.protocol(&format!(
            "split <code>{}</code>, relevant <code>{}</code>, seed {}; of held-out parts only relevant pairs count",
            escape(&facts.split),
            escape(&facts.relevance),
            facts.seed
        )),
        table: table("Sizes of the parts", &["part", "pairs", "share", "users", "videos"], rows),
        height: 250,
        traces,
        layout,
    }
}

pub(super) fn leaks(context: &Context) -> Answer {
    let mut answer = Answer::new("leaks", "Leaks", "Does anything leak?");
    let facts = match &context.report.split {
        Section::Absent { .. } => {
            answer.put(lacks("without a split there is nothing that could leak from one part to another"));
            return answer;
        }
        Section::There(facts) => facts,
    };
    let open = facts.leaks.iter().filter(|found| !found.handled).count() as u64;
    answer.say(match (facts.leaks.len(), open) {
        (0, _) => format!(
            "<span class=\"good\">Nothing was found</span> in the split <code>{}</code>.",
            escape(&facts.split)
        ),
        (n, 0) => format!("{} to know of, which the protocol makes harmless.", of(n as u64, "finding")),
        (_, open) => format!("<span class=\"bad\">{}</span> would make a headline wrong.", of(open, "leak")),
    });
    let rows = facts.leaks.iter().map(|found| {
        let leak =
            serde_json::to_value(found.leak).ok().and_then(|name| Some(name.as_str()?.replace('_', " ")));
        let example = found.example.as_ref().map_or_else(String::new, |(user, name)| {
            format!(" For example user <span class=\"id\">{}</span> and {}.", escape(user), video(name))
        });
        [
            leak.unwrap_or_default(),
            whole(found.count as u64),
            if found.handled { "handled" } else { "leak" }.to_string(),
            format!("{}.{example}", escape(&found.note)),
        ]
    });
    if !facts.leaks.is_empty() {
        answer.put(format!(
            "<div class=\"last\">{}</div>",
            table("Findings of the leakage linter", &["kind", "count", "state", "in words"], rows)
        ));
    }
    answer
}
