"""Milliseconds of a forward pass of every published network, as in FCN's table 1, beside what the machine can do at best.

python benchmarks/networks.py [PATTERN] [--runs 5] [--size 500] [--width 1] [--device cpu] [--json]

One square image, 21 classes, random weights, evaluation mode; the image has the side that is asked for or the next one
that the network takes. Networks with batch norms are timed as they are and with the norms folded, all of them in float32
and under bfloat16 autocast, which casts the weights each time, as it does for anyone who predicts one image after the
other. The variants of a network and products of two large matrices take turns, so that whatever else the machine does
meets them all; told are medians. The last column is the network's multiply-adds a second over those of the product in the
same precision. A width of less than 1 narrows networks and matrices: to see that everything runs, not how fast.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pixelwise.geometry import Size
from pixelwise.models.facts import TIMED_SIZE, describe
from pixelwise.models.folding import fold
from pixelwise.models.network import Network
from pixelwise.models.published import create_model, list_models

CLASSES = 21

PRODUCT_SIDE = 2048
"""Of the two square matrices whose product says what the machine can do: large enough that nothing but arithmetic counts."""

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Way = tuple[str, bool | None]
"""A precision, and whether norms are folded; None instead: the product of matrices."""


@dataclass(frozen=True)
class Timing:
    """One network in one way: `rate` is in multiply-adds a second, `share` that rate over the machine's own."""

    network: str
    size: Size
    folded: bool
    precision: str
    multiply_adds: int
    milliseconds: float
    rate: float
    share: float


def measure(name: str, *, runs: int, side: int, width: float, device: torch.device) -> list[Timing]:
    """Time a network in all its ways: medians of `runs`, after one that is not counted."""
    facts = describe(name, CLASSES, size=(side, side), width=width)
    network = create_model(name, CLASSES, width=width).to(device).eval()
    networks = {False: network}
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        networks[True] = fold(network)
    image = torch.rand(1, len(network.fill), *facts.size, device=device) * 255
    edge = max(1, round(PRODUCT_SIDE * width))
    factors = torch.rand(2, edge, edge, device=device)
    calls: dict[Way, Callable[[], Tensor]] = {}
    for precision, kind in PRECISIONS.items():
        calls[precision, None] = partial(torch.mm, *factors.to(kind))
        for folded, variant in networks.items():
            calls[precision, folded] = partial(forward, variant, image, kind)
    seconds = {way: statistics.median(times) for way, times in in_turns(calls, runs, device).items()}

    timings = []
    for (precision, state), took in seconds.items():
        if state is not None:
            rate, best = facts.multiply_adds / took, edge**3 / seconds[precision, None]
            timings.append(
                Timing(name, facts.size, state, precision, facts.multiply_adds, took * 1e3, rate, rate / best)
            )
    return timings


def forward(network: Network, image: Tensor, kind: torch.dtype) -> Tensor:
    """Scores of the image."""
    with torch.autocast(image.device.type, kind, enabled=kind != torch.float32):
        return network(image)


def in_turns(calls: dict[Way, Callable[[], Tensor]], runs: int, device: torch.device) -> dict[Way, list[float]]:
    """Seconds of each call, `runs` times; every call has its turn before any has the next."""
    times: dict[Way, list[float]] = {way: [] for way in calls}
    with torch.inference_mode():
        for number in range(runs + 1):
            for way, call in calls.items():
                begun = now(device)
                call()
                if number:
                    times[way].append(now(device) - begun)
    return times


def now(device: torch.device) -> float:
    """The clock, when all that was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def machine(device: torch.device) -> str:
    """What was measured on, in words."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{platform.machine()}, {os.cpu_count()} cores, {where}, torch {torch.__version__}"


def row(timing: Timing) -> str:
    """A line of the table."""
    work, rate = timing.multiply_adds / 1e9, timing.rate / 1e9
    size = f"{timing.size[0]}x{timing.size[1]}"
    norms = "folded" if timing.folded else "-"
    return (
        f"{timing.network:<28}{size:>8}  {norms:<6}  {timing.precision:<8}"
        f"{work:>9.1f} G{timing.milliseconds:>10.1f}{rate:>9.1f}{timing.share:>9.0%}"
    )


def main() -> None:
    """Measure and print, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="*", help="only names that match, as in a shell: 'fcn*'")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=TIMED_SIZE[0], help="side of the image")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    given = parser.parse_args()
    device = torch.device(given.device)
    if not given.json:
        print(f"{machine(device)}; medians of {given.runs} runs, 1 image, {CLASSES} classes, width {given.width:g}")
        print(f"{'network':<28}{'size':>8}  norms   precision  mult-adds        ms      G/s  of best")
    timings = []
    for name in list_models(given.pattern):
        torch.manual_seed(0)
        timings += (own := measure(name, runs=given.runs, side=given.size, width=given.width, device=device))
        for timing in () if given.json else own:
            print(row(timing), flush=True)
    if given.json:
        facts = {"machine": machine(device), "runs": given.runs, "width": given.width, "classes": CLASSES}
        print(json.dumps({**facts, "timings": [asdict(timing) for timing in timings]}))


if __name__ == "__main__":
    main()
