"""SBD's label files in, label maps out. SBD: the Semantic Boundaries Dataset, labels for 11,355 PASCAL VOC photographs.

Source: Hariharan et al., ICCV 2011; `cls/ID.mat` holds GTcls.Segmentation, `inst/ID.mat` GTinst.Segmentation.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.listing import read_list
from pixelwise.errors import InputError, import_extra
from pixelwise.label_maps import classes_of
from pixelwise.labels import LabelSpec


def read_sbd_labels(path: str | os.PathLike[str], spec: LabelSpec) -> NDArray[np.uint8]:
    """Read `cls/ID.mat` as class indexes `(H, W)` uint8.

    Raises `InputError` if the file is broken or holds a value that is no class of `spec`, or scipy is not installed.
    """
    return classes_of(_read_segmentation(path, "GTcls"), spec, where=str(path))


def read_sbd_instances(path: str | os.PathLike[str]) -> NDArray[np.int32]:
    """Read `inst/ID.mat` as instances `(H, W)` int32: 0 for none, objects from 1.

    Raises `InputError` if the file is broken or scipy is not installed.
    """
    return _read_segmentation(path, "GTinst")


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


def _read_segmentation(path: str | os.PathLike[str], struct: str) -> NDArray[np.int32]:
    scipy_io = import_extra("scipy.io", "sbd")
    try:
        segmentation = np.asarray(scipy_io.loadmat(path)[struct]["Segmentation"][0, 0])
        if segmentation.ndim != 2:
            raise ValueError(f"shape {segmentation.shape}")
        return segmentation.astype(np.int32)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; give SBD's whole folder 'dataset'") from error
    except Exception as error:  # scipy raises whatever the broken bytes lead to: zlib, struct, type and key errors
        raise InputError(
            f"{path}: not a readable SBD file of {struct}.Segmentation ({error}); copy it again"
        ) from error
