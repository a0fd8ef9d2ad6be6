#!/usr/bin/env python3
"""Makes the models in tests/fixtures/torchvision: networks of torchvision as PyTorch's two exporters write them, without weights.

    export_torchvision.py [--out DIR] [NETWORK ..]

Needs torch, torchvision, onnx and onnxscript; run it by hand when a newer exporter is to be covered. Each network becomes
NETWORK.script.onnx (torch.onnx.export with dynamo=False) and NETWORK.dynamo.onnx (dynamo=True), batch 1, all else as the
exporters choose. The graphs are left alone, but for what makes files large: every f32 constant of more than 16 elements becomes
a ConstantOfShape node, as in the light models of the onnx package, and notes on the Python source (doc strings, stack traces,
metadata) are dropped. public_networks.py gives the networks random weights again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import onnx
import torch
import torchvision
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

# name: (side of the input, further arguments of the constructor)
NETWORKS: dict[str, tuple[int, dict[str, bool]]] = {
    "alexnet": (224, {}),
    "vgg11": (224, {}),
    "resnet18": (224, {}),
    "mobilenet_v2": (224, {}),
    "mobilenet_v3_small": (224, {}),
    "squeezenet1_1": (224, {}),
    "densenet121": (224, {}),
    "shufflenet_v2_x1_0": (224, {}),
    "googlenet": (224, {"aux_logits": False, "init_weights": False}),
    "efficientnet_b0": (224, {}),
    "mnasnet0_5": (224, {}),
    "regnet_x_400mf": (224, {}),
    "inception_v3": (299, {"init_weights": False}),
}
KEPT_ELEMENTS = 16
MOST_BYTES = 250_000


def make_distinct(model: torch.nn.Module) -> None:
    """Moves every vector off its initial value: the exporters drop zero biases and merge equal ones, which training would undo."""
    statistics = [buffer for name, buffer in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
    with torch.no_grad():
        for vector in [*statistics, *(p for p in model.parameters() if p.dim() == 1)]:
            vector += 0.1 * torch.rand_like(vector)


def export(network: str, dynamo: bool, folder: Path) -> ModelProto:
    """The model, with weights, as the exporter writes it."""
    side, arguments = NETWORKS[network]
    torch.manual_seed(0)
    model = getattr(torchvision.models, network)(weights=None, **arguments).eval()
    make_distinct(model)
    path = folder / "model.onnx"
    torch.onnx.export(model, (torch.zeros(1, 3, side, side),), str(path), dynamo=dynamo)
    return onnx.load(path)


def is_weight(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and numpy_helper.to_array(tensor).size > KEPT_ELEMENTS


def strip_weights(graph: GraphProto) -> None:
    """Replaces large initializers by ConstantOfShape nodes, which come first as they depend on nothing."""
    kept = [tensor for tensor in graph.initializer if not is_weight(tensor)]
    nodes = []
    for tensor in graph.initializer:
        if is_weight(tensor):
            shape = f"{tensor.name}__SHAPE"
            kept.append(helper.make_tensor(shape, TensorProto.INT64, [len(tensor.dims)], list(tensor.dims)))
            half = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5])
            nodes.append(helper.make_node("ConstantOfShape", [shape], [tensor.name], value=half))
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def strip_notes(model: ModelProto) -> None:
    """Drops what describes where the model came from, and the inferred shapes in between."""
    graph = model.graph
    for thing in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]:
        thing.ClearField("doc_string")
        thing.ClearField("metadata_props")
    graph.ClearField("value_info")
    if any(node.domain for node in graph.node):
        raise ValueError("a node of another domain")
    model.ClearField("functions")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[1] / "fixtures" / "torchvision"
    parser.add_argument("--out", type=Path, default=default, help="folder (default: %(default)s)")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(NETWORKS), help="default: all")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    large = []
    for network in arguments.networks:
        for dynamo in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                model = export(network, dynamo, Path(folder))
            strip_weights(model.graph)
            strip_notes(model)
            onnx.checker.check_model(model, full_check=True)
            path = arguments.out / f"{network}.{'dynamo' if dynamo else 'script'}.onnx"
            onnx.save(model, path)
            print(f"{path.name}: {path.stat().st_size} bytes, opset {model.opset_import[0].version}", flush=True)
            if path.stat().st_size > MOST_BYTES:
                large.append(path.name)
    if large:
        print(f"over {MOST_BYTES} bytes: {', '.join(large)}", file=sys.stderr)
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
