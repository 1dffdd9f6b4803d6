//! Sound by its spectrum as the ear spaces it: how a clip sounds, not what is said.

use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use crate::encoder::unit;
use crate::media::SOUND_RATE;
use crate::{EncodeError, Encoded, Encoder, Sound};

/// Statistics of log-mel energies (Davis & Mermelstein 1980): of each band the mean against all bands, the deviation over
/// time and the mean change from one window to the next; and of the whole how loud it is and how much that varies.
pub struct LogMel {
    fft: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    /// Of each band its first bin and the weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
}

/// Samples of a window: 25 ms at 16 kHz, in a transform of the next power of two.
const WINDOW: usize = 400;
const TRANSFORM: usize = 512;
/// Samples from one window to the next: 10 ms.
const HOP: usize = 160;
const BANDS: usize = 40;
const LOWEST_HZ: f32 = 50.0;
const HIGHEST_HZ: f32 = 7_600.0;
/// Below this energy there is silence.
const FLOOR: f32 = 1e-8;
const DIM: usize = 3 * BANDS + 2;

impl Default for LogMel {
    fn default() -> Self {
        let mel = |hz: f32| 1_127.0 * (1.0 + hz / 700.0).ln();
        let hz = |mel: f32| 700.0 * ((mel / 1_127.0).exp() - 1.0);
        let (low, high) = (mel(LOWEST_HZ), mel(HIGHEST_HZ));
        let edge = |at: usize| {
            hz(low + (high - low) * at as f32 / (BANDS + 1) as f32) * TRANSFORM as f32 / SOUND_RATE as f32
        };
        let bands = (0..BANDS)
            .map(|band| {
                let (left, middle, right) = (edge(band), edge(band + 1), edge(band + 2));
                let first = left.ceil() as usize;
                let weight = |bin: usize| {
                    let x = bin as f32;
                    ((x - left) / (middle - left)).min((right - x) / (right - middle)).max(0.0)
                };
                (first, (first..=right.floor() as usize).map(weight).collect())
            })
            .collect();
        let turn = |at: usize| std::f32::consts::TAU * at as f32 / WINDOW as f32;
        Self {
            fft: FftPlanner::new().plan_fft_forward(TRANSFORM),
            // Hann's.
            window: (0..WINDOW).map(|at| 0.5 - 0.5 * turn(at).cos()).collect(),
            bands,
        }
    }
}

impl LogMel {
    /// One sound's row, of unit length.
    pub(crate) fn of_sound(&self, sound: &Sound) -> Option<Vec<f32>> {
        let samples = at_rate(sound);
        if samples.is_empty() {
            return None;
        }
        let n_windows = samples.len().saturating_sub(WINDOW) / HOP + 1;
        let (mut sums, mut squares, mut changes) = ([0.0f64; BANDS], [0.0f64; BANDS], [0.0f64; BANDS]);
        let (mut loudness, mut loudness_square) = (0.0f64, 0.0f64);
        let mut before: Option<[f32; BANDS]> = None;
        let mut spectrum = vec![Complex::default(); TRANSFORM];
        let mut scratch = vec![Complex::default(); self.fft.get_inplace_scratch_len()];
        for at in 0..n_windows {
            spectrum.fill(Complex::default());
            let part = &samples[at * HOP..samples.len().min(at * HOP + WINDOW)];
            for ((bin, x), window) in spectrum.iter_mut().zip(part).zip(&self.window) {
                bin.re = x * window;
            }
            self.fft.process_with_scratch(&mut spectrum, &mut scratch);
            let mut energies = [0.0; BANDS];
            for (energy, (first, weights)) in energies.iter_mut().zip(&self.bands) {
                let bins = &spectrum[*first..first + weights.len()];
                let sum: f32 = bins.iter().zip(weights).map(|(bin, weight)| weight * bin.norm_sqr()).sum();
                *energy = (sum / WINDOW as f32 + FLOOR).ln();
            }
            let loud = f64::from(energies.iter().sum::<f32>() / BANDS as f32);
            loudness += loud;
            loudness_square += loud * loud;
            for (band, &energy) in energies.iter().enumerate() {
                sums[band] += f64::from(energy);
                squares[band] += f64::from(energy) * f64::from(energy);
                changes[band] += before.map_or(0.0, |before| f64::from((energy - before[band]).abs()));
            }
            before = Some(energies);
        }
        let n = n_windows as f64;
        let loudness = loudness / n;
        let deviation = |square: f64, mean: f64| (square / n - mean * mean).max(0.0).sqrt();
        // Brought to a like size: logarithms of energies spread over some 10 units.
        let mut row: Vec<f32> = sums.iter().map(|sum| ((sum / n - loudness) / 4.0) as f32).collect();
        row.extend(sums.iter().zip(&squares).map(|(sum, square)| (deviation(*square, sum / n) / 4.0) as f32));
        row.extend(changes.iter().map(|change| (change / n / 2.0) as f32));
        row.push(((loudness - f64::from(FLOOR.ln())) / 8.0) as f32);
        row.push((deviation(loudness_square, loudness) / 4.0) as f32);
        // Of silence nothing is left but that it is silent.
        unit(row).or_else(|| {
            let mut silent = vec![0.0; DIM];
            silent[DIM - 1] = 1.0;
            Some(silent)
        })
    }
}

