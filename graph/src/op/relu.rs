//! Rectified linear unit.

use crate::graph::Tensor;

/// `max(x, 0)`.
pub fn reference(x: &Tensor) -> Tensor {
    Tensor { shape: x.shape.clone(), data: x.data.iter().map(|v| v.max(0.0)).collect() }
}
