//! Random variations of training pictures: the network sees another one every epoch.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rng::KeyedRng;

/// Shares of a picture's area that [`Augment::ResizedCrop`] shows.
const AREA: (f64, f64) = (0.08, 1.0);
/// Width through height of what it shows.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
/// Draws of area and ratio until one lies within the picture.
const ATTEMPTS: usize = 10;

/// How training pictures are varied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Not at all.
    #[default]
    None,
    /// Mirrored left to right, every other time.
    Flip,
    /// Padded with black by an eighth of each side (4 pixels at 32), cut out at a random place, then as [`Augment::Flip`].
    CropFlip,
    /// A random part of the picture, of 8 to 100 % of its area and 3:4 to 4:3 in shape, scaled to the input size, then as
    /// [`Augment::Flip`]. What large pictures of things are usually trained with.
    ResizedCrop,
}

impl Augment {
    const ALL: [Augment; 4] = [Augment::None, Augment::Flip, Augment::CropFlip, Augment::ResizedCrop];

    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Flip => "flip",
            Self::CropFlip => "crop-flip",
            Self::ResizedCrop => "resized-crop",
        }
    }

    /// Draws the part of a picture of this size that is fitted into the network's input; `None` where the preprocessing decides.
    ///
    /// For [`Augment::ResizedCrop`] area and the logarithm of the ratio are uniform within their ranges, drawn up to ten times
    /// until the part lies within the picture; failing that it is the largest part from the centre whose ratio is allowed. This is
    /// the rule of torchvision's `RandomResizedCrop` (Szegedy et al., "Going deeper with convolutions", 2015, section 6).
    pub fn region(self, width: u32, height: u32, rng: &mut KeyedRng) -> Option<Region> {
        match self {
            Self::None | Self::Flip | Self::CropFlip => None,
            Self::ResizedCrop => Some(resized_crop(width, height, rng)),
        }
    }

    /// Draws one variation for pictures of the network's input size.
    pub fn draw(self, width: usize, height: usize, rng: &mut KeyedRng) -> Variation {
        let mut offset = |side: usize| {
            let padding = (side / 8) as u32;
            rng.below(2 * padding + 1) as isize - padding as isize
        };
        match self {
            Self::None => Variation::default(),
            Self::Flip | Self::ResizedCrop => Variation { flip: rng.below(2) == 1, ..Variation::default() },
            Self::CropFlip => {
                let (down, right) = (offset(height), offset(width));
                Variation { down, right, flip: rng.below(2) == 1 }
            }
        }
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|augment| augment.text() == text);
        known.ok_or_else(|| format!("`{text}` is no augmentation: none, flip, crop-flip or resized-crop"))
    }
}

/// What happens to one picture: the window is moved over the picture, then mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variation {
    /// Rows the window is moved down; negative for up.
    pub down: isize,
    /// Columns the window is moved to the right.
    pub right: isize,
    /// Whether the result is mirrored left to right.
    pub flip: bool,
}

impl Variation {
    /// The row of the picture that row `y` of the result shows; `None` for padding.
    pub fn row(&self, y: usize, height: usize) -> Option<usize> {
        y.checked_add_signed(self.down).filter(|&y| y < height)
    }

    /// The columns of a row that show the picture, and what they show of it.
    pub fn columns(&self, width: usize) -> Columns {
        let from = width.min(self.right.max(0).unsigned_abs())..width.saturating_add_signed(self.right).min(width);
        if from.is_empty() {
            return Columns { to: 0..0, from: 0..0 };
        }
        let moved = |x: usize| x.saturating_add_signed(-self.right);
        let to = moved(from.start)..moved(from.end);
        Columns { to: if self.flip { width - to.end..width - to.start } else { to }, from }
    }
}

/// Where the columns of a varied picture come from; both ranges are of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Columns of the result; those beside them are padding.
    pub to: Range<usize>,
    /// Columns of the picture; of a mirrored one the last comes first.
    pub from: Range<usize>,
}

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its first row.
    pub top: u32,
    /// Its first column.
    pub left: u32,
    /// Its width, at least 1.
    pub width: u32,
    /// Its height, at least 1.
    pub height: u32,
}

