"""Saved states: whole or not at all, and the older one stands where a newer cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tests.conftest import Refuses
from tests.training.trainings import narrow, trained, weights

from pixelwise.training import states as states_module
from pixelwise.training.folder import RunFolder
from pixelwise.weights import checkpoint

FULL = OSError(errno.ENOSPC, "No space left on device")


def _fail(*_: Any, **__: Any) -> None:
    raise FULL


def _half_written(accelerator: Accelerator, folder: str, **_: Any) -> None:
    Path(folder).mkdir(parents=True)
    (Path(folder) / "model.safetensors").write_bytes(b"half")
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534\nmore")  # torch's own way


@pytest.mark.parametrize("where", ["accelerate", "half", "rename", "position"])
def test_a_full_disk_leaves_the_state_before(
    tmp_path: Path, where: str, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, whole, cut = narrow(steps=6, save_every=2), tmp_path / "whole", tmp_path / "cut"
    trained(recipe, whole)
    replace = os.replace

    def full_for_states(source: Any, target: Any) -> None:
        (_fail if Path(target).name == "step-00000004" else replace)(source, target)

    def fill(progress: object) -> None:
        if progress.step == 3:  # type: ignore[attr-defined]
            match where:
                case "accelerate":
                    monkeypatch.setattr(Accelerator, "save_state", _fail)
                case "half":
                    monkeypatch.setattr(Accelerator, "save_state", _half_written)
                case "rename":
                    monkeypatch.setattr(os, "replace", full_for_states)
                case "position":
                    monkeypatch.setattr(states_module, "write_text", _fail)

    with refuses("step-00000004: cannot be saved", "unexpected pos" if where == "half" else "No space", "make room"):
        trained(recipe, cut, watch=fill)
    assert [path.name for path in (cut / "states").iterdir()] == ["step-00000002"]  # the room is given back, too
    monkeypatch.undo()
    told = trained(recipe, cut, resume=True)
    assert [progress.step for progress in told] == [3, 4, 5, 6]
    expected, got = weights(whole), weights(cut)
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


def test_a_full_disk_leaves_the_model_before(tmp_path: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise checkpoint.SafetensorError("I/O error: No space left on device (os error 28)")

    scores = iter((0.25, 0.5))
    monkeypatch.setattr(checkpoint, "save_file", _once(checkpoint.save_file, full))
    recipe = narrow(steps=4, save_every=1, validate_every=2, hold_out=0.3)
    with refuses("model.safetensors: cannot be written", "No space left"):
        trained(recipe, tmp_path, score=lambda network, data: next(scores))
    monkeypatch.undo()
    assert checkpoint.load_checkpoint(tmp_path / "model").record["step"] == 2
    assert {path.name for path in tmp_path.iterdir()} >= {"model", "states"}
    assert not list(tmp_path.glob(".model*"))
    told = trained(recipe, tmp_path, score=lambda network, data: 0.5, resume=True)
    assert [progress.step for progress in told] == [4]
    assert checkpoint.load_checkpoint(tmp_path / "model").record["step"] == 4


def _once(first: Any, then: Any) -> Any:
    calls = iter((first,))
    return lambda *arguments, **options: next(calls, then)(*arguments, **options)


@pytest.mark.parametrize("spoiled", ["optimizer.bin", "model.safetensors", "position.json", "random_states_0.pkl"])
def test_a_damaged_state_is_named(tmp_path: Path, spoiled: str, refuses: Refuses) -> None:
    stops = iter((False, True))
    trained(narrow(), tmp_path, stop=lambda: next(stops))
    (state,) = RunFolder(tmp_path).states.glob("step-*")
    (state / spoiled).write_bytes(b"no state")
    with refuses(str(state), "cannot be resumed", "delete it"):
        trained(narrow(), tmp_path, resume=True)


def test_older_states_go_and_half_written_ones_are_not_taken(tmp_path: Path) -> None:
    trained(narrow(steps=5, save_every=1), tmp_path)
    assert [path.name for path in (tmp_path / "states").iterdir()] == ["step-00000005"]
    (tmp_path / "states" / ".step-00000009").mkdir()
    assert states_module.States(Accelerator(cpu=True), tmp_path / "states").newest() == 5
    assert states_module.States(Accelerator(cpu=True), tmp_path / "nowhere").newest() == 0
