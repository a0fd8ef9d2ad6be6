//! The resize, row by row.

use super::axis::Axis;
use super::{PictureError, PixelFormat, Preprocess, Source};

/// Resizes a picture whose rows come one after the other, top to bottom, and are not kept.
///
/// Every source row gives zero or more rows of the network's input. Between two source rows one line is kept: the earlier one,
/// resized horizontally. The bytes are those of [`Preprocess::resize`], which is made of this.
///
/// ```
/// use staticnet::preprocess::{Fit, PixelFormat, Preprocess, RowResizer, Source};
///
/// let preprocess = Preprocess { width: 2, height: 3, channels: 1, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
/// let source = Source { width: 2, height: 2, format: PixelFormat::Grey };
/// let mut resizer = RowResizer::new(&preprocess, source)?;
/// let mut line = [0; 2];
/// let mut input = [0; 6];
/// for pixels in [[10, 20], [30, 40]] {
///     while let Some(row) = resizer.next_row() {
///         resizer.emit(&pixels, &line, |i, _, byte| input[row * 2 + i] = byte)?;
///         // The network's steps that have their rows now may run here.
///     }
///     resizer.keep(&pixels, &mut line)?;
/// }
/// assert_eq!(input, [10, 20, 20, 30, 30, 40]);
/// # Ok::<(), staticnet::preprocess::PictureError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowResizer {
    source: Source,
    width: u16,
    height: u16,
    channels: u8,
    /// The first output pixel of every row.
    across: Axis,
    /// The next output row.
    down: Axis,
    emitted: u16,
    given: u16,
}

impl RowResizer {
    /// A resizer before the first row.
    ///
    /// # Errors
    /// [`PictureError::Size`] where a side is 0, [`PictureError::Channels`] where the input is neither grey nor RGB.
    pub fn new(preprocess: &Preprocess, source: Source) -> Result<Self, PictureError> {
        if source.width == 0 || source.height == 0 || preprocess.width == 0 || preprocess.height == 0 {
            return Err(PictureError::Size);
        }
        if !(preprocess.channels == 1 || preprocess.channels == 3) {
            return Err(PictureError::Channels);
        }
        let [across, down] = preprocess.axes(source);
        let Preprocess { width, height, channels, .. } = *preprocess;
        Ok(RowResizer { source, width, height, channels, across, down, emitted: 0, given: 0 })
    }

    /// What the rows come from.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Elements of a row of the network's input, and of the line that is kept.
    pub const fn line_len(&self) -> usize {
        self.width as usize * self.channels as usize
    }

    /// Source rows that are done with.
    pub const fn given(&self) -> usize {
        self.given as usize
    }

    /// Rows of the network's input that have been made.
    pub const fn emitted(&self) -> usize {
        self.emitted as usize
    }

    /// The row of the network's input that the present source row makes next; `None` where it makes no more.
    pub fn next_row(&self) -> Option<usize> {
        let (row, weight) = self.down.at();
        let ready = self.emitted < self.height && row + (weight != 0) as usize == self.given as usize;
        ready.then_some(self.emitted as usize)
    }

    /// Makes the row that [`RowResizer::next_row`] names (nothing where it names none) from the present source row and the line
    /// kept before it, and hands every byte to `put(index, channel, byte)`, index in the row.
    ///
    /// # Errors
    /// [`PictureError::Length`], [`PictureError::Line`].
    pub fn emit(&mut self, pixels: &[u8], line: &[u16], mut put: impl FnMut(usize, usize, u8)) -> Result<(), PictureError> {
        self.check(pixels)?;
        let line = line.get(..self.line_len()).ok_or(PictureError::Line)?;
        if self.next_row().is_none() {
            return Ok(());
        }
        let weight = self.down.at().1;
        // A row of weight 0 has nothing above it that counts.
        let above = if weight == 0 { &[] } else { line };
        self.walk([pixels], |i, c, [below]| {
            let above = above.get(i).map_or(below, |&above| above as u32);
            put(i, c, mix(above, below, weight));
        });
        self.next_output();
        Ok(())
    }

