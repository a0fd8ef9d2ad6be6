#!/usr/bin/env python3
"""Prints what TensorBoard's own reader finds in a folder of event files.

    python3 trainer/scripts/check_tensorboard.py RUN/tensorboard [--json]

A line for every scalar: tag, number of points, first and last step and value. With --json one object instead:
{"scalars": {TAG: [[step, value], ..]}, "histograms": {TAG: [[step, num, sum, min, max], ..]}}. Needs tensorboard (2.21.0).
"""

import argparse
import json
import sys

from tensorboard.backend.event_processing import event_accumulator


def histogram(event):
    """Step and summary of one histogram."""
    h = event.histogram_value
    return [event.step, h.num, h.sum, h.min, h.max]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    # 0: every point is kept.
    kinds = (event_accumulator.SCALARS, event_accumulator.HISTOGRAMS)
    events = event_accumulator.EventAccumulator(arguments.folder, size_guidance={kind: 0 for kind in kinds})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]}
    histograms = {tag: [histogram(e) for e in events.Histograms(tag)] for tag in tags["histograms"]}
    if arguments.json:
        print(json.dumps({"scalars": scalars, "histograms": histograms}))
        return 0
    for tag, points in sorted(scalars.items()):
        (first, value), (last, end) = points[0], points[-1]
        print(f"{tag}: {len(points)} points, step {first}: {value:.6g}, step {last}: {end:.6g}")
    for tag, points in sorted(histograms.items()):
        print(f"{tag}: {len(points)} histograms, steps {points[0][0]} to {points[-1][0]}")
    return 0 if scalars or histograms else 1


if __name__ == "__main__":
    sys.exit(main())
