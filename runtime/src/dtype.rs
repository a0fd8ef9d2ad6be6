//! Element types.

/// Element type of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DType {
    /// Quantized, one byte.
    I8 = 0,
    /// binary32.
    F32 = 1,
    /// 32-bit integers: indices that [`Op::ArgMax`](crate::op::Op::ArgMax) makes. No operator reads them.
    I32 = 2,
}

impl DType {
    /// Bytes of an element.
    pub const fn bytes(self) -> u64 {
        match self {
            DType::I8 => 1,
            DType::F32 | DType::I32 => 4,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(DType::I8),
            1 => Some(DType::F32),
            2 => Some(DType::I32),
            _ => None,
        }
    }

    /// The type's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            DType::I8 => "i8",
            DType::F32 => "f32",
            DType::I32 => "i32",
        }
    }

    /// Whether it is [`DType::I8`].
    pub const fn is_i8(self) -> bool {
        self.is(DType::I8)
    }

    /// Whether it is [`DType::F32`].
    pub const fn is_f32(self) -> bool {
        self.is(DType::F32)
    }

    /// Whether it is [`DType::I32`].
    pub const fn is_i32(self) -> bool {
        self.is(DType::I32)
    }

    /// Whether both are the same: `==` for a `const fn`.
    pub const fn is(self, other: Self) -> bool {
        self as u8 == other as u8
    }
}
