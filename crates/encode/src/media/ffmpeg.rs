//! Frames, sound and subtitles of any clip, by `ffmpeg` in a process of its own: bounded in time, in bytes, and in what it
//! may open.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Clip, Limits, Picture, Sound, cleaned};
use crate::EncodeError;

/// The two programs, found.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
}

/// Containers that hold what they show. Playlists are not among them: they name other files and servers.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,wav,mp3,flac,aac,aiff,\
                          amr,caf,gif,h264,hevc,ivf,m4v,mjpeg,rm,vc1,y4m,yuv4mpegpipe,nut,mxf,dv,au,ac3,eac3";
/// Frames a second at least: whatever length a file claims, one frame comes within its first seventeen minutes.
const RATE_MIN: f64 = 0.001;
/// Of longer clips only key frames are decoded, or an hour of them would take minutes.
const ALL_FRAMES_SECONDS_MAX: f64 = 60.0;
/// Samples a second that sound is brought to.
pub(crate) const SOUND_RATE: u32 = 16_000;
/// What is kept of what a program says when it fails.
const SAID_BYTES_MAX: u64 = 4_096;

/// What a clip has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Probe {
    seconds: Option<f64>,
    has_picture: bool,
    has_sound: bool,
    has_subtitles: bool,
}

/// Pixels of a side of a middle frame before its bound is applied: a clip may claim any shape for its pixels.
const LONG_SIDE: u32 = 4_096;

impl Ffmpeg {
    /// Looks for `ffmpeg` and `ffprobe` on the path.
    ///
    /// # Errors
    /// When either is missing.
    pub fn find() -> Result<Self, EncodeError> {
        Self::on(&std::env::var_os("PATH").unwrap_or_default())
    }

    fn on(paths: &OsString) -> Result<Self, EncodeError> {
        let find = |name: &str| {
            std::env::split_paths(paths)
                .map(|folder| folder.join(name))
                .find(|path| path.is_file())
                .ok_or_else(|| {
                    EncodeError::of(
                        name,
                        "not found on the PATH; clips and sound need it: install the package `ffmpeg`",
                    )
                })
        };
        Ok(Self { ffmpeg: find("ffmpeg")?, ffprobe: find("ffprobe")? })
    }

    /// A clip's frames and sound.
    ///
    /// # Errors
    /// Says what is wrong with it, for a list of failures.
    pub fn clip(&self, file: &Path, limits: &Limits) -> Result<Clip, String> {
        let probe = self.probe(file, limits)?;
        if !probe.has_picture && !probe.has_sound {
            return Err("neither picture nor sound in it".into());
        }
        // Where one of the two cannot be decoded, the other is still worth having.
        let frames = self.frames(file, &probe, limits);
        let sound = self.sound_of(file, &probe, limits);
        match (frames, sound) {
            (Err(why), Err(_) | Ok(None)) => Err(why),
            (Ok((frames, _)), Err(why)) if frames.is_empty() => Err(why),
            (Ok((frames, _)), Ok(None)) if frames.is_empty() => Err("nothing in it can be decoded".into()),
            (frames, sound) => {
                let (frames, seconds_between) = frames.unwrap_or_default();
                Ok(Clip { frames, seconds_between, sound: sound.unwrap_or_default() })
            }
        }
    }

    /// The frame in the middle of a clip, upright and with square pixels. Where nothing can be decoded there, its first.
    ///
    /// # Errors
    /// As for [`clip`](Self::clip).
    pub fn middle_frame(&self, file: &Path, limits: &Limits) -> Result<Picture, String> {
        let probe = self.probe(file, limits)?;
        if !probe.has_picture {
            return Err("no picture in it".into());
        }
        let side = limits.frame_side_max;
        let filter = format!(
            "scale='clip(iw*sar,1,{LONG_SIDE})':'min({LONG_SIDE},ih)',setsar=1,scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease,format=rgb24"
        );
        let arguments =
            ["-map", "0:V:0", "-vf", &filter, "-frames:v", "1", "-c:v", "ppm", "-f", "image2pipe", "-"]
                .map(String::from);
        let bytes_max = 64 + 3 * u64::from(side) * u64::from(side);
        let from = |before: &[&str]| {
            let bytes = self.decode(file, (before, &arguments), bytes_max, limits)?;
            portable_pixmaps(&bytes).pop().ok_or_else(|| "nothing in it can be decoded".to_string())
        };
        let middle = probe.seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        match middle.map(|seconds| format!("{:.3}", seconds / 2.0)) {
            // A length that a file only claims leads behind its end.
            Some(middle) => from(&["-ss", &middle]).or_else(|_| from(&[])),
            None => from(&[]),
        }
    }

