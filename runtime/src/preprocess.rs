//! From pixels to the network's input: resize, crop, normalise.
//!
//! The trainer's evaluation, the exporter's calibration and the device all run this very code, with the parameters stored in
//! the model, so a picture becomes the same numbers everywhere. Resizing is fixed point; normalising is binary32.
//!
//! A picture may lie in memory ([`Picture`]) or come row by row from a camera ([`Source`]); [`RowResizer`] does both.

mod axis;
mod rows;

use axis::Axis;
pub use rows::RowResizer;

/// How a picture is fitted into the network's input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Scale both sides independently to the input size.
    Stretch,
    /// Scale so that the shorter side has `shorter` pixels (keeping the shape), then cut the centre out.
    Cover {
        /// Length of the shorter side after scaling; at least the input's larger side.
        shorter: u16,
    },
}

/// Parameters of the preprocessing, stored with the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// Input width in pixels.
    pub width: u16,
    /// Input height in pixels.
    pub height: u16,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: u8,
    /// How a picture of another size is fitted.
    pub fit: Fit,
    /// Mean per channel, of pixels scaled to `[0, 1]`.
    pub mean: [f32; 3],
    /// Standard deviation per channel, of pixels scaled to `[0, 1]`.
    pub std: [f32; 3],
}

/// A picture in memory: rows top to bottom, channels interleaved, one byte each.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// `height * width * channels` bytes.
    pub pixels: &'a [u8],
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: u8,
}

impl Picture<'_> {
    /// What its rows are, one [`Source::row_bytes`] after the other.
    ///
    /// # Errors
    /// [`PictureError`] where the picture's description does not fit its bytes.
    pub fn source(&self) -> Result<Source, PictureError> {
        let (Ok(width), Ok(height)) = (u16::try_from(self.width), u16::try_from(self.height)) else {
            return Err(PictureError::Size);
        };
        if width == 0 || height == 0 {
            return Err(PictureError::Size);
        }
        let format = match self.channels {
            1 => PixelFormat::Grey,
            3 => PixelFormat::Rgb888,
            _ => return Err(PictureError::Channels),
        };
        let source = Source { width, height, format };
        if self.pixels.len() as u64 != source.row_bytes() as u64 * height as u64 {
            return Err(PictureError::Length);
        }
        Ok(source)
    }
}

/// How a source's pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum PixelFormat {
    /// Three bytes: red, green, blue.
    Rgb888 = 0,
    /// A little-endian 16-bit word: red in its upper 5 bits, then green in 6, blue in the lower 5. Widened to bytes by repeating
    /// the upper bits below.
    Rgb565 = 1,
    /// One byte.
    Grey = 2,
}

impl PixelFormat {
    /// Bytes of a pixel.
    pub const fn bytes(self) -> usize {
        match self {
            PixelFormat::Rgb888 => 3,
            PixelFormat::Rgb565 => 2,
            PixelFormat::Grey => 1,
        }
    }

    /// The format's name for people.
    pub const fn name(self) -> &'static str {
        match self {
            PixelFormat::Rgb888 => "rgb888",
            PixelFormat::Rgb565 => "rgb565",
            PixelFormat::Grey => "grey",
        }
    }

    /// The format that has this number in an artifact.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(PixelFormat::Rgb888),
            1 => Some(PixelFormat::Rgb565),
            2 => Some(PixelFormat::Grey),
            _ => None,
        }
    }
}

/// What gives pictures row by row, such as a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Source {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// How pixels lie in memory.
    pub format: PixelFormat,
}

impl Source {
    /// Bytes of a row.
    pub const fn row_bytes(&self) -> usize {
        self.width as usize * self.format.bytes()
    }
}

/// Bytes of the line that [`RowResizer`] keeps for a network's input of this width and channels, up to the next multiple of 16.
pub const fn line_bytes(width: u32, channels: u32) -> u64 {
    // No product of three such numbers that is of use comes near 64 bits.
    (width as u64 * channels as u64).saturating_mul(2).div_ceil(16).saturating_mul(16)
}

