//! `max(x, zero)` where it could not be fused into the operator before it.

use super::Element;
use super::elementwise::map_or_in_place;
use crate::view::{Block, Rows, RowsMut};

/// Rows x channels, in place where `x` is `None`. `zero` is the zero point, or 0 in f32. A NaN passes.
pub fn relu<E: Element>(x: Option<&Rows<E>>, y: &mut RowsMut<E>, block: Block, zero: E) {
    map_or_in_place(x, y, block, |_, v| if v < zero { zero } else { v });
}
