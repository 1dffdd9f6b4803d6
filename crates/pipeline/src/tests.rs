//! What a viewer meets, told on the small world of `testing`.

mod filters;
mod ranking;
mod rules;
mod sessions;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use upnext_data::{Action, Actions, History};
use upnext_math::Matrix;
use upnext_models::checkpoint::{Form, Writer};
use upnext_models::zoo::Fusion;
use upnext_models::{Context, Recommender};
use upnext_store::{Store, StoredVideo, VideoPatch, Write};

use crate::pipeline::{Filter, Reranker, Scorer, Source, StageError};
use crate::testing::{Broken, DAY, Fault, NOW, Together, World, dataset, feedback, ids, request, video};
use crate::{Allow, Candidate, FeedConfig, Query, ReasonKind, Request, Rerank, RerankSpace, Verdict};

fn broken(name: &'static str, how: Fault) -> Vec<Arc<dyn Recommender>> {
    vec![Arc::new(Broken { name, n: 15, how })]
}

fn plain(user: &str, n: usize) -> Request {
    Request { lambda: Some(1.0), ..request(user, n) }
}

#[test]
fn a_broken_source_does_not_empty_the_slate() {
    let whole = World::new().feed.recommend(&plain("u5", 5));
    for how in [Fault::Panic, Fault::NotANumber] {
        let response =
            World::with(FeedConfig::default(), broken("markov", how)).feed.recommend(&plain("u5", 5));
        assert_eq!(ids(&response), ids(&whole));
        assert_eq!(
            (response.failures[0].stage.as_str(), response.failures[0].part.as_str()),
            ("sources", "markov")
        );
    }
    assert!(whole.failures.is_empty());
}

#[test]
fn a_panicking_source_is_named_with_its_words() {
    let world = World::with(FeedConfig::default(), broken("ease", Fault::Panic));
    let response = world.ask("u5", 5);
    assert_eq!(response.failures.len(), 1);
    assert_eq!(response.failures[0].message, "panicked: the shelf fell down");
    let part = response.trace.stages[0].parts.iter().find(|part| part.name == "ease").unwrap();
    assert_eq!((part.count, part.note.as_deref()), (0, Some("failed")));
}

#[test]
fn a_model_that_cannot_say_why_costs_its_reasons_only() {
    let world = World::with(FeedConfig::default(), broken("markov", Fault::PanicInBecause));
    let response = world.feed.recommend(&plain("u5", 5));
    assert_eq!(response.slate.len(), 5);
    assert_eq!(response.failures.len(), 1);
    assert_eq!(
        (response.failures[0].stage.as_str(), response.failures[0].part.as_str()),
        ("served", "markov")
    );
    assert!(response.slate.iter().any(|slot| slot.reason.kind == ReasonKind::BecauseLiked));
}

#[test]
fn a_broken_main_model_leaves_a_personal_slate() {
    let dataset = dataset();
    let models = crate::FeedModels {
        main: Arc::new(Broken { name: "closed-blend", n: 15, how: Fault::Panic }),
        sources: vec![Arc::new(Together::new("markov", &dataset))],
        similarity: Arc::new(crate::rerank::SharedLabels::new(Arc::clone(&dataset))),
        fused: None,
        neighbours: Arc::new(Together::new("item-knn", &dataset)),
        indexes: std::collections::BTreeMap::new(),
    };
    let store = Arc::new(upnext_store::Memory::default());
    let feed = crate::Feed::new(FeedConfig::default(), dataset, Default::default(), models, store).unwrap();
    let response = feed.recommend(&plain("u7", 3));
    // u7 liked every crime but crime2, and comedy0.
    assert_eq!(response.slate[0].video, "crime2");
    let named: Vec<_> = response.failures.iter().map(|f| (f.stage.as_str(), f.part.as_str())).collect();
    assert_eq!(named, [("sources", "closed-blend"), ("scorers", "closed-blend")]);
    assert_eq!(response.slate[0].parts[0].0, "sources");
}

/// Components that break in every way a component can.
struct Wild(u8);

impl Source for Wild {
    fn name(&self) -> &str {
        "wild"
    }

    fn retrieve(&self, _: &Query, _: &Allow, _: usize) -> Result<Vec<(u32, f32)>, StageError> {
        match self.0 {
            0 => Err(StageError::new("the well is dry")),
            1 => panic!("{}", "a formatted panic"),
            2 => Ok(vec![(0, 1.0), (9_999, 1.0)]),
            _ => Ok(vec![(0, f32::INFINITY)]),
        }
    }

    fn rank(&self, _: &Query, _: &Allow, _: u32) -> Result<Option<usize>, StageError> {
        panic!("rank")
    }
}

impl Filter for Wild {
    fn name(&self) -> &str {
        "wild"
    }

    fn withhold(&self, _: &Query, allow: &mut Allow) -> Result<(), StageError> {
        // Half way through, it breaks.
        (0..10).for_each(|row| allow.refuse(row));
        Err(StageError::new("lost the list"))
    }

