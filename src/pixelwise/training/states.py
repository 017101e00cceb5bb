"""What a run needs to go on, saved so that a kill at any moment leaves a whole state behind."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME, load

from pixelwise.errors import InputError, first_line
from pixelwise.files import write_text


@dataclass
class Position:
    """Where a run stands, beside what accelerate saves. Batches follow from the step, so no place in the data is kept."""

    step: int = 0
    best: float | None = None
    seconds: float = 0.0
    labelled: float = 0.0
    """The weight of all labelled places up to here."""


class States:
    """The saved states of a run: a folder each, `step-00000200`, that appears by one rename; the newest is kept.

    accelerate saves weights, optimiser, random states and whatever is registered with it; the position is ours.
    """

    def __init__(self, accelerator: Accelerator, folder: Path) -> None:
        self.accelerator = accelerator
        self.folder = folder

    def newest(self) -> int:
        """The step of the newest state, 0 where there is none."""
        saved = self._saved()
        return int(saved[-1].name.removeprefix("step-")) if saved else 0

    def load(self) -> Position:
        """Bring everything back to the newest state, or leave it as it is where none was saved.

        Raises `InputError` naming the state if it is damaged.
        """
        saved = self._saved()
        if not saved:
            return Position()
        try:
            # accelerate passes over random states that it cannot read; without them the run would be another
            load(str(saved[-1] / f"{RNG_STATE_NAME}_{self.accelerator.process_index}.pkl"))
            self.accelerator.load_state(str(saved[-1]))
            return Position(**json.loads((saved[-1] / "position.json").read_text()))
        except Exception as error:  # damaged files fail in as many ways as there are formats
            raise InputError(
                f"{saved[-1]}: cannot be resumed ({first_line(error)}); "
                f"delete it to go on from the state before, or from the start"
            ) from error

    def save(self, position: Position) -> None:
        """Save the present state, then let the older ones go.

        Raises `InputError` where that fails, as on a full disk; the older state still stands.
        """
        final = self.folder / f"step-{position.step:08d}"
        if final.is_dir():
            return
        beside = self.folder / f".{final.name}"
        if self.accelerator.is_main_process:
            shutil.rmtree(beside, ignore_errors=True)  # left by a run that was killed while saving
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.save_state(str(beside))
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                write_text(beside / "position.json", json.dumps(asdict(position)))
                os.replace(beside, final)
        except Exception as error:  # a full disk, too, is told otherwise by each format
            shutil.rmtree(beside, ignore_errors=True)
            raise InputError(
                f"{final}: cannot be saved ({first_line(error)}); make room, or change the folder's permissions"
            ) from error
        if self.accelerator.is_main_process:
            for older in self._saved()[:-1]:
                shutil.rmtree(older)
        self.accelerator.wait_for_everyone()

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
