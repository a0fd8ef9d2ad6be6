//! Labelled pictures drawn by code, to try everything without a download.
//!
//! Ten classes of shapes: arrow, bar, crescent, cross, disc, heart, ring, square, star, triangle. Each picture (RGB, anti-aliased)
//! draws these at random, uniformly within the ranges:
//!
//! | what | range |
//! | --- | --- |
//! | diameter of the circle around the shape | 0.5 to 0.85 of the picture's side |
//! | position | anywhere that leaves this circle inside the picture |
//! | angle | any |
//! | colours of shape and background | any, at least 64 of 255 apart in brightness |
//! | which of the two is brighter | either, equally often |
//! | background | flat, gradient, stripes or speckle, equally often, between two colours up to 60 apart per channel |
//! | direction of gradient and stripes | any; stripes repeat every 1/8 to 2/5 of the side |
//! | noise | normal, independent per pixel and channel, standard deviation 0 to 14 of 255 |
//!
//! As either side may be brighter and shapes turn and move, no single pixel tells anything about the class: a linear classifier
//! on the pixels fails, a small convolutional network succeeds.

mod shapes;

use std::f32::consts::TAU;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageFormat};
use staticnet_data::Image;

use crate::rng::{KeyedRng, stream};

/// Diameter of the circle around the shape, relative to the picture's side.
const DIAMETER: (f32, f32) = (0.5, 0.85);
/// Smallest difference in brightness between the shape and every part of the background, before noise.
const CONTRAST: f32 = 64.0;
/// Largest difference per channel between the two colours of a background.
const BACKGROUND_SPREAD: f32 = 60.0;
/// Largest standard deviation of the noise.
const NOISE: f32 = 14.0;
/// Points per pixel and axis at which a shape is tested: 16 grades of coverage.
const SUBPIXELS: usize = 4;
/// Test pictures are drawn from here on, so that they stay the same whatever the number of training pictures.
const FIRST_TEST_INDEX: u64 = 1 << 32;
/// Sides of pictures that make sense.
const SIDES: std::ops::RangeInclusive<u32> = 8..=4096;

/// Number of classes.
pub const CLASSES: usize = shapes::COUNT;

/// How many pictures to draw, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynthOptions {
    /// Key of all random numbers: the same seed draws the same pictures.
    pub seed: u64,
    /// Width and height in pixels, 8 to 4,096.
    pub size: u32,
    /// Training pictures per class, 1 or more.
    pub train_per_class: usize,
    /// Test pictures per class, 1 or more.
    pub test_per_class: usize,
}

impl Default for SynthOptions {
    fn default() -> Self {
        Self { seed: 0, size: 32, train_per_class: 600, test_per_class: 100 }
    }
}

/// Why no pictures were written. Nothing is left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SynthError {
    /// The target is a file, or a folder with something in it.
    Occupied {
        /// The target.
        path: PathBuf,
    },
    /// The size is outside 8 to 4,096.
    Size {
        /// The size asked for.
        size: u32,
    },
    /// No pictures were asked for in one of the splits.
    NoPictures,
    /// A file or folder cannot be written.
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for SynthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied { path } => {
                write!(f, "{}: exists and is not an empty folder; remove it or choose another", path.display())
            }
            Self::Size { size } => write!(f, "pictures of {size} pixels a side: from {} to {}", SIDES.start(), SIDES.end()),
            Self::NoPictures => write!(f, "at least one picture per class is needed for training and one for testing"),
            Self::Write { path, reason } => write!(f, "{}: cannot be written: {reason}", path.display()),
        }
    }
}

impl std::error::Error for SynthError {}