    /// A file's sound; `None` where it has none.
    ///
    /// # Errors
    /// As for [`clip`](Self::clip).
    pub fn sound(&self, file: &Path, limits: &Limits) -> Result<Option<Sound>, String> {
        self.sound_of(file, &self.probe(file, limits)?, limits)
    }

    /// The text of a file's first subtitles; `None` where it has none.
    ///
    /// # Errors
    /// As for [`clip`](Self::clip).
    pub fn subtitles(&self, file: &Path, limits: &Limits) -> Result<Option<String>, String> {
        if !self.probe(file, limits)?.has_subtitles {
            return Ok(None);
        }
        let arguments = ["-map", "0:s:0", "-f", "srt", "-"];
        let bytes =
            self.decode(file, (&[], &arguments.map(String::from)), 4 * limits.text_bytes_max as u64, limits)?;
        Ok(cleaned(&spoken(&String::from_utf8_lossy(&bytes)), limits.text_bytes_max))
    }

    fn probe(&self, file: &Path, limits: &Limits) -> Result<Probe, String> {
        let mut command = Command::new(&self.ffprobe);
        command.args(["-v", "error", "-format_whitelist", CONTAINERS, "-protocol_whitelist", "file"]);
        command.args(["-show_entries", "format=duration:stream=codec_type:stream_disposition=attached_pic"]);
        command.args(["-of", "json"]).arg(input(file));
        let bytes = bounded(command, (1 << 20, Partial::IsNothing), limits.ffmpeg_time())?;
        let about: Value =
            serde_json::from_slice(&bytes).map_err(|_| "ffprobe does not say what it is".to_string())?;
        let mut probe = Probe {
            seconds: about["format"]["duration"].as_str().and_then(|text| text.parse().ok()),
            ..Probe::default()
        };
        for stream in about["streams"].as_array().into_iter().flatten() {
            // The cover of a song is no moving picture.
            let is_cover = stream["disposition"]["attached_pic"] == 1;
            match stream["codec_type"].as_str() {
                Some("video") if !is_cover => probe.has_picture = true,
                Some("audio") => probe.has_sound = true,
                Some("subtitle") => probe.has_subtitles = true,
                _ => {}
            }
        }
        Ok(probe)
    }

    /// Frames spread over the whole clip, and the seconds between them.
    fn frames(&self, file: &Path, probe: &Probe, limits: &Limits) -> Result<(Vec<Picture>, f64), String> {
        if !probe.has_picture {
            return Ok((Vec::new(), 0.0));
        }
        let seconds = probe.seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        let over_all = seconds.map_or(f64::INFINITY, |seconds| limits.frames_max as f64 / seconds);
        let rate = limits.frames_per_second.min(over_all).max(RATE_MIN);
        let side = limits.frame_side_max;
        let filter = format!(
            "fps={rate:.6}:start_time=0:round=up,scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease,format=rgb24"
        );
        let most = limits.frames_max.to_string();
        let arguments =
            ["-map", "0:V:0", "-vf", &filter, "-frames:v", &most, "-c:v", "ppm", "-f", "image2pipe", "-"];
        let frame_bytes = 64 + 3 * u64::from(side) * u64::from(side);
        let bytes_max = frame_bytes * limits.frames_max as u64;
        let key_frames_alone = seconds.is_some_and(|seconds| seconds > ALL_FRAMES_SECONDS_MAX);
        let before: &[&str] = if key_frames_alone { &["-skip_frame", "nokey"] } else { &[] };
        let bytes = self.decode(file, (before, &arguments.map(String::from)), bytes_max, limits)?;
        Ok((portable_pixmaps(&bytes), 1.0 / rate))
    }

