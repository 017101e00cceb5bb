"""`pixelwise import-weights`: a released file becomes a model that predicts; what does not fit leaves one line and no file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.conftest import Command, tree
from tests.weights.caffe_files import Layer, write_files
from tests.weights.caffe_networks import fcn_vgg16
from tests.weights.exports import as_layers, build, write_caffemodel

from pixelwise.data.voc import VOC_CLASSES
from pixelwise.inference.loading import load
from pixelwise.labels import LabelSpec, write_classes
from pixelwise.weights.checkpoint import load_checkpoint

WIDTH = 1 / 16
NARROW = f"width={WIDTH}"


def fcn32s(classes: int = 21) -> list[Layer]:
    return fcn_vgg16(classes, stride=32, width=WIDTH).layers


def caffemodel(folder: Path, layers: list[Layer] | None = None) -> Path:
    """A narrow FCN-32s, or these layers, as a `.caffemodel`."""
    folder.mkdir(exist_ok=True)
    _, weights = write_files(fcn32s() if layers is None else layers, folder, (64, 64))
    return weights


def test_a_released_file_becomes_a_model_that_predicts(pixelwise: Command, tmp_path: Path) -> None:
    file, out = caffemodel(tmp_path / "release"), tmp_path / "model"
    answer = pixelwise("import-weights", file, NARROW, "--to", "fcn32s_vgg16", "--out", out)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[1].split() == ["conv1_1", "..", "conv5_3", "(13)", "backbone", "57,828"]
    assert [line.split()[:2] for line in lines[2:4]] == [["fc6,", "fc7"], ["score_fr", "decoder.score"]]
    assert lines[4] == "dropped upscore: a bilinear kernel, which is fixed here too"
    assert lines[5] == f"{out}: fcn32s_vgg16, 21 classes, from {file.name}, imported whole"
    checkpoint = load_checkpoint(out)
    assert checkpoint.label_spec.names == VOC_CLASSES
    assert dict(checkpoint.config.options) == {"width": WIDTH}
    first = torch.from_numpy(fcn32s()[0].blobs[0])
    assert torch.equal(checkpoint.network.backbone.features[0].weight, first)  # type: ignore[union-attr, index, arg-type]
    assert set(checkpoint.record["imported_from"]) == {file.name}
    assert len(checkpoint.record["imported_from"][file.name]) == 64
    assert file.name in checkpoint.card
    assert "Terms of use" in checkpoint.card
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "cat.png")
    assert load(out).predict(tmp_path / "cat.png").labels.shape == (40, 50)
    assert not list(tmp_path.glob(".model*"))


def test_the_account_for_machines(pixelwise: Command, tmp_path: Path) -> None:
    network = build("deeplab_largefov_vgg16", classes=5)
    file, out = write_caffemodel(as_layers(network).values(), tmp_path / "release"), tmp_path / "model"
    answer = pixelwise("import-weights", file, NARROW, "--to", "deeplab_largefov_vgg16", "--out", out, "--json")
    report = json.loads(answer.out)
    assert report["classes"] == [f"class_{i}" for i in range(5)]
    assert report["loaded"]["fc8_voc12"].startswith("decoder.branches.0.")
    assert report["loaded"]["conv1_1"] == "backbone.features.0"
    assert report["dropped"] == {}
    assert report["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert (report["network"], report["options"], report["model"]) == (
        "deeplab_largefov_vgg16", {"width": WIDTH}, str(out),
    )  # fmt: skip


def test_classes_may_be_named(pixelwise: Command, tmp_path: Path) -> None:
    write_classes(tmp_path / "classes.txt", LabelSpec(("ground", "cat", "dog"), ((1, 2, 3), (4, 5, 6), (7, 8, 9))))
    file, out = caffemodel(tmp_path / "release", fcn32s(3)), tmp_path / "model"
    words = ("import-weights", file, NARROW, "--to", "fcn32s_vgg16", "--out", out)
    pixelwise(*words, "--classes", tmp_path / "classes.txt")
    spec = load_checkpoint(out).label_spec
    assert (spec.names, spec.colours[1]) == (("ground", "cat", "dog"), (4, 5, 6))


def classifier() -> list[Layer]:
    """FCN's layers up to fc7, with those flat."""
    layers = [layer for layer in fcn32s() if layer.name not in ("score_fr", "upscore", "score")]
    return [
        replace(layer, kind="InnerProduct", settings={}, blobs=(layer.blobs[0].reshape(256, -1), layer.blobs[1]))
        if layer.name in ("fc6", "fc7") else layer
        for layer in layers
    ]  # fmt: skip


def test_a_classifier_is_a_start(pixelwise: Command, tmp_path: Path) -> None:
    file, out = caffemodel(tmp_path / "release", classifier()), tmp_path / "model"
    answer = pixelwise(
        "import-weights", file, NARROW, "--to", "fcn8s_vgg16", "--init", "--classes", "voc", "--out", out
    )
    assert "note: the scores are new" in answer.out
    assert "with fc6 and fc7" in answer.out
    checkpoint = load_checkpoint(out)
    assert not checkpoint.network.decoder.score.weight.any()  # type: ignore[union-attr, operator]
    assert "the scores are new" in checkpoint.card


