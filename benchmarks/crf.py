"""The dense CRF beside pydensecrf2: seconds, peak memory and seconds to compile, on the same photograph and scores.

python benchmarks/crf.py [--runs 7] [--scale 1] [--threads 1 2]

Ten iterations of a Gaussian and a bilateral kernel, from image and scores to beliefs, lattices built anew each time. Both
take turns in one process, so that whatever else the machine does meets both; the first call of each does not count, and
what is told are medians. CPU seconds are those of all threads. On the outputs that were timed at least 99.9 % of the labels
must be equal and beliefs differ by at most 1e-3 on average; the script fails otherwise. Peak memory and compilation are
measured in processes of their own: the first as the peak of resident memory during a call less what was resident before,
after a small call has loaded the code (Linux only); the second with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydensecrf.densecrf as theirs
from numpy.typing import NDArray
from PIL import Image

from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.energies import Bilateral, Gaussian
from pixelwise.refinement.lanes import HALF, blocks, rows
from pixelwise.refinement.permutohedral import Lattice

CASES = ((21, 375, 500), (11, 360, 480), (2, 1500, 2000))
"""Classes, height, width: pictures of PASCAL VOC, of CamVid, and a photograph with foreground and background."""

SMOOTH, BILATERAL = Gaussian(3, 3), Bilateral(80, 13, 10)  # Source: the example in pydensecrf's README
ITERATIONS = 10  # Source: DeepLab v1 (Chen et al., ICLR 2015), section 5.1
PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photographs" / "astronaut.jpg"

Case = tuple[int, int, int]


def inputs(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The photograph at the size of the case, and scores of blobs with noise."""
    classes, height, width = case
    with Image.open(PHOTOGRAPH) as picture:
        image = np.array(picture.convert("RGB").resize((width, height)))
    random = np.random.default_rng(0)
    blobs = random.normal(0, 3, (classes, height // 24 + 1, width // 24 + 1)).astype(np.float32)
    scores = blobs.repeat(24, axis=1).repeat(24, axis=2)[:, :height, :width]
    return image, scores + random.normal(0, 1, scores.shape).astype(np.float32)


def energies(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The form in which pydensecrf takes scores; made beforehand, so its time does not count."""
    powers = np.exp(scores - scores.max(axis=0))
    return np.ascontiguousarray(-np.log(powers / powers.sum(axis=0)).reshape(len(scores), -1))


def call_theirs(image: NDArray[np.uint8], energy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Beliefs `(K, N)` by pydensecrf2."""
    height, width = image.shape[:2]
    crf = theirs.DenseCRF2D(width, height, len(energy))
    crf.setUnaryEnergy(energy)
    crf.addPairwiseGaussian(sxy=SMOOTH.std, compat=SMOOTH.weight)
    crf.addPairwiseBilateral(
        sxy=BILATERAL.position_std, srgb=BILATERAL.colour_std, rgbim=image, compat=BILATERAL.weight
    )
    return np.array(crf.inference(ITERATIONS))


def call_ours(image: NDArray[np.uint8], scores: NDArray[np.float32], threads: int | None) -> NDArray[np.float32]:
    """Log-probabilities `(K, H, W)`."""
    return DenseCRF([SMOOTH, BILATERAL], iterations=ITERATIONS, threads=threads)(image, scores)


def timed(call: Callable[[], NDArray]) -> tuple[NDArray, float, float]:
    """What a call gives, its seconds, and its CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def compare(case: Case, threads: list[int], runs: int) -> None:
    """Time both in turn and print a line for each number of threads."""
    image, scores = inputs(case)
    energy = energies(scores)
    calls = {0: partial(call_theirs, image, energy)}
    calls |= {count: partial(call_ours, image, scores, count) for count in threads}
    seconds: dict[int, list[tuple[float, float]]] = {who: [] for who in calls}
    for run in range(runs + 1):
        outputs = {}
        for who, call in calls.items():
            outputs[who], wall, cpu = timed(call)
            if run:
                seconds[who].append((wall, cpu))
        for count in threads:
            equal, difference = agreement(outputs[count], outputs[0])
            assert equal >= 0.999, f"only {equal:.4%} of the labels are equal"
            assert difference <= 1e-3, f"beliefs differ by {difference:.2e}"
    medians = {who: np.median(times, axis=0) for who, times in seconds.items()}
    name = f"{case[0]} classes, {case[2]}x{case[1]}"
    for count in threads:
        equal, difference = agreement(outputs[count], outputs[0])
        ratio, cpu_ratio = medians[0] / medians[count]
        print(
            f"{name:<24}{count:>8}{medians[0][0]:>10.3f}{medians[count][0]:>9.3f}{ratio:>8.2f}{cpu_ratio:>11.2f}"
            f"{equal:>11.4%}{difference:>10.1e}",
            flush=True,
        )


def agreement(ours: NDArray[np.float32], beliefs: NDArray[np.float32]) -> tuple[float, float]:
    """The share of equal labels, and the mean absolute difference of beliefs."""
    own = np.exp(ours).reshape(beliefs.shape)
    return float((own.argmax(0) == beliefs.argmax(0)).mean()), float(np.abs(own - beliefs).mean())


def bytes_moved(case: Case) -> tuple[int, int]:
    """The least that ten iterations read and write, each array of pixels or vertices once a pass; and how many vertices."""
    classes, height, width = case
    image, _ = inputs(case)
    block = rows(blocks(1, classes)).nbytes  # a sum; what else is kept of a pixel or vertex takes `kept`
    kept = blocks(1, classes, HALF).nbytes
    lattices = [Lattice.of(kernel.features((height, width), image)) for kernel in (SMOOTH, BILATERAL)]
    corners = sum(lattice.weights.shape[1] for lattice in lattices)
    vertices = sum(lattice.size for lattice in lattices)
    blurs = sum(lattice.size * len(lattice.neighbours) for lattice in lattices)
    turn = height * width * (kept + 8 * corners) + vertices * (3 * block + 2 * kept) + blurs * (2 * kept + 8)
    ends = height * width * (3 * 4 * classes + 2 * kept + 16 * corners)
    return ITERATIONS * turn + ends, vertices


def copied_bytes_a_second() -> float:
    """What one thread reads and writes when it copies 256 MB."""
    source = np.ones(2**25)
    target = np.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: np.copyto(target, source) or target)[1] for _ in range(5))


def peak_memory(who: str, case: Case) -> float:
    """MB that a call needs at its peak, beyond what was there before: in this process, which should be a fresh one."""
    calls = []
    for size in ((case[0], 24, 32), case):
        image, scores = inputs(size)
        ours, by_them = partial(call_ours, image, scores, None), partial(call_theirs, image, energies(scores))
        calls.append(ours if who == "ours" else by_them)
    calls[0]()
    Path("/proc/self/clear_refs").write_text("5")  # from now on the peak is the peak since now
    before = peak()
    calls[1]()
    return peak() - before


def peak() -> float:
    """The most memory this process has had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def first_calls() -> dict[str, float]:
    """CPU seconds of a first call, and of the first with other numbers of classes."""
    calls = {classes: partial(call_ours, *inputs((classes, 48, 64)), None) for classes in (21, 11, 2)}
    return {f"{classes} classes": timed(call)[2] for classes, call in calls.items()}


def in_a_process(task: str, cache: str | None = None) -> str:
    """What this script prints for `--task`, in a fresh process, with numba's cache in a folder of its own if one is given."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    words = [sys.executable, __file__, "--task", task]
    return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="runs that count")
    parser.add_argument("--scale", type=float, default=1.0, help="of the pictures' sides")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--task", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        name, *words = json.loads(given.task)
        print(json.dumps(first_calls() if name == "compile" else peak_memory(words[0], tuple(words[1]))))
        return
    cases = [(case[0], *(max(24, round(side * given.scale)) for side in case[1:])) for case in CASES]
    print(
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, medians of {given.runs} runs"
    )
    print(
        f"{'':<24}{'threads':>8}{'theirs s':>10}{'ours s':>9}{'ratio':>8}{'CPU ratio':>11}{'labels':>11}{'beliefs':>10}"
    )
    for case in cases:
        compare(case, given.threads, given.runs)
    rate = copied_bytes_a_second()
    for case in cases:
        moved, vertices = bytes_moved(case)
        print(
            f"{case[0]} classes, {case[2]}x{case[1]}: {vertices} vertices; {moved / 1e6:.0f} MB to move at least, "
            f"{moved / rate:.3f} s at the {rate / 1e9:.1f} GB/s of a copy by one thread"
        )
    if Path("/proc/self/clear_refs").exists():
        for case in cases:
            used = {who: json.loads(in_a_process(json.dumps(["memory", who, case]))) for who in ("ours", "theirs")}
            print(
                f"{case[0]} classes, {case[2]}x{case[1]}: peak memory {used['ours']:.0f} MB, theirs {used['theirs']:.0f} MB"
            )
    with tempfile.TemporaryDirectory() as cache:
        for when in ("with an empty cache", "with a full cache"):
            took = json.loads(in_a_process(json.dumps(["compile"]), cache))
            print(f"first calls {when}: " + ", then ".join(f"{what} {s:.1f} CPU s" for what, s in took.items()))


if __name__ == "__main__":
    main()