    fn keeps(&self, _: &Query, row: u32) -> Result<bool, StageError> {
        if row > 5 { panic!("keeps") } else { Ok(false) }
    }
}

impl Scorer for Wild {
    fn name(&self) -> &str {
        "wild"
    }

    fn score(&self, _: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        let part = Arc::from("wild");
        candidates[0].add(&part, 1e9);
        candidates[1].add(&part, f64::NAN);
        Ok(())
    }
}

impl Reranker for Wild {
    fn name(&self) -> &str {
        "wild"
    }

    fn rerank(&self, _: &Query, ranked: &[Candidate], _: usize) -> Result<Vec<usize>, StageError> {
        match self.0 {
            0 => Ok(vec![0, 1, 0]),
            1 => Ok(vec![ranked.len()]),
            2 => Err(StageError::new("no order")),
            _ => panic!("rerank"),
        }
    }
}

/// A source that answers only when it is let go.
struct Stuck(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Source for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }

    fn retrieve(&self, _: &Query, _: &Allow, _: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let _ = self.0.lock().unwrap().recv();
        Ok(vec![(0, 1.0)])
    }

    fn rank(&self, _: &Query, _: &Allow, _: u32) -> Result<Option<usize>, StageError> {
        Ok(None)
    }
}

#[test]
fn a_source_that_blocks_costs_its_deadline_twice_and_then_nothing_until_it_is_back() {
    let whole = World::new().feed.recommend(&plain("u5", 5));
    let mut world = World::new();
    let (release, wait) = std::sync::mpsc::channel();
    let stuck = Arc::new(Stuck(std::sync::Mutex::new(wait)));
    world.feed.pipeline.sources.push(stuck, std::time::Duration::from_millis(30));
    let ask = || {
        let response = world.feed.recommend(&plain("u5", 5));
        assert_eq!(response.slate, whole.slate);
        let failures: Vec<String> = response.failures.iter().map(|f| f.message.clone()).collect();
        assert!(
            response.failures.iter().all(|f| (f.stage.as_str(), f.part.as_str()) == ("sources", "stuck"))
        );
        failures
    };
    assert_eq!(ask(), ["did not answer within 30 ms"]);
    assert_eq!(ask(), ["did not answer within 30 ms"]);
    assert_eq!(ask(), ["is not asked: it still holds 2 threads of earlier requests"]);
    drop(release);
    let back = (0..1_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        ask().is_empty()
    });
    assert!(back, "it is asked again once it let go");
}

#[test]
fn a_main_model_that_blocks_leaves_a_slate_by_the_other_sources() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let config = FeedConfig { source_deadline_milliseconds: 50, ..FeedConfig::default() };
    let slow = Broken { name: "slow", n: 15, how: Fault::Blocks(std::sync::Mutex::new(wait)) };
    let world = World::ranked_by(
        Arc::new(slow),
        config,
        vec![Arc::new(Together::new("item-knn", &crate::testing::dataset()))],
    );
    let response = world.feed.recommend(&plain("u5", 5));
    assert_eq!(response.slate.len(), 5, "{:?}", response.failures);
    let told: Vec<(&str, &str)> =
        response.failures.iter().map(|f| (f.stage.as_str(), f.part.as_str())).collect();
    assert_eq!(told, [("sources", "slow"), ("scorers", "slow")], "{:?}", response.failures);
    drop(release);
}

#[test]
fn what_is_remembered_of_a_viewer_gives_way_to_the_next_event_and_to_an_earlier_clock() {
    let world = World::new();
    let first = world.ask("u0", 5);
    assert_eq!(world.ask("u0", 5).slate, first.slate);
    let liked = first.slate[0].video.clone();
    world.store.append(&[crate::testing::feedback("like", "u0", &liked, NOW)], Write::Accumulate).unwrap();
    let after = world.ask("u0", 5);
    assert!(!ids(&after).contains(&liked.as_str()));
    // Seen from before it, the like has not happened, whatever was asked last.
    let before = Request { now: NOW - 1, ..request("u0", 5) };
    assert_eq!(ids(&world.feed.recommend(&before)), ids(&first));
    assert_eq!(world.ask("u0", 5).slate, after.slate);
    // What is written for later counts from then on.
    let later = crate::testing::feedback("hate", "u0", ids(&after)[0], NOW + 10);
    world.store.append(&[later], Write::Accumulate).unwrap();
    assert_eq!(world.ask("u0", 5).slate, after.slate);
    let then = world.feed.recommend(&Request { now: NOW + 10, ..request("u0", 5) });
    assert!(!ids(&then).contains(&ids(&after)[0]));
}

