"""What a dense CRF does for a model on a data set: mean IoU, and accuracy near boundaries, with paired intervals.

python benchmarks/crf_accuracy.py MODEL DATA --crf PRESET [--crf PRESET ...] [--split val] [--keep FILE.npz]

Each image is predicted once, and refined by every preset in turn. The intervals of the differences draw the same images
for both, 1,000 times.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

import numpy as np

import pixelwise as pw
from pixelwise.data.layouts import open_data
from pixelwise.evaluation import bootstrap, boundary, confusion, evaluation
from pixelwise.evaluation.evaluate import match_classes
from pixelwise.labels import IGNORE

BAND = 3
"""Pixels on either side of a boundary."""

PLAIN = "no CRF"


def count(model, data, presets):
    """Tallies `(ways, images, 2, 3, K)` of no CRF and every preset: of all pixels, and of those in the band; and seconds."""
    crfs = {PLAIN: None, **{preset: pw.DenseCRF.preset(preset) for preset in presets}}
    classes = len(model.label_spec)
    tallies = np.zeros((len(crfs), len(data), 2, 3, classes), np.int64)
    seconds = np.zeros(len(crfs))
    for index in range(len(data)):
        sample = data[index]
        truth, scores = sample.labels["main"], model.predictor(sample.image)
        near = np.where(boundary.boundary_distance(truth, BAND) <= BAND, truth, IGNORE)
        for way, crf in enumerate(crfs.values()):
            begin = time.perf_counter()
            labels = (scores if crf is None else crf(sample.image, scores)).argmax(0).astype(np.uint8)
            seconds[way] += time.perf_counter() - begin
            tallies[way, index, 0] = confusion.tally_of(confusion.count_confusion(truth, labels, classes))
            tallies[way, index, 1] = confusion.tally_of(confusion.count_confusion(near, labels, classes))
        if (index + 1) % 20 == 0:
            print(f"{index + 1} of {len(data)}", file=sys.stderr, flush=True)
    return tallies, seconds


def main() -> None:
    """Count, or read what was counted, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--crf", action="append", required=True, metavar="PRESET")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="no more than this, for a try")
    parser.add_argument("--keep", type=Path, help="write the counts here")
    options = parser.parse_args()
    model = pw.load(options.model)
    opened = match_classes(open_data(options.data, options.split), model.label_spec.names).data
    data = opened.subset(opened.names[: options.images])
    tallies, seconds = count(model, data, options.crf)
    if options.keep:
        np.savez_compressed(options.keep, tallies=tallies, ways=[PLAIN, *options.crf], names=data.names)
    classes, none = model.label_spec.names, np.zeros((len(model.label_spec),) * 2, np.int64)

    def counted(way, area):
        return evaluation.Evaluation(classes, tuple(data.names), none, tallies[way, :, area])

    print(f"Python {platform.python_version()}; {len(data)} images of {options.split}; in percent, 95 % intervals")
    measures = (("mean IoU", 0, "mean_iou"), (f"accuracy within {BAND} px", 1, "pixel_accuracy"))
    for way, name in enumerate([PLAIN, *options.crf]):
        print(f"{name}  ({seconds[way] / len(data):.2f} s an image)")
        for words, area, measure in measures:
            one = bootstrap.difference(counted(0, area), counted(way, area), measure)
            value = getattr(confusion.Measures.of_tally(tallies[way, :, area].sum(0)), measure)
            print(
                f"  {words:22}{100 * value:6.2f}  {100 * one.value:+.2f} ({100 * one.low:+.2f} to {100 * one.high:+.2f})"
            )


if __name__ == "__main__":
    main()
