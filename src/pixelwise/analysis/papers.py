"""The papers whose experiments can be reproduced, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pixelwise.analysis.deconvnet import deconvnet
from pixelwise.analysis.deeplab import deeplab
from pixelwise.analysis.fcn import fcn
from pixelwise.analysis.gdn import gdn
from pixelwise.analysis.reproduction import Reproduction
from pixelwise.errors import unknown_name

PAPERS: Mapping[str, Callable[[bool], Reproduction]] = {
    "fcn": fcn,
    "deconvnet": deconvnet,
    "deeplab": deeplab,
    "gdn": gdn,
}
"""From whether it is to be small to what is to be done."""


def reproduction_of(paper: str, small: bool) -> Reproduction:
    """The experiments of a paper; `InputError` with the nearest name for another one."""
    if paper not in PAPERS:
        raise unknown_name("paper", paper, PAPERS)
    return PAPERS[paper](small)
