"""Verbs take a directory with a `system.yaml` as they take a model's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import Command, placed

from pixelwise.cli.sources import open_source
from pixelwise.inference.published import PUBLISHED, published
from pixelwise.inference.systems import read_system
from pixelwise.labels import LabelSpec
from pixelwise.refinement.presets import PRESETS
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, load_checkpoint, save_checkpoint

CAT = Path(__file__).parents[2] / "examples" / "photographs" / "cat.jpg"


def test_a_system_predicts_and_is_evaluated_as_its_model(tmp_path: Path, pixelwise: Command) -> None:
    config = NetworkConfig("fcn8s_lite0", 4, {"width": 0.125})
    spec = LabelSpec(("background", "disc", "square", "triangle"))
    save_checkpoint(tmp_path / "model", Checkpoint(config.build(), config, spec, {}, card="# A model\n"))
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "system.yaml").write_text("multi_scale: {of: ../model, scales: [1.0]}\n", encoding="utf-8")
    shown = []
    for name in ("model", "system"):
        assert pixelwise("predict", tmp_path / name, CAT, "--out", tmp_path / f"of-{name}").code == 0
        evaluated = pixelwise("evaluate", tmp_path / name, "shapes:3", "--json")
        shown.append(((tmp_path / f"of-{name}" / "cat.png").read_bytes(), evaluated.code))
    assert shown[0] == shown[1]


def test_a_system_is_known_by_what_it_is_made_of_and_by_the_weights_of_its_models(tmp_path: Path, model: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "system").mkdir()

    def known_by(text: str) -> str | None:
        (tmp_path / "system" / "system.yaml").write_text(text, encoding="utf-8")
        return open_source(str(tmp_path / "system")).weights

    once, twice = (f"multi_scale: {{of: ../model, scales: {scales}}}\n" for scales in ("[1.0]", "[1.0, 0.5]"))
    before = known_by(once)
    assert known_by(twice) != before
    assert known_by(once) == before
    checkpoint = load_checkpoint(tmp_path / "model")
    with torch.no_grad():
        next(checkpoint.network.parameters()).add_(1)
    save_checkpoint(tmp_path / "model", checkpoint)
    assert known_by(once) != before


def test_the_published_systems_are_listed(pixelwise: Command) -> None:
    listed = json.loads(pixelwise("system", "--json").out)
    assert listed["edeconvnet_crf"]["networks"] == ["deconvnet_vgg16", "fcn8s_vgg16"]
    assert list(listed) == list(PUBLISHED)
    lines = pixelwise("system").out.splitlines()
    assert [line.split()[0] for line in lines] == list(PUBLISHED)
    assert max(map(len, lines)) <= 120


def test_a_published_system_is_made_of_models_wherever_they_lie(
    tmp_path: Path, model: Path, pixelwise: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, tmp_path / "runs" / "mine" / "model")
    (tmp_path / "named").mkdir()
    shutil.copytree(model, tmp_path / "named" / "ours")
    monkeypatch.setenv("PIXELWISE_MODELS", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path)
    PRESETS["deeplab_v1_coco"].save(tmp_path / "tuned.yaml")
    made = pixelwise("system", "gdn_ens_crf", "runs/mine", "ours", "--crf", "tuned.yaml", "--out", "a/b", "--json")
    assert json.loads(made.out) == {"system": "a/b"}
    assert read_system("a/b") == published("gdn_ens_crf", ["../../runs/mine", "ours"], "../../tuned.yaml")
    monkeypatch.chdir(tmp_path / "named")
    assert pixelwise("predict", "../a/b", CAT, "--out", tmp_path / "answers").code == 0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("gdn_crv", "MODEL", "--out", "OUT"), ("unknown published system 'gdn_crv'", "did you mean 'gdn_crf'")),
        (("gdn", "MODEL"), ("add --out FOLDER",)),
        (("gdn", "--out", "OUT"), ("gdn is made of gdn_largefov_vgg16", "got 0")),
        (("gdn", "no/such", "--out", "OUT"), ("no/such: no such model directory",)),
        (("gdn", "MODEL", "--crf", "deeplab_v1", "--out", "OUT"), ("gdn has no CRF",)),
        (("gdn_crf", "MODEL", "--crf", "deeplab_v9", "--out", "OUT"), ("unknown CRF preset 'deeplab_v9'",)),
        (("gdn", "MODEL", "--out", "MODEL"), ("holds other files; choose another --out",)),
    ],
)
def test_what_makes_no_system_is_one_line_and_writes_nothing(
    words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, model: Path, pixelwise: Command
) -> None:
    answer = pixelwise("system", *(placed(word, {"MODEL": str(model), "OUT": str(tmp_path / "out")}) for word in words))
    assert all(part in answer.complaint for part in parts), answer.complaint
    assert not list(tmp_path.iterdir())
