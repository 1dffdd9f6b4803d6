//! Pictures of any usual format as rows of red, green and blue.

use std::io::Cursor;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageReader};

use super::Limits;

/// Eight bits of red, green and blue for each pixel, row after row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// From pixels.
    ///
    /// # Panics
    /// If there are not `3 * width * height` bytes, or no pixel.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "a picture of {width} by {height}");
        assert_eq!(rgb.len(), 3 * width as usize * height as usize, "bytes of {width} by {height} pixels");
        Self { width, height, rgb }
    }

    /// From a file's bytes, told by these and not by its name: the first frame of an animated one, upright as its
    /// orientation says, on white where it is transparent.
    ///
    /// # Errors
    /// Says what is wrong with it, for a list of failures.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("an empty file".into());
        }
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
        if reader.format().is_none() {
            return Err("not a picture of a known format (JPEG, PNG, GIF, WebP, BMP, TIFF)".into());
        }
        let mut decoder = reader.into_decoder().map_err(|error| format!("cannot be decoded: {error}"))?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > limits.picture_pixels_max {
            let most = limits.picture_pixels_max;
            return Err(format!("{width} by {height} pixels; expected 1 to {most} (picture_pixels_max)"));
        }
        let most = limits.picture_side_max;
        if width > most || height > most {
            return Err(format!(
                "{width} by {height} pixels; expected sides of at most {most} (picture_side_max)"
            ));
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(|e| format!("cannot be decoded: {e}"))?;
        image.apply_orientation(orientation);
        Ok(Self::of_image(&image))
    }

    fn of_image(image: &DynamicImage) -> Self {
        let (width, height) = (image.width(), image.height());
        let rgb = if image.color().has_alpha() {
            let over_white = |x: u8, alpha: u8| {
                ((u32::from(x) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8
            };
            image.to_rgba8().pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p[c], p[3]))).collect()
        } else {
            image.to_rgb8().into_raw()
        };
        Self { width, height, rgb }
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Red, green and blue of a pixel, from 0 to 1.
    pub(crate) fn pixel(&self, x: u32, y: u32) -> [f32; 3] {
        let at = 3 * (y as usize * self.width as usize + x as usize);
        [0, 1, 2].map(|c| f32::from(self.rgb[at + c]) / 255.0)
    }

    /// The same at another size, by cubic convolution over what each new pixel covers.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let image = ::image::RgbImage::from_raw(self.width, self.height, self.rgb.clone())
            .expect("as many bytes as the pixels need: checked where it is made");
        let filter = ::image::imageops::FilterType::CatmullRom;
        let made = ::image::imageops::resize(&image, width.max(1), height.max(1), filter);
        Self { width: made.width(), height: made.height(), rgb: made.into_raw() }
    }

    /// The same, made smaller where it does not fit into a frame; never larger.
    pub fn within(&self, width: u32, height: u32) -> Self {
        let fits = |side: u32, most: u32| f64::from(most) / f64::from(side);
        let scale = fits(self.width, width).min(fits(self.height, height)).min(1.0);
        let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        self.resized(scaled(self.width), scaled(self.height))
    }

    /// As a JPEG file, of a quality from 1 to 100.
    ///
    /// # Errors
    /// Where a side is longer than the format can say, 65,535 pixels.
    pub fn jpeg(&self, quality: u8) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        ::image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality)
            .encode(&self.rgb, self.width, self.height, ::image::ExtendedColorType::Rgb8)
            .map_err(|error| format!("cannot be written as JPEG: {error}"))?;
        Ok(bytes)
    }

    /// The part of a size in the middle; at most the whole.
    pub fn centre(&self, width: u32, height: u32) -> Self {
        let (width, height) = (width.min(self.width), height.min(self.height));
        let (left, top) = ((self.width - width) / 2, (self.height - height) / 2);
        let row = |y: u32| {
            let at = 3 * ((top + y) as usize * self.width as usize + left as usize);
            &self.rgb[at..at + 3 * width as usize]
        };
        Self { width, height, rgb: (0..height).flat_map(row).copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, ImageFormat, Rgba, RgbaImage};

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_picture_is_told_by_its_bytes_and_transparency_is_white() {
        let mut image = RgbaImage::from_pixel(2, 1, Rgba([255, 0, 0, 255]));
        image.put_pixel(1, 0, Rgba([0, 0, 0, 0]));
        let picture = Picture::decode(&png(&image.into()), &Limits::default()).unwrap();
        assert_eq!((picture.width(), picture.height()), (2, 1));
        assert_eq!(picture.rgb(), [255, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn grey_deep_and_animated_pictures_are_read() {
        let grey = image::GrayImage::from_pixel(3, 2, image::Luma([128]));
        assert_eq!(Picture::decode(&png(&grey.into()), &Limits::default()).unwrap().rgb(), [128; 18]);
        let deep = image::ImageBuffer::from_pixel(1, 1, image::Rgb([65_535u16, 0, 32_768]));
        let deep = DynamicImage::ImageRgb16(deep);
        assert_eq!(Picture::decode(&png(&deep), &Limits::default()).unwrap().rgb(), [255, 0, 128]);
        let mut bytes = Vec::new();
        let mut gif = image::codecs::gif::GifEncoder::new(&mut bytes);
        for value in [0, 255] {
            gif.encode_frame(image::Frame::new(RgbaImage::from_pixel(2, 2, Rgba([value, 0, 0, 255]))))
                .unwrap();
        }
        drop(gif);
        assert_eq!(Picture::decode(&bytes, &Limits::default()).unwrap().rgb()[0], 0, "the first frame");
    }

    #[test]
    fn what_is_no_picture_says_why() {
        let limits = Limits { picture_pixels_max: 8, ..Limits::default() };
        let why = |bytes: &[u8]| Picture::decode(bytes, &limits).unwrap_err();
        assert_eq!(why(b""), "an empty file");
        assert!(why(b"<svg/>").contains("known format"));
        let image: DynamicImage = image::RgbImage::new(3, 3).into();
        assert!(why(&png(&image)).contains("3 by 3 pixels"));
        let small: DynamicImage = image::RgbImage::new(2, 2).into();
        let whole = png(&small);
        assert!(why(&whole[..whole.len() / 2]).contains("cannot be decoded"));
        // A header that promises more than any memory holds.
        let mut bomb = Vec::new();
        image::codecs::bmp::BmpEncoder::new(&mut bomb)
            .write_image(&[0; 12], 2, 2, ExtendedColorType::Rgb8)
            .unwrap();
        bomb[18..26].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
        assert!(Picture::decode(&bomb, &Limits::default()).is_err());
    }

    #[test]
    fn the_middle_is_cut_out_and_a_flat_picture_stays_flat_at_any_size() {
        let rgb = (0..12u8).flat_map(|at| [at, at, at]).collect();
        let picture = Picture::new(4, 3, rgb);
        assert_eq!(picture.centre(2, 1).rgb(), [5, 5, 5, 6, 6, 6]);
        assert_eq!(picture.centre(9, 9), picture);
        let flat = Picture::new(5, 4, vec![77; 60]);
        assert_eq!(flat.resized(3, 7).rgb(), [77; 63]);
    }

    #[test]
    fn a_small_picture_stays_in_its_frame_in_its_shape_and_is_read_again() {
        let within = |width, height| {
            let picture = Picture::new(width, height, vec![90; 3 * (width * height) as usize]);
            let small = picture.within(480, 240);
            (small.width(), small.height())
        };
        assert_eq!(within(400, 600), (160, 240));
        assert_eq!(within(4_000, 1), (480, 1), "a line stays one pixel high");
        assert_eq!(within(128, 192), (128, 192), "what is small already is not made larger");
        let red = Picture::new(16, 8, [200, 30, 40].repeat(128));
        let again = Picture::decode(&red.jpeg(80).unwrap(), &Limits::default()).unwrap();
        assert_eq!((again.width(), again.height()), (16, 8));
        assert!(again.rgb()[..3].iter().zip([200u8, 30, 40]).all(|(a, b)| a.abs_diff(b) < 8));
    }
}
