//! Which column of a table holds what: as mapped, else by the names that people usually give.

use std::path::Path;

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
}

/// What a table is about, told by its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Events,
    Videos,
    Users,
    Tags,
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
        wanted
    }

    pub(crate) fn role(&self) -> Role {
        use Field::{Action, Creator, Duration, DurationMs, Part, Position, Published, Rating, Ratio};
        use Field::{Time, Title, User, Value, Video, WatchMs, WatchSeconds, Year};
        let measured = [Rating, Ratio, Value, WatchSeconds, WatchMs, Action, Position, Part];
        match (self.has(User), self.has(Video)) {
            (true, true)
                if self.tag.is_some() && self.has(Time) && !measured.into_iter().any(|f| self.has(f)) =>
            {
                Role::Tags
            }
            (true, true) => Role::Events,
            (false, true) => {
                let known = [Title, Year, Creator, Published, Duration, DurationMs];
                let any = known.into_iter().any(|field| self.has(field));
                let lists = [self.texts.is_empty(), self.labels.is_empty(), self.flags.is_empty()];
                if any || lists.contains(&false) { Role::Videos } else { Role::Other }
            }
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
            "postid",
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
            "date",
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
        ],
        Field::Value => &[],
        Field::WatchSeconds => &[
            "watchseconds",
            "watchedseconds",
            "watchtimeseconds",
            "watchtime",
            "playseconds",
            "playtimeseconds",
            "viewseconds",
            "dwelltime",
            "playtime",
        ],
        // KuaiRec counts in milliseconds without saying so.
        Field::WatchMs => &["watchms", "watchtimems", "playtimems", "playdurationms", "playduration"],
        Field::Duration => {
            &["durationseconds", "videodurationseconds", "videolength", "lengthseconds", "duration"]
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
    Ok(found)
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
    if columns.iter().all(|column| column.name.parse::<f64>().is_ok()) {
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
    for (field, example) in [(Field::User, "user_id"), (Field::Video, "video_id")] {
        if !found.has(field) {
            return Err(no_column(path, field, example, columns));
        }
    }
    Ok(())
}
