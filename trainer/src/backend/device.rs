//! Which device, and what goes wrong with one.

use crate::text::written_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where kernels run: `cpu`, or `cuda:0` for the first GPU; `cuda:0,1` for several, one a rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The processor's cores.
    #[default]
    Cpu,
    /// NVIDIA GPUs, by number; at least one, none twice.
    Cuda(Vec<u32>),
}

written_as_text!(Device);

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no device; write cpu, cuda:0, or cuda:0,1 for two GPUs of this machine");
        match text.trim() {
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(vec![0])),
            other => {
                let numbers = other.strip_prefix("cuda:").ok_or_else(wrong)?;
                let numbers: Vec<u32> =
                    numbers.split(',').map(|n| n.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
                let twice = numbers.iter().enumerate().any(|(i, n)| numbers[..i].contains(n));
                if twice { Err(wrong()) } else { Ok(Device::Cuda(numbers)) }
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
                write!(f, "cuda:{}", numbers.join(","))
            }
        }
    }
}

/// The numbers that products of matrices are made of on a GPU. Everything is stored, and every sum is, in binary32; the processor always
/// multiplies binary32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// binary32.
    #[default]
    F32,
    /// Factors rounded to 10 bits of mantissa (TF32), on matrix units.
    Tf32,
    /// Factors rounded to binary16, on matrix units. The loss is scaled so that small gradients are not lost.
    F16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::F16 => "f16",
        })
    }
}

/// Where kernels run, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Which device.
    pub device: Device,
    /// Threads where it is the processor; 0 for as many as there are cores.
    pub threads: usize,
    /// Numbers of the products where it is a GPU.
    pub precision: Precision,
}

/// A device failed, or its memory ran out; in the words of its library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError(String);

impl DeviceError {
    /// From whatever error the device's library gives.
    pub fn of(error: impl fmt::Display) -> Self {
        let text = error.to_string();
        // What the driver says most often deserves words.
        let ran_out = text.contains("CUDA_ERROR_OUT_OF_MEMORY");
        DeviceError(if ran_out { "its memory ran out: CUDA_ERROR_OUT_OF_MEMORY".into() } else { text })
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the device failed ({})", self.0)
    }
}

impl std::error::Error for DeviceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_as_they_are_read() {
        for text in ["cpu", "cuda:0", "cuda:3", "cuda:0,1", "cuda:1,0,7"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<Device>(), Ok(Device::Cuda(vec![0])));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:-1", "cuda:0,0", "cpu:0"] {
            assert!(text.parse::<Device>().unwrap_err().contains("cuda:0"), "{text}");
        }
    }
}
