"""Random weights for models that come without: the light models of the onnx package, and tests/fixtures/torchvision.

Which tensor is a weight, and of what kind, follows from where it is used, through the Reshape, Unsqueeze, .. nodes in front of that
place; so a ConstantOfShape that makes a weight is replaced, and one that takes part in computing a shape is not. All other nodes
stay as they are. Values depend on the model's name and the tensor's name alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

# Nodes that pass on the values of a weight in another shape.
PASS_ON = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Transpose", "Identity", "Flatten"})
# Nodes behind the last weighted layer that keep the size of numbers, more or less.
KEEP_SIZE = PASS_ON | {"Relu", "GlobalAveragePool", "AveragePool", "ReduceMean", "Dropout"}
# Spread of the numbers that a final Softmax gets: the largest of 1000 is then near 0.1, none is rounded away.
LOGIT_STD = 2.0

Uses = dict[str, list[tuple[NodeProto, int]]]


def generator(*names: str) -> np.random.Generator:
    """Random numbers that depend on names only."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:8], "little"))


def f32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def around(center: float, spread: float) -> Callable[[np.random.Generator, list[int]], np.ndarray]:
    return lambda random, shape: f32(random.uniform(center - spread, center + spread, shape))


def he(fan_in: int) -> Callable[[np.random.Generator, list[int]], np.ndarray]:
    """Keeps the size of activations through a layer with ReLU (He and others, 2015)."""
    std = np.float32(math.sqrt(2 / fan_in))
    return lambda random, shape: random.standard_normal(shape, dtype=np.float32) * std


def gemm_fan_in(node: NodeProto, shape: list[int]) -> int:
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return shape[1] if transposed else shape[0]


def maker(node: NodeProto, position: int, shape: list[int]) -> Callable[[np.random.Generator, list[int]], np.ndarray] | None:
    """How the tensor at an input of a node is drawn; None where the tensor is none that is learnt."""
    match node.op_type, position:
        case "Conv", 1:
            return he(math.prod(shape[1:]))
        case "Gemm", 1:
            return he(gemm_fan_in(node, shape))
        case "MatMul", 1:
            return he(shape[-2])
        case ("Conv" | "Gemm"), 2:
            return around(0, 0.02)
        case "BatchNormalization", (1 | 4):  # scale, variance
            return around(1, 0.3)
        case "BatchNormalization", (2 | 3):  # shift, mean
            return around(0, 0.02)
        case "PRelu", 1:
            return around(0.25, 0.1)
        # A single number there is part of a formula.
        case "Mul", _ if math.prod(shape) > 1:
            return around(1, 0.3)
        case ("Add" | "Sub" | "Sum"), _ if math.prod(shape) > 1:
            return around(0, 0.02)
    return None


def uses_of(model: ModelProto) -> Uses:
    uses: Uses = defaultdict(list)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            uses[name].append((node, i))
    return uses


def final_uses(name: str, uses: Uses) -> Iterator[tuple[NodeProto, int]]:
    """Where a tensor is used, behind the nodes that only pass it on."""
    for node, position in uses[name]:
        if node.op_type in PASS_ON and position == 0:
            yield from final_uses(node.output[0], uses)
        else:
            yield node, position


def float_constants(model: ModelProto) -> dict[str, list[int]]:
    """Name and shape of every f32 constant, be it an initializer or made by ConstantOfShape."""
    integers = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.INT64}
    shapes = {t.name: list(t.dims) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in integers:
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if value is None or value.data_type == TensorProto.FLOAT:
                shapes[node.output[0]] = numpy_helper.to_array(integers[node.input[0]]).tolist()
    return shapes


def draw_weights(model: ModelProto, name: str) -> dict[str, np.ndarray]:
    """New values for everything learnt."""
    uses = uses_of(model)
    weights = {}
    for tensor, shape in float_constants(model).items():
        for node, position in final_uses(tensor, uses):
            draw = maker(node, position, shape)
            if draw:
                weights[tensor] = draw(generator(name, tensor), shape)
                break
    return weights


def put_weights(model: ModelProto, weights: dict[str, np.ndarray]) -> None:
    """Makes `weights` the model's initializers, in place of initializers and ConstantOfShape nodes of the same name."""
    graph = model.graph
    nodes = [n for n in graph.node if not (n.op_type == "ConstantOfShape" and n.output[0] in weights)]
    initializers = [t for t in graph.initializer if t.name not in weights]
    listed = {value.name for value in graph.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    for name, values in weights.items():
        graph.initializer.append(numpy_helper.from_array(values, name))
        # Before IR version 4 every initializer is also an input.
        if model.ir_version < 4 and name not in listed:
            graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape))


def live_inputs(model: ModelProto) -> dict[str, list[int]]:
    """Name and shape of the inputs that are no initializers."""
    constants = {t.name for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    return {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in inputs}


def picture(random: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Like a normalised picture: large patches and fine grain. Pooling would average mere noise to the same value everywhere."""
    batch, channels, height, width = shape
    patches = random.standard_normal((batch, channels, 4, 4))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return f32(patches[:, :, rows][:, :, :, columns] + 0.3 * random.standard_normal(shape))


def random_inputs(model: ModelProto, name: str, which: int = 0) -> dict[str, np.ndarray]:
    """One picture for each input."""
    return {n: picture(generator(name, n, str(which)), shape) for n, shape in live_inputs(model).items()}


def run_onnxruntime(model: bytes | str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The model as it stands, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, inputs)


def final_softmax(model: ModelProto) -> NodeProto | None:
    """The Softmax that makes the model's output, if one does."""
    outputs = {value.name for value in model.graph.output}
    return next((n for n in model.graph.node if n.op_type == "Softmax" and n.output[0] in outputs), None)


def last_layer(model: ModelProto, value: str) -> NodeProto:
    """The Conv or Gemm that `value` comes from."""
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers[value]
    while node.op_type in KEEP_SIZE:
        node = producers[node.input[0]]
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        raise ValueError(f"{node.op_type} before Softmax")
    return node


def constant_behind(model: ModelProto, value: str, weights: dict[str, np.ndarray]) -> str:
    """The weight that `value` is, or is passed on from."""
    producers = {output: node for node in model.graph.node for output in node.output}
    while value not in weights:
        value = producers[value].input[0]
    return value


def temper_softmax(model: ModelProto, weights: dict[str, np.ndarray], name: str) -> None:
    """Scales the last layer so that a final Softmax gets numbers of LOGIT_STD.

    Without that its output is one 1 and 999 zeros, whatever the network computed before; with it a relative error of the logits
    is an error of the probabilities about as large.
    """
    softmax = final_softmax(model)
    if softmax is None:
        return
    cut = ModelProto()
    cut.CopyFrom(model)
    put_weights(cut, weights)
    del cut.graph.output[:]
    cut.graph.output.append(helper.make_empty_tensor_value_info(softmax.input[0]))
    logits = run_onnxruntime(cut.SerializeToString(), random_inputs(cut, name))[0]
    scale = np.float32(LOGIT_STD / logits.std())
    for value in last_layer(model, softmax.input[0]).input[1:]:
        weights[constant_behind(model, value, weights)] *= scale


def with_random_weights(model: ModelProto, name: str) -> tuple[ModelProto, int]:
    """The model with weights, and their number."""
    weights = draw_weights(model, name)
    temper_softmax(model, weights, name)
    put_weights(model, weights)
    onnx.checker.check_model(model)
    return model, sum(values.size for values in weights.values())
