"""A recipe and a folder in, a finished run out: begun, gone on with where it was stopped or killed, or found done."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.training.folder import RunFolder
from pixelwise.training.loop import Progress
from pixelwise.training.plan import plan
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.training.run import Count, run
from pixelwise.training.windows import with_windows


@dataclass(frozen=True)
class Judge:
    """What a training is told by and tells: as `run` takes them."""

    count: Count
    rate: Callable[[NDArray[np.int64]], float]
    watch: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False


def finish(
    recipe: Recipe,
    open_split: Callable[[str | None], DataSet],
    splits: Collection[str],
    folder: RunFolder,
    judge: Judge,
    *,
    init_from: Path | None = None,
    hed: Path | None = None,
    searching: Callable[[int, int], None] | None = None,
) -> bool:
    """Bring the run in `folder` to the last step of its recipe, whatever was done before; nothing, if it is there.

    Returns whether it is done; where `judge.stop()` ended it before, a later call with the same arguments goes on. For
    the arguments see `plan` and `with_windows`. Raises `InputError` as these do, and for a folder of another recipe.
    """
    refuse_other_recipe(recipe, folder)
    if folder.has_finished(recipe.steps):
        return True
    begun, saved = folder.recipe.is_file(), folder.has_states()
    with folder.taken():
        # One that was killed before its first state needs its start once more.
        planned = plan(recipe, open_split, splits, init_from=None if saved else init_from, resumed=saved)
        planned = with_windows(planned, folder.windows, hed=hed, progress=searching)
        position = run(
            planned, folder, count=judge.count, rate=judge.rate, watch=judge.watch, stop=judge.stop, resume=begun
        )
    return position.step == recipe.steps


def refuse_other_recipe(recipe: Recipe, folder: RunFolder) -> None:
    """Raise `InputError` where a run of another recipe has begun in the folder."""
    if folder.recipe.is_file() and read_recipe(folder.recipe) != recipe:
        raise InputError(f"{folder.path}: began with another recipe; go on with that one, or choose another folder")
