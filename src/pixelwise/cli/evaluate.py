"""`pixelwise evaluate`: a model, or predictions that were kept, and a data set in, the field's measures out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.display import Pace, progress
from pixelwise.cli.means import AbsentOption, ClassesOption, ForegroundOption, chosen_classes, refuse_options
from pixelwise.cli.measured import record, table
from pixelwise.cli.options import (
    CrfOption,
    DataArgument,
    DeviceOption,
    JsonOption,
    LayoutOption,
    ReportOption,
    SbdOption,
    SourceArgument,
    announce_layout,
    open_announced,
    refuse_report,
    refuse_unwritable,
)
from pixelwise.cli.processes import Processes, leads, together
from pixelwise.cli.sources import Source, open_source, refuse_no_source
from pixelwise.errors import InputError

if TYPE_CHECKING:
    from pixelwise.data.dataset import DataSet
    from pixelwise.evaluation.evaluate import Matched
    from pixelwise.evaluation.evaluation import Evaluation

FewerOption = Annotated[
    bool, typer.Option("--fewer-classes", help="Go on where the data lack classes of the model; they are in no mean.")
]
ThoroughOption = Annotated[
    bool, typer.Option("--thorough", help="Also measure near boundaries, by confidence and by size: slower.")
]
KeepOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep what is done here: the same command, once stopped, goes on.")
]
PredictionsOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Also write the predictions here, to be evaluated later themselves.")
]
HeadOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Another head than main, of a network that has several.")
]


@together()
def evaluate(
    model: SourceArgument,
    data: DataArgument,
    split: Annotated[str, typer.Option(help="The split to measure on, or 'all'.")] = "val",
    classes: ClassesOption = None,
    foreground: ForegroundOption = False,
    absent: AbsentOption = "present",
    fewer_classes: FewerOption = False,
    thorough: ThoroughOption = False,
    report: ReportOption = None,
    keep: KeepOption = None,
    predictions: PredictionsOption = None,
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
    crf: CrfOption = None,
    head: HeadOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on labelled pictures: one confusion matrix over the whole split, each picture at its own size.

    Classes correspond by name. Classes of the data that the model does not know are ignored and listed.
    """
    from pixelwise.evaluation.evaluate import match_classes
    from pixelwise.report.judged import Judged

    refuse_options(absent, classes, foreground)
    refuse_no_source(model)  # before the data is read
    refuse_report(report)
    for option, folder in (("--keep", keep), ("--predictions", predictions)):
        if folder is not None:
            refuse_unwritable(folder, option)
    opened = _of_head(open_announced(data, split, announce_layout(data, layout), sbd), head)
    processes = Processes()
    source = open_source(model, device or processes.device, crf, head)
    matched = match_classes(opened, source.label_spec.names, fewer=fewer_classes)
    chosen = chosen_classes(matched, classes, foreground)
    facts = {
        "model": model,
        **{key: value for key, value in (("weights", source.weights), ("crf", source.crf), ("head", head)) if value},
        "data": data,
        "split": split,
        "ignored classes": list(_said("ignored, unknown to the model", matched.ignored)),
        "lacking classes": list(_said("in no mean, the data do not have them", matched.lacking)),
    }
    evaluation = _counted(source, matched, processes, facts, thorough or report is not None, keep, predictions)
    if not leads():
        return
    judged = Judged.of(Path(model).resolve().name, evaluation, chosen, absent)
    if not judged.measures.pixels:
        raise InputError(f"{data}: no labelled pixel of the model's classes in split '{split}': nothing to measure by")
    if report is not None:
        from pixelwise.report.folder import write_report
        from pixelwise.report.gallery import looking_at

        look = looking_at(matched.data, {judged.name: source.answers})
        print(f"report: {write_report(report, [judged], source.label_spec, look)}", file=sys.stderr)
    said = f"\nrefined by a dense CRF: {crf}" if crf else ""
    print(json.dumps(record(judged, chosen)) if as_json else table(judged, chosen) + said)


def _of_head(data: DataSet, head: str | None) -> DataSet:
    """The samples with the label maps of a head."""
    from pixelwise.data.dataset import FileDataSet

    if head is None:
        return data
    if not isinstance(data, FileDataSet):
        raise InputError(f"--head {head}: the samples of this data set have one label map each: leave it out")
    return data.of_head(head)


def _said(what: str, names: Sequence[str]) -> Sequence[str]:
    if names:
        print(f"{what}: {', '.join(names)}", file=sys.stderr)
    return names


def _counted(
    source: Source,
    matched: Matched,
    processes: Processes,
    facts: Mapping[str, Any],
    thorough: bool,
    keep: Path | None,
    predictions: Path | None,
) -> Evaluation:
    """Count what is this process's part, and add up what all have counted."""
    from pixelwise.evaluation.answers import Predictions
    from pixelwise.evaluation.evaluate import evaluate as evaluate_on
    from pixelwise.evaluation.evaluation import Evaluation

    if isinstance(source.answers, Predictions):
        if keep is not None or predictions is not None:
            raise InputError("--keep and --predictions go with a model, and these are predictions: leave them out")
        source.answers.refuse_missing(matched.data.names, facts["split"])
    save = None if predictions is None else Predictions.begin(predictions, source.label_spec)
    pace, part, parts = Pace(), processes.part, processes.parts
    with progress("evaluating", len(matched.data.names[part::parts])) as advance:

        def told(done: int, _: int) -> None:
            speed = pace.steps_per_second(done, time.monotonic())
            advance(done, "" if speed is None else f"{speed:.1f} images/s")

        try:
            counted = evaluate_on(
                source.answers,
                matched.data,
                thorough=thorough,
                part=part,
                parts=parts,
                keep=keep,
                save=save,
                facts=facts,
                progress=told,
            )
        except InputError as error:
            if keep is not None or isinstance(source.answers, Predictions):
                raise
            raise InputError(f"{error}; with --keep DIR the other images are not lost") from error
        except KeyboardInterrupt:
            if keep is None:
                raise
            raise KeyboardInterrupt(f"what is done is kept in {keep}, the same command goes on") from None
    return Evaluation.merged(processes.gathered(counted)).in_order(matched.data.names)
