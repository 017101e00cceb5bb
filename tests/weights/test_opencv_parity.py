"""Our networks against OpenCV's runtime for Caffe: one file of weights, run there as it is, and imported here.

OpenCV gets the definition of the release, as typed into `caffe_networks` and `caffe_deeplab`, and the picture less the
mean, blue first. Our network gets the picture as it is, and whatever geometry it has derived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses
from tests.weights import caffe_deeplab
from tests.weights.caffe_files import Setting, write_files
from tests.weights.caffe_networks import Definition, deconvnet, fcn_alexnet, fcn_vgg16

from pixelwise.geometry import Size
from pixelwise.labels import MAIN
from pixelwise.models.network import Network
from pixelwise.weights.importing import import_weights

CLASSES = 21
NARROW = 1 / 16
TOLERANCE = 1e-4
"""The largest difference of two scores, in standard deviations of all scores."""

FCNS: dict[str, Callable[..., Definition]] = {
    "fcn32s_vgg16": partial(fcn_vgg16, stride=32),
    "fcn16s_vgg16": partial(fcn_vgg16, stride=16),
    "fcn8s_vgg16": partial(fcn_vgg16, stride=8),
    "fcn8s_atonce_vgg16": partial(fcn_vgg16, stride=8, at_once=True),
    "fcn32s_alexnet": fcn_alexnet,
}
DEEPLABS: dict[str, tuple[Callable[..., Definition], str]] = {
    "deeplab_vgg16": (caffe_deeplab.base, "fc8_pascal"),
    "deeplab_largefov_vgg16": (caffe_deeplab.largefov, "fc8_voc12"),
    "deeplab_msc_largefov_vgg16": (caffe_deeplab.msc_largefov, "fc_fusion"),
    "deeplab_aspp_s_vgg16": (partial(caffe_deeplab.aspp, rates=(2, 4, 8, 12)), "fc8_voc12"),
    "deeplab_aspp_l_vgg16": (partial(caffe_deeplab.aspp, rates=(6, 12, 18, 24)), "fc8_voc12"),
    "deeplab_aspp_resnet101": (caffe_deeplab.aspp_resnet101, "fc1_voc12"),
}
"""Definition, and its coarse scores."""
ENLARGED = ["deeplab_largefov_vgg16", "deeplab_aspp_s_vgg16", "deeplab_aspp_l_vgg16"]
"""Those whose definition enlarges them."""
IN_THE_OLD_FORMAT = ["deeplab_vgg16", "deeplab_largefov_vgg16", "deeplab_msc_largefov_vgg16"]


def picture(size: Size, seed: int = 0) -> NDArray[np.uint8]:
    """Patches of many colours, with noise: an RGB image `(H, W, 3)` in which places differ."""
    random = np.random.default_rng(seed)
    patch = 32
    colours = random.integers(0, 256, (-(-size[0] // patch), -(-size[1] // patch), 3))
    patches = colours.repeat(patch, axis=0).repeat(patch, axis=1)[: size[0], : size[1]]
    return (patches + random.integers(-40, 41, patches.shape)).clip(0, 255).astype(np.uint8)


def run_in_opencv(
    files: tuple[Path, Path], image: NDArray[np.uint8], mean: tuple[float, ...], *blobs: str
) -> list[NDArray[np.float32]]:
    network = cv2.dnn.readNetFromCaffe(*map(str, files))
    network.enableWinograd(False)  # its faster 3x3 convolutions round several times as much
    blue_first = image[..., ::-1].astype(np.float32) - np.float32(mean)
    network.setInput(np.ascontiguousarray(blue_first.transpose(2, 0, 1)[None]))
    return list(network.forward(list(blobs)))


def imported(name: str, weights: Path, **options: object) -> Network:
    return import_weights([weights], name, options).checkpoint.network.eval()


def batch(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def difference(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """The largest one, in standard deviations of all scores."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / theirs.std())


def assert_same(ours: torch.Tensor, theirs: NDArray[np.float32]) -> None:
    assert theirs.std() > 0.1
    assert len(np.unique(theirs.argmax(axis=1))) >= 5
    assert difference(ours.numpy(), theirs) <= TOLERANCE


@pytest.mark.parametrize(("seed", "size"), [(0, (97, 131)), (1, (120, 93))])
@pytest.mark.parametrize("name", FCNS)
@torch.inference_mode()
def test_fcns_score_as_in_opencv(name: str, seed: int, size: Size, tmp_path: Path) -> None:
    net, image = FCNS[name](CLASSES, width=NARROW, seed=seed), picture(size, seed)
    files = write_files(net.layers, tmp_path, size)
    (theirs,) = run_in_opencv(files, image, net.mean, "score")
    assert theirs.shape == (1, CLASSES, *size)
    assert_same(imported(name, files[1], width=NARROW)(batch(image)), theirs)


