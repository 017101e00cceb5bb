"""FCN's networks: sizes, counts and crops as in the release, options, and classifiers that become convolutions."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import Refuses
from tests.models.networks import CLASSES, full_size, narrow, parameter_count, pictures
from torch import nn

from pixelwise.geometry import IMAGE_GRID, Grid, Size
from pixelwise.labels import MAIN
from pixelwise.models.backbones.alexnet import AlexNet
from pixelwise.models.backbones.vgg import VGG, convolutional_classifier
from pixelwise.models.decoders.skip import SkipDecoder
from pixelwise.models.layers import BilinearUpsample, common_grid
from pixelwise.models.network import Network
from pixelwise.models.published import create_model, list_models
from pixelwise.models.published.fcn import convolutionalised

PADDED_BY_100 = [name for name in list_models("fcn*") if name.endswith(("_vgg16", "_vgg19", "_alexnet"))]


def decoder_of(network: Network) -> SkipDecoder:
    assert isinstance(network.decoder, SkipDecoder)
    return network.decoder


# All of them.


@pytest.mark.parametrize("name", list_models("fcn*"))
@torch.inference_mode()
def test_a_fresh_network_scores_zero(name: str) -> None:
    network = create_model(name, CLASSES, width=1 / 16).eval()
    assert not network(pictures(1, (40, 50))).any()


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_networks_are_called_by_the_stride_of_their_scores(stride: int) -> None:
    for name in list_models(f"fcn{stride}s_*"):
        assert decoder_of(full_size(name)).grid.scale == stride


@pytest.mark.parametrize("name", list_models("fcn*"))
@torch.inference_mode()
def test_the_scores_are_coarse_until_they_are_enlarged(name: str) -> None:
    network = narrow(name)
    outputs = network.outputs(pictures(1, (90, 120)))
    assert outputs.grids == {MAIN: decoder_of(network).grid}
    height, width = outputs.scores[MAIN].shape[-2:]
    assert height < width < 120 / 2  # with 200 pixels of padding, at the finest stride of 8


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("fcn32s_vgg16", 134_346_581),
        ("fcn16s_vgg16", 134_357_354),
        ("fcn8s_vgg16", 134_362_751),
        ("fcn8s_atonce_vgg16", 134_362_751),
        ("fcn32s_alexnet", 56_954_261),
        ("fcn32s_googlenet", 5_995_077),
        ("fcn32s_vgg19", 143_667_240 - 1000 * 4097 + 21 * 4097),  # the classifier is known by the first number
        ("fcn_pool5_vgg16", 14_714_688 + 21 * 513),
        ("fcn_pool4_vgg16", 7_635_264 + 21 * 513),  # ten convolutions
        ("fcn_pool3_vgg16", 1_735_488 + 21 * 257),  # seven
    ],
)
def test_parameter_counts(name: str, count: int) -> None:
    assert parameter_count(full_size(name)) == count


def test_parameter_counts_of_the_pieces() -> None:
    network = full_size("fcn8s_vgg16")
    decoder = decoder_of(network)
    assert parameter_count(network.backbone) == 14_714_688
    assert (parameter_count(decoder.head[0]), parameter_count(decoder.head[3])) == (102_764_544, 16_781_312)  # fc6, fc7
    assert parameter_count(decoder.score) == 86_037
    assert [parameter_count(score) for score in decoder.skip_scores] == [10_773, 5_397]  # pool4, pool3


@pytest.mark.parametrize(
    ("name", "skip_crops", "image_crop"),
    [
        ("fcn32s_vgg16", [], 19),
        ("fcn16s_vgg16", [5], 27),
        ("fcn8s_vgg16", [5, 9], 31),
        ("fcn8s_atonce_vgg16", [5, 9], 31),
        ("fcn32s_alexnet", [], 18),
        ("fcn32s_googlenet", [], 1),
        ("fcn32s_vgg19", [], 19),  # convolutions of 3x3 do not move cells, so more of them change nothing
        ("fcn16s_vgg19", [5], 27),
        ("fcn8s_vgg19", [5, 9], 31),
    ],
)
def test_crops_follow_from_the_layers(name: str, skip_crops: list[int], image_crop: int) -> None:
    decoder = decoder_of(full_size(name))
    assert [offset_from_skip(*grids) for grids in zip(decoder.enlarged_grids, decoder.skip_grids, strict=True)] == (
        skip_crops
    )
    assert IMAGE_GRID.offset_in(decoder.to_image.grid) == image_crop


def offset_from_skip(enlarged: Grid, skip: Grid) -> int:
    """Where the skipped-to map is cut; the enlarged one is not."""
    assert common_grid(enlarged, skip) == enlarged
    return enlarged.offset_in(skip)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("fcn32s_vgg16", [64]), ("fcn16s_vgg16", [4, 32]), ("fcn8s_vgg16", [4, 4, 16]),
        ("fcn32s_alexnet", [63]), ("fcn32s_googlenet", [63]),
    ],
)  # fmt: skip
def test_kernel_sides(name: str, sides: list[int]) -> None:
    kernels = [layer for layer in full_size(name).decoder.modules() if isinstance(layer, BilinearUpsample)]
    assert [tuple(kernel.weight.shape) for kernel in kernels] == [(21, 1, side, side) for side in sides]
    assert [kernel.stride for kernel in kernels] == [(side + 1) // 2 for side in sides]


def test_a_cell_of_vgg16s_scores_sees_404_pixels() -> None:
    assert decoder_of(full_size("fcn32s_vgg16")).grid.field == 404  # FCN, table 1
    # up to pool5 five stages: 6, 16, 44, 100 and 212 pixels
    fields = [decoder_of(full_size(f"fcn_pool{pool}_vgg16")).grid.field for pool in (3, 4, 5)]
    assert fields == [44, 100, 212]


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


@pytest.mark.parametrize("name", PADDED_BY_100)
def test_every_side_is_valid_with_a_padding_of_100(name: str) -> None:
    network = full_size(name)
    for side in [*range(1, 70), 224, 499, 501, 1199]:
        assert network(torch.zeros(1, 3, side, side + 1, device="meta")).shape == (1, 21, side, side + 1)


@pytest.mark.parametrize("name", list_models("fcn*_lite0"))  # a trunk without that padding needs the repeated border
@pytest.mark.parametrize("size", [(1, 1), (37, 51), (96, 120)])
@torch.inference_mode()
def test_constant_scores_stay_constant_up_to_the_edges(name: str, size: Size) -> None:
    network = narrow(name)
    for score in network.last_layers:
        nn.init.zeros_(score.weight)
    biases = torch.stack([score.bias for score in network.last_layers])
    expected = biases.sum(0).view(1, CLASSES, 1, 1).expand(1, CLASSES, *size)
    torch.testing.assert_close(network(pictures(1, size)), expected, rtol=0, atol=1e-5)


def test_networks_with_caffes_weights_see_bgr_and_lite0s_see_rgb() -> None:
    red = torch.zeros(1, 3, 1, 1)
    red[:, 0] = 255
    for name in list_models("fcn*"):
        assert narrow(name).normalise(red).argmax(1).item() == (0 if name.endswith("_lite0") else 2)


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


# Options.


@pytest.mark.parametrize(("fusion", "expected"), [("sum", (4.0, 6.0)), ("max", (3.0, 5.0))])
@torch.inference_mode()
def test_skips_are_summed_or_the_larger_score_wins(fusion: str, expected: tuple[float, float]) -> None:
    network = create_model("fcn8s_lite0", 2, width=1 / 16, fusion=fusion).eval()
    for score, biases in zip(network.last_layers, [(3.0, -1.0), (1.0, 2.0), (0.0, 5.0)], strict=True):
        score.bias.copy_(torch.tensor(biases))
    scores = network(pictures(1, (20, 30)))
    torch.testing.assert_close(scores, torch.tensor(expected).view(1, 2, 1, 1).expand_as(scores))


def test_steps_between_maps_may_learn_but_the_last_one_never_does() -> None:
    fixed, learned = (create_model("fcn8s_vgg16", 3, width=1 / 16, learned_upsampling=is_) for is_ in (False, True))
    assert parameter_count(learned) - parameter_count(fixed) == 2 * 3 * 4 * 4
    assert set(learned.state_dict()) - set(fixed.state_dict()) == {f"decoder.enlarge.{i}.weight" for i in (0, 1)}
    scores = learned(pictures(1, (20, 20)))
    scores.sum().backward()
    decoder = decoder_of(learned)
    assert all(layer.weight.grad is not None for layer in decoder.enlarge)
    assert not list(decoder.to_image.parameters())
    assert parameter_count(create_model("fcn32s_vgg16", 3, width=1 / 16, learned_upsampling=True)) == (
        parameter_count(create_model("fcn32s_vgg16", 3, width=1 / 16))
    )


def test_fc6_and_fc7_may_be_narrower_than_the_trunk() -> None:
    alike, narrower = (create_model("fcn8s_vgg16", 3, width=1 / 16, decoder_width=of) for of in (None, 1 / 32))
    assert parameter_count(alike.backbone) == parameter_count(narrower.backbone)
    # 32 channels come from the trunk; behind fc6 and fc7 stand 256 in place of 4096 / 16, and 128 in place of 4096 / 32.
    assert [parameter_count(network.decoder) - 3 * (2 + 16 + 32) for network in (alike, narrower)] == [
        hidden * (32 * 7 * 7 + 1) + hidden * (hidden + 1) + 3 * (hidden + 1) for hidden in (256, 128)
    ]
    assert narrower(pictures(1, (20, 20))).shape == (1, 3, 20, 20)


@torch.no_grad()
def test_learning_steps_begin_as_the_fixed_ones() -> None:
    fixed = narrow("fcn8s_vgg16")
    learned = create_model("fcn8s_vgg16", CLASSES, width=1 / 16, learned_upsampling=True).eval()
    learned.load_state_dict(fixed.state_dict(), strict=False)
    images = pictures(1, (30, 40))
    assert torch.equal(learned(images), fixed(images))


@pytest.mark.parametrize("learned", [False, True])
def test_last_layers_hold_all_that_belongs_to_a_class(learned: bool) -> None:
    few, many = (full_size("fcn8s_vgg16", classes, learned_upsampling=learned) for classes in (3, 7))
    last = {id(parameter) for layer in few.last_layers for parameter in layer.parameters()}
    theirs = dict(many.named_parameters())
    for name, parameter in few.named_parameters():
        rows = (3, 7) if id(parameter) in last else (len(parameter), len(parameter))
        assert (len(parameter), len(theirs[name])) == rows
        assert parameter.shape[1:] == theirs[name].shape[1:]


def test_a_null_background_scores_0_and_does_not_learn() -> None:
    network = narrow("fcn8s_vgg16", null_background=True)
    images = pictures(1, (40, 40))
    for layer in network.last_layers:
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    scores = network(images)
    assert not scores[:, 0].any()
    assert scores[:, 1:].abs().min() > 0
    plain = narrow("fcn8s_vgg16")
    plain.load_state_dict(network.state_dict())
    assert torch.equal(plain(images)[:, 1:], scores[:, 1:])
    scores.square().sum().backward()
    for layer in network.last_layers:
        assert not layer.weight.grad[0].any()
        assert layer.weight.grad[1:].any()


@pytest.mark.parametrize("name", [name for name in list_models("fcn*") if not name.endswith("_lite0")])
@torch.inference_mode()
def test_images_may_have_other_channels_than_three(name: str) -> None:
    mean = [120.0, 110.0, 100.0, 7.844]
    network = narrow(name, channels=4, mean=mean)
    assert network.fill == tuple(mean)
    assert network(pictures(2, (40, 33), channels=4)).shape == (2, CLASSES, 40, 33)
    grey = narrow(name, channels=1, mean=[127.0])
    assert grey(pictures(1, (33, 40), channels=1)).shape == (1, CLASSES, 33, 40)


def test_colours_are_swapped_and_what_stands_behind_them_is_not() -> None:
    network = narrow("fcn32s_vgg16", channels=5, mean=[10, 20, 30, 40, 50])
    images = torch.tensor([11.0, 22.0, 33.0, 44.0, 55.0]).view(1, 5, 1, 1)
    assert network.normalise(images).flatten().tolist() == [3, 2, 1, 4, 5]


def test_other_means_are_taken_for_three_channels() -> None:
    heights = (132.431, 94.076, 118.477)  # of an image of disparity, height and angle
    assert narrow("fcn32s_vgg16", mean=heights).fill == heights
    assert narrow("fcn32s_vgg16").fill == (122.67892, 116.66877, 104.00699)


def test_options_that_do_not_fit_are_refused(refuses: Refuses) -> None:
    with refuses("4 channels needs 4 means, got none", "add mean=[...]"):
        narrow("fcn32s_vgg16", channels=4)
    with refuses("3 channels needs 3 means, got 2"):
        narrow("fcn32s_alexnet", mean=[1.0, 2.0])
    with refuses("unknown fusion 'mx'", "did you mean 'max'?"):
        narrow("fcn8s_lite0", fusion="mx")
    with refuses("'fcn32s_googlenet' has no such option", "'fusion'"):
        narrow("fcn32s_googlenet", fusion="max")
    with refuses("'fcn8s_vgg16' has no such option", "'skips'"):  # an 8s without skips would be no 8s
        narrow("fcn8s_vgg16", skips=0)


# Classifiers become convolutions.


@pytest.mark.parametrize(("kind", "side", "kernel"), [("vgg", 224, 7), ("alexnet", 227, 6)])
@torch.no_grad()
def test_the_classifier_as_convolutions_scores_as_the_classifier_does(kind: str, side: int, kernel: int) -> None:
    torch.manual_seed(0)
    width = 1 / 16
    trunk = (VGG(width=width) if kind == "vgg" else AlexNet(width=width)).double().eval()
    head = convolutional_classifier(trunk.channels[-1], kernel=kernel, width=width).double().eval()
    score = nn.Conv2d(head[0].out_channels, CLASSES, 1).double()
    fc6 = nn.Linear(trunk.channels[-1] * kernel**2, head[0].out_channels).double()
    fc7 = nn.Linear(fc6.out_features, fc6.out_features).double()
    fc8 = nn.Linear(fc7.out_features, CLASSES).double()
    for convolution, layer in ((head[0], fc6), (head[3], fc7), (score, fc8)):
        channels, side_of_kernel = convolution.in_channels, convolution.kernel_size[0]
        convolution.weight.copy_(convolutionalised(layer.weight, channels, side_of_kernel))
        convolution.bias.copy_(layer.bias)
    map_ = trunk(pictures(1, (side, side)).double() - 120).maps[-1]
    expected = fc8(fc7(fc6(map_.flatten(1)).relu()).relu())
    assert expected.std() > 1e-3
    scores = score(head(map_))
    assert scores.shape == (1, CLASSES, 1, 1)
    torch.testing.assert_close(scores.flatten(1), expected, rtol=1e-10, atol=1e-10)


def test_weights_of_another_layer_do_not_become_a_convolution(refuses: Refuses) -> None:
    assert convolutionalised(torch.arange(8.0).view(1, 8), 2, 2)[0, 1, 0].tolist() == [4, 5]
    with refuses("(O, 25088)", "got (5, 25087)"):
        convolutionalised(torch.zeros(5, 25087), 512, 7)


# Several heads.

HEADS = {"geometric": ["sky", "horizontal", "vertical"]}


@pytest.mark.parametrize("name", ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16", "fcn8s_atonce_vgg16", "fcn8s_lite0"])
@torch.inference_mode()
def test_each_head_is_the_network_that_it_would_be_alone(name: str) -> None:
    both = narrow(name, heads=HEADS)
    assert both.heads == {MAIN: CLASSES, "geometric": 3}
    images = pictures(2, (50, 70))
    scores = both.upsample(both.outputs(images), (50, 70))
    state = both.state_dict()
    for head, classes, path in ((MAIN, CLASSES, "decoder."), ("geometric", 3, "decoder.others.geometric.")):
        alone = narrow(name, classes)
        own = ("backbone.", "decoder.head.", path)
        alone.load_state_dict(
            {
                key.replace(path, "decoder."): tensor
                for key, tensor in state.items()
                if key.startswith(own) and (head != MAIN or ".others." not in key)
            }
        )
        assert torch.equal(scores[head], alone(images))
        assert scores[head].std() > 0
    assert torch.equal(both(images), scores[MAIN])
    assert len(both.last_layers) == 2 * len(narrow(name).last_layers)


def test_heads_that_are_none_are_refused(refuses: Refuses) -> None:
    for heads in ({"main": ["a"]}, {"geometric": []}, {"geometric": "sky"}, {"two words": ["a"]}):
        with refuses("heads are names other than 'main'", next(iter(heads))):
            create_model("fcn32s_vgg16", 3, heads=heads)
