//! The operator mask: what a firmware links.
//!
//! A mask has two bits for each operator code (on i8 elements, on f32 elements), then one for each [`Function`] in f32, then one for
//! each [`BinaryOp`]. In int8 every function is a table, so that one bit stands for all of them. A layer that is in a mask has all of
//! its bits there: those of its operator, and that of its function or operation.
//!
//! A mask is computed from a model's layers by the runtime that runs them, and is stored nowhere: positions may change with every
//! version. (The head of an artifact has a narrower field of its own, [`OpCode::head_bit`].) The 128 bits have room for twice as many
//! operators as there are. Where two bits were one, a firmware would link a kernel too many, and compute the same.

use super::{Applies, BinaryOp, Function, Op, OpCode};
use crate::dtype::DType;

/// The operator mask of tools that run any artifact.
pub const ALL_OPS: u128 = u128::MAX;

/// Bit of the first function.
const FUNCTIONS: u32 = 2 * OpCode::COUNT;
/// Bit of the first operation on two elements.
const BINARY_OPS: u32 = FUNCTIONS + Function::COUNT;

const _: () = assert!(BINARY_OPS + BinaryOp::COUNT <= u128::BITS, "the operator mask is full");

impl OpCode {
    /// The bit of this operator on input elements of type `dtype` (I8 or F32; for [`OpCode::Constant`], which has no input, the
    /// output's): a firmware for int8 carries no f32 kernel.
    pub const fn bit(self, dtype: DType) -> u128 {
        1 << self.number(dtype)
    }

    /// The bit in the head's field of operators, which has 64: none for codes from 32 on.
    pub const fn head_bit(self, dtype: DType) -> u64 {
        let number = self.number(dtype);
        if number < u64::BITS { 1 << number } else { 0 }
    }

    const fn number(self, dtype: DType) -> u32 {
        2 * self as u32 + if dtype.is_i8() { 0 } else { 1 }
    }
}

impl Function {
    /// The bit of this function of f32.
    pub const fn bit(&self) -> u128 {
        1 << (FUNCTIONS + self.code() as u32)
    }
}

impl BinaryOp {
    /// The bit of this operation, on i8 and on f32.
    pub const fn bit(self) -> u128 {
        1 << (BINARY_OPS + self as u32)
    }
}

impl Op {
    /// All bits of the operator on input elements of type `dtype` (see [`OpCode::bit`]).
    pub const fn bits(&self, dtype: DType) -> u128 {
        let code = self.code().bit(dtype);
        match self.facts().applies {
            Applies::Function(function) if !dtype.is_i8() => code | function.bit(),
            Applies::BinaryOp(op) => code | op.bit(),
            Applies::Function(_) | Applies::Itself => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_operator_function_and_operation_has_bits_of_its_own() {
        let codes: Vec<OpCode> = (0..=u8::MAX).filter_map(OpCode::from_code).collect();
        let functions: Vec<Function> = (0..=u8::MAX).filter_map(|code| Function::from_code(code, [0.0; 2])).collect();
        let binary: Vec<BinaryOp> = (0..=u8::MAX).filter_map(BinaryOp::from_code).collect();
        let counts = [OpCode::COUNT, Function::COUNT, BinaryOp::COUNT];
        assert_eq!([codes.len(), functions.len(), binary.len()].map(|n| n as u32), counts);
        let bits = codes.iter().flat_map(|code| [code.bit(DType::I8), code.bit(DType::F32)]);
        let bits = bits.chain(functions.iter().map(Function::bit)).chain(binary.iter().map(|op| op.bit()));
        let mut seen = 0;
        for bit in bits {
            assert_eq!((bit.count_ones(), seen & bit), (1, 0), "{bit:#x}");
            seen |= bit;
        }
    }

    #[test]
    fn a_function_in_int8_is_a_table() {
        let tanh = Op::Unary(Function::Tanh);
        assert_eq!(tanh.bits(DType::I8), Op::Unary(Function::Sigmoid).bits(DType::I8));
        assert_eq!(tanh.bits(DType::F32), OpCode::Unary.bit(DType::F32) | Function::Tanh.bit());
        assert_eq!(Op::Binary(BinaryOp::Mul).bits(DType::I8), OpCode::Binary.bit(DType::I8) | BinaryOp::Mul.bit());
        assert_eq!(Op::Relu.bits(DType::F32), OpCode::Relu.bit(DType::F32));
    }

    #[test]
    fn the_head_has_the_bits_of_the_format() {
        assert_eq!(OpCode::Conv2d.head_bit(DType::I8), 1);
        assert_eq!(OpCode::Linear.head_bit(DType::F32), 8);
        assert_eq!(OpCode::Convert.head_bit(DType::I8), 1 << 32);
    }
}
