//! Interprets a [`Graph`] with dfdx tensors.

use crate::backend::{Backend, Batch, ConvShape, Fault, LinearShape, LrnShape, PoolShape, Vector};
use crate::ops::{self, LayerParams, Weight};
use crate::plan::{Plan, Trained};
use crate::rng::{KeyedRng, stream};
use dfdx::prelude::*;
use staticnet_graph::graph::{Graph, Node, ValueId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How to run the net.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Dropout is the identity.
    Evaluate,
    /// Dropout draws.
    Train {
        /// Key of all random numbers.
        seed: u64,
        /// Number of the epoch.
        epoch: u32,
        /// Number of each sample of the batch within the data set: its masks are the same in whatever batch it comes.
        samples: &'a [u32],
    },
}

/// Is shown the output of every layer of a batch: the layer's name, `[N, elements of one sample]`.
pub type Tap<'a> = &'a mut dyn FnMut(&str, &[f32]);

/// Hears of every parameter on the way back: its name, and its gradient, to which nothing is added any more.
pub type Done<B> = Arc<dyn Fn(&str, &Vector<B>) -> Result<(), Fault<B>>>;

/// Runs `graph` on a batch and returns its outputs, and `tape` with all that was recorded behind what it held.
/// The tap is shown the output of every node; [`Done`] will be told on the way back, in the order of [`done_order`].
///
/// The tape travels apart from the values, so a value may be used by any number of nodes. `params` holds every parameter of the
/// graph by name, `inputs` one `[N, elements]` batch for each network input.
///
/// # Errors
/// The device's, when memory runs out.
///
/// # Panics
/// Panics where `inputs` or `params` do not fit the graph.
#[allow(clippy::too_many_arguments)]
pub fn forward<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    graph: &Graph,
    plan: &Plan,
    params: &BTreeMap<String, Weight<B::Device>>,
    inputs: Vec<Batch<B>>,
    mode: Mode<'_>,
    mut tape: T,
    (mut tap, done): (Option<Tap<'_>>, Option<&Done<B>>),
) -> Result<(Vec<Batch<B>>, T), Fault<B>> {
    let mut seen = BTreeSet::new();
    let mut values: Vec<Option<Batch<B>>> = vec![None; graph.values.len()];
    for (id, input) in graph.inputs.iter().zip(inputs) {
        assert_eq!(input.shape().1, graph.value(*id).elements(), "input {}", graph.value(*id).name);
        values[id.0] = Some(input);
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        let x = values[node.inputs[0].0].clone().expect("nodes stand in execution order");
        if let Some(done) = done.filter(|_| T::OWNS_TAPE) {
            // What is recorded before a node comes after it on the way back; and where several use a parameter, after all of them.
            for name in node.params.iter().filter(|name| seen.insert(name.as_str())) {
                let (done, name, param) = (Arc::clone(done), name.clone(), params[name].ghost());
                tape.add_backward_op(move |grads| done(&name, grads.get_or_alloc_mut(&param)?));
            }
        }
        let traced = x.put_tape(tape);
        let step = Step { backend, graph, plan, params, index: i, node };
        let (y, recorded) = step.run(traced, mode)?.split_tape();
        tape = recorded;
        if let Some(tap) = &mut tap {
            tap(&node.name, &backend.host(backend.read(&y))?);
        }
        values[node.output.0] = Some(y);
        for x in &node.inputs {
            if plan.last_use[x.0] == Some(i) && !graph.outputs.contains(x) {
                values[x.0] = None;
            }
        }
    }
    let output = |id: &ValueId| values[id.0].clone().expect("every output is made by a node");
    Ok((graph.outputs.iter().map(output).collect(), tape))
}

/// The parameters in the order in which the way back is done with them.
pub fn done_order(graph: &Graph) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let names = graph.nodes.iter().flat_map(|node| &node.params).map(String::as_str);
    let mut order: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
    order.reverse();
    order
}

/// One node about to run.
struct Step<'a, B: Backend> {
    backend: &'a Arc<B>,
    graph: &'a Graph,
    plan: &'a Plan,
    params: &'a BTreeMap<String, Weight<B::Device>>,
    index: usize,
    node: &'a Node,
}

