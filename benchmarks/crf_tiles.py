"""How much a CRF in tiles differs from the whole, by the overlap of the tiles: generated pictures with noisy scores.

python benchmarks/crf_tiles.py [--images 4] [--tile 128] [--preset deeplab_v1]
"""

from __future__ import annotations

import argparse
import platform

import numpy as np

import pixelwise as pw
from pixelwise.data.shapes import CLASSES, Shapes
from pixelwise.refinement.tiles import Tiled

SIZE = 384, 512
OVERLAPS = 0, 25, 50, 100, 150


def main() -> None:
    """Refine each picture as a whole and in tiles, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--tile", type=int, default=128, help="side of a tile in pixels")
    parser.add_argument("--preset", default="deeplab_v1")
    options = parser.parse_args()
    data = Shapes(count=options.images, size=SIZE)
    crf = pw.DenseCRF.preset(options.preset)
    random = np.random.default_rng(0)
    labels, beliefs = ({overlap: [] for overlap in OVERLAPS} for _ in range(2))
    for index in range(options.images):
        sample = data[index]
        truth = sample.labels["main"] == np.arange(len(CLASSES))[:, None, None]
        scores = (truth + random.normal(size=truth.shape)).astype(np.float32)
        whole = crf(sample.image, scores)
        for overlap in OVERLAPS:
            tiled = Tiled(crf, options.tile, overlap)(sample.image, scores)
            labels[overlap].append((tiled.argmax(0) != whole.argmax(0)).mean())
            beliefs[overlap].append(np.abs(np.exp(tiled) - np.exp(whole)).mean())
    print(
        f"Python {platform.python_version()}; {options.images} pictures {SIZE}, tiles of {options.tile}, {options.preset}"
    )
    print("overlap   other labels   mean difference of beliefs")
    for overlap in OVERLAPS:
        print(f"{overlap:7}{np.mean(labels[overlap]):14.3%}{np.mean(beliefs[overlap]):29.6f}")


if __name__ == "__main__":
    main()
