"""DeconvNet: the release's layers and counts, unpooling and its mirror by plain loops, and a second writing of it all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses
from tests.models.networks import CLASSES, full_size, narrow, norms_of, parameter_count, pictures, stirred
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.geometry import IMAGE_GRID
from pixelwise.labels import MAIN
from pixelwise.models.backbones.vgg import VGG, Stage
from pixelwise.models.decoders.deconvnet import DeconvDecoder, Unpool
from pixelwise.models.network import Network
from pixelwise.models.published import create_model

WIDTH = 1 / 32
NAME = "deconvnet_vgg16"

# Name, kernel, channels in and out, side of what comes out for an image of 224: the paper's table 2, and the release's
# DeconvNet_inference_deploy.prototxt, whose names these are.
CONVOLUTIONS = [
    ("conv1_1", 3, 3, 64, 224), ("conv1_2", 3, 64, 64, 224),
    ("conv2_1", 3, 64, 128, 112), ("conv2_2", 3, 128, 128, 112),
    ("conv3_1", 3, 128, 256, 56), ("conv3_2", 3, 256, 256, 56), ("conv3_3", 3, 256, 256, 56),
    ("conv4_1", 3, 256, 512, 28), ("conv4_2", 3, 512, 512, 28), ("conv4_3", 3, 512, 512, 28),
    ("conv5_1", 3, 512, 512, 14), ("conv5_2", 3, 512, 512, 14), ("conv5_3", 3, 512, 512, 14),
    ("fc6", 7, 512, 4096, 1), ("fc7", 1, 4096, 4096, 1),
]  # fmt: skip
DECONVOLUTIONS = [
    ("fc6-deconv", 7, 4096, 512, 7),
    ("deconv5_1", 3, 512, 512, 14), ("deconv5_2", 3, 512, 512, 14), ("deconv5_3", 3, 512, 512, 14),
    ("deconv4_1", 3, 512, 512, 28), ("deconv4_2", 3, 512, 512, 28), ("deconv4_3", 3, 512, 256, 28),
    ("deconv3_1", 3, 256, 256, 56), ("deconv3_2", 3, 256, 256, 56), ("deconv3_3", 3, 256, 128, 56),
    ("deconv2_1", 3, 128, 128, 112), ("deconv2_2", 3, 128, 64, 112),
    ("deconv1_1", 3, 64, 64, 224), ("deconv1_2", 3, 64, 64, 224),
    ("seg-score-voc", 1, 64, 21, 224),
]  # fmt: skip
TABLE = [*CONVOLUTIONS, *DECONVOLUTIONS]


def lively(*, seed: int = 0, **options: object) -> Network:
    """A narrow network whose norms and deconvolutions are random, so that all of it counts."""
    network = stirred(narrow(NAME, seed=seed, width=WIDTH, **options))
    for layer in layers_of(network, nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=(2 / (layer.in_channels * layer.kernel_size[0] ** 2)) ** 0.5)
    return network


def layers_of(network: Network, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, kinds)]


def our_name(network: Network, name: str) -> str:
    """The rule from a layer's name in the release to its name here."""
    if name == "seg-score-voc":
        return "decoder.score"
    kind, number = (nn.Conv2d, name[4:]) if name.startswith("conv") else (nn.BatchNorm2d, name[2:])
    if name.startswith(("conv", "bn")) and "_" in name:
        order = [row[0][4:] for row in CONVOLUTIONS[:13]].index(number)
        return f"backbone.features.{[i for i, layer in enumerate(network.backbone.features) if isinstance(layer, kind)][order]}"
    return f"decoder.layers.{name.replace('-', '_')}"


# What the release has.


def test_parameter_counts() -> None:
    network, plain = full_size(NAME), full_size(NAME, batch_norm=False)
    assert parameter_count(network) == 251_805_653
    assert parameter_count(plain) == 251_772_245
    assert len(norms_of(network)) == 29
    assert not layers_of(plain, nn.BatchNorm2d, nn.Identity)