impl<B: Backend> Step<'_, B> {
    fn run<T: Tape<f32, B::Device>>(&self, x: Batch<B, T>, mode: Mode<'_>) -> Result<Batch<B, T>, Fault<B>> {
        let batch = x.shape().0;
        let relu = self.plan.fused[self.index];
        let learns = self.plan.learns[self.node.inputs[0].0];
        let (input, output) = (self.graph.shape(self.node.inputs[0]), self.graph.shape(self.node.output));
        let mut zeros = None;
        match self.plan.trained[self.index] {
            Trained::Conv(attrs) => {
                let groups = attrs.groups as usize;
                let (input, output) = ([input[1], input[2], input[3]], [output[1], output[2], output[3]]);
                let shape = ConvShape { batch, input, output, window: attrs.window, groups, relu };
                ops::conv::conv2d(self.backend, shape, x, self.layer(output[0], &mut zeros)?, learns)
            }
            Trained::Linear => {
                let shape = LinearShape { batch, inputs: input[1], outputs: output[1], relu };
                ops::linear::linear(self.backend, shape, x, self.layer(output[1], &mut zeros)?, learns)
            }
            Trained::MaxPool(attrs) => {
                let (planes, window) = (batch * input[1], attrs.window);
                let shape = PoolShape { planes, input: [input[2], input[3]], output: [output[2], output[3]], window };
                ops::pool::max_pool(self.backend, shape, x)
            }
            Trained::Lrn(attrs) => {
                let shape = LrnShape { batch, channels: input[1], plane: input[2] * input[3], attrs };
                ops::lrn::lrn(self.backend, shape, x)
            }
            Trained::Relu if self.plan.absorbed[self.index] => Ok(x),
            Trained::Relu => ops::relu::relu(self.backend, x),
            Trained::Dropout(ratio) => match mode {
                Mode::Train { seed, epoch, samples } if ratio > 0.0 => {
                    let layer = stream::DROPOUT + self.index as u32;
                    let mask = |sample: &u32| KeyedRng::new(seed, epoch, u64::from(*sample), layer);
                    ops::dropout::dropout(self.backend, samples.iter().map(mask).collect(), ratio, x)
                }
                Mode::Train { .. } | Mode::Evaluate => Ok(x),
            },
            Trained::Pass => Ok(x),
        }
    }

    /// The parameters of a layer of so many outputs. One without a bias adds zeros that are no parameter: nothing moves them.
    fn layer<'a>(
        &'a self,
        outputs: usize,
        zeros: &'a mut Option<Weight<B::Device>>,
    ) -> Result<LayerParams<'a, B::Device>, Fault<B>> {
        let bias = match self.node.params.get(1) {
            Some(name) => &self.params[name],
            None => zeros.insert(self.backend.device().try_zeros_like(&(outputs,))?),
        };
        Ok(LayerParams { weight: &self.params[&self.node.params[0]], bias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::raw;
    use crate::init::{Init, initialise};
    use crate::models;
    use crate::ops::Activation;
    use crate::ops::gradient_check::{backend, normal};
    use staticnet::op::{Conv2d, MaxPool, Window};
    use staticnet_graph::graph::{Op, Tensor as Array};
    use staticnet_graph::reference;

    fn weights(device: &Cpu, graph: &Graph) -> BTreeMap<String, Weight> {
        let tensor = |t: &Array| device.tensor_from_vec(t.data.clone(), (t.data.len(),));
        graph.params.iter().map(|(name, t)| (name.clone(), tensor(t))).collect()
    }

    #[test]
    fn every_small_net_equals_the_reference() {
        let (backend, device) = (backend(), Cpu::default());
        for name in ["lenet", "cifar-small", "alexnet-cifar", "alexnet-cifar-lrn"] {
            let mut graph = (models::by_name(name).unwrap().build)(3, 10).unwrap();
            initialise(&mut graph, Init::Kaiming, 3);
            let shape = graph.shape(graph.inputs[0]).to_vec();
            let elements: usize = shape.iter().product();
            // 17 pictures take Winograd's way, the last of them the other one.
            let images = normal("images", 17 * elements);
            let x: Activation = device.tensor_from_vec(images.clone(), (17, elements));
            let params = weights(&device, &graph);
            let (y, _) = forward(
                &backend,
                &graph,
                &Plan::new(&graph).unwrap(),
                &params,
                vec![x],
                Mode::Evaluate,
                NoneTape,
                (None, None),
            )
            .unwrap();
            for picture in [3, 16] {
                let data = images[picture * elements..][..elements].to_vec();
                let values = reference::run(&graph, &[Array { shape: shape.clone(), data }]).unwrap();
                let expected = &values[graph.outputs[0].0].data;
                let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                for (y, e) in raw::slice(&y[0])[picture * 10..][..10].iter().zip(expected) {
                    assert!((y - e).abs() < 1e-4 * largest, "{name}, picture {picture}: {y} instead of {e}");
                }
            }
        }
    }

    /// A convolution's output read by two nodes, and a net with two outputs.
    fn branching() -> Graph {
        let mut graph = Graph::new("branching");
        let x = graph.input("x", &[1, 2, 5, 5]);
        let attrs = Conv2d { window: Window::square(3, 1, 1), groups: 1 };
        let conv = graph.conv("conv", x, 3, attrs).unwrap();
        let relu = graph.add("relu", Op::Relu, &[conv], &[]).unwrap();
        let pool = graph.add("pool", Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[conv], &[]).unwrap();
        let flat = graph.add("flat", Op::Flatten, &[relu], &[]).unwrap();
        let fc = graph.linear("fc", flat, 4).unwrap();
        graph.output(fc);
        graph.output(pool);
        initialise(&mut graph, Init::Kaiming, 1);
        graph
    }

    #[test]
    fn gradients_of_a_branching_net() {
        let (backend, device, graph) = (backend(), Cpu::default(), branching());
        let plan = Plan::new(&graph).unwrap();
        assert!(!plan.fused.contains(&true), "a ReLU that does not read alone must not be fused");
        let (r, s) = (normal("r", 8), normal("s", 24));
        let run = |params: &BTreeMap<String, Weight>| -> (Vec<Activation>, OwnedTape<f32, Cpu>) {
            let x = device.tensor_from_vec(normal("x", 100), (2, 50));
            forward(&backend, &graph, &plan, params, vec![x], Mode::Evaluate, OwnedTape::default(), (None, None)).unwrap()
        };
        let params = weights(&device, &graph);
        let (mut y, tape) = run(&params);
        let (r_tensor, s_tensor) = (device.tensor_from_vec(r.clone(), (2, 4)), device.tensor_from_vec(s.clone(), (2, 12)));
        let (pool, fc) = (y.remove(1), y.remove(0));
        let (first, tape) = (fc.put_tape(tape) * r_tensor).sum::<Rank0, _>().split_tape();
        let grads = ((pool.put_tape(tape) * s_tensor).sum::<Rank0, _>() + first).backward();

        let objective = |params: &BTreeMap<String, Weight>| -> f64 {
            let (y, _) = run(params);
            let pairs = raw::slice(&y[0]).iter().zip(&r).chain(raw::slice(&y[1]).iter().zip(&s));
            pairs.map(|(y, r)| f64::from(*y) * f64::from(*r)).sum()
        };
        for name in ["conv.weight", "conv.bias", "fc.weight"] {
            let analytic = grads.get(&params[name]).as_vec();
            let mut moved = params.clone();
            let mut shifted = |i: usize, by: f32| {
                let mut values = params[name].as_vec();
                values[i] += by;
                let len = values.len();
                moved.insert(name.to_string(), device.tensor_from_vec(values, (len,)));
                objective(&moved)
            };
            for (i, a) in analytic.iter().enumerate().step_by(3) {
                let numeric = (shifted(i, 1e-3) - shifted(i, -1e-3)) / 2e-3;
                assert!((f64::from(*a) - numeric).abs() < 0.03, "{name} {i}: {a}, finite difference {numeric}");
            }
        }
    }

    #[test]
    fn a_layer_without_a_bias_is_one_with_zeros_that_do_not_learn() {
        let (backend, device, with) = (backend(), Cpu::default(), branching());
        let mut without = with.clone();
        for node in &mut without.nodes {
            node.params.truncate(1);
        }
        without.params.retain(|name, _| !name.ends_with("bias"));
        assert_eq!(done_order(&without), ["fc.weight", "conv.weight"]);
        assert!(with.params["conv.bias"].data.iter().chain(&with.params["fc.bias"].data).all(|b| *b == 0.0));
        let params = weights(&device, &with);
        let run = |graph: &Graph| {
            let x = device.tensor_from_vec(normal("x", 100), (2, 50));
            let (plan, tape) = (Plan::new(graph).unwrap(), OwnedTape::default());
            let (mut y, tape) = forward(&backend, graph, &plan, &params, vec![x], Mode::Evaluate, tape, (None, None)).unwrap();
            let scores = y.remove(0);
            let numbers = scores.as_vec();
            (numbers, (scores.put_tape(tape).square()).sum::<Rank0, _>().backward())
        };
        let ((expected, before), (scores, after)) = (run(&with), run(&without));
        assert_eq!(scores, expected);
        for name in ["conv.weight", "fc.weight"] {
            assert_eq!(after.get(&params[name]).as_vec(), before.get(&params[name]).as_vec(), "{name}");
        }
        assert!(before.get(&params["fc.bias"]).as_vec().iter().any(|g| *g != 0.0));
    }

    #[test]
    fn dropout_draws_by_sample_and_epoch_and_only_in_training() {
        let (backend, device) = (backend(), Cpu::default());
        let mut graph = Graph::new("dropout");
        let x = graph.input("x", &[1, 64]);
        let first = graph.add("first", Op::Dropout { ratio: 0.5 }, &[x], &[]).unwrap();
        graph.output(first);
        let second = graph.add("second", Op::Dropout { ratio: 0.5 }, &[x], &[]).unwrap();
        graph.output(second);
        let run = |samples: &[u32], epoch: u32, train: bool| -> Vec<Vec<f32>> {
            let x = device.tensor_from_vec(vec![1.0; samples.len() * 64], (samples.len(), 64));
            let mode = if train { Mode::Train { seed: 1, epoch, samples } } else { Mode::Evaluate };
            let (y, _) =
                forward(&backend, &graph, &Plan::new(&graph).unwrap(), &BTreeMap::new(), vec![x], mode, NoneTape, (None, None))
                    .unwrap();
            y.iter().map(|y| y.as_vec()).collect()
        };
        let all = run(&[7, 8, 9], 2, true);
        assert_eq!(run(&[9], 2, true)[0], all[0][128..]);
        assert_ne!(run(&[9], 3, true)[0], all[0][128..]);
        assert_ne!(all[0], all[1], "two layers draw differently");
        assert_eq!(run(&[7], 2, false), [vec![1.0; 64], vec![1.0; 64]]);
    }
}
