"""The published networks: sizes, counts and crops as in the release, and scores equal to a plain second writing of it."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import Refuses
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.labels import MAIN
from pixelwise.models.decoders.skip import SkipDecoder
from pixelwise.models.layers import BilinearUpsample, common_grid
from pixelwise.models.network import Network
from pixelwise.models.published import create_model, list_models

CLASSES = 5
SIZES = [(1, 1), (37, 51), (96, 120)]
FCN_VGG16 = ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16"]


def narrow(name: str, classes: int = CLASSES, *, seed: int = 0) -> Network:
    """A network of few channels, in evaluation mode, whose scores are random instead of zero."""
    torch.manual_seed(seed)
    options = {"width": 1 / 16} if "vgg16" in name else {"context": 16}
    network = create_model(name, classes, **options).eval()
    decoder = network.decoder
    assert isinstance(decoder, SkipDecoder)
    for score in (decoder.score, *decoder.skip_scores):
        nn.init.normal_(score.weight)
        nn.init.normal_(score.bias)
    return network


def pictures(count: int, size: tuple[int, int], *, seed: int = 0) -> Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(seed)) * 255


def full_size(name: str, classes: int = 21) -> Network:
    """The whole network without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return create_model(name, classes)


# Every network keeps the promises of `Network`.


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_scores_have_the_images_size(name: str, size: tuple[int, int]) -> None:
    network = narrow(name)
    scores = network(pictures(2, size))
    assert scores.shape == (2, CLASSES, *size)
    assert scores.isfinite().all()
    assert network.heads == {MAIN: CLASSES}


@pytest.mark.parametrize("name", list_models())
@torch.inference_mode()
def test_a_fresh_network_scores_zero(name: str) -> None:
    network = create_model(name, CLASSES, **({"width": 1 / 16} if "vgg16" in name else {})).eval()
    assert not network(pictures(1, (40, 50))).any()


@pytest.mark.parametrize("name", list_models())
@torch.inference_mode()
def test_forward_is_outputs_then_upsample(name: str) -> None:
    network, images = narrow(name), pictures(1, (45, 70))
    outputs = network.outputs(images)
    assert torch.equal(network(images), network.upsample(outputs, (45, 70))[MAIN])
    height, width = outputs.scores[MAIN].shape[-2:]
    assert (height, width) != (45, 70)  # the coarse truth, not yet enlarged


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_fcns_are_called_by_the_stride_of_their_scores(stride: int) -> None:
    for name in list_models(f"fcn{stride}s_*"):
        decoder = narrow(name).decoder
        assert isinstance(decoder, SkipDecoder)
        assert decoder.grid.scale == stride


