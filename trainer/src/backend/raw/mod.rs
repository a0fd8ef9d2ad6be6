//! The one place of this crate with `unsafe`: the data behind a dfdx tensor as a slice; in [`simd`] the vector
//! instructions.

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod simd;

use dfdx::prelude::{Cpu, HasShape, Shape, Tensor};

/// Address offsets (in elements) from the first element to the next one along each axis, and to the last element.
fn is_contiguous<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>, dims: &[usize]) -> bool {
    let first = &raw const tensor[S::Concrete::default()];
    let mut expected = 1;
    let mut last = S::Concrete::default();
    for axis in (0..dims.len()).rev() {
        last[axis] = dims[axis] - 1;
        if dims[axis] > 1 {
            let mut next = S::Concrete::default();
            next[axis] = 1;
            if (&raw const tensor[next]).addr() != first.addr() + expected * size_of::<f32>() {
                return false;
            }
        }
        expected *= dims[axis];
    }
    // dfdx checks this index against its buffer, so the buffer holds all `expected` elements.
    (&raw const tensor[last]).addr() == first.addr() + (expected - 1) * size_of::<f32>()
}

/// The elements of a tensor in row-major order, without copying.
///
/// # Panics
/// Panics where the tensor is not contiguous (a broadcast or permuted view).
pub fn slice<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> &[f32] {
    let dims: Vec<usize> = tensor.shape().concrete().into_iter().collect();
    let len: usize = dims.iter().product();
    if len == 0 {
        return &[];
    }
    assert!(is_contiguous(tensor, &dims), "a kernel was given a view, not a contiguous tensor");
    let first = &raw const tensor[S::Concrete::default()];
    // SAFETY: `is_contiguous` proved that elements 0 and `len - 1` of the tensor lie `len - 1` elements apart inside dfdx's one
    // buffer; all of it is initialised, and the tensor is borrowed for as long as the slice lives.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// As [`slice`](fn@slice), to be written. A buffer shared with another tensor is cloned first (dfdx copies on write).
///
/// # Panics
/// Panics where the tensor is not contiguous.
pub fn slice_mut<S: Shape, T>(tensor: &mut Tensor<S, f32, Cpu, T>) -> &mut [f32] {
    let dims: Vec<usize> = tensor.shape().concrete().into_iter().collect();
    let len: usize = dims.iter().product();
    if len == 0 {
        return &mut [];
    }
    assert!(is_contiguous(tensor, &dims), "a kernel was given a view, not a contiguous tensor");
    let first = &raw mut tensor[S::Concrete::default()];
    // SAFETY: as in `slice`; indexing mutably made this tensor the buffer's only owner, and the exclusive borrow of the tensor
    // lasts as long as the slice.
    unsafe { std::slice::from_raw_parts_mut(first, len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::prelude::{Axis, BroadcastTo, TensorFromVec};

    #[test]
    fn slices_are_the_tensor() {
        let device = Cpu::default();
        let mut t: Tensor<(usize, usize), f32, Cpu> = device.tensor_from_vec((0..6).map(|i| i as f32).collect(), (2, 3));
        assert_eq!(slice(&t), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let before = t.clone();
        slice_mut(&mut t)[4] = 9.0;
        assert_eq!((t[[1, 1]], before[[1, 1]]), (9.0, 4.0));
    }

    #[test]
    #[should_panic(expected = "contiguous")]
    fn a_broadcast_view_is_refused() {
        let device = Cpu::default();
        let row: Tensor<(usize,), f32, Cpu> = device.tensor_from_vec(vec![1.0, 2.0], (2,));
        let view: Tensor<(usize, usize), f32, Cpu> = row.broadcast_like::<_, Axis<0>>(&(3, 2));
        slice(&view);
    }
}
