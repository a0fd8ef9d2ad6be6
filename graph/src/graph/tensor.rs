//! Numbers of a network: dense arrays, element types, and integers that stand for real numbers.

/// A dense f32 array in row-major order; parameters and reference activations.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// `shape.product()` elements.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Tensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }
}

/// Element type of a value in the model. Whatever it is, the reference holds the numbers as f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elem {
    /// binary32.
    #[default]
    F32,
    /// Quantized, unsigned.
    U8,
    /// Quantized, signed.
    I8,
    /// Indices.
    I64,
}

impl Elem {
    /// Whether they are integers that stand for real numbers.
    pub const fn is_quantized(self) -> bool {
        match self {
            Elem::U8 | Elem::I8 => true,
            Elem::F32 | Elem::I64 => false,
        }
    }
}

/// How real numbers are written as integers in an already quantized model: real = scale * (code - zero_point).
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Type of the codes: [`Elem::U8`] or [`Elem::I8`].
    pub elem: Elem,
    /// One for the whole tensor, or one for each index of `axis`.
    pub scale: Vec<f32>,
    /// As many as scales.
    pub zero_point: Vec<i32>,
    /// The axis that scales and zero points run along, where there are several.
    pub axis: Option<usize>,
}

/// The integers of a parameter that the model holds quantized. The parameter itself holds the real numbers that they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// As many as the parameter has elements: u8, i8, or i32 for biases.
    pub codes: Vec<i32>,
    /// One for the whole parameter, or one for each index of `axis`.
    pub scale: Vec<f32>,
    /// As many as scales.
    pub zero_point: Vec<i32>,
    /// The axis that scales and zero points run along, where there are several.
    pub axis: Option<usize>,
}

impl Codes {
    /// What the integers stand for, in a tensor of this shape: `(code - zero_point) * scale`, in f32.
    pub(crate) fn dequantize(&self, shape: &[usize]) -> Tensor {
        let data = self.codes.iter().enumerate().map(|(i, &code)| self.real(code, self.index(shape, i))).collect();
        Tensor { shape: shape.to_vec(), data }
    }

    fn real(&self, code: i32, index: usize) -> f32 {
        (i64::from(code) - i64::from(self.zero_point[index])) as f32 * self.scale[index]
    }

    /// Which scale counts for element `i`.
    pub(crate) fn index(&self, shape: &[usize], i: usize) -> usize {
        match self.axis {
            Some(axis) => i / shape[axis + 1..].iter().product::<usize>().max(1) % shape[axis].max(1),
            None => 0,
        }
    }

    /// Whether they are the integers of this very tensor.
    pub(crate) fn stand_for(&self, tensor: &Tensor) -> bool {
        let scales = self.axis.map_or(Some(1), |axis| tensor.shape.get(axis).copied());
        let complete = self.codes.len() == tensor.data.len() && scales == Some(self.scale.len());
        let same = |(i, &v): (usize, &f32)| self.real(self.codes[i], self.index(&tensor.shape, i)).to_bits() == v.to_bits();
        complete && self.zero_point.len() == self.scale.len() && tensor.data.iter().enumerate().all(same)
    }
}
