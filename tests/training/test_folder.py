"""A run's folder: one process at a time, and only the run that it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Refuses
from tests.training.trainings import SHAPES

from pixelwise.training.folder import RunFolder, names_hash, run_card

CARD = run_card(SHAPES, None, "random weights", 0)
HOLD = """
import sys, time
from pathlib import Path
from pixelwise.training.folder import RunFolder
with RunFolder(Path(sys.argv[1])).taken():
    print("taken", flush=True)
    time.sleep(60)
"""


def begun(path: Path, **changes: Any) -> RunFolder:
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    folder.recipe.write_text("steps: 10\n")
    folder.begin(CARD | changes, SHAPES.names)
    return folder


def test_a_second_process_is_refused_until_the_first_has_gone(tmp_path: Path, refuses: Refuses) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with refuses(f"{tmp_path}: another process is training here", "--out"), RunFolder(tmp_path).taken():
            pytest.fail("two at once")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=30)
    with RunFolder(tmp_path).taken():
        pass
    with RunFolder(tmp_path).taken():  # and it is given back
        pass


def test_workers_that_outlive_a_killed_run_hold_nothing(tmp_path: Path) -> None:
    """A loader's worker is forked from the process that holds the lock, and outlives it for some seconds."""
    code = HOLD.replace(
        'print("taken"', 'import os\n    if os.fork() == 0: time.sleep(20); os._exit(0)\n    print("taken"'
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
        with RunFolder(tmp_path).taken():
            os.killpg(holder.pid, 0)  # the worker is still there
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate(timeout=30)


def test_later_and_broken_lines_and_half_written_files_are_forgotten(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    for step in (5, 10, 15):
        folder.write_line({"step": step, "loss": 1 / step})
    with folder.log.open("a") as log:
        log.write('{"step": 4, "lo')
    for left in (tmp_path / ".model.x7z", tmp_path / ".model.x7z.old", folder.states / ".step-00000012"):
        left.mkdir(parents=True)
        (left / "part").write_text("half")
    (folder.states / "step-00000010").mkdir()
    (tmp_path / ".git").mkdir()
    folder.forget_after(10)
    assert [json.loads(line) for line in folder.log.read_text().splitlines()] == [
        {"step": 5, "loss": 0.2}, {"step": 10, "loss": 0.1},
    ]  # fmt: skip
    assert {path.name for path in tmp_path.glob(".*")} == {".git"}
    assert [path.name for path in folder.states.iterdir()] == ["step-00000010"]


def test_nothing_is_forgotten_where_nothing_was_written(tmp_path: Path) -> None:
    RunFolder(tmp_path).forget_after(0)
    assert list(tmp_path.iterdir()) == []


def test_the_run_that_it_is_goes_on(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.refuse_other(CARD | {"torch": "another", "machine": "another"}, 10)
    (folder.states / "step-00000005").mkdir(parents=True)
    folder.refuse_other(CARD | {"started_from": "a saved state"}, 10)
    assert folder.begun() == CARD
    assert folder.ids.read_text().splitlines() == list(SHAPES.names)


def test_a_run_cut_before_anything_was_saved_begins_as_it_began_or_not_at_all(tmp_path: Path, refuses: Refuses) -> None:
    folder = begun(tmp_path)
    (folder.states / ".step-00000005").mkdir(parents=True)  # cut while it was saved
    assert not folder.has_states()
    folder.refuse_other(CARD, 10)
    with refuses(f"{tmp_path}: was cut before anything was saved", f"began from {CARD['started_from']}", "--init-from"):
        folder.refuse_other(CARD | {"started_from": "elsewhere"}, 10)


def test_a_finished_run_does_not_go_on(tmp_path: Path, refuses: Refuses) -> None:
    folder = begun(tmp_path)
    (folder.states / "step-00000010").mkdir(parents=True)
    folder.refuse_other(CARD, 20)
    with refuses(f"{tmp_path}: has finished its 10 steps", str(folder.model), f"--init-from {folder.model}"):
        folder.refuse_other(CARD, 10)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"classes": ["cat", "dog"]}, ("other classes: background, disc", "now cat, dog", "the classes it began with")),
        (
            {"training_ids_sha256": names_hash(SHAPES.names[1:])},
            ("other images", names_hash(SHAPES.names)[:12], names_hash(SHAPES.names[1:])[:12], "data set and split"),
        ),
        ({"pixelwise": "0.0.1"}, ("other pixelwise", CARD["pixelwise"], "now 0.0.1", "install that version")),
    ],
    ids=["classes", "images", "version"],
)
def test_another_run_does_not_go_on(tmp_path: Path, changes: dict, parts: tuple[str, ...], refuses: Refuses) -> None:
    with refuses(str(tmp_path), *parts):
        begun(tmp_path).refuse_other(CARD | changes, 10)


@pytest.mark.parametrize("lost", ["recipe.yaml", "run.json"])
def test_there_is_no_run(tmp_path: Path, lost: str, refuses: Refuses) -> None:
    folder = begun(tmp_path)
    (tmp_path / lost).unlink()
    with refuses(str(tmp_path), "no run to resume here", "recipe.yaml", "run.json"):
        folder.refuse_other(CARD, 10)


def test_a_hash_of_names_is_of_the_set() -> None:
    assert names_hash(("a", "b")) == names_hash(("b", "a")) != names_hash(("ab",))


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, refuses: Refuses) -> None:
    folder = begun(tmp_path)
    folder.log.mkdir()
    with refuses(f"{folder.log}: cannot be written"):
        folder.write_line({"step": 1})
