"""Foreign weights: read without running anything, and every parameter covered exactly once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import Refuses
from torch import Tensor, nn

from pixelwise.labels import LabelSpec
from pixelwise.models.backbones.efficientnet_lite import ClassificationHead, EfficientNetLite
from pixelwise.models.network import Network
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig
from pixelwise.weights.load import load_named, read_state, take_over
from pixelwise.weights.names import efficientnet_lite_names

NAMES = {"fc.w": "weight", "fc.b": "bias", "aux": None}


class Mischief:
    """What unpickling it would do: create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def foreign() -> dict[str, Tensor]:
    return {"fc.w": torch.arange(6.0).view(2, 3), "fc.b": torch.ones(2), "aux": torch.zeros(7)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_tensors_are_read_from_either_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(foreign(), path)
    state = read_state(path)
    assert state.keys() == foreign().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in foreign().items())


def test_pickled_code_is_refused_and_not_run(tmp_path: Path, refuses: Refuses) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"weight": Mischief(trace)}, path)
    with refuses(str(path), "not a readable file of weights"):
        read_state(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the file is one that would have done it
    assert trace.exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"weight": 3}], ids=["list", "number"])
def test_a_file_of_anything_but_named_tensors_is_refused(tmp_path: Path, content: object, refuses: Refuses) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with refuses(str(path), "expected a mapping of names to tensors"):
        read_state(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, suffix: str, refuses: Refuses) -> None:
    path = tmp_path / f"weights{suffix}"
    with refuses(str(path)):
        read_state(path)
    (save_file if suffix == ".safetensors" else torch.save)(foreign(), path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"no weights\nat all\n"):
        path.write_bytes(content)
        with refuses(str(path), "not a readable file of weights"):
            read_state(path)


def test_weights_go_where_their_names_say() -> None:
    layer = nn.Linear(3, 2)
    load_named(layer, foreign(), NAMES, where="here")
    assert torch.equal(layer.weight, foreign()["fc.w"])
    assert torch.equal(layer.bias, foreign()["fc.b"])


def test_an_unknown_weight_is_named(refuses: Refuses) -> None:
    with refuses("here", "does not know", "'extra'"):
        load_named(nn.Linear(3, 2), {**foreign(), "extra": torch.zeros(1)}, NAMES, where="here")


def test_a_missing_weight_is_named(refuses: Refuses) -> None:
    state = foreign()
    del state["fc.b"]
    with refuses("here", "lacks", "'bias'"):
        load_named(nn.Linear(3, 2), state, NAMES, where="here")


def test_a_weight_of_another_shape_is_named(refuses: Refuses) -> None:
    with refuses("here", "'weight'", "(2, 3)", "(3, 2)"):
        load_named(nn.Linear(3, 2), {**foreign(), "fc.w": torch.zeros(3, 2)}, NAMES, where="here")


def test_a_weight_that_stands_twice_is_named(refuses: Refuses) -> None:
    with refuses("here", "twice", "'bias'"):
        load_named(nn.Linear(3, 2), {**foreign(), "old.b": torch.zeros(2)}, {**NAMES, "old.b": "bias"}, where="here")


def test_a_refused_file_changes_nothing(refuses: Refuses) -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.clone()
    with refuses("'bias'"):
        load_named(layer, {**foreign(), "fc.b": torch.zeros(3)}, NAMES, where="here")
    assert torch.equal(layer.weight, before)


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


def test_lite0s_names_cover_every_parameter_once() -> None:
    trunk = EfficientNetLite()
    trunk.head = ClassificationHead()
    ours = list(efficientnet_lite_names(trunk).values())
    assert len(ours) == len(set(ours))
    assert set(ours) == set(trunk.state_dict())
