//! One picture of a batch: fitted, varied, normalised.

use staticnet::preprocess::{Fit, Picture, PictureError, Preprocess};

use crate::augment::{Region, Variation};

/// `picture`, or what lies in a region of it, in the network's input size, HWC, in `pixels`. `scratch` is memory to be reused.
///
/// # Errors
/// [`PictureError`] where the picture's description does not fit its bytes.
pub(super) fn fit(
    preprocess: &Preprocess,
    picture: Picture<'_>,
    region: Option<Region>,
    scratch: &mut Vec<u8>,
    pixels: &mut [u8],
) -> Result<(), PictureError> {
    picture.source()?;
    match region {
        None => match window(preprocess, picture) {
            Some(window) => cut(picture, window, pixels),
            None => preprocess.resize(picture, |at, _, byte| pixels[at] = byte)?,
        },
        Some(region) => {
            let Region { width, height, .. } = region;
            scratch.resize(width as usize * height as usize * picture.channels as usize, 0);
            cut(picture, region, scratch);
            let part = Picture { pixels: scratch, width, height, channels: picture.channels };
            Preprocess { fit: Fit::Stretch, ..*preprocess }.resize(part, |at, _, byte| pixels[at] = byte)?;
        }
    }
    Ok(())
}

/// What the network sees of a picture that is not scaled: [`Preprocess::resize`] gives the very bytes of the picture there. `None`
/// where it scales or changes the channels.
fn window(preprocess: &Preprocess, picture: Picture<'_>) -> Option<Region> {
    let (width, height) = (u32::from(preprocess.width), u32::from(preprocess.height));
    let unscaled = match preprocess.fit {
        Fit::Stretch => (picture.width, picture.height) == (width, height),
        Fit::Cover { shorter } => picture.width.min(picture.height) == u32::from(shorter).max(width).max(height),
    };
    let centre =
        Region { top: picture.height.checked_sub(height)? / 2, left: picture.width.checked_sub(width)? / 2, width, height };
    (unscaled && picture.channels == preprocess.channels).then_some(centre)
}

/// Copies a region of `picture` to `pixels`.
fn cut(picture: Picture<'_>, region: Region, pixels: &mut [u8]) {
    let pixel = picture.channels as usize;
    let (left, row) = (region.left as usize * pixel, region.width as usize * pixel);
    let rows = picture.pixels.chunks_exact(picture.width as usize * pixel).skip(region.top as usize);
    for (to, from) in pixels.chunks_exact_mut(row).zip(rows) {
        to.copy_from_slice(&from[left..][..row]);
    }
}

/// Appends a picture of `width` pixels a row (HWC) to `images` (NCHW), varied, every byte replaced by what `tables` have for
/// its channel.
///
/// # Panics
/// Panics unless there are 1 or 3 channels.
pub(super) fn append(pixels: &[u8], width: usize, variation: &Variation, tables: &[[f32; 256]], images: &mut Vec<f32>) {
    match tables {
        [table] => append_planes(pixels, width, variation, [table], images),
        [red, green, blue] => append_planes(pixels, width, variation, [red, green, blue], images),
        _ => panic!("a network takes pictures of 1 or 3 channels, not of {}", tables.len()),
    }
}

fn append_planes<const C: usize>(
    pixels: &[u8],
    width: usize,
    variation: &Variation,
    tables: [&[f32; 256]; C],
    images: &mut Vec<f32>,
) {
    let (pixels, _) = pixels.as_chunks::<C>();
    let plane = pixels.len();
    let (height, first) = (plane / width, images.len());
    images.resize(first + C * plane, 0.0);
    let mut planes = images[first..].chunks_exact_mut(plane);
    let mut planes: [&mut [f32]; C] = std::array::from_fn(|_| planes.next().unwrap_or_default());
    let columns = variation.columns(width);
    for y in 0..height {
        let mut rows = planes.each_mut().map(|plane| &mut plane[y * width..][..width]);
        let Some(from) = variation.row(y, height) else {
            rows.iter_mut().zip(tables).for_each(|(row, table)| row.fill(table[0]));
            continue;
        };
        let from = &pixels[from * width..][..width][columns.from.clone()];
        for (row, table) in rows.iter_mut().zip(tables) {
            row[..columns.to.start].fill(table[0]);
            row[columns.to.end..].fill(table[0]);
        }
        let to = rows.map(|row| &mut row[columns.to.clone()]);
        if variation.flip {
            look_up(from.iter().rev(), tables, to);
        } else {
            look_up(from.iter(), tables, to);
        }
    }
}

