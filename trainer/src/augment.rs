//! Random variations of training pictures: the network sees another one every epoch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rng::KeyedRng;

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
}

impl Augment {
    const ALL: [Augment; 3] = [Augment::None, Augment::Flip, Augment::CropFlip];

    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Flip => "flip",
            Self::CropFlip => "crop-flip",
        }
    }

    /// Draws one variation for pictures of this size.
    pub fn draw(self, width: usize, height: usize, rng: &mut KeyedRng) -> Variation {
        let mut offset = |side: usize| {
            let padding = (side / 8) as u32;
            rng.below(2 * padding + 1) as isize - padding as isize
        };
        match self {
            Self::None => Variation::default(),
            Self::Flip => Variation { flip: rng.below(2) == 1, ..Variation::default() },
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
        known.ok_or_else(|| format!("`{text}` is no augmentation: none, flip or crop-flip"))
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
    /// The place in the picture that pixel `(y, x)` of the result shows; `None` for padding.
    pub fn source(&self, y: usize, x: usize, width: usize, height: usize) -> Option<(usize, usize)> {
        let x = if self.flip { width - 1 - x } else { x };
        let y = y.checked_add_signed(self.down).filter(|&y| y < height)?;
        let x = x.checked_add_signed(self.right).filter(|&x| x < width)?;
        Some((y, x))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::rng::stream;

    #[test]
    fn names_are_the_same_everywhere() {
        for (augment, text) in [(Augment::None, "none"), (Augment::Flip, "flip"), (Augment::CropFlip, "crop-flip")] {
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
            let inside = inside.filter_map(|(y, x)| variation.source(y, x, width, height));
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
        assert_eq!(flip.source(3, 0, 5, 4), Some((3, 4)));
        let moved = Variation { down: -1, right: 2, flip: true };
        assert_eq!(moved.source(0, 0, 5, 4), None, "padding above");
        assert_eq!(moved.source(1, 0, 5, 4), None, "padding on the right");
        assert_eq!(moved.source(1, 4, 5, 4), Some((0, 2)));
        let flips = (0..1000).filter(|&i| Augment::Flip.draw(8, 8, &mut KeyedRng::new(0, 0, i, stream::AUGMENT)).flip).count();
        assert!((420..580).contains(&flips), "{flips} of 1000");
        let mut rng = KeyedRng::new(0, 0, 0, stream::AUGMENT);
        assert_eq!(Augment::None.draw(8, 8, &mut rng), Variation::default());
        assert_eq!(rng, KeyedRng::new(0, 0, 0, stream::AUGMENT), "nothing drawn");
    }
}
