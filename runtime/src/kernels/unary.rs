//! A function of each element: computed in f32, looked up in int8.

use super::elementwise::map_or_in_place;
use crate::math::{exp, tanh};
use crate::op::{ALL_OPS, Function};
use crate::quant::clamp_f32;
use crate::view::{Block, Rows, RowsMut};

/// The function's value at `x`, as its definition in [`Function`] says. The tables of int8 are made of it as well.
pub fn apply(function: &Function, x: f32) -> f32 {
    apply_linked::<ALL_OPS>(function, x)
}

/// [`apply`] with the functions in `OPS`; any other is not compiled in and gives `x`.
#[inline(always)]
fn apply_linked<const OPS: u128>(function: &Function, x: f32) -> f32 {
    let has = |function: Function| OPS & function.bit() != 0;
    match *function {
        Function::LeakyRelu { alpha } if has(Function::LeakyRelu { alpha }) => {
            if x < 0.0 {
                alpha * x
            } else {
                x
            }
        }
        Function::Clip { lo, hi } if has(Function::Clip { lo, hi }) => clamp_f32(x, lo, hi),
        Function::HardSigmoid { alpha, beta } if has(Function::HardSigmoid { alpha, beta }) => {
            clamp_f32(alpha * x + beta, 0.0, 1.0)
        }
        Function::HardSwish if has(Function::HardSwish) => x * clamp_f32(x / 6.0 + 0.5, 0.0, 1.0),
        Function::Sigmoid if has(Function::Sigmoid) => 1.0 / (1.0 + exp(-x)),
        Function::Tanh if has(Function::Tanh) => tanh(x),
        Function::Identity => x,
        Function::LeakyRelu { .. } | Function::Clip { .. } | Function::HardSigmoid { .. } => x,
        Function::HardSwish | Function::Sigmoid | Function::Tanh => x,
    }
}

/// Rows x channels in f32, in place where `x` is `None`, of a function in `OPS`.
pub fn unary_f32<const OPS: u128>(function: &Function, x: Option<&Rows<f32>>, y: &mut RowsMut<f32>, block: Block) {
    map_or_in_place(x, y, block, |_, v| apply_linked::<OPS>(function, v));
}

/// Rows x channels in int8: `table[q]`, `q` read as an unsigned byte. In place where `x` is `None`.
pub fn unary_i8(table: &[u8; 256], x: Option<&Rows<i8>>, y: &mut RowsMut<i8>, block: Block) {
    map_or_in_place(x, y, block, |_, q| table[q as u8 as usize] as i8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_at_points_computed_by_hand() {
        let at = |function, points: [f32; 5]| points.map(|x| apply(&function, x));
        assert_eq!(at(Function::Identity, [-1.5, -0.0, 0.0, 2.0, 1e30]), [-1.5, -0.0, 0.0, 2.0, 1e30]);
        assert_eq!(at(Function::LeakyRelu { alpha: 0.25 }, [-4.0, -1.0, 0.0, 1.0, 4.0]), [-1.0, -0.25, 0.0, 1.0, 4.0]);
        assert_eq!(at(Function::Clip { lo: -1.0, hi: 6.0 }, [-4.0, -1.0, 0.0, 6.0, 7.0]), [-1.0, -1.0, 0.0, 6.0, 6.0]);
        let sigmoid = Function::HardSigmoid { alpha: 0.25, beta: 0.5 };
        assert_eq!(at(sigmoid, [-3.0, -2.0, 0.0, 1.0, 3.0]), [0.0, 0.0, 0.5, 0.75, 1.0]);
        assert_eq!(at(Function::HardSwish, [-3.5, -3.0, 0.0, 3.0, 5.0]), [-0.0, -0.0, 0.0, 3.0, 5.0]);
        assert_eq!(apply(&Function::HardSwish, 1.5), 1.125);
        for (function, x, want) in [
            (Function::Sigmoid, 0.0, 0.5),
            (Function::Sigmoid, 2.0, 0.880_797),
            (Function::Sigmoid, -100.0, 0.0),
            (Function::Sigmoid, 100.0, 1.0),
            (Function::Tanh, 0.0, 0.0),
            (Function::Tanh, 1.0, 0.761_594_2),
            (Function::Tanh, -20.0, -1.0),
        ] {
            let tolerance = if cfg!(feature = "micromath") { 3e-3 } else { 1e-6 };
            assert!((apply(&function, x) - want).abs() <= tolerance, "{function:?} {x}");
        }
    }

    #[test]
    fn int8_looks_up_the_byte() {
        let mut table = [0; 256];
        for (i, entry) in table.iter_mut().enumerate() {
            *entry = (i as u8).wrapping_mul(3);
        }
        let x = [-128i8, -1, 0, 1, 127, 5];
        let mut y = [99; 6];
        let block = Block { r0: 1, r1: 2, c0: 0, c1: 1 };
        unary_i8(&table, Some(&Rows::new(&x, 3, 3, 1, 2)), &mut RowsMut::new(&mut y, 3, 1, 2), block);
        assert_eq!(y, [99, 99, 0, 99, 99, 99]);
        let mut y = x;
        let whole = Block { r0: 0, r1: 3, c0: 0, c1: 2 };
        unary_i8(&table, None, &mut RowsMut::new(&mut y, 3, 1, 2), whole);
        assert_eq!(y, [-128, -3, 0, 3, 125, 15]);
    }
}
