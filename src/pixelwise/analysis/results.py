"""Systems whose models are trained in, what they say of a split's images and what that counts for out, kept in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pixelwise.analysis.reproduction import SYSTEMS, Reproduction
from pixelwise.analysis.together import Together
from pixelwise.data.dataset import DataSet
from pixelwise.evaluation.answers import Predictions, best_classes
from pixelwise.evaluation.evaluate import Matched, evaluate, match_classes
from pixelwise.evaluation.evaluation import Evaluation
from pixelwise.files import write_text
from pixelwise.inference.loading import digest_of, find_member, load
from pixelwise.inference.model import Model
from pixelwise.inference.systems import SYSTEM_FILE, places, save_system
from pixelwise.labels import LabelSpec


class Results:
    """What the systems of a reproduction say and score, in its folder.

    shown  gives the images of a split on which systems are measured

    systems/NAME/      a system.yaml that every verb takes
    predictions/NAME/  what a system says of the images, as label maps
    results/NAME.json  the counts of a system's evaluation, and what they were counted on
    """

    def __init__(self, reproduction: Reproduction, folder: Path, shown: Callable[[str], DataSet]) -> None:
        self.reproduction = reproduction
        self.folder = folder
        self.shown = shown

    def has(self, system: str, split: str) -> bool:
        """Whether the result of a system is there with its predictions, and is that of its models as they are now."""
        if not self._result(system, split).is_file() or not self._predictions(system, split).is_dir():
            return False
        result = self.evaluation(system, split)
        return result.facts["weights"] == self._digest(system) and not (
            self._is_thorough(system, split) and result.sizes is None
        )

    def measure(self, systems: Sequence[str], split: str, progress: Callable[[int, int], None]) -> None:
        """Count systems' answers on a split, or go on with that, and keep the counts as their results.

        An image is shown to all of them before the next; `progress(done, of)` is told of each. What they say of it is
        kept as label maps in `predictions/SYSTEM`.
        """
        nodes = {system: self.reproduction.system(system) for system in systems}
        folder = self._written(systems[0])  # every system's folder lies as far from the models
        models = {place: load(find_member(place, folder)) for node in nodes.values() for place in places(node)}
        spec = next(iter(models.values())).label_spec
        data = match_classes(self.shown(split), spec.names).data
        digests = {system: self._digest(system) for system in systems}
        said = {system: self._begin_saying(system, split, digests[system], spec) for system in systems}
        together = Together(nodes, {place: model.predictor for place, model in models.items()}, folder)
        left = [
            place for place, name in enumerate(data.names) if not all(one.path(name).is_file() for one in said.values())
        ]
        for done, place in enumerate(left, start=len(data) - len(left) + 1):
            sample = data[place]
            for system, scores in together(sample.image).items():
                said[system].write(sample.name, best_classes(scores))
            progress(done, len(data))
        for system in systems:
            facts = {"system": system, "split": split, "weights": digests[system]}
            counts = evaluate(said[system], data, thorough=self._is_thorough(system, split), facts=facts)
            write_text(self._result(system, split), json.dumps(counts.to_json()) + "\n")

    def said(self, system: str, split: str) -> Predictions:
        """What a system that was measured says of the images that it is measured on."""
        return Predictions.read(self._predictions(system, split))

    def evaluation(self, system: str, split: str) -> Evaluation:
        """The evaluation of a system that was measured."""
        return Evaluation.from_json(json.loads(self._result(system, split).read_text(encoding="utf-8")))

    def model(self, system: str) -> Model:
        """A system whose models are trained, to predict with."""
        return load(self._written(system))

    def matched(self, model: Model, split: str) -> Matched:
        """The images of a split on which systems are measured, seen through the classes of a model."""
        return match_classes(self.shown(split), model.label_spec.names)

    def _begin_saying(self, system: str, split: str, digest: str, spec: LabelSpec) -> Predictions:
        """The folder of a system's predictions, without those of other weights."""
        folder = self._predictions(system, split)
        weights = folder / "weights"
        if weights.is_file() and weights.read_text(encoding="utf-8") != digest:
            shutil.rmtree(folder)
        predictions = Predictions.begin(folder, spec)
        write_text(weights, digest)
        return predictions

    def _is_thorough(self, system: str, split: str) -> bool:
        tables = self.reproduction.tables
        return any(table.by_size and table.split == split and system in table.systems() for table in tables)

    def _written(self, system: str) -> Path:
        """The folder of a system, with its file in it."""
        folder = self.folder / SYSTEMS / system
        if not (folder / SYSTEM_FILE).is_file():  # which systems there are is part of the record
            save_system(folder, self.reproduction.system(system))
        return folder

    def _digest(self, system: str) -> str:
        return digest_of(self._written(system))

    def _called(self, system: str, split: str) -> str:
        splits = {table.split for table in self.reproduction.tables}
        return system if len(splits) == 1 else f"{system}-{split}"

    def _predictions(self, system: str, split: str) -> Path:
        return self.folder / "predictions" / self._called(system, split)

    def _result(self, system: str, split: str) -> Path:
        return self.folder / "results" / f"{self._called(system, split)}.json"
