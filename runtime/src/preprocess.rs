//! From pixels to the network's input: resize, crop, normalise.
//!
//! The trainer's evaluation, the exporter's calibration and the device all run this very code, with the parameters stored in
//! the model, so a picture becomes the same numbers everywhere. Resizing is fixed point; normalising is binary32.

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

/// Why a picture cannot be preprocessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PictureError {
    /// Width or height is 0 or above 65,535.
    Size,
    /// The number of bytes is not height x width x channels.
    Length,
    /// Neither grey nor RGB.
    Channels,
    /// The destination does not have height x width x channels elements.
    Destination,
}

/// One axis of the resize: where in the source the centre of an output pixel falls, in 1/65536 pixel.
#[derive(Clone, Copy)]
struct Axis {
    source: u64,
    scaled: u64,
    crop: u64,
}

impl Axis {
    /// `(first source index, second source index, weight of the second in 1/256)`.
    fn at(&self, out: usize) -> (usize, usize, u32) {
        // Half-pixel centres: (out + crop + 1/2) * source / scaled - 1/2.
        // Whole and fractional part one after the other, so that no product needs more than 64 bits.
        let (doubled, twice) = ((2 * (out as u64 + self.crop) + 1) * self.source, 2 * self.scaled);
        let centre = ((doubled / twice) << 16) + ((doubled % twice) << 16) / twice;
        let position = centre.saturating_sub(32768).min((self.source - 1) << 16);
        let first = (position >> 16) as usize;
        let second = (first + 1).min(self.source as usize - 1);
        (first, second, ((position >> 8) & 255) as u32)
    }
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

    fn axes(&self, picture: &Picture) -> (Axis, Axis) {
        let (sw, sh) = (picture.width as u64, picture.height as u64);
        let (w, h) = (self.width as u64, self.height as u64);
        let (rw, rh) = match self.fit {
            Fit::Stretch => (w, h),
            Fit::Cover { shorter } => {
                let shorter = (shorter as u64).max(w).max(h);
                // The longer side is rounded to nearest.
                if sw <= sh { (shorter, (sh * shorter + sw / 2) / sw) } else { ((sw * shorter + sh / 2) / sh, shorter) }
            }
        };
        (Axis { source: sh, scaled: rh, crop: (rh - h) / 2 }, Axis { source: sw, scaled: rw, crop: (rw - w) / 2 })
    }

    /// Resizes and crops `picture` to the input size and hands every byte to `put(index, channel, byte)`, index in NHWC order.
    ///
    /// Bilinear between pixel centres with 8-bit weights, rounded to nearest; a picture that already has the input size passes
    /// unchanged. Grey becomes RGB by repetition, RGB becomes grey as `(77 R + 150 G + 29 B + 128) / 256`.
    ///
    /// # Errors
    /// [`PictureError`] where the picture's description does not fit its bytes.
    pub fn resize(&self, picture: Picture, mut put: impl FnMut(usize, usize, u8)) -> Result<(), PictureError> {
        let (sw, sh, sc) = (picture.width as usize, picture.height as usize, picture.channels as usize);
        if sw == 0 || sh == 0 || sw > 65535 || sh > 65535 || self.is_empty() {
            return Err(PictureError::Size);
        }
        if !(sc == 1 || sc == 3) || !(self.channels == 1 || self.channels == 3) {
            return Err(PictureError::Channels);
        }
        if picture.pixels.len() != sw * sh * sc {
            return Err(PictureError::Length);
        }
        let (ay, ax) = self.axes(&picture);
        let tap = |y: usize, x: usize, c: usize| -> u32 {
            let at = (y * sw + x) * sc;
            match (sc, self.channels) {
                (3, 1) => {
                    let p = &picture.pixels[at..at + 3];
                    (77 * p[0] as u32 + 150 * p[1] as u32 + 29 * p[2] as u32 + 128) >> 8
                }
                (1, _) => picture.pixels[at] as u32,
                _ => picture.pixels[at + c] as u32,
            }
        };
        let mut index = 0;
        for oy in 0..self.height as usize {
            let (y0, y1, fy) = ay.at(oy);
            for ox in 0..self.width as usize {
                let (x0, x1, fx) = ax.at(ox);
                for c in 0..self.channels as usize {
                    let top = tap(y0, x0, c) * (256 - fx) + tap(y0, x1, c) * fx;
                    let bottom = tap(y1, x0, c) * (256 - fx) + tap(y1, x1, c) * fx;
                    let byte = (top * (256 - fy) + bottom * fy + 32768) >> 16;
                    put(index, c, byte as u8);
                    index += 1;
                }
            }
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
