//! The driver of an NVIDIA GPU behind safe functions: its memory, kernels by name, products of matrices.
//!
//! All work is asked for in one stream, CUDA's null stream, which is dfdx's, too: whatever is asked for later sees what was
//! asked for before, and a buffer that is given back is used again only by later work. What kernels read and write is the GPU's
//! memory, which no reference of Rust's ever points to; what they take from the host are their parameters, and [`Gpu::launch`]
//! holds their sizes against those in the compiled kernels.

mod memory;
mod product;
mod staging;
mod tensor;

pub use memory::Buffer;
pub use product::Product;
pub use staging::{Staged, Staging};
pub use tensor::{AccessError, check_access, read, read_vector, write, write_vector};

use cudarc::cublas::CudaBlas;
use cudarc::driver::{CudaDevice, CudaSlice, DriverError, result, sys};
use dfdx::prelude::{Cuda, CudaError};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// Threads of a block, of every kernel.
pub const THREADS: u32 = 256;

/// Numbers in the GPU's memory, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    address: u64,
    len: usize,
    memory: PhantomData<&'a [f32]>,
}

/// Numbers in the GPU's memory, to be written.
#[derive(Debug)]
pub struct Write<'a> {
    address: u64,
    len: usize,
    memory: PhantomData<&'a mut [f32]>,
}

impl Read<'_> {
    /// How many they are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Write<'_> {
    /// How many they are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The same numbers, to be read.
    pub fn read(&self) -> Read<'_> {
        Read { address: self.address, len: self.len, memory: PhantomData }
    }
}

/// A number, or a record of numbers without gaps, of which every pattern of bits is one.
pub trait Plain: Copy {}

impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for [i32; 4] {}

/// A parameter of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    at: *const c_void,
    bytes: usize,
    value: PhantomData<&'a ()>,
}

impl<'a> Argument<'a> {
    /// A value.
    pub fn of<T: Copy>(value: &'a T) -> Self {
        Argument { at: std::ptr::from_ref(value).cast(), bytes: size_of::<T>(), value: PhantomData }
    }
}

/// What a kernel can be given.
pub trait Parameter {
    /// As a parameter.
    fn argument(&self) -> Argument<'_>;
}

macro_rules! parameters {
    ($($name:ty),*) => {
        $(impl $crate::backend::raw::cuda::Parameter for $name {
            fn argument(&self) -> $crate::backend::raw::cuda::Argument<'_> {
                $crate::backend::raw::cuda::Argument::of(self)
            }
        })*
    };
}
pub(in crate::backend) use parameters;

/// The parameters of a kernel, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        [$($crate::backend::raw::cuda::Parameter::argument(&$value)),*]
    };
}
pub(in crate::backend) use args;

parameters!(i32, u32, usize, f32, f64);

/// The address of nothing.
static NOTHING: u64 = 0;

/// Where vectors without elements have no place of their own.
fn address(address: &u64, len: usize) -> Argument<'_> {
    Argument::of(if len == 0 { &NOTHING } else { address })
}

impl Parameter for Read<'_> {
    fn argument(&self) -> Argument<'_> {
        address(&self.address, self.len)
    }
}

impl Parameter for Write<'_> {
    fn argument(&self) -> Argument<'_> {
        address(&self.address, self.len)
    }
}

impl<P: Parameter> Parameter for &P {
    fn argument(&self) -> Argument<'_> {
        (*self).argument()
    }
}

impl<P: Parameter> Parameter for Option<P> {
    fn argument(&self) -> Argument<'_> {
        self.as_ref().map_or(Argument::of(&NOTHING), Parameter::argument)
    }
}

/// A kernel, and the sizes of its parameters.
struct Kernel {
    function: sys::CUfunction,
    parameters: Vec<usize>,
}

/// One GPU, its kernels loaded.
pub struct Gpu {
    device: Arc<CudaDevice>,
    kernels: HashMap<&'static str, Kernel>,
    blas: Mutex<CudaBlas>,
    /// Buffers that nobody uses, by their bytes.
    spare: Mutex<HashMap<usize, Vec<CudaSlice<u8>>>>,
}

// SAFETY: the driver's handles may be used from any thread whose context is the GPU's, which `bind` sees to; functions are
// never unloaded, and cuBLAS is behind a lock.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({})", self.device.ordinal())
    }
}

/// Why a GPU cannot be opened.
#[derive(Debug)]
pub enum OpenFault {
    /// The driver refuses, most likely because memory runs out.
    Driver(DriverError),
    /// The driver does not take the kernels.
    Kernels(DriverError),
    /// cuBLAS does not start.
    Blas(cudarc::cublas::result::CublasError),
    /// dfdx does not start.
    Dfdx(CudaError),
}

/// Number of GPUs, and the newest version of CUDA that the driver knows, as 1000 x major + 10 x minor.
///
/// # Errors
/// The driver's, where there is none or no GPU.
pub fn count() -> Result<(u32, u32), DriverError> {
    result::init()?;
    let mut version = 0;
    // SAFETY: the driver writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok((result::device::get_count()?.unsigned_abs(), version.unsigned_abs()))
}

