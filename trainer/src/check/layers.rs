//! Every operation on two devices: its output, and the gradient of everything that has one.

use super::{Check, CheckError, difference};
use crate::backend::update::STATES;
use crate::backend::{Backend, Batch, ConvShape, DeviceError, Fault, LinearShape, LrnShape, PoolShape};
use crate::loss::{CrossEntropy, Loss, SigmoidCrossEntropy, SquaredError};
use crate::ops::{self, Activation, LayerParams, Weight};
use crate::optim::{Moment, OptimOptions, Optimiser, OptimizerKind};
use crate::rng::{KeyedRng, stream};
use crate::schedule::{ScheduleKind, ScheduleOptions};
use crate::targets::Targets;
use dfdx::prelude::{Backward, Gradients, HasShape, OwnedTape, PutTape, Shape, SplitTape, Tensor, TensorFromVec, Trace};
use staticnet::op::{Lrn, Window};
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An operation and its sizes.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Conv(ConvShape),
    Linear(LinearShape),
    MaxPool(PoolShape),
    Lrn(LrnShape),
    Relu,
    Dropout(f32),
}

/// What is fed to a layer.
struct Case {
    name: &'static str,
    layer: Layer,
    batch: usize,
    inputs: usize,
    outputs: usize,
    /// Numbers of the weight and of the bias, where there are some.
    params: Option<[usize; 2]>,
}

impl Case {
    fn has_relu(&self) -> bool {
        match self.layer {
            Layer::Conv(shape) => shape.relu,
            Layer::Linear(shape) => shape.relu,
            Layer::MaxPool(_) | Layer::Lrn(_) | Layer::Relu | Layer::Dropout(_) => false,
        }
    }
}

fn conv(
    name: &'static str,
    batch: usize,
    input: [usize; 3],
    out: usize,
    (window, groups, relu): (Window, usize, bool),
) -> Case {
    let output = |axis: usize| window.output_len(axis, input[axis + 1] as u32).map_or(0, |len| len as usize);
    let output = [out, output(0), output(1)];
    let taps = input[0] / groups * usize::from(window.kernel[0]) * usize::from(window.kernel[1]);
    Case {
        name,
        layer: Layer::Conv(ConvShape { batch, input, output, window, groups, relu }),
        batch,
        inputs: input.iter().product(),
        outputs: output.iter().product(),
        params: Some([out * taps, out]),
    }
}

fn linear(name: &'static str, batch: usize, inputs: usize, outputs: usize, relu: bool) -> Case {
    let layer = Layer::Linear(LinearShape { batch, inputs, outputs, relu });
    Case { name, layer, batch, inputs, outputs, params: Some([inputs * outputs, outputs]) }
}

fn pool(name: &'static str, batch: usize, channels: usize, input: [usize; 2], window: Window) -> Case {
    let output = [0, 1].map(|axis| window.output_len(axis, input[axis] as u32).map_or(0, |len| len as usize));
    let layer = Layer::MaxPool(PoolShape { planes: batch * channels, input, output, window });
    let (inputs, outputs) = (channels * input[0] * input[1], channels * output[0] * output[1]);
    Case { name, layer, batch, inputs, outputs, params: None }
}

fn lrn(name: &'static str, batch: usize, channels: usize, plane: usize, attrs: Lrn) -> Case {
    let elements = channels * plane;
    let layer = Layer::Lrn(LrnShape { batch, channels, plane, attrs });
    Case { name, layer, batch, inputs: elements, outputs: elements, params: None }
}

