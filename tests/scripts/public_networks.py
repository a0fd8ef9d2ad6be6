#!/usr/bin/env python3
"""Compiles and runs public networks, against onnxruntime and tract.

    public_networks.py [--exporter PATH] [--json FILE] [--only SUBSTRING]

The networks are the nine light models of the `onnx` package (backend/test/data/light) and those in tests/fixtures/torchvision,
which PyTorch's exporters wrote. Both kinds come without weights; random_weights.py draws some, so that activations neither vanish
nor overflow. Where the network ends in Softmax, its last layer is scaled so that no probability is rounded away: what is compared
are the probabilities, and an error before Softmax is seen in them about as large.

For each network: `exporter compile --float`, `exporter run` on one random input, and every output within 1e-4 of onnxruntime's
largest magnitude; then `exporter verify --samples 1`, which holds each layer against tract. A network whose output hardly depends on
its input would prove nothing: onnxruntime's outputs for two inputs must differ by 1 % of the largest magnitude.

Exit status: 0 when all networks are within the bounds, else 1; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test

from exporter_cli import DEFAULT_EXPORTER, Exporter, ExporterError
from random_weights import random_inputs, run_onnxruntime, with_random_weights

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"
TORCHVISION = Path(__file__).resolve().parents[1] / "fixtures" / "torchvision"
# Of the tensor's largest magnitude; the bound of f32 on every target.
TOLERANCE = 1e-4
# How far the outputs for two inputs must be apart.
LEAST_CHANGE = 1e-2
N_LIGHT, N_TORCHVISION = 9, 26
# Compiling light_vgg19 takes 1 GiB, besides the model in memory here.
MOST_WORKERS = 4


@dataclass(frozen=True)
class Result:
    """A row of the table; `reason` is empty where all is well."""

    name: str
    nodes: int
    parameters: int
    max_rel_onnxruntime: float | None = None
    max_rel_tract: float | None = None
    compile_s: float | None = None
    peak_rss_bytes: int | None = None
    reason: str = ""


def relative(got: list[np.ndarray], want: list[np.ndarray]) -> float:
    """Largest difference, relative to the tensor's largest magnitude; infinite for another shape or for numbers that are none."""
    if [a.shape for a in got] != [a.shape for a in want]:
        return float("inf")
    worst = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, want))
    return worst if np.isfinite(worst) else float("inf")


def oracle(path: Path, name: str, model: onnx.ModelProto) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """An input and onnxruntime's outputs for it."""
    inputs = random_inputs(model, name)
    outputs = run_onnxruntime(str(path), inputs)
    change = relative(run_onnxruntime(str(path), random_inputs(model, name, 1)), outputs)
    if not LEAST_CHANGE < change < float("inf"):
        raise ValueError(f"not a network to test with: two inputs change its output by {change:.1e}")
    return inputs, outputs


def judge(exporter: Exporter, source: Path, row: Result, model: onnx.ModelProto, work: Path) -> Result:
    """Compiles, runs and verifies one model that has its weights."""
    path, artifact = work / "model.onnx", work / "model.snet"
    onnx.save(model, path)
    inputs, expected = oracle(path, source.stem, model)
    fields = asdict(row)
    try:
        problems = exporter.check(path)
        if problems:
            return Result(**fields | {"reason": "refused: " + "; ".join(sorted({str(p) for p in problems}))})
        compiled = exporter.compile(path, artifact, "--float")
        fields |= {"compile_s": compiled.seconds, "peak_rss_bytes": compiled.peak_rss_bytes}
        error = relative(exporter.run(artifact, list(inputs.values()), len(expected), work), expected)
        fields["max_rel_onnxruntime"] = error
        if not error <= TOLERANCE:
            return Result(**fields | {"reason": f"differs from onnxruntime by {error:.1e}"})
        report = exporter.verify(path, artifact, "--samples", "1")
        fields["max_rel_tract"] = report["max_rel"]
        if not report["ok"]:
            return Result(**fields | {"reason": f"verify: first bad layer {report.get('first_bad_layer')}"})
    except ExporterError as error:
        return Result(**fields | {"reason": str(error)})
    return Result(**fields)


def run_network(exporter: Exporter, source: Path) -> Result:
    """One network, from its file to its row."""
    model = onnx.load(source)
    nodes = sum(node.op_type != "ConstantOfShape" for node in model.graph.node)
    model, parameters = with_random_weights(model, source.stem)
    row = Result(source.stem, nodes, parameters)
    with tempfile.TemporaryDirectory() as work:
        return judge(exporter, source, row, model, Path(work))


def number(value: float | None, form: str, scale: float = 1.0) -> str:
    """A column that may be empty."""
    return "-" if value is None else format(value * scale, form)


def print_table(results: list[Result]) -> None:
    """One line per network, as the table of BENCHMARKS.md, then what went wrong."""
    print("| network | nodes | parameters | onnxruntime | tract | compiling | most memory |\n|" + " --- |" * 7)
    for r in results:
        print(
            f"| {r.name} | {r.nodes} | {r.parameters:,} | {number(r.max_rel_onnxruntime, '.1e')}"
            f" | {number(r.max_rel_tract, '.1e')} | {number(r.compile_s, '.1f')} s"
            f" | {number(r.peak_rss_bytes, '.0f', 2.0**-20)} MiB |"
        )
    for r in results:
        if r.reason:
            print(f"failed: {r.name}: {r.reason}")


def sources(only: str) -> list[Path]:
    """The models' files. A missing one is an error, lest a check vanish with its files."""
    light, torchvision = sorted(LIGHT.glob("light_*.onnx")), sorted(TORCHVISION.glob("*.onnx"))
    if len(light) != N_LIGHT or len(torchvision) != N_TORCHVISION:
        raise FileNotFoundError(f"{len(light)} models in {LIGHT} and {len(torchvision)} in {TORCHVISION}")
    return [path for path in light + torchvision if only in path.stem]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", type=Path, default=DEFAULT_EXPORTER, help="the binary (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table, too")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="networks with this in their names")
    cores = max(1, min(os.cpu_count() or 1, MOST_WORKERS))
    parser.add_argument("--workers", type=int, default=cores, help="networks at a time (default here: %(default)s)")
    arguments = parser.parse_args()
    exporter = Exporter(arguments.exporter)
    paths = sources(arguments.only)
    if exporter.missing() or not paths:
        print(exporter.missing() or f"no network is called {arguments.only}", file=sys.stderr)
        return 2
    # Processes, not threads: drawing weights is Python's own work. A spawned one has no threads of onnxruntime's to inherit.
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        results = list(pool.map(partial(run_network, exporter), paths))
    print_table(results)
    if arguments.json:
        document = {"onnx": onnx.__version__, "tolerance": TOLERANCE, "networks": [asdict(r) for r in results]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    failed = sum(bool(r.reason) for r in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
