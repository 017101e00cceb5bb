"""Windows and proposals by the command line: learning from windows, and predicting where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.conftest import FAST, Command, tree

from pixelwise.data.shapes import LABEL_SPEC
from pixelwise.label_maps import read_label_map
from pixelwise.training.recipe import read_recipe
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

WINDOWS = (*FAST, "scale=[1, 1]", "window_side=60")


@pytest.mark.parametrize("around", ["objects", "proposals"])
def test_windows_are_learned_from_by_name(around: str, pixelwise: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    answer = pixelwise("train", "shapes:10", *WINDOWS, f"windows={around}", "--out", run)
    assert answer.code == 0, answer.err
    assert "windows to learn from" in answer.err
    assert (run / "windows.npz").is_file()
    assert read_recipe(run / "recipe.yaml").windows == around
    assert pixelwise("evaluate", run, "shapes:10").code == 0


def test_the_narrow_deconvnet_learns_by_its_recipe(pixelwise: Command, tmp_path: Path) -> None:
    words = ("options={width: 0.03125}", "init=none", "steps=1", "batch_size=2", "workers=0", "warmup=0")
    answer = pixelwise(
        "train", "shapes:5", *words, "--recipe", "deconvnet_small_stage1", "--out", tmp_path / "run", "windows=objects"
    )
    assert answer.code == 0, answer.err
    assert "deconvnet_vgg16 from random weights" in answer.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("windows=objects", "classes=[background]"), ("no object in the 4 images", "pixelwise check")),
        (("windows=objects", "classes=[disc, ring]"), ("'background'",)),
        (("windows=proposals", "edges=hed"), ("edges=hed", "--hed FILE")),
        (("windows=boxes",), ("windows", "'boxes'")),
        (("windows=objects", "crop=80"), ("crop=80", "window_side=60")),
    ],
)
def test_what_has_no_windows_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], parts: tuple[str, ...], pixelwise: Command, tmp_path: Path
) -> None:
    complaint = pixelwise("train", "shapes:5", *WINDOWS, *words, "--out", tmp_path / "run").complaint
    for part in parts:
        assert part in complaint
    assert tree(tmp_path) == {}


def test_an_opencv_without_ximgproc_is_one_line_where_proposals_are_wanted(
    pixelwise: Command, system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("cv2.ximgproc")
    answer = pixelwise("train", "shapes:5", *WINDOWS, "windows=proposals", "--out", tmp_path / "run")
    assert "has no ximgproc" in answer.complaint
    assert "pixelwise doctor" in answer.complaint
    assert not (tmp_path / "run").exists()
    assert "has no ximgproc" in pixelwise("evaluate", system, "shapes:5").complaint


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow DeconvNet by proposals, beside its model `deconvnet`."""
    folder = tmp_path_factory.mktemp("models")
    config = NetworkConfig(
        "deconvnet_vgg16", len(LABEL_SPEC), {"width": 1 / 32, "batch_norm": False, "initial_spread": None}
    )
    torch.manual_seed(0)
    save_checkpoint(folder / "deconvnet", Checkpoint(config.build(), config, LABEL_SPEC, {"recipe": {}}))
    (folder / "system").mkdir()
    (folder / "system" / "system.yaml").write_text("proposal_wise: {of: ../deconvnet}\n", encoding="utf-8")
    return folder / "system"


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((64, 80), "it is smaller than the least window, 112"),
        ((160, 200), "no proposals were found in it"),
    ],
)
def test_without_a_window_the_whole_image_is_the_answer_and_one_line_says_so(
    size: tuple[int, int],
    reason: str,
    pixelwise: Command,
    system: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    # A slope has no edges to propose anything by. A picture of one grey would have all maxima tie, and rounding choose.
    slope = np.add.outer(np.arange(size[0]), np.arange(size[1]))[..., None] // np.array([2, 3, 4])
    image = noise if max(size) < 112 else slope.astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "one.png")
    drawn = []
    for model in (system, system.parent / "deconvnet"):
        caplog.clear()
        answer = pixelwise("predict", model, tmp_path / "one.png", "--out", tmp_path / model.name)
        assert answer.code == 0, answer.err
        told = [line for line in caplog.messages if "scored as a whole" in line]
        assert len(told) == (model is system)
        assert all(reason in line for line in told)
        drawn.append(read_label_map(tmp_path / model.name / "one.png", LABEL_SPEC))
    assert np.mean(drawn[0] == drawn[1]) > 0.99  # the windows' network is computed by other means
