"""Seconds to evaluate CamVid's test images with FCN-8s on EfficientNet-Lite0, beside the bare forward passes.

python benchmarks/evaluate.py [--images 233]

Ours is `evaluate`: files are read, images predicted at their own size, the confusion matrix and each image's counts made,
and the measures computed with their intervals. Bare is the same network on the same images, which lie ready as tensors
of the size it takes. Both take turns in blocks of ten images, so that whatever else the machine does meets both; the
first block does not count. CamVid is found through PIXELWISE_DATA; without it, generated pictures of its size stand in.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from pixelwise.data.dataset import DataSet
from pixelwise.data.layouts import open_data
from pixelwise.data.shapes import Shapes
from pixelwise.evaluation.bootstrap import MEASURES, interval
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.evaluation import Evaluation
from pixelwise.geometry import Box, crop
from pixelwise.inference.predictors import WholeImage
from pixelwise.label_maps import write_label_map
from pixelwise.labels import MAIN, write_classes
from pixelwise.models.published import create_model

BLOCK = 10
SIZE = (360, 480)
"""Height and width of CamVid's pictures."""


def generated(folder: Path, count: int) -> DataSet:
    """Pictures of CamVid's size as JPEG, with their masks."""
    shapes = Shapes(count=count, size=SIZE)
    (folder / "images").mkdir()
    for sample in shapes:
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.name}.jpg", quality=92)
        write_label_map(folder / "masks" / f"{sample.name}.png", sample.labels[MAIN], shapes.label_spec)
    write_classes(folder / "classes.txt", shapes.label_spec)
    return open_data(folder)


def ready(predictor: WholeImage, data: DataSet) -> list[torch.Tensor]:
    """The images as the network is given them."""
    network, tensors = predictor.network, []
    for index in range(len(data)):
        image = data[index].image
        padded = crop(image, Box(0, 0, *network.sizes.padded(image.shape[:2])), network.fill)
        tensors.append(torch.from_numpy(padded).permute(2, 0, 1)[None].float().to(predictor.device))
    return tensors


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long something takes, the GPU's part included."""
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def measure(predictor: WholeImage, data: DataSet) -> tuple[list[float], list[float], float]:
    """Seconds an image, ours and bare, a block each; and the seconds that the numbers took once, at the end."""
    ours, bare, evaluations = [], [], []

    @torch.inference_mode()
    def forward(tensors: list[torch.Tensor]) -> None:
        for tensor in tensors:
            predictor.network(tensor)

    for begin in range(0, len(data), BLOCK):
        part = data.subset(data.names[begin : begin + BLOCK])
        tensors = ready(predictor, part)
        turns = [
            lambda part=part: ours.append(
                seconds(lambda: evaluations.append(evaluate(predictor, part)), predictor.device) / len(part)
            ),
            lambda tensors=tensors: bare.append(seconds(lambda: forward(tensors), predictor.device) / len(tensors)),
        ]
        for turn in turns if begin // BLOCK % 2 else turns[::-1]:  # each is first in half of the blocks
            turn()
    numbers = seconds(
        lambda: [interval(Evaluation.merged(evaluations), measure) for measure in MEASURES], predictor.device
    )
    return ours[1:], bare[1:], numbers


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=233, help=f"at most so many; at least {2 * BLOCK}")
    count = max(parser.parse_args().images, 2 * BLOCK)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(os.environ.get("PIXELWISE_DATA", "nowhere")) / "camvid"
        data = open_data(place, "test") if place.is_dir() else generated(Path(temporary), count)
        data = data.subset(data.names[:count])
        torch.manual_seed(0)
        network = create_model("fcn8s_lite0", classes=len(data.label_spec))
        for layer in network.modules():  # without this all scores would be 0, and the best class quickly found
            if isinstance(layer, torch.nn.Conv2d) and not layer.weight.any():
                torch.nn.init.normal_(layer.weight, std=0.1)
        predictor = WholeImage(network)
        ours, bare, numbers = measure(predictor, data)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, {predictor.device}, "
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads; "
        f"{len(data)} images of {'CamVid' if place.is_dir() else 'generated shapes'}, {len(ours)} blocks of {BLOCK} counted"
    )
    print(f"{'an image':<20}{'median':>9}{'mean':>9}{'least':>9}{'greatest':>10}   milliseconds")
    for name, times in (("evaluate", ours), ("bare forward", bare)):
        middle = f"{1e3 * statistics.median(times):>9.1f}{1e3 * statistics.fmean(times):>9.1f}"
        print(f"{name:<20}{middle}{1e3 * min(times):>9.1f}{1e3 * max(times):>10.1f}")
    medians, means = statistics.median(ours) / statistics.median(bare), statistics.fmean(ours) / statistics.fmean(bare)
    print(f"{'evaluate / bare':<20}{medians:>9.3f}{means:>9.3f}   target: at most 1.10")
    print(f"numbers and their intervals, once: {numbers:.2f} s")


if __name__ == "__main__":
    main()
