//! Attributes of operators: plain, fixed-size and `Copy`. Spatial pairs are `[height, width]`.

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

/// Mean over a window (ONNX `AveragePool`, `GlobalAveragePool`).
///
/// The divisor of an output is the number of taps that lie inside the picture extended by `counted`: zeros for ONNX's
/// `count_include_pad = 0`, the model's own pads for `count_include_pad = 1` (what `ceil_mode` adds to `window.pads` never counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// What one output pixel looks at. A `ceil_mode` is resolved into `pads` by whoever builds the attribute.
    pub window: Window,
    /// Padding that counts in the divisor, `[top, left, bottom, right]`, at most `window.pads`.
    pub counted: [u16; 4],
}

/// Which norm a [`LpPool`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Norm {
    /// p = 1: the sum of magnitudes.
    Sum = 1,
    /// p = 2: the root of the sum of squares.
    Root = 2,
}

/// Norm of a window (ONNX `LpPool`, `GlobalLpPool`); padded taps are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LpPool {
    /// What one output pixel looks at. A `ceil_mode` is resolved into `pads` by whoever builds the attribute.
    pub window: Window,
    /// Which norm.
    pub norm: Norm,
}

/// Moves elements: any strided walk over the input. Transposes, slices, channel shuffles and broadcasts are all this.
///
/// A row of the output (width x channels, in memory order) is cut into `size[0] x .. x size[3]` (their product is the row's length);
/// its element `(i0, i1, i2, i3)` in row `r` is the input's element `base + r * row + i0 * stride[0] + .. + i3 * stride[3]`, counted
/// in memory order. Scale and zero point pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rearrange {
    /// Input element of the first output element.
    pub base: u32,
    /// Input elements from one output row to the next.
    pub row: i32,
    /// How a row of the output is cut, outermost first; 1 where unused.
    pub size: [u16; 4],
    /// Input elements between neighbours along each of them.
    pub stride: [i32; 4],
}

impl Rearrange {
    /// Whether every element keeps its place in memory (the shape may still change).
    pub const fn moves_nothing(&self) -> bool {
        let (mut axis, mut inner) = (4, 1i64);
        while axis > 0 {
            axis -= 1;
            if self.size[axis] != 1 {
                if self.stride[axis] as i64 != inner {
                    return false;
                }
                inner *= self.size[axis] as i64;
            }
        }
        self.base == 0 && self.row as i64 == inner
    }
}

/// What lies outside the input of a [`Pad`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PadMode {
    /// One value.
    Constant = 0,
    /// The input mirrored at its edge, the edge itself not repeated.
    Reflect = 1,
    /// The nearest element of the input.
    Edge = 2,
    /// The input again.
    Wrap = 3,
}

/// Surrounds the input; what comes behind it follows from the output's shape (ONNX `Pad`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pad {
    /// Rows, pixels and channels before the input.
    pub before: [u16; 3],
    /// What lies outside.
    pub mode: PadMode,
    /// The value outside for [`PadMode::Constant`], f32.
    pub value: f32,
    /// The same on the tensor's int8 grid.
    pub value_i8: i8,
}

/// Copies the input into a part of the output; the inputs of a concatenation are one layer each, with one output tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Row, pixel and channel of the output that the input's first element goes to.
    pub offset: [u16; 3],
    /// int8: whether the elements go through a table of 256 bytes, because the grids differ.
    pub table: bool,
}

/// Converts between i8 and f32 (ONNX `QuantizeLinear`, `DequantizeLinear`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convert {
    /// Whether every channel has its own scale and zero point, in the chunk; otherwise those of the i8 tensor count.
    pub per_channel: bool,
}