/// dfdx's device and the kernels in `ptx` on GPU `number`, which exists.
///
/// # Errors
/// [`OpenFault`] where something refuses.
pub fn open(number: usize, ptx: &'static str) -> Result<(Shared<Cuda>, Gpu), OpenFault> {
    let device = CudaDevice::new(number).map_err(OpenFault::Driver)?;
    let text = CString::new(ptx).map_err(|_| OpenFault::Kernels(DriverError(sys::CUresult::CUDA_ERROR_INVALID_PTX)))?;
    // SAFETY: the text of a program, ended by a zero.
    let module = unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(OpenFault::Kernels)?;
    let mut kernels = HashMap::new();
    for (name, parameters) in entries(ptx) {
        let symbol = CString::new(name).map_err(|_| OpenFault::Kernels(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND)))?;
        // SAFETY: the module was just loaded and is never unloaded.
        let function = unsafe { result::module::get_function(module, symbol) }.map_err(OpenFault::Kernels)?;
        kernels.insert(name, Kernel { function, parameters });
    }
    let blas = Mutex::new(CudaBlas::new(device.clone()).map_err(OpenFault::Blas)?);
    let dfdx = Cuda::try_build(number, 0).map_err(OpenFault::Dfdx)?;
    Ok((Shared(dfdx), Gpu { device, kernels, blas, spare: Mutex::default() }))
}

/// dfdx's device, which several threads may use.
#[derive(Debug)]
pub struct Shared<T>(T);

// SAFETY: dfdx's device holds handles of the driver and of cuBLAS, reference counts and locks. The driver's handles belong to
// no thread, and dfdx makes its context the calling thread's before it uses them. Only the training's thread makes products
// with it.
unsafe impl Send for Shared<Cuda> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Cuda> {}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The kernels of a PTX text and the sizes of their parameters.
pub fn entries(ptx: &str) -> impl Iterator<Item = (&str, Vec<usize>)> {
    ptx.split(".visible .entry ").skip(1).map(|text| {
        let (name, rest) = text.split_once('(').unwrap_or((text, ""));
        let list = rest.split_once(')').map_or("", |(list, _)| list);
        (name, list.split(".param").skip(1).map(size).collect())
    })
}

/// Bytes of `.u64 name`, `.align 8 .b8 name[120]` and their like.
fn size(parameter: &str) -> usize {
    if let Some((_, array)) = parameter.split_once('[') {
        return array.split(']').next().and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    }
    let kind = parameter.split_whitespace().next().unwrap_or("");
    kind.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap_or(0) / 8
}

/// What a lock protects; a panic of another thread leaves it as it was.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Its name, and the bytes of its memory.
    ///
    /// # Errors
    /// The driver's.
    pub fn name(&self) -> Result<(String, usize), DriverError> {
        let mut name = [0_u8; 128];
        let device = *self.device.cu_device();
        // SAFETY: the driver writes a text of at most so many bytes, its final zero included.
        unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, device) }.result()?;
        // SAFETY: the device exists for as long as `self`.
        let memory = unsafe { result::device::total_mem(device) }?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Ok((String::from_utf8_lossy(&name[..end]).into_owned(), memory))
    }

    /// Free bytes of memory, and all of them.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory(&self) -> Result<(usize, usize), DriverError> {
        self.device.bind_to_thread()?;
        result::mem_get_info()
    }

    /// Waits for all that was asked for.
    ///
    /// # Errors
    /// The driver's.
    pub fn finish(&self) -> Result<(), DriverError> {
        self.device.synchronize()
    }

    /// Runs a kernel on so many blocks.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// Panics where there is no such kernel, or its parameters have other sizes.
    pub fn launch(&self, name: &str, blocks: [usize; 3], arguments: &[Argument<'_>]) -> Result<(), DriverError> {
        let kernel = self.kernels.get(name).unwrap_or_else(|| panic!("there is no kernel {name}"));
        let sizes = arguments.iter().map(|argument| argument.bytes);
        assert!(sizes.eq(kernel.parameters.iter().copied()), "{name} takes parameters of {:?} bytes", kernel.parameters);
        let [x, y, z] = blocks.map(|n| u32::try_from(n).expect("a batch too large for a GPU: take a smaller one"));
        if x == 0 || y == 0 || z == 0 {
            return Ok(());
        }
        self.device.bind_to_thread()?;
        let mut parameters: Vec<*mut c_void> = arguments.iter().map(|argument| argument.at.cast_mut()).collect();
        // SAFETY: the function belongs to a module that stays loaded; the driver reads as many bytes of each parameter as the
        // kernel's text says, which was just compared, and that before the call returns.
        unsafe { result::launch_kernel(kernel.function, (x, y, z), (THREADS, 1, 1), 0, std::ptr::null_mut(), &mut parameters) }
    }
}