# Long sides, so that a rate of 24 cells stays inside the map.
@pytest.mark.parametrize(("seed", "size"), [(0, (41, 217)), (1, (225, 57))])
@pytest.mark.parametrize("name", DEEPLABS)
@torch.inference_mode()
def test_deeplabs_coarse_scores_are_opencvs(name: str, seed: int, size: Size, tmp_path: Path) -> None:
    definition, coarse = DEEPLABS[name]
    net, image = definition(CLASSES, width=NARROW, seed=seed), picture(size, seed)
    files = write_files(net.layers, tmp_path, size, old_format=name in IN_THE_OLD_FORMAT)
    (theirs,) = run_in_opencv(files, image, net.mean, coarse)
    assert_same(imported(name, files[1], width=NARROW).outputs(batch(image)).scores[MAIN], theirs)


@pytest.mark.parametrize("name", [name for name in DEEPLABS if "msc" not in name])  # it takes sides of 8k + 1 alone
@torch.inference_mode()
def test_deeplabs_coarse_scores_are_opencvs_where_sizes_are_rounded(name: str, tmp_path: Path) -> None:
    (definition, coarse), size = DEEPLABS[name], (100, 134)  # the last windows of the pools hang over the edge
    net, image = definition(CLASSES, width=NARROW, seed=2), picture(size)
    files = write_files(net.layers, tmp_path, size)
    (theirs,) = run_in_opencv(files, image, net.mean, coarse)
    assert_same(imported(name, files[1], width=NARROW).outputs(batch(image)).scores[MAIN], theirs)


@pytest.mark.parametrize("name", ENLARGED)
@torch.inference_mode()
def test_deeplabs_score_as_in_opencv(name: str, tmp_path: Path) -> None:
    (definition, _), size = DEEPLABS[name], (97, 129)  # sides of 8k + 1, which an enlargement by 8 gives back
    net, image = definition(CLASSES, width=NARROW), picture(size)
    files = write_files(net.layers, tmp_path, size)
    (theirs,) = run_in_opencv(files, image, net.mean, "fc8_interp")
    assert theirs.shape == (1, CLASSES, *size)
    assert_same(imported(name, files[1], width=NARROW)(batch(image)), theirs)


@torch.inference_mode()
def test_mscs_coarse_scores_are_those_it_is_tested_with_at_every_eighth_pixel(tmp_path: Path) -> None:
    # Its test network adds the branches at their own sizes, enlarged. Ours enlarges the sum, as its training network had it.
    size, image = (97, 129), picture((97, 129))
    trained, tested = (caffe_deeplab.msc_largefov(CLASSES, tested=tested, width=NARROW) for tested in (False, True))
    (tmp_path / "tested").mkdir()
    _, weights = write_files(trained.layers, tmp_path, size)
    (theirs,) = run_in_opencv(write_files(tested.layers, tmp_path / "tested", size), image, tested.mean, "fc_fusion")
    assert theirs.shape == (1, CLASSES, *size)
    network = imported("deeplab_msc_largefov_vgg16", weights, width=NARROW)
    assert_same(network.outputs(batch(image)).scores[MAIN], theirs[..., ::8, ::8])


# The whole of DeconvNet: OpenCV has unpooling too, and what its inference file calls batch norms are factors and summands.
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("seed", "size"), [(0, (224, 256)), (2, (256, 224))])
@torch.inference_mode()
def test_deconvnet_scores_as_in_opencv(batch_norm: bool, seed: int, size: Size, tmp_path: Path) -> None:
    net, image = deconvnet(CLASSES, batch_norm=batch_norm, width=NARROW, seed=seed), picture(size, seed)
    files = write_files(net.layers, tmp_path, size, old_format=True)
    (theirs,) = run_in_opencv(files, image, net.mean, "seg-score-voc")
    assert theirs.shape == (1, CLASSES, *size)
    network = imported("deconvnet_vgg16", files[1], width=NARROW, batch_norm=batch_norm)
    assert_same(network(batch(image)), theirs)


