"""Rows in, HTML tables out: plain ones, and the confusion matrix as a table whose cells are as dark as they are full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.report.figures import percent
from pixelwise.report.markup import Markup, element, joined

NARROW = 7
"""A table of so many columns fits a page; a wider one scrolls by itself."""

WIDEST_MATRIX = 40
"""More columns than this nobody reads; of more classes, those that are confused most are shown."""

SHADE = (0, 114, 178)
"""Blue of Okabe & Ito: a full cell; an empty one is white."""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table whose first column names the rows; columns of numbers are set to the right."""
    body = list(rows)
    kinds = [None, *("number" if _is_number(cell) else None for cell in body[0][1:])] if body else [None] * len(head)
    columns = (element("th", name, scope="col", class_=kind) for name, kind in zip(head, kinds, strict=True))
    lines = []
    for name, *cells in body:
        values = (element("td", cell, class_="number" if _is_number(cell) else None) for cell in cells)
        lines.append(element("tr", element("th", name, scope="row"), *values))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *columns)),
        element("tbody", *lines),
    )
    return _scrolled(caption, whole, wide=len(head) > NARROW)


def confusion_table(counts: NDArray[np.int64], names: Sequence[str]) -> Markup:
    """A confusion matrix `(K, K)`, truth in rows, as shares of each row in percent; the diagonal is framed.

    Shares below half a percent are left empty, and so are the rows of classes that are not in the truth. Of more than
    `WIDEST_MATRIX` classes those are shown that lose and gain most pixels to others.
    """
    shown = _most_confused_classes(counts)
    truth = counts.sum(1)
    caption = (
        "Confusion matrix: of the pixels that are truly of the row's class, the percentage predicted as the column's"
    )
    if len(shown) < len(names):
        caption += f"; the {len(shown)} classes that are confused most, of {len(names)}"
    head = element(
        "tr",
        element("th", "truth \\ predicted", scope="col"),
        *(element("th", element("span", names[index]), scope="col", class_="upright") for index in shown),
    )
    rows = []
    for index in shown:
        shares = counts[index] / max(int(truth[index]), 1)
        cells = (_cell(float(shares[other]), own=other == index, counted=bool(truth[index])) for other in shown)
        rows.append(element("tr", element("th", names[index], scope="row"), *cells))
    parts = element("caption", caption), element("thead", head), element("tbody", *rows)
    return _scrolled(caption, element("table", *parts, class_="matrix"), wide=True)


def _most_confused_classes(counts: NDArray[np.int64]) -> list[int]:
    wrong = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    chosen = np.argsort(-wrong, kind="stable")[:WIDEST_MATRIX]
    return sorted(int(index) for index in chosen)


def _cell(share: float, *, own: bool, counted: bool) -> Markup:
    if not counted:
        return element("td")
    # Linear in the share, so that twice as dark is twice as much. Black letters can be read on all but the darkest.
    red, green, blue = (round(255 - (255 - part) * share) for part in SHADE)
    style = f"background:rgb({red},{green},{blue})" + (";color:#fff" if share > 0.9 else "")
    words = percent(share, 0) if share >= 0.005 else ""
    return element("td", words, style=style, class_="own" if own else None)


def _scrolled(name: str, content: Markup, *, wide: bool) -> Markup:
    """A table that is wider than the window scrolls by itself; one that is wide anyway is reached and scrolled by keyboard."""
    reached: dict[str, str | float] = {"role": "region", "aria_label": name, "tabindex": 0} if wide else {}
    return element("div", content, class_="scrolled", **reached)


def _is_number(cell: str) -> bool:
    return (
        cell in ("n/a", "–")
        or cell[:1].isdigit()
        or cell[:2] in {f"{sign}{digit}" for sign in "+−" for digit in range(10)}
    )


def folded(summary: str, *content: str) -> Markup:
    """What may be folded away; it begins open, so that it is printed."""
    return element("details", element("summary", summary), joined(*content), open=True)
