"""The page of curves: smoothing worked out by hand, what is on the page, and what cannot be drawn."""

import json
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from pixelwise.report.curves import draw_curves, smoothed


def line(step, *, loss=1.0, score=None, parts=None):
    parts = {"pixels": loss} if parts is None else parts
    return {
        "step": step, "steps": 40, "loss": loss, "parts": parts, "rate": 0.01, "score": score, "best": score,
        "seconds": 2.0 * step,
    }  # fmt: skip


def page(folder, lines) -> np.ndarray:
    log = folder / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw_curves(log, folder / "curves.png")
    return np.asarray(Image.open(folder / "curves.png").convert("RGB"))


def has(picture, colour) -> bool:
    return bool((picture == Image.new("RGB", (1, 1), colour).getpixel((0, 0))).all(-1).any())


def test_a_mean_over_three_keeps_the_first_and_takes_what_there_is_at_the_end():
    assert smoothed([3, 0, 6, 0], 3) == pytest.approx([3, 3, 2, 3])


def test_a_mean_over_one_changes_nothing():
    assert smoothed([3, 0, 6, 0], 1) == pytest.approx([3, 0, 6, 0])


def test_the_best_score_is_marked(tmp_path):
    lines = [line(step, loss=4 / step, score=0.1 * step if step % 2 else None) for step in range(1, 6)]
    scored = page(tmp_path, lines)
    assert has(scored, "#0072b2")
    assert has(scored, "#d55e00")


def test_where_nothing_validates_there_is_one_panel_less(tmp_path):
    with_score, without = page(tmp_path, [line(1, score=0.5)]), page(tmp_path, [line(1)])
    assert without.shape[0] < with_score.shape[0]
    assert without.shape[1] == with_score.shape[1]


def test_parts_have_curves_of_their_own(tmp_path):
    one = [line(step, loss=1.0) for step in (1, 2)]
    two = [line(step, loss=1.0, parts={"pixels": 0.7, "image": 0.3}) for step in (1, 2)]
    assert not has(page(tmp_path, one), "#009e73")
    assert has(page(tmp_path, two), "#009e73")


@pytest.mark.parametrize("score", [None, 0.0, float("nan")])
def test_a_run_of_one_step_is_drawn(score, tmp_path):
    assert page(tmp_path, [line(1, score=score)]).std() > 0


def test_a_log_without_steps(tmp_path, refuses):
    for text in (None, ""):
        if text is not None:
            (tmp_path / "metrics.jsonl").write_text(text)
        with refuses("metrics.jsonl: holds no step"):
            draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_nothing_of_matplotlib_that_others_use_is_changed(tmp_path):
    before = dict(mpl.rcParams)
    page(tmp_path, [line(1)])
    assert dict(mpl.rcParams) == before


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch, refuses):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with refuses("matplotlib", "pip install 'pixelwise[report]'"):
        page(tmp_path, [line(1)])
