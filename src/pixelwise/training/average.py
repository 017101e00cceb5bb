"""A running mean of the weights: often better than the last ones, and what is validated and kept where it is on."""

from __future__ import annotations

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pixelwise.models.network import Network


class WeightAverage:
    """An exponential mean of a network's weights and statistics.

    After n updates it forgets with `min(decay, (1 + n) / (10 + n))`, so that a short run's mean is not its beginning.
    `state_dict` and `load_state_dict` are what a resumed run needs.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self._averaged = AveragedModel(network, use_buffers=True)

    @property
    def network(self) -> Network:
        """The network with the mean weights, in evaluation mode."""
        network = self._averaged.module
        assert isinstance(network, Network)
        return network.eval()

    def update(self, network: Network) -> None:
        """Take in the network's present weights."""
        updates = int(self._averaged.n_averaged)
        decay = min(self.decay, (1 + updates) / (10 + updates))
        self._averaged.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self._averaged.update_parameters(network)

    def state_dict(self) -> dict[str, object]:
        """The mean, and how many updates it is of."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """The inverse of `state_dict`."""
        self._averaged.load_state_dict(state)
