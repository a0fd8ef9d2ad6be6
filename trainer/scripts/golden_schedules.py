#!/usr/bin/env python3
"""Writes tests/golden/schedules.json: the rates that PyTorch's schedulers give at every step of a training of 6 epochs.

    python3 trainer/scripts/golden_schedules.py trainer/tests/golden/schedules.json

Each case has the options of our own that say the same. `watched` are values of a metric after each epoch.
"""
import json
import sys

import torch
from torch.optim import lr_scheduler as torch_schedules

EPOCHS, STEPS = 6, 5
TOTAL = EPOCHS * STEPS
LR = 0.4

LOSSES = [1.0, 0.9, 0.89999, 0.95, 0.91, 0.9]
ACCURACIES = [0.5, 0.6, 0.60001, 0.7, 0.65, 0.69]

# Name, our options, PyTorch's scheduler, and whether it is stepped every epoch instead of every step.
CASES = [
    (dict(schedule="constant"), lambda o: torch_schedules.ConstantLR(o, factor=1.0), False),
    (dict(schedule="step", step_epochs=[2, 5], step_factor=0.3), lambda o: torch_schedules.MultiStepLR(o, [2, 5], 0.3), True),
    (dict(schedule="step", step_every=2, step_factor=0.5), lambda o: torch_schedules.StepLR(o, 2, 0.5), True),
    (dict(schedule="exponential", gamma=0.8), lambda o: torch_schedules.ExponentialLR(o, 0.8), True),
    (dict(schedule="cosine"), lambda o: torch_schedules.CosineAnnealingLR(o, TOTAL), False),
    (dict(schedule="cosine", lr_min=0.03), lambda o: torch_schedules.CosineAnnealingLR(o, TOTAL, eta_min=0.03), False),
    (dict(schedule="polynomial"), lambda o: torch_schedules.PolynomialLR(o, TOTAL, 1.0), False),
    (dict(schedule="polynomial", power=2.5), lambda o: torch_schedules.PolynomialLR(o, TOTAL, 2.5), False),
    (dict(schedule="one-cycle"), lambda o: torch_schedules.OneCycleLR(o, LR, TOTAL, cycle_momentum=False), False),
    (dict(schedule="one-cycle", warmup=0.45),
     lambda o: torch_schedules.OneCycleLR(o, LR, TOTAL, pct_start=0.45, cycle_momentum=False), False),
]
PLATEAUS = [
    ("lower", LOSSES, dict(plateau_factor=0.3, plateau_patience=1), dict(factor=0.3, patience=1)),
    ("lower", LOSSES, dict(plateau_factor=0.5, plateau_patience=0, lr_min=0.11), dict(factor=0.5, patience=0, min_lr=0.11)),
    ("higher", ACCURACIES, dict(plateau_factor=0.1, plateau_patience=0), dict(factor=0.1, patience=0)),
    ("higher", ACCURACIES, dict(plateau_factor=0.1, plateau_patience=0, plateau_threshold=0.2),
     dict(factor=0.1, patience=0, threshold=0.2)),
]


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def rates(make, every_epoch, warmup=0):
    optim = optimizer()
    # A warm-up multiplies: LinearLR from 1 / n to 1, beside the schedule. Epochs stay the training's.
    warm = optimizer()
    factor = torch_schedules.LinearLR(warm, start_factor=1 / warmup, total_iters=warmup - 1) if warmup else None
    scheduler = make(optim)
    result = []
    for step in range(TOTAL):
        share = warm.param_groups[0]["lr"] / LR if factor else 1.0
        result.append(optim.param_groups[0]["lr"] * share)
        optim.step()
        warm.step()
        if factor:
            factor.step()
        if not every_epoch or (step + 1) % STEPS == 0:
            scheduler.step()
    return result


def plateau(mode, watched, arguments):
    optim = optimizer()
    mode = {"lower": "min", "higher": "max"}[mode]
    scheduler = torch_schedules.ReduceLROnPlateau(optim, mode=mode, **arguments)
    result = []
    for value in watched:
        result += [optim.param_groups[0]["lr"]] * STEPS
        scheduler.step(value)
    return result


def main():
    cases = []
    for options, make, every_epoch in CASES:
        cases.append(dict(options=options, rates=rates(make, every_epoch)))
    for options, make, every_epoch in (CASES[0], CASES[1], CASES[4], CASES[8]):
        cases.append(dict(options=dict(options, warmup_steps=7), rates=rates(make, every_epoch, 7)))
    cases.append(dict(options=dict(CASES[3][0], warmup_epochs=2), rates=rates(CASES[3][1], True, 2 * STEPS)))
    for better, watched, options, arguments in PLATEAUS:
        found = plateau(better, watched, arguments)
        cases.append(dict(options=dict(options, schedule="plateau"), better=better, watched=watched, rates=found))
    for case in cases:
        case["options"]["lr"] = LR
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        made = f'"made_with": "torch {torch.__version__}", "epochs": {EPOCHS}, "steps_per_epoch": {STEPS}'
        file.write(f'{{\n  {made},\n  "cases": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
