"""What people have goes in (scores, probabilities or labels, in any layout), scores that can be reckoned with come out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError
from pixelwise.refinement.mean_field import FLOOR

CONFIDENCE = 0.7
"""Source: `unary_from_labels` of pydensecrf's example, where 0.7 of the belief is the label's."""


def is_tensor(value: Any) -> bool:
    """Whether it is torch's, which need not be installed."""
    return type(value).__module__.split(".")[0] == "torch"


def as_array(name: str, value: Any) -> NDArray:
    """A NumPy array of numbers, of the caller's own memory where that can be; tensors come to the CPU.

    Raises `InputError` for anything that is no array of numbers or has no elements.
    """
    if is_tensor(value):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() and value.element_size() < 4 else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has elements of type {array.dtype}, expected numbers")
    if array.size == 0:
        raise InputError(f"{name} is empty, with shape {array.shape}: expected at least one pixel, class and channel")
    return array


def space_of(scores: tuple[int, ...], image: tuple[int, ...] | None) -> tuple[int, ...]:
    """The pixels that scores of this shape, `(K, ...)`, are of; `InputError` unless an image of that shape has the same."""
    if len(scores) not in (3, 4):
        raise InputError(f"scores have shape {scores}, expected (K, H, W) or (K, D, H, W)")
    if image is not None and image[:-1] != scores[1:]:
        raise InputError(
            f"image has shape {image}, expected {(*scores[1:], 'C')}, the size of the scores {scores}, channels last"
        )
    return scores[1:]


def checked_scores(array: NDArray, name: str = "scores") -> NDArray[np.float32]:
    """Scores as float32. Raises `InputError` where one is NaN or infinite, or too large for float32."""
    with np.errstate(over="ignore"):
        scores = array.astype(np.float32, copy=False)
    # The sum is finite if all are; where it is not, they are looked at one by one.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(scores.sum())
    if suspicious and not (finite := np.isfinite(scores)).all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InputError(f"{name} has NaN or infinite values, the first at {place}: remove them before the CRF")
    return scores


def from_probabilities(array: NDArray) -> NDArray[np.float32]:
    """Probabilities `(..., K, ...)` -> their logarithms, those below 1e-20 counted as 1e-20."""
    array = checked_scores(array, "probabilities")
    if array.min() < 0 or array.max() > 1 + 1e-3:
        raise InputError(f"probabilities lie in 0..1, got {array.min():g} to {array.max():g}: pass logits as scores")
    return np.log(np.maximum(array, np.float32(FLOOR)))


def from_labels(
    array: NDArray, classes: int | None, confidence: float, unsure: int | None, axis: int
) -> NDArray[np.float32]:
    """Hard labels -> log-probabilities, with the classes at `axis`.

    A label has the belief `confidence`, the other classes share the rest; where the label is `unsure` all are alike.

    Raises `InputError` for labels that are no class, fewer than two classes, and a confidence outside 0..1.
    """
    if classes is None or classes < 2:
        raise InputError(f"labels need classes=, their number, at least 2, got {classes}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is the belief in a label, between 0 and 1, got {confidence}")
    if array.dtype.kind == "f":
        raise InputError(f"labels are whole numbers, got {array.dtype}: pass scores or probabilities by their names")
    known = np.ones(array.shape, bool) if unsure is None else array != unsure
    if wrong := sorted({int(label) for label in np.unique(array[known])} - set(range(classes))):
        raise InputError(f"labels are 0..{classes - 1}, got {wrong[0]}: name the value for unsure pixels with unsure=")
    one_hot = np.expand_dims(array, axis) == np.arange(classes).reshape(-1, *[1] * (array.ndim - axis))
    beliefs = np.where(one_hot, confidence, (1 - confidence) / (classes - 1))
    beliefs = np.where(np.expand_dims(known, axis), beliefs, 1 / classes)
    return np.log(beliefs).astype(np.float32)