#[test]
fn any_component_may_break_and_the_slate_is_as_if_it_were_not_there() {
    let whole = World::new().feed.recommend(&plain("u5", 5));
    for how in 0..4 {
        let mut world = World::new();
        let pipeline = &mut world.feed.pipeline;
        pipeline.sources.push(Arc::new(Wild(how)), std::time::Duration::from_secs(10));
        pipeline.filters.push(Box::new(Wild(how)));
        pipeline.scorers.push(Box::new(Wild(how)));
        pipeline.reranker = Box::new(Wild(how));
        let response = world.feed.recommend(&plain("u5", 5));
        assert_eq!(ids(&response), ids(&whole), "{:?}", response.failures);
        assert_eq!(response.slate, whole.slate);
        let stages: Vec<&str> = response.failures.iter().map(|failure| failure.stage.as_str()).collect();
        assert_eq!(stages, ["filters", "sources", "filters", "scorers", "rerank"]);
        assert!(
            response.failures.iter().all(|failure| failure.part == "wild" && !failure.message.is_empty())
        );
        // Whatever breaks, it can be explained.
        assert_eq!(world.feed.explain(&plain("u5", 5), ids(&whole)[0]).verdict, Verdict::Shown);
    }
}

#[test]
fn a_liked_video_leaves_and_its_neighbours_rise_in_the_very_next_request() {
    let world = World::new();
    world.tell("like", "new", "comedy1");
    let before = world.ask("new", 15);
    assert!(ids(&before).contains(&"space1"));
    let place = |response: &crate::Response, id: &str| ids(response).iter().position(|i| *i == id);
    world.tell("like", "new", "space1");
    let after = world.ask("new", 15);
    assert_eq!(place(&after, "space1"), None);
    for near in ["space0", "space2", "space3", "space4"] {
        assert!(place(&after, near) < place(&before, near), "{near}");
    }
    let risen: Vec<_> = after.slate[..3].iter().filter(|slot| slot.video.starts_with("space")).collect();
    assert!(risen.len() >= 2, "{:?}", ids(&after));
    let reason = &risen[0].reason;
    assert_eq!(
        (reason.text.as_str(), reason.video.as_deref()),
        ("because you liked Space 1", Some("space1"))
    );
}

#[test]
fn a_refused_video_never_returns_and_its_neighbours_sink() {
    let world = World::new();
    let place = |response: &crate::Response, id: &str| ids(response).iter().position(|i| *i == id).unwrap();
    let before = world.feed.recommend(&plain("nobody", 15));
    world.tell("not_interested", "nobody", "crime0");
    let after = world.feed.recommend(&plain("nobody", 15));
    assert!(!ids(&after).contains(&"crime0"));
    assert!(place(&after, "crime1") > place(&before, "crime1"));
    let damped = after.slate.iter().find(|slot| slot.video == "crime1").unwrap();
    assert!(damped.parts.iter().any(|(part, value)| part == "refused" && *value < 0.0));
    // Watching it afterwards does not bring it back; liking it makes it a positive.
    world.tell("watch", "nobody", "crime0");
    assert!(!ids(&world.ask("nobody", 15)).contains(&"crime0"));
}

#[test]
fn a_viewer_without_a_history_gets_a_sensible_feed_and_three_picks_make_it_theirs() {
    let world = World::new();
    let cold = world.ask("somebody", 6);
    assert_eq!(cold.slate[0].video, "comedy0", "what everybody liked");
    assert_eq!(cold.slate[0].reason.kind, ReasonKind::Popular);
    let genres: HashSet<&str> =
        ids(&cold).iter().take(3).map(|id| id.trim_end_matches(char::is_numeric)).collect();
    assert_eq!(genres.len(), 3, "varied: {:?}", ids(&cold));

    let picks = ["space0", "space1", "space2"].map(String::from).to_vec();
    let warm = world.feed.recommend(&Request { picks, ..request("somebody", 6) });
    let mut first: Vec<&str> = ids(&warm)[..2].to_vec();
    first.sort_unstable();
    assert_eq!(first, ["space3", "space4"]);
    assert_eq!(warm.slate[0].reason.text, "because you picked Space 2");
    assert!(ids(&warm).iter().all(|id| !["space0", "space1", "space2"].contains(id)));
}

#[test]
fn nobody_at_all_is_answered() {
    let world = World::new();
    let response = world.feed.recommend(&Request { n: 4, now: NOW, ..Request::default() });
    assert_eq!(response.slate.len(), 4);
    assert!(response.failures.is_empty());
    assert!(world.feed.recommend(&Request::default()).slate.is_empty());
}

#[test]
fn lambda_one_is_the_plain_ranking_and_less_is_more_varied() {
    let world = World::new();
    let plain = world.feed.recommend(&plain("u5", 10));
    let scores: Vec<f64> = plain.slate.iter().map(|slot| slot.score).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    assert!(plain.trace.moves.is_empty());

    let varied = world.feed.recommend(&Request { lambda: Some(0.3), ..request("u5", 10) });
    let mut same: Vec<&str> = ids(&varied);
    same.sort_unstable();
    let mut all = ids(&plain);
    all.sort_unstable();
    assert_eq!(same, all, "10 videos are all that is left, in another order");
    assert!(!varied.trace.moves.is_empty());
    for step in &varied.trace.moves {
        assert_eq!(ids(&varied)[step.to - 1], step.video);
        assert_eq!(ids(&plain)[step.from - 1], step.video);
    }
}