def test_parameter_counts_of_the_two_sides() -> None:
    network = full_size(NAME)

    def count(names: list[str]) -> int:
        return sum(parameter_count(network.get_submodule(our_name(network, name))) for name in names)

    assert count([row[0] for row in CONVOLUTIONS]) == 134_260_544
    assert count([row[0] for row in DECONVOLUTIONS]) == 117_511_701
    assert count(["fc6-deconv-bn", *(row[0].replace("conv", "bn") for row in DECONVOLUTIONS[1:-1])]) == 8_576


def test_every_layer_of_the_release_has_its_place() -> None:
    network = full_size(NAME)
    norms = ["bnfc6", "bnfc7", "fc6-deconv-bn"]
    norms += [row[0].replace("conv", "bn") for row in TABLE if "conv" in row[0] and row[1] == 3]
    ours = [our_name(network, name) for name in (*(row[0] for row in TABLE), *norms)]
    assert len(set(ours)) == len(ours) == 30 + 29
    places = {name.rpartition(".")[0] for name in network.state_dict()}
    assert set(ours) == places


def test_widths_and_sizes_on_the_way() -> None:
    network = full_size(NAME)
    seen = {}
    for name, *_ in TABLE:
        layer = network.get_submodule(our_name(network, name))
        layer.register_forward_hook(
            lambda layer, _, made, name=name: seen.update(
                {name: (name, layer.kernel_size[0], layer.in_channels, layer.out_channels, made.shape[-1])}
            )
        )
    network(torch.zeros(1, 3, 224, 224, device="meta"))
    assert list(seen.values()) == TABLE  # in this order


def test_multiply_adds_of_one_image() -> None:
    with FlopCounterMode(display=False) as counter:
        full_size(NAME)(torch.zeros(1, 3, 224, 224, device="meta"))
    # a transposed convolution puts its kernel at every cell that comes in: one for fc6-deconv, all in the others
    places = {name: 1 if name == "fc6-deconv" else side**2 for name, *_, side in TABLE}
    expected = sum(kernel**2 * into * out * places[name] for name, kernel, into, out, _ in TABLE)
    assert expected == 32_745_979_904
    assert counter.get_total_flops() == 2 * expected


def test_first_values() -> None:
    torch.manual_seed(0)
    network = create_model(NAME, 21, width=1 / 8)
    for norm in norms_of(network):
        assert norm.eps == 1e-9
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.full_like(norm.bias, 0.001))
    for layer in (*layers_of(network, nn.ConvTranspose2d), network.decoder.score):
        assert not layer.bias.any()
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.3)  # the score has 168 weights
        assert abs(layer.weight.mean().item()) < 0.002
    assert not layers_of(network, nn.Dropout, nn.Dropout2d)
    assert list(network.last_layers) == [network.decoder.score]


def straightforward_deconvnet(network: Network, images: Tensor) -> Tensor:
    """DeconvNet as the deploy file of the release lists it, with torch's own unpooling, and all numbers typed in."""
    state = network.state_dict()

    def layer(x: Tensor, name: str, norm_name: str, *, padding: int, transposed: bool = False) -> Tensor:
        ours, norm = our_name(network, name), our_name(network, norm_name)
        convolve = functional.conv_transpose2d if transposed else functional.conv2d
        x = convolve(x, state[f"{ours}.weight"], state[f"{ours}.bias"], padding=padding)
        statistics = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return functional.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-9).relu()

    x = images.flip(1) - torch.tensor([104.00699, 116.66877, 122.67892]).view(1, 3, 1, 1)
    switches = []
    for stage, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(1, convolutions + 1):
            x = layer(x, f"conv{stage}_{number}", f"bn{stage}_{number}", padding=1)
        x, where = functional.max_pool2d(x, 2, 2, return_indices=True)
        switches.append(where)
    x = layer(x, "fc6", "bnfc6", padding=0)
    x = layer(x, "fc7", "bnfc7", padding=0)
    x = layer(x, "fc6-deconv", "fc6-deconv-bn", padding=0, transposed=True)
    for stage, deconvolutions in zip((5, 4, 3, 2, 1), (3, 3, 3, 2, 2), strict=True):
        x = functional.max_unpool2d(x, switches[stage - 1], 2, 2)
        for number in range(1, deconvolutions + 1):
            x = layer(x, f"deconv{stage}_{number}", f"debn{stage}_{number}", padding=1, transposed=True)
    return functional.conv2d(x, state["decoder.score.weight"], state["decoder.score.bias"])


