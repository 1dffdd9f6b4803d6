//! Every route, in one table: what answers it, who may use it, and how it is described in `/apidocs`.

mod apidocs;
mod bulk;
mod dashboard;
mod feedback;
mod health;
mod items;
mod keys;
mod lists;
mod live;
mod map;
mod metarank;
mod page;
mod pictures;
mod rules;
mod users;
mod v2;

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

pub(crate) use live::{Change, Changes};
pub(crate) use metarank::Rankings;

use crate::{AppState, Role};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody who reaches the service.
    Open,
    /// Asks for slates, lists and items: a key that may read, where there are keys.
    Read,
    /// Sends events, users and items: a key that may write, where there are keys.
    Write,
    /// Tells what is stored of people, changes what others are shown, or takes away: a key for everything.
    Admin,
}

impl Access {
    /// What a key must have, where there are keys.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Self::Open => None,
            Self::Read => Some(Role::Read),
            Self::Write => Some(Role::Write),
            Self::Admin => Some(Role::Admin),
        }
    }
}

/// One way to ask.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) handler: MethodRouter<AppState>,
    access: Access,
    audited: bool,
    takes_lines: bool,
    answers_lines: bool,
    tag: &'static str,
    summary: &'static str,
    query: Vec<(&'static str, &'static str)>,
    body: Option<&'static str>,
    answer: &'static str,
}

impl Route {
    fn new(
        method: &'static str,
        path: &'static str,
        handler: MethodRouter<AppState>,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        let access = if method == "GET" { Access::Read } else { Access::Write };
        let (query, body, answer) = (Vec::new(), None, "");
        let (audited, takes_lines, answers_lines) = (false, false, false);
        Self {
            method,
            path,
            handler,
            access,
            audited,
            takes_lines,
            answers_lines,
            tag,
            summary,
            query,
            body,
            answer,
        }
    }

    /// Whether it may have a large body.
    pub(crate) fn writes(&self) -> bool {
        matches!(self.access, Access::Write | Access::Admin)
    }

    fn access(self, access: Access) -> Self {
        // What an administrator changes is written down.
        Self { access, audited: access == Access::Admin && self.method != "GET", ..self }
    }

    /// It changes nothing, and is written down all the same.
    fn audited(self) -> Self {
        Self { audited: true, ..self }
    }

    /// Its body is lines of JSON objects.
    fn takes_lines(self) -> Self {
        Self { takes_lines: true, ..self }
    }

    /// It answers lines of JSON objects.
    fn answers_lines(self) -> Self {
        Self { answers_lines: true, ..self }
    }

    fn query(mut self, more: &[(&'static str, &'static str)]) -> Self {
        self.query.extend_from_slice(more);
        self
    }

    fn body(self, example: &'static str) -> Self {
        Self { body: Some(example), ..self }
    }

    fn answer(self, example: &'static str) -> Self {
        Self { answer: example, ..self }
    }
}

/// Who may use a route of the table; what is not in it is the page, which anybody may read.
pub(crate) fn access(method: &Method, path: &str) -> Access {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    let unlisted = if safe { Access::Open } else { Access::Write };
    row(method, path).map_or(unlisted, |(access, _)| access)
}

/// Whether a use of this route is written into the log of acts.
pub(crate) fn is_audited(method: &Method, path: &str) -> bool {
    row(method, path).is_some_and(|(_, audited)| audited)
}

fn row(method: &Method, path: &str) -> Option<(Access, bool)> {
    type Table = HashMap<(&'static str, &'static str), (Access, bool)>;
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let row = |route: Route| ((route.method, route.path), (route.access, route.audited));
        routes().into_iter().map(row).collect()
    });
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    table.get(&(method, path)).copied()
}

