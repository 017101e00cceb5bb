"""GDN: the matrices against loops and formulas, what a start as interpolation equals, the pyramid, the head for labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses
from tests.models.networks import CLASSES, full_size, narrow, parameter_count, pictures
from torch import Tensor, nn

from pixelwise.geometry import Grid, SizeRule
from pixelwise.inference.predictors import WholeImage
from pixelwise.labels import MAIN
from pixelwise.models.decoders.global_deconv import (
    PYRAMID_BINS,
    FullyConnectedScores,
    GlobalDeconvolution,
    image_classifier,
    pyramid,
)
from pixelwise.models.layers import interpolate_separably
from pixelwise.models.network import Features, Network, Outputs
from pixelwise.models.published import create_model

SIDE = 120
NAMES = ["gdn_fcn32s_vgg16", "gdn_fc_fcn32s_vgg16", "gdn_largefov_vgg16", "gdn_lite0"]
BASES = {
    "gdn_fcn32s_vgg16": "fcn32s_vgg16",
    "gdn_fc_fcn32s_vgg16": "fcn32s_vgg16",
    "gdn_largefov_vgg16": "deeplab_largefov_vgg16",
    "gdn_lite0": "fcn32s_lite0",
}


def small(name: str, **options: Any) -> Network:
    """A narrow network for images of up to `SIDE` pixels."""
    return narrow(name, **{"side": SIDE, **options})


def pair(name: str, **options: Any) -> tuple[Network, Network]:
    """A network that starts as interpolation, and the one it is made of, with the same weights."""
    ours, base = small(name, initialisation="bilinear", **options), narrow(BASES[name])
    base.backbone.load_state_dict(ours.backbone.state_dict())
    base.decoder.load_state_dict(ours.decoder.coarse.state_dict())
    return ours, base


class Given(nn.Module):
    """A decoder whose coarse scores are the trunk's map."""

    last_layers = ()

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.heads = {MAIN: classes}

    def forward(self, features: Features) -> Outputs:
        return Outputs({MAIN: features.maps[-1]}, {MAIN: Grid(32, 12.5, 404)})

    def upsample(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, Tensor]:
        raise AssertionError("global deconvolution enlarges by itself")


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(math.prod(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# The matrices.


@pytest.mark.parametrize(
    ("name", "added", "cells"),
    [("gdn_fcn32s_vgg16", 16_000, 16), ("gdn_largefov_vgg16", 64_000, 64), ("gdn_lite0", 16_000, 16)],
)
def test_what_global_deconvolution_adds(name: str, added: int, cells: int) -> None:
    network = full_size(name)  # the cells follow from the layers; 16,000 and 64,000 are the paper's (below 70K)
    assert network.decoder.rows.shape == network.decoder.columns.shape == (500, cells)
    assert parameter_count(network) - parameter_count(full_size(BASES[name])) == added
    assert network.sizes == SizeRule(maximum=500)


def test_the_interpolation_against_loops() -> None:
    scores, rows, columns = random(2, 3, 4, 5), random(7, 4), random(9, 5)
    expected = np.zeros((2, 3, 7, 9))
    for n, k, y, x in np.ndindex(expected.shape):
        for i, j in np.ndindex(4, 5):
            expected[n, k, y, x] += rows[y, i] * scores[n, k, i, j] * columns[x, j]
    np.testing.assert_allclose(interpolate_separably(scores, rows, columns), expected, rtol=0, atol=1e-12)


def test_the_gradients_are_the_papers() -> None:
    tensors = random(2, 3, 4, 5), random(7, 4), random(9, 5)
    for tensor in tensors:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(interpolate_separably, tensors)
    scores, rows, columns = tensors
    above = random(2, 3, 7, 9)
    interpolate_separably(scores, rows, columns).backward(above)
    # GDN, section 3.2, where the first formula prints a transpose too many
    planes = [(above[n, k], scores[n, k]) for n, k in np.ndindex(2, 3)]
    of_scores = torch.stack([rows.T @ g @ columns for g, _ in planes]).reshape(2, 3, 4, 5)
    torch.testing.assert_close(scores.grad, of_scores.detach())
    torch.testing.assert_close(rows.grad, sum(g @ columns @ x.T for g, x in planes).detach())
    torch.testing.assert_close(columns.grad, sum(g.T @ rows @ x for g, x in planes).detach())


def test_smaller_images_use_the_first_rows_and_columns() -> None:
    decoder = GlobalDeconvolution(Given(3), 6, Grid(32, 12.5), 200).double()
    scores = random(2, 3, 2, 4)
    outputs = decoder(Features((scores,)))
    expected = np.einsum("yi,nkij,xj->nkyx", decoder.rows.detach()[:50, :2], scores, decoder.columns.detach()[:111, :4])
    enlarged = decoder.upsample(outputs, (50, 111))[MAIN]
    np.testing.assert_allclose(enlarged.detach(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("name", "bounds"), [("gdn_largefov_vgg16", (5.63e-3, 2.12e-3))])
def test_matrices_start_uniformly_as_released(name: str, bounds: tuple[float, float]) -> None:
    torch.manual_seed(0)
    decoder = create_model(name, 21, width=1 / 64).decoder
    for matrix, bound in zip((decoder.rows, decoder.columns), bounds, strict=True):
        assert 0.999 * bound < matrix.abs().max() < 1.002 * bound  # 32,000 values come close to it
        assert abs(matrix.std() / bound - 1 / math.sqrt(3)) < 0.01
        assert abs(matrix.mean() / bound) < 0.02


@pytest.mark.parametrize("name", ["gdn_lite0", "gdn_largefov_vgg16"])
@pytest.mark.parametrize("size", [(1, 1), (37, 51), (120, 96)])
@torch.inference_mode()
def test_a_bilinear_start_is_the_interpolation_it_takes_the_place_of(name: str, size: tuple[int, int]) -> None:
    ours, base = pair(name)
    expected = base(pictures(1, size))
    assert size == (1, 1) or expected.std() > 1e-3
    torch.testing.assert_close(ours(pictures(1, size)), expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_bilinear_start_equals_fcn_between_its_cells() -> None:
    ours, base = pair("gdn_fcn32s_vgg16", side=160)
    images = pictures(1, (160, 130))
    grid = ours.outputs(images).grids[MAIN]
    assert grid == Grid(32, 12.5)  # before the first cell FCN leans on nothing, and scores fall off
    between = np.s_[..., 13:140, 13:130]
    scores, expected = ours(images), base(images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(scores[between], expected[between], rtol=1e-4, atol=1e-4)
    assert (scores - expected)[..., 0, 0].abs().max() > 1e-3


@pytest.mark.parametrize(("nonlinearity", "function"), [("none", None), ("relu", torch.relu), ("tanh", torch.tanh)])
@torch.inference_mode()
def test_a_nonlinearity_on_top(nonlinearity: str, function: Any) -> None:
    images = pictures(1, (40, 50))
    options = {"initialisation": "bilinear"}
    plain = small("gdn_lite0", **options)(images)
    scores = small("gdn_lite0", **options, nonlinearity=nonlinearity)(images)
    assert (plain < 0).any()
    assert torch.equal(scores, plain if function is None else function(plain))


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_images_beyond_the_side_are_shrunk_by_predictors(name: str, refuses: Refuses) -> None:
    network = small(name)
    image = pictures(1, (150, 90))
    with refuses("takes", "of up to", "shrink the image, or build the network with a larger side"):
        network(image)
    scores = WholeImage(network, "cpu")(image[0].permute(1, 2, 0).numpy())
    assert scores.shape == (CLASSES, 150, 90)
    assert np.isfinite(scores).all()


# What sees the whole coarse map: the pyramid with its fully connected layer, and the head for the label loss.


def pools_by_loop(plane: NDArray, cells: int, bins: int) -> NDArray:
    """Caffe's SPP layer for a max pool, a bin at a time, of a plane in the corner of one of `cells` x `cells`."""
    kernel = math.ceil(cells / bins)
    pad = (kernel * bins - cells + 1) // 2
    pooled = np.zeros((bins, bins))
    for y, x in np.ndindex(bins, bins):
        top, left = y * kernel - pad, x * kernel - pad
        inside = plane[max(top, 0) : max(top + kernel, 0), max(left, 0) : max(left + kernel, 0)]
        pooled[y, x] = inside.max() if inside.size else 0
    return pooled


@pytest.mark.parametrize("cells", [16, 13, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 9), (16, 16)])
def test_the_pyramid_against_loops(cells: int, size: tuple[int, int]) -> None:
    size = min(size[0], cells), min(size[1], cells)
    scores = random(2, 3, *size) - 4  # most are below what an empty bin gives
    pools = pyramid(scores, cells)
    assert [pool.shape[-1] for pool in pools] == [1, 2, 4, 8, 16]
    for pool, bins in zip(pools, PYRAMID_BINS, strict=True):
        for n, k in np.ndindex(2, 3):
            assert np.array_equal(pool[n, k], pools_by_loop(scores[n, k].numpy(), cells, bins))


def test_the_pyramid_by_hand() -> None:
    ramp = torch.arange(256.0).view(1, 1, 16, 16)
    one, two, *_, finest = pyramid(ramp, 16)
    assert one.tolist() == [[[[255]]]]
    assert two.tolist() == [[[[119, 127], [247, 255]]]]  # the last cells of rows 7 and 15
    assert torch.equal(finest, ramp)
    assert pyramid(-ramp[..., :3, :3] - 1, 16)[1].tolist() == [[[[-1, 0], [0, 0]]]]  # three bins hold nothing


def test_the_layer_behind_the_pyramid_has_the_papers_size() -> None:
    network = full_size("gdn_fc_fcn32s_vgg16")
    layer = network.decoder.fully_connected
    assert (layer.in_features, layer.out_features) == (21 * 341, 21 * 16 * 16)  # 7161 and 5376
    assert parameter_count(network) - parameter_count(full_size("fcn32s_vgg16")) == 7161 * 5376 + 5376
    assert network.sizes == SizeRule(maximum=500)


@pytest.mark.parametrize("size", [(1, 1), (33, 64), (SIDE, SIDE)])
def test_nothing_infinite_gets_through_the_pyramid(size: tuple[int, int]) -> None:
    network = small("gdn_fc_fcn32s_vgg16")
    scores = network(pictures(1, size))
    scores.square().sum().backward()
    assert scores.shape == (1, CLASSES, *size)
    assert scores.isfinite().all()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert network.decoder.fully_connected.weight.grad is not None
    assert network.backbone.features[0].weight.grad is not None


@torch.inference_mode()
def test_every_cell_behind_the_pyramid_sees_every_other() -> None:
    decoder = FullyConnectedScores(Given(2), 4).double()
    scores = random(1, 2, 4, 4)
    outputs = decoder(Features((scores,)))
    moved = scores.clone()
    moved[0, 1, 3, 3] += 10
    assert (decoder(Features((moved,))).scores[MAIN] != outputs.scores[MAIN]).all()
    assert outputs.scores[MAIN].shape == (1, 2, 4, 4)
    assert outputs.grids[MAIN].field == 404 + 3 * 32  # what all four cells of a row see together
    smaller = decoder(Features((scores[..., :2, :3],))).scores[MAIN]
    assert smaller.shape == (1, 2, 2, 3)


def test_the_label_head_answers_for_images_of_the_full_side() -> None:
    network = small("gdn_fcn32s_vgg16", label_loss=True, label_hidden=160)
    linears = [layer for layer in network.decoder.label_head if isinstance(layer, nn.Linear)]
    cells = network.decoder.cells
    assert [(layer.in_features, layer.out_features) for layer in linears] == [
        (CLASSES * cells**2, 10), (10, 10), (10, CLASSES - 1),
    ]  # fmt: skip
    logits = network.outputs(pictures(2, (SIDE, SIDE))).image_logits
    assert logits is not None
    assert logits.shape == (2, CLASSES - 1)  # the background has no answer
    logits.sum().backward()
    assert network.backbone.features[0].weight.grad is not None
    assert network.outputs(pictures(1, (SIDE, 60))).image_logits is None
    assert small("gdn_fcn32s_vgg16").outputs(pictures(1, (SIDE, SIDE))).image_logits is None


@pytest.mark.parametrize("name", ["gdn_fcn32s_vgg16", "gdn_largefov_vgg16", "gdn_lite0"])
def test_without_the_matrices_it_is_the_network_inside_with_a_label_head(name: str) -> None:
    ours = small(name, label_loss=True, label_hidden=160, global_interpolation=False)
    base = narrow(BASES[name])
    base.backbone.load_state_dict(ours.backbone.state_dict())
    base.decoder.load_state_dict(ours.decoder.coarse.state_dict())
    for size in [(SIDE, SIDE), (60, SIDE), (SIDE + 41, 90)]:  # it takes what the network inside takes
        images = pictures(1, size)
        expected = base(images)
        assert expected.std() > 0
        assert torch.equal(ours(images), expected)
        logits = ours.outputs(images).image_logits
        assert (logits is not None) == (size == (SIDE, SIDE))
    added = {path.split(".")[1] for path, _ in ours.named_parameters()} - {"coarse", "features"}
    assert "label_head" in added
    assert not {"rows", "columns"} & added


def test_the_label_head_as_a_plain_second_writing() -> None:
    head = image_classifier(3, 2, 4).double()
    state = {name: tensor.numpy() for name, tensor in head.state_dict().items()}
    scores = random(2, 3, 2, 2)
    values = scores.numpy().reshape(2, 12)
    for place in (1, 3):
        values = np.maximum(values @ state[f"{place}.weight"].T + state[f"{place}.bias"], 0)
    expected = values @ state["5.weight"].T + state["5.bias"]
    np.testing.assert_allclose(head(scores).detach(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_layers_that_give_the_scores_are_those_of_the_network_inside(name: str) -> None:
    network = small(name)
    assert len(network.last_layers) == 1
    (layer,) = network.last_layers
    assert isinstance(layer, nn.Conv2d)
    assert layer.out_channels == CLASSES
    assert network.heads == {MAIN: CLASSES}


def test_what_cannot_be_built_is_refused(refuses: Refuses) -> None:
    with refuses("unknown initialisation 'bilinea'", "did you mean 'bilinear'?"):
        create_model("gdn_lite0", 3, initialisation="bilinea")
    with refuses("unknown nonlinearity 'elu'", "did you mean 'relu'?"):
        create_model("gdn_lite0", 3, nonlinearity="elu")
    with refuses("at least 1 more class", "got 1"):
        create_model("gdn_lite0", 1, label_loss=True)
    with refuses("sides of 1 pixels or more", "got side=0"):
        create_model("gdn_lite0", 3, side=0)
    with refuses("without global_interpolation nothing is added", "set label_loss"):
        create_model("gdn_lite0", 3, global_interpolation=False)
    with refuses("no such option", "'sides'"):
        create_model("gdn_lite0", 3, sides=100)
