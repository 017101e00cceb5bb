"""What docs/networks.md and docs/weights.md tell people: the tables are true, and commands and lines of Python work."""

from __future__ import annotations

import fnmatch
import inspect
import json
import re
import shlex
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.conftest import Command
from tests.weights.exports import as_layer, as_layers, build, write_caffemodel
from torch import Tensor

from pixelwise.data.shapes import Shapes
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.hed import create_hed
from pixelwise.models.network import Network
from pixelwise.models.published import deconvnet, deeplab, fcn, gdn, list_models
from pixelwise.weights.caffemodel import CaffeLayer
from pixelwise.weights.checkpoint import load_checkpoint
from pixelwise.weights.names import caffe_trunk_layers, torchvision_layers

ROOT = Path(__file__).parents[2]
GUIDES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("networks", "weights")}
BUILDERS = {**fcn.NETWORKS, **deconvnet.NETWORKS, **deeplab.NETWORKS, **gdn.NETWORKS}

WIDTH = 1 / 16
NARROW = f"width={WIDTH}"
QUICK = (f"options={{{NARROW.replace('=', ': ')}}}", "steps=2", "batch_size=2", "crop=48", "workers=0", "hold_out=0")
HIDDEN = 256
"""Width of a narrow classifier's fully connected layers."""


def blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDES[guide], flags=re.DOTALL)


def commands(guide: str) -> list[list[str]]:
    return [shlex.split(line) for block in blocks(guide, "sh") for line in block.splitlines() if line.strip()]


# Tables, and what they are about.


def test_the_tables_say_what_the_command_says(pixelwise: Command) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| .* \| ([\d,]+) \| ([\d.]+) G \| (\d+) \| (\d+) \| (.*) \|$", GUIDES["networks"], re.MULTILINE
    )
    whole, part = commands("networks")
    assert whole == ["pixelwise", "models"]
    report = json.loads(pixelwise("models", "--json").out)
    assert part == ["pixelwise", "models", "deeplab*", "--json"]
    assert json.loads(pixelwise(*part[1:]).out) == {name: report[name] for name in list_models("deeplab*")}
    assert [name for name, *_ in rows] == list(report)
    for name, *shown in rows:
        facts = report[name]
        work = f"{facts['multiply_adds'] / 1e9:.1f}"
        place = [str(facts["stride"]), str(facts["receptive_field"]), facts["sizes"]]
        assert shown == [f"{facts['parameters']:,}", work, *place], name
    assert f"Of these {len(rows)}, eight are ours" in GUIDES["networks"]
    assert sum("_lite" in name for name in report) == 8


def test_every_option_of_every_network_stands_in_the_table_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ((?:`[\w*?]+` ?)+) \| (.+) \|$", GUIDES["networks"], re.MULTILINE)
    for name in list_models():
        parameters = inspect.signature(BUILDERS[name]).parameters.values()
        options = {option.name: option.default for option in parameters if option.kind is option.KEYWORD_ONLY}
        told = {
            option: default
            for option, default, patterns, _ in rows
            if any(fnmatch.fnmatch(name, pattern) for pattern in re.findall(r"`(.+?)`", patterns))
        }
        assert told.keys() == options.keys(), name
        for option, default in told.items():
            assert default in (f"`{json.dumps(options[option])}`", "as in the table", "v1"), (name, option)