    /// As [`RowResizer::emit`], from the present source row and the one above it: where the picture is in memory no line is
    /// needed. `above` does not matter for the first row.
    ///
    /// # Errors
    /// [`PictureError::Length`].
    pub fn emit_between(
        &mut self,
        above: &[u8],
        pixels: &[u8],
        mut put: impl FnMut(usize, usize, u8),
    ) -> Result<(), PictureError> {
        self.check(pixels)?;
        if self.next_row().is_none() {
            return Ok(());
        }
        let weight = self.down.at().1;
        let above = if weight == 0 { pixels } else { above };
        self.check(above)?;
        self.walk([above, pixels], |i, c, [above, below]| put(i, c, mix(above, below, weight)));
        self.next_output();
        Ok(())
    }

    /// Is done with a source row after all its rows have been made. What later rows need of it is left in `line`.
    ///
    /// # Errors
    /// [`PictureError::Length`], [`PictureError::Line`], [`PictureError::Size`] where all rows of the source have been given.
    pub fn keep(&mut self, pixels: &[u8], line: &mut [u16]) -> Result<(), PictureError> {
        self.check(pixels)?;
        let line = line.get_mut(..self.line_len()).ok_or(PictureError::Line)?;
        let (row, weight) = self.down.at();
        if self.emitted < self.height && weight != 0 && row == self.given as usize {
            // At most 255 * 256.
            self.walk([pixels], |i, _, [value]| line[i] = value as u16);
        }
        self.skip()
    }

    /// As [`RowResizer::keep`], with nothing left anywhere: for rows made by [`RowResizer::emit_between`].
    ///
    /// # Errors
    /// [`PictureError::Size`] where all rows of the source have been given.
    pub fn skip(&mut self) -> Result<(), PictureError> {
        if self.given == self.source.height {
            return Err(PictureError::Size);
        }
        self.given += 1;
        Ok(())
    }

    fn check(&self, pixels: &[u8]) -> Result<(), PictureError> {
        if pixels.len() == self.source.row_bytes() { Ok(()) } else { Err(PictureError::Length) }
    }

    fn next_output(&mut self) {
        self.down.advance();
        self.emitted += 1;
    }

    /// Resizes rows horizontally and hands every element of them to `put(index, channel, values)`, values in 1/256.
    fn walk<const N: usize>(&self, rows: [&[u8]; N], mut put: impl FnMut(usize, usize, [u32; N])) {
        let mut axis = self.across;
        for x in 0..self.width as usize {
            let (first, weight) = axis.at();
            axis.advance();
            let second = first + (weight != 0) as usize;
            let pixels = rows.map(|row| {
                let (left, right) = (self.pixel(row, first), self.pixel(row, second));
                [0, 1, 2].map(|c| left[c] * (256 - weight) + right[c] * weight)
            });
            if self.channels == 1 {
                put(x, 0, pixels.map(|pixel| pixel[0]));
            } else {
                for c in 0..3 {
                    put(x * 3 + c, c, pixels.map(|pixel| pixel[c]));
                }
            }
        }
    }

    /// A source pixel as the network sees it. Of grey the first counts.
    #[inline]
    fn pixel(&self, row: &[u8], x: usize) -> [u32; 3] {
        let [r, g, b] = match self.source.format {
            PixelFormat::Grey => return [row[x] as u32; 3],
            PixelFormat::Rgb888 => [row[3 * x] as u32, row[3 * x + 1] as u32, row[3 * x + 2] as u32],
            PixelFormat::Rgb565 => {
                let word = row[2 * x] as u32 | (row[2 * x + 1] as u32) << 8;
                let (r, g, b) = (word >> 11, (word >> 5) & 63, word & 31);
                [r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2]
            }
        };
        if self.channels == 1 { [(77 * r + 150 * g + 29 * b + 128) >> 8; 3] } else { [r, g, b] }
    }
}

/// Two values in 1/256, the second with a weight in 1/256, as a byte.
#[inline]
fn mix(above: u32, below: u32, weight: u32) -> u8 {
    ((above * (256 - weight) + below * weight + 32768) >> 16) as u8
}
