"""One training, from a data set and a recipe to a model directory: builds the parts and hands them to the loop."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import accelerate
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from pixelwise.data.batches import Batches
from pixelwise.data.dataset import DataSet, hold_out
from pixelwise.errors import InputError
from pixelwise.files import write_text
from pixelwise.labels import LabelSpec
from pixelwise.models.network import Network
from pixelwise.training.loop import Progress, train
from pixelwise.training.objectives import PixelObjective
from pixelwise.training.optimiser import create_optimiser, parameter_groups, poly_schedule
from pixelwise.training.recipe import Recipe
from pixelwise.version import __version__
from pixelwise.weights.card import model_card
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint
from pixelwise.weights.load import load_imagenet

RECIPE, LOG, IDS, MODEL, STATES = "recipe.yaml", "metrics.jsonl", "training_ids.txt", "model", "states"


@dataclass(frozen=True)
class Plan:
    """What a run will do, known before it starts: the samples it learns from, those it selects by, and the network."""

    training: DataSet
    selection: DataSet | None
    label_spec: LabelSpec
    """The classes as the model will know and draw them."""
    network: Network
    config: NetworkConfig
    origin: str
    """Where the first weights came from."""


def plan(data: DataSet, recipe: Recipe) -> Plan:
    """Everything that can be wrong with a training is found here, before anything is written.

    Raises `InputError` for unknown classes and networks, missing weights, and a set too small to hold samples out.
    """
    if recipe.classes is not None:
        data = data.with_classes(recipe.classes)
    spec = data.label_spec if recipe.colours is None else data.label_spec.drawn_in(recipe.colours)
    training, selection = hold_out(data, recipe.hold_out) if recipe.hold_out else (data, None)
    set_seed(recipe.seed)
    config = NetworkConfig(recipe.network, len(data.label_spec), recipe.options)
    network = config.build()
    origin = load_imagenet(network) if recipe.init == "imagenet" else "random weights"
    return Plan(training, selection, spec, network, config, origin)


def run(
    plan: Plan,
    recipe: Recipe,
    folder: Path,
    *,
    score: Callable[[Network, DataSet], float],
    watch: Callable[[Progress], None],
) -> Path:
    """Train by `plan` in `folder` and return the model's directory there; a run that was cut off goes on.

    `score(network, data)` rates a network on the selection samples, larger is better; `watch` is told of every step.
    """
    AcceleratorState._reset_state()  # it is one a process: an earlier run there may have had another precision
    accelerator = accelerate.Accelerator(mixed_precision=recipe.precision)
    network = plan.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = parameter_groups(network, recipe.learning_rate, recipe.weight_decay, backbone_rate=recipe.backbone_rate)
    optimiser = create_optimiser(recipe.optimiser, groups, recipe.momentum)
    batches = Batches(
        plan.training, recipe.batch_size, recipe.augmentation(), network.fill, seed=recipe.seed,
        part=accelerator.process_index, parts=accelerator.num_processes,
    )  # fmt: skip
    if accelerator.is_main_process:
        recipe.save(folder / RECIPE)
        write_text(folder / IDS, "\n".join(plan.training.names) + "\n")

    def tell(progress: Progress) -> None:
        watch(progress)
        if accelerator.is_main_process and (progress.score is not None or progress.step % 20 == 0):
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(progress)) + "\n")

    def keep(network: Network, progress: Progress) -> None:
        if accelerator.is_main_process:
            record = describe(plan, recipe, progress)
            card = model_card(plan.config, plan.label_spec, record)
            checkpoint = Checkpoint(network, plan.config, plan.label_spec, record, card)
            save_checkpoint(folder / MODEL, checkpoint, stored=recipe.stored)

    selection = plan.selection
    train(
        network,
        PixelObjective(),
        optimiser,
        poly_schedule(optimiser, recipe.steps, power=recipe.power, warmup=recipe.warmup),
        lambda start, stop: batches.loader(start, stop, workers=recipe.workers, pin=torch.cuda.is_available()),
        accelerator=accelerator,
        steps=recipe.steps,
        states=folder / STATES,
        save_every=recipe.save_every,
        validate=None if selection is None else lambda network: score(network, selection),
        validate_every=recipe.validate_every,
        keep=keep,
        watch=tell,
    )
    return folder / MODEL


def saved_recipe(folder: Path) -> Path:
    """The recipe of a run that is to go on; raises `InputError` where `folder` holds none."""
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(f"{folder}: no run to resume here, it holds no {RECIPE}; give the folder of a run")
    return path


def samples_gone(folder: Path, data: DataSet) -> list[str]:
    """The samples that the run in `folder` has learned from and `data` does not hold.

    Raises `InputError` if `data` holds samples that the run does not know: then it is another data set or split.
    """
    path = folder / IDS
    if not path.is_file():
        return []
    known = path.read_text(encoding="utf-8").splitlines()
    if new := set(data.names).difference(known):
        raise InputError(
            f"{folder}: the run learns from other images, {len(new)} of these {len(data)} are new to it, first {min(new)}; "
            f"resume it with the data set, split and layout it began with"
        )
    return sorted(set(known).difference(data.names))


def describe(plan: Plan, recipe: Recipe, progress: Progress) -> dict[str, Any]:
    """How a model was made, for its config and card."""
    ids = "\n".join(sorted(plan.training.names)).encode()
    return {
        "recipe": recipe.model_dump(mode="json"),
        "started_from": plan.origin,
        "training_images": len(plan.training),
        "training_ids_sha256": hashlib.sha256(ids).hexdigest(),
        "selection_images": 0 if plan.selection is None else len(plan.selection),
        "selection_score": progress.score,
        "step": progress.step,
        "minutes": round(progress.seconds / 60, 1),
        "versions": {"pixelwise": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
