"""The dense CRF on tensors: image and scores go in, refined scores come out on their device, and gradients pass back.

The mean field of `mean_field`, said in torch's operations; no pixels leave the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelwise.errors import InputError
from pixelwise.refinement.energies import Bilateral, Gaussian, Kernel, one_each
from pixelwise.refinement.mean_field import FLOOR, Normalisation, normalising
from pixelwise.refinement.torch_lattice import TorchLattice
from pixelwise.refinement.unary import as_array, is_tensor, space_of


@dataclass(frozen=True)
class TorchField:
    """A dense CRF for one image at a time; the fields are those of `DenseCRF`, which says what they mean."""

    kernels: Sequence[Kernel]
    iterations: int
    normalisation: Normalisation
    self_message: bool
    tolerance: float | None

    def __call__(
        self, image: Tensor | None, scores: Tensor, weights: Sequence[Tensor] | None = None, *, batched: bool = False
    ) -> Tensor:
        """Refine one image, or each of a batch; for the arguments see `refine`."""
        if not batched:
            return self.refine(image, scores, weights)
        images = [None] * len(scores) if image is None else list(image)
        return torch.stack([self.refine(one, own, weights) for one, own in zip(images, scores, strict=True)])

    def refine(self, image: Tensor | None, scores: Tensor, weights: Sequence[Tensor] | None = None) -> Tensor:
        """Scores `(K, H, W)` or `(K, D, H, W)` -> log-probabilities of the same shape, at least 1e-20.

        image    `(H, W, C)` or `(D, H, W, C)` on any device, or None; no gradient passes to it
        scores   float32 or float64, on any device; gradients pass to them
        weights  of the kernels, in place of their own: a number, `(K,)` or `(K, K)` each; gradients pass to them
        """
        classes, space = len(scores), space_of(tuple(scores.shape), None if image is None else tuple(image.shape))
        unary = scores.reshape(classes, -1).T
        weights = [_own_weight(kernel, unary) for kernel in self.kernels] if weights is None else weights
        terms = [
            _Term.of(
                self._filter(kernel, space, image, unary.device),
                weight,
                kernel.normalisation or self.normalisation,
                unary,
            )
            for kernel, weight in zip(self.kernels, weights, strict=True)
        ]
        field = unary
        beliefs = unary.softmax(1)
        for _ in range(self.iterations):
            before = beliefs
            field = unary + sum(term.message(before, self.self_message) for term in terms)
            beliefs = field.softmax(1)
            if self.tolerance is not None and (beliefs - before).detach().abs().max() <= self.tolerance:
                break
        return field.log_softmax(1).clamp_min(math.log(FLOOR)).T.reshape(classes, *space)

    def _filter(
        self, kernel: Kernel, space: tuple[int, ...], image: Tensor | None, device: torch.device
    ) -> TorchLattice:
        if image is None or not isinstance(kernel, Bilateral):
            return TorchLattice.of(torch.from_numpy(kernel.features(space, None)).to(device))
        places = torch.from_numpy(Gaussian(kernel.position_std).features(space, None)).to(device)
        colours = image.detach().reshape(-1, image.shape[-1]).to(device, torch.float32)
        std = one_each("colour_std of Bilateral", kernel.colour_std, colours.shape[1], "channels")
        return TorchLattice.of(torch.cat([places, colours / colours.new_tensor(std)], 1))


@dataclass(frozen=True)
class _Term:
    """One kernel's part: what `mean_field.Term` is, of tensors."""

    lattice: TorchLattice
    before: Tensor
    after: Tensor
    compatibility: Tensor

    @classmethod
    def of(cls, lattice: TorchLattice, weight: Tensor, normalisation: Normalisation, like: Tensor) -> _Term:
        norm = lattice.filter(like.new_ones(len(like), 1))
        return cls(lattice, *normalising(norm, normalisation), _compatibility(weight.to(like), like.shape[1]))

    def message(self, beliefs: Tensor, self_message: bool) -> Tensor:
        received = self.after * self.lattice.filter(self.before * beliefs)
        if not self_message:
            own = self.before * self.after * self.lattice.diagonal()[:, None].to(beliefs.dtype)
            received = received - own * beliefs
        return received @ self.compatibility


def as_picture(image: Any, device: torch.device) -> Tensor | None:
    """An image, NumPy's or torch's, on a device. Raises `InputError` for what is none, and for NaN and infinity."""
    if image is None:
        return None
    picture = image if is_tensor(image) else torch.from_numpy(np.ascontiguousarray(as_array("image", image)))
    if picture.numel() == 0:
        raise InputError(f"image is empty, with shape {tuple(picture.shape)}: expected at least one pixel and channel")
    picture = picture.to(device)
    if not torch.isfinite(picture).all():
        raise InputError("image has NaN or infinite values: remove them before the CRF")
    return picture


def as_unary(name: str, values: Tensor) -> Tensor:
    """Scores, or the logarithms of probabilities, in float32 or float64. Raises `InputError` as the checks of arrays do."""
    if values.numel() == 0:
        raise InputError(f"{name} is empty, with shape {tuple(values.shape)}: expected at least one pixel and class")
    scores = values if values.dtype == torch.float64 else values.float()
    if not torch.isfinite(scores).all():
        place = tuple((~torch.isfinite(scores)).nonzero()[0].tolist())
        raise InputError(f"{name} has NaN or infinite values, the first at {place}: remove them before the CRF")
    if name == "scores":
        return scores
    low, high = scores.min().item(), scores.max().item()
    if low < 0 or high > 1 + 1e-3:
        raise InputError(f"probabilities lie in 0..1, got {low:g} to {high:g}: pass logits as scores")
    return scores.clamp_min(FLOOR).log()


def _own_weight(kernel: Kernel, like: Tensor) -> Tensor:
    return torch.as_tensor(kernel.weight, dtype=like.dtype, device=like.device)


def _compatibility(weight: Tensor, classes: int) -> Tensor:
    """The symmetric `(K, K)` matrix of a weight: see `energies.compatibility`."""
    if any(side != classes for side in weight.shape) or weight.ndim > 2:
        raise InputError(
            f"weight has shape {tuple(weight.shape)}, expected a number, ({classes},) or ({classes}, {classes}) "
            f"for {classes} classes"
        )
    if weight.ndim == 2:
        return (weight + weight.T) / 2
    return torch.diag(weight.expand(classes))
