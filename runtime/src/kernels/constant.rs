//! A tensor that is part of the model: its elements are copied out of the weights.

use crate::view::{Block, RowsMut};

/// Rows x channels; `values` are those of the block, rows x width x channels.
pub fn constant<E: Copy>(y: &mut RowsMut<E>, block: Block, values: &[E]) {
    let (width, channels, n) = (y.width, y.channels, block.c1 - block.c0);
    for (r, row) in (block.r0..block.r1).zip(values.chunks_exact(width * n)) {
        for (y, v) in y.row(r).chunks_exact_mut(channels).zip(row.chunks_exact(n)) {
            y[block.c0..block.c1].copy_from_slice(v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_filled_in_order() {
        let mut y = [0; 12];
        let block = Block { r0: 1, r1: 2, c0: 1, c1: 3 };
        constant(&mut RowsMut::new(&mut y, 2, 2, 3), block, &[1, 2, 3, 4]);
        assert_eq!(y, [0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 4]);
    }
}
