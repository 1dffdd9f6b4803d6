//! Which column of a table holds what: as mapped, else by the names that people usually give.

use std::path::Path;

use crate::beside::attribute_name;
use crate::table::Column;
use crate::{Field, IngestError, Map};

/// The columns of one table by what they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    found: Vec<(Field, usize)>,
    /// Columns of longer text, in their order.
    pub(crate) texts: Vec<usize>,
    /// Columns of labels, with the kind of label each holds.
    pub(crate) labels: Vec<(usize, String)>,
    /// Columns named `genre:…` that hold 0 or 1.
    pub(crate) flags: Vec<usize>,
    /// The column of one tag that a user gave.
    pub(crate) tag: Option<usize>,
    /// In a table of events: columns that describe the user, or the video, of each.
    pub(crate) of_users: Vec<usize>,
    pub(crate) of_videos: Vec<usize>,
    /// A user and whom that user knows.
    pub(crate) friends: Option<(usize, usize)>,
    /// Whether a list of friends is one of many things that a table of users tells.
    friends_of_users: bool,
    /// Whether words were searched for, so that a row needs no video.
    pub(crate) is_search: bool,
    /// Whether counts are kept by video and day.
    is_daily: bool,
    /// Whether there is more than ids.
    has_more: bool,
}

/// What a table is about, told by its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Events,
    Videos,
    Users,
    Tags,
    Daily,
    Friends,
    Other,
}

impl Columns {
    pub(crate) fn get(&self, field: Field) -> Option<usize> {
        self.found.iter().find(|(f, _)| *f == field).map(|&(_, column)| column)
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }

    /// All columns that are read.
    pub(crate) fn wanted(&self) -> Vec<usize> {
        let mut wanted: Vec<usize> = self.found.iter().map(|&(_, column)| column).collect();
        wanted.extend(&self.texts);
        wanted.extend(self.labels.iter().map(|&(column, _)| column));
        wanted.extend(&self.flags);
        wanted.extend(&self.of_users);
        wanted.extend(&self.of_videos);
        wanted
    }

    /// Columns that [`crate::formats::videos::describe`] reads.
    pub(crate) fn describing(&self) -> Vec<usize> {
        let known = [Field::Title, Field::Year, Field::Creator, Field::Published];
        let known = known.into_iter().chain([Field::Duration, Field::DurationMs]);
        let mut columns: Vec<usize> = known.filter_map(|field| self.get(field)).collect();
        columns.extend(&self.texts);
        columns.extend(self.labels.iter().map(|&(column, _)| column));
        columns.extend(&self.flags);
        columns
    }

    /// Whether a title, texts, labels, a year, maker or length is there.
    pub(crate) fn describes(&self) -> bool {
        !self.describing().is_empty()
    }

    pub(crate) fn role(&self) -> Role {
        use Field::{Action, Part, Position, Rating, Ratio, Time, User, Value, Video, WatchMs, WatchSeconds};
        if self.friends.is_some() && !self.friends_of_users {
            return Role::Friends;
        }
        let measured = [Rating, Ratio, Value, WatchSeconds, WatchMs, Action, Position, Part];
        match (self.has(User), self.has(Video)) {
            (true, true)
                if self.tag.is_some() && self.has(Time) && !measured.into_iter().any(|f| self.has(f)) =>
            {
                Role::Tags
            }
            (true, true) => Role::Events,
            (false, true) if self.is_daily => Role::Daily,
            (false, true) if self.describes() || self.has_more => Role::Videos,
            (false, true) => Role::Other,
            (true, false) if self.has(Field::Impressions) || self.is_search => Role::Events,
            (true, false) => Role::Users,
            (false, false) => Role::Other,
        }
    }
}

