"""The fully connected CRF: an image and anybody's scores go in, refined scores come out.

Source: Krähenbühl & Koltun, Efficient inference in fully connected CRFs with Gaussian edge potentials (NIPS 2011).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError
from pixelwise.refinement.energies import Kernel, check_normalisation, compatibility
from pixelwise.refinement.lattice_field import is_lattice_field, refine
from pixelwise.refinement.mean_field import (
    Filter,
    Normalisation,
    State,
    Term,
    energy,
    free_energy,
    log_softmax,
    mean_field,
)
from pixelwise.refinement.permutohedral import Lattice
from pixelwise.refinement.presets import Preset, read_preset
from pixelwise.refinement.unary import (
    CONFIDENCE,
    as_array,
    checked_scores,
    from_labels,
    from_probabilities,
    is_tensor,
    space_of,
)


@dataclass(frozen=True)
class Trace:
    """What a mean field went through, before the first iteration (place 0) and after each.

    scores    log-probabilities, each like the scores that were given
    beliefs   their probabilities
    energies  E(x) of the best labels x; empty unless asked for
    divergences  KL(Q || P) but for a constant; empty unless asked for
    """

    scores: list[NDArray[np.float32]]
    beliefs: list[NDArray[np.float32]]
    energies: list[float]
    divergences: list[float]


class DenseCRF:
    """A fully connected CRF with Gaussian kernels, by mean field: refines the scores of any model.

    kernels        `Gaussian`, `Bilateral` or `Features`, at least one
    iterations     of the mean field, at least 0
    normalisation  of the kernels that name none: "none", "before", "after", "symmetric" or "mean", see `Term.of`
    self_message   True: pixels hear themselves too, as in the released implementations; False: as in the formula
    tolerance      stop when no belief changes by more than this, 0..1; None: do all iterations
    filters        what makes a filter of features `(N, d)`; None: the permutohedral lattice, which is fast and nearly exact
    threads        how many work on lattices; None: as many as there are cores, or as `NUMBA_NUM_THREADS` says
    half           keep scores and messages in 16 bits on the way, where the processor can: faster, and beliefs of arrays change
                   by some 1e-5 on average; False: in 32, as tensors have them

    `crf(image, scores)` takes the image `(H, W, C)`, uint8 or float, and scores `(K, H, W)` of any float type and memory
    layout; volumes are `(D, H, W, C)` and `(K, D, H, W)`, batches have one more axis in front. It returns log-probabilities
    (1e-20 at least), like the scores: NumPy or torch, type and shape.

    Raises `InputError` for what does not fit.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        *,
        iterations: int = 10,
        normalisation: Normalisation = "symmetric",
        self_message: bool = True,
        tolerance: float | None = None,
        filters: Callable[[NDArray], Filter] | None = None,
        threads: int | None = None,
        half: bool = True,
    ) -> None:
        if not kernels:
            raise InputError("a DenseCRF needs at least one kernel, got none: try Gaussian(3, weight=3)")
        if iterations < 0 or iterations != int(iterations):
            raise InputError(f"iterations is a whole number, 0 or more, got {iterations}")
        if tolerance is not None and not 0 <= tolerance < math.inf:
            raise InputError(f"tolerance is a change of belief, 0 or more, or None, got {tolerance}")
        if normalisation is None:
            raise InputError("normalisation is one of none, before, after, symmetric, mean; got None")
        check_normalisation(normalisation)
        if threads is not None and threads < 1:
            raise InputError(f"threads is how many, at least 1, or None, got {threads}")
        self.kernels = tuple(kernels)
        self.iterations = int(iterations)
        self.normalisation = normalisation
        self.self_message = self_message
        self.tolerance = tolerance
        self.filters = filters
        self.threads = threads
        self.half = half

    @classmethod
    def preset(cls, preset: str | os.PathLike[str] | Preset) -> DenseCRF:
        """The CRF of a `Preset`: published ones by name (see `presets.PRESETS`), others from a file or as they are.

        Raises `InputError` for an unknown name, and for a file that cannot be used.
        """
        if not isinstance(preset, Preset):
            preset = read_preset(preset)
        return cls(preset.kernels, iterations=preset.iterations, normalisation=preset.normalisation)

    def __call__(
        self,
        image: Any,
        scores: Any = None,
        *,
        probabilities: Any = None,
        labels: Any = None,
        classes: int | None = None,
        confidence: float = CONFIDENCE,
        unsure: int | None = None,
        batch: bool | None = None,
    ) -> Any:
        """Refined scores of an image: log-probabilities, in shape and type like what was given.

        image          `(H, W, C)`, `(D, H, W, C)` or a batch `(N, ..., C)`; None if no kernel looks at colours
        scores         logits `(K, H, W)`, `(K, D, H, W)` or a batch `(N, K, ...)`; or instead of them
        probabilities  the same shapes, 0..1; or
        labels         `(H, W)`, `(D, H, W)` or `(N, ...)`, with `classes`, the `confidence` they deserve and the value that
                       means `unsure`
        batch          whether there is an axis for images; None: seen from the shapes
        """
        given, values = _one_of(scores=scores, probabilities=probabilities, labels=labels)
        if is_tensor(values) and given != "labels" and (values.requires_grad or values.device.type != "cpu"):
            return self._refine_tensor(given, values, image, batch)
        picture = None if image is None else as_array("image", image)
        array = as_array(given, values)
        batched = _is_batch(given, array, picture, batch)
        if given == "labels":
            unary = from_labels(array, classes, confidence, unsure, axis=int(batched))
        else:
            unary = from_probabilities(array) if given == "probabilities" else checked_scores(array)
        if batched:
            pictures = [None] * len(unary) if picture is None else list(picture)
            refined = np.stack([self._refine(one, own) for one, own in zip(pictures, unary, strict=True)])
        else:
            refined = self._refine(picture, unary)
        return _like(values, refined)

    def trace(self, image: Any, scores: Any, *, energies: bool = False) -> Trace:
        """The same for one image, with what stands after every iteration; with `energies` also energy and divergence.

        Scores and image as for a call, without a batch axis; all that is kept is NumPy's.
        """
        picture = None if image is None else as_array("image", image)
        unary = checked_scores(as_array("scores", scores))
        space = _space(unary, picture)
        start = log_softmax(_rows(unary))
        terms = self._terms(picture, space, len(unary))
        trace = Trace([], [], [], [])
        for state in self._states(start, terms):
            trace.scores.append(_maps(log_softmax(state.scores), space))
            trace.beliefs.append(_maps(state.beliefs, space))
            if energies:
                trace.energies.append(energy(start, terms, state.beliefs.argmax(axis=1)))
                trace.divergences.append(free_energy(start, terms, state.beliefs))
        return trace

    def _refine_tensor(self, given: str, values: Any, image: Any, batch: bool | None) -> Any:
        """On the tensor's own device, with gradients."""
        from pixelwise.refinement.torch_field import TorchField, as_picture, as_unary

        if self.filters is not None:
            raise InputError("filters of your own work on arrays: pass those, or tensors on the CPU without gradients")
        picture, unary = as_picture(image, values.device), as_unary(given, values)
        field = TorchField(self.kernels, self.iterations, self.normalisation, self.self_message, self.tolerance)
        refined = field(picture, unary, batched=_is_batch(given, values, picture, batch))
        return refined.to(values.dtype) if values.is_floating_point() else refined

    def _refine(self, image: NDArray | None, unary: NDArray[np.float32]) -> NDArray[np.float32]:
        """One image's scores `(K, ...)`, refined."""
        space = _space(unary, image)
        terms = self._terms(image, space, len(unary))
        if is_lattice_field(terms):
            flat = unary.reshape(len(unary), -1)
            return refine(flat, terms, self.iterations, self.tolerance, half=self.half).reshape(unary.shape)
        *_, last = self._states(_rows(unary), terms)
        return _maps(log_softmax(last.scores), space)

    def _terms(self, image: NDArray | None, space: tuple[int, ...], classes: int) -> list[Term]:
        several = [kernel.features(space, image) for kernel in self.kernels]
        filters = (
            Lattice.side_by_side(several, self.threads)
            if self.filters is None
            else [self.filters(one) for one in several]
        )
        return [
            Term.of(
                operator,
                math.prod(space),
                compatibility(kernel.weight, classes),
                kernel.normalisation or self.normalisation,
                self_message=self.self_message,
            )
            for operator, kernel in zip(filters, self.kernels, strict=True)
        ]

    def _states(self, unary: NDArray, terms: Sequence[Term]) -> Any:
        before: State | None = None
        for state in islice(mean_field(unary, terms), self.iterations + 1):
            yield state
            if self.tolerance is not None and before is not None and change(before, state) <= self.tolerance:
                return
            before = state


