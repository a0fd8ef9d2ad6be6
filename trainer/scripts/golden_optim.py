#!/usr/bin/env python3
"""Writes tests/golden/optim.json: what PyTorch's optimisers make of two parameters and given gradients.

    python3 trainer/scripts/golden_optim.py trainer/tests/golden/optim.json

A fully connected layer, weight [2, 3] and bias [2]. Each case has PyTorch's own names for its arguments and is run for 20 steps;
the parameters (weight, then bias) are written after steps 1, 5 and 20. Step i takes gradient i, or, accumulating over four
batches, the mean of gradients 4i to 4i+3. Everything is computed in binary64, so that what differs is ours.
"""
import json
import sys

import numpy
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

STEPS, BATCHES = 20, 4
SHOWN = (1, 5, 20)
SHAPES = {"fc.weight": (2, 3), "fc.bias": (2,)}

CASES = {
    "sgd": ("SGD", dict(lr=0.1)),
    "sgd l2": ("SGD", dict(lr=0.1, weight_decay=0.05)),
    "sgd momentum": ("SGD", dict(lr=0.05, momentum=0.9)),
    "sgd momentum l2": ("SGD", dict(lr=0.05, momentum=0.9, weight_decay=0.05)),
    "sgd nesterov": ("SGD", dict(lr=0.05, momentum=0.9, nesterov=True)),
    "sgd nesterov l2": ("SGD", dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.05)),
    "adam": ("Adam", dict(lr=0.02)),
    "adam l2": ("Adam", dict(lr=0.02, weight_decay=0.05)),
    "adam betas eps": ("Adam", dict(lr=0.02, betas=(0.8, 0.95), eps=1e-3)),
    "adam decoupled": ("Adam", dict(lr=0.02, weight_decay=0.05, decoupled_weight_decay=True)),
    "adamw": ("AdamW", dict(lr=0.02, weight_decay=0.05)),
    "rmsprop": ("RMSprop", dict(lr=0.01)),
    "rmsprop l2": ("RMSprop", dict(lr=0.01, weight_decay=0.05)),
    "rmsprop alpha eps": ("RMSprop", dict(lr=0.01, alpha=0.9, eps=1e-2)),
    "rmsprop momentum": ("RMSprop", dict(lr=0.005, momentum=0.9)),
    "rmsprop centered": ("RMSprop", dict(lr=0.01, centered=True)),
    "rmsprop centered momentum l2": ("RMSprop", dict(lr=0.005, centered=True, momentum=0.9, weight_decay=0.05)),
}
# What is said beside the optimiser's arguments.
BESIDE = {
    "sgd momentum": [dict(clip_norm=1.5), dict(clip_value=0.4), dict(clip_norm=1.5, clip_value=0.4), dict(ema=0.9),
                     dict(batches=BATCHES), dict(batches=BATCHES, clip_norm=0.7)],
    "adam": [dict(clip_norm=1.5), dict(clip_value=0.4), dict(batches=BATCHES), dict(ema=0.9)],
    "adamw": [dict(clip_norm=1.5), dict(batches=BATCHES)],
    "rmsprop": [dict(clip_norm=1.5), dict(clip_value=0.4), dict(batches=BATCHES)],
}


class Layer(torch.nn.Module):
    def __init__(self, first):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2, dtype=torch.float64)
        for name, parameter in self.named_parameters():
            parameter.data.copy_(torch.tensor(first[name], dtype=torch.float64).reshape(parameter.shape))


def values(tensors):
    return [float(v) for tensor in tensors for v in tensor.detach().flatten()]


def run(first, gradients, optimizer, arguments, clip_norm=None, clip_value=None, ema=None, batches=1):
    model = Layer(first)
    parameters = [model.fc.weight, model.fc.bias]
    optimizer = getattr(torch.optim, optimizer)(parameters, **arguments)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    if averaged:
        averaged.n_averaged += 1  # The average begins as a copy of the first parameters.
    shown, averages, norms = {}, {}, []
    for step in range(STEPS):
        optimizer.zero_grad()
        for row in gradients[step * batches : (step + 1) * batches]:
            parts = torch.tensor(row, dtype=torch.float64).split([6, 2])
            # The gradient of a mean over batches is what loss / batches has.
            sum(((p.flatten() * g).sum() for p, g in zip(parameters, parts))).div(batches).backward()
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in parameters])))
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        if clip_value:
            torch.nn.utils.clip_grad_value_(parameters, clip_value)
        optimizer.step()
        if averaged:
            averaged.update_parameters(model)
        if step + 1 in SHOWN:
            shown[step + 1] = values(parameters)
            if averaged:
                averages[step + 1] = values([averaged.module.fc.weight, averaged.module.fc.bias])
    return dict(parameters=shown, averages=averages, norms=norms)


def f32(array):
    return [float(v) for v in numpy.asarray(array, dtype=numpy.float32)]


def main():
    rng = numpy.random.default_rng(5)
    # Multiples of 1 / 256: exact in every format, and short.
    first = {name: f32(numpy.round(rng.normal(size=numpy.prod(shape)) * 256) / 256) for name, shape in SHAPES.items()}
    gradients = [f32(numpy.round((rng.normal(size=8) + 0.3) * 256) / 256) for _ in range(STEPS * BATCHES)]
    cases = []
    for name, (optimizer, arguments) in CASES.items():
        for beside in [{}] + BESIDE.get(name, []):
            result = run(first, gradients, optimizer, arguments, **beside)
            cases.append(dict(optimizer=optimizer, **arguments, **beside, **result))
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    rows = ",\n".join("    " + json.dumps(row) for row in gradients)
    made = f'"made_with": "torch {torch.__version__}, numpy {numpy.__version__}"'
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(f'{{\n  {made},\n  "first": {json.dumps(first)},\n  "gradients": [\n{rows}\n  ],\n  "cases": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
