"""A model directory gives back what was saved, whatever is wrong with it is named, and a broken save harms nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import Refuses

from pixelwise.labels import LabelSpec
from pixelwise.models.published import create_model, list_models
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, load_checkpoint, save_checkpoint

SPEC = LabelSpec(("sky", "sea", "land"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))


def random_checkpoint(seed: int, name: str = "fcn8s_vgg16") -> Checkpoint:
    """A network whose weights and norms are all drawn, so that none of them can be lost unseen."""
    options = {"width": 1 / 16} if "vgg16" in name else {"context": 16}
    config = NetworkConfig(name, len(SPEC), options)
    torch.manual_seed(seed)
    network = config.build().eval()
    with torch.no_grad():
        for entry, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if entry.endswith("running_var") else tensor + 0.05)
    return Checkpoint(network, config, SPEC, {"seed": seed, "score": 0.5}, card="# A model\n")


@torch.inference_mode()
def scores_of(checkpoint: Checkpoint) -> torch.Tensor:
    pictures = torch.rand((1, 3, 40, 56), generator=torch.Generator().manual_seed(7)) * 255
    return checkpoint.network(pictures)


@pytest.mark.parametrize("name", ["fcn8s_lite0", "fcn16s_vgg16"])
def test_a_loaded_model_scores_bit_for_bit_as_the_saved_one(tmp_path: Path, name: str) -> None:
    saved = random_checkpoint(0, name)
    save_checkpoint(tmp_path / "model", saved)
    loaded = load_checkpoint(tmp_path / "model")
    assert scores_of(saved).std() > 0
    assert torch.equal(scores_of(loaded), scores_of(saved))
    assert (loaded.config, loaded.label_spec, loaded.record, loaded.card) == (
        saved.config, SPEC, saved.record, saved.card,
    )  # fmt: skip
    assert not loaded.network.training


def test_what_the_scores_mean_travels_with_the_model(tmp_path: Path, refuses: Refuses) -> None:
    for link in ("softmax", "sigmoid"):
        save_checkpoint(tmp_path / link, replace(random_checkpoint(0, "fcn8s_lite0"), link=link))
        assert load_checkpoint(tmp_path / link).link == link
    path = tmp_path / "sigmoid" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"link": "probit"}), encoding="utf-8")
    with refuses(str(path), "unknown link 'probit'", "softmax, sigmoid"):
        load_checkpoint(tmp_path / "sigmoid")
    del config["link"]  # as models were stored before there was one
    path.write_text(json.dumps(config), encoding="utf-8")
    assert load_checkpoint(tmp_path / "sigmoid").link == "softmax"


def test_weights_laid_out_channels_last_are_saved_alike(tmp_path: Path) -> None:
    saved = random_checkpoint(0, "fcn8s_lite0")
    expected = scores_of(saved)
    saved.network.to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "model", saved)
    assert torch.equal(scores_of(load_checkpoint(tmp_path / "model")), expected)


def test_half_the_size_changes_scores_by_little(tmp_path: Path) -> None:
    saved = random_checkpoint(0, "fcn8s_lite0")
    save_checkpoint(tmp_path / "whole", saved)
    save_checkpoint(tmp_path / "half", saved, stored="float16")
    expected, got = scores_of(saved), scores_of(load_checkpoint(tmp_path / "half"))
    assert not torch.equal(got, expected)
    assert (got - expected).abs().max() < 0.01 * expected.abs().max()  # float16 keeps 11 bits: 0.0005 a weight
    state = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in state.values() if tensor.ndim > 1} == {torch.float16}
    assert {tensor.dtype for tensor in state.values() if tensor.ndim == 1} == {torch.float32}
    whole, half = ((tmp_path / kind / "model.safetensors").stat().st_size for kind in ("whole", "half"))
    assert half < 0.55 * whole
    assert {value.dtype for value in load_checkpoint(tmp_path / "half").network.parameters()} == {torch.float32}


def test_a_quarter_of_the_size_keeps_every_weight_within_half_a_step(tmp_path: Path) -> None:
    saved = random_checkpoint(0, "fcn8s_lite0")
    dead = saved.network.decoder.head[0].weight
    dead.data[3] = 0  # a channel that has no largest weight
    for kind in ("float32", "int8"):
        save_checkpoint(tmp_path / kind, saved, stored=kind)
    loaded = load_checkpoint(tmp_path / "int8")
    stored = load_file(tmp_path / "int8" / "model.safetensors")
    whole_numbers = {name for name, tensor in stored.items() if tensor.dtype == torch.int8}
    assert whole_numbers
    for name, tensor in saved.network.state_dict().items():
        got = loaded.network.state_dict()[name]
        if name in whole_numbers:
            step = tensor.abs().amax((1, 2, 3), keepdim=True) / 127
            assert ((got - tensor).abs() <= 0.5001 * step).all()
            assert tensor[0].numel() >= 64
        elif tensor.ndim > 1:
            assert torch.equal(got, tensor.half().float())
        else:
            assert torch.equal(got, tensor)
    assert not loaded.network.decoder.head[0].weight[3].any()
    whole, quarter = ((tmp_path / kind / "model.safetensors").stat().st_size for kind in ("float32", "int8"))
    assert quarter < 0.3 * whole


def test_no_network_has_a_tensor_that_is_named_like_a_scale() -> None:
    for name in list_models():
        with torch.device("meta"):
            assert not [entry for entry in create_model(name, 2).state_dict() if entry.endswith(".scale")]


def test_a_scale_without_its_weights_is_refused(model: Path, refuses: Refuses) -> None:
    state = load_file(model / "model.safetensors")
    save_file({**state, "nothing.scale": torch.ones(1)}, model / "model.safetensors")
    with refuses("model.safetensors: not readable as weights", "nothing"):
        load_checkpoint(model)


def test_a_variance_beyond_float16_survives_half_the_size(tmp_path: Path) -> None:
    saved = random_checkpoint(0, "fcn8s_lite0")
    variances = next(value for name, value in saved.network.state_dict().items() if name.endswith("running_var"))
    variances.fill_(1e6)
    save_checkpoint(tmp_path / "model", saved, stored="float16")
    assert scores_of(load_checkpoint(tmp_path / "model")).isfinite().all()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model", random_checkpoint(0))
    return tmp_path / "model"


def test_a_missing_file_is_named(model: Path, refuses: Refuses) -> None:
    (model / "model.safetensors").unlink()
    with refuses(str(model / "model.safetensors")):
        load_checkpoint(model)
    (model / "config.json").unlink()
    with refuses(str(model / "config.json")):
        load_checkpoint(model)


def test_a_card_may_be_missing(model: Path) -> None:
    (model / "README.md").unlink()
    assert load_checkpoint(model).card == ""


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_named(model: Path, part: float, refuses: Refuses) -> None:
    weights = model / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(part * len(whole))])
    with refuses(str(weights), "not readable as weights"):
        load_checkpoint(model)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "\ud800"], ids=repr)
def test_a_config_that_is_none_is_named(model: Path, text: str, refuses: Refuses) -> None:
    (model / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with refuses(str(model / "config.json")):
        load_checkpoint(model)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"labels": {}},
        {"labels": {"names": [], "colours": []}},
        {"labels": {"names": ["a"], "colours": [[1, 2]]}},
        {"network": {"name": "fcn8s_vgg61", "options": {}}},
        {"network": {"name": "fcn8s_vgg16"}},
        {"network": {"name": "fcn8s_vgg16", "options": {"depth": 3}}},
        {"network": {"name": "fcn8s_vgg16", "options": [1]}},
        {"network": None},
    ],
    ids=str,
)
def test_a_config_with_a_strange_entry_is_named(model: Path, change: dict, refuses: Refuses) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with refuses(str(path)):
        load_checkpoint(model)


def test_a_config_without_an_entry_is_named(model: Path, refuses: Refuses) -> None:
    path = model / "config.json"
    whole = json.loads(path.read_text())
    for entry in ("format", "network", "labels", "record"):
        path.write_text(json.dumps({key: value for key, value in whole.items() if key != entry}))
        with refuses(str(path)):
            load_checkpoint(model)


@pytest.mark.parametrize(
    "network",
    [{"name": "fcn16s_vgg16", "options": {"width": 1 / 16}}, {"name": "fcn8s_vgg16", "options": {"width": 1 / 8}}],
    ids=["other parameters", "other shapes"],
)
def test_weights_of_another_network_are_named(model: Path, network: dict, refuses: Refuses) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "network": network}))
    with refuses(str(model / "model.safetensors"), "does not fit", network["name"]):
        load_checkpoint(model)


def test_a_save_replaces_the_older_model(model: Path) -> None:
    newer = random_checkpoint(1)
    save_checkpoint(model, newer)
    assert torch.equal(scores_of(load_checkpoint(model)), scores_of(newer))
    assert list(model.parent.iterdir()) == [model]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("change", "error"), [({"record": {"data": object()}}, TypeError), ({"card": "\ud800"}, UnicodeEncodeError)]
)
def test_a_save_that_raises_leaves_the_older_model(model: Path, change: dict, error: type[Exception]) -> None:
    before = content(model)
    with pytest.raises(error):
        save_checkpoint(model, replace(random_checkpoint(1), **change))
    assert content(model) == before
    assert list(model.parent.iterdir()) == [model]


KILLED_WHILE_SAVING = """
import resource, signal, sys
from pixelwise.labels import LabelSpec
from pixelwise.models.published import create_model, list_models
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

config = NetworkConfig("fcn8s_lite0", 3)
checkpoint = Checkpoint(config.build(), config, LabelSpec(("a", "b", "c")))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # the weights are larger: the kernel kills their writer
save_checkpoint(sys.argv[1], checkpoint)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no limit of file sizes")
def test_a_killed_save_leaves_the_older_model(model: Path) -> None:
    before = content(model)
    child = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, str(model)], check=False, timeout=60)
    assert child.returncode == -signal.SIGXFSZ
    assert content(model) == before
