//! Memory of the GPU beside dfdx's, and copies from and to the host.

use super::{Argument, Gpu, Parameter, Plain, Read, Write, address, locked};
use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result};
use std::marker::PhantomData;
use std::sync::Arc;

/// Memory of the GPU, of no particular content when it is made; whoever asks next for as many bytes gets it after this one.
#[derive(Debug)]
pub struct Buffer {
    address: u64,
    bytes: usize,
    data: Option<CudaSlice<u8>>,
    gpu: Arc<Gpu>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(data) = self.data.take() {
            locked(&self.gpu.spare).entry(self.bytes).or_default().push(data);
        }
    }
}

impl Buffer {
    /// The first `len` numbers.
    ///
    /// # Panics
    /// Panics where there are not so many.
    pub fn numbers(&self, len: usize) -> Read<'_> {
        assert!(len * size_of::<f32>() <= self.bytes, "a buffer is too small");
        Read { address: self.address, len, memory: PhantomData }
    }

    /// The first `len` numbers, to be written.
    ///
    /// # Panics
    /// Panics where there are not so many.
    pub fn numbers_mut(&mut self, len: usize) -> Write<'_> {
        assert!(len * size_of::<f32>() <= self.bytes, "a buffer is too small");
        Write { address: self.address, len, memory: PhantomData }
    }

    /// From byte `offset` on.
    ///
    /// # Panics
    /// Panics where that is outside.
    pub fn at(&self, offset: usize) -> Read<'_> {
        assert!(offset < self.bytes, "a place outside a buffer");
        let len = (self.bytes - offset) / size_of::<f32>();
        Read { address: self.address + offset as u64, len: len.max(1), memory: PhantomData }
    }

    /// The first `len` elements, once all that was asked for is done.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// Panics where there are not so many.
    pub fn to_host<T: Plain + Default>(&self, len: usize) -> Result<Vec<T>, DriverError> {
        assert!(len * size_of::<T>() <= self.bytes, "a buffer is too small");
        self.gpu.copy_out(self.address, len)
    }
}

impl Parameter for Buffer {
    fn argument(&self) -> Argument<'_> {
        address(&self.address, self.bytes)
    }
}

impl Gpu {
    /// Memory for so many elements.
    ///
    /// # Errors
    /// The driver's, where there is not so much.
    pub fn buffer<T: Plain>(self: &Arc<Self>, len: usize) -> Result<Buffer, DriverError> {
        self.bytes((len * size_of::<T>()).next_multiple_of(256).max(256))
    }

    /// Memory for so many elements that is given back at once: one of few sizes, so that layers share it.
    ///
    /// # Errors
    /// The driver's, where there is not so much.
    pub fn scratch<T: Plain>(self: &Arc<Self>, len: usize) -> Result<Buffer, DriverError> {
        self.bytes((len * size_of::<T>()).next_power_of_two().max(256))
    }

    fn bytes(self: &Arc<Self>, bytes: usize) -> Result<Buffer, DriverError> {
        self.device.bind_to_thread()?;
        let spare = locked(&self.spare).get_mut(&bytes).and_then(Vec::pop);
        let data = match spare {
            Some(data) => data,
            // SAFETY: nobody on the host reads it, and kernels write before they read.
            None => match unsafe { self.device.alloc::<u8>(bytes) } {
                Ok(data) => data,
                Err(_) => {
                    // Buffers of other sizes may lie about.
                    locked(&self.spare).clear();
                    self.device.synchronize()?;
                    // SAFETY: as above.
                    unsafe { self.device.alloc::<u8>(bytes) }?
                }
            },
        };
        Ok(Buffer { address: *data.device_ptr(), bytes, data: Some(data), gpu: Arc::clone(self) })
    }

    /// Memory with a copy of these elements.
    ///
    /// # Errors
    /// The driver's.
    pub fn upload<T: Plain>(self: &Arc<Self>, elements: &[T]) -> Result<Buffer, DriverError> {
        let buffer = self.buffer::<T>(elements.len())?;
        if !elements.is_empty() {
            // SAFETY: the buffer has room for all of them. They lie in pageable memory, which the driver has read when the call
            // returns; later work finds them in their place.
            unsafe { result::memcpy_htod_async(buffer.address, elements, std::ptr::null_mut()) }?;
        }
        Ok(buffer)
    }

    /// Copies the host's numbers into the GPU's memory.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// Panics where they are not as many.
    pub fn copy_in(&self, place: &Write<'_>, numbers: &[f32]) -> Result<(), DriverError> {
        assert_eq!(place.len, numbers.len(), "numbers for their place");
        self.device.bind_to_thread()?;
        if numbers.is_empty() {
            return Ok(());
        }
        // SAFETY: both sides have so many, and pageable memory is read before the call returns.
        unsafe { result::memcpy_htod_async(place.address, numbers, std::ptr::null_mut()) }
    }

    /// The GPU's numbers, once all that was asked for is done.
    ///
    /// # Errors
    /// The driver's.
    pub fn host(&self, numbers: Read<'_>) -> Result<Vec<f32>, DriverError> {
        self.copy_out(numbers.address, numbers.len)
    }

    fn copy_out<T: Plain + Default>(&self, address: u64, len: usize) -> Result<Vec<T>, DriverError> {
        self.device.bind_to_thread()?;
        let mut elements = vec![T::default(); len];
        if len > 0 {
            // SAFETY: both sides have so many, whatever the bits are; the copy is done when the call returns.
            unsafe { result::memcpy_dtoh_sync(&mut elements, address) }?;
        }
        Ok(elements)
    }
}