fn resized_crop(width: u32, height: u32, rng: &mut KeyedRng) -> Region {
    let (w, h) = (f64::from(width), f64::from(height));
    let between = |(low, high): (f64, f64), rng: &mut KeyedRng| low + (high - low) * f64::from(rng.uniform());
    for _ in 0..ATTEMPTS {
        let area = w * h * between(AREA, rng);
        let ratio = between((RATIO.0.ln(), RATIO.1.ln()), rng).exp();
        let (across, down) = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round());
        if (1.0..=w).contains(&across) && (1.0..=h).contains(&down) {
            let (across, down) = (across as u32, down as u32);
            let (top, left) = (rng.below(height - down + 1), rng.below(width - across + 1));
            return Region { top, left, width: across, height: down };
        }
    }
    let across = (h * RATIO.1).round().clamp(1.0, w) as u32;
    let down = (w / RATIO.0).round().clamp(1.0, h) as u32;
    Region { top: (height - down) / 2, left: (width - across) / 2, width: across, height: down }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::rng::stream;

    /// The place in the picture that pixel `(y, x)` of the result shows.
    fn source(variation: &Variation, y: usize, x: usize, width: usize, height: usize) -> Option<(usize, usize)> {
        let Columns { to, from } = variation.columns(width);
        assert_eq!(to.len(), from.len());
        let y = variation.row(y, height)?;
        to.contains(&x).then(|| (y, if variation.flip { from.end - 1 - (x - to.start) } else { from.start + (x - to.start) }))
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for (augment, text) in [
            (Augment::None, "none"),
            (Augment::Flip, "flip"),
            (Augment::CropFlip, "crop-flip"),
            (Augment::ResizedCrop, "resized-crop"),
        ] {
            assert_eq!(augment.to_string(), text);
            assert_eq!(text.parse(), Ok(augment));
            assert_eq!(serde_json::to_string(&augment).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Augment>(&format!("\"{text}\"")).unwrap(), augment);
        }
        assert!("mixup".parse::<Augment>().unwrap_err().contains("mixup"));
    }

    #[test]
    fn a_crop_stays_within_the_padding_and_takes_every_place() {
        let (width, height) = (32, 16);
        let mut seen = HashSet::new();
        for sample in 0..4000 {
            let variation = Augment::CropFlip.draw(width, height, &mut KeyedRng::new(1, 2, sample, stream::AUGMENT));
            assert!(variation.down.abs() <= 2 && variation.right.abs() <= 4, "{variation:?}");
            seen.insert((variation.down, variation.right, variation.flip));
            let inside = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
            let inside = inside.filter_map(|(y, x)| source(&variation, y, x, width, height));
            let places: HashSet<(usize, usize)> = inside.collect();
            assert!(places.iter().all(|&(y, x)| y < height && x < width));
            let kept = (height - variation.down.unsigned_abs()) * (width - variation.right.unsigned_abs());
            assert_eq!(places.len(), kept, "each visible pixel once, {variation:?}");
        }
        assert_eq!(seen.len(), 5 * 9 * 2);
    }

    #[test]
    fn a_flip_mirrors_columns() {
        let flip = Variation { flip: true, ..Variation::default() };
        assert_eq!(source(&flip, 3, 0, 5, 4), Some((3, 4)));
        let moved = Variation { down: -1, right: 2, flip: true };
        assert_eq!(source(&moved, 0, 0, 5, 4), None, "padding above");
        assert_eq!(source(&moved, 1, 0, 5, 4), None, "padding on the right");
        assert_eq!(source(&moved, 1, 4, 5, 4), Some((0, 2)));
        let flips = (0..1000).filter(|&i| Augment::Flip.draw(8, 8, &mut KeyedRng::new(0, 0, i, stream::AUGMENT)).flip).count();
        assert!((420..580).contains(&flips), "{flips} of 1000");
        let mut rng = KeyedRng::new(0, 0, 0, stream::AUGMENT);
        assert_eq!(Augment::None.draw(8, 8, &mut rng), Variation::default());
        assert_eq!(rng, KeyedRng::new(0, 0, 0, stream::AUGMENT), "nothing drawn");
    }

    /// Of a width and a height what `trainer/scripts/resized_crop.py` prints: the means of a million draws of the share of the
    /// area, the logarithm of width through height, and top and left in shares of the side. It models the rule with numpy.
    const MEANS: [((u32, u32), [f64; 4]); 3] = [
        ((256, 256), [0.479639, -8.2e-05, 0.164765, 0.164922]),
        ((500, 375), [0.432817, 0.030574, 0.139786, 0.218564]),
        ((64, 300), [0.179297, -0.089432, 0.397527, 0.071954]),
    ];

    #[test]
    fn resized_crops_have_the_means_of_an_independent_model() {
        for ((width, height), expected) in MEANS {
            let (mut sums, mut squares, n) = ([0.0; 4], [0.0; 4], 40_000);
            for sample in 0..n {
                let mut rng = KeyedRng::new(3, 1, sample, stream::AUGMENT);
                let region = Augment::ResizedCrop.region(width, height, &mut rng).unwrap();
                assert!(region.top + region.height <= height && region.left + region.width <= width, "{region:?}");
                let [w, h, across, down, top, left] =
                    [width, height, region.width, region.height, region.top, region.left].map(f64::from);
                let values = [across * down / (w * h), (across / down).ln(), top / h, left / w];
                for (i, value) in values.into_iter().enumerate() {
                    sums[i] += value;
                    squares[i] += value * value;
                }
            }
            for i in 0..4 {
                let mean = sums[i] / n as f64;
                let deviation = ((squares[i] / n as f64 - mean * mean) / n as f64).sqrt();
                // Four deviations of the mean, and the golden value's own fifth of one.
                assert!(
                    (mean - expected[i]).abs() < 4.2 * deviation + 1e-9,
                    "{width} x {height}, {i}: {mean}, not {}",
                    expected[i]
                );
            }
        }
    }

    #[test]
    fn a_crop_of_a_thin_picture_is_its_middle() {
        for ((width, height), expected) in [
            ((1, 100), Region { top: 49, left: 0, width: 1, height: 1 }),
            ((300, 3), Region { top: 0, left: 148, width: 4, height: 3 }),
            ((1, 1), Region { top: 0, left: 0, width: 1, height: 1 }),
        ] {
            let middle = (0..200).map(|i| KeyedRng::new(0, 0, i, stream::AUGMENT));
            let drawn = middle.filter(|rng| Augment::ResizedCrop.region(width, height, &mut rng.clone()) == Some(expected));
            assert!(drawn.count() >= 150, "{width} x {height}");
        }
    }
}
