"""Seconds and memory of an optimisation step of the full-size DeconvNet, as its recipe has it: 8 batches of 8 windows.

python benchmarks/deconvnet.py [--steps 1] [--batch 8] [--accumulate 8] [--width 1] [--recipe deconvnet_stage1_voc]

A step is loss, gradients and the optimiser's update, on windows around generated objects that lie ready. One step is taken first
that does not count. Its time grows in proportion with the batches of a step and its memory does not, so `--accumulate 1`
says enough where time is short. Told is the largest memory that the process ever had: on a GPU also what it took there.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch

from pixelwise.data.batches import Batch
from pixelwise.data.shapes import Shapes
from pixelwise.training.loop import Trainee, learn
from pixelwise.training.plan import Plan, plan
from pixelwise.training.recipe import read_recipe
from pixelwise.training.run import build_batches, build_learner, create_accelerator
from pixelwise.training.windows import with_windows

GIB = 2**30


def measure(planned: Plan, steps: int) -> tuple[list[float], torch.device]:
    """Seconds of each step but the first, and the device they ran on."""
    recipe = planned.recipe
    accelerator = create_accelerator(recipe.precision)
    learner = build_learner(planned, accelerator.device)
    trainee, optimiser = accelerator.prepare(Trainee(learner.network, learner.objective), learner.optimiser)
    trainee.train()
    batches = build_batches(planned, 0, 1)
    group: list[Batch] = [batches[number].to(accelerator.device) for number in range(recipe.accumulate)]
    seconds = []
    for _ in range(steps + 1):
        begun = time.perf_counter()
        learn(accelerator, trainee, learner.objective, group, recipe.divide_by)
        optimiser.step()
        optimiser.zero_grad()
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize(accelerator.device)
        seconds.append(time.perf_counter() - begun)
        print(f"{seconds[-1]:.1f} s", flush=True)
    return seconds[1:] or seconds, accelerator.device


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1, help="steps that count")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=8)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--recipe", default="deconvnet_stage1_voc")
    given = parser.parse_args()
    words = (
        "init=none", "split=null", "select=train", "hold_out=0", "schedule=constant", "workers=0",
        f"options={{width: {given.width}}}", f"batch_size={given.batch}", f"accumulate={given.accumulate}",
    )  # fmt: skip
    recipe = read_recipe(given.recipe, words)
    with tempfile.TemporaryDirectory() as temporary:
        planned = with_windows(plan(recipe, lambda _: Shapes(20, size=(375, 500)), ()), Path(temporary) / "windows.npz")
        seconds, device = measure(planned, given.steps)
    parameters = sum(parameter.numel() for parameter in planned.network.parameters())
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, {device}, {os.cpu_count()} "
        f"cores, {torch.get_num_threads()} threads; {given.recipe}, {parameters:,} parameters"
    )
    print(
        f"a step of {given.accumulate} x {given.batch} windows: {statistics.median(seconds):.1f} s, median of {len(seconds)}"
    )
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB:.2f} GiB at most")
    if device.type == "cuda":
        print(f"on the GPU: {torch.cuda.max_memory_allocated(device) / GIB:.2f} GiB at most")


if __name__ == "__main__":
    main()
