//! What a catalogue has to be encoded: texts in memory, and pictures, sound, clips and subtitles in files.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

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

    fn size(&self, text: &String) -> usize {
        text.len()
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
    fn content(&self, bytes: impl Read) -> Result<Content, String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(serde_json::to_string(self.limits).unwrap_or_default().as_bytes());
        hasher.update_reader(bytes).map_err(|error| error.to_string())?;
        Ok(*hasher.finalize().as_bytes())
    }

    /// Where the file of a video stands in the list; its size is within the bound.
    fn place(&self, at: usize, (key, bytes_max): (&str, u64)) -> Result<Option<usize>, String> {
        let Some(place) = self.places[at] else { return Ok(None) };
        match self.files.listed()[place].size {
            0 => Err("an empty file".into()),
            size if size > bytes_max => Err(format!("{size} bytes; expected at most {bytes_max} ({key})")),
            _ => Ok(Some(place)),
        }
    }

    /// Opens one through its path, which `ffmpeg` needs: what lies in an archive is written out first.
    fn by_path<Owned>(
        &self,
        at: usize,
        is_known: &dyn Fn(&Content) -> bool,
        decode: impl FnOnce(&Ffmpeg, &Path) -> Result<Option<Owned>, String>,
    ) -> Result<Option<Opened<Owned>>, String> {
        let bytes_max = self.limits.file_bytes_max;
        let Some(place) = self.place(at, ("file_bytes_max", bytes_max))? else { return Ok(None) };
        let content = self.content(self.files.reader(place, bytes_max)?)?;
        if is_known(&content) {
            return Ok(Some(Opened { content, input: None }));
        }
        let ffmpeg = self.ffmpeg.ok_or("no `ffmpeg` on the PATH: install the package `ffmpeg`")?;
        let input = match self.files.path(place) {
            Some(path) => decode(ffmpeg, &path)?,
            None => {
                let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
                std::io::copy(&mut self.files.reader(place, bytes_max)?, &mut file)
                    .map_err(|error| format!("it cannot be written out of the archive: {error}"))?;
                decode(ffmpeg, file.path())?
            }
        };
        Ok(input.map(|input| Opened { content, input: Some(input) }))
    }
}

impl Things<Picture> for OfFiles<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn size(&self, picture: &Picture) -> usize {
        picture.rgb().len()
    }

    fn open(
        &self,
        at: usize,
        is_known: &dyn Fn(&Content) -> bool,
    ) -> Result<Option<Opened<Picture>>, String> {
        let bytes_max = self.limits.file_bytes_max.min(self.limits.picture_bytes_max);
        let Some(place) = self.place(at, ("picture_bytes_max", bytes_max))? else { return Ok(None) };
        let bytes = self.files.read(place, bytes_max)?;
        let content = self.content(bytes.as_slice())?;
        let input = if is_known(&content) { None } else { Some(Picture::decode(&bytes, self.limits)?) };
        Ok(Some(Opened { content, input }))
    }
}

impl Things<Sound> for OfFiles<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn size(&self, sound: &Sound) -> usize {
        size_of_val(sound.samples.as_slice())
    }

    fn open(&self, at: usize, is_known: &dyn Fn(&Content) -> bool) -> Result<Option<Opened<Sound>>, String> {
        self.by_path(at, is_known, |ffmpeg, path| ffmpeg.sound(path, self.limits))
    }
}

impl Things<Clip> for OfFiles<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn size(&self, clip: &Clip) -> usize {
        let sound = clip.sound.as_ref().map_or(0, |sound| size_of_val(sound.samples.as_slice()));
        clip.frames.iter().map(|frame| frame.rgb().len()).sum::<usize>() + sound
    }

    fn open(&self, at: usize, is_known: &dyn Fn(&Content) -> bool) -> Result<Option<Opened<Clip>>, String> {
        self.by_path(at, is_known, |ffmpeg, path| ffmpeg.clip(path, self.limits).map(Some))
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
            // One that panics is no reason to lose the rest.
            let opened = catch_unwind(AssertUnwindSafe(|| {
                files.by_path(at, &|_| false, |ffmpeg, path| ffmpeg.subtitles(path, files.limits))
            }));
            let opened = opened.unwrap_or_else(|_| Err("its decoder panicked".into()));
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
