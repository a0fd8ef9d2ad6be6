//! Options of `compile` that say how much memory there is and where things lie.

use crate::budget::{Memory, OverBudget};
use crate::plan::{DEFAULT_STACK, Plan, PlanOptions, Ram};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use staticnet::preprocess::{PixelFormat, Source};

/// Where the weights of a running network are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WeightsIn {
    /// In memory that the processor reads by itself: flash, or an external one that is mapped.
    Mapped,
    /// In a storage that has to be read, in chunks: SPI flash, SD card, a file.
    Storage,
}

/// How steps are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanKind {
    /// Rows and blocks, so that RAM is small.
    Stream,
    /// One step a layer, every tensor whole.
    Layers,
}

/// How much memory there is and where things lie.
#[derive(Debug, Args)]
pub(super) struct BudgetArgs {
    /// RAM that the plan may take, stack included: bytes, or with K or M; `min` for the least there is. Without it: the least with
    /// which each weight is read once.
    #[arg(long, value_name = "BYTES|min", value_parser = ram)]
    ram: Option<Ram>,
    /// Flash that the artifact may take (its head alone with --split).
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    flash: Option<u64>,
    /// Stack that the firmware takes, as part of the RAM.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value_t = DEFAULT_STACK)]
    stack: u64,
    /// Where the weights are when the network runs.
    #[arg(long, value_enum, default_value_t = WeightsIn::Mapped)]
    weights_in: WeightsIn,
    /// Size and pixels of the pictures whose rows the firmware gives: rgb888, rgb565 or grey. Without it: the network's own size.
    #[arg(long, value_name = "WxH:FORMAT", value_parser = source)]
    source: Option<Source>,
    /// How to cut the steps.
    #[arg(long = "plan", value_enum, default_value_t = PlanKind::Stream)]
    kind: PlanKind,
}

impl BudgetArgs {
    pub(super) fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            ram: self.ram.unwrap_or_default(),
            stack: self.stack,
            storage: self.weights_in == WeightsIn::Storage,
            source: self.source,
            layers: self.kind == PlanKind::Layers,
        }
    }

    pub(super) fn flash(&self) -> Option<u64> {
        self.flash
    }

    pub(super) fn source(&self) -> Option<Source> {
        self.source
    }
}

/// Bytes, with K for 1,024 and M for 1,048,576 of them.
fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |number| (number, 1 << 20)),
    };
    let n = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|&n| n <= u32::MAX as u64);
    n.ok_or_else(|| format!("{text} is no number of bytes below 4G, such as 131072, 128K or 64M"))
}

fn ram(text: &str) -> Result<Ram, String> {
    if text == "min" { Ok(Ram::Min) } else { bytes(text).map(Ram::Limit) }
}

fn source(text: &str) -> Result<Source, String> {
    let wrong = || format!("{text} is not WIDTHxHEIGHT:FORMAT with rgb888, rgb565 or grey, such as 320x240:rgb565");
    let (size, format) = text.split_once(':').ok_or_else(wrong)?;
    let (width, height) = size.split_once('x').ok_or_else(wrong)?;
    let formats = [PixelFormat::Rgb888, PixelFormat::Rgb565, PixelFormat::Grey];
    let format = formats.into_iter().find(|f| f.name() == format).ok_or_else(wrong)?;
    let side = |text: &str| text.parse::<u16>().ok().filter(|&n| n > 0).ok_or_else(wrong);
    Ok(Source { width: side(width)?, height: side(height)?, format })
}

/// What `compile` says of a plan beyond what is in the artifact.
pub(super) fn describe(plan: &Plan) -> String {
    let mut text = format!(
        "plan: {} steps, peak {} B of RAM, of which activations {} B; bound {} B, gap {:.1} %\nat the peak:",
        plan.steps.len(),
        plan.ram_bytes,
        plan.activation_bytes,
        plan.bound.ram,
        100.0 * plan.gap()
    );
    for share in &plan.peak {
        text += &format!("\n  {:>12} B  {}", share.bytes, share.name);
    }
    text
}

/// A budget that is exceeded, for machines.
pub(super) fn over_json(over: &OverBudget) -> Value {
    let memory = match over.memory {
        Memory::Ram => "ram",
        Memory::Flash => "flash",
    };
    let ways: Vec<Value> = over.ways.iter().map(|w| json!({ "what": w.what, "bytes": w.bytes, "fits": w.fits })).collect();
    json!({
        "fits": false, "memory": memory, "limit_bytes": over.limit, "needed_bytes": over.needed,
        "over_bytes": over.needed.saturating_sub(over.limit), "layer": over.layer, "ways": ways,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("131072"), Ok(131_072));
        assert_eq!(bytes("128K"), Ok(131_072));
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(ram("min"), Ok(Ram::Min));
        for wrong in ["", "K", "-1", "1.5K", "4096M", "128 K", "99999999999999999999"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sources_are_read() {
        assert_eq!(source("320x240:rgb565"), Ok(Source { width: 320, height: 240, format: PixelFormat::Rgb565 }));
        assert_eq!(source("96x96:grey"), Ok(Source { width: 96, height: 96, format: PixelFormat::Grey }));
        for wrong in ["320x240", "320:rgb888", "0x1:grey", "1x70000:grey", "1x1:bgr"] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
    }
}
