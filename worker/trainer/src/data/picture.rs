//! One image file: PNG or JPEG, converted to the bytes of a data set.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageReader, Pixel};
use swath_files::{Named, Unread};
use swath_model::text;

use super::{Reach, unread};
use crate::failure::Failure;

/// The head of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Rows and columns, after the rotation that the file asks for.
    pub(super) size: [u32; 2],
    /// Whether it has no colour.
    pub(super) grey: bool,
}

/// The form into which an image is converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// 1 or 3.
    pub(crate) channels: usize,
    /// Number of rows.
    pub(crate) height: usize,
    /// Number of columns.
    pub(crate) width: usize,
}

impl Shape {
    /// Bytes of an image.
    pub(crate) fn bytes(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// The largest image file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The most bytes of the pixels of one image, of which every core holds one.
const DECODED_BYTES_MAX: u64 = 256 << 20;

/// Reads the head of a file.
///
/// # Errors
///
/// [`Failure::Lacks`] with the file where it is neither PNG nor JPEG, or too
/// large.
pub(super) fn head(path: &Path, reach: &Reach) -> Result<Head, Failure> {
    let named = named(path, reach)?;
    let (decoder, orientation) = open(path, BufReader::new(named.file))?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    Ok(Head {
        size: if turned(orientation) {
            [width, height]
        } else {
            [height, width]
        },
        grey: matches!(
            color,
            ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16
        ),
    })
}

/// Decodes a file into `pixels`, channels first.
///
/// It is rotated as its EXIF data say. Transparency is dropped, not blended.
/// Colour becomes grey as luma (ITU-R BT.709). An image of another size is
/// cropped to the wanted aspect ratio around its centre and resized by a
/// triangle filter, which averages when it shrinks.
///
/// # Errors
///
/// [`Failure::Lacks`] with the file where it is not a complete PNG or JPEG.
pub(super) fn decode(
    path: &Path,
    shape: Shape,
    reach: &Reach,
    pixels: &mut [u8],
) -> Result<(), Failure> {
    let named = named(path, reach)?;
    let bytes = named.rest(Vec::new()).map_err(|why| unread(path, &why))?;
    // The decoder would fill what is missing with grey.
    if bytes.starts_with(&SOI) && !ends(&bytes) {
        return Err(bad(path, "it is cut off"));
    }
    let (decoder, orientation) = open(path, Cursor::new(bytes))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| bad(path, error))?;
    image.apply_orientation(orientation);
    if shape.channels == 1 {
        pixels.copy_from_slice(fitted(image.into_luma8(), shape).as_raw());
        return Ok(());
    }
    let image = fitted(image.into_rgb8(), shape);
    let plane = shape.height * shape.width;
    for (channel, values) in pixels.chunks_exact_mut(plane).enumerate() {
        let of_channel = image.as_raw().iter().skip(channel).step_by(3);
        for (value, found) in values.iter_mut().zip(of_channel) {
            *value = *found;
        }
    }
    Ok(())
}

/// The pixels of one file, channels first, as [`decode`] makes them.
///
/// # Errors
///
/// The same as [`decode`]; also where the data set's images have neither one
/// channel nor three.
pub(crate) fn read(path: &Path, shape: Shape) -> Result<Vec<u8>, Failure> {
    if shape.channels != 1 && shape.channels != 3 {
        return Err(Failure::Lacks(format!(
            "the data set's images have {} channels, which an image file cannot hold; use a \
             safetensors file",
            shape.channels
        )));
    }
    let mut pixels = vec![0; shape.bytes()];
    decode(path, shape, &Reach::of_person(), &mut pixels)?;
    Ok(pixels)
}

fn open<'a>(
    path: &Path,
    content: impl BufRead + Seek + 'a,
) -> Result<(impl ImageDecoder + 'a, Orientation), Failure> {
    // The content decides the format, because names may be wrong.
    let reader = ImageReader::new(content)
        .with_guessed_format()
        .map_err(|error| unread(path, &Unread::Io(error)))?;
    let mut decoder = reader.into_decoder().map_err(|error| bad(path, error))?;
    let bytes = decoder.total_bytes();
    if bytes > DECODED_BYTES_MAX {
        let (width, height) = decoder.dimensions();
        return Err(Failure::Lacks(format!(
            "{} is {height}×{width} (height×width), which takes {}, and at most {} are taken for \
             one image; scale it down",
            path.display(),
            text::bytes(bytes),
            text::bytes(DECODED_BYTES_MAX)
        )));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation))
}

