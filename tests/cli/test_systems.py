"""Verbs take a directory with a `system.yaml` as they take a model's."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command

from pixelwise.labels import LabelSpec
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

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