const ROWS: &str = r#"{"RowAffected":1}"#;
const USER: &str = r#"{"UserId":"bob","Labels":{"country":"NO"},"Comment":""}"#;
const USERS: &str = r#"[{"UserId":"bob","Labels":{"country":"NO"},"Comment":""}]"#;
const ITEM: &str = r#"{"ItemId":"v1","IsHidden":false,"Categories":["sport"],"Timestamp":"2026-01-01T00:00:00Z","Labels":{},"Comment":"A title"}"#;
const ITEMS: &str = r#"[{"ItemId":"v1","IsHidden":false,"Categories":["sport"],"Timestamp":"2026-01-01T00:00:00Z","Labels":{},"Comment":"A title"}]"#;
const FEEDBACK: &str = r#"[{"FeedbackType":"read","UserId":"bob","ItemId":"v1","Value":0.8,"Timestamp":"2026-01-01T00:00:00Z","Labels":{},"Comment":""}]"#;
const ONE_FEEDBACK: &str = r#"{"FeedbackType":"read","UserId":"bob","ItemId":"v1","Value":0.8,"Timestamp":"2026-01-01T00:00:00Z","Labels":{},"Comment":""}"#;
const SCORES: &str = r#"[{"Id":"v1","Score":0.9}]"#;
const SLATE: &str = r#"{"request_id":"5f2c9a01b3d4e6f7","user":"bob","took_microseconds":900,"items":[{"id":"v1","score":1.2,"title":"Heat","year":1995,"labels":{"genre":["Crime"]},"picture":false,"sources":["markov"],"parts":{"closed-blend":1.2},"ranks":{"markov":1},"reason":{"kind":"because_liked","text":"because you liked Ronin","video":"v7"}}],"trace":{"stages":[{"name":"sources","in":0,"out":1842,"microseconds":400,"parts":[{"name":"markov","count":500,"microseconds":120}]}]},"failures":[]}"#;
const SHELVES: &str = r#"{"request_id":"5f2c9a01b3d4e6f7","user":"bob","took_microseconds":900,"shelves":[{"kind":"top_picks","name":"Top picks for you","subtitle":"From what you wanted","items":[{"id":"v1","score":1.2,"title":"Heat"}]}],"trace":{"stages":[]},"failures":[]}"#;

const RULES: &str = r#"{"rules":[{"name":"autumn","action":"pin","place":1,"amount":0.5,"videos":["v1"],"audience":{},"dry_run":false}],"put":true,"durable":true}"#;

const N: (&str, &str) = ("n", "how many; the configuration bounds it");
const OFFSET: (&str, &str) = ("offset", "how many places to skip");
const CURSOR: (&str, &str) = ("cursor", "where the page before ended; empty to begin");
const CATEGORY: (&str, &str) = ("category", "only in this category; several mean all of them");
const USER_ID: (&str, &str) = ("user-id", "leave out what this user has seen");
const WRITE_BACK: (&str, &str) = ("write-back-type", "write feedback of this kind for what is returned");
const DELAY: (&str, &str) = ("write-back-delay", "count that feedback only after this time, 10m for example");
const LAMBDA: (&str, &str) = ("lambda", "weight of relevance in the re-rank, 0 to 1");
const DIVERSITY: (&str, &str) = ("diversity", "the same number said the other way: 1 - lambda");
const EXCLUDE: (&str, &str) = ("exclude", "an id that must not be shown; may stand more than once");
const PICK: (&str, &str) = ("pick", "an id that counts as liked; may stand more than once");

const PAGED: &[(&str, &str)] = &[N, CURSOR];
const FEW: &[(&str, &str)] = &[N];
const LISTED: &[(&str, &str)] = &[N, OFFSET, CATEGORY, USER_ID];
const RECOMMENDED: &[(&str, &str)] = &[N, OFFSET, CATEGORY, WRITE_BACK, DELAY];
const ASKED: &[(&str, &str)] = &[
    N,
    OFFSET,
    EXCLUDE,
    CATEGORY,
    PICK,
    LAMBDA,
    DIVERSITY,
    ("filter", "what a video must be: genre:Comedy and not (tag:gore or year < 1990)"),
    ("language", "of the viewer: a video in another one is not shown"),
    ("region", "of the viewer: a video for other regions is not shown"),
    ("age_max", "the highest age rating that may be shown"),
    ("block_author", "an author whose videos are not shown; may stand more than once"),
    ("session", "an id: what was served in it is not served again, so that each request is the next page"),
    ("device", "what the viewer looks at it on, as the log names it"),
    ("hour", "of the viewer's day, 0 to 23"),
    ("weights", "what actions are worth: like:1,watch:0.2,hate:-5"),
    ("rules", "dry: rules are not applied; the trace tells what they would change"),
];

const SHELF: &[(&str, &str)] = &[
    ("kind", "only top_picks, because_you_watched, more_like, most_popular, trending_now or new"),
    ("video", "which, for more_like"),
];

