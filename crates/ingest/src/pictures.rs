//! `pictures.bin` of a run: small JPEG pictures of its videos for a page, in one file that is read picture by picture.
//!
//! `UPNXPICS`, the version and the number of videos (u32 each, little-endian); the pictures in the order of videos; then the
//! length of each as u32, 0 for a video that has none.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::run::{self, RunError, io_error};

/// The file in a run folder.
pub const PICTURES: &str = "pictures.bin";
/// The command that makes it.
const VERB: &str = "pictures";
const MAGIC: &[u8; 8] = b"UPNXPICS";
/// The version that this build writes and reads.
const VERSION: u32 = 1;
const HEAD_BYTES: u64 = 16;

/// The pictures of a run, opened. They stay on the disk: eight bytes a video are held in memory.
#[derive(Debug)]
pub struct Pictures {
    file: File,
    /// Where each begins, and where the last ends.
    begins: Vec<u64>,
}

/// Brings the pictures of a run into one that has the same videos in the same rows, and others after them; `false` where there are none.
///
/// # Errors
/// When they are damaged or of other videos, or the run cannot be written.
pub fn carry(from: &Path, n_videos: usize, to: &Path, n_videos_to: usize) -> Result<bool, RunError> {
    if Pictures::open(from, n_videos)?.is_none() {
        return Ok(false);
    }
    let Some(mut bytes) = run::read_file(from, PICTURES)? else { return Ok(false) };
    let n = u32::try_from(n_videos_to).unwrap_or(u32::MAX).to_le_bytes();
    bytes[12..16].copy_from_slice(&n);
    // What is new has none: a length of 0.
    bytes.resize(bytes.len() + 4 * n_videos_to.saturating_sub(n_videos), 0);
    run::add_file(to, PICTURES, &bytes)?;
    Ok(true)
}

impl Pictures {
    /// The pictures of a run of so many videos, checked against the manifest; `None` where it has none.
    ///
    /// # Errors
    /// When the file is damaged, of another version, or of other videos.
    pub fn open(run: &Path, n_videos: usize) -> Result<Option<Self>, RunError> {
        match run::open_file(run, PICTURES, VERB)? {
            Some(file) => Self::of(file, &run.join(PICTURES), n_videos).map(Some),
            None => Ok(None),
        }
    }

    fn of(file: File, path: &Path, n_videos: usize) -> Result<Self, RunError> {
        let wrong = |reason: String| {
            let reason = format!("{reason}; make it again with `upnext {VERB}`");
            RunError::Table { path: path.into(), reason }
        };
        let failed = |source| io_error(path, "read", source);
        let bytes = file.metadata().map_err(failed)?.len();
        let lengths_bytes = 4 * n_videos as u64;
        let mut head = [0; HEAD_BYTES as usize];
        if bytes < HEAD_BYTES {
            return Err(wrong(format!("{bytes} bytes are no file of pictures")));
        }
        file.read_exact_at(&mut head, 0).map_err(failed)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..8] != MAGIC {
            return Err(wrong("is no file of pictures".into()));
        }
        if number(8) != VERSION {
            return Err(wrong(format!("is version {}; this build reads {VERSION}", number(8))));
        }
        if number(12) as usize != n_videos {
            return Err(wrong(format!("is of {} videos, and the run has {n_videos}", number(12))));
        }
        let Some(end) = bytes.checked_sub(lengths_bytes).filter(|end| *end >= HEAD_BYTES) else {
            return Err(wrong("ends early".into()));
        };
        let mut lengths = vec![0; lengths_bytes as usize];
        file.read_exact_at(&mut lengths, end).map_err(failed)?;
        let mut begins = Vec::with_capacity(n_videos + 1);
        begins.push(HEAD_BYTES);
        for length in lengths.as_chunks::<4>().0 {
            begins.push(begins[begins.len() - 1] + u64::from(u32::from_le_bytes(*length)));
        }
        if begins[n_videos] != end {
            return Err(wrong("its lengths do not add up".into()));
        }
        Ok(Self { file, begins })
    }

    /// How many videos have one.
    pub fn count(&self) -> usize {
        self.begins.windows(2).filter(|ends| ends[0] < ends[1]).count()
    }

    /// Whether a video has one.
    pub fn has(&self, row: u32) -> bool {
        self.size(row) > 0
    }

    /// The bytes of a video's picture; 0 where it has none.
    pub fn size(&self, row: u32) -> usize {
        let row = row as usize;
        self.begins.get(row + 1).map_or(0, |end| (end - self.begins[row]) as usize)
    }

    /// A video's picture, as a JPEG file.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(&self, row: u32) -> io::Result<Option<Vec<u8>>> {
        if !self.has(row) {
            return Ok(None);
        }
        let mut jpeg = vec![0; self.size(row)];
        self.file.read_exact_at(&mut jpeg, self.begins[row as usize])?;
        Ok(Some(jpeg))
    }
}

/// A file of pictures that is being written, in the order of videos.
pub struct Writer<'a> {
    out: &'a mut dyn Write,
    path: PathBuf,
    lengths: Vec<u32>,
}

impl Writer<'_> {
    /// The picture of the next video; without bytes it has none.
    ///
    /// # Errors
    /// When the disk cannot be written.
    ///
    /// # Panics
    /// If a picture has 4 GiB or more.
    pub fn push(&mut self, jpeg: &[u8]) -> Result<(), RunError> {
        self.lengths.push(u32::try_from(jpeg.len()).expect("a small picture has less than 4 GiB"));
        self.put(jpeg)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), RunError> {
        self.out.write_all(bytes).map_err(|source| io_error(&self.path, "written", source))
    }
}

