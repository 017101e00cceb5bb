"""Weights made to fit: fewer filters, other pixels, other classes, finer strides; by hand, and as the same function."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.conftest import Refuses
from torch import nn
from torch.nn import functional

from pixelwise.labels import LabelSpec
from pixelwise.models.network import Network, Normalise
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig
from pixelwise.weights.surgery import for_other_pixels, subsampled_classifier, take_over


def classifier(filters: int = 8, channels: int = 2, side: int = 7) -> dict[str, torch.Tensor]:
    """fc6 in which every number says where it stands: filter, channel, row and column as digits; fc7 likewise."""
    o, c, y, x = torch.meshgrid(*map(torch.arange, (filters, channels, side, side)), indexing="ij")
    rows, columns = torch.meshgrid(torch.arange(filters), torch.arange(filters), indexing="ij")
    return {
        "fc6.weight": 1000.0 * o + 100 * c + 10 * y + x,
        "fc6.bias": torch.arange(float(filters)),
        "fc7.weight": (10.0 * rows + columns)[..., None, None],
        "fc7.bias": torch.arange(float(filters)),
    }


@pytest.mark.parametrize(("kernel", "places"), [(3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, [0, 1, 2, 3, 4, 5, 6])])
def test_kernels_and_filters_are_subsampled(kernel: int, places: list[int]) -> None:
    smaller = subsampled_classifier(classifier(), 5, kernel)
    kept6, kept7 = smaller["fc6.bias"], smaller["fc7.bias"]  # which filters they are
    assert len(kept6) == len(kept7) == 5
    assert sorted(set(kept6.tolist())) == kept6.tolist()
    grid = 10.0 * torch.tensor(places)[:, None] + torch.tensor(places)
    for i, filter_ in enumerate(kept6):
        for channel in range(2):
            assert torch.equal(smaller["fc6.weight"][i, channel], 1000 * filter_ + 100 * channel + grid)
    assert torch.equal(smaller["fc7.weight"][..., 0, 0], 10 * kept7[:, None] + kept6)


def test_the_seed_decides_which_filters_are_kept() -> None:
    first, again, other = (subsampled_classifier(classifier(64), 32, 3, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc6.bias"], other["fc6.bias"])
    assert not torch.equal(first["fc6.bias"], first["fc7.bias"])


@pytest.mark.parametrize(("channels", "kernel"), [(9, 3), (4, 8)])
def test_no_more_can_be_kept_than_there_is(channels: int, kernel: int, refuses: Refuses) -> None:
    with refuses("fc6 has 8 filters of 7 x 7", f"{channels} of {kernel} x {kernel} are wanted"):
        subsampled_classifier(classifier(), channels, kernel)


PIXELS = {
    "caffe": Normalise((122.0, 116.0, 104.0), (1.0,) * 3, bgr=True),
    "torchvision": Normalise((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "scaled": Normalise((127.0,) * 3, (128.0,) * 3),
}


@pytest.mark.parametrize("theirs", PIXELS)
@pytest.mark.parametrize("ours", PIXELS)
def test_the_same_image_gives_the_same_numbers_whatever_it_is_normalised_by(theirs: str, ours: str) -> None:
    random = torch.Generator().manual_seed(0)
    image = 255 * torch.rand(1, 3, 6, 7, generator=random, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=random, dtype=torch.float64)
    changed, added = for_other_pixels(weight, PIXELS[theirs], PIXELS[ours])
    before = functional.conv2d(PIXELS[theirs](image), weight)
    after = functional.conv2d(PIXELS[ours](image), changed) + added.view(1, -1, 1, 1)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)  # means are kept in 32 bits
    if ours != theirs:
        assert not torch.allclose(changed, weight)


# Starting from a trained network.

CONFIG = NetworkConfig("fcn8s_vgg16", 3, {"width": 0.05})
SPEC = LabelSpec(("background", "cat", "dog"))


def network(classes: int = 3, *, seed: int) -> Network:
    torch.manual_seed(seed)
    built = replace(CONFIG, classes=classes).build().eval()
    for layer in built.last_layers:
        nn.init.normal_(layer.weight)  # type: ignore[arg-type]
        nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    return built


def trained() -> Checkpoint:
    return Checkpoint(network(seed=1), CONFIG, SPEC)


def test_the_same_classes_give_the_same_scores() -> None:
    ours, images = network(seed=2), 255 * torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(ours(images), trained().network(images))
    sentence = take_over(ours, CONFIG, SPEC, trained(), where="there")
    assert torch.equal(ours(images), trained().network(images))
    assert sentence == "there (classes taken over: background, cat, dog; new: none)"
    assert all(parameter.requires_grad for parameter in ours.parameters())


def test_classes_meet_by_name_in_the_score_layers_rows() -> None:
    ours, before, theirs = network(4, seed=2), network(4, seed=2), trained().network
    spec = LabelSpec(("dog", "horse", "background", "cow"))
    sentence = take_over(ours, replace(CONFIG, classes=4), spec, trained(), where="there")
    assert sentence == "there (classes taken over: dog, background; new: horse, cow)"
    assert len(ours.last_layers) == 3
    for layer, old, other in zip(ours.last_layers, before.last_layers, theirs.last_layers, strict=True):
        for name in ("weight", "bias"):
            rows, kept, taken = getattr(layer, name), getattr(old, name), getattr(other, name)
            assert torch.equal(rows[0], taken[2])
            assert torch.equal(rows[2], taken[0])
            assert torch.equal(rows[[1, 3]], kept[[1, 3]])
    assert all(torch.equal(a, b) for a, b in zip(ours.backbone.parameters(), theirs.backbone.parameters(), strict=True))


def test_no_class_in_common_takes_the_rest_over() -> None:
    ours = network(2, seed=2)
    sentence = take_over(ours, replace(CONFIG, classes=2), LabelSpec(("a", "b")), trained(), where="there")
    assert sentence.endswith("(classes taken over: none; new: a, b)")
    theirs = trained().network.backbone
    assert all(torch.equal(a, b) for a, b in zip(ours.backbone.parameters(), theirs.parameters(), strict=True))


def test_statistics_are_taken_over_too() -> None:
    config = NetworkConfig("fcn32s_lite0", 2, {"context": 8})
    theirs, ours = config.build(), config.build()
    theirs.train()(torch.rand(2, 3, 64, 64))
    spec = LabelSpec(("a", "b"))
    take_over(ours, config, spec, Checkpoint(theirs, config, spec), where="there")
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.mark.parametrize(
    "config", [NetworkConfig("fcn16s_vgg16", 3, {"width": 0.05}), NetworkConfig("fcn8s_vgg16", 3, {"width": 0.1})]
)
def test_another_network_is_not_taken_over(config: NetworkConfig, refuses: Refuses) -> None:
    ours = config.build()
    before = ours.state_dict()["backbone.features.0.weight"].clone()
    with refuses("there: is a fcn8s_vgg16 {'width': 0.05}", f"but a {config.name}", "the same network and options"):
        take_over(ours, config, SPEC, trained(), where="there")
    assert torch.equal(ours.state_dict()["backbone.features.0.weight"], before)


@torch.no_grad()
def test_a_layer_that_mixes_classes_is_taken_over_for_the_same_number_of_them_alone(refuses: Refuses) -> None:
    config = NetworkConfig("gdn_fc_fcn32s_vgg16", 3, {"width": 0.02, "side": 64})
    checkpoint = Checkpoint(config.build(), config, SPEC)
    ours = config.build()
    take_over(ours, config, SPEC, checkpoint, where="there")
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in checkpoint.network.state_dict().items())
    more = LabelSpec((*SPEC.names, "horse"))
    other = replace(config, classes=4).build()
    before = other.state_dict()["backbone.features.0.weight"].clone()
    with refuses("there: 'decoder.fully_connected.weight' mixes its 3 classes", "a network of 4"):
        take_over(other, replace(config, classes=4), more, checkpoint, where="there")
    assert torch.equal(other.state_dict()["backbone.features.0.weight"], before)


# A finer FCN from a coarser one.


def stage(name: str, *, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return NetworkConfig(name, 3, {"width": 0.05}).build().eval()


@pytest.mark.parametrize(
    ("coarse", "fine", "added"),
    [
        ("fcn32s_vgg16", "fcn16s_vgg16", ["skip_scores.0"]),
        ("fcn16s_vgg16", "fcn8s_vgg16", ["skip_scores.1"]),
        ("fcn32s_vgg16", "fcn8s_vgg16", ["skip_scores.0", "skip_scores.1"]),
    ],
)
@torch.no_grad()
def test_a_finer_fcn_starts_where_the_coarser_one_stands(coarse: str, fine: str, added: list[str]) -> None:
    theirs, ours = stage(coarse, seed=1), stage(fine, seed=2)
    for layer in theirs.last_layers:
        nn.init.normal_(layer.weight)  # type: ignore[arg-type]
    config = NetworkConfig(fine, 3, {"width": 0.05})
    sentence = take_over(ours, config, SPEC, Checkpoint(theirs, replace(config, name=coarse), SPEC), where="there")
    assert sentence.startswith(f"there, a coarser {coarse} (classes taken over: background")
    state, old = ours.state_dict(), theirs.state_dict()
    assert all(torch.equal(state[part], tensor) for part, tensor in old.items())
    new = set(state) - set(old)
    assert new == {f"decoder.{layer}.{part}" for layer in added for part in ("weight", "bias")}
    assert not any(state[part].any() for part in new)
    # With skips at zero, the finer one enlarges the coarser one's coarse scores, only in more steps.
    images = 255 * torch.rand(1, 3, 60, 70, generator=torch.Generator().manual_seed(0))
    assert (ours(images) - theirs(images)).std() < 0.2 * theirs(images).std()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("fcn8s_vgg16", "fcn16s_vgg16"),
        ("fcn32s_vgg19", "fcn16s_vgg16"),
        ("fcn16s_vgg16", "fcn8s_atonce_vgg16"),
        ("fcn8s_atonce_vgg16", "fcn8s_vgg16"),
        ("deeplab_largefov_vgg16", "fcn16s_vgg16"),
    ],
)
def test_nothing_else_is_a_coarser_fcn(theirs: str, ours: str, refuses: Refuses) -> None:
    config = NetworkConfig(ours, 3, {"width": 0.05})
    checkpoint = Checkpoint(stage(theirs), replace(config, name=theirs), SPEC)
    with refuses(f"there: is a {theirs}", f"but a {ours}"):
        take_over(stage(ours), config, SPEC, checkpoint, where="there")


def test_other_heads_are_taken_over_as_they_are() -> None:
    heads = {"geometric": ["sky", "ground", "wall"]}  # as many classes as main's
    config = NetworkConfig("fcn32s_vgg16", 3, {"width": 0.05, "heads": heads})
    torch.manual_seed(1)
    theirs = config.build().eval()
    for layer in theirs.last_layers:
        nn.init.normal_(layer.weight)  # type: ignore[arg-type]
    finer = replace(config, name="fcn16s_vgg16")
    torch.manual_seed(2)
    ours = finer.build().eval()
    spec = LabelSpec(("dog", "background", "cat"))
    take_over(ours, finer, spec, Checkpoint(theirs, config, SPEC), where="there")
    there, here = (dict(one.named_parameters()) for one in (theirs, ours))
    other, main = "decoder.others.geometric.score.weight", "decoder.score.weight"
    assert torch.equal(here[other], there[other])
    assert torch.equal(here[main], there[main][[2, 0, 1]])
    assert not here["decoder.others.geometric.skip_scores.0.weight"].any()
