"""`pixelwise reproduce PAPER shapes --small`, killed half-way and called again: whole tables, as if it had not been killed."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelwise.analysis.attempt import Attempt
from pixelwise.analysis.papers import reproduction_of
from pixelwise.analysis.reproduction import Reproduction
from pixelwise.data.shapes import Shapes
from pixelwise.evaluation.confusion import Measures
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.inference.predictors import WholeImage
from pixelwise.training.resumed import Judge

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0
"""Seconds after which something is broken rather than slow."""

MARGIN = 0.03
"""By how much of mean IoU a finer stride must be better; seen over three seeds in 32 bits: 0.078 and more."""


def command(paper: str, out: Path) -> list[str]:
    """The line that the guide tells people, for a paper and a folder."""
    guide = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^pixelwise reproduce \w+ shapes --small$", guide, re.MULTILINE)
    _, verb, _, *rest = shlex.split(line)
    return [sys.executable, "-m", "pixelwise", verb, paper, *rest, "--out", str(out)]


def killed_when(happened: Callable[[], bool], words: list[str]) -> None:
    """Start a command, and kill it and what it has started by SIGKILL as soon as something has happened."""
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    try:
        while not happened():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "nothing happened"
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL


def lines_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "tables.csv").read_text(encoding="utf-8").splitlines()))


def weights_of(folder: Path, name: str) -> bytes:
    return (folder / "runs" / name / "model" / "model.safetensors").read_bytes()


def trained_at_once(paper: str, name: str, folder: Path) -> bytes:
    """The weights of a training that starts from nothing else, when nobody kills it."""
    of = reproduction_of(paper, small=True)
    (training,) = (one for one in of.trainings if one.name == name)
    data = Shapes()
    attempt = Attempt(of, folder, data.split, data.splits)
    judge = Judge(
        lambda network, data, part, parts: evaluate(WholeImage(network), data, part=part, parts=parts).counts,
        lambda counts: Measures.of(counts).mean_iou,
    )
    with attempt.begun():
        assert attempt.train(training, judge)
    return weights_of(folder, name)


# The paper, and the training that is killed when its first state appears.
@pytest.mark.parametrize(
    ("paper", "cut"), [("fcn", "vgg16"), ("deconvnet", "deconvnet"), ("gdn", "fc_new"), ("deeplab", "poly_6k_30")]
)
def test_a_paper_in_small_survives_a_kill(paper: str, cut: str, tmp_path: Path) -> None:
    of, folder = reproduction_of(paper, small=True), tmp_path / "attempt"
    begun = time.monotonic()
    killed_when(lambda: any((folder / "runs" / cut).rglob("states/step-*")), command(paper, folder))
    assert not (folder / "table.md").exists()
    first = of.trainings[0].name
    before = weights_of(folder, first), (folder / "runs" / first / "metrics.jsonl").stat().st_mtime_ns
    done = subprocess.run(command(paper, folder), capture_output=True, text=True, timeout=PATIENCE)
    took = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("1/")], "what is done is not done twice"
    assert (weights_of(folder, first), (folder / "runs" / first / "metrics.jsonl").stat().st_mtime_ns) == before
    assert weights_of(folder, cut) == trained_at_once(paper, cut, tmp_path / "other")
    holds_everything(of, folder, done.stdout)
    if paper == "fcn":
        finer_strides_are_better(folder)
    print(f"{paper}: {took:.0f} s, killed once")
    again = subprocess.run(command(paper, folder), capture_output=True, text=True, timeout=PATIENCE)
    assert again.stdout == done.stdout
    assert "measuring" not in again.stderr


def holds_everything(of: Reproduction, folder: Path, printed: str) -> None:
    lines = lines_of(folder)
    assert [line["row"] for line in lines] == [row.name for table in of.tables for row in table.rows]
    for line in lines:
        assert bool(line["published_mean_iou_percent"]) == bool(line["source"])
        assert not line["source"] or float(line["published_mean_iou_percent"]) > 5
        if line["system"]:
            assert 0.1 < float(line["mean_iou"]) < 1
            assert 0.5 < float(line["pixel_accuracy"]) < 1
            assert (folder / "systems" / line["system"] / "system.yaml").is_file()
    assert (folder / "table.md").read_text(encoding="utf-8") == printed
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.count("<table") == len(of.tables) + 1
    assert page.count("data:image/") > 20
    for table in of.tables:
        assert table.title in page
    models = {path.parts[-3] for path in folder.glob("runs/*/model/model.safetensors")}
    assert models == {training.name for training in of.trainings}
    assert json.loads((folder / "reproduction.json").read_text())["reproduction"] == of.name


def finer_strides_are_better(folder: Path) -> None:
    scores = {line["system"]: float(line["mean_iou"]) for line in lines_of(folder)}
    coarse, middle, fine = (scores[name] for name in ("fcn32s", "fcn16s", "fcn8s"))
    print(f"mean IoU 32s {coarse:.3f} < 16s {middle:.3f} < 8s {fine:.3f}")
    print(
        f"margins {middle - coarse:.3f} and {fine - middle:.3f}, at once over 32s {scores['fcn8s_atonce'] - coarse:.3f}"
    )
    assert middle - coarse > MARGIN
    assert fine - middle > MARGIN
    assert scores["fcn8s_atonce"] - coarse > MARGIN
