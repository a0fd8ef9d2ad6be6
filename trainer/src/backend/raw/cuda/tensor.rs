//! Where the numbers of a dfdx tensor lie in the GPU's memory.
//!
//! dfdx 0.13 keeps the address of a tensor to itself, but prints it: `{:?}` of a tensor begins with
//! `Tensor { id: .., data: CachableCudaSlice { data: CudaSlice { cu_device_ptr: 140.., len: 6, ..`. It is taken from there, and
//! [`check_access`] tries it before anything is trained. A gradient's address is public.
//!
//! A tensor and its clones share their memory. dfdx gives a clone its own when it writes to it; what is written here goes to
//! all of them. So [`write`] is for tensors that were just made, and for parameters while nothing of a forward pass is left;
//! the operations in [`crate::ops`] and the optimiser keep to that. Tests hold training on the GPU against training on the
//! processor, where dfdx itself would copy.

use super::{Gpu, Read, Write};
use cudarc::driver::{DevicePtr, DeviceSlice};
use dfdx::prelude::{Cuda, CudaError, Gradients, HasShape, NoneTape, Shape, Storage, Tensor, TensorFromVec, ZerosTensor};
use std::fmt::{self, Write as _};
use std::marker::PhantomData;

/// A vector of dfdx's in the GPU's memory.
type Vector = <Cuda as Storage<f32>>::Vec;

/// Takes up the beginning of a text, until an address and a length were in it.
struct Finder {
    text: String,
    found: Option<(u64, usize)>,
}

impl fmt::Write for Finder {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.text.push_str(piece);
        self.found = find(&self.text);
        // An error ends the printing: what follows is long.
        if self.found.is_some() || self.text.len() > 1000 { Err(fmt::Error) } else { Ok(()) }
    }
}

fn find(text: &str) -> Option<(u64, usize)> {
    let (_, rest) = text.split_once("cu_device_ptr: ")?;
    let (address, rest) = rest.split_once(',')?;
    let (_, rest) = rest.split_once("len: ")?;
    let (len, _) = rest.split_once(',')?;
    Some((address.trim().parse().ok()?, len.trim().parse().ok()?))
}

/// Address and elements of the buffer under a tensor.
fn place<S: Shape, T>(tensor: &Tensor<S, f32, Cuda, T>) -> Option<(u64, usize)> {
    let mut finder = Finder { text: String::with_capacity(256), found: None };
    // The result says only whether the printing was ended.
    let _ = write!(finder, "{:?}", tensor.retaped::<NoneTape>());
    finder.found
}

fn contiguous<S: Shape, T>(tensor: &Tensor<S, f32, Cuda, T>) -> (u64, usize) {
    let (address, len) = place(tensor).expect("dfdx prints a tensor otherwise than it did when the program started");
    assert_eq!(len, tensor.shape().num_elements(), "a kernel was given a view, not a contiguous tensor");
    (address, len)
}

/// The numbers of a tensor in row-major order.
///
/// # Panics
/// Panics where the tensor is a broadcast view.
pub fn read<S: Shape, T>(tensor: &Tensor<S, f32, Cuda, T>) -> Read<'_> {
    let (address, len) = contiguous(tensor);
    Read { address, len, memory: PhantomData }
}

/// As [`read`], to be written. No other tensor may share its memory; see above.
///
/// # Panics
/// Panics where the tensor is a broadcast view.
pub fn write<S: Shape, T>(tensor: &mut Tensor<S, f32, Cuda, T>) -> Write<'_> {
    let (address, len) = contiguous(tensor);
    Write { address, len, memory: PhantomData }
}

/// The numbers of a vector.
pub fn read_vector(vector: &Vector) -> Read<'_> {
    Read { address: *vector.device_ptr(), len: vector.len(), memory: PhantomData }
}

/// The numbers of a vector, to be written.
pub fn write_vector(vector: &mut Vector) -> Write<'_> {
    Write { address: *vector.device_ptr(), len: vector.len(), memory: PhantomData }
}

/// The numbers of dfdx's tensors are not where they were found.
#[derive(Debug)]
pub enum AccessError {
    /// Which of the trials failed.
    Wrong(&'static str),
    /// The device failed.
    Device(CudaError),
}

impl<E: Into<CudaError>> From<E> for AccessError {
    fn from(error: E) -> Self {
        AccessError::Device(error.into())
    }
}

/// Tries on a few tensors whether their numbers are where they are found.
///
/// # Errors
/// [`AccessError`] that names what is not as it should be.
pub fn check_access(gpu: &Gpu, device: &Cuda) -> Result<(), AccessError> {
    const NUMBERS: [f32; 6] = [1.0, -2.5, 3.25, 1e-30, 7.0, 1e30];
    const OTHERS: [f32; 6] = [0.5, 8.0, -1.0, 2.0, 1e-20, 4.0];
    let right = |holds: bool, what| if holds { Ok(()) } else { Err(AccessError::Wrong(what)) };
    let make = || device.try_tensor_from_vec(NUMBERS.to_vec(), (2, 3));
    // The first one finds out whether there is an address at all.
    let tensor = make()?;
    right(place(&tensor).is_some_and(|(address, len)| address != 0 && len == NUMBERS.len()), "no address in a tensor's text")?;
    right(gpu.host(read(&tensor))? == NUMBERS, "the numbers of a tensor")?;

    let mut shared = tensor.clone();
    right(place(&shared) == place(&tensor), "the address of a clone")?;
    shared.try_fill_with_zeros()?;
    right(place(&shared) != place(&tensor), "the address of a clone that was written")?;
    right(gpu.host(read(&shared))? == [0.0; 6], "the numbers of a clone that was written")?;
    right(gpu.host(read(&tensor))? == NUMBERS, "the numbers of a tensor whose clone was written")?;

    let mut fresh: Tensor<(usize, usize), f32, Cuda> = device.try_zeros_like(&(2, 3))?;
    gpu.copy_in(&write(&mut fresh), &OTHERS)?;
    right(fresh.as_vec() == OTHERS, "numbers written to a tensor")?;

    let mut gradients: Gradients<f32, Cuda> = Gradients::leaky();
    gpu.copy_in(&write_vector(gradients.get_or_alloc_mut(&fresh)?), &NUMBERS)?;
    right(gradients.get(&fresh).as_vec() == NUMBERS, "numbers written to a gradient")?;
    right(gpu.host(read_vector(gradients.get_or_alloc_mut(&fresh)?))? == NUMBERS, "the numbers of a gradient")
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn an_address_and_a_length_are_found() {
        let text =
            "Tensor { id: UniqueId(3), data: CachableCudaSlice { data: CudaSlice { cu_device_ptr: 140001, len: 6, device: ";
        assert_eq!(find(text), Some((140_001, 6)));
        // A number may still go on.
        assert_eq!(find(&text[..text.find("6, device").unwrap() + 1]), None);
        assert_eq!(find("Tensor { id: UniqueId(3), data: Elsewhere { len: 6, "), None);
    }
}