#[test]
fn each_re_rank_can_be_chosen_names_itself_and_is_plain_where_a_request_asks_for_that() {
    let genres_of = |response: &crate::Response, n: usize| {
        let of = |id: &str| id.trim_end_matches(char::is_numeric).to_string();
        let mut genres: Vec<String> = ids(response)[..n].iter().map(|id| of(id)).collect();
        genres.sort_unstable();
        genres.dedup();
        genres.len()
    };
    for (rerank, name) in [(Rerank::Mmr, "mmr"), (Rerank::Dpp, "dpp"), (Rerank::Caps, "caps")] {
        let config = FeedConfig { rerank, lambda: 0.1, cap_category: 1, ..FeedConfig::default() };
        let world = World::with(config, Vec::new());
        let unranked = world.feed.recommend(&plain("u5", 10));
        assert!(unranked.trace.moves.is_empty(), "{name}");
        let varied = world.ask("u5", 10);
        assert_eq!((varied.slate.len(), varied.failures.len()), (10, 0), "{name}");
        assert_eq!(varied.trace.stages.last().unwrap().parts[0].name, name);
        assert!(genres_of(&varied, 3) == 3 && genres_of(&unranked, 3) < 3, "{name}: {:?}", ids(&varied));
    }
}

#[test]
fn the_re_rank_goes_by_fused_vectors_unless_content_is_asked_for() {
    // Five axes, one for each number: `crime3` and `space3` are the same, `crime3` and `crime4` are not.
    let axes = (0..15).flat_map(|row| (0..5).map(move |axis| if row % 5 == axis { 1.0 } else { 0.0 }));
    let fused = Fusion::of_vectors(&Matrix::from_rows(15, 5, axes.collect()), 1.0);
    let slate = |rerank_space, rerank| {
        let config = FeedConfig { rerank_space, rerank, lambda: 0.1, ..FeedConfig::default() };
        let world = World::varied_by(Some(Arc::new(fused.clone())), config, Vec::new());
        ids(&world.ask("u5", 5)).into_iter().map(String::from).collect::<Vec<_>>()
    };
    for rerank in [Rerank::Mmr, Rerank::Dpp] {
        let by_number = slate(RerankSpace::Fused, rerank);
        let numbers: HashSet<char> = by_number.iter().filter_map(|id| id.chars().last()).collect();
        assert_eq!(numbers.len(), 5, "{by_number:?}");
        let config = FeedConfig { rerank, lambda: 0.1, ..FeedConfig::default() };
        let by_labels = World::with(config, Vec::new()).ask("u5", 5);
        assert_eq!(slate(RerankSpace::Content, rerank), ids(&by_labels));
    }
}

#[test]
fn a_video_that_only_variety_brought_in_says_so() {
    let world = World::new();
    let plain = world.feed.recommend(&plain("u5", 4));
    let varied = world.feed.recommend(&Request { lambda: Some(0.1), ..request("u5", 4) });
    let new: Vec<_> =
        varied.slate.iter().filter(|slot| !ids(&plain).contains(&slot.video.as_str())).collect();
    assert!(!new.is_empty());
    assert!(new.iter().all(|slot| slot.reason.kind == ReasonKind::Varied), "{new:?}");
}

#[test]
fn hidden_excluded_own_and_unasked_videos_stay_away() {
    let world = World::new();
    let all = |request: &Request| {
        world.feed.recommend(request).slate.into_iter().map(|slot| slot.video).collect::<Vec<_>>()
    };
    assert_eq!(all(&request("x", 50)).len(), 15);

    let hidden = StoredVideo { hidden: true, ..video("crime1", None, &[]) };
    world.store.put_videos(&[hidden, video("space3", None, &["Comedy"])]).unwrap();
    assert!(!all(&request("x", 50)).contains(&"crime1".to_string()));
    world.store.patch_video("crime1", &VideoPatch { hidden: Some(false), ..VideoPatch::default() }).unwrap();
    assert!(all(&request("x", 50)).contains(&"crime1".to_string()));
    world.store.delete_video("crime1").unwrap();
    assert!(!all(&request("x", 50)).contains(&"crime1".to_string()));

    let exclude = vec!["comedy0".to_string(), "never heard of".to_string()];
    assert!(!all(&Request { exclude, ..request("x", 50) }).contains(&"comedy0".to_string()));

    let own = all(&request("maker2", 50));
    assert!(own.iter().all(|id| !id.ends_with('2')), "{own:?}");

    let categories = vec!["Comedy".to_string()];
    let mut comedies = all(&Request { categories, ..request("x", 50) });
    comedies.sort_unstable();
    assert_eq!(comedies, ["comedy0", "comedy1", "comedy2", "comedy3", "comedy4", "space3"]);
    let both = vec!["Comedy".to_string(), "Space".to_string()];
    assert_eq!(all(&Request { categories: both, ..request("x", 50) }), ["space3"]);
    let written_out = vec!["tag:4".to_string(), "Crime".to_string()];
    assert_eq!(all(&Request { categories: written_out, ..request("x", 50) }), ["crime4"]);
    assert!(all(&Request { categories: vec!["Opera".to_string()], ..request("x", 50) }).is_empty());
}