def change(before: State, after: State) -> float:
    """The largest change of a belief, 0..1."""
    return float(np.abs(after.beliefs - before.beliefs).max())


def _one_of(**given: Any) -> tuple[str, Any]:
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise InputError(f"expected one of scores, probabilities and labels, got {' and '.join(names) or 'none'}")
    return names[0], given[names[0]]


def _is_batch(name: str, array: Any, image: Any, batch: bool | None) -> bool:
    """Whether the first axis counts images; the shapes say so, where `batch` does not."""
    inner = array.ndim - (name != "labels")  # axes that are not classes
    if batch is not None:
        return batch
    if image is None:
        if inner == 2:
            return False
        raise InputError(
            f"{name} of shape {array.shape} may be a batch or a volume, and no image tells: say batch=True or False"
        )
    space = image.shape[:-1]
    single = array.shape[array.ndim - inner :] == space
    several = name != "labels" and inner >= 3 and (array.shape[0], *array.shape[2:]) == space
    if several and single:
        raise InputError(
            f"{name} {array.shape} and image {image.shape} fit as a batch and as a volume: say batch=True or False"
        )
    return several


def _space(unary: NDArray, image: NDArray | None) -> tuple[int, ...]:
    """The size of scores `(K, ...)`, which is the image's."""
    space = space_of(unary.shape, None if image is None else image.shape)
    if image is not None and image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError("image has NaN or infinite values: remove them before the CRF")
    return space


def _rows(maps: NDArray) -> NDArray:
    """`(K, ...)` -> `(N, K)`."""
    return np.ascontiguousarray(maps.reshape(len(maps), -1).T)


def _maps(rows: NDArray, space: tuple[int, ...]) -> NDArray:
    """`(N, K)` -> `(K, ...)`."""
    return np.ascontiguousarray(rows.T).reshape(-1, *space)


def _like(given: Any, refined: NDArray[np.float32]) -> Any:
    """Refined scores as what was given is: torch's or NumPy's, of its float type."""
    if not is_tensor(given):
        kind = np.asarray(given).dtype
        return refined.astype(kind if kind.kind == "f" else np.float32, copy=False)
    import torch

    tensor = torch.from_numpy(refined).to(given.device)
    return tensor.to(given.dtype) if given.is_floating_point() else tensor
