"""The benchmarks run: narrow networks and small images, in which nothing is fast or slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pixelwise.data.shapes import LABEL_SPEC
from pixelwise.models.facts import describe
from pixelwise.models.published import create_model, list_models
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, save_checkpoint

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NARROW = ("--width", "0.0625", "--size", "64", "--runs", "1", "--device", "cpu")


def run(script: str, *words: str | Path) -> str:
    quiet = {name: value for name, value in os.environ.items() if name != "PIXELWISE_DATA"}
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, *words], capture_output=True, text=True, timeout=900, env=quiet
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_tiles_with_more_overlap_are_nearer_to_the_whole():
    _, _, *rows = run("crf_tiles.py", "--images", "1", "--tile", "200").splitlines()
    differences = [float(row.split()[2]) for row in rows]
    assert len(differences) == 5
    assert differences == sorted(differences, reverse=True)


@pytest.mark.slow
def test_every_network_is_timed_in_all_its_ways():
    report = json.loads(run("networks.py", *NARROW, "--json"))
    ways = {}
    for timing in report["timings"]:
        assert timing["milliseconds"] > 0
        assert timing["rate"] == pytest.approx(timing["multiply_adds"] / timing["milliseconds"] * 1e3)
        ways.setdefault(timing["network"], []).append((timing["precision"], timing["folded"]))
        facts = describe(timing["network"], size=(64, 64), width=1 / 16)
        assert (timing["multiply_adds"], timing["size"]) == (facts.multiply_adds, list(facts.size))
    assert list(ways) == list_models()
    for name, own in ways.items():
        has_norms = any(isinstance(module, nn.BatchNorm2d) for module in create_model(name, 2, width=1 / 16).modules())
        folded = [False, True] if has_norms else [False]
        assert sorted(own) == [(precision, state) for precision in ("bfloat16", "float32") for state in folded]


@pytest.mark.slow
def test_the_table_has_a_line_a_way():
    machine, titles, *rows = run("networks.py", *NARROW, "fcn8s_lite0").splitlines()
    assert "medians of 1 runs" in machine
    assert titles.split()[0] == "network"
    assert [row.split()[:4] for row in rows] == [
        ["fcn8s_lite0", "64x64", norms, precision] for precision in ("float32", "bfloat16") for norms in ("-", "folded")
    ]


@pytest.mark.slow
def test_the_dense_crf_is_compared_in_every_case():
    _, titles, *rows = run("crf.py", "--scale", "0.1", "--runs", "1", "--threads", "1", "2").splitlines()
    assert titles.split()[:2] == ["threads", "theirs"]
    assert [row.split()[0] for row in rows[:6]] == ["21", "21", "11", "11", "2", "2"]
    assert sum("MB to move" in row for row in rows) == 3
    assert sum("cache:" in row for row in rows) == 2


@pytest.mark.slow
def test_an_evaluation_is_timed_beside_the_bare_forward_passes():
    machine, titles, ours, bare, ratio, _ = run("evaluate.py", "--images", "20").splitlines()
    assert "20 images of generated shapes, 1 blocks of 10 counted" in machine
    assert titles.split()[2:] == ["median", "mean", "least", "greatest", "milliseconds"]
    medians = [float(row.removeprefix(name).split()[0]) for name, row in (("evaluate", ours), ("bare forward", bare))]
    assert float(ratio.removeprefix("evaluate / bare").split()[0]) == pytest.approx(medians[0] / medians[1], rel=0.01)


@pytest.mark.slow
def test_windows_are_timed_plain_and_fast(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "4294967296")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "17179869184")
    words = ("--windows", "3", "--batch", "2", "--runs", "1", "--width", "0.0625", "--device", "cpu", "--processor")
    machine, titles, plain, *fast = run("proposals.py", *words).splitlines()
    assert "3 windows, 2 a pass" in machine
    assert machine.endswith("processor time")
    assert titles.split()[:3] == ["way", "seconds", "ratio"]
    assert plain.split()[0] == "plain"
    assert [row.split()[0] for row in fast] == ["float32", "bfloat16"]
    agree = [float(row.split()[-1].removesuffix("%")) for row in fast]
    assert agree[0] > 99
    assert agree[1] > 50  # of 21 classes, by random weights


@pytest.mark.slow
def test_labels_of_a_model_agree_on_pictures_however_fast(tmp_path):
    config = NetworkConfig(
        "deconvnet_vgg16", len(LABEL_SPEC), {"width": 1 / 32, "batch_norm": False, "initial_spread": None}
    )
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model", Checkpoint(config.build(), config, LABEL_SPEC, {"recipe": {}}))
    (tmp_path / "pictures").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        noise = np.random.default_rng(seed).integers(0, 256, (150, 170, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "pictures" / name)
    words = ("--windows", "1", "--batch", "1", "--runs", "1", "--width", "0.0625", "--device", "cpu")
    compared = ("--model", tmp_path / "model", "--images", tmp_path / "pictures")
    told = run("proposals.py", *words, *compared).splitlines()[5:]
    assert [row.split(":")[0] for row in told] == ["a.png", "b.png", "all"]
    shares = [[float(part.split("agrees at ")[1].split("%")[0]) for part in row.split(", ")[1:]] for row in told]
    for ways in shares:
        assert ways[0] > 99.9
        assert ways[1] > 50


@pytest.mark.slow
def test_a_step_of_deconvnet_is_timed_and_its_memory_told():
    *steps, machine, step, memory = run(
        "deconvnet.py", "--width", "0.03125", "--batch", "2", "--accumulate", "2"
    ).splitlines()
    assert len(steps) == 2  # one that does not count
    assert "deconvnet_stage1_voc" in machine
    assert float(step.removeprefix("a step of 2 x 2 windows: ").split()[0]) == pytest.approx(
        float(steps[1].split()[0]), abs=0.06
    )
    assert 0.1 < float(memory.removeprefix("memory: ").split()[0]) < 20


@pytest.mark.slow
def test_our_steps_are_timed_beside_bare_ones():
    machine, titles, *rows = run(
        "train.py", "--steps", "4", "--crop", "64", "--batch", "2", "--workers", "1", "--plain"
    ).splitlines()
    assert "1 workers" in machine
    assert "1 steps counted of each" in machine
    assert titles.split()[2:] == ["median", "mean", "least", "greatest", "seconds"]
    ours, bare, _, ratio, _ = (row.split() for row in rows)
    assert float(ratio[4]) == pytest.approx(float(ours[2]) / float(bare[1]), rel=0.05)