#[test]
fn the_answer_is_full_though_the_best_are_filtered() {
    // Two candidates a source, and the five best of everybody are excluded beforehand.
    let config = FeedConfig { candidates_per_source: 2, ..FeedConfig::default() };
    let world = World::with(config, Vec::new());
    let exclude: Vec<String> = ids(&world.ask("x", 5)).iter().map(|id| (*id).to_string()).collect();
    let response = world.feed.recommend(&Request { exclude, ..request("x", 4) });
    assert_eq!(response.slate.len(), 4);
    let filters = &response.trace.stages[1];
    let excluded = filters.parts.iter().find(|part| part.name == "excluded").unwrap();
    assert_eq!((excluded.count, excluded.withheld, excluded.examples.len()), (5, 5, 5));
}

#[test]
fn a_new_video_of_the_store_appears_and_never_floods() {
    let world = World::new();
    let newcomers: Vec<StoredVideo> =
        (0..20).map(|at| video(&format!("new{at:02}"), Some(NOW - DAY * (20 - at)), &["Crime"])).collect();
    world.store.put_videos(&newcomers).unwrap();
    let response = world.ask("u5", 10);
    let new: Vec<&str> = ids(&response).into_iter().filter(|id| id.starts_with("new")).collect();
    assert_eq!(new, ["new19"], "the freshest, once in ten places");
    let slot = response.slate.iter().find(|slot| slot.video == "new19").unwrap();
    assert_eq!(slot.reason.kind, ReasonKind::New);
    assert_eq!(slot.parts[0].0, "newcomer");
    assert!(slot.score.is_finite());
    // Somebody unknown is shown the next, as this one had its turn; and once liked it leaves.
    assert!(ids(&world.ask("x", 10)).contains(&"new18"));
    world.tell("like", "u5", "new19");
    assert!(!ids(&world.ask("u5", 10)).contains(&"new19"));
}

#[test]
fn what_is_wanted_right_now_is_counted_from_the_store() {
    let world = World::new();
    for user in ["a", "b", "c"] {
        world.tell("like", user, "crime3");
        world.tell("like", user, "crime3");
    }
    world.tell("hate", "d", "space0");
    let response = world.ask("x", 15);
    let slot = response.slate.iter().find(|slot| slot.video == "crime3").unwrap();
    assert!(slot.sources.contains(&"popular-now".to_string()));
    assert_eq!(slot.reason.text, "popular right now");
    let now = response.trace.stages[0].parts.iter().find(|part| part.name == "popular-now").unwrap();
    assert_eq!(now.count, 1, "a refusal is not wanted");
    // Outside of the window it is over.
    let later = Request { now: NOW + 8 * DAY, ..request("x", 15) };
    let later = world.feed.recommend(&later);
    assert!(later.slate.iter().all(|slot| !slot.sources.contains(&"popular-now".to_string())));
}

#[test]
fn in_a_run_without_measures_a_watch_counts_without_one_or_from_half_on() {
    let is_wanted = |rule: &str, value: f64| {
        let world = World::judged_by(rule);
        let watch = upnext_store::Feedback { value, ..feedback("watch", "a", "crime3", NOW - 1) };
        world.store.append(&[watch], Write::Accumulate).unwrap();
        let response = world.ask("x", 15);
        let now = response.trace.stages[0].parts.iter().find(|part| part.name == "popular-now").unwrap();
        now.count == 1
    };
    assert_eq!([0.0, 0.5, 0.49].map(|value| is_wanted("liked or watch", value)), [true, true, false]);
    assert_eq!([0.0, 0.5, 1.0].map(|value| is_wanted("liked", value)), [false, false, false]);
}

