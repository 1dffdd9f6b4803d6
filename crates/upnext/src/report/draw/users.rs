//! How much each user does, how far each watches, and who is hard to predict.

use super::html::{escape, known, lacks, number, of, table, whole};
use super::plot::{Figure, bins, up_by_ratio};
use super::{Answer, Context, bins_table, summary};
use crate::report::measure::Section;
use crate::report::measure::rank::EVENTS_MIN;

pub(super) fn activity(context: &Context) -> Answer {
    let users = &context.report.users;
    let mut answer = Answer::new("users", "Events of each user", "How much does one user do?");
    let (Some(describe), Some(histogram)) = (&users.events, &users.histogram) else {
        answer.put(lacks("the set has no events"));
        return answer;
    };
    let (traces, mut layout) = bins(histogram, "events of a user", "user");
    up_by_ratio(&mut layout, &histogram.counts);
    answer.draw(Figure {
        id: "plot-users",
        says: format!(
            "Half of the {} have at most {} events, a quarter more than {}; the least active has {}, the most active {}.",
            of(describe.count, "user"),
            number(describe.p50),
            number(describe.p75),
            number(describe.min),
            number(describe.max),
        ),
        protocol: context.protocol(&format!("{} with an event", of(describe.count, "user"))),
        table: bins_table(histogram, "Users by number of events"),
        height: 300,
        traces,
        layout,
    });
    answer.put(summary("events of a user", describe));
    answer
}

pub(super) fn target(context: &Context) -> Answer {
    let name = context.target();
    let mut answer = Answer::new(
        "user-means",
        "Mean of each user",
        format!("How does the mean {name} differ between users?"),
    );
    match &context.report.users.target {
        Section::Absent { absent } => answer.put(lacks(absent)),
        Section::There(spread) => {
            let describe = &spread.describe;
            let (traces, layout) = bins(&spread.histogram, &format!("mean {name} of a user"), "user");
            answer.draw(Figure {
                id: "plot-user-means",
                says: format!(
                    "Users' means reach from {} to {}; the middle half lies between {} and {}, around a median of {}.",
                    number(describe.min),
                    number(describe.max),
                    number(describe.p25),
                    number(describe.p75),
                    number(describe.p50),
                ),
                protocol: context.protocol(&format!("{} with a {name}", of(describe.count, "user"))),
                table: bins_table(&spread.histogram, &format!("Users by mean {name}")),
                height: 280,
                traces,
                layout,
            });
            answer.put(summary(&format!("mean {name} of a user"), describe));
        }
    }
    answer
}

pub(super) fn varied(context: &Context) -> Answer {
    let name = context.target();
    let mut answer = Answer::new("varied", "Hardest to predict", "Which users are hardest to predict?");
    match &context.report.users.most_varied {
        Section::Absent { absent } => answer.put(lacks(absent)),
        Section::There(users) => {
            if let Some(first) = users.first() {
                answer.say(format!(
                    "The {name} of user <span class=\"id\">{}</span> varies most: variance {} around a mean of {}. Of a user like \
                     this no constant is a good guess.",
                    escape(&first.user),
                    number(first.variance),
                    number(first.mean),
                ));
            }
            let rows = users.iter().map(|user| {
                [
                    escape(&user.user),
                    whole(user.events),
                    number(user.mean),
                    known(Some(user.variance)),
                    number(user.variance.sqrt()),
                ]
            });
            answer.put(table(
                &format!(
                    "Largest variance of the {name}, of users with at least {EVENTS_MIN} events that have one"
                ),
                &["user", "events", "mean", "variance", "std"],
                rows,
            ));
        }
    }
    answer
}