@pytest.mark.parametrize("size", [(224, 224), (256, 288)])
@torch.no_grad()
def test_scores_equal_a_straightforward_writing_of_the_release(size: tuple[int, int]) -> None:
    network, images = lively().double(), pictures(2, size).double()
    scores = network(images)
    assert scores.shape == (2, CLASSES, *size)
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, straightforward_deconvnet(network, images), rtol=1e-6, atol=1e-6)


# Unpooling and deconvolution.


def pool(plane: Tensor) -> tuple[Tensor, Tensor]:
    """As the trunk pools."""
    return VGG((Stage(1, 1),), taps=(1,), switches=True).features[-1](plane)


def looped_unpool(pooled: NDArray, switches: NDArray) -> NDArray:
    count, channels, height, width = pooled.shape
    made = np.zeros((count, channels, 2 * height, 2 * width), pooled.dtype)
    for n, c, y, x in np.ndindex(pooled.shape):
        made[n, c, switches[n, c, y, x] // (2 * width), switches[n, c, y, x] % (2 * width)] = pooled[n, c, y, x]
    return made


@pytest.mark.parametrize("size", [(2, 2), (6, 10), (14, 8)])
def test_unpooling_equals_a_plain_loop_and_torchs(size: tuple[int, int]) -> None:
    plane = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    pooled, switches = pool(plane)
    made = Unpool(2)(pooled, switches)
    np.testing.assert_array_equal(made.numpy(), looped_unpool(pooled.numpy(), switches.numpy()))
    assert torch.equal(made, functional.max_unpool2d(pooled, switches, 2))


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_unpooling_copies_every_bit_and_lies_channels_last(dtype: torch.dtype, order: torch.memory_format) -> None:
    plane = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0)).to(dtype)
    plane[0, 0, :2, :2] = -0.0  # the sign of a zero is kept too
    pooled, switches = (given.contiguous(memory_format=order) for given in pool(plane))
    made = Unpool(2)(pooled, switches)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert made.dtype == dtype
    expected = functional.max_unpool2d(pooled.double(), switches, 2)
    assert torch.equal(made.double(), expected)
    assert torch.equal(made.signbit(), expected.signbit())
    pooled.requires_grad_()  # what learns takes another way to the same
    assert torch.equal(Unpool(2)(pooled, switches), made)


