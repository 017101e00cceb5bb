"""A predictor and a data set in, their `Evaluation` out: every image at its own size, once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.data.dataset import DataSet
from pixelwise.data.sample import Sample
from pixelwise.errors import InputError
from pixelwise.evaluation.answers import Answer, Answerer, Predictions, answers_of
from pixelwise.evaluation.boundary import count_boundaries, count_trimap
from pixelwise.evaluation.calibration import count_calibration
from pixelwise.evaluation.confusion import count_confusion
from pixelwise.evaluation.evaluation import BACKGROUND, Evaluation
from pixelwise.evaluation.kept import Kept
from pixelwise.evaluation.sizes import count_sizes
from pixelwise.inference.contracts import Predictor
from pixelwise.labels import IGNORE, MAIN, LabelSpec


@dataclass(frozen=True)
class Matched:
    """A data set seen through a model's classes.

    ignored  the data's classes that the model does not know: their pixels do not count
    lacking  the model's classes that the data do not have: it is wrong to predict them, and they are in no mean
    """

    data: DataSet
    ignored: tuple[str, ...]
    lacking: tuple[str, ...] = ()

    @property
    def shared(self) -> tuple[str, ...]:
        """The classes that both have, in the model's order."""
        return tuple(name for name in self.data.label_spec.names if name not in self.lacking)


def match_classes(data: DataSet, names: Sequence[str], *, fewer: bool = False) -> Matched:
    """See `data` through a model's class `names`: classes correspond by name, others of the data are ignored and listed.

    Raises `InputError` if the data set has no such class for one of the model's; with `fewer` these are listed too,
    and an error is only that the two share none.
    """
    theirs = data.label_spec.names
    ignored = tuple(name for name in theirs if name not in names)
    lacking = tuple(name for name in names if name not in theirs)
    if not lacking:
        return Matched(data.with_classes(names), ignored)
    if not fewer:
        raise InputError(
            f"the model's class '{lacking[0]}' is not a class of the data set ({', '.join(theirs)}): "
            f"rename it in classes.txt, or evaluate on data that has it"
        )
    shared = [name for name in names if name in theirs]
    if not shared:
        raise InputError(
            f"model ({', '.join(names)}) and data set ({', '.join(theirs)}) share no class: give other data"
        )
    return Matched(_Renumbered(data.with_classes(shared), LabelSpec(tuple(names))), ignored, lacking)


