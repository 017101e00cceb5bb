"""An evaluation's numbers in, text for people or a record for machines out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelwise.report.judged import Judged

MEANS = {
    "mean_iou": "mean IoU",
    "mean_accuracy": "mean accuracy",
    "pixel_accuracy": "pixel accuracy",
    "frequency_weighted_iou": "frequency weighted IoU",
}


def record(judged: Judged, chosen: Sequence[str]) -> dict[str, Any]:
    """The measures for machines: what was measured, over what, by which rule, and the numbers; NaN as None."""
    evaluation, measures, every = judged.evaluation, judged.measures, judged.to_json()
    thorough = ("trimap", "boundary", "calibration", "sizes")
    return {
        **{name.replace(" ", "_"): value for name, value in evaluation.facts.items()},
        "images": len(evaluation.images),
        "classes": evaluation.classes,
        **measures.to_json(),
        "means_over": judged.counted_over,
        "intervals": {name: [every[name]["low"], every[name]["high"]] for name in judged.intervals},
        "mean_of_image_ious": evaluation.mean_of_image_ious(chosen, measures.absent),
        **{name: every[name] for name in thorough if name in every},
    }


def table(judged: Judged, chosen: Sequence[str]) -> str:
    """The measures as text: a line a class, then the means with what they mean."""
    evaluation, measures = judged.evaluation, judged.measures
    rows = [("class", "  IoU  accuracy  precision")]
    for name, *values in zip(evaluation.classes, measures.iou, measures.accuracy, measures.precision, strict=True):
        rows.append((name, f"{_percent(values[0])}     {_percent(values[1])}      {_percent(values[2])}"))
    rows.append(("", ""))
    for name, words in MEANS.items():
        one = judged.intervals[name]
        rows.append((words, f"{one.value:.4f}" + ("" if one.low != one.low else f"  {one.low:.4f} to {one.high:.4f}")))
    own = evaluation.mean_of_image_ious(chosen, measures.absent)
    rows.append(("mean of the images' IoUs", f"{own or 0:.4f}  each image by itself: this is not the mean IoU"))
    rows += _thorough_rows(judged)
    wide = max(len(words) for words, _ in rows)
    lines = [*(f"{words:{wide}}  {numbers}".rstrip() for words, numbers in rows), "", judged.counted_over]
    if len(evaluation.images) > 1:
        lines.append(f"Ranges are {judged.intervals['mean_iou'].level:.0%} intervals over the choice of images.")
    count = f"{len(evaluation.images):,} image{'s' if len(evaluation.images) != 1 else ''}"
    lines.append(f"{count}, {measures.pixels:,} labelled pixels, one confusion matrix over all of them")
    return "\n".join(lines)


def _thorough_rows(judged: Judged) -> list[tuple[str, str]]:
    from pixelwise.report.strips import BANDS

    rows = []
    if (trimap := judged.trimap) is not None:
        for width in BANDS:
            value, accuracy = trimap.mean_iou[width - 1], trimap.accuracy[width - 1]
            rows.append((f"within {width} px of boundaries", f"{value:.4f}  mean IoU; pixel accuracy {accuracy:.4f}"))
    if (boundary := judged.boundary) is not None:
        rows.append(("mean boundary F1", f"{boundary.mean_f1:.4f}"))
    if (calibration := judged.calibration) is not None:
        rows.append(("calibration error (ECE)", f"{calibration.ece:.4f}"))
    if (sizes := judged.sizes) is not None:
        for (low, below), objects, accuracy in zip(sizes.bounds, sizes.objects, sizes.accuracy, strict=True):
            side = f"sides from {low:.0f} px" if below == float("inf") else f"sides from {low:.0f} to {below:.0f} px"
            rows.append((side, f"{_percent(accuracy)}  % of the pixels of {objects:,} objects met"))
    return rows


def _percent(value: float) -> str:
    return "  n/a" if value != value else f"{100 * value:5.1f}"
