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

from pixelwise.analysis.reproduction import RUNS, Reproduction, Training
from pixelwise.analysis.results import Results
from pixelwise.analysis.starts import STARTS, made_of_trunk, save_trunk, start_of
from pixelwise.analysis.together import sharing
from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.files import write_text
from pixelwise.training.folder import RunFolder, names_hash
from pixelwise.training.plan import choose_samples
from pixelwise.training.resumed import Judge, finish
from pixelwise.training.two_stages import TwoStageFolder, train_two_stages
from pixelwise.training.windows import refuse_without_windows
from pixelwise.weights.hed import load_hed

RECORD = "reproduction.json"


class Attempt:
    """A reproduction being carried out in a folder.

    open_split, splits  of the data set, as `plan` takes them
    start               a folder of models to start from, one a folder, as `pixelwise import-weights --init` makes them
    hed                 HED's weights, for recipes with edges: hed, and for trunks of VGG16 to start from
    images              systems are measured on so many images of a split, that lie evenly in it; None: on all

    reproduction.json  what is attempted on what, written first
    starts/NAME/       what a training starts from, where that is made of HED's weights or another's trunk
    runs/NAME/         a training, as `pixelwise train` leaves it
    systems/ predictions/ results/  of its systems, see `Results`
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
        images: int | None = None,
    ) -> None:
        self.reproduction = reproduction
        self.folder = folder
        self.open_split = functools.cache(open_split)
        self.splits = splits
        self.start = start
        self.hed = hed
        self.images = images
        self.results = Results(reproduction, folder, self.shown)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Make the folder, or go on with what is there, and keep other processes out meanwhile.

        Raises `InputError`, before anything is written, for splits, start weights and what windows need, if missing, and
        for a file that is not HED's; then for a folder that holds another attempt, and where another process is at work.
        """
        if self.hed is not None:
            load_hed(self.hed)
        record = self._record()
        path = self.folder / RECORD
        if path.is_file():
            _refuse_other(path, json.loads(path.read_text(encoding="utf-8")), record)
        for training in self.reproduction.trainings:
            if not self.is_trained(training):
                start_of(training, self.folder, self.start, self.hed)
                for recipe in training.recipes():
                    learned, _ = choose_samples(recipe, self.open_split, self.splits)
                    refuse_without_windows(recipe, learned.label_spec, self.hed)
        with RunFolder(self.folder).taken():
            if not path.is_file():
                write_text(path, json.dumps(record, indent=1) + "\n")
            yield

    def _record(self) -> dict[str, Any]:
        """What must be the same for an attempt to go on; each part by the words to tell people."""
        of = self.reproduction
        recipes = {training.name: training.recipes() for training in of.trainings}
        chosen = [
            choose_samples(recipe, functools.partial(self._opened, training.every), self.splits)
            for training in of.trainings
            for recipe in recipes[training.name]
        ]
        measured = [self.shown(split) for split in dict.fromkeys(table.split for table in of.tables)]
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
        path = self.folder / RUNS / training.name
        if training.in_stages:
            return TwoStageFolder(path).model.is_dir()
        return RunFolder(path).has_finished(training.recipes()[0].steps)

    def train(self, training: Training, judge: Judge, searching: Callable[[int, int], None] | None = None) -> bool:
        """Begin a training or go on with it; whether it is done. Where `judge.stop()` ended it, call it again.

        `searching(done, of)` is told of each image in which windows are looked for.
        """
        recipes, path = training.recipes(), self.folder / RUNS / training.name
        opened = functools.partial(self._opened, training.every)
        start = start_of(training, self.folder, self.start, self.hed)
        if start is not None and start.parent == self.folder / STARTS and not start.is_dir():
            samples, _ = choose_samples(recipes[0], opened, self.splits)
            made_of_trunk(self._trunk(training), recipes[0], samples, start)
        if not training.in_stages:
            run = RunFolder(path)
            return finish(
                recipes[0], opened, self.splits, run, judge, init_from=start, hed=self.hed, searching=searching
            )
        stages = TwoStageFolder(path)
        self._borrow_windows(training, stages)
        return train_two_stages(
            recipes,
            opened,
            self.splits,
            stages,
            judge,
            init_from=start,
            hed=self.hed,
            searching=searching,
            statistics=training.statistics,
        )

    def _trunk(self, training: Training) -> Path:
        """The file of weights that a training's trunk starts from: HED's, or made of an earlier training's model."""
        if training.trunk is None:
            assert self.hed is not None
            return self.hed
        file = self.folder / STARTS / f"{training.trunk}.safetensors"
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            save_trunk(self.folder / RUNS / training.trunk / "model", file)
        return file

    def _opened(self, every: int, split: str | None) -> DataSet:
        """A split, or every so many-th image of it."""
        data = self.open_split(split)
        return data if every == 1 else data.subset(data.names[::every])

    def _borrow_windows(self, training: Training, own: TwoStageFolder) -> None:
        """Begin with the windows that another training found in the same images; those of others are found out, and not used."""
        for other in self.reproduction.trainings:
            theirs = TwoStageFolder(self.folder / RUNS / other.name)
            for mine, lent in zip(own.stages, theirs.stages, strict=True):
                if other.every == training.every and lent.windows.is_file() and not mine.windows.is_file():
                    mine.path.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(lent.windows, mine.windows)

    def measurable(self) -> list[tuple[list[str], str]]:
        """The systems without a result whose models are trained: those that share models together, and their split."""
        of = self.reproduction
        left = dict[str, list[str]]()
        for system, split in of.measured():
            trained = all(self.is_trained(training) for training in of.trainings_of(system))
            if trained and not self.results.has(system, split):
                left.setdefault(split, []).append(system)
        return [
            (group, split)
            for split, systems in left.items()
            for group in sharing({system: of.system(system) for system in systems})
        ]

    def shown(self, split: str) -> DataSet:
        """The images of a split on which systems are measured."""
        data = self.open_split(split)
        if self.images is None or self.images >= len(data):
            return data
        return data.subset([data.names[place * len(data) // self.images] for place in range(self.images)])


def _refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for name in ours:
        if theirs.get(name) != ours[name]:
            which = f", {ours[name]} and not {theirs.get(name)}" if isinstance(ours[name], str) else ""
            raise InputError(
                f"{path.parent}: began with other {name}{which}; call it as before (with or without --small), "
                f"or choose another --out"
            )
