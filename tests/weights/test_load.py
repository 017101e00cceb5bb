"""Foreign weights: read without running anything, and every parameter covered exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import Refuses
from torch import Tensor, nn

from pixelwise.weights.load import load_named, read_state

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


def test_a_weight_that_the_network_does_not_have_is_named(refuses: Refuses) -> None:
    with refuses("here", "does not have", "'fc.b'"):
        load_named(nn.Linear(3, 2, bias=False), foreign(), NAMES, where="here")


def test_a_missing_weight_is_named(refuses: Refuses) -> None:
    state = foreign()
    del state["fc.b"]
    with refuses("here", "lacks", "'bias'"):
        load_named(nn.Linear(3, 2), state, NAMES, where="here")


def test_a_weight_of_another_shape_is_named(refuses: Refuses) -> None:
    with refuses("here", "'fc.w'", "'weight'", "(2, 3)", "(3, 2)"):
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
