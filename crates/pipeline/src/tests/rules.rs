//! What an editor decides.

use upnext_store::{Store, StoredUser};

use crate::testing::{NOW, World, ids, request};
use crate::{
    FeedConfig, ReasonKind, Request, Response, Rule, RuleAction, RuleAudience, RuleMode, Segment, Verdict,
};

fn rule(name: &str, action: RuleAction, videos: &[&str]) -> Rule {
    Rule {
        name: name.into(),
        action,
        place: 1,
        amount: 0.5,
        videos: videos.iter().map(|id| (*id).to_string()).collect(),
        filter: None,
        from: None,
        until: None,
        audience: RuleAudience::default(),
        dry_run: false,
    }
}

fn pin(name: &str, place: usize, videos: &[&str]) -> Rule {
    Rule { place, ..rule(name, RuleAction::Pin, videos) }
}

fn world(rules: Vec<Rule>) -> World {
    World::with(FeedConfig { rules, ..FeedConfig::default() }, Vec::new())
}

fn plain(user: &str, n: usize) -> Request {
    Request { lambda: Some(1.0), ..request(user, n) }
}

fn place(response: &Response, id: &str) -> Option<usize> {
    ids(response).iter().position(|one| *one == id).map(|at| at + 1)
}

fn messages(response: &Response) -> Vec<&str> {
    assert!(response.failures.iter().all(|failure| failure.stage == "rules"), "{:?}", response.failures);
    response.failures.iter().map(|failure| failure.message.as_str()).collect()
}

#[test]
fn a_pinned_video_stands_at_its_place_whoever_finds_it_and_says_so() {
    let config = FeedConfig {
        candidates_per_source: 4,
        rules: vec![pin("autumn", 2, &["space4", "space3"])],
        ..FeedConfig::default()
    };
    let world = World::with(config, Vec::new());
    // For a viewer of crimes, and with the re-rank at work.
    for asked in [plain("u5", 4), request("u5", 4)] {
        let response = world.feed.recommend(&asked);
        assert_eq!((place(&response, "space4"), place(&response, "space3")), (Some(2), Some(3)));
        assert_eq!(response.slate[1].reason.kind, ReasonKind::Pinned);
        assert_eq!(response.slate[1].reason.text, "placed here by the rule autumn");
        assert_eq!((response.trace.rules[0].rule.as_str(), response.trace.rules[0].videos), ("autumn", 2));
    }
    let told = world.feed.explain(&plain("u5", 4), "space4");
    assert_eq!(told.text, "Space 4 is shown at place 2: placed here by the rule autumn");
    // A rule shows nothing that a filter removes.
    world.tell("like", "u5", "space4");
    let response = world.feed.recommend(&plain("u5", 4));
    assert_eq!((place(&response, "space4"), place(&response, "space3")), (None, Some(3)));
    // Beyond the end it stands last.
    world.feed.set_rules(vec![pin("far", 900, &["space3"])]).unwrap();
    let all = world.feed.recommend(&plain("u5", 50));
    assert_eq!(place(&all, "space3"), Some(all.slate.len()));
}

#[test]
fn a_pin_to_a_later_page_of_a_session_stands_there() {
    let world = world(vec![pin("later", 5, &["space4"])]);
    let page = || world.feed.recommend(&Request { session: Some("s".into()), ..plain("u5", 3) });
    let pages = [page(), page(), page()];
    assert_eq!(pages.each_ref().map(|page| place(page, "space4")), [None, Some(2), None]);
}