/// The samples at the rate that windows are measured in; between samples, on the line.
fn at_rate(sound: &Sound) -> std::borrow::Cow<'_, [f32]> {
    if sound.rate == SOUND_RATE || sound.samples.len() < 2 || sound.rate == 0 {
        return (&sound.samples[..]).into();
    }
    let step = f64::from(sound.rate) / f64::from(SOUND_RATE);
    let n = ((sound.samples.len() - 1) as f64 / step) as usize + 1;
    let between = |at: usize| {
        let place = at as f64 * step;
        let (first, share) = (place as usize, place.fract() as f32);
        let next = (first + 1).min(sound.samples.len() - 1);
        sound.samples[first] * (1.0 - share) + sound.samples[next] * share
    };
    (0..n).map(between).collect::<Vec<f32>>().into()
}

impl Encoder<Sound> for LogMel {
    fn name(&self) -> String {
        format!("log-mel statistics of {BANDS} bands")
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn is_unit(&self) -> bool {
        true
    }

    fn digest(&self) -> String {
        blake3::hash(b"log-mel 1").to_hex().to_string()
    }

    fn encode(&self, inputs: &[Option<&Sound>]) -> Result<Encoded, EncodeError> {
        let rows: Vec<_> = inputs.iter().map(|sound| self.of_sound((*sound)?)).collect();
        Ok(Encoded::of_rows(DIM, &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use upnext_math::dot::dot;

    fn tone(hz: f32, rate: u32, seconds: f32) -> Sound {
        let n = (rate as f32 * seconds) as usize;
        let sample = |at: usize| 0.5 * (std::f32::consts::TAU * hz * at as f32 / rate as f32).sin();
        Sound { rate, samples: (0..n).map(sample).collect() }
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let encoder = LogMel::default();
        for (hz, expected) in [(200.0, 4), (1_000.0, 14), (4_000.0, 30)] {
            let row = encoder.of_sound(&tone(hz, SOUND_RATE, 1.0)).unwrap();
            let loudest = (0..BANDS).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            // Band b is centred at mel 77.1 + (b + 1) * 66.3: 200 Hz is mel 283, 1000 Hz 1000, 4000 Hz 2146.
            let mel = 1_127.0 * (1.0 + hz / 700.0f32).ln();
            let centre = |band: usize| 77.8 + (band + 1) as f32 * (2_786.0 - 77.8) / 41.0;
            let nearest =
                (0..BANDS).min_by(|&a, &b| (centre(a) - mel).abs().total_cmp(&(centre(b) - mel).abs()));
            assert!(loudest.abs_diff(nearest.unwrap()) <= 1, "{hz} Hz in band {loudest}, {expected}");
        }
    }

    #[test]
    fn sounds_are_told_apart_whatever_their_rate() {
        let encoder = LogMel::default();
        let sounds = [
            tone(300.0, SOUND_RATE, 1.0),
            tone(300.0, 44_100, 1.0),
            tone(3_000.0, SOUND_RATE, 1.0),
            Sound { rate: SOUND_RATE, samples: vec![0.0; 16_000] },
            Sound { rate: SOUND_RATE, samples: vec![0.3] },
        ];
        contract::check(&encoder, &sounds.each_ref());
        let rows = sounds.each_ref().map(|sound| encoder.of_sound(sound).unwrap());
        assert!(
            dot(&rows[0], &rows[1]) > 0.9 && dot(&rows[0], &rows[2]) < 0.6,
            "{}",
            dot(&rows[0], &rows[1])
        );
        assert!(encoder.of_sound(&Sound { rate: SOUND_RATE, samples: Vec::new() }).is_none());
    }
}