def test_unpooling_is_exported_for_any_batch_and_size() -> None:
    given = pool(torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0)))
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    exported = torch.export.export(Unpool(2), given, dynamic_shapes=(free, free)).module()
    other = pool(torch.randn(5, 3, 14, 8, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(exported(*other), functional.max_unpool2d(*other, 2))


def test_an_activation_is_found_where_it_was() -> None:
    for place in range(8 * 6):
        plane = torch.zeros(1, 2, 8, 6)
        plane[0, 1].view(-1)[place] = 3.0
        assert torch.equal(Unpool(2)(*pool(plane)), plane)


def test_of_equal_values_the_first_is_the_maximum() -> None:
    pooled, switches = pool(torch.full((1, 1, 4, 6), 7.0))
    assert switches.tolist() == [[[[0, 2, 4], [12, 14, 16]]]]  # upper left: first by rows
    made = Unpool(2)(pooled, switches)
    assert made[0, 0].tolist() == [[7, 0, 7, 0, 7, 0], [0] * 6, [7, 0, 7, 0, 7, 0], [0] * 6]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_gradient_is_gathered_at_the_switches(dtype: torch.dtype) -> None:
    pooled, switches = pool(torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype))
    pooled.requires_grad_()
    upper = torch.arange(32, dtype=dtype).view(1, 2, 4, 4)
    Unpool(2)(pooled, switches).backward(upper)
    assert torch.equal(pooled.grad, upper.flatten(2).gather(2, switches.flatten(2)).view_as(pooled))


def test_without_switches_a_value_fills_its_cells() -> None:
    made = Unpool(2)(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), None)
    assert made[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def looped_deconvolution(x: NDArray, weight: NDArray, bias: NDArray, padding: int) -> NDArray:
    """Every value that comes in lays down a kernel; what lies `padding` from the border is cut off."""
    channels, height, width = x.shape
    kernel = weight.shape[-1]
    made = np.zeros((weight.shape[1], height + kernel - 1, width + kernel - 1))
    for c, y, z in np.ndindex(channels, height, width):
        made[:, y : y + kernel, z : z + kernel] += x[c, y, z] * weight[c]
    inside = made[:, padding : made.shape[1] - padding, padding : made.shape[2] - padding]
    return inside + bias[:, None, None]


@pytest.mark.parametrize(
    ("name", "padding", "side"), [("fc6_deconv", 0, 3 + 6), ("deconv4_3", 1, 3), ("deconv1_2", 1, 3)]
)
@torch.no_grad()
def test_deconvolutions_equal_a_plain_loop(name: str, padding: int, side: int) -> None:
    layer = lively().double().decoder.layers.get_submodule(name)
    nn.init.normal_(layer.bias)
    x = torch.randn(layer.in_channels, 3, 4, generator=torch.Generator().manual_seed(2)).double()
    made = layer(x[None])[0]
    assert made.shape == (layer.out_channels, side, side + 1)
    expected = looped_deconvolution(x.numpy(), layer.weight.numpy(), layer.bias.numpy(), padding)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9, atol=1e-9)


# What the network promises.


@torch.inference_mode()
def test_outputs_lie_on_the_image_itself() -> None:
    network, images = lively(), pictures(1, (224, 256))
    outputs = network.outputs(images)
    assert outputs.grids == {MAIN: IMAGE_GRID}
    assert network.heads == {MAIN: CLASSES}
    assert torch.equal(network(images), outputs.scores[MAIN])


@pytest.mark.parametrize("size", [(192, 224), (223, 224), (224, 225), (256, 240)])
def test_other_sizes_are_refused(size: tuple[int, int], refuses: Refuses) -> None:
    network = full_size(NAME)
    assert not network.sizes.admits(size)
    with refuses("sides of 224, 256, 288, ...", f"got {size[0]} x {size[1]}", "pad the image"):
        network(torch.zeros(1, 3, *size, device="meta"))
    padded = network.sizes.padded(size)
    assert network(torch.zeros(1, 3, *padded, device="meta")).shape == (1, 21, *padded)


def test_every_size_of_the_rule_is_taken() -> None:
    network = full_size(NAME)
    for k in range(6):
        size = 224 + 32 * k, 224 + 32 * (5 - k)
        assert network(torch.zeros(1, 3, *size, device="meta")).shape == (1, 21, *size)


@pytest.mark.parametrize("options", [{}, {"unpooling": "nearest"}, {"batch_norm": False}], ids=str)
def test_the_gradient_reaches_every_layer(options: dict[str, object]) -> None:
    network = lively(**options).train()
    network(pictures(1, (256, 288))).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        if name.endswith("weight"):  # a bias before a norm has no effect
            assert parameter.grad.any(), name


@torch.inference_mode()
def test_switches_and_nearest_take_the_same_weights_and_differ() -> None:
    images = pictures(1, (224, 224))
    switches, nearest = lively(), lively(unpooling="nearest", seed=1)
    nearest.load_state_dict(switches.state_dict())
    assert (switches(images) - nearest(images)).abs().max() > 1e-2


