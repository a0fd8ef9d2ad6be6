//! Operators: their codes and their attributes, shared by every crate of the workspace.
//!
//! Attributes are plain, fixed-size and `Copy`. The graph of the host tools, the exporter and the engine all use these very
//! structs, so that a stride or a pad has one meaning. Spatial pairs are `[height, width]`.

/// The window of a convolution or a pooling: what one output pixel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel size `[height, width]`, at least 1.
    pub kernel: [u16; 2],
    /// Stride `[vertical, horizontal]`, at least 1.
    pub stride: [u16; 2],
    /// Dilation `[vertical, horizontal]`, at least 1.
    pub dilation: [u16; 2],
    /// Padding `[top, left, bottom, right]`, in the order of ONNX.
    pub pads: [u16; 4],
}

impl Window {
    /// A square window without dilation, padded alike on all four sides.
    pub const fn square(kernel: u16, stride: u16, pad: u16) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] }
    }

    /// Rows (`axis` 0) or columns (`axis` 1) that the dilated kernel spans.
    pub const fn extent(&self, axis: usize) -> u32 {
        (self.kernel[axis] as u32 - 1) * self.dilation[axis] as u32 + 1
    }

    /// Output size along `axis` for `input` rows or columns: `floor((input + pads - extent) / stride) + 1`, or `None` where
    /// the kernel is larger than the padded input or an attribute is zero.
    pub const fn output_len(&self, axis: usize, input: u32) -> Option<u32> {
        if self.kernel[axis] == 0 || self.stride[axis] == 0 || self.dilation[axis] == 0 {
            return None;
        }
        let padded = match input.checked_add(self.pads[axis] as u32 + self.pads[axis + 2] as u32) {
            Some(n) => n,
            None => return None,
        };
        match padded.checked_sub(self.extent(axis)) {
            Some(free) => Some(free / self.stride[axis] as u32 + 1),
            None => None,
        }
    }

    /// Input rows `[first, end)` that output rows `[r0, r1)` read, clipped to the `input_rows` that exist.
    pub const fn input_rows(&self, r0: u32, r1: u32, input_rows: u32) -> (u32, u32) {
        let first = (r0 as u64 * self.stride[0] as u64).saturating_sub(self.pads[0] as u64);
        let last = (r1 as u64 - 1) * self.stride[0] as u64 + self.extent(0) as u64;
        let end = last.saturating_sub(self.pads[0] as u64);
        let rows = input_rows as u64;
        let first = if first > rows { rows } else { first };
        let end = if end > rows { rows } else { end };
        (first as u32, if end < first { first as u32 } else { end as u32 })
    }
}

/// Two-dimensional convolution (ONNX `Conv`). Weights are `[out_channels, in_channels / groups, kernel_h, kernel_w]` on the
/// host; FORMAT.md gives their order on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// What one output pixel looks at.
    pub window: Window,
    /// Number of groups; divides both channel counts. Equal to the channel count for a depthwise convolution.
    pub groups: u16,
}

/// Maximum over a window (ONNX `MaxPool`); padded taps never win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// What one output pixel looks at. A `ceil_mode` is resolved into `pads` by whoever builds the attribute.
    pub window: Window,
}

/// Local response normalisation across channels (ONNX `LRN`, `torch.nn.LocalResponseNorm`):
/// `y[c] = x[c] * (k + alpha / size * sum(x[j]^2))^-beta`, `j` from `c - (size - 1) / 2` to `c + size / 2`, clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Channels in the window, at least 1. Use odd sizes: ONNX and PyTorch centre even ones differently.
    pub size: u16,
    /// Scale of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Bias.
    pub k: f32,
}

/// Operators that the runtime has, by number. The number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// [`Conv2d`].
    Conv2d = 0,
    /// Fully connected.
    Linear = 1,
    /// [`MaxPool`].
    MaxPool = 2,
    /// [`Lrn`].
    Lrn = 3,
    /// `max(x, 0)` on its own.
    Relu = 4,
}

impl OpCode {
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(OpCode::Conv2d),
            1 => Some(OpCode::Linear),
            2 => Some(OpCode::MaxPool),
            3 => Some(OpCode::Lrn),
            4 => Some(OpCode::Relu),
            _ => None,
        }
    }

    /// The bit of this operator on elements of type `dtype` in the operator mask: a firmware for int8 carries no f32 kernel.
    pub const fn bit(self, dtype: crate::record::DType) -> u64 {
        1 << (2 * self as u32 + dtype as u32)
    }
}

/// An operator of the runtime with its attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Convolution, bias, optional clamp.
    Conv2d(Conv2d),
    /// Fully connected over the whole input flattened in NHWC order, bias, optional clamp.
    Linear,
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Local response normalisation.
    Lrn(Lrn),
    /// `max(x, 0)`.
    Relu,
}

impl Op {
    /// The operator's number.
    pub const fn code(&self) -> OpCode {
        match self {
            Op::Conv2d(_) => OpCode::Conv2d,
            Op::Linear => OpCode::Linear,
            Op::MaxPool(_) => OpCode::MaxPool,
            Op::Lrn(_) => OpCode::Lrn,
            Op::Relu => OpCode::Relu,
        }
    }

    /// The operator's name, as ONNX spells it.
    pub const fn name(&self) -> &'static str {
        match self {
            Op::Conv2d(_) => "Conv",
            Op::Linear => "Gemm",
            Op::MaxPool(_) => "MaxPool",
            Op::Lrn(_) => "LRN",
            Op::Relu => "Relu",
        }
    }
}
