"""A running mean of the weights: often better than the last ones, and what is validated and kept where it is on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pixelwise.models.network import Network


class WeightAverage:
    """An exponential mean of a network's weights and statistics.

    After n updates it forgets with `min(decay, (1 + n) / (10 + n))`, so that a short run's mean is not its beginning.
    `state_dict` and `load_state_dict` are what a resumed run needs.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self._averaged = AveragedModel(network, use_buffers=True)  # its own update sorts all tensors, at every step
        self._tensors = _tensors(self._averaged.module)

    @property
    def network(self) -> Network:
        """The network with the mean weights, in evaluation mode."""
        network = self._averaged.module
        assert isinstance(network, Network)
        return network.eval()

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the network's present weights; the first time, and where whole numbers are counted, as they are."""
        updates = int(self._averaged.n_averaged)
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for mean, now in zip(self._tensors, _tensors(network), strict=True):
            if updates and mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)
        self._averaged.n_averaged += 1

    def state_dict(self) -> dict[str, object]:
        """The mean, and how many updates it is of."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """The inverse of `state_dict`."""
        self._averaged.load_state_dict(state)


def _tensors(network: nn.Module) -> list[Tensor]:
    """All weights and statistics, in one order."""
    return [*network.parameters(), *network.buffers()]
