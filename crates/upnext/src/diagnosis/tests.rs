//! Traits that are planted in generated sets are found, and not found where they are not planted.

use upnext_data::{Interaction, Interactions, Judgement, Query};
use upnext_math::Sparse;
use upnext_math::seed::Random;

use super::verdicts::Question;
use super::*;

const N_VIDEOS: usize = 120;
const N_USERS: usize = 300;
const LENGTH: usize = 16;

/// Sequences of videos with a second between two of them, each user beginning at a time of their own; the last of each is
/// the wanted one.
fn diagnosed(sequences: &[Vec<(u32, i64)>], content: Option<Content>) -> Diagnosis {
    let row = |&(video, time): &(u32, i64)| Interaction {
        video,
        time,
        value: None,
        judgement: Judgement::Positive,
        actions: upnext_data::Actions::default(),
    };
    let rows = |videos: &[(u32, i64)]| videos.iter().map(row).collect::<Vec<_>>();
    let train = sequences.iter().map(|videos| rows(&videos[..videos.len() - 1])).collect();
    let train = Interactions::from_users(N_VIDEOS, train);
    let validation: Vec<Query> = (0..)
        .zip(sequences)
        .map(|(user, videos)| {
            let history = train.history(user);
            let (video, time) = videos[videos.len() - 1];
            Query { user, masked: history.seen(), history, relevant: vec![video], at: Some(time) }
        })
        .collect();
    let training = Training {
        content: content.map(Arc::new),
        validation: &validation,
        ..Training::of(&train, Order::Timed, 1)
    };
    diagnose(&training, None).unwrap()
}

/// Walks of different videos: `next` draws a video from the walk so far; one that was seen is drawn again a few times, then
/// any other.
fn walks(mut next: impl FnMut(&[(u32, i64)], &mut Random) -> u32) -> Vec<Vec<(u32, i64)>> {
    let mut random = Random::new(7);
    (0..N_USERS as i64)
        .map(|user| {
            let mut walk: Vec<(u32, i64)> = Vec::new();
            while walk.len() < LENGTH {
                let time = user * 1_000_000 + walk.len() as i64 * 1_000;
                let seen = |video: u32| walk.iter().any(|&(known, _)| known == video);
                let video = (0..20).map(|_| next(&walk, &mut random)).find(|&video| !seen(video));
                let video = video.unwrap_or_else(|| {
                    (0..N_VIDEOS as u32)
                        .find(|&video| !seen(video))
                        .expect("there are more videos than steps")
                });
                walk.push((video, time));
            }
            walk
        })
        .collect()
}

fn holds(diagnosis: &Diagnosis, question: Question) -> bool {
    let verdict = diagnosis.verdicts.iter().find(|verdict| verdict.question == question);
    verdict.unwrap_or_else(|| panic!("{question:?} was not answered: {:?}", diagnosis.verdicts)).holds
}

/// Four steps of five go to the video after the last, in a ring.
fn chain() -> Vec<Vec<(u32, i64)>> {
    walks(|walk, random| match walk.last() {
        Some(&(last, _)) if random.below(5) > 0 => (last + 1) % N_VIDEOS as u32,
        _ => random.below(N_VIDEOS) as u32,
    })
}

/// Each user has a taste: one of five groups of 24 videos, in any order.
fn tastes() -> Vec<Vec<(u32, i64)>> {
    walks(|walk, random| {
        let group = walk.first().map_or_else(|| random.below(5) as u32, |&(first, _)| first / 24);
        group * 24 + random.below(24) as u32
    })
}

#[test]
fn in_a_markov_chain_the_last_video_decides_and_a_table_of_counts_masters_it() {
    let of = diagnosed(&chain(), None);
    assert!(
        holds(&of, Question::LastDecides) && !holds(&of, Question::OrderAddsNothing),
        "{}",
        of.in_words()
    );
    assert!(holds(&of, Question::Easy), "{}", of.in_words());
    assert!(
        of.suggested[..4].contains(&Kind::DirectedCosine) && of.suggested.ends_with(&[Kind::ClosedBlend])
    );
    let Section::There(transitions) = &of.transitions else { panic!("{:?}", of.transitions) };
    assert!(transitions.entropy_bits < transitions.entropy_shuffled_bits - 1.0, "{transitions:?}");
    assert!(transitions.seen > 0.7 && transitions.hops[0].reached < 0.5, "{transitions:?}");
}

