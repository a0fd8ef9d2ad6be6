//! Pictures as a camera gives them to a board: of the size and in the format that a model's source names.

use super::OnTargetError;
use staticnet::preprocess::{Fit, Picture, PictureError, PixelFormat, Preprocess, Source};
use staticnet_data::decode;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of `picture`, scaled to cover the source's size and cut to it.
///
/// # Errors
/// [`PictureError`] where the picture's description does not fit its bytes.
pub fn as_source(picture: Picture, source: Source) -> Result<Vec<u8>, PictureError> {
    let Source { width, height, format } = source;
    let channels = if format == PixelFormat::Grey { 1 } else { 3 };
    let fit = Fit::Cover { shorter: width.max(height) };
    let scaled = Preprocess { width, height, channels, fit, mean: [0.0; 3], std: [1.0; 3] };
    let mut bytes = vec![0; scaled.len()];
    scaled.resize(picture, |i, _, byte| bytes[i] = byte)?;
    if format == PixelFormat::Rgb565 {
        let pack = |p: &[u8]| (p[0] as u16 >> 3) << 11 | (p[1] as u16 >> 2) << 5 | p[2] as u16 >> 3;
        bytes = bytes.chunks_exact(3).flat_map(|pixel| pack(pixel).to_le_bytes()).collect();
    }
    Ok(bytes)
}

/// The first `most` pictures (JPEG or PNG) of a folder, in the order of their names: name and rows for `source`.
///
/// # Errors
/// [`OnTargetError::File`] and [`OnTargetError::Content`]; [`OnTargetError::NoInput`] where there are none.
pub fn from_folder(folder: &Path, source: Source, most: usize) -> Result<Vec<(String, Vec<u8>)>, OnTargetError> {
    let failed = |e| OnTargetError::file(folder, e);
    let entries = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let is_picture = |path: &PathBuf| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| ["jpg", "jpeg", "png"].contains(&&extension[..]))
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_picture).collect();
    files.sort();
    let pictures = files.iter().take(most).map(|file| {
        let image = decode(file).map_err(|e| OnTargetError::content(file, e))?;
        let rows = as_source(image.picture(), source).map_err(|e| OnTargetError::content(file, format!("{e:?}")))?;
        Ok((file.file_name().unwrap_or_default().to_string_lossy().into_owned(), rows))
    });
    let pictures = pictures.collect::<Result<Vec<_>, OnTargetError>>()?;
    if pictures.is_empty() { Err(OnTargetError::NoInput) } else { Ok(pictures) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_the_same_picture() {
        let pixels = [255, 0, 8, 0, 255, 16, 0, 0, 255, 255, 255, 255];
        let picture = Picture { pixels: &pixels, width: 2, height: 2, channels: 3 };
        let of = |format| as_source(picture, Source { width: 2, height: 2, format }).unwrap();
        assert_eq!(of(PixelFormat::Rgb888), pixels);
        let words = [0xF801u16, 0x07E2, 0x001F, 0xFFFF];
        assert_eq!(of(PixelFormat::Rgb565), words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
        assert_eq!(of(PixelFormat::Grey).len(), 4);
    }
}
