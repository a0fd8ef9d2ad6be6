#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus/import: models of one operator, and a few small graphs.

    fuzz/make_seeds.py

A fuzzer finds little that it has to invent: one small model for each operator lets it begin inside of each importer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, shape_inference

FOLDER = Path(__file__).with_name("corpus") / "import"
OPSET, IR_VERSION = 17, 8
RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one(op: str, constants: dict[str, np.ndarray] | None = None, outputs: int = 1, **attributes: object) -> tuple:
    """A node that takes `x` and constants."""
    constants = constants or {}
    names = ["y"] if outputs == 1 else [f"y{i}" for i in range(outputs)]
    return [helper.make_node(op, ["x", *constants], names, **attributes)], constants


# name: (shape of the input, (nodes, constants)); the graph's outputs are those of the last node.
PICTURE, MATRIX = [1, 4, 6, 6], [1, 12]
SCALE, ZERO = np.float32(0.1), np.uint8(128)
SEEDS: dict[str, tuple[list[int], tuple[list[NodeProto], dict[str, np.ndarray]]]] = {
    "conv": (PICTURE, one("Conv", {"w": weights(4, 2, 3, 3), "b": weights(4)}, group=2, pads=[1, 1, 1, 1], strides=[2, 2])),
    "conv_same": (PICTURE, one("Conv", {"w": weights(2, 4, 3, 3)}, auto_pad="SAME_UPPER", dilations=[2, 2])),
    "gemm": (MATRIX, one("Gemm", {"w": weights(5, 12), "b": weights(5)}, transB=1, alpha=0.5)),
    "matmul": (MATRIX, one("MatMul", {"w": weights(12, 5)})),
    "max_pool": (PICTURE, one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    "average_pool": (PICTURE, one("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)),
    "global_average_pool": (PICTURE, one("GlobalAveragePool")),
    "lrn": (PICTURE, one("LRN", size=3, alpha=0.01, beta=0.75, bias=2.0)),
    "batch_norm": (PICTURE, one("BatchNormalization", {n: np.abs(weights(4)) for n in ("s", "b", "m", "v")})),
    "leaky_relu": (PICTURE, one("LeakyRelu", alpha=0.1)),
    "prelu": (PICTURE, one("PRelu", {"s": weights(4, 1, 1)})),
    "clip": (PICTURE, one("Clip", {"low": np.float32(0), "high": np.float32(6)})),
    "hard_sigmoid": (PICTURE, one("HardSigmoid", alpha=0.2)),
    "hard_swish": (PICTURE, one("HardSwish")),
    "sigmoid": (PICTURE, one("Sigmoid")),
    "tanh": (PICTURE, one("Tanh")),
    "softmax": (MATRIX, one("Softmax", axis=-1)),
    "add": (PICTURE, one("Add", {"c": weights(4, 1, 1)})),
    "mul": (PICTURE, one("Mul", {"c": weights(1, 4, 1, 1)})),
    "split": (PICTURE, one("Split", {"parts": ints(1, 3)}, 2, axis=1)),
    "slice": (PICTURE, one("Slice", {"starts": ints(1), "ends": ints(-1), "axes": ints(1)})),
    "flatten": (PICTURE, one("Flatten", axis=1)),
    "reshape": (PICTURE, one("Reshape", {"shape": ints(0, -1)})),
    "squeeze": ([1, 12, 1, 1], one("Squeeze", {"axes": ints(2, 3)})),
    "unsqueeze": (MATRIX, one("Unsqueeze", {"axes": ints(2, 3)})),
    "transpose": (PICTURE, one("Transpose", perm=[0, 2, 3, 1])),
    "pad": (PICTURE, one("Pad", {"pads": ints(0, 0, 1, 1, 0, 0, 2, 2)}, mode="reflect")),
    "dropout": (PICTURE, one("Dropout", {"ratio": np.float32(0.5)})),
    "reduce_mean": (PICTURE, one("ReduceMean", axes=[2, 3], keepdims=0)),
    "arg_max": (PICTURE, one("ArgMax", axis=1)),
    "resize": (PICTURE, one("Resize", {"roi": weights(0), "scales": np.array([1, 1, 2, 2], np.float32)}, mode="linear")),
    "quantized": (
        PICTURE,
        (
            [
                helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
                helper.make_node("QLinearConv", ["q", "scale", "zero", "w", "scale", "w_zero", "scale", "zero"], ["p"]),
                helper.make_node("DequantizeLinear", ["p", "scale", "zero"], ["y"]),
            ],
            {"scale": SCALE, "zero": ZERO, "w_zero": np.int8(0), "w": RANDOM.integers(-9, 9, (2, 4, 3, 3)).astype(np.int8)},
        ),
    ),
    "branches": (
        PICTURE,
        (
            [
                helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[1, 1]),
                helper.make_node("Relu", ["a"], ["b"]),
                helper.make_node("Add", ["b", "x"], ["c"]),
                helper.make_node("Concat", ["c", "a", "x"], ["y"], axis=1),
            ],
            {"w": weights(4, 4, 1, 1)},
        ),
    ),
    "shape_arithmetic": (
        PICTURE,
        (
            [
                helper.make_node("Shape", ["x"], ["s"]),
                helper.make_node("Gather", ["s", "first"], ["n"]),
                helper.make_node("Concat", ["n", "rest"], ["shape"], axis=0),
                helper.make_node("Reshape", ["x", "shape"], ["y"]),
            ],
            {"first": ints(0), "rest": ints(-1)},
        ),
    ),
    "constant_of_shape": (
        PICTURE,
        (
            [
                helper.make_node("ConstantOfShape", ["shape"], ["w"], value=numpy_helper.from_array(np.float32([0.5]))),
                helper.make_node("Conv", ["x", "w"], ["y"]),
            ],
            {"shape": ints(2, 4, 3, 3)},
        ),
    ),
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (shape, (nodes, constants)) in SEEDS.items():
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        kind = TensorProto.INT64 if name == "arg_max" else TensorProto.FLOAT
        results = [helper.make_tensor_value_info(output, kind, None) for output in nodes[-1].output]
        initializers = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
        graph = helper.make_graph(nodes, "g", [source], results, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="")
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        checker.check_model(model, full_check=True)
        (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