/// Odd sizes, strides, dilations, pads and groups, and what the networks of this crate are made of.
fn cases() -> Vec<Case> {
    let odd = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 2, 0, 1] };
    let phases = Window { kernel: [2, 4], stride: [1, 3], dilation: [3, 2], pads: [0, 5, 2, 1] };
    let skewed = Window { pads: [2, 0, 0, 1], ..Window::square(3, 1, 0) };
    let pointwise = |name, layer| Case { name, layer, batch: 5, inputs: 731, outputs: 731, params: None };
    vec![
        conv("conv 11x11 s4, AlexNet's first", 3, [3, 67, 67], 64, (Window::square(11, 4, 2), 1, true)),
        conv("conv 5x5, LeNet's first", 9, [1, 28, 28], 20, (Window::square(5, 1, 0), 1, false)),
        conv("conv 5x5 in two groups", 4, [96, 13, 13], 128, (Window::square(5, 1, 2), 2, true)),
        conv("conv 3x3", 8, [64, 8, 8], 192, (Window::square(3, 1, 1), 1, true)),
        conv("conv 3x3, deep", 2, [256, 4, 4], 384, (Window::square(3, 1, 1), 1, true)),
        conv("conv 3x3 s3, wide pads", 2, [3, 9, 9], 2, (Window::square(5, 3, 2), 1, false)),
        conv("conv, odd window", 3, [2, 6, 5], 4, (odd, 2, false)),
        conv("conv, phases and dilation", 2, [6, 9, 11], 9, (phases, 3, true)),
        conv("conv, skewed pads", 16, [34, 5, 2], 32, (skewed, 2, true)),
        conv("conv 1x1, large tiles", 9, [72, 44, 43], 130, (Window::square(1, 1, 0), 1, true)),
        conv("conv 1x1", 3, [5, 6, 7], 13, (Window::square(1, 1, 0), 1, false)),
        conv("conv, one channel to a group", 2, [6, 7, 5], 6, (Window::square(3, 1, 1), 6, false)),
        linear("linear", 17, 300, 70, false),
        linear("linear with ReLU", 33, 256, 130, true),
        linear("linear, one sample", 1, 37, 13, true),
        pool("max-pool 2x2", 3, 5, [8, 7], Window::square(2, 2, 0)),
        pool("max-pool 3x3 s2, overlapping", 4, 6, [13, 13], Window::square(3, 2, 0)),
        pool("max-pool, pads", 2, 3, [7, 6], Window::square(3, 1, 1)),
        pool(
            "max-pool, odd window",
            2,
            3,
            [7, 6],
            Window { kernel: [2, 3], stride: [1, 2], dilation: [2, 1], pads: [1, 0, 0, 1] },
        ),
        lrn("LRN of 5", 3, 32, 35, Lrn { size: 5, alpha: 2.0, beta: 0.75, k: 2.0 }),
        lrn("LRN of 4, beta 1", 2, 7, 6, Lrn { size: 4, alpha: 1.5, beta: 1.0, k: 1.5 }),
        lrn("LRN of 3, beta 0.6", 2, 5, 9, Lrn { size: 3, alpha: 1.0, beta: 0.6, k: 1.0 }),
        pointwise("ReLU", Layer::Relu),
        pointwise("dropout", Layer::Dropout(0.4)),
    ]
}

/// Normal numbers named by `name`.
fn normal(name: &str, len: usize, scale: f32) -> Vec<f32> {
    let mut rng = KeyedRng::new(7, 0, name.bytes().fold(0, |n, b| n << 5 ^ u64::from(b)), 0);
    (0..len).map(|_| scale * rng.normal()).collect()
}

