"""The running mean against its formula."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pixelwise.models.network import Network
from pixelwise.models.published import create_model
from pixelwise.training.average import WeightAverage


def lite() -> Network:
    torch.manual_seed(0)
    return create_model("fcn32s_lite0", 3, context=8)


def shaken(network: Network, seed: int) -> None:
    """Other weights and other statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=generator))


def test_the_mean_by_hand_over_the_rise_of_its_memory() -> None:
    network = lite()
    average = WeightAverage(network, decay=0.3)
    names = ("decoder.score.weight", "backbone.stem.2.running_mean")
    assert set(names) <= network.state_dict().keys()
    expected: dict[str, torch.Tensor] = {}
    for update in range(5):
        shaken(network, update)
        average.update(network)
        decay = min(0.3, (1 + update) / (10 + update))  # 0.1, 2/11, 3/12, then 0.3
        for name in names:
            now = network.state_dict()[name].double()
            expected[name] = now if update == 0 else decay * expected[name] + (1 - decay) * now
    for name in names:
        torch.testing.assert_close(average.network.state_dict()[name].double(), expected[name], rtol=1e-5, atol=1e-6)


def test_it_is_the_mean_that_torch_computes_at_every_step() -> None:
    network = lite()
    average, theirs = WeightAverage(network, decay=0.3), AveragedModel(network, use_buffers=True)
    for update in range(5):
        shaken(network, update)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked += 1
        theirs.multi_avg_fn = get_ema_multi_avg_fn(min(0.3, (1 + update) / (10 + update)))
        average.update(network)
        theirs.update_parameters(network)
    for name, tensor in theirs.module.state_dict().items():
        expected = tensor if tensor.is_floating_point() else network.state_dict()[name]  # batches are counted
        assert torch.equal(average.network.state_dict()[name], expected), name


def test_the_mean_is_apart_from_the_network_and_in_evaluation_mode() -> None:
    network = lite().train()
    average = WeightAverage(network, decay=0.9)
    average.update(network)
    before = average.network.state_dict()["decoder.score.weight"].clone()
    shaken(network, 1)
    assert torch.equal(average.network.state_dict()["decoder.score.weight"], before)
    assert network.training
    assert not any(module.training for module in average.network.modules())


def test_a_mean_goes_on_where_it_was_saved() -> None:
    network = lite()
    average, later = WeightAverage(network, decay=0.9), WeightAverage(lite(), decay=0.9)
    for update in range(3):
        shaken(network, update)
        average.update(network)
    later.load_state_dict({name: tensor.clone() for name, tensor in average.state_dict().items()})
    for one in (average, later):
        one.update(network)
    for name, tensor in average.network.state_dict().items():
        assert torch.equal(later.network.state_dict()[name], tensor)