/// One row: every pixel of `from` into the planes.
#[inline]
fn look_up<'a, const C: usize>(from: impl Iterator<Item = &'a [u8; C]>, tables: [&[f32; 256]; C], to: [&mut [f32]; C]) {
    for (x, pixel) in from.enumerate() {
        for c in 0..C {
            to[c][x] = tables[c][pixel[c] as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn a_picture_is_fitted_as_the_preprocessing_does() {
        let sizes = [(8, 6), (6, 8), (7, 9), (9, 7), (12, 9), (9, 12), (5, 30), (1, 1), (8, 9), (9, 9)];
        let fits = [Fit::Stretch, Fit::Cover { shorter: 9 }, Fit::Cover { shorter: 1 }];
        let mut unscaled = 0;
        for (width, height) in sizes {
            for fit_as in fits {
                for (channels, of_picture) in [(3, 3), (1, 1), (3, 1), (1, 3)] {
                    let preprocess = Preprocess { width: 8, height: 6, channels, fit: fit_as, mean: [0.0; 3], std: [1.0; 3] };
                    let pixels = noise(width as usize * height as usize * of_picture as usize);
                    let picture = Picture { pixels: &pixels, width, height, channels: of_picture };
                    let (mut expected, mut found) = (vec![0; preprocess.len()], vec![0; preprocess.len()]);
                    preprocess.resize(picture, |at, _, byte| expected[at] = byte).unwrap();
                    fit(&preprocess, picture, None, &mut Vec::new(), &mut found).unwrap();
                    assert_eq!(found, expected, "{width} x {height}, {preprocess:?}");
                    unscaled += usize::from(window(&preprocess, picture).is_some());
                }
            }
        }
        // Of both kinds of channels: 8 x 6 stretched, 9 at the shorter side of three sizes, 8 there of one.
        assert_eq!(unscaled, 2 * (1 + 3 + 1));
    }

    #[test]
    fn a_picture_that_is_not_what_it_says_is_refused() {
        let preprocess = Preprocess { width: 2, height: 2, channels: 3, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
        let picture = Picture { pixels: &[0; 11], width: 2, height: 2, channels: 3 };
        for region in [None, Some(Region { top: 0, left: 0, width: 1, height: 1 })] {
            assert_eq!(fit(&preprocess, picture, region, &mut Vec::new(), &mut [0; 12]), Err(PictureError::Length));
        }
    }

    #[test]
    fn any_variation_is_the_moved_and_mirrored_picture() {
        let (width, height) = (5, 4);
        let table: [f32; 256] = std::array::from_fn(|byte| byte as f32 + 0.5);
        for tables in [vec![table], vec![table, table.map(|v| v * 2.0), table.map(|v| -v)]] {
            let channels = tables.len();
            let pixels = noise(width * height * channels);
            for (down, right) in (-5..=5).flat_map(|down| (-6..=6).map(move |right| (down, right))) {
                for flip in [false, true] {
                    let mut images = vec![7.0];
                    append(&pixels, width, &Variation { down, right, flip }, &tables, &mut images);
                    assert_eq!(images.remove(0), 7.0);
                    for (at, &value) in images.iter().enumerate() {
                        let (c, y, x) = (at / (width * height), at / width % height, at % width);
                        let x = if flip { width - 1 - x } else { x };
                        let (y, x) = (y as isize + down, x as isize + right);
                        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                        let byte = if inside { pixels[(y as usize * width + x as usize) * channels + c] } else { 0 };
                        assert_eq!(value, tables[c][byte as usize], "{down} {right} {flip} at {at}");
                    }
                    assert_eq!(images.len(), pixels.len());
                }
            }
        }
    }
}
