"""Two processes on CPUs learn and judge as one with the joined batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.processes import ROOT, in_two
from tests.training.one_of_several import BATCH_SIZE, OBJECTIVES, PARTLY, worked_out

from pixelwise.data.augment import Augmentation
from pixelwise.data.batches import Batches
from pixelwise.labels import IGNORE, MAIN
from pixelwise.training.recipe import read_recipe

pytestmark = pytest.mark.slow

SMALL = (
    "network=fcn32s_vgg16", "options={width: 0.05}", "init=none", "batch_size=3", "crop=48", "workers=1", "warmup=0",
    "learning_rate=1e-4", "precision=no", "average=0.5",
)  # fmt: skip


def test_two_processes_work_out_what_one_does(tmp_path: Path) -> None:
    in_two(str(ROOT / "tests" / "training" / "one_of_several.py"), str(tmp_path / "two.pt"))
    two, one = torch.load(tmp_path / "two.pt"), worked_out()
    assert (two.pop("processes"), one.pop("processes")) == (2, 1)
    assert two.keys() == one.keys()
    shares = [
        Batches(PARTLY, BATCH_SIZE, Augmentation(crop=48), (0.0,) * 3, seed=4, part=p, parts=2)[0] for p in (0, 1)
    ]
    labelled = [int((share.labels[MAIN] != IGNORE).sum()) for share in shares]
    assert abs(labelled[0] - labelled[1]) > 0.1 * sum(labelled)  # else a mean of means would do as well
    assert torch.equal(two.pop("counts"), one.pop("counts"))
    for objective in OBJECTIVES:
        told = {f"{objective}: weight", f"{objective}: loss"}
        gradients = [name for name in one if name.startswith(f"{objective}: ") and name not in told]
        assert len(gradients) > 10
        joined, theirs = (torch.cat([of[name].flatten() for name in gradients]) for of in (one, two))
        distance = float((theirs - joined).norm() / joined.norm())
        print(f"{objective}: gradients differ by {distance:.1e}")
        assert distance < 1e-5
        for name in told:
            torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=0)


def test_a_training_in_two_processes_speaks_with_one_voice(tmp_path: Path) -> None:
    run = tmp_path / "run"
    normalised = ("network=fcn8s_lite0", "options={context: 8}", "batch_size=5", "crop=64", "learning_rate=0.01")
    words = ("steps=4", "save_every=2", "validate_every=2", "--out", str(run))
    done = in_two("-m", "pixelwise", "train", "shapes:15", *SMALL, *normalised, *words)
    assert done.stdout == f"{run / 'model'}\n"
    assert done.stderr.count("images to learn from") == 1, done.stderr
    assert done.stderr.count("training 4/4") == 1
    assert (run / "states" / "step-00000004" / "random_states_1.pkl").is_file()
    alone = subprocess.run(
        [sys.executable, "-m", "pixelwise", "evaluate", str(run), "shapes:15", "--json"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    # Three images in two shares gave the score that they give together.
    record = json.loads((run / "model" / "config.json").read_text())["record"]
    assert json.loads(alone.stdout)["mean_iou"] == record["selection_score"] > 0


def test_minutes_are_the_same_steps_in_two_processes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = in_two("-m", "pixelwise", "train", "shapes:15", *SMALL, "--minutes", "0.1", "--out", str(run))
    steps = read_recipe(run / "recipe.yaml").steps
    assert done.stderr.count(f"0.1 minutes are {steps:,} steps here") == 1
    assert (run / "states" / f"step-{steps:08d}").is_dir()
