//! Generated data in the shape of KuaiRec, with faults whose number is known.
//!
//! Every number comes from the seed and the row of the user or video it belongs to, so users can be made in any
//! order and on any thread. Nothing here is real, and nothing here touches files.
//!
//! The shape follows what is published of KuaiRec (Gao et al., CIKM 2022): users with 100 to 16,000 events
//! around a mean of 1,746, videos with 1 to 27,615, watch ratios with a mean near 0.9, a third of them above 1
//! and a tail to 135, views in sessions over 63 days, videos watched again. Users have tastes among groups of
//! videos and stay with a group for a while, so that there is something to learn.

use crate::split::mix;

/// Midnight of 5 July 2020 in China: where KuaiRec begins.
pub const START_MS: i64 = 1_593_878_400_000;
/// Days KuaiRec covers.
pub const DAYS: u32 = 63;
/// Ratios of watch time over length above this are faults; real ones reach 135.
pub const RATIO_CAP: f64 = 200.0;
/// Ids of users and videos from here on are in no table.
pub const UNKNOWN_FROM: u32 = 100_000_000;
/// Most users, and most videos.
const IDS_MAX: usize = 50_000_000;
/// Most rows of one matrix.
const ROWS_MAX: u64 = 10_000_000_000;
/// Most rows of one user: at three seconds a view, what fits into the days.
const ROWS_OF_USER_MAX: u64 = 1_000_000;
const DAY_MS: i64 = 86_400_000;
/// Groups of videos that tastes are about.
const N_GROUPS: usize = 24;
/// Views of one session.
const SESSION: usize = 30;
/// A bot's rows, at least, where so many are asked for.
const ROWS_OF_BOT: u64 = 1_000;
/// Time between a bot's views: 120 a minute.
const BOT_STEP_MS: i64 = 500;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No time (four of five), or no watch time and no ratio (the fifth).
    Missing,
    /// The same bytes as an earlier row.
    Duplicate,
    /// A time of 1970 or before.
    TimeNotPositive,
    /// The same user and video within a second of an earlier row.
    NearDuplicate,
    /// A time after the year 2100.
    FutureTime,
    /// A length of 0.
    ZeroDuration,
    /// A ratio above [`RATIO_CAP`].
    RatioBeyondCap,
    /// A user who watches two videos a second.
    Bot,
    /// A video (three of four) or user (the fourth) that no table knows.
    UnknownReference,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Duplicate,
        Self::TimeNotPositive,
        Self::NearDuplicate,
        Self::FutureTime,
        Self::ZeroDuration,
        Self::RatioBeyondCap,
        Self::Bot,
        Self::UnknownReference,
    ];

    /// Faults of a row by itself: what a real row is changed into.
    const CHANGES: [Self; 6] = [
        Self::Missing,
        Self::TimeNotPositive,
        Self::FutureTime,
        Self::ZeroDuration,
        Self::RatioBeyondCap,
        Self::UnknownReference,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::TimeNotPositive => "time_not_positive",
            Self::NearDuplicate => "near_duplicate",
            Self::FutureTime => "future_time",
            Self::ZeroDuration => "zero_duration",
            Self::RatioBeyondCap => "ratio_beyond_cap",
            Self::Bot => "bot",
            Self::UnknownReference => "unknown_reference",
        }
    }

    /// What one share of faults is spread over: its part of the whole.
    fn part(self) -> f64 {
        match self {
            Self::Duplicate => 0.30,
            Self::Missing => 0.20,
            Self::TimeNotPositive | Self::NearDuplicate | Self::Bot => 0.10,
            _ => 0.05,
        }
    }
}

/// The share of rows that each fault takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults([f64; Fault::ALL.len()]);

impl Faults {
    /// One share spread over all kinds: 30 % duplicates, 20 % missing, 10 % each of times not positive,
    /// near-duplicates and bots, 5 % each of the rest.
    pub fn spread(share: f64) -> Self {
        Self(Fault::ALL.map(|fault| share * fault.part()))
    }

    /// What the published analysis of KuaiRec dropped from a matrix: 7.71 % exact duplicates of the big one,
    /// 3.89 % rows without time of the small one.
    pub fn like_kuairec(matrix: Matrix) -> Self {
        match matrix {
            Matrix::Big => Self::default().with(Fault::Duplicate, 0.0771),
            Matrix::Small => Self::default().with(Fault::Missing, 0.0389),
        }
    }

