"""Verbs take a directory with a `system.yaml` as they take a model's."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from tests.cli.conftest import Command

from pixelwise.cli.sources import open_source
from pixelwise.labels import LabelSpec
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