/// A name without case and without what joins its words.
pub(crate) fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Usual names, best first, as [`bare`] writes them.
fn usual(field: Field) -> &'static [&'static str] {
    match field {
        Field::User => &[
            "userid",
            "user",
            "uid",
            "userids",
            "viewerid",
            "viewer",
            "visitorid",
            "memberid",
            "personid",
            "customerid",
            "profileid",
            "reviewerid",
            "usersid",
            "member",
            "account",
            "accountid",
            "subscriberid",
            "profile",
            "customer",
            "reviewer",
            "sessionid",
        ],
        Field::Video => &[
            "videoid",
            "itemid",
            "movieid",
            "iid",
            "vid",
            "mid",
            "item",
            "video",
            "movie",
            "photoid",
            "contentid",
            "mediaid",
            "filmid",
            "trackid",
            "newsid",
            "productid",
            "parentasin",
            "asin",
            "clipid",
            "clip",
            "postid",
            "film",
            "content",
            "assetid",
            "programid",
            "episodeid",
            "titleid",
            "items",
            "itemids",
            "videos",
            "videoids",
            "movieids",
            "sequence",
        ],
        Field::Time => &[
            "timestamp",
            "time",
            "ts",
            "timems",
            "timestampms",
            "unixtime",
            "eventtime",
            "datetime",
            "createdat",
            "unixreviewtime",
            "watchedat",
            "eventtimestamp",
            "timestamps",
            "occurredat",
            "viewedat",
            "playedat",
            "startedat",
            "starttime",
            "viewtime",
            "logtime",
            "servertime",
            "eventdate",
            "date",
            "day",
            "dt",
            "pdate",
            "statdate",
            "statisticdate",
        ],
        Field::Action => &[
            "action",
            "eventtype",
            "event",
            "actiontype",
            "behavior",
            "behaviour",
            "behaviortype",
            "feedbacktype",
            "interactiontype",
            "eventname",
            "actionname",
            "activity",
        ],
        // What was watched, written or searched for, as the action says.
        Field::Value => &["interactionvalue", "actionvalue"],
        Field::WatchSeconds => &[
            "watchseconds",
            "watchedseconds",
            "watchtimeseconds",
            "watchtime",
            "playseconds",
            "playtimeseconds",
            "viewseconds",
            "secondswatched",
            "secondsviewed",
            "seconds",
            "dwelltime",
            "playtime",
        ],
        // KuaiRec counts in milliseconds without saying so.
        Field::WatchMs => {
            &["watchms", "watchtimems", "playtimems", "playdurationms", "playduration", "playingtime"]
        }
        Field::Duration => {
            &["durationseconds", "videodurationseconds", "videolength", "lengthseconds", "duration", "length"]
        }
        Field::DurationMs => &["durationms", "videodurationms", "videoduration"],
        Field::Ratio => &[
            "watchratio",
            "ratio",
            "playratio",
            "completionrate",
            "completionratio",
            "completion",
            "watchfraction",
            "eventvalue",
        ],
        Field::Rating => &["rating", "stars", "ratings", "overall"],
        Field::Position => &["pos", "position", "seqno"],
        Field::Part => &["part", "split", "xlabel"],
        Field::Like => &["like", "islike", "liked"],
        Field::Comment => &["iscomment", "commented"],
        Field::Follow => &["follow", "isfollow", "followed"],
        Field::Collect => &["collect", "iscollect", "collected"],
        Field::Forward => &["forward", "isforward", "forwarded", "share", "isshare"],
        Field::EffectiveView => &["effectiveview", "iseffectiveview", "validplay", "isvalidplay", "longview"],
        Field::Hate => &["hate", "ishate", "hated", "dislike", "isdislike", "notinterested"],
        Field::Title => &["title", "movietitle", "videotitle", "caption", "name"],
        Field::Text | Field::Labels => &[],
        Field::Year => &["year", "releaseyear", "startyear"],
        Field::Creator => &[
            "creator",
            "creatorid",
            "author",
            "authorid",
            "director",
            "contentowner",
            "channelid",
            "channel",
            "uploaderid",
        ],
        Field::Published => &[
            "published",
            "publishedat",
            "publishdate",
            "creationtimestamp",
            "uploaddt",
            "uploadtime",
            "uploaddate",
            "releasedate",
        ],
        Field::Device => &["device", "devicetype", "platform", "deviceos", "os"],
        Field::Latitude => &["latitude", "lat", "locationlat", "userlat"],
        Field::Longitude => &["longitude", "lon", "lng", "locationlon", "locationlng", "userlon"],
        Field::Place => &["location", "latlon", "coordinates", "geo"],
        Field::Words => {
            &["commenttext", "commentcontent", "searchtext", "searchquery", "searchterm", "query", "comment"]
        }
        Field::Impressions => &["impressions", "impression", "impressionlist", "shownitems"],
    }
}

/// Usual names of columns with longer text.
const TEXTS: &[&str] = &[
    "plot",
    "plotlong",
    "plotsummary",
    "overview",
    "description",
    "productdescription",
    "extract",
    "summary",
    "synopsis",
    "text",
    "caption",
    "covertext",
    "manualcovertext",
];

/// Usual names of columns with labels, and the kind of label.
const LABELS: &[(&str, &str)] = &[
    ("genre", "genre"),
    ("genres", "genre"),
    ("genrel2", "genre"),
    ("genrel3", "genre"),
    ("class", "genre"),
    ("tags", "tag"),
    ("tag", "tag"),
    ("keywords", "tag"),
    ("feat", "tag"),
    ("videotagname", "tag"),
    ("topictag", "topic"),
    ("topics", "topic"),
    ("hashtags", "topic"),
    ("cast", "cast"),
    ("actors", "cast"),
    ("director", "director"),
    ("category", "category"),
    ("categories", "category"),
    ("firstlevelcategoryname", "category1"),
    ("secondlevelcategoryname", "category2"),
    ("thirdlevelcategoryname", "category3"),
];

