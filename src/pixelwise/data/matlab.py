"""A MATLAB file in, the label map in it out."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, import_extra
from pixelwise.label_maps import classes_of
from pixelwise.labels import IGNORE, LabelSpec

CLASS_MAPS = ("GTcls.Segmentation", "S", "segmentation")
"""The variables in which data sets keep their classes: SBD's, SIFT Flow's and NYUDv2's."""


def read_matlab_labels(path: str | os.PathLike[str], spec: LabelSpec) -> NDArray[np.uint8]:
    """Read the one variable of `CLASS_MAPS` that is there as class indexes `(H, W)` uint8.

    Raises `InputError` if the file is broken or holds a value that is no class of `spec`, or scipy is not installed.
    """
    return classes_of(read_matlab_map(path, CLASS_MAPS), spec, where=str(path))


def counted_from_1(names: tuple[str, ...], unlabelled: tuple[int, ...] = (0,)) -> LabelSpec:
    """Classes whose values begin with 1, as MATLAB counts; the values `unlabelled` are ignored."""
    return LabelSpec(names, raw=dict.fromkeys(unlabelled, IGNORE) | {i + 1: i for i in range(len(names))})


def read_matlab_map(path: str | os.PathLike[str], variables: tuple[str, ...]) -> NDArray[np.int32]:
    """Read the first of `variables` that is there, `NAME` or `STRUCT.FIELD`, as `(H, W)` int32.

    Raises `InputError` for a file that is missing, broken or without such a map, or if scipy is not installed.
    """
    scipy_io = import_extra("scipy.io", "sbd")
    try:
        there = scipy_io.loadmat(path)
        struct, _, field = next((name for name in variables if name.split(".")[0] in there), variables[0]).partition(
            "."
        )
        values = np.asarray(there[struct][field][0, 0] if field else there[struct])
        if values.ndim != 2:
            raise ValueError(f"shape {values.shape}")
        return values.astype(np.int32)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; give the data set's whole folder") from error
    except Exception as error:  # scipy raises whatever the broken bytes lead to: zlib, struct, type and key errors
        wanted = " or ".join(variables)
        raise InputError(f"{path}: not a readable MATLAB file of {wanted} ({error}); copy it again") from error
