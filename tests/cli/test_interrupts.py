"""Interrupted: one line, exit code 130, and either a way to go on or nothing left."""

import os
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.conftest import FAST, tree

from pixelwise.cli.train import interrupted_by
from pixelwise.inference.predictors import WholeImage
from pixelwise.training import loop

BOTH = (signal.SIGINT, signal.SIGTERM)


def test_a_signal_interrupts_as_ctrl_c_does_and_only_inside():
    before = signal.getsignal(signal.SIGTERM)
    with interrupted_by(signal.SIGTERM), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(KeyboardInterrupt), interrupted_by(signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_a_training_is_asked_once_before_it_is_interrupted(first, second):
    with interrupted_by(*BOTH, after_asking=1) as asked:
        assert not asked()
        signal.raise_signal(first)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    with interrupted_by(*BOTH, after_asking=1) as asked:
        assert not asked()  # each time anew


def test_a_training_gives_the_signals_back_to_its_start():
    before = [signal.getsignal(number) for number in BOTH]
    with interrupted_by(signal.SIGTERM):
        with interrupted_by(*BOTH, after_asking=1):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in BOTH] == before


# Verbs.


def test_interrupting_before_anything_is_saved_leaves_nothing(pixelwise, data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "learn", _interrupt)
    before = tree(tmp_path)
    answer = pixelwise("train", data, *FAST, "--out", tmp_path / "run")
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == "pixelwise: interrupted; nothing was saved yet"
    assert tree(tmp_path) == before


def test_interrupting_later_says_how_to_go_on(pixelwise, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    learn, steps = loop.learn, iter(range(2))

    def learn_twice(*arguments):
        return _interrupt() if next(steps, None) is None else learn(*arguments)

    monkeypatch.setattr(loop, "learn", learn_twice)
    answer = pixelwise("train", data, *FAST, "steps=4", "save_every=2", "--out", run)
    assert answer.code == 130
    assert f"pixelwise: interrupted; go on with  --resume {run}" in answer.err.splitlines()[-1]
    monkeypatch.setattr(loop, "learn", learn)
    assert pixelwise("train", data, "--resume", run).out == f"{run / 'model'}\n"


def test_interrupting_another_verb_is_one_line(pixelwise, model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(WholeImage, "__call__", _interrupt)
    answer = pixelwise("predict", model, data / "images", "--out", tmp_path / "masks")
    assert (answer.code, answer.err) == (130, "pixelwise: interrupted\n")


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_real_interrupt_with_worker_processes_leaves_no_traceback(data, tmp_path):
    run = tmp_path / "run"
    words = ("train", data, *FAST, "steps=100000", "save_every=2", "workers=1", "--out", run)
    command = [sys.executable, "-m", "pixelwise", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while not list(run.glob("states/step-*")) and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of the group
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert f"--resume {run}" in errors.splitlines()[-1]
