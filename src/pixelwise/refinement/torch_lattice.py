"""The permutohedral lattice in torch: features in, a Gaussian filter out, on the device the features lie on.

The same steps as in `permutohedral`, said in torch's operations, so that they run on a GPU and gradients pass through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TorchLattice:
    """Where each of N pixels lies among M vertices, of d-dimensional features.

    vertices    `(N, d + 1)` int64: the corners of the simplex a pixel lies in, 1 .. M; vertex 0 is nowhere
    weights     `(N, d + 1)` float32: its barycentric coordinates, which sum to 1
    neighbours  `(d + 1, 2, M + 1)` int64: the vertices before and behind each, along every axis; 0 where there is none
    """

    vertices: Tensor
    weights: Tensor
    neighbours: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, features: Tensor) -> TorchLattice:
        """Build it from features `(N, d)`, each in units of its standard deviation. No gradient passes to the features.

        Source: Adams, Baek & Davis (Eurographics 2010), section 3.
        """
        remainder, rank, weights = _simplices(features.detach().to(torch.float32))
        d = features.shape[1]
        low = remainder.amin(0) - 2 * (d + 1)  # a vertex, and its neighbour, is off by no more than d + 1 each
        digits = _digits(remainder.amax(0) - low + 2 * (d + 1))
        corners = torch.arange(d + 1, device=features.device)
        offsets = torch.where(rank[:, None] <= d - corners[:, None], corners[:, None], corners[:, None] - (d + 1))
        codes = ((remainder[:, None] + offsets - low)[..., :d] * digits).sum(-1)
        known, vertices = torch.unique(codes, return_inverse=True)
        return cls(vertices + 1, weights, _neighbours(known, digits))

    @property
    def size(self) -> int:
        """M, the number of vertices."""
        return self.neighbours.shape[2] - 1

    def filter(self, values: Tensor, *, transposed: bool = False) -> Tensor:
        """`(N, K)` -> `(N, K)`: each pixel's sum over all pixels, weighted by nearness; gradients pass to `values`.

        `transposed` blurs the axes in reverse order, which is the transpose of the whole operator.
        """
        filtered: Tensor = _Filter.apply(values, self, transposed)
        return filtered

    def diagonal(self) -> Tensor:
        """`(N,)` float32: how much of a pixel's own value the filter gives back to it; see `Lattice.diagonal`."""
        corners = torch.arange(self.weights.shape[1], device=self.weights.device)
        apart = (corners[:, None] - corners).abs()
        blur = 0.5**apart + 0.5 ** (len(corners) - apart)
        blur.fill_diagonal_(1 + 2 * 0.5 ** len(corners))
        return self.alpha * ((self.weights @ blur) * self.weights).sum(1)

    @property
    def alpha(self) -> float:
        """What a filtered value is multiplied by at the end."""
        return 1 / (1 + 2.0 ** -(self.weights.shape[1] - 1))

    def _filter(self, values: Tensor, transposed: bool) -> Tensor:
        d = self.weights.shape[1] - 1
        weights = self.weights.to(values.dtype)
        sums = values.new_zeros(self.size + 1, values.shape[1])
        for corner in range(d + 1):
            sums.index_add_(0, self.vertices[:, corner], weights[:, corner, None] * values)
        for before, behind in self.neighbours.flip(0) if transposed else self.neighbours:
            half = (sums[before] + sums[behind]).mul_(0.5)
            half[0] = 0  # vertex 0 is nowhere: whoever has no neighbour finds nothing there
            sums = half.add_(sums)
        return F.embedding_bag(self.vertices, sums, per_sample_weights=self.alpha * weights, mode="sum")


class _Filter(torch.autograd.Function):
    """A linear operator: its gradient is its transpose, applied to the gradient that comes; so is that one's."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: TorchLattice, transposed: bool) -> Tensor:
        ctx.lattice, ctx.transposed = lattice, transposed
        return lattice._filter(values, transposed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.lattice.filter(gradients[0], transposed=not ctx.transposed), None, None


def _simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest lattice point of remainder 0 of each pixel `(N, d + 1)`, its coordinates' ranks, and the weights."""
    pixels, d = features.shape
    scales = [(d + 1) * math.sqrt(2 / 3) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    scaled = features * features.new_tensor(scales)
    total, columns = features.new_zeros(pixels), []
    for j in range(d, 0, -1):  # added up one by one: a library's sum over an axis may round in another order
        columns.append(total - j * scaled[:, j - 1])
        total = total + scaled[:, j - 1]
    elevated = torch.stack([total, *columns[::-1]], 1)
    nearest = torch.floor(elevated / (d + 1) + 0.5).long()
    difference = elevated - nearest * (d + 1)
    order = difference.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(1) + nearest.sum(1, keepdim=True)
    turn = (rank < 0).long() - (rank > d).long()
    rank, remainder = rank + turn * (d + 1), (nearest + turn) * (d + 1)
    part = (elevated - remainder) / (d + 1)
    sums = features.new_zeros(pixels, d + 2)
    sums.scatter_add_(1, d - rank, part)
    sums.scatter_add_(1, d - rank + 1, -part)
    sums[:, 0] += 1 + sums[:, d + 1]
    return remainder, rank, sums[:, : d + 1].contiguous()


def _digits(ranges: Tensor) -> Tensor:
    """What the d coordinates of a vertex are multiplied by so that their sum is its number: places of mixed radix.

    Where that does not fit 63 bits, random odd factors: sums wrap, and two of M vertices get one number with a
    probability below M² / 2⁶⁴.
    """
    ranges = ranges[:-1]
    if math.prod(ranges.tolist()) < 2**63:
        return torch.cat([ranges.new_ones(1), ranges[:-1].cumprod(0)])
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, ranges.shape, generator=generator) * 2 + 1
    return factors.to(ranges.device)


def _neighbours(known: Tensor, digits: Tensor) -> Tensor:
    """`(d + 1, 2, M + 1)`: along axis j, minus 1 in all coordinates but plus d in j, and the opposite.

    `known` `(M,)` are the vertices' numbers in ascending order. A number is linear in the coordinates, so a step is one
    number for all vertices; the axis d has no digit, for the last coordinate follows from the others.
    """
    d = len(digits)
    steps = torch.cat([(d + 1) * digits, digits.new_zeros(1)]) - digits.sum()
    found = []
    for step in torch.stack([steps, -steps], 1).flatten():
        wanted = known + step
        place = torch.searchsorted(known, wanted).clamp_(max=len(known) - 1)
        found.append(torch.where(known[place] == wanted, place + 1, 0))
    return F.pad(torch.stack(found), (1, 0)).reshape(d + 1, 2, -1)