    /// The same with one share changed.
    pub fn with(mut self, fault: Fault, share: f64) -> Self {
        self.0[fault as usize] = share;
        self
    }

    /// The share of one fault.
    pub fn share(&self, fault: Fault) -> f64 {
        self.0[fault as usize]
    }
}

/// Which of the two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// What is trained on.
    Big,
    /// Nearly every pair of some users and some videos, none of them in the big one.
    Small,
}

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Users, bots among them.
    pub users: usize,
    /// Videos.
    pub videos: usize,
    /// Rows of the big matrix, faults among them.
    pub rows: u64,
    /// Rows of the small matrix, faults among them; 0 makes none.
    pub small_rows: u64,
    /// Faults of the big matrix.
    pub faults: Faults,
    /// Faults of the small matrix; it has no bots.
    pub small_faults: Faults,
    /// Another seed, other data.
    pub seed: u64,
}

/// A shape that cannot be made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ShapeError {
    /// Too few or too many of something.
    #[error("{count} {what}: expected {at_least} to {at_most}")]
    Count {
        /// Users, videos, rows.
        what: &'static str,
        /// How many were asked for.
        count: u64,
        /// At least.
        at_least: u64,
        /// At most.
        at_most: u64,
    },
    /// A share outside 0 to 1, or too large a sum.
    #[error(
        "faults of {share} in all: expected each from 0 and twice the duplicates plus the others at most 0.9, as each fault stands on, or beside, a row of its own"
    )]
    Share {
        /// The sum.
        share: f64,
    },
}

/// One row of a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Outside id of the user.
    pub user: u32,
    /// Outside id of the video.
    pub video: u32,
    /// Milliseconds watched.
    pub play_ms: Option<u32>,
    /// The video's length in milliseconds.
    pub duration_ms: u32,
    /// Milliseconds since 1970.
    pub time_ms: Option<i64>,
    /// Watch time over length.
    pub ratio: Option<f64>,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// What is known of a generated video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoFacts {
    /// The group of videos it belongs to, below 24.
    pub group: u32,
    /// Its length in milliseconds.
    pub duration_ms: u32,
    /// Its maker.
    pub author: u32,
    /// The day it was published, counted from the first: negative before.
    pub published_day: i32,
    /// How often it is drawn, relative to the others: 1 for the most popular.
    pub popularity: f64,
    /// The median of its watch ratio is multiplied by this.
    pub appeal: f64,
}

/// Random numbers for one user or video.
struct Draw(u64);

