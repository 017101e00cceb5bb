"""A dense CRF as a layer: images and scores go in, refined scores come out, and its weights are learned with the network's."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from pixelwise.errors import InputError
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.torch_field import TorchField, as_picture, as_unary


class TrainableCRF(nn.Module):
    """A `DenseCRF` whose kernels' weights are parameters: they start as they are there, and keep their shape.

    A number stays a number, `(K,)` learns a weight a class, and `(K, K)` the compatibility of classes. Deviations are
    not learned: no gradient passes to features.

    images  a batch `(N, H, W, C)`, channels last as for `DenseCRF`, on any device, or None if no kernel looks at colours
    scores  `(N, K, H, W)`; returns log-probabilities of that shape, at least 1e-20

    Raises `InputError` for a CRF with filters of its own.

    Source: Zheng et al., Conditional random fields as recurrent neural networks (ICCV 2015), section 4.2, which learns
    weights and compatibilities through the iterations; with Potts weights that start as given.
    """

    def __init__(self, crf: DenseCRF) -> None:
        super().__init__()
        if crf.filters is not None:
            raise InputError("a layer filters on lattices, and this CRF has filters of its own: leave filters= out")
        self.crf = crf
        self.weights = nn.ParameterList(
            nn.Parameter(torch.as_tensor(kernel.weight, dtype=torch.float32).clone()) for kernel in crf.kernels
        )

    def forward(self, images: Tensor | None, scores: Tensor) -> Tensor:
        crf = self.crf
        field = TorchField(crf.kernels, crf.iterations, crf.normalisation, crf.self_message, crf.tolerance)
        pictures, unary = as_picture(images, scores.device), as_unary("scores", scores)
        return field(pictures, unary, list(self.weights), batched=True).to(scores.dtype)

    def trained(self) -> DenseCRF:
        """The CRF with the weights as they are now, for arrays and without torch."""
        crf = self.crf
        kernels = [
            dataclasses.replace(kernel, weight=weight.detach().cpu().numpy())
            for kernel, weight in zip(crf.kernels, self.weights, strict=True)
        ]
        return DenseCRF(
            kernels,
            iterations=crf.iterations,
            normalisation=crf.normalisation,
            self_message=crf.self_message,
            tolerance=crf.tolerance,
            threads=crf.threads,
            half=crf.half,
        )
