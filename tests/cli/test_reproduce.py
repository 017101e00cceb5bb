"""`pixelwise reproduce`: what is typed wrong is one line, and nothing is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.analysis.test_attempt import TINY
from tests.cli.conftest import Command

from pixelwise.analysis.reproduction import Reproduction
from pixelwise.data.shapes import Shapes


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("fnc", "shapes"), ("unknown paper 'fnc': did you mean 'fcn'?",)),
        (("fcn", "nowhere"), ("nowhere: no such folder", "'shapes'")),
        (("fcn", "shapes"), ("shapes: no split 'voc2011_train'; ", "there are: train, val")),
        (("fcn", "shapes:4", "--small"), ("shapes:4 has no image in 'val'",)),
        (("deeplab", "shapes", "--sbd", "."), ("SBD goes with the VOC layout only",)),
        (("fcn", "shapes", "--small", "--hed", "w"), ("--hed goes with  deconvnet DATA --small , got fcn --small",)),
        (("deconvnet", "shapes", "--hed", "w"), ("--hed goes with  deconvnet DATA --small , got deconvnet: leave",)),
        (("deconvnet", "shapes", "--small", "--hed", "w"), ("w: no such file; --hed wants that of HED's weights",)),
        (("fcn", "shapes", "stepz=3", "--small"), ("unknown recipe key 'stepz'", "did you mean 'steps'")),
    ],
)
def test_what_cannot_be_reproduced_is_said_at_once(
    words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, pixelwise: Command
) -> None:
    answer = pixelwise("reproduce", *words, "--out", tmp_path / "out")
    for part in parts:
        assert part in answer.complaint
    assert not (tmp_path / "out").exists()


def test_what_windows_need_is_asked_for_before_days_of_training(
    tmp_path: Path, pixelwise: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    Shapes(count=10, size=(48, 64)).write(data)
    words = ("reproduce", "deconvnet", data, "--small", "--out", tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.delattr("cv2.ximgproc")
        assert "has no ximgproc" in pixelwise(*words).complaint
    classes = data / "classes.txt"
    classes.write_text(classes.read_text(encoding="utf-8").replace("background", "ground"), encoding="utf-8")
    assert "need a class called 'background'" in pixelwise(*words).complaint
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_heds_is_refused_before_hours_of_training(tmp_path: Path, pixelwise: Command) -> None:
    words = ("reproduce", "deconvnet", "shapes", "--small", "--out", tmp_path / "out")
    (tmp_path / "half.safetensors").write_bytes(b"half of it")
    assert "not a readable file of weights" in pixelwise(*words, "--hed", tmp_path / "half.safetensors").complaint
    save_file({"conv1_1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert "lacks weights of this network" in pixelwise(*words, "--hed", tmp_path / "other.safetensors").complaint
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, pixelwise: Command) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert (
        "holds other files; choose another --out"
        in pixelwise("reproduce", "fcn", "shapes", "--small", "--out", tmp_path).complaint
    )


def test_full_size_asks_for_the_models_to_start_from(tmp_path: Path, pixelwise: Command) -> None:
    data, lists = tmp_path / "data", tmp_path / "data" / "ImageSets" / "Segmentation"
    Shapes(count=10, size=(48, 64)).write(data)
    (data / "images").rename(data / "JPEGImages")
    (data / "masks").rename(data / "SegmentationClass")
    lists.mkdir(parents=True)
    for split, like in (("voc2011_train", "train"), ("sbd_train", "train"), ("seg11valid", "val"), ("val", "val")):
        (lists / f"{split}.txt").write_text((data / f"{like}.txt").read_text())
    words = ("reproduce", "fcn", data, "--out", tmp_path / "out")
    missing = "fcn32s_alexnet starts from an ImageNet classifier, and"
    assert f"{missing} no --start was given: make one by  pixelwise import-weights" in pixelwise(*words).complaint
    (tmp_path / "starts").mkdir()
    assert f"{missing} {tmp_path / 'starts'} has none" in pixelwise(*words, "--start", tmp_path / "starts").complaint
    assert not (tmp_path / "out").exists()


def test_the_verb_ends_in_tables_and_says_how_to_go_on(
    tmp_path: Path, pixelwise: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny(small: bool) -> Reproduction:
        return TINY

    monkeypatch.setattr("pixelwise.analysis.papers.PAPERS", {"tiny": tiny})
    words = ("reproduce", "tiny", "shapes:10", "--small", "--out", tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr("pixelwise.analysis.attempt.Attempt.train", lambda *_: False)
        stopped = pixelwise(*words)
        assert stopped.code == 130
        assert stopped.err.splitlines()[-1] == (
            "pixelwise: interrupted; what is done is kept, the same command goes on"
        )
    answer = pixelwise(*words)
    assert answer.code == 0, answer.err
    assert answer.out == (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "| fine | 12.0 | " in answer.out
    assert f"page: {tmp_path / 'out' / 'page.html'}" in answer.err
    assert "other images" in pixelwise(*words[:2], "shapes:15", *words[3:]).complaint


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The text of docs/reproduce.md, whose lines are typed in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")


def test_the_lines_for_full_size_are_understood(guide: str, pixelwise: Command, tmp_path: Path) -> None:
    (block,) = re.findall(r"## At full size\n\n```\n(.*?)```", guide, re.DOTALL)
    brought, reproduced = (shlex.split(line)[1:] for line in block.splitlines())
    assert "VGG_ILSVRC_16_layers.caffemodel: " in pixelwise(*brought).complaint  # half a gigabyte that is not here
    assert pixelwise(*reproduced).complaint.startswith("VOC2011: no such folder")
    assert not list(tmp_path.iterdir())


def test_the_line_for_photographs_is_understood(guide: str, pixelwise: Command, tmp_path: Path) -> None:
    (line,) = re.findall(r"^pixelwise (reproduce .* --hed .*)$", guide, re.MULTILINE)
    assert pixelwise(*shlex.split(line)).complaint.startswith("hed.safetensors: no such file")
    (tmp_path / "hed.safetensors").write_bytes(b"")
    assert pixelwise(*shlex.split(line)).complaint.startswith("photographs: no such folder")
    assert [path.name for path in tmp_path.iterdir()] == ["hed.safetensors"]