type Named = Vec<(&'static str, Vec<f32>)>;
/// Activations with a tape.
type Traced<B> = Batch<B, OwnedTape<f32, <B as Backend>::Device>>;

fn apply<B: Backend>(
    backend: &Arc<B>,
    case: &Case,
    x: Traced<B>,
    params: Option<LayerParams<'_, B::Device>>,
) -> Result<Traced<B>, Fault<B>> {
    match (case.layer, params) {
        (Layer::Conv(shape), Some(params)) => ops::conv::conv2d(backend, shape, x, params, true),
        (Layer::Linear(shape), Some(params)) => ops::linear::linear(backend, shape, x, params, true),
        (Layer::MaxPool(shape), _) => ops::pool::max_pool(backend, shape, x),
        (Layer::Lrn(shape), _) => ops::lrn::lrn(backend, shape, x),
        (Layer::Dropout(ratio), _) => {
            let masks = (0..case.batch as u64).map(|i| KeyedRng::new(5, 1, i, stream::DROPOUT)).collect();
            ops::dropout::dropout(backend, masks, ratio, x)
        }
        (Layer::Relu | Layer::Conv(_) | Layer::Linear(_), _) => ops::relu::relu(backend, x),
    }
}

/// Output and gradients of a layer on one device. The objective is the squared distance from random numbers, so that the gradient of
/// every output is another one.
///
/// Where factors are rounded, an output near 0 may fall on the other side of a fused ReLU, and its gradient with it. `steady` biases keep
/// whole channels on or off instead.
fn run<B: Backend>(backend: &Arc<B>, case: &Case, steady: bool) -> Result<Named, CheckError> {
    let device = backend.device();
    let fail = |error: Fault<B>| CheckError::Device(DeviceError::of(error));
    let taps = case.params.map_or(1, |[weight, bias]| weight / bias);
    let x = normal(case.name, case.batch * case.inputs, 1.0);
    let x: Activation<_, B::Device> = device.try_tensor_from_vec(x, (case.batch, case.inputs)).map_err(fail)?;
    let tensor = |numbers: Vec<f32>| {
        let len = numbers.len();
        device.try_tensor_from_vec(numbers, (len,)).map_err(fail)
    };
    let params: Option<[Weight<B::Device>; 2]> = match case.params {
        None => None,
        Some([w, b]) => {
            // Outputs vary by about 1.
            let weight = normal("weight", w, (taps as f32).sqrt().recip());
            let bias = match case.has_relu() && steady {
                true => (0..b).map(|channel| if channel % 2 == 0 { 10.0 } else { -10.0 }).collect(),
                false => normal("bias", b, 0.5),
            };
            Some([tensor(weight)?, tensor(bias)?])
        }
    };
    let layer = params.as_ref().map(|[weight, bias]| LayerParams { weight, bias });
    let (y, tape) = apply(backend, case, x.leaky_trace(), layer).map_err(fail)?.split_tape();
    let output = backend.host(backend.read(&y)).map_err(fail)?.into_owned();
    let wanted = Targets::Values { data: normal("wanted", case.batch * case.outputs, 1.0), outputs: case.outputs };
    let (loss, _) = ops::loss::loss(backend, &SquaredError, y.put_tape(tape), &wanted, 1.0)?;
    let mut grads = loss.try_backward().map_err(fail)?;
    let mut found = vec![("output", output), ("gradient of the input", gradient(backend, &mut grads, &x)?)];
    if let Some([weight, bias]) = &params {
        found.push(("gradient of the weight", gradient(backend, &mut grads, weight)?));
        found.push(("gradient of the bias", gradient(backend, &mut grads, bias)?));
    }
    Ok(found)
}

fn gradient<B: Backend, S: Shape>(
    backend: &Arc<B>,
    grads: &mut Gradients<f32, B::Device>,
    of: &Tensor<S, f32, B::Device>,
) -> Result<Vec<f32>, CheckError> {
    let fail = |error: Fault<B>| CheckError::Device(DeviceError::of(error));
    let vector = grads.get_or_alloc_mut(of).map_err(fail)?;
    Ok(backend.host(backend.read_vector(vector)).map_err(fail)?.into_owned())
}

/// Losses of random scores, and their gradients.
fn losses<B: Backend>(backend: &Arc<B>) -> Result<Vec<(String, Vec<f32>)>, CheckError> {
    const CLASSES: usize = 37;
    const BATCH: usize = 19;
    let fail = |error: Fault<B>| CheckError::Device(DeviceError::of(error));
    let weights = (0..CLASSES).map(|class| 0.5 + class as f64 / 10.0).collect();
    let weighted = CrossEntropy { smoothing: 0.1, weights };
    let kinds: [(&str, &dyn Loss); 4] = [
        ("cross-entropy", &CrossEntropy::default()),
        ("cross-entropy, weights and smoothing", &weighted),
        ("sigmoid cross-entropy", &SigmoidCrossEntropy),
        ("squared error", &SquaredError),
    ];
    let mut found = Vec::new();
    for (name, kind) in kinds {
        let targets = Targets::Classes((0..BATCH as u32).map(|i| i * 11 % CLASSES as u32).collect());
        let scores = normal("scores", BATCH * CLASSES, 4.0);
        let scores: Activation<_, B::Device> = backend.device().try_tensor_from_vec(scores, (BATCH, CLASSES)).map_err(fail)?;
        let (loss, value) = ops::loss::loss(backend, kind, scores.leaky_trace(), &targets, 0.5)?;
        let mut grads = loss.try_backward().map_err(fail)?;
        found.push((format!("{name}: value"), vec![value]));
        found.push((format!("{name}: gradient"), gradient(backend, &mut grads, &scores)?));
    }
    Ok(found)
}

/// Parameters and averages after three steps of each optimiser, with rules, clipping and decay.
fn optimisers<B: Backend>(backend: &Arc<B>) -> Result<Vec<(String, Vec<f32>)>, CheckError> {
    let mut graph = Graph::new("layer");
    let x = graph.input("x", &[1, 70]);
    let y = graph.linear("fc", x, 40)?;
    graph.output(y);
    for (name, tensor) in &mut graph.params {
        tensor.data = normal(name, tensor.data.len(), 1.0);
    }
    let fail = |error: Fault<B>| CheckError::Device(DeviceError::of(error));
    let base = OptimOptions { ema: Some(0.9), ..OptimOptions::default() };
    let options = [
        ("SGD", OptimOptions { momentum: 0.0, ..base.clone() }),
        ("SGD, momentum", OptimOptions { clip_norm: Some(1.0), ..base.clone() }),
        ("SGD, Nesterov", OptimOptions { nesterov: true, clip_value: Some(0.5), ..base.clone() }),
        ("Adam", OptimOptions { optimizer: OptimizerKind::Adam, ..base.clone() }),
        ("AdamW", OptimOptions { optimizer: OptimizerKind::AdamW, weight_decay: 0.1, ..base.clone() }),
        ("RMSprop", OptimOptions { optimizer: OptimizerKind::RmsProp, momentum: 0.0, ..base.clone() }),
        ("RMSprop, centred", OptimOptions { optimizer: OptimizerKind::RmsProp, centered: true, ..base }),
    ];
    let schedule = ScheduleOptions { lr: 0.05, schedule: ScheduleKind::Constant, ..ScheduleOptions::default() };
    let mut found = Vec::new();
    for (name, options) in options {
        let mut optimiser = Optimiser::new(backend, &graph, &options, &schedule)?;
        let mut params: BTreeMap<String, Weight<B::Device>> = BTreeMap::new();
        for (name, tensor) in &graph.params {
            let tensor = backend.device().try_tensor_from_vec(tensor.data.clone(), (tensor.data.len(),)).map_err(fail)?;
            params.insert(name.clone(), tensor);
        }
        let mut norms = Vec::new();
        for step in 0..3 {
            let mut grads = Gradients::leaky();
            for (name, param) in &params {
                let numbers = normal(&format!("{name} {step}"), param.shape().0, 0.3 * optimiser.loss_scale());
                let place = grads.get_or_alloc_mut(param).map_err(fail)?;
                backend.set(backend.write_vector(place), &numbers).map_err(fail)?;
            }
            let at = Moment { step, steps_per_epoch: 10, epochs: 1, batches: 2 };
            norms.push(optimiser.step(&mut params, &mut grads, at)?.grad_norm);
        }
        let mut numbers = Vec::new();
        for param in params.values() {
            numbers.extend_from_slice(&backend.host(backend.read(param)).map_err(fail)?);
        }
        found.push((format!("{name}: parameters after three steps"), numbers));
        found.push((format!("{name}: norms of the gradients"), norms));
        found.push((format!("{name}: averages"), optimiser.average()?.into_iter().flatten().flat_map(|(_, v)| v).collect()));
        let state = optimiser.state()?.into_iter().filter(|(key, _)| key.contains('/'));
        let state: Vec<f32> = state.flat_map(|(_, v)| v).collect();
        assert!(state.len() <= STATES * graph.parameters());
        found.push((format!("{name}: state"), state));
    }
    Ok(found)
}

/// Compares every operation on `tested` with the same on `reference`. Products of rounded factors may differ by `products` of the
/// largest magnitude, everything else by 1e-4.
///
/// # Errors
/// [`CheckError`] where a device fails; numbers that differ are none.
pub fn layers<A: Backend, B: Backend>(reference: &Arc<A>, tested: &Arc<B>, products: f64) -> Result<Vec<Check>, CheckError> {
    const EXACT: f64 = 1e-4;
    let mut checks = Vec::new();
    for case in cases() {
        let bound = if case.params.is_some() { products } else { EXACT };
        let steady = products > EXACT;
        for ((what, expected), (_, found)) in run(reference, &case, steady)?.iter().zip(run(tested, &case, steady)?) {
            let value = difference(expected, &found);
            checks.push(Check { name: format!("{}: {what}", case.name), value, bound });
        }
    }
    let expected = losses(reference)?.into_iter().chain(optimisers(reference)?);
    for ((name, expected), (_, found)) in expected.zip(losses(tested)?.into_iter().chain(optimisers(tested)?)) {
        // An optimiser without state has nothing to compare.
        let value = if expected.is_empty() && found.is_empty() { 0.0 } else { difference(&expected, &found) };
        checks.push(Check { name, value, bound: EXACT });
    }
    Ok(checks)
}
