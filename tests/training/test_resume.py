"""A training that is killed again and again ends bit for bit as one that never was; signals save and leave."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from tests.training.trainings import fingerprint

pytestmark = pytest.mark.slow

STEPS, SAVE_EVERY = 90, 5
DATA = "shapes:30"
WORDS = (
    "crop=64", "batch_size=4", "network=fcn8s_lite0", "options={context: 16}", "init=none", "precision=no", f"steps={STEPS}",
    f"save_every={SAVE_EVERY}", "validate_every=30", "average=0.9", "warmup=10",
)  # fmt: skip
KILLS = 10
"""Of each of the two ways of loading."""

PATIENCE = 120.0
"""Seconds after which something is broken rather than slow."""


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`pixelwise train` as a process of its own, in a group of its own that is gone afterwards."""
    command = [sys.executable, "-m", "pixelwise", "train", DATA, *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


def begun(run: Path, workers: int) -> tuple[str, ...]:
    """The words that start the run, or that go on with it where it has begun."""
    if (run / "recipe.yaml").is_file():
        return "--resume", str(run)
    shutil.rmtree(run, ignore_errors=True)  # killed before it was a run
    return *WORDS, f"workers={workers}", "--out", str(run)


def newest(run: Path) -> int:
    return max((int(path.name.removeprefix("step-")) for path in (run / "states").glob("step-*")), default=0)


def until(happened: Callable[[], bool], process: subprocess.Popen[str], every: float = 0.01) -> bool:
    """Wait for it; false where the process ended before. Fails after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if happened():
            return True
        if process.poll() is not None:
            return False
        time.sleep(every)
    raise AssertionError("nothing happened")


def killed(run: Path, workers: int, chance: random.Random, way: str) -> bool:
    """Start or go on, and kill at a moment of the `way`; false where the run came to its end before."""
    before = newest(run)
    if before == STEPS:  # the last kill came when all was saved and only the page of curves was missing
        return False
    with started(*begun(run, workers)) as process:
        match way:
            case "any":  # perhaps while Python is still starting
                moment = time.monotonic() + chance.uniform(0.5, 6)
                alive = until(lambda: time.monotonic() > moment, process)
            case "learning":
                alive = until(lambda: newest(run) > before, process)
                moment = time.monotonic() + chance.uniform(0, 1)
                alive = alive and until(lambda: time.monotonic() > moment, process)
            case _:
                until(lambda: newest(run) > before, process)
                alive = until(lambda: any((run / "states").glob(".step-*")), process, every=0.0005)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
        assert alive or process.returncode == 0, process.communicate(timeout=PATIENCE)[1]
        return alive


def finished(*words: str) -> str:
    with started(*words) as process:
        out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return out


def traces(run: Path) -> dict[str, object]:
    """All that must not depend on whether the run was cut off."""
    state = run / "states" / f"step-{STEPS:08d}"
    kept = {
        path.name: fingerprint(torch.load(path, weights_only=False)) for path in sorted(state.glob("*.[bp][ik][nl]"))
    }
    assert kept.keys() == {"optimizer.bin", "custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl", "random_states_0.pkl"}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    position = json.loads((state / "position.json").read_text())
    for timed in (*lines, position):
        assert timed.pop("seconds") > 0
    return {
        **kept,
        "weights": (state / "model.safetensors").read_bytes(),
        "model": (run / "model" / "model.safetensors").read_bytes(),
        "losses": lines,
        "position": position,
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert finished(*begun(run, workers=0)) == f"{run / 'model'}\n"
    return traces(run)


@pytest.mark.parametrize("workers", [0, 2])
def test_kills_at_random_moments_change_nothing(uninterrupted: dict[str, object], workers: int, tmp_path: Path) -> None:
    chance, kills, while_writing, number = random.Random(workers), 0, 0, 0
    ways = ["any", "any", *["learning"] * 5, *["writing"] * 3]
    chance.shuffle(ways)
    run = tmp_path / "run0"
    while kills < KILLS:
        if killed(run, workers, chance, ways[kills]):
            kills += 1
            while_writing += any((run / "states").glob(".step-*"))
        else:  # it was quicker than we: once more from the start
            assert traces(run) == uninterrupted
            number += 1
            run = tmp_path / f"run{number}"
    if newest(run) < STEPS:
        finished(*begun(run, workers))
    ended = traces(run)
    for name, expected in uninterrupted.items():
        assert ended[name] == expected, name
    assert while_writing >= 1
    assert [path.name for path in (run / "states").iterdir()] == [f"step-{STEPS:08d}"]
    assert not list(run.glob(".model*"))
    print(f"{KILLS} kills, {while_writing} while a state was written, over {number + 1} runs")


def test_a_kill_before_anything_was_saved_begins_again(uninterrupted: dict[str, object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with started(*begun(run, workers=0)) as process:
        assert until(
            (run / "recipe.yaml").is_file, process, every=0.001
        )  # the last that is written before the first step
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert newest(run) == 0
    assert not (run / "model").exists()
    assert begun(run, workers=0)[0] == "--resume"
    assert finished(*begun(run, workers=0)) == f"{run / 'model'}\n"
    assert traces(run) == uninterrupted


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.kill), (signal.SIGTERM, os.kill), (signal.SIGTERM, os.killpg)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM to its workers too"],
)
def test_a_signal_saves_and_leaves(
    uninterrupted: dict[str, object],
    number: signal.Signals,
    send: Callable[[int, signal.Signals], None],
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    with started(*begun(run, workers=1)) as process:
        assert until(lambda: newest(run) > 0, process)
        send(process.pid, number)
        out, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, ""), errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == f"pixelwise: interrupted; saved at step {newest(run)}; go on with  --resume {run}"
    assert SAVE_EVERY <= newest(run) < STEPS
    if number == signal.SIGTERM:
        finished("--resume", str(run))
        assert traces(run) == uninterrupted


def test_a_signal_before_the_first_step_leaves_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with started(*begun(run, workers=0), "--minutes", "5") as process:
        assert until(run.is_dir, process)  # it is timing its first steps now
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=PATIENCE)
    # Python ends itself by SIGINT where the signal met code that was run by `exec`, as dataclasses are; a shell shows 130.
    assert process.returncode in (130, -signal.SIGINT), errors
    assert out == ""
    assert errors.splitlines()[-1] == "pixelwise: interrupted; nothing was saved yet"
    assert not run.exists()
