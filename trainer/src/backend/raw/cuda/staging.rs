//! Batches on their way to the GPU while it works on the batch before.
//!
//! Each batch is copied into pinned memory of the host, and from there by a stream of its own into a buffer on the GPU. When it
//! is its turn, the null stream waits for that copy and takes it over. Two events a slot keep the order: `copied` ends the
//! first copy, and `taken` the second, before which the buffer is not written again.

use super::{Gpu, Write, locked};
use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result, sys};
use std::sync::{Arc, Mutex};

/// Pinned memory and a buffer of the GPU, of the same size.
struct Slot {
    pinned: *mut f32,
    /// Numbers in each.
    capacity: usize,
    buffer: CudaSlice<u8>,
    copied: sys::CUevent,
    taken: sys::CUevent,
    gpu: Arc<Gpu>,
}

// SAFETY: the pinned memory belongs to the slot alone, and events to no thread.
unsafe impl Send for Slot {}

impl Slot {
    fn new(gpu: &Arc<Gpu>, capacity: usize) -> Result<Self, DriverError> {
        let bytes = (capacity * size_of::<f32>()).max(256);
        // SAFETY: nothing reads it before the first copy.
        let buffer = unsafe { gpu.device.alloc::<u8>(bytes) }?;
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        let (copied, taken) = (event()?, event()?);
        let mut slot = Slot { pinned: std::ptr::null_mut(), capacity, buffer, copied, taken, gpu: Arc::clone(gpu) };
        let mut pinned = std::ptr::null_mut();
        // SAFETY: the driver writes one address; where it fails there is none.
        unsafe { sys::cuMemHostAlloc(&raw mut pinned, bytes, 0) }.result()?;
        slot.pinned = pinned.cast();
        // The buffer exists for other streams once the null stream has come to this point.
        // SAFETY: the event exists for as long as the slot.
        unsafe { result::event::record(slot.taken, std::ptr::null_mut()) }?;
        Ok(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A device that failed says so to whoever asks it next; here nothing can be done about it.
        let _ = self.gpu.device.bind_to_thread();
        // SAFETY: the events are the slot's own, and the memory goes only after the last copy from it is done.
        unsafe {
            let _ = sys::cuEventSynchronize(self.copied);
            let _ = sys::cuMemFreeHost(self.pinned.cast());
            let _ = result::event::destroy(self.copied);
            let _ = result::event::destroy(self.taken);
        }
    }
}

/// Slots, and the stream that fills their buffers.
pub struct Staging {
    gpu: Arc<Gpu>,
    copies: sys::CUstream,
    free: Mutex<Vec<Slot>>,
}

// SAFETY: a stream belongs to no thread.
unsafe impl Send for Staging {}
// SAFETY: as above; the slots are behind a lock.
unsafe impl Sync for Staging {}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staging({} slots free)", locked(&self.free).len())
    }
}

/// A batch on its way.
pub struct Staged {
    /// Absent once it was taken.
    slot: Option<Slot>,
    len: usize,
    staging: Arc<Staging>,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staged({} numbers)", self.len)
    }
}

impl Staging {
    /// Without a slot; as many come as batches are on their way at once.
    ///
    /// # Errors
    /// The driver's.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Arc<Self>, DriverError> {
        gpu.device.bind_to_thread()?;
        let copies = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        Ok(Arc::new(Staging { gpu: Arc::clone(gpu), copies, free: Mutex::default() }))
    }

    /// Sends a batch on its way, from whichever thread.
    ///
    /// # Errors
    /// The driver's.
    pub fn stage(self: &Arc<Self>, numbers: &[f32]) -> Result<Staged, DriverError> {
        self.gpu.device.bind_to_thread()?;
        let found = locked(&self.free).pop().filter(|slot| slot.capacity >= numbers.len());
        let slot = found.map_or_else(|| Slot::new(&self.gpu, numbers.len()), Ok)?;
        if !numbers.is_empty() {
            // SAFETY: the last copy from the pinned memory is waited for before it is written. The slot has room for all
            // numbers, and the stream reads what lies in it until `copied` comes, before which nobody writes there again. The
            // buffer is written only after `taken`.
            unsafe {
                sys::cuEventSynchronize(slot.copied).result()?;
                std::ptr::copy_nonoverlapping(numbers.as_ptr(), slot.pinned, numbers.len());
                result::stream::wait_event(self.copies, slot.taken, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)?;
                let pinned = std::slice::from_raw_parts(slot.pinned, numbers.len());
                result::memcpy_htod_async(*slot.buffer.device_ptr(), pinned, self.copies)?;
                result::event::record(slot.copied, self.copies)?;
            }
        }
        Ok(Staged { slot: Some(slot), len: numbers.len(), staging: Arc::clone(self) })
    }
}

impl Staged {
    /// Numbers of the batch.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies the batch to where the kernels that are asked for from now on read it.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// Panics where there is not as much place as the batch has numbers.
    pub fn take(self, to: &Write<'_>) -> Result<(), DriverError> {
        assert_eq!(to.len(), self.len, "numbers for their place");
        let (Some(slot), true) = (&self.slot, self.len > 0) else {
            return Ok(());
        };
        self.staging.gpu.device.bind_to_thread()?;
        let null = std::ptr::null_mut();
        // SAFETY: both sides have so many bytes, and live until the null stream has come to later work: the slot's buffer is
        // written again only after `taken`.
        unsafe {
            result::stream::wait_event(null, slot.copied, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)?;
            result::memcpy_dtod_async(to.address, *slot.buffer.device_ptr(), self.len * size_of::<f32>(), null)?;
            result::event::record(slot.taken, null)
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            locked(&self.staging.free).push(slot);
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        locked(&self.free).clear();
        // SAFETY: the stream is this one's own; work still in it is finished first.
        let _ = self.gpu.device.bind_to_thread().and_then(|()| unsafe { result::stream::destroy(self.copies) });
    }
}
