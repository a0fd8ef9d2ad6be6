#!/usr/bin/env python3
"""Checks an ONNX model with tools that are not this project's.

    check_onnx.py MODEL.onnx INPUT.npy EXPECTED.npy

The model must pass onnx.checker with shape inference, and onnxruntime must give the expected output (of the first output, on
the first input) within 1e-4 of its largest magnitude. Where the batch is symbolic, a batch of two must give the same twice.
Exit 0: it does; 1: it does not; 2: wrong usage or a package is missing.
"""

import sys

TOLERANCE = 1e-4


def fail(message):
    print(f"{sys.argv[1]}: {message}", file=sys.stderr)
    return 1


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import numpy
        import onnx
        import onnxruntime
    except ImportError as error:
        print(f"{error}; pip install numpy onnx onnxruntime", file=sys.stderr)
        return 2

    model, x, expected = sys.argv[1], numpy.load(sys.argv[2]), numpy.load(sys.argv[3])
    try:
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:  # Both raise types of their own for an invalid model.
        return fail(f"invalid: {error}")

    source, result = session.get_inputs()[0], session.get_outputs()[0]

    def difference(x, expected):
        y = session.run([result.name], {source.name: x})[0]
        if y.shape != expected.shape:
            return f"output {result.name} is {y.shape}, expected {expected.shape}"
        largest = float(numpy.abs(expected).max())
        error = float(numpy.abs(y - expected).max())
        if not error <= TOLERANCE * largest:
            return f"output {result.name} differs by {error:.3g}, its largest magnitude is {largest:.3g}"
        return None

    problem = difference(x, expected)
    if problem is None and isinstance(source.shape[0], str):
        problem = difference(numpy.concatenate([x, x]), numpy.concatenate([expected, expected]))
    return fail(problem) if problem else 0


if __name__ == "__main__":
    sys.exit(main())