def test_the_average_pool_is_there_by_default_where_it_is_told() -> None:
    with_pool = {
        name for name in list_models("deeplab*_vgg16")
        if inspect.signature(BUILDERS[name]).parameters["pool5a"].default
    }  # fmt: skip
    assert with_pool == {"deeplab_largefov_vgg16", "deeplab_msc_largefov_vgg16"}


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_to_files_and_headings(guide: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", GUIDES[guide]):
        path, _, heading = target.partition("#")
        file = ROOT / "docs" / path
        assert file.is_file(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], target


def test_messages_that_are_explained_exist() -> None:
    table = GUIDES["weights"].partition("## What goes wrong")[2]
    messages = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert len(messages) == 5
    assert [message for message in messages if message not in source] == []


# Commands and lines of Python. Files of weights are written by the test, of narrow networks.


def test_the_networks_lines_of_python_work(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("PIXELWISE_MODELS", raising=False)
    monkeypatch.chdir(ROOT)
    torch.manual_seed(0)
    for code in blocks("networks", "python"):
        exec(code, {})
    folded, cat = capsys.readouterr().out.splitlines()
    difference = re.fullmatch(r"differ by (\S+) of their spread", folded)
    assert difference is not None
    assert float(difference[1]) < 1e-9
    share = re.fullmatch(r"(\d+)% of the picture is cat", cat)
    assert share is not None
    assert abs(int(share[1]) - 83) <= 5  # as the README says of one network at one scale


def released(path: Path, name: str) -> Network:
    """Write what a release of a narrow network would be: its file, and GDN's matrices beside it."""
    network = build(name, classes=21)
    layers = [layer for layer in as_layers(network).values() if layer.kind != "Python"]
    write_caffemodel(layers, path.parent).rename(path)
    if name.startswith("gdn"):
        for number, matrix in enumerate((network.decoder.rows, network.decoder.columns)):
            np.save(path.with_name(f"w{number}_500.npy"), matrix.detach().numpy().T)  # type: ignore[operator, union-attr]
    return network


def fully_connected(channels: int) -> dict[str, Tensor]:
    """fc6 and fc7 of a narrow VGG16, and what scored ImageNet's classes behind them."""
    shapes = {"fc6": (HIDDEN, 49 * channels), "fc7": (HIDDEN, HIDDEN), "fc8": (10, HIDDEN)}
    state = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    return state | {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}


def classifier(path: Path, name: str) -> None:
    """Write a classifier on the trunk of a narrow network, as Caffe or torchvision would have it."""
    trunk = build(name, seed=1).backbone
    channels = trunk.channels[-1]  # type: ignore[index, union-attr]
    if path.suffix == ".caffemodel":
        layers = [as_layer(layer, trunk.get_submodule(ours)) for layer, ours in caffe_trunk_layers(trunk).items()]
        flat = {part: tensor.numpy() for part, tensor in fully_connected(channels).items()}  # type: ignore[arg-type]
        for layer in ("fc6", "fc7", "fc8"):
            layers.append(CaffeLayer(layer, "InnerProduct", (flat[f"{layer}.weight"], flat[f"{layer}.bias"])))
        write_caffemodel(layers, path.parent).rename(path)
        return
    state = {"fc.weight": torch.randn(10, 8), "fc.bias": torch.randn(10)}
    if isinstance(trunk, VGG):
        places = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
        parts = {part: part.rpartition(".") for part in fully_connected(channels)}  # type: ignore[arg-type]
        state = {f"{places[layer]}.{kind}": fully_connected(channels)[part] for part, (layer, _, kind) in parts.items()}  # type: ignore[arg-type]
    for theirs, ours in torchvision_layers(trunk).items():
        if ours not in ("fc6", "fc7", None):
            state |= {f"{theirs}.{part}": tensor for part, tensor in trunk.get_submodule(ours).state_dict().items()}  # type: ignore[arg-type]
    torch.save(state, path)


def test_the_weights_commands_work_in_their_order(
    pixelwise: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Shapes(count=4, size=(48, 64)).write("my-data")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save("photo.jpg")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for program, *words in commands("weights"):
        if program == "pip":
            assert words == ["install", ".[torch,caffe]"]
            assert {"torch", "caffe"} <= set(extras)
            continue
        assert program == "pixelwise"
        given: Network | None = None
        if words[0] == "import-weights":
            file, name = Path(words[1]), words[words.index("--to") + 1]
            if "--init" in words:
                classifier(file, name)
            else:
                given = released(file, name)
            words.append(NARROW)
        elif words[0] == "train":
            words += QUICK
        answer = pixelwise(*words)
        assert answer.code == 0, (shlex.join(words), answer.err)
        if given is not None:
            network = load_checkpoint(words[words.index("--out") + 1]).network
            for ours, theirs in zip(network.last_layers, given.last_layers, strict=True):
                assert torch.equal(ours.weight, theirs.weight), words  # type: ignore[arg-type]
    assert {path.name for path in Path("predictions").iterdir()} >= {"photo.png", "photo_overlay.jpg"}
    assert load_checkpoint("runs/fcn16s/model").config.name == "fcn16s_vgg16"


def test_the_weights_lines_of_python_find_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pixelwise.weights.hed.create_hed", partial(create_hed, width=WIDTH))
    torch.manual_seed(0)
    network = create_hed(width=WIDTH)
    trunk = caffe_trunk_layers(network.backbone)
    layers = [as_layer(name, network.backbone.get_submodule(path)) for name, path in trunk.items()]
    layers += [as_layer(f"score-dsn{number}", side) for number, side in enumerate(network.sides, start=1)]
    layers += [as_layer("new-score-weighting", network.fuse), as_layer("upsample_2", network.enlarge[1])]
    write_caffemodel(layers, tmp_path).rename("hed_pretrained_bsds.caffemodel")
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(image).save("photo.jpg")
    for code in blocks("weights", "python"):
        exec(code, {})
    drawn, edges = Image.open("edges.png"), network.edges(np.asarray(Image.open("photo.jpg")))
    assert (drawn.mode, drawn.size) == ("L", (50, 40))
    assert np.abs(np.asarray(drawn) - 255 * (1 - edges)).max() <= 0.51
