#!/usr/bin/env python3
"""Runs ONNX's own backend node tests through the exporter and the runtime.

    node_tests.py [--exporter PATH] [--json FILE] [--update] [--verbose] [--only SUBSTRING]

The tests are the folders `test_*` under `backend/test/data/node` of the `onnx` package: a model, its inputs, its outputs.

Selected is a test that meets all of these:

1. every node's operator is in OPERATORS below. So a test `.._expanded`, in which the operator is replaced by the nodes of its
   function body, is selected when all of those are in the list;
2. inputs and outputs are tensors (no sequences, no optionals), and every float tensor is f32: none is f16, bf16, f64, f8 or f4,
   and no integer tensor has 2, 4 or 16 bits;
3. every input, output and constant has a rank of at most 4;
4. it is inference: no BatchNormalization with training_mode or with outputs of statistics, no Dropout with training_mode true;
5. what is computed is f32: the first input (if it is an activation, see below) and the first output. Exceptions: the output of
   ArgMax is i64; a model with QuantizeLinear, DequantizeLinear or a QLinear operator may have u8 and i8. Second outputs (the
   indices of MaxPool, the mask of Dropout) may be anything: they are to be right or to be refused.

Activations stay inputs: the first input when it is f32 (or u8/i8, for the quantized operators), and all f32 inputs of Add, Sub,
Mul, Sum and Concat. Everything else (weights, scales, shapes, axes, bounds, ..) becomes a constant, with `--bind` and the values
of test_data_set_0; a further data set with other values for a bound input is compiled anew.

A test passes when `exporter check` and `exporter compile` accept the model and `exporter run` gives the expected outputs for
every data set: same shape, same type, f32 within the tolerances of the backend runner (rtol 1e-3, atol 1e-7, or the test's own
data.json), integers exactly. It is refused when `exporter check` says so and names operator and reason. Anything else is a failure.
node_tests_refused.txt lists what may be refused; --update rewrites it.

Exit status: 0 when nothing failed and nothing but what is listed was refused, else 1; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
from onnx import ModelProto, TensorProto, numpy_helper

from exporter_cli import DEFAULT_EXPORTER, Exporter, ExporterError

OPERATORS = frozenset(
    """
    Conv Gemm MatMul MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool LRN BatchNormalization Relu LeakyRelu PRelu Clip
    HardSigmoid HardSwish Sigmoid Tanh Softmax Add Sum Mul Sub Div Concat Split Slice Flatten Reshape Squeeze Unsqueeze Transpose
    Pad Dropout Identity Constant ConstantOfShape ReduceMean ArgMax Resize QuantizeLinear DequantizeLinear QLinearConv
    QLinearMatMul
    """.split()
)
QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"})
ALL_INPUTS_ARE_ACTIVATIONS = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Concat"})
BYTES = frozenset({TensorProto.UINT8, TensorProto.INT8})
# Shapes, axes, indices and masks; what is computed with is looked at by itself.
PLAIN_TYPES = BYTES | {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
HIGHEST_RANK = 4
RTOL, ATOL = 1e-3, 1e-7

DATA = Path(onnx.backend.test.__file__).parent / "data" / "node"
REFUSED_LIST = Path(__file__).with_name("node_tests_refused.txt")


@dataclass(frozen=True)
class Result:
    """What became of one test. `verdict`: passed, refused or failed."""

    name: str
    verdict: str
    reason: str = ""


def type_name(element_type: int) -> str:
    return TensorProto.DataType.Name(element_type).lower()


def constants(model: ModelProto) -> list[TensorProto]:
    """Initializers and the tensors of Constant nodes."""
    attributes = [a for node in model.graph.node for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
    return [*model.graph.initializer, *(a.t for a in attributes)]


def is_quantized(model: ModelProto) -> bool:
    return any(node.op_type in QUANTIZED for node in model.graph.node)


def activations(model: ModelProto) -> set[str]:
    """The graph inputs that stay inputs."""
    inputs = list(model.graph.input)
    wide = any(node.op_type in ALL_INPUTS_ARE_ACTIVATIONS for node in model.graph.node)
    kinds = {TensorProto.FLOAT} | (BYTES if is_quantized(model) else set())
    candidates = inputs if wide else inputs[:1]
    return {value.name for value in candidates if value.type.tensor_type.elem_type in kinds}


def training(model: ModelProto, folder: Path) -> str | None:
    """Why the model is not inference, if it is not."""
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "BatchNormalization":
            if len(node.output) > 1 or ("training_mode" in attributes and attributes["training_mode"].i):
                return "BatchNormalization in training mode"
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            names = [value.name for value in model.graph.input]
            if load_tensors(folder / "test_data_set_0", "input")[names.index(node.input[2])]:
                return "Dropout in training mode"
    return None


def wrong_type(model: ModelProto) -> str | None:
    """Why the model's types are not those of the selection, if they are not."""
    values = [*model.graph.input, *model.graph.output]
    if any(value.type.WhichOneof("value") != "tensor_type" for value in values):
        return "a sequence or an optional"
    types = [value.type.tensor_type.elem_type for value in values] + [tensor.data_type for tensor in constants(model)]
    odd = sorted({type_name(t) for t in types if t not in PLAIN_TYPES})
    if odd:
        return f"type {', '.join(odd)}"
    computed = {TensorProto.FLOAT} | (BYTES if is_quantized(model) else set())
    result = model.graph.output[0]
    makes_indices = any(node.op_type == "ArgMax" and result.name in node.output for node in model.graph.node)
    if result.type.tensor_type.elem_type not in (computed | {TensorProto.INT64} if makes_indices else computed):
        return f"computes {type_name(result.type.tensor_type.elem_type)}"
    return None


