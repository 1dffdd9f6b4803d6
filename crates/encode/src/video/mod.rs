//! Clips: what their frames show, how they move, how they sound.

use crate::encoder::unit;
use crate::image::PictureStatistics;
use crate::sound::LogMel;
use crate::{Clip, EncodeError, Encoded, Encoder, Picture};

/// Frames by an encoder of pictures, averaged; beside them motion, and sound by its log-mel statistics. What a clip lacks, its
/// picture or its sound, is zeros with a number of its own that says so.
pub struct Pooled {
    frames: Box<dyn Encoder<Picture>>,
    sound: LogMel,
}

/// Cells of motion across.
const CELLS: usize = 4;
/// Side to which frames are brought to be compared.
const SIDE: u32 = 32;
/// Of each cell how much it changes; of the whole the mean, the deviation and the largest change, and the share of cuts.
const MOTION: usize = CELLS * CELLS + 4;
/// A change of the whole picture above this is a cut to another scene.
const CUT: f32 = 0.25;
/// Frames of a batch for the encoder of pictures.
const FRAMES: usize = 16;

impl Default for Pooled {
    /// With colours, tones and edges: no weights needed.
    fn default() -> Self {
        Self::new(Box::new(PictureStatistics))
    }
}

impl Pooled {
    /// With an encoder of frames.
    pub fn new(frames: Box<dyn Encoder<Picture>>) -> Self {
        Self { frames, sound: LogMel::default() }
    }

    fn of_clip(&self, clip: &Clip) -> Result<Option<Vec<f32>>, EncodeError> {
        let mut row = Vec::with_capacity(self.dim());
        let pooled = self.pooled(&clip.frames)?;
        let has_picture = pooled.is_some();
        row.extend(pooled.unwrap_or_else(|| vec![0.0; self.frames.dim()]));
        row.extend(if has_picture { motion(clip) } else { vec![0.0; MOTION] });
        let sound = clip.sound.as_ref().and_then(|sound| self.sound.of_sound(sound));
        let has_sound = sound.is_some();
        if !has_picture && !has_sound {
            return Ok(None);
        }
        row.extend(sound.unwrap_or_else(|| vec![0.0; self.sound.dim()]));
        row.extend([has_picture, has_sound].map(|has| if has { 0.0 } else { 0.5 }));
        Ok(unit(row))
    }

    /// The mean of the frames' rows, of unit length.
    fn pooled(&self, frames: &[Picture]) -> Result<Option<Vec<f32>>, EncodeError> {
        let mut sum = vec![0.0; self.frames.dim()];
        for frames in frames.chunks(FRAMES) {
            let inputs: Vec<Option<&Picture>> = frames.iter().map(Some).collect();
            let encoded = self.frames.encode(&inputs)?;
            for at in (0..inputs.len()).filter(|&at| encoded.present[at]) {
                sum.iter_mut().zip(encoded.rows.row(at)).for_each(|(sum, x)| *sum += x);
            }
        }
        Ok(unit(sum))
    }
}