/// Writes the pictures of a run of so many videos, one after another as `fill` has them; those that were there give way
/// when all are written. Where `fill` fails, the run stays as it was.
///
/// # Errors
/// Those of `fill`, or when the folder is no run or cannot be written.
///
/// # Panics
/// If `fill` pushes more or fewer than there are videos.
pub fn put<E: From<RunError>>(
    run: &Path,
    n_videos: usize,
    fill: impl FnOnce(&mut Writer<'_>) -> Result<(), E>,
) -> Result<(), E> {
    run::add_file_by(run, PICTURES, |out| {
        let mut writer = Writer { out, path: run.join(PICTURES), lengths: Vec::with_capacity(n_videos) };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        writer.put(&u32::try_from(n_videos).expect("rows are u32").to_le_bytes())?;
        fill(&mut writer)?;
        assert_eq!(writer.lengths.len(), n_videos, "a picture or nothing for each video");
        for length in std::mem::take(&mut writer.lengths) {
            writer.put(&length.to_le_bytes())?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use upnext_data::{Catalogue, Dataset, Events, Order, Users};

    use super::*;
    use crate::CleaningReport;

    /// A run of three videos.
    fn run_of_three() -> (tempfile::TempDir, PathBuf) {
        let mut videos = Catalogue::new();
        for id in ["a", "b", "c"] {
            videos.intern(id);
        }
        let set = Dataset::new("three", Users::new(), videos, Events::new(), Order::Timed, None);
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        run::write(&run, &set, &CleaningReport::default(), &run::About::default(), false).unwrap();
        (folder, run)
    }

    fn put_three(run: &Path, pictures: [&[u8]; 3]) {
        let filled = |writer: &mut Writer| pictures.iter().try_for_each(|jpeg| writer.push(jpeg));
        put::<RunError>(run, 3, filled).unwrap();
    }

    /// Bytes as a file of pictures of three videos, without a manifest.
    fn read(bytes: &[u8]) -> Result<Pictures, RunError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Pictures::of(File::open(file.path()).unwrap(), file.path(), 3)
    }

    #[test]
    fn each_video_has_its_own_picture_or_none() {
        let (_folder, run) = run_of_three();
        assert!(Pictures::open(&run, 3).unwrap().is_none());
        put_three(&run, [b"first", b"", b"the third"]);
        let pictures = Pictures::open(&run, 3).unwrap().unwrap();
        assert_eq!(pictures.count(), 2);
        assert_eq!([0, 1, 2, 3, u32::MAX].map(|row| pictures.has(row)), [true, false, true, false, false]);
        assert_eq!(pictures.read(0).unwrap().unwrap(), b"first");
        assert_eq!((pictures.read(1).unwrap(), pictures.read(9).unwrap()), (None, None));
        assert_eq!(pictures.read(2).unwrap().unwrap(), b"the third");
        // Who has it open reads on in what was opened.
        put_three(&run, [b"", b"another", b""]);
        assert_eq!(pictures.read(2).unwrap().unwrap(), b"the third");
        assert_eq!(Pictures::open(&run, 3).unwrap().unwrap().count(), 1);
    }

    #[test]
    fn what_fails_halfway_leaves_the_run_as_it_was() {
        let (_folder, run) = run_of_three();
        put_three(&run, [b"first", b"", b""]);
        let files =
            || fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let (before, manifest) = (files(), run::manifest(&run).unwrap());
        let halfway = put(&run, 3, |writer| {
            writer.push(b"more")?;
            Err(RunError::Name { name: "enough".into() })
        });
        assert!(halfway.is_err());
        assert_eq!((files(), run::manifest(&run).unwrap()), (before, manifest));
        assert_eq!(Pictures::open(&run, 3).unwrap().unwrap().read(0).unwrap().unwrap(), b"first");
    }

    #[test]
    fn a_torn_or_changed_file_is_refused_with_the_command_that_makes_it_again() {
        let (_folder, run) = run_of_three();
        put_three(&run, [b"first", b"", b"the third"]);
        let whole = fs::read(run.join(PICTURES)).unwrap();
        for end in 0..whole.len() {
            let error = read(&whole[..end]).unwrap_err().to_string();
            assert!(error.contains("make it again with `upnext pictures`"), "{end}: {error}");
        }
        assert!(read(&whole).is_ok());
        let refused = |bytes: &[u8], says: &str| {
            fs::write(run.join(PICTURES), bytes).unwrap();
            let error = Pictures::open(&run, 3).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("upnext pictures"), "{error}");
        };
        refused(&whole[..whole.len() - 1], "bytes, expected");
        let mut changed = whole.clone();
        changed[20] ^= 1;
        refused(&changed, "its digest is another");
        fs::remove_file(run.join(PICTURES)).unwrap();
        assert!(Pictures::open(&run, 3).unwrap_err().to_string().contains("it is missing"));
    }

    #[test]
    fn a_file_of_another_version_or_of_other_videos_says_so() {
        let (_folder, run) = run_of_three();
        put_three(&run, [b"first", b"", b""]);
        let whole = fs::read(run.join(PICTURES)).unwrap();
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            read(&bytes).unwrap_err().to_string()
        };
        assert!(with(0, b'X').contains("no file of pictures"));
        assert!(with(8, 2).contains("is version 2; this build reads 1"));
        assert!(with(12, 4).contains("is of 4 videos, and the run has 3"));
        assert!(with(whole.len() - 12, 9).contains("do not add up"));
    }
}
