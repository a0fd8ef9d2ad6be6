//! Index of the largest channel of each pixel; of equals the first or the last. Comparisons with a NaN are false.

use crate::view::{Block, Rows, RowsMut};

/// The output has one channel.
pub fn argmax<E: Copy + PartialOrd>(last: bool, x: &Rows<E>, y: &mut RowsMut<i32>, block: Block) {
    for r in block.r0..block.r1 {
        for (y, x) in y.row(r).iter_mut().zip(x.row(r).chunks_exact(x.channels)) {
            let mut best = 0;
            for (c, v) in x.iter().enumerate() {
                if *v > x[best] || (last && *v == x[best]) {
                    best = c;
                }
            }
            *y = best as i32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_or_the_last_of_equals() {
        let x = [1i8, 3, 3, -5, -128, -128];
        let block = Block { r0: 0, r1: 2, c0: 0, c1: 1 };
        let mut y = [9; 2];
        argmax(false, &Rows::new(&x, 2, 2, 1, 3), &mut RowsMut::new(&mut y, 2, 1, 1), block);
        assert_eq!(y, [1, 0]);
        argmax(true, &Rows::new(&x, 2, 2, 1, 3), &mut RowsMut::new(&mut y, 2, 1, 1), block);
        assert_eq!(y, [2, 0]);
        let x = [-1.0, f32::NAN, -0.5, 0.0, -0.0, -1.0];
        argmax(true, &Rows::new(&x, 2, 2, 1, 3), &mut RowsMut::new(&mut y, 2, 1, 1), block);
        assert_eq!(y, [2, 1]);
    }
}
