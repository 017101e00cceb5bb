"""Log-probabilities and filters go in, the mean field's beliefs come out, iteration by iteration.

Source: Krähenbühl & Koltun, Efficient inference in fully connected CRFs with Gaussian edge potentials (NIPS 2011),
algorithm 1; all pixels are updated at once, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-20
"""The least probability whose logarithm is told: that of 0 would be no number."""

TINY = 1e-20
"""Added to what is divided by. Source: the authors' code, which adds it to the norm."""

Normalisation = Literal["none", "before", "after", "symmetric", "mean"]
NORMALISATIONS: tuple[Normalisation, ...] = ("none", "before", "after", "symmetric", "mean")


class Filter(Protocol):
    """A linear operator on N pixels, the same for every channel: row i holds how much of each pixel i receives."""

    def filter(self, values: NDArray, *, transposed: bool = False) -> NDArray:
        """`(N, K)` -> `(N, K)`; or with the transposed operator."""
        ...

    def diagonal(self) -> NDArray:
        """`(N,)`: how much each pixel receives of itself."""
        ...


@dataclass(frozen=True)
class Term:
    """One kernel's part of the energy: messages are filtered beliefs, and the compatibility says what they weigh.

    operator       its filter
    before, after  `(N,)`: what beliefs are multiplied by before they are filtered, and messages after
    compatibility  `(K, K)`: score of label l for a message of label k. Agreement is rewarded, so Potts is weight * identity
    own            `(N,)`: the part of a message that is a pixel's own and is taken out again; None: it stays
    """

    operator: Filter
    before: NDArray
    after: NDArray
    compatibility: NDArray
    own: NDArray | None

    @classmethod
    def of(
        cls, operator: Filter, pixels: int, compatibility: NDArray, normalisation: Normalisation, *, self_message: bool
    ) -> Term:
        """The term of a filter on so many pixels.

        n, the filter's answer to 1 everywhere, normalises: "before" K(q / n), "after" K(q) / n, "symmetric"
        K(q / sqrt n) / sqrt n, "mean" K(q) / mean(n), "none" K(q).

        Source: the authors' code, densecrf v2 for the first three, that of 2011 for "after" and "mean".
        """
        norm = operator.filter(np.ones((pixels, 1), compatibility.dtype))[:, 0]
        before, after = normalising(norm, normalisation)
        own = None if self_message else before * after * operator.diagonal()
        return cls(operator, before, after, compatibility, own)

    def message(self, beliefs: NDArray) -> NDArray:
        """Beliefs `(N, K)` -> what is added to the scores, `(N, K)`."""
        received = self.after[:, None] * self.operator.filter(self.before[:, None] * beliefs)
        if self.own is not None:
            received -= self.own[:, None] * beliefs
        return received @ self.compatibility


@dataclass(frozen=True)
class State:
    """Where a mean field stands after an iteration: scores `(N, K)`, unnormalised, and beliefs, their softmax."""

    scores: NDArray
    beliefs: NDArray


def mean_field(unary: NDArray, terms: Sequence[Term]) -> Iterator[State]:
    """The states of a mean field, without end: before the first iteration, after it, and so on.

    unary  scores `(N, K)`, the negative energy of each label at each pixel
    """
    state = State(unary, softmax(unary))
    while True:
        yield state
        scores = unary.copy()
        for term in terms:
            scores += term.message(state.beliefs)
        state = State(scores, softmax(scores))


def normalising(norm: Any, normalisation: Normalisation) -> tuple[Any, Any]:
    """What beliefs are multiplied by before they are filtered, and messages after, in the shape of `norm`.

    norm  the filter's answer to 1 everywhere, an array or a tensor
    """
    ones, inverse = norm**0, 1 / (norm + TINY)
    match normalisation:
        case "none":
            return ones, ones
        case "before":
            return inverse, ones
        case "after":
            return ones, inverse
        case "symmetric":
            return (root := inverse**0.5), root
        case "mean":
            return ones, ones / norm.mean()


def free_energy(unary: NDArray, terms: Sequence[Term], beliefs: NDArray) -> float:
    """KL(Q || P) of beliefs `(N, K)`, but for the constant log Z: expected energy less entropy.

    Each pair of pixels counts once; `klDivergence` of the authors' code counts it twice.
    """
    own = float(np.sum(beliefs * np.log(np.maximum(beliefs, FLOOR))) - np.sum(beliefs * unary))
    return own - 0.5 * sum(float(np.sum(beliefs * term.message(beliefs))) for term in terms)


def energy(unary: NDArray, terms: Sequence[Term], labels: NDArray) -> float:
    """E(x) of labels `(N,)`, each pair of pixels counted once; agreement lowers it."""
    chosen = np.zeros_like(unary)
    chosen[np.arange(len(labels)), labels] = 1
    pairs = sum(float(np.sum(chosen * term.message(chosen))) for term in terms)
    return -float(np.sum(chosen * unary)) - 0.5 * pairs


def softmax(scores: NDArray) -> NDArray:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_softmax(scores: NDArray, floor: float = FLOOR) -> NDArray:
    """Over the last axis; probabilities below `floor` count as `floor`."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.maximum(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.log(floor))
