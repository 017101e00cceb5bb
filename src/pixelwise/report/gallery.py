"""Judged models and a way to look at an image in, the section with pictures out: which images to show, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import DataSet
from pixelwise.data.sample import Sample
from pixelwise.evaluation.answers import Predictions, answers_of
from pixelwise.inference.contracts import Predictor
from pixelwise.labels import MAIN, LabelSpec
from pixelwise.report.figures import percent
from pixelwise.report.judged import Judged
from pixelwise.report.markup import Markup, element
from pixelwise.report.page import Section
from pixelwise.report.strips import Look, Looked, legend, occurring, strip, trimap_drawn

EACH = 3
"""So many of the best images are shown, of those in the middle, and of the worst."""


def looking_at(data: DataSet, models: Mapping[str, Predictor | Predictions], head: str = MAIN) -> Look:
    """The way to look at samples of `data` with what some models, or kept predictions, say of them, by their names."""
    places = {name: place for place, name in enumerate(data.names)}
    answers = {name: answers_of(model) for name, model in models.items()}

    def look(name: str) -> Looked:
        sample = data[places[name]]
        return Looked(
            name,
            _visible(sample),
            sample.labels[head],
            {model: answer(sample).labels for model, answer in answers.items()},
        )

    return look


def images(judged: Sequence[Judged], look: Look, spec: LabelSpec) -> tuple[Section, Markup | None]:
    """The section of strips, and a trimap drawn on one of the images shown, or None where none has a boundary."""
    groups = chosen(judged)
    if not groups:
        return Section("images", "Images to look at", [element("p", "All models score the same in every image.")]), None
    seen = {place: look(judged[0].evaluation.images[place]) for places in groups.values() for place in places}
    content: list[str] = [element("p", _said_of_choice(judged)), legend(occurring(seen.values()), spec)]
    for title, places in groups.items():
        content.append(element("h3", title))
        content += [strip(seen[place], spec, _caption(judged, place)) for place in places]
    drawn = (trimap_drawn(looked, spec) for looked in seen.values())
    return Section("images", "Images to look at", content), next((figure for figure in drawn if figure), None)


def chosen(judged: Sequence[Judged]) -> dict[str, list[int]]:
    """Titles, and the positions of the images below them; every image once.

    One model: the best, the middle and the worst by the image's own mean IoU. Several: where they differ most.
    """
    if len(judged) > 1:
        values = np.stack([one.per_image["mean_iou"] for one in judged])
        spread = values.max(0) - values.min(0)
        order = [int(place) for place in np.argsort(-spread, kind="stable") if spread[place] > 0]
        return {"Where the models differ most": order[: 2 * EACH]} if order else {}
    ranked = judged[0].ranked()
    if len(ranked) <= 3 * EACH:
        return {"All images, best first": ranked} if ranked else {}
    middle = (len(ranked) - EACH) // 2
    return {
        "Best": ranked[:EACH],
        "In the middle": ranked[middle : middle + EACH],
        "Worst": ranked[-EACH:],
    }


def _said_of_choice(judged: Sequence[Judged]) -> str:
    by = (
        "Chosen by mean IoU of the image by itself"
        if len(judged) == 1
        else "Chosen by the difference in mean IoU of the image"
    )
    return (
        f"{by}, which is good for finding images and no part of the numbers above. Classes have the same colour on the "
        f"whole page, where colours are used again with a pattern; pixels without a label are white and not counted."
    )


def _caption(judged: Sequence[Judged], place: int) -> str:
    name = judged[0].evaluation.images[place]
    scores = (
        f"{f'{one.name} ' if len(judged) > 1 else ''}{percent(float(one.per_image['mean_iou'][place]))}"
        for one in judged
    )
    return f"{name}: mean IoU of this image, in percent: {', '.join(scores)}"


def _visible(sample: Sample) -> NDArray[np.uint8]:
    """Three channels of 8 bits to look at: RGB as it is; of other channels the first, stretched over its range."""
    if sample.image.dtype == np.uint8 and sample.image.shape[2] == 3:
        return sample.image
    low, high = sample.channels.ranges[0]
    grey = np.clip((sample.image[..., :1].astype(np.float64) - low) / (high - low), 0, 1) * 255
    return np.repeat(grey.astype(np.uint8), 3, axis=2)
