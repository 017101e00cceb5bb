"""Seconds a step of our training loop, beside the bare forward, backward and optimiser step on ready batches.

python benchmarks/train.py [--steps 100] [--crop 320] [--batch 8]

Ours is what `pixelwise train` runs: JPEG pictures of 500 x 375 are read, augmented by the recipe `laptop` and collated by
one worker; the loss is checked, the running mean of the weights kept, and every step told. Bare is the same network
under the same precision on batches that lie ready. Both take turns in blocks of ten steps, so that whatever else the
machine does meets both; the first steps of a block are not counted, for the worker gets ahead while the other has its turn.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional

from pixelwise.data.batches import Batch
from pixelwise.data.layouts import open_data
from pixelwise.data.shapes import Shapes
from pixelwise.label_maps import write_label_map
from pixelwise.labels import IGNORE, MAIN, write_classes
from pixelwise.training.loop import Cadence, Learner, Progress, train
from pixelwise.training.plan import Plan, plan
from pixelwise.training.recipe import read_recipe
from pixelwise.training.run import build_batches, build_learner, create_accelerator
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
    """Is told of each of our steps, and takes the bare ones in between; `ours` and `bare` are seconds a step."""

    def __init__(self, bare: Callable[[int], None], device: torch.device) -> None:
        self.ours: list[float] = []
        self.bare: list[float] = []
        self._step = bare
        self._device = device
        self._begun = self._now()

    def tell(self, progress: Progress) -> None:
        """Take the time of our step, and at the end of a block the bare one's turn."""
        place = (progress.step - 1) % BLOCK
        self._took(self.ours, place)
        if place == BLOCK - 1 or progress.step == progress.steps:
            for number in range(place + 1):
                self._begun = self._now()
                self._step(number)
                self._took(self.bare, number)
        self._begun = self._now()

    def _took(self, times: list[float], place: int) -> None:
        if place >= UNCOUNTED:
            times.append(self._now() - self._begun)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def measure(planned: Plan, folder: Path) -> tuple[list[float], list[float], str]:
    """Seconds of our steps and of the bare ones, and the device they ran on."""
    recipe = planned.recipe
    accelerator = create_accelerator(recipe.precision)
    device = accelerator.device
    bare_plan = replace(planned, network=deepcopy(planned.network))
    ours, bare = build_learner(planned, device), build_learner(bare_plan, device)
    bare.network.train()
    batches = build_batches(planned, 0, 1)
    ready = [batches[number].to(device) for number in range(READY)]
    turns = Turns(lambda number: bare_step(bare, ready[number % READY], recipe.precision), device)

    def stream(first: int, last: int) -> Iterable[Batch]:
        return batches.loader(first, last, workers=recipe.workers, pin=device.type == "cuda")

    train(
        ours, stream, accelerator, States(accelerator, folder / "states"),
        Cadence(recipe.steps, recipe.steps, recipe.steps, recipe.accumulate, recipe.clip),
        validate=None, keep=lambda network, progress: None, watch=turns.tell,
    )  # fmt: skip
    return turns.ours, turns.bare, str(device)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help=f"steps of each kind, at least {UNCOUNTED + 1}")
    parser.add_argument("--crop", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    words = (f"steps={max(given.steps, UNCOUNTED + 1)}", f"crop={given.crop}", f"batch_size={given.batch}")
    recipe = read_recipe("laptop", (*words, "init=none", "hold_out=0", "workers=1"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        folder.mkdir()
        write_pictures(folder)
        planned = plan(recipe, lambda split: open_data(folder, split), ())
        ours, bare, device = measure(planned, Path(temporary))
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, {device}, "
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads; {recipe.network}, crop {recipe.crop}, "
        f"batch {recipe.batch_size}, precision {recipe.precision}; {len(ours)} steps counted of each"
    )
    print(f"{'a step':<20}{'median':>9}{'mean':>9}{'least':>9}{'greatest':>10}   seconds")
    for name, times in (("our loop", ours), ("bare", bare)):
        middle = f"{statistics.median(times):>9.3f}{statistics.fmean(times):>9.3f}"
        print(f"{name:<20}{middle}{min(times):>9.3f}{max(times):>10.3f}")
    medians, means = statistics.median(ours) / statistics.median(bare), statistics.fmean(ours) / statistics.fmean(bare)
    print(f"{'ours / bare':<20}{medians:>9.3f}{means:>9.3f}   target: at most 1.10")


if __name__ == "__main__":
    main()