#[test]
fn where_only_taste_matters_order_adds_nothing() {
    let of = diagnosed(&tastes(), None);
    assert!(
        holds(&of, Question::OrderAddsNothing) && !holds(&of, Question::LastDecides),
        "{}",
        of.in_words()
    );
    assert!(of.suggested.contains(&Kind::Ease));
    let Section::There(transitions) = &of.transitions else { panic!("{:?}", of.transitions) };
    // Order tells nothing beyond what sparse counts feign.
    assert!((transitions.entropy_bits - transitions.entropy_shuffled_bits).abs() < 0.2, "{transitions:?}");
}

/// Users come one after another; those of a time want the first of thirty videos most, which begin `span` videos further on
/// for the last user than for the first.
fn hits(span: usize) -> Vec<Vec<(u32, i64)>> {
    let mut n_users = 0;
    walks(|walk, random| {
        n_users += usize::from(walk.is_empty());
        let first = n_users.min(N_USERS) * span / N_USERS;
        (first + (30.0 * random.uniform().powi(3)) as usize) as u32
    })
}

#[test]
fn where_each_time_has_its_own_hits_popularity_drifts_and_where_hits_stay_it_does_not() {
    let of = diagnosed(&hits(N_VIDEOS - 30), None);
    assert!(holds(&of, Question::PopularityDrifts), "{}", of.in_words());
    let Section::There(drift) = &of.drift else { panic!("{:?}", of.drift) };
    assert!(drift.rank_correlation < drift.rank_correlation_at_once, "{drift:?}");
    assert!(of.suggested.contains(&Kind::PopularRecent));
    let of = diagnosed(&hits(0), None);
    assert!(!holds(&of, Question::PopularityDrifts), "{}", of.in_words());
}

/// Labels as vectors: a video of group `g` has a one there.
fn groups(of: impl Fn(u32) -> u32) -> Content {
    let rows = (0..N_VIDEOS as u32).map(|video| vec![(of(video), 1.0f32)]);
    Content::from_vectors(Sparse::from_rows(N_VIDEOS, rows))
}

#[test]
fn where_the_next_is_of_the_same_kind_content_is_smooth_and_not_where_kinds_are_drawn() {
    // Three steps of four stay among the ten videos of a kind.
    let smooth = walks(|walk, random| match walk.last() {
        Some(&(last, _)) if random.below(4) > 0 => last / 10 * 10 + random.below(10) as u32,
        _ => random.below(N_VIDEOS) as u32,
    });
    let of = diagnosed(&smooth, Some(groups(|video| video / 10)));
    assert!(holds(&of, Question::ContentSmooth), "{}", of.in_words());
    let Section::There(spaces) = &of.likeness else { panic!("{:?}", of.likeness) };
    assert!(spaces[0].ratio.unwrap() > 3.0 && spaces[0].next > spaces[0].of_viewer, "{spaces:?}");
    let of = diagnosed(&smooth, Some(groups(|video| video % 12)));
    assert!(!holds(&of, Question::ContentSmooth), "{}", of.in_words());
    assert!(!of.suggested.contains(&Kind::DirectedCosineContent));
}

#[test]
fn a_set_without_order_times_or_content_says_what_it_lacks() {
    let train: Vec<Vec<Interaction>> = tastes()
        .iter()
        .map(|walk| {
            let row = |&(video, _): &(u32, i64)| Interaction {
                video,
                time: 0,
                value: None,
                judgement: Judgement::Positive,
                actions: upnext_data::Actions::default(),
            };
            walk.iter().map(row).collect()
        })
        .collect();
    let train = Interactions::from_users(N_VIDEOS, train);
    let of = diagnose(&Training::of(&train, Order::Unordered, 1), None).unwrap();
    let json = serde_json::to_value(&of).unwrap();
    for key in ["transitions", "likeness", "drift"] {
        assert!(json[key]["absent"].as_str().unwrap().len() > 10, "{key}");
    }
    assert!(holds(&of, Question::OrderAddsNothing) && of.remarks[0].contains("no validation part"));
    assert_eq!(json["models"][0]["model"], "popular");
    assert!(!of.suggested.contains(&Kind::Slit), "it reads an order");
}
