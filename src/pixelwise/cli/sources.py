"""A word that says whose answers are meant in, their source out: a model, or predictions that were kept in a folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelwise.evaluation.answers import Predictions
    from pixelwise.inference.contracts import Predictor
    from pixelwise.labels import LabelSpec


@dataclass(frozen=True)
class Source:
    """Whose answers are meant: the predictor or kept predictions, its classes, and its weights' hash if it has any."""

    answers: Predictor | Predictions
    label_spec: LabelSpec
    weights: str | None = None


def refuse_no_source(reference: str) -> None:
    """Raise `InputError` if a word is neither a model nor a folder of predictions: quick, before data is read."""
    from pixelwise.evaluation.answers import Predictions, is_predictions
    from pixelwise.inference.model import find_model

    if is_predictions(reference):
        Predictions.read(reference)
    else:
        find_model(reference)


def open_source(reference: str, device: str | None = None) -> Source:
    """Load a model, or open a folder of predictions, which needs no torch; raises `InputError` as these do."""
    from pixelwise.evaluation.answers import Predictions, is_predictions
    from pixelwise.inference.model import find_model, load

    if is_predictions(reference):
        kept = Predictions.read(reference)
        return Source(kept, kept.label_spec)
    digest = hashlib.sha256()
    for path in sorted(find_model(reference).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    loaded = load(reference, device=device)
    return Source(loaded.predictor, loaded.label_spec, digest.hexdigest()[:16])
