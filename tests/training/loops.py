"""What losses come to, a pixel at a time, and batches to try them on."""

from __future__ import annotations

import math

import numpy as np
import torch

from pixelwise.data.batches import Batch
from pixelwise.labels import IGNORE, MAIN
from pixelwise.training.losses import Loss
from pixelwise.training.objectives import PixelObjective

CLASSES = 4
WEIGHTS = (0.5, 0.0, 2.0, 1.5)

KINDS = {
    "plain": PixelObjective(),
    "weighted": PixelObjective(Loss(WEIGHTS)),
    "hardest": PixelObjective(Loss(hardest=0.3)),
    "smoothed": PixelObjective(Loss(smoothing=0.2)),
    "weighted and smoothed": PixelObjective(Loss(WEIGHTS, smoothing=0.2)),
    "hardest and smoothed": PixelObjective(Loss(hardest=0.3, smoothing=0.2)),
    "sigmoid": PixelObjective(Loss(link="sigmoid")),
    "sigmoid and weighted": PixelObjective(Loss(WEIGHTS, link="sigmoid")),
    "sigmoid and hardest": PixelObjective(Loss(hardest=0.3, link="sigmoid")),
}


def random_batch(*, ignored: float, seed: int = 0, size: tuple[int, int] = (20, 30)) -> Batch:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, (2, *size))
    labels[generator.random(labels.shape) < ignored] = IGNORE
    images = generator.integers(0, 256, (2, 3, *size)).astype(np.float32)
    return Batch(torch.from_numpy(images), {MAIN: torch.from_numpy(labels)}, ("a", "b"))


def by_loop(scores: np.ndarray, labels: np.ndarray, objective: PixelObjective) -> tuple[float, float]:
    """The sum and what to divide it by, a pixel at a time."""
    weights = [1.0] * CLASSES if objective.loss.class_weights is None else objective.loss.class_weights.tolist()
    losses, places = [], []
    for n, y, x in np.ndindex(labels.shape):
        label = labels[n, y, x]
        if label == IGNORE:
            continue
        if objective.loss.link == "sigmoid":
            signs = np.array([1 if k == label else -1 for k in range(CLASSES)])
            losses.append(weights[label] * np.logaddexp(0, -signs * scores[n, :, y, x]).sum())
            places.append(weights[label])
            continue
        shifted = scores[n, :, y, x] - scores[n, :, y, x].max()
        surprise = np.log(np.exp(shifted).sum()) - shifted
        target = [
            (1 - objective.loss.smoothing) * (k == label) + objective.loss.smoothing / CLASSES for k in range(CLASSES)
        ]
        losses.append(sum(weights[k] * target[k] * surprise[k] for k in range(CLASSES)))
        places.append(weights[label])
    if objective.loss.hardest is not None:
        kept = math.ceil(objective.loss.hardest * len(losses))
        losses, places = sorted(losses, reverse=True)[:kept], [1.0] * kept
    return sum(losses), sum(places)