@pytest.mark.parametrize("name", list_models("*_lite0"))  # a trunk without FCN's padding needs the repeated border
@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_constant_scores_stay_constant_up_to_the_edges(name: str, size: tuple[int, int]) -> None:
    network = narrow(name)
    decoder = network.decoder
    assert isinstance(decoder, SkipDecoder)
    heads = (decoder.score, *decoder.skip_scores)
    for score in heads:
        nn.init.zeros_(score.weight)
    expected = sum(score.bias for score in heads).view(1, CLASSES, 1, 1).expand(1, CLASSES, *size)
    torch.testing.assert_close(network(pictures(1, size)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", list_models())
@torch.inference_mode()
def test_images_of_a_batch_do_not_touch_each_other(name: str) -> None:
    network, images = narrow(name).double(), pictures(3, (50, 41)).double()
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", list_models())
@torch.inference_mode()
def test_the_fill_is_nothing_to_the_network(name: str) -> None:
    network = narrow(name)
    filled = torch.tensor(network.fill).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert not network.normalise(filled).any()


def test_vggs_networks_see_bgr_and_lite0s_see_rgb() -> None:
    red = torch.zeros(1, 3, 1, 1)
    red[:, 0] = 255
    assert create_model("fcn8s_vgg16", 2, width=1 / 16).normalise(red).argmax(1).item() == 2
    assert create_model("fcn8s_lite0", 2).normalise(red).argmax(1).item() == 0


def test_networks_are_listed_by_pattern() -> None:
    assert list_models("fcn*_vgg16") == ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16"]
    assert list_models("no*") == []


def test_what_cannot_be_built_is_refused(refuses: Refuses) -> None:
    with refuses("unknown network 'fcn8s_vg16'", "did you mean 'fcn8s_vgg16'?"):
        create_model("fcn8s_vg16", 21)
    with refuses("network 'fcn8s_vgg16' has no such option", "'widht'"):
        create_model("fcn8s_vgg16", 21, widht=0.5)
    with refuses("at least 1 class", "got 0"):
        create_model("fcn8s_vgg16", 0)


@pytest.mark.parametrize("name", list_models("*_lite0"))
@torch.inference_mode()
def test_every_side_is_valid_for_lite0(name: str) -> None:
    network = narrow(name)
    for side in range(1, 65):  # all remainders of the stride, each as height and as width; crops assert what they hold
        assert network(torch.zeros(1, 3, side, 65 - side)).shape == (1, CLASSES, side, 65 - side)


# VGG16's numbers are those of the release (FCN, voc-fcn{32,16,8}s/net.py) and of the paper's table 1.


@pytest.mark.parametrize(
    ("name", "count"), [("fcn32s_vgg16", 134_346_581), ("fcn16s_vgg16", 134_357_354), ("fcn8s_vgg16", 134_362_751)]
)
def test_parameter_counts(name: str, count: int) -> None:
    network = full_size(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert network.state_dict().keys() == dict(network.named_parameters()).keys()  # fixed kernels are not stored


def test_parameter_counts_of_the_pieces() -> None:
    network = full_size("fcn8s_vgg16")
    counts = {name: parameter.numel() for name, parameter in network.named_parameters()}

    def count(prefix: str) -> int:
        return sum(number for name, number in counts.items() if name.startswith(prefix))

    assert count("backbone.") == 14_714_688
    assert (count("decoder.head.0."), count("decoder.head.3.")) == (102_764_544, 16_781_312)  # fc6, fc7
    assert count("decoder.score.") == 86_037
    assert (count("decoder.skip_scores.0."), count("decoder.skip_scores.1.")) == (10_773, 5_397)  # pool4, pool3


@pytest.mark.parametrize(
    ("name", "skip_crops", "image_crop"),
    [("fcn32s_vgg16", [], 19), ("fcn16s_vgg16", [5], 27), ("fcn8s_vgg16", [5, 9], 31)],
)
def test_crops_follow_from_the_layers(name: str, skip_crops: list[int], image_crop: int) -> None:
    decoder = full_size(name).decoder
    assert isinstance(decoder, SkipDecoder)
    assert [offset_from_skip(*grids) for grids in zip(decoder.enlarged_grids, decoder.skip_grids, strict=True)] == (
        skip_crops
    )
    assert IMAGE_GRID.offset_in(decoder.to_image.grid) == image_crop


def offset_from_skip(enlarged: Grid, skip: Grid) -> int:
    """Where the skipped-to map is cut; the enlarged one is not."""
    assert common_grid(enlarged, skip) == enlarged
    return enlarged.offset_in(skip)


@pytest.mark.parametrize(
    ("name", "sides"), [("fcn32s_vgg16", [64]), ("fcn16s_vgg16", [4, 32]), ("fcn8s_vgg16", [4, 4, 16])]
)
def test_kernel_sides(name: str, sides: list[int]) -> None:
    kernels = [layer for layer in full_size(name).decoder.modules() if isinstance(layer, BilinearUpsample)]
    assert [tuple(kernel.weight.shape) for kernel in kernels] == [(21, 1, side, side) for side in sides]
    assert [kernel.stride for kernel in kernels] == [side // 2 for side in sides]


@pytest.mark.parametrize(
    ("name", "enlarged"), [("fcn32s_vgg16", [544]), ("fcn16s_vgg16", [34, 560]), ("fcn8s_vgg16", [34, 70, 568])]
)
def test_sizes_on_the_way_of_an_image_of_500_pixels(name: str, enlarged: list[int]) -> None:
    network = full_size(name)
    sides: dict[type, list[int]] = {nn.Conv2d: [], nn.MaxPool2d: [], BilinearUpsample: []}
    for layer in network.modules():
        if type(layer) in sides:
            layer.register_forward_hook(lambda layer, _, made: sides[type(layer)].append(made.shape[-1]))
    assert network(torch.zeros(1, 3, 500, 500, device="meta")).shape == (1, 21, 500, 500)
    assert sides[nn.Conv2d][0] == 698
    assert sides[nn.MaxPool2d] == [349, 175, 88, 44, 22]
    assert sides[nn.Conv2d][13] == 16  # fc6
    assert sides[BilinearUpsample] == enlarged


def straightforward_fcn(state: dict[str, Tensor], images: Tensor, skips: int) -> Tensor:
    """FCN as `net.py` of the release lists it: full K x K kernels with bilinear diagonals, and offsets typed in."""
    mean = torch.tensor([104.00699, 116.66877, 122.67892]).view(1, 3, 1, 1)
    x = images.flip(1) - mean
    pools = []
    weights = iter([name.removesuffix(".weight") for name in state if name.startswith("backbone.features.")][::2])
    for stage, convolutions in enumerate((2, 2, 3, 3, 3)):
        for convolution in range(convolutions):
            name = next(weights)
            padding = 100 if stage == convolution == 0 else 1
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding).relu()
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        pools.append(x)
    x = functional.conv2d(x, state["decoder.head.0.weight"], state["decoder.head.0.bias"]).relu()
    x = functional.conv2d(x, state["decoder.head.3.weight"], state["decoder.head.3.bias"]).relu()
    x = functional.conv2d(x, state["decoder.score.weight"], state["decoder.score.bias"])
    offsets = {0: (), 1: (5,), 2: (5, 9)}[skips]
    for step, (offset, pool) in enumerate(zip(offsets, (pools[3], pools[2]), strict=False)):
        up = deconvolution(x, 4, 2)
        name = f"decoder.skip_scores.{step}"
        skip = functional.conv2d(pool, state[f"{name}.weight"], state[f"{name}.bias"])
        x = up + skip[:, :, offset : offset + up.shape[2], offset : offset + up.shape[3]]
    kernel, stride, offset = {0: (64, 32, 19), 1: (32, 16, 27), 2: (16, 8, 31)}[skips]
    x = deconvolution(x, kernel, stride)
    return x[:, :, offset : offset + images.shape[2], offset : offset + images.shape[3]]


def deconvolution(x: Tensor, kernel: int, stride: int) -> Tensor:
    classes = x.shape[1]
    layer = nn.ConvTranspose2d(classes, classes, kernel, stride, bias=False).double()
    factor, centre = (kernel + 1) // 2, kernel / 2 - 0.5
    with torch.no_grad():
        layer.weight.zero_()
        for i in range(kernel):
            for j in range(kernel):
                value = (1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor)
                layer.weight[range(classes), range(classes), i, j] = value
    return layer(x)


@pytest.mark.parametrize("name", FCN_VGG16)
def test_every_side_is_valid_for_vgg16(name: str) -> None:
    # The pad of 100 is there for this.
    network = full_size(name)
    for side in [*range(1, 70), 224, 499, 501, 1199]:
        assert network(torch.zeros(1, 3, side, side + 1, device="meta")).shape == (1, 21, side, side + 1)


@pytest.mark.parametrize(("skips", "name"), list(enumerate(FCN_VGG16)))
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_scores_equal_a_straightforward_writing_of_the_release(skips: int, name: str, size: tuple[int, int]) -> None:
    network, images = narrow(name, seed=skips).double(), pictures(1, size).double()
    scores = network(images)
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, straightforward_fcn(network.state_dict(), images, skips), rtol=1e-6, atol=1e-6)


@torch.inference_mode()
def test_moving_the_picture_by_the_stride_moves_the_scores() -> None:
    stride, margin = 32, 256  # fc6 sees 404 pixels, and a pixel interpolates between cells up to 32 away
    network = narrow("fcn32s_vgg16").double()
    picture = pictures(1, (576 + stride, 576 + stride)).double()
    inside = slice(margin, 576 - margin)
    first = network(picture[..., :576, :576])[..., inside, inside]
    moved = network(picture[..., stride:, stride:])
    back = slice(margin - stride, 576 - margin - stride)
    torch.testing.assert_close(moved[..., back, back], first, rtol=0, atol=1e-10)
    assert (moved[..., inside, inside] - first).abs().max() > 1e-3  # without the move they differ
