//! Reads files and prints what they are.
fn main() {
    let mut args = std::env::args().skip(1);
    let format = args.next().unwrap().parse().unwrap();
    let (features, files): (Vec<_>, Vec<_>) = args.partition(|a| a.starts_with("+"));
    let options = upnext_ingest::Options {
        format,
        features: features.iter().map(|f| f[1..].into()).collect(),
        ..Default::default()
    };
    let start = std::time::Instant::now();
    match upnext_ingest::read(&files.iter().map(Into::into).collect::<Vec<_>>(), &options, &|_| ()) {
        Ok(i) => {
            println!(
                "{}\n{}\n{:?} {:?} {} parts {:?} labels {} userlabels {} {:?}",
                i.recognised,
                i.cleaning,
                i.notice,
                i.dataset.name,
                i.dataset.digest(),
                i.dataset.parts().map(|p| p.len()),
                i.dataset.videos.labels.len(),
                i.dataset.users.labels.len(),
                i.dataset.order
            );
            for row in [0u32, 1, 500] {
                if (row as usize) < i.dataset.videos.len() {
                    let v = i.dataset.videos.video(row);
                    println!(
                        "{} {:?} {:?}",
                        i.dataset.videos.name(row),
                        v,
                        v.labels.iter().map(|&l| i.dataset.videos.labels.name(l)).collect::<Vec<_>>()
                    );
                }
            }
        }
        Err(e) => println!("ERROR {e}"),
    }
    println!("{:?}", start.elapsed());
}
