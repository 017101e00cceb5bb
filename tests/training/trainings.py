"""Small trainings that several tests share: a recipe that takes seconds, and a run that says what it was told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from pixelwise.data.dataset import DataSet
from pixelwise.data.shapes import Shapes
from pixelwise.models.network import Network
from pixelwise.models.published import create_model
from pixelwise.training.folder import RunFolder
from pixelwise.training.loop import Progress
from pixelwise.training.plan import Plan, plan
from pixelwise.training.recipe import Recipe
from pixelwise.training.run import run

SHAPES = Shapes(24, size=(64, 80))


def small(**changes: object) -> Recipe:
    """A recipe that takes seconds: few, small windows, on the main process, in full precision."""
    settings = {
        "init": "none", "options": {"context": 16}, "steps": 4, "batch_size": 2, "crop": 64, "warmup": 0,
        "precision": "no", "workers": 0, "hold_out": 0, "save_every": 2,
    }  # fmt: skip
    return Recipe.model_validate(settings | changes)


def narrow(**changes: object) -> Recipe:
    """One that takes less still: a network without batch norm, which a larger rate would blow up."""
    settings = {"network": "fcn32s_vgg16", "options": {"width": 0.05}, "crop": 48, "learning_rate": 0.002}
    return small(**settings | changes)


def planned(recipe: Recipe, data: DataSet = SHAPES) -> Plan:
    """The plan of a data set without splits."""
    return plan(recipe, lambda _: data, ())


def never(network: Network, data: DataSet) -> float:
    """A score that must not be asked for."""
    raise AssertionError("nothing is held out, so nothing is to be scored")


def trained(
    recipe: Recipe,
    folder: Path,
    *,
    data: DataSet = SHAPES,
    score: Callable[[Network, DataSet], float] = never,
    watch: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
    at: Plan | None = None,
) -> list[Progress]:
    """Plan and run; what was told of each step. The `score` travels as a count of millionths."""
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        watch(progress)

    def count(network: Network, data: DataSet, part: int, parts: int) -> NDArray[np.int64]:
        assert (part, parts) == (0, 1)
        value = score(network, data)
        return np.array([-1 if np.isnan(value) else round(1e6 * value)])

    def rate(counts: NDArray[np.int64]) -> float:
        return float("nan") if counts[0] < 0 else counts[0] / 1e6

    position = run(
        at or planned(recipe, data), RunFolder(folder), count=count, rate=rate, watch=tell, stop=stop, resume=resume
    )
    assert not told or position.step == told[-1].step
    return told


class CutOffError(Exception):
    """The end of a run before its time."""


def cut_at(step: int) -> Callable[[Progress], None]:
    """Something to watch a run with that breaks it off."""

    def watch(progress: Progress) -> None:
        if progress.step == step:
            raise CutOffError

    return watch


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Those of a run's model."""
    return load_file(folder / "model" / "model.safetensors")


def still_network(classes: int = 6, *, seed: int = 0) -> Network:
    """A network without batch norm and dropout, whose scores are not zero: the same images give the same gradients."""
    torch.manual_seed(seed)
    network = create_model("fcn32s_vgg16", classes, width=1 / 32)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    for layer in network.last_layers:
        nn.init.normal_(layer.weight, std=0.1)  # type: ignore[arg-type]
    return network


def fingerprint(values: Any) -> str:
    """A short word that differs wherever tensors, arrays or plain values in nested containers do."""
    digest = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                take(key)
                take(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                take(inner)
        elif isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        elif isinstance(value, np.ndarray):
            digest.update(value.tobytes())
        else:
            digest.update(repr(value).encode())

    take(values)
    return digest.hexdigest()[:16]
