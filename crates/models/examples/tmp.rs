//! Scratch.
use std::sync::Arc;
use std::time::Instant;
use upnext_data::*;
use upnext_features::Content;
use upnext_models::{Training, Pool, Recommender, zoo::{Zoo, Kind}};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&a[1]).unwrap();
    let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
    let max = text.lines().flat_map(|l| l.split(' ').skip(1)).map(|x| x.parse::<u32>().unwrap()).max().unwrap();
    for v in 1..=max { videos.intern(&v.to_string()); }
    for l in text.lines() {
        let mut it = l.split(' ');
        let user = users.intern(it.next().unwrap());
        for v in it { events.push(Event { user, video: videos.row(v).unwrap(), action: Action::Watch, time: 0, value: None, ratio: None }); }
    }
    if a[2] != "-" {
        let j: std::collections::BTreeMap<String, Vec<u32>> = serde_json::from_str(&std::fs::read_to_string(&a[2]).unwrap()).unwrap();
        for (k, v) in j { if let Some(r) = videos.row(&k) { for x in v { videos.label(r, &format!("attribute:{x}")); } } }
    }
    let set = Dataset::new("x", users, videos, events, Order::Sequence, None);
    let t = Instant::now();
    let split = Split::new(&set, &Relevance::default(), SplitRule::LeaveLastOut, 1).unwrap();
    println!("split {:.1}s {} {}", t.elapsed().as_secs_f32(), split.test.len(), split.train.len());
    let t = Instant::now();
    let content = Content::new(&set.videos).map(Arc::new);
    println!("content {:.1}s", t.elapsed().as_secs_f32());
    let candidates: Vec<u32> = (0..set.videos.len() as u32).collect();
    let mut zoo = Zoo::new(Training { interactions: &split.train, content, order: set.order, validation: &split.validation, candidates: &candidates, seed: 1 });
    for name in a[3].split(',') {
        let kind: Kind = name.parse().unwrap();
        let t = Instant::now();
        let fitted = zoo.fit(kind, &[]).unwrap();
        let fit = t.elapsed().as_secs_f32();
        let t = Instant::now();
        let m: &dyn Recommender = fitted.model.as_ref();
        let test = Pool::new(&[m], &split.test, &candidates).measure(&[1.0]);
        println!("{name:24} fit {fit:.1}s test {:.4} {:.4} {:.1}s {}", test.0, test.1, t.elapsed().as_secs_f32(), fitted.note);
    }
}