/// How a JPEG begins.
const SOI: [u8; 2] = [0xff, 0xd8];

/// Whether a JPEG has its end: the marker EOI (ITU-T T.81, B.1.1) after its
/// segments and scans. One inside a segment belongs to a thumbnail.
fn ends(jpeg: &[u8]) -> bool {
    let mut at = SOI.len();
    let byte = |at: usize| jpeg.get(at).copied();
    while let (Some(one), Some(two)) = (byte(at), byte(at + 1)) {
        match (one, two) {
            (0xff, 0xd9) => return true,
            // Stuffing, restarts and fill bytes are part of the scan.
            (0xff, 0x00 | 0x01 | 0xd0..=0xd7) => at += 2,
            (0xff, 0xff) => at += 1,
            (0xff, _) => {
                let (Some(high), Some(low)) = (byte(at + 2), byte(at + 3)) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
            _ => at += 1,
        }
    }
    false
}

fn named(path: &Path, reach: &Reach) -> Result<Named, Failure> {
    let named = reach.open(path)?;
    named
        .at_most(FILE_BYTES_MAX)
        .map_err(|why| Failure::Lacks(format!("the image {}: {why}", path.display())))?;
    Ok(named)
}

fn bad(path: &Path, error: impl Display) -> Failure {
    Failure::Lacks(format!(
        "{} is not a complete PNG or JPEG image ({error}); repair or remove it",
        path.display()
    ))
}

/// Whether rows become columns.
fn turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Crops around the centre and resizes, where necessary.
fn fitted<P>(image: ImageBuffer<P, Vec<u8>>, shape: Shape) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (width, height) = (shape.width as u32, shape.height as u32);
    if image.dimensions() == (width, height) {
        return image;
    }
    let [top, left, rows, columns] = centre(image.height(), image.width(), height, width);
    let cut = imageops::crop_imm(&image, left, top, columns, rows).to_image();
    imageops::resize(&cut, width, height, FilterType::Triangle)
}

