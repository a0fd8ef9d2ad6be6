//! One axis of the resize.

/// Where in the source the centre of an output pixel falls, walked from one output to the next without a division.
///
/// The centre of output `o` is `floor((2 * (o + crop) + 1) * source * 65536 / (2 * scaled))`, in 1/65536 source pixel. The way
/// from one to the next is the same everywhere, so the whole part and what rounding down left over are added up: nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Centre of the present output.
    centre: u32,
    /// What rounding the centre down left over, in 1/scaled; below `scaled`.
    rest: u32,
    /// Whole part of the way to the next centre.
    step: u32,
    /// What rounding the way down left over, taken from `scaled`: from there on the rest overflows into the centre.
    room: u32,
    scaled: u32,
    /// The last source pixel.
    last: u32,
}

impl Axis {
    /// The first output of an axis of 1 to 65,535 source pixels, scaled to at least one and at most 2^32 - 1, the first `crop`
    /// (at most half) of which are left out.
    pub(super) const fn new(source: u32, scaled: u32, crop: u32) -> Self {
        // The crop is at most half of the scaled pixels, the factors are below 2^33, 2^16 and 2^15: 64 bits hold the product.
        let (first, step) = ((2 * crop as u64 + 1) * source as u64 * 32768, source as u64 * 65536);
        let scale = scaled as u64;
        Axis {
            centre: (first / scale) as u32,
            rest: (first % scale) as u32,
            step: (step / scale) as u32,
            room: scaled - (step % scale) as u32,
            scaled,
            last: source - 1,
        }
    }

    /// `(first source index, weight of the one behind it in 1/256)`. Where the weight is not 0 there is one behind it.
    #[inline]
    pub(super) fn at(&self) -> (usize, u32) {
        // Half-pixel centres: a pixel's own centre is half a pixel behind its edge.
        let position = self.centre.saturating_sub(32768).min(self.last << 16);
        ((position >> 16) as usize, (position >> 8) & 255)
    }

    /// Goes on to the next output.
    #[inline]
    pub(super) fn advance(&mut self) {
        // Behind the last output the centre may lie beyond 32 bits; nobody asks for it.
        self.centre = self.centre.wrapping_add(self.step);
        if self.rest >= self.room {
            self.rest -= self.room;
            self.centre = self.centre.wrapping_add(1);
        } else {
            self.rest += self.scaled - self.room;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    /// Compares the first outputs with FORMAT.md's formula.
    fn compare(source: u32, scaled: u32, crop: u32, outputs: u32) {
        let mut axis = Axis::new(source, scaled, crop);
        for out in 0..outputs {
            let (source, scaled) = (source as u128, scaled as u128);
            let centre = (2 * (out as u128 + crop as u128) + 1) * source * 65536 / (2 * scaled);
            let position = centre.saturating_sub(32768).min((source - 1) * 65536);
            let (first, weight) = ((position >> 16) as usize, (position >> 8) as u32 & 255);
            assert_eq!(axis.at(), (first, weight), "{source} to {scaled}, {crop} left out, output {out}");
            assert!(weight == 0 || first + 1 < source as usize);
            axis.advance();
        }
    }

    #[test]
    fn small_axes_are_those_of_the_formula() {
        for source in 1..=40 {
            for scaled in 1..=40 {
                for crop in 0..=scaled / 2 {
                    compare(source, scaled, crop, scaled - crop);
                }
            }
        }
    }

    #[test]
    fn extreme_axes_are_those_of_the_formula() {
        let sides = [1, 2, 3, 127, 128, 224, 255, 256, 257, 32767, 32768, 65534, 65535];
        for source in sides {
            for scaled in sides {
                compare(source, scaled, 0, scaled);
                compare(source, scaled, scaled / 2, scaled - scaled / 2);
            }
        }
        // What Cover makes of a line of one pixel, up to the largest.
        for shorter in [1, 2, 224, 65534, 65535u32] {
            for source in [1, 2, 65534, 65535u32] {
                let scaled = shorter * source;
                for outputs in [1, shorter / 2, shorter] {
                    compare(source, scaled, (scaled - outputs) / 2, outputs);
                }
            }
        }
    }

    #[test]
    fn scattered_axes_are_those_of_the_formula() {
        for round in 1..4000u32 {
            let scattered = |factor: u32, end: u32| 1 + (round.wrapping_mul(factor) >> 7) % end;
            let source = scattered(2_654_435_761, [2000, 65535][round as usize % 2]);
            let scaled = (1 + scattered(2_246_822_519, 65535)) << [0, 3, 9, 15][round as usize / 2 % 4];
            let outputs = scattered(3_266_489_917, scaled.min(2000));
            compare(source, scaled, (scaled - outputs) / 2, outputs);
        }
    }
}
