//! Passes of an engine, and all that they make.

use crate::net::Net;
use crate::plan::{Plan, assemble};
use crate::source::Copying;
use crate::{AlignedBytes, Random};
use staticnet::quant::quantize;
use staticnet::record::{DType, TensorInfo};
use staticnet::view::Rows;
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, StepDone, WeightSource};
use std::cell::RefCell;

/// An artifact and RAM for it, full of old bytes.
pub struct Model {
    bytes: AlignedBytes,
    /// As many bytes as the artifact asks for.
    pub ram: AlignedBytes,
}

impl Model {
    /// The artifact of a plan.
    ///
    /// # Panics
    /// Panics where the runtime refuses it.
    pub fn new(net: &Net, plan: &Plan) -> Model {
        Self::of(&assemble(net, plan))
    }

    /// The artifact with these bytes.
    ///
    /// # Panics
    /// Panics where the runtime refuses it.
    pub fn of(bytes: &[u8]) -> Model {
        let bytes = AlignedBytes::copy_of(bytes);
        let artifact = Artifact::new(bytes.as_ref()).expect("the plan is sound");
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        ram.as_mut().fill(0xA5);
        Model { bytes, ram }
    }

    /// The artifact, and the RAM beside it.
    pub fn parts(&mut self) -> (Artifact<'_>, &mut [u8]) {
        (Artifact::new(self.bytes.as_ref()).expect("the plan is sound"), self.ram.as_mut())
    }

    /// An engine on mapped weights.
    pub fn engine(&mut self) -> Engine<'_, ALL_OPS, Mapped<'_>> {
        let (artifact, ram) = self.parts();
        Engine::new(artifact, ram, Mapped::new(&artifact)).expect("it fits")
    }
}

/// Values as the device takes them.
pub fn quantized(info: &TensorInfo, values: &[f32]) -> Vec<u8> {
    let element = |value: &f32| match info.dtype {
        DType::I8 => vec![quantize(*value, info.scale, info.zero_point) as u8],
        _ => value.to_le_bytes().to_vec(),
    };
    values.iter().flat_map(element).collect()
}

/// Random values for input 0.
pub fn input(net: &Net, seed: u64) -> Vec<f32> {
    Random(seed).reals(net.info(net.inputs[0]).elements() as usize)
}

/// The bytes of all outputs.
pub fn outputs<S: WeightSource>(engine: &Engine<ALL_OPS, S>) -> Vec<Vec<u8>> {
    (0..engine.artifact().output_count()).map(|i| engine.output_bytes(i).expect("it is there").to_vec()).collect()
}

/// Every tensor that the network makes, put together from the rows and channels that the steps made, and its outputs.
pub type Made = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// One pass on the input's bytes.
pub fn pass<S: WeightSource<Error: std::fmt::Debug>>(net: &Net, engine: &mut Engine<ALL_OPS, S>, input: &[u8]) -> Made {
    let mut tensors: Vec<Vec<u8>> = net.tensors.iter().map(|t| vec![0; (t.height as u64 * t.row_bytes()) as usize]).collect();
    let take = |done: StepDone, info: &TensorInfo, made: &Rows<u8>| {
        let element = info.dtype.bytes() as usize;
        let tensor = &mut tensors[net.layers[done.layer].output as usize];
        let (pixel, width) = (info.channels as usize * element, info.width as usize);
        assert_eq!((made.height, made.width, made.channels), (info.height as usize, width, pixel));
        let channels = done.channels.0 as usize * element..done.channels.1 as usize * element;
        for r in done.rows.0 as usize..done.rows.1 as usize {
            for x in 0..width {
                let to = (r * width + x) * pixel;
                let from = made.at(x, channels.start)..made.at(x, channels.end);
                tensor[to..to + pixel][channels.clone()].copy_from_slice(&made.row(r)[from]);
            }
        }
    };
    engine.run_on_tapped(&[input], take).expect("an accepted artifact runs");
    (tensors, outputs(engine))
}

/// A pass of a network on random values, the weights read where they lie.
pub fn run(net: &Net, plan: &Plan, seed: u64) -> Made {
    let input = quantized(&net.info(net.inputs[0]), &input(net, seed));
    pass(net, &mut Model::new(net, plan).engine(), &input)
}

/// Likewise with the weights copied.
pub fn run_copying(net: &Net, plan: &Plan, seed: u64) -> Made {
    let input = quantized(&net.info(net.inputs[0]), &input(net, seed));
    let mut model = Model::new(net, plan);
    let (artifact, ram) = model.parts();
    let log = RefCell::new(vec![]);
    let source = Copying::<true>::new(artifact.payload(), &log);
    pass(net, &mut Engine::<ALL_OPS, _>::new(artifact, ram, source).expect("it fits"), &input)
}
