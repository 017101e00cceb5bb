"""The papers whose experiments can be reproduced, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pixelwise.analysis.deconvnet import deconvnet
from pixelwise.analysis.deconvnet_photographs import photographs
from pixelwise.analysis.deeplab import deeplab
from pixelwise.analysis.fcn import fcn
from pixelwise.analysis.gdn import gdn
from pixelwise.analysis.reproduction import Reproduction
from pixelwise.errors import InputError, unknown_name

PAPERS: Mapping[str, Callable[[bool], Reproduction]] = {
    "fcn": fcn,
    "deconvnet": deconvnet,
    "deeplab": deeplab,
    "gdn": gdn,
}
"""From whether it is to be small to what is to be done."""


def reproduction_of(paper: str, small: bool, *, hed: Path | None = None, changes: tuple[str, ...] = ()) -> Reproduction:
    """The experiments of a paper; `InputError` with the nearest name for another one.

    With HED's weights, the file `hed`, the small size of DeconvNet is that for photographs. `changes`, `key=value`, are
    made to every recipe. Raises `InputError` where a paper has no such size.
    """
    if paper not in PAPERS:
        raise unknown_name("paper", paper, PAPERS)
    if hed is None:
        return PAPERS[paper](small).changed(changes)
    if paper != "deconvnet" or not small:
        raise InputError(
            f"--hed goes with  deconvnet DATA --small , got {paper}{' --small' if small else ''}: leave it out"
        )
    if not hed.is_file():
        raise InputError(f"{hed}: no such file; --hed wants that of HED's weights")
    return photographs(hed).changed(changes)
