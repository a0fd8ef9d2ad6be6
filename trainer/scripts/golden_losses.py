#!/usr/bin/env python3
"""Losses and their gradients as PyTorch computes them in binary64, for trainer/tests/losses.rs.

    python3 trainer/scripts/golden_losses.py > trainer/tests/golden/losses.json

Needs torch (made with 2.15.0). Scores are multiples of 1/64, so that binary32 holds them exactly; the same numbers every time.
"""

import json
import sys

import torch
from torch.nn import functional as F


def case(name, loss, scores, targets, smoothing=0.0, weights=None):
    """One loss, its mean over the batch and the gradient with respect to the scores."""
    x = scores.clone().requires_grad_()
    if loss == "cross-entropy":
        given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
        mean = F.cross_entropy(x, targets, weight=given, label_smoothing=smoothing)
    else:
        formula = {"sigmoid": F.binary_cross_entropy_with_logits, "mse": F.mse_loss}[loss]
        whole = targets if targets.is_floating_point() else F.one_hot(targets, x.shape[1]).double()
        mean = formula(x, whole)
    mean.backward()
    return {
        "name": name,
        "loss": loss,
        "label_smoothing": smoothing,
        "class_weights": "none" if weights is None else ",".join(map(str, weights)),
        "outputs": scores.shape[1],
        "scores": scores.flatten().tolist(),
        "values" if targets.is_floating_point() else "classes": targets.flatten().tolist(),
        "mean": mean.item(),
        "gradient": x.grad.flatten().tolist(),
    }


def main():
    generator = torch.Generator().manual_seed(5)
    scores = (torch.randn(5, 6, generator=generator, dtype=torch.float64) * 3 * 64).round() / 64
    classes = torch.tensor([3, 0, 5, 1, 3])
    # Eighths that sum to 1.
    rows = torch.tensor([[8, 0, 0, 0, 0, 0], [1, 2, 3, 1, 1, 0], [0, 4, 0, 4, 0, 0], [2, 2, 1, 1, 1, 1], [0, 0, 0, 0, 0, 8]]) / 8.0
    labels = (torch.rand(5, 6, generator=generator) < 0.4).double()
    numbers = (torch.randn(5, 6, generator=generator, dtype=torch.float64) * 64).round() / 64
    weights = [0.5, 1.0, 2.0, 3.0, 0.25, 0.0]
    rows = rows.double()
    cases = [
        case("classes", "cross-entropy", scores, classes),
        case("classes, smoothed", "cross-entropy", scores, classes, smoothing=0.125),
        case("classes, weighted", "cross-entropy", scores, classes, weights=weights),
        case("classes, smoothed and weighted", "cross-entropy", scores, classes, smoothing=0.125, weights=weights),
        case("probabilities", "cross-entropy", scores, rows),
        case("probabilities, smoothed", "cross-entropy", scores, rows, smoothing=0.125),
        case("probabilities, smoothed and weighted", "cross-entropy", scores, rows, smoothing=0.125, weights=weights),
        case("labels", "sigmoid", scores, labels),
        case("labels, large scores", "sigmoid", scores * 40, labels),
        case("classes as labels", "sigmoid", scores, classes),
        case("numbers", "mse", scores, numbers),
        case("classes as numbers", "mse", scores, classes),
    ]
    made = {"by": "trainer/scripts/golden_losses.py", "torch": torch.__version__.split("+")[0]}
    print('{"made": %s, "cases": [' % json.dumps(made))
    print(",\n".join(json.dumps(c) for c in cases))
    print("]}")


if __name__ == "__main__":
    sys.exit(main())
