//! The RAM of a run cut into what a step writes and what it may read.

use core::ops::Range;

/// What a step writes, and the rest, which inputs may share.
pub(super) struct Parts<'r> {
    pub output: &'r mut [u8],
    pub scratch: &'r mut [u8],
    pub rest: Rest<'r>,
}

/// First byte and bytes of the RAM before, between and behind what is written.
pub(super) struct Rest<'r>([(usize, &'r [u8]); 3]);

/// Cuts out `output` and `scratch`; `None` where they overlap or leave the RAM. An empty scratch may be anywhere.
pub(super) fn carve(ram: &mut [u8], output: Range<usize>, scratch: Range<usize>) -> Option<Parts<'_>> {
    let scratch = if scratch.is_empty() { 0..0 } else { scratch };
    let scratch_first = scratch.end <= output.start;
    let [one, two] = if scratch_first { [scratch, output] } else { [output, scratch] };
    let (before, tail) = ram.split_at_mut_checked(one.start)?;
    let (first, tail) = tail.split_at_mut_checked(one.end.checked_sub(one.start)?)?;
    let (between, tail) = tail.split_at_mut_checked(two.start.checked_sub(one.end)?)?;
    let (second, behind) = tail.split_at_mut_checked(two.end.checked_sub(two.start)?)?;
    let rest = Rest([(0, before), (one.end, between), (two.end, behind)]);
    let (output, scratch) = if scratch_first { (second, first) } else { (first, second) };
    Some(Parts { output, scratch, rest })
}

impl<'r> Rest<'r> {
    /// Bytes that the step only reads. None at all may be anywhere.
    pub fn shared(&self, range: Range<usize>) -> Option<&'r [u8]> {
        if range.is_empty() {
            return Some(&[]);
        }
        self.0.iter().find_map(|(first, bytes)| {
            let (start, end) = (range.start.checked_sub(*first)?, range.end.checked_sub(*first)?);
            bytes.get(start..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram() -> [u8; 16] {
        core::array::from_fn(|i| i as u8)
    }

    #[test]
    fn output_and_scratch_in_either_order() {
        let mut ram = ram();
        let parts = carve(&mut ram, 8..12, 2..4).unwrap();
        assert_eq!((&*parts.output, &*parts.scratch), (&[8, 9, 10, 11][..], &[2, 3][..]));
        assert_eq!(parts.rest.shared(0..2), Some(&[0, 1][..]));
        assert_eq!(parts.rest.shared(4..8), Some(&[4, 5, 6, 7][..]));
        assert_eq!(parts.rest.shared(5..6), Some(&[5][..]));
        assert_eq!(parts.rest.shared(12..16), Some(&[12, 13, 14, 15][..]));
        let parts = carve(&mut ram, 0..4, 4..8).unwrap();
        assert_eq!((&*parts.output, &*parts.scratch), (&[0, 1, 2, 3][..], &[4, 5, 6, 7][..]));
        let parts = carve(&mut ram, 4..8, 9..9).unwrap();
        assert_eq!((parts.rest.shared(0..4).unwrap().len(), parts.rest.shared(8..16).unwrap().len()), (4, 8));
    }

    #[test]
    fn what_overlaps_or_leaves_is_refused() {
        let mut ram = ram();
        assert!(carve(&mut ram, 4..8, 7..9).is_none());
        assert!(carve(&mut ram, 4..8, 2..5).is_none());
        assert!(carve(&mut ram, 4..17, 0..0).is_none());
        assert!(carve(&mut ram, 4..8, 12..20).is_none());
        let parts = carve(&mut ram, 4..8, 0..0).unwrap();
        for range in [3..5, 0..16, 7..9, 8..17, 5..6] {
            assert_eq!(parts.rest.shared(range), None);
        }
        assert_eq!(parts.rest.shared(5..5), Some(&[][..]));
    }
}