impl SynthError {
    fn write(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Write { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

/// The names of the classes, by class number; sorted.
pub fn labels() -> Vec<String> {
    (0..CLASSES).map(|class| shapes::name(class).to_string()).collect()
}

/// Writes PNG files `train/<class>/0000.png` .. and `test/<class>/0000.png` .. into the new folder `out`.
///
/// `progress` is told the pictures written and the pictures in all. Everything is written beside `out` first and moved there at
/// the end.
///
/// # Errors
/// Any [`SynthError`]; `out` then is as it was.
pub fn generate(out: &Path, options: &SynthOptions, progress: &mut dyn FnMut(usize, usize)) -> Result<(), SynthError> {
    let &SynthOptions { seed, size, train_per_class, test_per_class } = options;
    if !SIDES.contains(&size) {
        return Err(SynthError::Size { size });
    }
    if train_per_class == 0 || test_per_class == 0 {
        return Err(SynthError::NoPictures);
    }
    let free = !out.exists() || fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if !free {
        return Err(SynthError::Occupied { path: out.to_path_buf() });
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| SynthError::write(parent, error))?;
    // Removed with everything in it when dropped. The data lies one level deeper, with the permissions of any new folder.
    let temporary = tempfile::Builder::new().prefix(".synth-").tempdir_in(parent);
    let temporary = temporary.map_err(|error| SynthError::write(parent, error))?;
    let root = temporary.path().join("data");

    let total = CLASSES * (train_per_class + test_per_class);
    let mut done = 0;
    for (split, first, count) in [("train", 0, train_per_class), ("test", FIRST_TEST_INDEX, test_per_class)] {
        for class in 0..CLASSES {
            let folder = root.join(split).join(shapes::name(class));
            fs::create_dir_all(&folder).map_err(|error| SynthError::write(&folder, error))?;
            for i in 0..count {
                let picture = render(class, seed, first + i as u64, size);
                let path = folder.join(format!("{i:04}.png"));
                image::save_buffer_with_format(&path, &picture.pixels, size, size, ExtendedColorType::Rgb8, ImageFormat::Png)
                    .map_err(|error| SynthError::write(&path, error))?;
                done += 1;
                progress(done, total);
            }
        }
    }
    if out.exists() {
        // An empty folder, which not every system replaces by renaming.
        fs::remove_dir(out).map_err(|error| SynthError::write(out, error))?;
    }
    fs::rename(&root, out).map_err(|error| SynthError::write(out, error))
}

/// Red, green and blue, 0 to 255.
type Colour = [f32; 3];

fn brightness(colour: Colour) -> f32 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| from[c] + (to[c] - from[c]) * share)
}

fn between(rng: &mut KeyedRng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.uniform()
}

/// How the two colours of a background are distributed.
#[derive(Clone, Copy)]
enum Pattern {
    Flat,
    /// Along a direction, across the whole picture.
    Gradient {
        direction: (f32, f32),
    },
    /// Waves along a direction.
    Stripes {
        direction: (f32, f32),
        period: f32,
        phase: f32,
    },
    /// At random in every pixel.
    Speckle,
}

/// Everything drawn at random about a picture but its noise. Lengths and places are relative to the side.
struct Scene {
    class: usize,
    shape: Colour,
    background: (Colour, Colour),
    pattern: Pattern,
    radius: f32,
    centre: (f32, f32),
    angle: f32,
    noise: f32,
}

impl Scene {
    fn draw(class: usize, rng: &mut KeyedRng) -> Self {
        let (shape, background) = draw_colours(rng);
        let radius = between(rng, DIAMETER.0, DIAMETER.1) / 2.0;
        let centre = (between(rng, radius, 1.0 - radius), between(rng, radius, 1.0 - radius));
        let angle = between(rng, 0.0, TAU);
        let turn = between(rng, 0.0, TAU);
        let direction = (turn.cos(), turn.sin());
        let (period, phase) = (between(rng, 1.0 / 8.0, 2.0 / 5.0), rng.uniform());
        let pattern = match rng.below(4) {
            0 => Pattern::Flat,
            1 => Pattern::Gradient { direction },
            2 => Pattern::Stripes { direction, period, phase },
            _ => Pattern::Speckle,
        };
        let noise = between(rng, 0.0, NOISE);
        Self { class, shape, background, pattern, radius, centre, angle, noise }
    }

    fn background_at(&self, x: f32, y: f32, rng: &mut KeyedRng) -> Colour {
        let share = match self.pattern {
            Pattern::Flat => 0.0,
            // The picture's diagonal is 1.41 long.
            Pattern::Gradient { direction: (dx, dy) } => {
                (((x - 0.5) * dx + (y - 0.5) * dy) / std::f32::consts::SQRT_2 + 0.5).clamp(0.0, 1.0)
            }
            Pattern::Stripes { direction: (dx, dy), period, phase } => {
                (((x * dx + y * dy) / period + phase) * TAU).sin() * 0.5 + 0.5
            }
            Pattern::Speckle => rng.uniform(),
        };
        mix(self.background.0, self.background.1, share)
    }

