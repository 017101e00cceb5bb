"""Seconds for the 50 windows of an image through DeconvNet: batched, folded and channels-last beside one plain pass each.

python benchmarks/proposals.py [--windows 50] [--batch 10] [--runs 3] [--width 1] [--model DIR --images DIR] [--device cpu]
                               [--processor]

Plain is the network as it is trained, in float32, one window a pass; fast is `WholeImage.faster()` in float32 and in bfloat16,
many windows a pass. All three and the convolution take turns; told are medians after a turn that is not counted. A ratio is
plain over fast. The share is the network's multiply-adds a second over the best convolution's in the same precision: 3x3, 256
to 256 channels, at 56 x 56, as deconv3_1, the mean of ten in a row. Labels agree where fast and plain have the same best class,
by windows of noise through random weights, which says little; with --model and --images, through `ProposalWise` on pictures.

With --processor all times are the processor's and not the clock's: for a machine that others use too, on one thread. Large maps
come from the system anew at every pass, which costs time to clear them, unless glibc is told before the start to keep them:
MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixelwise.data.listing import PICTURE_SUFFIXES
from pixelwise.data.sample import read_image
from pixelwise.inference.loading import load
from pixelwise.inference.predictors import PRECISIONS, WholeImage
from pixelwise.inference.proposal_wise import BATCH, BOXES, SIDE, ProposalWise
from pixelwise.models.facts import describe
from pixelwise.models.folding import reestimate_statistics
from pixelwise.models.precision import has_bfloat16
from pixelwise.models.published import create_model
from pixelwise.proposals.boxes import Proposals
from pixelwise.proposals.edge_boxes import EdgeBoxes

NETWORK, CLASSES = "deconvnet_vgg16", 21
CHANNELS, CELLS = 256, 56
"""Of the convolution that says what the machine can do."""

REPEATED = 10
"""So often it runs in its turn: once is too short to be sure of."""


def random_network(width: float, device: str | None) -> WholeImage:
    """DeconvNet with random weights that keep a signal's size, and norms that have seen noise."""
    torch.manual_seed(0)
    network = create_model(NETWORK, CLASSES, width=width).eval()
    torch.nn.init.normal_(network.decoder.score.weight)
    reestimate_statistics(network, [torch.rand(2, 3, SIDE, SIDE) * 255])
    return WholeImage(network, device)


def in_batches(network: WholeImage, windows: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """The scores of all windows."""
    parts = range(0, len(windows), batch)
    return np.concatenate([network.score(windows[begin : begin + batch]) for begin in parts])


def convolution(precision: str, batch: int, width: float, device: torch.device) -> tuple[Callable[[], object], float]:
    """`REPEATED` convolutions at the machine's best as one call, and the multiply-adds of them all."""
    channels = max(1, round(CHANNELS * width))
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, PRECISIONS[precision])
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    given = torch.rand(batch, channels, CELLS, CELLS, device=device, dtype=PRECISIONS[precision])
    given = given.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> None:
        for _ in range(REPEATED):
            layer(given)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call, REPEATED * batch * 9 * channels**2 * CELLS**2


def in_turns(
    calls: dict[str, Callable[[], object]], runs: int, clock: Callable[[], float]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each call by `clock`, and what it gave last.

    Every call has its turn before any has the next, and the first turns do not count.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    gave: dict[str, Any] = {}
    for run in range(runs + 1):
        for name, call in calls.items():
            begun = clock()
            gave[name] = call()
            if run:
                times[name].append(clock() - begun)
    return {name: statistics.median(own) for name, own in times.items()}, gave


def agreement(plain: WholeImage, images: Path) -> None:
    """Print the share of pixels with the same label, plain and in each fast way: of each picture, and of all."""
    fast = {precision: plain.faster(precision) for precision in PRECISIONS}
    propose = EdgeBoxes()
    same, seen, pixels = dict.fromkeys(fast, 0), set[int](), 0
    for path in sorted(path for path in images.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
        image = read_image(path)
        boxes = propose(image)  # once for every way
        labels = _labels(plain, image, boxes)
        own = {precision: int((_labels(network, image, boxes) == labels).sum()) for precision, network in fast.items()}
        print(f"{path.name}: {_agreeing({*np.unique(labels)}, own, labels.size)}")
        same = {precision: same[precision] + own[precision] for precision in fast}
        seen |= {*np.unique(labels)}
        pixels += labels.size
    print(f"all: {_agreeing(seen, same, pixels)}")


def _labels(network: WholeImage, image: NDArray[np.uint8], boxes: Proposals) -> NDArray[np.intp]:
    return ProposalWise(network, lambda _: boxes)(image).argmax(0)


def _agreeing(classes: set[int], same: dict[str, int], pixels: int) -> str:
    shares = ", ".join(f"{precision} agrees at {count / pixels:.3%} of the pixels" for precision, count in same.items())
    return f"{len(classes)} classes, {shares}"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=BOXES)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--model", help="a trained DeconvNet, for --images")
    parser.add_argument("--images", type=Path, help="a folder of pictures whose labels are compared")
    parser.add_argument("--device")
    parser.add_argument("--processor", action="store_true", help="the processor's seconds, not the clock's")
    given = parser.parse_args()
    plain = random_network(given.width, given.device)
    if not has_bfloat16(plain.device):
        print("bfloat16 is imitated on this device, which takes long", file=sys.stderr)
    fast = {precision: plain.faster(precision) for precision in PRECISIONS}
    windows = np.random.default_rng(0).uniform(0, 255, (given.windows, SIDE, SIDE, 3)).astype(np.float32)
    calls: dict[str, Callable[[], object]] = {"plain": lambda: in_batches(plain, windows, 1)}
    work = {}
    for precision, network in fast.items():
        calls[precision] = lambda network=network: in_batches(network, windows, given.batch)
        calls[f"best {precision}"], work[precision] = convolution(precision, given.batch, given.width, plain.device)
    seconds, scores = in_turns(calls, given.runs, time.process_time if given.processor else time.perf_counter)
    adds = describe(NETWORK, CLASSES, size=(SIDE, SIDE), width=given.width).multiply_adds * given.windows
    where = torch.cuda.get_device_name() if plain.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {where}, torch {torch.__version__}; medians of {given.runs} runs, "
        f"{given.windows} windows, {given.batch} a pass, width {given.width:g}{', processor time' * given.processor}"
    )
    print(f"{'way':<12}{'seconds':>10}{'ratio':>8}{'share of best':>15}{'labels agree':>14}")
    print(f"{'plain':<12}{seconds['plain']:>10.2f}{1:>8.2f}")
    labels = {way: scores[way].argmax(1) for way in ("plain", *fast)}
    for precision in fast:
        share = adds / seconds[precision] / (work[precision] / seconds[f"best {precision}"])
        same = (labels[precision] == labels["plain"]).mean()
        ratio = seconds["plain"] / seconds[precision]
        print(f"{precision:<12}{seconds[precision]:>10.2f}{ratio:>8.2f}{share:>15.0%}{same:>14.2%}")
    if given.model and given.images:
        predictor = load(given.model, device=given.device).predictor
        assert isinstance(predictor, WholeImage), "a network's directory, not a system's"
        agreement(predictor, given.images)


if __name__ == "__main__":
    main()
