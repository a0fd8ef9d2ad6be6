//! The one place of this crate with `unsafe`: the data behind a dfdx tensor as a slice, and a bounds-checked front for the
//! matrix product of the crate `gemm`; in [`simd`] the vector instructions.

pub mod simd;

use dfdx::prelude::{Cpu, HasShape, Shape, Tensor};
use gemm::Parallelism;

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

/// A matrix inside a slice: element `(r, c)` stands at `r * row_stride + c * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` x `cols` elements in row-major order, rows `stride` apart.
    ///
    /// # Panics
    /// Panics where the slice is too short.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        check_bounds(data.len(), rows, cols, stride);
        Matrix { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The transposed matrix; nothing moves.
    pub fn transposed(self) -> Self {
        let Matrix { data, rows, cols, row_stride, col_stride } = self;
        Matrix { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }
}

fn check_bounds(len: usize, rows: usize, cols: usize, stride: usize) {
    assert!(rows > 0 && cols > 0, "an empty matrix");
    let last = (rows - 1).checked_mul(stride).and_then(|r| r.checked_add(cols - 1));
    assert!(last.is_some_and(|last| last < len), "a {rows}x{cols} matrix of stride {stride} does not fit {len} elements");
}

/// `dst = a b`, or `dst += a b` where `accumulate`; `dst` is row-major and dense, `a.rows` x `b.cols`.
///
/// Every element of `dst` is one sum in a fixed order whatever `threads` is (the crate splits rows and columns, never the sum).
/// With more than one thread it runs on the current rayon pool.
///
/// # Panics
/// Panics where sizes do not fit.
pub fn matmul(dst: &mut [f32], accumulate: bool, a: Matrix<'_>, b: Matrix<'_>, threads: usize) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner sizes differ");
    check_bounds(dst.len(), m, n, n);
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    let keep = if accumulate { 1.0 } else { 0.0 };
    // SAFETY: `Matrix` and the check above bound every element of the three matrices inside their slices; `dst` is borrowed
    // exclusively, so it overlaps neither `a` nor `b`, and its elements are distinct because it is dense.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            keep,
            1.0_f32,
            false,
            false,
            false,
            parallelism,
        );
    }
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

    #[test]
    fn products_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut y = [10.0; 4];
        let m = Matrix::new(&a, 2, 3, 3);
        matmul(&mut y, false, m, m.transposed(), 1);
        assert_eq!(y, [14.0, 32.0, 32.0, 77.0]);
        matmul(&mut y, true, m, m.transposed(), 2);
        assert_eq!(y, [28.0, 64.0, 64.0, 154.0]);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_short_slice_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3, 3);
    }
}
