//! The pictures that a run keeps of its videos, for whoever shows them: the service, and the map as one file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use upnext_data::Dataset;
use upnext_ingest::pictures::Pictures;

/// Pictures as parts of a page.
#[derive(Default)]
pub(crate) struct Embedded {
    /// The address of each image, which holds it; by row.
    pub(crate) addresses: HashMap<u32, String>,
    /// How many of the rows have a picture.
    pub(crate) of: usize,
}

/// The pictures of a run, by outside ids.
pub(crate) struct OfRun {
    pictures: Pictures,
    set: Arc<Dataset>,
}

impl OfRun {
    /// `None` where the run has none. A page does without them, so that a damaged file is said and left out.
    pub(crate) fn open(run: &Path, set: &Arc<Dataset>) -> Option<Self> {
        match Pictures::open(run, set.videos.len()) {
            Ok(pictures) => Some(Self { pictures: pictures?, set: Arc::clone(set) }),
            Err(error) => {
                tracing::warn!("pictures of videos are left out: {error}");
                None
            }
        }
    }

    /// The pictures of `rows` in their order, until the next one would make the addresses longer than so many bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn embedded(&self, rows: &[u32], bytes_max: usize) -> std::io::Result<Embedded> {
        const BEGINS: &str = "data:image/jpeg;base64,";
        let there: Vec<u32> = rows.iter().copied().filter(|&row| self.pictures.has(row)).collect();
        let (mut addresses, mut bytes) = (HashMap::new(), 0);
        for &row in &there {
            bytes += BEGINS.len() + 4 * self.pictures.size(row).div_ceil(3);
            if bytes > bytes_max {
                break;
            }
            if let Some(jpeg) = self.pictures.read(row)? {
                addresses.insert(row, format!("{BEGINS}{}", BASE64_STANDARD.encode(&jpeg)));
            }
        }
        Ok(Embedded { addresses, of: there.len() })
    }
}

impl upnext_serve::Pictures for OfRun {
    fn has(&self, video: &str) -> bool {
        self.set.videos.row(video).is_some_and(|row| self.pictures.has(row))
    }

    fn read(&self, video: &str) -> std::io::Result<Option<Vec<u8>>> {
        self.set.videos.row(video).map_or(Ok(None), |row| self.pictures.read(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_the_first_pictures_until_the_next_would_be_too_much() {
        let mut videos = upnext_data::Catalogue::new();
        for id in ["a", "b", "c", "d"] {
            videos.intern(id);
        }
        let (users, events) = (upnext_data::Users::new(), upnext_data::Events::new());
        let set = Dataset::new("four", users, videos, events, upnext_data::Order::Timed, None);
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        upnext_ingest::run::write(&run, &set, &Default::default(), &Default::default(), false).unwrap();
        upnext_ingest::pictures::put::<upnext_ingest::run::RunError>(&run, 4, |writer| {
            [&b"abc"[..], b"", b"defg", b"h"].iter().try_for_each(|jpeg| writer.push(jpeg))
        })
        .unwrap();
        let pictures = OfRun::open(&run, &Arc::new(set)).unwrap();
        let shown = |bytes_max| {
            let embedded = pictures.embedded(&[2, 1, 0, 3], bytes_max).unwrap();
            let mut rows: Vec<u32> = embedded.addresses.into_keys().collect();
            rows.sort_unstable();
            (rows, embedded.of)
        };
        assert_eq!(shown(1_000), (vec![0, 2, 3], 3));
        // Each address is 23 letters and the picture's.
        assert_eq!(shown(31 + 27), (vec![0, 2], 3));
        assert_eq!(shown(31 + 26), (vec![2], 3));
        assert_eq!(shown(0), (vec![], 3));
        let embedded = pictures.embedded(&[0], 1_000).unwrap();
        assert_eq!(embedded.addresses[&0], "data:image/jpeg;base64,YWJj");
    }
}
