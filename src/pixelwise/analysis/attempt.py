"""A reproduction and a data set in, a folder out that holds its runs, systems, results, tables and a page.

What is done is what lies in the folder, so an attempt goes on wherever it was stopped or killed.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pixelwise.analysis.reproduction import RUNS, SYSTEMS, Reproduction, Training
from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.evaluation.evaluate import Matched, evaluate, match_classes
from pixelwise.evaluation.evaluation import Evaluation
from pixelwise.files import write_text
from pixelwise.inference.loading import digest_of, load
from pixelwise.inference.model import Model
from pixelwise.inference.systems import SYSTEM_FILE, save_system
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.training.folder import RunFolder, names_hash
from pixelwise.training.plan import choose_samples
from pixelwise.training.recipe import Recipe
from pixelwise.training.resumed import Judge, finish
from pixelwise.training.two_stages import TwoStageFolder, train_two_stages
from pixelwise.training.windows import refuse_without_windows
from pixelwise.weights.checkpoint import NetworkConfig, find_checkpoint
from pixelwise.weights.imagenet import lite_file

RECORD = "reproduction.json"


class Attempt:
    """A reproduction being carried out in a folder.

    open_split, splits  of the data set, as `plan` takes them
    start               a folder of models to start from, one a folder, as `pixelwise import-weights --init` makes them
    hed                 HED's weights, for recipes with edges: hed

    reproduction.json  what is attempted on what, written first
    runs/NAME/         a training, as `pixelwise train` leaves it
    systems/NAME/      a system.yaml that every verb takes
    results/NAME.json  the counts of a system's evaluation, and what they were counted on
    """

    def __init__(
        self,
        reproduction: Reproduction,
        folder: Path,
        open_split: Callable[[str | None], DataSet],
        splits: Collection[str],
        *,
        start: Path | None = None,
        hed: Path | None = None,
    ) -> None:
        self.reproduction = reproduction
        self.folder = folder
        self.open_split = functools.cache(open_split)
        self.splits = splits
        self.start = start
        self.hed = hed

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Make the folder, or go on with what is there, and keep other processes out meanwhile.

        Raises `InputError`, before anything is written, for splits, start weights and what windows need, if missing; then
        for a folder that holds another attempt, and where another process is at work.
        """
        record = self._record()
        path = self.folder / RECORD
        if path.is_file():
            _refuse_other(path, json.loads(path.read_text(encoding="utf-8")), record)
        for training in self.reproduction.trainings:
            if not self.is_trained(training):
                self._start_of(training)
                for recipe in training.recipes():
                    learned, _ = choose_samples(recipe, self.open_split, self.splits)
                    refuse_without_windows(recipe, learned.label_spec)
        with RunFolder(self.folder).taken():
            if not path.is_file():
                write_text(path, json.dumps(record, indent=1) + "\n")
            yield

    def _record(self) -> dict[str, Any]:
        """What must be the same for an attempt to go on; each part by the words to tell people."""
        of = self.reproduction
        recipes = {training.name: training.recipes() for training in of.trainings}
        chosen = [choose_samples(one, self.open_split, self.splits) for every in recipes.values() for one in every]
        measured = [self.open_split(split) for split in dict.fromkeys(table.split for table in of.tables)]
        learned = [part for pair in chosen for part in pair if part is not None]
        record = {
            "reproduction": of.name,
            "recipes": {name: [one.model_dump(mode="json") for one in every] for name, every in recipes.items()},
            "systems": {name: node.model_dump(mode="json", exclude_unset=True) for name, node in of.systems.items()},
            "classes": list(measured[0].label_spec.names),
            "images": sorted({names_hash(data.names)[:16] for data in (*learned, *measured)}),
        }
        return dict(json.loads(json.dumps(record)))  # as it will be read back

    def is_trained(self, training: Training) -> bool:
        """Whether a training's last step is done and its model is there."""
        recipes, path = training.recipes(), self.folder / RUNS / training.name
        if len(recipes) == 1:
            return RunFolder(path).has_finished(recipes[0].steps)
        return TwoStageFolder(path).model.is_dir()

    def train(self, training: Training, judge: Judge) -> bool:
        """Begin a training or go on with it; whether it is done. Where `judge.stop()` ended it, call it again."""
        recipes, path = training.recipes(), self.folder / RUNS / training.name
        start = self._start_of(training)
        if len(recipes) == 1:
            run = RunFolder(path)
            return finish(recipes[0], self.open_split, self.splits, run, judge, init_from=start, hed=self.hed)
        first, second = recipes
        return train_two_stages(
            (first, second),
            self.open_split,
            self.splits,
            TwoStageFolder(path),
            judge,
            init_from=start,
            hed=self.hed,
            statistics=training.statistics,
        )

    def _start_of(self, training: Training) -> Path | None:
        """The model that a training starts from; None for random weights, and those that an extra brings."""
        if training.after is not None:
            return self.folder / RUNS / training.after / "model"
        recipe = training.recipes()[0]
        if recipe.init == "none":
            return None
        config = NetworkConfig(recipe.network, 1, recipe.options)
        with torch.device("meta"):
            trunk = config.build().backbone
        if isinstance(trunk, EfficientNetLite):
            lite_file(trunk.lite)
            return None
        found = None if self.start is None else find_checkpoint(self.start, config)
        if found is None:
            raise InputError(_no_start(recipe, self.start))
        return found

    def is_measured(self, system: str, split: str) -> bool:
        """Whether the result of a system is there, and is that of its models as they are now."""
        path = self._result(system, split)
        if not path.is_file():
            return False
        return self.result(system, split).facts["weights"] == self._digest(system)

    def measure(self, system: str, split: str, progress: Callable[[int, int], None]) -> Evaluation:
        """Count a system's answers on a split, or go on with that, and keep the counts as its result."""
        facts = {"system": system, "split": split, "weights": self._digest(system)}
        model = self.model(system)
        kept = self._result(system, split).with_suffix(".counts")
        if kept.is_dir() and facts["weights"] not in (kept / "weights").read_text(encoding="utf-8"):
            shutil.rmtree(kept)
        write_text(kept / "weights", facts["weights"])
        matched = self.matched(model, split)
        evaluation = evaluate(model.predictor, matched.data, keep=kept, facts=facts, progress=progress)
        write_text(self._result(system, split), json.dumps(evaluation.to_json()) + "\n")
        shutil.rmtree(kept)
        return evaluation

    def result(self, system: str, split: str) -> Evaluation:
        """The evaluation of a system that was measured."""
        return Evaluation.from_json(json.loads(self._result(system, split).read_text(encoding="utf-8")))

    def model(self, system: str) -> Model:
        """A system whose models are trained, to predict with."""
        return load(self._written(system))

    def matched(self, model: Model, split: str) -> Matched:
        """A split seen through the classes of a model."""
        return match_classes(self.open_split(split), model.label_spec.names)

    def _written(self, system: str) -> Path:
        """The folder of a system, with its file in it."""
        folder = self.folder / SYSTEMS / system
        if not (folder / SYSTEM_FILE).is_file():  # which systems there are is part of the record
            save_system(folder, self.reproduction.system(system))
        return folder

    def _digest(self, system: str) -> str:
        return digest_of(self._written(system))

    def _result(self, system: str, split: str) -> Path:
        splits = {table.split for table in self.reproduction.tables}
        return self.folder / "results" / (f"{system}.json" if len(splits) == 1 else f"{system}-{split}.json")


def _refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for name in ours:
        if theirs.get(name) != ours[name]:
            which = f", {ours[name]} and not {theirs.get(name)}" if isinstance(ours[name], str) else ""
            raise InputError(
                f"{path.parent}: began with other {name}{which}; call it as before (with or without --small), "
                f"or choose another --out"
            )


def _no_start(recipe: Recipe, start: Path | None) -> str:
    options = "".join(f" {key}={str(value).replace(' ', '').lower()}" for key, value in recipe.options.items())
    lacks = "no --start was given" if start is None else f"{start} has none"
    return (
        f"{recipe.network}{options} starts from an ImageNet classifier, and {lacks}: make one by  pixelwise import-weights "
        f"FILE{options} --to {recipe.network} --init --classes voc --out STARTS/{recipe.network}  and give --start STARTS, "
        f"or begin with --small"
    )
