#!/usr/bin/env python3
"""Compares int8 networks with onnxruntime's, value by value: the bound is 0 differing values.

    bit_exact.py [--exporter PATH] [--inputs N] [--long] [--only NET] [--save-fixtures DIR]
    bit_exact.py --fixtures DIR [--exporter PATH]

Three networks with weights from fixed seeds (a LeNet, one with two branches and Concat, AlexNet at 224) are taken both ways:

- onnxruntime quantizes (quantize_static: u8 activations, s8 weights per channel), once as QOperator and once as QDQ model; the exporter
  compiles either, and must give what onnxruntime gives for the QOperator model;
- the exporter quantizes (`compile --calibrate`) and writes `--qoperator`; onnxruntime runs that, and must give what the artifact gives.

onnxruntime is an oracle only when it computes exactly. On a CPU without VNNI its kernels for u8 x s8 add pairs of products in 16 bits
and saturate. The session option x64quantprecision turns s8 weights into u8 first, where the kernels are exact; it is one of the
extended graph optimizations, so it does nothing with optimizations off or basic. So sessions here use the extended level. Before anything
is compared, that is checked against sums in numpy, on layers whose products do saturate (SELF_TESTS).

A fixture is the quantized models, some inputs and onnxruntime's outputs, for checks without onnxruntime (`--fixtures`). There is
none of AlexNet: its quantized model is too large to keep, and one made anew may differ from machine to machine, because calibration
runs in f32.

Exit status: 0 when nothing differs, 1 when something does or the oracle is not exact, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from exporter_cli import DEFAULT_EXPORTER, Exporter, ExporterError

N_INPUTS, N_INPUTS_ALEXNET, N_INPUTS_FIXTURE = 100, 10, 10
N_CALIBRATION, N_CALIBRATION_ALEXNET = 16, 32
OPSET, IR_VERSION = 17, 8


class Builder:
    """A float network, layer after layer; `shape` and `at` are those of the last value."""

    def __init__(self, name: str, shape: tuple[int, int, int]) -> None:
        self.name, self.input_shape, self.shape, self.at = name, shape, shape, "input"
        self.random = np.random.default_rng([ord(c) for c in name])
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def node(self, op: str, inputs: list[str], **attributes: object) -> None:
        self.at = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [self.at], self.at, **attributes))

    def weights(self, *shape: int) -> list[str]:
        """Weight and bias; the weight's first dimension is that of the outputs, all others are summed over."""
        base = f"{self.name}_{len(self.initializers) // 2}"
        std = np.float32(np.sqrt(2 / np.prod(shape[1:])))
        w = self.random.standard_normal(shape, dtype=np.float32) * std
        b = self.random.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
        self.initializers += [numpy_helper.from_array(w, f"{base}_w"), numpy_helper.from_array(b, f"{base}_b")]
        return [f"{base}_w", f"{base}_b"]

    def relu(self) -> Builder:
        self.node("Relu", [self.at])
        return self

    def conv(self, channels: int, kernel: int, stride: int = 1, pad: int = 0) -> Builder:
        """With ReLU."""
        depth, *sides = self.shape
        inputs = [self.at, *self.weights(channels, depth, kernel, kernel)]
        self.node("Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        self.shape = (channels, *((side + 2 * pad - kernel) // stride + 1 for side in sides))
        return self.relu()

    def pool(self, kernel: int, stride: int) -> Builder:
        self.node("MaxPool", [self.at], kernel_shape=[kernel] * 2, strides=[stride] * 2)
        self.shape = (self.shape[0], *((side - kernel) // stride + 1 for side in self.shape[1:]))
        return self

    def fire(self, squeeze: int, expand: int) -> Builder:
        """SqueezeNet's module: a 1x1 convolution, then 1x1 and 3x3 side by side."""
        self.conv(squeeze, 1)
        start, shape = self.at, self.shape
        left = self.conv(expand, 1).at
        self.at, self.shape = start, shape
        right = self.conv(expand, 3, pad=1).at
        self.node("Concat", [left, right], axis=1)
        self.shape = (2 * expand, *self.shape[1:])
        return self

    def flatten(self) -> Builder:
        self.node("Flatten", [self.at], axis=1)
        self.shape = (int(np.prod(self.shape)),)
        return self

    def linear(self, features: int) -> Builder:
        self.node("Gemm", [self.at, *self.weights(features, self.shape[0])], transB=1)
        self.shape = (features,)
        return self

    def model(self) -> ModelProto:
        source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *self.input_shape])
        result = helper.make_tensor_value_info(self.at, TensorProto.FLOAT, [1, *self.shape])
        graph = helper.make_graph(self.nodes, self.name, [source], [result], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


def lenet() -> ModelProto:
    net = Builder("lenet", (1, 28, 28)).conv(8, 5).pool(2, 2).conv(16, 5).pool(2, 2)
    return net.flatten().linear(64).relu().linear(10).model()


def branches() -> ModelProto:
    net = Builder("branches", (3, 32, 32)).conv(16, 3, stride=2, pad=1).fire(8, 16).pool(3, 2).fire(16, 32).pool(3, 2)
    return net.flatten().linear(10).model()


def alexnet() -> ModelProto:
    """torchvision's, without Dropout, which does nothing in inference, and the pooling to 6 x 6, which does nothing at 224."""
    net = Builder("alexnet", (3, 224, 224)).conv(64, 11, stride=4, pad=2).pool(3, 2).conv(192, 5, pad=2).pool(3, 2)
    net = net.conv(384, 3, pad=1).conv(256, 3, pad=1).conv(256, 3, pad=1).pool(3, 2)
    return net.flatten().linear(4096).relu().linear(4096).relu().linear(1000).model()


NETS: dict[str, Callable[[], ModelProto]] = {"lenet": lenet, "branches": branches, "alexnet": alexnet}


@dataclass(frozen=True)
class Verdict:
    """One comparison; `reason` is empty where nothing differs."""

    name: str
    reason: str
    seconds: float


def pictures(seed: int, n: int, shape: list[int]) -> np.ndarray:
    """Inputs `[n, C, H, W]`: patches and grain, so that neither pooling nor deep sums average everything away."""
    random = np.random.default_rng(seed)
    channels, height, width = shape
    patches = random.standard_normal((n, channels, 4, 4), dtype=np.float32)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    grain = random.standard_normal((n, *shape), dtype=np.float32) * np.float32(0.5)
    return patches[:, :, rows][:, :, :, columns] + grain


def shape_of(model: ModelProto) -> list[int]:
    """Channels, height, width of the input."""
    return [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]


def difference(got: np.ndarray, want: np.ndarray) -> str:
    """Empty where both are the same, value by value."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{list(got.shape)}, onnxruntime {want.dtype}{list(want.shape)}"
    differing = int((got != want).sum())
    if differing:
        largest = np.abs(got.astype(np.float64) - want.astype(np.float64)).max()
        return f"{differing} of {want.size} values differ, by up to {largest:.3g} (largest magnitude {np.abs(want).max():.3g})"
    # A network that always answers the same is easily matched.
    return "" if len(want) == 1 or (want != want[:1]).any() else "all inputs give the same outputs"


# ---- the oracle


def session(model: bytes):  # noqa: ANN201 (onnxruntime is imported only where it is needed)
    """onnxruntime, exact on every CPU; see the module's description."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_oracle(model: bytes, batch: np.ndarray) -> np.ndarray:
    """onnxruntime's outputs, one input after the other."""
    running = session(model)
    name = running.get_inputs()[0].name
    return np.concatenate([running.run(None, {name: x[None]})[0] for x in batch])


def quantize(model: Path, target: Path, calibration: np.ndarray, qdq: bool) -> None:
    """onnxruntime's own quantization."""
    # It recommends a preprocessing that these networks have no use for.
    logging.getLogger().setLevel(logging.ERROR)
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            x = next(self.rest, None)
            return None if x is None else {"input": x[None]}

    quantize_static(
        model,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )


# ---- is the oracle exact?


def saturating(random: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Integers of which many are the largest: two products of such do not fit 16 bits."""
    values = random.integers(low, high + 1, shape)
    values[random.random(shape) < 0.3] = high
    return values


def exact_sums(x: np.ndarray, w: np.ndarray, groups: int) -> np.ndarray:
    """Convolution `[1, C, H, W]` with `[O, C / groups, k, k]`, stride 1, no padding, in 64-bit integers."""
    size = w.shape[-1]
    side = x.shape[-1] - size + 1
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (size, size), axis=(1, 2))
    parts = zip(np.split(windows, groups), np.split(w, groups))
    sums = [np.einsum("chwij,ocij->ohw", part, weights) for part, weights in parts]
    return np.concatenate(sums).reshape(1, len(w), side, side)


def requantized(sums: np.ndarray, multiplier: np.ndarray, zero_point: int) -> np.ndarray:
    """clamp(round_half_even(f32(sum) * multiplier) + zero_point), in f32, as QLinearConv and QGemm do."""
    scaled = np.rint(sums.astype(np.float32) * multiplier.astype(np.float32))
    return np.clip(scaled + zero_point, 0, 255).astype(np.uint8)


def one_layer(op: str, x: np.ndarray, w: np.ndarray, groups: int, seed: int) -> tuple[ModelProto, np.ndarray]:
    """A model of one quantized layer, and what numpy says that it gives for `x`."""
    random = np.random.default_rng(seed)
    bias = random.integers(-1000, 1001, len(w))
    x_scale, x_zero, y_zero = np.float32(0.02), 3, 120
    w_scale = random.uniform(0.001, 0.002, len(w)).astype(np.float32)
    centred = x.astype(np.int64) - x_zero
    spread = (-1, 1, 1) if op == "QLinearConv" else (-1,)
    sums = exact_sums(centred, w, groups) if op == "QLinearConv" else centred @ w.T
    sums = sums + bias.reshape(spread)
    # Most results are inside of 0..255: a clipped one says little.
    y_scale = np.float32((sums * (x_scale * w_scale).reshape(spread)).std() * 6 / 255)
    want = requantized(sums, (x_scale * w_scale / y_scale).reshape(spread), y_zero)
    tensors = {
        "x_scale": x_scale, "x_zero": np.uint8(x_zero), "w": w.astype(np.int8), "w_scale": w_scale,
        "w_zero": np.zeros(len(w), np.int8), "y_scale": y_scale, "y_zero": np.uint8(y_zero), "bias": bias.astype(np.int32),
    }  # fmt: skip
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero"]
    if op == "QLinearConv":
        node = helper.make_node(op, [*names, "y_scale", "y_zero", "bias"], ["y"], group=groups)
    else:
        node = helper.make_node(op, [*names, "bias", "y_scale", "y_zero"], ["y"], domain="com.microsoft", transB=1)
    source = helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)
    result = helper.make_tensor_value_info("y", TensorProto.UINT8, want.shape)
    initializers = [numpy_helper.from_array(np.asarray(v), n) for n, v in tensors.items()]
    graph = helper.make_graph([node], op, [source], [result], initializers)
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION), want


# name: operator, shape of x, shape of w, groups
SELF_TESTS = {
    "conv 3x3": ("QLinearConv", (1, 16, 12, 12), (8, 16, 3, 3), 1),
    "conv 1x1": ("QLinearConv", (1, 64, 8, 8), (32, 64, 1, 1), 1),
    "conv, odd sizes": ("QLinearConv", (1, 5, 11, 11), (7, 5, 5, 5), 1),
    "conv, groups": ("QLinearConv", (1, 16, 12, 12), (16, 4, 3, 3), 4),
    "conv, depthwise": ("QLinearConv", (1, 16, 12, 12), (16, 1, 3, 3), 16),
    "fully connected": ("QGemm", (1, 512), (64, 512), 1),
    "fully connected, long": ("QGemm", (1, 9216), (32, 9216), 1),
}


def self_test(name: str) -> Verdict:
    """One layer: onnxruntime against numpy."""
    start = time.monotonic()
    op, x_shape, w_shape, groups = SELF_TESTS[name]
    seed = list(SELF_TESTS).index(name)
    random = np.random.default_rng([seed, 1])
    x = saturating(random, x_shape, 0, 255).astype(np.uint8)
    model, want = one_layer(op, x, saturating(random, w_shape, -127, 127), groups, seed)
    got = session(model.SerializeToString()).run(None, {"x": x})[0]
    return Verdict(f"onnxruntime is exact: {name}", difference(got, want), time.monotonic() - start)


# ---- the comparisons


def imported(exporter: Exporter, quantized: Path, batch: np.ndarray, want: np.ndarray, work: Path) -> str:
    """A quantized model, compiled and run."""
    artifact = quantized.with_suffix(".snet") if quantized.parent == work else work / f"{quantized.stem}.snet"
    exporter.compile(quantized, artifact)
    return difference(exporter.run(artifact, [batch], 1, work)[0], want)


def quantized_by_exporter(exporter: Exporter, model: Path, calibration: np.ndarray, work: Path) -> tuple[Path, Path, str]:
    """A float model as an artifact and as ONNX, and what making them took. The calibration's samples are all used."""
    samples, artifact, quantized = work / "calibration.npy", work / "own.snet", work / "own.onnx"
    np.save(samples, calibration)
    done = exporter.compile(
        model, artifact, "--calibrate", samples, "--calibrate-samples", str(len(calibration)), "--qoperator", quantized
    )
    took = f"compiled with {len(calibration)} samples in {done.seconds:.1f} s, at most {done.peak_rss_bytes / 2**20:.0f} MiB"
    return artifact, quantized, took


def exported(exporter: Exporter, artifact: Path, quantized: Path, batch: np.ndarray, work: Path) -> str:
    """The exporter's own quantized model, run by the runtime and by onnxruntime."""
    if not quantized.is_file():
        return "--qoperator wrote no file"
    got = exporter.run(artifact, [batch], 1, work)[0]
    return difference(got, run_oracle(quantized.read_bytes(), batch))


def timed(name: str, compare: Callable[[], str]) -> Verdict:
    start = time.monotonic()
    try:
        reason = compare()
    except ExporterError as error:
        reason = str(error)
    return Verdict(name, reason, time.monotonic() - start)


def compare_net(exporter: Exporter, name: str, n_inputs: int, save: Path | None) -> Iterator[Verdict]:
    """Both ways for one network."""
    model = NETS[name]()
    shape = shape_of(model)
    calibration = pictures(1, N_CALIBRATION_ALEXNET if name == "alexnet" else N_CALIBRATION, shape)
    batch = pictures(2, n_inputs, shape)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        path = work / f"{name}.onnx"
        onnx.save(model, path)
        files = {form: work / f"{name}.{form}.onnx" for form in ("qoperator", "qdq")}
        for form, file in files.items():
            quantize(path, file, calibration, form == "qdq")
        want = run_oracle(files["qoperator"].read_bytes(), batch)
        if save and name != "alexnet":
            save_fixture(save, name, files, batch[:N_INPUTS_FIXTURE], want[:N_INPUTS_FIXTURE])
        for form, file in files.items():
            title = f"{name}: {form} by onnxruntime, {n_inputs} inputs"
            yield timed(title, lambda file=file: imported(exporter, file, batch, want, work))
        title = f"{name}: quantized by the exporter, {n_inputs} inputs"
        try:
            artifact, own, took = quantized_by_exporter(exporter, path, calibration, work)
        except ExporterError as error:
            yield Verdict(title, str(error), 0.0)
            return
        yield timed(f"{title}, {took}", lambda: exported(exporter, artifact, own, batch, work))


def save_fixture(folder: Path, name: str, models: dict[str, Path], batch: np.ndarray, want: np.ndarray) -> None:
    """Writes NAME.qoperator.onnx, NAME.qdq.onnx, NAME.input.npy and NAME.output.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    for form, path in models.items():
        (folder / f"{name}.{form}.onnx").write_bytes(path.read_bytes())
    np.save(folder / f"{name}.input.npy", batch)
    np.save(folder / f"{name}.output.npy", want)


def compare_fixtures(exporter: Exporter, folder: Path) -> list[Verdict]:
    """The models in a folder of fixtures against the outputs beside them."""
    verdicts = []
    for path in sorted(folder.glob("*.onnx")):
        name = path.name.split(".")[0]
        batch, want = (np.load(folder / f"{name}.{kind}.npy") for kind in ("input", "output"))
        with tempfile.TemporaryDirectory() as work:
            compare = lambda: imported(exporter, path, batch, want, Path(work))  # noqa: B023, E731 (called right away)
            verdicts.append(timed(f"fixture {path.name}, {len(batch)} inputs", compare))
    return verdicts


def compare_all(exporter: Exporter, arguments: argparse.Namespace) -> list[Verdict]:
    """The oracle against numpy, and if that holds the networks against the oracle."""
    verdicts = [self_test(name) for name in SELF_TESTS]
    if any(v.reason for v in verdicts):
        return verdicts
    names = [name for name in NETS if arguments.only in name]
    counts = {name: arguments.inputs for name in names}
    if "alexnet" in counts and not arguments.long:
        counts["alexnet"] = min(arguments.inputs, N_INPUTS_ALEXNET)
    # The slowest first.
    names.sort(key=lambda name: name != "alexnet")
    with ThreadPoolExecutor(2) as pool:
        compare = lambda name: list(compare_net(exporter, name, counts[name], arguments.save_fixtures))  # noqa: E731
        for group in pool.map(compare, names):
            verdicts += group
    return verdicts


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", type=Path, default=DEFAULT_EXPORTER, help="the binary (default: %(default)s)")
    parser.add_argument("--inputs", type=int, default=N_INPUTS, help="inputs for each network (default: %(default)s)")
    parser.add_argument("--long", action="store_true", help=f"as many for AlexNet, too (default: {N_INPUTS_ALEXNET})")
    parser.add_argument("--only", default="", metavar="NET", help=f"one of {', '.join(NETS)}")
    parser.add_argument("--save-fixtures", type=Path, metavar="DIR", help="write the small networks' fixtures, too")
    parser.add_argument("--fixtures", type=Path, metavar="DIR", help="compare fixtures only; needs no onnxruntime")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    exporter = Exporter(arguments.exporter)
    if exporter.missing():
        print(exporter.missing(), file=sys.stderr)
        return 2
    if arguments.fixtures:
        verdicts = compare_fixtures(exporter, arguments.fixtures)
    else:
        verdicts = compare_all(exporter, arguments)
    if not verdicts:
        print("nothing to compare", file=sys.stderr)
        return 2
    for v in verdicts:
        print(f"{'FAILED' if v.reason else 'ok':6} {v.name} ({v.seconds:.1f} s){': ' + v.reason if v.reason else ''}")
    failed = sum(bool(v.reason) for v in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
