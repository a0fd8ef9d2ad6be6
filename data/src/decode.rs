//! JPEG and PNG files to pixels.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::{DataError, Image};

/// Longest file read, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Longest side decoded, in pixels.
const MAX_SIDE: u32 = 16384;
/// Memory one picture may take while it is decoded, in bytes: 64 million RGB pixels and the decoder's own buffers.
const MAX_DECODED_BYTES: u64 = 256 << 20;

/// Decodes a JPEG or PNG file, told apart by content, not by name.
///
/// Grey pictures keep their one channel, everything else becomes RGB; alpha is dropped and 16-bit samples are rounded to 8.
/// The orientation noted by cameras (EXIF) is not applied: the pixels are taken as they are stored.
///
/// # Errors
/// [`DataError::Missing`], [`DataError::Read`], or [`DataError::Picture`] for other formats, for damaged and cut-off files and
/// for pictures beyond 16,384 pixels a side or 256 MiB (a few kilobytes of PNG can claim more).
pub fn decode(path: &Path) -> Result<Image, DataError> {
    let bytes = read(path)?;
    let refuse = |reason: String| DataError::picture(path, reason);
    let format = match image::guess_format(&bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        Ok(_) | Err(_) if bytes.is_empty() => return Err(refuse("the file is empty".into())),
        Ok(_) | Err(_) => return Err(refuse("neither JPEG nor PNG".into())),
    };
    if format == ImageFormat::Jpeg && !jpeg_is_whole(&bytes) {
        // The decoder would fill the missing part with grey and say nothing.
        return Err(refuse("the JPEG data is cut off before its end".into()));
    }
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| match error {
        image::ImageError::Limits(error) => {
            refuse(format!("larger than {MAX_SIDE} pixels a side or {} MiB ({error})", MAX_DECODED_BYTES >> 20))
        }
        error => refuse(error.to_string()),
    })?;
    let (width, height) = (picture.width(), picture.height());
    let (pixels, channels) = match picture {
        DynamicImage::ImageLuma8(grey) => (grey.into_raw(), 1),
        DynamicImage::ImageRgb8(rgb) => (rgb.into_raw(), 3),
        other if other.color().has_color() => (other.into_rgb8().into_raw(), 3),
        other => (other.into_luma8().into_raw(), 1),
    };
    Ok(Image { pixels, width, height, channels })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => DataError::Missing { path: path.to_path_buf() },
        _ => DataError::read(path, &error),
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(DataError::picture(path, format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(bytes)
}

/// Whether the chain of JPEG segments (ITU-T T.81, annex B) reaches the end-of-image marker.
///
/// Segments are skipped by their length, so the end marker of a thumbnail within one does not count.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const STUFFED: u8 = 0x00;
    const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
    const START_OF_IMAGE: u8 = 0xD8;
    const END_OF_IMAGE: u8 = 0xD9;
    const FILL: u8 = 0xFF;
    let mut at = 0;
    // Bytes before a marker are entropy-coded data.
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        if first != 0xFF || marker == FILL {
            at += 1;
            continue;
        }
        at += 2;
        if marker == END_OF_IMAGE {
            return true;
        }
        if marker == STUFFED || marker == START_OF_IMAGE || RESTART.contains(&marker) {
            continue;
        }
        match bytes.get(at..at + 2) {
            Some(&[high, low]) => at += (usize::from(high) << 8 | usize::from(low)).max(2),
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    fn encoded(format: ImageFormat, pixels: &[u8], side: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        match format {
            ImageFormat::Jpeg => image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
                .write_image(pixels, side, side, color)
                .unwrap(),
            _ => image::codecs::png::PngEncoder::new(&mut bytes).write_image(pixels, side, side, color).unwrap(),
        }
        bytes
    }

    fn decode_bytes(bytes: &[u8]) -> Result<Image, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture");
        std::fs::write(&path, bytes).unwrap();
        decode(&path)
    }

    /// The error's text, which must name the file.
    fn refusal(bytes: &[u8]) -> String {
        let text = decode_bytes(bytes).unwrap_err().to_string();
        assert!(text.contains("picture: cannot be used"), "{text}");
        text
    }

    fn ramp(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 % 256) as u8).collect()
    }

    #[test]
    fn grey_stays_grey_and_alpha_is_dropped() {
        let grey = ramp(16);
        let image = decode_bytes(&encoded(ImageFormat::Png, &grey, 4, ExtendedColorType::L8)).unwrap();
        assert_eq!((image.width, image.height, image.channels, &image.pixels), (4, 4, 1, &grey));

        let rgb = ramp(48);
        let image = decode_bytes(&encoded(ImageFormat::Png, &rgb, 4, ExtendedColorType::Rgb8)).unwrap();
        assert_eq!((image.channels, &image.pixels), (3, &rgb));

        let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 9]).collect();
        let image = decode_bytes(&encoded(ImageFormat::Png, &rgba, 4, ExtendedColorType::Rgba8)).unwrap();
        assert_eq!((image.channels, &image.pixels), (3, &rgb));

        let grey_alpha: Vec<u8> = grey.iter().flat_map(|&p| [p, 9]).collect();
        let image = decode_bytes(&encoded(ImageFormat::Png, &grey_alpha, 4, ExtendedColorType::La8)).unwrap();
        assert_eq!((image.channels, &image.pixels), (1, &grey));
    }

    #[test]
    fn sixteen_bits_become_eight() {
        let wide: Vec<u8> = ramp(16).into_iter().flat_map(|p| (p as u16 * 257).to_ne_bytes()).collect();
        let image = decode_bytes(&encoded(ImageFormat::Png, &wide, 4, ExtendedColorType::L16)).unwrap();
        assert_eq!((image.channels, image.pixels), (1, ramp(16)));
    }

    #[test]
    fn jpeg_is_told_by_content_and_close_to_its_source() {
        for (color, channels) in [(ExtendedColorType::L8, 1), (ExtendedColorType::Rgb8, 3)] {
            let flat = vec![130; 16 * 16 * channels];
            let image = decode_bytes(&encoded(ImageFormat::Jpeg, &flat, 16, color)).unwrap();
            assert_eq!((image.width, image.height, image.channels as usize), (16, 16, channels));
            assert_eq!(image.pixels.len(), flat.len());
            assert!(image.pixels.iter().all(|&p| p.abs_diff(130) <= 2));
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let whole = encoded(format, &ramp(32 * 32 * 3), 32, ExtendedColorType::Rgb8);
            assert!(decode_bytes(&whole).is_ok());
            // The last 16 bytes of a PNG are its checksum and the end chunk: the picture itself is complete without them.
            let last = if format == ImageFormat::Png { whole.len() - 16 } else { whole.len() };
            for length in (0..last).step_by(7).chain([last - 1]) {
                refusal(&whole[..length]);
            }
        }
    }

    #[test]
    fn damaged_and_foreign_files_are_errors() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"not a picture at all").contains("neither JPEG nor PNG"));
        assert!(refusal(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;").contains("neither JPEG nor PNG"));
        let mut png = encoded(ImageFormat::Png, &ramp(32 * 32), 32, ExtendedColorType::L8);
        let middle = png.len() / 2;
        png[middle] ^= 0x55;
        refusal(&png);
        let mut jpeg = encoded(ImageFormat::Jpeg, &ramp(32 * 32), 32, ExtendedColorType::L8);
        // The marker that starts the frame, turned into a comment: no dimensions are left.
        let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 1] = 0xFE;
        refusal(&jpeg);
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let mut png = encoded(ImageFormat::Png, &[0], 1, ExtendedColorType::L8);
        for (width, height) in [(60_000u32, 60_000u32), (16_000, 16_384), (4, 20_000)] {
            // Width and height in the header chunk, followed by the chunk's checksum.
            png[16..20].copy_from_slice(&width.to_be_bytes());
            png[20..24].copy_from_slice(&height.to_be_bytes());
            png[25] = 2;
            let mut crc = flate2::Crc::new();
            crc.update(&png[12..29]);
            png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
            assert!(refusal(&png).contains("larger than 16384 pixels a side or 256 MiB"));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent.jpg");
        assert_eq!(decode(&path), Err(DataError::Missing { path }));
    }

    #[test]
    fn the_end_marker_of_a_thumbnail_does_not_count() {
        let jpeg = encoded(ImageFormat::Jpeg, &ramp(64), 8, ExtendedColorType::L8);
        let mut with_thumbnail = jpeg[..2].to_vec();
        with_thumbnail.extend([0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD8, 0xFF, 0xD9]);
        with_thumbnail.extend(&jpeg[2..]);
        assert!(jpeg_is_whole(&with_thumbnail));
        assert!(!jpeg_is_whole(&with_thumbnail[..with_thumbnail.len() - 2]));
    }
}