@pytest.mark.parametrize(
    ("definition", "scores", "layer", "changed"),
    [
        (FCNS["fcn8s_vgg16"], "score", "conv1_1", {"pad": 99}),
        (FCNS["fcn8s_vgg16"], "score", "score_pool4c", {"offset": 6}),
        (FCNS["fcn8s_vgg16"], "score", "score_pool3c", {"offset": 10}),
        (FCNS["fcn8s_vgg16"], "score", "score", {"offset": 32}),
        (FCNS["fcn8s_atonce_vgg16"], "score", "fuse_pool3", {"operation": "MAX"}),
        (FCNS["fcn32s_alexnet"], "score", "norm2", {"local_size": 3}),
        (FCNS["fcn32s_alexnet"], "score", "norm2", {"alpha": 1.1e-4}),
        (FCNS["fcn32s_alexnet"], "score", "score", {"offset": 17}),
        (caffe_deeplab.largefov, "fc8_voc12", "pool5a", {"pool": "MAX"}),
        (caffe_deeplab.largefov, "fc8_voc12", "fc6", {"pad": 11, "dilation": 11}),
        (caffe_deeplab.largefov, "fc8_voc12", "conv5_2", {"pad": 1, "dilation": 1}),
        (caffe_deeplab.base, "fc8_pascal", "fc6", {"pad": 3, "dilation": 2}),
        (caffe_deeplab.aspp_resnet101, "fc1_voc12", "res4b9_branch2b", {"pad": 1, "dilation": 1}),
        (caffe_deeplab.aspp_resnet101, "fc1_voc12", "fc1_voc12_c3", {"pad": 23, "dilation": 23}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_number_typed_wrong_would_be_seen(
    definition: Callable[..., Definition], scores: str, layer: str, changed: dict[str, Setting], tmp_path: Path
) -> None:
    size, net = (41, 217), definition(CLASSES, width=NARROW)
    wrong = [
        replace(other, settings={**other.settings, **changed}) if other.name == layer else other for other in net.layers
    ]
    assert wrong != net.layers
    image = picture(size)
    (right,) = run_in_opencv(write_files(net.layers, tmp_path, size), image, net.mean, scores)
    (seen,) = run_in_opencv(write_files(wrong, tmp_path, size), image, net.mean, scores)
    assert difference(seen, right) > 30 * TOLERANCE


@torch.inference_mode()
def test_colours_the_wrong_way_round_would_be_seen(tmp_path: Path) -> None:
    size, net = (97, 131), fcn_vgg16(CLASSES, stride=32, width=NARROW)
    files = write_files(net.layers, tmp_path, size)
    image = picture(size)
    (theirs,) = run_in_opencv(files, image, net.mean, "score")
    red_last = batch(image).flip(1)
    assert difference(imported("fcn32s_vgg16", files[1], width=NARROW)(red_last).numpy(), theirs) > 30 * TOLERANCE


def test_both_formats_hold_the_same_network(tmp_path: Path) -> None:
    net = fcn_vgg16(3, stride=8, width=NARROW)
    states = []
    for old_format in (False, True):
        _, weights = write_files(net.layers, tmp_path, (9, 9), old_format=old_format)
        states.append(imported("fcn8s_vgg16", weights, width=NARROW).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda content: content[: len(content) // 2], "cut off, or not a Caffe model"),
        (lambda content: content[:-1], "cut off, or not a Caffe model"),
        (lambda content: content.replace(b"conv3_2", b"conv3_9"), "conv3_9"),
        (lambda content: content.replace(b"score_fr", b"score_xx"), "score_xx"),
    ],
    ids=["half", "one byte short", "trunk renamed", "score renamed"],
)
def test_a_damaged_file_is_refused(
    damage: Callable[[bytes], bytes], part: str, tmp_path: Path, refuses: Refuses
) -> None:
    net = fcn_vgg16(3, stride=32, width=NARROW)
    _, weights = write_files(net.layers, tmp_path, (9, 9))
    imported("fcn32s_vgg16", weights, width=NARROW)  # before it is damaged
    weights.write_bytes(damage(weights.read_bytes()))
    with refuses(str(weights), part):
        imported("fcn32s_vgg16", weights, width=NARROW)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_layer_of_another_shape_is_refused(old_format: bool, tmp_path: Path, refuses: Refuses) -> None:
    net = fcn_vgg16(3, stride=32, width=NARROW)
    layers = [
        replace(layer, blobs=(layer.blobs[0][:, :-1], layer.blobs[1])) if layer.name == "conv2_1" else layer
        for layer in net.layers
    ]
    _, weights = write_files(layers, tmp_path, (9, 9), old_format=old_format)
    with refuses(str(weights), "(8, 4, 3, 3)", "(8, 3, 3, 3)"):
        imported("fcn32s_vgg16", weights, width=NARROW)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn8s_vgg16", "deeplab_largefov_vgg16", "deeplab_aspp_l_vgg16"])
@torch.inference_mode()
def test_networks_of_published_width_score_as_in_opencv(name: str, tmp_path: Path) -> None:
    size = (193, 241)
    definition, scores = (FCNS[name], "score") if name in FCNS else (DEEPLABS[name][0], "fc8_interp")
    net, image = definition(CLASSES), picture(size)
    files, mean = write_files(net.layers, tmp_path, size), net.mean
    del net  # half a gigabyte, which is now in the file
    (theirs,) = run_in_opencv(files, image, mean, scores)
    network = imported(name, files[1])
    files[1].unlink()  # pytest keeps the folder
    assert_same(network(batch(image)), theirs)
