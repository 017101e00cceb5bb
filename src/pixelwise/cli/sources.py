"""A word that says whose answers are meant in, their source out: a model, or predictions that were kept in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pixelwise.errors import InputError

if TYPE_CHECKING:
    from pixelwise.evaluation.answers import Predictions
    from pixelwise.inference.contracts import Predictor
    from pixelwise.labels import LabelSpec


@dataclass(frozen=True)
class Source:
    """Whose answers are meant: the predictor or kept predictions, its classes, its weights' hash and CRF if it has any."""

    answers: Predictor | Predictions
    label_spec: LabelSpec
    weights: str | None = None
    crf: Mapping[str, Any] | None = None


def refuse_no_source(reference: str) -> None:
    """Raise `InputError` if a word is neither a model nor a folder of predictions: quick, before data is read."""
    from pixelwise.evaluation.answers import Predictions, is_predictions
    from pixelwise.inference.loading import find_model

    if is_predictions(reference):
        Predictions.read(reference)
    else:
        find_model(reference)


def open_source(reference: str, device: str | None = None, crf: str | None = None, head: str | None = None) -> Source:
    """Load a model, or open a folder of predictions, which needs no torch; raises `InputError` as these do.

    crf   a preset to refine the model's scores by; predictions that were kept have none to refine
    head  which of a network's heads answers; predictions that were kept are of the one they are of
    """
    from pixelwise.evaluation.answers import Predictions, is_predictions
    from pixelwise.inference.loading import digest_of, load

    if is_predictions(reference):
        if crf is not None:
            raise InputError(
                "--crf refines a model's scores, and these are predictions: give the model, or leave it out"
            )
        kept = Predictions.read(reference)
        return Source(kept, kept.label_spec)
    loaded = load(reference, device=device, crf=crf, head=head)  # first: it refuses a system that is a part of itself
    also = b"".join(json.dumps(loaded.record[key]).encode() for key in ("crf", "head") if key in loaded.record)
    return Source(loaded.predictor, loaded.label_spec, digest_of(reference, also), loaded.record.get("crf"))
