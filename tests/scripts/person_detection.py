#!/usr/bin/env python3
"""Writes a network of the shape that is used to tell whether there is a person in a picture, with random weights.

    person_detection.py [-o person-detection.onnx] [--seed N]

MobileNetV1 of width 0.25 for 96x96 grey pixels and two classes, as in TensorFlow Lite Micro's example: a convolution, thirteen
pairs of a depthwise and a pointwise one, the mean of all pixels, two classes, Softmax. BatchNormalization is folded, ReLU6 is
Clip, and paddings are TensorFlow's SAME: on even sizes a stride of 2 pads behind only. The file carries its preprocessing, so
that pictures can be given. The weights keep the size of activations and mean nothing.

Exit 0: written, and onnx.checker and onnxruntime take it; 1: they do not.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from random_weights import f32, he, picture, run_onnxruntime

SIDE = 96
CLASSES = ["no person", "person"]
FIRST_CHANNELS = 8
# Stride and output channels of each pair.
PAIRS = [(1, 16), (2, 32), (1, 32), (2, 64), (1, 64), (2, 128), *[(1, 128)] * 5, (2, 256), (1, 256)]
# Pixels become real numbers in [-1, 1].
PREPROCESS = {"width": SIDE, "height": SIDE, "channels": 1, "fit": "stretch", "mean": [0.5, 0, 0], "std": [0.5, 1, 1]}


def same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding before and behind: the odd one lies behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass
class Builder:
    """Nodes and weights in the order in which they are added; `value`, `size` and `channels` are those of the last one."""

    random: np.random.Generator
    value: str = "picture"
    size: int = SIDE
    channels: int = 1
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, name: str, inputs: list[str], **attributes: int | list[int]) -> None:
        self.nodes.append(helper.make_node(op, [self.value, *inputs], [name], name=name, **attributes))
        self.value = name

    def conv(self, name: str, out: int, kernel: int, stride: int, groups: int = 1) -> None:
        shape = [out, self.channels // groups, kernel, kernel]
        weight = self.constant(f"{name}.weight", he(int(np.prod(shape[1:])))(self.random, shape))
        bias = self.constant(f"{name}.bias", f32(self.random.uniform(-0.02, 0.02, out)))
        before, behind = same(self.size, kernel, stride)
        pads, window = [before, before, behind, behind], {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
        self.node("Conv", name, [weight, bias], pads=pads, group=groups, **window)
        self.size, self.channels = -(-self.size // stride), out

    def relu6(self, name: str) -> None:
        self.node("Clip", name, ["zero", "six"])


def network(seed: int) -> ModelProto:
    """The model."""
    builder = Builder(np.random.default_rng(seed))
    builder.constant("zero", np.float32(0))
    builder.constant("six", np.float32(6))
    builder.conv("conv", FIRST_CHANNELS, 3, 2)
    builder.relu6("conv.relu6")
    for i, (stride, out) in enumerate(PAIRS, 1):
        builder.conv(f"depthwise{i}", builder.channels, 3, stride, builder.channels)
        builder.relu6(f"depthwise{i}.relu6")
        builder.conv(f"pointwise{i}", out, 1, 1)
        builder.relu6(f"pointwise{i}.relu6")
    builder.node("AveragePool", "mean", [], kernel_shape=[builder.size] * 2)
    builder.size = 1
    builder.conv("classes", len(CLASSES), 1, 1)
    builder.node("Flatten", "scores", [])
    builder.node("Softmax", "probabilities", [], axis=1)
    graph = helper.make_graph(
        builder.nodes,
        "person-detection",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(CLASSES)])],
        builder.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    metadata = {"staticnet.preprocess": json.dumps(PREPROCESS), "staticnet.labels": json.dumps(CLASSES)}
    helper.set_model_props(model, metadata)
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path("person-detection.onnx")
    parser.add_argument("-o", "--output", type=Path, default=default, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights (default: %(default)s)")
    arguments = parser.parse_args()
    model = network(arguments.seed)
    try:
        onnx.checker.check_model(model, full_check=True)
        inputs = {"picture": picture(np.random.default_rng(arguments.seed), [1, 1, SIDE, SIDE])}
        probabilities = run_onnxruntime(model.SerializeToString(), inputs)[0]
    except Exception as error:  # Both raise types of their own for an invalid model.
        print(f"invalid: {error}", file=sys.stderr)
        return 1
    if probabilities.shape != (1, len(CLASSES)) or not np.isclose(probabilities.sum(), 1):
        print(f"the output is {probabilities}", file=sys.stderr)
        return 1
    onnx.save(model, arguments.output)
    parameters = sum(numpy_helper.to_array(t).size for t in model.graph.initializer)
    nodes, example = len(model.graph.node), ", ".join(f"{p:.3f}" for p in probabilities[0])
    print(f"{arguments.output}: {nodes} nodes, {parameters} parameters; probabilities of a random picture: {example}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
