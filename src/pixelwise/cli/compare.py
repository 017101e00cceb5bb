"""`pixelwise compare`: several models and a data set in, their numbers side by side on the same images out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.means import AbsentOption, ClassesOption, ForegroundOption, chosen_classes, refuse_options
from pixelwise.cli.options import (
    DataArgument,
    DeviceOption,
    JsonOption,
    LayoutOption,
    ReportOption,
    SbdOption,
    announce_layout,
    open_announced,
    refuse_report,
)
from pixelwise.cli.sources import Source, open_source, refuse_no_source
from pixelwise.errors import InputError

if TYPE_CHECKING:
    from pixelwise.data.dataset import DataSet
    from pixelwise.evaluation.answers import Predictions
    from pixelwise.evaluation.evaluation import Evaluation
    from pixelwise.inference.contracts import Predictor
    from pixelwise.labels import LabelSpec
    from pixelwise.report.judged import Difference, Judged


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Two or more: models' directories, runs, names, or folders of predictions."
        ),
    ],
    data: DataArgument,
    split: Annotated[str, typer.Option(help="The split to measure on, or 'all'.")] = "val",
    classes: ClassesOption = None,
    foreground: ForegroundOption = False,
    absent: AbsentOption = "present",
    report: ReportOption = None,
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure several models on the same images, and say what each has over the first.

    An interval says how far a number would move had other images been drawn; that of a difference draws the same images
    for both models. All models must have the same classes, in any order; classes of the data that they do not know are
    ignored and listed.
    """
    names = _names(models)
    refuse_options(absent, classes, foreground)
    refuse_report(report)
    from pixelwise.evaluation.evaluate import match_classes
    from pixelwise.report.folder import numbers, write_report
    from pixelwise.report.gallery import looking_at
    from pixelwise.report.judged import Judged, differences

    for model in models:
        refuse_no_source(model)  # before the data is read
    opened = open_announced(data, split, announce_layout(data, layout), sbd)
    sources = {name: open_source(model, device) for name, model in zip(names, models, strict=True)}
    _refuse_other_classes(sources)
    spec = sources[names[0]].label_spec
    matched = match_classes(opened, spec.names)
    if matched.ignored:
        print(f"ignored, unknown to the models: {', '.join(matched.ignored)}", file=sys.stderr)
    chosen = chosen_classes(matched, classes, foreground)
    answers = {name: _in_order(source, spec) for name, source in sources.items()}
    facts = {"data": data, "split": split, "ignored classes": list(matched.ignored)}
    judged = []
    for name, one in answers.items():
        counted = _counted(name, one, matched.data, facts, thorough=report is not None)
        judged.append(Judged.of(name, counted, chosen, absent))
    if not judged[0].measures.pixels:
        raise InputError(f"{data}: no labelled pixel of the models' classes in split '{split}': nothing to measure by")
    found = differences(judged)
    if report is not None:
        page = write_report(report, judged, spec, looking_at(matched.data, answers), found)
        print(f"report: {page}", file=sys.stderr)
    print(json.dumps(numbers(judged, found)) if as_json else text(judged, found))


def _counted(
    name: str, answers: Predictor | Predictions, data: DataSet, facts: Mapping[str, Any], *, thorough: bool
) -> Evaluation:
    from pixelwise.evaluation.answers import Predictions
    from pixelwise.evaluation.evaluate import evaluate

    if isinstance(answers, Predictions):
        answers.refuse_missing(data.names, facts["split"])
    with progress(f"evaluating {name}", len(data)) as advance:
        return evaluate(
            answers, data, thorough=thorough, facts={"model": name, **facts}, progress=lambda done, _: advance(done, "")
        )


def text(judged: Sequence[Judged], found: Sequence[Difference]) -> str:
    """The numbers as text: IoU of each class, the measures, and what each model has over the first; in percent."""
    from pixelwise.report.figures import percent
    from pixelwise.report.judged import TITLES
    from pixelwise.report.sections import bounds

    rows = [("class", *(one.name for one in judged))]
    for index, name in enumerate(judged[0].evaluation.classes):
        rows.append((name, *(percent(float(one.measures.iou[index])) for one in judged)))
    rows.append(("",))
    for measure in judged[0].intervals:
        numbers = (one.intervals[measure] for one in judged)
        rows.append((TITLES[measure], *(f"{percent(number.value, 2)} ({bounds(number)})" for number in numbers)))
    for one in found:
        rows += [("",), (f"{one.later} minus {one.first}", "difference in points")]
        for measure, number in one.intervals.items():
            rows.append((TITLES[measure], f"{percent(number.value, 2)} ({bounds(number)})"))
    images = f"{len(judged[0].evaluation.images):,} images, {judged[0].measures.pixels:,} labelled pixels"
    return "\n".join(
        [*_aligned(rows), "", f"{images}; in brackets 95 % intervals over images. {judged[0].counted_over}"]
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, wide, strict=False)).rstrip() for row in rows]


def _names(models: Sequence[str]) -> list[str]:
    """What to call the models: the last part of what was typed where that tells them apart."""
    if len(models) < 2:
        raise InputError(f"expected two or more models to compare and the data behind them, got {len(models)} model")
    for place, model in enumerate(models):
        if not model.strip():
            raise InputError("one of the models is an empty word; give a directory, a run or a name")
        if Path(model).resolve() in [Path(other).resolve() for other in models[:place]]:
            raise InputError(f"{model}: given twice; give two different models to compare")
    last = [Path(model).resolve().name for model in models]
    return last if len(set(last)) == len(last) else list(models)


def _in_order(source: Source, spec: LabelSpec) -> Predictor | Predictions:
    """What a source answers, with its classes in the order of `spec`."""
    from pixelwise.evaluation.answers import Predictions

    answers, order = source.answers, [source.label_spec.names.index(name) for name in spec.names]
    if isinstance(answers, Predictions):
        return replace(answers, label_spec=source.label_spec.subset(spec.names))
    return answers if order == sorted(order) else lambda image: answers(image)[order]


def _refuse_other_classes(sources: Mapping[str, Source]) -> None:
    first, *others = sources
    for name in others:
        if odd := set(sources[first].label_spec.names) ^ set(sources[name].label_spec.names):
            raise InputError(
                f"models are compared over the same classes, but only one of {first} and {name} has '{min(odd)}': "
                f"compare models of the same classes"
            )
