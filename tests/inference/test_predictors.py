"""A network on one image of any size: whatever is done to the size is undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses
from torch import Tensor, nn

from pixelwise.geometry import Grid, Size, SizeRule
from pixelwise.inference.predictors import WholeImage, as_logits
from pixelwise.labels import MAIN
from pixelwise.models.network import Features, Network, Normalise, Outputs
from pixelwise.models.published import create_model

FILL = (10.5, 20.25, 30.75)


class Raw(nn.Module):
    """A trunk that hands the image on."""

    grids = (Grid(),)
    channels = (3,)

    def forward(self, images: Tensor) -> Features:
        return Features((images,))


class Channels(nn.Module):
    """A decoder whose three scores of a pixel are the pixel itself, and which refuses sizes that the rule does not admit."""

    def __init__(self, rule: SizeRule) -> None:
        super().__init__()
        self.heads = {MAIN: 3}
        self.rule = rule

    def forward(self, features: Features) -> Outputs:
        (images,) = features.maps
        assert self.rule.admits((images.shape[-2], images.shape[-1]))
        return Outputs({MAIN: images}, {MAIN: Grid()})

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        return dict(outputs.scores)


def mirror(rule: SizeRule) -> WholeImage:
    """A network that gives back the picture it was shown, less `FILL`."""
    return WholeImage(Network(Normalise(FILL, (1.0, 1.0, 1.0)), Raw(), Channels(rule), rule), "cpu")


def picture(size: Size, *, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def seen(image: NDArray) -> NDArray[np.float32]:
    """What `mirror` gives for an image, if nothing happens to it."""
    return np.moveaxis(image - np.array(FILL, np.float32), 2, 0).astype(np.float32)


RULES = [
    SizeRule(),
    SizeRule(minimum=32, multiple=32),
    SizeRule(minimum=65, multiple=32, offset=1),
    SizeRule(minimum=64, maximum=128, multiple=32),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 100), (128, 127)])
def test_padding_is_undone(rule: SizeRule, size: Size) -> None:
    image = picture(size)
    scores = mirror(rule)(image)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, seen(image))


@pytest.mark.parametrize("size", [(200, 300), (129, 40), (500, 90)])
def test_shrinking_is_undone(size: Size) -> None:
    rule = SizeRule(minimum=32, maximum=128, multiple=32)
    down, right = np.mgrid[: size[0], : size[1]].astype(np.float32)
    smooth = np.stack([down / size[0], right / size[1], np.full(size, 0.5)], axis=2) * 255
    scores = mirror(rule)(smooth.astype(np.float32))
    assert scores.shape == (3, *size)
    # A ramp that was shrunk and enlarged is that ramp, but for the outermost large pixels, beyond whose centres it is
    # flat. Half a pixel aside it would be off by half its step: 0.25 for the longest side.
    border = 2 * max(size) // 128
    inside = np.s_[:, border : size[0] - border, border : size[1] - border]
    assert np.abs(scores - seen(smooth))[inside].max() < 0.2


def test_the_network_is_shown_its_own_fill_around_the_image() -> None:
    shown: list[Tensor] = []
    predictor = mirror(SizeRule(minimum=8))
    predictor.network.backbone.register_forward_hook(lambda _, given, __: shown.append(given[0]))
    predictor(picture((3, 5)))
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[:3, :5] = False
    assert not shown[0][0, :, outside].any()  # the fill, exactly, and not rounded to a whole value


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pictures_of_whole_and_of_real_numbers_agree(rule: SizeRule, dtype: type) -> None:
    for size in [(31, 33), (150, 201)]:
        image = picture(size)
        predictor = mirror(rule)
        assert np.array_equal(predictor(image), predictor(image.astype(dtype)))


def test_real_numbers_are_not_rounded() -> None:
    image = picture((9, 7)).astype(np.float32) + 0.25
    assert np.array_equal(mirror(SizeRule())(image), seen(image))


@pytest.mark.parametrize("name", ["fcn16s_vgg16", "fcn8s_lite0"])
def test_a_network_that_takes_every_size_is_run_as_it_is(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, 4, **({"width": 1 / 16} if "vgg16" in name else {}))
    nn.init.normal_(network.decoder.score.weight)
    image = picture((45, 38))
    scores = WholeImage(network, "cpu")(image)
    assert not network.training
    with torch.inference_mode():
        expected = network(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_picture_is_left_alone() -> None:
    image = picture((20, 30))
    image.setflags(write=False)
    mirror(SizeRule(minimum=64))(image)
    assert np.array_equal(image, picture((20, 30)))


def test_padding_to_a_side_is_below_and_on_the_right_and_undone() -> None:
    shown: list[Tensor] = []
    predictor = mirror(SizeRule(multiple=8, offset=1))
    predictor.network.backbone.register_forward_hook(lambda _, given, __: shown.append(given[0]))
    for size, expected in {(20, 30): (41, 41), (41, 9): (41, 41), (45, 12): (49, 41)}.items():
        assert np.array_equal(predictor.padded_to(35)(picture(size)), seen(picture(size)))
        assert tuple(shown[-1].shape[-2:]) == expected
        assert not shown[-1][..., size[0] :, :].any()
        assert not shown[-1][..., size[1] :].any()


def test_largefovs_padded_path_is_the_direct_path_on_an_image_of_513_pixels() -> None:
    torch.manual_seed(0)
    network = create_model("deeplab_largefov_vgg16", 4, width=1 / 32)
    nn.init.normal_(network.last_layers[0].weight)  # type: ignore[arg-type]
    image = picture((375, 500))
    whole = np.empty((513, 513, 3), np.float32)
    whole[:] = network.fill
    whole[:375, :500] = image
    plain = WholeImage(network, "cpu")
    padded = plain.padded_to(513)
    direct = plain(whole)
    np.testing.assert_array_equal(padded(image), direct[:, :375, :500])
    np.testing.assert_array_equal(padded(whole), direct)
    assert not np.allclose(padded(image), plain(image), atol=0.1 * direct.std())  # what lies around is seen
    with torch.inference_mode():  # as published: 65 cells, enlarged corner to corner by 8
        cells = network.outputs(torch.from_numpy(whole).permute(2, 0, 1)[None]).scores[MAIN]
        assert tuple(cells.shape[-2:]) == (65, 65)
        enlarged = nn.functional.interpolate(cells, (513, 513), mode="bilinear", align_corners=True)[0].numpy()
    np.testing.assert_allclose(direct, enlarged, rtol=0, atol=1e-4 * direct.std())


def test_a_side_that_cannot_be_padded_to_is_refused(refuses: Refuses) -> None:
    with refuses("expected a side of 1 pixel to 128, got 513"):
        mirror(SizeRule(maximum=128)).padded_to(513)
    with refuses("padded: expected a side of 1 pixel or more, got 0"):
        mirror(SizeRule()).padded_to(0)


def test_scores_of_each_class_for_itself_become_its_probability_over_their_sum() -> None:
    scores = np.array([[[0.0, -1.0, 9.0]], [[1.0, -4.0, 7.0]], [[-2.0, -3.0, 8.0]]], np.float32)
    there = 1 / (1 + np.exp(-scores.astype(np.float64)))
    np.testing.assert_allclose(softmax(as_logits(scores, "sigmoid")), there / there.sum(0), rtol=1e-5)
    assert not np.allclose(softmax(scores), there / there.sum(0), atol=0.01)
    assert as_logits(scores, "softmax") is scores


def test_large_scores_keep_their_order_and_stay_finite() -> None:
    scores = np.array([30.0, -200.0, 40.0, -1e4, 0.0], np.float32)[:, None, None]
    logits = as_logits(scores, "sigmoid")
    assert np.isfinite(logits).all()
    assert logits.dtype == np.float32
    assert np.array_equal(np.argsort(logits[:, 0, 0]), np.argsort(scores[:, 0, 0]))


def test_a_predictor_of_sigmoids_gives_logits_whatever_is_made_of_it() -> None:
    image = picture((45, 38))
    network = mirror(SizeRule()).network
    expected = as_logits(WholeImage(network, "cpu")(image), "sigmoid")
    predictor = WholeImage(network, "cpu", link="sigmoid")
    for same in (predictor, predictor.padded_to(64)):
        np.testing.assert_array_equal(same(image), expected)
    assert predictor.faster().link == "sigmoid"


def softmax(logits: NDArray) -> NDArray:
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x", ""])
def test_a_device_that_is_none_is_refused(device: str, refuses: Refuses) -> None:
    with refuses(f"device '{device}' cannot be used here", "use cpu"):
        WholeImage(create_model("fcn32s_vgg16", 2, width=1 / 16), device)