#[test]
fn explain_names_the_stage_that_lost_a_video() {
    let world = World::new();
    world.store.put_videos(&[StoredVideo { hidden: true, ..video("space2", None, &[]) }]).unwrap();
    let explain = |request: &Request, video: &str| world.feed.explain(request, video);

    let shown = explain(&plain("u5", 3), "crime0");
    assert_eq!((shown.verdict, shown.place), (Verdict::Shown, Some(1)));
    assert!(shown.text.contains("Crime 0 is shown at place 1: because you liked"), "{}", shown.text);
    assert_eq!(shown.because[0].model, "closed-blend");
    let sum: f64 = shown.parts.iter().map(|(_, value)| value).sum();
    assert!((sum - shown.score.unwrap()).abs() < 1e-12);

    let seen = explain(&plain("u5", 3), "crime1");
    assert_eq!(seen.verdict, Verdict::Filtered);
    assert!(seen.text.contains("filter seen"), "{}", seen.text);
    assert!(explain(&plain("u5", 3), "space2").text.contains("filter hidden"));

    let below = explain(&plain("u5", 1), "space1");
    assert_eq!(below.verdict, Verdict::BelowTheCut);
    assert!(below.place > Some(1) && below.score < below.score_of_last_place);

    assert_eq!(explain(&Request { offset: 1, ..plain("u5", 1) }, "crime0").verdict, Verdict::OnEarlierPage);
    assert_eq!(explain(&plain("u5", 3), "nothing").verdict, Verdict::UnknownVideo);

    let moved = Request { lambda: Some(0.1), ..request("u5", 4) };
    let shown_with = world.feed.recommend(&moved);
    let shown_without = world.feed.recommend(&plain("u5", 4));
    let lost = ids(&shown_without).into_iter().find(|id| !ids(&shown_with).contains(id)).unwrap();
    assert_eq!(explain(&moved, lost).verdict, Verdict::MovedByRerank);
}

#[test]
fn explain_says_that_no_source_returned_it_and_its_rank_in_each() {
    let config = FeedConfig { candidates_per_source: 1, ..FeedConfig::default() };
    let world = World::with(config, Vec::new());
    let told = world.feed.explain(&plain("u5", 1), "space4");
    assert_eq!(told.verdict, Verdict::NotRetrieved);
    let rank = |name: &str| told.sources.iter().find(|source| source.name == name).unwrap().rank;
    assert!(rank("closed-blend") > Some(1) && rank("popular") > Some(1));
    assert_eq!(rank("popular-now"), None);
    assert!(told.text.contains("no source returned Space 4"), "{}", told.text);
}

#[test]
fn an_unknown_user_is_cold_and_an_unknown_pick_is_ignored() {
    let world = World::new();
    let anonymous = world.feed.recommend(&Request { n: 5, now: NOW, ..Request::default() });
    let unknown =
        world.feed.recommend(&Request { picks: vec!["no such video".into()], ..request("ghost", 5) });
    assert_eq!(ids(&unknown), ids(&anonymous));
}

#[test]
fn more_than_the_catalogue_gives_all_of_it_once() {
    let world = World::new();
    for n in [16, 1_000, usize::MAX] {
        let response = world.feed.recommend(&Request { offset: 0, ..request("x", n) });
        assert_eq!(ids(&response).into_iter().collect::<HashSet<_>>().len(), 15);
        assert_eq!(response.slate.len(), 15);
    }
    let beyond = world.feed.recommend(&Request { offset: usize::MAX, ..request("x", usize::MAX) });
    assert!(beyond.slate.is_empty() && beyond.failures.is_empty());
}

