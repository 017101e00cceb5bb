"""`pixelwise evaluate`: a model and a data set in, the field's measures out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import (
    CrfOption,
    DataArgument,
    DeviceOption,
    JsonOption,
    LayoutOption,
    ModelArgument,
    SbdOption,
    announce_layout,
    open_announced,
)
from pixelwise.errors import InputError

if TYPE_CHECKING:
    from pixelwise.evaluation.confusion import Measures


def evaluate(
    model: ModelArgument,
    data: DataArgument,
    split: Annotated[str, typer.Option(help="The split to measure on, or 'all'.")] = "val",
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
    crf: CrfOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on labelled pictures: one confusion matrix over the whole split, each picture at its own size.

    Classes correspond by name. Classes of the data that the model does not know are ignored and listed.
    """
    from pixelwise.evaluation.evaluate import evaluate as evaluate_on
    from pixelwise.evaluation.evaluate import match_classes
    from pixelwise.inference.model import find_model, load

    find_model(model)  # before the data is read
    opened = open_announced(data, split, announce_layout(data, layout), sbd)
    loaded = load(model, device=device, crf=crf)
    matched = match_classes(opened, loaded.label_spec.names)
    if matched.ignored:
        print(f"ignored, unknown to the model: {', '.join(matched.ignored)}", file=sys.stderr)
    with progress("evaluating", len(opened)) as advance:
        matrix = evaluate_on(loaded.predictor, matched.data, progress=lambda done, _: advance(done, ""))
    measures = matrix.measures()
    if not measures.pixels:
        raise InputError(f"{data}: no labelled pixel of the model's classes in split '{split}': nothing to measure by")
    if as_json:
        facts: dict[str, Any] = {
            "data": data,
            "split": split,
            "images": len(opened),
            "ignored_classes": matched.ignored,
            "crf": loaded.record.get("crf"),
        }
        print(json.dumps({**facts, "classes": loaded.label_spec.names, **measures.to_json()}))
    else:
        print(table(measures, loaded.label_spec.names, len(opened)))
        if crf is not None:
            print(f"refined by a dense CRF: {crf}")


def table(measures: Measures, names: Sequence[str], images: int) -> str:
    """The measures as text: a line a class, then the means with what they mean."""
    wide = max(len(name) for name in (*names, "frequency weighted IoU"))
    lines = [f"{'class':{wide}}    IoU  accuracy"]
    for name, iou, accuracy in zip(names, measures.iou, measures.accuracy, strict=True):
        lines.append(f"{name:{wide}}  {_percent(iou)}    {_percent(accuracy)}")
    absent = sum(1 for iou in measures.iou if iou != iou)
    note = f"over {len(names) - absent} classes" + (f", {absent} in neither truth nor prediction" if absent else "")
    lines += [
        "",
        f"{'mean IoU':{wide}}  {measures.mean_iou:.4f}  {note}",
        f"{'mean accuracy':{wide}}  {measures.mean_accuracy:.4f}",
        f"{'pixel accuracy':{wide}}  {measures.pixel_accuracy:.4f}",
        f"{'frequency weighted IoU':{wide}}  {measures.frequency_weighted_iou:.4f}",
        f"{images:,} images, {measures.pixels:,} labelled pixels, one confusion matrix over all of them",
    ]
    return "\n".join(lines)


def _percent(value: float) -> str:
    return "  n/a" if value != value else f"{100 * value:5.1f}"
