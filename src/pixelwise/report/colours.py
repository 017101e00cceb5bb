"""Classes and curves in colours that everybody tells apart; where there are more classes than colours, with patterns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelwise.label_maps import colourise
from pixelwise.labels import IGNORE, LabelSpec

OKABE_ITO = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Black, orange, sky blue, bluish green, yellow, blue, vermilion, reddish purple. Source: Okabe & Ito, Color Universal
Design (2008)."""

CURVES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Those of them that show as a thin line on white, the strongest first."""

ERROR = (165, 0, 75)
"""Crimson, which no class has, and darker than the grey around it to every eye: a pixel predicted wrongly."""

HEAT = ((0, 0, 0), (0, 114, 178), (86, 180, 233), (240, 228, 66), (255, 255, 255))
"""From 0 to 1 in even steps: black, and three of the colours above that get ever lighter, to white; so grey prints are right."""

_PERIOD = 8
"""Pixels from one stripe or dot of a pattern to the next."""


def distinct(spec: LabelSpec) -> LabelSpec:
    """The same classes in the eight colours, over and over: `painted` tells those of one colour apart."""
    return spec.drawn_in([OKABE_ITO[index % len(OKABE_ITO)] for index in range(len(spec))])


def painted(labels: NDArray[np.uint8], spec: LabelSpec) -> NDArray[np.uint8]:
    """Class indexes `(H, W)` -> a picture `(H, W, 3)` in the eight colours.

    The first eight classes are plain, the second eight striped, then dotted, level, and striped the other way; from 40
    on patterns repeat, and the legend says what is what. Ignored pixels are white.
    """
    picture = colourise(labels, distinct(spec))
    down, right = np.indices(labels.shape)
    patterns = np.stack(
        [
            np.zeros(labels.shape, bool),
            (down + right) % _PERIOD < 2,
            (down % _PERIOD < 3) & (right % _PERIOD < 3),
            down % _PERIOD < 2,
            (down - right) % _PERIOD < 2,
        ]
    )
    which = (labels // len(OKABE_ITO)) % len(patterns)
    marked = np.take_along_axis(patterns, which[None].astype(np.intp), axis=0)[0]
    # White shows on all colours but yellow and sky blue, black on all but black and blue: the darker colour takes white.
    dark = picture.mean(-1, keepdims=True) < 130
    picture = np.where(marked[..., None], np.where(dark, 255, 0), picture).astype(np.uint8)
    picture[labels == IGNORE] = 255
    return picture


def heated(plane: NDArray) -> NDArray[np.uint8]:
    """Numbers `(H, W)` -> a picture `(H, W, 3)`: the lighter, the more; what lies outside 0..1 is as the nearer end."""
    stops = np.linspace(0, 1, len(HEAT))
    bands = [np.interp(plane, stops, [colour[band] for colour in HEAT]) for band in range(3)]
    return np.stack(bands, axis=-1).round().astype(np.uint8)