/// Finds the columns of a table. Mapped or guessed, a column must be there once. Of several tables (`all_here` is
/// false) one may lack a mapped column that another has.
pub(crate) fn resolve(
    path: &Path,
    columns: &[Column],
    map: &Map,
    all_here: bool,
) -> Result<Columns, IngestError> {
    let names: Vec<String> = columns.iter().map(|column| bare(&column.name)).collect();
    let exact = |field: Field, wanted: &str| -> Result<usize, IngestError> {
        let places: Vec<usize> = (0..columns.len()).filter(|&at| columns[at].name == wanted).collect();
        match places[..] {
            [one] => Ok(one),
            [] => Err(no_column(path, field, wanted, columns)),
            _ => Err(IngestError::TwiceColumn {
                path: path.to_owned(),
                column: wanted.into(),
                times: places.len(),
                field: field.name().into(),
            }),
        }
    };
    let elsewhere = |wanted: &str| !all_here && columns.iter().all(|column| column.name != wanted);
    let mut found = Columns::default();
    for field in Field::ALL {
        if field == Field::Labels || field == Field::Text {
            continue;
        }
        match map.column(field) {
            Some("-") => {}
            Some(wanted) if elsewhere(wanted) => {}
            Some(wanted) => found.found.push((field, exact(field, wanted)?)),
            None => {
                let guess = usual(field).iter().find_map(|usual| names.iter().position(|name| name == usual));
                // Whatever else a log calls its times, `search_session_timestamp` for example.
                let guess = guess.or_else(|| {
                    let is_time =
                        |name: &String| name.ends_with("timestamp") && !name.starts_with("creation");
                    names.iter().position(is_time).filter(|_| field == Field::Time)
                });
                if let Some(at) = guess {
                    found.found.push((field, exact(field, &columns[at].name)?));
                }
            }
        }
    }
    // `id` says video only where nothing says more, and nobody is named.
    if !found.has(Field::Video) && !found.has(Field::User) && map.column(Field::Video).is_none() {
        found.found.extend(names.iter().position(|name| name == "id").map(|at| (Field::Video, at)));
    }
    let title = found.get(Field::Title);
    match map.column(Field::Text) {
        Some("-") => {}
        Some(wanted) if elsewhere(wanted) => {}
        Some(wanted) => found.texts.push(exact(Field::Text, wanted)?),
        None => {
            let texts =
                (0..names.len()).filter(|&at| TEXTS.contains(&names[at].as_str()) && Some(at) != title);
            found.texts.extend(texts);
        }
    }
    let mapped: Vec<&str> = map.columns(Field::Labels).collect();
    for wanted in mapped.iter().filter(|&&wanted| wanted != "-" && !elsewhere(wanted)) {
        found.labels.push((exact(Field::Labels, wanted)?, (*wanted).into()));
    }
    if mapped.is_empty() {
        for (at, name) in names.iter().enumerate() {
            if let Some((_, kind)) = LABELS.iter().find(|(usual, _)| usual == name) {
                found.labels.push((at, (*kind).into()));
            }
        }
    }
    if found.has(Field::Video) && !found.has(Field::User) && mapped.is_empty() {
        // Levels and kinds of categories have many names.
        for (at, name) in names.iter().enumerate() {
            let kind = ["categor", "genre", "topic"].iter().any(|kind| name.contains(kind));
            let is_read = found.labels.iter().any(|&(column, _)| column == at) || found.texts.contains(&at);
            let counts = ["id", "ids", "num", "cnt", "count"].iter().any(|end| name.ends_with(end));
            if kind && !is_read && !counts && !columns[at].name.starts_with("genre:") {
                found.labels.push((at, attribute_name(&columns[at].name)));
            }
        }
    }
    found.flags = (0..columns.len()).filter(|&at| columns[at].name.starts_with("genre:")).collect();
    found.tag = names.iter().position(|name| name == "tag");
    if found.has(Field::User) && found.has(Field::Video) {
        // Beside a user, `name` and texts may be the user's.
        if map.column(Field::Title).is_none() {
            found.found.retain(|&(field, at)| field != Field::Title || names[at].ends_with("title"));
        }
        if map.column(Field::Text).is_none() {
            found.texts.clear();
        }
    }
    beside(path, columns, &names, map, &mut found);
    Ok(found)
}

/// Names of columns that hold all whom a user knows, and of those that hold one.
const FRIENDS: &[&str] = &["friendlist", "friends", "friendids", "followees"];
const FRIEND: &[&str] = &["friendid", "friend", "followeeid", "targetid", "targetuserid"];
/// Names of columns that say who knows them, where the table does not say `user`.
const KNOWERS: &[&str] = &["sourceid", "sourceuserid", "followerid"];
/// Names of columns that hold a day.
const DAYS: &[&str] = &["date", "day", "dt", "pdate", "statdate", "statisticdate"];