#[test]
fn pages_follow_one_another_without_overlap() {
    let world = World::new();
    let whole = world.ask("x", 12);
    let pages: Vec<String> = (0..3)
        .flat_map(|page| {
            let response = world.feed.recommend(&Request { offset: page * 4, ..request("x", 4) });
            response.slate.into_iter().map(|slot| slot.video).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(pages, ids(&whole));
}

#[test]
fn the_same_request_gives_the_same_slate_under_another_id() {
    let world = World::new();
    let (one, two) = (world.ask("u3", 8), world.ask("u3", 8));
    assert_eq!(one.slate, two.slate);
    assert_ne!(one.request_id, two.request_id);
}

#[test]
fn a_model_scores_once_in_a_request() {
    let world = World::new();
    world.ask("u3", 8);
    assert_eq!(world.main.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn the_trace_tells_every_stage_and_a_score_is_the_sum_of_its_parts() {
    let world = World::new();
    let response = world.ask("u5", 5);
    let stages: Vec<&str> = response.trace.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["sources", "filters", "scorers", "rerank"]);
    let json = serde_json::to_value(&response.trace).unwrap();
    assert_eq!(json["stages"][0]["in"], 0);
    assert_eq!(json["stages"][0]["out"], json["stages"][1]["in"]);
    assert_eq!(json["stages"][3]["out"], 5);
    assert_eq!(json["stages"][1]["parts"][0]["name"], "seen");
    assert_eq!(json["stages"][1]["parts"][0]["count"], 5, "u5 liked four crimes and comedy0");
    assert_eq!(json["stages"][1]["parts"][0]["examples"].as_array().unwrap().len(), 5);
    for slot in &response.slate {
        let sum: f64 = slot.parts.iter().map(|(_, value)| value).sum();
        assert!((sum - slot.score).abs() < 1e-9 && slot.score.is_finite());
        assert!(!slot.sources.is_empty() && !slot.reason.text.is_empty());
    }
    let reason = serde_json::to_value(&response.slate[0].reason).unwrap();
    assert_eq!(reason["kind"], "because_liked");
    assert!(reason["text"].as_str().unwrap().starts_with("because you liked"));
}

#[test]
fn a_long_caption_is_cut_in_a_sentence() {
    let world = World::new();
    let long = StoredVideo { comment: "漫".repeat(200), ..video("caption", Some(NOW), &[]) };
    world.store.put_videos(&[long]).unwrap();
    let stock = world.feed.stock(NOW);
    let row = stock.row("caption").unwrap();
    assert_eq!(stock.short_title(row), format!("{}…", "漫".repeat(60)));
    assert_eq!(stock.title(row).chars().count(), 200);
}

#[test]
fn a_deleted_user_of_the_run_starts_anew() {
    let world = World::new();
    let cold = world.ask("ghost", 5);
    world.store.put_users(&[upnext_store::StoredUser { id: "u5".into(), ..Default::default() }]).unwrap();
    assert_ne!(ids(&world.ask("u5", 5)), ids(&cold));
    world.store.delete_user("u5").unwrap();
    assert_eq!(ids(&world.ask("u5", 5)), ids(&cold));
}

/// Keeps who asked, and what was done to the newest video of the past.
struct Listening(Mutex<Vec<(Option<u32>, Option<Actions>)>>);

impl Recommender for Listening {
    fn name(&self) -> &str {
        "ease"
    }

    fn n_videos(&self) -> usize {
        15
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        scores.fill(0.0);
        self.0.lock().unwrap().push((context.user, history.past().last().map(|past| past.actions)));
    }

    fn save(&self, _writer: &mut Writer<'_>) -> Form {
        unreachable!("a model of tests is never saved")
    }
}

#[test]
fn models_hear_who_asks_and_what_was_done() {
    let model = Arc::new(Listening(Mutex::new(Vec::new())));
    let world = World::with(FeedConfig::default(), vec![model.clone() as Arc<dyn Recommender>]);
    world.tell("watch", "u5", "space1");
    world.tell("like", "u5", "space1");
    let heard = |user: &str| {
        world.ask(user, 5);
        model.0.lock().unwrap().pop().unwrap()
    };
    let row = dataset().users.row("u5");
    let (user, actions) = heard("u5");
    assert!(row.is_some() && user == row);
    assert!([Action::Watch, Action::Like].iter().all(|action| actions.unwrap().has(*action)));
    world.tell("teleported", "u5", "space2");
    assert_eq!(heard("u5").1, Some(Actions::default()), "nobody knows what that is");
    assert_eq!(heard("ghost").0, None);
    world.store.put_users(&[upnext_store::StoredUser { id: "u5".into(), ..Default::default() }]).unwrap();
    world.store.delete_user("u5").unwrap();
    assert_eq!(heard("u5"), (None, None));
}

#[test]
fn shelves_have_names_people_know_and_share_no_video() {
    let world = World::new();
    world.store.put_videos(&[video("fresh", Some(NOW - DAY), &["Space"])]).unwrap();
    world.tell("like", "u5", "space1");
    let feed = world.feed.shelves(&request("u5", 3));
    let names: Vec<&str> = feed.shelves.iter().map(|shelf| shelf.name.as_str()).collect();
    assert_eq!(names[0], "Top picks for you");
    assert!(names.contains(&"Because you liked Space 1") || feed.shelves[0].items.len() >= 3, "{names:?}");
    assert!(names.contains(&"Most popular"), "{names:?}");
    let all: Vec<&str> =
        feed.shelves.iter().flat_map(|shelf| &shelf.items).map(|slot| slot.video.as_str()).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert!(!all.contains(&"space1"));
    let cold = world.feed.shelves(&request("somebody", 3));
    assert_eq!(cold.shelves[0].name, "Most popular");
    assert!(cold.failures.is_empty());
}

#[test]
fn neighbours_of_videos_and_of_users() {
    let world = World::new();
    world.store.put_videos(&[video("fresh", None, &["Space"])]).unwrap();
    let near = world.feed.neighbors("space1", 4).unwrap();
    assert!(near.iter().all(|scored| scored.id != "space1" && scored.score.is_finite()));
    assert!(near[0].id.starts_with("space"));
    assert!(world.feed.neighbors("fresh", 3).unwrap().iter().all(|scored| scored.id.starts_with("space")));
    assert_eq!(world.feed.neighbors("nothing", 3), None);

    let near = world.feed.user_neighbors("u5", 4).unwrap();
    let mut users: Vec<&str> = near.iter().map(|scored| scored.id.as_str()).collect();
    users.sort_unstable();
    assert_eq!(users, ["u6", "u7", "u8", "u9"]);
    assert!((near[0].score - 4.0 / 5.0).abs() < 1e-9, "three crimes and comedy0 of five each: {near:?}");
    assert_eq!(world.feed.user_neighbors("ghost", 4), None);
}

#[test]
fn lists_for_everybody_leave_out_what_the_user_has_seen() {
    let world = World::new();
    world.store.put_videos(&[video("fresh", Some(NOW), &["Space"])]).unwrap();
    let everybody = Request { n: 3, now: NOW, ..Request::default() };
    assert_eq!(world.feed.popular(&everybody)[0].id, "comedy0");
    assert_ne!(world.feed.popular(&request("u5", 3))[0].id, "comedy0");
    assert_eq!(world.feed.latest(&everybody)[0].id, "fresh");
    assert_eq!(world.feed.latest(&everybody)[1].id, "space4");
    let second = world.feed.latest(&Request { offset: 1, ..everybody });
    assert_eq!((second[0].id.as_str(), second.len()), ("space4", 3));
}

#[test]
fn titles_are_found_and_an_empty_query_shows_well_known_ones_of_every_genre() {
    let world = World::new();
    world.store.put_videos(&[video("fresh", Some(NOW), &["Space"])]).unwrap();
    let found =
        |query: &str| world.feed.search(query, 3).into_iter().map(|scored| scored.id).collect::<Vec<_>>();
    assert_eq!(found("CRIME 3"), ["crime3"]);
    assert_eq!(found("title fre"), ["fresh"]);
    assert_eq!(found("comedy 1990"), ["comedy0"]);
    assert!(found("zzz").is_empty());
    let genres: HashSet<String> =
        found("").iter().map(|id| id.trim_end_matches(char::is_numeric).to_string()).collect();
    assert_eq!(genres.len(), 3);
}

#[test]
fn cards_histories_viewers_and_numbers_are_real() {
    let world = World::new();
    world.store.put_videos(&[video("fresh", Some(NOW), &["Space"])]).unwrap();
    world.tell("hate", "guest", "crime0");
    let card = world.feed.card("crime2").unwrap();
    assert_eq!((card.title.as_str(), card.year, card.wanted), ("Crime 2", Some(1997), 4));
    assert_eq!(card.labels["genre"], ["Crime"]);
    assert_eq!(card.creator.as_deref(), Some("maker2"));
    let card = world.feed.card("fresh").unwrap();
    assert_eq!((card.title.as_str(), card.in_run), ("Title of fresh", false));
    assert_eq!(world.feed.card("nothing"), None);

    let history = world.feed.history("guest", 5);
    assert_eq!((history.len(), history[0].judgement, history[0].title.as_str()), (1, "negative", "Crime 0"));
    assert_eq!(world.feed.history("u5", 2)[0].video, "comedy0", "newest first");

    let viewers = world.feed.viewers(6);
    assert_eq!((viewers[0].user.as_str(), viewers[0].recent), ("guest", true));
    assert_eq!(viewers[1].genres.len(), 2, "crime and comedy: {:?}", viewers[1]);
    assert!(viewers.len() == 6 && viewers[1..].iter().all(|viewer| viewer.events == 5));

    let about = world.feed.about();
    assert_eq!((about.users, about.videos, about.events, about.newcomers), (15, 15, 70, 1));
    assert_eq!(about.models, ["closed-blend"]);
    assert!(world.feed.knows("u5") && world.feed.knows("guest") && !world.feed.knows("ghost"));
}

#[test]
fn a_setting_out_of_bounds_or_a_model_of_another_run_is_refused() {
    let dataset = dataset();
    let model = |n| Arc::new(Broken { name: "m", n, how: Fault::NotANumber });
    let make = |config, n| {
        let models = crate::FeedModels {
            main: model(n),
            sources: Vec::new(),
            similarity: Arc::new(crate::rerank::SharedLabels::new(Arc::clone(&dataset))),
            fused: None,
            neighbours: model(15),
            indexes: std::collections::BTreeMap::new(),
        };
        let store = Arc::new(upnext_store::Memory::default());
        crate::Feed::new(config, Arc::clone(&dataset), Default::default(), models, store)
            .err()
            .map(|e| e.to_string())
    };
    assert_eq!(make(FeedConfig::default(), 15), None);
    assert!(make(FeedConfig::default(), 14).unwrap().contains("model m knows 14 videos, but the run has 15"));
    let config = FeedConfig { lambda: -1.0, ..FeedConfig::default() };
    assert!(make(config, 15).unwrap().contains("`lambda` is -1"));
}

#[test]
fn many_threads_ask_while_others_write() {
    let world = World::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let user = format!("t{thread}");
                for at in 0..30 {
                    let liked = format!("crime{}", at % 5);
                    world
                        .store
                        .append(&[feedback("like", &user, &liked, NOW - 30 + at)], Write::Overwrite)
                        .unwrap();
                    world.store.put_videos(&[video(&format!("n{thread}-{at}"), Some(NOW), &[])]).unwrap();
                    let response = world.ask(&user, 5);
                    assert!(!ids(&response).contains(&liked.as_str()), "the next answer reflects the event");
                    assert_eq!((response.slate.len(), response.failures.len()), (5, 0));
                }
            });
        }
    });
}