#[test]
fn a_boost_lifts_a_bury_sinks_and_both_stand_among_the_parts() {
    let before = world(Vec::new()).feed.recommend(&plain("u5", 11));
    let bury = Rule {
        filter: Some("genre:Crime or creator:maker0".into()),
        amount: 2.0,
        ..rule("less", RuleAction::Bury, &[])
    };
    let world = world(vec![rule("more", RuleAction::Boost, &["space4"]), bury]);
    let after = world.feed.recommend(&plain("u5", 11));
    assert!(place(&after, "space4") < place(&before, "space4"));
    assert_eq!(before.slate[0].video, "crime0");
    assert!(place(&after, "crime0") > Some(6), "{:?}", ids(&after));
    let slot = after.slate.iter().find(|slot| slot.video == "space4").unwrap();
    assert!(slot.parts.iter().any(|(part, value)| part == "rule more" && *value > 0.0), "{:?}", slot.parts);
    assert!((slot.parts.iter().map(|(_, value)| value).sum::<f64>() - slot.score).abs() < 1e-12);
    let told = world.feed.explain(&plain("u5", 2), "crime0");
    assert_eq!(told.verdict, Verdict::BelowTheCut);
    assert!(told.text.contains("; the rule less adds -"), "{}", told.text);
    assert!(after.failures.is_empty());
}

#[test]
fn a_rule_holds_in_its_time_and_for_its_audience() {
    let holds = |rule: Rule, asked: &Request| {
        let world = world(vec![rule]);
        let labels = serde_json::json!({"plan": ["free"]});
        world.store.put_users(&[StoredUser { id: "ann".into(), labels, ..StoredUser::default() }]).unwrap();
        place(&world.feed.recommend(asked), "space4") == Some(1)
    };
    let pin = || pin("p", 1, &["space4"]);
    // `NOW` is 2024-10-04T00:00:00Z.
    let (at, later) =
        (Some("2024-10-04T00:00:00Z".to_string()), Some("2024-10-04T00:00:00.001Z".to_string()));
    assert!(holds(Rule { from: at.clone(), ..pin() }, &plain("ann", 3)));
    assert!(!holds(Rule { from: later.clone(), ..pin() }, &plain("ann", 3)));
    assert!(!holds(Rule { until: at, ..pin() }, &plain("ann", 3)));
    assert!(holds(Rule { until: later, ..pin() }, &plain("ann", 3)));

    let to = |audience| Rule { audience, ..pin() };
    let segment = |segment| to(RuleAudience { segment: Some(segment), ..RuleAudience::default() });
    assert!(
        holds(segment(Segment::Cold), &plain("ann", 3)) && !holds(segment(Segment::Cold), &plain("u5", 3))
    );
    assert!(
        holds(segment(Segment::Known), &plain("u5", 3)) && !holds(segment(Segment::Known), &plain("ann", 3))
    );
    let label = || to(RuleAudience { label: Some("plan:free".into()), ..RuleAudience::default() });
    assert!(holds(label(), &plain("ann", 3)) && !holds(label(), &plain("bob", 3)));
    let tv = || to(RuleAudience { device: Some("tv".into()), ..RuleAudience::default() });
    assert!(
        holds(tv(), &Request { device: Some("TV".into()), ..plain("ann", 3) })
            && !holds(tv(), &plain("ann", 3))
    );
}

