"""Judged models in, a report's folder out: `report.html` for people, `metrics.json` and `per_image.csv` for machines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelwise.errors import InputError
from pixelwise.files import directory_written_beside
from pixelwise.labels import LabelSpec
from pixelwise.report import sections
from pixelwise.report.gallery import images
from pixelwise.report.judged import Difference, Judged, per_image_csv
from pixelwise.report.page import page
from pixelwise.report.strips import Look
from pixelwise.version import __version__

PAGE = "report.html"
NUMBERS = "metrics.json"
IMAGES = "per_image.csv"


def write_report(
    folder: str | os.PathLike[str],
    judged: Sequence[Judged],
    spec: LabelSpec,
    look: Look,
    found: Sequence[Difference] = (),
) -> Path:
    """Write the report of one model, or of several side by side with what each has over the first; give the page's path.

    `judged` are evaluations of the same images in the same order, `spec` names their classes, `look` gives an image with
    its predictions, and `found` are the `differences` of several models. The folder is written whole or not at all, and
    a report that is there is replaced. Raises `InputError` as `refuse_taken` does.
    """
    target = refuse_taken(folder)
    assert all(one.evaluation.images == judged[0].evaluation.images for one in judged), "judged on the same images"
    facts = _facts(judged)
    gallery, example = images(judged, look, spec)
    several = len(judged) > 1
    parts = (
        sections.headline(judged),
        sections.compared(found) if found else None,
        sections.classes(judged),
        None if several else sections.confusion(judged[0]),
        sections.boundaries(judged, example),
        sections.calibration(judged),
        sections.sizes(judged),
        gallery,
    )
    title = f"{', '.join(one.name for one in judged)} on {Path(facts.get('data', 'a data set')).name}"
    with directory_written_beside(target) as beside:
        (beside / PAGE).write_text(page(title, facts, [part for part in parts if part]), encoding="utf-8")
        (beside / NUMBERS).write_text(f"{json.dumps(numbers(judged, found), indent=1)}\n", encoding="utf-8")
        (beside / IMAGES).write_text(per_image_csv(judged), encoding="utf-8")
    return target / PAGE


def numbers(judged: Sequence[Judged], found: Sequence[Difference] = ()) -> dict[str, Any]:
    """Every number of a report, for `json.dumps`."""
    return {
        "pixelwise": __version__,
        "models": [one.to_json() for one in judged],
        "differences": [one.to_json() for one in found],
    }


def refuse_taken(folder: str | os.PathLike[str]) -> Path:
    """Where a report is to lie, as a full path.

    Raises `InputError` if it is a file or holds anything else than a report, for it is going to be replaced; better
    asked before the images are counted than after.
    """
    target = Path(folder).absolute()
    if target.exists() and not target.is_dir():
        raise InputError(f"{folder}: a file, but a report is a folder; choose another one")
    others = sorted(path.name for path in target.glob("*") if path.name not in (PAGE, NUMBERS, IMAGES))
    if others:
        raise InputError(
            f"{folder}: holds other things than a report ({others[0]}), and a report replaces its folder; choose a new "
            f"one, such as {folder}/report"
        )
    return target


def _facts(judged: Sequence[Judged]) -> dict[str, str]:
    """What was judged on what, for the head of the page: what is the same for all models stands there once."""
    facts: dict[str, str] = {}
    for one in judged:
        evaluation = one.evaluation
        given = {
            **evaluation.facts,
            "images": f"{len(evaluation.images):,}",
            "labelled pixels": f"{one.measures.pixels:,}",
        }
        for name, value in given.items():
            words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            if words and words not in facts.get(name, "").split("; "):
                facts[name] = f"{facts[name]}; {words}" if name in facts else words
    return facts
