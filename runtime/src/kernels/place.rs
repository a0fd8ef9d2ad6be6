//! Copies the input into a part of the output: the inputs of a concatenation are one layer each.

use crate::op::Place;
use crate::view::{Block, Rows, RowsMut};

/// The block's part of each row: `copy(y, x)` gets the block's channels of each pixel, or the whole run of pixels where these lie
/// side by side in both.
fn part<E>(attrs: &Place, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, copy: impl Fn(&mut [E], &[E])) {
    let [top, left, front] = attrs.offset.map(usize::from);
    let (channels, n) = (y.channels, x.channels);
    for r in block.r0..block.r1 {
        let (row, out) = (x.row(r - top), &mut y.row(r)[left * channels..(left + x.width) * channels]);
        if block.c1 - block.c0 == channels {
            copy(out, row);
            continue;
        }
        for (y, x) in out.chunks_exact_mut(channels).zip(row.chunks_exact(n)) {
            copy(&mut y[block.c0..block.c1], &x[block.c0 - front..block.c1 - front]);
        }
    }
}

/// Rows x channels of the output inside the part.
pub fn place<E: Copy>(attrs: &Place, x: &Rows<E>, y: &mut RowsMut<E>, block: Block) {
    part(attrs, x, y, block, |y, x| y.copy_from_slice(x));
}

/// Rows x channels of the output inside the part, from one int8 grid to another: `table[q]`, `q` read as an unsigned byte.
pub fn place_table(attrs: &Place, x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, table: &[u8; 256]) {
    part(attrs, x, y, block, |y, x| y.iter_mut().zip(x).for_each(|(y, &q)| *y = table[q as u8 as usize] as i8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn into_the_middle() {
        let attrs = Place { offset: [1, 1, 1], table: false };
        let x = [1i8, 2, 3, -4];
        let x = Rows::new(&x, 2, 2, 1, 2);
        let mut y = [0i8; 24];
        place(&attrs, &x, &mut RowsMut::new(&mut y, 3, 2, 4), Block { r0: 1, r1: 3, c0: 1, c1: 3 });
        assert_eq!(y[8..16], [0, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!(y[16..], [0, 0, 0, 0, 0, 3, -4, 0]);
        let mut table = [0; 256];
        (table[2], table[252]) = (200, 9);
        place_table(&attrs, &x, &mut RowsMut::new(&mut y, 3, 2, 4), Block { r0: 1, r1: 3, c0: 2, c1: 3 }, &table);
        assert_eq!(y[12..16], [0, 1, -56, 0]);
        assert_eq!(y[20..], [0, 3, 9, 0]);
    }

    #[test]
    fn all_channels_at_once() {
        let x = [1, 2, 3, 4];
        let mut y = [0; 12];
        let attrs = Place { offset: [0, 1, 0], table: false };
        let block = Block { r0: 0, r1: 1, c0: 0, c1: 2 };
        place(&attrs, &Rows::new(&x, 1, 1, 2, 2), &mut RowsMut::new(&mut y, 2, 3, 2), block);
        assert_eq!(y, [0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0]);
    }
}
