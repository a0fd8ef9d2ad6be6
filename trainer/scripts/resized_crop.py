#!/usr/bin/env python3
"""Means of a million draws of RandomResizedCrop's rule, for the test in trainer/src/augment.rs.

The rule is written here once more, from its description in torchvision's documentation, with numpy's random numbers.
Made with numpy 2.4.6: trainer/scripts/resized_crop.py
"""
import numpy as np

DRAWS = 1_000_000
rng = np.random.default_rng(1)


def draw(width, height):
    """Top, left, width and height of one region."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), w, h
    if width / height < 3 / 4:
        w, h = width, round(width / (3 / 4))
    elif width / height > 4 / 3:
        w, h = round(height * (4 / 3)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, w, h


for width, height in [(256, 256), (500, 375), (64, 300)]:
    sums = np.zeros(4)
    for _ in range(DRAWS):
        top, left, w, h = draw(width, height)
        sums += [w * h / (width * height), np.log(w / h), top / height, left / width]
    print((width, height), [round(float(mean), 6) for mean in sums / DRAWS])
