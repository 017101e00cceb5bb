"""Seconds a step of our training loop, beside the bare forward, backward and optimiser step on ready batches.

python benchmarks/train.py [--steps 100] [--crop 320] [--batch 8] [--network fcn8s_lite0] [--workers N] [--plain]

Ours is what `pixelwise train` runs: JPEG pictures of 500 x 375 are read, augmented by the recipe `laptop` and collated,
by as many workers as `pixelwise train` takes on this machine; the loss is checked, the running mean of the weights kept,
and every step told. Bare is the same network under the same precision on batches that lie ready; "plain", if asked for,
is bare with PyTorch's own gradients of depthwise convolutions. They take turns in blocks of ten steps, so that whatever else the
machine does meets all; the first steps of a block are not counted, for a worker gets ahead while others have their turn.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from pixelwise.data.batches import Batch
from pixelwise.data.layouts import open_data
from pixelwise.data.shapes import Shapes
from pixelwise.label_maps import write_label_map
from pixelwise.labels import IGNORE, MAIN, write_classes
from pixelwise.models.depthwise import DepthwiseConv2d
from pixelwise.models.network import Network
from pixelwise.training.loop import Cadence, Learner, Progress, train
from pixelwise.training.plan import Plan, plan
from pixelwise.training.recipe import read_recipe
from pixelwise.training.run import build_batches, build_learner, count_workers, create_accelerator
from pixelwise.training.states import States

BLOCK = 10
UNCOUNTED = 3
"""First steps of a block that are left out: a worker holds two batches ready, and one more is under way."""

READY = 4
"""Batches that lie ready for the bare steps."""


def write_pictures(folder: Path, count: int = 40) -> None:
    """A folder of generated pictures as a camera would leave them: JPEG of 500 x 375."""
    shapes = Shapes(count=count, size=(375, 500))
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for sample in shapes:
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.name}.jpg", quality=92)
        write_label_map(folder / "masks" / f"{sample.name}.png", sample.labels[MAIN], shapes.label_spec)
    write_classes(folder / "classes.txt", shapes.label_spec)


def bare_step(learner: Learner, batch: Batch, precision: str) -> None:
    """Forward, backward, optimiser."""
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        scores = learner.network(batch.images)
    functional.cross_entropy(scores.float(), batch.labels[MAIN], ignore_index=IGNORE).backward()
    learner.optimiser.step()
    learner.optimiser.zero_grad()


class Turns:
    """Is told of each of our steps, and takes the others' in between; `seconds` are those of each step, by name."""

    def __init__(self, others: Mapping[str, Callable[[int], None]], device: torch.device) -> None:
        self.seconds: dict[str, list[float]] = {"our loop": [], **{name: [] for name in others}}
        self._others = others
        self._device = device
        self._begun = self._now()

    def tell(self, progress: Progress) -> None:
        """Take the time of our step, and at the end of a block the others' turns."""
        place = (progress.step - 1) % BLOCK
        self._took("our loop", place)
        if place == BLOCK - 1 or progress.step == progress.steps:
            for name, step in self._others.items():
                for number in range(place + 1):
                    self._begun = self._now()
                    step(number)
                    self._took(name, number)
        self._begun = self._now()

    def _took(self, name: str, place: int) -> None:
        if place >= UNCOUNTED:
            self.seconds[name].append(self._now() - self._begun)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def plainly(network: Network) -> Network:
    """A copy whose depthwise convolutions are PyTorch's own."""
    network = deepcopy(network)
    for module in network.modules():
        if isinstance(module, DepthwiseConv2d):
            module.__class__ = nn.Conv2d  # it adds a way to learn, and nothing else
    return network


def measure(planned: Plan, folder: Path, *, with_plain: bool) -> tuple[dict[str, list[float]], str]:
    """Seconds of our steps, of the bare ones and perhaps of the plain ones, and where and in which precision."""
    recipe = planned.recipe
    accelerator = create_accelerator(recipe.precision)
    device = accelerator.device
    copies = {"bare": deepcopy(planned.network)} | ({"plain": plainly(planned.network)} if with_plain else {})
    others = {name: build_learner(replace(planned, network=network), device) for name, network in copies.items()}
    ours = build_learner(planned, device)
    batches = build_batches(planned, 0, 1)
    workers = count_workers(recipe, accelerator)
    ready = [batches[number].to(device) for number in range(READY)]

    def step_of(learner: Learner) -> Callable[[int], None]:
        learner.network.train()
        return lambda number: bare_step(learner, ready[number % READY], accelerator.mixed_precision)

    turns = Turns({name: step_of(learner) for name, learner in others.items()}, device)

    def stream(first: int, last: int) -> Iterable[Batch]:
        return batches.loader(first, last, workers=workers, pin=device.type == "cuda")

    train(
        ours, stream, accelerator, States(accelerator, folder / "states"),
        Cadence(recipe.steps, recipe.steps, recipe.steps, recipe.accumulate, recipe.clip),
        validate=None, keep=lambda network, progress: None, watch=turns.tell,
    )  # fmt: skip
    return turns.seconds, f"{device}, {workers} workers, precision {accelerator.mixed_precision}"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help=f"steps of each kind, at least {UNCOUNTED + 1}")
    parser.add_argument("--crop", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--network", default="fcn8s_lite0")
    parser.add_argument("--workers", type=int, help="of ours; those of `pixelwise train` where it is left out")
    parser.add_argument("--plain", action="store_true", help="also with PyTorch's own depthwise gradients")
    given = parser.parse_args()
    words = (f"steps={max(given.steps, UNCOUNTED + 1)}", f"crop={given.crop}", f"batch_size={given.batch}")
    chosen = (f"network={given.network}", f"workers={'null' if given.workers is None else given.workers}")
    recipe = read_recipe("laptop", (*words, *chosen, "init=none", "hold_out=0"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        folder.mkdir()
        write_pictures(folder)
        planned = plan(recipe, lambda split: open_data(folder, split), ())
        seconds, where = measure(planned, Path(temporary), with_plain=given.plain)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, {where}, "
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads; {recipe.network}, crop {recipe.crop}, "
        f"batch {recipe.batch_size}; {len(seconds['bare'])} steps counted of each"
    )
    print(f"{'a step':<20}{'median':>9}{'mean':>9}{'least':>9}{'greatest':>10}   seconds")
    for name, times in seconds.items():
        middle = f"{statistics.median(times):>9.3f}{statistics.fmean(times):>9.3f}"
        print(f"{name:<20}{middle}{min(times):>9.3f}{max(times):>10.3f}")
    for name in (name for name in seconds if name != "bare"):
        medians, means = (mean(seconds[name]) / mean(seconds["bare"]) for mean in (statistics.median, statistics.fmean))
        target = "   target: at most 1.10" if name == "our loop" else ""
        print(f"{f'{name} / bare':<20}{medians:>9.3f}{means:>9.3f}{target}")


if __name__ == "__main__":
    main()