def why_not_selected(model: ModelProto, folder: Path) -> str | None:
    """The first rule of the module's description that a test does not meet."""
    others = sorted({node.op_type for node in model.graph.node} - OPERATORS)
    if others:
        return f"operator {', '.join(others)}"
    wrong = wrong_type(model)
    if wrong:
        return wrong
    ranks = [len(value.type.tensor_type.shape.dim) for value in [*model.graph.input, *model.graph.output]]
    ranks += [len(tensor.dims) for tensor in constants(model)]
    if max(ranks) > HIGHEST_RANK:
        return f"rank {max(ranks)}"
    return training(model, folder)


def load_tensors(data_set: Path, kind: str) -> list[np.ndarray]:
    """The files input_0.pb, input_1.pb, .. or output_0.pb, .. of a data set."""
    paths = [data_set / f"{kind}_{i}.pb" for i in range(len(list(data_set.glob(f"{kind}_*.pb"))))]
    return [numpy_helper.to_array(TensorProto.FromString(path.read_bytes())) for path in paths]


def tolerances(folder: Path) -> tuple[float, float]:
    """The runner's, unless the test states its own."""
    path = folder / "data.json"
    stated = json.loads(path.read_text()) if path.is_file() else {}
    return stated.get("rtol", RTOL), stated.get("atol", ATOL)


def difference(got: np.ndarray, want: np.ndarray, rtol: float, atol: float) -> str | None:
    """How a result differs from the expected one, if it does."""
    if got.shape != want.shape:
        return f"has shape {list(got.shape)}, expected {list(want.shape)}"
    if got.dtype != want.dtype:
        return f"is {got.dtype}, expected {want.dtype}"
    if want.dtype.kind == "f":
        wrong = ~np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
        largest = np.abs(got - want).max(initial=0)
    else:
        wrong = got != want
        largest = np.abs(got.astype(np.int64) - want.astype(np.int64)).max(initial=0)
    return f"differs in {wrong.sum()} of {wrong.size} values, by up to {largest:.3g}" if wrong.any() else None


def run_data_set(exporter: Exporter, model: ModelProto, folder: Path, data_set: Path, work: Path) -> Result:
    """Checks, compiles and runs one test with one data set."""
    name = folder.name
    arrays = dict(zip((value.name for value in model.graph.input), load_tensors(data_set, "input"), strict=True))
    live = activations(model)
    binds = {value: work / f"bind_{i}.npy" for i, value in enumerate(arrays) if value not in live}
    for value, path in binds.items():
        np.save(path, arrays[value])

    path, artifact = folder / "model.onnx", work / "model.snet"
    problems = exporter.check(path, binds)
    if problems:
        return Result(name, "refused", "; ".join(sorted({str(problem) for problem in problems})))
    exporter.compile(path, artifact, *([] if is_quantized(model) else ["--float"]), binds=binds)
    expected = load_tensors(data_set, "output")
    outputs = exporter.run(artifact, [arrays[value] for value in arrays if value in live], len(expected), work)
    rtol, atol = tolerances(folder)
    for value, got, want in zip(model.graph.output, outputs, expected, strict=True):
        wrong = difference(got, want, rtol, atol)
        if wrong:
            return Result(name, "failed", f"output {value.name} {wrong}")
    return Result(name, "passed")


