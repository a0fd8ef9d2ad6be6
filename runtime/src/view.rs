//! Views of activations: rows of pixels, channels innermost (NHWC), kept in a ring.
//!
//! A ring of `R` rows holds row `r` of the tensor at place `r % R`. A tensor that is held whole is a ring of its height. A view may
//! begin at a later row, and may show a window of the channels only. Kernels see only rows, so they neither know nor care how much
//! of a tensor is in memory.

/// What a view holds of its tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The row that lies first in memory.
    pub first_row: usize,
    /// Rows of memory: row `r` lies at place `(r - first_row) % rows`. Where there are none, none is asked for.
    pub rows: usize,
    /// First channel.
    pub c0: usize,
    /// Channels from there on.
    pub channels: usize,
}

impl Held {
    /// Where row `r` begins and how long it is, in elements.
    fn row(&self, r: usize, width: usize) -> (usize, usize) {
        debug_assert!(r >= self.first_row, "row {r} of {self:?}");
        let len = width * self.channels;
        let place = r.wrapping_sub(self.first_row);
        // Most views hold all rows that are asked for: no division.
        (if place < self.rows { place } else { place % self.rows } * len, len)
    }

    /// Where channel `channel` of pixel `pixel` lies in its row.
    fn at(&self, pixel: usize, channel: usize) -> usize {
        debug_assert!(channel >= self.c0, "channel {channel} of {self:?}");
        (pixel * self.channels + channel).wrapping_sub(self.c0)
    }
}

/// Rows to read.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, E> {
    data: &'a [E],
    held: Held,
    /// Rows of the whole tensor.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Channels of a pixel of the whole tensor.
    pub channels: usize,
}

impl<'a, E> Rows<'a, E> {
    /// A view of `data`, which holds `ring` rows of `width * channels` elements.
    pub fn new(data: &'a [E], ring: usize, height: usize, width: usize, channels: usize) -> Self {
        Rows::part(data, Held { first_row: 0, rows: ring, c0: 0, channels }, [height, width, channels])
    }

    /// A view of `data`, which holds `held` of a tensor of this height, width and channels.
    pub fn part(data: &'a [E], held: Held, [height, width, channels]: [usize; 3]) -> Self {
        Rows { data, held, height, width, channels }
    }

    /// Row `r` of the tensor: `width * held_channels()` elements.
    pub fn row(&self, r: usize) -> &'a [E] {
        let (at, len) = self.held.row(r, self.width);
        &self.data[at..at + len]
    }

    /// Where channel `channel` of pixel `pixel` lies in its row. The channel may be the end of those that are there.
    pub fn at(&self, pixel: usize, channel: usize) -> usize {
        self.held.at(pixel, channel)
    }

    /// Channels of a pixel that are there.
    pub fn held_channels(&self) -> usize {
        self.held.channels
    }

    /// Whether all rows and all channels are there.
    pub fn is_whole(&self) -> bool {
        self.held.rows >= self.height && self.held.first_row == 0 && self.held.channels == self.channels
    }

    /// Everything that is there; the whole tensor in NHWC order where [`is_whole`](Self::is_whole).
    pub fn all(&self) -> &'a [E] {
        self.data
    }
}

/// Rows to write.
#[derive(Debug)]
pub struct RowsMut<'a, E> {
    data: &'a mut [E],
    held: Held,
    /// Pixels in a row.
    pub width: usize,
    /// Channels of a pixel of the whole tensor.
    pub channels: usize,
}

impl<'a, E> RowsMut<'a, E> {
    /// A view of `data`, which holds `ring` rows of `width * channels` elements.
    pub fn new(data: &'a mut [E], ring: usize, width: usize, channels: usize) -> Self {
        RowsMut::part(data, Held { first_row: 0, rows: ring, c0: 0, channels }, [width, channels])
    }

    /// A view of `data`, which holds `held` of a tensor of this width and channels.
    pub fn part(data: &'a mut [E], held: Held, [width, channels]: [usize; 2]) -> Self {
        RowsMut { data, held, width, channels }
    }

    /// Row `r` of the tensor: `width * held_channels()` elements.
    pub fn row(&mut self, r: usize) -> &mut [E] {
        let (at, len) = self.held.row(r, self.width);
        &mut self.data[at..at + len]
    }

    /// Where channel `channel` of pixel `pixel` lies in its row. The channel may be the end of those that are there.
    pub fn at(&self, pixel: usize, channel: usize) -> usize {
        self.held.at(pixel, channel)
    }

    /// Channels of a pixel that are there.
    pub fn held_channels(&self) -> usize {
        self.held.channels
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_comes_round() {
        let data = [0, 1, 2, 3, 4, 5];
        let x = Rows::new(&data, 3, 5, 1, 2);
        assert_eq!([x.row(0), x.row(2), x.row(3), x.row(4)], [[0, 1], [4, 5], [0, 1], [2, 3]]);
        assert_eq!((x.at(0, 1), x.held_channels(), x.is_whole(), x.all().len()), (1, 2, false, 6));
        assert!(Rows::new(&data, 3, 3, 1, 2).is_whole());
    }

    #[test]
    fn a_part_begins_at_its_row_and_its_channel() {
        let mut data = [0, 1, 2, 3, 4, 5, 6, 7];
        // Rows 5 and 6 of 9, channels 3 and 4 of 8, two pixels wide.
        let held = Held { first_row: 5, rows: 2, c0: 3, channels: 2 };
        let x = Rows::part(&data, held, [9, 2, 8]);
        assert_eq!([x.row(5), x.row(6), x.row(7)], [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]);
        assert_eq!([x.at(0, 3), x.at(0, 5), x.at(1, 3), x.at(1, 4)], [0, 2, 2, 3]);
        assert_eq!((x.height, x.width, x.channels, x.held_channels(), x.is_whole()), (9, 2, 8, 2, false));
        let mut y = RowsMut::part(&mut data, held, [2, 8]);
        let at = y.at(1, 4);
        y.row(6)[at] = 70;
        assert_eq!((at, y.channels, y.held_channels()), (3, 8, 2));
        assert_eq!(data, [0, 1, 2, 3, 4, 5, 6, 70]);
    }

    #[test]
    fn whole_is_all_rows_and_all_channels() {
        let data = [0; 12];
        let whole = Held { first_row: 0, rows: 3, c0: 0, channels: 2 };
        let parts = [Held { rows: 2, ..whole }, Held { channels: 1, ..whole }, Held { c0: 1, channels: 1, ..whole }];
        assert!(Rows::part(&data, whole, [3, 2, 2]).is_whole());
        assert!(parts.into_iter().all(|held| !Rows::part(&data, held, [3, 2, 2]).is_whole()));
    }
}
