//! A picture by its colours, tones and edges: how it looks, not what it shows.

use crate::encoder::unit;
use crate::{EncodeError, Encoded, Encoder, Picture};

/// Histograms of hues, of tones, and of directions of edges over a grid, and the mean colours of a coarser one. Each block
/// has equal weight; roots of shares make it a Hellinger distance, in which no large area drowns the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureStatistics;

/// Side to which a picture is brought before anything is counted.
const SIDE: u32 = 64;
const HUES: usize = 12;
/// Colours too grey for a hue are told apart by their tone.
const GREYS: usize = 4;
const TONES: usize = 16;
/// Cells of mean colours across.
const COLOUR_CELLS: usize = 3;
/// Cells of edges across.
const EDGE_CELLS: usize = 4;
const DIRECTIONS: usize = 8;
const DIM: usize =
    HUES + GREYS + TONES + 3 * COLOUR_CELLS * COLOUR_CELLS + DIRECTIONS * EDGE_CELLS * EDGE_CELLS + 1;

impl PictureStatistics {
    /// One picture's row, of unit length.
    pub(crate) fn of_picture(picture: &Picture) -> Vec<f32> {
        let small = picture.resized(SIDE, SIDE);
        let side = SIDE as usize;
        let pixels: Vec<[f32; 3]> = (0..SIDE * SIDE).map(|at| small.pixel(at % SIDE, at / SIDE)).collect();
        let tone = |at: usize| 0.299 * pixels[at][0] + 0.587 * pixels[at][1] + 0.114 * pixels[at][2];
        let tones: Vec<f32> = (0..pixels.len()).map(tone).collect();
        let mut hues = [0.0; HUES + GREYS];
        let mut histogram = [0.0; TONES];
        let mut colours = [0.0; 3 * COLOUR_CELLS * COLOUR_CELLS];
        for (at, pixel) in pixels.iter().enumerate() {
            let (hue, colourful) = hue(*pixel);
            let bin = |x: f32, n: usize| ((x * n as f32) as usize).min(n - 1);
            hues[bin(hue, HUES)] += colourful;
            hues[HUES + bin(tones[at], GREYS)] += 1.0 - colourful;
            histogram[bin(tones[at], TONES)] += 1.0;
            let cell = (at / side * COLOUR_CELLS / side) * COLOUR_CELLS + at % side * COLOUR_CELLS / side;
            for (channel, x) in pixel.iter().enumerate() {
                colours[3 * cell + channel] += x;
            }
        }
        let (mut edges, mut strength) = ([0.0; DIRECTIONS * EDGE_CELLS * EDGE_CELLS], 0.0);
        for y in 1..side - 1 {
            for x in 1..side - 1 {
                let at = y * side + x;
                let (across, down) = (tones[at + 1] - tones[at - 1], tones[at + side] - tones[at - side]);
                let magnitude = (across * across + down * down).sqrt();
                // An edge has no sign: directions half a turn apart are one.
                let angle = (down.atan2(across) / std::f32::consts::PI).rem_euclid(1.0);
                let direction = ((angle * DIRECTIONS as f32) as usize).min(DIRECTIONS - 1);
                let cell = (y * EDGE_CELLS / side) * EDGE_CELLS + x * EDGE_CELLS / side;
                edges[cell * DIRECTIONS + direction] += magnitude;
                strength += magnitude;
            }
        }
        let mut row = Vec::with_capacity(DIM);
        for block in [&hues[..], &histogram, &colours, &edges] {
            let sum: f32 = block.iter().sum();
            // A block's entries become shares, whose roots have unit length together.
            row.extend(block.iter().map(|x| if sum > 0.0 { (x / sum).sqrt() } else { 0.0 }));
        }
        // How strong edges are on the whole, which shares have forgotten.
        row.push((strength / pixels.len() as f32).sqrt().min(1.0));
        unit(row).expect("tones always fall into some bin")
    }
}

/// The hue, 0 to 1 around the circle, and how colourful a pixel is.
fn hue([r, g, b]: [f32; 3]) -> (f32, f32) {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let spread = most - least;
    if spread <= 0.0 {
        return (0.0, 0.0);
    }
    let sixth = if most == r {
        (g - b) / spread
    } else if most == g {
        2.0 + (b - r) / spread
    } else {
        4.0 + (r - g) / spread
    };
    ((sixth / 6.0).rem_euclid(1.0), spread)
}

impl Encoder<Picture> for PictureStatistics {
    fn name(&self) -> String {
        "colours, tones and edges".into()
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn is_unit(&self) -> bool {
        true
    }

    fn digest(&self) -> String {
        blake3::hash(b"picture statistics 1").to_hex().to_string()
    }

    fn encode(&self, inputs: &[Option<&Picture>]) -> Result<Encoded, EncodeError> {
        let rows: Vec<_> = inputs.iter().map(|picture| picture.map(Self::of_picture)).collect();
        Ok(Encoded::of_rows(DIM, &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use upnext_math::dot::dot;

    /// Stripes of two colours, lying or standing.
    fn stripes(colours: [[u8; 3]; 2], lying: bool) -> Picture {
        let rgb = (0..80 * 60).flat_map(|at| colours[if lying { at / 80 / 6 } else { at % 80 / 8 } % 2]);
        Picture::new(80, 60, rgb.collect())
    }

    #[test]
    fn colours_and_directions_of_edges_tell_pictures_apart() {
        let (red, blue) = ([[200, 30, 20], [240, 180, 170]], [[20, 40, 200], [170, 190, 240]]);
        let pictures = [stripes(red, true), stripes(red, false), stripes(blue, true), stripes(blue, false)];
        contract::check(&PictureStatistics, &pictures.each_ref());
        let rows = pictures.each_ref().map(PictureStatistics::of_picture);
        let alike = |a: usize, b: usize| dot(&rows[a], &rows[b]);
        assert!(alike(0, 1) > alike(0, 3) + 0.1, "colours: {} {}", alike(0, 1), alike(0, 3));
        assert!(alike(0, 2) > alike(0, 3) + 0.1, "edges: {} {}", alike(0, 2), alike(0, 3));
        let bigger = PictureStatistics::of_picture(&pictures[0].resized(160, 120));
        assert!(dot(&bigger, &rows[0]) > 0.98, "size does not matter: {}", dot(&bigger, &rows[0]));
    }

    #[test]
    fn black_and_a_single_pixel_are_pictures_too() {
        let black = Picture::new(1, 1, vec![0; 3]);
        let white = Picture::new(9, 9, vec![255; 243]);
        contract::check(&PictureStatistics, &[&black, &white]);
    }
}