    fn sound_of(&self, file: &Path, probe: &Probe, limits: &Limits) -> Result<Option<Sound>, String> {
        if !probe.has_sound {
            return Ok(None);
        }
        let (seconds, rate) = (limits.sound_seconds_max.to_string(), SOUND_RATE.to_string());
        let arguments = ["-map", "0:a:0", "-t", &seconds, "-ac", "1", "-ar", &rate, "-f", "f32le", "-"];
        let bytes_max = (limits.sound_seconds_max * f64::from(4 * SOUND_RATE)) as u64 + 65_536;
        let bytes = self.decode(file, (&[], &arguments.map(String::from)), bytes_max, limits)?;
        let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
        let samples: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(number)
            .map(|x| if x.is_finite() { x } else { 0.0 })
            .collect();
        Ok((!samples.is_empty()).then_some(Sound { rate: SOUND_RATE, samples }))
    }

    fn decode(
        &self,
        file: &Path,
        (before, arguments): (&[&str], &[String]),
        bytes_max: u64,
        limits: &Limits,
    ) -> Result<Vec<u8>, String> {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-v", "error", "-nostdin", "-threads", "1"]);
        command.args(["-format_whitelist", CONTAINERS, "-protocol_whitelist", "file,pipe"]);
        command.args(before).arg("-i").arg(input(file)).args(arguments);
        bounded(command, (bytes_max, Partial::IsKept), limits.ffmpeg_time())
    }
}

/// A path as `ffmpeg` takes it for a path, whatever it begins with.
fn input(file: &Path) -> OsString {
    let mut input = OsString::from("file:");
    input.push(file);
    input
}

/// What a program writes. It is killed when its time is over; what it has written beyond the bound is left unread, and
/// then it is killed as well.
fn bounded(
    mut command: Command,
    (bytes_max, partial): (u64, Partial),
    time: Duration,
) -> Result<Vec<u8>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (Some(out), Some(err)) = (out, err) else { return Err(format!("{program} has no output")) };
    let read = |from: Box<dyn Read + Send>, most: u64| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks ends what can be read of it.
            let _ = from.take(most).read_to_end(&mut bytes);
            bytes
        })
    };
    let (out, err) = (read(Box::new(out), bytes_max), read(Box::new(err), SAID_BYTES_MAX));
    let ended = wait(&mut child, time, || out.is_finished());
    if matches!(ended, Ended::Late) {
        // Not joined: whoever it started may hold the pipes still.
        return Err(format!("{program} was killed after {} s (ffmpeg_seconds_max)", time.as_secs_f64()));
    }
    let bytes = out.join().map_err(|_| format!("{program} could not be read"))?;
    let said = err.join().unwrap_or_default();
    // Broken clips decode up to where they break, and that is better than nothing.
    if matches!(ended, Ended::Well) || partial == Partial::IsKept && !bytes.is_empty() {
        return Ok(bytes);
    }
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    Err(format!("{program}: {}", last.trim().chars().take(200).collect::<String>()))
}

/// What is made of the output of a program that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Partial {
    IsKept,
    IsNothing,
}

enum Ended {
    Well,
    Badly,
    Late,
}

fn wait(child: &mut Child, time: Duration, all_read: impl Fn() -> bool) -> Ended {
    const LOOKS_EVERY: Duration = Duration::from_millis(5);
    /// After all that may be read has been read, it has so long to end by itself.
    const GRACE: Duration = Duration::from_millis(500);
    let begun = Instant::now();
    let mut read_since = None;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ended::Well,
            Ok(Some(_)) | Err(_) => return Ended::Badly,
            Ok(None) => {}
        }
        if read_since.is_none() && all_read() {
            read_since = Some(Instant::now());
        }
        let over = read_since.is_some_and(|since| since.elapsed() > GRACE);
        if over || begun.elapsed() > time {
            // It may have ended meanwhile: both fail harmlessly then.
            let _ = child.kill();
            let _ = child.wait();
            return if over { Ended::Well } else { Ended::Late };
        }
        thread::sleep(LOOKS_EVERY);
    }
}

