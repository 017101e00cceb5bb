"""A network with two heads from SIFT Flow's files to numbers: learned together, each measured for itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.cli.conftest import Command
from tests.conftest import Refuses
from tests.data.pictures import save_image

import pixelwise as pw
from pixelwise.data.siftflow import GEOMETRIC, GEOMETRY, SCENES

HEADS = f"{{{GEOMETRIC}: [{', '.join(GEOMETRY)}]}}"
QUICK = (
    "network=fcn32s_vgg16", f"options={{width: 0.05, heads: {HEADS}}}", "init=none", "steps=4", "batch_size=2", "crop=48",
    "workers=0", "hold_out=0", "warmup=0", "split=trainval", "learning_rate=0.01", "precision=no",
)  # fmt: skip


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Four scenes of sky above road."""
    folder = tmp_path / "scenes"
    for kind, above, below in (("SemanticLabels", 28, 22), ("GeoLabels", 1, 2)):
        (folder / kind / SCENES).mkdir(parents=True)
        for name in "abcd":
            values = np.full((48, 64), below, np.int16)
            values[:20] = above
            savemat(folder / kind / SCENES / f"{name}.mat", {"S": values})
    for seed, name in enumerate("abcd"):
        save_image(folder / "Images" / SCENES / f"{name}.jpg", seed=seed, size=(48, 64))
    (folder / "trainval.txt").write_text("a\nb\nc\n")
    (folder / "test.txt").write_text("d\n")
    return folder


def test_two_heads_learn_together_and_are_measured_each_for_itself(
    scenes: Path, tmp_path: Path, pixelwise: Command, refuses: Refuses
) -> None:
    run = tmp_path / "run"
    trained = pixelwise("train", scenes, *QUICK, "--out", run)
    assert trained.code == 0, trained
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert list(lines[-1]["parts"]) == ["pixels", f"pixels_{GEOMETRIC}"]
    geometric = pw.load(run, head=GEOMETRIC)
    picture = scenes / "Images" / SCENES / "d.jpg"
    assert geometric.label_spec.names == GEOMETRY
    assert geometric.record["head"] == GEOMETRIC
    labels = geometric.predict(picture).labels
    assert pw.load(run).predict(picture).scores.shape[0] == 33
    measured = pixelwise("evaluate", run, scenes, "--split", "test", "--head", GEOMETRIC, "--json")
    truth = np.repeat([0, 1], [20, 28])[:, None]
    assert json.loads(measured.out)["pixel_accuracy"] == pytest.approx((labels == truth).mean())
    assert pixelwise("evaluate", run, scenes, "--split", "test").code == 0
    answer = pixelwise("evaluate", run, scenes, "--split", "test", "--head", "geometry")
    assert "unknown head 'geometry': did you mean 'geometric'?" in answer.complaint
    assert "one label map each" in pixelwise("evaluate", run, "shapes:5", "--head", GEOMETRIC).complaint
    with refuses("unknown head 'geometry'"):
        pw.load(run, head="geometry")
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "system.yaml").write_text("../run")
    with refuses("a system answers by the head main"):
        pw.load(tmp_path / "system", head=GEOMETRIC)


def test_other_classes_of_a_head_are_refused_before_training(scenes: Path, tmp_path: Path, pixelwise: Command) -> None:
    heads = "options={width: 0.05, heads: {geometric: [sky, ground, wall]}}"
    answer = pixelwise("train", scenes, *QUICK, heads, "--out", tmp_path / "run")
    assert "the head 'geometric' is to learn sky, ground, wall, but the data set has the classes sky, horizontal" in (
        answer.complaint
    )
    assert not (tmp_path / "run").exists()