def test_gdns_matrices_come_beside_the_file(pixelwise: Command, tmp_path: Path) -> None:
    options = (NARROW, "side=97")  # maps of 13 x 13 cells
    file = write_caffemodel(as_layers(build("deeplab_largefov_vgg16")).values(), tmp_path / "release")
    matrices = [np.random.default_rng(seed).standard_normal((13, 97), np.float32) for seed in (0, 1)]
    files = [tmp_path / "w0.npy", tmp_path / "w1.npy"]
    for path, matrix in zip(files, matrices, strict=True):
        np.save(path, matrix)
    words = ("--to", "gdn_largefov_vgg16", "--out", tmp_path / "model")
    assert "lacks the layer 'gdn'" in pixelwise("import-weights", file, *options, *words).complaint
    answer = pixelwise("import-weights", file, *files, *options, *words)
    assert answer.code == 0, answer
    decoder = load_checkpoint(tmp_path / "model").network.decoder
    assert torch.equal(decoder.rows, torch.from_numpy(matrices[0].T))  # type: ignore[arg-type]
    assert torch.equal(decoder.columns, torch.from_numpy(matrices[1].T))  # type: ignore[arg-type]


# What is typed, or how the file is spoiled -> parts of the one line.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def scramble(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(2000))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rewritten(change: Callable[[Layer], Layer], name: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        layers = [change(layer) if layer.name == name else layer for layer in fcn32s()]
        caffemodel(path.parent, layers)

    return spoil


def other_network(path: Path) -> None:
    write_caffemodel(as_layers(build("deeplab_largefov_vgg16")).values(), path.parent)


def a_classifier(path: Path) -> None:
    caffemodel(path.parent, classifier())


def keep(path: Path) -> None:
    pass


SPOILED: dict[str, tuple[Callable[[Path], None], tuple[str, ...], tuple[str, ...]]] = {
    "cut off": (cut, (), ("net.caffemodel: cut off, or not a Caffe model",)),
    "random": (scramble, (), ("net.caffemodel: cut off, or not a Caffe model",)),
    "empty": (empty, (), ("net.caffemodel: no weights in it",)),
    "missing": (Path.unlink, (), ("net.caffemodel: not a readable file (No such file or directory)",)),
    "renamed layer": (
        rewritten(lambda layer: replace(layer, name="conv3_4"), "conv3_3"), (), ("unknown layer 'conv3_4'",),
    ),
    "wrong shape": (
        rewritten(lambda layer: replace(layer, blobs=(layer.blobs[0][:, :1], layer.blobs[1])), "conv3_3"),
        (), ("'conv3_3.weight' should be (16, 16, 3, 3)", "got (16, 1, 3, 3)"),
    ),
    "another network": (other_network, (), ("not the weights of this network", "unknown layer 'fc8_voc12'")),
    "a classifier": (a_classifier, (), ("'fc6' is fully connected", "--init")),
    "another width": (keep, ("width=0.125",), ("'conv1_1.weight' should be (8, 3, 3, 3)",)),
    "unknown network": (keep, ("--to", "fcn32_vgg16"), ("unknown network 'fcn32_vgg16': did you mean 'fcn32s_vgg16'?",)),
    "unknown option": (keep, ("widht=1",), ("no such option: 'widht'",)),
    "broken option": (keep, ("width=[",), ("'width=['", "key=value, for example width=0.5")),
    "option that is no date": (keep, ("width=2020-13-45",), ("'width=2020-13-45'", "YAML", "for example width=0.5")),
    "option that is a date": (keep, ("width=2020-12-24",), ("'fcn32s_vgg16' cannot be built",)),
    "option without a name": (keep, ("=3",), ("expected key=value, got '=3'", "for example width=0.5")),
    "classes missing": (keep, ("--classes", "classes.txt"), ("classes.txt: not a readable text file",)),
    "init without classes": (keep, ("--init",), ("--init takes one file, and --classes",)),
    "one matrix": (keep, ("w0.npy",), ("FILE w0.npy w1.npy", "got 1 more")),
}  # fmt: skip


@pytest.mark.parametrize("mistake", SPOILED)
def test_one_line_and_nothing_written(
    mistake: str, pixelwise: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, words, parts = SPOILED[mistake]
    file = caffemodel(tmp_path / "release")
    spoil(file)
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    given = ("import-weights", "release/net.caffemodel", NARROW, "--to", "fcn32s_vgg16", "--out", "model", *words)
    answer = pixelwise(*given)
    for part in parts:
        assert part in answer.complaint
    assert answer.out == ""
    assert tree(tmp_path) == before


def test_other_mistakes(pixelwise: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    caffemodel(tmp_path / "release", fcn32s(3))
    words = ("release/net.caffemodel", NARROW, "--to", "fcn32s_vgg16", "--out")
    assert (
        "scores 3 classes, but 21 are named" in pixelwise("import-weights", *words, "a", "--classes", "voc").complaint
    )
    assert (
        "release: holds other files; choose another --out" in pixelwise("import-weights", *words, "release").complaint
    )
    torch.save({"weight": torch.zeros(1)}, "tensors.pth")
    typed = ("import-weights", "tensors.pth", "--to", "fcn32s_vgg16", "--out", "a")
    assert "tensors.pth: expected a .caffemodel" in pixelwise(*typed).complaint
    assert not Path("a").exists()
