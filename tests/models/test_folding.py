"""Statistics by plain sums over batches, and folded networks that score as they did."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import Refuses
from tests.models.networks import norms_of, pictures, stirred
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.models.backbones.resnet import ResNet, Stage
from pixelwise.models.folding import (
    PIECE,
    WIDE,
    InFloat32,
    KernelProduct,
    fold,
    in_pieces,
    quicken,
    reestimate_statistics,
    shorten,
)
from pixelwise.models.published import create_model

# Statistics.


def test_statistics_by_hand() -> None:
    norm = nn.BatchNorm2d(1)
    # means 2 and 4; squared distances sum to 2 among two values and to 8 among four: variances of samples 2 / 1 and 8 / 3
    reestimate_statistics(
        norm, [torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.tensor([2.0, 6.0, 4.0, 4.0]).view(1, 1, 2, 2)]
    )
    assert norm.running_mean.item() == pytest.approx(3)
    assert norm.running_var.item() == pytest.approx((2 + 8 / 3) / 2)


def test_statistics_equal_plain_sums_with_all_earlier_norms_in_batch_mode() -> None:
    torch.manual_seed(0)
    first, first_norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-9)
    second, second_norm = nn.ConvTranspose2d(4, 2, 3), nn.BatchNorm2d(2, eps=1e-9)
    network = stirred(nn.Sequential(first, first_norm, nn.ReLU(), second, second_norm)).double()
    batches = [pictures(count, (6, 7), seed=count).double() for count in (2, 3, 5)]
    reestimate_statistics(network, batches)

    def plain(maps: list[Tensor], norm: nn.BatchNorm2d) -> list[Tensor]:
        """Compares the statistics, and gives each batch normalised by its own."""
        arrays = [made.detach().numpy() for made in maps]
        means = [array.mean((0, 2, 3)) for array in arrays]
        counts = [array[:, 0].size for array in arrays]
        variances = [array.var((0, 2, 3)) * m / (m - 1) for array, m in zip(arrays, counts, strict=True)]
        np.testing.assert_allclose(norm.running_mean.numpy(), np.mean(means, axis=0), rtol=1e-9)
        np.testing.assert_allclose(norm.running_var.numpy(), np.mean(variances, axis=0), rtol=1e-9)
        return [
            functional.batch_norm(made, None, None, norm.weight, norm.bias, training=True, eps=1e-9) for made in maps
        ]

    normalised = plain([first(batch) for batch in batches], first_norm)
    plain([second(batch.relu()) for batch in normalised], second_norm)


def test_each_batch_passes_once_and_dropout_does_not_act() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3))
    passed = []
    network.register_forward_hook(lambda *_: passed.append(1))
    images = pictures(2, (4, 4))
    reestimate_statistics(network, (images for _ in range(3)))
    assert len(passed) == 3
    torch.testing.assert_close(network[1].running_mean, images.mean((0, 2, 3)))


def test_nothing_but_the_statistics_changes() -> None:
    network = stirred(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2, momentum=0.03), nn.Dropout()))
    network[2].train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reestimate_statistics(network, [pictures(2, (5, 5))])
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert network[1].momentum == 0.03
    assert [layer.training for layer in network] == [False, False, True]
    assert all(parameter.grad is None for parameter in network.parameters())


def interrupted() -> list[Tensor]:
    yield pictures(2, (5, 5))
    raise KeyboardInterrupt


def test_what_gives_no_statistics_is_refused_and_changes_nothing(refuses: Refuses) -> None:
    network = stirred(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with refuses("not one batch", "give at least one"):
        reestimate_statistics(network, [])
    with refuses("batch of (1, 3, 3, 3)", "more or larger images"):  # a single value behind the convolution
        reestimate_statistics(network, [pictures(2, (5, 5)), pictures(1, (3, 3))])
    with pytest.raises(KeyboardInterrupt):
        reestimate_statistics(network, interrupted())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.training
    assert network[1].momentum == 0.1


# Folding.


@torch.no_grad()
def test_one_norm_by_hand() -> None:
    convolution, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0)
    for parameter, value in ((convolution.weight, 3), (convolution.bias, 5), (norm.weight, 7), (norm.bias, 1)):
        parameter.fill_(value)
    norm.running_mean.fill_(2)
    norm.running_var.fill_(4)
    layer, nothing = fold(nn.Sequential(convolution, norm))
    assert (layer.weight.item(), layer.bias.item()) == (7 / 2 * 3, 7 / 2 * (5 - 2) + 1)
    assert isinstance(nothing, nn.Identity)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 6, 3, padding=1),
        nn.Conv2d(3, 6, 3, stride=2, bias=False),
        nn.Conv2d(3, 6, 3, groups=3, dilation=2),
        nn.ConvTranspose2d(3, 6, 3, padding=1),
        nn.ConvTranspose2d(3, 6, 7, bias=False),
    ],
    ids=str,
)
@torch.no_grad()
def test_every_kind_of_convolution_takes_its_norm(layer: nn.Module) -> None:
    network = stirred(nn.Sequential(layer, nn.BatchNorm2d(6), nn.ReLU())).double()
    images = pictures(2, (9, 8)).double()
    folded = fold(network)
    assert not norms_of(folded)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-9, atol=1e-9)


def test_norms_behind_anything_else_stay() -> None:
    network = stirred(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)))
    folded, images = fold(network), pictures(1, (4, 4))
    assert [type(layer) for layer in folded] == [type(layer) for layer in network]
    assert torch.equal(folded(images), network(images))


def test_the_network_that_is_given_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold(network)
    assert network.training
    assert not any(module.training for module in folded.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not {id(p) for p in folded.parameters()} & {id(p) for p in network.parameters()}


@torch.no_grad()
def test_a_folded_fcn_scores_as_before() -> None:
    network = stirred(create_model("fcn8s_lite0", 4, context=16))
    for score in network.last_layers:
        nn.init.normal_(score.weight)
    images = pictures(1, (70, 90))
    folded, scores = fold(network), network(images)
    assert not norms_of(folded)
    assert scores.std() > 1e-3
    torch.testing.assert_close(folded(images), scores, rtol=0, atol=1e-5 * scores.abs().max().item())


@torch.no_grad()
def test_a_folded_resnet_gives_the_maps_of_before() -> None:
    trunk = stirred(ResNet((Stage(2, 16), Stage(1, 32, stride=2)), width=1 / 4)).double()
    images = pictures(1, (40, 33)).double()
    folded = fold(trunk)
    assert not norms_of(folded)
    torch.testing.assert_close(folded(images).maps[0], trunk(images).maps[0], rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_a_folded_deconvnet_is_the_one_without_norms() -> None:
    # In double: where rounding decides which of two cells is the maximum, the scores differ by more than rounding.
    network = create_model("deconvnet_vgg16", 4, width=1 / 32).double()
    images = pictures(2, (224, 256)).double()
    reestimate_statistics(network, [images])
    scores = network.eval()(images)
    folded = fold(network)
    assert not norms_of(folded)
    assert scores.std() > 1e-3
    torch.testing.assert_close(folded(images), scores, rtol=0, atol=1e-6 * scores.abs().max().item())
    plain = create_model("deconvnet_vgg16", 4, width=1 / 32, batch_norm=False).double().eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), folded.state_dict().values(), strict=True)))
    assert torch.equal(plain(images), folded(images))


def test_norms_that_are_held_still_keep_their_statistics():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    network[1].requires_grad_(False)
    images = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    reestimate_statistics(network, [images])
    assert not network[1].running_mean.any()
    between = network[2](network[1].eval()(network[0](images)))  # by the statistics that it had
    torch.testing.assert_close(network[3].running_mean, between.mean((0, 2, 3)))


# Other means to the same scores.


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.ConvTranspose2d(3, 6, 3, padding=1), nn.Conv2d),
        (nn.ConvTranspose2d(3, 6, (5, 1), padding=(2, 0), bias=False), nn.Conv2d),
        (nn.ConvTranspose2d(3, 6, 7), KernelProduct),
        (nn.ConvTranspose2d(3, 6, (2, 3), padding=(0, 1), bias=False), KernelProduct),
        (nn.ConvTranspose2d(3, 6, 3, padding=2), KernelProduct),
    ],
    ids=str,
)
@torch.no_grad()
def test_every_deconvolution_of_stride_1_gives_what_it_gave(layer: nn.Module, kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    network = nn.Sequential(layer).double()
    for size in [(3, 3), (4, 7)]:
        maps = pictures(2, size).double()
        expected = network(maps)
        quick = fold(network)
        quicken(quick)
        assert type(quick[0]) is kind
        torch.testing.assert_close(quick(maps), expected, rtol=1e-9, atol=1e-9)
    assert network[0] is layer


@torch.no_grad()
def test_wide_1x1_convolutions_are_products() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, WIDE // 16, 1), nn.Conv2d(WIDE // 16, 16, 1, bias=False), nn.Conv2d(16, 9, 1))
    maps = pictures(2, (2, 3))
    expected = network(maps)
    quicken(network)
    assert [type(layer) for layer in network] == [nn.Conv2d, KernelProduct, nn.Conv2d]
    torch.testing.assert_close(network(maps), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_what_has_a_stride_groups_or_dilation_stays() -> None:
    network = nn.Sequential(
        nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1),
        nn.ConvTranspose2d(4, 4, 3, padding=1, groups=2),
        nn.ConvTranspose2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1),
    )
    before = list(network)
    quicken(network)
    assert list(network) == before


@torch.no_grad()
def test_a_quickened_deconvnet_scores_as_before() -> None:
    network = create_model("deconvnet_vgg16", 4, width=1 / 32).double()
    images = pictures(2, (224, 256)).double()
    reestimate_statistics(network, [images])
    scores = network.eval()(images)
    quick = fold(network)
    quicken(quick)
    assert not [layer for layer in quick.modules() if isinstance(layer, nn.ConvTranspose2d)]
    torch.testing.assert_close(quick(images), scores, rtol=0, atol=1e-6 * scores.abs().max().item())


@pytest.mark.parametrize("unpooling", ["switches", "nearest"])
@torch.no_grad()
def test_a_deconvnet_in_pieces_scores_as_before_and_passes_no_more_at_once(unpooling: str) -> None:
    network = create_model("deconvnet_vgg16", 4, width=1 / 32, unpooling=unpooling).double().eval()
    images = pictures(2 * PIECE + 1, (224, 256)).double()
    scores = network(images)
    pieces = in_pieces(network)
    seen: dict[str, list[int]] = {"conv1_1": [], "fc6": [], "score": []}
    for name, layer in zip(
        seen, (network.backbone.features[0], network.decoder.layers.fc6, network.decoder.score), strict=True
    ):
        layer.register_forward_hook(lambda _, given, __, name=name: seen[name].append(len(given[0])))
    torch.testing.assert_close(pieces(images), scores, rtol=1e-9, atol=1e-9 * scores.abs().max().item())
    assert seen == {"conv1_1": [PIECE, PIECE, 1], "fc6": [2 * PIECE + 1], "score": [PIECE, PIECE, 1]}


def test_in_pieces_other_networks_stay_and_sizes_are_looked_at(refuses: Refuses) -> None:
    fcn = create_model("fcn32s_vgg16", 4, width=1 / 32)
    assert in_pieces(fcn) is fcn
    with refuses("DeconvNet takes sides of 224, 256", "got 224 x 230"):
        in_pieces(create_model("deconvnet_vgg16", 4, width=1 / 32))(pictures(1, (224, 230)))


@torch.no_grad()
def test_shortened_keeps_first_last_and_what_is_pooled() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    image = pictures(1, (4, 4))
    first = network[0](image)
    shorten(network, torch.bfloat16)
    assert [number for number, layer in enumerate(network) if isinstance(layer, InFloat32)] == [0, 2, 6]
    assert [layer.weight.dtype for layer in (network[1], network[5])] == [torch.bfloat16] * 2
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network[0](image), first)
        kinds = [network[: number + 1](image).dtype for number in range(7)]
    exact, short = torch.float32, torch.bfloat16
    assert kinds == [exact, short, exact, exact, exact, short, exact]