/// What a table tells beside events and videos.
fn beside(path: &Path, columns: &[Column], names: &[String], map: &Map, found: &mut Columns) {
    let at = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let file = path.file_name().map_or_else(String::new, |name| bare(&name.to_string_lossy()));
    // `id` in a file of users is the user's.
    if !found.has(Field::User)
        && file.starts_with("user")
        && found.get(Field::Video).is_some_and(|video| names[video] == "id" && map.is_empty())
    {
        let id = at(&["id"]).unwrap_or_default();
        *found = Columns { found: vec![(Field::User, id)], ..Columns::default() };
    }
    let knower = found.get(Field::User).or_else(|| at(KNOWERS));
    let friend = at(FRIENDS).or_else(|| at(FRIEND));
    if let (Some(user), Some(friend), false) = (knower, friend, found.has(Field::Video)) {
        found.friends = Some((user, friend));
        let is_list = FRIENDS.contains(&names[friend].as_str());
        found.friends_of_users = is_list && found.has(Field::User) && columns.len() > 2;
    }
    let of_search = ["searchtext", "searchquery", "searchterm", "query"];
    let words = found.get(Field::Words);
    let is_event = found.has(Field::User) && found.has(Field::Time);
    found.is_search = is_event && words.is_some_and(|at| of_search.contains(&names[at].as_str()));
    let is_log = found.has(Field::User)
        && (found.has(Field::Video) || found.has(Field::Impressions) || found.is_search);
    if !is_log {
        // Of users and videos these are attributes.
        let around = [Field::Device, Field::Latitude, Field::Longitude, Field::Place, Field::Words];
        let is_around = |field| around.contains(&field) || field == Field::Impressions;
        found.found.retain(|&(field, _)| !is_around(field) || map.column(field).is_some());
    }
    let counts = |name: &&String| {
        ["cnt", "num", "count", "counts", "views", "likes", "plays"].iter().any(|end| name.ends_with(end))
    };
    let on_days = found.get(Field::Time).is_some_and(|at| DAYS.contains(&names[at].as_str()));
    found.is_daily = on_days && names.iter().filter(counts).count() >= 2;
    let known = found.wanted();
    // A second id makes a row a pair, such as a film and a tag of a genome, and not a video.
    let others: Vec<&String> = (names.iter().enumerate())
        .filter(|(at, _)| found.get(Field::Video) != Some(*at))
        .map(|(_, name)| name)
        .collect();
    found.has_more =
        others.iter().any(|name| !name.is_empty()) && !others.iter().any(|name| name.ends_with("id"));
    if found.has(Field::User) && found.has(Field::Video) {
        for (at, column) in columns.iter().enumerate().filter(|(at, _)| !known.contains(at)) {
            let name = column.name.to_ascii_lowercase();
            let of = |kinds: &[&str]| kinds.iter().any(|kind| name.starts_with(kind));
            let is_key = name.ends_with("session_id") || column.is_list;
            if of(&["user_", "viewer_"]) && !is_key {
                found.of_users.push(at);
            } else if (of(&["video_", "item_", "movie_", "author_"]) && !is_key)
                || attribute_name(&name) == "fans"
            {
                found.of_videos.push(at);
            }
        }
    }
}

pub(crate) fn no_column(path: &Path, field: Field, wanted: &str, columns: &[Column]) -> IngestError {
    const SHOWN: usize = 40;
    let mut names = columns
        .iter()
        .take(SHOWN)
        .map(|column| format!("`{}`", column.name.chars().take(60).collect::<String>()))
        .collect::<Vec<_>>()
        .join(", ");
    if columns.len() > SHOWN {
        names += &format!(" and {} more", columns.len() - SHOWN);
    }
    let numbers = columns.iter().filter(|column| column.name.parse::<f64>().is_ok()).count();
    if numbers == columns.len() || numbers > 1 {
        names += " (that looks like data: the first line must name the columns)";
    }
    IngestError::NoColumn {
        path: path.to_owned(),
        field: field.name().into(),
        column: wanted.into(),
        columns: names,
    }
}

/// That a table of events names user and video.
pub(crate) fn need_events(path: &Path, columns: &[Column], found: &Columns) -> Result<(), IngestError> {
    let without_video = found.has(Field::Impressions) || found.is_search;
    for (field, example) in [(Field::User, "user_id"), (Field::Video, "video_id")] {
        let may_lack = field == Field::Video && without_video;
        if !found.has(field) && !may_lack {
            return Err(no_column(path, field, example, columns));
        }
    }
    Ok(())
}