/// How a clip moves: mean absolute changes of tone from frame to frame, a second, as roots, since most change little.
fn motion(clip: &Clip) -> Vec<f32> {
    let tones = |picture: &Picture| -> Vec<f32> {
        let small = picture.resized(SIDE, SIDE);
        let tone = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
        (0..SIDE * SIDE).map(|at| tone(small.pixel(at % SIDE, at / SIDE))).collect()
    };
    let mut cells = [0.0f32; CELLS * CELLS];
    let mut changes = Vec::new();
    let mut before: Option<Vec<f32>> = None;
    let (side, of_cell) = (SIDE as usize, (SIDE as usize / CELLS).pow(2) as f32);
    for frame in &clip.frames {
        let now = tones(frame);
        if let Some(before) = before.replace(now.clone()) {
            for (at, (a, b)) in before.iter().zip(&now).enumerate() {
                cells[at / side * CELLS / side * CELLS + at % side * CELLS / side] += (a - b).abs() / of_cell;
            }
            let change = before.iter().zip(&now).map(|(a, b)| (a - b).abs()).sum::<f32>();
            changes.push(change / now.len() as f32);
        }
    }
    let n = changes.len().max(1) as f32;
    // Frames further apart differ more, but not in proportion: after a second scenes are other scenes.
    let speed = 1.0 / (clip.seconds_between as f32).clamp(0.1, 10.0).sqrt();
    let mean = changes.iter().sum::<f32>() / n;
    let deviation = (changes.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n).sqrt();
    let most = changes.iter().copied().fold(0.0, f32::max);
    let cuts = changes.iter().filter(|&&x| x > CUT).count() as f32 / n;
    let root = |x: f32| (x * speed).min(1.0).sqrt() / 2.0;
    let mut motion: Vec<f32> = cells.iter().map(|x| root(x / n)).collect();
    motion.extend([root(mean), root(deviation), root(most), cuts]);
    motion
}

impl Encoder<Clip> for Pooled {
    fn name(&self) -> String {
        format!("frames by {}; motion; {}", self.frames.name(), self.sound.name())
    }

    fn dim(&self) -> usize {
        self.frames.dim() + MOTION + self.sound.dim() + 2
    }

    fn is_unit(&self) -> bool {
        true
    }

    fn digest(&self) -> String {
        let of = format!("pooled 1 {} {}", self.frames.digest(), self.sound.digest());
        blake3::hash(of.as_bytes()).to_hex().to_string()
    }

    fn batch(&self) -> usize {
        1
    }

    fn encode(&self, inputs: &[Option<&Clip>]) -> Result<Encoded, EncodeError> {
        let row = |clip: &Option<&Clip>| clip.map_or(Ok(None), |clip| self.of_clip(clip));
        let rows: Vec<_> = inputs.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Encoded::of_rows(self.dim(), &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::SOUND_RATE;
    use crate::{Sound, contract};
    use upnext_math::dot::dot;

    /// A bright square that moves by so many pixels a frame.
    fn moving(step: u32, seconds_between: f64) -> Clip {
        let frame = |at: u32| {
            let bright = |x: u32, y: u32| (x + 64 - (at * step) % 64) % 64 < 16 && (20..40).contains(&y);
            let rgb = (0..64 * 64u32).flat_map(|p| [if bright(p % 64, p / 64) { 250 } else { 20 }; 3]);
            Picture::new(64, 64, rgb.collect())
        };
        Clip { frames: (0..8).map(frame).collect(), seconds_between, sound: None }
    }

    #[test]
    fn what_moves_differs_from_what_stands_and_gaps_are_masked() {
        let encoder = Pooled::default();
        let sound =
            Sound { rate: SOUND_RATE, samples: (0..8_000).map(|at| (at as f32 * 0.3).sin()).collect() };
        let clips = [
            moving(0, 0.5),
            moving(8, 0.5),
            Clip { sound: Some(sound.clone()), ..moving(8, 0.5) },
            Clip { sound: Some(sound), ..Clip::default() },
            Clip { frames: moving(0, 0.5).frames[..1].to_vec(), ..Clip::default() },
        ];
        contract::check(&encoder, &clips.each_ref());
        let rows = clips.each_ref().map(|clip| encoder.of_clip(clip).unwrap().unwrap());
        assert!(dot(&rows[0], &rows[1]) < 0.99, "motion: {}", dot(&rows[0], &rows[1]));
        assert!(dot(&rows[0], &rows[4]) > dot(&rows[1], &rows[4]), "one frame does not move");
        assert!(dot(&rows[1], &rows[2]) > dot(&rows[0], &rows[3]), "the same pictures with a sound");
        assert_eq!(encoder.of_clip(&Clip::default()).unwrap(), None);
    }
}
