//! Views of activations: rows of pixels, channels innermost (NHWC), kept in a ring.
//!
//! A ring of `R` rows holds row `r` of the tensor at place `r % R`. A tensor that is held whole is a ring of its height. Kernels
//! see only rows, so they neither know nor care how much of a tensor is in memory.

/// Rows to read.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, E> {
    data: &'a [E],
    ring: usize,
    /// Rows of the whole tensor.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
}

impl<'a, E> Rows<'a, E> {
    /// A view of `data`, which holds `ring` rows of `width * channels` elements.
    pub fn new(data: &'a [E], ring: usize, height: usize, width: usize, channels: usize) -> Self {
        Rows { data, ring, height, width, channels }
    }

    /// Row `r` of the tensor: `width * channels` elements.
    pub fn row(&self, r: usize) -> &'a [E] {
        let len = self.width * self.channels;
        let at = r % self.ring * len;
        &self.data[at..at + len]
    }

    /// Whether all rows are there.
    pub fn is_whole(&self) -> bool {
        self.ring >= self.height
    }

    /// Everything in the ring; the whole tensor in NHWC order where the ring holds all rows.
    pub fn all(&self) -> &'a [E] {
        self.data
    }
}

/// Rows to write.
#[derive(Debug)]
pub struct RowsMut<'a, E> {
    data: &'a mut [E],
    ring: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
}

impl<'a, E> RowsMut<'a, E> {
    /// A view of `data`, which holds `ring` rows of `width * channels` elements.
    pub fn new(data: &'a mut [E], ring: usize, width: usize, channels: usize) -> Self {
        RowsMut { data, ring, width, channels }
    }

    /// Row `r` of the tensor: `width * channels` elements.
    pub fn row(&mut self, r: usize) -> &mut [E] {
        let len = self.width * self.channels;
        let at = r % self.ring * len;
        &mut self.data[at..at + len]
    }
}

/// What one step computes: output rows `[r0, r1)` of channels `[c0, c1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First row.
    pub r0: usize,
    /// End of the rows.
    pub r1: usize,
    /// First channel.
    pub c0: usize,
    /// End of the channels.
    pub c1: usize,
}
