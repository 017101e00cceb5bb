"""A run's folder: the recipe and the card that say what the run is, its log, and the lock that keeps a second one out."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.files import write_text
from pixelwise.version import __version__, commit


class RunFolder:
    """The files of one run.

    recipe.yaml       every choice, resolved
    run.json          the card: versions, seed, data and machine, written before the first step
    training_ids.txt  the names of the samples learned from
    metrics.jsonl     a line every few steps
    windows.npz       where the training windows are, in a run that learns from windows
    states/           what is needed to go on
    model/            the model to use: the best by selection, or the last
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.card = path / "run.json"
        self.ids = path / "training_ids.txt"
        self.log = path / "metrics.jsonl"
        self.windows = path / "windows.npz"
        self.states = path / "states"
        self.model = path / "model"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep other processes out while the run goes on; `InputError` if one is in already."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(
                f"{self.path}: another process is training here; wait for it, or choose another --out"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def begin(self, card: Mapping[str, Any], names: Sequence[str]) -> None:
        """Write what the run is, once, before its first step."""
        write_text(self.ids, "\n".join(names) + "\n")
        write_text(self.card, json.dumps(card, indent=2) + "\n")

    def begun(self) -> dict[str, Any]:
        """The card as it was written at the beginning."""
        card: dict[str, Any] = json.loads(self.card.read_text(encoding="utf-8"))
        return card

    def has_states(self) -> bool:
        """Whether anything was saved to go on from; a run that was cut before begins again."""
        return any(self.states.glob("step-*"))

    def has_finished(self, steps: int) -> bool:
        """Whether the run's last step, the one of that number, is saved."""
        return (self.states / f"step-{steps:08d}").is_dir()

    def refuse_other(self, card: Mapping[str, Any], steps: int) -> None:
        """Raise `InputError` where the run that is to go on is finished, or is not the one that `card` describes."""
        if not self.recipe.is_file() or not self.card.is_file():
            raise InputError(
                f"{self.path}: no run to resume here, it lacks recipe.yaml or run.json; give the folder of a run"
            )
        begun = self.begun()
        if self.has_finished(steps):
            raise InputError(
                f"{self.path}: has finished its {steps:,} steps; use {self.model}, "
                f"or train on from it with  --init-from {self.model}"
            )
        if not self.has_states() and begun["started_from"] != card["started_from"]:
            raise InputError(
                f"{self.path}: was cut before anything was saved, and began from {begun['started_from']}; "
                f"delete it and start it anew with the same --init-from"
            )
        for key, cure in (
            ("classes", "resume with the classes it began with"),
            ("training_ids_sha256", "resume with the data set and split it began with"),
            ("pixelwise", "install that version, or start anew with  --init-from " + str(self.model)),
        ):
            if begun[key] != card[key]:
                what = "images" if key == "training_ids_sha256" else key
                was, now = (_short(of[key]) for of in (begun, card))
                raise InputError(f"{self.path}: began with other {what}: {was}, now {now}; {cure}")

    def forget_after(self, step: int) -> None:
        """Drop what a resumed run will write again: later or broken lines of the log, and what a kill left half-written."""
        for folder in (*self.path.glob(f".{self.model.name}.*"), *self.states.glob(".step-*")):
            shutil.rmtree(folder)
        if self.log.is_file():
            lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(
                self.log, "".join(line for line in lines if line[-1] == "\n" and json.loads(line)["step"] <= step)
            )

    def write_line(self, values: Mapping[str, Any]) -> None:
        """Add a line to the log; `InputError` where it cannot be written, as on a full disk."""
        try:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(values) + "\n")
        except OSError as error:
            raise InputError(f"{self.log}: cannot be written ({error.strerror})") from error


def run_card(
    training: DataSet, selection: DataSet | None, origin: str, seed: int, precision: str = "no"
) -> dict[str, Any]:
    """What a run is: enough to see later whether another one is the same."""
    arithmetic = "full 32 bits" if precision == "no" else precision
    return {
        "pixelwise": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, {arithmetic}",
        "seed": seed,
        "started_from": origin,
        "classes": list(training.label_spec.names),
        "training_images": len(training),
        "training_ids_sha256": names_hash(training.names),
        "selection_images": 0 if selection is None else len(selection),
    }


def names_hash(names: Sequence[str]) -> str:
    """SHA-256 of the sorted names, a line each: which samples, whatever their order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _short(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)[:12]