def run_test(exporter: Exporter, folder: Path) -> Result:
    """All data sets of one test; the first that does not pass decides."""
    model = onnx.load(folder / "model.onnx")
    result = Result(folder.name, "failed", "no data set")
    for data_set in sorted(folder.glob("test_data_set_*")):
        with tempfile.TemporaryDirectory() as work:
            try:
                result = run_data_set(exporter, model, folder, data_set, Path(work))
            except ExporterError as error:
                result = Result(folder.name, "failed", str(error))
        if result.verdict != "passed":
            return result
    return result


def select(only: str) -> tuple[list[Path], dict[str, str]]:
    """The tests to run, and the others with the rule that each does not meet."""
    chosen: list[Path] = []
    left_out: dict[str, str] = {}
    for folder in sorted(path.parent for path in DATA.glob("test_*/model.onnx")):
        if only not in folder.name:
            continue
        reason = why_not_selected(onnx.load(folder / "model.onnx"), folder)
        if reason is None:
            chosen.append(folder)
        else:
            left_out[folder.name] = reason
    return chosen, left_out


def read_refused() -> set[str]:
    """The names in the committed list."""
    if not REFUSED_LIST.is_file():
        return set()
    lines = (line.split("#", 1)[0].strip() for line in REFUSED_LIST.read_text().splitlines())
    return {line for line in lines if line}


def write_refused(results: list[Result]) -> None:
    """The list as it is now, one `test_name  # reason` a line."""
    head = "# Node tests of ONNX that are refused by name; written by node_tests.py --update.\n"
    lines = [f"{r.name}  # {r.reason}\n" for r in results if r.verdict == "refused"]
    REFUSED_LIST.write_text(head + "".join(lines))


def print_grouped(title: str, reasons: dict[str, str]) -> None:
    """Names by reason, the most frequent reason first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        groups[reason].append(name)
    print(f"\n{title}:")
    for reason, names in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        print(f"  {len(names):4} {reason}: {', '.join(names)}")


def report(results: list[Result], listed: set[str], left_out: dict[str, str], arguments: argparse.Namespace) -> list[str]:
    """Prints everything; returns the names that make the run a failure."""
    by_verdict = {verdict: [r for r in results if r.verdict == verdict] for verdict in ("passed", "refused", "failed")}
    if arguments.verbose:
        print_grouped("not selected", left_out)
        for result in by_verdict["passed"]:
            print(f"passed: {result.name}")
    if by_verdict["refused"]:
        print_grouped("refused by name", {r.name: r.reason for r in by_verdict["refused"]})
    for result in by_verdict["failed"]:
        print(f"failed: {result.name}: {result.reason}")
    new = [r.name for r in by_verdict["refused"] if r.name not in listed]
    for name in new:
        print(f"failed: {name} is refused and not in {REFUSED_LIST.name}")
    for result in by_verdict["passed"]:
        if result.name in listed:
            print(f"note: {result.name} passes, although {REFUSED_LIST.name} lists it; --update removes it")
    counts = ", ".join(f"{len(group)} {verdict}" for verdict, group in by_verdict.items())
    print(f"\n{len(results)} node tests: {counts} ({len(left_out)} not selected)")
    return [r.name for r in by_verdict["failed"]] + new


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", type=Path, default=DEFAULT_EXPORTER, help="the binary (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results, too")
    parser.add_argument("--update", action="store_true", help=f"rewrite {REFUSED_LIST.name}")
    parser.add_argument("--verbose", action="store_true", help="say why other tests are not selected, name those that passed")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="tests with this in their names")
    parser.add_argument("--list", action="store_true", help="print the selected tests and run none")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.update and arguments.only:
        parser.error("--update needs all tests, --only runs some")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    folders, left_out = select(arguments.only)
    if not folders:
        print(f"no test in {DATA} is selected", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(folder.name for folder in folders))
        return 0
    exporter = Exporter(arguments.exporter)
    if exporter.missing():
        print(exporter.missing(), file=sys.stderr)
        return 2
    with ThreadPoolExecutor(arguments.workers) as pool:
        results = list(pool.map(lambda folder: run_test(exporter, folder), folders))
    if arguments.update:
        write_refused(results)
    bad = report(results, read_refused(), left_out, arguments)
    if arguments.json:
        document = {"onnx": onnx.__version__, "results": [asdict(r) for r in results], "not_selected": left_out}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(results) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