    /// The share of the pixel of side `step` at `(x, y)` that lies inside the shape.
    fn coverage(&self, x: f32, y: f32, step: f32) -> f32 {
        let (sin, cos) = self.angle.sin_cos();
        let at = |pixel: f32, i: usize| pixel + (i as f32 + 0.5) / SUBPIXELS as f32 * step;
        let mut inside = 0;
        for i in 0..SUBPIXELS {
            for k in 0..SUBPIXELS {
                let right = (at(x, k) - self.centre.0) / self.radius;
                let up = (self.centre.1 - at(y, i)) / self.radius;
                inside += shapes::contains(self.class, right * cos + up * sin, up * cos - right * sin) as usize;
            }
        }
        inside as f32 / (SUBPIXELS * SUBPIXELS) as f32
    }
}

/// A colour for the shape and two for the background, far enough apart in brightness, the shape brighter every other time.
fn draw_colours(rng: &mut KeyedRng) -> (Colour, (Colour, Colour)) {
    const ATTEMPTS: usize = 1000;
    let brighter = rng.below(2) == 1;
    for _ in 0..ATTEMPTS {
        let shape: Colour = std::array::from_fn(|_| between(rng, 0.0, 255.0));
        let first: Colour = std::array::from_fn(|_| between(rng, 0.0, 255.0));
        let second = first.map(|value| (value + between(rng, -BACKGROUND_SPREAD, BACKGROUND_SPREAD)).clamp(0.0, 255.0));
        let apart = [first, second].map(|colour| brightness(shape) - brightness(colour));
        if apart.into_iter().all(|difference| if brighter { difference >= CONTRAST } else { -difference >= CONTRAST }) {
            return (shape, (first, second));
        }
    }
    // One attempt in five succeeds, so this is unheard of, but the loop ends.
    let (white, black) = ([255.0; 3], [0.0; 3]);
    if brighter { (white, (black, black)) } else { (black, (white, white)) }
}

/// Picture number `index` of a class (modulo [`CLASSES`]), `size` x `size` RGB, a pure function of its arguments.
pub fn render(class: usize, seed: u64, index: u64, size: u32) -> Image {
    let class = class % CLASSES;
    // The class takes the place of the epoch in the key.
    let mut rng = KeyedRng::new(seed, class as u32, index, stream::SYNTH);
    let scene = Scene::draw(class, &mut rng);
    let step = 1.0 / size as f32;
    let mut pixels = Vec::with_capacity(size as usize * size as usize * 3);
    for row in 0..size {
        for column in 0..size {
            let (x, y) = (column as f32 * step, row as f32 * step);
            let background = scene.background_at(x + step / 2.0, y + step / 2.0, &mut rng);
            let colour = mix(background, scene.shape, scene.coverage(x, y, step));
            pixels.extend(colour.map(|value| (value + scene.noise * rng.normal()).round().clamp(0.0, 255.0) as u8));
        }
    }
    Image { pixels, width: size, height: size, channels: 3 }
}

/// Twelve pictures of every class in one: a row per class in the order of [`labels`], two white pixels between pictures.
pub fn contact_sheet(size: u32) -> Image {
    const COLUMNS: usize = 12;
    const GAP: usize = 2;
    let side = size as usize;
    let (width, height) = (COLUMNS * (side + GAP) + GAP, CLASSES * (side + GAP) + GAP);
    let mut pixels = vec![255; width * height * 3];
    for class in 0..CLASSES {
        for column in 0..COLUMNS {
            let picture = render(class, 0, column as u64, size);
            for (y, row) in picture.pixels.chunks_exact(side * 3).enumerate() {
                let (top, left) = (GAP + class * (side + GAP) + y, GAP + column * (side + GAP));
                let at = (top * width + left) * 3;
                pixels[at..at + row.len()].copy_from_slice(row);
            }
        }
    }
    Image { pixels, width: width as u32, height: height as u32, channels: 3 }
}

#[cfg(test)]
mod tests;
