//! `trainer check-gpu`.

use super::CliError;
use super::progress::Progress;
use crate::backend::cpu::CpuBackend;
use crate::backend::open::{OnBackend, on_device};
use crate::backend::{Backend, Device, Precision, Target};
use crate::check::{Check, CheckError, Rate, Trial, curves, layers, memory, resumed, throughput};
use clap::Args;
use serde_json::json;
use staticnet_graph::console::line;
use std::sync::Arc;

/// Checks a GPU against the processor: every operation forward and backward, a training beside the processor's, a training that goes
/// on, memory that does not grow; then it times whole steps. scripts/check-gpu runs it from a binary alone.
///
/// Exit code 1 where something is not as it should be. The last line on stdout is JSON: {"device", "precision", "ok", "checks": [{"name",
/// "value", "bound"}], "curves": [[processor's losses], [device's losses]], "rates": [{"name", "images_per_s"}]}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer check-gpu --device cuda:0 --precision tf32")]
pub(super) struct CheckGpu {
    /// What to check; `cpu` checks the processor against itself on one thread.
    #[arg(long, default_value_t = Device::Cuda(vec![0]))]
    device: Device,
    /// Numbers that the GPU multiplies.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Small networks, few steps, nothing timed: for a simulated GPU.
    #[arg(long)]
    quick: bool,
    /// Print only the JSON.
    #[arg(long)]
    json: bool,
}

/// How much is done.
struct Extent {
    curve: Trial,
    /// Steps over which the curves are held together. A training amplifies rounding until the two have little in common but what they
    /// learn.
    held: usize,
    resume: Trial,
    growth: Trial,
    rates: &'static [Trial],
}

const FULL: Extent = Extent {
    curve: Trial { arch: "alexnet-cifar", batch_size: 64, steps: 200 },
    held: 10,
    resume: Trial { arch: "alexnet-cifar", batch_size: 64, steps: 40 },
    growth: Trial { arch: "alexnet-cifar", batch_size: 64, steps: 2000 },
    rates: &[
        Trial { arch: "lenet", batch_size: 256, steps: 400 },
        Trial { arch: "alexnet-cifar", batch_size: 256, steps: 200 },
        Trial { arch: "alexnet", batch_size: 256, steps: 60 },
    ],
};
const QUICK: Extent = Extent {
    curve: Trial { arch: "lenet", batch_size: 8, steps: 6 },
    held: 6,
    resume: Trial { arch: "lenet", batch_size: 4, steps: 4 },
    growth: Trial { arch: "lenet", batch_size: 4, steps: 20 },
    rates: &[],
};

impl CheckGpu {
    pub(super) fn run(self) -> Result<(), CliError> {
        let target = Target { device: self.device.clone(), threads: 1, precision: self.precision };
        on_device(&target, self)?
    }

    /// How far a product of rounded factors, and a loss that comes of many, may lie from the processor's.
    fn bounds(&self) -> (f64, f64) {
        match self.precision {
            Precision::F32 => (1e-4, 1e-3),
            // 2^-11 and 2^-11: half a unit in the last place of each factor.
            Precision::Tf32 | Precision::F16 => (4e-3, 3e-2),
        }
    }

    fn checks<B: Backend>(&self, backend: &Arc<B>) -> Result<Found, CheckError> {
        let extent = if self.quick { QUICK } else { FULL };
        let (products, losses) = self.bounds();
        let cores = Arc::new(CpuBackend::new(0).map_err(|e| CheckError::Device(crate::backend::DeviceError::of(e)))?);
        let mut progress = Progress::new(0);
        let mut checks = layers(&cores, backend, products)?;
        let of = u64::from(extent.curve.steps);
        let curves = curves(&cores, backend, &extent.curve, &mut |step| progress.checking_device("losses", step, of))?;
        let apart = curves[0].iter().zip(&curves[1]).take(extent.held);
        let worst = apart.map(|(a, b)| f64::from((a - b).abs() / a.abs().max(1e-2))).fold(0.0, f64::max);
        let Trial { arch, batch_size, steps } = extent.curve;
        let name = format!("{arch}, batch {batch_size}: losses of {} steps", extent.held);
        checks.push(Check { name, value: worst, bound: losses });
        // The last tenth of both, seen from where they began.
        let tail = (steps as usize).div_ceil(10);
        let ends = curves
            .each_ref()
            .map(|losses| losses[losses.len() - tail..].iter().map(|l| f64::from(*l)).sum::<f64>() / tail as f64);
        let first = f64::from(curves[0][0]);
        checks.push(Check {
            name: format!("after {steps} steps: losses apart"),
            value: (ends[0] - ends[1]).abs() / first,
            bound: 0.1,
        });
        checks.push(Check { name: format!("after {steps} steps: loss over the first"), value: ends[1] / first, bound: 0.9 });
        checks.push(Check { name: "a resumed training: losses".into(), value: resumed(backend, &extent.resume)?, bound: 0.0 });
        let of = u64::from(extent.growth.steps);
        if let Some(grown) = memory(backend, &extent.growth, &mut |step| progress.checking_device("memory", step, of))? {
            let name = format!("{} steps: bytes of memory gone", extent.growth.steps);
            checks.push(Check { name, value: grown as f64, bound: 0.0 });
        }
        let rates = extent.rates.iter().map(|trial| throughput(backend, trial)).collect::<Result<_, _>>()?;
        progress.finish();
        Ok(Found { checks, curves, rates })
    }
}

struct Found {
    checks: Vec<Check>,
    curves: [Vec<f32>; 2],
    rates: Vec<Rate>,
}

impl OnBackend for CheckGpu {
    type Output = Result<(), CliError>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        let Found { checks, curves, rates } = self.checks(&backend).map_err(CliError::failed)?;
        let ok = checks.iter().all(Check::ok);
        if !self.json {
            line(format!("{}, {}", backend.describe(), self.precision))?;
            checks.iter().try_for_each(line)?;
            for step in (0..curves[0].len()).step_by(curves[0].len().div_ceil(20)) {
                line(format!("step {:4}: processor {:.6}, device {:.6}", step + 1, curves[0][step], curves[1][step]))?;
            }
            for Rate { name, images_per_s } in &rates {
                line(format!("{name}: {images_per_s:.0} images/s"))?;
            }
        }
        let device = backend.describe();
        let precision = self.precision;
        line(
            json!({ "device": device, "precision": precision, "ok": ok, "checks": checks, "curves": curves, "rates": rates }),
        )?;
        let failed = checks.iter().filter(|check| !check.ok()).count();
        if ok { Ok(()) } else { Err(CliError::Failed(format!("{failed} of {} checks failed", checks.len()))) }
    }
}
