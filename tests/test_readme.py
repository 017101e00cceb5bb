"""What the README tells people to run, run: in a folder of their own, with a data set such as they have."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.data.shapes import Shapes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
A_FEW_STEPS = ["steps=2", "batch_size=2", "crop=64", "validate_every=2", "workers=0"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(first_word: str) -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and line[0] == first_word]


def test_every_command_is_of_a_kind_that_is_tested():
    known = commands("make") + commands("pip") + commands("pixelwise")
    assert len(known) == sum(1 for block in blocks("sh") for line in block.splitlines() if line.strip())


@pytest.mark.parametrize("command", commands("make"), ids=" ".join)
def test_make_knows_its_targets(command):
    dry = subprocess.run([command[0], "--dry-run", *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize("command", commands("pip"), ids=" ".join)
def test_the_extras_to_install_exist(command):
    there = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = re.search(r"\[(.*)\]", command[-1])
    assert wanted is not None
    assert set(wanted[1].split(",")) <= set(there)


@pytest.mark.slow
def test_the_commands_work_in_their_order_on_a_folder_of_images_and_masks(tmp_path):
    Shapes(count=40, size=(96, 128)).write(tmp_path / "my-data")
    told = commands("pixelwise")
    assert [command[1] for command in told] == [
        "check", "train", "evaluate", "predict", "evaluate", "compare", "evaluate", "evaluate",
    ]  # fmt: skip
    for command in told:
        if command[1] == "train":
            assert "--minutes" in command
            command = [*command, *A_FEW_STEPS]
            command[command.index("--minutes") + 1] = "0.1"
        if command[1] == "compare":
            shutil.copytree(tmp_path / "runs" / "mine", tmp_path / "runs" / "longer")
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "predictions").rglob("*.png"))) == 40
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_python_lines_work_and_find_the_cat():
    code = blocks("python")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, env=_plain()
    )
    assert done.returncode == 0, done.stderr
    promised, printed = (re.search(r"(\d+)% (.*)", text) for text in (code[code.index("# ") :], done.stdout))
    assert promised is not None
    assert printed is not None
    assert printed[2] == promised[2]
    assert abs(int(printed[1]) - int(promised[1])) <= 1  # arithmetic differs a little between machines


def test_the_crf_refines_scores():
    sample = Shapes(count=1, size=(48, 64))[0]
    truth = sample.labels["main"] == np.arange(6)[:, None, None]
    scores = truth + np.random.default_rng(0).normal(size=truth.shape)
    names: dict[str, Any] = {"image": sample.image, "scores": scores}
    before, code = blocks("python")
    assert "DenseCRF" not in before
    exec(code, names)
    right = [(one.argmax(0) == sample.labels["main"]).mean() for one in (scores, names["refined"])]
    assert right[1] > right[0] + 0.1


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PIXELWISE_MODELS"}
