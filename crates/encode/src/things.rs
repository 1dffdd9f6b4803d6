//! What a catalogue has to be encoded: texts in memory, and pictures, sound, clips and subtitles in files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cache::Content;
use crate::job::{Opened, Things};
use crate::{Clip, Ffmpeg, Files, Limits, Picture, Sound, cleaned};

/// Texts, one a video; `None` where there is none.
pub struct Texts {
    texts: Vec<Option<String>>,
}

impl Texts {
    /// Cleaned, and cut to the bound.
    pub fn new<'a>(texts: impl IntoIterator<Item = Option<&'a str>>, limits: &Limits) -> Self {
        let clean = |text: Option<&str>| cleaned(text?, limits.text_bytes_max);
        Self { texts: texts.into_iter().map(clean).collect() }
    }

    /// Those that are there.
    pub fn there(&self) -> Vec<&str> {
        self.texts.iter().flatten().map(String::as_str).collect()
    }
}

impl Things<String> for Texts {
    fn len(&self) -> usize {
        self.texts.len()
    }

    fn open(&self, at: usize, is_known: &dyn Fn(&Content) -> bool) -> Result<Option<Opened<String>>, String> {
        let Some(text) = &self.texts[at] else { return Ok(None) };
        let content = *blake3::hash(text.as_bytes()).as_bytes();
        Ok(Some(Opened { content, input: (!is_known(&content)).then(|| text.clone()) }))
    }
}

/// Files, one a video or none, and how far each is read.
pub struct OfFiles<'a> {
    /// Where they lie.
    pub files: &'a Files,
    /// The file of each video.
    pub places: Vec<Option<usize>>,
    /// The bounds.
    pub limits: &'a Limits,
    /// What decodes clips and sound; pictures do without.
    pub ffmpeg: Option<&'a Ffmpeg>,
}

impl OfFiles<'_> {
    /// A digest of a file's bytes and of the bounds, which decide what is seen of them.
    fn content(
        &self,
        hash: impl FnOnce(&mut blake3::Hasher) -> Result<(), String>,
    ) -> Result<Content, String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(serde_json::to_string(self.limits).unwrap_or_default().as_bytes());
        hash(&mut hasher)?;
        Ok(*hasher.finalize().as_bytes())
    }

    /// Opens one through its path, which `ffmpeg` needs: what lies in an archive is written out first.
    fn by_path<Owned>(
        &self,
        at: usize,
        is_known: &dyn Fn(&Content) -> bool,
        decode: impl FnOnce(&Ffmpeg, &Path) -> Result<Option<Owned>, String>,
    ) -> Result<Option<Opened<Owned>>, String> {
        let Some(place) = self.places[at] else { return Ok(None) };
        let bytes_max = self.limits.file_bytes_max;
        let size = self.files.listed()[place].size;
        if size > bytes_max {
            return Err(format!("{size} bytes; expected at most {bytes_max} (file_bytes_max)"));
        }
        if size == 0 {
            return Err("an empty file".into());
        }
        let (path, _written): (PathBuf, Option<tempfile::NamedTempFile>) = match self.files.path(place) {
            Some(path) => (path, None),
            None => {
                let bytes = self.files.read(place, bytes_max)?;
                let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
                file.write_all(&bytes).map_err(|error| error.to_string())?;
                (file.path().to_path_buf(), Some(file))
            }
        };
        let content = self.content(|hasher| {
            let file = File::open(&path).map_err(|error| error.to_string())?;
            hasher.update_reader(file).map_err(|error| error.to_string())?;
            Ok(())
        })?;
        if is_known(&content) {
            return Ok(Some(Opened { content, input: None }));
        }
        let ffmpeg = self.ffmpeg.ok_or("no `ffmpeg` on the PATH: install the package `ffmpeg`")?;
        Ok(decode(ffmpeg, &path)?.map(|input| Opened { content, input: Some(input) }))
    }
}

impl Things<Picture> for OfFiles<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn open(
        &self,
        at: usize,
        is_known: &dyn Fn(&Content) -> bool,
    ) -> Result<Option<Opened<Picture>>, String> {
        let Some(place) = self.places[at] else { return Ok(None) };
        let bytes = self.files.read(place, self.limits.file_bytes_max)?;
        let content = self.content(|hasher| {
            hasher.update(&bytes);
            Ok(())
        })?;
        let input = if is_known(&content) { None } else { Some(Picture::decode(&bytes, self.limits)?) };
        Ok(Some(Opened { content, input }))
    }
}

impl Things<Sound> for OfFiles<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn open(&self, at: usize, is_known: &dyn Fn(&Content) -> bool) -> Result<Option<Opened<Sound>>, String> {
        self.by_path(at, is_known, |ffmpeg, path| ffmpeg.sound(path, self.limits))
    }
}

impl Things<Clip> for OfFiles<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn open(&self, at: usize, is_known: &dyn Fn(&Content) -> bool) -> Result<Option<Opened<Clip>>, String> {
        self.by_path(at, is_known, |ffmpeg, path| ffmpeg.clip(path, self.limits).map(Some))
    }
}

impl OfFiles<'_> {
    /// The picture that stands for a clip: the frame in its middle; `None` where there is no file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn middle_frame(&self, at: usize) -> Result<Option<Picture>, String> {
        let opened =
            self.by_path(at, &|_| false, |ffmpeg, path| ffmpeg.middle_frame(path, self.limits).map(Some))?;
        Ok(opened.and_then(|opened| opened.input))
    }
}

/// The subtitles of files are read before anything is encoded: encoders of text may have to see all of them at once. Of
/// each file its text, nothing, or what is wrong with it.
pub fn subtitles(
    files: &OfFiles<'_>,
    workers: usize,
    progress: &(dyn Fn(usize) + Sync),
) -> Vec<Result<Option<String>, String>> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let n = files.places.len();
    let found = Mutex::new(vec![Ok(None); n]);
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= n {
                return;
            }
            let opened = files.by_path(at, &|_| false, |ffmpeg, path| ffmpeg.subtitles(path, files.limits));
            let text = opened.map(|opened| opened.and_then(|opened| opened.input));
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[at] = text;
            progress(at + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.max(1) {
            scope.spawn(work);
        }
        work();
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