/// Every route but the page's.
pub(crate) fn routes() -> Vec<Route> {
    let all = [v2_routes(), user_routes(), item_routes(), feedback_routes(), list_routes()];
    let beside = [bulk_routes(), dashboard_routes(), metarank_routes(), health_routes()];
    all.into_iter().chain(beside).flatten().collect()
}

fn v2_routes() -> Vec<Route> {
    let route = |method, path, handler, summary| Route::new(method, path, handler, "v2", summary);
    vec![
        route("GET", "/api/v2/recommend/{user}", get(v2::recommend), "A slate for a user, with scores, sources, reasons and trace")
            .query(ASKED)
            .answer(SLATE),
        route("GET", "/api/v2/recommend", get(v2::recommend_by_query), "The same for a user, a session, or somebody unknown")
            .query(ASKED)
            .query(&[("user", "who")])
            .answer(SLATE),
        route("POST", "/api/v2/recommend", post(v2::recommend_by_body), "The same, asked by a body; without a user it goes by the picks")
            .access(Access::Read)
            .body(r#"{"user":"bob","n":10,"picks":["v7"],"exclude":["v3"],"categories":["Crime"],"filter":"not tag:gore","session":"s1","weights":{"like":1.0},"lambda":0.8}"#)
            .answer(SLATE),
        route("GET", "/api/v2/feed/{user}", get(v2::feed), "A feed of shelves for a user, or one kind of them").query(ASKED).query(SHELF).answer(SHELVES),
        route("GET", "/api/v2/trace/{request_id}", get(v2::trace), "An earlier answer, by its request id; the newest few hundred are remembered")
            .answer(SLATE),
        route("GET", "/api/v2/explain", get(v2::explain), "Why a video is shown to a user, or which stage lost it")
            .query(ASKED)
            .query(&[("user", "who"), ("video", "which")])
            .answer(r#"{"request_id":"5f2c9a01b3d4e6f7","user":"bob","video":"v1","verdict":"shown","text":"place 3 of 10","parts":[["closed-blend",1.2]]}"#),
        route("POST", "/api/v2/events", post(v2::events), "Events, durable when answered; the very next answer reflects them")
            .body(r#"[{"user":"bob","video":"v1","action":"like","value":1.0,"time":1767225600000,"event_id":"e1"}]"#)
            .answer(r#"{"accepted":1,"counted":1}"#),
        route("GET", "/api/v2/live", get(live::live), "What changes, as server-sent events: events of a user, another feed or other rules")
            .query(&[("user", "whose events; without one, everybody's are counted")]),
        route("GET", "/api/v2/viewers", get(v2::viewers), "Somebody to look at the feed as")
            .access(Access::Admin)
            .query(FEW)
            .answer(r#"{"viewers":[{"id":"414","events":2698,"genres":["Drama","Comedy"],"recent":false}]}"#),
        route("GET", "/api/v2/history/{user}", get(v2::history), "What a user did, newest first")
            .access(Access::Admin)
            .query(FEW)
            .answer(r#"{"user":"bob","events":[{"video":"v1","title":"Heat","action":"like","time":1767225600000,"value":null,"judgement":"positive","origin":"store"}],"total":1}"#),
        route("GET", "/api/v2/videos", get(v2::videos), "Videos by title; without a query well-known ones, varied by genre")
            .query(&[("query", "words of the title"), N])
            .answer(r#"{"videos":[{"id":"v1","title":"Heat","year":1995,"labels":{"genre":["Crime"]},"picture":true}]}"#),
        route("GET", "/api/v2/onboarding", get(v2::onboarding), "Well-known videos, varied by genre, for somebody new to pick from")
            .query(FEW)
            .answer(r#"{"videos":[{"id":"v1","title":"Heat","year":1995,"labels":{"genre":["Crime"]},"picture":true}]}"#),
        route("GET", "/api/v2/rules", get(rules::get), "The rules that hold: pins, boosts, buries")
            .access(Access::Admin)
            .answer(RULES),
        route("PUT", "/api/v2/rules", put(rules::put), "Rules in place of those that hold; all of them or none")
            .access(Access::Admin)
            .body(r#"[{"name":"autumn","action":"pin","place":1,"videos":["v1"],"until":"2026-12-01T00:00:00Z","audience":{"segment":"cold"}},{"name":"less gore","action":"bury","amount":0.5,"filter":"tag:gore","dry_run":true}]"#)
            .answer(RULES),
        route("DELETE", "/api/v2/rules", delete(rules::delete), "The rules of the configuration hold again").access(Access::Admin).answer(RULES),
        route("GET", "/api/v2/keys", get(keys::list), "Which keys there are, without what they are")
            .access(Access::Admin)
            .answer(r#"{"keys":[{"id":"4f6c1a2b9d3e5f70","name":"web","roles":["read","write"],"tenant":null,"per_second":null,"created":"2026-11-28"}]}"#),
        route("GET", "/api/v2/videos/{id}/picture", get(pictures::picture), "The picture of a video, a small JPEG; 404 where it has none or is hidden"),
        route("GET", "/api/v2/map", get(map::map), "The taste map: a point for each video, in ten-thousandths; status drawing until it is there")
            .answer(r#"{"status":"ready","space":"labels and text","width":83,"videos":6270,"unknown":0,"measured":2000,"ids":["v1"],"hidden":[],"groups":[{"name":"Crime","n":1}],"group":[0],"projections":[{"name":"neighbours","places":[120,-4031,77],"variance":null,"trustworthiness":0.9,"purity":{"value":0.6,"shuffled":0.1,"deviation":0.001},"silhouette":null}],"modalities":[{"name":"labels and text","known":6270,"width":83,"purity":null,"silhouette":null}]}"#),
        route("GET", "/api/v2/map/{video}", get(map::video), "A video of the map, and the nearest to it by each modality")
            .answer(r#"{"id":"v1","title":"Heat","year":1995,"labels":{"genre":["Crime"]},"picture":true,"point":0,"near":[["text",[{"id":"v7","title":"Ronin","point":4}]]]}"#),
        route("GET", "/api/v2/map/viewer/{user}", get(map::path), "A viewer's path through the map, and what would be shown now")
            .access(Access::Admin)
            .answer(r#"{"user":"bob","total":1,"steps":[{"video":"v1","title":"Heat","action":"like","time":1767225600000,"value":null,"judgement":"positive","origin":"store","point":0,"places":[[0.1,0.2,0.3],[0.0,0.1,0.0]]}],"recommended":[{"id":"v7","title":"Ronin","point":4}]}"#),
        route("GET", "/api/v2/journey/{user}", get(map::journey), "How a viewer's profile and feed changed with each of the newest events")
            .access(Access::Admin)
            .answer(r#"{"user":"bob","total":1,"before":[],"steps":[{"video":"v1","title":"Heat","action":"like","time":1767225600000,"value":null,"judgement":"positive","origin":"store","cosine":null,"groups":[["Crime",0.6]],"slate":[{"id":"v7","title":"Ronin","point":4}],"came":["v7"],"went":[]}]}"#),
        route("GET", "/api/v2/report", get(v2::report), "How good each model is, with the protocol; status running until it is known")
            .answer(r#"{"protocol":{"split":"leave-last-out"},"models":[{"name":"markov","metrics":{"ndcg@10":{"mean":0.05,"low":0.04,"high":0.06}}}]}"#),
        route("GET", "/api/v2/about", get(v2::about), "What is served, and under which licence")
            .answer(r#"{"name":"movies","users":610,"videos":6270,"events":87000,"digest":"…","licence":"…","notice":"for non-commercial use","version":"0.1.0"}"#),
    ]
}

fn user_routes() -> Vec<Route> {
    let route = |method, path, handler, summary| Route::new(method, path, handler, "users", summary);
    vec![
        route("POST", "/api/user", post(users::put_one), "Write a user").body(USER).answer(ROWS),
        route("POST", "/api/users", post(users::put_many), "Write users").body(USERS).answer(ROWS),
        route("GET", "/api/users", get(users::list), "Users of the store, by id")
            .access(Access::Admin)
            .query(PAGED)
            .answer(r#"{"Cursor":"","Users":[{"UserId":"bob","Labels":{},"Comment":""}]}"#),
        route("GET", "/api/user/{id}", get(users::one), "A user of the store or the run")
            .access(Access::Admin)
            .answer(USER),
        route("PATCH", "/api/user/{id}", patch(users::change), "Change the given parts of a user")
            .body(r#"{"Labels":{"country":"SE"}}"#)
            .answer(ROWS),
        route("DELETE", "/api/user/{id}", delete(users::remove), "Delete a user and all their feedback")
            .access(Access::Admin)
            .answer(ROWS),
        route("GET", "/api/user/{id}/feedback", get(feedback::of_user), "What a user did")
            .access(Access::Admin)
            .query(FEW)
            .answer(FEEDBACK),
        route(
            "GET",
            "/api/user/{id}/feedback/{kind}",
            get(feedback::of_user_by_kind),
            "What a user did, of one kind",
        )
        .access(Access::Admin)
        .query(FEW)
        .answer(FEEDBACK),
        route(
            "GET",
            "/api/user/{id}/neighbors",
            get(lists::user_neighbors),
            "Users of the run with a similar taste",
        )
        .access(Access::Admin)
        .query(&[N, OFFSET])
        .answer(SCORES),
        route(
            "GET",
            "/api/user-to-user/{name}/{id}",
            get(lists::user_to_user),
            "The same, by the name of the recommender: neighbors",
        )
        .access(Access::Admin)
        .query(&[N, OFFSET])
        .answer(SCORES),
    ]
}

fn item_routes() -> Vec<Route> {
    let route = |method, path, handler, summary| Route::new(method, path, handler, "items", summary);
    vec![
        route("POST", "/api/item", post(items::put_one), "Write an item; it can be shown at once").body(ITEM).answer(ROWS),
        route("POST", "/api/items", post(items::put_many), "Write items").body(ITEMS).answer(ROWS),
        route("GET", "/api/items", get(items::list), "Items of the store, by id; or by title")
            .query(PAGED)
            .query(&[("q", "words of the title; without it, items by id")])
            .answer(r#"{"Cursor":"","Items":[{"ItemId":"v1","IsHidden":false,"Categories":[],"Timestamp":"2026-01-01T00:00:00Z","Labels":{},"Comment":""}]}"#),
        route("GET", "/api/item/{id}", get(items::one), "An item of the store or the run").answer(ITEM),
        route("PATCH", "/api/item/{id}", patch(items::change), "Change the given parts of an item")
            .body(r#"{"IsHidden":true}"#)
            .answer(ROWS),
        route("DELETE", "/api/item/{id}", delete(items::remove), "Delete an item and all feedback on it; it is not shown again")
            .answer(ROWS),
        route("PUT", "/api/item/{id}/category/{category}", put(items::add_category), "Put an item into a category").answer(ROWS),
        route("DELETE", "/api/item/{id}/category/{category}", delete(items::remove_category), "Take an item out of a category")
            .answer(ROWS),
        route("GET", "/api/item/{id}/feedback", get(feedback::of_item), "What was done with an item")
            .access(Access::Admin)
            .query(FEW)
            .answer(FEEDBACK),
        route("GET", "/api/item/{id}/feedback/{kind}", get(feedback::of_item_by_kind), "What was done with an item, of one kind")
            .access(Access::Admin)
            .query(FEW)
            .answer(FEEDBACK),
        route("GET", "/api/item/{id}/neighbors", get(lists::item_neighbors), "More like this").query(LISTED).answer(SCORES),
        route("GET", "/api/item/{id}/neighbors/{category}", get(lists::item_neighbors_in), "More like this, in a category")
            .query(LISTED)
            .answer(SCORES),
        route("GET", "/api/item-to-item/{name}/{id}", get(lists::item_to_item), "The same, by the name of the recommender: neighbors")
            .query(LISTED)
            .answer(SCORES),
    ]
}

fn feedback_routes() -> Vec<Route> {
    let route = |method, path, handler, summary| Route::new(method, path, handler, "feedback", summary);
    vec![
        route(
            "POST",
            "/api/feedback",
            post(feedback::accumulate),
            "Write feedback; the value is added to what is there",
        )
        .body(FEEDBACK)
        .answer(ROWS),
        route("PUT", "/api/feedback", put(feedback::overwrite), "Write feedback, replacing what is there")
            .body(FEEDBACK)
            .answer(ROWS),
        route("GET", "/api/feedback", get(feedback::list), "All feedback, in order of arrival")
            .access(Access::Admin)
            .query(PAGED)
            .answer(r#"{"Cursor":"","Feedback":[]}"#),
        route("GET", "/api/feedback/{first}", get(feedback::list_by_kind), "All feedback of a kind")
            .access(Access::Admin)
            .query(PAGED)
            .answer(r#"{"Cursor":"","Feedback":[]}"#),
        route(
            "GET",
            "/api/feedback/{first}/{second}",
            get(feedback::of_pair),
            "What a user (first) did with an item (second)",
        )
        .access(Access::Admin)
        .answer(FEEDBACK),
        route(
            "DELETE",
            "/api/feedback/{first}/{second}",
            delete(feedback::remove_pair),
            "Take back what a user did with an item",
        )
        .answer(ROWS),
        route(
            "GET",
            "/api/feedback/{first}/{second}/{third}",
            get(feedback::of_key),
            "Feedback by kind, user and item",
        )
        .access(Access::Admin)
        .answer(ONE_FEEDBACK),
        route(
            "DELETE",
            "/api/feedback/{first}/{second}/{third}",
            delete(feedback::remove_key),
            "Take back feedback by kind, user and item",
        )
        .answer(ROWS),
    ]
}

fn list_routes() -> Vec<Route> {
    let route =
        |method, path, handler, summary| Route::new(method, path, handler, "recommendations", summary);
    vec![
        route(
            "GET",
            "/api/recommend/{user}",
            get(lists::recommend),
            "Ids for a user; with the header X-API-Version: 2 also scores",
        )
        .query(RECOMMENDED)
        .answer(r#"["v1","v2"]"#),
        route(
            "GET",
            "/api/recommend/{user}/",
            get(lists::recommend),
            "The same, as a client asks without a category",
        )
        .query(RECOMMENDED)
        .answer(r#"["v1","v2"]"#),
        route("GET", "/api/recommend/{user}/{category}", get(lists::recommend_in), "The same, in a category")
            .query(RECOMMENDED)
            .answer(r#"["v1","v2"]"#),
        route(
            "POST",
            "/api/session/recommend",
            post(lists::session),
            "Items for a session, which is not stored",
        )
        .access(Access::Read)
        .query(&[N, OFFSET, CATEGORY])
        .body(FEEDBACK)
        .answer(SCORES),
        route(
            "POST",
            "/api/session/recommend/{category}",
            post(lists::session_in),
            "The same, in a category",
        )
        .access(Access::Read)
        .query(&[N, OFFSET, CATEGORY])
        .body(FEEDBACK)
        .answer(SCORES),
        route(
            "GET",
            "/api/collaborative-filtering/{user}",
            get(lists::collaborative),
            "Items for a user with scores",
        )
        .query(&[N, OFFSET, CATEGORY])
        .answer(SCORES),
        route("GET", "/api/popular", get(lists::popular), "What viewers want most, lately first")
            .query(LISTED)
            .answer(SCORES),
        route("GET", "/api/popular/{category}", get(lists::popular_in), "The same, in a category")
            .query(LISTED)
            .answer(SCORES),
        route("GET", "/api/latest", get(lists::latest), "What came in last").query(LISTED).answer(SCORES),
        route("GET", "/api/latest/{category}", get(lists::latest_in), "The same, in a category")
            .query(LISTED)
            .answer(SCORES),
        route(
            "GET",
            "/api/non-personalized/{name}",
            get(lists::non_personalized),
            "A list by name: popular or latest",
        )
        .query(LISTED)
        .answer(SCORES),
    ]
}

fn bulk_routes() -> Vec<Route> {
    let route = |method, path, handler, summary| {
        Route::new(method, path, handler, "bulk", summary).access(Access::Admin)
    };
    let out = |path, handler, summary| route("GET", path, handler, summary).audited().answers_lines();
    vec![
        out("/api/bulk/users", get(bulk::get_users), "All users of the store, a JSON object a line"),
        out("/api/bulk/items", get(bulk::get_items), "All items of the store, a JSON object a line"),
        out("/api/bulk/feedback", get(bulk::get_feedback), "All feedback, a JSON object a line"),
        route(
            "POST",
            "/api/bulk/users",
            post(bulk::post_users),
            "Write users, a JSON object a line; a body, or the file `file` of a form",
        )
        .takes_lines()
        .answer(ROWS),
        route("POST", "/api/bulk/items", post(bulk::post_items), "Write items in the same way")
            .takes_lines()
            .answer(ROWS),
        route(
            "POST",
            "/api/bulk/feedback",
            post(bulk::post_feedback),
            "Write feedback in the same way, replacing what is there",
        )
        .takes_lines()
        .answer(ROWS),
        out("/api/dump", get(bulk::dump), "Users, items and feedback of the store, a JSON object a line"),
        route("POST", "/api/restore", post(bulk::restore), "Write what a dump holds")
            .takes_lines()
            .answer(r#"{"Users":1,"Items":1,"Feedback":1}"#),
        route("POST", "/api/purge", post(bulk::purge), "Delete all users, items and feedback of the store")
            .query(&[(
                "check_list",
                "delete_users,delete_items,delete_feedback,delete_cache: that it is meant",
            )])
            .answer(ROWS),
    ]
}

fn dashboard_routes() -> Vec<Route> {
    let route =
        |path, handler, summary| Route::new("GET", path, handler, "dashboard", summary).access(Access::Admin);
    let items = r#"[{"ItemId":"v1","IsHidden":false,"Categories":["sport"],"Timestamp":"2026-01-01T00:00:00Z","Labels":{},"Comment":"A title","Score":0.9}]"#;
    vec![
        route("/api/dashboard/stats", get(dashboard::stats), "How much the store holds").answer(
            r#"{"NumUsers":1,"NumItems":1,"NumTotalPosFeedback":1,"NumValidPosFeedback":1,"NumValidNegFeedback":0,"BinaryVersion":"0.1.0"}"#,
        ),
        route("/api/dashboard/categories", get(dashboard::categories), "Categories that can be asked for")
            .answer(r#"["Comedy"]"#),
        route("/api/dashboard/users", get(users::list), "Users of the store, by id")
            .query(PAGED)
            .answer(r#"{"Cursor":"","Users":[{"UserId":"bob","Labels":{},"Comment":""}]}"#),
        route("/api/dashboard/user/{id}", get(users::one), "A user").answer(USER),
        route(
            "/api/dashboard/user/{id}/feedback/{kind}",
            get(feedback::of_user_by_kind),
            "What a user did, of one kind",
        )
        .query(FEW)
        .answer(FEEDBACK),
        route("/api/dashboard/popular", get(dashboard::popular), "What viewers want most, as whole items")
            .query(LISTED)
            .answer(items),
        route("/api/dashboard/latest", get(dashboard::latest), "What came in last, as whole items")
            .query(LISTED)
            .answer(items),
        route("/api/dashboard/recommend/{user}", get(dashboard::recommend), "Items for a user, as whole items")
            .query(&[N, OFFSET, CATEGORY])
            .answer(items),
    ]
}

fn metarank_routes() -> Vec<Route> {
    let route = |path, handler, summary| Route::new("POST", path, handler, "metarank", summary);
    let ranking = r#"{"event":"ranking","id":"r1","timestamp":"1767225600000","user":"bob","items":[{"id":"v1"},{"id":"v7"}]}"#;
    vec![
        route("/feedback", post(metarank::feedback), "Events as Metarank's clients send them, one or several")
            .body(r#"[{"event":"interaction","id":"e1","timestamp":"1767225600000","ranking":"r1","user":"bob","type":"click","item":"v1","fields":[]}]"#)
            .answer(r#"{"accepted":1,"status":"ok","tookMillis":3,"updated":1}"#),
        route("/rank/{model}", post(metarank::rank), "The given items in an order for a viewer")
            .access(Access::Read)
            .query(&[("explain", "true: what each score is made of")])
            .body(ranking)
            .answer(r#"{"took":5,"items":[{"item":"v1","score":1.2,"features":[{"name":"closed-blend","value":1.2}]}]}"#),
        route("/recommend/{model}", post(metarank::recommend), "Items for a user, or for who likes these items")
            .access(Access::Read)
            .body(r#"{"count":10,"user":"bob","items":["v1"]}"#)
            .answer(r#"{"took":5,"items":[{"item":"v7","score":1.2}]}"#),
    ]
}

fn health_routes() -> Vec<Route> {
    let route =
        |path, handler, summary| Route::new("GET", path, handler, "health", summary).access(Access::Open);
    let health = r#"{"Ready":true,"DataStoreError":null,"CacheStoreError":null,"DataStoreConnected":true,"CacheStoreConnected":true}"#;
    vec![
        route("/api/health/live", get(health::live), "Whether the process answers").answer(health),
        route("/api/health/ready", get(health::ready), "Whether it can recommend; 503 while it cannot")
            .answer(health),
        route("/metrics", get(health::metrics), "Counters and histograms, as Prometheus reads them")
            .access(Access::Read),
        route("/apidocs", get(apidocs::page), "This description, to read"),
        route("/apidocs.js", get(apidocs::script), "The script of that page"),
        route("/apidocs.json", get(apidocs::json), "This description, as OpenAPI"),
    ]
}