#[test]
fn of_rules_that_contradict_each_other_the_first_holds_and_the_answer_says_why() {
    let twice = world(vec![pin("a", 1, &["space4"]), pin("b", 3, &["space4"])]);
    let response = twice.feed.recommend(&plain("u5", 5));
    assert_eq!((place(&response, "space4"), response.slate.len()), (Some(1), 5));
    assert_eq!(
        messages(&response),
        ["rule b pins space4 to place 3, but rule a pins it to place 1: the first rule holds"]
    );

    let one_place = world(vec![pin("a", 1, &["space4", "space3"]), pin("b", 2, &["space1"])]);
    let response = one_place.feed.recommend(&plain("u5", 5));
    assert_eq!((place(&response, "space3"), response.slate.len()), (Some(2), 5));
    assert_eq!(
        messages(&response),
        ["rule b pins space1 to place 2, where rule a pins space3: the first rule holds"]
    );

    let sunk = world(vec![rule("low", RuleAction::Bury, &["space4"]), pin("high", 1, &["space4"])]);
    let response = sunk.feed.recommend(&plain("u5", 5));
    assert_eq!(place(&response, "space4"), Some(1));
    assert_eq!(
        messages(&response),
        ["rule low buries space4, which rule high pins to place 1: the pin holds"]
    );

    let both = world(vec![
        rule("up", RuleAction::Boost, &["space4", "gone"]),
        rule("down", RuleAction::Bury, &["space4", "space3"]),
    ]);
    let response = both.feed.recommend(&plain("u5", 5));
    let up =
        world(vec![rule("up", RuleAction::Boost, &["space4"]), rule("down", RuleAction::Bury, &["space3"])]);
    assert_eq!(ids(&response), ids(&up.feed.recommend(&plain("u5", 5))));
    assert_eq!(
        messages(&response),
        [
            "rule up names video gone, which nobody has heard of",
            "rule down buries space4, which rule up boosts: the first rule holds"
        ]
    );
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let before = world(Vec::new()).feed.recommend(&plain("u5", 3));
    let dry = Rule { dry_run: true, ..pin("try", 1, &["space4"]) };
    for (rules, mode) in [(vec![dry], RuleMode::Live), (vec![pin("try", 1, &["space4"])], RuleMode::Dry)] {
        let response = world(rules).feed.recommend(&Request { rules: mode, ..plain("u5", 3) });
        assert_eq!(response.slate, before.slate);
        let told = &response.trace.rules;
        assert_eq!((told.len(), told[0].rule.as_str(), told[0].dry_run), (1, "try", true));
        let changes: Vec<_> =
            response.trace.would_change.iter().map(|c| (c.video.as_str(), c.from, c.to)).collect();
        let (first, second, third) = (ids(&before)[0], ids(&before)[1], ids(&before)[2]);
        assert_eq!(
            changes,
            [
                ("space4", None, Some(1)),
                (first, Some(1), Some(2)),
                (second, Some(2), Some(3)),
                (third, Some(3), None)
            ]
        );
    }
    assert!(before.trace.rules.is_empty() && before.trace.would_change.is_empty());
}

#[test]
fn a_rule_that_cannot_be_used_is_named_and_the_old_ones_go_on() {
    let world = world(vec![pin("good", 1, &["space4"])]);
    let refused = |rule: Rule| world.feed.set_rules(vec![rule]).unwrap_err().to_string();
    let boost = || rule("b", RuleAction::Boost, &["space4"]);
    assert_eq!(
        refused(Rule { amount: f64::NAN, ..boost() }),
        "rule \"b\": `amount` is NaN; expected a finite number above 0"
    );
    assert!(refused(Rule { amount: -1.0, ..boost() }).contains("`amount` is -1"));
    assert!(refused(pin("p", 0, &["space4"])).contains("`place` is 0; expected a place from 1"));
    assert!(refused(rule("p", RuleAction::Pin, &[])).contains("`videos` is empty"));
    assert!(
        refused(Rule { filter: Some("genre".into()), ..rule("f", RuleAction::Bury, &[]) })
            .contains("at character 6")
    );
    assert!(refused(Rule { filter: Some("a:b".into()), ..boost() }).contains("given beside `filter`"));
    assert!(refused(Rule { from: Some("soon".into()), ..boost() }).contains("2026-12-01T00:00:00Z"));
    let backwards = Rule {
        from: Some("2026-01-02T00:00:00Z".into()),
        until: Some("2026-01-01T00:00:00Z".into()),
        ..boost()
    };
    assert!(refused(backwards).contains("a moment after `from`"));
    assert!(refused(Rule { name: " ".into(), ..boost() }).contains("`name` is empty"));
    assert!(
        world.feed.set_rules(vec![boost(), boost()]).unwrap_err().to_string().contains("no other rule bears")
    );
    let many = (0..101).map(|at| rule(&at.to_string(), RuleAction::Boost, &["v"])).collect();
    assert!(world.feed.set_rules(many).unwrap_err().to_string().contains("101 rules"));
    assert_eq!(place(&world.feed.recommend(&plain("u5", 3)), "space4"), Some(1));
    assert_eq!(NOW, 20_000 * 86_400_000);
    let written: Rule = serde_json::from_str(r#"{"name":"x","action":"boost","videos":["v"]}"#).unwrap();
    assert_eq!((written.amount, written.place, written.dry_run), (0.5, 1, false));
}