/// The largest part with the wanted aspect ratio, around the centre: top, left,
/// rows, columns. Rounded to whole pixels, at least one.
fn centre(rows: u32, columns: u32, height: u32, width: u32) -> [u32; 4] {
    let scaled = |side: u32, over: u32, under: u32| {
        let (side, over, under) = (u64::from(side), u64::from(over), u64::from(under));
        ((side * over + under / 2) / under).max(1) as u32
    };
    let kept_rows = scaled(columns, height, width).min(rows);
    let kept_columns = scaled(rows, width, height).min(columns);
    [
        (rows - kept_rows) / 2,
        (columns - kept_columns) / 2,
        kept_rows,
        kept_columns,
    ]
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    const fn shape(channels: usize, height: usize, width: usize) -> Shape {
        Shape {
            channels,
            height,
            width,
        }
    }

    fn saved(
        root: &Path,
        name: &str,
        image: &DynamicImage,
        format: ImageFormat,
    ) -> std::path::PathBuf {
        let path = root.join(name);
        image.save_with_format(&path, format).unwrap();
        path
    }

    #[test]
    fn pixels_of_the_right_size_are_kept_channels_first() {
        let root = tempfile::tempdir().unwrap();
        let image = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8, y as u8, (10 * y + x) as u8]));
        let path = saved(root.path(), "a.png", &image.into(), ImageFormat::Png);
        assert_eq!(
            head(&path, &Reach::default()),
            Ok(Head {
                size: [2, 3],
                grey: false
            })
        );
        let pixels = read(&path, shape(3, 2, 3)).unwrap();
        let planes = [0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 1, 1, 0, 1, 2, 10, 11, 12];
        assert_eq!(pixels, planes);
    }

    #[test]
    fn grey_and_colour_become_each_other() {
        let root = tempfile::tempdir().unwrap();
        let grey = GrayImage::from_fn(2, 2, |x, y| Luma([(100 * x + y) as u8]));
        let path = saved(root.path(), "grey.png", &grey.into(), ImageFormat::Png);
        assert!(head(&path, &Reach::default()).unwrap().grey);
        assert_eq!(read(&path, shape(1, 2, 2)).unwrap(), [0, 100, 1, 101]);
        let three = read(&path, shape(3, 2, 2)).unwrap();
        assert_eq!(three, [0, 100, 1, 101].repeat(3));
        let green = RgbImage::from_pixel(1, 1, Rgb([0, 255, 0]));
        let path = saved(root.path(), "green.png", &green.into(), ImageFormat::Png);
        // 0.7152 of 255.
        assert_eq!(read(&path, shape(1, 1, 1)).unwrap(), [182]);
    }

    #[test]
    fn the_content_tells_the_format_and_transparency_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let image = RgbaImage::from_pixel(2, 2, image::Rgba([7, 8, 9, 0]));
        let path = saved(root.path(), "a.jpg", &image.into(), ImageFormat::Png);
        let pixels = read(&path, shape(3, 2, 2)).unwrap();
        assert_eq!(pixels, [7, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9]);
    }

    #[test]
    fn jpegs_are_read() {
        let root = tempfile::tempdir().unwrap();
        let image = GrayImage::from_pixel(16, 8, Luma([77]));
        let path = saved(root.path(), "a.jpeg", &image.into(), ImageFormat::Jpeg);
        assert_eq!(head(&path, &Reach::default()).unwrap().size, [8, 16]);
        let pixels = read(&path, shape(1, 8, 16)).unwrap();
        assert!(pixels.iter().all(|value| value.abs_diff(77) <= 1));
    }

    #[test]
    fn shrinking_by_a_whole_factor_averages() {
        let root = tempfile::tempdir().unwrap();
        // Wider than high, so the outer columns are cut off.
        let image = GrayImage::from_fn(8, 4, |x, _| {
            Luma([if (2..6).contains(&x) { 80 } else { 255 }])
        });
        let path = saved(root.path(), "a.png", &image.into(), ImageFormat::Png);
        assert_eq!(read(&path, shape(1, 2, 2)).unwrap(), [80; 4]);
    }

    #[test]
    fn what_is_no_whole_image_is_named() {
        let root = tempfile::tempdir().unwrap();
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, x as u8, y as u8]));
        for (name, format) in [("a.png", ImageFormat::Png), ("b.jpg", ImageFormat::Jpeg)] {
            let path = saved(root.path(), name, &image.clone().into(), format);
            let bytes = std::fs::read(&path).unwrap();
            for length in [0, 3, bytes.len() / 2, bytes.len() * 9 / 10] {
                std::fs::write(&path, &bytes[..length]).unwrap();
                let error = read(&path, shape(3, 64, 64)).unwrap_err().to_string();
                assert!(error.contains(name), "{length}: {error}");
            }
        }
        let path = root.path().join("c.png");
        std::fs::write(&path, "GIF89a, really").unwrap();
        assert!(
            head(&path, &Reach::default())
                .unwrap_err()
                .to_string()
                .contains("c.png")
        );
        assert!(head(&root.path().join("none.png"), &Reach::default()).is_err());
    }

    #[test]
    fn huge_images_are_told_by_their_head() {
        let root = tempfile::tempdir().unwrap();
        let image = GrayImage::from_pixel(1, 1, Luma([0]));
        let path = saved(root.path(), "a.png", &image.into(), ImageFormat::Png);
        let mut bytes = std::fs::read(&path).unwrap();
        // Width and height of the first chunk, and the sum at its end.
        bytes[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let of_head = head(&path, &Reach::default()).unwrap_err();
        for told in [of_head, read(&path, shape(1, 1, 1)).unwrap_err()] {
            let told = told.to_string();
            for part in ["a.png", "20000×20000", "256 MiB"] {
                assert!(told.contains(part), "{told}");
            }
        }
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        let told = head(&path, &Reach::default()).unwrap_err().to_string();
        assert!(told.contains("a.png") && told.contains("256 MiB"), "{told}");
    }

    proptest! {
        /// The part lies in the image, is as large as possible, and has the
        /// wanted aspect ratio as far as whole pixels allow.
        #[test]
        fn the_part_kept_is_central_and_of_the_wanted_ratio(
            rows in 1_u32..500, columns in 1_u32..500, height in 1_u32..300, width in 1_u32..300,
        ) {
            let [top, left, kept_rows, kept_columns] = centre(rows, columns, height, width);
            prop_assert!(kept_rows >= 1 && kept_columns >= 1);
            prop_assert!(top + kept_rows <= rows && left + kept_columns <= columns);
            prop_assert!((rows - kept_rows - top).abs_diff(top) <= 1);
            prop_assert!((columns - kept_columns - left).abs_diff(left) <= 1);
            prop_assert!(kept_rows == rows || kept_columns == columns);
            let ratio = f64::from(kept_columns) * f64::from(height) / f64::from(width);
            let off = (ratio - f64::from(kept_rows)).abs();
            prop_assert!(off <= 1.0_f64.max(f64::from(height) / f64::from(width)) );
        }
    }
}