def evaluate(
    predictor: Predictor | Predictions,
    data: DataSet,
    *,
    head: str = MAIN,
    thorough: bool = False,
    part: int = 0,
    parts: int = 1,
    keep: Path | None = None,
    save: Predictions | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Predict every image at its own size, or read what was predicted, and count its pixels.

    The numbers are `evaluate(...).measures()`: computed once, from the sums over all images.

    head      which of a sample's label maps the predictor is compared with
    thorough  also count near boundaries, by confidence and by the size of objects: some times slower
    part      one of several processes takes every so many images; the evaluations of all `parts` merge to one
    keep      a folder for what is done: a call like one that was stopped before goes on where that one was
    save      a folder for the predictions, which can be evaluated later in place of the predictor
    facts     what the evaluation should know of itself; what is kept under other facts is refused
    progress  told after each image how many are done, of how many; those from an earlier call count as done

    An image that cannot be counted raises `InputError` with its name, the file's where there is one. With `keep` that
    is at the end: all others are done, and kept.
    """
    spec, names = data.label_spec, data.names[part::parts]
    kept, done = None, {}
    if keep is not None:
        about = {"classes": spec.names, "head": head, "thorough": thorough, "facts": facts or {}}
        kept = Kept(keep, about, "counts.jsonl" if parts == 1 else f"counts-{part}-of-{parts}.jsonl")
        done = {name: one for name, one in kept.read().items() if save is None or save.path(name).is_file()}
    failed: dict[str, InputError] = {}
    missing = [index for index in range(part, len(data), parts) if data.names[index] not in done]
    with closing(
        _answered(answers_of(predictor), data, missing)
    ) as answered:  # an error must not leave its thread behind
        for number, (name, outcome) in enumerate(answered, start=len(names) - len(missing) + 1):
            try:
                if isinstance(outcome, InputError):
                    raise outcome
                sample, said = outcome
                done[name] = _counted(sample, said, spec, head, thorough)
            except InputError as error:
                if kept is None:
                    raise
                failed[name] = error
            else:
                if save is not None:
                    save.write(name, said.labels)
                if kept is not None:
                    kept.add(done[name])
            if progress:
                progress(number, len(names))
    if failed:
        raise _failure(failed, len(names), keep)
    parted = [Evaluation.of_none(spec.names, head), *(done[name] for name in names)]
    return replace(Evaluation.merged(parted), facts=dict(facts or {}))


def _answered(
    answer: Answerer, data: DataSet, indexes: Sequence[int]
) -> Generator[tuple[str, tuple[Sample, Answer] | InputError]]:
    """Samples by name with what is said of them, or with the error that came instead.

    The next one is read by a thread while this one is counted, and not while it is predicted, which takes all cores of a
    CPU, and waits for the slowest.
    """
    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(data.__getitem__, index) for index in indexes[:1]]
        for place, index in enumerate(indexes):
            outcome: tuple[Sample, Answer] | InputError
            try:
                sample = ahead.pop().result()
                outcome = sample, answer(sample)
            except InputError as error:
                outcome = error
            ahead += [reader.submit(data.__getitem__, following) for following in indexes[place + 1 : place + 2]]
            yield data.names[index], outcome


def _counted(sample: Sample, said: Answer, spec: LabelSpec, head: str, thorough: bool) -> Evaluation:
    """The counts of one image."""
    truth = sample.labels.get(head)
    if truth is None:
        raise InputError(f"{sample.name}: has no label map to compare with; choose a split that has")
    where, labels, classes = said.where or sample.name, said.labels, len(spec)
    if labels.shape != truth.shape or (said.scores is not None and len(said.scores) != classes):
        found = labels.shape if said.scores is None else said.scores.shape
        raise InputError(
            f"{where}: a prediction must cover the same pixels as the image, {truth.shape[0]} high and {truth.shape[1]} "
            f"wide, and know {classes} classes, got {found}; predict at the image's own size"
        )
    try:
        confusion = count_confusion(truth, labels, classes)
    except ValueError as error:
        raise InputError(
            f"{where}: {error}; every labelled pixel needs a class, 255 is none: save the best one even where it is unsure"
        ) from error
    if not thorough:
        return Evaluation.of_image(spec.names, sample.name, confusion, head=head)
    background = spec.names.index(BACKGROUND) if BACKGROUND in spec.names else None
    return Evaluation.of_image(
        spec.names,
        sample.name,
        confusion,
        head=head,
        trimap=count_trimap(truth, labels, classes),
        boundary=count_boundaries(truth, labels, classes),
        calibration=None if said.scores is None else count_calibration(truth, said.scores),
        sizes=count_sizes(truth, labels, sample.instances, classes, background),
    )


def _failure(failed: Mapping[str, InputError], images: int, keep: Path | None) -> InputError:
    first, *others = failed.values()
    also = (
        f"; and {len(others)} more: {', '.join(list(failed)[1:4])}{' ...' if len(others) > 3 else ''}" if others else ""
    )
    return InputError(
        f"{first}{also}; the other {images - len(failed):,} images are done and kept in {keep}: put this right and run "
        f"the same again"
    )


@dataclass(frozen=True)
class _Renumbered:
    """A data set whose labels stand for other, more classes, by name."""

    data: DataSet
    label_spec: LabelSpec

    @property
    def names(self) -> Sequence[str]:
        return self.data.names

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        sample = self.data[index]
        table = np.full(256, IGNORE, np.uint8)
        table[: len(self.data.label_spec)] = [self.label_spec.names.index(name) for name in self.data.label_spec.names]
        return replace(sample, labels={head: table[labels] for head, labels in sample.labels.items()})

    def subset(self, names: Sequence[str]) -> _Renumbered:
        return replace(self, data=self.data.subset(names))

    def with_classes(self, names: Sequence[str]) -> DataSet:
        return self.data.with_classes(names)