def test_a_mirror_follows_its_trunk() -> None:
    trunk = VGG((Stage(1, 4), Stage(2, 6)), taps=(0, 2), switches=True)
    decoder = DeconvDecoder(3, trunk, 8)
    shapes = {
        name: tuple(layer.weight.shape) for name, layer in decoder.layers.named_children() if hasattr(layer, "weight")
    }
    assert shapes == {
        "fc6": (8, 6, 7, 7), "fc7": (8, 8, 1, 1), "fc6_deconv": (8, 6, 7, 7),
        "deconv2_1": (6, 6, 3, 3), "deconv2_2": (6, 4, 3, 3), "deconv1_1": (4, 4, 3, 3),
    }  # fmt: skip
    assert (decoder.sizes.minimum, decoder.sizes.multiple) == (28, 4)
    outputs = decoder(trunk(torch.zeros(1, 3, 28, 32)))
    assert outputs.scores[MAIN].shape == (1, 3, 28, 32)


def test_what_cannot_be_built_or_trained_is_refused(refuses: Refuses) -> None:
    with refuses("unknown unpooling 'switch'", "did you mean 'switches'?"):
        create_model(NAME, 21, unpooling="switch", width=WIDTH)
    trunk = VGG(width=WIDTH, taps=(0, 5))
    with refuses("where the trunk's pools found their maxima", "switches=True"):
        DeconvDecoder(21, trunk, 8)
    with refuses("one image of 224 x 224", "several images a batch"):
        lively().train()(pictures(1, (224, 224)))
    lively(batch_norm=False).train()(pictures(1, (224, 224)))  # without norms one is enough


def test_a_narrow_mirror_is_unpooled_by_the_places_of_the_trunks_first_channels():
    network = lively(decoder_width=WIDTH / 4)  # 4 of the trunk's 16 channels at its end
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    for layer in layers_of(network, Unpool):
        layer.register_forward_hook(lambda _, given, out: seen.append((*given, out)))
    images = pictures(2, (224, 224))
    with torch.inference_mode():
        assert network(images).shape == (2, CLASSES, 224, 224)
        switches = network.backbone(network.normalise(images)).switches
    assert switches is not None
    assert [pooled.shape[1] for pooled, _, _ in seen] == [4, 4, 2, 1, 1]  # round(64 / 32 / 4) is 0, and 1 is the least
    for (pooled, _, unpooled), where in zip(seen, reversed(switches), strict=True):
        expected = functional.max_unpool2d(pooled, where[:, : pooled.shape[1]], 2)
        torch.testing.assert_close(unpooled, expected, rtol=0, atol=0)
    fc6 = network.decoder.layers.fc6  # type: ignore[union-attr]
    assert (fc6.in_channels, fc6.out_channels) == (16, 32)


@pytest.mark.parametrize("spread", [0.01, 0.2, None])
def test_first_weights_are_spread_as_released_or_by_what_a_layer_reads(spread: float | None) -> None:
    torch.manual_seed(0)
    decoder = create_model(NAME, CLASSES, width=WIDTH, initial_spread=spread).decoder
    assert isinstance(decoder, DeconvDecoder)
    deconvolution, score = decoder.layers.deconv4_1, decoder.score
    assert isinstance(deconvolution, nn.ConvTranspose2d)
    reads = {deconvolution: deconvolution.in_channels * 9, score: score.in_channels}
    for layer, count in reads.items():
        expected = (2 / count) ** 0.5 if spread is None else spread
        tolerance = 4 / (2 * layer.weight.numel()) ** 0.5  # four standard errors of a standard deviation
        assert layer.weight.std().item() == pytest.approx(expected, rel=tolerance)


def test_a_mirror_wider_than_the_trunk_is_refused(refuses: Refuses) -> None:
    with refuses("2 times as wide as the trunk", "decoder_width"):
        create_model(NAME, 2, width=WIDTH, decoder_width=2 * WIDTH)