impl Draw {
    fn new(seed: u64, kind: u64, row: u64) -> Self {
        Self(mix(mix(seed ^ (kind << 56)) ^ row))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Box & Muller 1958.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How many rows of each kind one user has.
#[derive(Clone, Copy, Debug, Default)]
struct Quota {
    rows: u32,
    faults: [u32; Fault::ALL.len()],
}

/// A generator: all that is decided before the first row, and rows user by user.
#[derive(Debug)]
pub struct Synthetic {
    shape: Shape,
    /// Videos from the most popular to the least, over all and by group; ids are drawn from these.
    by_group: Vec<Vec<u32>>,
    popular: Vec<u32>,
    videos: Vec<VideoFacts>,
    /// Videos of the small matrix.
    small: Vec<bool>,
    small_videos: Vec<u32>,
    small_users: usize,
    n_bots: usize,
    big_quotas: Vec<Quota>,
    small_quotas: Vec<Quota>,
}

impl Synthetic {
    /// Decides what each user gets.
    ///
    /// # Errors
    /// When there is too little or too much of something, or more faults than rows to carry them.
    pub fn new(shape: Shape) -> Result<Self, ShapeError> {
        let within = |what, count: u64, at_least: u64, at_most: u64| {
            if (at_least..=at_most).contains(&count) {
                Ok(())
            } else {
                Err(ShapeError::Count { what, count, at_least, at_most })
            }
        };
        let users = shape.users as u64;
        within("users", users, 2, IDS_MAX as u64)?;
        within("videos", shape.videos as u64, 4, IDS_MAX as u64)?;
        within("rows", shape.rows, users, ROWS_MAX.min(users * ROWS_OF_USER_MAX / 16))?;
        let popular = ranked(shape.videos, shape.seed);
        let mut videos = vec![
            VideoFacts {
                group: 0,
                duration_ms: 0,
                author: 0,
                published_day: 0,
                popularity: 0.0,
                appeal: 0.0
            };
            shape.videos
        ];
        let mut by_group = vec![Vec::new(); N_GROUPS.min(shape.videos)];
        for (rank, &video) in popular.iter().enumerate() {
            let facts = video_facts(&shape, video, rank, by_group.len());
            by_group[facts.group as usize].push(video);
            videos[video as usize] = facts;
        }
        by_group.retain(|group| !group.is_empty());
        // Every third video by rank, and a fifth of the users, as in KuaiRec.
        let mut small = vec![false; shape.videos];
        let (mut small_videos, mut small_users) = (Vec::new(), 0);
        if shape.small_rows > 0 {
            small_users = shape.users.div_ceil(5);
            small_videos = popular.iter().copied().skip(1).step_by(3).collect();
            small_videos.iter().for_each(|&video| small[video as usize] = true);
            let pairs = small_users as u64 * small_videos.len() as u64 / 2;
            within("rows of the small matrix", shape.small_rows, small_users as u64, pairs)?;
        }
        let bot_rows = count_of(&shape.faults, Fault::Bot, shape.rows);
        let n_bots = (bot_rows / ROWS_OF_BOT).max(u64::from(bot_rows > 0)) as usize;
        within("users with so many bots", users, n_bots as u64 + 2, IDS_MAX as u64)?;
        let n_people = shape.users - n_bots;
        let big_quotas = quotas(&shape, Matrix::Big, n_people, shape.rows - bot_rows, &shape.faults)?;
        let small_quotas = if shape.small_rows > 0 {
            let faults = shape.small_faults.with(Fault::Bot, 0.0);
            small_users = small_users.min(n_people);
            quotas(&shape, Matrix::Small, small_users, shape.small_rows, &faults)?
        } else {
            Vec::new()
        };
        Ok(Self {
            shape,
            by_group,
            popular,
            videos,
            small,
            small_videos,
            small_users,
            n_bots,
            big_quotas,
            small_quotas,
        })
    }

    /// What was asked for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Users of a matrix, those with no fault first, bots last.
    pub fn n_users(&self, matrix: Matrix) -> usize {
        match matrix {
            Matrix::Big => self.shape.users,
            Matrix::Small => self.small_quotas.len(),
        }
    }

    /// Bots among the users: the last rows.
    pub fn n_bots(&self) -> usize {
        self.n_bots
    }

    /// How many rows of a matrix have a fault: exactly what was planted.
    pub fn planted(&self, matrix: Matrix, fault: Fault) -> u64 {
        match (matrix, fault) {
            (Matrix::Big, Fault::Bot) => count_of(&self.shape.faults, Fault::Bot, self.shape.rows),
            (Matrix::Big, _) => {
                self.big_quotas.iter().map(|quota| u64::from(quota.faults[fault as usize])).sum()
            }
            (Matrix::Small, _) => {
                self.small_quotas.iter().map(|quota| u64::from(quota.faults[fault as usize])).sum()
            }
        }
    }

    /// How many rows a user of a matrix has.
    pub fn n_rows_of(&self, matrix: Matrix, user: usize) -> u64 {
        let people = self.big_quotas.len();
        match matrix {
            Matrix::Small => u64::from(self.small_quotas[user].rows),
            Matrix::Big if user < people => u64::from(self.big_quotas[user].rows),
            Matrix::Big => {
                let rows = self.planted(Matrix::Big, Fault::Bot);
                let (at, n) = ((user - people) as u64, self.n_bots as u64);
                rows * (at + 1) / n - rows * at / n
            }
        }
    }

    /// What is known of a video.
    ///
    /// # Panics
    /// If there is no such video.
    pub fn video(&self, video: usize) -> &VideoFacts {
        &self.videos[video]
    }

    /// The friends of a user, people all, sorted, each once: none for most.
    pub fn friends_of(&self, user: usize) -> Vec<u32> {
        let people = self.big_quotas.len();
        let mut draw = Draw::new(self.shape.seed, 5, user as u64);
        if user >= people || draw.uniform() > 0.07 {
            return Vec::new();
        }
        let n = 1 + draw.below(4);
        let mut friends: Vec<u32> =
            (0..n).map(|_| draw.below(people) as u32).filter(|&friend| friend as usize != user).collect();
        friends.sort_unstable();
        friends.dedup();
        friends
    }

    /// Appends a user's rows, in the order of the file: by time, except for every second duplicate, which stands
    /// at the user's end.
    ///
    /// # Panics
    /// If the matrix has no such user.
    pub fn rows_of(&self, matrix: Matrix, user: usize, out: &mut Vec<Row>) {
        if matrix == Matrix::Big && user >= self.big_quotas.len() {
            return self.bot(user, out);
        }
        let (quota, kind) = match matrix {
            Matrix::Big => (&self.big_quotas[user], 1),
            Matrix::Small => (&self.small_quotas[user], 2),
        };
        let mut draw = Draw::new(self.shape.seed, kind, user as u64);
        let count = |fault: Fault| quota.faults[fault as usize] as usize;
        let copies = count(Fault::Duplicate) + count(Fault::NearDuplicate);
        let own = quota.rows as usize - copies;
        let mut rows = Vec::with_capacity(own);
        self.views(matrix, user, own, &mut draw, &mut rows);
        // Rows that carry a fault, or stand beside their copy: each once, drawn without replacement.
        let changed: usize = Fault::CHANGES.iter().map(|&fault| count(fault)).sum();
        let mut chosen: Vec<u32> = (0..own as u32).collect();
        for at in 0..changed + copies {
            let other = at + draw.below(own - at);
            chosen.swap(at, other);
        }
        let mut at = 0;
        for fault in Fault::CHANGES {
            for n in 0..count(fault) {
                change(&mut rows[chosen[at] as usize], fault, n, user, &mut draw);
                at += 1;
            }
        }
        const NONE: u8 = 0;
        let mut copied = vec![NONE; own];
        for n in 0..copies {
            copied[chosen[at] as usize] = match n {
                n if n >= count(Fault::Duplicate) => 1,
                n => 2 + (n % 2) as u8,
            };
            at += 1;
        }
        let mut last = Vec::new();
        for (row, copied) in rows.into_iter().zip(copied) {
            out.push(row);
            let duplicate = Row { fault: Some(Fault::Duplicate), ..row };
            match copied {
                1 => out.push(near(row, &mut draw)),
                2 => out.push(duplicate),
                3 => last.push(duplicate),
                _ => {}
            }
        }
        out.append(&mut last);
    }

    /// A user's views without fault: in sessions, in order of time, at least three seconds apart.
    fn views(&self, matrix: Matrix, user: usize, n: usize, draw: &mut Draw, out: &mut Vec<Row>) {
        // Of groups: 55 % of views from the favourite, 25 % from a second, the rest from anywhere.
        let tastes = {
            let mut draw = Draw::new(self.shape.seed, 3, user as u64);
            [draw.below(self.by_group.len()), draw.below(self.by_group.len())]
        };
        let length = SESSION.min(self.shape.videos / 4).max(1);
        let sessions = n.div_ceil(length);
        let slot = i64::from(DAYS) * DAY_MS / sessions.max(1) as i64;
        // What is left of a slot after its views keeps two sessions apart.
        let step_max = (slot * 8 / 10 / length as i64).max(3_000);
        let mut in_session: Vec<u32> = Vec::with_capacity(length);
        // The small matrix shows each of its videos once: a walk through them from a random place.
        let mut walk = draw.below(self.small_videos.len().max(1));
        for session in 0..sessions {
            in_session.clear();
            let spare = (slot - step_max * length as i64 - slot / 10).max(1);
            let mut time = START_MS + slot * session as i64 + (draw.uniform() * spare as f64) as i64;
            let mut group = draw.below(self.by_group.len());
            for at in 0..length.min(n - session * length) {
                let day = ((time - START_MS) / DAY_MS) as i32;
                if at == 0 || draw.uniform() < 0.3 {
                    group = match draw.uniform() {
                        x if x < 0.55 => tastes[0],
                        x if x < 0.80 => tastes[1],
                        _ => draw.below(self.by_group.len()),
                    };
                }
                let video = match matrix {
                    Matrix::Small => {
                        walk = (walk + 1) % self.small_videos.len();
                        self.small_videos[walk]
                    }
                    Matrix::Big => self.choose(user, group, day, &in_session, draw),
                };
                in_session.push(video);
                let facts = &self.videos[video as usize];
                let liked = tastes.contains(&(facts.group as usize));
                let ratio = watch_ratio(facts.appeal, liked, draw);
                let play_ms = (ratio * f64::from(facts.duration_ms)).round() as u32;
                out.push(Row {
                    user: user as u32,
                    video,
                    play_ms: Some(play_ms),
                    duration_ms: facts.duration_ms,
                    time_ms: Some(time),
                    ratio: Some(f64::from(play_ms) / f64::from(facts.duration_ms)),
                    fault: None,
                });
                let pause = 3_000 + (draw.uniform() * 4_000.0) as i64;
                time += (i64::from(play_ms) + pause).min(step_max);
            }
        }
    }

    /// A video of a group that was published by a day, and that the session does not have yet.
    fn choose(&self, user: usize, group: usize, day: i32, session: &[u32], draw: &mut Draw) -> u32 {
        let list = if draw.uniform() < 0.85 { &self.by_group[group] } else { &self.popular };
        let fits = |video: u32| {
            self.videos[video as usize].published_day <= day
                && !session.contains(&video)
                && !(user < self.small_users && self.small[video as usize])
        };
        for _ in 0..24 {
            let video = list[(list.len() as f64 * depth(draw)) as usize];
            if fits(video) {
                return video;
            }
        }
        // Few videos: the first that fits from a random place on; at worst one that is shown too early.
        let from = draw.below(self.popular.len());
        let around = || (0..self.popular.len()).map(|i| self.popular[(from + i) % self.popular.len()]);
        let allowed = |video: &u32| {
            !(session.contains(video) || user < self.small_users && self.small[*video as usize])
        };
        around().find(|&video| fits(video)).or_else(|| around().find(allowed)).unwrap_or(self.popular[0])
    }

    /// A bot's rows: one video after the other, two a second, each for as long.
    fn bot(&self, user: usize, out: &mut Vec<Row>) {
        let n = self.n_rows_of(Matrix::Big, user);
        let mut draw = Draw::new(self.shape.seed, 4, user as u64);
        let first = draw.below(self.popular.len());
        // From the 40th day on, when a day's worth of such views still lies inside.
        let start = START_MS + 40 * DAY_MS + draw.below(DAY_MS as usize) as i64;
        for at in 0..n {
            let video = self.popular[(first + at as usize) % self.popular.len()];
            let duration_ms = self.videos[video as usize].duration_ms;
            let play_ms = 200 + draw.below(250) as u32;
            out.push(Row {
                user: user as u32,
                video,
                play_ms: Some(play_ms),
                duration_ms,
                time_ms: Some(start + at as i64 * BOT_STEP_MS),
                ratio: Some(f64::from(play_ms) / f64::from(duration_ms)),
                fault: Some(Fault::Bot),
            });
        }
    }
}

/// Where in a list from the most to the least popular a view falls, in `[0, 1)`: the density falls with the
/// square root, and thins out to nothing over the last two fifths.
fn depth(draw: &mut Draw) -> f64 {
    loop {
        let x = draw.uniform().powi(2);
        let thin = ((x - 0.6) / 0.4).max(0.0);
        if thin == 0.0 || draw.uniform() < (1.0 - thin).powi(2) {
            return x;
        }
    }
}

/// All videos in a random order: the rank of popularity.
fn ranked(n: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut draw = Draw::new(seed, 6, 0);
    for at in (1..n).rev() {
        order.swap(at, draw.below(at + 1));
    }
    order
}

fn video_facts(shape: &Shape, video: u32, rank: usize, n_groups: usize) -> VideoFacts {
    let mut draw = Draw::new(shape.seed, 7, u64::from(video));
    // A few groups are large; the first ranks hold one of each.
    let group = if rank < n_groups { rank } else { (n_groups as f64 * draw.uniform().powf(1.3)) as usize };
    let x = (rank as f64 + 0.5) / shape.videos as f64;
    VideoFacts {
        group: group as u32,
        duration_ms: (9_500.0 * (0.6 * draw.normal()).exp()).clamp(3_000.0, 315_000.0) as u32,
        author: draw.below((shape.videos * 4 / 5).max(1)) as u32,
        // The most popular eighth was there before the first day, a fifth of the others came later.
        published_day: if x < 0.125 || draw.uniform() < 0.8 {
            -1 - draw.below(60) as i32
        } else {
            draw.below(DAYS as usize - 3) as i32
        },
        popularity: (1.0 / (1.0 + rank as f64)).sqrt() * (1.0 - ((x - 0.6) / 0.4).max(0.0)).powi(2),
        appeal: (0.2 * draw.normal()).exp(),
    }
}

/// A watch ratio: log-normal around what video and taste say, some watched exactly to the end, one in ten
/// thousand in a loop, at most 135.
fn watch_ratio(appeal: f64, liked: bool, draw: &mut Draw) -> f64 {
    match draw.uniform() {
        x if x < 0.08 => 1.0,
        x if x < 0.0801 => 5.0 * 27.0f64.powf(draw.uniform()),
        _ => {
            let taste = if liked { 0.88 } else { 0.50 };
            (taste * appeal * (0.55 * draw.normal()).exp()).clamp(0.05, 20.0)
        }
    }
}

/// The same view a second time, a few milliseconds shorter.
fn near(row: Row, draw: &mut Draw) -> Row {
    let play_ms = row.play_ms.map(|ms| ms.saturating_sub(1 + draw.below(40) as u32).max(1));
    Row {
        play_ms,
        time_ms: row.time_ms.map(|time| time + 100 + draw.below(800) as i64),
        ratio: play_ms.map(|ms| f64::from(ms) / f64::from(row.duration_ms)),
        fault: Some(Fault::NearDuplicate),
        ..row
    }
}

/// Plants a fault; `n` counts those of the same kind of the same user.
fn change(row: &mut Row, fault: Fault, n: usize, user: usize, draw: &mut Draw) {
    row.fault = Some(fault);
    match fault {
        Fault::Missing if (n + user) % 5 < 4 => {
            row.time_ms = None;
            // Without its time only the watch time tells a row from another of the same pair.
            row.play_ms = row.play_ms.map(|ms| ms + 7 * n as u32);
            row.ratio = row.play_ms.map(|ms| f64::from(ms) / f64::from(row.duration_ms));
        }
        Fault::Missing => (row.play_ms, row.ratio) = (None, None),
        // An hour apart, so that no two are near.
        Fault::TimeNotPositive => row.time_ms = Some(-3_600_000 * (n as i64)),
        // 2100 and 30 days for each.
        Fault::FutureTime => row.time_ms = Some(4_102_444_800_000 + 2_592_000_000 * (n as i64 % 400)),
        Fault::ZeroDuration => (row.duration_ms, row.ratio) = (0, Some(0.0)),
        Fault::RatioBeyondCap => {
            let ratio = RATIO_CAP * (1.25 + 3.0 * draw.uniform());
            let play_ms = (ratio * f64::from(row.duration_ms)) as u32;
            row.play_ms = Some(play_ms);
            row.ratio = Some(f64::from(play_ms) / f64::from(row.duration_ms));
        }
        Fault::UnknownReference if (n + user) % 4 < 3 => row.video += UNKNOWN_FROM,
        Fault::UnknownReference => row.user += UNKNOWN_FROM,
        // Copies and bots are rows of their own.
        Fault::Duplicate | Fault::NearDuplicate | Fault::Bot => {}
    }
}

fn count_of(faults: &Faults, fault: Fault, rows: u64) -> u64 {
    (rows as f64 * faults.share(fault)).round() as u64
}

/// Rows and faults of each user, adding up exactly.
fn quotas(
    shape: &Shape,
    matrix: Matrix,
    users: usize,
    rows: u64,
    faults: &Faults,
) -> Result<Vec<Quota>, ShapeError> {
    let total = if matrix == Matrix::Big { shape.rows } else { shape.small_rows };
    let copies = faults.share(Fault::Duplicate) + faults.share(Fault::NearDuplicate);
    let all: f64 = Fault::ALL.iter().map(|&fault| faults.share(fault)).sum();
    let wrong = Fault::ALL.iter().any(|&fault| !(0.0..=1.0).contains(&faults.share(fault)));
    let too_many = ShapeError::Share { share: all };
    if wrong || all + copies > 0.9 {
        return Err(too_many);
    }
    // Log-normal around the mean, with KuaiRec's deviation and bounds: 100 and 16,000 of 1,746.
    let weight = |user: usize| match matrix {
        Matrix::Big => {
            let mut draw = Draw::new(shape.seed, 8, user as u64);
            (0.53 * draw.normal()).exp().clamp(0.065, 10.4)
        }
        Matrix::Small => 1.0,
    };
    let sum: f64 = (0..users).map(weight).sum();
    let (mut reached, mut given) = (0.0, 0u64);
    let mut quotas = vec![Quota::default(); users];
    for (user, quota) in quotas.iter_mut().enumerate() {
        reached += weight(user);
        // One row for each user first, the others by weight.
        let until = if user + 1 == users {
            rows
        } else {
            let spare = (rows - users as u64) as f64;
            user as u64 + 1 + (spare * (reached / sum).min(1.0)) as u64
        };
        quota.rows = (until - given) as u32;
        given = until;
    }
    let mut left = Fault::ALL.map(|fault| match fault {
        Fault::Bot => 0,
        fault => count_of(faults, fault, total),
    });
    let mut free: Vec<u32> = quotas.iter().map(|quota| quota.rows).collect();
    // First to each user by rows, then to whoever has room.
    for pass in 0..2 {
        let (mut seen, planned) = (0u64, left);
        for (quota, free) in quotas.iter_mut().zip(&mut free) {
            seen += u64::from(quota.rows);
            for fault in Fault::ALL {
                let at = fault as usize;
                let takes = if matches!(fault, Fault::Duplicate | Fault::NearDuplicate) { 2 } else { 1 };
                let due = match pass {
                    0 => {
                        let by_now = (u128::from(planned[at]) * u128::from(seen) / u128::from(rows)) as u64;
                        by_now - (planned[at] - left[at]).min(by_now)
                    }
                    _ => left[at],
                };
                let n = due.min(u64::from(*free / takes)).min(left[at]) as u32;
                quota.faults[at] += n;
                *free -= n * takes;
                left[at] -= u64::from(n);
            }
        }
    }
    if left.iter().any(|&left| left > 0) { Err(too_many) } else { Ok(quotas) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn shape() -> Shape {
        Shape {
            users: 60,
            videos: 400,
            rows: 20_000,
            small_rows: 300,
            faults: Faults::spread(0.2),
            small_faults: Faults::like_kuairec(Matrix::Small),
            seed: 7,
        }
    }

    fn all(made: &Synthetic, matrix: Matrix) -> Vec<Row> {
        let mut rows = Vec::new();
        (0..made.n_users(matrix)).for_each(|user| made.rows_of(matrix, user, &mut rows));
        rows
    }

    #[test]
    fn rows_and_faults_are_as_many_as_said_and_can_be_found_again() {
        let made = Synthetic::new(shape()).unwrap();
        let rows = all(&made, Matrix::Big);
        assert_eq!(rows.len(), 20_000);
        for fault in Fault::ALL {
            let planted = rows.iter().filter(|row| row.fault == Some(fault)).count() as u64;
            assert_eq!(planted, made.planted(Matrix::Big, fault), "{fault:?}");
            assert_eq!(planted, (20_000.0 * 0.2 * fault.part()).round() as u64, "{fault:?}");
        }
        // What a cleaner that knows nothing of the labels finds.
        let key = |row: &Row| {
            (row.user, row.video, row.play_ms, row.duration_ms, row.time_ms, row.ratio.map(f64::to_bits))
        };
        let mut seen = HashSet::new();
        let duplicates = rows.iter().filter(|row| !seen.insert(key(row))).count() as u64;
        assert_eq!(duplicates, made.planted(Matrix::Big, Fault::Duplicate));
        let missing = |row: &&Row| row.time_ms.is_none() || row.play_ms.is_none() || row.ratio.is_none();
        assert_eq!(rows.iter().filter(missing).count() as u64, made.planted(Matrix::Big, Fault::Missing));
        let early = rows.iter().filter(|row| row.time_ms.is_some_and(|time| time <= 0)).count() as u64;
        assert_eq!(early, made.planted(Matrix::Big, Fault::TimeNotPositive));
        let beyond =
            rows.iter().filter(|row| row.ratio.is_some_and(|ratio| ratio > RATIO_CAP)).count() as u64;
        assert_eq!(beyond, made.planted(Matrix::Big, Fault::RatioBeyondCap));
        let zero = rows.iter().filter(|row| row.duration_ms == 0).count() as u64;
        assert_eq!(zero, made.planted(Matrix::Big, Fault::ZeroDuration));
        let unknown = rows.iter().filter(|row| row.user >= UNKNOWN_FROM || row.video >= UNKNOWN_FROM);
        assert_eq!(unknown.count() as u64, made.planted(Matrix::Big, Fault::UnknownReference));
        // The first of a duplicated row has no fault, so a duplicate never hides another fault.
        let mut times: HashMap<(u32, u32), Vec<i64>> = HashMap::new();
        for row in rows.iter().filter(|row| !matches!(row.fault, Some(Fault::Duplicate | Fault::Bot))) {
            times.entry((row.user, row.video)).or_default().extend(row.time_ms);
        }
        let near: usize = times
            .values_mut()
            .map(|times| {
                times.sort_unstable();
                times.windows(2).filter(|pair| pair[1] - pair[0] <= 60_000).count()
            })
            .sum();
        assert_eq!(near as u64, made.planted(Matrix::Big, Fault::NearDuplicate));
    }

    #[test]
    fn the_small_matrix_shares_no_pair_with_the_big_one() {
        let made = Synthetic::new(Shape { faults: Faults::default(), ..shape() }).unwrap();
        let pairs = |matrix| -> HashSet<(u32, u32)> {
            all(&made, matrix).iter().map(|row| (row.user, row.video)).collect()
        };
        let (big, small) = (pairs(Matrix::Big), pairs(Matrix::Small));
        assert_eq!(small.len(), 300);
        assert!(big.is_disjoint(&small));
    }

    #[test]
    fn the_same_seed_makes_the_same_rows_and_another_seed_others() {
        let rows = |seed| all(&Synthetic::new(Shape { seed, ..shape() }).unwrap(), Matrix::Big);
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn it_has_the_skew_of_kuairec() {
        let shape = Shape {
            users: 2_000,
            videos: 3_000,
            rows: 1_000_000,
            small_rows: 0,
            faults: Faults::default(),
            ..shape()
        };
        let made = Synthetic::new(shape).unwrap();
        let (mut of_video, mut of_user) = (vec![0u32; 3_000], vec![0u32; 2_000]);
        let rows = all(&made, Matrix::Big);
        for row in &rows {
            of_video[row.video as usize] += 1;
            of_user[row.user as usize] += 1;
        }
        let ratios: Vec<f64> = rows.iter().filter_map(|row| row.ratio).collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let above = ratios.iter().filter(|&&ratio| ratio > 1.0).count() as f64 / ratios.len() as f64;
        let most = *of_video.iter().max().unwrap() as f64 * 3_000.0 / 1e6;
        let users = (*of_user.iter().min().unwrap(), *of_user.iter().max().unwrap());
        // 27,615 of a mean of 1,168 in KuaiRec: 24 times.
        assert!((8.0..30.0).contains(&most), "{most}");
        assert!((0.85..0.98).contains(&mean), "{mean}");
        assert!((0.30..0.38).contains(&above), "{above}");
        assert!(users.0 < 120 && users.1 > 2_000, "{users:?}");
        assert!(ratios.iter().all(|&ratio| ratio <= 136.0) && ratios.iter().any(|&ratio| ratio > 60.0));
    }

    #[test]
    fn more_faults_than_rows_is_an_error_in_words() {
        let error = Synthetic::new(Shape { faults: Faults::spread(0.9), ..shape() }).unwrap_err();
        assert!(error.to_string().contains("at most 0.9"), "{error}");
        let error = Synthetic::new(Shape { users: 1, ..shape() }).unwrap_err();
        assert!(error.to_string().contains("1 users: expected 2 to"), "{error}");
    }
}
