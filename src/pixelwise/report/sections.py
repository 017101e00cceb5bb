"""Numbers of one model or of several in, the sections of a page out: figures, tables, and what they mean in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pixelwise.evaluation.bootstrap import DRAWS, Interval
from pixelwise.report.figures import Bars, Curve, bars, curves, percent
from pixelwise.report.judged import DEFINITIONS, TITLES, Difference, Judged
from pixelwise.report.markup import Markup, element, joined
from pixelwise.report.page import Section
from pixelwise.report.strips import BANDS
from pixelwise.report.tables import confusion_table, folded, table

WIDTHS = (1, 2, 3, 5, 10, 20, 40)
"""The bands whose numbers stand in the table; the figure has all."""

OF_INTERVALS = (
    f"An interval says how far a number would move had other images been drawn (bootstrap over images, {DRAWS:,} draws). It "
    "says nothing of another training, or of mistakes in the labels."
)


def headline(judged: Sequence[Judged]) -> Section:
    """The numbers to begin with, their intervals, and what each of them is."""
    shown = [one.headline for one in judged]
    keys = [key for key in TITLES if any(key in numbers for numbers in shown)]
    nothing = Interval(math.nan, math.nan, math.nan)
    rows = []
    for key in keys:
        numbers = [numbers.get(key, nothing) for numbers in shown]
        cells = [cell for number in numbers for cell in (percent(number.value, 2), bounds(number))]
        rows.append((TITLES[key], *cells))
    of_model = [f"{one.name}, " if len(judged) > 1 else "" for one in judged]
    definitions = [joined(element("dt", TITLES[key]), element("dd", DEFINITIONS[key])) for key in keys]
    columns = [f"{name}{column}" for name in of_model for column in ("value", "95 % interval")]
    return Section(
        "numbers",
        "The numbers",
        [
            element("p", f"All numbers are percentages. {judged[0].counted_over}"),
            table("The numbers in short", ("measure", *columns), rows),
            element("p", OF_INTERVALS),
            folded("What they are", element("dl", *definitions, class_="definitions")),
        ],
    )


def compared(found: Sequence[Difference]) -> Section:
    """What each model has over the first, in points of percentage, and whether the choice of images could explain it."""
    rows = []
    for one in found:
        for measure, number in one.intervals.items():
            beyond = not math.isnan(number.low) and (number.low > 0 or number.high < 0)
            verdict = "more than the choice of images explains" if beyond else "may be the choice of images"
            signed = percent(number.value, 2) if number.value <= 0 else f"+{percent(number.value, 2)}"
            rows.append((one.later, one.first, TITLES[measure], signed, bounds(number), verdict))
    head = ("model", "minus", "measure", "difference", "95 % interval", "which is")
    words = "Each draw of the bootstrap takes the same images for both models, so what is hard for both cancels out."
    return Section(
        "differences", "The differences", [element("p", words), table("Differences in percentage points", head, rows)]
    )


def classes(judged: Sequence[Judged]) -> Section:
    """IoU a class as bars; IoU, accuracy, precision and size a class as a table."""
    names = judged[0].evaluation.classes
    figure = bars("IoU of each class", names, [Bars(one.name, one.measures.iou.tolist()) for one in judged])
    rows = []
    for index, name in enumerate(names):
        for one in judged:
            measures, confusion = one.measures, one.evaluation.confusion
            ratios = (float(values[index]) for values in (measures.iou, measures.accuracy, measures.precision))
            pixels, every = int(confusion[index].sum()), max(int(confusion.sum()), 1)
            counts = "yes" if measures.counting[index] else "no"
            rows.append((name, one.name, *map(percent, ratios), f"{pixels:,}", percent(pixels / every), counts))
    head = ("class", "IoU", "accuracy", "precision", "labelled pixels", "share", "in the means")
    words = (
        "Accuracy, or recall, is the share of a class's pixels that are predicted so; precision is the share of the pixels "
        "predicted so that are it."
    )
    numbers = folded("The numbers of each class", _by_model(judged, "Each class, in percent", head, rows))
    return Section("classes", "Class by class", [element("figure", figure), element("p", words), numbers])


def confusion(one: Judged) -> Section:
    """The most confused pairs, and the confusion matrix."""
    evaluation = one.evaluation
    every = int(evaluation.confusion.sum())
    truth = dict(zip(evaluation.classes, evaluation.confusion.sum(1).tolist(), strict=True))
    pairs = [
        (true, said, f"{pixels:,}", percent(pixels / truth[true]), percent(pixels / every, 2))
        for true, said, pixels in evaluation.confused_pairs()
    ]
    head = ("truth", "predicted as", "pixels", "share of the true class", "share of all")
    caption = "The most frequent mistakes, most pixels first; shares in percent"
    found = table(caption, head, pairs) if pairs else element("p", "No pixel is predicted wrongly.")
    matrix = folded("The confusion matrix", confusion_table(evaluation.confusion, evaluation.classes))
    return Section("confusion", "What is taken for what", [found, matrix])


def boundaries(judged: Sequence[Judged], example: Markup | None) -> Section | None:
    """Accuracy and mean IoU within bands around boundaries, and boundary F1 a class; None where nothing was counted."""
    content: list[str] = []
    drawn = [(one.name, one.trimap) for one in judged if one.trimap is not None and one.trimap.pixels.any()]
    marks: dict[float, str] = {width: f"{width} px" for width in BANDS}
    for name in ("pixel_accuracy", "mean_iou") if drawn else ():
        series = [
            Curve(
                model, curve.widths.tolist(), (curve.accuracy if name == "pixel_accuracy" else curve.mean_iou).tolist()
            )
            for model, curve in drawn
        ]
        told = f"{TITLES[name]} within a band around boundaries"
        axis = "width of the band on either side, in pixels"
        figure = curves(told, series, x=axis, y=TITLES[name], marks=marks)
        content.append(element("figure", figure, element("figcaption", told)))
    if drawn:
        rows = [
            (
                f"{width} px",
                model,
                percent(curve.accuracy[place]),
                percent(curve.mean_iou[place]),
                f"{curve.pixels[place]:,}",
            )
            for place, width in enumerate(range(1, len(drawn[0][1].widths) + 1))
            if width in WIDTHS
            for model, curve in drawn
        ]
        words = (
            "Only labelled pixels near a boundary of the truth are counted: the narrower the band, the harder they are."
        )
        head = ("band", "pixel accuracy", "mean IoU", "pixels")
        content = [
            element("p", words),
            *content,
            *([] if example is None else [example]),
            folded("The numbers of the bands", _by_model(judged, "Bands around boundaries, in percent", head, rows)),
        ]
    if any(one.boundary is not None for one in judged):
        content.append(folded("Boundary F1 of each class", _boundary_f1(judged)))
    return Section("boundaries", "Near boundaries", content) if content else None


def _boundary_f1(judged: Sequence[Judged]) -> Markup:
    rows = [
        (
            name,
            one.name,
            *(percent(part[index]) for part in (one.boundary.f1, one.boundary.precision, one.boundary.recall)),
        )
        for index, name in enumerate(judged[0].evaluation.classes)
        for one in judged
        if one.boundary is not None
    ]
    caption = "Boundary pixels met within 3 pixels, in percent"
    return _by_model(judged, caption, ("class", "F1", "precision", "recall"), rows)


def calibration(judged: Sequence[Judged]) -> Section | None:
    """Confidence against accuracy; None where it was not counted."""
    known = [(one.name, one.calibration) for one in judged if one.calibration is not None]
    known = [(name, bins) for name, bins in known if not math.isnan(bins.ece)]
    if not known:
        return None
    told = (
        "Accuracy against confidence: on the dashed diagonal they agree, and below it the model is too sure of itself"
    )
    series = [Curve(name, bins.confidence.tolist(), bins.accuracy.tolist()) for name, bins in known]
    figure = curves(
        told, series, x="mean confidence of a bin", y="share of its pixels that are right", unit_square=True
    )
    rows = [
        (
            f"{percent(bins.edges[place])} to {percent(bins.edges[place + 1])}",
            name,
            *(percent(part[place]) for part in (bins.share, bins.confidence, bins.accuracy)),
        )
        for place in range(len(known[0][1].share))
        if any(bins.share[place] for _, bins in known)
        for name, bins in known
    ]
    head = ("confidence", "share of the pixels", "mean confidence", "accuracy")
    errors = ", ".join(f"{name} {percent(bins.ece, 2)}" for name, bins in known)
    return Section(
        "calibration",
        "How sure, and how right",
        [
            element("p", f"{TITLES['ece']}, in percent: {errors}."),
            element("figure", figure, element("figcaption", told)),
            folded("The numbers of the bins", _by_model(judged, "Bins of confidence, in percent", head, rows)),
        ],
    )


def sizes(judged: Sequence[Judged]) -> Section | None:
    """Objects found, and pixels of objects met, by the size of the object; None where it was not counted."""
    known = [(one.name, one.sizes) for one in judged if one.sizes is not None and one.sizes.objects.any()]
    if not known:
        return None
    labels = [_between(*between) for between in known[0][1].bounds]
    told = "Share of the objects that are found, by their size in pixels"
    figure = bars(told, labels, [Bars(name, buckets.found.tolist()) for name, buckets in known])
    rows = [
        (
            label,
            name,
            f"{int(buckets.objects[place]):,}",
            percent(buckets.found[place]),
            percent(buckets.accuracy[place]),
        )
        for place, label in enumerate(labels)
        for name, buckets in known
    ]
    words = (
        "The size of an object is the side of the square of the same area, in pixels. An object is found if at least half "
        "of its pixels are predicted right."
    )
    head = ("size", "objects", "found", "pixels predicted right")
    return Section(
        "sizes",
        "Small and large objects",
        [
            element("p", words),
            element("figure", figure, element("figcaption", told)),
            folded("The numbers of the sizes", _by_model(judged, "Objects by size, in percent", head, rows)),
        ],
    )


def bounds(number: Interval) -> str:
    """The bounds of an interval in percent, or a dash where there is none."""
    return "–" if math.isnan(number.low) else f"{percent(number.low, 2)} to {percent(number.high, 2)}"


def _by_model(judged: Sequence[Judged], caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table whose rows have the model second; where there is only one, its column is left out."""
    if len(judged) > 1:
        return table(caption, (head[0], "model", *head[1:]), rows)
    return table(caption, head, ((first, *rest) for first, _, *rest in rows))


def _between(low: float, below: float) -> str:
    return f"from {low:.0f}" if math.isinf(below) else f"below {below:.0f}" if low == 0 else f"{low:.0f} to {below:.0f}"
