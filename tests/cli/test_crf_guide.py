"""What docs/crf.md tells people: its lines of Python and its commands work, and both calls of the comparison agree."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pixelwise as pw
from pixelwise.data.shapes import CLASSES, LABEL_SPEC, Shapes
from pixelwise.refinement.presets import PRESETS
from pixelwise.weights.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "crf.md").read_text(encoding="utf-8")
SAMPLE = Shapes(count=1, size=(64, 80))[0]
K = len(CLASSES)
SCORES = (
    2.0 * (SAMPLE.labels["main"] == np.arange(K)[:, None, None])
    + np.random.default_rng(0).normal(size=(K, *SAMPLE.size))
).astype(np.float32)
PROBABILITIES = np.exp(SCORES) / np.exp(SCORES).sum(0)
MARKED = dict(re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", GUIDE, flags=re.DOTALL))


def plain_blocks() -> list[str]:
    """The blocks of Python but those of the comparison, in their order."""
    return [
        block for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL) if block not in MARKED.values()
    ]


def compared(**given: object) -> dict[str, object]:
    """What the two blocks of the comparison leave, run on the same probabilities."""
    pytest.importorskip("pydensecrf.densecrf")
    height, width = SAMPLE.size
    names = {"np": np, "pw": pw, "image": SAMPLE.image, "probabilities": PROBABILITIES, "classes": K}
    names |= {"height": height, "width": width, **given}
    for block in ("pydensecrf", "pixelwise"):
        exec(MARKED[block], names)
    return names


def test_the_lines_of_python_work_one_after_the_other(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch = np.stack([SCORES, SCORES])
    names: dict[str, object] = {
        "image": SAMPLE.image,
        "scores": SCORES,
        "torch": torch,
        "images": torch.from_numpy(np.stack([SAMPLE.image, SAMPLE.image])),
        "batch_of_scores": torch.from_numpy(batch),
        "truth": torch.from_numpy(np.stack([SAMPLE.labels["main"]] * 2)).long(),
    }
    for block in plain_blocks():
        exec(block, names)
    said = capsys.readouterr().out
    assert said.startswith("11 belief maps; energies fall from")
    first, last = map(float, re.findall(r"-?\d+\.\d+", said))
    assert last < first
    truth = SAMPLE.labels["main"]
    assert (names["labels"] == truth).mean() > (SCORES.argmax(0) == truth).mean() + 0.1
    assert isinstance(names["crf"], pw.DenseCRF)


def test_both_calls_of_the_comparison_give_the_same():
    names = compared()
    assert np.abs(names["theirs"] - names["ours"]).mean() < 1e-4
    assert (names["theirs"].argmax(0) == names["ours"].argmax(0)).mean() > 0.999


def theirs(energy, *pairwise) -> np.ndarray:
    """pydensecrf's marginals after 5 iterations."""
    dcrf = pytest.importorskip("pydensecrf.densecrf")
    height, width = SAMPLE.size
    d = dcrf.DenseCRF2D(width, height, len(energy))
    d.setUnaryEnergy(np.ascontiguousarray(energy, np.float32))
    for options in pairwise:
        d.addPairwiseGaussian(**options)
    return np.array(d.inference(5)).reshape(-1, height, width)


@pytest.mark.parametrize("zero_unsure", [False, True])
def test_labels_as_in_the_table(zero_unsure):
    utils = pytest.importorskip("pydensecrf.utils")
    labels = SAMPLE.labels["main"].astype(np.int64)
    n = K - 1 if zero_unsure else K
    energy = utils.unary_from_labels(labels, n, gt_prob=0.7, zero_unsure=zero_unsure)
    crf = pw.DenseCRF([pw.Gaussian(3, weight=1)], iterations=5)
    if zero_unsure:
        ours = crf(None, labels=labels - 1, classes=n, confidence=0.7, unsure=-1)
    else:
        ours = crf(None, labels=labels, classes=n, confidence=0.7)
    assert np.abs(np.exp(ours) - theirs(energy, {"sxy": 3, "compat": 1})).mean() < 1e-4


@pytest.mark.parametrize("compat", [np.arange(K) / -4, np.arange(K * K).reshape(K, K) % 7 / 7 - np.eye(K)])
def test_compatibilities_change_their_sign(compat):
    compat = compat.astype(np.float32)
    ours = pw.DenseCRF([pw.Gaussian((2, 4), weight=-compat)], iterations=5)(SAMPLE.image, SCORES)
    expected = theirs(-SCORES.reshape(K, -1), {"sxy": (4, 2), "compat": compat})  # (x, y) there, (y, x) here
    assert np.abs(np.exp(ours) - expected).mean() < 1e-4


def test_the_table_of_presets_is_that_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (.*), (.*), (.*) \| (.*), (.*) \| (\w+) \| (\d+) \|$", GUIDE, re.MULTILINE)
    assert [row[0] for row in rows] == list(PRESETS)
    for name, *numbers, normalisation, iterations in rows:
        preset = PRESETS[name]
        five = (preset.bilateral_weight, preset.bilateral_position_std, preset.bilateral_colour_std)
        assert tuple(map(float, numbers)) == (*five, preset.gaussian_weight, preset.gaussian_std)
        assert (normalisation, int(iterations)) == (preset.normalisation, preset.iterations)


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def test_the_commands_work_in_their_order(pixelwise, model, tmp_path, monkeypatch):
    """On generated data; the model is a narrow one, whose classes are called as the guide's are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pixelwise.refinement.tune.COARSE", {"bilateral_weight": (2.0,)})
    monkeypatch.setattr("pixelwise.refinement.tune.RATIOS", ())
    Shapes(count=30, size=(48, 64)).write(tmp_path / "my-data")
    names = tuple("cat" if name == "disc" else name for name in CLASSES)
    classes = (tmp_path / "my-data" / "classes.txt").read_text()
    (tmp_path / "my-data" / "classes.txt").write_text(classes.replace("disc", "cat"))
    checkpoint = pw.load(model).checkpoint
    spec = pw.LabelSpec(names, LABEL_SPEC.colours)
    for folder in (tmp_path / "runs" / "mine", tmp_path / "zoo" / "animals"):
        save_checkpoint(folder, type(checkpoint)(checkpoint.network, checkpoint.config, spec, checkpoint.record))
    monkeypatch.setenv("PIXELWISE_MODELS", str(tmp_path / "zoo"))
    Image.fromarray(SAMPLE.image).save(tmp_path / "photo.jpg")
    np.save(tmp_path / "scores.npy", SCORES)
    told = commands()
    assert {command[1] for command in told} == {"predict", "refine", "tune-crf", "evaluate"}
    for program, *words in told:
        assert program == "pixelwise"
        answer = pixelwise(*words)
        assert answer.code == 0, answer.err
    for name in ("refined/photo_trace.png", "refined/photo_scores.npy", "predictions/photo.png", "crf.yaml"):
        assert (tmp_path / name).is_file(), name


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