/// The whole pictures of a stream of portable pixmaps.
fn portable_pixmaps(mut bytes: &[u8]) -> Vec<Picture> {
    let mut pictures = Vec::new();
    while let Some((width, height, begins)) = pixmap_head(bytes) {
        let n = 3 * width as usize * height as usize;
        let Some(rgb) = bytes.get(begins..begins + n) else { break };
        pictures.push(Picture::new(width, height, rgb.to_vec()));
        bytes = &bytes[begins + n..];
    }
    pictures
}

/// Width, height and where pixels begin: `P6`, two numbers and 255, each behind one blank or line end.
fn pixmap_head(bytes: &[u8]) -> Option<(u32, u32, usize)> {
    let head = bytes.get(..bytes.len().min(64))?;
    let mut parts = head.split(|byte| byte.is_ascii_whitespace());
    let mut begins = 0;
    let mut next = || {
        let part = std::str::from_utf8(parts.next()?).ok()?;
        begins += part.len() + 1;
        Some(part)
    };
    let is_pixmap = next()? == "P6";
    let (width, height) = (next()?.parse().ok()?, next()?.parse().ok()?);
    (is_pixmap && next()? == "255" && width > 0 && height > 0).then_some((width, height, begins))
}

/// What is said in subtitles: without numbers, times and markup.
fn spoken(subtitles: &str) -> String {
    let mut text = String::new();
    for line in subtitles.lines().map(str::trim) {
        if line.is_empty() || line.contains("-->") || line.chars().all(|letter| letter.is_ascii_digit()) {
            continue;
        }
        let mut inside = 0;
        for letter in line.chars() {
            match letter {
                '<' | '{' => inside += 1,
                '>' | '}' if inside > 0 => inside -= 1,
                _ if inside == 0 => text.push(letter),
                _ => {}
            }
        }
        text.push(' ');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixmaps_are_read_one_after_another_and_half_a_one_is_left() {
        let mut bytes = b"P6\n2 1\n255\nabcdefP6\n1 1\n255\nxyz".to_vec();
        let pictures = portable_pixmaps(&bytes);
        assert_eq!(pictures, [Picture::new(2, 1, b"abcdef".to_vec()), Picture::new(1, 1, b"xyz".to_vec())]);
        bytes.pop();
        assert_eq!(portable_pixmaps(&bytes).len(), 1);
        assert!(portable_pixmaps(b"P5\n1 1\n255\nx").is_empty() && portable_pixmaps(b"").is_empty());
    }

    #[test]
    fn subtitles_become_what_is_said() {
        let srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>Hello</i> {\\an8}there\n\n2\n00:00:03,000 --> 00:00:04,000\nGo!\n";
        assert_eq!(cleaned(&spoken(srt), 100).as_deref(), Some("Hello there Go!"));
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_install() {
        let error = Ffmpeg::on(&"/nowhere".into()).unwrap_err().to_string();
        assert!(error.contains("ffmpeg") && error.contains("install"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "sleep 60; true"]);
        let begun = Instant::now();
        let error = bounded(endless, (10, Partial::IsKept), Duration::from_millis(200)).unwrap_err();
        assert!(error.contains("killed") && begun.elapsed() < Duration::from_secs(20), "{error}");
        let mut chatty = Command::new("sh");
        chatty.args(["-c", "yes"]);
        assert_eq!(bounded(chatty, (4, Partial::IsKept), Duration::from_secs(20)).unwrap(), b"y\ny\n");
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo no such clip >&2; exit 3"]);
        assert_eq!(
            bounded(failing, (4, Partial::IsKept), Duration::from_secs(20)).unwrap_err(),
            "sh: no such clip"
        );
    }
}
