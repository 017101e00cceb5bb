"""SBD's folder in, lists and instances out. SBD: the Semantic Boundaries Dataset, labels for 11,355 PASCAL VOC photographs.

Source: Hariharan et al., ICCV 2011; `cls/ID.mat` holds GTcls.Segmentation, `inst/ID.mat` GTinst.Segmentation.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.listing import read_list
from pixelwise.data.matlab import read_matlab_map
from pixelwise.errors import InputError


def read_sbd_instances(path: str | os.PathLike[str]) -> NDArray[np.int32]:
    """Read `inst/ID.mat` as instances `(H, W)` int32: 0 for none, objects from 1.

    Raises `InputError` if the file is broken or scipy is not installed.
    """
    return read_matlab_map(path, ("GTinst.Segmentation",))


def sbd_folder(path: str | os.PathLike[str]) -> Path:
    """SBD's folder `dataset`, given itself or the folder around it (`benchmark_RELEASE`); `InputError` if neither."""
    given = Path(path)
    for folder in (given, given / "dataset"):
        if (folder / "train.txt").is_file() and (folder / "val.txt").is_file():
            return folder
    raise InputError(f"{given}: not SBD: expected its folder 'dataset' with train.txt, val.txt, cls/ and inst/")


def read_sbd_lists(folder: Path) -> dict[str, tuple[str, ...]]:
    """SBD's own lists: `train` (8,498 ids) and `val` (2,857)."""
    return {name: read_list(folder / f"{name}.txt") for name in ("train", "val")}
