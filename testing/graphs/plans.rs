//! Plans of every kind that the exporter makes.

use crate::random::Random;
use staticnet::preprocess::{Fit, PixelFormat, Preprocess, Source};
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::plan::{Plan, PlanOptions, Planned, Ram, plan};
use staticnet_exporter::quantized::Quantized;
use staticnet_graph::graph::Graph;

/// All formats of pixels.
pub const FORMATS: [PixelFormat; 3] = [PixelFormat::Rgb888, PixelFormat::Rgb565, PixelFormat::Grey];

/// Lets a network take pictures, where its input has as many channels as one.
pub fn take_pictures(graph: &mut Graph, random: &mut Random) {
    let &[_, channels @ (1 | 3), height, width] = graph.shape(graph.inputs[0]) else { return };
    let longer = width.max(height);
    let fit = match random.one_in(2) {
        true => Fit::Stretch,
        false => Fit::Cover { shorter: random.within(longer, 2 * longer) as u16 },
    };
    let (width, height, channels) = (width as u16, height as u16, channels as u8);
    graph.preprocess = Some(Preprocess { width, height, channels, fit, mean: [0.5, 0.45, 0.4], std: [0.25, 0.3, 0.2] });
    // An input that is used in another shape alone is no picture on the device.
    if compile::network(graph.clone()).is_err() {
        graph.preprocess = None;
    }
}

/// A source of small pictures.
pub fn source(random: &mut Random) -> Source {
    let mut side = || random.within(1, 30) as u16;
    Source { width: side(), height: side(), format: random.pick(&FORMATS) }
}

/// Any options. A limit lies between the least RAM that the network can be planned for and what it takes layer by layer.
pub fn options(random: &mut Random, network: &Quantized) -> PlanOptions {
    let has_source = network.preprocess.is_some() && random.one_in(2);
    let (stack, storage, layers) = (random.pick(&[0, 1000, 4096]), random.one_in(2), random.one_in(8));
    let options = PlanOptions { ram: Ram::Least, stack, storage, source: has_source.then(|| source(random)), layers };
    match random.within(0, 3) {
        0 => options,
        1 => PlanOptions { ram: Ram::Min, ..options },
        _ => {
            let planned = Planned::new(network);
            let needed = |layers: bool| {
                let plan = plan(&planned, &PlanOptions { ram: Ram::Min, layers, ..options });
                plan.expect("there is no limit").ram_bytes as usize
            };
            let least = needed(layers);
            // Towards the least, where plans have to be clever.
            let most = random.within(least, needed(true).max(least));
            let limit = random.within(least, most) as u64 + stack;
            let limited = PlanOptions { ram: Ram::Limit(limit), ..options };
            // Whether every limit above the least is met is a question of its own, which `plan.rs` asks.
            if plan(&planned, &limited).is_ok() { limited } else { PlanOptions { ram: Ram::Min, ..options } }
        }
    }
}

/// Plans a network and writes it as planned.
pub fn planned(network: &Quantized, options: &PlanOptions) -> (Plan, Emitted) {
    let plan = plan(&Planned::new(network), options);
    let plan = plan.unwrap_or_else(|over| panic!("{options:?}: {over}\n{network}"));
    let emitted = compile::emit_plan(network.clone(), &plan, &Options::default());
    (plan, emitted.unwrap_or_else(|error| panic!("{options:?}: {error}\n{network}")))
}