/// Bytes that an engine needs to take a network's input of this width and channels row by row: a line, and where the input is
/// int8 behind it a table a channel from pixel bytes to quantized values.
///
/// ```
/// use staticnet::preprocess::row_memory_bytes;
///
/// assert_eq!(row_memory_bytes(100, 3, true), 608 + 768);
/// assert_eq!(row_memory_bytes(100, 3, false), 608);
/// ```
pub const fn row_memory_bytes(width: u32, channels: u32, int8: bool) -> u64 {
    line_bytes(width, channels).saturating_add(if int8 { 256 * channels as u64 } else { 0 })
}

/// Why a picture cannot be preprocessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PictureError {
    /// Width or height is 0 or above 65,535, or a row came behind the last.
    Size,
    /// The number of bytes is not height x width x channels, or that of a row not width x bytes of a pixel.
    Length,
    /// Neither grey nor RGB.
    Channels,
    /// The destination does not have height x width x channels elements.
    Destination,
    /// The memory for a line is too short.
    Line,
}

impl Preprocess {
    /// Elements of the network's input: height x width x channels.
    pub const fn len(&self) -> usize {
        self.width as usize * self.height as usize * self.channels as usize
    }

    /// Whether the input has no elements (never so for an accepted model).
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The normalised value of a pixel byte in channel `c` (0 to 2): `(byte / 255 - mean) / std` in binary32.
    pub fn normalise(&self, byte: u8, c: usize) -> f32 {
        (byte as f32 / 255.0 - self.mean[c % 3]) / self.std[c % 3]
    }

    /// Across, then down.
    fn axes(&self, source: Source) -> [Axis; 2] {
        let (sw, sh) = (source.width as u64, source.height as u64);
        let (w, h) = (self.width as u64, self.height as u64);
        let (rw, rh) = match self.fit {
            Fit::Stretch => (w, h),
            Fit::Cover { shorter } => {
                let shorter = (shorter as u64).max(w).max(h);
                // The longer side is rounded to nearest.
                if sw <= sh { (shorter, (sh * shorter + sw / 2) / sw) } else { ((sw * shorter + sh / 2) / sh, shorter) }
            }
        };
        // At most 65,535 x 65,535, from a side of 65,535 beside one of 1.
        let axis = |source: u64, scaled: u64, out: u64| Axis::new(source as u32, scaled as u32, ((scaled - out) / 2) as u32);
        [axis(sw, rw, w), axis(sh, rh, h)]
    }

    /// Resizes and crops `picture` to the input size and hands every byte to `put(index, channel, byte)`, index in NHWC order.
    ///
    /// Bilinear between pixel centres with 8-bit weights, rounded to nearest; a picture that already has the input size passes
    /// unchanged. Grey becomes RGB by repetition, RGB becomes grey as `(77 R + 150 G + 29 B + 128) / 256`.
    ///
    /// ```
    /// use staticnet::preprocess::{Fit, Picture, Preprocess};
    ///
    /// let preprocess = Preprocess { width: 3, height: 1, channels: 1, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
    /// let mut input = [0; 3];
    /// preprocess.resize(Picture { pixels: &[10, 20], width: 2, height: 1, channels: 1 }, |i, _, byte| input[i] = byte)?;
    /// assert_eq!(input, [10, 15, 20]);
    /// # Ok::<(), staticnet::preprocess::PictureError>(())
    /// ```
    ///
    /// # Errors
    /// [`PictureError`] where the picture's description does not fit its bytes.
    pub fn resize(&self, picture: Picture, mut put: impl FnMut(usize, usize, u8)) -> Result<(), PictureError> {
        let source = picture.source()?;
        let mut resizer = RowResizer::new(self, source)?;
        let mut above: &[u8] = &[];
        for pixels in picture.pixels.chunks_exact(source.row_bytes()) {
            while let Some(row) = resizer.next_row() {
                let first = row * resizer.line_len();
                resizer.emit_between(above, pixels, |i, c, byte| put(first + i, c, byte))?;
            }
            resizer.skip()?;
            above = pixels;
        }
        Ok(())
    }

    /// The picture as normalised f32 in NHWC order.
    ///
    /// # Errors
    /// [`PictureError`] where sizes do not fit.
    pub fn to_f32(&self, picture: Picture, out: &mut [f32]) -> Result<(), PictureError> {
        if out.len() != self.len() {
            return Err(PictureError::Destination);
        }
        self.resize(picture, |i, c, byte| out[i] = self.normalise(byte, c))
    }
}
