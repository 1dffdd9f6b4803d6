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

    /// What `ffmpeg` makes of a file. It needs a path: what lies in an archive is written out first.
    fn decoded<Decoded>(
        &self,
        place: usize,
        decode: impl FnOnce(&Ffmpeg, &Path) -> Result<Decoded, String>,
    ) -> Result<Decoded, String> {
        let ffmpeg = self.ffmpeg.ok_or("no `ffmpeg` on the PATH: install the package `ffmpeg`")?;
        if let Some(path) = self.files.path(place) {
            return decode(ffmpeg, &path);
        }
        let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        std::io::copy(&mut self.files.reader(place)?, &mut file)
            .map_err(|error| format!("it cannot be written out of the archive: {error}"))?;
        decode(ffmpeg, file.path())
    }

    fn of_clip(&self, at: usize) -> Result<Option<usize>, String> {
        self.place(at, ("file_bytes_max", self.limits.file_bytes_max))
    }

    /// Opens one that `ffmpeg` decodes.
    fn opened<Owned>(
        &self,
        at: usize,
        is_known: &dyn Fn(&Content) -> bool,
        decode: impl FnOnce(&Ffmpeg, &Path) -> Result<Option<Owned>, String>,
    ) -> Result<Option<Opened<Owned>>, String> {
        let Some(place) = self.of_clip(at)? else { return Ok(None) };
        let content = self.content(self.files.reader(place)?)?;
        if is_known(&content) {
            return Ok(Some(Opened { content, input: None }));
        }
        let input = self.decoded(place, decode)?;
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
        let of_any = ("file_bytes_max", self.limits.file_bytes_max);
        let (key, bytes_max) = [("picture_bytes_max", self.limits.picture_bytes_max), of_any]
            .into_iter()
            .min_by_key(|(_, bytes)| *bytes)
            .unwrap_or(of_any);
        let Some(place) = self.place(at, (key, bytes_max))? else { return Ok(None) };
        let bytes = self.files.read(place)?;
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
        self.opened(at, is_known, |ffmpeg, path| ffmpeg.sound(path, self.limits))
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
        self.opened(at, is_known, |ffmpeg, path| ffmpeg.clip(path, self.limits).map(Some))
    }
}

impl OfFiles<'_> {
    /// The picture that stands for a clip: the frame in its middle; `None` where there is no file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn middle_frame(&self, at: usize) -> Result<Option<Picture>, String> {
        let Some(place) = self.of_clip(at)? else { return Ok(None) };
        self.decoded(place, |ffmpeg, path| ffmpeg.middle_frame(path, self.limits)).map(Some)
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
            let text = catch_unwind(AssertUnwindSafe(|| match files.of_clip(at)? {
                Some(place) => files.decoded(place, |ffmpeg, path| ffmpeg.subtitles(path, files.limits)),
                None => Ok(None),
            }));
            let text = text.unwrap_or_else(|_| Err("its decoder panicked".into()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PictureStatistics;
    use crate::job::{Outcome, run};

    #[test]
    fn files_that_are_too_large_are_named_with_the_bound_that_they_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.png"), [0; 9]).unwrap();
        let files = Files::open(folder.path()).unwrap();
        for (file, picture, expected) in [(8, 9, "file_bytes_max"), (9, 8, "picture_bytes_max")] {
            let limits = Limits { file_bytes_max: file, picture_bytes_max: picture, ..Limits::default() };
            let things = OfFiles { files: &files, places: vec![Some(0)], limits: &limits, ffmpeg: None };
            let outcomes = run::<Picture, Picture>(&PictureStatistics, &things, None, 1, &|_| {}).outcomes;
            let why = format!("9 bytes; expected at most 8 ({expected})");
            assert_eq!(outcomes, [Outcome::Failed(why)]);
        }
    }

    #[test]
    fn subtitles_whose_decoder_panics_are_named_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let limits = Limits::default();
        // There is no ninth file: to ask for it is a fault of the program.
        let things = OfFiles { files: &files, places: vec![Some(9), None], limits: &limits, ffmpeg: None };
        let read = subtitles(&things, 1, &|_| {});
        assert_eq!(read, [Err("its decoder panicked".to_string()), Ok(None)]);
    }
}
